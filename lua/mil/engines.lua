-- SPDX-License-Identifier: MIT
-- mil.engines: the engines that a command line names, with what is chosen of each.
--
--     --engine cpu --engine cpu:strict --engine ane:direct,coreml:cpu_and_gpu
--
-- What stands behind the colon is cpu's precision, ane's route, coreml's units.

local mil = require "mil"
local options = require "mil.options"

local engines = {}

engines.option = { "--engine", "NAME,..", "engines; cpu:strict rounds at every op, ane:ROUTE, coreml:UNITS; unless given, every one there is",
  many = true }

local variants = { cpu = "precision", ane = "route", coreml = "units" }

-- "ane:direct" as {label = "ane:direct", name = "ane", options = {engine = "ane", route = "direct"}}
function engines.one(text)
  local name, variant = text:match "^([^:]+):?(.*)$"
  local is_known = false
  for _, known in ipairs(mil.engines()) do is_known = is_known or known == name end
  if not is_known then options.usage("there is no engine %s; there is %s", text, table.concat(mil.engines(), ", ")) end
  local chosen = { engine = name }
  if variant ~= "" then chosen[variants[name]] = variant end
  return { label = text, name = name, options = chosen }
end

-- The list that --engine's values name, in order; nil where none was given.
local function named(lists)
  if not lists then return nil end
  local list = {}
  for _, texts in ipairs(lists) do
    for text in texts:gmatch "[^,]+" do list[#list + 1] = engines.one(text) end
  end
  if #list == 0 then options.usage "--engine takes the name of an engine" end
  return list
end

-- Those that are named, or else all; one that can't be had here has `missing`, the reason.
function engines.of(lists)
  local list = named(lists)
  if not list then
    list = {}
    for i, name in ipairs(mil.engines()) do list[i] = engines.one(name) end
  end
  for _, engine in ipairs(list) do
    local _, reason = mil.available(engine.name)
    engine.missing = reason
  end
  return list
end

-- Compiles for it; `more` has further options, which an engine that has no use for them is not given.
function engines.compile(engine, f, more)
  local chosen = {}
  for key, value in pairs(engine.options) do chosen[key] = value end
  for key, value in pairs(more or {}) do
    if chosen[key] == nil and (key ~= "threads" or engine.name == "cpu") then chosen[key] = value end
  end
  return f:compile(chosen)
end

return engines

-- SPDX-License-Identifier: MIT
-- mil.engines: the engines that a command line names, with what is chosen of each.
--
--     --engine cpu --engine cpu:strict --engine ane:direct,coreml:cpu_and_gpu
--
-- What stands behind the colon is cpu's precision, ane's route, coreml's units. A command that takes one engine has engines.rows among its
-- options, which say the same and more.

local mil = require "mil"
local options = require "mil.options"

local engines = {}

engines.option = { "--engine", "NAME,..", "engines; cpu:strict rounds at every op, ane:ROUTE, coreml:UNITS; unless given, every one there is",
  many = true }

engines.rows = {
  { "--engine", "NAME", "the engine: cpu, ane, coreml; ane:ROUTE, coreml:UNITS, cpu:strict; the best there is unless given" },
  { "--fallback", "run what the engine does not take on the cpu engine, and say where the model was cut" },
  { "--verify", "have the first run computed by the cpu engine too; an error where an output is off" },
  { "--route", "direct|e5rt", "of engine ane: the way to the Neural Engine" },
  { "--qos", "N", "of engine ane: the system's quality of service, 9 to 33; 21 unless given", number = true },
  { "--counters", "of engine ane: what the last run took by the engine's own clock" },
  { "--units", "UNITS", "of engine coreml: all, cpu, cpu_and_gpu or cpu_and_ane" },
  { "--threads", "N", "threads of the cpu engine; 0: as many as processors", number = true },
  { "--precision", "default|strict", "of the cpu engine: strict rounds at every op" },
  { "--optimize", "N", "0: no passes and no fusion", number = true },
}

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

local owners = { route = "ane", qos = "ane", counters = "ane", units = "coreml" }

-- The options of f:compile that a command line with engines.rows says.
function engines.chosen(given)
  local chosen = given.engine and engines.one(given.engine).options or {}
  for _, key in ipairs { "fallback", "verify", "route", "qos", "counters", "units", "threads", "precision", "optimize" } do
    local value = given[key]
    if value ~= nil then
      if owners[key] and owners[key] ~= chosen.engine then options.usage("--%s is engine %s's: --engine %s", key, owners[key], owners[key]) end
      if chosen[key] ~= nil and chosen[key] ~= value then options.usage("--engine %s and --%s %s don't agree", given.engine, key, value) end
      chosen[key] = value
    end
  end
  return chosen
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

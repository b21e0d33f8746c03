-- SPDX-License-Identifier: MIT
-- luamil convert: a model or a weights file in another format.

local options = require "mil.options"

local command = {
  name = "convert",
  arguments = "FROM TO",
  summary = "a model or a weights file in another format",
  description = [[
By the endings of the names: models are .mlpackage, .mlmodelc and .mil (text, with a folder weights beside it); weights are
read from .safetensors, .npz, .npy and .gguf, and written as the first three. What is quantised in a gguf file is expanded.
TO is written aside and then takes its place: where that fails, or is interrupted, whatever was there is as it was.]],
  options = { { "--quiet", "no progress on a terminal, and no word of what was written" } },
  is_guarded = true,
}

local kinds = {
  mlpackage = "model", mlmodelc = "model", mil = "model", mlmodel = "model", safetensors = "weights", npz = "weights",
  npy = "weights", gguf = "weights",
}

local function kind_of(path)
  local ending = path:match "%.(%w+)/*$"
  return kinds[ending] or error(("%s: neither a model (.mlpackage, .mlmodelc, .mil) nor weights (.safetensors, .npz, .npy, .gguf)")
    :format(path), 0)
end

-- ---- weights ----

-- The metadata that a safetensors file may have: strings. Lists, as of a vocabulary, are left out.
local function strings(metadata)
  local pairs_of = {}
  for key, value in pairs(metadata) do
    if type(value) ~= "table" and type(value) ~= "userdata" then pairs_of[key] = tostring(value) end
  end
  return pairs_of
end

local function convert_weights(from, to)
  local mil = require "mil"
  local file, tensors = mil.weights(from), {}
  local names = mil.names(file)
  if to:find "%.npy$" then
    if #names ~= 1 then error(("%s has %d tensors, but an npy file has one"):format(from, #names), 0) end
    return file[names[1]]:save(to)
  end
  for _, name in ipairs(names) do
    tensors[name ~= "" and name or from:match "([^/]*)%.%w+$"] = file[name] -- the tensor of an npy has no name
  end
  mil.save(to, tensors, to:find "%.safetensors$" and strings(mil.metadata(file)) or nil)
end

-- ---- models ----

local function convert_model(from, to, quiet)
  local line = require("mil.progress").new(quiet)
  local given = { progress = line.report }
  local ok, err = pcall(function() require("mil").load(from, given):save(to, given) end)
  line.clear()
  if not ok then error(err, 0) end
end

-- ---- what was written ----

local function bytes_of(path)
  local system = require "mil.system"
  local _, kind = system.modified(path)
  if kind ~= "directory" then
    local file = assert(io.open(path, "rb"))
    local bytes = file:seek "end"
    file:close()
    return bytes
  end
  local bytes = 0
  for _, name in ipairs(system.list(path)) do bytes = bytes + bytes_of(path .. "/" .. name) end
  return bytes
end

local function say(path)
  local units, system = require "mil.units", require "mil.system"
  print(("wrote %s, %s"):format(path, units.bytes(bytes_of(path))))
  local folder, stem = path:match "^(.-)([^/]*)%.mil$"
  local weights = stem and folder .. "weights/" .. stem .. ".bin"
  if weights and system.modified(weights) then print(("      %s, %s"):format(weights, units.bytes(bytes_of(weights)))) end
end

function command.main(given, arguments)
  if #arguments ~= 2 then options.usage("takes FROM and TO, but was given %d", #arguments) end
  local from, to = arguments[1], arguments[2]
  local kind = kind_of(from)
  if kind_of(to) ~= kind then
    error(("%s is %s, %s is not: a model becomes a model, weights become weights"):format(from,
      kind == "model" and "a model" or "weights", to), 0)
  end
  if kind == "model" then convert_model(from, to, given.quiet) else convert_weights(from, to) end
  if not given.quiet then say(to) end
  return 0
end

return command

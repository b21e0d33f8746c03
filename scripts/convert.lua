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
Text holds the program alone: what it can't say of a package (metadata, images, the inputs' order) is named.
TO is written aside and then takes its place: where that fails, or is interrupted, whatever was there is as it was.]],
  options = { { "--quiet", "no progress on a terminal, and no word of what was written" } },
}

-- By ending: what it is, and whether it is written too.
local formats = {
  mlpackage = { "model", true }, mlmodelc = { "model", true }, mil = { "model", true }, mlmodel = { "model", false },
  safetensors = { "weights", true }, npz = { "weights", true }, npy = { "weights", true }, gguf = { "weights", false },
}

local known = {
  [false] = "a model (.mlpackage, .mlmodelc, .mil, .mlmodel) nor weights (.safetensors, .npz, .npy, .gguf)",
  [true] = "a model (.mlpackage, .mlmodelc, .mil) nor weights (.safetensors, .npz, .npy)",
}

local function kind_of(path, is_target)
  local ending = path:match "%.(%w+)/*$"
  local format = formats[ending]
  if not format then error(("%s: neither %s"):format(path, known[is_target]), 0) end
  if is_target and not format[2] then error(("%s: .%s is read, not written"):format(path, ending), 0) end
  return format[1]
end

-- ---- weights ----

local function convert_weights(from, to, given)
  local mil = require "mil"
  local file = mil.weights(from)
  local n = #file
  if to:find "%.npy$" and n ~= 1 then error(("%s has %d tensors, but an npy file has one"):format(from, n), 0) end
  mil.convert(file, to, given)
end

-- ---- models ----

-- What the program has that text can't say.
local function lost_in_text(program)
  local lost, found = {}, {}
  local function note(what, is_there)
    if is_there and not found[what] then found[what], lost[#lost + 1] = true, what end
  end
  note("the metadata", next(program:metadata()) ~= nil)
  local functions = program:functions()
  note("which function is the default", program.entry and #functions > 1 and program.entry.name ~= "main")
  for _, f in ipairs(functions) do
    for i, value in ipairs(f.inputs) do note("the inputs' order", i > 1 and f.inputs[i - 1].name > value.name) end
    for _, values in ipairs { f.inputs, f.outputs } do
      for _, value in ipairs(values) do
        local feature = value.feature or {}
        note("images", feature.kind == "image")
        note("defaults of inputs", feature.optional)
        note("descriptions", (feature.description or "") ~= "")
        note("which outputs a classifier's are", feature.kind == "dictionary")
      end
    end
  end
  return table.concat(lost, ", ")
end

-- What lies in the folders of models, as patterns; what else does goes with them to their own form only.
local own = {
  mlpackage = { [""] = { "^Manifest%.json$", "^Data/$" }, ["/Data"] = { "^com%.apple%.CoreML/$" },
    ["/Data/com.apple.CoreML"] = { "%.mlmodel$", "^weights/$" } },
  mlmodelc = { [""] = { "^model%.mil$", "^coremldata%.bin$", "^metadata%.json$", "^analytics/$", "^weights/$" } },
}

local function other_file(from, to)
  local ending = from:match "%.(%w+)/*$"
  if to:match "%.(%w+)/*$" == ending then return nil end
  for folder, patterns in pairs(own[ending] or {}) do
    for _, name in ipairs(require("mil.system").list(from .. folder) or {}) do
      local is_own = false
      for _, pattern in ipairs(patterns) do is_own = is_own or name:find(pattern) end
      if not is_own then return folder:sub(2) .. (folder ~= "" and "/" or "") .. name end
    end
  end
end

-- Gives what was lost, or nil.
local function convert_model(from, to, given)
  local program = require("mil").load(from, given)
  program:save(to, given)
  local lost = to:find "%.mil$" and lost_in_text(program) or ""
  local file = other_file(from, to)
  local said = { lost ~= "" and "text can't say: " .. lost or nil }
  said[#said + 1] = file and ("other files of %s are not in it, such as %s"):format(from, file)
  return said[1] and to .. ": " .. table.concat(said, "; ")
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
  local kind = kind_of(from, false)
  if kind_of(to, true) ~= kind then
    error(("%s is %s, %s is not: a model becomes a model, weights become weights"):format(from,
      kind == "model" and "a model" or "weights", to), 0)
  end
  local line = require("mil.progress").new(given.quiet)
  local ok, err = pcall(kind == "model" and convert_model or convert_weights, from, to, { progress = line.report })
  line.clear()
  if not ok then error(err, 0) end
  if not given.quiet then say(to) end
  if err and not given.quiet then io.stderr:write("luamil: ", err, "\n") end
  return 0
end

return command

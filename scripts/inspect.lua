-- SPDX-License-Identifier: MIT
-- luamil inspect: what a model is made of: functions, inputs and outputs, operations, weights, the arithmetic of a run.

local options = require "mil.options"

local command = {
  name = "inspect",
  arguments = "FILE",
  summary = "what is in a model or a weights file: inputs, operations, weights, FLOPs",
  description = [[
FILE is a model (.mlpackage, .mlmodelc, .mil) or a weights file (.safetensors, .npz, .npy, .gguf). FLOPs count a
multiplication with the addition of its product as 2; docs/guides/command.md has the formulas. Sizes that may vary are
the model's default, else the smallest, unless --shape says.]],
  options = {
    { "--shape", "NAME=N,N,..", "the shape of an input that may vary, for FLOPs", many = true },
    { "--all", "all weights and operations, not the largest and most frequent only" },
    { "--json", "as JSON" },
    { "--quiet", "no progress on a terminal" },
  },
}

local units = require "mil.units"

local out -- lines

local function several(n, what) return ("%s %s%s"):format(n > 9999 and units.count(n) or n, what, n == 1 and "" or "s") end

-- A file's names and texts may hold bytes that would move the cursor of a terminal.
local function add(...) out[#out + 1] = string.format(...):gsub("%c", "?") end

local function add_columns(rows, right)
  for _, line in ipairs(units.columns(rows, right)) do add("  %s", line) end
end

-- ---- functions ----

local function range_text(name, range)
  if not next(range) then return nil end
  local text = ("%s from %d"):format(name, range.min or 0)
  if range.max then text = text .. (" to %d"):format(range.max) end
  return text .. (range.default and (", %d by default"):format(range.default) or "")
end

-- "an rgb image of 224 by 224", and what its author says.
local function feature_text(port)
  local feature = port.feature
  if feature.kind == "image" then
    return ("%s image, %d by %d"):format(feature.color, feature.width, feature.height)
  end
  local is_plain = feature.kind == "array" or feature.kind == "state" or feature.kind == port.type
  return not is_plain and feature.kind or nil
end

local function port_notes(port)
  local notes, feature = {}, port.feature or {}
  notes[1] = port.feature and feature_text(port)
  if port.shapes then
    local texts = {}
    for i, shape in ipairs(port.shapes) do texts[i] = "[" .. table.concat(shape, ", ") .. "]" end
    notes[#notes + 1] = "one of " .. table.concat(texts, ", ")
  else
    local ranges = {}
    for name, range in pairs(port.ranges or {}) do ranges[#ranges + 1] = range_text(name, range) end
    table.sort(ranges)
    for _, text in ipairs(ranges) do notes[#notes + 1] = text end
  end
  if feature.optional then notes[#notes + 1] = ("optional, %g by default"):format(feature.default) end
  notes[#notes + 1] = feature.description
  return table.concat(notes, "; ")
end

local function add_ports(f)
  local rows = {}
  for _, kind in ipairs { "inputs", "states", "outputs" } do
    for _, port in ipairs(f[kind]) do rows[#rows + 1] = { kind:sub(1, -2), port.name, port.type, port_notes(port) } end
  end
  add_columns(rows, {})
end

-- {op = n} as rows, most first.
local function ranked(map)
  local list = {}
  for name, n in pairs(map) do list[#list + 1] = { name = name, n = n } end
  table.sort(list, function(a, b)
    if a.n ~= b.n then return a.n > b.n end
    return a.name < b.name
  end)
  return list
end

local function add_operations(f, most)
  local parts = {}
  local list = ranked(f.ops)
  for i, row in ipairs(list) do
    if i <= most then parts[i] = row.n .. " " .. row.name end
  end
  if #list > most then parts[#parts + 1] = ("%d others"):format(#list - most) end
  add("  %s beside consts%s", several(f.operations, "operation"), #parts > 0 and ": " .. table.concat(parts, ", ") or "")
end

local function sizes_text(sizes)
  local parts = {}
  for name, size in pairs(sizes or {}) do parts[#parts + 1] = name .. " = " .. size end
  table.sort(parts)
  return #parts > 0 and " with " .. table.concat(parts, ", ") or ""
end

local function add_flops(f, most)
  local parts = {}
  for i, row in ipairs(ranked(f.flops_by_op)) do
    if i <= most and f.flops > 0 then parts[i] = ("%s %.3g%%"):format(row.name, 100 * row.n / f.flops) end
  end
  add("  %s FLOPs a run%s%s", units.count(f.flops), sizes_text(f.sizes), #parts > 0 and ": " .. table.concat(parts, ", ") or "")
  if f.flops_unknown then add("  and those of %s whose sizes only a run decides", several(f.flops_unknown, "operation")) end
end

-- ---- weights ----

local function add_weights(weights)
  add ""
  add("%s, %s, %s", several(weights.tensors, "weight"), several(weights.parameters, "parameter"), units.bytes(weights.bytes))
  local rows = {}
  for _, row in ipairs(weights.dtypes) do
    rows[#rows + 1] = { row.dtype, several(row.tensors, "tensor"), several(row.elements, "element"), units.bytes(row.bytes) }
  end
  add_columns(rows, { false, true, true, true })
  rows = {}
  for _, row in ipairs(weights.compressed) do
    rows[#rows + 1] = { row.op, several(row.tensors, "tensor"), units.bytes(row.bytes),
      "expand to " .. units.bytes(row.expanded_bytes) }
  end
  add_columns(rows, { false, true, true })
  if weights.absent then add("  %d of them are not at hand: their file is missing", weights.absent) end
  if weights.unread then add("  %s can't be read here", several(weights.unread, "tensor")) end
  if #weights.largest == 0 then return end
  add(#weights.largest < weights.tensors and "the largest:" or "they are:")
  rows = {}
  for i, row in ipairs(weights.largest) do rows[i] = { units.bytes(row.bytes), row.name, row.type } end
  add_columns(rows, { true })
end

local function add_metadata(metadata)
  local rows = {}
  for key, value in pairs(metadata or {}) do
    local text = type(value) == "table" and several(#value, "value") or tostring(value)
    if #text > 100 then text = text:sub(1, 97):gsub("[\192-\255][\128-\191]*$", "") .. ".." end
    rows[#rows + 1] = { key, text }
  end
  if #rows == 0 then return end
  table.sort(rows, function(a, b) return a[1] < b[1] end)
  add ""
  add "metadata"
  add_columns(rows, {})
end

-- ---- the whole ----

local kinds = {
  mlpackage = "model", mlmodelc = "model", mil = "model", mlmodel = "model",
  safetensors = "weights", npz = "weights", npy = "weights", gguf = "weights",
}

local function kind_of(path)
  local kind = kinds[path:match "%.(%w+)/*$"]
  if kind then return kind end
  error(path .. ": neither a model (.mlpackage, .mlmodelc, .mil, .mlmodel) nor weights (.safetensors, .npz, .npy, .gguf)", 0)
end

local function show(facts, path, most)
  out = {}
  add("%s%s", path, facts.opset and (": opset %s, specification version %d"):format(facts.opset, facts.specification) or "")
  for _, f in ipairs(facts.functions or {}) do
    add ""
    add("function %s%s", f.name, #facts.functions > 1 and f.name == facts.entry and ", the default" or "")
    add_ports(f)
    add_operations(f, most)
    add_flops(f, most)
  end
  add_weights(facts.weights)
  add_metadata(facts.metadata)
  print(table.concat(out, "\n"))
end

-- Empty lists stay lists.
local function as_json(facts)
  local json = require "mil.json"
  for _, f in ipairs(facts.functions or {}) do
    for _, kind in ipairs { "inputs", "states", "outputs" } do json.array(f[kind]) end
  end
  for _, kind in ipairs { "dtypes", "compressed", "largest" } do json.array(facts.weights[kind]) end
  return json.encode(facts)
end

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one file, but was given %d", #arguments) end
  local mil, inspect = require "mil", require "mil.inspect"
  local path = arguments[1]
  local is_weights = kind_of(path) == "weights"
  local largest = given.all and math.huge or 10
  local facts = is_weights and inspect.weights(mil.weights(path), largest)
    or inspect.program(require("mil.progress").load(path, given.quiet), { shape = given.shape, largest = largest })
  if given.json then print(as_json(facts)) else show(facts, path, largest) end
  return 0
end

return command

-- SPDX-License-Identifier: MIT
-- mil.inputs: what a function is given by a command line: tensors from files, random ones, and sizes for what may vary.
--
--     local tensors = inputs.read(f, { input = { "x=x.npy", "rest.npz" }, random = 7, shape = { "h=1,8" } })
--
-- A subcommand puts inputs.options among its own.

local mil = require "mil"
local options = require "mil.options"

local inputs = {}

inputs.options = {
  { "--input", "NAME=FILE", "the tensor of input NAME: an npy, or NAME's in an npz or safetensors; FILE alone: all that it has",
    many = true },
  { "--random", "SEED", "random tensors for inputs that no --input gives; SEED 0 unless given", optional = true, number = true },
  { "--seed", "N", "the same as --random=N", number = true },
  { "--shape", "NAME=N,N,..", "the shape of a random input, where it may vary", many = true },
}

local function fail(...) error(string.format(...), 0) end

local function described(value) return value.name .. " " .. value.type.text end

-- ---- names ----

-- The function of that name; without a name the one that is meant then.
function inputs.entry(program, name)
  local meant = not name and program.entry
  if meant then return meant end
  local names = {}
  for i, f in ipairs(program:functions()) do
    names[i] = f.name
    if f.name == name then return f end
  end
  local near = name and mil.nearest(name, names)
  if near then fail("no function %s; did you mean %s?", name, near) end
  fail("%s; there is %s (--function)", name and "no function " .. name or "no function is the default or called main",
    table.concat(names, ", "))
end

-- The inputs that are no states, in order; and by name.
function inputs.of(f)
  local list, by_name = {}, {}
  for _, value in ipairs(f.inputs) do
    if value.type.kind ~= "state" then
      list[#list + 1] = value
      by_name[value.name] = value
    end
  end
  return list, by_name
end

local function check_name(f, name)
  local list, by_name = inputs.of(f)
  if by_name[name] then return end
  for i, value in ipairs(list) do list[i] = value.name end
  local near = mil.nearest(name, list)
  fail("no input %s; %s", name, near and "did you mean " .. near .. "?" or "the model takes " .. table.concat(list, ", "))
end

-- ---- files ----

local function is_float(dtype) return dtype:find "^b?fp?%d" ~= nil end

local function is_int(dtype) return dtype:find "^u?int%d" ~= nil end

-- A float input takes any numbers, an integer one any integers that it can hold (ids are int64 in most files); what else is no fit
-- is for the run to say.
function inputs.fitted(tensor, dtype)
  if tensor.dtype == dtype or tensor.dtype == "string" then return tensor end
  if is_float(dtype) then return tensor:to(dtype) end
  if not (is_int(dtype) and is_int(tensor.dtype)) then return tensor end
  local held = tensor:to(dtype)
  return held:to(tensor.dtype):close(tensor, 0) and held or tensor
end

-- {name = tensor} of what "x=x.npy" or "several.npz" names; the one tensor of an npy has no name.
local function read_file(f, text)
  local name, path = text:match "^([^=]+)=(.+)$"
  if name then check_name(f, name) end
  local file, tensors = mil.weights(path or text), {}
  local names = mil.names(file)
  local is_npy = #names == 1 and names[1] == ""
  if is_npy and not name then options.usage("--input takes NAME=FILE where a file has one tensor, but was given %s", text) end
  if name then return { [name] = file[is_npy and "" or name] } end
  for _, each in ipairs(names) do tensors[each] = file[each] end
  return tensors
end

local function read_files(f, list)
  local _, by_name = inputs.of(f)
  local tensors = {}
  for _, text in ipairs(list or {}) do
    for name, tensor in pairs(read_file(f, text)) do
      check_name(f, name)
      if tensors[name] then options.usage("--input gives %s twice", name) end
      tensors[name] = inputs.fitted(tensor, by_name[name].type.dtype)
    end
  end
  return tensors
end

-- ---- shapes ----

-- {name = shape} of "x=1,3,224,224".
local function read_shapes(f, list)
  local shapes = {}
  for _, text in ipairs(list or {}) do
    local name, sizes = text:match "^([^=]+)=([%d,]*)$"
    if not name then options.usage("--shape takes NAME=N,N,.., but was given %s", text) end
    check_name(f, name)
    shapes[name] = {}
    for size in sizes:gmatch "%d+" do table.insert(shapes[name], tonumber(size)) end
  end
  return shapes
end

-- Sizes of symbols that a shape of --shape says.
local function bind(value, shape, sizes)
  local declared = value.type.shape
  if #declared ~= #shape then
    fail("input %s has %d axes, but --shape gives %d", described(value), #declared, #shape)
  end
  for i, size in ipairs(declared) do
    if type(size) == "string" then
      sizes[size] = sizes[size] or shape[i]
    elseif size ~= shape[i] then
      fail("input %s has %d at axis %d, but --shape gives %d", described(value), size, i - 1, shape[i])
    end
  end
end

-- Those that a tensor says; one that does not fit says nothing, and is the run's to refuse.
local function bind_tensor(value, tensor, sizes)
  local declared, shape = value.type.shape, tensor.shape
  if #declared ~= #shape then return end
  for i, size in ipairs(declared) do
    if type(size) == "string" then sizes[size] = sizes[size] or shape[i] end
  end
end

local function bind_standard(value, sizes)
  local shape = value.shapes and value.shapes[1] or {}
  for i, size in ipairs(value.type.shape) do
    if type(size) == "string" and not sizes[size] then
      local range = value.ranges[size] or {}
      sizes[size] = range.default or shape[i] or math.max(range.min or 1, 1)
    end
  end
end

-- Sizes of the function's symbols, {S = 8}: as --shape and the tensors have them, else those meant by the model, else the
-- smallest.
function inputs.sizes(f, list, tensors)
  local values, by_name = inputs.of(f)
  local sizes = {}
  for name, shape in pairs(read_shapes(f, list)) do bind(by_name[name], shape, sizes) end
  for name, tensor in pairs(tensors or {}) do bind_tensor(by_name[name], tensor, sizes) end
  for _, value in ipairs(values) do bind_standard(value, sizes) end
  return sizes
end

-- Makes sizes that may vary those of the tensors: the Neural Engine's programs have fixed ones.
function inputs.fix(f, list, tensors)
  local sizes = inputs.sizes(f, list, tensors)
  if next(sizes) then f:fix(sizes) end
end

-- ---- random ones ----

-- Each input has numbers of its own: they don't depend on the order of inputs, which MIL text changes, nor on which are given.
local function seed_of(name, seed)
  seed = seed % 2147483647
  for i = 1, #name do seed = (seed * 31 + name:byte(i)) % 2147483647 end
  return seed
end

-- Normal for floats, whole numbers to 255 for images; 0 and 1 for the rest, which any vocabulary or mask has.
local function random_tensor(value, sizes, seed)
  local shape, dtype, options = {}, value.type.dtype, { seed = seed_of(value.name, seed) }
  for i, size in ipairs(value.type.shape) do shape[i] = sizes[size] or size end
  if value.feature and value.feature.kind == "image" then
    return mil.rand("fp32", shape, options):map(function(x) return math.floor(256 * x) end):to(dtype)
  end
  if is_float(dtype) then return mil.randn(dtype, shape, options) end
  return mil.rand("fp32", shape, options):map(function(x) return x < 0.5 and 0 or 1 end):to(dtype)
end

-- The tensors of all inputs of f, by name, as the command line `given` says.
function inputs.read(f, given)
  local tensors, missing = read_files(f, given.input), {}
  local seed = given.seed or given.random
  if seed == true then seed = 0 end
  local values = inputs.of(f)
  for _, value in ipairs(values) do
    if value.type.kind ~= "tensor" then fail("input %s is %s; a run takes tensors", value.name, value.type.text) end
  end
  local sizes = seed and inputs.sizes(f, given.shape, tensors)
  for _, value in ipairs(values) do
    local may_be_absent = value.feature and value.feature.optional
    if not tensors[value.name] and (seed or not may_be_absent) then
      if seed then tensors[value.name] = random_tensor(value, sizes, seed) else missing[#missing + 1] = described(value) end
    end
  end
  if #missing > 0 then fail("no --input for %s (--random makes one up)", table.concat(missing, ", ")) end
  return tensors
end

return inputs

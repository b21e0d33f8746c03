-- SPDX-License-Identifier: MIT
-- A program as packages_written.py and packages_read.py compare it with coremltools': a table for JSON, function by function.
local json = require "mil.json"

local function elements(t)
  if t.dtype == "string" then
    local list = json.array {}
    if #t.shape == 0 then return json.array { t:get() } end
    for i = 1, t:numel() do list[i] = t:get(i) end
    return list
  end
  local list, flat = json.array {}, t:reshape { t:numel() }
  for i = 1, t:numel() do
    local x = flat:get(i)
    list[i] = type(x) == "boolean" and (x and "1" or "0") or ("%.17g"):format(x) -- NaN and infinities too
  end
  return list
end

local function type_of(value)
  local shape = json.array {}
  for i, dim in ipairs(value.type.shape or {}) do shape[i] = type(dim) == "number" and dim or "?" end
  return { kind = value.type.kind, dtype = value.type.dtype, shape = shape }
end

local function describe_value(value)
  local described = type_of(value)
  described.name = value.name
  local is_const = value.op == "const"
  if is_const and value.data then described.val, described.name = elements(value.data), nil end
  return described
end

local function list_of(values, fn)
  local list = json.array {}
  for i, value in ipairs(values) do list[i] = fn(value) end
  return list
end

local function describe_function(f)
  local operations = json.array {}
  for operation in f:operations() do
    if operation.type ~= "const" then
      local args = {}
      for name, value in pairs(operation.args) do
        args[name] = type(value) == "table" and list_of(value, describe_value) or describe_value(value)
      end
      operations[#operations + 1] = { type = operation.type, name = operation.name, args = args,
        outputs = list_of(operation.outputs, function(v) local d = type_of(v) d.name = v.name return d end) }
    end
  end
  local named = function(v) local d = type_of(v) d.name = v.name return d end
  return { name = f.name, opset = f.opset, inputs = list_of(f.inputs, named), operations = operations,
    outputs = list_of(f.outputs, function(v) return v.name end) }
end

return function(p) return list_of(p:functions(), describe_function) end

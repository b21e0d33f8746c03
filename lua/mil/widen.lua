-- SPDX-License-Identifier: MIT
-- mil.widen: a function made anew with fp32 wherever it has fp16: what it would compute if nothing were rounded to halves.
--
--     local wide = widen(f)                    -- nil, reason: nested blocks or states are not done
--
-- Consts keep the values that fp16 gave them. What constexpr operations expand is expanded as it was, and cast.

local mil = require "mil"

local function is_half(value) return value.type.dtype == "fp16" end

-- An argument's const: a tensor, or what a string or list of strings is in Lua.
local function constant(value, parameter, keeps)
  local data = value.data
  if not data then error(("%s %s of %s has no data"):format(value.name, value.type.text, parameter), 0) end
  if data.dtype == "string" then
    local text = #data.shape == 0 and data:get() or data:table()
    return parameter:find "dtype$" and text == "fp16" and "fp32" or text
  end
  return data.dtype == "fp16" and not keeps and data:to "fp32" or data
end

local function is_list(argument) return type(argument) == "table" end

local function new_arguments(operation, made)
  local keeps, arguments = operation.type:find "^constexpr_" ~= nil, { name = "wide_" .. operation.id } -- no output is called so
  local function one(value, parameter) return made[value.id] or constant(value, parameter, keeps) end
  for parameter, argument in pairs(operation.args) do
    if is_list(argument) then
      local list = {}
      for i, value in ipairs(argument) do list[i] = one(value, parameter) end
      arguments[parameter] = list
    else
      arguments[parameter] = one(argument, parameter)
    end
  end
  return arguments
end

local function add(wide, operation, made)
  local results = { wide[operation.type](wide, new_arguments(operation, made)) }
  for i, value in ipairs(operation.outputs) do
    local result = results[i]
    made[value.id] = result.type.dtype == "fp16" and result:cast { dtype = "fp32", name = "wide_cast_" .. value.id } or result
  end
end

return function(f)
  local wide, made = mil.func { opset = f.program.opset }, {}
  for _, value in ipairs(f.inputs) do
    if value.type.kind ~= "tensor" then return nil, value.name .. " is " .. value.type.text end
    made[value.id] = wide:input(value.name, is_half(value) and "fp32" or value.type.dtype, value.type.shape)
  end
  for _, operation in ipairs(f:operations()) do
    if #operation.blocks > 0 then return nil, operation.type .. " has nested blocks" end
    if operation.type ~= "const" then add(wide, operation, made) end
  end
  for _, value in ipairs(f.outputs) do
    if not made[value.id] then return nil, value.name .. " is a const" end
    wide:output(value.name, made[value.id])
  end
  return wide
end

-- SPDX-License-Identifier: MIT
-- mil.inspect: what a model or a weights file is made of, counted, as one table; scripts/inspect.lua shows it.
--
--     local facts = inspect.program(mil.load "M.mlpackage", { shape = { "x=1,3,224,224" } })
--     facts.functions[1].flops, facts.weights.parameters
--
-- Weights are the consts that hold data: tensors of floats, others of 10 elements or more, and what constexpr ops expand.
-- One that several operations or functions share (the same place of a file) counts once. parameters are their elements, of
-- expanded weights the elements that they expand to.

local mil = require "mil"
local flops = require "mil.flops"
local inputs = require "mil.inputs"

local inspect = {}

local families = {}
for _, name in ipairs(mil.ops()) do families[name] = mil.op(name).family end

-- ---- types ----

local function count(shape)
  local n = 1
  for _, size in ipairs(shape) do
    if type(size) ~= "number" then return 0 end
    n = n * size
  end
  return n
end

-- Bytes of n elements, packed where they are smaller than one.
local function bytes_of(dtype, n)
  return math.ceil(n * flops.bits(dtype) / 8)
end

-- ---- inputs and outputs ----

local function described(value)
  local port = { name = value.name, type = value.type.text }
  if next(value.ranges) then port.ranges = value.ranges end
  port.shapes, port.feature = value.shapes, value.feature
  return port
end

local function describe_function(f)
  local facts = { name = f.name, inputs = {}, states = {}, outputs = {} }
  for _, value in ipairs(f.inputs) do
    table.insert(value.type.kind == "state" and facts.states or facts.inputs, described(value))
  end
  for i, value in ipairs(f.outputs) do facts.outputs[i] = { name = value.name, type = value.type.text, feature = value.feature } end
  return facts
end

-- ---- weights ----

local function is_constexpr(operation) return families[operation.type] == "constexpr" end

-- Adds up weights; remembers the places that it has seen, and their tensors, so that no place is another's later.
local Sums = {}
Sums.__index = Sums

local function new_sums()
  return setmetatable({ seen = {}, made = {}, list = {}, dtypes = {}, ops = {}, parameters = 0, bytes = 0, expanded_bytes = 0, absent = 0 }, Sums)
end

function Sums:is_new(value)
  local data = value.data
  if not data then
    self.absent = self.absent + 1
    return true
  end
  local key = tostring(data:pointer()) .. value.type.text
  if self.seen[key] then return false end
  self.seen[key] = data
  return true
end

local function add_to(map, key, name, amounts)
  local row = map[key] or { [name] = key, tensors = 0 }
  map[key] = row
  row.tensors = row.tensors + 1
  for k, n in pairs(amounts) do row[k] = (row[k] or 0) + n end
end

-- A const that holds data. A part of a weight that is expanded adds bytes, and no parameters.
function Sums:add_const(value, f, part_of)
  local dtype, n = value.type.dtype, count(value.type.shape)
  if not self:is_new(value) then return end
  local bytes = bytes_of(dtype, n)
  self.bytes = self.bytes + bytes
  add_to(self.dtypes, dtype, "dtype", { elements = n, bytes = bytes })
  table.insert(self.list, { name = value.name or part_of, type = value.type.text, bytes = bytes, ["function"] = f.name })
  if part_of then return end
  self.parameters = self.parameters + n
  self.expanded_bytes = self.expanded_bytes + bytes
end

function Sums:add_expanded(operation, stored, is_last)
  local n, expanded = count(operation.outputs[1].type.shape), 0
  for _, y in ipairs(operation.outputs) do expanded = expanded + bytes_of(y.type.dtype, count(y.type.shape)) end
  add_to(self.ops, operation.type, "op", { elements = n, bytes = stored, expanded_bytes = expanded })
  if not is_last then return end
  self.parameters = self.parameters + n
  self.expanded_bytes = self.expanded_bytes + expanded
end

-- The consts and results that constexpr operations take: by id, the name of what is expanded.
local function parts_of(operations)
  local parts = {}
  for _, operation in ipairs(operations) do
    if is_constexpr(operation) then
      for _, value in ipairs(operation.inputs) do parts[value.id] = operation.name end
    end
  end
  return parts
end

local function is_weight(value, parts)
  local t = value.type
  if t.kind ~= "tensor" or t.dtype == "string" or #t.shape == 0 then return false end
  return parts[value.id] or t.dtype:find "^b?fp?%d" ~= nil or count(t.shape) >= 10
end

function Sums:add_function(f)
  local operations = f:operations()
  local parts = parts_of(operations)
  for _, operation in ipairs(operations) do
    local y = operation.outputs[1]
    if operation.type == "const" and is_weight(y, parts) then
      self:add_const(y, f, parts[y.id])
    elseif is_constexpr(operation) then
      self:add_constexpr(operation, not parts[y.id])
    end
  end
end

-- The parts come before the operation, so they have been counted; what is shared by all of them is shared itself. Of a part
-- that another constexpr operation makes, what that one stores is stored.
function Sums:add_constexpr(operation, is_last)
  local stored, key, counted = 0, { operation.type }, {}
  for _, value in ipairs(operation.inputs) do
    local t, data, maker = value.type, value.data, self.made[value.id]
    if maker and not counted[maker] then
      counted[maker], stored = true, stored + maker.stored
    elseif not maker and t.dtype ~= "string" and #t.shape > 0 then
      stored = stored + bytes_of(t.dtype, count(t.shape))
    end
    if t.dtype ~= "string" and #t.shape > 0 then key[#key + 1] = data and tostring(data:pointer()) or value.id end
  end
  local made = { stored = stored }
  for _, y in ipairs(operation.outputs) do self.made[y.id] = made end
  key = table.concat(key, " ")
  if self.seen[key] then return end
  self.seen[key] = true
  self:add_expanded(operation, stored, is_last)
end

local function sorted(map, by)
  local list = {}
  for _, row in pairs(map) do list[#list + 1] = row end
  table.sort(list, function(a, b)
    if a[by] ~= b[by] then return a[by] > b[by] end
    return (a.name or a.dtype or a.op) < (b.name or b.dtype or b.op)
  end)
  return list
end

function Sums:facts(most)
  local tensors, largest = #self.list, sorted(self.list, "bytes")
  while #largest > (most or 10) do largest[#largest] = nil end
  return {
    tensors = tensors, parameters = self.parameters, bytes = self.bytes, expanded_bytes = self.expanded_bytes,
    absent = self.absent > 0 and self.absent or nil, dtypes = sorted(self.dtypes, "bytes"),
    compressed = sorted(self.ops, "bytes"), largest = largest,
  }
end

-- ---- operations ----

local function count_operations(f, facts)
  local by_op, n = {}, 0
  for _, operation in ipairs(f:operations()) do
    if operation.type ~= "const" then
      by_op[operation.type] = (by_op[operation.type] or 0) + 1
      n = n + 1
    end
  end
  facts.operations, facts.ops = n, by_op
end

local function count_flops(f, facts)
  local by_op, total, unknown = {}, 0, 0
  for _, operation in ipairs(f:operations()) do
    local name = operation.type
    local n = name == "const" and 0 or flops.of(operation, families[name])
    n = n and math.floor(n)
    if not n then
      unknown = unknown + 1
    elseif n > 0 then
      by_op[name] = (by_op[name] or 0) + n
      total = total + n
    end
  end
  facts.flops, facts.flops_by_op, facts.flops_unknown = total, by_op, unknown > 0 and unknown or nil
end

-- Gives symbols sizes; false where no program has just these.
local function fix(program, functions, options)
  local all = {}
  for i, f in ipairs(program:functions()) do
    local list = {}
    for _, text in ipairs(options.shape or {}) do
      local _, by_name = inputs.of(f)
      if by_name[text:match "^[^=]*"] or #functions == 1 then list[#list + 1] = text end
    end
    local sizes = inputs.sizes(f, list)
    functions[i].sizes = next(sizes) and sizes or nil
    for name, size in pairs(sizes) do all[name] = size end
  end
  if next(all) then pcall(program.fix, program, all) end
end

-- ---- the whole ----

-- options.shape: as `luamil run --shape`, sizes for symbols; options.largest: how many weights are listed, 10 unless given. The program is changed: symbols get sizes.
function inspect.program(program, options)
  options = options or {}
  local facts, sums = { opset = program.opset, specification = program.specification, functions = {} }, new_sums()
  facts.entry, facts.metadata = program.entry and program.entry.name, program:metadata()
  for i, f in ipairs(program:functions()) do
    facts.functions[i] = describe_function(f)
    count_operations(f, facts.functions[i])
    sums:add_function(f)
  end
  facts.weights = sums:facts(options.largest)
  fix(program, facts.functions, options)
  for i, f in ipairs(program:functions()) do count_flops(f, facts.functions[i]) end
  return facts
end

function Sums:add_stored(name, stored)
  local n, bytes = count(stored.shape), stored.bytes
  add_to(self.dtypes, stored.type, "dtype", { elements = n, bytes = bytes })
  self.parameters, self.bytes = self.parameters + n, self.bytes + bytes
  self.expanded_bytes = self.expanded_bytes + (stored.dtype ~= "string" and stored.dtype and bytes_of(stored.dtype, n) or bytes)
  local text = stored.type .. (#stored.shape > 0 and "[" .. table.concat(stored.shape, ", ") .. "]" or "")
  table.insert(self.list, { name = name, type = text, bytes = bytes })
end

-- A weights file: its tensors as the file has them; unread are those that can't be read here.
function inspect.weights(file, largest)
  local sums, unread = new_sums(), 0
  for _, name in ipairs(mil.names(file)) do
    local stored = mil.stored(file, name)
    sums:add_stored(name, stored)
    if not stored.dtype then unread = unread + 1 end
  end
  local weights = sums:facts(largest)
  weights.unread = unread > 0 and unread or nil
  return { weights = weights, metadata = mil.metadata(file) }
end

return inspect

-- SPDX-License-Identifier: MIT
-- mil.diff: two programs, operation by operation: what is only in one of them, what differs, and where their values part.
--
-- Operations are paired in passes, each over what the ones before left, so that time grows with the program's size:
--   1. of one name and one op;
--   2. of one op, with the same arguments: consts that read the same, values that are paired already (a in its order, so that
--      what follows from a pair is paired too): those that only got other names;
--   3. of one name: the op is another;
--   4. of one op and one type of result, the first with the first.
-- Functions are paired by name, their inputs and outputs by name, and else by place.

local diff = {}

-- ---- functions as lists ----

-- All operations but consts, nested ones too: op, name, args, outputs, index; from: for a value's id, "index.output".
local function listed(func)
  local list, from = {}, {}
  for _, operation in ipairs(func:operations()) do
    if operation.type ~= "const" then
      local entry = { operation = operation, op = operation.type, name = operation.name or "", args = operation.args,
                      outputs = operation.outputs, index = #list + 1 }
      list[entry.index] = entry
      for k, value in ipairs(entry.outputs) do from[value.id] = { entry, k } end
    end
  end
  return { func = func, list = list, from = from }
end

local function sorted_keys(...)
  local seen, keys = {}, {}
  for _, t in ipairs { ... } do
    for key in pairs(t) do
      if not seen[key] then
        seen[key] = true
        keys[#keys + 1] = key
      end
    end
  end
  table.sort(keys)
  return keys
end

local function items(given) return type(given) == "table" and given or { given } end

local function is_const(value) return value.op == "const" end

local function is_small(tensor) return tensor and tensor:numel() <= 8 end

local function element_text(x)
  if type(x) == "table" then
    local texts = {}
    for i, each in ipairs(x) do texts[i] = element_text(each) end
    return "{" .. table.concat(texts, ", ") .. "}"
  end
  return type(x) == "string" and ("%q"):format(x) or type(x) == "number" and ("%.9g"):format(x) or tostring(x)
end

-- A const in few words: its elements where they are few.
local function const_text(value)
  return is_small(value.data) and element_text(value.data:table()) or value.type.text
end

-- ---- types ----
-- A size without a name is written "?", "?2", .. by a count that goes by the file's order: the same program in another format,
-- where a name may be lost too, counts otherwise. So of two types such sizes only have to stand for each other everywhere.

-- The type with its symbols taken out, and these, in order.
local function skeleton(text)
  local symbols = {}
  local bare = text:gsub("%b[]", function(shape)
    return (shape:gsub("[%a_?][%w_]*", function(symbol)
      symbols[#symbols + 1] = symbol
      return "?"
    end))
  end)
  return bare, symbols
end

local function same_type(p, a, b)
  if a.text == b.text then return true end
  local x, ours = skeleton(a.text)
  local y, theirs = skeleton(b.text)
  if x ~= y then return false end
  for i, symbol in ipairs(ours) do
    local other = theirs[i]
    if symbol:sub(1, 1) ~= "?" and other:sub(1, 1) ~= "?" then -- both have names
      if symbol ~= other then return false end
    else
      p.size[symbol] = p.size[symbol] or not p.size_back[other] and other or nil
      if p.size[symbol] ~= other then return false end
      p.size_back[other] = symbol
    end
  end
  return true
end

-- ---- pairing ----

local function by_key(list, key_of)
  local found = {}
  for _, entry in ipairs(list) do
    local key = not entry.pair and key_of(entry)
    if key then
      found[key] = found[key] or { first = 1 }
      table.insert(found[key], entry)
    end
  end
  return found
end

local function join(p, a, b)
  a.pair, b.pair = b, a
  for k, value in ipairs(a.outputs) do
    if b.outputs[k] then p.value[value.id] = b.outputs[k].id end
  end
  local theirs = b.operation.blocks
  for k, block in ipairs(a.operation.blocks) do
    local others = theirs[k] and theirs[k].inputs or {}
    for i, value in ipairs(block.inputs) do
      if others[i] then p.value[value.id] = others[i].id end
    end
  end
end

local function pass(p, key_of_a, key_of_b)
  local candidates = by_key(p.b.list, key_of_b)
  for _, entry in ipairs(p.a.list) do
    local key = not entry.pair and key_of_a(entry)
    local found = key and candidates[key]
    if found and found[found.first] then
      join(p, entry, found[found.first])
      found.first = found.first + 1
    end
  end
end

-- The op and its arguments; values by their ids in b, an id of a turned by `of`. nil where one has no counterpart.
local function structure(entry, of)
  local parts = { entry.op }
  for _, name in ipairs(sorted_keys(entry.args)) do
    parts[#parts + 1] = name
    for _, value in ipairs(items(entry.args[name])) do
      local text = is_const(value) and const_text(value) or of(value.id)
      if not text then return nil end
      parts[#parts + 1] = tostring(text)
    end
  end
  return table.concat(parts, "\0")
end

local function name_and_op(entry) return entry.op .. "\0" .. entry.name end
local function name_alone(entry) return entry.name ~= "" and entry.name or nil end
local function op_and_type(entry) return entry.outputs[1] and entry.op .. "\0" .. skeleton(entry.outputs[1].type.text) end

local function pair_values(p, a, b)
  local ours, theirs = {}, {}
  for _, value in ipairs(a) do ours[value.name] = value end
  for _, value in ipairs(b) do theirs[value.name] = value end
  for i, value in ipairs(a) do
    local other = theirs[value.name] or (b[i] and not ours[b[i].name] and b[i])
    if other then p.value[value.id] = other.id end
  end
end

-- Pairs the operations of two functions. value: for the id of a's value, that of b's; size, size_back: a's sizes for b's.
local function paired(a, b)
  local p = { a = listed(a), b = listed(b), value = {}, size = {}, size_back = {} }
  pair_values(p, a.inputs, b.inputs)
  pass(p, name_and_op, name_and_op)
  pass(p, function(entry) return structure(entry, function(id) return p.value[id] end) end,
    function(entry) return structure(entry, function(id) return id end) end)
  pass(p, name_alone, name_alone)
  pass(p, op_and_type, op_and_type)
  return p
end

-- ---- comparing ----

-- How two consts differ; nil: they don't.
local function const_difference(a, b)
  if a.type.text ~= b.type.text then return a.type.text .. " became " .. b.type.text end
  local x, y = a.data, b.data
  if not x or not y then return nil end -- not at hand
  if a.type.dtype == "string" then
    local s, t = element_text(x:table()), element_text(y:table())
    return s ~= t and s .. " became " .. t or nil
  end
  local same, text = x:close(y, 0)
  if same then return nil end
  if is_small(x) then return element_text(x:table()) .. " became " .. element_text(y:table()) end
  local i, was, is = text:match "^element (%d+) is (%S+), not (%S+)$"
  return ("%s: element %s is %s, not %s: off by %.3g, the most of all"):format(a.type.text, i, is, was,
    math.abs(tonumber(is) - tonumber(was)))
end

local function value_text(value) return is_const(value) and "const " .. const_text(value) or value.name end

local function argument_difference(p, a, b)
  local x, y = items(a), items(b)
  if #x ~= #y then return ("%d values became %d"):format(#x, #y) end
  for i = 1, #x do
    local text
    if is_const(x[i]) and is_const(y[i]) then
      text = const_difference(x[i], y[i])
    elseif is_const(x[i]) or is_const(y[i]) or p.value[x[i].id] ~= y[i].id then
      text = value_text(x[i]) .. " became " .. value_text(y[i])
    end
    if text then return #x > 1 and ("[%d] %s"):format(i, text) or text end
  end
end

local function operation_differences(p, a, b)
  local found = {}
  if a.op ~= b.op then found[#found + 1] = ("%s became %s"):format(a.op, b.op) end
  for _, name in ipairs(sorted_keys(a.args, b.args)) do
    local text
    if not b.args[name] then
      text = value_text(items(a.args[name])[1]) .. " is gone"
    elseif not a.args[name] then
      text = value_text(items(b.args[name])[1]) .. " is new"
    else
      text = argument_difference(p, a.args[name], b.args[name])
    end
    if text then found[#found + 1] = name .. " " .. text end
  end
  local ours, theirs = a.operation.blocks, b.operation.blocks
  if #ours ~= #theirs then found[#found + 1] = ("%d blocks became %d"):format(#ours, #theirs) end
  for k = 1, math.min(#ours, #theirs) do
    local text = argument_difference(p, ours[k].outputs, theirs[k].outputs)
    if text then found[#found + 1] = ("what block %d gives: %s"):format(k, text) end
  end
  for k, value in ipairs(a.outputs) do
    local other = b.outputs[k]
    if other and not same_type(p, value.type, other.type) then
      found[#found + 1] = ("result %s became %s"):format(value.type.text, other.type.text)
    end
  end
  return found
end

-- value: one of its results; the first where none is given.
local function described(entry, value)
  value = value or entry.outputs[1]
  return value and ("%s %s : %s"):format(entry.op, value.name, value.type.text) or entry.op
end

local function compare_operations(p, add)
  local next_b = 1
  local function added_before(index)
    for i = next_b, index - 1 do
      if not p.b.list[i].pair then add("+ " .. described(p.b.list[i])) end
    end
    next_b = math.max(next_b, index)
  end
  for _, a in ipairs(p.a.list) do
    if not a.pair then
      add("- " .. described(a))
    else
      added_before(a.pair.index)
      local texts = operation_differences(p, a, a.pair)
      if #texts > 0 then
        local name = a.name == a.pair.name and a.name or a.name .. " (" .. a.pair.name .. ")"
        add(("~ %s %s: %s"):format(a.op, name, table.concat(texts, "; ")))
      end
    end
  end
  added_before(#p.b.list + 1)
end

-- Inputs and outputs go by name; their order says nothing (text has them sorted, packages as they were described).
local function compare_ports(p, kind, a, b, add)
  local theirs, seen = {}, {}
  for _, value in ipairs(b) do theirs[value.name] = value end
  for _, value in ipairs(a) do
    local other = theirs[value.name]
    if not other then
      add(("- %s %s : %s"):format(kind, value.name, value.type.text))
    else
      seen[value.name] = true
      if not same_type(p, value.type, other.type) then
        add(("~ %s %s: %s became %s"):format(kind, value.name, value.type.text, other.type.text))
      end
    end
  end
  for _, value in ipairs(b) do
    if not seen[value.name] then add(("+ %s %s : %s"):format(kind, value.name, value.type.text)) end
  end
end

-- What an output is computed from matters as what an argument is.
local function compare_results(p, a, b, add)
  local theirs = {}
  for _, value in ipairs(b.outputs) do theirs[value.name] = value end
  for _, value in ipairs(a.outputs) do
    local other = theirs[value.name]
    if other and not is_const(value) and p.value[value.id] ~= other.id then
      add(("~ output %s: is the result of another operation"):format(value.name))
    end
  end
end

local function compare_tables(what, a, b, add)
  for _, key in ipairs(sorted_keys(a, b)) do
    if a[key] == nil then add(("+ %s %s: %s"):format(what, key, b[key]))
    elseif b[key] == nil then add(("- %s %s: %s"):format(what, key, a[key]))
    elseif a[key] ~= b[key] then add(("~ %s %s: %s became %s"):format(what, key, a[key], b[key])) end
  end
end

local function by_name(functions)
  local found = {}
  for _, func in ipairs(functions) do found[func.name] = func end
  return found
end

-- Compares two programs. Gives lines of text, in order: "- " only in a, "+ " only in b, "~ " differs.
function diff.programs(a, b)
  local lines = {}
  local function add(text) lines[#lines + 1] = text end
  if a.opset ~= b.opset then add(("~ opset: %s became %s"):format(a.opset, b.opset)) end
  compare_tables("metadata", a:metadata(), b:metadata(), add)
  local ours, theirs = by_name(a:functions()), by_name(b:functions())
  local alone = #a:functions() == 1 and #b:functions() == 1
  for _, name in ipairs(sorted_keys(ours, theirs)) do
    local x, y = ours[name], theirs[name]
    if alone and not y then y = b:functions()[1] end
    if not y then
      add("- func " .. name)
    elseif x then
      if x.name ~= y.name then add(("~ func %s became %s"):format(x.name, y.name)) end
      local function add_here(text) add(alone and text or ("%s%s: %s"):format(text:sub(1, 2), name, text:sub(3))) end
      local p = paired(x, y)
      compare_ports(p, "input", x.inputs, y.inputs, add_here)
      compare_ports(p, "output", x.outputs, y.outputs, add_here)
      compare_operations(p, add_here)
      compare_results(p, x, y, add_here)
    elseif not alone then
      add("+ func " .. name)
    end
  end
  return lines
end

-- ---- values ----
-- A function is run in slices of some operations each: a slice's results are all outputs, and what later slices take is kept
-- until the last of them has run. So memory holds what lives at once, as in a run, and each operation's result is seen.
-- A function with states is run whole: what it reads of a state is what was written before, whichever slice that were in.

local slice, slices = 24, 100 -- operations of one, at least; of a function, at most (cutting one out takes time for all of it)

local Run = {}
Run.__index = Run

local function captured(operation, visit)
  for _, value in ipairs(operation.inputs) do visit(value) end
  for _, block in ipairs(operation.blocks) do
    for _, value in ipairs(block.outputs) do visit(value) end
    for _, inner in ipairs(block:operations()) do
      for _, value in ipairs(inner.inputs) do visit(value) end
    end
  end
end

-- Operations of the function's body that compute something, in order.
local function computing(func)
  local list, nested = {}, {}
  for _, operation in ipairs(func:operations()) do
    for _, block in ipairs(operation.blocks) do
      for _, inner in ipairs(block:operations()) do nested[inner.id] = true end
    end
    if operation.type ~= "const" and not nested[operation.id] then list[#list + 1] = operation end
  end
  return list
end

-- last: the last operation that takes a value, by its id.
local function new_run(func, tensors)
  local self = setmetatable({ func = func, operations = computing(func), last = {}, live = {}, at = 0 }, Run)
  for n, operation in ipairs(self.operations) do
    captured(operation, function(value) self.last[value.id] = n end)
  end
  for _, value in ipairs(func.inputs) do self.live[value.id] = { value = value, tensor = tensors[value.name] } end
  return self
end

local function part_of(self, first, last)
  local outputs, inputs, is_input, here = {}, {}, {}, {}
  for i = first, last do
    captured(self.operations[i], function(value)
      local held = self.live[value.id]
      if held and not here[value.id] and not is_input[value.id] and held.value.op then
        is_input[value.id] = true
        inputs[#inputs + 1] = held.value
      end
    end)
    for _, value in ipairs(self.operations[i].outputs) do
      here[value.id] = true
      if value.type.kind == "tensor" then outputs[#outputs + 1] = value end
    end
  end
  return outputs, inputs
end

-- Runs the next slice: calls visit(value, tensor) for each result, in order. False: there is none.
function Run:next(visit)
  local first, last = self.at + 1, math.min(self.at + math.max(slice, math.ceil(#self.operations / slices)), #self.operations)
  if first > last then return false end
  local outputs, inputs = part_of(self, first, last)
  local part = self.func:extract { outputs = outputs, inputs = inputs }
  local given = {}
  for _, held in pairs(self.live) do given[held.value.name] = held.tensor end
  local wanted = {}
  for _, value in ipairs(part.inputs) do wanted[value.name] = given[value.name] end
  local model = part:compile { engine = "cpu", precision = "strict" }
  local results = model:run(wanted)
  model:unload()
  for k, value in ipairs(outputs) do
    local tensor = results[part.outputs[k].name]
    if (self.last[value.id] or 0) > last then self.live[value.id] = { value = value, tensor = tensor } end
    visit(value, tensor)
  end
  for id in pairs(self.live) do
    if (self.last[id] or 0) <= last then self.live[id] = nil end
  end
  self.at = last
  return true
end

local WholeRun = {}
WholeRun.__index = WholeRun

-- states: what they hold after the run, by the inputs' ids.
local function new_whole_run(func, tensors)
  return setmetatable({ func = func, tensors = tensors, states = {} }, WholeRun)
end

local function run_whole(self, values, visit)
  local model = self.func:compile { engine = "cpu", precision = "strict" }
  local state = model:state()
  local results = model:run(self.tensors, { state = state })
  for _, value in ipairs(self.func.inputs) do
    if value.type.kind == "state" then self.states[value.id] = state:tensor(value.name) end
  end
  model:unload()
  for _, value in ipairs(values) do visit(value, results[value.name]) end
end

-- As Run's. All results are outputs for as long as it takes.
function WholeRun:next(visit)
  if self.is_done then return false end
  self.is_done = true
  local is_output, values, added = {}, {}, {}
  for _, value in ipairs(self.func.outputs) do is_output[value.id] = true end
  for _, operation in ipairs(computing(self.func)) do
    for _, value in ipairs(operation.outputs) do
      if value.type.kind == "tensor" then
        values[#values + 1] = value
        if not is_output[value.id] then added[#added + 1] = value end
      end
    end
  end
  for _, value in ipairs(added) do self.func:output(value.name, value) end
  local is_fine, reason = pcall(run_whole, self, values, visit)
  for _, value in ipairs(added) do self.func:remove_output(value) end
  if not is_fine then error(reason, 0) end
  return true
end

local function has_states(func)
  for _, value in ipairs(func.inputs) do
    if value.type.kind == "state" then return true end
  end
  return false
end

local function largest(tensor)
  if tensor.dtype == "string" or tensor.dtype == "bool" or tensor:numel() == 0 then return 0 end
  return math.max(math.abs(tensor:max()), math.abs(tensor:min()))
end

-- Why fp16 does not hold the tensor, where it (or its counterpart) is of that dtype.
local function overflow(tensor, other)
  if type(tensor) ~= "userdata" then return nil end
  local is_half = tensor.dtype == "fp16"
  if not is_half and not (other and other.dtype == "fp16" and tensor.dtype == "fp32") then return nil end
  local most = largest(tensor)
  if is_half and most == math.huge then return "is infinite: fp16 ends at 65504" end
  if not is_half and most > 65504 then return ("reaches %.6g in fp32: fp16 ends at 65504"):format(most) end
end

local function parting(x, y, tolerance)
  if type(x) ~= "userdata" or type(y) ~= "userdata" then -- a classifier's label
    return x ~= y and ("is %s, not %s"):format(element_text(y), element_text(x)) or nil
  end
  if table.concat(x.shape, ",") ~= table.concat(y.shape, ",") then
    return ("has shape [%s], not [%s]"):format(table.concat(y.shape, ", "), table.concat(x.shape, ", "))
  end
  if x.dtype == "string" or y.dtype == "string" then return nil end
  local same, text = y:close(x, tolerance)
  return not same and text or nil
end

-- The tensors for b's inputs, by the names of their counterparts in a.
local function counterparts(p, a, b, tensors)
  local inputs = require "mil.inputs"
  local names, others = {}, {}
  for _, value in ipairs(a.inputs) do names[p.value[value.id] or 0] = value.name end
  for _, value in ipairs((inputs.of(b))) do
    if not names[value.id] then error(("values: input %s has no counterpart"):format(value.name), 0) end
    local tensor = tensors[names[value.id]]
    others[value.name] = tensor and inputs.fitted(tensor, value.type.dtype)
  end
  return others
end

-- Sizes for what may vary, those of the tensors.
local function fix(func, tensors)
  local inputs = require "mil.inputs"
  local _, known = inputs.of(func)
  local given = {}
  for name, tensor in pairs(tensors) do given[name] = known[name] and tensor end
  local sizes = inputs.sizes(func, nil, given)
  if next(sizes) then func:fix(sizes) end
end

-- The first state, in a's order, whose values after the run part.
local function state_parting(p, a, runs, tolerance)
  for _, value in ipairs(a.inputs) do
    local x, y = runs[1].states[value.id], runs[2].states[p.value[value.id]]
    local text = x and y and parting(x, y, tolerance)
    if text then return ("state %s : %s %s"):format(value.name, value.type.text, text) end
  end
end

-- Where each value is made: {[1] = a's, [2] = b's}, by id, each {entry =, value =, index =}. The index is that of a's order; what only b has
-- comes right after what it follows there.
local function places(p)
  local made, at = { {}, {} }, {}
  for _, entry in ipairs(p.a.list) do
    for _, value in ipairs(entry.outputs) do
      made[1][value.id] = { entry = entry, value = value, index = entry.index }
      if p.value[value.id] then at[p.value[value.id]] = entry.index end
    end
  end
  local last = 0
  for _, entry in ipairs(p.b.list) do
    for _, value in ipairs(entry.outputs) do
      last = math.max(last, at[value.id] or 0)
      made[2][value.id] = { entry = entry, value = value, index = last + 0.5 }
    end
  end
  return made
end

-- Runs two functions on the same tensors (by the names of a's inputs), with states of zeros. Gives {parts =, overflows =}: each
-- nil, or a line that names the first operation, in a's order, and how; or a state that was written otherwise. What has no
-- counterpart may overflow too.
function diff.values(a, b, tensors, tolerance)
  fix(a, tensors)
  fix(b, tensors)
  local p = paired(a, b)
  local start = (has_states(a) or has_states(b)) and new_whole_run or new_run
  local runs, back, made = { start(a, tensors), start(b, counterparts(p, a, b, tensors)) }, {}, places(p)
  for x, y in pairs(p.value) do back[y] = x end
  local waiting, found = {}, {}
  local function note(kind, place, text)
    if text and place and (not found[kind] or place.index < found[kind].index) then
      found[kind] = { index = place.index, text = ("%s %s"):format(described(place.entry, place.value), text) }
    end
  end
  local function visit(id, side, tensor)
    local met = waiting[id]
    if not met then
      waiting[id] = { [side] = tensor }
      return
    end
    waiting[id], met[side] = nil, tensor
    note("parts", made[1][id], parting(met[1], met[2], tolerance))
    note("overflows", made[1][id], overflow(met[1], met[2]) or overflow(met[2], met[1]))
  end
  local more = true
  while more and not (found.parts and found.overflows) do
    local left = runs[1]:next(function(value, tensor)
      if p.value[value.id] then visit(value.id, 1, tensor) else note("overflows", made[1][value.id], overflow(tensor)) end
    end)
    local right = runs[2]:next(function(value, tensor)
      local id = back[value.id]
      if not id then note("overflows", made[2][value.id], overflow(tensor)) elseif made[1][id] then visit(id, 2, tensor) end
    end)
    more = left or right
  end
  if not found.parts and runs[1].states then found.parts = { text = state_parting(p, a, runs, tolerance) } end
  return { parts = found.parts and found.parts.text, overflows = found.overflows and found.overflows.text }
end

return diff

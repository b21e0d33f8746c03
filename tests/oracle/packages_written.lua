-- SPDX-License-Identifier: MIT
-- Writes packages for packages_written.py, which runs this: calls of every op out of tests/vectors, and programs below with
-- what packages have beside ops. Beside NAME.mlpackage lies NAME.json, the program as it was built.
--   luamil packages_written.lua DIR CALLS      CALLS: how many of each op
local mil = require "mil"
local json = require "mil.json"

local dir, most = arg[1], tonumber(arg[2] or 4)
local count = 0

local described = dofile(arg[0]:match "^(.*/)" .. "described.lua")

local function save(name, p, expected)
  p:save(("%s/%s.mlpackage"):format(dir, name))
  local file = assert(io.open(("%s/%s.json"):format(dir, name), "w"))
  assert(file:write(json.encode { functions = described(p), expected = expected or {} }))
  assert(file:close())
  count = count + 1
end

-- ---- calls out of the vectors ----

local digits = {}
for i = 1, 64 do
  digits[("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):byte(i)] = i - 1
end

local function base64(text)
  local bytes, bits, have = {}, 0, 0
  for i = 1, #text do
    local digit = digits[text:byte(i)]
    if not digit then break end
    bits, have = bits * 64 + digit, have + 6
    if have >= 8 then
      have = have - 8
      bytes[#bytes + 1] = string.char(math.floor(bits / 2 ^ have))
      bits = bits % 2 ^ have
    end
  end
  return table.concat(bytes)
end

-- "fp32[2,a]"
local function read_type(text, bind)
  local dtype, dims = text:match "^(%w+)%[?([^%]]*)"
  local sizes, shape = {}, {}
  for dim in dims:gmatch "[^,%s]+" do
    local size = tonumber(dim)
    sizes[#sizes + 1] = size or bind[dim]
    shape[#shape + 1] = size or mil.dim(dim, { min = 1, max = 64, default = bind[dim] or 2 })
  end
  return dtype, shape, sizes
end

local at_border = { fp16 = true, fp32 = true, int32 = true }

local function builder(f, row, blobs)
  local given, bind, build = {}, row.bind or {}, nil
  local function run_time(name, text)
    local dtype, shape = read_type(text, bind)
    name = name:gsub("%.", "_")
    local is_scalar = #shape == 0
    local at_input = at_border[dtype] and dtype or "int32"
    local value = f:input(at_input == dtype and not is_scalar and name or name .. "_in", at_input, is_scalar and { 1 } or shape)
    if is_scalar then value = value:squeeze { axes = { 0 } } end
    if at_input ~= dtype then value = value:cast { dtype = dtype } end
    given[name] = value
    return value
  end
  local function const(name, what)
    local dtype, _, sizes = read_type(what.c, bind)
    local blob = row.data and row.data[name]
    if blob then return mil.from_bytes(dtype, sizes, base64(blobs[blob + 1])) end
    if what.v == nil then return mil.full(dtype, sizes, 1) end
    return f:const { val = what.v, dtype = dtype }
  end
  local function argument(name, what)
    if type(what) == "string" then return what:sub(1, 1) == "=" and given[what:sub(2)] or run_time(name, what) end
    if what.op then return build(what) end
    if what.s then return what.s end
    if what.c then return const(name, what) end
    local items = {}
    for i, item in ipairs(what) do items[i] = argument(("%s.%d"):format(name, i - 1), item) end
    return items
  end
  -- what others name comes first
  function build(call)
    local args, late = {}, {}
    for name, what in pairs(call["in"]) do
      if type(what) == "string" and what:sub(1, 1) ~= "=" then args[name] = argument(name, what) else late[#late + 1] = name end
    end
    table.sort(late)
    for _, name in ipairs(late) do args[name] = argument(name, call["in"][name]) end
    return f[call.op](f, args)
  end
  for name, text in pairs(row.inputs or {}) do run_time(name, text) end
  return build
end

local function write_call(name, row, opset, blobs)
  local f = mil.func { opset = "ios" .. opset }
  local results = { builder(f, row, blobs)(row) }
  for i, value in ipairs(results) do
    if value.op == "const" then return false end -- folded: nothing is left of the op
    if not at_border[value.type.dtype] then
      if opset < 17 and value.type.dtype ~= "bool" then return false end -- no cast takes it
      value = value:cast { dtype = "fp32" }
    end
    f:output("out" .. i, value)
  end
  if #f.inputs == 0 then -- which takes ios18
    f:output("unused_out", f:input("unused", "fp32", { 1 }):identity())
  end
  save(name, f.program)
  return true
end

-- A value of a line, with the parts that lines share in the place of their numbers.
local function whole(value, shared)
  if type(value) ~= "table" then return value end
  if value["@"] then return shared[value["@"] + 1] end
  for name, part in pairs(value) do value[name] = whole(part, shared) end
  return value
end

local function write_family(family)
  local file = assert(io.open("tests/vectors/" .. family .. ".jsonl"))
  local head = json.decode(file:read())
  local blobs = head.blobs
  local done, rows = {}, 0
  for line in file:lines() do
    rows = rows + 1
    local row = whole(json.decode(line), head.shared)
    local n = done[row.op] or 0
    if row.out and not row.blocks and n < most and (n == 0 or rows % 7 == 0) then
      local opset = row.opsets[n % #row.opsets + 1]
      local ok, why = pcall(write_call, ("%s_%s_%d"):format(family, row.op, rows), row, opset, blobs)
      if ok and why then done[row.op] = n + 1 end
      if not ok then io.stderr:write(("%s:%d: %s: %s\n"):format(family, rows + 1, row.op, tostring(why))) end
    end
  end
  file:close()
end

local families = io.popen "ls tests/vectors/*.jsonl"
for path in families:lines() do write_family(path:match "([%w_]+)%.jsonl$") end
families:close()

-- ---- what packages have beside ops ----

local program = {}

function program.functions()
  local p = mil.program { opset = "ios18" }
  local w = mil.randn("fp16", { 8, 4, 1, 1 }, { seed = 1 }) -- once in the file, though both take it
  for i, name in ipairs { "prefill", "decode" } do
    local f = p:func(name)
    local x = f:input("x", "fp16", { 1, 4, 1, i })
    f:output("y", x:conv { weight = w, pad_type = "valid" })
  end
  return p, { default = "prefill", blobs = 1 }
end

function program.named()
  local p = mil.program { opset = "ios17" }
  local f = p:func "other"
  f:output("y", f:input("x", "fp32", { 3 }):exp())
  return p, { default = "other" }
end

function program.range()
  local f = mil.func { opset = "ios16" }
  local x = f:input("x", "fp32", { 1, mil.dim("S", { min = 2, max = 9, default = 4 }), 3 })
  f:output("y", x:softmax { axis = -1 })
  return f.program, { shape = { 1, 4, 3 }, ranges = { { 1, 1 }, { 2, 9 }, { 3, 3 } } }
end

function program.enumerated()
  local f = mil.func { opset = "ios16" }
  local x = f:input("x", "fp32", mil.shapes { { 1, 3, 8, 8 }, { 1, 3, 4, 16 } })
  f:output("y", x:relu())
  return f.program, { shape = { 1, 3, 8, 8 }, shapes = { { 1, 3, 8, 8 }, { 1, 3, 4, 16 } } }
end

function program.scalars()
  local f = mil.func { opset = "ios18" }
  local a, b = f:input("a", "fp32", { 1 }), f:input("b", "fp32", { 1 })
  f:output("y", a:squeeze { axes = { 0 } } + b:squeeze { axes = { 0 } })
  return f.program
end

for _, dtype in ipairs { "fp16", "fp32", "int32", "int16", "uint16", "int8", "uint8" } do
  program["consts_" .. dtype] = function()
    local f = mil.func { opset = "ios18" }
    local x = f:input("x", "int32", { 2 })
    for n, size in ipairs { 1, 9, 10, 65 } do
      local data = mil.full(dtype, { size }, 0)
      for i = 1, size do data:set(i, i % 7) end
      local value = f:const { val = data, name = "c" .. n }:gather { indices = x, axis = 0 }
      if dtype ~= "int32" then value = value:cast { dtype = "int32" } end
      f:output("y" .. n, value)
    end
    return f.program, { blobs = 2 }
  end
end

function program.states()
  local f = mil.func { opset = "ios18" }
  local x, kv = f:input("x", "fp16", { 1, 4 }), f:state("kv", "fp16", { 1, 4 })
  local sum = f:read_state { input = kv } + x
  f:output("y", f:coreml_update_state { state = kv, value = sum, name = "kept" } * 2)
  return f.program
end

function program.consts_bool()
  local f = mil.func { opset = "ios18" }
  local x = f:input("x", "fp16", { 65 })
  local data = mil.full("bool", { 65 }, false)
  for i = 1, 65, 3 do data:set(i, true) end
  f:output("y", f:select { cond = data, a = x, b = x:relu() })
  return f.program, { blobs = 0 }
end

local names = {}
for name in pairs(program) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  save("program_" .. name, program[name]())
end
print(count .. " packages")

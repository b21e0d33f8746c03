-- SPDX-License-Identifier: MIT
-- Changing programs: looking for operations, replacing, inserting, removing, renaming, fixing sizes, cutting out parts.
local mil = require "mil"

local function raises(message, fn, ...)
  local ok = pcall(fn, ...)
  assert.is_false(ok, "raises: " .. message)
  assert.equal(message, mil.last_error().message)
end

local function lines(f)
  local list = {}
  for o in f:operations() do
    if o.type ~= "const" then list[#list + 1] = tostring(o) end
  end
  return list
end

-- y = exp(relu(x) + 1)
local function chain()
  local f = mil.func()
  local x = f:input("x", "fp32", { 2, 3 })
  local a = x:relu { name = "a" }
  f:output("y", (a + 1):exp())
  return f, x, a
end

describe("operations", function()
  it("are lists, and go into a for by themselves", function()
    local f = chain()
    local seen = {}
    for o in f:operations() do seen[#seen + 1] = o.type end
    assert.same({ "relu", "const", "add", "exp" }, seen)
    for i, o in ipairs(f.program:operations()) do assert.equal(seen[i], o.type) end
    local list = f:operations()
    for _ = 1, 2 do
      local n = 0
      for _ in list do n = n + 1 end
      assert.equal(4, n)
    end
  end)

  it("are found by op and by what a function says", function()
    local f = chain()
    assert.equal(1, #f:operations "add")
    assert.equal("a", f:operations(function(o) return o.name == "a" end)[1].name)
    raises('operations: no op "rellu"; did you mean relu?', f.operations, f, "rellu")
    raises("operations: the filter (the name of an op, or a function) is a string, but was given 1", f.operations, f, 1)
  end)

  it("may be removed by the function that is asked about them", function()
    local f, x = chain()
    x:tanh { name = "unused" }
    x:sin { name = "last" }
    local asked = {}
    local list = f:operations(function(o)
      asked[#asked + 1] = o.type
      if o.name == "unused" then o:remove() end
      return true
    end)
    assert.same({ "relu", "const", "add", "exp", "tanh", "sin" }, asked)
    assert.equal(5, #list)
    assert.equal("last", list[5].name)
  end)

  it("say what they are", function()
    local f, x, a = chain()
    local relu = a.operation
    assert.equal(relu, f:operations()[1])
    assert.is_true(relu ~= f:operations()[2])
    assert.equal("a", relu.name)
    assert.equal("x", relu.args.x.name)
    assert.equal("x", relu.inputs[1].name)
    assert.equal("a", relu.outputs[1].name)
    assert.equal("main", relu.block.name)
    assert.same({}, relu.blocks)
    assert.truthy(relu.where:find "editing_spec")
    assert.is_nil(x.operation)
    assert.equal("add_0", a:uses()[1].name)
    assert.equal("a : fp32[2, 3] = relu(x = x)", tostring(relu))
  end)

  it("that are gone are an error", function()
    local f = chain()
    local o = f:operations()[4]
    f:remove_output "y"
    assert.is_true(o:remove())
    raises("type: the operation is no longer part of its program", function() return o.type end)
    assert.equal("(an operation that is no longer there)", tostring(o))
    assert.equal(3, #f:operations())
    raises('an operation has no "typ"; did you mean type?', function() return f:operations()[1].typ end)
    raises('an operation has no field that can be set, but "type" was', function() f:operations()[1].type = "relu" end)
    raises("replace: takes an operation, but was given a function", f:find("a").replace, f:find "a", f:find "x", f)
  end)
end)

describe("values", function()
  it("are replaced, as outputs too", function()
    local f = chain()
    local y = f.outputs[1]
    y:replace(y:softmax { axis = -1 })
    assert.equal("softmax", f.outputs[1].op)
    assert.equal("y", f.outputs[1].name)
    local t = f:compile():run { x = { { 1, 2, 3 }, { 1, 1, 1 } } }.y
    assert.is_true(math.abs(t:get(2, 1) - 1 / 3) < 1e-6)
    assert.equal(f, f:verify())
  end)

  it("are replaced for some operations only", function()
    local f, x, a = chain()
    local b = a:tanh()
    local c = a:sigmoid()
    a:replace(x, c.operation)
    assert.equal("x", c.operation.args.x.name)
    assert.equal("a", b.operation.args.x.name)
    a:replace(x, { b.operation })
    assert.equal("x", b.operation.args.x.name)
    assert.equal(1, #a:uses())
    assert.is_truthy(f)
  end)

  it("are not replaced by what comes later, or does not fit, or is elsewhere", function()
    local f, x, a = chain()
    local late = f.outputs[1]:tanh { name = "late" }
    local before = tostring(f)
    raises("replace: add_0 uses a, but other is not defined yet there", function()
      local other = x:tanh { name = "other" }
      a:replace(other)
    end)
    f:undo()
    local g, z = chain()
    raises("replace: the value belongs to another program", a.replace, a, z)
    assert.equal(before, tostring(f))
    assert.is_truthy(g and late)
  end)

  it("take their types with them", function()
    local f, x = chain()
    local wide, half = f:input("wide", "fp32", { 4, 3 }), f:input("half", "fp16", { 4, 3 })
    x:replace(wide)
    assert.equal("fp32[4, 3]", f.outputs[1].type.text)
    raises("replace: add_0 would fail: add: x fp16[4, 3] and y fp32 must have one dtype", wide.replace, wide, half)
    assert.equal("wide", f:find("a").operation.args.x.name)
  end)
end)

describe("inserting", function()
  it("goes before or after an operation", function()
    local f, _, a = chain()
    local t = f:operations("add")[1]:before(function(block)
      assert.equal("main", block.name)
      return a:tanh { name = "t" }
    end)
    a:replace(t)
    f:operations("relu")[1]:after(function() a:sigmoid { name = "s" } end)
    assert.same({
      "a : fp32[2, 3] = relu(x = x)", "s : fp32[2, 3] = sigmoid(x = a)", "t : fp32[2, 3] = tanh(x = a)",
      "add_0 : fp32[2, 3] = add(x = t, y = 1)", "y : fp32[2, 3] = exp(x = add_0)",
    }, lines(f))
  end)

  it("goes into the blocks of a branch, but not to their end", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 2 })
    f:output("y", f:cond(f:input("p", "bool", {}), function() return x:mul(2):add(1) end, function() return x:mul(5) end))
    local first, last = (table.unpack or unpack)(f:operations "mul", 1, 2)
    first:after(function(b) first.outputs[1]:replace(b:exp { x = first.outputs[1] }, f:operations "add") end)
    assert.equal("exp", f:operations("add")[1].args.x.op)
    raises("after: mul_1 is the last operation of its block in cond y, and nothing can go to the end of that; before it can",
      last.after, last, function() return x:exp() end)
    last:before(function(b) last.outputs[1]:replace(b:mul(last.args):exp { name = "e" }) end)
    assert.same({ 0, 0 }, { #last.outputs[1]:uses(), #f:operations("exp")[2].outputs[1]:uses() })
    local y = f:compile():run({ x = mil.tensor("fp32", { 0, 1 }), p = mil.tensor("bool", false) }).y:table()
    assert.near(1, y[1], 1e-4)
    assert.near(math.exp(5), y[2], 1e-2)
  end)

  it("ends with the function, whatever happens in it", function()
    local f, _, a = chain()
    local add = f:operations("add")[1]
    raises("tanh: the value given for x, y, is made only after the place of the operation", add.before, add,
      function() f.outputs[1]:tanh() end)
    assert.has_error(function() add:before(function() error "no" end) end)
    a:tanh { name = "last" }
    assert.equal("last : fp32[2, 3] = tanh(x = a)", lines(f)[4])
    raises("before: takes a function, but was given 1", add.before, add, 1)
  end)

  it("lets a new branch see only what is there before its place, whether it computes with it or passes it on", function()
    local f = mil.func()
    local x, p = f:input("x", "fp32", { 2 }), f:input("p", "bool", {})
    local first = x:relu()
    local late = first:exp()
    f:output("y", late)
    local at = f:operations()[1]
    for message, branch in pairs {
      ["mul: the value given for x, y, is made only after the place of the operation"] = function() return late * 2 end,
      ["block output: the value is made only after the place of the operation"] = function() return late end,
    } do
      local ok, err = pcall(at.after, at, function(b) b:cond(p, branch, function() return first end) end)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(message, 1, true), tostring(err))
    end
    at:after(function(b) -- twice: the order of operations goes where one with blocks is added, and branches ask for it
      for _ = 1, 2 do
        b:cond(p, function() return first end, function() return x end)
        b:cond(p, function() return first * 3 end, function() return first end)
      end
      assert.is_false((pcall(b.cond, b, p, function() return late end, function() return first end)))
    end)
    at:after(function(b) at.outputs[1]:replace(b:cond(p, function() return first * 2 end, function() return first end)) end)
    assert.same({ 1, 1 }, f:compile():run({ x = { -1, 0 }, p = mil.tensor("bool", true) }).y:table())
  end)
end)

describe("undoing", function()
  it("takes back what was made since a mark, wherever it stands, and nothing else", function()
    local f, x, a = chain()
    local before = tostring(f)
    local mark = f:mark()
    f:operations("add")[1]:before(function() a:tanh():mul(2) end)
    x:sigmoid()
    f:undo(mark)
    assert.equal(before, tostring(f))
    f:undo(mark)
    assert.equal(before, tostring(f))
    a:replace(x)
    a.operation:remove()
    f:undo(mark)
    assert.equal(2, #lines(f))
    raises('undo: a mark is a whole number, but was given "x"', f.undo, f, "x")
  end)
end)

describe("what is not changed", function()
  it("stays: shapes to choose from, states, symbols", function()
    local f = mil.func()
    local x = f:input("x", "fp16", mil.shapes { { 2, 4 }, { 3, 4 } })
    local s = f:state("s", "fp16", { 1, 4 })
    local sum = x + s:read_state()
    s:coreml_update_state { value = mil.ones("fp16", { 1, 4 }) }
    f:output("y", sum)
    sum:replace(sum:relu())
    f:prune()
    f:rename("x", "input"):verify()
    assert.equal("fp16[x_0, 4]", f.outputs[1].type.text)
    assert.equal("state", f:find("s").type.kind)
    assert.equal(1, #f:operations "coreml_update_state")
    local model = f:compile()
    assert.same({ 3, 4 }, model:run({ input = mil.zeros("fp16", { 3, 4 }) }, { state = model:state() }).y.shape)
    raises("run: input input is [2, 4] or [3, 4], but was given [4, 4]", model.run, model,
      { input = mil.zeros("fp16", { 4, 4 }) }, { state = model:state() })
    f:retype("input", "fp16", { 4, 4 })
    model = f:compile()
    assert.same({ 4, 4 }, model:run({ input = mil.zeros("fp16", { 4, 4 }) }, { state = model:state() }).y.shape)
  end)
end)

describe("arguments", function()
  it("are set, and results follow", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 2, 3 })
    f:output("y", x:reduce_sum { axes = { 1 } }:exp())
    local sum = f:operations("reduce_sum")[1]
    sum:set("axes", { 0 })
    sum:set("keep_dims", true)
    assert.equal("fp32[1, 3]", f.outputs[1].type.text)
    sum:set("keep_dims", nil)
    assert.equal("fp32[3]", f.outputs[1].type.text)
    assert.equal(2, #f:operations "const" + 1)
    raises('reduce_sum: no parameter "axis"; did you mean axes?', sum.set, sum, "axis", 1)
    raises("set: takes a name and a value (nil: none any more)", sum.set, sum, "axes")
    raises("set: reduce_sum_0 would fail: reduce_sum: axes = 5 is out of range for rank 2 (-2 to 1)", sum.set, sum, "axes", { 5 })
    assert.equal("fp32[3]", f.outputs[1].type.text)
    f:verify()
  end)

  it("may be lists of values", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 2, 3 })
    f:output("y", f:concat { values = { x, x }, axis = 0 })
    f:operations("concat")[1]:set("values", { x, x, mil.ones("fp32", { 1, 3 }) })
    assert.same({ 5, 3 }, f.outputs[1].type.shape)
  end)
end)

describe("programs", function()
  it("are renamed everywhere at once", function()
    local p = mil.program()
    for _, name in ipairs { "prefill", "decode" } do
      local f = p:func(name)
      f:output("y", f:input("x", "fp32", { 4 }):exp())
    end
    assert.equal(p, p:rename("x", "image"))
    p:rename(p:func "decode", "step")
    assert.equal("image", p:func("step").inputs[1].name)
    assert.equal("exp", p:find("image"):uses()[1].type)
  end)
end)

describe("renaming", function()
  it("is undone where one name is taken", function()
    local p = mil.program()
    for i, name in ipairs { "one", "two" } do
      local f = p:func(name)
      f:output(i == 1 and "y" or "z", f:input("x", "fp32", { 4 }):exp())
    end
    raises('the name "z" is taken in function two', p.rename, p, "x", "z")
    assert.equal("x", p:func("one").inputs[1].name)
    raises('rename: there is no value "nobody"', p.rename, p, "nobody", "z")
    raises('there is a function "two" already', p.rename, p, p:func "one", "two")
  end)
end)

describe("sizes", function()
  local function symbolic()
    local f = mil.func()
    local x = f:input("x", "fp32", { "B", 3 })
    local z = f:input("z", "fp32", { "B", "S" })
    f:output("y", f:concat { values = { x, z }, axis = 1 })
    return f
  end

  it("are fixed for all inputs at once", function()
    local f = symbolic()
    f:fix { B = 1 }
    assert.equal("fp32[1, S + 3]", f.outputs[1].type.text)
    f.program:fix { S = 5 }
    assert.same({ 1, 8 }, f.outputs[1].type.shape)
    raises('fix: no input has a symbolic dim "B"', f.fix, f, { B = 2 })
    f:verify()
  end)

  it("are taken from the table alone: its metamethods would run in the middle of a change", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp16", { "S", 4 }):relu())
    f:fix(setmetatable({}, { __index = function() for i = 1, 300 do f:input("z" .. i, "fp16", { "S" }) end return 3 end }))
    assert.equal(1, #f.inputs)
    assert.equal("fp16[S, 4]", tostring(f.inputs[1].type))
  end)

  it("are refused by fix's own name", function()
    local f = mil.func()
    f:output("z", f:input("x", "fp32", { "N" }) * f:input("y", "fp32", { "M" }))
    raises("fix: z would fail: mul: x fp32[2] and y fp32[3] do not broadcast", f.fix, f, { N = 2, M = 3 })
  end)

  it("change with an input's type", function()
    local f = symbolic()
    raises("retype: y would fail: concat: values must have one dtype, but the first is int32[7, 3] and number 2 is fp32[B, S]",
      f.retype, f, "x", "int32", { 7, 3 })
  end)

  it("may be other symbols", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp32", { 4 }):exp())
    f:retype("x", "fp16", { "N", 2 })
    assert.equal("fp16[N, 2]", f.outputs[1].type.text)
  end)
end)

describe("parts", function()
  it("are programs of their own", function()
    local f = chain()
    local head = f:extract { outputs = { "a" } }
    assert.equal("a", head.outputs[1].name)
    local tail = f:extract { inputs = { "a" }, outputs = { f:find "y" } }
    assert.equal("a", tail.inputs[1].name)
    assert.equal(1, #tail.inputs)
    local x = mil.tensor("fp32", { { 1, -2, 3 }, { -1, 0, 1 } })
    local whole = f:compile():run { x = x }.y
    local parts = tail:compile():run { a = head:compile():run { x = x }.a }.y
    assert.is_true(whole:close(parts, 0))
    raises("extract: no values", f.extract, f, {})
    raises('extract: there is no value "b"', f.extract, f, { outputs = { "b" } })
    raises('extract: no option "output"; did you mean outputs?', f.extract, f, { output = { "a" } })
    raises("extract: a is given twice as an input", f.extract, f, { outputs = { "y" }, inputs = { "a", "a" } })
  end)

  it("may begin at one of several results", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 4, 2 })
    local a, b = x:split { num_splits = 2, axis = 0, name = "s" }
    f:output("y", a + b)
    local part = f:extract { inputs = { a }, outputs = { "y" } }
    assert.same({ "s_0", "x" }, { part.inputs[1].name, part.inputs[2].name })
    part:verify()
  end)
end)

describe("pruning", function()
  it("leaves what outputs need", function()
    local f, x = chain()
    x:tanh():sigmoid()
    assert.equal(f, f:prune())
    assert.equal(4, #f:operations())
    f:input("z", "fp32", { 1 })
    f:remove_input "z"
    raises("remove: x is used by a", f.remove_input, f, "x")
    assert.equal(1, #f.inputs)
  end)
end)

describe("methods", function()
  it("of values and functions have no op's name", function()
    local is_op = {}
    local own = { const = true, cond = true, while_loop = true } -- with arguments of their own
    for _, name in ipairs(mil.ops()) do is_op[name] = not own[name] end
    for _, entry in ipairs(require "mil.face") do
      if entry.class == "value" or entry.class == "function" then assert.is_falsy(is_op[entry.member], entry.name) end
    end
  end)
end)

describe("functions", function()
  local function two()
    local p = mil.program()
    for _, name in ipairs { "plain", "other" } do
      local f = p:func(name)
      f:output("y", f:input("x", "fp32", { 2 })[name == "plain" and "relu" or "exp"](f:find "x"))
    end
    return p
  end

  it("are removed, by name too, and their handles then say so", function()
    local p = two()
    local typo = p:func "plian"
    raises('remove_function: there is no function "nobody"', p.remove_function, p, "nobody")
    raises("remove_function: the function belongs to another program", two().remove_function, p, two():func "plain")
    assert.equal(p, p:remove_function(typo))
    raises("remove_function: the function is no longer part of its program", p.remove_function, p, typo)
    raises("input: the function is no longer part of its program", typo.input, typo, "x", "fp32", { 2 })
    raises("function: the function is no longer part of its program", function() return typo.name end)
    raises("operations: the function is no longer part of its program", typo.operations, typo)
    raises("tostring: the function is no longer part of its program", tostring, typo)
    assert.is_false(pcall(typo.relu, typo, { x = p:find "x" }))
    p:remove_function "plain":verify()
    assert.equal("other", p.entry.name)
    local y = p:compile():run({ x = { 0, 0 } }).y
    assert.same({ 1, 1 }, y:table())
  end)
end)

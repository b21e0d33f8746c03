-- SPDX-License-Identifier: MIT
-- Branches, loops and lists: built, printed, read back, saved, run, and what is said of those that are wrong.
local mil = require "mil"

local both = { { optimize = 0 }, { optimize = 1 } }

-- Both ways of compiling give this.
local function gives(f, inputs, expected)
  for _, options in ipairs(both) do
    local out = f:compile(options):run(inputs)
    for name, numbers in pairs(expected) do assert.same(numbers, out[name]:table()) end
  end
end

local function fails(message, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

local function same_when_read(p)
  local text = tostring(p)
  assert.equal(text, tostring(mil.parse(text)))
end

local function branching()
  local f = mil.func()
  local x, p = f:input("x", "fp32", { 2 }), f:input("p", "bool", {})
  return f, x, p
end

describe("cond", function()
  it("says how it is called to who calls it as other ops", function()
    local f, _, p = branching()
    fails("cond: pred is a value, but was given a table; it is called f:cond(pred, yes, no)", f.cond, f, { pred = p })
    fails("while_loop: there are no loop variables; it is called f:while_loop({x, ..}, decide, body)", f.while_loop, f, { loop_vars = p })
  end)

  it("runs one of its blocks", function()
    local f, x, p = branching()
    local a, b = f:cond(p, function() return x + 1, x end, function() return x * 3, x * 4 end, { name = "c" })
    f:output("a", a + b)
    same_when_read(f)
    gives(f, { x = { 1, 2 }, p = true }, { a = { 3, 5 } })
    gives(f, { x = { 1, 2 }, p = false }, { a = { 7, 14 } })
  end)

  it("chooses when the program is compiled, where pred is known", function()
    local f, x = branching()
    f:output("a", f:cond(f:const(false), function() return x + 1 end, function() return x - 1 end))
    gives(f, { x = { 1, 2 }, p = true }, { a = { 0, 1 } })
  end)

  it("nests, and is a method of its pred", function()
    local f, x, p = branching()
    local q = f:input("q", "bool", {})
    f:output("a", p:cond(function()
      local twice = x * 2
      return q:cond(function() return twice + 1 end, function() return twice end)
    end, function() return x end))
    for i, expected in ipairs { { 3, 5 }, { 2, 4 }, { 1, 2 }, { 1, 2 } } do
      gives(f, { x = { 1, 2 }, p = i <= 2, q = i % 2 == 1 }, { a = expected })
    end
  end)

  it("gives what has another size in each block", function()
    local f, x, p = branching()
    local n = f:input("n", "fp32", { "N" })
    f:output("a", f:cond(p, function() return n * 2 end, function() return x end))
    gives(f, { x = { 1, 2 }, p = true, n = { 1, 2, 3 } }, { a = { 2, 4, 6 } })
    gives(f, { x = { 1, 2 }, p = false, n = { 1, 2, 3 } }, { a = { 1, 2 } })
  end)

  it("is refused where its blocks do not agree", function()
    local f, x, p = branching()
    fails("cond: the first block gives 1 values, but the second 2", f.cond, f, p, function() return x end, function() return x, x end)
    fails("cond: value 0 is fp32[2] where pred is true, but bool where it is false", f.cond, f, p, function() return x end, function() return p end)
    fails("cond: a block returns values, but its result 0 is 1", f.cond, f, p, function() return 1 end, function() return x end)
    fails("cond: pred bool[2] is not one bool", f.cond, f, x:greater(0), function() return x end, function() return x end)
    fails("no luck", f.cond, f, p, function() error "no luck" end, function() return x end)
    assert.equal(2, #f:operations()) -- x > 0 and its const: the rest left no trace
    local kept
    f:cond(p, function() kept = x + 1 return kept end, function() return x end)
    fails("belongs to a block that is closed", function() return kept + 1 end)
    fails("belongs to a block that is closed", function() return x + kept end)
  end)
end)

describe("while_loop", function()
  it("repeats", function()
    local f, x = branching()
    local i, acc = f:while_loop({ f:const(0), x }, function(b, i) return i:less(10) end, function(b, i, acc) return i + 1, acc + x end)
    f:output("acc", acc)
    f:output("i", i)
    same_when_read(f)
    gives(f, { x = { 1, 2 }, p = true }, { acc = { 11, 22 }, i = 10 })
  end)

  it("makes no turn where the first decision is no", function()
    local f, x, p = branching()
    f:output("y", f:while_loop({ x, p }, function(b, x, p) return p end, function(b, x, p) return x + 1, p:logical_not() end))
    gives(f, { x = { 1, 2 }, p = false }, { y = { 1, 2 } })
    gives(f, { x = { 1, 2 }, p = true }, { y = { 2, 3 } })
  end)

  it("gives its variables their next values all at once", function()
    local f = mil.func()
    local a, b, n = f:input("a", "fp32", { 2 }), f:input("b", "fp32", { 2 }), f:input("n", "int32", {})
    local _, x, y, z = f:while_loop({ f:const(0), a, b, a }, function(_, i) return i:less(n) end,
      function(_, i, x, y, z) return i + 1, y, x, x + y end)
    f:output("x", x) f:output("y", y) f:output("z", z)
    gives(f, { a = { 1, 2 }, b = { 10, 20 }, n = 3 }, { x = { 10, 20 }, y = { 1, 2 }, z = { 11, 22 } })
    gives(f, { a = { 1, 2 }, b = { 10, 20 }, n = 2 }, { x = { 1, 2 }, y = { 10, 20 }, z = { 11, 22 } })
  end)

  it("lets a variable grow, whose size is a symbol then", function()
    local f = mil.func()
    local x, n = f:input("x", "fp32", { 1, 2 }), f:input("n", "int32", {})
    local i, all = f:while_loop({ f:const(0), x }, function(_, i) return i:less(n) end,
      function(b, i, all) return i + 1, b:concat { values = { all, x * 2 }, axis = 0 } end)
    assert.is_nil(tonumber(all.type.shape[1]))
    f:output("all", all)
    gives(f, { x = { { 1, 2 } }, n = 2 }, { all = { { 1, 2 }, { 2, 4 }, { 2, 4 } } })
    gives(f, { x = { { 1, 2 } }, n = 0 }, { all = { { 1, 2 } } })
  end)

  it("nests, reads values of outer blocks in every turn, and holds branches", function()
    local f = mil.func()
    local n = f:input("n", "int32", {})
    local three = f:const(3)
    local base = n * 2
    local i, total = f:while_loop({ f:const(0), f:const(0) }, function(_, i) return i:less(n) end, function(b, i, total)
      local j, inner = b:while_loop({ b:const(0), total }, function(_, j) return j:less(three) end,
        function(_, j, t) return j + 1, t + base end)
      local odd = i:mod(2):equal(1)
      return i + 1, odd:cond(function() return inner end, function() return inner + 1 end)
    end)
    f:output("total", total)
    same_when_read(f)
    gives(f, { n = 4 }, { total = 4 * 3 * 8 + 2 })
  end)

  it("is stopped by max_turns, and the model can be used afterwards", function()
    local f, x, p = branching()
    f:output("y", f:while_loop({ x, p }, function(b, x, p) return p end, function(b, x, p) return x + 1, p end, { name = "forever" }))
    local model = f:compile { max_turns = 100 }
    fails("while_loop: y has made 100 turns, the most that max_turns allows", model.run, model, { x = { 0, 0 }, p = true })
    assert.same({ 5, 6 }, model:run({ x = { 5, 6 }, p = false }).y:table())
  end)

  it("is stopped by mil.cancel", function()
    local f, x, p = branching()
    f:output("y", f:while_loop({ x, p }, function(b, x, p) return p end, function(b, x, p) return x + 1, p end))
    local model = f:compile()
    local run = model:start { x = { 0, 0 }, p = true }
    assert.is_false(run:wait(0.1))
    repeat mil.cancel() until run:wait(0.01)
    fails("cancelled in while_loop y", run.result, run)
    assert.same({ 5, 6 }, model:run({ x = { 5, 6 }, p = false }).y:table())
  end)

  it("holds values that can't be computed by themselves", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 2 })
    f:output("y", x:while_loop(function(b, v) return b:reduce_max { x = v }:less(9) end, function(_, v) return v:mul { y = 2, name = "twice" } end,
      { name = "loop" }))
    local twice = f:operations("mul")[1].outputs[1]
    fails("eval: twice is inside of while_loop y; only values of a function's own body can be computed by themselves", twice.eval, twice)
  end)

  it("is refused where a variable changes what only its size may", function()
    local f, x = branching()
    fails("while_loop: loop variable 0, x, is fp32[2], but int32[2] after a turn", f.while_loop, f, { x },
      function(_, x) return x:reduce_sum { axes = { 0 }, keep_dims = false }:less(1) end, function(_, x) return x:cast "int32" end)
    fails("while_loop: there are 1 loop variables, but the second block gives 2 values", f.while_loop, f, { x },
      function(_, x) return x:reduce_sum { axes = { 0 }, keep_dims = false }:less(1) end, function(_, x) return x, x end)
    fails("while_loop: the first block gives one bool, but here fp32[2]", f.while_loop, f, { x }, function(_, x) return x end, function(_, x) return x end)
    fails("while_loop: there are no loop variables; it is called f:while_loop({x, ..}, decide, body)", f.while_loop, f, {}, function() end, function() end)
    fails("while_loop: loop variable 0 is a value, but was given 3", f.while_loop, f, { 3 }, function() end, function() end)
    fails("takes 2 blocks, but has 0", mil.parse, [[
program(1.3)
{
    func main<ios18>(tensor<fp32, [2]> x) {
            tensor<fp32, [2]> y = while_loop(loop_vars = (x))[name = string("y")];
        } -> (y);
}]])
  end)
end)

describe("lists", function()
  local function list_program()
    local f = mil.func()
    local a, b, at = f:input("a", "fp32", { 2 }), f:input("b", "fp32", { 2 }), f:input("at", "int32", {})
    return f, a, b, at
  end

  it("are written, read, gathered, scattered", function()
    local f, a, b = list_program()
    local ls = f:make_list { init_length = 2, elem_shape = { 2 } }
    f:output("first", ls:list_read(0))
    ls = ls:list_write { index = 0, value = a }
    local longer = ls:list_write { index = 4, value = b }
    longer = longer:list_scatter { indices = { 2, 1 }, value = { { -1, -2 }, { -4, -5 } } }
    f:output("gathered", longer:list_gather { indices = { 4, 2, 3 } })
    f:output("old", ls:list_gather { indices = { 0, 1 } })       -- is what it was
    f:output("n", longer:list_length())
    f:output("m", ls:list_length())
    same_when_read(f)
    gives(f, { a = { 1, 3 }, b = { 2, 4 }, at = 0 },
      { first = { 0, 0 }, gathered = { { 2, 4 }, { -1, -2 }, { 0, 0 } }, old = { { 1, 3 }, { 0, 0 } }, n = 5, m = 2 })
  end)

  it("know their length where it is fixed", function()
    local f = list_program()
    local ls = f:make_list { init_length = 3, dynamic_length = false, elem_shape = { 2 }, dtype = "int32" }
    assert.equal(3, ls:list_length().data:table())
    assert.is_nil(f:make_list({ init_length = 3, elem_shape = { 2 } }):list_length().data)
  end)

  it("have no length in a loop that a file says they have", function()
    local f = mil.func()
    local n = f:input("n", "int32", { 1 })
    local _, ls, sum = f:while_loop({ f:const(0), f:make_list { elem_shape = { 2 } }, f:const(0) }, function(_, i) return i:less(n) end,
      function(b, i, ls, sum)
        local longer = ls:list_write { index = i, value = mil.zeros("fp32", { 2 }) }
        return i + 1, longer, sum + longer:list_length()
      end)
    f:output("sum", sum:expand_dims { axes = { 0 } })
    f:output("n_all", ls:list_length():expand_dims { axes = { 0 } })
    same_when_read(f)
    local path = os.tmpname()
    os.remove(path)
    f:save(path .. ".mlpackage")
    for _, p in ipairs { f, mil.parse(tostring(f)), mil.load(path .. ".mlpackage") } do gives(p, { n = { 3 } }, { sum = { 6 }, n_all = { 3 } }) end
    os.execute("rm -rf '" .. path .. ".mlpackage'")
  end)

  it("are not read or written outside of what they hold", function()
    local f, a, b, at = list_program()
    local ls = f:make_list { init_length = 2, dynamic_length = false, elem_shape = { 2 } }
    ls = ls:list_write { index = at, value = a, name = "written" }
    f:output("y", ls:list_read(at))
    local model = f:compile()
    fails("list_write: index 2 is outside of", model.run, model, { a = { 1, 2 }, b = { 1, 2 }, at = 2 })
    fails("list_write: index -1 is outside of", model.run, model, { a = { 1, 2 }, b = { 1, 2 }, at = -1 })
    assert.same({ 1, 2 }, model:run({ a = { 1, 2 }, b = { 1, 2 }, at = 1 }).y:table())
    f = list_program()
    f:output("y", f:make_list({ elem_shape = { 2 } }):list_gather { indices = { 0, 1 } })
    model = f:compile()
    fails("list_gather: index 1 is outside of make_list_0, which has 1 element", model.run, model, { a = { 1, 2 }, b = { 1, 2 }, at = 2 })
  end)

  it("grow no further than memory_limit", function()
    local f, a, _, at = list_program()
    local ls = f:make_list { elem_shape = { 2 } }
    f:output("y", ls:list_write({ index = at, value = a }):list_read(at))
    local model = f:compile { memory_limit = 100000 }
    assert.same({ 1, 2 }, model:run({ a = { 1, 2 }, b = { 1, 2 }, at = 100 }).y:table())
    fails("beyond the limit of 100000", model.run, model, { a = { 1, 2 }, b = { 1, 2 }, at = 20000 })
    assert.same({ 1, 2 }, model:run({ a = { 1, 2 }, b = { 1, 2 }, at = 3 }).y:table())
  end)

  it("that grew in one run do not stand in the next one's way", function()
    local f = mil.func()
    local n, m = f:input("n", "int32", {}), f:input("m", "int32", {})
    local function filled(n, name)
      local _, ls = f:while_loop({ f:const(0), f:make_list { elem_shape = { 2 } } }, function(_, i) return i:less(n) end,
        function(b, i, ls) return i + 1, ls:list_write { index = i, value = b:const({ 1, 2 }, "fp32") } end)
      f:output(name, ls:list_length())
    end
    filled(n, "first")
    filled(m, "second")
    local model = f:compile { memory_limit = 100000 }
    local function run(n, m) return model:run { n = n, m = m } end
    for _ = 1, 2 do
      assert.equal(7000, run(7000, 3).first:get())
      assert.equal(7000, run(3, 7000).second:get())
      fails("beyond the limit of 100000", run, 3, 70000)
    end
  end)

  it("are filled in a loop", function()
    local f = mil.func()
    local n, step = f:input("n", "int32", {}), f:input("step", "fp32", { 2 })
    local i, ls = f:while_loop({ f:const(0), f:make_list { elem_shape = { 2 } } }, function(_, i) return i:less(n) end,
      function(_, i, ls) return i + 1, ls:list_write { index = i, value = step * i:cast "fp32" } end)
    f:output("y", ls:list_gather { indices = f:range_1d { start = 0, end_ = ls:list_length(), step = 1 } })
    same_when_read(f)
    gives(f, { n = 3, step = { 1, 2 } }, { y = { { 0, 0 }, { 1, 2 }, { 2, 4 } } })
  end)

  it("have elements whose size the first write tells", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { "S", 2 })
    local ls = f:make_list { init_length = 1, elem_shape = { "S", 2 } }:list_write { index = 1, value = x }
    f:output("y", ls:list_read(1))
    f:output("z", ls:list_read(0))
    gives(f, { x = { { 1, 2 } } }, { y = { { 1, 2 } }, z = { { 0, 0 } } })
    gives(f, { x = { { 1, 2 }, { 3, 4 } } }, { y = { { 1, 2 }, { 3, 4 } }, z = { { 0, 0 }, { 0, 0 } } })
  end)

  it("are refused elements of another type", function()
    local f, a, b, at = list_program()
    local ls = f:make_list { elem_shape = { 3 } }
    fails("list_write: an element of ls list<fp32[3], ?", ls.list_write, ls, { index = 0, value = a })
    fails("list_scatter: value fp32[2] has 2 elements for the 3 indices", ls.list_scatter, ls, { indices = { 0, 1, 2 }, value = a })
    fails("list_read: ls takes a list, but a is fp32[2]", a.list_read, a, 0)
    fails("make_list: dtype takes bool, fp16, fp32 or int32", f.make_list, f, { elem_shape = { 3 }, dtype = "int8" })
    fails("make_list: elem_shape: dim 0", f.make_list, f, { elem_shape = { -3 } })
    fails("make_list: elem_shape: dim 0", f.make_list, f, { elem_shape = { at } })
  end)
end)

describe("packages", function()
  it("hold blocks and lists", function()
    local f = mil.func()
    local n, step = f:input("n", "int32", { 1 }), f:input("step", "fp32", { 2 })
    local i, ls = f:while_loop({ f:const(0), f:make_list { elem_shape = { 2 } } }, function(_, i) return i:less(n) end,
      function(b, i, ls)
        local value = i:equal(1):cond(function() return step * 2 end, function() return step end)
        return i + 1, ls:list_write { index = i, value = value }
      end)
    f:output("y", ls:list_gather { indices = { 0, 1 } })
    for _, ending in ipairs { ".mlpackage", ".mlmodelc", ".mil" } do
      local path = os.tmpname()
      os.remove(path)
      f:save(path .. ending)
      local p = mil.load(path .. ending)
      assert.equal(#f:operations(), #p:operations())
      gives(p, { n = { 2 }, step = { 1, 2 } }, { y = { { 1, 2 }, { 2, 4 } } })
      os.execute("rm -rf '" .. path .. ending .. "'")
    end
  end)
end)

describe("a changed program", function()
  it("has its blocks inferred again", function()
    local f = mil.func()
    local x, p = f:input("x", "fp32", { 2, 3 }), f:input("p", "bool", {})
    local _, acc = f:while_loop({ f:const(0), x }, function(_, i) return i:less(3) end, function(_, i, acc)
      return i + 1, p:cond(function() return acc + x end, function() return acc * 2 end)
    end)
    f:output("y", acc)
    f:retype("x", "fp32", { "N", 3 })
    f:verify()
    assert.is_nil(tonumber(f:find("y").type.shape[1]))
    gives(f, { x = { { 1, 2, 3 } }, p = true }, { y = { { 4, 8, 12 } } })
    local before = tostring(f)
    fails("retype: ", f.retype, f, "x", "fp16", { 2, 3 })
    assert.equal(before, tostring(f))
  end)

  it("loses what its blocks do not need", function()
    local f, x, p = branching()
    f:output("y", f:cond(p, function() local _ = x * 3 return x + 1 end, function() return x end))
    assert.equal(1, #f:operations "mul")
    f:prune()
    assert.equal(0, #f:operations "mul")
    gives(f, { x = { 1, 2 }, p = true }, { y = { 2, 3 } })
  end)
end)

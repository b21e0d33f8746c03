-- SPDX-License-Identifier: MIT
-- States: memory that a model keeps between runs. Reading and writing it in programs, runs on it, text.
local mil = require "mil"

local function fails(code, pattern, call, ...)
  assert.is_false((pcall(call, ...)))
  assert.equal(code, mil.last_error().code)
  assert.truthy(mil.last_error().message:find(pattern, 1, true), mil.last_error().message)
end

-- y = 2 * total, where total, the sum of all x so far, stays in the state
local function accumulator(dtype, shape)
  local f = mil.func { opset = "ios18" }
  local x = f:input("x", dtype or "fp16", shape or { 2 })
  local memory = f:state("memory", "fp16", { 2 })
  local total = memory:read_state() + x
  memory:coreml_update_state { value = total }
  f:output("y", total * 2)
  return f
end

-- Of tests/vectors/packages/stateful.mlpackage: cache = cache + x; out = cache * weight.
describe("a part of a function with states", function()
  it("has what is written before it reads", function()
    local f = mil.load("tests/vectors/packages/stateful.mlpackage").entry
    local x = { x = mil.full("fp16", { 4, 4 }, 3) }
    local whole, part = f:compile(), f:extract { outputs = { "out" } }:compile()
    local a, b = whole:state(), part:state()
    for _ = 1, 2 do
      assert.is_true(part:run(x, { state = b }).out:close(whole:run(x, { state = a }).out, 0))
      assert.is_true(b:tensor("cache"):close(a:tensor "cache", 0))
    end
    assert.same({ "cache", "x" }, { part:states()[1].name, part:inputs()[1].name })
    local given = f:extract { inputs = { "cache" }, outputs = { "out" } }
    assert.same({ "cache", "x" }, { given.inputs[1].name, given.inputs[2].name })
    assert.equal(1, #given:operations "write_state")
  end)

  it("has none of what is written later, or for what it is given", function()
    local f = mil.load("tests/vectors/packages/stateful.mlpackage").entry
    assert.equal(0, #f:extract({ outputs = { "sum" } }):operations "write_state")
    assert.equal(0, #f:extract({ inputs = { "new" }, outputs = { "out" } }):operations "write_state")
  end)
end)

describe("a state", function()
  it("is kept between runs, each its own", function()
    for _, options in ipairs { {}, { optimize = 0 }, { precision = "strict" }, { threads = 2 } } do
      local model = accumulator():compile(options)
      local one, two = model:state(), model:state()
      for turn = 1, 3 do
        assert.same({ 2 * turn, 4 * turn }, model:run({ x = { 1, 2 } }, { state = one }).y:table())
      end
      assert.same({ 2, 4 }, model:run({ x = { 1, 2 } }, { state = two }).y:table())
      assert.same({ 3, 6 }, one:tensor("memory"):table())
      one:tensor("memory"):write { 10, 20 }
      assert.same({ 22, 44 }, model:run({ x = { 1, 2 } }, { state = one }).y:table())
      assert.same({ 2, 4 }, model:run({ x = { 1, 2 } }, { state = one:reset() }).y:table())
    end
  end)

  it("goes with bound and started runs", function()
    local model = accumulator():compile()
    local state, x = model:state(), mil.ones("fp16", { 2 })
    local step = model:bind({ x = x }, { state = state })
    step() step()
    assert.same({ 4, 4 }, step.outputs.y:table())
    assert.same({ 6, 6 }, model:start({ x = x }, { state = state }):result().y:table())
  end)

  it("is described", function()
    local model = accumulator():compile()
    assert.same({ { name = "memory", dtype = "fp16", shape = { 2 } } }, model:states())
    assert.equal("x", model:inputs()[1].name)
    assert.equal(1, #model:inputs())
    assert.equal("state: memory", tostring(model:state()))
  end)

  it("is written by a step that has no result, and so no name", function()
    local f = mil.func { opset = "ios18" }
    local x, memory = f:input("x", "fp16", { 2 }), f:state("memory", "fp16", { 2 })
    memory:write_state { data = x + 1 }
    f:output("y", x:relu())
    local steps = f:compile():steps()
    assert.same({ "add_0" }, steps[1].ops)
    assert.same({}, steps[2].ops)
    assert.same({ "y" }, steps[3].ops)
  end)

  it("is not there for eval, which says so", function()
    local f = mil.func { opset = "ios18" }
    local y = f:state("memory", "fp16", { 2 }):read_state() + 1
    fails("ESTATE", "eval: add_0 is computed from state memory, but eval has no state; model:run(inputs, {state = model:state()}) has one", y.eval, y)
  end)

  it("has axes in Core ML", function()
    local f = mil.func { opset = "ios18" }
    f:output("y", f:state("memory", "fp16", {}):read_state())
    fails("EUNSUPPORTED", "Core ML's states have axes, and so one number is {1}; this is a scalar, fp16", f.save, f, "x.mlpackage")
  end)

  it("works beside inputs whose size varies", function()
    local f = mil.func { opset = "ios18" }
    local memory = f:state("memory", "fp16", { 2 })
    local x = f:input("x", "fp16", { "N", 2 })
    local sum = memory:read_state() + x:reduce_sum { axes = { 0 } }
    memory:coreml_update_state { value = sum }
    f:output("y", x + sum)
    local model = f:compile()
    local state = model:state()
    assert.same({ { 2, 2 } }, model:run({ x = mil.ones("fp16", { 1, 2 }) }, { state = state }).y:table())
    assert.same({ { 4, 4 }, { 4, 4 } }, model:run({ x = mil.ones("fp16", { 2, 2 }) }, { state = state }).y:table())
    assert.same({ 3, 3 }, state:tensor("memory"):table())
  end)

  it("sees reads and writes in their order", function()
    local p = mil.parse [[
program(1.3)
{
  func main<ios18>(tensor<fp16, [2]> x, state<tensor<fp16, [2]>> s) {
    tensor<fp16, [2]> before = read_state(input = s)[name = string("before")];
    write_state(data = x, input = s)[name = string("w1")];
    tensor<fp16, [2]> between = read_state(input = s)[name = string("between")];
    tensor<fp16, [2]> more = add(x = between, y = x)[name = string("more")];
    write_state(data = more, input = s)[name = string("w2")];
    tensor<fp16, [2]> after = read_state(input = s)[name = string("after")];
  } -> (before, between, after);
}
]]
    for _, options in ipairs { {}, { optimize = 0 } } do
      local model = p:compile(options)
      local state = model:state()
      local out = model:run({ x = { 1, 2 } }, { state = state })
      assert.same({ { 0, 0 }, { 1, 2 }, { 2, 4 } }, { out.before:table(), out.between:table(), out.after:table() })
      assert.same({ 2, 4 }, model:run({ x = { 5, 5 } }, { state = state }).before:table())
    end
    assert.equal(tostring(p), tostring(mil.parse(tostring(p))))
  end)

  it("is written as packages have it: a write, then a read where the result is used", function()
    local f = mil.func { opset = "ios18" }
    local memory = f:state("memory", "fp16", { 2 })
    f:output("y", memory:coreml_update_state { value = f:input("x", "fp16", { 2 }), name = "upd" } * 2)
    local text = tostring(f)
    assert.truthy(text:find('write_state(data = x, input = memory)[name = string("upd_write_state")];', 1, true))
    assert.truthy(text:find('tensor<fp16, [2]> upd = read_state(input = memory)[name = string("upd")];', 1, true))
    local model = mil.parse(text):compile()
    assert.same({ 6, 8 }, model:run({ x = { 3, 4 } }, { state = model:state() }).y:table())
  end)

  it("takes just what it holds", function()
    local f = mil.func { opset = "ios18" }
    local memory, x = f:state("memory", "fp16", { 2 }), f:input("x", "fp32", { 2 })
    fails("ETYPE", "value fp32[2] is not what state state<fp16[2]> holds", memory.coreml_update_state, memory, { value = x })
    assert.equal("fp16", memory:coreml_update_state({ value = { 1, 2 } }).type.dtype) -- numbers are of the state's dtype
    fails("ETYPE", "state wide: dim 0 is no size; those of a state are fixed", f.state, f, "wide", "fp16", { "N" })
    fails("ETYPE", "a state", x.read_state, x)
    fails("ETYPE", "a tensor", memory.relu, memory)
    fails("ETYPE", "a state can't be an output", f.output, f, "y", memory)
  end)

  it("is asked for, and must be the model's own", function()
    local model, other = accumulator():compile(), accumulator():compile()
    assert.truthy(tostring(model):find("^model: .*state memory fp16%[2%] %->"))
    fails("EINVAL", "run: state memory fp16[2] is missing; a run is given the state that it works on", model.run, model, { x = { 1, 2 } })
    fails("EINVAL", "run: takes a state", model.run, model, { x = { 1, 2 } }, { state = 1 })
    fails("ENAME", "did you mean memory?", other:state().tensor, other:state(), "memry")
    fails("ENAME", "no option", model.run, model, { x = { 1, 2 } }, { sate = 1 })
  end)

  it("is one for several models, where it has what they keep", function()
    local function keeping(...)
      local f, dtype = mil.func(), "fp16"
      local x = f:input("x", dtype, { 2 })
      for i, name in ipairs { ... } do
        local memory = f:state(name, dtype, { 2 })
        memory:coreml_update_state { value = memory:read_state() + x * 10 ^ (i - 1) }
      end
      f:output("y", x:identity())
      return f:compile()
    end
    local both, turned, one = keeping("a", "b"), keeping("b", "a"), keeping "b"
    local state = both:state()
    for _, model in ipairs { both, turned, one } do model:run({ x = { 1, 2 } }, { state = state }) end
    assert.same({ 1 + 10, 2 + 20 }, state:tensor("a"):table())
    assert.same({ 10 + 1 + 1, 20 + 2 + 2 }, state:tensor("b"):table())
    fails("EINVAL", "run: the state is another model's, which has no a fp16[2]", both.run, both, { x = { 1, 2 } }, { state = one:state() })
    local f = mil.func()
    f:state("b", "fp16", { 3 }):read_state()
    f:output("y", f:input("x", "fp16", { 2 }):identity())
    local other = f:compile()
    fails("EINVAL", "which has no b fp16[3]", other.run, other, { x = { 1, 2 } }, { state = state })
  end)

  it("is copied, saved and read again", function()
    local model = accumulator():compile()
    local state = model:state()
    model:run({ x = { 1, 2 } }, { state = state })
    local copy = state:copy()
    model:run({ x = { 1, 2 } }, { state = state })
    assert.same({ 1, 2 }, copy:tensor("memory"):table())
    assert.same({ 2, 4 }, state:tensors().memory:table())
    local path = os.tmpname() .. ".safetensors"
    mil.save(path, state:tensors())
    assert.equal(copy, copy:write(mil.weights(path)))
    assert.same({ 2, 4 }, copy:tensor("memory"):table())
    assert.same({ 5, 6 }, copy:write({ memory = mil.tensor("fp16", { 5, 6 }) }):tensor("memory"):table())
    fails("ENAME", "write: there is nothing for memory", copy.write, copy, {})
    fails("EINVAL", "write: takes tensors by name, but was given 1", copy.write, copy, 1)
    assert.is_false(pcall(copy.write, copy, { memory = mil.ones("fp16", { 3 }) }))
  end)
end)

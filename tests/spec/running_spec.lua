-- SPDX-License-Identifier: MIT
-- Compiling and running from Lua: run, bind, start, eval, options, what is refused, cancelling.
local mil = require "mil"

-- y = relu(x) * 2
local function doubled(shape, dtype)
  local f = mil.func()
  f:output("y", f:input("x", dtype or "fp32", shape or { 2, 2 }):relu() * 2)
  return f
end

local function fails(code, pattern, call, ...)
  local ok = pcall(call, ...)
  assert.is_false(ok)
  assert.equal(code, mil.last_error().code)
  assert.truthy(mil.last_error().message:find(pattern, 1, true), mil.last_error().message)
end

describe("a model", function()
  it("runs tensors and tables", function()
    local model = doubled():compile()
    assert.same({ { 2, 0 }, { 6, 0 } }, model:run({ x = mil.tensor { { 1, -2 }, { 3, -4 } } }).y:table())
    assert.same({ { 2, 0 }, { 6, 0 } }, model:run({ x = { { 1, -2 }, { 3, -4 } } }).y:table())
    assert.same({ { 2, 0 }, { 6, 0 } }, model:run({ x = { 1, -2, 3, -4 } }).y:table())
    assert.same({ { 2, 4 }, { 6, 8 } }, model:run({ x = mil.tensor({ { 1, 3 }, { 2, 4 } }):transpose() }).y:table())
  end)

  it("rounds where a cast is, whatever the precision", function()
    local f = mil.func()
    local sum = f:input("x", "fp32", { 2 }):cast { dtype = "fp16" } + f:const({ 1e-4, 1e-4 }, "fp16")
    f:output("y", sum:cast { dtype = "fp32" })
    for _, options in ipairs { {}, { precision = "strict" }, { optimize = 0 } } do
      assert.same({ 1, 1024 }, f:compile(options):run({ x = { 1, 1024 } }).y:table())
    end
  end)

  it("runs a batch", function()
    local model = doubled({ "N", 2 }):compile()
    local list = model:run_batch { { x = { { 1, -2 } } }, { x = mil.tensor { { 3, 4 }, { -5, 6 } } } }
    assert.equal(2, #list)
    assert.same({ { 2, 0 } }, list[1].y:table())
    assert.same({ { 6, 8 }, { 0, 12 } }, list[2].y:table())
    assert.same({}, model:run_batch {})
    fails("EINVAL", "takes a list of tables of inputs by name, but was given 3", model.run_batch, model, 3)
    fails("EINVAL", "takes a table of inputs by name, but was given 3", model.run_batch, model, { 3 })
    fails("ETYPE", "run 2 of 2: input x is fp32[?, 2], but was given fp16[1, 2]", model.run_batch, model,
      { { x = { { 1, 2 } } }, { x = mil.ones("fp16", { 1, 2 }) } })
    fails("EINVAL", "run 2 of 2: input x fp32[?, 2] is missing", model.run_batch, model, { { x = { { 1, 2 } } }, {} })
  end)

  it("gives fresh tensors", function()
    local model = doubled():compile()
    local a = model:run({ x = { 1, 1, 1, 1 } }).y
    local b = model:run({ x = { 2, 2, 2, 2 } }).y
    assert.equal(2, a:get(1, 1))
    assert.equal(4, b:get(1, 1))
  end)

  it("says what it takes and gives", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp16", { 1, "S" }):relu())
    local model = f:compile()
    assert.same({ { name = "x", dtype = "fp16", shape = { 1, "?" } } }, model:inputs())
    assert.same({ { name = "y", dtype = "fp16", shape = { 1, "?" } } }, model:outputs())
    assert.truthy(model:describe():find "^cpu.*\nno plan yet")
    assert.equal("0", tostring(model:memory().weights))
    assert.truthy(model:memory().context >= 0)
    assert.equal("model: x fp16[1, ?] -> y fp16[1, ?]", tostring(model))
    assert.equal(7, model:run({ x = mil.ones("fp16", { 1, 7 }) }).y:size(1))
    assert.equal(3, model:run({ x = mil.ones("fp16", { 1, 3 }) }).y:size(1))
    assert.truthy(model:describe():find "plan: 1 step,.*relu.*plan: 1 step,.*relu")
  end)

  it("takes options", function()
    local f = doubled()
    for _, options in ipairs {
      {}, { engine = "cpu" }, { optimize = 0 }, { optimize = false }, { threads = 2 }, { precision = "strict" },
      { disable = "fold" }, { disable = { "fold", "cse" } }, { entry = "main" }, { memory_limit = 1e9 },
    } do
      assert.equal(2, f:compile(options):run({ x = { 1, 1, 1, 1 } }).y:get(1, 1))
    end
  end)

  it("keeps what it needs when its program is gone", function()
    local model
    do model = doubled():compile() end
    collectgarbage()
    collectgarbage()
    assert.equal(2, model:run({ x = { 1, 1, 1, 1 } }).y:get(2, 2))
  end)

  it("refuses what it can't take", function()
    local f = doubled()
    local model = f:compile()
    fails("EINVAL", "run: input x fp32[2, 2] is missing", model.run, model, {})
    fails("EINVAL", "run: input x fp32[2, 2] is missing", model.run, model)
    fails("ENAME", 'run: no input "xx"; did you mean x?', model.run, model, { x = { 1, 1, 1, 1 }, xx = 1 })
    fails("ETYPE", "run: input x is fp32[2, 2], but was given fp32[3]", model.run, model, { x = mil.ones("fp32", { 3 }) })
    fails("ETYPE", "run: input x is fp32[2, 2], but was given fp16[2, 2], which is to be converted to fp32 first", model.run, model, { x = mil.ones("fp16", { 2, 2 }) })
    fails("EINVAL", "run: x takes a tensor or a table of numbers, but was given a function", model.run, model, { x = print })
    fails("EINVAL", "run: takes a table of inputs by name, but was given 5", model.run, model, 5)
    fails("ENAME", 'compile: no option "thread"; did you mean threads?', f.compile, f, { thread = 1 })
    fails("ENAME", "compile: there is no engine \"gpu\"", f.compile, f, { engine = "gpu" })
    fails("EVALUE", "compile: precision is \"default\" or \"strict\", but was given \"half\"", f.compile, f, { precision = "half" })
    fails("EVALUE", "compile: optimize is 0 to 1, but was given 7", f.compile, f, { optimize = 7 })
    local freed = mil.ones("fp32", { 2, 2 })
    freed:free()
    fails("ESTATE", "run: the tensor given for x has been freed", model.run, model, { x = freed })
    assert.equal(2, model:run({ x = { 1, 1, 1, 1 } }).y:get(1, 1))
  end)

  it("is unloaded", function()
    local model = doubled():compile()
    local step = model:bind { x = mil.ones("fp32", { 2, 2 }) }
    assert.is_true(model:unload())
    assert.is_true(model:unload())
    fails("ESTATE", "run: the model has been unloaded", model.run, model, { x = { 1, 1, 1, 1 } })
    fails("ESTATE", "the model has been unloaded", step)
    assert.equal("(an unloaded model)", tostring(model))
  end)
end)

describe("a bound run", function()
  it("reads and writes the tensors that it was given", function()
    local x, y = mil.zeros("fp32", { 2, 2 }), mil.zeros("fp32", { 2, 2 })
    local step = doubled():compile():bind { x = x, y = y }
    for i = 1, 3 do
      x:fill(i)
      assert.is_true(step())
      assert.equal(2 * i, y:get(1, 2))
    end
    assert.equal(6, step.outputs.y:get(1, 1))
  end)

  it("has outputs where none was given", function()
    local x = mil.ones("fp32", { 2, 2 })
    local step = doubled():compile():bind { x = x }
    assert.same({}, step.outputs)
    step()
    local first = step.outputs.y
    x:fill(5)
    step()
    assert.equal(2, first:get(1, 1))
    assert.equal(10, step.outputs.y:get(1, 1))
  end)

  it("keeps its tensors", function()
    local step = doubled():compile():bind { x = mil.ones("fp32", { 2, 2 }) }
    collectgarbage()
    collectgarbage()
    step()
    assert.equal(2, step.outputs.y:get(2, 2))
  end)

  it("refuses what does not fit", function()
    local model = doubled():compile()
    fails("EINVAL", "bind: input x is missing", model.bind, model, {})
    fails("ENAME", 'bind: no input or output "z"', model.bind, model, { z = 1 })
    fails("ETYPE", "output y is fp32[2, 2]", model.bind, model, { x = { 1, 2, 3, 4 }, y = mil.zeros("fp32", { 4 }) })
    local frozen = mil.ones("fp32", { 2, 2 })
    mil.func():const(frozen)
    fails("ESTATE", "output y can't be written", model.bind, model, { x = { 1, 2, 3, 4 }, y = frozen })
  end)
end)

describe("a started run", function()
  -- a loop without an end, or of so many turns at the most
  local function endless(turns)
    local f = mil.func()
    local p = f:input("p", "bool", {})
    f:output("y", f:while_loop({ p }, function(_, q) return q end, function(_, q) return q:logical_and(true) end, { name = "y" }))
    return f:compile { max_turns = turns }
  end

  it("is waited for", function()
    local run = doubled():compile():start { x = { 1, 1, 1, 1 } }
    assert.is_true(run:wait())
    assert.is_true(run:done())
    assert.equal("a run (done)", tostring(run))
    assert.equal(2, run:result().y:get(1, 1))
    fails("ESTATE", "result: the run's result has been taken", run.result, run)
  end)

  it("raises what is wrong with its inputs at once, and what its run says at the result", function()
    local model = doubled():compile()
    fails("EINVAL", "input x fp32[2, 2] is missing", model.start, model, {})
    fails("ETYPE", "input x is fp32[2, 2], but was given fp32[3]", model.start, model, { x = mil.zeros("fp32", { 3 }) })
    local run = endless(10):start { p = true }
    run:wait(10)
    fails("ELIMIT", "y has made 10 turns", run.result, run)
  end)

  it("is stopped by itself, and leaves others alone", function()
    local model = endless()
    local one, other = model:start { p = true }, model:start { p = true }
    assert.is_false(one:wait(0.01))
    assert.equal("a run (under way)", tostring(one))
    assert.equal(one, one:cancel())
    fails("ECANCELLED", "cancelled", one.result, one)
    assert.is_false(other:done())
    other:cancel()
    fails("ECANCELLED", "cancelled", other.result, other)
  end)

  it("is under way for a model that is unloaded: it ends, the next one is refused", function()
    local model = doubled({ 64, 64 }):compile()
    local x, runs = mil.ones("fp32", { 64, 64 }), {}
    for i = 1, 20 do runs[i] = model:start { x = x } end
    model:unload()
    fails("ESTATE", "the model has been unloaded", model.start, model, { x = x })
    for i = 1, 20 do assert.equal(2, runs[i]:result().y:get(64, 64)) end
  end)

  it("is awaited by coroutines, and anywhere else", function()
    local model, log = doubled():compile(), {}
    local function task(n)
      return coroutine.create(function()
        local first = model:start({ x = { n, n, n, n } }):await()
        log[#log + 1] = first.y:get(1, 1)
        local second = model:start({ x = { 10, 10, 10, n } }):await()
        log[#log + 1] = second.y:get(2, 2)
      end)
    end
    local tasks, turns = { task(1), task(2) }, 0
    while #tasks > 0 and turns < 1e7 do
      for i = #tasks, 1, -1 do
        local ok, run = coroutine.resume(tasks[i])
        assert.is_true(ok, run)
        if coroutine.status(tasks[i]) == "dead" then table.remove(tasks, i)
        else assert.equal(getmetatable(run), "mil.run") end
      end
      turns = turns + 1
    end
    table.sort(log)
    assert.same({ 2, 2, 4, 4 }, log)
    assert.equal(6, model:start({ x = { 3, 3, 3, 3 } }):await().y:get(1, 1))
    local wrong = coroutine.create(function()
      local out = endless(10):start({ p = true }):await()
      return out
    end)
    local ok, err
    repeat ok, err = coroutine.resume(wrong) until not ok or coroutine.status(wrong) == "dead"
    assert.is_false(ok)
    assert.truthy(tostring(err):find("running_spec.lua:%d+: .*y has made 10 turns"), tostring(err))
  end)

  it("several at once, dropped at will", function()
    local model = doubled({ 64, 64 }):compile()
    local x, runs = mil.ones("fp32", { 64, 64 }), {}
    for i = 1, 8 do runs[i] = model:start { x = x } end
    for i = 1, 4 do assert.equal(2, runs[i]:result().y:get(64, 64)) end
    runs = nil -- luacheck: ignore
    collectgarbage()
    model:unload()
  end)
end)

describe("memory that is seen twice", function()
  -- y = relu(x) of 100 elements
  local function relu()
    local f = mil.func()
    f:output("y", f:input("x", "fp32", { 100 }):relu())
    return f:compile()
  end

  it("keeps a view of an output as it was", function()
    local x = mil.ones("fp32", { 100 })
    local step = relu():bind { x = x }
    step()
    local part = step.outputs.y:sub { 1, 50 }
    collectgarbage()
    collectgarbage()
    x:fill(7)
    step()
    assert.equal(1, part:get(1))
    assert.equal(7, step.outputs.y:get(1))
  end)

  it("keeps outputs of any size as they were, one value given twice among them", function()
    local f = mil.func()
    local found = f:input("x", "fp32", { 6 }):non_zero()
    f:output("y", found)
    f:output("z", found)
    local x, kept = mil.zeros("fp32", { 6 }), {}
    local step = f:compile():bind { x = x }
    for i, row in ipairs { { 1, 3 }, { 0, 5 }, { 2, 4 }, { 1, 2, 3 }, { 5 }, { 0 }, { 3, 4 }, { 0, 1 } } do
      x:fill(0)
      for _, at in ipairs(row) do x:set(at + 1, 1) end
      step()
      if i % 3 ~= 0 then kept[#kept + 1] = { step.outputs.y, row } end -- the third is written again
      kept[#kept + 1] = { step.outputs.z, row }
      for _, pair in ipairs(kept) do
        assert.same({ #pair[2], 1 }, pair[1].shape)
        assert.same(pair[2], pair[1]:reshape({ #pair[2] }):table())
      end
    end
  end)

  it("makes an output anew whose last one was a const of a program that is gone", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp32", { 3 }):non_zero())
    local x = mil.ones("fp32", { 3 })
    local step = f:compile():bind { x = x }
    step()
    mil.func():const(step.outputs.y)
    collectgarbage()
    collectgarbage()
    for i = 1, 3 do
      step()
      step.outputs.y:set(1, 1, i)
      collectgarbage()
      collectgarbage()
    end
  end)

  it("does not write to a bound output that has become a const", function()
    local y = mil.zeros("fp32", { 100 })
    local step = relu():bind { x = mil.ones("fp32", { 100 }), y = y }
    step()
    mil.func():const(y)
    fails("ESTATE", "output y can't be written: its memory is read-only, it is a const of a program", step)
  end)

  it("packs each of several weights in one buffer", function()
    local w, x = mil.randn("fp32", { 64, 64, 3, 3 }), mil.randn("fp32", { 1, 64, 8, 8 })
    local f = mil.func()
    local v = f:input("x", "fp32", { 1, 64, 8, 8 })
    f:output("part", v:conv { weight = w:sub { 1, 4 } })
    f:output("whole", v:conv { weight = w })
    f:output("other", v:conv { weight = w:reshape { 16, 64, 6, 6 } })
    local fast, plain = f:compile():run { x = x }, f:compile({ optimize = 0 }):run { x = x }
    for _, name in ipairs { "part", "whole", "other" } do assert.is_true(fast[name]:close(plain[name], 1e-3), name) end
  end)
end)

describe("sizes that only the run knows", function()
  it("broadcast as they turn out", function()
    local f = mil.func()
    local x, y, n = f:input("x", "fp32", { 6 }), f:input("y", "fp32", { 8 }), f:input("n", "int32", { 1 })
    f:output("z", x + y:slice_by_index { begin = { 0 }, ["end"] = n })
    local model = f:compile()
    local function run(size) return model:run({ x = { 1, 2, 3, 4, 5, 6 }, y = mil.ones("fp32", { 8 }), n = { size } }).z:table() end
    assert.same({ 2, 3, 4, 5, 6, 7 }, run(1))
    assert.same({ 2, 3, 4, 5, 6, 7 }, run(6))
    fails("ETYPE", "x fp32[6] and y fp32[4] do not broadcast", run, 4)
  end)

  it("are those of the update that goes there", function()
    local f = mil.func()
    local x, from, to = f:input("x", "fp32", { 4 }), f:input("from", "int32", { 1 }), f:input("to", "int32", { 1 })
    f:output("y", x:slice_update { update = { 7, 8 }, begin = from, ["end"] = to })
    local model = f:compile()
    local function run(a, b) return model:run({ x = { 1, 2, 3, 4 }, from = { a }, to = { b } }).y:table() end
    assert.same({ 1, 2, 7, 8 }, run(2, 4))
    assert.same({ 1, 2, 7, 8 }, run(-2, 4))
    fails("EVALUE", "slice_update: begin 3, end 4, stride 1 at axis 0 of x fp32[4] take 1, but 2 are wanted", run, 3, 4)
    assert.same({ 7, 8, 3, 4 }, run(0, 2))
  end)
end)

describe("limits", function()
  it("count a run's outputs too", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp32", { 64, 64 }):expand_dims({ axes = { 0 } }):tile { reps = { 64, 1, 1 } })
    local model = f:compile { memory_limit = 1e6 }
    fails("ELIMIT", "run: 1048576 bytes are needed beside the weights; the limit is 1000000", model.run, model,
      { x = mil.ones("fp32", { 64, 64 }) })
    assert.equal(64, f:compile({ memory_limit = 1048576 }):run({ x = mil.ones("fp32", { 64, 64 }) }).y:size(0))
  end)

  it("of a size without an upper end", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp32", { mil.dim("S", { min = 2 }) }):relu())
    local model = f:compile()
    fails("EVALUE", "run: input x has 1 at axis 0, but S is at least 2", model.run, model, { x = { 1 } })
  end)
end)

describe("plans", function()
  local function plans_of(model)
    local text = model:describe()
    return select(2, text:gsub("\nplan: ", "")), text
  end

  it("are made once for each size, whose outputs may depend on data", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { mil.dim("S", { min = 1, max = 64 }) })
    f:output("y", x:relu())
    f:output("z", x:greater(0.5):non_zero())
    local model = f:compile()
    assert.equal(0, (plans_of(model)))
    for _, size in ipairs { 3, 1, 5, 3, 5, 1, 3 } do
      local out = model:run { x = mil.ones("fp32", { size }) }
      assert.same({ size, size }, { out.y:size(0), out.z:size(0) })
    end
    assert.same({ 0, 1 }, model:run({ x = mil.zeros("fp32", { 3 }) }).z.shape)
    local n, text = plans_of(model)
    assert.equal(3, n, text)
    local step = model:bind { x = mil.ones("fp32", { 5 }) }
    for _ = 1, 3 do step() end
    n, text = plans_of(model)
    assert.equal(3, n, text)
    assert.truthy(text:find "^[^\n]*\n[^\n]*\nplan: [^\n]*\n[^\n]*fp32%[5%]", text) -- the one that was taken last comes first
    for size = 1, 64 do model:run { x = mil.ones("fp32", { size }) } end
    assert.equal(32, (plans_of(model)))
    step()
    assert.same({ 5, 1, 1 }, { step.outputs.y:size(0), step.outputs.y:get(1), step.outputs.y:get(5) })
  end)

  it("are made once for each of the shapes to choose from", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp32", mil.shapes { { 1, 4 }, { 2, 4 } }):relu())
    local model = f:compile()
    for _ = 1, 3 do
      for rows = 1, 2 do model:run { x = mil.ones("fp32", { rows, 4 }) } end
    end
    assert.equal(2, (plans_of(model)))
  end)

  it("have a loop's body once, however often it runs and however its values grow", function()
    local f = mil.func()
    local n, x = f:input("n", "int32", { 1 }), f:input("x", "fp32", { 2 })
    local _, all = f:while_loop({ f:const(0), x }, function(_, i) return i:less(n:squeeze()) end,
      function(b, i, all) return i + 1, b:concat { values = { all, x }, axis = 0 } end)
    f:output("y", all)
    local model = f:compile()
    local before = model:describe()
    for _, turns in ipairs { 0, 1, 100, 3 } do
      assert.equal(2 + 2 * turns, model:run({ n = mil.tensor("int32", { turns }), x = { 1, 2 } }).y:size(0))
    end
    assert.equal(before, model:describe())
    assert.equal(1, (plans_of(model)))
  end)
end)

describe("windows that reach far over padding", function()
  it("are computed all the same", function()
    local far = 2147483647
    local f = mil.func()
    local x, weight = f:input("x", "fp32", { 1, 4, 2, 2 }), mil.ones("fp32", { 4, 1, 2, 3 })
    f:output("y", x:conv { weight = weight, groups = 4, strides = { 1, far }, dilations = { far, 1 }, pad_type = "custom",
      pad = { far, 0, 0, 2 } })
    f:output("z", x:max_pool { kernel_sizes = { 2, 2 }, strides = { far, far }, pad_type = "custom", pad = { 0, far, 0, far } })
    local out = f:compile({ threads = 2 }):run { x = { 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4 } }
    assert.same({ { { 3 }, { 7 } } }, out.y:sub(1, { 1, 1 }):table())
    assert.equal(4, out.z:get(1, 1, 1, 1))
  end)
end)

describe("passes", function()
  it("leave a concat that makes a vector of a scalar", function()
    local f = mil.func()
    f:output("y", f:concat { values = { f:input("x", "fp32", {}) }, axis = 0 })
    assert.same({ 1 }, f:compile():run({ x = mil.ones("fp32", {}) }).y.shape)
  end)

  it("leave a batch_norm that the dtype of conv's weight can't take in", function()
    local function norm(weight, variance, gamma, x)
      local f = mil.func()
      local conv = f:input("x", "fp16", { 1, 4, 5, 5 }):conv { weight = mil.full("fp16", { 3, 4, 1, 1 }, weight) }
      f:output("y", conv:batch_norm { mean = mil.zeros("fp16", { 3 }), variance = mil.full("fp16", { 3 }, variance),
        gamma = mil.full("fp16", { 3 }, gamma), epsilon = 1e-5 })
      local model, given = f:compile(), { x = mil.full("fp16", { 1, 4, 5, 5 }, x) }
      return model:run(given).y:get(1, 1, 1, 1), f:compile({ optimize = 0 }):run(given).y:get(1, 1, 1, 1),
        model:describe():find "batch_norm"
    end
    for _, case in ipairs { { 300, 0, 1, 0.0012 }, { 0.01, 1, 1e-4, 20 } } do -- to inf; to few places
      local fast, plain, stays = norm(case[1], case[2], case[3], case[4])
      assert.is_true(math.abs(fast - plain) <= 2e-3 * math.abs(plain), fast .. " " .. plain)
      assert.truthy(stays)
    end
    assert.is_nil((select(3, norm(0.5, 1, 1, 1))))
  end)
end)

describe("cancelling", function()
  it("stops what runs, and leaves the model usable", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 1024, 1024 })
    local y = x
    for _ = 1, 40 do y = y:matmul(x) end
    f:output("y", y)
    local model = f:compile()
    local run = model:start { x = mil.zeros("fp32", { 1024, 1024 }) }
    repeat mil.cancel() until run:wait(0.01)
    fails("ECANCELLED", "cancelled", run.result, run)
    local small = doubled():compile()
    assert.equal(2, small:run({ x = { 1, 1, 1, 1 } }).y:get(1, 1))
  end)
end)

describe("eval", function()
  it("computes a value from what it needs", function()
    local f = mil.func()
    local x, z = f:input("x", "fp32", { 2 }), f:input("z", "fp32", { 2 })
    local y = x:relu()
    local w = y + z
    assert.same({ 0, 3 }, y:eval({ x = { -1, 3 } }):table())
    assert.same({ 1, 5 }, w:eval({ x = { -1, 3 }, z = { 1, 2 } }):table())
    assert.same({ 1, 2 }, z:eval({ z = { 1, 2 } }):table())
    assert.same({ 7, 8 }, f:const({ 7, 8 }):eval():table())
    f:output("w", w)
    assert.same({ 1, 5 }, w:eval({ x = { -1, 3 }, z = { 1, 2 } }):table())
    fails("EINVAL", "input z fp32[2] is missing", w.eval, w, { x = { 1, 2 } })
    fails("ENAME", 'no input "z"', y.eval, y, { x = { 1, 2 }, z = { 1, 2 } })
  end)
end)

describe("engines", function()
  it("are listed, and say whether they are there", function()
    assert.matches("%f[%w]cpu%f[%W]", table.concat(mil.engines(), " "))
    assert.is_true(mil.available "cpu")
    local there, reason = mil.available "gpu"
    assert.is_nil(there)
    assert.equal("string", type(reason))
    assert.truthy(mil.engine("cpu"):find "^cpu")
    assert.is_true(mil.cancel())
  end)
end)

describe("an image one element wide", function()
  -- The same along the last axis, and along the one before it with a last one of 1.
  local calls = {
    conv = { weight = { 4, 2, 3 }, strides = { 2 }, pad = { 1, 2 }, dilations = { 2 } },
    depthwise = { op = "conv", weight = { 2, 1, 3 }, groups = 2, pad = { 2, 0 } },
    conv_transpose = { weight = { 2, 4, 3 }, strides = { 2 }, pad = { 1, 0 } },
    max_pool = { kernel_sizes = { 3 }, strides = { 2 }, pad = { 1, 1 } },
    avg_pool = { kernel_sizes = { 3 }, strides = { 1 }, pad = { 0, 2 }, exclude_padding_from_average = true },
  }
  local function call(name, wide)
    local args = { pad_type = "custom" }
    for key, value in pairs(calls[name]) do
      local list = type(value) == "table" and { (table.unpack or unpack)(value) } or value
      if key == "weight" then
        list[4] = 1
        if wide then list[3], list[4] = 1, value[3] end
        args.weight = mil.randn("fp32", { value[1], value[2], value[3] }, { seed = 2 }):reshape(list)
      elseif key == "pad" then
        args.pad = wide and { 0, 0, value[1], value[2] } or { value[1], value[2], 0, 0 }
      elseif type(value) == "table" then
        args[key] = wide and { 1, value[1] } or { value[1], 1 }
      elseif key ~= "op" then
        args[key] = value
      end
    end
    local f = mil.func()
    local shape = wide and { 2, 2, 1, 9 } or { 2, 2, 9, 1 }
    local x = f:input("x", "fp32", shape)
    f:output("y", x[calls[name].op or name](x, args))
    return f:compile():run({ x = mil.randn("fp32", { 2, 2, 9 }, { seed = 3 }):reshape(shape) }).y
  end
  for name in pairs(calls) do
    it("is as good as a high one: " .. name, function()
      local high, wide = call(name, false), call(name, true)
      assert.equal(1, high.shape[4])
      assert.is_true(high:reshape(wide.shape):close(wide, 1e-6))
    end)
  end
end)

describe("what engines keep", function()
  local luamil = dofile "tests/spec/luamil.lua"
  teardown(luamil.remove)

  it("goes where that is asked for", function()
    os.execute("mkdir -p " .. luamil.path "coreml/a.mlmodelc" .. " " .. luamil.path "ane")
    luamil.write("else", "")
    local script = luamil.write("clear.lua", [[print(require "mil".clear_cache())]])
    local lua = os.getenv "MIL_TEST_LUA" or "lua"
    assert.equal("true\n", select(2, luamil.shell(("MIL_CACHE=%s %s %s"):format(luamil.folder, lua, script))))
    local _, left = luamil.shell("ls " .. luamil.folder)
    assert.equal("clear.lua else err out", (left:gsub("\n", " "):gsub(" $", "")))
  end)
end)

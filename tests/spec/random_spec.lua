-- SPDX-License-Identifier: MIT
-- The random ops: that their numbers are distributed as they should be, what seeds do, and that engines agree on them.
local mil = require "mil"

-- One result of a function that has one operation: made by `build`, compiled with `options`.
local function draw(build, options)
  local f = mil.func()
  f:output("y", (build(f)))
  local model = f:compile(options or {})
  return model:run({}).y, model
end

local function const(dtype, x) return mil.tensor(dtype, x) end

-- Mean and variance by hand (in double precision), the least and the largest.
local function moments(t)
  local numbers, n, sum, square = t:table(), 0, 0, 0
  for _, row in ipairs(numbers) do
    for _, x in ipairs(row) do n, sum, square = n + 1, sum + x, square + x * x end
  end
  return sum / n, square / n - (sum / n) ^ 2, t:min(), t:max()
end

local function same(a, b) return a:close(b, 0, 0) end

describe("random", function()
  for _, dtype in ipairs { "fp32", "fp16" } do
    it("uniform numbers fill [low, high), in " .. dtype, function()
      local mean, variance, least, most = moments((draw(function(f)
        return f:random_uniform { shape = { 300, 300 }, low = const(dtype, -1), high = const(dtype, 3), seed = 1 }
      end)))
      assert.is_near(1, mean, 0.02) -- six deviations of the mean of 90000
      assert.is_near(16 / 12, variance, 0.03)
      assert.is_true(least >= -1 and least < -0.98 and most < 3 and most > 2.98)
    end)

    it("normal numbers have their mean and deviation, in " .. dtype, function()
      local mean, variance, least, most = moments((draw(function(f)
        return f:random_normal { shape = { 300, 300 }, mean = const(dtype, 2), stddev = const(dtype, 0.5), seed = 1 }
      end)))
      assert.is_near(2, mean, 0.01)
      assert.is_near(0.25, variance, 0.01)
      assert.is_true(least < 0.5 and most > 3.5 and least > -2 and most < 6)
    end)

    it("bernoulli's are ones as often as prob says, in " .. dtype, function()
      local function ones(prob)
        local t = draw(function(f) return f:random_bernoulli { shape = { 300, 300 }, prob = const(dtype, prob), seed = 1 } end)
        assert.are.equal(dtype, t.dtype)
        return (moments(t))
      end
      assert.is_near(0.25, ones(0.25), 0.01)
      assert.are.equal(0, ones(0))
      assert.are.equal(1, ones(1))
    end)
  end

  it("one number between low and high is low, and so are all where they are equal", function()
    local t = draw(function(f)
      return f:random_uniform { shape = { 5000 }, low = const("fp16", 1), high = const("fp16", 1 + 1 / 1024) }
    end)
    assert.are.equal(1, t:max())
    assert.are.equal(1, draw(function(f) return f:random_uniform { shape = { 9 }, low = 1.0, high = 1.0 } end):min())
  end)

  -- How often each class comes, by row.
  local function frequencies(x, options)
    local f = mil.func()
    options.x = f:input("x", "fp32", x.shape)
    f:output("y", f:random_categorical(options))
    local result = f:compile():run({ x = x }).y:table()
    local counts = {}
    for i, row in ipairs(result) do
      counts[i] = {}
      for c = 1, x:size(1) do counts[i][c] = 0 end
      for _, class in ipairs(row) do counts[i][class + 1] = counts[i][class + 1] + 1 / #row end
    end
    return counts
  end

  it("categorical draws classes with the probabilities of their row", function()
    local log = math.log
    local probs = { { 1, 2, 3, 4 }, { 0, 1, 0, 1 }, { 5, 0, 0, 0 } }
    local logits = { { log(1), log(2), log(3), log(4) }, { -math.huge, 7, -math.huge, 7 }, { 0, -math.huge, -1e30, -200 } }
    for mode, rows in pairs { probs = probs, logits = logits } do
      local got = frequencies(mil.tensor("fp32", rows), { mode = mode, size = 20000, seed = 3 })
      for i, wanted in ipairs { { 0.1, 0.2, 0.3, 0.4 }, { 0, 0.5, 0, 0.5 }, { 1, 0, 0, 0 } } do
        for c = 1, 4 do
          assert.is_near(wanted[c], got[i][c], wanted[c] % 1 == 0 and 1e-6 or 0.02)
        end
      end
    end
  end)

  it("a row without probabilities is an error at the run, and the model goes on", function()
    for mode, row in pairs { probs = { 1, -1 }, logits = { 0 / 0, 1 } } do
      local f = mil.func()
      f:output("y", f:random_categorical { x = f:input("x", "fp32", { 2, 2 }), mode = mode, size = 3 })
      local model = f:compile()
      local ok, err = pcall(model.run, model, { x = mil.tensor("fp32", { { 1, 1 }, row }) })
      assert.is_false(ok)
      assert.truthy(tostring(err):find("random_categorical: row 1 of x fp32[2, 2] has no probabilities", 1, true), tostring(err))
      assert.are.equal(2, model:run({ x = mil.tensor("fp32", { { 1, 1 }, { 2, 3 } }) }).y:size(0))
    end
  end)

  it("a seed gives the same numbers in every run, model, plan and number of threads", function()
    local shape = { 3, 4111 } -- more than one block, the last not whole
    for _, op in ipairs { "random_uniform", "random_normal", "random_bernoulli" } do
      local function build(f) return f[op](f, { shape = shape, seed = 5 }) end
      local first, model = draw(build)
      assert.is_true(same(first, model:run({}).y))
      assert.is_true(same(first, (draw(build, { threads = 1 }))))
      assert.is_true(same(first, (draw(build, { threads = 3 }))))
      assert.is_true(same(first, (draw(build, { optimize = 0 }))))
      assert.is_false(same(first, (draw(function(f) return f[op](f, { shape = shape, seed = 6 }) end))))
      local f = mil.func() -- a shape that only the run knows
      f:output("y", f[op](f, { shape = f:input("shape", "int32", { 2 }), seed = 5 }))
      assert.is_true(same(first, f:compile():run({ shape = mil.tensor("int32", shape) }).y))
    end
  end)

  it("without one, each run and each operation has numbers of its own", function()
    for _, options in ipairs { {}, { optimize = 0 } } do
      local f = mil.func()
      f:output("a", f:random_normal { shape = { 50 } })
      f:output("b", f:random_normal { shape = { 50 } }) -- not one expression with the first
      local model = f:compile(options)
      local one, two = model:run({}), model:run({})
      assert.is_false(same(one.a, one.b))
      assert.is_false(same(one.a, two.a))
    end
  end)
end)

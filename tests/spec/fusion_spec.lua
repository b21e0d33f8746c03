-- SPDX-License-Identifier: MIT
-- Norms that are written out become one step, and give what the same operations give one by one; what only looks like one stays apart,
-- and is right too.
local mil = require "mil"

local function mean(x, axes) return x:reduce_mean { axes = axes or { -1 }, keep_dims = true } end

-- The last step's line of describe(), and the number of steps.
local function steps(model)
  local text = model:describe()
  return tonumber(text:match "plan: (%d+) step"), text:match "([^\n]*)\n*$"
end

-- A function of build's result(s) on x of a dtype and shape.
local function made(build, dtype, shape)
  local f = mil.func()
  local y, also = build(f:input("x", dtype, shape), function(of, seed) return mil.randn(dtype, of, { seed = seed or 5 }) end)
  f:output("y", y)
  if also then f:output("also", also) end
  return f
end

local function agrees(f, model, dtype, shape)
  local given = { x = mil.randn(dtype, shape, { seed = 7 }) }
  local fast, plain = model:run(given), f:compile({ optimize = 0 }):run(given)
  for name, y in pairs(plain) do
    local close, where = fast[name]:close(y, dtype == "fp16" and 2e-3 or 1e-5)
    assert.is_true(close, name .. " " .. dtype .. " " .. (where and tostring(where.index) or ""))
  end
end

local norms = {
  ["sub, square, rsqrt, mul"] = function(x)
    local d = x - mean(x)
    return d * mean(d:square()):rsqrt { epsilon = 1e-5 }
  end,
  ["eps added, rsqrt on the left"] = function(x)
    local d = x - mean(x)
    return (mean(d:square()) + 1e-3):rsqrt() * d
  end,
  ["mul(d, d), sqrt, real_div, gamma, beta"] = function(x, const)
    local d = x - mean(x)
    return d / (mean(d * d) + 1e-5):sqrt() * const { 24 } + const({ 24 }, 6)
  end,
  ["pow, pow, gamma of another rank"] = function(x, const)
    local d = x - mean(x)
    return (d * (mean(d:pow { y = 2 }) + 1e-5):pow { y = -0.5 }) * const { 1, 24 }
  end,
  ["rms, gamma"] = function(x, const) return x * (mean(x:square()) + 1e-6):rsqrt() * const { 24 } end,
  ["rms, real_div"] = function(x) return x / (mean(x * x) + 1e-6):sqrt() end,
  ["channels, as the Neural Engine likes them"] = function(x, const)
    local d = x - mean(x, { 1 })
    return d * (mean(d * d, { 1 }) + 1e-5):rsqrt() * const { 1, 5, 1 } + const({ 1, 5, 1 }, 6)
  end,
  ["two axes"] = function(x, const)
    local d = x - mean(x, { 1, 2 })
    return d * (mean(d * d, { 1, 2 }) + 1e-5):rsqrt() * const { 5, 24 }
  end,
}

local shape = { 3, 5, 24 }

describe("written-out norms", function()
  for name, build in pairs(norms) do
    it("are one step: " .. name, function()
      for _, dtype in ipairs { "fp32", "fp16" } do
        local f = made(build, dtype, shape)
        local model = f:compile()
        local n, line = steps(model)
        assert.equal(1, n, model:describe())
        assert.truthy(line:find("[norm]", 1, true), line)
        agrees(f, model, dtype, shape)
        assert.is_nil(f:compile({ precision = "strict" }):describe():find("[norm]", 1, true))
        assert.is_nil(f:compile({ disable = "fuse" }):describe():find("[norm]", 1, true))
      end
    end)
  end

  it("follow what comes before", function()
    local function build(x, const)
      local h = x:relu() + const { 24 }
      local d = h - mean(h)
      return h + d * (mean(d * d) + 1e-5):rsqrt() * const { 24 }
    end
    for _, dtype in ipairs { "fp32", "fp16" } do
      local f = made(build, dtype, shape)
      local model = f:compile()
      assert.truthy(model:describe():find("[norm]", 1, true))
      agrees(f, model, dtype, shape)
    end
  end)

  -- What is no norm; `rms` where what is left of it is one of x - mean(x).
  local misses = {
    ["an output in the middle"] = { function(x)
      local r = (mean(x:square()) + 1e-5):rsqrt()
      return x * r, r
    end },
    ["a value used twice"] = { function(x)
      local v = mean(x:square())
      return x * (v + 1e-5):rsqrt() + v
    end },
    ["the differences are an output"] = { function(x)
      local d = x - mean(x)
      return d * (mean(d * d) + 1e-5):rsqrt(), d
    end, rms = true },
    ["another axis"] = { function(x)
      local d = x - mean(x, { 1 })
      return d * (mean(d * d) + 1e-5):rsqrt()
    end, rms = true },
    ["the mean of something else"] = { function(x)
      local d = x - mean(x * 2)
      return d * (mean(d * d) + 1e-5):rsqrt()
    end, rms = true },
    ["another power"] = { function(x)
      return x * (mean(x:square()) + 1e-5):pow { y = -0.25 }
    end },
    ["not squared"] = { function(x) return x * (mean(x:abs()) + 1e-5):rsqrt() end },
    ["divided by the inverse"] = { function(x) return x / (mean(x:square()) + 1e-5):rsqrt() end },
    ["inverted"] = { function(x) return (mean(x:square()) + 1e-5):sqrt():real_div { y = x:exp() } end },
    ["eps is a vector"] = { function(x, const) return x * (mean(x:square()) + const({ 24 }):map(math.abs)):rsqrt() end },
  }
  for name, miss in pairs(misses) do
    it("are not: " .. name, function()
      for _, dtype in ipairs { "fp32", "fp16" } do
        local f = made(miss[1], dtype, shape)
        local model = f:compile()
        assert.equal(miss.rms or false, model:describe():find("[norm]", 1, true) ~= nil, model:describe())
        agrees(f, model, dtype, shape)
      end
    end)
  end

  it("leave a gamma of another shape outside", function()
    for _, of in ipairs { { 1 }, { 5, 1 }, { 5, 24 }, { 3, 1, 24 } } do
      local f = made(function(x, const) return x * (mean(x:square()) + 1e-5):rsqrt() * const(of) end, "fp32", shape)
      local model = f:compile()
      assert.equal(2, (steps(model)), model:describe())
      assert.truthy(model:describe():find("[norm]", 1, true))
      agrees(f, model, "fp32", shape)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- The face as it is promised: the kernel of the first page, weights, compile, run, a hot loop.
local mil = require "mil"

-- A SwiGLU feed-forward block over [1, C, 1, S] activations.
local function ffn(w, C, S)
  local f = mil.func { opset = "ios18" }
  local x = f:input("x", "fp16", {1, C, 1, S})
  local gate = f:conv { x = x, weight = w.gate, pad_type = "valid" }
  local up = x:conv { weight = w.up, pad_type = "valid" }
  f:output("y", (gate:silu() * up):conv { weight = w.down, pad_type = "valid" } + x)
  return f
end

describe("the first page's kernel", function()
  local path = os.tmpname()
  os.remove(path)
  local weights_path, result_path = path .. ".safetensors", path .. ".npy"
  local C, H, S = 8, 16, 4

  setup(function()
    mil.save(weights_path, {
      gate = mil.randn("fp16", { H, C, 1, 1 }, { seed = 1 }), up = mil.randn("fp16", { H, C, 1, 1 }, { seed = 2 }),
      down = mil.randn("fp16", { C, H, 1, 1 }, { seed = 3 }),
    })
  end)
  teardown(function()
    os.remove(weights_path)
    os.remove(result_path)
  end)

  it("is written, printed, compiled, run and saved", function()
    local w = mil.weights(weights_path)
    local f = ffn(w, C, S)
    assert.truthy(tostring(f):find("conv", 1, true))
    local model = f:compile { engine = "cpu" }
    local x = mil.randn("fp16", { 1, C, 1, S }, { seed = 4 })
    local out = model:run { x = x }
    assert.same({ 1, C, 1, S }, out.y.shape)
    out.y:save(result_path)
    assert.is_true(out.y:close(mil.load_tensor(result_path), 0))

    -- the same in numbers
    local function at(weight, o, i) return weight:get(o, i, 1, 1) end
    for s = 1, S do
      for c = 1, C do
        local sum = x:get(1, c, 1, s)
        for h = 1, H do
          local gate, up = 0, 0
          for i = 1, C do
            gate = gate + at(w.gate, h, i) * x:get(1, i, 1, s)
            up = up + at(w.up, h, i) * x:get(1, i, 1, s)
          end
          sum = sum + at(w.down, c, h) * (gate / (1 + math.exp(-gate))) * up
        end
        local y = out.y:get(1, c, 1, s)
        assert.is_true(math.abs(y - sum) <= 0.02 * math.max(1, math.abs(sum)), ("%d, %d: %g, not %g"):format(c, s, y, sum))
      end
    end
  end)

  it("in a hot loop", function()
    local model = ffn(mil.weights(weights_path), C, S):compile()
    local x, y = mil.zeros("fp16", { 1, C, 1, S }), mil.zeros("fp16", { 1, C, 1, S })
    local frames = {}
    for i = 1, 5 do frames[i] = mil.randn("fp16", { 1, C, 1, S }, { seed = i }) end
    local step = model:bind { x = x, y = y }
    for i = 1, 5 do
      x:write(frames[i])
      step()
      assert.is_true(y:close(model:run({ x = frames[i] }).y, 0))
    end
  end)

  it("mistakes are told at their line", function()
    local f = mil.func()
    local x = f:input("x", "fp16", { 1, 4, 1, 8 })
    local y = x:softmax { axis = -1 }
    assert.equal("x : fp16[1, 4, 1, 8]", tostring(x))
    f:rename(y, "y")
    assert.equal("y : fp16[1, 4, 1, 8] = softmax(x = x, axis = -1)", tostring(y))
    local ok, err = pcall(function() x:conv { weight = mil.zeros("fp16", { 8, 3, 1, 1 }) } end)
    assert.is_false(ok)
    local message = "conv: weight fp16[8, 3, 1, 1] takes 3 input channels (groups = 1), but x fp16[1, 4, 1, 8] has 4"
    assert.equal(message, mil.last_error().message)
    assert.truthy(tostring(err):find("examples_spec.lua:%d+: conv:"))
  end)
end)

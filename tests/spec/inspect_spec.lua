-- SPDX-License-Identifier: MIT
-- luamil inspect: FLOPs of each op, weights counted once and by what they expand to, what is shown, and the JSON.
local mil = require "mil"
local flops = require "mil.flops"
local inspect = require "mil.inspect"
local luamil = dofile "tests/spec/luamil.lua"

local function ones(shape) return mil.ones("fp32", shape) end

describe("FLOPs", function()
  -- what they are by hand; where "torch" stands, also what torch.utils.flop_counter (2.7) says
  local rows = {
    { "conv", 8640, "torch", function(f)
      return f:conv { x = f:input("x", "fp32", { 2, 4, 9, 8 }), weight = ones { 6, 2, 3, 3 }, strides = { 2, 2 }, pad_type = "custom",
        pad = { 1, 1, 1, 1 }, groups = 2 }
    end },
    { "conv with a bias", 2016 + 84, "torch", function(f)
      return f:conv { x = f:input("x", "fp32", { 2, 4, 9 }), weight = ones { 6, 4, 3 }, bias = ones { 6 } }
    end },
    { "conv_transpose", 8640, "torch", function(f)
      return f:conv_transpose { x = f:input("x", "fp32", { 2, 4, 5, 6 }), weight = ones { 4, 3, 3, 2 }, strides = { 2, 2 } }
    end },
    { "linear", 420 + 30, "torch", function(f)
      return f:linear { x = f:input("x", "fp32", { 2, 5, 7 }), weight = ones { 3, 7 }, bias = ones { 3 } }
    end },
    { "matmul", 1440, "torch", function(f)
      return f:matmul { x = f:input("x", "fp32", { 2, 3, 4, 5 }), y = f:input("y", "fp32", { 3, 5, 6 }) }
    end },
    { "matmul, transposed", 240, "torch", function(f)
      return f:matmul { x = f:input("x", "fp32", { 5, 4 }), y = f:input("y", "fp32", { 5, 6 }), transpose_x = true }
    end },
    { "matmul of a vector", 30, "torch", function(f)
      return f:matmul { x = f:input("x", "fp32", { 5 }), y = f:input("y", "fp32", { 5, 3 }) }
    end },
    { "einsum", 1440, "torch", function(f)
      return f:einsum { values = { f:input("x", "fp32", { 2, 3, 4, 5 }), f:input("y", "fp32", { 2, 5, 4, 6 }) },
        equation = "nchw,nwhr->nchr" }
    end },
    { "attention", 13608 + 4 * 6 * 7 * 9, "torch", function(f) -- 6 x ([7, 8] by [8, 9], [7, 9] by [9, 10])
      return f:scaled_dot_product_attention { query = f:input("q", "fp32", { 2, 3, 7, 8 }), key = f:input("k", "fp32", { 2, 3, 9, 8 }),
        value = f:input("v", "fp32", { 2, 3, 9, 10 }) }
    end },
    { "lstm", 5 * 2 * (2 * 12 * (4 + 3) + 12), "", function(f)
      return f:lstm { x = f:input("x", "fp32", { 5, 2, 4 }), initial_h = ones { 2, 3 }, initial_c = ones { 2, 3 },
        weight_ih = ones { 12, 4 }, weight_hh = ones { 12, 3 } }
    end },
    { "softmax", 3 * 12, "", function(f) return f:input("x", "fp32", { 3, 4 }):softmax { axis = -1 } end },
    { "layer_norm", 5 * 12, "", function(f) return f:input("x", "fp32", { 3, 4 }):layer_norm { axes = { 1 } } end },
    { "max_pool", 2 * 16 * 9, "", function(f)
      return f:input("x", "fp32", { 1, 2, 6, 6 }):max_pool { kernel_sizes = { 3, 3 }, pad_type = "valid" }
    end },
    { "reduce_sum", 12, "", function(f) return f:input("x", "fp32", { 3, 4 }):reduce_sum { axes = { 1 } } end },
    { "add, broadcast", 12, "", function(f) return f:input("x", "fp32", { 3, 1 }) + f:input("y", "fp32", { 4 }) end },
    { "relu", 12, "", function(f) return f:input("x", "fp32", { 3, 4 }):relu() end },
    { "transpose", 0, "", function(f) return f:input("x", "fp32", { 3, 4 }):transpose { perm = { 1, 0 } } end },
  }
  for _, row in ipairs(rows) do
    it("of " .. row[1], function()
      local f = mil.func()
      f:output("result", (row[4](f)))
      assert.are.equal(row[2], inspect.program(f.program).functions[1].flops)
    end)
  end

  it("have a rule for every op", function()
    local without = {}
    for _, name in ipairs(mil.ops()) do
      if not flops.rule(name, mil.op(name).family) then without[#without + 1] = name end
    end
    assert.are.same({}, without)
  end)

  it("take sizes that vary from the model, or as they are given", function()
    local function model()
      local f = mil.func()
      f:output("y", f:input("x", "fp32", { mil.dim("N", { min = 2, max = 9, default = 4 }), "M" }):relu())
      return f.program
    end
    local standard = inspect.program(model()).functions[1]
    assert.are.same({ 4, { N = 4, M = 1 } }, { standard.flops, standard.sizes })
    assert.are.same({ N = { min = 2, max = 9, default = 4 }, M = {} }, standard.inputs[1].ranges)
    assert.are.equal("fp32[N, M]", standard.inputs[1].type)
    assert.are.equal(15, inspect.program(model(), { shape = { "x=3,5" } }).functions[1].flops)
  end)
end)

describe("weights", function()
  it("count once, consts that only say how do not", function()
    local w = ones { 3, 4 }
    local p = mil.program()
    for _, name in ipairs { "a", "b" } do
      local f = p:func(name)
      local x = f:input("x", "fp32", { 2, 4 })
      f:output("y", x:linear { weight = w, bias = mil.zeros("fp32", { 3 }) }:reshape { shape = { 3, 2 } } * 2)
    end
    local facts = inspect.program(p)
    assert.are.same({ 12 + 3 + 3, 4 * (12 + 3 + 3), 3 },
      { facts.weights.parameters, facts.weights.bytes, facts.weights.tensors })
    assert.are.same({ linear = 1, mul = 1, reshape = 1 }, facts.functions[2].ops)
  end)

  it("that are compressed count as what they expand to", function()
    local f = mil.func()
    local w = f:constexpr_blockwise_shift_scale { data = mil.ones("int4", { 8, 32 }), scale = mil.ones("fp16", { 8, 2 }) }
    f:output("y", f:input("x", "fp16", { 2, 32 }):linear { weight = w })
    local weights = inspect.program(f.program).weights
    assert.are.same({ 256, 128 + 32, 512 }, { weights.parameters, weights.bytes, weights.expanded_bytes })
    assert.are.same({ { op = "constexpr_blockwise_shift_scale", tensors = 1, elements = 256, bytes = 160, expanded_bytes = 512 } },
      weights.compressed)

    local mask = mil.ones("uint1", { 8, 32 })
    local places, values = f:constexpr_lut_to_sparse { indices_mask = mask, indices_nonzero_data = mil.zeros("uint4", { 256 }), lut = mil.ones("fp16", { 1, 1, 16, 1 }) }
    f:output("z", f:constexpr_sparse_to_dense { mask = places, nonzero_data = values })
    assert.are.same({ -- what is behind the results that they take
      { op = "constexpr_lut_to_sparse", tensors = 1, elements = 256, bytes = 32 + 128 + 32, expanded_bytes = 32 + 512 },
      { op = "constexpr_sparse_to_dense", tensors = 1, elements = 256, bytes = 32 + 128 + 32, expanded_bytes = 512 },
      { op = "constexpr_blockwise_shift_scale", tensors = 1, elements = 256, bytes = 160, expanded_bytes = 512 },
    }, inspect.program(f.program).weights.compressed)
  end)

  it("of a file", function()
    mil.save(luamil.path "w.safetensors", { a = ones { 2, 3 }, b = mil.zeros("fp16", { 5 }) }, { by = "me", z = "\27[2J" .. ("é"):rep(60) })
    local status, out = luamil("inspect " .. luamil.path "w.safetensors")
    assert.are.equal(0, status)
    assert.truthy(out:find("2 weights, 11 parameters, 34 bytes", 1, true))
    assert.truthy(out:find("24 bytes  a  fp32[2, 3]", 1, true))
    assert.truthy(out:find("metadata\n  by  me\n  z   ?[2J" .. ("é"):rep(46) .. "..\n", 1, true))
  end)

  it("of a file with what can't be read", function()
    local header = '{"a":{"dtype":"F8_E8M0","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[3],"data_offsets":[2,5]}}'
    luamil.write("odd.safetensors", string.char(#header) .. ("\0"):rep(7) .. header .. "12345")
    local status, out = luamil("inspect " .. luamil.path "odd.safetensors")
    assert.are.equal(0, status)
    assert.truthy(out:find("2 weights, 5 parameters, 5 bytes\n", 1, true))
    assert.truthy(out:find("  1 tensor can't be read here\n", 1, true))
    assert.truthy(out:find("2 bytes  a  F8_E8M0[2]\n", 1, true), out)
  end)
end)

describe("inspect", function()
  it("of a gguf file says how each is quantised, in the file's own bytes", function()
    local w = mil.weights "tests/vectors/gguf/types.gguf"
    assert.are.same({ type = "Q4_K", dtype = "fp32", shape = { 1, 256 }, bytes = 144 }, mil.stored(w, "Q4_K"))
    assert.has_error(function() mil.stored(w, "Q4_k") end)
    local _, out = luamil "inspect tests/vectors/gguf/types.gguf"
    assert.truthy(out:find("144 bytes  Q4_K    Q4_K[1, 256]\n", 1, true))
  end)
end)

describe("luamil inspect", function()
  teardown(luamil.remove)

  local f = mil.func()
  f:output("y", f:input("x", "fp32", { 1, 3 }):linear { weight = ones { 2, 3 }, name = "fc" })
  f:save(luamil.path "m.mil")

  it("takes models and weights", function()
    local status, out, err = luamil "inspect a.lua"
    assert.are.same({ 1, "", "luamil: inspect: a.lua: neither a model (.mlpackage, .mlmodelc, .mil, .mlmodel) nor weights " ..
      "(.safetensors, .npz, .npy, .gguf)\n" }, { status, out, err })
  end)

  it("shows functions, operations, FLOPs and weights", function()
    local status, out, err = luamil("inspect " .. luamil.path "m.mil")
    assert.are.same({ 0, "" }, { status, err })
    for _, line in ipairs { "m.mil: opset ios18, specification version 9\n", "function main\n  input   x  fp32[1, 3]\n  output  y  fp32[1, 2]\n",
      "  1 operation beside consts: 1 linear\n", "  12 FLOPs a run: linear 100%\n", "1 weight, 6 parameters, 24 bytes\n",
      "  24 bytes  fc_weight_0  fp32[2, 3]\n" } do
      assert.truthy(out:find(line, 1, true), line .. " is not in\n" .. out)
    end
  end)

  it("says what a description says: images, dictionaries, ranges, shapes", function()
    local function lines(name, ...)
      local _, out = luamil("inspect tests/vectors/packages/" .. name .. ".mlpackage")
      for _, line in ipairs { ... } do assert.truthy(out:find(line), line .. " is not in\n" .. out) end
    end
    lines("classifier", "input   image        fp32%[1, 3, 2, 2%] +bgr image, 2 by 2\n", "label_probs  dict<string, fp64> +dictionary\n",
      "\nmetadata\n")
    lines("flexible", "%?%d from 1 to 9, 3 by default\n")
    lines("optional", "shift +fp32%[1, 3%] +optional, %-?[%d.]+ by default\n")
    lines("functions", "function first\n", "function second, the default\n")
    lines("enumerated", "one of %[1, %d+%], %[")
    lines("stateful", "state   cache  state<fp16%[4, 4%]>\n", "constexpr_blockwise_shift_scale  1 tensor")
  end)

  it("writes JSON", function()
    local status, out = luamil("inspect --json " .. luamil.path "m.mil")
    local facts = require("mil.json").decode(out)
    assert.are.same({ 0, "main", 12, 6, {} }, { status, facts.functions[1].name, facts.functions[1].flops, facts.weights.parameters,
      facts.functions[1].states })
    assert.are.same({ { name = "x", type = "fp32[1, 3]" } }, facts.functions[1].inputs)
  end)
end)

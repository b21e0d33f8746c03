-- SPDX-License-Identifier: MIT
-- Programs lowered for the Neural Engine compute, on the cpu engine, what they did before, within fp16: every rewrite by itself, on
-- both routes, with fp32 ports and packed ones; and what is refused says why.
local mil = require "mil"

local rows = dofile "tests/spec/lowering_rows.lua"
local furthest, inputs_of, build = rows.furthest, rows.inputs_of, rows.build

local rules = {}
for _, rule in ipairs(mil.rules "ane") do rules[rule.id] = rule end

-- What the checker's rows say is lowered, a lowered program has not; those about some chips hold for lowering for one of them.
local function check_lowered(lowered, options)
  local report = lowered:check { route = options.route, chip = options.chip, entry = "main" }
  for _, finding in ipairs(report) do
    local rule = rules[finding.rule]
    if rule.lowered and (options.chip or not rule.chips) and not (options.fp32 and rule.id:find "fp32") then
      error(("%s: %s\n%s"):format(finding.rule, finding.message, tostring(lowered)), 0)
    end
  end
end

local function compare(f, options, bound, scale)
  local given = inputs_of(f, scale)
  local wanted = f:compile { engine = "cpu" }:run(given)
  local lowered, how = f:lower(options)
  lowered.program:verify()
  check_lowered(lowered, options)
  local got = how:unpack(lowered:compile { engine = "cpu" }:run(how:pack(given)))
  for i, output in ipairs(f.outputs) do
    local view = how.outputs[i]
    assert.equal(output.name, view.name)
    local off = furthest(got[view.name], wanted[output.name])
    if off > bound then
      error(("%s: off by %g\n%s\n%s"):format(view.name, off, tostring(f), tostring(lowered)), 2)
    end
  end
  return lowered, how
end

local all = { {}, { route = "e5rt" }, { fp32 = true }, { pack = true }, { chip = "M1" }, { chip = "M5", route = "e5rt" } }

describe("lowering for the Neural Engine", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local built = build(row, "fp32")
      for _, options in ipairs(all) do compare(built, options, row[4] or 2e-3, row[5]) end
    end)
  end

  for _, row in ipairs(rows.graphs) do
    it("graphs/" .. row[2] .. ", " .. row[1], function()
      local graph = rows.graph(row)
      for _, options in ipairs(all) do compare(graph, options, row[4], 0.5) end
    end)
  end

  -- { op, how often it is kept by the direct route, by e5rt, how the function is made }: of what is kept, what is expanded, and both at once.
  local function codes(dtype, shape, last)
    local t = mil.zeros(dtype, shape)
    local flat = t:reshape { t:numel() }
    for k = 1, t:numel() do flat[k] = (k * 7 + math.floor(k / 5)) % (last + 1) - (dtype == "int8" and math.floor(last / 2) or 0) end
    return t
  end
  local function symmetric(shape, scales, axis, zero)
    return f:constexpr_affine_dequantize { quantized_data = codes("int8", shape, 200), zero_point = mil.full("int8", {}, zero or 0),
      scale = mil.rand("fp16", scales, { seed = 1 }), axis = axis }
  end
  local function palette(shape, dtype, entries, blocks)
    return f:constexpr_lut_to_dense { indices = codes(dtype, shape, entries - 1), lut = mil.randn("fp16", blocks, { seed = 2 }) }
  end
  local function sparse(shape, every)
    local mask, n = mil.zeros("uint1", shape), 0
    local bits, flat = {}, 1
    for k = 1, #shape do flat = flat * shape[k] end
    for k = 1, flat do bits[k] = k % every == 0 and 1 or 0; n = n + bits[k] end
    mask = mil.tensor("uint1", bits):reshape(shape)
    return f:constexpr_sparse_to_dense { nonzero_data = mil.randn("fp16", { n }, { seed = 3 }), mask = mask }
  end
  local weights = {
    { "constexpr_affine_dequantize", 1, 1, function(x) return x:linear { weight = symmetric({ 8, 16 }, { 8 }, 0), bias = mil.randn("fp16", { 8 }) } end },
    { "constexpr_affine_dequantize", 1, 1, function(x) return x:matmul { y = symmetric({ 16, 8 }, { 8 }, 1) } end },
    { "constexpr_affine_dequantize", 1, 1, function(x) return x:matmul { y = symmetric({ 8, 16 }, {}, 0), transpose_y = true } end },
    { "constexpr_affine_dequantize", 1, 1, function(x) return x:conv { weight = symmetric({ 6, 5, 3 }, { 6 }, 0), pad_type = "same" } end },
    { "constexpr_affine_dequantize", 0, 0, function(x) return x:linear { weight = symmetric({ 8, 16 }, { 16 }, 1) } end },
    { "constexpr_affine_dequantize", 0, 0, function(x) return x:linear { weight = symmetric({ 8, 16 }, { 8 }, 0, 3) } end },
    { "constexpr_affine_dequantize", 0, 0, function(x) return x:conv { weight = symmetric({ 6, 5, 3 }, { 6 }, 0), strides = { 2 } } end },
    { "constexpr_affine_dequantize", 0, 0, function(x)
      local w = symmetric({ 16, 16 }, { 16 }, 0)
      return x:linear { weight = w }, x + w:reduce_sum { axes = { 0 } }
    end },
    { "constexpr_lut_to_dense", 0, 1, function(x) return x:linear { weight = palette({ 8, 16 }, "uint4", 16, { 1, 1, 16, 1 }) } end },
    { "constexpr_lut_to_dense", 0, 1, function(x) return x:linear { weight = palette({ 8, 16 }, "uint8", 256, { 1, 1, 256, 1 }) } end },
    { "constexpr_lut_to_dense", 0, 0, function(x) return x:linear { weight = palette({ 8, 16 }, "uint2", 4, { 1, 1, 4, 1 }) } end },
    { "constexpr_lut_to_dense", 0, 0, function(x) return x:linear { weight = palette({ 8, 16 }, "uint4", 16, { 2, 1, 16, 1 }) } end },
    { "constexpr_lut_to_dense", 0, 0, function(x) return x:matmul { y = palette({ 16, 8 }, "uint4", 16, { 1, 1, 16, 1 }) } end },
    { "constexpr_sparse_to_dense", 0, 1, function(x) return x:conv { weight = sparse({ 6, 5, 3 }, 3) } end },
    { "constexpr_sparse_to_dense", 0, 0, function(x) return x:linear { weight = sparse({ 8, 16 }, 1) } end },
    { "constexpr_blockwise_shift_scale", 0, 0, function(x)
      return x:linear { weight = f:constexpr_blockwise_shift_scale { data = codes("int8", { 8, 16 }, 200), scale = mil.rand("fp16", { 8, 4 }, { seed = 1 }) } }
    end },
  }
  for i, row in ipairs(weights) do
    it("weights of " .. row[1] .. ", row " .. i, function()
      f = mil.func { opset = "ios18" }
      local results = { row[4](f:input("x", "fp16", { 2, 5, 16 })) }
      for k, value in ipairs(results) do f:output("y" .. k, value) end
      for r, route in ipairs { "direct", "e5rt" } do
        for _, dense in ipairs { false, true } do
          local lowered = compare(f, { route = route, dense = dense }, 2e-2, 0.1)
          local kept = lowered:operations(function(o) return o.type:find("constexpr_", 1, true) == 1 end)
          assert.equal(dense and 0 or row[1 + r], #kept)
          for _, o in ipairs(kept) do assert.equal(row[1], o.type) end
          assert.is_string((lowered:dialect { route = route }))
        end
      end
    end)
  end

  -- A cache of keys that grows by one step a run, the sum of all that came, and one that is only read.
  it("states go in and come out by ports", function()
    local g = mil.func { opset = "ios18" }
    local x = g:input("x", "fp16", { 1, 5, 16 })
    local cache, sum, bias = g:state("cache", "fp16", { 1, 4, 5, 16 }), g:state("sum", "fp16", { 1, 5, 16 }), g:state("bias", "fp16", { 16 })
    local old = cache:read_state()
    local new = g:concat { values = { old:slice_by_size { begin = { 0, 1, 0, 0 }, size = { 1, 3, 5, 16 } }, x:expand_dims { axes = { 1 } } }, axis = 1 }
    cache:write_state { data = new }
    local h = sum:read_state():linear { weight = mil.randn("fp16", { 16, 16 }, { seed = 3 }) } * 0.1
    local total = sum:coreml_update_state { value = h + x }
    g:output("y", cache:read_state():reduce_mean { axes = { 1 } } + bias:read_state())
    g:output("z", total * old:reduce_max { axes = { 1 } })
    local model = g:compile { engine = "cpu" }
    for _, options in ipairs(all) do
      local lowered, how = g:lower(options)
      lowered.program:verify()
      local ours, state = lowered:compile { engine = "cpu" }, model:state()
      state:tensor("bias"):write(mil.randn("fp16", { 16 }, { seed = 4 }))
      local held = { bias = state:tensor "bias", cache = mil.zeros("fp16", { 1, 4, 5, 16 }), sum = mil.zeros("fp16", { 1, 5, 16 }) }
      for turn = 1, 6 do
        held.x = mil.randn("fp16", { 1, 5, 16 }, { seed = turn })
        local wanted = model:run({ x = held.x }, { state = state })
        local got = how:unpack(ours:run(how:pack(held)))
        for _, name in ipairs { "y", "z" } do assert.is_true(furthest(got[name], wanted[name]) < 8e-3, name) end
        for _, name in ipairs { "cache", "sum" } do
          assert.is_true(furthest(got[name], state:tensor(name)) < 8e-3, name)
          held[name] = got[name]
        end
      end
      assert.same({ "x", "cache", "sum", "bias" }, { how.inputs[1].name, how.inputs[2].name, how.inputs[3].name, how.inputs[4].name })
      assert.same({ "cache", "sum" }, { how.states[1].name, how.states[2].name })
      assert.equal(2, #how.states)
      local before, after = how.inputs[2], how.states[1]
      assert.same({ before.shape, before.axis, before.step }, { after.shape, after.axis, after.step })
    end
  end)

  it("says what ports are given and lack", function()
    local g = build({ "", { { 2, 8 } }, function(x) return x:relu() end }, "fp32")
    local lowered, how = g:lower()
    assert.equal("lowered: 1 in, 1 out", tostring(how))
    local function message(fn, ...) return tostring(select(2, pcall(fn, ...))) end
    assert.matches("pack: input in1 is a tensor, but was given nil", message(how.pack, how, {}), 1, true)
    assert.matches("pack: input in1: copy: fp16[2, 8] takes a tensor of its own shape, but fp32[3] was given", message(how.pack, how, { in1 = mil.tensor { 1, 2, 3 } }), 1, true)
    assert.matches("pack: takes the inputs by name, but was given 3", message(how.pack, how, 3), 1, true)
    assert.matches("unpack: port out01 is a tensor, but was given 1", message(how.unpack, how, { out01 = 1 }), 1, true)
    assert.matches("lower: fp32 is a boolean, but was given 1", message(g.lower, g, { fp32 = 1 }), 1, true)
    assert.matches("did you mean route", message(g.lower, g, { rout = "e5rt" }), 1, true)
    lowered:remove_output "out01"
    assert.matches("port 1 is gone", message(how.unpack, how, {}), 1, true)
  end)

  it("names what has no elements", function()
    local function message(fn, ...) return tostring(select(2, pcall(fn, ...))) end
    local f = mil.func()
    local x = f:input("x", "fp16", { 2, 4, 4, 4 })
    f:output("y", x:slice_by_index({ begin = { 1, 0, 0, 0 }, end_ = { -1, 4, 4, 4 }, name = "none" }):relu())
    assert.matches("lowering_spec.lua:%d+: slice_by_index can't be lowered: none, fp16%[0, 4, 4, 4%], has no elements", message(f.lower, f))
    f = mil.func()
    f:output("y", f:input("x", "fp16", { 0, 4 }):relu())
    assert.matches("input x, fp16[0, 4], has no elements", message(f.lower, f), 1, true)
  end)

  -- The Neural Engine's idioms are what a plain layer is.
  local function random_weight(seed, ...) return mil.randn("fp32", { ... }, { seed = seed }) end
  local function small(t) return t:map(function(x) return x * 0.2 end) end

  it("graphs/kernels/linear_conv is a linear layer", function()
    local w = { weight = small(random_weight(1, 12, 16)), bias = random_weight(2, 12) }
    local idiom = dofile "graphs/kernels/linear_conv.lua"(w, 32)
    local plain = mil.func()
    plain:output("y", plain:input("x", "fp32", { 32, 16 }):linear { weight = w.weight, bias = w.bias })
    local x = mil.randn("fp16", { 1, 16, 1, 32 }, { seed = 3 })
    local y = idiom:compile { engine = "cpu" }:run { x = x }.y
    local wanted = plain:compile { engine = "cpu" }:run { x = x:reshape({ 16, 32 }):transpose():to "fp32" }.y
    assert.is_true(furthest(y:reshape({ 12, 32 }):transpose(), wanted) < 4e-3)
    local lowered = plain:lower() -- which is what the linear layer becomes
    assert.truthy(tostring(lowered):find("conv(", 1, true))
  end)

  it("graphs/kernels/ffn_stack is layers with residuals", function()
    local w = {}
    for i = 1, 3 do w[i] = { up = small(random_weight(2 * i, 24, 8)), down = small(random_weight(2 * i + 1, 8, 24)) } end
    local idiom = dofile "graphs/kernels/ffn_stack.lua"(w, 32)
    local plain = mil.func()
    local h = plain:input("x", "fp32", { 32, 8 })
    for _, layer in ipairs(w) do h = h + h:linear({ weight = layer.up }):relu():linear { weight = layer.down } end
    plain:output("y", h)
    local x = mil.randn("fp16", { 1, 8, 1, 32 }, { seed = 3 })
    local y = idiom:compile { engine = "cpu" }:run { x = x }.y
    local wanted = plain:compile { engine = "cpu" }:run { x = x:reshape({ 8, 32 }):transpose():to "fp32" }.y
    assert.is_true(furthest(y:reshape({ 8, 32 }):transpose(), wanted) < 1e-2)
  end)

  it("graphs/kernels/attention_heads is attention of all heads at once", function()
    local w = { q = small(random_weight(1, 16, 16)), k = small(random_weight(2, 16, 16)), v = random_weight(3, 16, 16), out = small(random_weight(4, 16, 16)) }
    local idiom = dofile "graphs/kernels/attention_heads.lua"(w, 4, 12)
    local plain = mil.func()
    local h, mask = plain:input("x", "fp32", { 12, 16 }), mil.zeros("bool", { 12, 12 })
    for i = 1, 12 do for k = 1, i do mask:set(i, k, 1) end end
    local function heads(weight) return h:linear({ weight = weight }):reshape({ shape = { 1, 12, 4, 4 } }):transpose { perm = { 0, 2, 1, 3 } } end
    local mixed = heads(w.q):scaled_dot_product_attention { key = heads(w.k), value = heads(w.v), attn_mask = mask }
    plain:output("y", mixed:transpose({ perm = { 0, 2, 1, 3 } }):reshape({ shape = { 12, 16 } }):linear { weight = w.out })
    local x = mil.randn("fp16", { 1, 16, 1, 12 }, { seed = 5 })
    local y = idiom:compile { engine = "cpu" }:run { x = x }.y
    local wanted = plain:compile { engine = "cpu" }:run { x = x:reshape({ 16, 12 }):transpose():to "fp32" }.y
    assert.is_true(furthest(y:reshape({ 16, 12 }):transpose(), wanted) < 1e-2)
  end)

  -- Random programs over a few shapes, of operations that keep or change the form of values.
  local function random_program(seed)
    local state = seed
    local function pick(n)
      state = (state * 16807) % 2147483647
      return state % n + 1
    end
    local g = mil.func()
    local values = { g:input("x", "fp32", { 1, 6, 8 }), g:input("w", "fp32", { 1, 6, 8 }) }
    local makers = {
      function(a) return a:relu() end, function(a) return a:tanh() end, function(a, b) return a + b end, function(a, b) return a:maximum(b) end,
      function(a) return a:linear { weight = small(random_weight(pick(99), 8, 8)), bias = small(random_weight(pick(99), 8)) } end,
      function(a) return a:layer_norm { axes = { -1 } } end, function(a) return a:softmax { axis = pick(2) } end,
      function(a, b) return g:concat({ values = { a, b }, axis = 2 }):slice_by_size { begin = { 0, 0, 3 }, size = { 1, 6, 8 } } end,
      function(a) return a - a:reduce_mean { axes = { pick(2) }, keep_dims = true } end,
      function(a) return a:reshape({ shape = { 1, 6, 2, 4 } }):transpose({ perm = { 0, 1, 3, 2 } }):reshape { shape = { 1, 6, 8 } } end,
      function(a) return a:transpose({ perm = { 0, 2, 1 } }):matmul { y = small(random_weight(pick(99), 6, 6)) }:transpose { perm = { 0, 2, 1 } } end,
      function(a, b) return a:matmul({ y = b, transpose_y = true }):softmax({ axis = -1 }):matmul(b) end,
      function(a) return a:gather { indices = { 1, 0, 3, 3, 2, 5 }, axis = 1 } end, function(a) return a:gelu() end,
      function(a, b) return g:select { cond = a:less(b), a = a, b = b } end,
    }
    for _ = 1, 4 + pick(8) do
      local a, b = values[pick(#values)], values[pick(#values)]
      values[#values + 1] = makers[pick(#makers)](a, b)
    end
    g:output("first", values[#values])
    g:output("second", values[#values - 1] * 1.5)
    return g
  end

  it("random programs", function()
    for seed = 1, 40 do
      local g = random_program(seed * 7919)
      compare(g, all[seed % #all + 1], 6e-2, 0.5)
    end
  end)

  -- Models of others, where they are there: real networks (with lstm, which stays what it is) and hand-made programs.
  local corpus = {
    "packages/silero-unified_int8.mlpackage", "packages/silero-unified_palette_4bit.mlpackage", "packages/silero-vad-unified-v6.0.0.mlpackage",
    "bundles/add_model.mlmodelc", "mil/espresso-matmul.mil", "mil/mx-fp16-subnormal-cast.mil", "mil/mx-pipeline-masked-model0.mil",
  }
  for _, name in ipairs(corpus) do
    it("corpus: " .. name, function()
      local path = "../shared/corpus/" .. name
      local there = io.open(path)
      if not there then return pending "is not here" end
      there:close()
      local main = mil.load(path).entry
      for _, options in ipairs { {}, { route = "e5rt" } } do compare(main, options, 4e-3) end
    end)
  end
end)

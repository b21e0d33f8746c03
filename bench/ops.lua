-- SPDX-License-Identifier: MIT
-- One operation at a time, on one thread, fp32: the rows of `make bench-ops`, which bench/ops.py runs in turns with what is said to be
-- the same in PyTorch. A row is measured by the process's own clock each time that a line is read from standard input.
--
--   luamil bench/ops.lua            what has no row: "name TAB reason"; all rows: "name TAB torch TAB inputs", then milliseconds, as
--                                   often as asked ("next" ends a row)
--   luamil bench/ops.lua WORD...    only ops whose names have one of these in them
local mil = require "mil"
local timing = require "mil.timing"

local rows = {}

-- inputs: {name, dtype, shape [, most]}: numbers in 0 .. 1, halves true, integers below most. build(f, inputs by name); torch: an
-- expression in the same names.
local function row(op, inputs, build, torch, label) rows[#rows + 1] = { op = op, inputs = inputs, build = build, torch = torch, label = label or op } end

local function F(name, shape) return { name, "fp32", shape } end
local function I(name, shape, most) return { name, "int32", shape, most } end
local function B(name, shape) return { name, "bool", shape } end

local image = { 1, 64, 128, 128 }
local function random(shape) return mil.rand("fp32", shape, { seed = #shape }) end

-- op on x with these parameters, beside the expression.
local function on(op, args, torch, inputs, label)
  inputs = inputs or { F("x", image) }
  row(op, inputs, function(f, values)
    local all = {}
    for key, value in pairs(args) do all[key] = value end
    for key, value in pairs(values) do all[key] = value end
    return f[op](f, all)
  end, torch, label)
end

-- ---- elementwise ----

for op, torch in pairs {
  abs = "x.abs()", acos = "x.acos()", asin = "x.asin()", atan = "x.atan()", atanh = "x.atanh()", ceil = "x.ceil()", cos = "x.cos()",
  cosh = "x.cosh()", erf = "x.erf()", exp = "x.exp()", exp2 = "x.exp2()", floor = "x.floor()", inverse = "x.reciprocal()", log = "x.log()",
  round = "x.round()", rsqrt = "x.rsqrt()", sign = "x.sign()", sin = "x.sin()", sinh = "x.sinh()", sqrt = "x.sqrt()", square = "x.square()",
  tan = "x.tan()", tanh = "x.tanh()", relu = "x.relu()", relu6 = "F.relu6(x)", sigmoid = "x.sigmoid()", silu = "F.silu(x)", softsign = "F.softsign(x)",
  softplus = "F.softplus(x)",
} do on(op, {}, torch) end
on("clip", { alpha = 0.25, beta = 0.75 }, "x.clamp(0.25, 0.75)")
on("threshold", { alpha = 0.5 }, "x.clamp(min=0.5)")
on("cast", { dtype = "fp16" }, "x.half()")
on("clamped_relu", { alpha = 0.1, beta = 0.5 }, "F.leaky_relu(x, 0.1).clamp(max=0.5)")
on("elu", { alpha = 0.5 }, "F.elu(x, 0.5)")
on("gelu", { mode = "EXACT" }, "F.gelu(x)")
on("gelu", { mode = "TANH_APPROXIMATION" }, "F.gelu(x, approximate='tanh')", nil, "gelu, tanh")
on("leaky_relu", { alpha = 0.1 }, "F.leaky_relu(x, 0.1)")
on("linear_activation", { alpha = 2.0, beta = 1.0 }, "2 * x + 1")
on("prelu", { alpha = random { 64 } }, "F.prelu(x, x[0, :, 0, 0])")
on("scaled_tanh", { alpha = 2.0, beta = 0.5 }, "2 * (0.5 * x).tanh()")
on("sigmoid_hard", { alpha = 0.2, beta = 0.5 }, "(0.2 * x + 0.5).clamp(0, 1)")
on("softplus_parametric", { alpha = random { 64 }, beta = random { 64 } }, "x[:, :, :1, :1] * F.softplus(x[:, :, :1, :1] * x)")
on("thresholded_relu", { alpha = 0.5 }, "F.threshold(x, 0.5, 0)")
on("softmax", { axis = -1 }, "x.softmax(-1)")
on("softmax", { axis = 1 }, "x.softmax(1)", nil, "softmax of channels")

local two = { F("x", image), F("y", image) }
for op, torch in pairs {
  add = "x + y", sub = "x - y", mul = "x * y", real_div = "x / y", floor_div = "x.div(y, rounding_mode='floor')", mod = "x.remainder(y)", pow = "x.pow(y)",
  maximum = "x.maximum(y)", minimum = "x.minimum(y)", equal = "x == y", not_equal = "x != y", less = "x < y", less_equal = "x <= y",
  greater = "x > y", greater_equal = "x >= y",
} do on(op, {}, torch, two) end
local truths = { B("x", image), B("y", image) }
for op, torch in pairs { logical_and = "x & y", logical_or = "x | y", logical_xor = "x ^ y" } do on(op, {}, torch, truths) end
on("logical_not", {}, "~x", { B("x", image) })
on("select", {}, "torch.where(cond, a, b)", { B("cond", image), F("a", image), F("b", image) })

-- ---- products, windows, norms, recurrent ----

on("matmul", {}, "x @ y", { F("x", { 512, 512 }), F("y", { 512, 512 }) })
on("linear", { weight = random { 768, 768 } }, "F.linear(x, w)", { F("x", { 128, 768 }) })
row("einsum", { F("x", { 1, 64, 16, 128 }), F("y", { 1, 128, 16, 64 }) }, function(f, v)
  return f:einsum { values = { v.x, v.y }, equation = "nchw,nwhr->nchr" }
end, "torch.einsum('nchw,nwhr->nchr', x, y)")
row("scaled_dot_product_attention", { F("q", { 1, 8, 256, 64 }) }, function(f, v)
  return f:scaled_dot_product_attention { query = v.q, key = v.q, value = v.q }
end, "F.scaled_dot_product_attention(q, q, q)")
on("conv", { weight = random { 64, 64, 3, 3 }, pad_type = "same" }, "F.conv2d(x, w, padding=1)", { F("x", { 1, 64, 56, 56 }) })
on("conv", { weight = random { 64, 1, 3, 3 }, pad_type = "same", groups = 64 }, "F.conv2d(x, w, padding=1, groups=64)", { F("x", { 1, 64, 112, 112 }) },
  "conv, depthwise")
on("conv_transpose", { weight = random { 64, 32, 2, 2 }, strides = { 2, 2 } }, "F.conv_transpose2d(x, w, stride=2)", { F("x", { 1, 64, 56, 56 }) })
on("max_pool", { kernel_sizes = { 3, 3 }, strides = { 2, 2 }, pad_type = "valid" }, "F.max_pool2d(x, 3, 2)")
on("avg_pool", { kernel_sizes = { 3, 3 }, strides = { 2, 2 }, pad_type = "valid" }, "F.avg_pool2d(x, 3, 2)")
on("l2_pool", { kernel_sizes = { 3, 3 }, strides = { 2, 2 }, pad_type = "valid" }, "F.lp_pool2d(x, 2, 3, 2)")
local channel = random { 64 }
on("batch_norm", { mean = channel, variance = channel, gamma = channel, beta = channel }, "F.batch_norm(x, c, c, c, c)")
on("instance_norm", { gamma = channel, beta = channel }, "F.instance_norm(x, weight=c, bias=c)")
on("layer_norm", { axes = { -1 } }, "F.layer_norm(x, (768,))", { F("x", { 512, 768 }) })
on("l2_norm", {}, "F.normalize(x.flatten(1)).view_as(x)")
on("local_response_norm", { size = 5 }, "F.local_response_norm(x, 5)")
row("lstm", { F("x", { 64, 1, 256 }) }, function(f, v)
  return (f:lstm { x = v.x, initial_h = mil.zeros("fp32", { 1, 256 }), initial_c = mil.zeros("fp32", { 1, 256 }), weight_ih = random { 1024, 256 },
    weight_hh = random { 1024, 256 } })
end, "LSTM(x)[0][-1]")
row("gru", { F("x", { 64, 1, 256 }) }, function(f, v)
  return (f:gru { x = v.x, initial_h = mil.zeros("fp32", { 1, 256 }), weight_ih = random { 768, 256 }, weight_hh = random { 768, 256 } })
end, "GRU(x)[0][-1]")
row("rnn", { F("x", { 64, 1, 256 }) }, function(f, v)
  return (f:rnn { x = v.x, initial_h = mil.zeros("fp32", { 1, 256 }), weight_ih = random { 256, 256 }, weight_hh = random { 256, 256 } })
end, "RNN(x)[0][-1]")

-- ---- reductions ----

for op, torch in pairs {
  reduce_sum = "x.sum(-1)", reduce_mean = "x.mean(-1)", reduce_max = "x.amax(-1)", reduce_min = "x.amin(-1)", reduce_prod = "x.prod(-1)",
  reduce_l1_norm = "x.norm(1, -1)", reduce_l2_norm = "x.norm(2, -1)", reduce_sum_square = "x.square().sum(-1)", reduce_log_sum = "x.sum(-1).log()",
  reduce_log_sum_exp = "x.logsumexp(-1)",
} do on(op, { axes = { -1 } }, torch) end
on("reduce_argmax", { axis = -1 }, "x.argmax(-1)")
on("reduce_argmin", { axis = -1 }, "x.argmin(-1)")
on("reduce_sum", { axes = { 1 } }, "x.sum(1)", nil, "reduce_sum of channels")

-- ---- choosing, sorting, moving ----

local table_, some = F("x", { 10000, 256 }), { 512 }
row("gather", { table_, I("i", some, 10000) }, function(f, v) return f:gather { x = v.x, indices = v.i, axis = 0 } end, "x[i]")
row("gather_nd", { table_, I("i", { 512, 1 }, 10000) }, function(f, v) return f:gather_nd { x = v.x, indices = v.i } end, "x[i[:, 0]]")
row("gather_along_axis", { F("x", { 512, 512 }), I("i", { 512, 512 }, 512) }, function(f, v)
  return f:gather_along_axis { x = v.x, indices = v.i, axis = 1 }
end, "x.gather(1, i)")
row("scatter", { table_, I("i", some, 10000), F("u", { 512, 256 }) }, function(f, v)
  return f:scatter { data = v.x, indices = v.i, updates = v.u, axis = 0, mode = "add" }
end, "x.index_add(0, i, u)")
row("scatter_nd", { table_, I("i", { 512, 1 }, 10000), F("u", { 512, 256 }) }, function(f, v)
  return f:scatter_nd { data = v.x, indices = v.i, updates = v.u, mode = "add" }
end, "x.index_add(0, i[:, 0], u)")
row("scatter_along_axis", { F("x", { 512, 512 }), I("i", { 512, 512 }, 512), F("u", { 512, 512 }) }, function(f, v)
  return f:scatter_along_axis { data = v.x, indices = v.i, updates = v.u, axis = 1, mode = "add" }
end, "x.scatter_add(1, i, u)")
local matrix = { F("x", { 512, 1024 }) }
on("argsort", { ascending = true }, "x.argsort(-1)", matrix)
row("topk", matrix, function(f, v) return (f:topk { x = v.x, k = 10 }) end, "x.topk(10)[0]")
on("cumsum", { axis = 1 }, "x.cumsum(1)", matrix)
on("band_part", { lower = 0, upper = -1 }, "x.triu()", matrix)
on("non_zero", {}, "(x > 0.5).nonzero()", { B("x", { 512, 1024 }) })
row("non_maximum_suppression", { F("b", { 1, 4, 4000 }), F("s", { 1, 1, 4000 }) }, function(f, v)
  return (f:non_maximum_suppression { boxes = v.b, scores = v.s, iou_threshold = 0.5, max_boxes = 300 })
end, "nms(b, s)")
on("one_hot", { one_hot_vector_size = 1000 }, "F.one_hot(indices, 1000)", { I("indices", { 512 }, 1000) })
on("pad", { pad = { 1, 1, 1, 1 }, mode = "constant" }, "F.pad(x, (1, 1, 1, 1))")
on("pad", { pad = { 1, 1, 1, 1 }, mode = "reflect" }, "F.pad(x, (1, 1, 1, 1), mode='reflect')", nil, "pad, reflect")
on("tile", { reps = { 1, 2, 1, 2 } }, "x.tile(1, 2, 1, 2)")
row("concat", two, function(f, v) return f:concat { values = { v.x, v.y }, axis = 1 } end, "torch.cat([x, y], 1)")
row("stack", two, function(f, v) return f:stack { values = { v.x, v.y }, axis = 1 } end, "torch.stack([x, y], 1)")
row("split", { F("x", image) }, function(f, v) return (select(2, f:split { x = v.x, num_splits = 2, axis = 3 })) end, "x.chunk(2, 3)[1].contiguous()")
on("transpose", { perm = { 0, 2, 3, 1 } }, "x.permute(0, 2, 3, 1).contiguous()")
on("reverse", { axes = { 3 } }, "x.flip(3)")
on("slice_by_index", { begin = { 0, 0, 0, 0 }, ["end"] = { 1, 64, 128, 128 }, stride = { 1, 1, 2, 2 } }, "x[:, :, ::2, ::2].contiguous()")
on("slice_by_size", { begin = { 0, 0, 1, 1 }, size = { 1, 64, 120, 120 } }, "x[:, :, 1:121, 1:121].contiguous()")
row("slice_update", { F("x", image), F("u", { 1, 64, 64, 64 }) }, function(f, v)
  return f:slice_update { x = v.x, update = v.u, begin = { 0, 0, 1, 1 }, ["end"] = { 1, 64, 65, 65 } }
end, "updated(x, u)")
on("sliding_windows", { axis = 3, size = 4, stride = 2 }, "x.unfold(3, 4, 2).contiguous()")
on("depth_to_space", { block_size = 2 }, "F.pixel_shuffle(x, 2)")
on("space_to_depth", { block_size = 2 }, "F.pixel_unshuffle(x, 2)")
on("pixel_shuffle", { upscale_factor = 2 }, "F.pixel_shuffle(x, 2)")
on("pixel_unshuffle", { downscale_factor = mil.tensor("uint32", 2) }, "F.pixel_unshuffle(x, 2)")
on("space_to_batch", { block_shape = { 2, 2 }, paddings = { { 0, 0 }, { 0, 0 } } },
  "x.view(1, 64, 64, 2, 64, 2).permute(3, 5, 0, 1, 2, 4).contiguous()")
on("batch_to_space", { block_shape = { 2, 2 }, crops = { { 0, 0 }, { 0, 0 } } },
  "x.view(2, 2, 1, 64, 64, 64).permute(2, 3, 4, 0, 5, 1).contiguous()", { F("x", { 4, 64, 64, 64 }) })
row("quantize", { F("x", image) }, function(f, v)
  return f:quantize { input = v.x, scale = 0.01, zero_point = mil.tensor("int8", 3), output_dtype = "int8" }
end, "((x / 0.01).round() + 3).clamp(-128, 127).to(torch.int8)")
row("dequantize", { I("x", image, 100) }, function(f, v)
  return f:dequantize { input = v.x:cast { dtype = "int8" }, scale = 0.01, zero_point = mil.tensor("int8", 3) }
end, "(x.to(torch.int8).float() - 3) * 0.01")
on("fill_like", { value = 1.5 }, "torch.full_like(ref_tensor, 1.5)", { F("ref_tensor", image) })

-- What has no row: why. Every op is here or above.
local untimed = {}
for reason, ops in pairs {
  ["moves no data"] = "const expand_dims flatten2d identity reshape reshape_like squeeze shape list_length",
  ["has no twin in PyTorch"] = "classify reverse_sequence conv_quantized",
  ["takes as long as what its blocks do"] = "cond while_loop",
  ["is a copy; in PyTorch, Python's lists"] = "make_list list_gather list_read list_scatter list_write",
  ["is a copy; PyTorch has no states"] = "read_state write_state coreml_update_state",
  ["bench/compressed.lua times it"] = "constexpr_affine_dequantize constexpr_blockwise_shift_scale constexpr_cast constexpr_lut_to_dense " ..
    "constexpr_lut_to_sparse constexpr_sparse_blockwise_shift_scale constexpr_sparse_to_dense",
} do
  for op in ops:gmatch "%S+" do untimed[op] = reason end
end

-- ---- images, random numbers ----

on("upsample_bilinear", { scale_factor_height = 2, scale_factor_width = 2, align_corners = false }, "F.interpolate(x, scale_factor=2, mode='bilinear')")
on("upsample_nearest_neighbor", { scale_factor_height = 2, scale_factor_width = 2 }, "F.interpolate(x, scale_factor=2)")
on("resize_bilinear", { target_size_height = 80, target_size_width = 80, sampling_mode = "UNALIGN_CORNERS" },
  "F.interpolate(x, size=(80, 80), mode='bilinear')")
on("resize_nearest_neighbor", { target_size_height = 80, target_size_width = 80 }, "F.interpolate(x, size=(80, 80), mode='nearest-exact')")
on("resize", { shape = { 200, 200 }, resized_dims = mil.tensor("uint32", 2), sampling_mode = "UNALIGN_CORNERS" },
  "F.interpolate(x, size=(200, 200), mode='bilinear')")
local sampling = { sampling_mode = "bilinear", padding_mode = "constant", padding_value = 0.0, coordinates_mode = "normalized_minus_one_to_one", align_corners = false }
on("resample", sampling, "F.grid_sample(x, coordinates, align_corners=False)", { F("x", { 1, 3, 256, 256 }), F("coordinates", { 1, 256, 256, 2 }) })
on("affine", (function()
  local args = { output_height = 256, output_width = 256 }
  for key, value in pairs(sampling) do args[key] = value end
  return args
end)(), "F.grid_sample(x, F.affine_grid(transform_matrix.view(1, 2, 3), x.shape, align_corners=False), align_corners=False)",
  { F("x", { 1, 3, 256, 256 }), F("transform_matrix", { 1, 6 }) })
on("crop", { crop_height = { 1, 2 }, crop_width = { 3, 4 } }, "x[:, :, 1:-2, 3:-4].contiguous()")
on("crop_resize", { box_indices = mil.zeros("int32", { 100 }), target_height = 7, target_width = 7, normalized_coordinates = true },
  "roi_align(x, boxes)", { F("x", { 1, 32, 64, 64 }), F("boxes", { 100, 4 }) })
for op, torch in pairs { random_uniform = "torch.rand(1000, 1000)", random_normal = "torch.randn(1000, 1000)",
  random_bernoulli = "torch.empty(1000, 1000).bernoulli_(0.5)" } do
  row(op, {}, function(f) return f[op](f, { shape = { 1000, 1000 } }) end, torch)
end
row("random_categorical", { F("x", { 8, 100 }) }, function(f, v) return f:random_categorical { x = v.x, size = 20000 } end,
  "torch.multinomial(x.softmax(-1), 20000, True)")
row("fill", {}, function(f) return f:fill { shape = f:input("shape", "int32", { 2 }), value = 1.5 } end, "torch.full((1000, 1000), 1.5)")
row("range_1d", { F("n", { 1 }) }, function(f, v) return f:range_1d { start = 0.0, step = 1.0, ["end"] = (v.n * 0.0 + 1e6):squeeze() } end, "torch.arange(1e6)")

-- ---- measuring ----

local function data_of(input)
  local dtype, numbers = input[2], mil.rand("fp32", input[3], { seed = 1 })
  if dtype == "fp32" then return numbers end
  if dtype == "bool" then return numbers:map(function(x) return x > 0.5 and 1 or 0 end):to "bool" end
  return numbers:map(function(x) return math.floor(x * input[4]) end):to "int32"
end

local function bound(r)
  local f, values, inputs = mil.func { opset = "ios18" }, {}, {}
  for _, input in ipairs(r.inputs) do
    values[input[1]] = f:input(input[1], input[2], input[3])
    inputs[input[1]] = data_of(input)
  end
  f:output("result", r.build(f, values))
  if r.op == "fill" then inputs.shape = mil.tensor("int32", { 1000, 1000 }) end
  local model = f:compile { engine = "cpu", threads = 1 }
  model:run(inputs)
  return model:bind(inputs)
end

local function milliseconds(run) return timing.of(run, { seconds = 0.03, clock = os.clock }).median * 1e3 end

local has_row = {}
for _, r in ipairs(rows) do has_row[r.op] = true end
for _, op in ipairs(mil.ops()) do
  if not has_row[op] and not untimed[op] then error(("bench/ops.lua: %s has no row, and no reason"):format(op), 0) end
  if #arg == 0 and untimed[op] then print(op, untimed[op]) end
end

table.sort(rows, function(a, b) return a.label < b.label end)
for _, r in ipairs(rows) do
  local wanted = #arg == 0
  for _, word in ipairs(arg) do wanted = wanted or r.op:find(word, 1, true) end
  if wanted then
    local inputs = {}
    for i, input in ipairs(r.inputs) do inputs[i] = ("%s:%s:%s:%s"):format(input[1], input[2], table.concat(input[3], ","), input[4] or 0) end
    local run = bound(r)
    print(r.label, r.torch, table.concat(inputs, " "))
    io.stdout:flush()
    while io.read() ~= "next" do
      print(milliseconds(run))
      io.stdout:flush()
    end
  end
end

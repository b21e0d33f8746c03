-- SPDX-License-Identifier: MIT
-- Small programs for lowering, each about one rewrite: lowering_spec.lua runs them lowered on the cpu engine, and standin_lowering_spec.lua
-- by engine ane on the stand-in for the frameworks. A row: { what, inputs, how the outputs are made, bound, scale of the inputs,
-- no_e5rt: a source has that route refuse it }.
local mil = require "mil"

local function inputs_of(f, scale)
  local values = {}
  for i, input in ipairs(f.inputs) do
    local t = mil.randn(input.type.dtype == "bool" and "fp32" or input.type.dtype, input.type.shape, { seed = i })
    if input.type.dtype == "bool" then
      local b = mil.zeros("bool", input.type.shape)
      local flat, from = b:reshape { b:numel() }, t:reshape { b:numel() }
      for k = 1, b:numel() do flat[k] = from[k] > 0 and 1 or 0 end
      t = b
    elseif scale then
      local flat = t:reshape { t:numel() }
      for k = 1, t:numel() do flat[k] = flat[k] * scale end
    end
    values[input.name] = t
  end
  return values
end

local function elements(t)
  t = t:to "fp32":copy()
  return t, t:reshape { t:numel() }, t:numel()
end

-- The largest |a - b| / (1 + |b|).
local function furthest(a, b)
  local _, x, n = elements(a)
  local _, y, m = elements(b)
  if m ~= n then return math.huge end
  local worst = 0
  for i = 1, n do
    local p, q = x[i], y[i]
    if p ~= p or q ~= q then
      if (p ~= p) ~= (q ~= q) then return math.huge end
    elseif p ~= q then
      worst = math.max(worst, math.abs(p - q) / (1 + math.abs(q)))
    end
  end
  return worst
end

local function unary(op, bound, scale, arguments)
  return { op, { { 2, 5, 16 } }, function(x) return x[op](x, arguments or {}) end, bound, scale }
end

local f -- the function that a row is built in

local function weight(seed, ...) return mil.randn("fp32", { ... }, { seed = seed }):map(function(x) return x * 0.3 end) end

-- A convolution of x's channels into n, each of the kernel's columns by all.
local function wide(x, n, columns, arguments)
  arguments.weight = weight(columns, n, x.type.shape[2] / (arguments.groups or 1), arguments.rows or 1, columns)
  arguments.rows = nil
  if arguments.pad then arguments.pad_type = "custom" end
  return x:conv(arguments)
end

local rows = {
  unary("relu"), unary("relu6", nil, 4), unary("sigmoid"), unary("tanh"), unary("silu"), unary "softsign", unary("abs"), unary "atan",
  unary "erf", unary("exp"), unary "exp2", unary("sin", 6e-3, 2), unary("cos", 6e-3, 2), unary("tan", 6e-3, 0.3), unary "sinh", unary "cosh", unary "square",
  unary("softplus", nil, 8), unary("gelu", 2e-3), unary("gelu", 2e-3, 3, { mode = "TANH_APPROXIMATION" }),
  unary("gelu", 2e-3, 3, { mode = "SIGMOID_APPROXIMATION" }), unary("round", nil, 4), unary("floor", nil, 3), unary "ceil", unary "sign",
  unary("leaky_relu", nil, nil, { alpha = 0.1 }), unary("elu", nil, nil, { alpha = 0.7 }), unary("clip", nil, nil, { alpha = -0.5, beta = 0.5 }),
  unary("threshold", nil, nil, { alpha = 0.2 }), unary("scaled_tanh", nil, nil, { alpha = 2, beta = 0.5 }),
  unary("sigmoid_hard", nil, nil, { alpha = 0.2, beta = 0.5 }), unary("linear_activation", nil, nil, { alpha = 2, beta = 1 }),
  unary("softmax", nil, nil, { axis = 1 }), unary("softmax", nil, nil, { axis = -1 }), unary "identity",
  { "log", { { 4, 8 } }, function(x) return (x * x + 0.5):log() end },
  { "rsqrt", { { 4, 8 } }, function(x) return (x * x + 0.5):rsqrt {} end },
  { "inverse", { { 4, 8 } }, function(x) return (x * x + 0.5):inverse {} end },
  { "prelu", { { 1, 4, 3, 8 } }, function(x) return x:prelu { alpha = mil.tensor("fp32", { 0.1, 0.2, 0.3, 0.4 }) } end },
  { "pow", { { 3, 8 } }, function(x) return x ^ 2, (x * x):pow(0.5), (x * x + 1):pow(-0.5), x:abs():pow(1.5) end },
  { "sums and products that broadcast", { { 2, 3, 8 }, { 3, 1 }, { 8 } }, function(a, b, c) return a + b, a * c - b, (a - b) / (c * c + 1), a:maximum(c) end },
  { "by nothing", { { 2, 8 } }, function(x) return x * 0, x:round() * 3, 2 * x:floor() end },
  { "mod", { { 2, 8 } }, function(x) return (x * 4):mod(1.5) end, 4e-3 },
  { "bools", { { 2, 8 }, { 2, 8 } }, function(x, y)
    local p, q = x:less(0), y:greater(0)
    return p:logical_and(q), p:logical_or(q), p:logical_xor(q), p:logical_not(), p:select { a = x, b = y }, p:cast { dtype = "fp32" }, x:cast { dtype = "bool" }
  end },
  { "linear", { { 2, 5, 16 } }, function(x)
    local y = x:linear { weight = mil.randn("fp32", { 24, 16 }, { seed = 3 }), bias = mil.randn("fp32", { 24 }, { seed = 4 }) }
    return y, y:relu():linear { weight = mil.randn("fp32", { 8, 24 }, { seed = 5 }) }
  end, 6e-3, 0.3 },
  { "linear of one row", { { 1, 16 } }, function(x) return x:linear { weight = mil.randn("fp32", { 24, 16 }, { seed = 3 }) } end, 6e-3, 0.3 },
  { "a layer in channels", { { 1, 10, 16 } }, function(x)
    local h = x:layer_norm { axes = { -1 }, gamma = mil.randn("fp32", { 16 }, { seed = 1 }), beta = mil.randn("fp32", { 16 }, { seed = 2 }) }
    h = h:linear { weight = mil.randn("fp32", { 32, 16 }, { seed = 3 }), bias = mil.randn("fp32", { 32 }, { seed = 4 }) }
    local gate, up = h:split { num_splits = 2, axis = -1 }
    h = (gate:silu() * up):linear { weight = mil.randn("fp32", { 16, 16 }, { seed = 5 }) }
    return x + h * 0.1
  end, 2e-2, 0.5 },
  { "channels that part and meet", { { 1, 6, 8 } }, function(x)
    local h = x:linear { weight = mil.randn("fp32", { 12, 8 }, { seed = 3 }) }
    local a = h:slice_by_size { begin = { 0, 0, 4 }, size = { 1, 6, 8 } }
    local b = h:slice_by_index { begin = { 0, 0, 0 }, end_ = { 1, 6, 1 }, squeeze_mask = { false, false, true } }
    local c = h:reshape { shape = { 2, 3, 12 } }
    local d = h:reduce_mean { axes = { -1 }, keep_dims = true }
    local e = h:reduce_max { axes = { 2 } }
    local g = h:transpose { perm = { 0, 2, 1 } }
    local k = f:concat { values = { a, h }, axis = -1 }
    return a, b, c, h - d, e, g, k, h:softmax { axis = -1 }, (h + x:slice_by_size { begin = { 0, 2, 0 }, size = { 1, 1, 1 } })
  end, 6e-3, 0.3 },
  { "matmul by a const", { { 3, 4, 16 } }, function(x)
    return x:matmul(mil.randn("fp32", { 16, 6 }, { seed = 1 })), x:matmul { y = mil.randn("fp32", { 6, 16 }, { seed = 2 }), transpose_y = true },
      x:matmul { y = mil.randn("fp32", { 3, 16, 6 }, { seed = 2 }) }
  end, 6e-3, 0.3 },
  { "a const by a matrix", { { 16, 6 } }, function(x)
    return f:matmul { x = mil.randn("fp32", { 4, 16 }, { seed = 1 }), y = x }, f:matmul { x = mil.randn("fp32", { 16, 4 }, { seed = 1 }), y = x, transpose_x = true }
  end, 6e-3, 0.3 },
  { "matmul of two", { { 2, 4, 16 }, { 2, 16, 5 } }, function(x, y) return x:matmul(y), y:matmul { y = x, transpose_x = true, transpose_y = true } end, 6e-3, 0.3 },
  { "matmul with a batch that broadcasts", { { 2, 3, 4, 8 }, { 3, 8, 5 } }, function(x, y) return x:matmul(y) end, 6e-3, 0.3 },
  { "matmul of rank 5", { { 2, 1, 3, 4, 8 }, { 2, 1, 3, 8, 5 } }, function(x, y) return x:matmul(y) end, 6e-3, 0.3 },
  { "matmul of a vector", { { 8 }, { 8, 5 } }, function(x, y) return x:matmul(y), x:matmul(mil.randn("fp32", { 8, 3 }, { seed = 1 })) end, 6e-3, 0.3 },
  { "einsum", { { 2, 4, 3, 8 }, { 2, 8, 3, 5 } }, function(x, y) return f:einsum { values = { x, y }, equation = "nchw,nwhu->nchu" } end, 6e-3, 0.3 },
  { "einsum of rank 3", { { 4, 3, 8 }, { 8, 3, 5 } }, function(x, y) return f:einsum { values = { x, y }, equation = "chw,whr->chr" } end, 6e-3, 0.3 },
  { "conv", { { 1, 4, 9, 10 } }, function(x)
    local w = mil.randn("fp32", { 6, 4, 3, 3 }, { seed = 2 })
    return x:conv { weight = w, bias = mil.randn("fp32", { 6 }, { seed = 3 }), pad_type = "same", strides = { 2, 2 } }, x:conv { weight = w, dilations = { 2, 1 } },
      x:conv { weight = mil.randn("fp32", { 4, 1, 3, 3 }, { seed = 4 }), groups = 4, pad_type = "custom", pad = { 1, 0, 2, 1 } }
  end, 8e-3, 0.3 },
  { "conv along one axis", { { 2, 4, 20 } }, function(x)
    return x:conv { weight = mil.randn("fp32", { 6, 4, 3 }, { seed = 2 }), bias = mil.randn("fp32", { 6 }, { seed = 3 }), pad_type = "custom", pad = { 2, 0 }, strides = { 2 } }
  end, 8e-3, 0.3 },
  { "wide kernels", { { 1, 4, 3, 40 } }, function(x)
    return wide(x, 3, 14, {}), wide(x, 2, 40, {}), wide(x, 3, 31, { pad = { 0, 0, 15, 15 }, bias = weight(3, 3) }), wide(x, 2, 27, { pad = { 0, 0, 26, 0 } }),
      wide(x, 3, 16, { strides = { 1, 3 } }), wide(x, 3, 17, { dilations = { 1, 2 }, pad = { 1, 0, 0, 5 }, rows = 2 }), wide(x, 4, 45, { pad = { 0, 0, 90, 2 }, groups = 2 }),
      wide(x, 4, 20, { strides = { 2, 2 }, dilations = { 1, 2 }, groups = 4, pad = { 0, 0, 0, 1 } })
  end, 8e-3, 0.3 },
  { "a wide kernel along one axis", { { 2, 3, 50 } }, function(x)
    return x:conv { weight = weight(1, 3, 1, 31), groups = 3, pad_type = "same" }, x:conv { weight = weight(2, 5, 3, 30), strides = { 10 } }
  end, 8e-3, 0.3 },
  { "high kernels", { { 1, 2, 70, 3 } }, function(x)
    return wide(x, 3, 1, { rows = 30 }), wide(x, 3, 2, { rows = 65, pad = { 32, 32, 0, 0 } }), wide(x, 2, 1, { rows = 33, strides = { 2, 1 } })
  end, 8e-3, 0.3 },
  { "patches", { { 2, 3, 32, 48 } }, function(x)
    return wide(x, 4, 16, { rows = 16, strides = { 16, 16 }, bias = weight(1, 4) }), wide(x, 4, 4, { rows = 2, strides = { 2, 4 } }),
      wide(x, 3, 5, { rows = 5, strides = { 5, 5 }, groups = 3 }), wide(x, 2, 2, { rows = 2, strides = { 2, 2 }, pad = { 1, 0, 0, 1 } })
  end, 2e-2, 0.3 },
  { "wide kernels with strides", { { 1, 2, 12, 60 } }, function(x)
    return wide(x, 2, 9, { rows = 3, strides = { 2, 2 } }), wide(x, 2, 15, { strides = { 2, 2 }, pad = { 1, 1, 7, 7 } }), wide(x, 3, 45, { strides = { 1, 3 }, pad = { 0, 0, 50, 0 } }),
      wide(x, 2, 10, { rows = 4, strides = { 5, 20 }, groups = 2 })
  end, 8e-3, 0.3 },
  { "very many channels", { { 1, 32100, 1, 2 } }, function(x)
    return x:conv { weight = mil.randn("fp32", { 2, 32100, 1, 1 }, { seed = 1 }), bias = weight(3, 2) }
  end, 2e-2, 0.01 },
  { "conv by a value", { { 1, 4, 6, 8 }, { 3, 4, 1, 1 } }, function(x, w) return x:conv { weight = w } end, 8e-3, 0.3 },
  { "conv by values", { { 2, 4, 7, 9 }, { 6, 2, 3, 2 }, { 3, 4, 4, 5 } }, function(x, w, v)
    return x:conv { weight = w, groups = 2, pad_type = "custom", pad = { 1, 0, 2, 0 }, strides = { 2, 3 } }, x:conv { weight = v, bias = weight(3, 3) },
      x:conv { weight = v, strides = { 3, 1 } }
  end, 8e-3, 0.3 },
  { "conv over a volume", { { 2, 4, 5, 6, 7 } }, function(x)
    return x:conv { weight = weight(1, 3, 4, 3, 3, 3), bias = weight(2, 3), pad_type = "same" }, x:conv { weight = weight(3, 4, 2, 2, 1, 3), groups = 2, strides = { 2, 1, 2 }, dilations = { 2, 1, 1 } },
      x:conv { weight = weight(4, 2, 4, 2, 2, 2), strides = { 2, 2, 2 }, pad_type = "custom", pad = { 1, 0, 0, 0, 0, 1 } }
  end, 2e-2, 0.3 },
  { "conv_transpose", { { 1, 4, 5, 6 } }, function(x)
    return x:conv_transpose { weight = mil.randn("fp32", { 4, 3, 2, 2 }, { seed = 2 }), bias = mil.randn("fp32", { 3 }, { seed = 3 }), strides = { 2, 2 } }
  end, 8e-3, 0.3 },
  { "wide transposed convolutions", { { 1, 4, 3, 6 } }, function(x)
    local function spread(n, arguments)
      arguments.weight = weight(n, 4, 6 / (arguments.groups or 1), arguments.rows or 1, n)
      arguments.rows = nil
      return x:conv_transpose(arguments)
    end
    return spread(16, { strides = { 1, 8 }, pad_type = "custom", pad = { 0, 0, 4, 4 } }), spread(9, { rows = 3, strides = { 2, 3 }, groups = 2, bias = weight(1, 6) }), spread(14, {}),
      spread(16, { rows = 16, strides = { 16, 16 } }), spread(10, { rows = 33, strides = { 3, 1 }, pad_type = "same" })
  end, 2e-2, 0.3 },
  { "a wide transposed convolution along one axis", { { 2, 3, 9 } }, function(x)
    return x:conv_transpose { weight = weight(2, 3, 2, 11), strides = { 5 }, pad_type = "custom", pad = { 3, 3 }, bias = weight(1, 2) }
  end, 2e-2, 0.3 },
  { "pools", { { 1, 4, 8, 8 } }, function(x)
    return x:max_pool { kernel_sizes = { 2, 2 }, strides = { 2, 2 }, pad_type = "valid" }, x:avg_pool { kernel_sizes = { 3, 3 }, pad_type = "same" }
  end },
  { "cumsum", { { 3, 6, 4 } }, function(x)
    return x:cumsum { axis = 1 }, x:cumsum { axis = -1, exclusive = true }, x:cumsum { axis = 0, reverse = true }, x:cumsum { axis = 1, reverse = true, exclusive = true }
  end, 4e-3 },
  { "attention", { { 1, 2, 6, 8 }, { 1, 2, 7, 8 }, { 1, 2, 7, 4 } }, function(q, k, v)
    local mask = mil.zeros("bool", { 6, 7 })
    for i = 1, 6 do for j = 1, i do mask:set(i, j, 1) end end
    return q:scaled_dot_product_attention { key = k, value = v }, q:scaled_dot_product_attention { key = k, value = v, attn_mask = mask },
      q:scaled_dot_product_attention { key = k, value = v, attn_mask = mil.randn("fp32", { 6, 7 }, { seed = 9 }) }
  end, 4e-3 },
  { "attention of rank 5, with masks that broadcast", { { 2, 3, 2, 4, 8 }, { 3, 1, 4, 4 }, { 4, 4 }, { 2, 1, 2, 1, 4 } }, function(q, few, one, whole)
    local function masked(mask) return q:scaled_dot_product_attention { key = q, value = q, attn_mask = mask } end
    return masked(nil), masked(few), masked(one), masked(whole), masked(mil.ones("bool", { 3, 1, 4, 4 }))
  end, 4e-3 },
  { "attention of rank 3", { { 2, 6, 8 } }, function(q) return q:scaled_dot_product_attention { key = q, value = q } end, 4e-3 },
  { "norms", { { 2, 6, 4, 8 } }, function(x)
    local n = { mil.randn("fp32", { 6 }, { seed = 1 }), mil.randn("fp32", { 6 }, { seed = 2 }) }
    return x:layer_norm { axes = { 1, 2 }, gamma = mil.randn("fp32", { 6, 4 }, { seed = 3 }) }, x:instance_norm { gamma = n[1], beta = n[2] },
      x:batch_norm { mean = n[1], variance = mil.tensor("fp32", { 1, 2, 3, 0.5, 1, 1.5 }), gamma = n[2] }, x:l2_norm {},
      x:local_response_norm { size = 3 }
  end, 8e-3 },
  { "large norms", { { 2, 512 } }, function(x) return (x * 30):layer_norm { axes = { -1 } } end, 8e-3 },
  { "reductions", { { 2, 6, 8 } }, function(x)
    local k = { axes = { 1 }, keep_dims = true }
    return x:reduce_sum { axes = { 0, 2 } }, x:reduce_mean(k), x:reduce_max {}, x:reduce_min { axes = { -1 } }, x:reduce_sum_square { axes = { 1 } },
      x:reduce_l1_norm(k), x:reduce_l2_norm { axes = { 2 } }, (x * x + 0.1):reduce_log_sum { axes = { 1 } }, x:reduce_log_sum_exp { axes = { 1 } },
      x:reduce_mean { axes = { 0, 1, 2 } }
  end, 6e-3 },
  { "reductions over no axis", { {}, { 3, 4 } }, function(x, y)
    local all, n = {}, 0
    for _, name in ipairs { "reduce_sum", "reduce_mean", "reduce_max", "reduce_sum_square", "reduce_l1_norm", "reduce_l2_norm" } do
      all[n + 1], all[n + 2], n = x[name](x, {}), y[name](y, { axes = {} }), n + 2
    end
    all[n + 1] = (y * y + 0.1):reduce_log_sum { axes = {} }
    return (table.unpack or unpack)(all)
  end, 4e-3 },
  { "the mean of many", { { 1, 2, 64, 64 } }, function(x) return (x + 30):reduce_mean { axes = { 2, 3 } } end, 4e-3 },
  { "shapes", { { 2, 1, 3, 8 } }, function(x)
    return x:squeeze { axes = { 1 } }, x:expand_dims { axes = { 0 } }, x:reshape { shape = { 6, -1 } }, x:flatten2d { axis = 2 },
      x:transpose { perm = { 3, 0, 2, 1 } }, x:reverse { axes = { 3 } }, x:squeeze { axes = { 1 } }:transpose { perm = { 0, 2, 1 } }
  end },
  { "slices", { { 4, 6, 8 } }, function(x)
    local a, b, c = x:split { split_sizes = { 1, 2, 3 }, axis = 1 }
    return x:slice_by_size { begin = { 1, 0, 3 }, size = { 2, -1, 5 } }, x:slice_by_index { begin = { -2, 0, 1 }, end_ = { 0, 3, 0 }, end_mask = { true, false, true } },
      x:slice_by_index { begin = { 0, 5, 0 }, end_ = { 4, 0, 8 }, stride = { 2, -2, 1 } }, a, b, c,
      x:slice_by_index { begin = { 1, 0, 0 }, end_ = { 2, 6, 8 }, squeeze_mask = { true, false, false } },
      x:slice_by_index { begin = { 1, 2, 0 }, end_ = { 2, 3, 8 }, begin_mask = { true, false, false }, squeeze_mask = { true, true, false } }
  end },
  { "put together", { { 2, 8 }, { 2, 8 } }, function(x, y)
    return f:concat { values = { x, y, x }, axis = 0 }, f:concat { values = { x, y }, axis = -1 }, f:stack { values = { x, y }, axis = 1 },
      x:tile { reps = { 2, 3 } }, f:concat { values = { x, y }, axis = 1, interleave = true }
  end },
  { "gather", { { 5, 6, 8 } }, function(x)
    return x:gather { indices = { 1, 2, 3 }, axis = 1 }, x:gather { indices = { 4, 0, 0, 2 }, axis = 0 }, x:gather { indices = { 7, 1, 1 }, axis = -1 },
      x:gather { indices = 2, axis = 1 }, x:gather { indices = { { 1, 2 }, { 5, 0 } }, axis = 2 }
  end },
  { "softmax of any length", { { 2, 3, 5, 7 } }, function(x)
    local all_masked = x * 0 - 30000
    return x:softmax { axis = 0 }, x:softmax { axis = 1 }, x:softmax { axis = 2 }, x:softmax { axis = -1 }, all_masked:softmax { axis = -1 }, (x * 2 - 4):softmax { axis = 2 }
  end },
  { "softmax of a vector, and of one", { { 9 }, { 3, 1 } }, function(x, y) return x:softmax { axis = 0 }, y:softmax { axis = 1 }, y:softmax { axis = 0 } end },
  { "products of any inner size", { { 2, 5, 33 }, { 2, 33, 4 }, { 1, 1 } }, function(x, y, z)
    return x:matmul(y), y:matmul { y = x, transpose_x = true, transpose_y = true }, z:matmul(z)
  end, 6e-3, 0.3 },
  { "matmul with many batches", { { 70, 1, 2, 4 }, { 5, 4, 3 } }, function(x, y) return x:matmul(y) end, 6e-3, 0.3 },
  { "a const by many matrices", { { 3, 2, 16, 6 } }, function(x)
    return f:matmul { x = weight(1, 4, 16), y = x }, f:matmul { x = weight(2, 2, 4, 16), y = x }, f:matmul { x = weight(3, 16, 4), y = x, transpose_x = true }
  end, 6e-3, 0.3 },
  { "products over the batch", { { 3, 2, 4, 5 }, { 1, 2, 1, 5 } }, function(x, y)
    return x * y, y * x, x * weight(1, 1, 2, 4, 1), x:reduce_sum { axes = { 1, 2, 3 }, keep_dims = true } * y
  end },
  { "tile", { { 2, 3, 1, 4 } }, function(x) return x:tile { reps = { 1, 1, 100, 1 } }, x:tile { reps = { 3, 1, 2, 9 } }, x:tile { reps = { 1, 1, 1, 1 } } end },
  { "steps", { { 3, 10, 12 } }, function(x)
    local function every(arguments) return x:slice_by_index(arguments) end
    return every { begin = { 0, 1, 2 }, end_ = { 3, 10, 12 }, stride = { 1, 3, 5 } }, every { begin = { 0, 9, -1 }, end_ = { 3, 0, 0 }, stride = { 2, -4, -3 }, end_mask = { false, true, false } },
      every { begin = { 1, 0, 0 }, end_ = { 2, 10, 12 }, stride = { 1, 9, 11 } }, every { begin = { 0, -1, 11 }, end_ = { 3, 0, 12 }, end_mask = { false, true, false }, stride = { 1, -1, 1 }, squeeze_mask = { false, false, true } },
      every { begin = { 0, 0, 3 }, end_ = { 0, 0, 0 }, stride = { 1, 2, 2 }, begin_mask = { true, true, false }, end_mask = { true, true, true } }
  end },
  { "transposes of rank 6", { { 2, 6, 8, 3 } }, function(x)
    local windows = x:reshape({ shape = { 2, 3, 2, 4, 2, 3 } }):transpose { perm = { 0, 1, 3, 2, 4, 5 } }:reshape { shape = { 24, 4, 3 } }
    local back = windows:reshape({ shape = { 2, 3, 4, 2, 2, 3 } }):transpose { perm = { 5, 3, 0, 4, 2, 1 } }:reshape { shape = { 3, 2, -1 } }
    return windows, back
  end },
  { "pad", { { 1, 2, 3, 8 } }, function(x) return x:pad { pad = { 0, 0, 0, 0, 1, 2, 3, 4 }, mode = "constant", constant_val = 1 } end },
  { "pads of any axis", { { 2, 3, 4, 5 }, { 3, 4 }, { 2, 2, 1, 2, 3 } }, function(x, y, z)
    return x:pad { pad = { 1, 2, 0, 1, 0, 0, 3, 0 } }, x:pad { pad = { 0, 0, 2, 2, 1, 3, 4, 1 }, mode = "reflect" }, x:pad { pad = { 3, 0, 1, 1 }, mode = "replicate" },
      y:pad { pad = { 2, 2, 9, 9 }, mode = "reflect" }, y:pad { pad = { 0, 1, 1, 0 }, mode = "constant", constant_val = -2 }, z:pad { pad = { 1, 0, 0, 2 }, constant_val = 3 },
      z:pad { pad = { 0, 1, 1, 0, 0, 0, 0, 0, 2, 2 }, mode = "replicate" }
  end },
  { "blocks", { { 2, 36, 10, 12 } }, function(x)
    local function blocks(op, name, side) return x[op](x, { [name] = side }) end
    return blocks("depth_to_space", "block_size", 6), blocks("depth_to_space", "block_size", 3), blocks("space_to_depth", "block_size", 2), blocks("pixel_shuffle", "upscale_factor", 6),
      blocks("pixel_shuffle", "upscale_factor", 2), blocks("pixel_unshuffle", "downscale_factor", 2)
  end },
  { "blocks of other sides", { { 2, 3, 10, 15 } }, function(x)
    return x:space_to_depth { block_size = 5 }, x:pixel_unshuffle { downscale_factor = 5 }, x:space_to_batch { block_shape = { 5, 3 }, paddings = { { 0, 0 }, { 0, 0 } } },
      x:space_to_batch { block_shape = { 2, 7 }, paddings = { { 1, 3 }, { 2, 4 } } }
  end },
  { "batches to space", { { 30, 2, 3, 4 } }, function(x)
    return x:batch_to_space { block_shape = { 5, 3 }, crops = { { 0, 0 }, { 0, 0 } } }, x:batch_to_space { block_shape = { 1, 10 }, crops = { { 1, 0 }, { 3, 2 } } },
      x:batch_to_space { block_shape = { 2, 1 }, crops = { { 0, 1 }, { 0, 0 } } }
  end },
  { "windows", { { 3, 20, 4 } }, function(x)
    return x:sliding_windows { axis = 1, size = 5, stride = 3 }, x:sliding_windows { axis = 1, size = 18 }, x:sliding_windows { axis = -1, size = 2, stride = 2 }, x:sliding_windows { axis = 0, size = 3 }
  end },
  { "bands", { { 2, 5, 7 } }, function(x) return x:band_part { lower = -1, upper = 0 }, x:band_part { lower = 1, upper = 2 }, x:band_part { lower = 0, upper = -1 } end },
  { "updates of a part", { { 3, 6, 8 }, { 2, 1, 8 }, { 6, 3 } }, function(x, y, z)
    return x:slice_update { update = y, begin = { 1, 2, 0 }, end_ = { 3, 3, 8 } }, x:slice_update { update = z, begin = { 1, 0, 2 }, end_ = { 2, 6, 5 }, squeeze_mask = { true, false, false } },
      x:slice_update { update = x * 2, begin = { 0, 0, 0 }, end_ = { 0, 0, 0 }, begin_mask = { true, true, true }, end_mask = { true, true, true } }
  end },
  { "indices up and down", { { 9, 5 } }, function(x) return x:gather { indices = { 8, 7, 6, 2, 3, 4, 0, 0 }, axis = 0 }, x:gather { indices = { 4, 3, 2, 1, 0 }, axis = 1 } end },
  { "arcs", { { 4, 8 } }, function(x) return x:tanh():asin(), x:tanh():acos(), (x:tanh() * 0.9):atanh(), x:sign():asin(), x:sign():acos(), (x * 0):atanh() end, 8e-3 },
  { "products along axes", { { 2, 7, 5 } }, function(x)
    local y = x * 0.5 + 1
    return y:reduce_prod { axes = { 1 } }, y:reduce_prod { axes = { -1 }, keep_dims = true }, y:reduce_prod { axes = { 0, 2 } }, x:reduce_prod { axes = { 1 } }, x:reduce_prod { axes = { 0 }, keep_dims = true },
      y:linear({ weight = weight(1, 9, 5), bias = mil.ones("fp32", { 9 }) }):reduce_prod { axes = { -1 } }
  end, 2e-2 },
  { "norms over channels", { { 2, 20, 3, 4 }, { 1, 17, 6 } }, function(x, y)
    return x:local_response_norm { size = 5 }, (x * 10):local_response_norm { size = 4, alpha = 0.5, beta = 0.5, k = 2 }, y:local_response_norm { size = 3 }
  end, 8e-3 },
  { "an epsilon below what fp16 has", { { 2, 3, 4, 8 } }, function(x)
    return x:instance_norm { gamma = weight(1, 3), epsilon = 1e-9 }, x:layer_norm { axes = { -1 }, epsilon = 1e-12 }
  end, 8e-3 },
  { "the first of many", { { 3, 12 }, { 4, 3 } }, function(x, y)
    return (x:topk { k = 3 }), (x:topk { k = 4, ascending = true }), (y:topk { k = 3, axis = 0 }), (y:topk { k = 3, axis = 1, ascending = true }), (y:topk { k = 2, axis = 0 })
  end },
  { "long affine maps", { { 1, 1030, 1, 3 }, { 3, 1025 }, { 5, 4 } }, function(x, y, z)
    return x * weight(1, 1, 1030, 1, 1) + weight(2, 1, 1030, 1, 1), y:layer_norm { axes = { -1 }, gamma = weight(3, 1025), beta = weight(4, 1025) },
      z:linear { weight = weight(5, 1027, 4), bias = weight(6, 1027) }
  end, 8e-3 },
  { "images that fit no multiple", { { 1, 3, 7, 9 } }, function(x) return x * 2, x:transpose { perm = { 0, 2, 3, 1 } } end },
  { "scalars", { {}, { 3 } }, function(x, y) return x + 1, x * y end },
  { "a rank that a const of one element gives", { { 3 } }, function(x)
    local one = mil.full("fp32", { 1, 1, 1, 1, 1 }, 0.5)
    return (x + one):transpose { perm = { 4, 3, 2, 1, 0 } }, x:maximum(one), x * one
  end },
  { "small integers as outputs", { { 2, 8 } }, function(x) return (x * 50):cast { dtype = "int8" }, (x * 99):cast { dtype = "uint8" } end, 2e-2, no_e5rt = true },
  { "rank 5", { { 2, 2, 2, 2, 4 } }, function(x) return x:reduce_sum { axes = { 1 } }, x + 1, x:transpose { perm = { 4, 3, 2, 1, 0 } }, x:transpose { perm = { 0, 1, 4, 3, 2 } },
    x:slice_by_size { begin = { 0, 1, 0, 1, 1 }, size = { 2, 1, 2, 1, 2 } } end },
  { "an input as an output, and one twice", { { 2, 8 } }, function(x) local y = x:relu() return x, y, y end },
}

local function build(row, dtype)
  f = mil.func()
  local given = {}
  for i, shape in ipairs(row[2]) do given[i] = f:input(("in%d"):format(i), dtype, shape) end
  for i, output in ipairs { row[3]((table.unpack or unpack)(given)) } do f:output(("out%02d"):format(i), output) end
  return f
end

-- Graphs of graphs/: { name, file, arguments, bound }; a file of tests/vectors/graphs has weights. The kernels are the Neural Engine's idioms.
local square = { q = weight(1, 16, 16), k = weight(2, 16, 16), v = weight(3, 16, 16), out = weight(4, 16, 16) }
local stack = {}
for i = 1, 3 do stack[i] = { up = weight(2 * i, 24, 8), down = weight(2 * i + 1, 8, 24) } end
rows.graphs = {
  { "gpt2_block", "layers/gpt2_block", { "gpt2_block", 7, 24, 3 }, 3e-2 },
  { "llama_block", "layers/llama_block", { "llama_block", 7, 32, { heads = 4, kv_heads = 2 } }, 3e-2 },
  { "resnet_block", "layers/resnet_block", { "resnet_block", { 2, 8, 9, 11 }, 1 }, 3e-2 },
  { "resnet_block_down", "layers/resnet_block", { "resnet_block_down", { 1, 8, 10, 10 }, 2 }, 3e-2 },
  { "mobilenet_block", "layers/mobilenet_block", { "mobilenet_block", { 1, 8, 7, 9 }, 1 }, 3e-2 },
  { "swiglu", "kernels/swiglu", { "swiglu", 24, 19 }, 3e-2 },
  { "packed_matmul", "kernels/packed_matmul", { 32, 16, 24 }, 1e-2 },
  { "attention_head", "kernels/attention_head", { 16, 24 }, 1e-2 },
  { "attention_heads", "kernels/attention_heads", { square, 4, 19 }, 1e-2 },
  { "linear_conv", "kernels/linear_conv", { { weight = weight(1, 12, 16), bias = weight(2, 12) }, 32 }, 6e-3 },
  { "ffn_stack", "kernels/ffn_stack", { stack, 32 }, 2e-2 },
}

function rows.graph(row)
  local arguments = { (table.unpack or unpack)(row[3]) }
  if type(arguments[1]) == "string" then arguments[1] = mil.weights("tests/vectors/graphs/" .. arguments[1] .. ".safetensors") end
  return dofile("graphs/" .. row[2] .. ".lua")((table.unpack or unpack)(arguments))
end

rows.inputs_of, rows.furthest, rows.build = inputs_of, furthest, build
return rows

-- SPDX-License-Identifier: MIT
-- mil.flops: how many floating-point operations a run of an operation takes. This is the one place that says so.
--
-- A multiplication and the addition of its product are 2. Counted is the arithmetic that the definition of an op says, each
-- element once, whatever an engine makes of it: padding counts as data, and nothing is left out because it is fused,
-- folded or integer. An exponential or a comparison is 1, as an addition is. What only moves, selects, converts or
-- expands data is 0. With n(v) the number of v's elements:
--
--     conv, conv_quantized      2 * n(y) * n(weight) / weight's dim 0, + n(y) with a bias
--     conv_transpose            2 * n(x) * n(weight) / weight's dim 0, + n(y) with a bias
--     linear                    2 * n(y) * weight's dim 1, + n(y) with a bias
--     matmul                    2 * n(y) * k, the dim that is summed over
--     einsum                    2 * the product of the sizes of all letters
--     scaled_dot_product_attention
--                               for each element of the scores [.., L, S]: 2 * E + 2 * EV + 1 (scale) + 3 (softmax),
--                               + 1 with a mask
--     lstm, gru, rnn            for each step and batch entry: 2 * n(weights) + the rows of weight_hh (the gates)
--     softmax 3 * n(y); batch_norm 2 * n(y); l2_norm 3 * n(y); instance_norm, layer_norm 5 * n(y);
--     local_response_norm (2 * size + 2) * n(y)
--     pools                     n(y) * the elements of a window
--     interpolation of two axes 9 * n(y): three times a + w * (b - a); of n axes (2^n - 1) * 3 * n(y); of the nearest 0
--     reductions                n(x); classify n(probabilities); cumsum n(y)
--     other elementwise ops and activations: n(y)

local flops = {}

-- The number of a value's elements; nil where it is not known.
local function count(value)
  local n = 1
  for _, size in ipairs(value.type.shape or { "?" }) do
    if type(size) ~= "number" then return nil end
    n = n * size
  end
  return n
end

flops.elements = count

-- Bits of an element, as it is stored; a string has none of its own.
function flops.bits(dtype) return dtype == "string" and 0 or tonumber(dtype:match "%d+") or 8 end

local function dim(value, axis)
  local shape = value.type.shape
  local size = shape[axis < 0 and #shape + axis + 1 or axis + 1]
  return type(size) == "number" and size or nil
end

-- A parameter's number, or list of them; `standard` where it is absent.
local function known(value, standard)
  if value == nil then return standard end
  local data = value.data
  if not data then return nil end
  if data.dtype == "string" or #data.shape == 0 then return data:get() end
  return data:table()
end

-- The product of what must all be known.
local function product(...)
  local n = 1
  for i = 1, select("#", ...) do
    local factor = select(i, ...)
    if not factor then return nil end
    n = n * factor
  end
  return n
end

local function sum(a, b) return a and b and a + b end

local function of_result(factor)
  return function(_, y) return product(factor, count(y)) end
end

local none = of_result(0)

-- ---- products ----

local function with_bias(n, args, y)
  if not args.bias then return n end
  return sum(n, count(y))
end

local rules = {}

function rules.conv(args, y)
  local weight, channels = count(args.weight), dim(args.weight, 0)
  return with_bias(product(2, count(y), weight and channels and weight / channels), args, y)
end

rules.conv_quantized = rules.conv

function rules.conv_transpose(args, y)
  local weight, channels = count(args.weight), dim(args.weight, 0)
  return with_bias(product(2, count(args.x), weight and channels and weight / channels), args, y)
end

function rules.linear(args, y) return with_bias(product(2, count(y), dim(args.weight, 1)), args, y) end

function rules.matmul(args, y)
  local transposed = #args.x.type.shape > 1 and known(args.transpose_x, false)
  local is_transposed = transposed == true or transposed == 1
  return product(2, count(y), dim(args.x, is_transposed and -2 or -1))
end

function rules.einsum(args)
  local equation = known(args.equation)
  if not equation then return nil end
  local sizes, n, i = {}, 2, 0
  for letters in equation:gsub("%->.*", ""):gmatch "[^,]+" do
    i = i + 1
    local axis = 0
    for letter in letters:gmatch "%S" do
      sizes[letter] = sizes[letter] or dim(args.values[i], axis) or false
      axis = axis + 1
    end
  end
  for _, size in pairs(sizes) do n = product(n, size) end
  return n
end

function rules.scaled_dot_product_attention(args)
  local query, key, value = args.query, args.key, args.value
  local entry = sum(product(2, dim(query, -1)), product(2, dim(value, -1)))
  local rows, features = count(query), dim(query, -1)
  local each = sum(entry, 4 + (args.attn_mask and 1 or 0))
  return product(rows and features and features > 0 and rows / features, dim(key, -2), each)
end

local function recurrent(args)
  local n = 0
  for _, name in ipairs { "weight_ih", "weight_hh", "weight_ih_back", "weight_hh_back" } do
    if args[name] then n = sum(n, product(2, count(args[name]))) end
  end
  for _, name in ipairs { "weight_hh", "weight_hh_back" } do
    if args[name] then n = sum(n, dim(args[name], 0)) end
  end
  return product(dim(args.x, 0), dim(args.x, 1), n)
end
rules.lstm, rules.gru, rules.rnn = recurrent, recurrent, recurrent

-- ---- windows, norms ----

local function pool(args, y)
  local n = count(y)
  for _, size in ipairs(known(args.kernel_sizes) or { false }) do n = product(n, size) end
  return n
end

function rules.local_response_norm(args, y)
  local size = known(args.size)
  return product(size and 2 * size + 2, count(y))
end

rules.softmax, rules.batch_norm, rules.l2_norm = of_result(3), of_result(2), of_result(3)
rules.instance_norm, rules.layer_norm = of_result(5), of_result(5)
rules.cast, rules.fill, rules.fill_like, rules.select, rules.crop = none, none, none, none, none
rules.cumsum = of_result(1)
rules.upsample_nearest_neighbor, rules.resize_nearest_neighbor = none, none
function rules.resample(args, y) return product(known(args.sampling_mode) == "nearest" and 0 or 9, count(y)) end
function rules.resize(args, y)
  local axes = known(args.resized_dims)
  if known(args.interpolation_mode) == "NEAREST_NEIGHBOR" then return 0 end
  return product(axes and (2 ^ axes - 1) * 3, count(y))
end
function rules.classify(args) return count(args.probabilities) end

-- ---- by family, where the op itself has no rule ----

local families = {
  elementwise_unary = of_result(1), elementwise_binary = of_result(1), activation = of_result(1), pool = pool,
  reduction = function(args) return count(args.x) end,
  tensor_operation = none, tensor_transformation = none, scatter_gather = none, control_flow = none, constexpr = none,
  states = none, quantization = none, random = none, image_resizing = of_result(9),
}

-- The rule for an op of this name and family; nil where there is none.
function flops.rule(name, family) return rules[name] or families[family] end

-- Of one run of an operation, nested blocks left out; nil where sizes are not known, or no rule is.
function flops.of(operation, family)
  local rule = flops.rule(operation.type, family)
  local y = operation.outputs[1]
  if rule == none or not y then return rule and 0 end
  return rule and rule(operation.args, y)
end

return flops

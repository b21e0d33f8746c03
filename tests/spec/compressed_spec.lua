-- SPDX-License-Identifier: MIT
-- Weights that stay compressed: what they take, and that the cpu engine's kernels compute what plain evaluation does.
local luamil = dofile "tests/spec/luamil.lua"
local mil = require "mil"
local unpack = table.unpack or unpack

-- A whole number of 0 .. n - 1 an index, the same ones each time
local seed = 1
local function random(n)
  seed = (seed * 16807) % 2147483647
  return seed % n
end

local function numbers(count, from, to)
  local list = {}
  for i = 1, count do list[i] = from + random(to - from + 1) end
  return list
end

local function tensor(dtype, shape, list) return mil.tensor(dtype, list):reshape(shape) end

-- Compressed forms of [rows, columns, ..]: functions of a func and a shape
local forms = {}

function forms.affine(f, shape)
  local n = 1
  for _, d in ipairs(shape) do n = n * d end
  local scale = {}
  for i = 1, shape[1] do scale[i] = 1 / (16 + random(32)) end
  return f:constexpr_affine_dequantize {
    quantized_data = tensor("int8", shape, numbers(n, -8, 8)), scale = mil.tensor("fp16", scale),
    zero_point = tensor("int8", { shape[1] }, numbers(shape[1], -2, 2)), axis = 0,
  }
end

function forms.lut(f, shape)
  local n = 1
  for _, d in ipairs(shape) do n = n * d end
  local lut = {}
  for i = 1, 16 do lut[i] = (i - 8) / 16 end
  return f:constexpr_lut_to_dense {
    indices = mil.tensor("uint8", numbers(math.floor((n + 1) / 2), 0, 255)), lut = mil.tensor("fp16", lut),
    shape = mil.tensor("uint32", shape),
  }
end

function forms.sparse(f, shape)
  local n = 1
  for _, d in ipairs(shape) do n = n * d end
  local mask, set = {}, 0
  for byte = 1, math.floor((n + 7) / 8) do
    local bits = random(256)
    if byte * 8 > n then bits = bits % 2 ^ (n - (byte - 1) * 8) end
    mask[byte] = bits
    while bits > 0 do
      set = set + bits % 2
      bits = math.floor(bits / 2)
    end
  end
  local values = numbers(set, -9, 9)
  for i = 1, set do values[i] = values[i] / 8 end
  return f:constexpr_sparse_to_dense {
    nonzero_data = mil.tensor("fp16", values), mask = mil.tensor("uint8", mask), shape = mil.tensor("uint32", shape),
  }
end

-- The forms of ios18, whose data have the dtypes of their bits
local later = {}

local function count(shape)
  local n = 1
  for _, d in ipairs(shape) do n = n * d end
  return n
end

local function ones(shape)
  local list = {}
  for i = 1, #shape do list[i] = 1 end
  return list
end

-- A mask of this shape, and how many bits of it are set
local function mask_of(shape)
  local bits, set = numbers(count(shape), 0, 1), 0
  for _, bit in ipairs(bits) do set = set + bit end
  return tensor("uint1", shape, bits), set
end

-- Palettes: one for each block of the first axis, and for each of the second where there are two; `bits` an index
local function luts(shape, bits, by_rows, by_columns, vector)
  local of = ones(shape)
  of[1], of[2] = by_rows, by_columns
  of[#of + 1], of[#of + 2] = 2 ^ bits, vector or 1
  local list = numbers(count(of), -16, 16)
  for i, x in ipairs(list) do list[i] = x / 16 end
  return tensor("fp16", of, list)
end

local function scales(shape)
  local of = ones(shape)
  of[1] = shape[1]
  local list = numbers(count(of), 16, 48)
  for i, x in ipairs(list) do list[i] = 1 / x end
  return tensor("fp16", of, list), of
end

later["luts of 3 bits"] = function(f, shape)
  return f:constexpr_lut_to_dense { indices = tensor("uint3", shape, numbers(count(shape), 0, 7)), lut = luts(shape, 3, shape[1] / 2, 1) }
end

later["luts of 6 bits"] = function(f, shape)
  return f:constexpr_lut_to_dense { indices = tensor("uint6", shape, numbers(count(shape), 0, 63)), lut = luts(shape, 6, 1, shape[2]) }
end

later["vectors"] = function(f, shape)
  local of = { unpack(shape) }
  of[1] = shape[1] / 2
  return f:constexpr_lut_to_dense { indices = tensor("uint4", of, numbers(count(of), 0, 15)), lut = luts(shape, 4, 1, 1, 2), vector_axis = 0 }
end

later["vectors along the last axis"] = function(f, shape)
  local of = { unpack(shape) }
  local vector = of[#of]
  of[#of] = 1
  return f:constexpr_lut_to_dense { indices = tensor("uint2", of, numbers(count(of), 0, 3)), lut = luts(shape, 2, of[1], 1, vector), vector_axis = -1 }
end

later["sparse"] = function(f, shape)
  local mask, set = mask_of(shape)
  return f:constexpr_sparse_to_dense { mask = mask, nonzero_data = mil.tensor("fp16", numbers(set, -9, 9)) }
end

later["sparse, of a palette"] = function(f, shape)
  local mask, set = mask_of(shape)
  local bits, values = f:constexpr_lut_to_sparse { indices_mask = mask, indices_nonzero_data = mil.tensor("uint4", numbers(set, 0, 15)), lut = luts(shape, 4, 2, 1) }
  return f:constexpr_sparse_to_dense { mask = bits, nonzero_data = values }
end

later["sparse, with scales"] = function(f, shape)
  local mask, set = mask_of(shape)
  local scale, of = scales(shape)
  local bits, values = f:constexpr_sparse_blockwise_shift_scale {
    data_mask = mask, nonzero_data = mil.tensor("int4", numbers(set, -8, 7)), scale = scale, offset = tensor("int4", of, numbers(count(of), -2, 2)),
  }
  return f:constexpr_sparse_to_dense { mask = bits, nonzero_data = values }
end

later["sparse, of a palette with scales"] = function(f, shape)
  local mask, set = mask_of(shape)
  local lut = tensor("int8", { 1, 1, 16, 1 }, numbers(16, -99, 99))
  if #shape > 2 then lut = lut:reshape { 1, 1, 1, 16, 1 } end
  if #shape > 3 then lut = lut:reshape { 1, 1, 1, 1, 16, 1 } end
  local bits, values = f:constexpr_lut_to_sparse { indices_mask = mask, indices_nonzero_data = mil.tensor("uint4", numbers(set, 0, 15)), lut = lut }
  bits, values = f:constexpr_sparse_blockwise_shift_scale { data_mask = bits, nonzero_data = values, scale = (scales(shape)) }
  return f:constexpr_sparse_to_dense { mask = bits, nonzero_data = values }
end

later["scales of what is sparse"] = function(f, shape)
  local mask, set = mask_of(shape)
  local scale, of = scales(shape)
  local data = f:constexpr_sparse_to_dense { mask = mask, nonzero_data = mil.tensor("int8", numbers(set, -9, 9)) }
  return f:constexpr_blockwise_shift_scale { data = data, scale = scale, offset = tensor("int8", of, numbers(count(of), -2, 2)) }
end

later["a palette with scales"] = function(f, shape)
  local of = ones(shape)
  of[#of + 1], of[#of + 2] = 16, 1
  local indices = f:constexpr_lut_to_dense { indices = tensor("uint4", shape, numbers(count(shape), 0, 15)), lut = tensor("int8", of, numbers(16, -99, 99)) }
  return f:constexpr_blockwise_shift_scale { data = indices, scale = (scales(shape)) }
end

later["a palette that has scales"] = function(f, shape)
  local of = ones(shape)
  of[#of + 1], of[#of + 2] = 16, 1
  local lut = f:constexpr_blockwise_shift_scale { data = tensor("int8", of, numbers(16, -99, 99)), scale = tensor("fp16", ones(of), { 1 / 64 }) }
  return f:constexpr_lut_to_dense { indices = tensor("uint4", shape, numbers(count(shape), 0, 15)), lut = lut }
end

for name, form in pairs(later) do forms[name] = form end

-- What reads them: functions of f, a form and x's dtype, which give the result
local uses = {
  { "linear", "gemm, compressed", { 5, 40 }, function(x, weight) return x:linear { weight = weight { 24, 40 } }:relu() end },
  { "linear of one row", "gemm, compressed", { 1, 40 }, function(x, weight) return x:linear { weight = weight { 24, 40 } } end },
  { "matmul", "gemm, compressed", { 2, 5, 24 }, function(x, weight) return x:matmul { y = weight { 24, 40 } } end },
  { "matmul of one row", "gemm, compressed", { 1, 24 }, function(x, weight) return x:matmul { y = weight { 24, 40 } } end },
  { "a reshaped weight", "gemm, compressed", { 1, 24 }, function(x, weight) return x:matmul { y = weight { 40, 24, 1 }:reshape { shape = { 40, 24 } }, transpose_y = true } end },
  { "conv", "conv, compressed", { 1, 8, 6, 7 }, function(x, weight) return x:conv { weight = weight { 12, 4, 3, 3 }, groups = 2, pad_type = "same" } end },
  { "conv, and what follows", "conv, compressed", { 1, 8, 1, 7 }, function(x, weight) return x:conv { weight = weight { 8, 8, 1, 1 } }:relu() + x end },
  { "depthwise conv", "pack", { 1, 8, 6, 7 }, function(x, weight) return x:conv { weight = weight { 8, 1, 3, 3 }, groups = 8, pad_type = "same" } + x end },
  { "conv_transpose", "pack", { 1, 8, 6, 7 }, function(x, weight) return x:conv_transpose { weight = weight { 8, 4, 3, 3 } } end },
  { "a batch of matrices", "expand", { 2, 5, 24 }, function(x, weight) return x:matmul { y = weight { 2, 24, 40 } } end },
  { "elementwise", "expand", { 6, 40 }, function(x, weight) return x * weight { 6, 40 } end },
  { "gather", "gather, compressed", { 5 }, function(x, weight) return weight { 40, 24 }:gather { indices = x:cast { dtype = "int32" } } end },
  { "lstm, one step", "lstm", { 1, 1, 24 }, function(x, weight)
    local zero = mil.zeros("fp16", { 1, 16 })
    return (x:lstm { initial_h = zero, initial_c = zero, weight_ih = weight { 64, 24 }, weight_hh = weight { 64, 16 } })
  end },
  { "lstm, both ways, a batch", "lstm", { 5, 3, 24 }, function(x, weight)
    local some = mil.randn("fp16", { 3, 32 }, { seed = 1 })
    return (x:lstm { initial_h = some, initial_c = some, weight_ih = weight { 64, 24 }, weight_hh = weight { 64, 16 }, output_sequence = true,
                     weight_ih_back = weight { 64, 24 }, weight_hh_back = weight { 64, 16 }, direction = "bidirectional" })
  end },
  { "gru, one step", "gru", { 1, 1, 24 }, function(x, weight)
    return (x:gru { initial_h = mil.randn("fp16", { 1, 16 }, { seed = 1 }), weight_ih = weight { 48, 24 }, weight_hh = weight { 48, 16 }, bias = mil.randn("fp16", { 48 }, { seed = 2 }) })
  end },
  { "gru, a step of a batch", "gru", { 1, 9, 24 }, function(x, weight)
    return (x:gru { initial_h = mil.randn("fp16", { 9, 16 }, { seed = 1 }), weight_ih = weight { 48, 24 }, weight_hh = weight { 48, 16 } })
  end },
  { "gru, back, a batch", "gru", { 5, 3, 24 }, function(x, weight)
    return (x:gru { initial_h = mil.randn("fp16", { 3, 16 }, { seed = 1 }), weight_ih = weight { 48, 24 }, weight_hh = weight { 48, 16 }, output_sequence = true,
                    direction = "reverse" })
  end },
  { "rnn, one step", "rnn", { 1, 1, 24 }, function(x, weight)
    return (x:rnn { initial_h = mil.randn("fp16", { 1, 16 }, { seed = 1 }), weight_ih = weight { 16, 24 }, weight_hh = weight { 16, 16 } })
  end },
  { "several", "expand", { 5, 40 }, function(x, weight)
    local w = weight { 40, 40 }
    return x:linear { weight = w } + w:slice_by_size { begin = { 0, 0 }, size = { 5, 40 } }
  end },
}

local function program(use, form)
  local f = mil.func { opset = later[form] and "ios18" or "ios17" }
  local x = f:input("x", "fp16", use[3])
  seed = 7
  f:output("y", use[4](x, function(shape) return forms[form](f, shape) end))
  return f
end

local function input(use)
  local n = 1
  for _, d in ipairs(use[3]) do n = n * d end
  local list = numbers(n, 0, 4)
  return tensor("fp16", use[3], list)
end

describe("compressed weights", function()
  for _, use in ipairs(uses) do
    it("are read by " .. use[1], function()
      for form in pairs(forms) do
        local f, x = program(use, form), input(use)
        local wanted = f:compile { engine = "cpu", optimize = 0 }:run { x = x }.y
        for _, options in ipairs { {}, { threads = 2 }, { precision = "strict" } } do
          options.engine = "cpu"
          local model = f:compile(options)
          assert.truthy(model:describe():find("[" .. use[2], 1, true), use[1] .. ", " .. form .. ":\n" .. model:describe())
          for _ = 1, 2 do assert.is_true(model:run({ x = x }).y:close(wanted, 2e-3), use[1] .. ", " .. form) end
        end
      end
    end)
  end

  -- Numbers of a shape as text has them
  local function literal(shape, of, axis)
    axis = axis or 1
    if axis > #shape then return tostring(of()) end
    local list = {}
    for i = 1, shape[axis] do list[i] = literal(shape, of, axis + 1) end
    return "[" .. table.concat(list, ", ") .. "]"
  end

  it("of an outer block are expanded in the nested one that reads them", function()
    local consts, blocks, weights = {}, {}, { w = { 8, 1, 3, 3 }, m = { 2, 24, 4 }, ih = { 4, 2 }, hh = { 4, 1 } }
    seed = 7
    for name, shape in pairs(weights) do
      local of = ones(shape)
      of[#of + 1], of[#of + 2] = 2, 1
      local indices, lut = literal(shape, function() return random(2) end), literal(of, function() return random(17) / 8 - 1 end)
      consts[#consts + 1] = ("tensor<fp16, %s> %s = constexpr_lut_to_dense(indices = tensor<uint1, %s>(%s), lut = tensor<fp16, [%s]>(%s));"):format(
        "[" .. table.concat(shape, ", ") .. "]", name, "[" .. table.concat(shape, ", ") .. "]", indices, table.concat(of, ", "), lut)
    end
    for i = 1, 2 do
      blocks[i] = ([[() {
        tensor<fp16, [1, 8, 6, 7]> c# = conv(x = x, weight = w, groups = int32(8), pad_type = string("same"));
        tensor<fp16, [2, 5, 4]> q# = matmul(x = b, y = m);
        tensor<fp16, [2, 5, 4]> r# = @(x = q#, y = q#);
        tensor<fp16, [2, 1, 1]> a#, tensor<fp16, [1, 1]> h#, tensor<fp16, [1, 1]> l# =
          lstm(initial_c = o, initial_h = o, output_sequence = bool(true), weight_hh = hh, weight_ih = ih, x = s);
      } -> (c#, r#, a#)]]):gsub("#", i):gsub("@", i == 1 and "add" or "mul")
    end
    local f = mil.parse([==[program(1.3)
      { func main<ios18>(bool p, tensor<fp16, [1, 8, 6, 7]> x, tensor<fp16, [2, 5, 24]> b, tensor<fp16, [2, 1, 2]> s) {
        tensor<fp16, [1, 1]> o = const()[val = tensor<fp16, [1, 1]>([[0.25]])];
        ]==] .. table.concat(consts, "\n") .. [[
        tensor<fp16, [1, 8, 6, 7]> y, tensor<fp16, [2, 5, 4]> z, tensor<fp16, [2, 1, 1]> h = cond(pred = p) ]] .. table.concat(blocks, ", ") .. [[;
        } -> (y, z, h); }]])
    local inputs = { x = mil.randn("fp16", { 1, 8, 6, 7 }), b = mil.randn("fp16", { 2, 5, 24 }), s = mil.randn("fp16", { 2, 1, 2 }) }
    for truth = 0, 1 do
      inputs.p = mil.tensor("bool", truth)
      local wanted, given = f:compile({ engine = "cpu", optimize = 0 }):run(inputs), f:compile({ engine = "cpu" }):run(inputs)
      for name, t in pairs(wanted) do assert.is_true(t:close(given[name], 2e-3), name) end
    end
  end)

  it("stand in the operation, without consts of their own", function()
    local f = mil.func { opset = "ios17" }
    local x = f:input("x", "fp16", { 1, 4 })
    seed = 7
    f:output("y", x:linear { weight = forms.affine(f, { 2, 4 }) })
    local text = tostring(f)
    assert.truthy(text:find("constexpr_affine_dequantize()[axis = tensor<int32, []>(0), name =", 1, true), text)
    assert.is_nil(text:find("= const(", 1, true), text)
    assert.equal(text, tostring(mil.parse(text)))
  end)

  it("may be outputs", function()
    local f = mil.func { opset = "ios17" }
    local x = f:input("x", "fp16", { 1 })
    seed = 7
    local w = forms.lut(f, { 3, 5 })
    f:output("w", w)
    f:output("y", w + x)
    local out = f:compile({ engine = "cpu" }):run { x = { 0 } }
    assert.same(out.w:table(), out.y:table())
  end)

  it("take the memory of what they are compressed to", function()
    local n = 1024
    local function model(weight_of)
      local f = mil.func { opset = "ios17" }
      local x = f:input("x", "fp16", { 4, n })
      for _ = 1, 4 do x = x:linear { weight = weight_of(f) } end
      f:output("y", x)
      return f:compile { engine = "cpu" }
    end
    local dense = model(function() return mil.randn("fp16", { n, n }) end):memory()
    local data, scale = mil.zeros("int8", { n, n }), mil.ones("fp16", { n })
    local compressed = model(function(f)
      return f:constexpr_affine_dequantize { quantized_data = data, scale = scale, zero_point = mil.tensor("int8", 0), axis = 0 }
    end):memory()
    assert.is_true(dense.weights >= 4 * n * n * 2)
    assert.is_true(compressed.weights <= 4 * 8 * n, tostring(compressed.weights)) -- the scales; the data are the program's
    assert.is_true(compressed.context < 2 * n * n, tostring(compressed.context)) -- never a whole weight, expanded
  end)

  it("of ios18 take the memory of what they are compressed to", function()
    local n = 1024
    local function bits(dtype, count, bits) return mil.from_bytes(dtype, { count }, ("\1"):rep(count * bits / 8)) end -- one set in each byte
    local mask, data = bits("uint1", n * n, 1):reshape { n, n }, bits("uint4", n * n / 8, 4)
    local table_of = { vectors = mil.randn("fp16", { 1, 1, 4, 2 }), luts = mil.randn("fp16", { n / 16, 1, 8, 1 }), lut = mil.randn("fp16", { 1, 1, 16, 1 }) }
    local weights = {
      vectors = function(f) return f:constexpr_lut_to_dense { indices = bits("uint2", n * n / 2, 2):reshape { n / 2, n }, lut = table_of.vectors, vector_axis = 0 } end,
      luts = function(f) return f:constexpr_lut_to_dense { indices = bits("uint3", n * n, 3):reshape { n, n }, lut = table_of.luts } end,
      sparse = function(f) return f:constexpr_sparse_to_dense { mask = mask, nonzero_data = mil.ones("fp16", { n * n / 8 }) } end,
      joint = function(f)
        local places, values = f:constexpr_lut_to_sparse { indices_mask = mask, indices_nonzero_data = data, lut = table_of.lut }
        return f:constexpr_sparse_to_dense { mask = places, nonzero_data = values }
      end,
      joint_with_scales = function(f)
        local places, values = f:constexpr_sparse_blockwise_shift_scale { data_mask = mask, nonzero_data = data, scale = mil.ones("fp16", { n, 1 }) }
        return f:constexpr_sparse_to_dense { mask = places, nonzero_data = values }
      end,
    }
    for name, weight_of in pairs(weights) do
      local f = mil.func { opset = "ios18" }
      f:output("y", f:input("x", "fp16", { 4, n }):linear { weight = weight_of(f) })
      local memory = f:compile({ engine = "cpu" }):memory()
      -- beside the scales and palettes as floats a number for each 512 of a mask; the data are the program's
      assert.is_true(memory.weights <= n * n / 32 and memory.context < n * n, name .. ": " .. memory.weights .. ", " .. memory.context)
    end
  end)

  -- Every reader, with every width: the weight as a whole is nowhere in memory, and results are those of the expanded one.
  do
    local n = 512
    local function shape_of(shape) return { unpack(shape) } end
    local function filled(bytes, with) return with:rep(math.ceil(bytes / #with)):sub(1, bytes) end
    local widths = {}
    for _, bits in ipairs { 1, 2, 3, 4, 6, 8 } do
      widths[("palette of %d bits"):format(bits)] = function(f, shape)
        local of = ones(shape)
        of[#of + 1], of[#of + 2] = 2 ^ bits, 1
        return f:constexpr_lut_to_dense { indices = mil.from_bytes("uint" .. bits, shape_of(shape), filled(count(shape) * bits / 8, "\165\201\102")),
                                          lut = mil.randn("fp16", of, { seed = bits }) }
      end
    end
    for _, dtype in ipairs { "int8", "int4" } do
      widths[dtype .. ", blocks of 32"] = function(f, shape)
        local of = shape_of(shape)
        of[2] = of[2] / 32
        local bytes = count(shape) * (dtype == "int8" and 8 or 4) / 8
        return f:constexpr_blockwise_shift_scale { data = mil.from_bytes(dtype, shape_of(shape), filled(bytes, "\1\254\19")), scale = mil.full("fp16", of, 0.01) }
      end
    end
    widths["sparse, one of eight"] = function(f, shape)
      local mask = mil.from_bytes("uint1", shape_of(shape), filled(count(shape) / 8, "\1"))
      return f:constexpr_sparse_to_dense { mask = mask, nonzero_data = mil.randn("fp16", { count(shape) / 8 }, { seed = 1 }) }
    end
    local zero = mil.zeros("fp16", { 1, n / 2 })
    local readers = {
      linear = { { 1, n }, function(x, weight) return x:linear { weight = weight { n, n } } end },
      matmul = { { 4, n }, function(x, weight) return x:matmul { y = weight { n, n } } end },
      conv = { { 1, n, 1, 4 }, function(x, weight) return x:conv { weight = weight { 3 * n, n, 1, 1 } } end },
      gather = { { 4 }, function(x, weight) return weight { n, n }:gather { indices = x:cast { dtype = "int32" } } end },
      lstm = { { 1, 1, n }, function(x, weight)
        return (x:lstm { initial_h = zero, initial_c = zero, weight_ih = weight { 2 * n, n }, weight_hh = weight { 2 * n, n / 2 } })
      end },
      gru = { { 1, 1, n }, function(x, weight)
        return (x:gru { initial_h = zero, weight_ih = weight { 3 * n / 2, n }, weight_hh = weight { 3 * n / 2, n / 2 } })
      end },
      rnn = { { 1, 1, n }, function(x, weight)
        return (x:rnn { initial_h = zero, weight_ih = weight { n / 2, n }, weight_hh = weight { n / 2, n / 2 } })
      end },
    }
    for name, reader in pairs(readers) do
      it("are nowhere expanded as a whole by " .. name, function()
        for width, form in pairs(widths) do
          local f = mil.func { opset = "ios18" }
          local largest = 0
          f:output("y", reader[2](f:input("x", "fp16", reader[1]), function(shape)
            largest = math.max(largest, count(shape))
            return form(f, shape)
          end))
          local model = f:compile { engine = "cpu", threads = 1 }
          local memory = model:memory()
          local what = ("%s, %s: %d, %d of %d"):format(name, width, memory.weights, memory.context, largest)
          assert.is_true(memory.weights + memory.context < largest, what) -- half of what it would be in fp16
          local x = mil.rand("fp16", reader[1], { seed = 1 })
          local wanted = f:compile({ engine = "cpu", optimize = 0 }):run({ x = x }).y
          assert.is_true(model:run({ x = x }).y:close(wanted, 4e-3), what)
        end
      end)
    end
  end

  -- A mask and values, with all that there is between them and the weight
  local function joint(opset)
    local f = mil.func { opset = opset or "ios18" }
    local x = f:input("x", "fp16", { 2, 4 })
    local mask = tensor("uint1", { 2, 4 }, { 1, 0, 1, 1, 0, 0, 1, 0 })
    local places, values = f:constexpr_lut_to_sparse {
      indices_mask = mask, indices_nonzero_data = mil.tensor("uint2", { 0, 1, 2, 3 }), lut = tensor("int8", { 1, 1, 4, 1 }, { 1, 2, 3, 4 }),
    }
    places, values = f:constexpr_sparse_blockwise_shift_scale { data_mask = places, nonzero_data = values, scale = tensor("fp16", { 2, 1 }, { 0.5, 0.25 }) }
    local w = f:constexpr_sparse_to_dense { mask = places, nonzero_data = values }
    f:output("y", x + w)
    f:output("values", values)
    f:output("wide", f:constexpr_cast { source_val = mil.tensor("fp16", { 0.5, -2 }), output_dtype = "fp32" })
    return f, places
  end

  it("of which a part is read by itself too", function()
    local f, places = joint()
    f:output("places", places)
    for optimize = 0, 1 do
      local out = f:compile({ engine = "cpu", optimize = optimize }):run { x = mil.zeros("fp16", { 2, 4 }) }
      assert.same({ { 0.5, 0, 1, 1.5 }, { 0, 0, 1, 0 } }, out.y:table())
      assert.same({ 0.5, 1, 1.5, 1 }, out.values:table())
      assert.same({ { 1, 0, 1, 1 }, { 0, 0, 1, 0 } }, out.places:table())
      assert.same({ 0.5, -2 }, out.wide:table())
    end
  end)

  it("that take each other's results are written by name, and stay what they are", function()
    local f = joint()
    local text = tostring(f)
    assert.equal(text, tostring(mil.parse(text)))
    for _, name in ipairs { "joint.mlpackage", "joint.mlmodelc", "joint.mil" } do
      f:save(luamil.path(name))
      local again = mil.load(luamil.path(name))
      assert.truthy(tostring(again):find("constexpr_sparse_to_dense(mask = constexpr_sparse_blockwise_shift_scale_0_0, nonzero_data = values)", 1, true))
      local out = again:compile({ engine = "cpu" }):run { x = mil.zeros("fp16", { 2, 4 }) }
      assert.same({ { 0.5, 0, 1, 1.5 }, { 0, 0, 1, 0 } }, out.y:table())
    end
  end)

  it("whose mask and values are not of each other are refused when they are looked at", function()
    local f = mil.func { opset = "ios18" }
    local function sparse(bits)
      local mask, set = tensor("uint1", { 4 }, bits), bits[1] + bits[2] + bits[3] + bits[4]
      return f:constexpr_lut_to_sparse { indices_mask = mask, indices_nonzero_data = mil.zeros("uint1", { set }), lut = tensor("fp16", { 1, 2, 1 }, { 1, 2 }) }
    end
    local mask = sparse { 0, 1, 0, 0 }
    local _, values = sparse { 0, 1, 1, 0 }
    f:output("y", f:input("x", "fp16", { 4 }) + f:constexpr_sparse_to_dense { mask = mask, nonzero_data = values })
    for optimize = 0, 1 do
      assert.error_matches(function() f:compile({ engine = "cpu", optimize = optimize }):run { x = mil.zeros("fp16", { 4 }) } end,
        "constexpr_sparse_to_dense: mask has 1 bit set, but nonzero_data fp16%[2%] holds the values")
    end
  end)
end)

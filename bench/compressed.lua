-- SPDX-License-Identifier: MIT
-- Products with a compressed weight beside the same with one of fp16, packed when compiled: the ratio of their times, best of
-- several runs in turns, on one thread.
local mil = require "mil"
local timing = require "mil.timing"

local n = 2048

local function dense(_, shape) return mil.randn("fp16", shape, { seed = 1 }) end

local forms = {
  { "int8, a scale a row", "ios17", function(f, shape)
    return f:constexpr_affine_dequantize { quantized_data = mil.zeros("int8", shape), scale = mil.ones("fp16", { shape[1] }),
                                           zero_point = mil.tensor("int8", 0), axis = 0 }
  end },
  { "4-bit table", "ios17", function(f, shape)
    return f:constexpr_lut_to_dense { indices = mil.zeros("uint8", { shape[1] * shape[2] / 2 }), lut = mil.randn("fp16", { 16 }),
                                      shape = mil.tensor("uint32", shape) }
  end },
  { "int4, a scale a block of 32", "ios18", function(f, shape)
    return f:constexpr_blockwise_shift_scale { data = mil.zeros("int4", shape), scale = mil.ones("fp16", { shape[1], shape[2] / 32 }) }
  end },
}

local function bytes(dtype, bits, shape, byte) -- of one byte over and over
  local n = bits
  for _, d in ipairs(shape) do n = n * d end
  return mil.from_bytes(dtype, shape, byte:rep(n / 8))
end

local half = "\170" -- every second bit

for _, form in ipairs {
  { "3-bit tables, one for 16 rows", "ios18", function(f, shape)
    return f:constexpr_lut_to_dense { indices = bytes("uint3", 3, shape, half), lut = mil.randn("fp16", { shape[1] / 16, 1, 8, 1 }) }
  end },
  { "6-bit table", "ios18", function(f, shape)
    return f:constexpr_lut_to_dense { indices = bytes("uint6", 6, shape, half), lut = mil.randn("fp16", { 1, 1, 64, 1 }) }
  end },
  { "4-bit table of pairs of rows", "ios18", function(f, shape)
    return f:constexpr_lut_to_dense { indices = bytes("uint4", 4, { shape[1] / 2, shape[2] }, half), lut = mil.randn("fp16", { 1, 1, 16, 2 }), vector_axis = 0 }
  end },
  { "half sparse fp16", "ios18", function(f, shape)
    return f:constexpr_sparse_to_dense { mask = bytes("uint1", 1, shape, half), nonzero_data = mil.randn("fp16", { shape[1] * shape[2] / 2 }) }
  end },
  { "half sparse, 4-bit table", "ios18", function(f, shape)
    local mask, values = f:constexpr_lut_to_sparse {
      indices_mask = bytes("uint1", 1, shape, half), indices_nonzero_data = bytes("uint4", 4, { shape[1] * shape[2] / 2 }, half), lut = mil.randn("fp16", { 1, 1, 16, 1 }),
    }
    return f:constexpr_sparse_to_dense { mask = mask, nonzero_data = values }
  end },
  { "half sparse int8, a scale a row", "ios18", function(f, shape)
    local mask, values = f:constexpr_sparse_blockwise_shift_scale {
      data_mask = bytes("uint1", 1, shape, half), nonzero_data = mil.zeros("int8", { shape[1] * shape[2] / 2 }), scale = mil.ones("fp16", { shape[1], 1 }),
    }
    return f:constexpr_sparse_to_dense { mask = mask, nonzero_data = values }
  end },
} do forms[#forms + 1] = form end

local function bound(opset, weight_of, rows)
  local f = mil.func { opset = opset }
  local x = f:input("x", "fp16", { rows, n })
  f:output("y", x:linear { weight = weight_of(f, { n, n }) })
  return f:compile({ engine = "cpu" }):bind { x = mil.randn("fp16", { rows, n }) }
end

local function seconds(run, times) return timing.of(run, { runs = 1, calls = times, clock = os.clock }).min end

for _, rows in ipairs { 1, 8, 64, 256 } do
  local beside, times = bound("ios17", dense, rows), math.max(1, math.floor(64 / rows))
  for _, form in ipairs(forms) do
    local run, best, least = bound(form[2], form[3], rows), math.huge, math.huge
    for _ = 1, 7 do
      best, least = math.min(best, seconds(run, times)), math.min(least, seconds(beside, times))
    end
    print(("%4d row%s, %-32s %.2f times as long as fp16"):format(rows, rows == 1 and " " or "s", form[1], best / least))
  end
end

-- SPDX-License-Identifier: MIT
-- Products with a compressed weight beside the same with one of fp16, packed when compiled: the ratio of their times, best of
-- several runs in turns, on one thread.
local mil = require "mil"

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

local function bound(opset, weight_of, rows)
  local f = mil.func { opset = opset }
  local x = f:input("x", "fp16", { rows, n })
  f:output("y", x:linear { weight = weight_of(f, { n, n }) })
  return f:compile({ engine = "cpu" }):bind { x = mil.randn("fp16", { rows, n }) }
end

local function seconds(run, times)
  local start = os.clock()
  for _ = 1, times do run() end
  return (os.clock() - start) / times
end

for _, rows in ipairs { 1, 8, 64, 256 } do
  local beside, times = bound("ios17", dense, rows), math.max(1, math.floor(64 / rows))
  for _, form in ipairs(forms) do
    local run, best, least = bound(form[2], form[3], rows), math.huge, math.huge
    for _ = 1, 7 do
      best, least = math.min(best, seconds(run, times)), math.min(least, seconds(beside, times))
    end
    print(("%4d row%s, %-28s %.2f times as long as fp16"):format(rows, rows == 1 and " " or "s", form[1], best / least))
  end
end

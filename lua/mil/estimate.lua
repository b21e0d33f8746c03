-- SPDX-License-Identifier: MIT
-- mil.estimate: how long a run on the Neural Engine takes, about: ANEForge's model, of one program that is dispatched once:
--
--     time = floor + sum over operations of max(FLOPs / peak, bytes / bandwidth)
--
-- bytes are those of its operands and results. The figures were fitted to one machine of each chip. The known error: 17 % on the convolutions that it was fitted to; over 68 graphs the median
-- is 31 %, and products of a vector come out 4 to 5 times too slow on M1. It ranks programs; it does not measure them.

local flops = require "mil.flops"

local estimate = {}

-- floor in us, GB/s, TFLOP/s at fp16
estimate.chips = {
  m1 = { floor = 220, bandwidth = 9.0, peak = 3.25 },
  m2 = { floor = 100, bandwidth = 48, peak = 7.3 },
  m5 = { floor = 110, bandwidth = 57, peak = 8.9 },
}
estimate.source = "ANEForge, e5rt 4.4"
estimate.error = "median 31 % over 68 programs, 17 % at best"

local function bytes_of(values)
  local sum = 0
  for _, value in ipairs(values) do
    local n = flops.elements(value)
    if not n then return nil end
    sum = sum + n * flops.bits(value.type.dtype) / 8
  end
  return sum
end

-- The chip whose figures are taken for that name ("M1 Pro": m1; nil: m1): where it has none, those of the one before; and the name's own.
function estimate.chip_of(name)
  local number = tonumber(name and (name:lower():match "^%s*m(%d+)") or not name and 1 or nil)
  if not number or number < 1 then error(("estimate: chip is m1, m2 .. or \"M1 Pro\", but was given %q"):format(name), 0) end
  local key = "m" .. number
  for before = number, 1, -1 do
    if estimate.chips["m" .. before] then return "m" .. before, key end
  end
end

-- A function is itself; of a program, the one that is named or meant.
local function function_of(what, name)
  local is_function = pcall(function() return what.program end)
  return is_function and what or require("mil.inputs").entry(what, name)
end

-- what: a program or function; options: {chip = "m1", entry = name}. Gives {chip, asked, us, flops, bytes, unknown, source, error, rows = {{op, name, flops, bytes, us, bound}}}:
-- chip is the one whose figures were taken, asked that which was named. bound is what an operation waits for, of the whole too: "compute", "bytes" or "dispatch". unknown counts operations without an estimate.
function estimate.of(what, given)
  local mil = require "mil"
  given = given or {}
  local key, asked = estimate.chip_of(given.chip)
  local chip = estimate.chips[key]
  local sums = { chip = key, asked = asked, us = chip.floor, flops = 0, bytes = 0, dispatch_us = chip.floor, unknown = 0, rows = {}, source = estimate.source,
    error = estimate.error }
  local by = { compute = 0, bytes = 0 }
  local entry = function_of(what, given.entry)
  for _, operation in ipairs(entry:operations()) do
    local is_data = operation.type == "const" or operation.type:find "^constexpr_"
    local n = not is_data and flops.of(operation, mil.op(operation.type).family)
    local moved = not is_data and bytes_of(operation.inputs)
    local given_bytes = moved and bytes_of(operation.outputs)
    if is_data then -- weights are counted where they are used
    elseif not n or not given_bytes then
      sums.unknown = sums.unknown + 1
    else
      moved = moved + given_bytes
      local compute, transfer = n / (chip.peak * 1e6), moved / (chip.bandwidth * 1e3)
      local bound = compute > transfer and "compute" or "bytes"
      local us = math.max(compute, transfer)
      by[bound] = by[bound] + us
      sums.flops, sums.bytes, sums.us = sums.flops + n, sums.bytes + moved, sums.us + us
      sums.rows[#sums.rows + 1] = { op = operation.type, name = operation.outputs[1].name, flops = n, bytes = moved, us = us, bound = bound }
    end
  end
  sums.bound = by.compute > by.bytes and "compute" or "bytes"
  if chip.floor > by.compute + by.bytes then sums.bound = "dispatch" end
  return sums
end

-- The whole, and the operations that take longest, as text.
function estimate.text(sums, most)
  local units = require "mil.units"
  local rows, lines = {}, {}
  for i, row in ipairs(sums.rows) do rows[i] = row end
  table.sort(rows, function(a, b)
    if a.us ~= b.us then return a.us > b.us end
    return a.name < b.name
  end)
  lines[1] = ("estimate on %s: %.0f us in one dispatch (%.0f us of it the dispatch), bound by %s; %sFLOPs, %s"):format(sums.chip, sums.us, sums.dispatch_us,
    sums.bound, units.count(sums.flops) .. " ", units.bytes(math.floor(sums.bytes)))
  lines[2] = ("    an estimate, not a measurement: %s (%s)"):format(sums.error, sums.source)
  if sums.asked ~= sums.chip then lines[#lines + 1] = ("    by the figures of %s: none were published of %s"):format(sums.chip, sums.asked) end
  if sums.unknown > 0 then lines[#lines + 1] = ("    without %d operations whose sizes only a run knows"):format(sums.unknown) end
  local cells = {}
  for i = 1, math.min(#rows, most or 10) do
    cells[i] = { "", ("%.1f us"):format(rows[i].us), rows[i].name, rows[i].op, rows[i].bound }
  end
  for _, line in ipairs(units.columns(cells, { [2] = true })) do lines[#lines + 1] = line end
  return table.concat(lines, "\n")
end

return estimate

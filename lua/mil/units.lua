-- SPDX-License-Identifier: MIT
-- mil.units: amounts as people read them.

local units = {}

local function scaled(n, step, names)
  local i = 1
  while n >= step and i < #names do n, i = n / step, i + 1 end
  return (i == 1 and "%d%s" or "%.3g%s"):format(n, names[i])
end

-- 2560 -> "2.5 KiB"
function units.bytes(n)
  local names, i = { "bytes", "KiB", "MiB", "GiB", "TiB" }, 1
  while n >= 1024 and i < #names do n, i = n / 1024, i + 1 end
  return (i == 1 and "%d %s" or "%.1f %s"):format(n, names[i])
end

-- 2560 -> "2.56 k"
function units.count(n) return scaled(n, 1000, { "", " k", " M", " G", " T", " P" }) end

-- 0.0025 -> "2.5 ms"
function units.time(seconds)
  if seconds < 1e-3 then return ("%.3g us"):format(seconds * 1e6) end
  return seconds < 1 and ("%.3g ms"):format(seconds * 1e3) or ("%.3g s"):format(seconds)
end

-- Rows of strings in columns, a list of lines; columns whose number is in `right` are aligned to the right.
function units.columns(rows, right)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, #cell) end
  end
  for k, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      local pad = (" "):rep(widths[i] - #cell)
      cells[i] = right[i] and pad .. cell or cell .. pad
    end
    lines[k] = (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  return lines
end

return units

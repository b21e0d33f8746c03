-- SPDX-License-Identifier: MIT
-- mil.plot: a small picture of measurements: points and lines over two logarithmic axes, as SVG.
--
--     plot.svg { title = "matmul", x = "FLOPs a run", y = "GFLOP/s",
--       { name = "cpu", { 5e5, 12 }, { 3e7, 41 } },               -- a line with its points
--       { name = "published", is_loose = true, { 3e7, 209 } } }   -- points alone

local plot = {}

local wide, high = 720, 440
local left, right, top, bottom = 70, 200, 40, 55

-- Told apart without colours too: by their marks.
local colours = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f" }

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
local function escaped(text) return (tostring(text):gsub("%c", "?"):gsub('[&<>"]', entities)) end

local function log10(x) return math.log(x) / math.log(10) end

-- The decades from below the least to above the greatest number of axis 1 or 2.
local function range(series, axis)
  local least, most = math.huge, -math.huge
  for _, each in ipairs(series) do
    for _, point in ipairs(each) do
      if point[axis] > 0 and point[axis] < math.huge then least, most = math.min(least, point[axis]), math.max(most, point[axis]) end
    end
  end
  if least > most then return 0, 1 end
  local from, to = math.floor(log10(least) + 1e-9), math.ceil(log10(most) - 1e-9)
  return from, math.max(to, from + 1)
end

-- 1000 as "1 k", 0.01 as "0.01"
local function decade(exponent)
  if exponent < -3 or exponent > 17 then return "1e" .. exponent end
  if exponent < 3 then return ("%g"):format(10 ^ exponent) end
  local names = { "k", "M", "G", "T", "P" }
  return ("%d %s"):format(10 ^ (exponent % 3), names[math.floor(exponent / 3)])
end

local function add(lines, ...) lines[#lines + 1] = string.format(...) end

local function add_axes(lines, frame)
  local x, y = frame.x, frame.y
  for k = frame.x_from, frame.x_to do
    add(lines, '<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="grid"/>', x(10 ^ k), top, x(10 ^ k), high - bottom)
    add(lines, '<text x="%.1f" y="%d" text-anchor="middle">%s</text>', x(10 ^ k), high - bottom + 18, decade(k))
  end
  for k = frame.y_from, frame.y_to do
    add(lines, '<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" class="grid"/>', left, y(10 ^ k), wide - right, y(10 ^ k))
    add(lines, '<text x="%d" y="%.1f" text-anchor="end">%s</text>', left - 8, y(10 ^ k) + 4, decade(k))
  end
  add(lines, '<rect x="%d" y="%d" width="%d" height="%d" class="frame"/>', left, top, wide - right - left, high - bottom - top)
end

local function mark(shape, x, y, colour)
  if shape == 1 then return ('<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>'):format(x, y, colour) end
  if shape == 2 then return ('<rect x="%.1f" y="%.1f" width="7" height="7" fill="%s"/>'):format(x - 3.5, y - 3.5, colour) end
  if shape == 3 then return ('<path d="M %.1f %.1f l 5 8 h -10 z" fill="%s"/>'):format(x, y - 5, colour) end
  return ('<path d="M %.1f %.1f l 5 5 l -5 5 l -5 -5 z" fill="none" stroke="%s" stroke-width="2"/>'):format(x, y - 5, colour)
end

local function add_series(lines, frame, number, series)
  local colour, shape = colours[(number - 1) % #colours + 1], series.is_loose and 4 or (number - 1) % 3 + 1
  local points = {}
  for _, point in ipairs(series) do
    if point[1] > 0 and point[2] > 0 and point[1] < math.huge and point[2] < math.huge then points[#points + 1] = point end
  end
  table.sort(points, function(a, b) return a[1] < b[1] end)
  local places = {}
  for i, point in ipairs(points) do places[i] = ("%.1f,%.1f"):format(frame.x(point[1]), frame.y(point[2])) end
  if not series.is_loose and #places > 1 then
    add(lines, '<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>', table.concat(places, " "), colour)
  end
  for _, point in ipairs(points) do lines[#lines + 1] = mark(shape, frame.x(point[1]), frame.y(point[2]), colour) end
  local y = top + 12 + (number - 1) * 20
  lines[#lines + 1] = mark(shape, wide - right + 20, y - 4, colour)
  add(lines, '<text x="%d" y="%d">%s</text>', wide - right + 32, y, escaped(series.name))
end

function plot.svg(given)
  local frame = {}
  frame.x_from, frame.x_to = range(given, 1)
  frame.y_from, frame.y_to = range(given, 2)
  function frame.x(value) return left + (log10(value) - frame.x_from) / (frame.x_to - frame.x_from) * (wide - right - left) end
  function frame.y(value) return high - bottom - (log10(value) - frame.y_from) / (frame.y_to - frame.y_from) * (high - bottom - top) end
  local lines = {}
  local tall = math.max(high, top + 30 + #given * 20)
  add(lines, '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">', wide, tall, wide, tall)
  add(lines, "<style>.grid { stroke: #dddddd } .frame { fill: none; stroke: #444444 }</style>")
  add(lines, '<rect width="%d" height="%d" fill="#ffffff"/>', wide, tall)
  add(lines, '<text x="%d" y="24" font-size="15">%s</text>', left, escaped(given.title))
  add_axes(lines, frame)
  add(lines, '<text x="%.1f" y="%d" text-anchor="middle">%s</text>', (left + wide - right) / 2, high - 12, escaped(given.x))
  add(lines, '<text transform="translate(18 %.1f) rotate(-90)" text-anchor="middle">%s</text>', (top + high - bottom) / 2, escaped(given.y))
  for i, series in ipairs(given) do add_series(lines, frame, i, series) end
  lines[#lines + 1] = "</svg>\n"
  return table.concat(lines, "\n")
end

return plot

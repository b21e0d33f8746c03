-- SPDX-License-Identifier: MIT
-- mil.pretty: any Lua value as a person wants to read it. Objects say what they are themselves (tostring); tables are
-- written as Lua writes them, sequences first, other keys in order, in one line where they fit.
--
--     local pretty = require "mil.pretty"
--     print(pretty(value, { width = 100, depth = 4 }))

local max = { items = 40, string = 2000 }
local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch "%a+" do keywords[word] = true end

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

local function quote(text)
  local cut = #text > max.string
  if cut then text = text:sub(1, max.string) end
  text = text:gsub('[%c\\"]', function(c) return escapes[c] or ("\\%03d"):format(c:byte()) end)
  return '"' .. text .. '"' .. (cut and "..." or "")
end

local function name_of(key)
  if type(key) ~= "string" then return "[" .. tostring(key) .. "]" end
  return key:find "^[%a_][%w_]*$" and not keywords[key] and key or "[" .. quote(key) .. "]"
end

-- Numbers before strings before the rest; each in its own order.
local rank = { number = 1, string = 2 }
local function before(a, b)
  local ra, rb = rank[type(a)] or 3, rank[type(b)] or 3
  if ra ~= rb then return ra < rb end
  if ra < 3 then return a < b end
  return tostring(a) < tostring(b)
end

local function keys_of(t, n)
  local keys = {}
  for key in next, t do
    local in_sequence = type(key) == "number" and key >= 1 and key <= n and key % 1 == 0
    if not in_sequence then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  return keys
end

local write

local function items_of(t, state, indent)
  local items, n = {}, #t
  local keys = keys_of(t, n)
  for i = 1, math.min(n, max.items) do items[#items + 1] = write(rawget(t, i), state, indent) end
  if n > max.items then items[#items + 1] = ("... (%d in all)"):format(n) end
  for i = 1, math.min(#keys, max.items) do
    items[#items + 1] = name_of(keys[i]) .. " = " .. write(rawget(t, keys[i]), state, indent)
  end
  if #keys > max.items then items[#items + 1] = ("... (%d fields in all)"):format(#keys) end
  return items
end

-- Items a line as many as fit, where all are short; else one a line.
local function fill(items, indent, width)
  for _, item in ipairs(items) do
    if #item > 24 then return table.concat(items, ",\n" .. indent) end
  end
  local lines, line = {}, items[1]
  for i = 2, #items do
    if #indent + #line + #items[i] + 3 > width then
      lines[#lines + 1] = line
      line = items[i]
    else
      line = line .. ", " .. items[i]
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, ",\n" .. indent)
end

local function write_table(t, state, indent)
  if state.open[t] then return "{...}" end
  if #indent / 2 >= state.depth then return next(t) == nil and "{}" or "{...}" end
  state.open[t] = true
  local inner = indent .. "  "
  local items = items_of(t, state, inner)
  state.open[t] = nil
  if #items == 0 then return "{}" end
  local line = "{ " .. table.concat(items, ", ") .. " }"
  if #indent + #line <= state.width and not line:find "\n" then return line end
  return "{\n" .. inner .. fill(items, inner, state.width) .. "\n" .. indent .. "}"
end

function write(value, state, indent)
  if type(value) == "string" then return quote(value) end
  if type(value) ~= "table" then return tostring(value) end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  return write_table(value, state, indent)
end

return function(value, options)
  options = options or {}
  return write(value, { width = options.width or 80, depth = options.depth or 4, open = {} }, "")
end

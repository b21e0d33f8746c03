-- SPDX-License-Identifier: MIT
-- mil.help: what `?` answers at the REPL and `luamil ops` in the terminal, from the op table (mil.op) and the list of
-- the Lua face (mil.face). All functions return text.

local mil = require "mil"
local face = require "mil.face"

local help = {}

local function wrap(text, width, indent)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and #line + 1 + #word > width - #indent then
      lines[#lines + 1] = line
      line = word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n" .. indent)
end

-- The op of that name, as it is in opset (ios18 unless given), or nil where there is none.
function help.find(name, opset)
  local ok, op = pcall(mil.op, name, opset)
  return ok and not (opset and op.since > opset) and op or nil
end

-- The method's row of the Lua face, of an op whose blocks are functions (f:cond); nil of all others.
function help.call(op)
  for _, entry in ipairs(face) do
    if entry.name == "function:" .. op.name and entry.signature:find("fun(", 1, true) then return entry end
  end
end

-- "conv { x, weight, [strides], ... }": optional parameters in brackets. "cond(pred, yes, no, [options])" where it takes functions.
function help.signature(op)
  local parts, call = {}, help.call(op)
  if call then
    for i, param in ipairs(call.params) do parts[i] = param.optional and "[" .. param.name .. "]" or param.name end
    return ("%s(%s)"):format(op.name, table.concat(parts, ", "))
  end
  for _, param in ipairs(op.params) do
    parts[#parts + 1] = param.required and param.name or "[" .. param.name .. "]"
  end
  return ("%s { %s }"):format(op.name, table.concat(parts, ", "))
end

-- "fp16 fp32", "const: int32", "any dtype": what a parameter takes.
function help.kind(param)
  local n = #(param.dtypes or {})
  local dtypes = n == #mil.dtypes() and "any dtype" or n > 0 and table.concat(param.dtypes, " ") or ""
  if param.kind == "string" then return "const: string" end
  if param.kind == "tensor" or param.kind == "any" then return dtypes ~= "" and dtypes or "any" end
  return dtypes ~= "" and param.kind .. ": " .. dtypes or param.kind
end

local function given_text(param)
  if param.required then return "required" end
  if param.default ~= nil then return "= " .. tostring(param.default) end
  return "optional"
end

-- The reference of an op, for a terminal `width` columns wide.
function help.op(op, width)
  width = width or 80
  local lines = { wrap(help.signature(op), width, "    "), "", wrap(op.help, width, ""), "" }
  local call = help.call(op)
  if call then
    lines[#lines + 1] = wrap(call.help, width, "")
    lines[#lines + 1] = ""
  end
  local names, givens = 0, 0
  for _, param in ipairs(op.params) do
    names = math.max(names, #param.name)
    givens = math.max(givens, #given_text(param))
  end
  for _, param in ipairs(op.params) do
    lines[#lines + 1] = ("  %-" .. names .. "s  %-" .. givens .. "s  %s"):format(param.name, given_text(param),
      help.kind(param))
    if param.help and param.help ~= "" then
      local indent = (" "):rep(names + 4)
      lines[#lines + 1] = indent .. wrap(param.help, width, indent)
    end
  end
  local results = op.outputs == 1 and "1 result" or (op.outputs or -1) < 0 and "results depend on the call"
    or op.outputs .. " results"
  lines[#lines + 1] = ""
  local also = op.also and "; elsewhere called " .. op.also:gsub(" ", ", ") or ""
  lines[#lines + 1] = ("%s; family %s; since %s%s"):format(results, op.family, op.since, also)
  return table.concat(lines, "\n")
end

-- The reference of something of the Lua face.
function help.entry(entry) return entry.signature .. "\n\n" .. entry.help end

-- All ops, a family a paragraph; or those of one family, nil where there is none of that name.
function help.ops(width, only)
  local families, order = {}, {}
  for _, name in ipairs(mil.ops()) do
    local family = mil.op(name).family
    if not families[family] then
      families[family] = {}
      order[#order + 1] = family
    end
    table.insert(families[family], name)
  end
  table.sort(order)
  local lines = {}
  for _, family in ipairs(only and { only } or order) do
    if not families[family] then return nil end
    lines[#lines + 1] = family
    lines[#lines + 1] = "    " .. wrap(table.concat(families[family], " "), width or 80, "    ")
  end
  return table.concat(lines, "\n")
end

-- ---- search ----

local function score(words, name, text)
  local total = 0
  name, text = name:lower(), text:lower()
  for _, word in ipairs(words) do
    local points = name == word and 8 or name:find(word, 1, true) and 4 or text:find(word, 1, true) and 1 or 0
    if points == 0 then return 0 end
    total = total + points
  end
  return total
end

-- What has all the words in its name or its help: ops and (unless `ops_only`) the Lua face, the best first; at most 20 lines.
function help.search(text, ops_only)
  local words, found = {}, {}
  for word in text:lower():gmatch "%S+" do words[#words + 1] = word end
  if #words == 0 then return "nothing to search for" end
  for _, name in ipairs(mil.ops()) do
    local op = mil.op(name)
    local all = { op.help, op.family, op.also }
    for _, param in ipairs(op.params) do all[#all + 1] = param.name .. " " .. (param.help or "") end
    local points = score(words, name, table.concat(all, " "))
    if points > 0 then found[#found + 1] = { points, name, op.help } end
  end
  for _, entry in ipairs(ops_only and {} or face) do
    local points = score(words, entry.name, entry.help)
    if points > 0 then found[#found + 1] = { points, entry.name, entry.help } end
  end
  if #found == 0 then
    local near = mil.nearest(words[1])
    return ("nothing has %q%s"):format(text, near and ("; the nearest op is " .. near) or "")
  end
  table.sort(found, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    return a[2] < b[2]
  end)
  local lines, width = {}, 0
  for i = 1, math.min(#found, 20) do width = math.max(width, #found[i][2]) end
  for i = 1, math.min(#found, 20) do
    lines[i] = ("  %-" .. width .. "s  %s"):format(found[i][2], found[i][3])
  end
  if #found > 20 then lines[21] = ("  ... and %d more"):format(#found - 20) end
  return table.concat(lines, "\n")
end

-- ---- values ----

-- An operation, as f:operations() has it, in a line.
function help.operation(operation)
  return operation.outputs[1] and tostring(operation.outputs[1]) or operation.type
end

-- What a graph value is: its line, where it was made, who uses it.
function help.value(value)
  local lines = { tostring(value) }
  if value.where then lines[#lines + 1] = "made at " .. tostring(value.where) end
  local uses = value:uses()
  lines[#lines + 1] = #uses == 0 and "used by nothing" or "used by:"
  for i = 1, math.min(#uses, 10) do lines[#lines + 1] = "  " .. help.operation(uses[i]) end
  if #uses > 10 then lines[#lines + 1] = ("  ... and %d more"):format(#uses - 10) end
  return table.concat(lines, "\n")
end

-- "mil.value" for a value: the name of an object's class; else Lua's type.
function help.class(object)
  local meta = (debug and debug.getmetatable or getmetatable)(object)
  local name = type(object) == "userdata" and type(meta) == "table" and rawget(meta, "__name")
  return name or type(object)
end

return help

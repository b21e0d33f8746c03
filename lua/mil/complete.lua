-- SPDX-License-Identifier: MIT
-- mil.complete: what could stand at the cursor. complete(before, env) takes the text before the cursor and the table of
-- globals; it returns the candidates, {text =, show =} each, sorted, and the place in `before` that they would replace
-- up to the cursor. `show` is the line that tells more than the text (an op's signature); nil: the text itself.
--
-- Nothing of the user's is called: receivers are found by raw access, __index tables and mil.members.

local mil = require "mil"
local help = require "mil.help"
local system = require "mil.system"

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch "%a+" do keywords[#keywords + 1] = word end

-- ---- reading what is before the cursor ----

-- The place after a string, comment or anything else that begins at i; or nil and the kind that is still open there,
-- with the place where its content begins.
local function skip(text, i)
  local dashes, level = text:match("^(%-?%-?)%[(=*)%[", i)
  if level and #dashes ~= 1 then
    local from = i + #dashes + #level + 2
    local _, last = text:find("]" .. level .. "]", from, true)
    if last then return last + 1 end
    return nil, #dashes == 0 and "string" or "comment", from
  end
  if text:find("^%-%-", i) then
    local line_end = text:find("\n", i, true)
    if line_end then return line_end + 1 end
    return nil, "comment", i
  end
  local quote = text:match("^[\"']", i)
  if not quote then return i + 1 end
  for at = i + 1, #text do
    local c = text:sub(at, at)
    local backslashes = #text:sub(i + 1, at - 1):match "\\*$"
    if c == quote and backslashes % 2 == 0 then return at + 1 end
    if c == "\n" and backslashes % 2 == 0 then return at + 1 end
  end
  return nil, "string", i + 1
end

-- Returns the places of the brackets that are open at the end, and the kind and content's place of an open string or
-- comment.
local function scan(text)
  local open, i = {}, 1
  while i <= #text do
    local c = text:sub(i, i)
    local following, kind, from = skip(text, i)
    if not following then return open, kind, from end
    if c:find "[%(%[{]" then
      open[#open + 1] = i
    elseif c:find "[%)%]}]" then
      open[#open] = nil
    end
    i = following
  end
  return open
end

-- ---- looking into values ----

local function raw_index(object, key)
  if type(object) == "string" then return string[key] end
  if type(object) == "userdata" then
    local ok, value = pcall(function() return object[key] end) -- ours: its own fields, which have no effects
    return ok and help.class(object):find "^mil%." and value or nil
  end
  for _ = 1, 10 do
    if type(object) ~= "table" then return nil end
    local value = rawget(object, key)
    if value ~= nil then return value end
    local meta = debug.getmetatable(object)
    object = type(meta) == "table" and rawget(meta, "__index") or nil
  end
end

-- "a.b.c" -> the value, or nil
local function resolve(chain, env)
  local value = env
  for name in chain:gmatch "[^%.]+" do
    value = raw_index(value, name)
    if value == nil then return nil end
  end
  return value
end

local function add_names(names, object)
  for _ = 1, 10 do
    if type(object) ~= "table" then return end
    for key in next, object do
      if type(key) == "string" then names[key] = true end
    end
    local meta = debug.getmetatable(object)
    object = type(meta) == "table" and rawget(meta, "__index") or nil
  end
end

local function member_names(object)
  local names = {}
  if type(object) == "string" then object = string end
  if type(object) == "userdata" then
    for _, name in ipairs(mil.members(object)) do names[name] = true end
    local meta = debug.getmetatable(object)
    add_names(names, type(meta) == "table" and rawget(meta, "__index") or nil)
  end
  add_names(names, object)
  return names
end

-- ---- candidates ----

local function matching(names, prefix, show)
  local found = {}
  for name in pairs(names) do
    if name:sub(1, #prefix) == prefix and (prefix ~= "" or name:sub(1, 2) ~= "__") then
      found[#found + 1] = { text = name, show = show and show(name) or nil }
    end
  end
  table.sort(found, function(a, b) return a.text < b.text end)
  return found
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

local function signature(name)
  local op = help.find(name)
  return op and help.signature(op)
end

local function op_names() return set_of(mil.ops()) end

-- ---- in a string ----

local function file_names(prefix)
  local folder, start = prefix:match "^(.*/)([^/]*)$"
  start = start or prefix
  local found = {}
  for _, name in ipairs(system.list(folder or ".") or {}) do
    if name:sub(1, #start) == start and (start ~= "" or name:sub(1, 1) ~= ".") then
      found[#found + 1] = { text = (folder or "") .. name }
    end
  end
  table.sort(found, function(a, b) return a.text < b.text end)
  return found
end

local function module_names(prefix)
  local names = {}
  for _, loaded in ipairs { package.loaded, package.preload } do
    for name in pairs(loaded) do names[name] = true end
  end
  local folder = prefix:match "^(.*)%.[^.]*$"
  for template in package.path:gmatch "[^;]+" do
    local root, ending = template:match "^(.*)%?(.*)$"
    if root and not ending:find "/" then
      local path = root .. (folder and folder:gsub("%.", "/") .. "/" or "")
      for _, name in ipairs(system.list(path == "" and "." or path) or {}) do
        local stem = name:sub(-#ending) == ending and name:sub(1, -#ending - 1)
        if stem and stem:find "^[%w_%-]+$" then names[(folder and folder .. "." or "") .. stem] = true end
      end
    end
  end
  return matching(names, prefix)
end

local opsets = { "ios15", "ios16", "ios17", "ios18" }
-- By the key or function before the string.
local choices = {
  dtype = mil.dtypes, to = mil.dtypes, zeros = mil.dtypes, ones = mil.dtypes, full = mil.dtypes, rand = mil.dtypes,
  randn = mil.dtypes, tensor = mil.dtypes, shared = mil.dtypes, arange = mil.dtypes, output_dtype = mil.dtypes,
  opset = function() return opsets end,
  engine = mil.engines, available = mil.engines,
  pad_type = function() return { "valid", "same", "same_lower", "custom" } end,
  precision = function() return { "default", "strict" } end,
  route = function() return { "direct", "e5rt" } end,
  units = function() return { "all", "cpu", "cpu_and_gpu", "cpu_and_ane" } end,
  op = mil.ops,
}
local takes_file = set_of { "load", "save", "weights", "load_tensor", "open", "lines", "dofile", "loadfile" }

local function in_string(before, from, env)
  local content = before:sub(from)
  local lead = before:sub(1, from - 2):gsub("%s+$", "")
  local word = lead:match "([%a_][%w_]*)%s*=$" or lead:match "([%a_][%w_]*)%s*%(?$" or lead:match "([%a_][%w_]*)%s*%([^()]*,$"
  if word == "require" then return module_names(content), from end
  if takes_file[word] then return file_names(content), from end
  if word == "input" or word == "state" then
    return lead:find ",$" and matching(set_of(mil.dtypes()), content) or {}, from
  end
  if choices[word] then return matching(set_of(choices[word]()), content), from end
  if content:find "/" then return file_names(content), from end
  local found = matching(set_of(mil.dtypes()), content)
  for _, file in ipairs(content ~= "" and file_names(content) or {}) do found[#found + 1] = file end
  return found, from
end

-- ---- names of parameters ----

local compile_options = { "engine", "entry", "optimize", "threads", "precision", "disable", "memory_limit", "max_turns", "units", "route", "qos", "fallback", "verify", "counters" }

-- The names that the call whose table opens at `brace` takes; nil where it is no such call.
local function parameters_of(before, brace, env)
  local receiver, mark, name = before:sub(1, brace - 1):match "([%w_%.]*)([.:])([%a_][%w_]*)%s*%(?%s*$"
  if not name then return nil end
  if name == "compile" then return compile_options end
  local op = mark == ":" and help.find(name)
  if not op or help.call(op) then return nil end
  local names = { "name" }
  local skip_first = help.class(resolve(receiver, env)) ~= "mil.function"
  for i, param in ipairs(op.params) do
    if i > 1 or not skip_first then names[#names + 1] = param.name == "end" and "end_" or param.name end
  end
  return names, op
end

local function parameters(before, open, env)
  local brace = open[#open]
  if not brace or before:sub(brace, brace) ~= "{" then return nil end
  local inside = before:sub(brace + 1)
  local prefix = inside:match "^%s*([%a_]?[%w_]*)$" or inside:match ",%s*([%a_]?[%w_]*)$"
  local names, op = prefix and parameters_of(before, brace, env)
  if not names then return nil end
  local set, shows = {}, {}
  for _, name in ipairs(names) do
    if not inside:find("%f[%w_]" .. name .. "%s*=") then set[name .. " = "] = true end
  end
  for _, param in ipairs(op and op.params or {}) do shows[param.name .. " = "] = param.help end
  local found = matching(set, prefix, function(name)
    return shows[name] and shows[name] ~= "" and name .. "  -- " .. shows[name]
  end)
  return found, #before - #prefix + 1
end

-- ---- members and globals ----

local function members(before, env)
  local lead, mark, prefix = before:match "^(.-)%s*([.:])([%a_]?[%w_]*)$"
  if not mark or lead:find "[.:]$" or lead:find "^%d+$" or lead:find "[^%w_]%d+$" then return nil end
  local start = #before - #prefix + 1
  if lead:find "[%)}%]]$" then return matching(op_names(), prefix, signature), start end
  local object = resolve(lead:match "[%a_][%w_%.]*$" or "", env)
  if lead:find "[\"']$" then object = "" end
  if object == nil then return {}, start end
  local names = member_names(object)
  local class = help.class(object)
  if mark == ":" then
    local methods = {}
    for name in pairs(names) do
      local member = raw_index(object, name)
      if type(member) == "function" or type(member) == "table" then methods[name] = true end
    end
    names = methods
  end
  local has_ops = class == "mil.value" or class == "mil.function"
  return matching(names, prefix, has_ops and signature or nil), start
end

local function globals(before, env)
  local prefix = before:match "[%a_][%w_]*$" or ""
  if prefix == "" and before:find "%S" then return {}, #before + 1 end
  local names = set_of(keywords)
  add_names(names, env)
  return matching(names, prefix), #before - #prefix + 1
end

-- :commands and ?questions
local function commands(before)
  local name = before:match "^%s*:(%a*)$"
  if name then return matching(set_of(require "mil.commands".names()), name), #before - #name + 1 end
  local path = before:match "^%s*:load%s+(.*)$" or before:match "^%s*:save%s+(.*)$"
  if path then return file_names(path), #before - #path + 1 end
end

local function question(before, env)
  local name = before:match "^%s*%?%s*([%a_]?[%w_]*)$"
  if not name then return nil end
  local names = op_names()
  add_names(names, env)
  return matching(names, name, signature), #before - #name + 1
end

local function complete(before, env)
  local found, start = commands(before)
  if found then return found, start end
  found, start = question(before, env)
  if found then return found, start end
  local open, kind, from = scan(before)
  if kind == "comment" then return {}, #before + 1 end
  if kind == "string" then return in_string(before, from, env) end
  found, start = parameters(before, open, env)
  if found then return found, start end
  found, start = members(before, env)
  if found then return found, start end
  return globals(before, env)
end

-- ---- for line editors ----

local function common_prefix(found)
  local prefix = found[1].text
  for i = 2, #found do
    local text, n = found[i].text, 0
    while n < #prefix and n < #text and prefix:byte(n + 1) == text:byte(n + 1) do n = n + 1 end
    prefix = prefix:sub(1, n)
  end
  return prefix
end

local function columns(found, width)
  local widest = 0
  for _, candidate in ipairs(found) do widest = math.max(widest, #candidate.text + 2) end
  local per_line, lines = math.max(1, math.floor(width / widest)), {}
  for i = 1, #found, per_line do
    local line = {}
    for j = i, math.min(i + per_line - 1, #found) do line[#line + 1] = ("%-" .. widest .. "s"):format(found[j].text) end
    lines[#lines + 1] = table.concat(line):gsub("%s+$", "")
  end
  return table.concat(lines, "\n")
end

-- What Tab does: returns what to insert at the cursor, and what to show below; either may be nil.
local function tab(before, env, width)
  if before:find "^%s*$" or before:find "\n%s*$" then return "  " end
  local found, start = complete(before, env)
  if #found == 0 then return nil end
  local typed = before:sub(start)
  local insert = common_prefix(found):sub(#typed + 1)
  if insert ~= "" then return insert end
  if #found == 1 and not found[1].show then return nil end
  if #found > 8 then return nil, columns(found, width or 80) end
  local lines = {}
  for i, candidate in ipairs(found) do lines[i] = candidate.show or candidate.text end
  return nil, table.concat(lines, "\n")
end

return setmetatable({ tab = tab }, { __call = function(_, before, env) return complete(before, env) end })

-- SPDX-License-Identifier: MIT
-- mil.commands: the REPL's own commands (:time, :load, ...) and questions (?conv). A command is a row: name, arguments,
-- help, function(session, argument).

local mil = require "mil"
local errors = require "mil.errors"
local help = require "mil.help"
local system = require "mil.system"
local units = require "mil.units"

local commands = {}
local rows

local function fail(...) error(string.format(...), 0) end

-- The function meant: what the argument says, or the one that was worked on last.
local function function_of(session, argument)
  if argument == "" then
    return session.current or fail "no function yet: f = mil.func() makes one"
  end
  local value = commands.value(session, argument)
  local class = help.class(value)
  if class == "mil.function" then return value end
  if class == "mil.value" then return value.func end
  if class == "mil.program" then return value:functions()[1] end
  fail("%s is a %s, not a function of a program", argument, class)
end

-- The value of an expression typed after a command.
function commands.value(session, text)
  local source = "return " .. text
  local chunk, message
  if setfenv then
    chunk, message = loadstring(source, "=stdin")
    if chunk then setfenv(chunk, session.env) end
  else
    chunk, message = load(source, "=stdin", "t", session.env)
  end
  if not chunk then error(message, 0) end
  return chunk()
end

-- ---- questions ----

local function entry_of(name)
  for _, entry in ipairs(require "mil.face") do
    if entry.name == name or entry.short == name then return entry end
  end
end

local function answer(session, text)
  if text == "" then return commands.help() end
  local words = text:match '^"(.*)"$' or text:match "^'(.*)'$"
  if words then return help.search(words) end
  local op = text:find "^[%a_][%w_]*$" and help.find(text)
  local found, value = pcall(commands.value, session, text)
  local class = found and help.class(value)
  if class == "mil.value" then return help.value(value) end
  if op then return help.op(op, session.width) end
  local entry = entry_of(text)
  if entry then return help.entry(entry) end
  if not found or value == nil then return help.search(text) end
  if type(value) ~= "function" then return class .. "\n" .. require "mil.pretty"(value, { width = session.width }) end
  local info = debug.getinfo(value, "S")
  return info.what == "C" and "a function in C" or ("a function, defined at %s:%d"):format(info.short_src, info.linedefined)
end

-- ---- files ----

function commands.load_file(session, path)
  local chunk, message = loadfile(path)
  if not chunk then
    session:fail({ err = message }, "")
    return false
  end
  if setfenv then setfenv(chunk, session.env) end
  local before = session:attempt(chunk, chunk, "")
  if before then session:show_changes(before, "", true) end
  return before ~= nil
end

local function load_again(session, file)
  file.time = system.modified(file.path) or file.time
  return commands.load_file(session, file.path)
end

local function load_command(session, path)
  if path == "" then
    if #session.loaded == 0 then fail ":load takes a file" end
    return load_again(session, session.loaded[#session.loaded])
  end
  local time, reason = system.modified(path)
  if not time then fail("%s", reason) end
  local file = { path = path, time = time }
  for i = #session.loaded, 1, -1 do
    if session.loaded[i].path == path then table.remove(session.loaded, i) end
  end
  table.insert(session.loaded, file)
  commands.load_file(session, path)
end

-- Loads again each file that has changed since; the REPL calls it before each chunk.
function commands.reload(session)
  for _, file in ipairs(session.loaded) do
    local time = system.modified(file.path)
    if time and time ~= file.time and load_again(session, file) then session.print("loaded " .. file.path .. " again") end
  end
end

local function save_command(session, path)
  if path == "" then fail ":save takes a file" end
  if path:find "%.ml%w+$" or path:find "%.mil$" then
    local f = function_of(session, "")
    f:save(path)
    return session.print("saved " .. tostring(f.name) .. " to " .. path)
  end
  errors.check(system.write(path, table.concat(session.accepted, "\n") .. "\n"))
  session.print(("saved %d chunks to %s"):format(#session.accepted, path))
end

-- ---- the program ----

local function forget_stale(env)
  for name, value in next, env do
    if help.class(value) == "mil.value" and not pcall(function() return assert(value.type) end) then
      rawset(env, name, nil)
    end
  end
end

-- The last of the function's own body: what stands in the blocks of a loop or branch is part of that operation.
local function last_of(f)
  local last, is_nested = nil, {}
  for _, operation in ipairs(f:operations()) do
    if not is_nested[operation.id] then last = operation end
    for _, block in ipairs(operation.blocks) do
      for _, inner in ipairs(block:operations()) do is_nested[inner.id] = true end
    end
  end
  return last
end

local function undo_command(session, argument)
  local f = function_of(session, argument)
  local operation = last_of(f) or fail "nothing to undo"
  local text = help.operation(operation)
  f:undo()
  forget_stale(session.env)
  session.print("undone: " .. text)
end

local function ops_command(session, argument)
  local f, lines = function_of(session, argument), {}
  for _, operation in ipairs(f:operations()) do
    if operation.type ~= "const" then
      lines[#lines + 1] = help.operation(operation)
    end
  end
  session.print(#lines > 0 and table.concat(lines, "\n") or tostring(f.name) .. " has no operations yet")
end

-- ---- measuring ----

local function time_command(session, text)
  if text == "" then fail ":time takes a chunk" end
  local start = system.now()
  if session:evaluate(text) then session.print("took " .. units.time(system.now() - start)) end
end

local function memory_command(session)
  local lines = { "Lua: " .. units.bytes(collectgarbage "count" * 1024) }
  for name, value in next, session.env do
    if help.class(value) == "mil.model" then
      local ok, use = pcall(value.memory, value)
      lines[#lines + 1] = ok and ("model %s: weights %s, a run %s"):format(name, units.bytes(use.weights),
        units.bytes(use.context)) or ("model %s: unloaded"):format(name)
    elseif help.class(value) == "mil.tensor" then
      local ok, text = pcall(function() return value.dtype .. "[" .. table.concat(value.shape, ", ") .. "]" end)
      if ok then lines[#lines + 1] = ("tensor %s: %s"):format(name, text) end
    end
  end
  table.sort(lines)
  lines[#lines + 1] = "process, at its peak: " .. units.bytes(system.peak_bytes())
  session.print(table.concat(lines, "\n"))
end

-- ---- the rows ----

rows = {
  { "help", "", "this list", function(session) session.print(commands.help()) end },
  { "time", "CHUNK", "run CHUNK and say how long it took", time_command },
  { "ops", "[F]", "the operations of a function: F, or the one worked on last", ops_command },
  { "undo", "[F]", "take back the last operation", undo_command },
  { "load", "[FILE]", "run a Lua file here, and again whenever it has changed", load_command },
  { "save", "FILE", "write the session's chunks to a Lua file, or the program to a .mil file or a package", save_command },
  { "mem", "", "memory in use", memory_command },
  { "quit", "", "leave (Ctrl-D does too)", function(session) session.done = true end },
}

function commands.names()
  local names = {}
  for i, row in ipairs(rows) do names[i] = row[1] end
  return names
end

function commands.help()
  local lines = {
    "Type Lua. A result is printed, and is in _ afterwards; a trailing ; prints nothing. Errors are in _err.",
    "",
    '  ?conv          what an op, a value or a function is        ?"max pool"    search',
  }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ("  %-14s %s"):format(":" .. row[1] .. " " .. row[2], row[3])
  end
  lines[#lines + 1] = "  Tab completes; Alt-Enter begins a new line; Ctrl-C stops what runs"
  return table.concat(lines, "\n")
end

function commands.run(session, text)
  local question = text:match "^%s*%?%s*(.-)%s*$"
  if question then return session.print(answer(session, question)) end
  local name, argument = text:match "^%s*:%s*(%a*)%s*(.-)%s*$"
  for _, row in ipairs(rows) do
    if row[1] == name then return row[4](session, argument) end
  end
  fail("no command :%s; :help lists them", name)
end

return commands

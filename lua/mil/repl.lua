-- SPDX-License-Identifier: MIT
-- mil.repl: a session in which Lua is typed and MIL programs grow. It reads and prints by the functions that it is given
-- and knows nothing of terminals, so an application can have one in its own window:
--
--     local session = require("mil.repl").new {
--       read = function(prompt, continuation) ... return text end,  -- nil: the end; nil, "interrupted": a new prompt
--       print = function(text) ... end,
--     }
--     session:run()                    -- until read returns nil; or, where the application has its own loop:
--     session:feed "x = 1"             -- one chunk; session:is_complete(text) says whether it is one
--
-- A chunk either succeeds or leaves no trace: globals get their old values back, and operations that it added to
-- functions are undone (what it did inside tables, and inputs and outputs that it declared, stay).

local mil = require "mil"
local errors = require "mil.errors"
local help = require "mil.help"
local pretty = require "mil.pretty"

local repl, session = {}, {}
session.__index = session

local unpack = table.unpack or unpack

-- options: read, print as above; and, all optional,
--   env       the table of globals; _G
--   call      as xpcall(f, handler), but able to be interrupted (mil.interrupt.call)
--   remember  called with each chunk that was read, for a history
--   width     columns to print in; 80
function repl.new(options)
  return setmetatable({
    read = options.read,
    print = options.print or print,
    env = options.env or _G,
    call = options.call or xpcall,
    remember = options.remember or function() end,
    width = options.width or 80,
    accepted = {},   -- chunks that succeeded, for :save
    loaded = {},     -- files of :load, {path =, time =}
    failures = 0,
    current = nil,   -- the function that was worked on last
  }, session)
end

-- ---- chunks ----

local function compile(text, env)
  if not setfenv then return load(text, "=stdin", "t", env) end
  local chunk, message = loadstring(text, "=stdin")
  return chunk and setfenv(chunk, env), message
end

-- An expression is handed to a function instead of being returned, so that its call is no tail call, which would lose
-- the line for errors.
local function as_expression(text, env)
  if not compile("return " .. text .. "\n", env) then return nil end
  local call = "local __pass = ... return __pass(" .. text:gsub(";%s*$", "")
  local chunk = compile(call .. ")", env) or compile(call .. "\n)", env) -- the newline: where text ends in a comment
  return chunk and function(pass) return chunk(pass) end, chunk
end

-- An expression that gave n results, as a file of Lua may have it: with the same in _, and printed.
local function as_statement(text, n, quiet)
  if n == 0 then return text end
  return "_ = " .. text .. (quiet and "" or "\nprint(_)")
end

-- Returns the function to call (with pass), and the chunk, whose frame has the lines of text; or nil, message.
local function compile_chunk(text, env)
  local f, chunk = as_expression(text, env)
  if f then return f, chunk end
  local message
  chunk, message = compile(text .. "\n", env) -- the newline: a string that is not closed does not go on
  if not chunk then return nil, message end
  return chunk, chunk
end

local function is_at_end(message) return message ~= nil and message:find "<eof>'?$" ~= nil end

local function is_command(text) return text:find "^%s*%?" or text:find "^%s*:[^:]" or text:find "^%s*:$" end

-- Is this a whole chunk, or does it go on in the next line?
function session:is_complete(text)
  if is_command(text) or not text:find "%S" then return true end
  local chunk, message = compile_chunk(text, self.env)
  if chunk then return true end
  local _, as_value = compile("return " .. text .. "\n", self.env)
  return not is_at_end(message) and not is_at_end(as_value)
end

-- ---- what a chunk changed ----

local function each_function(env, visit)
  for _, value in next, env do
    local class = help.class(value)
    if class == "mil.function" then
      visit(value)
    elseif class == "mil.program" then
      for _, f in ipairs(value:functions()) do visit(f) end
    end
  end
end

local function snapshot(env)
  local before = { globals = {}, marks = {} }
  for name, value in next, env do before.globals[name] = value end
  each_function(env, function(f) before.marks[f] = f:mark() end)
  return before
end

local function rollback(env, before)
  for name in next, env do
    if before.globals[name] == nil then rawset(env, name, nil) end
  end
  for name, value in next, before.globals do rawset(env, name, value) end
  for f, mark in next, before.marks do pcall(f.undo, f, mark) end
end

-- Names of globals that hold something else than before, in the order in which the text has them.
local function changed_names(env, before, text)
  local names, place = {}, {}
  for name, value in next, env do
    if type(name) == "string" and name ~= "_" and not rawequal(value, before.globals[name]) then
      names[#names + 1] = name
      place[name] = text:find("%f[%w_]" .. name:gsub("%W", "%%%0") .. "%f[^%w_]") or math.huge
    end
  end
  table.sort(names, function(a, b)
    if place[a] ~= place[b] then return place[a] < place[b] end
    return a < b
  end)
  return names
end

-- A result that was named by its op takes the name of the global that holds it, where the function has none of that name.
local function rename(name, value)
  local op = value.op
  if op and value.name and value.name:find("^" .. op .. "_%d+[_%d]*$") then pcall(value.func.rename, value.func, value, name) end
end

function session:note(value)
  local class = help.class(value)
  if class == "mil.function" then
    self.current = value
  elseif class == "mil.value" then
    self.current = value.func
  end
end

function session:show_changes(before, text, quiet)
  for _, name in ipairs(changed_names(self.env, before, text)) do
    local value = self.env[name]
    self:note(value)
    if help.class(value) == "mil.value" then
      rename(name, value)
      if not quiet then self.print(tostring(value)) end
    end
  end
end

-- ---- results ----

function session:show(results, n, quiet)
  if n == 0 then return end
  rawset(self.env, "_", results[1])
  self:note(results[1])
  if quiet then return end
  local texts, long = {}, false
  for i = 1, n do
    texts[i] = pretty(results[i], { width = self.width })
    long = long or texts[i]:find "\n"
  end
  self.print(table.concat(texts, long and "\n" or "\t"))
end

-- ---- errors ----

-- Where in `line` the error is, from what its message names; nil: not known.
local function column_of(line, message, op)
  local names = { op }
  for _, pattern in ipairs { "near '(.-)'$", 'near (%S+)$', "%a+ '([%a_][%w_]*)'", 'no "(.-)"', '"(.-)"', "^([%a_][%w_]*):" } do
    names[#names + 1] = message:match(pattern)
  end
  for _, name in ipairs(names) do
    local plain = name:gsub("%W", "%%%0")
    local at = line:find(name:find "^[%w_]+$" and "%f[%w_]" .. plain .. "%f[^%w_]" or plain)
    if at and name ~= "" then return at end
  end
end

local function line_of(text, number)
  local i = 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    i = i + 1
    if i == number then return line end
  end
end

-- The message; then the line with a caret under the place, where that is known, or the line says more than the message.
local function error_text(err, text, number)
  local message = tostring(err)
  local line = number and line_of(text, number)
  if not line or message:find "\n" then return message end
  local bare = message:gsub("^stdin:%d+: ", "")
  local column = column_of(line, bare, type(err) == "table" and err.op or nil)
  if not column and not text:find "\n" then return message end
  local shown = message .. "\n    " .. line
  if not column then return shown end
  return shown .. "\n    " .. line:sub(1, column - 1):gsub("[^\t]", " ") .. "^"
end

-- Frames between the error and the chunk, for errors inside of functions.
local function trace(level, chunk)
  local lines, frame = {}, chunk and debug.getinfo(level, "Slnf")
  while frame and frame.func ~= chunk and #lines < 12 do
    if frame.currentline > 0 then
      lines[#lines + 1] = ("    %s:%d: in %s"):format(frame.short_src, frame.currentline,
        frame.name and "function '" .. frame.name .. "'" or "a function")
    end
    level = level + 1
    frame = debug.getinfo(level, "Slnf")
  end
  return frame and lines, frame and frame.currentline
end

-- The message handler: what is known while the stack is still there.
local function handler(chunk)
  return function(err)
    local lines, line = trace(3, chunk)
    return { err = err, trace = lines, line = line }
  end
end

function session:fail(caught, text)
  self.failures = self.failures + 1
  local err = errors.object_of(caught.err)
  rawset(self.env, "_err", err)
  if errors.is_interrupt(err) then return self.print(errors.interruption(err)) end
  local lines = caught.trace or {}
  local at_top = #lines == 0
  if type(err) ~= "string" and type(err) ~= "table" then err = "(error object is a " .. type(err) .. " value)" end
  self.print(error_text(err, text, at_top and caught.line or nil))
  if not at_top then self.print(table.concat(lines, "\n")) end
end

-- ---- running ----

-- Calls f(...) so that it succeeds or leaves no trace. Returns what changed (nil: it failed), and the results.
function session:attempt(f, chunk, text, ...)
  local args, n_args = { ... }, select("#", ...)
  local before = snapshot(self.env)
  local results, n
  local function run()
    local function keep(...) results, n = { ... }, select("#", ...) end
    keep(f(unpack(args, 1, n_args)))
  end
  local ok, caught = self.call(run, handler(chunk))
  if not ok then
    rollback(self.env, before)
    self:fail(type(caught) == "table" and caught or { err = caught }, text)
    return nil
  end
  return before, results, n
end

local function pass(...) return ... end

-- Runs a chunk of Lua and shows what comes of it. Returns whether it succeeded.
function session:evaluate(text)
  local f, chunk = compile_chunk(text, self.env)
  if not f then
    self:fail({ err = chunk, line = tonumber(chunk:match "^stdin:(%d+):") }, text)
    return false
  end
  if jit then jit.off(chunk, true) end -- compiled loops would not notice Ctrl-C
  local quiet = text:find ";%s*$" ~= nil
  local before, results, n = self:attempt(f, chunk, text, pass)
  if not before then return false end
  self.accepted[#self.accepted + 1] = f == chunk and text or as_statement(text, n, quiet)
  self:show_changes(before, text, quiet)
  self:show(results, n, quiet)
  return true
end

-- What people type who have just come, where no global has that name.
local words = { help = ":help", quit = ":quit", exit = ":quit" }

-- One chunk: Lua, a :command or a ?question.
function session:feed(text)
  if not text:find "%S" then return end
  local word = text:match "^%s*(%a+)%s*$"
  if words[word] and rawget(self.env, word) == nil then text = words[word] end
  local commands = require "mil.commands"
  commands.reload(self)
  if not is_command(text) then return self:evaluate(text) end
  local ok, caught = self.call(function() commands.run(self, text) end, handler(nil))
  if not ok then self:fail(caught, text) end
  return ok
end

-- Reads one chunk, of as many lines as it takes.
function session:read_chunk()
  local text, reason = self.read("mil> ", nil)
  while text and not self:is_complete(text) do
    local more, why = self.read("...> ", text)
    if not more and why then return nil, why end
    if not more then break end
    text = text .. "\n" .. more
  end
  return text, reason
end

function session:run()
  while not self.done do
    local text, reason = self:read_chunk()
    if text then
      if text:find "%S" then self.remember(text) end
      self:feed(text)
    elseif reason ~= "interrupted" then
      break
    end
  end
  return self.failures
end

return repl

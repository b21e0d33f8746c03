-- SPDX-License-Identifier: MIT
-- mil.terminal: the REPL of the luamil command: mil.repl over standard input and output, with line editing, history and
-- completion where there is a terminal for them, and with plain lines (and no prompts) where input is no terminal.

local mil = require "mil"
local system = require "mil.system"
local interrupt = require "mil.interrupt"

local terminal = {}

-- ---- where files are ----

local function folder(variable, default)
  local base = os.getenv(variable)
  if not base or base == "" then
    local home = os.getenv "HOME"
    if not home or home == "" then return nil end
    base = home .. "/" .. default
  end
  return base .. "/luamil"
end

-- ---- history: a file with a chunk a line, newlines written as \n ----

local history = { most = 1000 }

function history.encode(text) return (text:gsub("[\\\n]", { ["\\"] = "\\\\", ["\n"] = "\\n" })) end

function history.decode(line)
  return (line:gsub("\\(.)", function(c) return c == "n" and "\n" or c end))
end

function history.load(path)
  local file = path and io.open(path)
  if not file then return {} end
  local lines = {}
  for line in file:lines() do lines[#lines + 1] = line end
  file:close()
  local chunks = {}
  for i = math.max(1, #lines - history.most + 1), #lines do chunks[#chunks + 1] = history.decode(lines[i]) end
  if #lines > 2 * history.most then -- now and then, what is too old goes
    file = io.open(path, "w")
    for _, chunk in ipairs(file and chunks or {}) do file:write(history.encode(chunk), "\n") end
    if file then file:close() end
  end
  return chunks
end

-- Appends, so that sessions side by side do not lose each other's.
function history.add(path, text)
  local file = path and io.open(path, "a")
  if not file then return end
  file:write(history.encode(text), "\n")
  file:close()
end

terminal.history = history

-- ---- reading ----

local function plain_reader(prompts)
  return function(prompt)
    if prompts then
      io.write(prompt)
      io.flush()
    end
    if not prompts then return io.read "*l" end
    local ok, line = interrupt.call(function() return io.read "*l" end, function(err) return err end)
    if ok then return line end
    io.write "\n"
    return nil, "interrupted"
  end
end

-- Returns the functions read and remember; nil where there is no editing here.
local function edited_reader(session_of)
  if os.getenv "TERM" == "dumb" then return nil end
  local complete = require "mil.complete"
  local editor = require("mil.line").open {
    is_complete = function(text) return session_of():is_complete(text) end,
    complete = function(before) return complete.tab(before, session_of().env, system.width()) end,
  }
  if not editor then return nil end
  local state = folder("XDG_STATE_HOME", ".local/state")
  local path = state and system.mkdir(state) and state .. "/history" or nil
  for _, chunk in ipairs(history.load(path)) do editor:remember(chunk) end
  local function remember(text)
    editor:remember(text)
    history.add(path, text)
  end
  return function(prompt) return editor:read(prompt) end, remember, editor
end

-- ---- the session ----

local function banner()
  local engines = {}
  for _, name in ipairs(mil.engines()) do
    if mil.available(name) then engines[#engines + 1] = mil.engine(name) end
  end
  return ("luamil %s  %s  engines: %s   ?op, ?value or :help for help"):format(mil.version:gsub("%.0$", ""),
    jit and jit.version or _VERSION, table.concat(engines, ", "))
end

local function run_rc(session)
  local config = folder("XDG_CONFIG_HOME", ".config")
  local path = config and config .. "/rc.lua"
  if not path or not system.modified(path) then return end
  require("mil.commands").load_file(session, path)
end

-- Runs a session until its input ends. Returns the exit status: 1 where input was no terminal and a chunk failed.
function terminal.run()
  if not jit then interrupt.follow(coroutine) end -- LuaJIT's hook is one for all coroutines
  local interactive = system.is_terminal(0) and system.is_terminal(1)
  local session
  local read, remember, editor
  if interactive then read, remember, editor = edited_reader(function() return session end) end
  session = require("mil.repl").new {
    read = read or plain_reader(interactive),
    remember = remember,
    call = interrupt.call,
    width = system.width() or 80,
    print = function(text)
      io.write(text, "\n")
      io.flush()
    end,
  }
  mil.width = system.width() or mil.width
  if interactive then session.print(banner()) end
  run_rc(session)
  local failures = interactive and interrupt.guard(function() return session:run() end) or session:run()
  if editor then editor:close() end
  return not interactive and failures > 0 and 1 or 0
end

return terminal

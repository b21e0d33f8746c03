-- SPDX-License-Identifier: MIT
-- mil.command: what `luamil` does with its command line. Returns the exit status: 0 done, 1 failed, 2 not understood. Output
-- that could not be written is a failure.
--
--     luamil                       the REPL
--     luamil SCRIPT args...        a script (or -, standard input), as lua would run it
--     luamil COMMAND args...       a subcommand: module mil.cmd.<command>
--
-- As lua does, it takes -e, -l, -i, -v and -- before the script.

local io = io -- a script may give the name to something of its own

local subcommands = { "run", "print", "check", "inspect", "convert", "graph", "diff", "compare", "bench", "compile", "probe", "serve", "ops" }

local usage = [==[
usage: luamil [options] [script [arguments]]
       luamil command [arguments]

  luamil                  the REPL
  luamil script.lua ...   a Lua script, as lua would run it; - is standard input

options, as lua takes them:
  -e CHUNK                run CHUNK
  -l MODULE               require MODULE into a global of its name
  -i                      the REPL, after the script
  -v, --version           the version
  -h, --help              this text
]==]

local function complain(message)
  io.stdout:flush()
  io.stderr:write("luamil: ", tostring(message), "\n")
end

-- A message handler: an error object stays what it is; a string gets a traceback.
local function traced(message)
  if type(message) ~= "string" then
    local meta = type(message) == "table" and getmetatable(message)
    if not (meta and meta.__tostring) then
      return ("(error object is a %s value)"):format(type(message))
    end
    message = tostring(message)
  end
  local trace = debug.traceback(message, 4) -- from what raised it on: below are the handlers
  local own = trace:match "^(.*)\n%s*%[C%]: in %w+ '[%w.]*call'" -- from the last one on it is this file
  while own and own:find "%(%.*tail calls?%.*%)[^\n]*$" do own = own:match "^(.*)\n" end
  return own or trace
end

local interrupted = 130 -- the status of a program that SIGINT ended

local function call(f, ...)
  local args, n, errors, interruption = { ... }, select("#", ...), require "mil.errors", nil
  local ok, message = require("mil.interrupt").call(function() return f((table.unpack or unpack)(args, 1, n)) end, function(err)
    if errors.is_interrupt(err) then interruption = errors.interruption(err) end
    return interruption or traced(err)
  end, true)
  if ok then return 0 end
  complain(message)
  return interruption and interrupted or 1
end

-- ---- scripts ----

-- Model files are data; Lua would only find them full of errors.
local models = { mil = true, mlpackage = true, mlmodelc = true, mlmodel = true }

local function run_script(path, arguments)
  local ending = path:match "%.(%w+)/?$"
  if models[ending] then
    complain(("%s is a model, not a script: luamil run %s"):format(path, path))
    return 2
  end
  local chunk, message = loadfile(path ~= "-" and path or nil)
  if not chunk then
    complain(message)
    return 1
  end
  return call(chunk, (table.unpack or unpack)(arguments))
end

-- arg[0] is the script, what came before it has indices below 0.
local function shift_arg(arg, script)
  local shifted, last = {}, #arg
  for i = 0, last do shifted[i - script] = arg[i] end
  _G.arg = shifted
end

-- ---- subcommands ----

local function is_subcommand(name)
  for _, known in ipairs(subcommands) do
    if known == name then return true end
  end
  return false
end

local function rest_of(list, first)
  local rest = {}
  for i = first, #list do rest[#rest + 1] = list[i] end
  return rest
end

local function help()
  io.write(usage, "\ncommands, each with --help:\n")
  for _, name in ipairs(subcommands) do
    io.write(("  %-10s%s\n"):format(name, require("mil.cmd." .. name).summary))
  end
  return 0
end

-- An error for whoever gave the command: no place in a script, for there is none of theirs.
local function message_of(err)
  err = require("mil.errors").object_of(err)
  if type(err) ~= "table" or not err.message then return tostring(err) end
  return err.message .. (err.excerpt and "\n" .. err.excerpt or "")
end

local function run_subcommand(name, args)
  local options = require "mil.options"
  local command = require("mil.cmd." .. name)
  -- stopped by Ctrl-C as by an error, and so leaves nothing half done
  local ok, result = require("mil.interrupt").call(function()
    local given, arguments = options.read(command, args)
    if given.help then
      print(options.help(command))
      return 0
    end
    return command.main(given, arguments) or 0
  end, function(err) return err end)
  if ok then return result, command.failed end
  if type(result) == "table" and result.usage then
    complain(("%s: %s (luamil %s --help)"):format(name, result.usage, name))
    return 2
  end
  if require("mil.errors").is_interrupt(result) then
    complain(require("mil.errors").interruption(result))
    return interrupted
  end
  local message = message_of(result)
  complain(message:find("^" .. name .. ": ") and message or name .. ": " .. message) -- model:run says "run: " itself
  return command.failed or 1
end

-- ---- the command line ----

local function version()
  local mil = require "mil"
  return ("luamil %s  %s"):format(mil.version, jit and jit.version or _VERSION)
end

local function no_such_thing(word)
  local near = require("mil").nearest(word, subcommands)
  complain(("%s is neither a command nor a file%s"):format(word, near and ("; did you mean " .. near .. "?") or ""))
  return 2
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- Reads lua's own options; calls what they say, in order. Returns the index of the script, and what else was asked.
local function leading_options(arg)
  local i, asked = 1, {}
  while arg[i] and arg[i]:sub(1, 1) == "-" and arg[i] ~= "-" do
    local letter, value = arg[i]:match "^%-(%a)(.*)$"
    if arg[i] == "--" then
      return i + 1, asked
    elseif arg[i] == "--version" or arg[i] == "-v" then
      print(version())
      asked.done = true
    elseif arg[i] == "--help" or arg[i] == "-h" then
      asked.done, asked.status = true, help()
    elseif arg[i] == "-i" then
      asked.interactive = true
    elseif letter == "e" or letter == "l" then
      if value == "" then
        i = i + 1
        value = arg[i]
      end
      if not value then
        complain(("-%s takes a value (luamil --help)"):format(letter))
        return nil, 2
      end
      asked.done = true
      local status
      if letter == "l" then
        status = call(function() _G[value] = require(value) end)
      else
        local chunk, message = (loadstring or load)(value, "=(command line)")
        if not chunk then complain(message) end
        status = chunk and call(chunk) or 1
      end
      if status ~= 0 then return nil, status end
    else
      complain(("unknown option %s (luamil --help)"):format(arg[i]))
      return nil, 2
    end
    i = i + 1
  end
  return i, asked
end

local function repl()
  _G.mil = _G.mil or require "mil"
  return require("mil.terminal").run()
end

local function main(arg)
  pcall(os.setlocale, "", "ctype")
  local first, asked = leading_options(arg)
  if not first then return asked end
  local word = arg[first]
  if not word then
    if asked.done and not asked.interactive then return asked.status or 0 end
    return repl()
  end
  if word == "help" and not exists "help" then
    if is_subcommand(arg[first + 1]) then return run_subcommand(arg[first + 1], { "--help" }) end
    return help()
  end
  if is_subcommand(word) then return run_subcommand(word, rest_of(arg, first + 1)) end
  if word ~= "-" and not exists(word) and not word:find "[./]" then return no_such_thing(word) end
  shift_arg(arg, first)
  local status = run_script(word, rest_of(arg, first + 1))
  if asked.interactive then return repl() end
  return status
end

return setmetatable({ subcommands = subcommands, version = version }, { __call = function(_, arg)
  local status, failed = main(arg)
  local ok, reason = require("mil.system").written()
  if ok or status == 130 then return status end
  complain(reason)
  return failed or (status ~= 0 and status or 1)
end })

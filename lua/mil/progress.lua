-- SPDX-License-Identifier: MIT
-- mil.progress: a line on the terminal that says how far long work is, and goes away after it.
--
--     local line = progress.new(given.quiet)
--     program:save(path, { progress = line.report })
--     line.clear()
--
--     local program = progress.load(path, given.quiet)         -- mil.load with such a line
--
-- Nothing is written where stderr is no terminal, and nothing about work that is done within DELAY.

local system = require "mil.system"

local DELAY, EVERY = 0.3, 0.1 -- seconds

local progress = {}

local words = { read = "reading", program = "writing the program", weights = "writing weights", compile = "compiling" }

-- `with` replaces what the line is made of: is_terminal, now, write (tests).
function progress.new(quiet, with)
  with = with or {}
  local now = with.now or system.now
  local write = with.write or function(text) io.stderr:write(text) end
  local is_shown = not quiet and (with.is_terminal or system.is_terminal)(2)
  local start, last, shown = now(), nil, false
  local line = {}

  function line.report(stage, part)
    if not is_shown then return end
    local time = now()
    if time - start < DELAY or (last and time - last < EVERY) then return end
    last, shown = time, true
    write(("\r%s %3.0f%%\27[K"):format(words[stage] or stage, 100 * part))
  end

  function line.clear()
    if shown then write "\r\27[K" end
    start, last, shown = now(), nil, false
  end

  return line
end

function progress.load(path, quiet)
  local line = progress.new(quiet)
  local program = require("mil").load(path, { progress = line.report })
  line.clear()
  return program
end

return progress

-- SPDX-License-Identifier: MIT
-- mil.errors: what was caught, as an object, and whether it was Ctrl-C; what io and mil.system say, raised.

local errors = {}

-- The error object, also where (PUC Lua 5.1) its text was raised in its place; anything else as it is.
function errors.object_of(err)
  if type(err) ~= "string" then return err end
  local last = require("mil").last_error()
  return last and tostring(last) == err and last or err
end

-- Was it Ctrl-C (mil.interrupt's error, or that of a run which it cancelled)?
function errors.is_interrupt(err)
  err = errors.object_of(err)
  if type(err) == "table" then return err.code == "ECANCELLED" end
  return type(err) == "string" and err:find "interrupted$" ~= nil
end

-- What was stopped by it, in a line; what does not end is named where it is known.
function errors.interruption(err)
  err = errors.object_of(err)
  if type(err) ~= "table" or not err.op then return "interrupted" end
  local value = err.value and " " .. err.value or ""
  return ("interrupted in %s%s%s"):format(err.op, value, err.where and (" (made at %s)"):format(err.where) or "")
end

-- Puts text into a file, or on standard output: path nil, or "-".
function errors.put(path, text)
  if path and path ~= "-" then errors.check(require("mil.system").write(path, text)) else errors.check(io.stdout:write(text)) end
end

-- The same, before the work whose result goes there: is there a place for it?
function errors.check_place(path)
  if path and path ~= "-" then errors.check(require("mil.system").may_write(path)) end
end

-- What a function of io or mil.system gave; or raises its reason as it is (assert would put a place in our own files before it).
function errors.check(value, reason, ...)
  if not value then error(reason, 0) end
  return value, reason, ...
end

return errors

-- SPDX-License-Identifier: MIT
-- mil.errors: what was caught, as an object.

local errors = {}

-- The error object, also where (PUC Lua 5.1) its text was raised in its place; anything else as it is.
function errors.object_of(err)
  if type(err) ~= "string" then return err end
  local last = require("mil").last_error()
  return last and tostring(last) == err and last or err
end

return errors

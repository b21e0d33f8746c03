-- SPDX-License-Identifier: MIT
-- luamil print: a model as MIL text.

local options = require "mil.options"

local command = {
  name = "print",
  arguments = "MODEL",
  summary = "a model as MIL text, on standard output",
  options = { { "--output", "FILE", "write to FILE instead" } },
}

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one model, but was given %d", #arguments) end
  local text = tostring(require("mil").load(arguments[1]))
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  local file = given.output and assert(io.open(given.output, "w")) or io.stdout
  assert(file:write(text))
  if given.output then assert(file:close()) end
  return 0
end

return command

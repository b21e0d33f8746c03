-- SPDX-License-Identifier: MIT
-- luamil print: a model as MIL text.

local options = require "mil.options"

local command = {
  name = "print",
  arguments = "MODEL",
  summary = "a model as MIL text, on standard output",
  description = [[
MODEL is a Core ML package (.mlpackage), a compiled bundle (.mlmodelc) or MIL text (.mil). Weights stay where they are: the
text names their place. luamil convert MODEL TO.mil writes both.]],
  options = {
    { "--function", "NAME", "this function alone" },
    { "--output", "FILE", "write to FILE instead", short = "-o" },
    { "--quiet", "no progress on a terminal" },
  },
}

-- Of a program's text what is about one function. Its line begins with four blanks and func, its last one with eight and
-- a brace: nothing else is so little indented.
local function of_function(text, name)
  local lines, inside = {}, false
  for line in text:gmatch "[^\n]+" do
    local begins = line:match "^    func ([^<]*)<"
    if begins then inside = begins == name end
    if inside or not line:find "^    " then lines[#lines + 1] = line end
  end
  return table.concat(lines, "\n")
end

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one model, but was given %d", #arguments) end
  local program = require("mil.progress").load(arguments[1], given.quiet)
  local name = given["function"]
  local text = tostring(program)
  if name then text = of_function(text, require("mil.inputs").entry(program, name).name) end
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  require("mil.errors").put(given.output, text)
  return 0
end

return command

-- SPDX-License-Identifier: MIT
-- luamil diff: two models, operation by operation.

local options = require "mil.options"

local command = {
  name = "diff",
  arguments = "A B",
  summary = "what differs between two models, operation by operation",
  description = [[
Lines begin with - (only in A), + (only in B) or ~ (differs). The exit status is 0 where nothing differs, 1 where something
does, 2 where there was trouble. With --input or --random both are run, and the first operation whose values part, and the
first whose values fp16 does not hold, are named.]],
  options = {
    { "--function", "NAME", "the function to run; the package's default, main or the only one unless given" },
    { "--tolerance", "T", "values part beyond T * max(1, |value|); 1e-5, and 2e-3 for fp16, unless given", number = true },
    { "--quiet", "print nothing, and no progress on a terminal" },
  },
  failed = 2,
}
for i, row in ipairs(require("mil.inputs").options) do table.insert(command.options, i, row) end

function command.main(given, arguments)
  if #arguments ~= 2 then options.usage("takes two models, but was given %d", #arguments) end
  local diff, inputs = require "mil.diff", require "mil.inputs"
  local load = require("mil.progress").load
  local a, b = load(arguments[1], given.quiet), load(arguments[2], given.quiet)
  local lines = diff.programs(a, b)
  if given.input or given.random or given.seed then
    local x, y = inputs.entry(a, given["function"]), inputs.entry(b, given["function"])
    local found = diff.values(x, y, inputs.read(x, given), given.tolerance)
    if found.parts then lines[#lines + 1] = "values part at " .. found.parts end
    if found.overflows then lines[#lines + 1] = "fp16 overflows at " .. found.overflows end
  end
  if not given.quiet then
    for _, line in ipairs(lines) do print(line) end
  end
  return #lines > 0 and 1 or 0
end

return command

-- SPDX-License-Identifier: MIT
-- luamil probe: is the Neural Engine to be had here, and if not, what is in the way?

local options = require "mil.options"

local command = {
  name = "probe",
  arguments = "",
  summary = "is the Neural Engine to be had here? If not, what is in the way?",
  description = [[
Seven levels, from the driver up to programs that are compiled and run: 1 driver, 2 open, 3 selectors, 4 surfaces, 5 frameworks,
6 daemon, 7 run. Of each: what was tried (+ with success, - without), what was found, how long it took; where it failed, what that
means and what to do. On systems other than macOS, a line each.
--report writes all of it and more to a file, as JSON, for those who mend luamil: without the names of user and machine, and without
paths of the home folder. Look through it before you send it.
The exit status is 0 where the Neural Engine ran the programs (or level 7 was left out), 1 where it did not.]],
  options = {
    { "--level", "N,..", "these levels alone", many = true },
    { "--json", "as JSON" },
    { "--report", "FILE", "write a report for the maintainers; - is standard output" },
    { "--quiet", "no progress on a terminal" },
  },
}

-- {[7] = true} of "7", or nil where all are meant
local function levels_of(lists)
  if not lists then return nil end
  local only, n = {}, #require("mil.probe").levels
  for _, list in ipairs(lists) do
    for word in list:gmatch "[^,]+" do
      local level = tonumber(word)
      if not level or level % 1 ~= 0 or level < 1 or level > n then options.usage("--level takes numbers from 1 to %d, but was given %s", n, word) end
      only[level] = true
    end
  end
  if next(only) == nil then options.usage "--level takes the number of a level" end
  return only
end

function command.main(given, arguments)
  if #arguments > 0 then options.usage("takes no arguments, but was given %s", arguments[1]) end
  local probe, errors, json = require "mil.probe", require "mil.errors", require "mil.json"
  local only = levels_of(given.level)
  errors.check_place(given.report)
  local line = require("mil.progress").new(given.quiet)
  local levels = probe.run { only = only, progress = line.report }
  line.clear()
  local data = (given.json or given.report) and probe.data(levels)
  if given.json then
    print(json.encode(data))
  elseif given.report ~= "-" then
    print(probe.text(levels))
  end
  if given.report then
    data.sources = probe.sources()
    errors.put(given.report, json.encode(data) .. "\n")
    if given.report ~= "-" and not given.json then print("the report is in " .. given.report) end
  end
  return probe.verdict(levels) == false and 1 or 0
end

return command

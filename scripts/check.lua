-- SPDX-License-Identifier: MIT
-- luamil check: would the Neural Engine take a model?

local options = require "mil.options"

local command = {
  name = "check",
  arguments = "MODEL",
  summary = "would the Neural Engine take a model? Said on any machine",
  description = [[
MODEL is a Core ML package (.mlpackage), a compiled bundle (.mlmodelc) or MIL text (.mil). What others reported of the engine is asked of
each operation, input and output; each answer has who says so, what to write instead, and a source. The model is checked as it stands:
what compiling for the engine would rewrite is told too.
Status: 0 no errors, 1 errors (with --strict: or warnings), 2 not understood, 3 the model can't be read.]],
  failed = 3,
  options = {
    { "--engine", "NAME", "ane, which is all that there are rules for" },
    { "--route", "NAME", "direct (unless given) or e5rt" },
    { "--chip", "CHIP", "m1, m2 .., \"M1 Pro\"; any, unless given" },
    { "--system", "VERSION", "of macOS: 26.5" },
    { "--function", "NAME", "this function alone" },
    { "--strict", "warnings are errors" },
    { "--all", "remarks too: what several sources contradict, what values decide" },
    { "--estimate", "and how long a run takes, about" },
    { "--json", "as JSON" },
    { "--quiet", "no progress on a terminal" },
  },
}

local function as_json(report, estimate)
  local json = require "mil.json"
  local rows = {}
  for i, row in ipairs(report) do
    local copy = {}
    for key, value in pairs(row) do
      if key ~= "operation" then copy[key] = value end
    end
    rows[i] = copy
  end
  return json.encode {
    engine = report.engine, route = report.route, errors = report.errors, warnings = report.warnings, notes = report.notes,
    findings = json.array(rows), estimate = estimate,
  }
end

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one model, but was given %d", #arguments) end
  local wanted = { engine = given.engine, route = given.route, chip = given.chip, system = given.system }
  local understood, why = pcall(function() require("mil").func():check(wanted) end) -- said before a model is read
  if not understood then options.usage("%s", (tostring(why):gsub("^.-check: ", ""))) end
  local program = require("mil.progress").load(arguments[1], given.quiet)
  wanted.entry, wanted.strict, wanted.all = given["function"], given.strict, given.all
  local report = program:check(wanted)
  local estimate = given.estimate and require("mil.estimate").of(program, { chip = given.chip, entry = given["function"] })
  if given.json then
    print(as_json(report, estimate or nil))
  else
    print(report)
    if estimate then print(require("mil.estimate").text(estimate)) end
  end
  return report.errors > 0 and 1 or 0
end

return command

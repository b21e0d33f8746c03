-- SPDX-License-Identifier: MIT
-- Run by standin_lowering_spec.lua in a process of its own: every program of lowering_rows.lua by engine ane, on one route of the stand-in,
-- compared with the cpu engine. Prints what fails, and how many ran.
local mil = require "mil"
local rows = dofile "tests/spec/lowering_rows.lua"
local route, from, to = arg[1], tonumber(arg[2]), tonumber(arg[3])

local function failure(f, bound, scale)
  local given = rows.inputs_of(f, scale)
  local wanted = f:compile { engine = "cpu" }:run(given)
  local compiled, model = pcall(f.compile, f, { engine = "ane", route = route })
  if not compiled then return tostring(model) end
  local got = model:run(given)
  model:unload()
  for _, output in ipairs(f.outputs) do
    local off = rows.furthest(got[output.name], wanted[output.name])
    if off > bound then return ("%s is off by %g"):format(output.name, off) end
  end
end

local n = 0
local function try(name, bound, scale, build, ...)
  n = n + 1
  if n < from or n > to then return end
  local what = failure(build(...), bound, scale)
  if what then print(("%s: %s"):format(name, what)) end
end

for _, row in ipairs(rows) do
  if not (route == "e5rt" and row.no_e5rt) then try(row[1], row[4] or 2e-3, row[5], rows.build, row, "fp32") end
end
for _, row in ipairs(rows.graphs) do try(row[1], row[4], 0.5, rows.graph, row) end
print(math.min(n, to) - from + 1 .. " ran")

-- SPDX-License-Identifier: MIT
-- A bound run of engine ane on the stand-in, which computes nothing: what it costs beyond the framework calls that it makes (a pool, one
-- message), both called from here, beside empty C calls (at most 40).
local mil = require "mil"
local timing = require "mil.timing"
local calls = require "ane_calls"
if jit then jit.off() end -- its compiler would drop the empty loop that is measured

local function time(n, fn)
  local start = os.clock()
  for _ = 1, n do fn() end
  return (os.clock() - start) / n
end

local function measure(what, step, model)
  assert(step())
  local nothing, frameworks, runs, ours = {}, {}, {}, {}
  for round = 1, 31 do -- in turns: whatever else the machine does meets all three
    nothing[round] = time(200000, calls.nothing)
    frameworks[round] = time(5000, calls.frameworks)
    runs[round] = time(5000, step)
    ours[round] = (runs[round] - frameworks[round]) / nothing[round]
  end
  print(("%-20s %5.0f ns, its framework calls %5.0f ns, an empty C call %.0f ns: ours are %.1f empty C calls; %s"):format(what,
    timing.median(runs) * 1e9, timing.median(frameworks) * 1e9, timing.median(nothing) * 1e9, timing.median(ours),
    model:describe():match "so far: (.-)\n" or "?"))
end

local f = mil.func()
local a, b = f:input("a", "fp16", { 1, 64, 1, 64 }), f:input("b", "fp16", { 1, 64, 1, 64 })
f:output("y", (a + b):relu())
local model = f:compile { engine = "ane", route = "direct" }
local io = model:shared()
calls.set("compute", 0)
measure("bound, shared", model:bind(io), model)

-- SPDX-License-Identifier: MIT
-- Building programs and small runs from Lua, beside what Lua itself costs in the same process:
-- an op beside making one small table (at most 40 times), a bound run beside an empty C call (at most 40), model:run (400).
local mil = require "mil"
local timing = require "mil.timing"
if jit then jit.off() end -- its compiler would drop the empty loops that are measured

local clock = os.clock

-- Seconds of one call of fn, in the middle of several rounds of n.
local function cost(n, fn)
  local rounds = {}
  for round = 1, 7 do
    collectgarbage()
    local start = clock()
    fn(n)
    rounds[round] = (clock() - start) / n
  end
  return timing.median(rounds)
end

local kept
local a_table = cost(2000000, function(n)
  for i = 1, n do kept = { x = i, y = n } end
end)
local a_call = cost(5000000, function(n)
  local empty = rawlen or rawequal
  local t = {}
  for _ = 1, n do empty(t, t) end
end)

local function build(n)
  local f = mil.func { opset = "ios18" }
  local x = f:input("x", "fp16", { 1, 64, 1, 128 })
  for _ = 1, n / 4 do x = ((x * 1.5):relu() + x):tanh() end
  f:output("y", x)
  return f
end

print(("%s; a small table %.0f ns, an empty C call %.0f ns"):format(_VERSION .. (jit and " (LuaJIT)" or ""), a_table * 1e9, a_call * 1e9))
for _, n in ipairs { 100, 1000, 10000, 100000 } do
  local repeats = math.max(1, 20000 / n)
  local rounds = {}
  for round = 1, 5 do
    collectgarbage()
    local start = clock()
    for _ = 1, repeats do build(n) end
    rounds[round] = (clock() - start) / repeats / n
  end
  local one = timing.median(rounds)
  print(("building %6d ops: %5.0f ns an op, %.1f small tables"):format(n, one * 1e9, one / a_table))
end

local f = mil.func()
f:output("y", f:input("x", "fp32", { 16 }):relu())
local model = f:compile { engine = "cpu", threads = 1 }
local x, y = mil.randn("fp32", { 16 }), mil.zeros("fp32", { 16 })
local step = model:bind { x = x, y = y }
local bound = cost(200000, function(n)
  for _ = 1, n do step() end
end)
local inputs = { x = x }
local run = cost(50000, function(n)
  for _ = 1, n do model:run(inputs) end
end)
print(("bound run of 1 op on 16 numbers: %5.0f ns, %.1f empty C calls"):format(bound * 1e9, bound / a_call))
print(("model:run of the same:           %5.0f ns, %.1f empty C calls"):format(run * 1e9, run / a_call))

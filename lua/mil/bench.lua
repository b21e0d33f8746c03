-- SPDX-License-Identifier: MIT
-- mil.bench: measuring one workload (mil.workloads) on one engine (mil.engines), and what others have published of such.
--
--     local row = bench.measure(work, engine, { seconds = 0.3, threads = 0 })
--     print(row.median, row.flops / row.median)                -- seconds; or row.failed, the reason

local mil = require "mil"
local errors = require "mil.errors"
local timing = require "mil.timing"
local engines = require "mil.engines"
local system = require "mil.system"

local bench = {}

-- What others measured, of sizes that can be measured here in the same form. us: of a run; tflops where they gave that alone. The widths of
-- some are not published: `ours` says what was chosen.
bench.published = {
  { what = "packed", size = "64x64x64", chip = "M1 Pro", us = 143, source = "cyberia-to/rane, README" },
  { what = "packed", size = "256x256x256", chip = "M1 Pro", us = 161, source = "cyberia-to/rane, README" },
  { what = "packed", size = "1024x1024x256", chip = "M1 Pro", us = 332, source = "cyberia-to/rane, README" },
  { what = "conv", size = "256x1x64", chip = "M5", us = 65, source = "maderix/ANE, m5result (0.06 to 0.07 ms)", ours = "width 64" },
  { what = "conv", size = "2560x1x64", chip = "M3 Max", us = 320, source = "skyfallsin/apple-neural-engine-field-guide", ours = "width 64" },
  { what = "conv", size = "128*512x1x64", chip = "M3 Pro", tflops = 9.98, source = "maderix/ANE, inmem_peak", ours = "a stack of 128" },
  { what = "conv", size = "128*512x1x64", chip = "M4 Pro", tflops = 12.57, source = "maderix/ANE, inmem_peak", ours = "a stack of 128" },
  { what = "conv", size = "128*512x1x64", chip = "M4 Max", tflops = 10.93, source = "maderix/ANE, inmem_peak", ours = "a stack of 128" },
  { what = "conv", size = "128*512x1x64", chip = "M5", tflops = 12.3, source = "maderix/ANE, inmem_peak (12.17 to 12.44)", ours = "a stack of 128" },
  { what = "conv", size = "128*512x1x2048", chip = "M3 Pro", tflops = 16.77, source = "maderix/ANE, inmem_peak", ours = "a stack of 128" },
  { what = "conv", size = "64*512x64x64", chip = "M4", tflops = 18.4, source = "maderix/ANE, README" },
  { what = "conv", size = "128*512x64x64", chip = "M4", us = 14800, source = "maderix/ANE, README" },
}

-- Their sizes, each once, in order: {{what, size}, ..}
function bench.published_sizes()
  local list, seen = {}, {}
  for _, row in ipairs(bench.published) do
    local key = row.what .. " " .. row.size
    if not seen[key] then list[#list + 1] = { row.what, row.size } end
    seen[key] = true
  end
  return list
end

-- Those of one workload, with us and gflops of each.
function bench.published_of(work)
  local list = {}
  for _, row in ipairs(bench.published) do
    if row.what == work.what and row.size == work.size then
      local us = row.us or work.flops / (row.tflops * 1e6)
      list[#list + 1] = { chip = row.chip, us = us, gflops = work.flops / us / 1e3, source = row.source, ours = row.ours }
    end
  end
  return list
end

local function reason_of(err)
  if errors.is_interrupt(err) then error(err, 0) end
  local object = errors.object_of(err)
  return type(object) == "table" and object.message or tostring(err)
end

-- A bound run, on memory that the engine takes as it is where it has such; and its outputs by name.
local function bind(model, inputs)
  local is_shared, tensors = pcall(model.shared, model)
  if not is_shared then tensors = model:run(inputs) end
  for name, tensor in pairs(inputs) do
    if is_shared then tensors[name]:write(tensor) else tensors[name] = tensor end
  end
  for _, tensor in pairs(tensors) do
    if type(tensor) ~= "userdata" or getmetatable(tensor) == "mil.dictionary" then -- a label has no place in memory
      return function() tensors = model:run(inputs) end, function() return tensors end
    end
  end
  local step = model:bind(tensors)
  return step, function() return step.outputs end -- those too whose size a run alone knows
end

-- {compile, runs, min, median, p95 (seconds), error = {largest, relative, seen, total, against}} or {failed = reason}.
-- given: seconds (0.3), threads (0), precision .. of the cpu engine; report(stage, part).
function bench.measure(work, engine, given)
  local report, row = given.report or function() end, {}
  local done, reason = pcall(function()
    local start = system.now()
    local model = engines.compile(engine, work.func, { threads = given.threads or 0, progress = report })
    row.compile = system.now() - start
    local step, outputs = bind(model, work.inputs)
    start = system.now()
    step()
    local first, seconds = system.now() - start, given.seconds or 0.3
    local is_long = first > seconds -- then it is run but once more
    local times = timing.of(step, { seconds = seconds, runs = is_long and 1 or nil, warm = is_long and 0 or 2,
      calls = math.max(1, math.floor(2e-5 / math.max(first, 1e-9))), each = function(part) report("timing", part) end })
    row.runs, row.min, row.median, row.p95 = times.runs, times.min, times.median, times.p95
    report("comparing", 0)
    row.error = work.check and work.check(outputs())
    model:unload()
  end)
  if not done then return { failed = reason_of(reason) } end
  return row
end

-- What a dispatch costs: a run that has almost nothing to compute.
function bench.dispatch()
  local f = mil.func { opset = "ios18" }
  local weight = mil.randn("fp16", { 32, 32, 1, 1 }, { seed = 1 })
  f:output("y", f:input("x", "fp16", { 1, 32, 1, 32 }):conv { weight = weight, pad_type = "valid" })
  return { what = "dispatch", size = "32x1x32", dtype = "fp16", func = f, inputs = { x = mil.ones("fp16", { 1, 32, 1, 32 }) } }
end

return bench

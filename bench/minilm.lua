-- SPDX-License-Identifier: MIT
-- MiniLM on 128 tokens: median milliseconds, and the process's peak memory beside the weights file. bench/minilm.py runs it
-- in turn with onnxruntime.   usage: minilm.lua MODEL_DIR [seconds] [threads] [dtype]
local mil = require "mil"
local minilm = dofile((arg[0]:match "^(.*/)" or "") .. "../graphs/models/minilm.lua")

local directory, seconds, threads, dtype = arg[1], tonumber(arg[2] or 1), tonumber(arg[3] or 1), arg[4] or "fp32"
local weights = mil.weights(directory .. "/model.safetensors")
local T = 128
local model = minilm.graph(weights, 1, T, dtype):compile { engine = "cpu", threads = threads }
local ids = {}
for i = 1, T do ids[i] = 1000 + i * 7 end
local inputs = minilm.batch({ ids }, T, dtype)
local out = mil.zeros(dtype, { 1, minilm.size })
local step = model:bind { ids = inputs.ids, mask = inputs.mask, embedding = out }

-- this process's own time; with threads, the wall clock's
local times = require("mil.timing").of(step, { seconds = seconds, clock = threads == 1 and os.clock or nil })
local peak = 0
local status = io.open "/proc/self/status"
if status then
  peak = tonumber(status:read("*a"):match "VmHWM:%s*(%d+)") * 1024
  status:close()
end
print(("%.3f %.3f %d"):format(times.median * 1e3, times.min * 1e3, peak))

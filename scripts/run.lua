-- SPDX-License-Identifier: MIT
-- luamil run: runs a model on tensors from files; its outputs are printed or written to files.

local options = require "mil.options"

local command = {
  name = "run",
  arguments = "MODEL",
  summary = "run a model on tensors from files",
  description = "MODEL is a program in MIL text (.mil). Outputs are printed, or written to DIR/NAME.npy with --output-dir.",
  options = {
    { "--input", "NAME=FILE", "tensor of the input NAME: npy, or NAME's in an npz or safetensors", many = true },
    { "--random", "SEED", "random tensors for inputs that no --input gives; SEED 0 unless given", optional = true,
      number = true },
    { "--output-dir", "DIR", "write each output to DIR/NAME.npy" },
    { "--function", "NAME", "the function to run; main unless given" },
    { "--engine", "NAME", "the engine; the best there is unless given" },
    { "--threads", "N", "threads of the cpu engine; 0: as many as processors", number = true },
    { "--precision", "default|strict", "strict rounds at every op" },
    { "--optimize", "N", "0: no passes and no fusion", number = true },
    { "--repeat", "N", "run N times and print the times", number = true },
    { "--json", "print the times as JSON instead of the outputs" },
  },
}

-- "x=file" -> tensors.x; a file of several tensors must have one of that name.
local function read_inputs(mil, list)
  local tensors = {}
  for _, text in ipairs(list or {}) do
    local name, path = text:match "^([^=]+)=(.+)$"
    if not name then options.usage("--input takes NAME=FILE, but was given %s", text) end
    if tensors[name] then options.usage("--input gives %s twice", name) end
    tensors[name] = path:match "%.npy$" and mil.load_tensor(path) or mil.weights(path)[name]
  end
  return tensors
end

-- A random tensor for a port: normal for floats, 0 and 1 for the rest, which any vocabulary or mask has.
local function random_tensor(mil, port)
  local shape = {}
  for i, extent in ipairs(port.shape) do shape[i] = type(extent) == "number" and extent > 0 and extent or 1 end
  if port.dtype:match "^fp" then return mil.randn(port.dtype, shape) end
  return mil.rand("fp32", shape):map(function(x) return x < 0.5 and 0 or 1 end):to(port.dtype)
end

local function fill_inputs(mil, model, tensors, seed)
  local missing, names = {}, {}
  if seed then mil.seed(seed) end
  for i, port in ipairs(model:inputs()) do names[i], names[port.name] = port.name, true end
  for name in pairs(tensors) do
    if not names[name] then error(("no input %s; the model takes %s"):format(name, table.concat(names, ", ")), 0) end
  end
  for _, port in ipairs(model:inputs()) do
    if not tensors[port.name] then
      if seed then tensors[port.name] = random_tensor(mil, port) else missing[#missing + 1] = port.name end
    end
  end
  if #missing > 0 then
    error(("no --input for %s (--random makes one up)"):format(table.concat(missing, ", ")), 0)
  end
end

local function timed(n, run)
  local system, times, result = require "mil.system", {}, nil
  for i = 1, n do
    local start = system.now()
    result = run()
    times[i] = (system.now() - start) * 1e3
  end
  table.sort(times)
  local half = math.floor((n + 1) / 2)
  local median = n % 2 == 1 and times[half] or (times[half] + times[half + 1]) / 2
  return result, median, times[1]
end

local function put_outputs(model, outputs, folder, quiet)
  local system = require "mil.system"
  if folder then
    local made, reason = system.mkdir(folder)
    if not made then error("cannot make " .. reason, 0) end
  end
  for _, port in ipairs(model:outputs()) do
    local name = port.name
    if folder then
      outputs[name]:save(("%s/%s.npy"):format(folder, (name:gsub("/", "_"))))
    elseif not quiet then
      print(name .. " : " .. tostring(outputs[name]))
    end
  end
end

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one model, but was given %d", #arguments) end
  local times = given["repeat"] or 1
  if times < 1 or times % 1 ~= 0 then options.usage("--repeat takes a whole number from 1, but was given %s", times) end
  local mil, system = require "mil", require "mil.system"
  mil.width = system.width() or mil.width
  local tensors = read_inputs(mil, given.input)
  local program = mil.load(arguments[1])
  local start = system.now()
  local model = program:compile {
    engine = given.engine, entry = given["function"], threads = given.threads, precision = given.precision,
    optimize = given.optimize,
  }
  local compile_ms = (system.now() - start) * 1e3
  fill_inputs(mil, model, tensors, given.random == true and 0 or given.random)
  local outputs, median, least = timed(times, function() return model:run(tensors) end)
  put_outputs(model, outputs, given.output_dir, given.json)
  if given.json then
    print(('{"median_ms": %.6g, "min_ms": %.6g, "compile_ms": %.6g, "peak_bytes": %.0f}'):format(median, least,
      compile_ms, system.peak_bytes()))
  elseif given["repeat"] then
    print(("median %.3g ms, least %.3g ms of %d runs; compiled in %.3g ms"):format(median, least, times, compile_ms))
  end
  return 0
end

return command

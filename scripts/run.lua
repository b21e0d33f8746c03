-- SPDX-License-Identifier: MIT
-- luamil run: runs a model on tensors from files; its outputs are printed or written to files.

local options = require "mil.options"

local command = {
  name = "run",
  arguments = "MODEL",
  summary = "run a model on tensors from files",
  description = [[
MODEL is a Core ML package (.mlpackage), a compiled bundle (.mlmodelc) or a program in MIL text (.mil). Its outputs are
printed, or written with --output-dir or --output. States are zeros before the first run, and are kept from run to run.
--json prints, after --repeat N runs (1 unless given),
  {"median_ms": .., "min_ms": .., "compile_ms": .., "peak_bytes": ..}
where peak_bytes is the most memory that the process has had resident, pages of mapped weights included.]],
  options = {
    { "--output-dir", "DIR", "write each output to DIR/NAME.npy" },
    { "--output", "FILE", "write all outputs to one npz or safetensors file", short = "-o" },
    { "--keep", "NAME,..", "give these intermediate values too", many = true },
    { "--function", "NAME", "the function to run; the package's default, main or the only one unless given" },
    { "--repeat", "N", "run N times and print the times", number = true },
    { "--json", "print the times as JSON instead of the outputs" },
    { "--quiet", "no progress on a terminal" },
  },
}
for i, row in ipairs(require("mil.engines").rows) do table.insert(command.options, 4 + i, row) end
for i, row in ipairs(require("mil.inputs").options) do table.insert(command.options, i, row) end

-- ---- intermediate values ----

-- The names of results of the function's own body; and for each name in the blocks of a loop or branch, the innermost of these.
local function names_of(f)
  local names, holder, is_nested = {}, {}, {}
  for _, operation in ipairs(f:operations()) do
    for _, value in ipairs(is_nested[operation.id] and {} or operation.outputs) do names[#names + 1] = value.name end
    for _, block in ipairs(operation.blocks) do
      for _, value in ipairs(block.inputs) do holder[value.name] = operation end
      for _, inner in ipairs(block:operations()) do
        is_nested[inner.id] = true
        for _, value in ipairs(inner.outputs) do holder[value.name] = operation end
      end
    end
  end
  return names, holder
end

local function find(f, name)
  local value = f:find(name)
  if value then return value end
  local names, holder = names_of(f)
  local outer = holder[name]
  if outer then
    error(("--keep: %s is inside of %s; only results of the function's own body can be kept"):format(name,
      outer.name and outer.type .. " " .. outer.name or "a " .. outer.type), 0)
  end
  local near = require("mil").nearest(name, names)
  error(("--keep: no value %s%s"):format(name, near and "; did you mean " .. near .. "?" or ""), 0)
end

-- Makes the values outputs. Those that are known without a run come back by name.
local function keep(f, lists, tensors)
  local known, is_output = {}, {}
  for _, value in ipairs(f.outputs) do is_output[value.name] = true end
  for _, list in ipairs(lists or {}) do
    for name in list:gmatch "[^,]+" do
      local value = find(f, name)
      local constant = not value.op and tensors[name] or value.data
      if constant then
        known[name] = constant
      elseif not is_output[name] then
        f:output(name, value)
        is_output[name] = true
      end
    end
  end
  return known
end

-- ---- outputs ----

-- A classifier's probabilities are written as a tensor, in the order of its labels; its label, which has no place in such
-- files, is shown.
local function tensors_of(outputs)
  local tensors = {}
  for name, output in pairs(outputs) do
    local is_dictionary = type(output) == "userdata" and getmetatable(output) == "mil.dictionary"
    if type(output) == "userdata" then tensors[name] = is_dictionary and output:tensor() or output end
  end
  return tensors
end

local function write(outputs, names, given)
  local mil, system = require "mil", require "mil.system"
  local tensors = tensors_of(outputs)
  for _, name in ipairs(names) do
    if not tensors[name] then print(name .. " : " .. tostring(outputs[name])) end
  end
  if given.output then mil.save(given.output, tensors) end
  if not given.output_dir then return end
  local made, reason = system.mkdir(given.output_dir)
  if not made then error("cannot make " .. reason, 0) end
  for name, tensor in pairs(tensors) do
    tensor:save(("%s/%s.npy"):format(given.output_dir, (name:gsub("/", "_"))))
  end
end

local function put_outputs(f, outputs, known, given)
  local names = {}
  for i, value in ipairs(f.outputs) do names[i] = value.name end
  for name, tensor in pairs(known) do
    if not outputs[name] then names[#names + 1], outputs[name] = name, tensor end
  end
  if given.output or given.output_dir then return write(outputs, names, given) end
  if given.json then return end
  for _, name in ipairs(names) do print(name .. " : " .. tostring(outputs[name])) end
end

-- Where the model was cut for the engines.
local function put_cut(model)
  local text = model:describe():match "^(.-\n)\n" or ""
  io.stderr:write((text:gsub("^to be verified[^\n]*\n", "")))
end

-- What the model tells of itself beside its outputs: whether it agreed with the cpu engine, the engine's own clock.
local function put_findings(model, chosen)
  local text = model:describe()
  if chosen.verify then io.stderr:write(text:match "^[^\n]*", "\n") end
  if not chosen.counters then return end
  local clock = {}
  for line in text:gmatch "counters: [^\n]*" do clock[#clock + 1] = line .. "\n" end
  io.stderr:write(#clock > 0 and table.concat(clock) or "counters: the engine has given no time\n")
end

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one model, but was given %d", #arguments) end
  options.check_count(given, "repeat")
  local chosen = require("mil.engines").chosen(given)
  local mil, system, inputs = require "mil", require "mil.system", require "mil.inputs"
  mil.width = system.width() or mil.width
  local f = inputs.entry(require("mil.progress").load(arguments[1], given.quiet), given["function"])
  local tensors = inputs.read(f, given)
  if chosen.engine == "ane" then inputs.fix(f, given.shape, tensors) end
  local known = keep(f, given.keep, tensors)
  local line = require("mil.progress").new(given.quiet)
  local start = system.now()
  chosen.progress = line.report
  local model = f:compile(chosen)
  line.clear()
  local compile_ms = (system.now() - start) * 1e3
  if given.fallback and not given.quiet then put_cut(model) end
  local state = #model:states() > 0 and { state = model:state() } or nil
  local times, outputs = require("mil.timing").of(function() return model:run(tensors, state) end, { runs = given["repeat"] or 1 })
  local median, least = times.median * 1e3, times.min * 1e3
  put_outputs(f, outputs, known, given)
  if not given.quiet then put_findings(model, chosen) end
  if given.json then
    print(('{"median_ms": %.6g, "min_ms": %.6g, "compile_ms": %.6g, "peak_bytes": %.0f}'):format(median, least,
      compile_ms, system.peak_bytes()))
  elseif given["repeat"] then
    print(("median %.3g ms, least %.3g ms of %d runs; compiled in %.3g ms"):format(median, least, times.runs, compile_ms))
  end
  return 0
end

return command

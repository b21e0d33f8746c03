-- SPDX-License-Identifier: MIT
-- luamil compare: one model on several engines: how far their outputs are apart, how long a run takes.

local options = require "mil.options"

local command = {
  name = "compare",
  arguments = "MODEL",
  summary = "a model on several engines: how far their outputs are apart, and times",
  description = [[
The first engine is the one that the others are compared with: cpu:strict, and then every engine there is, unless --engine names them.
Of each output: the element that is furthest off, where, and the relative error of the whole, the root of sum (a - b)^2 / sum b^2.
The exit status is 0 where all is within the tolerance, 1 where something is not, 2 where there was trouble.]],
  options = {
    { "--engine", "NAME,..", "engines; cpu:strict rounds at every op, ane:ROUTE, coreml:UNITS", many = true },
    { "--tolerance", "T", "outputs part beyond T * max(1, |value|); 1e-5, and 2e-3 for fp16 and for ane and coreml, unless given", number = true },
    { "--repeat", "N", "time N runs; as many as take 0.2 s unless given", number = true },
    { "--function", "NAME", "the function to run; the package's default, main or the only one unless given" },
    { "--threads", "N", "threads of the cpu engine; 0: as many as processors", number = true },
    { "--json", "as JSON" },
    { "--quiet", "no progress on a terminal" },
  },
  failed = 2,
}
for i, row in ipairs(require("mil.inputs").options) do table.insert(command.options, i, row) end

-- ---- running ----

-- What one engine gives: {outputs =, times =, compile =} or {failed = reason}; an interrupt goes through.
local function try(engine, f, tensors, given, line)
  local errors, timing, engines, system = require "mil.errors", require "mil.timing", require "mil.engines", require "mil.system"
  local is_done, result = pcall(function()
    local start = system.now()
    local model = engines.compile(engine, f, { threads = given.threads, progress = line.report })
    local compiled = system.now() - start
    local state = #model:states() > 0 and { state = model:state() } or nil
    local outputs = model:run(tensors, state) -- the first, from a state of zeros, is what is compared
    local times = timing.of(function() model:run(tensors, state) end, {
      runs = given["repeat"], seconds = 0.2, each = function(part) line.report("timing " .. engine.label, part) end,
    })
    model:unload()
    return { outputs = outputs, times = times, compile = compiled }
  end)
  line.clear()
  if is_done then return result end
  if errors.is_interrupt(result) then error(result, 0) end
  local object = errors.object_of(result)
  return { failed = type(object) == "table" and object.message or tostring(result) }
end

-- ---- comparing ----

local function tensor_of(output)
  if type(output) ~= "userdata" then return nil end
  return getmetatable(output) == "mil.dictionary" and output:tensor() or output
end

local function is_one_shape(a, b) return table.concat(a.shape, ",") == table.concat(b.shape, ",") end

-- The strings of nested tables as one.
local function joined(strings)
  if type(strings) ~= "table" then return strings end
  local parts = {}
  for i, part in ipairs(strings) do parts[i] = joined(part) end
  return table.concat(parts, "\0")
end

-- How an output differs: {is_within =, text =} and the numbers of t:distance.
local function difference(was, is, tolerance)
  local a, b = tensor_of(is), tensor_of(was)
  if not a or not b or a.dtype == "string" then
    local same = is == was or (a ~= nil and joined(a:table()) == joined(b:table()))
    return { is_within = same, text = same and "equal" or not a and ("%s, not %s"):format(is, was) or "other strings" }
  end
  if not is_one_shape(a, b) then
    return { is_within = false, text = ("shape [%s], not [%s]"):format(table.concat(a.shape, ", "), table.concat(b.shape, ", ")) }
  end
  local row = a:distance(b)
  row.elements, row.is_within = a:numel(), a:close(b, tolerance)
  row.text = row.unequal == 0 and "equal" or ("off by %.3g at [%s] (%.6g, not %.6g), relative %.3g, %d of %d unequal"):format(
    row.largest, table.concat(row.at, ", "), row.is, row.should, row.relative, row.unequal, row.elements)
  return row
end

-- What computes in fp16 whatever the program says is held to what fp16 can do.
local function tolerance_of(engine) return engine.name ~= "cpu" and engine.options.units ~= "cpu" and 2e-3 or nil end

-- "fp32[1, 9]": an output's type with the sizes that it had.
local function type_of(value, output)
  local is_plain = type(output) ~= "userdata" or getmetatable(output) == "mil.dictionary" or #output.shape == 0
  return is_plain and value.type.text or ("%s[%s]"):format(output.dtype, table.concat(output.shape, ", "))
end

local function differences(f, reference, result, tolerance)
  local rows = {}
  for i, value in ipairs(f.outputs) do
    local row = difference(reference.outputs[value.name], result.outputs[value.name], tolerance)
    row.name, row.type = value.name, type_of(value, result.outputs[value.name])
    rows[i] = row
  end
  return rows
end

-- ---- telling ----

local function print_text(engines)
  local units = require "mil.units"
  local cells = {}
  for i, engine in ipairs(engines) do
    local times = engine.times
    cells[i] = times and { engine.label, units.time(times.median), "least " .. units.time(times.min), "p95 " .. units.time(times.p95),
      times.runs .. " runs", "compiled in " .. units.time(engine.compile) } or { engine.label }
  end
  local lines = units.columns(cells, { [2] = true })
  for i, engine in ipairs(engines) do
    local reason = engine.missing and "not here: " .. engine.missing or engine.failed
    print(reason and engine.label .. "  " .. reason or lines[i])
    for _, row in ipairs(engine.differences or {}) do
      print(("  %s %s %s: %s"):format(row.is_within and " " or "~", row.name, row.type, row.text))
    end
  end
end

local function number(x) return x == x and math.abs(x) < math.huge and x or tostring(x) end -- JSON has neither NaN nor infinity

local function print_json(engines)
  local json = require "mil.json"
  local list = {}
  for i, engine in ipairs(engines) do
    local times, outputs = engine.times, {}
    for k, row in ipairs(engine.differences or {}) do
      outputs[k] = { name = row.name, type = row.type, within = row.is_within, text = row.text, unequal = row.unequal, elements = row.elements,
        largest = row.largest and number(row.largest), relative = row.relative and number(row.relative) }
      if row.unequal and row.unequal > 0 then
        outputs[k].at, outputs[k].is, outputs[k].should = json.array(row.at), number(row.is), number(row.should)
      end
    end
    list[i] = { engine = engine.label, missing = engine.missing, error = engine.failed, outputs = engine.differences and json.array(outputs) }
    if times then
      list[i].median_ms, list[i].min_ms, list[i].p95_ms, list[i].runs = times.median * 1e3, times.min * 1e3, times.p95 * 1e3, times.runs
      list[i].compile_ms = engine.compile * 1e3
    end
  end
  print(json.encode { reference = engines[1].label, engines = json.array(list) })
end

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one model, but was given %d", #arguments) end
  options.check_count(given, "repeat")
  local inputs, engines = require "mil.inputs", require "mil.engines"
  local list = engines.of(given.engine)
  if not given.engine then table.insert(list, 1, engines.one "cpu:strict") end
  if #list < 2 then options.usage "--engine takes two engines or more" end
  local f = inputs.entry(require("mil.progress").load(arguments[1], given.quiet), given["function"])
  local tensors = inputs.read(f, given)
  for _, engine in ipairs(list) do
    if engine.name == "ane" and not engine.missing then inputs.fix(f, given.shape, tensors) end
  end
  local line, status = require("mil.progress").new(given.quiet), 0
  for i, engine in ipairs(list) do
    if not engine.missing then
      for key, value in pairs(try(engine, f, tensors, given, line)) do engine[key] = value end
    end
    if engine.outputs and i > 1 and list[1].outputs then engine.differences = differences(f, list[1], engine, given.tolerance or tolerance_of(engine)) end
    for _, row in ipairs(engine.differences or {}) do
      if not row.is_within then status = math.max(status, 1) end
    end
    if engine.failed or (engine.missing and (given.engine or i == 1)) then status = 2 end
  end
  if given.json then print_json(list) else print_text(list) end
  return status
end

return command

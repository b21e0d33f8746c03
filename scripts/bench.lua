-- SPDX-License-Identifier: MIT
-- luamil bench: matrix products, convolutions, attention and models, on every engine there is.

local options = require "mil.options"

local command = {
  name = "bench",
  arguments = "[matmul | packed | conv | attention | published | MODEL]..",
  summary = "how fast are the engines here? Products, convolutions, attention, a model",
  description = [[
Of each size and engine: the median, the least and the 95th percentile of the times of a run, GFLOP/s (a multiplication and its addition are
2), GB/s (inputs, outputs and weights once each), and the error against the result in double precision from the same rounded inputs:
the largest difference, and the root of sum (a - b)^2 / sum b^2; where the whole result would be too dear, of elements spread over it.
A dispatch is a run that has almost nothing to compute. Unless told: matmul, conv and attention.
  matmul     MxKxN            two inputs
  packed     KxNxM            the same, in one port
  conv       [D*]CxHxW[kS]    D convolutions of C channels over H x W, kernel S x S
  attention  HxSxE            heads, tokens, features a head
  published  the sizes of which others published figures for the Neural Engine, and those figures
A MODEL's error is, where it computes in fp16, against the same program in fp32, else against the cpu engine, strict and unoptimised.]],
  options = {
    { "--size", "SIZE,..", "these sizes, of the one kind that is named", many = true },
    { "--engine", "NAME,..", "engines; cpu:strict rounds at every op, ane:ROUTE, coreml:UNITS; unless given, every one there is", many = true },
    { "--dtype", "fp16|fp32", "of matmul, conv and attention; fp16 unless given" },
    { "--threads", "N", "threads of the cpu engine; as many as processors unless given", number = true },
    { "--seconds", "S", "for each row; 0.3 unless given", number = true },
    { "--input", "NAME=FILE", "the tensor of a model's input; random unless given", many = true },
    { "--shape", "NAME=N,N,..", "the shape of a model's random input, where it may vary", many = true },
    { "--function", "NAME", "the function of a model" },
    { "--json", "as JSON" },
    { "--plot", "FILE", "GFLOP/s over FLOPs as a picture, svg" },
    { "--quiet", "no progress on a terminal" },
  },
}

-- ---- what to run ----

local function sizes_given(given)
  if not given.size then return nil end
  local sizes = {}
  for _, list in ipairs(given.size) do
    for size in list:gmatch "[^,]+" do sizes[#sizes + 1] = size end
  end
  if #sizes == 0 then options.usage "--size takes sizes" end
  return sizes
end

-- Functions that make a workload each, so that only one is in memory; what is wrong with a size is found before anything runs.
local function plan(given, words)
  local workloads, bench = require "mil.workloads", require "mil.bench"
  local makers, sizes, dtype = {}, sizes_given(given), given.dtype or "fp16"
  if dtype ~= "fp16" and dtype ~= "fp32" then options.usage("--dtype is fp16 or fp32, but was given %s", dtype) end
  if #words == 0 then words = { "matmul", "conv", "attention" } end
  if sizes and (#words ~= 1 or not workloads.is_kind(words[1])) then options.usage("--size takes one of %s", table.concat(workloads.kinds, ", ")) end
  local function add(what, size)
    workloads.check_size(what, size)
    makers[#makers + 1] = function() return workloads.make(what, size, dtype) end
  end
  for _, word in ipairs(words) do
    if word == "published" then
      for _, pair in ipairs(bench.published_sizes()) do add(pair[1], pair[2]) end
    elseif workloads.is_kind(word) then
      for _, size in ipairs(sizes or workloads.usual[word]) do add(word, size) end
    elseif word:find "[./]" then
      makers[#makers + 1] = function() return workloads.model(word, given) end
    else
      local near = require("mil").nearest(word, { "matmul", "packed", "conv", "attention", "published" })
      options.usage("takes kinds and models, but was given %s%s", word, near and "; did you mean " .. near .. "?" or "")
    end
  end
  return makers
end

local function measure_all(list, makers, given, put)
  local bench = require "mil.bench"
  local line = require("mil.progress").new(given.quiet)
  local function measure(work, engine, done)
    if engine.missing then return { failed = "not here: " .. engine.missing } end
    local function report(stage, part) line.report(("%d of %d: %s %s on %s: %s"):format(done, #makers, work.what, work.size, engine.label, stage), part) end
    local row = bench.measure(work, engine, { threads = given.threads, seconds = given.seconds, report = report })
    line.clear()
    return row
  end
  local result = { dispatch = {}, works = {} }
  local tiny = bench.dispatch()
  for i, engine in ipairs(list) do result.dispatch[i] = measure(tiny, engine, 0) end
  put(result)
  for number, make in ipairs(makers) do
    local work, rows = make(), {}
    for i, engine in ipairs(list) do
      if not engine.missing then rows[#rows + 1], rows[engine.label] = engine, measure(work, engine, number) end
    end
    local kept = { what = work.what, size = work.size, dtype = work.dtype, flops = work.flops, bytes = work.bytes, engines = rows,
      published = bench.published_of(work) }
    result.works[number] = kept
    put(kept)
  end
  return result
end

-- ---- as text ----

local function error_text(e)
  if not e then return "" end
  local part = e.seen < e.total and (" (%d of %d elements)"):format(e.seen, e.total) or ""
  local far = not (e.relative < 0.1) and "far off: " or ""
  return ("%s%.3g, %.2g%s%s"):format(far, e.largest, e.relative, part, e.against == "fp64" and "" or " against " .. e.against)
end

local function rate(x) return (x < 1000 and "%.4g" or "%.0f"):format(x) end

local function put_head(list, result)
  local units = require "mil.units"
  for i, engine in ipairs(list) do
    local row = result.dispatch[i]
    print(engine.missing and ("%s: %s"):format(engine.label, row.failed) or ("%s: %s, a dispatch %s"):format(engine.label,
      require("mil").engine(engine.name), row.failed or units.time(row.median) .. ", least " .. units.time(row.min)))
  end
end

local function put_work(work)
  local units = require "mil.units"
  print(("\n%s: %sFLOPs, %s"):format(table.concat({ work.what, work.size ~= "" and work.size or nil, work.dtype }, " "), units.count(work.flops) .. " ",
    units.bytes(work.bytes)))
  local cells, failed = { { "", "median", "least", "p95", "GFLOP/s", "GB/s", "error: largest, relative" } }, {}
  for _, engine in ipairs(work.engines) do
    local row = work.engines[engine.label]
    if row.failed then
      failed[#failed + 1] = ("  %s: %s"):format(engine.label, row.failed)
    else
      cells[#cells + 1] = { "  " .. engine.label, units.time(row.median), units.time(row.min), units.time(row.p95), rate(work.flops / row.median / 1e9),
        ("%.3g"):format(work.bytes / row.median / 1e9), error_text(row.error) }
    end
  end
  for _, row in ipairs(work.published) do
    cells[#cells + 1] = { "  " .. row.chip, units.time(row.us / 1e6), "", "", rate(row.gflops), ("%.3g"):format(work.bytes / row.us / 1e3),
      "published: " .. row.source .. (row.ours and "; " .. row.ours .. " is our choice" or "") }
  end
  local right = { [2] = true, [3] = true, [4] = true, [5] = true, [6] = true }
  if #cells > 1 then print(table.concat(units.columns(cells, right), "\n")) end
  for _, text in ipairs(failed) do print(text) end
  io.stdout:flush()
end

-- ---- as JSON, as a picture ----

local function number(x) return x == x and math.abs(x) < math.huge and x or tostring(x) end -- JSON has neither NaN nor infinity

local function json_row(label, row, work)
  local copy = { engine = label, failed = row.failed }
  if row.failed then return copy end
  copy.runs, copy.compile_ms = row.runs, row.compile * 1e3
  copy.min_us, copy.median_us, copy.p95_us = row.min * 1e6, row.median * 1e6, row.p95 * 1e6
  if work.flops then copy.gflops, copy.gbytes = work.flops / row.median / 1e9, work.bytes / row.median / 1e9 end
  if row.error then
    copy.error = { largest = number(row.error.largest), relative = number(row.error.relative), elements = row.error.seen, of = row.error.total,
      against = row.error.against }
  end
  return copy
end

local function put_json(list, result)
  local json, mil = require "mil.json", require "mil"
  local engines, works = json.array {}, json.array {}
  for i, engine in ipairs(list) do
    engines[i] = { engine = engine.label, missing = engine.missing, about = not engine.missing and mil.engine(engine.name) or nil,
      dispatch = not engine.missing and json_row(engine.label, result.dispatch[i], {}) or nil }
  end
  for i, work in ipairs(result.works) do
    local rows = json.array {}
    for k, engine in ipairs(work.engines) do rows[k] = json_row(engine.label, work.engines[engine.label], work) end
    works[i] = { what = work.what, size = work.size, dtype = work.dtype, flops = work.flops, bytes = work.bytes, engines = rows,
      published = json.array(work.published) }
  end
  print(json.encode { luamil = mil.version, engines = engines, works = works, machine = require("mil.system").machine() })
end

local function picture(result)
  local series, by_name = { title = "luamil bench", x = "FLOPs a run", y = "GFLOP/s" }, {}
  local function add(name, is_loose, x, y)
    by_name[name] = by_name[name] or { name = name, is_loose = is_loose }
    if #by_name[name] == 0 then series[#series + 1] = by_name[name] end
    table.insert(by_name[name], { x, y })
  end
  for _, work in ipairs(result.works) do
    for _, engine in ipairs(work.engines) do
      local row = work.engines[engine.label]
      if not row.failed then add(work.what .. ", " .. engine.label, false, work.flops, work.flops / row.median / 1e9) end
    end
    for _, row in ipairs(work.published) do add(work.what .. ", " .. row.chip .. " (published)", true, work.flops, row.gflops) end
  end
  return require("mil.plot").svg(series)
end

function command.main(given, arguments)
  if given.seconds and not (given.seconds > 0) then options.usage("--seconds takes a number above 0, but was given %s", given.seconds) end
  local makers = plan(given, arguments)
  require("mil.errors").check_place(given.plot)
  local list = require("mil.engines").of(given.engine)
  local result = measure_all(list, makers, given, function(part)
    if given.json then return end
    if part.works then put_head(list, part) else put_work(part) end
  end)
  if given.json then put_json(list, result) end
  if given.plot then require("mil.errors").put(given.plot, picture(result)) end
  for i, engine in ipairs(list) do
    if given.engine and (engine.missing or result.dispatch[i].failed) then return 1 end
  end
  for _, work in ipairs(result.works) do
    for _, engine in ipairs(work.engines) do
      if work.engines[engine.label].failed then return 1 end
    end
  end
  return 0
end

return command

-- SPDX-License-Identifier: MIT
-- luamil bench: what its workloads should give, what it measures and prints, its picture.
local mil = require "mil"
local json = require "mil.json"
local bench = require "mil.bench"
local engines = require "mil.engines"
local plot = require "mil.plot"
local workloads = require "mil.workloads"
local luamil = dofile "tests/spec/luamil.lua"

local small = { matmul = { "5x7x3", 2 * 5 * 7 * 3, 5 * 7 + 7 * 3 + 5 * 3 }, packed = { "8x4x6", 2 * 8 * 4 * 6, 8 * 10 + 24 },
  conv = { "4x3x5k3", 2 * 60 * 36, 120 + 144 }, attention = { "2x3x4", 2 * 9 * (16 + 4), 4 * 24 } }

-- Does each tag end where it should? Gives the names of the elements.
local function elements(svg)
  local open, names = {}, {}
  for slash, name, rest in svg:gmatch "<(/?)(%a+)([^<>]*)>" do
    if slash == "/" then
      assert.equal(name, table.remove(open))
    else
      names[#names + 1] = name
      local left = rest:gsub('%s[%w:-]+="[^"<]*"', "")
      assert.truthy(left == "" or left == "/", name .. rest)
      if left == "" then open[#open + 1] = name end
    end
  end
  assert.equal(0, #open)
  return names
end

describe("mil.workloads", function()
  for kind, about in pairs(small) do
    it("knows what " .. kind .. " should give", function()
      for _, dtype in ipairs { "fp32", "fp16" } do
        local work = workloads.make(kind, about[1], dtype)
        local out = work.func:compile({ engine = "cpu", precision = "strict" }):run(work.inputs)
        local found = work.check(out)
        local eps = work.dtype == "fp32" and 1e-6 or 2e-3
        assert.truthy(found.largest < 4 * eps and found.relative < eps, kind .. " " .. found.largest)
        assert.same({ out.y:numel(), out.y:numel(), "fp64" }, { found.seen, found.total, found.against })
        assert.equal(about[2], work.flops)
        assert.equal(about[3] * (work.dtype == "fp32" and 4 or 2), work.bytes)
        local last = {}
        for axis, n in ipairs(out.y.shape) do last[axis] = n end
        last[#last + 1] = out.y:get((table.unpack or unpack)(last)) + 2
        out.y:set((table.unpack or unpack)(last))
        found = work.check(out)
        assert.truthy(math.abs(found.largest - 2) < 0.01 and found.relative > 0.01)
      end
    end)
  end

  it("stacks convolutions, each with other weights", function()
    local work = workloads.make("conv", "3*8x1x4", "fp32")
    assert.equal(3 * 2 * 8 * 8 * 4, work.flops)
    assert.equal(4 * (3 * 64 + 2 * 32), work.bytes)
    local out = work.func:compile({ engine = "cpu" }):run(work.inputs)
    assert.truthy(work.check(out).relative < 1e-5)
    local weights = {}
    for operation in work.func:operations(function(o) return o.type == "conv" end) do weights[#weights + 1] = operation.args.weight.data end
    assert.is_false((weights[1]:close(weights[2])))
  end)

  it("compares a model of fp16 with the same in fp32", function()
    local path = luamil.path "half.mlpackage"
    local f = mil.func { opset = "ios18" }
    local x = f:input("x", "fp16", { 4, 64 })
    local weight = f:constexpr_blockwise_shift_scale { data = mil.rand("fp32", { 8, 64 }, { seed = 1 }):map(function(v) return math.floor(v * 15) - 7 end):to "int4",
      scale = mil.tensor("fp16", { { 0.1 } }):reshape { 1, 1 } }
    local parts = { x:linear { weight = weight }:softmax { axis = -1 }:split { num_splits = 2, axis = 1 } }
    f:output("y", f:concat { values = { parts[2], parts[1] * 0.3 }, axis = 1 })
    f:output("z", x:cast { dtype = "fp32" }:cast { dtype = "fp16" })
    f:save(path)
    local work = workloads.model(path, { quiet = true })
    local found = work.check(work.func:compile({ engine = "cpu", precision = "strict" }):run(work.inputs))
    assert.same({ "fp32", 4 * 8 + 4 * 64 }, { found.against, found.seen })
    assert.truthy(found.largest > 1e-6 and found.largest < 1e-3 and found.relative < 1e-2)
    work = workloads.model("tests/vectors/packages/conv.mlpackage", { quiet = true })
    assert.equal("cpu:strict", work.check(work.func:compile():run(work.inputs)).against)
  end)

  it("looks at a sample of what is large", function()
    local work = workloads.make("matmul", "512x512x512", "fp16")
    local found = work.check(work.func:compile({ engine = "cpu" }):run(work.inputs))
    assert.same({ 8192, 262144 }, { found.seen, found.total })
    assert.truthy(found.relative < 1e-3)
  end)
end)

describe("mil.bench", function()
  it("measures, or says why not", function()
    local work = workloads.make("matmul", "8x8x8", "fp32")
    local row = bench.measure(work, engines.one "cpu", { seconds = 0.01 })
    assert.truthy(row.runs >= 3 and row.min > 0 and row.min <= row.median and row.median <= row.p95 and row.compile > 0)
    assert.truthy(row.error.relative < 1e-6)
    assert.truthy(bench.measure(work, engines.one "cpu:sloppy", {}).failed:find("precision", 1, true))
  end)

  it("has published figures whose sizes can be made", function()
    for _, row in ipairs(bench.published) do
      workloads.check_size(row.what, row.size)
      assert.truthy((row.us or row.tflops) and row.chip and row.source)
    end
    local list = bench.published_of { what = "packed", size = "1024x1024x256", flops = 2 * 1024 * 1024 * 256 }
    assert.truthy(#list == 1 and math.abs(list[1].gflops - 1617) < 1) -- rane says 1.619 TFLOPS
    list = bench.published_of { what = "conv", size = "128*512x64x64", flops = 128 * 2 * 512 * 512 * 4096 }
    assert.truthy(#list == 1 and math.abs(list[1].gflops - 18573) < 1) -- and maderix 18.6
  end)
end)

describe("mil.plot", function()
  it("is XML, with a mark for each point and for each name", function()
    local svg = plot.svg { title = 'a & "b"', x = "<x>", y = "y", { name = "line", { 10, 1 }, { 2000, 30 } },
      { name = "more", { 1, 1e-5 } }, { name = "loose", is_loose = true, { 5, 2 }, { 50, 0 }, { 7, math.huge } } }
    local count = {}
    for _, name in ipairs(elements(svg)) do count[name] = (count[name] or 0) + 1 end
    assert.same({ 3, 1, 2 }, { count.circle, count.polyline, count.path }) -- a point that has no logarithm has no place
    assert.truthy(svg:find("a &amp; &quot;b&quot;", 1, true) and svg:find("&lt;x&gt;", 1, true) and svg:find(">1 k<", 1, true) and svg:find(">1e-5<", 1, true))
    elements(plot.svg { title = "", x = "", y = "" })
  end)
end)

describe("luamil bench", function()
  teardown(luamil.remove)

  it("prints a table for each size", function()
    local status, out, err = luamil "bench conv --size 8x4x4,2*8x1x16 --engine cpu,cpu:strict --seconds 0.01"
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:find "^cpu: cpu %(.-%), a dispatch [%d.]+ [mu]s, least [%d.]+ [mu]s\ncpu:strict: ")
    assert.truthy(out:find "\n\nconv 8x4x4 fp16: 2.05 k FLOPs, 640 bytes\n +median +least +p95 +GFLOP/s +GB/s +error: largest, relative\n  cpu +%S+ [mu]s")
    assert.truthy(out:find("\n\nconv 2*8x1x16 fp16: 4.1 k FLOPs", 1, true), out)
  end)

  it("has JSON and a picture", function()
    local path = luamil.path "b.svg"
    local status, out = luamil("bench matmul --dtype fp32 --size 8x8x8,16x16x16 --engine cpu --seconds 0.01 --json --plot " .. path)
    local report = json.decode(out)
    assert.same({ 0, 2, "cpu", "matmul", "8x8x8", "fp32", 1024 }, { status, #report.works, report.engines[1].engine, report.works[1].what,
      report.works[1].size, report.works[1].dtype, report.works[1].flops })
    local row = report.works[2].engines[1]
    assert.truthy(row.min_us <= row.median_us and row.median_us <= row.p95_us and row.error.relative < 1e-6 and row.gflops > 0 and row.gbytes > 0)
    assert.same({ 256, 256, "fp64" }, { row.error.elements, row.error.of, row.error.against })
    local count = 0
    for _, name in ipairs(elements(luamil.read "b.svg")) do count = count + (name == "circle" and 1 or 0) end
    assert.equal(3, count)
  end)

  it("measures models", function()
    local status, out = luamil "bench tests/vectors/packages/conv.mlpackage tests/vectors/packages/classifier.mlpackage --engine cpu --seconds 0.01"
    assert.equal(0, status)
    assert.truthy(out:find("\nconv.mlpackage: 1.01 k FLOPs", 1, true), out)
    assert.truthy(out:find("\nclassifier.mlpackage: ", 1, true))
    local f = mil.func() -- one of whose outputs has a size that a run alone knows
    local x = f:input("x", "fp32", { 2, 3 })
    f:output("places", x:non_zero())
    f:output("y", x * 2)
    local path = luamil.path "places.mil"
    f.program:save(path)
    status, out = luamil("bench " .. path .. " --engine cpu --seconds 0.01")
    assert.equal(0, status)
    assert.truthy(out:find("0, 0 against cpu:strict", 1, true), out)
    local _, _, err = luamil "bench tests/vectors/packages/stateful.mlpackage --engine cpu --seconds 0.01"
    assert.truthy(err:find("keeps a state, ", 1, true), err)
  end)

  it("says what is not here, and ends with 1 where it was asked for", function()
    local arguments = "bench matmul --size 4x4x4 --seconds 0.01 --engine "
    local status, out = luamil.shell(("env -u MIL_FRAMEWORKS %s bin/luamil %scpu,coreml"):format(os.getenv "MIL_TEST_LUA" or "lua", arguments))
    if not mil.available "coreml" then
      assert.equal(1, status)
      assert.truthy(out:find("\ncoreml: not here: ", 1, true), out)
    end
    status, out = luamil(arguments .. "cpu:sloppy")
    assert.equal(1, status)
    assert.truthy(out:find("\n  cpu:sloppy: compile: precision is", 1, true), out)
  end)

  it("refuses what it can't take", function()
    for arguments, message in pairs {
      ["matmull"] = "takes kinds and models, but was given matmull; did you mean matmul?", ["matmul --size 4x4"] = "matmul takes sizes MxKxN, but was given 4x4",
      ["conv --size 9*8x1x4"] = "conv takes sizes [D*]CxHxW[kS]", ["conv --size 2*8x1x4k3"] = "and S of 1 where D is more", ["matmul --size 0x1x1"] = "matmul takes sizes",
      ["--size 4x4x4"] = "--size takes one of matmul, packed, conv, attention", ["matmul --dtype int8"] = "--dtype is fp16 or fp32, but was given int8",
      ["matmul --seconds 0"] = "--seconds takes a number above 0", ["matmul --size ,"] = "--size takes sizes", ["matmul --engine gpu"] = "there is no engine gpu",
    } do
      local status, out, err = luamil("bench " .. arguments)
      assert.same({ 2, "" }, { status, out })
      assert.truthy(err:find(message, 1, true), err)
    end
    assert.equal(1, (luamil "bench no.mil"))
    local status, _, err = luamil("bench matmul --size 4x4x4 --engine cpu --seconds 0.01 --plot " .. luamil.path "no/such.svg")
    assert.equal(1, status)
    assert.truthy(err:find("cannot write", 1, true), err)
  end)

  it("says before it measures that the picture has no place", function()
    for path, reason in pairs { [luamil.path "no/such.svg"] = "No such file or directory", [luamil.folder] = "Is a directory" } do
      assert.same({ 1, "", ("luamil: bench: cannot write %s: %s\n"):format(path, reason) },
        { luamil("bench matmul --size 4x4x4 --engine cpu --seconds 0.01 --plot " .. path) })
    end
    assert.equal(0, (luamil "bench matmul --size 4x4x4 --engine cpu --seconds 0.01 --plot /dev/null"))
  end)
end)

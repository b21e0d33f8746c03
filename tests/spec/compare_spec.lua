-- SPDX-License-Identifier: MIT
-- luamil compare, t:distance, and what times things (mil.timing), on the cpu engine and, where it has been built, the stand-in.
local mil = require "mil"
local json = require "mil.json"
local timing = require "mil.timing"
local luamil = dofile "tests/spec/luamil.lua"

describe("t:distance", function()
  it("says how far, where, and of how many", function()
    local a, b = mil.tensor("fp16", { { 1, 2, 3 }, { 4, 5.5, 6 } }), mil.tensor("fp64", { { 1, 2, 3 }, { 4, 5, 6 } })
    assert.same({ largest = 0.5, at = { 2, 2 }, is = 5.5, should = 5, relative = 0.5 / math.sqrt(91), unequal = 1 }, a:distance(b))
    assert.same(0, a:distance(a).unequal)
    local ok, err = pcall(a.distance, a, mil.zeros("fp16", { 6 }))
    assert.is_false(ok)
    assert.truthy(tostring(err):find("differ in shape", 1, true))
  end)
end)

describe("mil.timing", function()
  it("measures by the clock that it is given", function()
    local time, parts = 0, {}
    local times, result = timing.of(function()
      time = time + 1
      return time
    end, { runs = 4, warm = 2, calls = 3, clock = function() return time end, each = function(part) parts[#parts + 1] = part end })
    assert.same({ runs = 4, min = 1, median = 1, p95 = 1 }, times)
    assert.same({ 14, { 0.25, 0.5, 0.75, 1 } }, { result, parts })
    times = timing.of(function() time = time + 2 end, { seconds = 1, clock = function() return time end })
    assert.same({ runs = 3, min = 2, median = 2, p95 = 2 }, times)
  end)

  it("has a median, and what 95 of 100 do not pass", function()
    local numbers = {}
    for i = 1, 101 do numbers[i] = 102 - i end
    assert.same({ runs = 101, min = 1, median = 51, p95 = 96 }, timing.summary(numbers))
    assert.equal(1.5, timing.median { 2, 1 })
  end)
end)

local half = luamil.write("half.mil", [[
program(1.3)
{
  func main<ios18>(tensor<fp16, [2, 32]> x) {
    tensor<fp16, [2, 32]> e = exp(x = x)[name = string("e")];
    tensor<fp16, [2, 32]> a = mul(x = x, y = fp16(1.37))[name = string("a")];
    tensor<fp16, [2, 32]> b = add(x = a, y = fp16(0.3))[name = string("b")];
    tensor<fp16, [2, 32]> y = mul(x = b, y = fp16(1.91))[name = string("y")];
  } -> (y, e);
}
]])

describe("luamil compare", function()
  teardown(luamil.remove)

  it("compares with the strict cpu engine unless told", function()
    local status, out, err = luamil("compare " .. half .. " --random --repeat 3")
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:find "^cpu:strict %s+[%d.]+ %ws  least .- 3 runs  compiled in [^\n]+\ncpu %s+[%d.]+ %ws [^\n]+\n%s+y fp16%[2, 32%]: [^\n]+\n%s+e fp16", out)
  end)

  it("tells the sizes of the run, not the symbols", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp32", { mil.dim("N", { min = 1, max = 8 }), 4 }):relu())
    f:save(luamil.path "open.mlpackage")
    local _, out = luamil("compare " .. luamil.path "open.mlpackage" .. " --random --shape x=3,4 --repeat 1")
    assert.truthy(out:find("y fp32[3, 4]: equal", 1, true), out)
  end)

  it("says where outputs part, and ends with 1", function()
    local status, out = luamil("compare " .. half .. " --random --engine cpu:strict,cpu --tolerance 0 --repeat 1 --json")
    local report = json.decode(out)
    local rows = report.engines[2].outputs
    local y, e = rows[1], rows[2]
    assert.same({ 1, "y", 2, false }, { status, y.name, #y.at, y.within }) -- a and b are not rounded, where y is computed at once
    assert.truthy(y.unequal > 0 and math.abs(math.abs(y.is - y.should) - y.largest) < 1e-12 and y.relative < 1e-3)
    assert.same({ "e", 0, true }, { e.name, e.unequal, e.within })
    assert.is_nil(e.at)
    assert.same({ "cpu:strict", "cpu:strict", "cpu", 2, 1 }, { report.reference, report.engines[1].engine, report.engines[2].engine, #rows, report.engines[2].runs })
    assert.truthy(report.engines[2].min_ms <= report.engines[2].median_ms and report.engines[2].median_ms <= report.engines[2].p95_ms)
  end)

  it("goes on where an engine fails, and ends with 2", function()
    local status, out, err = luamil("compare " .. half .. " --random --engine cpu --engine cpu:sloppy,cpu:strict --repeat 1")
    assert.same({ 2, "" }, { status, err })
    assert.truthy(out:find("\ncpu:sloppy  compile: precision is", 1, true), out)
    assert.truthy(out:find("\ncpu:strict ", 1, true), out)
  end)

  it("compares labels, dictionaries and states", function()
    local status, out = luamil "compare tests/vectors/packages/classifier.mlpackage --random --repeat 1"
    assert.equal(0, status)
    assert.truthy(out:find("label string: equal", 1, true) and out:find("label_probs dict<string, fp64>: equal", 1, true), out)
    assert.equal(0, (luamil "compare tests/vectors/packages/stateful.mlpackage --random --repeat 3"))
  end)

  it("refuses what it can't take", function()
    for arguments, message in pairs {
      [""] = "takes one model, but was given 0", [half .. " --engine gpu"] = "there is no engine gpu; there is cpu, ane, coreml",
      [half .. " --engine cpu"] = "--engine takes two engines or more", [half .. " --repeat 0"] = "--repeat takes a whole number from 1",
      [half .. " --engine ,"] = "--engine takes the name of an engine",
    } do
      local status, out, err = luamil("compare " .. arguments)
      assert.same({ 2, "" }, { status, out })
      assert.truthy(err:find(message, 1, true), err)
    end
    assert.equal(2, (luamil "compare no.mil"))
    assert.truthy(select(3, luamil("compare " .. half)):find("no --input for x", 1, true))
  end)

  local standin = (os.getenv "PWD" or ".") .. "/" .. (os.getenv "MIL_TEST_BUILD" or "build") .. "/standin"
  local built = io.open(standin .. "/libobjc.A.so")
  if built then
    built:close()
    it("has the Neural Engine beside it, on the stand-in", function()
      local line = ("MIL_FRAMEWORKS=%s %s bin/luamil compare %s --random --repeat 3"):format(standin, os.getenv "MIL_TEST_LUA" or "lua", half)
      local status, out, err = luamil.shell(line)
      assert.same({ 0, "" }, { status, err })
      assert.truthy(out:find "\nane %s+[%d.]+ %ws [^\n]+\n%s+y fp16%[2, 32%]: [^\n]+\n", out)
    end)
  end
end)

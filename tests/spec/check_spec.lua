-- SPDX-License-Identifier: MIT
-- f:check and luamil check: the report as an object, as text and as JSON; exit codes; the estimate; the corpus is checked without a fault.
local mil = require "mil"
local estimate = require "mil.estimate"
local luamil = dofile "tests/spec/luamil.lua"

local function conv(width, with_bias)
  local f = mil.func()
  local x = f:input("x", "fp16", { 1, 64, 1, 64 })
  f:output("y", x:conv { weight = mil.zeros("fp16", { 64, 64, 1, width }), bias = with_bias and mil.zeros("fp16", { 64 }), pad_type = "same" })
  return f
end

describe("f:check", function()
  it("finds nothing in what runs", function()
    local report = conv(1):check "ane"
    assert.equal(0, #report)
    assert.equal("ane by the route direct: nothing is known against it", tostring(report))
  end)

  it("gives rows with place, rule and operation", function()
    local f = conv(17, true)
    local report = f:check { engine = "ane", chip = "M5" }
    assert.same({ 1, 1, 0 }, { report.errors, report.warnings, report.notes })
    local row = report[2]
    assert.same({ "error", "conv_width", "conv", "y", "main" }, { row.severity, row.rule, row.op, row.value, row["function"] })
    assert.truthy(row.where:find "check_spec.lua:%d+$")
    assert.equal("conv", row.operation.type)
    assert.truthy(tostring(report):find(row.where .. ": error: conv: the kernel is too wide", 1, true))
    assert.truthy(tostring(report):find("\n    instead: ", 1, true))
  end)

  it("takes warnings for errors where strict, and remarks where all are asked for", function()
    assert.equal(1, conv(1, true):check({ strict = true }).errors)
    local f = conv(1)
    assert.equal(0, f:check({ chip = "m1" }).remarks)
    assert.is_true(f.program:check({ chip = "m1", all = true }).remarks > 0)
  end)

  it("refuses what it has no rules for", function()
    local f = conv(1)
    for options, message in pairs { [{ engine = "cpu" }] = "rules for ane only", [{ chip = "x" }] = "chip is m1", [{ rout = "x" }] = "route",
      [{ route = "x" }] = "there is no route", [{ system = "x" }] = "version of macOS", [{ entry = "g" }] = "no function" } do
      local ok, err = pcall(f.check, f, options)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(message, 1, true), tostring(err))
    end
  end)

  it("shows its rules", function()
    local rules = mil.rules "ane"
    assert.is_true(#rules > 100)
    assert.same({}, mil.rules "cpu")
    assert.is_false((pcall(mil.rules, "anne")))
    assert.equal("maderix/ANE", mil.ran("conv", "direct"))
    assert.is_nil(mil.ran("acos", "e5rt"))
  end)
end)

describe("luamil check", function()
  teardown(luamil.remove)
  local path = luamil.path "m.mil"

  it("ends with 0, 1 and 3", function()
    conv(1):save(path)
    assert.equal(0, (luamil("check " .. path)))
    conv(1, true):save(path)
    assert.equal(0, (luamil("check " .. path)))
    assert.equal(1, (luamil("check " .. path .. " --strict")))
    conv(17):save(path)
    assert.equal(1, (luamil("check " .. path)))
    assert.equal(3, (luamil("check " .. path .. "x.mil")))
    assert.equal(2, (luamil "check"))
    local status, _, err = luamil("check nowhere.mil --chip z80")
    assert.equal(2, status)
    assert.truthy(err:find('chip is m1, m2 .. or "M1 Pro", but was given "z80"', 1, true), err)
    assert.equal(2, (luamil("check " .. path .. " --route e5")))
    status, err = luamil("check " .. path .. " --estimate --chip m4")
    assert.equal(1, status)
    assert.truthy(err:find("by the figures of m2: none were published of m4", 1, true), err)
    local json = require "mil.json"
    local _, out = luamil("check " .. path .. " --json --estimate --chip m1")
    local report = json.decode(out)
    assert.same({ 1, "conv_width", "m1" }, { report.errors, report.findings[1].rule, report.estimate.chip })
  end)
end)

describe("an estimate", function()
  it("is a floor and what each operation waits for", function()
    local f = conv(3)
    local e = estimate.of(f.program, { chip = "m2" })
    assert.equal(1, #e.rows)
    assert.equal(2 * 64 * 64 * 64 * 3, e.flops)
    local weights_and_activations = 2 * (64 * 64 + 64 * 64 + 64 * 64 * 3) -- and a few numbers of parameters
    assert.is_true(e.rows[1].bytes >= weights_and_activations and e.rows[1].bytes < weights_and_activations + 200)
    assert.is_true(math.abs(e.us - (100 + e.rows[1].bytes / 48e3)) < 1e-9)
    assert.same({ "m5", "m7" }, { estimate.chip_of "m7" })
    assert.has_error(function() estimate.of(f.program, { chip = "z80" }) end)
  end)
end)

describe("the corpus", function()
  it("is checked without a fault", function()
    local list = io.popen "ls -d ../shared/corpus/*.mlpackage ../shared/corpus/*.mil ../shared/corpus/*/*.mil 2>/dev/null | head -60"
    for model in list:lines() do
      local ok, program = pcall(mil.load, model)
      if ok then
        for _, route in ipairs { "direct", "e5rt" } do assert.is_string(tostring(program:check { route = route, all = true })) end
      end
    end
    list:close()
  end)
end)

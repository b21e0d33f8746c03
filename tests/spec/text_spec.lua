-- SPDX-License-Identifier: MIT
-- MIL text from Lua: printing, parsing, saving and loading.
local mil = require "mil"

local function example()
  local f = mil.func()
  local x = f:input("x", "fp16", { 1, 4, 1, 8 })
  f:output("y", (x:softmax { axis = -1 } * 2 + x):relu { name = "r" })
  return f
end

describe("MIL text", function()
  it("is what tostring gives; parsed and printed again it is the same", function()
    local text = tostring(example())
    assert.truthy(text:find("softmax", 1, true))
    local p = mil.parse(text)
    assert.equal(text, tostring(p))
    assert.equal(text, tostring(p:func "main"))
    assert.equal("ios18", p.opset)
  end)

  it("runs as the program that it was printed from", function()
    local x = mil.randn("fp16", { 1, 4, 1, 8 }, { seed = 1 })
    local a = example():compile():run({ x = x }).y
    local b = mil.parse(tostring(example())):compile():run({ x = x }).y
    assert.is_true(a:close(b, 0))
  end)

  it("goes to a file and comes back", function()
    local path = os.tmpname()
    os.remove(path)
    path = path .. ".mil"
    local f = example()
    assert.is_true(rawequal(f, f:save(path)))
    assert.equal(tostring(f), tostring(mil.load(path)))
    local file = assert(io.open(path .. ".new") == nil)
    assert.is_true(file)
    os.remove(path)
    assert.is_false((pcall(mil.load, path)))
    assert.equal("EIO", mil.last_error().code)
    assert.is_false((pcall(f.save, f, "/nowhere/at/all.mil")))
    assert.equal("EIO", mil.last_error().code)
  end)

  it("that is wrong is an error with its place", function()
    local ok = pcall(mil.parse, "program(1.0)\n{\n  func main<ios18>(", { name = "broken.mil" })
    assert.is_false(ok)
    local err = mil.last_error()
    assert.equal("EPARSE", err.code)
    assert.equal("broken.mil", err.file)
    assert.equal(3, err.line)
    assert.has_error(function() return mil.parse("", { nam = "x" }) end)
    assert.has_error(function() return mil.parse(nil) end)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Programs saved and loaded again. What a save leaves where it fails, tests/c/save_test.c has.
local mil = require "mil"

local base = os.tmpname()
os.remove(base)
local endings = { ".mlpackage", ".mlmodelc", ".mil" }

local function remove(path) os.execute("rm -rf '" .. path .. "'") end

local function size_of(path)
  local file = assert(io.open(path, "rb"))
  local n = file:seek "end"
  file:close()
  return n
end

local function swiglu()
  local graph = dofile "graphs/kernels/swiglu.lua"
  return graph({ gate = mil.randn("fp16", { 24, 12, 1, 1 }), up = mil.randn("fp16", { 24, 12, 1, 1 }),
    down = mil.randn("fp16", { 12, 24, 1, 1 }) }, 12, 8)
end

-- Consts in one place: what differs between a program that was built and one that was read.
local function in_file(p)
  local path = base .. "-once.mlpackage"
  p:save(path)
  local again = mil.load(path)
  remove(path)
  return tostring(again)
end

describe("a program that is saved", function()
  teardown(function() os.execute("rm -rf '" .. base .. "'*") end)

  for _, ending in ipairs(endings) do
    it("as " .. ending .. " computes the same when loaded", function()
      local path = base .. ending
      local f = swiglu()
      assert.equal(f, f:save(path))
      local x = mil.randn("fp16", { 1, 12, 1, 8 })
      local wanted = f:compile({ engine = "cpu" }):run { x = x }
      local got = mil.load(path):compile({ engine = "cpu" }):run { x = x }
      for name, tensor in pairs(wanted) do assert.is_true(tensor:close(got[name], 0, 0)) end
      remove(path)
    end)

    it("as " .. ending .. " prints as it was loaded", function()
      local path = base .. ending
      for _, name in ipairs { "conv", ending == ".mlpackage" and "flexible" or nil } do
        local p = mil.load("tests/vectors/packages/" .. name .. ".mlpackage")
        p:save(path)
        local again = mil.load(path)
        if ending == ".mlpackage" then assert.equal(tostring(p), tostring(again)) end
        assert.equal(in_file(p), in_file(again))
        remove(path)
      end
    end)
  end

  it("has each weight once, whoever takes it", function()
    local p = mil.program { opset = "ios18" }
    local w = mil.randn("fp32", { 1000 })
    for _, name in ipairs { "a", "b" } do
      local f = p:func(name)
      local x = f:input("x", "fp32", { 1000 })
      f:output("y", (x + w) * w)
    end
    p:save(base .. ".mlpackage")
    local weights = base .. ".mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    assert.equal(128 + 4000, size_of(weights))
    remove(base .. ".mlpackage")
  end)

  it("has its weights beside it as text, under its own name, so that a folder holds several", function()
    remove(base)
    os.execute("mkdir '" .. base .. "'")
    for i, name in ipairs { "one", "two" } do
      local f = mil.func()
      f:output("y", f:input("x", "fp32", { 100 }) + mil.full("fp32", { 100 }, i))
      f:save(("%s/%s.mil"):format(base, name))
    end
    for i, name in ipairs { "one", "two" } do
      assert.equal(128 + 400, size_of(("%s/weights/%s.bin"):format(base, name)))
      local p = mil.load(("%s/%s.mil"):format(base, name))
      assert.equal(i + 1, p:compile({ engine = "cpu" }):run({ x = mil.ones("fp32", { 100 }) }).y:get(100))
    end
    remove(base)
  end)

  it("keeps ranges and shapes of its inputs", function()
    local f = mil.func { opset = "ios17" }
    local x = f:input("x", "fp32", { mil.dim("S", { min = 2, max = 9, default = 4 }), 3 })
    local y = f:input("y", "fp32", mil.shapes { { 1, 3 }, { 4, 3 } })
    f:output("a", x:relu())
    f:output("b", y:relu())
    f:save(base .. ".mlpackage")
    local model = mil.load(base .. ".mlpackage"):compile { engine = "cpu" }
    assert.same({ 9, 3 }, model:run({ x = mil.zeros("fp32", { 9, 3 }), y = mil.zeros("fp32", { 4, 3 }) }).a.shape)
    assert.is_false((pcall(model.run, model, { x = mil.zeros("fp32", { 10, 3 }), y = mil.zeros("fp32", { 4, 3 }) })))
    assert.is_false((pcall(model.run, model, { x = mil.zeros("fp32", { 9, 3 }), y = mil.zeros("fp32", { 2, 3 }) })))
    remove(base .. ".mlpackage")
  end)

  it("may be loaded from where it is saved to", function()
    local path = base .. ".mlpackage"
    swiglu():save(path)
    local p = mil.load(path)
    local text = tostring(p)
    p:save(path)
    p:save(path)
    assert.equal(text, tostring(mil.load(path)))
    remove(path)
  end)
end)

describe("a program that no package can say", function()
  local rows = {
    { "unbounded", function(f) f:output("y", f:input("x", "fp32", { "S", 4 }):relu()) end,
      'function main: x: the size S has no upper limit, which Core ML demands; give it a range: mil.dim("S", { min = 1, max = 512 })' },
    { "a bool input", function(f) f:output("y", f:input("x", "bool", { 4 }):cast { dtype = "fp32" }) end,
      "function main: x: a model's inputs are fp16, fp32 or int32 tensors, not bool[4]; make it one of them, and cast it inside" },
    { "a bool output", function(f) f:output("y", f:input("x", "fp32", { 4 }):less(0)) end,
      "function main: y: a model's outputs are fp16, fp32 or int32 tensors, not bool[4]; cast it to one of them" },
    { "a scalar input", function(f) f:output("y", f:input("x", "fp32", {}):relu()) end,
      "function main: x: a model's inputs have a rank of at least 1; make it fp32[1], and squeeze it inside" },
    { "no output", function(f) f:input("x", "fp32", { 4 }) end, "function main has no output" },
  }
  for _, row in ipairs(rows) do
    it("is an error: " .. row[1], function()
      local f = mil.func { opset = "ios17" }
      row[2](f)
      local path = base .. ".mlpackage"
      local ok, err = pcall(f.save, f, path)
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find(path .. ": " .. row[3], 1, true), tostring(err))
      assert.is_nil(io.open(path .. "/Manifest.json"))
      f:save(base .. ".mil") -- text can
      mil.load(base .. ".mil")
      os.remove(base .. ".mil")
    end)
  end
end)

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

  it("keeps the name of an opset newer than those that are known", function()
    local path, model = base .. "-newer.mlpackage", "/Data/com.apple.CoreML/model.mlmodel"
    os.execute("cp -r tests/vectors/packages/stateful.mlpackage " .. path)
    local file = assert(io.open(path .. model, "rb"))
    local bytes, n = file:read("*a"):gsub("CoreML8", "CoreML9")
    file:close()
    assert.equal(2, n)
    file = assert(io.open(path .. model, "wb"))
    file:write(bytes)
    file:close()
    local program = mil.load(path)
    assert.equal("ios18", program.opset)
    program:save(path)
    file = assert(io.open(path .. model, "rb"))
    local again = file:read "*a"
    file:close()
    assert.equal(2, select(2, again:gsub("CoreML9", "")))
    assert.is_nil(again:find "CoreML8")
  end)

  it("is no classifier without its label: its probabilities are an output like any other", function()
    local path = base .. ".mlpackage"
    local program = mil.load "tests/vectors/packages/classifier.mlpackage"
    local f = program.entry
    local function named() -- as what its description has the outputs: label of field 11, probabilities of field 12
      program:save(path)
      local file = assert(io.open(path .. "/Data/com.apple.CoreML/model.mlmodel", "rb"))
      local bytes = file:read "*a"
      file:close()
      return bytes:find("\90\5label", 1, true) ~= nil, bytes:find("\98\11label_probs", 1, true) ~= nil
    end
    assert.same({ true, true }, { named() })
    f:remove_output(f:find "label")
    assert.same({ false, false }, { named() })
    local out = mil.load(path):compile():run { image = mil.ones("fp32", { 1, 3, 2, 2 }) }
    assert.is_nil(out.label)
    assert.near(1 / 3, out.label_probs.cat, 1e-6)
    remove(path)
  end)

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
      for _, name in ipairs { "conv", "flexible" } do
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

  for _, ending in ipairs(endings) do
    it("as " .. ending .. " keeps ranges and shapes of its inputs", function()
      local path = base .. ending
      for _, name in ipairs { "ranges", "shapes" } do
        local f = mil.func { opset = "ios17" }
        local dims = name == "ranges" and { mil.dim("S", { min = 2, max = 9, default = 4 }), 3 } or mil.shapes { { 4, 3 }, { 2, 3 }, { 9, 3 } }
        f:output("y", f:input("x", "fp32", dims):relu())
        f:save(path)
        mil.load(path):save(path)
        local model = mil.load(path):compile { engine = "cpu" }
        local takes = function(n) return (pcall(model.run, model, { x = mil.zeros("fp32", { n, 3 }) })) end
        assert.same({ false, true, name == "ranges", true, true, false },
          { takes(1), takes(2), takes(3), takes(4), takes(9), takes(10) })
        remove(path)
      end
    end)
  end

  local function names(values)
    local list = {}
    for i, value in ipairs(values) do list[i] = value.name end
    return list
  end

  for _, ending in ipairs { ".mlpackage", ".mlmodelc" } do
    it("as " .. ending .. " keeps the order of its inputs", function()
      local f = mil.func { opset = "ios17" }
      local z, a, m = f:input("z", "fp32", { 2 }), f:input("a", "fp32", { 2 }), f:input("m", "fp32", { 2 })
      f:output("y", z - a * m)
      f:save(base .. ending)
      local p = mil.load(base .. ending)
      p:save(base .. ".again.mlpackage")
      assert.same({ "z", "a", "m" }, names(p:func("main").inputs))
      assert.same({ "z", "a", "m" }, names(mil.load(base .. ".again.mlpackage"):func("main").inputs))
      remove(base .. ending)
      remove(base .. ".again.mlpackage")
    end)
  end

  for _, ending in ipairs(endings) do
    it("as " .. ending .. " keeps shapes of inputs that have some more than others", function()
      local f = mil.func { opset = "ios18" }
      f:output("p", f:input("a", "fp32", mil.shapes { { 1, 4 }, { 1, 8 } }):relu())
      f:output("q", f:input("b", "fp32", mil.shapes { { 1, 3 }, { 1, 5 }, { 1, 7 } }):relu())
      local direct, round = base .. ".direct.mlpackage", base .. ".round.mlpackage"
      f:save(direct)
      f:save(base .. ending)
      mil.load(base .. ending):save(round)
      local function model(path)
        local file = assert(io.open(path .. "/Data/com.apple.CoreML/model.mlmodel", "rb"))
        local bytes = file:read "*a"
        file:close()
        return bytes
      end
      assert.equal(#model(direct), #model(round))
      for _, path in ipairs { direct, round, base .. ending } do remove(path) end
    end)
  end

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

describe("a package with other files", function()
  local function read(path)
    local file = io.open(path, "rb")
    local text = file and file:read "*a"
    if file then file:close() end
    return text
  end

  it("keeps them, or is saved alone", function()
    local path, copy = base .. ".mlpackage", base .. ".copy.mlpackage"
    os.execute("cp -R tests/vectors/packages/conv.mlpackage " .. path .. " && echo cat >" .. path .. "/Data/labels.txt")
    local p = mil.load(path)
    p:rename("y", "z")
    p:save(path):save(copy)
    assert.equal("cat\n", read(path .. "/Data/labels.txt"))
    assert.equal("cat\n", read(copy .. "/Data/labels.txt"))
    assert.equal(read(path .. "/Manifest.json"), read(copy .. "/Manifest.json"))
    p:save(copy, { alone = true })
    assert.is_nil(read(copy .. "/Data/labels.txt"))
    remove(path)
    assert.has_error(function() p:save(copy) end)
    remove(copy)
  end)
end)

describe("graphs", function()
  local rows = {
    { "gpt2_block", "layers/gpt2_block", 7, 24, 3 }, { "llama_block", "layers/llama_block", 7, 32, { heads = 4, kv_heads = 2 } },
    { "resnet_block", "layers/resnet_block", { 2, 8, 9, 11 }, 1 }, { "mobilenet_block", "layers/mobilenet_block", { 1, 8, 7, 9 }, 1 },
  }
  for _, row in ipairs(rows) do
    it(row[1] .. " is the same program when it was saved and loaded", function()
      local w = mil.weights("tests/vectors/graphs/" .. row[1] .. ".safetensors")
      local f = dofile("graphs/" .. row[2] .. ".lua")(w, row[3], row[4], row[5])
      local wanted, text = f:compile({ engine = "cpu" }):run({ x = w.x }).y, nil
      for _, ending in ipairs(endings) do
        local path = base .. ending
        f:save(path)
        local p = mil.load(path)
        text = text or in_file(p)
        assert.equal(text, in_file(p))
        assert.is_true(wanted:close(p:compile({ engine = "cpu" }):run({ x = w.x }).y, 0, 0))
        remove(path)
      end
    end)
  end
end)

describe("programs of the corpus", function()
  local corpus = "../shared/corpus/"
  local index = io.open(corpus .. "index.json")
  if not index then return end
  index:close()
  local list = io.popen("ls -d " .. corpus .. "packages/*.mlpackage " .. corpus .. "bundles/*.mlmodelc " .. corpus .. "mil/*.mil")
  for path in list:lines() do
    it(path:match "[^/]+$" .. " prints as before when it was saved and loaded, or says why not", function()
      local loaded, p = pcall(mil.load, path)
      if not loaded then return end -- which is corpus_spec's
      local to = base .. path:match "%.%w+$"
      local saved, why = pcall(p.save, p, to)
      if saved then
        local text, again = tostring(p), tostring(mil.load(to))
        if path:find "%.mil$" then -- weights are in another file now, or in none
          text, again = text:gsub("BLOBFILE%b()", ""), again:gsub("BLOBFILE%b()", "")
        end
        if not path:find "%.mil$" or not again:find "%[%[" then assert.equal(text, again) end
      else
        assert.is_truthy(tostring(why):find "not at hand" or tostring(why):find "a model's", tostring(why))
      end
      remove(to)
    end)
  end
  list:close()
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

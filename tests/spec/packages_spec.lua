-- SPDX-License-Identifier: MIT
-- Packages and compiled bundles from Lua.
local mil = require "mil"

local packages = "tests/vectors/packages/"

describe("a package", function()
  it("is loaded, printed and run", function()
    local p = mil.load(packages .. "conv.mlpackage")
    assert.equal("ios16", p.opset)
    local x, bias = mil.ones("fp32", { 1, 3, 5, 5 }), mil.zeros("fp32", { 1, 2, 3, 3 })
    local out = p:compile { engine = "cpu" }:run { x = x, bias = bias }.out
    -- the weight is (i - 27) / 8, i from 0 to 53: its first half sums to -47.25, its second to 43.875
    assert.equal(0, out:get(1, 1, 1, 1))
    assert.equal(43.875, out:get(1, 2, 3, 3))
  end)

  it("has ranges for its flexible inputs", function()
    local model = mil.load(packages .. "flexible.mlpackage/"):compile { engine = "cpu" }
    assert.same({ 1, 9, 4 }, model:run({ x = mil.zeros("fp32", { 1, 9, 4 }) }).out.shape)
    assert.is_false((pcall(model.run, model, { x = mil.zeros("fp32", { 1, 10, 4 }) })))
  end)

  it("of a classifier gives a label, and what it says of each", function()
    local model = mil.load(packages .. "classifier.mlpackage"):compile { engine = "cpu" }
    local image = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1 }
    local step = model:bind { image = image }
    step()
    for _, out in ipairs { model:run { image = image }, model:start({ image = image }):result(), step.outputs } do
      local d = out.label_probs
      assert.equal("Käfer", out.label)
      assert.near(0.5761, d["Käfer"], 1e-4)
      assert.near(0.2119, d.cat, 1e-4)
      assert.same({ "cat", "dog", "Käfer" }, d:labels())
      assert.equal(3, d:tensor():numel())
      local best = d:topk(2)
      assert.equal(2, #best)
      assert.same({ "Käfer", 3 }, { best[1].label, best[1].index })
      assert.near(0.5761, best[1].value, 1e-4)
      assert.truthy(tostring(d):find("dictionary of 3 labels\n  Käfer" .. (" "):rep(26), 1, true))
      assert.is_false((pcall(function() return d.mouse end)))
      assert.truthy(mil.last_error().message:find("no label", 1, true))
    end
    assert.equal(3, #model:run({ image = image }).label_probs:topk())
  end)

  it("has metadata, which can be changed", function()
    local p = mil.load(packages .. "unknown.mlpackage")
    local m = p:metadata()
    assert.equal("someone", m.author)
    assert.equal("someone else", m["userDefined.author"])
    assert.equal(p, p:metadata { author = "another", note = "new", ["userDefined.author"] = false })
    m = p:metadata()
    assert.equal("another", m.author)
    assert.equal("new", m.note)
    assert.is_nil(m["userDefined.author"])
    for _, bad in ipairs { { 1 }, { x = 1 }, { x = true } } do
      assert.is_false((pcall(p.metadata, p, bad)))
      assert.equal("EINVAL", mil.last_error().code)
    end
    assert.is_false((pcall(p.metadata, p, { y = "\255" })))
    assert.same(m, p:metadata())
  end)

  it("keeps its default function, states and shapes", function()
    local p = mil.load(packages .. "functions.mlpackage")
    assert.same({ 2, 4 }, p:compile({ engine = "cpu" }):inputs()[1].shape)
    local x = mil.load(packages .. "enumerated.mlpackage"):compile { engine = "cpu" }
    assert.same({ 1, 8 }, x:run({ x = mil.zeros("fp32", { 1, 8 }) }).out.shape)
    assert.is_false((pcall(x.run, x, { x = mil.zeros("fp32", { 1, 6 }) })))
    local model = mil.load(packages .. "stateful.mlpackage"):compile { engine = "cpu" }
    local state, one = model:state(), mil.ones("fp16", { 4, 4 })
    -- the state grows by ones; the weight's first column is (-8, -4, 0, 4) / 2
    assert.equal(-4, model:run({ x = one }, { state = state }).out:get(1, 1))
    assert.equal(-8, model:run({ x = one }, { state = state }).out:get(1, 1))
  end)

  it("may write a default as fp32 beside fp16, as coremltools does; another number must be of the others' dtype", function()
    local text = [[program(1.0){func main<ios16>(tensor<fp16,[1,3,4]> x){
      tensor<int32,[1]> axes = const()[val=tensor<int32,[1]>([-1])]; fp32 eps = const()[val=fp32(%s)];
      tensor<fp16,[1,3,4]> y = layer_norm(x=x, axes=axes, epsilon=eps);}->(y);}]]
    local x = mil.randn("fp16", { 1, 3, 4 })
    local f = mil.func { opset = "ios16" }
    f:output("y", f:input("x", "fp16", { 1, 3, 4 }):layer_norm { axes = { -1 } })
    local wanted = f:compile({ engine = "cpu" }):run({ x = x }).y
    for optimize = 0, 1 do
      local p = mil.parse(text:format "1e-5")
      p:verify()
      assert.is_true(p:compile({ engine = "cpu", optimize = optimize }):run({ x = x }).y:close(wanted))
    end
    assert.is_false((pcall(mil.parse, text:format "2e-5")))
    assert.truthy(mil.last_error().message:find("must have one dtype", 1, true))
  end)

  it("that is none is an error with its name", function()
    assert.is_false((pcall(mil.load, packages .. "nowhere.mlpackage")))
    assert.equal("EIO", mil.last_error().code)
    assert.is_false((pcall(mil.load, "x.onnx")))
    assert.equal("EUNSUPPORTED", mil.last_error().code)
  end)
end)

describe("the schema", function()
  it("is compiled as it stands, where its compiler is", function()
    if not (os.execute "command -v protoc-c > /dev/null") then return end
    local dir = os.tmpname()
    os.remove(dir)
    local command = "mkdir %s && tools/schema.sh %s && cmp %s/schema.pb-c.c core/package/schema.pb-c.c && " ..
      "cmp %s/schema.pb-c.h core/package/schema.pb-c.h; s=$?; rm -r %s; exit $s"
    local ok = os.execute((command:gsub("%%s", dir)))
    assert.is_true(ok == true or ok == 0)
  end)
end)

describe("an optional input", function()
  local model = mil.load(packages .. "optional.mlpackage"):compile { engine = "cpu" }

  it("is filled with its package's default where it is left out", function()
    assert.same({ 3.5, 4.5, 5.5 }, model:run { x = { { 1, 2, 3 } } }.out[1]:table())
    assert.same({ 1.5, 2.5, 3.5 }, model:run { x = { { 1, 2, 3 } }, shift = { { .5, .5, .5 } } }.out[1]:table())
    assert.same({ 3.5, 4.5, 5.5 }, model:run { x = { { 1, 2, 3 } } }.out[1]:table())
    local x, y = mil.tensor("fp32", { { 1, 2, 3 } }), mil.zeros("fp32", { 1, 3 })
    model:bind { x = x, out = y }()
    assert.same({ 3.5, 4.5, 5.5 }, y[1]:table())
  end)

  it("has the usual size where that is not fixed", function()
    local model = mil.load(packages .. "optional_sizes.mlpackage"):compile { engine = "cpu" }
    for _ = 1, 2 do
      assert.same({ 1, 2, 2.5, 2.5, 2.5 }, model:run { x = { { 1, 2 } } }.out[1]:table())
      assert.same({ 1, 7 }, model:run { x = { { 1 } }, shift = { { 7 } } }.out[1]:table())
    end
  end)

  it("may be left out of a part, and is described in its package", function()
    for _, name in ipairs { "optional", "optional_sizes" } do
      local path = os.tmpname()
      os.remove(path)
      path = path .. ".mlpackage"
      local part = mil.load(packages .. name .. ".mlpackage"):func("main"):extract { outputs = { "out" } }
      local x = { x = { { 1, 2, 3 } } }
      local wanted = mil.load(packages .. name .. ".mlpackage"):compile({ engine = "cpu" }):run(x).out
      assert.is_true(wanted:close(part:compile({ engine = "cpu" }):run(x).out, 0, 0))
      part:save(path)
      assert.is_true(wanted:close(mil.load(path):compile({ engine = "cpu" }):run(x).out, 0, 0))
      os.execute("rm -r " .. path)
    end
  end)

  it("is filled with the same when it has another type", function()
    local path = os.tmpname()
    os.remove(path)
    path = path .. ".mlpackage"
    local p = mil.load(packages .. "optional.mlpackage"):retype("shift", "fp32", { 1, 1 })
    p:save(path)
    for _, again in ipairs { p, mil.load(path) } do
      assert.same({ 3.5, 4.5, 5.5 }, again:compile({ engine = "cpu" }):run({ x = { { 1, 2, 3 } } }).out[1]:table())
    end
    os.execute("rm -r " .. path)
  end)

  it("is the only one that may be", function()
    assert.is_false((pcall(model.run, model, { shift = { { 0, 0, 0 } } })))
    assert.truthy(mil.last_error().message:find("run: input x fp32[1, 3] is missing", 1, true))
  end)
end)

describe("a compiled bundle", function()
  it("is its model.mil, with the weights beside it", function()
    local path = os.tmpname()
    os.remove(path)
    path = path .. ".mlmodelc"
    assert(os.execute("mkdir " .. path))
    local p = mil.load(packages .. "flexible.mlpackage")
    p:save(path .. "/model.mil")
    -- what a package says of sizes in its description, text says in an attribute
    assert.equal(tostring(p), (tostring(mil.load(path)):gsub(" %[FlexibleShapeInformation = .-%)%)%)%]", "")))
    os.remove(path .. "/model.mil")
    os.remove(path)
  end)
end)

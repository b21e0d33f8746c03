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

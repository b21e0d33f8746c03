-- SPDX-License-Identifier: MIT
-- Tensors of unknown rank: what a run decides the number of sizes of.
local mil = require "mil"
local luamil = dofile "tests/spec/luamil.lua"

local both = { { optimize = 0 }, { optimize = 1 } }

local function fill(opset)
  local f = mil.func { opset = opset or "ios18" }
  local sizes = f:input("sizes", "int32", { mil.dim("R", { min = 0, max = 9, default = 2 }) })
  return f, f:fill { shape = sizes, value = 2.5 }, sizes
end

-- What each gives, by the type that is inferred and for sizes {2, 1, 3}.
local rows = {
  { "fill", function(t) return t end, "fp32[...]", { 2, 1, 3 } },
  { "unary", function(t) return t:exp() end, "fp32[...]", { 2, 1, 3 } },
  { "activation", function(t) return t:gelu() end, "fp32[...]", { 2, 1, 3 } },
  { "scalar operand", function(t) return t + 1 end, "fp32[...]", { 2, 1, 3 } },
  { "broadcast", function(t, f) return t + f:const(mil.ones("fp32", { 5, 1, 4, 1 })) end, "fp32[...]", { 5, 2, 4, 3 } },
  { "comparison", function(t) return t:less { y = 3 } end, "bool[...]", { 2, 1, 3 } },
  { "select", function(t) return t:less { y = 3 }:select { a = t, b = 1 } end, "fp32[...]", { 2, 1, 3 } },
  { "cast", function(t) return t:cast { dtype = "int32" } end, "int32[...]", { 2, 1, 3 } },
  { "fill_like", function(t) return t:fill_like { value = 7 } end, "fp32[...]", { 2, 1, 3 } },
  { "identity", function(t) return t:identity() end, "fp32[...]", { 2, 1, 3 } },
  { "random", function(_, f, s) return f:random_normal { shape = s, seed = 1 } end, "fp32[...]", { 2, 1, 3 } },
  { "reshape to known", function(t) return t:reshape { shape = { 3, -1 } } end, "fp32[3, ?2]", { 3, 2 } },
  { "reshape as it is", function(t) return t:reshape { shape = { 0, 0, 0 } } end, "fp32[?2, ?3, ?4]", { 2, 1, 3 } },
  { "reshape by many", function(t, f, s)
    return f:const(mil.ones("fp32", { 6 })):reshape { shape = s } + t
  end, "fp32[...]", { 2, 1, 3 } },
  { "shape", function(t) return t:shape() end, "int32[?2]", { 3 } },
  { "non_zero", function(t) return t:non_zero() end, "int32[?2, ?3]", { 6, 3 } },
}

local function ints(...) return mil.tensor("int32", { ... }) end

describe("an unknown rank", function()
  teardown(luamil.remove)

  for _, row in ipairs(rows) do
    it("is inferred and run: " .. row[1], function()
      local f, t, sizes = fill()
      local y = row[2](t, f, sizes)
      assert.are.equal(row[3], y.type.text)
      f:output("y", y)
      for _, options in ipairs(both) do
        assert.are.same(row[4], f:compile(options):run({ sizes = ints(2, 1, 3) }).y.shape)
      end
    end)
  end

  it("is another in each run, 0 and 8 among them", function()
    local f, t = fill()
    f:output("y", t + 1)
    local model = f:compile()
    assert.are.equal("model: sizes int32[?] -> y fp32[...]", tostring(model))
    assert.are.same({ "..." }, model:outputs()[1].shape)
    assert.are.same({}, model:run({ sizes = mil.zeros("int32", { 0 }) }).y.shape)
    assert.are.same({ 1, 1, 1, 1, 1, 1, 1, 2 }, model:run({ sizes = ints(1, 1, 1, 1, 1, 1, 1, 2) }).y.shape)
    assert.are.same({ { 3.5, 3.5 }, { 3.5, 3.5 } }, model:run({ sizes = ints(2, 2) }).y:table())
  end)

  it("is known as soon as the sizes' number is", function()
    local f, t = fill()
    f:output("y", t * 2)
    f:fix { R = 3 }
    assert.are.equal("y : fp32[?2, ?3, ?4] = mul(x = fill_0, y = 2)", tostring(f.outputs[1]))
  end)

  it("is refused by what must know it, and as an input", function()
    local f, t = fill()
    local function fails(message, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(message, 1, true), tostring(err))
    end
    fails("softmax: x takes a tensor of known rank, but fill_0 is fp32[...], whose rank the run decides", function() t:softmax() end)
    fails("concat: values takes a tensor of known rank", function() f:concat { values = { t, t }, axis = 0 } end)
    fails("input sizes: the rank of inputs must be known", mil.parse,
      "program(1.3) { func main<ios18>(tensor<fp32, [...]> sizes) { } -> (sizes); }")
    f:output("y", t)
    fails("fill: shape has 9 sizes; at most 8 are possible", function() f:compile():run { sizes = mil.ones("int32", { 9 }) } end)
    fails("fill: shape has -1; only 0 and more is possible", function() f:compile():run { sizes = ints(-1) } end)
  end)

  it("goes through branches and loops", function()
    local f, t, sizes = fill()
    local go = f:input("go", "bool", {})
    local one, many = f:const(mil.ones("fp32", { 6 })), nil
    many = one:reshape { shape = sizes }
    local a = f:cond(go, function() return one end, function() return many end)
    assert.are.equal("fp32[...]", a.type.text)
    local _, b = f:while_loop({ f:const(0), one }, function(_, i) return i:less(2) end,
      function(_, i, v) return i + 1, v:reshape { shape = sizes } + 1 end)
    assert.are.equal("fp32[...]", b.type.text)
    f:output("a", a)
    f:output("b", b)
    f:output("t", t)
    assert.are.equal(tostring(f), tostring(mil.parse(tostring(f))))
    for _, options in ipairs(both) do
      local model = f:compile(options)
      local yes, no = model:run { sizes = ints(2, 3), go = true }, model:run { sizes = ints(2, 3), go = false }
      assert.are.same({ 6 }, yes.a.shape)
      assert.are.same({ 2, 3 }, no.a.shape)
      assert.are.same({ { 3, 3, 3 }, { 3, 3, 3 } }, yes.b:table())
      assert.are.same({ 6, 1 }, model:run({ sizes = ints(6, 1), go = false }).b.shape)
    end
  end)

  it("is saved and read", function()
    for _, name in ipairs { "rank.mlpackage", "rank.mlmodelc", "rank.mil" } do
      local f, t = fill()
      f:output("y", t:relu())
      f:save(luamil.path(name))
      local read = mil.load(luamil.path(name))
      assert.are.equal("fp32[...]", read.entry.outputs[1].type.text)
      assert.are.same({ 2, 1 }, read:compile():run({ sizes = ints(2, 1) }).y.shape)
    end
  end)
end)

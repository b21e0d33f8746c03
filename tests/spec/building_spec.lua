-- SPDX-License-Identifier: MIT
-- Building programs: ops as methods, operators, literals, names, symbols, undo, what is seen of a program.
local mil = require "mil"

local function input(shape, dtype)
  local f = mil.func()
  return f, f:input("x", dtype or "fp32", shape or { 2, 3 })
end

describe("lists of values", function()
  it("may be long, and hold numbers and rows", function()
    local f, x = input { 1 }
    local values, rows = { x }, { x }
    for i = 2, 3000 do values[i], rows[i] = x, { i, i } end
    assert.same({ 3000 }, f:concat({ values = values, axis = 0 }).type.shape)
    assert.same({ 5999 }, f:concat({ values = rows, axis = 0 }).type.shape)
    for i = 2, 3000 do values[i] = i end
    assert.has_error(function() return f:concat { values = values, axis = 0 } end)
    assert.truthy(mil.last_error().message:find("concat: value 2 is fp32, which does not go with the first, fp32[1]", 1, true))
  end)

  it("hold no lists of values", function()
    local f, x = input()
    local deep, ring = { x }, { x }
    for _ = 1, 10000 do deep = { x, deep } end
    ring[2] = ring
    for _, values in ipairs { deep, ring } do
      assert.has_error(function() return f:concat { values = values, axis = 0 } end)
      assert.equal("concat: values takes a list of values, but its element 2 is a list of values again", mil.last_error().message)
    end
  end)
end)

describe("a classifier", function()
  for kind, labels in pairs { strings = { "cat", "dog", "cow" }, integers = { 10, 20, 30 } } do
    it("is built with labels that are " .. kind, function()
      local f = mil.func { opset = "ios16" }
      local label, all = f:classify { probabilities = f:input("x", "fp32", { 1, 3 }):softmax(), classes = labels }
      f:output("label", label)
      f:output("all", all)
      assert.equal(tostring(f), tostring(mil.parse(tostring(f))))
      local path = os.tmpname() .. ".mlpackage"
      f:save(path)
      local read, file = mil.load(path), assert(io.open(path .. "/Data/com.apple.CoreML/model.mlmodel", "rb"))
      local bytes = file:read "*a"
      file:close()
      os.execute("rm -rf " .. path)
      assert.equal(labels[2], read:compile():run({ x = { 1, 3, 2 } }).label)
      assert.truthy(bytes:find("\90\5label", 1, true)) -- the description's predictedFeatureName, 11,
      assert.truthy(bytes:find("\98\3all", 1, true))   -- and predictedProbabilitiesName, 12
      for optimize = 0, 1 do
        assert.equal(labels[2], f:compile({ optimize = optimize }):run({ x = { 1, 3, 2 } }).label)
      end
    end)
  end

  it("takes as many labels as there are probabilities, and no numbers", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 3 })
    local function fails(message, labels)
      local ok, err = pcall(f.classify, f, { probabilities = x, classes = labels })
      assert.is_false(ok)
      assert.truthy(tostring(err):find(message, 1, true), tostring(err))
    end
    fails("probabilities fp32[3] has 3 elements, but there are 2 classes", { "a", "b" })
    fails("classes takes a list of strings or integers, but was given string", "a")
    fails("classes takes a list of strings or integers, but was given fp32[3]", mil.ones("fp32", { 3 }))
    fails("classes takes int64, but was given 1.5", { 1.5, 2, 3 })
    assert.equal(0, #f:operations "const")
  end)
end)

describe("ops are methods", function()
  it("of functions, with all arguments by name", function()
    local f, x = input()
    assert.equal("softmax_0 : fp32[2, 3] = softmax(x = x, axis = -1)", tostring(f:softmax { x = x, axis = -1 }))
  end)

  it("of values, which are their first input", function()
    local _, x = input()
    assert.equal("softmax_0 : fp32[2, 3] = softmax(x = x, axis = -1)", tostring(x:softmax { axis = -1 }))
    assert.equal("relu_0 : fp32[2, 3] = relu(x = x)", tostring(x:relu()))
    assert.equal("relu_1 : fp32[2, 3] = relu(x = x)", tostring(x:relu {}))
  end)

  it("with one positional argument: the second required input", function()
    local f, x = input { 4, 4 }
    assert.equal("less_0 : bool[4, 4] = less(x = x, y = 10)", tostring(x:less(10)))
    assert.equal("matmul", x:matmul(x).op)
    assert.equal("mul_0 : fp32[4, 4] = mul(x = x, y = mul_y_0)", tostring(x:mul(mil.ones("fp32", { 4 , 4 }))))
    assert.equal("relu_0 : fp32[4, 4] = relu(x = x)", tostring(f:relu(x)))
  end)

  it("with several results", function()
    local _, x = input { 4, 6 }
    local a, b, c = x:split { num_splits = 3, axis = 1 }
    assert.same({ 4, 2 }, b.type.shape)
    assert.same({ "split_0_0", "split_0_1", "split_0_2" }, { a.name, b.name, c.name })
  end)

  it("end is written end_", function()
    local _, x = input { 4, 6 }
    local y = x:slice_by_index { begin = { 0, 1 }, end_ = { 4, 3 } }
    assert.same({ 4, 2 }, y.type.shape)
    assert.same({ 4, 2 }, x:slice_by_index({ begin = { 0, 1 }, ["end"] = { 4, 3 } }).type.shape)
    local one = mil.func():input("x", "fp32", { 1, 3 }) -- walking back over a single element, as Python has it
    assert.same({ 1, 3 }, one:slice_by_index({ begin = { -1, 0 }, end_ = { -2, 3 }, stride = { -1, 1 } }).type.shape)
  end)

  it("name = names the result", function()
    local _, x = input()
    assert.equal("gate", x:relu({ name = "gate" }).name)
    assert.has_error(function() return x:relu { name = "gate" } end)
  end)

  it("take tuples of values", function()
    local f, x = input()
    local y = f:concat { values = { x, x, x }, axis = 0 }
    assert.same({ 6, 3 }, y.type.shape)
    assert.same({ 2, 2, 3 }, f:stack({ values = { x, x }, axis = 0 }).type.shape)
  end)

  it("all of the table, on values and functions alike", function()
    local f, x = input()
    for _, name in ipairs(mil.ops()) do
      assert.equal("function", type(f[name]), name)
      if name ~= "const" then assert.equal("function", type(x[name]), name) end
    end
  end)
end)

describe("operators", function()
  it("are ops", function()
    local _, x = input()
    local rows = { add = x + x, sub = x - x, mul = x * x, real_div = x / x, pow = x ^ x, mod = x % x }
    for op, value in pairs(rows) do assert.equal(op, value.op) end
    if _VERSION == "Lua 5.3" or _VERSION == "Lua 5.4" then
      local chunk = load "local x = ... return x // x"
      assert.equal("floor_div", chunk(x).op)
    end
    assert.equal("mul_1 : fp32[2, 3] = mul(x = x, y = -1)", tostring(-x))
  end)

  it("take numbers of the other operand's dtype, on either side", function()
    local _, x = input({ 2 }, "fp16")
    assert.equal("mul_0 : fp16[2] = mul(x = x, y = 2)", tostring(x * 2))
    assert.equal("sub_0 : fp16[2] = sub(x = 1, y = x)", tostring(1 - x))
    assert.equal("add_0 : fp16[2] = add(x = x, y = {1, 2})", tostring(x + { 1, 2 }))
    assert.equal("mul_1 : fp16[2] = mul(x = x, y = 0.5)", tostring(x * 0.5))
    local _, i = input({ 2 }, "int32")
    assert.equal("int32", (i + 1).type.dtype)
    assert.has_error(function() return i + 0.5 end)
  end)

  it("can't compare", function()
    local _, x = input()
    for _, compare in ipairs {
      function() return x < x + 1 end, function() return x <= x + 1 end, function() return x == x + 1 end,
    } do
      local ok, err = pcall(compare)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("a comparison of values can't give a value in Lua; write a:", 1, true))
    end
    assert.is_true(rawequal(x, x))
  end)
end)

describe("literals", function()
  it("are numbers, booleans, strings, nested tables, tensors", function()
    local f, x = input { 1, 4, 8 }
    assert.same({ 8, 4 }, x:reshape({ shape = { 8, 4 } }).type.shape)
    assert.equal("int32", x:cast({ dtype = "int32" }).type.dtype)
    assert.same({ 1, 4, 1 }, x:reduce_sum({ axes = { -1 }, keep_dims = true }).type.shape)
    local c = f:const { { 1, 2 }, { 3, 4 } }
    assert.same({ 2, 2 }, c.type.shape)
    assert.same({ { 1, 2 }, { 3, 4 } }, c.data:table())
    assert.equal("fp16", f:const({ 1.5 }, "fp16").type.dtype)
    local codes = f:constexpr_affine_dequantize { quantized_data = mil.tensor("int8", { { 1, 2 } }), zero_point = mil.tensor("int8", 0), scale = 1.5, axis = 0 }
    assert.truthy(tostring(codes):find("(quantized_data = int8[1, 2], zero_point = 0", 1, true), tostring(codes))
    local class = f:input("class", "int32", { 4 })
    for on, dtype in pairs { [2.5] = "fp32", [2] = "int32", [mil.tensor("fp16", 3)] = "fp16" } do -- off_value is of on_value's dtype
      local hot = class:one_hot { one_hot_vector_size = 3, on_value = on }
      assert.equal(dtype, hot.type.dtype)
      assert.equal(tostring(f), tostring(mil.parse(tostring(f))))
    end
    assert.equal("fp16", f:random_uniform({ shape = { 8 }, high = mil.tensor("fp16", 2) }).type.dtype)
    assert.equal("fp16", f:random_normal({ shape = { 8 }, mean = mil.tensor("fp16", 2) }).operation.args.stddev.type.dtype)
    for dtype, zero in pairs { uint8 = 200, int8 = -100 } do -- of output_dtype, where nothing else says
      assert.equal(dtype, c:cast({ dtype = "fp16" }):quantize({ scale = 0.5, zero_point = zero, output_dtype = dtype }).type.dtype)
    end
    assert.equal("table", f:const({ val = mil.ones("fp32", { 2 }), name = "table" }).name)
  end)

  it("of a long list", function()
    local f = mil.func()
    local numbers = {}
    for i = 1, 1000 do numbers[i] = i / 8 end
    local x = f:input("x", "fp32", { 1000 })
    local y = f:concat { values = { x, x + numbers, x * numbers }, axis = 0 }
    assert.same({ 3000 }, y.type.shape)
    f:output("y", y)
    local out = f:compile():run({ x = mil.ones("fp32", { 1000 }) }).y
    assert.equal(1 + 1000 / 8, out[2000])
    assert.equal(1000 / 8, out[3000])
  end)

  it("more than fit on the stack", function()
    local f, x = input { 2 }
    local values = {}
    for i = 1, 100 do values[i] = i % 3 == 0 and x or { i, i + 0.5 } end
    local y = f:concat { values = values, axis = 0 }
    f:output("y", y)
    local out = f:compile():run({ x = { -1, -2 } }).y
    assert.equal(200, #out)
    assert.equal(100.5, out[200])
    assert.equal(-2, out[6])
  end)

  it("a tensor given as a const is frozen", function()
    local _, x = input { 2 }
    local t = mil.tensor { 1, 2 }
    local y = x + t
    assert.equal("add", y.op)
    assert.has_error(function() t[1] = 5 end)
    assert.equal("ESTATE", mil.last_error().code)
    t:copy()[1] = 5
  end)
end)

describe("programs", function()
  it("have inputs and outputs in the order in which they were made", function()
    local f = mil.func { opset = "ios17" }
    local b, a = f:input("b", "fp16", { 1 }), f:input("a", "fp16", { 1 })
    local y = f:output("y", b + a)
    assert.equal("y", y.name)
    assert.same({ "b", "a" }, { f.inputs[1].name, f.inputs[2].name })
    assert.equal("y", f.outputs[1].name)
    assert.equal("ios17", f.opset)
    assert.equal("main", f.name)
    assert.equal("identity", f:output("again", y).op)
    assert.equal("identity", f:output("same", a).op)
  end)

  it("run with one of the shapes that were given, and no other", function()
    local f = mil.func()
    local x = f:input("x", "fp32", mil.shapes { { 1, 2, 2 }, { 1, 3, 3 } })
    local y = f:output("y", x:relu())
    local model = f:compile { engine = "cpu" }
    for _ = 1, 2 do
      assert.same({ 1, 2, 2 }, model:run({ x = mil.ones("fp32", { 1, 2, 2 }) }).y.shape)
      assert.same({ 1, 3, 3 }, model:run({ x = mil.ones("fp32", { 1, 3, 3 }) }).y.shape)
      for _, run in ipairs { function(t) return model:run { x = t } end, function(t) return y:eval { x = t } end } do
        local ok, err = pcall(run, mil.ones("fp32", { 1, 2, 3 }))
        assert.is_false(ok)
        assert.truthy(tostring(err):find("run: input x is [1, 2, 2] or [1, 3, 3], but was given [1, 2, 3]", 1, true))
      end
    end
  end)

  it("have several functions", function()
    local p = mil.program { opset = "ios18" }
    local f, g = p:func "prefill", p:func "decode"
    f:output("y", f:input("x", "fp32", { 2 }):relu())
    g:output("y", g:input("x", "fp32", { 2 }) * 2)
    assert.same({ "prefill", "decode" }, { p:functions()[1].name, p:functions()[2].name })
    assert.equal("prefill", p:func("prefill").name)
    assert.same({ 0, 1 }, p:compile({ entry = "prefill" }):run({ x = { -1, 1 } }).y:table())
    assert.same({ -2, 2 }, p:compile({ entry = "decode" }):run({ x = { -1, 1 } }).y:table())
    assert.same({ -2, 2 }, g:compile():run({ x = { -1, 1 } }).y:table())
    assert.has_error(function() return f:relu(g.inputs[1]) end)
  end)

  it("have symbolic dims", function()
    local f = mil.func()
    local x = f:input("x", "fp16", { 1, "S", mil.dim("T", { min = 1, max = 512, default = 128 }), "?" })
    assert.same({ 1, "S", "T" }, { x.type.shape[1], x.type.shape[2], x.type.shape[3] })
    assert.equal("string", type(x.type.shape[4]))
    assert.equal("T", tostring(mil.dim "T"))
    local y = f:input("y", "fp32", mil.shapes { { 1, 3, 224, 224 }, { 1, 3, 256, 256 } })
    assert.equal(3, y.type.shape[2])
    assert.equal("string", type(y.type.shape[3]))
    assert.same({ S = {}, T = { min = 1, max = 512, default = 128 }, [x.type.shape[4]] = {} }, x.ranges)
    assert.same({ min = 224, max = 256, default = 224 }, y.ranges[y.type.shape[3]])
    assert.is_nil(x.shapes)
    assert.same({ { 1, 3, 224, 224 }, { 1, 3, 256, 256 } }, y.shapes)
  end)

  it("have states", function()
    local f = mil.func()
    local s = f:state("cache", "fp16", { 1, 4 })
    assert.equal("state", s.type.kind)
    assert.has_error(function() return mil.func({ opset = "ios17" }):state("s", "fp16", { 1 }) end)
  end)

  it("take the last operation back", function()
    local f, x = input()
    local y = x * 2
    local z = y + 1
    f:undo()
    assert.has_error(function() return z.name end)
    assert.truthy(tostring(z):find "no longer")
    assert.has_error(function() return z + 1 end)
    f:undo()
    assert.equal(0, #f:operations())
    assert.has_error(function() f:undo() end)
    assert.equal("mul", (x * 3).op)
  end)

  it("show their operations, and values what made and uses them", function()
    local f, x = input()
    local y = x:softmax { axis = -1 }
    local z = f:concat { values = { y, x }, axis = 0 }
    local made = {}
    for _, operation in ipairs(f:operations()) do
      if operation.type ~= "const" then made[#made + 1] = operation end
    end
    assert.equal("softmax", made[1].type)
    assert.equal("x", made[1].args.x.name)
    assert.same({ "softmax_0", "x" }, { made[2].args.values[1].name, made[2].args.values[2].name })
    assert.equal(z.name, made[2].outputs[1].name)
    assert.truthy(made[1].where:find("building_spec.lua:%d+$"))
    assert.equal(2, #x:uses())
    assert.equal(0, #z:uses())
    assert.equal("x", y:args().x.name)
    assert.equal("fp32[2, 3]", tostring(y.type))
    assert.equal("tensor", y.type.kind)
    assert.equal("y2", f:rename(y, "y2").name)
    assert.equal("y2", y.name)
    assert.equal("y2", f:find("y2").name)
    assert.is_nil(f:find "none")
  end)

  it("are the same text however the arguments were written", function()
    local texts = {}
    for i = 1, 2 do
      local f = mil.func()
      local x = f:input("x", "fp32", { 4, 4 })
      local args = i == 1 and { begin = { 0, 0 }, end_ = { 2, 2 }, stride = { 1, 1 } } or {}
      if i == 2 then args.stride, args.end_, args.begin = { 1, 1 }, { 2, 2 }, { 0, 0 } end
      f:output("y", x:slice_by_index(args))
      texts[i] = tostring(f)
    end
    assert.equal(texts[1], texts[2])
    assert.truthy(texts[1]:find("begin_0 = const.*end_0 = const.*stride_0 = const"))
  end)

  it("live as long as one of their values", function()
    local x
    do
      local f
      f, x = input()
    end
    for _ = 1, 3 do collectgarbage() end
    assert.equal("relu", x:relu().op)
  end)

  it("refuse each other's values", function()
    local _, x = input()
    local _, y = input()
    local ok, err = pcall(function() return x + y end)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("add: the value given for y belongs to another program", 1, true))
  end)
end)

describe("the op table", function()
  it("is seen from Lua", function()
    local op = mil.op "softmax"
    assert.equal("activation", op.family)
    assert.equal("ios15", op.since)
    assert.equal(1, op.outputs)
    assert.equal("x", op.params[1].name)
    assert.is_true(op.params[1].required)
    assert.equal("axis", op.params[2].name)
    assert.equal("const", op.params[2].kind)
    assert.equal("-1", op.params[2].default)
    assert.same({ "fp16", "fp32" }, op.params[1].dtypes)
    assert.equal("softmax", mil.nearest "sofmax")
    assert.is_nil(mil.nearest "qqqqqqqq")
    assert.equal("gate", mil.nearest("gaet", { "up", "gate" }))
    assert.is_nil(mil.nearest("gaet", {}))
    for _, name in ipairs(mil.ops()) do assert.equal(name, mil.op(name).name) end
    assert.has_error(function() return mil.op "sofmax" end)
    assert.has_error(function() return mil.op("softmax", "ios14") end)
  end)

  it("members lists what an object has", function()
    local f = mil.func()
    local names = {}
    for _, name in ipairs(mil.members(f)) do names[name] = true end
    assert.is_true(names.input and names.relu and names.opset)
    assert.same({}, mil.members(5))
  end)
end)

describe("scatter", function()
  -- what becomes of indices 1, -1 and 7 of 4 elements
  local function scattered(opset, indices, options)
    local f = mil.func { opset = opset }
    local given = { data = f:input("data", "fp32", { 4 }), indices = f:input("i", "int32", { #indices }), updates = f:input("u", "fp32", { #indices }) }
    for key, value in pairs(options or {}) do given[key] = value end
    f:output("y", f:scatter(given))
    local ones = {}
    for i = 1, #indices do ones[i] = 1 end
    return f:compile():run({ data = { 0, 0, 0, 0 }, i = indices, u = ones }).y:table()
  end

  it("counts from the end up to ios16, and leaves out what lies outside from ios17 on", function()
    assert.same({ 0, 1, 0, 1 }, scattered("ios16", { 1, -1 }))
    assert.same({ 0, 1, 0, 0 }, scattered("ios17", { 1, -1, 7 }))
    assert.is_false((pcall(scattered, "ios16", { 1, 7 })))
    assert.is_false((pcall(scattered, "ios17", { 1, -1 }, { validate_indices = true })))
    assert.same({ 0, 2, 0, 0 }, scattered("ios17", { 1, 1 }, { validate_indices = true }))
  end)
end)

-- SPDX-License-Identifier: MIT
-- Tensors: made, indexed, viewed, converted, looked at, printed.
local mil = require "mil"

local function list(t) return t:table() end

describe("making tensors", function()
  it("fills with zeros, ones, a value", function()
    assert.same({ { 0, 0 }, { 0, 0 } }, list(mil.zeros("fp32", { 2, 2 })))
    assert.same({ 1, 1, 1 }, list(mil.ones("int32", { 3 })))
    assert.same({ 2.5, 2.5 }, list(mil.full("fp16", { 2 }, 2.5)))
    assert.equal(7, mil.full("fp32", {}, 7):get())
  end)

  it("takes nested tables, of a dtype or fp32", function()
    local t = mil.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.equal("fp32", t.dtype)
    assert.same({ 2, 3 }, t.shape)
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, list(t))
    assert.equal("int8", mil.tensor("int8", { 1, -128 }).dtype)
    assert.same({ true, false }, list(mil.tensor { true, false }))
    assert.same({ "a", "b\0c" }, list(mil.tensor { "a", "b\0c" }))
    assert.same({}, mil.tensor(3).shape)
    assert.same({ 2, 0 }, mil.tensor({ {}, {} }).shape)
    assert.same({ 2, 3, 1, 1, 1, 1, 1, 2 }, mil.zeros("fp32", { 2, 3, 1, 1, 1, 1, 1, 2 }).shape)
  end)

  it("counts up to the last, which is included", function()
    assert.same({ 1, 2, 3, 4 }, list(mil.arange("int32", 1, 4)))
    assert.same({ 0, 0.5, 1 }, list(mil.arange("fp32", 0, 1, 0.5)))
    assert.same({}, list(mil.arange("fp32", 1, 0)))
  end)

  it("draws random numbers that a seed repeats", function()
    local a, b = mil.randn("fp32", { 100 }, { seed = 3 }), mil.randn("fp32", { 100 }, { seed = 3 })
    assert.same(list(a), list(b))
    assert.is_false((a:close(mil.randn("fp32", { 100 }, { seed = 4 }))))
    mil.seed(9)
    local c = mil.rand("fp32", { 50 })
    mil.seed(9)
    assert.is_true(c:close(mil.rand("fp32", { 50 })))
    assert.is_true(c:min() >= 0 and c:max() < 1)
  end)

  it("goes through bytes", function()
    local t = mil.tensor("int16", { { 1, 2 }, { 3, -1 } })
    assert.equal("\1\0\2\0\3\0\255\255", mil.bytes(t))
    assert.same({ { 1, 3 }, { 2, -1 } }, list(mil.from_bytes("int16", { 2, 2 }, mil.bytes(t:transpose()))))
  end)
end)

describe("an index is Lua's, an axis is MIL's", function()
  local t = mil.tensor { { 1, 2, 3 }, { 4, 5, 6 } }

  it("counts elements from 1", function()
    assert.equal(6, t:get(2, 3))
    assert.equal(2, t[1][2])
    assert.same({ 3 }, t[1].shape)
    local u = t:copy()
    u[1] = { 7, 8, 9 }
    u[2][1] = 0
    u:set(2, 2, 1)
    assert.same({ { 7, 8, 9 }, { 0, 1, 6 } }, list(u))
    u[2] = 5
    assert.same({ 5, 5, 5 }, list(u[2]))
  end)

  it("counts axes from 0, negative from the end", function()
    assert.equal(2, t:size(0))
    assert.equal(3, t:size(-1))
    assert.equal(6, t:numel())
    assert.equal(2, #t)
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, list(t:transpose { 1, 0 }))
    assert.same({ 3, 2 }, t:transpose().shape)
  end)

  it("cuts inclusive ranges as views", function()
    local u = t:copy()
    local part = u:sub({ 1, 2 }, { 2, 3 })
    assert.same({ { 2, 3 }, { 5, 6 } }, list(part))
    part:fill(0)
    assert.same({ { 1, 0, 0 }, { 4, 0, 0 } }, list(u))
    assert.same({ 4, 5, 6 }, list(t:sub(2)))
    assert.same({ 2, 5 }, list(t:sub(nil, 2)))
    assert.same({ { 1, 3 }, { 4, 6 } }, list(t:sub({}, { 1, -1, 2 })))
    assert.same({ 3, 6 }, list(t:sub({ 1, 2 }, -1)))
    assert.same({ 1, 4 }, list(t:sub(nil, { 1, 3, 2 ^ 53 }):reshape { 2 }))
  end)

  it("reshapes what a view can reach", function()
    assert.same({ 3, 2 }, t:reshape({ 3, 2 }).shape)
    assert.same({ 1, 6 }, t:reshape({ 1, -1 }).shape)
    local u = t:copy()
    u:reshape({ 6 })[6] = 60
    assert.equal(60, u:get(2, 3))
  end)

  for _, row in ipairs {
    { "t[0]", "t[i]: index 0 of axis 0 is outside of 1 to 2 (an index is Lua's, from 1)" },
    { "t[3]", "t[i]: index 3 of axis 0 is outside of 1 to 2 (an index is Lua's, from 1)" },
    { "t:get(1)", "get: a tensor fp32[2, 3] takes 2 indices, but was given 1" },
    { "t:size(2)", "size: axis 2 is outside of -2 to 1 (an axis is MIL's, from 0)" },
    { "t:sub({0, 1})", "sub: {0, 1} of axis 0 is outside of 1 to 2 (an index is Lua's, from 1)" },
    { "t:reshape{4, -1}", "reshape: 6 elements can't be divided by 4" },
    { "t.shap", "a tensor has no \"shap\"; did you mean shape?" },
    { "t:trnspose()", "a tensor has no \"trnspose\"; did you mean transpose?" },
  } do
    it(row[1], function()
      local chunk = (loadstring or load)("local t = ... local r = " .. row[1] .. " return r", "=script") -- luacheck: ignore
      local ok, err = pcall(chunk, t)
      assert.is_false(ok)
      assert.equal("script:1: " .. row[2], tostring(err))
    end)
  end
end)

describe("whole tensors", function()
  it("convert with a copy", function()
    local t = mil.tensor { 1.5, 2.5, -1.5, 300 }
    assert.equal("fp16", t:to("fp16").dtype)
    assert.same({ 1.5, 2.5, -1.5, 300 }, list(t:to "fp16"))
    assert.equal(255, t:to("uint8"):get(4))
  end)

  it("write tensors, tables and numbers", function()
    local t = mil.zeros("fp32", { 2, 2 })
    t:write { { 1, 2 }, { 3, 4 } }
    assert.same({ { 1, 2 }, { 3, 4 } }, list(t))
    t:write { 5, 6, 7, 8 }
    assert.same({ { 5, 6 }, { 7, 8 } }, list(t))
    t:write(mil.tensor("int32", { { 1, 1 }, { 1, 1 } }))
    assert.same({ { 1, 1 }, { 1, 1 } }, list(t))
    t:write(2)
    assert.same({ { 2, 2 }, { 2, 2 } }, list(t))
    assert.has_error(function() t:write { { 1, 2, 3 }, { 1, 2, 3 } } end)
    assert.same({ { 2, 2 }, { 2, 2 } }, list(t))
  end)

  it("hold what their dtype holds, to the last", function()
    for _, row in ipairs { { "int4", -8, 7 }, { "int8", -128, 127 }, { "uint8", 0, 255 }, { "uint1", 0, 1 },
                           { "int32", -2147483648, 2147483647 }, { "uint32", 0, 4294967295 } } do
      for i = 2, 3 do
        assert.equal(row[i], mil.full(row[1], { 3 }, row[i])[2])
        assert.has_error(function() mil.full(row[1], { 3 }, row[i] + (i == 2 and -1 or 1)) end)
      end
    end
    assert.is_true(mil.full("bool", { 2 }, true)[2])
    assert.has_error(function() mil.full("bool", { 2 }, 2) end)
    local most = math.maxinteger
    if most then
      local t = mil.zeros("int64", { 2 })
      t:set(1, most)
      t:set(2, math.mininteger)
      assert.same({ most, math.mininteger }, t:table())
    end
  end)

  it("say what is in them", function()
    local t = mil.tensor { 4, 0 / 0, -1, 1 / 0 }
    local stats = t:stats()
    assert.equal(1, stats.nan)
    assert.equal(1, stats.inf)
    assert.equal("fp32[2]  min -inf  max inf  mean nan  2 inf", tostring(mil.tensor { 1 / 0, -1 / 0 }):match "[^\n]*")
    assert.equal(-1, t:min())
    assert.equal(1.5, mil.tensor({ 1, 2 }):mean())
    assert.is_true(t:close(t))
    local same, why = mil.tensor({ 1, 2 }):close(mil.tensor { 1, 3 })
    assert.is_false(same)
    assert.equal("element 2 is 2, not 3", why)
  end)

  it("list the largest", function()
    local best = mil.tensor({ 0.1, 5, 0 / 0, 3 }):topk(2)
    assert.equal(2, #best)
    assert.equal(2, best[1].index)
    assert.equal(5, best[1].value)
    assert.equal(4, best[2].index)
    assert.equal(1, #mil.tensor({ 1 }):topk(5))
  end)

  it("map elements", function()
    assert.same({ { 2, 4 }, { 6, 8 } }, list(mil.tensor({ { 1, 2 }, { 3, 4 } }):map(function(x) return 2 * x end)))
  end)

  it("are given back at once", function()
    local t = mil.zeros("fp32", { 4 })
    local view = t:sub { 1, 2 }
    assert.is_true(t:free())
    assert.is_true(t:free())
    assert.same({ 0, 0 }, list(view))
    local ok, err = pcall(t.numel, t)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("numel: the tensor has been freed", 1, true))
    assert.equal("(a freed tensor)", tostring(t))
  end)

  it("hold 64-bit integers exactly, or say that they can't", function()
    local t = mil.from_bytes("int64", { 1 }, "\1\0\0\0\0\0\32\0") -- 2^53 + 1
    if math.type then
      assert.equal("9007199254740993", tostring(t[1]))
      t[1] = t[1] + 2
      assert.equal("9007199254740995", tostring(t[1]))
    else
      assert.has_error(function() return t[1] end)
    end
  end)

  it("refuse what a dtype can't hold", function()
    assert.has_error(function() return mil.tensor("uint8", { 256 }) end)
    assert.has_error(function() return mil.tensor("int32", { 0.5 }) end)
    assert.has_error(function() return mil.tensor("int8", { "a" }) end)
    assert.has_error(function() mil.zeros("int8", { 1 })[1] = 0.5 end)
    local t = mil.zeros("fp16", { 1 })
    local rows = {
      function() return mil.tensor("fp16", { 1e9 }) end, function() return mil.tensor("fp16", { -65520 }) end,
      function() return mil.full("fp16", { 2 }, 65536) end, function() t[1] = 1e9 end, function() t:fill(1e9) end,
      function() return mil.tensor("fp32", { 1e39 }) end,
    }
    for i, row in ipairs(rows) do
      local ok, err = pcall(row)
      assert.is_false(ok, i)
      assert.truthy(tostring(err):find "fp%d+ can't hold %-?%d")
    end
    assert.same({ 65504, math.huge, -math.huge }, list(mil.tensor("fp16", { 65519, math.huge, -math.huge })))
    t[1] = math.huge
    assert.equal(math.huge, t[1])
  end)

  it("of fp64 hold what fp32 does not", function()
    assert.equal(1e39, mil.tensor("fp64", { 1e39 })[1])
  end)

  it("share memory by descriptor", function()
    local ok, t = pcall(mil.shared, "fp32", { 3 })
    if not ok then return end -- only where the system has it
    t:write { 1, 2, 3 }
    local again = mil.import(t:fd(), "fp32", { 3 })
    assert.same({ 1, 2, 3 }, list(again))
    again[1] = 10
    assert.equal(10, t[1])
    assert.equal(t, t:lock():unlock())
  end)

  it("point at their first element", function()
    local t = mil.tensor { 1, 2, 3 }
    assert.equal("userdata", type(t:pointer()))
    local has_ffi, ffi = pcall(require, "ffi")
    if not has_ffi then return end
    local p = ffi.cast("float *", t:pointer())
    assert.equal(3, p[2])
    p[0] = 7
    assert.equal(7, t[1])
  end)
end)

describe("printing", function()
  it("shows dtype, shape, statistics and aligned numbers", function()
    assert.equal("fp32[2, 3]  min -2  max 10.25  mean 2.229\n" ..
                 "      1  0.125     -2\n" ..
                 "  10.25      0      4",
                 tostring(mil.tensor { { 1, 0.125, -2 }, { 10.25, 0, 4 } }))
    assert.equal("bool[2]  min 0  max 1  mean 0.5\n   true  false", tostring(mil.tensor { true, false }))
    assert.equal("fp32[]  min 3  max 3  mean 3\n  3", tostring(mil.tensor(3)))
    assert.equal("fp32[0, 4]", tostring(mil.zeros("fp32", { 0, 4 })))
    assert.equal('string[2]\n  "a"  "b"', tostring(mil.tensor { "a", "b" }))
  end)

  it("leaves the middle out and keeps to the width", function()
    local text = mil.zeros("fp32", { 100, 1000 }):tostring { width = 40 }
    for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 60) end
    local _, lines = text:gsub("\n", "")
    assert.equal(7, lines)
    assert.truthy(text:find("...", 1, true))
    local blocks = tostring(mil.zeros("fp16", { 2, 50, 2, 2 }))
    assert.truthy(blocks:find("[1, 2, :, :]", 1, true))
    assert.truthy(#blocks < 2000)
  end)
end)

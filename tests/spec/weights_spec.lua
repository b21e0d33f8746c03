-- SPDX-License-Identifier: MIT
-- Weights files from Lua: reading by name, writing, one tensor a file.
local mil = require "mil"

local function temporary(ending)
  local base = os.tmpname()
  os.remove(base)
  return base .. ending
end

describe("weights", function()
  local path = temporary ".safetensors"
  local a, b = mil.tensor { { 1, 2 }, { 3, 4 } }, mil.tensor("int64", { 5, 6, 7 })

  setup(function() assert.is_true(mil.save(path, { ["layer.0.weight"] = a, gate = b }, { format = "test" })) end)
  teardown(function() os.remove(path) end)

  it("are indexed by name", function()
    local w = mil.weights(path)
    assert.same(a:table(), w["layer.0.weight"]:table())
    assert.equal("int64", w.gate.dtype)
    assert.equal(2, #w)
    assert.same({ "gate", "layer.0.weight" }, mil.names(w))
    assert.equal("test", mil.metadata(w, "format"))
    assert.is_nil(mil.metadata(w, "none"))
    assert.equal("weights: 2 tensors", tostring(w))
  end)

  it("name what is near", function()
    local w = mil.weights(path)
    local ok, err = pcall(function() return w.gat end)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("gate", 1, true), tostring(err))
  end)

  it("are read-only, and outlive the file object", function()
    local t = mil.weights(path).gate
    collectgarbage()
    collectgarbage()
    assert.same({ 5, 6, 7 }, t:table())
    assert.has_error(function() t[1] = 0 end)
    assert.has_error(function() mil.weights(path).x = t end)
  end)

  it("hold one tensor a file", function()
    for _, ending in ipairs { ".npy", ".npz", ".safetensors" } do
      local one = temporary(ending)
      a:save(one)
      assert.same(a:table(), mil.load_tensor(one):table())
      os.remove(one)
    end
    assert.same({ 5, 6, 7 }, mil.load_tensor(path, "gate"):table())
    assert.has_error(function() return mil.load_tensor(path) end)
  end)

  it("of npy have no name in errors", function()
    local header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    local odd = temporary ".npy"
    local file = assert(io.open(odd, "wb"))
    file:write("\147NUMPY\1\0", string.char(#header, 0), header, ("\0"):rep(8))
    file:close()
    assert.is_false((pcall(mil.load_tensor, odd)))
    assert.equal("npy: " .. odd .. ": dtype '|O' is not supported", mil.last_error().message)
    os.remove(odd)
  end)

  it("say what they know of themselves", function()
    assert.same({ format = "test" }, mil.metadata(mil.weights(path)))
    local plain = mil.weights "tests/vectors/gguf/plain.gguf"
    assert.equal("wörter", mil.metadata(plain, "m.text"))
    assert.equal(255, mil.metadata(plain, "m.u8"))
    assert.is_true(mil.metadata(plain, "m.yes"))
    local all = mil.metadata(plain)
    assert.same({ "a", "", "longer" }, all["m.names"])
    assert.same({ 1, -2, 3 }, all["m.ints"])
    assert.same({ true, false }, all["m.bools"])
    assert.equal(-2 ^ 53, all["m.i64"])
  end)

  it("have integers that are no numbers of Lua's as digits", function()
    local wide = temporary ".gguf"
    local file = assert(io.open(wide, "wb"))
    local function key(name, kind, value) file:write(string.char(#name), ("\0"):rep(7), name, string.char(kind), "\0\0\0", value) end
    file:write("GGUF\3\0\0\0", ("\0"):rep(8), "\2", ("\0"):rep(7))
    key("most", 10, ("\255"):rep(8))
    key("list", 9, "\10\0\0\0\2" .. ("\0"):rep(7) .. "\7" .. ("\0"):rep(7) .. ("\255"):rep(8))
    file:close()
    local w = mil.weights(wide)
    assert.equal("18446744073709551615", mil.metadata(w, "most"))
    assert.same({ most = "18446744073709551615", list = { 7, "18446744073709551615" } }, mil.metadata(w))
    mil.convert(w, wide .. ".safetensors")
    assert.same({ most = "18446744073709551615" }, mil.metadata(mil.weights(wide .. ".safetensors")))
    os.remove(wide .. ".safetensors")
    os.remove(wide)
  end)

  it("are converted one at a time, with their metadata", function()
    local to = temporary ".safetensors"
    assert.is_true(mil.convert(mil.weights "tests/vectors/gguf/plain.gguf", to))
    local w, made = mil.weights "tests/vectors/gguf/plain.gguf", mil.weights(to)
    for _, name in ipairs(mil.names(w)) do assert.is_true(made[name]:close(w[name], 0)) end
    assert.same({ "255", "true", "0.5", "wörter" },
      { mil.metadata(made, "m.u8"), mil.metadata(made, "m.yes"), mil.metadata(made, "m.f32"), mil.metadata(made, "m.text") })
    assert.is_nil(mil.metadata(made, "m.names"))
    local parts = {}
    mil.convert(w, to, { progress = function(stage, part) parts[#parts + 1] = stage == "weights" and part end })
    assert.equal(1, parts[#parts])
    assert.is_false((pcall(mil.convert, w, to, { progress = function() return false end })))
    assert.equal("ECANCELLED", mil.last_error().code)
    assert.is_false((pcall(mil.convert, w, to, { progres = print })))
    assert.is_false((pcall(mil.convert, w, "w.gguf")))
    assert.equal("255", mil.metadata(mil.weights(to), "m.u8")) -- as it was
    os.remove(to)
  end)

  it("of gguf are expanded, or given as they are kept", function()
    local w = mil.weights "tests/vectors/gguf/types.gguf"
    local values, q = w.Q8_0:table(), mil.quantized(w, "Q8_0")
    assert.equal("fp32", w.Q8_0.dtype)
    assert.same({ 2, 32 }, q.data.shape)
    assert.same({ 2, 1 }, q.scale.shape)
    assert.equal("int8", q.data.dtype)
    for row = 1, 2 do
      for i = 1, 32 do assert.equal(values[row][i], q.data:get(row, i) * q.scale:get(row, 1)) end
    end
    assert.equal("fp16", mil.quantized(w, "Q4_0", "fp16").scale.dtype)
    for _, name in ipairs { "Q4_0", "Q8_0", "Q6_K", "MXFP4" } do
      local f = mil.func()
      local kept = f:constexpr_blockwise_shift_scale(mil.quantized(w, name))
      local x = f:input("x", "fp32", { 2, kept.type.shape[2] })
      f:output("a", x:linear { weight = kept })
      f:output("b", x:linear { weight = w[name] })
      local out = f:compile { engine = "cpu" }:run { x = mil.randn("fp32", x.type.shape) }
      assert.is_true(out.a:close(out.b, 1e-5)) -- sums of other orders
      assert.truthy(tostring(f):find("constexpr_blockwise_shift_scale", 1, true))
    end
    assert.is_false((pcall(mil.quantized, w, "Q4_K")))
    assert.equal("EUNSUPPORTED", mil.last_error().code)
  end)

  for name, code in pairs {
    ["missing.safetensors"] = "EIO",
    ["tests/vectors/weights/bad_18_overlap.safetensors"] = "EFORMAT",
    ["tests/vectors/weights/bad_cut_data.npy"] = "EFORMAT",
  } do
    it(name .. " is an error with its name", function()
      assert.is_false((pcall(mil.weights, name)))
      assert.equal(code, mil.last_error().code)
      assert.truthy(mil.last_error().message:find(name, 1, true), mil.last_error().message)
    end)
  end
end)

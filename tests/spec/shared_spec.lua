-- SPDX-License-Identifier: MIT
-- Memory that processes share: by descriptor here; by id (IOSurface) in tests/c/standin_surface_test.c.
local mil = require "mil"
local luamil = dofile "tests/spec/luamil.lua"
local lua = os.getenv "MIL_TEST_LUA" or "lua"

local is_here = pcall(function() return mil.shared("fp32", { 1 }):fd() end) -- Linux

-- Another process that has t's memory under descriptor 9 runs a chunk.
local function in_another(t, chunk)
  local path = luamil.write("other.lua", "local mil = require 'mil'\n" .. chunk)
  return luamil.shell(("exec 9<>/proc/$PPID/fd/%d; %s %s"):format(t:fd(), lua, path))
end

local function raises(text, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(tostring(message):find(text, 1, true), tostring(message))
end

describe("shared memory", function()
  teardown(luamil.remove)
  if not is_here then return end

  it("is one for two processes", function()
    local t = mil.shared("fp32", { 2, 3 })
    t:write { { 1, 2, 3 }, { 4, 5, 6 } }
    local status, out, err = in_another(t, [[
      local t = mil.import(9, "fp32", { 2, 3 })
      print(t:get(2, 3))
      t:write { { 10, 20, 30 }, { 40, 50, 60 } }]])
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal(6, tonumber(out))
    assert.equal(60, t:get(2, 3))
  end)

  it("has rows as the Neural Engine wants them, in both", function()
    local t = mil.shared("fp16", { 1, 4, 1, 8 }, { row = 64 })
    assert.same({ 128, 32, 32, 1 }, t.strides)
    assert.same({ 1, 4, 1, 8 }, t.shape)
    assert.is_false(t:is_contiguous())
    t:set(1, 3, 1, 8, 7)
    local _, out, err = in_another(t, [[
      local t = mil.import({ fd = 9 }, "fp16", { 1, 4, 1, 8 }, { row = 64 })
      print(t:get(1, 3, 1, 8), t.strides[2])]])
    assert.equal("", err)
    local element, stride = out:match "(%S+)%s+(%S+)"
    assert.same({ 7, 32 }, { tonumber(element), tonumber(stride) })
  end)

  it("refuses what is smaller than wanted", function()
    local t = mil.shared("fp32", { 3 })
    raises("it has 12 bytes, but 16 are wanted", mil.import, t:fd(), "fp32", { 4 })
  end)

  it("outlives who made it", function()
    local t = mil.shared("int32", { 2 })
    local again = mil.import(t:fd(), "int32", { 2 })
    t:write { 5, 6 }
    t:free()
    assert.same({ 5, 6 }, again:table())
  end)

  it("is run on, in and out", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp16", { 1, 4, 1, 8 }):relu())
    local x = mil.shared("fp16", { 1, 4, 1, 8 }, { row = 64 })
    local y = mil.shared("fp16", { 1, 4, 1, 8 }, { row = 64 })
    local step = f:compile():bind { x = x, y = y }
    for i = -1, 1 do
      x:fill(i)
      step()
      assert.equal(math.max(i, 0), y:get(1, 4, 1, 8))
    end
  end)

  it("is made for a model", function()
    local f = mil.func()
    f:output("y", f:input("x", "fp16", { 2, 3 }):relu())
    f:output("z", f:input("open", "fp32", { "S" }):abs())
    local model = f:compile()
    local io = model:shared()
    assert.same({ 2, 3 }, io.x.shape)
    assert.equal("fp16", io.y.dtype)
    assert.truthy(io.y:fd() > 0)
    assert.is_nil(io.open) -- of no fixed size
    assert.is_nil(io.z)
    io.x:fill(-4)
    io.y:fill(1)
    io.open = mil.zeros("fp32", { 2 })
    model:bind(io)()
    assert.equal(0, io.y:get(2, 3))
    model:unload()
    raises("the model has been unloaded", model.shared, model)
  end)

  it("says what it does not take", function()
    local t = mil.shared("fp32", { 3 })
    raises("t:fd()", t.id, t)
    raises("fd: the tensor is not shared memory (mil.shared)", function() mil.zeros("fp32", { 1 }):fd() end)
    raises("id: the tensor is not shared memory (mil.shared)", function() mil.zeros("fp32", { 1 }):id() end)
    raises("rows of fp32 begin at multiples of 4 bytes, but were to at those of 6", mil.shared, "fp32", { 3 }, { row = 6 })
    raises("row is a number of bytes", mil.shared, "fp32", { 3 }, { row = -1 })
    raises("takes either fd or id", mil.import, {}, "fp32", { 3 })
    raises("takes either fd or id", mil.import, { fd = 1, id = 1 }, "fp32", { 3 })
    raises("there is no fd -1", mil.import, -1, "fp32", { 3 })
    raises("there is no fd 4294967296", mil.import, { fd = 2 ^ 32 }, "fp32", { 3 })
    raises("there is no id -1", mil.import, { id = -1 }, "fp32", { 3 })
    raises("is part of macOS", mil.import, { id = 1 }, "fp32", { 3 })
    raises('lock: takes "read" or "write", but was given "see"', t.lock, t, "see")
  end)

  it("is locked and unlocked", function()
    local t = mil.shared("fp32", { 3 })
    assert.equal(t, t:lock "read":lock():unlock():unlock())
    raises("unlock: the buffer is not locked", t.unlock, t)
  end)
end)

-- On the stand-in for Apple's frameworks, where shared memory is surfaces: in processes of their own.
describe("surfaces", function()
  teardown(luamil.remove)
  local folder = (os.getenv "MIL_TEST_BUILD" or "build") .. "/standin"
  local built = io.open(folder .. "/libobjc.A.so")
  if not built then return end
  built:close()

  local function on_standin(chunk)
    os.execute("mkdir -p " .. luamil.folder)
    local path = luamil.write("surfaces.lua", "local mil = require 'mil'\n" .. chunk)
    return luamil.shell(("MIL_FRAMEWORKS=%s MIL_CACHE=%s LUA=%s %s %s"):format(folder, luamil.path "cache", lua, lua, path))
  end

  it("are found by their id, in another process", function()
    local other = luamil.path "other.lua"
    os.execute("mkdir -p " .. luamil.folder)
    luamil.write("other.lua", [[
      local mil = require "mil"
      local t = mil.import({ id = tonumber(arg[1]) }, "fp16", { 1, 4, 1, 8 }, { row = 64 })
      print(t:get(1, 4, 1, 8))
      t:set(1, 4, 1, 8, 9)]])
    local status, out, err = on_standin(([[
      local t = mil.shared("fp16", { 1, 4, 1, 8 }, { row = 64 })
      t:set(1, 4, 1, 8, 5)
      local pipe = io.popen(("%%s %s %%d"):format(os.getenv "LUA", t:id()))
      print(tonumber(pipe:read "*a"), t:get(1, 4, 1, 8), pcall(t.fd, t))
      pipe:close()]]):format(other))
    assert.equal("", err)
    assert.equal(0, status)
    local theirs, ours, rest = out:match "^(%S+)%s+(%S+)%s+(.*)$"
    assert.same({ 5, 9 }, { tonumber(theirs), tonumber(ours) })
    assert.truthy(rest:find("shared memory of this system has another handle, t:id()", 1, true))
  end)

  for _, route in ipairs { "direct", "e5rt" } do
    it("are run on without copies by route " .. route, function()
      local status, out, err = on_standin(([[
        local f = mil.func()
        f:output("y", (f:input("a", "fp16", { 1, 4, 1, 8 }) - f:input("b", "fp16", { 1, 4, 1, 8 })):relu())
        local model = f:compile { engine = "ane", route = %q }
        local io = model:shared()
        local step = model:bind(io)
        for i = 1, 3 do
          io.a:fill(10 * i)
          io.b:fill(i)
          step()
          assert(io.y:get(1, 4, 1, 8) == 9 * i)
        end
        print(model:describe():match "so far: [^\n]+")
        io.a:lock()
        print(pcall(step))
        io.a:unlock()
        step()]]):format(route))
      assert.equal("", err)
      assert.equal(0, status)
      assert.truthy(out:find("so far: 3 runs, 0 copies of inputs and outputs", 1, true), out)
      assert.truthy(out:find("the memory of a is locked", 1, true), out)
    end)
  end
end)

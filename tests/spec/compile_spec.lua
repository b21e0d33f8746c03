-- SPDX-License-Identifier: MIT
-- luamil compile: texts through the Neural Engine's compiler, on the stand-in for Apple's frameworks where there is one.
local mil = require "mil"
local luamil = dofile "tests/spec/luamil.lua"

local function has_standin()
  local file = io.open("build/standin/libobjc.A.so", "rb")
  if file then file:close() end
  return file ~= nil
end

local command = (os.getenv "MIL_TEST_LUA" or "lua") .. " bin/luamil "

local function on_standin(arguments, environment)
  return luamil.shell(("MIL_FRAMEWORKS=build/standin MIL_CACHE=%s %s %s %s"):format(luamil.path "cache", environment or "", command, arguments))
end

-- Text and weights of a small convolution, as the engine's compiler takes them.
local function write_text(route)
  local f = mil.func()
  local x = f:input("x", "fp16", { 1, 4, 1, 32 })
  f:output("y", x:conv { weight = mil.randn("fp16", { 8, 4, 1, 1 }, { seed = 1 }), pad_type = "valid" })
  local text, files = f:lower({ route = route }):dialect { route = route }
  luamil.shell("mkdir -p " .. luamil.path "weights")
  for name, bytes in pairs(files) do luamil.write(name:gsub("^@model_path/", ""), bytes) end
  return luamil.write("model.mil", text)
end

describe("luamil compile", function()
  teardown(luamil.remove)

  it("tells what it does not understand, and where there is no engine", function()
    local status, _, err = luamil "compile"
    assert.same({ 2, true }, { status, err:find("takes one text", 1, true) ~= nil })
    status, _, err = luamil("compile " .. luamil.path "no.mil")
    assert.same({ 1, true }, { status, err:find("can't read", 1, true) ~= nil })
  end)

  it("compiles a text with its weights, by each route", function()
    if not has_standin() then return pending "no stand-in" end
    for _, route in ipairs { "direct", "e5rt" } do
      local status, out, err = on_standin(("compile %s --route %s"):format(write_text(route), route))
      assert.equal(0, status, err)
      assert.truthy(out:find(("route: %s, in the short spelling, compiled"):format(route), 1, true), out)
      assert.truthy(out:find("\nself-test: order of the ports right, rows right", 1, true), out)
    end
  end)

  it("says why a text is refused", function()
    if not has_standin() then return pending "no stand-in" end
    local path = luamil.write("bad.mil", "program(1.3)\n{ func main<ios18>(tensor<fp16, [1, 4, 1, 32]> x) {"
      .. " tensor<fp16, [1, 4, 1, 32]> y = relu(x = x)[name = string(\"y\")]; } -> (y); }\n")
    local status, _, err = on_standin(("compile %s --route direct"):format(path))
    assert.equal(1, status)
    assert.truthy(err:find("the Neural Engine's compiler refused the program: .*InvalidMILProgram.*coremlc%-version"), err)
  end)

  -- The stand-in's daemon keeps in a folder what was compiled, so that other processes find it.
  it("compiles for a process that has compiled as much as it may", function()
    if not has_standin() then return pending "no stand-in" end
    local script = luamil.write("many.lua", [[
      local mil = require "mil"
      local x = mil.randn("fp16", { 1, 4, 1, 32 }, { seed = 1 })
      for i = 1, 117 do
        local f = mil.func()
        f:output("y", f:input("x", "fp16", { 1, 4, 1, 32 }):conv { weight = mil.full("fp16", { 4, 4, 1, 1 }, i), pad_type = "valid" })
        local model = f:compile { engine = "ane", route = "direct" }
        if i > 114 then print(i, model:describe():match "spelling, (.-);", model:run({ x = x }).y:close(f:compile({ engine = "cpu" }):run({ x = x }).y, 0.1 * i)) end
        model:unload()
      end]])
    luamil.shell("mkdir -p " .. luamil.path "copies" .. " " .. luamil.path "cache/ane")
    luamil.write("luamil", "#!/bin/sh\nexec " .. command .. ' "$@"\n')
    luamil.write("cache/ane/direct-h15g-25D125.txt", "luamil self-test 2\norder: right\n") -- that costs compiles too
    luamil.shell("chmod +x " .. luamil.path "luamil")
    local status, out, err = on_standin(script, ("STANDIN_COPIES=%s MIL_COMMAND=%s"):format(luamil.path "copies", luamil.path "luamil"))
    assert.same({ 0, "115\tcompiled\ttrue\n116\tcompiled by another process\ttrue\n117\tcompiled by another process\ttrue\n" }, { status, out }, err)
  end)
end)

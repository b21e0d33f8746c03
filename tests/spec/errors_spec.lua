-- SPDX-License-Identifier: MIT
-- Errors: every message of tests/errors.lua at the right line; what an error object has; nothing is left behind.
local mil = require "mil"

local function run(script)
  local f = mil.func()
  local env = setmetatable({
    mil = mil, f = f, x = f:input("x", "fp16", { 1, 4, 1, 8 }), i = f:input("i", "int32", { 3 }), v = f:input("v", "fp32", { 6 }),
  }, { __index = _G })
  local chunk
  if setfenv then
    chunk = assert(loadstring(script, "=script"))
    setfenv(chunk, env)
  else
    chunk = assert(load(script, "=script", "t", env))
  end
  local ok, err = pcall(chunk)
  return ok, tostring(err), f
end

describe("messages", function()
  for _, row in ipairs(dofile "tests/errors.lua") do
    it(row[1], function()
      local ok, message, f = run(row[1])
      assert.is_false(ok)
      if row[2] then assert.equal(row[2], message) end
      assert.equal("relu", f.inputs[1]:relu().op) -- the program is as good as before
    end)
  end
end)

describe("an error", function()
  it("is an object with fields, or a string with mil.last_error", function()
    local f = mil.func()
    local x = f:input("x", "fp16", { 1, 4 })
    local ok, err = pcall(function() x:softmax { axis = 7 } end)
    assert.is_false(ok)
    local last = mil.last_error()
    if _VERSION == "Lua 5.1" and not jit then -- luacheck: ignore
      assert.equal("string", type(err))
      assert.equal(tostring(last), err)
    else
      assert.is_true(rawequal(err, last))
    end
    assert.equal("EVALUE", last.code)
    assert.equal("softmax", last.op)
    assert.truthy(last.where:find "errors_spec.lua:%d+$")
    assert.equal(last.where .. ": " .. last.message, tostring(last))
    assert.equal("failed: " .. tostring(last), "failed: " .. last)
    assert.equal("number", type(last.line))
  end)

  it("of MIL text has its place there, the line and a caret", function()
    local ok, err = pcall(function() return (mil.parse("program(1.0)\n{ func main<ios18>() {} }", { name = "a.mil" })) end)
    assert.is_false(ok)
    local last = mil.last_error()
    assert.equal("EPARSE", last.code)
    assert.equal("a.mil", last.file)
    assert.truthy(last.column > 0)
    assert.truthy(tostring(err):find("errors_spec.lua:%d+: a.mil:%d+:%d+: "), tostring(err))
    assert.truthy(tostring(err):find("^", 1, true))
  end)

  it("has no position where no script is to blame", function()
    local ok, err = pcall(pcall, mil.zeros)
    assert.is_true(ok)
    assert.equal(false, err)
  end)

  -- A chunk of that file's name which asks for what there isn't, called from here.
  local function blamed(file)
    local chunk = assert((loadstring or load)("local mil = ...\nlocal t = mil.zeros('fp33', { 1 })\nreturn t", "@/usr/share/lua/mil/" .. file))
    assert.is_false(pcall(function()
      local t = chunk(mil)
      return t
    end))
    return mil.last_error().where
  end

  it("blames the script and not our own files", function()
    local names = assert(require("mil.system").list "lua/mil")
    assert.is_true(#names > 15)
    for _, name in ipairs(names) do assert.truthy(blamed(name):find "errors_spec%.lua:%d+$", name) end
    assert.equal("/usr/share/lua/mil/main.lua:2", blamed "main.lua")
  end)
end)

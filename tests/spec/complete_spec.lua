-- SPDX-License-Identifier: MIT
-- Completion: what is offered after some text, by the place of the cursor.
local mil = require "mil"
local complete = require "mil.complete"

local env = setmetatable({}, { __index = _G })
env.f = mil.func()
env.x = env.f:input("x", "fp16", { 1, 4, 1, 8 })
env.t = mil.zeros("fp16", { 2, 2 })
env.box = setmetatable({ own = 1 }, { __index = { inherited = function() end } })
env.mil = mil

-- {text, candidates that must be among the offered (in order), or none}
local rows = {
  { "ret", { "return" } },
  { "mil.load_t", { "load_tensor" } },
  { "box.", { "inherited", "own" } },
  { "box:", { "inherited" } },
  { "x:softm", { "softmax" } },
  { "x.", { "dtype" }, absent = true },
  { "x.na", { "name" } },
  { "f:layer_n", { "layer_norm" } },
  { "(x + 1):softm", { "softmax" } },
  { "t:resh", { "reshape" } },
  { "x:conv { ", { "bias = ", "dilations = ", "groups = ", "name = ", "pad = ", "strides = ", "weight = " } },
  { "x:conv { x", {}, only = true },
  { "f:conv { ", { "weight = ", "x = " } },
  { "x:conv { weight = w, str", { "strides = " } },
  { "x:conv { weight = w, we", {}, only = true },
  { "f:compile { thr", { "threads = " } },
  { "mil.zeros('fp", { "fp16", "fp32", "fp64" } },
  { 'f:input("a", "int', { "int16", "int32", "int64", "int8" } },
  { 'x:cast { dtype = "fp3', { "fp32" } },
  { 'mil.func { opset = "ios1', { "ios15", "ios16", "ios17", "ios18" } },
  { 'f:compile { engine = "c', { "cpu" } },
  { 'require "mil.re', { "mil.repl" } },
  { 'mil.load "core/include/m', { "core/include/mil.h" } },
  { 'io.open("tests/sp', { "tests/spec/" } },
  { ":lo", { "load" } },
  { ":load core/inc", { "core/include/" } },
  { "?softm", { "softmax" } },
  { "-- x:", {}, only = true },
  { "x = 'a' ret", { "return" } },
  { "print(ni", { "nil" } },
}

describe("completion", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local found, start = complete(row[1], env)
      local texts, offered = {}, {}
      for i, candidate in ipairs(found) do
        texts[i] = candidate.text
        offered[candidate.text] = true
      end
      if row.only then assert.are.same(row[2], texts) end
      for _, wanted in ipairs(row[2]) do
        local message = ("%s is %soffered: %s"):format(wanted, row.absent and "" or "not ", table.concat(texts, " "))
        assert.are.equal(not row.absent, offered[wanted] or false, message)
      end
      for _, text in ipairs(texts) do
        assert.are.equal(row[1]:sub(start), text:sub(1, #row[1] - start + 1))
      end
    end)
  end

  it("shows an op's signature where nothing is left to insert", function()
    local insert, show = complete.tab("x:softmax", env, 80)
    assert.is_nil(insert)
    assert.truthy(show:find "softmax { x, %[axis%] }")
  end)

  it("calls nothing of the user's", function()
    local called = false
    env.trap = setmetatable({}, { __index = function() called = true end })
    complete("trap.a.b", env)
    complete("trap:", env)
    assert.is_false(called)
  end)
end)

-- SPDX-License-Identifier: MIT
-- mil.json: what it reads, what it writes, what it refuses.
local mil = require "mil"
local json = require "mil.json"

local has_integers = math.type ~= nil

local function fails(code, pattern, call, ...)
  assert.is_false((pcall(call, ...)))
  assert.equal(code, mil.last_error().code)
  assert.truthy(mil.last_error().message:find(pattern, 1, true), mil.last_error().message)
end

describe("json", function()
  it("reads and writes the same text", function()
    for _, text in ipairs {
      "null", "true", "false", "0", "-12", '""', '"a\\u0000b"', "[]", "{}", "[[],{}]", '{"a":[1,"2",null,true],"b":{"c":[]}}',
      "0.1", "-2.5e-07", "1e+300", '"caf\195\169 \240\159\152\128"', '"\\"\\\\/\\b\\f\\n\\r\\t\\u001f\\u007f"',
      "9007199254740992", '[{"n":-9007199254740992}]',
    } do
      assert.equal(text, json.encode(json.decode(text)))
    end
  end)

  it("keeps 64-bit integers", function()
    for _, text in ipairs { "9223372036854775807", "-9223372036854775808" } do
      if has_integers then assert.equal(text, json.encode(json.decode(text)))
      else fails("EVALUE", "is past 2^53", json.decode, text) end
    end
    if has_integers then
      assert.equal("[1.0,1]", json.encode { 1.0, 1 })
      assert.equal("float", math.type(json.decode "1.0"))
    end
  end)

  it("sorts keys", function() assert.equal('{"a":1,"b":2,"c":3}', json.encode { c = 3, a = 1, b = 2 }) end)

  it("marks lists, so that empty ones are told from objects", function()
    assert.equal("{}", json.encode {})
    assert.equal("[]", json.encode(json.array {}))
    assert.equal("[1]", json.encode(json.array { 1 }))
  end)

  it("writes what is not UTF-8 as U+FFFD", function()
    local rows = { { "a\255b", "a\239\191\189b" }, { "\192\128", ("\239\191\189"):rep(2) }, { "\237\160\128", ("\239\191\189"):rep(3) },
      { "\226\130", ("\239\191\189"):rep(2) }, { "\244\144\128\128", ("\239\191\189"):rep(4) } }
    for _, row in ipairs(rows) do assert.equal('"' .. row[2] .. '"', json.encode(row[1])) end
  end)

  it("is strict", function()
    for _, text in ipairs { "", " ", "[1,]", "{a:1}", "'a'", "NaN", "Infinity", "[1] 2", "01", "+1", ".5", "1.", '"\255"', '"\1"', '{"a":1,"a":2}',
      "1e400", "[1", "nul", "99999999999999999999", "// c\n1" } do
      fails("EPARSE", "json:1:", json.decode, text)
    end
    fails("EPARSE", "json:2:1:", json.decode, "[1,\n,2]")
  end)

  it("refuses deep nesting, both ways", function()
    local function nested(n) return ("["):rep(n) .. ("]"):rep(n) end
    assert.equal(nested(100), json.encode(json.decode(nested(100))))
    fails("ELIMIT", "nested deeper than 128", json.decode, nested(200))
    fails("EPARSE", "", json.decode, nested(100000))
    local ring = {}
    ring[1] = ring
    fails("ELIMIT", "or in itself", json.encode, ring)
  end)

  it("refuses what JSON has not", function()
    fails("EVALUE", "no NaN", json.encode, { 0 / 0 })
    fails("EVALUE", "no infinity", json.encode, -1 / 0)
    fails("EINVAL", "a function", json.encode, { a = print })
    fails("EVALUE", "a list has no place for the key", json.encode, { 1, a = 2 })
    fails("EVALUE", "a table of names has no place", json.encode, { [true] = 2 })
    fails("EVALUE", "has no place", json.encode, { ["a\0b"] = 2 })
  end)
end)

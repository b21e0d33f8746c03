-- SPDX-License-Identifier: MIT
-- The REPL as an application has it: mil.repl with its own read and print. Each file of tests/spec/sessions is a session
-- to be repeated: lines after "mil> " and "...> " are typed, the others must be printed ("..." stands for any text).
local mil = require "mil"
local repl = require "mil.repl"

local function new_env() return setmetatable({ mil = mil }, { __index = _G }) end

-- Types the chunks one by one; gives what each printed.
local function play(chunks, env)
  local out
  local session = repl.new { read = function() end, print = function(text) out[#out + 1] = text end, env = env or new_env() }
  local printed = {}
  for i, chunk in ipairs(chunks) do
    out = {}
    session:feed(chunk)
    printed[i] = table.concat(out, "\n")
  end
  return printed, session
end

local function read_session(path)
  local chunks, wanted = {}, {}
  for line in io.lines(path) do
    local typed, more = line:match "^mil> ?(.*)$", line:match "^%.%.%.> ?(.*)$"
    if typed then
      chunks[#chunks + 1] = typed
      wanted[#chunks] = {}
    elseif more then
      chunks[#chunks] = chunks[#chunks] .. "\n" .. more
    elseif not line:find "^#" then
      table.insert(wanted[#chunks], line)
    end
  end
  for i, lines in ipairs(wanted) do wanted[i] = table.concat(lines, "\n") end
  return chunks, wanted
end

local function pattern_of(wanted)
  local pattern = ("\n" .. wanted .. "\n"):gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  return "^" .. pattern:gsub("%%%.%%%.%%%.", ".*") .. "$"
end

describe("sessions", function()
  local list = io.popen "ls tests/spec/sessions/*.txt"
  for path in list:lines() do
    it(path:match "([%w_]+)%.txt$", function()
      local chunks, wanted = read_session(path)
      local printed = play(chunks)
      for i, chunk in ipairs(chunks) do
        if not ("\n" .. printed[i] .. "\n"):find(pattern_of(wanted[i])) then
          assert.are.equal("mil> " .. chunk .. "\n" .. wanted[i], "mil> " .. chunk .. "\n" .. printed[i])
        end
      end
    end)
  end
  list:close()
end)

describe("chunks", function()
  local session = repl.new { read = function() end, env = new_env() }
  local rows = {
    { "x = 1", true }, { "1 +", false }, { "for i = 1, 2 do", false }, { "f {", false }, { "return", true },
    { "x = = 1", true }, { "[[", false }, { "print 'a", true }, { ":help", true }, { "?conv", true }, { "", true },
    { "--[[ note", false }, { "-- note", true }, { "function f()\n  return 1\nend", true }, { "x:conv {\n  weight = w,", false },
  }
  for _, row in ipairs(rows) do
    it(("%q %s"):format(row[1], row[2] and "is whole" or "goes on"), function()
      assert.are.equal(row[2], session:is_complete(row[1]))
    end)
  end

  it("are read over several lines, and read's reasons are kept", function()
    local lines, prompts, out = { "for i = 1, 2 do", "print_(i)", "end", "1 +" }, {}, {}
    local env = new_env()
    env.print_ = function(i) out[#out + 1] = "line " .. i end
    repl.new {
      read = function(prompt, continuation)
        prompts[#prompts + 1] = prompt .. (continuation and #continuation or "")
        return table.remove(lines, 1)
      end,
      print = function(text) out[#out + 1] = text end, env = env,
    }:run()
    assert.are.same({ "mil> ", "...> 15", "...> 25", "mil> ", "...> 3", "mil> " }, prompts)
    assert.are.same({ "line 1", "line 2" }, { out[1], out[2] })
    assert.truthy(out[3]:find "^stdin:1: ")
  end)
end)

describe("a chunk that fails", function()
  it("leaves globals and functions as they were", function()
    local env = new_env()
    local printed = play({
      'f = mil.func(); x = f:input("x", "fp32", {1, 4})', "y = x:relu()", "n = 1",
      "n = 2; m = 3; z = x:relu():sigmoid(); y = z; error 'no'", "n", "m",
    }, env)
    assert.truthy(printed[4]:find "stdin:1: no")
    assert.are.equal("1", printed[5])
    assert.are.equal("nil", printed[6])
    assert.are.equal("y", env.y.name)
    assert.are.equal(1, #env.f:operations())
  end)

  it("takes back no operation of others, whatever it removed or inserted", function()
    local env = new_env()
    play({
      'f = mil.func(); x = f:input("x", "fp32", {1, 4})', "y = x:relu()", "z = x:exp()",
      "y.operation:remove(); z.operation:before(function() x:tanh() end); error 'no'",
    }, env)
    assert.are.equal(1, #env.f:operations())
    assert.are.equal("exp", env.f:operations()[1].type)
  end)

  it("is in _err, and its line is shown with a caret", function()
    local env = new_env()
    local printed = play({ 'f = mil.func(); x = f:input("x", "fp32", {1, 4})', "y = 1 +\n  x:sofmax { axis = 1 }" }, env)
    local line, caret = printed[2]:match "\n    (  x:sofmax { axis = 1 })\n    ( *^)$"
    assert.are.equal("  x:sofmax { axis = 1 }", line)
    assert.are.equal("    ^", caret)
    assert.truthy(tostring(env._err):find "softmax")
  end)
end)

describe("what is printed", function()
  local rows = {
    { "1 + 1", "2" }, { "'a\\n'", '"a\\n"' }, { "1, nil, 2", "1\tnil\t2" }, { "nil", "nil" }, { "1;", "" },
    { "{ 1, 2, a = 'b' }", '{ 1, 2, a = "b" }' }, { "x = 1", "" }, { "(function() end)()", "" },
    { "local t = {}; t.t = t; return t", "{ t = {...} }" },
  }
  for _, row in ipairs(rows) do
    it(row[1], function() assert.are.same({ row[2] }, (play { row[1] })) end)
  end

  it("is in _ afterwards", function() assert.are.same({ "3", "4" }, (play { "3", "_ + 1" })) end)
end)

-- SPDX-License-Identifier: MIT
-- The list of the Lua face is what the module has; the generated documents are current; each op can be asked about.
local mil = require "mil"
local face = require "mil.face"
local help = require "mil.help"
local documents = dofile "tools/gendocs.lua"

local function listed(class)
  local names = {}
  for _, entry in ipairs(face) do
    if entry.class == class then names[#names + 1] = entry.member end
  end
  table.sort(names)
  return names
end

local function names_of(list, left_out)
  local names = {}
  for _, name in ipairs(list) do
    if not (left_out and left_out[name]) then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local ops = {}
for _, name in ipairs(mil.ops()) do ops[name] = true end
for _, name in ipairs { "const", "cond", "while_loop" } do ops[name] = false end -- which have rows of their own

describe("the list of the Lua face", function()
  local f = mil.func()
  local x = f:input("x", "fp32", { 2 })
  f:output("y", x:relu())
  local model = f:compile()
  local objects = {
    program = f.program, ["function"] = f, value = x, operation = f:operations()[1], model = model, tensor = mil.zeros("fp32", { 2 }),
    step = model:bind { x = mil.zeros("fp32", { 2 }) }, run = model:start { x = { 1, 2 } },
  }
  for class, object in pairs(objects) do
    it("has the members of a " .. class, function()
      assert.are.equal("mil." .. class, help.class(object))
      local left_out = (class == "value" or class == "function") and ops or nil
      assert.are.same(names_of(mil.members(object), left_out), listed(class))
    end)
  end
  it("has the functions of the module", function()
    local names = {}
    for name in pairs(mil) do
      if name ~= "width" then names[#names + 1] = name end
    end
    assert.are.same(names_of(names), listed "mil")
  end)
end)

describe("documents", function()
  for path, make in pairs(documents) do
    it(path .. " is current (make docs)", function()
      local file = assert(io.open(path))
      local text = file:read "*a"
      file:close()
      assert.is_true(text == make(), path .. " differs from what make docs writes")
    end)
  end
end)

describe("help", function()
  it("tells of every op and all its parameters", function()
    for _, name in ipairs(mil.ops()) do
      local op = mil.op(name)
      local text = help.op(op)
      assert.is_true(#op.help > 0, name .. " has no help")
      for _, param in ipairs(op.params) do
        assert.truthy(text:find("\n  " .. param.name .. " ", 1, true), name .. ": " .. param.name)
      end
    end
  end)
  it("fits the width that it is given", function()
    for line in help.op(mil.op "batch_norm", 60):gmatch "[^\n]+" do assert.is_true(#line <= 60 or not line:find "%s%S+%s", line) end
  end)
  it("finds ops and functions by words", function()
    assert.truthy(help.search "softmax":find "^  softmax +%S")
    assert.truthy(help.search "reshape view":find "tensor:reshape")
    assert.falsy(help.search("conv", true):find "[.:]%a")
    assert.truthy(help.search "sofmax":find "the nearest op is softmax")
  end)
end)

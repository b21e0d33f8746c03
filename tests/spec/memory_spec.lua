-- SPDX-License-Identifier: MIT
-- Memory: a collector at its most eager, finalisers in any order, the end of a Lua state, memory that runs out.
local mil = require "mil"

local build, lua = os.getenv "MIL_TEST_BUILD", os.getenv "MIL_TEST_LUA"
local path = os.tmpname()
os.remove(path)

-- Something of everything.
local function task()
  local f = mil.func()
  local x = f:input("x", "fp32", { "N", 4 })
  local w = mil.tensor { { 1, 2, 3, 4 }, { 5, 6, 7, 8 } }
  local y = x:linear { weight = w, bias = { 0.5, 1.5 } }
  local a, b = (y:relu() + 1):split { num_splits = 2, axis = 1 }
  f:output("z", f:concat { values = { a, b * 2, a }, axis = 1 })
  f:input("one_of", "fp32", mil.shapes { { 1, 2 }, { 1, 4 } })
  local text = tostring(f)
  local p = mil.parse(text)
  local model = p:compile()
  local out = model:run({ x = { { 1, 1, 1, 1 }, { 0, 0, 0, 1 } }, one_of = { { 1, 2 } } }).z
  assert(out:get(1, 1) == 11.5 and out:get(2, 2) == 21)
  local step = model:bind { x = mil.ones("fp32", { 1, 4 }), one_of = mil.ones("fp32", { 1, 4 }) }
  step()
  assert(step.outputs.z:get(1, 3) == 11.5)
  local v = y:eval { x = mil.zeros("fp32", { 1, 4 }) }
  assert(v:get(1, 2) == 1.5)
  mil.save(path .. ".npz", { v = v, w = w })
  local again = mil.weights(path .. ".npz").w
  assert(again:close(w) and #tostring(again) > 10 and #model:describe() > 10)
  assert(not pcall(x.softmax, x, { axis = 9 }))
  assert(#f:operations() > 3 and #x:uses() == 1 and #again:transpose():table() == 4)
  for i = 1, 40 do y = y:relu { name = "r" .. i } end
  for o in f:operations "relu" do o.outputs[1]:replace(o:after(function() return o.outputs[1]:tanh() end)) end
  f:operations("concat")[1]:set("values", { b, b })
  f:rename("z", "out"):retype("x", "fp32", { 2, 4 }):prune()
  assert(f.outputs[1].type.text == "fp32[2, 2]" and #f:extract({ inputs = { a }, outputs = { "out" } }):verify().inputs == 2)
  local classifier = mil.load "tests/vectors/packages/classifier.mlpackage"
  assert(classifier:metadata { author = "a" }:metadata().author == "a")
  local found = classifier:compile():run { image = mil.ones("fp32", { 1, 3, 2, 2 }) }
  assert(found.label == "cat" and #found.label_probs:topk(2) == 2 and found.label_probs:labels()[2] == "dog")
  assert(#tostring(found.label_probs) > 10 and found.label_probs:tensor():numel() == 3)
end

local function collect()
  collectgarbage()
  collectgarbage()
  collectgarbage()
end

describe("the collector", function()
  it("may run at any time", function()
    local pause, mul = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000000)
    for _ = 1, 3 do task() end
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", mul)
    task()
  end)

  it("may run in its generational mode", function()
    if _VERSION ~= "Lua 5.4" then return end
    collectgarbage "generational"
    for _ = 1, 10 do task() end
    collectgarbage "incremental"
  end)

  -- The most that the process has held, in MB; nil where the system doesn't say. "reset" is Linux's.
  local function peak(reset)
    local file = io.open("/proc/self/clear_refs", "w")
    if not file then return nil end
    if reset then file:write "5" end
    file:close()
    for line in io.lines "/proc/self/status" do
      local kilobytes = line:match "^VmHWM:%s*(%d+)"
      if kilobytes then return tonumber(kilobytes) / 1000 end
    end
  end

  for _, mode in ipairs { "incremental", "generational" } do
    it("hears of memory that it can't see, " .. mode, function()
      if _VERSION == "Lua 5.4" then
        collectgarbage(mode)
      elseif mode == "generational" then
        return
      end
      collect()
      local before = peak(true)
      if not before then return end
      local kept = {} -- each tensor sees some others come before it goes: old, for the generational mode
      for i = 1, 250 do kept[i % 4] = mil.ones("fp32", { 1024, 1024 }) end -- 1 GB, if nobody gave it back (ASan keeps 256 MB)
      local held = peak() - before
      if _VERSION == "Lua 5.4" then collectgarbage "incremental" end
      assert.is_true(held < 500, ("%.0f MB were held"):format(held))
    end)
  end

  it("hears of the programs and models that are made on the way", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 1 })
    local y = x
    for _ = 1, 5000 do y = y:relu() end -- a program of 1 MB
    f:output("y", y)
    local jobs = {
      eval = function() return y:eval { x = { 1 } } end, compile = function() return f:compile() end,
      extract = function() return f:extract { outputs = { "y" } } end,
      topk = function() return mil.zeros("uint8", { 1000, 1000 }):topk(1) end, -- made doubles: 8 MB
    }
    for name, job in pairs(jobs) do
      collect()
      local before = peak(true)
      if not before then return end
      for _ = 1, 75 do job() end
      local held = peak() - before
      assert.is_true(held < (build:find "asan" and 500 or 70), ("%s: %.0f MB were held"):format(name, held))
    end
  end)

  it("is left alone where it is stopped", function()
    if _VERSION == "Lua 5.1" then return end
    collect()
    local gone = false
    setmetatable({}, { __gc = function() gone = true end })
    collectgarbage "stop"
    for _ = 1, 4 do mil.zeros("fp32", { 1024, 4096 }) end
    local stayed = not gone
    collectgarbage "restart"
    assert.is_true(stayed)
  end)

  it("may end objects in any order, and finalisers may use them", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { 2 })
    f:output("y", x:relu())
    local model = f:compile()
    local things, said = { f, x, model, model:bind { x = { 1, 2 } }, mil.ones("fp32", { 2 }) }, {}
    local function finalise(self)
      for _, thing in ipairs(debug.getmetatable(self).things or self.things) do
        said[#said + 1] = tostring(thing)
        pcall(function() return thing.shape end)
        pcall(function() return thing:relu() end)
        pcall(function() return thing:run { x = { 1, 2 } } end)
        pcall(function() return thing() end)
      end
    end
    local guard
    if newproxy then -- luacheck: ignore
      guard = newproxy(true) -- luacheck: ignore
      getmetatable(guard).__gc, getmetatable(guard).things = finalise, things
    else
      guard = setmetatable({ things = things }, { __gc = finalise })
    end
    f, x, model, guard = nil, nil, nil, nil -- luacheck: ignore
    things = nil
    collect()
    assert.equal(5, #said)
  end)
end)

describe("finalisers that free what is in use", function()
  -- Garbage whose end frees the tensors, made again and again while the collector runs at every step.
  local function arm(free)
    local armed = true
    local function plant()
      if not armed then return end
      local function finalise()
        free()
        plant()
      end
      if newproxy then -- luacheck: ignore
        getmetatable(newproxy(true)).__gc = finalise -- luacheck: ignore
      else
        setmetatable({}, { __gc = finalise })
      end
    end
    plant()
    return function() armed = false end
  end

  it("get errors, not crashes", function()
    local pause, mul = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000000)
    local t = mil.ones("fp32", { 2, 2 })
    local f = mil.func()
    local x = f:input("x", "fp32", { 2, 2 })
    f:output("y", x:relu())
    local model = f:compile()
    local disarm = arm(function() t:free() end)
    for _, use in ipairs {
      function() return t:to "fp16" end, function() return t:copy() end, function() return t:transpose() end,
      function() return t:reshape { 4 } end, function() return t:sub({ 1, 1 }) end, function() return t[1] end,
      function() return t:table() end, function() return t:topk(2) end, function() return t:close(t) end,
      function() return tostring(t) end, function() return mil.bytes(t:transpose()) end,
      function() t:write { { 1, 2 }, { 3, 4 } } end, function() return t:map(function(v) return v end) end,
      function() return x:add(t) end, function() return x:concat { values = { t, { { 1, 2 } } }, axis = 0 } end,
      function() return f:const(t) end, function() return f:const(t, "fp16") end,
      function() return model:run { x = t } end, function() return model:bind { x = t } end,
      function() return model:start({ x = t }):result() end,
    } do
      for _ = 1, 20 do
        t = mil.ones("fp32", { 2, 2 })
        pcall(use)
      end
    end
    disarm()
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", mul)
  end)
end)

describe("the end of a Lua state", function()
  local function ends_well(script)
    local file = assert(io.open(path .. ".lua", "w"))
    file:write(script)
    file:close()
    local ok = os.execute(("%s %s.lua > %s.out 2>&1"):format(lua, path, path))
    local out = assert(io.open(path .. ".out"))
    local text = out:read "*a"
    out:close()
    assert.is_true(ok == true or ok == 0, text)
    assert.truthy(text:find "done", text)
  end

  it("finds objects of every kind alive", function()
    ends_well [[
      local mil = require "mil"
      f = mil.func()
      x = f:input("x", "fp32", { 64, 64 })
      f:output("y", x:relu())
      model = f:compile { threads = 2 }
      t = mil.ones("fp32", { 64, 64 })
      step = model:bind { x = t }
      step()
      run = model:start { x = t }
      io.write "done\n" ]]
  end)

  it("may use them in finalisers", function()
    ends_well [[
      local mil = require "mil"
      f = mil.func()
      x = f:input("x", "fp32", { 2 })
      f:output("y", x:relu())
      model = f:compile()
      local function last()
        pcall(tostring, f)
        pcall(tostring, x)
        pcall(function() return model:run { x = { 1, 2 } } end)
        pcall(function() return x + 1 end)
        io.write "done\n"
      end
      if newproxy then
        guard = newproxy(true)
        getmetatable(guard).__gc = last
      else
        guard = setmetatable({}, { __gc = last })
      end ]]
  end)
end)

-- Calls fn each time that the collector comes by.
local function at_each_collection(fn)
  local function arm()
    if newproxy then -- luacheck: ignore
      getmetatable(newproxy(true)).__gc = function() if fn then fn() arm() end end -- luacheck: ignore
    else
      setmetatable({}, { __gc = function() if fn then fn() arm() end end })
    end
  end
  arm()
  return function() fn = nil end
end

describe("finalizers", function()
  it("may change the program that is being looked at", function()
    local f = mil.func()
    local x = f:input("x", "fp32", { "N", 4 })
    local y = x:relu()
    f:output("y", y)
    for _ = 1, 20 do x:exp() end
    local times = 0
    local stop = at_each_collection(function()
      times = times + 1
      if times <= 10 then for _ = 1, 20 do x:tanh() end end
    end)
    local pause, mul = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000000)
    for _ = 1, 5000 do
      if times > 10 then break end
      for _, user in ipairs(x:uses()) do assert(user.inputs[1].name == "x") end
      for _, operation in ipairs(f:operations()) do assert(operation.type and operation.outputs) end
    end
    stop()
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", mul)
    assert.equal(221, #x:uses())
    assert.equal("relu", f:verify().outputs[1].op)
  end)
end)

describe("memory that runs out", function()
  local has_failing, failing = pcall(require, "failing")

  local function sweep(lua_too)
    local module
    for template in package.cpath:gmatch "[^;]+" do
      local candidate = template:gsub("%?", "mil")
      local file = io.open(candidate)
      if file then
        file:close()
        module = module or candidate
      end
    end
    task()
    collect()
    failing.open(module, lua_too)
    task()
    collect()
    local before, n, ok, err = failing.live(), 0, nil, nil
    repeat
      local refused
      ok, err, refused = failing.run(n, task)
      if not ok then
        local text = tostring(err)
        assert.is_true(text:find("memory", 1, true) ~= nil, ("allocation %d: %s"):format(n, text))
      end
      n = n + (n < 300 and 1 or lua_too and 13 or 3)
      if ok then assert.equal(0, refused) end
    until ok or n > 20000
    mil.zeros("fp32", { 1 }) -- takes the last error's place
    pcall(mil.zeros)
    collect()
    local after = failing.live()
    failing.close()
    assert.is_true(ok)
    assert.is_true(after <= before + 2, ("%d blocks before, %d after %d tasks"):format(before, after, n))
  end

  it("in the library is an error each time, and nothing is lost", function()
    assert.is_true(has_failing, failing)
    sweep(false)
  end)

  it("in Lua too", function()
    if jit then return end -- luacheck: ignore (LuaJIT's own end of memory is not ours to test)
    sweep(true)
  end)
end)

teardown(function()
  for _, ending in ipairs { ".npz", ".lua", ".out" } do os.remove(path .. ending) end
end)

assert(build and lua, "run by tools/spec.sh")

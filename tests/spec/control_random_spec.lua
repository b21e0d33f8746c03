-- SPDX-License-Identifier: MIT
-- Random programs of nested branches and loops, against their meaning in plain Lua. A program is a tree of statements that each
-- append values to an environment of vectors of 2; the tree is built as MIL, and walked with numbers.
--
--   {op, which, a, b}                       a, b: places in the environment
--   {cond, which, yes, no}                  yes, no: {statements, places of the results}
--   {loop, turns, variables, decide, body, results}
local mil = require "mil"
local unpack = table.unpack or unpack

-- ---- making a tree ----

local function statements(random, depth, n)
  local list = {}
  local function branch(n_results)
    local inner, m = statements(random, depth - 1, n)
    local results = {}
    for i = 1, n_results do results[i] = random(m) end
    return { inner, results }
  end
  for _ = 1, random(4) do
    local kind = depth == 0 and 1 or random(10)
    local k = random(3)
    if kind <= 5 then
      list[#list + 1] = { "op", random(5), random(n), random(n) }
      k = 1
    elseif kind <= 7 then
      list[#list + 1] = { "cond", random(2), branch(k), branch(k) }
    else
      local variables, results = {}, {}
      for i = 1, k do variables[i] = random(n) end
      local body, m = statements(random, depth - 1, n + k)
      for i = 1, k do results[i] = random(2) == 1 and n + random(k) or random(m) end -- often a variable, as it is or another's
      list[#list + 1] = { "loop", random(4) - 1, variables, (statements(random, 0, n + k)), body, results }
    end
    n = n + k
  end
  return list, n
end

local function extended(env, n, more)
  local copy = { unpack(env, 1, n) }
  for i = 1, #more do copy[n + i] = more[i] end
  return copy
end

local function taken(env, places)
  local values = {}
  for i, at in ipairs(places) do values[i] = env[at] end
  return values
end

-- ---- as MIL ----

local function first(x) return x:slice_by_index { begin = { 0 }, end_ = { 1 } } end
local mil_ops = {
  function(_, a, b) return (a + b) * 0.5 end, function(_, a, b) return a - b end, function(_, a) return a:reshape { shape = { 2 } } end,
  function(_, a) return a * 0.25 + 1 end, function(f, a, b) return f:concat { values = { first(a), first(b) }, axis = 0 } end,
}

local function build(f, list, env, preds)
  for _, s in ipairs(list) do
    local n, made = #env, nil
    if s[1] == "op" then
      made = { mil_ops[s[2]](f, env[s[3]], env[s[4]]) }
    elseif s[1] == "cond" then
      local function block(branch)
        return function(b)
          local inner = extended(env, n, {})
          build(b, branch[1], inner, preds)
          return unpack(taken(inner, branch[2]))
        end
      end
      made = { f:cond(preds[s[2]], block(s[3]), block(s[4])) }
    else
      made = { f:while_loop(extended({ f:const(0) }, 1, taken(env, s[3])), function(b, i, ...)
        build(b, s[4], extended(env, n, { ... }), preds)
        return i:less(s[2])
      end, function(b, i, ...)
        local inner = extended(env, n, { ... })
        build(b, s[5], inner, preds)
        return i + 1, unpack(taken(inner, s[6]))
      end) }
      table.remove(made, 1)
    end
    for i = 1, #made do env[n + i] = made[i] end
  end
end

-- ---- with numbers ----

local number_ops = {
  function(a, b) return { (a[1] + b[1]) * 0.5, (a[2] + b[2]) * 0.5 } end, function(a, b) return { a[1] - b[1], a[2] - b[2] } end,
  function(a) return a end, function(a) return { a[1] * 0.25 + 1, a[2] * 0.25 + 1 } end, function(a, b) return { a[1], b[1] } end,
}

local function walk(list, env, preds)
  for _, s in ipairs(list) do
    local n, made = #env, nil
    if s[1] == "op" then
      made = { number_ops[s[2]](env[s[3]], env[s[4]]) }
    elseif s[1] == "cond" then
      local branch = preds[s[2]] and s[3] or s[4]
      local inner = extended(env, n, {})
      walk(branch[1], inner, preds)
      made = taken(inner, branch[2])
    else
      made = taken(env, s[3])
      for _ = 1, s[2] do
        local inner = extended(env, n, made)
        walk(s[5], inner, preds)
        made = taken(inner, s[6])
      end
    end
    for i = 1, #made do env[n + i] = made[i] end
  end
end

-- ---- both ----

-- A generator of its own: the same trees on every Lua.
local function seeded(seed)
  return function(n)
    seed = (seed * 16807) % 2147483647
    return seed % n + 1
  end
end

local X, Y, THREES = { 1, 2 }, { 5, -3 }, { 3, 3 }

local function compare(seed)
  local tree = statements(seeded(seed), 3, 3)
  local f = mil.func()
  local x, y, p, q = f:input("x", "fp32", { 2 }), f:input("y", "fp32", { 2 }), f:input("p", "bool", {}), f:input("q", "bool", {})
  local env = { x, y, f:const(mil.tensor("fp32", THREES)) }
  build(f, tree, env, { p, q })
  for i = 4, #env do f:output("o" .. i, env[i]) end
  f:verify()
  for _, options in ipairs { { optimize = 0 }, { optimize = 1 } } do
    local model = f:compile(options)
    for i = 0, 3 do
      local preds, wanted = { i < 2, i % 2 == 0 }, { X, Y, THREES }
      walk(tree, wanted, preds)
      local out = model:run { x = X, y = Y, p = preds[1], q = preds[2] }
      for k = 4, #wanted do
        assert.is_true(out["o" .. k]:close(mil.tensor("fp32", wanted[k]), 1e-4), ("seed %d, o%d"):format(seed, k))
      end
    end
  end
end

describe("random branches and loops", function()
  it("mean what they mean in Lua", function()
    for seed = 1, 60 do compare(seed * 7919) end
  end)
end)

-- SPDX-License-Identifier: MIT
-- luamil graph: what dot's text says of a program, and the command around it.
local mil = require "mil"
local graph = require "mil.graph"
local luamil = dofile "tests/spec/luamil.lua"

local function swiglu()
  local w = { gate = mil.ones("fp16", { 16, 8, 1, 1 }), up = mil.zeros("fp16", { 16, 8, 1, 1 }), down = mil.ones("fp16", { 8, 16, 1, 1 }) }
  return dofile "graphs/kernels/swiglu.lua"(w, 8, 4)
end

local function has(text, part) assert.truthy(text:find(part, 1, true), part .. "\nis not in\n" .. text) end
local function lacks(text, part) assert.falsy(text:find(part, 1, true), part .. "\nis in\n" .. text) end

-- The node whose label begins with this op and name, as its line.
local function node(dot, op, name)
  for line in dot:gmatch "[^\n]+" do
    if line:find(("<b>%s</b>"):format(op), 1, true) and line:find(">" .. name .. "<", 1, true) then return line end
  end
  error(("no node %s %s in\n%s"):format(op, name, dot))
end

local function id(line) return line:match "^%s*(%w+) %[" end

describe("a graph", function()
  it("has operations with their consts, and values with their types", function()
    local dot = graph.dot(swiglu().program, { title = 'a "title"' })
    has(dot, 'label="a \\"title\\""')
    has(node(dot, "conv", "conv_0"), "weight = fp16[16, 8, 1, 1]  256 B")
    has(node(dot, "conv", "conv_0"), "pad_type = &quot;valid&quot;")
    has(dot, ('%s -> %s [label="fp16[1, 16, 1, 4]"'):format(id(node(dot, "conv", "conv_0")), id(node(dot, "silu", "silu_0"))))
    lacks(dot, "<b>const</b>")
    lacks(dot, "step")
  end)

  it("leaves out what it is told to", function()
    local dot = graph.dot(swiglu().program, { consts = false, types = false })
    lacks(dot, "weight =")
    has(dot, ('%s -> %s [label=""]'):format(id(node(dot, "conv", "conv_0")), id(node(dot, "silu", "silu_0"))))
  end)

  it("groups what a step of the plan stands for", function()
    local dot = graph.dot(swiglu().program, { plan = true })
    local step = dot:match "subgraph \"cluster_s%d+_%d+\" {.-}\n"
    has(step, "<b>conv</b>")
    has(step, "<b>silu</b>")
    has(node(dot, "conv", "conv_1"), "step 1: conv")
    assert.equal(2, select(2, dot:gsub("cluster_s", "")))
  end)

  it("draws nested blocks as clusters, whose results go into their operation", function()
    local file = assert(io.open "tests/fuzz/corpus/mil/blocks.mil")
    local dot = graph.dot(mil.parse(file:read "*a", { unchecked = true }))
    file:close()
    has(dot, 'label="identity r, block 1"')
    has(dot, 'label="identity r, block 2"')
    has(dot, 'label="identity u, block 1"')
    local outer, inner = id(node(dot, "identity", "r")), id(node(dot, "identity", "u"))
    has(dot, ('%s -> %s [label="fp32[2]", style=dashed]'):format(inner, outer))
    has(dot, ('%s -> %s [label="fp32[2]", style=dashed]'):format(id(node(dot, "add", "v")), inner))
    has(node(dot, "add", "v"), "y = 1")
    assert.equal(3, select(2, dot:gsub("<b>relu</b>", "")))
  end)

  it("escapes whatever names hold", function()
    local p = mil.program()
    for _, name in ipairs { "one", "two" } do
      local f = p:func(name)
      f:output("y", f:input("x", "string", { 1 }):identity())
    end
    local q = mil.func()
    local v = q:input("x", "fp32", { 1 })
    q:output("y", v:cast { dtype = "fp16" })
    has(graph.dot(q.program), "dtype = &quot;fp16&quot;")
    local both = graph.dot(p)
    has(both, 'label="func one"')
    has(both, 'label="func two"')
    lacks(graph.dot(p, { functions = { two = true } }), 'label="func one"')
  end)

  it("breaks edges past many operations", function()
    local f = mil.func()
    local x = f:input("first", "fp32", { 2 })
    local y = x
    for _ = 1, 150 do y = y:relu() end
    f:output("y", y + x)
    local dot = graph.dot(f.program)
    has(dot, '[label="first >", shape=plaintext')
  end)
end)

describe("luamil graph", function()
  local path
  setup(function()
    path = luamil.path "m.mil"
    local f = mil.func()
    f:output("y", f:input("x", "fp32", { "N", 4 }):relu():softmax { axis = -1 })
    f:save(path)
  end)
  teardown(luamil.remove)

  it("writes dot's text", function()
    local status, out = luamil("graph " .. path)
    assert.equal(0, status)
    has(out, "digraph mil {")
    assert.equal(0, (luamil("graph " .. path .. " -o " .. luamil.path "g.dot")))
    assert.equal(out, luamil.read "g.dot")
    assert.equal(out, (select(2, luamil("graph " .. path .. " -o -"))))
    assert.same({ luamil("print " .. path) }, { luamil("print -o - " .. path) })
  end)

  it("wants sizes for a plan", function()
    local status, _, err = luamil("graph --plan " .. path)
    assert.equal(1, status)
    has(err, "plan: main has no plan before its shapes are known: give ?2 a size")
    local _, out = luamil("graph --plan --fix '?2=2' " .. path)
    has(out, "step 1")
  end)

  it("says what it does not take", function()
    local status, _, err = luamil("graph " .. path .. " -o g.png")
    assert.equal(2, status)
    has(err, "g.png ends in none of .svg, .html, .dot")
    status, _, err = luamil("graph --function none " .. path)
    assert.equal(1, status)
    has(err, "there is no function none, but main")
    assert.equal(2, (luamil "graph"))
    assert.equal(2, (luamil("graph --fix N " .. path)))
  end)

  it("names Graphviz where it is missing, and leaves the file that was there", function()
    luamil.write("g.svg", "old")
    local lua = os.getenv "MIL_TEST_LUA" or "lua"
    local status, _, err = luamil.shell(("lua=$(command -v %s); PATH=%s/none $lua bin/luamil graph %s -o %s"):format(lua,
      luamil.folder, path, luamil.path "g.svg"))
    assert.equal(1, status)
    has(err, "dot, which lays out graphs, is not installed: it is part of Graphviz")
    assert.equal("old", luamil.read "g.svg")
  end)

  it("has dot draw pictures and pages", function()
    if luamil.shell "command -v dot" ~= 0 then return pending "Graphviz is not installed" end
    assert.equal(0, (luamil("graph " .. path .. " -o " .. luamil.path "g.svg")))
    has(luamil.read "g.svg", "softmax")
    assert.equal(0, (luamil("graph " .. path .. " --output " .. luamil.path "g.html")))
    local page = luamil.read "g.html"
    has(page, "<title>m.mil</title>")
    has(page, "softmax")
    lacks(page, "src=")
    lacks(page, "<?xml")
  end)
end)

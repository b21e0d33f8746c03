-- SPDX-License-Identifier: MIT
-- mil.graph: a program as a picture: text for Graphviz's dot, what dot makes of it, a page to look at that in.
--
--     func main                              an operation is a node, with what is const of it in its label;
--      x ──fp16[1, 8]──> conv ──> relu       a value is an edge with its type, from what computes it to what takes it.
--      ┌ cond_0, block 1 ┐                   A nested block is a cluster; what it gives goes into the operation that
--      │   ... ──────────┼──> cond           holds it, so that edges run one way.
--      └─────────────────┘
--
-- An edge past more than `far` operations would be drawn for them all, and nobody could follow it: it begins at a mark with
-- the value's name instead, beside what takes it.
--
-- With a plan, the operations of a step that stands for several are a cluster too; one that is a step by itself says so, and one
-- that no step stands for (a view, folded, or made into another by a pass) is dashed.

local flops = require "mil.flops"

local graph = {}

local far = 100
local many = 500 -- operations beyond which dot is told to look for a good layout less long

-- ---- words ----

-- Pale ones, for black text; by the dtype of what an operation computes.
local colours = {
  { "^fp16$", "#ffe3b8" }, { "^bf16$", "#ffd0a0" }, { "^fp32$", "#cfe4fa" }, { "^fp64$", "#aecdf0" },
  { "^bool$", "#e4e4e4" }, { "^string$", "#f6f6d8" }, { "^u?int[1-8]$", "#e6d3f5" }, { "^u?int", "#d3efd0" },
}

local function colour_of(value)
  local dtype = value and value.type.dtype or ""
  for _, row in ipairs(colours) do
    if dtype:find(row[1]) then return row[2] end
  end
  return "#ffffff"
end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

-- Text inside of labels, which are written in dot's HTML; what can't be shown is a question mark.
local function escaped(text) return (tostring(text):gsub("%c", "?"):gsub('[&<>"]', entities)) end

local function quoted(text) return '"' .. tostring(text):gsub("%c", "?"):gsub('[\\"]', "\\%0") .. '"' end

local function bytes_text(n)
  local units, i = { "B", "KiB", "MiB", "GiB" }, 1
  while n >= 1024 and i < #units do n, i = n / 1024, i + 1 end
  return (i == 1 and "%d %s" or "%.1f %s"):format(n, units[i])
end

local function shortened(text, n) return #text > n and text:sub(1, n - 2) .. ".." or text end

-- Elements of a type whose shape is known; nil where it is not.
local function numel(type)
  local n = 1
  for _, dim in ipairs(type.shape or {}) do
    n = n and tonumber(dim) and n * dim
  end
  return n
end

local function element_text(x)
  if type(x) == "string" then return '"' .. shortened(x, 24) .. '"' end
  if type(x) ~= "number" then return tostring(x) end
  return x == math.floor(x) and ("%.0f"):format(x) or ("%.4g"):format(x)
end

-- A const in few words: its elements, or its type and size.
local function const_text(value)
  local type, data = value.type, value.data
  local n = type.kind == "tensor" and numel(type)
  if data and n and n <= 6 and #type.shape <= 1 then
    local elements = data:table()
    if #type.shape == 0 then return element_text(elements) end
    local texts = {}
    for i, x in ipairs(elements) do texts[i] = element_text(x) end
    return "[" .. table.concat(texts, ", ") .. "]"
  end
  return type.text .. (n and type.dtype ~= "string" and "  " .. bytes_text(n * flops.bits(type.dtype) / 8) or "")
end

-- ---- a graph in the making ----

-- lines: dot's text so far; edges: what comes behind it; where, at: for a value's id, the node that it comes from, and how many
-- operations came before; n: operations so far; steps: for an operation's name, its step.
local function line(g, indent, ...) g.lines[#g.lines + 1] = ("  "):rep(indent) .. string.format(...) end

local function node(g, indent, name, colour, rows, more)
  local cells = {}
  for i, row in ipairs(rows) do
    local text = escaped(row)
    cells[i] = i == 1 and "<b>" .. text .. "</b>" or '<font point-size="9">' .. text .. "</font>"
  end
  line(g, indent, "%s [label=<%s>, fillcolor=%s%s];", name, table.concat(cells, '<br align="left"/>') ..
    (#rows > 1 and '<br align="left"/>' or ""), quoted(colour), more or "")
end

-- From here on the value comes from that node.
local function place(g, value, name)
  g.where[value.id], g.at[value.id] = name, g.n
end

local function edge(g, value, to, more)
  local from = g.where[value.id]
  if not from then return end -- a const that is folded away
  if g.n - g.at[value.id] > far then
    g.marks = g.marks + 1
    from = "m" .. g.marks
    g.edges[#g.edges + 1] = ("  %s [label=%s, shape=plaintext, style=\"\"];"):format(from, quoted(value.name .. " >"))
  end
  g.edges[#g.edges + 1] = ("  %s -> %s [label=%s%s];"):format(from, to, quoted(g.types and value.type.text or ""), more or "")
end

-- A const that something other than an operation takes has no label to be in.
local function draw_const(g, indent, value)
  local name = "c" .. value.id
  if g.where[value.id] then return end
  place(g, value, name)
  node(g, indent, name, "#ffffff", { "const", value.name, const_text(value) }, ', style="filled,dashed"')
end

-- The arguments by parameter, in the order in which the op declares them.
local function arguments(g, operation)
  local args, list = operation.args, {}
  local op = g.params[operation.type]
  if not op then
    op = require("mil").op(operation.type, g.opset).params
    g.params[operation.type] = op
  end
  for _, param in ipairs(op) do
    local given = args[param.name]
    if given then list[#list + 1] = { param.name, type(given) == "table" and given or { given } } end
  end
  return list
end

local function draw_operation(g, indent, operation)
  local name, outputs = "o" .. operation.id, operation.outputs
  local rows = { operation.type, operation.name }
  for _, argument in ipairs(arguments(g, operation)) do
    for _, value in ipairs(argument[2]) do
      if value.op == "const" then
        if g.consts then rows[#rows + 1] = ("%s = %s"):format(argument[1], const_text(value)) end
      else
        edge(g, value, name, #argument[2] > 1 and "" or g.types and ", tooltip=" .. quoted(argument[1]) or "")
      end
    end
  end
  g.n = g.n + 1
  for _, value in ipairs(outputs) do place(g, value, name) end
  local step = g.steps and g.steps[operation.name]
  if step and step.size == 1 then rows[#rows + 1] = ("step %d: %s"):format(step.number, step.kernel) end
  local more = operation.where and ", tooltip=" .. quoted(operation.where) or ""
  if g.steps and not step then more = more .. ', style="filled,rounded,dashed"' end
  node(g, indent, name, colour_of(outputs[1]), rows, more)
end

-- ---- blocks ----

-- The operations of a block itself, without those of blocks nested in it.
local function own_operations(block)
  local own, nested = {}, {}
  for _, operation in ipairs(block:operations()) do
    if not nested[operation.id] then own[#own + 1] = operation end
    for _, inner in ipairs(operation.blocks) do
      for _, each in ipairs(inner:operations()) do nested[each.id] = true end
    end
  end
  return own
end

local draw_block

local function draw_nested(g, indent, operation)
  local initial = {}
  for _, argument in ipairs(arguments(g, operation)) do
    if argument[1] == "loop_vars" then initial = argument[2] end
  end
  for i, block in ipairs(operation.blocks) do
    line(g, indent, "subgraph %s {", quoted(("cluster_b%d_%d"):format(operation.id, i)))
    line(g, indent + 1, "label=%s; style=\"rounded,dashed\"; color=\"#888888\"; fontsize=10;",
      quoted(("%s %s, block %d"):format(operation.type, operation.name or "", i)))
    for k, value in ipairs(block.inputs) do
      place(g, value, "i" .. value.id)
      node(g, indent + 1, "i" .. value.id, colour_of(value), { value.name }, ", shape=ellipse")
      if initial[k] then edge(g, initial[k], "i" .. value.id, ", style=dashed") end
    end
    draw_block(g, indent + 1, block)
    for _, value in ipairs(block.outputs) do
      if value.op == "const" then draw_const(g, indent + 1, value) end
      edge(g, value, "o" .. operation.id, ", style=dashed")
    end
    line(g, indent, "}")
  end
end

-- Operations of one step stand next to each other in no order that matters: edges come last of all.
local function draw_step(g, indent, step, operations)
  line(g, indent, "subgraph %s {", quoted(("cluster_s%d_%d"):format(step.number, operations[1].id)))
  line(g, indent + 1, 'label=%s; style="rounded,filled"; color="#f0f0f0"; pencolor="#bbbbbb"; fontsize=9;',
    quoted(("step %d: %s"):format(step.number, step.kernel)))
  for _, operation in ipairs(operations) do draw_operation(g, indent + 1, operation) end
  line(g, indent, "}")
end

function draw_block(g, indent, block)
  local members, order = {}, {}
  for _, operation in ipairs(own_operations(block)) do
    local step = g.steps and g.steps[operation.name]
    if operation.type == "const" then -- in the label of what takes it
    elseif #operation.blocks > 0 or not step or step.size == 1 then
      order[#order + 1] = operation
    else
      if not members[step] then
        members[step] = {}
        order[#order + 1] = step
      end
      table.insert(members[step], operation)
    end
  end
  for _, each in ipairs(order) do
    if members[each] then
      draw_step(g, indent, each, members[each])
    else
      if #each.blocks > 0 then draw_nested(g, indent, each) end
      draw_operation(g, indent, each)
    end
  end
end

local function draw_function(g, func)
  line(g, 1, "subgraph %s {", quoted("cluster_" .. func.name))
  line(g, 2, 'label=%s; color="#666666"; fontsize=12;', quoted("func " .. func.name))
  for _, value in ipairs(func.inputs) do
    place(g, value, "i" .. value.id)
    node(g, 2, "i" .. value.id, colour_of(value), { value.name, value.type.text }, ", shape=ellipse")
  end
  draw_block(g, 2, func)
  for i, value in ipairs(func.outputs) do
    local name = ("r%d_%d"):format(value.id, i)
    node(g, 2, name, colour_of(value), { value.name, value.type.text }, ", shape=ellipse, penwidth=2")
    if value.op == "const" then draw_const(g, 2, value) end
    edge(g, value, name)
  end
  line(g, 1, "}")
end

-- ---- the plan ----

-- For each name of an operation, its step.
local function steps_of(func, options)
  local by_name = {}
  local model = func:compile { engine = "cpu", threads = options.threads }
  local steps = model:steps()
  model:unload()
  if #steps == 0 then
    local symbols = {}
    for _, value in ipairs(func.inputs) do
      for _, dim in ipairs(value.type.shape) do
        if type(dim) == "string" then symbols[#symbols + 1] = dim end
      end
    end
    error(("plan: %s has no plan before its shapes are known: give %s a size"):format(func.name,
      #symbols > 0 and table.concat(symbols, ", ") or "its inputs"), 0)
  end
  for i, step in ipairs(steps) do
    local this = { number = i, kernel = step.kernel, size = #step.ops }
    for _, name in ipairs(step.ops) do by_name[name] = this end
  end
  return by_name
end

-- ---- the face ----

-- dot's text for a program. options: functions, a list of names (all); consts, types: false leaves them out; plan: true groups
-- what the cpu engine fuses; title.
function graph.dot(program, options)
  options = options or {}
  local g = { lines = {}, edges = {}, where = {}, at = {}, n = 0, marks = 0, params = {}, opset = program.opset,
              consts = options.consts ~= false, types = options.types ~= false }
  line(g, 0, "digraph mil {")
  line(g, 1, 'label=%s; labelloc=t; fontname="Helvetica"; ranksep=0.3; nodesep=0.2;', quoted(options.title or ""))
  line(g, 1, 'node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=11, margin="0.1,0.05"];')
  line(g, 1, 'edge [fontname="Helvetica", fontsize=8, color="#555555", arrowsize=0.6];')
  for _, func in ipairs(program:functions()) do
    if not options.functions or options.functions[func.name] then
      if options.plan then g.steps = steps_of(func, options) end
      draw_function(g, func)
    end
  end
  for _, text in ipairs(g.edges) do g.lines[#g.lines + 1] = text end
  if g.n > many then line(g, 1, "nslimit=2; nslimit1=2; mclimit=0.3;") end
  line(g, 0, "}")
  return table.concat(g.lines, "\n") .. "\n"
end

-- What Graphviz draws of dot's text.
function graph.svg(dot)
  local svg, complaint, is_missing = require("mil.system").filter({ "dot", "-Tsvg" }, dot)
  if is_missing then
    error("dot, which lays out graphs, is not installed: it is part of Graphviz (apt-get install graphviz, brew install graphviz); " ..
      "a .dot file needs none", 0)
  end
  if not svg or not svg:find "</svg>%s*$" then error("dot failed: " .. (complaint:match "[^\n]+" or "it wrote nothing"), 0) end
  return svg
end

-- A page around a picture, to move about and search in; it needs nothing but itself.
function graph.html(svg, title)
  local page = require "mil.graph_page"
  local parts = { TITLE = escaped(title or ""), SVG = svg:match "<svg.*" }
  return (page:gsub("@(%u+)@", function(name) return parts[name] end))
end

return graph

-- SPDX-License-Identifier: MIT
-- luamil graph: a model as a picture.

local options = require "mil.options"

local command = {
  name = "graph",
  arguments = "MODEL",
  summary = "a model as a picture: operations, values with their types, nested blocks",
  description = "FILE ends in .svg, .html (a page to move about and search in) or .dot. Graphviz's dot lays out the first two.\n" ..
    "Colours stand for dtypes; consts are in the labels of what takes them.",
  options = {
    { "--output", "FILE", "where to; without it, or with -, dot's text on standard output", short = "-o" },
    { "--function", "NAME", "this function alone", many = true },
    { "--plan", "group the operations that one step of the cpu engine stands for" },
    { "--fix", "SYMBOL=SIZE", "give a symbolic dim a size first, as a plan wants it", many = true },
    { "--no-consts", "leave consts out of labels" },
    { "--no-types", "leave types out" },
    { "--quiet", "no progress on a terminal" },
  },
}

local function functions_of(program, names)
  if not names then return nil end
  local chosen, known = {}, {}
  for _, func in ipairs(program:functions()) do known[#known + 1] = func.name end
  for _, name in ipairs(names) do
    chosen[name] = true
    local found = false
    for _, each in ipairs(known) do found = found or each == name end
    if not found then error(("there is no function %s, but %s"):format(name, table.concat(known, ", ")), 0) end
  end
  return chosen
end

local function fix(program, rows)
  local sizes = {}
  for _, row in ipairs(rows or {}) do
    local name, size = row:match "^([^=]+)=(%d+)$"
    if not name then options.usage("--fix takes SYMBOL=SIZE, but was given %s", row) end
    sizes[name] = tonumber(size)
  end
  if rows then program:fix(sizes) end
end

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one model, but was given %d", #arguments) end
  local path, graph = given.output ~= "-" and given.output or nil, require "mil.graph"
  local ending = path and path:match "%.(%w+)$" or "dot"
  if not ({ dot = true, svg = true, html = true })[ending] then
    options.usage("%s ends in none of .svg, .html, .dot", path)
  end
  local program = require("mil.progress").load(arguments[1], given.quiet)
  fix(program, given.fix)
  local title = arguments[1]:match "([^/]+)/*$"
  local text = graph.dot(program, {
    title = title, functions = functions_of(program, given["function"]), plan = given.plan, consts = not given.no_consts,
    types = not given.no_types,
  })
  if ending ~= "dot" then text = graph.svg(text) end
  if ending == "html" then text = graph.html(text, title) end
  require("mil.errors").put(path, text)
  return 0
end

return command

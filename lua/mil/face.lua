-- SPDX-License-Identifier: MIT
-- mil.face: everything of the Lua face but the ops, a row each: {signature, help}. From here come ?mil.func, the search,
-- docs/reference/lua.md and meta.lua; a spec compares the rows with what the module has.
--
-- A signature is a name, then "(parameters) -> result" of a function, or ": type" of a field. Names: mil.x is a function
-- of the module, class:x a method, class.x a field. Types are those of LuaCATS.

local rows = {
  -- programs
  { "mil.func(options?: {opset: string?}) -> mil.function", "A new program with one function, main." },
  { "mil.program(options?: {opset: string?}) -> mil.program", "A new program, with no functions yet." },
  { "mil.parse(text: string, options?: {name: string?, model_path: string?}) -> mil.program",
    "The program that MIL text says. name stands for the file in errors; model_path is the folder of its weights." },
  { "mil.load(path: string) -> mil.program", "The program of a model file (.mil)." },
  { "mil.dim(name: string, range?: {min: integer?, max: integer?, default: integer?}) -> mil.dim",
    "A symbolic dim with a range, for f:input; a plain string is one without." },
  { "mil.shapes(shapes: integer[][]) -> mil.shapes", "Enumerated shapes, for f:input." },

  { "program:func(name: string) -> mil.function", "A new function of the program." },
  { "program:functions() -> mil.function[]", "Its functions, in order." },
  { "program:compile(options?: mil.compile_options) -> mil.model", "The program compiled for an engine." },
  { "program:save(path: string)", "Writes it to a .mil file." },
  { "program.opset: string", "ios15, ios16, ios17 or ios18." },

  { "function:input(name: string, dtype: string, shape: (integer|string|mil.dim)[]) -> mil.value",
    "An input; a string in its shape is a symbolic dim." },
  { "function:state(name: string, dtype: string, shape: integer[]) -> mil.value",
    "A state: memory that a model keeps between runs (opset ios18)." },
  { "function:output(name: string, value: mil.value) -> mil.value", "Makes value an output of that name." },
  { "function:const(data: mil.tensor|table|number|boolean|string, dtype?: string) -> mil.value",
    "A const; a tensor given becomes read-only." },
  { "function:rename(value: mil.value, name: string)", "Gives a value another name." },
  { "function:undo()", "Takes back the last operation." },
  { "function:mark() -> integer", "The number of operations added so far, less those undone." },
  { "function:operations() -> table[]",
    "Its operations in order: {op, name, where, outputs = {values}, args = {parameter = value or list}}." },
  { "function:compile(options?: mil.compile_options) -> mil.model", "Its program compiled for an engine." },
  { "function:save(path: string)", "Writes its program to a .mil file." },
  { "function.name: string", "Its name in the program." },
  { "function.program: mil.program", "The program that it belongs to." },

  { "value:uses() -> mil.value[]", "The results of operations that take the value." },
  { "value:eval(inputs?: table<string, mil.tensor>) -> mil.tensor", "Computes the value from its function's inputs." },
  { "value.type: {shape: (integer|string)[], dtype: string}", "Its shape and dtype; symbolic dims are strings." },
  { "value.name: string", "Its name in the program." },
  { "value.where: string", "The place in the script that made it." },
  { "value.op: string", "The op whose result it is." },
  { "value.func: mil.function", "The function that it belongs to." },

  -- models
  { "model:run(inputs: table<string, mil.tensor|table|number>) -> table<string, mil.tensor>",
    "One run: outputs by name, as fresh tensors." },
  { "model:bind(tensors: table<string, mil.tensor>) -> mil.step",
    "A function that runs the model on these tensors, inputs and outputs, given once; nothing is allocated." },
  { "model:inputs() -> {name: string, dtype: string, shape: integer[]}[]", "What it takes." },
  { "model:outputs() -> {name: string, dtype: string, shape: integer[]}[]", "What it gives." },
  { "model:describe() -> string", "Its plan, a line a step." },
  { "model:memory() -> {weights: integer, context: integer}", "Bytes that it holds, and that a run needs." },
  { "model:unload()", "Gives its memory back at once; it can't run afterwards." },

  -- tensors
  { "mil.tensor(dtype: string, data: table|number) -> mil.tensor", "A tensor of numbers in (nested) tables." },
  { "mil.zeros(dtype: string, shape: integer[]) -> mil.tensor", "A tensor of zeros." },
  { "mil.ones(dtype: string, shape: integer[]) -> mil.tensor", "A tensor of ones." },
  { "mil.full(dtype: string, shape: integer[], value: number) -> mil.tensor", "A tensor of one value." },
  { "mil.rand(dtype: string, shape: integer[], options?: {seed: integer?}) -> mil.tensor",
    "Random numbers, uniform in [0, 1)." },
  { "mil.randn(dtype: string, shape: integer[], options?: {seed: integer?}) -> mil.tensor",
    "Random numbers, normal with mean 0 and deviation 1." },
  { "mil.seed(seed: integer)", "Begins the random numbers anew." },

  { "tensor:reshape(shape: integer[]) -> mil.tensor", "A view of another shape." },
  { "tensor:transpose(perm?: integer[]) -> mil.tensor", "A view with its axes in another order." },
  { "tensor:to(dtype: string) -> mil.tensor", "A copy of another dtype." },
  { "tensor:copy() -> mil.tensor", "A copy." },
}

-- ---- read into {name, short, signature, help, class, member, is_method, params = {{name, type, optional}},
-- results = {types}}, or type of a field ----

-- "a: {x: string?}, b?: integer" -> pieces between the commas outside of brackets
local function pieces(text)
  local list, depth, start = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c:find "[{(<%[]" then depth = depth + 1 end
    if c:find "[})>%]]" then depth = depth - 1 end
    if c == "," and depth == 0 then
      list[#list + 1] = text:sub(start, i - 1)
      start = i + 1
    end
  end
  if text:sub(start):find "%S" then list[#list + 1] = text:sub(start) end
  return list
end

local function read(row)
  local signature = row[1]
  local class, mark, member, rest = signature:match "^([%a_]+)([.:])([%a_]+)(.*)$"
  local entry = {
    signature = signature, help = row[2], class = class, member = member, is_method = mark == ":",
    name = class .. mark .. member, short = member,
  }
  local params, returns = rest:match "^(%b())%s*(.*)$"
  if not params then
    entry.type = rest:match "^:%s*(.+)$"
    return entry
  end
  entry.params, entry.results = {}, pieces(returns:match "^%->%s*(.+)$" or "")
  for _, piece in ipairs(pieces(params:sub(2, -2))) do
    local name, optional, kind = piece:match "^%s*([%a_%.]+)(%??)%s*:%s*(.-)%s*$"
    table.insert(entry.params, { name = name, type = kind, optional = optional == "?" })
  end
  return entry
end

local face = {}
for i, row in ipairs(rows) do face[i] = read(row) end
return face

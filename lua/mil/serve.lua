-- SPDX-License-Identifier: MIT
-- mil.serve: models for programs in other languages. A request is a line of JSON, its answer another; tensors go through
-- files. docs/guides/serve.md has the protocol.
--
--     local server = serve.new()
--     server:answer '{"op": "load", "package": "M.mlpackage"}'     -- {"inputs":[..],"model":1,"ok":true,"outputs":[..],"states":[]}
--
-- A request that fails has an answer like any other: nothing that it holds may end the server.

local mil = require "mil"
local json = require "mil.json"
local system = require "mil.system"
local inputs = require "mil.inputs"
local errors = require "mil.errors"
local check, object_of = errors.check, errors.object_of

local serve = { most_line = 2 ^ 20 } -- bytes; requests have paths in them, and no tensors

local server = {}
server.__index = server

local function bad_input(...) error({ kind = "bad_input", message = string.format(...) }, 0) end

-- ---- fields of a request ----

local function field(request, key)
  local value = request[key]
  if value ~= json.null then return value end
end

local function present(request, key)
  local value = field(request, key)
  if value == nil then bad_input("%s: %s is missing", request.op, key) end
  return value
end

local function text_field(request, key)
  local value = present(request, key)
  if type(value) ~= "string" then bad_input("%s: %s is a string, but was given a %s", request.op, key, type(value)) end
  return value
end

function server:model_of(request)
  local id = present(request, "model")
  local model = self.models[id]
  if not model then bad_input("%s: there is no model %s", request.op, json.encode(request.model or json.null)) end
  return model
end

-- ---- load ----

-- What each extent that is not fixed may be; null for the others. nil: nothing is said of any.
local function ranges_of(value)
  if not next(value.ranges) or value.type.shape[1] == "..." then return nil end
  local list = json.array {}
  for k, extent in ipairs(value.type.shape) do list[k] = value.ranges[tostring(extent)] or json.null end
  return list
end

-- What the package says of it beyond its type.
local function describe(port, value)
  local feature = value.feature or {}
  port.ranges, port.shapes = ranges_of(value), value.shapes
  for _, shape in ipairs(port.shapes or {}) do json.array(shape) end
  if feature.optional then port.optional, port.default = true, feature.default end
  if feature.kind == "image" then port.image = { color = feature.color, width = feature.width, height = feature.height } end
  if value.type.kind == "dict" then port.kind = "dictionary" end
  if value.type.dtype == "string" or value.type.dtype == "int64" then port.kind = value.type.dtype end
end

local function ports_of(ports, values)
  local list, by_name = json.array {}, {}
  for _, value in ipairs(values) do by_name[value.name] = value end
  for i, port in ipairs(ports) do
    local shape = port.shape[1] ~= "..." and json.array {} or json.null
    for k, extent in ipairs(shape ~= json.null and port.shape or {}) do shape[k] = type(extent) == "number" and extent or json.null end
    list[i] = { name = port.name, dtype = port.dtype, shape = shape }
    if by_name[port.name] then describe(list[i], by_name[port.name]) end
  end
  return list
end

local function compile_options(request)
  local options = {}
  local given, precision = field(request, "options") or {}, field(request, "compute_precision")
  if type(given) ~= "table" then bad_input("load: options is an object") end
  for key in pairs(given) do options[key] = field(given, key) end
  if precision and options.precision and options.precision ~= precision then
    bad_input("load: compute_precision and options.precision differ")
  end
  options.precision = precision or options.precision
  options.entry = field(request, "function") or options.entry
  return options
end

function server:load(request)
  local options = compile_options(request)
  local program = mil.load(text_field(request, "package"))
  local model = program:compile(options)
  local f = inputs.entry(program, options.entry)
  self.n = self.n + 1
  self.models[self.n] = model
  return {
    model = self.n, inputs = ports_of(model:inputs(), f.inputs), states = ports_of(model:states(), f.inputs),
    outputs = ports_of(model:outputs(), f.outputs),
  }
end

-- ---- run ----

local function read_inputs(model, path)
  local ports, tensors = {}, {}
  for _, port in ipairs(model:inputs()) do ports[port.name] = port end
  local file = mil.weights(path)
  for _, name in ipairs(mil.names(file)) do
    tensors[name] = ports[name] and inputs.fitted(file[name], ports[name].dtype) or file[name]
  end
  return tensors
end

-- Numbers that JSON has not are strings that most languages read as numbers.
local function number(x)
  if x ~= x then return "NaN" end
  return (x == math.huge and "Infinity") or (x == -math.huge and "-Infinity") or x
end

-- [["cat", 0.2], ...], in the model's order
local function pairs_of(dictionary)
  local list, labels = json.array {}, dictionary:labels()
  local numbers = dictionary:tensor():reshape({ #labels }):table()
  for i, label in ipairs(labels) do list[i] = json.array { label, number(numbers[i]) } end
  return list
end

-- The tensors, and what travels in the answer: a classifier's label and dictionary.
local function split_outputs(outputs)
  local tensors, values = {}, {}
  for name, output in pairs(outputs) do
    if type(output) ~= "userdata" then values[name] = output
    elseif getmetatable(output) == "mil.dictionary" then values[name] = pairs_of(output)
    else tensors[name] = output end
  end
  return tensors, values
end

function server:run(request)
  local model = self:model_of(request)
  local path = text_field(request, "outputs")
  local given = field(request, "inputs") ~= nil and read_inputs(model, text_field(request, "inputs")) or {}
  local state
  if field(request, "state") ~= nil then state = self:state_of(request) end
  local tensors, values = split_outputs(model:run(given, { state = state }))
  for name, tensor in pairs(given) do
    tensor:free()
    given[name] = nil
  end
  mil.save(path, tensors)
  return { values = values }
end

-- ---- states ----

function server:state_of(request)
  local id = present(request, "state")
  local entry = self.states[id]
  if not entry then bad_input("%s: there is no state %s", request.op, json.encode(request.state or json.null)) end
  return entry.state
end

function server:make_state(request)
  local state = self:model_of(request):state()
  self.n = self.n + 1
  self.states[self.n] = { state = state, model = request.model }
  return { state = self.n }
end

function server:read_state(request)
  local name = text_field(request, "name")
  mil.save(text_field(request, "outputs"), { [name] = self:state_of(request):tensor(name) })
  return {}
end

function server:write_state(request)
  local name = text_field(request, "name")
  self:state_of(request):tensor(name):write(mil.load_tensor(text_field(request, "inputs"), name))
  return {}
end

-- ---- unload ----

function server:unload(request)
  self:model_of(request):unload()
  self.models[request.model] = nil
  for id, entry in pairs(self.states) do
    if entry.model == request.model then self.states[id] = nil end
  end
  collectgarbage()
  return {}
end

-- ---- answers ----

local requests = { -- with their fields
  load = { "package", "function", "compute_precision", "options" },
  run = { "model", "inputs", "outputs", "state" },
  make_state = { "model" },
  read_state = { "state", "name", "outputs" },
  write_state = { "state", "name", "inputs" },
  unload = { "model" },
}

-- What a run or a state was given does not fit the model.
local of_inputs = { ENAME = true, ETYPE = true, EVALUE = true, EINVAL = true }

local known = {}
for _, name in ipairs(mil.ops()) do known[name] = true end

local function failure(err, request)
  err = object_of(err)
  if type(err) ~= "table" then return { error = tostring(err), kind = "other" } end
  local answer = { error = tostring(err.message), kind = err.kind or "other", name = err.op }
  if err.op and (not known[err.op] or err.code == "EUNSUPPORTED") then
    answer.kind = "unsupported_op"
  elseif request ~= "load" and not err.op and of_inputs[err.code] then
    answer.kind = "bad_input"
  end
  return answer
end

local function check_fields(request)
  local names, known_field = requests[request.op], { op = true }
  for _, name in ipairs(names) do known_field[name] = true end
  local unknown
  for key in pairs(request) do
    if not known_field[key] and (not unknown or key < unknown) then unknown = key end
  end
  if not unknown then return end
  local near = mil.nearest(unknown, names)
  bad_input("%s: no field %s%s", request.op, unknown, near and ("; did you mean %s?"):format(near) or "")
end

local function read_request(line)
  local ok, request = pcall(json.decode, line)
  if not ok then bad_input("not a line of JSON: %s", object_of(request).message) end
  if type(request) ~= "table" or not requests[request.op] then
    local op = type(request) == "table" and request.op
    bad_input("%sa request is an object with an op: load, run, make_state, read_state, write_state or unload",
      type(op) == "string" and ("there is no op %s; "):format(json.encode(op:sub(1, 60))) or "")
  end
  check_fields(request)
  return request
end

-- The answer to a line, as a line; false: to one that was too long.
function server:answer(line)
  local op
  local ok, result = pcall(function()
    if not line then bad_input("a request has at most %d bytes", serve.most_line) end
    local request = read_request(line)
    op = request.op
    return self[op](self, request)
  end)
  if not ok then result = failure(result, op) end
  result.ok = ok
  local encoded, text = pcall(json.encode, result)
  return encoded and text or json.encode { ok = false, kind = "other", error = "the answer is no JSON: " .. tostring(text) }
end

function serve.new() return setmetatable({ models = {}, states = {}, n = 0 }, server) end

-- Answers standard input's lines on standard output, up to the end of either.
function serve.run()
  local one = serve.new()
  for line in function() return system.read_line(serve.most_line) end do
    check(io.stdout:write(one:answer(line), "\n"))
    check(io.stdout:flush())
  end
end

return serve

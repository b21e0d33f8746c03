-- SPDX-License-Identifier: MIT
-- luamil serve: each request and each way to fail; in this process, and through the pipes of a real one.
local mil = require "mil"
local json = require "mil.json"
local serve = require "mil.serve"

local build = os.getenv "MIL_TEST_BUILD" or "build"
local lua = os.getenv "MIL_TEST_LUA" or "lua"

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))
local function path_of(name) return folder .. "/" .. name end

local conv = "tests/vectors/packages/conv.mlpackage"

-- A server, and a function that asks it: fields of a request in, fields of the answer out.
local function new_server()
  local server = serve.new()
  return function(request)
    local text = server:answer(type(request) == "table" and json.encode(request) or request)
    assert.is_nil(text:find "\n")
    return json.decode(text)
  end
end

local function save_inputs(name, dtype)
  mil.save(path_of(name), { x = mil.ones(dtype or "fp32", { 1, 3, 5, 5 }), bias = mil.zeros(dtype or "fp32", { 1, 2, 3, 3 }) })
  return path_of(name)
end

local function write_model(name, text)
  local file = assert(io.open(path_of(name), "w"))
  file:write(text)
  file:close()
  return path_of(name)
end

describe("serve", function()
  it("loads, runs and unloads", function()
    local ask = new_server()
    local loaded = ask { op = "load", package = conv, options = { threads = 2, optimize = 0 }, compute_precision = json.null }
    assert.is_true(loaded.ok, loaded.error)
    assert.equal('[{"dtype":"fp32","name":"x","shape":[1,3,5,5]},{"dtype":"fp32","name":"bias","shape":[1,2,3,3]}]',
      json.encode(loaded.inputs))
    assert.equal("out", loaded.outputs[1].name)
    for _, ending in ipairs { ".npz", ".safetensors" } do
      local request = { op = "run", model = loaded.model, inputs = save_inputs("in" .. ending), outputs = path_of("out" .. ending) }
      for _ = 1, 2 do assert.equal('{"ok":true,"values":{}}', json.encode(ask(request))) end
      assert.equal(43.875, mil.load_tensor(request.outputs, "out"):get(1, 2, 3, 3))
    end
    assert.equal('{"ok":true}', json.encode(ask { op = "unload", model = loaded.model }))
    assert.equal("bad_input", ask({ op = "unload", model = loaded.model }).kind)
  end)

  it("gives a classifier's label, and its probabilities as pairs", function()
    local ask = new_server()
    local loaded = ask { op = "load", package = "tests/vectors/packages/classifier.mlpackage" }
    mil.save(path_of "image.npz", { image = mil.zeros("fp32", { 1, 3, 2, 2 }) })
    local answer = ask { op = "run", model = loaded.model, inputs = path_of "image.npz", outputs = path_of "none.npz" }
    assert.is_true(answer.ok, answer.error)
    assert.equal("cat", answer.values.label) -- the first of three that are equally likely
    local names = {}
    for i, pair in ipairs(answer.values.label_probs) do
      names[i] = pair[1]
      assert.near(1 / 3, pair[2], 1e-6)
    end
    assert.same({ "cat", "dog", "Käfer" }, names)
  end)

  it("gives each load a model of its own", function()
    local ask = new_server()
    local a = ask { op = "load", package = conv, compute_precision = "strict" }
    local b = ask { op = "load", package = conv, ["function"] = "main" }
    assert.is_true(a.ok and b.ok and a.model ~= b.model)
  end)

  it("says null where an extent is not fixed", function()
    local loaded = new_server() { op = "load", package = "tests/vectors/packages/flexible.mlpackage" }
    assert.equal("[1,null,4]", json.encode(loaded.inputs[1].shape))
  end)

  it("says what a package says of inputs, states and outputs", function()
    local rows = {
      { "flexible", "inputs", '{"dtype":"fp32","name":"x","ranges":[null,{"default":3,"max":9,"min":1},null],"shape":[1,null,4]}' },
      { "flexible", "states", "" },
      { "enumerated", "inputs", '"shapes":[[1,2],[1,4],[1,8]]' },
      { "optional", "inputs", '"default":2.5,' },
      { "optional", "inputs", '"optional":true' },
      { "conv", "inputs", '{"dtype":"fp32","name":"x","shape":[1,3,5,5]}' },
      { "classifier", "inputs", '"image":{"color":"bgr","height":2,"width":2}' },
      { "classifier", "outputs", '{"dtype":"string","kind":"string","name":"label","shape":[]}' },
      { "classifier", "outputs", '{"dtype":"fp32","kind":"dictionary","name":"label_probs","shape":[3]}' },
      { "stateful", "states", '{"dtype":"fp16","name":"' },
    }
    for _, row in ipairs(rows) do
      local loaded = new_server() { op = "load", package = ("tests/vectors/packages/%s.mlpackage"):format(row[1]) }
      assert.is_true(loaded.ok, loaded.error)
      local text = json.encode(loaded[row[2]])
      assert.truthy(text:find(row[3], 1, true), text .. " has no " .. row[3])
    end
  end)

  it("takes other floats for a float input", function()
    local ask = new_server()
    local model = ask({ op = "load", package = conv }).model
    for _, dtype in ipairs { "fp16", "fp64", "int32" } do
      local answer = ask { op = "run", model = model, inputs = save_inputs("other.npz", dtype), outputs = path_of "out.npz" }
      assert.is_true(answer.ok, answer.error)
      assert.equal(43.875, mil.load_tensor(path_of "out.npz", "out"):get(1, 2, 3, 3))
    end
  end)

  it("keeps states", function()
    local ask = new_server()
    local model = ask({ op = "load", package = write_model("memory.mil", [[
program(1.3)
{
  func main<ios18>(tensor<fp16, [2]> x, state<tensor<fp16, [2]>> memory) {
    tensor<fp16, [2]> old = read_state(input = memory)[name = string("old")];
    tensor<fp16, [2]> y = add(x = old, y = x)[name = string("y")];
    write_state(data = y, input = memory)[name = string("w")];
  } -> (y);
}
]]) }).model
    mil.save(path_of "x.npz", { x = mil.ones("fp32", { 2 }) })
    mil.save(path_of "s.npz", { memory = mil.full("fp16", { 2 }, 10) })
    local state, other = ask({ op = "make_state", model = model }).state, ask({ op = "make_state", model = model }).state
    local function run(with)
      local answer = ask { op = "run", model = model, inputs = path_of "x.npz", outputs = path_of "y.npz", state = with }
      return answer.ok and mil.load_tensor(path_of "y.npz", "y"):get(1) or answer.error
    end
    assert.same({ 1, 2, 1 }, { run(state), run(state), run(other) })
    assert.is_true(ask({ op = "read_state", state = state, name = "memory", outputs = path_of "r.npz" }).ok)
    assert.equal(2, mil.load_tensor(path_of "r.npz", "memory"):get(2))
    assert.is_true(ask({ op = "write_state", state = state, name = "memory", inputs = path_of "s.npz" }).ok)
    assert.equal(11, run(state))
    assert.truthy(run(nil):find "state memory fp16%[2%] is missing")
    assert.truthy(run(99):find "there is no state 99")
    local rows = {
      { { op = "read_state", state = state, name = "memry", outputs = path_of "r.npz" }, "did you mean memory" },
      { { op = "read_state", state = state, name = "zz", outputs = path_of "r.npz" }, 'the state has no "zz", but memory' },
      { { op = "write_state", state = state, name = "memory", inputs = path_of "x.npz" }, 'memory' },
      { { op = "make_state", model = 99 }, "there is no model 99" },
    }
    for _, row in ipairs(rows) do
      local answer = ask(row[1])
      assert.same({ false, "bad_input" }, { answer.ok, answer.kind })
      assert.truthy(answer.error:find(row[2], 1, true), answer.error)
    end
    assert.is_true(ask({ op = "unload", model = model }).ok)
    assert.equal("bad_input", ask({ op = "read_state", state = state, name = "memory", outputs = path_of "r.npz" }).kind)
  end)

  it("names what it lacks, and what does not fit", function()
    local ask = new_server()
    local model = ask({ op = "load", package = conv }).model
    mil.save(path_of "few.npz", { x = mil.ones("fp32", { 1, 3, 5, 5 }) })
    mil.save(path_of "shape.npz", { x = mil.ones("fp32", { 1, 3, 5, 4 }), bias = mil.zeros("fp32", { 1, 2, 3, 3 }) })
    mil.save(path_of "more.npz", { x = mil.ones("fp32", { 1, 3, 5, 5 }), bias = mil.zeros("fp32", { 1, 2, 3, 3 }), y = mil.ones("fp32", { 1 }) })
    local foreign = write_model("foreign.mil", [[
program(1.3)
{
  func main<ios18>(tensor<fp32, [2]> x) {
    tensor<fp32, [2]> y = frobnicate(x = x)[name = string("y")];
  } -> (y);
}
]])
    local function run(name, outputs)
      return { op = "run", model = model, inputs = path_of(name), outputs = path_of(outputs or "out.npz") }
    end
    local rows = {
      { run "few.npz", "bad_input", "input bias fp32[1, 2, 3, 3] is missing" },
      { run "shape.npz", "bad_input", "input x" },
      { run "more.npz", "bad_input", 'no input "y"' },
      { run "nowhere.npz", "other", "nowhere.npz" },
      { run("few.npz", "nowhere/out.npz"), "bad_input", "missing" },
      { { op = "run", model = 99, outputs = "x.npz" }, "bad_input", "there is no model 99" },
      { { op = "run", model = { 1 }, outputs = "x.npz" }, "bad_input", "there is no model [1]" },
      { { op = "run", model = model }, "bad_input", "run: outputs is missing" },
      { { op = "run", model = model, inputs = 7, outputs = "x.npz" }, "bad_input", "run: inputs is a string, but was given a number" },
      { { op = "load", package = foreign }, "unsupported_op", "frobnicate" },
      { { op = "load", package = path_of "nowhere.mlpackage" }, "other", "nowhere.mlpackage" },
      { { op = "load" }, "bad_input", "load: package is missing" },
      { { op = "load", package = conv, functoin = "main" }, "bad_input", "load: no field functoin; did you mean function?" },
      { { op = "unload", model = model, now = true, also = 1 }, "bad_input", "unload: no field also" },
      { { op = "run" }, "bad_input", "run: model is missing" },
      { { op = "read_state", name = "a", outputs = "x.npz" }, "bad_input", "read_state: state is missing" },
      { { op = "load", package = conv, options = { thread = 1 } }, "other", "did you mean threads" },
      { { op = "load", package = conv, options = "fast" }, "bad_input", "options is an object" },
      { { op = "load", package = conv, options = { precision = "strict" }, compute_precision = "default" }, "bad_input", "differ" },
      { { op = "load", package = conv, ["function"] = "side" }, "other", 'no function "side"' },
      { { op = "lod" }, "bad_input", 'there is no op "lod"; a request is an object with an op: load, run' },
      { { op = "answer" }, "bad_input", "load, run" },
      { "[1, 2", "bad_input", "not a line of JSON" },
      { '{"op":"load","op":"run"}', "bad_input", "duplicate" },
      { "[]", "bad_input", "an object with an op" },
      { "7", "bad_input", "an object with an op" },
      { "", "bad_input", "not a line of JSON" },
      { ("["):rep(100000), "bad_input", "not a line of JSON" },
    }
    for _, row in ipairs(rows) do
      local answer = ask(row[1])
      assert.is_false(answer.ok)
      assert.same({ row[2], row[3] }, { answer.kind, answer.error:find(row[3], 1, true) and row[3] or answer.error })
    end
    assert.equal("frobnicate", ask({ op = "load", package = foreign }).name)
    assert.is_true(ask({ op = "run", model = model, inputs = save_inputs "in.npz", outputs = path_of "out.npz" }).ok)
  end)
end)

local commands = { lua .. " bin/luamil" }
if lua == "lua5.4" and io.open(build .. "/luamil") then commands[2] = build .. "/luamil" end

for _, luamil in ipairs(commands) do
  describe(luamil:match "%S+$" .. " serve", function()
    -- The lines that it answers to these.
    local function answers(text)
      write_model("requests", text)
      local pipe = io.popen(luamil .. " serve < " .. path_of "requests" .. "; echo $?")
      local lines = {}
      for line in pipe:lines() do lines[#lines + 1] = line end
      pipe:close()
      return lines
    end

    it("answers line by line, to the end of its input", function()
      local lines = answers(table.concat({
        ('{"op": "load", "package": "%s"}'):format(conv),
        "gibberish",
        ('{"op": "run", "model": 1, "inputs": "%s", "outputs": "%s"}'):format(save_inputs "in.npz", path_of "out.npz"),
        '{"op": "unload", "model": 1}', -- no newline behind it
      }, "\n"))
      local ok = {}
      for i = 1, 4 do ok[i] = json.decode(lines[i]).ok end
      assert.same({ true, false, true, true }, ok)
      assert.same({ 5, "0" }, { #lines, lines[5] })
      assert.same({ "0" }, answers "")
    end)

    it("ends where its answers can't be written", function()
      if not io.open "/dev/full" then return end
      local requests = path_of "requests.jsonl"
      local file = assert(io.open(requests, "w"))
      file:write('{"op": "load", "package": "', conv, '"}\n', '{"op": "run", "model": 1, "inputs": "', save_inputs "in.npz",
        '", "outputs": "', path_of "unwanted.npz", '"}\n')
      file:close()
      local status = os.execute(("%s bin/luamil serve < %s > /dev/full 2> %s"):format(lua, requests, path_of "err"))
      assert.is_true(status ~= 0 and status ~= true)
      assert.truthy(assert(io.open(path_of "err")):read("*a"):find "No space left on device")
      assert.is_nil(io.open(path_of "unwanted.npz"))
    end)

    it("answers a line that is too long, and goes on", function()
      local lines = answers(('{"op": "%s"}\n{"op": "unload", "model": 1}\n'):format(("x"):rep(serve.most_line)))
      assert.equal(3, #lines)
      assert.truthy(lines[1]:find "at most 1048576 bytes")
      assert.truthy(lines[2]:find "there is no model 1")
    end)
  end)
end

teardown(function() os.execute("rm -r " .. folder) end)

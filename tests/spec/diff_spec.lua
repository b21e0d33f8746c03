-- SPDX-License-Identifier: MIT
-- luamil diff: what differs between programs, and where their values part.
local mil = require "mil"
local diff = require "mil.diff"
local luamil = dofile "tests/spec/luamil.lua"

-- x -> fc -> act -> sm; `change` is called with what it may change, or with nothing.
local function build(change)
  local o = { weight = mil.tensor("fp32", { { 1, 2 }, { 3, 4 }, { 5, 6 } }), act = "relu", axis = -1, fc = "fc", opset = "ios17",
              dtype = "fp32", input = "x", rows = 2 }
  if change then change(o) end
  local f = mil.func { opset = o.opset }
  local y = f:input(o.input, o.dtype, { o.rows, 2 }):linear { weight = o.weight:to(o.dtype), name = o.fc }
  if o.more then y = y[o.more](y, { name = "more" }) end
  if o.scale then y = y:mul { y = o.scale, name = "scaled" } end
  y = y[o.act](y, { name = "act" })
  f:output("y", y:softmax { axis = o.axis })
  if o.author then f:metadata { author = o.author } end
  return f
end

local rows = {
  { "nothing" },
  { "a weight", function(o) o.weight = mil.tensor("fp32", { { 1, 2 }, { 3, 4.5 }, { 5, 6 } }) end,
    "~ linear fc: weight {{1, 2}, {3, 4}, {5, 6}} became {{1, 2}, {3, 4.5}, {5, 6}}" },
  { "a weight's shape", function(o) o.weight = mil.ones("fp32", { 4, 2 }) end,
    "~ output y: fp32[2, 3] became fp32[2, 4]",
    "~ linear fc: weight fp32[3, 2] became fp32[4, 2]; result fp32[2, 3] became fp32[2, 4]",
    "~ relu act: result fp32[2, 3] became fp32[2, 4]", "~ softmax y: result fp32[2, 3] became fp32[2, 4]" },
  { "a parameter", function(o) o.axis = 0 end, "~ softmax y: axis -1 became 0" },
  { "an op", function(o) o.act = "tanh" end, "~ relu act: relu became tanh" },
  { "an operation more", function(o) o.more = "sigmoid" end, "+ sigmoid more : fp32[2, 3]", "~ relu act: x fc became more" },
  { "other names", function(o) o.fc = "dense" end, nil },
  { "an input's name", function(o) o.input = "z" end, "- input x : fp32[2, 2]", "+ input z : fp32[2, 2]" },
  { "an input's shape", function(o) o.rows = 1 end,
    "~ input x: fp32[2, 2] became fp32[1, 2]", "~ output y: fp32[2, 3] became fp32[1, 3]",
    "~ linear fc: result fp32[2, 3] became fp32[1, 3]", "~ relu act: result fp32[2, 3] became fp32[1, 3]",
    "~ softmax y: result fp32[2, 3] became fp32[1, 3]" },
  { "the opset", function(o) o.opset = "ios18" end, "~ opset: ios17 became ios18" },
  { "metadata", function(o) o.author = "me" end, "+ metadata author: me" },
}

describe("a diff", function()
  for _, row in ipairs(rows) do
    it("of " .. row[1], function()
      local wanted = {}
      for i = 3, #row do wanted[#wanted + 1] = row[i] end
      local a, b = build(), build(row[2])
      assert.same(wanted, diff.programs(a.program, b.program))
      assert.equal(#wanted, #diff.programs(b.program, a.program))
      assert.same({}, diff.programs(b.program, b.program))
    end)
  end

  it("takes sizes without names for each other, everywhere the same", function()
    local function flexible(...)
      local f, dims = mil.func(), { ... }
      local a, b = f:input("a", "fp32", { dims[1], 4 }), f:input("b", "fp32", { dims[2], 4 })
      f:output("y", f:concat { values = { a, b, a }, axis = 0 })
      return f.program
    end
    local function read(program, ending)
      local path = os.tmpname() .. ending
      program:save(path)
      return mil.load(path)
    end
    local n, m = mil.dim("N", { max = 8 }), mil.dim("M", { max = 8 })
    local two, one = flexible(n, m), flexible(n, n)
    for _, ending in ipairs { ".mil", ".mlpackage", ".mlmodelc" } do
      local unnamed = read(two, ending)
      assert.same({}, diff.programs(two, unnamed))
      assert.same({}, diff.programs(unnamed, two))
      assert.same({}, diff.programs(unnamed, read(flexible(m, n), ".mil")))
    end
    assert.same({ "~ input b: fp32[M, 4] became fp32[N, 4]", "~ output y: fp32[2*N + M, 4] became fp32[3*N, 4]",
                  "~ concat y: result fp32[2*N + M, 4] became fp32[3*N, 4]" }, diff.programs(two, one))
    assert.equal("~ input b: fp32[M, 4] became fp32[8, 4]", diff.programs(two, flexible(n, 8))[1])
  end)

  it("looks into nested blocks, whose inputs may bear one name", function()
    local text = [[
program(1.3)
{
    func main<ios18>(tensor<fp32, [2]> x, tensor<fp32, [2]> z) {
            int32 n = const()[name = string("n"), val = int32(0)];
            int32 most = const()[name = string("most"), val = int32(4)];
            int32 one = const()[name = string("one"), val = int32(1)];
            int32 last, tensor<fp32, [2]> y, tensor<fp32, [2]> w = while_loop(loop_vars = (n, x, z))[name = string("loop")]
                (int32 i, tensor<fp32, [2]> a, tensor<fp32, [2]> b) {
                    bool more = less(x = i, y = most)[name = string("more")];
                } -> (more),
                (int32 i, tensor<fp32, [2]> a, tensor<fp32, [2]> b) {
                    int32 j = add(x = i, y = one)[name = string("j")];
                    tensor<fp32, [2]> c = mul(x = a, y = b)[name = string("c")];
                } -> (j, c, b);
        } -> (y);
}
]]
    local function changed(from, to) return mil.parse((text:gsub(from, to))) end
    local program = mil.parse(text)
    assert.same({}, diff.programs(program, mil.parse(text)))
    assert.same({ "~ mul c: y b became a" }, diff.programs(program, changed("x = a, y = b", "x = a, y = a")))
    assert.same({ "~ while_loop last: what block 2 gives: [2] c became a" }, diff.programs(program, changed("j, c, b", "j, a, b")))
    assert.same({}, diff.programs(program, changed("%f[%w]b%f[%W]", "other")))
  end)

  it("of a large weight says where it differs most", function()
    local w = mil.zeros("fp32", { 30, 2 })
    local v = w:copy()
    v[7][2] = -3
    v[8][1] = 1
    assert.same({ "~ linear fc: weight fp32[30, 2]: element 14 is -3, not 0: off by 3, the most of all" },
      diff.programs(build(function(o) o.weight = w end).program, build(function(o) o.weight = v end).program))
  end)

  it("of integers that a double does not hold", function()
    local function with(text) return mil.tensor("int64", { tonumber(text), 7 }) end
    if not math.type then return end -- Lua's own numbers don't hold them either
    local _, text = with "9007199254740993":close(with "9007199254740992", 0)
    assert.equal("element 1 is 9007199254740993, not 9007199254740992", text)
  end)

  it("of functions", function()
    local a, b = mil.program(), mil.program()
    for p, names in pairs { [a] = { "one", "two" }, [b] = { "two", "three" } } do
      for _, name in ipairs(names) do
        local f = p:func(name)
        f:output("y", f:input("x", "fp32", { p == a and 2 or 3 }):relu())
      end
    end
    assert.same({ "- func one", "+ func three", "~ two: input x: fp32[2] became fp32[3]", "~ two: output y: fp32[2] became fp32[3]",
                  "~ two: relu y: result fp32[2] became fp32[3]" }, diff.programs(a, b))
  end)

  it("of long programs takes time by their length", function()
    local function chain(n, extra)
      local f = mil.func()
      local x = f:input("x", "fp32", { 2 })
      for i = 1, n do
        x = x:relu()
        if i == extra then x = x:abs { name = "extra" } end
      end
      f:output("y", x)
      return f.program
    end
    local lines = diff.programs(chain(5000), chain(5000, 2500))
    assert.same({ "+ abs extra : fp32[2]", "~ relu relu_2500: x relu_2499 became extra" }, lines)
  end)
end)

describe("values", function()
  local x = { x = mil.tensor("fp32", { { 1, 2 }, { 3, 4 } }) }

  it("of the same program are the same", function()
    assert.same({}, diff.values(build(), build(function(o) o.fc = "dense" end), x))
  end)

  it("part where a program first differs", function()
    local found = diff.values(build(), build(function(o) o.act = "sigmoid" end), x)
    assert.truthy(found.parts:find("^relu act : fp32%[2, 3%] element %d is"), found.parts)
    assert.is_nil(found.overflows)
    assert.is_nil(diff.values(build(), build(function(o) o.axis = 0 end), x, 10).parts)
  end)

  it("part at that result of an operation with several which is another", function()
    local function loop(step)
      local f = mil.func()
      local i, y = f:while_loop({ f:const(0), f:input("x", "fp32", { 2 }) }, function(_, i) return i:less(3) end,
        function(_, i, acc) return i + 1, acc + step end)
      f:output("i", i)
      f:output("y", y)
      return f
    end
    local zeros = { x = mil.tensor("fp32", { 0, 0 }) }
    assert.equal("while_loop y : fp32[2] element 1 is 9, not 6", diff.values(loop(2), loop(3), zeros).parts)
  end)

  it("are followed over many slices, with what lives long", function()
    local function long(last)
      local f = mil.func()
      local v = f:input("x", "fp32", { 2, 2 })
      local first = v:exp()
      for i = 1, 100 do v = v:mul { y = 1.01, name = "m" .. i } end
      f:output("y", v:add { y = first, name = "sum" }[last](v))
      return f
    end
    local found = diff.values(long "relu", long "relu", x)
    assert.same({}, found)
  end)

  it("that fp16 does not hold are named", function()
    local function large(o) o.scale = 30000 end
    local function large16(o) o.scale, o.dtype = 30000, "fp16" end
    local found = diff.values(build(large), build(large16), x)
    assert.equal("mul scaled : fp32[2, 3] reaches 1.17e+06 in fp32: fp16 ends at 65504", found.overflows)
    assert.truthy(found.parts:find("^mul scaled"))
  end)

  it("that fp16 does not hold are named where one program alone has the operation", function()
    local function half(scaled)
      local f = mil.func()
      local v = f:input("x", "fp16", { 2 }):relu { name = "first" }
      if scaled then v = v:mul { y = 30000, name = "up" }:mul { y = 1 / 30000, name = "down" } end
      f:output("y", v:exp():tanh { name = "last" })
      return f
    end
    local given = { x = mil.tensor("fp16", { 1, 3 }) }
    local wanted = "mul up : fp16[2] is infinite: fp16 ends at 65504"
    assert.equal(wanted, diff.values(half(false), half(true), given).overflows)
    assert.equal(wanted, diff.values(half(true), half(false), given).overflows)
  end)

  it("of a classifier have its label among them", function()
    local path = "tests/vectors/packages/classifier.mlpackage"
    local a, b = mil.load(path), mil.load(path)
    local image = { image = mil.zeros("fp32", { 1, 3, 2, 2 }) }
    assert.same({}, diff.values(a.entry, b.entry, image))
    b:operations("classify")[1]:set("probabilities", mil.tensor("fp32", { 0, 1, 0 }))
    assert.equal('classify label : string is "dog", not "cat"', diff.values(a.entry, b.entry, image).parts)
  end)

  it("of flexible shapes are run at the sizes of what is given", function()
    local function flexible() return build(function(o) o.rows = "N" end) end
    assert.same({}, diff.values(flexible(), flexible(), x))
  end)
end)

describe("values of programs with states", function()
  local folder = "tests/vectors/packages/"
  local x = { x = mil.full("fp16", { 4, 4 }, 3) }

  local function writing(what)
    local f = mil.func()
    local s, v = f:state("s", "fp16", { 2 }), f:input("v", "fp16", { 2 })
    local r = v:relu { name = "r" }
    f:write_state { input = s, data = what == "v" and v or r }
    f:output("y", r)
    return f
  end

  it("part nowhere where the programs are the same, which are left as they were", function()
    local a, b = mil.load(folder .. "stateful.mlpackage"), mil.load(folder .. "stateful.mlpackage")
    local before = tostring(a)
    assert.same({}, diff.values(a.entry, b.entry, x))
    assert.equal(before, tostring(a))
    assert.equal(1, #a.entry.outputs)
  end)

  it("part at what computes otherwise", function()
    local a, b = mil.load(folder .. "stateful.mlpackage"), mil.load(folder .. "stateful.mlpackage")
    b:operations("add")[1]:set("y", mil.full("fp16", { 4, 4 }, 5))
    assert.truthy(diff.values(a.entry, b.entry, x).parts:find("^add sum : fp16%[4, 4%] element 1 is 5, not 3"))
  end)

  it("part at a state that is written otherwise, where no result does", function()
    local found = diff.values(writing "v", writing "r", { v = mil.tensor("fp16", { -1, 2 }) })
    assert.same({ parts = "state s : state<fp16[2]> element 1 is 0, not -1" }, found)
  end)

  it("are those of the command", function()
    local path = folder .. "stateful.mlpackage"
    local status, out, err = luamil(("diff %s %s --random"):format(path, path))
    assert.same({ 0, "", "" }, { status, out, err })
  end)
end)

-- Bundles and packages of the same model, where the collection of real ones is at hand.
describe("real models", function()
  local corpus = "../shared/corpus/"
  for _, name in ipairs { "silero-vad-unified-v6.0.0", "silero-unified_int8", "silero-unified_palette_4bit", "silero-unified_pruned_int8" } do
    it(name .. " is one program as bundle and package", function()
      local bundle, package = corpus .. "bundles/" .. name .. ".mlmodelc", corpus .. "packages/" .. name .. ".mlpackage"
      local file = io.open(bundle .. "/model.mil")
      if not file then return pending "the models are not here" end
      file:close()
      assert.same({}, diff.programs(mil.load(bundle), mil.load(package)))
    end)
  end
end)

describe("luamil diff", function()
  local a, b
  setup(function()
    a, b = luamil.path "a.mlpackage", luamil.path "b.mil"
    build():save(a)
    build(function(o) o.axis = 0 end):save(b)
  end)
  teardown(luamil.remove)

  it("says by its status whether anything differs", function()
    assert.equal(0, (luamil(("diff %s %s --random"):format(a, a))))
    local status, out = luamil(("diff %s %s --seed 3"):format(a, b))
    assert.equal(1, status)
    assert.truthy(out:find("~ softmax y: axis -1 became 0\nvalues part at softmax y : fp32[2, 3] element", 1, true), out)
    assert.equal(1, (luamil(("diff --quiet %s %s"):format(a, b))))
    assert.equal(2, (luamil(("diff %s %s"):format(a, luamil.path "none.mil"))))
    assert.equal(2, (luamil("diff " .. a)))
  end)

  it("takes no memory for what it compares", function()
    local w = mil.zeros("fp16", { 4096, 4096 })
    for i, name in ipairs { "large.mlpackage", "twin.mlpackage" } do
      if i == 2 then w[4000][1] = 1 end
      local f = mil.func()
      f:output("y", f:input("x", "fp16", { 1, 4096 }):linear { weight = w:copy() })
      f:save(luamil.path(name))
    end
    local lua = os.getenv "MIL_TEST_LUA" or "lua"
    local status, out = luamil.shell(([[%s -e 'local status = require "mil.command" { "diff", "%s", "%s" }
      print(status, require("mil.system").peak_bytes())']]):format(lua, luamil.path "large.mlpackage", luamil.path "twin.mlpackage"))
    local peak = tonumber(out:match "1%s+(%d+)%.?0?%s*$")
    assert.equal(0, status)
    assert.truthy(out:find("element 16379905 is 1, not 0", 1, true), out)
    local most = (os.getenv "MIL_TEST_BUILD" or ""):find "asan" and 60 or 28 -- a sanitizer has memory of its own
    assert.is_true(peak < most * 2 ^ 20, ("peak %g MiB of 2 times 32"):format(peak / 2 ^ 20))
  end)
end)

-- SPDX-License-Identifier: MIT
-- luamil run: inputs from files and seeds, outputs and intermediate values to files, what it says where they don't fit.
local mil = require "mil"
local luamil = dofile "tests/spec/luamil.lua"

local model = luamil.write("m.mil", [[
program(1.3)
{
  func main<ios18>(tensor<fp32, [?, 3]> x, tensor<int32, [2]> k) {
    tensor<fp32, [1]> one = const()[name = string("one"), val = tensor<fp32, [1]>([1])];
    tensor<fp32, [?, 3]> r = relu(x = x)[name = string("r")];
    tensor<fp32, [?, 3]> y = add(x = r, y = one)[name = string("y")];
    tensor<int32, [2]> z = add(x = k, y = k)[name = string("z")];
  } -> (y, z);
  func other<ios18>(tensor<fp32, [2]> x) {
    tensor<fp32, [2]> y = exp(x = x)[name = string("y")];
  } -> (y);
}
]])
local x = mil.tensor("fp32", { { -1, 2, -3 } })
local k = mil.tensor("int32", { 3, 4 })
x:save(luamil.path "x.npy")
k:save(luamil.path "k.npy")
mil.ones("fp32", { 1, 4 }):save(luamil.path "wide.npy")
mil.save(luamil.path "both.npz", { x = x, k = k })
mil.save(luamil.path "double.npz", { x = x:to "fp64", k = k })
mil.save(luamil.path "both.safetensors", { x = x, k = k })
mil.save(luamil.path "long.npz", { x = x, k = k:to "int64" })
mil.save(luamil.path "longer.npz", { x = x, k = mil.full("int64", { 2 }, 2 ^ 40) })

local function run(arguments)
  return luamil(("run %s %s"):format(model, (arguments:gsub("@", luamil.folder .. "/"))))
end

describe("luamil run", function()
  teardown(luamil.remove)

  it("says that a list can't be given", function()
    local path = luamil.write("list.mil", "program(1.3) { func main<ios18>(list<tensor<fp16, [2]>, 3> s) { } -> (s); }")
    local _, _, err = luamil("run --random 1 " .. path)
    assert.truthy(err:find("run: input s is list<fp16[2], ?>; a run takes tensors", 1, true), err)
  end)

  for _, given in ipairs { "--input x=@x.npy --input k=@k.npy", "--input x=@both.npz --input k=@both.safetensors",
    "--input @both.npz", "--input=@both.safetensors", "--input @double.npz", "--input @long.npz" } do
    it("takes " .. given, function()
      os.remove(luamil.path "out.npz")
      assert.are.same({ 0, "", "" }, { run(given .. " --output @out.npz") })
      local out = mil.weights(luamil.path "out.npz")
      assert.are.same({ 2, { { 1, 3, 1 } }, { 6, 8 } }, { #out, out.y:table(), out.z:table() })
    end)
  end

  it("writes npy files, intermediate values among them", function()
    assert.are.same({ 0, "", "" }, { run "--input @both.npz --output-dir @dir --keep r,one --keep x,y" })
    local function read(name) return mil.load_tensor(luamil.path("dir/" .. name .. ".npy")):table() end
    assert.are.same({ { { 0, 2, 0 } }, { 1 }, { { -1, 2, -3 } }, { { 1, 3, 1 } }, { 6, 8 } },
      { read "r", read "one", read "x", read "y", read "z" })
  end)

  it("makes random inputs of a seed, in a shape that fits", function()
    local function numbers(arguments) return select(2, run(arguments)) end
    local first = numbers "--random 3 --keep x"
    assert.truthy(first:find "x : fp32%[1, 3%]")
    assert.are.equal(first, numbers "--seed 3 --keep x")
    assert.are_not.equal(first, numbers "--random --keep x")
    for _, other in ipairs { "x=@x.npy", "k=@k.npy" } do -- whichever else is given
      local name = other:sub(1, 1) == "x" and "k" or "x"
      local shown = name .. " : .*\n%s[^\n]*"
      assert.are.equal(numbers("--random 5 --keep " .. name):match(shown), numbers("--random 5 --keep " .. name .. " --input " .. other):match(shown))
    end
    assert.truthy(numbers("--random --shape x=4,3"):find "y : fp32%[4, 3%]")
    assert.truthy(numbers("--random --input k=@k.npy"):find "z : int32%[2%]  min 6  max 8")
  end)

  it("runs the function that is asked for", function()
    assert.truthy(select(2, run "--function other --random"):find "^y : fp32%[2%]")
  end)

  it("runs the package's default function where none is named", function()
    local status, out, err = luamil "run tests/vectors/packages/functions.mlpackage --random"
    assert.are.same({ 0, "" }, { status, err })
    assert.are.equal(out, select(2, luamil "run tests/vectors/packages/functions.mlpackage --random --function second"))
    assert.are_not.equal(out, select(2, luamil "run tests/vectors/packages/functions.mlpackage --random --function first"))
  end)

  it("writes files whole, and names them as they were given where it can't", function()
    local package = "tests/vectors/packages/conv.mlpackage"
    for _, command in ipairs { "print", "graph" } do
      local status, out, err = luamil(("%s %s -o %s/no/such.dot"):format(command, package, luamil.folder))
      assert.are.same({ 1, "" }, { status, out })
      assert.are.equal(("luamil: %s: cannot write %s/no/such.dot: No such file or directory\n"):format(command, luamil.folder), err)
    end
    assert.are.equal(0, (luamil(("print %s -o %s"):format(package, luamil.path "conv.mil"))))
    assert.are.equal(select(2, luamil("print " .. package)), luamil.read "conv.mil")
  end)

  it("shows labels, and a dictionary's entries, likeliest first; files have the numbers", function()
    local status, out = luamil "run tests/vectors/packages/classifier.mlpackage --random"
    assert.are.equal(0, status)
    assert.truthy(out:find "^label : %S+\nlabel_probs : dictionary of 3 labels\n", out)
    assert.are.equal(out:match "^label : (%S+)", out:match "labels\n%s*(%S+)")
    local shown = select(2, luamil("run tests/vectors/packages/classifier.mlpackage --random --output-dir " .. luamil.path "labels"))
    assert.are.equal(out:match "^[^\n]*\n", shown)
    assert.are.same({ 3 }, mil.load_tensor(luamil.path "labels/label_probs.npy").shape)
  end)

  it("says where a value stands that can't be kept", function()
    local f = mil.func()
    local v = f:input("v", "fp32", { 2 })
    local _, acc = f:while_loop({ f:const(0), v }, function(_, n) return n:less { y = 2, name = "more" } end, function(_, n, a)
      local is_first = n:equal(0)
      return n + 1, is_first:cond(function() return a:add { y = 1, name = "deep" } end, function() return a:mul { y = 2, name = "other" } end,
        { name = "branch" })
    end, { name = "loop" })
    f:output("y", acc)
    local path = luamil.path "nested.mlpackage"
    f:save(path)
    for name, outer in pairs { more = "while_loop loop_0", branch_0 = "while_loop loop_0", deep = "cond branch_0" } do
      local _, _, err = luamil(("run --random --keep %s %s"):format(name, path))
      assert.are.equal(("luamil: run: --keep: %s is inside of %s; only results of the function's own body can be kept\n"):format(name, outer), err)
    end
    local _, _, err = luamil("run --random --keep loop_9 " .. path)
    assert.are.equal("luamil: run: --keep: no value loop_9; did you mean loop_0?\n", err)
  end)

  it("keeps a state from run to run", function()
    mil.ones("fp16", { 4, 4 }):save(luamil.path "ones.npy")
    local function sum(n)
      luamil(("run tests/vectors/packages/stateful.mlpackage --input x=%s --keep sum --repeat %d --output %s"):format(
        luamil.path "ones.npy", n, luamil.path "state.npz"))
      return mil.weights(luamil.path "state.npz").sum:get(1, 1)
    end
    assert.are.same({ 1, 3 }, { sum(1), sum(3) })
  end)

  local refused = {
    { 1, "--input @longer.npz", "input k is int32[2], but was given int64[2], which is to be converted to int32 first" },
    { 1, "--input x=@x.npy", "no --input for k int32[2] (--random makes one up)" },
    { 1, "", "no --input for x fp32[?, 3], k int32[2] (--random makes one up)" },
    { 1, "--input xx=@x.npy", "no input xx; did you mean x?" },
    { 1, "--input mask=@x.npy", "no input mask; the model takes x, k" },
    { 1, "--input x=@k.npy --random", "input x is fp32[?, 3], but was given fp32[2]" },
    { 1, "--input x=@x.npy --input k=@x.npy", "input k is int32[2], but was given fp32[1, 3]" },
    { 1, "--random --keep rr", "--keep: no value rr; did you mean r?" },
    { 1, "--random --function othr", "no function othr; did you mean other?" },
    { 1, "--random --function f", "no function f; there is main, other (--function)" },
    { 1, "--random --shape x=4", "input x fp32[?, 3] has 2 axes, but --shape gives 1" },
    { 1, "--random --shape x=4,4", "input x fp32[?, 3] has 3 at axis 1, but --shape gives 4" },
    { 2, "--random --shape x", "--shape takes NAME=N,N,.., but was given x" },
    { 2, "--input @x.npy", "--input takes NAME=FILE where a file has one tensor, but was given @x.npy" },
    { 1, "--input x=@ --random", "cannot read @: Is a directory" },
    { 1, "--input x=@wide.npy --random", "input x is fp32[?, 3], but was given fp32[1, 4]" },
    { 2, "--input x=@x.npy --input @both.npz", "--input gives x twice" },
    { 2, "--random --engine tpu", "there is no engine tpu; there is cpu, ane, coreml" },
    { 2, "--random --engine ane:direct --route e5rt", "--engine ane:direct and --route e5rt don't agree" },
    { 2, "--random --route e5rt", "--route is engine ane's: --engine ane" },
    { 2, "--random --engine cpu --units all", "--units is engine coreml's: --engine coreml" },
    { 1, "--random --engine cpu:sloppy", 'compile: precision is "default" or "strict", but was given "sloppy"' },
  }
  for _, row in ipairs(refused) do
    it("refuses '" .. row[2] .. "'", function()
      local status, out, err = run(row[2])
      local wanted = "luamil: run: " .. row[3]:gsub("@", luamil.folder .. "/")
      assert.are.same({ row[1], "" }, { status, out })
      assert.are.equal(wanted, (err:gsub("%?%d", "?"):gsub("\n$", ""):gsub(" %(luamil run %-%-help%)$", "")))
    end)
  end
end)

-- On the stand-in for Apple's frameworks, where it is built.
describe("luamil run by other engines", function()
  local standin = (os.getenv "MIL_TEST_BUILD" or "build") .. "/standin"
  local folder = luamil.folder .. "-engines"
  setup(function() os.execute("mkdir -p " .. luamil.folder) end)
  teardown(function() os.execute(("rm -rf %s %s"):format(luamil.folder, folder)) end)

  local function on_standin(arguments)
    local path = luamil.write("flexible.mil", [[
program(1.3)
{
  func main<ios18>(tensor<fp16, [1, ?, 1, 32]> x) {
    tensor<fp16, [1, ?, 1, 32]> r = relu(x = x)[name = string("r")];
    tensor<fp16, [1, ?, 1, 32]> y = add(x = r, y = r)[name = string("y")];
  } -> (y);
}
]])
    return luamil.shell(("MIL_FRAMEWORKS=%s MIL_CACHE=%s %s bin/luamil run %s --random %s"):format(standin, folder,
      os.getenv "MIL_TEST_LUA" or "lua", path, arguments))
  end

  local built = io.open(standin .. "/libobjc.A.so")
  local test = built and it or pending
  if built then built:close() end

  test("takes a route behind the engine's name or as an option, and fixes sizes", function()
    local _, wanted = on_standin "--engine cpu --shape x=1,4,1,32 --keep r"
    assert.truthy(wanted:find("y : fp16[1, 4, 1, 32]", 1, true), wanted)
    for _, arguments in ipairs { "ane", "ane:direct", "ane:e5rt", "ane --route e5rt", "ane:direct --route direct" } do
      assert.are.same({ 0, wanted, "" }, { on_standin("--shape x=1,4,1,32 --keep r --engine " .. arguments) })
    end
  end)

  test("verifies, and tells what the engine's clock says", function()
    local status, _, err = on_standin "--engine ane:direct --counters --qos 25 --verify --fallback --repeat 3"
    assert.are.equal(0, status, err)
    assert.truthy(err:find "^ane with fallback, 1 part, [^\n]*\npart 1: ane, 2 operations, r to y\nverified: a run agreed with the cpu engine's\ncounters: the [^\n]*\n$", err)
    assert.are.same({ 0, "" }, { select(1, on_standin "--engine ane --verify --quiet"), select(3, on_standin "--engine ane --verify --quiet") })
  end)
end)

-- Indices are walked 256 at a time.
describe("indices along an axis", function()
  it("are more than are walked at once", function()
    for _, shape in ipairs { { 3, 200 }, { 200, 3 }, { 5, 70, 2 } } do
      local n, index = 1, {}
      for _, extent in ipairs(shape) do n = n * extent end
      local axis = #shape == 3 and 1 or 0
      local extent, inner = shape[axis + 1], #shape == 3 and 2 or shape[2]
      for i = 0, n - 1 do index[i + 1] = extent - 1 - math.floor(i / inner) % extent end -- backwards
      local f = mil.func()
      local x, back = f:input("x", "fp32", shape), f:const(mil.tensor("int32", index):reshape(shape))
      f:output("y", x:gather_along_axis { indices = back, axis = axis })
      f:output("z", x:scatter_along_axis { indices = back, updates = x, axis = axis, mode = "update" })
      f:output("w", x:reverse { axes = { axis } })
      local out = f:compile { optimize = false }:run { x = mil.randn("fp32", shape) }
      assert.is_true(out.y:close(out.w, 0))
      assert.is_true(out.z:close(out.w, 0))
    end
  end)
end)

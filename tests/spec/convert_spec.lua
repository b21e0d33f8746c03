-- SPDX-License-Identifier: MIT
-- luamil convert and print: models and weights between formats, what is refused, progress, and weights that are larger than
-- memory.
local mil = require "mil"
local progress = require "mil.progress"
local luamil = dofile "tests/spec/luamil.lua"

local package = "tests/vectors/packages/conv.mlpackage"

local function convert(from, to, more)
  return luamil(("convert %s %s %s"):format(from, luamil.path(to), more or ""))
end

local function entries(folder)
  local names = assert(require("mil.system").list(folder))
  table.sort(names)
  return names
end

teardown(luamil.remove)

describe("luamil convert", function()
  it("takes a model through every format, and back", function()
    local text = tostring(mil.load(package))
    local from = package
    for _, to in ipairs { "a.mil", "b.mlmodelc", "c.mlpackage", "d.mil", "e.mlpackage", "f.mlmodelc" } do
      local status, out, err = convert(from, to)
      local lost = from == package and "luamil: " .. luamil.path(to) .. ": text can't say: the metadata, the inputs' order\n" or ""
      assert.are.same({ 0, lost }, { status, err })
      assert.truthy(out:find("^wrote " .. luamil.path(to):gsub("%-", "%%-") .. ", %d"))
      from = luamil.path(to)
      local again = tostring(mil.load(from))
      assert.are.equal(#mil.load(package):operations(), #mil.load(from):operations())
      if to:find "package$" then assert.are.equal(text, again) end
    end
    assert.truthy(select(2, convert(package, "a.mil")):find "weights/a%.bin, %d")
    assert.are.same({ 0, "", "" }, { convert(package, "a.mil", "--quiet") })
  end)

  it("names what text can't say", function()
    local rows = { { "classifier", "images, which outputs a classifier's are" }, { "optional", "defaults of inputs" },
      { "functions", "which function is the default" }, { "flexible" } }
    for _, row in ipairs(rows) do
      local status, _, err = convert("tests/vectors/packages/" .. row[1] .. ".mlpackage", "said.mil")
      assert.are.equal(0, status)
      for what in (row[2] or ""):gmatch "[^,]+" do assert.truthy(err:find(what, 1, true), err) end
      if not row[2] then assert.is_nil(err:find("order", 1, true)) end
    end
  end)

  it("names a file that stays behind where the form is another", function()
    local from = luamil.path "more.mlpackage"
    os.execute(("cp -R %s %s && echo cat >%s/Data/labels.txt"):format(package, from, from))
    assert.are.same({ 0, "luamil: " .. luamil.path "more.mlmodelc" .. ": other files of " .. from .. " are not in it, such as Data/labels.txt\n" },
      { (convert(from, "more.mlmodelc")), select(3, convert(from, "more.mlmodelc")) })
    assert.are.equal("", select(3, convert(from, "more2.mlpackage")))
    assert.truthy(io.open(luamil.path "more2.mlpackage" .. "/Data/labels.txt"))
  end)

  it("takes weights through every format, and back", function()
    local a, b = mil.randn("fp32", { 3, 4 }), mil.tensor("int32", { 1, 2, 3 })
    mil.save(luamil.path "w.safetensors", { a = a, b = b }, { by = "me" })
    for _, pair in ipairs { { "w.safetensors", "w.npz" }, { "w.npz", "w2.safetensors" }, { "w.safetensors", "w3.safetensors" } } do
      assert.are.same({ 0, "", "" }, { convert(luamil.path(pair[1]), pair[2], "--quiet") })
      local w = mil.weights(luamil.path(pair[2]))
      assert.are.same({ a:table(), b:table(), 2 }, { w.a:table(), w.b:table(), #w })
    end
    assert.are.equal("me", mil.metadata(mil.weights(luamil.path "w3.safetensors"), "by"))
    a:save(luamil.path "one.npy")
    assert.are.equal(0, (convert(luamil.path "one.npy", "one.safetensors")))
    assert.are.same(a:table(), mil.weights(luamil.path "one.safetensors").one:table())
    assert.are.equal(0, (convert(luamil.path "one.safetensors", "again.npy")))
    assert.are.same(a:table(), mil.load_tensor(luamil.path "again.npy"):table())
  end)

  it("refuses what is no conversion, and leaves what was there", function()
    luamil.write("kept.npz", "kept")
    local rows = {
      { 1, package, "kept.npz", "is a model, .*kept%.npz is not: a model becomes a model, weights become weights" },
      { 1, package, "kept.foo", "kept%.foo: neither a model %(%.mlpackage, %.mlmodelc, %.mil%) nor weights %(%.safetensors, %.npz, %.npy%)\n" },
      { 1, "nowhere.foo", "kept.npz", "nowhere%.foo: neither a model .*%.mlmodel%) nor weights .*%.gguf%)\n" },
      { 1, luamil.path "w.safetensors", "w.gguf", "w%.gguf: %.gguf is read, not written" },
      { 1, package, "m.mlmodel", "m%.mlmodel: %.mlmodel is read, not written" },
      { 1, "nowhere.npz", "kept.npz", "cannot open nowhere%.npz" },
      { 1, luamil.path "w.safetensors", "kept.npy", "w%.safetensors has 2 tensors, but an npy file has one" },
      { 2, "", "kept.npz", "takes FROM and TO, but was given 1" },
    }
    for _, row in ipairs(rows) do
      local status, out, err = convert(row[2], row[3])
      assert.are.same({ row[1], "" }, { status, out })
      assert.truthy(err:find(row[4]), err)
    end
    assert.are.equal("kept", luamil.read "kept.npz")
  end)

  it("stops where progress says so, and leaves what was there", function()
    local p = mil.load(package)
    local before = entries(luamil.folder)
    local stages = {}
    for _, name in ipairs { "c.mlpackage", "b.mlmodelc", "a.mil", "new.mlpackage" } do
      local ok, err = pcall(p.save, p, luamil.path(name), { progress = function() return false end })
      assert.are.same({ false, "ECANCELLED" }, { ok, mil.last_error().code })
      ok, err = pcall(p.save, p, luamil.path(name), { progress = function() error({ "mine" }, 0) end })
      assert.are.same({ false, { "mine" } }, { ok, err })
    end
    assert.are.same(before, entries(luamil.folder))
    p:save(luamil.path "c.mlpackage", { progress = function(stage, part) stages[#stages + 1] = stage .. part end })
    assert.are.equal("program0", stages[1]:gsub("%.0$", ""), nil)
    assert.has_error(function() mil.load(package, { progress = function() return false end }) end)
    assert.has_error(function() p:compile { progress = function() return false end } end)
    assert.has_error(function() p:save(luamil.path "c.mlpackage", { progress = 1 }) end)
  end)
end)

describe("luamil print", function()
  it("prints one function of several", function()
    local p = mil.program()
    for _, name in ipairs { "a", "ab" } do
      local f = p:func(name)
      f:output("y_" .. name, f:input("x", "fp32", { 2 }):relu())
    end
    p:save(luamil.path "two.mil")
    local status, out = luamil("print --function a " .. luamil.path "two.mil")
    assert.are.equal(0, status)
    assert.truthy(out:find "^program%(1%.%d%)\n" and out:find "\n}\n$")
    assert.truthy(out:find("func a<", 1, true) and out:find("-> (y_a);", 1, true))
    assert.falsy(out:find("func ab<", 1, true))
    assert.are.equal(1, #mil.parse(out):functions())
  end)
end)

describe("progress", function()
  local function line(quiet, is_terminal)
    local time, written = 0, {}
    local made = progress.new(quiet, {
      now = function() return time end,
      is_terminal = function() return is_terminal end,
      write = function(text) written[#written + 1] = text end,
    })
    return made, written, function(seconds) time = time + seconds end
  end

  it("is a line that comes late, changes seldom, and goes away", function()
    local made, written, wait = line(false, true)
    made.report("weights", 0.1)
    assert.are.same({}, written)
    wait(0.5)
    made.report("weights", 0.25)
    made.report("weights", 0.26)
    wait(0.2)
    made.report("weights", 0.5)
    made.clear()
    made.clear()
    assert.are.same({ "\rwriting weights  25%\27[K", "\rwriting weights  50%\27[K", "\r\27[K" }, written)
  end)

  it("is silent where it is not wanted", function()
    for _, given in ipairs { { true, true }, { false, false } } do
      local made, written, wait = line(given[1], given[2])
      wait(1)
      made.report("weights", 0.25)
      made.clear()
      assert.are.same({}, written)
    end
  end)
end)

local is_asan = (os.getenv "MIL_TEST_BUILD" or ""):find "asan" -- sanitizers take memory themselves

local function integer(n, bytes)
  local text = {}
  for i = 1, bytes do
    text[i] = string.char(n % 256)
    n = math.floor(n / 256)
  end
  return table.concat(text)
end

-- The most memory that a subcommand had.
local function peak(...)
  local chunk = ([[-e "arg = nil; require('mil.command')({%s}); io.stderr:write(require('mil.system').peak_bytes())"]])
    :format("'" .. table.concat({ ... }, "', '") .. "'")
  local status, out, err = luamil(chunk)
  assert.are.equal(0, status, err)
  return tonumber(err), out
end

-- 8 tensors of Q8_0, 8 MiB each when expanded, in a file of holes.
describe("quantised weights", function()
  local n, rows, columns = 8, 1024, 2048
  local bytes = rows * columns / 32 * 34

  local function text(s) return integer(#s, 8) .. s end

  setup(function()
    local parts = { "GGUF", integer(3, 4), integer(n, 8), integer(0, 8) }
    for i = 1, n do
      parts[#parts + 1] = text("w" .. i) .. integer(2, 4) .. integer(columns, 8) .. integer(rows, 8) .. integer(8, 4)
        .. integer((i - 1) * bytes, 8)
    end
    local head = table.concat(parts)
    local file = assert(io.open(luamil.path "q.gguf", "wb"))
    file:write(head)
    file:seek("set", math.ceil(#head / 32) * 32 + n * bytes - 1)
    file:write "\0"
    file:close()
  end)

  it("are expanded one at a time", function()
    for _, to in ipairs { "q.safetensors", "q.npz" } do
      local most, out = peak("convert", luamil.path "q.gguf", luamil.path(to))
      assert.truthy(out:find("64.0 MiB", 1, true), out)
      assert.is_true(most < (is_asan and 200 or 40) * 2 ^ 20, to .. " took " .. most)
    end
  end)
end)

-- Weights of 3 GB: a file of holes. Writing them again takes as much room on the disk, so it is done where it is asked for.
describe("large weights", function()
  local folder = luamil.folder .. "-large"
  local bytes_each = 3 * 2 ^ 28 -- 4 tensors of 768 MB

  setup(function()
    os.execute("mkdir -p " .. folder .. "/weights")
    local file = assert(io.open(folder .. "/weights/large.bin", "wb"))
    file:write(integer(4, 4), integer(2, 4), ("\0"):rep(56))
    local text = { "program(1.3)\n{\n  func main<ios18>(tensor<fp16, [1, 12288]> x) {\n" }
    for i = 0, 3 do
      local at = 64 + i * (64 + bytes_each)
      file:seek("set", at)
      file:write(integer(0xdeadbeef, 4), integer(1, 4), integer(bytes_each, 8), integer(at + 64, 8))
      text[#text + 1] = ([[
    tensor<fp16, [32768, 12288]> w%d = const()[name = string("w%d"), val = tensor<fp16, [32768, 12288]>(BLOBFILE(path = string("@model_path/weights/large.bin"), offset = uint64(%d)))];
    tensor<fp16, [1, 32768]> y%d = linear(x = x, weight = w%d)[name = string("y%d")];
]]):format(i, i, at, i, i, i)
    end
    file:seek("set", 64 + 4 * (64 + bytes_each) - 1)
    file:write "\0"
    file:close()
    file = assert(io.open(folder .. "/large.mil", "w"))
    file:write(table.concat(text), "  } -> (y0, y1, y2, y3);\n}\n")
    file:close()
  end)
  teardown(function() os.execute("rm -rf " .. folder) end)

  local few = (is_asan and 600 or 100) * 2 ^ 20

  it("are printed and inspected in little memory", function()
    local bytes, out = peak("print", folder .. "/large.mil")
    assert.truthy(out:find("BLOBFILE", 1, true))
    assert.is_true(bytes < few, "print took " .. bytes)
    bytes, out = peak("inspect", folder .. "/large.mil")
    assert.truthy(out:find("4 weights, 1.61 G parameters, 3.0 GiB", 1, true), out)
    assert.is_true(bytes < few, "inspect took " .. bytes)
  end)

  if os.getenv "MIL_TEST_LARGE" then
    it("are converted in little memory", function()
      for _, pair in ipairs { { "large.mil", "large.mlpackage" }, { "large.mlpackage", "large.mlmodelc" } } do
        local bytes = peak("convert", folder .. "/" .. pair[1], folder .. "/" .. pair[2])
        assert.is_true(bytes < few, pair[2] .. " took " .. bytes)
      end
      assert.is_true(peak("inspect", folder .. "/large.mlmodelc") < few)
      local _, out = luamil(("print %s/large.mlpackage"):format(folder))
      assert.truthy(out:find(("%d"):format(64 + 3 * (64 + bytes_each)), 1, true), "the last one's place")
    end)
  end
end)

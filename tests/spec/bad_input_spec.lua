-- SPDX-License-Identifier: MIT
-- What can be wrong only when a program runs: the error names the operation, the value and the script's line, and the model is as
-- it was. On kernels, on plain evaluation, on two threads.
local mil = require "mil"

local here = "tests/spec/bad_input_spec.lua"

-- Each gives the line on which the operation is made that fails.
local function line() return debug.getinfo(2, "l").currentline end

-- {what, build(f) -> line, inputs that are right, {inputs that are not, message}..}
local x = mil.full("fp32", { 3, 4 }, 2)
local function indexed(op, args)
  return function(f)
    args.x, args.indices = f:input("x", "fp32", { 3, 4 }), f:input("i", "int32", { 2 })
    f:output("y", f[op](f, args)) return (line())
  end
end
local function int32(...) return mil.tensor("int32", { ... }) end

local function last_is(number, tensor)
  tensor:set(3, 400, number)
  return tensor
end

local function list(f)
  local ls = f:make_list { init_length = 2, dynamic_length = false, elem_shape = { 4 }, name = "ls" }
  return ls:list_write { index = 1, value = f:input("x", "fp32", { 4 }), name = "kept" }, f:input("i", "int32", { 1 })
end
local four = mil.full("fp32", { 4 }, 2)

local rows = {
  { "an index beyond an axis", indexed("gather", { axis = 0, validate_indices = true }), { x = x, i = int32(0, 2) },
    { { x = x, i = int32(0, 7) }, "gather: index 7 is outside of axis 0 of x fp32[3, 4]" },
    { { x = x, i = int32(-4, 0) }, "gather: index -4 is outside of axis 0 of x fp32[3, 4]" } },
  { "an index beyond an axis: gather_along_axis", function(f)
      f:output("y", f:gather_along_axis { x = f:input("x", "fp32", { 3, 4 }), indices = f:input("i", "int32", { 2, 4 }), validate_indices = true })
      return line() - 1
    end, { x = x, i = mil.zeros("int32", { 2, 4 }) },
    { { x = x, i = mil.full("int32", { 2, 4 }, 3) }, "gather_along_axis: index 3 is outside of axis 0 of x fp32[3, 4]" } },
  { "an index beyond an axis: scatter_along_axis, far behind the first", function(f)
      f:output("y", f:scatter_along_axis { data = f:input("x", "fp32", { 3, 4 }), indices = f:input("i", "int32", { 3, 400 }), axis = 1,
        updates = mil.ones("fp32", { 3, 400 }), validate_indices = true })
      return line() - 2
    end, { x = x, i = mil.zeros("int32", { 3, 400 }) },
    { { x = x, i = last_is(-1, mil.zeros("int32", { 3, 400 })) }, "scatter_along_axis: index -1 is outside of axis 1 of data fp32[3, 4]" } },
  { "an index beyond an axis of a weight that stays compressed", function(f)
      local w = f:constexpr_lut_to_dense { indices = mil.zeros("uint4", { 3, 4 }), lut = mil.ones("fp16", { 1, 1, 16, 1 }) }
      f:output("y", f:gather { x = w, indices = f:input("i", "int32", { 2 }), axis = 0, validate_indices = true }) return (line())
    end, { i = int32(0, 2) },
    { { i = int32(0, 7) }, "gather: index 7 is outside of axis 0 of x fp16[3, 4]" } },
  { "a sequence longer than its axis", function(f)
      f:output("y", f:reverse_sequence { x = f:input("x", "fp32", { 3, 4 }), lengths = f:input("i", "int32", { 3 }), seq_axis = 1 })
      return (line()) - 1
    end, { x = x, i = int32(0, 2, 4) },
    { { x = x, i = int32(0, 5, 4) }, "reverse_sequence: length 5 of batch 1 is outside of 0 to 4, the size of axis 1 of x fp32[3, 4]" },
    { { x = x, i = int32(0, 2, -1) }, "reverse_sequence: length -1 of batch 2 is outside of 0 to 4" } },
  { "a list read past its end", function(f)
      local ls, i = list(f)
      f:output("y", ls:list_read(i:squeeze())) return (line())
    end, { x = four, i = int32(1) },
    { { x = four, i = int32(2) }, "list_read: index 2 is outside of kept, which has 2 elements" },
    { { x = four, i = int32(-1) }, "list_read: index -1 is outside of kept, which has 2 elements" } },
  { "a list gathered past its end", function(f)
      local ls, i = list(f)
      f:output("y", ls:list_gather { indices = i }) return (line())
    end, { x = four, i = int32(1) },
    { { x = four, i = int32(2) }, "list_gather: index 2 is outside of kept, which has 2 elements" } },
  { "a list of fixed length written past its end", function(f)
      local ls, i = list(f)
      local longer, at = ls:list_write { index = i:squeeze(), value = mil.zeros("fp32", { 4 }) }, line()
      f:output("y", longer:list_read(0))
      return at
    end, { x = four, i = int32(1) },
    { { x = four, i = int32(2) }, "list_write: index 2 is outside of kept, which has 2 elements" } },
  { "a loop that never ends", function(f)
      local p = f:input("p", "bool", { 1 })
      local first, more = f:input("x", "fp32", { 4 }), p:squeeze()
      local y = f:while_loop({ first, more }, function(_, _, go) return go end, function(_, v, go) return v + 1, go end)
      f:output("y", y) return line() - 1
    end, { x = four, p = mil.tensor("bool", { 0 }) },
    { { x = four, p = mil.tensor("bool", { 1 }) }, "while_loop: y has made 100 turns, the most that max_turns allows" } },
  { "a negative size: fill", function(f)
      f:output("y", f:fill { shape = f:input("i", "int32", { 2 }), value = 1.5 }) return (line())
    end, { i = int32(2, 3) },
    { { i = int32(2, -3) }, "fill: shape has -3; only 0 and more is possible" } },
  { "a negative size that is computed", function(f)
      f:output("y", f:fill { shape = f:input("i", "int32", { 2 }) - 5, value = 1.5 }) return (line())
    end, { i = int32(6, 8) },
    { { i = int32(6, 2) }, "fill: shape has -3; only 0 and more is possible" } },
  { "a negative size: reshape", function(f)
      f:output("y", f:input("x", "fp32", { 3, 4 }):reshape { shape = f:input("i", "int32", { 2 }) }) return (line())
    end, { x = x, i = int32(2, 6) },
    { { x = x, i = int32(2, -6) }, "reshape: shape has -6; a size, 0 or -1 is possible" } },
  { "a negative size, of which inference has concluded what it must be", function(f)
      f:output("y", f:input("x", "fp32", { 3, 4 }):reshape { shape = f:concat { values = { f:input("i", "int32", { 1 }), int32(6) }, axis = 0 } })
      return line() - 1
    end, { x = x, i = int32(2) },
    { { x = x, i = int32(-2) }, "reshape: the elements of x fp32[3, 4] do not fill shape [-2, 6]" },
    { { x = x, i = int32(0) }, "reshape: the elements of x fp32[3, 4] do not fill shape [0, 6]" },
    { { x = x, i = int32(3) }, "reshape: the elements of x fp32[3, 4] do not fill shape [3, 6]" } },
  { "likewise, where the shape is x's own", function(f)
      local same = f:input("x", "fp32", { 3, 4 }):reshape { shape = f:concat { values = { f:input("i", "int32", { 1 }), int32(4) }, axis = 0 } }
      f:output("y", same * 2) return line() - 1
    end, { x = x, i = int32(-1) },
    { { x = x, i = int32(-3) }, "do not fill shape [-3, 4]" } },
  { "a negative size: slice_by_size", function(f)
      f:output("y", f:input("x", "fp32", { 3, 4 }):slice_by_size { begin = { 0, 0 }, size = f:input("i", "int32", { 2 }) }) return (line())
    end, { x = x, i = int32(2, 3) },
    { { x = x, i = int32(2, -3) }, "slice_by_size: begin 0, size -3 at axis 1 lead outside of x fp32[3, 4]" } },
  { "a place from which there are too few elements", function(f)
      f:output("y", f:input("x", "fp32", { 3, 4 }):slice_by_size { begin = f:input("i", "int32", { 2 }), size = { 3, 4 } } + 1) return (line())
    end, { x = x, i = int32(-3, 0) },
    { { x = x, i = int32(0, 1) }, "slice_by_size: begin 1, size 4 at axis 1 lead outside of x fp32[3, 4]" } },
  { "a negative number of repetitions", function(f)
      f:output("y", f:input("x", "fp32", { 3, 4 }):tile { reps = f:input("i", "int32", { 2 }) }) return (line())
    end, { x = x, i = int32(2, 3) },
    { { x = x, i = int32(2, -3) }, "tile: reps has -3; only 1 and more is possible" } },
}

describe("at run time", function()
  for _, row in ipairs(rows) do
    it(row[1] .. " is an error, after which the model runs as before", function()
      for _, options in ipairs { {}, { optimize = 0 }, { threads = 2 } } do
        local f = mil.func { opset = "ios18" }
        local at = row[2](f)
        options.engine, options.max_turns = "cpu", 100
        local model = f:compile(options)
        local wanted = model:run(row[3])
        for i = 4, #row do
          local ok, err = pcall(model.run, model, row[i][1])
          assert.is_false(ok)
          assert.truthy(tostring(err):find(row[i][2], 1, true), tostring(err))
          local op = row[i][2]:match "^([%l_]+): "
          if op then assert.same({ op, "string" }, { mil.last_error().op, type(mil.last_error().value) }) end
          if at then assert.truthy(tostring(err):find(("%s:%d"):format(here, at), 1, true), tostring(err)) end
          for name, t in pairs(model:run(row[3])) do assert.is_true(t:close(wanted[name], 0), name) end
        end
      end
    end)
  end

  it("a state of another model is refused, and its own is still taken", function()
    local function counting(name)
      local f = mil.func { opset = "ios18" }
      local memory = f:state(name, "fp16", { 2 })
      f:output("y", memory:coreml_update_state { value = memory:read_state() + f:input("x", "fp16", { 2 }) })
      return f:compile { engine = "cpu" }
    end
    local one, other = counting "one", counting "other"
    local state = one:state()
    one:run({ x = { 1, 2 } }, { state = state })
    local ok, err = pcall(one.run, one, { x = { 1, 2 } }, { state = other:state() })
    assert.is_false(ok)
    assert.truthy(tostring(err):find("run: the state is another model's, which has no one fp16[2]", 1, true), tostring(err))
    assert.same({ 2, 4 }, one:run({ x = { 1, 2 } }, { state = state }).y:table())
  end)
end)

-- A palette's entries are as many as the bits of an index can count, so none is beyond it; what says otherwise is refused.
describe("a palette index beyond the table", function()
  it("can't be built", function()
    local f = mil.func { opset = "ios18" }
    local function fails(message, indices, lut)
      local ok, err = pcall(f.constexpr_lut_to_dense, f, { indices = indices, lut = lut })
      assert.is_false(ok)
      assert.truthy(tostring(err):find(message, 1, true), tostring(err))
    end
    fails("constexpr_lut_to_dense: lut fp16[1, 1, 8, 1] must have 16 entries along axis 2, as indices uint4[1, 2] has 4 bits",
      mil.tensor("uint4", { { 0, 15 } }), mil.ones("fp16", { 1, 1, 8, 1 }))
    fails("lut fp16[1, 1, 16, 1] must have 256 entries along axis 2, as indices uint8[1, 2] has 8 bits",
      mil.tensor("uint8", { { 0, 255 } }), mil.ones("fp16", { 1, 1, 16, 1 }))
    assert.is_false(pcall(mil.tensor, "uint4", { 16 }))
  end)
end)

-- SPDX-License-Identifier: MIT
-- What a user reads when something is wrong: rows {script, message}. Each script runs with the globals
--   mil   f, a function   x : fp16[1, 4, 1, 8]   i : int32[3]   v : fp32[6]
-- and must raise just this message, the line of the script with it. tests/spec/errors_spec.lua runs them.
return {
  -- ops: names, arguments
  { "x:sofmax { axis = -1 }", 'script:1: a value has no "sofmax"; did you mean softmax?' },
  { "f:sofmax { x = x }", 'script:1: a function has no "sofmax"; did you mean softmax?' },
  { "x:softmax { axes = -1 }", 'script:1: softmax: no parameter "axes"; did you mean axis?' },
  { "x:softmax { x = x }", "script:1: softmax: x is given twice" },
  { "f:softmax { axis = -1 }", "script:1: softmax: x is missing" },
  { "\nx:softmax { axis = 4 }", "script:2: softmax: axis = 4 is out of range for rank 4 (-4 to 3)" },
  { "x:softmax(-1)", "script:1: softmax: takes no second input; give arguments in a table, by name" },
  { "x:add(nil)", "script:1: add: was given nil" },
  { "x:add(1, 2)", "script:1: add: takes one argument, or several in a table, by name" },
  { "x:add { 1 }", "script:1: add: arguments in a table have names, but [1] has none" },
  { "x.add(1)", "script:1: add: is a method (f:add or x:add), but its object is 1" },
  { "x:relu { name = 5 }", "script:1: relu: name is a string, but was given 5" },
  { "x:add(print)", "script:1: add: y takes a value, a tensor, a number, a boolean, a string or a table of them, but was given a function" },
  { "x:add { y = mil }", "script:1: add: y: takes a list, but was given a table with names" },

  -- ops: types
  { "x:relu():add(i)", "script:1: add: x fp16[1, 4, 1, 8] and y int32[3] must have one dtype" },
  { "i:relu()", "script:1: relu: x int32[3] takes fp16 or fp32 (ios18)" },
  { "return i + 0.5, 1", "script:1: add: y takes int32, but was given 0.5" },
  { "local y = x + { 1, 2, 3 }", nil },
  { "local y = mil.func():input('z', 'fp16', { 1 }) + x", "script:1: add: the value given for y belongs to another program" },

  -- literals
  { "return x * 1e9", "script:1: mul: y takes fp16, whose largest number is 65504, but was given 1e+09" },
  { "return x + { 0, -70000 }", "script:1: add: y takes fp16, whose largest number is 65504, but was given -70000" },
  { "x:reshape { shape = { 1, { 2 } } }", "script:1: reshape: shape: element 2 is a number, but was given a table" },
  { "f:const { { 1, 2 }, { 3 } }", "script:1: const: rows must be alike, but one has 2 elements, another 1" },
  { "f:const { { 1, 2 }, 3 }", "script:1: const: a row is a table, but was given 3" },
  { "f:const { 1, true }", "script:1: const: element 2 is a number, but was given true" },
  { "f:const({ 300 }, 'uint8')", "script:1: const: uint8 can't hold 300" },
  { "f:const({ 1 }, 'fp8')", 'script:1: const: no dtype "fp8"' },
  { "local t = { 1 } t[1] = t f:const(t)", "script:1: const: tables nested deeper than 8" },

  -- programs
  { "f:input('y', 'fp16', 4)", "script:1: input y: a shape is a list of sizes, but was given 4" },
  { "f:input('y', 'fp16', { -1 })", "script:1: input: a size is a number from 0, or where it may vary a name or a mil.dim, but was given -1" },
  { "f:input('y', 'float', { 1 })", 'script:1: input: no dtype "float"; did you mean fp32?' },
  { "f:input('y', 'float16', { 1 })", 'script:1: input: no dtype "float16"; did you mean fp16?' },
  { "f:input('y', 'complex64', { 1 })", 'script:1: input: no dtype "complex64"' },
  { "f:input('x', 'fp16', { 1 })", 'script:1: the name "x" is taken in function main' },
  { "f:input(5)", "script:1: input: name is a string, but was given 5" },
  { "f:output('y', 5)", "script:1: output: takes a value, but was given 5" },
  { "f:output('y', mil.func():input('z', 'fp16', { 1 }))", "script:1: output: the value belongs to another program" },
  { "f:undo()", "script:1: undo: there is no operation to take back" },
  { "local y = x:relu()\nf:undo()\nlocal z = y:relu()", "script:3: relu: the value is no longer part of its program" },
  { "mil.func { opst = 'ios18' }", 'script:1: mil.func: no option "opst"; did you mean opset?' },
  { "mil.func { opset = 'ios14' }", 'script:1: mil.func: no opset "ios14"; there are ios15, ios16, ios17 and ios18' },
  { "mil.func { opset = 18 }", "script:1: mil.func: opset is a string, but was given 18" },
  { "mil.func({ opset = 'ios17' }):state('s', 'fp16', { 1 })", "script:1: input s: states exist from opset ios18 on" },
  { "mil.dim('S', { mn = 1 })", 'script:1: mil.dim: no option "mn"; did you mean min?' },
  { "mil.shapes { { 1 }, { 1, 2 } }", "script:1: mil.shapes: all must have one rank" },
  { "f:save 'x.mlpackage'", "script:1: save: x.mlpackage: programs are saved as .mil text only, so far" },
  { "mil.load 'x.mlpackage'", "script:1: mil.load: x.mlpackage: only .mil text is read, so far" },
  { "if x < x then end", "script:1: a comparison of values can't give a value in Lua; write a:less(b) (or :greater)" },
  { "local y = x == x + 1", "script:1: a comparison of values can't give a value in Lua; write a:equal(b) (or :not_equal)" },
  { "x.shap = 1", 'script:1: a value has no field that can be set, but "shap" was' },
  { "x.name = 'image'", "script:1: a value's name is set by f:rename(value, name)" },
  { "f[1] = x", "script:1: a function has no field that can be set, but 1 was" },

  -- models
  { "f:compile()", "script:1: compile: function main has no output" },
  { "f:output('y', x:relu())\nf:compile { entry = 'mian' }", 'script:2: compile: there is no function "mian"; did you mean main?' },
  { "f:output('y', x:relu())\nf:compile { engine = 'cuda' }", 'script:2: compile: there is no engine "cuda"; there is cpu' },
  { "f:output('y', v:relu())\nlocal m = f:compile()\nm:run { v = 1 }", "script:3: run: input x fp16[1, 4, 1, 8] is missing" },
  { "f:output('y', v:relu())\nlocal m = f:compile()\nm:run { x = 'a' }", 'script:3: run: input x takes fp16, but was given "a"' },
  { "f:output('y', v:relu())\nlocal m = f:compile()\nm:run { v }", "script:3: run: tensors are given by name, but [1] has none" },
  { "v:relu():eval { mil.zeros('fp32', { 6 }) }", "script:1: run: tensors are given by name, but [1] has none" },

  -- tensors
  { "mil.zeros('fp16', { 1, 'a' })", 'script:1: mil.zeros: size 2 of the shape is a whole number, but was given "a"' },
  { "mil.zeros('fp16', { 1, 2, 3, 4, 5, 6, 7, 8, 9 })", "script:1: mil.zeros: rank 9; at most 8 is possible" },
  { "mil.zeros('fp17', { 1 })", 'script:1: mil.zeros: no dtype "fp17"; did you mean fp16?' },
  { "mil.zeros { 1 }", "script:1: mil.zeros: a dtype is a string, but was given a table" },
  { "mil.tensor { 1, 'a' }", 'script:1: mil.tensor: element 2 is a number, but was given "a"' },
  { "local n = mil.ones('fp32', { 2, 2 })[3]", "script:1: t[i]: index 3 of axis 0 is outside of 1 to 2 (an index is Lua's, from 1)" },
  { "mil.ones('fp32', { 2, 2 }):size(2)", "script:1: size: axis 2 is outside of -2 to 1 (an axis is MIL's, from 0)" },
  { "mil.ones('fp32', { 2 }):close(mil.ones('fp32', { 3 }))", "script:1: close: a tensor fp32[2] and a tensor fp32[3] differ in shape" },
  { "mil.ones('fp32', { 2 }):tostring { with = 5 }", 'script:1: tostring: no option "with"; did you mean width?' },
  { "local t = mil.ones('fp32', { 2 })\nlocal y = v:add { y = t:sub({ 1, 1 }) }\nt:fill(2)", "script:3: fill: fp32[2] cannot be written: it is a const of a program" },
  { "mil.from_bytes('fp32', { 2 }, 'abc')", "script:1: mil.from_bytes: a tensor fp32[2] takes 8 bytes, but was given 3" },
  { "mil.zeros('int8', { 2 }):set(1, 300)", "script:1: set: int8 can't hold 300" },
  { "mil.zeros('int32', { 2 }):fill(1.5)", "script:1: fill: int32 takes whole numbers, but was given 1.5" },
  { "mil.full('uint4', { 2 }, 16)", "script:1: mil.full: uint4 can't hold 16" },
  { "mil.full('uint8', { 2 }, -1)", "script:1: mil.full: uint8 can't hold -1" },
  { "mil.zeros('int64', { 2 }):fill(2^53 * 2)", "script:1: fill: 18014398509481984 is past 2^53; write elements of that size one by one" },
  { "mil.zeros('int8', { 1 }):write { 128 }", "script:1: write: int8 can't hold 128" },
  { "mil.arange('fp32', 0, 1, 0)", "script:1: mil.arange: from 0 to 1 by 0 is endless" },

  -- weights
  { "mil.save('x.safetensors', { 5 })", "script:1: mil.save: tensors have names, but [1] has none" },
  { "mil.save('x.safetensors', { a = 5 })", "script:1: mil.save: takes a tensor, but was given 5" },
  { "mil.op 'relo'", 'script:1: mil.op: no op "relo"; did you mean relu?' },
}

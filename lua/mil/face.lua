-- SPDX-License-Identifier: MIT
-- mil.face: everything of the Lua face but the ops, a row each: {signature, help}. From here come ?mil.func, the search,
-- docs/reference/lua.md and meta.lua; a spec compares the rows with what the module has.
--
-- A signature is a name, then "(parameters) -> result" of a function, or ": type" of a field. Names: mil.x is a function
-- of the module, class:x a method, class.x a field. Types are those of LuaCATS.

local rows = {
  -- the module
  { "mil.version: string", "The library's version." },
  { "mil.ops() -> string[]", "The names of all ops, in order." },
  { "mil.op(name: string, opset?: string) -> table",
    "What an op is: {name, family, help, also, since, outputs, params = {{name, help, kind, dtypes, group, required, default}}}." },
  { "mil.nearest(name: string, names?: string[]) -> string?", "The op, or the one of these names, that is most like it." },
  { "mil.dtypes() -> string[]", "The names of all dtypes." },
  { "mil.engines() -> string[]", "The names of all engines." },
  { "mil.available(name: string) -> true?, string?", "Can this engine be used here? If not: nil, and what is missing." },
  { "mil.engine(name: string) -> string", "A line about an engine." },
  { "mil.cancel()", "Asks every model that runs to stop." },
  { "mil.clear_cache() -> true", "Removes what engines keep for processes to come: programs that Core ML compiled, what was found out about a Neural Engine." },
  { "mil.last_error() -> table?", "The error object that was raised last; for PUC Lua 5.1, where errors are strings." },
  { "mil.rules(engine?: string) -> table[]", "What is known of an engine (\"ane\"), as f:check uses it." },
  { "mil.ran(op: string, route: string) -> string?", "Who has seen an op run on the Neural Engine by a route; nil where nobody is known to." },
  { "mil.members(object: any) -> string[]", "The names of the fields and methods of an object of the module." },

  -- programs
  { "mil.func(options?: {opset: string?}) -> mil.function", "A new program with one function, main." },
  { "mil.program(options?: {opset: string?}) -> mil.program", "A new program, with no functions yet." },
  { "mil.parse(text: string, options?: {name: string?, model_path: string?, unchecked: boolean?}) -> mil.program",
    "The program that MIL text says. name stands for the file in errors; model_path is the folder of its weights; " ..
      "unchecked takes declared types as they are." },
  { "mil.compile_text(text: string, files?: {[string]: string}, options?: mil.compile_options) -> mil.model",
    "Hands MIL text and its weights files, by the names that it has for them (\"@model_path/weights/w.bin\"), to an engine that takes text, " ..
      "untouched; of several functions, the model is of entry; engine is ane unless given." },
  { "mil.load(path: string, options?: {progress: mil.progress?}) -> mil.program", "The program of a .mil file, a Core ML package (.mlpackage) or a compiled bundle (.mlmodelc); its weights are mapped." },
  { "mil.dim(name: string, range?: {min: integer?, max: integer?, default: integer?}) -> mil.dim",
    "A symbolic dim with a range, for f:input; a plain string is one without." },
  { "mil.shapes(shapes: integer[][]) -> mil.shapes",
    "One of several shapes, for f:input: a run takes one of them and no other." },

  { "program:func(name: string) -> mil.function", "The function of that name, made if there is none." },
  { "program:functions() -> mil.function[]", "Its functions, in the order in which they were made." },
  { "program:check(options?: string|{engine: string?, route: string?, chip: string?, system: string?, entry: string?, strict: boolean?, all: boolean?}) -> mil.report",
    "Would the engine (\"ane\") take it? What is known against it, in order, with errors, warnings and notes counted; printed as a compiler's warnings are." },
  { "program:compile(options?: mil.compile_options) -> mil.model", "The program compiled for an engine." },
  { "program:verify() -> mil.program", "Checks all that must hold of it; raises where something does not." },
  { "program:save(path: string, options?: {progress: mil.progress?, alone: boolean?}) -> mil.program",
    "Writes it, by the name's ending: a package (.mlpackage), a compiled bundle (.mlmodelc) or text (.mil). alone: without what else is in the package that it was loaded from." },
  { "program:find(name: string) -> mil.value?",
    "The value of that name; of several functions, the first one's." },
  { "program:operations(filter?: string|fun(operation: mil.operation): boolean) -> mil.operation[]",
    "Its operations in order, nested ones after the one that holds them: all, those of an op, or those for which filter is true. The list also goes into a for by itself: for o in p:operations \"conv\" do." },
  { "program:remove_function(what: mil.function|string) -> mil.program",
    "Removes a function with all that is in it." },
  { "program:rename(what: mil.value|mil.function|string, name: string) -> mil.value|mil.program",
    "Gives a value or a function another name, everywhere at once; a string stands for the values of that name in all functions. Gives the value back, or this object." },
  { "program:prune() -> mil.program",
    "Removes all operations that no output needs." },
  { "program:fix(sizes: table<string, integer>) -> mil.program",
    "Gives symbolic dims of inputs a size, all at once; shapes are inferred again." },
  { "program:retype(input: mil.value|string, dtype: string, shape: (integer|string|mil.dim)[]|mil.shapes) -> mil.program",
    "Gives an input another dtype and shape; what it feeds is inferred again." },
  { "program:remove_input(input: mil.value|string) -> mil.program",
    "Removes an input that nobody uses." },
  { "program:remove_output(output: mil.value|string) -> mil.program",
    "The value is no output any more." },
  { "program:extract(part: {outputs: (mil.value|string)[], inputs: (mil.value|string)[]?}) -> mil.function",
    "A part as a program of its own: what computes outputs, from inputs (inner values become inputs) and what is needed of the function's own." },
  { "program:lower(options?: {engine: string?, route: string?, chip: string?, entry: string?, fp32: boolean?, pack: boolean?, conv: boolean?, dense: boolean?}) -> mil.function, mil.lowered",
    "Made anew of what the Neural Engine is known to take, by a route (direct, e5rt): the function main of a new program, and how inputs " ..
      "and outputs lie in its ports. fp32: ports are fp32; pack: one input port holds all; conv: a 1x1 convolution by ones before the first output; " ..
      "dense: no weights stay compressed." },
  { "program:dialect(options?: {route: string?, long: boolean?, inline: boolean?}) -> string, table<string, string>",
    "Its text as the Neural Engine's compilers take it, and the bytes of the weights files that it names (inline: none; all stand in the text)." },
  { "program:metadata(pairs?: table<string, string|false>) -> table<string, string>|mil.program",
    "What the model says of itself (author, license, version, description, and what users added); with pairs: sets them, " ..
      "or removes where false." },
  { "program.entry: mil.function?",
    "The function that is meant where none is named: its package's default, else main, or the only one." },
  { "program.opset: string", "ios15, ios16, ios17 or ios18." },
  { "program.specification: integer", "The version of Core ML's specification that a package of it has: 6 and up." },

  { "function:input(name: string, dtype: string, shape: (integer|string|mil.dim)[]|mil.shapes) -> mil.value",
    "An input; a string in its shape is a symbolic dim." },
  { "function:state(name: string, dtype: string, shape: integer[]) -> mil.value",
    "A state: memory that a model keeps between runs (opset ios18)." },
  { "function:output(name: string, value: mil.value) -> mil.value", "Makes value an output of that name." },
  { "function:const(data: mil.tensor|table|number|boolean|string, dtype?: string) -> mil.value",
    "A const; a tensor given becomes read-only. f:const { val =, dtype =, name = } names it." },
  { "function:cond(pred: mil.value, yes: fun(b: mil.function): ..., no: fun(b: mil.function): ..., options?: {name: string?}) -> mil.value",
    "What the first function returns where pred is true, else what the second returns: each is called once, with the nested block, " ..
      "in which its operations go. One result for each value that they return." },
  { "function:while_loop(loop_vars: mil.value|mil.value[], decide: fun(b: mil.function, ...): mil.value, body: fun(b: mil.function, ...): ..., options?: {name: string?}) -> mil.value",
    "Repeats the body, which takes the loop variables and returns their next values, while decide gives true of them. One result " ..
      "for each: what it is when decide gives false." },
  { "function:undo(mark?: integer) -> mil.function",
    "Takes back the last operation; with a mark, all that were made since and that nobody uses." },
  { "function:mark() -> integer", "A mark of now, for f:undo(mark)." },
  { "function:check(options?: string|{engine: string?, route: string?, chip: string?, system: string?, entry: string?, strict: boolean?, all: boolean?}) -> mil.report",
    "The same for the function." },
  { "function:compile(options?: mil.compile_options) -> mil.model", "The function compiled for an engine." },
  { "function:verify() -> mil.function", "Checks all that must hold of its program; raises where something does not." },
  { "function:save(path: string, options?: {progress: mil.progress?, alone: boolean?}) -> mil.function", "Writes its program, as program:save." },
  { "function:find(name: string) -> mil.value?",
    "The value of that name in its own body (those in a loop's or branch's blocks: f:operations); of several functions, the first one's." },
  { "function:operations(filter?: string|fun(operation: mil.operation): boolean) -> mil.operation[]",
    "Its operations in order, nested ones after the one that holds them: all, those of an op, or those for which filter is true. The list also goes into a for by itself: for o in p:operations \"conv\" do." },
  { "function:rename(what: mil.value|mil.function|string, name: string) -> mil.value|mil.function",
    "Gives a value or a function another name, everywhere at once; a string stands for the values of that name in all functions. Gives the value back, or this object." },
  { "function:prune() -> mil.function",
    "Removes all operations that no output needs." },
  { "function:fix(sizes: table<string, integer>) -> mil.function",
    "Gives symbolic dims of inputs a size, all at once; shapes are inferred again." },
  { "function:retype(input: mil.value|string, dtype: string, shape: (integer|string|mil.dim)[]|mil.shapes) -> mil.function",
    "Gives an input another dtype and shape; what it feeds is inferred again." },
  { "function:remove_input(input: mil.value|string) -> mil.function",
    "Removes an input that nobody uses." },
  { "function:remove_output(output: mil.value|string) -> mil.function",
    "The value is no output any more." },
  { "function:extract(part: {outputs: (mil.value|string)[], inputs: (mil.value|string)[]?}) -> mil.function",
    "A part as a program of its own: what computes outputs, from inputs (inner values become inputs) and what is needed of the function's own." },
  { "function:lower(options?: {engine: string?, route: string?, chip: string?, entry: string?, fp32: boolean?, pack: boolean?, conv: boolean?, dense: boolean?}) -> mil.function, mil.lowered",
    "Made anew of what the Neural Engine is known to take, by a route (direct, e5rt): the function main of a new program, and how inputs " ..
      "and outputs lie in its ports. fp32: ports are fp32; pack: one input port holds all; conv: a 1x1 convolution by ones before the first output; " ..
      "dense: no weights stay compressed." },
  { "function:dialect(options?: {route: string?, long: boolean?, inline: boolean?}) -> string, table<string, string>",
    "Its text as the Neural Engine's compilers take it, and the bytes of the weights files that it names (inline: none; all stand in the text)." },
  { "function:metadata(pairs?: table<string, string|false>) -> table<string, string>|mil.function", "That of its program." },
  { "function.name: string", "Its name in the program." },
  { "function.opset: string", "Its program's opset." },
  { "function.inputs: mil.value[]", "Its inputs." },
  { "function.outputs: mil.value[]", "Its outputs." },
  { "function.program: mil.program", "The program that it belongs to." },

  { "value:uses() -> mil.operation[]", "The operations that take it, each once." },
  { "value:replace(with: mil.value, operations?: mil.operation|mil.operation[]) -> mil.value",
    "Every use of it (or those by these operations) becomes one of with, but in what with is computed from; an output keeps its name." },
  { "value:args() -> table", "The arguments of the operation that made it: {parameter = value or list}." },
  { "value:cond(yes: fun(b: mil.function): ..., no: fun(b: mil.function): ..., options?: {name: string?}) -> mil.value",
    "f:cond with the value for pred." },
  { "value:while_loop(decide: fun(b: mil.function, x: mil.value): mil.value, body: fun(b: mil.function, x: mil.value): mil.value, options?: {name: string?}) -> mil.value",
    "f:while_loop with the value for the only loop variable." },
  { "value:eval(inputs?: table<string, mil.tensor|table|number>) -> mil.tensor",
    "Computes it, with what it needs of its function and these inputs." },
  { "value.type: {kind: string, dtype: string, shape: (integer|string)[], text: string}",
    "Its type; symbolic dims are strings." },
  { "value.name: string", "Its name in the program." },
  { "value.where: string?", "The place in the script that made it." },
  { "value.op: string?", "The op whose result it is; nil of an input." },
  { "value.data: mil.tensor?", "Its elements, where they are known when the program is made." },
  { "value.func: mil.function", "The function that it belongs to." },
  { "value.operation: mil.operation?", "The operation that made it; nil of an input." },
  { "value.ranges: table<string, {min: integer?, max: integer?, default: integer?}>",
    "Of the symbols that are sizes of its shape: what is said of them." },
  { "value.shapes: integer[][]?", "The shapes that an input may have, where they are enumerated." },
  { "value.feature: {kind: string, description: string?, optional: boolean, default: number?, color: string?, width: integer?, height: integer?}?",
    "What a model's description says of an input or output beside its type; kind is array, image (of a color), dictionary, .." },
  { "value.id: integer", "Its number in the program; never used again for another." },

  { "operation:set(name: string, value: mil.value|mil.tensor|table|number|boolean|string|nil) -> mil.operation",
    "Gives it another argument; nil takes it away. Results are inferred again, and what depends on them." },
  { "operation:remove() -> true", "Removes it; its results must have no uses." },
  { "operation:before(fn: fun(block: mil.function): any) -> any", "Runs fn; the operations that it adds go before this one. Gives what fn gives." },
  { "operation:after(fn: fun(block: mil.function): any) -> any", "The same, right after this one (not the last in a loop's or branch's block)." },
  { "operation.type: string", "The name of its op." },
  { "operation.name: string?", "The name of its first result." },
  { "operation.where: string?", "The place in the script that made it." },
  { "operation.args: table<string, mil.value|mil.value[]>", "Its arguments by parameter." },
  { "operation.inputs: mil.value[]", "All values that it takes, in order." },
  { "operation.outputs: mil.value[]", "Its results." },
  { "operation.block: mil.function", "The function, or nested block, that it stands in." },
  { "operation.blocks: mil.function[]", "The nested blocks that it holds." },
  { "operation.id: integer", "Its number in the program; never used again for another." },

  -- models
  { "model:run(inputs: table<string, mil.tensor|table|number>, options?: {state: mil.state?}) -> table<string, mil.tensor>",
    "One run: outputs by name, as fresh tensors; of a classifier, its label as a string or number and a mil.dictionary. A model with states runs on one." },
  { "model:run_batch(list: table<string, mil.tensor|table|number>[]) -> table<string, mil.tensor>[]",
    "Several runs in one call, in their order; engine coreml gives them to Core ML as a batch, the others run them one after the other." },
  { "model:bind(tensors: table<string, mil.tensor>, options?: {state: mil.state?}) -> mil.step",
    "A bound run: calling it runs the model on these tensors, inputs and outputs, with nothing allocated." },
  { "model:shared() -> table<string, mil.tensor>",
    "Tensors for bind, by name, in shared memory (mil.shared) that the engine takes as it is: on them engine ane copies nothing." },
  { "model:start(inputs: table<string, mil.tensor|table|number>, options?: {state: mil.state?}) -> mil.run",
    "A run on a thread of the library's, while Lua goes on. Several may be under way; those on one state go one after the other." },
  { "model:state() -> mil.state", "A new state: the memory that the model keeps between runs, zeros at first." },
  { "model:inputs() -> {name: string, dtype: string, shape: (integer|string)[]}[]", 'What it takes; "?" where an extent is not fixed.' },
  { "model:outputs() -> {name: string, dtype: string, shape: (integer|string)[]}[]", "What it gives." },
  { "model:states() -> {name: string, dtype: string, shape: integer[]}[]", "What a state of it holds." },
  { "model:describe() -> string", "Its plan, a line a step." },
  { "model:steps() -> {kernel: string, ops: string[]}[]",
    "Its plan: each step's kernel and the operations it stands for, by name; empty before the shapes are known." },
  { "model:memory() -> {weights: integer, context: integer}", "Bytes that it holds, and that a run needs." },
  { "model:unload()", "Gives its memory back at once; it can't run afterwards." },
  { "state:tensor(name: string) -> mil.tensor", "What it holds under that name: the memory itself, to be read and written between runs." },
  { "state:tensors() -> table<string, mil.tensor>", "All that it holds, by name; mil.save writes them to a file." },
  { "state:write(tensors: table<string, mil.tensor>|mil.weights) -> mil.state", "Copies tensors into it, all that it holds: of another state, or of a file." },
  { "state:copy() -> mil.state", "Another with the same elements." },
  { "state:reset() -> mil.state", "Makes it zeros again." },
  { "lowered:pack(inputs: table<string, mil.tensor>) -> table<string, mil.tensor>",
    "The lowered program's inputs, by the names of its ports, from the original's, and from what its states hold." },
  { "lowered:unpack(outputs: table<string, mil.tensor>) -> table<string, mil.tensor>",
    "The original's outputs, and what its states hold then, as views of what the lowered program's ports hold." },
  { "lowered.inputs: {name: string, dtype: string, port: string, shape: integer[], axis: integer[], step: integer[], begin: integer[]}[]",
    "Each input: its port, for each of its axes the axis of the port and the step there, and where it begins, by the port's axes." },
  { "lowered.outputs: {name: string, dtype: string, port: string, shape: integer[], axis: integer[], step: integer[], begin: integer[]}[]",
    "The same of outputs." },
  { "lowered.states: {name: string, dtype: string, port: string, shape: integer[], axis: integer[], step: integer[], begin: integer[]}[]",
    "The same of the states that are written: where what they hold comes out. It goes in as an input." },
  { "dictionary:topk(n?: integer) -> {label: string|integer, value: number}[]",
    "The n labels (5, unless given) that a classifier finds most probable. d[label] is one number, #d how many there are; a label goes before a method's name." },
  { "dictionary:labels() -> (string|integer)[]", "Its labels, in the model's order." },
  { "dictionary:tensor() -> mil.tensor", "Its numbers, in the order of the labels." },
  { "step.outputs: table<string, mil.tensor>", "The outputs of the last run, by name." },
  { "run:done() -> boolean", "Has the run ended?" },
  { "run:wait(seconds?: number) -> boolean", "Waits for its end; false where the time was over first." },
  { "run:result() -> table<string, mil.tensor>", "Waits, and gives the outputs as model:run does; once." },
  { "run:await() -> table<string, mil.tensor>", "The same; a coroutine yields the handle, again and again, until the run has ended." },
  { "run:cancel() -> mil.run", "Asks it to stop; its result is the error ECANCELLED then." },

  -- tensors
  { "mil.tensor(dtype: string|table, data?: table|number) -> mil.tensor",
    "A tensor of numbers in (nested) tables; of dtype fp32 where only they are given." },
  { "mil.zeros(dtype: string, shape: integer[]) -> mil.tensor", "A tensor of zeros." },
  { "mil.ones(dtype: string, shape: integer[]) -> mil.tensor", "A tensor of ones." },
  { "mil.full(dtype: string, shape: integer[], value: number) -> mil.tensor", "A tensor of one value." },
  { "mil.arange(dtype: string, first: number, last: number, step?: number) -> mil.tensor",
    "first, first + step, ... up to last, which is included." },
  { "mil.rand(dtype: string, shape: integer[], options?: {seed: integer?}) -> mil.tensor",
    "Random numbers, uniform in [0, 1)." },
  { "mil.randn(dtype: string, shape: integer[], options?: {seed: integer?}) -> mil.tensor",
    "Random numbers, normal with mean 0 and deviation 1." },
  { "mil.seed(seed: integer)", "Begins the random numbers anew." },
  { "mil.shared(dtype: string, shape: integer[], options?: {row: integer?}) -> mil.tensor",
    "A tensor in memory for other processes and the Neural Engine (t:id() on macOS, t:fd() on Linux). row: rows begin at multiples of so many bytes." },
  { "mil.import(handle: integer|{fd: integer?, id: integer?}, dtype: string, shape: integer[], options?: {row: integer?}) -> mil.tensor",
    "The same memory in another process, from its descriptor, or from the id of an IOSurface." },
  { "mil.bytes(tensor: mil.tensor) -> string", "Its elements as they lie in memory, row-major." },
  { "mil.from_bytes(dtype: string, shape: integer[], bytes: string) -> mil.tensor", "A tensor of such elements." },

  { "tensor:get(...: integer) -> number", "An element, by its index an axis, from 1." },
  { "tensor:set(...: number)", "Writes one: its index an axis, then the number." },
  { "tensor:sub(...: integer[]|integer|nil) -> mil.tensor",
    "A view of a part: an axis an argument. {first, last} is inclusive; a number takes the axis away; nil is all of it." },
  { "tensor:transpose(axes?: integer[]) -> mil.tensor", "A view with its axes (from 0) in this order; reversed where none is given." },
  { "tensor:reshape(shape: integer[]) -> mil.tensor", "A view of another shape; -1 for one size that follows from the others." },
  { "tensor:to(dtype: string) -> mil.tensor", "A copy of another dtype." },
  { "tensor:copy() -> mil.tensor", "A copy." },
  { "tensor:write(data: mil.tensor|table|number) -> mil.tensor", "Writes all elements: a tensor's, numbers in tables, one number." },
  { "tensor:fill(value: number) -> mil.tensor", "Writes one value everywhere." },
  { "tensor:map(fn: fun(x: number): number) -> mil.tensor", "A tensor of fn(element), of the same dtype." },
  { "tensor:size(axis: integer) -> integer", "The extent of an axis, from 0." },
  { "tensor:numel() -> integer", "The number of its elements." },
  { "tensor:min() -> number", "The least element." },
  { "tensor:max() -> number", "The greatest element." },
  { "tensor:mean() -> number", "The mean of its elements." },
  { "tensor:stats() -> {min: number, max: number, mean: number, nan: integer, inf: integer}", "All of these, NaNs left out." },
  { "tensor:close(other: mil.tensor, tolerance?: number) -> boolean, string?",
    "Is each element within tolerance * max(1, |other|)? If not, what is furthest comes second." },
  { "tensor:distance(other: mil.tensor) -> {largest: number, at: integer[], is: number, should: number, relative: number, unequal: integer}",
    "How far it is from what it should be: the largest |t - other|, its index and the two elements there; the root of sum (t - other)^2 / sum other^2; " ..
      "how many elements are unequal." },
  { "tensor:topk(n: integer) -> {index: integer, value: number}[]", "The n greatest elements; indices count all, from 1." },
  { "tensor:table() -> table", "Its elements in nested tables." },
  { "tensor:tostring(options?: {width: integer?}) -> string", "What tostring gives, for another width." },
  { "tensor:save(path: string) -> mil.tensor", "Writes it to an npy, npz or safetensors file, by the name's ending." },
  { "tensor:is_contiguous() -> boolean", "Do its elements lie in order, with no gaps?" },
  { "tensor:pointer() -> lightuserdata", "The address of its first element, for LuaJIT's FFI." },
  { "tensor:fd() -> integer", "The descriptor of shared memory, on Linux." },
  { "tensor:id() -> integer", "The id of shared memory, on macOS: that of its IOSurface." },
  { "tensor:lock(what?: \"read\"|\"write\") -> mil.tensor",
    "Begins access to its memory by address (t:pointer()), where the platform needs that; methods of tensors need none. Nests." },
  { "tensor:unlock() -> mil.tensor", "Ends it." },
  { "tensor:free()", "Gives its memory back at once, where nothing else uses it." },
  { "tensor.dtype: string", "Its dtype." },
  { "tensor.shape: integer[]", "Its extents." },
  { "tensor.strides: integer[]", "How far apart neighbours along each axis lie in memory, in elements." },

  -- weights
  { "mil.weights(path: string) -> mil.weights", "A weights file, mapped: w[name] and w.name are its tensors, #w their number." },
  { "mil.names(weights: mil.weights) -> string[]", "The names of its tensors, in the file's order." },
  { "mil.metadata(weights: mil.weights, key?: string) -> any",
    "What a safetensors or gguf file says about itself under key: a string, number or boolean, or a list of them; nil: nothing. " ..
    "An integer that this Lua has no number for is its digits. Without a key: a table of all." },
  { "mil.stored(weights: mil.weights, name: string) -> {type: string, dtype: string?, shape: integer[], bytes: integer}",
    "How the file has a tensor, without reading it: type is its dtype, or the format's name (Q4_K); dtype that of w[name], nil " ..
    "where it can't be had; bytes are those of the file." },
  { "mil.quantized(weights: mil.weights, name: string, dtype?: string) -> {data: mil.tensor, scale: mil.tensor}",
    "A quantised tensor of a gguf file as it is kept, for constexpr_blockwise_shift_scale: int4 or int8 data, and a scale for " ..
    "each block of the last axis, fp32 unless dtype says fp16." },
  { "mil.load_tensor(path: string, name?: string) -> mil.tensor", "The only tensor of a file, or the one of that name." },
  { "mil.save(path: string, tensors: table<string, mil.tensor>, metadata?: table<string, string>) -> true",
    "Writes tensors to a safetensors or npz file, by the name's ending." },
  { "mil.convert(weights: mil.weights, path: string, options?: {progress: function?}) -> true",
    "Writes all tensors of a file in another format (safetensors, npz, npy), one at a time, what is quantised expanded. progress(stage, part) as of load." },
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
  for i, result in ipairs(entry.results) do entry.results[i] = result:match "^%s*(.-)%s*$" end
  for _, piece in ipairs(pieces(params:sub(2, -2))) do
    local name, optional, kind = piece:match "^%s*([%w_%.]+)(%??)%s*:%s*(.-)%s*$"
    table.insert(entry.params, { name = name, type = kind, optional = optional == "?" })
  end
  return entry
end

local face = {}
for i, row in ipairs(rows) do face[i] = read(row) end
return face

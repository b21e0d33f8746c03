-- SPDX-License-Identifier: MIT
-- mil.workloads: what `luamil bench` runs: programs by kind and size, their inputs, and what they should give, computed in double from the
-- same rounded numbers.
--
--     matmul     MxKxN                x [M, K] by w [K, N], both inputs
--     packed     KxNxM                the same in one port [1, K, 1, M + N], as rane measures it: x in the first M columns, w in the others
--     conv       [D*]CxHxW[kS]        D convolutions (1) of C channels over H x W, S x S (1)
--     attention  HxSxE                scaled_dot_product_attention of H heads, S tokens, E features a head
--
-- The whole is too dear in Lua for most sizes: then elements spread over the result are computed, and how many is told.

local mil = require "mil"
local options = require "mil.options"

local workloads = {}

local budget = 2 ^ 22 -- multiplications for what a result should be

-- ---- numbers ----

-- Numbers near 1, so that none of a product's partial sums leaves fp16.
local function numbers(dtype, shape, seed, scale)
  return mil.randn("fp32", shape, { seed = seed }):map(function(v) return v * (scale or 1) end):to(dtype)
end

-- get(i, k, ..) of a tensor: by a table where it is small enough for one.
local function reader(tensor)
  if tensor:numel() > 2 ^ 20 then return function(...) return tensor:get(...) end end
  local elements, rank = tensor:table(), #tensor.shape
  if rank == 2 then return function(i, k) return elements[i][k] end end
  return function(a, b, c, d) return elements[a][b][c][d] end
end

-- Sums what is seen of a result: how far it is from what it should be.
local Seen = {}
Seen.__index = Seen

local function new_seen(total) return setmetatable({ n = 0, total = total, largest = 0, squares = 0, off = 0 }, Seen) end

function Seen:add(is, should)
  local off = is == is and math.abs(is - should) or math.huge
  self.n, self.largest = self.n + 1, math.max(self.largest, off)
  self.squares, self.off = self.squares + should * should, self.off + off * off
end

function Seen:result()
  local relative = self.off == 0 and 0 or math.sqrt(self.off / self.squares)
  return { largest = self.largest, relative = relative, seen = self.n, total = self.total, against = "fp64" }
end

-- Numbers from 0 below total, all of them or `n` spread over it.
local function spread(total, n)
  local i = -1
  return function()
    i = i + 1
    if i >= math.min(n, total) then return nil end
    return n >= total and i or (i * 7919 + math.floor(i * total / n)) % total
  end
end

-- ---- kinds ----

local kinds = {}

local function sizes_of(kind, text, pattern, shape)
  local sizes = { text:match(pattern) }
  for i = 1, 3 do
    sizes[i] = tonumber(sizes[i])
    if not sizes[i] or sizes[i] < 1 or sizes[i] > 2 ^ 20 then options.usage("%s takes sizes %s, but was given %s", kind, shape, text) end
  end
  return sizes
end

-- {M, K, N}, {K, N, M}, {C, H, W, S = , depth = }, {H, S, E}
local parsers = {}

for kind, shape in pairs { matmul = "MxKxN", packed = "KxNxM", attention = "HxSxE" } do
  parsers[kind] = function(text) return sizes_of(kind, text, "^(%d+)x(%d+)x(%d+)$", shape) end
end

function parsers.conv(text)
  local shape = "[D*]CxHxW[kS] with D of 1 to C, and S of 1 where D is more"
  local depth, rest = text:match "^(%d+)%*(.*)$"
  local size, kernel = (rest or text):match "^(.*)k(%d+)$"
  local sizes = sizes_of("conv", size or rest or text, "^(%d+)x(%d+)x(%d+)$", shape)
  sizes.depth, sizes.S = tonumber(depth or 1), tonumber(kernel or 1)
  if sizes.depth < 1 or sizes.depth > sizes[1] or sizes.S < 1 or (sizes.depth > 1 and sizes.S > 1) then
    options.usage("conv takes sizes %s, but was given %s", shape, text)
  end
  return sizes
end

-- Of a product of a row of x by a column of w, for both kinds of matmul: `y`, `x`, `w` read (row, column).
local function check_product(M, K, N, x, w, y)
  local seen = new_seen(M * N)
  for at in spread(M * N, math.max(16, math.floor(budget / K))) do
    local i, k, sum = math.floor(at / N) + 1, at % N + 1, 0
    for j = 1, K do sum = sum + x(i, j) * w(j, k) end
    seen:add(y(i, k), sum)
  end
  return seen:result()
end

function kinds.matmul(text, dtype)
  local sizes = parsers.matmul(text)
  local M, K, N = sizes[1], sizes[2], sizes[3]
  local f = mil.func { opset = "ios18" }
  f:output("y", f:input("x", dtype, { M, K }):matmul(f:input("w", dtype, { K, N })))
  local x, w = numbers(dtype, { M, K }, 1), numbers(dtype, { K, N }, 2, K ^ -0.5)
  return { func = f, inputs = { x = x, w = w }, check = function(out) return check_product(M, K, N, reader(x), reader(w), reader(out.y)) end }
end

function kinds.packed(text)
  local sizes = parsers.packed(text)
  local K, N, M = sizes[1], sizes[2], sizes[3]
  local f = mil.func { opset = "ios18" }
  local port = f:input("x", "fp16", { 1, K, 1, M + N })
  local function part(at, n) return port:slice_by_size { begin = { 0, 0, 0, at }, size = { 1, K, 1, n } }:reshape { shape = { 1, 1, K, n } } end
  f:output("y", part(0, M):matmul { y = part(M, N), transpose_x = true, transpose_y = false })
  local x, w, both = numbers("fp16", { K, M }, 1), numbers("fp16", { K, N }, 2, K ^ -0.5), mil.zeros("fp16", { 1, K, 1, M + N })
  both:sub({ 1, 1 }, { 1, K }, { 1, 1 }, { 1, M }):write(x:reshape { 1, K, 1, M })
  both:sub({ 1, 1 }, { 1, K }, { 1, 1 }, { M + 1, M + N }):write(w:reshape { 1, K, 1, N })
  return { func = f, inputs = { x = both }, dtype = "fp16", check = function(out)
    local a, y = reader(x), reader(out.y)
    return check_product(M, K, N, function(i, j) return a(j, i) end, reader(w), function(i, k) return y(1, 1, i, k) end)
  end }
end

-- A stack's weights are views of one matrix [2C, C], each a row further on: different data, and little memory.
local function check_stack(depth, C, H, W, x, w, y)
  local seen, read_x, read_w = new_seen(C * H * W), reader(x), reader(w)
  local positions = math.max(1, math.floor(4 * budget / (depth * C * C)))
  for at in spread(H * W, positions) do
    local h, s, from = math.floor(at / W) + 1, at % W + 1, {}
    for c = 1, C do from[c] = read_x(1, c, h, s) end
    for d = 1, depth do
      local to = {}
      for o = 1, C do
        local sum = 0
        for c = 1, C do sum = sum + read_w(o + d - 1, c, 1, 1) * from[c] end
        to[o] = sum
      end
      from = to
    end
    for c = 1, C do seen:add(y(1, c, h, s), from[c]) end
  end
  return seen:result()
end

local function check_conv(C, H, W, S, x, w, y)
  local seen, read_x, read_w, before = new_seen(C * H * W), reader(x), reader(w), math.floor((S - 1) / 2)
  for at in spread(C * H * W, math.max(16, math.floor(budget / (C * S * S)))) do
    local o, h, s, sum = math.floor(at / (H * W)) + 1, math.floor(at / W) % H + 1, at % W + 1, 0
    for a = 1, S do
      for b = 1, S do
        local row, column = h + a - 1 - before, s + b - 1 - before
        if row >= 1 and row <= H and column >= 1 and column <= W then
          for c = 1, C do sum = sum + read_w(o, c, a, b) * read_x(1, c, row, column) end
        end
      end
    end
    seen:add(y(1, o, h, s), sum)
  end
  return seen:result()
end

function kinds.conv(text, dtype)
  local sizes = parsers.conv(text)
  local C, H, W, S, depth = sizes[1], sizes[2], sizes[3], sizes.S, sizes.depth
  local f = mil.func { opset = "ios18" }
  local x, w = numbers(dtype, { 1, C, H, W }, 1), numbers(dtype, { C + depth - 1, C, S, S }, 2, (C * S * S) ^ -0.5)
  local y = f:input("x", dtype, { 1, C, H, W })
  for d = 1, depth do y = y:conv { weight = w:sub({ d, d + C - 1 }), pad_type = S > 1 and "same" or "valid" } end
  f:output("y", y)
  return { func = f, inputs = { x = x }, check = function(out)
    if S == 1 then return check_stack(depth, C, H, W, x, w, reader(out.y)) end
    return check_conv(C, H, W, S, x, w, reader(out.y))
  end }
end

-- One row of the result: softmax(q k' / sqrt(E)) v.
local function attended(h, i, S, E, q, k, v)
  local scores, most, sum, row = {}, -math.huge, 0, {}
  for j = 1, S do
    local score = 0
    for e = 1, E do score = score + q(1, h, i, e) * k(1, h, j, e) end
    scores[j] = score / math.sqrt(E)
    most = math.max(most, scores[j])
  end
  for j = 1, S do
    scores[j] = math.exp(scores[j] - most)
    sum = sum + scores[j]
  end
  for e = 1, E do
    row[e] = 0
    for j = 1, S do row[e] = row[e] + scores[j] / sum * v(1, h, j, e) end
  end
  return row
end

function kinds.attention(text, dtype)
  local sizes = parsers.attention(text)
  local H, S, E = sizes[1], sizes[2], sizes[3]
  local f, inputs, values = mil.func { opset = "ios18" }, {}, {}
  for i, name in ipairs { "q", "k", "v" } do
    values[name] = f:input(name, dtype, { 1, H, S, E })
    inputs[name] = numbers(dtype, { 1, H, S, E }, i)
  end
  f:output("y", values.q:scaled_dot_product_attention { key = values.k, value = values.v })
  return { func = f, inputs = inputs, check = function(out)
    local seen, y, q, k, v = new_seen(H * S * E), reader(out.y), reader(inputs.q), reader(inputs.k), reader(inputs.v)
    for at in spread(H * S, math.max(4, math.floor(budget / (2 * S * E)))) do
      local h, i = math.floor(at / S) + 1, at % S + 1
      for e, should in ipairs(attended(h, i, S, E, q, k, v)) do seen:add(y(1, h, i, e), should) end
    end
    return seen:result()
  end }
end

-- ---- a model of the user's ----

local function has_halves(f)
  for _, list in ipairs { f.inputs, f.outputs } do
    for _, value in ipairs(list) do if value.type.dtype == "fp16" then return true end end
  end
  for _, operation in ipairs(f:operations()) do
    for _, value in ipairs(operation.outputs) do if value.type.dtype == "fp16" then return true end end
  end
  return false
end

-- What a model should give, and by what. Of one that computes in fp16, the same in fp32, which is as good as exact beside it; of others, and
-- where that can't be made, itself by the cpu engine, strict and unoptimised.
local function wanted_of(f, tensors)
  local wide = has_halves(f) and select(2, pcall(require "mil.widen", f)) or nil
  local exact = { engine = "cpu", precision = "strict", optimize = 0 }
  if type(wide) ~= "userdata" then return f:compile(exact):run(tensors), "cpu:strict" end
  local widened = {}
  for name, tensor in pairs(tensors) do widened[name] = tensor.dtype == "fp16" and tensor:to "fp32" or tensor end
  return wide:compile(exact):run(widened), "fp32"
end

function workloads.model(path, given)
  local inputs = require "mil.inputs"
  local f = inputs.entry(require("mil.progress").load(path, given.quiet), given["function"])
  for _, value in ipairs(f.inputs) do
    if value.type.kind == "state" then error(("%s keeps a state, %s, which would change from run to run; bench takes models without"):format(path, value.name), 0) end
  end
  local tensors = inputs.read(f, { input = given.input, shape = given.shape, random = given.random or 0, seed = given.seed })
  inputs.fix(f, given.shape, tensors)
  local wanted, against
  local function check(out)
    if not wanted then wanted, against = wanted_of(f, tensors) end
    local result = { largest = 0, relative = 0, seen = 0, total = 0, against = against }
    for name, should in pairs(wanted) do
      local is = out[name]
      if type(should) == "userdata" and getmetatable(should) ~= "mil.dictionary" and should.dtype ~= "string" then
        local d = is:distance(should)
        result.largest, result.relative = math.max(result.largest, d.largest), math.max(result.relative, d.relative)
        result.seen, result.total = result.seen + is:numel(), result.total + is:numel()
      end
    end
    return result
  end
  return workloads.finish({ func = f, inputs = tensors, check = check }, path:match "[^/]+/?$", "")
end

-- ---- all ----

local function flops_of(f)
  local flops, n = require "mil.flops", 0
  for _, operation in ipairs(f:operations()) do
    local each = operation.type ~= "const" and flops.of(operation, mil.op(operation.type).family) or 0
    n = n + (each or 0)
  end
  return n
end

-- Each input, output and weight once; small consts of whole numbers are no weights.
local function bytes_of(work)
  local flops, n = require "mil.flops", 0
  local elements = flops.elements
  local function add(count, dtype) n = n + (count and count * flops.bits(dtype) / 8 or 0) end
  for _, tensor in pairs(work.inputs) do add(tensor:numel(), tensor.dtype) end
  for _, value in ipairs(work.func.outputs) do add(elements(value), value.type.dtype) end
  for _, operation in ipairs(work.func:operations()) do
    local value = operation.type == "const" and operation.outputs[1]
    local is_weight = value and value.type.kind == "tensor" and (value.type.dtype:find "^b?fp" or (elements(value) or 0) >= 10)
    if is_weight then add(elements(value), value.type.dtype) end
  end
  return n
end

workloads.kinds = { "matmul", "packed", "conv", "attention" }
workloads.usual = {
  matmul = { "64x64x64", "256x256x256", "512x512x512", "1024x1024x1024" },
  packed = { "64x64x64", "256x256x256", "1024x1024x256" },
  conv = { "64x32x32k3", "128x28x28k3", "512x1x64", "512x16x16" },
  attention = { "4x64x64", "8x256x64", "8x512x64" },
}

function workloads.is_kind(word) return kinds[word] ~= nil end

-- Raises where a size is not one of its kind.
function workloads.check_size(what, size) parsers[what](size) end

-- {what, size, dtype, func, inputs, flops, bytes, check(outputs)}
function workloads.make(what, size, dtype)
  return workloads.finish(kinds[what](size, dtype), what, size, dtype)
end

function workloads.finish(work, what, size, dtype)
  work.what, work.size, work.dtype = work.what or what, work.size or size, work.dtype or dtype
  work.flops, work.bytes = flops_of(work.func), bytes_of(work)
  return work
end

return workloads

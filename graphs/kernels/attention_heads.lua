-- SPDX-License-Identifier: MIT
-- Causal attention of several heads over [1, C, 1, S] activations, head by head: each has its own rows of channels, so every product is
-- one of matrices, and no head's slice begins within the width. Queries, keys, values and the way back are 1x1 convolutions.
--   w.q, w.k, w.v, w.out   [C, C]: head h of `heads` has rows h * C / heads and so on of the first three
--   x, y                   fp16 [1, C, 1, S]
local mil = require "mil"

local MASKED = -30000 -- far below every score, and no infinity in fp16 after adding

return function(w, heads, S)
  local f = mil.func { opset = "ios18" }
  local C = w.q.shape[1]
  local D = C / heads
  local x = f:input("x", "fp16", { 1, C, 1, S })
  local function project(from, weight) return from:conv { weight = weight:to("fp16"):reshape { C, C, 1, 1 }, pad_type = "valid" } end
  local q, k, v = project(x, w.q) * D ^ -0.5, project(x, w.k), project(x, w.v)
  local mask = mil.full("fp16", { 1, 1, S, S }, 0)
  for query = 1, S do
    for key = query + 1, S do mask:set(1, 1, query, key, MASKED) end
  end
  local outs = {}
  for head = 0, heads - 1 do
    local function rows(of)
      return of:slice_by_size({ begin = { 0, head * D, 0, 0 }, size = { 1, D, 1, S } }):reshape { shape = { 1, 1, D, S } }
    end
    local scores = rows(q):matmul { y = rows(k), transpose_x = true, transpose_y = false } + mask -- [1, 1, query, key]
    local out = rows(v):matmul { y = scores:softmax { axis = -1 }, transpose_x = false, transpose_y = true } -- [1, 1, D, query]
    outs[head + 1] = out:reshape { shape = { 1, D, 1, S } }
  end
  f:output("y", project(f:concat { values = outs, axis = 1, interleave = false }, w.out))
  return f
end

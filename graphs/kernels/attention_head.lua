-- SPDX-License-Identifier: MIT
-- One causal attention head over [1, D, 1, S] activations, packed along the channels in one input: D rows of queries, D of
-- keys, D of values.
--   x   fp16 [1, 3 * D, 1, S]
--   y   fp16 [1, D, 1, S]; y[:, i] is the mean of the values up to i, weighted by softmax(q . k / sqrt(D))
local mil = require "mil"

local MASKED = -30000 -- added to what a query may not see: far below every score, and no infinity in fp16 after adding

local function causal_mask(S)
  local rows = {}
  for query = 1, S do
    rows[query] = {}
    for key = 1, S do rows[query][key] = key <= query and 0 or MASKED end
  end
  return mil.tensor("fp16", { { rows } }) -- [1, 1, S, S]
end

return function(D, S)
  local f = mil.func { opset = "ios18" }
  local x = f:input("x", "fp16", { 1, 3 * D, 1, S })
  local function rows(first)
    local part = x:slice_by_size { begin = { 0, first, 0, 0 }, size = { 1, D, 1, S } }
    return part:reshape { shape = { 1, 1, D, S } }
  end
  local q, k, v = rows(0), rows(D), rows(2 * D)
  local scores = q:transpose { perm = { 0, 1, 3, 2 } }:matmul(k) * D ^ -0.5 + causal_mask(S) -- [1, 1, query, key]
  local out = v:matmul { y = scores:softmax { axis = -1 }, transpose_x = false, transpose_y = true } -- [1, 1, D, query]
  f:output("y", out:reshape { shape = { 1, D, 1, S } })
  return f
end

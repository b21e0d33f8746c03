-- SPDX-License-Identifier: MIT
-- A matrix product of two run-time operands on a Neural Engine route that takes one input: activations and weights lie side
-- by side in it.
--   x   fp16 [1, IC, 1, SEQ + OC]: in row c, the SEQ activations of channel c, then its OC weights
--   y   fp16 [1, OC, 1, SEQ]
local mil = require "mil"

return function(IC, SEQ, OC)
  local f = mil.func { opset = "ios18" }
  local x = f:input("x", "fp16", { 1, IC, 1, SEQ + OC })
  local act = x:slice_by_size { begin = { 0, 0, 0, 0 }, size = { 1, IC, 1, SEQ } }
  local wts = x:slice_by_size { begin = { 0, 0, 0, SEQ }, size = { 1, IC, 1, OC } }
  local rows = act:reshape { shape = { 1, 1, IC, SEQ } }:transpose { perm = { 0, 1, 3, 2 } } -- [1, 1, SEQ, IC]
  local columns = wts:reshape { shape = { 1, 1, IC, OC } }
  local product = rows:matmul { y = columns, transpose_x = false, transpose_y = false } -- [1, 1, SEQ, OC]
  f:output("y", product:transpose { perm = { 0, 1, 3, 2 } }:reshape { shape = { 1, OC, 1, SEQ } })
  return f
end

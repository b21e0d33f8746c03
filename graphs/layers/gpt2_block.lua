-- SPDX-License-Identifier: MIT
-- A GPT-2 block: causal self-attention and a gelu MLP, each behind a layer norm and around a residual.
--   w   by the names of the published checkpoints: ln_1, attn.c_attn, attn.c_proj, ln_2, mlp.c_fc, mlp.c_proj, each with
--       .weight (of the projections: [in, out]) and .bias
--   x -> y, both [1, T, C]
-- Source: A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
local mil = require "mil"

local function causal_mask(T)
  local rows = {}
  for query = 1, T do
    rows[query] = {}
    for key = 1, T do rows[query][key] = key <= query and 0 or -1e4 end
  end
  return rows
end

return function(w, T, C, heads, dtype)
  dtype = dtype or "fp32"
  local f = mil.func { opset = "ios17" }
  local x = f:input("x", dtype, { 1, T, C })
  local function weight(name) return w[name]:to(dtype) end
  local function norm(v, name)
    return v:layer_norm { axes = { -1 }, gamma = weight(name .. ".weight"), beta = weight(name .. ".bias"), epsilon = 1e-5 }
  end
  local function project(v, name) return v:matmul(weight(name .. ".weight")) + weight(name .. ".bias") end

  local qkv = project(norm(x, "ln_1"), "attn.c_attn") -- [1, T, 3 C]
  local q, k, v = qkv:split { num_splits = 3, axis = -1 }
  local function by_head(part) -- [1, heads, T, C / heads]
    return part:reshape { shape = { 1, T, heads, C / heads } }:transpose { perm = { 0, 2, 1, 3 } }
  end
  q, k, v = by_head(q), by_head(k), by_head(v)
  local scores = q:matmul { y = k, transpose_y = true } * (C / heads) ^ -0.5 + f:const(causal_mask(T), dtype)
  local mixed = scores:softmax { axis = -1 }:matmul(v):transpose { perm = { 0, 2, 1, 3 } }:reshape { shape = { 1, T, C } }
  x = x + project(mixed, "attn.c_proj")
  local hidden = project(norm(x, "ln_2"), "mlp.c_fc"):gelu { mode = "TANH_APPROXIMATION" }
  f:output("y", x + project(hidden, "mlp.c_proj"))
  return f
end

-- SPDX-License-Identifier: MIT
-- A Llama block: RMS norm, rotary positions, grouped-query causal attention, SwiGLU.
--   w   by the names of the published checkpoints: input_layernorm, self_attn.{q,k,v,o}_proj, post_attention_layernorm,
--       mlp.{gate,up,down}_proj, each with .weight (of the projections: [out, in])
--   x -> y, both [1, T, C]; positions are 0 to T - 1
-- Sources: H. Touvron et al., "LLaMA", 2023; J. Su et al., "RoFormer", 2021 (rotary positions; the halves are rotated, as the
-- checkpoints want it); J. Ainslie et al., "GQA", 2023.
local mil = require "mil"

-- cos and sin of position * base^(-2 i / D), [T, D], the same for both halves of D.
local function rotary(T, D, base)
  local cos, sin = {}, {}
  for t = 1, T do
    cos[t], sin[t] = {}, {}
    for i = 1, D do
      local angle = (t - 1) * base ^ (-2 * ((i - 1) % (D / 2)) / D)
      cos[t][i], sin[t][i] = math.cos(angle), math.sin(angle)
    end
  end
  return cos, sin
end

local function causal_mask(T)
  local rows = {}
  for query = 1, T do
    rows[query] = {}
    for key = 1, T do rows[query][key] = key <= query and 0 or -1e4 end
  end
  return rows
end

-- options: heads, kv_heads (heads), epsilon (1e-5), rope_base (10000), dtype ("fp32")
return function(w, T, C, options)
  local heads, dtype = options.heads, options.dtype or "fp32"
  local kv_heads = options.kv_heads or heads
  local D, group = C / heads, heads / kv_heads
  local f = mil.func { opset = "ios17" }
  local x = f:input("x", dtype, { 1, T, C })

  local function weight(name) return w[name .. ".weight"]:to(dtype) end
  local function norm(v, name)
    local mean = (v * v):reduce_mean { axes = { -1 }, keep_dims = true }
    return v * mean:rsqrt { epsilon = options.epsilon or 1e-5 } * weight(name)
  end
  local function project(v, name) return v:linear { weight = weight(name) } end
  local function by_head(v, n) return v:reshape { shape = { 1, T, n, D } }:transpose { perm = { 0, 2, 1, 3 } } end

  local cos, sin = rotary(T, D, options.rope_base or 10000)
  cos, sin = f:const(cos, dtype), f:const(sin, dtype)
  local function rotate(v) -- [1, n, T, D]
    local first, second = v:split { num_splits = 2, axis = -1 }
    return v * cos + f:concat { values = { -second, first }, axis = -1 } * sin
  end

  local y = norm(x, "input_layernorm")
  local q = rotate(by_head(project(y, "self_attn.q_proj"), heads))
  local k = rotate(by_head(project(y, "self_attn.k_proj"), kv_heads))
  local v = by_head(project(y, "self_attn.v_proj"), kv_heads)
  -- The queries of a group share their key and value head: a broadcast over the group.
  q = q:reshape { shape = { 1, kv_heads, group, T, D } }
  k, v = k:expand_dims { axes = { 2 } }, v:expand_dims { axes = { 2 } }
  local scores = q:matmul { y = k, transpose_y = true } * D ^ -0.5 + f:const(causal_mask(T), dtype)
  local mixed = scores:softmax { axis = -1 }:matmul(v):reshape { shape = { 1, heads, T, D } }
  x = x + project(mixed:transpose { perm = { 0, 2, 1, 3 } }:reshape { shape = { 1, T, C } }, "self_attn.o_proj")

  y = norm(x, "post_attention_layernorm")
  local hidden = project(y, "mlp.gate_proj"):silu() * project(y, "mlp.up_proj")
  f:output("y", x + project(hidden, "mlp.down_proj"))
  return f
end

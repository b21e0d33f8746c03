-- SPDX-License-Identifier: MIT
-- A SwiGLU feed-forward block over [1, C, 1, S] activations, the layout the Neural Engine likes: 1x1 convolutions are its
-- matrix products.
--   w   gate, up: fp16 [hidden, C, 1, 1]; down: fp16 [C, hidden, 1, 1]
--   x -> y, both fp16 [1, C, 1, S]
-- Source: N. Shazeer, "GLU Variants Improve Transformer", 2020.
local mil = require "mil"

return function(w, C, S)
  local f = mil.func { opset = "ios18" }
  local x = f:input("x", "fp16", { 1, C, 1, S })
  local gate = f:conv { x = x, weight = w.gate, pad_type = "valid" }
  local up = x:conv { weight = w.up, pad_type = "valid" } -- the same op, as a method on its first input
  f:output("y", (gate:silu() * up):conv { weight = w.down, pad_type = "valid" } + x)
  return f
end

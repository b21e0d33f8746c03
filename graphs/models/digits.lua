-- SPDX-License-Identifier: MIT
-- A digit classifier: two convolutions, a pooling, two linear layers (30,000 weights, made by digits_train.py).
--   w      digits.safetensors
--   image  fp32 [N, 1, 8, 8], ink from 0 to 16, any N -> logits, probability: fp32 [N, 10]; digit: int32 [N]
local mil = require "mil"

return function(w)
  local f = mil.func { opset = "ios17" }
  local x = f:input("image", "fp32", { "N", 1, 8, 8 }) * (1 / 16)
  for _, layer in ipairs { "conv1", "conv2" } do
    x = x:conv { weight = w[layer .. ".weight"], bias = w[layer .. ".bias"], pad_type = "same" }:relu()
  end
  x = x:max_pool { kernel_sizes = { 2, 2 }, strides = { 2, 2 }, pad_type = "valid" } -- [N, 32, 4, 4]
  x = x:reshape { shape = { -1, 512 } }
  x = x:linear { weight = w["fc1.weight"], bias = w["fc1.bias"] }:relu()
  local logits = f:output("logits", x:linear { weight = w["fc2.weight"], bias = w["fc2.bias"] })
  f:output("probability", logits:softmax { axis = -1 })
  f:output("digit", logits:reduce_argmax { axis = -1, keep_dims = false })
  return f
end

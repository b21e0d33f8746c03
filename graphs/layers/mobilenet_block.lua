-- SPDX-License-Identifier: MIT
-- A MobileNetV2 block: expand by a 1x1 convolution, filter each channel by itself, project back; a residual where the shape
-- stays.
--   w   by torchvision's names (expand ratio above 1): conv.0.0, conv.0.1, conv.1.0, conv.1.1, conv.2, conv.3
--   x   [N, C, H, W] -> y   [N, C', H / stride, W / stride]
-- Source: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.
local mil = require "mil"

return function(w, shape, stride, dtype)
  dtype = dtype or "fp32"
  local f = mil.func { opset = "ios17" }
  local x = f:input("x", dtype, shape)
  local function weight(name) return w[name]:to(dtype) end
  local function norm(v, name)
    return v:batch_norm { mean = weight(name .. ".running_mean"), variance = weight(name .. ".running_var"),
                          gamma = weight(name .. ".weight"), beta = weight(name .. ".bias"), epsilon = 1e-5 }
  end
  local y = norm(x:conv { weight = weight "conv.0.0.weight", pad_type = "valid" }, "conv.0.1"):relu6()
  y = y:conv { weight = weight "conv.1.0.weight", groups = y.type.shape[2], strides = { stride, stride },
               pad_type = "custom", pad = { 1, 1, 1, 1 } }
  y = norm(y, "conv.1.1"):relu6()
  y = norm(y:conv { weight = weight "conv.2.weight", pad_type = "valid" }, "conv.3")
  local same = stride == 1 and x.type.shape[2] == y.type.shape[2]
  f:output("y", same and y + x or y)
  return f
end

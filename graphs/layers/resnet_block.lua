-- SPDX-License-Identifier: MIT
-- A ResNet basic block: two 3x3 convolutions with batch norm, and a shortcut that is projected where the shape changes.
--   w   by torchvision's names: conv1, bn1, conv2, bn2, and (where there is a projection) downsample.0, downsample.1
--   x   [N, C, H, W] -> y   [N, C', H / stride, W / stride]
-- Source: K. He et al., "Deep Residual Learning for Image Recognition", 2015.
local mil = require "mil"

return function(w, shape, stride, dtype)
  dtype = dtype or "fp32"
  local f = mil.func { opset = "ios17" }
  local x = f:input("x", dtype, shape)
  local function weight(name) return w[name]:to(dtype) end
  local function conv(v, name, step, pad)
    return v:conv { weight = weight(name .. ".weight"), strides = { step, step }, pad_type = "custom", pad = { pad, pad, pad, pad } }
  end
  local function norm(v, name)
    return v:batch_norm { mean = weight(name .. ".running_mean"), variance = weight(name .. ".running_var"),
                          gamma = weight(name .. ".weight"), beta = weight(name .. ".bias"), epsilon = 1e-5 }
  end
  local y = norm(conv(x, "conv1", stride, 1), "bn1"):relu()
  y = norm(conv(y, "conv2", 1, 1), "bn2")
  local projects = stride ~= 1 or x.type.shape[2] ~= y.type.shape[2]
  local shortcut = projects and norm(conv(x, "downsample.0", stride, 0), "downsample.1") or x
  f:output("y", (y + shortcut):relu())
  return f
end

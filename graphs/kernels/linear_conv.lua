-- SPDX-License-Identifier: MIT
-- A linear layer as the Neural Engine likes it: a 1x1 convolution over [1, C, 1, S], features as channels and tokens as the width;
-- its bias is added behind it, since a compiler was seen to refuse one in the convolution.
--   w.weight  [out, in]; w.bias [out], or nil
--   x         fp16 [1, in, 1, S]
--   y         fp16 [1, out, 1, S]
local mil = require "mil"

return function(w, S)
  local shape = w.weight.shape
  local outs, ins = shape[1], shape[2]
  local f = mil.func { opset = "ios18" }
  local x = f:input("x", "fp16", { 1, ins, 1, S })
  local y = x:conv { weight = w.weight:to("fp16"):reshape { outs, ins, 1, 1 }, pad_type = "valid" }
  if w.bias then y = y + w.bias:to("fp16"):reshape { 1, outs, 1, 1 } end
  f:output("y", y)
  return f
end

-- SPDX-License-Identifier: MIT
-- A stack of feed-forward layers in one program, each with its residual: one call of the Neural Engine has a fixed cost, which many
-- layers share. relu, since what is in a table there (gelu, silu) is less exact.
--   w        a list of layers { up = [H, C], down = [C, H] }
--   x, y     fp16 [1, C, 1, S]
local mil = require "mil"

return function(w, S)
  local f = mil.func { opset = "ios18" }
  local C = w[1].up.shape[2]
  local x = f:input("x", "fp16", { 1, C, 1, S })
  for _, layer in ipairs(w) do
    local H = layer.up.shape[1]
    local h = x:conv { weight = layer.up:to("fp16"):reshape { H, C, 1, 1 }, pad_type = "valid" }
    x = x + h:relu():conv { weight = layer.down:to("fp16"):reshape { C, H, 1, 1 }, pad_type = "valid" }
  end
  f:output("y", x)
  return f
end

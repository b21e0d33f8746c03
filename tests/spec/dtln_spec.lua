-- SPDX-License-Identifier: MIT
-- The echo canceller of the corpus (../shared/corpus, where it is there): its lstms are while_loops over lists. Two frames, the
-- states carried on, compared with what tests/oracle/dtln.py computed in double precision, for a batch of one and of two.
local mil = require "mil"

local package = "../shared/corpus/packages/DTLN_AEC_128_Part1.mlpackage"

describe("the echo canceller DTLN", function()
  local found, p = pcall(mil.load, package)
  if not found then return pending "is not here" end
  local expected = mil.weights "tests/vectors/dtln.npz"

  for _, options in ipairs { { optimize = 0 }, { optimize = 1 }, { threads = 2, max_turns = 1 } } do
    it(("runs at optimize = %d on %d threads"):format(options.optimize or 1, options.threads or 1), function()
      local model = p:compile(options)
      for batch = 1, 2 do
        local states = mil.zeros("fp32", { batch, 2, 128, 2 })
        for frame = 0, 1 do
          local key = ("b%d_f%d_"):format(batch, frame)
          local out = model:run {
            mic_magnitude = expected[key .. "mic_magnitude"], lpb_magnitude = expected[key .. "lpb_magnitude"],
            states_in = states,
          }
          states = out.Identity_1
          for name, tensor in pairs(out) do
            assert.is_true(tensor:close(expected[key .. name], 1e-5), key .. name)
          end
        end
      end
    end)
  end

  it("keeps its program through text and package", function()
    local text = tostring(p)
    assert.equal(text, tostring(mil.parse(text, { unchecked = true })))
  end)
end)

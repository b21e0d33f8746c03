-- SPDX-License-Identifier: MIT
-- lstm, gru and rnn on the cpu engine's kernels beside their plain evaluation (which tests/vectors hold against NumPy and PyTorch), at
-- sizes around the kernels' tiles.
local mil = require "mil"

local gates = { lstm = 4, gru = 3, rnn = 1 }
local sizes = { { 1, 1, 1, 1 }, { 1, 1, 33, 40 }, { 3, 2, 5, 7 }, { 5, 1, 65, 129 }, { 2, 17, 16, 31 }, { 9, 4, 1, 64 } } -- steps, batch, in, hidden

local seed = 0
local function random(dtype, shape, scale)
  seed = seed + 1
  return mil.rand("fp32", shape, { seed = seed }):map(function(x) return (x - 0.5) * (scale or 1) end):to(dtype)
end

local function layer(op, dtype, size, more)
  local steps, batch, features, hidden = size[1], size[2], size[3], size[4]
  local f, rows = mil.func { opset = "ios18" }, gates[op] * hidden
  local x, ways = f:input("x", dtype, more.shape or { steps, batch, features }), more.direction == "bidirectional" and 2 or 1
  local calm = 3 / math.sqrt(hidden) -- what relu gives back must not grow from step to step
  local args = { x = x, initial_h = random(dtype, { batch, hidden * ways }), weight_ih = random(dtype, { rows, features }),
                 weight_hh = random(dtype, { rows, hidden }, calm), output_sequence = true }
  if op == "lstm" then args.initial_c = random(dtype, { batch, hidden * ways }) end
  if ways == 2 then args.weight_ih_back, args.weight_hh_back = random(dtype, { rows, features }), random(dtype, { rows, hidden }, calm) end
  for name, value in pairs(more) do if name ~= "shape" then args[name] = value end end
  for _, name in ipairs { "bias", "input_bias" } do args[name] = more[name] and random(dtype, { rows }) end
  for i, result in ipairs { f[op](f, args) } do f:output("y" .. i, result) end
  return f
end

-- What a layer of this op may have
local forms = {
  lstm = { {}, { bias = true, direction = "reverse" }, { direction = "bidirectional", output_sequence = false } },
  gru = { {}, { bias = true }, { bias = true, input_bias = true, direction = "reverse" }, { reset_after = true, output_sequence = false },
          { reset_after = true, bias = true, input_bias = true }, { reset_after = true, bias = true, recurrent_activation = "hard_sigmoid", activation = "relu" } },
  rnn = { {}, { bias = true, direction = "reverse" }, { activation = "relu", output_sequence = false }, { activation = "scaled_tanh" } },
}

for op, list in pairs(forms) do
  describe(op, function()
    it("gives what its plain evaluation gives", function()
      for number, form in ipairs(list) do
        for _, size in ipairs(sizes) do
          for dtype, close in pairs { fp32 = 2e-5, fp16 = 4e-3 } do
            local f = layer(op, dtype, size, form)
            local x = random(dtype, { size[1], size[2], size[3] })
            local wanted = f:compile({ engine = "cpu", optimize = 0 }):run { x = x }
            for _, options in ipairs { {}, { threads = 2 }, { precision = "strict" } } do
              options.engine = "cpu"
              local model = f:compile(options)
              assert.truthy(model:describe():find("[" .. op, 1, true), model:describe())
              for _ = 1, 2 do
                local given = model:run { x = x }
                for name, t in pairs(wanted) do assert.is_true(given[name]:close(t, close), ("%s %d, %s, %s: %s"):format(op, number, table.concat(size, " "), dtype, name)) end
              end
            end
          end
        end
      end
    end)

    it("takes as many steps as there are", function()
      local n = mil.dim("n", { min = 1, max = 20 })
      local f = layer(op, "fp32", { 1, 2, 5, 7 }, { shape = { n, 2, 5 } })
      local model, plain = f:compile { engine = "cpu" }, f:compile { engine = "cpu", optimize = 0 }
      for _, steps in ipairs { 3, 1, 8, 3 } do
        local x = random("fp32", { steps, 2, 5 })
        assert.is_true(model:run({ x = x }).y1:close(plain:run({ x = x }).y1, 2e-5))
      end
    end)
  end)
end

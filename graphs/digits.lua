-- SPDX-License-Identifier: MIT
-- Handwritten digits, classified: the program of models/digits.lua, its trained weights, and images it has never seen.
--   luamil graphs/digits.lua
local mil = require "mil"

local here = arg[0]:match "^(.*/)" or ""
local weights = mil.weights(here .. "models/digits.safetensors")
local test = mil.weights(here .. "models/digits_test.npz")
local digits = dofile(here .. "models/digits.lua")
local clock = os.clock

print("weights  " .. here .. "models/digits.safetensors: " .. #mil.names(weights) .. " tensors")
print(("images   %d of UCI Optical Recognition of Handwritten Digits, 8x8, none of them trained on"):format(#test.images))

local f = digits(weights)
print "\nThe program, in MIL (its first lines):"
local shown = 0
for line in tostring(f):gmatch "[^\n]+" do
  print("  " .. (#line > 110 and line:sub(1, 107) .. "..." or line))
  shown = shown + 1
  if shown == 8 then break end
end

local model = f:compile { engine = "cpu", threads = 1 }
local images = test.images:to "fp32"
local out = model:run { image = images }

-- A few digits side by side, two characters a pixel; the doubtful ones last.
local order = {}
for i = 1, #images do order[i] = i end
local function certainty(i) return out.probability[i]:max() end
table.sort(order, function(a, b) return certainty(a) > certainty(b) end)
local picked = { 1, 2, 3, 4, order[#order - 1], order[#order] }
local ink = " .:-=+*#%@"
print "\nSome of them, and what the model says:"
for y = 1, 8 do
  local line = {}
  for _, i in ipairs(picked) do
    local row = {}
    for x = 1, 8 do
      local level = math.floor(images:get(i, 1, y, x) / 16 * 9 + 0.5) + 1
      row[x] = ink:sub(level, level):rep(2)
    end
    line[#line + 1] = table.concat(row)
  end
  print("  " .. table.concat(line, "  "))
end
local said = {}
for _, i in ipairs(picked) do
  local right = out.digit[i] == test.labels[i] and "" or ", is " .. test.labels[i]
  said[#said + 1] = ("%-16s"):format(("%d (%.0f%%)%s"):format(out.digit[i], certainty(i) * 100, right))
end
print("  " .. table.concat(said, "  "))

local correct = 0
for i = 1, #images do
  if out.digit[i] == test.labels[i] then correct = correct + 1 end
end
print(("\naccuracy %d of %d, %.2f %%"):format(correct, #images, 100 * correct / #images))

local runs, start = 0, clock()
repeat
  model:run { image = images }
  runs = runs + 1
until clock() - start > 0.5
print(("speed    %.0f images a second (cpu engine, 1 thread, %d at a time)"):format(runs * #images / (clock() - start), #images))
if correct / #images < 0.97 then
  io.stderr:write "digits: the accuracy is below 97 %: something is wrong\n"
  os.exit(1)
end

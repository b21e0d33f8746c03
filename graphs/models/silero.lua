-- SPDX-License-Identifier: MIT
-- Silero VAD, a voice detector: how likely it is that someone speaks, 31 times a second. The network is a Core ML package
-- (FluidInference's mobius has it: silero-vad-unified-v6.0.0.mlpackage, and compressed ones), which takes 576 samples and carries
-- its state on. This file has what stands around it: frames of sound, the state, stretches of speech.
--   silero.load(path, options)              a detector; options as compile has them
--   detector:listen(samples)                sound at 16,000 samples a second, a table of numbers -> a probability each 512
--   silero.stretches(probabilities, least)  -> a list of {from, to} in seconds, where it is at least that (0.5)
--   silero.draw(probabilities)              -> a line of text, a bar each
--   silero.vowels(list)                     sound to try it with: {seconds, pitch in Hz or false, vowel}
-- Source: Silero Team, "Silero VAD", 2024.
local mil = require "mil"

local silero = { rate = 16000, hop = 512, before = 64 }
local detector = {}
detector.__index = detector

function silero.load(path, options)
  options = options or {}
  options.engine = options.engine or "cpu"
  local self = setmetatable({}, detector)
  self.input = mil.zeros("fp32", { 1, silero.before + silero.hop })
  self.hidden, self.cell = mil.zeros("fp32", { 1, 128 }), mil.zeros("fp32", { 1, 128 })
  self.model = mil.load(path):compile(options)
  self.run = self.model:bind { audio_input = self.input, hidden_state = self.hidden, cell_state = self.cell }
  return self
end

-- Each frame is seen with the 64 samples before it; hidden and cell state go from run to run.
function detector:listen(samples)
  local probabilities = {}
  for at = 1, #samples - silero.hop + 1, silero.hop do
    for i = 1, silero.before + silero.hop do self.input:set(1, i, samples[at - silero.before + i - 1] or 0) end
    self.run()
    local out = self.run.outputs
    self.hidden:write(out.new_hidden_state)
    self.cell:write(out.new_cell_state)
    probabilities[#probabilities + 1] = out.vad_output:get(1, 1, 1)
  end
  return probabilities
end

function silero.stretches(probabilities, least)
  local list, seconds = {}, silero.hop / silero.rate
  local last -- the frame up to which the latest stretch goes
  for i, p in ipairs(probabilities) do
    if p >= (least or 0.5) then
      if last ~= i - 1 then list[#list + 1] = { (i - 1) * seconds } end
      list[#list][2] = i * seconds
      last = i
    end
  end
  return list
end

local bars = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

function silero.draw(probabilities)
  local line = {}
  for i, p in ipairs(probabilities) do line[i] = bars[math.floor(p * 8 + 0.5) + 1] end
  return table.concat(line)
end

-- ---- sound ----

-- The first three resonances of a mouth that says them, in Hz.
local formants = { a = { 730, 1090, 2440 }, e = { 530, 1840, 2480 }, i = { 270, 2290, 3010 }, o = { 570, 840, 2410 }, u = { 300, 870, 2240 } }

-- Resonators that follow each other: y = gain x + 2 r cos(w) y' - r^2 y'', each in a table {gain, factor, factor, y', y''}.
local function mouth(vowel)
  local chain = {}
  for k, hz in ipairs(formants[vowel]) do
    local r = math.exp(-math.pi * (60 + 40 * k) / silero.rate)
    chain[k] = { k == 1 and 0.1 or 0.3, 2 * r * math.cos(2 * math.pi * hz / silero.rate), -r * r, 0, 0 }
  end
  return function(x)
    for _, one in ipairs(chain) do
      x = one[1] * x + one[2] * one[4] + one[3] * one[5]
      one[4], one[5] = x, one[4]
    end
    return x
  end
end

-- A vowel is a train of pulses, whose pitch wavers and falls, through a mouth; a pause (pitch false) is faint noise.
function silero.vowels(list)
  local samples, phase, noise, most = {}, 0, 1, 0
  for _, sound in ipairs(list) do
    local n, pitch, speak = math.floor(sound[1] * silero.rate), sound[2], sound[2] and mouth(sound[3])
    for i = 1, n do
      noise = noise * 16807 % 2147483647
      local x = (noise / 2147483647 - 0.5) * 0.001
      if pitch then
        local before = math.floor(phase)
        phase = phase + pitch * (1 + 0.03 * math.sin(2 * math.pi * 5 * i / silero.rate)) * (1.1 - 0.2 * i / n) / silero.rate
        x = speak(math.floor(phase) > before and 1 or x) * math.min(1, i / 800, (n - i) / 800)
      end
      samples[#samples + 1], most = x, math.max(most, math.abs(x))
    end
  end
  for i, x in ipairs(samples) do samples[i] = x / most / 2 end
  return samples
end

return silero

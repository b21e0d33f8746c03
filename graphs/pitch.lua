-- SPDX-License-Identifier: MIT
-- The pitch of a melody over time, drawn in the terminal, by the CREPE network.
--   luamil graphs/pitch.lua PACKAGE [SOUND.wav]
-- PACKAGE is tiny.mlpackage or full.mlpackage: models/crepe.lua says where from. Without a sound (16-bit, 16,000 samples a second),
-- the melody is one made here.
if #arg < 1 then
  io.stderr:write "usage: luamil graphs/pitch.lua PACKAGE [SOUND.wav]\n"
  os.exit(2)
end
local here = arg[0]:match "^(.*/)" or ""
local crepe = dofile(here .. "models/crepe.lua")

-- What can't be read or run is told in a line.
local function try(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  io.stderr:write("pitch: ", (tostring(result):gsub("^%S-:%d+: ", "")), "\n")
  os.exit(1)
end

-- The samples of a WAV file's first channel.
local function read_wav(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "*a"
  file:close()
  local function number(at, n)
    local value = 0
    for i = n - 1, 0, -1 do value = value * 256 + (bytes:byte(at + i) or 0) end
    return value
  end
  local format, data = bytes:find("fmt ", 1, true), bytes:find("data", 1, true)
  assert(bytes:sub(1, 4) == "RIFF" and format and data, path .. ": not a WAV file")
  local channels, rate, bits = number(format + 10, 2), number(format + 12, 4), number(format + 22, 2)
  assert(bits == 16 and rate == crepe.rate and channels > 0,
    ("%s: %d bits, %d samples a second; 16 bits and %d are read"):format(path, bits, rate, crepe.rate))
  local samples = {}
  for at = data + 8, math.min(#bytes, data + 7 + number(data + 4, 4)) - 1, 2 * channels do
    local value = number(at, 2)
    samples[#samples + 1] = (value < 32768 and value or value - 65536) / 32768
  end
  return samples
end

local function jacques() -- Frère Jacques, its first two lines
  local notes = {}
  for pitch in ("60 62 64 60 60 62 64 60 64 65 67 64 65 67"):gmatch "%d+" do
    local last = #notes == 10 or #notes == 13
    notes[#notes + 1] = { tonumber(pitch), last and 0.5 or 0.25 }
  end
  return notes
end

local samples = arg[2] and try(read_wav, arg[2]) or crepe.melody(jacques())
local model = try(crepe.load, arg[1])
local frames = crepe.frames(samples)
local start = os.clock()
local probabilities = try(model.run, model, { frames = frames }).probabilities
local seconds = os.clock() - start

local width = require "mil.system".width() or tonumber(os.getenv "COLUMNS") or 80
for _, line in ipairs(crepe.draw(crepe.pitches(probabilities), width)) do print(line) end
print(("     %.2f seconds of sound in %.3f: %.0f times as fast as it is played"):format(
  #samples / crepe.rate, seconds, #samples / crepe.rate / math.max(seconds, 1e-6)))

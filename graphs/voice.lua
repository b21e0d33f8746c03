-- SPDX-License-Identifier: MIT
-- When someone speaks, by the Silero voice detector.
--   luamil graphs/voice.lua PACKAGE [SOUND.npy]
-- PACKAGE: models/silero.lua says where from. Without a sound (16,000 samples a second, a vector), a few vowels made here are heard.
if #arg < 1 then
  io.stderr:write "usage: luamil graphs/voice.lua PACKAGE [SOUND.npy]\n"
  os.exit(2)
end
local mil = require "mil"
local silero = dofile((arg[0]:match "^(.*/)" or "") .. "models/silero.lua")

-- What can't be read or run is told in a line.
local function try(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  io.stderr:write("voice: ", (tostring(result):gsub("^%S-:%d+: ", "")), "\n")
  os.exit(1)
end

local samples = arg[2] and try(mil.load_tensor, arg[2]):table() or silero.vowels {
  { 0.5, false }, { 0.18, 120, "a" }, { 0.06, false }, { 0.2, 130, "i" }, { 0.05, false }, { 0.18, 110, "o" },
  { 0.8, false }, { 0.2, 140, "e" }, { 0.05, false }, { 0.25, 125, "a" }, { 0.5, false },
}
local detector = try(silero.load, arg[1])
local start = os.clock()
local probabilities = try(detector.listen, detector, samples)
local seconds = os.clock() - start
print(silero.draw(probabilities))
for _, stretch in ipairs(silero.stretches(probabilities)) do print(("speech from %.2f to %.2f seconds"):format(stretch[1], stretch[2])) end
print(("%d frames, %.2f ms each"):format(#probabilities, 1000 * seconds / #probabilities))

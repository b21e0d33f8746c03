-- SPDX-License-Identifier: MIT
-- The Silero voice detectors, frame by frame with their state carried on, against what the original network gives. They are
-- in the corpus beside the project, which need not be there.
local mil = require "mil"
local silero = dofile "graphs/models/silero.lua"

local corpus = "../shared/corpus/"
local expected = corpus .. "expected/silero-vad-unified."

local function is_there(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- How far the probabilities may be from the original's. Compressed models are others: those of 4 and 2 bits hear no voice.
local models = {
  { "vad-unified-v6.0.0", 0.01 }, { "unified_int8", 0.05 }, { "unified_palette_8bit", 0.05 }, { "unified_pruned_int8", 0.05 },
  { "unified_palette_4bit", 0.6 }, { "unified_palette_2bit", 0.7 },
}

-- The probability of each frame; states are compared where near says how near they must be.
local function listen(model, near)
  local inputs, outputs = mil.weights(expected .. "input.npz"), mil.weights(expected .. "expected.npz")
  local hidden, cell = mil.zeros("fp32", { 1, 128 }), mil.zeros("fp32", { 1, 128 })
  local heard = {}
  for step = 0, 3 do
    local out = model:run { audio_input = inputs["s" .. step .. "_audio_input"], hidden_state = hidden, cell_state = cell }
    hidden, cell = out.new_hidden_state, out.new_cell_state
    heard[step + 1] = out.vad_output:get(1, 1, 1)
    if near then
      assert.is_true(hidden:close(outputs["s" .. step .. "_new_hidden_state"], near))
      assert.is_true(cell:close(outputs["s" .. step .. "_new_cell_state"], near))
    end
  end
  return heard
end

local function wanted()
  local outputs, list = mil.weights(expected .. "expected.npz"), {}
  for step = 0, 3 do list[step + 1] = outputs["s" .. step .. "_vad_output"]:get(1, 1, 1) end
  return list
end

local function check_near(a, b, tolerance, what)
  for step = 1, 4 do
    assert.is_true(math.abs(a[step] - b[step]) <= tolerance, ("%s, step %d: %g, not %g"):format(what, step, a[step], b[step]))
  end
end

describe("graphs/models/silero.lua", function()
  it("joins frames to stretches", function()
    local second = silero.hop / silero.rate
    assert.same({}, silero.stretches {})
    assert.same({}, silero.stretches { 0.1, 0.4 })
    assert.same({ { 0, second } }, silero.stretches { 0.5 })
    assert.same({ { second, 3 * second }, { 4 * second, 5 * second } }, silero.stretches { 0.1, 0.6, 0.9, 0.2, 0.7 })
    assert.same({ { 4 * second, 5 * second } }, silero.stretches({ 0.1, 0.6, 0.7, 0.2, 0.9 }, 0.8))
  end)

  it("draws a bar a frame", function() assert.equal(" ▄█", silero.draw { 0, 0.5, 1 }) end)
end)

if not is_there(expected .. "input.npz") then
  pending "the Silero voice detectors: the corpus is not here"
  return
end

describe("Silero voice detectors", function()
  for _, row in ipairs(models) do
    local name, tolerance = row[1], row[2]
    it(name .. " hears what the original does, within " .. tolerance, function()
      local package, bundle = mil.load(corpus .. "packages/silero-" .. name .. ".mlpackage"), mil.load(corpus .. "bundles/silero-" .. name .. ".mlmodelc")
      local heard = listen(package:compile { engine = "cpu" }, tolerance <= 0.01 and 0.02 or nil)
      check_near(heard, wanted(), tolerance, name)
      assert.same(heard, listen(bundle:compile { engine = "cpu", threads = 2 }))
      check_near(heard, listen(package:compile { engine = "cpu", optimize = 0 }), 5e-3, name .. ", optimize = 0")
      check_near(heard, listen(package:compile { engine = "cpu", precision = "strict" }), 5e-3, name .. ", strict")
    end)
  end

  it("hear vowels, and no voice in the pauses between", function()
    local samples = silero.vowels {
      { 0.5, false }, { 0.18, 120, "a" }, { 0.06, false }, { 0.2, 130, "i" }, { 0.05, false }, { 0.18, 110, "o" },
      { 0.8, false }, { 0.2, 140, "e" }, { 0.05, false }, { 0.25, 125, "a" }, { 0.5, false },
    }
    for _, name in ipairs { "vad-unified-v6.0.0", "unified_int8" } do
      local heard = silero.load(corpus .. "packages/silero-" .. name .. ".mlpackage"):listen(samples)
      local function most(from, to)
        local p = 0
        for i = math.floor(from * silero.rate / silero.hop) + 1, math.floor(to * silero.rate / silero.hop) do p = math.max(p, heard[i]) end
        return p
      end
      assert.is_true(most(0, 0.45) < 0.2 and most(1.5, 1.95) < 0.2 and most(2.8, 2.95) < 0.2, name)
      assert.is_true(most(0.6, 1.1) > 0.9 and most(2, 2.4) > 0.9, name)
    end
  end)

  it("stay compressed in memory", function()
    local function held(name) return mil.load(corpus .. "packages/silero-" .. name .. ".mlpackage"):compile({ engine = "cpu" }):memory() end
    local dense, eight, two = held "vad-unified-v6.0.0", held "unified_int8", held "unified_palette_2bit"
    assert.is_true(eight.weights < dense.weights / 8, eight.weights .. " of " .. dense.weights)
    assert.is_true(two.weights < dense.weights / 8, two.weights .. " of " .. dense.weights)
  end)
end)

-- SPDX-License-Identifier: MIT
-- The graphs under graphs/ compute what PyTorch does (tests/oracle/graphs.py), optimised or not.
local mil = require "mil"

local rows = {
  -- name, file of graphs/, arguments after the weights, relative and absolute tolerance
  { "gpt2_block", "layers/gpt2_block", { 7, 24, 3 }, 2e-5 },
  { "llama_block", "layers/llama_block", { 7, 32, { heads = 4, kv_heads = 2 } }, 2e-5 },
  { "resnet_block", "layers/resnet_block", { { 2, 8, 9, 11 }, 1 }, 2e-5 },
  { "resnet_block_down", "layers/resnet_block", { { 1, 8, 10, 10 }, 2 }, 2e-5 },
  { "mobilenet_block", "layers/mobilenet_block", { { 1, 8, 7, 9 }, 1 }, 2e-5 },
  { "mobilenet_block_down", "layers/mobilenet_block", { { 1, 6, 9, 8 }, 2 }, 2e-5 },
  { "swiglu", "kernels/swiglu", { 24, 19 }, 4e-3 },
  { "packed_matmul", "kernels/packed_matmul", { 32, 16, 24 }, 2e-3, no_weights = true },
  { "attention_head", "kernels/attention_head", { 16, 24 }, 4e-3, no_weights = true },
}

local luamil = dofile "tests/spec/luamil.lua"
local unpack = table.unpack or unpack

local function build(row, weights, dtype)
  local graph = dofile("graphs/" .. row[2] .. ".lua")
  local arguments = {}
  for i, argument in ipairs(row[3]) do arguments[i] = argument end
  if dtype then
    if type(arguments[3]) == "table" then
      arguments[3] = { heads = 4, kv_heads = 2, dtype = dtype }
    else
      arguments[#arguments + 1] = dtype
    end
  end
  if row.no_weights then return graph(unpack(arguments)) end
  return graph(weights, unpack(arguments))
end

-- The farthest element, where one is too far; else nil.
local function too_far(got, wanted, tolerance)
  local worst, at = 0, nil
  local g, w = got:to("fp32"):reshape({ -1 }):table(), wanted:reshape({ -1 }):table()
  for i = 1, #w do
    local excess = math.abs(g[i] - w[i]) - tolerance * (1 + math.abs(w[i]))
    if not (excess <= worst) then worst, at = excess, i end
  end
  return at and ("element %d is %.9g, wanted %.9g"):format(at, g[at], w[at])
end

describe("graphs", function()
  for _, row in ipairs(rows) do
    local weights = mil.weights("tests/vectors/graphs/" .. row[1] .. ".safetensors")
    for optimize = 0, 1 do
      it(row[1] .. " is what PyTorch computes, optimize = " .. optimize, function()
        local out = build(row, weights):compile({ engine = "cpu", optimize = optimize }):run { x = weights.x }
        assert.is_nil(too_far(out.y, weights.y, row[4]))
      end)
    end
    if not row.no_weights and row[1] ~= "swiglu" then
      it(row[1] .. " in fp16 is near", function()
        local out = build(row, weights, "fp16"):compile({ engine = "cpu" }):run { x = weights.x:to "fp16" }
        assert.is_nil(too_far(out.y, weights.y, 2e-2))
      end)
    end
  end

  it("survives text: print, parse, run", function()
    local row = rows[1]
    local weights = mil.weights("tests/vectors/graphs/" .. row[1] .. ".safetensors")
    local text = tostring(build(row, weights))
    local again = mil.parse(text)
    assert.are.equal(text, tostring(again))
    local out = again:compile({ engine = "cpu" }):run { x = weights.x }
    assert.is_nil(too_far(out.y, weights.y, row[4]))
  end)

  it("digits: the trained network is right about images it has not seen", function()
    local here = "graphs/models/"
    local test, reference = mil.weights(here .. "digits_test.npz"), mil.weights(here .. "digits_reference.npz")
    local model = dofile(here .. "digits.lua")(mil.weights(here .. "digits.safetensors")):compile { engine = "cpu" }
    local out = model:run { image = test.images:to "fp32" }
    assert.is_nil(too_far(out.logits, reference.logits, 2e-5))
    local right = 0
    for i = 1, #test.images do
      if out.digit[i] == test.labels[i] then right = right + 1 end
    end
    assert.is_true(right / #test.images > 0.98)
    local three = model:run { image = test.images:to("fp32"):sub({ 1, 3 }) } -- another N of the same model
    assert.are.same({ 3, 10 }, three.logits.shape)
    assert.is_nil(too_far(three.logits, reference.logits:sub({ 1, 3 }), 2e-5))
  end)
end)

describe("scripts of models that are fetched", function()
  teardown(luamil.remove)
  local conv = "tests/vectors/packages/conv.mlpackage"
  for _, row in ipairs {
    { "pitch.lua none.mlpackage", "pitch: cannot open none.mlpackage: No such file or directory" },
    { "pitch.lua " .. conv .. " none.wav", "pitch: none.wav: No such file or directory" },
    { "pitch.lua " .. conv, "pitch: run: input frames is fp32[1, 3, 5, 5], but was given fp32[401, 1024]" },
    { "voice.lua none.mlpackage", "voice: cannot open none.mlpackage: No such file or directory" },
    { "search.lua none question answer", "search: none/vocab.txt: No such file or directory" },
  } do
    it("say in a line what they can't read: " .. row[1], function()
      assert.are.same({ 1, "", row[2] .. "\n" }, { luamil("graphs/" .. row[1]) })
    end)
  end
end)

-- SPDX-License-Identifier: MIT
-- all-MiniLM-L6-v2 in Lua is what PyTorch and Hugging Face's tokenizer make of it (tests/oracle/minilm.py). The weights are not in
-- the tree: MINILM=DIR names them, as graphs/models/minilm.lua says; without it this is left out.
local mil = require "mil"
local minilm = dofile "graphs/models/minilm.lua"
local directory = os.getenv "MINILM"

-- The sentences and their ids, from the oracle's own file: JSON of one level, read by its lines.
local function expectations()
  local file = assert(io.open "tests/vectors/minilm.json")
  local text = file:read "*a"
  file:close()
  local sentences, ids = {}, {}
  for sentence in text:match('"sentences": %[(.-)\n %]'):gmatch '\n  "([^\n]*)",?' do
    sentences[#sentences + 1] = sentence:gsub('\\"', '"')
  end
  for list in text:match('"ids": %[(.-)\n %]'):gmatch "%[(.-)%]" do
    local row = {}
    for id in list:gmatch "%d+" do row[#row + 1] = tonumber(id) end
    ids[#ids + 1] = row
  end
  return sentences, ids
end

local function cosine(a, b)
  local ab, aa, bb = 0, 0, 0
  for i = 1, #a do ab, aa, bb = ab + a[i] * b[i], aa + a[i] * a[i], bb + b[i] * b[i] end
  return ab / math.sqrt(aa * bb)
end

describe("MiniLM", function()
  if not directory then
    pending "needs MINILM=DIR with the model's files"
    return
  end
  local sentences, ids = expectations()
  local wanted = mil.weights("tests/vectors/minilm.npz").embedding

  it("cuts sentences into the tokens that they have", function()
    local encode = minilm.tokenizer(directory .. "/vocab.txt")
    assert.are.equal(7, #sentences)
    for i, sentence in ipairs(sentences) do assert.are.same(ids[i], encode(sentence)) end
  end)

  for dtype, least in pairs { fp32 = 0.9999, fp16 = 0.999 } do
    it("embeds them as PyTorch does, in " .. dtype, function()
      local T = 0
      for _, row in ipairs(ids) do T = math.max(T, #row) end
      local weights = mil.weights(directory .. "/model.safetensors")
      local model = minilm.graph(weights, #ids, T, dtype):compile { engine = "cpu" }
      local embedding = model:run(minilm.batch(ids, T, dtype)).embedding
      for row = 1, #ids do
        local similarity = cosine(embedding[row]:table(), wanted[row]:table())
        assert.is_true(similarity >= least, dtype .. ": sentence " .. row .. " is " .. similarity .. " alike")
      end
    end)
  end
end)

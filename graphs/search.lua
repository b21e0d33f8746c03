-- SPDX-License-Identifier: MIT
-- Semantic search with all-MiniLM-L6-v2: the sentence closest in meaning to the first.
--   luamil graphs/search.lua MODEL_DIR "question" "sentence" "sentence" ...
-- MODEL_DIR has model.safetensors and vocab.txt: models/minilm.lua says where from.
local mil = require "mil"

if #arg < 3 then
  io.stderr:write 'usage: luamil graphs/search.lua MODEL_DIR "question" "sentence" ["sentence" ...]\n'
  os.exit(2)
end
local here = arg[0]:match "^(.*/)" or ""
local minilm = dofile(here .. "models/minilm.lua")

-- What can't be read or run is told in a line.
local function try(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  io.stderr:write("search: ", (tostring(result):gsub("^%S-:%d+: ", "")), "\n")
  os.exit(1)
end

local encode = try(minilm.tokenizer, arg[1] .. "/vocab.txt")
local weights = try(mil.weights, arg[1] .. "/model.safetensors")

local sentences, T = {}, 0
for i = 2, #arg do
  sentences[i - 1] = encode(arg[i])
  T = math.max(T, #sentences[i - 1])
end
local model = minilm.graph(weights, #sentences, T):compile { threads = 0 }
local embedding = model:run(minilm.batch(sentences, T)).embedding

-- Vectors of length 1: their product is the cosine of the angle between them.
local question, found = embedding[1]:table(), {}
for row = 2, #sentences do
  local cosine = 0
  for i, value in ipairs(embedding[row]:table()) do cosine = cosine + value * question[i] end
  found[#found + 1] = { cosine, arg[row + 1] }
end
table.sort(found, function(a, b) return a[1] > b[1] end)
print(arg[2])
for _, hit in ipairs(found) do print(("  %.3f  %s"):format(hit[1], hit[2])) end

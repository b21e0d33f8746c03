#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""MiniLM, 128 tokens, beside onnxruntime (and PyTorch) in one run: interleaved rounds, medians, ratios.

usage: minilm.py LUAMIL MODEL_DIR [THREADS]     needs torch, onnx, onnxruntime, safetensors; from the tree's top
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

luamil, directory, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1
T, C, H, LAYERS = 128, 384, 12, 6
torch.set_num_threads(threads)


class MiniLM(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.w = nn.ParameterDict({k.replace(".", "_"): nn.Parameter(v, False) for k, v in weights.items() if v.is_floating_point()})

    def get(self, name):
        return self.w[name.replace(".", "_")]

    def norm(self, x, n):
        return F.layer_norm(x, (C,), self.get(n + ".weight"), self.get(n + ".bias"), 1e-12)

    def project(self, x, n):
        return F.linear(x, self.get(n + ".weight"), self.get(n + ".bias"))

    def forward(self, ids, mask):
        heads = lambda x: x.reshape(1, T, H, C // H).transpose(1, 2)
        e = "embeddings."
        x = F.embedding(ids, self.get(e + "word_embeddings.weight")) + self.get(e + "token_type_embeddings.weight")[0]
        x = self.norm(x + self.get(e + "position_embeddings.weight")[:T], e + "LayerNorm")
        hidden = ((mask - 1) * 1e4).reshape(1, 1, 1, T)
        for layer in range(LAYERS):
            p = f"encoder.layer.{layer}."
            q, k, v = (heads(self.project(x, f"{p}attention.self.{n}")) for n in ("query", "key", "value"))
            a = ((q @ k.transpose(-1, -2) * (C // H) ** -0.5 + hidden).softmax(-1) @ v).transpose(1, 2).reshape(1, T, C)
            x = self.norm(self.project(a, p + "attention.output.dense") + x, p + "attention.output.LayerNorm")
            y = F.gelu(self.project(x, p + "intermediate.dense"))
            x = self.norm(self.project(y, p + "output.dense") + x, p + "output.LayerNorm")
        mean = (x * (mask / mask.sum(-1, keepdim=True))[..., None]).sum(1)
        return mean * torch.rsqrt((mean * mean).sum(-1, keepdim=True) + 1e-12)


# On one thread, a process's own time, on both sides: other work on the machine does not count. Else what the wall clock says.
clock = time.process_time if threads == 1 else time.perf_counter


def seconds_of(run, seconds=1.0):
    times, stop = [], time.perf_counter() + seconds
    while time.perf_counter() < stop:
        start = clock()
        run()
        times.append(clock() - start)
    return statistics.median(times) * 1e3


model = MiniLM(load_file(directory + "/model.safetensors")).eval()
ids = (torch.arange(1, T + 1) * 7 + 1000)[None]
mask = torch.ones(1, T)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "minilm.onnx")
    torch.onnx.export(model, (ids, mask), path, input_names=["ids", "mask"], output_names=["embedding"], dynamo=False, opset_version=17)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
feed = {"ids": ids.numpy(), "mask": mask.numpy()}
with torch.no_grad():
    assert np.allclose(session.run(None, feed)[0], model(ids, mask).numpy(), atol=1e-4)
    rounds = {"onnxruntime": [], "torch": [], "luamil": [], "luamil fp16": []}
    peak = 0
    for _ in range(5):
        rounds["onnxruntime"].append(seconds_of(lambda: session.run(None, feed)))
        rounds["torch"].append(seconds_of(lambda: model(ids, mask)))
        for name, dtype in (("luamil", "fp32"), ("luamil fp16", "fp16")):
            out = subprocess.run([luamil, "bench/minilm.lua", directory, "1", str(threads), dtype], capture_output=True, text=True, check=True)
            median, _, used = out.stdout.split()
            rounds[name].append(float(median))
            if dtype == "fp32":
                peak = max(peak, int(used))
ort = statistics.median(rounds["onnxruntime"])
size = os.path.getsize(directory + "/model.safetensors")
for name, times in rounds.items():
    median = statistics.median(times)
    print(f"minilm, {T} tokens, {threads} thread(s): {name:12} {median:8.2f} ms, {ort / median:.2f} of onnxruntime's speed")
print(f"peak memory of the fp32 run: {peak / 1e6:.0f} MB, {peak / size:.2f} times the weights file")

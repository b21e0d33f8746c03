# SPDX-License-Identifier: MIT
"""Each op of bench/ops.lua beside PyTorch on one thread, in turns: milliseconds of each, and how many times as long ours takes.

    python bench/ops.py LUAMIL [WORD...]     only ops whose names have one of the words in them

Both are timed by their process's own clock; of several rounds the least counts. Beyond 4 times (and 0.05 ms: below, a call's own cost is
all that is measured) a line is marked; the last line counts them."""

import subprocess
import sys
import time

import torch
import torch.nn.functional as F

ROUNDS = 5
torch.set_num_threads(1)
torch.manual_seed(1)


def updated(x, u):
    x = x.clone()
    x[:, :, 1:65, 1:65] = u
    return x


def nms(b, s):
    from torchvision.ops import nms as kept

    centers, half = b[0, :2].T, b[0, 2:].T / 2
    return kept(torch.cat([centers - half, centers + half], 1), s[0, 0], 0.5)


def roi_align(x, boxes):
    from torchvision.ops import roi_align as crops

    corners = torch.stack([boxes[:, 0::2].amin(1), boxes[:, 1::2].amin(1), boxes[:, 0::2].amax(1), boxes[:, 1::2].amax(1)], 1) * 63
    return crops(x, torch.cat([torch.zeros(len(boxes), 1), corners], 1), (7, 7), sampling_ratio=1)


def layer(kind):
    return torch.nn.__dict__[kind](256, 256)


def tensor(spec):
    name, dtype, shape, most = spec.split(":")
    values = torch.rand([int(n) for n in shape.split(",")])
    if dtype == "bool":
        values = values > 0.5
    elif dtype == "int32":
        values = (values * int(most)).long()
    return name, values


def weight_of(expression, inputs):
    """The weight that an expression calls w."""
    if "F.linear" in expression:
        return torch.rand(768, 768)
    if "transpose" in expression:
        return torch.rand(64, 32, 2, 2)
    return torch.rand(64, 1 if "groups" in expression else 64, 3, 3)


def milliseconds(run):
    start, n = time.process_time(), 0
    while time.process_time() - start < 0.03:
        run()
        n += 1
    return (time.process_time() - start) / n * 1000


def main():
    lua = subprocess.Popen([sys.argv[1], "bench/ops.lua", *sys.argv[2:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    slow = n = 0
    print(f"{'op':32} {'ms':>9} {'PyTorch':>9} {'times':>6}")
    with torch.no_grad():
        for line in lua.stdout:
            name, expression, *inputs = line.rstrip("\n").split("\t")
            if not inputs:
                print(f"{name:32} no row: {expression}")
                continue
            known = dict(tensor(spec) for spec in inputs[0].split())
            known |= {"torch": torch, "F": F, "updated": updated, "nms": nms, "roi_align": roi_align, "c": torch.rand(64)}
            known |= {kind: layer(kind) for kind in ("LSTM", "GRU", "RNN") if kind + "(" in expression}
            if "w" not in known and "(x, w" in expression:
                known["w"] = weight_of(expression, known)
            run = eval(f"lambda: {expression}", known)
            run()
            ours, theirs = [], []
            for _ in range(ROUNDS):
                lua.stdin.write("go\n")
                lua.stdin.flush()
                ours.append(float(lua.stdout.readline()))
                theirs.append(milliseconds(run))
            lua.stdin.write("next\n")
            lua.stdin.flush()
            a, b = min(ours), min(theirs)
            is_slow = a > 4 * b and a > 0.05
            slow, n = slow + is_slow, n + 1
            print(f"{name:32} {a:9.3f} {b:9.3f} {a / b:6.2f}{'  <- above 4' if is_slow else ''}", flush=True)
    if lua.wait() != 0:
        sys.exit("bench/ops.lua failed")
    print(f"{n} rows, {slow} above 4 times PyTorch's time")


if __name__ == "__main__":
    main()

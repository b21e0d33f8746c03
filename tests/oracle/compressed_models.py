# SPDX-License-Identifier: MIT
"""Models that coremltools compresses, against the same models decompressed by coremltools: python tests/oracle/compressed_models.py [WORD...]

A network of conv (depthwise too), conv_transpose, linear and gather is palettised, quantised and pruned, jointly too, at ios18.
luamil loads each model, saves it as a package (the same message must come out) and as text, loads that, and runs it: unoptimised
its outputs are those of the decompressed model bit for bit; otherwise near, as sums are in another order. Names of jobs with
one of the words are run; all, without. Takes minutes; needs torch and scikit-learn."""
import glob
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
os.environ.setdefault("TQDM_DISABLE", "1")

import coremltools as ct  # noqa: E402
import coremltools.optimize.coreml as cto  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from coremltools.proto import Model_pb2  # noqa: E402

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")

COMPARE = """
local mil = require "mil"
local to = arg[1]
local x, i = mil.load_tensor(to .. "/in.npz", "x"), mil.load_tensor(to .. "/in.npz", "i")
local function run(program, half, options)
  options.engine = "cpu"
  local _, y = next(program:compile(options):run { x = half and x:to "fp16" or x, i = i })
  return y
end
for k = 2, #arg do
  local ok, why = pcall(function()
    local path, half = to .. "/" .. arg[k], arg[k]:find "_16$" ~= nil
    local given, dense = mil.load(path .. ".mlpackage"), mil.load(path .. ".dense.mlpackage")
    given:save(path .. ".again.mlpackage")
    given:save(path .. ".mil")
    given = mil.load(path .. ".mil")
    local wanted = run(dense, half, { optimize = 0 })
    assert(run(given, half, { optimize = 0 }):close(wanted, 0), "the results are not those of the decompressed model")
    for _, options in ipairs { {}, { threads = 2 }, { precision = "strict" } } do
      assert(run(given, half, options):close(wanted, half and 4e-3 or 1e-6), "the results are not near")
    end
  end)
  if not ok then print(arg[k] .. ": " .. tostring(why)) end
end
"""


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(8, 16, 3, padding=1)
        self.depthwise = torch.nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pointwise = torch.nn.Conv2d(16, 32, 1)
        self.up = torch.nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.linear = torch.nn.Linear(16 * 16 * 16, 64)
        self.rows = torch.nn.Embedding(64, 64)
        self.last = torch.nn.Linear(64, 64)

    def forward(self, x, i):
        y = self.up(torch.relu(self.pointwise(torch.relu(self.depthwise(torch.relu(self.conv(x)))))))
        return self.last(torch.relu(self.linear(y.flatten(1))) + self.rows(i))


def palettize(**options):
    return cto.palettize_weights, cto.OpPalettizerConfig(mode="kmeans", weight_threshold=0, **options)


def quantize(**options):
    return cto.linear_quantize_weights, cto.OpLinearQuantizerConfig(weight_threshold=0, **options)


def prune(**options):
    return cto.prune_weights, cto.OpMagnitudePrunerConfig(weight_threshold=0, **options)


def jobs():
    """(name, steps): each step is added to what the one before did."""
    sparse = prune(target_sparsity=0.7)
    for bits in (1, 2, 3, 4, 6, 8):
        yield f"palette{bits}", [palettize(nbits=bits)]
        yield f"sparse_palette{bits}", [sparse, palettize(nbits=bits)]
    for bits, axis in ((2, 0), (4, 1)):
        yield f"palettes{bits}_axis{axis}", [palettize(nbits=bits, granularity="per_grouped_channel", group_size=8, channel_axis=axis)]
    yield "sparse_palettes", [sparse, palettize(nbits=4, granularity="per_grouped_channel", group_size=8)]
    yield "palette_scales", [palettize(nbits=4, enable_per_channel_scale=True)]
    yield "vectors2", [palettize(nbits=4, cluster_dim=2)]
    yield "vectors4", [palettize(nbits=6, cluster_dim=4)]
    for dtype in ("int4", "uint4", "int8", "uint8"):
        for granularity in ("per_tensor", "per_channel", "per_block"):
            blocks = {"block_size": 4} if granularity == "per_block" else {}
            for mode in ("linear", "linear_symmetric"):
                yield f"{dtype}_{granularity}_{mode}", [quantize(mode=mode, dtype=dtype, granularity=granularity, **blocks)]
        yield f"sparse_{dtype}", [sparse, quantize(mode="linear", dtype=dtype)]
    yield "sparse", [sparse]
    yield "sparse_n_m", [prune(n_m_ratio=(3, 4))]
    scaled = quantize(mode="linear_symmetric", dtype="int8", granularity="per_tensor")
    yield "palette_of_int8", [palettize(nbits=4), scaled]
    yield "sparse_palette_of_int8", [sparse, palettize(nbits=4), scaled]


def message(package):
    model = Model_pb2.Model()
    with open(glob.glob(os.path.join(package, "Data/*/*.mlmodel"))[0], "rb") as file:
        model.ParseFromString(file.read())
    return model


def weights(package):
    return [open(path, "rb").read() for path in sorted(glob.glob(os.path.join(package, "Data/*/weights/*.bin")))]


def make(base, name, steps, to):
    model = base
    for number, (step, config) in enumerate(steps):
        joint = {"joint_compression": True} if number else {}
        model = step(model, cto.OptimizationConfig(global_config=config), **joint)
    model.save(os.path.join(to, name + ".mlpackage"))
    cto.decompress_weights(model).save(os.path.join(to, name + ".dense.mlpackage"))


def main():
    to, words = tempfile.mkdtemp(), sys.argv[1:]
    torch.manual_seed(0)
    x, i = torch.randn(2, 8, 8, 8), torch.tensor([3, 60], dtype=torch.int32)
    np.savez(os.path.join(to, "in.npz"), x=x.numpy(), i=i.numpy())
    traced = torch.jit.trace(Network().eval(), (x, i))
    names = []
    for bits, precision in ((16, ct.precision.FLOAT16), (32, ct.precision.FLOAT32)):
        base = ct.convert(traced, inputs=[ct.TensorType("x", x.shape), ct.TensorType("i", i.shape, dtype=np.int32)],
                          minimum_deployment_target=ct.target.iOS18, compute_precision=precision)  # fmt: skip
        for name, steps in jobs():
            if not words or any(word in name for word in words):
                names.append(f"{name}_{bits}")
                make(base, names[-1], steps, to)
    script = os.path.join(to, "compare.lua")
    with open(script, "w") as file:
        file.write(COMPARE)
    run = subprocess.run([os.environ.get("LUAMIL", "build/luamil"), script, to, *names], check=True, cwd=root, capture_output=True, text=True)
    bad = {line.split(":")[0] for line in run.stdout.splitlines()}
    print(run.stdout, end="")
    for name in names:
        before, after = os.path.join(to, name + ".mlpackage"), os.path.join(to, name + ".again.mlpackage")
        if os.path.exists(after) and (message(before) != message(after) or weights(before) != weights(after)):
            print(f"{name}: is saved otherwise than it was")
            bad.add(name)
    print(f"{len(names)} models, {len(bad)} of them differ")
    shutil.rmtree(to)
    sys.exit(1 if bad else 0)


main()

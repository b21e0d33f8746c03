#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What PyTorch computes for the graphs under graphs/: tests/vectors/graphs/NAME.safetensors with weights, x and y.

usage: graphs.py        from the tree's top; needs torch, torchvision, safetensors

Sizes are small and odd; weights are random, seeded. y is computed in fp64 from the same fp32 weights and x.
"""
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(11)


def save(name, weights, x, y, dtype=torch.float32):
    tensors = {k: v.to(dtype).contiguous().clone() for k, v in weights.items() if v.dim() or v.is_floating_point()}
    tensors.update(x=x.to(dtype).contiguous(), y=y.to(torch.float32).contiguous())
    save_file(tensors, f"tests/vectors/graphs/{name}.safetensors", {"oracle": f"torch {torch.__version__}"})


def rand(*shape, scale=1.0):
    return torch.randn(*shape).float().double() * scale


def heads_of(v, n):
    b, t, c = v.shape
    return v.reshape(b, t, n, c // n).transpose(1, 2)


def gpt2_block(T=7, C=24, H=3):
    w = {}
    for name in "ln_1", "ln_2":
        w[name + ".weight"], w[name + ".bias"] = 1 + rand(C, scale=0.2), rand(C, scale=0.2)
    for name, i, o in ("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C), ("mlp.c_fc", C, 4 * C), ("mlp.c_proj", 4 * C, C):
        w[name + ".weight"], w[name + ".bias"] = rand(i, o, scale=i ** -0.5), rand(o, scale=0.1)
    w = {k: v.float().double() for k, v in w.items()}
    x = rand(1, T, C)
    norm = lambda v, n: F.layer_norm(v, (C,), w[n + ".weight"], w[n + ".bias"], 1e-5)
    project = lambda v, n: v @ w[n + ".weight"] + w[n + ".bias"]
    q, k, v = (heads_of(p, H) for p in project(norm(x, "ln_1"), "attn.c_attn").split(C, -1))
    a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(1, T, C)
    y = x + project(a, "attn.c_proj")
    y = y + project(F.gelu(project(norm(y, "ln_2"), "mlp.c_fc"), approximate="tanh"), "mlp.c_proj")
    save("gpt2_block", w, x, y)


def llama_block(T=7, C=32, H=4, KV=2, hidden=44):
    D = C // H
    w = {n + ".weight": 1 + rand(C, scale=0.2) for n in ("input_layernorm", "post_attention_layernorm")}
    for n, i, o in (("self_attn.q_proj", C, C), ("self_attn.k_proj", C, KV * D), ("self_attn.v_proj", C, KV * D),
                    ("self_attn.o_proj", C, C), ("mlp.gate_proj", C, hidden), ("mlp.up_proj", C, hidden),
                    ("mlp.down_proj", hidden, C)):
        w[n + ".weight"] = rand(o, i, scale=i ** -0.5)
    w = {k: v.float().double() for k, v in w.items()}
    x = rand(1, T, C)
    norm = lambda v, n: v * torch.rsqrt(v.pow(2).mean(-1, keepdim=True) + 1e-5) * w[n + ".weight"]
    project = lambda v, n: F.linear(v, w[n + ".weight"])
    # rotary positions as complex numbers: pair (i, i + D/2) turns by t * base^(-2i/D)
    turn = torch.outer(torch.arange(T).double(), 10000.0 ** (-2 * torch.arange(D // 2).double() / D))
    def rotate(v):
        z = torch.complex(v[..., : D // 2], v[..., D // 2:]) * torch.polar(torch.ones_like(turn), turn)
        return torch.cat((z.real, z.imag), -1)
    y = norm(x, "input_layernorm")
    q = rotate(heads_of(project(y, "self_attn.q_proj"), H))
    k = rotate(heads_of(project(y, "self_attn.k_proj"), KV)).repeat_interleave(H // KV, 1)
    v = heads_of(project(y, "self_attn.v_proj"), KV).repeat_interleave(H // KV, 1)
    a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(1, T, C)
    y = x + project(a, "self_attn.o_proj")
    z = norm(y, "post_attention_layernorm")
    y = y + project(F.silu(project(z, "mlp.gate_proj")) * project(z, "mlp.up_proj"), "mlp.down_proj")
    save("llama_block", w, x, y)


def randomize(module):
    for name, p in list(module.named_parameters()) + list(module.named_buffers()):
        if not p.is_floating_point():
            continue
        if name.endswith("running_var"):
            p.data = (0.5 + torch.rand_like(p)).float().double()
        elif p.dim() > 1:
            p.data = rand(*p.shape, scale=p[0].numel() ** -0.5)
        else:
            p.data = (p.data + torch.randn_like(p) * 0.2).float().double()
    return module.double().eval()


def vision_block(name, module, x):
    module = randomize(module)
    with torch.no_grad():
        save(name, {k: v for k, v in module.state_dict().items() if v.is_floating_point()}, x, module(x))


def swiglu(C=24, hidden=40, S=19):
    half = lambda *s, scale=1.0: (torch.randn(*s) * scale).half().double()
    w = dict(gate=half(hidden, C, 1, 1, scale=C ** -0.5), up=half(hidden, C, 1, 1, scale=C ** -0.5),
             down=half(C, hidden, 1, 1, scale=hidden ** -0.5))
    x = half(1, C, 1, S)
    y = F.conv2d(F.silu(F.conv2d(x, w["gate"])) * F.conv2d(x, w["up"]), w["down"]) + x
    save("swiglu", w, x, y, torch.float16)


def packed_matmul(IC=32, SEQ=16, OC=24):
    x = torch.randn(1, IC, 1, SEQ + OC).half().double()
    y = (x[0, :, 0, :SEQ].T @ x[0, :, 0, SEQ:]).T.reshape(1, OC, 1, SEQ)
    save("packed_matmul", {}, x, y, torch.float16)


def attention_head(D=16, S=24):
    x = torch.randn(1, 3 * D, 1, S).half().double()
    q, k, v = (p[0, :, 0].T for p in x.split(D, 1))
    y = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0].T.reshape(1, D, 1, S)
    save("attention_head", {}, x, y, torch.float16)


def main():
    from torchvision.models.mobilenetv2 import InvertedResidual
    from torchvision.models.resnet import BasicBlock, conv1x1

    gpt2_block()
    llama_block()
    vision_block("resnet_block", BasicBlock(8, 8), rand(2, 8, 9, 11))
    down = torch.nn.Sequential(conv1x1(8, 12, 2), torch.nn.BatchNorm2d(12))
    vision_block("resnet_block_down", BasicBlock(8, 12, 2, down), rand(1, 8, 10, 10))
    vision_block("mobilenet_block", InvertedResidual(8, 8, 1, 3), rand(1, 8, 7, 9))
    vision_block("mobilenet_block_down", InvertedResidual(6, 10, 2, 4), rand(1, 6, 9, 8))
    swiglu()
    packed_matmul()
    attention_head()


main()

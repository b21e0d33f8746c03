# SPDX-License-Identifier: MIT
"""References of recurrent layers, in NumPy. Where PyTorch has the layer, it computes it beside that, and must give the same:

    lstm  torch.nn.LSTM: sigmoid and tanh, no peepholes, no clip
    gru   torch.nn.GRU: sigmoid and tanh, and the reset gate multiplies R h + bias (reset_after): n = tanh(W x + b + r * (R h + b'))
    rnn   torch.nn.RNN: tanh or relu

What goes backward is held against the backward half of a bidirectional layer there, whose steps come in the order of x. A gru
whose reset gate multiplies h, as it does in MIL unless reset_after is set, PyTorch does not have."""

import sys

import numpy as np
import torch

from values import Sum, reference

ACTIVATIONS = {
    "linear": lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "tanh": np.tanh,
    "scaled_tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "hard_sigmoid": lambda v: np.clip(0.2 * v + 0.5, 0, 1),
}


def activation(given, name, default):
    return ACTIVATIONS[given.get(name, default).lower()]


def run(given, cell, reverse, state):
    """h of each step, in the order in which they are taken, and the state after the last. Apple's tests of the op flip x
    where direction is reverse, and don't flip the results."""
    outputs = []
    for x in given.x[::-1] if reverse else given.x:
        state = cell(x, *state)
        outputs.append(state[0])
    return np.stack(outputs), state


def summed(given, results, width):
    """An error of each step's sums goes through the steps after it. All values drawn for such calls are below 1."""
    terms = (width + 4) * (len(given.x) + 1)
    return [Sum(each, terms, 2 + np.abs(each)) for each in results]


# Which of our gates each of PyTorch's is: rows i, f, o, z of lstm; r, o, z of gru
GATES = {"LSTM": [0, 1, 3, 2], "GRU": [0, 2, 1], "RNN": [0]}


def by_torch(kind, x, halves, states, **more):
    """A layer of torch.nn: for each half (forward, then backward) what it gives for the steps of x, and its states at the end.
    A half is weight_ih, weight_hh, bias_ih, bias_hh, where None is zeros; each state is given for both."""
    order, n = GATES[kind], halves[0][1].shape[1]
    net = getattr(torch.nn, kind)(x.shape[2], n, bidirectional=len(halves) == 2, dtype=torch.float64, **more)
    with torch.no_grad():
        for half, suffix in zip(halves, ("", "_reverse")):
            for name, ours in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), half):
                theirs = getattr(net, f"{name}_l0{suffix}")
                rows = np.zeros(len(order) * n) if ours is None else ours
                theirs.copy_(torch.from_numpy(rows.reshape(len(order), n, -1)[order].reshape(theirs.shape)))
        start = [torch.from_numpy(np.stack(np.split(state, len(halves), axis=1))) for state in states]
        y, end = net(torch.from_numpy(x.copy()), tuple(start) if kind == "LSTM" else start[0])
    end = end if kind == "LSTM" else (end,)
    return [(y[..., k * n : (k + 1) * n].numpy(), [state[k].numpy() for state in end]) for k in range(len(halves))]


def must_agree(ours, theirs):
    """Where they do not, no vectors are made."""
    for a, b in zip(ours, theirs, strict=True):
        if not np.allclose(a, b, rtol=1e-9, atol=1e-12):
            sys.exit(f"PyTorch computes something else: {b} and not {a}")


def single(given, cell, kind=None, biases=(), **more):
    """kind: PyTorch's layer that is the same, where it has one."""
    back = given.direction == "reverse"
    y, (h,) = run(given, cell, back, (given.initial_h,))
    if kind:
        half = (given.weight_ih, given.weight_hh, *biases)
        their_y, (their_h,) = by_torch(kind, given.x, [half] * (1 + back), [np.tile(given.initial_h, 1 + back)], **more)[-1]
        must_agree((y[::-1] if back else y, h), (their_y, their_h))
    return summed(given, [y if given.output_sequence else h[None], h], given.x.shape[2] + h.shape[1])


def is_usual(given):
    """Are all activations PyTorch's, and is nothing there that it has not?"""
    usual = {"recurrent_activation": "sigmoid", "cell_activation": "tanh", "activation": "tanh"}
    extras = ("peephole", "peephole_back", "clip")
    return all(given.get(name, its).lower() == its for name, its in usual.items()) and all(given.get(name, None) is None for name in extras)


def plus(bias):
    return 0 if bias is None else bias


@reference("rnn")
def rnn(given):
    act, name = activation(given, "activation", "tanh"), given.get("activation", "tanh").lower()
    twin = {"kind": "RNN", "biases": (given.bias, None), "nonlinearity": name} if name in ("tanh", "relu") else {}
    return single(given, lambda x, h: (act(x @ given.weight_ih.T + h @ given.weight_hh.T + plus(given.bias)),), **twin)


@reference("gru")
def gru(given):
    act, gate = activation(given, "activation", "tanh"), activation(given, "recurrent_activation", "sigmoid")
    n = given.initial_h.shape[1]
    w, r = given.weight_ih.reshape(3, n, -1), given.weight_hh.reshape(3, n, n)
    b, into = (np.zeros((3, n)) if bias is None else bias.reshape(3, n) for bias in (given.bias, given.input_bias))

    def cell(x, h):
        reset = gate(x @ w[0].T + into[0] + h @ r[0].T + b[0])
        update = gate(x @ w[2].T + into[2] + h @ r[2].T + b[2])
        seen = reset * (h @ r[1].T + b[1]) if given.reset_after else (reset * h) @ r[1].T + b[1]
        new = act(x @ w[1].T + into[1] + seen)
        return ((1 - update) * new + update * h,)

    has_twin = given.reset_after and is_usual(given)
    return single(given, cell, **({"kind": "GRU", "biases": (given.input_bias, given.bias)} if has_twin else {}))


def lstm_cell(given, back):
    act, gate = activation(given, "activation", "tanh"), activation(given, "recurrent_activation", "sigmoid")
    cell_act = activation(given, "cell_activation", "tanh")
    name = lambda base: given.get(base + back, None)
    w, r, n = name("weight_ih"), name("weight_hh"), name("weight_hh").shape[1]
    p = np.zeros((3, n)) if name("peephole") is None else name("peephole").reshape(3, n)
    bound = np.inf if given.clip is None else float(given.clip)

    def cell(x, h, c):
        i, f, o, z = np.split(x @ w.T + h @ r.T + plus(name("bias")), 4, axis=1)
        i, f = gate(i + p[0] * c), gate(f + p[1] * c)
        c = np.clip(f * c + i * cell_act(z), -bound, bound)
        return gate(o + p[2] * c) * act(c), c

    return cell


@reference("lstm")
def lstm(given):
    both, back, n = given.direction == "bidirectional", given.direction == "reverse", given.weight_hh.shape[1]
    parts, halves = [], []
    for number in range(2 if both else 1):
        start = tuple(state[:, number * n : (number + 1) * n] for state in (given.initial_h, given.initial_c))
        suffix = "_back" if number else ""
        y, state = run(given, lstm_cell(given, suffix), number == 1 or back, start)
        parts.append((y[::-1] if number or back else y, state))
        halves.append([given.get(name + suffix, None) for name in ("weight_ih", "weight_hh", "bias")] + [None])
    if is_usual(given):
        states = [np.tile(state, 1 + back) for state in (given.initial_h, given.initial_c)]
        theirs = by_torch("LSTM", given.x, halves * (1 + back), states)
        for (y, state), (their_y, their_state) in zip(parts, theirs[-len(parts) :], strict=True):
            must_agree((y, *state), (their_y, *their_state))
    y = np.concatenate([part[0] for part in parts], axis=2)[:: -1 if back else 1]
    h, c = (np.concatenate([part[1][which] for part in parts], axis=1) for which in (0, 1))
    return summed(given, [y if given.output_sequence else h[None], h, c], given.x.shape[2] + n)

# SPDX-License-Identifier: MIT
"""References of recurrent layers, in NumPy. An lstm of the usual kind is computed by PyTorch beside it, and must be the same."""

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


def single(given, cell):
    y, (h,) = run(given, cell, given.direction == "reverse", (given.initial_h,))
    return summed(given, [y if given.output_sequence else h[None], h], given.x.shape[2] + h.shape[1])


def plus(bias):
    return 0 if bias is None else bias


@reference("rnn")
def rnn(given):
    act = activation(given, "activation", "tanh")
    return single(given, lambda x, h: (act(x @ given.weight_ih.T + h @ given.weight_hh.T + plus(given.bias)),))


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

    return single(given, cell)


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


def by_torch(given, both):
    """[y, h, c] by PyTorch, whose gates are i, f, z, o."""
    n = given.weight_hh.shape[1]
    order = lambda rows: np.concatenate([rows[: 2 * n], rows[3 * n :], rows[2 * n : 3 * n]])
    net = torch.nn.LSTM(given.x.shape[2], n, bidirectional=both, dtype=torch.float64)
    halves = lambda v: torch.from_numpy(np.stack(np.split(v, 2 if both else 1, axis=1)))
    with torch.no_grad():
        for ours, theirs in (("", ""), ("_back", "_reverse"))[: 2 if both else 1]:
            bias = given.get("bias" + ours, None)
            getattr(net, "weight_ih_l0" + theirs).copy_(torch.from_numpy(order(given.get("weight_ih" + ours, None))))
            getattr(net, "weight_hh_l0" + theirs).copy_(torch.from_numpy(order(given.get("weight_hh" + ours, None))))
            getattr(net, "bias_ih_l0" + theirs).copy_(torch.from_numpy(order(np.zeros(4 * n) if bias is None else bias)))
            getattr(net, "bias_hh_l0" + theirs).zero_()
        y, (h, c) = net(torch.from_numpy(given.x), (halves(given.initial_h), halves(given.initial_c)))
    join = lambda v: np.concatenate(list(v.numpy()), axis=1)
    return [y.numpy(), join(h), join(c)]


def is_usual(given):
    names = ("peephole", "peephole_back", "clip", "recurrent_activation", "cell_activation", "activation")
    return given.direction != "reverse" and all(given.get(name, None) is None for name in names)


@reference("lstm")
def lstm(given):
    both, n = given.direction == "bidirectional", given.weight_hh.shape[1]
    parts = []
    for number in range(2 if both else 1):
        start = tuple(state[:, number * n : (number + 1) * n] for state in (given.initial_h, given.initial_c))
        y, state = run(given, lstm_cell(given, "_back" if number else ""), number == 1 or given.direction == "reverse", start)
        parts.append((y[::-1] if number else y, state))
    y = np.concatenate([part[0] for part in parts], axis=2)
    h, c = (np.concatenate([part[1][which] for part in parts], axis=1) for which in (0, 1))
    if is_usual(given):
        for ours, theirs in zip((y, h, c), by_torch(given, both)):
            assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    return summed(given, [y if given.output_sequence else h[None], h, c], given.x.shape[2] + n)

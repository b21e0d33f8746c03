# SPDX-License-Identifier: MIT
"""Several ops in a row that the engine may compute as one: chains of elementwise ops, what follows a product or a convolution,
forms written out (gelu, norms, attention), and what moves elements and can be left out."""

import numpy as np

from calls import call, const, flag, inner, integer, ints, text

STEPS = 24


class Graphs:
    """Expressions of one dtype; =a and =b are tensors known at run time."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.rng = np.random.default_rng(7)

    def given(self, *shape, low=-1.0, high=1.0):
        """A const with its elements written out."""
        values = np.round(self.rng.uniform(low, high, shape) * 64) / 64
        return const(self.dtype, values.tolist() if shape else float(values))

    def number(self, value):
        return const(self.dtype, float(np.float16(value)))

    def do(self, op, x, y=None, **more):
        return inner(op, x=x, **({} if y is None else {"y": y}), **more)

    def chain(self, x, *ops):
        for op in ops:
            x = self.do(op, x)
        return x

    def after(self, value, c):
        """What may follow a product of c columns."""
        do, number = self.do, self.number
        yield value
        for op in ("relu", "relu6", "sigmoid", "tanh", "silu", "gelu"):
            yield do(op, value)
        yield do("leaky_relu", value, alpha=number(0.25))
        yield do("clip", value, alpha=number(-0.5), beta=number(0.5))
        yield do("relu", do("add", value, self.given(*c)))
        yield do("add", self.given(*c), value)
        yield do("mul", do("sub", value, self.given(*c)), number(0.5))
        yield do("mul", value, do("sigmoid", value))
        yield do("add", do("mul", value, number(2)), "=b")
        yield do("relu", do("add", "=b", value))
        yield do("sub", value, do("tanh", "=b"))

    def chains(self):
        do, number, x, y = self.do, self.number, "=a", "=b"
        yield do("relu", do("add", do("mul", x, self.given(3, 1)), self.given(3, 1)))
        yield do("sub", number(1), do("mul", x, x))
        yield do("mul", do("add", x, y), do("sub", x, y))
        yield do("add", do("real_div", x, number(4)), do("maximum", x, y))
        yield inner("select", cond=do("greater", x, number(0)), a=x, b=do("mul", x, number(0.25)))
        yield inner("select", cond=do("logical_and", do("less", x, y), do("greater", x, number(-1))), a=do("exp", x), b=do("abs", y))
        yield self.chain(x, "abs", "sqrt", "exp", "tanh", "square")
        yield do("minimum", do("maximum", do("mul", x, number(3)), number(-1)), number(1))
        yield do("pow", do("abs", x), number(2))
        yield do("add", do("add", do("add", do("add", x, y), x), y), do("mul", x, y))
        yield do("mul", do("cast", do("cast", x, dtype=text("fp32")), dtype=text(self.dtype)), y)
        yield do("real_div", x, do("add", number(1), do("exp", do("sub", number(0), x))))
        yield do("add", do("mul", x, number(1)), number(0))
        yield do("sub", do("identity", x), number(0))
        yield do("cast", do("floor", do("mul", x, number(4))), dtype=text("int32"))

    def written_out(self):
        do, number, x = self.do, self.number, "=a"
        half = do("mul", x, number(0.5))
        yield do("mul", half, do("add", do("erf", do("mul", x, number(0.70710678))), number(1)))
        cube = do("mul", do("mul", x, x), x)
        inside = do("mul", do("add", x, do("mul", cube, number(0.044715))), number(0.79788456))
        yield do("mul", half, do("add", do("tanh", inside), number(1)))
        axes = {"axes": ints(-1), "keep_dims": flag(True)}
        centred = do("sub", x, do("reduce_mean", x, **axes))
        variance = do("reduce_mean", do("square", centred), **axes)
        normal = do("mul", centred, do("rsqrt", do("add", variance, number(0.125))))
        yield normal
        yield do("add", do("mul", normal, self.given(17)), self.given(17))
        mean_square = do("reduce_mean", do("mul", x, x), **axes)
        yield do("mul", do("mul", x, do("rsqrt", mean_square, epsilon=number(0.125))), self.given(17))
        yield do("real_div", x, do("sqrt", do("add", mean_square, number(0.125))))
        top = do("exp", do("sub", x, do("reduce_max", x, **axes)))
        yield do("real_div", top, do("reduce_sum", top, **axes))

    def attention(self):
        do, number = self.do, self.number
        scores = do("matmul", "=a", "=b", transpose_y=flag(True))
        yield do("softmax", do("mul", scores, number(0.25)), axis=integer(-1))
        yield do("matmul", do("softmax", do("mul", scores, number(0.25)), axis=integer(-1)), "=b")
        yield do("matmul", do("softmax", do("add", do("mul", scores, number(0.25)), self.given(5, 5)), axis=integer(-1)), "=b")
        key = do("transpose", "=b", perm=ints(0, 2, 1))
        yield do("matmul", do("softmax", do("real_div", do("matmul", "=a", key), number(4))), "=b")

    def moves(self):
        do, x = self.do, "=a"
        yield do("transpose", do("transpose", x, perm=ints(1, 0, 2)), perm=ints(2, 0, 1))
        yield do("reshape", do("transpose", x, perm=ints(2, 1, 0)), shape=ints(-1, 2))
        yield do("squeeze", do("expand_dims", x, axes=ints(1)), axes=ints(1))
        yield do("relu", do("reshape", do("relu", x), shape=ints(3, -1)))
        yield do("add", do("slice_by_index", x, begin=ints(0, 0, 0), end=ints(1, 3, 4)), do("slice_by_index", x, begin=ints(1, 0, 0), end=ints(2, 3, 4)))
        yield do("relu", inner("concat", values_=[x, do("relu", x), "=b"], axis=integer(1)))
        yield do("reduce_sum", do("transpose", do("mul", x, x), perm=ints(2, 0, 1)), axes=ints(1))
        yield do("tanh", do("pad", x, pad=ints(1, 1)))
        yield do("add", do("tile", do("reduce_max", x, axes=ints(1), keep_dims=flag(True)), reps=ints(1, 3, 1)), "=b")

    def products(self):
        do = self.do
        linear = {"weight": self.given(9, 17), "bias": self.given(9)}
        for value in (do("linear", "=a", **linear), do("linear", "=a", weight=linear["weight"]), do("matmul", "=a", self.given(17, 9)),
                      do("matmul", "=a", self.given(9, 17), transpose_y=flag(True))):  # fmt: skip
            yield from self.after(value, (9,))

    def convolutions(self):
        do, same = self.do, {"pad_type": text("same")}
        plain = do("conv", "=a", weight=self.given(5, 4, 3, 3), bias=self.given(5), **same)
        apart = do("conv", "=a", weight=self.given(5, 4, 1, 1))
        grouped = do("conv", "=a", weight=self.given(5, 4, 1, 2), pad_type=text("custom"), pad=ints(0, 0, 0, 1))
        for value in (plain, apart, grouped):
            yield from self.after(value, (5, 1, 1))
        norm = {"mean": self.given(5), "variance": self.given(5, low=0.5, high=2), "gamma": self.given(5), "beta": self.given(5)}
        for value in (plain, apart):
            yield do("batch_norm", value, **norm)
            yield do("relu", do("batch_norm", value, **norm))
            yield do("add", do("batch_norm", value, **norm), "=b")
            yield do("clip", do("batch_norm", value, **norm), alpha=self.number(0), beta=self.number(1))


def calls():
    for dtype in ("fp32", "fp16"):
        g = Graphs(dtype)
        for x, y, graphs in (("[2,3,4]", "[2,3,4]", g.chains), ("[3,17]", "[3,17]", g.chains), ("[2,3,4]", "[2,3,4]", g.moves), ("[5,17]", None, g.written_out),
                             ("[2,3,17]", None, g.written_out), ("[2,5,16]", "[2,5,16]", g.attention), ("[3,17]", "[3,9]", g.products), ("[2,3,17]", "[9]", g.products),
                             ("[1,4,4,5]", "[1,5,4,5]", g.convolutions)):  # fmt: skip
            for graph in graphs():
                inputs = {"a": dtype + x, **({"b": dtype + y} if y and "'=b'" in str(graph) else {})}
                yield call("identity", x=graph, inputs=inputs, steps=STEPS)

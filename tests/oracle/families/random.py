# SPDX-License-Identifier: MIT
"""random: what the ops infer. (Their numbers are nobody else's: tests/spec/random_spec.lua looks at how they are distributed.)"""

from calls import call, const, drawn, flag, integer, ints, text

from families.common import DTYPES

PARAMETERS = {"random_bernoulli": ("prob",), "random_normal": ("mean", "stddev"), "random_uniform": ("low", "high")}


def of_shape():
    for op, names in PARAMETERS.items():

        def one(shape, op=op, **more):
            return call(op, shape=shape, values=False, **more)

        for shape in ((2, 3), (5,), (1, 2, 1, 3, 2), (0, 3), (-1, 3), (1, 1, 1, 1, 1, 1, 2)):
            yield one(ints(*shape))
        for shape in ("int32[3]", "int32[a]", "int32", "int32[2,2]", integer(3), const("int32", [[1, 2]])):
            yield one(shape)
        for dtype in ("fp16", "int32"):
            values = {name: const(dtype, number) for number, name in enumerate(names)}
            yield one(ints(2, 3), **values)
            yield one(ints(2, 3), seed=const(dtype, 1))
            yield one(const(dtype, [1, 1]))
            for name in names:
                yield one(ints(2, 3), **{name: const(dtype, 0.25)})
                yield one("int32[2]", **{name: const(dtype, 1)})
        if len(names) == 2:
            yield one(ints(2, 3), **{names[0]: const("fp16", 0.5), names[1]: const("fp32", 0.75)})
            yield one(ints(2, 3), **{names[0]: const("fp32", 3.0), names[1]: const("fp32", 2.0)})
        yield one(ints(2, 3), **{names[0]: "fp32"})
        yield one(ints(2, 3), seed=integer(-1))
        yield one(ints(2, 3), seed=integer(5), **{names[0]: const("fp32", 0.5)})
        yield one(ints(2, 3), mode=text("logits"))
        yield call(op)
    yield call("random_bernoulli", shape=ints(2, 3), prob=const("fp32", 1.5), values=False)


def categorical():
    def one(x, **more):
        return call("random_categorical", x=x, values=False, **more)

    for x in ("[5]", "[2,3]", "[2,1,4]", "[a,3]", "[2,a]", "[1,2,1,3,4]"):
        for size in (None, 4):
            yield one("fp32" + x, size=size if size is None else integer(size))
    yield one("fp16[5]", size=integer(0), mode=text("probs"))
    for dtype in DTYPES:
        yield one(dtype + "[2,3]")
        yield one("fp32[2,3]", size=const(dtype, 2))
        yield one("fp32[2,3]", seed=const(dtype, 2))
    yield one("fp32[2,3]", mode=text("logit"))
    yield one("fp32[2,3]", mode=flag(True))
    yield one("fp32[2,3]", size=ints(2))
    yield one("fp32[2,3]", size="int32")
    yield one(drawn("fp32[2,3]"), seed=integer(3))
    yield one("fp32")
    yield call("random_categorical", size=integer(2))


def calls():
    yield from of_shape()
    yield from categorical()

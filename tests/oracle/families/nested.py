# SPDX-License-Identifier: MIT
"""control_flow, continued: cond, while_loop, lists; states; classify."""

from calls import call, const, flag, inner, integer, ints, text

TYPES = ["fp32[2]", "fp32[3]", "fp32[a]", "fp32[b]", "fp32", "fp32[2,1]", "fp16[2]"]
ONE = integer(1)


def conds():
    for one in TYPES:
        for two in TYPES:
            yield call("cond", inputs={"x": one, "y": two}, pred="bool", blocks=[["=x"], ["=y"]])
    for pred in ("bool", "bool[1]", "bool[2]", "bool[a]", "int32", "fp32", flag(True), flag(False)):
        yield call("cond", inputs={"x": "fp32[2]"}, pred=pred, blocks=[[inner("relu", x="=x")], ["=x"]])
    for one, two in ((["=x", "=y"], ["=y", "=x"]), (["=x", "=y"], ["=x", "=z"]), (["=x", "=x"], ["=y", "=z"]), (["=x"], ["=y", "=y"]), (["=x", "=y"], ["=x"])):
        yield call("cond", inputs={"x": "fp32[2]", "y": "fp32[2]", "z": "int32[2]"}, pred="bool", blocks=[one, two])
    for shape in ([2], [3]):
        lists = [make("fp32", [integer(n) for n in sizes]) for sizes in ([2], shape)]
        yield call("cond", inputs={"x": "fp32[2]"}, pred="bool", blocks=[[lists[0]], [lists[1]]])


def loops():
    less = inner("less", x="=0", y="=n")
    count = inner("add", x="=0", y=ONE)
    for one in TYPES:
        for two in TYPES:
            yield call("while_loop", inputs={"i": "int32", "n": "int32", "x": one, "y": two}, loop_vars=["=i", "=x"], blocks=[[less], [count, "=y"]])
    both = {"i": "int32", "n": "int32", "x": "fp32[1,4]", "y": "fp32[1,4]", "z": "fp32[2,4]"}

    def loop(body, decide=less, loop_vars=("=i", "=x"), **more):
        return call("while_loop", inputs={**both, **more}, loop_vars=list(loop_vars), blocks=[[decide] if isinstance(decide, dict) else decide, body])

    grown = inner("concat", values_=["=1", "=y"], axis=integer(0), interleave=flag(False))
    yield loop([count, grown])
    yield loop([count, inner("add", x="=1", y="=z")])
    yield loop([count, inner("reshape", x="=1", shape=ints(4, 1))])
    yield loop([count, inner("reshape", x="=1", shape=ints(4))])
    yield loop([count, inner("cast", x="=1", dtype=text("fp16"))])
    yield loop([count, inner("cast", x="=1", dtype=text("int32"))])
    yield loop([count, "=1"])
    yield loop([count, "=1", "=1"])
    yield loop([count])
    yield loop([inner("cast", x="=0", dtype=text("fp32")), "=1"])
    yield loop([inner("cast", x="=0", dtype=text("bool")), "=1"])
    yield loop([count, "=x"], decide=["=0"])
    yield loop([count, "=x"], decide=["=go"], go="bool")
    yield loop([count, "=x"], decide=["=go"], go="bool[1]")
    yield loop([count, "=x"], decide=["=go"], go="bool[2]")
    yield loop([count, "=x"], decide=["=go"], go="fp32")
    yield loop([count, "=2", "=1"], loop_vars=("=i", "=x", "=y"))
    yield loop([count, "=2", "=1"], loop_vars=("=i", "=x", "=z"))
    yield loop([count, "=2", "=1"], loop_vars=("=i", "=x", "=h"), h="fp16[1,4]")
    written = inner("list_write", ls="=1", index="=0", value="=x")
    for shape in ([1, 4], [4], [2, 4]):
        yield loop([count, "=1"], loop_vars=("=i", make("fp32", [integer(n) for n in shape])))
    yield loop([count, written], loop_vars=("=i", make("fp32", [integer(1), integer(4)])))
    yield loop([count, written, inner("list_read", ls="=1", index="=0")], loop_vars=("=i", make("fp32", [integer(1), integer(4)]), "=y"))


def make(dtype, sizes, **more):
    return inner("make_list", elem_shape=sizes, dtype=text(dtype), **more)


def lists():
    two = [integer(2), integer(3)]
    for dtype in ("bool", "fp16", "fp32", "int32", "int8", "int16", "uint8", "int64", "fp64", "string", "float"):
        yield call("make_list", inputs={"unused": "fp32"}, elem_shape=two, dtype=text(dtype))
    for sizes in ([], [integer(0)], [integer(4)], [text("k"), integer(2)], [integer(n) for n in (1, 2, 3, 4)], [integer(n) for n in (1, 2, 1, 2, 1)]):
        yield call("make_list", inputs={"unused": "fp32"}, elem_shape=sizes, dtype=text("fp32"))
    yield call("make_list", inputs={"unused": "fp32"}, elem_shape=two)
    yield call("make_list", inputs={"unused": "fp32"}, dtype=text("fp32"))
    for length in (integer(0), integer(3), "int32", "fp32", const("fp32", 2.0)):
        for dynamic in (flag(True), flag(False), None):
            yield call("make_list", inputs={"unused": "fp32"}, elem_shape=two, init_length=length, dynamic_length=dynamic)
    ls = make("fp32", two)
    open_ = make("fp32", [text("k"), integer(3)])
    yield call("list_length", inputs={"unused": "fp32"}, ls=ls)
    yield call("list_length", inputs={"unused": "fp32"}, ls=make("fp32", two, init_length=integer(4), dynamic_length=flag(False)))
    yield call("list_length", ls="fp32[2,3]")
    for index in ("int32", "int32[1]", "fp32", "int16", ONE, integer(-1)):
        yield call("list_read", inputs={"unused": "fp32"}, ls=ls, index=index)
        yield call("list_write", inputs={"x": "fp32[2,3]"}, ls=ls, index=index, value="=x")
    yield call("list_read", inputs={"unused": "fp32"}, ls=open_, index="int32")
    yield call("list_read", inputs={"unused": "fp32"}, ls=ls)
    yield call("list_read", ls="fp32[2,3]", index="int32")
    for value in ("fp32[2,3]", "fp32[3,3]", "fp32[2]", "fp32[2,3,1]", "fp32[a,3]", "fp16[2,3]", "int32[2,3]", "bool[2,3]"):
        yield call("list_write", inputs={"unused": "fp32"}, ls=ls, index="int32", value=value)
        yield call("list_write", inputs={"unused": "fp32"}, ls=open_, index="int32", value=value)
    for indices in ("int32[4]", "int32[n]", "int32", "int32[2,2]", "fp32[4]", ints(0, 1, 0)):
        yield call("list_gather", inputs={"unused": "fp32"}, ls=ls, indices=indices)
    for value in ("fp32[4,2,3]", "fp32[3,2,3]", "fp32[n,2,3]", "fp32[4,2,2]", "fp32[4,2]", "fp16[4,2,3]"):
        yield call("list_scatter", inputs={"unused": "fp32"}, ls=ls, indices="int32[4]", value=value)
        yield call("list_scatter", inputs={"unused": "fp32"}, ls=ls, indices="int32[n]", value=value)
    yield call("list_gather", inputs={"unused": "fp32"}, ls=open_, indices="int32[4]")


def states():
    for dtype in ("fp16", "int32", "bool"):
        state = f"state<{dtype}[2,3]>"
        yield call("read_state", input=state)
        for value in (f"{dtype}[2,3]", f"{dtype}[3,2]", f"{dtype}[6]", f"{dtype}[1,2,3]", "fp16[2,3]", "fp32[2,3]", "int32[2,3]"):
            yield call("coreml_update_state", inputs={"s": state}, state="=s", value=value)
    yield call("read_state", input="fp16[2,3]")
    yield call("coreml_update_state", inputs={"s": "fp16[2,3]"}, state="=s", value="fp16[2,3]")
    yield call("coreml_update_state", inputs={"s": "state<fp16[2]>"}, state="=s", value="=s")
    yield call("read_state", inputs={"s": "state<fp16[2]>"}, input="=s")
    for op in ("relu", "identity", "shape"):
        yield call(op, x="state<fp16[2]>")
    yield call("add", x="state<fp16[2]>", y="fp16[2]")
    yield call("cond", inputs={"s": "state<fp16[2]>", "x": "fp16[2]"}, pred="bool", blocks=[[inner("read_state", input="=s")], ["=x"]])


def classifiers():
    words = {"l": ["cat", "dog", "cow"]}
    for probabilities in ("fp32[3]", "fp32[1,3]", "fp32[3,1,1]", "fp32[4]", "fp32[2,3]", "fp32[a]", "fp32", "fp16[3]", "int32[3]", "bool[3]"):
        yield call("classify", probabilities=probabilities, classes=words)
    yield call("classify", probabilities="fp32[1]", classes={"l": ["one"]})
    yield call("classify", probabilities="fp32[3]", classes="fp32[3]")
    yield call("classify", probabilities="fp32[3]", classes=make("fp32", [integer(2)]))
    yield call("classify", probabilities="fp32[3]")
    yield call("classify", classes=words)


def unranked():
    """What has a rank that the run decides."""
    filled = inner("fill", shape="=s", value=const("fp32", 1.5))
    whole = inner("fill", shape="=s", value=integer(2))
    sizes = {"s": "int32[n]"}
    for dtype in ("fp32", "fp16", "int32", "bool"):
        yield call("fill", shape="int32[n]", value=const(dtype, 1))
        yield call("reshape", x=f"{dtype}[2,3]", shape="int32[n]")
        yield call("reshape", x=f"{dtype}[a,3]", shape="int32[n]")
    for op in ("random_normal", "random_uniform", "random_bernoulli"):
        yield call(op, shape="int32[n]")
    for op in ("relu", "sigmoid", "gelu", "exp", "abs", "floor", "identity", "shape", "non_zero", "logical_not"):
        yield call(op, inputs=sizes, x=filled)
    for dtype in ("fp16", "int32", "bool"):
        yield call("cast", inputs=sizes, x=filled, dtype=text(dtype))
    for op in ("add", "mul", "less", "equal", "logical_and"):
        yield call(op, inputs=sizes, x=filled, y=const("fp32", 2.0))
        yield call(op, inputs=sizes, x=filled, y=whole)
    for shape in (ints(2, 3), ints(-1), ints(-1, 2), ints(), ints(-1, -1)):
        yield call("reshape", inputs=sizes, x=filled, shape=shape)
    yield call("fill_like", inputs=sizes, ref_tensor=filled, value=integer(1))
    yield call("cond", inputs=sizes, pred="bool", blocks=[[filled], [filled]])
    yield call("cond", inputs=sizes, pred="bool", blocks=[[filled], [whole]])


def calls():
    for part in (conds, loops, lists, states, classifiers, unranked):
        yield from part()

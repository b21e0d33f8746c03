# SPDX-License-Identifier: MIT
"""What coremltools' builder says of a call: its result types, or that it refuses it."""

import logging
import os
import re
import warnings

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np  # noqa: E402

import coremltools as ct  # noqa: E402
from coremltools.converters.mil.mil import Builder as mb  # noqa: E402
from coremltools.converters.mil.mil import Function, get_new_symbol, mil_list, types  # noqa: E402
from coremltools.converters.mil.mil.types.symbolic import is_symbolic, is_variadic  # noqa: E402

import draw  # noqa: E402
from calls import NUMPY, PACKED, is_of_others, split_type  # noqa: E402

OPSETS = {15: ct.target.iOS15, 16: ct.target.iOS16, 17: ct.target.iOS17, 18: ct.target.iOS18}
REFUSALS = (ValueError, TypeError, AssertionError, NotImplementedError)


class Unasked(Exception):
    """The arguments of a call can't be made, so the op was never reached."""


class Asking:
    """One call in the making: its symbols and placeholders."""

    def __init__(self, call, opset):
        self.call, self.opset = call, opset
        self.symbols, self.placeholders = {}, {}
        self.drawn = draw.consts(call)

    def dim(self, text):
        if text.isdigit():
            return int(text)
        if text not in self.symbols:
            self.symbols[text] = get_new_symbol()
        return self.symbols[text]

    def collect(self, name, given):
        if isinstance(given, list):
            for number, each in enumerate(given):
                self.collect(f"{name}.{number}", each)
        elif isinstance(given, str) and given.startswith("state<"):
            dtype, dims = split_type(given[6:-1])
            self.placeholders[name] = mb.state_tensor_placeholder(tuple(map(int, dims)), getattr(types, dtype))
        elif isinstance(given, str) and not is_of_others(given):
            dtype, dims = split_type(given)
            shape = tuple(self.dim(part) for part in dims)
            self.placeholders[name] = mb.placeholder(shape, getattr(types, dtype), allow_rank0_input=True)

    def argument(self, name, given, inputs):
        if isinstance(given, list):
            return tuple(self.argument(f"{name}.{number}", each, inputs) for number, each in enumerate(given))
        if isinstance(given, str):
            return inputs[given.lstrip("=") if is_of_others(given) else name]
        if "op" in given:
            return getattr(mb, given["op"])(**{n: self.argument(f"{name}.{n}", g, inputs) for n, g in given["in"].items()})
        if "s" in given:
            return mb.const(val=given["s"])
        if "l" in given:
            return mb.const(val=mil_list(given["l"]))
        dtype, dims = split_type(given["c"])
        shape = tuple(int(part) for part in dims)
        if "v" in given:
            value = np.array(given["v"], dtype=NUMPY[dtype]).reshape(shape)
        else:
            value = self.drawn[name]
        if dtype in PACKED:
            value = value.astype(getattr(types, f"np_{dtype}_dtype"))
        return mb.const(val=value if shape else value[()])

    def blocks(self, inputs):
        """The nested blocks, as the functions that make them."""

        def block(gives):
            def make(*variables):
                seen = {**inputs, **{str(number): variable for number, variable in enumerate(variables)}}
                results = tuple(self.argument("block", given, seen) for given in gives)
                return results[0] if len(results) == 1 else results

            return make

        names = {"cond": ("_true_fn", "_false_fn"), "while_loop": ("_cond", "_body")}.get(self.call.op, ())
        return {name: block(gives) for name, gives in zip(names, self.call.blocks)}

    def results(self):
        for name, given in {**self.call.inputs, **self.call.args}.items():
            self.collect(name, given)
        if not self.placeholders:  # a function needs an input
            self.placeholders["unused"] = mb.placeholder(shape=(1,), dtype=types.fp32)
        with Function(self.placeholders, opset_version=OPSETS[self.opset]) as function:
            try:
                args = {name: self.argument(name, given, function.inputs) for name, given in self.call.args.items()}
            except REFUSALS as why:
                raise Unasked(str(why)) from why
            if not hasattr(mb, self.call.op):
                raise ValueError("no such op")
            result = getattr(mb, self.call.op)(**args, **self.blocks(function.inputs))
        return list(result) if isinstance(result, (list, tuple)) else [result]

    def dim_text(self, extent):
        """A symbol by the call's own name, a formula in SymPy's words, "?" where a symbol is new."""
        if not is_symbolic(extent):
            return str(int(extent))
        if is_variadic(extent):
            return "..."
        names = {symbol: name for name, symbol in self.symbols.items()}
        if any(symbol not in names for symbol in extent.free_symbols):
            return "?"
        text = str(extent)
        for symbol in sorted(extent.free_symbols, key=lambda s: -len(str(s))):
            text = re.sub(rf"\b{re.escape(str(symbol))}\b", names[symbol], text)
        return text

    def tensor_text(self, type_):
        dims = [self.dim_text(extent) for extent in type_.get_shape()] if types.is_tensor(type_) else []
        return types.builtin_to_string(type_.get_primitive() if dims else type_) + (f"[{', '.join(dims)}]" if dims else "")

    def type_text(self, variable):
        if types.is_list(variable.sym_type):
            return f"list<{self.tensor_text(variable.elem_type)}>"
        if types.is_dict(variable.sym_type):
            return "dict<string, fp64>"  # the only kind
        dtype = "string" if variable.dtype is types.str else types.builtin_to_string(variable.dtype)
        dims = [self.dim_text(extent) for extent in variable.shape]
        return dtype + (f"[{', '.join(dims)}]" if dims else "")


def ask(call, opset):
    """("out", types), ("refused", message), ("broke", message: coremltools itself fell over) or ("unasked", message)."""
    asking = Asking(call, opset)
    try:
        return "out", [asking.type_text(variable) for variable in asking.results()]
    except Unasked as why:
        return "unasked", str(why)
    except REFUSALS as why:
        return "refused", " ".join(str(why).split())
    except IndexError as why:  # some refusals of its own are index errors, as are its mistakes
        own = re.match(r"Axis value|Indices is out of bounds", str(why))
        return "refused" if own else "broke", f"IndexError: {' '.join(str(why).split())}"
    except Exception as why:
        return "broke", f"{type(why).__name__}: {' '.join(str(why).split())}"

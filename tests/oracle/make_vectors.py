# SPDX-License-Identifier: MIT
"""Makes tests/vectors: the calls of each family, what coremltools says of them, and the values they should give.

    python tests/oracle/make_vectors.py [FAMILY...]     all families and the registry, when none is named

Prints for each family what became of its calls, and every call that gives no verdict or for which exceptions.py has a
word. README.md has the format."""

import argparse
import base64
import importlib
import json
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402

import coreml  # noqa: E402
import draw  # noqa: E402
import exceptions  # noqa: E402
import registry  # noqa: E402
import values  # noqa: E402
from calls import NUMPY, flat, split_type, symbols_of  # noqa: E402

VECTORS = HERE.parent / "vectors"
FAMILIES = sorted(path.stem for path in (HERE / "families").glob("*.py") if path.stem not in ("__init__", "common"))
LIMIT = 6 << 20  # bytes of all vectors together


def versions():
    import coremltools
    import torch

    return {"coremltools": coremltools.__version__, "numpy": np.__version__, "torch": torch.__version__.split("+")[0]}


def packed(array):
    little = np.ascontiguousarray(array)
    bits = (array.dtype.metadata or {}).get("bits")
    if bits:  # from the lowest bit of the first byte up
        codes = array.reshape(-1, 1).astype(np.uint8)
        little = np.packbits(codes >> np.arange(bits) & 1, bitorder="little")
    return base64.b64encode(little.astype(little.dtype.newbyteorder("<")).tobytes()).decode()


def wanted(result):
    """A result as the vectors hold it: floats in single precision, which is far finer than any tolerance here; sizes of terms
    as a byte each."""
    array = result.result
    row = {"shape": list(array.shape), "r": packed(array.astype(np.float32) if array.dtype == np.float64 else array)}
    if result.k:
        row.update(k=result.k, s=packed(steps(result.size)))
    return row


def steps(size):
    """n stands for 2 ** ((n - 128) / 4), rounded up; 0 for 0."""
    with np.errstate(divide="ignore"):
        exact = np.where(size > 0, np.ceil(4 * np.log2(size)) + 128, 0)
    return np.where(size > 0, np.clip(exact, 1, 255), 0).astype(np.uint8)


class Blobs:
    """The elements that the lines of a file share, by number."""

    def __init__(self):
        self.all, self.numbers = [], {}

    def number(self, array):
        blob = packed(array)
        if blob not in self.numbers:
            self.numbers[blob] = len(self.all)
            self.all.append(blob)
        return self.numbers[blob]


SHARED = 24  # characters from which on a part of several lines stands once


def parts_of(value):
    """A line's parts, from the outside in, that may stand elsewhere: not what says which ops a line is of."""
    if isinstance(value, str) or (isinstance(value, (dict, list)) and value):
        text = compact(value)
        if len(text) >= SHARED and '"op":' not in text:
            yield text
    if isinstance(value, dict):
        for name, part in value.items():
            if name != "op":
                yield from parts_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from parts_of(part)


def shared(rows):
    """Lossless: the lines with {"@": n} for each part that is in several, and those parts, by number."""
    count = Counter(text for row in rows for text in parts_of(row))
    numbers, found = {}, []

    def put(value):
        text = compact(value)
        if count[text] > 1:
            if text not in numbers:
                numbers[text] = len(found)
                found.append(value)
            return {"@": numbers[text]}
        if isinstance(value, dict):
            return {name: part if name == "op" else put(part) for name, part in value.items()}
        return [put(part) for part in value] if isinstance(value, list) else value

    return [put(row) for row in rows], found


def with_values(call, opset, types, blobs):
    """What a line holds beside types where values are compared: elements of arguments, wanted results."""
    if not call.values or call.op not in values.REFERENCE or any(s not in call.bind for s in symbols_of(call)):
        return {}
    elements = draw.elements(call, call.bind)
    results = values.results_of(call, opset, elements, types)
    for result, type_ in zip(results, types):
        dims = split_type(type_.replace(" ", ""))[1]
        if len(dims) != result.result.ndim or any(d.isdigit() and int(d) != n for d, n in zip(dims, result.result.shape)):
            raise ValueError(f"has shape {result.result.shape}, but coremltools says {type_}")
    written = {name for name, given in flat(call.args) if isinstance(given, dict) and ("v" in given or "s" in given)}
    row = {"data": {name: blobs.number(array) for name, array in elements.items() if name not in written}}
    row["want"] = [wanted(result) for result in results]
    if call.bind:
        row["bind"] = call.bind
    if call.tol:
        row["tol"] = call.tol
    return row


def lines_of(call, said, counts, blobs):
    """The call's lines: one for all opsets that agree."""
    verdicts = {}
    for opset in coreml.OPSETS:
        kind, answer = coreml.ask(call, opset)
        kind, answer = exceptions.judge(call, opset, kind, answer, said)
        row = {"refused": answer[:60]}
        if kind == "out":
            try:
                row = {"out": answer, **with_values(call, opset, answer, blobs)}
            except Exception as why:  # accepted, but there are no such results
                said[f"{call.op}: reference: {type(why).__name__} {str(why)[:80]}; {str(call.args)[:200]} (no verdict)"] += 1
                kind = "none"
        if kind in ("out", "refused"):
            verdicts.setdefault(json.dumps(row) if kind == "out" else "refused", (row, []))[1].append(opset)
        counts["with values" if "want" in row else kind] += 1
    args, endless = without_infinities(call, blobs)
    drawn = {name: blobs.number(array) for name, array in draw.consts(call).items() if "v" not in dict(flat(call.args))[name]}
    for row, opsets in verdicts.values():
        row["data"] = {**row.get("data", {}), **drawn, **endless}
        line = {"op": call.op, "opsets": opsets, "inputs": call.inputs, "in": args, "blocks": call.blocks, **row}
        yield {name: part for name, part in line.items() if part not in ({}, []) or name == "in" or name == "out"}


def without_infinities(call, blobs):
    """The arguments, and the elements of those that JSON can't spell."""
    args, endless = dict(call.args), {}
    for name, given in flat(call.args):
        if isinstance(given, dict) and "v" in given and not np.all(np.isfinite(given["v"])):
            args[name] = {"c": given["c"]}
            endless[name] = blobs.number(np.array(given["v"], NUMPY[split_type(given["c"])[0]]))
    return args, endless


def compact(value):
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def write(family, head, rows):
    lines, parts = shared(rows)
    with open(VECTORS / f"{family}.jsonl", "w") as out:
        for row in [{**head, "shared": parts}, *lines]:
            out.write(compact(row) + "\n")


def make(family):
    """Writes a family's file; gives the number of lines."""
    calls = importlib.import_module(f"families.{family}").calls()
    counts, said, seen, rows, blobs = Counter(), Counter(), set(), [], Blobs()
    for call in calls:
        key = json.dumps([call.op, call.args, call.inputs, call.blocks, call.bind, repr(call.draw)])
        if key in seen:
            continue
        seen.add(key)
        rows += list(lines_of(call, said, counts, blobs))
    write(family, {"made with": versions(), "blobs": blobs.all}, rows)
    print(f"{family}: {len(rows)} lines; by opset: " + ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))
    for text, n in sorted(said.items()):
        print(f"    {n} x {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("family", nargs="*", choices=[[], *FAMILIES, "registry"], help="; ".join(FAMILIES))
    options = parser.parse_args()
    values.modules()
    VECTORS.mkdir(exist_ok=True)
    for family in options.family or FAMILIES:
        if family != "registry":
            make(family)
    if not options.family or "registry" in options.family:
        registry.write(VECTORS / "registry.json", versions())
    total = sum(path.stat().st_size for path in VECTORS.iterdir())
    print(f"{total} bytes of vectors")
    if total > LIMIT:
        sys.exit(f"that is more than {LIMIT}")


if __name__ == "__main__":
    main()

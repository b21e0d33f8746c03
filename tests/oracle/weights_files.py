# SPDX-License-Identifier: MIT
"""Weight files, good and bad, with what the formats' own readers (safetensors, numpy) say of them.

    weights_files.py write [DIR]   writes tests/vectors/weights/: the files and index.txt, which tests/c/weights_test.c reads
    weights_files.py check [DIR]   reads back what weights_test wrote to DIR (build/tests/weights) with safetensors and numpy

A line of index.txt is one of

    file NAME ok                        the file opens
    file NAME STATUS TEXT               it does not; TEXT is part of the message
    tensor NAME DTYPE SHAPE VALUES      of the file above, in order; values in C order, in full precision
    tensor NAME STATUS TEXT             the tensor can't be had; "" is the empty name
    metadata KEY VALUE

Each file is also given to the format's own reader: files that are said to be good must be read by it to the same values, and
files that are said to be bad must be refused, unless the case says that we are stricter (facts in its comment).
"""
import io
import json
import os
import struct
import sys
import zipfile
import zlib

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

NAMES = {"float16": "fp16", "float32": "fp32", "float64": "fp64", "bfloat16": "bf16"}


def dtype_name(dtype):
    text = str(dtype).replace("torch.", "")
    return NAMES.get(text, text)


def values_text(array):
    flat = np.asarray(array).reshape(-1)
    if flat.dtype == bool:
        flat = flat.astype(int)
    if flat.dtype.kind in "iu":
        return " ".join(str(int(v)) for v in flat)
    return " ".join("nan" if v != v else "inf" if v == np.inf else "-inf" if v == -np.inf else float(v).hex()
                    for v in flat.astype(np.float64))


class Index:
    def __init__(self, folder):
        self.folder = folder
        self.lines = []
        self.n = 0
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):
            os.remove(os.path.join(folder, name))

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        self.n += 1

    def good(self, name, data, tensors, metadata=None):
        """tensors: a list of (name, array), of (name, STATUS, text), or of (name, None, the line's text)."""
        self.put(name, data)
        self.lines.append(f"file {name} ok")
        for entry in tensors:
            key = entry[0] or '""'
            if entry[1] is None or isinstance(entry[1], str):
                self.lines.append(f"tensor {key} " + " ".join(filter(None, entry[1:])))
                continue
            array = entry[1]
            dtype = dtype_name(array.dtype)
            if isinstance(array, torch.Tensor):
                array = array.double().numpy() if array.dtype == torch.bfloat16 else array.numpy()
            shape = ",".join(map(str, array.shape)) or "-"
            self.lines.append(f"tensor {key} {dtype} {shape} {values_text(array)}".rstrip())
        for key, value in (metadata or {}).items():
            self.lines.append(f"metadata {key} {value}")

    def bad(self, name, data, status, text):
        self.put(name, data)
        self.lines.append(f"file {name} {status} {text}")

    def write(self):
        with open(self.path("index.txt"), "w") as f:
            f.write("\n".join(self.lines) + "\n")


# ---- safetensors ----


def st(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else header.encode() if isinstance(header, str) else json.dumps(
        header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def reference_reads(path):
    try:
        with safetensors.safe_open(path, "pt") as f:
            return {k: f.get_tensor(k) for k in f.keys()}
    except Exception:
        return None


def st_good(index):
    f32 = np.arange(4, dtype=np.float32).reshape(2, 2)
    cases = {
        "one": (st({"a": entry("F32", [2, 2], 0, 16)}, f32.tobytes()), [("a", f32)]),
        "padding_spaces": (st('{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}   ', f32.tobytes()), [("a", f32)]),
        "padding_newline": (st('{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}\n', f32.tobytes()), [("a", f32)]),
        "nothing": (st("{}"), []),
        "extra_field": (st({"a": {**entry("F32", [2, 2], 0, 16), "more": [1, {"x": [None, -1.5]}]}}, f32.tobytes()),
                        [("a", f32)]),
        "scalar": (st({"a": entry("F32", [], 0, 4)}, f32.tobytes()[4:8]), [("a", f32.reshape(-1)[1].reshape(()))]),
        "empty_tensors": (st({"a": entry("F32", [0, 4294967296, 4294967296], 0, 0), "b": entry("I8", [2], 0, 2),
                              "c": entry("I16", [3, 0], 2, 2)}, b"\x01\xff"),
                          [("a", None, "fp32 0,4294967296,4294967296"), ("b", np.array([1, -1], np.int8)),
                           ("c", np.zeros((3, 0), np.int16))]),
        "unaligned": (st({"b": entry("U8", [1], 0, 1), "a": entry("F32", [2, 2], 1, 17)}, b"\x07" + f32.tobytes()),
                      [("b", np.array([7], np.uint8)), ("a", f32)]),
        "any_order": (st({"z": entry("F32", [1], 4, 8), "a": entry("F32", [1], 8, 12), "m": entry("F32", [1], 0, 4)},
                         f32.tobytes()[:12]), [("z", f32.reshape(-1)[1:2]), ("a", f32.reshape(-1)[2:3]),
                                               ("m", f32.reshape(-1)[:1])]),
        "escaped_name": (st('{"\\u0061b\\u00e9":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\x05"),
                         [("abé", np.array([5], np.uint8))]),
        "empty_name": (st({"": entry("U8", [1], 0, 1)}, b"\x05"), [("", np.array([5], np.uint8))]),
        "metadata_null": (st('{"__metadata__":null,"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\x05"),
                          [("a", np.array([5], np.uint8))]),
        "nan_and_inf": (st({"a": entry("F16", [4], 0, 8)}, bytes.fromhex("007e 007c 00fc 0100")),
                        [("a", np.frombuffer(bytes.fromhex("007e007c00fc0100"), "<f2"))]),
        "bools": (st({"a": entry("BOOL", [4], 0, 4)}, b"\x00\x01\x01\x00"), [("a", np.array([0, 1, 1, 0], bool))]),
        "f8_beside": (st({"a": entry("F8_E4M3", [2], 0, 2), "b": entry("U8", [1], 2, 3), "c": entry("F4", [4], 3, 5),
                          "d": entry("C64", [1], 5, 13)}, b"\x38\x40\x05\x00\x00" + bytes(8)),
                      [("a", "EUNSUPPORTED", "F8_E4M3"), ("b", np.array([5], np.uint8)), ("c", "EUNSUPPORTED", "F4"),
                       ("d", "EUNSUPPORTED", "C64")]),
        "rank_9": (st({"a": entry("U8", [1] * 9, 0, 1), "b": entry("U8", [1] * 8, 1, 2)}, b"\x05\x06"),
                   [("a", "EUNSUPPORTED", "rank above 8"), ("b", np.full([1] * 8, 6, np.uint8))]),
    }
    for name, (data, tensors) in cases.items():
        file = f"good_{name}.safetensors"
        index.good(file, data, tensors)
        read = reference_reads(index.path(file))
        assert read is not None or name in ("empty_tensors", "escaped_name", "f8_beside"), name
    # every dtype, as the package itself writes them
    rng = np.random.default_rng(3)
    tensors = {"fp16": torch.tensor(rng.normal(size=5), dtype=torch.float16),
               "fp32": torch.tensor(rng.normal(size=(2, 3)), dtype=torch.float32),
               "fp64": torch.tensor(rng.normal(size=(1, 2, 2))), "bf16": torch.tensor(rng.normal(size=3), dtype=torch.bfloat16),
               "bool": torch.tensor([True, False])}
    for bits in (8, 16, 32, 64):
        for kind, low in (("int", -(1 << (bits - 1))), ("uint", 0)):
            high = low + (1 << bits) - 1
            tensors[f"{kind}{bits}"] = torch.tensor(np.array([low, high, 1], f"{kind}{bits}"))
    data = safetensors.torch.save(tensors, {"format": "pt", "note": "x=1"})
    header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
    order = [k for k in header if k != "__metadata__"]
    index.good("good_all_dtypes.safetensors", data, [(k, tensors[k]) for k in order], {"format": "pt", "note": "x=1"})


def st_bad(index):
    a, b = entry("F32", [1], 0, 4), entry("F32", [1], 4, 8)
    one = '"dtype":"F32","shape":[1],"data_offsets":[0,4]'
    d4, d8 = bytes(4), bytes(8)
    nested = st('{"a":{%s,"x":%s}}' % (one, "[" * 200 + "]" * 200), d4)
    cases = [  # name, bytes, status, text, whether the reference takes it (then we are stricter)
        ("1_short", b"\x02\0\0", "EFORMAT", "shorter than the 8 bytes", False),
        ("2_too_large", st({"a": a}, d4, 100000001), "ELIMIT", "a header of 100000001 bytes", False),
        ("2_huge", st({"a": a}, d4, (1 << 64) - 1), "ELIMIT", "a header of 18446744073709551615 bytes", False),
        ("3_beyond", st({"a": a}, d4, 1000), "EFORMAT", "a header of 1000 bytes in a file of", False),
        ("4_utf8", st(b'{"\xff":{%s}}' % one.encode(), d4), "EFORMAT", "unable to decode byte 0xff", False),
        ("5_empty", st("", d4), "EFORMAT", "does not begin with {", False),
        ("5_array", st("[]"), "EFORMAT", "does not begin with {", False),
        ("5_cut", st('{"a":{%s}' % one, d4), "EFORMAT", "no JSON object", False),
        ("6_space", st(' {"a":{%s}}' % one, d4), "EFORMAT", "does not begin with {", True),
        ("7_nul", st('{"a":{%s}}\0' % one, d4), "EFORMAT", "no JSON object", False),
        ("8_number", st('{"__metadata__":{"k":1},"a":{%s}}' % one, d4), "EFORMAT", 'the value of "k" is no string', False),
        ("8_list", st('{"__metadata__":[],"a":{%s}}' % one, d4), "EFORMAT", "an object of strings is wanted", False),
        ("9_twice", st('{"__metadata__":{},"__metadata__":{},"a":{%s}}' % one, d4), "EFORMAT", "no JSON object: duplicate", False),
        ("10_twice", st('{"a":{%s},"a":{%s}}' % (one, one), d4), "EFORMAT", "no JSON object: duplicate", True),
        ("11_twice", st('{"__metadata__":{"k":"1","k":"2"},"a":{%s}}' % one, d4), "EFORMAT", "no JSON object: duplicate", True),
        ("12_twice", st('{"a":{"dtype":"F32",%s}}' % one, d4), "EFORMAT", "no JSON object: duplicate", False),
        ("14_no_shape", st({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, d4), "EFORMAT", "the field shape is missing", False),
        ("14_no_dtype", st({"a": {"shape": [1], "data_offsets": [0, 4]}}, d4), "EFORMAT", "the field dtype is missing", False),
        ("14_no_offsets", st({"a": {"shape": [1], "dtype": "F32"}}, d4), "EFORMAT", "the field data_offsets is missing", False),
        ("15_dtype", st({"a": entry("f32", [1], 0, 4)}, d4), "EFORMAT", 'the format has no "f32"', False),
        ("15_i4", st({"a": entry("I4", [8], 0, 4)}, d4), "EFORMAT", 'the format has no "I4"', False),
        ("16_negative", st({"a": entry("F32", [-1], 0, 4)}, d4), "EFORMAT", "shape: a list of sizes", False),
        ("16_real", st({"a": entry("F32", [1.0], 0, 4)}, d4), "EFORMAT", "shape: a list of sizes", False),
        ("16_exponent", st('{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', d4), "EFORMAT", "shape: a list", False),
        ("16_zero", st('{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', d4), "EFORMAT", "no JSON object", False),
        ("16_text", st({"a": entry("F32", ["1"], 0, 4)}, d4), "EFORMAT", "shape: a list of sizes", False),
        ("16_large", st({"a": entry("F32", [1 << 64], 0, 4)}, d4), "EFORMAT", "no JSON object", False),
        ("17_three", st({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, d4), "EFORMAT", "two sizes", False),
        ("17_one", st({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4]}}, d4), "EFORMAT", "two sizes", False),
        ("18_hole_first", st({"a": b}, d8), "EFORMAT", "begins at 4, but what is before it ends at 0", False),
        ("18_hole", st({"a": a, "b": entry("F32", [1], 8, 12)}, bytes(12)), "EFORMAT", "begins at 8, but what is before it ends at 4", False),
        ("18_overlap", st({"a": entry("F32", [2], 0, 8), "b": b}, d8), "EFORMAT", "begins at 4, but what is before it ends at 8", False),
        ("18_shared", st({"a": a, "b": a}, d4), "EFORMAT", "begins at 0, but what is before it ends at 4", False),
        ("18_backwards", st({"a": entry("F32", [1], 4, 0)}, d4), "EFORMAT", "the end lies before the beginning", False),
        ("18_empty_inside", st({"a": entry("F32", [1], 0, 4), "b": entry("F32", [0], 2, 2)}, d4), "EFORMAT", "begins at 2", False),
        ("19_size", st({"a": entry("F32", [2], 0, 4)}, d4), "EFORMAT", "span 4 bytes, but dtype and shape take 8", False),
        ("20_product", st({"a": entry("F32", [1 << 32, 1 << 32, 0], 0, 0)}), "EFORMAT", "more elements than 64 bits", False),
        ("20_bits", st({"a": entry("F64", [1 << 60], 0, 8)}, d8), "EFORMAT", "more bits than 64 bits", False),
        ("21_f4", st({"a": entry("F4", [3], 0, 2)}, b"\0\0"), "EFORMAT", "do not fill whole bytes", False),
        ("22_more", st({"a": a}, bytes(5)), "EFORMAT", "take 4 bytes, but 5 follow", False),
        ("22_less", st({"a": a}, bytes(3)), "EFORMAT", "take 4 bytes, but 3 follow", False),
        ("23_surrogate", st('{"\\ud800":{%s}}' % one, d4), "EFORMAT", "no JSON object", False),
        ("23_control", st('{"a\x01":{%s}}' % one, d4), "EFORMAT", "no JSON object", False),
        ("23_comma", st('{"a":{%s},}' % one, d4), "EFORMAT", "no JSON object", False),
        ("23_bom", st('\ufeff{"a":{%s}}' % one, d4), "EFORMAT", "does not begin with {", False),
        ("24_nesting", nested, "ELIMIT", "nests 202 deep", False),
        ("25_array", st('{"a":["F32",[1],[0,4]]}', d4), "EFORMAT", "an object with dtype", True),
    ]
    for name, data, status, text, taken in cases:
        file = f"bad_{name}.safetensors"
        index.bad(file, data, status, text)
        assert (reference_reads(index.path(file)) is not None) == taken, (name, "taken" if not taken else "refused")


# ---- npy ----


def npy(header, data=b"", version=(1, 0), length=None):
    text = header if isinstance(header, bytes) else header.encode()
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", size) + text + data


def numpy_reads(data):
    try:
        return np.load(io.BytesIO(data))
    except Exception:
        return None


def saved(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npy_good(index):
    f32 = np.arange(6, dtype=np.float32).reshape(2, 3)
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    cases = {
        "plain": saved(f32), "fortran": saved(np.asfortranarray(f32)), "scalar": saved(np.float64(2.5)),
        "empty": saved(np.zeros((3, 0), np.int16)), "big_f4": saved(f32.astype(">f4")), "big_f2": saved(f32.astype(">f2")),
        "big_i8": saved(np.array([1, -2, 1 << 40], ">i8")), "big_u2": saved(np.array([1, 65535], ">u2")),
        "big_fortran": saved(np.asfortranarray(np.arange(24).reshape(2, 3, 4).astype(">i4"))),
        "fortran_3d": saved(np.asfortranarray(np.arange(24).reshape(2, 3, 4).astype(np.int32))),
        "bool": saved(np.array([True, False])), "v2": npy(head, f32.tobytes(), (2, 0)), "v3": npy(head, f32.tobytes(), (3, 0)),
        "no_newline": npy(head, f32.tobytes()), "more_after": npy(head, f32.tobytes() + b"more"),
        "any_order": npy("{'shape':(2,3,),\"fortran_order\":False,'descr':\"<f4\"}", f32.tobytes()),
        "native": npy("{'descr': '=f4', 'fortran_order': False, 'shape': (2, 3), }", f32.tobytes()),
        "no_order": npy("{'descr': 'f4', 'fortran_order': False, 'shape': (2, 3), }", f32.tobytes()),
        "long_name": npy("{'descr': 'float32', 'fortran_order': False, 'shape': (2, 3), }", f32.tobytes()),
        "python2": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }", f32.tobytes()),
        "u_prefix": npy("{u'descr': u'<f4', 'fortran_order': False, 'shape': (2, 3), }", f32.tobytes()),
    }
    for dtype in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8".split():
        info = np.iinfo(dtype) if dtype[0] in "iu" else np.finfo(dtype)
        cases[dtype] = saved(np.array([info.min, 1, info.max], dtype))
    for name, data in cases.items():
        array = numpy_reads(data)
        assert array is not None, name
        index.good(f"good_{name}.npy", data, [("", array.astype(array.dtype.newbyteorder("=")))])
    for name, descr in {"c8": "<c8", "s5": "|S5", "u3": "<U3", "v2": "|V2", "dates": "<M8[ns]", "object": "|O",
                        "f16": "<f16"}.items():
        data = npy("{'descr': '%s', 'fortran_order': False, 'shape': (1,), }" % descr, bytes(16))
        index.good(f"unsupported_{name}.npy", data, [("", "EUNSUPPORTED", descr)])
    data = saved(np.zeros([1] * 9, np.float32))
    index.good("unsupported_rank_9.npy", data, [("", "EUNSUPPORTED", "rank above 8")])


def npy_bad(index):
    def dict_of(descr="'<f4'", order="False", shape="(1,)"):
        return "{'descr': %s, 'fortran_order': %s, 'shape': %s, }" % (descr, order, shape)
    d4 = bytes(4)
    cases = [
        ("version_1_1", npy(dict_of(), d4, (1, 1)), "version 1.1", False),
        ("version_4", npy(dict_of(), d4, (4, 0)), "version 4.0", False),
        ("cut_in_header", npy(dict_of(), b"", length=100), "ends inside the header", False),
        ("cut_in_length", b"\x93NUMPY\x01\x00\x05", "ends inside the header", False),
        ("cut_data", npy(dict_of(shape="(2,)"), d4), "take 8 bytes, but 4 are there", False),
        ("long_header", npy(dict_of() + " " * 10001, d4), "more than 10000 bytes", False),
        ("structured", npy(dict_of(descr="[('a', '<f4')]"), d4), "structured arrays", True),
        ("order_number", npy(dict_of(order="0"), d4), "True or False", False),
        ("shape_number", npy(dict_of(shape="1"), d4), "shape: a tuple", False),
        ("shape_parens", npy(dict_of(shape="(1)"), d4), "shape: a tuple", False),
        ("shape_list", npy(dict_of(shape="[1]"), d4), "shape: a tuple", False),
        ("shape_negative", npy(dict_of(shape="(-1,)"), d4), "shape: sizes", False),
        ("shape_overflow", npy(dict_of(shape="(4294967296, 4294967296, 4294967296)"), d4), "more elements than memory", False),
        ("shape_huge", npy(dict_of(shape="(99999999999999999999,)"), d4), "a dim is too large", False),
        ("missing_key", npy("{'descr': '<f4', 'shape': (1,), }", d4), "lacks one of the keys", False),
        ("unknown_key", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", d4), "a key other than", False),
        ("not_a_dict", npy("('descr', '<f4')", d4), "a dict is wanted", False),
        ("more_than_dict", npy(dict_of() + "+1", d4), "more than a dict", False),
        ("unclosed", npy(dict_of()[:-1], d4), "string is wanted", False),
        ("key_twice", npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", d4), "a key twice", True),
        ("hex_dim", npy(dict_of(shape="(0x1,)"), d4), "comma is wanted", True),
    ]
    for name, data, text, taken in cases:
        index.bad(f"bad_{name}.npy", data, "EFORMAT", text)
        assert (numpy_reads(data) is not None) == taken, name


# ---- npz ----


class NoSeek(io.RawIOBase):
    """What zipfile writes with data descriptors to."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, b):
        self.data += bytes(b)
        return len(b)


def npz_of(save, **arrays):
    out = io.BytesIO()
    save(out, **arrays)
    return out.getvalue()


def zip_of(members, compression=zipfile.ZIP_STORED, out=None, comment=b""):
    out = out or io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as z:
        z.comment = comment
        for name, data in members:
            z.writestr(zipfile.ZipInfo(name), data, compression)
    return bytes(out.data) if isinstance(out, NoSeek) else out.getvalue()


def patched(data, at, form, value):
    out = bytearray(data)
    struct.pack_into(form, out, at, value)
    return bytes(out)


def zip64_of(members):
    """A zip all of whose sizes and offsets stand in zip64 records, as a writer of huge files has them."""
    out, directory = bytearray(), bytearray()
    for name, data in members:
        local = len(out)
        crc = zlib.crc32(data)
        extra = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        out += struct.pack("<IHHHHHIIIHH", 0x04034b50, 45, 0, 0, 0, 33, crc, 0xffffffff, 0xffffffff, len(name), len(extra))
        out += name + extra + data
        extra = struct.pack("<HHI", 0x7777, 4, 1) + struct.pack("<HHQQQ", 1, 24, len(data), len(data), local)
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 45, 45, 0, 0, 0, 33, crc, 0xffffffff, 0xffffffff, len(name),
                                 len(extra), 0, 0, 0, 0, 0xffffffff) + name + extra
    begin, end = len(out), len(out) + len(directory)
    out += directory
    out += struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, len(members), len(members), len(directory), begin)
    out += struct.pack("<IIQI", 0x07064b50, 0, end, 1)
    out += struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
    return bytes(out)


def npz_good(index):
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(40, dtype=np.int64)
    big = np.arange(10, dtype=">f4")
    am, bm = saved(a), saved(b)
    cases = {
        "stored": (npz_of(np.savez, a=a, b=b), [("a", a), ("b", b)]),
        "deflated": (npz_of(np.savez_compressed, a=a, b=b, big=big, f=np.asfortranarray(a)),
                     [("a", a), ("b", b), ("big", big.astype("<f4")), ("f", a)]),
        "zeros": (npz_of(np.savez_compressed, z=np.zeros((100, 100), np.float64)), [("z", np.zeros((100, 100)))]),
        "descriptors": (zip_of([("a.npy", am), ("b.npy", bm)], zipfile.ZIP_DEFLATED, NoSeek()), [("a", a), ("b", b)]),
        "stored_descriptors": (zip_of([("a.npy", am)], out=NoSeek()), [("a", a)]),
        "comment": (zip_of([("a.npy", am)], comment=b"a comment"), [("a", a)]),
        "other_members": (zip_of([("read.me", b"hello"), ("a.npy", am), ("dir/", b"")]), [("a", a)]),
        "slash": (zip_of([("x/../y.npy", am)]), [("x/../y", a)]),
        "unicode": (zip_of([("gewicht_ß.npy", am)]), [("gewicht_ß", a)]),
        "empty": (zip_of([]), []),
        "zip64": (zip64_of([(b"a.npy", am), (b"b.npy", bm)]), [("a", a), ("b", b)]),
        "unsupported_beside": (npz_of(np.savez, a=a, s=np.array(["x"])), [("a", a), ("s", "EUNSUPPORTED", "<U1")]),
    }
    for name, (data, tensors) in cases.items():
        read = np.load(io.BytesIO(data))
        for key, array, *_ in tensors:
            if not isinstance(array, str):
                assert np.array_equal(read[key], array), name
        index.good(f"good_{name}.npz", data, tensors)


def npz_bad(index):
    am = saved(np.arange(6, dtype=np.float32).reshape(2, 3))
    plain = zip_of([("a.npy", am)])
    two = zip_of([("a.npy", am), ("b.npy", am)])
    packed = zip_of([("a.npy", am)], zipfile.ZIP_DEFLATED)
    end, directory = plain.rindex(b"PK\5\6"), plain.index(b"PK\1\2")
    packed_directory = packed.index(b"PK\1\2")
    second = two.rindex(b"PK\1\2")
    wrong_name = plain.replace(b"a.npy", b"c.npy", 1)
    twice = two.replace(b"b.npy", b"a.npy")
    cases = [
        ("no_end", plain[:end], "EFORMAT", "end record of the zip is missing"),
        ("cut", plain[:-1], "EFORMAT", "end record of the zip is missing"),
        ("more_behind", plain + b"x", "EFORMAT", "end record of the zip is missing"),
        ("many_entries", patched(patched(plain, end + 8, "<H", 9), end + 10, "<H", 9), "EFORMAT", "too small for its entries"),
        ("disks", patched(plain, end + 4, "<H", 1), "EFORMAT", "one of several disks"),
        ("directory_beyond", patched(plain, end + 16, "<I", 1 << 30), "EFORMAT", "directory lies outside"),
        ("directory_elsewhere", patched(plain, end + 16, "<I", directory - 4), "EFORMAT", "entry of the directory is broken"),
        ("zip64_missing", patched(plain, end + 16, "<I", 0xffffffff), "EFORMAT", "zip64 locator is missing"),
        ("zip64_sizes", patched(plain, directory + 20, "<I", 0xffffffff), "EFORMAT", "zip64 sizes of a member are missing"),
        ("local_beyond", patched(plain, directory + 42, "<I", 1 << 20), "EFORMAT", "local header is broken"),
        ("data_beyond", patched(patched(plain, directory + 20, "<I", 1 << 20), directory + 24, "<I", 1 << 20), "EFORMAT",
         "beyond the beginning of the directory"),
        ("sizes_differ", patched(plain, directory + 24, "<I", 5), "EFORMAT", "its two sizes differ"),
        ("overlap", patched(patched(two.replace(b"b.npy", b"a.npy", 1), second + 42, "<I", 0), second + 46, "<5s", b"b.npy"),
         "EFORMAT", "another name than the directory"),
        ("wrong_name", wrong_name, "EFORMAT", "another name than the directory"),
        ("twice", twice, "EFORMAT", 'tensor "a": is there twice'),
        ("encrypted", patched(plain, directory + 8, "<H", 1), "EUNSUPPORTED", "is encrypted"),
        ("method", patched(plain, directory + 10, "<H", 12), "EUNSUPPORTED", "compression method 12"),
        ("nul_name", plain.replace(b"a.npy", b"\0.npy"), "EFORMAT", "name is not UTF-8"),
        ("bad_name", plain.replace(b"a.npy", b"\xff.npy"), "EFORMAT", "name is not UTF-8"),
    ]
    for name, data, status, text in cases:
        index.bad(f"bad_{name}.npz", data, status, text)
    broken = [
        ("crc", patched(plain, directory + 16, "<I", 1), "CRC-32"),
        ("data", patched(plain, 60, "<B", 0xaa), "CRC-32"),
        ("deflate_crc", patched(packed, packed_directory + 16, "<I", 1), "CRC-32"),
        ("deflate_bytes", patched(packed, 40, "<I", 0xffffffff), "CRC-32"),
        ("deflate_more", patched(packed, packed_directory + 24, "<I", 1000), "CRC-32"),
        ("deflate_less", patched(packed, packed_directory + 24, "<I", len(am) - 1), "elements take 24 bytes, but 23"),
        ("not_npy", zip_of([("a.npy", b"hello")]), "does not begin with"),
        ("short_npy", zip_of([("a.npy", am[:-1])]), "elements take 24 bytes, but 23"),
    ]
    for name, data, text in broken:
        index.good(f"broken_{name}.npz", data, [("a", "EFORMAT", text)])


def write(folder):
    index = Index(folder)
    st_good(index)
    st_bad(index)
    npy_good(index)
    npy_bad(index)
    npz_good(index)
    npz_bad(index)
    index.bad("bad_unknown.bin", b"what is this?", "EFORMAT", "neither safetensors, npy, npz nor gguf")
    index.bad("bad_empty.bin", b"", "EFORMAT", "neither safetensors, npy, npz nor gguf")
    index.write()
    print(f"{index.n} files by safetensors {safetensors.__version__}, numpy {np.__version__}")


# ---- reading back ----


def check(folder):
    """weights_test writes, in every format, tensors t_<dtype> of shape [3, 4] whose elements are 0, 1, 2 .. 11 (bool: of
    i % 2), the transposed one of fp32 as "across", [0, 2] as "empty" and a scalar 7 as "scalar"."""
    names = "fp16 fp32 fp64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
    numpy_names = {"fp16": "float16", "fp32": "float32", "fp64": "float64"}

    def compare(tensors, source):
        count = np.arange(12).reshape(3, 4)
        for name in names:
            got = tensors["t_" + name]
            wanted = (count % 2 if name == "bool" else count).astype(numpy_names.get(name, name))
            assert got.dtype == wanted.dtype and np.array_equal(got, wanted), (source, name)
        assert np.array_equal(tensors["across"], count.T.astype("float32")), source
        assert tensors["empty"].shape == (0, 2) and tensors["scalar"].shape == () and tensors["scalar"] == 7, source
        print(f"{source}: {len(tensors)} tensors as they should be")

    path = os.path.join(folder, "saved.safetensors")
    compare(safetensors.numpy.load_file(path), path)
    with safetensors.safe_open(path, "np") as f:
        assert f.metadata() == {"format": "pt", "quote\"d": "line\nbreak \\ é"}, f.metadata()
    path = os.path.join(folder, "saved.npz")
    with np.load(path) as z:
        compare({k: z[k] for k in z.files}, path)
    path = os.path.join(folder, "saved.npy")
    assert np.array_equal(np.load(path), np.arange(12, dtype=np.float32).reshape(3, 4).T)
    print(f"{path}: as it should be")


if __name__ == "__main__":
    command = sys.argv[1] if len(sys.argv) > 1 else "write"
    if command == "check":
        check(sys.argv[2] if len(sys.argv) > 2 else "build/tests/weights")
    else:
        write(sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(__file__), "..", "vectors", "weights"))

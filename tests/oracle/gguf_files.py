# SPDX-License-Identifier: MIT
"""GGUF files, good and bad, with what the gguf package says of them.

    gguf_files.py [DIR]   writes tests/vectors/gguf/: the files and index.txt (its lines: see weights_files.py)

types.gguf has a tensor of every quantised type, of random blocks; types.safetensors has the same tensors as gguf's
quants.dequantize expands them (Q1_0 and Q2_0, which it has not: by ggml's formula, below). Good files are read by gguf's own
reader. Bad ones break one rule each of those that ggml's reader checks; a few of them gguf.GGUFReader takes.
"""
import os
import struct
import sys

import gguf
import numpy as np
import safetensors.numpy
from gguf import GGMLQuantizationType as T

from weights_files import Index

SEED = 4
LATER = {"Q1_0": (41, 128, 18), "Q2_0": (42, 64, 18)}  # id, elements, bytes


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def kv(key, kind, value):
    return string(key) + struct.pack("<I", kind) + value


def info(name, dims, kind, offset):
    return string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def file_of(kvs=(), infos=(), data=b"", version=3, alignment=32, n_kv=None, n_tensors=None):
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos) if n_tensors is None else n_tensors,
                                 len(kvs) if n_kv is None else n_kv) + b"".join(kvs) + b"".join(infos)
    return head + b"\0" * (-len(head) % alignment) + data if infos else head


def written(path, tensors, metadata=(), **options):
    """By gguf's own writer: tensors are (name, array or blocks, type or None); metadata (adder, key, value)."""
    writer = gguf.GGUFWriter(path, "test", **options)
    for add, key, value in metadata:
        getattr(writer, "add_" + add)(key, value)
    for name, array, kind in tensors:
        writer.add_tensor(name, array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---- every type ----


def expand(name, blocks):
    if name not in LATER:
        return gguf.dequantize(blocks, T[name])
    d = blocks[..., :2].copy().view("<f2").astype(np.float32)
    bits = np.unpackbits(blocks[..., 2:], axis=-1, bitorder="little")
    if name == "Q1_0":
        q = bits.astype(np.float32) * 2 - 1
    else:
        q = (bits[..., 0::2] + 2.0 * bits[..., 1::2] - 1).astype(np.float32)
    return (d * q).reshape(*blocks.shape[:-2], -1) if blocks.ndim > 2 else (d * q).reshape(blocks.shape[0], -1)


def types(index):
    random = np.random.default_rng(SEED)
    names = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0", "IQ4_NL",
             "IQ4_XS", "MXFP4", "NVFP4", "Q1_0", "Q2_0"]
    infos, data, expanded = [], b"", {}
    for name in names:
        kind, n, size = LATER[name] if name in LATER else (int(T[name]), *gguf.GGML_QUANT_SIZES[T[name]])
        rows = 1 if n == 256 else 2
        while True:
            blocks = random.integers(0, 256, (rows, size), np.uint8)
            values = expand(name, blocks)
            if np.isfinite(values).all() and np.abs(values).max() < 1e6:
                break
        assert values.shape == (rows, n) and values.dtype == np.float32, name
        infos.append(info(name, (n, rows), kind, len(data)))
        data += blocks.tobytes() + b"\0" * (-blocks.size % 32)
        expanded[name] = values
    index.put("types.gguf", file_of([kv("general.architecture", 8, string("test"))], infos, data))
    safetensors.numpy.save_file(expanded, index.path("types.safetensors"))


# ---- plain dtypes, metadata ----


def plain(index):
    arrays = {"f32": np.arange(6, dtype=np.float32).reshape(2, 3), "f16": np.array([0, 1, -2.5], np.float16),
              "f64": np.array([[1e300, -1]]), "i8": np.array([-128, 127, 5], np.int8), "i16": np.array([-32768, 1], np.int16),
              "i32": np.array([-2**31, 7], np.int32), "i64": np.array([-2**63, 2**63 - 1], np.int64),
              "rank4": np.arange(24, dtype=np.int8).reshape(2, 3, 1, 4)}
    metadata = [("uint8", "m.u8", 255), ("int8", "m.i8", -128), ("uint16", "m.u16", 65535), ("int16", "m.i16", -2),
                ("uint32", "m.u32", 2**32 - 1), ("int32", "m.i32", -3), ("uint64", "m.u64", 2**53), ("int64", "m.i64", -2**53),
                ("float32", "m.f32", 0.5), ("float64", "m.f64", 1e300), ("bool", "m.yes", True), ("bool", "m.no", False),
                ("string", "m.text", "wörter"), ("array", "m.names", ["a", "", "longer"]), ("array", "m.ints", [1, -2, 3]),
                ("array", "m.floats", [0.5, 2.0]), ("array", "m.bools", [True, False])]
    path = index.path("plain.gguf")
    written(path, [(k, v, None) for k, v in arrays.items()] + [("bf16", np.array([[0x80, 0x3f, 0x20, 0xc0]], np.uint8), T.BF16)],
            metadata)
    reader = gguf.GGUFReader(path)
    for tensor in reader.tensors:
        if tensor.name in arrays:
            assert np.array_equal(tensor.data, arrays[tensor.name]) and tensor.data.shape == arrays[tensor.name].shape
    with open(path, "rb") as f:
        data = f.read()
    lines = list(arrays.items()) + [("bf16", None, "bf16 1,2 1 -2.5")]
    index.good("plain.gguf", data, lines, {"general.architecture": "test", "m.text": "wörter"})


def good(index):
    f32 = np.arange(6, dtype="<f4").reshape(2, 3)
    arch = kv("general.architecture", 8, string("test"))
    pad = b"\0" * 8
    cases = {
        "nothing": (file_of(), []),
        "version_2": (file_of([arch], [info("w", (3, 2), 0, 0)], f32.tobytes() + pad, version=2), [("w", f32)]),
        "no_last_padding": (file_of([arch], [info("w", (3, 2), 0, 0)], f32.tobytes()), [("w", f32)]),
        "scalar": (file_of([arch], [info("w", (), 0, 0)], f32.tobytes()[4:8]), [("w", f32.reshape(-1)[1].reshape(()))]),
        "empty_tensor": (file_of([arch], [info("e", (0, 5), 0, 0), info("w", (3, 2), 0, 0)], f32.tobytes()),
                         [("e", None, "fp32 5,0"), ("w", f32)]),
        "alignment": (file_of([arch, kv("general.alignment", 4, struct.pack("<I", 8))],
                              [info("b", (3,), 24, 0), info("w", (3, 2), 0, 8)], b"\1\2\3" + b"\0" * 5 + f32.tobytes(),
                              alignment=8), [("b", np.array([1, 2, 3], np.int8)), ("w", f32)]),
        "unaligned": (file_of([arch, kv("general.alignment", 4, struct.pack("<I", 1))],
                              [info("b", (3,), 24, 0), info("w", (3, 2), 0, 3)], b"\1\2\3" + f32.tobytes(), alignment=1),
                      [("b", np.array([1, 2, 3], np.int8)), ("w", f32)]),
        "other_types": (file_of([arch], [info("q", (256,), 16, 0), info("k", (32,), 9, 96), info("w", (3, 2), 0, 160)],
                                b"\0" * 160 + f32.tobytes()),
                        [("q", "EUNSUPPORTED", "type IQ2_XXS is not supported"),
                         ("k", "EUNSUPPORTED", "type Q8_1 is not supported"), ("w", f32)]),
    }
    for name, (data, tensors) in cases.items():
        index.good(f"good_{name}.gguf", data, tensors)


# ---- bad ones ----


def bad(index):
    arch, f32 = kv("general.architecture", 8, string("test")), b"\0" * 32
    w = info("w", (4,), 0, 0)
    good_file = file_of([arch], [w], f32)
    big = 2**64 - 1

    def one(*, name="w", dims=(4,), kind=0, offset=0, data=f32, **options):
        return file_of([arch], [info(name, dims, kind, offset)], data, **options)

    def value(kind, data, key="k"):
        return file_of([kv(key, kind, data)])

    cases = [
        ("magic", b"GGUX" + good_file[4:], "EFORMAT", "does not begin with"),
        ("header", good_file[:20], "EFORMAT", "ends within its header"),
        ("version_1", one(version=1), "EUNSUPPORTED", "version 1 is not supported"),
        ("version_4", one(version=4), "EUNSUPPORTED", "version 4 is not supported"),
        ("big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "EUNSUPPORTED", "big-endian"),
        ("many_tensors", file_of([arch], [w], f32, n_tensors=big), "EFORMAT", "have no room"),
        ("many_kv", file_of([arch], [w], f32, n_kv=big), "EFORMAT", "have no room"),
        ("cut_kv", good_file[:24] + b"\xff" * 40, "EFORMAT", "ends within its metadata"),
        ("cut_value", value(10, b"\0" * 4), "EFORMAT", "ends within its value"),
        ("string_length", value(8, struct.pack("<Q", big)), "EFORMAT", "ends within its value"),
        ("array_count", value(9, struct.pack("<IQ", 4, 2**62)), "EFORMAT", "ends within its value"),
        ("string_count", value(9, struct.pack("<IQ", 8, big)), "EFORMAT", "ends within its value"),
        ("array_string", value(9, struct.pack("<IQQ", 8, 1, 9)), "EFORMAT", "ends within its value"),
        ("array_of_arrays", value(9, struct.pack("<IQIQ", 9, 1, 4, 0)), "EFORMAT", "an array of arrays"),
        ("value_type", value(13, b"\0" * 8), "EFORMAT", "has no type 13"),
        ("array_type", value(9, struct.pack("<IQ", 99, 0)), "EFORMAT", "has no type 99"),
        ("empty_key", value(0, b"\0" * 8, ""), "EFORMAT", "its key is empty"),
        ("key_utf8", value(0, b"\0", b"\xff"), "EFORMAT", "its key is not UTF-8"),
        ("key_twice", file_of([arch, arch]), "EFORMAT", "is there twice"),
        ("alignment_0", file_of([kv("general.alignment", 4, b"\0" * 4)], [w], f32), "EFORMAT", "is 0, which is no power of 2"),
        ("alignment_24", file_of([kv("general.alignment", 4, b"\x18\0\0\0")], [w], f32), "EFORMAT", "no power of 2"),
        ("alignment_type", file_of([kv("general.alignment", 10, b"\x20" + b"\0" * 7)], [w], f32), "EFORMAT", "is no uint32"),
        ("name_twice", file_of([arch], [w, info("w", (4,), 0, 32)], f32 * 2), "EFORMAT", 'tensor "w": is there twice'),
        ("name_long", one(name="n" * 65), "EFORMAT", "65 bytes, more than 64"),
        ("name_utf8", one(name=b"\xc0"), "EFORMAT", "its name is not UTF-8"),
        ("name_nul", one(name=b"a\0b"), "EFORMAT", "its name is not UTF-8"),
        ("rank_5", one(dims=(1,) * 5), "EFORMAT", "5 dims, more than 4"),
        ("dim_negative", one(dims=(2**63,)), "EFORMAT", "more elements than 64 bits"),
        ("dims_overflow", one(dims=(2**32, 2**32)), "EFORMAT", "more elements than 64 bits"),
        ("bytes_overflow", one(dims=(2**61,), kind=28), "EFORMAT", "more bytes than 64 bits"),
        ("type_removed", one(kind=4), "EFORMAT", "has no type 4"),
        ("type_unknown", one(kind=1000), "EFORMAT", "has no type 1000"),
        ("row", one(dims=(48, 2), kind=2, data=b"\0" * 96), "EFORMAT", "no whole blocks of 32 (Q4_0)"),
        ("offset", one(offset=32, data=f32 * 2), "EFORMAT", "begins at 32 of the data, but what is before it ends at 0"),
        ("offset_unaligned", file_of([arch], [w, info("v", (4,), 0, 16)], f32 * 2), "EFORMAT", "what is before it ends at 32"),
        ("offset_overlap", file_of([arch], [w, info("v", (4,), 0, 0)], f32), "EFORMAT", "what is before it ends at 32"),
        ("data_cut", good_file[:-20], "EFORMAT", "takes 16 bytes at 0 of the data, which has 12"),
        ("data_huge", one(dims=(2**60,)), "EFORMAT", "bytes at 0 of the data, which has 32"),
        ("infos_cut", file_of([arch], [w, w], n_tensors=2)[:-60], "EFORMAT", "ends within the descriptions"),
        ("info_cut", good_file[:24 + len(arch)] + string("w" * 20) + b"\1\0\0\0", "EFORMAT", "ends within the descriptions"),
    ]
    for name, data, status, text in cases:
        index.bad(f"bad_{name}.gguf", data, status, text)
    index.bad("bad_name_only.gguf", b"what is this?", "EFORMAT", "does not begin with")


def main():
    index = Index(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "vectors", "gguf"))
    types(index)
    plain(index)
    good(index)
    bad(index)
    index.write()
    print(f"{index.n} files")


if __name__ == "__main__":
    main()

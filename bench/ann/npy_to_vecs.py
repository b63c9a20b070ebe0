#!/usr/bin/env python3
"""npy_to_vecs.py: a matrix of float16, float32 or int32 as .fvecs or .ivecs, without any package.

Usage: npy_to_vecs.py IN.npy OUT     writes OUT.fvecs or OUT.ivecs
"""

import ast
import struct
import sys

KINDS = {"<f2": ("e", "f", ".fvecs"), "<f4": ("f", "f", ".fvecs"), "<i4": ("i", "i", ".ivecs")}


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as f:
        magic = f.read(8)
        if magic[:6] != b"\x93NUMPY":
            sys.exit(f"{source}: not a .npy file")
        size = struct.unpack("<H", f.read(2))[0] if magic[6] == 1 else struct.unpack("<I", f.read(4))[0]
        header = ast.literal_eval(f.read(size).decode("latin-1"))
        if header["fortran_order"] or len(header["shape"]) != 2 or header["descr"] not in KINDS:
            sys.exit(f"{source}: neither a matrix of float16 or float32 nor one of int32")
        rows, dim = header["shape"]
        have, want, ending = KINDS[header["descr"]]
        row = struct.Struct(f"<{dim}{have}")
        out = struct.Struct(f"<i{dim}{want}")
        with open(target + ending, "wb") as g:
            for _ in range(rows):
                g.write(out.pack(dim, *row.unpack(f.read(row.size))))


main()

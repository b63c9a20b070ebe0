#!/usr/bin/env python3
"""datatypes.py: the same vectors stored as each datatype: recall against the exact answers of what is stored, speed, memory.

Usage: datatypes.py SET_DIR [EF,EF...]     base.fvecs and queries.fvecs of vectors of length one; needs numpy (that of $WORK/venv does)
Environment: WORK=build/bench, QUIVER=build/release/quiver, BUILD_THREADS=2
int8 is the element times 127 over the largest one, uint8 that and 128, bit its sign; float16 is rounded when it is stored. Beside Quiver
usearch is asked for int8 and bits where it is installed: connectivity 16, expansion_add 200. Bits tie often, and a tie counts as
missed where the other row was noted, so their recall is told too low for all alike.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np

K = 10
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.environ.get("WORK", f"{ROOT}/build/bench")
QUIVER = os.environ.get("QUIVER", f"{ROOT}/build/release/quiver")
THREADS = os.environ.get("BUILD_THREADS", "2")


def read(path):
    raw = np.fromfile(path, dtype=np.int32)
    return np.ascontiguousarray(raw.reshape(-1, raw[0] + 1)[:, 1:]).view(np.float32)


def write_ivecs(path, rows):
    out = np.empty((len(rows), rows.shape[1] + 1), np.int32)
    out[:, 0], out[:, 1:] = rows.shape[1], rows
    out.tofile(path)


def nearest(base, queries, metric):
    """Row numbers of the K nearest. By products of floats, which are exact for whole numbers."""
    b, q = base.astype(np.float32), queries.astype(np.float32)
    norms = (b * b).sum(1)
    rows = np.empty((len(q), K), np.int32)
    for i in range(0, len(q), 64):
        dots = q[i : i + 64] @ b.T
        dist = norms - 2 * dots if metric == "l2" else -dots
        best = np.argpartition(dist, K, axis=1)[:, :K]
        order = np.take_along_axis(dist, best, 1).argsort(1)
        rows[i : i + 64] = np.take_along_axis(best, order, 1)
    return rows


def sets(folder):
    """(datatype, metric, base, queries, those as the numbers that distances are of)"""
    base, queries = read(f"{folder}/base.fvecs"), read(f"{folder}/queries.fvecs")
    top = max(float(np.abs(base).max()), float(np.abs(queries).max()))

    def whole(x):
        return np.clip(np.rint(x * (127 / top)), -127, 127).astype(np.int8)

    yield "float32", "ip", base, queries, base, queries
    yield "float16", "ip", base, queries, base.astype(np.float16), queries
    b, q = whole(base), whole(queries)
    yield "int8", "ip", b, q, b, q
    b, q = (b.astype(np.int16) + 128).astype(np.uint8), (q.astype(np.int16) + 128).astype(np.uint8)
    yield "uint8", "l2", b, q, b, q
    b, q = base > 0, queries > 0
    yield "bit", "hamming", np.packbits(b, axis=1), np.packbits(q, axis=1), 2.0 * b - 1, 2.0 * q - 1


def of_quiver(work, datatype, metric, base, queries, beams):
    np.save(f"{work}/base.npy", base.astype(np.float32) if datatype in ("int8",) else base)
    np.save(f"{work}/queries.npy", queries.astype(np.float32) if datatype in ("int8",) else queries)
    command = [QUIVER, "bench", "ann", "--base", f"{work}/base.npy", "--queries", f"{work}/queries.npy", "--truth", f"{work}/truth.ivecs",
               "--datatype", datatype, "--metric", metric, "--ef", beams, "--build-threads", THREADS, "--json"]  # fmt: skip
    if datatype == "bit":
        command.append("--packed-bits")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"datatypes.py: {datatype}: {done.stderr.strip()}")
    built, *lines = map(json.loads, done.stdout.splitlines())
    return [("quiver", built["build_s"], built["memory_bytes"] / 1e6, x["ef"], x["recall"], 1e6 / x["qps"]) for x in lines]


def of_usearch(datatype, base, queries, truth, beams):
    try:
        from usearch import index as usearch
    except ImportError:
        print("datatypes.py: without usearch: it is not installed", file=sys.stderr)
        return []
    bits = datatype == "bit"
    index = usearch.Index(ndim=base.shape[1] * (8 if bits else 1), metric="hamming" if bits else "ip", dtype="b1" if bits else "i8",
                          connectivity=16, expansion_add=200)  # fmt: skip
    begin = time.monotonic()
    index.add(np.arange(len(base), dtype=np.uint64), base, threads=int(THREADS))
    took, out = time.monotonic() - begin, []
    for beam in map(int, beams.split(",")):
        index.expansion_search = beam
        us = []
        for _ in range(3):
            begin = time.monotonic()
            found = index.search(queries, K, threads=1).keys
            us.append((time.monotonic() - begin) / len(queries) * 1e6)
        good = sum(len(set(f) & set(t)) for f, t in zip(found.tolist(), truth.tolist(), strict=True))
        out.append(("usearch", took, index.memory_usage / 1e6, beam, good / truth.size, sorted(us)[1]))
    return out


def main():
    folder, beams = os.path.realpath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "16,32,64,128"
    work = f"{WORK}/datatypes"
    os.makedirs(work, exist_ok=True)
    print("| datatype | metric | engine | build: s | memory: MB | " + " | ".join(f"ef {b}: recall, us" for b in beams.split(",")) + " |")
    print("|" + "---|" * (5 + len(beams.split(","))))
    for datatype, metric, base, queries, b, q in sets(folder):
        truth = nearest(b, q, "l2" if metric == "l2" else "ip")
        write_ivecs(f"{work}/truth.ivecs", truth)
        found = of_quiver(work, datatype, metric, base, queries, beams)
        rows = {"quiver": found}
        if datatype in ("int8", "bit"):
            rows["usearch"] = of_usearch(datatype, base, queries, truth, beams)
        for engine, lines in rows.items():
            if lines:
                print(f"| {datatype} | {metric} | {engine} | {lines[0][1]:.0f} | {lines[0][2]:.0f} | "
                      + " | ".join(f"{x[4]:.4f}, {x[5]:.1f}" for x in lines) + " |", flush=True)  # fmt: skip


main()

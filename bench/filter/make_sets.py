#!/usr/bin/env python3
"""Vectors, two numbers per row to filter by, and the exact answers under every filter.

Usage: make_sets.py synthetic OUT ROWS DIM | make_sets.py npy OUT BASE.npy QUERIES.npy

Rows lie on a ring: clusters one behind the other so that neighbours on the ring are near each
other in space (the synthetic set's own clusters, else k-means), rows of a cluster in random order.
`r` is the place on the ring, `u` a random place. A filter passes a share of the rows: `uncorrelated`
the first of u, `near` the window of r around the query's own place, `far` the window across, and
`far4` that of four around the ring which is nearest to that: filters that other queries have, too.

OUT gets base.npy, queries.npy (float32), u.npy, r.npy, place.npy (int32) and truth-KIND-SHARE.npy
(int32, the 10 nearest that pass; -1 where there are fewer)."""
import os
import sys

import numpy as np

SHARES = (100, 50, 10, 5, 1, 0.1, 0.01)  # per cent; README.md
KINDS = ("uncorrelated", "near", "far", "far4")
QUERIES, K, LATENT = 200, 10, 32


def window(kind, share, place, n):
    """Rows that pass, as up to two intervals [from, to) of u or r; as filter.c has it."""
    width = max(1, round(n * share / 100))
    if kind == "uncorrelated" or width >= n:
        return [(0, width)]
    centre = (place + (0 if kind == "near" else n // 2)) % n
    if kind == "far4":
        centre = (centre + n // 8) // (n // 4) * (n // 4) % n
    first = (centre - width // 2) % n
    last = first + width
    return [(first, last)] if last <= n else [(first, n), (0, last - n)]


def synthetic(rng, n, dim):
    """Clusters of low inner dimension in many: centre + noise in 32 dimensions, mapped to `dim`."""
    clusters = max(8, n // 1000)
    centres = rng.standard_normal((clusters, LATENT), dtype=np.float32)
    spread = rng.standard_normal((LATENT, dim), dtype=np.float32) / np.float32(LATENT**0.5)

    def draw(m):
        own = rng.integers(clusters, size=m)
        z = centres[own] + np.float32(0.7) * rng.standard_normal((m, LATENT), dtype=np.float32)
        x = z @ spread + np.float32(0.1) * rng.standard_normal((m, dim), dtype=np.float32)
        return x, own

    base, own = draw(n)
    queries, query_own = draw(QUERIES)
    return base, queries, own, query_own, centres


def kmeans(rng, base, queries, clusters):
    centres = base[rng.choice(len(base), clusters, replace=False)].copy()
    own = None
    for _ in range(6):
        half = (centres * centres).sum(1) / 2
        own = np.argmax(base @ centres.T - half, 1)
        for c in range(clusters):
            rows = base[own == c]
            if len(rows):
                centres[c] = rows.mean(0)
    half = (centres * centres).sum(1) / 2
    return own, np.argmax(queries @ centres.T - half, 1), centres


def ring(centres):
    """Each centre beside the nearest that is left."""
    left = np.ones(len(centres), bool)
    order, at = [], 0
    while True:
        order.append(at)
        left[at] = False
        if not left.any():
            return np.array(order)
        far = ((centres - centres[at]) ** 2).sum(1)
        far[~left] = np.inf
        at = int(np.argmin(far))


def main():
    what, out = sys.argv[1], sys.argv[2]
    os.makedirs(out, exist_ok=True)
    rng = np.random.default_rng(7)
    if what == "synthetic":
        base, queries, own, query_own, centres = synthetic(rng, int(sys.argv[3]), int(sys.argv[4]))
        metric = "l2"
    else:
        base = np.load(sys.argv[3]).astype(np.float32)
        queries = np.load(sys.argv[4]).astype(np.float32)[:QUERIES]
        own, query_own, centres = kmeans(rng, base, queries, 256)
        metric = "cosine"
        base /= np.linalg.norm(base, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    n = len(base)
    rank = np.empty(len(centres), np.int64)
    rank[ring(centres)] = np.arange(len(centres))
    order = np.lexsort((rng.random(n), rank[own]))
    r = np.empty(n, np.int32)
    r[order] = np.arange(n, dtype=np.int32)
    u = rng.permutation(n).astype(np.int32)
    starts = np.searchsorted(rank[own][order], np.arange(len(centres) + 1))
    middle = (starts[:-1] + starts[1:]) // 2
    place = middle[rank[query_own]].astype(np.int32)
    for name, a in (("base", base), ("queries", queries), ("u", u), ("r", r), ("place", place)):
        np.save(f"{out}/{name}.npy", np.ascontiguousarray(a))
    with open(f"{out}/metric", "w", encoding="ascii") as f:
        f.write(metric)
    half = (base * base).sum(1) / 2
    truth = {(k, s): np.full((len(queries), K), -1, np.int32) for k in KINDS for s in SHARES}
    for i, q in enumerate(queries):
        dist = half - base @ q
        for (kind, share), rows in truth.items():
            column = u if kind == "uncorrelated" else r
            ok = np.zeros(n, bool)
            for a, z in window(kind, share, int(place[i]), n):
                ok |= (column >= a) & (column < z)
            ids = np.flatnonzero(ok)
            d = dist[ids]
            if len(d) > K:
                near = np.argpartition(d, K)[:K]
                ids, d = ids[near], d[near]
            ids = ids[np.lexsort((ids, d))]
            rows[i, : len(ids)] = ids
    for (kind, share), rows in truth.items():
        np.save(f"{out}/truth-{kind}-{share:g}.npy", rows)


if __name__ == "__main__":
    main()

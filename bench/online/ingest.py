#!/usr/bin/env python3
"""ingest.py: points a second until all are searchable, and until the collection has settled.

Starts a server of its own on an empty directory and imports random vectors over REST. Every request
is acknowledged when its points are on disk and found by searches, so the end of the import is the
time to searchable; settled is when no background work runs or waits any more (every row in a graph,
segments merged). Prints both, and what is left to optimize. Needs Python alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import latency


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--quiver", default="build/release/quiver", help="the program (default: %(default)s)")
    p.add_argument("--dir", help="where the data go (default: a temporary directory)")
    p.add_argument("--points", type=int, default=1000000, help="(default: %(default)s)")
    p.add_argument("--dim", type=int, default=128)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--bulk", action="store_true", help="with indexing_threshold 0 until all is written")
    p.add_argument("--json", action="store_true", help="one line of JSON")
    return p.parse_args()


def create(a, server):
    threshold = {"indexing_threshold": 0} if a.bulk else {}
    server.send("PUT", "/collections/" + latency.COLLECTION,
                {"vectors": {"size": a.dim, "distance": "Cosine"}, "optimizers_config": threshold})


def measure(a, server, vectors):
    create(a, server)
    watch, cpu, begin = latency.Watch(server), server.cpu_s(), time.monotonic()
    subprocess.run([a.quiver, "import", vectors, "--url", server.url, "--collection", latency.COLLECTION, "--quiet"],
                   stdout=subprocess.DEVNULL, check=True)
    searchable = time.monotonic() - begin
    if a.bulk:
        server.send("PATCH", "/collections/" + latency.COLLECTION, {"optimizers_config": {"indexing_threshold": 10000}})
        server.send("POST", f"/collections/{latency.COLLECTION}/optimize", None)
    server.settle()
    settled = time.monotonic() - begin
    found = json.loads(server.get("/collections/" + latency.COLLECTION))["result"]
    if found["points_count"] != a.points:
        sys.exit(f"{found['points_count']} points are there, not {a.points}")
    return {"points": a.points, "dim": a.dim, "bulk": a.bulk,
            "searchable_s": searchable, "searchable_points_per_s": a.points / searchable,
            "settled_s": settled, "settled_points_per_s": a.points / settled,
            "segments": found["segments_count"], "most_unindexed": watch.end(), "server_cpu_s": server.cpu_s() - cpu}


def main():
    a = arguments()
    a.quiver = os.path.abspath(a.quiver)
    work = tempfile.mkdtemp(prefix="quiver-ingest-", dir=a.dir)
    server = None
    try:
        vectors = os.path.join(work, "base.fvecs")
        latency.write_fvecs(vectors, a.points, a.dim, a.seed)
        server = latency.Server(a.quiver, os.path.join(work, "data"))
        row = measure(a, server, vectors)
    finally:
        if server:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    if a.json:
        print(json.dumps(row))
        return
    print(f"{row['points']:,} x {row['dim']}{' in bulk mode' if row['bulk'] else ''}: searchable after "
          f"{row['searchable_s']:.1f} s ({row['searchable_points_per_s']:,.0f} points/s), settled after "
          f"{row['settled_s']:.1f} s ({row['settled_points_per_s']:,.0f} points/s) in {row['segments']} segments; "
          f"at most {row['most_unindexed']:,} rows without a graph; {row['server_cpu_s']:.0f} s of CPU")


if __name__ == "__main__":
    main()

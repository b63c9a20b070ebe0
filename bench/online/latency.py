#!/usr/bin/env python3
"""latency.py: what happens to the latency of searches while data change.

Starts a server of its own on an empty directory, loads random vectors, lets it settle, and measures
how many searches a second it answers. Then it sends searches at a share of that, as an open load
(a latency counts from the moment a request was due): with nothing beside them, beside steady
inserts, beside a bulk load at full speed, and directly after it. Prints one table; the ratios are
to the idle state of the same run. Needs Python alone.
"""

import argparse
import array
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

COLLECTION = "bench"


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--quiver", default="build/release/quiver", help="the program (default: %(default)s)")
    p.add_argument("--dir", help="where the data go (default: a temporary directory)")
    p.add_argument("--points", type=int, default=100000, help="loaded first (default: %(default)s)")
    p.add_argument("--dim", type=int, default=128)
    p.add_argument("--seconds", type=int, default=15, help="of each measurement (default: %(default)s)")
    p.add_argument("--percent", type=int, default=30, help="of the idle capacity (default: %(default)s)")
    p.add_argument("--inserts", type=int, default=1000, help="points a second of the steady state (default: %(default)s)")
    p.add_argument("--batch", type=int, default=500, help="points per request of the bulk load (default: %(default)s)")
    p.add_argument("--connections", type=int, default=4, help="that search, and that write (default: %(default)s)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", action="store_true", help="one line of JSON per state instead of the table")
    return p.parse_args()


def write_fvecs(path, n, dim, seed):
    """Whole numbers from -1000 to 1000, like those that the load generator makes."""
    rng = random.Random(seed)
    head = dim.to_bytes(4, "little")
    with open(path, "wb") as f:
        for _ in range(n):
            row = array.array("f", (float(x % 2001 - 1000) for x in
                                    memoryview(rng.randbytes(4 * dim)).cast("I")))
            if sys.byteorder != "little":
                row.byteswap()
            f.write(head + row.tobytes())


class Server:
    def __init__(self, quiver, data):
        self.process = subprocess.Popen([quiver, "serve", "--listen", "127.0.0.1:0", "--data", data],
                                        stdout=subprocess.PIPE)
        text = ""
        while "stop:" not in text:
            line = self.process.stdout.readline().decode()
            if not line:
                sys.exit("the server did not start:\n" + text)
            text += line
        self.url = re.search(r"http://127\.0\.0\.1:\d+", text).group(0)
        # What it says later must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read().decode()

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name):
        m = re.search(rf'^{name}(?:\{{id="{COLLECTION}"\}})? (\d+)$', self.get("/metrics"), re.MULTILINE)
        return int(m.group(1)) if m else 0

    def settle(self):
        while json.loads(self.get("/collections/" + COLLECTION))["result"]["status"] == "yellow":
            time.sleep(0.5)


class Watch(threading.Thread):
    """The most rows without a graph while something runs; a few looks a second."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.most, self.over = server, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.25):
            self.most = max(self.most, self.server.metric("quiver_collection_unindexed_rows"))

    def end(self):
        self.over.set()
        self.join()
        return self.most


def bench(a, server, *more):
    out = subprocess.run([a.quiver, "bench", "http", "--url", server.url, "--collection", COLLECTION, "--json",
                          "--seconds", str(a.seconds), "--seed", str(a.seed), *more],
                         stdout=subprocess.PIPE, check=True).stdout.decode()
    return {load["request"]: load for load in map(json.loads, out.splitlines())}


def state(a, server, name, rate, *more):
    watch, cpu = Watch(server), server.cpu_s()
    paced = server.metric("quiver_paced_writes_total")
    loads = bench(a, server, "--rate", str(rate), *more)
    search, write = loads["search"], loads.get("upsert", {})
    return {"state": name, "searches_per_s": search["requests_per_s"],
            "p50_ms": search["p50_us"] / 1000, "p99_ms": search["p99_us"] / 1000,
            "points_per_s": write.get("points_per_s", 0),
            "paced_writes": server.metric("quiver_paced_writes_total") - paced,
            "most_unindexed": watch.end(), "server_cpu_s": server.cpu_s() - cpu,
            "refused": search["refused"] + write.get("refused", 0)}


def measure(a, server):
    few = ["--connections", str(a.connections)]
    mixed = ["--mode", "mixed", "--search-connections", str(a.connections), *few]
    capacity = bench(a, server, "--mode", "search", *few)["search"]["requests_per_s"]
    rate = max(1, int(capacity * a.percent / 100))
    steady = max(1, min(10, a.inserts))
    yield state(a, server, "idle", rate, "--mode", "search", *few)
    yield state(a, server, f"{a.inserts} inserts/s", rate, *mixed, "--batch", str(steady),
                "--write-rate", str(max(1, a.inserts // steady)))
    yield state(a, server, "bulk load", rate, *mixed, "--batch", str(a.batch))
    yield state(a, server, "after the load", rate, "--mode", "search", *few, "--warmup", "0")


def show(row, idle):
    print(f"{row['state']:16} {row['searches_per_s']:10.0f} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f} "
          f"{row['p50_ms'] / idle['p50_ms']:6.2f} {row['p99_ms'] / idle['p99_ms']:6.2f} "
          f"{row['points_per_s']:9.0f} {row['paced_writes']:6} {row['most_unindexed']:10} {row['server_cpu_s']:7.1f}"
          + (f"  {row['refused']} refused" if row["refused"] else ""), flush=True)


def main():
    a = arguments()
    a.quiver = os.path.abspath(a.quiver)
    work = tempfile.mkdtemp(prefix="quiver-online-", dir=a.dir)
    server = None
    try:
        vectors = os.path.join(work, "base.fvecs")
        write_fvecs(vectors, a.points, a.dim, a.seed)
        server = Server(a.quiver, os.path.join(work, "data"))
        subprocess.run([a.quiver, "import", vectors, "--url", server.url, "--collection", COLLECTION, "--quiet"],
                       stdout=subprocess.DEVNULL, check=True)
        server.settle()
        idle = None
        for row in measure(a, server):
            if a.json:
                print(json.dumps(row), flush=True)
                continue
            if not idle:
                idle = row
                print("state            searches/s   p50 ms   p99 ms  x p50  x p99  points/s  paced  unindexed   cpu s")
            show(row, idle)
    finally:
        if server:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()

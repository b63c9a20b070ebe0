#!/usr/bin/env python3
"""latency.py: what happens to the latency of searches while data change.

Starts a server of its own on an empty directory and loads random vectors. Then, in rounds, it lets
it settle, measures how many searches a second it answers, and sends searches at a share of that, as
an open load (a latency counts from the moment a request was due): with nothing beside them, beside
steady inserts, beside a bulk load at full speed, and directly after it. The collection is larger in
every round, so each has an idle state and a rate of its own. At last it measures how many
searches a second are answered beside the inserts. Prints a table, whose ratios are to the idle state
of the same round, and a verdict over the medians of the rounds; ends with 1 when it is not met.
Needs Python alone.
"""

import argparse
import array
import json
import os
import random
import re
import shutil
import signal
import statistics
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
    p.add_argument("--base", help="a data directory to begin with a copy of, instead of loading points")
    p.add_argument("--points", type=int, default=100000, help="loaded first (default: %(default)s)")
    p.add_argument("--dim", type=int, default=128)
    p.add_argument("--seconds", type=int, default=15, help="of each measurement (default: %(default)s)")
    p.add_argument("--rounds", type=int, default=3, help="of all states (default: %(default)s)")
    p.add_argument("--percent", type=int, default=30, help="of the idle capacity (default: %(default)s)")
    p.add_argument("--inserts", type=int, default=1000, help="points a second of the steady state (default: %(default)s)")
    p.add_argument("--batch", type=int, default=500, help="points per request of the bulk load (default: %(default)s)")
    p.add_argument("--connections", type=int, default=4, help="that search, and that write (default: %(default)s)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", action="store_true", help="one line of JSON per state instead of the table")
    return p.parse_args()


def write_fvecs(path, n, dim, seed):
    """Whole numbers from -1000 to 1000, as the load generator makes them; 256 different ones."""
    rng = random.Random(seed)
    numbers = [float(x * 2000 // 255 - 1000) for x in range(256)]
    head = dim.to_bytes(4, "little")
    with open(path, "wb") as f:
        for _ in range(n):
            row = array.array("f", map(numbers.__getitem__, rng.randbytes(dim)))
            if sys.byteorder != "little":
                row.byteswap()
            f.write(head + row.tobytes())


class Server:
    def __init__(self, quiver, data):
        self.process = subprocess.Popen([quiver, "serve", "--listen", "127.0.0.1:0", "--data", data],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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

    def send(self, method, path, body):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=3600) as answer:
            return json.loads(answer.read())

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name):
        m = re.search(rf'^{name}(?:\{{id="{COLLECTION}"\}})? (\d+)$', self.get("/metrics"), re.MULTILINE)
        return int(m.group(1)) if m else 0

    def collection(self):
        return json.loads(self.get("/collections/" + COLLECTION))["result"]

    def is_busy(self):
        return self.collection()["status"] == "yellow"

    def settle(self):
        while self.is_busy():
            time.sleep(0.2)


class Settling(threading.Thread):
    """How long background work goes on from now; a few looks a second, until `end`."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.begin, self.busy_s, self.over = server, time.monotonic(), 0.0, threading.Event()
        self.start()

    def look(self):
        busy = self.server.is_busy()
        if busy:
            self.busy_s = time.monotonic() - self.begin
        return busy

    def run(self):
        while not self.over.wait(0.25):
            self.look()

    def end(self):
        """Wait until there is none; its seconds."""
        self.over.set()
        self.join()
        while self.look():
            time.sleep(0.25)
        return self.busy_s


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


def bench_command(a, server, seconds, *more):
    return [a.quiver, "bench", "http", "--url", server.url, "--collection", COLLECTION, "--json",
            "--seconds", str(seconds), "--seed", str(a.seed), *more]


def bench(a, server, *more):
    out = subprocess.run(bench_command(a, server, a.seconds, *more), stdout=subprocess.PIPE, check=True).stdout.decode()
    return {load["request"]: load for load in map(json.loads, out.splitlines())}


def state(a, server, name, rate, *more):
    watch, cpu, before = Watch(server), server.cpu_s(), server.collection()
    paced = server.metric("quiver_paced_writes_total")
    loads = bench(a, server, "--rate", str(rate), *more)
    search, write = loads["search"], loads.get("upsert", {})
    return {"state": name, "searches_per_s": search["requests_per_s"],
            "p50_ms": search["p50_us"] / 1000, "p99_ms": search["p99_us"] / 1000,
            "points_per_s": write.get("points_per_s", 0),
            "paced_writes": server.metric("quiver_paced_writes_total") - paced,
            "points": before["points_count"], "segments": before["segments_count"], "most_unindexed": watch.end(), "server_cpu_s": server.cpu_s() - cpu,
            "refused": search["refused"] + write.get("refused", 0)}


def steady(a):
    """Options of the load generator for steady inserts, many small requests."""
    batch = max(1, min(10, a.inserts))
    return ["--batch", str(batch)], max(1, a.inserts // batch)


def searches_per_s(a, server):
    few = ["--mode", "search", "--connections", str(a.connections)]
    return bench(a, server, *few)["search"]["requests_per_s"]


def measure(a, server, rate):
    few = ["--connections", str(a.connections)]
    mixed = ["--mode", "mixed", "--search-connections", str(a.connections), *few]
    batch, writes = steady(a)
    yield state(a, server, "idle", rate, "--mode", "search", *few)
    yield state(a, server, f"{a.inserts} inserts/s", rate, *mixed, *batch, "--write-rate", str(writes))
    yield state(a, server, "bulk load", rate, *mixed, "--batch", str(a.batch))
    settling = Settling(server)
    row = state(a, server, "after the load", rate, "--mode", "search", *few, "--warmup", "0")
    row["settled_s"] = settling.end()
    yield row


def qps_kept(a, server):
    """Answers a second with nothing beside them, and beside the inserts; and the points written."""
    alone = searches_per_s(a, server)
    batch, writes = steady(a)
    writer = subprocess.Popen(bench_command(a, server, a.seconds + 2, "--mode", "upsert", "--warmup", "0", "--connections",
                                            str(a.connections), *batch, "--rate", str(writes)), stdout=subprocess.PIPE)
    beside = searches_per_s(a, server)
    written = json.loads(writer.communicate()[0].decode().splitlines()[0])["points_per_s"]
    return alone, beside, written


def verdict(a, rounds, kept):
    """Print what is wanted and what was measured; true when all is met."""
    def median(name, key):
        return statistics.median(next(row[key] / (r[0][key] if key.endswith("_ms") else 1) for row in r
                                      if row["state"] == name) for r in rounds)
    alone, beside, written = kept
    inserts, share = f"{a.inserts} inserts/s", 100 * beside / alone
    settled = statistics.median(row["settled_s"] for r in rounds for row in r if "settled_s" in row)
    idle = statistics.median(r[0]["p99_ms"] / r[0]["p50_ms"] for r in rounds)
    checks = [(f"idle p99 {idle:.1f} x idle p50 (at most 10: else others had the machine, and nothing below counts)", idle <= 10),
              (f"p99 beside a bulk load {median('bulk load', 'p99_ms'):.2f} x idle (at most 2)",
               median("bulk load", "p99_ms") <= 2),
              (f"p99 beside {inserts} {median(inserts, 'p99_ms'):.2f} x idle (at most 2)", median(inserts, "p99_ms") <= 2),
              (f"p99 after the load {median('after the load', 'p99_ms'):.2f} x idle (at most 2)",
               median("after the load", "p99_ms") <= 2),
              (f"settled {settled:.1f} s after a load of {a.seconds} s (at most as long)", settled <= a.seconds),
              (f"rows without a graph {max(row['most_unindexed'] for r in rounds for row in r):,} (below 20,000)",
               max(row["most_unindexed"] for r in rounds for row in r) < 20000),
              (f"searches/s kept beside {written:.0f} inserts/s {share:.0f} % (at least 70: {beside:.0f} of {alone:.0f})",
               share >= 70)]
    for text, met in checks:
        print(f"{'met    ' if met else 'NOT MET'} {text}")
    met = all(met for _, met in checks)
    print(f"verdict: {'met' if met else 'not met'}; medians of {len(rounds)} rounds, bulk load at "
          f"{median('bulk load', 'points_per_s'):.0f} points/s")
    return met


def show(row, idle):
    print(f"{row['state']:16} {row['searches_per_s']:10.0f} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f} "
          f"{row['p50_ms'] / idle['p50_ms']:6.2f} {row['p99_ms'] / idle['p99_ms']:6.2f} "
          f"{row['points_per_s']:9.0f} {row['paced_writes']:6} {row['most_unindexed']:10} {row['server_cpu_s']:7.1f} "
          f"{row['points']:8} {row['segments']:8}"
          + (f"  settled after {row['settled_s']:.1f} s" if "settled_s" in row else "")
          + (f"  {row['refused']} refused" if row["refused"] else ""), flush=True)


def load(a, server, work):
    """The first points."""
    vectors = os.path.join(work, "base.fvecs")
    write_fvecs(vectors, a.points, a.dim, a.seed)
    subprocess.run([a.quiver, "import", vectors, "--url", server.url, "--collection", COLLECTION, "--quiet"],
                   stdout=subprocess.DEVNULL, check=True)
    server.settle()


def run(a, server):
    rounds = []
    if not a.json:
        print("state            searches/s   p50 ms   p99 ms  x p50  x p99  points/s  paced  unindexed   cpu s   points segments")
    for _ in range(a.rounds):
        server.settle()
        rate = max(1, int(searches_per_s(a, server) * a.percent / 100))
        rows = []
        for row in measure(a, server, rate):
            rows.append(row)
            if a.json:
                print(json.dumps(row), flush=True)
            else:
                show(row, rows[0])
        rounds.append(rows)
    kept = qps_kept(a, server)
    if a.json:
        print(json.dumps(dict(zip(("searches_per_s_alone", "searches_per_s_beside", "points_per_s"), kept))))
        return True
    return verdict(a, rounds, kept)


def main():
    a = arguments()
    a.quiver = os.path.abspath(a.quiver)
    work = tempfile.mkdtemp(prefix="quiver-online-", dir=a.dir)
    server = None
    met = False
    try:
        data = os.path.join(work, "data")
        if a.base:
            shutil.copytree(a.base, data)
        server = Server(a.quiver, data)
        if not a.base:
            load(a, server, work)
        met = run(a, server)
    finally:
        if server:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()

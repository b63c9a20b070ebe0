#!/usr/bin/env python3
"""curve.py: latency of searches over time, through load, settling and churn.

Starts a server of its own, loads random vectors, and sends searches at a share of what it answers
idle, as an open load, all the time: at rest, beside a bulk load at full speed, until all background
work has ended, beside churn (points deleted, written anew and added, at a steady rate), and until
that has settled. Each second is one measurement. Writes NAME.csv and NAME.svg. Needs Python alone.
"""

import argparse
import csv
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import latency

PHASES = ("rest", "load", "settle", "churn", "settle after churn")


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("name", help="of the files written, such as docs/benchmarks/online")
    p.add_argument("--quiver", default="build/release/quiver", help="the program (default: %(default)s)")
    p.add_argument("--dir", help="where the data go (default: a temporary directory)")
    p.add_argument("--points", type=int, default=100000, help="loaded first (default: %(default)s)")
    p.add_argument("--dim", type=int, default=128)
    p.add_argument("--seconds", type=int, default=20, help="of rest, load and churn each (default: %(default)s)")
    p.add_argument("--settle-most", type=int, default=120, help="seconds that settling may take (default: %(default)s)")
    p.add_argument("--percent", type=int, default=30, help="of the idle capacity (default: %(default)s)")
    p.add_argument("--churn", type=int, default=1000, help="points changed a second (default: %(default)s)")
    p.add_argument("--batch", type=int, default=500, help="points per request of the bulk load (default: %(default)s)")
    p.add_argument("--connections", type=int, default=4)
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


class Churn(threading.Thread):
    """Ten times a second: delete some points, write others anew, and add as many as were deleted."""

    def __init__(self, a, server):
        super().__init__(daemon=True)
        self.a, self.server, self.over, self.changed = a, server, threading.Event(), 0
        self.rng = random.Random(a.seed)
        self.first, self.next_id = 0, 1 << 40
        self.start()

    def point(self, number):
        return {"id": number, "vector": [x * 2000 // 255 - 1000 for x in self.rng.randbytes(self.a.dim)]}

    def step(self):
        n = max(1, self.a.churn // 30)
        path = f"/collections/{latency.COLLECTION}/points"
        self.server.send("POST", path + "/delete?wait=true", {"points": list(range(self.first, self.first + n))})
        self.first += n
        anew = [self.point(self.rng.randrange(self.first, self.a.points)) for _ in range(n)]
        added = [self.point(self.next_id + i) for i in range(n)]
        self.next_id += n
        self.server.send("PUT", path + "?wait=true", {"points": anew + added})
        self.changed += 3 * n

    def run(self):
        due = time.monotonic()
        while not self.over.is_set() and self.first + self.a.churn < self.a.points:
            self.step()
            due += 0.1
            self.over.wait(max(0.0, due - time.monotonic()))

    def end(self):
        self.over.set()
        self.join()


class Recorder:
    def __init__(self, a, server, rate):
        self.a, self.server, self.rate = a, server, rate
        self.begin, self.rows = time.monotonic(), []

    def second(self, phase):
        few = ["--mode", "search", "--warmup", "0", "--connections", str(self.a.connections), "--rate", str(self.rate)]
        at = time.monotonic() - self.begin
        points = self.points()
        out = subprocess.run(latency.bench_command(self.a, self.server, 1, *few), stdout=subprocess.PIPE, check=True).stdout
        search = json.loads(out)
        passed = time.monotonic() - self.begin - at
        self.rows.append({"second": round(at, 2), "phase": phase, "p50_ms": round(search["p50_us"] / 1000, 3),
                          "p99_ms": round(search["p99_us"] / 1000, 3), "searches_per_s": round(search["requests_per_s"]),
                          "points_per_s": round(max(0, self.points() - points) / passed),
                          "unindexed": self.server.metric("quiver_collection_unindexed_rows"), "points": self.points()})
        print(",".join(map(str, self.rows[-1].values())), flush=True)

    def points(self):
        return json.loads(self.server.get("/collections/" + latency.COLLECTION))["result"]["points_count"]

    def phase(self, name, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.second(name)

    def settle(self, name):
        """Until nothing is under way, and five seconds more."""
        end = time.monotonic() + self.a.settle_most
        while self.server.is_busy() and time.monotonic() < end:
            self.second(name)
        self.phase(name, 5)


def record(a, server):
    rate = max(1, int(latency.searches_per_s(a, server) * a.percent / 100))
    r = Recorder(a, server, rate)
    r.phase("rest", a.seconds)
    loader = subprocess.Popen(latency.bench_command(a, server, a.seconds, "--mode", "upsert", "--warmup", "0", "--connections",
                                                    str(a.connections), "--batch", str(a.batch)), stdout=subprocess.DEVNULL)
    while loader.poll() is None:
        r.second("load")
    r.settle("settle")
    churn = Churn(a, server)
    r.phase("churn", a.seconds)
    churn.end()
    r.settle("settle after churn")
    return r.rows


# --- the picture -----------------------------------------------------------------------------------

WIDTH, LEFT, RIGHT = 960, 70, 20
PANELS = ((30, 240, "ms, logarithmic"), (300, 110, "rows without a graph"), (440, 110, "points more a second"))
COLOURS = {"p50_ms": "#2b6cb0", "p99_ms": "#c05621", "unindexed": "#2f855a", "points_per_s": "#6b46c1"}


def text(x, y, words, size=12, anchor="start", colour="#222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def line(rows, key, x_of, y_of):
    points = " ".join(f"{x_of(r['second']):.1f},{y_of(r[key]):.1f}" for r in rows)
    return f'<polyline fill="none" stroke="{COLOURS[key]}" stroke-width="1.5" points="{points}"/>'


def rule(y, label):
    return (f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
            + text(LEFT - 6, y + 4, label, 11, "end", "#555"))


def phases_of(rows, x_of, height):
    out, end = [], rows[-1]["second"] + 1
    for i, name in enumerate(PHASES):
        mine = [r["second"] for r in rows if r["phase"] == name]
        if not mine:
            continue
        after = min((r["second"] for r in rows if r["second"] > mine[-1]), default=end)
        x0, x1 = x_of(mine[0]), x_of(after)
        out.append(f'<rect x="{x0:.1f}" y="20" width="{x1 - x0:.1f}" height="{height - 50}" fill="{"#f7f7f7" if i % 2 else "#fff"}"/>')
        out.append(text((x0 + x1) / 2, 15, name, 12, "middle"))
    return out


def svg(rows):
    height = PANELS[-1][0] + PANELS[-1][1] + 40
    span = rows[-1]["second"] + 1
    def x_of(second):
        return LEFT + (WIDTH - LEFT - RIGHT) * second / span
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', *phases_of(rows, x_of, height)]
    top, tall, label = PANELS[0]
    low = math.floor(math.log10(min(max(r["p50_ms"], 0.01) for r in rows)))
    high = math.ceil(math.log10(max(max(r["p99_ms"], 0.02) for r in rows)))
    def log_y(ms):
        return top + tall * (1 - (math.log10(max(ms, 0.01)) - low) / (high - low))
    out += [rule(log_y(10.0 ** e), f"{10.0 ** e:g}") for e in range(low, high + 1)]
    out += [line(rows, "p50_ms", x_of, log_y), line(rows, "p99_ms", x_of, log_y)]
    out += [text(LEFT + 8, top + 14, "p50 of searches, " + label, colour=COLOURS["p50_ms"]),
            text(LEFT + 8, top + 30, "p99 of searches", colour=COLOURS["p99_ms"])]
    for (top, tall, label), key in zip(PANELS[1:], ("unindexed", "points_per_s")):
        most = max(1, max(r[key] for r in rows))
        def y_of(value, top=top, tall=tall, most=most):
            return top + tall * (1 - value / most)
        out += [rule(y_of(0), "0"), rule(y_of(most), f"{most:,}"), line(rows, key, x_of, y_of),
                text(LEFT + 8, top + 14, label, colour=COLOURS[key])]
    step = 10 if span < 120 else 30
    out += [text(x_of(s), height - 12, f"{s} s", 11, "middle", "#555") for s in range(0, int(span), step)]
    return "\n".join([*out, "</svg>", ""])


def write(name, rows):
    with open(name + ".csv", "w", newline="", encoding="ascii") as f:
        w = csv.DictWriter(f, rows[0].keys(), lineterminator="\n")
        w.writeheader()
        w.writerows(rows)
    with open(name + ".svg", "w", encoding="ascii") as f:
        f.write(svg(rows))


def main():
    a = arguments()
    a.quiver = os.path.abspath(a.quiver)
    work = tempfile.mkdtemp(prefix="quiver-curve-", dir=a.dir)
    server = None
    try:
        server = latency.Server(a.quiver, os.path.join(work, "data"))
        latency.load(a, server, work)
        rows = record(a, server)
    finally:
        if server:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    write(a.name, rows)
    def p99(name):
        mine = sorted(r["p99_ms"] for r in rows if r["phase"] == name)
        return mine[len(mine) // 2]
    print("p99, median of the seconds: " + ", ".join(f"{name} {p99(name):.2f} ms" for name in PHASES), file=sys.stderr)


if __name__ == "__main__":
    main()

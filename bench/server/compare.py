#!/usr/bin/env python3
"""compare.py: Quiver and other servers of vector search side by side: searches at equal recall, and ingest.

Usage: compare.py SET...         a set is a directory with base.fvecs, queries.fvecs, truth.ivecs (100 a row) and perhaps `metric`
Starts each server on an empty directory, loads the set, leaves all alone until what they do by themselves is done, finds for each k the least beam at which the first server reaches the
recall and at which the others reach what that one does, and measures there, all servers in turn: a closed loop over 1 and 8 connections, and an open one at half of what 8 connections got. All run on
this machine with the load generator, which takes CPU too: compare ratios. A server that cannot be had is named with what was tried.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from servers import ROOT, SERVERS, bench, metric_of

BEAMS = (10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 36, 40, 48, 56, 64, 80, 100, 112, 128, 144, 160, 192, 224, 256, 320, 384, 512, 640, 800, 1000)
EQUAL = 0.003  # of recall
PAUSE = 12  # seconds: Quiver merges what nobody has written to for ten


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("sets", nargs="+", metavar="SET")
    p.add_argument("--servers", default="quiver,redis-q8,redis-noquant,pgvector,chroma,qdrant")
    p.add_argument("--recall", type=float, default=0.95)
    p.add_argument("--k", default="10,100")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--load-connections", type=int, default=4)
    p.add_argument("--quiver", default=f"{ROOT}/build/release/quiver")
    p.add_argument("--bench", default=f"{ROOT}/build/release/bench/bench_server")
    p.add_argument("--redis", default="redis-server", help="version 8, with vector sets")
    p.add_argument("--postgres", default="/usr/lib/postgresql/15/bin", help="folder of initdb and postgres, with pgvector installed")
    p.add_argument("--chroma", default="chroma")
    p.add_argument("--qdrant", default="qdrant")
    p.add_argument("--out", default=f"{ROOT}/docs/benchmarks/server", help="writes OUT.md and OUT.csv")
    p.add_argument("--machine", default="", help="a sentence about it, for the head of the tables")
    p.add_argument("--lines", help="keep every line of bench_server in this file")
    p.add_argument("--missing", action="append", default=[], metavar="NAME: TRIED", help="a server that cannot be had, for the tables")
    return p.parse_args()


def least_beam(a, server, folder, metric, k, recall=None):
    """The first beam that reaches the recall, by halving; the last one where none does."""
    recall = a.recall if recall is None else recall
    beams = [b for b in BEAMS if b >= k]
    low, high = 0, len(beams) - 1
    while low < high:
        middle = (low + high) // 2
        line = bench(a, server, "search", folder, metric, "--k", str(k), "--ef", str(beams[middle]), "--seconds", "1")[0]
        low, high = (low, middle) if line["recall"] >= recall else (middle + 1, high)
    return beams[low]


def beams_of(a, servers, folder, metric, k):
    """The least beam of each. A beam is no narrower than k, which may find more than was asked for: so what the first
    server finds is what the others are to find."""
    first = servers[0]
    beam = {first.name: least_beam(a, first, folder, metric, k)}
    line = bench(a, first, "search", folder, metric, "--k", str(k), "--ef", str(beam[first.name]), "--seconds", "1")[0]
    recall = max(a.recall, line["recall"] - EQUAL)
    return beam | {s.name: least_beam(a, s, folder, metric, k, recall) for s in servers[1:]}


def measure(a, servers, folder, metric):
    """Rows of the tables: one per server, k and load."""
    rows = []
    for k in map(int, a.k.split(",")):
        beam = beams_of(a, servers, folder, metric, k)
        seen = {}
        for _ in range(a.rounds):
            for s in servers:
                ask = ["--k", str(k), "--ef", str(beam[s.name]), "--seconds", str(a.seconds)]
                for connections in (1, 8):
                    line = bench(a, s, "search", folder, metric, *ask, "--connections", str(connections))[0]
                    seen.setdefault((s.name, f"closed, {connections}"), []).append(line)
                rate = max(1.0, line["qps"] / 2)
                line = bench(a, s, "search", folder, metric, *ask, "--connections", "8", "--rate", f"{rate:.0f}")[0]
                seen.setdefault((s.name, "open, half"), []).append(line)
        for (name, load), lines in seen.items():
            row = {"set": os.path.basename(folder), "k": k, "load": load, "server": name, "ef": beam[name]}
            row |= {key: statistics.median(line[key] for line in lines) for key in ("recall", "qps", "p50_us", "p95_us", "p99_us")}
            rows.append(row)
    return rows


def of_set(a, folder, missing):
    metric = metric_of(folder)
    work, servers, loads = tempfile.mkdtemp(prefix="quiver-bench-server-"), [], []
    try:
        for name in a.servers.split(","):
            os.mkdir(f"{work}/{name}")
            server = SERVERS[name](a, f"{work}/{name}")
            try:
                server.start()
                line = bench(a, server, "load", folder, metric, "--connections", str(a.load_connections))[0]
                loads.append(line | {"version": server.version()})
                servers.append(server)
            except (OSError, RuntimeError, subprocess.CalledProcessError) as e:
                missing.setdefault(name, str(e))
                print(f"compare.py: without {name}: {e}", file=sys.stderr)
                server.stop()
        time.sleep(PAUSE)
        for server, load in zip(servers, loads):
            server.settle()
            load["memory_mb"] = server.memory_mb()
            print(json.dumps(load), flush=True)
        return measure(a, servers, folder, metric), loads
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)


def table(out, head, lines):
    out.append("| " + " | ".join(head) + " |")
    out.append("|" + "---|" * len(head))
    out += ["| " + " | ".join(map(str, line)) + " |" for line in lines]
    out.append("")


def write(a, rows, loads, missing):
    out = ["# Servers: Quiver and others", "",
           f"Searches over loopback at recall@k {a.recall} or more: the first server at the least beam that reaches it, each other one at the least that "
           f"reaches what that one does, less {EQUAL}; medians of {a.rounds} rounds, "
           f"all servers in turn; server and load generator share the machine. Made by `bench/server/compare.py`. {a.machine}".strip(), ""]  # fmt: skip
    for name in dict.fromkeys(row["set"] for row in rows):
        mine = [load for load in loads if load["set"] == name]
        out += [f"## {name}", ""]
        for k, load in dict.fromkeys((row["k"], row["load"]) for row in rows if row["set"] == name):
            these = [row for row in rows if (row["set"], row["k"], row["load"]) == (name, k, load)]
            base = next((row["qps"] for row in these if row["server"] == "quiver"), None)
            kind = {"closed, 1": "one connection", "closed, 8": "eight connections"}.get(load, "eight connections, half of that rate")
            out += [f"k {k}, {kind}:", ""]
            ratio = (lambda row: f"{base / row['qps']:.1f}") if base and load != "open, half" else (lambda row: "")
            table(out, ("server", "ef", "recall", "searches/s", "p50: us", "p95: us", "p99: us", "Quiver is x as fast"),
                  [(row["server"], row["ef"], f"{row['recall']:.4f}", f"{row['qps']:,.0f}", f"{row['p50_us']:,.0f}", f"{row['p95_us']:,.0f}",
                    f"{row['p99_us']:,.0f}", ratio(row)) for row in these])  # fmt: skip
        out += [f"Ingest, {a.load_connections} connections, 256 points a request (of pgvector, a COPY):", ""]
        table(out, ("server", "version", "durable: points/s", "indexed: points/s", "memory: MB"),
              [(load["server"], load["version"], f"{load['durable_points_per_s']:,}", f"{load['indexed_points_per_s']:,}",
                f"{load['memory_mb']:,.0f}") for load in mine])  # fmt: skip
    tried = [f"{name}: {why}" for name, why in missing.items()]
    if tried:
        out += ["Not measured, with what was tried:", ""] + [f"- {t}" for t in tried] + [""]
    with open(f"{a.out}.md", "w", encoding="utf-8") as f:
        f.write("\n".join(out))
    with open(f"{a.out}.csv", "w", encoding="utf-8") as f:
        f.write("set,k,load,server,ef,recall,qps,p50_us,p95_us,p99_us\n")
        f.writelines(f"{r['set']},{r['k']},\"{r['load']}\",{r['server']},{r['ef']},{r['recall']:.4f},{r['qps']:.0f},{r['p50_us']:.0f},"
                     f"{r['p95_us']:.0f},{r['p99_us']:.0f}\n" for r in rows)  # fmt: skip


def main():
    a = arguments()
    a.quiver, missing, rows, loads = os.path.abspath(a.quiver), {}, [], []
    for text in a.missing:
        name, _, why = text.partition(": ")
        missing[name] = why
        a.servers = ",".join(s for s in a.servers.split(",") if s != name)
    for folder in a.sets:
        found = of_set(a, os.path.realpath(folder), missing)
        rows += found[0]
        loads += found[1]
        write(a, rows, loads, missing)
    print(f"{a.out}.md")


if __name__ == "__main__":
    main()

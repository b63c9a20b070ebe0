#!/usr/bin/env python3
"""split.py: where the CPU time of a search over REST goes: parsing, planning, searching, serialising, HTTP, the kernel.

Usage: split.py SET              a set as of compare.py; needs perf (Debian: linux-perf) and permission to use it
Starts a server, loads the set, searches over one connection in a closed loop at the least beam that reaches the recall, and
samples the server. A sample belongs to the folder, or the file, of the function it fell in, by the program's own line table.
"""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from compare import least_beam
from servers import ROOT, Quiver, bench, metric_of

# The first that fits names the part. Files are of the program; whole libraries stand in brackets.
PARTS = (
    ("parse", r"\[libyajl|base/json(_parse|_scan|_number)?\.c|api/qdrant/(query_in|vectors_in|query_kinds|params|filters)\.c|payload/filter_parse"),
    ("serialise", r"base/(json_write|json_shortest|buf)\.[ch]|api/qdrant/(points_out|envelope)\.c|payload/value_(write|json)"),
    ("search", r"/(index|simd|quant|bitmap)/|engine/segment|intrin\.h"),
    ("HTTP", r"\[libmicrohttpd|/server/"),
    ("kernel", r"\[kernel|\[vdso"),
    ("plan and run", r"/(engine|api|payload)/"),
)


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("set")
    p.add_argument("--recall", type=float, default=0.95)
    p.add_argument("--k", type=int, default=10)
    p.add_argument("--seconds", type=float, default=8)
    p.add_argument("--quiver", default=f"{ROOT}/build/release/quiver", help="built with -g1, as the preset does")
    p.add_argument("--bench", default=f"{ROOT}/build/release/bench/bench_server")
    p.add_argument("--top", type=int, default=0, help="list so many files, too")
    p.add_argument("--lines", default=None, help=argparse.SUPPRESS)
    return p.parse_args()


def sample(pid, seconds, path):
    subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-p", str(pid), "-o", path, "--", "sleep", str(seconds)],
                   check=True, stderr=subprocess.DEVNULL)  # fmt: skip
    text = subprocess.run(["perf", "script", "-i", path, "-F", "ip,sym,symoff,dso"], check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        m = re.match(r"\s*([0-9a-f]+)\s+(.*?)\s+\((.*)\)\s*$", line)
        if m:
            yield int(m[1], 16), m[2], m[3]


def base_of(pid, program):
    """Where the program lies in memory, so that an address becomes one of its file."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        return min(int(line.split("-")[0], 16) for line in f if line.rstrip().endswith(program))


def files_of(program, addresses):
    """The source file of each address."""
    done = subprocess.run(["addr2line", "-e", program], input="\n".join(hex(a) for a in addresses), check=True, capture_output=True, text=True)
    return [re.sub(r":\d+.*$", "", line) for line in done.stdout.splitlines()]


def main():
    a = arguments()
    a.quiver, folder = os.path.realpath(a.quiver), os.path.realpath(a.set)
    if not shutil.which("perf"):
        sys.exit("split.py: perf is not there; Debian has it in linux-perf")
    work, metric = tempfile.mkdtemp(prefix="quiver-bench-split-"), metric_of(folder)
    server = Quiver(a, work)
    try:
        server.start()
        bench(a, server, "load", folder, metric, "--connections", "4")
        ef = least_beam(a, server, folder, metric, a.k)
        pid, base = server.process.pid, base_of(server.process.pid, a.quiver)
        load = subprocess.Popen([a.bench, "search", *server.args(), "--set", folder, "--metric", metric, "--k", str(a.k), "--ef", str(ef),
                                 "--seconds", str(a.seconds + 3)], stdout=subprocess.PIPE, text=True)  # fmt: skip
        time.sleep(1.5)
        samples = list(sample(pid, a.seconds, f"{work}/perf.data"))
        result = load.communicate()[0].strip()
        own = [i for i, (_, _, dso) in enumerate(samples) if dso == a.quiver]
        where = [f"[{os.path.basename(dso)}]" if not dso.startswith("[") else dso for _, _, dso in samples]
        for i, file in zip(own, files_of(a.quiver, [samples[i][0] - base for i in own]), strict=True):
            where[i] = file
    finally:
        server.stop()
        shutil.rmtree(work, ignore_errors=True)
    parts, files = collections.Counter(), collections.Counter(where)
    for file, n in files.items():
        parts[next((name for name, pattern in PARTS if re.search(pattern, file)), "the rest (C library, memory)")] += n
    print(result)
    for name, n in parts.most_common():
        print(f"{100 * n / len(samples):5.1f} %  {name}")
    for file, n in files.most_common(a.top):
        print(f"{100 * n / len(samples):5.1f} %  {os.path.relpath(file, ROOT) if file.startswith('/') else file}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""memory.py: a real server in a memory cgroup of its budget and 64 MiB; see README.md."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time

import rig
from rig import MIB, Client, Gone, Ledger, Server, fail, until

SPARE = 64 * MIB


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Watch(threading.Thread):
    """Reads what the process has, ten times a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.stop = pid, {}, False

    def shown(self):
        return {k: round(v / MIB, 1) if k[0] in "VR" else v for k, v in self.peak.items()}

    def run(self):
        while not self.stop:
            for key, value in rig.status_of(self.pid).items():
                self.peak[key] = max(self.peak.get(key, 0), value)
            time.sleep(0.1)


def writer(port, seed, dim, base, end, out):
    """Upserts of all sizes; refusals are fine, the ledger tells what was taken."""
    rng = random.Random(seed)
    ledger = Ledger(rng, "c", dim)
    refused = {}
    client = Client(port)
    at = base
    while time.monotonic() < end:
        n = rng.choice([1, 10, 100, 400])
        try:
            status, text = ledger.upsert(client, range(at, at + n), rng.choice([0, 100, 2000]))
        except Gone:   # without memory for an answer the connection may just end
            status, text = 0, "connection closed"
            client.close()
            client = Client(port)
        if status in (0, 200):
            at += n
        if status != 200:
            text = text.partition('"error":"')[2][:70] or text
            refused[text] = refused.get(text, 0) + 1
            time.sleep(0.05)
    out.append((ledger, refused))
    client.close()


def searcher(port, seed, dim, end, out):
    rng = random.Random(seed)
    client = Client(port)
    codes = {}
    while time.monotonic() < end:
        try:
            status, _ = client.ask("POST", "/collections/c/points/search", {
                "vector": [rng.uniform(-1, 1) for _ in range(dim)],
                "limit": rng.choice([10, 1000, 5000]), "with_payload": True,
                "with_vector": rng.random() < 0.3, "params": {"exact": rng.random() < 0.1}})
        except Gone:
            status = 0
            client.close()
            client = Client(port)
        codes[status] = codes.get(status, 0) + 1
    out.append(codes)
    client.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quiver")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget-mib", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--writers", type=int, default=4)
    args = parser.parse_args()
    seed = args.seed or random.randrange(1 << 32)
    print(f"seed {seed}: {sys.argv[0]} {args.quiver} --seed {seed} --budget-mib {args.budget_mib} "
          f"--seconds {args.seconds}", flush=True)
    rng = random.Random(seed)
    budget = args.budget_mib * MIB
    group = rig.MemoryGroup(budget + SPARE)
    root = tempfile.mkdtemp(prefix="quiver-memory-")
    server = Server(args.quiver, os.path.join(root, "data"), os.path.join(root, "log"),
                    ["--memory", f"{args.budget_mib}MiB"], group.wrap())
    try:
        server.start()
        client = Client(server.port)
        Ledger(rng, "c", args.dim).create(client)
        watch = Watch(server.process.pid)
        watch.start()
        end, wrote, searched = time.monotonic() + args.seconds, [], []
        threads = [threading.Thread(target=writer, args=(
            server.port, rng.random(), args.dim, i * 10**9, end, wrote)) for i in range(args.writers)]
        threads += [threading.Thread(target=searcher, args=(
            server.port, rng.random(), args.dim, end, searched)) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if server.process.poll() is not None:
            fail(f"the server ended with {server.process.returncode}, "
                 f"{group.kills()} by the OOM killer, peak {watch.shown()}\n{server.log_end()}")
        watch.stop = True
        watch.join()
        ledger, refused = Ledger(rng, "c", args.dim), {}
        for one, why in wrote:
            ledger.acked.update(one.acked)
            ledger.open.update(one.open)
            for text, n in why.items():
                refused[text] = refused.get(text, 0) + n
        say(f"  {len(ledger.acked)} points taken; refused {refused}; searches {searched}")
        metrics = client.connection
        metrics.request("GET", "/metrics")
        text = metrics.getresponse().read().decode()
        numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
        say(f"  accounted peak {int(numbers['quiver_memory_peak_bytes']) / MIB:.1f} MiB, now "
            f"{int(numbers['memory_allocated_bytes']) / MIB:.1f}; process peak "
            f"{watch.shown()}; group: peak "
            f"{group.peak() / MIB:.1f} of {(budget + SPARE) / MIB:.0f}, {group.failures()} reclaims, "
            f"{group.kills()} kills")
        if watch.peak["RssAnon"] > budget + SPARE:
            fail("more memory resident than budget and spare")
        if group.kills():
            fail("the OOM killer came")
        client.close()
        client = Client(server.port)
        until(30, "reads are served", lambda: client.ask("POST", "/collections/c/points/count",
                                                         {"exact": True})[0] == 200)
        ledger.check(client)
        at = iter(range(10**12, 2 * 10**12))
        took = until(30, "writes are taken again",
                     lambda: ledger.upsert(client, [next(at)])[0] == 200)
        say(f"  writes taken again after {took:.2f} s")
        code = server.end(15)
        if code != 0:
            fail(f"the server ended with {code}\n{server.log_end()}")
        print("passed")
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
        print(server.log_end()[-1500:])
        group.remove()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()

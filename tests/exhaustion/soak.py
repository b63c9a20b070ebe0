#!/usr/bin/env python3
"""soak.py: churn, snapshots, collections that come and go, reconnects; see README.md."""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time

import rig
from rig import MIB, Client, Ledger, Server, fail, status_of

POINTS = 6000
LOG_MAX = 450 * MIB   # a checkpoint begins at 256 MiB; files of 64 MiB are kept whole


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def disk_of(path):
    total = 0
    for folder, _, files in os.walk(path):
        for f in files:
            try:
                total += os.lstat(os.path.join(folder, f)).st_blocks * 512
            except OSError:
                pass   # removed meanwhile
    return total


def churn(rng, ledger, client):
    """A little of everything on the one collection that stays."""
    live = ledger.live()
    new = [rng.randrange(10**9) for _ in range(POINTS - len(live))] if len(live) < POINTS else []
    ids = new[:200] + rng.sample(live, min(len(live), 50))
    if ids:
        ledger.upsert(client, list(dict.fromkeys(ids)), rng.choice([0, 200, 1000]))
    live = ledger.live()
    if len(live) > POINTS * 3 // 4:
        ledger.delete(client, rng.sample(live, 200))
    ledger.search(client)


def visitor(rng, client):
    """A collection that comes and goes, with a snapshot."""
    other = Ledger(rng, f"v{rng.randrange(10**9)}", 16)
    other.create(client)
    other.upsert(client, range(100))
    client.ask("DELETE", f"/collections/{other.name}")


def snapshot(client):
    status, answer = client.ask("POST", "/collections/c/snapshots")
    if status != 200:
        fail(f"a snapshot answered {status}: {answer}")
    status, answer = client.ask("DELETE", f"/collections/c/snapshots/{answer['result']['name']}")
    if status != 200:
        fail(f"deleting a snapshot answered {status}: {answer}")


def grows(values, slack):
    """The last quarter lies above the second one by more than a tenth and the slack."""
    quarter = len(values) // 4
    before = statistics.median(values[quarter:2 * quarter])
    after = statistics.median(values[-quarter:])
    return after > before * 1.1 + slack, before, after


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quiver")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1200)
    args = parser.parse_args()
    seed = args.seed or random.randrange(1 << 32)
    print(f"seed {seed}: {sys.argv[0]} {args.quiver} --seed {seed} --seconds {args.seconds}",
          flush=True)
    rng = random.Random(seed)
    root = tempfile.mkdtemp(prefix="quiver-soak-")
    data = os.path.join(root, "data")
    server = Server(args.quiver, data, os.path.join(root, "log"), ["--memory", "256MiB"])
    samples = {"RssAnon": [], "fds": [], "Threads": [], "disk": []}
    try:
        server.start()
        client, ledger, rounds = Client(server.port), Ledger(rng, "c", 32), 0
        ledger.create(client, optimizers_config={"max_segment_size": 2000})
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            churn(rng, ledger, client)
            rounds += 1
            if rounds % 5 == 0:
                visitor(rng, client)
            if rounds % 20 == 0:
                snapshot(client)
            if rounds % 7 == 0:
                client.close()
                client = Client(server.port)
            if rounds % 3 == 0:
                now = status_of(server.process.pid)
                log = disk_of(os.path.join(data, "log"))   # grows up to a bound of its own
                now["disk"] = disk_of(data) - log
                if log > LOG_MAX:
                    fail(f"the log has {log} bytes")
                for key, values in samples.items():
                    values.append(now[key])
        n = ledger.check(client)
        say(f"  {rounds} rounds, {n} points, all as acknowledged")
        for key, slack in (("RssAnon", 16 * MIB), ("fds", 8), ("Threads", 2), ("disk", 32 * MIB)):
            more, before, after = grows(samples[key], slack)
            say(f"  {key}: {before:.0f} in the second quarter, {after:.0f} in the last")
            if more:
                fail(f"{key} grows")
        if server.end(15) != 0:
            fail(f"the server did not end well\n{server.log_end()}")
        print("passed")
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
            print(server.log_end()[-1500:])
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()

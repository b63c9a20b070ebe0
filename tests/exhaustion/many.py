#!/usr/bin/env python3
"""many.py: many small collections in one server with few descriptors; see README.md."""

import argparse
import os
import random
import resource
import shutil
import sys
import tempfile
import time

import rig
from rig import MIB, Client, Server, fail, status_of


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def switches(pid):
    """Context switches of all threads."""
    n = 0
    for t in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{t}/status") as f:
            n += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
    return n


def accounted(client):
    """Bytes in the server's own accounts."""
    for line in client.text("/metrics").splitlines():
        if line.startswith("memory_allocated_bytes "):
            return int(float(line.split()[1]))
    return fail("no metric memory_allocated_bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quiver")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--collections", type=int, default=10000)
    parser.add_argument("--points", type=int, default=5)
    parser.add_argument("--start-s", type=float, default=60)
    args = parser.parse_args()
    seed = args.seed or random.randrange(1 << 32)
    print(f"seed {seed}: {sys.argv[0]} {args.quiver} --seed {seed} --collections "
          f"{args.collections}", flush=True)
    rng = random.Random(seed)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 1024:
        rig.skip(f"no more than {hard} descriptors here")
    root = tempfile.mkdtemp(prefix="quiver-many-")
    server = Server(args.quiver, os.path.join(root, "data"), os.path.join(root, "log"), [],
                    ["sh", "-c", 'ulimit -n 1024 && exec "$@"', "sh"])
    n = args.collections
    try:
        server.start()
        client = Client(server.port)
        base = status_of(server.process.pid)
        base_accounted = accounted(client)

        def ask(method, path, body=None):
            status, answer = client.ask(method, path, body)
            if status != 200:
                fail(f"{method} {path} answered {status}: {answer}")
            return answer["result"]

        def told(what, began, per):
            now = status_of(server.process.pid)
            say(f"  {what}: {time.monotonic() - began:.1f} s; resident {now['VmRSS'] / MIB:.0f} MiB, "
                f"{(now['RssAnon'] - base['RssAnon']) / per / 1024:.1f} KiB a collection; "
                f"{now['fds']} descriptors, {now['Threads']} threads")
            if now["fds"] > 200:
                fail("descriptors grow with collections")
            return now

        def vector():
            return [round(rng.uniform(-1, 1), 3) for _ in range(8)]

        began = time.monotonic()
        for i in range(n):
            ask("PUT", f"/collections/c{i}", {"vectors": {"size": 8, "distance": "Dot"}})
        now = told("created", began, n)
        empty = (now["RssAnon"] - base["RssAnon"]) / n
        began = time.monotonic()
        for i in range(n):
            ask("PUT", f"/collections/c{i}/points?wait=true", {"points": [
                {"id": k, "vector": vector(), "payload": {"c": i}} for k in range(args.points)]})
        now = told("written to all", began, n)
        small = (now["RssAnon"] - base["RssAnon"]) / n
        counted = (accounted(client) - base_accounted) / n
        say(f"  accounts: {counted / 1024:.1f} KiB a collection")
        for what, size in (("empty", empty), ("small", small), ("accounted", counted)):
            if n >= 300 and size > 200 * 1024:
                fail(f"an {what} collection takes {size / 1024:.0f} KiB")
        if n >= 300 and not small / 2 < counted < small * 3 / 2:
            fail(f"a small collection takes {small / 1024:.0f} KiB, the accounts say "
                 f"{counted / 1024:.0f} KiB")

        # What was due gets done, and a connection's timeouts are looked at once more; then nothing.
        quiet, woken = 3, 1
        deadline = time.monotonic() + 60
        while woken and time.monotonic() < deadline:
            before = switches(server.process.pid)
            time.sleep(quiet)
            woken = switches(server.process.pid) - before
        say(f"  idle: {woken} wake-ups in {quiet} s")
        if woken:
            fail("an idle server wakes up")

        for how in ("killed", "stopped"):
            began = time.monotonic()
            client.close()
            if how == "killed":
                server.kill()
            elif server.end(15) != 0:
                fail(f"the server did not end well\n{server.log_end()}")
            say(f"  {how} in {time.monotonic() - began:.1f} s")
            began = time.monotonic()
            server.start()
            client = Client(server.port)
            told(f"{how}, started again", began, n)
            if time.monotonic() - began > args.start_s:
                fail(f"the start took more than {args.start_s} s")
            began = time.monotonic()
            for i in range(n):
                found = ask("POST", f"/collections/c{i}/points/search",
                            {"vector": vector(), "limit": 10, "with_payload": True})
                if len(found) != args.points or found[0]["payload"] != {"c": i}:
                    fail(f"collection c{i} answers {found}")
            told("searched all", began, n)

        began = time.monotonic()
        for i in range(n):
            ask("DELETE", f"/collections/c{i}")
        now = told("dropped all", began, n)
        if now["RssAnon"] - base["RssAnon"] > 16 * MIB + small * n / 4:
            fail("dropping all gives too little memory back")
        left = [f for _, _, files in os.walk(os.path.join(root, "data", "blobs")) for f in files]
        if left:
            fail(f"{len(left)} files are left in blobs/: {left[:3]}")
        server.kill()
        print("passed")
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
            print(server.log_end()[-1500:])
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()

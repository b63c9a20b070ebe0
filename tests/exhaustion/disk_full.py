#!/usr/bin/env python3
"""disk_full.py: a real server on a file system that is too small; see README.md."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time

import rig
from rig import MIB, Client, Gone, Ledger, Server, fail, until


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Run:
    def __init__(self, args, kind, mib, rng, root):
        self.rng, self.args = rng, args
        self.disk = rig.SmallDisk(kind, mib, root)
        self.server = Server(args.quiver, os.path.join(self.disk.path, "data"),
                             os.path.join(root, "log"), args.serve)
        self.ledger = Ledger(rng)
        self.next_id = 0
        self.start()

    def start(self):
        self.server.start()
        self.client = Client(self.server.port)

    def restart(self):
        self.client.close()
        self.server.kill()
        self.start()
        n = self.ledger.check(self.client)
        say(f"  killed and started again: {n} points, all as acknowledged")

    def upsert(self, n=100):
        """The status of writing n new points."""
        ids = range(self.next_id, self.next_id + n)
        status, text = self.ledger.upsert(self.client, ids, self.rng.randrange(100))
        if status == 200:
            self.next_id += n
        elif status != 507 and status != 429:
            fail(f"an upsert was answered {status}: {text}")
        elif status == 507 and "space" not in text:
            fail(f"507 does not say what is short: {text}")
        return status

    def fill(self):
        """Until a write is refused for good."""
        refused = 0
        while refused < 20:
            if self.upsert() == 200:
                refused = 0
            else:
                refused += 1
                time.sleep(0.05)
        say(f"  full: {len(self.ledger.acked)} points, {self.disk.free() / MIB:.1f} MiB free")

    def reads_go_on(self):
        if len(self.ledger.search(self.client)) != min(10, len(self.ledger.live())):
            fail("a search on the full disk found too little")
        n = self.ledger.check(self.client)
        if self.client.get(f"/collections/c/points/count", {"exact": True})["count"] != n:
            fail("the count differs from what scroll found")

    def delete(self, share):
        """Delete a share of the points at random; every request must be taken."""
        ids = self.rng.sample(self.ledger.live(), int(len(self.ledger.live()) * share))
        for at in range(0, len(ids), 500):
            status, text = self.ledger.delete(self.client, ids[at:at + 500])
            if status != 200:
                fail(f"a delete on the full disk was answered {status}: {text}")
        say(f"  deleted {len(ids)}, {self.disk.free() / MIB:.1f} MiB free")

    def resumes(self, seconds, what):
        took = until(seconds, what, lambda: self.upsert(10) == 200)
        say(f"  writes resumed after {took:.2f} s")

    def own_fill(self, share):
        """Our own writes fill the disk; deletes make room."""
        say(f"own writes, then {share:.0%} deleted")
        self.fill()
        self.reads_go_on()
        if self.rng.random() < 0.5:
            self.restart()
            if self.upsert() == 200:   # what a start replays and flushes may give room
                self.fill()
        self.delete(share)
        if self.rng.random() < 0.5:
            self.restart()
        began = self.disk.free()
        self.resumes(self.args.compact_s, "a write after deleting, once compaction gave room back")
        self.reads_go_on()
        say(f"  {began / MIB:.1f} MiB free then, {self.disk.free() / MIB:.1f} now")

    def foreign_fill(self):
        """Somebody else fills the disk to the last byte, and goes away."""
        say("another program's file, to the last byte")
        self.disk.eat()
        if self.disk.free() > 0:
            fail("the disk is not full")
        until(60, "a write is refused", lambda: self.upsert() == 507)
        self.reads_go_on()
        for _ in range(5):
            self.delete(0.02)
        if self.rng.random() < 0.5:
            self.restart()
            until(60, "a write is refused", lambda: self.upsert() == 507)
        self.delete(0.02)
        self.disk.disgorge()
        self.resumes(5, "a write after the space came back")

    def end(self):
        code = self.server.end(15)
        if code != 0:
            fail(f"the server ended with {code}\n{self.server.log_end()}")
        self.start()
        n = self.ledger.check(self.client)
        self.server.kill()
        say(f"  stopped and started: {n} points, all as acknowledged")
        self.disk.unmount()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quiver")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--fs", default="tmpfs,ext4")
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--compact-s", type=float, default=60)
    parser.add_argument("--serve", nargs="*", default=[])
    args = parser.parse_args()
    rig.own_mounts()
    seed = args.seed or random.randrange(1 << 32)
    print(f"seed {seed}: {' '.join(sys.argv[:2])} --seed {seed} --rounds {args.rounds} "
          f"--fs {args.fs} --mib {args.mib}", flush=True)
    rng = random.Random(seed)
    for kind in args.fs.split(","):
        root = tempfile.mkdtemp(prefix="quiver-full-")
        run = None
        try:
            say(f"{kind} of {args.mib} MiB")
            run = Run(args, kind, args.mib, rng, root)
            run.ledger.create(run.client)
            for _ in range(args.rounds):
                run.own_fill(rng.choice([0.5, 0.7, 0.9]))
                run.foreign_fill()
            run.end()
        except BaseException:
            if run:
                print(run.server.log_end())
                run.server.kill()
                run.disk.unmount()
            raise
        finally:
            shutil.rmtree(root, ignore_errors=True)
    print("passed")


if __name__ == "__main__":
    main()

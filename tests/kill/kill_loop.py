#!/usr/bin/env python3
"""kill_loop.py: a server under load is killed again and again; nothing acknowledged may be lost.

    kill_loop.py QUIVER [--cycles N] [--seed S] [--dir DIR] [--keep]

Each cycle: four connections write; at a moment drawn from the seed the server is killed, or stopped, or
killed while it stops or while it merges; sometimes it is killed again while it recovers. Then it is
started, everything it shows is compared with the ledger, and the next cycle goes on with the same data.
See README.md. The last line is "N passed, N failed", one per cycle.
"""

import argparse
import collections
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import workload as W
from ledger import Ledger, Seen, Violation
from server import Client, Gone, Server

# way to end the server: how often
ENDS = {"kill": 60, "kill in optimize": 20, "stop": 8, "kill in stop": 12}
RECOVERY_KILLS = [0] * 7 + [1, 1, 2, 3]
CUT_SHORT = (408, 499, 503)   # what a request is answered that a stop overtakes
CHECK_EVERY = 5   # cycles, on average: the offline check before the start


class Writer(threading.Thread):
    """One connection: sends its next operations until the server is gone or `enough` is set."""

    def __init__(self, loop, number):
        super().__init__(daemon=True)
        self.loop, self.number = loop, number
        self.error = None

    def run(self):
        ledger, client = self.loop.ledger, Client(self.loop.server.port)
        try:
            while True:
                op = W.generate(self.loop.seed, self.number, ledger.next[self.number])
                ledger.send(op)
                status, body = client.ask(*W.request(op))
                if status in CUT_SHORT and self.loop.is_stopping:
                    break   # its fate is as open as if there were no answer
                ledger.answer(op, status, body)
                self.loop.count()
        except Gone:
            if not self.loop.is_ending:
                self.error = "the server went away by itself"
        except Exception as e:  # told by the main thread
            self.error = f"{type(e).__name__}: {e}"
        finally:
            self.loop.wake()
            client.close()


class Loop:
    def __init__(self, quiver, seed, folder):
        self.quiver, self.seed, self.folder = quiver, seed, folder
        self.data = os.path.join(folder, "data")
        self.server = Server(quiver, self.data, os.path.join(folder, "server.log"))
        self.ledger = Ledger(os.path.join(folder, "ledger.jsonl"))
        self.is_ending = self.is_stopping = False
        self.answered = 0
        self.changed = threading.Condition()
        self.tally = collections.Counter()
        self.slowest_start_s = 0

    def count(self):
        with self.changed:
            self.answered += 1
            self.changed.notify()

    def wake(self):
        with self.changed:
            self.changed.notify()

    # --- one cycle --------------------------------------------------------------------------------------

    def wait_for(self, n, writers):
        """Until n more operations were answered, or a writer gave up."""
        with self.changed:
            until = self.answered + n
            while self.answered < until and not any(t.error for t in writers):
                self.changed.wait(timeout=60)

    def end_server(self, how, rng):
        self.is_ending = True
        self.is_stopping = "stop" in how
        if how == "kill in optimize":
            threading.Thread(target=self.optimize, args=(self.server.port,), daemon=True).start()
            time.sleep(rng.random() * 0.03)
        if how in ("stop", "kill in stop"):
            self.server.process.send_signal(signal.SIGTERM)
        if how == "kill in stop":
            time.sleep(rng.random() * 0.03)
        if how == "stop":
            code = self.server.reap()
            if code != 0:
                raise Violation(f"stopped with code {code}:\n{self.server.log_end()}")
        else:
            self.server.kill()
        self.tally[how] += 1

    @staticmethod
    def optimize(port):
        try:
            Client(port).ask("POST", f"/collections/{W.MAIN}/optimize", {"max_segments": 1})
        except Gone:
            pass

    def kill_in_recovery(self, rng):
        for _ in range(rng.choice(RECOVERY_KILLS)):
            self.server.spawn()
            time.sleep(rng.random() * 1.2 * self.server.start_s)
            self.server.kill()
            self.tally["kill in recovery"] += 1

    def check_files(self):
        done = subprocess.run([self.quiver, "check", self.data], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120)
        if done.returncode != 0:
            raise Violation(f"quiver check:\n{done.stdout.decode(errors='replace')}")

    def verify(self, rng):
        client = Client(self.server.port)
        seen = Seen(client)
        self.ledger.check(seen)
        seen.check_itself(rng)
        client.close()

    def cycle(self, number):
        rng = random.Random(f"{self.seed}/cycle/{number}")
        how = rng.choices(list(ENDS), ENDS.values())[0]
        n, delay_s = rng.randint(1, 90), rng.random() * 0.004
        self.is_ending = self.is_stopping = False
        writers = [Writer(self, w) for w in range(W.WRITERS)]
        for t in writers:
            t.start()
        self.wait_for(n, writers)
        time.sleep(delay_s)
        if not any(t.error for t in writers):
            self.end_server(how, rng)
        for t in writers:
            t.join(timeout=180)
        for t in sorted(writers, key=lambda t: not t.error):   # the others only waited for it
            if t.error or t.is_alive():
                raise Violation(f"writer {t.number}: {t.error or 'got no answer'}")
        self.ledger.mark(f"cycle {number}: {how}")
        self.kill_in_recovery(rng)
        if rng.randrange(CHECK_EVERY) == 0:
            self.check_files()
        self.server.start()
        self.slowest_start_s = max(self.slowest_start_s, self.server.start_s)
        self.verify(rng)

    # --- all of them ------------------------------------------------------------------------------------

    def prepare(self):
        self.server.start()
        client = Client(self.server.port)
        status, body = client.ask("PUT", f"/collections/{W.MAIN}", W.MAIN_CONFIG)
        assert status == 200, body
        client.close()

    def finish(self):
        code = self.server.end(signal.SIGTERM)
        if code != 0:
            raise Violation(f"the last stop: code {code}:\n{self.server.log_end()}")
        self.check_files()

    def figures(self):
        x = self.ledger
        ends = ", ".join(f"{n} {how}" for how, n in sorted(self.tally.items()))
        return (f"ends: {ends or 'none'}\n"
                f"requests: {x.sent} sent, {x.acked} acknowledged, {x.refused} refused; never "
                f"answered: {x.whole} whole, {x.absent} absent, {x.either} the same either way\n"
                f"slowest start: {self.slowest_start_s * 1000:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description="Kill a server under load, again and again.")
    parser.add_argument("quiver")
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", default=None)
    parser.add_argument("--dir", default=None, help="where to work (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a run that passed")
    args = parser.parse_args()
    seed = args.seed or secrets.token_hex(4)
    folder = tempfile.mkdtemp(prefix="quiver-kill-", dir=args.dir)
    print(f"kill loop: seed {seed}, {args.cycles} cycles, in {folder}", flush=True)

    loop = Loop(os.path.abspath(args.quiver), seed, folder)
    passed = failed = 0
    began = time.monotonic()
    try:
        loop.prepare()
        for number in range(args.cycles):
            loop.cycle(number)
            passed += 1
            if passed % 100 == 0:
                print(f"{passed} cycles in {time.monotonic() - began:.0f} s", flush=True)
        loop.finish()
    except Exception as e:
        failed = 1
        print(f"cycle {passed}: {type(e).__name__}: {e}"[:6000])
        print(f"again: {sys.argv[0]} {args.quiver} --seed {seed} --cycles {passed + 1}\n"
              f"data, ledger and log: {folder}")
    finally:
        if loop.server.process and loop.server.process.poll() is None:
            loop.server.kill()
    print(loop.figures())
    if not failed and not args.keep:
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

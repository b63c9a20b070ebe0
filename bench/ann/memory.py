#!/usr/bin/env python3
"""memory.py: how little memory Quiver and hnswlib need, by the same method: the lowest limit of a control group, page cache
included, at which searches keep 95 % of their speed.

Usage: memory.py SET_DIR [RECALL]     as root; after `compare.sh SET_DIR`, whose indexes and driver in $WORK it uses
Environment: WORK=build/bench, QUIVER=build/release/quiver, STAT=us|cpu_us (wall time: on a quiet machine; or CPU time with that of
page faults), ENGINES="quiver hnswlib", LIMITS=MB,MB,… and EF=N to try these limits alone at this beam (one engine, a minute or two)
Both search at the beam that reaches RECALL (default 0.95), three times in a row: the first warms up, the best counts. Limits are
halved between what failed and what did until 3 % apart. A process that is killed for memory, or takes half a minute, has failed.
Before every run the files leave the page cache, so that what a run reads is counted as its own.
"""

import json
import os
import subprocess
import sys
import tempfile

KEEP, STEP, RUNS, PATIENCE_S = 0.95, 1.03, 2, 30
BEAMS = (10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.environ.get("WORK", f"{ROOT}/build/bench")
STAT = os.environ.get("STAT", "us")


class Group:
    """A control group of memory, of either version of the interface."""

    def __init__(self, folder):
        self.folder = folder
        parent = "/sys/fs/cgroup/memory" if os.path.isdir("/sys/fs/cgroup/memory") else "/sys/fs/cgroup"
        self.limit = "memory.limit_in_bytes" if parent.endswith("memory") else "memory.max"
        self.path = tempfile.mkdtemp(prefix="quiver-bench-", dir=parent)

    def run(self, command, limit):
        leave_cache(self.folder, f"{WORK}/index/{os.path.basename(self.folder)}")
        self.write(self.limit, limit)
        command = ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh", *command]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            done = None
        self.empty()
        return done.stdout if done and done.returncode == 0 else None

    def write(self, name, value):
        with open(f"{self.path}/{name}", "w", encoding="utf-8") as f:
            f.write(str(value))

    def empty(self):
        """What the run left in the page cache must not count for the next one."""
        name = "memory.force_empty" if self.limit == "memory.limit_in_bytes" else "memory.reclaim"
        try:
            self.write(name, 0 if name == "memory.force_empty" else 1 << 40)
        except OSError:
            pass  # it reclaimed what there was

    def close(self):
        os.rmdir(self.path)


def leave_cache(*folders):
    """What others have read is not charged to the group that reads it next."""
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                fd = os.open(os.path.join(root, name), os.O_RDONLY)
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)


def commands(folder, metric):
    files = [f"{folder}/{n}" for n in ("base.fvecs", "queries.fvecs", "truth.ivecs")]
    index = f"{WORK}/index/{os.path.basename(folder)}"
    quiver = os.environ.get("QUIVER", f"{ROOT}/build/release/quiver")

    def of_quiver(beams):
        return [quiver, "bench", "ann", "--base", files[0], "--queries", files[1], "--truth", files[2], "--metric", metric, "--ef", beams,
                "--data", f"{index}/quiver", "--reuse", "--json"]  # fmt: skip

    return {"quiver": of_quiver, "hnswlib": lambda beams: [f"{WORK}/hnswlib", folder, metric, index, "2", "1000", beams]}


def searches(text):
    return [line for line in map(json.loads, (text or "").splitlines()) if "ef" in line]


def time_of(lines):
    return min((line.get(STAT) or 1e6 / line["qps"] for line in lines), default=float("inf"))


def no_limit(group):
    return -1 if "limit_in" in group.limit else "max"


def keeps(group, command, limit, free):
    best = float("inf")
    for _ in range(RUNS):
        lines = searches(group.run(command, limit))
        best = min(best, time_of(lines))
        if free / best >= KEEP or not lines:
            break
    print(f"  {limit / 1e6:.1f} MB: {best:.1f} us", flush=True)
    return free / best >= KEEP


def lowest(group, command, high):
    """(bytes, microseconds without a limit)"""
    free = min(time_of(searches(group.run(command, no_limit(group)))) for _ in range(2))
    low = max(1 << 20, high // 16)
    while high / low > STEP:
        middle = int((low * high) ** 0.5)
        low, high = (low, middle) if keeps(group, command, middle, free) else (middle, high)
    return high, free


def lowest_of(group, command, limits):
    """Likewise, of these limits; infinite if none is enough. The time without one is taken before and after."""
    free = time_of(searches(group.run(command, no_limit(group))))
    low, high = -1, len(limits)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(group, command, limits[middle], free) else (middle, high)
    after = time_of(searches(group.run(command, no_limit(group))))
    print(f"  without a limit: {free:.1f} us before, {after:.1f} us after", flush=True)
    return (limits[high] if high < len(limits) else float("inf")), min(free, after)


def main():
    folder, recall = os.path.realpath(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.95
    metric = "ip"
    if os.path.exists(f"{folder}/metric"):
        with open(f"{folder}/metric", encoding="utf-8") as f:
            metric = f.read().strip()
    group, found = Group(folder), {}
    engines = os.environ.get("ENGINES", "quiver hnswlib").split()
    limits = sorted(int(float(x) * 1e6) for x in os.environ.get("LIMITS", "").split(",") if x)
    try:
        for name, command in commands(folder, metric).items():
            if name not in engines:
                continue
            if limits:
                ef = os.environ.get("EF") or sys.exit("memory.py: LIMITS goes with EF")
                best, free = lowest_of(group, command(",".join([ef] * 3)), limits)
                print(f"{name}: ef {ef}, {free:.1f} us; {best / 1e6:.1f} MB", flush=True)
                continue
            lines = searches(group.run(command(",".join(map(str, BEAMS))), no_limit(group)))
            line = next((one for one in lines if one["recall"] >= recall), None)
            if not line:
                sys.exit(f"memory.py: {name} does not reach {recall}; is its index in {WORK}?")
            size = os.path.getsize(f"{folder}/base.fvecs")
            found[name] = lowest(group, command(",".join([str(line["ef"])] * 3)), 3 * size + (64 << 20))
            print(f"{name}: ef {line['ef']}, recall {line['recall']:.4f}, {found[name][1]:.1f} us; {found[name][0] / 1e6:.0f} MB", flush=True)
    finally:
        group.close()
    if len(found) == 2:
        print(f"quiver needs {found['quiver'][0] / found['hnswlib'][0]:.2f} of the memory of hnswlib")


main()

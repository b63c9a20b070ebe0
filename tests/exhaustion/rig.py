"""rig.py: what the exhaustion tests share: a file system of limited size, a ledger of points."""

import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "kill"))
from server import Client, Gone, Server  # noqa: E402, F401

MIB = 1 << 20
SKIPPED = 77   # ctest's SKIP_RETURN_CODE


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def fail(why):
    print(f"FAILED: {why}", flush=True)
    sys.exit(1)


def own_mounts():
    """Run this program again where its mounts are its own and end with it."""
    if os.environ.get("QVT_OWN_MOUNTS"):
        return
    if os.geteuid() != 0:
        skip("mounting a file system of limited size needs root")
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        skip(f"no mount namespace here: {probe.stderr.decode().strip()}")
    os.environ["QVT_OWN_MOUNTS"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                          *sys.argv])


class SmallDisk:
    """A file system of `mib` MiB at a new directory; needs own_mounts."""

    def __init__(self, kind, mib, root):
        self.kind, self.path = kind, os.path.join(root, "disk")
        os.makedirs(self.path)
        if kind == "tmpfs":
            command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "quiver-test", self.path]
        else:
            image = os.path.join(root, "image")
            with open(image, "wb") as f:
                f.truncate(mib * MIB)
            made = subprocess.run([f"mkfs.{kind}", "-q", image], capture_output=True, check=False)
            if made.returncode != 0:
                skip(f"mkfs.{kind}: {made.stderr.decode().strip()}")
            command = ["mount", "-o", "loop", image, self.path]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            skip(f"{' '.join(command)}: {done.stderr.decode().strip()}")

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def used(self):
        s = os.statvfs(self.path)
        return (s.f_blocks - s.f_bfree) * s.f_frsize

    def eat(self, leave=0):
        """A file of somebody else takes all the room but `leave` bytes."""
        with open(os.path.join(self.path, "foreign"), "ab", buffering=0) as f:
            block = b"x" * (256 << 10)
            while block:
                room = self.free() - leave
                if room < len(block) and leave:
                    block = block[:max(room, 0)]
                try:
                    if f.write(block) < len(block):
                        block = block[: len(block) // 2]
                    if leave and self.free() <= leave:
                        break
                except OSError:
                    block = block[: len(block) // 2]

    def disgorge(self):
        os.unlink(os.path.join(self.path, "foreign"))

    def unmount(self):
        subprocess.run(["umount", self.path], check=False)


class Ledger:
    """Points of one collection: what was acknowledged, and what may or may not be there."""

    def __init__(self, rng, name="c", dim=128):
        self.rng, self.name, self.dim = rng, name, dim
        self.acked = {}    # id -> version
        self.open = {}     # id -> versions that may be there instead (None = absent)
        self.version = 0
        self.vectors = ["[" + ",".join(f"{rng.uniform(-1, 1):.6f}" for _ in range(dim)) + "]"
                        for _ in range(64)]

    def create(self, client, **more):
        status, answer = client.ask("PUT", f"/collections/{self.name}",
                                    {"vectors": {"size": self.dim, "distance": "Cosine"}, **more})
        if status != 200:
            fail(f"creating answered {status}: {answer}")

    def _send(self, client, method, path, body):
        client.connection.request(method, path, body, {"content-type": "application/json"})
        answer = client.connection.getresponse()
        return answer.status, answer.read().decode()

    def _book(self, client, method, path, body, after):
        """Send a write; `after`: id -> version or None."""
        for i in after:
            self.open.setdefault(i, set()).update({after[i], self.acked.get(i)})
        try:
            status, text = self._send(client, method, path, body)
        except Exception as e:
            raise Gone(str(e)) from e
        if status == 200:
            self.acked.update(after)
        if status == 200 or status in (429, 503, 507):
            for i in after:   # refused: nothing happened
                self.open.pop(i, None)
        else:
            fail(f"{method} {path} answered {status}: {text}")
        return status, text

    def upsert(self, client, ids, fill=0):
        self.version += 1
        points = ",".join(
            f'{{"id":{i},"vector":{self.rng.choice(self.vectors)},'
            f'"payload":{{"v":{self.version},"f":"{"x" * fill}"}}}}' for i in ids)
        return self._book(client, "PUT", f"/collections/{self.name}/points?wait=true",
                          f'{{"points":[{points}]}}', dict.fromkeys(ids, self.version))

    def delete(self, client, ids):
        return self._book(client, "POST", f"/collections/{self.name}/points/delete?wait=true",
                          f'{{"points":[{",".join(map(str, ids))}]}}', dict.fromkeys(ids))

    def live(self):
        return [i for i, v in self.acked.items() if v is not None]

    def search(self, client):
        return client.get(f"/collections/{self.name}/points/search",
                          {"vector": [self.rng.uniform(-1, 1) for _ in range(self.dim)],
                           "limit": 10})

    def check(self, client):
        """Every point as acknowledged, none that should not be there."""
        found, offset = {}, None
        while True:
            page = client.get(f"/collections/{self.name}/points/scroll",
                              {"limit": 1000, "with_payload": ["v"], "offset": offset})
            found.update((p["id"], p["payload"]["v"]) for p in page["points"])
            offset = page["next_page_offset"]
            if offset is None:
                break
        for i in set(found) | set(self.acked) | set(self.open):
            allowed = self.open.get(i, {self.acked.get(i)})
            if found.get(i) not in allowed:
                fail(f"point {i} has version {found.get(i)}, not one of {allowed}")
        self.acked = dict(found)
        self.open = {}
        return len(found)


def until(seconds, what, ready):
    """Wait until ready() is true; the seconds it took."""
    began = time.monotonic()
    while True:
        if ready():
            return time.monotonic() - began
        if time.monotonic() - began > seconds:
            fail(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def status_of(pid):
    """Bytes of VmRSS, RssAnon, RssFile; count of Threads and descriptors (fds)."""
    out = {}
    try:
        with open(f"/proc/{pid}/status") as f:
            for line in f:
                key, _, rest = line.partition(":")
                if key in ("VmRSS", "RssAnon", "RssFile"):
                    out[key] = int(rest.split()[0]) << 10
                elif key == "Threads":
                    out[key] = int(rest)
        out["fds"] = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        pass
    return out


class MemoryGroup:
    """A memory cgroup of so many bytes, version 1 or 2."""

    def __init__(self, limit):
        name = f"quiver-test-{os.getpid()}"
        if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            self.version, self.path = 2, f"/sys/fs/cgroup/{name}"
        elif os.path.isdir("/sys/fs/cgroup/memory"):
            self.version, self.path = 1, f"/sys/fs/cgroup/memory/{name}"
        else:
            skip("no memory cgroups here")
        try:
            os.mkdir(self.path)
            self._write("memory.max" if self.version == 2 else "memory.limit_in_bytes", limit)
        except OSError as e:
            self.remove()
            skip(f"no memory cgroup can be made here: {e}")

    def _write(self, name, value):
        with open(os.path.join(self.path, name), "w") as f:
            f.write(str(value))

    def _read(self, name):
        with open(os.path.join(self.path, name)) as f:
            return f.read()

    def wrap(self):
        """A command that runs the one that follows in the group."""
        return ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh"]

    def peak(self):
        return int(self._read("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"))

    def failures(self):
        """Times that the limit was met and pages had to go."""
        if self.version == 1:
            return int(self._read("memory.failcnt"))
        return self._event("memory.events", "max")

    def kills(self):
        return self._event("memory.events" if self.version == 2 else "memory.oom_control", "oom_kill")

    def _event(self, name, key):
        for line in self._read(name).splitlines():
            if line.split()[0] == key:
                return int(line.split()[1])
        return 0

    def remove(self):
        for _ in range(50):
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.1)

"""servers.py: the servers that compare.py and split.py start, each on an empty directory, and the load generator."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def family(pid):
    """The process and its children, theirs too."""
    out = [pid]
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            for child in f.read().split():
                out += family(int(child))
    except OSError:
        pass
    return out


class Server:
    """One server on a directory of its own; `args` are those of bench_server that reach it."""

    name, protocol, variant, ready_path = "", "", "", ""

    def __init__(self, a, folder):
        self.a, self.folder, self.port = a, folder, free_port()
        self.log = open(os.path.join(folder, "log"), "w", encoding="utf-8")
        self.process = None

    def spawn(self, *command, **more):
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, **more)
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)}: ended with {self.process.returncode}")
            if self.answers():
                return
            time.sleep(0.1)
        raise RuntimeError(f"{' '.join(command)}: does not answer")

    def answers(self):
        if self.ready_path:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ready_path}", timeout=5) as r:
                    return r.status == 200
            except (OSError, urllib.error.URLError):
                return False
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def args(self):
        return ["--protocol", self.protocol, "--port", str(self.port), *(["--variant", self.variant] if self.variant else [])]

    def memory_mb(self):
        """Proportional set size: what is shared counts once."""
        total = 0
        for pid in family(self.process.pid):
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            except OSError:
                pass
        return total / 1000

    def settle(self):
        """Wait for what the server does by itself once nobody writes."""

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log.close()


class Quiver(Server):
    name, protocol, ready_path = "quiver", "quiver", "/readyz"

    def start(self):
        self.spawn(self.a.quiver, "serve", "--data", f"{self.folder}/data", "--listen", f"127.0.0.1:{self.port}")

    def settle(self):
        quiet = 0
        while quiet < 3:
            time.sleep(0.5)
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as r:
                lines = [x for x in r.read().decode().split("\n") if x.startswith("collection_running_optimizations")]
            quiet = quiet + 1 if all(float(x.split()[-1]) == 0 for x in lines) else 0

    def version(self):
        return subprocess.run([self.a.quiver, "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]


class Redis(Server):
    """Persisted as Quiver is: every write is synced before it is answered."""

    name, protocol, variant = "redis-q8", "redis", "q8"

    def start(self):
        self.spawn(self.a.redis, "--port", str(self.port), "--dir", self.folder, "--save", "", "--appendonly", "yes",
                   "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")  # fmt: skip

    def version(self):
        words = subprocess.run([self.a.redis, "--version"], capture_output=True, text=True, check=True).stdout.split()
        return f"Redis {words[2].removeprefix('v=')}"


class RedisFloats(Redis):
    name, variant = "redis-noquant", "noquant"


class Pgvector(Server):
    """Synchronous commits, as PostgreSQL has them; 4 GB of shared buffers, no compilation of queries."""

    name, protocol, variant = "pgvector", "pgvector", "vector"

    def as_user(self, *command):
        return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else list(command)

    def start(self):
        data = f"{self.folder}/data"
        if os.geteuid() == 0:
            os.chmod(os.path.dirname(self.folder), 0o755)
            shutil.chown(self.folder, "postgres")
        subprocess.run(self.as_user(f"{self.a.postgres}/initdb", "-D", data, "-U", "postgres", "-A", "trust"), check=True,
                       stdout=self.log, stderr=self.log)  # fmt: skip
        self.spawn(*self.as_user(f"{self.a.postgres}/postgres", "-D", data, "-p", str(self.port), "-k", self.folder, "-c",
                                 "shared_buffers=4GB", "-c", "jit=off", "-c", "max_wal_size=8GB"))  # fmt: skip
        time.sleep(1)

    def args(self):
        return super().args() + ["--user", "user=postgres dbname=postgres"]

    def version(self):
        text = subprocess.run([f"{self.a.postgres}/postgres", "--version"], capture_output=True, text=True, check=True).stdout.split()
        return f"pgvector in PostgreSQL {text[2]}"


class PgvectorHalf(Pgvector):
    name, variant = "pgvector-half", "halfvec"


class Chroma(Server):
    name, protocol, ready_path = "chroma", "chroma", "/api/v2/heartbeat"

    def start(self):
        self.spawn(self.a.chroma, "run", "--path", f"{self.folder}/data", "--host", "127.0.0.1", "--port", str(self.port))

    def version(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v2/version", timeout=5) as r:
            return f"Chroma server {json.load(r)}"


class Qdrant(Server):
    name, protocol, ready_path = "qdrant", "quiver", "/readyz"

    def start(self):
        environment = {**os.environ, "QDRANT__SERVICE__HTTP_PORT": str(self.port), "QDRANT__SERVICE__GRPC_PORT": str(free_port()),
                       "QDRANT__STORAGE__STORAGE_PATH": f"{self.folder}/data", "QDRANT__TELEMETRY_DISABLED": "true"}  # fmt: skip
        self.spawn(self.a.qdrant, cwd=self.folder, env=environment)

    def version(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as r:
            return f"Qdrant {json.load(r)['version']}"


SERVERS = {s.name: s for s in (Quiver, Redis, RedisFloats, Pgvector, PgvectorHalf, Chroma, Qdrant)}


def metric_of(folder):
    if not os.path.exists(f"{folder}/metric"):
        return "ip"
    with open(f"{folder}/metric", encoding="utf-8") as f:
        return f.read().strip()


def bench(a, server, what, folder, metric, *more):
    command = [a.bench, what, *server.args(), "--set", folder, "--metric", metric, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{server.name}: {done.stderr.strip()}")
    lines = [{"server": server.name, "set": os.path.basename(folder), **json.loads(line)} for line in done.stdout.splitlines()]
    if a.lines:
        with open(a.lines, "a", encoding="utf-8") as f:
            f.writelines(json.dumps(line) + "\n" for line in lines)
    return lines

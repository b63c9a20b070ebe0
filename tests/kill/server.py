"""server.py: `quiver serve` as a child that is started, asked and killed."""

import http.client
import json
import re
import signal
import subprocess
import threading
import time

START_S = 120   # generous: the machine may be busy
ANSWER_S = 120


class Gone(Exception):
    """The server ended before it answered."""


class Client:
    """One connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)

    def ask(self, method, path, body=None):
        """(status, answer)"""
        try:
            self.connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as e:
            raise Gone(str(e)) from e

    def get(self, path, body=None):
        """The result of a read; POST when it has a body."""
        status, answer = self.ask("POST" if body is not None else "GET", path, body)
        if status != 200:
            raise AssertionError(f"{path} answered {status}: {answer}")
        return answer["result"]

    def text(self, path):
        """What a GET answers that is no JSON."""
        self.connection.request("GET", path)
        return self.connection.getresponse().read().decode()

    def close(self):
        self.connection.close()


class Server:
    def __init__(self, quiver, data, log, more=(), wrap=()):
        """more: further options of `quiver serve`; wrap: a command that runs it"""
        self.quiver, self.data, self.log = quiver, data, log
        self.more, self.wrap = list(more), list(wrap)
        self.process = self.port = None
        self.start_s = 0.02   # how long the last start took
        self.errors = ""

    def spawn(self):
        """Begin a start; does not wait."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrap, self.quiver, "serve", "--data", self.data, "--listen", "127.0.0.1:0",
                 "--log-level", "warn", *self.more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)

    def start(self):
        """Start, until the port is open."""
        began = time.monotonic()
        self.spawn()
        stuck = threading.Timer(START_S, self.process.kill)
        stuck.start()
        text = b""
        while b"stop:" not in text:
            line = self.process.stdout.readline()
            if not line:
                break
            text += line
        stuck.cancel()
        found = re.search(rb"http://127\.0\.0\.1:(\d+)", text)
        if b"stop:" not in text or not found:
            self.kill()
            raise AssertionError(f"the server did not start; the end of its log:\n{self.log_end()}")
        self.port = int(found.group(1))
        self.start_s = time.monotonic() - began

    def log_end(self):
        with open(self.log, "rb") as f:
            return f.read()[-3000:].decode(errors="replace")

    def kill(self):
        return self.end(signal.SIGKILL)

    def end(self, signo):
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(signo)
        return self.reap()

    def reap(self):
        code = self.process.wait(timeout=START_S)
        self.process.stdout.close()
        return code

#!/usr/bin/env python3
"""test_cli.py: the `quiver` command as a black box: files in, text and JSON out, servers started,
stopped and killed.

    test_cli.py QUIVER SOURCE_DIR [-k PATTERN]

Standard library only. Every test works in a directory of its own.
"""

import array
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

QUIVER = os.path.abspath(sys.argv[1])
SOURCE = os.path.abspath(sys.argv[2])
SAMPLE = os.path.join(SOURCE, "examples", "sample")
TIMEOUT_S = 240  # generous: the machine may be busy, and sanitizers are slow


def npy(rows, code="f", descr="<f4", shape=None, version=1):
    """Bytes of a .npy file."""
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (
        descr, ", ".join(map(str, shape or (len(rows), len(rows[0])))))
    prefix = 10 if version == 1 else 12
    head += " " * (-(prefix + len(head) + 1) % 64) + "\n"
    length = struct.pack("<H" if version == 1 else "<I", len(head))
    body = b"".join(array.array(code, r).tobytes() for r in rows)
    return b"\x93NUMPY" + bytes([version, 0]) + length + head.encode() + body


def vecs(rows, code="f"):
    return b"".join(struct.pack("<i", len(r)) + array.array(code, r).tobytes() for r in rows)


def cloud(n, dim, seed):
    rng = random.Random(seed)
    return [[rng.gauss(0, 1) for _ in range(dim)] for _ in range(n)]


def nearest_l2(base, query, k):
    order = sorted(range(len(base)),
                   key=lambda i: sum((a - b) ** 2 for a, b in zip(base[i], query)))
    return order[:k]


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="quiver-test-")
        self.servers = []

    def tearDown(self):
        for p in self.servers:
            if p.poll() is None:
                p.kill()
            p.communicate()
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def env(self, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("QUIVER_")}
        env.update(TMPDIR=self.dir, **more)
        return env

    def quiver(self, *args, rc=0, stdin=b"", env=None):
        done = subprocess.run([QUIVER, *args], cwd=self.dir, input=stdin, timeout=TIMEOUT_S,
                              env=env or self.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, rc, f"quiver {args}\n{out}\n{err}")
        self.assertNotIn("Sanitizer", err)
        self.assertNotIn("\x1b", out + err, "colour without a terminal")
        return out, err

    def json(self, *args, **kw):
        out, _ = self.quiver(*args, "--json", **kw)
        self.assertEqual(out.count("\n"), 1, out)
        return json.loads(out)

    def fails(self, *args, said, rc=1, **kw):
        """The command fails and its message has all the words."""
        out, err = self.quiver(*args, rc=rc, **kw)
        self.assertEqual(out, "")
        for word in [said] if isinstance(said, str) else said:
            self.assertIn(word, err)
        self.assertRegex(err, r"(?m)^quiver: ")
        return err

    def serve(self, *args, env=None):
        p = subprocess.Popen([QUIVER, "serve", "--listen", "127.0.0.1:0", *args], cwd=self.dir,
                             env=env or self.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.servers.append(p)
        text = b""
        while b"stop:" not in text:
            line = p.stdout.readline()
            if not line:
                self.fail(f"no start block:\n{text.decode()}\n{p.stderr.read().decode()}")
            text += line
        p.url = re.search(r"http://127\.0\.0\.1:\d+", text.decode()).group(0)
        p.start = text.decode()
        return p

    def stop(self, p, signo=signal.SIGTERM, rc=0):
        p.send_signal(signo)
        out, err = p.communicate(timeout=TIMEOUT_S)
        self.assertEqual(p.returncode, rc, err.decode())
        self.assertNotIn(b"Sanitizer", err)
        return err.decode()

    def points(self, *where):
        return self.json("info", "--collection", "c", *where)["collections"][0]["points"]


class Basics(Case):
    def test_overview(self):
        out, _ = self.quiver("--help")
        for name in ["serve", "import", "query", "info", "check", "dump", "snapshot", "restore", "bench ann",
                     "bench http",
                     "version"]:
            self.assertRegex(out, rf"(?m)^  {name} +\S")
            text, _ = self.quiver(*name.split(), "--help")
            self.assertTrue(text.startswith(f"usage: quiver {name}"), text)
            self.assertIn("--help", text)
            self.assertLessEqual(max(map(len, text.split("\n"))), 100)
        self.assertEqual(self.quiver("help")[0], out)
        self.assertEqual(self.quiver("import", "-h")[0], self.quiver("import", "--help")[0])

    def test_version(self):
        out, _ = self.quiver("version")
        self.assertRegex(out, r"^quiver \d+\.\d+\.\d+\n$")
        self.assertEqual(self.json("version")["version"], out.split()[1])
        self.assertEqual(self.quiver("--version")[0], out)

    def test_usage(self):
        for args, said in [
                ([], "usage: quiver COMMAND"),
                (["improt"], "did you mean import?"),
                (["bench"], "bench ann and bench http"),
                (["bench", "annn"], "bench ann and bench http"),
                (["info", "--colection", "x"], "did you mean --collection?"),
                (["info", "--zzz"], "unknown option --zzz"),
                (["info", "-x"], "unknown option -x"),
                (["info", "extra"], "one argument too many: extra"),
                (["info", "--collection"], "--collection needs a value: NAME"),
                (["info", "--json=1"], "--json takes no value"),
                (["info", "--json", "--json"], "--json is given twice"),
                (["info", "--data", "x", "--url", "http://a"], "exclude each other"),
                (["info", "--api-key-file", "x"], "with --url only"),
                (["import", "x"], "--collection NAME is missing"),
                (["import", "--collection", "c"], "missing argument: FILE"),
                (["import", "x", "--collection", "c", "--batch", "0"], "not from 1 to 100000"),
                (["import", "x", "--collection", "c", "--batch", "7x"], "not a whole number"),
                (["import", "x", "--collection", "c", "--batch", "99999999999999999999"],
                 "not from 1"),
                (["import", "x", "--collection", "c", "--metric", "foo"],
                 "`foo` is none of cosine|l2|ip|l1"),
                (["query", "--collection", "c"], "one of --id, --vector and --vectors"),
                (["query", "--collection", "c", "--id", "1", "--vector", "[1]"], "one of --id"),
                (["query", "--collection", "c", "--vectors", "x.npy"], "belong together"),
                (["check"], "missing argument: DIR"),
                (["bench", "ann", "--base", "x"], "--queries FILE are needed"),
                (["bench", "ann", "--base", "x", "--queries", "y", "--ef", "1,,2"], "--ef"),
                (["bench", "ann", "--base", "x", "--queries", "y", "--reuse"], "--data only"),
                (["bench", "http"], "--url URL is missing"),
                (["serve", "--listen", "nowhere"], "--listen"),
                (["serve", "--memory", "7 apples"], "--memory"),
                (["serve", "--nope"], "unknown option --nope"),
                (["info", "--url", "https://a"], "https is not supported"),
                (["info", "--url", "127.0.0.1:6333"], "must begin with http://"),
        ]:
            with self.subTest(args=args):
                _, err = self.quiver(*args, rc=2)
                self.assertIn(said, err)

    def test_output_is_checked(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([QUIVER, "version"], stdout=full, stderr=subprocess.PIPE,
                                  timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)


class Sample(Case):
    """The sample data, from import to check."""

    def test_sample(self):
        docs, vectors = os.path.join(SAMPLE, "docs.jsonl"), os.path.join(SAMPLE, "vectors.npy")
        queries = os.path.join(SAMPLE, "queries.npy")
        done = self.json("import", docs, vectors, "--collection", "words", "--data", "db")
        self.assertEqual((done["points"], done["created"]), (12000, True))
        hits = self.json("query", "--collection", "words", "--data", "db", "--vectors", queries,
                         "--row", "2", "--limit", "3", "--payload", "word,pos")["points"]
        self.assertEqual(hits[0]["payload"], {"word": "cobbler", "pos": "noun"})
        self.assertEqual([h["score"] for h in hits], sorted([h["score"] for h in hits])[::-1])
        text, _ = self.quiver("query", "--collection", "words", "--data", "db", "--vectors",
                              queries, "--row", "2", "--limit", "1")
        self.assertRegex(text, r"  1  score 0\.\d+ +id 10127\n +word +cobbler\n")
        self.assertIn("makes or repairs shoes", text)
        like = self.json("query", "--collection", "words", "--data", "db", "--id", "559",
                         "--payload", "none", "--filter",
                         '{"must": [{"key": "pos", "match": {"value": "noun"}}]}')["points"]
        self.assertEqual(len(like), 10)
        self.assertNotIn(559, [h["id"] for h in like])
        self.assertNotIn("payload", [k for h in like for k, v in h.items() if v is not None])
        exact = self.json("query", "--collection", "words", "--data", "db", "--id", "559",
                          "--exact", "--payload", "none")["points"]
        self.assertEqual(len(exact), 10)

        info = self.json("info", "--data", "db")
        words = info["collections"][0]
        self.assertEqual((words["name"], words["points"]), ("words", 12000))
        self.assertEqual(words["vectors"]["size"], 384)
        self.assertEqual(words["vectors"]["distance"], "Cosine")
        self.assertGreater(words["indexed_vectors"], 11000)
        self.assertGreater(words["disk_bytes"], 12000 * 384 * 4)
        self.assertGreater(info["log_bytes"], 0)
        text, _ = self.quiver("info", "--data", "db")
        self.assertIn("12,000", text)
        one, _ = self.quiver("info", "--data", "db", "--collection", "words")
        self.assertEqual(one.split("\n", 1)[1], text.split("\n", 1)[1])

        # Again: the same ids, so the same points.
        again = self.json("import", docs, vectors, "--collection", "words", "--data", "db",
                          "--optimize")
        self.assertFalse(again["created"])
        info = self.json("info", "--data", "db")["collections"][0]
        self.assertEqual((info["points"], info["sealed"], info["dead_rows"]), (12000, 1, 0))

        check = self.json("check", "db")
        self.assertFalse(check["damaged"])
        self.assertTrue(any("blobs/seg-" in f["file"] for f in check["findings"]))
        self.damage(check)

    def damage(self, check):
        segment = next(f["file"] for f in check["findings"] if "blobs/seg-" in f["file"])
        with open(self.path("db/" + segment), "r+b") as f:
            f.seek(os.path.getsize(f.name) // 2)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        check = self.json("check", "db", rc=1)
        self.assertTrue(check["damaged"])
        bad = [f["file"] for f in check["findings"] if f["damaged"]]
        self.assertEqual(bad, [segment])
        bad = next(f for f in check["findings"] if f["damaged"])
        self.assertEqual(bad["collection"], "words")
        self.assertEqual(bad["points"], 12000)
        self.assertGreaterEqual(bad["to_lsn"], bad["from_lsn"])
        self.assertIn("backup", bad["remedy"])
        out, _ = self.quiver("check", "db", rc=1)
        self.assertRegex(out, rf"(?m)^DAMAGED  {segment}: .*costs up to 12000 points.*What can be done")
        dumped = [json.loads(line) for line in self.quiver("dump", "db", "--json", rc=1)[0].split("\n")
                  if line]
        self.assertEqual([d["file"] for d in dumped if d["item"] == "damage"], [segment])
        # The collection is quarantined, another one serves.
        name = os.path.basename(segment)
        self.write("other.jsonl", '{"id": 1, "vector": [1, 0], "payload": {}}\n')
        self.quiver("import", "other.jsonl", "--collection", "other", "--data", "db")
        words = self.json("info", "--data", "db", "--collection", "words")["collections"][0]
        self.assertEqual(words["status"], "red")
        self.assertIn(name, words["damage"])
        text, _ = self.quiver("info", "--data", "db", "--collection", "words")
        self.assertRegex(text, rf"(?m)^  damage +Collection `words` is quarantined: .*{name}")
        err = self.fails("query", "--collection", "words", "--data", "db", "--id", "559", said=name)
        self.assertIn("quiver check", err)
        self.assertEqual(self.json("query", "--collection", "other", "--data", "db", "--vector",
                                   "[1, 0]")["points"][0]["id"], 1)
        server = self.serve("--data", "db")
        with urllib.request.urlopen(server.url + "/readyz") as answer:
            self.assertIn(b"1 of 2 collections are quarantined", answer.read())
        with urllib.request.urlopen(server.url + "/metrics") as answer:
            metrics = answer.read().decode()
        self.assertIn('quiver_collection_quarantined{id="words"} 1\n', metrics)
        self.assertIn('quiver_collection_quarantined{id="other"} 0\n', metrics)
        self.assertIn("quiver_quarantined_collections 1\n", metrics)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server.url + "/collections/words/points/559")
        self.assertEqual(refused.exception.code, 503)
        self.assertIn(name, refused.exception.read().decode())
        self.stop(server)


class Import(Case):
    def load(self, name, *args, **kw):
        return self.json("import", self.path(name), "--collection", "c", "--data", "db", *args,
                         **kw)

    def hits(self, vector, **kw):
        found = self.json("query", "--collection", "c", "--data", "db", "--vector",
                          json.dumps(vector), *kw.pop("args", []))
        return [(h["id"], h["score"]) for h in found["points"]]

    def test_formats(self):
        rows = [[1, 0, 0], [0, 2, 0], [0, 0, 3], [4, 4, 4]]
        for name, content in [
                ("a.npy", npy(rows)), ("b.npy", npy(rows, version=2)),
                ("c.npy", npy(rows, "b", "|i1")), ("d.npy", npy(rows, "B", "|u1")),
                ("e.npy", npy(rows, "d", "<f8")), ("f.fvecs", vecs(rows)),
                ("g.bvecs", vecs(rows, "B")),
                ("h.npy", npy([[0x3c00, 0, 0], [0, 0x4000, 0], [0, 0, 0x4200],
                               [0x4400, 0x4400, 0x4400]], "H", "<f2"))]:
            with self.subTest(name=name):
                self.write(name, content)
                self.assertEqual(self.load(name, "--metric", "l2")["points"], 4)
                self.assertEqual(self.hits([0, 0, 3])[0], (2, 0.0))
                self.assertEqual(self.hits([4, 4, 5])[0], (3, 1.0))
                shutil.rmtree(self.path("db"))

    def test_metrics(self):
        for metric, name, score in [("cosine", "Cosine", 1.0), ("l2", "Euclid", 5.0),
                                    ("ip", "Dot", 50.0), ("l1", "Manhattan", 7.0)]:
            self.write("v.npy", npy([[3, 4]]))
            self.load("v.npy", "--metric", metric)
            vectors = self.json("info", "--data", "db")["collections"][0]["vectors"]
            self.assertEqual(vectors["distance"], name)
            found = self.hits([6, 8])
            self.assertEqual((found[0][0], round(found[0][1], 4)), (0, score))
            shutil.rmtree(self.path("db"))

    def test_documents(self):
        self.write("d.jsonl", "\n".join([
            '{"id": 1, "vector": [1, 0], "payload": {"word": "a"}}', "",
            '{"id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "vector": [0, 1]}',
            '{"id": 3, "vector": [1, 1], "word": "flat", "n": 9007199254740993}',
            '{"id": 4, "payload": {"word": "no vector"}}']))
        self.assertEqual(self.load("d.jsonl")["points"], 4)
        self.assertEqual(self.points("--data", "db"), 4)
        found = self.json("query", "--collection", "c", "--data", "db", "--vector", "[1, 1]")
        by_id = {h["id"]: h["payload"] for h in found["points"]}
        self.assertEqual(by_id[3], {"word": "flat", "n": 9007199254740993})
        self.assertIn("6ba7b810-9dad-11d1-80b4-00c04fd430c8", by_id)
        self.assertNotIn(4, by_id)
        like = self.json("query", "--collection", "c", "--data", "db", "--id",
                         "6BA7B810-9DAD-11D1-80B4-00C04FD430C8")["points"]
        self.assertEqual(like[0]["id"], 3)

    def test_standard_input(self):
        self.quiver("import", "-", "--collection", "c", "--data", "db",
                    stdin=b'{"id": 1, "vector": [1, 2]}\n{"id": 2, "vector": [2, 1]}')
        self.assertEqual(self.points("--data", "db"), 2)

    def test_named_vectors(self):
        self.write("d.jsonl", '{"id": 1, "vector": {"title": [1, 0], "body": [1, 2, 3]}}\n'
                              '{"id": 2, "vector": {"body": [3, 2, 1]}}\n')
        self.load("d.jsonl", "--metric", "ip")
        found = self.json("query", "--collection", "c", "--data", "db", "--using", "body",
                          "--vector", "[1, 0, 0]")["points"]
        self.assertEqual([h["id"] for h in found], [2, 1])
        self.write("x.npy", npy([[5, 0, 0]]))
        self.fails("import", self.path("x.npy"), "--collection", "c", "--data", "db",
                   said=["x.npy row 0", "`title`, `body`", "--vector"])
        self.load("x.npy", "--vector", "body", "--first-id", "9")
        found = self.json("query", "--collection", "c", "--data", "db", "--using", "body",
                          "--vector", "[1, 0, 0]")["points"]
        self.assertEqual(found[0]["id"], 9)
        # Of a single named vector it is clear which is meant.
        self.quiver("import", self.write("y.npy", npy([[5, 0, 0]])), "--collection", "one",
                    "--vector", "v", "--data", "db")
        self.quiver("import", self.path("y.npy"), "--collection", "one", "--data", "db")

    def test_ids(self):
        self.write("d.jsonl", '{"sku": 7, "vector": [1, 2]}\n{"vector": [2, 1]}\n')
        self.fails("import", self.path("d.jsonl"), "--collection", "c", "--data", "db",
                   said=["d.jsonl line 1", "--id-field", "--first-id"])
        self.load("d.jsonl", "--id-field", "sku", "--first-id", "100")
        self.assertEqual(sorted(h[0] for h in self.hits([1, 1])), [7, 101])

    def test_bad_lines(self):
        good = "".join('{"id": %d, "vector": [1, 2]}\n' % i for i in range(1, 401))
        for line, said in [
                ('{"id": 1, "vector": [1, 2}', "column"),
                ('{"id": 1, "vector": [1, 2, 3]}', "the vector has 3 elements; the collection takes 2"),
                ('{"id": 1, "vector": [1, "x"]}', "no number"),
                ('{"id": 1, "vector": [1, 1e99]}', "too large"),
                ('{"id": -4, "vector": [1, 2]}', "whole number"),
                ('{"id": 1, "vector": {"other": [1, 2]}}', "vector `other`"),
                ('{"id": 1, "vector": [1, 2], "payload": [1]}', "payload"),
                ("[1, 2]", "JSON object")]:
            with self.subTest(line=line):
                self.write("d.jsonl", good + line + "\n" + good)
                err = self.fails("import", self.path("d.jsonl"), "--collection", "c", "--data",
                                 "db", said=["d.jsonl line 401: ", said])
                self.assertIn("400 points before are stored", err)
                self.assertEqual(self.points("--data", "db"), 400)
                shutil.rmtree(self.path("db"))

    def test_bad_files(self):
        rows = cloud(10, 4, 1)
        whole = npy(rows)
        for name, content, said in [
                ("none.npy", None, "No such file"),
                ("none.jsonl", None, "No such file"),
                ("cut.npy", whole[:-5], ["cut short", "10 rows"]),
                ("long.npy", whole + b"x", "1 bytes follow the last row"),
                ("head.npy", whole[:40], "ends inside its header"),
                ("not.npy", b"PK\x03\x04 something else", "not a .npy file"),
                ("big.npy", npy(rows, descr=">f4"), "astype"),
                ("one.npy", npy(rows, shape=("40",)), "dimension"),
                ("huge.npy", npy(rows, shape=(1 << 50, 1 << 16)), "cut short"),
                ("over.npy", npy(rows, shape=(1 << 62, 4)), "malformed header"),
                ("nan.npy", npy(rows[:3] + [[1, float("nan"), 1, 1]] + rows[4:]),
                 "row 3: element 1 is not a finite number"),
                ("cut.fvecs", vecs(rows)[:-1], "cut short"),
                ("dim.fvecs", struct.pack("<i", 1 << 30) + b"1234", "claims 1073741824 elements"),
                ("mixed.fvecs", vecs(rows[:2]) + struct.pack("<i", 3) + bytes(16), "row 2: 3 elements"),
                ("empty.npy", b"", "not a .npy file"),
                ("zero.npy", npy([[1, 2]], shape=(0, 2))[:-8], "nothing to load"),
                ("empty.jsonl", b"\n\n", "nothing to load"),
                ("blank.jsonl", b'{"id": 1}\n', "none of the first 1 documents has a vector"),
                ("binary.jsonl", bytes(range(256)), "line 1")]:
            with self.subTest(name=name):
                if content is not None:
                    self.write(name, content)
                self.fails("import", self.path(name), "--collection", "c", "--data", "db",
                           said=[name] + ([said] if isinstance(said, str) else said)
                           if "nothing" not in said and "none of" not in said else said)
                shutil.rmtree(self.path("db"), ignore_errors=True)

    def test_two_files(self):
        self.write("d.jsonl", '{"id": 5, "word": "a"}\n\n{"id": 6, "word": "b"}\n')
        self.write("v.npy", npy([[1, 0], [0, 1]]))
        self.write("w.npy", npy([[1, 0], [0, 1], [1, 1]]))
        self.fails("import", self.path("d.jsonl"), self.path("w.npy"), "--collection", "c",
                   "--data", "db", said=["2 documents", "3 rows"])
        self.assertFalse(os.path.exists(self.path("db")))
        self.fails("import", self.path("v.npy"), self.path("d.jsonl"), "--collection", "c",
                   "--data", "db", said="the first must hold documents")
        self.quiver("import", self.path("d.jsonl"), self.path("v.npy"), "--collection", "c",
                    "--data", "db")
        self.assertEqual(self.hits([0, 1])[0][0], 6)
        self.write("e.jsonl", '{"id": 5, "vector": [1, 2]}\n{"id": 6}\n')
        self.fails("import", self.path("e.jsonl"), self.path("v.npy"), "--collection", "c",
                   "--data", "db", said=["e.jsonl line 1", "gives it another"])

    def test_existing_collection(self):
        self.write("v.npy", npy([[1, 0], [0, 1]]))
        self.load("v.npy")
        self.fails("import", self.write("w.npy", npy([[1, 0, 0]])), "--collection", "c", "--data",
                   "db", said=["w.npy row 0", "3 elements; the collection takes 2"])
        self.fails("import", self.path("v.npy"), "--collection", "c", "--data", "db", "--metric",
                   "l2", said="compares by Cosine, not by Euclid")
        self.fails("import", self.path("v.npy"), "--collection", "a/b", "--data", "db",
                   said='cannot contain "/"')

    def test_default_directory(self):
        self.write("v.npy", npy([[1, 0], [0, 1]]))
        self.quiver("import", self.path("v.npy"), "--collection", "c")
        self.assertTrue(os.path.isdir(self.path("quiver-data")))
        self.quiver("import", self.path("v.npy"), "--collection", "c",
                    env=self.env(QUIVER_DATA="other"))
        self.assertTrue(os.path.isdir(self.path("other")))

    def test_reading_makes_nothing(self):
        for args in [["info"], ["query", "--collection", "c", "--id", "1"]]:
            self.fails(*args, "--data", "none", said="there is no database in none")
        self.fails("check", "none", said="none")
        odd = os.path.join(os.fsencode(self.dir), b"odd\xff")
        self.write("v.npy", npy([[1, 2]]))
        subprocess.run([QUIVER, "import", self.path("v.npy"), "--collection", "c", "--data", odd],
                       check=True, env=self.env(), stdout=subprocess.DEVNULL)
        out = subprocess.run([QUIVER, "info", "--json", "--data", odd], check=True, env=self.env(),
                             stdout=subprocess.PIPE).stdout
        self.assertIn("odd\ufffd", json.loads(out.decode())["data"])
        shutil.rmtree(odd)
        os.unlink(self.path("v.npy"))
        os.mkdir(self.path("empty"))
        self.fails("info", "--data", "empty", said="there is no database in empty")
        self.fails("check", "empty", said="there is no database in empty")
        self.assertEqual(os.listdir(self.dir), ["empty"])
        self.assertEqual(os.listdir(self.path("empty")), [])

    def test_query_errors(self):
        self.write("v.npy", npy([[1, 0], [0, 1]]))
        self.load("v.npy")
        ask = ["query", "--data", "db", "--collection"]
        self.fails(*ask, "nix", "--id", "1", said=["nix", "quiver info lists"])
        self.fails(*ask, "c", "--id", "99", said="99")
        self.fails(*ask, "c", "--id", "x y", said="neither a whole number nor a UUID")
        self.fails(*ask, "c", "--vector", "[1", said="--vector")
        self.fails(*ask, "c", "--vector", '{"a": 1}', said="not an array")
        self.fails(*ask, "c", "--vector", "[1,2,3]", said="expected dim: 2, got 3")
        self.fails(*ask, "c", "--id", "1", "--filter", "{", said="--filter")
        self.fails(*ask, "c", "--id", "1", "--filter", '{"must": [{"key": "a", "metch": 1}]}',
                   said="metch")
        self.fails(*ask, "c", "--vectors", self.path("v.npy"), "--row", "2",
                   said="there is no row 2; the file has 2")

    def test_payload_is_shown_safely(self):
        self.write("d.jsonl", json.dumps({"id": 1, "vector": [1], "payload": {
            "evil": "\x1b[31mred\x07", "text": "word " * 60, "list": ["a", 1, None],
            "deep": {"x": [1]}, "empty": "", "k\x1b": 1}}))
        self.load("d.jsonl")
        text, _ = self.quiver("query", "--collection", "c", "--data", "db", "--vector", "[1]")
        self.assertIn("\\x1b[31mred\\x07", text)
        self.assertIn("k\\x1b", text)
        self.assertIn("a, 1, null", text)
        self.assertIn('{"x":[1]}', text)
        self.assertNotIn("empty", text)
        self.assertLessEqual(max(map(len, text.split("\n"))), 80)

    def test_interrupt(self):
        """Ctrl-C: what was acknowledged is there, and the same command goes on."""
        self.write("d.jsonl", "".join('{"id": %d, "vector": [%d, 1, 2, 3]}\n' % (i, i)
                                      for i in range(200000)))
        p = subprocess.Popen([QUIVER, "import", self.path("d.jsonl"), "--collection", "c", "--data",
                              "db", "--batch", "16"], env=self.env(), cwd=self.dir,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + TIMEOUT_S
        while not os.path.exists(self.path("db/LOCK")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=TIMEOUT_S)
        self.assertEqual(p.returncode, 1, err.decode())
        stored = int(re.search(r"points stored: ([\d,]+)", err.decode()).group(1).replace(",", ""))
        self.assertLess(stored, 200000)
        if stored:  # else it was stopped before the collection was there
            self.assertEqual(self.points("--data", "db"), stored)


class Serve(Case):
    def setUp(self):
        super().setUp()
        self.rows = cloud(300, 8, 7)
        self.write("v.npy", npy(self.rows))
        self.write("d.jsonl", "".join(json.dumps({"id": i + 1, "payload": {"n": i}}) + "\n"
                                      for i in range(300)))

    def load(self, p, *args):
        return self.json("import", self.path("d.jsonl"), self.path("v.npy"), "--collection", "c",
                         "--url", p.url, *args)

    def test_start_load_stop(self):
        p = self.serve("--data", "db")
        self.assertIn("data         db", p.start)
        self.assertIn("collections  0", p.start)
        self.assertIn("kernels", p.start)
        self.assertEqual(self.load(p)["points"], 300)
        self.assertEqual(self.points("--url", p.url), 300)
        hit = self.json("query", "--url", p.url, "--collection", "c", "--vector",
                        json.dumps(self.rows[41]), "--limit", "1")["points"][0]
        self.assertEqual((hit["id"], hit["payload"]), (42, {"n": 41}))
        self.fails("query", "--url", p.url, "--collection", "nix", "--id", "1", said="nix")
        # The directory is the server's.
        err = self.fails("info", "--data", "db", said="db")
        self.assertIn("--url http://127.0.0.1:6333", err)
        self.fails("check", "db", said="LOCK")
        info = self.json("info", "--url", p.url)
        self.assertEqual(info["url"], p.url)
        self.assertIn("memory_bytes", info)
        self.quiver("info", "--url", p.url)
        self.stop(p)
        self.assertEqual(self.points("--data", "db"), 300)
        again = self.serve("--data", "db")
        self.assertIn("collections  1: c (300 points)", again.start)
        self.stop(again, signal.SIGINT)

    def test_kill(self):
        """What was acknowledged survives kill -9."""
        p = self.serve("--data", "db")
        self.load(p)
        p.kill()
        p.communicate()
        self.assertEqual(p.returncode, -signal.SIGKILL)
        p = self.serve("--data", "db")
        self.assertEqual(self.points("--url", p.url), 300)
        for i in (1, 150, 300):
            near = self.json("query", "--url", p.url, "--collection", "c", "--limit", "1", "--vector",
                             json.dumps(self.rows[i - 1]))["points"]
            self.assertEqual(near[0]["id"], i)
        self.stop(p)
        self.assertFalse(self.json("check", "db")["damaged"])

    def test_same_answers(self):
        """A directory and a server answer alike."""
        self.quiver("import", self.path("d.jsonl"), self.path("v.npy"), "--collection", "c",
                    "--data", "db")
        ask = ["query", "--collection", "c", "--id", "7", "--exact"]
        local = self.json(*ask, "--data", "db")["points"]
        p = self.serve("--data", "db")
        self.assertEqual(self.json(*ask, "--url", p.url)["points"], local)
        self.stop(p)

    def test_request_in_flight(self):
        """SIGTERM lets a request that has begun finish."""
        p = self.serve("--data", "db")
        port = int(p.url.rsplit(":", 1)[1])
        self.load(p)
        body = json.dumps({"points": [{"id": 1000, "vector": self.rows[0]}]}).encode()
        s = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        s.sendall(b"PUT /collections/c/points?wait=true HTTP/1.1\r\nHost: x\r\n"
                  b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                  + body[:10])
        time.sleep(0.3)
        s.sendall(body[10:])
        p.send_signal(signal.SIGTERM)
        answer = s.makefile("rb").readline()
        s.close()
        p.communicate(timeout=TIMEOUT_S)
        self.assertEqual(p.returncode, 0)
        self.assertIn(answer.split()[1], (b"200", b"503"))
        self.assertEqual(self.points("--data", "db"), 301 if b"200" in answer else 300)

    def test_second_signal(self):
        """The first SIGTERM waits for a request that has begun; the second does not."""
        p = self.serve("--data", "db", "--stop-grace-ms", "600000")
        port = int(p.url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as s:
            s.sendall(b"PUT /collections/c HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            time.sleep(0.5)
            p.send_signal(signal.SIGTERM)
            time.sleep(1)
            self.assertIsNone(p.poll())
            self.stop(p, rc=-signal.SIGTERM)

    def test_optimize(self):
        p = self.serve("--data", "db")
        self.load(p, "--optimize")
        self.assertEqual(self.json("info", "--url", p.url)["collections"][0]["sealed"], 1)
        text, _ = self.quiver("import", self.path("d.jsonl"), self.path("v.npy"), "--collection",
                              "c", "--url", p.url)
        self.assertIn("300 points loaded into c in", text)
        self.stop(p)

    def test_api_key(self):
        p = self.serve("--data", "db", env=self.env(QUIVER_API_KEY="sesame"))
        self.assertIn("with an API key", p.start)
        err = self.fails("info", "--url", p.url, said="401")
        self.assertIn("--api-key-file", err)
        self.write("key", "sesame\n")
        self.quiver("info", "--url", p.url, "--api-key-file", "key")
        self.quiver("info", "--url", p.url, env=self.env(QUIVER_API_KEY="sesame"))
        self.fails("info", "--url", p.url, "--api-key-file", "none", said="none")
        self.write("bad", "two words")
        self.fails("info", "--url", p.url, "--api-key-file", "bad", said="API key")
        self.stop(p)

    def test_settings(self):
        config = self.write("q.conf", "# settings\ndata = from-file\nbody_max = 2KiB\n")
        p = self.serve("--config", config)
        err = self.fails("import", self.path("v.npy"), "--collection", "c", "--url", p.url,
                         said="413")
        self.assertIn("smaller --batch", err)
        self.assertEqual(self.load(p, "--batch", "5")["points"], 300)
        self.stop(p)
        self.assertTrue(os.path.isdir(self.path("from-file")))
        p = self.serve("--config", config, env=self.env(QUIVER_DATA="from-env"))
        self.stop(p)
        self.assertTrue(os.path.isdir(self.path("from-env")))
        p = self.serve("--config", config, "--data", "from-flag",
                       env=self.env(QUIVER_DATA="unused"))
        self.stop(p)
        self.assertTrue(os.path.isdir(self.path("from-flag")))
        self.assertFalse(os.path.exists(self.path("unused")))
        self.fails("serve", "--config", self.write("bad.conf", "nonsense = 1\n"),
                   said=["bad.conf line 1", "nonsense"], rc=2)
        self.fails("serve", "--config", "none.conf", said="none.conf", rc=2)

    def test_cannot_start(self):
        p = self.serve("--data", "db")
        address = p.url[len("http://"):]
        self.fails("serve", "--data", "db", "--listen", "127.0.0.1:0", said="cannot open db")
        err = self.fails("serve", "--data", "db2", "--listen", address, said=address.split(":")[1])
        self.assertIn("hint:", err)
        err = self.fails("serve", "--data", "db2", "--listen", "0.0.0.0:0", said="0.0.0.0")
        self.assertIn("--allow-open", err)
        self.stop(p)

    def test_no_server(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        err = self.fails("info", "--url", f"http://127.0.0.1:{port}", said="Connection refused")
        self.assertIn("quiver serve", err)

    def test_kept_connection_closed(self):
        """A kept-alive connection that the server closed meanwhile is made anew."""
        p = self.serve("--data", "db", "--idle-timeout-s", "1")
        q = subprocess.Popen([QUIVER, "import", "-", "--collection", "k", "--url", p.url, "--batch",
                              "10", "--first-id", "0"], stdin=subprocess.PIPE, env=self.env(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        row = b'{"id": %d, "vector": [1, 2, 3]}\n'
        for i in range(20):
            if i == 15:
                time.sleep(3)
            q.stdin.write(row % i)
            q.stdin.flush()
        _, err = q.communicate(timeout=TIMEOUT_S)
        self.assertEqual(q.returncode, 0, err)
        self.stop(p)


class Answers(Case):
    """Servers that do not keep to the rules."""

    def server(self, *answers):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def run():
            for answer in answers:
                try:
                    c, _ = listener.accept()
                except OSError:
                    return
                with c:
                    c.settimeout(10)
                    try:
                        c.recv(65536)
                        c.sendall(answer)
                    except OSError:
                        pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return "http://127.0.0.1:%d" % listener.getsockname()[1]

    def test_malformed(self):
        ok = b"HTTP/1.1 200 OK\r\n"
        for answer, said in [
                (b"", "closed the connection"),
                (b"SSH-2.0-x\r\n", "is this the port of a Quiver server?"),
                (ok + b"Content-Length: 5\r\n\r\nabc", "in the middle of an answer"),
                (ok + b"Content-Length: x\r\n\r\n", "Content-Length"),
                (ok + b"\r\n{}", "nothing about its length"),
                (ok + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "both"),
                (ok + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk"),
                (ok + b"Content-Length: 2\r\n\r\n{}{}", "more than one answer"),
                (ok + b"Content-Length: 4\r\n\r\noops", "as a Quiver server does"),
                (ok + b"Content-Length: 2\r\n\r\n{}", "as a Quiver server does"),
                (ok + b"Content-Length: 3\r\n\r\n\xff\xfe\x00", "as a Quiver server does"),
                (b"HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\n\x1b[31m", "\\x1b[31m"),
                (b"HTTP/1.1 401 X\r\nContent-Length: 7\r\n\r\ngo away", "go away (status 401)"),
                (b"HTTP/1.1 418 X\r\nContent-Length: 26\r\n\r\n"
                 b'{"status":{"error":"tea"}}', "tea (status 418)")]:
            with self.subTest(answer=answer):
                self.fails("info", "--url", self.server(answer), said=said)

    def test_strange_json(self):
        """Well-formed JSON of the wrong shape."""
        for result in ["5", "[]", '{"collections": 7}', '{"collections": [7, {}, {"name": []}]}',
                       '{"collections": {"a": 1}}']:
            body = b'{"result": %s}' % result.encode()
            answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
            self.quiver_any("info", "--url", self.server(answer, *[answer] * 8))
            self.quiver_any("query", "--collection", "c", "--id", "1", "--url",
                            self.server(answer, *[answer] * 8))
            self.write("v.npy", npy([[1, 2]]))
            self.quiver_any("import", self.path("v.npy"), "--collection", "c", "--url",
                            self.server(answer, *[answer] * 8))

    def test_plan_is_shown_safely(self):
        steps = [{"stage": "\x1b[31mred", "detail": "a\x07\u00e9", "estimated": 5},
                 {"stage": "scan", "detail": "b", "estimated": 6}, {"stage": 7, "detail": None}]
        body = json.dumps({"result": {"points": []}, "explain": {"steps": steps}}).encode()
        url = self.server(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        out, _ = self.quiver("query", "--collection", "c", "--id", "1", "--explain", "--url", url)
        self.assertNotIn("\x1b", out)
        lines = out.splitlines()
        self.assertEqual(lines[1], "%-16s %-36s %12d" % ("\\x1b[31mred", "a\\x07\u00e9", 5))
        self.assertEqual(lines[2], "%-16s %-36s %12d" % ("scan", "b", 6))
        self.assertEqual(lines[3], "%-16s %-36s %12d" % ("", "", 0))

    def test_no_snapshots(self):
        """What is no list of snapshots, where one is due; or one of other things."""
        for result in ["5", '"text"', "null", "{}", '{"a": 1, "b": 2}', "true"]:
            answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b'{"result": %s}' % result.encode()
            for args in (["list"], ["download", "x"]):
                with self.subTest(result=result, args=args):
                    self.fails("snapshot", *args, "--url", self.server(*[answer] * 4),
                               said="no list of snapshots")
        for result in ["[]", "[5]", '["text", null]', '[{"name": 5, "checksum": []}]']:
            answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b'{"result": %s}' % result.encode()
            self.quiver_any("snapshot", "list", "--url", self.server(*[answer] * 4))
            self.quiver_any("snapshot", "create", "--url", self.server(*[answer] * 4))
            self.fails("snapshot", "download", "x", "--url", self.server(*[answer] * 4),
                       said="there is no snapshot x")

    def quiver_any(self, *args):
        done = subprocess.run([QUIVER, *args], env=self.env(), cwd=self.dir, timeout=TIMEOUT_S,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn(done.returncode, (0, 1), done.stderr.decode())
        self.assertNotIn(b"Sanitizer", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=1)

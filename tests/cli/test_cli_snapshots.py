#!/usr/bin/env python3
"""test_cli_snapshots.py: `quiver snapshot` and `quiver restore` as a black box.

    test_cli_snapshots.py QUIVER SOURCE_DIR [-k PATTERN]
"""

import json
import os
import sys
import unittest

import test_cli


class Snapshots(test_cli.Case):
    POINTS = "".join(json.dumps({"id": i, "vector": [i, 1, 2, 3], "payload": {"n": i}}) + "\n"
                     for i in range(300))

    def setUp(self):
        super().setUp()
        self.write("p.jsonl", self.POINTS)
        self.quiver("import", "p.jsonl", "--data", "db", "--collection", "c", "--metric", "l2")

    def count(self, collection, *where):
        return self.json("info", "--collection", collection, *where)["collections"][0]["points"]

    def test_server(self):
        p = self.serve("--data", "db")
        where = ["--url", p.url]
        made = self.json("snapshot", "create", "--collection", "c", *where)
        self.assertEqual(self.json("snapshot", "list", "--collection", "c", *where), [made])
        out, _ = self.quiver("snapshot", "list", "--collection", "c", *where)
        self.assertIn(made["checksum"], out)
        name = made["name"]
        got = self.json("snapshot", "download", name, "--collection", "c", "--to", "c.snapshot", *where)
        self.assertEqual((got["file"], got["size"], got["checksum"]),
                         ("c.snapshot", made["size"], made["checksum"]))
        self.assertEqual(os.path.getsize(self.path("c.snapshot")), made["size"])
        self.fails("snapshot", "download", name, "--collection", "c", "--to", "c.snapshot", *where,
                   said="is there already")
        self.quiver("snapshot", "upload", "c.snapshot", "--collection", "d", *where)
        self.assertEqual(self.count("d", *where), 300)
        with open(self.path("c.snapshot"), "rb") as f:
            damaged = bytearray(f.read())
        damaged[len(damaged) // 2] ^= 4
        self.write("bad.snapshot", bytes(damaged))
        self.fails("snapshot", "upload", "bad.snapshot", "--collection", "d", *where, said="snapshot")
        self.assertEqual(self.count("d", *where), 300)
        self.quiver("snapshot", "delete", name, "--collection", "c", *where)
        self.fails("snapshot", "delete", name, "--collection", "c", *where, said="not found")
        whole = self.json("snapshot", "create", *where)
        self.json("snapshot", "download", whole["name"], "--to", "db.snapshot", *where)
        self.stop(p)
        self.quiver("restore", "db.snapshot", "--data", "again", "--checksum", whole["checksum"])
        for collection in "cd":
            self.assertEqual(self.count(collection, "--data", "again"), 300)
        self.fails("restore", "db.snapshot", "--data", "again", said="not empty")
        self.fails("restore", "bad.snapshot", "--data", "other", said="bad.snapshot")
        self.fails("restore", "nothing", "--data", "other", said=["nothing: there is no such", "hint"])
        os.mkdir(self.path("no-snapshot"))
        self.fails("restore", "no-snapshot", "--data", "other",
                   said=["no-snapshot: the directory holds no snapshot", "hint"])
        self.fails("restore", "db.snapshot", "--data", "other", "--checksum", "0" * 64,
                   said="its SHA-256 is another: expected")
        self.assertFalse(os.path.exists(self.path("other")), "a failure left a directory")
        self.quiver("restore", "c.snapshot", "--data", "other")
        self.assertEqual(self.count("c", "--data", "other"), 300)

    def test_directory(self):
        made = self.json("snapshot", "create", "--data", "db")
        self.assertEqual(self.json("snapshot", "list", "--data", "db"), [made])
        self.assertEqual(self.json("snapshot", "list", "--collection", "c", "--data", "db"), [])
        inside = os.path.join("db", "snapshots")
        place = os.path.join(inside, os.listdir(self.path(inside))[0])
        done = self.json("restore", place, "--data", "again")
        self.assertEqual(done["snapshot"], made["name"])
        self.assertEqual(self.count("c", "--data", "again"), 300)
        out, _ = self.quiver("check", "again")
        self.assertRegex(out, r"log-\w+\.qvl: no records yet, LSN \d+ is the next")
        self.quiver("snapshot", "delete", made["name"], "--data", "db")
        self.assertEqual(os.listdir(self.path(inside)), [])

    def test_no_database(self):
        os.mkdir(self.path("empty"))
        for where in "none", "empty":
            for action in (["create"], ["create", "--collection", "c"], ["list"], ["delete", "x"]):
                self.fails("snapshot", *action, "--data", where,
                           said=["there is no database in " + where, "hint"])
        self.assertFalse(os.path.exists(self.path("none")), "a mistyped directory was made")
        self.assertEqual(os.listdir(self.path("empty")), [])

    def test_usage(self):
        for args, said in [(["snapshot"], "ACTION"), (["snapshot", "make"], "none of create"),
                           (["snapshot", "delete"], "one more word"),
                           (["snapshot", "list", "x"], "too many"),
                           (["snapshot", "download", "x", "--data", "db"], "--url"),
                           (["snapshot", "upload", "x", "--url", "http://127.0.0.1:1"], "--collection"),
                           (["snapshot", "list", "--to", "x"], "--to"),
                           (["restore", "x"], "--data"),
                           (["restore", "x", "--data", "y", "--checksum", "z"], "--checksum")]:
            self.fails(*args, rc=2, said=said)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=1)

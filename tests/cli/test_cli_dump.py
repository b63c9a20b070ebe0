#!/usr/bin/env python3
"""test_cli_dump.py QUIVER SOURCE: `quiver dump` and `quiver check` as a black box.

On the directory that an older build wrote (tests/golden), whole and damaged."""

import json
import os
import shutil
import unittest

from test_cli import SOURCE, Case


class Dump(Case):
    """What the files say, of a directory that an older build wrote, too."""

    def items(self, *args, rc=0):
        out, _ = self.quiver("dump", "golden", *args, "--json", rc=rc)
        return [json.loads(line) for line in out.split("\n") if line]

    def test_golden(self):
        shutil.copytree(os.path.join(SOURCE, "tests", "golden", "v1", "data"), self.path("golden"))
        before = {}
        for root, _, names in os.walk(self.path("golden")):
            for name in names:
                with open(os.path.join(root, name), "rb") as f:
                    before[os.path.join(root, name)] = f.read()
        items = self.items()
        kinds = {i["item"] for i in items}
        self.assertEqual(kinds, {"directory", "current", "manifest", "catalog", "shard", "segment",
                                 "section", "column", "log_file", "record", "log_end"})
        self.assertFalse(items[0]["in_use"])
        live = [i for i in items if i["item"] == "manifest" and i["live"]]
        self.assertEqual(len(live), 1)
        records = [i for i in items if i["item"] == "record"]
        lsns = [r["lsn"] for r in records]
        self.assertEqual(lsns, list(range(lsns[0], lsns[-1] + 1)))
        effects = [e for r in records if r["type"] == "data" for p in r["parts"]
                   for e in p["effects"]]
        self.assertEqual({e["kind"] for e in effects}, {"put", "payload", "delete"})
        self.assertEqual({e["id_kind"] for e in effects}, {"u64", "i64", "uuid", "string"})
        self.assertEqual({r["collection"] for r in records if r["type"] == "data"},
                         {"alpha", "beta", "delta"})
        self.assertIn("create", {r["change"]["op"] for r in records if r["type"] == "catalog"})
        self.assertFalse(any("malformed" in r for r in records))
        some = self.items("--log", "--from", str(lsns[3]), "--limit", "2")
        self.assertEqual([i["lsn"] for i in some if i["item"] == "record"], lsns[3:5])
        segment = next(i for i in items if i["item"] == "segment")
        one = self.items("--segment", str(segment["segment_id"]))
        self.assertEqual({i["item"] for i in one}, {"directory", "segment", "section", "column"})
        self.assertIn("vectors", {i["name"] for i in one if i["item"] == "section"})
        text, _ = self.quiver("dump", "golden", "--manifest")
        self.assertRegex(text, r"(?m)^manifest  file manifest-[0-9a-f]{16}  live true  generation")
        _, err = self.quiver("dump", "golden", "--segment", "999", rc=1)
        self.assertIn("no segment 999", err)
        for path, content in before.items():
            with open(path, "rb") as f:
                self.assertEqual(f.read(), content, path)

    def test_damaged(self):
        shutil.copytree(os.path.join(SOURCE, "tests", "golden", "v1", "data"), self.path("golden"))
        os.mkdir(self.path("golden/tmp"))
        log = os.path.join("log", os.listdir(self.path("golden/log"))[0])
        with open(self.path("golden/" + log), "r+b") as f:
            f.seek(4096 + 50)
            f.write(b"\xff\xff")
        os.remove(self.path("golden/CURRENT"))
        items = self.items(rc=1)
        self.assertIn("CURRENT", [i["file"] for i in items if i["item"] == "damage"])
        self.assertIn(log, [i["file"] for i in items if i["item"] == "damage"])
        end = next(i for i in items if i["item"] == "log_end")
        self.assertGreater(end["durable_by_what_is_behind"], end["next_lsn"])
        findings = self.json("check", "golden", rc=1)["findings"]
        bad = {f["file"]: f for f in findings if f["damaged"]}
        shutil.copy(os.path.join(SOURCE, "tests", "golden", "v1", "data", "CURRENT"),
                    self.path("golden/CURRENT"))
        with open(self.path("golden/CURRENT"), "r+b") as f:
            f.seek(9)
            f.write(b"\xff\xff")
        text, _ = self.quiver("check", "golden", rc=1)
        self.assertRegex(text, r"(?m)^DAMAGED  CURRENT: (?!CURRENT: )")
        self.assertEqual(set(bad), {"CURRENT", log})
        self.assertEqual(bad[log]["from_lsn"], 1)

    def test_missing(self):
        golden = os.path.join(SOURCE, "tests", "golden", "v1", "data")
        for part in ("manifest", "segment", "log"):
            shutil.rmtree(self.path("golden"), ignore_errors=True)
            shutil.copytree(golden, self.path("golden"))
            whole = self.items()
            if part == "manifest":
                gone = next(i["file"] for i in whole if i["item"] == "manifest" and i["live"])
            elif part == "segment":
                gone = "blobs/seg-%016x" % next(s["segment_id"] for i in whole if i["item"] == "shard"
                                                for s in i["segments"])
            else:
                gone = next(i["file"] for i in whole if i["item"] == "log_file")
            os.remove(self.path("golden/" + gone))
            lost = [i for i in self.items(rc=1) if i["item"] == "damage"]
            self.assertEqual([i["file"] for i in lost], ["log" if part == "log" else gone])
            self.assertIn("missing", lost[0]["message"])

    def test_check_of_what_is_left(self):
        golden = os.path.join(SOURCE, "tests", "golden", "v1", "data")
        shutil.copytree(golden, self.path("golden"))
        shutil.rmtree(self.path("golden/log"))
        text, _ = self.quiver("check", "golden", rc=1)
        self.assertIn("all log files are missing", text)
        for name in os.listdir(self.path("golden")):
            if os.path.isfile(self.path("golden/" + name)):
                os.remove(self.path("golden/" + name))
        _, err = self.quiver("check", "golden", rc=1)
        self.assertIn("there is no database", err)
        with open(self.path("golden/RESTORING"), "w"):
            pass
        text, _ = self.quiver("check", "golden", rc=1)
        self.assertRegex(text, r"(?m)^DAMAGED  RESTORING: .*interrupted")

    def test_without_checkpoint(self):
        shutil.copytree(os.path.join(SOURCE, "tests", "golden", "v1", "data"), self.path("golden"))
        for name in os.listdir(self.path("golden")):
            if name == "CURRENT" or name.startswith("manifest-"):
                os.remove(self.path("golden/" + name))
        self.assertNotIn("CURRENT", [i.get("file") for i in self.items()])


if __name__ == "__main__":
    unittest.main(argv=[__file__])

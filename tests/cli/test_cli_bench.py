#!/usr/bin/env python3
"""test_cli_bench.py QUIVER SOURCE: `quiver bench ann` and `quiver bench http` as a black box."""

import json
import os
import signal
import subprocess
import time
import unittest

from test_cli import QUIVER, TIMEOUT_S, Case, cloud, nearest_l2, npy, vecs


class Bench(Case):
    def setUp(self):
        super().setUp()
        self.base, self.queries = cloud(2000, 12, 3), cloud(20, 12, 4)
        self.write("base.fvecs", vecs(self.base))
        self.write("queries.npy", npy(self.queries))
        truth = [nearest_l2(self.base, q, 10) for q in self.queries]
        self.write("truth.ivecs", vecs(truth, "i"))
        self.write("truth.npy", npy(truth, "i", "<i4"))

    def ann(self, *args, rc=0):
        out, _ = self.quiver("bench", "ann", "--base", "base.fvecs", "--queries", "queries.npy",
                             "--metric", "l2", "--k", "10", *args, rc=rc)
        return out

    def test_ann(self):
        out = self.ann("--truth", "truth.ivecs", "--ef", "10,200", "--threads", "2", "--json")
        lines = [json.loads(x) for x in out.splitlines()]
        self.assertEqual(len(lines), 3)
        build, low, high = lines
        self.assertEqual((build["points"], build["dim"]), (2000, 12))
        for key in ["build_s", "index_bytes", "rss_bytes"]:
            self.assertGreater(build[key], 0)
        self.assertEqual(build["indexed"], 2000)
        self.assertEqual((low["ef"], high["ef"]), (10, 200))
        for line in (low, high):
            self.assertGreater(line["qps"], 0)
            self.assertLessEqual(line["p50_us"], line["p95_us"])
            self.assertLessEqual(line["p95_us"], line["p99_us"])
            self.assertEqual(line["queries"] % 20, 0)
            self.assertGreaterEqual(line["seconds"], 1)
        self.assertGreater(high["recall"], 0.99)
        self.assertLessEqual(low["recall"], high["recall"] + 0.01)
        self.assertEqual([f for f in os.listdir(self.dir) if f.startswith("quiver-")], [])

    def test_ann_computes_truth_and_keeps(self):
        args = ["--data", "kept", "--ef", "200", "--json"]
        first = json.loads(self.ann(*args).splitlines()[1])
        self.assertGreater(first["recall"], 0.99)
        self.assertFalse(self.json("check", "kept")["damaged"])
        self.fails("bench", "ann", "--base", "base.fvecs", "--queries", "queries.npy", *args,
                   said="--reuse")
        again = [json.loads(x) for x in self.ann(*args, "--reuse", "--truth",
                                                 "truth.npy").splitlines()]
        self.assertTrue(again[0]["reused"])
        self.assertGreater(again[1]["recall"], 0.99)
        text = self.ann("--data", "kept", "--ef", "50", "--reuse")
        self.assertRegex(text, r"(?m)^ +50 +[01]\.\d{4} ")

    def test_ann_placement(self):
        """Where links and codes lie changes no answer, and is told of what was built."""
        found = {}
        for placement in ("memory", "mapped", "disk"):
            args = ["--data", placement, "--ef", "32", "--truth", "truth.ivecs", "--json"]
            build, line = [json.loads(x) for x in self.ann(*args, "--placement", placement).splitlines()]
            self.assertEqual(build["placement"], placement)
            found[placement] = line["recall"]
            again = json.loads(self.ann(*args, "--reuse").splitlines()[0])
            self.assertEqual(again["placement"], placement)
        self.assertEqual(len(set(found.values())), 1, found)
        self.fails("bench", "ann", "--base", "base.fvecs", "--queries", "queries.npy",
                   "--placement", "moon", said="--placement", rc=2)

    def test_ann_packing(self):
        """Fused records find what compact graphs find, take memory, and are told of what was built."""
        found = {}
        for packing in ("compact", "fused"):
            args = ["--data", packing, "--codes", "int8", "--ef", "400", "--truth", "truth.ivecs", "--json"]
            build, line = [json.loads(x) for x in self.ann(*args, "--packing", packing).splitlines()]
            self.assertEqual(build["packing"], packing)
            self.assertEqual(line["engine"], "quiver" if packing == "compact" else "quiver-fused")
            self.assertGreater(line["recall"], 0.99)
            found[packing] = build["memory_bytes"]
            again = json.loads(self.ann(*args, "--reuse").splitlines()[0])
            self.assertEqual(again["packing"], packing)
        self.assertGreater(found["fused"], found["compact"])
        self.fails("bench", "ann", "--base", "base.fvecs", "--queries", "queries.npy",
                   "--packing", "loose", said="--packing", rc=2)

    def test_ann_bad_input(self):
        run = ["bench", "ann", "--base", "base.fvecs", "--queries"]
        self.fails(*run, "none.npy", said="none.npy")
        self.write("other.npy", npy(cloud(3, 5, 1)))
        self.fails(*run, "other.npy", said=["5 elements", "12"])
        self.write("few.ivecs", vecs([[1, 2, 3]] * 20, "i"))
        self.fails(*run, "queries.npy", "--truth", "few.ivecs", said="--k is 10")
        self.write("wild.ivecs", vecs([list(range(1991, 2001))] * 20, "i"))
        self.fails(*run, "queries.npy", "--truth", "wild.ivecs", said="there is no row 2000")
        self.fails(*run, "queries.npy", "--truth", "queries.npy", said="int32")
        self.fails(*run, "queries.npy", "--k", "5000", said="--k")
        self.assertEqual([f for f in os.listdir(self.dir) if f.startswith("quiver-")], [])

    def test_ann_interrupted(self):
        p = subprocess.Popen([QUIVER, "bench", "ann", "--base", "base.fvecs", "--queries",
                              "queries.npy", "--seconds", "600"], cwd=self.dir, env=self.env(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline and not p.stdout.readline().startswith(b" "):
            pass
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=TIMEOUT_S)
        self.assertEqual(p.returncode, -signal.SIGINT, err.decode())
        self.assertEqual([f for f in os.listdir(self.dir) if f.startswith("quiver-")], [])

    def requests_of(self, *run):
        self.quiver(*run, "--requests", "requests.csv")
        with open(os.path.join(self.dir, "requests.csv"), encoding="ascii") as f:
            head, *lines = f.read().splitlines()
        self.assertEqual(head, "request,due_us,latency_us")
        return [line.split(",") for line in lines]

    def test_http(self):
        p = self.serve("--data", "db")
        run = ["bench", "http", "--url", p.url, "--seconds", "1", "--warmup", "0", "--connections",
               "2", "--json"]
        up = json.loads(self.quiver(*run, "--mode", "upsert", "--keep", "--dim", "16", "--batch",
                                    "3")[0])
        self.assertEqual((up["request"], up["refused"], up["dim"]), ("upsert", 0, 16))
        self.assertGreater(up["requests"], 0)
        n = self.json("info", "--url", p.url, "--collection", "bench")["collections"][0]["points"]
        self.assertGreaterEqual(n, up["requests"] * 3)
        search = json.loads(self.quiver(*run, "--mode", "search", "--rate", "20")[0])
        self.assertEqual(search["request"], "search")
        self.assertLessEqual(search["requests"], 25)
        mixed = [json.loads(x) for x in self.quiver(
            *run, "--mode", "mixed", "--search-connections", "1", "--rate", "20")[0].splitlines()]
        self.assertEqual([m["request"] for m in mixed], ["upsert", "search"])
        slow = [json.loads(x) for x in self.quiver(
            *run, "--mode", "mixed", "--search-connections", "1", "--write-rate", "10")[0].splitlines()]
        self.assertEqual([m["rate"] for m in slow], [10, 100])
        self.assertLessEqual(slow[0]["requests"], 10)
        lines = self.requests_of(*run, "--mode", "mixed", "--search-connections", "1", "--rate", "20")
        self.assertEqual({line[0] for line in lines}, {"upsert", "search"})
        self.assertTrue(all(0 <= int(due) < 1000000 and int(took) > 0 for _, due, took in lines))
        self.fails(*run, "--mode", "search", "--requests", "nowhere/requests.csv", said="nowhere")
        # A collection made for the run goes with it.
        self.quiver(*run, "--mode", "upsert", "--collection", "gone")
        names = [c["name"] for c in self.json("info", "--url", p.url)["collections"]]
        self.assertEqual(names, ["bench"])
        self.fails(*run, "--mode", "search", "--collection", "gone", said="gone")
        self.stop(p)
        self.fails(*run, "--mode", "upsert", said="refused")


if __name__ == "__main__":
    unittest.main(argv=[__file__])

#!/usr/bin/env python3
"""test_cli_datatypes.py QUIVER SOURCE: vectors of every datatype, loaded and measured."""

import json
import shutil
import unittest

from test_cli import Case, cloud, npy, vecs


def hash_bits(i):
    return (i * 2654435761 & 0xffffffff) >> 13


class Datatypes(Case):
    def load(self, name, *args):
        return self.json("import", self.path(name), "--collection", "c", "--data", "db", *args)

    def hits(self, vector):
        found = self.json("query", "--collection", "c", "--data", "db", "--vector",
                          json.dumps(vector))
        return [(h["id"], h["score"]) for h in found["points"]]

    def test_datatypes(self):
        rows = [[1, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1], [0] * 16, [1] * 16]
        packed = [[0x8f, 0x55], [0, 0], [0xff, 0xff]]
        self.write("plain.npy", npy(rows))
        self.write("packed.npy", npy(packed, "B", "|u1"))
        self.write("packed.bvecs", vecs(packed, "B"))
        for args in (["plain.npy"], ["packed.npy", "--packed-bits"],
                     ["packed.bvecs", "--packed-bits", "--metric", "hamming"]):
            with self.subTest(args=args):
                self.load(*args, "--datatype", "bit")
                vectors = self.json("info", "--data", "db")["collections"][0]["vectors"]
                self.assertEqual((vectors["distance"], vectors["size"]), ("Hamming", 16))
                self.assertEqual(self.hits([0] * 16)[:3], [(1, 0.0), (0, 9.0), (2, 16.0)])
                shutil.rmtree(self.path("db"))
        for datatype in ("float16", "uint8", "int8"):
            with self.subTest(datatype=datatype):
                self.load("plain.npy", "--datatype", datatype, "--metric", "l1")
                self.assertEqual(self.hits([0] * 16)[0], (1, 0.0))
                self.fails("import", self.path("plain.npy"), "--collection", "c", "--data", "db",
                           "--datatype", "bit", said=f"stores {datatype}, not bit")
                shutil.rmtree(self.path("db"))
        self.fails("import", self.path("plain.npy"), "--collection", "c", "--data", "db",
                   "--packed-bits", said="bytes of type uint8")
        self.write("d.jsonl", '{"id": 1, "vector": [1, 0]}')
        self.fails("import", self.path("d.jsonl"), "--collection", "c", "--data", "db",
                   "--packed-bits", said="a file of vectors only")
        self.write("wide.npy", npy([[0] * 8193], "B", "|u1"))
        self.fails("import", self.path("wide.npy"), "--collection", "c", "--data", "db",
                   "--packed-bits", said="65544 bits; vectors have 1 to 65536")

    def test_ann_datatypes(self):
        self.write("base.fvecs", vecs(cloud(2000, 12, 3)))
        self.write("queries.npy", npy(cloud(20, 12, 4)))
        self.write("bits.npy", npy([[b & 255 for b in (hash_bits(i), hash_bits(i + 7), i >> 3)]
                                    for i in range(1500)], "B", "|u1"))
        for args, metric in ((["--datatype", "float16"], "cosine"),
                             (["--datatype", "float16", "--codes", "1-bit", "--oversampling", "8"],
                              "cosine"),
                             (["--datatype", "bit", "--packed-bits"], "hamming")):
            with self.subTest(args=args):
                base, queries = (("bits.npy", "bits.npy") if metric == "hamming"
                                 else ("base.fvecs", "queries.npy"))
                out, _ = self.quiver("bench", "ann", "--base", base, "--queries", queries, "--k",
                                     "1", "--ef", "200", "--json", *args)
                build, line = [json.loads(x) for x in out.splitlines()]
                self.assertEqual((build["datatype"], build["metric"]), (args[1], metric))
                self.assertEqual(build["codes"], args[3] if "--codes" in args else "auto")
                self.assertGreater(line["recall"], 0.3 if metric == "hamming" else 0.9)


if __name__ == "__main__":
    unittest.main(argv=[__file__])

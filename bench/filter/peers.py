#!/usr/bin/env python3
"""The points of bench_filter with other engines, one search thread each.

Usage: peers.py SET OUT.csv [--db DIR] [--queries N] [PEER...]

Peers: hnswlib (its headers in HNSWLIB, by hnswlib.cpp), zvec, qdrant-edge (Qdrant's engine), pgvector
(a server of one's own in PGURL). For each filter the narrowest beam that reaches
recall@10 0.95 is timed over all queries, in processor time of the process (pgvector: wall time).
A peer that cannot be had is a line with what failed. Indexes are kept in --db."""
import argparse
import io
import os
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_sets import KINDS, SHARES, window  # noqa: E402

BEAMS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
M, EF_CONSTRUCT, K, THREADS = 16, 200, 10, 2


class Hnswlib:
    """By hnswlib.cpp; HNSWLIB is the folder that has hnswlib/hnswlib.h."""

    def __init__(self, base, u, r, metric, db):
        import ctypes

        here = os.path.dirname(os.path.abspath(__file__))
        self.columns, self.dim, is_l2 = {"u": u, "r": r}, base.shape[1], int(metric == "l2")
        subprocess.run(["c++", "-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-pthread",
                        "-I", os.environ["HNSWLIB"], "-o", f"{db}/hnswlib.so", f"{here}/hnswlib.cpp"], check=True)
        self.lib = ctypes.CDLL(f"{db}/hnswlib.so")
        self.at = lambda a: ctypes.c_void_p(a.ctypes.data)
        size, path = ctypes.c_size_t, f"{db}/hnswlib"
        if not os.path.exists(path):
            self.lib.build(self.at(base), size(len(base)), size(self.dim), is_l2, size(M), size(EF_CONSTRUCT),
                           THREADS, (path + ".new").encode())
            os.rename(path + ".new", path)
        self.lib.load.restype = ctypes.c_void_p
        self.x = ctypes.c_void_p(self.lib.load(path.encode(), size(self.dim), is_l2))
        self.out = np.empty(K, np.int64)

    def filter(self, column, spans):
        c = self.columns[column]
        ok = np.zeros((len(c) + 63) // 64 * 64, bool)
        for a, z in spans:
            ok[: len(c)] |= (c >= a) & (c < z)
        return np.packbits(ok, bitorder="little")

    def ask(self, q, f, ef):
        n = self.lib.search(self.x, self.at(q), K, ef, self.at(f) if f is not None else None, self.at(self.out))
        return self.out[:n].copy()


class Zvec:
    def __init__(self, base, u, r, metric, db):
        import zvec

        self.z = zvec
        kind = zvec.MetricType.L2 if metric == "l2" else zvec.MetricType.IP
        path = f"{db}/zvec"
        if not os.path.exists(path):
            field = lambda name: zvec.FieldSchema(
                name, zvec.DataType.INT64, index_param=zvec.InvertIndexParam(enable_range_optimization=True))
            schema = zvec.CollectionSchema(
                name="bench", fields=[field("u"), field("r")],
                vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, base.shape[1],
                                          index_param=zvec.HnswIndexParam(
                                              metric_type=kind, m=M, ef_construction=EF_CONSTRUCT,
                                              quantize_type=zvec.QuantizeType.INT8)))
            c = zvec.create_and_open(path=path, schema=schema)
            for at in range(0, len(base), 1000):
                c.insert([zvec.Doc(id=str(i), vectors={"v": base[i].tolist()},
                                   fields={"u": int(u[i]), "r": int(r[i])})
                          for i in range(at, min(at + 1000, len(base)))])
            c.optimize()
            c.flush()
            c.close()
        self.c = zvec.open(path=path, option=zvec.CollectionOption(read_only=True, enable_mmap=True))
        ids = self.c.query_internal_ids(self.query(base[7], 100), topk=1)
        self.direct = self.c.resolve_internal_ids(ids) == [str(int(ids[0]))]

    def query(self, q, ef):
        return self.z.Query("v", vector=q, param=self.z.HnswQueryParam(ef=ef, is_using_refiner=True))

    def filter(self, column, spans):
        return " or ".join(f"({column} >= {a} and {column} < {z})" for a, z in spans)

    def ask(self, q, f, ef):
        ids = self.c.query_internal_ids(self.query(q, ef), topk=K, filter=f)
        if self.direct:
            return ids
        return [int(i) for i in self.c.resolve_internal_ids([i for i in ids if i >= 0])]


class QdrantEdge:
    def __init__(self, base, u, r, metric, db):
        import qdrant_edge as qe

        self.qe = qe
        path = f"{db}/qdrant"
        distance = qe.Distance.Euclid if metric == "l2" else qe.Distance.Cosine
        if os.path.exists(path):
            self.s = qe.EdgeShard.load(path)
            return
        os.makedirs(path)
        config = qe.EdgeConfig(
            vectors=qe.EdgeVectorParams(size=base.shape[1], distance=distance),
            hnsw_config=qe.HnswIndexConfig(m=M, ef_construct=EF_CONSTRUCT, full_scan_threshold=10000),
            quantization_config=qe.ScalarQuantizationConfig(type=qe.ScalarType.Int8, always_ram=True),
            optimizers=qe.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1000,
                                               max_segment_size=100000000),
            max_search_threads=1)
        self.s = qe.EdgeShard.create(path, config)
        for column in ("u", "r"):
            self.s.update(qe.UpdateOperation.create_field_index(column, qe.PayloadSchemaType.Integer))
        for at in range(0, len(base), 1000):
            self.s.update(qe.UpdateOperation.upsert_points(
                [qe.Point(i, base[i].tolist(), {"u": int(u[i]), "r": int(r[i])})
                 for i in range(at, min(at + 1000, len(base)))]))
        while self.s.optimize():
            pass
        self.s.flush()

    def filter(self, column, spans):
        qe = self.qe
        conditions = [qe.FieldCondition(column, range=qe.RangeFloat(gte=float(a), lt=float(z))) for a, z in spans]
        return qe.Filter(should=conditions)

    def ask(self, q, f, ef):
        qe = self.qe
        got = self.s.query(qe.QueryRequest(limit=K, query=qe.Query.Nearest(q.tolist()), filter=f,
                                           with_payload=False, with_vector=False,
                                           params=qe.SearchParams(
                                               hnsw_ef=ef, quantization=qe.QuantizationSearchParams(rescore=True))))
        return [p.id for p in got]


class Pgvector:
    """A table in the database PGURL, whose server has the extension; wall time of statements."""

    def __init__(self, base, u, r, metric, db):
        import psycopg2

        self.clock = time.perf_counter
        c = psycopg2.connect(os.environ["PGURL"])
        c.autocommit = True
        self.c = c.cursor()
        self.op = "<->" if metric == "l2" else "<#>"
        ops = "vector_l2_ops" if metric == "l2" else "vector_ip_ops"
        n, dim = base.shape
        self.table = f"bench_{n}_{dim}"
        self.c.execute("CREATE EXTENSION IF NOT EXISTS vector")
        self.c.execute("SELECT to_regclass(%s), to_regclass(%s)", (self.table, self.table + "_v"))
        if None in self.c.fetchone():
            self.c.execute(f"DROP TABLE IF EXISTS {self.table}")
            self.c.execute(f"CREATE TABLE {self.table} (id int PRIMARY KEY, u int, r int, v vector({dim}))")
            self.c.execute(f"ALTER TABLE {self.table} ALTER COLUMN v SET STORAGE PLAIN")
            for at in range(0, n, 1000):
                rows = io.StringIO("".join(
                    f"{i}\t{u[i]}\t{r[i]}\t[{','.join(map(repr, base[i].tolist()))}]\n"
                    for i in range(at, min(at + 1000, n))))
                self.c.copy_expert(f"COPY {self.table} FROM STDIN", rows)
            self.c.execute(f"SET maintenance_work_mem = '3GB'; SET max_parallel_maintenance_workers = {THREADS - 1}")
            for column in ("u", "r"):
                self.c.execute(f"CREATE INDEX ON {self.table} ({column})")
            self.c.execute(f"CREATE INDEX {self.table}_v ON {self.table} USING hnsw (v {ops}) "
                           f"WITH (m = {M}, ef_construction = {EF_CONSTRUCT})")
            self.c.execute(f"VACUUM ANALYZE {self.table}")
        self.c.execute("SET hnsw.iterative_scan = relaxed_order; SET max_parallel_workers_per_gather = 0; SET jit = off")

    def filter(self, column, spans):
        return " OR ".join(f"({column} >= {a} AND {column} < {z})" for a, z in spans)

    def ask(self, q, f, ef):
        if ef != getattr(self, "ef", None):
            self.ef = ef
            self.c.execute(f"SET hnsw.ef_search = {min(ef, 1000)}")
        where = f"WHERE {f} " if f else ""
        self.c.execute(f"SELECT id FROM {self.table} {where}ORDER BY v {self.op} %s LIMIT {K}",
                       ("[" + ",".join(map(repr, q.tolist())) + "]",))
        return [row[0] for row in self.c.fetchall()]


PEERS = {"hnswlib": Hnswlib, "zvec": Zvec, "qdrant-edge": QdrantEdge, "pgvector": Pgvector}


def run(peer, queries, filters, truth, ef):
    clock = getattr(peer, "clock", time.process_time)
    found, t0 = 0, clock()
    answers = [peer.ask(q, f, ef) for q, f in zip(queries, filters)]
    seconds = clock() - t0
    for got, want in zip(answers, truth):
        found += len(set(int(i) for i in got) & set(int(i) for i in want if i >= 0))
    return found / max(1, int((truth >= 0).sum())), seconds / len(queries)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("set")
    p.add_argument("out")
    p.add_argument("--db")
    p.add_argument("--queries", type=int, default=100)
    p.add_argument("peers", nargs="*", default=list(PEERS))
    a = p.parse_intermixed_args()
    load = lambda name: np.load(f"{a.set}/{name}.npy")
    base, u, r, place = load("base"), load("u"), load("r"), load("place")
    queries = load("queries")[: a.queries]
    metric = open(f"{a.set}/metric", encoding="ascii").read().strip()
    db = a.db or f"{a.set}/peers"
    os.makedirs(db, exist_ok=True)
    with open(a.out, "w", encoding="ascii") as out:
        out.write("kind,share,engine,ef,recall,qps\n")
        for name in a.peers:
            try:
                peer = PEERS[name](base, u, r, metric, db)
            except Exception as e:  # whatever a package does
                print(f"{name}: {e!r}", flush=True)
                out.write(f"# {name}: {e!r}\n")
                continue
            for kind in KINDS:
                for share in SHARES:
                    if share == 100 and kind != KINDS[0]:
                        continue
                    column = "u" if kind == "uncorrelated" else "r"
                    truth = load(f"truth-{kind}-{share:g}")[: a.queries]
                    filters = [None if share == 100 else
                               peer.filter(column, window(kind, share, int(x), len(base)))
                               for x in place[: a.queries]]
                    for ef in BEAMS:
                        recall, s = run(peer, queries, filters, truth, ef)
                        if recall >= 0.95 or s > 0.02:
                            break
                    _, again = run(peer, queries, filters, truth, ef)
                    line = f"{kind},{share:g},{name},{ef},{recall:.4f},{1 / max(min(s, again), 1e-9):.1f}"
                    print(line, flush=True)
                    out.write(line + "\n")
                    out.flush()


if __name__ == "__main__":
    main()

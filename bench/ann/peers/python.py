#!/usr/bin/env python3
"""python.py: peers that come as Python packages, on the same files and with the same output as the C++ drivers (peer.h).

Usage: python.py PEER SET_DIR l2|ip|cosine CACHE_DIR THREADS MILLISECONDS EF[,EF...]
PEER is one of the names in PEERS. Each pass over the queries is one call of the peer's batch search on one thread, which spares
it Python's cost of a call; VSAG and zvec have no batch search and pay for it (some microseconds).
"""

import json
import os
import shutil
import sys
import time

THREADS_ENV = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for name in THREADS_ENV:
    os.environ.setdefault(name, sys.argv[5] if len(sys.argv) > 5 else "1")

import numpy as np  # noqa: E402  (after the environment)

K = 10


def read(path, kind):
    raw = np.fromfile(path, dtype=np.int32)
    return np.ascontiguousarray(raw.reshape(-1, raw[0] + 1)[:, 1:]).view(kind)


class Faiss:
    """HNSW of faiss; M 16, efConstruction 200."""

    def __init__(self, factory, label):
        import faiss

        self.faiss, self.factory = faiss, factory
        self.engine = f"faiss {faiss.__version__} {label}"

    def build(self, base, metric, threads):
        self.faiss.omp_set_num_threads(threads)
        kind = self.faiss.METRIC_L2 if metric == "l2" else self.faiss.METRIC_INNER_PRODUCT
        self.index = self.faiss.index_factory(base.shape[1], self.factory, kind)
        self.index.hnsw.efConstruction = 200
        self.index.train(base)
        self.index.add(base)

    def save(self, path):
        self.faiss.write_index(self.index, path)

    def load(self, path, base, metric):
        self.index = self.faiss.read_index(path)
        self.faiss.omp_set_num_threads(1)

    def set_ef(self, ef):
        self.index.hnsw.efSearch = ef

    def search(self, queries):
        return self.index.search(queries, K)[1]


class Usearch:
    """usearch; connectivity 16, expansion_add 200."""

    def __init__(self, dtype):
        import usearch
        from usearch import index

        self.module, self.dtype = index, dtype
        self.engine = f"usearch {usearch.__version__} {dtype}"

    def make(self, dim, metric):
        # The integers of i8 span -1..1, so it takes unit vectors and the cosine.
        kind = "cos" if self.dtype == "i8" and metric != "l2" else {"l2": "l2sq"}.get(metric, "ip")
        return self.module.Index(ndim=dim, metric=kind, dtype=self.dtype, connectivity=16, expansion_add=200, expansion_search=64)

    def build(self, base, metric, threads):
        self.index = self.make(base.shape[1], metric)
        self.index.add(np.arange(len(base), dtype=np.uint64), base, threads=threads)

    def save(self, path):
        self.index.save(path)

    def load(self, path, base, metric):
        self.index = self.make(base.shape[1], metric)
        self.index.load(path)

    def set_ef(self, ef):
        self.index.expansion_search = ef

    def search(self, queries):
        return np.asarray(self.index.search(queries, K, threads=1).keys, dtype=np.int64)


class Svs:
    """Scalable Vector Search: Vamana, degree 32, window 200, over 16-bit floats (its LVQ codes run on Intel's processors alone)."""

    def __init__(self):
        import svs

        self.svs = svs
        self.engine = f"svs {svs.library_version().split()[0]} vamana f16"

    def kind(self, metric):
        return self.svs.DistanceType.L2 if metric == "l2" else self.svs.DistanceType.MIP

    def build(self, base, metric, threads):
        p = self.svs.VamanaBuildParameters(graph_max_degree=32, window_size=200, alpha=1.2 if metric == "l2" else 0.95)
        self.index = self.svs.Vamana.build(p, base.astype(np.float16), self.kind(metric), num_threads=threads)

    def save(self, path):
        for part in ("config", "graph", "data"):
            os.makedirs(f"{path}.{part}", exist_ok=True)
        self.index.save(f"{path}.config", f"{path}.graph", f"{path}.data")

    def load(self, path, base, metric):
        svs = self.svs
        data = svs.VectorDataLoader(f"{path}.data", svs.DataType.float16, base.shape[1])
        self.index = svs.Vamana(f"{path}.config", svs.GraphLoader(f"{path}.graph"), data, self.kind(metric), num_threads=1)

    def memory(self, path):
        return sum(os.path.getsize(os.path.join(f"{path}.{part}", f)) for part in ("graph", "data") for f in os.listdir(f"{path}.{part}"))

    def set_ef(self, ef):
        self.index.search_window_size = ef

    def search(self, queries):
        return self.index.search(queries, K)[0].astype(np.int64)


class SymphonyQG:
    """The quantized graph of rabitqlib: degree 32, 200 candidates. Vectors of length one are compared by L2, which orders them as
    the inner product does and which its graphs are better at."""

    def __init__(self):
        import importlib.metadata
        import rabitqlib

        self.module = rabitqlib
        self.engine = f"symphonyqg (rabitqlib {importlib.metadata.version('rabitqlib')})"

    def build(self, base, metric, threads):
        is_unit = np.allclose(np.linalg.norm(base[:1000], axis=1), 1, atol=0.01)
        self.index = self.module.SymqgIndex(base.shape[1], 32, "l2" if metric == "l2" or is_unit else "ip")
        self.index.build(base, 200, num_threads=threads)

    def save(self, path):
        self.index.save(path)

    def load(self, path, base, metric):
        self.index = self.module.SymqgIndex.load(path)

    def set_ef(self, ef):
        self.ef = ef

    def search(self, queries):
        return np.asarray(self.index.search_batch(queries, K, self.ef, num_threads=1)[0], dtype=np.int64)


class RabitqHnsw:
    """HNSW over RaBitQ codes of rabitqlib; M 16, ef_construction 200, 16 clusters as its documentation has it."""

    def __init__(self, bits):
        import importlib.metadata
        import rabitqlib

        self.module, self.bits = rabitqlib, bits
        self.engine = f"rabitqlib {importlib.metadata.version('rabitqlib')} hnsw {bits} bits"

    def build(self, base, metric, threads):
        import faiss

        faiss.omp_set_num_threads(threads)
        clusters = faiss.Kmeans(base.shape[1], 16, niter=10, seed=1)
        clusters.train(base[:: max(1, len(base) // 20000)])
        ids = clusters.index.search(base, 1)[1][:, 0].astype(np.uint32)
        kind = "l2" if metric == "l2" else "ip"
        self.index = self.module.HnswIndex(base.shape[1], len(base), 16, 200, self.bits, kind)
        self.index.build(base, clusters.centroids, ids, num_threads=threads)

    def save(self, path):
        self.index.save(path)

    def load(self, path, base, metric):
        self.index = self.module.HnswIndex.load(path)

    def set_ef(self, ef):
        self.ef = ef

    def search(self, queries):
        return np.asarray(self.index.search(queries, K, self.ef, num_threads=1)[0], dtype=np.int64)


class Vsag:
    """VSAG's HGraph: degree 32, 200 candidates, short codes and 16-bit floats to order the hits. No batch search: one call a query."""

    def __init__(self, codes):
        import pyvsag

        pyvsag.set_logger_off()
        self.module, self.codes = pyvsag, codes
        self.engine = f"vsag {pyvsag.__version__} hgraph {codes}+fp16"

    def make(self, dim, metric):
        p = {
            "dtype": "float32", "metric_type": "l2" if metric == "l2" else "ip", "dim": dim,
            "index_param": {
                "base_quantization_type": self.codes, "use_reorder": True, "precise_quantization_type": "fp16",
                "max_degree": 32, "ef_construction": 200, "build_thread_count": self.threads,
            },
        }  # fmt: skip
        return self.module.Index("hgraph", json.dumps(p))

    threads = 1

    def build(self, base, metric, threads):
        self.threads = threads
        self.index = self.make(base.shape[1], metric)
        self.index.build(base, np.arange(len(base), dtype=np.int64), len(base), base.shape[1])

    def save(self, path):
        self.index.save(path)

    def load(self, path, base, metric):
        self.index = self.make(base.shape[1], metric)
        self.index.load(path)

    def set_ef(self, ef):
        self.parameters = json.dumps({"hgraph": {"ef_search": ef}})

    def search(self, queries):
        return np.stack([self.index.knn_search(q, K, self.parameters)[0] for q in queries])


class Zvec:
    """zvec's HNSW: m 16, ef_construction 200; whole vectors, or bytes whose hits its refiner orders by the vectors. Its searches that
    return numbers alone, one call a query."""

    def __init__(self, is_int8):
        import zvec

        zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=1, optimize_threads=int(sys.argv[5]))
        self.module, self.is_int8 = zvec, is_int8
        self.engine = f"zvec {zvec.__version__} hnsw {'int8' if is_int8 else 'f32'}"

    def build(self, base, metric, threads):
        z = self.module
        kind = z.QuantizeType.INT8 if self.is_int8 else z.QuantizeType.UNDEFINED
        index = z.HnswIndexParam(metric_type=z.MetricType.L2 if metric == "l2" else z.MetricType.IP, m=16, ef_construction=200,
                                 quantize_type=kind)  # fmt: skip
        vector = z.VectorSchema("v", z.DataType.VECTOR_FP32, base.shape[1], index)
        shutil.rmtree(self.path, ignore_errors=True)
        made = z.create_and_open(self.path, z.CollectionSchema(name="bench", vectors=[vector]))
        for start in range(0, len(base), 1000):
            made.insert([z.Doc(id=str(i), vectors={"v": base[i].tolist()}) for i in range(start, min(start + 1000, len(base)))])
        made.flush()
        made.optimize()
        made.close()

    def save(self, path):
        pass  # it is on disk

    def load(self, path, base, metric):
        z = self.module
        self.index = z.open(self.path, z.CollectionOption(read_only=True, enable_mmap=True))

    def memory(self, path):
        return sum(os.path.getsize(os.path.join(at, f)) for at, _, files in os.walk(self.path) for f in files)

    def set_ef(self, ef):
        self.param = self.module.HnswQueryParam(ef=ef, is_using_refiner=self.is_int8)

    def search(self, queries):
        z = self.module
        return np.stack([self.index.query_internal_ids(z.Query("v", vector=q, param=self.param), topk=K) for q in queries])


class Scann:
    """ScaNN: one leaf a root of the number of vectors, 4 bits for two elements, hits ordered by the vectors. A beam of ef is ef / 4
    leaves and ef vectors ordered."""

    def __init__(self):
        import importlib.metadata

        import scann

        self.module = scann
        self.engine = f"scann {importlib.metadata.version('scann')}"

    def build(self, base, metric, threads):
        is_l2 = metric == "l2"
        b = self.module.scann_ops_pybind.builder(base, K, "squared_l2" if is_l2 else "dot_product").set_n_training_threads(threads)
        b = b.tree(num_leaves=int(len(base) ** 0.5), num_leaves_to_search=32, training_sample_size=min(len(base), 250000), spherical=not is_l2)
        b = b.score_ah(2, anisotropic_quantization_threshold=float("nan") if is_l2 else 0.2).reorder(100)
        self.index = b.build()

    def save(self, path):
        os.makedirs(f"{path}.d", exist_ok=True)
        self.index.serialize(f"{path}.d", relative_path=True)

    def load(self, path, base, metric):
        if not hasattr(self, "index"):
            self.index = self.module.scann_ops_pybind.load_searcher(f"{path}.d")

    def memory(self, path):
        return sum(os.path.getsize(os.path.join(f"{path}.d", f)) for f in os.listdir(f"{path}.d"))

    def set_ef(self, ef):
        self.ef = ef

    def search(self, queries):
        found = self.index.search_batched(queries, final_num_neighbors=K, pre_reorder_num_neighbors=max(self.ef, 2 * K),
                                          leaves_to_search=max(self.ef // 4, 1))  # fmt: skip
        return np.asarray(found[0], dtype=np.int64)


PEERS = {
    "faiss-flat": lambda: Faiss("HNSW16,Flat", "HNSWFlat"),
    "faiss-sq8": lambda: Faiss("HNSW16,SQ8", "HNSW SQ8"),
    "usearch-bf16": lambda: Usearch("bf16"),
    "usearch-f16": lambda: Usearch("f16"),
    "usearch-i8": lambda: Usearch("i8"),
    "svs": Svs,
    "symphonyqg": SymphonyQG,
    "rabitq-hnsw": lambda: RabitqHnsw(7),
    "vsag-sq8": lambda: Vsag("sq8_uniform"),
    "vsag-sq4": lambda: Vsag("sq4_uniform"),
    "zvec": lambda: Zvec(False),
    "zvec-int8": lambda: Zvec(True),
    "scann": Scann,
}


def say(**line):
    print(json.dumps(line), flush=True)


def measure(peer, queries, truth, ef, milliseconds):
    peer.set_ef(ef)
    found = peer.search(queries)
    hits = sum(len(np.intersect1d(f, t)) for f, t in zip(found, truth[:, :K]))
    done, wall, cpu = 0, time.monotonic(), time.process_time()
    while True:
        peer.search(queries)
        done += len(queries)
        spent = time.monotonic() - wall
        if spent * 1e3 >= milliseconds:
            break
    cpu = time.process_time() - cpu
    say(engine=peer.engine, ef=ef, recall=hits / truth[:, :K].size, us=spent * 1e6 / done, cpu_us=cpu * 1e6 / done)


def main():
    name, folder, metric, cache, threads, milliseconds, efs = sys.argv[1:]
    base, queries = read(f"{folder}/base.fvecs", np.float32), read(f"{folder}/queries.fvecs", np.float32)
    truth = read(f"{folder}/truth.ivecs", np.int32)
    if metric == "cosine":
        base /= np.maximum(np.linalg.norm(base, axis=1, keepdims=True), 1e-30)
        queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-30)
    peer = PEERS[name]()
    path = peer.path = os.path.join(cache, name)
    if not os.path.exists(f"{path}.took"):
        wall, cpu = time.monotonic(), time.process_time()
        peer.build(base, metric, int(threads))
        took = (time.monotonic() - wall, time.process_time() - cpu, int(threads))
        peer.save(path)
        with open(f"{path}.took", "w", encoding="utf-8") as f:
            f.write("%.3f %.3f %d\n" % took)
    peer.load(path, base, metric)
    with open(f"{path}.took", encoding="utf-8") as f:
        wall, cpu, built = f.read().split()
    memory = peer.memory(path) if hasattr(peer, "memory") else os.path.getsize(path)
    say(engine=peer.engine, points=len(base), dim=base.shape[1], build_s=float(wall), build_cpu_s=float(cpu), build_threads=int(built),
        memory_bytes=memory)  # fmt: skip
    for ef in efs.split(","):
        measure(peer, queries, truth, max(int(ef), K), float(milliseconds))


main()

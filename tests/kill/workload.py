"""workload.py: what the writers of the kill loop send, and what each request does to a plain model.

Every writer owns its points, its collections, its aliases, one payload index and one named vector that
comes and goes; so its requests, one after the other, have one possible outcome. The graphs and codes of
the vectors that stay are changed by all; that changes no answer. Points that all writers replace ("hot" ones) are told apart
by their versions instead (ledger.py). The n-th operation of a writer depends on the seed, the writer and
n alone, never on time or on answers: a seed is a schedule.
"""

import hashlib
import random

MAIN = "main"
DIM_A, DIM_B = 8, 4
WRITERS = 4
POINTS = 60       # of one writer
BUCKETS = 5
HOT = 24
COLLECTIONS = 3   # of one writer, beside MAIN
ALIASES = 2

MAIN_CONFIG = {"vectors": {"a": {"size": DIM_A, "distance": "Euclid"},
                           "b": {"size": DIM_B, "distance": "Dot"}}, "shard_number": 3,
               "optimizers_config": {"indexing_threshold": 1}}   # a graph from 32 rows on
SIDE_CONFIG = {"vectors": {"size": 4, "distance": "Cosine"}}

CODES = ["Disabled", {"scalar": {"type": "int8"}}, {"turbo": {"bits": "bits4"}}]

# kind: how often
KINDS = {"upsert": 30, "hot": 10, "delete": 8, "delete_where": 5, "set_payload": 6,
         "set_payload_where": 6, "overwrite_payload": 4, "delete_keys": 3, "clear_payload": 2,
         "update_vectors": 6, "delete_vectors": 4, "batch": 8, "create": 3, "drop": 3,
         "aliases": 5, "index": 2, "optimize": 2, "vector": 4, "put_x": 6, "alter": 2}


def point_id(writer, k):
    """Numbers and UUIDs."""
    if k % 3 == 0:
        return f"{writer:08x}-0000-4000-8000-{k:012x}"
    return writer * 1000 + k


def hot_id(k):
    return 900000 + k


def vector(pid, tag, dim):
    """What the operation `tag` writes into point `pid`: numbers that survive JSON and float32."""
    digest = hashlib.blake2b(f"{pid} {tag} {dim}".encode(), digest_size=dim).digest()
    return [(x - 127.5) / 16 for x in digest]


class Point:
    """Vectors by the tag of the operation that wrote them; never changed in place."""
    __slots__ = ("a", "b", "x", "payload", "lsn")

    def __init__(self, a, b, payload, lsn, x=None):
        self.a, self.b, self.x, self.payload, self.lsn = a, b, x, payload, lsn

    def but(self, lsn, **changes):
        parts = {"a": self.a, "b": self.b, "x": self.x, "payload": self.payload, **changes}
        return Point(lsn=lsn, **parts)


class State:
    """What one writer owns."""

    def __init__(self, points=None, collections=(), aliases=None, indexed=False, x_dim=0):
        self.points = points or {}
        self.collections = frozenset(collections)
        self.aliases = aliases or {}
        self.indexed = indexed
        self.x_dim = x_dim   # of the vector that comes and goes; 0 = there is none

    def but(self, **changes):
        parts = {"points": self.points, "collections": self.collections, "aliases": self.aliases,
                 "indexed": self.indexed, "x_dim": self.x_dim, **changes}
        return State(**parts)


# --- operations -----------------------------------------------------------------------------------------

def some(rng, most, of):
    return rng.sample(range(of), rng.randint(1, most))


def generate(seed, writer, n):
    rng = random.Random(f"{seed}/{writer}/{n}")
    kind = rng.choices(list(KINDS), KINDS.values())[0]
    op = {"kind": kind, "writer": writer, "n": n, "bucket": rng.randrange(BUCKETS)}
    if kind == "upsert":
        op["points"] = [(k, rng.random() < 0.7) for k in some(rng, 24, POINTS)]
    elif kind == "hot":
        op["points"] = some(rng, 8, HOT)
    elif kind == "batch":
        op["deleted"] = some(rng, 4, POINTS)
        op["points"] = [(k, True) for k in some(rng, 6, POINTS)]
    elif kind in ("create", "drop"):
        op["collection"] = rng.randrange(COLLECTIONS)
    elif kind == "aliases":
        op["actions"] = [(rng.randrange(ALIASES), rng.choice([None, *range(COLLECTIONS)]))
                         for _ in range(rng.randint(1, 3))]
    elif kind == "index":
        op["on"] = rng.random() < 0.5
    elif kind == "optimize":
        op["segments"] = rng.choice([1, 1, 2, 4])
    elif kind == "vector":
        op["size"] = rng.choice([0, 0, 2, 3, 5])   # 0: dropped
    elif kind == "alter":
        op["vector"] = rng.choice("ab")
        op["m"], op["codes"] = rng.choice([4, 8, 16]), rng.choice([*CODES, None])
    else:
        op["points"] = some(rng, 3, POINTS)
        op["size"] = rng.choice([2, 3, 5])   # of put_x
    return op


def side_name(writer, i):
    return f"side-{writer}-{i}"


def alias_name(writer, i):
    return f"alias-{writer}-{i}"


def vector_name(writer):
    return f"x{writer}"


def index_key(writer):
    return f"x{writer}"


def where(op):
    return {"must": [{"key": "w", "match": {"value": op["writer"]}},
                     {"key": "b", "match": {"value": op["bucket"]}}]}


def new_payload(op):
    return {"w": op["writer"], "b": op["bucket"], "n": op["n"]}


def new_point(op, k, has_b):
    pid, tag = point_id(op["writer"], k), f"{op['writer']}.{op['n']}"
    vectors = {"a": vector(pid, tag, DIM_A)}
    if has_b:
        vectors["b"] = vector(pid, tag, DIM_B)
    return {"id": pid, "vector": vectors, "payload": new_payload(op)}


def request(op):
    """(method, path, body)"""
    w, kind = op["writer"], op["kind"]
    base = f"/collections/{MAIN}/points"
    ids = [point_id(w, p) for p in op.get("points", []) if isinstance(p, int)]
    tag = f"{w}.{op['n']}"
    if kind == "upsert":
        return "PUT", base + "?wait=true", {"points": [new_point(op, *p) for p in op["points"]]}
    if kind == "hot":
        return "PUT", base + "?wait=true", {"points": [
            {"id": hot_id(k), "vector": {"a": vector(hot_id(k), tag, DIM_A)},
             "payload": {"hot": True, "b": op["bucket"], "tag": tag}} for k in op["points"]]}
    if kind == "delete":
        return "POST", base + "/delete?wait=true", {"points": ids}
    if kind == "delete_where":
        return "POST", base + "/delete?wait=true", {"filter": where(op)}
    if kind == "set_payload":
        return "POST", base + "/payload?wait=true", {"points": ids, "payload": {"e": op["n"]}}
    if kind == "set_payload_where":
        return "POST", base + "/payload?wait=true", {"filter": where(op), "payload": {"e": op["n"]}}
    if kind == "overwrite_payload":
        return "PUT", base + "/payload?wait=true", {"points": ids, "payload": new_payload(op)}
    if kind == "delete_keys":
        return "POST", base + "/payload/delete?wait=true", {"points": ids, "keys": ["e", "b"]}
    if kind == "clear_payload":
        return "POST", base + "/payload/clear?wait=true", {"points": ids}
    if kind == "update_vectors":
        return "PUT", base + "/vectors?wait=true", {"points": [
            {"id": i, "vector": {"b": vector(i, tag, DIM_B)}} for i in ids]}
    if kind == "put_x":   # refused while there is no such vector, or one of another size
        return "PUT", base + "/vectors?wait=true", {"points": [
            {"id": i, "vector": {vector_name(w): vector(i, tag, op["size"])}} for i in ids]}
    if kind == "delete_vectors":
        return "POST", base + "/vectors/delete?wait=true", {"points": ids, "vector": ["b"]}
    if kind == "batch":
        return "POST", base + "/batch?wait=true", {"operations": [
            {"delete": {"points": [point_id(w, k) for k in op["deleted"]]}},
            {"upsert": {"points": [new_point(op, *p) for p in op["points"]]}},
            {"set_payload": {"filter": where(op), "payload": {"e": op["n"]}}}]}
    return catalog_request(op)


def catalog_request(op):
    w, kind = op["writer"], op["kind"]
    if kind == "create":
        return "PUT", f"/collections/{side_name(w, op['collection'])}", SIDE_CONFIG
    if kind == "drop":
        return "DELETE", f"/collections/{side_name(w, op['collection'])}", None
    if kind == "aliases":
        return "POST", "/collections/aliases", {"actions": [
            {"delete_alias": {"alias_name": alias_name(w, a)}} if to is None else
            {"create_alias": {"alias_name": alias_name(w, a), "collection_name": side_name(w, to)}}
            for a, to in op["actions"]]}
    if kind == "index" and op["on"]:
        return "PUT", f"/collections/{MAIN}/index?wait=true", {
            "field_name": index_key(w), "field_schema": "integer"}
    if kind == "index":
        return "DELETE", f"/collections/{MAIN}/index/{index_key(w)}?wait=true", None
    path = f"/collections/{MAIN}/vectors/{vector_name(w)}"
    if kind == "vector" and op["size"]:
        return "PUT", path, {"dense": {"size": op["size"], "distance": "Dot"}}
    if kind == "vector":
        return "DELETE", path, None
    if kind == "alter":
        settings = {"hnsw_config": {"m": op["m"]}}
        if op["codes"]:
            settings["quantization_config"] = op["codes"]
        return "PATCH", f"/collections/{MAIN}", {"vectors": {op["vector"]: settings}}
    return "POST", f"/collections/{MAIN}/optimize", {"max_segments": op["segments"]}


# --- what they do ---------------------------------------------------------------------------------------

def edit(state, ids, must_exist, change):
    """The state with `change` made to the points that exist; None when one must and does not."""
    if must_exist and any(i not in state.points for i in ids):
        return None
    points = dict(state.points)
    for i in ids:
        if i in points:
            points[i] = change(i, points[i])
    return state.but(points=points)


def put(state, op, lsn):
    points = dict(state.points)
    tag = f"{op['writer']}.{op['n']}"
    for k, has_b in op["points"]:
        points[point_id(op["writer"], k)] = Point(tag, tag if has_b else None, new_payload(op), lsn)
    return state.but(points=points)


def delete(state, ids):
    gone = set(ids)
    return state.but(points={i: p for i, p in state.points.items() if i not in gone})


def matching(state, op):
    return [i for i, p in state.points.items()
            if p.payload.get("w") == op["writer"] and p.payload.get("b") == op["bucket"]]


def apply(state, op, lsn):
    """The state after the operation, or None when the server must refuse it."""
    w, kind = op["writer"], op["kind"]
    ids = [point_id(w, p) for p in op.get("points", []) if isinstance(p, int)]
    tag = f"{w}.{op['n']}"

    def mark(_, p):
        return p.but(lsn, payload={**p.payload, "e": op["n"]})

    if kind == "upsert":
        return put(state, op, lsn)
    if kind == "delete":
        return delete(state, ids)
    if kind == "delete_where":
        return delete(state, matching(state, op))
    if kind == "set_payload":
        return edit(state, ids, True, mark)
    if kind == "set_payload_where":
        return edit(state, matching(state, op), True, mark)
    if kind == "overwrite_payload":
        return edit(state, ids, True, lambda _, p: p.but(lsn, payload=new_payload(op)))
    if kind == "delete_keys":
        return edit(state, ids, True, lambda _, p: p.but(
            lsn, payload={k: v for k, v in p.payload.items() if k not in ("e", "b")}))
    if kind == "clear_payload":
        return edit(state, ids, True, lambda _, p: p.but(lsn, payload={}))
    if kind == "update_vectors":
        return edit(state, ids, True, lambda _, p: p.but(lsn, b=tag))
    if kind == "put_x" and op["size"] != state.x_dim:
        return None
    if kind == "put_x":
        return edit(state, ids, True, lambda _, p: p.but(lsn, x=(tag, op["size"])))
    if kind == "delete_vectors":
        return edit(state, ids, False, lambda _, p: p.but(lsn, b=None))
    if kind == "batch":
        # One request, one version: what the delete took and the upsert put back counts once.
        state = put(delete(state, [point_id(w, k) for k in op["deleted"]]), op, lsn)
        return edit(state, matching(state, op), True, mark)
    return apply_catalog(state, op)


def apply_catalog(state, op):
    kind = op["kind"]
    if kind == "create":
        if op["collection"] in state.collections:
            return None
        return state.but(collections=state.collections | {op["collection"]})
    if kind == "drop":
        i = op["collection"]
        return state.but(collections=state.collections - {i},
                         aliases={a: to for a, to in state.aliases.items() if to != i})
    if kind == "aliases":
        aliases = dict(state.aliases)
        for a, to in op["actions"]:
            if to is None:
                aliases.pop(a, None)
            elif to not in state.collections:
                return None
            else:
                aliases[a] = to
        return state.but(aliases=aliases)
    if kind == "index":
        return state.but(indexed=op["on"])
    if kind == "vector":
        if bool(op["size"]) == bool(state.x_dim):
            return None   # there is one already, or none to drop
        points = {i: p if p.x is None else p.but(p.lsn, x=None) for i, p in state.points.items()}
        return state.but(points=points, x_dim=op["size"])
    return state  # optimize and alter, and hot points, which the ledger follows

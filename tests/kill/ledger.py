"""ledger.py: what was sent, what was acknowledged, and whether what the server shows can be explained.

Two-sided: everything acknowledged must be there, with its version or a later one that was sent; nothing
else may be there but a request that was sent and never answered, and that wholly or not at all.
"""

import json
import math
import threading

import workload as W


class Violation(Exception):
    """The server shows what no order of events allows."""


class Ledger:
    """Threads: each writer records its own operations; check() runs when none does."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()
        self.states = [W.State() for _ in range(W.WRITERS)]
        self.pending = [None] * W.WRITERS
        self.next = [0] * W.WRITERS
        self.hot = {}          # id: (lsn, tag), as last seen
        self.hot_since = []    # [operation, lsn or None], since then
        self.acked = self.refused = self.sent = 0
        self.whole = self.absent = self.either = 0   # fates of what was never answered

    def note(self, what, op, **more):
        with self.lock:
            self.file.write(json.dumps({"is": what, **op, **more}) + "\n")

    def mark(self, text):
        with self.lock:
            self.file.write(json.dumps({"is": text}) + "\n")
            self.file.flush()

    def send(self, op):
        w = op["writer"]
        self.pending[w] = op
        self.next[w] = op["n"] + 1
        self.note("sent", op)
        with self.lock:
            self.sent += 1
            if op["kind"] == "hot":
                self.hot_since.append([op, None])

    def answer(self, op, status, body):
        """The server answered. What it must refuse and what it must not, the model knows."""
        w = op["writer"]
        result = body.get("result")
        first = result[0] if isinstance(result, list) and result else result
        lsn = first.get("operation_id") if isinstance(first, dict) else None
        after = W.apply(self.states[w], op, lsn)
        if status >= 500:
            raise Violation(f"answered {status} {body}: {op}")
        if (status == 200) != (after is not None):
            raise Violation(f"answered {status} {body}, which the model did not expect: {op}")
        self.pending[w] = None
        with self.lock:
            if after is None:
                self.refused += 1
            else:
                self.acked += 1
        self.note("refused" if after is None else "acknowledged", op, lsn=lsn)
        if after is not None:
            self.states[w] = after
            if op["kind"] == "hot":
                with self.lock:
                    next(e for e in self.hot_since if e[0] is op)[1] = lsn

    # --- checks -----------------------------------------------------------------------------------------

    def check(self, seen):
        """`seen`: a Seen. Afterwards nothing is pending."""
        self.check_phantoms(seen)
        for w in range(W.WRITERS):
            self.check_writer(w, seen)
        self.check_hot(seen)
        self.mark("checked")

    def check_phantoms(self, seen):
        known = {W.hot_id(k) for k in range(W.HOT)}
        names, aliases, indexes = {W.MAIN}, set(), set()
        for w in range(W.WRITERS):
            known |= {W.point_id(w, k) for k in range(W.POINTS)}
            names |= {W.side_name(w, i) for i in range(W.COLLECTIONS)}
            aliases |= {W.alias_name(w, i) for i in range(W.ALIASES)}
            indexes.add(W.index_key(w))
        for what, found, may in (("points", seen.points, known), ("collections", seen.names, names),
                                 ("aliases", seen.aliases, aliases),
                                 ("indexes", seen.indexes, indexes)):
            if set(found) - may:
                raise Violation(f"{what} that were never sent: {sorted(map(str, set(found) - may))}")

    def check_writer(self, w, seen):
        op, before = self.pending[w], self.states[w]
        said = self.difference(w, before, before, seen)
        fits_before = not said
        fits_after = False
        after = W.apply(before, op, None) if op else None
        if after is not None:
            why = self.difference(w, after, before, seen)
            fits_after = not why
            said += " | or, with what was not acknowledged: " + why
        if not fits_before and not fits_after:
            raise Violation(f"writer {w}, operation never answered: {op}: {said}")
        if op and op["kind"] != "hot":
            self.whole += fits_after and not fits_before
            self.absent += fits_before and not fits_after
            self.either += fits_before and fits_after
        self.states[w] = self.settled(after if fits_after and not fits_before else before, seen)
        self.pending[w] = None

    def settled(self, state, seen):
        """Versions that were not told are known now."""
        points = {i: p if p.lsn is not None else p.but(seen.points[i]["version"])
                  for i, p in state.points.items()}
        return state.but(points=points)

    def difference(self, w, want, before, seen):
        """What does not fit; empty when all does."""
        new = set()
        for k in range(W.POINTS):
            i = W.point_id(w, k)
            p, got = want.points.get(i), seen.points.get(i)
            if p is None or got is None:
                if p is not None:
                    return f"point {i} is missing; expected {p.payload}, version {p.lsn}"
                if got is not None:
                    return f"point {i} is there and should not be: {got}"
                continue
            vectors = {"a": W.vector(i, p.a, W.DIM_A)}
            if p.b:
                vectors["b"] = W.vector(i, p.b, W.DIM_B)
            if p.x:
                vectors[W.vector_name(w)] = W.vector(i, *p.x)
            if got["payload"] != p.payload or got["vector"] != vectors:
                return f"point {i} is {got}; expected {p.payload} and {vectors}, version {p.lsn}"
            if p.lsn is None:
                new.add(got["version"])
                old = before.points.get(i)
                if old and got["version"] <= old.lsn:
                    return f"point {i} has version {got['version']}, not above {old.lsn}"
            elif got["version"] != p.lsn:
                return f"point {i} has version {got['version']}; acknowledged was {p.lsn}"
        if len(new) > 1:
            return f"one request left several versions: {sorted(new)}"
        names = {W.side_name(w, i) for i in range(W.COLLECTIONS)} & set(seen.names)
        if names != {W.side_name(w, i) for i in want.collections}:
            return f"collections are {sorted(names)}; expected {sorted(want.collections)}"
        aliases = {a: c for a, c in seen.aliases.items()
                   if a in {W.alias_name(w, i) for i in range(W.ALIASES)}}
        if aliases != {W.alias_name(w, a): W.side_name(w, c) for a, c in want.aliases.items()}:
            return f"aliases are {aliases}; expected {want.aliases}"
        if seen.vectors.get(W.vector_name(w), 0) != want.x_dim:
            return f"vectors are {seen.vectors}; expected {want.x_dim} elements of x{w}"
        if (W.index_key(w) in seen.indexes) != want.indexed:
            return f"payload index {W.index_key(w)} is there or not; expected {want.indexed}"
        return ""

    def check_hot(self, seen):
        """Each hot point: written by the last acknowledged request, or by a later one never answered."""
        found = {}
        sent = {f"{op['writer']}.{op['n']}": (op, lsn) for op, lsn in self.hot_since}
        for i in map(W.hot_id, range(W.HOT)):
            due, tag = self.hot.get(i, (0, None))
            for op, lsn in self.hot_since:
                if lsn and lsn > due and i in map(W.hot_id, op["points"]):
                    due, tag = lsn, f"{op['writer']}.{op['n']}"
            got = seen.points.get(i)
            if got is None:
                if tag:
                    raise Violation(f"point {i} is missing; version {due} was acknowledged")
                continue
            was = got["payload"]["tag"]
            found[i] = (got["version"], was)
            if got["vector"] != {"a": W.vector(i, was, W.DIM_A)}:
                raise Violation(f"point {i}: vector and payload of two versions: {got}")
            if was != tag and (was not in sent or sent[was][1] or got["version"] <= due):
                raise Violation(f"point {i} is {got}; expected {tag} of version {due} or a later one")
            if was == tag and got["version"] != due:
                raise Violation(f"point {i} has version {got['version']}; acknowledged was {due}")
        for tag, (op, lsn) in sent.items():
            if not lsn:
                self.check_hot_whole(tag, [W.hot_id(k) for k in op["points"]], found)
        self.hot = found
        self.hot_since = []

    def check_hot_whole(self, tag, ids, found):
        versions = {found[i][0] for i in ids if i in found and found[i][1] == tag}
        self.whole += len(versions) == 1
        self.either += not versions
        if len(versions) > 1 or any(i not in found or found[i][0] < v for v in versions for i in ids):
            raise Violation(f"request {tag} on {ids} is there in part: {[found.get(i) for i in ids]}")


class Seen:
    """What the server shows, and whether it agrees with itself."""

    def __init__(self, client):
        self.client = client
        base = f"/collections/{W.MAIN}"
        answer = client.get(base + "/points/query", {"limit": 10000, "with_payload": True,
                                                     "with_vector": True})
        self.points = {p["id"]: p for p in answer["points"]}
        if len(self.points) != len(answer["points"]):
            raise Violation("a point is there twice")
        self.names = [c["name"] for c in client.get("/collections")["collections"]]
        self.aliases = {a["alias_name"]: a["collection_name"]
                        for a in client.get("/aliases")["aliases"]}
        about = client.get(base)
        self.indexes = set(about["payload_schema"])
        self.vectors = {name: v["size"]
                        for name, v in about["config"]["params"]["vectors"].items()}

    def check_itself(self, rng):
        self.check_counts()
        self.check_pages(rng)
        self.check_searches(rng)

    def check_counts(self):
        base = f"/collections/{W.MAIN}/points"
        conditions = [("b", b) for b in range(W.BUCKETS)] + [("w", w) for w in range(W.WRITERS)]
        for key, value in [(None, None), *conditions]:
            body = {"filter": {"must": [{"key": key, "match": {"value": value}}]}} if key else {}
            want = {i for i, p in self.points.items() if not key or p["payload"].get(key) == value}
            n = self.client.get(base + "/count", {**body, "exact": True})["count"]
            got = [p["id"] for p in self.client.get(
                base + "/scroll", {**body, "limit": 10000})["points"]]
            if n != len(want) or set(got) != want or len(got) != n:
                raise Violation(f"{key} = {value}: counted {n}, scrolled {len(got)}, "
                                f"should be {len(want)}")

    def check_pages(self, rng):
        got, at = [], None
        while True:
            body = {"limit": rng.randint(20, 90), "with_payload": True, "with_vector": True}
            page = self.client.get(f"/collections/{W.MAIN}/points/scroll",
                                   {**body, "offset": at} if at is not None else body)
            got += page["points"]
            at = page["next_page_offset"]
            if at is None:
                break
        for p in got:
            full = self.points.get(p["id"])
            if not full or p["payload"] != full["payload"] or p["vector"] != full["vector"]:
                raise Violation(f"scroll shows {p}, query {full}")
        if len(got) != len(self.points):
            raise Violation(f"pages have {len(got)} points of {len(self.points)}")

    def check_searches(self, rng):
        """Its own vector finds each point, through the graph and without."""
        points = list(self.points.values())
        exact = rng.random() < 0.5
        answers = self.client.get(f"/collections/{W.MAIN}/points/search/batch", {"searches": [
            {"vector": {"name": "a", "vector": p["vector"]["a"]}, "limit": 3,
             "params": {"exact": exact, "hnsw_ef": 256}} for p in points]}) if points else []
        for p, hits in zip(points, answers):
            if not all(math.isfinite(h["score"]) for h in hits):
                raise Violation(f"a score is not finite: {hits}")
            if not hits or hits[0]["id"] != p["id"] or hits[0]["version"] != p["version"]:
                raise Violation(f"searching the vector of {p} (exact: {exact}) finds {hits}")

#!/usr/bin/env python3
"""diff_py.py: random queries against the official Python client's local mode and a running server.

    python diff_py.py [--rounds N] [--seed S] http://127.0.0.1:6333

The client answers the same calls in memory, exactly and in plain numpy; that is the oracle. Each round
makes a collection in both, and asks both the same random queries of every kind. Scores must agree, and
so must ids but among equal scores (a list may end in the middle of some). The last line is
"N passed, N failed"; a failure prints the query and the seed that repeats it.
"""

import argparse
import random
import sys
import time
import warnings

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

NAME, OTHER = "diff_main", "diff_other"
COLORS = ["red", "green", "blue", "black"]
NAMES = "abms"  # of vectors: two dense, a multivector, a sparse one
MULTI = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
METRICS = [models.Distance.COSINE, models.Distance.DOT, models.Distance.EUCLID, models.Distance.MANHATTAN]


def by_rank(query):
    return isinstance(query, models.RrfQuery) or getattr(query, "fusion", None) == models.Fusion.RRF


def by_distribution(query):
    return getattr(query, "fusion", None) == models.Fusion.DBSF


class World:
    """One collection in both places, and random pieces of queries over it."""

    def __init__(self, rng, local, remote):
        self.rng, self.clients = rng, (local, remote)
        self.n = rng.randint(30, 250)
        self.dims = {v: rng.randint(2, 9) for v in "abm"}
        self.metrics = {v: rng.choice(METRICS) for v in "abm"}
        self.metrics["s"] = models.Distance.DOT
        self.owners = {v: [] for v in NAMES}
        self.words = rng.randint(5, 60)  # of sparse vectors
        sparse = {"s": models.SparseVectorParams(modifier=rng.choice([None, models.Modifier.IDF]))}
        points = [self.point(i) for i in range(1, self.n + 1)]
        others = [models.PointStruct(id=i, vector={v: self.vector(v) for v in NAMES}, payload={"name": f"g{i}"})
                  for i in range(1, 21)]
        for client in self.clients:
            for name, batch in ((NAME, points), (OTHER, others)):
                client.delete_collection(name)
                client.create_collection(name, sparse_vectors_config=sparse, vectors_config={
                    v: models.VectorParams(size=self.dims[v], distance=self.metrics[v], multivector_config=MULTI if v == "m" else None)
                    for v in "abm"})
                client.upsert(name, points=batch, wait=True)

    def vector(self, name):
        """Rows of "m", elements of the sparse "s", or a dense vector."""
        rng = self.rng
        if name == "s":
            indices = sorted(rng.sample(range(self.words), rng.randint(1, min(12, self.words))))
            return models.SparseVector(indices=indices, values=[rng.uniform(0.1, 2) for _ in indices])
        if name == "m":
            return [self.dense(name) for _ in range(rng.randint(1, 4))]
        return self.dense(name)

    def dense(self, name):
        return [self.rng.gauss(0, 1) for _ in range(self.dims[name])]

    def point(self, i):
        rng = self.rng
        # The local mode cannot compare with a multivector that is not there.
        names = [v for v in NAMES if v == "m" or rng.random() < 0.9]
        for v in names:
            self.owners[v].append(i)
        payload = {"color": rng.choice(COLORS), "n": rng.randint(0, 20), "x": rng.uniform(-5, 5)}
        if rng.random() < 0.8:
            payload["place"] = {"lon": rng.uniform(-180, 180), "lat": rng.uniform(-90, 90)}
            payload["when"] = f"2026-0{rng.randint(1, 9)}-11T08:30:00Z"
        if rng.random() < 0.5:
            payload["tags"] = rng.sample(COLORS, rng.randint(0, 3))
        if rng.random() < 0.8:
            payload["group"] = rng.choice([rng.randint(1, 12), f"g{rng.randint(1, 5)}"])
        return models.PointStruct(id=i, vector={v: self.vector(v) for v in names}, payload=payload)

    def condition(self):
        rng = self.rng
        return rng.choice([
            lambda: models.FieldCondition(key="color", match=models.MatchValue(value=rng.choice(COLORS))),
            lambda: models.FieldCondition(key="tags", match=models.MatchAny(any=rng.sample(COLORS, 2))),
            lambda: models.FieldCondition(key="n", range=models.Range(gte=rng.randint(0, 10))),
            lambda: models.FieldCondition(key="x", range=models.Range(lt=rng.uniform(-2, 5))),
            lambda: models.HasIdCondition(has_id=rng.sample(range(1, self.n + 1), self.n // 2)),
        ])()

    def filter(self, chance=0.4):
        if self.rng.random() > chance:
            return None
        clause = self.rng.choice(["must", "should", "must_not"])
        if clause == "should":
            # Clauses of the stages of a tree are merged; the local mode filters again at every stage.
            clause, self.should_used = "must" if self.should_used else "should", True
        return models.Filter(**{clause: [self.condition() for _ in range(self.rng.randint(1, 2))]})

    def example(self, name, ids, lookup):
        """A vector, or a point's id where they may be used."""
        if ids and self.rng.random() < 0.5:
            return self.rng.randint(1, 20) if lookup else self.rng.choice(self.owners[name])
        return self.vector(name)

    def examples(self, name, least, most, ids, lookup):
        return [self.example(name, ids, lookup) for _ in range(self.rng.randint(least, most))]

    def pairs(self, name, least, ids, lookup):
        return [models.ContextPair(positive=self.example(name, ids, lookup), negative=self.example(name, ids, lookup))
                for _ in range(self.rng.randint(least, 4))]

    def vector_query(self, name, ids, lookup, ties=True):
        """A query that compares vectors. Context scores many points the same, and so does a sum of Manhattan distances
        all that lie between its examples."""
        rng = self.rng
        # The local mode has no diversity and no feedback over sparse vectors and multivectors.
        dense = ["mmr", "feedback"] * (name in "ab")
        kind = rng.choice(["nearest", "nearest", "recommend", "discover"] + dense + ["context"] * ties)
        if kind == "nearest":
            return self.example(name, ids, lookup)
        if kind == "mmr":
            # At a half, points behind the first one taken are all as good by the sum of differences.
            half = [] if self.metrics[name] == models.Distance.MANHATTAN else [None, 0.5]
            diversity = rng.choice(half + [0.0, 0.3, 0.8, 1.0])
            return models.NearestQuery(nearest=self.example(name, ids, lookup), mmr=models.Mmr(
                diversity=diversity, candidates_limit=rng.choice([None, rng.randint(1, 80)])))
        if kind == "feedback":
            # The local mode looks its examples up in the collection itself only, and excludes them from one stage only.
            ids = ids and not lookup and not self.staged
            examples = [models.FeedbackItem(example=self.example(name, ids, False), score=rng.uniform(0, 1))
                        for _ in range(rng.randint(1, 4))]
            return models.RelevanceFeedbackQuery(relevance_feedback=models.RelevanceFeedbackInput(
                target=self.vector(name), feedback=examples, strategy=models.NaiveFeedbackStrategy(
                    naive=models.NaiveFeedbackStrategyParams(a=0.5, b=rng.choice([0.0, 1.0, 2.5]), c=1.5))))
        if kind == "recommend":
            strategies = [None] + list(models.RecommendStrategy)
            if not ties and self.metrics[name] == models.Distance.MANHATTAN:
                strategies.remove(models.RecommendStrategy.SUM_SCORES)
            strategy = rng.choice(strategies)
            average = strategy in (None, models.RecommendStrategy.AVERAGE_VECTOR)
            positive = self.examples(name, 1 if average else 0, 3, ids, lookup)
            negative = self.examples(name, 0 if positive else 1, 3, ids, lookup)
            return models.RecommendQuery(
                recommend=models.RecommendInput(positive=positive, negative=negative, strategy=strategy))
        if kind == "discover":
            return models.DiscoverQuery(discover=models.DiscoverInput(
                target=self.example(name, ids, lookup), context=self.pairs(name, 0, ids, lookup)))
        return models.ContextQuery(context=self.pairs(name, 1, ids, lookup))

    def number(self):
        """Exact as a 32-bit float: the local mode counts with doubles."""
        return self.rng.randint(-16, 16) / 4

    def expression(self, depth, n_sources):
        rng = self.rng

        def inner():
            return self.expression(depth - 1, n_sources)

        def decay():
            return models.DecayParamsExpression(
                x=inner(), target=rng.choice([None, self.number()]), scale=rng.choice([None, 0.5, 4.0]),
                midpoint=rng.choice([None, 0.25]))

        leaves = [self.number, lambda: "n", lambda: "x", lambda: "$score", lambda: f"$score[{rng.randint(0, n_sources)}]",
                  self.condition, lambda: models.DatetimeExpression(datetime="2026-05-01T00:00:00Z"),
                  lambda: models.DivExpression(div=models.DivParams(left=models.GeoDistance(geo_distance=models.GeoDistanceParams(
                      origin=models.GeoPoint(lon=13.4, lat=52.5), to="place")), right=1048576.0)),
                  lambda: models.DivExpression(div=models.DivParams(
                      left=models.DatetimeKeyExpression(datetime_key="when"), right=1073741824.0))]
        if depth == 0 or rng.random() < 0.2:
            return rng.choice(leaves)()
        return rng.choice([
            lambda: models.SumExpression(sum=[inner() for _ in range(rng.randint(1, 3))]),
            lambda: models.MultExpression(mult=[inner() for _ in range(rng.randint(1, 3))]),
            lambda: models.DivExpression(div=models.DivParams(
                left=inner(), right=inner(), by_zero_default=rng.choice([None, 1.0, 1.0]))),
            lambda: models.NegExpression(neg=inner()),
            lambda: models.AbsExpression(abs=inner()),
            lambda: models.SqrtExpression(sqrt=models.AbsExpression(abs=inner())),
            lambda: models.PowExpression(pow=models.PowParams(base=inner(), exponent=rng.choice([0.5, 2.0, 3.0]))),
            lambda: models.LnExpression(ln=models.SumExpression(sum=[1.0, models.AbsExpression(abs=inner())])),
            lambda: models.Log10Expression(log10=inner()),
            lambda: models.ExpExpression(exp=models.LinDecayExpression(lin_decay=decay())),
            lambda: models.ExpDecayExpression(exp_decay=decay()),
            lambda: models.GaussDecayExpression(gauss_decay=decay()),
            lambda: models.LinDecayExpression(lin_decay=decay()),
        ])()

    def formula(self, n_sources):
        defaults = {"place": {"lon": 1.0, "lat": 2.0}, "when": "2026-01-01"} if self.rng.random() < 0.9 else {}
        if self.rng.random() < 0.5:
            defaults["$score[1]"] = self.number()
        return models.FormulaQuery(formula=self.expression(self.rng.randint(1, 3), n_sources), defaults=defaults)

    def merging_query(self, n_sources, formula=True):
        """A query over what prefetch stages found."""
        rng = self.rng
        kind = rng.choice(["rrf", "dbsf", "weights"] + ["formula", "formula"] * formula)
        if kind == "formula":
            return self.formula(n_sources)
        if kind == "rrf":
            return models.FusionQuery(fusion=models.Fusion.RRF)
        if kind == "dbsf":
            return models.FusionQuery(fusion=models.Fusion.DBSF)
        return models.RrfQuery(rrf=models.Rrf(
            k=rng.choice([None, 1, 2, 60]),
            weights=rng.choice([None, [round(rng.uniform(0, 3), 2) for _ in range(n_sources)]])))

    def stage(self, depth, ids, above):
        """One prefetch stage, for the query `above`. Where scores are often equal it hands on all it has, and not to a
        fusion by rank, so that it does not matter which of them come first; formulas, whose values may be too small
        for the variance of 32-bit floats, not to a fusion by distribution. Examples by id only along a single line:
        the server excludes those of the whole tree, the local mode those of the stages above."""
        rng = self.rng
        name = rng.choice("ab")
        lookup = ids and rng.random() < 0.2
        if depth and rng.random() < 0.4:
            n = rng.randint(1, 3)
            merges = not by_rank(above) and rng.random() < 0.5
            merging = self.merging_query(n, formula=not by_distribution(above)) if merges else None
            inner = [self.stage(depth - 1, ids and n == 1, merging) for _ in range(n)]
            if merging:
                return models.Prefetch(prefetch=inner, query=merging, limit=1000, filter=self.filter())
        else:
            inner = None
        if not inner and rng.random() < 0.1:
            return models.Prefetch(limit=rng.randint(1, 40), filter=self.filter())
        return models.Prefetch(
            prefetch=inner, query=self.vector_query(name, ids, lookup, ties=False), using=name,
            limit=rng.choice([None, rng.randint(1, 60)]), filter=self.filter(),
            score_threshold=self.threshold(0.1), lookup_from=models.LookupLocation(collection=OTHER) if lookup else None)

    def threshold(self, chance):
        return self.rng.uniform(-1, 3) if self.rng.random() < chance else None

    def request(self):
        rng = self.rng
        self.should_used = False
        name = rng.choice("ab")
        n = rng.choice([0, 0, 1, 2, 3])
        self.staged = n > 0
        merges = n > 0 and rng.random() < 0.6
        merging = self.merging_query(n) if merges else None
        prefetch = [self.stage(2, n == 1, merging) for _ in range(n)]
        lookup = not merges and rng.random() < 0.2
        request = {"prefetch": prefetch or None, "query_filter": self.filter(), "limit": rng.randint(1, 30),
                   "offset": rng.choice([None, rng.randint(0, 10)]), "score_threshold": self.threshold(0.15),
                   "with_payload": rng.choice([True, False, ["color"]]), "with_vectors": rng.random() < 0.2}
        if merges:
            request["query"] = merging
        else:
            request.update(query=self.vector_query(name, True, lookup), using=name,
                           lookup_from=models.LookupLocation(collection=OTHER) if lookup else None)
        return request


# --- comparing ----------------------------------------------------------------------------------------


def close(a, b):
    return abs(a - b) <= 2e-4 * max(1.0, abs(a), abs(b))


def same_points(expected, got):
    """None, or what differs."""
    if len(expected) != len(got):
        return f"{len(expected)} results expected, {len(got)} came"
    for i, (e, g) in enumerate(zip(expected, got)):
        if not close(e.score, g.score):
            return f"score {i}: {e.score} expected, {g.score} came"
    by_id = {p.id: p for p in expected}
    for p in got:
        e = by_id.get(p.id)
        # Equal scores may begin before an offset and go on behind a limit.
        if not (close(e.score, p.score) if e else close(expected[0].score, p.score) or close(expected[-1].score, p.score)):
            return f"{p.id} came, scored {p.score}, and {e and e.score} was expected for it"
        if e and (e.payload or {}) != (p.payload or {}):
            return f"payload of {p.id}: {e.payload} expected, {p.payload} came"
        if e and not same_vectors(e.vector, p.vector):
            return f"vectors of {p.id}: {e.vector} expected, {p.vector} came"
    return None


def flat(v):
    """All numbers of a vector of any kind, in order."""
    if isinstance(v, models.SparseVector):
        return [x for pair in sorted(zip(v.indices, v.values)) for x in pair]
    return [x for row in v for x in row] if v and isinstance(v[0], list) else v


def same_vectors(e, g):
    if not e or not g:
        return not e and not g
    return e.keys() == g.keys() and all(
        len(flat(e[k])) == len(flat(g[k])) and all(close(x, y) for x, y in zip(flat(e[k]), flat(g[k]))) for k in e)


def ask(call):
    """The answer, or the refusal of either kind."""
    try:
        return call(), None
    except (ValueError, UnexpectedResponse) as e:
        if isinstance(e, UnexpectedResponse) and not 400 <= e.status_code < 500:
            raise
        return None, e


def compare(world, method, request, same):
    local, remote = world.clients
    expected, refused_local = ask(lambda: getattr(local, method)(NAME, **request))
    got, refused = ask(lambda: getattr(remote, method)(NAME, **request))
    if refused_local or refused:
        return None if refused_local and refused else f"local: {refused_local}, server: {refused}"
    return same(expected, got)


def points_of(expected, got):
    return same_points(expected.points, got.points)


def sampled(expected, got):
    """Which points come is left to chance, not how many and what they are."""
    if len(expected.points) != len(got.points) or len({p.id for p in got.points}) != len(got.points):
        return f"{len(expected.points)} points expected, {len(got.points)} came"
    return None if all(p.score == 1.0 for p in got.points) else "a sample is not scored 1"


def kind_request(world):
    """One stage over a multivector or sparse vectors, of the whole collection or of what a filter leaves. All
    results: the local mode cuts lists with equal scores elsewhere."""
    world.should_used, world.staged = False, world.rng.random() < 0.4
    name = world.rng.choice("ms")
    prefetch = [models.Prefetch(limit=1000, filter=world.filter(0.5))] if world.staged else None
    return {"prefetch": prefetch, "query": world.vector_query(name, not world.staged, False), "using": name, "limit": 300,
            "query_filter": world.filter(0.3), "with_vectors": world.rng.random() < 0.2}


def sample_request(world):
    world.should_used, world.staged = False, False
    return {"query": models.SampleQuery(sample=models.Sample.RANDOM), "limit": world.rng.randint(1, 300),
            "query_filter": world.filter(0.7)}


def group_request(world):
    rng = world.rng
    world.should_used, world.staged = False, rng.random() < 0.3
    name = rng.choice("ab")
    request = {"query": world.vector_query(name, not world.staged, False, ties=False), "using": name,
               "group_by": rng.choice(["group", "color", "tags", "n"]), "limit": rng.randint(4, 8),
               "group_size": rng.randint(1, 6), "query_filter": world.filter(), "with_payload": rng.random() < 0.5,
               "with_lookup": rng.choice([None, OTHER, models.WithLookup(
                   collection=OTHER, with_payload=True, with_vectors=True)])}
    if isinstance(request["query"], models.NearestQuery):  # candidates of a diverse choice are as many as groups
        request["query"].mmr = None
    if world.staged:
        request["prefetch"] = [models.Prefetch(query=world.vector("a"), using="a", limit=1000, filter=world.filter())]
    return request


def same_groups(expected, got):
    """Groups with the same best point come in no order that the local mode would keep to."""
    names = [g.id for g in expected.groups], [g.id for g in got.groups]
    if names[0] != names[1] and (set(names[0]) != set(names[1]) or not set(names[0]) <= set(COLORS)):
        return f"groups {names[0]} expected, {names[1]} came"
    found = {g.id: g for g in got.groups}
    for e in expected.groups:
        g = found[e.id]
        problem = same_points(e.hits, g.hits)
        if problem:
            return f"group {e.id}: {problem}"
        # Without with_payload the local mode leaves it out, though the default is true.
        looked = [(x.lookup.id, e.lookup.payload and x.lookup.payload, sorted(x.lookup.vector or {})) if x.lookup else None
                  for x in (e, g)]
        if looked[0] != looked[1]:
            return f"group {e.id}: {looked[0]} expected, {looked[1]} looked up"
    return None


def matrix_request(world):
    """A sample of all there is, so that nothing is left to chance."""
    world.should_used = False
    return {"using": world.rng.choice("ab"), "sample": 500, "limit": world.rng.randint(1, 9),
            "query_filter": world.filter()}


def same_offsets(e, g):
    same = e.ids == g.ids and e.offsets_row == g.offsets_row and e.offsets_col == g.offsets_col
    if not same or not all(close(a, b) for a, b in zip(e.scores, g.scores)):
        return f"{e} expected, {g} came"
    return None


def same_pairs(e, g):
    same = len(e.pairs) == len(g.pairs) and all(
        (x.a, x.b) == (y.a, y.b) and close(x.score, y.score) for x, y in zip(e.pairs, g.pairs))
    return None if same else f"{e} expected, {g} came"


def tests(world):
    """(what, how often, the check, the request) of one round."""
    yield "query", 40, lambda: compare(world, "query_points", world.last, points_of), world.request
    yield "other vectors", 15, lambda: compare(world, "query_points", world.last, points_of), lambda: kind_request(world)
    yield "sample", 3, lambda: compare(world, "query_points", world.last, sampled), lambda: sample_request(world)
    yield "groups", 10, lambda: compare(world, "query_points_groups", world.last, same_groups), lambda: group_request(world)
    yield ("matrix offsets", 1, lambda: compare(world, "search_matrix_offsets", world.last, same_offsets),
           lambda: matrix_request(world))
    yield ("matrix pairs", 1, lambda: compare(world, "search_matrix_pairs", world.last, same_pairs),
           lambda: matrix_request(world))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("url")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    local, remote = QdrantClient(":memory:"), QdrantClient(url=args.url, timeout=30)
    passed = failed = 0
    for r in range(args.rounds):
        seed = args.seed + r
        world = World(random.Random(seed), local, remote)
        for what, times, check, make in tests(world):
            for _ in range(times):
                world.last = make()
                problem = check()
                passed += problem is None
                failed += problem is not None
                if problem and failed <= 10:
                    print(f"not ok  {what}, --rounds 1 --seed {seed}, metrics {world.metrics}: {problem}\n  {str(world.last)[:1000]}")
    for name in (NAME, OTHER):
        remote.delete_collection(name)
    print(f"ok  {args.rounds} rounds of random queries agree with the client's local mode, --seed {args.seed}"
          if not failed else f"not ok  {failed} random queries disagree with the client's local mode")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

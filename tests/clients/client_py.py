#!/usr/bin/env python3
"""client_py.py: Qdrant's official Python client drives a running server.

    python client_py.py http://127.0.0.1:6333

The points are directions in the plane, one per degree, so every expected answer can be read off: the
nearest to 90.2 degrees is the point 90, then 91, then 89. The last line is "N passed, N failed".
"""

import asyncio
import math
import sys
import traceback
import uuid
import warnings

from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

NAME = "client_py"
EVEN = models.Filter(must=[models.FieldCondition(key="parity", match=models.MatchValue(value="even"))])


def direction(degrees):
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def ids(points):
    return [p.id for p in points]


def create(client):
    assert client.create_collection(
        NAME,
        vectors_config={"dir": models.VectorParams(size=2, distance=models.Distance.COSINE),
                        "flat": models.VectorParams(size=1, distance=models.Distance.EUCLID)})
    assert client.collection_exists(NAME)
    assert NAME in [c.name for c in client.get_collections().collections]


def upsert(client):
    points = [models.PointStruct(
        id=i, vector={"dir": direction(i), "flat": [float(i)]},
        payload={"degrees": i, "parity": "odd" if i % 2 else "even", "deep": {"tag": [f"t{i % 7}"]}})
        for i in range(1, 361)]
    assert client.upsert(NAME, points=points, wait=True).status == models.UpdateStatus.COMPLETED
    assert client.count(NAME, exact=True).count == 360
    assert client.get_collection(NAME).points_count == 360


def upload(client):
    """The client's own bulk path, in batches, with UUIDs."""
    names = [str(uuid.UUID(int=i)) for i in range(1, 301)]
    client.upload_points(NAME, (models.PointStruct(id=n, vector={"flat": [-1.0]}, payload={}) for n in names),
                         batch_size=64, wait=True)
    assert client.count(NAME).count == 660
    assert ids(client.retrieve(NAME, [names[7]])) == [names[7]]
    client.delete(NAME, points_selector=names, wait=True)
    assert client.count(NAME).count == 360


def index(client):
    done = client.create_payload_index(NAME, "parity", models.PayloadSchemaType.KEYWORD, wait=True)
    assert done.status == models.UpdateStatus.COMPLETED
    assert "parity" in client.get_collection(NAME).payload_schema


def query(client):
    points = client.query_points(NAME, query=direction(90.2), using="dir", limit=3).points
    assert ids(points) == [90, 91, 89], points
    assert abs(points[0].score - math.cos(math.radians(0.2))) < 1e-5
    points = client.query_points(NAME, query=[7.4], using="flat", limit=2).points
    assert ids(points) == [7, 8] and abs(points[1].score - 0.6) < 1e-5, points


def query_filtered(client):
    points = client.query_points(NAME, query=direction(90.2), using="dir", query_filter=EVEN, limit=3,
                                 with_payload=models.PayloadSelectorInclude(include=["parity"])).points
    assert ids(points) == [90, 92, 88], points
    assert points[0].payload == {"parity": "even"}
    nested = models.Filter(
        must=[models.FieldCondition(key="deep.tag[]", match=models.MatchAny(any=["t1", "t2"]))],
        must_not=[models.FieldCondition(key="degrees", range=models.Range(lt=350))])
    points = client.query_points(NAME, query=direction(355), using="dir", query_filter=nested, limit=10).points
    assert sorted(ids(points)) == [351, 352, 358, 359], points


def query_stored(client):
    points = client.query_points(NAME, query=180, using="dir", limit=2, with_vectors=["dir"]).points
    assert sorted(ids(points)) == [179, 181], points
    assert abs(points[0].vector["dir"][0] + math.cos(math.radians(1))) < 1e-5


def scroll(client):
    seen, offset = [], None
    while True:
        page, offset = client.scroll(NAME, scroll_filter=EVEN, limit=50, offset=offset, with_payload=["degrees"])
        seen += page
        if offset is None:
            break
    assert ids(seen) == list(range(2, 361, 2))
    assert seen[0].payload == {"degrees": 2}


def payload(client):
    client.set_payload(NAME, payload={"marked": True}, points=[5, 6], wait=True)
    client.overwrite_payload(NAME, payload={"marked": True}, points=[7], wait=True)
    marked = models.Filter(must=[models.FieldCondition(key="marked", match=models.MatchValue(value=True))])
    assert client.count(NAME, count_filter=marked).count == 3
    client.clear_payload(NAME, points_selector=[7], wait=True)
    assert [p.payload for p in client.retrieve(NAME, [7, 6], with_payload=["marked"])] == [{}, {"marked": True}]


def asynchronous(client):
    async def many(url):
        other = AsyncQdrantClient(url=url)
        answers = await asyncio.gather(*(
            other.query_points(NAME, query=direction(d + 0.1), using="dir", limit=1) for d in range(1, 65)))
        await other.close()
        return [a.points[0].id for a in answers]
    assert asyncio.run(many(sys.argv[1])) == list(range(1, 65))


def delete(client):
    client.delete(NAME, points_selector=[90, 91], wait=True)
    client.delete(NAME, wait=True, points_selector=models.FilterSelector(filter=models.Filter(
        must=[models.FieldCondition(key="degrees", range=models.Range(gt=300))])))
    assert client.count(NAME).count == 298
    assert ids(client.query_points(NAME, query=direction(90.2), using="dir", limit=2).points) == [89, 92]


def errors(client):
    for expected, call in [
            (404, lambda: client.query_points("no_such", query=[1.0, 2.0])),
            (400, lambda: client.upsert(NAME, [models.PointStruct(id=1, vector={"dir": [1.0]})], wait=True)),
            (409, lambda: client.create_collection(NAME, vectors_config={}))]:
        try:
            call()
        except UnexpectedResponse as e:
            assert e.status_code == expected, e
        else:
            raise AssertionError(f"no error {expected}")
    assert client.count(NAME).count == 298


def snapshots(client):
    made = client.create_snapshot(NAME, wait=True)
    assert [s.name for s in client.list_snapshots(NAME)] == [made.name]
    assert made.size > 0 and len(made.checksum) == 64
    client.delete(NAME, models.FilterSelector(filter=models.Filter(must=[])), wait=True)
    assert client.count(NAME).count == 0
    location = f"file:///data/snapshots/{NAME}/{made.name}"
    assert client.recover_snapshot(NAME, location, checksum=made.checksum, wait=True)
    assert client.count(NAME).count == 298
    assert client.delete_snapshot(NAME, made.name, wait=True)
    assert client.list_snapshots(NAME) == []
    whole = client.create_full_snapshot(wait=True)
    assert [s.name for s in client.list_full_snapshots()] == [whole.name]
    assert client.delete_full_snapshot(whole.name, wait=True)


def drop(client):
    assert client.delete_collection(NAME)
    assert not client.collection_exists(NAME)


def main():
    warnings.simplefilter("error", UserWarning)  # such as: this server's version does not suit me
    passed = failed = 0
    client = None
    for test in [None, create, upsert, upload, index, query, query_filtered, query_stored, scroll, payload,
                 asynchronous, delete, errors, snapshots, drop]:
        name = test.__name__ if test else "connect"
        try:
            if test:
                test(client)
            else:
                client = QdrantClient(url=sys.argv[1], timeout=30)
            passed += 1
            print(f"ok      py: {name}")
        except Exception:  # a failed test shall not hide the others
            failed += 1
            print(f"not ok  py: {name}: {traceback.format_exc()}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()

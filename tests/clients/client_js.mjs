// client_js.mjs: Qdrant's official JavaScript client drives a running server.
//
//   node client_js.mjs http://127.0.0.1:6333
//
// The points are directions in the plane, one per degree, so every expected answer can be read off:
// the nearest to 90.2 degrees is the point 90, then 91, 90 - 1, ... The last line is
// "N passed, N failed".
import assert from 'node:assert/strict';
import { QdrantClient } from '@qdrant/js-client-rest';

const url = process.argv[2];
const client = new QdrantClient({ url });
const name = 'client_js';
const direction = (degrees) => [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
const even = { must: [{ key: 'parity', match: { value: 'even' } }] };

let passed = 0;
let failed = 0;
async function test(what, body) {
    try {
        await body();
        passed += 1;
        console.log(`ok      js: ${what}`);
    } catch (e) {
        failed += 1;
        console.log(`not ok  js: ${what}: ${e.stack ?? e} ${JSON.stringify(e.data ?? '')}`);
    }
}

const warnings = [];
console.warn = (...text) => warnings.push(text.join(' '));

await test('accepts the version of the server', async () => {
    const { version } = await client.versionInfo();
    assert.match(version, /^1\.\d+\.\d+$/);
    assert.deepEqual(warnings, []);
});

await test('creates a collection', async () => {
    assert.equal(
        await client.createCollection(name, { vectors: { size: 2, distance: 'Cosine' } }),
        true,
    );
    const { exists } = await client.collectionExists(name);
    assert.equal(exists, true);
    const { collections } = await client.getCollections();
    assert.ok(collections.some((c) => c.name === name));
});

await test('indexes a payload key', async () => {
    const done = await client.createPayloadIndex(name, { field_name: 'parity', field_schema: 'keyword', wait: true });
    assert.equal(done.status, 'completed');
});

await test('upserts', async () => {
    const points = [];
    for (let id = 1; id <= 360; id++) {
        points.push({
            id,
            vector: direction(id),
            payload: { degrees: id, parity: id % 2 ? 'odd' : 'even', tags: ['a', `t${id % 7}`] },
        });
    }
    const done = await client.upsert(name, { wait: true, points });
    assert.equal(done.status, 'completed');
    assert.deepEqual(await client.count(name, { exact: true }), { count: 360 });
    const info = await client.getCollection(name);
    assert.equal(info.points_count, 360);
    assert.equal(info.config.params.vectors.size, 2);
});

await test('queries', async () => {
    const { points } = await client.query(name, { query: direction(90.2), limit: 3, with_payload: true });
    assert.deepEqual(points.map((p) => p.id), [90, 91, 89]);
    assert.ok(Math.abs(points[0].score - Math.cos((0.2 * Math.PI) / 180)) < 1e-5);
    assert.deepEqual(points[0].payload, { degrees: 90, parity: 'even', tags: ['a', 't6'] });
});

await test('queries with a filter', async () => {
    const { points } = await client.query(name, { query: direction(90.2), filter: even, limit: 3 });
    assert.deepEqual(points.map((p) => p.id), [90, 92, 88]);
    const far = await client.query(name, {
        query: direction(90.2),
        filter: { must: [{ key: 'degrees', range: { gte: 200, lt: 203 } }], must_not: [{ has_id: [201] }] },
        limit: 10,
    });
    assert.deepEqual(far.points.map((p) => p.id), [200, 202]);
});

await test('queries by a stored point', async () => {
    const { points } = await client.query(name, { query: 180, limit: 2, with_vector: true });
    assert.deepEqual(points.map((p) => p.id).sort(), [179, 181]);
    assert.ok(Math.abs(points[0].vector[0] + Math.cos(Math.PI / 180)) < 1e-5);
});

await test('queries in a batch', async () => {
    const answers = await client.queryBatch(name, {
        searches: [
            { query: direction(10.1), limit: 1 },
            { query: direction(20.1), limit: 1, filter: even },
        ],
    });
    assert.deepEqual(answers.map((a) => a.points[0].id), [10, 20]);
});

await test('scrolls page by page', async () => {
    const seen = [];
    let offset;
    do {
        const page = await client.scroll(name, { filter: even, limit: 50, offset, with_payload: ['degrees'] });
        seen.push(...page.points);
        offset = page.next_page_offset;
    } while (offset !== null && offset !== undefined);
    assert.deepEqual(seen.map((p) => p.id), Array.from({ length: 180 }, (_, i) => 2 * (i + 1)));
    assert.deepEqual(seen[0].payload, { degrees: 2 });
});

await test('changes payloads', async () => {
    await client.setPayload(name, { payload: { marked: true }, points: [5, 6], wait: true });
    const points = await client.retrieve(name, { ids: [6, 5, 1000], with_payload: true });
    assert.deepEqual(points.map((p) => [p.id, p.payload.marked]), [[6, true], [5, true]]);
    await client.deletePayload(name, { keys: ['marked'], points: [5], wait: true });
    const { count } = await client.count(name, {
        filter: { must: [{ key: 'marked', match: { value: true } }] },
        exact: true,
    });
    assert.equal(count, 1);
});

await test('deletes', async () => {
    await client.delete(name, { wait: true, points: [90, 91] });
    await client.delete(name, { wait: true, filter: { must: [{ key: 'degrees', range: { gt: 300 } }] } });
    assert.deepEqual(await client.count(name, { exact: true }), { count: 298 });
    const { points } = await client.query(name, { query: direction(90.2), limit: 2 });
    assert.deepEqual(points.map((p) => p.id), [89, 92]);
});

await test('is told what was wrong', async () => {
    await assert.rejects(client.query('no_such', { query: [1, 2] }), (e) => e.status === 404);
    await assert.rejects(
        client.upsert(name, { wait: true, points: [{ id: 1, vector: [1, 2, 3] }] }),
        (e) => e.status === 400 && /dimension/i.test(JSON.stringify(e.data)),
    );
    assert.deepEqual(await client.count(name, { exact: true }), { count: 298 });
});

await test('drops the collection', async () => {
    assert.equal(await client.deleteCollection(name), true);
    assert.equal((await client.collectionExists(name)).exists, false);
});

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

/* snapshot_test.h: what the tests of snapshots share: points that tell which write they are of, a
 * digest of all that a collection holds, and a snapshot as one file. */
#ifndef SNAPSHOT_TEST_H
#define SNAPSHOT_TEST_H

#include "engine/snapshot_impl.h"
#include "engine_fixture.h"

#define DIM 4

static inline void make_collection(struct fix *f, const char *name, uint32_t shards)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, shards);
    s.policy = (struct qv__segment_policy){.seal_rows = 16, .index_rows = 16, .merge_fanin = 2};
    OK(qv__db_create_collection(f->db, qv__str_z(name), &s, &f->err));
}

/* Points [from, to) with payload {"v": v}. */
static inline qv_status put(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to,
                            uint64_t v)
{
    struct qv__arena a;
    char json[64];
    float values[DIM];
    qv__arena_init(&a, f->mem);
    snprintf(json, sizeof json, "{\"v\":%llu}", (unsigned long long)v);
    struct qv__bytes payload = fix_payload(f, &a, json);
    struct qv__point *p = qv__arena_calloc(&a, (size_t)(to - from), sizeof *p);
    for (uint64_t i = from; i < to; i++) {
        float *own = qv__arena_calloc(&a, DIM, sizeof *own);
        struct qv__named_vector *nv = qv__arena_calloc(&a, 1, sizeof *nv);
        for (int k = 0; k < DIM; k++) {
            own[k] = values[k] = (float)(i * 7 + v * 3 + (uint64_t)k);
        }
        *nv = (struct qv__named_vector){.name = QV__STR(""), .values = own, .dim = DIM};
        p[i - from] = (struct qv__point){
            .id = qv__id_u64(i), .vectors = nv, .n_vectors = 1, .payload = payload};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = p, .n_points = (size_t)(to - from)};
    struct qv__write_result r;
    qv_status st = qv__collection_write_sync(c, &m, 1, &r, &f->err);
    qv__arena_free(&a);
    return st;
}

static inline void del(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to)
{
    struct qv__id ids[256];
    for (uint64_t i = from; i < to; i++) {
        ids[i - from] = qv__id_u64(i);
    }
    struct qv__mutation m = {.kind = QV__MUT_DELETE, .ids = ids, .n_ids = (size_t)(to - from)};
    fix_write(f, c, &m, 1);
}

/* Everything a reader sees: ids, payloads, vectors; not where or since when. */
static inline uint64_t digest(struct fix *f, struct qv__collection *c, uint64_t *count)
{
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__result_set rs;
    struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}, .vectors = QV__VECTORS_ALL};
    uint64_t hash = 14695981039346656037u;
    OK(qv__collection_scroll(c, NULL, 100000, NULL, &fetch, &ctx, &rs, &f->err));
    for (size_t i = 0; i < rs.n; i++) {
        uint64_t id = qv__id_hash(&rs.points[i].id);
        hash = (hash ^ id) * 1099511628211u;
        for (size_t k = 0; k < rs.points[i].payload.n; k++) {
            hash = (hash ^ rs.points[i].payload.p[k]) * 1099511628211u;
        }
        const uint8_t *v = (const uint8_t *)rs.points[i].vectors[0];
        for (size_t k = 0; k < DIM * sizeof(float); k++) {
            hash = (hash ^ v[k]) * 1099511628211u;
        }
    }
    if (count) {
        *count = rs.n;
    }
    qv__result_free(&rs);
    return hash;
}

static inline uint64_t digest_of(struct fix *f, const char *name, uint64_t *count)
{
    struct qv__collection *c = fix_collection(f, name);
    uint64_t d = digest(f, c, count);
    qv__collection_release(c);
    return d;
}

static inline void drain(struct fix *f)
{
    while (qv__db_step(f->db)) {
    }
}

/* The snapshot as one file `name` of an io. */
static inline void save_container(struct fix *f, uint64_t id, struct qv__io *to, const char *name)
{
    struct qv__snapshot_stream *s = NULL;
    struct qv__file *file = NULL;
    uint8_t block[777]; /* crosses every border at some time */
    OK(qv__snapshot_stream_open(f->db, id, &s, &f->err));
    OK(qv__io_open(to, name, QV__OPEN_CREATE | QV__OPEN_TRUNC, &file, &f->err));
    for (uint64_t at = 0; at < qv__snapshot_stream_bytes(s);) {
        size_t got = 0;
        OK(qv__snapshot_stream_read(s, at, block, sizeof block, &got, &f->err));
        assert_true(got > 0);
        OK(qv__io_pwrite(file, block, got, at, &f->err));
        at += got;
    }
    OK(qv__io_file_close(file, &f->err));
    qv__snapshot_stream_close(s);
}

static inline uint64_t file_bytes(struct fix *f, struct qv__io *io, const char *name)
{
    struct qv__file *file = NULL;
    uint64_t n = 0;
    OK(qv__io_open(io, name, QV__OPEN_READ, &file, &f->err));
    OK(qv__io_size(file, &n, &f->err));
    qv__io_file_close(file, NULL);
    return n;
}

static inline void count_one(void *arg, const struct qv__snapshot_info *info)
{
    (void)info;
    ++*(unsigned *)arg;
}

static inline unsigned n_snapshots(struct fix *f)
{
    unsigned n = 0;
    OK(qv__db_snapshots(f->db, count_one, &n, &f->err));
    return n;
}

static inline void count_leftover(void *arg, const char *name, uint64_t size)
{
    (void)size;
    *(unsigned *)arg += strncmp(name, "snapshots/new-", 14) == 0 ||
                        strncmp(name, "snapshots/gone-", 15) == 0 || strncmp(name, "tmp/", 4) == 0;
}

/* Files of snapshots that were not finished, or are deleted. */
static inline unsigned n_leftovers(struct fix *f)
{
    unsigned n = 0;
    OK(qv__io_sim_list(f->io, count_leftover, &n, &f->err));
    return n;
}

#endif

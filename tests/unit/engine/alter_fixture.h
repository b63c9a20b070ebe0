/* alter_fixture.h: a collection with two vectors that changes while it is in use, for tests of
 * that. */
#ifndef ALTER_FIXTURE_H
#define ALTER_FIXTURE_H

#include "engine_fixture.h"

#include "engine/job.h"
#include "engine/snapshot.h"

#define DIM  6
#define DIM2 3

static inline struct qv__collection *make(struct fix *f, uint32_t seal_rows)
{
    struct qv__vector_def defs[2] = {{.name = QV__STR("a"), .metric = QV__L2, .dim = DIM},
                                     {.name = QV__STR("b"), .metric = QV__DOT, .dim = DIM}};
    struct qv__schema schema = fix_schema(defs, 2, 1);
    schema.policy =
        (struct qv__segment_policy){.seal_rows = seal_rows, .index_rows = 32, .merge_fanin = 8};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    return fix_collection(f, "c");
}

static inline void run(struct fix *f)
{
    while (qv__db_step(f->db)) {
    }
}

static inline void stop(struct fix *f, struct qv__collection *c)
{
    qv__collection_release(c);
    fix_close(f);
}

static inline void fill(float *v, uint64_t id, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        v[k] = (float)((id * 37 + k * 11) % 101);
    }
}

/* Points [from, to) with the vectors named, all of `dim` elements. */
static inline void put(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to,
                       const char *names, unsigned dim)
{
    float v[DIM];
    for (uint64_t id = from; id < to; id++) {
        struct qv__named_vector nv[2];
        uint32_t n = 0;
        fill(v, id, dim);
        for (const char *name = names; *name; name++) {
            nv[n++] = (struct qv__named_vector){.name = {name, 1}, .values = v, .dim = dim};
        }
        struct qv__point p = {.id = qv__id_u64(id), .vectors = nv, .n_vectors = n};
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1},
                  1);
    }
}

static inline qv_status add(struct fix *f, const char *name, uint32_t dim)
{
    struct qv__vector_def def = {.name = qv__str_z(name), .metric = QV__L2, .dim = dim};
    return qv__db_alter(f->db, QV__STR("c"), &(struct qv__alter){.add = &def}, NULL, &f->err);
}

static inline qv_status drop(struct fix *f, const char *name)
{
    struct qv__str s = qv__str_z(name);
    return qv__db_alter(f->db, QV__STR("c"), &(struct qv__alter){.drop = &s}, NULL, &f->err);
}

static inline void set(struct fix *f, const char *name, struct qv__index_params index,
                       bool no_graph)
{
    struct qv__vector_def def = {.name = qv__str_z(name), .index = index, .no_graph = no_graph};
    OK(qv__db_alter(f->db, QV__STR("c"), &(struct qv__alter){.set = &def, .n_set = 1}, NULL,
                    &f->err));
}

/* How many points have a vector of that name; each is checked to be what fill() makes. */
static inline unsigned having(struct fix *f, struct qv__collection *c, const char *name)
{
    struct qv__result_set rs;
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__fetch fetch = {.vectors = QV__VECTORS_ALL};
    unsigned n = 0;
    OK(qv__collection_scroll(c, NULL, 10000, NULL, &fetch, &ctx, &rs, &f->err));
    int at = qv__schema_vector(rs.schema, qv__str_z(name));
    for (size_t i = 0; at >= 0 && i < rs.n; i++) {
        const float *v = rs.points[i].vectors[at];
        float want[DIM];
        fill(want, rs.points[i].id.u, rs.schema->vectors[at].dim);
        n += v != NULL;
        assert_true(!v || memcmp(v, want, rs.schema->vectors[at].dim * sizeof *v) == 0);
    }
    qv__result_free(&rs);
    return n;
}

static inline qv_status search(struct fix *f, struct qv__collection *c, const char *name,
                               unsigned dim, uint64_t id, size_t *n, uint64_t *best)
{
    float q[DIM];
    struct qv__result_set rs;
    struct qv__qctx ctx = fix_ctx(f);
    fill(q, id, dim);
    struct qv__query query = {.kind = QV__QUERY_NEAREST,
                              .using_vector = qv__str_z(name),
                              .target = {.values = q, .dim = dim},
                              .limit = 5,
                              .params = {.ef = 128}};
    qv_status st = qv__collection_query(c, &query, NULL, &ctx, &rs, &f->err);
    *n = rs.n;
    *best = rs.n ? rs.points[0].id.u : UINT64_MAX;
    qv__result_free(&rs);
    return st;
}

static inline struct qv__collection_info info_of(struct fix *f, struct qv__collection *c)
{
    struct qv__collection_info info;
    OK(qv__collection_info(c, &info, &f->err));
    return info;
}

/* The reindexing that ended last; its number, 0 = there was none. */
static inline uint64_t last_reindex(struct fix *f, char reason[96])
{
    struct qv__job_info jobs[QV__JOBS_ENDED];
    size_t n = qv__db_jobs(f->db, NULL, true, jobs, QV__JOBS_ENDED);
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].kind == QV__JOB_REINDEX) {
            memcpy(reason, jobs[i].reason, sizeof jobs[i].reason);
            return jobs[i].id;
        }
    }
    return 0;
}

#endif

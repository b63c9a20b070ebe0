/* test_model.c: random operations on a database against a plain model of it.
 *
 * Every operation draws all it needs from a number of its own. So a run that fails is shrunk:
 * operations are left out as long as it still fails, in a process of its own each time, and what is
 * left is printed as the variables that run it again.
 *
 * The model is an array of points; the database runs with tiny segments, so that every few writes
 * seal and merge, with 1 and 3 shards, with restarts and crashes in between. After every batch of
 * operations the whole of it is compared: points by id, id order, counts with filters, exact and
 * approximate search. */
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_fixture.h"

#define IDS   160
#define DIM_A 8
#define DIM_B 5
#define DIM_X 4 /* of the column that comes and goes: at most */

struct model_point {
    bool exists;
    bool has_a, has_b, has_x;
    float a[DIM_A], b[DIM_B], x[DIM_X];
    int n;            /* payload.n */
    int tag;          /* payload.tag "t0".."t4", -1 = missing */
    int64_t count;    /* payload.count */
    unsigned list[8]; /* payload.list */
    unsigned n_list;
    int64_t expires_ms; /* INT64_MAX = never */
};

struct model {
    struct fix f;
    struct qv__collection *c;
    struct qv__rng rng;
    struct model_point p[IDS];
    unsigned batch_max; /* points per upsert, at most 12 */
    unsigned dim_x;     /* 0 = there is no column x now */
};

/* Wall time goes on by a millisecond per operation. */
static _Atomic int64_t now_ms = INT64_C(1700000000000);

static uint64_t wall(void *ctx)
{
    (void)ctx;
    return (uint64_t)atomic_load(&now_ms);
}

static uint64_t mono(void *ctx)
{
    const struct qv__clock *system = ctx;
    return qv__mono_ns(system);
}

/* What expired is not there. */
static void tick(struct model *m)
{
    int64_t now = atomic_fetch_add(&now_ms, 1) + 1;
    for (unsigned k = 0; k < IDS; k++) {
        m->p[k].exists &= m->p[k].expires_ms > now;
    }
}

static int64_t random_expiry(struct model *m)
{
    return qv__rng_below(&m->rng, 4) ? INT64_MAX
                                     : atomic_load(&now_ms) + (int64_t)qv__rng_below(&m->rng, 60);
}

static struct qv__id model_id(unsigned i)
{
    struct qv__id id = qv__id_u64(i);
    if (i % 3 == 1) {
        id.kind = QV__ID_UUID;
        memset(id.uuid, 0, 16);
        id.uuid[3] = (uint8_t)(i * 37);
        id.uuid[15] = (uint8_t)i;
    } else if (i % 7 == 2) {
        static char text[IDS][8];
        snprintf(text[i], sizeof text[i], "s%03u", (i * 91) % 1000);
        id.kind = QV__ID_STR;
        id.len = (uint8_t)strlen(text[i]);
        id.s = text[i];
    }
    return id;
}

static void random_vector(struct model *m, float *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        v[i] = qv__rng_gauss(&m->rng);
    }
}

static void payload_text(const struct model_point *p, char *out)
{
    out += sprintf(out, "{\"n\":%d", p->n);
    if (p->tag >= 0) {
        out += sprintf(out, ",\"tag\":\"t%d\"", p->tag);
    }
    out += sprintf(out, ",\"count\":%lld,\"list\":[", (long long)p->count);
    for (unsigned i = 0; i < p->n_list; i++) {
        out += sprintf(out, "%s%u", i ? "," : "", p->list[i]);
    }
    sprintf(out, "]}");
}

static struct qv__bytes payload_of(struct model *m, struct qv__arena *a,
                                   const struct model_point *p)
{
    char json[160];
    payload_text(p, json);
    return fix_payload(&m->f, a, json);
}

/* --- operations --- */

static void op_upsert(struct model *m, struct qv__arena *a)
{
    struct qv__point points[12];
    struct qv__named_vector vectors[12][3];
    size_t n = 1 + qv__rng_below(&m->rng, m->batch_max);
    for (size_t i = 0; i < n; i++) {
        unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
        struct model_point *p = &m->p[k];
        *p = (struct model_point){.exists = true, .expires_ms = random_expiry(m)};
        p->has_a = qv__rng_below(&m->rng, 5) != 0;
        p->has_b = qv__rng_below(&m->rng, 3) != 0;
        p->has_x = qv__rng_below(&m->rng, 2) && m->dim_x;
        p->n = (int)qv__rng_below(&m->rng, 100);
        p->tag = (int)qv__rng_below(&m->rng, 6) - 1;
        random_vector(m, p->a, DIM_A);
        random_vector(m, p->b, DIM_B);
        random_vector(m, p->x, DIM_X);
        uint32_t nv = 0;
        /* Copies: a later point of the same batch may carry the same id. */
        float *va = qv__arena_alloc(a, sizeof p->a), *vb = qv__arena_alloc(a, sizeof p->b);
        memcpy(va, p->a, sizeof p->a);
        memcpy(vb, p->b, sizeof p->b);
        float *vx = qv__arena_alloc(a, sizeof p->x);
        memcpy(vx, p->x, sizeof p->x);
        if (p->has_x) {
            vectors[i][nv++] =
                (struct qv__named_vector){.name = QV__STR("x"), .values = vx, .dim = m->dim_x};
        }
        if (p->has_a) {
            vectors[i][nv++] =
                (struct qv__named_vector){.name = QV__STR("a"), .values = va, .dim = DIM_A};
        }
        if (p->has_b) {
            vectors[i][nv++] =
                (struct qv__named_vector){.name = QV__STR("b"), .values = vb, .dim = DIM_B};
        }
        points[i] = (struct qv__point){.id = model_id(k),
                                       .vectors = vectors[i],
                                       .n_vectors = nv,
                                       .payload = payload_of(m, a, p),
                                       .expires_ms = p->expires_ms};
    }
    fix_write(&m->f, m->c,
              &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = points, .n_points = n}, 1);
    for (unsigned k = 0; k < IDS; k++) {
        m->p[k].exists &= m->p[k].expires_ms > atomic_load(&now_ms);
    }
}

static void op_delete(struct model *m)
{
    struct qv__id ids[4];
    size_t n = 1 + qv__rng_below(&m->rng, 4);
    for (size_t i = 0; i < n; i++) {
        unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
        ids[i] = model_id(k);
        m->p[k].exists = false;
    }
    fix_write(&m->f, m->c, &(struct qv__mutation){.kind = QV__MUT_DELETE, .ids = ids, .n_ids = n},
              1);
}

static void op_delete_where(struct model *m, struct qv__arena *a)
{
    int lo = (int)qv__rng_below(&m->rng, 95);
    char json[128];
    snprintf(json, sizeof json, "{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":%d,\"lt\":%d}}]}", lo,
             lo + 6);
    for (unsigned k = 0; k < IDS; k++) {
        if (m->p[k].exists && m->p[k].n >= lo && m->p[k].n < lo + 6) {
            m->p[k].exists = false;
        }
    }
    fix_write(&m->f, m->c,
              &(struct qv__mutation){
                  .kind = QV__MUT_DELETE, .by_filter = true, .filter = fix_filter(&m->f, a, json)},
              1);
}

static void op_payload(struct model *m, struct qv__arena *a)
{
    int tag = (int)qv__rng_below(&m->rng, 5), to = (int)qv__rng_below(&m->rng, 100);
    char where[96], what[64];
    snprintf(where, sizeof where, "{\"must\":[{\"key\":\"tag\",\"match\":{\"value\":\"t%d\"}}]}",
             tag);
    snprintf(what, sizeof what, "{\"n\":%d}", to);
    struct qv__mutation mut = {.kind = QV__MUT_SET_PAYLOAD,
                               .by_filter = true,
                               .filter = fix_filter(&m->f, a, where),
                               .payload = fix_payload(&m->f, a, what)};
    fix_write(&m->f, m->c, &mut, 1);
    for (unsigned k = 0; k < IDS; k++) {
        if (m->p[k].exists && m->p[k].tag == tag) {
            m->p[k].n = to;
        }
    }
}

/* Several mutations as one request, on the same point. */
static void op_batch(struct model *m, struct qv__arena *a)
{
    unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
    struct qv__id id = model_id(k);
    struct model_point *p = &m->p[k];
    *p = (struct model_point){
        .exists = true, .has_a = true, .n = 7, .tag = -1, .expires_ms = INT64_MAX};
    random_vector(m, p->a, DIM_A);
    struct qv__named_vector v = {.name = QV__STR("a"), .values = p->a, .dim = DIM_A};
    struct qv__point pt = {
        .id = id,
        .vectors = &v,
        .n_vectors = 1,
        .payload = fix_payload(&m->f, a, "{\"n\":1,\"tag\":\"t1\",\"count\":0,\"list\":[]}")};
    struct qv__path path;
    assert_int_equal(qv__path_parse(QV__STR("tag"), &path, NULL), QV_OK);
    struct qv__mutation muts[4] = {
        {.kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1},
        {.kind = QV__MUT_UPSERT, .points = &pt, .n_points = 1},
        {.kind = QV__MUT_SET_PAYLOAD,
         .ids = &id,
         .n_ids = 1,
         .payload = fix_payload(&m->f, a, "{\"n\":7}")},
        {.kind = QV__MUT_DELETE_PAYLOAD, .ids = &id, .n_ids = 1, .paths = &path, .n_paths = 1}};
    fix_write(&m->f, m->c, muts, 4);
}

static void op_vectors(struct model *m)
{
    unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
    struct model_point *p = &m->p[k];
    if (!p->exists) {
        return;
    }
    struct qv__id id = model_id(k);
    if (qv__rng_below(&m->rng, 2)) {
        random_vector(m, p->b, DIM_B);
        p->has_b = true;
        struct qv__named_vector v = {.name = QV__STR("b"), .values = p->b, .dim = DIM_B};
        struct qv__point pt = {.id = id, .vectors = &v, .n_vectors = 1};
        fix_write(
            &m->f, m->c,
            &(struct qv__mutation){.kind = QV__MUT_UPDATE_VECTORS, .points = &pt, .n_points = 1},
            1);
    } else {
        struct qv__str name = QV__STR("a");
        p->has_a = false;
        fix_write(&m->f, m->c,
                  &(struct qv__mutation){.kind = QV__MUT_DELETE_VECTORS,
                                         .ids = &id,
                                         .n_ids = 1,
                                         .vector_names = &name,
                                         .n_vector_names = 1},
                  1);
    }
}

/* Steps that depend on what is there, and a new expiry now and then. */
static void op_modify(struct model *m)
{
    unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
    struct model_point *p = &m->p[k];
    struct qv__id id = model_id(k);
    uint64_t value = qv__rng_below(&m->rng, 5);
    uint8_t bytes[9] = {QV__TAG_I64, (uint8_t)value};
    struct qv__payload_op op = {.value = {bytes, sizeof bytes}};
    unsigned kind = (unsigned)qv__rng_below(&m->rng, 3), kept = 0;
    op.kind = kind == 0 ? QV__OP_INCREMENT : kind == 1 ? QV__OP_APPEND : QV__OP_REMOVE;
    op.text = kind == 0 ? QV__STR("count") : QV__STR("list");
    assert_int_equal(qv__path_parse(op.text, &op.path, NULL), QV_OK);
    struct qv__mutation mut = {
        .kind = QV__MUT_MODIFY_PAYLOAD, .ids = &id, .n_ids = 1, .ops = &op, .n_ops = 1};
    struct qv__write_result r;
    if (!p->exists) {
        assert_int_equal(qv__collection_write_sync(m->c, &mut, 1, &r, NULL), QV_ENOTFOUND);
        return;
    }
    if (kind == 1 && p->n_list == QV_ARRAY_LEN(p->list)) {
        return;
    }
    if (qv__rng_below(&m->rng, 4) == 0) {
        p->expires_ms = mut.expires_ms = atomic_load(&now_ms) + 1 + (int64_t)value * 20;
    }
    fix_write(&m->f, m->c, &mut, 1);
    p->count += kind == 0 ? (int64_t)value : 0;
    for (unsigned i = 0; kind == 2 && i < p->n_list; i++) {
        p->list[kept] = p->list[i];
        kept += p->list[i] != value;
    }
    p->n_list = kind == 2 ? kept : p->n_list;
    if (kind == 1) {
        p->list[p->n_list++] = (unsigned)value;
    }
}

/* An upsert with a condition on the version, or that skips what is, or is not, there. */
static void op_conditional(struct model *m, struct qv__arena *a)
{
    struct fix *f = &m->f;
    unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
    struct model_point *p = &m->p[k], fresh = {.exists = true, .tag = 3, .expires_ms = INT64_MAX};
    struct qv__id id = model_id(k);
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__result_set rs;
    struct qv__write_result r;
    fresh.n = (int)qv__rng_below(&m->rng, 100);
    OK(qv__collection_get(m->c, &id, 1, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, p->exists);
    uint64_t version = rs.n ? rs.points[0].version : 0;
    qv__result_free(&rs);
    struct qv__point pt = {.id = id, .payload = payload_of(m, a, &fresh), .expires_ms = INT64_MAX};
    struct qv__mutation mut = {.kind = QV__MUT_UPSERT, .points = &pt, .n_points = 1};
    unsigned kind = (unsigned)qv__rng_below(&m->rng, 4);
    if (kind < 2) {
        pt.expected = (struct qv__expected){.given = true, .version = version + kind};
        assert_int_equal(qv__collection_write_sync(m->c, &mut, 1, &r, NULL),
                         kind ? QV_ECONFLICT : QV_OK);
    } else {
        mut.mode = kind == 2 ? QV__UPDATE_INSERT_ONLY : QV__UPDATE_UPDATE_ONLY;
        fix_write(f, m->c, &mut, 1);
    }
    if (kind == 0 || (kind == 2 && !p->exists) || (kind == 3 && p->exists)) {
        *p = fresh;
    }
}

/* The column x comes or goes, or comes back with another size; or the graphs of b are to be
 * others. */
static void op_alter(struct model *m)
{
    struct fix *f = &m->f;
    struct qv__vector_def def = {.name = QV__STR("x"), .metric = QV__L2};
    struct qv__str x = QV__STR("x");
    struct qv__alter a = {0};
    if (qv__rng_below(&m->rng, 2)) {
        def = (struct qv__vector_def){.name = QV__STR("b")};
        def.index.m = 8 + (uint32_t)qv__rng_below(&m->rng, 4);
        def.index.codes = (uint32_t)qv__rng_below(&m->rng, 3);
        def.index.on_disk = qv__rng_below(&m->rng, 2);
        def.no_graph = qv__rng_below(&m->rng, 5) == 0;
        a.set = &def;
        a.n_set = 1;
    } else if (m->dim_x) {
        a.drop = &x;
        m->dim_x = 0;
    } else {
        m->dim_x = def.dim = 1 + (uint32_t)qv__rng_below(&m->rng, DIM_X);
        a.add = &def;
    }
    OK(qv__db_alter(f->db, QV__STR("m"), &a, NULL, &f->err));
    for (unsigned k = 0; k < IDS; k++) {
        m->p[k].has_x &= m->dim_x != 0;
    }
}

/* --- comparison --- */

static void unit(const float *v, unsigned n, float *out)
{
    double s = 0;
    for (unsigned i = 0; i < n; i++) {
        s += (double)v[i] * v[i];
    }
    for (unsigned i = 0; i < n; i++) {
        out[i] = (float)(v[i] / sqrt(s));
    }
}

static void check_points(struct model *m)
{
    struct fix *f = &m->f;
    struct qv__result_set rs;
    struct qv__id ids[IDS];
    struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}, .vectors = QV__VECTORS_ALL};
    struct qv__qctx ctx = fix_ctx(f);
    size_t expected = 0;
    for (unsigned k = 0; k < IDS; k++) {
        ids[k] = model_id(k);
        expected += m->p[k].exists;
    }
    OK(qv__collection_get(m->c, ids, IDS, &fetch, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, expected);
    size_t at = 0;
    for (unsigned k = 0; k < IDS; k++) {
        const struct model_point *p = &m->p[k];
        if (!p->exists) {
            continue;
        }
        const struct qv__result_point *r = &rs.points[at++];
        assert_true(qv__id_eq(&r->id, &ids[k]));
        struct qv__buf json;
        struct qv__jw w;
        char want[160];
        qv__buf_init(&json, m->f.mem);
        qv__jw_init(&w, &json);
        qv__payload_to_json(&w, r->payload);
        qv__buf_putc(&json, 0);
        payload_text(p, want);
        assert_string_equal((char *)json.p, want);
        qv__buf_free(&json);
        assert_true(r->expires_ms == p->expires_ms);
        assert_int_equal(r->vectors[0] != NULL, p->has_a);
        assert_int_equal(r->vectors[1] != NULL, p->has_b);
        if (p->has_a) {
            float u[DIM_A];
            unit(p->a, DIM_A, u);
            for (unsigned i = 0; i < DIM_A; i++) {
                assert_true(fabsf(u[i] - r->vectors[0][i]) < 1e-5f);
            }
        }
        if (p->has_b) {
            assert_memory_equal(p->b, r->vectors[1], sizeof p->b);
        }
        assert_int_equal(rs.schema->n_vectors, m->dim_x ? 3 : 2);
        assert_int_equal(m->dim_x && r->vectors[2], p->has_x);
        if (p->has_x) {
            assert_memory_equal(p->x, r->vectors[2], m->dim_x * sizeof *p->x);
        }
    }
    qv__result_free(&rs);
}

static void check_scroll(struct model *m, struct qv__arena *a)
{
    struct fix *f = &m->f;
    struct qv__qctx ctx = fix_ctx(f);
    const struct qv__filter *filter =
        fix_filter(f, a, "{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":50}}]}");
    for (int filtered = 0; filtered < 2; filtered++) {
        size_t expected = 0, got = 0;
        for (unsigned k = 0; k < IDS; k++) {
            expected += m->p[k].exists && (!filtered || m->p[k].n < 50);
        }
        struct qv__id from = {0}, last = {0};
        bool more = true, first = true;
        char text[300];
        while (more) {
            struct qv__result_set rs;
            OK(qv__collection_scroll(m->c, first ? NULL : &from, 1 + qv__rng_below(&m->rng, 9),
                                     filtered ? filter : NULL, NULL, &ctx, &rs, &f->err));
            for (size_t i = 0; i < rs.n; i++) {
                if (got + i > 0 && i > 0) {
                    assert_true(qv__id_cmp(&rs.points[i - 1].id, &rs.points[i].id) < 0);
                }
            }
            got += rs.n;
            more = rs.has_next;
            first = false;
            if (more) {
                from = rs.next_offset;
                OK(qv__id_own(a, &from));
                if (rs.n) {
                    last = rs.points[rs.n - 1].id;
                    if (qv__id_cmp(&last, &from) >= 0) {
                        fail_msg("scroll order: %s", qv__id_text(&from, text, sizeof text));
                    }
                }
            }
            qv__result_free(&rs);
        }
        assert_int_equal(got, expected);
        uint64_t n = 0;
        OK(qv__collection_count(m->c, filtered ? filter : NULL, &ctx, &n, &f->err));
        assert_int_equal(n, expected);
    }
}

static int by_score(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void check_search(struct model *m, struct qv__arena *a, bool exact)
{
    struct fix *f = &m->f;
    struct qv__qctx ctx = fix_ctx(f);
    float q[DIM_B];
    double want[IDS];
    size_t n = 0;
    bool filtered = qv__rng_below(&m->rng, 2);
    random_vector(m, q, DIM_B);
    for (unsigned k = 0; k < IDS; k++) {
        const struct model_point *p = &m->p[k];
        if (!p->exists || !p->has_b || (filtered && p->tag != 2)) {
            continue;
        }
        double s = 0;
        for (unsigned i = 0; i < DIM_B; i++) {
            s += ((double)q[i] - p->b[i]) * ((double)q[i] - p->b[i]);
        }
        want[n++] = sqrt(s);
    }
    qsort(want, n, sizeof *want, by_score);
    struct qv__query query = {.kind = QV__QUERY_NEAREST,
                              .using_vector = QV__STR("b"),
                              .target = {.values = q, .dim = DIM_B},
                              .limit = 10,
                              .params = {.exact = exact, .ef = 128}};
    if (filtered) {
        query.filter =
            fix_filter(f, a, "{\"must\":[{\"key\":\"tag\",\"match\":{\"value\":\"t2\"}}]}");
    }
    struct qv__result_set rs;
    OK(qv__collection_query(m->c, &query, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, QV_MIN(n, (size_t)10));
    for (size_t i = 0; i < rs.n; i++) {
        /* With ef of 128 over so few points the walk is exact too. */
        assert_true(fabs(rs.points[i].score - want[i]) < 1e-4);
    }
    qv__result_free(&rs);
}

static void check_all(struct model *m)
{
    struct qv__arena a;
    qv__arena_init(&a, m->f.mem);
    check_points(m);
    check_scroll(m, &a);
    check_search(m, &a, true);
    check_search(m, &a, false);
    qv__arena_free(&a);
}

/* --- runs
 * -----------------------------------------------------------------------------------------------------
 */

/* With tenants, files have rows in another order than they came, and a search by tag reads runs. */
static void create(struct model *m, uint32_t shards, uint32_t seal_rows, bool has_tenants)
{
    struct fix *f = &m->f;
    struct qv__vector_def defs[2] = {{.name = QV__STR("a"), .metric = QV__COSINE, .dim = DIM_A},
                                     {.name = QV__STR("b"), .metric = QV__L2, .dim = DIM_B}};
    struct qv__schema s = fix_schema(defs, 2, shards);
    s.policy = (struct qv__segment_policy){
        .seal_rows = seal_rows, .index_rows = seal_rows * 3 / 8, .merge_fanin = 2};
    struct qv__payload_index_def tenant = {QV__STR("tag"), QV__STR("keyword"),
                                           QV__STR("{\"type\":\"keyword\",\"is_tenant\":true}")};
    s.indexes = &tenant;
    s.n_indexes = has_tenants;
    OK(qv__db_create_collection(f->db, QV__STR("m"), &s, &f->err));
    m->c = fix_collection(f, "m");
}

static void restart(struct model *m, int how)
{
    qv__collection_release(m->c);
    if (how == 0) {
        fix_reopen(&m->f);
    } else {
        /* Every write so far was acknowledged: nothing of it may be missing, whatever is dropped.
         */
        fix_crash(&m->f,
                  how == 1   ? QV__CRASH_KEEP_ALL
                  : how == 2 ? QV__CRASH_DROP_ALL
                             : QV__CRASH_RANDOM,
                  &m->rng);
    }
    m->c = fix_collection(&m->f, "m");
}

struct plan {
    uint64_t seed;
    uint32_t shards;
    int threads;
    unsigned steps, seal_rows, check_every, restart_every;
    const char *skipped; /* per operation '0' or '1'; NULL = none */
};

static void operate(struct model *m)
{
    struct qv__arena a;
    qv__arena_init(&a, m->f.mem);
    tick(m);
    switch (qv__rng_below(&m->rng, 17)) {
    case 0:
        op_delete(m);
        break;
    case 1:
        if (qv__rng_below(&m->rng, 4) == 0) {
            op_delete_where(m, &a);
        }
        break;
    case 2:
        op_payload(m, &a);
        break;
    case 3:
        op_batch(m, &a);
        break;
    case 4:
    case 5:
        op_vectors(m);
        break;
    case 6:
    case 7:
    case 8:
        op_modify(m);
        break;
    case 9:
    case 10:
        op_conditional(m, &a);
        break;
    case 11:
        if (qv__rng_below(&m->rng, 8) == 0) {
            op_alter(m);
        }
        break;
    default:
        op_upsert(m, &a);
    }
    qv__arena_free(&a);
}

static void open_database(struct model *m, const struct plan *p, const struct qv__clock *clock)
{
    struct fix *f = &m->f;
    memset(f, 0, sizeof *f);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){
        .io = f->io, .threads = p->threads, .seed = 7, .log_file_bytes = 1 << 20, .clock = clock};
    OK(qv__db_open(&f->options, &f->db, &f->err));
}

static void run(const struct plan *p)
{
    struct model *m = test_calloc(1, sizeof *m);
    struct qv__clock clock = {
        .mono_ns = mono, .wall_ms = wall, .ctx = (void *)(uintptr_t)qv__clock_system()};
    atomic_store(&now_ms, INT64_C(1700000000000));
    m->batch_max = p->seal_rows > 64 ? 3 : 12;
    open_database(m, p, &clock);
    create(m, p->shards, p->seal_rows, p->seed % 3 == 2);
    for (unsigned i = 0; i < p->steps; i++) {
        qv__rng_seed(&m->rng, p->seed * 1000003 + i);
        if (!p->skipped || p->skipped[i] != '1') {
            operate(m);
        }
        if (i % p->check_every == p->check_every - 1) {
            check_all(m);
        }
        if (i % p->restart_every == p->restart_every - 1) {
            restart(m, (int)qv__rng_below(&m->rng, 4));
            check_all(m);
        }
    }
    struct fix *f = &m->f;
    OK(qv__collection_optimize(m->c, 1, &f->err));
    check_all(m);
    struct qv__collection_info info;
    OK(qv__collection_info(m->c, &info, &f->err));
    assert_in_range(info.n_sealed, 0, p->shards);
    qv__collection_release(m->c);
    fix_close(f);
    test_free(m);
}

/* --- each run in a process of its own, shrunk when it fails --- */

static void set_number(const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    setenv(name, text, 1);
}

/* True if it passes. */
static bool attempt(const struct plan *p, bool quiet)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        set_number("MODEL_SEED", p->seed);
        set_number("MODEL_SHARDS", p->shards);
        set_number("MODEL_THREADS", (uint64_t)(p->threads + 1));
        set_number("MODEL_STEPS", p->steps);
        set_number("MODEL_SEAL_ROWS", p->seal_rows);
        set_number("MODEL_CHECK", p->check_every);
        set_number("MODEL_RESTART", p->restart_every);
        if (p->skipped) {
            FILE *file = fopen(getenv("MODEL_SKIP_FILE"), "w");
            if (!file || fputs(p->skipped, file) < 0 || fclose(file) != 0) {
                _exit(2);
            }
        } else {
            unsetenv("MODEL_SKIP_FILE");
        }
        if (quiet && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))) {
            _exit(2);
        }
        execl("/proc/self/exe", "test_model", "--replay", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Leave out ever smaller pieces while it still fails. MODEL_TRIES=N: at most so many times (150); a
 * planted bug need not be made small. */
static void shrink(struct plan p)
{
    const char *limit = getenv("MODEL_TRIES");
    unsigned most = limit ? (unsigned)strtoul(limit, NULL, 10) : 150, tries = 0;
    char *skip = test_malloc((size_t)p.steps + 1), path[] = "/tmp/test_model_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    setenv("MODEL_SKIP_FILE", path, 1);
    memset(skip, '0', p.steps);
    skip[p.steps] = 0;
    p.skipped = skip;
    p.check_every = most ? QV_MIN(p.check_every, 10u) : p.check_every;
    for (unsigned piece = p.steps / 2; piece >= 1 && tries < most; piece /= 2) {
        for (unsigned at = 0; at < p.steps && tries < most; at += piece) {
            char *before = test_malloc(piece);
            unsigned n = QV_MIN(piece, p.steps - at);
            memcpy(before, skip + at, n);
            memset(skip + at, '1', n);
            if (memchr(before, '0', n)) {
                tries++;
                if (attempt(&p, true)) {
                    memcpy(skip + at, before, n);
                }
            }
            test_free(before);
        }
    }
    print_message("model: fails with: MODEL_SEED=%llu MODEL_SHARDS=%u MODEL_THREADS=%d "
                  "MODEL_STEPS=%u MODEL_SEAL_ROWS=%u MODEL_CHECK=%u MODEL_RESTART=%u "
                  "MODEL_SKIP_FILE=%s test_model --replay\n",
                  (unsigned long long)p.seed, p.shards, p.threads + 1, p.steps, p.seal_rows,
                  p.check_every, p.restart_every, path);
    if (most) {
        (void)attempt(&p, false);
    }
    test_free(skip);
}

static void explore(struct plan p)
{
    print_message("model: seed %llu, %u shards, threads %d, %u steps\n", (unsigned long long)p.seed,
                  p.shards, p.threads, p.steps);
    if (!attempt(&p, false)) {
        shrink(p);
        fail();
    }
}

/* MODEL_LONG=N makes every run N times as long: the long mode. */
static unsigned steps_of(unsigned steps)
{
    const char *more = getenv("MODEL_LONG");
    return more ? steps * (unsigned)strtoul(more, NULL, 10) : steps;
}

/* Tiny segments, looked at all the time. */
static void test_close_up(void **state)
{
    (void)state;
    static const struct plan plans[] = {{.seed = 1, .shards = 1, .threads = 2, .steps = 400},
                                        {.seed = 2, .shards = 3, .threads = 2, .steps = 400},
                                        {.seed = 3, .shards = 1, .threads = -1, .steps = 300},
                                        {.seed = 4, .shards = 3, .threads = -1, .steps = 300}};
    for (size_t i = 0; i < QV_ARRAY_LEN(plans); i++) {
        struct plan p = plans[i];
        p.steps = steps_of(p.steps);
        p.seal_rows = 64;
        p.check_every = 20;
        p.restart_every = 50;
        explore(p);
    }
}

/* Long histories. */
static void test_far(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 15; seed++) {
        struct plan p = {.seed = seed,
                         .shards = seed % 2 ? 1 : 3,
                         .threads = -1,
                         .steps = steps_of(20000),
                         .seal_rows = 1024,
                         .check_every = 2000,
                         .restart_every = 4000};
        explore(p);
    }
}

static uint64_t number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 1;
}

static void test_replay(void **state)
{
    (void)state;
    struct plan p = {.seed = number("MODEL_SEED"),
                     .shards = (uint32_t)number("MODEL_SHARDS"),
                     .threads = (int)number("MODEL_THREADS") - 1,
                     .steps = (unsigned)number("MODEL_STEPS"),
                     .seal_rows = (unsigned)number("MODEL_SEAL_ROWS"),
                     .check_every = (unsigned)number("MODEL_CHECK"),
                     .restart_every = (unsigned)number("MODEL_RESTART")};
    char *skip = test_calloc((size_t)p.steps + 2, 1);
    if (getenv("MODEL_SKIP_FILE")) {
        FILE *file = fopen(getenv("MODEL_SKIP_FILE"), "r");
        assert_non_null(file);
        assert_non_null(fgets(skip, (int)p.steps + 1, file));
        fclose(file);
        p.skipped = skip;
    }
    run(&p);
    test_free(skip);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest replay[] = {cmocka_unit_test(test_replay)};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_close_up), cmocka_unit_test(test_far)};
    if (argc > 1 && strcmp(argv[1], "--replay") == 0) {
        return cmocka_run_group_tests(replay, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

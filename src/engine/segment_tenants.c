/* segment_tenants.c: rows of one tenant side by side in a sealed file, and where each tenant's are.
 *
 * Tenants are in the order of the hashes of their strings, so that a look-up is a binary search in
 * eight bytes a tenant; where two hash alike, the strings decide, read off the first row of each
 * run. Rows of a tenant stay in the order they had, which is nearly that of their ids' writing. */
#include "engine/segment_impl.h"

#include <stdlib.h>

enum { HEAD_BYTES = 32, VERSION = 1, BLOCK = 32 };

/* Where a row goes. */
enum place { SINGLE, SEVERAL, NONE };

struct tenant {
    enum place place;
    struct qv__str name; /* of a SINGLE one; borrowed from the row's payload */
};

static void meet(void *ctx, const struct qv__match_value *v, uint32_t count)
{
    struct tenant *t = ctx;
    (void)count;
    if (v->kind == QV__MATCH_STR) {
        t->place = t->place == NONE ? SINGLE : SEVERAL;
        t->name = v->s;
    }
}

static struct tenant tenant_of(struct qv__bytes payload, const struct qv__path *path)
{
    struct tenant t = {.place = NONE};
    qv__row_facets(payload, path, meet, &t);
    return t;
}

const struct qv__index_spec *qv__tenants_of(const struct qv__schema *schema, struct qv__str *key)
{
    for (uint32_t i = 0; i < schema->n_indexes; i++) {
        if (schema->specs[i].is_tenant && schema->specs[i].is_built) {
            *key = schema->indexes[i].key;
            return &schema->specs[i];
        }
    }
    return NULL;
}

/* --- the order --- */

struct placed {
    struct tenant tenant;
    uint64_t hash;
    uint32_t at; /* before */
    struct qv__row_ref row;
};

static int by_tenant(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->tenant.place != y->tenant.place) {
        return x->tenant.place < y->tenant.place ? -1 : 1;
    }
    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    int c = x->tenant.place == SINGLE ? qv__str_cmp(x->tenant.name, y->tenant.name) : 0;
    return c ? c : (x->at > y->at) - (x->at < y->at);
}

qv_status qv__tenants_order(struct qv__mem *mem, const struct qv__index_spec *spec,
                            struct qv__segment *const *sources, struct qv__row_ref *rows,
                            uint32_t n_rows, bool *moved, struct qv_err *err)
{
    struct placed *list = qv__calloc(mem, (size_t)n_rows + 1, sizeof *list);
    *moved = false;
    if (!list) {
        return qv__fail(err, QV_ENOMEM, "no memory to order %" PRIu32 " rows by tenant", n_rows);
    }
    for (uint32_t i = 0; i < n_rows; i++) {
        struct tenant t =
            tenant_of(qv__segment_row_payload(sources[rows[i].source], rows[i].row), &spec->path);
        list[i] =
            (struct placed){.tenant = t,
                            .hash = t.place == SINGLE ? qv__hash_stored(t.name.p, t.name.n) : 0,
                            .at = i,
                            .row = rows[i]};
    }
    qsort(list, n_rows, sizeof *list, by_tenant);
    for (uint32_t i = 0; i < n_rows; i++) {
        rows[i] = list[i].row;
        *moved |= list[i].at != i;
    }
    qv__free(list);
    return QV_OK;
}

/* --- the section --- */

qv_status qv__tenants_write(const struct qv__segment_build *b, const struct qv__schema *schema,
                            struct qv__segw *w, struct qv_err *err)
{
    struct qv__str key;
    const struct qv__index_spec *spec = qv__tenants_of(schema, &key);
    struct qv__buf head, hashes, firsts;
    struct tenant last = {.place = NONE};
    uint32_t n[3] = {0}, n_runs = 0;
    if (!spec) {
        return QV_OK;
    }
    qv__buf_init(&head, b->env->mem);
    qv__buf_init(&hashes, b->env->mem);
    qv__buf_init(&firsts, b->env->mem);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const struct qv__row_ref *r = &b->rows[i];
        struct tenant t =
            tenant_of(qv__segment_row_payload(b->sources[r->source], r->row), &spec->path);
        n[t.place]++;
        if (t.place == SINGLE && (i == 0 || !qv__str_eq(t.name, last.name))) {
            qv__buf_u64(&hashes, qv__hash_stored(t.name.p, t.name.n));
            qv__buf_u32(&firsts, i);
            n_runs++;
        }
        last = t;
    }
    qv__buf_u32(&firsts, n[SINGLE]);
    qv__buf_u32(&head, VERSION);
    qv__buf_u32(&head, (uint32_t)key.n);
    qv__buf_u32(&head, n_runs);
    qv__buf_u32(&head, n[SINGLE]);
    qv__buf_u32(&head, n[SINGLE] + n[SEVERAL]);
    qv__buf_pad(&head, HEAD_BYTES);
    qv_status st = qv__buf_status(&head, err);
    QV_GOTO(st);
    QV_GOTO(qv__buf_status(&hashes, err));
    QV_GOTO(qv__buf_status(&firsts, err));
    QV_GOTO(qv__segw_begin(w, QV__SEC_TENANTS, 0, err));
    QV_GOTO(qv__segw_write(w, head.p, head.n, err));
    QV_GOTO(qv__segw_write(w, hashes.p, hashes.n, err));
    QV_GOTO(qv__segw_write(w, firsts.p, firsts.n, err));
    QV_GOTO(qv__segw_write(w, key.p, key.n, err));
    QV_GOTO(qv__segw_end(w, err));
out:
    qv__buf_free(&head);
    qv__buf_free(&hashes);
    qv__buf_free(&firsts);
    return st;
}

static bool runs_valid(const struct qv__tenants *t)
{
    if (t->firsts[t->n_runs] != t->n_single || (t->n_runs ? t->firsts[0] != 0 : t->n_single != 0)) {
        return false;
    }
    for (uint32_t i = 0; i < t->n_runs; i++) {
        if (t->firsts[i] >= t->firsts[i + 1] || (i && t->hashes[i - 1] > t->hashes[i])) {
            return false;
        }
    }
    return true;
}

qv_status qv__tenants_open(struct qv__bytes section, uint32_t n_rows, struct qv__tenants *out,
                           struct qv_err *err)
{
    memset(out, 0, sizeof *out);
    if (section.n == 0) {
        return QV_OK;
    }
    uint32_t version = section.n < HEAD_BYTES ? VERSION : qv__load_u32(section.p);
    if (version != VERSION) {
        return qv__fail(err, QV_EVERSION,
                        "tenants: version %" PRIu32 " is not known to this version", version);
    }
    if (section.n >= HEAD_BYTES) {
        uint32_t key_n = qv__load_u32(section.p + 4), n_runs = qv__load_u32(section.p + 8);
        const uint8_t *at = section.p + HEAD_BYTES;
        struct qv__tenants t = {.is_there = true,
                                .n_runs = n_runs,
                                .n_single = qv__load_u32(section.p + 12),
                                .n_loose = qv__load_u32(section.p + 16),
                                .hashes = (const uint64_t *)(const void *)at};
        if (t.n_single <= t.n_loose && t.n_loose <= n_rows && n_runs <= t.n_single &&
            section.n == HEAD_BYTES + (uint64_t)n_runs * 12 + 4 + key_n) {
            t.firsts = (const uint32_t *)(const void *)(at + (size_t)n_runs * 8);
            t.key = (struct qv__str){(const char *)(t.firsts + n_runs + 1), key_n};
            if (qv__path_parse(t.key, &t.path, NULL) == QV_OK && runs_valid(&t)) {
                *out = t;
                return QV_OK;
            }
        }
    }
    return qv__fail(err, QV_ECORRUPT, "tenants: the section is malformed");
}

bool qv__tenants_differ(const struct qv__segment *s, const struct qv__schema *schema,
                        struct qv__str *key)
{
    return s->sealed && qv__tenants_of(schema, key) &&
           !(s->tenants.is_there && qv__str_eq(s->tenants.key, *key));
}

/* --- look-up --- */

/* The rows of one tenant. */
static struct qv__row_span run_of(const struct qv__segment *s, struct qv__str name)
{
    const struct qv__tenants *t = &s->tenants;
    uint64_t hash = qv__hash_stored(name.p, name.n);
    uint32_t lo = 0, hi = t->n_runs;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->hashes[mid] < hash) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; lo < t->n_runs && t->hashes[lo] == hash; lo++) {
        uint32_t first = t->firsts[lo], end = t->firsts[lo + 1];
        /* Checked at open; when the file failed since, either may be 0 by now. */
        if (first >= end || end > t->n_single) {
            break;
        }
        struct tenant is = tenant_of(qv__segment_row_payload(s, first), &t->path);
        if (is.place == SINGLE && qv__str_eq(is.name, name)) {
            return (struct qv__row_span){first, end - first};
        }
    }
    return (struct qv__row_span){0, 0};
}

static const struct qv__cond *tenant_cond(const struct qv__tenants *t, const struct qv__filter *f)
{
    for (size_t i = 0; i < f->must.n; i++) {
        const struct qv__cond *c = &f->must.conds[i];
        if (c->kind == QV__COND_MATCH_ANY && c->match.n <= QV__TENANT_VALUES_MAX &&
            c->match.n > 0 && c->match.values[0].kind == QV__MATCH_STR &&
            c->match.values[c->match.n - 1].kind == QV__MATCH_STR && /* sorted by kind */
            qv__path_eq(&c->path, &t->path)) {
            return c;
        }
    }
    return NULL;
}

bool qv__segment_tenant_rows(const struct qv__segment *s, const struct qv__filter *f,
                             struct qv__tenant_rows *out)
{
    const struct qv__tenants *t = &s->tenants;
    const struct qv__cond *c = t->is_there && f ? tenant_cond(t, f) : NULL;
    if (!c) {
        return false;
    }
    *out = (struct qv__tenant_rows){.is_all = t->n_loose == t->n_single && f->must.n == 1 &&
                                              f->should.n == 0 && f->must_not.n == 0 &&
                                              !f->has_min_should};
    for (size_t i = 0; i < c->match.n; i++) {
        bool is_new = i == 0 || !qv__str_eq(c->match.values[i - 1].s, c->match.values[i].s);
        struct qv__row_span run = {0, 0};
        run = is_new ? run_of(s, c->match.values[i].s) : run;
        if (run.n) {
            out->spans[out->n_spans++] = run;
            out->n_rows += run.n;
        }
    }
    if (t->n_loose > t->n_single) {
        out->spans[out->n_spans++] = (struct qv__row_span){t->n_single, t->n_loose - t->n_single};
        out->n_rows += t->n_loose - t->n_single;
    }
    return true;
}

/* --- search --- */

struct block {
    const void *vectors[BLOCK];
    uint32_t rows[BLOCK];
    uint32_t n;
};

static void compare(const struct qv__segment *s, const struct qv__segment_search *q,
                    const struct qv__vector_def *def, uint64_t key, struct block *b,
                    struct qv__qctx *ctx, struct qv__topk *top)
{
    float dists[BLOCK];
    qv__vector_distances(s->env.simd, def, q->vector, b->vectors, b->n, dists);
    for (uint32_t i = 0; i < b->n; i++) {
        qv__topk_push(top, dists[i], key + b->rows[i]);
    }
    ctx->stats.distances += b->n;
    b->n = 0;
}

qv_status qv__segment_search_tenant(const struct qv__segment *s, const struct qv__segment_search *q,
                                    const struct qv__filter *f, const struct qv__tenant_rows *rows,
                                    uint64_t key, struct qv__qctx *ctx, struct qv__topk *top,
                                    struct qv_err *err)
{
    uint32_t column = qv__segment_column(s, q->schema, q->column);
    const struct qv__vector_def *def = column == QV__NO_ROW ? NULL : s->columns[column].def;
    struct block b = {.n = 0};
    struct qv__steps steps = {.q = ctx};
    uint64_t matched = 0, before = ctx->stats.distances;
    for (uint32_t i = 0; def && i < rows->n_spans; i++) {
        uint32_t first = rows->spans[i].first, end = QV_MIN(first + rows->spans[i].n, q->n_rows);
        for (uint32_t row = first; row < end; row++) {
            if ((row - first) % 128 == 0) {
                qv_status st = qv__qctx_check(ctx);
                if (st != QV_OK) {
                    return qv__fail(err, st, "search: %s", qv_status_text(st));
                }
            }
            if (q->allow && !qv__bit_test_atomic(q->allow, row)) {
                continue;
            }
            ctx->stats.rows_filtered += f != NULL;
            if (f && !qv__segment_row_match(s, q->schema, row, f, &steps)) {
                if (steps.status != QV_OK) {
                    return qv__fail(err, steps.status, "search: %s", qv_status_text(steps.status));
                }
                continue;
            }
            matched++;
            uint32_t ord = qv__segment_ord(s, column, row);
            if (ord != QV__NO_ROW) {
                b.rows[b.n] = row;
                b.vectors[b.n++] = qv__column_vector(&s->columns[column], ord);
            }
            if (b.n == BLOCK) {
                compare(s, q, def, key, &b, ctx, top);
            }
        }
    }
    if (b.n) {
        compare(s, q, def, key, &b, ctx, top);
    }
    ctx->stats.rows_matched += matched;
    qv__qctx_tell(ctx, "filter", f ? "rows of tenants, row by row" : "rows of tenants",
                  (double)rows->n_rows, (double)matched);
    qv__qctx_tell(ctx, "scan", "rows of tenants", (double)rows->n_rows,
                  (double)(ctx->stats.distances - before));
    return QV_OK;
}

/* query_group.c: the best groups of a query.
 *
 * A query over the whole collection by an index is asked in rounds: first for as many points as
 * would fill all groups; then, while there are too few groups, for points of groups that are not
 * full, and at last for points of the unfilled ones among the best. Later rounds leave out what was
 * seen, so each one makes progress, and they ask for twice as many. Other queries have looked at
 * all there is by the end of the first round, which is their only one. */
#include "engine/query_group.h"
#include "engine/query_exec.h"

struct group {
    struct qv__value value;
    struct qv__ranked *hits; /* [by->size] */
    size_t n;
};

struct grouping {
    struct qv__run *r;
    const struct qv__query *q;
    const struct qv__group_by *by;
    struct group *groups; /* in the order first met */
    size_t n, cap;
    struct qv__map map; /* value -> index of groups */
    struct qv__id *seen;
    size_t n_seen;
};

static qv_status no_memory(struct qv_err *err)
{
    return qv__fail(err, QV_ENOMEM, "no memory for groups");
}

/* --- values
 * -------------------------------------------------------------------------------------------- */

static uint64_t value_hash(const struct qv__value *v)
{
    return v->tag == QV__TAG_STR ? qv__hash_bytes(v->s.p, v->s.n) : qv__hash_u64(v->u);
}

static bool same_value(uint64_t at, const void *key, void *ctx)
{
    const struct qv__value *a = &((const struct group *)ctx)[at].value, *b = key;
    return a->tag == b->tag && (a->tag == QV__TAG_STR ? qv__str_eq(a->s, b->s) : a->u == b->u);
}

enum { VALUES_MAX = 1024 }; /* groups that one point can belong to */

struct values {
    struct qv__value list[VALUES_MAX];
    size_t n;
    bool bad; /* one is of no type that names a group */
};

static bool add_one(struct values *out, const struct qv__value *v)
{
    bool ok = v->tag == QV__TAG_STR || v->tag == QV__TAG_I64 || v->tag == QV__TAG_U64;
    out->bad = out->bad || !ok;
    if (ok && out->n < VALUES_MAX) {
        out->list[out->n++] = *v;
    }
    return ok;
}

static bool add_value(void *ctx, const struct qv__value *v)
{
    struct values *out = ctx;
    struct qv__value_iter it;
    struct qv__value e;
    if (v->tag != QV__TAG_ARR) {
        return add_one(out, v);
    }
    qv__value_iter_init(&it, v);
    while (!out->bad && qv__value_iter_next(&it, NULL, &e)) {
        (void)add_one(out, &e);
    }
    return !out->bad;
}

/* --- collecting
 * ---------------------------------------------------------------------------------------- */

static qv_status group_of(struct grouping *g, const struct qv__value *v, struct group **out,
                          struct qv_err *err)
{
    struct qv__arena *a = &g->r->rs->arena;
    uint64_t hash = value_hash(v);
    uint64_t *at = qv__map_find(&g->map, hash, same_value, v, g->groups);
    if (at) {
        *out = &g->groups[*at];
        return QV_OK;
    }
    if (g->n == g->cap) {
        struct group *more = qv__arena_calloc(a, g->cap * 2 + 64, sizeof *more);
        if (!more) {
            return no_memory(err);
        }
        if (g->n) {
            memcpy(more, g->groups, g->n * sizeof *more);
        }
        g->groups = more;
        g->cap = g->cap * 2 + 64;
    }
    struct group *x = &g->groups[g->n];
    *x = (struct group){.value = *v};
    x->hits = qv__arena_calloc(a, (size_t)g->by->size, sizeof *x->hits);
    if (v->tag == QV__TAG_STR) { /* of a mapped file, perhaps */
        x->value.s.p = qv__arena_strndup(a, v->s.p, v->s.n);
    }
    if (!x->hits || (v->tag == QV__TAG_STR && !x->value.s.p) ||
        qv__map_add(&g->map, hash, g->n) != QV_OK) {
        return no_memory(err);
    }
    g->n++;
    *out = x;
    return QV_OK;
}

static qv_status add_point(struct grouping *g, const struct qv__ranked *p, struct values *v,
                           struct qv_err *err)
{
    const struct qv__segment *seg = g->r->segments[QV__KEY_SEGMENT(p->key)];
    v->n = 0;
    v->bad = false;
    (void)qv__path_each(qv__segment_row_payload(seg, QV__KEY_ROW(p->key)), &g->by->path, add_value,
                        v);
    for (size_t i = 0; !v->bad && i < v->n; i++) {
        struct group *x = NULL;
        QV_TRY(group_of(g, &v->list[i], &x, err));
        bool twice = x->n && x->hits[x->n - 1].key == p->key;
        if (x->n < g->by->size && !twice) {
            x->hits[x->n++] = *p;
        }
    }
    return QV_OK;
}

static qv_status add_list(struct grouping *g, const struct qv__ranking *list, struct qv_err *err)
{
    struct qv__arena *a = &g->r->rs->arena;
    struct values *v = qv__arena_alloc(a, sizeof *v);
    struct qv__id *seen = qv__arena_calloc(a, g->n_seen + list->n + 1, sizeof *seen);
    if (!v || !seen) {
        return no_memory(err);
    }
    if (g->n_seen) {
        memcpy(seen, g->seen, g->n_seen * sizeof *seen);
    }
    g->seen = seen;
    for (size_t i = 0; i < list->n; i++) {
        qv_status st = (i & 1023) == 1023 ? qv__qctx_check(g->r->ctx) : QV_OK;
        if (st != QV_OK) {
            return qv__fail(err, st, "groups: %s", qv_status_text(st));
        }
        seen[g->n_seen++] = qv__run_id(g->r, list->items[i].key);
        QV_TRY(add_point(g, &list->items[i], v, err));
    }
    return QV_OK;
}

/* --- rounds
 * -------------------------------------------------------------------------------------------- */

static int id_order(const void *a, const void *b)
{
    return qv__id_cmp(a, b);
}

static int match_order(const void *a, const void *b)
{
    const struct qv__match_value *x = a, *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->kind == QV__MATCH_STR) {
        return qv__str_cmp(x->s, y->s);
    }
    return x->i < y->i ? -1 : x->i > y->i;
}

/* A condition on the values of the full (or the unfilled) ones of the first n groups. */
static qv_status value_cond(struct grouping *g, size_t n, bool full, struct qv__cond *cond,
                            struct qv_err *err)
{
    struct qv__match_value *values = qv__arena_calloc(&g->r->rs->arena, n + 1, sizeof *values);
    if (!values) {
        return no_memory(err);
    }
    *cond = (struct qv__cond){.kind = full ? QV__COND_MATCH_EXCEPT : QV__COND_MATCH_ANY,
                              .key = g->by->key,
                              .path = g->by->path};
    cond->match.values = values;
    for (size_t i = 0; i < n; i++) {
        const struct qv__value *v = &g->groups[i].value;
        if ((g->groups[i].n == g->by->size) != full || v->tag == QV__TAG_U64) {
            continue; /* conditions know no integers beyond 63 bits: such a group is not named */
        }
        struct qv__match_value *m = &values[cond->match.n++];
        m->kind = v->tag == QV__TAG_STR ? QV__MATCH_STR : QV__MATCH_INT;
        if (v->tag == QV__TAG_STR) {
            m->s = v->s;
        } else {
            m->i = v->i;
        }
    }
    qsort(values, cond->match.n, sizeof *values, match_order);
    return QV_OK;
}

static size_t full_groups(const struct grouping *g, size_t n)
{
    size_t full = 0;
    for (size_t i = 0; i < n; i++) {
        full += g->groups[i].n == g->by->size;
    }
    return full;
}

/* What a later round takes: not seen, and of a group that has room. */
static qv_status round_filter(struct grouping *g, const struct qv__filter **out, struct qv_err *err)
{
    size_t best = QV_MIN(g->n, (size_t)g->by->groups);
    bool collecting = g->n < g->by->groups;
    struct qv__arena *a = &g->r->rs->arena;
    struct qv__filter *f = qv__arena_zalloc(a, sizeof *f);
    struct qv__cond *must = qv__arena_calloc(a, 1, sizeof *must);
    struct qv__cond *must_not = qv__arena_calloc(a, 2, sizeof *must_not);
    if (!f || !must || !must_not) {
        return no_memory(err);
    }
    qsort(g->seen, g->n_seen, sizeof *g->seen, id_order);
    must_not[0] = (struct qv__cond){.kind = QV__COND_HAS_ID};
    must_not[0].has_id.ids = g->seen;
    must_not[0].has_id.n = g->n_seen;
    must_not[1] =
        (struct qv__cond){.kind = QV__COND_IS_EMPTY, .key = g->by->key, .path = g->by->path};
    f->must_not = (struct qv__clause){must_not, 2};
    if (!collecting || full_groups(g, best)) {
        QV_TRY(value_cond(g, best, collecting, must, err));
        f->must = (struct qv__clause){must, must->match.n ? 1 : 0};
    }
    return qv__filter_merge(a, g->q->filter, f, out, err);
}

static qv_status run_round(struct grouping *g, const struct qv__filter *filter, uint64_t take,
                           struct qv__ranking *list, struct qv_err *err)
{
    struct qv__query q = *g->q;
    struct qv__stage *root = NULL;
    q.filter = filter;
    q.limit = take;
    q.offset = 0;
    QV_TRY(qv__plan(g->r, &q, &root, err));
    QV_TRY(qv__stage_run(g->r, root, list, err));
    return add_list(g, list, err);
}

static qv_status collect(struct grouping *g, struct qv_err *err)
{
    const struct qv__query *q = g->q;
    bool rounds = !q->n_prefetch && !q->mmr.on &&
                  (q->kind == QV__QUERY_NEAREST || q->kind == QV__QUERY_RECOMMEND);
    uint64_t all = QV_MIN(QV_MAX(g->r->rows, UINT64_C(1)), (uint64_t)QV__LIMIT_MAX);
    uint64_t take = rounds ? QV_MIN(g->by->size * g->by->groups, all) : all;
    const struct qv__filter *filter = q->filter;
    for (;;) {
        struct qv__ranking list = {0};
        QV_TRY(run_round(g, filter, take, &list, err));
        size_t best = QV_MIN(g->n, (size_t)g->by->groups);
        if (!rounds || list.n < take || (best == g->by->groups && full_groups(g, best) == best)) {
            return QV_OK;
        }
        take = QV_MIN(take * 2, all);
        QV_TRY(round_filter(g, &filter, err));
    }
}

/* --- the answer
 * ---------------------------------------------------------------------------------------- */

/* Prefetch stages must find enough for all of a group. */
static qv_status widen(struct qv__arena *a, const struct qv__query *q, uint64_t by,
                       struct qv__query *out, struct qv_err *err)
{
    *out = *q;
    if (!q->n_prefetch) {
        return QV_OK;
    }
    struct qv__query *stages = qv__arena_calloc(a, q->n_prefetch, sizeof *stages);
    if (!stages) {
        return no_memory(err);
    }
    out->prefetch = stages;
    for (size_t i = 0; i < q->n_prefetch; i++) {
        QV_TRY(widen(a, &q->prefetch[i], by, &stages[i], err));
        stages[i].limit = QV_MIN(stages[i].limit * by, (uint64_t)QV__LIMIT_MAX);
    }
    return QV_OK;
}

static qv_status answer(struct grouping *g, const struct qv__fetch *f, struct qv__group_set *out,
                        struct qv_err *err)
{
    struct qv__run *r = g->r;
    size_t total = 0;
    out->n = QV_MIN(g->n, (size_t)g->by->groups);
    for (size_t i = 0; i < out->n; i++) {
        total += g->groups[i].n;
    }
    out->groups = qv__arena_calloc(&r->rs->arena, out->n + 1, sizeof *out->groups);
    if (!out->groups) {
        return no_memory(err);
    }
    QV_TRY(qv__result_reserve(r->rs, total, err));
    for (size_t i = 0; i < out->n; i++) {
        const struct group *x = &g->groups[i];
        out->groups[i] = (struct qv__group){x->value, r->rs->n, x->n};
        for (size_t k = 0; k < x->n; k++) {
            const struct qv__ranked *p = &x->hits[k];
            QV_TRY(qv__result_add(r->rs, r->segments[QV__KEY_SEGMENT(p->key)], QV__KEY_ROW(p->key),
                                  p->score, f, err));
        }
    }
    return QV_OK;
}

qv_status qv__collection_query_groups(struct qv__collection *c, const struct qv__query *q,
                                      const struct qv__group_by *by, const struct qv__fetch *f,
                                      struct qv__qctx *ctx, struct qv__group_set *out,
                                      struct qv_err *err)
{
    struct qv__run r = {.c = c, .ctx = ctx, .rs = &out->points};
    struct qv__query wide;
    struct grouping g = {.r = &r, .q = &wide, .by = by};
    memset(out, 0, sizeof *out);
    qv__count(&c->db->searches, 1);
    QV_TRY(qv__query_check(q, err));
    if (by->size == 0 || by->groups == 0 || by->size > QV__LIMIT_MAX ||
        by->groups > QV__LIMIT_MAX || by->size * by->groups > QV__LIMIT_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "group_size: value %" PRIu64 " with limit %" PRIu64
                        " invalid, must be from 1 to %u multiplied",
                        by->size, by->groups, QV__LIMIT_MAX);
    }
    qv__map_init(&g.map, c->mem_query);
    qv_status st = QV_OK;
    QV_GOTO(qv__run_open(&r, err));
    QV_GOTO(qv__fetch_check(out->points.schema, f, err));
    QV_GOTO(widen(&out->points.arena, q, by->size, &wide, err));
    QV_GOTO(collect(&g, err));
    QV_GOTO(answer(&g, f, out, err));
    out->points.stats = ctx->stats;
out:
    qv__map_free(&g.map);
    st = qv__read_view_settle(out->points.view, st, err);
    if (st != QV_OK) {
        qv__result_free(&out->points);
    }
    return st;
}

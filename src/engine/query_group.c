/* query_group.c: the best groups of a query.
 *
 * A query is asked in rounds: first for as many points as would fill all groups; then, while there
 * are too few groups, for points of groups that are not full, and at last for points of the
 * unfilled ones among the best. Later rounds leave out what was seen, so each one makes progress,
 * and they ask for more and more. With prefetch stages a later round may find better points than
 * an earlier one, and so better groups: it looks for such a few times, as the primary peer does,
 * and groups and their points are kept in order.
 *
 * Scores that depend on what else was found (fusions) would not compare from round to round: such
 * a query begins anew with more from its stages, a few times. Leaves that look at all there is
 * have one round. */
#include "engine/query_group.h"
#include "engine/query_exec.h"

struct group {
    struct qv__value value;
    struct qv__ranked *hits; /* [cap], the best first */
    size_t n, cap;
    uint64_t last; /* key of the point that came last */
};

enum rounds {
    ONE,   /* all there is, or all that may be looked at */
    MORE,  /* points not seen yet: scores of all rounds compare */
    AGAIN, /* all anew, from more of each stage */
};

struct grouping {
    struct qv__run *r;
    const struct qv__query *q;
    const struct qv__group_by *by;
    enum rounds rounds;
    bool smaller_is_better;
    struct group *groups; /* in the order first met */
    size_t *order;        /* of their best points, the best first; [n] */
    size_t n, cap;
    struct qv__map map; /* value -> index of groups */
    struct qv__id *seen;
    size_t n_seen;
};

enum {
    HITS_MIN = 4,       /* of a group there is room for, at first */
    COLLECT_ROUNDS = 5, /* of a query with stages: rounds that may find better groups */
    AGAIN_MAX = 8,      /* times more from the stages, at most */
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
        size_t *order = qv__arena_calloc(a, g->cap * 2 + 64, sizeof *order);
        if (!more || !order) {
            return no_memory(err);
        }
        if (g->n) {
            memcpy(more, g->groups, g->n * sizeof *more);
        }
        g->groups = more;
        g->order = order;
        g->cap = g->cap * 2 + 64;
    }
    struct group *x = &g->groups[g->n];
    *x = (struct group){.value = *v, .last = UINT64_MAX};
    if (v->tag == QV__TAG_STR) { /* of a mapped file, perhaps */
        x->value.s.p = qv__arena_strndup(a, v->s.p, v->s.n);
    }
    if ((v->tag == QV__TAG_STR && !x->value.s.p) || qv__map_add(&g->map, hash, g->n) != QV_OK) {
        return no_memory(err);
    }
    g->n++;
    *out = x;
    return QV_OK;
}

/* Of rounds whose scores compare; otherwise as they come. */
static bool better(const struct grouping *g, const struct qv__ranked *x, const struct qv__ranked *y)
{
    if (g->rounds != MORE) {
        return false;
    }
    if (x->score != y->score) {
        return (x->score > y->score) != g->smaller_is_better;
    }
    struct qv__id ix = qv__run_id(g->r, x->key), iy = qv__run_id(g->r, y->key);
    return qv__id_cmp(&ix, &iy) < 0;
}

/* Room for one more hit. Groups are many and their size is a client's number: memory goes by what
 * was found. */
static qv_status grow(struct grouping *g, struct group *x, struct qv_err *err)
{
    size_t cap = x->cap ? x->cap * 2 : HITS_MIN;
    cap = QV_MIN(cap, (size_t)g->by->size);
    struct qv__ranked *more = qv__arena_calloc(&g->r->rs->arena, cap, sizeof *more);
    if (!more) {
        return no_memory(err);
    }
    if (x->n) {
        memcpy(more, x->hits, x->n * sizeof *more);
    }
    x->hits = more;
    x->cap = cap;
    return QV_OK;
}

/* Among the best of a group, if it is; of one that is full the last goes. */
static qv_status add_hit(struct grouping *g, struct group *x, const struct qv__ranked *p,
                         struct qv_err *err)
{
    size_t at = x->n;
    while (at > 0 && better(g, p, &x->hits[at - 1])) {
        at--;
    }
    if (at == g->by->size) {
        return QV_OK;
    }
    if (x->n == x->cap && x->n < g->by->size) {
        QV_TRY(grow(g, x, err));
    }
    x->n += x->n < g->by->size;
    memmove(&x->hits[at + 1], &x->hits[at], (x->n - at - 1) * sizeof *x->hits);
    x->hits[at] = *p;
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
        if (x->last != p->key) { /* a point may hold a value twice */
            x->last = p->key;
            QV_TRY(add_hit(g, x, p, err));
        }
    }
    return QV_OK;
}

static int group_order(const void *a, const void *b, void *arg)
{
    const struct grouping *g = arg;
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    const struct qv__ranked *p = &g->groups[x].hits[0], *q = &g->groups[y].hits[0];
    if (p->key != q->key && g->rounds == MORE) {
        return better(g, p, q) ? -1 : 1;
    }
    return x < y ? -1 : x > y;
}

static void order_groups(struct grouping *g)
{
    for (size_t i = 0; i < g->n; i++) {
        g->order[i] = i;
    }
    if (g->n) {
        qsort_r(g->order, g->n, sizeof *g->order, group_order, g);
    }
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

/* A condition on the values of the full (or the unfilled) ones of the best n groups. Conditions
 * know no integers beyond 63 bits: a group of one is not named, *complete is false then. */
static qv_status value_cond(struct grouping *g, size_t n, bool full, struct qv__cond *cond,
                            bool *complete, struct qv_err *err)
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
        const struct group *x = &g->groups[g->order[i]];
        const struct qv__value *v = &x->value;
        if ((x->n == g->by->size) != full) {
            continue;
        }
        if (v->tag == QV__TAG_U64) {
            *complete = false;
            continue;
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
        full += g->groups[g->order[i]].n == g->by->size;
    }
    return full;
}

/* What a later round takes: not seen, and of a group that has room: of any, or (filling) of one
 * among the best. */
static qv_status round_filter(struct grouping *g, bool filling, const struct qv__filter **out,
                              struct qv_err *err)
{
    size_t n = filling ? QV_MIN(g->n, (size_t)g->by->groups) : g->n;
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
    if (filling || full_groups(g, n)) {
        bool complete = true;
        QV_TRY(value_cond(g, n, !filling, must, &complete, err));
        /* Without the name of a group that has room any may be the one; a full one that is not
         * named is only met again. */
        bool bounds = must->match.n && (complete || !filling);
        f->must = (struct qv__clause){must, bounds ? 1 : 0};
    }
    return qv__filter_merge(a, g->q->filter, f, out, err);
}

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

static qv_status run_round(struct grouping *g, const struct qv__filter *filter, uint64_t take,
                           uint64_t wider, struct qv__ranking *list, struct qv_err *err)
{
    struct qv__query q;
    struct qv__stage *root = NULL;
    QV_TRY(widen(&g->r->rs->arena, g->q, QV_MIN(g->by->size * wider, (uint64_t)QV__LIMIT_MAX), &q,
                 err));
    q.filter = filter;
    q.limit = take;
    q.offset = 0;
    QV_TRY(qv__plan(g->r, &q, &root, err));
    g->smaller_is_better = (q.kind == QV__QUERY_NEAREST || q.kind == QV__QUERY_RECOMMEND) &&
                           !qv__metric_larger_is_better((enum qv__metric)root->def->metric);
    QV_TRY(qv__stage_run(g->r, root, list, err));
    QV_TRY(add_list(g, list, err));
    order_groups(g);
    return QV_OK;
}

/* Whether a point is scored alike whatever else is found. */
static bool scores_compare(const struct qv__query *q)
{
    bool all = q->n_prefetch > 0;
    switch (q->kind) {
    case QV__QUERY_NEAREST:
        return !q->mmr.on;
    case QV__QUERY_RECOMMEND:
    case QV__QUERY_RECOMMEND_BEST:
    case QV__QUERY_RECOMMEND_SUM:
    case QV__QUERY_DISCOVER:
    case QV__QUERY_CONTEXT:
    case QV__QUERY_FEEDBACK:
        return true;
    case QV__QUERY_FORMULA:
        for (size_t i = 0; i < q->n_prefetch; i++) {
            all = all && scores_compare(&q->prefetch[i]);
        }
        return all;
    default:
        return false;
    }
}

static enum rounds rounds_of(const struct qv__query *q)
{
    if (!q->n_prefetch) {
        bool by_index = q->kind == QV__QUERY_NEAREST || q->kind == QV__QUERY_RECOMMEND;
        return by_index && !q->mmr.on ? MORE : ONE;
    }
    return scores_compare(q) ? MORE : AGAIN;
}

/* The best groups there are so far. */
static bool best_full(const struct grouping *g)
{
    size_t best = QV_MIN(g->n, (size_t)g->by->groups);
    return full_groups(g, best) == best;
}

static bool all_full(const struct grouping *g)
{
    return g->n >= g->by->groups && best_full(g);
}

/* Rounds of points not seen yet, while there are any and they are wanted. */
static qv_status collect_more(struct grouping *g, uint64_t all, struct qv_err *err)
{
    bool staged = g->q->n_prefetch > 0, filling = false;
    uint64_t take = QV_MIN(g->by->size * g->by->groups, all), wider = 1;
    const struct qv__filter *filter = g->q->filter;
    for (int round = 1;; round++) {
        struct qv__ranking list = {0};
        bool was_filling = filling;
        QV_TRY(run_round(g, filter, take, wider, &list, err));
        bool over = staged ? list.n == 0 && (was_filling || g->n == 0) : list.n < take;
        if (over || all_full(g)) {
            return QV_OK;
        }
        bool enough = g->n >= g->by->groups && (!staged || round >= COLLECT_ROUNDS);
        filling = was_filling || enough || list.n == 0;
        if (filling && best_full(g)) {
            return QV_OK;
        }
        QV_TRY(round_filter(g, filling, &filter, err));
        /* The first rounds of stages are the peer's, so that their limits mean the same. */
        if (!staged || round >= COLLECT_ROUNDS) {
            take = QV_MIN(take * 2, all);
            wider = QV_MIN(wider * 2, (uint64_t)QV__LIMIT_MAX);
        }
    }
}

static qv_status collect_again(struct grouping *g, uint64_t all, struct qv_err *err)
{
    size_t found = 0;
    for (uint64_t wider = 1;; wider *= 2) {
        struct qv__ranking list = {0};
        qv__map_free(&g->map);
        g->n = g->n_seen = 0;
        QV_TRY(run_round(g, g->q->filter, all, wider, &list, err));
        if (all_full(g) || list.n == found || wider == AGAIN_MAX) {
            return QV_OK;
        }
        found = list.n;
    }
}

static qv_status collect(struct grouping *g, struct qv_err *err)
{
    uint64_t all = QV_MIN(QV_MAX(g->r->rows, UINT64_C(1)), (uint64_t)QV__LIMIT_MAX);
    struct qv__ranking list = {0};
    g->rounds = rounds_of(g->q);
    return g->rounds == MORE    ? collect_more(g, all, err)
           : g->rounds == AGAIN ? collect_again(g, all, err)
                                : run_round(g, g->q->filter, all, 1, &list, err);
}

/* --- the answer
 * ---------------------------------------------------------------------------------------- */

static qv_status answer(struct grouping *g, const struct qv__fetch *f, struct qv__group_set *out,
                        struct qv_err *err)
{
    struct qv__run *r = g->r;
    size_t total = 0;
    out->n = QV_MIN(g->n, (size_t)g->by->groups);
    for (size_t i = 0; i < out->n; i++) {
        total += g->groups[g->order[i]].n;
    }
    out->groups = qv__arena_calloc(&r->rs->arena, out->n + 1, sizeof *out->groups);
    if (!out->groups) {
        return no_memory(err);
    }
    QV_TRY(qv__result_reserve(r->rs, total, err));
    for (size_t i = 0; i < out->n; i++) {
        const struct group *x = &g->groups[g->order[i]];
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
    struct grouping g = {.r = &r, .q = q, .by = by};
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

/* query_stage.c: running a planned stage: its prefetch stages first, then its kind over what they
 * found, or over the whole collection when it has none. And what ranked lists have in common. */
#include "engine/query_exec.h"

/* --- lists
 * --------------------------------------------------------------------------------------------- */

struct qv__id qv__run_id(const struct qv__run *r, uint64_t key)
{
    return qv__segment_row_id(r->segments[QV__KEY_SEGMENT(key)], QV__KEY_ROW(key));
}

const void *qv__run_vector(const struct qv__run *r, const struct qv__stage *s, uint64_t key)
{
    return qv__segment_row_vector(r->segments[QV__KEY_SEGMENT(key)], r->rs->schema, s->column,
                                  QV__KEY_ROW(key));
}

qv_status qv__ranking_alloc(struct qv__run *r, uint64_t n, struct qv__ranking *out,
                            struct qv_err *err)
{
    out->n = 0;
    out->order_keys = NULL;
    out->items = qv__arena_calloc(&r->rs->arena, (size_t)n + 1, sizeof *out->items);
    return out->items ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for %" PRIu64 " results", n);
}

static int rank_order(const void *a, const void *b, void *arg)
{
    const struct qv__ranked *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    struct qv__id ix = qv__run_id(arg, x->key), iy = qv__run_id(arg, y->key);
    return qv__id_cmp(&ix, &iy);
}

static int rank_order_rising(const void *a, const void *b, void *arg)
{
    const struct qv__ranked *x = a, *y = b;
    return x->score == y->score ? rank_order(a, b, arg) : -rank_order(a, b, arg);
}

void qv__ranking_sort(const struct qv__run *r, struct qv__ranking *list, bool larger_is_better)
{
    qsort_r(list->items, list->n, sizeof *list->items,
            larger_is_better ? rank_order : rank_order_rising, (void *)(uintptr_t)r);
}

static bool same_key(uint64_t value, const void *key, void *ctx)
{
    const struct qv__ranking *list = ctx;
    return list->items[value].key == *(const uint64_t *)key;
}

qv_status qv__rankings_union(struct qv__run *r, const struct qv__ranking *lists, size_t n,
                             struct qv__ranking *out, struct qv_err *err)
{
    uint64_t total = 0;
    struct qv__map seen;
    qv_status st = QV_OK;
    for (size_t i = 0; i < n; i++) {
        total += lists[i].n;
    }
    QV_TRY(qv__ranking_alloc(r, QV_MIN(total, r->rows), out, err));
    qv__map_init(&seen, r->ctx->mem);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < lists[i].n; k++) {
            const struct qv__ranked *p = &lists[i].items[k];
            uint64_t hash = qv__hash_u64(p->key);
            if (n > 1) {
                if (qv__map_find(&seen, hash, same_key, &p->key, out)) {
                    continue;
                }
                if (qv__map_add(&seen, hash, out->n) != QV_OK) {
                    QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory for %" PRIu64 " results", total));
                }
            }
            out->items[out->n++] = *p;
        }
    }
out:
    qv__map_free(&seen);
    return st;
}

/* --- stages
 * -------------------------------------------------------------------------------------------- */

/* Kinds that compare vectors: better than the threshold, by the metric's direction whatever the
 * kind, as in the peer; the others: not worse. A list ends at the first that fails; a sample has no
 * scores to speak of. */
static void cut_at_threshold(const struct qv__stage *s, struct qv__ranking *list)
{
    float limit = s->q->score_threshold;
    bool applies = s->q->has_threshold && s->q->kind != QV__QUERY_SAMPLE;
    for (size_t i = 0; applies && i < list->n; i++) {
        float score = list->items[i].score;
        bool passes = !s->def ? score >= limit
                      : qv__metric_larger_is_better((enum qv__metric)s->def->metric)
                          ? score > limit
                          : score < limit;
        if (!passes) {
            list->n = i;
        }
    }
}

/* The nearest candidates that pass the threshold, and a choice of them. */
static qv_status choose(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *nearest,
                        struct qv__ranking *out, struct qv_err *err)
{
    cut_at_threshold(s, nearest);
    return qv__mmr(r, s, nearest, out, err);
}

static qv_status run_leaf(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                          struct qv_err *err)
{
    struct qv__ranking nearest;
    switch (s->q->kind) {
    case QV__QUERY_IDS:
        return qv__leaf_ids(r, s, out, err);
    case QV__QUERY_SAMPLE:
        return qv__leaf_sample(r, s, out, err);
    case QV__QUERY_ORDER_BY:
        return qv__leaf_order(r, s, out, err);
    case QV__QUERY_NEAREST:
        if (s->q->mmr.on) {
            QV_TRY(qv__leaf_nearest(r, s, s->q->mmr.candidates, &nearest, err));
            return choose(r, s, &nearest, out, err);
        }
        return qv__leaf_nearest(r, s, s->take, out, err);
    case QV__QUERY_RECOMMEND:
        return qv__leaf_nearest(r, s, s->take, out, err);
    default:
        return qv__leaf_scored(r, s, out, err);
    }
}

static qv_status run_over(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *lists,
                          struct qv__ranking *out, struct qv_err *err)
{
    struct qv__ranking candidates, nearest;
    switch (s->q->kind) {
    case QV__QUERY_FORMULA:
        return qv__rescore_formula(r, s, lists, out, err);
    case QV__QUERY_ORDER_BY:
        QV_TRY(qv__rankings_union(r, lists, s->n_prefetch, &candidates, err));
        return qv__order_over(r, s, &candidates, out, err);
    case QV__QUERY_SAMPLE:
        QV_TRY(qv__rankings_union(r, lists, s->n_prefetch, out, err));
        qv__sample(r, s, out);
        return QV_OK;
    case QV__QUERY_RRF:
    case QV__QUERY_DBSF:
        return qv__fuse(r, s, lists, out, err);
    default:
        QV_TRY(qv__rankings_union(r, lists, s->n_prefetch, &candidates, err));
        if (s->q->mmr.on) {
            QV_TRY(qv__rescore(r, s, &candidates, s->q->mmr.candidates, &nearest, err));
            return choose(r, s, &nearest, out, err);
        }
        return qv__rescore(r, s, &candidates, s->take, out, err);
    }
}

/* Depth is bounded by the plan. */
qv_status qv__stage_run(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                        struct qv_err *err)
{
    qv_status st = qv__qctx_check(r->ctx);
    if (st != QV_OK) {
        return qv__fail(err, st, "query: %s", qv_status_text(st));
    }
    if (!s->n_prefetch) {
        QV_TRY(run_leaf(r, s, out, err));
    } else {
        struct qv__ranking *lists = qv__arena_calloc(&r->rs->arena, s->n_prefetch, sizeof *lists);
        if (!lists) {
            return qv__fail(err, QV_ENOMEM, "no memory for a query");
        }
        for (size_t i = 0; i < s->n_prefetch; i++) {
            QV_TRY(qv__stage_run(r, &s->prefetch[i], &lists[i], err));
        }
        QV_TRY(run_over(r, s, lists, out, err));
    }
    cut_at_threshold(s, out);
    return QV_OK;
}

/* query_plan.c: a query tree -> stages with everything resolved.
 *
 * First the shape is checked without looking at data: depth, number of stages, limits, which kinds
 * need prefetch stages. Then columns, filters and vectors are looked up, stage by stage, so that
 * running the plan can only fail for time, memory or damage. */
#include "engine/query_exec.h"

/* --- the shape
 * ---------------------------------------------------------------------------------------- */

static bool fuses(enum qv__query_kind kind)
{
    return kind == QV__QUERY_RRF || kind == QV__QUERY_DBSF;
}

/* Kinds that compare a stored vector with something. */
static bool compares(enum qv__query_kind kind)
{
    return kind >= QV__QUERY_NEAREST && kind <= QV__QUERY_CONTEXT;
}

static const char *kind_name(enum qv__query_kind kind)
{
    static const char *const names[] = {
        [QV__QUERY_IDS] = "ids",
        [QV__QUERY_NEAREST] = "nearest",
        [QV__QUERY_RECOMMEND] = "recommend",
        [QV__QUERY_RECOMMEND_BEST] = "recommend",
        [QV__QUERY_RECOMMEND_SUM] = "recommend",
        [QV__QUERY_DISCOVER] = "discover",
        [QV__QUERY_FEEDBACK] = "relevance_feedback",
        [QV__QUERY_CONTEXT] = "context",
        [QV__QUERY_ORDER_BY] = "order_by",
        [QV__QUERY_SAMPLE] = "sample",
        [QV__QUERY_RRF] = "rrf",
        [QV__QUERY_DBSF] = "fusion",
        [QV__QUERY_FORMULA] = "formula",
        [QV__QUERY_TEXT] = "text",
    };
    return (size_t)kind < QV_ARRAY_LEN(names) ? names[kind] : "kind";
}

static qv_status check_kind(const struct qv__query *q, struct qv_err *err)
{
    if (q->kind >= QV__QUERY_TEXT) {
        return qv__fail(err, QV_EUNSUPPORTED, "query.%s: not supported by this version",
                        kind_name(q->kind));
    }
    if (q->n_prefetch && q->kind == QV__QUERY_IDS) {
        return qv__fail(err, QV_EINVAL, "cannot have prefetches without a query");
    }
    if (fuses(q->kind) && !q->n_prefetch) {
        return qv__fail(err, QV_EINVAL, "cannot apply Fusion without prefetches");
    }
    if (q->kind == QV__QUERY_FORMULA && !q->n_prefetch) {
        return qv__fail(err, QV_EINVAL, "cannot apply Formula without prefetches");
    }
    if (q->mmr.on && q->mmr.candidates > QV__MMR_CANDIDATES_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "mmr.candidates_limit: value %" PRIu32 " invalid, must be from 0 to %u",
                        q->mmr.candidates, QV__MMR_CANDIDATES_MAX);
    }
    if (q->kind == QV__QUERY_RRF) {
        if (q->rrf.weights && q->rrf.n_weights != q->n_prefetch) {
            return qv__fail(err, QV_EINVAL,
                            "RRF weights length (%zu) does not match number of prefetches (%zu)",
                            q->rrf.n_weights, q->n_prefetch);
        }
        if (q->rrf.k == 0) {
            return qv__fail(err, QV_EVALIDATION, "rrf.k: value 0 invalid, must be 1 or larger");
        }
    }
    if ((q->kind == QV__QUERY_DISCOVER || q->kind == QV__QUERY_CONTEXT) &&
        q->n_positive != q->n_negative) {
        return qv__fail(err, QV_EINVAL, "query.%s.context: %zu positives for %zu negatives",
                        kind_name(q->kind), q->n_positive, q->n_negative);
    }
    return QV_OK;
}

static qv_status check_numbers(const struct qv__query *q, struct qv_err *err)
{
    if (q->limit == 0 || q->limit > QV__LIMIT_MAX || q->offset > QV__LIMIT_MAX ||
        q->limit + q->offset > QV__LIMIT_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "limit: value %" PRIu64 " with offset %" PRIu64
                        " invalid, must be from 1 to %u together",
                        q->limit, q->offset, QV__LIMIT_MAX);
    }
    /* They are few in a request by their ids, and each is a whole vector here. */
    if (q->n_positive + q->n_negative > QV__EXAMPLES_MAX) {
        return qv__fail(err, QV_EVALIDATION, "query.%s: %zu examples, must be at most %u",
                        kind_name(q->kind), q->n_positive + q->n_negative, QV__EXAMPLES_MAX);
    }
    if (q->params.ef > QV__LIMIT_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "params.hnsw_ef: value %" PRIu32 " invalid, must be from 0 to %u",
                        q->params.ef, QV__LIMIT_MAX);
    }
    return QV_OK;
}

static qv_status check_tree(const struct qv__query *q, uint32_t depth, uint32_t *stages,
                            struct qv_err *err)
{
    if (depth > QV__STAGE_DEPTH_MAX) {
        return qv__fail(err, QV_EINVAL, "prefetches depth %" PRIu32 " exceeds max depth %u", depth,
                        QV__STAGE_DEPTH_MAX);
    }
    if (++*stages > QV__STAGES_MAX) {
        return qv__fail(err, QV_EINVAL, "prefetch: more than %u stages in one query",
                        QV__STAGES_MAX);
    }
    QV_TRY(check_kind(q, err));
    QV_TRY(check_numbers(q, err));
    for (size_t i = 0; i < q->n_prefetch; i++) {
        QV_TRY(check_tree(&q->prefetch[i], depth + 1, stages, err));
    }
    return QV_OK;
}

qv_status qv__query_check(const struct qv__query *q, struct qv_err *err)
{
    uint32_t stages = 0;
    return check_tree(q, 0, &stages, err);
}

/* --- what the tree names
 * ------------------------------------------------------------------------------ */

qv_status qv__run_open(struct qv__run *r, struct qv_err *err)
{
    QV_TRY(qv__result_open(r->c, r->ctx, r->rs, err));
    const struct qv__read_view *v = r->rs->view;
    size_t n = 0;
    for (uint32_t s = 0; s < v->n; s++) {
        n += v->views[s]->n;
    }
    r->segments = qv__arena_calloc(&r->rs->arena, n + 1, sizeof *r->segments);
    if (!r->segments) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query");
    }
    for (uint32_t s = 0; s < v->n; s++) {
        for (uint32_t i = 0; i < v->views[s]->n; i++) {
            r->segments[r->n_segments++] = v->views[s]->segments[i];
            r->rows += qv__segment_rows(v->views[s]->segments[i]);
        }
    }
    return QV_OK;
}

qv_status qv__stage_column(struct qv__run *r, struct qv__stage *s, struct qv_err *err)
{
    struct qv__str name = s->q->using_vector;
    int column = qv__schema_vector(r->rs->schema, name);
    if (column < 0) {
        return qv__fail(err, QV_EINVAL, "Not existing vector name error: %.*s",
                        (int)QV_MIN(name.n, (size_t)64), name.p);
    }
    s->column = (uint32_t)column;
    s->def = &r->rs->schema->vectors[column];
    if (s->q->params.has_idf && !s->def->idf) {
        return qv__fail(
            err, QV_EINVAL,
            "search param `idf` requires a sparse vector with the `idf` modifier, which "
            "vector \"%.*s\" is not",
            (int)QV_MIN(name.n, (size_t)64), name.p);
    }
    return QV_OK;
}

/* Depth is bounded by the check. `outer`: what the stages around this one ask of its points. */
static qv_status plan_stage(struct qv__run *r, const struct qv__query *q,
                            const struct qv__filter *outer, struct qv__stage *s, struct qv_err *err)
{
    s->q = q;
    s->take = q->limit + q->offset;
    if (compares(q->kind)) {
        QV_TRY(qv__stage_column(r, s, err));
        QV_TRY(qv__stage_inputs(r, s, err));
    }
    if (q->kind == QV__QUERY_ORDER_BY) {
        QV_TRY(qv__order_plan(r, s, err));
    }
    const struct qv__filter *filter = NULL;
    QV_TRY(qv__filter_merge(&r->rs->arena, outer, q->filter, &filter, err));
    if (!q->n_prefetch) {
        s->own_filter = filter;
        return qv__filter_exclude(r, filter, &s->filter, err);
    }
    s->n_prefetch = q->n_prefetch;
    s->prefetch = qv__arena_calloc(&r->rs->arena, q->n_prefetch, sizeof *s->prefetch);
    if (!s->prefetch) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query");
    }
    for (size_t i = 0; i < q->n_prefetch; i++) {
        QV_TRY(plan_stage(r, &q->prefetch[i], filter, &s->prefetch[i], err));
    }
    return QV_OK;
}

qv_status qv__plan(struct qv__run *r, const struct qv__query *q, struct qv__stage **out,
                   struct qv_err *err)
{
    QV_TRY(qv__query_check(q, err));
    struct qv__stage *root = qv__arena_calloc(&r->rs->arena, 1, sizeof *root);
    if (!root) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query");
    }
    QV_TRY(qv__exclusions(r, q, err));
    *out = root;
    return plan_stage(r, q, NULL, root, err);
}

/* query_explain.c: the plan of a query, told without running it.
 *
 * No row is looked at and no list of points is made. Each stage is told before those that feed it;
 * where points are taken from the collection, each segment tells how many rows its indexes say may
 * match, and which way its graph would be searched. The latter depends on where the query lies, so
 * the graph is entered, which compares some tens of vectors. */
#include "engine/query_exec.h"

#include "engine/segment_fields.h"

static const char *kind_text(enum qv__query_kind kind)
{
    static const char *const names[] = {
        [QV__QUERY_IDS] = "in id order",
        [QV__QUERY_NEAREST] = "nearest",
        [QV__QUERY_RECOMMEND] = "nearest to the average of examples",
        [QV__QUERY_RECOMMEND_BEST] = "best of examples",
        [QV__QUERY_RECOMMEND_SUM] = "sum over examples",
        [QV__QUERY_DISCOVER] = "discover",
        [QV__QUERY_FEEDBACK] = "relevance feedback",
        [QV__QUERY_CONTEXT] = "context",
        [QV__QUERY_ORDER_BY] = "order by",
        [QV__QUERY_SAMPLE] = "sample",
        [QV__QUERY_RRF] = "fusion by rank",
        [QV__QUERY_DBSF] = "fusion by score",
        [QV__QUERY_FORMULA] = "formula",
        [QV__QUERY_TEXT] = "text",
    };
    return names[kind];
}

/* Rows that may match by what indexes know; without an index, all that are visible. */
static qv_status bounds(struct qv__run *r, const struct qv__segment *seg,
                        const struct qv__filter *filter, const struct qv__visible *v,
                        struct qv__bitset *up, const uint64_t **words, uint64_t *count,
                        struct qv_err *err)
{
    struct qv__bitset lo = {0};
    bool served = false;
    *words = v->words;
    *count = v->count;
    if (!filter) {
        return QV_OK;
    }
    QV_TRY(qv__segment_bounds(seg, r->rs->schema, v, filter, r->ctx, &lo, up, &served, err));
    uint64_t least = served ? qv__bitset_count(&lo) : 0;
    if (served) {
        *words = up->words;
        *count = qv__bitset_count(up);
    }
    qv__bitset_free(&lo);
    qv__qctx_tell(r->ctx, "filter at most",
                  !served           ? "no index"
                  : least == *count ? "indexes, exact"
                                    : "indexes, then row by row",
                  (double)*count, 0);
    qv__qctx_tell(r->ctx, "filter at least", served ? "indexes" : "no index", (double)least, 0);
    return QV_OK;
}

static bool is_walked(const struct qv__stage *s)
{
    return (s->q->kind == QV__QUERY_NEAREST || s->q->kind == QV__QUERY_RECOMMEND) &&
           !qv__vec_varies(s->def->kind);
}

static qv_status explain_segment(struct qv__run *r, const struct qv__stage *s, size_t at,
                                 struct qv_err *err)
{
    const struct qv__read_view *view = r->rs->view;
    const struct qv__segment *seg = r->segments[at];
    const struct qv__search_params *p = &s->q->params;
    struct qv__matching m = {.n_rows = 0};
    struct qv__tenant_rows tenant;
    qv_status st = QV_OK;
    QV_TRY(qv__segment_visible(seg, view->ticket.lsn, view->now_ms, r->ctx->mem, &m.visible, err));
    qv__run_tell_segment(r, at, &m.visible);
    if (is_walked(s) && qv__run_tenant(r, s, at, &tenant)) {
        qv__qctx_tell(r->ctx, "filter at most", "rows of tenants", (double)tenant.n_rows, 0);
        qv__qctx_tell(r->ctx, "filter at least", "rows of tenants", 0, 0);
        qv__qctx_tell(r->ctx, "scan", "rows of tenants", (double)tenant.n_rows, 0);
        goto out;
    }
    QV_GOTO(bounds(r, seg, s->filter, &m.visible, &m.match, &m.words, &m.count, err));
    if (is_walked(s) && m.count) {
        uint64_t want = s->q->mmr.on ? s->q->mmr.candidates : s->take;
        struct qv__row_hit none;
        uint32_t n = 0;
        struct qv__segment_search search = {.schema = r->rs->schema,
                                            .column = s->column,
                                            .vector = s->target,
                                            .k = (uint32_t)QV_MIN(want, m.count),
                                            .ef = p->ef,
                                            .oversample = p->oversample,
                                            .no_codes = p->no_codes,
                                            .exact = p->exact,
                                            .strategy = p->strategy,
                                            .plan_only = true,
                                            .allow = m.words,
                                            .allow_count = m.count,
                                            .n_rows = m.visible.n_rows};
        st = qv__segment_search(seg, &search, r->ctx, &none, &n, err);
    } else if (!is_walked(s) && s->q->kind != QV__QUERY_IDS) {
        qv__qctx_tell(r->ctx, "scan", "every row that matches", (double)m.count, 0);
    }
out:
    qv__matching_free(&m);
    return st;
}

qv_status qv__explain(struct qv__run *r, const struct qv__stage *s, struct qv_err *err)
{
    r->ctx->recall_target = s->q->params.recall;
    qv__qctx_tell(r->ctx, "stage", kind_text(s->q->kind), (double)s->take, 0);
    for (size_t i = 0; i < s->n_prefetch; i++) { /* the check bounds the depth */
        QV_TRY(qv__explain(r, &s->prefetch[i], err));
    }
    for (size_t i = 0; s->n_prefetch == 0 && i < r->n_segments; i++) {
        QV_TRY(explain_segment(r, s, i, err));
    }
    return QV_OK;
}

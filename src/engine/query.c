/* query.c: a query from its tree to results: plan, run, fetch.
 *
 * The plan (query_plan.c) resolves everything a tree names; running it (query_stage.c) yields one
 * ranked list of rows; here the page asked for is cut from it and its payload and vectors are
 * fetched. Segments are searched one after another on the caller's thread: with many queries in
 * flight that is the better use of the cores. Ties are broken by id, so equal data gives equal
 * answers whatever the segments. */
#include "engine/query_exec.h"

/* No scoring: a page of the id order, skipping `offset`. */
static qv_status query_ids(struct qv__collection *c, const struct qv__query *q,
                           const struct qv__fetch *f, struct qv__qctx *ctx,
                           struct qv__result_set *out, struct qv_err *err)
{
    QV_TRY(qv__collection_scroll(c, NULL, q->limit + q->offset, q->filter, f, ctx, out, err));
    size_t skip = (size_t)QV_MIN(q->offset, (uint64_t)out->n);
    memmove(out->points, out->points + skip, (out->n - skip) * sizeof *out->points);
    out->n -= skip;
    for (size_t i = 0; i < out->n; i++) {
        out->points[i].score = 1.0f;
    }
    out->has_next = false;
    return QV_OK;
}

static struct qv__order_value order_value(const struct qv__stage *s, int64_t key)
{
    if (s->order.type == QV__FIELD_FLOAT) {
        return (struct qv__order_value){.kind = QV__ORDER_FLOAT, .f = qv__field_key_double(key)};
    }
    return (struct qv__order_value){.kind = QV__ORDER_INT, .i = key};
}

static qv_status fetch_page(struct qv__run *r, const struct qv__stage *root,
                            const struct qv__ranking *list, const struct qv__fetch *f,
                            struct qv_err *err)
{
    const struct qv__query *q = root->q;
    /* Skipping points of a sample would tell nobody anything. */
    uint64_t offset = q->kind == QV__QUERY_SAMPLE && !q->n_prefetch ? 0 : q->offset;
    size_t from = (size_t)QV_MIN(offset, (uint64_t)list->n);
    QV_TRY(qv__result_reserve(r->rs, list->n - from, err));
    for (size_t i = from; i < list->n; i++) {
        if (((i - from) & 1023) == 1023) {
            qv_status st = qv__qctx_check(r->ctx);
            if (st != QV_OK) {
                return qv__fail(err, st, "query: %s", qv_status_text(st));
            }
        }
        const struct qv__ranked *p = &list->items[i];
        QV_TRY(qv__result_add(r->rs, r->segments[QV__KEY_SEGMENT(p->key)], QV__KEY_ROW(p->key),
                              p->score, f, err));
        if (list->order_keys) {
            r->rs->points[r->rs->n - 1].order = order_value(root, list->order_keys[i]);
        }
    }
    return QV_OK;
}

static qv_status run_query(struct qv__collection *c, const struct qv__query *q,
                           const struct qv__fetch *f, struct qv__qctx *ctx,
                           struct qv__result_set *out, struct qv_err *err)
{
    struct qv__run r = {.c = c, .ctx = ctx, .rs = out};
    struct qv__stage *root = NULL;
    struct qv__ranking list = {0};
    memset(out, 0, sizeof *out);
    qv__count(&c->db->searches, 1);
    QV_TRY(qv__query_check(q, err));
    if (q->kind == QV__QUERY_IDS && !ctx->plan_only) {
        return query_ids(c, q, f, ctx, out, err);
    }
    qv_status st = QV_OK;
    QV_GOTO(qv__run_open(&r, err));
    QV_GOTO(qv__fetch_check(out->schema, f, err));
    QV_GOTO(qv__plan(&r, q, &root, err));
    root->order.each_value = true;
    if (ctx->plan_only) {
        QV_GOTO(qv__explain(&r, root, err));
        goto out;
    }
    QV_GOTO(qv__stage_run(&r, root, &list, err));
    QV_GOTO(fetch_page(&r, root, &list, f, err));
    out->stats = ctx->stats;
out:
    st = qv__read_view_settle(out->view, st, err);
    if (st != QV_OK) {
        qv__result_free(out);
    }
    return st;
}

qv_status qv__collection_query(struct qv__collection *c, const struct qv__query *q,
                               const struct qv__fetch *f, struct qv__qctx *ctx,
                               struct qv__result_set *out, struct qv_err *err)
{
    bool entered = qv__pool_enter(c->db->pool);
    qv_status st = run_query(c, q, f, ctx, out, err);
    qv__pool_leave(c->db->pool, entered);
    return st;
}

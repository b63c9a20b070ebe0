/* query_sample.c: points at random: of all that match, or of what prefetch stages found. */
#include "engine/query_exec.h"

/* A query's own stream: its seed, or one drawn from the database's. */
static void seed(struct qv__run *r, struct qv__rng *rng)
{
    uint64_t from = r->ctx->seed;
    if (from == 0) {
        qv__mutex_lock(&r->c->db->catalog);
        from = qv__rng_u64(&r->c->db->rng);
        qv__mutex_unlock(&r->c->db->catalog);
    }
    qv__rng_seed(rng, from);
}

/* In random order, each scored 1, no more than are wanted. */
static void shuffle(const struct qv__stage *s, struct qv__rng *rng, struct qv__ranking *list)
{
    size_t n = (size_t)QV_MIN((uint64_t)list->n, s->take);
    for (size_t i = 0; i < n; i++) {
        size_t other = i + (size_t)qv__rng_below(rng, list->n - i);
        struct qv__ranked t = list->items[i];
        list->items[i] = list->items[other];
        list->items[other] = t;
        list->items[i].score = 1.0f;
    }
    list->n = n;
}

/* Each matching row takes a place of the sample with the chance that keeps it fair (algorithm R).
 */
static qv_status sample_segment(struct qv__run *r, const struct qv__stage *s, size_t at,
                                struct qv__rng *rng, uint64_t *seen, struct qv__ranking *out,
                                struct qv_err *err)
{
    struct qv__matching m;
    QV_TRY(qv__run_matching(r, at, s->filter, &m, err));
    for (uint32_t row = 0; row < m.n_rows; row++) {
        if (!qv__matching_has(&m, row)) {
            continue;
        }
        uint64_t place = *seen < s->take ? *seen : qv__rng_below(rng, *seen + 1);
        *seen += 1;
        if (place < s->take) {
            out->items[place].key = QV__KEY(at, row);
            out->n = QV_MAX(out->n, (size_t)place + 1);
        }
    }
    qv__matching_free(&m);
    return QV_OK;
}

qv_status qv__leaf_sample(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                          struct qv_err *err)
{
    struct qv__rng rng;
    uint64_t seen = 0;
    seed(r, &rng);
    QV_TRY(qv__ranking_alloc(r, QV_MIN(s->take, r->rows), out, err));
    for (size_t i = 0; i < r->n_segments; i++) {
        qv_status st = qv__qctx_check(r->ctx);
        if (st != QV_OK) {
            return qv__fail(err, st, "query.sample: %s", qv_status_text(st));
        }
        QV_TRY(sample_segment(r, s, i, &rng, &seen, out, err));
    }
    shuffle(s, &rng, out);
    return QV_OK;
}

void qv__sample(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *list)
{
    struct qv__rng rng;
    seed(r, &rng);
    shuffle(s, &rng, list);
}

/* query_formula.c: rescoring what prefetch stages found by a formula over their scores and the
 * payload. */
#include "engine/query_exec.h"

#include <math.h>

struct where {
    const struct qv__run *r;
    uint64_t key;
    struct qv__steps *steps; /* of conditions and look-ups */
};

static bool matches(const struct qv__formula_row *row, const struct qv__filter *f)
{
    const struct where *w = row->ctx;
    return qv__segment_row_match(w->r->segments[QV__KEY_SEGMENT(w->key)], w->r->rs->schema,
                                 QV__KEY_ROW(w->key), f, w->steps);
}

/* An index of text holds words, not the values. */
static bool indexed(const struct qv__formula_row *row, struct qv__str key)
{
    const struct qv__schema *s = ((const struct where *)row->ctx)->r->rs->schema;
    for (size_t i = 0; i < s->n_indexes; i++) {
        if (qv__str_eq(s->indexes[i].key, key) &&
            !qv__str_eq(s->indexes[i].type, qv__str_z("text"))) {
            return true;
        }
    }
    return false;
}

static int key_order(const void *a, const void *b)
{
    uint64_t x = ((const struct qv__ranked *)a)->key, y = ((const struct qv__ranked *)b)->key;
    return x < y ? -1 : x > y;
}

static qv_status told(qv_status st, struct qv_err *err)
{
    return st == QV_OK ? QV_OK : qv__fail(err, st, "query.formula: %s", qv_status_text(st));
}

static qv_status look(const struct qv__run *r, struct qv_err *err)
{
    return told(qv__qctx_check(r->ctx), err);
}

/* scores[i * n_scores + stage] of the i-th candidate; NaN where a stage did not find it. Sorts the
 * lists. */
static qv_status score_table(struct qv__run *r, uint32_t n_scores, struct qv__ranking *lists,
                             const struct qv__ranking *candidates, float **out, struct qv_err *err)
{
    float *table =
        qv__arena_calloc(&r->rs->arena, candidates->n + 1, QV_MAX(n_scores, 1u) * sizeof *table);
    if (!table) {
        return qv__fail(err, QV_ENOMEM, "no memory for the scores of %zu candidates",
                        candidates->n);
    }
    for (uint32_t k = 0; k < n_scores; k++) {
        struct qv__ranking *list = &lists[k];
        QV_TRY(look(r, err));
        if (list->n) {
            qsort(list->items, list->n, sizeof *list->items, key_order);
        }
        for (size_t i = 0; i < candidates->n; i++) {
            if ((i & 1023) == 1023) {
                QV_TRY(look(r, err));
            }
            const struct qv__ranked *found = list->n
                                                 ? bsearch(&candidates->items[i], list->items,
                                                           list->n, sizeof *list->items, key_order)
                                                 : NULL;
            table[i * n_scores + k] = found ? found->score : NAN;
        }
    }
    *out = table;
    return QV_OK;
}

qv_status qv__rescore_formula(struct qv__run *r, const struct qv__stage *s,
                              struct qv__ranking *lists, struct qv__ranking *out,
                              struct qv_err *err)
{
    const struct qv__formula *f = s->q->formula;
    /* A formula may name stages that there are not: these found nothing. */
    uint32_t n_scores = (uint32_t)QV_MIN((size_t)f->n_scores, s->n_prefetch);
    struct qv__steps steps = {.q = r->ctx};
    float *scores = NULL;
    QV_TRY(qv__rankings_union(r, lists, s->n_prefetch, out, err));
    QV_TRY(score_table(r, n_scores, lists, out, &scores, err));
    for (size_t i = 0; i < out->n; i++) {
        struct where w = {r, out->items[i].key, &steps};
        struct qv__formula_row row = {.payload = qv__segment_row_payload(
                                          r->segments[QV__KEY_SEGMENT(w.key)], QV__KEY_ROW(w.key)),
                                      .scores = scores + i * n_scores,
                                      .n_scores = n_scores,
                                      .matches = matches,
                                      .indexed = indexed,
                                      .ctx = &w,
                                      .steps = &steps};
        if ((i & 15) == 15) {
            QV_TRY(look(r, err));
        }
        qv_status st = qv__formula_eval(f, &row, &out->items[i].score, err);
        QV_TRY(told(steps.status, err)); /* what it is then is no answer, nor an error */
        QV_TRY(st);
    }
    QV_TRY(qv__ranking_by_score(r, out, err));
    out->n = (size_t)QV_MIN((uint64_t)out->n, s->take);
    return QV_OK;
}

/* query_idf.c: how rare the indices of a sparse vector are, over all points that the query sees or
 * those of them that match the corpus it names; points without such a vector do not count. */
#include "engine/query_exec.h"

#include <math.h>

qv_status qv__run_idf(struct qv__run *r, const struct qv__stage *s, void *sparse,
                      struct qv_err *err)
{
    const struct qv__filter *corpus = s->q->params.corpus;
    uint32_t n = qv__varvec_count(sparse);
    uint64_t vectors = 0;
    uint64_t *df = qv__arena_calloc(&r->rs->arena, (size_t)n + 1, sizeof *df);
    if (!df) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query vector");
    }
    for (size_t i = 0; i < r->n_segments; i++) {
        struct qv__matching m;
        QV_TRY(qv__run_matching(r, i, corpus, &m, err));
        qv_status st =
            qv__segment_frequencies(r->segments[i], r->rs->schema, s->column, m.words, m.n_rows,
                                    m.count, sparse, r->ctx, df, &vectors, err);
        qv__matching_free(&m);
        QV_TRY(st);
    }
    float *value = (float *)(uintptr_t)qv__sparse_values(sparse);
    for (uint32_t k = 0; k < n; k++) {
        double rest = (double)vectors - (double)df[k];
        value[k] *= (float)log((rest + 0.5) / ((double)df[k] + 0.5) + 1.0);
    }
    /* What was checked is longer now: else sums could be infinities of both signs. */
    return qv__simd_finite(value, n)
               ? QV_OK
               : qv__fail(err, QV_EINVAL,
                          "query vector: weighed by how rare its indices are, its squared length "
                          "must be a finite number");
}

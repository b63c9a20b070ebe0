/* query_mmr.c: maximal marginal relevance: near to the target and far from each other.
 *
 * Of the candidates, nearest first, one after another is taken: the most relevant one, then always
 * that with the largest (1 - diversity) * similarity to the target - diversity * similarity to the
 * most similar one taken. The order of what is left and the choice among equals are those of the
 * primary peer: a taken one's place goes to the last, and the last of equals wins. So is the
 * direction in which multivectors are compared: each row of the candidate looks for its nearest of
 * the one taken. Scores stay those of the candidates. */
#include "engine/query_exec.h"

#include <math.h>

struct pick {
    const void *vector;
    float relevance, closest; /* similarities: to the target, to the closest one taken */
    struct qv__ranked point;
};

enum { BLOCK = 256 };

/* Similarities of the first n picks to a vector: their relevance, or what is taken into `closest`.
 */
static qv_status compare(struct qv__run *r, const struct qv__stage *s, const void *vector,
                         struct pick *picks, size_t n, bool to_target, struct qv_err *err)
{
    const void *rows[BLOCK];
    float dist[BLOCK];
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t k = QV_MIN(n - at, (size_t)BLOCK);
        qv_status st = qv__qctx_check(r->ctx);
        if (st != QV_OK) {
            return qv__fail(err, st, "query.mmr: %s", qv_status_text(st));
        }
        for (size_t i = 0; i < k; i++) {
            rows[i] = picks[at + i].vector;
        }
        if (to_target || s->def->kind != QV__VEC_MULTI) {
            qv__vector_distances(r->c->db->simd, s->def, vector, rows, k, dist);
        } else {
            for (size_t i = 0; i < k; i++) {
                qv__vector_distances(r->c->db->simd, s->def, rows[i], &vector, 1, &dist[i]);
            }
        }
        r->ctx->stats.distances += k;
        for (size_t i = 0; i < k; i++) {
            struct pick *p = &picks[at + i];
            if (to_target) {
                p->relevance = 0.0f - dist[i];
            } else {
                p->closest = QV_MAX(p->closest, 0.0f - dist[i]);
            }
        }
    }
    return QV_OK;
}

static size_t best_of(const struct pick *picks, size_t n, float diversity, bool first)
{
    size_t best = 0;
    float best_score = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        float score = first
                          ? picks[i].relevance
                          : (1.0f - diversity) * picks[i].relevance - diversity * picks[i].closest;
        if (score >= best_score) {
            best = i;
            best_score = score;
        }
    }
    return best;
}

qv_status qv__mmr(struct qv__run *r, const struct qv__stage *s,
                  const struct qv__ranking *candidates, struct qv__ranking *out, struct qv_err *err)
{
    size_t n = candidates->n;
    struct pick *picks = qv__arena_calloc(&r->rs->arena, n + 1, sizeof *picks);
    if (!picks) {
        return qv__fail(err, QV_ENOMEM, "no memory for %zu candidates", n);
    }
    for (size_t i = 0; i < n; i++) {
        picks[i] = (struct pick){.vector = qv__run_vector(r, s, candidates->items[i].key),
                                 .closest = -INFINITY,
                                 .point = candidates->items[i]};
    }
    QV_TRY(compare(r, s, s->target, picks, n, true, err));
    QV_TRY(qv__ranking_alloc(r, QV_MIN((uint64_t)n, s->take), out, err));
    while (n && out->n < s->take) {
        size_t best = best_of(picks, n, s->q->mmr.diversity, out->n == 0);
        struct pick taken = picks[best];
        picks[best] = picks[--n];
        out->items[out->n++] = taken.point;
        QV_TRY(compare(r, s, taken.vector, picks, n, false, err));
    }
    return QV_OK;
}

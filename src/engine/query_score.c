/* query_score.c: scores from similarities to several vectors, over candidates or over all rows.
 *
 * Rows come in blocks: for each vector of the stage one call of the gathering kernel compares the
 * whole block, and what the kind keeps per row (a best, a sum, a rank) is brought forward. Rows are
 * compared exactly; no index is asked, since no graph is ordered by these scores. */
#include "base/topk.h"
#include "engine/query_exec.h"

#include <float.h>
#include <math.h>

enum { BLOCK = 256 };

struct block {
    const void *rows[BLOCK];
    uint64_t keys[BLOCK];
    size_t n;
    float score[BLOCK];
    float a[BLOCK], b[BLOCK]; /* similarities, or what is kept of them */
};

static float sigmoid(float x)
{
    return x / (1.0f + fabsf(x));
}

/* Infinities (squares beyond floats) stay what they are worth. */
static float scaled_sigmoid(float x)
{
    return isinf(x) ? (x > 0 ? 1.0f : 0.0f) : 0.5f * (sigmoid(x) + 1.0f);
}

/* out[i] = similarity of row i to the vector: larger is nearer. */
static qv_status similarities(struct qv__run *r, const struct qv__stage *s, const void *vector,
                              struct block *b, float *out, struct qv_err *err)
{
    qv_status st = qv__qctx_check(r->ctx);
    if (st != QV_OK) {
        return qv__fail(err, st, "query: %s", qv_status_text(st));
    }
    qv__vector_distances(r->c->db->simd, s->def, vector, b->rows, b->n, out);
    for (size_t i = 0; i < b->n; i++) {
        out[i] = 0.0f - out[i];
    }
    r->ctx->stats.distances += b->n;
    return QV_OK;
}

static void fill(float *v, size_t n, float with)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = with;
    }
}

/* keep[i] = the largest similarity to any of the vectors; -inf without. */
static qv_status best_of(struct qv__run *r, const struct qv__stage *s, const void *const *vectors,
                         size_t n, struct block *b, float *keep, struct qv_err *err)
{
    float sim[BLOCK];
    fill(keep, b->n, -INFINITY);
    for (size_t k = 0; k < n; k++) {
        QV_TRY(similarities(r, s, vectors[k], b, sim, err));
        for (size_t i = 0; i < b->n; i++) {
            keep[i] = QV_MAX(keep[i], sim[i]);
        }
    }
    return QV_OK;
}

static qv_status sum_of(struct qv__run *r, const struct qv__stage *s, const void *const *vectors,
                        size_t n, struct block *b, float *keep, struct qv_err *err)
{
    float sim[BLOCK];
    fill(keep, b->n, 0.0f);
    for (size_t k = 0; k < n; k++) {
        QV_TRY(similarities(r, s, vectors[k], b, sim, err));
        for (size_t i = 0; i < b->n; i++) {
            keep[i] += sim[i];
        }
    }
    return QV_OK;
}

static qv_status score_recommend(struct qv__run *r, const struct qv__stage *s, struct block *b,
                                 struct qv_err *err)
{
    const struct qv__query *q = s->q;
    bool best = q->kind == QV__QUERY_RECOMMEND_BEST;
    qv_status (*keep)(struct qv__run *, const struct qv__stage *, const void *const *, size_t,
                      struct block *, float *, struct qv_err *) = best ? best_of : sum_of;
    QV_TRY(keep(r, s, s->positive, q->n_positive, b, b->a, err));
    QV_TRY(keep(r, s, s->negative, q->n_negative, b, b->b, err));
    for (size_t i = 0; i < b->n; i++) {
        b->score[i] = !best               ? b->a[i] - b->b[i]
                      : b->a[i] > b->b[i] ? scaled_sigmoid(b->a[i])
                                          : -scaled_sigmoid(b->b[i]);
    }
    return QV_OK;
}

static float pair_score(enum qv__query_kind kind, float positive, float negative)
{
    if (kind == QV__QUERY_DISCOVER) {
        return positive > negative ? 1.0f : positive < negative ? -1.0f : 0.0f;
    }
    float lead = positive - negative - FLT_EPSILON;
    return isinf(lead) && lead < 0 ? -1.0f : sigmoid(QV_MIN(lead, 0.0f));
}

static qv_status score_context(struct qv__run *r, const struct qv__stage *s, struct block *b,
                               struct qv_err *err)
{
    const struct qv__query *q = s->q;
    fill(b->score, b->n, 0.0f);
    for (size_t k = 0; k < q->n_positive; k++) {
        QV_TRY(similarities(r, s, s->positive[k], b, b->a, err));
        QV_TRY(similarities(r, s, s->negative[k], b, b->b, err));
        for (size_t i = 0; i < b->n; i++) {
            b->score[i] += pair_score(q->kind, b->a[i], b->b[i]);
        }
    }
    if (q->kind == QV__QUERY_DISCOVER) {
        QV_TRY(similarities(r, s, s->target, b, b->a, err));
        for (size_t i = 0; i < b->n; i++) {
            b->score[i] += scaled_sigmoid(b->a[i]);
        }
    }
    return QV_OK;
}

static qv_status score_feedback(struct qv__run *r, const struct qv__stage *s, struct block *b,
                                struct qv_err *err)
{
    QV_TRY(similarities(r, s, s->target, b, b->score, err));
    for (size_t i = 0; i < b->n; i++) {
        b->score[i] *= s->q->feedback.a;
    }
    for (size_t k = 0; k < s->q->n_positive; k++) {
        QV_TRY(similarities(r, s, s->positive[k], b, b->a, err));
        for (size_t i = 0; i < b->n; i++) {
            b->score[i] += s->weights[k] * b->a[i];
        }
    }
    return QV_OK;
}

/* A sparse vector that shares nothing with the query is not near to it at all. */
static void drop_apart(const struct qv__stage *s, struct block *b)
{
    size_t kept = 0;
    bool overlap = true;
    for (size_t i = 0; i < b->n; i++) {
        if (s->def->kind == QV__VEC_SPARSE) {
            (void)qv__sparse_dot(s->target, b->rows[i], &overlap);
        }
        if (overlap) {
            b->rows[kept] = b->rows[i];
            b->keys[kept++] = b->keys[i];
        }
    }
    b->n = kept;
}

static qv_status score_block(struct qv__run *r, const struct qv__stage *s, struct block *b,
                             struct qv__topk *top, struct qv_err *err)
{
    switch (s->q->kind) {
    case QV__QUERY_NEAREST:
    case QV__QUERY_RECOMMEND:
        drop_apart(s, b);
        QV_TRY(similarities(r, s, s->target, b, b->score, err));
        break;
    case QV__QUERY_RECOMMEND_BEST:
    case QV__QUERY_RECOMMEND_SUM:
        QV_TRY(score_recommend(r, s, b, err));
        break;
    case QV__QUERY_FEEDBACK:
        QV_TRY(score_feedback(r, s, b, err));
        break;
    default:
        QV_TRY(score_context(r, s, b, err));
        break;
    }
    for (size_t i = 0; i < b->n; i++) {
        /* Infinite similarities of both signs leave no number: the worst score there is. */
        float dist = isnan(b->score[i]) ? INFINITY : 0.0f - b->score[i];
        qv__topk_push(top, dist, b->keys[i]);
    }
    b->n = 0;
    return QV_OK;
}

static qv_status offer(struct qv__run *r, const struct qv__stage *s, struct block *b, uint64_t key,
                       struct qv__topk *top, struct qv_err *err)
{
    const void *vector = qv__run_vector(r, s, key);
    if (!vector) {
        return QV_OK;
    }
    b->rows[b->n] = vector;
    b->keys[b->n++] = key;
    return b->n == BLOCK ? score_block(r, s, b, top, err) : QV_OK;
}

/* Room for the best `want`, and one block. */
static qv_status begin(struct qv__run *r, uint64_t want, struct qv__topk *top, struct block **b,
                       struct qv_err *err)
{
    struct qv__hit *heap = qv__arena_calloc(&r->rs->arena, (size_t)want + 1, sizeof *heap);
    *b = qv__arena_alloc(&r->rs->arena, sizeof **b);
    if (!heap || !*b) {
        return qv__fail(err, QV_ENOMEM, "no memory for %" PRIu64 " results", want);
    }
    (*b)->n = 0;
    qv__topk_init(top, heap, (size_t)want);
    return QV_OK;
}

/* What is in the block, then the ranking. */
static qv_status finish(struct qv__run *r, const struct qv__stage *s, struct qv__topk *top,
                        struct block *b, struct qv__ranking *out, struct qv_err *err)
{
    bool nearest = s->q->kind == QV__QUERY_NEAREST || s->q->kind == QV__QUERY_RECOMMEND;
    enum qv__metric metric = (enum qv__metric)s->def->metric;
    if (b->n) {
        QV_TRY(score_block(r, s, b, top, err));
    }
    QV_TRY(qv__ranking_alloc(r, top->n, out, err));
    for (; out->n < top->n; out->n++) {
        float dist = top->heap[out->n].dist;
        out->items[out->n] =
            (struct qv__ranked){.key = top->heap[out->n].key,
                                .score = nearest ? qv__metric_score(metric, dist) : -dist};
    }
    qv__ranking_sort(r, out, !nearest || qv__metric_larger_is_better(metric));
    return QV_OK;
}

qv_status qv__rescore(struct qv__run *r, const struct qv__stage *s,
                      const struct qv__ranking *candidates, uint64_t want, struct qv__ranking *out,
                      struct qv_err *err)
{
    struct qv__topk top;
    struct block *b = NULL;
    QV_TRY(begin(r, QV_MIN(want, (uint64_t)candidates->n), &top, &b, err));
    for (size_t i = 0; i < candidates->n; i++) {
        QV_TRY(offer(r, s, b, candidates->items[i].key, &top, err));
    }
    return finish(r, s, &top, b, out, err);
}

static qv_status scan_segment(struct qv__run *r, const struct qv__stage *s, size_t at,
                              struct block *b, struct qv__topk *top, struct qv_err *err)
{
    struct qv__matching m;
    qv_status st = QV_OK;
    QV_TRY(qv__run_matching(r, at, s->filter, &m, err));
    r->ctx->stats.segments++;
    for (uint32_t row = 0; row < m.n_rows; row++) {
        if (qv__matching_has(&m, row)) {
            QV_GOTO(offer(r, s, b, QV__KEY(at, row), top, err));
        }
    }
out:
    qv__matching_free(&m);
    return st;
}

qv_status qv__leaf_scored(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                          struct qv_err *err)
{
    struct qv__topk top;
    struct block *b = NULL;
    QV_TRY(begin(r, QV_MIN(s->take, r->rows), &top, &b, err));
    for (size_t i = 0; i < r->n_segments; i++) {
        QV_TRY(scan_segment(r, s, i, b, &top, err));
    }
    return finish(r, s, &top, b, out, err);
}

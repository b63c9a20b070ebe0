/* query_fusion.c: several ranked lists to one, by rank (RRF) or by the distribution of scores
 * (DBSF). Numbers are 32-bit floats and are added list by list, as in the primary peer. Equal
 * scores stay in the order in which the points are first met. */
#include "engine/query_exec.h"

#include <math.h>

/* rank is counted from 0. */
static float rrf_score(size_t rank, uint32_t k, float weight)
{
    if (!(weight > 0.0f)) {
        return 0.0f;
    }
    return 1.0f / ((float)(rank + 1) / weight + (float)k - 1.0f);
}

static void score_by_rank(const struct qv__rrf *rrf, size_t at, struct qv__ranking *list)
{
    float weight = rrf->weights ? rrf->weights[at] : 1.0f;
    for (size_t i = 0; i < list->n; i++) {
        list->items[i].score = rrf_score(i, rrf->k, weight);
    }
}

/* Three standard deviations below the mean become 0, as many above 1. One pass (Welford). */
static void normalise(struct qv__ranking *list)
{
    float mean = 0.0f, sum = 0.0f;
    for (size_t i = 0; i < list->n; i++) {
        float before = list->items[i].score - mean;
        mean += before / (float)(i + 1);
        sum += before * (list->items[i].score - mean);
    }
    float sigma = list->n > 1 ? sqrtf(sum / ((float)list->n - 1.0f)) : 0.0f;
    float low = mean - 3.0f * sigma, high = mean + 3.0f * sigma;
    for (size_t i = 0; i < list->n; i++) {
        float *score = &list->items[i].score;
        /* A lone score, equal ones, and such as leave the range of floats say nothing. */
        float scaled = (*score - low) / (high - low);
        *score = list->n > 1 && low != high && isfinite(scaled) ? scaled : 0.5f;
    }
}

struct place {
    uint64_t key;
    float score;
    uint32_t at; /* in the order first met */
};

static int key_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

static int fused_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

qv_status qv__ranking_by_score(struct qv__run *r, struct qv__ranking *list, struct qv_err *err)
{
    struct place *all = qv__arena_calloc(&r->rs->arena, list->n + 1, sizeof *all);
    if (!all) {
        return qv__fail(err, QV_ENOMEM, "no memory to order %zu candidates", list->n);
    }
    for (size_t i = 0; i < list->n; i++) {
        all[i] = (struct place){list->items[i].key, list->items[i].score, (uint32_t)i};
    }
    qsort(all, list->n, sizeof *all, fused_order);
    for (size_t i = 0; i < list->n; i++) {
        list->items[i] = (struct qv__ranked){all[i].key, all[i].score};
    }
    return QV_OK;
}

qv_status qv__fuse(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *lists,
                   struct qv__ranking *out, struct qv_err *err)
{
    uint64_t total = 0;
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < s->n_prefetch; i++) {
        total += lists[i].n;
    }
    if (total > UINT32_MAX) {
        return qv__fail(err, QV_ETOOBIG, "prefetch: %" PRIu64 " candidates to fuse, at most %u",
                        total, UINT32_MAX);
    }
    struct place *all = qv__arena_calloc(&r->rs->arena, (size_t)total + 1, sizeof *all);
    if (!all) {
        return qv__fail(err, QV_ENOMEM, "no memory to fuse %" PRIu64 " candidates", total);
    }
    for (size_t i = 0; i < s->n_prefetch; i++) {
        if (s->q->kind == QV__QUERY_RRF) {
            score_by_rank(&s->q->rrf, i, &lists[i]);
        } else {
            normalise(&lists[i]);
        }
        for (size_t k = 0; k < lists[i].n; k++, n++) {
            all[n] = (struct place){lists[i].items[k].key, lists[i].items[k].score, (uint32_t)n};
        }
    }
    qsort(all, n, sizeof *all, key_order);
    for (size_t i = 0; i < n; i++) {
        if (kept && all[kept - 1].key == all[i].key) {
            all[kept - 1].score += all[i].score; /* in the lists' order */
        } else {
            all[kept++] = all[i];
        }
    }
    qsort(all, kept, sizeof *all, fused_order);
    kept = (size_t)QV_MIN((uint64_t)kept, s->take);
    QV_TRY(qv__ranking_alloc(r, kept, out, err));
    for (; out->n < kept; out->n++) {
        out->items[out->n] = (struct qv__ranked){all[out->n].key, all[out->n].score};
    }
    return QV_OK;
}

/* graph_sketch.c: sketches of all codes of a graph: made once, by a search that scans.
 *
 * One search makes them while others go on without. It is late by some 80 ns a code of 128 bytes;
 * when it is cancelled, or memory is short, another one tries after as many scans again. Where a
 * sample shows that they would lose what is near, they are not made again. */
#include "index/graph_sketch.h"

#include "index/graph_filter.h"

#define HUGE_BYTES ((size_t)2 << 20)

enum {
    CHECK_EVERY = 1024,
    SAMPLE = 8192, /* nodes that are ranked by code and by sketch, */
    ASKED = 12,    /* for so many nodes among them */
    NEAR = 10,     /* nearest by code, which are to be among those kept by sketch */
};
#define KEPT_LEAST 0.95 /* of them */

/* What a sample of the nodes is at, as seen from one of them. */
struct sample {
    uint32_t n, step;
    float by_code[SAMPLE], by_sketch[SAMPLE];
};

static void rank_sample(const struct qv__graph *g, const struct qv__graph_target *to,
                        const struct qv__graph_sketches *k, struct sample *x)
{
    const struct qv__rows *codes = to->is_narrow ? &g->narrow.codes : &g->codes;
    const uint8_t *rows[QV__GRAPH_BLOCK], *sketches[QV__GRAPH_BLOCK];
    for (uint32_t at = 0; at < x->n; at += QV__GRAPH_BLOCK) {
        uint32_t n = QV_MIN(x->n - at, (uint32_t)QV__GRAPH_BLOCK);
        for (uint32_t i = 0; i < n; i++) {
            rows[i] = qv__rows_at(codes, (at + i) * x->step);
            sketches[i] = qv__graph_sketch_at(k, (at + i) * x->step);
        }
        to->codes->gather(to->codes, rows, n, x->by_code + at, NULL);
        qv__quant_sketch_gather(to->codes, sketches, n, x->by_sketch + at);
    }
}

/* How many of the nearest by code, but for the node itself, are among the `keep` by sketch. */
static uint32_t count_kept(const struct sample *x, uint32_t self, uint32_t keep)
{
    uint32_t near[NEAR + 1], n = 0, kept = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        if (i == self || (n == NEAR && x->by_code[i] >= x->by_code[near[n - 1]])) {
            continue;
        }
        uint32_t at = n;
        for (; at > 0 && x->by_code[near[at - 1]] > x->by_code[i]; at--) {
            near[at] = near[at - 1];
        }
        near[at] = i;
        n = QV_MIN(n + 1, (uint32_t)NEAR);
    }
    for (uint32_t j = 0; j < n; j++) {
        uint32_t nearer = 0;
        for (uint32_t i = 0; i < x->n; i++) {
            nearer += x->by_sketch[i] < x->by_sketch[near[j]];
        }
        kept += nearer < keep;
    }
    return kept;
}

/* False also where there is no memory to find out: then not for now. */
static bool show_what_is_near(struct qv__graph *g, const struct qv__graph_sketches *k,
                              struct qv__mem *mem, bool *for_now)
{
    struct sample *x = qv__alloc(mem, sizeof *x);
    struct qv__graph_scratch *s = x ? qv__scratch_take(g) : NULL;
    *for_now = !s;
    uint32_t kept = 0, asked = 0;
    if (s) {
        x->n = QV_MIN(k->n, (uint32_t)SAMPLE);
        x->step = k->n / x->n;
        for (uint32_t a = 0; a < ASKED; a++) {
            uint32_t self = (uint32_t)((uint64_t)a * x->n / ASKED);
            struct qv__graph_target to =
                qv__target_set(g, s, qv__graph_vector(g, self * x->step), true);
            rank_sample(g, &to, k, x);
            kept += count_kept(x, self, qv__sketches_kept(x->n, NEAR));
            asked += QV_MIN(x->n - 1, (uint32_t)NEAR);
        }
    }
    qv__scratch_give(g, s);
    qv__free(x);
    return s && (double)kept >= KEPT_LEAST * (double)asked;
}

static bool make(struct qv__graph *g, const struct qv__graph_target *to, struct qv__qctx *ctx,
                 struct qv__graph_sketches *k)
{
    const struct qv__quant *z = to->codes->z;
    const struct qv__rows *codes = to->is_narrow ? &g->narrow.codes : &g->codes;
    k->n = qv__index_count(&g->index);
    k->stride_bytes = (uint32_t)qv__quant_sketch_bytes(z);
    size_t n_bytes = (size_t)k->n * k->stride_bytes;
    k->rows = qv__graph_mem(g, n_bytes >= 2 * HUGE_BYTES ? HUGE_BYTES : QV__GRAPH_ALIGN, n_bytes);
    for (uint32_t i = 0; k->rows && i < k->n; i++) {
        if (i % CHECK_EVERY == 0 && qv__qctx_check(ctx) != QV_OK) {
            qv__graph_mem_free(g, k->rows, n_bytes);
            return false;
        }
        qv__quant_sketch(z, qv__rows_at(codes, i), k->rows + (size_t)i * k->stride_bytes);
    }
    return k->rows != NULL;
}

qv_status qv__graph_sketches(struct qv__graph *g, const struct qv__graph_target *to,
                             uint64_t n_allowed, struct qv__qctx *ctx,
                             const struct qv__graph_sketches **out)
{
    struct qv__graph_sketches *k = atomic_load_explicit(&g->sketches, memory_order_acquire);
    uint32_t n = qv__index_count(&g->index);
    *out = k;
    if (k || !g->is_view || g->index.params.on_disk || !to->codes ||
        qv__quant_sketch_bytes(to->codes->z) == 0) {
        return QV_OK;
    }
    uint64_t before = atomic_fetch_add_explicit(&g->n_scanned, n_allowed, memory_order_relaxed);
    if (before < n || atomic_load_explicit(&g->is_sketching, memory_order_relaxed)) {
        return QV_OK;
    }
    if (ctx->is_attempt) {
        return QV_ETIMEOUT;
    }
    if (atomic_exchange_explicit(&g->is_sketching, true, memory_order_acquire)) {
        return QV_OK;
    }
    bool again = true; /* after as many scans */
    k = qv__graph_mem(g, 0, sizeof *k);
    if (k && make(g, to, ctx, k)) {
        if (show_what_is_near(g, k, ctx->mem, &again)) {
            atomic_store_explicit(&g->sketches, k, memory_order_release);
            qv__graph_costs_sketched(g, ctx, k);
            *out = k;
            return QV_OK;
        }
        qv__graph_mem_free(g, k->rows, (size_t)k->n * k->stride_bytes);
    }
    qv__graph_mem_free(g, k, sizeof *k);
    if (again) {
        atomic_store_explicit(&g->n_scanned, 0, memory_order_relaxed);
        atomic_store_explicit(&g->is_sketching, false, memory_order_release);
    }
    return QV_OK;
}

void qv__graph_sketches_free(struct qv__graph *g)
{
    struct qv__graph_sketches *k = atomic_load_explicit(&g->sketches, memory_order_relaxed);
    if (k) {
        qv__graph_mem_free(g, k->rows, (size_t)k->n * k->stride_bytes);
        qv__graph_mem_free(g, k, sizeof *k);
    }
}

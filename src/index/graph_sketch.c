/* graph_sketch.c: sketches of all codes of a graph: made once, by a search that scans.
 *
 * One search makes them while others go on without. It is late by some 80 ns a code of 128 bytes;
 * when it is cancelled, or memory is short, another one tries after as many scans again. */
#include "index/graph_sketch.h"

#include "index/graph_filter.h"

#define HUGE_BYTES ((size_t)2 << 20)

enum { CHECK_EVERY = 1024 };

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

const struct qv__graph_sketches *qv__graph_sketches(struct qv__graph *g,
                                                    const struct qv__graph_target *to,
                                                    uint64_t n_allowed, struct qv__qctx *ctx)
{
    struct qv__graph_sketches *k = atomic_load_explicit(&g->sketches, memory_order_acquire);
    uint32_t n = qv__index_count(&g->index);
    if (k || !g->is_view || g->index.params.on_disk || !to->codes ||
        qv__quant_sketch_bytes(to->codes->z) == 0) {
        return k;
    }
    uint64_t before = atomic_fetch_add_explicit(&g->n_scanned, n_allowed, memory_order_relaxed);
    if (before < n || atomic_exchange_explicit(&g->is_sketching, true, memory_order_acquire)) {
        return NULL;
    }
    k = qv__graph_mem(g, 0, sizeof *k);
    if (k && make(g, to, ctx, k)) {
        atomic_store_explicit(&g->sketches, k, memory_order_release);
        qv__graph_costs_sketched(g, ctx, k);
        return k;
    }
    qv__graph_mem_free(g, k, sizeof *k);
    atomic_store_explicit(&g->n_scanned, 0, memory_order_relaxed);
    atomic_store_explicit(&g->is_sketching, false, memory_order_release);
    return NULL;
}

void qv__graph_sketches_free(struct qv__graph *g)
{
    struct qv__graph_sketches *k = atomic_load_explicit(&g->sketches, memory_order_relaxed);
    if (k) {
        qv__graph_mem_free(g, k->rows, (size_t)k->n * k->stride_bytes);
        qv__graph_mem_free(g, k, sizeof *k);
    }
}

/* graph.c: the graph's memory: rows in chunks, layers, levels; and its table of calls.
 *
 * A level is drawn from hash(seed, ordinal) by comparing 64-bit integers with 2^64 / m^l, so that
 * it is the same on every machine (no logarithm), and needs no storage while building.
 *
 * All blocks are counted in memory_bytes; nothing reachable by readers is freed before
 * qv__graph_free. Threads: one writer; qv__graph_mem from any (scratches). */
#include "index/graph.h"

#include <stdio.h>

#include "base/rng.h"
#include "index/graph_fused.h"
#include "index/graph_sketch.h"
#include "index/row_cache.h"

#define HUGE_BYTES ((size_t)2 << 20)

enum {
    LAYER_CHUNKS = 64,  /* of a growing upper layer */
    LAYER_SPARE = 1024, /* slots over twice the expected number */
};

void *qv__graph_mem(struct qv__graph *g, size_t align, size_t n_bytes)
{
    void *p =
        align ? qv__alloc_aligned(g->index.mem, align, n_bytes) : qv__alloc(g->index.mem, n_bytes);
    if (p) {
        atomic_fetch_add_explicit(&g->memory_bytes, n_bytes, memory_order_relaxed);
    }
    return p;
}

void qv__graph_mem_free(struct qv__graph *g, void *p, size_t n_bytes)
{
    if (p) {
        atomic_fetch_sub_explicit(&g->memory_bytes, n_bytes, memory_order_relaxed);
        qv__free(p);
    }
}

uint32_t qv__graph_base_stride(uint32_t m)
{
    return (uint32_t)QV_ALIGN_UP(2 * m * sizeof(uint32_t), QV__GRAPH_ALIGN);
}

uint32_t qv__graph_upper_stride(uint32_t m)
{
    return (uint32_t)(sizeof(struct qv__graph_upper) + m * sizeof(uint32_t));
}

static size_t chunk_bytes(const struct qv__rows *r)
{
    return (size_t)r->n_chunk_rows * r->stride_bytes;
}

bool qv__rows_init(struct qv__graph *g, struct qv__rows *r, uint32_t n_chunks_max, uint32_t shift,
                   uint32_t n_chunk_rows, uint32_t stride_bytes)
{
    size_t table_bytes = n_chunks_max * sizeof *r->chunks;
    uint8_t **chunks = qv__graph_mem(g, 0, table_bytes);
    if (!chunks) {
        return false;
    }
    memset(chunks, 0, table_bytes);
    *r = (struct qv__rows){.chunks = chunks,
                           .n_chunks_max = n_chunks_max,
                           .shift = shift,
                           .n_chunk_rows = n_chunk_rows,
                           .stride_bytes = stride_bytes};
    return true;
}

bool qv__rows_reach(struct qv__graph *g, struct qv__rows *r, uint32_t last)
{
    QV_ASSERT(last >> r->shift < r->n_chunks_max);
    while (r->n_chunks <= last >> r->shift) {
        size_t n = chunk_bytes(r);
        uint8_t *chunk = qv__graph_mem(g, QV__GRAPH_ALIGN, n);
        if (!chunk) {
            return false;
        }
        memset(chunk, 0xff, n);
        r->chunks[r->n_chunks++] = chunk;
    }
    return true;
}

uint8_t *qv__rows_block(struct qv__graph *g, struct qv__rows *r, uint32_t n, uint32_t stride_bytes)
{
    size_t n_bytes = QV__GRAPH_PART_HEADER_BYTES + (size_t)n * stride_bytes;
    if (!r->chunks && !qv__rows_init(g, r, 1, 31, n, stride_bytes)) {
        return NULL;
    }
    uint8_t *block =
        qv__graph_mem(g, n_bytes >= 2 * HUGE_BYTES ? HUGE_BYTES : QV__GRAPH_ALIGN, n_bytes);
    if (block) {
        r->chunks[0] = block + QV__GRAPH_PART_HEADER_BYTES;
        r->n_chunks = 1;
    }
    return block;
}

void qv__rows_free(struct qv__graph *g, struct qv__rows *r)
{
    for (uint32_t i = 0; i < r->n_chunks; i++) {
        qv__graph_mem_free(g, r->chunks[i], chunk_bytes(r));
    }
    qv__graph_mem_free(g, r->chunks, r->n_chunks_max * sizeof *r->chunks);
    *r = (struct qv__rows){0};
}

uint32_t qv__graph_level(const struct qv__graph *g, uint32_t ord)
{
    uint64_t draw = qv__mix64(g->index.params.seed ^ qv__mix64(ord));
    uint64_t below = UINT64_MAX / g->m;
    uint32_t level = 0;
    while (draw < below && level < QV__GRAPH_LAYERS_MAX - 1) {
        level++;
        below /= g->m;
    }
    return level;
}

/* Slots to provide for on a growing layer: the number of nodes up there is binomial with mean
 * n_max / m^layer; twice that and a bit is out of its reach, and were it reached, levels are cut.
 */
static uint32_t slots_expected(const struct qv__graph *g, uint32_t layer)
{
    uint64_t n = g->n_max;
    for (uint32_t l = 0; l < layer; l++) {
        n /= g->m;
    }
    return (uint32_t)QV_MIN(2 * n + LAYER_SPARE, (uint64_t)QV__GRAPH_N_MAX);
}

bool qv__graph_layer_add(struct qv__graph *g, uint32_t layer, uint32_t n_slots)
{
    QV_ASSERT(layer == qv__graph_layers(g) && layer > 0 && layer < QV__GRAPH_LAYERS_MAX);
    struct qv__graph_layer *l = &g->upper[layer - 1];
    uint32_t n_chunks = 1, shift = 31, n_chunk_rows = n_slots;
    if (n_slots == 0) {
        n_chunks = LAYER_CHUNKS;
        for (shift = 0; (uint64_t)LAYER_CHUNKS << shift < slots_expected(g, layer); shift++) {
        }
        n_chunk_rows = UINT32_C(1) << shift;
    }
    /* A layer left from a failed attempt is taken up again. */
    if (!l->rows.chunks &&
        !qv__rows_init(g, &l->rows, n_chunks, shift, n_chunk_rows, qv__graph_upper_stride(g->m))) {
        return false;
    }
    if (!qv__rows_reach(g, &l->rows, 0)) {
        return false;
    }
    struct qv__graph_upper *root = qv__graph_upper_at(g, layer, 0);
    root->ord = g->root;
    root->down = layer == 1 ? g->root : 0;
    l->n = 1;
    atomic_store_explicit(&g->n_layers, layer + 1, memory_order_release);
    return true;
}

qv_status qv__graph_alloc(const struct qv__index_params *params, const struct qv__index_env *env,
                          const struct qv__vectors *vectors, uint32_t n_max, struct qv__graph **out,
                          struct qv_err *err)
{
    QV_TRY(qv__index_params_check(params, err));
    QV_TRY(qv__index_vectors_check(vectors, err));
    if (n_max > QV__GRAPH_N_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "graph: %" PRIu32 " ordinals are over the limit %" PRIu32, n_max,
                        QV__GRAPH_N_MAX);
    }
    struct qv__graph *g = qv__zalloc(env->mem, sizeof *g);
    if (!g) {
        return qv__fail(err, QV_ENOMEM, "graph: out of memory");
    }
    g->index.ops = &qv__graph_ops;
    g->index.mem = env->mem;
    g->index.simd = env->simd;
    g->index.vectors = *vectors;
    g->index.params = *params;
    atomic_init(&g->index.n_indexed, 0);
    g->kernels = qv__kernels_of(env->simd, vectors->datatype, vectors->metric);
    g->n_max = n_max;
    g->m = params->m;
    g->cap_base = 2 * params->m;
    g->walk_cost = QV__WALK_COST;
    atomic_init(&g->n_layers, 0);
    atomic_init(&g->n_links, 0);
    atomic_init(&g->memory_bytes, sizeof *g);
    atomic_init(&g->row_cache, NULL);
    atomic_init(&g->sketches, NULL);
    atomic_init(&g->n_scanned, 0);
    atomic_init(&g->is_sketching, false);
    atomic_init(&g->pack_quant, NULL);
    atomic_init(&g->walk_bias, 0.0f);
    qv__mutex_init(&g->lock, QV__RANK_LEAF);
    *out = g;
    return QV_OK;
}

void qv__graph_free(struct qv__index *x)
{
    if (!x) {
        return;
    }
    struct qv__graph *g = qv__graph_of(x);
    qv__scratch_drop(g);
    if (g->is_view || g->base_block) {
        g->base.n_chunks = 0; /* the one chunk is not its own */
    }
    if (g->is_view || g->code_block) {
        g->codes.n_chunks = 0;
    }
    qv__free(g->base_block);
    qv__free(g->code_block);
    qv__rows_free(g, &g->base);
    qv__rows_free(g, &g->codes);
    qv__quant_free(g->quant);
    qv__graph_narrow_free(g, &g->narrow);
    qv__fused_free(g);
    qv__rows_free(g, &g->tree);
    for (uint32_t i = 0; i < QV_ARRAY_LEN(g->upper); i++) {
        if (g->is_view) {
            g->upper[i].rows.n_chunks = 0;
        }
        qv__rows_free(g, &g->upper[i].rows);
    }
    qv__row_cache_free(atomic_load_explicit(&g->row_cache, memory_order_relaxed));
    qv__graph_sketches_free(g);
    qv__quant_free(atomic_load_explicit(&g->pack_quant, memory_order_relaxed));
    qv__mutex_destroy(&g->lock);
    qv__free(g);
}

static void graph_describe(const struct qv__index *x, struct qv__index_info *info)
{
    struct qv__graph *g = (struct qv__graph *)(uintptr_t)x;
    uint32_t n = qv__index_count(x);
    uint64_t n_links = atomic_load_explicit(&g->n_links, memory_order_relaxed);
    const struct qv__row_cache *cache = atomic_load_explicit(&g->row_cache, memory_order_acquire);
    *info = (struct qv__index_info){
        .kind = "graph",
        .n = n,
        .memory_bytes = atomic_load_explicit(&g->memory_bytes, memory_order_relaxed) +
                        (cache ? qv__row_cache_bytes(cache) : 0),
        .mapped_bytes = g->mapped_bytes,
        .levels = n ? qv__graph_layers(g) : 0,
        .degree_avg = n ? (double)n_links / n : 0.0,
        .codes = n && g->narrow.quant
                     ? "int4"
                     : qv__graph_codes_name(n ? qv__graph_codes_have(g) : QV__INDEX_CODES_NONE),
        .code_bytes = n && g->quant ? (uint32_t)qv__quant_code_bytes(
                                          g->narrow.quant ? g->narrow.quant : g->quant)
                                    : qv__vector_bytes(x->vectors.datatype, x->vectors.dim),
    };
}

/* A graph's own choice has changed with versions: any that it ever was is good, so that no upgrade
 * makes every graph anew. */
static bool codes_differ(const struct qv__graph *g, uint32_t asked, enum qv__index_codes wanted)
{
    enum qv__index_codes have = qv__graph_codes_have(g);
    if (asked == QV__INDEX_CODES_AUTO) {
        return have != QV__INDEX_CODES_NONE && have != QV__INDEX_CODES_INT8;
    }
    return have != wanted || (g->narrow.quant && asked == QV__INDEX_CODES_INT8);
}

static bool graph_differs(const struct qv__index *x, const struct qv__index_params *want,
                          char why[64])
{
    const struct qv__graph *g = qv__graph_of_const(x);
    const struct qv__index_params *have = &x->params;
    char text[64];
    uint32_t n = qv__index_count(x); /* before codes: an insert makes them while there are none */
    enum qv__index_codes codes = n ? qv__graph_codes_have(g) : QV__INDEX_CODES_NONE;
    enum qv__index_codes wanted = qv__graph_codes_wanted(want, &x->vectors);
    if (want->kind != QV__INDEX_GRAPH) {
        (void)snprintf(text, sizeof text, "graph -> none");
    } else if (have->m != want->m) {
        (void)snprintf(text, sizeof text, "m %" PRIu32 " -> %" PRIu32, have->m, want->m);
    } else if (have->ef_construct != want->ef_construct) {
        (void)snprintf(text, sizeof text, "ef_construct %" PRIu32 " -> %" PRIu32,
                       have->ef_construct, want->ef_construct);
    } else if (n && codes_differ(g, want->codes, wanted)) {
        (void)snprintf(text, sizeof text, "walk over %s -> %s",
                       g->narrow.quant ? "int4" : qv__graph_codes_name(codes),
                       qv__graph_codes_name(wanted));
    } else if (g->is_view && have->on_disk != want->on_disk) {
        (void)snprintf(text, sizeof text, "graph %s",
                       want->on_disk ? "memory -> disk" : "disk -> memory");
    } else if (g->is_view && have->packing != want->packing) {
        (void)snprintf(text, sizeof text, "packing %s",
                       want->packing == QV__INDEX_PACKING_FUSED ? "compact -> fused"
                                                                : "fused -> compact");
    } else {
        return false;
    }
    if (why) {
        memcpy(why, text, sizeof text);
    }
    return true;
}

const struct qv__index_ops qv__graph_ops = {
    .name = "graph",
    .create = qv__graph_create,
    .build = qv__graph_build,
    .insert = qv__graph_insert,
    .merge = qv__graph_merge,
    .search = qv__graph_search,
    .save = qv__graph_save,
    .open = qv__graph_open,
    .validate = qv__graph_validate,
    .describe = graph_describe,
    .differs = graph_differs,
    .free = qv__graph_free,
};

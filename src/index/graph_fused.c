/* graph_fused.c: fused records, made out of a complete graph.
 *
 * Codes come 32 at a time, and a node has fewer links as a rule (19 of 32 at m 16 on text), so the
 * places left are filled with the nearest of its neighbours' neighbours: they cost nothing to read,
 * and a walk finds the same with a sixth fewer expansions.
 *
 * All vectors are centred and rotated once, in memory that is given back at the end. */
#include "index/graph_fused.h"

enum {
    GRAIN = 64,
    FILL_FROM = 512, /* neighbours of neighbours that are compared, at most */
};
#define HUGE_SEED UINT64_C(0x6675736564)

struct making {
    struct qv__graph *g;
    uint32_t n, n_elements;
    float *rotated; /* all vectors */
    float *mean;
    _Atomic bool has_failed;
};

static float *rotated_at(const struct making *m, uint32_t ord)
{
    return m->rotated + (size_t)ord * m->n_elements;
}

static void rotate_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct making *m = ctx;
    const struct qv__graph *g = m->g;
    (void)worker;
    float *row = qv__calloc(g->index.mem, m->n_elements, sizeof *row);
    if (!row) {
        atomic_store_explicit(&m->has_failed, true, memory_order_relaxed);
        return;
    }
    for (size_t i = begin; i < end; i++) {
        qv__around_center(g->fused.quant, g->index.vectors.datatype,
                          qv__graph_vector(g, (uint32_t)i), row, rotated_at(m, (uint32_t)i));
    }
    qv__free(row);
}

static uint32_t links_copy(const struct qv__graph *g, uint32_t node, uint32_t *out)
{
    const uint32_t *links = qv__graph_base_links(g, node);
    uint32_t n = 0;
    while (n < g->cap_base && qv__graph_link_load(links + n) != QV__GRAPH_EMPTY) {
        out[n] = qv__graph_link_load(links + n);
        n++;
    }
    return n;
}

/* Neighbours of the n neighbours that are neither the node nor one of them. */
static uint32_t candidates(const struct qv__graph *g, struct qv__graph_scratch *s, uint32_t node,
                           const uint32_t *near, uint32_t n, uint32_t *out)
{
    uint32_t n_out = 0;
    s->stamps[node] = s->epoch;
    for (uint32_t i = 0; i < n; i++) {
        s->stamps[near[i]] = s->epoch;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *links = qv__graph_base_links(g, near[i]);
        for (uint32_t k = 0; k < g->cap_base && n_out < FILL_FROM; k++) {
            uint32_t to = qv__graph_link_load(links + k);
            if (to == QV__GRAPH_EMPTY) {
                break;
            }
            out[n_out] = to;
            n_out += s->stamps[to] != s->epoch;
            s->stamps[to] = s->epoch;
        }
    }
    return n_out;
}

/* Put the nearest of the neighbours' neighbours behind the n in `near`, up to all slots; returns
 * how many there are then. */
static uint32_t fill(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t node,
                     uint32_t *near, uint32_t n)
{
    uint32_t nodes[FILL_FROM], n_free = g->fused.n_slots - n;
    uint64_t keys[FILL_FROM];
    float dists[QV__GRAPH_BLOCK];
    if (n_free == 0) {
        return n;
    }
    bool is_narrow = g->narrow.quant != NULL;
    struct qv__quant_query *query = is_narrow ? s->narrow : s->pair;
    qv__quant_query_set_code(query, is_narrow ? qv__rows_at(&g->narrow.codes, node)
                                              : qv__graph_code(g, node));
    struct qv__graph_target to = {.codes = query, .is_narrow = is_narrow};
    uint32_t n_from = candidates(g, s, node, near, n, nodes);
    for (uint32_t i = 0; i < n_from; i += QV__GRAPH_BLOCK) {
        uint32_t n_block = QV_MIN(n_from - i, (uint32_t)QV__GRAPH_BLOCK);
        qv__walk_measure(g, &to, 0, nodes + i, n_block, dists);
        for (uint32_t k = 0; k < n_block; k++) {
            keys[i + k] = qv__key(dists[k], nodes[i + k]);
        }
    }
    n_free = QV_MIN(n_free, n_from);
    qv__keys_split(keys, n_from, n_free);
    qv__keys_sort(keys, n_free);
    for (uint32_t i = 0; i < n_free; i++) {
        near[n + i] = qv__key_node(keys[i]);
    }
    return n + n_free;
}

static void record_make(const struct making *m, struct qv__graph_scratch *s, uint32_t node)
{
    struct qv__graph *g = m->g;
    const struct qv__graph_fused *f = &g->fused;
    uint8_t *record = qv__rows_at(&f->rows, node);
    uint32_t *near = (uint32_t *)(void *)record;
    uint32_t n = fill(g, s, node, near, links_copy(g, node, near));
    size_t block_bytes = qv__around_bytes(f->quant);
    uint8_t *at = record + (size_t)4 * f->n_slots;
    for (uint32_t i = n; i < f->n_slots; i++) {
        near[i] = QV__GRAPH_EMPTY;
    }
    for (uint32_t i = 0; i < f->n_slots; i += QV__LOOKUP_CODES, at += block_bytes) {
        const float *rows[QV__LOOKUP_CODES];
        for (uint32_t k = 0; k < QV__LOOKUP_CODES; k++) {
            rows[k] = i + k < n ? rotated_at(m, near[i + k]) : NULL;
        }
        qv__around_encode(f->quant, m->mean, rotated_at(m, node), rows, at);
    }
    const uint8_t *own =
        g->narrow.quant ? qv__rows_at(&g->narrow.codes, node) : qv__graph_code(g, node);
    uint32_t n_own = f->n_own_bytes;
    memcpy(record + f->own_at, own, n_own);
    memset(record + f->own_at + n_own, 0, f->rows.stride_bytes - f->own_at - n_own);
}

static void record_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct making *m = ctx;
    (void)worker;
    struct qv__graph_scratch *s = qv__scratch_take(m->g);
    bool is_ok = s != NULL;
    for (size_t i = begin; is_ok && i < end; i++) {
        is_ok = qv__scratch_begin(m->g, s, m->n, 1, 0, true);
        if (is_ok) {
            record_make(m, s, (uint32_t)i);
        }
    }
    qv__scratch_give(m->g, s);
    if (!is_ok) {
        atomic_store_explicit(&m->has_failed, true, memory_order_relaxed);
    }
}

/* The layout of records; false if there is no memory for them. */
static bool fused_begin(struct qv__graph *g, uint32_t n)
{
    struct qv__graph_fused *f = &g->fused;
    struct qv__quant_params p = {
        .kind = QV__QUANT_RABITQ, .bits = 1, .seed = g->index.params.seed ^ HUGE_SEED};
    struct qv_err err; /* memory is all that can lack */
    if (qv__quant_train(&p, &g->index.vectors, n, g->index.mem, g->index.simd, &f->quant, &err) !=
        QV_OK) {
        return false;
    }
    f->n_slots = (uint32_t)QV_ALIGN_UP((size_t)g->cap_base, (size_t)QV__LOOKUP_CODES);
    f->own_at =
        4 * f->n_slots + f->n_slots / QV__LOOKUP_CODES * (uint32_t)qv__around_bytes(f->quant);
    f->n_own_bytes = (uint32_t)qv__quant_code_bytes(g->narrow.quant ? g->narrow.quant : g->quant);
    size_t stride = QV_ALIGN_UP((size_t)f->own_at + f->n_own_bytes, (size_t)QV__GRAPH_ALIGN);
    f->block = qv__rows_block(g, &f->rows, n, (uint32_t)stride);
    return f->block != NULL;
}

static bool fused_fill(struct qv__graph *g, const struct qv__index_env *env, uint32_t n)
{
    struct making m = {.g = g, .n = n, .n_elements = (uint32_t)qv__around_elements(g->fused.quant)};
    size_t n_bytes = (size_t)n * m.n_elements * sizeof *m.rotated;
    m.rotated = qv__graph_mem(g, QV__GRAPH_ALIGN, n_bytes);
    m.mean = qv__calloc(g->index.mem, m.n_elements, sizeof *m.mean);
    bool is_ok = m.rotated && m.mean;
    if (is_ok) {
        unsigned threads = qv__env_threads(env);
        qv__around_mean(g->fused.quant, m.mean);
        qv__parallel_for(env->pool, threads, n, GRAIN, rotate_task, &m);
        if (!atomic_load_explicit(&m.has_failed, memory_order_relaxed)) {
            qv__parallel_for(env->pool, threads, n, GRAIN, record_task, &m);
        }
        is_ok = !atomic_load_explicit(&m.has_failed, memory_order_relaxed);
    }
    qv__free(m.mean);
    qv__graph_mem_free(g, m.rotated, n_bytes);
    return is_ok;
}

void qv__fused_make(struct qv__graph *g, const struct qv__index_env *env)
{
    bool can = g->index.params.packing == QV__INDEX_PACKING_FUSED && !g->index.params.on_disk &&
               g->quant && g->n_max > 0 && qv__around_fits(g->index.vectors.dim);
    if (!can) {
        return;
    }
    if (!fused_begin(g, g->n_max) || !fused_fill(g, env, g->n_max)) {
        qv__fused_free(g);
    }
    qv__scratch_drop(g); /* they have no query of the records' kind */
}

void qv__fused_free(struct qv__graph *g)
{
    struct qv__graph_fused *f = &g->fused;
    qv__graph_mem_free(g, f->block,
                       QV__GRAPH_PART_HEADER_BYTES +
                           (size_t)f->rows.n_chunk_rows * f->rows.stride_bytes);
    f->rows.n_chunks = 0; /* the one chunk was the block's */
    qv__rows_free(g, &f->rows);
    qv__quant_free(f->quant);
    *f = (struct qv__graph_fused){0};
}

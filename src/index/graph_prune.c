/* graph_prune.c: which neighbours a node keeps.
 *
 * The heuristic of HNSW (algorithm 4 of Malkov and Yashunin): candidates from near to far; one is
 * dropped when a neighbour kept before is nearer to it than the node itself is, since the walk gets
 * there through that neighbour. What is ours:
 * (1) A candidate equal to a kept neighbour, element by element, is dropped too. The published rule
 * keeps it (nothing is strictly nearer), so points that occur often link to nothing but their twins
 * and become an island. (2) A new node that kept less than half its m takes the nearest dropped
 * ones up to that. (3) Links of the spanning tree (graph_link.c) are kept whatever the heuristic
 * says. (4) A node that gets several new links at once is pruned once. (5) Links that stay keep
 * their place in the record, so that a search that reads it meanwhile misses none of them. */
#include "index/graph_link.h"

#include "simd/prefetch.h"

enum { AHEAD = 2 };      /* candidates whose codes are asked for before their turn */
enum { CHECK_ROWS = 4 }; /* kept neighbours compared at a time before looking for an early end */

/* A selection under way. */
struct selection {
    const struct qv__graph *g;
    struct qv__graph_worker *w;
    uint32_t layer;
    uint32_t n_kept, n_pruned;
};

static const void *key_vector(const struct selection *s, uint64_t key)
{
    return qv__graph_vector(s->g, qv__graph_ord(s->g, s->layer, qv__key_node(key)));
}

static const uint8_t *key_code(const struct selection *s, uint64_t key)
{
    return qv__graph_code(s->g, qv__graph_ord(s->g, s->layer, qv__key_node(key)));
}

static bool is_redundant(const struct selection *s, uint64_t key, const void *row)
{
    const struct qv__graph *g = s->g;
    uint32_t dim = g->index.vectors.dim;
    float dist = qv__key_dist(key);
    /* Equal vectors have equal distances to the node, so they are next to each other. */
    for (uint32_t i = s->n_kept; i > 0 && s->w->kept[i - 1] >> 32 == key >> 32; i--) {
        if (memcmp(row, s->w->rows[i - 1], qv__vector_bytes(g->index.vectors.datatype, dim)) == 0) {
            return true;
        }
    }
    const struct qv__quant_query *pair = s->w->scratch->pair;
    if (pair && s->n_kept) {
        qv__quant_query_set_code(s->w->scratch->pair, key_code(s, key));
    }
    float dists[CHECK_ROWS];
    for (uint32_t i = 0; i < s->n_kept; i += CHECK_ROWS) {
        uint32_t n = QV_MIN(s->n_kept - i, (uint32_t)CHECK_ROWS);
        if (pair) {
            pair->gather(pair, s->w->codes + i, n, dists, NULL);
        } else {
            g->kernels.gather(row, s->w->rows + i, n, dim, dists);
        }
        for (uint32_t j = 0; j < n; j++) {
            if ((pair ? dists[j] : qv__kernels_dist(g->kernels.is_similarity, dists[j])) < dist) {
                return true;
            }
        }
    }
    return false;
}

static void keep(struct selection *s, uint64_t key, const void *row)
{
    s->w->rows[s->n_kept] = row;
    if (s->g->quant) {
        s->w->codes[s->n_kept] = key_code(s, key);
    }
    s->w->kept[s->n_kept++] = key;
}

uint32_t qv__prune_new(const struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                       const uint64_t *keys, uint32_t n, uint64_t *out)
{
    struct selection s = {.g = g, .w = w, .layer = layer};
    uint32_t n_fill = QV_MAX(g->m / 2, 1u);
    for (uint32_t i = 0; i < n && s.n_kept < g->m; i++) {
        uint64_t key = keys[i] & ~UINT64_C(1);
        if (g->quant && i + AHEAD < n) { /* one after the other, none of it recently read */
            qv__prefetch_span(key_code(&s, keys[i + AHEAD]), qv__quant_code_bytes(g->quant));
        }
        const void *row = key_vector(&s, key);
        if (!is_redundant(&s, key, row)) {
            keep(&s, key, row);
        } else if (s.n_pruned < n_fill) {
            w->pruned[s.n_pruned++] = key;
        }
    }
    for (uint32_t i = 0; i < s.n_pruned && s.n_kept < n_fill; i++) {
        w->kept[s.n_kept++] = w->pruned[i];
    }
    memcpy(out, w->kept, s.n_kept * sizeof *out);
    return s.n_kept;
}

static bool is_tree_link(const struct qv__graph *g, uint32_t layer, uint32_t from, uint32_t to)
{
    return layer == 0 && qv__graph_tree_at(g, to)->parent == from;
}

/* Reduce w->keys[0..n), sorted, to at most cap in w->kept. */
static uint32_t prune_full(struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                           uint32_t target, uint32_t n, uint32_t cap)
{
    struct selection s = {.g = g, .w = w, .layer = layer};
    uint32_t n_free = cap;
    for (uint32_t i = 0; i < n; i++) {
        n_free -= is_tree_link(g, layer, target, qv__key_node(w->keys[i]));
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t key = w->keys[i];
        const void *row = key_vector(&s, key);
        if (is_tree_link(g, layer, target, qv__key_node(key))) {
            keep(&s, key, row);
        } else if (n_free && !is_redundant(&s, key, row)) {
            keep(&s, key, row);
            n_free--;
        }
    }
    return s.n_kept;
}

/* Distances from the target to its present links, as keys. */
static void measure_links(const struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                          uint32_t target, const uint32_t *links, uint32_t n)
{
    float dists[QV__GRAPH_BLOCK];
    uint32_t ord = qv__graph_ord(g, layer, target);
    struct qv__graph_target to = {.vector = qv__graph_vector(g, ord)};
    if (g->quant) {
        qv__quant_query_set_code(w->scratch->pair, qv__graph_code(g, ord));
        to.codes = w->scratch->pair;
    }
    for (uint32_t i = 0; i < n; i += QV__GRAPH_BLOCK) {
        uint32_t n_block = QV_MIN(n - i, (uint32_t)QV__GRAPH_BLOCK);
        qv__walk_measure(g, &to, layer, links + i, n_block, dists);
        for (uint32_t j = 0; j < n_block; j++) {
            w->keys[i + j] = qv__key(dists[j], links[i + j]);
        }
    }
}

uint32_t qv__prune_repair(struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                          uint32_t node, const uint32_t *nodes, uint32_t n_live, uint32_t n,
                          uint32_t cap)
{
    struct selection s = {.g = g, .w = w, .layer = layer};
    uint32_t n_cand = n - n_live;
    for (uint32_t i = 0; i < n_live; i++) {
        uint64_t key = qv__key(0, nodes[i]);
        keep(&s, key, key_vector(&s, key));
    }
    measure_links(g, w, layer, node, nodes + n_live, n_cand);
    qv__keys_sort(w->keys, n_cand);
    for (uint32_t i = 0; i < n_cand && s.n_kept < cap; i++) {
        const void *row = key_vector(&s, w->keys[i]);
        if (!is_redundant(&s, w->keys[i], row)) {
            keep(&s, w->keys[i], row);
        } else if (s.n_pruned < cap) {
            w->pruned[s.n_pruned++] = w->keys[i];
        }
    }
    for (uint32_t i = 0; i < s.n_pruned && s.n_kept < cap; i++) {
        w->kept[s.n_kept++] = w->pruned[i];
    }
    return s.n_kept;
}

/* Write kept[0..n) over the record's n_old links; those in both stay where they are. */
static void rewrite(struct qv__graph_worker *w, uint32_t *links, uint32_t n_old, uint32_t n)
{
    struct qv__graph_scratch *s = w->scratch;
    qv__scratch_epoch(s);
    for (uint32_t i = 0; i < n; i++) {
        s->stamps[qv__key_node(w->kept[i])] = s->epoch;
    }
    for (uint32_t i = 0; i < n_old; i++) { /* unmark what is there already */
        uint8_t *stamp = &s->stamps[links[i]];
        bool stays = *stamp == s->epoch;
        *stamp = 0;
        w->pruned[i] = stays;
    }
    uint32_t next = 0;
    uint32_t n_links = n_old;
    for (uint32_t i = 0; i < n_links;) {
        if (w->pruned[i]) {
            i++;
            continue;
        }
        while (next < n && s->stamps[qv__key_node(w->kept[next])] != s->epoch) {
            next++;
        }
        if (next < n) {
            qv__graph_link_store(links + i, qv__key_node(w->kept[next++]));
            i++;
        } else { /* nothing new left: the last link moves into the hole */
            n_links--;
            if (i < n_links) {
                qv__graph_link_store(links + i, links[n_links]);
                w->pruned[i] = w->pruned[n_links];
            }
            qv__graph_link_store(links + n_links, QV__GRAPH_EMPTY);
        }
    }
    for (; next < n; next++) {
        if (s->stamps[qv__key_node(w->kept[next])] == s->epoch) {
            qv__graph_link_store(links + n_links++, qv__key_node(w->kept[next]));
        }
    }
}

int64_t qv__prune_target(struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                         uint32_t target, const uint64_t *sources, uint32_t n)
{
    uint32_t cap = qv__graph_cap(g, layer);
    uint32_t *links = qv__graph_links(g, layer, target);
    uint32_t n_old = 0;
    while (n_old < cap && links[n_old] != QV__GRAPH_EMPTY) {
        n_old++;
    }
    /* Two nodes of one batch may have picked each other. */
    uint32_t n_new = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t node = qv__key_node(sources[i]);
        uint32_t at = 0;
        while (at < n_old && links[at] != node) {
            at++;
        }
        if (at == n_old) {
            w->keys[n_old + n_new++] = sources[i];
        }
    }
    if (n_old + n_new <= cap) {
        for (uint32_t i = 0; i < n_new; i++) {
            qv__graph_link_store(links + n_old + i, qv__key_node(w->keys[n_old + i]));
        }
        return n_new;
    }
    measure_links(g, w, layer, target, links, n_old);
    qv__keys_sort(w->keys, n_old + n_new);
    uint32_t n_kept = prune_full(g, w, layer, target, n_old + n_new, cap);
    rewrite(w, links, n_old, n_kept);
    return (int64_t)n_kept - (int64_t)n_old;
}

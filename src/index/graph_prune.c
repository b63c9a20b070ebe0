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
 * their place in the record, so that a search that reads it meanwhile misses none of them. (6) A
 * neighbour that is kept is compared at once with all later candidates of its chunk, in one call:
 * the same pairs as candidate by candidate, in fewer and longer batches. */
#include "index/graph_link.h"

enum {
    CHUNK = QV__GRAPH_BLOCK, /* candidates that are judged together */
    BOTH_EIGHTHS = 5,        /* of a record: what qv__prune_both leaves no free places in */
};

/* A selection under way: into w->kept, and the first n_fill of the others into w->pruned. */
struct selection {
    const struct qv__graph *g;
    struct qv__graph_worker *w;
    uint32_t layer;
    uint32_t parent; /* of links that are kept in any case: those of the tree; QV__GRAPH_EMPTY */
    uint32_t n_free; /* others that may be kept */
    uint32_t n_fill;
    uint32_t n_kept, n_pruned;
};

static uint32_t key_ord(const struct selection *s, uint64_t key)
{
    return qv__graph_ord(s->g, s->layer, qv__key_node(key));
}

/* Equal vectors have equal distances to the node, so they are next to each other. */
static bool has_twin(const struct selection *s, uint64_t key)
{
    const struct qv__vectors *v = &s->g->index.vectors;
    size_t n_bytes = qv__vector_bytes(v->datatype, v->dim);
    for (uint32_t i = s->n_kept; i > 0 && s->w->kept[i - 1] >> 32 == key >> 32; i--) {
        if (memcmp(qv__graph_vector(s->g, key_ord(s, key)),
                   qv__graph_vector(s->g, key_ord(s, s->w->kept[i - 1])), n_bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Mark those of keys[from..n) that are nearer to a kept neighbour than to the node. */
static void mark_behind(const struct selection *s, uint64_t kept, const uint64_t *keys,
                        uint32_t from, uint32_t n, bool *is_behind)
{
    const struct qv__graph *g = s->g;
    const void *rows[CHUNK];
    uint8_t at[CHUNK];
    float dists[CHUNK];
    uint32_t n_left = 0;
    for (uint32_t i = from; i < n; i++) {
        at[n_left] = (uint8_t)i;
        n_left += !is_behind[i];
    }
    if (n_left == 0) {
        return;
    }
    struct qv__quant_query *pair = s->w->scratch->pair;
    if (pair) {
        const uint8_t *codes[CHUNK];
        for (uint32_t i = 0; i < n_left; i++) {
            codes[i] = qv__graph_code(g, key_ord(s, keys[at[i]]));
        }
        qv__quant_query_set_code(pair, qv__graph_code(g, key_ord(s, kept)));
        pair->gather(pair, codes, n_left, dists, NULL);
    } else {
        for (uint32_t i = 0; i < n_left; i++) {
            rows[i] = qv__graph_vector(g, key_ord(s, keys[at[i]]));
        }
        g->kernels.gather(qv__graph_vector(g, key_ord(s, kept)), rows, n_left, g->index.vectors.dim,
                          dists);
        for (uint32_t i = 0; i < n_left; i++) {
            dists[i] = qv__kernels_dist(g->kernels.is_similarity, dists[i]);
        }
    }
    for (uint32_t i = 0; i < n_left; i++) {
        is_behind[at[i]] = dists[i] < qv__key_dist(keys[at[i]]);
    }
}

static bool is_tree_link(const struct qv__graph *g, uint32_t layer, uint32_t from, uint32_t to)
{
    return layer == 0 && qv__graph_tree_at(g, to)->parent == from;
}

/* Judge a chunk of candidates, sorted and farther than those before. */
static void select_chunk(struct selection *s, const uint64_t *keys, uint32_t n)
{
    struct qv__graph_worker *w = s->w;
    bool is_behind[CHUNK] = {0};
    for (uint32_t i = 0; i < s->n_kept && s->n_free; i++) {
        mark_behind(s, w->kept[i], keys, 0, n, is_behind);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t key = keys[i] & ~UINT64_C(1);
        bool stays = s->parent != QV__GRAPH_EMPTY &&
                     is_tree_link(s->g, s->layer, s->parent, qv__key_node(key));
        if (!stays && s->n_free && !is_behind[i] && !has_twin(s, key)) {
            stays = true;
            s->n_free--;
        }
        if (stays) {
            w->kept[s->n_kept++] = key;
            if (s->n_free) {
                mark_behind(s, key, keys, i + 1, n, is_behind);
            }
        } else if (s->n_pruned < s->n_fill) {
            w->pruned[s->n_pruned++] = key;
        }
    }
}

/* Judge n sorted candidates. */
static void select_keys(struct selection *s, const uint64_t *keys, uint32_t n)
{
    for (uint32_t i = 0; i < n && (s->n_free || s->parent != QV__GRAPH_EMPTY); i += CHUNK) {
        select_chunk(s, keys + i, QV_MIN(n - i, (uint32_t)CHUNK));
    }
}

/* Up to `n` with the nearest of those that were left out. */
static void fill_up(struct selection *s, uint32_t n)
{
    for (uint32_t i = 0; i < s->n_pruned && s->n_kept < n; i++) {
        s->w->kept[s->n_kept++] = s->w->pruned[i];
    }
}

uint32_t qv__prune_new(const struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                       const uint64_t *keys, uint32_t n, uint64_t *out)
{
    uint32_t n_fill = QV_MAX(g->m / 2, 1u);
    struct selection s = {.g = g,
                          .w = w,
                          .layer = layer,
                          .parent = QV__GRAPH_EMPTY,
                          .n_free = g->m,
                          .n_fill = n_fill};
    select_keys(&s, keys, n);
    fill_up(&s, n_fill);
    memcpy(out, w->kept, s.n_kept * sizeof *out);
    return s.n_kept;
}

uint32_t qv__prune_both(const struct qv__graph *g, struct qv__graph_worker *w, uint32_t n)
{
    uint32_t n_fill = g->cap_base * BOTH_EIGHTHS / 8;
    struct selection s = {.g = g,
                          .w = w,
                          .layer = 0,
                          .parent = QV__GRAPH_EMPTY,
                          .n_free = g->cap_base,
                          .n_fill = n_fill};
    select_keys(&s, w->keys, n);
    fill_up(&s, n_fill);
    return s.n_kept;
}

/* Reduce w->keys[0..n), sorted, to at most cap in w->kept. */
static uint32_t prune_full(struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                           uint32_t target, uint32_t n, uint32_t cap)
{
    struct selection s = {.g = g, .w = w, .layer = layer, .parent = target, .n_free = cap};
    for (uint32_t i = 0; i < n; i++) {
        s.n_free -= is_tree_link(g, layer, target, qv__key_node(w->keys[i]));
    }
    select_keys(&s, w->keys, n);
    return s.n_kept;
}

void qv__prune_measure(const struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
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
    uint32_t n_cand = n - n_live;
    struct selection s = {.g = g,
                          .w = w,
                          .layer = layer,
                          .parent = QV__GRAPH_EMPTY,
                          .n_free = cap - n_live,
                          .n_fill = cap};
    for (; s.n_kept < n_live; s.n_kept++) {
        w->kept[s.n_kept] = qv__key(0, nodes[s.n_kept]);
    }
    qv__prune_measure(g, w, layer, node, nodes + n_live, n_cand);
    qv__keys_sort(w->keys, n_cand);
    select_keys(&s, w->keys, n_cand);
    fill_up(&s, cap);
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
    qv__prune_measure(g, w, layer, target, links, n_old);
    qv__keys_sort(w->keys, n_old + n_new);
    uint32_t n_kept = prune_full(g, w, layer, target, n_old + n_new, cap);
    rewrite(w, links, n_old, n_kept);
    return (int64_t)n_kept - (int64_t)n_old;
}

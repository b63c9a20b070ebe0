/* graph_walk.h: one walk over one layer: its scratch memory, its beam, and the walks themselves.
 *
 * What it is: used by search (graph_search.c) and by the phase of a build that looks for neighbours
 * (graph_link.c). What it is not: aware of what the results are for.
 *
 * Keys. A candidate is one 64-bit word: the distance as an unsigned number that sorts like the
 * float (32 bits), the node (31 bits), and a flag "expanded" (lowest bit). Comparing two words
 * orders by (distance, node), so every beam has one total order and equal inputs give equal walks.
 *
 * Beams. Up to QV__BEAM_LINEAR_MAX the beam is a sorted array: a binary search and a short memmove
 * cost less than a heap's unpredictable branches, and the next node to expand is just the first
 * without the flag. Wider beams use
 * two heaps: `best` (worst on top) and `cand` (nearest on top). */
#ifndef QV_INDEX_GRAPH_WALK_H
#define QV_INDEX_GRAPH_WALK_H

#include "index/graph.h"
#include "simd/keys.h"

enum { QV__BEAM_LINEAR_MAX = 512 }; /* measured: from there on heaps are faster */

/* What a distance of a walk costs in distances of a scan: its vector comes from anywhere instead of
 * in order, and the beam wants its share. Measured with a tenth of 100,000 rows allowed: about 1.4
 * at 512 dimensions and 1.8 at 128; 4 where the allowed rows stayed in the cache. Against 1, a cost
 * of 2 won at wide beams and lost at narrow ones near break-even: a choice, not an optimum. */
enum { QV__WALK_COST = 2 };

struct qv__graph_scratch {
    struct qv__graph_scratch *next; /* guarded by: the graph's lock, while idle */
    uint8_t *stamps;                /* a node is visited when its stamp is the epoch */
    uint32_t n_stamps;
    uint64_t *seen;  /* visited nodes of a walk with a filter, a bit each */
    uint32_t n_seen; /* words */
    uint8_t epoch;
    bool is_linear;
    uint64_t *best; /* linear: ascending; else a heap with the largest on top */
    uint32_t n_best, cap_best;
    uint32_t ef;        /* the beam's width */
    uint32_t next_open; /* linear: first entry not expanded */
    qv__keys_merge_fn merge;
    /* A heap of complements: the smallest key is on top. Linear, where the walk asks for a rest:
     * what was compared and is not in the beam, in no order. */
    uint64_t *cand;
    uint32_t n_cand, cap_cand;
    /* With codes: what the walk goes to, and a second one for pairs of others. */
    struct qv__quant_query *to, *pair;
    struct qv__quant_query *narrow;  /* with narrow codes: what a search goes to */
    struct qv__around_query *around; /* with fused records: likewise */
    struct qv__around_query *packed; /* for packed sets, once one was searched with this */
};

/* What distances are measured to: a vector, or its likeness among codes. */
struct qv__graph_target {
    const void *vector;
    const struct qv__quant_query *codes; /* NULL = compare vectors */
    bool is_narrow;                      /* the narrow codes */
};

struct qv__graph_walk {
    struct qv__graph_target to;
    uint32_t layer;
    uint32_t entry;        /* node of that layer */
    const uint32_t *seeds; /* nodes to start from beside the entry, at most a block */
    uint32_t n_seeds;
    uint32_t ef;          /* >= 1: the beam's width, unless it has patience */
    uint32_t n_rest;      /* of a sorted beam: how many of qv__beam_rest will be asked for */
    uint32_t n;           /* ordinals from here on are not there */
    struct qv__qctx *ctx; /* NULL = no limits */
    bool has_hidden;      /* a base node that this walk does not enter */
    uint32_t hidden;
    /* What walks of the same query found elsewhere (index.h); NULL = this walk is alone. It goes on
     * to the ef_least nearest nodes whatever they found. */
    const struct qv__index_beam *beam;
    uint32_t ef_least;
    /* 0 = the walk ends when nothing in its beam is open. Else the beam is `width` wide, and the
     * walk ends as well when it holds ef nodes, and so many expansions in turn did not change the
     * n_top nearest. Needs a sorted beam: ef <= width <= QV__BEAM_LINEAR_MAX, 1 <= n_top <= ef; no
     * rest. */
    uint32_t patience;
    uint32_t width, n_top;
    /* out */
    uint64_t distances, hops;
};

static inline uint64_t qv__key(float dist, uint32_t node)
{
    uint32_t bits;
    memcpy(&bits, &dist, sizeof bits);
    bits = bits & UINT32_C(0x80000000) ? ~bits : bits | UINT32_C(0x80000000);
    return (uint64_t)bits << 32 | (uint64_t)node << 1;
}
static inline uint32_t qv__key_node(uint64_t key)
{
    return (uint32_t)key >> 1;
}
static inline float qv__key_dist(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    bits = bits & UINT32_C(0x80000000) ? bits & UINT32_C(0x7fffffff) : ~bits;
    float dist;
    memcpy(&dist, &bits, sizeof dist);
    return dist;
}

/* graph_scratch.c */

/* An idle scratch of this graph or a new one, with queries for its codes if it has them; NULL when
 * memory is out. Threads: any. */
struct qv__graph_scratch *qv__scratch_take(struct qv__graph *g);
/* NULL-safe. Threads: any. */
void qv__scratch_give(struct qv__graph *g, struct qv__graph_scratch *s);
/* Free all idle ones. */
void qv__scratch_drop(struct qv__graph *g);
/* Ready for a walk over nodes < n_nodes with a beam of ef, and room for n_rest keys and a block
 * behind what it finds. False when memory is out. */
bool qv__scratch_begin(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t n_nodes,
                       uint32_t ef, uint32_t n_rest, bool is_linear);
/* s->seen for n_nodes nodes, none of them visited. False when memory is out. */
bool qv__scratch_unseen(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t n_nodes);
/* No node is visited any more. */
void qv__scratch_epoch(struct qv__graph_scratch *s);
/* Room for n more candidates. False when memory is out. */
bool qv__scratch_room(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t n);

/* Ascending. */
void qv__keys_sort(uint64_t *keys, uint32_t n);
/* The n_first smallest come first, in no order. */
void qv__keys_split(uint64_t *keys, uint32_t n, uint32_t n_first);

/* A max-heap of keys. */
void qv__heap_push(uint64_t *heap, uint32_t *n, uint64_t key);
void qv__heap_pop(uint64_t *heap, uint32_t *n);
void qv__heap_replace(uint64_t *heap, uint32_t n, uint64_t key); /* the top by key */

/* The key a candidate must be below. */
static inline uint64_t qv__beam_bound(const struct qv__graph_scratch *s)
{
    if (s->n_best < s->ef) {
        return UINT64_MAX;
    }
    return s->is_linear ? s->best[s->n_best - 1] : s->best[0];
}
/* Keep a key below the bound as a result of a sorted beam. */
static inline void qv__beam_offer_linear(struct qv__graph_scratch *s, uint64_t key)
{
    uint64_t *base = s->best;
    uint32_t n = s->n_best;
    /* Branch-free lower bound: the halving has a fixed number of steps for a full beam. */
    while (n > 1) {
        uint32_t half = n / 2;
        base += base[half - 1] < key ? half : 0;
        n -= half;
    }
    uint32_t at = (uint32_t)(base - s->best) + (s->n_best && *base < key);
    uint32_t n_kept = s->n_best - (s->n_best == s->ef); /* a full beam loses its worst */
    memmove(s->best + at + 1, s->best + at, (n_kept - at) * sizeof *s->best);
    s->best[at] = key;
    s->n_best = n_kept + 1;
    if (at < s->next_open) {
        s->next_open = at;
    }
}
/* Keep n keys below the bound, at most a block, in a sorted beam with room for them, as if they
 * were offered one by one; but the beam may be that much too wide afterwards: what is behind s->ef
 * is what it lost, and the caller's to take off. */
static inline void qv__beam_offer_block(struct qv__graph_scratch *s, const uint64_t *keys,
                                        uint32_t n)
{
    if (n > 0) {
        uint32_t first = s->merge(s->best, s->n_best, keys, n);
        s->next_open = QV_MIN(s->next_open, first);
        s->n_best += n;
    }
}
/* Keep a key below the bound as a result. */
static inline void qv__beam_offer(struct qv__graph_scratch *s, uint64_t key)
{
    if (s->is_linear) {
        qv__beam_offer_linear(s, key);
    } else if (s->n_best < s->ef) {
        qv__heap_push(s->best, &s->n_best, key);
    } else {
        qv__heap_replace(s->best, s->n_best, key);
    }
}
/* Offer a key to a sorted beam; what this one, or the beam's worst, is not kept goes to the rest,
 * which has room for it. */
static inline void qv__beam_offer_rest(struct qv__graph_scratch *s, uint64_t key)
{
    if (s->n_best < s->ef) {
        qv__beam_offer_linear(s, key);
    } else if (key < s->best[s->n_best - 1]) {
        s->cand[s->n_cand++] = s->best[s->n_best - 1] & ~UINT64_C(1);
        qv__beam_offer_linear(s, key);
    } else {
        s->cand[s->n_cand++] = key;
    }
}
/* Bring the results into ascending order. Nothing may be offered afterwards. */
void qv__beam_sort(struct qv__graph_scratch *s);
/* Put the n nearest of the rest (or all of it) behind a sorted beam, ascending, n no more than the
 * walk asked for. Returns how many there are now in s->best; n_best stays. */
uint32_t qv__beam_rest(struct qv__graph_scratch *s, uint32_t n);

/* graph_search.c */

/* The base node where a walk to the target enters, found by greedy walks over the layers above
 * `last`. Adds to *distances. */
uint32_t qv__graph_descend(struct qv__graph *g, const struct qv__graph_target *to, uint32_t n,
                           uint32_t last, uint64_t *distances);
/* The k nearest of what the beam of `s` holds, by true distance. Of `w`: to, ctx. QV_ETIMEOUT and
 * QV_ECANCELLED: there are no hits. */
qv_status qv__graph_take_hits(const struct qv__graph *g, struct qv__graph_scratch *s,
                              const struct qv__graph_walk *w, const struct qv__index_query *q,
                              struct qv__index_hit *hits, uint32_t *n_hits) QV_MUST_USE;
/* Down from the root and through the base: w->ef, n, ctx and hidden are given, the rest is
 * filled in. Hits as of a search. Errors as qv__walk_beam. */
qv_status qv__graph_walk_hits(struct qv__graph *g, struct qv__graph_scratch *s,
                              struct qv__graph_walk *w, const struct qv__index_query *q,
                              struct qv__index_hit *hits, uint32_t *n_hits) QV_MUST_USE;

/* graph_walk.c */

/* A target for walks of `s`: over codes if the graph has them and `codes` says so. */
static inline struct qv__graph_target qv__target_set(const struct qv__graph *g,
                                                     struct qv__graph_scratch *s,
                                                     const void *vector, bool codes)
{
    struct qv__graph_target to = {.vector = vector};
    if (codes && g->quant) {
        to.is_narrow = g->narrow.quant != NULL;
        struct qv__quant_query *query = to.is_narrow ? s->narrow : s->to;
        qv__quant_query_set_elements(query, g->index.vectors.datatype, vector);
        to.codes = query;
    }
    return to;
}
/* True if nothing is open that is among the nearest of all walks of the query, as many as the beam
 * is wide: `key` is the nearest open node, n_nearer are nearer. */
static inline bool qv__walk_is_beaten(const struct qv__graph_walk *w, uint32_t n_nearer,
                                      uint64_t key)
{
    if (!w->beam || n_nearer < w->ef_least) {
        return false;
    }
    float dist = qv__key_dist(key);
    uint32_t lo = 0, hi = w->beam->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (w->beam->dists[mid] < dist) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return n_nearer + lo >= (w->patience ? w->width : w->ef);
}
/* Distances from the target to n <= QV__GRAPH_BLOCK nodes of a layer. */
void qv__walk_measure(const struct qv__graph *g, const struct qv__graph_target *to, uint32_t layer,
                      const uint32_t *nodes, uint32_t n, float *dists);
/* From `node` of an upper layer, move to the nearest neighbour until none is nearer; returns the
 * node one layer down. Adds to *distances. */
uint32_t qv__walk_greedy(const struct qv__graph *g, const struct qv__graph_target *to,
                         uint32_t layer, uint32_t node, uint32_t n, uint64_t *distances);
/* Best-first walk; the results are left in the beam of `s` (unsorted if it is a heap).
 * Errors: QV_ENOMEM, QV_ETIMEOUT, QV_ECANCELLED, without a message. */
qv_status qv__walk_beam(struct qv__graph *g, struct qv__graph_scratch *s,
                        struct qv__graph_walk *w) QV_MUST_USE;

#endif

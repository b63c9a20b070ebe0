/* graph_link.h: linking a batch of new nodes into a graph; what build and insert are made of.
 *
 * What it is: graph_link.c (one batch, in phases) and graph_prune.c (which links a node keeps).
 * What it is not: aware of where the order of insertion comes from.
 * Threads: one batch at a time per graph; searches may run beside it. */
#ifndef QV_INDEX_GRAPH_LINK_H
#define QV_INDEX_GRAPH_LINK_H

#include "index/graph_walk.h"

enum {
    /* Points of a batch that are compared with each other, since a search does not find them. 128
     * distances out of nearby memory are a few per cent of a point's search. */
    QV__GRAPH_CLIQUE = 128,
    /* Points per batch. More than a clique is for points in random order, and while a batch is a
     * small share of the graph: what it misses of itself is then no more than 1 /
     * QV__GRAPH_BATCH_SHARE. */
    QV__GRAPH_BATCH_MAX = 4096,
    QV__GRAPH_BATCH_SHARE = 64,
    /* Points whose links back are written together where all have found their neighbours. */
    QV__GRAPH_BACK_MAX = 1 << 14,
};

/* One node to link on one layer. */
struct qv__graph_item {
    uint32_t point; /* index in the batch */
    uint32_t layer;
    uint32_t node;
    uint32_t n_picked; /* neighbours picked, in the batch's `picked` */
};

/* Memory of one thread. */
struct qv__graph_worker {
    struct qv__graph_scratch *scratch;
    uint64_t *keys;    /* candidates of a selection: 2m and the batch */
    uint32_t *nodes;   /* likewise, of a record that is mended */
    uint64_t *sources; /* new links of one target */
    uint64_t *kept;    /* room for 2m */
    uint64_t *pruned;  /* room for 2m */
};

/* Where points were linked before: their neighbours there are where a walk for them starts. */
struct qv__graph_seeds {
    const struct qv__graph *const *graphs;
    const uint32_t *const *remaps; /* per graph: ordinal there -> here, or UINT32_MAX */
    const struct qv__graph_origin {
        uint32_t graph, ord; /* graph UINT32_MAX: from nowhere */
    } * origins;             /* by ordinal here */
    uint32_t ef;             /* beam of such a walk */
};

struct qv__graph_batch {
    struct qv__graph *g;
    const struct qv__index_env *env;
    const struct qv__graph_seeds *seeds; /* NULL = walks start at the root */
    unsigned threads;
    uint32_t n_nodes; /* ordinals of this and earlier batches are below */

    uint32_t n; /* points */
    uint32_t *ords;
    const void **rows;
    uint32_t *first_upper; /* items of a point above the base: [p, p + 1) */

    struct qv__graph_item *items; /* one per point on the base, then those above */
    uint32_t n_items, cap_items;
    uint32_t n_pending[QV__GRAPH_LAYERS_MAX]; /* new slots per layer */
    uint64_t *picked;                         /* m per item, nearest first */

    uint64_t *edges, *edges_sorted; /* layer, target, index of the source: see graph_link.c */
    uint64_t *sources;              /* key of the source as seen from the target */
    uint32_t n_edges, cap_edges;
    uint32_t *groups; /* first edge of each target, and the end */
    uint32_t n_groups;

    uint32_t n_candidates; /* room in keys and nodes */
    _Atomic int status;    /* of the parallel phase */
    struct qv__graph_worker *workers;
};

/* Memory for batches of up to n_points_max. On failure nothing is held. `env` is borrowed until
 * close. */
qv_status qv__batch_open(struct qv__graph_batch *b, struct qv__graph *g,
                         const struct qv__index_env *env, uint32_t n_points_max,
                         struct qv_err *err) QV_MUST_USE;
void qv__batch_close(struct qv__graph_batch *b);
/* Link ords[0..n): all of them, or none and an error (QV_ENOMEM, QV_ECANCELLED). The first ordinal
 * ever becomes the root. n <= n_points_max; every ordinal so far is below n_nodes. */
qv_status qv__batch_run(struct qv__graph_batch *b, const uint32_t *ords, uint32_t n,
                        uint32_t n_nodes, struct qv_err *err) QV_MUST_USE;
/* Make `ord` the root of an empty graph. False when memory is out. */
bool qv__graph_root_set(struct qv__graph *g, uint32_t ord);
/* Make every node that has links a part of the spanning tree, where its links reach the root; the
 * rest gets a link from a neighbour, or from some node of the tree. `nodes` are those with links;
 * `queue` has room for so many. Between batches. QV_ECANCELLED: part of the tree is missing. */
qv_status qv__batch_span(struct qv__graph_batch *b, const uint32_t *nodes, uint32_t n,
                         uint32_t *queue, struct qv_err *err) QV_MUST_USE;
/* Links back to n base nodes, whose records are written, from those of their neighbours that are
 * marked QV__STITCH_LINKED: each the nearest m at most. The same for any number of threads. Errors:
 * QV_ENOMEM, QV_ECANCELLED; then some links are there. */
qv_status qv__batch_links_back(struct qv__graph_batch *b, const uint32_t *ords, uint32_t n,
                               const uint8_t *marks, struct qv_err *err) QV_MUST_USE;
/* The beam of a walk that is to find n_candidates. */
uint32_t qv__link_beam(uint32_t n_candidates);

/* graph_prune.c */

/* Pick at most m neighbours for a new node out of n sorted keys (flags are ignored); into out,
 * nearest first. */
uint32_t qv__prune_new(const struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                       const uint64_t *keys, uint32_t n, uint64_t *out);
/* Add links target -> source for n sources (keys as seen from the target) and prune to what the
 * record holds. Returns the change in the number of links. Never fails: w->keys has room for the
 * record and the sources. */
int64_t qv__prune_target(struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                         uint32_t target, const uint64_t *sources, uint32_t n);
/* What a base node keeps of w->keys[0..n), sorted, each once, without flags: into w->kept, at most
 * what a record holds. Returns how many. */
uint32_t qv__prune_both(const struct qv__graph *g, struct qv__graph_worker *w, uint32_t n);
/* Distances from a node to n others of its layer, as keys in w->keys. */
void qv__prune_measure(const struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                       uint32_t node, const uint32_t *others, uint32_t n);
/* Links of a node some of whose neighbours are gone, into w->kept: nodes[0..n_live), which are
 * left, and of those after them, up to n, what brings the node back to cap links: by the rule, then
 * the nearest of the others. Returns how many. n <= n_candidates of the batch. */
uint32_t qv__prune_repair(struct qv__graph *g, struct qv__graph_worker *w, uint32_t layer,
                          uint32_t node, const uint32_t *nodes, uint32_t n_live, uint32_t n,
                          uint32_t cap);

/* graph_build.c */

/* The base in one block: header, then n empty records. False when memory is out. */
bool qv__build_base(struct qv__graph *g, uint32_t n);
/* All layers for n_at[layer] nodes and those that order[0..n) adds to them, at their exact size,
 * the root on top of each. n_at[layer] becomes their number. False when memory is out. */
bool qv__build_layers(struct qv__graph *g, const uint32_t *order, uint32_t n, uint32_t *n_at);
void qv__build_shuffle(uint32_t *order, uint32_t n, uint64_t seed);
/* Small at first, then a share of what is linked: large batches keep many threads busy. */
uint32_t qv__build_batch(uint32_t n_linked, uint32_t n_left);
/* Link order[0..n) into a graph of n_linked nodes, batch by batch. */
qv_status qv__build_link(struct qv__graph_batch *b, const uint32_t *order, uint32_t n,
                         uint32_t n_linked, struct qv_err *err) QV_MUST_USE;
/* Everything is linked: drop what only a build needs, measure, publish. */
void qv__build_finish(struct qv__graph *g, const struct qv__index_env *env);

/* graph_stitch.c */

enum { QV__STITCH_LINKED = UINT8_MAX };
/* Join a graph, all of whose ordinals `remap` gives a place, to the one that `b` links so far. By
 * ordinal here, marks are QV__STITCH_LINKED for who is linked, else 0, and are kept so; of `from`,
 * those with upper layers are linked already. n_linked: of them all, for progress. `todo` has room
 * for as many ordinals as `from` has. The tree of the new nodes is the caller's to make. The same
 * for any number of threads. Errors: QV_ENOMEM, QV_ECANCELLED; then the graph is good for nothing.
 */
qv_status qv__stitch(struct qv__graph_batch *b, const struct qv__graph *from, const uint32_t *remap,
                     uint8_t *marks, uint32_t *todo, uint32_t n_linked,
                     struct qv_err *err) QV_MUST_USE;

/* graph_adopt.c */

/* A graph to take over, and what becomes of its ordinals. */
struct qv__graph_donor {
    const struct qv__graph *g;
    const uint32_t *remap; /* ordinal -> new ordinal, or UINT32_MAX: dropped */
    uint32_t n;            /* ordinals */
    uint32_t *to;       /* as remap, without those that lost too many neighbours to keep a place */
    uint32_t n_kept;    /* of `to` */
    uint32_t n_dropped; /* of remap */
};
/* Fill in `to`, which has room for n, and n_kept. */
void qv__adopt_plan(struct qv__graph_donor *d, const struct qv__index_env *env);
/* Copy the donor's layers and links into `b`'s graph, which is empty but for its base records and
 * codes, with room on the layers for order[0..n) too; close the gaps. Errors: QV_ENOMEM,
 * QV_ECANCELLED. */
qv_status qv__adopt(struct qv__graph_donor *d, struct qv__graph_batch *b, const uint32_t *order,
                    uint32_t n, struct qv_err *err) QV_MUST_USE;

#endif

/* graph.h: the private layout of the graph index (HNSW), shared by its phases.
 *
 * What it is: the structures and the small inline readers that search, build, insert and file code
 * agree on. What it is not: for other folders; they see index.h.
 *
 * Layers. Layer 0, the base, holds every ordinal; a node of it is its ordinal. Layers 1 and up hold
 * a 1/m share of the layer below; a node there is a *slot*, 0.. in the order of insertion, whose
 * record names its ordinal and its node one layer down. Slot 0 of every upper layer is the root, so
 * the entry point never moves: a walk starts at slot 0 of the top layer, whatever has been inserted
 * since.
 *
 * Records have a fixed stride. A base record is 2m ids, the unused ones QV__GRAPH_EMPTY at the
 * tail, and starts on a cache line: no count to read, one comparison with n skips both the empty
 * tail and ordinals that a search may not see yet. An upper record is ord, down, then m slots
 * likewise.
 *
 * Codes. Walks may compare short codes (quant/quant.h) instead of the vectors, which are then read
 * for the few nodes that become hits. A code has its own plane of rows, by ordinal, whatever the
 * layer. The quantizer is there before the first ordinal is published and never changes. A complete
 * graph of long vectors has a second, narrow plane of half as many bits, which searches walk over;
 * its links were chosen by the first, which later merges use.
 *
 * Chunks. A growing graph keeps its rows in chunks behind a table that never moves; a built or an
 * opened one is a single chunk. Memory that readers can reach is never moved or freed before
 * qv__graph_free.
 *
 * Publication (single writer: build or insert). A node's vector and record are complete before the
 * first link to it is stored with release; upper links are loaded with acquire, because their
 * record is read next; base links are loaded relaxed, because an id below the search's n was
 * published by n_indexed (acquire) already and others are skipped. Links are single words, so a
 * record being rewritten is at worst a mix of its old and its new list, all valid. */
#ifndef QV_INDEX_GRAPH_H
#define QV_INDEX_GRAPH_H

#include "base/thread.h"
#include "index/common.h"
#include "quant/quant.h"

enum {
    QV__GRAPH_M_MIN = 2,
    QV__GRAPH_M_MAX = 512,
    QV__GRAPH_EF_MIN = 4,
    QV__GRAPH_EF_MAX = 65536,
    QV__GRAPH_LAYERS_MAX = 16, /* with the base; 16^15 ordinals at m 16, and higher nodes are cut */
    QV__GRAPH_BLOCK = 64,      /* neighbours gathered at a time */
    QV__GRAPH_ALIGN = 64,
    QV__GRAPH_TUNED_MAX = 12, /* beams at which recall is measured */
    QV__GRAPH_SHARES = 8,     /* shares of allowed nodes at which costs are: 1, 1/2, 1/4, … */
};
#define QV__GRAPH_EMPTY UINT32_MAX
/* A key (beam.h) keeps an id in 31 bits. */
#define QV__GRAPH_N_MAX (UINT32_C(1) << 31)

/* Rows of a fixed stride in chunks of 2^shift rows. */
struct qv__rows {
    uint8_t **chunks; /* table of n_chunks_max entries; its address is immutable */
    uint32_t n_chunks_max;
    uint32_t n_chunks;     /* single writer: allocated so far */
    uint32_t n_chunk_rows; /* rows allocated per chunk: 2^shift, or all there are */
    uint32_t shift;
    uint32_t stride_bytes;
};

/* One upper layer. rows is immutable once the layer is counted in n_layers, but for new chunks. */
struct qv__graph_layer {
    struct qv__rows rows;
    uint32_t n; /* single writer: slots in use */
};

/* A slot of an upper layer. */
struct qv__graph_upper {
    uint32_t ord;
    uint32_t down;    /* the same node one layer down: a slot, or the ordinal on layer 1 */
    uint32_t links[]; /* m slots of the same layer */
};

/* What only a writer keeps of a base node: its place in the spanning tree (graph_link.c). */
struct qv__graph_tree {
    uint32_t parent;     /* the node whose link to this one is never pruned; the root is its own */
    uint32_t n_children; /* links of this node that are never pruned */
};

/* Narrow codes. */
struct qv__graph_narrow {
    struct qv__quant *quant; /* NULL = there are none */
    struct qv__rows codes;
    uint8_t *block; /* their saved form, header and rows; NULL = they are borrowed */
};

/* Fused records (graph_fused.h). */
struct qv__graph_fused {
    struct qv__quant *quant; /* of what lies around a node; NULL = there are none */
    struct qv__rows rows;
    uint8_t *block; /* the memory of `rows` */
    uint32_t n_slots, own_at, n_own_bytes;
};

/* What searches with a filter cost here (graph_costs.c), in nanoseconds. */
struct qv__graph_costs {
    float scan_row, scan_word; /* of a scan, per allowed node and per word of the set */
    float distance, record;    /* of a filtered walk, per node compared and per record read */
    float expansion;           /* of a walk without a filter */
    /* by share of allowed nodes around the query, per expansion: nodes compared, bridges read */
    float compared[QV__GRAPH_SHARES], bridges[QV__GRAPH_SHARES];
    /* and how many times as wide a beam must be to find what it finds where all are allowed */
    float wider[QV__GRAPH_SHARES];
};

struct qv__graph_scratch;
struct qv__row_cache;
struct qv__graph_sketches;

struct qv__graph {
    struct qv__index index; /* first member */
    struct qv__kernels kernels;
    uint32_t n_max;      /* ordinals it may hold; immutable */
    uint32_t cap_base;   /* links of a base record: 2m; immutable */
    uint32_t m;          /* links of an upper record; immutable */
    uint32_t root;       /* entry point; immutable once n_indexed > 0 */
    uint32_t entry_beam; /* of an opened graph: see graph_entry.h; 0 and 1 = one node; immutable */
    bool is_view;        /* links and codes are borrowed from saved parts, or copied from them */
    double walk_cost;    /* what a distance of a walk costs in distances of a scan */
    struct qv__quant *quant; /* NULL = walks compare the vectors */
    struct qv__rows codes;   /* with quant */
    struct qv__graph_narrow
        narrow; /* of a complete graph: what searches compare in place of `codes` */
    struct qv__graph_fused fused; /* of an opened graph; immutable then */
    struct qv__rows base;
    struct qv__rows tree; /* no chunks once a build is complete, and in a view */
    struct qv__graph_layer upper[QV__GRAPH_LAYERS_MAX - 1]; /* [l - 1] is layer l */
    _Atomic uint32_t n_layers; /* with the base; release when a layer's root is in place */
    _Atomic uint64_t n_links;  /* of the base */
    _Atomic uint64_t memory_bytes;
    /* Beam and recall as measured (graph_tune.c), ascending; 0 = no more. */
    _Atomic uint64_t tuned[QV__GRAPH_TUNED_MAX];
    uint32_t n_tuned;    /* single writer: ordinals there were then */
    uint8_t *base_block; /* the saved form of the base in one block, header and records; or NULL */
    uint8_t *code_block; /* likewise of the codes */
    uint64_t mapped_bytes;                       /* views: size of the saved parts */
    struct qv__row_cache *_Atomic row_cache;     /* views over codes: made by a search; or NULL */
    struct qv__graph_sketches *_Atomic sketches; /* likewise, for scans (graph_sketch.h) */
    _Atomic uint64_t n_scanned;                  /* codes that scans compared before that */
    _Atomic bool is_sketching;                   /* a search makes them, or did */
    struct qv__quant *_Atomic pack_quant;        /* of all packed sets (graph_pack.h); or NULL */
    /* What filtered walks where little is allowed took, over what costs say; 0 = not known. */
    _Atomic float walk_bias;
    struct qv__mutex lock;                       /* QV__RANK_LEAF: what follows */
    struct qv__graph_costs costs; /* guarded by: lock; zero before they are measured */
    float sketch_row; /* guarded by: lock; ns a row of a scan by sketches takes; 0 = not known */
    uint32_t costs_n; /* guarded by: lock; ordinals there were then */
    struct qv__graph_scratch *scratch; /* guarded by: lock; idle ones */
};

static inline struct qv__graph *qv__graph_of(struct qv__index *x)
{
    return (struct qv__graph *)x;
}
static inline const struct qv__graph *qv__graph_of_const(const struct qv__index *x)
{
    return (const struct qv__graph *)x;
}

static inline uint8_t *qv__rows_at(const struct qv__rows *r, uint32_t i)
{
    return r->chunks[i >> r->shift] +
           (size_t)(i & ((UINT32_C(1) << r->shift) - 1)) * r->stride_bytes;
}
static inline uint32_t *qv__graph_base_links(const struct qv__graph *g, uint32_t ord)
{
    return (uint32_t *)(void *)qv__rows_at(&g->base, ord);
}
static inline struct qv__graph_upper *qv__graph_upper_at(const struct qv__graph *g, uint32_t layer,
                                                         uint32_t slot)
{
    return (struct qv__graph_upper *)(void *)qv__rows_at(&g->upper[layer - 1].rows, slot);
}
static inline struct qv__graph_tree *qv__graph_tree_at(const struct qv__graph *g, uint32_t ord)
{
    return (struct qv__graph_tree *)(void *)qv__rows_at(&g->tree, ord);
}
/* Links of a node of any layer, and how many a record of that layer holds. */
static inline uint32_t *qv__graph_links(const struct qv__graph *g, uint32_t layer, uint32_t node)
{
    return layer ? qv__graph_upper_at(g, layer, node)->links : qv__graph_base_links(g, node);
}
static inline uint32_t qv__graph_cap(const struct qv__graph *g, uint32_t layer)
{
    return layer ? g->m : g->cap_base;
}
static inline uint32_t qv__graph_ord(const struct qv__graph *g, uint32_t layer, uint32_t node)
{
    return layer ? qv__graph_upper_at(g, layer, node)->ord : node;
}
static inline const void *qv__graph_vector(const struct qv__graph *g, uint32_t ord)
{
    return qv__vectors_at(&g->index.vectors, ord);
}
static inline uint8_t *qv__graph_code(const struct qv__graph *g, uint32_t ord)
{
    return qv__rows_at(&g->codes, ord);
}
static inline uint32_t qv__graph_link_load(const uint32_t *link)
{
    return __atomic_load_n(link, __ATOMIC_RELAXED);
}
static inline uint32_t qv__graph_link_acquire(const uint32_t *link)
{
    return __atomic_load_n(link, __ATOMIC_ACQUIRE);
}
static inline void qv__graph_link_store(uint32_t *link, uint32_t to)
{
    __atomic_store_n(link, to, __ATOMIC_RELEASE);
}
static inline uint32_t qv__graph_layers(const struct qv__graph *g)
{
    return atomic_load_explicit(&((struct qv__graph *)(uintptr_t)g)->n_layers,
                                memory_order_acquire);
}

/* graph.c */

/* An empty graph for up to n_max ordinals; no rows yet. */
qv_status qv__graph_alloc(const struct qv__index_params *params, const struct qv__index_env *env,
                          const struct qv__vectors *vectors, uint32_t n_max, struct qv__graph **out,
                          struct qv_err *err) QV_MUST_USE;
void qv__graph_free(struct qv__index *x);
/* Blocks counted in the graph's memory_bytes; align 0 = the allocator's own. */
void *qv__graph_mem(struct qv__graph *g, size_t align, size_t n_bytes);
void qv__graph_mem_free(struct qv__graph *g, void *p, size_t n_bytes);
/* A table of n_chunks_max empty entries. False when memory is out. */
bool qv__rows_init(struct qv__graph *g, struct qv__rows *r, uint32_t n_chunks_max, uint32_t shift,
                   uint32_t n_chunk_rows, uint32_t stride_bytes);
/* Chunks up to and with row `last`, every byte 0xff (that is, every link empty). False when memory
 * is out; chunks made so far stay. */
bool qv__rows_reach(struct qv__graph *g, struct qv__rows *r, uint32_t last);
void qv__rows_free(struct qv__graph *g, struct qv__rows *r);
/* All n rows in one block with room for a part's header in front; contents undefined. NULL when
 * memory is out. */
uint8_t *qv__rows_block(struct qv__graph *g, struct qv__rows *r, uint32_t n, uint32_t stride_bytes);
uint32_t qv__graph_base_stride(uint32_t m);
uint32_t qv__graph_upper_stride(uint32_t m);
/* The top layer of an ordinal: P(level >= l) = m^-l, from the seed and the ordinal alone. */
uint32_t qv__graph_level(const struct qv__graph *g, uint32_t ord);
/* Make layer `layer` (the first one not there yet) with the root in slot 0, and publish it.
 * n_slots: exactly so many, in one chunk; 0 = a layer that grows chunk by chunk. False when memory
 * is out. */
bool qv__graph_layer_add(struct qv__graph *g, uint32_t layer, uint32_t n_slots);
/* Slots a layer can ever hold. */
static inline uint64_t qv__graph_layer_room(const struct qv__graph_layer *l)
{
    return (uint64_t)l->rows.n_chunks_max * l->rows.n_chunk_rows;
}

/* graph_codes.c */

/* What walks of a graph over these vectors compare by what was asked for; never AUTO. */
enum qv__index_codes qv__graph_codes_wanted(const struct qv__index_params *params,
                                            const struct qv__vectors *v);
/* What they compare, narrow codes aside. */
enum qv__index_codes qv__graph_codes_have(const struct qv__graph *g);
/* The kind of a quantizer's codes; AUTO: none of those. */
enum qv__index_codes qv__graph_codes_of(const struct qv__quant *z);
const char *qv__graph_codes_name(enum qv__index_codes codes);
/* Bytes from one code to the next, while a graph is made and in its files; */
uint32_t qv__graph_code_stride(const struct qv__quant *z);
/* ... and in the memory of one that was opened: no more. */
uint32_t qv__graph_code_packed(const struct qv__quant *z);
/* Train on ordinals [0, n) and make the plane: one block of n codes, or chunks. QV_OK without codes
 * where the graph walks over vectors. Errors: QV_ENOMEM. */
qv_status qv__graph_codes_make(struct qv__graph *g, uint32_t n, bool is_block,
                               struct qv_err *err) QV_MUST_USE;
/* Take over a quantizer; walks are over codes from here on. */
void qv__graph_codes_set(struct qv__graph *g, struct qv__quant *z);
/* Narrow codes of ordinals [0, n), if the graph is to have some once it is complete: long vectors,
 * and codes of a byte were not asked for. False, with nothing to free, if not, or when memory is
 * out or the work is cancelled: the graph is searched by the codes it has. Threads: searches may
 * run. */
bool qv__graph_narrow_make(struct qv__graph *g, const struct qv__index_env *env, uint32_t n,
                           struct qv__graph_narrow *out);
void qv__graph_narrow_free(struct qv__graph *g, struct qv__graph_narrow *w);
/* Search by these from here on; they are taken over. No search runs. */
void qv__graph_narrow_set(struct qv__graph *g, const struct qv__graph_narrow *w);
/* Encode ordinals [from, to). Errors: QV_ENOMEM. */
qv_status qv__graph_encode(struct qv__graph *g, const struct qv__index_env *env, uint32_t from,
                           uint32_t to, struct qv_err *err) QV_MUST_USE;

/* All codes as one block, of the quantizer of `like`: ordinal o has the code of ords[o] there, or
 * is encoded if that is UINT32_MAX. Errors: QV_ENOMEM, QV_ECANCELLED. */
qv_status qv__graph_codes_from(struct qv__graph *g, const struct qv__index_env *env,
                               const struct qv__graph *like, const uint32_t *ords,
                               struct qv_err *err) QV_MUST_USE;

/* graph_tune.c */

/* Measure recall over ordinals [0, n) if there are twice as many as when it was last measured.
 * Threads: the writer's; searches may run. */
void qv__graph_tune(struct qv__graph *g, const struct qv__index_env *env, uint32_t n);
/* The beam for a recall of k hits. Threads: any. */
uint32_t qv__graph_ef_for(const struct qv__graph *g, float recall, uint32_t k);
/* Point i; false when there is none. */
bool qv__graph_tuned_at(const struct qv__graph *g, uint32_t i, uint32_t *ef, float *recall);
void qv__graph_tuned_set(struct qv__graph *g, uint32_t i, uint32_t ef, float recall);
/* Points of walks over narrow codes that g is not searched by yet, in a graph that is for reading
 * them alone; NULL when memory is out, or for few ordinals. Threads: as saving. */
struct qv__graph *qv__graph_tune_narrow(const struct qv__graph *g, const struct qv__index_env *env,
                                        uint32_t n, const struct qv__graph_narrow *narrow);
void qv__graph_tune_narrow_free(struct qv__graph *as); /* NULL-safe */

/* graph_search.c */
qv_status qv__graph_search(const struct qv__index *x, const struct qv__index_query *q,
                           struct qv__qctx *ctx, struct qv__index_hit *hits, uint32_t *n_hits,
                           struct qv_err *err);

/* graph_build.c */
qv_status qv__graph_build(const struct qv__index_params *params, const struct qv__index_env *env,
                          const struct qv__vectors *vectors, uint32_t n, struct qv__index **out,
                          struct qv_err *err);

/* graph_merge.c */
qv_status qv__graph_merge(const struct qv__index_params *params, const struct qv__index_env *env,
                          const struct qv__vectors *vectors, uint32_t n,
                          struct qv__index *const *sources, const uint32_t *const *remaps,
                          size_t n_sources, struct qv__index **out, struct qv_err *err);

/* graph_insert.c */
qv_status qv__graph_create(const struct qv__index_params *params, const struct qv__index_env *env,
                           const struct qv__vectors *vectors, uint32_t n_max,
                           struct qv__index **out, struct qv_err *err);
qv_status qv__graph_insert(struct qv__index *x, const struct qv__index_env *env, uint32_t n,
                           struct qv_err *err);

/* graph_file.c */
enum {
    QV__GRAPH_PART_META = 0,
    QV__GRAPH_PART_BASE = 1,
    QV__GRAPH_PART_UPPER = 2,
    QV__GRAPH_PART_CODES = 3,
    QV__GRAPH_PART_QUANT = 4,
    QV__GRAPH_PART_TUNED = 5,
    QV__GRAPH_PART_NARROW = 6,
    QV__GRAPH_PART_NARROW_QUANT = 7
};
enum { QV__GRAPH_PART_HEADER_BYTES = 64 };
qv_status qv__graph_save(const struct qv__index *x, struct qv__index_sink *sink,
                         struct qv_err *err);
qv_status qv__graph_open(const struct qv__index_params *params, const struct qv__index_env *env,
                         const struct qv__vectors *vectors, uint32_t n,
                         const struct qv__index_parts *parts, struct qv__index **out,
                         struct qv_err *err);

/* graph_check.c */

/* Everything a walk relies on, in O(n * degree): links in range and well formed, towers that meet
 * their base node, one slot a node, the root on top. *n_links: links of the base. QV_ECORRUPT,
 * QV_ENOMEM. */
qv_status qv__graph_check_links(const struct qv__graph *g, uint32_t n, uint64_t *n_links,
                                struct qv_err *err) QV_MUST_USE;
/* That, and every ordinal reachable from the root on the base. */
qv_status qv__graph_validate(const struct qv__index *x, struct qv_err *err);

#endif

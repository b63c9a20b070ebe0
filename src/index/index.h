/* index.h: the one interface of all vector indexes.
 *
 * What it is: a table of calls over a run of vectors addressed by *ordinal*: 0..n-1 in the order
 * the engine chose. An ordinal is not a segment row (a row may lack this vector, or hold several);
 * the engine maps between them. Implementations: flat (exact, the oracle) and graph (HNSW). What it
 * is not: a store. It never opens a file (it saves into a sink and opens over bytes) and never owns
 * the vectors; they are borrowed for the index's life.
 *
 * Distances: smaller is nearer (base/vec.h). Hits come sorted by (dist, ordinal), so equal inputs
 * give equal outputs.
 * Threads: search from any thread, also while one thread inserts: no search waits for an insert,
 * and a search that is told `n` sees ordinals < n only. insert, save, validate: one at a time per
 * index. */
#ifndef QV_INDEX_INDEX_H
#define QV_INDEX_INDEX_H

#include "base/buf.h"
#include "base/pool.h"
#include "base/qctx.h"
#include "base/vec.h"
#include "simd/simd.h"

/* Values are stored in files: never renumbered. */
enum qv__index_kind { QV__INDEX_FLAT = 0, QV__INDEX_GRAPH = 1 };

/* What the walks of a graph compare; hits are always measured by the vectors themselves. */
enum qv__index_codes {
    QV__INDEX_CODES_AUTO = 0, /* the index's own choice, by metric and dimensions */
    QV__INDEX_CODES_NONE,     /* the vectors */
    /* The rest: the vectors where they have no codes. */
    QV__INDEX_CODES_INT8,  /* a byte an element; the index's own choice may be half of it for a
                              complete graph */
    QV__INDEX_CODES_BITS1, /* RaBitQ of 1, 2 or 4 bits an element: they find less at the same beam
                            */
    QV__INDEX_CODES_BITS2,
    QV__INDEX_CODES_BITS4,
    QV__INDEX_CODES_KINDS
};

/* How what a walk reads is kept. FUSED: for searches without a filter of a graph that was opened
 * there are, beside links and codes, records of all that an expansion reads, in several times the
 * memory.
 */
enum qv__index_packing {
    QV__INDEX_PACKING_COMPACT = 0,
    QV__INDEX_PACKING_FUSED,
    QV__INDEX_PACKINGS
};

/* How a graph is searched for allowed ordinals only. */
enum qv__index_strategy {
    QV__STRATEGY_AUTO = 0,   /* by what each would cost */
    QV__STRATEGY_SCAN,       /* every allowed one is compared */
    QV__STRATEGY_FILTERED,   /* a walk that ranks allowed ones only */
    QV__STRATEGY_POSTFILTER, /* a walk without a filter and a wider beam; allowed ones are kept */
    QV__STRATEGY_PACKED,     /* as they are packed side by side; a scan where they are not yet */
    QV__STRATEGIES
};

struct qv__index_params {
    uint32_t kind;         /* enum qv__index_kind */
    uint32_t m;            /* graph: links per node above the base layer; 2m on it. 2..512 */
    uint32_t ef_construct; /* graph: beam width while building. 4..65536 */
    uint32_t codes;        /* graph: enum qv__index_codes */
    uint32_t packing;      /* graph: enum qv__index_packing; of an opened one */
    bool on_disk;          /* graph: an opened one is read in place, without a copy in memory */
    uint64_t seed;         /* levels, and anything else random */
};

/* What a build or an insert may use. All borrowed for the call. */
struct qv__index_env {
    struct qv__mem *mem;         /* memory of the index: owned by it until free */
    const struct qv__simd *simd; /* borrowed for the index's life */
    struct qv__pool *pool;       /* NULL = the caller's thread only */
    unsigned threads;            /* at most; 0 = all of the pool */
    const _Atomic bool *cancel;  /* NULL = never; else QV_ECANCELLED soon after it is set */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* may be NULL */
    void *progress_ctx;
};

struct qv__index_hit {
    uint32_t ord;
    float dist;  /* exact, or an estimate */
    float bound; /* |dist - exact| <= bound; 0 = exact */
};

/* What walks of one query over several indexes, one after the other, have found together: the
 * distances (estimates, where walks compare codes) of the nearest `cap` nodes. With it they are as
 * one walk with one beam: each ends where nothing is left that would be among the ef nearest of
 * all, once it has expanded the k and the half of ef that are nearest in its own index, so that
 * it gets to where the query is. So three indexes of a column cost about twice what one of all its
 * vectors would, and find as much. Filled by searches; the caller owns it. */
struct qv__index_beam {
    float *dists; /* ascending */
    uint32_t n, cap;
};

/* What an index makes of a set of allowed ordinals that is searched again and again. */
struct qv__index_pack;

/* Its place, with whoever keeps the set: one for a set and an index, zero at first. Members may be
 * taken from the set later, none are added. Searches may be under way until it is cleared. */
struct qv__index_packed {
    struct qv__index_pack *_Atomic pack;
    _Atomic uint64_t n_missed_ns;  /* what searches would have saved with it */
    _Atomic uint64_t n_wanted;     /* bytes it would take; 0 = it would not pay yet */
    _Atomic bool is_granted;       /* set by the owner: that much may be taken */
    _Atomic bool has_begun;        /* some of it is made, or all */
    _Atomic bool is_making;        /* a search makes some of it */
    struct qv__index_pack *making; /* who set is_making */
};
/* Bytes that are taken. */
uint64_t qv__index_packed_bytes(const struct qv__index_packed *p);
void qv__index_packed_clear(struct qv__index_packed *p);

struct qv__index_query {
    const void *vector; /* dim elements of the column's datatype; normalised for cosine */
    uint32_t k;         /* hits wanted, >= 1 */
    uint32_t ef;        /* beam width; 0 = the index's own choice; raised to k */
    const uint64_t
        *allow; /* dense bitset over ordinals [0, n): only set ones are results; NULL = all */
    uint64_t allow_count;            /* set bits below n; ignored when allow is NULL */
    struct qv__index_packed *packed; /* of a set that `allow` is, or was before it lost members, and
                                        that may come again; NULL = of none */
    const uint64_t *set;             /* that set, as `allow`; NULL = it cannot be packed now */
    uint32_t n;                      /* ordinals readable now */
    float oversample; /* so many times k of what a walk over codes found are measured; 0 = own
                         choice */
    bool no_codes;    /* walk over the vectors although there are codes */
    struct qv__index_beam *beam; /* of the whole query; NULL = this index is searched on its own */
    enum qv__index_strategy strategy; /* with allow */
    bool plan_only;                   /* choose and tell the plan, but find nothing */
};

struct qv__index_info {
    const char *kind;      /* "flat", "graph" */
    uint32_t n;            /* ordinals indexed */
    uint64_t memory_bytes; /* owned by the index */
    uint64_t mapped_bytes; /* borrowed bytes it reads (an opened view) */
    uint32_t levels;       /* graph: layers, at least 1 when n > 0 */
    double degree_avg;     /* graph: links per node on the base layer */
    const char *codes;     /* what walks compare: "vectors", "int8", "int4", "1-bit", "2-bit",
                              "4-bit" */
    uint32_t code_bytes;   /* read per distance of a walk */
};

/* Receives exact vectors for a rescore (seam for indexes that traverse codes). */
struct qv__row_source {
    const void *(*vector)(struct qv__row_source *s, uint32_t ord); /* valid until the next call */
};

/* One saved index is a sequence of named parts; parts are handed to the engine, which stores them
 * as sections and hands their bytes back at open. */
struct qv__index_sink {
    qv_status (*part)(struct qv__index_sink *s, uint32_t part, const void *bytes, size_t n,
                      struct qv_err *err);
};
#define QV__INDEX_PARTS_MAX 8u
struct qv__index_parts {
    struct qv__bytes
        part[QV__INDEX_PARTS_MAX]; /* borrowed for the opened index's life; absent = {NULL, 0} */
};

struct qv__index;

struct qv__index_ops {
    const char *name;
    /* An empty index that can grow up to n_max ordinals by insert. */
    qv_status (*create)(const struct qv__index_params *, const struct qv__index_env *,
                        const struct qv__vectors *, uint32_t n_max, struct qv__index **out,
                        struct qv_err *);
    /* A complete index over ordinals [0, n), deterministic for a seed whatever the threads. */
    qv_status (*build)(const struct qv__index_params *, const struct qv__index_env *,
                       const struct qv__vectors *, uint32_t n, struct qv__index **out,
                       struct qv_err *);
    /* Index ordinals [indexed, n). On error those already linked stay; the call can be repeated. */
    qv_status (*insert)(struct qv__index *, const struct qv__index_env *, uint32_t n,
                        struct qv_err *);
    /* One index over the union of several: ordinal o of source s becomes remap[s][o], or is dropped
     * when UINT32_MAX; no two become the same. What no source has is added. `vectors` is the new
     * run of n vectors. A source may be NULL. What they have is used where it fits `params`. */
    qv_status (*merge)(const struct qv__index_params *, const struct qv__index_env *,
                       const struct qv__vectors *, uint32_t n, struct qv__index *const *sources,
                       const uint32_t *const *remaps, size_t n_sources, struct qv__index **out,
                       struct qv_err *);
    /* Nearest first into hits[k]; *n_hits <= k: exactly min(k, allowed) for flat. */
    qv_status (*search)(const struct qv__index *, const struct qv__index_query *, struct qv__qctx *,
                        struct qv__index_hit *hits, uint32_t *n_hits, struct qv_err *);
    qv_status (*save)(const struct qv__index *, struct qv__index_sink *, struct qv_err *);
    /* Over saved parts, which may be hostile: everything a walk relies on is validated here. */
    qv_status (*open)(const struct qv__index_params *, const struct qv__index_env *,
                      const struct qv__vectors *, uint32_t n, const struct qv__index_parts *,
                      struct qv__index **out, struct qv_err *);
    /* Full structural check: links in range, no self links, levels sane, every ordinal reachable.
     */
    qv_status (*validate)(const struct qv__index *, struct qv_err *);
    void (*describe)(const struct qv__index *, struct qv__index_info *);
    /* False if it is what `params` ask for over these vectors; else *why (may be NULL) gets what
     * they ask for instead: "m 16 -> 32". Only what a rebuild would change counts. */
    bool (*differs)(const struct qv__index *, const struct qv__index_params *params, char why[64]);
    void (*free)(struct qv__index *); /* NULL-safe */
};

/* First member of every implementation's object. */
struct qv__index {
    const struct qv__index_ops *ops;
    struct qv__mem *mem;
    const struct qv__simd *simd;
    struct qv__vectors vectors;
    struct qv__index_params params;
    _Atomic uint32_t n_indexed; /* release after an ordinal is linked */
};

/* NULL for an unknown kind. */
const struct qv__index_ops *qv__index_ops_of(uint32_t kind);
/* QV_EVALIDATION naming field, value and limit. */
qv_status qv__index_params_check(const struct qv__index_params *p, struct qv_err *err) QV_MUST_USE;
static inline uint32_t qv__index_count(const struct qv__index *x)
{
    return atomic_load_explicit(&((struct qv__index *)(uintptr_t)x)->n_indexed,
                                memory_order_acquire);
}

/* Exact search of ordinals [from, n) of any run: what flat does, and what the engine does for the
 * tail of a growing segment that its graph has not reached. Same hit order as an index. */
qv_status qv__scan(const struct qv__simd *simd, const struct qv__vectors *v, uint32_t from,
                   const struct qv__index_query *q, struct qv__qctx *ctx,
                   struct qv__index_hit *hits, uint32_t *n_hits, struct qv_err *err) QV_MUST_USE;
/* One exact distance. */
float qv__distance(const struct qv__simd *simd, const struct qv__vectors *v, const void *query,
                   uint32_t ord);
/* Exact distances to vectors by address, wherever they lie: of `v` only the datatype, the metric
 * and the dimension are read. */
void qv__distances(const struct qv__simd *simd, const struct qv__vectors *v, const void *query,
                   const void *const *rows, size_t n, float *out);

#endif

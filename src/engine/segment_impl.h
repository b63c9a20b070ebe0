/* segment_impl.h: the inside of a segment, shared by the segment_*.c files only.
 *
 * Growing: rows in chunks of 256, vectors per column in chunks of about 256 KiB, chunk tables of
 * fixed address; a row becomes visible to readers when n_rows is stored (release) after it is
 * complete. Sealed: pointers into one mapped file. */
#ifndef QV_ENGINE_SEGMENT_IMPL_H
#define QV_ENGINE_SEGMENT_IMPL_H

#include "engine/segment_cache.h"
#include "engine/segment_fields.h"
#include "engine/segment_tenants.h"
#include "engine/vector.h"
#include "index/sparse.h"
#include "store/idmap.h"

#define QV__ROW_CHUNK_SHIFT    8u
#define QV__ROW_CHUNK          (1u << QV__ROW_CHUNK_SHIFT)
#define QV__NO_ROW             UINT32_MAX
#define QV__VECTOR_CHUNK_BYTES ((size_t)256 << 10)

/* --- deletions (segment_dead.c) --- */

struct qv__deletion {
    uint64_t lsn;
    uint32_t row;
};

/* Entries are in LSN order: [0, cleared) have their live bit cleared, the rest not yet. Entries
 * leave from the front when they are cleared and flushed. */
struct qv__dead {
    struct qv__mem *mem;
    uint64_t *live; /* words; atomic: cleared under lock, read without */
    uint32_t n_bits;
    struct qv__deletion *entries; /* guarded by: lock */
    size_t first, n, cap;         /* live entries are [first, n); guarded by: lock */
    size_t cleared;               /* index of the first uncleared; guarded by: lock */
    struct qv__map by_row;        /* row -> its entry's number since birth; guarded by: lock */
    uint64_t base;                /* number since birth of entries[0]; guarded by: lock */
    _Atomic uint32_t n_uncleared; /* entries whose bit is still set */
    _Atomic uint32_t n_dead;      /* rows dead, whatever the stage */
};

qv_status qv__dead_init(struct qv__dead *d, struct qv__mem *mem, uint32_t n_bits) QV_MUST_USE;
void qv__dead_free(struct qv__dead *d);
/* A row dead in the file, or carried over without an LSN: dead to everyone. */
void qv__dead_clear_now(struct qv__dead *d, uint32_t row);
/* All below: under the segment's lock. */
bool qv__dead_lookup(const struct qv__dead *d, uint32_t row, uint64_t *lsn);
/* True if the row is not deleted for a reader at lsn. */
bool qv__dead_alive(const struct qv__dead *d, uint32_t row, uint64_t lsn);
void qv__dead_mark(uint64_t *words, const struct qv__dead *d, uint32_t n_rows, uint64_t lsn);

/* --- expiry (segment_expiry.c) --- */

/* Rows with an expiry, a binary heap with the earliest on top. */
struct qv__expiry {
    uint32_t *heap;       /* guarded by: lock */
    size_t n, cap;        /* guarded by: lock */
    _Atomic int64_t next; /* instant of the top; INT64_MAX = none */
};

void qv__expiry_free(struct qv__expiry *x);
/* Make sure that n pushes cannot fail. */
qv_status qv__expiry_reserve(struct qv__segment *s, size_t n) QV_MUST_USE;
/* Fill the heap of a segment just opened. */
qv_status qv__expiry_open(struct qv__segment *s) QV_MUST_USE;
/* All below: under the segment's lock. */
void qv__expiry_push(struct qv__segment *s, uint32_t row);
/* Forget what no reader can see any more. */
void qv__expiry_drain(struct qv__segment *s);
/* Clear the rows from heap place i downwards that have expired. */
void qv__expiry_mark(const struct qv__segment *s, size_t i, int64_t now_ms, uint32_t n_rows,
                     uint64_t *words);

/* --- growing --- */

struct qv__row_chunk {
    uint64_t lsn[QV__ROW_CHUNK];
    int64_t expires[QV__ROW_CHUNK];
    const uint8_t *payload[QV__ROW_CHUNK];
    uint32_t payload_n[QV__ROW_CHUNK];
    uint32_t previous[QV__ROW_CHUNK]; /* older row of the same id, or QV__NO_ROW */
    struct qv__id id[QV__ROW_CHUNK];
    uint32_t ord[]; /* [columns][QV__ROW_CHUNK]: ordinal in the column, or QV__NO_ROW */
};

struct qv__byte_block {
    struct qv__byte_block *next;
    size_t used, size;
    uint8_t bytes[];
};

/* Posting lists over ordinals [first, first + p.n_ords) of a sparse column. */
struct qv__sparse_run {
    uint32_t first;
    struct qv__postings p;
    struct qv__buf bytes; /* growing: owned */
};
/* A growing segment gets one for so many vectors; fewer are compared one by one. */
#define QV__SPARSE_RUN 4096u

/* One vector column, growing or sealed. The vectors of sparse and multivector columns vary in
 * length: growing, the chunks hold pointers to them; sealed, they lie where `offsets` say. */
struct qv__column {
    const struct qv__vector_def *def; /* NULL: the schema has it, the file does not */
    struct qv__vectors vectors;       /* chunks point to `chunks`, or to `single` */
    uint8_t **chunks;                 /* growing: owned table */
    uint32_t n_chunks_max, n_chunks;
    uint32_t n_first;     /* vectors that chunk 0 has room for */
    uint8_t *outgrown[8]; /* its smaller forms, owned */
    uint32_t n_outgrown;
    const uint8_t *single;             /* sealed: the run's start */
    _Atomic uint32_t n;                /* ordinals */
    uint32_t **ord_to_row;             /* growing: chunks of QV__ROW_CHUNK, owned */
    const uint32_t *sealed_ord_to_row; /* sealed: NULL = identity */
    const uint32_t *sealed_row_to_ord;
    struct qv__index *_Atomic index; /* NULL = none yet; set once */
    const uint64_t *sealed_offsets;  /* of vectors that vary in length: [n + 1], of bytes */
    struct qv__sparse_run *runs;     /* sparse: table of fixed address, owned */
    _Atomic uint32_t n_runs;         /* release after a run is complete */
};

struct qv__segment {
    _Atomic uint32_t refs;
    struct qv__segment_env env;
    struct qv__schema *schema; /* retained */
    uint64_t id;
    bool sealed;
    _Atomic bool doomed;
    uint32_t capacity;
    _Atomic uint32_t n_rows; /* release after a row is complete */
    uint64_t min_lsn;        /* guarded by the write order while growing */
    _Atomic uint64_t max_lsn;
    uint32_t n_columns;
    struct qv__column *columns;
    struct qv__mutex lock; /* by_id, dead, expiry, fields, cache, tombs */
    struct qv__dead dead;
    struct qv__expiry expiry;
    struct qv__field_set *fields;  /* guarded by: lock; NULL before the first sync */
    const void *_Atomic fields_of; /* its schema, to be compared only */
    _Atomic uint32_t fields_next;  /* rows from which on a block can be built; UINT32_MAX = none */
    struct qv__filter_cache cache; /* guarded by: lock */
    _Atomic bool
        fields_unsaved;  /* sealed: all blocks are there, those of some index not in the file */
    struct qv__mem *mem; /* account of this segment, owned */
    _Atomic uint64_t payload_blocks;

    /* growing */
    struct qv__row_chunk **rows; /* owned table of fixed address */
    uint32_t n_row_chunks;
    struct qv__map by_id;          /* id -> newest row; guarded by: lock */
    struct qv__byte_block *blocks; /* newest first */
    _Atomic uint64_t bytes;
    _Atomic uint64_t vector_bytes; /* of `bytes` */
    uint64_t file_need;            /* what its file will take, about; guarded by the write order */
    struct qv__mutex indexing;     /* one at a time */

    /* sealed */
    struct qv__segfile *file;
    uint32_t n_foreign; /* columns of the file that the schema had no more when it was opened */
    struct qv__idmap ids;
    uint64_t file_bytes;
    _Atomic bool fault_told;
    const uint64_t *lsns;
    const int64_t *expires; /* NULL = never */
    const uint64_t *payload_offsets;
    struct qv__bytes payloads;
    struct qv__tenants tenants;
    struct qv__tombstone_file tombs; /* guarded by: lock */
};

static inline struct qv__row_chunk *qv__row_chunk(const struct qv__segment *s, uint32_t row)
{
    return s->rows[row >> QV__ROW_CHUNK_SHIFT];
}
static inline uint64_t qv__payload_blocks(uint64_t bytes)
{
    return (bytes + QV__PAYLOAD_BLOCK - 1) / QV__PAYLOAD_BLOCK;
}
static inline uint32_t qv__row_at(uint32_t row)
{
    return row & (QV__ROW_CHUNK - 1);
}

/* True if the column shall have a graph once it is large enough. */
static inline bool qv__column_graph(const struct qv__segment *s, uint32_t column)
{
    return s->schema->vectors[column].index.kind == QV__INDEX_GRAPH;
}

/* The segment's own number of a column of `schema`; QV__NO_ROW if it has none. */
uint32_t qv__segment_column(const struct qv__segment *s, const struct qv__schema *schema,
                            uint32_t column);
/* Ordinal of a row in a column (the segment's own), or QV__NO_ROW. */
uint32_t qv__segment_ord(const struct qv__segment *s, uint32_t column, uint32_t row);
uint32_t qv__segment_ord_row(const struct qv__segment *s, uint32_t column, uint32_t ord);
/* Ordinals of a column whose row is below n_rows. */
uint32_t qv__segment_ords_at(const struct qv__segment *s, uint32_t column, uint32_t n_rows);

/* The stored vector of an ordinal of a column that has some. */
static inline const void *qv__column_vector(const struct qv__column *c, uint32_t ord)
{
    if (c->sealed_offsets) {
        return c->single + c->sealed_offsets[ord];
    }
    const void *at = qv__vectors_at(&c->vectors, ord);
    return qv__vec_varies(c->def->kind) ? *(const void *const *)at : at;
}

/* Row words -> ordinal words; only when ordinals are not rows. */
qv_status qv__segment_allow_ords(const struct qv__segment *s, const uint64_t *allow,
                                 uint32_t column, uint32_t n_ords, struct qv__mem *mem,
                                 struct qv__bitset *out, uint64_t *count,
                                 struct qv_err *err) QV_MUST_USE;

/* --- segment_sparse.c --- */

struct qv__part;

/* Room for the runs of a growing column. */
qv_status qv__sparse_runs_init(struct qv__segment *s, struct qv__column *c) QV_MUST_USE;
void qv__sparse_runs_free(struct qv__column *c);
/* Vectors of a growing column's first n that are due for a run and in none. */
uint32_t qv__sparse_runs_owed(const struct qv__column *c, uint32_t n);
/* Make the runs that are due. */
qv_status qv__sparse_runs_make(struct qv__segment *s, struct qv__column *c, uint32_t n,
                               struct qv__part *part, struct qv_err *err) QV_MUST_USE;
/* The run of a file just opened. */
qv_status qv__sparse_run_open(struct qv__segment *s, struct qv__column *c, uint16_t column,
                              uint32_t n, bool verify, struct qv_err *err) QV_MUST_USE;

/* Offer the best of the column's first n_ords to `top`, by ordinal; allow goes by ordinal too. */
qv_status qv__sparse_column_search(const struct qv__segment *s, uint32_t column,
                                   const struct qv__segment_search *q, const uint64_t *allow,
                                   uint64_t allow_count, uint32_t n_ords, struct qv__qctx *ctx,
                                   struct qv__topk *top, struct qv_err *err) QV_MUST_USE;

/* segment_growing.c / segment_sealed.c */
bool qv__growing_find(const struct qv__segment *s, const struct qv__id *id, uint64_t lsn,
                      uint32_t *row);
bool qv__sealed_find(const struct qv__segment *s, const struct qv__id *id, uint64_t lsn,
                     uint32_t *row);
void qv__growing_free(struct qv__segment *s);
/* Tell the system how a sealed segment's vectors will be read: through, by a merge, or here and
 * there, by searches over graphs, as an opened one's are. */
void qv__segment_advise(const struct qv__segment *s, bool is_read_through);
void qv__sealed_free(struct qv__segment *s);
/* The common part of both kinds. */
qv_status qv__segment_alloc(const struct qv__segment_env *env, struct qv__schema *schema,
                            uint64_t id, uint32_t capacity, bool sealed, struct qv__segment **out,
                            struct qv_err *err) QV_MUST_USE;
/* With verify, checksums of all blocks and the full structure are checked; a file just written
 * needs neither. */
qv_status qv__sealed_open(const struct qv__segment_env *env, struct qv__schema *schema,
                          const struct qv__manifest_segment *m, bool verify,
                          struct qv__segment **out, struct qv_err *err) QV_MUST_USE;

/* Work of several parts as one to whoever watches: this part begins after `before` units of
 * `total`. `work` may be NULL. */
struct qv__part {
    const struct qv__work *work;
    uint64_t before, total;
};
void qv__part_progress(void *part, uint64_t done, uint64_t total);
static inline const _Atomic bool *qv__work_cancel(const struct qv__work *w)
{
    return w ? w->cancel : NULL;
}

/* segment_write.c: which rows of which segments become the rows of a new file. */
struct qv__row_ref {
    uint32_t source, row;
};
struct qv__segment_build {
    const struct qv__segment_env *env;
    struct qv__schema *schema;
    struct qv__segment *const *sources;
    size_t n_sources;
    const struct qv__row_ref *rows;
    uint32_t n_rows;
    uint64_t segment_id;
    const uint64_t *dead; /* tombstones to store, over new rows; NULL = none */
    uint32_t n_dead;
    bool reuse_graphs;    /* one source, same rows: its complete graphs are saved as they are, those
                             that are what the schema asks for */
    bool renumber_graphs; /* one source, the same rows in another order: likewise, renumbered */
    bool build_graphs;    /* merge the sources' graphs, or build, where none can be saved */
    struct qv__schema *indexes;  /* whose payload indexes the file holds */
    const struct qv__work *work; /* NULL = nobody watches */
};
qv_status qv__segment_write(const struct qv__segment_build *b, struct qv__manifest_segment *out,
                            struct qv_err *err) QV_MUST_USE;

/* The META section: 64 bytes, see docs/internals/SEGMENT.md. */
struct qv__segment_meta {
    uint32_t version, n_rows, n_columns, flags;
    uint64_t min_lsn, max_lsn;
    uint64_t reserved[4];
};
_Static_assert(sizeof(struct qv__segment_meta) == 64, "META is 64 bytes");
/* VEC_META: 64 bytes and the column's name. */
struct qv__column_meta {
    uint32_t version, name_bytes, dim, stride_bytes, n_ords;
    uint8_t kind, datatype, metric, identity;
    uint32_t index_kind, m, ef_construct, reserved0;
    uint64_t seed;
    /* Versions 2 and 3; in version 1 zero: the column is one the collection was made with. */
    uint64_t uid;
    uint64_t reserved;
};
_Static_assert(sizeof(struct qv__column_meta) == 64, "VEC_META is 64 bytes and a name");

#endif

/* segment.h: rows of one collection shard: growing (in memory) or sealed (a mapped file).
 *
 * What it is: rows with system columns (id, insert LSN, delete LSN, version, expiry), a payload and
 * up to one vector per named column; each column keeps its own ordinals and its own index. A
 * growing segment takes rows in LSN order; a sealed one is immutable but for its tombstones. What
 * it is not: aware of other segments, of the log, or of queries beyond one column's nearest rows.
 *
 * Versions: a row is visible to a reader at LSN r when insert_lsn <= r < delete_lsn. Rows of a
 * growing segment are in LSN order, so what r may see is a prefix of them. A row with an expiry is
 * hidden from that instant on by the reader's own clock; the deletion that purges it comes later
 * and is one like any other. Deletions are held in three stages: (1) in `pending` with their LSN
 * while some reader may still see the row; (2) in the `live` words, cleared once the read horizon
 * passed the LSN; (3) forgotten from `pending` once also flushed (tombstone files hold only
 * deletions at or below the shard's flushed LSN, because replay of a later record may need the old
 * row).
 *
 * Threads: append, delete and drain by one thread at a time (the shard's write order); everything
 * else from any thread. A segment is alive while referenced; views reference it. */
#ifndef QV_ENGINE_SEGMENT_H
#define QV_ENGINE_SEGMENT_H

#include <stdatomic.h>

#include "base/id.h"
#include "base/logger.h"
#include "base/map.h"
#include "base/thread.h"
#include "bitmap/bitset.h"
#include "engine/schema.h"
#include "index/index.h"
#include "payload/filter.h"
#include "store/manifest.h"
#include "store/segfile.h"

#define QV__LSN_MAX      UINT64_MAX /* "latest": reads that see applied but unpublished rows */
#define QV__ALWAYS       INT64_MIN  /* an instant before every expiry */
#define QV__DROP_NOTHING UINT64_MAX

struct qv__segment;

/* Work that takes long: how to end it early, and whom it tells how far it is. NULL = neither. */
struct qv__work {
    const _Atomic bool *cancel; /* QV_ECANCELLED soon after it is set */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

/* What segments share with their shard; borrowed for the segment's life. */
struct qv__segment_env {
    struct qv__mem *
        mem; /* collection's account: vectors, payload, graph are children of the caller's making */
    const struct qv__simd *simd;
    struct qv__blobs *blobs;
    struct qv__pool *pool;
    const struct qv__logger *logger;
    /* What files of all growing segments will take on the disk, about; NULL = nobody counts. */
    _Atomic uint64_t *growing;
    struct qv__leftovers *leftovers; /* files that could not be removed; NULL = nobody asks */
};

/* --- life --- */

/* An empty growing segment that can take `capacity` rows. Small until rows come (< 32 KiB). */
qv_status qv__segment_create(const struct qv__segment_env *env, struct qv__schema *schema,
                             uint64_t segment_id, uint32_t capacity, struct qv__segment **out,
                             struct qv_err *err) QV_MUST_USE;
/* Open a sealed one from its blob, with its tombstone file if m->tombstone_gen != 0. Everything is
 * validated (checksums, structure); QV_ECORRUPT names the file. */
qv_status qv__segment_open(const struct qv__segment_env *env, struct qv__schema *schema,
                           const struct qv__manifest_segment *m, struct qv__segment **out,
                           struct qv_err *err) QV_MUST_USE;
struct qv__segment *qv__segment_retain(struct qv__segment *s);
/* The last release frees it, and removes its files when qv__segment_doom was called. NULL-safe. */
void qv__segment_release(struct qv__segment *s);
/* Its blobs (data and tombstones) are removed at the last release. */
void qv__segment_doom(struct qv__segment *s);

/* --- facts --- */

uint64_t qv__segment_id_number(const struct qv__segment *s);
bool qv__segment_sealed(const struct qv__segment *s);
struct qv__schema *qv__segment_schema(const struct qv__segment *s); /* borrowed */
uint32_t qv__segment_rows(const struct qv__segment *s);             /* appended, dead included */
uint32_t qv__segment_capacity(const struct qv__segment *s);
uint64_t qv__segment_bytes(
    const struct qv__segment *s); /* growing: vector and payload bytes; sealed: file */
#define QV__PAYLOAD_BLOCK 128u
/* Of all its rows, dead ones too: bytes of vectors, and of payload in whole blocks of
 * QV__PAYLOAD_BLOCK bytes a row. */
void qv__segment_sizes(const struct qv__segment *s, uint64_t *vectors, uint64_t *payload);
/* Growing: what its file will take on the disk, about. */
uint64_t qv__segment_need(const struct qv__segment *s);
uint64_t qv__segment_min_lsn(const struct qv__segment *s); /* of rows; 0 when empty */
uint64_t qv__segment_max_lsn(const struct qv__segment *s);
uint32_t
qv__segment_dead(const struct qv__segment *s); /* rows with a delete LSN, or dead in the file */
/* Rows deleted at or below lsn. */
uint32_t qv__segment_dead_at(const struct qv__segment *s, uint64_t lsn);
/* Vectors that are due for a graph and not in one: the largest over the columns that hold at least
 * policy.index_rows vectors. A growing segment with policy.index_at_seal_only owes none; a sealed
 * one owes all of a column stored flat. */
uint32_t qv__segment_unindexed(const struct qv__segment *s);
/* True if a rewrite by `schema` would make something else of it: other indexes (the reason: "vector
 * `a`: m 16 -> 32"), or no column that the schema has no more. why may be NULL. */
#define QV__WHY_BYTES 96u
bool qv__segment_outdated(const struct qv__segment *s, const struct qv__schema *schema,
                          char why[QV__WHY_BYTES]);
/* Bytes of such vectors in a growing segment, all columns together; 0 of a sealed one. */
uint64_t qv__segment_tail_bytes(const struct qv__segment *s);
void qv__segment_describe(const struct qv__segment *s, uint64_t *memory_bytes, uint64_t *file_bytes,
                          uint64_t *indexed, const char **index_kind);
/* Tell the system where the pages of a sealed segment's vectors and payload belong, by the
 * placement of `schema` where it is not that of `before` (NULL = the defaults). */
void qv__segment_place(const struct qv__segment *s, const struct qv__schema *schema,
                       const struct qv__schema *before);
/* False once the mapped file of a sealed segment was cut short or could not be read: what was read
 * of it before this call may be wrong and must not be used. */
bool qv__segment_sound(const struct qv__segment *s) QV_MUST_USE;
/* An unsound segment: QV_EIO naming the file. *first tells whether it is the first time. */
qv_status qv__segment_fault(struct qv__segment *s, bool *first, struct qv_err *err);
/* What the manifest records of a sealed segment (n_dead and tombstone_gen as last written). */
void qv__segment_manifest(const struct qv__segment *s, struct qv__manifest_segment *out);

/* --- rows --- */

/* One row to append. vectors[n_vectors of the schema]: NULL = absent; already normalised for
 * cosine. Everything is copied. */
struct qv__row {
    struct qv__id id;
    const void *const *vectors; /* elements of each column's datatype */
    struct qv__bytes payload;
    int64_t expires_ms; /* INT64_MAX = never */
};

/* Make sure that appending these rows cannot fail (memory for columns, ids, payload). A reservation
 * is replaced by the next one; unused room stays. QV_ENOMEM, QV_ETOOBIG (over capacity). */
qv_status qv__segment_reserve(struct qv__segment *s, const struct qv__row *rows, size_t n,
                              struct qv_err *err) QV_MUST_USE;
/* Append within the reservation; cannot fail. LSNs never fall. Returns the row number. */
uint32_t qv__segment_append(struct qv__segment *s, const struct qv__row *row, uint64_t lsn);

struct qv__id qv__segment_row_id(const struct qv__segment *s,
                                 uint32_t row); /* STR borrowed from the segment */
uint64_t qv__segment_row_lsn(const struct qv__segment *s, uint32_t row);
uint64_t qv__segment_row_version(const struct qv__segment *s,
                                 uint32_t row); /* the LSN that wrote it */
int64_t qv__segment_row_expires(const struct qv__segment *s, uint32_t row);
struct qv__bytes qv__segment_row_payload(const struct qv__segment *s, uint32_t row);
/* Elements of a column of `schema`, or NULL; borrowed from the segment. The segment's own schema
 * may be an older one: columns that it does not know have no vectors in it. */
const void *qv__segment_row_vector(const struct qv__segment *s, const struct qv__schema *schema,
                                   uint32_t column, uint32_t row);

/* The row that holds `id` for a reader at `lsn` (QV__LSN_MAX = the newest, applied or not). */
bool qv__segment_find(const struct qv__segment *s, const struct qv__id *id, uint64_t lsn,
                      uint32_t *row);
/* The same with QV__LSN_MAX, for the holder of the write order: cheaper where there is none. */
bool qv__segment_find_newest(const struct qv__segment *s, const struct qv__id *id, uint32_t *row);
/* A look-up of the id with this hash comes soon. Under the write order. */
void qv__segment_expect(const struct qv__segment *s, uint64_t id_hash);
bool qv__segment_row_visible(const struct qv__segment *s, uint32_t row, uint64_t lsn);

/* --- deletion --- */

/* Make sure that n deletions cannot fail. */
qv_status qv__segment_reserve_deletes(struct qv__segment *s, size_t n,
                                      struct qv_err *err) QV_MUST_USE;
/* Mark a row deleted as of lsn; the row is not deleted yet. Cannot fail after the reservation. */
void qv__segment_delete(struct qv__segment *s, uint32_t row, uint64_t lsn);
/* Move deletions along: clear the live bits of those at or below `horizon` (no reader is older),
 * forget those at or below min(horizon, flushed). */
void qv__segment_drain(struct qv__segment *s, uint64_t horizon, uint64_t flushed);

/* --- expiry --- */

/* The earliest expiry of a row that some reader may still see; INT64_MAX = none. */
int64_t qv__segment_next_expiry(const struct qv__segment *s);
/* Rows whose newest version expired at or before now_ms, at most `max`; returns how many. *next_ms:
 * the earliest later expiry (exact when fewer than max were found; INT64_MAX = none). */
size_t qv__segment_expired(const struct qv__segment *s, int64_t now_ms, uint32_t *rows, size_t max,
                           int64_t *next_ms);

/* --- reading --- */

/* What a reader at `lsn` may see at the instant `now_ms` (Unix milliseconds; QV__ALWAYS = expired
 * rows too), as words over rows [0, n_rows). Either borrowed from the segment (fast path: no
 * deletion in flight, nothing expired), or built in `own`. words NULL = all n_rows rows. */
struct qv__visible {
    uint64_t lsn;
    uint32_t n_rows;
    const uint64_t *words;
    uint64_t count; /* visible rows */
    struct qv__bitset own;
};
qv_status qv__segment_visible(const struct qv__segment *s, uint64_t lsn, int64_t now_ms,
                              struct qv__mem *mem, struct qv__visible *out,
                              struct qv_err *err) QV_MUST_USE;
void qv__visible_free(struct qv__visible *v);

/* Rows of `v` that match the filter, in a new bitset over [0, v->n_rows). Uses an id set of the
 * filter when there is one. Names of vectors are those of `schema`, the reader's. */
qv_status qv__segment_match(const struct qv__segment *s, const struct qv__schema *schema,
                            const struct qv__visible *v, const struct qv__filter *f,
                            struct qv__qctx *ctx, struct qv__bitset *out, uint64_t *count,
                            struct qv_err *err) QV_MUST_USE;
/* Evaluate the filter on one row. False as well once `steps` have ended: ask its status. */
bool qv__segment_row_match(const struct qv__segment *s, const struct qv__schema *schema,
                           uint32_t row, const struct qv__filter *f, struct qv__steps *steps);

struct qv__packs; /* segment_packs.h */

struct qv__row_hit {
    uint32_t row;
    float dist;
};
/* The k nearest allowed rows of one column, sorted by (dist, row). allow: words over rows [0,
 * n_rows), NULL = all; allow_count its bits. exact = scan. The indexed part goes through the graph,
 * the rest is scanned. */
struct qv__segment_search {
    const struct qv__schema *schema; /* the reader's */
    uint32_t column;                 /* of it */
    const void *vector;              /* in the column's stored form */
    uint32_t k, ef;
    float oversample; /* as of index.h */
    bool exact, no_codes;
    struct qv__index_beam *beam; /* of the whole query, as of index.h; NULL = none */
    uint32_t strategy;           /* enum qv__index_strategy */
    bool plan_only;
    const uint64_t *allow;
    uint64_t allow_count;
    struct qv__packs *packs; /* of a set that `allow` is, or is left of; NULL = of none */
    const uint64_t *set;     /* with packs: that set, as `allow` */
    uint32_t n_rows;
};
qv_status qv__segment_search(const struct qv__segment *s, const struct qv__segment_search *q,
                             struct qv__qctx *ctx, struct qv__row_hit *hits, uint32_t *n_hits,
                             struct qv_err *err) QV_MUST_USE;

/* Add to df[i] in how many of a sparse column's vectors index i of `sparse` is, and to *n_vectors
 * how many vectors were looked at: those of rows below n_rows that are set in `words` (NULL = all),
 * which are `matched`. */
qv_status qv__segment_frequencies(const struct qv__segment *s, const struct qv__schema *schema,
                                  uint32_t column, const uint64_t *words, uint32_t n_rows,
                                  uint64_t matched, const void *sparse, struct qv__qctx *ctx,
                                  uint64_t *df, uint64_t *n_vectors,
                                  struct qv_err *err) QV_MUST_USE;

/* Iterate rows in id order from `from` (NULL = start): each id's rows that are set in `words` (NULL
 * = all). */
struct qv__id_cursor {
    const struct qv__segment *segment;
    uint32_t *rows; /* growing: rows sorted by id, owned; sealed: NULL, walks the stored order */
    uint32_t n, at;
    const uint64_t *words;
    uint32_t n_rows;
    struct qv__mem *mem;
};
/* For a growing segment at most `limit` smallest ids >= from are collected. */
qv_status qv__id_cursor_open(const struct qv__segment *s, const struct qv__id *from, uint64_t limit,
                             const uint64_t *words, uint32_t n_rows, struct qv__mem *mem,
                             struct qv__id_cursor *out, struct qv_err *err) QV_MUST_USE;
/* Next row, or false at the end. */
bool qv__id_cursor_next(struct qv__id_cursor *c, uint32_t *row);
void qv__id_cursor_close(struct qv__id_cursor *c);

/* --- maintenance --- */

/* Index rows of a growing segment up to `n_rows` (published ones), columns that have >=
 * policy.index_rows vectors; makes the graphs when they are first due. One at a time per segment;
 * searches go on. */
qv_status qv__segment_index(struct qv__segment *s, uint32_t n_rows, const struct qv__work *work,
                            struct qv_err *err) QV_MUST_USE;

/* Write a frozen growing segment (no more appends, deletes may come) as sealed file `segment_id`,
 * and open it. *remap: new row per old row (an array of env->mem; free with qv__free); NULL: they
 * are the same, as always but where tenants order them. Columns lacking a complete graph are stored
 * flat. Rows deleted at or below `flushed` are stored as tombstones in the file. Deletions after
 * that are brought over by qv__segment_carry. */
qv_status qv__segment_seal(const struct qv__segment_env *env, struct qv__segment *growing,
                           uint64_t segment_id, uint64_t flushed, uint32_t **remap,
                           struct qv__segment **out, struct qv_err *err) QV_MUST_USE;

/* Merge sealed segments (given oldest first) into one sealed file, dropping rows deleted at or
 * below `drop_lsn` (<= flushed; QV__DROP_NOTHING keeps them all) and storing those deleted at or
 * below `flushed` as tombstones; graphs are built over the rest, but for those of a single source
 * that still fit. Columns are those of `schema`. *remaps: for each source, new row per old row,
 * UINT32_MAX = dropped (arrays of env->mem; free with qv__free). When nothing is left *out is NULL.
 */
qv_status qv__segment_merge(const struct qv__segment_env *env, struct qv__schema *schema,
                            struct qv__segment *const *sources, size_t n, uint64_t segment_id,
                            uint64_t drop_lsn, uint64_t flushed, const struct qv__work *work,
                            uint32_t **remaps, struct qv__segment **out,
                            struct qv_err *err) QV_MUST_USE;

/* Copy the deletions of the sources that `to` does not have yet; remaps NULL = same rows. Called
 * under the shard's write order, the last time at the switch of views; `to` must not be visible to
 * anyone yet. */
qv_status qv__segment_carry(struct qv__segment *const *sources, uint32_t *const *remaps, size_t n,
                            struct qv__segment *to, struct qv_err *err) QV_MUST_USE;

/* A tombstone file of a sealed segment holds exactly the deletions at or below a shard's flushed
 * LSN. It is written first, and becomes part of qv__segment_manifest only when installed, at the
 * same instant of the write order at which the flushed LSN moves: a manifest must never pair one
 * with another's LSN. gen 0 = nothing new to write. */
struct qv__tombstone_file {
    uint64_t gen;
    uint32_t n_dead;
};
qv_status qv__segment_write_tombstones(struct qv__segment *s, uint64_t flushed, uint64_t gen,
                                       struct qv__tombstone_file *out,
                                       struct qv_err *err) QV_MUST_USE;
/* Returns the superseded generation, to be removed once a manifest is committed; 0 = none. */
uint64_t qv__segment_install_tombstones(struct qv__segment *s, const struct qv__tombstone_file *f);

#endif

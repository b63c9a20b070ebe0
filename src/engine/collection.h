/* collection.h: the engine's own picture of a database: db -> collection -> shard -> view ->
 * segment.
 *
 * What it is: the structs that the files of this folder share, and which lock guards which field.
 * What it is not: visible outside engine/; the face is db.h.
 *
 * Locks, outside in (ranks of base/thread.h): db->snapshots (names of snapshots) -> db->ddl (one
 * catalog change or checkpoint at a time)
 * -> db->catalog (names) -> shard->write (write order, shards in rising number) -> shard->view_lock
 * -> segment->lock -> collection->lock (schema pointer) -> commit -> log. No I/O happens under any
 * of them but ddl. */
#ifndef QV_ENGINE_COLLECTION_H
#define QV_ENGINE_COLLECTION_H

#include "base/rate.h"
#include "base/rng.h"
#include "engine/commit.h"
#include "engine/db.h"
#include "engine/leftovers.h"
#include "engine/pace.h"
#include "engine/segment.h"
#include "engine/space.h"

/* Record types of the log. Values are stored: never renumbered. */
enum qv__record_type {
    QV__REC_DATA = 1,   /* effects on points; see record.h */
    QV__REC_CATALOG = 2 /* one catalog change as JSON; see catalog.c */
};

/* An immutable list of segments, oldest first; the last is the active growing one. */
struct qv__view {
    _Atomic uint32_t refs;
    struct qv__mem *mem;
    uint32_t n;
    struct qv__segment *segments[];
};

/* Why a collection is quarantined (quarantine.h). */
struct qv__quarantine {
    uint32_t n_damages;
    uint64_t rows;   /* of the damaged files, at most */
    char first[256]; /* the first damage: file and what is wrong */
};

struct qv__shard {
    struct qv__collection *collection; /* immutable */
    uint32_t number;                   /* immutable */
    struct qv__mutex write;            /* the write order */
    struct qv__segment *active;        /* guarded by: write (pointer); borrowed from the view */
    uint64_t last_lsn;                 /* last record applied; guarded by: write */
    struct qv__mutex view_lock;
    struct qv__view *view;        /* guarded by: view_lock; replaced under write + view_lock */
    _Atomic uint64_t flushed_lsn; /* records <= this are in sealed segments of the manifest */
    struct qv__mutex merging; /* one merge at a time, for all of its long work; outermost of all */
    struct qv__mutex maintenance; /* one flush, or switch to what was merged, at a time: while it is
                                     held the flushed LSN stays */
    _Atomic bool job_due;         /* a maintenance task is queued or running */
    _Atomic bool job_again;       /* something became due that a running one may not see */
    _Atomic bool index_due;       /* an indexing task is queued or running */
    _Atomic bool index_again;     /* rows were published that a running indexing may not see */
    _Atomic bool fields_due;      /* payload indexes are being brought up, or will be */
    _Atomic bool fields_again;    /* something came that a running one may not see */
    _Atomic bool merge_waits;     /* a merge is due and others run: its turn comes */
    _Atomic bool purge_due;       /* a purge is queued or running */
    _Atomic int64_t expiry_ms;    /* earliest expiry not yet purged; INT64_MAX = none known */
    _Atomic int64_t idle_ms;      /* idle from then on if no write comes; INT64_MAX = it is */
    _Atomic uint64_t retry_ns;    /* after a failure no task is queued before this (monotonic) */
    struct qv__pace pace;         /* acknowledgements that wait for the graph */
    struct qv__manifest_segment *held; /* quarantined at start: what manifests say; immutable */
    uint32_t n_held;
};

struct qv__collection {
    _Atomic uint32_t refs;
    struct qv__db *db;   /* immutable */
    uint64_t id;         /* immutable, never reused */
    struct qv__mem *mem; /* account, owned */
    struct qv__mem *mem_query;
    struct qv__segment_env env; /* immutable */
    char *name;                 /* immutable */
    struct qv__mutex lock;
    struct qv__schema *schema;        /* what readers go by, durable; guarded by: lock */
    struct qv__schema *write_schema;  /* what writes go by: that of the last record of the log;
                                         guarded by: lock, replaced under the write order of all
                                         shards */
    _Atomic uint64_t columns_lsn;     /* of the last record that dropped a column */
    _Atomic bool dropped;             /* its files are removed at the last release */
    _Atomic bool quarantined;         /* set once; see quarantine.h */
    struct qv__quarantine quarantine; /* guarded by: lock */
    struct qv__rate rates[QV__RATES];
    struct qv__counter snapshots; /* made since it was opened */
    _Atomic uint32_t jobs;        /* queued or running tasks; settle waits for 0 */
    _Atomic bool optimizes;       /* a task that optimizes is queued or running */
    _Atomic uint32_t optimize_to; /* segments per shard that its next round shall leave; 0 = none */
    uint32_t n_shards;            /* immutable */
    struct qv__shard *shards;     /* immutable array */
};

struct qv__job;

/* What runs in the background and what ended last; see job.h. */
struct qv__jobs {
    struct qv__mutex lock;
    struct qv__job *running; /* guarded by: lock */
    uint64_t last_id;        /* guarded by: lock */
    struct qv__job_info ended[QV__JOBS_ENDED];
    uint64_t n_ended; /* ever; guarded by: lock */
    uint64_t count[QV__JOB_KINDS], failed[QV__JOB_KINDS];
};

/* When the next purge is due, or a shard idle, and the thread that waits for it; started when first
 * set. */
struct qv__alarm {
    struct qv__mutex lock;
    struct qv__condvar changed;
    _Atomic int64_t due_ms; /* INT64_MAX = nothing is; written under lock */
    bool is_started;        /* guarded by: lock */
    bool is_stopping;       /* guarded by: lock */
    struct qv__thread thread;
};

struct qv__alias {
    char *name;
    char *collection;
};

/* Checkpoints on their own: a thread, so that no build in the pool holds up the trimming of the
 * log; a task of the pool when the database is stepped. */
struct qv__checkpointer {
    struct qv__mutex lock;
    struct qv__condvar changed;
    struct qv__thread thread;
    bool has_thread;
    bool is_due;                /* guarded by: lock */
    bool is_stopping;           /* guarded by: lock */
    uint64_t start_bytes;       /* log bytes when the last good one began; guarded by: lock */
    struct qv_err failure;      /* of the last one, code QV_OK when it was good; guarded by: lock */
    _Atomic uint64_t retry_ns;  /* after a failure none begins before this (monotonic) */
    _Atomic uint64_t log_bytes; /* size of the log's files when last looked at */
    struct qv__counter failures;
};

/* No count of files gets there. */
#define QV__FILE_ID_MAX (UINT64_C(1) << 62)

struct qv__db {
    struct qv__mem *mem, *mem_log, *mem_catalog;
    struct qv__io *io;
    bool owns_io;
    const struct qv__clock *clock;
    const struct qv__logger *logger;
    const struct qv__simd *simd;
    struct qv__db_options options; /* immutable after open, defaults filled in */
    struct qv__datadir datadir;
    struct qv__blobs *blobs;
    struct qv__log *log;
    struct qv__pool *pool;
    struct qv__commit *commit;
    struct qv__rng rng; /* guarded by: catalog */
    uint8_t uuid[16];

    struct qv__mutex snapshots;          /* names of snapshots; see snapshot_impl.h */
    struct qv__snapshot_stream *streams; /* being read; guarded by: snapshots */

    struct qv__mutex ddl;                /* serialises catalog changes and checkpoints */
    struct qv__mutex catalog;            /* collections, aliases */
    struct qv__collection **collections; /* sorted by name; guarded by: catalog */
    uint32_t n_collections, cap_collections;
    struct qv__alias *aliases; /* sorted by name; guarded by: catalog */
    uint32_t n_aliases, cap_aliases;
    uint64_t next_collection_id;   /* guarded by: catalog */
    _Atomic uint64_t next_file_id; /* at most QV__FILE_ID_MAX */

    size_t
        catalog_bytes; /* of the last manifest's catalog and the changes since; guarded by: ddl */
    uint64_t manifest_generation; /* guarded by: ddl */
    uint64_t checkpoint_lsn;      /* guarded by: ddl (written), atomic read */
    _Atomic uint64_t checkpoint_lsn_seen;
    _Atomic uint64_t
        log_bytes_held;     /* log that a quarantined collection keeps from being trimmed */
    uint64_t log_held_told; /* of it when the log output last told; guarded by: ddl */
    struct qv__checkpointer checkpointer;
    struct qv__space space;
    struct qv__outgoing *outgoing; /* guarded by: ddl; see checkpoint.c */
    struct qv__leftovers leftovers;
    struct qv__alarm alarm; /* wakes purges, and merges of idle shards */
    struct qv__jobs registry;
    _Atomic unsigned merges, merges_waiting, merges_turn; /* merges at once; see maintain.c */
    _Atomic bool closing;
    _Atomic bool recovering;
    _Atomic uint32_t jobs;             /* all background tasks of the database */
    _Atomic uint32_t collections_open; /* alive, dropped ones included */
    _Atomic uint64_t dropped_bytes;    /* memory of dropped ones since it was last trimmed */
    struct qv__counter searches;
    struct qv__counter paced; /* writes held back for the graph */
    uint64_t replayed_records, replayed_bytes;
    double open_seconds;
    bool read_only;
};

/* --- view.c --- */

/* A view over `n` segments, each retained. */
qv_status qv__view_create(struct qv__mem *mem, struct qv__segment *const *segments, uint32_t n,
                          struct qv__view **out, struct qv_err *err) QV_MUST_USE;
struct qv__view *qv__view_retain(struct qv__view *v);
void qv__view_release(struct qv__view *v);
/* The shard's view of now, retained. */
struct qv__view *qv__shard_view(struct qv__shard *s);
/* Put `v` (consumed) in place; the old one is released. Under s->write. */
void qv__shard_swap(struct qv__shard *s, struct qv__view *v);

/* All shards of a collection at one published LSN and one instant of the clock. */
struct qv__read_view {
    struct qv__collection *collection; /* retained */
    struct qv__schema *schema;         /* retained */
    struct qv__reader_ticket ticket;
    int64_t now_ms; /* what expired at or before this is not there */
    uint32_t n;
    struct qv__view *views[]; /* one per shard, retained */
};
/* The instant is the context's, fixed there by the first view of a request; ctx NULL = now. */
qv_status qv__read_view_open(struct qv__collection *c, struct qv__qctx *ctx,
                             struct qv__read_view **out, struct qv_err *err) QV_MUST_USE;
/* The same of a quarantined collection too: for what counts and describes, not for what answers. */
qv_status qv__read_view_pin(struct qv__collection *c, struct qv__qctx *ctx,
                            struct qv__read_view **out, struct qv_err *err) QV_MUST_USE;
/* The last word on an answer, asked when all of it was read and copied: `st`, unless a mapped file
 * failed meanwhile; then QV_EIO naming it, and the collection is quarantined. */
qv_status qv__read_view_settle(const struct qv__read_view *v, qv_status st,
                               struct qv_err *err) QV_MUST_USE;
/* The same for what is read under the write order or by maintenance: all segments of now. */
qv_status qv__collection_settle_reads(struct qv__collection *c, qv_status st,
                                      struct qv_err *err) QV_MUST_USE;
void qv__read_view_close(struct qv__read_view *v); /* NULL-safe */

/* A collection that takes another one's place: what a manifest says as if it had. */
struct qv__swap {
    const struct qv__collection *out; /* NULL = none */
    struct qv__collection *in;
};

/* --- shard.c --- */

/* What one record does to one point, in final form. */
enum qv__effect_kind { QV__EFFECT_PUT = 1, QV__EFFECT_PAYLOAD = 2, QV__EFFECT_DELETE = 3 };
_Static_assert(QV__VECTORS_MAX <= 32, "an effect has a bit for each column");
struct qv__effect {
    enum qv__effect_kind kind;
    struct qv__id id;
    const void *const *vectors; /* PUT: [n_vectors of the schema], NULL = absent */
    struct qv__bytes payload;   /* PUT, PAYLOAD */
    int64_t expires_ms;         /* PUT; a PAYLOAD keeps the old row's: set by reserve */
    struct qv__segment *old;    /* set by reserve: where the newest row is; NULL = none */
    uint32_t old_row;
    uint32_t has; /* PAYLOAD, set by reserve: columns of the old row, a bit each. It may lie in a
                     mapped file that fails before the row is applied: what was not reserved for is
                     not added then. */
};

uint32_t qv__shard_of(uint32_t n_shards, const struct qv__id *id);
/* Newest row of an id, applied or not. Under s->write. */
bool qv__shard_find(struct qv__shard *s, const struct qv__id *id, struct qv__segment **segment,
                    uint32_t *row);
/* Everything that applying these effects needs, so that it cannot fail; may seal the active segment
 * and start another. Under s->write. */
qv_status qv__shard_reserve(struct qv__shard *s, struct qv__schema *schema, struct qv__effect *e,
                            size_t n, struct qv_err *err) QV_MUST_USE;
/* Under s->write, after a successful reserve of the same effects. Returns points whose state
 * changed. */
uint64_t qv__shard_apply(struct qv__shard *s, const struct qv__effect *e, size_t n, uint64_t lsn);
/* Put sealed segments, each retained, before the active one of a fresh shard, whose records up to
 * `flushed` they hold. */
qv_status qv__shard_fill(struct qv__shard *s, struct qv__segment *const *list, uint32_t n,
                         uint64_t flushed, struct qv_err *err) QV_MUST_USE;
/* A new empty active segment at the end of the view, in the place of one that is empty. Under
 * s->write. */
qv_status qv__shard_roll(struct qv__shard *s, struct qv__schema *schema, uint32_t capacity,
                         struct qv_err *err) QV_MUST_USE;

/* --- record.c --- */

/* Encode the effects of one request: one part per shard. */
void qv__record_begin(struct qv__buf *b, uint64_t collection_id, uint32_t n_parts);
void qv__record_part(struct qv__buf *b, uint32_t shard, const struct qv__schema *schema,
                     const struct qv__effect *e, size_t n);
/* Decode the record of this LSN; effects and vectors are made in `arena`, payload and strings
 * borrowed from the record. Vectors of columns that the schema no longer has are dropped: of names
 * that are not in it, and of names whose column is younger than the record. QV_ECORRUPT on
 * malformed bytes. */
struct qv__record_part {
    uint32_t shard;
    struct qv__effect *effects;
    size_t n;
};
qv_status qv__record_collection(struct qv__bytes body, uint64_t *collection_id,
                                struct qv_err *err) QV_MUST_USE;
qv_status qv__record_decode(struct qv__bytes body, uint64_t lsn, const struct qv__schema *schema,
                            struct qv__arena *arena, struct qv__record_part **parts,
                            size_t *n_parts, struct qv_err *err) QV_MUST_USE;

/* --- collection.c --- */

/* A collection with empty shards (one reference), not yet in the catalog. */
qv_status qv__collection_create(struct qv__db *db, uint64_t id, struct qv__str name,
                                struct qv__schema *schema, struct qv__collection **out,
                                struct qv_err *err) QV_MUST_USE;
/* Its record has this LSN: no earlier one concerns it. Before anybody else knows it. */
void qv__collection_born(struct qv__collection *c, uint64_t lsn);
/* Both what readers and what writes go by; consumed. */
void qv__collection_set_schema(struct qv__collection *c, struct qv__schema *schema);
/* A reference to what writes go by; stays it for a holder of a shard's write order. */
struct qv__schema *qv__collection_write_schema(struct qv__collection *c);
/* Only what writes go by; consumed. Under the write order of all shards. */
void qv__collection_set_write_schema(struct qv__collection *c, struct qv__schema *schema);
/* True if `s` is what readers go by now. */
bool qv__collection_reads(struct qv__collection *c, const struct qv__schema *s);

/* --- catalog.c --- */

/* Look up by id, retained; NULL if there is none. */
struct qv__collection *qv__catalog_by_id(struct qv__db *db, uint64_t id);
struct qv__collection *qv__collection_retain(struct qv__collection *c);
/* Apply the catalog record of this LSN (recovery). */
qv_status qv__catalog_apply(struct qv__db *db, uint64_t lsn, struct qv__bytes body,
                            struct qv_err *err) QV_MUST_USE;
/* The catalog as JSON for the manifest. */
void qv__catalog_write(struct qv__db *db, const struct qv__swap *swap, struct qv__buf *out);
/* The same of one collection alone, without aliases. */
void qv__catalog_write_one(struct qv__collection *c, struct qv__buf *out);
qv_status qv__catalog_read(struct qv__db *db, struct qv__bytes json,
                           struct qv_err *err) QV_MUST_USE;
/* Snapshot of all collections, each retained, in an array of `mem`. */
qv_status qv__catalog_all(struct qv__db *db, struct qv__collection ***out, uint32_t *n,
                          struct qv_err *err) QV_MUST_USE;
void qv__catalog_all_free(struct qv__collection **all, uint32_t n);
/* Release what is left at close. */
void qv__catalog_clear(struct qv__db *db);

/* --- maintain*.c: background work (their own shared part is maintain.h) --- */

/* Look at a shard after a write or a seal and queue what is due (index, seal, merge). Cheap; any
 * thread, no lock held but `write`. */
void qv__maintain_look(struct qv__shard *s);
/* Queue for all shards what changes of the schema, or the end of an old reader, make due. Any
 * thread, no lock held but ddl. */
void qv__maintain_call(struct qv__collection *c);
/* Rows were published: queue their indexing if it is due. Any thread, no lock held. */
void qv__maintain_published(struct qv__collection *c);
/* Seal all frozen (and with `all` also the active) growing segments of a shard and commit a
 * manifest; with `later` the caller commits one, for many shards, and then clears that away. */
qv_status qv__maintain_flush(struct qv__shard *s, bool all, struct qv__buf *later,
                             struct qv_err *err) QV_MUST_USE;
/* Remove the files that flushes put into `later`, and empty it; st: what committing the manifest
 * gave. When it failed they go with the next one. */
void qv__maintain_clear(struct qv__db *db, qv_status st, struct qv__buf *later);
/* Merge until at most max_segments sealed ones are left. */
qv_status qv__maintain_merge_to(struct qv__shard *s, uint32_t max_segments,
                                struct qv_err *err) QV_MUST_USE;
/* A row that expires at this instant came in, or is known from the disk. Any thread; under `write`
 * or with no lock. */
void qv__purge_note(struct qv__shard *s, int64_t expires_ms);
/* Queue the purges, and the merges of idle shards, that are due by now; true if any was. What
 * the alarm's thread does, and the step of a database without threads. */
bool qv__purge_look(struct qv__db *db);
/* At open, once the segments are there: note what they hold. */
void qv__purge_open(struct qv__shard *s);
/* A write came to the shard, or it was opened: it is idle when none follows. Any thread. */
void qv__idle_note(struct qv__shard *s);
/* Queue the merge of an idle shard, if it is worth it; else *next_ms learns when to look.
 */
bool qv__idle_look(struct qv__shard *s, int64_t now_ms, int64_t *next_ms);
void qv__alarm_init(struct qv__alarm *a);
/* Wake it then at the latest. */
void qv__alarm_set(struct qv__db *db, int64_t due_ms);
/* Stop the thread. Twice is fine. */
void qv__alarm_stop(struct qv__alarm *a);
void qv__job_begin(struct qv__collection *c);
void qv__job_end(struct qv__collection *c);

/* --- checkpoint.c --- */

/* Write the manifest of what is live now; `flushed` LSNs are read from the shards. Takes ddl. */
qv_status qv__checkpoint_commit(struct qv__db *db, struct qv_err *err) QV_MUST_USE;
/* The same with one collection in the place of another. Under ddl. */
qv_status qv__checkpoint_swap(struct qv__db *db, const struct qv__swap *swap,
                              struct qv_err *err) QV_MUST_USE;
/* Segments of a collection (NULL = the collection itself) that no longer belong to the database,
 * but may still be named by the manifest: their files go at the last release, if `st` says that the
 * manifest was written, else with the next one. */
void qv__checkpoint_outgoing(struct qv__collection *c, qv_status st,
                             struct qv__segment *const *segments, size_t n);
/* At close: what still waits is removed by the next open. */
void qv__checkpoint_forget(struct qv__db *db);
/* Start a checkpoint when the log is long. Any thread; cheap. */
void qv__checkpoint_look(struct qv__db *db);
/* Start one because the disk is short of room, if the log has something to give. */
void qv__checkpoint_shorten(struct qv__db *db);
/* QV_EBUSY, saying why, while the log is as long as it may be. Before any lock is taken. */
qv_status qv__checkpoint_admit(struct qv__db *db, struct qv_err *err) QV_MUST_USE;
/* The last one: shards that hold little may stay in the log. */
qv_status qv__checkpoint_close(struct qv__db *db, struct qv_err *err) QV_MUST_USE;
void qv__checkpointer_init(struct qv__db *db);
qv_status qv__checkpointer_start(struct qv__db *db, struct qv_err *err) QV_MUST_USE;
/* Let a running one end, begin no other. Twice is fine. */
void qv__checkpointer_stop(struct qv__db *db);

/* --- recover.c --- */

qv_status qv__recover(struct qv__db *db, struct qv_err *err) QV_MUST_USE;

#endif

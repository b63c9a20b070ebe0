/* db.h: the engine's face: a database of collections; all that api/ sees of engine/.
 *
 * What it is: open and close, catalog operations, typed writes with asynchronous completion, typed
 * reads. Everything a request can do goes through this header.
 * What it is not: aware of JSON requests, HTTP or users.
 *
 * Threads: every function from any thread, except open and close (one at a time; close only when no
 * call is running). Reads run on the caller's thread and never wait for a sync or a writer. Writes
 * run on the caller's thread up to the log buffer; `done` is called later, from a worker, when the
 * write is durable and visible. Catalog changes return when durable. */
#ifndef QV_ENGINE_DB_H
#define QV_ENGINE_DB_H

#include "base/logger.h"
#include "base/pool.h"
#include "engine/mutation.h"
#include "engine/query.h"
#include "engine/schema.h"
#include "os/io.h"
#include "os/process.h"

struct qv__db;
struct qv__collection;

struct qv__db_options {
    const char *path;  /* data directory; ignored when io is given */
    struct qv__io *io; /* borrowed: a backend of the caller (tests); else POSIX at path */
    const struct qv__clock *clock;   /* NULL = the system's */
    const struct qv__logger *logger; /* borrowed; NULL = silent */
    size_t memory_bytes;             /* budget of the process; 0 = none */
    struct qv__mem *mem; /* borrowed: the account above this database's (tests); NULL = none */
    int threads;   /* workers; 0 = CPU count, at least 2; -1 = none: the caller steps (tests) */
    uint64_t seed; /* 0 = from the system; anything random derives from it */
    struct qv__segment_policy policy; /* defaults for collections that name none */
    uint32_t shard_number;            /* default for collections that name none; 0 = 1 */
    uint64_t log_file_bytes;          /* largest log file; 0 = 64 MiB */
    uint64_t
        checkpoint_log_bytes; /* a checkpoint starts when the log holds this much; 0 = 256 MiB */
    uint64_t
        log_bytes_max; /* writes are refused while the log's files are larger, because checkpoints
                          fail or do not keep up; 0 = four times checkpoint_log_bytes */
    uint64_t disk_reserve_bytes; /* room on the disk held for deletes and compaction, at most a 16th
                                    of the disk; 0 = none */
    /* A shard that no write has come to for so long is sealed and merged into one segment, where
     * that is worth it (maintain_idle.c); 0 = never. */
    uint32_t idle_ms;
    unsigned merges_max; /* merges at once in the whole database; 0 = a quarter of the workers */
    bool read_only;      /* refuse writes; start no jobs */
};

/* A damaged log, manifest or CURRENT refuses the start (QV_ECORRUPT, QV_EVERSION: file, offset).
 * Damage in the files of one collection quarantines that collection alone: its requests are
 * answered with QV_EQUARANTINED, see qv__collection_info and qv__db_info. */
qv_status qv__db_open(const struct qv__db_options *o, struct qv__db **out,
                      struct qv_err *err) QV_MUST_USE;
/* Finish running work, write a checkpoint (unless read-only or poisoned), release everything. The
 * handle is gone whatever is returned. NULL-safe. */
qv_status qv__db_close(struct qv__db *db, struct qv_err *err);

struct qv__pool *qv__db_pool(struct qv__db *db);
struct qv__mem *qv__db_mem(struct qv__db *db);
const struct qv__clock *qv__db_clock(struct qv__db *db);
const struct qv__logger *qv__db_logger(struct qv__db *db);
struct qv__io *qv__db_io(struct qv__db *db);
/* QV_ENOSPC: a file of so many bytes would take room that acknowledged writes and deletes need. */
qv_status qv__db_room_for(struct qv__db *db, uint64_t bytes, struct qv_err *err) QV_MUST_USE;

/* Run fn(db, arg) on a worker for jobs, or on the caller's with threads = -1, at a step. Closing
 * waits for it. QV_ENOMEM, QV_ECLOSED. */
qv_status qv__db_run(struct qv__db *db, void (*fn)(struct qv__db *db, void *arg), void *arg,
                     struct qv_err *err) QV_MUST_USE;

/* Block until every write that was acknowledged before the call is on disk, relaxed ones included.
 * QV_EREADONLY when the log failed. */
qv_status qv__db_sync(struct qv__db *db, struct qv_err *err) QV_MUST_USE;

/* With threads = -1: run one pending step (task, group commit or job); false if there is none. */
bool qv__db_step(struct qv__db *db);
/* Flush all growing segments and write a manifest generation; returns when durable. */
qv_status qv__db_checkpoint(struct qv__db *db, struct qv_err *err) QV_MUST_USE;

/* --- catalog -------------------------------------------------------------------------------------
 */

/* `schema` borrowed and copied. QV_EEXISTS; QV_EINVAL when an alias has the name. */
qv_status qv__db_create_collection(struct qv__db *db, struct qv__str name,
                                   const struct qv__schema *schema, struct qv_err *err) QV_MUST_USE;
/* *existed false and QV_OK when there is no such collection. Its aliases go with it. */
qv_status qv__db_drop_collection(struct qv__db *db, struct qv__str name, bool *existed,
                                 struct qv_err *err) QV_MUST_USE;
/* What changes of a collection that is in use; absent members stay as they are. */
struct qv__alter {
    const struct qv__segment_policy *policy;
    const struct qv__durability_policy *durability;
    const struct qv__str *config_json;
    /* Columns that are there, by name: they get the settings of their index, their placement and
     * their modifier. */
    const struct qv__vector_def *set;
    uint32_t n_set;
    const struct qv__vector_def *add; /* a column of its own, whatever had its name before */
    const struct qv__str *drop;       /* the name of a column */
};
/* All or nothing, one record. It holds for requests that begin when it returned. What it means for
 * segments that are there is done in the background, one after the other behind an atomic switch;
 * until then they answer as they are. An added column is absent in points that were written before;
 * a dropped one is gone for readers at once, its bytes go in the background.
 * *operation_id may be NULL. Errors: QV_ENOTFOUND (collection), QV_EINVAL (no such vector, or it is
 * there already), QV_EVALIDATION (settings out of range, too many vectors), QV_EREADONLY. */
qv_status qv__collection_alter(struct qv__collection *c, const struct qv__alter *a,
                               uint64_t *operation_id, struct qv_err *err) QV_MUST_USE;
/* These are changes of that very collection: QV_ENOTFOUND once it is dropped, whatever has its name
 * then. Absent key: QV_OK. */
qv_status qv__collection_put_index(struct qv__collection *c,
                                   const struct qv__payload_index_def *def, uint64_t *operation_id,
                                   struct qv_err *err) QV_MUST_USE;
qv_status qv__collection_drop_index(struct qv__collection *c, struct qv__str key,
                                    uint64_t *operation_id, struct qv_err *err) QV_MUST_USE;
/* The same of the collection that has the name, or the alias, now. */
qv_status qv__db_alter(struct qv__db *db, struct qv__str name, const struct qv__alter *a,
                       uint64_t *operation_id, struct qv_err *err) QV_MUST_USE;
qv_status qv__db_put_payload_index(struct qv__db *db, struct qv__str name,
                                   const struct qv__payload_index_def *def, uint64_t *operation_id,
                                   struct qv_err *err) QV_MUST_USE;
qv_status qv__db_drop_payload_index(struct qv__db *db, struct qv__str name, struct qv__str key,
                                    uint64_t *operation_id, struct qv_err *err) QV_MUST_USE;

struct qv__alias_action {
    enum { QV__ALIAS_CREATE, QV__ALIAS_DELETE, QV__ALIAS_RENAME } kind;
    struct qv__str alias;
    struct qv__str collection; /* CREATE */
    struct qv__str new_alias;  /* RENAME */
};
/* All or nothing, one record. CREATE of an existing alias moves it. */
qv_status qv__db_update_aliases(struct qv__db *db, const struct qv__alias_action *actions, size_t n,
                                struct qv_err *err) QV_MUST_USE;
/* cb under no lock, over a copy, sorted by name. collection filter "" = all. */
qv_status qv__db_list_aliases(struct qv__db *db, struct qv__str collection,
                              void (*cb)(void *arg, struct qv__str alias,
                                         struct qv__str collection),
                              void *arg, struct qv_err *err) QV_MUST_USE;
qv_status qv__db_list_collections(struct qv__db *db, void (*cb)(void *arg, struct qv__str name),
                                  void *arg, struct qv_err *err) QV_MUST_USE;

/* Pin a collection by name or alias. QV_ENOTFOUND: "collection `x` does not exist". Release each.
 */
qv_status qv__db_collection(struct qv__db *db, struct qv__str name, struct qv__collection **out,
                            struct qv_err *err) QV_MUST_USE;
void qv__collection_release(struct qv__collection *c); /* NULL-safe */
struct qv__str qv__collection_name(const struct qv__collection *c);
uint64_t qv__collection_id(const struct qv__collection *c); /* never reused */
/* A reference to the schema of now; release with qv__schema_release. */
struct qv__schema *qv__collection_schema(struct qv__collection *c);

struct qv__collection_info {
    uint64_t n_points;  /* live */
    uint64_t n_vectors; /* live points' vectors, all names (an upper estimate while deletes are
                           pending) */
    uint64_t n_indexed; /* vectors covered by a graph */
    uint32_t n_segments;
    uint32_t n_sealed;
    uint32_t n_growing;
    uint32_t jobs_running; /* seals, merges, index inserts under way or due */
    uint64_t memory_bytes; /* account of the collection */
    uint64_t disk_bytes;   /* its segment files */
    uint64_t dead_rows;
    uint64_t reclaimable_bytes; /* what dead rows take on disk or in growing segments, about */
    bool is_paused; /* a job failed or was cancelled: nothing starts by itself for a while */
    uint64_t unindexed_rows; /* rows of growing segments not yet in a graph although due */
    uint32_t n_outdated;     /* segments whose indexes or columns are not what is asked for */
    uint64_t snapshots;      /* made since the start, of this collection alone */
    uint32_t quarantined;    /* 1: reads and writes are refused, stored data are damaged */
    char damage[504];        /* why, as a request is told; "" when sound */
};
qv_status qv__collection_info(struct qv__collection *c, struct qv__collection_info *out,
                              struct qv_err *err) QV_MUST_USE;

struct qv__segment_info {
    uint64_t id;
    bool sealed;
    uint32_t shard;
    uint64_t rows, dead, memory_bytes, file_bytes, indexed;
    uint64_t
        reclaimable_bytes; /* the dead rows' part of file_bytes, of memory_bytes when growing */
    uint64_t unindexed;    /* vectors due for a graph and not in one */
    bool is_outdated;      /* its indexes or columns are not those that the settings ask for */
    const char *index;     /* "flat", "graph" */
};
qv_status qv__collection_segments(struct qv__collection *c,
                                  void (*cb)(void *arg, const struct qv__segment_info *), void *arg,
                                  struct qv_err *err) QV_MUST_USE;

/* The values that points hold at a path (strings, whole numbers, truth values; elements of arrays
 * each), with the number of points: the `limit` most frequent, equal ones by value. Exact, with an
 * index or without. Values lie in the result's arena; free it with qv__arena_free whatever is
 * returned. */
struct qv__facet {
    struct qv__match_value value;
    uint64_t count;
};
struct qv__facet_result {
    struct qv__arena arena;
    struct qv__facet *facets;
    size_t n;
};
qv_status qv__collection_facet(struct qv__collection *c, const struct qv__path *path,
                               const struct qv__filter *filter, uint64_t limit,
                               struct qv__qctx *ctx, struct qv__facet_result *out,
                               struct qv_err *err) QV_MUST_USE;

/* What a collection takes as a limit to its size goes by: quick, and about right. */
struct qv__collection_size {
    uint64_t points;       /* expired ones that are not yet purged included */
    uint64_t vector_bytes; /* of live points, as if all rows of a segment took the same */
    /* Stored payload, superseded rows that still take room included; each row counts as whole
     * blocks of 128 bytes, which is how the primary peer stores and counts it. */
    uint64_t payload_bytes;
};
qv_status qv__collection_size(struct qv__collection *c, struct qv__collection_size *out,
                              struct qv_err *err) QV_MUST_USE;

/* Buckets that live as long as the collection is open, for whoever limits the rate of its requests.
 */
enum qv__rate_kind { QV__RATE_READS = 0, QV__RATE_WRITES, QV__RATES };
struct qv__rate;
struct qv__rate *qv__collection_rate(struct qv__collection *c, enum qv__rate_kind kind);

/* How far a payload index is, and what it takes. */
struct qv__field_info {
    bool is_built;         /* false: of a type that is recorded only */
    uint64_t rows;         /* rows of all segments, dead ones included */
    uint64_t indexed_rows; /* of those; filters look at the others one by one */
    uint64_t memory_bytes; /* of the index, in memory */
    uint64_t file_bytes;   /* in segment files, read in place */
};
qv_status qv__collection_field(struct qv__collection *c, const struct qv__payload_index_def *def,
                               struct qv__field_info *out, struct qv_err *err) QV_MUST_USE;

/* --- background work --- */

enum qv__job_kind {
    QV__JOB_INDEX = 0, /* fresh rows into the graph of a growing segment */
    QV__JOB_SEAL,      /* full growing segments to files */
    QV__JOB_MERGE,     /* several sealed segments to one */
    QV__JOB_VACUUM,    /* one sealed segment anew, without its dead rows or with its graph */
    QV__JOB_REINDEX,   /* one sealed segment anew, as the settings of now ask for it */
    QV__JOB_PURGE,     /* deleting expired points */
    QV__JOB_CHECKPOINT,
    QV__JOB_SNAPSHOT, /* making a snapshot */
    QV__JOB_RECOVER,  /* putting a collection of a snapshot in place */
    QV__JOB_KINDS
};
const char *qv__job_kind_name(enum qv__job_kind kind); /* "index", ... */

#define QV__JOB_SEGMENTS 16u
struct qv__job_info {
    uint64_t id; /* of the process, never reused */
    enum qv__job_kind kind;
    char collection[QV__COLLECTION_NAME_MAX + 1]; /* "" = of the database */
    uint64_t collection_id;
    uint32_t shard;
    char reason[96];
    uint64_t done, total; /* vectors to index, rows to write, points, shards; total 0 = not known */
    struct {
        uint64_t id, rows;        /* live ones */
    } segments[QV__JOB_SEGMENTS]; /* worked on; the first ones when they are more */
    uint32_t n_segments;
    int64_t started_ms;          /* Unix milliseconds */
    uint64_t elapsed_ms, eta_ms; /* eta UINT64_MAX = not known */
    bool cancelled;              /* asked to end */
    bool has_ended;
    qv_status status; /* of one that has ended */
};
/* Those under way, or the last ones that ended (newest first); c NULL = of all collections. Returns
 * how many of at most `max` were written. */
size_t qv__db_jobs(struct qv__db *db, const struct qv__collection *c, bool ended,
                   struct qv__job_info *out, size_t max);
#define QV__JOBS_ENDED 32u /* remembered */
/* Ask one to end soon; what it had not finished is thrown away, and for a minute its shard starts
 * nothing by itself. c NULL = of any collection. QV_ENOTFOUND; QV_EINVAL for a checkpoint. */
qv_status qv__db_cancel_job(struct qv__db *db, const struct qv__collection *c, uint64_t id,
                            struct qv_err *err) QV_MUST_USE;

/* What the kernel says of this process. */
void qv__db_process(struct qv__process *out);

struct qv__job_totals {
    uint64_t running[QV__JOB_KINDS], ended[QV__JOB_KINDS], failed[QV__JOB_KINDS];
};
void qv__db_job_totals(struct qv__db *db, struct qv__job_totals *out);

/* Seal what grows, index it, and merge each shard into at most max_segments segments (0 = 1);
 * returns when done. What a bulk load or a benchmark calls; searches and writes go on meanwhile. */
qv_status qv__collection_optimize(struct qv__collection *c, uint32_t max_segments,
                                  struct qv_err *err) QV_MUST_USE;
/* The same, ended early with their status by the deadline or cancellation of ctx; what was done by
 * then stays. */
qv_status qv__collection_optimize_until(struct qv__collection *c, uint32_t max_segments,
                                        const struct qv__qctx *ctx, struct qv_err *err) QV_MUST_USE;
/* The same in the background; returns at once. A failure goes to the log and to qv__db_jobs. */
qv_status qv__collection_optimize_later(struct qv__collection *c, uint32_t max_segments,
                                        struct qv_err *err) QV_MUST_USE;
/* Wait until the payload indexes serve all segments; new ones are built meanwhile. False: the
 * deadline or the caller's patience came first, or building failed and is tried again later. */
bool qv__collection_wait_fields(struct qv__collection *c, const struct qv__qctx *ctx);
/* Begin to build what is missing; returns at once. */
void qv__collection_build_fields(struct qv__collection *c);
/* A millisecond of the wait after that, for who has other things to do in between. False: it is
 * over, and *served is what the other returns. */
bool qv__collection_fields_wait(struct qv__collection *c, const struct qv__qctx *ctx, bool *served);
/* Wait until no job of the collection is due, merges that wait for others among them (timeout_ms 0
 * = for ever). QV_ETIMEOUT. */
qv_status qv__collection_settle(struct qv__collection *c, uint64_t timeout_ms,
                                struct qv_err *err) QV_MUST_USE;

/* --- writes --- */

/* Owned by the caller until `done` was called; fill done (and arg), leave the rest. */
struct qv__write {
    void (*done)(struct qv__write *w);
    void *arg;
    struct qv__write_result result; /* valid in done */
    uint64_t deadline_ns;           /* monotonic, for the work before the log; 0 = none */
    const _Atomic bool *cancel;     /* NULL = never */
    enum qv__durability durability; /* DEFAULT: the collection's */
    /* internal */
    bool is_waited_for;
    struct qv__task task;
    struct qv__write *next;
};

/* Validate, resolve, log, apply. The mutations are borrowed for the call only. `done` is called
 * exactly once, on failure and for a relaxed write possibly before this returns, on the caller's
 * thread. Either way the write is visible by then; with fsync it is durable too, and so is all that
 * was logged before it.
 * Nothing of a failed request is applied. Errors in result: QV_EINVAL (unknown vector, wrong
 * dimension, not finite, …), QV_ENOTFOUND, QV_ENOMEM, QV_ENOSPC, QV_EREADONLY, QV_ETOOBIG. */
void qv__collection_write(struct qv__collection *c, const struct qv__mutation *m, size_t n,
                          struct qv__write *w);
/* The same, waiting for done. Not from a pool worker. */
qv_status qv__collection_write_sync(struct qv__collection *c, const struct qv__mutation *m,
                                    size_t n, struct qv__write_result *out,
                                    struct qv_err *err) QV_MUST_USE;

/* The same with a durability of its own. */
qv_status qv__collection_write_sync_as(struct qv__collection *c, const struct qv__mutation *m,
                                       size_t n, enum qv__durability durability,
                                       struct qv__write_result *out,
                                       struct qv_err *err) QV_MUST_USE;

/* --- reads --- */

/* Every read fills *out (release with qv__result_free, also after an error: it is then empty). All
 * results of one call are of one instant. ctx: deadline, cancellation, memory, counters. */
void qv__result_free(struct qv__result_set *rs); /* safe on a zeroed one, and twice */

qv_status qv__collection_query(struct qv__collection *c, const struct qv__query *q,
                               const struct qv__fetch *f, struct qv__qctx *ctx,
                               struct qv__result_set *out, struct qv_err *err) QV_MUST_USE;
/* Points by id, in the order asked, each once, missing ones left out. */
qv_status qv__collection_get(struct qv__collection *c, const struct qv__id *ids, size_t n,
                             const struct qv__fetch *f, struct qv__qctx *ctx,
                             struct qv__result_set *out, struct qv_err *err) QV_MUST_USE;
/* In id order from `from` (NULL = the start). */
qv_status qv__collection_scroll(struct qv__collection *c, const struct qv__id *from, uint64_t limit,
                                const struct qv__filter *filter, const struct qv__fetch *f,
                                struct qv__qctx *ctx, struct qv__result_set *out,
                                struct qv_err *err) QV_MUST_USE;
/* Exact. filter NULL = all. */
qv_status qv__collection_count(struct qv__collection *c, const struct qv__filter *filter,
                               struct qv__qctx *ctx, uint64_t *out, struct qv_err *err) QV_MUST_USE;
/* Bounds of it by the payload indexes alone: no row is looked at, so where no index serves a
 * condition they are far apart. */
qv_status qv__collection_count_bounds(struct qv__collection *c, const struct qv__filter *filter,
                                      struct qv__qctx *ctx, uint64_t *low, uint64_t *high,
                                      struct qv_err *err) QV_MUST_USE;

/* --- numbers --- */

struct qv__db_info {
    uint64_t n_collections;
    uint64_t n_quarantined; /* of them: damaged, not served */
    uint64_t published_lsn, durable_lsn;
    uint64_t acknowledged; /* write requests acknowledged since open */
    uint64_t log_flushes, log_syncs, log_bytes, log_files, log_file_bytes;
    uint64_t memory_used, memory_peak, memory_limit;
    uint64_t searches;
    uint64_t paced; /* write requests whose acknowledgement waited for the graph */
    uint64_t checkpoint_lsn;
    uint64_t checkpoint_failures; /* since open */
    uint64_t log_bytes_max;       /* of log_file_bytes */
    uint64_t log_held_bytes;      /* of log_file_bytes: for quarantined collections, unbounded */
    uint64_t disk_free_bytes;     /* UINT64_MAX = not known */
    uint64_t disk_reserve_bytes;  /* held now */
    uint64_t disk_owed_bytes;     /* what flushing the growing segments will take, about */
    uint64_t disk_refused;        /* write requests refused for lack of room since open */
    bool disk_short;              /* writes that add data are refused: no room */
    uint64_t replayed_records, replayed_bytes; /* at open */
    double open_seconds;
    bool read_only;  /* poisoned or opened so */
    bool log_failed; /* poisoned */
};
void qv__db_info(struct qv__db *db, struct qv__db_info *out);

/* QV_OK when reads and writes are served. QV_EREADONLY when a sync of the log failed: reads go on,
 * writes are refused until the next open. QV_EBUSY while the log may not grow, QV_ENOSPC while the
 * disk is full. The message says what failed. */
qv_status qv__db_ready(struct qv__db *db, struct qv_err *err) QV_MUST_USE;

/* Offline check of a data directory: every file through every layer's validation. Calls back per
 * finding; QV_OK when nothing is damaged, else QV_ECORRUPT. Changes nothing. */
struct qv__check_finding {
    bool damaged;
    const char *file;       /* relative to the directory */
    const char *message;    /* what is in it, or what is wrong and what that costs */
    const char *collection; /* whose file it is; "" = the whole database's */
    uint64_t points;        /* damaged: points that are lost with it, at most; 0 = not known */
    uint64_t min_lsn;       /* damaged: records that are lost with it, if any; max UINT64_MAX = */
    uint64_t max_lsn;       /*   all from min_lsn on */
    const char *remedy;     /* damaged: what can still be done; else "" */
};
qv_status qv__db_check(struct qv__io *io, struct qv__mem *mem,
                       void (*cb)(void *arg, const struct qv__check_finding *f), void *arg,
                       struct qv_err *err) QV_MUST_USE;

#endif

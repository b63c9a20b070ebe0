/* quiver.h: the whole public interface of libquiver.
 *
 * What it is: an embedded vector database. A handle is a directory; one process opens it at a time.
 * Writes are durable when a call returns (unless relaxed ones are asked for), searchable at the
 * same moment, and atomic per call. The same requests the server answers can be made without a
 * socket: qv_request(). The typed calls skip JSON and are strict: what is not exactly right is
 * refused. What it is not: a client; nothing here opens a network connection.
 *
 * Conventions. Pointers passed in are borrowed for the call unless a line says otherwise. Functions
 * return a qv_status; detail goes into a caller-owned struct qv_err (may be NULL). On an error
 * nothing was changed. Bad input never aborts. Text is UTF-8. Threads: every function from any
 * thread, unless its `Threads:` line says otherwise. */
#ifndef QUIVER_H
#define QUIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quiver/status.h"
#include "quiver/version.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qv_db qv_db;

/* "0.1.0". Threads: any. */
QV_API const char *qv_version(void);

/* --- open and close --- */

struct qv_options {
    size_t size;           /* sizeof(struct qv_options): set by QV_OPTIONS_INIT */
    uint64_t memory_bytes; /* budget; 0 = none. Work that would pass it is refused with QV_ENOMEM */
    int threads;           /* workers; 0 = number of CPUs, at least 2; up to 4096 */
    bool read_only;        /* refuse writes */
    /* Defaults of collections that name none: shards (0 = 1; up to 256), rows of a growing segment
     * before it is sealed (0 = 65,536; 16..4,194,304), segments of one size that are merged into
     * one (0 = 4; 2..64). */
    uint32_t shards, seal_rows, merge_fanin;
    /* Called for every log line, from any thread; NULL = silent. level: 0 debug … 3 error */
    void (*log)(void *ctx, int level, const char *component, const char *message);
    void *log_ctx;
    /* Room on the disk that is held for deletes and compaction once it is full; at most a 16th of
     * the disk, up to 2^40 bytes; 0 = none */
    uint64_t disk_reserve_bytes;
    /* A collection that no write has come to for so many milliseconds is sealed and merged into one
     * segment in the background, where that is worth it; 0 = never */
    uint32_t idle_merge_ms;
};
#ifdef __cplusplus /* before C++20 without designated initializers */
#define QV_OPTIONS_INIT                                                                            \
    {                                                                                              \
        sizeof(struct qv_options), 0, 0, false, 0, 0, 0, NULL, NULL, 0, 0                          \
    }
#else
#define QV_OPTIONS_INIT                                                                            \
    {                                                                                              \
        .size = sizeof(struct qv_options)                                                          \
    }
#endif

/* Open the database in directory `path`, creating it if absent; replays what a crash left.
 * options: NULL = defaults. *db: owned by the caller, release with qv_close.
 * Damage in the files of one collection does not refuse the start: that collection is quarantined,
 * calls on it give QV_EQUARANTINED and name the file, the others are served.
 * Errors: QV_EINVAL (options, path), QV_ENOTFOUND (no directory can be made there), QV_ELOCKED
 * (another process or handle has it), QV_ECORRUPT (names the damaged file), QV_EVERSION, QV_EIO,
 * QV_ENOSPC, QV_ENOMEM. */
QV_API QV_MUST_USE qv_status qv_open(const char *path, const struct qv_options *options, qv_db **db,
                                     struct qv_err *err);

/* Finish running work, checkpoint, release. The handle is gone whatever is returned; NULL is
 * allowed. Results and responses are of the database's memory: free all of them before. Threads:
 * one, while no other call on this handle runs. */
QV_API qv_status qv_close(qv_db *db, struct qv_err *err);

/* --- values --- */

enum qv_metric { QV_COSINE = 0, QV_DOT = 1, QV_EUCLID = 2, QV_MANHATTAN = 3, QV_HAMMING = 4 };

/* What an element of a vector is, in the database and in void pointers: an IEEE 754 binary32 or
 * binary16 number, a byte, or a bit. Bits lie eight to a byte, the first in the highest one, and
 * unused bits of the last byte are zero. All are of the machine's byte order. QV_HAMMING, the
 * number of bits that differ, goes with QV_BIT and with nothing else. */
enum qv_datatype { QV_FLOAT32 = 0, QV_FLOAT16 = 1, QV_UINT8 = 2, QV_INT8 = 3, QV_BIT = 4 };

/* Id of a point. Ids of different kinds are different ids; they order u64 < i64 < UUID < string. */
enum qv_id_kind { QV_ID_U64 = 0, QV_ID_I64 = 1, QV_ID_UUID = 2, QV_ID_STRING = 3 };
struct qv_id {
    enum qv_id_kind kind;
    union {
        uint64_t u64;
        int64_t i64;
        uint8_t uuid[16];
        struct {
            const char *text; /* 1..255 bytes, no NUL needed */
            size_t length;
        } string;
    } as;
};
static inline struct qv_id qv_id_u64(uint64_t n)
{
    struct qv_id id;
    id.kind = QV_ID_U64;
    id.as.u64 = n;
    return id;
}

/* --- collections --- */

struct qv_vector_config {
    const char *name; /* NULL or "" = the default vector */
    uint32_t size;    /* elements, 1..65536 */
    enum qv_metric metric;
    uint32_t m;                /* links per graph node; 0 = 16; 2..512 */
    uint32_t ef_construct;     /* beam width while building; 0 = 128; 4..65536 */
    enum qv_datatype datatype; /* what is stored and compared */
};
/* When a write returns. QV_FSYNC: it is on disk, and so is everything that was written before it.
 * QV_RELAXED: it is visible to every reader; a crash or power cut may take it back until window_ms
 * later, together with everything written after it. What survives is always a prefix of the writes.
 */
enum qv_durability {
    QV_DURABILITY_DEFAULT = 0, /* as the collection has it */
    QV_FSYNC = 1,
    QV_RELAXED = 2
};
struct qv_collection_config {
    const struct qv_vector_config *vectors;
    size_t n_vectors; /* 0..16 */
    uint32_t shards;  /* 0 = 1; up to 256 */
    bool
        bulk; /* no graph for fresh rows until they are sealed: for loads followed by qv_optimize */
    uint32_t seal_rows;            /* sealed at so many rows; 0 = 65,536; 16..4,194,304 */
    enum qv_durability durability; /* of writes that do not name one; default: QV_FSYNC */
    uint32_t window_ms;            /* of relaxed writes; 0 = 200; 1..60000 */
    uint64_t ttl_ms;               /* points that name no expiry live this long; 0 = for ever; up to
                                      3,155,760,000,000 */
};

/* Errors: QV_EEXISTS, QV_EVALIDATION, QV_EINVAL (names field, value, limit). Durable on return. */
QV_API QV_MUST_USE qv_status qv_create_collection(qv_db *db, const char *name,
                                                  const struct qv_collection_config *config,
                                                  struct qv_err *err);
/* QV_ENOTFOUND if there is none. */
QV_API QV_MUST_USE qv_status qv_drop_collection(qv_db *db, const char *name, struct qv_err *err);
/* --- changing a collection in use ---
 *
 * A change holds for calls that begin when it returned, and is durable then. What it means for data
 * that are there is done in the background, one segment after the other behind an atomic switch;
 * until then searches use what each segment has. Nothing waits meanwhile; a crash leaves no
 * mixture. qv_optimize returns when all of it is done. */

enum qv_quantization { /* what walks of a graph compare; results are always measured by vectors */
                       QV_QUANTIZATION_KEEP = 0, /* as it is */
                       QV_QUANTIZATION_NONE,     /* the vectors */
                       QV_QUANTIZATION_INT8,     /* a byte an element */
                       QV_QUANTIZATION_BITS1,    /* RaBitQ (Gao and Long, SIGMOD 2024; extended to
                                       more bits, SIGMOD 2025): 1 bit an element */
                       QV_QUANTIZATION_BITS2,    /* 2 */
                       QV_QUANTIZATION_BITS4     /* 4 */
};
enum qv_placement {
    QV_PLACEMENT_KEEP = 0, /* as it is */
    QV_IN_MEMORY = 1,
    QV_ON_DISK = 2 /* read from the mapped file when it is needed */
};
/* Zeroed members stay as they are. */
struct qv_vector_change {
    const char *name;      /* NULL or "" = the default vector */
    uint32_t m;            /* 0 = as it is; 2..512 */
    uint32_t ef_construct; /* 0 = as it is; 4..65536 */
    bool no_graph;         /* scan all vectors; a later change that gives m brings the graph back */
    enum qv_quantization quantization;
    enum qv_placement graph;
    enum qv_placement stored; /* the vectors themselves */
};
struct qv_collection_change {
    const struct qv_vector_change *vectors;
    size_t n_vectors;
    enum qv_placement payload;
    enum qv_durability durability; /* QV_DURABILITY_DEFAULT = as it is */
    uint32_t window_ms;            /* 0 = as it is; 1..60000 */
    bool has_ttl;
    uint64_t ttl_ms; /* of points written from now on, whole seconds; 0 = for ever; the limit of
                        struct qv_collection_config */
};
/* All or nothing. Errors: QV_ENOTFOUND (collection), QV_EINVAL (no such vector, one that is named
 * twice, no such value, a sparse vector, which has nothing of this), QV_EVALIDATION (names field,
 * value, limit), QV_EREADONLY, QV_ENOMEM. */
QV_API QV_MUST_USE qv_status qv_alter_collection(qv_db *db, const char *collection,
                                                 const struct qv_collection_change *change,
                                                 struct qv_err *err);
/* Points that are there do not have it until they are written again. Its name must not be empty.
 * Errors: as above; QV_EINVAL also when there is one of that name, and when the collection has the
 * default vector, which stays alone. */
QV_API QV_MUST_USE qv_status qv_add_vector(qv_db *db, const char *collection,
                                           const struct qv_vector_config *vector,
                                           struct qv_err *err);
/* It is gone for readers at once, its bytes in the background; one of the same name that is added
 * later shows nothing of it. Errors: as above. */
QV_API QV_MUST_USE qv_status qv_drop_vector(qv_db *db, const char *collection, const char *name,
                                            struct qv_err *err);

/* Number of points. filter_json: NULL = all. Exact. */
QV_API QV_MUST_USE qv_status qv_count(qv_db *db, const char *collection, const char *filter_json,
                                      uint64_t *count, struct qv_err *err);
/* Seal and index everything, and merge each shard into one segment; returns when done. */
QV_API QV_MUST_USE qv_status qv_optimize(qv_db *db, const char *collection, struct qv_err *err);

/* --- writes --- */

struct qv_vector {
    const char *name; /* NULL or "" = the default vector */
    const float *values;
    uint32_t size; /* elements; must equal the collection's */
    /* In place of `values`, which is NULL then: `size` elements of this datatype. What the
     * collection's is too is stored as it is; else as numbers, and bits are for bits alone. A
     * result has both: as numbers, and as they are stored. Fractions are cut off for bytes; what is
     * outside the collection's datatype is QV_EINVAL. */
    enum qv_datatype datatype;
    const void *elements;
};
struct qv_point {
    struct qv_id id;
    const struct qv_vector *vectors;
    size_t n_vectors;    /* a point may lack vectors */
    const char *payload; /* JSON object, NUL-terminated; NULL = none */
    /* When it expires, in Unix milliseconds by the system's clock: from then on no read returns it,
     * and it is deleted in the background. 0 = as the collection says; QV_NEVER. */
    int64_t expires_at_ms;
    /* With has_if_version the call fails with QV_ECONFLICT, and nothing is written, unless the
     * point has this version (struct qv_hit); 0 = unless there is no such point. */
    bool has_if_version;
    uint64_t if_version;
};
#define QV_NEVER INT64_MAX

/* Insert points or replace those with the same id; all or nothing; durable and searchable on
 * return. Errors: QV_ENOTFOUND (collection), QV_EINVAL (unknown vector, wrong size, NaN or
 * infinity, bad JSON; names the point's position), QV_ECONFLICT (if_version), QV_ENOSPC, QV_ENOMEM,
 * QV_EREADONLY. */
QV_API QV_MUST_USE qv_status qv_upsert(qv_db *db, const char *collection,
                                       const struct qv_point *points, size_t n, struct qv_err *err);
/* The same, acknowledged as `durability` says whatever the collection's default is. */
QV_API QV_MUST_USE qv_status qv_upsert_as(qv_db *db, const char *collection,
                                          const struct qv_point *points, size_t n,
                                          enum qv_durability durability, struct qv_err *err);
/* Return when every write acknowledged before the call is on disk. QV_EREADONLY when the disk
 * failed: relaxed writes of the last window may be lost at the next open. */
QV_API QV_MUST_USE qv_status qv_sync(qv_db *db, struct qv_err *err);
/* Delete by ids; ids that do not exist are ignored. Durable on return. */
QV_API QV_MUST_USE qv_status qv_delete(qv_db *db, const char *collection, const struct qv_id *ids,
                                       size_t n, struct qv_err *err);
/* Delete what matches a filter; *n_deleted may be NULL. */
QV_API QV_MUST_USE qv_status qv_delete_where(qv_db *db, const char *collection,
                                             const char *filter_json, uint64_t *n_deleted,
                                             struct qv_err *err);

/* One step of a change that depends on what is there. path leads to one value: keys that are
 * missing are made, [n] must exist; a missing value counts as the empty array, or as 0. */
enum qv_payload_op_kind {
    QV_APPEND = 1,   /* one element to an array */
    QV_REMOVE = 2,   /* every element of an array that equals the value */
    QV_INCREMENT = 3 /* a number: whole ones exactly in 64 bits with a sign, others as doubles */
};
struct qv_payload_op {
    enum qv_payload_op_kind kind;
    const char *path;  /* "a.b[0].c" */
    const char *value; /* JSON, NUL-terminated */
};
/* Apply the steps, in order, to the payload of each point; all or nothing; no other write comes in
 * between, so increments of many threads add up. Durable on return. Errors: QV_ENOTFOUND
 * (collection or point), QV_EINVAL (path, value, another type, a sum out of range), QV_ETOOBIG (a
 * payload of more than 64 levels, or of more than 10,000 members of one object), QV_ENOSPC,
 * QV_ENOMEM. */
QV_API QV_MUST_USE qv_status qv_modify_payload(qv_db *db, const char *collection,
                                               const struct qv_id *ids, size_t n,
                                               const struct qv_payload_op *ops, size_t n_ops,
                                               struct qv_err *err);

/* --- reads
 * -----------------------------------------------------------------------------------------------
 */

enum qv_order_kind { QV_ORDER_NONE = 0, QV_ORDER_INTEGER = 1, QV_ORDER_NUMBER = 2 };

struct qv_hit {
    struct qv_id id;       /* a string id is owned by the result */
    uint64_t version;      /* grows with every change of the point */
    int64_t expires_at_ms; /* Unix milliseconds; QV_NEVER */
    float score;           /* cosine, dot: larger is nearer; of the others smaller */
    const char *payload;   /* JSON object, NUL-terminated; NULL unless asked; owned by the result */
    const struct qv_vector *vectors; /* NULL unless asked; owned by the result; cosine vectors of
                                        floats are normalised. Dense ones alone: sparse vectors and
                                        multivectors go through qv_request */
    size_t n_vectors;
    enum qv_order_kind order_kind; /* of qv_scroll with order_by: by which value the point stands */
    int64_t order_integer; /* here; QV_ORDER_INTEGER: whole numbers, dates in microseconds */
    double order_number;   /* since 1970; QV_ORDER_NUMBER: any number */
};
/* Owned by the caller, unchanged whatever is written meanwhile: qv_result_free, before qv_close. */
typedef struct qv_result qv_result;

struct qv_search {
    const char *using_vector; /* NULL or "" = the default vector */
    const float *vector;      /* size elements; NULL when `elements` are given */
    uint32_t size;
    uint64_t limit; /* 1..1,000,000 */
    uint64_t offset;
    const char *filter_json; /* NULL = none; the REST dialect's filter object */
    uint32_t ef;             /* beam width; 0 = the collection's; up to 1,000,000 */
    bool exact;              /* scan instead of the graph */
    bool with_payload, with_vectors;
    uint64_t timeout_ms; /* 0 = none; QV_ETIMEOUT */
    /* In place of `vector`, as in struct qv_vector, but numbers beyond the range of a collection's
     * bytes are taken to its end. A bit is 0 or 1. */
    enum qv_datatype datatype;
    const void *elements;
};

/* Nearest first. *result: release with qv_result_free. */
QV_API QV_MUST_USE qv_status qv_search(qv_db *db, const char *collection,
                                       const struct qv_search *query, qv_result **result,
                                       struct qv_err *err);
/* Points by id in the order asked; those that do not exist are left out, and one that is asked for
 * more than once comes once, where it was asked for first. */
QV_API QV_MUST_USE qv_status qv_get(qv_db *db, const char *collection, const struct qv_id *ids,
                                    size_t n, bool with_payload, bool with_vectors,
                                    qv_result **result, struct qv_err *err);

/* Points without a search: in the order of ids, or of the values of an indexed field. */
struct qv_scroll {
    const char *filter_json;  /* NULL = none; the REST dialect's filter object */
    uint64_t limit;           /* 1..1,000,000 */
    const struct qv_id *from; /* in the order of ids: the first of the page; NULL = of all */
    /* Path of a payload index of type integer, float or datetime; NULL = in the order of ids, which
     * knows neither `descending` nor a start. A point comes once for each value it has; equal
     * values in the order of ids. */
    const char *order_by;
    bool descending;
    /* Values before this are left out: the next page begins with the last value of this one, with a
     * filter without the points that had it. QV_ORDER_NONE = from the first. */
    enum qv_order_kind start_kind;
    int64_t start_integer; /* of dates: microseconds since 1970 */
    double start_number;
    bool with_payload, with_vectors;
    uint64_t timeout_ms; /* 0 = none; QV_ETIMEOUT */
};
/* Scores are 0 in the order of ids, 1 in that of a field. Errors: QV_EINVAL also when no index has
 * the path. */
QV_API QV_MUST_USE qv_status qv_scroll(qv_db *db, const char *collection,
                                       const struct qv_scroll *page, qv_result **result,
                                       struct qv_err *err);
/* In the order of ids: `from` of the next page, borrowed; NULL = this was the last one. */
QV_API const struct qv_id *qv_result_next(const qv_result *result);
QV_API size_t qv_result_count(const qv_result *result);
/* Borrowed from the result; NULL past the end. */
QV_API const struct qv_hit *qv_result_hit(const qv_result *result, size_t i);
QV_API void qv_result_free(qv_result *result); /* NULL-safe */

/* --- snapshots --- */

/* A state of one collection, or of the whole database, at one instant; kept under snapshots/ in the
 * data directory until it is deleted. */
struct qv_snapshot {
    const char *name;       /* what the calls below take; borrowed for the callback's time */
    const char *collection; /* "" = of the whole database; likewise borrowed */
    uint64_t bytes;         /* as one file */
    uint64_t created_ms;    /* Unix milliseconds */
    uint64_t lsn;           /* all writes up to it are in the snapshot, none after it */
    uint8_t sha256[32];     /* of the file */
};

/* Make one while reads and writes go on. collection: NULL = the whole database. each: called once
 * with what was made; may be NULL. Errors: QV_ENOTFOUND (collection), QV_ENOSPC, QV_EIO, QV_ENOMEM,
 * QV_EREADONLY; nothing is left then. */
QV_API QV_MUST_USE qv_status qv_snapshot_create(qv_db *db, const char *collection,
                                                void (*each)(void *arg,
                                                             const struct qv_snapshot *snapshot),
                                                void *arg, struct qv_err *err);
/* All of them, oldest first; damaged ones are left out. */
QV_API QV_MUST_USE qv_status qv_snapshot_list(qv_db *db,
                                              void (*each)(void *arg,
                                                           const struct qv_snapshot *snapshot),
                                              void *arg, struct qv_err *err);
/* One that is damaged, and so in no list, goes by the name of its directory in snapshots/, as
 * `quiver check` tells it. QV_ENOTFOUND, QV_EREADONLY (the database is open read-only, or its log
 * failed). After QV_EIO the snapshot is listed if the disk has it still, a power cut may take it or
 * bring it back, whole either way, and it can be deleted again. */
QV_API QV_MUST_USE qv_status qv_snapshot_delete(qv_db *db, const char *name, struct qv_err *err);
/* Write it as one new file, synced. QV_ENOTFOUND; QV_EEXISTS when `path` is there; on another error
 * no file is left. */
QV_API QV_MUST_USE qv_status qv_snapshot_save(qv_db *db, const char *name, const char *path,
                                              struct qv_err *err);
/* Put the collection of a snapshot in the place of `collection`, or make it: verified first, then
 * switched to in one step. Errors leave the old collection: QV_ENOTFOUND, QV_EINVAL (it is of a
 * whole database, or an alias has the name), QV_ECORRUPT, QV_EVERSION, QV_ENOSPC, QV_ENOMEM,
 * QV_ECANCELLED (somebody ended its job), QV_EREADONLY (the database is open read-only, or its log
 * failed; or the step itself could not be made durable: then nobody knows which of the two the next
 * open finds, and no write is taken until then). */
QV_API QV_MUST_USE qv_status qv_snapshot_recover(qv_db *db, const char *collection,
                                                 const char *name, struct qv_err *err);
/* The same from a file that qv_snapshot_save or a server wrote. */
QV_API QV_MUST_USE qv_status qv_snapshot_recover_file(qv_db *db, const char *collection,
                                                      const char *path, struct qv_err *err);
/* Without a database: make one in a directory that is empty or not there from such a file, of a
 * whole database or of a single collection; qv_open opens it. QV_EEXISTS when the directory holds
 * anything; other errors as above, and nothing is left in it. */
QV_API QV_MUST_USE qv_status qv_restore(const char *path, const char *directory,
                                        struct qv_err *err);

/* --- the server's requests without a socket --- */

struct qv_response {
    int status;    /* HTTP status */
    char *body;    /* owned: NUL-terminated; release with qv_response_free, before qv_close */
    size_t length; /* without the NUL */
    const char *content_type; /* static text */
};

/* Do one request of the REST interface and wait for its answer: the same bytes the server would
 * send. method: "GET", "PUT", "POST", "PATCH", "DELETE", or "HEAD", answered as "GET". path:
 * "/collections/x/points?wait=true". body may be NULL when length is 0. Returns QV_OK whenever
 * there is a response, whatever its status. Errors: QV_EINVAL (method or path), QV_ENOMEM,
 * QV_ECLOSED. */
QV_API QV_MUST_USE qv_status qv_request(qv_db *db, const char *method, const char *path,
                                        const void *body, size_t length,
                                        struct qv_response *response, struct qv_err *err);
QV_API void qv_response_free(struct qv_response *response); /* safe on a zeroed one, and twice */

#ifdef __cplusplus
}
#endif
#endif

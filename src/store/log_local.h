/* log_local.h: the object behind a local log, shared by the log_*.c files.
 *
 * What it is: its state and who guards it.
 * What it is not: visible outside this folder; the engine sees log.h.
 *
 * Locks: one mutex (rank QV__RANK_LOG). Long work is done without it by whoever holds one of three
 * tokens, each a flag under the mutex: is_flushing (writing records, beginning files), is_preparing
 * (the next file), is_trimming (the oldest files). A token is waited for on `changed`; its holder
 * waits for nothing but the disk. */
#ifndef QV_STORE_LOG_LOCAL_H
#define QV_STORE_LOG_LOCAL_H

#include "base/thread.h"
#include "store/log.h"
#include "store/log_format.h"

/* One file. In the list of live files once records were appended to it, else the next file. */
struct qv__log_file {
    struct qv__log_file *next; /* guarded by: lock */
    struct qv__file *handle;   /* holder of is_flushing (is_preparing while it is the next file) */
    struct qv__logfile_head
        head;            /* immutable in the list, but for a file that has no records yet */
    uint32_t seed;       /* as head */
    uint64_t used_bytes; /* guarded by: lock; where the next record goes */
    uint64_t serial;     /* names it until it is begun */
    bool is_begun;       /* guarded by: lock; has its head and its name, durably */
    bool is_replaced;    /* guarded by: lock; see qv__log_local.begun */
};

/* A run of records of one group within one file: from `at` up to the next extent's. */
struct qv__log_extent {
    struct qv__log_file *file;
    uint64_t off; /* in the file */
    size_t at;    /* in the group's bytes */
    uint64_t first_lsn;
};

/* Records that go to the disk together. */
struct qv__log_group {
    uint8_t *p;
    size_t n, cap;
    struct qv__log_extent *extents;
    size_t n_extents, cap_extents;
};

struct qv__log_local {
    struct qv__log base;
    struct qv__io *io;   /* borrowed */
    struct qv__mem *mem; /* borrowed */
    uint64_t reach_lsn;  /* as of log.h */
    struct qv__logger logger;
    bool has_logger;
    char dir[QV__LOG_DIR_MAX + 1];
    uint8_t uuid[16];
    uint64_t first_file_bytes, file_bytes_max;
    uint64_t (*room)(void *ctx); /* see struct qv__log_local_options */
    void *room_ctx;

    struct qv__mutex lock;
    struct qv__condvar changed;
    /* guarded by: lock */
    struct qv__log_file *oldest, *current; /* the list of live files */
    struct qv__log_file *spare;            /* the next file, or NULL; not while is_preparing */
    /* Newest file that is begun. Normally in the list; a file without records whose name the next
     * file will take (is_replaced) is kept here alone until that one is begun. */
    struct qv__log_file *begun;
    struct qv__log_group groups[2];
    unsigned active;       /* the group that takes appends */
    size_t flushing_bytes; /* of the other group, while it is written */
    uint64_t lsn;          /* last given out */
    uint64_t durable_lsn;
    uint64_t epoch;
    uint64_t next_serial;
    bool is_flushing, is_preparing, is_trimming;
    bool prepare_fails; /* told once, until it succeeds again */
    bool is_poisoned;
    bool is_replayed;
    struct qv_err poison;       /* why it is poisoned */
    struct qv__log_stats stats; /* first four counts */
};

static inline struct qv__log_local *qv__log_local_of(struct qv__log *l)
{
    return QV_CONTAINER_OF(l, struct qv__log_local, base);
}
static inline const struct qv__logger *qv__log_logger(const struct qv__log_local *log)
{
    return log->has_logger ? &log->logger : NULL;
}

/* --- log_flush.c --- */

/* By the holder of is_flushing, when all before `off` is durable; `closes`: and the next file is
 * begun. Not synced: it is worth having, not worth waiting for. */
void qv__log_write_mark(struct qv__log_local *log, const struct qv__log_file *f, uint64_t off,
                        uint64_t epoch, uint64_t durable_lsn, bool closes);

/* --- log_file.c: making files and beginning them --- */

/* The size a file should have that follows the current one. Needs the lock. */
uint64_t qv__log_wanted_bytes(const struct qv__log_local *log);
/* Bytes that may be taken ahead of need. Needs the lock. */
uint64_t qv__log_room(const struct qv__log_local *log);
/* Take the next file for a record of `bytes`, made now when none is ready. Needs the lock; the file
 * is the caller's. Errors: QV_ENOSPC, QV_ENOMEM, QV_EIO …; nothing changed but that a file may be
 * better prepared. */
qv_status qv__log_take_file(struct qv__log_local *log, uint64_t bytes, struct qv__log_file **out,
                            struct qv_err *err) QV_MUST_USE;
/* Give the file its head and its name, durably. By the holder of is_flushing. */
qv_status qv__log_begin_file(struct qv__log_local *log, struct qv__log_file *f,
                             struct qv_err *err) QV_MUST_USE;
/* Prepare the next file a little, when the current one is more than half full: at most
 * `step_bytes` of zeros. Takes the lock. A failure is not one of the log's. */
void qv__log_prepare(struct qv__log_local *log, uint64_t step_bytes);
/* Close and remove a file that was never begun, and free it. NULL-safe. */
void qv__log_discard_file(struct qv__log_local *log, struct qv__log_file *f);

/* --- log_recover.c --- */

/* Load the live files of the directory, cut the torn tail, make what stays durable. Before any
 * other thread knows the log. */
qv_status qv__log_recover(struct qv__log_local *log, struct qv_err *err) QV_MUST_USE;

/* Names of live files in LSN order, and serials of files that were being prepared. */
struct qv__log_names {
    struct qv__buf live, next; /* arrays of u64 */
};
qv_status qv__log_names_read(struct qv__io *io, const char *dir, struct qv__mem *mem,
                             struct qv__log_names *out, struct qv_err *err) QV_MUST_USE;
void qv__log_names_free(struct qv__log_names *names);
static inline size_t qv__log_names_count(const struct qv__buf *b)
{
    return b->n / sizeof(uint64_t);
}
static inline uint64_t qv__log_names_at(const struct qv__buf *b, size_t i)
{
    return qv__load_u64(b->p + i * sizeof(uint64_t));
}

/* --- the table's entries that live in files of their own --- */

qv_status qv__log_local_flush(struct qv__log *l, uint64_t *durable_lsn, struct qv_err *err);
qv_status qv__log_local_replay(struct qv__log *l, uint64_t from_lsn, qv__log_replay_fn fn,
                               void *arg, struct qv_err *err);
qv_status qv__log_local_trim(struct qv__log *l, uint64_t upto_lsn, struct qv_err *err);

/* Needs the lock. Stop all writing for good; the first reason is kept. */
void qv__log_poison(struct qv__log_local *log, const struct qv_err *why);
/* Needs the lock. QV_EREADONLY when poisoned. */
qv_status qv__log_check_poison(const struct qv__log_local *log, struct qv_err *err) QV_MUST_USE;

#endif

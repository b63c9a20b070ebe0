/* snapshot.h: snapshots: the state of a collection, or of the whole database, at one LSN.
 *
 * What it is: making, listing, reading and deleting snapshots, and getting collections and
 * databases back from them. A snapshot is a directory of files that never change, most of them hard
 * links of live segments; read as one stream of bytes it is a container that may go anywhere and
 * come back. Format and rules: docs/internals/SNAPSHOT.md. What it is not: replication, or
 * incremental.
 *
 * Threads: any. Making and recovering take as long as the data is large and belong on a background
 * worker; neither stops readers or writers. */
#ifndef QV_ENGINE_SNAPSHOT_H
#define QV_ENGINE_SNAPSHOT_H

#include "base/sha256.h"
#include "engine/db.h"

struct qv__snapshot_info {
    uint64_t id; /* never used again while the snapshot is there */
    bool whole_database;
    char collection[256]; /* "" for the whole database */
    char name[384];       /* "NAME-ID-YYYY-MM-DD-hh-mm-ss.snapshot": what clients call it */
    char created[32];     /* "YYYY-MM-DDThh:mm:ss", UTC */
    uint64_t lsn;
    uint64_t created_ms; /* wall clock */
    uint64_t bytes;      /* of the container */
    uint8_t sha256[QV__SHA256_BYTES];
};

/* --- making --- */

/* One being made. Between begin and end a test may do what it likes; each step is one shard frozen
 * and linked, one file summed, or the end. */
struct qv__snapshot_work;
/* Fix the LSN and what the catalog says at it. collection "" = the whole database. QV_ENOTFOUND,
 * QV_EREADONLY. */
qv_status qv__snapshot_begin(struct qv__db *db, struct qv__str collection,
                             struct qv__snapshot_work **out, struct qv_err *err) QV_MUST_USE;
qv_status qv__snapshot_step(struct qv__snapshot_work *w, bool *done,
                            struct qv_err *err) QV_MUST_USE;
/* Release it; what is not done is taken away. *out (may be NULL) is filled when it is. NULL-safe.
 */
void qv__snapshot_end(struct qv__snapshot_work *w, struct qv__snapshot_info *out);

/* All of it. Errors: also QV_ENOSPC, QV_EIO, QV_ENOMEM, QV_ECLOSED, QV_ECANCELLED (its job, of kind
 * QV__JOB_SNAPSHOT, was); nothing is left then. */
qv_status qv__db_snapshot_create(struct qv__db *db, struct qv__str collection,
                                 struct qv__snapshot_info *out, struct qv_err *err) QV_MUST_USE;

/* --- what there is --- */

/* Oldest first; cb under no lock. One that is damaged or cannot be read is logged and left out.
 * Errors: of the directory; QV_ENOMEM, QV_EBUSY. */
qv_status qv__db_snapshots(struct qv__db *db,
                           void (*cb)(void *arg, const struct qv__snapshot_info *info), void *arg,
                           struct qv_err *err) QV_MUST_USE;
/* By the name clients know. collection NULL = any of a collection; whole: of the database, or one
 * that cannot be read and is in no list, by the name of its directory: then only out->id is set. */
qv_status qv__db_snapshot_find(struct qv__db *db, struct qv__str name,
                               const struct qv__str *collection, bool whole,
                               struct qv__snapshot_info *out, struct qv_err *err) QV_MUST_USE;
/* Gone from the list when this returns; its files go when nobody reads them any more. */
qv_status qv__db_snapshot_delete(struct qv__db *db, uint64_t id, struct qv_err *err) QV_MUST_USE;

/* --- reading one as a container --- */

struct qv__snapshot_stream;
qv_status qv__snapshot_stream_open(struct qv__db *db, uint64_t id, struct qv__snapshot_stream **out,
                                   struct qv_err *err) QV_MUST_USE;
uint64_t qv__snapshot_stream_bytes(const struct qv__snapshot_stream *s);
/* Up to n bytes from `at`; at least one before the end. One thread at a time. */
qv_status qv__snapshot_stream_read(struct qv__snapshot_stream *s, uint64_t at, void *buf, size_t n,
                                   size_t *got, struct qv_err *err) QV_MUST_USE;
void qv__snapshot_stream_close(struct qv__snapshot_stream *s); /* NULL-safe */

/* --- getting back --- */

/* One of ours by id, or (id 0) a container inside a file of the database's io. */
struct qv__snapshot_from {
    uint64_t id;
    const char *file;
    uint64_t offset, bytes;
    const uint8_t *sha256; /* what the container must have; NULL = anything */
};

/* Put the collection of a snapshot in the place of collection `name`, or make it. Everything is
 * verified and copied off the live path, then one manifest is committed: a crash leaves the old
 * collection or the new one. Errors leave the old one: QV_EINVAL (not of a collection, an alias has
 * the name), QV_ECONFLICT (another SHA-256), QV_ECORRUPT and QV_EVERSION (the snapshot is no sound
 * one), QV_ENOSPC, QV_ENOTFOUND, QV_EREADONLY, QV_ENOMEM, QV_ECLOSED, QV_ECANCELLED (its job,
 * QV__JOB_RECOVER). */
qv_status qv__db_snapshot_recover(struct qv__db *db, struct qv__str name,
                                  const struct qv__snapshot_from *from,
                                  struct qv_err *err) QV_MUST_USE;

/* Containers that clients send: files in tmp/, which an open empties. `name` is for
 * qv__snapshot_from; what is stored is removed by its owner. */
qv_status qv__upload_store(struct qv__db *db, const struct qv__bytes *pieces, size_t n,
                           char name[64], uint64_t *bytes, struct qv_err *err) QV_MUST_USE;
qv_status qv__upload_read(struct qv__db *db, const char *name, uint64_t at, void *buf, size_t n,
                          struct qv_err *err) QV_MUST_USE;
void qv__upload_remove(struct qv__db *db, const char *name);

struct qv__restore_options {
    struct qv__io *from; /* borrowed */
    const char *path;    /* in `from`: a container, or the directory of a snapshot */
    bool is_directory;
    struct qv__io *to; /* borrowed: an empty directory */
    struct qv__mem *mem;
    const uint8_t *sha256; /* NULL = anything */
    const _Atomic bool *cancel;
};
/* Offline: a database from a snapshot of one, or of a single collection, with the LSNs it had then.
 * QV_EEXISTS when `to` holds anything. What an interrupted run left is refused by qv__db_open and
 * replaced by the next run. Errors as above; `to` is then empty again. */
qv_status qv__db_restore(const struct qv__restore_options *o, struct qv__snapshot_info *out,
                         struct qv_err *err) QV_MUST_USE;

#endif

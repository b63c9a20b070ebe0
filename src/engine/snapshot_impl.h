/* snapshot_impl.h: what the snapshot*.c files share. Not visible outside engine/.
 *
 * On disk, under snapshots/: <16 hex digits> a snapshot; new-<digits> one being made; gone-<digits>
 * one deleted whose files are still read or not yet removed. The last two count for nothing and are
 * removed at the next open.
 *
 * Locks: db->snapshots (outermost) guards the names in snapshots/ and the list of streams; it is
 * held for single calls on names, never while bytes are read or written. */
#ifndef QV_ENGINE_SNAPSHOT_IMPL_H
#define QV_ENGINE_SNAPSHOT_IMPL_H

#include "engine/catalog.h"
#include "engine/snapshot.h"
#include "store/snapfile.h"

struct qv__snapshot_stream {
    struct qv__db *db;
    struct qv__snap_reader reader; /* reader.place follows a deletion; guarded by: snapshots */
    uint64_t id;
    bool gone;                        /* guarded by: snapshots */
    struct qv__snapshot_stream *next; /* guarded by: snapshots */
};

enum qv__snapshot_state { QV__SNAPSHOT_WHOLE, QV__SNAPSHOT_NEW, QV__SNAPSHOT_GONE };
/* "snapshots/…" */
void qv__snapshot_dir(uint64_t id, enum qv__snapshot_state state, char out[64]);
/* The number of a name of ours; false for any other name. */
bool qv__snapshot_dir_read(const char *name, uint64_t *id, enum qv__snapshot_state *state);
/* Directories in snapshots/, ours or not, NUL-separated; the caller frees the buffer. */
qv_status qv__snapshot_names(struct qv__io *io, struct qv__mem *mem, struct qv__buf *out,
                             struct qv_err *err) QV_MUST_USE;
/* Remove the plain files of a directory; that, and the directory: as far as it is possible. True if
 * none is left. */
bool qv__snapshot_remove_files(struct qv__io *io, struct qv__mem *mem, const char *dir);
void qv__snapshot_remove_dir(struct qv__io *io, struct qv__mem *mem, const char *dir);
/* Remove what interrupted runs left. */
qv_status qv__snapshots_clean(struct qv__db *db, struct qv_err *err) QV_MUST_USE;
void qv__snapshot_describe(const struct qv__snap *s, const uint8_t sha256[QV__SHA256_BYTES],
                           struct qv__snapshot_info *out);

/* --- snapshot_fresh.c --- */

/* The file that is there until a restore has written its manifest. */
#define QV__RESTORE_MARKER "RESTORING"
/* QV_ECORRUPT when a restore into this directory was interrupted. */
qv_status qv__restore_unfinished(struct qv__io *io, struct qv_err *err) QV_MUST_USE;

/* --- segment_cut.c --- */

/* What a reader at `lsn` sees of a segment, as a manifest names it: the file as it is, and a
 * tombstone file in `to` for the rest. out->n_rows 0: nothing to see. A growing segment must have
 * nothing to see. */
qv_status qv__segment_cut(struct qv__segment *s, uint64_t lsn, struct qv__blobs *to, uint64_t gen,
                          struct qv__manifest_segment *out, struct qv_err *err) QV_MUST_USE;

/* --- snapshot_restore.c: the segments of a snapshot as files of their own --- */

struct qv__restore {
    struct qv__snap_reader *from; /* borrowed, verified */
    struct qv__arena arena;
    struct qv__manifest manifest; /* as stored */
    qv__json catalog;
    struct qv__blobs *blobs; /* where files go; borrowed */
    _Atomic uint64_t *next_file_id;
    uint64_t lsn_max; /* later LSNs of rows become this one */
    const _Atomic bool *cancel;
};

/* Compare the SHA-256 asked for, verify every byte, read manifest and catalog, and hold them
 * against the table. Release with qv__restore_free, also after an error. */
qv_status qv__restore_open(struct qv__restore *r, struct qv__snap_reader *from,
                           const uint8_t *sha256, struct qv_err *err) QV_MUST_USE;
void qv__restore_free(struct qv__restore *r);
/* QV_ENOSPC unless the io has room for all files. */
qv_status qv__restore_space(const struct qv__restore *r, struct qv__io *io,
                            struct qv_err *err) QV_MUST_USE;
/* Copy the segments of one shard under fresh ids, and open them with every check; all or none.
 * list, made: room for from->n_segments. */
qv_status qv__restore_shard(struct qv__restore *r, const struct qv__segment_env *env,
                            struct qv__schema *schema, const struct qv__manifest_shard *from,
                            struct qv__segment **list, struct qv__manifest_segment *made,
                            struct qv_err *err) QV_MUST_USE;

#endif

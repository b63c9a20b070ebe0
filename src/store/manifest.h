/* manifest.h: which files are live: the commit point of every checkpoint.
 *
 * What it is: numbered, checksummed, complete files `manifest-<generation>`, and one small file CURRENT
 * that names the live generation with its checksum and is replaced atomically. Exactly one place says
 * what is live; the catalog (collections, schemas, aliases) travels in it as bytes of the engine.
 * Format: docs/internals/MANIFEST.md.
 * What it is not: updated in place, or a log.
 * Threads: one at a time. */
#ifndef QV_STORE_MANIFEST_H
#define QV_STORE_MANIFEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "os/io.h"

struct qv__manifest_segment {
    uint64_t segment_id;     /* names the blob: seg-<16 hex digits> */
    uint64_t file_bytes;
    uint32_t n_rows;
    uint32_t n_dead;         /* tombstones below */
    uint64_t tombstone_gen;  /* blob tomb-<segment>-<gen>, 0 = none */
    uint64_t min_lsn, max_lsn;
};
struct qv__manifest_shard {
    uint64_t collection_id;
    uint32_t shard;          /* number within the collection */
    uint32_t n_segments;
    uint64_t flushed_lsn;    /* replay of this shard starts after it */
    struct qv__manifest_segment *segments;
};
struct qv__manifest {
    uint64_t generation;
    uint64_t checkpoint_lsn; /* catalog is as of this LSN; the log is needed from min(flushed)+1 */
    uint64_t next_file_id;   /* ids are never reused */
    uint64_t epoch;
    uint8_t db_uuid[16];
    struct qv__bytes catalog;
    struct qv__manifest_shard *shards;
    uint32_t n_shards;
};

/* Write generation m->generation (above the live one, else QV_EINVAL) and switch CURRENT to it: durable
 * on QV_OK; on an error the old one stays live. QV_EREADONLY is the exception: the disk failed while
 * CURRENT was replaced and again while it was put back, so a restart will find the one or the other;
 * files of both must stay until a generation above both is written. */
qv_status qv__manifest_write(struct qv__io *io, struct qv__mem *mem, const struct qv__manifest *m, struct qv_err *err) QV_MUST_USE;
/* Read the live manifest into `arena`. QV_ENOTFOUND when the directory is new (no CURRENT and no manifest at all);
 * QV_ECORRUPT when CURRENT or its manifest is damaged, naming the file: never falls back silently. */
qv_status qv__manifest_read(struct qv__io *io, struct qv__arena *arena, struct qv__manifest *out, struct qv_err *err) QV_MUST_USE;
/* The bytes of a manifest, into an empty buffer; and back: every check of the format, as of this
 * generation. The result borrows the catalog from `p`, the rest lives in the arena. `name` begins
 * messages. Errors: QV_ECORRUPT, QV_EVERSION, QV_ETOOBIG, QV_ENOMEM. */
qv_status qv__manifest_encode(const struct qv__manifest *m, struct qv__buf *b, struct qv_err *err) QV_MUST_USE;
qv_status qv__manifest_decode(const uint8_t *p, size_t n, const char *name, uint64_t generation,
                              struct qv__arena *arena, struct qv__manifest *out, struct qv_err *err) QV_MUST_USE;
/* For a look at a directory that may be damaged: what CURRENT names (0 = none yet), and one manifest
 * by its generation whatever CURRENT says. Errors as qv__manifest_read. */
qv_status qv__manifest_current(struct qv__io *io, struct qv__mem *mem, uint64_t *generation,
                               struct qv_err *err) QV_MUST_USE;
qv_status qv__manifest_read_generation(struct qv__io *io, struct qv__arena *arena, uint64_t generation,
                                       struct qv__manifest *out, struct qv_err *err) QV_MUST_USE;
/* Remove manifests other than the live one and its predecessor. */
qv_status qv__manifest_clean(struct qv__io *io, uint64_t live_generation, struct qv_err *err);

/* The data directory: LOCK (held until closed; QV_ELOCKED when another process or handle has it),
 * and the sub-directories log, blobs, snapshots, tmp (emptied of leftovers). */
struct qv__datadir {
    struct qv__io *io; /* borrowed */
    struct qv__file *lock;
};
#define QV__DIR_LOG "log"
#define QV__DIR_BLOBS "blobs"
#define QV__DIR_TMP "tmp"
#define QV__DIR_SNAPSHOTS "snapshots"
qv_status qv__datadir_open(struct qv__io *io, struct qv__datadir *out, struct qv_err *err) QV_MUST_USE;
void qv__datadir_close(struct qv__datadir *d);

/* Tombstone side files of sealed segments: a bitset of dead rows, checksummed, adopted as a blob. */
struct qv__blobs;
qv_status qv__tombstones_write(struct qv__blobs *blobs, struct qv__mem *mem, uint64_t segment_id, uint64_t gen,
                               const uint64_t *words, uint32_t n_rows, struct qv_err *err) QV_MUST_USE;
/* words: room for (n_rows + 63) / 64; validated against segment, generation, rows and CRC. */
qv_status qv__tombstones_read(struct qv__blobs *blobs, uint64_t segment_id, uint64_t gen, uint64_t *words,
                              uint32_t n_rows, struct qv_err *err) QV_MUST_USE;
/* The same from the whole bytes of such a file. */
qv_status qv__tombstones_decode(struct qv__bytes file, const char *name, uint64_t segment_id, uint64_t gen,
                                uint64_t *words, uint32_t n_rows, struct qv_err *err) QV_MUST_USE;
/* Bytes of a tombstone file. */
uint64_t qv__tombstones_bytes(uint32_t n_rows);
void qv__segment_blob_name(uint64_t segment_id, char out[64]);
void qv__tombstones_blob_name(uint64_t segment_id, uint64_t gen, char out[64]);

#endif

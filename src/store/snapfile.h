/* snapfile.h: a snapshot as bytes: one stream of a head, files and a table, or a directory of them.
 *
 * What it is: the container of a snapshot: which files belong to it, their sizes, SHA-256 and block
 * checksums, and reading them, whether they lie side by side in one file (downloaded, uploaded) or
 * each under its own name in a directory (as made). Both have the same bytes in the same order, so
 * both have the same SHA-256. Names of files are made from their numbers; none is ever read from a
 * container. Format: docs/internals/SNAPSHOT.md.
 * What it is not: aware of collections. Threads: one at a time per object. */
#ifndef QV_STORE_SNAPFILE_H
#define QV_STORE_SNAPFILE_H

#include "base/sha256.h"
#include "base/thread.h"
#include "store/manifest.h"

#define QV__SNAP_HEAD_BYTES  512u
#define QV__SNAP_BLOCK_BYTES ((size_t)1 << 20)
#define QV__SNAP_FILES_MAX   (1u << 20)
#define QV__SNAP_NAME_MAX    255u
#define QV__SNAP_SUM_BYTES   96u

/* What it is of, and what its files are. Values are stored: never renumbered. */
enum qv__snap_kind { QV__SNAP_COLLECTION = 1, QV__SNAP_DATABASE = 2 };
enum qv__snap_file_kind { QV__SNAP_MANIFEST = 1, QV__SNAP_SEGMENT = 2, QV__SNAP_TOMBSTONES = 3 };

struct qv__snap_file {
    uint16_t kind;
    uint64_t id, gen; /* SEGMENT: id; TOMBSTONES: id of the segment and generation; else 0 */
    uint64_t bytes;
    uint8_t sha256[QV__SHA256_BYTES];
    uint64_t at;          /* offset in the container */
    uint64_t first_block; /* number of its first block checksum */
};

struct qv__snap {
    uint32_t kind;
    uint64_t id; /* number of the snapshot where it was made */
    uint64_t lsn;
    uint64_t created_ms; /* wall clock */
    uint8_t db_uuid[16];
    char name[QV__SNAP_NAME_MAX + 1]; /* of the collection; "" for a database */
    uint32_t n_files;
    uint64_t n_blocks;
    uint64_t table_at, total_bytes;
    struct qv__snap_file *files; /* the manifest first, then by kind, id, generation */
    uint32_t *blocks;            /* checksums, file after file */
};

/* "manifest", or the name of the blob. */
void qv__snap_file_name(const struct qv__snap_file *f, char out[64]);
uint64_t qv__snap_blocks(uint64_t bytes);

/* Fill `at`, `first_block`, the totals, from the files' kinds, numbers and bytes; check their
 * order. QV_ETOOBIG, QV_ECORRUPT. `name` begins messages. */
qv_status qv__snap_layout(struct qv__snap *s, const char *name, struct qv_err *err) QV_MUST_USE;
void qv__snap_head_encode(const struct qv__snap *s, uint8_t out[QV__SNAP_HEAD_BYTES]);
/* All but files and blocks, whose numbers are only bounded by total_bytes. QV_ECORRUPT,
 * QV_EVERSION. */
qv_status qv__snap_head_decode(const uint8_t *p, size_t n, const char *name, struct qv__snap *out,
                               struct qv_err *err) QV_MUST_USE;
void qv__snap_table_encode(const struct qv__snap *s, struct qv__buf *out);
/* Files and blocks into the arena: `n` is total_bytes - table_at. */
qv_status qv__snap_table_decode(struct qv__snap *s, const uint8_t *p, size_t n, const char *name,
                                struct qv__arena *arena, struct qv_err *err) QV_MUST_USE;
/* The checksum of one block of a file. */
uint32_t qv__snap_block_crc(uint32_t file, uint64_t block, const void *p, size_t n);

/* What a directory knows besides: the SHA-256 of the container. */
void qv__snap_sum_encode(const uint8_t sha256[QV__SHA256_BYTES], uint64_t total_bytes,
                         uint8_t out[QV__SNAP_SUM_BYTES]);
qv_status qv__snap_sum_decode(const uint8_t *p, size_t n, const char *name, uint64_t total_bytes,
                              uint8_t sha256[QV__SHA256_BYTES], struct qv_err *err) QV_MUST_USE;

#define QV__SNAP_HEAD_NAME  "head"
#define QV__SNAP_TABLE_NAME "table"
#define QV__SNAP_SUM_NAME   "sum"

/* --- reading (snapfile_read.c) --- */

struct qv__snap_reader {
    struct qv__io *io; /* borrowed */
    struct qv__arena arena;
    struct qv__snap snap;
    bool is_dir;
    char place[QV__IO_NAME_MAX + 1]; /* the directory, or the file */
    struct qv__file *file;           /* the container, or the member that is open */
    uint32_t member;                 /* which; n_files: the table */
    struct qv__mutex *naming;        /* taken to open a member; NULL = `place` never changes */
    uint64_t base;                   /* where the container begins in its file */
    uint8_t head[QV__SNAP_HEAD_BYTES];
    uint8_t sum[QV__SHA256_BYTES]; /* of a directory */
};

/* A container of exactly `bytes` bytes that begins `base` bytes into a file. Head and table are
 * checked: sizes against the length, everything against checksums. Release with qv__snap_close,
 * also after an error. Errors: QV_ECORRUPT, QV_EVERSION, QV_ENOTFOUND, QV_EIO, QV_ENOMEM. */
qv_status qv__snap_open_file(struct qv__io *io, const char *file, uint64_t base, uint64_t bytes,
                             struct qv__mem *mem, struct qv__snap_reader *out,
                             struct qv_err *err) QV_MUST_USE;
qv_status qv__snap_open_dir(struct qv__io *io, const char *dir, struct qv__mem *mem,
                            struct qv__snap_reader *out, struct qv_err *err) QV_MUST_USE;
void qv__snap_close(struct qv__snap_reader *r); /* safe on a zeroed one */

/* Exactly n bytes of a file of the snapshot. */
qv_status qv__snap_read(struct qv__snap_reader *r, uint32_t file, uint64_t at, void *buf, size_t n,
                        struct qv_err *err) QV_MUST_USE;
/* Up to n bytes of the container, at least one unless `at` is its end. */
qv_status qv__snap_stream(struct qv__snap_reader *r, uint64_t at, void *buf, size_t n, size_t *got,
                          struct qv_err *err) QV_MUST_USE;
/* Read everything and compare it with every checksum; the container's own SHA-256 goes to `sum`.
 * QV_ECORRUPT names file and offset; QV_ECANCELLED. */
qv_status qv__snap_verify(struct qv__snap_reader *r, const _Atomic bool *cancel,
                          uint8_t sum[QV__SHA256_BYTES], struct qv_err *err) QV_MUST_USE;

#endif

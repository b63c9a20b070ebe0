/* segfile.h: the container of one sealed segment: a checked header, a section table, aligned sections.
 *
 * What it is: 4 KiB header, then sections aligned to 64 bytes (to 4 KiB for those of at least 64 KiB), then a table
 * of CRC-32C per 64 KiB block, bound to file id and block number so that a stale or misdirected block
 * is caught. Format: docs/internals/SEGMENT.md. Files are written once, front to back, synced, adopted.
 * What it is not: aware of what a section holds.
 * Threads: a writer one at a time; an open file any. */
#ifndef QV_STORE_SEGFILE_H
#define QV_STORE_SEGFILE_H

#include "store/blob.h"

/* Section kinds. Values are stored: never renumbered. `column` tells vector columns apart. */
enum qv__section {
    QV__SEC_META = 1,         /* engine's segment description */
    QV__SEC_ID_OFFSETS = 2,   /* idmap.h */
    QV__SEC_ID_DATA = 3,
    QV__SEC_ID_ORDER = 4,
    QV__SEC_INSERT_LSN = 5,   /* u64 per row */
    QV__SEC_VERSION = 6,      /* u64 per row; absent = equal to insert LSN */
    QV__SEC_EXPIRES = 7,      /* i64 ms per row; absent = never */
    QV__SEC_PAYLOAD_OFFSETS = 8, /* u64 per row + 1 */
    QV__SEC_PAYLOAD_DATA = 9,
    QV__SEC_TOMBSTONES = 10,  /* bitset of rows dead when the file was written; absent = none */
    QV__SEC_FIELDS = 11,      /* payload indexes; absent = built in memory when asked for */
    QV__SEC_TENANTS = 12,     /* runs of rows by tenant; absent = rows are in no such order */
    QV__SEC_VEC_META = 16,    /* per column from here on */
    QV__SEC_VEC_PRESENT = 17, /* bitset over rows; absent = all */
    QV__SEC_VEC_ORD_TO_ROW = 18, /* u32; absent = identity */
    QV__SEC_VEC_ROW_TO_ORD = 19, /* u32, UINT32_MAX = none; absent = identity */
    QV__SEC_VEC_DATA = 20,
    QV__SEC_INDEX_META = 21,
    QV__SEC_VEC_OFFSETS = 22, /* u64 per vector + 1, where vectors vary in length */
    QV__SEC_INDEX_PART = 32   /* + part number */
};
#define QV__SECTIONS_MAX 120u /* what the header's table holds */

struct qv__segw;
/* Start a staged file. file_id binds blocks to this file (the segment id). */
qv_status qv__segw_create(struct qv__blobs *blobs, struct qv__mem *mem, uint64_t file_id,
                          struct qv__segw **out, struct qv_err *err) QV_MUST_USE;
qv_status qv__segw_begin(struct qv__segw *w, uint16_t kind, uint16_t column, struct qv_err *err) QV_MUST_USE;
qv_status qv__segw_write(struct qv__segw *w, const void *p, size_t n, struct qv_err *err) QV_MUST_USE;
qv_status qv__segw_end(struct qv__segw *w, struct qv_err *err) QV_MUST_USE;
/* begin + write + end. */
qv_status qv__segw_put(struct qv__segw *w, uint16_t kind, uint16_t column, const void *p, size_t n,
                       struct qv_err *err) QV_MUST_USE;
/* Write checksums and header, sync, adopt as blob `name`. The writer is gone on success and failure. */
qv_status qv__segw_finish(struct qv__segw *w, const char *name, uint64_t *file_bytes, struct qv_err *err) QV_MUST_USE;
/* Give up: the staged file is removed. NULL-safe. */
void qv__segw_abort(struct qv__segw *w);

struct qv__segfile;
/* Map and validate header, section table and length (`expected_bytes` 0 = unknown). With `verify`
 * every block's checksum as well. Errors: QV_ECORRUPT naming file, section and offset; QV_EVERSION. */
qv_status qv__segfile_open(struct qv__blobs *blobs, const char *name, struct qv__mem *mem,
                           uint64_t file_id, uint64_t expected_bytes, bool verify,
                           struct qv__segfile **out, struct qv_err *err) QV_MUST_USE;
/* Bytes of a section; {NULL, 0} if absent. */
struct qv__bytes qv__segfile_section(const struct qv__segfile *f, uint16_t kind, uint16_t column);
qv_status qv__segfile_verify(const struct qv__segfile *f, struct qv_err *err) QV_MUST_USE;
/* False once the file behind the mapping was cut short or could not be read: what was read before
 * this call may then be zeros. A few instructions; asked after every use. */
bool qv__segfile_sound(const struct qv__segfile *f) QV_MUST_USE;
/* The i-th section by offset; false past the last. The struct is in segfile_format.h. */
struct qv__seg_entry;
bool qv__segfile_entry(const struct qv__segfile *f, uint32_t i, struct qv__seg_entry *out);
/* For a report: each section that a damaged block touches, block by block; NULL for a damaged table
 * or padding. Nothing is called for a file whose checksums hold. */
void qv__segfile_damage(const struct qv__segfile *f,
                        void (*cb)(void *arg, const struct qv__seg_entry *e), void *arg);
uint64_t qv__segfile_bytes(const struct qv__segfile *f);
void qv__segfile_advise(const struct qv__segfile *f, struct qv__bytes section, enum qv__advice advice);
void qv__segfile_close(struct qv__segfile *f); /* NULL-safe */

#endif

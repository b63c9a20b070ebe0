/* segfile_copy.h: the same segment under another file id.
 *
 * What it is: a verified copy of a segment file: every block is read, checked against the old
 * checksum, and written with the new id's. The bytes of a block are bound to their file's id, so a
 * file that comes from elsewhere can live here in no other way.
 * What it is not: aware of what sections mean; who is may change their bytes on the way.
 * Threads: one at a time per object. */
#ifndef QV_STORE_SEGFILE_COPY_H
#define QV_STORE_SEGFILE_COPY_H

#include "store/segfile.h"

struct qv__segcopy {
    /* Exactly n bytes of the old file. */
    qv_status (*read)(void *ctx, uint64_t at, void *buf, size_t n, struct qv_err *err);
    /* A piece of a section, `at` bytes from its start, before it is written. Pieces come in order,
     * once each, and are cut at multiples of 64 bytes of the section only. NULL = leave all. */
    void (*edit)(void *ctx, uint16_t kind, uint16_t column, uint64_t at, uint8_t *p, size_t n);
    void *ctx;
    uint64_t file_id, file_bytes; /* what the old file must be */
    const char *name;             /* of the old file, for messages */
};

/* Publish the copy as blob `as` with id `file_id`; it has as many bytes. Errors: QV_ECORRUPT naming
 * the old file and the offset; QV_EVERSION, QV_ENOSPC, QV_EIO, QV_ENOMEM; nothing is left then. */
qv_status qv__segfile_copy(const struct qv__segcopy *from, struct qv__blobs *blobs,
                           struct qv__mem *mem, uint64_t file_id, const char *as,
                           struct qv_err *err) QV_MUST_USE;

#endif

/* segfile_format.h: the bytes of a segment file, shared by its writer and its reader.
 * What they mean is in docs/internals/SEGMENT.md. */
#ifndef QV_STORE_SEGFILE_FORMAT_H
#define QV_STORE_SEGFILE_FORMAT_H

#include "base/crc32c.h"
#include "store/format.h"
#include "store/segfile.h"

#define QV__SEG_HEAD_BYTES  4096u
#define QV__SEG_BLOCK_BYTES ((size_t)64 * 1024)
#define QV__SEG_ALIGN       64u   /* of every section */
#define QV__SEG_BIG_ALIGN   4096u /* of a section of at least a block */
#define QV__SEG_ENTRY_BYTES 32u
#define QV__SEG_ENTRIES_OFF 128u
#define QV__SEG_DATA_OFF    ((uint64_t)QV__SEG_HEAD_BYTES)

_Static_assert(QV__SEG_ENTRIES_OFF + QV__SECTIONS_MAX * QV__SEG_ENTRY_BYTES <=
                   QV__SEG_HEAD_BYTES - 4,
               "the section table fits the head");

static const struct qv__format qv__seg_format = {
    .magic = "QVSEG\r\n\x1a",
    .noun = "segment file",
    .major = 1,
    .head_bytes = QV__SEG_HEAD_BYTES,
};

struct qv__seg_entry {
    uint16_t kind, column;
    uint64_t off, bytes;
};

/* What a head says: where blocks, their checksums and the sections lie. */
struct qv__seg_shape {
    uint64_t file_id;
    uint64_t table_off;
    uint64_t n_blocks;
    uint32_t table_crc;
    uint32_t n_sections;
    struct qv__seg_entry sections[QV__SECTIONS_MAX]; /* by offset */
};
/* Check the head, the first `n` bytes of a file of `file_bytes`, and read it. It must be of file
 * `file_id` and, when expected_bytes is not 0, of that length. Errors: QV_ECORRUPT, QV_EVERSION. */
qv_status qv__seg_head_read(const uint8_t *head, size_t n, uint64_t file_bytes, uint64_t file_id,
                            uint64_t expected_bytes, const char *name, struct qv__seg_shape *out,
                            struct qv_err *err) QV_MUST_USE;

/* Start of the checksum of a block (or of the table: block UINT64_MAX) of this file. */
static inline uint32_t qv__seg_crc_seed(uint64_t file_id, uint64_t block)
{
    uint8_t b[16];
    qv__store_u64(b, file_id);
    qv__store_u64(b + 8, block);
    return qv__crc32c(0, b, sizeof b);
}

#endif

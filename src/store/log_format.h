/* log_format.h: the bytes of the local log: names, file heads, record heads.
 *
 * What it is: encoding and decoding between structs and bytes, as docs/internals/LOG.md has it.
 * What it is not: aware of files or of the order of records. Threads: any. */
#ifndef QV_STORE_LOG_FORMAT_H
#define QV_STORE_LOG_FORMAT_H

#include "base/buf.h"
#include "os/io.h"
#include "store/format.h"

#define QV__LOGFILE_HEAD_BYTES 4096u
#define QV__LOGREC_HEAD_BYTES  48u
#define QV__LOGREC_ALIGN       8u
#define QV__LOG_DIR_MAX        190u
/* A first LSN above this is no LSN of ours: so that counting on from it cannot wrap. */
#define QV__LOG_LSN_MAX        ((uint64_t)1 << 62)
#define QV__LOG_PATH_BYTES     256u
/* What type 0 means: no record, but a note at the tail of the log; see docs/internals/LOG.md. */
#define QV__LOGREC_MARK        0u
#define QV__LOGREC_CLOSES      1u /* body_crc of a mark: the next file was begun */

struct qv__logfile_head {
    uint8_t uuid[16];   /* of the log; equal in all its files */
    uint64_t epoch;     /* of the log when the file was begun */
    uint64_t first_lsn; /* of the first record; all before it are durable in older files */
    uint64_t file_bytes;
};

struct qv__logrec_head {
    uint32_t type;
    uint32_t body_bytes;
    uint64_t epoch;
    uint64_t lsn;
    uint64_t synced_lsn; /* every record up to it was durable before this one was written */
    uint32_t body_crc;
};

/* Paths within `dir` ("" = the root). dir: at most QV__LOG_DIR_MAX bytes. */
void qv__log_path(const char *dir, uint64_t first_lsn, char out[QV__LOG_PATH_BYTES]);
void qv__log_next_path(const char *dir, uint64_t serial, char out[QV__LOG_PATH_BYTES]);
/* True if `name` is that of a live file / a file being prepared. */
bool qv__log_name_read(const char *name, uint64_t *first_lsn);
bool qv__log_next_name_read(const char *name, uint64_t *serial);

void qv__logfile_head_write(const struct qv__logfile_head *h, uint8_t out[QV__LOGFILE_HEAD_BYTES]);
/* n: bytes given, at most a head's. Errors: QV_ECORRUPT, QV_EVERSION. */
qv_status qv__logfile_head_read(const uint8_t *bytes, size_t n, bool will_write, const char *name,
                                struct qv__logfile_head *out, struct qv_err *err) QV_MUST_USE;
/* What binds records to this file. */
uint32_t qv__logrec_seed(const struct qv__logfile_head *h);

/* `off`: the record's place in the file, which its checksum covers. */
void qv__logrec_head_write(const struct qv__logrec_head *h, uint32_t seed, uint64_t off,
                           uint8_t out[QV__LOGREC_HEAD_BYTES]);
/* False when the bytes are no head that was written at this place of this file. */
bool qv__logrec_head_read(const uint8_t in[QV__LOGREC_HEAD_BYTES], uint32_t seed, uint64_t off,
                          struct qv__logrec_head *out);
/* Head, body and padding. */
static inline uint64_t qv__logrec_bytes(uint64_t body_bytes)
{
    uint64_t align = QV__LOGREC_ALIGN;
    return QV__LOGREC_HEAD_BYTES + ((body_bytes + align - 1) & ~(align - 1));
}
/* Of the body, given in parts, and of the zero bytes that pad it. */
uint32_t qv__logrec_body_crc(const struct qv__bytes *parts, size_t n_parts, size_t body_bytes);

#endif

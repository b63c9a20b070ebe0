/* log_format.c: the local log's names and heads, to bytes and back.
 *
 * A record's head is bound to its place: the CRC begins with the log's uuid, the file's first LSN
 * and the record's offset. So neither stale bytes of a file that was used before, nor a copy of a
 * record inside another record's body, nor a block that the disk put elsewhere reads as a record.
 * That is why recycled files need no zeroing. No state, no locks, no memory. */
#include "store/log_format.h"
#include "base/plant.h"
#include "store/log.h"

#include <stdio.h>

#include "base/crc32c.h"

#define RECORD_MAGIC   0x43455251u /* "QREC" */
#define RECORD_VERSION 1u
#define HEX_DIGITS     16

static const struct qv__format log_format = {
    .magic = "QVLOG\r\n\x1a",
    .noun = "log file",
    .major = 1,
    .head_bytes = QV__LOGFILE_HEAD_BYTES,
};

/* --- names --- */

void qv__log_path(const char *dir, uint64_t first_lsn, char out[QV__LOG_PATH_BYTES])
{
    snprintf(out, QV__LOG_PATH_BYTES, "%.*s%slog-%016" PRIx64 ".qvl", (int)QV__LOG_DIR_MAX, dir,
             *dir ? "/" : "", first_lsn);
}

void qv__log_next_path(const char *dir, uint64_t serial, char out[QV__LOG_PATH_BYTES])
{
    snprintf(out, QV__LOG_PATH_BYTES, "%.*s%slog-next-%016" PRIx64 ".qvl", (int)QV__LOG_DIR_MAX,
             dir, *dir ? "/" : "", serial);
}

static bool name_read(const char *name, const char *prefix, uint64_t *out)
{
    size_t n = strlen(prefix);
    if (strlen(name) != n + HEX_DIGITS + 4 || memcmp(name, prefix, n) != 0 ||
        strcmp(name + n + HEX_DIGITS, ".qvl") != 0) {
        return false;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < HEX_DIGITS; i++) {
        char c = name[n + i];
        if (c >= '0' && c <= '9') {
            v = v << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = v;
    return true;
}

bool qv__log_name_read(const char *name, uint64_t *first_lsn)
{
    return name_read(name, "log-", first_lsn);
}

bool qv__log_next_name_read(const char *name, uint64_t *serial)
{
    return name_read(name, "log-next-", serial);
}

/* --- file heads --- */

void qv__logfile_head_write(const struct qv__logfile_head *h, uint8_t out[QV__LOGFILE_HEAD_BYTES])
{
    qv__format_begin(&log_format, out);
    memcpy(out + 32, h->uuid, 16);
    qv__store_u64(out + 48, h->epoch);
    qv__store_u64(out + 56, h->first_lsn);
    qv__store_u64(out + 64, h->file_bytes);
    qv__format_seal(&log_format, out);
}

qv_status qv__logfile_head_read(const uint8_t *bytes, size_t n, bool will_write, const char *name,
                                struct qv__logfile_head *out, struct qv_err *err)
{
    QV_TRY(qv__format_check(&log_format, bytes, n, will_write, name, err));
    struct qv__logfile_head h = {
        .epoch = qv__load_u64(bytes + 48),
        .first_lsn = qv__load_u64(bytes + 56),
        .file_bytes = qv__load_u64(bytes + 64),
    };
    memcpy(h.uuid, bytes + 32, 16);
    if (h.first_lsn == 0 || h.first_lsn > QV__LOG_LSN_MAX ||
        h.file_bytes < QV__LOGFILE_HEAD_BYTES) {
        return qv__fail(err, QV_ECORRUPT, "%s: offset 56: first LSN or length makes no sense",
                        name);
    }
    *out = h;
    return QV_OK;
}

/* --- record heads --- */

uint32_t qv__logrec_seed(const struct qv__logfile_head *h)
{
    uint8_t lsn[8];
    qv__store_u64(lsn, h->first_lsn);
    return qv__crc32c(qv__crc32c(0, h->uuid, sizeof h->uuid), lsn, sizeof lsn);
}

static uint32_t head_crc(const uint8_t *head, uint32_t seed, uint64_t off)
{
    uint8_t place[8];
    if (QV_PLANT(unbound_record)) {
        return qv__crc32c(0, head, QV__LOGREC_HEAD_BYTES - 4);
    }
    qv__store_u64(place, off);
    return qv__crc32c(qv__crc32c(seed, place, sizeof place), head, QV__LOGREC_HEAD_BYTES - 4);
}

void qv__logrec_head_write(const struct qv__logrec_head *h, uint32_t seed, uint64_t off,
                           uint8_t out[QV__LOGREC_HEAD_BYTES])
{
    qv__store_u32(out, RECORD_MAGIC);
    qv__store_u16(out + 4, RECORD_VERSION);
    qv__store_u16(out + 6, 0);
    qv__store_u32(out + 8, h->type);
    qv__store_u32(out + 12, h->body_bytes);
    qv__store_u64(out + 16, h->epoch);
    qv__store_u64(out + 24, h->lsn);
    qv__store_u64(out + 32, h->synced_lsn);
    qv__store_u32(out + 40, h->body_crc);
    qv__store_u32(out + 44, head_crc(out, seed, off));
}

bool qv__logrec_head_read(const uint8_t in[QV__LOGREC_HEAD_BYTES], uint32_t seed, uint64_t off,
                          struct qv__logrec_head *out)
{
    if (qv__load_u32(in) != RECORD_MAGIC || qv__load_u16(in + 4) != RECORD_VERSION ||
        qv__load_u16(in + 6) != 0 || qv__load_u32(in + 44) != head_crc(in, seed, off)) {
        return false;
    }
    *out = (struct qv__logrec_head){
        .type = qv__load_u32(in + 8),
        .body_bytes = qv__load_u32(in + 12),
        .epoch = qv__load_u64(in + 16),
        .lsn = qv__load_u64(in + 24),
        .synced_lsn = qv__load_u64(in + 32),
        .body_crc = qv__load_u32(in + 40),
    };
    return out->body_bytes <= QV__LOG_BODY_MAX && out->lsn > out->synced_lsn;
}

uint32_t qv__logrec_body_crc(const struct qv__bytes *parts, size_t n_parts, size_t body_bytes)
{
    static const uint8_t zeros[QV__LOGREC_ALIGN];
    uint32_t crc = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].n > 0) {
            crc = qv__crc32c(crc, parts[i].p, parts[i].n);
        }
    }
    return qv__crc32c(crc, zeros, QV_ALIGN_UP(body_bytes, QV__LOGREC_ALIGN) - body_bytes);
}

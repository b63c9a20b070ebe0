/* tombstones.c: the dead rows of a sealed segment as a blob of their own, and the names of blobs.
 *
 * A segment file never changes; which of its rows died since is written as a whole, under a new
 * generation, at each checkpoint that needs it. 64 bytes of head, then one bit per row in 64-bit
 * words; the head binds the bits to segment, generation and number of rows, and carries their CRC
 * and their count. Format: docs/internals/SEGMENT.md. No locks; memory: one block while writing. */
#include <stdio.h>

#include "base/crc32c.h"
#include "base/plant.h"
#include "store/format.h"
#include "store/manifest.h"
#include "store/staged.h"

#define HEAD_BYTES 64u

static const struct qv__format tomb_format = {
    .magic = "QVTOM\r\n\x1a",
    .noun = "tombstone file",
    .major = 1,
    .head_bytes = HEAD_BYTES,
};

void qv__segment_blob_name(uint64_t segment_id, char out[64])
{
    snprintf(out, 64, "seg-%016" PRIx64, segment_id);
}

void qv__tombstones_blob_name(uint64_t segment_id, uint64_t gen, char out[64])
{
    snprintf(out, 64, "tomb-%016" PRIx64 "-%016" PRIx64, segment_id, gen);
}

static size_t words_of(uint32_t n_rows)
{
    return ((size_t)n_rows + 63) / 64;
}

/* Bits of the last word that belong to rows. */
static uint64_t last_mask(uint32_t n_rows)
{
    return n_rows % 64 ? ((uint64_t)1 << (n_rows % 64)) - 1 : UINT64_MAX;
}

static uint32_t count_bits(const uint8_t *words, size_t n)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += (uint32_t)__builtin_popcountll(qv__load_u64(words + i * 8));
    }
    return count;
}

/* Head and words in one block; bits past the last row are left out. */
static void encode(uint8_t *p, uint64_t segment_id, uint64_t gen, const uint64_t *words,
                   uint32_t n_rows)
{
    size_t n = words_of(n_rows);
    uint8_t *body = p + HEAD_BYTES;
    qv__format_begin(&tomb_format, p);
    for (size_t i = 0; i < n; i++) {
        qv__store_u64(body + i * 8, i + 1 < n ? words[i] : words[i] & last_mask(n_rows));
    }
    qv__store_u64(p + 32, segment_id);
    qv__store_u64(p + 40, gen);
    qv__store_u32(p + 48, n_rows);
    qv__store_u32(p + 52, count_bits(body, n));
    qv__store_u32(p + 56, qv__crc32c(0, body, n * 8));
    qv__format_seal(&tomb_format, p);
}

qv_status qv__tombstones_write(struct qv__blobs *blobs, struct qv__mem *mem, uint64_t segment_id,
                               uint64_t gen, const uint64_t *words, uint32_t n_rows,
                               struct qv_err *err)
{
    char name[64];
    struct qv__staged staged;
    size_t bytes = HEAD_BYTES + words_of(n_rows) * 8;
    uint8_t *p = (uint8_t *)qv__alloc(mem, bytes);
    if (!p) {
        return qv__fail(err, QV_ENOMEM, "tombstones: no memory for %" PRIu32 " rows", n_rows);
    }
    encode(p, segment_id, gen, words, n_rows);
    qv__tombstones_blob_name(segment_id, gen, name);
    qv_status st = qv__staged_create(blobs, name, &staged, err);
    if (st == QV_OK) {
        st = qv__io_pwrite(staged.file, p, bytes, 0, err);
        if (st == QV_OK) {
            st = qv__staged_adopt(&staged, name, err);
        } else {
            qv__staged_abort(&staged);
        }
    }
    qv__free(p);
    return st;
}

uint64_t qv__tombstones_bytes(uint32_t n_rows)
{
    return HEAD_BYTES + (uint64_t)words_of(n_rows) * 8;
}

qv_status qv__tombstones_decode(struct qv__bytes file, const char *name, uint64_t segment_id,
                                uint64_t gen, uint64_t *words, uint32_t n_rows, struct qv_err *err)
{
    size_t n = words_of(n_rows);
    const uint8_t *p = file.p;
    QV_TRY(qv__format_check(&tomb_format, p, file.n, false, name, err));
    const uint8_t *body = p + HEAD_BYTES;
    if (qv__load_u64(p + 32) != segment_id || qv__load_u64(p + 40) != gen ||
        qv__load_u32(p + 48) != n_rows || file.n != HEAD_BYTES + n * 8) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: offset 32: of another segment, generation or number of rows", name);
    }
    if (QV_PLANT(trust_tombstones)) {
        memcpy(words, body, n * 8);
        return QV_OK;
    }
    if (qv__crc32c(0, body, n * 8) != qv__load_u32(p + 56)) {
        return qv__fail(err, QV_ECORRUPT, "%s: offset %u: checksum of the bits does not match",
                        name, HEAD_BYTES);
    }
    if (count_bits(body, n) != qv__load_u32(p + 52) ||
        (n > 0 && (qv__load_u64(body + (n - 1) * 8) & ~last_mask(n_rows)))) {
        return qv__fail(err, QV_ECORRUPT, "%s: offset 52: the number of dead rows is wrong", name);
    }
    if (n > 0) {
        memcpy(words, body, n * 8);
    }
    return QV_OK;
}

qv_status qv__tombstones_read(struct qv__blobs *blobs, uint64_t segment_id, uint64_t gen,
                              uint64_t *words, uint32_t n_rows, struct qv_err *err)
{
    char name[64];
    struct qv__map_view v = {0};
    qv__tombstones_blob_name(segment_id, gen, name);
    QV_TRY(blobs->ops->map(blobs, name, &v, err));
    qv_status st = qv__tombstones_decode((struct qv__bytes){v.p, v.n}, name, segment_id, gen, words,
                                         n_rows, err);
    if (qv__map_failed(&v)) {
        st = qv__fail(err, QV_EIO, "%s: it was cut short or cannot be read", name);
    }
    blobs->ops->unmap(blobs, &v);
    return st;
}

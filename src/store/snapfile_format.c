/* snapfile_format.c: head, table and sum of a snapshot, both ways.
 *
 * Sizes are added up with checks before anything is taken for them; the order of the files makes
 * doubles visible. A head that passed says only how long the rest is; the table, whose length is
 * held against that, says what there is. No state, no locks. */
#include <stdio.h>

#include "base/crc32c.h"
#include "store/format.h"
#include "store/snapfile.h"

#define ENTRY_BYTES 64u

static const struct qv__format head_format = {
    .magic = "QVSNP\r\n\x1a",
    .noun = "snapshot",
    .major = 1,
    .head_bytes = QV__SNAP_HEAD_BYTES,
};
static const struct qv__format sum_format = {
    .magic = "QVSUM\r\n\x1a",
    .noun = "sum of a snapshot",
    .major = 1,
    .head_bytes = QV__SNAP_SUM_BYTES,
};

void qv__snap_file_name(const struct qv__snap_file *f, char out[64])
{
    if (f->kind == QV__SNAP_SEGMENT) {
        qv__segment_blob_name(f->id, out);
    } else if (f->kind == QV__SNAP_TOMBSTONES) {
        qv__tombstones_blob_name(f->id, f->gen, out);
    } else {
        snprintf(out, 64, "manifest");
    }
}

uint64_t qv__snap_blocks(uint64_t bytes)
{
    return bytes / QV__SNAP_BLOCK_BYTES + (bytes % QV__SNAP_BLOCK_BYTES != 0);
}

static qv_status damaged(struct qv_err *err, const char *name, const char *what)
{
    return qv__fail(err, QV_ECORRUPT, "%s: %s", name, what);
}

/* --- layout --- */

static int order(const struct qv__snap_file *a, const struct qv__snap_file *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->id != b->id) {
        return a->id < b->id ? -1 : 1;
    }
    return (a->gen > b->gen) - (a->gen < b->gen);
}

static bool is_file_valid(const struct qv__snap_file *f, uint32_t i)
{
    switch (f->kind) {
    case QV__SNAP_MANIFEST:
        return i == 0 && f->id == 0 && f->gen == 0;
    case QV__SNAP_SEGMENT:
        return i > 0 && f->gen == 0;
    case QV__SNAP_TOMBSTONES:
        return i > 0 && f->gen != 0;
    default:
        return false;
    }
}

qv_status qv__snap_layout(struct qv__snap *s, const char *name, struct qv_err *err)
{
    uint64_t at = QV__SNAP_HEAD_BYTES, blocks = 0;
    if (s->n_files > QV__SNAP_FILES_MAX) {
        return qv__fail(err, QV_ETOOBIG, "%s: %" PRIu32 " files, at most %u", name, s->n_files,
                        QV__SNAP_FILES_MAX);
    }
    for (uint32_t i = 0; i < s->n_files; i++) {
        struct qv__snap_file *f = &s->files[i];
        if (!is_file_valid(f, i) || (i > 0 && order(&s->files[i - 1], f) >= 0)) {
            return qv__fail(err, QV_ECORRUPT, "%s: file %" PRIu32 " of the table is out of place",
                            name, i);
        }
        f->at = at;
        f->first_block = blocks;
        if (f->bytes == 0 || f->bytes > (uint64_t)INT64_MAX ||
            __builtin_add_overflow(at, f->bytes, &at) || at > (uint64_t)INT64_MAX) {
            return qv__fail(err, QV_ECORRUPT, "%s: file %" PRIu32 " of %" PRIu64 " bytes", name, i,
                            f->bytes);
        }
        blocks += qv__snap_blocks(f->bytes);
    }
    s->n_blocks = blocks;
    s->table_at = at;
    s->total_bytes = at + (uint64_t)s->n_files * ENTRY_BYTES + blocks * 4 + 4;
    return QV_OK;
}

/* --- head --- */

void qv__snap_head_encode(const struct qv__snap *s, uint8_t out[QV__SNAP_HEAD_BYTES])
{
    size_t n = strlen(s->name);
    qv__format_begin(&head_format, out);
    qv__store_u64(out + 32, s->total_bytes);
    qv__store_u64(out + 40, s->table_at);
    qv__store_u64(out + 48, s->lsn);
    qv__store_u64(out + 56, s->created_ms);
    qv__store_u64(out + 64, s->id);
    qv__store_u64(out + 72, s->n_blocks);
    qv__store_u32(out + 80, s->kind);
    qv__store_u32(out + 84, s->n_files);
    qv__store_u32(out + 88, (uint32_t)QV__SNAP_BLOCK_BYTES);
    qv__store_u32(out + 92, (uint32_t)n);
    memcpy(out + 96, s->db_uuid, sizeof s->db_uuid);
    memcpy(out + 112, s->name, n);
    qv__format_seal(&head_format, out);
}

qv_status qv__snap_head_decode(const uint8_t *p, size_t n, const char *name, struct qv__snap *out,
                               struct qv_err *err)
{
    QV_TRY(qv__format_check(&head_format, p, n, false, name, err));
    struct qv__snap s = {
        .total_bytes = qv__load_u64(p + 32),
        .table_at = qv__load_u64(p + 40),
        .lsn = qv__load_u64(p + 48),
        .created_ms = qv__load_u64(p + 56),
        .id = qv__load_u64(p + 64),
        .n_blocks = qv__load_u64(p + 72),
        .kind = qv__load_u32(p + 80),
        .n_files = qv__load_u32(p + 84),
    };
    uint32_t name_bytes = qv__load_u32(p + 92);
    uint64_t files = (uint64_t)s.n_files * ENTRY_BYTES;
    if (qv__load_u32(p + 88) != QV__SNAP_BLOCK_BYTES || s.n_files == 0 ||
        s.n_files > QV__SNAP_FILES_MAX || s.table_at < QV__SNAP_HEAD_BYTES ||
        s.table_at > s.total_bytes || s.n_files > s.table_at - QV__SNAP_HEAD_BYTES ||
        s.n_blocks > qv__snap_blocks(s.table_at - QV__SNAP_HEAD_BYTES) + s.n_files ||
        s.total_bytes - s.table_at != files + s.n_blocks * 4 + 4) {
        return damaged(err, name, "offset 32: its parts do not fit its length");
    }
    if ((s.kind != QV__SNAP_COLLECTION && s.kind != QV__SNAP_DATABASE) ||
        name_bytes > QV__SNAP_NAME_MAX || (name_bytes == 0) != (s.kind == QV__SNAP_DATABASE) ||
        memchr(p + 112, 0, name_bytes)) {
        return damaged(err, name, "offset 80: of an unknown kind, or with a malformed name");
    }
    memcpy(s.db_uuid, p + 96, sizeof s.db_uuid);
    memcpy(s.name, p + 112, name_bytes);
    *out = s;
    return QV_OK;
}

/* --- table --- */

void qv__snap_table_encode(const struct qv__snap *s, struct qv__buf *out)
{
    size_t start = out->n;
    for (uint32_t i = 0; i < s->n_files; i++) {
        const struct qv__snap_file *f = &s->files[i];
        qv__buf_u16(out, f->kind);
        qv__buf_u16(out, 0);
        qv__buf_u32(out, 0);
        qv__buf_u64(out, f->id);
        qv__buf_u64(out, f->gen);
        qv__buf_u64(out, f->bytes);
        qv__buf_put(out, f->sha256, sizeof f->sha256);
    }
    for (uint64_t k = 0; k < s->n_blocks; k++) {
        qv__buf_u32(out, s->blocks[k]);
    }
    if (!out->failed) {
        qv__buf_u32(out, qv__crc32c(0, out->p + start, out->n - start));
    }
}

qv_status qv__snap_table_decode(struct qv__snap *s, const uint8_t *p, size_t n, const char *name,
                                struct qv__arena *arena, struct qv_err *err)
{
    struct qv__snap want = *s;
    if (n != s->total_bytes - s->table_at || n < 4 ||
        qv__crc32c(0, p, n - 4) != qv__load_u32(p + n - 4)) {
        return damaged(err, name, "table: checksum does not match");
    }
    want.files = qv__arena_calloc(arena, s->n_files, sizeof *want.files);
    want.blocks = qv__arena_calloc(arena, (size_t)s->n_blocks + 1, sizeof *want.blocks);
    if (!want.files || !want.blocks) {
        return qv__fail(err, QV_ENOMEM, "%s: no memory for its table", name);
    }
    struct qv__reader r = qv__reader_of(p, n - 4);
    uint32_t zero = 0;
    for (uint32_t i = 0; i < s->n_files; i++) {
        struct qv__snap_file *f = &want.files[i];
        f->kind = qv__read_u16(&r);
        zero |= qv__read_u16(&r) | qv__read_u32(&r);
        f->id = qv__read_u64(&r);
        f->gen = qv__read_u64(&r);
        f->bytes = qv__read_u64(&r);
        const uint8_t *sum = qv__read_bytes(&r, sizeof f->sha256);
        if (sum) {
            memcpy(f->sha256, sum, sizeof f->sha256);
        }
    }
    for (uint64_t k = 0; k < s->n_blocks; k++) {
        want.blocks[k] = qv__read_u32(&r);
    }
    QV_TRY(qv__snap_layout(&want, name, err));
    if (zero || r.failed || qv__reader_left(&r) != 0 || want.n_blocks != s->n_blocks ||
        want.table_at != s->table_at || want.total_bytes != s->total_bytes) {
        return damaged(err, name, "table: the sizes of its files do not fit its length");
    }
    *s = want;
    return QV_OK;
}

uint32_t qv__snap_block_crc(uint32_t file, uint64_t block, const void *p, size_t n)
{
    uint8_t seed[16] = {0};
    qv__store_u32(seed, file);
    qv__store_u64(seed + 8, block);
    return qv__crc32c(qv__crc32c(0, seed, sizeof seed), p, n);
}

/* --- sum --- */

void qv__snap_sum_encode(const uint8_t sha256[QV__SHA256_BYTES], uint64_t total_bytes,
                         uint8_t out[QV__SNAP_SUM_BYTES])
{
    qv__format_begin(&sum_format, out);
    qv__store_u64(out + 32, total_bytes);
    memcpy(out + 40, sha256, QV__SHA256_BYTES);
    qv__format_seal(&sum_format, out);
}

qv_status qv__snap_sum_decode(const uint8_t *p, size_t n, const char *name, uint64_t total_bytes,
                              uint8_t sha256[QV__SHA256_BYTES], struct qv_err *err)
{
    QV_TRY(qv__format_check(&sum_format, p, n, false, name, err));
    if (n != QV__SNAP_SUM_BYTES || qv__load_u64(p + 32) != total_bytes) {
        return damaged(err, name, "offset 32: of a snapshot of another length");
    }
    memcpy(sha256, p + 40, QV__SHA256_BYTES);
    return QV_OK;
}

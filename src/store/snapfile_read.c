/* snapfile_read.c: reading a snapshot from one file or from a directory.
 *
 * One file is open at a time: the container, or the member last read. A directory's members must
 * have the length that the table says, so that the container's offsets hold. Memory: the table, and
 * one block while verifying. No locks. */
#include <stdatomic.h>
#include <stdio.h>

#include "store/format.h"
#include "store/snapfile.h"

static const char *shown(const struct qv__snap_reader *r)
{
    return r->is_dir ? r->place : "snapshot";
}

/* --- opening --- */

/* The name of a member inside its directory; `file` n_files is the table. */
static void member_name(const struct qv__snap_reader *r, uint32_t file, char out[64])
{
    if (file == r->snap.n_files) {
        snprintf(out, 64, "%s", QV__SNAP_TABLE_NAME);
    } else {
        qv__snap_file_name(&r->snap.files[file], out);
    }
}

static qv_status path_of(const struct qv__snap_reader *r, const char *leaf,
                         char out[QV__IO_NAME_MAX + 1], struct qv_err *err)
{
    int n = snprintf(out, QV__IO_NAME_MAX + 1, "%s%s%s", r->place, *r->place ? "/" : "", leaf);
    return n > 0 && n <= (int)QV__IO_NAME_MAX
               ? QV_OK
               : qv__fail(err, QV_EINVAL, "%s: the name is too long", r->place);
}

static qv_status open_member(struct qv__snap_reader *r, uint32_t file, struct qv_err *err)
{
    char leaf[64], path[QV__IO_NAME_MAX + 1];
    uint64_t size = 0, want = file == r->snap.n_files ? r->snap.total_bytes - r->snap.table_at
                                                      : r->snap.files[file].bytes;
    if (r->file && r->member == file) {
        return QV_OK;
    }
    qv__io_file_close(r->file, NULL); /* nothing was written */
    r->file = NULL;
    member_name(r, file, leaf);
    if (r->naming) {
        qv__mutex_lock(r->naming);
    }
    qv_status st = path_of(r, leaf, path, err);
    if (st == QV_OK) {
        st = qv__io_open(r->io, path, QV__OPEN_READ, &r->file, err);
    }
    if (r->naming) {
        qv__mutex_unlock(r->naming);
    }
    QV_TRY(st);
    r->member = file;
    st = qv__io_size(r->file, &size, err);
    if (st == QV_OK && size != want) {
        st = qv__fail(err, QV_ECORRUPT, "%s: has %" PRIu64 " bytes, was written with %" PRIu64,
                      path, size, want);
    }
    if (st != QV_OK) {
        qv__io_file_close(r->file, NULL);
        r->file = NULL;
    }
    return st;
}

static qv_status read_table(struct qv__snap_reader *r, struct qv_err *err)
{
    uint64_t n = r->snap.total_bytes - r->snap.table_at;
    uint8_t *p = qv__alloc(r->arena.mem, (size_t)n);
    if (!p) {
        return qv__fail(err, QV_ENOMEM, "%s: no memory for a table of %" PRIu64 " bytes", shown(r),
                        n);
    }
    qv_status st = r->is_dir ? open_member(r, r->snap.n_files, err) : QV_OK;
    if (st == QV_OK) {
        st = qv__io_pread(r->file, p, (size_t)n, r->is_dir ? 0 : r->base + r->snap.table_at, err);
    }
    if (st == QV_OK) {
        st = qv__snap_table_decode(&r->snap, p, (size_t)n, shown(r), &r->arena, err);
    }
    qv__free(p);
    return st;
}

qv_status qv__snap_open_file(struct qv__io *io, const char *file, uint64_t base, uint64_t bytes,
                             struct qv__mem *mem, struct qv__snap_reader *out, struct qv_err *err)
{
    uint64_t size = 0;
    memset(out, 0, sizeof *out);
    out->io = io;
    out->base = base;
    qv__arena_init(&out->arena, mem);
    snprintf(out->place, sizeof out->place, "%s", file);
    QV_TRY(qv__io_open(io, file, QV__OPEN_READ, &out->file, err));
    QV_TRY(qv__io_size(out->file, &size, err));
    if (base > size || bytes > size - base || bytes < QV__SNAP_HEAD_BYTES) {
        return qv__fail(err, QV_ECORRUPT, "snapshot: %" PRIu64 " bytes are too few", bytes);
    }
    QV_TRY(qv__io_pread(out->file, out->head, sizeof out->head, base, err));
    QV_TRY(qv__snap_head_decode(out->head, sizeof out->head, "snapshot", &out->snap, err));
    if (out->snap.total_bytes != bytes) {
        return qv__fail(err, QV_ECORRUPT,
                        "snapshot: has %" PRIu64 " bytes, was written with %" PRIu64, bytes,
                        out->snap.total_bytes);
    }
    return read_table(out, err);
}

/* All of a file that is but a head. The caller frees *p. */
static qv_status read_small(struct qv__snap_reader *r, const char *leaf, void **p, size_t *n,
                            struct qv_err *err)
{
    char path[QV__IO_NAME_MAX + 1];
    QV_TRY(path_of(r, leaf, path, err));
    qv_status st = qv__io_read_file(r->io, path, QV__FORMAT_HEAD_MAX, r->arena.mem, p, n, err);
    return st == QV_ETOOBIG ? qv__wrap(err, QV_ECORRUPT, "snapshot") : st;
}

/* The length is looked at last: the head of another version may have another, and tells which. */
static qv_status read_head(struct qv__snap_reader *r, const char *dir, struct qv_err *err)
{
    void *p = NULL;
    size_t n = 0;
    QV_TRY(read_small(r, QV__SNAP_HEAD_NAME, &p, &n, err));
    qv_status st = qv__snap_head_decode(p, n, dir, &r->snap, err);
    if (st == QV_OK && n != sizeof r->head) {
        st = qv__fail(err, QV_ECORRUPT, "%s: its head has %zu bytes", dir, n);
    }
    if (st == QV_OK) {
        memcpy(r->head, p, sizeof r->head);
    }
    qv__free(p);
    return st;
}

static qv_status read_sum(struct qv__snap_reader *r, const char *dir, struct qv_err *err)
{
    void *p = NULL;
    size_t n = 0;
    QV_TRY(read_small(r, QV__SNAP_SUM_NAME, &p, &n, err));
    qv_status st = qv__snap_sum_decode(p, n, dir, r->snap.total_bytes, r->sum, err);
    qv__free(p);
    return st;
}

qv_status qv__snap_open_dir(struct qv__io *io, const char *dir, struct qv__mem *mem,
                            struct qv__snap_reader *out, struct qv_err *err)
{
    memset(out, 0, sizeof *out);
    out->io = io;
    out->is_dir = true;
    qv__arena_init(&out->arena, mem);
    snprintf(out->place, sizeof out->place, "%s", dir);
    QV_TRY(read_head(out, dir, err));
    QV_TRY(read_sum(out, dir, err));
    return read_table(out, err);
}

void qv__snap_close(struct qv__snap_reader *r)
{
    qv__io_file_close(r->file, NULL); /* nothing was written */
    if (r->arena.mem) {
        qv__arena_free(&r->arena);
    }
    memset(r, 0, sizeof *r);
}

/* --- reading --- */

qv_status qv__snap_read(struct qv__snap_reader *r, uint32_t file, uint64_t at, void *buf, size_t n,
                        struct qv_err *err)
{
    const struct qv__snap_file *f = &r->snap.files[file];
    if (at > f->bytes || n > f->bytes - at) {
        return qv__fail(err, QV_ECORRUPT, "%s: file %" PRIu32 " ends before %" PRIu64, shown(r),
                        file, at + n);
    }
    if (r->is_dir) {
        QV_TRY(open_member(r, file, err));
        return qv__io_pread(r->file, buf, n, at, err);
    }
    return qv__io_pread(r->file, buf, n, r->base + f->at + at, err);
}

/* The file of the container that byte `at` lies in; n_files: the table. */
static uint32_t file_at(const struct qv__snap *s, uint64_t at)
{
    uint32_t lo = 0, hi = s->n_files;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (at < s->files[mid].at + s->files[mid].bytes) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return lo;
}

qv_status qv__snap_stream(struct qv__snap_reader *r, uint64_t at, void *buf, size_t n, size_t *got,
                          struct qv_err *err)
{
    const struct qv__snap *s = &r->snap;
    *got = 0;
    if (at >= s->total_bytes || n == 0) {
        return QV_OK;
    }
    if (!r->is_dir) {
        *got = (size_t)QV_MIN((uint64_t)n, s->total_bytes - at);
        return qv__io_pread(r->file, buf, *got, r->base + at, err);
    }
    if (at < QV__SNAP_HEAD_BYTES) {
        *got = QV_MIN(n, (size_t)(QV__SNAP_HEAD_BYTES - at));
        memcpy(buf, r->head + at, *got);
        return QV_OK;
    }
    uint32_t file = file_at(s, at);
    uint64_t from = file < s->n_files ? s->files[file].at : s->table_at;
    uint64_t to = file < s->n_files ? from + s->files[file].bytes : s->total_bytes;
    *got = (size_t)QV_MIN((uint64_t)n, to - at);
    QV_TRY(open_member(r, file, err));
    return qv__io_pread(r->file, buf, *got, at - from, err);
}

/* --- verifying --- */

static qv_status verify_file(struct qv__snap_reader *r, uint32_t i, uint8_t *block,
                             const _Atomic bool *cancel, struct qv__sha256 *whole,
                             struct qv_err *err)
{
    const struct qv__snap_file *f = &r->snap.files[i];
    struct qv__sha256 own;
    uint8_t digest[QV__SHA256_BYTES];
    char name[64];
    qv__sha256_init(&own);
    qv__snap_file_name(f, name);
    for (uint64_t k = 0; k < qv__snap_blocks(f->bytes); k++) {
        uint64_t at = k * QV__SNAP_BLOCK_BYTES;
        size_t n = (size_t)QV_MIN((uint64_t)QV__SNAP_BLOCK_BYTES, f->bytes - at);
        if (cancel && atomic_load(cancel)) {
            return qv__fail(err, QV_ECANCELLED, "%s: verifying was cancelled", shown(r));
        }
        QV_TRY(qv__snap_read(r, i, at, block, n, err));
        if (qv__snap_block_crc(i, k, block, n) != r->snap.blocks[f->first_block + k]) {
            return qv__fail(err, QV_ECORRUPT,
                            "%s: %s: offset %" PRIu64 ": checksum of the block does not match",
                            shown(r), name, at);
        }
        qv__sha256_add(&own, block, n);
        qv__sha256_add(whole, block, n);
    }
    qv__sha256_end(&own, digest);
    return memcmp(digest, f->sha256, sizeof digest) == 0
               ? QV_OK
               : qv__fail(err, QV_ECORRUPT, "%s: %s: SHA-256 does not match", shown(r), name);
}

qv_status qv__snap_verify(struct qv__snap_reader *r, const _Atomic bool *cancel,
                          uint8_t sum[QV__SHA256_BYTES], struct qv_err *err)
{
    struct qv__sha256 whole;
    struct qv__buf table;
    uint8_t *block = qv__alloc(r->arena.mem, QV__SNAP_BLOCK_BYTES);
    qv__buf_init(&table, r->arena.mem);
    qv__sha256_init(&whole);
    qv_status st = block ? QV_OK : qv__fail(err, QV_ENOMEM, "%s: no memory to verify it", shown(r));
    qv__sha256_add(&whole, r->head, sizeof r->head);
    for (uint32_t i = 0; st == QV_OK && i < r->snap.n_files; i++) {
        st = verify_file(r, i, block, cancel, &whole, err);
    }
    if (st == QV_OK) {
        qv__snap_table_encode(&r->snap, &table);
        st = qv__buf_status(&table, err);
    }
    if (st == QV_OK) {
        qv__sha256_add(&whole, table.p, table.n);
        qv__sha256_end(&whole, sum);
        if (r->is_dir && memcmp(sum, r->sum, QV__SHA256_BYTES) != 0) {
            st = qv__fail(err, QV_ECORRUPT, "%s: SHA-256 of the whole does not match", r->place);
        }
    }
    qv__buf_free(&table);
    qv__free(block);
    return st;
}

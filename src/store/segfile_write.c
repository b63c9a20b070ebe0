/* segfile_write.c: writing a segment file front to back.
 *
 * Bytes go through one buffer of 1 MiB that always starts on a block of the data area; whole blocks
 * leave it with their checksum. How a section is aligned depends on its size, which is known only
 * later: a section starts on 64 bytes, and when it reaches 64 KiB on a place that is no multiple of
 * 4 KiB, its first bytes, which are still in the buffer, are moved up. To make that always
 * possible, the buffer is emptied of whole blocks before a section begins.
 *
 * The head comes last: a file without it is nothing. A failed write ends the writer: every later
 * call gives the same error. Memory: the buffer and 4 bytes per block. No locks. */
#include <stdio.h>

#include "store/segfile_format.h"
#include "store/staged.h"

#define BUFFER_BYTES ((size_t)1 << 20)

struct qv__segw {
    struct qv__mem *mem;
    struct qv__staged staged;
    uint64_t file_id;
    uint8_t *buf;        /* BUFFER_BYTES */
    size_t n;            /* bytes in it */
    uint64_t buf_off;    /* its place in the data area: a multiple of the block size */
    struct qv__buf crcs; /* u32 per finished block */
    struct qv__seg_entry entries[QV__SECTIONS_MAX];
    unsigned n_entries;
    bool is_open;   /* a section is */
    bool is_placed; /* the open section is where it stays */
    qv_status failed;
    struct qv_err why;
};

static qv_status fail_for_good(struct qv__segw *w, struct qv_err *err)
{
    w->failed = w->why.code;
    if (err) {
        *err = w->why;
    }
    return w->failed;
}

static qv_status usage(struct qv__segw *w, struct qv_err *err, const char *what)
{
    return qv__fail(err, QV_EINVAL, "%s: %s", w->staged.name, what);
}

static qv_status check_usable(const struct qv__segw *w, struct qv_err *err)
{
    if (w->failed != QV_OK && err) {
        *err = w->why;
    }
    return w->failed;
}

/* Write the first `n` bytes of the buffer, which are whole blocks or the last one. */
static qv_status write_blocks(struct qv__segw *w, size_t n, struct qv_err *err)
{
    for (size_t at = 0; at < n; at += QV__SEG_BLOCK_BYTES) {
        uint64_t block = (w->buf_off + at) / QV__SEG_BLOCK_BYTES;
        size_t m = QV_MIN(n - at, QV__SEG_BLOCK_BYTES);
        qv__buf_u32(&w->crcs, qv__crc32c(qv__seg_crc_seed(w->file_id, block), w->buf + at, m));
    }
    w->why.code = qv__buf_status(&w->crcs, &w->why);
    if (w->why.code == QV_OK && n > 0) {
        w->why.code =
            qv__io_pwrite(w->staged.file, w->buf, n, QV__SEG_DATA_OFF + w->buf_off, &w->why);
    }
    if (w->why.code != QV_OK) {
        return fail_for_good(w, err);
    }
    w->buf_off += n;
    w->n -= n;
    memmove(w->buf, w->buf + n, w->n);
    return QV_OK;
}

/* Zero bytes up to a multiple of `align` of the data area; there is room. The data area itself
 * begins on a page, so alignment in it is alignment in the file. */
static void pad(struct qv__segw *w, size_t align)
{
    size_t n = QV_ALIGN_UP(w->n, align) - w->n; /* buf_off is a multiple of both */
    memset(w->buf + w->n, 0, n);
    w->n += n;
}

qv_status qv__segw_create(struct qv__blobs *blobs, struct qv__mem *mem, uint64_t file_id,
                          struct qv__segw **out, struct qv_err *err)
{
    char leaf[64];
    struct qv__segw *w = (struct qv__segw *)qv__zalloc(mem, sizeof *w);
    if (w) {
        w->buf = (uint8_t *)qv__alloc(mem, BUFFER_BYTES);
    }
    if (!w || !w->buf) {
        qv__free(w);
        return qv__fail(err, QV_ENOMEM, "segment file: no memory to write one");
    }
    w->mem = mem;
    w->file_id = file_id;
    qv__buf_init(&w->crcs, mem);
    snprintf(leaf, sizeof leaf, "seg-%016" PRIx64, file_id);
    qv_status st = qv__staged_create(blobs, leaf, &w->staged, err);
    if (st != QV_OK) {
        qv__segw_abort(w);
        return st;
    }
    *out = w;
    return QV_OK;
}

qv_status qv__segw_begin(struct qv__segw *w, uint16_t kind, uint16_t column, struct qv_err *err)
{
    QV_TRY(check_usable(w, err));
    if (w->is_open) {
        return usage(w, err, "a section is open");
    }
    if (w->n_entries == QV__SECTIONS_MAX) {
        return qv__fail(err, QV_ETOOBIG, "%s: more than %u sections", w->staged.name,
                        QV__SECTIONS_MAX);
    }
    for (unsigned i = 0; i < w->n_entries; i++) {
        if (w->entries[i].kind == kind && w->entries[i].column == column) {
            return usage(w, err, "this section was written before");
        }
    }
    QV_TRY(write_blocks(w, w->n - w->n % QV__SEG_BLOCK_BYTES, err));
    pad(w, QV__SEG_ALIGN);
    w->entries[w->n_entries] = (struct qv__seg_entry){kind, column, w->buf_off + w->n, 0};
    w->is_open = true;
    w->is_placed = false;
    return QV_OK;
}

/* The open section has become big: move its start, which is in the buffer, to a page. */
static void place_big(struct qv__segw *w)
{
    struct qv__seg_entry *e = &w->entries[w->n_entries];
    size_t at = (size_t)(e->off - w->buf_off), to = QV_ALIGN_UP(at, QV__SEG_BIG_ALIGN);
    memmove(w->buf + to, w->buf + at, w->n - at);
    memset(w->buf + at, 0, to - at);
    w->n += to - at;
    e->off += to - at;
    w->is_placed = true;
}

qv_status qv__segw_write(struct qv__segw *w, const void *p, size_t n, struct qv_err *err)
{
    QV_TRY(check_usable(w, err));
    if (!w->is_open) {
        return usage(w, err, "no section is open");
    }
    struct qv__seg_entry *e = &w->entries[w->n_entries];
    const uint8_t *from = (const uint8_t *)p;
    while (n > 0) {
        size_t m = QV_MIN(n, BUFFER_BYTES - w->n);
        if (!w->is_placed && e->bytes < QV__SEG_BLOCK_BYTES) {
            m = QV_MIN(m, QV__SEG_BLOCK_BYTES - (size_t)e->bytes);
        }
        memcpy(w->buf + w->n, from, m);
        w->n += m;
        e->bytes += m;
        from += m;
        n -= m;
        if (!w->is_placed && e->bytes == QV__SEG_BLOCK_BYTES) {
            place_big(w); /* at most two blocks and a page are in the buffer */
        }
        if (w->n == BUFFER_BYTES) {
            QV_TRY(write_blocks(w, w->n, err));
        }
    }
    return QV_OK;
}

qv_status qv__segw_end(struct qv__segw *w, struct qv_err *err)
{
    QV_TRY(check_usable(w, err));
    if (!w->is_open) {
        return usage(w, err, "no section is open");
    }
    w->is_open = false;
    w->n_entries++;
    return QV_OK;
}

qv_status qv__segw_put(struct qv__segw *w, uint16_t kind, uint16_t column, const void *p, size_t n,
                       struct qv_err *err)
{
    QV_TRY(qv__segw_begin(w, kind, column, err));
    QV_TRY(qv__segw_write(w, p, n, err));
    return qv__segw_end(w, err);
}

/* The last block, the table of checksums, the head. */
static qv_status write_rest(struct qv__segw *w, uint64_t *file_bytes, struct qv_err *err)
{
    uint8_t head[QV__SEG_HEAD_BYTES];
    size_t whole = w->n - w->n % QV__SEG_BLOCK_BYTES;
    QV_TRY(write_blocks(w, whole, err));
    pad(w, QV__SEG_ALIGN);
    QV_TRY(write_blocks(w, w->n, err));
    uint64_t table_off = QV__SEG_DATA_OFF + w->buf_off;
    uint64_t total = table_off + w->crcs.n;
    uint32_t table_crc = qv__seg_crc_seed(w->file_id, UINT64_MAX);
    if (w->crcs.n > 0) {
        table_crc = qv__crc32c(table_crc, w->crcs.p, w->crcs.n);
        QV_TRY(qv__io_pwrite(w->staged.file, w->crcs.p, w->crcs.n, table_off, err));
    }
    qv__format_begin(&qv__seg_format, head);
    qv__store_u64(head + 32, w->file_id);
    qv__store_u64(head + 40, total);
    qv__store_u64(head + 48, table_off);
    qv__store_u64(head + 56, w->crcs.n / 4);
    qv__store_u32(head + 64, (uint32_t)QV__SEG_BLOCK_BYTES);
    qv__store_u32(head + 68, w->n_entries);
    qv__store_u32(head + 72, table_crc);
    for (unsigned i = 0; i < w->n_entries; i++) {
        uint8_t *at = head + QV__SEG_ENTRIES_OFF + (size_t)i * QV__SEG_ENTRY_BYTES;
        qv__store_u16(at, w->entries[i].kind);
        qv__store_u16(at + 2, w->entries[i].column);
        qv__store_u64(at + 8, QV__SEG_DATA_OFF + w->entries[i].off);
        qv__store_u64(at + 16, w->entries[i].bytes);
    }
    qv__format_seal(&qv__seg_format, head);
    *file_bytes = total;
    return qv__io_pwrite(w->staged.file, head, sizeof head, 0, err);
}

qv_status qv__segw_finish(struct qv__segw *w, const char *name, uint64_t *file_bytes,
                          struct qv_err *err)
{
    uint64_t total = 0;
    qv_status st = check_usable(w, err);
    if (st == QV_OK && w->is_open) {
        st = usage(w, err, "a section is open");
    }
    if (st == QV_OK) {
        st = write_rest(w, &total, err);
    }
    if (st == QV_OK) {
        st = qv__staged_adopt(&w->staged, name, err);
    }
    if (st == QV_OK && file_bytes) {
        *file_bytes = total;
    }
    qv__segw_abort(w);
    return st;
}

void qv__segw_abort(struct qv__segw *w)
{
    if (!w) {
        return;
    }
    qv__staged_abort(&w->staged);
    qv__buf_free(&w->crcs);
    qv__free(w->buf);
    qv__free(w);
}

/* segfile_copy.c: copying a segment file block by block under a new id.
 *
 * The old table of checksums comes first, since blocks are judged by it; then each block is read,
 * judged, edited, summed again and written to its old place; then table and head. Memory: one block
 * and both tables (8 bytes per 64 KiB). No locks. */
#include "store/segfile_copy.h"

#include "store/segfile_format.h"
#include "store/staged.h"

struct copy {
    const struct qv__segcopy *from;
    struct qv__staged staged;
    struct qv__seg_shape shape;
    uint64_t file_id;
    uint8_t *head;  /* QV__SEG_HEAD_BYTES */
    uint8_t *block; /* QV__SEG_BLOCK_BYTES */
    uint8_t *old_table, *new_table;
};

static qv_status read_head(struct copy *c, struct qv_err *err)
{
    const struct qv__segcopy *from = c->from;
    if (from->file_bytes < QV__SEG_HEAD_BYTES) {
        return qv__fail(err, QV_ECORRUPT, "%s: %" PRIu64 " bytes are too few for a segment file",
                        from->name, from->file_bytes);
    }
    QV_TRY(from->read(from->ctx, 0, c->head, QV__SEG_HEAD_BYTES, err));
    return qv__seg_head_read(c->head, QV__SEG_HEAD_BYTES, from->file_bytes, from->file_id,
                             from->file_bytes, from->name, &c->shape, err);
}

/* Both tables; their length was held against the file's. */
static qv_status read_table(struct copy *c, struct qv__mem *mem, struct qv_err *err)
{
    const struct qv__segcopy *from = c->from;
    size_t n = (size_t)c->shape.n_blocks * 4;
    c->old_table = (uint8_t *)qv__alloc(mem, n + 1);
    c->new_table = (uint8_t *)qv__alloc(mem, n + 1);
    if (!c->old_table || !c->new_table) {
        return qv__fail(err, QV_ENOMEM, "%s: no memory for its checksums", from->name);
    }
    QV_TRY(from->read(from->ctx, c->shape.table_off, c->old_table, n, err));
    uint32_t crc = qv__seg_crc_seed(from->file_id, UINT64_MAX);
    if (qv__crc32c(crc, c->old_table, n) != c->shape.table_crc) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: table of checksums: offset %" PRIu64 ": its own does not match",
                        from->name, c->shape.table_off);
    }
    return QV_OK;
}

/* Offer what the block, bytes [at, at + n) of the file, holds of each section. */
static void edit_block(struct copy *c, uint64_t at, size_t n)
{
    for (uint32_t i = 0; i < c->shape.n_sections; i++) {
        const struct qv__seg_entry *e = &c->shape.sections[i];
        uint64_t from = QV_MAX(e->off, at), to = QV_MIN(e->off + e->bytes, at + n);
        if (from < to) {
            c->from->edit(c->from->ctx, e->kind, e->column, from - e->off, c->block + (from - at),
                          (size_t)(to - from));
        }
    }
}

static qv_status copy_block(struct copy *c, uint64_t k, struct qv_err *err)
{
    const struct qv__segcopy *from = c->from;
    uint64_t at = QV__SEG_DATA_OFF + k * QV__SEG_BLOCK_BYTES;
    size_t n = (size_t)QV_MIN((uint64_t)QV__SEG_BLOCK_BYTES, c->shape.table_off - at);
    QV_TRY(from->read(from->ctx, at, c->block, n, err));
    if (qv__crc32c(qv__seg_crc_seed(from->file_id, k), c->block, n) !=
        qv__load_u32(c->old_table + k * 4)) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: offset %" PRIu64 ": checksum of the block of %zu bytes does not match",
                        from->name, at, n);
    }
    if (from->edit) {
        edit_block(c, at, n);
    }
    qv__store_u32(c->new_table + k * 4, qv__crc32c(qv__seg_crc_seed(c->file_id, k), c->block, n));
    return qv__io_pwrite(c->staged.file, c->block, n, at, err);
}

/* The new table and, last, the head: a file without it is nothing. */
static qv_status write_rest(struct copy *c, struct qv_err *err)
{
    size_t n = (size_t)c->shape.n_blocks * 4;
    uint32_t crc = qv__crc32c(qv__seg_crc_seed(c->file_id, UINT64_MAX), c->new_table, n);
    if (n > 0) {
        QV_TRY(qv__io_pwrite(c->staged.file, c->new_table, n, c->shape.table_off, err));
    }
    qv__store_u64(c->head + 32, c->file_id);
    qv__store_u32(c->head + 72, crc);
    qv__format_seal(&qv__seg_format, c->head);
    return qv__io_pwrite(c->staged.file, c->head, QV__SEG_HEAD_BYTES, 0, err);
}

static qv_status copy_all(struct copy *c, struct qv__mem *mem, struct qv_err *err)
{
    QV_TRY(read_head(c, err));
    QV_TRY(read_table(c, mem, err));
    for (uint64_t k = 0; k < c->shape.n_blocks; k++) {
        QV_TRY(copy_block(c, k, err));
    }
    return write_rest(c, err);
}

qv_status qv__segfile_copy(const struct qv__segcopy *from, struct qv__blobs *blobs,
                           struct qv__mem *mem, uint64_t file_id, const char *as,
                           struct qv_err *err)
{
    struct copy c = {.from = from, .file_id = file_id};
    c.head = (uint8_t *)qv__alloc(mem, QV__SEG_HEAD_BYTES);
    c.block = (uint8_t *)qv__alloc(mem, QV__SEG_BLOCK_BYTES);
    qv_status st = c.head && c.block
                       ? qv__staged_create(blobs, as, &c.staged, err)
                       : qv__fail(err, QV_ENOMEM, "%s: no memory to copy it", from->name);
    if (st == QV_OK) {
        st = copy_all(&c, mem, err);
    }
    if (st == QV_OK) {
        st = qv__staged_adopt(&c.staged, as, err);
    }
    qv__staged_abort(&c.staged);
    qv__free(c.head);
    qv__free(c.block);
    qv__free(c.old_table);
    qv__free(c.new_table);
    return st;
}

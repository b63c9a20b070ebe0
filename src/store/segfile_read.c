/* segfile_read.c: opening a segment file and handing out its sections in place.
 *
 * Nothing of the head is believed before its checksum, and nothing of the table before it was
 * compared with the length of the mapping: a section that was handed out lies inside it. The bytes
 * themselves are checked block by block, at open (verify) or when the engine scrubs: 64 KiB blocks
 * whose checksum begins with the file's id and the block's number, so a block of another file, or
 * of another place in this one, does not pass. Memory: the object; bytes belong to the mapping. No
 * locks; an open file never changes. */
#include <stdio.h>

#include "store/segfile_format.h"

struct qv__segfile {
    struct qv__blobs *blobs; /* borrowed */
    struct qv__map_view view;
    uint64_t file_id;
    uint64_t table_off;
    uint64_t n_blocks;
    uint32_t table_crc;
    uint32_t n_sections;
    struct qv__seg_entry sections[QV__SECTIONS_MAX]; /* by offset */
    char name[];
};

/* --- open --- */

static qv_status check_shape(struct qv__segfile *f, uint64_t expected_bytes, struct qv_err *err)
{
    const uint8_t *head = f->view.p;
    uint64_t id = qv__load_u64(head + 32), bytes = qv__load_u64(head + 40);
    uint64_t table_off = qv__load_u64(head + 48), n_blocks = qv__load_u64(head + 56);
    if (id != f->file_id) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: offset 32: is file %" PRIu64 ", expected file %" PRIu64, f->name, id,
                        f->file_id);
    }
    if (bytes != f->view.n || (expected_bytes && bytes != expected_bytes)) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: has %zu bytes; its head says %" PRIu64 ", the manifest %" PRIu64,
                        f->name, f->view.n, bytes, expected_bytes ? expected_bytes : bytes);
    }
    if (qv__load_u32(head + 64) != QV__SEG_BLOCK_BYTES || table_off < QV__SEG_DATA_OFF ||
        table_off > bytes || table_off % QV__SEG_ALIGN != 0 ||
        n_blocks !=
            (table_off - QV__SEG_DATA_OFF + QV__SEG_BLOCK_BYTES - 1) / QV__SEG_BLOCK_BYTES ||
        bytes - table_off != n_blocks * 4) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: offset 48: blocks and their table do not fit the file", f->name);
    }
    f->table_off = table_off;
    f->n_blocks = n_blocks;
    f->table_crc = qv__load_u32(head + 72);
    return QV_OK;
}

static qv_status read_sections(struct qv__segfile *f, struct qv_err *err)
{
    const uint8_t *head = f->view.p;
    uint32_t n = qv__load_u32(head + 68);
    uint64_t end = QV__SEG_DATA_OFF;
    if (n > QV__SECTIONS_MAX) {
        return qv__fail(err, QV_ECORRUPT, "%s: offset 68: %" PRIu32 " sections", f->name, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        size_t at = QV__SEG_ENTRIES_OFF + (size_t)i * QV__SEG_ENTRY_BYTES;
        struct qv__seg_entry e = {
            .kind = qv__load_u16(head + at),
            .column = qv__load_u16(head + at + 2),
            .off = qv__load_u64(head + at + 8),
            .bytes = qv__load_u64(head + at + 16),
        };
        uint64_t align = e.bytes >= QV__SEG_BLOCK_BYTES ? QV__SEG_BIG_ALIGN : QV__SEG_ALIGN;
        if (e.off < end || e.off % align != 0 || e.off > f->table_off ||
            e.bytes > f->table_off - e.off) {
            return qv__fail(err, QV_ECORRUPT,
                            "%s: offset %zu: section %u of column %u does not lie where it may",
                            f->name, at, (unsigned)e.kind, (unsigned)e.column);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (f->sections[j].kind == e.kind && f->sections[j].column == e.column) {
                return qv__fail(err, QV_ECORRUPT,
                                "%s: offset %zu: section %u of column %u is there twice", f->name,
                                at, (unsigned)e.kind, (unsigned)e.column);
            }
        }
        end = e.off + e.bytes;
        f->sections[i] = e;
    }
    f->n_sections = n;
    return QV_OK;
}

qv_status qv__segfile_open(struct qv__blobs *blobs, const char *name, struct qv__mem *mem,
                           uint64_t file_id, uint64_t expected_bytes, bool verify,
                           struct qv__segfile **out, struct qv_err *err)
{
    size_t n = strlen(name) + 1;
    struct qv__segfile *f = (struct qv__segfile *)qv__zalloc(mem, sizeof *f + n);
    if (!f) {
        return qv__fail(err, QV_ENOMEM, "%s: no memory to open it", name);
    }
    memcpy(f->name, name, n);
    f->blobs = blobs;
    f->file_id = file_id;
    qv_status st = blobs->ops->map(blobs, name, &f->view, err);
    if (st == QV_OK) {
        st = qv__format_check(&qv__seg_format, f->view.p, f->view.n, false, f->name, err);
    }
    if (st == QV_OK) {
        st = check_shape(f, expected_bytes, err);
    }
    if (st == QV_OK) {
        st = read_sections(f, err);
    }
    if (st == QV_OK && verify) {
        st = qv__segfile_verify(f, err);
    }
    if (st != QV_OK) {
        qv__segfile_close(f);
        return st;
    }
    *out = f;
    return QV_OK;
}

void qv__segfile_close(struct qv__segfile *f)
{
    if (f) {
        f->blobs->ops->unmap(f->blobs, &f->view);
        qv__free(f);
    }
}

/* --- bytes --- */

struct qv__bytes qv__segfile_section(const struct qv__segfile *f, uint16_t kind, uint16_t column)
{
    for (uint32_t i = 0; i < f->n_sections; i++) {
        const struct qv__seg_entry *e = &f->sections[i];
        if (e->kind == kind && e->column == column) {
            return (struct qv__bytes){f->view.p + e->off, (size_t)e->bytes};
        }
    }
    return (struct qv__bytes){NULL, 0};
}

uint64_t qv__segfile_bytes(const struct qv__segfile *f)
{
    return f->view.n;
}

void qv__segfile_advise(const struct qv__segfile *f, struct qv__bytes section,
                        enum qv__advice advice)
{
    if (section.p && section.p >= f->view.p && section.p <= f->view.p + f->view.n) {
        qv__io_advise(f->blobs->staging_io, &f->view, (size_t)(section.p - f->view.p), section.n,
                      advice);
    }
}

/* Say what lies in a damaged block: the first section that overlaps it. */
static qv_status damaged(const struct qv__segfile *f, uint64_t from, uint64_t to,
                         struct qv_err *err)
{
    for (uint32_t i = 0; i < f->n_sections; i++) {
        const struct qv__seg_entry *e = &f->sections[i];
        if (e->off < to && e->off + e->bytes > from) {
            return qv__fail(err, QV_ECORRUPT,
                            "%s: section %u of column %u: offset %" PRIu64 ": checksum of the block"
                            " of %" PRIu64 " bytes does not match",
                            f->name, (unsigned)e->kind, (unsigned)e->column, from, to - from);
        }
    }
    return qv__fail(err, QV_ECORRUPT,
                    "%s: padding: offset %" PRIu64 ": checksum of the block of %" PRIu64
                    " bytes does not match",
                    f->name, from, to - from);
}

qv_status qv__segfile_verify(const struct qv__segfile *f, struct qv_err *err)
{
    const uint8_t *table = f->view.p + f->table_off;
    uint32_t crc = qv__seg_crc_seed(f->file_id, UINT64_MAX);
    if (qv__crc32c(crc, table, (size_t)f->n_blocks * 4) != f->table_crc) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: table of checksums: offset %" PRIu64 ": its own does not match",
                        f->name, f->table_off);
    }
    for (uint64_t block = 0; block < f->n_blocks; block++) {
        uint64_t from = QV__SEG_DATA_OFF + block * QV__SEG_BLOCK_BYTES;
        uint64_t to = QV_MIN(from + QV__SEG_BLOCK_BYTES, f->table_off);
        crc =
            qv__crc32c(qv__seg_crc_seed(f->file_id, block), f->view.p + from, (size_t)(to - from));
        if (crc != qv__load_u32(table + block * 4)) {
            return damaged(f, from, to, err);
        }
    }
    return QV_OK;
}

/* segfile_format.c: what the head of a segment file says, checked against the file's length.
 *
 * Nothing of the head is believed before its checksum, and nothing of the table before it was
 * compared with the length: a section that passed lies inside the file. No state, no memory. */
#include "store/segfile_format.h"

static qv_status check_shape(struct qv__seg_shape *f, const uint8_t *head, uint64_t file_bytes,
                             uint64_t expected_bytes, const char *name, struct qv_err *err)
{
    uint64_t id = qv__load_u64(head + 32), bytes = qv__load_u64(head + 40);
    uint64_t table_off = qv__load_u64(head + 48), n_blocks = qv__load_u64(head + 56);
    if (id != f->file_id) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: offset 32: is file %" PRIu64 ", expected file %" PRIu64, name, id,
                        f->file_id);
    }
    if (bytes != file_bytes || (expected_bytes && bytes != expected_bytes)) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: has %" PRIu64 " bytes; its head says %" PRIu64
                        ", the manifest %" PRIu64,
                        name, file_bytes, bytes, expected_bytes ? expected_bytes : bytes);
    }
    if (qv__load_u32(head + 64) != QV__SEG_BLOCK_BYTES || table_off < QV__SEG_DATA_OFF ||
        table_off > bytes || table_off % QV__SEG_ALIGN != 0 ||
        n_blocks !=
            (table_off - QV__SEG_DATA_OFF + QV__SEG_BLOCK_BYTES - 1) / QV__SEG_BLOCK_BYTES ||
        bytes - table_off != n_blocks * 4) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: offset 48: blocks and their table do not fit the file", name);
    }
    f->table_off = table_off;
    f->n_blocks = n_blocks;
    f->table_crc = qv__load_u32(head + 72);
    return QV_OK;
}

static qv_status read_sections(struct qv__seg_shape *f, const uint8_t *head, const char *name,
                               struct qv_err *err)
{
    uint32_t n = qv__load_u32(head + 68);
    uint64_t end = QV__SEG_DATA_OFF;
    if (n > QV__SECTIONS_MAX) {
        return qv__fail(err, QV_ECORRUPT, "%s: offset 68: %" PRIu32 " sections", name, n);
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
                            name, at, (unsigned)e.kind, (unsigned)e.column);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (f->sections[j].kind == e.kind && f->sections[j].column == e.column) {
                return qv__fail(err, QV_ECORRUPT,
                                "%s: offset %zu: section %u of column %u is there twice", name, at,
                                (unsigned)e.kind, (unsigned)e.column);
            }
        }
        end = e.off + e.bytes;
        f->sections[i] = e;
    }
    f->n_sections = n;
    return QV_OK;
}

qv_status qv__seg_head_read(const uint8_t *head, size_t n, uint64_t file_bytes, uint64_t file_id,
                            uint64_t expected_bytes, const char *name, struct qv__seg_shape *out,
                            struct qv_err *err)
{
    QV_TRY(qv__format_check(&qv__seg_format, head, n, false, name, err));
    out->file_id = file_id;
    QV_TRY(check_shape(out, head, file_bytes, expected_bytes, name, err));
    return read_sections(out, head, name, err);
}

/* segfile_read.c: opening a segment file and handing out its sections in place.
 *
 * Nothing of the head is believed before its checksum, and nothing of the table before it was
 * compared with the length of the mapping: a section that was handed out lies inside it. The bytes
 * themselves are checked block by block, at open (verify) or when the engine scrubs: 64 KiB blocks
 * whose checksum begins with the file's id and the block's number, so a block of another file, or
 * of another place in this one, does not pass. Memory: the object; bytes belong to the mapping. No
 * locks; an open file never changes. */
#include <stdio.h>

#include "base/plant.h"
#include "store/segfile_format.h"

struct qv__segfile {
    struct qv__blobs *blobs; /* borrowed */
    struct qv__map_view view;
    struct qv__seg_shape shape;
    uint32_t last_word; /* of the file, at open */
    char name[];
};

/* --- open --- */

/* The last checksum of the table, or of the head: never 0 but by chance. */
static uint32_t last_word(const struct qv__segfile *f)
{
    const volatile uint8_t *end = f->view.p + f->view.n;
    return (uint32_t)end[-4] | (uint32_t)end[-3] << 8 | (uint32_t)end[-2] << 16 |
           (uint32_t)end[-1] << 24;
}

bool qv__segfile_sound(const struct qv__segfile *f)
{
    /* A cut inside a page is no fault: the rest of the page is zeros. Any cut takes the last word.
     */
    bool is_same = last_word(f) == f->last_word;
    return is_same && !qv__map_failed(&f->view);
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
    qv_status st = blobs->ops->map(blobs, name, &f->view, err);
    if (st == QV_OK) {
        st = qv__seg_head_read(f->view.p, f->view.n, f->view.n, file_id, expected_bytes, f->name,
                               &f->shape, err);
    }
    if (st == QV_OK) {
        f->last_word = last_word(f);
    }
    if (st == QV_OK && verify) {
        st = qv__segfile_verify(f, err);
    }
    if (st == QV_OK ? !qv__segfile_sound(f) : qv__map_failed(&f->view)) {
        st = qv__fail(err, QV_EIO, "%s: it was cut short or cannot be read", f->name);
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
    for (uint32_t i = 0; i < f->shape.n_sections; i++) {
        const struct qv__seg_entry *e = &f->shape.sections[i];
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
    for (uint32_t i = 0; i < f->shape.n_sections; i++) {
        const struct qv__seg_entry *e = &f->shape.sections[i];
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
    if (QV_PLANT(skip_block_checksum)) {
        return QV_OK;
    }
    const uint8_t *table = f->view.p + f->shape.table_off;
    uint32_t crc = qv__seg_crc_seed(f->shape.file_id, UINT64_MAX);
    if (qv__crc32c(crc, table, (size_t)f->shape.n_blocks * 4) != f->shape.table_crc) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: table of checksums: offset %" PRIu64 ": its own does not match",
                        f->name, f->shape.table_off);
    }
    for (uint64_t block = 0; block < f->shape.n_blocks; block++) {
        uint64_t from = QV__SEG_DATA_OFF + block * QV__SEG_BLOCK_BYTES;
        uint64_t to = QV_MIN(from + QV__SEG_BLOCK_BYTES, f->shape.table_off);
        crc = qv__crc32c(qv__seg_crc_seed(f->shape.file_id, block), f->view.p + from,
                         (size_t)(to - from));
        if (crc != qv__load_u32(table + block * 4)) {
            return damaged(f, from, to, err);
        }
    }
    return QV_OK;
}

/* --- for reports --- */

bool qv__segfile_entry(const struct qv__segfile *f, uint32_t i, struct qv__seg_entry *out)
{
    if (i >= f->shape.n_sections) {
        return false;
    }
    *out = f->shape.sections[i];
    return true;
}

static void tell_block(const struct qv__segfile *f, uint64_t from, uint64_t to,
                       void (*cb)(void *arg, const struct qv__seg_entry *e), void *arg)
{
    bool any = false;
    for (uint32_t i = 0; i < f->shape.n_sections; i++) {
        const struct qv__seg_entry *e = &f->shape.sections[i];
        if (e->off < to && e->off + e->bytes > from) {
            cb(arg, e);
            any = true;
        }
    }
    if (!any) {
        cb(arg, NULL);
    }
}

void qv__segfile_damage(const struct qv__segfile *f,
                        void (*cb)(void *arg, const struct qv__seg_entry *e), void *arg)
{
    const uint8_t *table = f->view.p + f->shape.table_off;
    uint32_t crc = qv__seg_crc_seed(f->shape.file_id, UINT64_MAX);
    if (qv__crc32c(crc, table, (size_t)f->shape.n_blocks * 4) != f->shape.table_crc) {
        cb(arg, NULL);
    }
    for (uint64_t block = 0; block < f->shape.n_blocks; block++) {
        uint64_t from = QV__SEG_DATA_OFF + block * QV__SEG_BLOCK_BYTES;
        uint64_t to = QV_MIN(from + QV__SEG_BLOCK_BYTES, f->shape.table_off);
        crc = qv__crc32c(qv__seg_crc_seed(f->shape.file_id, block), f->view.p + from,
                         (size_t)(to - from));
        if (crc != qv__load_u32(table + block * 4)) {
            tell_block(f, from, to, cb, arg);
        }
    }
}

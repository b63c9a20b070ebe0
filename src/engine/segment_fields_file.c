/* segment_fields_file.c: field indexes in a segment file: blocks one behind the other, then what
 * they are; docs/internals/INDEXES.md. */
#include "engine/segment_impl.h"

#define VERSION 1u

/* --- writing --- */

struct source {
    const struct qv__segment_build *b;
    uint32_t first;
};

static struct qv__bytes row_of(void *ctx, uint32_t i)
{
    const struct source *src = ctx;
    const struct qv__row_ref *r = &src->b->rows[src->first + i];
    return qv__segment_row_payload(src->b->sources[r->source], r->row);
}

/* The blocks of one index, and its entry in the directory. */
static qv_status write_field(const struct qv__segment_build *b, const struct qv__index_spec *spec,
                             struct qv__str key, struct qv__buf *directory, struct qv__segw *w,
                             uint64_t *written, struct qv_err *err)
{
    struct qv__buf block;
    qv_status st = QV_OK;
    qv__buf_init(&block, b->env->mem);
    qv__buf_u32(directory, (uint32_t)spec->type);
    qv__buf_u32(directory, (uint32_t)key.n);
    qv__buf_put(directory, key.p, key.n);
    qv__buf_u64(directory, *written);
    for (uint32_t at = 0; at < b->n_rows; at += QV__BLOCK_ROWS) {
        struct source src = {b, at};
        struct qv__field_source from = {.row = row_of,
                                        .ctx = &src,
                                        .n_rows = QV_MIN(b->n_rows - at, QV__BLOCK_ROWS),
                                        .cancel = qv__work_cancel(b->work),
                                        .tokenizer = &spec->tokenizer};
        qv__buf_reset(&block);
        QV_GOTO(qv__field_build(spec->type, &spec->path, &from, b->env->mem, &block, err));
        QV_GOTO(qv__segw_write(w, block.p, block.n, err));
        *written += block.n;
        qv__buf_u64(directory, *written);
    }
out:
    qv__buf_free(&block);
    return st;
}

qv_status qv__fields_write(const struct qv__segment_build *b, const struct qv__schema *schema,
                           struct qv__segw *w, struct qv_err *err)
{
    struct qv__buf directory;
    uint64_t written = 0;
    uint32_t n = 0;
    if (schema->n_indexes == 0) {
        return QV_OK;
    }
    qv__buf_init(&directory, b->env->mem);
    qv_status st = qv__segw_begin(w, QV__SEC_FIELDS, 0, err);
    QV_GOTO(st);
    for (uint32_t i = 0; i < schema->n_indexes; i++) {
        if (schema->specs[i].is_built) {
            QV_GOTO(write_field(b, &schema->specs[i], schema->indexes[i].key, &directory, w,
                                &written, err));
            n++;
        }
    }
    qv__buf_u32(&directory, n);
    qv__buf_u32(&directory, VERSION);
    qv__buf_u64(&directory, written);
    QV_GOTO(qv__buf_status(&directory, err));
    QV_GOTO(qv__segw_write(w, directory.p, directory.n, err));
    QV_GOTO(qv__segw_end(w, err));
out:
    qv__buf_free(&directory);
    return st;
}

/* --- reading --- */

#define TAIL 16u /* indexes, version, where the directory begins */

static qv_status damaged(struct qv_err *err, const char *what)
{
    return qv__fail(err, QV_ECORRUPT, "payload indexes: %s", what);
}

static bool words_match(const struct qv__field *f, const struct qv__field_block *b)
{
    return f->spec.type != QV__FIELD_TEXT ||
           (uint64_t)b->base == qv__tokenizer_signature(&f->spec.tokenizer);
}

/* The next entry of the directory; its blocks when it is that of `f`. */
static qv_status read_entry(struct qv__reader *r, struct qv__bytes blocks, uint32_t n_rows,
                            bool verify, struct qv__field *f, struct qv_err *err)
{
    uint32_t type = qv__read_u32(r), key_n = qv__read_u32(r);
    const char *key = (const char *)qv__read_bytes(r, key_n);
    uint64_t from = qv__read_u64(r);
    bool wanted = !r->failed && type == (uint32_t)f->spec.type && key_n == f->key_n &&
                  memcmp(key, f->key, key_n) == 0 && atomic_load(&f->n) == 0;
    for (uint32_t i = 0; i < f->n_max; i++) {
        uint64_t to = qv__read_u64(r);
        if (r->failed || from > to || to > blocks.n) {
            return damaged(err, "the directory is malformed");
        }
        struct qv__bytes bytes = {blocks.p + from, (size_t)(to - from)};
        uint32_t rows = QV_MIN(n_rows - i * QV__BLOCK_ROWS, QV__BLOCK_ROWS);
        if (wanted && !qv__field_block_open(bytes, f->spec.type, rows, verify, &f->blocks[i])) {
            return damaged(err, "a block is malformed");
        }
        /* words by other settings, or another Unicode, are none of this index */
        wanted = wanted && words_match(f, &f->blocks[i]);
        f->blocks[i].tokenizer = &f->spec.tokenizer;
        f->mapped += wanted ? bytes.n : 0;
        from = to;
    }
    if (wanted) {
        atomic_store_explicit(&f->n, f->n_max, memory_order_release);
    }
    return QV_OK;
}

qv_status qv__fields_read(struct qv__bytes section, uint32_t n_rows, bool verify,
                          struct qv__field *f, struct qv_err *err)
{
    if (section.n == 0) {
        return QV_OK; /* older than the index */
    }
    if (section.n < TAIL) {
        return damaged(err, "the section is too short");
    }
    const uint8_t *tail = section.p + section.n - TAIL;
    uint32_t n = qv__load_u32(tail), version = qv__load_u32(tail + 4);
    uint64_t begin = qv__load_u64(tail + 8);
    if (version != VERSION) {
        return qv__fail(err, QV_EVERSION,
                        "payload indexes: version %" PRIu32 " is not known to this version",
                        version);
    }
    if (begin > section.n - TAIL || n > QV__PAYLOAD_INDEXES_MAX) {
        return damaged(err, "the directory is out of place");
    }
    struct qv__bytes blocks = {section.p, (size_t)begin};
    struct qv__reader r = qv__reader_of(section.p + begin, section.n - TAIL - (size_t)begin);
    for (uint32_t i = 0; i < n; i++) {
        QV_TRY(read_entry(&r, blocks, n_rows, verify, f, err));
    }
    return r.failed || qv__reader_left(&r) ? damaged(err, "the directory is malformed") : QV_OK;
}

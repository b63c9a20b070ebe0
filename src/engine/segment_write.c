/* segment_write.c: from rows of existing segments to a sealed file: seal (one growing segment, same
 * row numbers, unless tenants order them) and merge (several sealed ones, without the dropped
 * rows).
 *
 * Both describe the new rows as references into the sources and share one writer. A graph is either
 * saved as the growing segment built it, or merged out of the sources' graphs over their vectors in
 * place, addressed one by one; nothing is copied but into the file. */
#include "engine/segment_impl.h"
#include "engine/segment_near.h"

/* --- ids and rows --- */

static struct qv__id id_of(void *ctx, uint32_t row)
{
    const struct qv__segment_build *b = ctx;
    return qv__segment_row_id(b->sources[b->rows[row].source], b->rows[row].row);
}

static const struct qv__segment *source_of(const struct qv__segment_build *b, uint32_t row)
{
    return b->sources[b->rows[row].source];
}

static qv_status write_rows(const struct qv__segment_build *b, struct qv__segw *w,
                            struct qv__manifest_segment *out, struct qv_err *err)
{
    bool expires = false;
    QV_TRY(qv__segw_begin(w, QV__SEC_INSERT_LSN, 0, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        uint64_t lsn = qv__segment_row_lsn(source_of(b, i), b->rows[i].row);
        out->min_lsn = i == 0 ? lsn : QV_MIN(out->min_lsn, lsn);
        out->max_lsn = QV_MAX(out->max_lsn, lsn);
        expires |= qv__segment_row_expires(source_of(b, i), b->rows[i].row) != INT64_MAX;
        QV_TRY(qv__segw_write(w, &lsn, sizeof lsn, err));
    }
    QV_TRY(qv__segw_end(w, err));
    if (expires) {
        QV_TRY(qv__segw_begin(w, QV__SEC_EXPIRES, 0, err));
        for (uint32_t i = 0; i < b->n_rows; i++) {
            int64_t at = qv__segment_row_expires(source_of(b, i), b->rows[i].row);
            QV_TRY(qv__segw_write(w, &at, sizeof at, err));
        }
        QV_TRY(qv__segw_end(w, err));
    }
    uint64_t offset = 0;
    QV_TRY(qv__segw_begin(w, QV__SEC_PAYLOAD_OFFSETS, 0, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        QV_TRY(qv__segw_write(w, &offset, sizeof offset, err));
        offset += qv__segment_row_payload(source_of(b, i), b->rows[i].row).n;
    }
    QV_TRY(qv__segw_write(w, &offset, sizeof offset, err));
    QV_TRY(qv__segw_end(w, err));
    QV_TRY(qv__segw_begin(w, QV__SEC_PAYLOAD_DATA, 0, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct qv__bytes p = qv__segment_row_payload(source_of(b, i), b->rows[i].row);
        QV_TRY(qv__segw_write(w, p.p, p.n, err));
    }
    return qv__segw_end(w, err);
}

/* --- one vector column --- */

struct column_build {
    uint32_t n_ords;
    const uint8_t **vectors; /* by new ordinal: where the source has it */
    uint32_t *ord_to_row, *row_to_ord;
    bool identity;
    struct qv__vectors run;
};

static void column_free(struct column_build *c)
{
    qv__free(c->vectors);
    qv__free(c->ord_to_row);
    qv__free(c->row_to_ord);
}

static qv_status column_gather(const struct qv__segment_build *b, uint32_t column,
                               struct column_build *c, struct qv_err *err)
{
    struct qv__mem *mem = b->env->mem;
    const struct qv__vector_def *def = &b->schema->vectors[column];
    size_t n = (size_t)b->n_rows + 1;
    c->vectors = qv__calloc(mem, n, sizeof *c->vectors);
    c->ord_to_row = qv__calloc(mem, n, sizeof *c->ord_to_row);
    c->row_to_ord = qv__calloc(mem, n, sizeof *c->row_to_ord);
    if (!c->vectors || !c->ord_to_row || !c->row_to_ord) {
        return qv__fail(err, QV_ENOMEM, "no memory to write %" PRIu32 " rows", b->n_rows);
    }
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const void *v = qv__segment_row_vector(source_of(b, i), b->schema, column, b->rows[i].row);
        c->row_to_ord[i] = v ? c->n_ords : QV__NO_ROW;
        if (v) {
            c->vectors[c->n_ords] = v;
            c->ord_to_row[c->n_ords++] = i;
        }
    }
    c->identity = c->n_ords == b->n_rows;
    c->run = (struct qv__vectors){
        .chunks = c->vectors,
        .chunk_shift = 0,
        .stride_bytes = qv__vec_varies(def->kind) ? 0 : qv__vector_bytes(def->datatype, def->dim),
        .dim = def->dim,
        .datatype = def->datatype,
        .metric = def->metric};
    return QV_OK;
}

struct section_sink {
    struct qv__index_sink sink;
    struct qv__segw *w;
    uint16_t column;
};

static qv_status put_part(struct qv__index_sink *sink, uint32_t part, const void *bytes, size_t n,
                          struct qv_err *err)
{
    struct section_sink *s = QV_CONTAINER_OF(sink, struct section_sink, sink);
    return qv__segw_put(s->w, (uint16_t)(QV__SEC_INDEX_PART + part), s->column, bytes, n, err);
}

/* A column counts as many units as there are rows. */
static struct qv__part part_of(const struct qv__segment_build *b, uint32_t column)
{
    return (struct qv__part){.work = b->work,
                             .before = (uint64_t)b->n_rows * column,
                             .total = (uint64_t)b->n_rows * b->schema->n_vectors};
}

/* The source's own graph over the same ordinals, if it is what is wanted; NULL = there is none. */
static struct qv__index *index_to_reuse(const struct qv__segment_build *b, uint32_t column,
                                        uint32_t n_ords)
{
    uint32_t own = b->reuse_graphs || b->renumber_graphs
                       ? qv__segment_column(b->sources[0], b->schema, column)
                       : QV__NO_ROW;
    struct qv__index *x =
        own == QV__NO_ROW ? NULL : atomic_load(&b->sources[0]->columns[own].index);
    struct qv__index_params want = b->schema->vectors[column].index;
    want.on_disk = x ? x->params.on_disk : false; /* where it lies does not change what it is */
    want.packing = x ? x->params.packing : 0;     /* nor does this */
    bool fits = x && qv__index_count(x) == n_ords && !x->ops->differs(x, &want, NULL);
    return fits ? x : NULL;
}

/* Where each ordinal of the sources' graphs went; sources without a graph have no remap. */
static qv_status remaps_fill(const struct qv__segment_build *b, uint32_t column,
                             const struct column_build *c, struct qv__index **graphs,
                             uint32_t **remaps, struct qv_err *err)
{
    for (size_t i = 0; i < b->n_sources; i++) {
        uint32_t own = qv__segment_column(b->sources[i], b->schema, column);
        struct qv__index *x =
            own == QV__NO_ROW ? NULL : atomic_load(&b->sources[i]->columns[own].index);
        uint32_t n = x ? qv__index_count(x) : 0;
        if (n == 0) {
            continue;
        }
        remaps[i] = qv__calloc(b->env->mem, n, sizeof *remaps[i]);
        if (!remaps[i]) {
            return qv__fail(err, QV_ENOMEM, "no memory to merge graphs of %" PRIu32 " rows", n);
        }
        memset(remaps[i], 0xff, n * sizeof *remaps[i]);
        graphs[i] = x;
    }
    for (uint32_t row = 0; row < b->n_rows; row++) {
        const struct qv__row_ref *r = &b->rows[row];
        if (graphs[r->source]) {
            const struct qv__segment *s = source_of(b, row);
            uint32_t ord = qv__segment_ord(s, qv__segment_column(s, b->schema, column), r->row);
            if (ord < qv__index_count(graphs[r->source])) { /* QV__NO_ROW is not */
                remaps[r->source][ord] = c->row_to_ord[row];
            }
        }
    }
    return QV_OK;
}

/* One graph over the new rows, out of those that the sources have. */
static qv_status merge_graphs(const struct qv__segment_build *b, uint32_t column,
                              const struct column_build *c, const struct qv__index_params *params,
                              const struct qv__index_env *env, struct qv__index **out,
                              struct qv_err *err)
{
    struct qv__index **graphs = qv__calloc(b->env->mem, b->n_sources, sizeof(struct qv__index *));
    uint32_t **remaps = qv__calloc(b->env->mem, b->n_sources, sizeof(uint32_t *));
    qv_status st = graphs && remaps ? remaps_fill(b, column, c, graphs, remaps, err)
                                    : qv__fail(err, QV_ENOMEM, "no memory to merge graphs");
    if (st == QV_OK) {
        st = qv__index_ops_of(params->kind)
                 ->merge(params, env, &c->run, c->n_ords, graphs, (const uint32_t *const *)remaps,
                         b->n_sources, out, err);
    }
    for (size_t i = 0; remaps && i < b->n_sources; i++) {
        qv__free(remaps[i]);
    }
    qv__free(remaps);
    qv__free(graphs);
    return st;
}

/* Where each vector begins, and the end. */
static qv_status write_offsets(const struct qv__segment_build *b, struct qv__segw *w,
                               uint32_t column, const struct column_build *c, struct qv_err *err)
{
    uint64_t at = 0;
    QV_TRY(qv__segw_begin(w, QV__SEC_VEC_OFFSETS, (uint16_t)column, err));
    for (uint32_t i = 0; i <= c->n_ords; i++) {
        QV_TRY(qv__segw_write(w, &at, sizeof at, err));
        at += i < c->n_ords ? qv__vector_size(&b->schema->vectors[column], c->vectors[i]) : 0;
    }
    return qv__segw_end(w, err);
}

static qv_status write_postings(const struct qv__segment_build *b, struct qv__segw *w,
                                uint16_t column, const struct column_build *c, struct qv_err *err)
{
    struct qv__buf bytes;
    qv__buf_init(&bytes, b->env->mem);
    qv_status st = qv__postings_build(b->env->mem, (const void *const *)c->vectors, c->n_ords,
                                      qv__work_cancel(b->work), &bytes, err);
    if (st == QV_OK) {
        st = qv__segw_put(w, QV__SEC_INDEX_PART, column, bytes.p, bytes.n, err);
    }
    qv__buf_free(&bytes);
    return st;
}

/* Save the source's graph if it may be, else make one if asked, or of the source's. *kind tells
 * which index the file has. */
static qv_status write_index(const struct qv__segment_build *b, struct qv__segw *w, uint32_t column,
                             const struct column_build *c, uint32_t *kind, struct qv_err *err)
{
    struct section_sink sink = {.sink = {.part = put_part}, .w = w, .column = (uint16_t)column};
    struct qv__index_params params = b->schema->vectors[column].index;
    struct qv__index *have = index_to_reuse(b, column, c->n_ords);
    *kind = QV__INDEX_FLAT;
    if (b->schema->vectors[column].kind == QV__VEC_SPARSE) {
        return write_postings(b, w, (uint16_t)column, c, err);
    }
    if (have && b->reuse_graphs) {
        *kind = QV__INDEX_GRAPH;
        return have->ops->save(have, &sink.sink, err);
    }
    bool is_due = b->build_graphs && c->n_ords >= b->schema->policy.index_rows &&
                  params.kind == QV__INDEX_GRAPH;
    if (!have && !is_due) {
        return QV_OK;
    }
    struct qv__part part = part_of(b, column);
    struct qv__index_env env = {.mem = b->env->mem,
                                .simd = b->env->simd,
                                .pool = b->env->pool,
                                .threads = b->schema->policy.build_threads,
                                .cancel = qv__work_cancel(b->work),
                                .progress = qv__part_progress,
                                .progress_ctx = &part};
    struct qv__index *x = NULL;
    params.kind = QV__INDEX_GRAPH;
    QV_TRY(merge_graphs(b, column, c, &params, &env, &x, err));
    qv_status st = x->ops->save(x, &sink.sink, err);
    x->ops->free(x);
    *kind = QV__INDEX_GRAPH;
    return st;
}

static qv_status write_column_meta(const struct qv__segment_build *b, struct qv__segw *w,
                                   uint32_t column, const struct column_build *c, uint32_t kind,
                                   struct qv_err *err)
{
    const struct qv__vector_def *def = &b->schema->vectors[column];
    struct qv__column_meta m = {.version = qv__vec_varies(def->kind) ? 3
                                           : def->uid                ? 2
                                                                     : 1,
                                .name_bytes = (uint32_t)def->name.n,
                                .dim = def->dim,
                                .stride_bytes = c->run.stride_bytes,
                                .n_ords = c->n_ords,
                                .kind = def->kind,
                                .datatype = def->datatype,
                                .metric = def->metric,
                                .identity = c->identity,
                                .index_kind = kind,
                                .m = def->index.m,
                                .ef_construct = def->index.ef_construct,
                                .seed = def->index.seed,
                                .uid = def->uid};
    QV_TRY(qv__segw_begin(w, QV__SEC_VEC_META, (uint16_t)column, err));
    QV_TRY(qv__segw_write(w, &m, sizeof m, err));
    QV_TRY(qv__segw_write(w, def->name.p, def->name.n, err));
    return qv__segw_end(w, err);
}

static qv_status write_column(const struct qv__segment_build *b, struct qv__segw *w,
                              uint32_t column, struct qv_err *err)
{
    struct column_build c = {0};
    uint16_t n = (uint16_t)column;
    uint32_t kind = QV__INDEX_FLAT;
    qv_status st = column_gather(b, column, &c, err);
    QV_GOTO(st);
    if (!c.identity) {
        QV_GOTO(qv__segw_put(w, QV__SEC_VEC_ORD_TO_ROW, n, c.ord_to_row,
                             (size_t)c.n_ords * sizeof *c.ord_to_row, err));
        QV_GOTO(qv__segw_put(w, QV__SEC_VEC_ROW_TO_ORD, n, c.row_to_ord,
                             (size_t)b->n_rows * sizeof *c.row_to_ord, err));
    }
    QV_GOTO(qv__segw_begin(w, QV__SEC_VEC_DATA, n, err));
    const struct qv__vector_def *def = &b->schema->vectors[column];
    for (uint32_t i = 0; i < c.n_ords; i++) {
        QV_GOTO(qv__segw_write(w, c.vectors[i], qv__vector_size(def, c.vectors[i]), err));
    }
    QV_GOTO(qv__segw_end(w, err));
    if (qv__vec_varies(def->kind)) {
        QV_GOTO(write_offsets(b, w, column, &c, err));
    }
    QV_GOTO(write_index(b, w, column, &c, &kind, err));
    QV_GOTO(write_column_meta(b, w, column, &c, kind, err));
out:
    column_free(&c);
    return st;
}

/* --- the file
 * ------------------------------------------------------------------------------------------------------
 */

qv_status qv__segment_write(const struct qv__segment_build *b, struct qv__manifest_segment *out,
                            struct qv_err *err)
{
    struct qv__segw *w = NULL;
    char name[64];
    *out = (struct qv__manifest_segment){
        .segment_id = b->segment_id, .n_rows = b->n_rows, .n_dead = b->n_dead};
    qv_status st = qv__segw_create(b->env->blobs, b->env->mem, b->segment_id, &w, err);
    QV_GOTO(st);
    QV_GOTO(write_rows(b, w, out, err));
    QV_GOTO(qv__fields_write(b, b->indexes, w, err));
    QV_GOTO(qv__tenants_write(b, b->indexes, w, err));
    QV_GOTO(qv__idmap_write(w, b->env->mem, b->n_rows, id_of, (void *)(uintptr_t)b, err));
    for (uint32_t i = 0; i < b->schema->n_vectors; i++) {
        struct qv__part next = part_of(b, i + 1);
        QV_GOTO(write_column(b, w, i, err));
        qv__part_progress(&next, 0, 0);
    }
    if (b->n_dead) {
        QV_GOTO(qv__segw_put(w, QV__SEC_TOMBSTONES, 0, b->dead,
                             qv__bitset_words(b->n_rows) * sizeof *b->dead, err));
    }
    struct qv__segment_meta meta = {.version = 1,
                                    .n_rows = b->n_rows,
                                    .n_columns = b->schema->n_vectors,
                                    .min_lsn = out->min_lsn,
                                    .max_lsn = out->max_lsn};
    QV_GOTO(qv__segw_put(w, QV__SEC_META, 0, &meta, sizeof meta, err));
    qv__segment_blob_name(b->segment_id, name);
    struct qv__segw *finishing = w;
    w = NULL; /* gone whatever finish says */
    QV_GOTO(qv__segw_finish(finishing, name, &out->file_bytes, err));
out:
    qv__segw_abort(w);
    return st;
}

static void remove_file(const struct qv__segment_env *env, uint64_t segment_id)
{
    char name[64];
    struct qv_err ignored; /* named by no manifest: removed at the next open at the latest */
    qv__segment_blob_name(segment_id, name);
    (void)!env->blobs->ops->remove(env->blobs, name, &ignored);
}

static qv_status write_and_open(const struct qv__segment_build *b, struct qv__segment **out,
                                struct qv_err *err)
{
    struct qv__manifest_segment m;
    QV_TRY(qv__segment_write(b, &m, err));
    qv_status st = qv__sealed_open(b->env, b->schema, &m, false, out, err);
    if (st == QV_OK && b->indexes != b->schema) {
        st = qv__fields_sync(*out, b->indexes, false, err);
        if (st != QV_OK) {
            qv__segment_release(*out);
            *out = NULL;
        }
    }
    if (st != QV_OK) {
        remove_file(b->env, b->segment_id);
    }
    return st;
}

/* --- seal
 * ------------------------------------------------------------------------------------------------------------
 */

/* Rows deleted at or below lsn, as words over the segment's rows. */
static qv_status dead_at(struct qv__segment *s, uint64_t lsn, struct qv__bitset *out,
                         struct qv_err *err)
{
    if (qv__bitset_init(out, s->mem, qv__segment_rows(s)) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for tombstones");
    }
    struct qv__dead *d = &s->dead;
    qv__mutex_lock(&s->lock);
    for (uint32_t row = 0; row < out->n_bits; row++) {
        uint64_t deleted;
        if (qv__dead_lookup(d, row, &deleted) ? deleted <= lsn
                                              : !qv__bit_test_atomic(d->live, row)) {
            qv__bit_set(out->words, row);
        }
    }
    qv__mutex_unlock(&s->lock);
    return QV_OK;
}

/* Rows by tenant. *remap: where each row went; NULL: they stay, or there are no tenants. */
static qv_status seal_order(const struct qv__segment_env *env, const struct qv__schema *indexes,
                            struct qv__segment *growing, struct qv__row_ref *rows, uint32_t n,
                            struct qv__bitset *dead, uint32_t **remap, struct qv_err *err)
{
    struct qv__str key;
    const struct qv__index_spec *spec = qv__tenants_of(indexes, &key);
    struct qv__bitset moved_dead = {0};
    bool moved = false;
    if (spec) {
        QV_TRY(qv__tenants_order(env->mem, spec, &growing, rows, n, &moved, err));
    }
    if (!moved) {
        return QV_OK;
    }
    *remap = qv__calloc(env->mem, (size_t)n + 1, sizeof **remap);
    if (!*remap || qv__bitset_init(&moved_dead, env->mem, n) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory to order %" PRIu32 " rows", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        (*remap)[rows[i].row] = i;
        if (qv__bit_test(dead->words, rows[i].row)) {
            qv__bit_set(moved_dead.words, i);
        }
    }
    qv__bitset_free(dead);
    *dead = moved_dead;
    return QV_OK;
}

qv_status qv__segment_seal(const struct qv__segment_env *env, struct qv__segment *growing,
                           uint64_t segment_id, uint64_t flushed, uint32_t **remap,
                           struct qv__segment **out, struct qv_err *err)
{
    uint32_t n = qv__segment_rows(growing);
    struct qv__bitset dead = {0};
    struct qv__row_ref *rows = qv__calloc(env->mem, (size_t)n + 1, sizeof *rows);
    *remap = NULL;
    qv_status st = rows ? dead_at(growing, flushed, &dead, err)
                        : qv__fail(err, QV_ENOMEM, "no memory to seal %" PRIu32 " rows", n);
    for (uint32_t i = 0; rows && i < n; i++) {
        rows[i] = (struct qv__row_ref){.source = 0, .row = i};
    }
    struct qv__field_set *fields = qv__segment_fields(growing);
    if (st == QV_OK) {
        st = seal_order(env, fields->schema, growing, rows, n, &dead, remap, err);
    }
    if (st == QV_OK) {
        struct qv__segment_build b = {.env = env,
                                      .schema = growing->schema,
                                      .indexes = fields->schema,
                                      .sources = &growing,
                                      .n_sources = 1,
                                      .rows = rows,
                                      .n_rows = n,
                                      .segment_id = segment_id,
                                      .dead = dead.words,
                                      .n_dead = (uint32_t)qv__bitset_count(&dead),
                                      .reuse_graphs = !*remap,
                                      .renumber_graphs = *remap};
        st = write_and_open(&b, out, err);
    }
    if (st != QV_OK) {
        qv__free(*remap);
        *remap = NULL;
    }
    qv__field_set_release(fields);
    qv__bitset_free(&dead);
    qv__free(rows);
    return st;
}

/* --- merge
 * -------------------------------------------------------------------------------------------------------------
 */

struct merge {
    struct qv__row_ref *rows;
    uint32_t n_rows;
    struct qv__bitset dead;
    uint32_t n_dead;
    bool moved; /* tenants, or nearness, changed the order */
};

/* Rows of one source that are left, in order; its remap says of the others that they are dropped.
 */
static qv_status merge_source(const struct qv__segment_env *env, struct qv__segment *s,
                              uint32_t source, uint64_t drop_lsn, uint32_t **remap, struct merge *m,
                              struct qv_err *err)
{
    uint32_t rows = qv__segment_rows(s);
    struct qv__bitset dropped = {0};
    bool drops = drop_lsn != QV__DROP_NOTHING;
    *remap = qv__calloc(env->mem, (size_t)rows + 1, sizeof **remap);
    if (!*remap) {
        return qv__fail(err, QV_ENOMEM, "no memory to merge");
    }
    QV_TRY(drops ? dead_at(s, drop_lsn, &dropped, err) : QV_OK);
    for (uint32_t row = 0; row < rows; row++) {
        if (drops && qv__bit_test(dropped.words, row)) {
            (*remap)[row] = QV__NO_ROW;
        } else {
            m->rows[m->n_rows++] = (struct qv__row_ref){.source = source, .row = row};
        }
    }
    qv__bitset_free(&dropped);
    return QV_OK;
}

/* Which of the new rows are dead, now that their places are known. */
static qv_status merge_dead(struct qv__segment *s, uint64_t flushed, const uint32_t *remap,
                            struct merge *m, struct qv_err *err)
{
    struct qv__bitset dead = {0};
    QV_TRY(dead_at(s, flushed, &dead, err));
    for (size_t row = 0; (row = qv__bitset_next(&dead, row)) < dead.n_bits; row++) {
        if (remap[row] != QV__NO_ROW) {
            qv__bit_set(m->dead.words, remap[row]);
            m->n_dead++;
        }
    }
    qv__bitset_free(&dead);
    return QV_OK;
}

/* Lay out the new rows, without the dropped ones: source after source, or by tenant, or by
 * nearness.
 */
static qv_status merge_plan(const struct qv__segment_env *env, const struct qv__schema *schema,
                            struct qv__segment *const *sources, size_t n, uint64_t drop_lsn,
                            uint64_t flushed, const struct qv__work *work, uint32_t **remaps,
                            struct merge *m, struct qv_err *err)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += qv__segment_rows(sources[i]);
    }
    if (total > UINT32_MAX - 1) {
        return qv__fail(err, QV_ETOOBIG, "a segment of %" PRIu64 " rows is too large", total);
    }
    m->rows = qv__calloc(env->mem, (size_t)total + 1, sizeof *m->rows);
    if (!m->rows || qv__bitset_init(&m->dead, env->mem, (size_t)total) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory to merge %" PRIu64 " rows", total);
    }
    for (size_t i = 0; i < n; i++) {
        QV_TRY(merge_source(env, sources[i], (uint32_t)i, drop_lsn, &remaps[i], m, err));
    }
    struct qv__str key;
    const struct qv__index_spec *spec = qv__tenants_of(schema, &key);
    if (spec) {
        QV_TRY(qv__tenants_order(env->mem, spec, sources, m->rows, m->n_rows, &m->moved, err));
    } else {
        QV_TRY(qv__near_order(env, schema, sources, n, work, m->rows, m->n_rows, &m->moved, err));
    }
    for (uint32_t row = 0; row < m->n_rows; row++) {
        remaps[m->rows[row].source][m->rows[row].row] = row;
    }
    for (size_t i = 0; i < n; i++) {
        QV_TRY(merge_dead(sources[i], flushed, remaps[i], m, err));
    }
    return QV_OK;
}

qv_status qv__segment_merge(const struct qv__segment_env *env, struct qv__schema *schema,
                            struct qv__segment *const *sources, size_t n, uint64_t segment_id,
                            uint64_t drop_lsn, uint64_t flushed, const struct qv__work *work,
                            uint32_t **remaps, struct qv__segment **out, struct qv_err *err)
{
    struct merge m = {0};
    *out = NULL;
    qv_status st = merge_plan(env, schema, sources, n, drop_lsn, flushed, work, remaps, &m, err);
    if (st == QV_OK && m.n_rows) {
        struct qv__segment_build b = {.env = env,
                                      .schema = schema,
                                      .indexes = schema,
                                      .sources = sources,
                                      .n_sources = n,
                                      .rows = m.rows,
                                      .n_rows = m.n_rows,
                                      .segment_id = segment_id,
                                      .dead = m.dead.words,
                                      .n_dead = m.n_dead,
                                      .reuse_graphs = n == 1 && !m.moved &&
                                                      m.n_rows == qv__segment_rows(sources[0]),
                                      .build_graphs = true,
                                      .work = work};
        for (size_t i = 0; i < n; i++) {
            qv__segment_advise(sources[i], true);
        }
        st = write_and_open(&b, out, err);
        for (size_t i = 0; i < n; i++) {
            qv__segment_advise(sources[i], false);
        }
    }
    qv__bitset_free(&m.dead);
    qv__free(m.rows);
    return st;
}

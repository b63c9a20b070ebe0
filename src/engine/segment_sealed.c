/* segment_sealed.c: opening a segment file and finding rows in it.
 *
 * The file is foreign until checked: block checksums first, then every length, offset, order and
 * count that later code relies on without looking. Vectors, links, ids and payloads are then read
 * in place; memory is taken only for the live words and the graph's small parts. */
#include "engine/segment_impl.h"
#include "simd/narrow.h"

static qv_status damaged(const struct qv__segment *s, struct qv_err *err, const char *what)
{
    char name[64];
    qv__segment_blob_name(s->id, name);
    return qv__fail(err, QV_ECORRUPT, "%s: %s", name, what);
}

static qv_status open_rows(struct qv__segment *s, const struct qv__segment_meta *meta, bool verify,
                           struct qv_err *err)
{
    uint32_t n = meta->n_rows;
    struct qv__bytes lsns = qv__segfile_section(s->file, QV__SEC_INSERT_LSN, 0);
    struct qv__bytes expires = qv__segfile_section(s->file, QV__SEC_EXPIRES, 0);
    struct qv__bytes offsets = qv__segfile_section(s->file, QV__SEC_PAYLOAD_OFFSETS, 0);
    s->payloads = qv__segfile_section(s->file, QV__SEC_PAYLOAD_DATA, 0);
    if (lsns.n != (size_t)n * 8 || (expires.n && expires.n != (size_t)n * 8) ||
        offsets.n != ((size_t)n + 1) * 8) {
        return damaged(s, err, "a row section has the wrong length");
    }
    s->lsns = (const uint64_t *)(const void *)lsns.p;
    s->expires = expires.n ? (const int64_t *)(const void *)expires.p : NULL;
    s->payload_offsets = (const uint64_t *)(const void *)offsets.p;
    if (s->payload_offsets[0] != 0 || s->payload_offsets[n] != s->payloads.n) {
        return damaged(s, err, "payload offsets do not span the payload section");
    }
    uint64_t blocks = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t from = s->payload_offsets[i], to = s->payload_offsets[i + 1];
        if (from > to || to > s->payloads.n) {
            return damaged(s, err, "payload offsets fall");
        }
        blocks += qv__payload_blocks(to - from);
        if (verify &&
            !qv__payload_valid((struct qv__bytes){s->payloads.p + from, (size_t)(to - from)})) {
            return damaged(s, err, "a payload row is malformed");
        }
        if (s->lsns[i] < meta->min_lsn || s->lsns[i] > meta->max_lsn) {
            return damaged(s, err, "an insert LSN is outside the segment's range");
        }
    }
    atomic_store_explicit(&s->payload_blocks, blocks, memory_order_relaxed);
    return QV_OK;
}

/* Ordinals rise with rows, and the two directions agree. */
static bool ord_maps_valid(const uint32_t *ord_to_row, const uint32_t *row_to_ord, uint32_t n_ords,
                           uint32_t n_rows)
{
    uint32_t next = 0;
    for (uint32_t row = 0; row < n_rows; row++) {
        if (row_to_ord[row] == QV__NO_ROW) {
            continue;
        }
        if (row_to_ord[row] != next || next >= n_ords || ord_to_row[next] != row) {
            return false;
        }
        next++;
    }
    return next == n_ords;
}

static qv_status open_index(struct qv__segment *s, struct qv__column *c, uint16_t column,
                            const struct qv__column_meta *m, struct qv_err *err)
{
    if (m->index_kind == QV__INDEX_FLAT) {
        return QV_OK;
    }
    const struct qv__index_ops *ops = qv__index_ops_of(m->index_kind);
    if (!ops) {
        return qv__fail(err, QV_EVERSION,
                        "segment %" PRIu64 ": index kind %" PRIu32 " is not known to this version",
                        s->id, m->index_kind);
    }
    struct qv__index_parts parts;
    for (uint16_t i = 0; i < QV__INDEX_PARTS_MAX; i++) {
        parts.part[i] = qv__segfile_section(s->file, (uint16_t)(QV__SEC_INDEX_PART + i), column);
    }
    struct qv__index_params params = {.kind = m->index_kind,
                                      .m = m->m,
                                      .ef_construct = m->ef_construct,
                                      .seed = m->seed,
                                      .on_disk = c->def->index.on_disk};
    if (s->env.pool) { /* who opens it to check it has none, and needs nothing that is made of it */
        params.packing = c->def->index.packing;
    }
    struct qv__index_env env = {.mem = s->mem, .simd = s->env.simd, .pool = s->env.pool};
    struct qv__index *x = NULL;
    qv_status st = qv__index_params_check(&params, err);
    if (st == QV_OK) {
        st = ops->open(&params, &env, &c->vectors, m->n_ords, &parts, &x, err);
    }
    if (st != QV_OK) {
        return st == QV_ENOMEM ? st
                               : qv__wrap(err, st == QV_EVERSION ? st : QV_ECORRUPT,
                                          "segment %" PRIu64 " index", s->id);
    }
    atomic_store(&c->index, x);
    return QV_OK;
}

/* Where vectors of varying length begin, each at a multiple of four, and what is there. */
static qv_status open_offsets(struct qv__segment *s, struct qv__column *c, uint16_t column,
                              const struct qv__vector_def *def, uint32_t n, struct qv__bytes data,
                              bool verify, struct qv_err *err)
{
    struct qv__bytes offsets = qv__segfile_section(s->file, QV__SEC_VEC_OFFSETS, column);
    if (offsets.n != ((size_t)n + 1) * 8) {
        return damaged(s, err, "a vector column's offsets have the wrong length");
    }
    const uint64_t *at = (const uint64_t *)(const void *)offsets.p;
    if (at[0] != 0 || at[n] != data.n) {
        return damaged(s, err, "a vector column's offsets do not span its data");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (at[i] % 4 || at[i + 1] < at[i] || at[i + 1] > data.n ||
            (verify && !qv__vector_sized(def, data.p + at[i], (size_t)(at[i + 1] - at[i])))) {
            return damaged(s, err, "a vector of varying length is malformed");
        }
    }
    c->sealed_offsets = at;
    return QV_OK;
}

static qv_status open_column(struct qv__segment *s, uint16_t column, uint32_t n_rows, bool verify,
                             struct qv_err *err)
{
    struct qv__bytes mb = qv__segfile_section(s->file, QV__SEC_VEC_META, column);
    struct qv__column_meta m;
    if (mb.n < sizeof m) {
        return damaged(s, err, "a vector column has no description");
    }
    memcpy(&m, mb.p, sizeof m);
    if (m.version < 1 || m.version > 3) {
        return qv__fail(err, QV_EVERSION,
                        "segment %" PRIu64 ": vector column version %" PRIu32 " is not known",
                        s->id, m.version);
    }
    if (mb.n != sizeof m + m.name_bytes) {
        return damaged(s, err, "a vector column's description has the wrong length");
    }
    int at =
        qv__schema_vector(s->schema, (struct qv__str){(const char *)mb.p + sizeof m, m.name_bytes});
    if (at < 0 || s->schema->vectors[at].uid != (m.version >= 2 ? m.uid : 0)) {
        s->n_foreign++;
        return QV_OK; /* dropped from the schema since */
    }
    struct qv__column *c = &s->columns[at];
    const struct qv__vector_def *def = &s->schema->vectors[at];
    struct qv__bytes data = qv__segfile_section(s->file, QV__SEC_VEC_DATA, column);
    struct qv__bytes o2r = qv__segfile_section(s->file, QV__SEC_VEC_ORD_TO_ROW, column);
    struct qv__bytes r2o = qv__segfile_section(s->file, QV__SEC_VEC_ROW_TO_ORD, column);
    bool varies = qv__vec_varies(def->kind);
    if (varies != (m.version == 3)) {
        return damaged(s, err, "a vector column's version is not that of its kind");
    }
    uint32_t stride = varies ? 0 : qv__vector_bytes(def->datatype, def->dim);
    if (c->def || m.dim != def->dim || m.kind != def->kind || m.datatype != def->datatype ||
        m.metric != def->metric || m.stride_bytes != stride || m.n_ords > n_rows ||
        (!varies && data.n != (size_t)m.n_ords * m.stride_bytes)) {
        return damaged(s, err, "a vector column does not fit the schema");
    }
    if (m.identity ? m.n_ords != n_rows
                   : o2r.n != (size_t)m.n_ords * 4 || r2o.n != (size_t)n_rows * 4) {
        return damaged(s, err, "a vector column's row maps have the wrong length");
    }
    c->single = data.p;
    c->vectors = (struct qv__vectors){.chunks = &c->single,
                                      .chunk_shift = 31,
                                      .stride_bytes = m.stride_bytes,
                                      .dim = m.dim,
                                      .datatype = m.datatype,
                                      .metric = m.metric};
    if (!m.identity) {
        c->sealed_ord_to_row = (const uint32_t *)(const void *)o2r.p;
        c->sealed_row_to_ord = (const uint32_t *)(const void *)r2o.p;
        if (!ord_maps_valid(c->sealed_ord_to_row, c->sealed_row_to_ord, m.n_ords, n_rows)) {
            return damaged(s, err, "a vector column's row maps disagree");
        }
    }
    if (varies) {
        QV_TRY(open_offsets(s, c, column, def, m.n_ords, data, verify, err));
    }
    c->def = def;
    for (uint32_t i = 0; verify && i < m.n_ords; i++) {
        if (!qv__vector_finite(def, qv__column_vector(c, i))) {
            return damaged(s, err, "a stored vector is not finite");
        }
    }
    atomic_store(&c->n, m.n_ords);
    if (def->kind == QV__VEC_SPARSE) {
        return qv__sparse_run_open(s, c, column, m.n_ords, verify, err);
    }
    return open_index(s, c, column, &m, err);
}

static qv_status open_tombstones(struct qv__segment *s, const struct qv__manifest_segment *m,
                                 struct qv_err *err)
{
    struct qv__bytes own = qv__segfile_section(s->file, QV__SEC_TOMBSTONES, 0);
    size_t n_words = qv__bitset_words(m->n_rows);
    struct qv__bitset dead = {0};
    if (own.n && own.n != n_words * 8) {
        return damaged(s, err, "the tombstones have the wrong length");
    }
    if (!own.n && !m->tombstone_gen) {
        return m->n_dead == 0 ? QV_OK : damaged(s, err, "tombstones are missing");
    }
    if (qv__bitset_init(&dead, s->mem, m->n_rows) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for tombstones");
    }
    qv_status st = QV_OK;
    if (m->tombstone_gen) {
        st = qv__tombstones_read(s->env.blobs, s->id, m->tombstone_gen, dead.words, m->n_rows, err);
    } else {
        memcpy(dead.words, own.p, own.n);
    }
    for (size_t row = 0; st == QV_OK && (row = qv__bitset_next(&dead, row)) < m->n_rows; row++) {
        qv__dead_clear_now(&s->dead, (uint32_t)row);
    }
    if (st == QV_OK && atomic_load(&s->dead.n_dead) != m->n_dead) {
        st = damaged(s, err, "the number of tombstones differs from the manifest's");
    }
    s->tombs = (struct qv__tombstone_file){.gen = m->tombstone_gen, .n_dead = m->n_dead};
    qv__bitset_free(&dead);
    return st;
}

static qv_status open_parts(struct qv__segment *s, const struct qv__manifest_segment *m,
                            bool verify, struct qv_err *err)
{
    char name[64];
    struct qv__segment_meta meta;
    qv__segment_blob_name(m->segment_id, name);
    QV_TRY(qv__segfile_open(s->env.blobs, name, s->mem, m->segment_id, m->file_bytes, verify,
                            &s->file, err));
    struct qv__bytes mb = qv__segfile_section(s->file, QV__SEC_META, 0);
    if (mb.n != sizeof meta) {
        return damaged(s, err, "the description has the wrong length");
    }
    memcpy(&meta, mb.p, sizeof meta);
    if (meta.version != 1 || meta.flags != 0) {
        return qv__fail(err, QV_EVERSION,
                        "%s: segment version %" PRIu32 " is not known to this version", name,
                        meta.version);
    }
    if (meta.n_rows != m->n_rows || meta.n_columns > QV__VECTORS_MAX ||
        meta.min_lsn != m->min_lsn || meta.max_lsn != m->max_lsn) {
        return damaged(s, err, "the description differs from the manifest");
    }
    s->file_bytes = qv__segfile_bytes(s->file);
    s->min_lsn = meta.min_lsn;
    atomic_store(&s->max_lsn, meta.max_lsn);
    QV_TRY(open_rows(s, &meta, verify, err));
    qv_status st = qv__idmap_open(s->file, meta.n_rows, s->mem, &s->ids, err);
    if (st == QV_OK) {
        struct qv__bytes tenants = qv__segfile_section(s->file, QV__SEC_TENANTS, 0);
        st = qv__tenants_open(tenants, meta.n_rows, &s->tenants, err);
    }
    if (st != QV_OK) {
        return qv__wrap(err, st, "%s", name);
    }
    for (uint16_t i = 0; i < meta.n_columns; i++) {
        QV_TRY(open_column(s, i, meta.n_rows, verify, err));
    }
    atomic_store(&s->n_rows, meta.n_rows);
    QV_TRY(open_tombstones(s, m, err));
    QV_TRY(qv__fields_sync(s, s->schema, verify, err));
    return qv__expiry_open(s) == QV_OK
               ? QV_OK
               : qv__fail(err, QV_ENOMEM, "no memory for the expiries of %s", name);
}

qv_status qv__sealed_open(const struct qv__segment_env *env, struct qv__schema *schema,
                          const struct qv__manifest_segment *m, bool verify,
                          struct qv__segment **out, struct qv_err *err)
{
    struct qv__segment *s = NULL;
    QV_TRY(qv__segment_alloc(env, schema, m->segment_id, m->n_rows, true, &s, err));
    qv_status st = open_parts(s, m, verify, err);
    if (s->file && !qv__segment_sound(s)) {
        bool first;
        st = qv__segment_fault(s, &first, err);
    }
    if (st != QV_OK) {
        qv__segment_release(s);
        return st;
    }
    qv__segment_advise(s, false);
    qv__segment_place(s, schema, NULL);
    *out = s;
    return QV_OK;
}

qv_status qv__segment_open(const struct qv__segment_env *env, struct qv__schema *schema,
                           const struct qv__manifest_segment *m, struct qv__segment **out,
                           struct qv_err *err)
{
    return qv__sealed_open(env, schema, m, true, out, err);
}

/* Hints to the system about pages of the file. */
static struct qv__bytes column_data(const struct qv__column *c)
{
    uint32_t n = atomic_load(&((struct qv__column *)(uintptr_t)c)->n);
    size_t bytes =
        c->sealed_offsets ? (size_t)c->sealed_offsets[n] : (size_t)n * c->vectors.stride_bytes;
    return (struct qv__bytes){c->single, bytes};
}

/* A search over a graph reads some vectors from anywhere. A system that reads ahead, which may be
 * by megabytes, would push out what is wanted for what is not where memory is short. */
static void advise_walks(const struct qv__segment *s, const struct qv__column *c)
{
    const struct qv__index *x = atomic_load(&((struct qv__column *)(uintptr_t)c)->index);
    struct qv__bytes data = column_data(c);
    if (data.n && x && x->params.kind == QV__INDEX_GRAPH) {
        qv__segfile_advise(s->file, data, QV__ADVISE_RANDOM);
    }
}

void qv__segment_advise(const struct qv__segment *s, bool is_read_through)
{
    for (uint32_t i = 0; s->sealed && i < s->n_columns; i++) {
        struct qv__bytes data = column_data(&s->columns[i]);
        if (is_read_through && data.n) {
            qv__segfile_advise(s->file, data, QV__ADVISE_NORMAL);
        } else if (s->columns[i].def) {
            advise_walks(s, &s->columns[i]);
        }
    }
}

static void place_column(const struct qv__segment *s, const struct qv__column *c, bool on_disk)
{
    struct qv__bytes data = column_data(c);
    if (data.n) {
        qv__segfile_advise(s->file, data, on_disk ? QV__ADVISE_RANDOM : QV__ADVISE_NORMAL);
        qv__segfile_advise(s->file, data, on_disk ? QV__ADVISE_DONTNEED : QV__ADVISE_WILLNEED);
        advise_walks(s, c);
    }
}

void qv__segment_place(const struct qv__segment *s, const struct qv__schema *schema,
                       const struct qv__schema *before)
{
    if (!s->sealed) {
        return;
    }
    for (uint32_t i = 0; i < schema->n_vectors; i++) {
        const struct qv__vector_def *now = &schema->vectors[i];
        uint32_t own = qv__segment_column(s, schema, i);
        bool was = false;
        for (uint32_t k = 0; before && k < before->n_vectors; k++) {
            was |= qv__vector_same(&before->vectors[k], now) && before->vectors[k].on_disk;
        }
        if (own != QV__NO_ROW && s->columns[own].def && now->on_disk != was) {
            place_column(s, &s->columns[own], now->on_disk);
        }
    }
    bool cached = before && before->policy.payload_cached;
    if (schema->policy.payload_cached != cached && s->payloads.n) {
        qv__segfile_advise(s->file, s->payloads, cached ? QV__ADVISE_NORMAL : QV__ADVISE_WILLNEED);
    }
}

bool qv__segment_sound(const struct qv__segment *s)
{
    return !s->sealed || qv__segfile_sound(s->file);
}

qv_status qv__segment_fault(struct qv__segment *s, bool *first, struct qv_err *err)
{
    char name[64];
    qv__segment_blob_name(s->id, name);
    *first = !atomic_exchange(&s->fault_told, true);
    return qv__fail(err, QV_EIO, "%s: the file was cut short or cannot be read while it is in use",
                    name);
}

void qv__sealed_free(struct qv__segment *s)
{
    for (uint32_t i = 0; s->columns && i < s->n_columns; i++) {
        qv__free(s->columns[i].runs);
    }
    qv__segfile_close(s->file);
}

bool qv__sealed_find(const struct qv__segment *s, const struct qv__id *id, uint64_t lsn,
                     uint32_t *row)
{
    /* Versions of one id are neighbours in the order; at most one is visible. */
    for (uint32_t i = qv__idmap_lower_bound(&s->ids, id); i < s->ids.n; i++) {
        uint32_t r = s->ids.order[i];
        struct qv__id at = qv__idmap_get(&s->ids, r);
        if (!qv__id_eq(&at, id)) {
            return false;
        }
        if (qv__segment_row_visible(s, r, lsn)) {
            *row = r;
            return true;
        }
    }
    return false;
}

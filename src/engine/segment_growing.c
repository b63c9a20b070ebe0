/* segment_growing.c: rows in memory: reserve, append, find, index.
 *
 * The writer fills a row completely and then stores n_rows (release); readers use rows below the
 * n_rows they loaded (acquire). Chunk tables have a fixed address, and chunks never move but for
 * the first one of vectors, whose smaller forms stay; so nothing a reader holds is ever
 * reallocated. Only the id map and the deletions take a lock, for a hash lookup. Memory is taken by
 * reserve(), before the record is logged; append() only uses it. */
#include "engine/segment_impl.h"

/* In a file, per row and per vector: rounded up, see docs/internals/ENGINE.md. */
#define SYSTEM_BYTES  64u
#define ORDINAL_BYTES 24u

/* The first vectors of a column: a piece of this size, then twice as much, up to a chunk. */
#define FIRST_BYTES   ((size_t)4 << 10)
#define ALIGN         4u /* of vectors among the bytes */

static uint32_t vector_chunk_shift(uint32_t stride)
{
    uint32_t shift = 0;
    while (shift < 12 && ((size_t)stride << (shift + 1)) <= QV__VECTOR_CHUNK_BYTES) {
        shift++;
    }
    return shift;
}

static qv_status column_init(struct qv__segment *s, uint32_t i)
{
    struct qv__column *c = &s->columns[i];
    c->def = &s->schema->vectors[i];
    uint32_t stride = qv__vec_varies(c->def->kind)
                          ? (uint32_t)sizeof(const void *)
                          : qv__vector_bytes(c->def->datatype, c->def->dim);
    c->vectors = (struct qv__vectors){.stride_bytes = stride,
                                      .dim = c->def->dim,
                                      .datatype = c->def->datatype,
                                      .metric = c->def->metric};
    c->vectors.chunk_shift = vector_chunk_shift(c->vectors.stride_bytes);
    c->n_chunks_max = (s->capacity >> c->vectors.chunk_shift) + 1;
    c->chunks = qv__calloc(s->mem, c->n_chunks_max, sizeof(uint8_t *));
    c->ord_to_row =
        qv__calloc(s->mem, (s->capacity >> QV__ROW_CHUNK_SHIFT) + 1u, sizeof(uint32_t *));
    c->vectors.chunks = (const uint8_t *const *)c->chunks;
    return c->chunks && c->ord_to_row ? qv__sparse_runs_init(s, c) : QV_ENOMEM;
}

qv_status qv__segment_create(const struct qv__segment_env *env, struct qv__schema *schema,
                             uint64_t segment_id, uint32_t capacity, struct qv__segment **out,
                             struct qv_err *err)
{
    struct qv__segment *s = NULL;
    QV_TRY(qv__segment_alloc(env, schema, segment_id, QV_MAX(capacity, 1u), false, &s, err));
    qv__map_init(&s->by_id, s->mem);
    s->rows = qv__calloc(s->mem, (s->capacity >> QV__ROW_CHUNK_SHIFT) + 1u,
                         sizeof(struct qv__row_chunk *));
    qv_status st = s->rows ? QV_OK : QV_ENOMEM;
    for (uint32_t i = 0; st == QV_OK && i < s->n_columns; i++) {
        st = column_init(s, i);
    }
    if (st != QV_OK) {
        qv__segment_release(s);
        return qv__fail(err, st, "no memory for a growing segment");
    }
    st = qv__fields_sync(s, schema, false, err);
    if (st != QV_OK) {
        qv__segment_release(s);
        return st;
    }
    *out = s;
    return QV_OK;
}

void qv__growing_free(struct qv__segment *s)
{
    if (s->env.growing) {
        atomic_fetch_sub_explicit(s->env.growing, s->file_need, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < s->n_row_chunks; i++) {
        qv__free(s->rows[i]);
    }
    qv__free(s->rows);
    for (uint32_t i = 0; s->columns && i < s->n_columns; i++) {
        struct qv__column *c = &s->columns[i];
        for (uint32_t k = 0; k < c->n_chunks; k++) {
            qv__free(c->chunks[k]);
        }
        for (uint32_t k = 0; k < c->n_outgrown; k++) {
            qv__free(c->outgrown[k]);
        }
        for (uint32_t k = 0; c->ord_to_row && k <= s->capacity >> QV__ROW_CHUNK_SHIFT; k++) {
            qv__free(c->ord_to_row[k]);
        }
        qv__free(c->chunks);
        qv__free(c->ord_to_row);
        qv__sparse_runs_free(c);
    }
    while (s->blocks) {
        struct qv__byte_block *next = s->blocks->next;
        qv__free(s->blocks);
        s->blocks = next;
    }
    qv__map_free(&s->by_id);
}

/* --- reserving
 * ------------------------------------------------------------------------------------------------
 */

/* `n` counts what is needed to align each vector that goes there. */
static qv_status reserve_bytes(struct qv__segment *s, size_t n)
{
    if (s->blocks && s->blocks->size - s->blocks->used >= n) {
        return QV_OK;
    }
    size_t size = s->blocks ? QV_MIN(s->blocks->size * 2, (size_t)1 << 20) : 4096, total;
    size = QV_MAX(size, n);
    if (!qv__add_ok(size, sizeof(struct qv__byte_block), &total)) {
        return QV_ENOMEM;
    }
    struct qv__byte_block *b = qv__alloc(s->mem, total);
    if (!b) {
        return QV_ENOMEM;
    }
    *b = (struct qv__byte_block){.next = s->blocks, .size = size};
    s->blocks = b;
    return QV_OK;
}

static qv_status reserve_rows(struct qv__segment *s, uint32_t upto)
{
    while (((uint64_t)s->n_row_chunks << QV__ROW_CHUNK_SHIFT) < upto) {
        struct qv__row_chunk *c =
            qv__alloc(s->mem, sizeof *c + (size_t)s->n_columns * QV__ROW_CHUNK * sizeof(uint32_t));
        if (!c) {
            return QV_ENOMEM;
        }
        s->rows[s->n_row_chunks++] = c;
    }
    return QV_OK;
}

/* Chunk 0 begins small: most of ten thousand collections hold a few points. What it outgrows stays
 * until the segment goes, since readers may be in it; all of that is less than a chunk. */
static qv_status grow_first(struct qv__segment *s, struct qv__column *c, uint32_t upto)
{
    uint32_t whole = UINT32_C(1) << c->vectors.chunk_shift;
    uint64_t n = c->n_first;
    while (n < QV_MIN(upto, whole)) {
        n = n ? n * 2 : QV_MAX(FIRST_BYTES / c->vectors.stride_bytes, (size_t)1);
    }
    if (n == c->n_first) {
        return QV_OK;
    }
    n = c->n_outgrown == QV_ARRAY_LEN(c->outgrown) ? whole : QV_MIN(n, whole);
    uint8_t *p = qv__alloc_aligned(s->mem, 64, (size_t)n * c->vectors.stride_bytes);
    if (!p) {
        return QV_ENOMEM;
    }
    if (c->n_first) {
        memcpy(p, c->chunks[0], (size_t)atomic_load(&c->n) * c->vectors.stride_bytes);
        c->outgrown[c->n_outgrown++] = c->chunks[0];
    } else {
        c->n_chunks = 1;
    }
    c->n_first = (uint32_t)n;
    __atomic_store_n(&c->chunks[0], p, __ATOMIC_RELEASE); /* see qv__vectors_at */
    return QV_OK;
}

static qv_status reserve_vectors(struct qv__segment *s, struct qv__column *c, uint32_t upto)
{
    size_t chunk = (size_t)c->vectors.stride_bytes << c->vectors.chunk_shift;
    QV_TRY(grow_first(s, c, upto));
    while (((uint64_t)c->n_chunks << c->vectors.chunk_shift) < upto) {
        uint8_t *p = qv__alloc_aligned(s->mem, 64, chunk);
        if (!p) {
            return QV_ENOMEM;
        }
        c->chunks[c->n_chunks++] = p;
    }
    for (uint32_t k = 0; ((uint64_t)k << QV__ROW_CHUNK_SHIFT) < upto; k++) {
        if (!c->ord_to_row[k]) {
            c->ord_to_row[k] = qv__alloc(s->mem, QV__ROW_CHUNK * sizeof(uint32_t));
            if (!c->ord_to_row[k]) {
                return QV_ENOMEM;
            }
        }
    }
    return QV_OK;
}

qv_status qv__segment_reserve(struct qv__segment *s, const struct qv__row *rows, size_t n,
                              struct qv_err *err)
{
    uint32_t have = atomic_load(&s->n_rows);
    if (n > s->capacity - have) {
        return qv__fail(err, QV_ETOOBIG, "%zu rows do not fit a segment of %" PRIu32, n,
                        s->capacity);
    }
    size_t bytes = 0;
    uint32_t vectors[QV__VECTORS_MAX] = {0};
    size_t expiring = 0;
    for (size_t i = 0; i < n; i++) {
        expiring += rows[i].expires_ms != INT64_MAX;
        size_t id = rows[i].id.kind == QV__ID_STR ? rows[i].id.len : 0;
        if (rows[i].payload.n > UINT32_MAX || !qv__add_ok(bytes, rows[i].payload.n + id, &bytes)) {
            return qv__fail(err, QV_ETOOBIG, "payload of %zu bytes is too large",
                            rows[i].payload.n);
        }
        for (uint32_t c = 0; c < s->n_columns; c++) {
            const void *v = rows[i].vectors[c];
            const struct qv__vector_def *d = s->columns[c].def;
            vectors[c] += v != NULL;
            if (v && qv__vec_varies(d->kind) &&
                !qv__add_ok(bytes, qv__vector_size(d, v) + ALIGN - 1, &bytes)) {
                return qv__fail(err, QV_ETOOBIG, "%zu rows are too large", n);
            }
        }
    }
    qv_status st = reserve_rows(s, have + (uint32_t)n);
    if (st == QV_OK) {
        st = reserve_bytes(s, bytes);
    }
    if (st == QV_OK) {
        st = qv__expiry_reserve(s, expiring);
    }
    for (uint32_t c = 0; st == QV_OK && c < s->n_columns; c++) {
        st = reserve_vectors(s, &s->columns[c], atomic_load(&s->columns[c].n) + vectors[c]);
    }
    if (st == QV_OK) {
        qv__mutex_lock(&s->lock);
        st = qv__map_reserve(&s->by_id, n);
        qv__mutex_unlock(&s->lock);
    }
    return st == QV_OK ? QV_OK : qv__fail(err, st, "no memory for %zu rows", n);
}

/* --- appending
 * ---------------------------------------------------------------------------------------------------
 */

/* A vector of varying length, aligned. */
static const uint8_t *take_vector(struct qv__segment *s, const void *v, size_t n)
{
    s->blocks->used += (0 - (uintptr_t)(s->blocks->bytes + s->blocks->used)) & (ALIGN - 1);
    uint8_t *at = s->blocks->bytes + s->blocks->used;
    memcpy(at, v, n);
    s->blocks->used += n;
    return at;
}

static const uint8_t *take_bytes(struct qv__segment *s, const void *p, size_t n)
{
    uint8_t *at = s->blocks->bytes + s->blocks->used;
    if (n) {
        memcpy(at, p, n);
    }
    s->blocks->used += n;
    return at;
}

static bool id_eq(uint64_t value, const void *key, void *ctx)
{
    const struct qv__segment *s = ctx;
    return qv__id_eq(&qv__row_chunk(s, (uint32_t)value)->id[qv__row_at((uint32_t)value)], key);
}

static uint32_t append_vector(struct qv__segment *s, struct qv__column *c, const void *v,
                              uint32_t row)
{
    if (!v) {
        return QV__NO_ROW;
    }
    const void *kept = v;
    if (qv__vec_varies(c->def->kind)) {
        kept = take_vector(s, v, qv__vector_size(c->def, v));
        v = &kept;
    }
    uint32_t ord = atomic_load_explicit(&c->n, memory_order_relaxed);
    uint32_t in_chunk = ord & ((1u << c->vectors.chunk_shift) - 1);
    memcpy(c->chunks[ord >> c->vectors.chunk_shift] + (size_t)in_chunk * c->vectors.stride_bytes, v,
           c->vectors.stride_bytes);
    c->ord_to_row[ord >> QV__ROW_CHUNK_SHIFT][qv__row_at(ord)] = row;
    atomic_store_explicit(&c->n, ord + 1, memory_order_release);
    return ord;
}

/* What the row's part of a file will take, about: system columns, the vectors and their place in a
 * graph. */
static void count_need(struct qv__segment *s, const struct qv__row *r, uint64_t bytes)
{
    uint64_t need = bytes + SYSTEM_BYTES + (r->id.kind == QV__ID_STR ? r->id.len : 0);
    for (uint32_t i = 0; i < s->n_columns; i++) {
        const struct qv__vector_def *d = s->columns[i].def;
        if (r->vectors[i]) {
            need += ORDINAL_BYTES;
            need += d->kind == QV__VEC_DENSE    ? 9 * (uint64_t)d->index.m
                    : d->kind == QV__VEC_SPARSE ? 4 * qv__vector_size(d, r->vectors[i])
                                                : 0;
        }
    }
    s->file_need += need;
    if (s->env.growing) {
        atomic_fetch_add_explicit(s->env.growing, need, memory_order_relaxed);
    }
}

uint32_t qv__segment_append(struct qv__segment *s, const struct qv__row *r, uint64_t lsn)
{
    uint32_t row = atomic_load_explicit(&s->n_rows, memory_order_relaxed), at = qv__row_at(row);
    struct qv__row_chunk *c = qv__row_chunk(s, row);
    c->lsn[at] = lsn;
    c->expires[at] = r->expires_ms;
    c->id[at] = r->id;
    if (r->id.kind == QV__ID_STR) {
        c->id[at].s = (const char *)take_bytes(s, r->id.s, r->id.len);
    }
    c->payload[at] = take_bytes(s, r->payload.p, r->payload.n);
    c->payload_n[at] = (uint32_t)r->payload.n;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->n_columns; i++) {
        c->ord[i * QV__ROW_CHUNK + at] = append_vector(s, &s->columns[i], r->vectors[i], row);
        bytes += r->vectors[i] ? qv__vector_size(s->columns[i].def, r->vectors[i]) : 0;
    }
    if (row == 0) {
        s->min_lsn = lsn;
    }
    atomic_store_explicit(&s->max_lsn, lsn, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->vector_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->payload_blocks, qv__payload_blocks(r->payload.n),
                              memory_order_relaxed);
    bytes += r->payload.n;
    atomic_fetch_add_explicit(&s->bytes, bytes, memory_order_relaxed);
    count_need(s, r, bytes);
    uint64_t hash = qv__id_hash(&r->id);
    qv__mutex_lock(&s->lock);
    uint64_t *newest = qv__map_find(&s->by_id, hash, id_eq, &c->id[at], s);
    c->previous[at] = newest ? (uint32_t)*newest : QV__NO_ROW;
    if (r->expires_ms != INT64_MAX) {
        qv__expiry_push(s, row);
    }
    /* Published before the map names it, so a reader that finds the row may read it. */
    atomic_store_explicit(&s->n_rows, row + 1, memory_order_release);
    if (newest) {
        *newest = row;
    } else {
        qv_status st = qv__map_add(&s->by_id, hash, row);
        QV_ASSERT(st == QV_OK); /* reserved */
    }
    qv__mutex_unlock(&s->lock);
    return row;
}

bool qv__segment_find_newest(const struct qv__segment *cs, const struct qv__id *id, uint32_t *row)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    /* The map changes only in the write order: to see that an id is not in it takes no lock. */
    if (!s->sealed && !qv__map_find(&s->by_id, qv__id_hash(id), id_eq, id, s)) {
        return false;
    }
    return qv__segment_find(s, id, QV__LSN_MAX, row);
}

void qv__segment_expect(const struct qv__segment *s, uint64_t id_hash)
{
    if (!s->sealed) {
        qv__map_expect(&s->by_id, id_hash); /* changes only in the write order */
    }
}

bool qv__growing_find(const struct qv__segment *cs, const struct qv__id *id, uint64_t lsn,
                      uint32_t *row)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    bool found = false;
    qv__mutex_lock(&s->lock);
    uint64_t *newest = qv__map_find(&s->by_id, qv__id_hash(id), id_eq, id, s);
    for (uint32_t r = newest ? (uint32_t)*newest : QV__NO_ROW; r != QV__NO_ROW;
         r = qv__row_chunk(s, r)->previous[qv__row_at(r)]) {
        if (qv__row_chunk(s, r)->lsn[qv__row_at(r)] <= lsn) {
            found = qv__dead_alive(&s->dead, r, lsn);
            *row = r;
            break;
        }
    }
    qv__mutex_unlock(&s->lock);
    return found;
}

/* --- indexing
 * -------------------------------------------------------------------------------------------------------
 */

/* Vectors of rows below n_rows that a column's graph is due for and lacks. */
static uint32_t column_owes(struct qv__segment *s, uint32_t i, uint32_t n_rows)
{
    struct qv__index *x = atomic_load(&s->columns[i].index);
    uint32_t n = qv__segment_ords_at(s, i, n_rows), indexed = x ? qv__index_count(x) : 0;
    bool is_due = n >= s->schema->policy.index_rows && n > indexed && qv__column_graph(s, i);
    return is_due ? n - indexed : qv__sparse_runs_owed(&s->columns[i], n);
}

static qv_status index_column(struct qv__segment *s, struct qv__column *c, uint32_t n,
                              struct qv__part *part, struct qv_err *err)
{
    if (c->def->kind == QV__VEC_SPARSE) {
        return qv__sparse_runs_make(s, c, n, part, err);
    }
    struct qv__index_params params = c->def->index;
    params.kind = QV__INDEX_GRAPH;
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct qv__index_env env = {.mem = s->mem,
                                .simd = s->env.simd,
                                .pool = s->env.pool,
                                .threads = s->schema->policy.build_threads,
                                .cancel = qv__work_cancel(part->work),
                                .progress = qv__part_progress,
                                .progress_ctx = part};
    struct qv__index *x = atomic_load(&c->index);
    if (!x) {
        QV_TRY(ops->create(&params, &env, &c->vectors, s->capacity, &x, err));
        atomic_store(&c->index, x);
    }
    return ops->insert(x, &env, n, err);
}

qv_status qv__segment_index(struct qv__segment *s, uint32_t n_rows, const struct qv__work *work,
                            struct qv_err *err)
{
    struct qv__part part = {.work = work};
    qv_status st = QV_OK;
    qv__mutex_lock(&s->indexing);
    for (uint32_t i = 0; i < s->n_columns; i++) {
        part.total += column_owes(s, i, n_rows);
    }
    for (uint32_t i = 0; st == QV_OK && i < s->n_columns; i++) {
        uint32_t owed = column_owes(s, i, n_rows);
        if (owed) {
            st = index_column(s, &s->columns[i], qv__segment_ords_at(s, i, n_rows), &part, err);
            part.before += owed;
        }
    }
    qv__mutex_unlock(&s->indexing);
    return st;
}

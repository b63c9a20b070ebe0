/* segment.c: what both kinds of segment share: life, facts, access to rows, visibility. */
#include "engine/leftovers.h"
#include "engine/segment_impl.h"

#include <stdio.h>

qv_status qv__segment_alloc(const struct qv__segment_env *env, struct qv__schema *schema,
                            uint64_t id, uint32_t capacity, bool sealed, struct qv__segment **out,
                            struct qv_err *err)
{
    char name[48];
    snprintf(name, sizeof name, "segment %" PRIu64, id);
    struct qv__mem *mem = qv__mem_child(env->mem, name, 0);
    struct qv__segment *s = mem ? qv__zalloc(mem, sizeof *s) : NULL;
    if (!s) {
        qv__mem_close(mem);
        return qv__fail(err, QV_ENOMEM, "no memory for a segment");
    }
    atomic_init(&s->refs, 1);
    s->env = *env;
    s->mem = mem;
    s->schema = qv__schema_retain(schema);
    s->id = id;
    s->sealed = sealed;
    s->capacity = capacity;
    atomic_init(&s->expiry.next, INT64_MAX);
    atomic_init(&s->fields_next, UINT32_MAX);
    qv__mutex_init(&s->lock, QV__RANK_SEGMENT);
    qv__mutex_init(&s->indexing, QV__RANK_INDEX);
    s->columns = qv__calloc(mem, QV_MAX(schema->n_vectors, 1u), sizeof *s->columns);
    if (!s->columns || qv__dead_init(&s->dead, mem, capacity) != QV_OK) {
        qv__segment_release(s);
        return qv__fail(err, QV_ENOMEM, "no memory for a segment");
    }
    s->n_columns = schema->n_vectors;
    *out = s;
    return QV_OK;
}

struct qv__segment *qv__segment_retain(struct qv__segment *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void remove_files(struct qv__segment *s)
{
    char name[64];
    struct qv_err err;
    struct qv__blobs *blobs = s->env.blobs;
    if (s->tombs.gen) {
        qv__tombstones_blob_name(s->id, s->tombs.gen, name);
        (void)!qv__leftovers_remove(s->env.leftovers, blobs, name, &err);
    }
    qv__segment_blob_name(s->id, name);
    if (qv__leftovers_remove(s->env.leftovers, blobs, name, &err) != QV_OK) {
        qv__log_line(s->env.logger, QV__LEVEL_WARN, "segment", "%s stays for now: %s", name,
                     err.message);
    }
}

void qv__segment_release(struct qv__segment *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < s->n_columns; i++) {
        struct qv__index *x = atomic_load(&s->columns[i].index);
        if (x) {
            x->ops->free(x);
        }
    }
    qv__filter_cache_free(&s->cache);
    qv__field_set_release(s->fields); /* before the file its blocks lie in */
    if (s->sealed) {
        qv__sealed_free(s);
        if (atomic_load(&s->doomed)) {
            remove_files(s);
        }
    } else {
        qv__growing_free(s);
    }
    qv__dead_free(&s->dead);
    qv__expiry_free(&s->expiry);
    qv__free(s->columns);
    qv__schema_release(s->schema);
    qv__mutex_destroy(&s->lock);
    qv__mutex_destroy(&s->indexing);
    struct qv__mem *mem = s->mem;
    qv__free(s);
    qv__mem_close(mem);
}

void qv__segment_doom(struct qv__segment *s)
{
    atomic_store(&s->doomed, true);
}

/* --- facts
 * -------------------------------------------------------------------------------------------------
 */

uint64_t qv__segment_id_number(const struct qv__segment *s)
{
    return s->id;
}

bool qv__segment_sealed(const struct qv__segment *s)
{
    return s->sealed;
}

struct qv__schema *qv__segment_schema(const struct qv__segment *s)
{
    return s->schema;
}

uint32_t qv__segment_rows(const struct qv__segment *s)
{
    return atomic_load_explicit(&s->n_rows, memory_order_acquire);
}

uint32_t qv__segment_capacity(const struct qv__segment *s)
{
    return s->capacity;
}

uint64_t qv__segment_bytes(const struct qv__segment *s)
{
    return s->sealed ? s->file_bytes : atomic_load_explicit(&s->bytes, memory_order_relaxed);
}

void qv__segment_sizes(const struct qv__segment *s, uint64_t *vectors, uint64_t *payload)
{
    *payload = atomic_load_explicit(&s->payload_blocks, memory_order_relaxed) * QV__PAYLOAD_BLOCK;
    *vectors = atomic_load_explicit(&s->vector_bytes, memory_order_relaxed);
    for (uint32_t i = 0; s->sealed && i < s->n_columns; i++) {
        const struct qv__column *c = &s->columns[i];
        uint32_t n = atomic_load_explicit(&c->n, memory_order_relaxed);
        *vectors +=
            c->sealed_offsets ? c->sealed_offsets[n] : (uint64_t)n * c->vectors.stride_bytes;
    }
}

uint64_t qv__segment_need(const struct qv__segment *s)
{
    return s->file_need;
}

uint64_t qv__segment_min_lsn(const struct qv__segment *s)
{
    return s->min_lsn;
}

uint64_t qv__segment_max_lsn(const struct qv__segment *s)
{
    return atomic_load_explicit(&s->max_lsn, memory_order_relaxed);
}

uint32_t qv__segment_unindexed(const struct qv__segment *s)
{
    uint32_t most = 0;
    if (!s->sealed && s->schema->policy.index_at_seal_only) {
        return 0;
    }
    for (uint32_t i = 0; i < s->n_columns; i++) {
        uint32_t n = atomic_load_explicit(&s->columns[i].n, memory_order_relaxed);
        struct qv__index *x = atomic_load(&s->columns[i].index);
        uint32_t indexed = x ? qv__index_count(x) : 0;
        if (n >= s->schema->policy.index_rows && n > indexed && qv__column_graph(s, i)) {
            most = QV_MAX(most, n - indexed);
        }
        if (!s->sealed) {
            most = QV_MAX(most, qv__sparse_runs_owed(&s->columns[i], n));
        }
    }
    return most;
}

uint64_t qv__segment_tail_bytes(const struct qv__segment *s)
{
    uint64_t bytes = 0;
    if (s->sealed || s->schema->policy.index_at_seal_only) {
        return 0;
    }
    for (uint32_t i = 0; i < s->n_columns; i++) {
        uint32_t n = atomic_load_explicit(&s->columns[i].n, memory_order_relaxed);
        struct qv__index *x = atomic_load(&s->columns[i].index);
        uint32_t indexed = x ? qv__index_count(x) : 0;
        if (n >= s->schema->policy.index_rows && n > indexed && qv__column_graph(s, i)) {
            bytes += (uint64_t)(n - indexed) * s->columns[i].vectors.stride_bytes;
        }
    }
    return bytes;
}

void qv__segment_describe(const struct qv__segment *s, uint64_t *memory_bytes, uint64_t *file_bytes,
                          uint64_t *indexed, const char **index_kind)
{
    *memory_bytes = qv__mem_used(s->mem);
    *file_bytes = s->sealed ? s->file_bytes : 0;
    *indexed = 0;
    *index_kind = "flat";
    for (uint32_t i = 0; i < s->n_columns; i++) {
        struct qv__index *x = atomic_load(&s->columns[i].index);
        if (x) {
            struct qv__index_info info;
            x->ops->describe(x, &info);
            *indexed += info.n;
            *index_kind = info.kind;
        }
        uint32_t runs = atomic_load_explicit(&s->columns[i].n_runs, memory_order_acquire);
        for (uint32_t k = 0; k < runs; k++) {
            *indexed += s->columns[i].runs[k].p.n_ords;
        }
    }
}

void qv__segment_manifest(const struct qv__segment *cs, struct qv__manifest_segment *out)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    qv__mutex_lock(&s->lock);
    *out = (struct qv__manifest_segment){.segment_id = s->id,
                                         .file_bytes = s->file_bytes,
                                         .n_rows = qv__segment_rows(s),
                                         .n_dead = s->tombs.n_dead,
                                         .tombstone_gen = s->tombs.gen,
                                         .min_lsn = s->min_lsn,
                                         .max_lsn = qv__segment_max_lsn(s)};
    qv__mutex_unlock(&s->lock);
}

void qv__part_progress(void *part, uint64_t done, uint64_t total)
{
    const struct qv__part *p = part;
    (void)total;
    if (p->work && p->work->progress) {
        p->work->progress(p->work->ctx, p->before + done, p->total);
    }
}

/* --- rows
 * ---------------------------------------------------------------------------------------------------------
 */

struct qv__id qv__segment_row_id(const struct qv__segment *s, uint32_t row)
{
    return s->sealed ? qv__idmap_get(&s->ids, row) : qv__row_chunk(s, row)->id[qv__row_at(row)];
}

uint64_t qv__segment_row_lsn(const struct qv__segment *s, uint32_t row)
{
    return s->sealed ? s->lsns[row] : qv__row_chunk(s, row)->lsn[qv__row_at(row)];
}

uint64_t qv__segment_row_version(const struct qv__segment *s, uint32_t row)
{
    return qv__segment_row_lsn(s, row);
}

int64_t qv__segment_row_expires(const struct qv__segment *s, uint32_t row)
{
    if (s->sealed) {
        return s->expires ? s->expires[row] : INT64_MAX;
    }
    return qv__row_chunk(s, row)->expires[qv__row_at(row)];
}

struct qv__bytes qv__segment_row_payload(const struct qv__segment *s, uint32_t row)
{
    if (s->sealed) {
        /* Checked at open; when the file failed since, one of the two may be 0 by now. */
        uint64_t from = s->payload_offsets[row], to = s->payload_offsets[row + 1];
        bool ok = from <= to && to <= s->payloads.n;
        return (struct qv__bytes){s->payloads.p + (ok ? from : 0), ok ? (size_t)(to - from) : 0};
    }
    const struct qv__row_chunk *c = qv__row_chunk(s, row);
    return (struct qv__bytes){c->payload[qv__row_at(row)], c->payload_n[qv__row_at(row)]};
}

uint32_t qv__segment_ord(const struct qv__segment *s, uint32_t column, uint32_t row)
{
    const struct qv__column *c = &s->columns[column];
    if (!s->sealed) {
        return qv__row_chunk(s, row)->ord[column * QV__ROW_CHUNK + qv__row_at(row)];
    }
    if (!c->def) {
        return QV__NO_ROW;
    }
    if (!c->sealed_row_to_ord) {
        return row;
    }
    /* Below n by what was checked at open; when the file failed since, 0 may be too much. */
    uint32_t ord = c->sealed_row_to_ord[row];
    return ord < atomic_load_explicit(&c->n, memory_order_relaxed) ? ord : QV__NO_ROW;
}

uint32_t qv__segment_ord_row(const struct qv__segment *s, uint32_t column, uint32_t ord)
{
    const struct qv__column *c = &s->columns[column];
    if (!s->sealed) {
        return c->ord_to_row[ord >> QV__ROW_CHUNK_SHIFT][qv__row_at(ord)];
    }
    return c->sealed_ord_to_row ? c->sealed_ord_to_row[ord] : ord;
}

uint32_t qv__segment_ords_at(const struct qv__segment *s, uint32_t column, uint32_t n_rows)
{
    uint32_t lo = 0, hi = atomic_load_explicit(&s->columns[column].n, memory_order_acquire);
    if (hi == 0 || qv__segment_ord_row(s, column, hi - 1) < n_rows) {
        return hi;
    }
    while (lo < hi) { /* rows rise with ordinals */
        uint32_t mid = lo + (hi - lo) / 2;
        if (qv__segment_ord_row(s, column, mid) < n_rows) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

uint32_t qv__segment_column(const struct qv__segment *s, const struct qv__schema *schema,
                            uint32_t column)
{
    const struct qv__vector_def *own = s->schema->vectors, *want = &schema->vectors[column];
    if (s->schema == schema || (column < s->n_columns && qv__vector_same(&own[column], want))) {
        return column;
    }
    for (uint32_t i = 0; i < s->n_columns; i++) {
        if (qv__vector_same(&own[i], want)) {
            return i;
        }
    }
    return QV__NO_ROW;
}

const void *qv__segment_row_vector(const struct qv__segment *s, const struct qv__schema *schema,
                                   uint32_t column, uint32_t row)
{
    uint32_t own = qv__segment_column(s, schema, column);
    uint32_t ord = own == QV__NO_ROW ? QV__NO_ROW : qv__segment_ord(s, own, row);
    return ord == QV__NO_ROW ? NULL : qv__column_vector(&s->columns[own], ord);
}

bool qv__segment_find(const struct qv__segment *s, const struct qv__id *id, uint64_t lsn,
                      uint32_t *row)
{
    return s->sealed ? qv__sealed_find(s, id, lsn, row) : qv__growing_find(s, id, lsn, row);
}

bool qv__segment_row_visible(const struct qv__segment *cs, uint32_t row, uint64_t lsn)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    if (qv__segment_row_lsn(s, row) > lsn) {
        return false;
    }
    qv__mutex_lock(&s->lock);
    bool alive = qv__dead_alive(&s->dead, row, lsn);
    qv__mutex_unlock(&s->lock);
    return alive;
}

/* --- visibility
 * ------------------------------------------------------------------------------------------------------
 */

/* Rows with an LSN at or below lsn: a prefix of a growing segment. */
static uint32_t rows_at(const struct qv__segment *s, uint64_t lsn)
{
    uint32_t lo = 0, hi = qv__segment_rows(s);
    if (hi == 0 || qv__segment_row_lsn(s, hi - 1) <= lsn) {
        return hi;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (qv__segment_row_lsn(s, mid) <= lsn) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Clear rows that were inserted after lsn: only readers older than a seal meet them in a sealed
 * segment. */
static void hide_newer(const struct qv__segment *s, uint64_t lsn, struct qv__bitset *set)
{
    for (uint32_t row = 0; row < set->n_bits; row++) {
        if (s->lsns[row] > lsn) {
            qv__bit_clear(set->words, row);
        }
    }
}

qv_status qv__segment_visible(const struct qv__segment *cs, uint64_t lsn, int64_t now_ms,
                              struct qv__mem *mem, struct qv__visible *out, struct qv_err *err)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    struct qv__dead *d = &s->dead;
    memset(out, 0, sizeof *out);
    out->lsn = lsn;
    bool newer = s->sealed && qv__segment_max_lsn(s) > lsn;
    out->n_rows = s->sealed ? qv__segment_rows(s) : rows_at(s, lsn);
    /* After the rows: an append enters its expiry first. */
    bool expired = qv__segment_next_expiry(s) <= now_ms;
    if (!newer && !expired && atomic_load(&d->n_uncleared) == 0) {
        if (atomic_load(&d->n_dead) == 0) {
            out->count = out->n_rows;
        } else {
            out->words = d->live;
            out->count = qv__bits_count(d->live, out->n_rows);
        }
        return QV_OK;
    }
    if (qv__bitset_init(&out->own, mem, out->n_rows) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for a row set of %" PRIu32, out->n_rows);
    }
    size_t n_words = qv__bitset_words(out->n_rows);
    qv__mutex_lock(&s->lock);
    for (size_t w = 0; w < n_words; w++) {
        out->own.words[w] = __atomic_load_n(&d->live[w], __ATOMIC_RELAXED);
    }
    if (out->n_rows & 63) {
        out->own.words[n_words - 1] &= (UINT64_C(1) << (out->n_rows & 63)) - 1;
    }
    qv__dead_mark(out->own.words, d, out->n_rows, lsn);
    if (expired) {
        qv__expiry_mark(s, 0, now_ms, out->n_rows, out->own.words);
    }
    qv__mutex_unlock(&s->lock);
    if (newer) {
        hide_newer(s, lsn, &out->own);
    }
    out->words = out->own.words;
    out->count = qv__bitset_count(&out->own);
    return QV_OK;
}

void qv__visible_free(struct qv__visible *v)
{
    qv__bitset_free(&v->own);
    v->words = NULL;
}

/* shard.c: applying effects to a shard's segments, and starting new growing ones.
 *
 * Everything here runs under the shard's write order. reserve() takes all memory first, so that
 * apply(), which comes after the record is in the log, cannot fail: a logged record is always
 * applied. Deletions of an old row and the append of its successor carry the same LSN, so a reader
 * sees one of the two, never both or neither. */
#include "engine/collection.h"

#define EXPECTED ((size_t)16) /* ids whose look-ups overlap */

uint32_t qv__shard_of(uint32_t n_shards, const struct qv__id *id)
{
    /* Jump consistent hash (Lamping and Veach 2014): growing the number of shards moves the fewest
     * ids. */
    uint64_t key = qv__id_hash(id);
    int64_t b = -1, j = 0;
    while (j < (int64_t)n_shards) {
        b = j;
        key = key * UINT64_C(2862933555777941757) + 1;
        j = (int64_t)((double)(b + 1) * ((double)(INT64_C(1) << 31) / (double)((key >> 33) + 1)));
    }
    return (uint32_t)b;
}

bool qv__shard_find(struct qv__shard *s, const struct qv__id *id, struct qv__segment **segment,
                    uint32_t *row)
{
    /* The write order is held, so the view cannot change; newest first, where updates mostly are.
     */
    const struct qv__view *v = s->view;
    for (uint32_t i = v->n; i-- > 0;) {
        if (qv__segment_find_newest(v->segments[i], id, row)) {
            *segment = v->segments[i];
            return true;
        }
    }
    return false;
}

qv_status qv__shard_fill(struct qv__shard *s, struct qv__segment *const *list, uint32_t n,
                         uint64_t flushed, struct qv_err *err)
{
    struct qv__mem *mem = s->collection->mem;
    struct qv__view *v = NULL;
    struct qv__segment **all = qv__calloc(mem, n + 1u, sizeof(struct qv__segment *));
    if (!all) {
        return qv__fail(err, QV_ENOMEM, "no memory for a view of %" PRIu32 " segments", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        all[i] = list[i];
    }
    all[n] = s->active;
    qv_status st = qv__view_create(mem, all, n + 1, &v, err);
    qv__free(all);
    QV_TRY(st);
    qv__mutex_lock(&s->write);
    qv__shard_swap(s, v);
    atomic_store(&s->flushed_lsn, flushed);
    s->last_lsn = flushed;
    qv__mutex_unlock(&s->write);
    return QV_OK;
}

qv_status qv__shard_roll(struct qv__shard *s, struct qv__schema *schema, uint32_t capacity,
                         struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    const struct qv__view *old = s->view;
    uint32_t n = old ? old->n : 0;
    if (s->active && qv__segment_rows(s->active) == 0) {
        n--; /* replaced: there is nothing in it to keep */
    }
    uint64_t id = atomic_fetch_add(&c->db->next_file_id, 1);
    struct qv__segment *fresh = NULL;
    QV_TRY(qv__segment_create(&c->env, schema, id, capacity, &fresh, err));
    struct qv__view *v = NULL;
    struct qv__segment **list = qv__calloc(c->mem, n + 1u, sizeof(struct qv__segment *));
    qv_status st = list ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for a new segment");
    if (st == QV_OK) {
        for (uint32_t i = 0; i < n; i++) {
            list[i] = old->segments[i];
        }
        list[n] = fresh;
        st = qv__view_create(c->mem, list, n + 1, &v, err);
    }
    qv__free(list);
    qv__segment_release(fresh); /* the view holds it */
    if (st != QV_OK) {
        return st;
    }
    qv__shard_swap(s, v);
    s->active = fresh;
    return QV_OK;
}

/* True if another segment should be begun before n more rows go in. */
static bool is_full(const struct qv__shard *s, const struct qv__schema *schema, size_t n)
{
    uint32_t rows = qv__segment_rows(s->active);
    const struct qv__schema *own = qv__segment_schema(s->active);
    if (own != schema && (rows == 0 || !qv__schema_same_columns(own, schema))) {
        return true; /* it was begun before a change of the schema */
    }
    if (rows == 0) {
        return n > qv__segment_capacity(s->active);
    }
    return rows + n > qv__segment_capacity(s->active) || rows >= schema->policy.seal_rows ||
           qv__segment_bytes(s->active) >= schema->policy.seal_bytes;
}

/* Each look-up in each growing segment is a miss of the cache: let those of some ids overlap. */
static void expect(const struct qv__shard *s, const struct qv__effect *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = qv__id_hash(&e[i].id);
        for (uint32_t k = 0; k < s->view->n; k++) {
            qv__segment_expect(s->view->segments[k], hash);
        }
    }
}

qv_status qv__shard_reserve(struct qv__shard *s, struct qv__schema *schema, struct qv__effect *e,
                            size_t n, struct qv_err *err)
{
    struct qv__mem *mem = s->collection->mem;
    size_t n_rows = 0;
    struct qv__row *rows = qv__calloc(mem, n + 1, sizeof *rows);
    size_t n_views = s->view->n;
    size_t *deletes = qv__calloc(mem, n_views + 1, sizeof *deletes);
    const void **vectors =
        qv__calloc(mem, (n + 1) * QV_MAX(schema->n_vectors, 1u), sizeof *vectors);
    qv_status st =
        rows && deletes && vectors ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory to apply a write");
    for (size_t i = 0; st == QV_OK && i < n; i++) {
        struct qv__segment *seg = NULL;
        uint32_t row = 0;
        if (i % EXPECTED == 0 && n > 1) {
            expect(s, e + i, QV_MIN(n - i, EXPECTED));
        }
        bool found = qv__shard_find(s, &e[i].id, &seg, &row);
        e[i].old = found ? seg : NULL;
        e[i].old_row = row;
        if (found) {
            for (size_t k = 0; k < n_views; k++) {
                deletes[k] += s->view->segments[k] == seg;
            }
        }
        if (e[i].kind == QV__EFFECT_DELETE || (e[i].kind == QV__EFFECT_PAYLOAD && !found)) {
            continue;
        }
        struct qv__row *r = &rows[n_rows];
        *r = (struct qv__row){.id = e[i].id,
                              .vectors = e[i].vectors,
                              .payload = e[i].payload,
                              .expires_ms = e[i].expires_ms};
        if (e[i].kind == QV__EFFECT_PAYLOAD) {
            r->expires_ms = e[i].expires_ms = qv__segment_row_expires(seg, row);
            const void **columns = vectors + n_rows * schema->n_vectors;
            e[i].has = 0;
            for (uint32_t c = 0; c < schema->n_vectors; c++) {
                columns[c] = qv__segment_row_vector(seg, schema, c, row);
                e[i].has |= (uint32_t)(columns[c] != NULL) << c;
            }
            r->vectors = columns;
        }
        n_rows++;
    }
    for (size_t k = 0; st == QV_OK && k < n_views; k++) {
        if (deletes[k]) {
            st = qv__segment_reserve_deletes(s->view->segments[k], deletes[k], err);
        }
    }
    if (st == QV_OK && n_rows && is_full(s, schema, n_rows)) {
        uint32_t capacity = (uint32_t)QV_MAX((size_t)schema->policy.seal_rows, n_rows);
        st = qv__shard_roll(s, schema, capacity, err);
    }
    if (st == QV_OK && n_rows) {
        st = qv__segment_reserve(s->active, rows, n_rows, err);
    }
    qv__free(rows);
    qv__free(deletes);
    qv__free(vectors);
    return st;
}

uint64_t qv__shard_apply(struct qv__shard *s, const struct qv__effect *e, size_t n, uint64_t lsn)
{
    uint64_t changed = 0;
    const struct qv__schema *schema = qv__segment_schema(s->active); /* has the effects' columns */
    const void *columns[QV__VECTORS_MAX];
    for (size_t i = 0; i < n; i++, e++) {
        bool found = e->old != NULL;
        struct qv__row r = {
            .id = e->id, .vectors = e->vectors, .payload = e->payload, .expires_ms = e->expires_ms};
        if (e->kind == QV__EFFECT_PAYLOAD) {
            if (!found) {
                continue;
            }
            for (uint32_t c = 0; c < schema->n_vectors; c++) {
                columns[c] =
                    e->has >> c & 1 ? qv__segment_row_vector(e->old, schema, c, e->old_row) : NULL;
            }
            r.vectors = columns;
        }
        if (found) {
            qv__segment_delete(e->old, e->old_row, lsn);
        }
        if (e->kind != QV__EFFECT_DELETE) {
            qv__segment_append(s->active, &r, lsn);
            if (r.expires_ms != INT64_MAX) {
                qv__purge_note(s, r.expires_ms);
            }
        }
        changed += found || e->kind != QV__EFFECT_DELETE;
    }
    s->last_lsn = lsn;
    return changed;
}

/* read.c: results, points by id, ordered scans, counts. All results of a call are of one read view.
 */
#include "engine/read.h"

#include "base/topk.h"
#include "engine/segment_fields.h"
#include "engine/vector.h"

/* --- results --- */

qv_status qv__result_open(struct qv__collection *c, struct qv__qctx *ctx,
                          struct qv__result_set *out, struct qv_err *err)
{
    memset(out, 0, sizeof *out);
    qv__arena_init(&out->arena, c->mem_query);
    QV_TRY(qv__read_view_open(c, ctx, &out->view, err));
    out->schema = out->view->schema;
    return QV_OK;
}

void qv__result_free(struct qv__result_set *rs)
{
    if (!rs || !rs->arena.mem) {
        return;
    }
    struct qv__read_view *v = rs->view;
    rs->view = NULL;
    qv__arena_free(&rs->arena);
    rs->arena.mem = NULL;
    rs->points = NULL;
    rs->n = 0;
    qv__read_view_close(v);
}

qv_status qv__result_reserve(struct qv__result_set *rs, size_t n, struct qv_err *err)
{
    rs->points = qv__arena_calloc(&rs->arena, n + 1, sizeof *rs->points);
    return rs->points ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for %zu results", n);
}

static bool vector_wanted(const struct qv__fetch *f, struct qv__str name)
{
    if (f->vectors == QV__VECTORS_ALL) {
        return true;
    }
    for (size_t i = 0; i < f->n_vector_names; i++) {
        if (qv__str_eq(f->vector_names[i], name)) {
            return true;
        }
    }
    return false;
}

/* The vector of a row as floats: in place, or widened into the results' memory; NULL without
 * memory. */
static const float *vector_out(struct qv__result_set *rs, uint32_t column, const void *v)
{
    return qv__vector_show(&rs->schema->vectors[column], &rs->arena, v);
}

/* Results outlive the look at the mapped files that ends a read, so they must not point into them.
 */
static const void *copied(struct qv__result_set *rs, const void *p, size_t n, bool *ok)
{
    void *copy = n ? qv__arena_alloc(&rs->arena, n) : NULL;
    if (!copy) {
        *ok = *ok && n == 0;
        return p;
    }
    return memcpy(copy, p, n);
}

static void copy_id(struct qv__result_set *rs, struct qv__id *id, bool *ok)
{
    if (id->kind == QV__ID_STR) {
        id->s = copied(rs, id->s, id->len, ok);
    }
}

static qv_status copy_mapped(struct qv__result_set *rs, struct qv__result_point *p,
                             const float **vectors, struct qv_err *err)
{
    bool ok = true;
    copy_id(rs, &p->id, &ok);
    p->payload.p = copied(rs, p->payload.p, p->payload.n, &ok);
    for (uint32_t i = 0; vectors && i < rs->schema->n_vectors; i++) {
        if (vectors[i] && rs->schema->vectors[i].datatype == QV__F32) { /* else widened: ours */
            const struct qv__vector_def *d = &rs->schema->vectors[i];
            vectors[i] = copied(rs, vectors[i], qv__vector_shown_bytes(d, vectors[i]), &ok);
        }
    }
    return ok ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for results");
}

qv_status qv__result_add(struct qv__result_set *rs, const struct qv__segment *seg, uint32_t row,
                         float score, const struct qv__fetch *f, struct qv_err *err)
{
    struct qv__result_point *p = &rs->points[rs->n];
    *p = (struct qv__result_point){.id = qv__segment_row_id(seg, row),
                                   .version = qv__segment_row_version(seg, row),
                                   .expires_ms = qv__segment_row_expires(seg, row),
                                   .score = score};
    if (f && f->payload.kind != QV__SELECT_NONE) {
        p->payload = qv__segment_row_payload(seg, row);
    }
    const float **v = NULL;
    if (f && f->vectors != QV__VECTORS_NONE) {
        v = qv__arena_calloc(&rs->arena, QV_MAX(rs->schema->n_vectors, 1u), sizeof *v);
        if (!v) {
            return qv__fail(err, QV_ENOMEM, "no memory for results");
        }
        for (uint32_t i = 0; i < rs->schema->n_vectors; i++) {
            const void *stored = vector_wanted(f, rs->schema->vectors[i].name)
                                     ? qv__segment_row_vector(seg, rs->schema, i, row)
                                     : NULL;
            v[i] = stored ? vector_out(rs, i, stored) : NULL;
            if (stored && !v[i]) {
                return qv__fail(err, QV_ENOMEM, "no memory for results");
            }
        }
        p->vectors = v;
    }
    if (qv__segment_sealed(seg)) {
        QV_TRY(copy_mapped(rs, p, v, err));
    }
    rs->n++;
    return QV_OK;
}

static qv_status fetch_check(const struct qv__schema *s, const struct qv__fetch *f,
                             struct qv_err *err)
{
    for (size_t i = 0; f && f->vectors == QV__VECTORS_NAMED && i < f->n_vector_names; i++) {
        if (qv__schema_vector(s, f->vector_names[i]) < 0) {
            return qv__fail(err, QV_EINVAL, "Not existing vector name error: %.*s",
                            (int)QV_MIN(f->vector_names[i].n, (size_t)64), f->vector_names[i].p);
        }
    }
    return QV_OK;
}

qv_status qv__fetch_check(const struct qv__schema *s, const struct qv__fetch *f, struct qv_err *err)
{
    return fetch_check(s, f, err);
}

/* --- by id
 * ----------------------------------------------------------------------------------------------------
 */

bool qv__read_find(const struct qv__read_view *v, const struct qv__id *id,
                   const struct qv__segment **seg, uint32_t *row)
{
    const struct qv__view *view = v->views[qv__shard_of(v->n, id)];
    for (uint32_t i = view->n; i-- > 0;) {
        if (qv__segment_find(view->segments[i], id, v->ticket.lsn, row)) {
            *seg = view->segments[i];
            return qv__segment_row_expires(*seg, *row) > v->now_ms;
        }
    }
    return false;
}

static bool same_id(uint64_t value, const void *key, void *ctx)
{
    return qv__id_eq((const struct qv__id *)ctx + value, key);
}

qv_status qv__collection_get(struct qv__collection *c, const struct qv__id *ids, size_t n,
                             const struct qv__fetch *f, struct qv__qctx *ctx,
                             struct qv__result_set *out, struct qv_err *err)
{
    struct qv__map seen;
    qv__map_init(&seen, c->mem_query);
    qv_status st = qv__result_open(c, ctx, out, err);
    QV_GOTO(st);
    QV_GOTO(fetch_check(out->schema, f, err));
    QV_GOTO(qv__result_reserve(out, n, err));
    for (size_t i = 0; i < n; i++) {
        const struct qv__segment *seg = NULL;
        uint32_t row = 0;
        if ((i & 1023) == 0 && (st = qv__qctx_check(ctx)) != QV_OK) {
            QV_GOTO(qv__fail(err, st, "%s", qv_status_text(st)));
        }
        if (qv__map_find(&seen, qv__id_hash(&ids[i]), same_id, &ids[i], (void *)(uintptr_t)ids)) {
            continue;
        }
        QV_GOTO(qv__map_add(&seen, qv__id_hash(&ids[i]), i));
        if (qv__read_find(out->view, &ids[i], &seg, &row)) {
            QV_GOTO(qv__result_add(out, seg, row, 0.0f, f, err));
        }
    }
out:
    qv__map_free(&seen);
    st = qv__read_view_settle(out->view, st, err);
    if (st != QV_OK) {
        qv__result_free(out);
    }
    return st;
}

/* --- in id order
 * ------------------------------------------------------------------------------------------------
 */

struct scroll_source {
    struct qv__id_cursor cursor;
    struct qv__visible visible;
    struct qv__bitset sure, possible; /* by the field indexes, when `served` */
    const struct qv__segment *segment;
    uint32_t row;
    bool open, has_row, served;
};

struct scroll {
    struct scroll_source *sources;
    size_t n;
    struct qv__steps steps;
};

/* Of a row, whether it matches or not. */
#define ROW_UNITS 64u

/* Next row of a source that matches the filter. */
static qv_status source_next(struct scroll_source *s, const struct qv__schema *schema,
                             const struct qv__filter *filter, struct qv__qctx *ctx,
                             struct qv__steps *steps, struct qv_err *err)
{
    for (;;) {
        if (!qv__steps_on(steps, ROW_UNITS)) {
            return qv__fail(err, steps->status, "scroll: %s", qv_status_text(steps->status));
        }
        s->has_row = qv__id_cursor_next(&s->cursor, &s->row);
        if (!s->has_row || !filter || (s->served && qv__bit_test(s->sure.words, s->row))) {
            return QV_OK;
        }
        ctx->stats.rows_filtered++;
        if (qv__segment_row_match(s->segment, schema, s->row, filter, steps)) {
            return QV_OK;
        }
    }
}

static void source_close(struct scroll_source *s)
{
    qv__id_cursor_close(&s->cursor);
    qv__bitset_free(&s->sure);
    qv__bitset_free(&s->possible);
    qv__visible_free(&s->visible);
}

static qv_status source_open(struct scroll_source *s, const struct qv__read_view *v,
                             const struct qv__segment *seg, const struct qv__id *from,
                             uint64_t limit, const struct qv__filter *filter, struct qv__qctx *ctx,
                             struct qv__steps *steps, struct qv_err *err)
{
    s->segment = seg;
    QV_TRY(qv__segment_visible(seg, v->ticket.lsn, v->now_ms, ctx->mem, &s->visible, err));
    /* With a filter the number of rows that must be looked at is not known beforehand. */
    uint64_t want = filter ? UINT64_MAX : limit;
    s->open = true;
    QV_TRY(qv__segment_bounds(seg, v->schema, &s->visible, filter, ctx, &s->sure, &s->possible,
                              &s->served, err));
    QV_TRY(qv__id_cursor_open(seg, from, want, s->served ? s->possible.words : s->visible.words,
                              s->visible.n_rows, ctx->mem, &s->cursor, err));
    return source_next(s, v->schema, filter, ctx, steps, err);
}

static struct scroll_source *smallest(struct scroll *s)
{
    struct scroll_source *best = NULL;
    struct qv__id best_id = {0};
    for (size_t i = 0; i < s->n; i++) {
        if (s->sources[i].has_row) {
            struct qv__id id = qv__segment_row_id(s->sources[i].segment, s->sources[i].row);
            if (!best || qv__id_cmp(&id, &best_id) < 0) {
                best = &s->sources[i];
                best_id = id;
            }
        }
    }
    return best;
}

qv_status qv__collection_scroll(struct qv__collection *c, const struct qv__id *from, uint64_t limit,
                                const struct qv__filter *filter, const struct qv__fetch *f,
                                struct qv__qctx *ctx, struct qv__result_set *out,
                                struct qv_err *err)
{
    struct scroll s = {.steps = {.q = ctx}};
    size_t n = 0;
    qv_status st = qv__result_open(c, ctx, out, err);
    QV_GOTO(st);
    QV_GOTO(fetch_check(out->schema, f, err));
    if (limit == 0 || limit > QV__LIMIT_MAX) {
        QV_GOTO(qv__fail(err, QV_EVALIDATION,
                         "limit: value %" PRIu64 " invalid, must be from 1 to %u", limit,
                         QV__LIMIT_MAX));
    }
    for (uint32_t k = 0; k < out->view->n; k++) {
        n += out->view->views[k]->n;
    }
    s.sources = qv__arena_calloc(&out->arena, n + 1, sizeof *s.sources);
    if (!s.sources) {
        QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory to scroll"));
    }
    uint64_t available = 0;
    for (uint32_t k = 0; k < out->view->n; k++) {
        for (uint32_t i = 0; i < out->view->views[k]->n; i++) {
            struct scroll_source *src = &s.sources[s.n++];
            QV_GOTO(source_open(src, out->view, out->view->views[k]->segments[i], from, limit + 1,
                                filter, ctx, &s.steps, err));
            available += src->visible.count;
        }
    }
    QV_GOTO(qv__result_reserve(out, (size_t)QV_MIN(limit, available), err));
    struct scroll_source *src;
    while ((src = smallest(&s)) != NULL) {
        if (out->n == limit) {
            out->next_offset = qv__segment_row_id(src->segment, src->row);
            out->has_next = true;
            bool ok = true;
            copy_id(out, &out->next_offset, &ok);
            if (!ok) {
                QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory to scroll"));
            }
            break;
        }
        QV_GOTO(qv__result_add(out, src->segment, src->row, 0.0f, f, err));
        QV_GOTO(source_next(src, out->schema, filter, ctx, &s.steps, err));
    }
out:
    for (size_t i = 0; i < s.n; i++) {
        if (s.sources[i].open) {
            source_close(&s.sources[i]);
        }
    }
    st = qv__read_view_settle(out->view, st, err);
    if (st != QV_OK) {
        qv__result_free(out);
    }
    return st;
}

/* --- counting
 * -------------------------------------------------------------------------------------------------------
 */

static qv_status count_segment(const struct qv__read_view *v, const struct qv__segment *seg,
                               const struct qv__filter *filter, struct qv__qctx *ctx, uint64_t *n,
                               struct qv_err *err)
{
    struct qv__visible vis;
    uint64_t count = 0;
    QV_TRY(qv__segment_visible(seg, v->ticket.lsn, v->now_ms, ctx->mem, &vis, err));
    qv_status st = QV_OK;
    if (filter) {
        struct qv__bitset match = {0};
        st = qv__segment_match(seg, v->schema, &vis, filter, ctx, &match, &count, err);
        qv__bitset_free(&match);
    } else {
        count = vis.count;
    }
    qv__visible_free(&vis);
    *n += count;
    return st;
}

qv_status qv__collection_count(struct qv__collection *c, const struct qv__filter *filter,
                               struct qv__qctx *ctx, uint64_t *out, struct qv_err *err)
{
    struct qv__read_view *v = NULL;
    *out = 0;
    QV_TRY(qv__read_view_open(c, ctx, &v, err));
    qv_status st = QV_OK;
    for (uint32_t s = 0; st == QV_OK && s < v->n; s++) {
        for (uint32_t i = 0; st == QV_OK && i < v->views[s]->n; i++) {
            st = count_segment(v, v->views[s]->segments[i], filter, ctx, out, err);
        }
    }
    st = qv__read_view_settle(v, st, err);
    qv__read_view_close(v);
    return st;
}

/* Without an index of any field a listed set of ids still bounds the number from above. */
static qv_status bound_segment(const struct qv__read_view *v, const struct qv__segment *seg,
                               const struct qv__filter *filter, struct qv__qctx *ctx, uint64_t *low,
                               uint64_t *high, struct qv_err *err)
{
    struct qv__visible vis;
    struct qv__bitset lo = {0}, up = {0};
    bool served = false;
    QV_TRY(qv__segment_visible(seg, v->ticket.lsn, v->now_ms, ctx->mem, &vis, err));
    qv_status st = qv__segment_bounds(seg, v->schema, &vis, filter, ctx, &lo, &up, &served, err);
    if (st == QV_OK) {
        const struct qv__cond *ids = qv__filter_id_set(filter);
        uint64_t most = served ? qv__bitset_count(&up) : vis.count;
        *low += served ? qv__bitset_count(&lo) : filter ? 0 : vis.count;
        *high += ids ? QV_MIN(most, (uint64_t)ids->has_id.n) : most;
    }
    qv__bitset_free(&lo);
    qv__bitset_free(&up);
    qv__visible_free(&vis);
    return st;
}

qv_status qv__collection_count_bounds(struct qv__collection *c, const struct qv__filter *filter,
                                      struct qv__qctx *ctx, uint64_t *low, uint64_t *high,
                                      struct qv_err *err)
{
    struct qv__read_view *v = NULL;
    *low = *high = 0;
    QV_TRY(qv__read_view_open(c, ctx, &v, err));
    qv_status st = QV_OK;
    for (uint32_t s = 0; st == QV_OK && s < v->n; s++) {
        for (uint32_t i = 0; st == QV_OK && i < v->views[s]->n; i++) {
            st = bound_segment(v, v->views[s]->segments[i], filter, ctx, low, high, err);
        }
    }
    st = qv__read_view_settle(v, st, err);
    qv__read_view_close(v);
    return st;
}

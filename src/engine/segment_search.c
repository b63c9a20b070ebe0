/* segment_search.c: the nearest rows of one column: graph over what is indexed, scan of the rest;
 * and rows in id order. */
#include "engine/segment_impl.h"

qv_status qv__segment_allow_ords(const struct qv__segment *s, const uint64_t *allow,
                                 uint32_t column, uint32_t n_ords, struct qv__mem *mem,
                                 struct qv__bitset *out, uint64_t *count, struct qv_err *err)
{
    if (qv__bitset_init(out, mem, n_ords) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for a set of %" PRIu32 " vectors", n_ords);
    }
    *count = 0;
    for (uint32_t ord = 0; ord < n_ords; ord++) {
        if (qv__bit_test_atomic(allow, qv__segment_ord_row(s, column, ord))) {
            qv__bit_set(out->words, ord);
            (*count)++;
        }
    }
    return QV_OK;
}

static bool hit_before(const struct qv__index_hit *a, const struct qv__index_hit *b)
{
    return a->dist < b->dist || (a->dist == b->dist && a->ord < b->ord);
}

/* Two sorted lists -> the k best as rows. */
static uint32_t merge_hits(const struct qv__segment *s, uint32_t column,
                           const struct qv__index_hit *a, uint32_t na,
                           const struct qv__index_hit *b, uint32_t nb, uint32_t k,
                           struct qv__row_hit *out)
{
    uint32_t n = 0, i = 0, j = 0;
    while (n < k && (i < na || j < nb)) {
        const struct qv__index_hit *h =
            j == nb || (i < na && hit_before(&a[i], &b[j])) ? &a[i++] : &b[j++];
        out[n++] =
            (struct qv__row_hit){.row = qv__segment_ord_row(s, column, h->ord), .dist = h->dist};
    }
    return n;
}

/* --- vectors that vary in length: no graph --- */

static qv_status scan_multi(const struct qv__segment *s, const struct qv__column *c,
                            const struct qv__segment_search *q, const uint64_t *allow,
                            uint32_t n_ords, struct qv__qctx *ctx, struct qv__topk *top,
                            struct qv_err *err)
{
    for (uint32_t ord = 0; ord < n_ords; ord++) {
        qv_status st = ord % 64 == 0 ? qv__qctx_check(ctx) : QV_OK;
        if (st != QV_OK) {
            return qv__fail(err, st, "search: %s", qv_status_text(st));
        }
        if (!allow || qv__bit_test_atomic(allow, ord)) {
            float dist;
            const void *v = qv__column_vector(c, ord);
            qv__vector_distances(s->env.simd, c->def, q->vector, &v, 1, &dist);
            ctx->stats.distances++;
            qv__topk_push(top, dist, ord);
        }
    }
    return QV_OK;
}

/* Best first, by the scores that comparing one by one gives, and as rows. */
static void varying_hits(const struct qv__segment *s, uint32_t column,
                         const struct qv__segment_search *q, struct qv__topk *top,
                         struct qv__row_hit *hits)
{
    const struct qv__column *c = &s->columns[column];
    struct qv__hit *own = top->heap;
    for (size_t i = 0; i < top->n && c->def->kind == QV__VEC_SPARSE; i++) {
        const void *v = qv__column_vector(c, (uint32_t)own[i].key);
        qv__vector_distances(s->env.simd, c->def, q->vector, &v, 1, &own[i].dist);
    }
    qv__topk_sort(top);
    for (size_t i = 0; i < top->n; i++) {
        hits[i] = (struct qv__row_hit){.row = qv__segment_ord_row(s, column, (uint32_t)own[i].key),
                                       .dist = own[i].dist};
    }
}

static qv_status search_varying(const struct qv__segment *s, uint32_t column,
                                const struct qv__segment_search *q, struct qv__qctx *ctx,
                                struct qv__row_hit *hits, uint32_t *n_hits, struct qv_err *err)
{
    const struct qv__column *c = &s->columns[column];
    uint32_t n_ords = qv__segment_ords_at(s, column, q->n_rows);
    uint64_t allowed = q->allow ? q->allow_count : n_ords;
    const uint64_t *allow = q->allow;
    struct qv__bitset ords = {0};
    struct qv__hit *heap = NULL;
    struct qv__topk top;
    qv_status st = QV_OK;
    if (allow && n_ords != q->n_rows) {
        QV_GOTO(qv__segment_allow_ords(s, allow, column, n_ords, ctx->mem, &ords, &allowed, err));
        allow = ords.words;
    }
    uint32_t k = (uint32_t)QV_MIN((uint64_t)q->k, allowed);
    heap = qv__calloc(ctx->mem, (size_t)k + 1, sizeof *heap);
    if (!heap) {
        QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory for %" PRIu32 " hits", k));
    }
    qv__topk_init(&top, heap, k);
    if (k && c->def->kind == QV__VEC_SPARSE) {
        QV_GOTO(qv__sparse_column_search(s, column, q, allow, allowed, n_ords, ctx, &top, err));
    } else if (k) {
        QV_GOTO(scan_multi(s, c, q, allow, n_ords, ctx, &top, err));
        qv__qctx_tell(ctx, "scan", "multivectors", (double)allowed, (double)n_ords);
    }
    varying_hits(s, column, q, &top, hits);
    *n_hits = (uint32_t)top.n;
out:
    qv__free(heap);
    qv__bitset_free(&ords);
    return st;
}

qv_status qv__segment_search(const struct qv__segment *s, const struct qv__segment_search *q,
                             struct qv__qctx *ctx, struct qv__row_hit *hits, uint32_t *n_hits,
                             struct qv_err *err)
{
    uint32_t column = qv__segment_column(s, q->schema, q->column);
    *n_hits = 0;
    if (column == QV__NO_ROW || q->k == 0) {
        return QV_OK;
    }
    const struct qv__column *c = &s->columns[column];
    if (c->def && qv__vec_varies(c->def->kind)) {
        return search_varying(s, column, q, ctx, hits, n_hits, err);
    }
    struct qv__bitset ords = {0};
    struct qv__index_hit *tmp = NULL;
    uint32_t n_ords = c->def ? qv__segment_ords_at(s, column, q->n_rows) : 0, n_graph = 0,
             n_tail = 0;
    qv_status st = QV_OK;
    if (n_ords == 0) {
        return QV_OK;
    }
    struct qv__index_query iq = {.vector = q->vector,
                                 .ef = q->ef,
                                 .oversample = q->oversample,
                                 .no_codes = q->no_codes,
                                 .beam = q->beam,
                                 .strategy = (enum qv__index_strategy)q->strategy,
                                 .plan_only = q->plan_only,
                                 .allow = q->allow,
                                 .allow_count = q->allow_count,
                                 .packed = q->packs ? &q->packs->of[column] : NULL,
                                 .set = q->set,
                                 .n = n_ords};
    if (q->allow && n_ords != q->n_rows) {
        QV_GOTO(qv__segment_allow_ords(s, q->allow, column, n_ords, ctx->mem, &ords,
                                       &iq.allow_count, err));
        iq.set = q->set == q->allow ? ords.words : NULL;
        iq.allow = ords.words;
    }
    iq.k = (uint32_t)QV_MIN((uint64_t)q->k, iq.allow ? iq.allow_count : n_ords);
    if (iq.k == 0) {
        goto out;
    }
    tmp = qv__calloc(ctx->mem, (size_t)iq.k * 2, sizeof *tmp);
    if (!tmp) {
        QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory for %" PRIu32 " hits", iq.k));
    }
    struct qv__index *x =
        q->exact ? NULL : atomic_load(&((struct qv__column *)(uintptr_t)c)->index);
    uint32_t indexed = x ? QV_MIN(qv__index_count(x), n_ords) : 0;
    if (indexed) {
        struct qv__index_query g = iq;
        g.n = indexed;
        if (g.allow && indexed < n_ords) {
            g.allow_count = qv__bits_count(g.allow, indexed);
        }
        g.k = (uint32_t)QV_MIN((uint64_t)iq.k, g.allow ? g.allow_count : indexed);
        if (g.k) {
            QV_GOTO(x->ops->search(x, &g, ctx, tmp, &n_graph, err));
        }
    }
    if (q->plan_only) {
        if (indexed < n_ords) {
            qv__qctx_tell(ctx, "scan", q->exact ? "asked for" : "vectors without a graph",
                          (double)(n_ords - indexed), 0);
        }
        goto out;
    }
    if (indexed < n_ords) {
        uint64_t before = ctx->stats.distances;
        QV_GOTO(qv__scan(s->env.simd, &c->vectors, indexed, &iq, ctx, tmp + iq.k, &n_tail, err));
        qv__qctx_tell(ctx, "scan", q->exact ? "asked for" : "vectors without a graph",
                      (double)(n_ords - indexed), (double)(ctx->stats.distances - before));
    }
    *n_hits = merge_hits(s, column, tmp, n_graph, tmp + iq.k, n_tail, iq.k, hits);
out:
    qv__free(tmp);
    qv__bitset_free(&ords);
    return st;
}

/* --- id order
 * ---------------------------------------------------------------------------------------------------
 */

static bool cursor_allows(const struct qv__id_cursor *c, uint32_t row)
{
    return row < c->n_rows && (!c->words || qv__bit_test_atomic(c->words, row));
}

static int row_order(const void *a, const void *b, void *arg)
{
    const struct qv__segment *s = arg;
    struct qv__id x = qv__segment_row_id(s, *(const uint32_t *)a),
                  y = qv__segment_row_id(s, *(const uint32_t *)b);
    return qv__id_cmp(&x, &y);
}

/* Max-heap by id over the rows collected so far: keeps the `limit` smallest. */
static void sift_down(const struct qv__segment *s, uint32_t *heap, size_t n, size_t i)
{
    for (;;) {
        size_t big = i, l = 2 * i + 1, r = l + 1;
        if (l < n && row_order(&heap[l], &heap[big], (void *)(uintptr_t)s) > 0) {
            big = l;
        }
        if (r < n && row_order(&heap[r], &heap[big], (void *)(uintptr_t)s) > 0) {
            big = r;
        }
        if (big == i) {
            return;
        }
        uint32_t t = heap[i];
        heap[i] = heap[big];
        heap[big] = t;
        i = big;
    }
}

static qv_status collect_growing(struct qv__id_cursor *c, const struct qv__id *from, uint64_t limit,
                                 struct qv_err *err)
{
    const struct qv__segment *s = c->segment;
    size_t cap = (size_t)QV_MIN(limit, (uint64_t)c->n_rows);
    c->rows = qv__calloc(c->mem, cap + 1, sizeof *c->rows);
    if (!c->rows) {
        return qv__fail(err, QV_ENOMEM, "no memory to order %zu rows", cap);
    }
    for (uint32_t row = 0; cap && row < c->n_rows; row++) {
        if (!cursor_allows(c, row)) {
            continue;
        }
        struct qv__id id = qv__segment_row_id(s, row);
        if (from && qv__id_cmp(&id, from) < 0) {
            continue;
        }
        if (c->n < cap) {
            c->rows[c->n++] = row;
            if (c->n == cap) {
                for (size_t i = cap / 2 + 1; i-- > 0;) {
                    sift_down(s, c->rows, cap, i);
                }
            }
        } else if (row_order(&row, &c->rows[0], (void *)(uintptr_t)s) < 0) {
            c->rows[0] = row;
            sift_down(s, c->rows, cap, 0);
        }
    }
    qsort_r(c->rows, c->n, sizeof *c->rows, row_order, (void *)(uintptr_t)s);
    return QV_OK;
}

qv_status qv__id_cursor_open(const struct qv__segment *s, const struct qv__id *from, uint64_t limit,
                             const uint64_t *words, uint32_t n_rows, struct qv__mem *mem,
                             struct qv__id_cursor *out, struct qv_err *err)
{
    *out = (struct qv__id_cursor){.segment = s, .words = words, .n_rows = n_rows, .mem = mem};
    if (!s->sealed) {
        return collect_growing(out, from, limit, err);
    }
    out->n = s->ids.n;
    out->at = from ? qv__idmap_lower_bound(&s->ids, from) : 0;
    return QV_OK;
}

bool qv__id_cursor_next(struct qv__id_cursor *c, uint32_t *row)
{
    while (c->at < c->n) {
        uint32_t r = c->rows ? c->rows[c->at++] : c->segment->ids.order[c->at++];
        if (cursor_allows(c, r)) {
            *row = r;
            return true;
        }
    }
    return false;
}

void qv__id_cursor_close(struct qv__id_cursor *c)
{
    qv__free(c->rows);
    c->rows = NULL;
    c->n = 0;
}

/* query_leaf.c: stages over the whole collection that need not compare every row: nearest, which
 * asks each segment's index, and points in id order. */
#include <stdio.h>

#include "base/topk.h"
#include "engine/query_exec.h"

enum { DROP_MAX = 64 }; /* excluded examples that are dropped from a longer list of hits */
/* Rows of tenants that are compared one after the other; more are searched as any filter's. */
enum { TENANT_ROWS = 2048, TENANT_ROWS_LOOKED_AT = 256 };

void qv__run_tell_segment(const struct qv__run *r, size_t segment, const struct qv__visible *v)
{
    const struct qv__segment *seg = r->segments[segment];
    char what[48];
    if (r->ctx->plan) {
        (void)snprintf(what, sizeof what, "%s %" PRIu64,
                       qv__segment_sealed(seg) ? "sealed" : "growing", qv__segment_id_number(seg));
        qv__qctx_tell(r->ctx, "segment", what, (double)v->n_rows, (double)v->count);
    }
}

qv_status qv__run_matching(struct qv__run *r, size_t segment, const struct qv__filter *filter,
                           struct qv__matching *out, struct qv_err *err)
{
    const struct qv__read_view *v = r->rs->view;
    const struct qv__segment *seg = r->segments[segment];
    memset(out, 0, sizeof *out);
    QV_TRY(qv__segment_visible(seg, v->ticket.lsn, v->now_ms, r->ctx->mem, &out->visible, err));
    qv__run_tell_segment(r, segment, &out->visible);
    out->words = out->visible.words;
    out->n_rows = out->visible.n_rows;
    out->count = out->visible.count;
    if (filter) {
        qv_status st =
            qv__segment_match_kept(seg, r->rs->schema, &out->visible, filter, r->ctx, &out->match,
                                   &out->kept, &out->words, &out->count, err);
        if (st != QV_OK) {
            qv__matching_free(out);
            return st;
        }
    }
    return QV_OK;
}

void qv__matching_free(struct qv__matching *m)
{
    qv__bitset_free(&m->match);
    qv__kept_release(m->kept);
    qv__visible_free(&m->visible);
}

/* --- nearest
 * ------------------------------------------------------------------------------------------- */

static int id_order(const void *a, const void *b)
{
    return qv__id_cmp(a, b);
}

static bool excluded(const struct qv__run *r, uint64_t key)
{
    struct qv__id id = qv__run_id(r, key);
    return bsearch(&id, r->exclude, r->n_exclude, sizeof id, id_order) != NULL;
}

/* A few excluded examples are cheaper to drop from a longer list than to filter every row for. */
static bool drops_examples(const struct qv__run *r, const struct qv__stage *s)
{
    return s->filter && !s->own_filter && r->n_exclude <= DROP_MAX;
}

/* One beam for the walks of all segments, or NULL where each has one of its own: when a recall was
 * asked for, which is measured per graph, and when there is nothing to share. */
static qv_status make_beam(struct qv__run *r, const struct qv__stage *s, uint64_t want,
                           struct qv__index_beam **out, struct qv_err *err)
{
    const struct qv__search_params *p = &s->q->params;
    *out = NULL;
    if (r->n_segments < 2 || p->exact || p->recall > 0.0f) {
        return QV_OK;
    }
    uint64_t cap = QV_MAX((uint64_t)(p->ef ? p->ef : s->def->index.ef_construct), want);
    struct qv__index_beam *b = qv__arena_calloc(&r->rs->arena, 1, sizeof *b);
    float *dists = qv__arena_calloc(&r->rs->arena, (size_t)QV_MIN(cap, r->rows) + 1, sizeof *dists);
    if (!b || !dists) {
        return qv__fail(err, QV_ENOMEM, "no memory for a beam of %" PRIu64, cap);
    }
    *b = (struct qv__index_beam){.dists = dists, .cap = (uint32_t)QV_MIN(cap, r->rows)};
    *out = b;
    return QV_OK;
}

/* The largest first: most of the nearest are there, and the sooner they are known the less is
 * walked through elsewhere. */
static int size_order(const void *a, const void *b, void *arg)
{
    const struct qv__run *r = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    uint32_t nx = qv__segment_rows(r->segments[x]), ny = qv__segment_rows(r->segments[y]);
    return nx == ny ? (x > y) - (x < y) : nx < ny ? 1 : -1;
}

bool qv__run_tenant(const struct qv__run *r, const struct qv__stage *s, size_t segment,
                    struct qv__tenant_rows *rows)
{
    return s->q->params.strategy <= QV__STRATEGY_SCAN && !qv__vec_varies(s->def->kind) &&
           !drops_examples(r, s) &&
           qv__segment_tenant_rows(r->segments[segment], s->filter, rows) &&
           rows->n_rows <= (rows->is_all ? TENANT_ROWS : TENANT_ROWS_LOOKED_AT);
}

/* The rows of a tenant are looked at and compared, and nothing else of the segment is. */
static qv_status search_tenant(struct qv__run *r, const struct qv__stage *s, size_t at,
                               const struct qv__tenant_rows *rows, struct qv__topk *top,
                               struct qv_err *err)
{
    const struct qv__segment *seg = r->segments[at];
    const struct qv__read_view *v = r->rs->view;
    struct qv__visible seen;
    QV_TRY(qv__segment_visible(seg, v->ticket.lsn, v->now_ms, r->ctx->mem, &seen, err));
    qv__run_tell_segment(r, at, &seen);
    struct qv__segment_search search = {.schema = r->rs->schema,
                                        .column = s->column,
                                        .vector = s->target,
                                        .allow = seen.words,
                                        .n_rows = seen.n_rows};
    r->ctx->stats.segments++;
    qv_status st = qv__segment_search_tenant(seg, &search, rows->is_all ? NULL : s->filter, rows,
                                             QV__KEY(at, 0), r->ctx, top, err);
    qv__visible_free(&seen);
    return st;
}

static qv_status search_segment(struct qv__run *r, const struct qv__stage *s, size_t at,
                                uint64_t want, struct qv__index_beam *beam, struct qv__topk *top,
                                struct qv__row_hit *hits, struct qv_err *err)
{
    const struct qv__query *q = s->q;
    bool drops = drops_examples(r, s);
    struct qv__tenant_rows tenant;
    struct qv__matching m;
    if (qv__run_tenant(r, s, at, &tenant)) {
        return search_tenant(r, s, at, &tenant, top, err);
    }
    QV_TRY(qv__run_matching(r, at, drops ? NULL : s->filter, &m, err));
    struct qv__segment_search search = {.schema = r->rs->schema,
                                        .column = s->column,
                                        .vector = s->target,
                                        .ef = q->params.ef,
                                        .oversample = q->params.oversample,
                                        .no_codes = q->params.no_codes,
                                        .strategy = q->params.strategy,
                                        .exact = q->params.exact,
                                        .beam = beam,
                                        .allow = m.words,
                                        .allow_count = m.count,
                                        .packs = m.kept ? m.kept->packs : NULL,
                                        .set = m.kept ? m.kept->rows.words : NULL,
                                        .n_rows = m.n_rows};
    qv_status st = QV_OK;
    uint32_t n = 0;
    search.k = (uint32_t)QV_MIN(want + (drops ? r->n_exclude : 0), m.count);
    if (search.k == 0) {
        goto out;
    }
    r->ctx->stats.segments++;
    QV_GOTO(qv__segment_search(r->segments[at], &search, r->ctx, hits, &n, err));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t key = QV__KEY(at, hits[i].row);
        if (!drops || !excluded(r, key)) {
            qv__topk_push(top, hits[i].dist, key);
        }
    }
out:
    qv__matching_free(&m);
    return st;
}

/* Equal distances in id order. qsort_r: the ids live in the segments. */
static int hit_order(const void *a, const void *b, void *arg)
{
    const struct qv__hit *x = a, *y = b;
    if (x->dist != y->dist) {
        return x->dist < y->dist ? -1 : 1;
    }
    struct qv__id ix = qv__run_id(arg, x->key), iy = qv__run_id(arg, y->key);
    return qv__id_cmp(&ix, &iy);
}

qv_status qv__leaf_nearest(struct qv__run *r, const struct qv__stage *s, uint64_t want,
                           struct qv__ranking *out, struct qv_err *err)
{
    /* Never more memory than there are rows, whatever limit was asked. */
    want = QV_MIN(want, r->rows);
    size_t slack = QV_MIN(r->n_exclude, (size_t)DROP_MAX);
    struct qv__hit *heap = qv__arena_calloc(&r->rs->arena, (size_t)want + 1, sizeof *heap);
    struct qv__row_hit *hits =
        qv__arena_calloc(&r->rs->arena, (size_t)want + slack + 1, sizeof *hits);
    uint32_t *order = qv__arena_calloc(&r->rs->arena, r->n_segments + 1, sizeof *order);
    if (!heap || !hits || !order) {
        return qv__fail(err, QV_ENOMEM, "no memory for %" PRIu64 " results", want);
    }
    r->ctx->recall_target = s->q->params.recall;
    struct qv__topk top;
    qv__topk_init(&top, heap, (size_t)want);
    struct qv__index_beam *beam;
    QV_TRY(make_beam(r, s, want, &beam, err));
    for (uint32_t i = 0; i < r->n_segments; i++) {
        order[i] = i;
    }
    qsort_r(order, r->n_segments, sizeof *order, size_order, r);
    for (size_t i = 0; want && i < r->n_segments; i++) {
        QV_TRY(search_segment(r, s, order[i], want, beam, &top, hits, err));
    }
    size_t n = qv__topk_sort(&top);
    qsort_r(heap, n, sizeof *heap, hit_order, r);
    QV_TRY(qv__ranking_alloc(r, n, out, err));
    for (size_t i = 0; i < n; i++) {
        out->items[out->n++] = (struct qv__ranked){
            .key = heap[i].key,
            .score = qv__metric_score((enum qv__metric)s->def->metric, heap[i].dist)};
    }
    return QV_OK;
}

/* --- in id order
 * --------------------------------------------------------------------------------------- */

static qv_status segment_ids(struct qv__run *r, const struct qv__stage *s, size_t at,
                             struct qv__ranking *out, struct qv_err *err)
{
    struct qv__matching m;
    struct qv__id_cursor cursor;
    uint32_t row;
    QV_TRY(qv__run_matching(r, at, s->filter, &m, err));
    qv_status st = qv__id_cursor_open(r->segments[at], NULL, s->take, m.words, m.n_rows,
                                      r->ctx->mem, &cursor, err);
    if (st == QV_OK) {
        uint64_t left = s->take;
        while (left && qv__id_cursor_next(&cursor, &row)) {
            out->items[out->n++] = (struct qv__ranked){.key = QV__KEY(at, row), .score = 1.0f};
            left--;
        }
        qv__id_cursor_close(&cursor);
    }
    qv__matching_free(&m);
    return st;
}

qv_status qv__leaf_ids(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                       struct qv_err *err)
{
    uint64_t room = 0;
    for (size_t i = 0; i < r->n_segments; i++) {
        room += QV_MIN(s->take, (uint64_t)qv__segment_rows(r->segments[i]));
    }
    QV_TRY(qv__ranking_alloc(r, room, out, err));
    for (size_t i = 0; i < r->n_segments; i++) {
        QV_TRY(segment_ids(r, s, i, out, err));
    }
    qv__ranking_sort(r, out, true);
    out->n = (size_t)QV_MIN((uint64_t)out->n, s->take);
    return QV_OK;
}

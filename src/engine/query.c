/* query.c: executing the query tree: resolve inputs, search every segment, merge, cut.
 *
 * Executed now: nearest to a vector or a stored point, recommendation by average, and points in id
 * order; stages with prefetch and the other kinds are refused by name. Segments are searched one
 * after another on the caller's thread: with many queries in flight that is the better use of the
 * cores. Ties are broken by id, so equal data gives equal answers whatever the segments. */
#include "base/topk.h"
#include "engine/read.h"
#include "simd/narrow.h"

/* A hit's key in the merge: which segment of the flat list, which row. */
#define KEY(segment, row) (((uint64_t)(segment) << 32) | (row))
#define KEY_SEGMENT(key)  ((size_t)((key) >> 32))
#define KEY_ROW(key)      ((uint32_t)(key))

struct run {
    struct qv__collection *c;
    const struct qv__query *q;
    const struct qv__fetch *f;
    struct qv__qctx *ctx;
    struct qv__result_set *rs;
    const struct qv__segment **segments; /* of all shards */
    size_t n_segments;
    uint32_t column;
    const struct qv__vector_def *def;
    const float *vector;          /* what is searched for, normalised where the column is */
    const void *typed;            /* the same, in the column's datatype */
    const struct qv__id *exclude; /* ids that are no results: the examples themselves */
    size_t n_exclude;
    const struct qv__filter *filter; /* the query's and the exclusion */
};

static qv_status supported(const struct qv__query *q, struct qv_err *err)
{
    static const char *const names[] = {
        [QV__QUERY_DISCOVER] = "discover", [QV__QUERY_CONTEXT] = "context",
        [QV__QUERY_ORDER_BY] = "order_by", [QV__QUERY_SAMPLE] = "sample",
        [QV__QUERY_FUSION] = "fusion",     [QV__QUERY_FORMULA] = "formula",
        [QV__QUERY_TEXT] = "text"};
    if (q->n_prefetch) {
        return qv__fail(err, QV_EUNSUPPORTED, "prefetch: not supported by this version");
    }
    if (q->kind != QV__QUERY_IDS && q->kind != QV__QUERY_NEAREST &&
        q->kind != QV__QUERY_RECOMMEND) {
        return qv__fail(err, QV_EUNSUPPORTED, "query.%s: not supported by this version",
                        (size_t)q->kind < QV_ARRAY_LEN(names) && names[q->kind] ? names[q->kind]
                                                                                : "kind");
    }
    if (q->limit == 0 || q->limit > QV__LIMIT_MAX || q->offset > QV__LIMIT_MAX ||
        q->limit + q->offset > QV__LIMIT_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "limit: value %" PRIu64 " with offset %" PRIu64
                        " invalid, must be from 1 to %u together",
                        q->limit, q->offset, QV__LIMIT_MAX);
    }
    if (q->params.ef > QV__LIMIT_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "params.hnsw_ef: value %" PRIu32 " invalid, must be from 0 to %u",
                        q->params.ef, QV__LIMIT_MAX);
    }
    return QV_OK;
}

/* --- inputs
 * ------------------------------------------------------------------------------------------------
 */

/* A stored vector, from this collection or the one of lookup_from. Copied into the result's arena.
 */
static qv_status stored_vector(struct run *r, const struct qv__id *id, const float **out,
                               struct qv_err *err)
{
    const struct qv__query *q = r->q;
    char text[64];
    struct qv__read_view *other = NULL;
    struct qv__collection *c = NULL;
    const struct qv__read_view *view = r->rs->view;
    struct qv__str name = q->using_vector;
    qv_status st = QV_OK;
    if (q->lookup_collection.n) {
        QV_GOTO(qv__db_collection(r->c->db, q->lookup_collection, &c, err));
        QV_GOTO(qv__read_view_open(c, r->ctx, &other, err));
        view = other;
        name = q->lookup_vector;
    }
    const struct qv__segment *seg = NULL;
    uint32_t row = 0;
    if (!qv__read_find(view, id, &seg, &row)) {
        QV_GOTO(qv__fail(err, QV_ENOTFOUND, "No point with id %s found",
                         qv__id_text(id, text, sizeof text)));
    }
    int column = qv__schema_vector(view->schema, name);
    if (column < 0) {
        QV_GOTO(qv__fail(err, QV_EINVAL, "Not existing vector name error: %.*s",
                         (int)QV_MIN(name.n, (size_t)64), name.p));
    }
    const void *v = qv__segment_row_vector(seg, view->schema, (uint32_t)column, row);
    if (!v) {
        QV_GOTO(qv__fail(err, QV_ENOTFOUND, "Point %s has no vector `%.*s`",
                         qv__id_text(id, text, sizeof text), (int)QV_MIN(name.n, (size_t)64),
                         name.p));
    }
    if (view->schema->vectors[column].dim != r->def->dim) {
        QV_GOTO(qv__fail(err, QV_EINVAL,
                         "Vector dimension error: expected dim: %" PRIu32 ", got %" PRIu32,
                         r->def->dim, view->schema->vectors[column].dim));
    }
    float *copy = qv__arena_alloc(&r->rs->arena, (size_t)r->def->dim * sizeof *copy);
    if (!copy) {
        QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory for a query vector"));
    }
    qv__elements_to_floats(view->schema->vectors[column].datatype, v, r->def->dim, copy);
    *out = copy;
out:
    st = qv__read_view_settle(other, st, err);
    qv__read_view_close(other);
    qv__collection_release(c);
    return st;
}

static qv_status input_vector(struct run *r, const struct qv__vector_input *in, const float **out,
                              struct qv_err *err)
{
    if (in->by_id) {
        return stored_vector(r, &in->id, out, err);
    }
    if (in->dim != r->def->dim) {
        return qv__fail(err, QV_EINVAL,
                        "Vector dimension error: expected dim: %" PRIu32 ", got %" PRIu32,
                        r->def->dim, in->dim);
    }
    if (!qv__simd_finite(in->values, in->dim)) {
        return qv__fail(
            err, QV_EINVAL,
            "query vector: every element and the squared length must be finite numbers");
    }
    float *copy = qv__arena_alloc(&r->rs->arena, QV_MAX((size_t)in->dim, 1u) * sizeof *copy);
    if (!copy) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query vector");
    }
    memcpy(copy, in->values, (size_t)in->dim * sizeof *copy);
    if (qv__normalises(r->def->metric, r->def->datatype)) {
        qv__simd_normalize(r->c->db->simd, copy, in->dim);
    }
    *out = copy;
    return QV_OK;
}

/* Average of inputs: sum into `acc`, divided by n. */
static qv_status average(struct run *r, const struct qv__vector_input *in, size_t n, float *acc,
                         struct qv_err *err)
{
    memset(acc, 0, (size_t)r->def->dim * sizeof *acc);
    for (size_t i = 0; i < n; i++) {
        const float *v = NULL;
        QV_TRY(input_vector(r, &in[i], &v, err));
        for (uint32_t k = 0; k < r->def->dim; k++) {
            acc[k] += v[k];
        }
    }
    for (uint32_t k = 0; k < r->def->dim; k++) {
        acc[k] /= (float)n;
    }
    return QV_OK;
}

/* average_vector: avg(positive) + avg(positive) - avg(negative); without negatives the average of
 * positives. */
static qv_status recommend_vector(struct run *r, struct qv_err *err)
{
    const struct qv__query *q = r->q;
    if (q->n_positive == 0) {
        return qv__fail(err, QV_EINVAL,
                        "At least one positive vector ID required with this strategy");
    }
    float *pos = qv__arena_alloc(&r->rs->arena, (size_t)r->def->dim * sizeof *pos);
    float *neg = qv__arena_alloc(&r->rs->arena, (size_t)r->def->dim * sizeof *neg);
    if (!pos || !neg) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query vector");
    }
    QV_TRY(average(r, q->positive, q->n_positive, pos, err));
    if (q->n_negative) {
        QV_TRY(average(r, q->negative, q->n_negative, neg, err));
        for (uint32_t k = 0; k < r->def->dim; k++) {
            pos[k] += pos[k] - neg[k];
        }
    }
    if (!qv__simd_finite(pos, r->def->dim)) {
        return qv__fail(err, QV_EINVAL, "recommend: the average of the examples is not finite");
    }
    if (qv__normalises(r->def->metric, r->def->datatype)) {
        qv__simd_normalize(r->c->db->simd, pos, r->def->dim);
    }
    r->vector = pos;
    return QV_OK;
}

/* What searches compare: the vector in the column's datatype, at the end of its range where it
 * reaches beyond. */
static qv_status typed_vector(struct run *r, struct qv_err *err)
{
    r->typed = r->vector;
    if (r->def->datatype == QV__F32) {
        return QV_OK;
    }
    size_t bytes = (size_t)r->def->dim * qv__datatype_bytes(r->def->datatype);
    void *typed = qv__arena_alloc(&r->rs->arena, bytes);
    if (!typed) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query vector");
    }
    qv__elements_of_floats(r->def->datatype, r->vector, r->def->dim, typed);
    r->typed = typed;
    return QV_OK;
}

static void exclude_ids(struct qv__id *ids, size_t *n, const struct qv__vector_input *in,
                        size_t n_in)
{
    for (size_t i = 0; i < n_in; i++) {
        if (in[i].by_id) {
            ids[(*n)++] = in[i].id;
        }
    }
}

static int id_order(const void *a, const void *b)
{
    return qv__id_cmp(a, b);
}

/* Examples are not results: AND the filter with must_not has_id. Not when they come from elsewhere.
 */
static qv_status exclude_examples(struct run *r, struct qv_err *err)
{
    const struct qv__query *q = r->q;
    r->filter = q->filter;
    if (q->lookup_collection.n) {
        return QV_OK;
    }
    struct qv__arena *a = &r->rs->arena;
    size_t n = 0, n_max = 1 + q->n_positive + q->n_negative;
    struct qv__id *ids = qv__arena_calloc(a, n_max, sizeof *ids);
    struct qv__cond *conds = qv__arena_calloc(a, 2, sizeof *conds);
    struct qv__filter *f = qv__arena_zalloc(a, sizeof *f);
    if (!ids || !conds || !f) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query");
    }
    if (q->kind == QV__QUERY_NEAREST) {
        exclude_ids(ids, &n, &q->target, 1);
    } else {
        exclude_ids(ids, &n, q->positive, q->n_positive);
        exclude_ids(ids, &n, q->negative, q->n_negative);
    }
    if (n == 0) {
        return QV_OK;
    }
    qsort(ids, n, sizeof *ids, id_order);
    r->exclude = ids;
    r->n_exclude = n;
    conds[0] = (struct qv__cond){.kind = QV__COND_HAS_ID, .has_id = {.ids = ids, .n = n}};
    f->must_not = (struct qv__clause){.conds = &conds[0], .n = 1};
    if (q->filter) {
        conds[1] = (struct qv__cond){.kind = QV__COND_FILTER, .filter = q->filter};
        f->must = (struct qv__clause){.conds = &conds[1], .n = 1};
    }
    r->filter = f;
    return QV_OK;
}

/* --- search
 * ---------------------------------------------------------------------------------------------------
 */

static qv_status search_segment(struct run *r, size_t at, uint32_t k, struct qv__topk *top,
                                struct qv__row_hit *hits, struct qv_err *err)
{
    const struct qv__segment *seg = r->segments[at];
    struct qv__visible vis;
    struct qv__bitset match = {0};
    QV_TRY(qv__segment_visible(seg, r->rs->view->ticket.lsn, r->rs->view->now_ms, r->ctx->mem, &vis,
                               err));
    struct qv__segment_search s = {.schema = r->rs->schema,
                                   .column = r->column,
                                   .vector = r->typed,
                                   .ef = r->q->params.ef,
                                   .oversample = r->q->params.oversample,
                                   .no_codes = r->q->params.no_codes,
                                   .exact = r->q->params.exact,
                                   .allow = vis.words,
                                   .allow_count = vis.count,
                                   .n_rows = vis.n_rows};
    qv_status st = QV_OK;
    uint32_t n = 0;
    /* A few excluded examples are cheaper to drop from a longer list than to filter every row for.
     */
    bool only_examples =
        r->filter && r->filter != r->q->filter && !r->q->filter && r->n_exclude <= 64;
    if (r->filter && !only_examples) {
        uint64_t count = 0;
        QV_GOTO(
            qv__segment_match(seg, r->rs->schema, &vis, r->filter, r->ctx, &match, &count, err));
        s.allow = match.words;
        s.allow_count = count;
    }
    uint64_t want = (uint64_t)k + (only_examples ? r->n_exclude : 0);
    s.k = (uint32_t)QV_MIN(want, s.allow_count);
    if (s.k == 0) {
        goto out;
    }
    r->ctx->stats.segments++;
    QV_GOTO(qv__segment_search(seg, &s, r->ctx, hits, &n, err));
    for (uint32_t i = 0; i < n; i++) {
        if (only_examples) {
            struct qv__id id = qv__segment_row_id(seg, hits[i].row);
            if (bsearch(&id, r->exclude, r->n_exclude, sizeof id, id_order)) {
                continue;
            }
        }
        qv__topk_push(top, hits[i].dist, KEY(at, hits[i].row));
    }
out:
    qv__bitset_free(&match);
    qv__visible_free(&vis);
    return st;
}

/* Equal distances in id order. qsort_r: the ids live in the segments. */
static int hit_order(const void *a, const void *b, void *arg)
{
    const struct qv__hit *x = a, *y = b;
    const struct run *r = arg;
    if (x->dist != y->dist) {
        return x->dist < y->dist ? -1 : 1;
    }
    struct qv__id ix = qv__segment_row_id(r->segments[KEY_SEGMENT(x->key)], KEY_ROW(x->key));
    struct qv__id iy = qv__segment_row_id(r->segments[KEY_SEGMENT(y->key)], KEY_ROW(y->key));
    return qv__id_cmp(&ix, &iy);
}

static bool over_threshold(const struct run *r, float score)
{
    if (!r->q->has_threshold) {
        return true;
    }
    return qv__metric_larger_is_better((enum qv__metric)r->def->metric)
               ? score >= r->q->score_threshold
               : score <= r->q->score_threshold;
}

static qv_status run_search(struct run *r, struct qv_err *err)
{
    /* Never more memory than there are rows, whatever limit was asked. */
    uint64_t rows = 0;
    for (size_t i = 0; i < r->n_segments; i++) {
        rows += qv__segment_rows(r->segments[i]);
    }
    uint64_t want = QV_MIN(r->q->limit + r->q->offset, rows);
    size_t slack = QV_MIN(r->n_exclude, (size_t)64);
    struct qv__hit *heap = qv__arena_calloc(&r->rs->arena, (size_t)want + 1, sizeof *heap);
    struct qv__row_hit *hits =
        qv__arena_calloc(&r->rs->arena, (size_t)want + slack + 1, sizeof *hits);
    if (!heap || !hits) {
        return qv__fail(err, QV_ENOMEM, "no memory for %" PRIu64 " results", want);
    }
    r->ctx->recall_target = r->q->params.recall;
    struct qv__topk top;
    qv__topk_init(&top, heap, (size_t)want);
    for (size_t i = 0; want && i < r->n_segments; i++) {
        QV_TRY(search_segment(r, i, (uint32_t)want, &top, hits, err));
    }
    size_t n = qv__topk_sort(&top);
    qsort_r(heap, n, sizeof *heap, hit_order, r);
    QV_TRY(qv__result_reserve(r->rs, n, err));
    for (size_t i = (size_t)QV_MIN(r->q->offset, (uint64_t)n); i < n; i++) {
        float score = qv__metric_score((enum qv__metric)r->def->metric, heap[i].dist);
        if (over_threshold(r, score)) {
            QV_TRY(qv__result_add(r->rs, r->segments[KEY_SEGMENT(heap[i].key)],
                                  KEY_ROW(heap[i].key), score, r->f, err));
        }
    }
    return QV_OK;
}

static qv_status run_open(struct run *r, struct qv_err *err)
{
    const struct qv__read_view *v = r->rs->view;
    size_t n = 0;
    for (uint32_t s = 0; s < v->n; s++) {
        n += v->views[s]->n;
    }
    r->segments = qv__arena_calloc(&r->rs->arena, n + 1, sizeof *r->segments);
    if (!r->segments) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query");
    }
    for (uint32_t s = 0; s < v->n; s++) {
        for (uint32_t i = 0; i < v->views[s]->n; i++) {
            r->segments[r->n_segments++] = v->views[s]->segments[i];
        }
    }
    int column = qv__schema_vector(v->schema, r->q->using_vector);
    if (column < 0) {
        struct qv__str u = r->q->using_vector;
        return qv__fail(err, QV_EINVAL, "Not existing vector name error: %.*s",
                        (int)QV_MIN(u.n, (size_t)64), u.p);
    }
    r->column = (uint32_t)column;
    r->def = &v->schema->vectors[column];
    return QV_OK;
}

/* No scoring: a page of the id order, skipping `offset`. */
static qv_status query_ids(struct qv__collection *c, const struct qv__query *q,
                           const struct qv__fetch *f, struct qv__qctx *ctx,
                           struct qv__result_set *out, struct qv_err *err)
{
    QV_TRY(qv__collection_scroll(c, NULL, q->limit + q->offset, q->filter, f, ctx, out, err));
    size_t skip = (size_t)QV_MIN(q->offset, (uint64_t)out->n);
    memmove(out->points, out->points + skip, (out->n - skip) * sizeof *out->points);
    out->n -= skip;
    out->has_next = false;
    return QV_OK;
}

qv_status qv__collection_query(struct qv__collection *c, const struct qv__query *q,
                               const struct qv__fetch *f, struct qv__qctx *ctx,
                               struct qv__result_set *out, struct qv_err *err)
{
    memset(out, 0, sizeof *out);
    qv__count(&c->db->searches, 1);
    QV_TRY(supported(q, err));
    if (q->kind == QV__QUERY_IDS) {
        return query_ids(c, q, f, ctx, out, err);
    }
    struct run r = {.c = c, .q = q, .f = f, .ctx = ctx, .rs = out};
    qv_status st = qv__result_open(c, ctx, out, err);
    QV_GOTO(st);
    QV_GOTO(qv__fetch_check(out->schema, f, err));
    QV_GOTO(run_open(&r, err));
    QV_GOTO(q->kind == QV__QUERY_RECOMMEND ? recommend_vector(&r, err)
                                           : input_vector(&r, &q->target, &r.vector, err));
    QV_GOTO(typed_vector(&r, err));
    QV_GOTO(exclude_examples(&r, err));
    QV_GOTO(run_search(&r, err));
    out->stats = ctx->stats;
out:
    st = qv__read_view_settle(out->view, st, err);
    if (st != QV_OK) {
        qv__result_free(out);
    }
    return st;
}

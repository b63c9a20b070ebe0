/* query_input.c: the vectors a stage compares with: given in the query, or those of stored points,
 * of this collection or another one.
 *
 * All are copied, so that nothing hangs on the other collection's view: what is compared into the
 * result's arena, what only adds to an average into memory that the next one takes again. For
 * averages they are taken as given, as the primary peer does; what is compared is normalised where
 * the column is, and in the column's datatype, at the end of its range where it reaches beyond; an
 * average of bits is the bit of the majority. */
#include "engine/query_exec.h"

#include <math.h>
#include <stdlib.h>

static qv_status no_memory(struct qv_err *err)
{
    return qv__fail(err, QV_ENOMEM, "no memory for a query vector");
}

static float *vector_alloc(struct qv__run *r, uint32_t dim)
{
    return qv__arena_alloc(&r->rs->arena, QV_MAX((size_t)dim, 1u) * sizeof(float));
}

/* Looking up examples takes a while each. */
static qv_status look(const struct qv__run *r, size_t done, struct qv_err *err)
{
    qv_status st = (done & 255) == 255 ? qv__qctx_check(r->ctx) : QV_OK;
    return st == QV_OK
               ? QV_OK
               : qv__fail(err, st, "query: %s after %zu examples", qv_status_text(st), done);
}

/* A vector of the segment as it would be given, copied. */
static qv_status copy_stored(struct qv__arena *a, const struct qv__vector_def *d, const void *v,
                             struct qv__given *out, struct qv_err *err)
{
    const void *shown = qv__vector_show(d, a, v);
    size_t n = shown ? qv__vector_shown_bytes(d, shown) : 0;
    uint8_t *copy = qv__arena_alloc(a, n + 4);
    if (!shown || !copy) {
        return no_memory(err);
    }
    memcpy(copy, shown, n);
    *out = (struct qv__given){.kind = d->kind, .dim = d->dim};
    if (d->kind == QV__VEC_DENSE) {
        out->values = (const float *)(const void *)copy;
    } else if (d->kind == QV__VEC_SPARSE) {
        out->dim = qv__varvec_count(copy);
        out->indices = qv__sparse_indices(copy);
        out->values = qv__sparse_values(copy);
    } else {
        out->n_rows = qv__varvec_count(copy);
        out->values = (const float *)(const void *)qv__multi_rows(copy);
    }
    return QV_OK;
}

/* A stored vector, from this collection or the one of lookup_from. */
static qv_status stored_vector(struct qv__run *r, const struct qv__stage *s, struct qv__arena *a,
                               const struct qv__id *id, struct qv__given *out, struct qv_err *err)
{
    const struct qv__query *q = s->q;
    char text[64];
    struct qv__read_view *other = NULL;
    struct qv__collection *c = NULL;
    const struct qv__read_view *view = r->rs->view;
    struct qv__str name = q->lookup_vector.p ? q->lookup_vector : q->using_vector;
    qv_status st = QV_OK;
    if (q->lookup_collection.n) {
        QV_GOTO(qv__db_collection(r->c->db, q->lookup_collection, &c, err));
        QV_GOTO(qv__read_view_open(c, r->ctx, &other, err));
        view = other;
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
    QV_GOTO(copy_stored(a, &view->schema->vectors[column], v, out, err));
    QV_GOTO(qv__vector_check(s->def, out, err));
out:
    st = qv__read_view_settle(other, st, err);
    qv__read_view_close(other);
    qv__collection_release(c);
    return st;
}

/* An input as it was given, borrowed, or is stored, copied. */
static qv_status input(struct qv__run *r, const struct qv__stage *s, struct qv__arena *a,
                       const struct qv__vector_input *in, struct qv__given *out, struct qv_err *err)
{
    struct qv_err why = {.code = QV_OK};
    if (in->by_id) {
        return stored_vector(r, s, a, &in->id, out, err);
    }
    *out = (struct qv__given){.values = in->values,
                              .indices = in->indices,
                              .dim = in->dim,
                              .n_rows = in->n_rows,
                              .kind = in->kind,
                              .is_packed = in->is_packed};
    if (qv__vector_check(s->def, out, &why) == QV_OK) {
        return QV_OK;
    }
    bool begins = why.message[0] >= 'a' && why.message[0] <= 'z'; /* in the middle of a sentence */
    return qv__fail(err, QV_EINVAL, "%s%s", begins ? "query vector: " : "", why.message);
}

/* What is compared: the stored form, copied; of a sparse vector weighed if the column says so. */
static qv_status typed(struct qv__run *r, const struct qv__stage *s, const struct qv__given *g,
                       const void **out, struct qv_err *err)
{
    const void *v = qv__vector_store(s->def, r->c->db->simd, &r->rs->arena, g);
    if (!v) {
        return no_memory(err);
    }
    if (v == g->values) { /* borrowed from the request */
        float *copy = vector_alloc(r, s->def->dim);
        if (!copy) {
            return no_memory(err);
        }
        v = memcpy(copy, v, (size_t)s->def->dim * sizeof *copy);
    }
    *out = v;
    /* A sparse one was made just now. */
    return s->def->idf ? qv__run_idf(r, s, (void *)(uintptr_t)v, err) : QV_OK;
}

static qv_status example(struct qv__run *r, const struct qv__stage *s,
                         const struct qv__vector_input *in, const void **out, struct qv_err *err)
{
    struct qv__given g;
    QV_TRY(input(r, s, &r->rs->arena, in, &g, err));
    return typed(r, s, &g, out, err);
}

static qv_status examples(struct qv__run *r, const struct qv__stage *s,
                          const struct qv__vector_input *in, size_t n, const void ***out,
                          struct qv_err *err)
{
    const void **list = qv__arena_calloc(&r->rs->arena, n + 1, sizeof *list);
    if (!list) {
        return no_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        QV_TRY(look(r, i, err));
        QV_TRY(example(r, s, &in[i], &list[i], err));
    }
    *out = list;
    return QV_OK;
}

static qv_status average(struct qv__run *r, const struct qv__stage *s,
                         const struct qv__vector_input *in, size_t n, float *acc,
                         struct qv_err *err)
{
    struct qv__arena one;
    qv_status st = QV_OK;
    qv__arena_init(&one, r->c->mem_query);
    memset(acc, 0, (size_t)s->def->dim * sizeof *acc);
    for (size_t i = 0; i < n; i++) {
        struct qv__given g;
        qv__arena_reset(&one);
        QV_GOTO(look(r, i, err));
        QV_GOTO(input(r, s, &one, &in[i], &g, err));
        for (uint32_t k = 0; k < s->def->dim; k++) {
            acc[k] += g.values[k];
        }
    }
    for (uint32_t k = 0; k < s->def->dim; k++) {
        acc[k] /= (float)n;
    }
out:
    qv__arena_free(&one);
    return st;
}

/* --- averages of vectors that vary in length --- */

struct element {
    uint32_t index;
    float value;
};

static int by_index(const void *a, const void *b)
{
    const struct element *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* All elements with their weight, sorted, those of one index added up in the order of examples. */
static qv_status sum_sparse(struct qv__run *r, const struct qv__given *list, const float *weights,
                            size_t n, struct qv__given *out, struct qv_err *err)
{
    size_t total = 0, at = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        total += list[i].dim;
    }
    struct element *e = qv__arena_calloc(&r->rs->arena, total + 1, sizeof *e);
    uint32_t *indices = qv__arena_calloc(&r->rs->arena, total + 1, sizeof *indices);
    float *values = qv__arena_calloc(&r->rs->arena, total + 1, sizeof *values);
    if (!e || !indices || !values) {
        return no_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < list[i].dim; k++) {
            e[at++] = (struct element){list[i].indices[k], list[i].values[k] * weights[i]};
        }
    }
    qsort(e, total, sizeof *e, by_index);
    for (size_t i = 0; i < total; i++) {
        if (kept == 0 || indices[kept - 1] != e[i].index) {
            indices[kept++] = e[i].index;
        }
        values[kept - 1] += e[i].value;
    }
    *out = (struct qv__given){
        .kind = QV__VEC_SPARSE, .indices = indices, .values = values, .dim = (uint32_t)kept};
    return qv__vector_check(&(struct qv__vector_def){.kind = QV__VEC_SPARSE}, out, err);
}

/* Rows of the positives, and those of the negatives turned round. */
static qv_status join_multi(struct qv__run *r, const struct qv__stage *s,
                            const struct qv__given *list, const float *weights, size_t n,
                            struct qv__given *out, struct qv_err *err)
{
    size_t rows = 0, dim = s->def->dim, at = 0;
    for (size_t i = 0; i < n; i++) {
        rows += list[i].kind == QV__VEC_MULTI ? list[i].n_rows : 1;
    }
    float *values = qv__arena_calloc(&r->rs->arena, rows * dim + 1, sizeof *values);
    if (!values) {
        return no_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        size_t m = (list[i].kind == QV__VEC_MULTI ? list[i].n_rows : 1) * dim;
        for (size_t k = 0; k < m; k++) {
            values[at++] = weights[i] < 0 ? -list[i].values[k] : list[i].values[k];
        }
    }
    *out = (struct qv__given){.kind = QV__VEC_MULTI,
                              .values = values,
                              .dim = (uint32_t)dim,
                              .n_rows = (uint32_t)QV_MIN(rows, (size_t)UINT32_MAX)};
    return qv__vector_check(s->def, out, err);
}

static qv_status recommend_varying(struct qv__run *r, const struct qv__stage *s,
                                   struct qv__given *out, struct qv_err *err)
{
    const struct qv__query *q = s->q;
    size_t n = q->n_positive + q->n_negative;
    struct qv__given *list = qv__arena_calloc(&r->rs->arena, n, sizeof *list);
    float *weights = qv__arena_calloc(&r->rs->arena, n, sizeof *weights);
    if (!list || !weights) {
        return no_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        bool positive = i < q->n_positive;
        QV_TRY(look(r, i, err));
        QV_TRY(input(r, s, &r->rs->arena,
                     positive ? &q->positive[i] : &q->negative[i - q->n_positive], &list[i], err));
        weights[i] = positive ? (q->n_negative ? 2.0f : 1.0f) / (float)q->n_positive
                              : -1.0f / (float)q->n_negative;
    }
    return s->def->kind == QV__VEC_SPARSE ? sum_sparse(r, list, weights, n, out, err)
                                          : join_multi(r, s, list, weights, n, out, err);
}

/* avg(positive) + avg(positive) - avg(negative); without negatives the average of positives. */
static qv_status recommend_vector(struct qv__run *r, struct qv__stage *s, struct qv_err *err)
{
    const struct qv__query *q = s->q;
    if (q->n_positive == 0) {
        return qv__fail(err, QV_EINVAL,
                        "At least one positive vector ID required with this strategy");
    }
    if (s->def->kind != QV__VEC_DENSE) {
        struct qv__given g;
        QV_TRY(recommend_varying(r, s, &g, err));
        return typed(r, s, &g, &s->target, err);
    }
    float *pos = vector_alloc(r, s->def->dim), *neg = vector_alloc(r, s->def->dim);
    if (!pos || !neg) {
        return no_memory(err);
    }
    QV_TRY(average(r, s, q->positive, q->n_positive, pos, err));
    if (q->n_negative) {
        QV_TRY(average(r, s, q->negative, q->n_negative, neg, err));
        for (uint32_t k = 0; k < s->def->dim; k++) {
            pos[k] += pos[k] - neg[k];
        }
    }
    if (!qv__simd_finite(pos, s->def->dim)) {
        return qv__fail(err, QV_EINVAL, "recommend: the average of the examples is not finite");
    }
    struct qv__given g = {.values = pos, .dim = s->def->dim};
    return typed(r, s, &g, &s->target, err);
}

/* The pairs of examples add up to one weight each, whatever their number: the score is linear in
 * the similarities. */
static qv_status feedback_weights(struct qv__run *r, struct qv__stage *s, struct qv_err *err)
{
    const struct qv__feedback *f = &s->q->feedback;
    size_t n = s->q->n_positive;
    s->weights = qv__arena_calloc(&r->rs->arena, n + 1, sizeof *s->weights);
    if (!s->weights) {
        return no_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        qv_status st = qv__qctx_check(r->ctx);
        if (st != QV_OK) {
            return qv__fail(err, st, "query.relevance_feedback: %s", qv_status_text(st));
        }
        for (size_t k = 0; k < n; k++) {
            float confidence = f->scores[i] - f->scores[k];
            if (confidence > 0.0f) {
                float pull = powf(confidence, f->b) * f->c;
                s->weights[i] += pull;
                s->weights[k] -= pull;
            }
        }
    }
    return QV_OK;
}

qv_status qv__stage_inputs(struct qv__run *r, struct qv__stage *s, struct qv_err *err)
{
    const struct qv__query *q = s->q;
    if (q->kind == QV__QUERY_RECOMMEND) {
        return recommend_vector(r, s, err);
    }
    if (q->kind == QV__QUERY_FEEDBACK) {
        QV_TRY(feedback_weights(r, s, err));
    }
    if (q->kind == QV__QUERY_NEAREST || q->kind == QV__QUERY_DISCOVER ||
        q->kind == QV__QUERY_FEEDBACK) {
        QV_TRY(example(r, s, &q->target, &s->target, err));
    }
    if (q->kind == QV__QUERY_NEAREST) {
        return QV_OK;
    }
    QV_TRY(examples(r, s, q->positive, q->n_positive, &s->positive, err));
    return examples(r, s, q->negative, q->n_negative, &s->negative, err);
}

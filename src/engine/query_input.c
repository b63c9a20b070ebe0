/* query_input.c: the vectors a stage compares with: given in the query, or those of stored points,
 * of this collection or another one.
 *
 * All are copied into the result's arena, so that nothing hangs on the other collection's view. For
 * averages they are taken as given, as the primary peer does; what is compared is normalised where
 * the column is, and in the column's datatype, at the end of its range where it reaches beyond; an
 * average of bits is the bit of the majority. */
#include "engine/query_exec.h"
#include "simd/narrow.h"

#include <math.h>

static qv_status no_memory(struct qv_err *err)
{
    return qv__fail(err, QV_ENOMEM, "no memory for a query vector");
}

static float *vector_alloc(struct qv__run *r, uint32_t dim)
{
    return qv__arena_alloc(&r->rs->arena, QV_MAX((size_t)dim, 1u) * sizeof(float));
}

/* A stored vector, from this collection or the one of lookup_from. */
static qv_status stored_vector(struct qv__run *r, const struct qv__stage *s,
                               const struct qv__id *id, float **out, struct qv_err *err)
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
    if (view->schema->vectors[column].dim != s->def->dim) {
        QV_GOTO(qv__fail(err, QV_EINVAL,
                         "Vector dimension error: expected dim: %" PRIu32 ", got %" PRIu32,
                         s->def->dim, view->schema->vectors[column].dim));
    }
    *out = vector_alloc(r, s->def->dim);
    if (!*out) {
        QV_GOTO(no_memory(err));
    }
    qv__elements_to_floats(view->schema->vectors[column].datatype, v, s->def->dim, *out);
out:
    st = qv__read_view_settle(other, st, err);
    qv__read_view_close(other);
    qv__collection_release(c);
    return st;
}

/* Beyond the range of bytes there is a nearest byte; a bit is 0 or 1. */
static qv_status bits_check(const struct qv__stage *s, const struct qv__vector_input *in,
                            struct qv_err *err)
{
    for (uint32_t i = 0; s->def->datatype == QV__BIT && i < in->dim; i++) {
        if (in->values[i] != 0.0f && in->values[i] != 1.0f) {
            return qv__fail(err, QV_EINVAL,
                            "query vector: element %" PRIu32 " is %g; a bit is 0 or 1", i,
                            (double)in->values[i]);
        }
    }
    return QV_OK;
}

/* An input as floats, as it was given or is stored. */
static qv_status input_floats(struct qv__run *r, const struct qv__stage *s,
                              const struct qv__vector_input *in, float **out, struct qv_err *err)
{
    if (in->by_id) {
        return stored_vector(r, s, &in->id, out, err);
    }
    if (in->dim != s->def->dim) {
        return qv__fail(err, QV_EINVAL,
                        "Vector dimension error: expected dim: %" PRIu32 ", got %" PRIu32,
                        s->def->dim, in->dim);
    }
    if (in->is_packed && s->def->datatype != QV__BIT) {
        return qv__fail(err, QV_EINVAL, "query vector: packed bits are for bit vectors, not for %s",
                        qv__datatype_name(s->def->datatype));
    }
    QV_TRY(bits_check(s, in, err));
    if (!qv__simd_finite(in->values, in->dim)) {
        return qv__fail(
            err, QV_EINVAL,
            "query vector: every element and the squared length must be finite numbers");
    }
    *out = vector_alloc(r, in->dim);
    if (!*out) {
        return no_memory(err);
    }
    memcpy(*out, in->values, (size_t)in->dim * sizeof **out);
    return QV_OK;
}

/* What is compared: normalised where the column is, in its datatype. `v` is changed. */
static qv_status typed_vector(struct qv__run *r, const struct qv__stage *s, float *v,
                              const void **out, struct qv_err *err)
{
    if (qv__normalises(s->def->metric, s->def->datatype)) {
        qv__simd_normalize(r->c->db->simd, v, s->def->dim);
    }
    *out = v;
    if (s->def->datatype == QV__F32) {
        return QV_OK;
    }
    size_t bytes = qv__vector_bytes(s->def->datatype, s->def->dim);
    void *typed = qv__arena_alloc(&r->rs->arena, bytes);
    if (!typed) {
        return no_memory(err);
    }
    qv__elements_of_floats(s->def->datatype, v, s->def->dim, typed);
    *out = typed;
    return QV_OK;
}

static qv_status example(struct qv__run *r, const struct qv__stage *s,
                         const struct qv__vector_input *in, const void **out, struct qv_err *err)
{
    float *v = NULL;
    QV_TRY(input_floats(r, s, in, &v, err));
    return typed_vector(r, s, v, out, err);
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
        QV_TRY(example(r, s, &in[i], &list[i], err));
    }
    *out = list;
    return QV_OK;
}

static qv_status average(struct qv__run *r, const struct qv__stage *s,
                         const struct qv__vector_input *in, size_t n, float *acc,
                         struct qv_err *err)
{
    memset(acc, 0, (size_t)s->def->dim * sizeof *acc);
    for (size_t i = 0; i < n; i++) {
        float *v = NULL;
        QV_TRY(input_floats(r, s, &in[i], &v, err));
        for (uint32_t k = 0; k < s->def->dim; k++) {
            acc[k] += v[k];
        }
    }
    for (uint32_t k = 0; k < s->def->dim; k++) {
        acc[k] /= (float)n;
    }
    return QV_OK;
}

/* avg(positive) + avg(positive) - avg(negative); without negatives the average of positives. */
static qv_status recommend_vector(struct qv__run *r, struct qv__stage *s, struct qv_err *err)
{
    const struct qv__query *q = s->q;
    if (q->n_positive == 0) {
        return qv__fail(err, QV_EINVAL,
                        "At least one positive vector ID required with this strategy");
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
    return typed_vector(r, s, pos, &s->target, err);
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

/* vector.c: what differs between kinds of vectors. */
#include "engine/vector.h"

#include <stdlib.h>

#include "simd/narrow.h"

/* --- foreign bytes --- */

bool qv__vector_sized(const struct qv__vector_def *d, const void *v, size_t bytes)
{
    return d->kind == QV__VEC_DENSE    ? bytes == qv__stored_bytes(d->kind, d->datatype, d->dim, v)
           : d->kind == QV__VEC_SPARSE ? qv__sparse_valid(v, bytes)
                                       : qv__multi_sized(d->datatype, d->dim, v, bytes);
}

bool qv__vector_finite(const struct qv__vector_def *d, const void *v)
{
    if (d->kind == QV__VEC_DENSE) {
        return qv__elements_valid(d->datatype, v, d->dim);
    }
    bool finite = true;
    uint32_t n = d->kind == QV__VEC_MULTI ? qv__varvec_count(v) : 0;
    size_t stride = qv__multi_row_bytes(d->datatype, d->dim);
    for (uint32_t i = 0; finite && i < n; i++) {
        finite = qv__elements_valid(d->datatype, qv__multi_rows(v) + i * stride, d->dim);
    }
    return finite;
}

/* --- what was given --- */

static qv_status dim_check(const struct qv__vector_def *d, uint32_t dim, struct qv_err *err)
{
    return dim == d->dim
               ? QV_OK
               : qv__fail(err, QV_EINVAL,
                          "Vector dimension error: expected dim: %" PRIu32 ", got %" PRIu32, d->dim,
                          dim);
}

/* Elements as the datatype takes them in queries: beyond the range of bytes there is a nearest
 * byte, a bit is 0 or 1. */
static qv_status elements_check(const struct qv__vector_def *d, const float *values, uint32_t n,
                                struct qv_err *err)
{
    for (uint32_t i = 0; d->datatype == QV__BIT && i < n; i++) {
        if (values[i] != 0.0f && values[i] != 1.0f) {
            return qv__fail(err, QV_EINVAL, "element %" PRIu32 " is %g; a bit is 0 or 1", i,
                            (double)values[i]);
        }
    }
    return qv__simd_finite(values, n)
               ? QV_OK
               : qv__fail(err, QV_EINVAL,
                          "every element and the squared length must be finite numbers");
}

/* Rising indices, with their values beside them. */
struct element {
    uint32_t index;
    float value;
};

static int by_index(const void *a, const void *b)
{
    const struct element *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static qv_status sparse_check(const struct qv__vector_def *d, const struct qv__given *v,
                              struct qv_err *err)
{
    if (v->dim > QV__SPARSE_MAX) {
        return qv__fail(err, QV_EINVAL, "sparse vector: %" PRIu32 " elements are more than %u",
                        v->dim, QV__SPARSE_MAX);
    }
    return elements_check(d, v->values, v->dim, err);
}

static qv_status multi_check(const struct qv__vector_def *d, const struct qv__given *v,
                             struct qv_err *err)
{
    uint32_t n = v->kind == QV__VEC_DENSE ? 1 : v->n_rows;
    if (n == 0) {
        return qv__fail(err, QV_EINVAL, "multivector must not be empty");
    }
    QV_TRY(dim_check(d, v->dim, err));
    if (n > QV__MULTI_MAX / QV_MAX(d->dim, 1u)) {
        return qv__fail(err, QV_EINVAL,
                        "multivector: %" PRIu32 " vectors of %" PRIu32
                        " elements are more than %u elements together",
                        n, d->dim, QV__MULTI_MAX);
    }
    for (uint32_t i = 0; i < n; i++) {
        QV_TRY(elements_check(d, v->values + (size_t)i * d->dim, d->dim, err));
    }
    return QV_OK;
}

qv_status qv__vector_check(const struct qv__vector_def *d, const struct qv__given *v,
                           struct qv_err *err)
{
    static const char *const kinds[] = {"a dense vector", "a sparse vector", "a multivector"};
    bool fits = v->kind == d->kind || (v->kind == QV__VEC_DENSE && d->kind == QV__VEC_MULTI);
    if (!fits) {
        return qv__fail(err, QV_EINVAL,
                        "Conversion between sparse and regular vectors failed: vector `%.*s` is %s,"
                        " not %s",
                        (int)QV_MIN(d->name.n, (size_t)64), d->name.p, kinds[d->kind],
                        kinds[QV_MIN(v->kind, QV__VEC_MULTI)]);
    }
    if (d->kind == QV__VEC_SPARSE) {
        return sparse_check(d, v, err);
    }
    if (d->kind == QV__VEC_MULTI) {
        return multi_check(d, v, err);
    }
    QV_TRY(dim_check(d, v->dim, err));
    if (v->is_packed && d->datatype != QV__BIT) {
        return qv__fail(err, QV_EINVAL, "packed bits are for bit vectors, not for %s",
                        qv__datatype_name(d->datatype));
    }
    return elements_check(d, v->values, v->dim, err);
}

/* --- storing --- */

static const void *sparse_store(struct qv__arena *arena, const struct qv__given *v)
{
    uint8_t *out = qv__arena_alloc(arena, qv__sparse_bytes(v->dim));
    struct element *e = qv__arena_alloc(arena, ((size_t)v->dim + 1) * sizeof *e);
    if (!out || !e) {
        return NULL;
    }
    bool rises = true;
    for (uint32_t i = 0; i < v->dim; i++) {
        e[i] = (struct element){v->indices[i], v->values[i]};
        rises = rises && (i == 0 || v->indices[i] > v->indices[i - 1]);
    }
    if (!rises) {
        qsort(e, v->dim, sizeof *e, by_index);
    }
    qv__store_u32(out, v->dim);
    for (uint32_t i = 0; i < v->dim; i++) {
        ((uint32_t *)(void *)out)[1 + i] = e[i].index;
        ((float *)(void *)out)[1 + v->dim + i] = e[i].value;
    }
    return out;
}

/* `n` rows of floats into `out`, normalised and narrowed. `row` has room for one. */
static void rows_store(const struct qv__vector_def *d, const struct qv__simd *simd, const float *in,
                       uint32_t n, float *row, uint8_t *out)
{
    size_t stride = qv__multi_row_bytes(d->datatype, d->dim);
    for (uint32_t i = 0; i < n; i++, in += d->dim, out += stride) {
        memcpy(row, in, d->dim * sizeof *row);
        if (qv__normalises(d->metric, d->datatype)) {
            qv__simd_normalize(simd, row, d->dim); /* a zero vector stays zero and scores 0 */
        }
        if (d->datatype == QV__F32) {
            memcpy(out, row, stride);
        } else {
            qv__elements_of_floats(d->datatype, row, d->dim, out);
        }
    }
}

const void *qv__vector_store(const struct qv__vector_def *d, const struct qv__simd *simd,
                             struct qv__arena *arena, const struct qv__given *v)
{
    if (d->kind == QV__VEC_SPARSE) {
        return sparse_store(arena, v);
    }
    uint32_t n = v->kind == QV__VEC_MULTI ? v->n_rows : 1;
    if (d->kind == QV__VEC_DENSE && d->datatype == QV__F32 &&
        !qv__normalises(d->metric, d->datatype)) {
        return v->values;
    }
    size_t head = d->kind == QV__VEC_MULTI ? 4 : 0,
           bytes = head ? qv__multi_bytes(d->datatype, d->dim, n)
                        : qv__multi_row_bytes(d->datatype, d->dim);
    uint8_t *out = qv__arena_calloc(arena, bytes, 1);
    float *row = qv__arena_alloc(arena, d->dim * sizeof *row);
    if (!out || !row) {
        return NULL;
    }
    if (head) {
        qv__store_u32(out, n);
    }
    rows_store(d, simd, v->values, n, row, out + head);
    return out;
}

/* --- showing --- */

const void *qv__vector_show(const struct qv__vector_def *d, struct qv__arena *arena, const void *v)
{
    if (d->kind == QV__VEC_SPARSE || d->datatype == QV__F32) {
        return v;
    }
    uint32_t n = d->kind == QV__VEC_MULTI ? qv__varvec_count(v) : 1;
    size_t head = d->kind == QV__VEC_MULTI ? 4 : 0;
    uint8_t *out = qv__arena_alloc(arena, head + (size_t)n * d->dim * sizeof(float));
    if (!out) {
        return NULL;
    }
    if (head) {
        qv__store_u32(out, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        qv__elements_to_floats(
            d->datatype, (const uint8_t *)v + head + i * qv__multi_row_bytes(d->datatype, d->dim),
            d->dim, (float *)(void *)(out + head) + (size_t)i * d->dim);
    }
    return out;
}

size_t qv__vector_shown_bytes(const struct qv__vector_def *d, const void *shown)
{
    return qv__stored_bytes(d->kind, QV__F32, d->dim, shown);
}

/* --- comparing --- */

enum { ROWS = 256 };

/* Sum over the query's rows of the distance to the nearest row. */
static float max_sim(const struct qv__simd *simd, const struct qv__vectors *v, const void *query,
                     const void *multi)
{
    size_t stride = qv__multi_row_bytes(v->datatype, v->dim);
    uint32_t nq = qv__varvec_count(query), n = qv__varvec_count(multi);
    const void *rows[ROWS];
    float dist[ROWS], sum = 0.0f;
    for (uint32_t q = 0; q < nq; q++) {
        float nearest = INFINITY;
        for (uint32_t at = 0; at < n; at += ROWS) {
            uint32_t k = QV_MIN(n - at, (uint32_t)ROWS);
            for (uint32_t i = 0; i < k; i++) {
                rows[i] = qv__multi_rows(multi) + (size_t)(at + i) * stride;
            }
            qv__distances(simd, v, qv__multi_rows(query) + q * stride, rows, k, dist);
            for (uint32_t i = 0; i < k; i++) {
                nearest = QV_MIN(nearest, dist[i]);
            }
        }
        sum += nearest;
    }
    return sum;
}

void qv__vector_distances(const struct qv__simd *simd, const struct qv__vector_def *d,
                          const void *query, const void *const *rows, size_t n, float *out)
{
    struct qv__vectors v = {.dim = d->dim, .datatype = d->datatype, .metric = d->metric};
    if (d->kind == QV__VEC_DENSE) {
        qv__distances(simd, &v, query, rows, n, out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool overlap;
        out[i] = d->kind == QV__VEC_SPARSE ? 0.0f - qv__sparse_dot(query, rows[i], &overlap)
                                           : max_sim(simd, &v, query, rows[i]);
    }
}

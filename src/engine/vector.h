/* vector.h: vectors of every kind a column may hold: given, stored, compared, shown.
 *
 * What it is: the one place that tells dense vectors, sparse ones and multivectors apart, so that
 * writes, segments and queries handle pointers to stored vectors and nothing else. The distance of
 * two multivectors is the sum, over the query's rows, of the distance to the nearest row (MaxSim:
 * Khattab and Zaharia, "ColBERT", 2020); that of sparse vectors is minus the inner product.
 * What it is not: an index.
 *
 * Threads: any. */
#ifndef QV_ENGINE_VECTOR_H
#define QV_ENGINE_VECTOR_H

#include "base/varvec.h"
#include "engine/schema.h"

/* A vector as it was given: see struct qv__named_vector. */
struct qv__given {
    const float *values;
    const uint32_t *indices;
    uint32_t dim, n_rows;
    uint8_t kind;
    bool is_packed;
};

/* Bytes of a stored vector. */
static inline size_t qv__vector_size(const struct qv__vector_def *d, const void *v)
{
    return qv__stored_bytes(d->kind, d->datatype, d->dim, v);
}
/* Whether foreign bytes, aligned to four, are a stored vector of the column: its length, its rows,
 * and of a sparse one everything. Elements of the others are checked by qv__vector_finite
 * (qv__elements_valid of each row). */
bool qv__vector_sized(const struct qv__vector_def *d, const void *v, size_t bytes);
bool qv__vector_finite(const struct qv__vector_def *d, const void *v);

/* Whether what was given fits the column, one dense vector standing for a multivector of one row.
 * QV_EINVAL naming what is wrong. */
qv_status qv__vector_check(const struct qv__vector_def *d, const struct qv__given *v,
                           struct qv_err *err) QV_MUST_USE;
/* Its stored form, normalised where the column is; elements beyond the datatype's range become its
 * ends. May be the given values themselves. NULL without memory. */
const void *qv__vector_store(const struct qv__vector_def *d, const struct qv__simd *simd,
                             struct qv__arena *arena, const struct qv__given *v);
/* What a result shows: floats of a dense vector, else the stored form with float rows. In place
 * where that is the stored form. NULL without memory. */
const void *qv__vector_show(const struct qv__vector_def *d, struct qv__arena *arena, const void *v);
/* Bytes of what is shown. */
size_t qv__vector_shown_bytes(const struct qv__vector_def *d, const void *shown);

/* out[i] = distance of the stored query to rows[i]. */
void qv__vector_distances(const struct qv__simd *simd, const struct qv__vector_def *d,
                          const void *query, const void *const *rows, size_t n, float *out);

#endif

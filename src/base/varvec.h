/* varvec.h: vectors whose length varies from point to point: sparse vectors and multivectors.
 *
 * What it is: the one stored form of each, in memory, in the log and in files. It begins with its
 * own count, so that a pointer to it says all. Elements are little endian, the whole is aligned to
 * four bytes and a multiple of four bytes long:
 *   sparse: u32 n; u32 index[n], rising; f32 value[n]
 *   multi:  u32 n; n rows of `dim` elements of the column's datatype, back to back; zeros
 * What it is not: a dense vector, which is its elements and nothing else.
 *
 * Threads: any. */
#ifndef QV_BASE_VARVEC_H
#define QV_BASE_VARVEC_H

#include <math.h>

#include "base/buf.h"
#include "base/vec.h"

#define QV__SPARSE_MAX (1u << 20) /* elements of one sparse vector */
#define QV__MULTI_MAX  (1u << 20) /* elements of one multivector, all rows together */

static inline bool qv__vec_varies(uint8_t kind)
{
    return kind != QV__VEC_DENSE;
}
static inline uint32_t qv__varvec_count(const void *v)
{
    return qv__load_u32(v);
}

static inline size_t qv__sparse_bytes(uint32_t n)
{
    return 4 + (size_t)n * 8;
}
static inline const uint32_t *qv__sparse_indices(const void *v)
{
    return (const uint32_t *)v + 1;
}
static inline const float *qv__sparse_values(const void *v)
{
    return (const float *)v + 1 + qv__varvec_count(v);
}

static inline size_t qv__multi_row_bytes(uint8_t datatype, uint32_t dim)
{
    return (size_t)qv__vector_bytes(datatype, dim);
}
static inline size_t qv__multi_bytes(uint8_t datatype, uint32_t dim, uint32_t n)
{
    return 4 + (((size_t)n * qv__multi_row_bytes(datatype, dim) + 3) & ~(size_t)3);
}
static inline const uint8_t *qv__multi_rows(const void *v)
{
    return (const uint8_t *)v + 4;
}

/* Bytes of a stored vector of a column, whatever its kind. */
static inline size_t qv__stored_bytes(uint8_t kind, uint8_t datatype, uint32_t dim, const void *v)
{
    return kind == QV__VEC_DENSE    ? (size_t)qv__vector_bytes(datatype, dim)
           : kind == QV__VEC_SPARSE ? qv__sparse_bytes(qv__varvec_count(v))
                                    : qv__multi_bytes(datatype, dim, qv__varvec_count(v));
}

/* Whether foreign bytes are exactly one sparse vector: indices rise, values are finite. `p` is
 * aligned to four bytes. */
static inline bool qv__sparse_valid(const void *p, size_t bytes)
{
    if (bytes < 4 || qv__varvec_count(p) > QV__SPARSE_MAX ||
        bytes != qv__sparse_bytes(qv__varvec_count(p))) {
        return false;
    }
    uint32_t n = qv__varvec_count(p);
    const uint32_t *index = qv__sparse_indices(p);
    const float *value = qv__sparse_values(p);
    for (uint32_t i = 0; i < n; i++) {
        if (!isfinite(value[i]) || (i && index[i] <= index[i - 1])) {
            return false;
        }
    }
    return true;
}

/* Whether the length of foreign bytes is that of a multivector of at least one row. Its elements
 * are for the caller to look at. */
static inline bool qv__multi_sized(uint8_t datatype, uint32_t dim, const void *p, size_t bytes)
{
    uint32_t n = bytes >= 4 ? qv__varvec_count(p) : 0;
    return n >= 1 && n <= QV__MULTI_MAX / QV_MAX(dim, 1u) &&
           bytes == qv__multi_bytes(datatype, dim, n);
}

/* The inner product of two sparse vectors; *overlap: whether they share an index. */
float qv__sparse_dot(const void *a, const void *b, bool *overlap);

#endif

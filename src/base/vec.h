/* vec.h: what a vector column is: kind, element type, metric, and a run of vectors in memory.
 *
 * What it is: the few words that kernels, indexes, storage and the engine share.
 * What it is not: a container; memory belongs to whoever fills the chunks. */
#ifndef QV_BASE_VEC_H
#define QV_BASE_VEC_H

#include "base/base.h"

/* Values are stored in files: never renumbered. */
enum qv__vec_kind { QV__VEC_DENSE = 0, QV__VEC_SPARSE = 1, QV__VEC_MULTI = 2 };
enum qv__datatype { QV__F32 = 0, QV__F16 = 1, QV__U8 = 2, QV__I8 = 3, QV__BIT = 4 };
enum qv__metric { QV__COSINE = 0, QV__DOT = 1, QV__L2 = 2, QV__L1 = 3, QV__HAMMING = 4 };

/* Inside the engine every comparison is by distance: smaller is nearer. Cosine and dot use the
 * negated inner product (cosine vectors are stored normalised), L2 the squared distance. A score is
 * what a user sees: this turns one into the other. */
static inline bool qv__metric_larger_is_better(enum qv__metric m)
{
    return m == QV__COSINE || m == QV__DOT;
}
static inline float qv__metric_score(enum qv__metric m, float dist)
{
    switch (m) {
    case QV__COSINE:
    case QV__DOT:
        return -dist;
    case QV__L2:
        return __builtin_sqrtf(dist > 0.0f ? dist : 0.0f);
    case QV__L1:
    case QV__HAMMING:
    default:
        return dist;
    }
}

/* "float32", "float16", "uint8", "int8", "bit". */
static inline const char *qv__datatype_name(uint8_t datatype)
{
    static const char *const names[] = {"float32", "float16", "uint8", "int8", "bit"};
    return datatype < QV_ARRAY_LEN(names) ? names[datatype] : "unknown";
}

/* Bytes that an element's address is a multiple of; bits lie eight to a byte. */
static inline uint32_t qv__datatype_align(uint8_t datatype)
{
    return datatype == QV__F32 ? 4 : datatype == QV__F16 ? 2 : 1;
}

/* Bytes of a stored vector of `dim` elements. Element i of a bit vector is bit 7 - i % 8 of byte
 * i / 8, so that hexadecimal digits read as the elements do; bits behind the last one are zero. */
static inline uint32_t qv__vector_bytes(uint8_t datatype, uint32_t dim)
{
    return datatype == QV__BIT ? (dim + 7) / 8 : dim * qv__datatype_align(datatype);
}

/* Bits have the Hamming distance and no other, and nothing else has it. */
static inline bool qv__metric_serves(uint8_t metric, uint8_t datatype)
{
    return metric <= QV__HAMMING && (metric == QV__HAMMING) == (datatype == QV__BIT);
}

/* Whether the vectors of a column are scaled to length one before they are stored. Bytes are not:
 * they are stored as given, and their lengths are divided by at each comparison. */
static inline bool qv__normalises(uint8_t metric, uint8_t datatype)
{
    return metric == QV__COSINE && (datatype == QV__F32 || datatype == QV__F16);
}

#define QV__DIM_MAX 65536u

/* A run of vectors addressed by ordinal, in chunks of 2^chunk_shift vectors. A contiguous run is
 * one chunk with chunk_shift 31. Growing runs keep the chunk table's address for life, only add
 * chunks, and may put a larger copy in the place of a chunk, which stays readable; the caller says
 * how many ordinals are readable. */
struct qv__vectors {
    const uint8_t *const *chunks; /* borrowed */
    uint32_t chunk_shift;
    uint32_t stride_bytes;
    uint32_t dim;
    uint8_t datatype; /* enum qv__datatype */
    uint8_t metric;   /* enum qv__metric */
};

static inline const void *qv__vectors_at(const struct qv__vectors *v, uint32_t ord)
{
    return __atomic_load_n(&v->chunks[ord >> v->chunk_shift], __ATOMIC_ACQUIRE) +
           (size_t)(ord & ((UINT32_C(1) << v->chunk_shift) - 1)) * v->stride_bytes;
}

#endif

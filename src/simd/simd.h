/* simd.h: distance kernels.
 *
 * What it is: squared L2, inner product and L1 on f32 vectors, one pair or one query against many,
 * per instruction set in files of their own (scalar.c is the reference), chosen at run time.
 * What it is not: aware of metrics' score direction, of normalisation policy, or of storage.
 * Cosine is the inner product of normalised vectors (qv__simd.normalize).
 *
 * Any length >= 0, any alignment; nothing is read past the end. Results of different instruction
 * sets differ by rounding only; within one table the three forms of a kernel agree to the last bit,
 * whatever the batch. Threads: any; tables are immutable. */
#ifndef QV_SIMD_SIMD_H
#define QV_SIMD_SIMD_H

#include "base/base.h"

enum qv__isa { QV__ISA_SCALAR = 0, QV__ISA_AVX2, QV__ISA_AVX512, QV__ISA_NEON, QV__ISAS };

/* Vectors are addresses of `dim` elements of the kernel's type; float here, others in narrow.h. */
typedef float (*qv__dist_fn)(const void *a, const void *b, size_t dim);
/* out[i] = dist(query, row i); rows are `stride_bytes` apart. */
typedef void (*qv__dist_many_fn)(const void *query, const void *rows, size_t stride_bytes, size_t n,
                                 size_t dim, float *out);
/* out[i] = dist(query, rows[i]); rows given by address; prefetches ahead itself. */
typedef void (*qv__dist_gather_fn)(const void *query, const void *const *rows, size_t n, size_t dim,
                                   float *out);

/* One distance in its three forms. */
struct qv__dist {
    qv__dist_fn one;
    qv__dist_many_fn many;
    qv__dist_gather_fn gather;
};

struct qv__simd {
    enum qv__isa isa;
    const char *name; /* "scalar", "avx2", "avx512", "neon" */
    qv__dist_fn l2;   /* sum (a-b)^2 */
    qv__dist_fn ip;   /* sum a*b (a similarity: not negated) */
    qv__dist_fn l1;   /* sum |a-b| */
    qv__dist_many_fn l2_many, ip_many, l1_many;
    qv__dist_gather_fn l2_gather, ip_gather, l1_gather;
    float (*norm2)(const float *a, size_t dim);    /* sum a^2 */
    void (*scale)(float *a, float by, size_t dim); /* a *= by */
};

/* The table of one instruction set; NULL if this build or this CPU lacks it. */
const struct qv__simd *qv__simd_table(enum qv__isa isa);
/* The best table of this CPU; the environment variable QUIVER_SIMD=scalar|avx2|avx512|neon forces
 * one (an unavailable or unknown value falls back to the best; *refused, may be NULL, then gets the
 * refused text's address, which the environment owns, and NULL otherwise). Set but empty is as
 * unset. Threads: any, while nobody changes the environment. */
const struct qv__simd *qv__simd_best(const char **refused);

/* Scale to unit length; a zero vector stays zero and false is returned. */
static inline bool qv__simd_normalize(const struct qv__simd *s, float *v, size_t dim)
{
    float n2 = s->norm2(v, dim);
    if (n2 < 0x1p-100f) { /* squares were lost to underflow: enlarge (exactly) and look again */
        s->scale(v, 0x1p100f, dim);
        n2 = s->norm2(v, dim);
    }
    if (!(n2 > 0.0f)) {
        return false;
    }
    s->scale(v, 1.0f / __builtin_sqrtf(n2), dim);
    return true;
}
/* True if every element is finite and the squared norm is below FLT_MAX (by a thousandth, so that
 * no table's rounding takes it over). For vectors that pass, no table's ip, norm2 or l1 overflows;
 * l2 may be infinite, never a NaN. The answer is the same on every machine. */
bool qv__simd_finite(const float *v, size_t dim);

#endif

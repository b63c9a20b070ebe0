/* narrow.h: distance kernels on vectors of half floats and of bytes.
 *
 * What it is: what simd.h is for f32, for elements of 16 and 8 bits, stored and compared as they
 * are: a row is never widened in memory. Bytes are multiplied and added as integers, exactly; half
 * floats are widened to f32 in registers.
 * What it is not: a choice of what to store; that is the column's datatype (base/vec.h).
 *
 * Any length up to 65,536, any alignment; nothing is read past the end. Pair, many and gather of
 * one table agree to the last bit. Byte kernels of different tables agree too. Threads: any. */
#ifndef QV_SIMD_NARROW_H
#define QV_SIMD_NARROW_H

#include "base/elements.h"
#include "simd/simd.h"

enum qv__narrow_type { QV__NARROW_F16 = 0, QV__NARROW_U8, QV__NARROW_I8, QV__NARROW_TYPES };

/* Cosine (a similarity, like the inner product) divides by both lengths, since vectors of bytes
 * cannot be stored normalised; a zero vector has 0 with every other. */
enum qv__narrow_op {
    QV__NARROW_L2 = 0,
    QV__NARROW_IP,
    QV__NARROW_L1,
    QV__NARROW_COS,
    QV__NARROW_OPS
};

struct qv__narrow {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */
    struct qv__dist dist[QV__NARROW_TYPES][QV__NARROW_OPS];
    /* n half floats at any address as floats: qv__half_to_float of each, bit by bit; of a NaN a
     * NaN. */
    void (*widen_f16)(const void *halves, size_t n, float *out);
};

/* The kernels of the instruction set of `simd`. */
const struct qv__narrow *qv__narrow_of(const struct qv__simd *simd);

/* What qv__simd_finite says of the same vector in f32; of bits, that those behind the last element
 * are zero. */
bool qv__elements_valid(uint8_t datatype, const void *elements, size_t n);

#endif

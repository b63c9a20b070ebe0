/* codes.h: kernels on packed integer codes.
 *
 * What it is: inner products of small unsigned integers, packed 8, 4, 2 or 1 bits wide, with a
 * query of signed bytes, one query against many codes; sums of looked-up numbers for codes side by
 * side; and Hamming distances of bits, of codes and of vectors. Integers throughout: every table
 * gives the same numbers. What it is not: aware of what a code stands for; scales, offsets and
 * metrics are quant/'s.
 *
 * Packing, the same on every machine. "Dims" counts elements; 4, 2 and 1 bits pack whole blocks of
 * 64 of them, the last one filled up:
 *   8 bits  element i is byte i; any number of elements
 *   4 bits  64 bytes hold 128 elements, number 64 * k + j in bits 4k.. of byte j; a last block of
 *           64 elements has 32 bytes, number 32 * k + j in bits 4k.. of byte j
 *   2 bits  64 bytes hold 256 elements, number 64 * k + j in bits 2k.. of byte j; each of up to
 *           three further blocks of 64 has 16 bytes, number 16 * k + j in bits 2k.. of byte j
 *   1 bit   element i is bit i mod 8 of byte i / 8
 *
 * Codes may have any alignment; nothing of them is read past their end. Threads: any. */
#ifndef QV_SIMD_CODES_H
#define QV_SIMD_CODES_H

#include "simd/simd.h"

/* Widths of a packed plane, and the index of each in the tables below. */
enum qv__code_width { QV__W1 = 0, QV__W2, QV__W4, QV__W8, QV__WIDTHS };

enum { QV__CODE_BLOCK_DIMS = 64 };

/* Largest number of elements: 255 * 127 of them still fit an int32_t. */
#define QV__CODE_DIMS_MAX 65536u

struct qv__code_query {
    const int8_t *q; /* -127..127; readable, and zero beyond dims, up to a multiple of 64 */
    size_t dims;     /* widths below 8: a multiple of 64 */
    int32_t sum;     /* of the elements of q */
    size_t
        fetch_bytes; /* of each coming code: what to prefetch, from its address on; 0 = nothing */
};

/* out[i] = sum over elements of q * code, of n codes `stride_bytes` apart, */
typedef void (*qv__code_many_fn)(const struct qv__code_query *q, const uint8_t *codes,
                                 size_t stride_bytes, size_t n, int32_t *out);
/* ... or of the codes at codes[i] + offset. The prefetched bytes begin at codes[i]. */
typedef void (*qv__code_gather_fn)(const struct qv__code_query *q, const uint8_t *const *codes,
                                   size_t offset, size_t n, int32_t *out);
/* out[i]: the lowest bits of the first 64 bytes at codes[i], that of byte j in bit j. */
typedef void (*qv__code_low_bits_fn)(const uint8_t *const *codes, size_t n, uint64_t *out);
/* Number of bits that differ in n_bytes. */
typedef uint32_t (*qv__hamming_fn)(const uint8_t *a, const uint8_t *b, size_t n_bytes);

/* Sums of table entries for a block of QV__LOOKUP_CODES codes side by side: code j has a number g_j
 * of 4 bits in each of n_groups groups, and out[j] is the sum over groups g of tables[16 g + g_j].
 * `codes` holds 16 bytes a group: byte j of them has the number of code j in its lower half, that
 * of code j + 16 in its upper half. Entries are at most QV__LOOKUP_MAX, n_groups a multiple of 16
 * and at most QV__LOOKUP_GROUPS_MAX, so that sums fit. Meanwhile lines from `next` on are asked
 * for, QV__LOOKUP_AHEAD for every 16 groups; NULL = none. */
typedef void (*qv__code_lookup_fn)(const uint8_t *tables, const uint8_t *codes, size_t n_groups,
                                   const uint8_t *next, uint16_t *out);
enum {
    QV__LOOKUP_AHEAD = 6,
    QV__LOOKUP_CODES = 32,
    QV__LOOKUP_MAX = 63,
    QV__LOOKUP_GROUPS_MAX = 1024
};

/* What sums of a block are worth: dists[j] = from + (add[j] - scale[j] * (step * (sums[j] -
 * middle))), rounded as the machine does. Returned: bit j is set where dists[j] <= most. */
struct qv__code_worth {
    float step;
    int32_t middle;
    float from, most;
};
typedef uint32_t (*qv__code_near_fn)(const struct qv__code_worth *w, const uint16_t *sums,
                                     const float *add, const float *scale, float *dists);

struct qv__codes {
    const char *name; /* "scalar", "avx2", "avx512", "neon", "neondot" */
    qv__code_many_fn many[QV__WIDTHS];
    qv__code_gather_fn gather[QV__WIDTHS];
    qv__code_lookup_fn lookup;
    qv__code_near_fn near;
    qv__code_low_bits_fn low_bits;
    qv__hamming_fn hamming;
    struct qv__dist bits; /* Hamming distance of vectors of dim bits; those behind them are zero */
};

enum qv__codes_isa {
    QV__CODES_SCALAR = 0,
    QV__CODES_AVX2,
    QV__CODES_AVX512, /* with VNNI, BITALG and VPOPCNTDQ: Ice Lake, Zen 4 and later */
    QV__CODES_NEON,
    QV__CODES_NEONDOT, /* NEON with SDOT */
    QV__CODES_ISAS
};

/* The table of one instruction set; NULL if this build or this CPU lacks it. */
const struct qv__codes *qv__codes_table(enum qv__codes_isa isa);
/* The best table of this CPU among the instruction sets that `simd` stands for; never NULL. */
const struct qv__codes *qv__codes_best(const struct qv__simd *simd);

static inline size_t qv__code_plane_bytes(enum qv__code_width w, size_t dims)
{
    return w == QV__W8 ? dims
                       : QV_ALIGN_UP(dims, (size_t)QV__CODE_BLOCK_DIMS) / 8 * ((size_t)1 << w);
}

#endif

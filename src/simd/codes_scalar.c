/* codes_scalar.c: the reference kernels on codes, element by element, as the packing is written
 * down in codes.h; also what runs where no others do. */
#include "simd/codes_tables.h"
#include "simd/prefetch.h"

/* `w` is a constant wherever this is inlined. */
QV__KERNEL uint32_t element(enum qv__code_width w, const uint8_t *code, size_t dims, size_t i)
{
    if (w == QV__W8) {
        return code[i];
    }
    if (w == QV__W1) {
        return (uint32_t)code[i / 8] >> i % 8 & 1u;
    }
    size_t bits = (size_t)1 << w, parts = 8 / bits; /* elements in a byte */
    size_t whole = parts * QV__CODE_BLOCK_DIMS;     /* elements in 64 bytes */
    size_t run = QV__CODE_BLOCK_DIMS;
    size_t from = i / whole * whole;
    if (from + whole > dims) { /* the last, short blocks */
        run /= parts;
        from = i / QV__CODE_BLOCK_DIMS * QV__CODE_BLOCK_DIMS;
    }
    size_t j = (i - from) % run, k = (i - from) / run;
    return (uint32_t)code[from / parts + j] >> k * bits & ((1u << bits) - 1u);
}

QV__KERNEL int32_t dot(enum qv__code_width w, const struct qv__code_query *q, const uint8_t *code)
{
    int32_t sum = 0;
    for (size_t i = 0; i < q->dims; i++) {
        sum += (int32_t)q->q[i] * (int32_t)element(w, code, q->dims, i);
    }
    return sum;
}

#define KERNELS(name, w)                                                                           \
    static void name##_many(const struct qv__code_query *q, const uint8_t *codes,                  \
                            size_t stride_bytes, size_t n, int32_t *out)                           \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            out[i] = dot(w, q, codes + i * stride_bytes);                                          \
        }                                                                                          \
    }                                                                                              \
    static void name##_gather(const struct qv__code_query *q, const uint8_t *const *codes,         \
                              size_t offset, size_t n, int32_t *out)                               \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            out[i] = dot(w, q, codes[i] + offset);                                                 \
        }                                                                                          \
    }

KERNELS(dot1, QV__W1)
KERNELS(dot2, QV__W2)
KERNELS(dot4, QV__W4)
KERNELS(dot8, QV__W8)

static void lookup(const uint8_t *tables, const uint8_t *codes, size_t n_groups,
                   const uint8_t *next, uint16_t *out)
{
    (void)next;
    memset(out, 0, QV__LOOKUP_CODES * sizeof *out);
    for (size_t g = 0; g < n_groups; g++) {
        for (size_t j = 0; j < QV__LOOKUP_CODES; j++) {
            unsigned number = j < 16 ? codes[16 * g + j] & 15u : codes[16 * g + j - 16] >> 4;
            out[j] = (uint16_t)(out[j] + tables[16 * g + number]);
        }
    }
}

static void low_bits(const uint8_t *const *codes, size_t n, uint64_t *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = qv__low_bits_by_words(codes[i]);
    }
}

#define bvec            uint32_t
#define bits_zero       zero_bits
#define bits_total(sum) (sum)

QV__KERNEL uint32_t zero_bits(void)
{
    return 0;
}

QV__KERNEL uint32_t bits_part(uint32_t sum, const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        sum += (uint32_t)__builtin_popcountll(qv__load_bits64(a + i) ^ qv__load_bits64(b + i));
    }
    for (; i < n; i++) {
        sum += (uint32_t)__builtin_popcount((unsigned)(a[i] ^ b[i]));
    }
    return sum;
}

QV__KERNEL uint32_t bits_line(uint32_t sum, const uint8_t *a, const uint8_t *b)
{
    return bits_part(sum, a, b, QV__CACHE_LINE_BYTES);
}

#include "simd/bits_body.h"

const struct qv__codes qv__codes_scalar = {
    .name = "scalar",
    .many = {dot1_many, dot2_many, dot4_many, dot8_many},
    .gather = {dot1_gather, dot2_gather, dot4_gather, dot8_gather},
    .lookup = lookup,
    .near = qv__near_by_code,
    .low_bits = low_bits,
    .hamming = hamming,
    .bits = {bits_one, bits_many, bits_gather},
};

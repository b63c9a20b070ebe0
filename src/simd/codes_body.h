/* codes_body.h: the kernels on codes of one instruction set, written once over its byte products.
 *
 * What it is: a body, included by the codes_<isa> files alone, after they define
 *   ivec                        a register of 32-bit sums; ivec_zero, ivec_add
 *   ivec_sum, ivec_sum4         the sum of one, and of four into out[0..3]
 *   block8, block4, block2, block1(acc, q, c)   64 bytes of code: 64, 128, 256, 512 elements
 *   rest4, rest2, rest1(acc, q, c)              64 elements: 32, 16, 8 bytes of code
 *   part8(acc, q, c, n)         the first n < 64 bytes of code; reads nothing of it beyond
 *   HAS_ARRANGE1                if block1 takes a query that arrange1(to, q) put in order, 128
 *                               elements at a time; part1(acc, q, c) is 128 of them, rest1 is not
 *   BIAS8                       what block8 and part8 take off each code: 128 where only signed
 *                               bytes can be multiplied, else 0
 *   lookup, near                as codes.h has it
 *   low_bits64(c)               the lowest bits of the 64 bytes at c
 *   what bits_body.h defines, CODES_NAME, CODES_TABLE
 * What it is not: a header of declarations. It emits static functions and one table, compiled with
 * the flags of the file that includes it.
 *
 * As in dist_body.h, the batch forms work on four codes at once and meanwhile ask for the same
 * lines of the next four. Sums are integers, so every order gives the same. */

#include "simd/codes_tables.h"
#include "simd/prefetch.h"

enum {
    GROUP = 4, /* codes worked on at once */
    LINE = QV__CACHE_LINE_BYTES,
    FETCH_BYTES_MAX = 4096, /* of each coming code; beyond, the processor has found it itself */
    ARRANGE_DIMS = 128,     /* elements that change places with each other, */
    ARRANGE_MAX = 1536,     /* ... and that are in place at a time */
    ARRANGE_CODES = 64,     /* codes of a call whose products are summed by parts */
};

struct code_rows {
    const uint8_t *r0, *r1, *r2, *r3;
};

struct four_sums {
    ivec r0, r1, r2, r3;
};

/* `w` is a constant wherever these are inlined. */
QV__KERNEL size_t block_dims(enum qv__code_width w)
{
    return (size_t)LINE * (8u >> (unsigned)w);
}

QV__KERNEL ivec block(enum qv__code_width w, ivec acc, const int8_t *q, const uint8_t *c)
{
    switch (w) {
    case QV__W1:
        return block1(acc, q, c);
    case QV__W2:
        return block2(acc, q, c);
    case QV__W4:
        return block4(acc, q, c);
    case QV__W8:
    case QV__WIDTHS:
    default:
        return block8(acc, q, c);
    }
}

/* What is left: n elements, for widths below 8 whole 64s of them. */
QV__KERNEL ivec rest(enum qv__code_width w, ivec acc, const int8_t *q, const uint8_t *c, size_t n)
{
    if (w == QV__W8) {
        return n > 0 ? part8(acc, q, c, n) : acc;
    }
#ifdef HAS_ARRANGE1
    for (; w == QV__W1 && n >= ARRANGE_DIMS; n -= ARRANGE_DIMS) {
        acc = part1(acc, q, c);
        q += ARRANGE_DIMS;
        c += ARRANGE_DIMS / 8;
    }
#endif
    for (size_t i = 0; i < n; i += QV__CODE_BLOCK_DIMS) {
        acc = w == QV__W4 ? rest4(acc, q, c) : w == QV__W2 ? rest2(acc, q, c) : rest1(acc, q, c);
        q += QV__CODE_BLOCK_DIMS;
        c += QV__CODE_BLOCK_DIMS / 8 * ((size_t)1 << w);
    }
    return acc;
}

QV__KERNEL int32_t bias(enum qv__code_width w, const struct qv__code_query *q)
{
    return w == QV__W8 ? BIAS8 * q->sum : 0;
}

QV__KERNEL int32_t single(enum qv__code_width w, const struct qv__code_query *q, const uint8_t *c)
{
    ivec a = ivec_zero(), b = a;
    size_t step = block_dims(w), i = 0;
    for (; i + 2 * step <= q->dims; i += 2 * step, c += 2 * LINE) {
        a = block(w, a, q->q + i, c);
        b = block(w, b, q->q + i + step, c + LINE);
    }
    if (i + step <= q->dims) {
        a = block(w, a, q->q + i, c);
        i += step;
        c += LINE;
    }
    b = rest(w, b, q->q + i, c, q->dims - i);
    return ivec_sum(ivec_add(a, b)) + bias(w, q);
}

QV__KERNEL struct four_sums block_rows(enum qv__code_width w, struct four_sums acc, const int8_t *q,
                                       struct code_rows r, size_t at)
{
    acc.r0 = block(w, acc.r0, q, r.r0 + at);
    acc.r1 = block(w, acc.r1, q, r.r1 + at);
    acc.r2 = block(w, acc.r2, q, r.r2 + at);
    acc.r3 = block(w, acc.r3, q, r.r3 + at);
    return acc;
}

QV__KERNEL void fetch_line(struct code_rows next, size_t at)
{
    qv__prefetch(next.r0 + at);
    qv__prefetch(next.r1 + at);
    qv__prefetch(next.r2 + at);
    qv__prefetch(next.r3 + at);
}

/* Four products; meanwhile fetch the first `fetch` bytes (0: none) from the addresses in `next`. */
QV__KERNEL void group(enum qv__code_width w, const struct qv__code_query *q, struct code_rows r,
                      struct code_rows next, size_t fetch, int32_t *out)
{
    ivec z = ivec_zero();
    struct four_sums s = {z, z, z, z};
    size_t step = block_dims(w), i = 0, at = 0;
    for (; i + step <= q->dims; i += step, at += LINE) {
        if (at < fetch) {
            fetch_line(next, at);
        }
        s = block_rows(w, s, q->q + i, r, at);
    }
    if (fetch > 0) {
        for (size_t line = at; line < fetch; line += LINE) {
            fetch_line(next, line);
        }
        fetch_line(next, fetch - 1); /* a code need not start a line */
    }
    size_t left = q->dims - i;
    s.r0 = rest(w, s.r0, q->q + i, r.r0 + at, left);
    s.r1 = rest(w, s.r1, q->q + i, r.r1 + at, left);
    s.r2 = rest(w, s.r2, q->q + i, r.r2 + at, left);
    s.r3 = rest(w, s.r3, q->q + i, r.r3 + at, left);
    ivec_sum4(out, s.r0, s.r1, s.r2, s.r3);
    for (size_t k = 0; k < GROUP && BIAS8 != 0 && w == QV__W8; k++) {
        out[k] += bias(w, q);
    }
}

QV__KERNEL void many(enum qv__code_width w, const struct qv__code_query *q, const uint8_t *codes,
                     size_t stride, size_t n, int32_t *out)
{
    size_t fetch_max = QV_MIN(q->fetch_bytes, (size_t)FETCH_BYTES_MAX);
    size_t i = 0;
    for (; i + GROUP <= n; i += GROUP) {
        const uint8_t *c = codes + i * stride;
        struct code_rows r = {c, c + stride, c + 2 * stride, c + 3 * stride};
        bool more = n - i >= 2 * GROUP;
        c += more ? GROUP * stride : 0;
        struct code_rows next = {c, c + stride, c + 2 * stride, c + 3 * stride};
        group(w, q, r, next, more ? fetch_max : 0, out + i);
    }
    for (; i < n; i++) {
        out[i] = single(w, q, codes + i * stride);
    }
}

QV__KERNEL void gather(enum qv__code_width w, const struct qv__code_query *q,
                       const uint8_t *const *codes, size_t offset, size_t n, int32_t *out)
{
    size_t fetch_max = QV_MIN(q->fetch_bytes, (size_t)FETCH_BYTES_MAX);
    size_t i = 0;
    for (; i + GROUP <= n; i += GROUP) {
        const uint8_t *const *c = codes + i;
        struct code_rows r = {c[0] + offset, c[1] + offset, c[2] + offset, c[3] + offset};
        struct code_rows next = r;
        size_t left = n - i - GROUP;
        if (left > 0) { /* fewer than four: the first stands in */
            c += GROUP;
            next = (struct code_rows){c[0], c[left > 1 ? 1 : 0], c[left > 2 ? 2 : 0],
                                      c[left > 3 ? 3 : 0]};
        }
        group(w, q, r, next, left > 0 ? fetch_max : 0, out + i);
    }
    for (; i < n; i++) {
        out[i] = single(w, q, codes[i] + offset);
    }
}

#define KERNELS(name, w)                                                                           \
    static void name##_many(const struct qv__code_query *q, const uint8_t *codes,                  \
                            size_t stride_bytes, size_t n, int32_t *out)                           \
    {                                                                                              \
        many(w, q, codes, stride_bytes, n, out);                                                   \
    }                                                                                              \
    static void name##_gather(const struct qv__code_query *q, const uint8_t *const *codes,         \
                              size_t offset, size_t n, int32_t *out)                               \
    {                                                                                              \
        gather(w, q, codes, offset, n, out);                                                       \
    }

#ifdef HAS_ARRANGE1
/* The query from element `from` on, as much as is arranged at a time, in `to`. */
QV__KERNEL struct qv__code_query arranged(const struct qv__code_query *q, size_t from, int8_t *to)
{
    size_t n = QV_MIN(q->dims - from, (size_t)ARRANGE_MAX), i = 0;
    for (; i + ARRANGE_DIMS <= n; i += ARRANGE_DIMS) {
        arrange1(to + i, q->q + from + i);
    }
    memcpy(to + i, q->q + from + i, n - i);
    return (struct qv__code_query){
        .q = to, .dims = n, .fetch_bytes = from > 0 ? 0 : q->fetch_bytes};
}

static void dot1_many(const struct qv__code_query *q, const uint8_t *codes, size_t stride_bytes,
                      size_t n, int32_t *out)
{
    _Alignas(32) int8_t by_bits[ARRANGE_MAX];
    int32_t part[ARRANGE_CODES];
    struct qv__code_query first = arranged(q, 0, by_bits);
    many(QV__W1, &first, codes, stride_bytes, n, out);
    for (size_t from = ARRANGE_MAX; from < q->dims; from += ARRANGE_MAX) {
        struct qv__code_query more = arranged(q, from, by_bits);
        for (size_t i = 0; i < n; i++) {
            if (i % ARRANGE_CODES == 0) {
                many(QV__W1, &more, codes + i * stride_bytes + from / 8, stride_bytes,
                     QV_MIN(n - i, (size_t)ARRANGE_CODES), part);
            }
            out[i] += part[i % ARRANGE_CODES];
        }
    }
}

static void dot1_gather(const struct qv__code_query *q, const uint8_t *const *codes, size_t offset,
                        size_t n, int32_t *out)
{
    _Alignas(32) int8_t by_bits[ARRANGE_MAX];
    int32_t part[ARRANGE_CODES];
    struct qv__code_query first = arranged(q, 0, by_bits);
    gather(QV__W1, &first, codes, offset, n, out);
    for (size_t from = ARRANGE_MAX; from < q->dims; from += ARRANGE_MAX) {
        struct qv__code_query more = arranged(q, from, by_bits);
        for (size_t i = 0; i < n; i++) {
            if (i % ARRANGE_CODES == 0) {
                gather(QV__W1, &more, codes + i, offset + from / 8,
                       QV_MIN(n - i, (size_t)ARRANGE_CODES), part);
            }
            out[i] += part[i % ARRANGE_CODES];
        }
    }
}
#else
KERNELS(dot1, QV__W1)
#endif
KERNELS(dot2, QV__W2)
KERNELS(dot4, QV__W4)
KERNELS(dot8, QV__W8)

static void low_bits(const uint8_t *const *codes, size_t n, uint64_t *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = low_bits64(codes[i]);
    }
}

const struct qv__codes CODES_TABLE = {
    .name = CODES_NAME,
    .many = {dot1_many, dot2_many, dot4_many, dot8_many},
    .gather = {dot1_gather, dot2_gather, dot4_gather, dot8_gather},
    .lookup = lookup,
    .near = near,
    .low_bits = low_bits,
    .hamming = hamming,
    .bits = {bits_one, bits_many, bits_gather},
};

/* bits_body.h: Hamming distances of bit vectors, for one instruction set.
 *
 * What it is: a body, included by the codes_<isa>.c files after they define
 *   bvec                                 sums of set bits
 *   bits_zero(), bits_total(sum)         the latter as uint32_t
 *   bits_line(sum, a, b)                 of 64 bytes each
 *   bits_part(sum, a, b, n)              of n < 64 bytes each
 * and before codes_body.h. What it is not: a header of declarations.
 *
 * Rows are worked on in groups of four, and meanwhile the next four are asked for, as in
 * dist_body.h. Bits behind the last element are zero in every vector, so bytes are counted whole.
 */

#include "simd/codes_tables.h"
#include "simd/prefetch.h"

enum { BITS_ROWS = 4, BITS_LINE = QV__CACHE_LINE_BYTES, BITS_FETCH_MAX = 4096 };

QV__KERNEL uint32_t bits_pair(const uint8_t *a, const uint8_t *b, size_t n_bytes)
{
    bvec sum = bits_zero();
    size_t i = 0;
    for (; i + BITS_LINE <= n_bytes; i += BITS_LINE) {
        sum = bits_line(sum, a + i, b + i);
    }
    if (i < n_bytes) {
        sum = bits_part(sum, a + i, b + i, n_bytes - i);
    }
    return bits_total(sum);
}

static uint32_t hamming(const uint8_t *a, const uint8_t *b, size_t n_bytes)
{
    return bits_pair(a, b, n_bytes);
}

static float bits_one(const void *a, const void *b, size_t dim)
{
    return (float)bits_pair(a, b, (dim + 7) / 8);
}

struct bits_rows {
    const uint8_t *r0, *r1, *r2, *r3;
};

QV__KERNEL void bits_fetch(struct bits_rows next, size_t at)
{
    qv__prefetch(next.r0 + at);
    qv__prefetch(next.r1 + at);
    qv__prefetch(next.r2 + at);
    qv__prefetch(next.r3 + at);
}

/* Four distances; meanwhile the first `fetch` bytes (0: none) are fetched of those in `next`. */
QV__KERNEL void bits_group(const uint8_t *q, struct bits_rows r, struct bits_rows next,
                           size_t fetch, size_t n_bytes, float *out)
{
    bvec s0 = bits_zero(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + BITS_LINE <= n_bytes; i += BITS_LINE) {
        if (i < fetch) {
            bits_fetch(next, i);
        }
        s0 = bits_line(s0, q + i, r.r0 + i);
        s1 = bits_line(s1, q + i, r.r1 + i);
        s2 = bits_line(s2, q + i, r.r2 + i);
        s3 = bits_line(s3, q + i, r.r3 + i);
    }
    if (fetch > 0) {
        for (size_t line = i; line < fetch; line += BITS_LINE) {
            bits_fetch(next, line);
        }
        bits_fetch(next, fetch - 1); /* a row need not start a line */
    }
    if (i < n_bytes) {
        size_t n = n_bytes - i;
        s0 = bits_part(s0, q + i, r.r0 + i, n);
        s1 = bits_part(s1, q + i, r.r1 + i, n);
        s2 = bits_part(s2, q + i, r.r2 + i, n);
        s3 = bits_part(s3, q + i, r.r3 + i, n);
    }
    out[0] = (float)bits_total(s0);
    out[1] = (float)bits_total(s1);
    out[2] = (float)bits_total(s2);
    out[3] = (float)bits_total(s3);
}

static void bits_many(const void *query, const void *rows, size_t stride, size_t n, size_t dim,
                      float *out)
{
    size_t n_bytes = (dim + 7) / 8, fetch = QV_MIN(n_bytes, (size_t)BITS_FETCH_MAX), i = 0;
    const uint8_t *row = rows;
    for (; i + BITS_ROWS <= n; i += BITS_ROWS, row += BITS_ROWS * stride) {
        struct bits_rows r = {row, row + stride, row + 2 * stride, row + 3 * stride};
        bool more = n - i >= 2 * BITS_ROWS;
        const uint8_t *p = more ? row + BITS_ROWS * stride : row;
        struct bits_rows next = {p, p + stride, p + 2 * stride, p + 3 * stride};
        bits_group(query, r, next, more ? fetch : 0, n_bytes, out + i);
    }
    for (; i < n; i++, row += stride) {
        out[i] = (float)bits_pair(query, row, n_bytes);
    }
}

static void bits_gather(const void *query, const void *const *rows, size_t n, size_t dim,
                        float *out)
{
    size_t n_bytes = (dim + 7) / 8, fetch = QV_MIN(n_bytes, (size_t)BITS_FETCH_MAX), i = 0;
    for (; i + BITS_ROWS <= n; i += BITS_ROWS) {
        const void *const *p = rows + i;
        struct bits_rows r = {p[0], p[1], p[2], p[3]}, next = r;
        size_t left = n - i - BITS_ROWS;
        if (left > 0) { /* fewer than four: the first stands in */
            p += BITS_ROWS;
            next = (struct bits_rows){p[0], p[left > 1 ? 1 : 0], p[left > 2 ? 2 : 0],
                                      p[left > 3 ? 3 : 0]};
        }
        bits_group(query, r, next, left > 0 ? fetch : 0, n_bytes, out + i);
    }
    for (; i < n; i++) {
        out[i] = (float)bits_pair(query, rows[i], n_bytes);
    }
}

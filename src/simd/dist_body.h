/* dist_body.h: the distance kernels of one instruction set, written once over a vector type.
 *
 * What it is: a body, included by the dist_<isa>.c files alone, after they define
 *   vec, VEC_LANES              the register type and its number of floats (a multiple of 4)
 *   vec_zero, vec_load          any alignment
 *   vec_load_part(p, n)         the first n < VEC_LANES floats, then zeros; reads nothing beyond
 *   vec_store, vec_splat, vec_add, vec_sub, vec_mul, vec_abs, vec_fma(a, b, c) = a * b + c
 *   vec_reduce, vec_reduce4     sums of the lanes of one register, and of four into out[0..3]
 *   VEC_ISA, VEC_NAME, VEC_TABLE
 * What it is not: a header of declarations. It emits static functions and one table, compiled with
 * the flags of the file that includes it.
 *
 * Order of sums. Every row, whether alone, strided or gathered, is summed alike: vector k of the
 * row goes to accumulator k mod 4 (the last, partial one to accumulator 3), the accumulators are
 * added as (0+1)+(2+3), and both reductions add lanes in one order. So the three forms agree to the
 * last bit, and equal rows get equal distances wherever they stand in a batch.
 *
 * Speed. Four accumulators per row hide the latency of the fused multiply-add. The batch forms work
 * on four rows at once: the query is loaded once for four rows, and four rows of misses are under
 * way together. Sixteen accumulators are all the registers AVX2 has, so some live on the stack
 * there; two rows at a time, which need no stack, were measured 6 to 14 % slower out of cache and
 * no faster in it. Step by step over the four rows (not row by row over a block) keeps one vector
 * of the query alive instead of four.
 *
 * Prefetch. While four rows are worked on, the same block of the next four is asked for, so that
 * requests come as evenly as the misses they replace and never fill the line buffers in a burst.
 * Measured on Sapphire Rapids, 96 to 768 dimensions, against no prefetch: 10 to 18 % less time for
 * rows gathered from memory in batches of 16 and more, 5 to 20 % for scans of it, up to 30 % more
 * for rows already in the second-level cache. Fetching all lines of a row in a burst, only its
 * head, every other line, or 8 or 16 rows ahead was slower or no better. Beyond FETCH_FLOATS_MAX
 * the processor's own prefetcher has long found the row, and the first-level cache would not hold
 * four current and four coming rows. (bench/micro/bench_dist) */

#include "simd/prefetch.h"
#include "simd/tables.h"

enum op { OP_L2, OP_IP, OP_L1 };

enum {
    BLOCK = 4 * VEC_LANES, /* floats per turn of the inner loop: one vector per accumulator */
    GROUP = 4,             /* rows worked on at once */
    LINE = QV__CACHE_LINE_BYTES / (int)sizeof(float),
    FETCH_FLOATS_MAX = 1024, /* of each coming row: 4 KiB; 256 and 512 were slower at 768 */
};

/* The rows worked on together, or the ones to fetch meanwhile. */
struct rows {
    const float *r0, *r1, *r2, *r3;
};

/* One accumulator of each of four rows. */
struct four {
    vec r0, r1, r2, r3;
};

/* One vector of terms into an accumulator. `op` is a constant wherever this is inlined. */
QV__KERNEL vec step(enum op op, vec acc, vec q, vec r)
{
    if (op == OP_IP) {
        return vec_fma(q, r, acc);
    }
    vec d = vec_sub(q, r);
    return op == OP_L2 ? vec_fma(d, d, acc) : vec_add(acc, vec_abs(d));
}

/* The vector at i, of one row. */
QV__KERNEL vec step_row(enum op op, vec acc, const float *q, const float *row, size_t i)
{
    return step(op, acc, vec_load(q + i), vec_load(row + i));
}

/* The vector at i, of four rows; the query's is loaded once. */
QV__KERNEL struct four step_rows(enum op op, struct four acc, const float *q, struct rows r,
                                 size_t i)
{
    vec v = vec_load(q + i);
    acc.r0 = step(op, acc.r0, v, vec_load(r.r0 + i));
    acc.r1 = step(op, acc.r1, v, vec_load(r.r1 + i));
    acc.r2 = step(op, acc.r2, v, vec_load(r.r2 + i));
    acc.r3 = step(op, acc.r3, v, vec_load(r.r3 + i));
    return acc;
}

QV__KERNEL struct four step_rows_part(enum op op, struct four acc, const float *q, struct rows r,
                                      size_t i, size_t n)
{
    vec v = vec_load_part(q + i, n);
    acc.r0 = step(op, acc.r0, v, vec_load_part(r.r0 + i, n));
    acc.r1 = step(op, acc.r1, v, vec_load_part(r.r1 + i, n));
    acc.r2 = step(op, acc.r2, v, vec_load_part(r.r2 + i, n));
    acc.r3 = step(op, acc.r3, v, vec_load_part(r.r3 + i, n));
    return acc;
}

QV__KERNEL struct four add_four(struct four x, struct four y)
{
    return (struct four){vec_add(x.r0, y.r0), vec_add(x.r1, y.r1), vec_add(x.r2, y.r2),
                         vec_add(x.r3, y.r3)};
}

QV__KERNEL float pair(enum op op, const float *q, const float *row, size_t dim)
{
    vec a = vec_zero(), b = a, c = a, d = a;
    size_t i = 0;
    for (; i + BLOCK <= dim; i += BLOCK) {
        a = step_row(op, a, q, row, i);
        b = step_row(op, b, q, row, i + VEC_LANES);
        c = step_row(op, c, q, row, i + 2 * VEC_LANES);
        d = step_row(op, d, q, row, i + 3 * VEC_LANES);
    }
    /* Up to three whole vectors are left, then a part of one. */
    if (i + VEC_LANES <= dim) {
        a = step_row(op, a, q, row, i);
        i += VEC_LANES;
    }
    if (i + VEC_LANES <= dim) {
        b = step_row(op, b, q, row, i);
        i += VEC_LANES;
    }
    if (i + VEC_LANES <= dim) {
        c = step_row(op, c, q, row, i);
        i += VEC_LANES;
    }
    if (i < dim) {
        d = step(op, d, vec_load_part(q + i, dim - i), vec_load_part(row + i, dim - i));
    }
    return vec_reduce(vec_add(vec_add(a, b), vec_add(c, d)));
}

QV__KERNEL void fetch_line(struct rows next, size_t i)
{
    qv__prefetch(next.r0 + i);
    qv__prefetch(next.r1 + i);
    qv__prefetch(next.r2 + i);
    qv__prefetch(next.r3 + i);
}

/* The lines of one block of each coming row: one, two or four, by the width of the registers. */
QV__KERNEL void fetch_block(struct rows next, size_t i)
{
    fetch_line(next, i);
    if (BLOCK > LINE) {
        fetch_line(next, i + LINE);
    }
    if (BLOCK > 2 * LINE) {
        fetch_line(next, i + 2 * LINE);
        fetch_line(next, i + 3 * LINE);
    }
}

/* The lines of an incomplete block, and the one a row reaches into when it does not start a line.
 */
QV__KERNEL void fetch_rest(struct rows next, size_t i, size_t fetch)
{
    for (; i < fetch; i += LINE) {
        fetch_line(next, i);
    }
    fetch_line(next, fetch - 1);
}

/* Four distances, each in the order of pair(); meanwhile fetch the first `fetch` floats (0: none)
 * of the rows of `next`. */
QV__KERNEL void group(enum op op, const float *q, struct rows r, size_t dim, struct rows next,
                      size_t fetch, float *out)
{
    vec z = vec_zero();
    struct four a = {z, z, z, z}, b = a, c = a, d = a;
    size_t i = 0;
    for (; i + BLOCK <= dim; i += BLOCK) {
        if (i + BLOCK <= fetch) {
            fetch_block(next, i);
        }
        a = step_rows(op, a, q, r, i);
        b = step_rows(op, b, q, r, i + VEC_LANES);
        c = step_rows(op, c, q, r, i + 2 * VEC_LANES);
        d = step_rows(op, d, q, r, i + 3 * VEC_LANES);
    }
    if (fetch > 0) {
        fetch_rest(next, i, fetch);
    }
    if (i + VEC_LANES <= dim) {
        a = step_rows(op, a, q, r, i);
        i += VEC_LANES;
    }
    if (i + VEC_LANES <= dim) {
        b = step_rows(op, b, q, r, i);
        i += VEC_LANES;
    }
    if (i + VEC_LANES <= dim) {
        c = step_rows(op, c, q, r, i);
        i += VEC_LANES;
    }
    if (i < dim) {
        d = step_rows_part(op, d, q, r, i, dim - i);
    }
    struct four s = add_four(add_four(a, b), add_four(c, d));
    vec_reduce4(out, s.r0, s.r1, s.r2, s.r3);
}

QV__KERNEL const float *row_at(const void *rows, size_t stride_bytes, size_t i)
{
    return (const float *)(const void *)((const char *)rows + i * stride_bytes);
}

QV__KERNEL struct rows rows_at(const void *rows, size_t stride_bytes, size_t i)
{
    return (struct rows){row_at(rows, stride_bytes, i), row_at(rows, stride_bytes, i + 1),
                         row_at(rows, stride_bytes, i + 2), row_at(rows, stride_bytes, i + 3)};
}

QV__KERNEL void many(enum op op, const float *q, const void *rows, size_t stride_bytes, size_t n,
                     size_t dim, float *out)
{
    size_t fetch_max = QV_MIN(dim, (size_t)FETCH_FLOATS_MAX);
    size_t i = 0;
    for (; i + GROUP <= n; i += GROUP) {
        struct rows r = rows_at(rows, stride_bytes, i);
        bool more = n - i >= 2 * GROUP; /* the processor itself finds what a shorter rest needs */
        struct rows next = more ? rows_at(rows, stride_bytes, i + GROUP) : r;
        group(op, q, r, dim, next, more ? fetch_max : 0, out + i);
    }
    for (; i < n; i++) {
        out[i] = pair(op, q, row_at(rows, stride_bytes, i), dim);
    }
}

QV__KERNEL void gather(enum op op, const float *q, const void *const *rows, size_t n, size_t dim,
                       float *out)
{
    size_t fetch_max = QV_MIN(dim, (size_t)FETCH_FLOATS_MAX);
    size_t i = 0;
    for (; i + GROUP <= n; i += GROUP) {
        struct rows r = {rows[i], rows[i + 1], rows[i + 2], rows[i + 3]};
        struct rows next = r;
        size_t left = n - i - GROUP;
        if (left > 0) { /* fewer than four: the first stands in, its lines are asked for already */
            const void *const *at = rows + i + GROUP;
            next = (struct rows){at[0], at[left > 1 ? 1 : 0], at[left > 2 ? 2 : 0],
                                 at[left > 3 ? 3 : 0]};
        }
        group(op, q, r, dim, next, left > 0 ? fetch_max : 0, out + i);
    }
    for (; i < n; i++) {
        out[i] = pair(op, q, rows[i], dim);
    }
}

#define KERNELS(name, op)                                                                          \
    static float name(const void *a, const void *b, size_t dim)                                    \
    {                                                                                              \
        return pair(op, a, b, dim);                                                                \
    }                                                                                              \
    static void name##_many(const void *query, const void *rows, size_t stride_bytes, size_t n,    \
                            size_t dim, float *out)                                                \
    {                                                                                              \
        many(op, query, rows, stride_bytes, n, dim, out);                                          \
    }                                                                                              \
    static void name##_gather(const void *query, const void *const *rows, size_t n, size_t dim,    \
                              float *out)                                                          \
    {                                                                                              \
        gather(op, query, rows, n, dim, out);                                                      \
    }

KERNELS(l2, OP_L2)
KERNELS(ip, OP_IP)
KERNELS(l1, OP_L1)

/* Equal to ip(a, a) to the last bit, so that a normalised vector's product with itself is what its
 * norm promised. */
static float norm2(const float *a, size_t dim)
{
    return pair(OP_IP, a, a, dim);
}

static void scale(float *a, float by, size_t dim)
{
    vec f = vec_splat(by);
    size_t i = 0;
    for (; i + VEC_LANES <= dim; i += VEC_LANES) {
        vec_store(a + i, vec_mul(vec_load(a + i), f));
    }
    for (; i < dim; i++) {
        qv__store_f32(a + i, qv__load_f32(a + i) * by);
    }
}

const struct qv__simd VEC_TABLE = {
    .isa = VEC_ISA,
    .name = VEC_NAME,
    .l2 = l2,
    .ip = ip,
    .l1 = l1,
    .l2_many = l2_many,
    .ip_many = ip_many,
    .l1_many = l1_many,
    .l2_gather = l2_gather,
    .ip_gather = ip_gather,
    .l1_gather = l1_gather,
    .norm2 = norm2,
    .scale = scale,
};

/* narrow_body.h: the kernels of one instruction set for one element type.
 *
 * What it is: a body, included by the narrow_<isa>.c files once per element type, after they define
 *   N(name)                 name with the type's suffix
 *   N_BYTES, N_LANES        of an element; elements of a register once widened
 *   nvec, nsum              the widened elements; the sums
 *   N(load)(p), N(load_part)(p, n)   the latter the first n < N_LANES, then zeros
 *   N(zero)(), N(add)(x, y), N(step)(op, sum, a, b)   op: L2, IP, L1
 *   N(total)(op, sum)       as a float
 * What it is not: a header of declarations; it leaves N and all that belongs to it undefined.
 *
 * Order of sums: register k of a row goes to sum k mod 2, the partial one to sum 1; pair and group
 * alike, so that all forms agree to the last bit. Prefetching as in dist_body.h. */

#include "simd/narrow_tables.h"
#include "simd/prefetch.h"

#ifndef QV_NARROW_ROWS
#define QV_NARROW_ROWS
enum { ROWS = 4, LINE = QV__CACHE_LINE_BYTES, FETCH_BYTES_MAX = 4096 };
#endif

QV__KERNEL const uint8_t *N(element)(const void *row, size_t i)
{
    return (const uint8_t *)row + i * N_BYTES;
}

/* `op` is a constant wherever these are inlined. */
QV__KERNEL float N(pair)(enum qv__narrow_op op, const void *a, const void *b, size_t dim)
{
    nsum x = N(zero)(), y = N(zero)();
    size_t i = 0;
    for (; i + 2 * N_LANES <= dim; i += 2 * N_LANES) {
        x = N(step)(op, x, N(load)(N(element)(a, i)), N(load)(N(element)(b, i)));
        y = N(step)(op, y, N(load)(N(element)(a, i + N_LANES)),
                    N(load)(N(element)(b, i + N_LANES)));
    }
    if (i + N_LANES <= dim) {
        x = N(step)(op, x, N(load)(N(element)(a, i)), N(load)(N(element)(b, i)));
        i += N_LANES;
    }
    if (i < dim) {
        y = N(step)(op, y, N(load_part)(N(element)(a, i), dim - i),
                    N(load_part)(N(element)(b, i), dim - i));
    }
    return N(total)(op, N(add)(x, y));
}

QV__KERNEL void N(group)(enum qv__narrow_op op, const void *q, const void *const rows[ROWS],
                         size_t dim, const void *const next[ROWS], size_t fetch, float *out)
{
    nsum x[ROWS], y[ROWS];
    size_t i = 0;
    for (size_t k = 0; k < ROWS; k++) {
        x[k] = y[k] = N(zero)();
    }
    for (; i + 2 * N_LANES <= dim; i += 2 * N_LANES) {
        if (i * N_BYTES % LINE == 0 && i * N_BYTES < fetch) {
            qv__prefetch(N(element)(next[0], i));
            qv__prefetch(N(element)(next[1], i));
            qv__prefetch(N(element)(next[2], i));
            qv__prefetch(N(element)(next[3], i));
        }
        nvec a = N(load)(N(element)(q, i)), b = N(load)(N(element)(q, i + N_LANES));
        for (size_t k = 0; k < ROWS; k++) {
            x[k] = N(step)(op, x[k], a, N(load)(N(element)(rows[k], i)));
            y[k] = N(step)(op, y[k], b, N(load)(N(element)(rows[k], i + N_LANES)));
        }
    }
    for (size_t line = QV_ALIGN_UP(i * N_BYTES, (size_t)LINE); line < fetch; line += LINE) {
        qv__prefetch((const uint8_t *)next[0] + line);
        qv__prefetch((const uint8_t *)next[1] + line);
        qv__prefetch((const uint8_t *)next[2] + line);
        qv__prefetch((const uint8_t *)next[3] + line);
    }
    if (i + N_LANES <= dim) {
        nvec a = N(load)(N(element)(q, i));
        for (size_t k = 0; k < ROWS; k++) {
            x[k] = N(step)(op, x[k], a, N(load)(N(element)(rows[k], i)));
        }
        i += N_LANES;
    }
    if (i < dim) {
        nvec a = N(load_part)(N(element)(q, i), dim - i);
        for (size_t k = 0; k < ROWS; k++) {
            y[k] = N(step)(op, y[k], a, N(load_part)(N(element)(rows[k], i), dim - i));
        }
    }
    for (size_t k = 0; k < ROWS; k++) {
        out[k] = N(total)(op, N(add)(x[k], y[k]));
    }
}

QV__KERNEL void N(batch)(enum qv__narrow_op op, const void *q, const void *const *rows, size_t n,
                         size_t dim, float *out)
{
    size_t fetch_max = QV_MIN(dim * N_BYTES, (size_t)FETCH_BYTES_MAX);
    size_t i = 0;
    for (; i + ROWS <= n; i += ROWS) {
        bool more = n - i >= (size_t)2 * ROWS;
        N(group)(op, q, rows + i, dim, rows + i + (more ? ROWS : 0), more ? fetch_max : 0, out + i);
    }
    for (; i < n; i++) {
        out[i] = N(pair)(op, q, rows[i], dim);
    }
}

/* By address in blocks, so that strided rows need no code of their own. */
QV__KERNEL void N(strided)(enum qv__narrow_op op, const void *q, const void *rows, size_t stride,
                           size_t n, size_t dim, float *out)
{
    const void *at[8 * ROWS];
    for (size_t i = 0; i < n; i += 8 * ROWS) {
        size_t m = QV_MIN(n - i, (size_t)8 * ROWS);
        for (size_t k = 0; k < m; k++) {
            at[k] = (const uint8_t *)rows + (i + k) * stride;
        }
        N(batch)(op, q, at, m, dim, out + i);
    }
}

QV__KERNEL float N(over_lengths)(float ip, float norm2_a, float norm2_b)
{
    double by = (double)norm2_a * (double)norm2_b;
    return by > 0.0 ? (float)((double)ip / __builtin_sqrt(by)) : 0.0f;
}

#define N_KERNELS(name, op)                                                                        \
    static float N(name)(const void *a, const void *b, size_t dim)                                 \
    {                                                                                              \
        return N(pair)(op, a, b, dim);                                                             \
    }                                                                                              \
    static void N(name##_many)(const void *q, const void *rows, size_t stride_bytes, size_t n,     \
                               size_t dim, float *out)                                             \
    {                                                                                              \
        N(strided)(op, q, rows, stride_bytes, n, dim, out);                                        \
    }                                                                                              \
    static void N(name##_gather)(const void *q, const void *const *rows, size_t n, size_t dim,     \
                                 float *out)                                                       \
    {                                                                                              \
        N(batch)(op, q, rows, n, dim, out);                                                        \
    }

N_KERNELS(l2, QV__NARROW_L2)
N_KERNELS(ip, QV__NARROW_IP)
N_KERNELS(l1, QV__NARROW_L1)

static float N(cos)(const void *a, const void *b, size_t dim)
{
    return N(over_lengths)(N(ip)(a, b, dim), N(ip)(a, a, dim), N(ip)(b, b, dim));
}

/* The row is in the first-level cache when its length is taken. */
static void N(cos_gather)(const void *q, const void *const *rows, size_t n, size_t dim, float *out)
{
    float norm2 = N(ip)(q, q, dim);
    for (size_t i = 0; i < n; i += ROWS) {
        size_t m = QV_MIN(n - i, (size_t)ROWS);
        N(batch)(QV__NARROW_IP, q, rows + i, m, dim, out + i);
        for (size_t k = 0; k < m; k++) {
            if (i + k + ROWS < n) {
                qv__prefetch_span(rows[i + k + ROWS],
                                  QV_MIN(dim * N_BYTES, (size_t)FETCH_BYTES_MAX));
            }
            out[i + k] = N(over_lengths)(out[i + k], norm2, N(ip)(rows[i + k], rows[i + k], dim));
        }
    }
}

static void N(cos_many)(const void *q, const void *rows, size_t stride_bytes, size_t n, size_t dim,
                        float *out)
{
    const void *at[8 * ROWS];
    for (size_t i = 0; i < n; i += 8 * ROWS) {
        size_t m = QV_MIN(n - i, (size_t)8 * ROWS);
        for (size_t k = 0; k < m; k++) {
            at[k] = (const uint8_t *)rows + (i + k) * stride_bytes;
        }
        N(cos_gather)(q, at, m, dim, out + i);
    }
}

#undef N
#undef N_BYTES
#undef N_LANES
#undef N_KERNELS
#undef nvec
#undef nsum

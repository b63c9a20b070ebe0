/* dist_scalar.c: the reference kernels, and what runs where no others do.
 *
 * Every term and every sum is a double: a product of two floats is exact in it, so that the result
 * is the true one but for the last rounding (and overflows only if the true one does). The vector
 * kernels are held to these. Four accumulators, because one would wait for itself. The batch forms
 * are loops of the single one and so agree with it to the last bit. */
#include "simd/tables.h"

enum op { OP_L2, OP_IP, OP_L1 };

/* `op` is a constant wherever this is inlined. */
QV__KERNEL double term(enum op op, const float *a, const float *b)
{
    double x = (double)qv__load_f32(a);
    double y = (double)qv__load_f32(b);
    if (op == OP_IP) {
        return x * y;
    }
    return op == OP_L2 ? (x - y) * (x - y) : __builtin_fabs(x - y);
}

QV__KERNEL float pair(enum op op, const float *a, const float *b, size_t dim)
{
    double s0 = 0.0, s1 = 0.0, s2 = 0.0, s3 = 0.0;
    size_t i = 0;
    for (; i + 4 <= dim; i += 4) {
        s0 += term(op, a + i, b + i);
        s1 += term(op, a + i + 1, b + i + 1);
        s2 += term(op, a + i + 2, b + i + 2);
        s3 += term(op, a + i + 3, b + i + 3);
    }
    for (; i < dim; i++) {
        s0 += term(op, a + i, b + i);
    }
    return (float)((s0 + s1) + (s2 + s3));
}

#define KERNELS(name, op)                                                                          \
    static float name(const void *a, const void *b, size_t dim)                                    \
    {                                                                                              \
        return pair(op, a, b, dim);                                                                \
    }                                                                                              \
    static void name##_many(const void *query, const void *rows, size_t stride_bytes, size_t n,    \
                            size_t dim, float *out)                                                \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const void *row = (const char *)rows + i * stride_bytes;                               \
            out[i] = pair(op, query, row, dim);                                                    \
        }                                                                                          \
    }                                                                                              \
    static void name##_gather(const void *query, const void *const *rows, size_t n, size_t dim,    \
                              float *out)                                                          \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            out[i] = pair(op, query, rows[i], dim);                                                \
        }                                                                                          \
    }

KERNELS(l2, OP_L2)
KERNELS(ip, OP_IP)
KERNELS(l1, OP_L1)

static float norm2(const float *a, size_t dim)
{
    return pair(OP_IP, a, a, dim);
}

static void scale(float *a, float by, size_t dim)
{
    for (size_t i = 0; i < dim; i++) {
        qv__store_f32(a + i, qv__load_f32(a + i) * by);
    }
}

const struct qv__simd qv__simd_scalar = {
    .isa = QV__ISA_SCALAR,
    .name = "scalar",
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

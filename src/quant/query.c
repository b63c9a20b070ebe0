/* query.c: a prepared query, and its distances to the codes of scalar and rabitq.
 *
 * The centred (and rotated) query is rounded to signed bytes of its own step s. With I the integer
 * product of bytes and codes, q'.v' is about scale * s * (I - middle * sum of the bytes), and the
 * distance constant + add - weight * q'.v' (qv__quant_add). All that does not depend on the code is
 * multiplied once. */
#include "quant/impl.h"

#include <float.h>

static float as_number(float dist)
{
    return dist == dist ? dist : __builtin_inff(); /* overflowing factors only */
}

/* Both errors are orthogonal to what they disturb, in a random direction after the rotation; else
 * Cauchy's and Schwarz's worst case is all that is known. Then the rounding of the sum. */
static float bound_of(const struct qv__quant_query *q, const struct qv__factors *f, float dist)
{
    const struct qv__quant *z = q->z;
    float spread =
        z->signs != NULL ? QV__RABITQ_DEVIATIONS / __builtin_sqrtf((float)(z->dims - 1)) : 1.0f;
    float of_codes = f->error * q->norm + q->error * f->norm;
    float size = __builtin_fabsf(q->constant) + __builtin_fabsf(f->add) + __builtin_fabsf(dist);
    float bound = qv__quant_weight(z) * spread * of_codes + 4e-6f * size;
    return as_number(bound);
}

static float bound_at(const struct qv__quant_query *q, const uint8_t *factors, float dist)
{
    struct qv__factors f = qv__factors_load(factors);
    return bound_of(q, &f, dist);
}

/* From the integer product with a code to the distance; `factors` are the code's. */
static inline float finish(const struct qv__quant_query *q, const uint8_t *factors, int32_t product)
{
    float scale = qv__load_float(factors), add = qv__load_float(factors + 4);
    return as_number(q->constant + add - scale * (q->per_int * (float)product + q->per_code));
}

static inline float finish_tucked(const struct qv__quant_query *q, uint64_t bits, int32_t product)
{
    float scale = qv__tucked_scale(bits), add = qv__tucked_add(bits);
    return as_number(q->constant + add - scale * (q->per_int * (float)product + q->per_code));
}

static inline void add_plane(int32_t *sum, const int32_t *of_plane, size_t n, unsigned shift)
{
    for (size_t i = 0; i < n; i++) {
        sum[i] += (int32_t)((uint32_t)of_plane[i] << shift);
    }
}

static void products_gather(const struct qv__quant_query *q, const uint8_t *const *codes, size_t n,
                            int32_t *out)
{
    const struct qv__quant *z = q->z;
    int32_t of_plane[QV__BATCH];
    z->kernels->gather[z->planes[0].width](&q->ints, codes, 0, n, out);
    if (z->n_planes == 1) {
        return;
    }
    struct qv__code_query ints = q->ints;
    ints.fetch_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = (int32_t)((uint32_t)out[i] << z->planes[0].shift);
    }
    for (unsigned p = 1; p < z->n_planes; p++) {
        z->kernels->gather[z->planes[p].width](&ints, codes, z->planes[p].offset, n, of_plane);
        add_plane(out, of_plane, n, z->planes[p].shift);
    }
}

static void gather(const struct qv__quant_query *q, const uint8_t *const *codes, size_t n,
                   float *dists, float *bounds)
{
    int32_t products[QV__BATCH];
    size_t tail = q->code_bytes - QV__FACTOR_BYTES;
    for (size_t from = 0; from < n; from += QV__BATCH) {
        size_t m = QV_MIN(n - from, (size_t)QV__BATCH);
        products_gather(q, codes + from, m, products);
        for (size_t i = 0; i < m; i++) {
            dists[from + i] = finish(q, codes[from + i] + tail, products[i]);
        }
        for (size_t i = 0; bounds != NULL && i < m; i++) {
            bounds[from + i] = bound_at(q, codes[from + i] + tail, dists[from + i]);
        }
    }
}

static void products_run(const struct qv__quant_query *q, const uint8_t *codes, size_t stride,
                         size_t n, int32_t *out)
{
    const struct qv__quant *z = q->z;
    int32_t of_plane[QV__BATCH];
    z->kernels->many[z->planes[0].width](&q->ints, codes, stride, n, out);
    if (z->n_planes == 1) {
        return;
    }
    struct qv__code_query ints = q->ints;
    ints.fetch_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = (int32_t)((uint32_t)out[i] << z->planes[0].shift);
    }
    for (unsigned p = 1; p < z->n_planes; p++) {
        z->kernels->many[z->planes[p].width](&ints, codes + z->planes[p].offset, stride, n,
                                             of_plane);
        add_plane(out, of_plane, n, z->planes[p].shift);
    }
}

static void run(const struct qv__quant_query *q, const uint8_t *codes, size_t stride_bytes,
                size_t n, float *dists, float *bounds)
{
    int32_t products[QV__BATCH];
    size_t tail = q->code_bytes - QV__FACTOR_BYTES;
    for (size_t from = 0; from < n; from += QV__BATCH) {
        size_t m = QV_MIN(n - from, (size_t)QV__BATCH);
        const uint8_t *at = codes + from * stride_bytes;
        products_run(q, at, stride_bytes, m, products);
        for (size_t i = 0; i < m; i++) {
            dists[from + i] = finish(q, at + i * stride_bytes + tail, products[i]);
        }
        for (size_t i = 0; bounds != NULL && i < m; i++) {
            bounds[from + i] = bound_at(q, at + i * stride_bytes + tail, dists[from + i]);
        }
    }
}

static void no_bounds(float *bounds, size_t n)
{
    for (size_t i = 0; bounds != NULL && i < n; i++) {
        bounds[i] = __builtin_inff();
    }
}

static void gather_tucked(const struct qv__quant_query *q, const uint8_t *const *codes, size_t n,
                          float *dists, float *bounds)
{
    int32_t products[QV__BATCH];
    uint64_t bits[QV__BATCH];
    for (size_t from = 0; from < n; from += QV__BATCH) {
        size_t m = QV_MIN(n - from, (size_t)QV__BATCH);
        q->z->kernels->gather[QV__W8](&q->ints, codes + from, 0, m, products);
        q->z->kernels->low_bits(codes + from, m, bits);
        for (size_t i = 0; i < m; i++) {
            dists[from + i] = finish_tucked(q, bits[i], products[i]);
        }
    }
    no_bounds(bounds, n);
}

static void run_tucked(const struct qv__quant_query *q, const uint8_t *codes, size_t stride_bytes,
                       size_t n, float *dists, float *bounds)
{
    int32_t products[QV__BATCH];
    uint64_t bits[QV__BATCH];
    const uint8_t *at[QV__BATCH];
    for (size_t from = 0; from < n; from += QV__BATCH) {
        size_t m = QV_MIN(n - from, (size_t)QV__BATCH);
        for (size_t i = 0; i < m; i++) {
            at[i] = codes + (from + i) * stride_bytes;
        }
        q->z->kernels->many[QV__W8](&q->ints, at[0], stride_bytes, m, products);
        q->z->kernels->low_bits(at, m, bits);
        for (size_t i = 0; i < m; i++) {
            dists[from + i] = finish_tucked(q, bits[i], products[i]);
        }
    }
    no_bounds(bounds, n);
}

static float refine_alone(const struct qv__quant_query *q, const uint8_t *code, const uint8_t *rest,
                          float *bound)
{
    (void)rest;
    float dist;
    q->gather(q, &code, 1, &dist, bound);
    return dist;
}

static float refine(const struct qv__quant_query *q, const uint8_t *code, const uint8_t *rest,
                    float *bound)
{
    const struct qv__quant *z = q->z;
    struct qv__code_query ints = q->ints;
    int32_t upper, lower;
    ints.fetch_bytes = 0;
    z->kernels->many[QV__W4](&ints, code + z->planes[0].offset, 0, 1, &upper);
    z->kernels->many[QV__W4](&ints, rest, 0, 1, &lower);
    unsigned rest_bits = z->params.rest_bits;
    float middle = qv__quant_middle(z->params.bits + rest_bits);
    struct qv__factors f = qv__factors_load(rest + z->rest_bytes - QV__FACTOR_BYTES);
    int32_t product = (int32_t)((uint32_t)upper << rest_bits) + lower;
    float in_units = (float)product - middle * (float)q->ints.sum;
    float dist = as_number(q->constant + f.add - f.scale * (q->per_int * in_units));
    if (bound != NULL) {
        *bound = bound_of(q, &f, dist);
    }
    return dist;
}

void qv__query_calls(struct qv__quant_query *q)
{
    q->gather = q->z->is_tucked ? gather_tucked : gather;
    q->run = q->z->is_tucked ? run_tucked : run;
    q->refine = q->z->params.rest_bits > 0 ? refine : refine_alone;
}

qv_status qv__quant_query_new(const struct qv__quant *z, struct qv__mem *mem,
                              struct qv__quant_query **out, struct qv_err *err)
{
    size_t padded = qv__quant_padded(z);
    struct qv__quant_query *q = qv__zalloc(mem, sizeof *q);
    if (q != NULL) {
        q->z = z;
        q->work = qv__calloc(mem, padded, sizeof *q->work);
        q->row = qv__calloc(mem, padded, sizeof *q->row);
        q->bytes = qv__alloc_aligned(mem, QV__CACHE_LINE_BYTES, padded);
    }
    if (q == NULL || q->work == NULL || q->row == NULL || q->bytes == NULL) {
        qv__quant_query_free(q);
        return qv__fail(err, QV_ENOMEM, "no memory for a query of %u dimensions", z->dim);
    }
    memset(q->bytes, 0, padded);
    q->code_bytes = z->code_bytes;
    q->ints = (struct qv__code_query){.q = q->bytes, .dims = z->dims, .fetch_bytes = z->code_bytes};
    if (z->params.kind == QV__QUANT_BINARY) {
        qv__binary_calls(q);
    } else {
        qv__query_calls(q);
    }
    *out = q;
    return QV_OK;
}

void qv__quant_query_free(struct qv__quant_query *q)
{
    if (q != NULL) {
        qv__free(q->work);
        qv__free(q->row);
        qv__free(q->bytes);
        qv__free(q);
    }
}

/* The bytes are there, of `step` each: what follows from them. */
static void settle(struct qv__quant_query *q, float step)
{
    int32_t sum = 0;
    for (size_t i = 0; i < q->z->dims; i++) {
        sum += q->bytes[i];
    }
    float weight = qv__quant_weight(q->z);
    q->ints.sum = sum;
    q->per_int = weight * step;
    q->per_code = -weight * step * qv__quant_middle(q->z->params.bits) * (float)sum;
}

static float largest(const float *v, size_t n)
{
    float max[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            float a = __builtin_fabsf(v[i + k]);
            max[k] = a > max[k] ? a : max[k];
        }
    }
    for (; i < n; i++) {
        float a = __builtin_fabsf(v[i]);
        max[0] = a > max[0] ? a : max[0];
    }
    for (size_t k = 1; k < 8; k++) {
        max[0] = max[k] > max[0] ? max[k] : max[0];
    }
    return max[0];
}

/* To bytes of the largest element / 127; returns that step. v becomes what the bytes lost. */
static float round_to_bytes(float *v, size_t n, int8_t *bytes)
{
    float step = largest(v, n) / 127.0f, per_step = 1.0f / step;
    if (!(per_step > 0.0f && per_step <= FLT_MAX)) { /* zero, or too small for its inverse */
        memset(bytes, 0, n);
        return 0.0f;
    }
    for (size_t i = 0; i < n; i++) {
        float x = v[i] * per_step;
        int32_t r = (int32_t)(x + (x < 0.0f ? -0.5f : 0.5f));
        bytes[i] = (int8_t)r;
        v[i] -= step * (float)r;
    }
    return step;
}

void qv__quant_query_set(struct qv__quant_query *q, const float *vector)
{
    const struct qv__quant *z = q->z;
    qv__quant_center(z, vector, q->work);
    if (z->params.kind == QV__QUANT_BINARY) {
        qv__binary_query_set(q, q->work);
        return;
    }
    float norm2 = QV_MIN(z->simd->norm2(q->work, z->dims), FLT_MAX);
    q->norm = __builtin_sqrtf(norm2);
    q->constant = z->metric == QV__L2 ? norm2 : 0.5f * (norm2 - z->simd->norm2(vector, z->dim));
    float step = round_to_bytes(q->work, z->dims, q->bytes);
    q->error = __builtin_sqrtf(z->simd->norm2(q->work, z->dims));
    settle(q, step);
}

void qv__quant_query_set_elements(struct qv__quant_query *q, uint8_t datatype, const void *elements)
{
    const struct qv__quant *z = q->z;
    qv__quant_query_set(q,
                        qv__quant_widened(z->simd, datatype, z->metric, elements, z->dim, q->row));
}

/* Integers of 8 bits to signed bytes, c - 128, by words: pairs of codes are compared by the hundred
 * when a graph is built. */
static void whole_to_bytes(int8_t *bytes, const uint8_t *ints, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, ints + i, sizeof word);
        word ^= UINT64_C(0x8080808080808080);
        memcpy(bytes + i, &word, sizeof word);
    }
    for (; i < n; i++) {
        bytes[i] = (int8_t)(ints[i] - 128);
    }
}

static void unpack_to_bytes(struct qv__quant_query *q, const uint8_t *code, size_t n)
{
    const struct qv__quant *z = q->z;
    uint8_t *ints = (uint8_t *)(void *)q->work;
    memset(ints, 0, qv__quant_padded(z));
    for (unsigned i = 0; i < z->n_planes; i++) {
        const struct qv__plane *p = &z->planes[i];
        qv__plane_unpack((enum qv__code_width)p->width, p->shift, code + p->offset, z->dims, ints);
    }
    int8_t *bytes = q->bytes;
    bool is_whole = z->params.bits == 8;
    int twice_middle = (1 << z->params.bits) - 1;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (int8_t)(is_whole ? ints[i] - 128 : 2 * ints[i] - twice_middle);
    }
}

/* Odd integers 2 c - (2^bits - 1) are exact in bytes up to 7 bits; 8 bits are off by half a step,
 * which is part of the error. */
void qv__quant_query_set_code(struct qv__quant_query *q, const uint8_t *code)
{
    const struct qv__quant *z = q->z;
    if (z->params.kind == QV__QUANT_BINARY) {
        qv__binary_query_set_code(q, code);
        return;
    }
    bool is_whole = z->params.bits == 8;
    size_t n = z->signs != NULL ? z->dims : z->dim;
    if (is_whole && z->n_planes == 1) {
        whole_to_bytes(q->bytes, code + z->planes[0].offset, n);
    } else {
        unpack_to_bytes(q, code, n);
    }
    struct qv__factors f = qv__code_factors(z, code);
    q->constant = f.add;
    q->norm = f.norm;
    q->error = f.error;
    if (is_whole) {
        q->error += 0.5f * f.scale * __builtin_sqrtf((float)n);
    }
    settle(q, is_whole ? f.scale : 0.5f * f.scale);
}

/* binary.c: signs and Hamming distances.
 *
 * One bit an element, the sign of vector - mean, no factors. The distance only orders: for inner
 * products 2 h / dim - 1 for h bits that differ (the negated cosine of two sign vectors), for L2
 * the number h. There is no bound of its error; whoever searches these codes reranks from the
 * vectors. */
#include "quant/impl.h"

static float dist_of(const struct qv__quant *z, uint32_t bits)
{
    return z->metric == QV__L2 ? (float)bits : 2.0f * (float)bits / (float)z->dim - 1.0f;
}

static float dist_to(const struct qv__quant_query *q, const uint8_t *code)
{
    const struct qv__quant *z = q->z;
    const uint8_t *mine = (const uint8_t *)(const void *)q->bytes;
    return dist_of(z, z->kernels->hamming(mine, code, z->code_bytes));
}

static void no_bounds(float *bounds, size_t n)
{
    for (size_t i = 0; bounds != NULL && i < n; i++) {
        bounds[i] = __builtin_inff();
    }
}

/* A code is a few lines at most, so the next but three is asked for as a whole. */
enum { AHEAD = 4 };

static void gather(const struct qv__quant_query *q, const uint8_t *const *codes, size_t n,
                   float *dists, float *bounds)
{
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            qv__prefetch_span(codes[i + AHEAD], q->code_bytes);
        }
        dists[i] = dist_to(q, codes[i]);
    }
    no_bounds(bounds, n);
}

static void run(const struct qv__quant_query *q, const uint8_t *codes, size_t stride_bytes,
                size_t n, float *dists, float *bounds)
{
    for (size_t i = 0; i < n; i++) {
        dists[i] = dist_to(q, codes + i * stride_bytes);
    }
    no_bounds(bounds, n);
}

static float refine(const struct qv__quant_query *q, const uint8_t *code, const uint8_t *rest,
                    float *bound)
{
    (void)rest;
    no_bounds(bound, 1);
    return dist_to(q, code);
}

void qv__binary_calls(struct qv__quant_query *q)
{
    q->gather = gather;
    q->run = run;
    q->refine = refine;
}

void qv__binary_encode(const struct qv__quant *z, const float *centred, uint8_t *code)
{
    memset(code, 0, z->code_bytes);
    for (size_t i = 0; i < z->dim; i++) {
        code[i / 8] |= (uint8_t)((centred[i] > 0.0f) << i % 8);
    }
}

void qv__binary_query_set(struct qv__quant_query *q, const float *centred)
{
    qv__binary_encode(q->z, centred, (uint8_t *)(void *)q->bytes);
}

void qv__binary_query_set_code(struct qv__quant_query *q, const uint8_t *code)
{
    memcpy(q->bytes, code, q->z->code_bytes);
}

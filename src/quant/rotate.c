/* rotate.c: a random rotation in O(d log d), for any multiple of 64.
 *
 * Four rounds of: flip random signs, then a fast Hadamard transform. Where the length is no power
 * of two, the transform takes its largest power of two, at the front and at the back by turns, and
 * each round ends with a step of Kac's walk, which turns the pairs of both halves by 45 degrees.
 * The product is close enough to a uniform rotation for the estimator of rabitq; measured, not
 * proved (docs/internals/QUANT.md). Additions in one order on every machine. */
#include "quant/impl.h"

#include "base/rng.h"

size_t qv__rotation_words(uint32_t dims)
{
    return (size_t)QV__ROTATION_ROUNDS * dims / 64;
}

void qv__rotation_make(uint64_t *signs, uint32_t dims, uint64_t seed)
{
    struct qv__rng rng;
    qv__rng_seed(&rng, qv__mix64(seed ^ UINT64_C(0x726f746174696f6e))); /* apart from the sample */
    for (size_t i = 0; i < qv__rotation_words(dims); i++) {
        signs[i] = qv__rng_u64(&rng);
    }
}

/* Through the sign bit: no branch, no multiplication. */
static void flip_signs(const uint64_t *signs, float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, v + i, sizeof bits);
        bits ^= (uint32_t)(signs[i / 64] >> i % 64 & 1u) << 31;
        memcpy(v + i, &bits, sizeof bits);
    }
}

static void butterflies(float *restrict a, float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = a[i], y = b[i];
        a[i] = x + y;
        b[i] = x - y;
    }
}

static void scale(float *v, float by, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        v[i] *= by;
    }
}

/* n: a power of two, at least 4. */
static void hadamard(float *v, size_t n)
{
    for (size_t i = 0; i < n; i += 4) { /* the two shortest steps at once */
        float a = v[i] + v[i + 1], b = v[i] - v[i + 1];
        float c = v[i + 2] + v[i + 3], d = v[i + 2] - v[i + 3];
        v[i] = a + c;
        v[i + 1] = b + d;
        v[i + 2] = a - c;
        v[i + 3] = b - d;
    }
    for (size_t half = 4; half < n; half *= 2) {
        for (size_t i = 0; i < n; i += 2 * half) {
            butterflies(v + i, v + i + half, half);
        }
    }
    scale(v, 1.0f / __builtin_sqrtf((float)n), n);
}

void qv__rotation_apply(const uint64_t *signs, float *v, uint32_t dims)
{
    size_t power = 64;
    while (power * 2 <= dims) {
        power *= 2;
    }
    for (size_t round = 0; round < QV__ROTATION_ROUNDS; round++) {
        flip_signs(signs + round * (dims / 64), v, dims);
        hadamard(round % 2 == 0 ? v : v + (dims - power), power);
        if (power < dims) {
            butterflies(v, v + dims / 2, dims / 2);
            scale(v, 0.70710678f, dims);
        }
    }
}

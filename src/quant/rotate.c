/* rotate.c: a random rotation in O(d log d), for any multiple of 64.
 *
 * Four rounds of: flip random signs, then a fast Hadamard transform. Where the length is no power
 * of two, the transform takes its largest power of two, at the front and at the back by turns, and
 * each round ends with a step of Kac's walk, which turns the pairs of both halves by 45 degrees.
 * The product is close enough to a uniform rotation for the estimator of rabitq; measured, not
 * proved (docs/internals/QUANT.md). Additions in one order on every machine. */
#include "quant/impl.h"

#include "base/rng.h"

/* The largest power of two that is not above dims. */
static size_t power_in(uint32_t dims)
{
    size_t power = 64;
    while (power * 2 <= dims) {
        power *= 2;
    }
    return power;
}

size_t qv__rotation_floats(uint32_t dims)
{
    return (size_t)QV__ROTATION_ROUNDS * dims;
}

/* All that a round divides by to keep lengths is in its signs. */
void qv__rotation_make(float *signs, uint32_t dims, uint64_t seed)
{
    struct qv__rng rng;
    qv__rng_seed(&rng, qv__mix64(seed ^ UINT64_C(0x726f746174696f6e))); /* apart from the sample */
    size_t power = power_in(dims);
    float of_transform = 1.0f / __builtin_sqrtf((float)power);
    float of_pairs = power < dims ? 0.70710678f : 1.0f;
    for (size_t round = 0; round < QV__ROTATION_ROUNDS; round++) {
        size_t from = round % 2 == 0 ? 0 : dims - power;
        uint64_t bits = 0;
        for (size_t i = 0; i < dims; i++) {
            bits = i % 64 == 0 ? qv__rng_u64(&rng) : bits >> 1;
            float size = i >= from && i < from + power ? of_transform * of_pairs : of_pairs;
            signs[round * dims + i] = bits & 1 ? -size : size;
        }
    }
}

static void flip_signs(const float *restrict signs, float *restrict v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        v[i] *= signs[i];
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

/* Two steps at once, over quarters of 4 n elements: half the loads and stores. */
static void double_butterflies(float *v, size_t n)
{
    float *restrict a = v, *restrict b = v + n, *restrict c = v + 2 * n, *restrict d = v + 3 * n;
    for (size_t i = 0; i < n; i++) {
        float x = a[i] + b[i], y = a[i] - b[i], z = c[i] + d[i], w = c[i] - d[i];
        a[i] = x + z;
        b[i] = y + w;
        c[i] = x - z;
        d[i] = y - w;
    }
}

/* Four elements that every machine of ours adds at once. */
typedef float four __attribute__((vector_size(16)));

static inline void butterflies_four(four r[4])
{
    four x = r[0] + r[1], y = r[0] - r[1], z = r[2] + r[3], w = r[2] - r[3];
    r[0] = x + z;
    r[1] = y + w;
    r[2] = x - z;
    r[3] = y - w;
}

static inline void turn_four(four r[4])
{
    four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    four b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    four c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    four d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

/* Sixteen elements: two steps inside fours, which are turned for it, and two between them. */
static inline void hadamard16(float *v)
{
    four r[4];
    memcpy(r, v, sizeof r);
    turn_four(r);
    butterflies_four(r);
    turn_four(r);
    butterflies_four(r);
    memcpy(v, r, sizeof r);
}

/* n: a power of two, at least 16. Not divided by the square root of n. */
static void hadamard(float *v, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        hadamard16(v + i);
    }
    size_t half = 16;
    for (; half * 4 <= n; half *= 4) {
        for (size_t i = 0; i < n; i += 4 * half) {
            double_butterflies(v + i, half);
        }
    }
    for (size_t i = 0; half < n && i < n; i += 2 * half) {
        butterflies(v + i, v + i + half, half);
    }
}

void qv__rotation_apply(const float *signs, float *v, uint32_t dims)
{
    size_t power = power_in(dims);
    for (size_t round = 0; round < QV__ROTATION_ROUNDS; round++) {
        flip_signs(signs + round * dims, v, dims);
        hadamard(round % 2 == 0 ? v : v + (dims - power), power);
        if (power < dims) {
            butterflies(v, v + dims / 2, dims / 2);
        }
    }
}

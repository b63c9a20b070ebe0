/* counters.c: the log-linear histogram (as in HdrHistogram, with 4 bits of mantissa).
 *
 * Values below 16 have a bucket each; above, every power of two is cut into 16 equal buckets, so a
 * bucket is never wider than 1/16 of its lower bound. All updates are relaxed atomics; a reader
 * counts the buckets itself and so always sees a distribution that some order of the updates
 * explains. */
#include "base/counters.h"

#include <math.h>

static size_t bucket_of(uint64_t v)
{
    if (v < 16) {
        return (size_t)v;
    }
    unsigned exponent = 63u - (unsigned)__builtin_clzll(v);
    return (size_t)(exponent - 3) * 16 + (size_t)((v >> (exponent - 4)) & 15);
}

static uint64_t bucket_upper(size_t i)
{
    if (i < 16) {
        return i;
    }
    unsigned shift = (unsigned)(i / 16) - 1;
    return ((uint64_t)(16 + i % 16) << shift) + ((1ull << shift) - 1);
}

static uint64_t read_u64(const _Atomic uint64_t *v)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)v, memory_order_relaxed);
}

void qv__hist_add(struct qv__hist *h, uint64_t value)
{
    atomic_fetch_add_explicit(&h->bucket[bucket_of(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->n, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
    uint64_t max = read_u64(&h->max);
    while (value > max && !atomic_compare_exchange_weak_explicit(
                              &h->max, &max, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

uint64_t qv__hist_quantile(const struct qv__hist *h, double q)
{
    uint64_t total = 0;
    for (size_t i = 0; i < QV__HIST_BUCKETS; i++) {
        total += read_u64(&h->bucket[i]);
    }
    if (total == 0) {
        return 0;
    }
    q = q > 0 ? QV_MIN(q, 1.0) : 0; /* a NaN becomes 0 */
    uint64_t rank = (uint64_t)ceil(q * (double)total);
    rank = rank ? QV_MIN(rank, total) : 1;
    uint64_t seen = 0;
    for (size_t i = 0; i < QV__HIST_BUCKETS; i++) {
        seen += read_u64(&h->bucket[i]);
        if (seen >= rank) {
            return bucket_upper(i);
        }
    }
    return qv__hist_max(h);
}

uint64_t qv__hist_count(const struct qv__hist *h)
{
    return read_u64(&h->n);
}

uint64_t qv__hist_sum(const struct qv__hist *h)
{
    return read_u64(&h->sum);
}

uint64_t qv__hist_max(const struct qv__hist *h)
{
    return read_u64(&h->max);
}

/* counters.h: numbers that are only ever added to, and latency histograms.
 *
 * What it is: relaxed atomics for metrics; a histogram with fixed log-linear buckets (relative
 * error at most 1/16) that can be read while it is written.
 * What it is not: exact at one instant across counters. Threads: any. */
#ifndef QV_BASE_COUNTERS_H
#define QV_BASE_COUNTERS_H

#include <stdatomic.h>

#include "base/base.h"

struct qv__counter {
    _Atomic uint64_t v;
};
static inline void qv__count(struct qv__counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(&c->v, n, memory_order_relaxed);
}
static inline uint64_t qv__counted(const struct qv__counter *c)
{
    return atomic_load_explicit(&((struct qv__counter *)(uintptr_t)c)->v, memory_order_relaxed);
}

#define QV__HIST_BUCKETS (16 * 61)
struct qv__hist {
    _Atomic uint64_t bucket[QV__HIST_BUCKETS];
    _Atomic uint64_t n, sum, max;
};
void qv__hist_add(struct qv__hist *h, uint64_t value);
/* Upper bound of the bucket that holds the q-quantile (0..1); 0 when empty. */
uint64_t qv__hist_quantile(const struct qv__hist *h, double q);
uint64_t qv__hist_count(const struct qv__hist *h);
uint64_t qv__hist_sum(const struct qv__hist *h);
uint64_t qv__hist_max(const struct qv__hist *h);

#endif

/* prefetch.h: cache-line prefetches that survive the compiler.
 *
 * What it is: one instruction, written as assembly because gcc 12 keeps only the first
 * __builtin_prefetch of a loop of them and says nothing. tools/check_prefetch.sh looks for them in
 * the object code.
 * What it is not: a policy; how far ahead to fetch is the caller's, measured, business.
 *
 * A prefetch never faults, so any address will do. Threads: any. */
#ifndef QV_SIMD_PREFETCH_H
#define QV_SIMD_PREFETCH_H

#include "base/base.h"

enum { QV__CACHE_LINE_BYTES = 64 };

/* Ask for the line that holds `p`, into every level of cache. */
static inline __attribute__((always_inline)) void qv__prefetch(const void *p)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetcht0 %0" : : "m"(*(const char *)p));
#elif defined(__aarch64__)
    __asm__ volatile("prfm pldl1keep, [%0]" : : "r"(p));
#else
    __builtin_prefetch(p);
#endif
}

/* Ask for every line of [p, p + n_bytes). */
static inline __attribute__((always_inline)) void qv__prefetch_span(const void *p, size_t n_bytes)
{
    const char *c = p;
    for (size_t i = 0; i < n_bytes; i += QV__CACHE_LINE_BYTES) {
        qv__prefetch(c + i);
    }
    if (n_bytes > 0) {
        qv__prefetch(c + n_bytes - 1); /* p need not start a line */
    }
}

#endif

/* rng.h: seeded randomness (xoshiro256**, seeded by splitmix64; Blackman and Vigna 2018).
 *
 * What it is: deterministic streams; every use names its seed, so that builds and tests replay.
 * What it is not: fit for secrets; the operating system's entropy comes through os/. */
#ifndef QV_BASE_RNG_H
#define QV_BASE_RNG_H

#include "base/base.h"

struct qv__rng {
    uint64_t s[4];
};

void qv__rng_seed(struct qv__rng *r, uint64_t seed);
uint64_t qv__rng_u64(struct qv__rng *r);
/* Uniform in [0, n), n > 0, without modulo bias. */
uint64_t qv__rng_below(struct qv__rng *r, uint64_t n);
/* Uniform in [0, 1). */
double qv__rng_f64(struct qv__rng *r);
/* Standard normal (Box-Muller). */
float qv__rng_gauss(struct qv__rng *r);

/* A good 64-bit mix of one value; stateless. */
uint64_t qv__mix64(uint64_t v);

#endif

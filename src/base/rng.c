/* rng.c: xoshiro256** (Blackman and Vigna 2018), seeded by splitmix64 (Steele et al. 2014); bounded
 * numbers by Lemire's multiply-and-reject (2019); normal ones by Box and Muller (1958), the cosine
 * half only, so that the stream has no hidden state. */
#include "base/rng.h"

#include <math.h>

__extension__ typedef unsigned __int128 wide;

static uint64_t rotl(uint64_t v, unsigned by)
{
    return (v << by) | (v >> (64 - by));
}

uint64_t qv__mix64(uint64_t v)
{
    v += 0x9e3779b97f4a7c15ull;
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9ull;
    v = (v ^ (v >> 27)) * 0x94d049bb133111ebull;
    return v ^ (v >> 31);
}

void qv__rng_seed(struct qv__rng *r, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        r->s[i] = qv__mix64(seed + i * 0x9e3779b97f4a7c15ull);
    }
}

uint64_t qv__rng_u64(struct qv__rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t qv__rng_below(struct qv__rng *r, uint64_t n)
{
    QV_DEBUG_ASSERT(n > 0);
    wide product = (wide)qv__rng_u64(r) * n;
    if ((uint64_t)product < n) {
        uint64_t biased = n ? (0 - n) % n : 0; /* 2^64 mod n low values would be too frequent */
        while ((uint64_t)product < biased) {
            product = (wide)qv__rng_u64(r) * n;
        }
    }
    return (uint64_t)(product >> 64);
}

double qv__rng_f64(struct qv__rng *r)
{
    return (double)(qv__rng_u64(r) >> 11) * 0x1p-53;
}

float qv__rng_gauss(struct qv__rng *r)
{
    double u = 1.0 - qv__rng_f64(r); /* (0, 1]: its logarithm is finite */
    double angle = 6.283185307179586476925 * qv__rng_f64(r);
    return (float)(sqrt(-2.0 * log(u)) * cos(angle));
}

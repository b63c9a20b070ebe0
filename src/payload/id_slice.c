/* id_slice.c: the hash that cuts the id space into slices.
 *
 * SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein, 2012) with a zero key. Clients compute the same
 * value to predict a slice, so neither the function nor the bytes it reads may ever change. */
#include "payload/filter.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static void rounds(struct sip *s, unsigned n)
{
    while (n--) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 = rotl(s->v2, 32);
    }
}

static void absorb(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

static uint64_t siphash24(const void *data, size_t n)
{
    const uint8_t *p = data;
    struct sip s = {0x736f6d6570736575u, 0x646f72616e646f6du, 0x6c7967656e657261u,
                    0x7465646279746573u};
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; n -= 8, p += 8) {
        absorb(&s, qv__load_u64(p));
    }
    for (size_t i = 0; i < n; i++) {
        last |= (uint64_t)p[i] << (8 * i);
    }
    absorb(&s, last);
    s.v2 ^= 0xff;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t qv__id_slice_hash(const struct qv__id *id)
{
    switch ((enum qv__id_kind)id->kind) {
    case QV__ID_U64:
    case QV__ID_I64:
        return siphash24(&id->u, sizeof id->u);
    case QV__ID_UUID:
        return siphash24(id->uuid, sizeof id->uuid);
    case QV__ID_STR:
    default:
        return siphash24(id->s, id->len);
    }
}

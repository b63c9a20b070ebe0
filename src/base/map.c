/* map.c: robin-hood hashing with backward-shift deletion (Celis 1986; deletion after Goossaert
 * 2013).
 *
 * A slot's home is place & mask, where the place is the hash, multiplied in with a seed; a pair
 * further from its home displaces one nearer to its own, which keeps probes short and lets a search
 * stop at the first slot nearer to home than the key would be. The table is at most 7/8 full and
 * only grows; a failed growth leaves it as it was. No locks. */
#include "base/map.h"

#include "base/rng.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_MIN ((size_t)8)
/* Any constant: it separates our hashes from others' over the same bytes, and is part of no format.
 */
#define HASH_SEED 0x5157495645523031ull

static size_t room_of(size_t n_slots)
{
    return n_slots - n_slots / 8;
}

static uint64_t stored_hash(uint64_t hash)
{
    return hash ? hash : 1; /* 0 means empty */
}

/* Folded: the lowest bits depend on all of the hash and of the seed. */
static uint64_t place_of(const struct qv__map *m, uint64_t hash)
{
    __uint128_t p = (__uint128_t)(hash ^ m->seed) * UINT64_C(0x9fb21c651e98df25);
    return stored_hash((uint64_t)p ^ (uint64_t)(p >> 64));
}

/* What nobody outside can know: the system chooses the addresses of code and memory at random. */
static uint64_t seed_of(const void *slots)
{
    return qv__mix64((uint64_t)(uintptr_t)slots ^ qv__mix64((uint64_t)(uintptr_t)&qv__map_reserve));
}

static size_t distance(const struct qv__map *m, size_t at)
{
    return (at - (size_t)m->slots[at].place) & (m->n_slots - 1);
}

void qv__map_init(struct qv__map *m, struct qv__mem *mem)
{
    memset(m, 0, sizeof *m);
    m->mem = mem;
}

void qv__map_free(struct qv__map *m)
{
    qv__free(m->slots);
    m->slots = NULL;
    m->n_slots = m->n = 0;
}

/* Needs a free slot. */
static void insert(struct qv__map *m, struct qv__map_slot s)
{
    size_t mask = m->n_slots - 1;
    size_t at = (size_t)s.place & mask;
    for (size_t d = 0;; d++, at = (at + 1) & mask) {
        struct qv__map_slot *slot = &m->slots[at];
        if (!slot->place) {
            *slot = s;
            m->n++;
            return;
        }
        size_t theirs = distance(m, at);
        if (theirs < d) {
            struct qv__map_slot moved = *slot;
            *slot = s;
            s = moved;
            d = theirs;
        }
    }
}

qv_status qv__map_reserve(struct qv__map *m, size_t n)
{
    size_t want;
    if (!qv__add_ok(m->n, n, &want) || want > SIZE_MAX / 64) {
        return QV_ENOMEM;
    }
    if (want == 0 || want <= room_of(m->n_slots)) {
        return QV_OK;
    }
    size_t n_slots = m->n_slots ? m->n_slots : SLOTS_MIN;
    while (room_of(n_slots) < want) {
        n_slots *= 2;
    }
    struct qv__map_slot *slots = qv__calloc(m->mem, n_slots, sizeof *slots);
    if (!slots) {
        return QV_ENOMEM;
    }
    struct qv__map old = *m;
    m->slots = slots;
    m->n_slots = n_slots;
    m->n = 0;
    m->seed = old.n_slots ? old.seed : seed_of(slots);
    for (size_t i = 0; i < old.n_slots; i++) {
        if (old.slots[i].place) {
            insert(m, old.slots[i]);
        }
    }
    QV_DEBUG_ASSERT(m->n == old.n);
    qv__free(old.slots);
    return QV_OK;
}

/* Slot of the pair, or NULL. */
static struct qv__map_slot *find_slot(const struct qv__map *m, uint64_t hash, qv__map_eq eq,
                                      const void *key, void *ctx)
{
    if (m->n == 0) {
        return NULL;
    }
    uint64_t place = place_of(m, hash);
    size_t mask = m->n_slots - 1;
    size_t at = (size_t)place & mask;
    for (size_t d = 0;; d++, at = (at + 1) & mask) {
        struct qv__map_slot *slot = &m->slots[at];
        if (!slot->place || distance(m, at) < d) {
            return NULL;
        }
        if (slot->place == place && eq(slot->value, key, ctx)) {
            return slot;
        }
    }
}

void qv__map_expect(const struct qv__map *m, uint64_t hash)
{
    if (m->n) {
        __builtin_prefetch(&m->slots[(size_t)place_of(m, hash) & (m->n_slots - 1)]);
    }
}

uint64_t *qv__map_find(const struct qv__map *m, uint64_t hash, qv__map_eq eq, const void *key,
                       void *ctx)
{
    struct qv__map_slot *slot = find_slot(m, hash, eq, key, ctx);
    return slot ? &slot->value : NULL;
}

qv_status qv__map_add(struct qv__map *m, uint64_t hash, uint64_t value)
{
    QV_TRY(qv__map_reserve(m, 1));
    insert(m, (struct qv__map_slot){place_of(m, hash), value});
    return QV_OK;
}

bool qv__map_remove(struct qv__map *m, uint64_t hash, qv__map_eq eq, const void *key, void *ctx,
                    uint64_t *old)
{
    struct qv__map_slot *slot = find_slot(m, hash, eq, key, ctx);
    if (!slot) {
        return false;
    }
    if (old) {
        *old = slot->value;
    }
    size_t mask = m->n_slots - 1;
    size_t hole = (size_t)(slot - m->slots);
    size_t next = (hole + 1) & mask;
    while (m->slots[next].place && distance(m, next) > 0) {
        m->slots[hole] = m->slots[next];
        hole = next;
        next = (next + 1) & mask;
    }
    m->slots[hole] = (struct qv__map_slot){0, 0};
    m->n--;
    return true;
}

bool qv__map_next(const struct qv__map *m, size_t *at, uint64_t *value)
{
    while (*at < m->n_slots) {
        const struct qv__map_slot *slot = &m->slots[(*at)++];
        if (slot->place) {
            *value = slot->value;
            return true;
        }
    }
    return false;
}

uint64_t qv__hash_bytes(const void *p, size_t n)
{
    return stored_hash(XXH3_64bits_withSeed(n ? p : "", n, HASH_SEED));
}

uint64_t qv__hash_stored(const void *p, size_t n)
{
    return XXH3_64bits(n ? p : "", n);
}

uint64_t qv__hash_u64(uint64_t v)
{
    return stored_hash(qv__mix64(v));
}

/* map.h: an open-addressing hash index from a 64-bit hash to a 64-bit value.
 *
 * What it is: the shared engine of all hash tables. It stores (hash, value) pairs; the value is an
 * index or a pointer into the caller's own storage, and the caller's `eq` decides equality, so keys
 * are never copied. Robin-hood probing with backward-shift deletion. Where a pair lies depends on
 * where the system has put the table, too: keys that a client has chosen for their hashes do not
 * gather in one place.
 * What it is not: thread-safe. Readers concurrent with writers need a lock of the caller. */
#ifndef QV_BASE_MAP_H
#define QV_BASE_MAP_H

#include "base/alloc.h"

struct qv__map_slot {
    uint64_t place; /* of its hash in this map: the home is in the lowest bits; 0 = empty */
    uint64_t value;
};
struct qv__map {
    struct qv__mem *mem;
    struct qv__map_slot *slots;
    size_t n_slots; /* power of two, or 0 */
    size_t n;
    uint64_t seed; /* of places; from the first slots on */
};

/* True if the stored `value` is the one that `key` names. */
typedef bool (*qv__map_eq)(uint64_t value, const void *key, void *ctx);

void qv__map_init(struct qv__map *m, struct qv__mem *mem);
void qv__map_free(struct qv__map *m);
/* Make room so that the next n insertions cannot fail. */
qv_status qv__map_reserve(struct qv__map *m, size_t n) QV_MUST_USE;
/* Pointer to the value (valid until the next change), or NULL. */
uint64_t *qv__map_find(const struct qv__map *m, uint64_t hash, qv__map_eq eq, const void *key,
                       void *ctx);
/* A look-up of this hash comes soon: have its slot in the cache by then. */
void qv__map_expect(const struct qv__map *m, uint64_t hash);
/* Insert without looking for an equal key. */
qv_status qv__map_add(struct qv__map *m, uint64_t hash, uint64_t value) QV_MUST_USE;
/* Remove; true if it was there; *old (may be NULL) gets the value. */
bool qv__map_remove(struct qv__map *m, uint64_t hash, qv__map_eq eq, const void *key, void *ctx,
                    uint64_t *old);
/* Iterate: start with *at = 0; false at the end. */
bool qv__map_next(const struct qv__map *m, size_t *at, uint64_t *value);

/* xxh3 with a fixed seed; never 0. */
uint64_t qv__hash_bytes(const void *p, size_t n);
/* XXH3 of 64 bits without a seed: of this one files may hold what it gives. */
uint64_t qv__hash_stored(const void *p, size_t n);
uint64_t qv__hash_u64(uint64_t v);

#endif

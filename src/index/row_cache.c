/* row_cache.c: a table from ordinals to slots, slots with a state each, rows in chunks.
 *
 * A slot's state is one word: how many readers have it pinned, whether it was hit since the clock
 * last passed, and whether it is being written. A reader adds itself first and looks afterwards: if
 * the slot is being written, or holds another ordinal by now, it takes itself out again and has
 * missed. A writer takes a slot only in the state zero, and leaves the state of a writer by an AND,
 * because readers may come and go meanwhile. One writer at a time, by a flag; others do not wait.
 *
 * The table of ordinals is a word each: 0 not seen, 1 measured once, else the slot plus 2. It is
 * only a hint: what counts is the ordinal in the slot, read under a pin. */
#include "index/row_cache.h"

#include <stdatomic.h>

enum {
    CHUNK_BYTES = 256 << 10,
    ROW_ALIGN = 16,
    CLOCK_STEPS = 8,  /* slots looked at for one that can go */
    FULL_EVERY = 16,  /* of so many wishes to be copied a full cache grants one */
    ROOM_FACTOR = 16, /* with a budget: so many times the cache's limit must be left */
    FIRST_SLOT = 2,   /* words of the table from here on are slots */
};
#define SEEN    UINT32_C(1)
#define WRITING (UINT32_C(1) << 31)
#define HIT     (UINT32_C(1) << 30)

struct slot {
    _Atomic uint32_t state;
    _Atomic uint32_t ord;
};

struct qv__row_cache {
    struct qv__mem *mem;
    uint32_t n, row_bytes, stride_bytes;
    uint32_t shift; /* rows of a chunk: 2^shift */
    _Atomic uint32_t *table;
    struct slot *slots;
    uint8_t **chunks;        /* written before a slot of theirs is in the table */
    atomic_flag is_copying;  /* guards the rest */
    uint32_t n_slots_max;    /* lowered when memory is out */
    uint32_t hand;           /* of the clock */
    uint32_t n_refused;      /* wishes since the last one that a full cache granted */
    _Atomic uint32_t n_used; /* slots that hold something */
    _Atomic size_t bytes;
};

struct qv__row_cache *qv__row_cache_new(struct qv__mem *mem, uint32_t n, uint32_t row_bytes)
{
    struct qv__row_cache *c = qv__zalloc(mem, sizeof *c);
    if (!c) {
        return NULL;
    }
    c->mem = mem;
    c->n = n;
    c->row_bytes = row_bytes;
    c->stride_bytes = (uint32_t)QV_ALIGN_UP((size_t)row_bytes, (size_t)ROW_ALIGN);
    while ((UINT64_C(2) << c->shift) * c->stride_bytes <= CHUNK_BYTES) {
        c->shift++;
    }
    c->n_slots_max = n / QV__ROW_CACHE_SHARE;
    size_t n_chunks = (c->n_slots_max >> c->shift) + 1u;
    c->table = qv__calloc(mem, (size_t)n + 1, sizeof *c->table);
    c->slots = qv__calloc(mem, (size_t)c->n_slots_max + 1, sizeof *c->slots);
    c->chunks = qv__calloc(mem, n_chunks, sizeof *c->chunks);
    if (!c->table || !c->slots || !c->chunks) {
        qv__row_cache_free(c);
        return NULL;
    }
    atomic_flag_clear(&c->is_copying);
    atomic_init(&c->bytes, sizeof *c + (size_t)n * sizeof *c->table +
                               (size_t)c->n_slots_max * sizeof *c->slots +
                               n_chunks * sizeof *c->chunks);
    return c;
}

void qv__row_cache_free(struct qv__row_cache *c)
{
    if (!c) {
        return;
    }
    uint32_t n_used = atomic_load_explicit(&c->n_used, memory_order_relaxed);
    for (uint32_t i = 0; c->chunks && i < n_used; i += UINT32_C(1) << c->shift) {
        qv__free(c->chunks[i >> c->shift]);
    }
    qv__free(c->chunks);
    qv__free(c->slots);
    qv__free(c->table);
    qv__free(c);
}

static uint8_t *row_at(const struct qv__row_cache *c, uint32_t slot)
{
    return c->chunks[slot >> c->shift] +
           (size_t)(slot & ((UINT32_C(1) << c->shift) - 1)) * c->stride_bytes;
}

const void *qv__row_cache_pin(struct qv__row_cache *c, uint32_t ord, uint32_t *slot)
{
    uint32_t word = atomic_load_explicit(&c->table[ord], memory_order_acquire);
    *slot = QV__ROW_CACHE_NONE;
    if (word < FIRST_SLOT) {
        return NULL;
    }
    struct slot *s = &c->slots[word - FIRST_SLOT];
    uint32_t state = atomic_fetch_add_explicit(&s->state, 1, memory_order_acquire);
    if (state & WRITING || atomic_load_explicit(&s->ord, memory_order_relaxed) != ord) {
        (void)atomic_fetch_sub_explicit(&s->state, 1, memory_order_release);
        return NULL;
    }
    if (!(state & HIT)) {
        (void)atomic_fetch_or_explicit(&s->state, HIT, memory_order_relaxed);
    }
    *slot = word - FIRST_SLOT;
    return row_at(c, *slot);
}

void qv__row_cache_unpin(struct qv__row_cache *c, uint32_t slot)
{
    (void)atomic_fetch_sub_explicit(&c->slots[slot].state, 1, memory_order_release);
}

/* A slot never used, in memory that is there from now on. */
static bool slot_fresh(struct qv__row_cache *c, uint32_t *out)
{
    uint32_t n_used = atomic_load_explicit(&c->n_used, memory_order_relaxed);
    if (n_used == c->n_slots_max) {
        return false;
    }
    uint8_t **chunk = &c->chunks[n_used >> c->shift];
    if (!*chunk) {
        size_t n = (size_t)c->stride_bytes << c->shift;
        size_t room = qv__mem_room(c->mem);
        if (room / ROOM_FACTOR >= (size_t)c->n_slots_max * c->stride_bytes) {
            *chunk = qv__alloc_aligned(c->mem, 64, n);
        }
        if (!*chunk) {
            c->n_slots_max = n_used; /* so it stays */
            return false;
        }
        (void)atomic_fetch_add_explicit(&c->bytes, n, memory_order_relaxed);
    }
    (void)atomic_fetch_or_explicit(&c->slots[n_used].state, WRITING, memory_order_acquire);
    atomic_store_explicit(&c->n_used, n_used + 1, memory_order_relaxed);
    *out = n_used;
    return true;
}

/* One that was not hit lately and that nobody reads. */
static bool slot_used(struct qv__row_cache *c, uint32_t *out)
{
    if (c->n_slots_max == 0 || ++c->n_refused < FULL_EVERY) {
        return false;
    }
    c->n_refused = 0;
    for (uint32_t i = 0; i < CLOCK_STEPS; i++) {
        uint32_t at = c->hand;
        struct slot *s = &c->slots[at];
        uint32_t none = 0;
        c->hand = at + 1 < c->n_slots_max ? at + 1 : 0;
        if (atomic_fetch_and_explicit(&s->state, ~HIT, memory_order_relaxed) & HIT) {
            continue;
        }
        if (atomic_compare_exchange_strong_explicit(&s->state, &none, WRITING, memory_order_acquire,
                                                    memory_order_relaxed)) {
            uint32_t word = at + FIRST_SLOT;
            uint32_t ord = atomic_load_explicit(&s->ord, memory_order_relaxed);
            (void)atomic_compare_exchange_strong_explicit(
                &c->table[ord], &word, 0, memory_order_relaxed, memory_order_relaxed);
            *out = at;
            return true;
        }
    }
    return false;
}

void qv__row_cache_offer(struct qv__row_cache *c, uint32_t ord, const void *row)
{
    uint32_t word = 0, slot;
    if (atomic_compare_exchange_strong_explicit(&c->table[ord], &word, SEEN, memory_order_relaxed,
                                                memory_order_relaxed) ||
        word != SEEN || atomic_flag_test_and_set_explicit(&c->is_copying, memory_order_acquire)) {
        return;
    }
    /* Another one may have copied it meanwhile. */
    if (atomic_load_explicit(&c->table[ord], memory_order_relaxed) == SEEN &&
        (slot_fresh(c, &slot) || slot_used(c, &slot))) {
        struct slot *s = &c->slots[slot];
        memcpy(row_at(c, slot), row, c->row_bytes);
        atomic_store_explicit(&s->ord, ord, memory_order_relaxed);
        (void)atomic_fetch_and_explicit(&s->state, ~WRITING, memory_order_release);
        atomic_store_explicit(&c->table[ord], slot + FIRST_SLOT, memory_order_release);
    }
    atomic_flag_clear_explicit(&c->is_copying, memory_order_release);
}

size_t qv__row_cache_bytes(const struct qv__row_cache *c)
{
    return atomic_load_explicit(&((struct qv__row_cache *)(uintptr_t)c)->bytes,
                                memory_order_relaxed);
}

uint32_t qv__row_cache_count(const struct qv__row_cache *c)
{
    return atomic_load_explicit(&((struct qv__row_cache *)(uintptr_t)c)->n_used,
                                memory_order_relaxed);
}

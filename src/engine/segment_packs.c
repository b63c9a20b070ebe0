/* segment_packs.c: room for what indexes make of kept sets of rows. */
#include "engine/segment_packs.h"

#include "engine/segment_impl.h"

enum {
    SHARE = 4,     /* of the bytes of a segment's indexes, one in so many; */
    LEFT_OVER = 4, /* and of the memory that is left, likewise */
};

struct qv__packs *qv__packs_new(struct qv__mem *mem, uint32_t n_columns)
{
    struct qv__packs *p = qv__zalloc(mem, sizeof *p + n_columns * sizeof p->of[0]);
    if (p) {
        atomic_init(&p->refs, 1);
        p->n = n_columns;
    }
    return p;
}

struct qv__packs *qv__packs_retain(struct qv__packs *p)
{
    if (p) {
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    }
    return p;
}

void qv__packs_release(struct qv__packs *p)
{
    if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) {
        for (uint32_t i = 0; i < p->n; i++) {
            qv__index_packed_clear(&p->of[i]);
        }
        qv__free(p);
    }
}

/* What a set's packs take, or may take. */
static uint64_t taken_by(const struct qv__kept_rows *k)
{
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; k->packs && i < k->packs->n; i++) {
        struct qv__index_packed *p = &k->packs->of[i];
        uint64_t have = qv__index_packed_bytes(p);
        bool is_granted = atomic_load_explicit(&p->is_granted, memory_order_relaxed);
        n_bytes += have         ? have
                   : is_granted ? atomic_load_explicit(&p->n_wanted, memory_order_relaxed)
                                : 0;
    }
    return n_bytes;
}

static uint64_t room_of(const struct qv__segment *s)
{
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; s->sealed && i < s->n_columns; i++) { /* others' indexes are being made */
        struct qv__index *x = atomic_load(&((struct qv__column *)&s->columns[i])->index);
        struct qv__index_info info = {0};
        if (x) {
            x->ops->describe(x, &info);
        }
        n_bytes += info.memory_bytes;
    }
    return n_bytes / SHARE;
}

/* The set with packs that was asked for longest ago, but for one. UINT32_MAX: there is none. */
static uint32_t oldest_packed(const struct qv__filter_cache *c, const struct qv__kept_rows *but)
{
    uint32_t at = UINT32_MAX;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct qv__kept_rows *k = c->sets[i];
        if (k != but && taken_by(k) > 0 && (at == UINT32_MAX || k->used < c->sets[at]->used)) {
            at = i;
        }
    }
    return at;
}

/* Those that were not asked for since this one was asked for the last time before. */
static bool make_room(struct qv__segment *s, const struct qv__kept_rows *k, uint64_t wanted,
                      struct qv__kept_rows **out)
{
    struct qv__filter_cache *c = &s->cache;
    uint64_t room = room_of(s), taken = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        taken += taken_by(c->sets[i]);
    }
    if (wanted > qv__mem_room(s->mem) / LEFT_OVER) {
        return false;
    }
    while (wanted <= room && taken + wanted > room) {
        uint32_t i = oldest_packed(c, k);
        if (i == UINT32_MAX || c->sets[i]->used >= k->before) {
            break;
        }
        taken -= taken_by(c->sets[i]);
        c->sets[i]->next = *out;
        *out = qv__filter_cache_take(c, i);
    }
    return taken + wanted <= room;
}

struct qv__kept_rows *qv__packs_make_room(struct qv__segment *s, struct qv__kept_rows *k)
{
    struct qv__kept_rows *out = NULL;
    for (uint32_t i = 0; k->packs && i < k->packs->n; i++) {
        struct qv__index_packed *p = &k->packs->of[i];
        uint64_t wanted = atomic_load_explicit(&p->n_wanted, memory_order_relaxed);
        if (wanted == 0 || atomic_load_explicit(&p->is_granted, memory_order_relaxed)) {
            continue;
        }
        if (make_room(s, k, wanted, &out)) {
            atomic_store_explicit(&p->is_granted, true, memory_order_release);
        } else { /* again once it would have paid as much again */
            atomic_store_explicit(&p->n_missed_ns, 0, memory_order_relaxed);
            atomic_store_explicit(&p->n_wanted, 0, memory_order_relaxed);
        }
    }
    return out;
}

/* segment_dead.c: deletions of a segment through their stages.
 *
 * A deletion enters with its LSN (entry, bit still set), loses its live bit once no reader is
 * older, and is forgotten once a tombstone file could hold it. Entries arrive in LSN order, so both
 * steps eat from the front. A reader that finds no uncleared entry uses the live words as they are;
 * bits that are cleared while it runs belong to deletions newer than any it must see, because
 * clearing waits for the oldest reader. */
#include "base/plant.h"
#include "engine/segment_impl.h"

qv_status qv__dead_init(struct qv__dead *d, struct qv__mem *mem, uint32_t n_bits)
{
    memset(d, 0, sizeof *d);
    d->mem = mem;
    d->n_bits = n_bits;
    qv__map_init(&d->by_row, mem);
    d->live = qv__alloc(mem, QV_MAX(qv__bitset_words(n_bits), (size_t)1) * sizeof *d->live);
    if (!d->live) {
        return QV_ENOMEM;
    }
    memset(d->live, 0xFF, QV_MAX(qv__bitset_words(n_bits), (size_t)1) * sizeof *d->live);
    return QV_OK;
}

void qv__dead_free(struct qv__dead *d)
{
    if (d->mem) {
        qv__map_free(&d->by_row);
        qv__free(d->entries);
        qv__free(d->live);
        d->mem = NULL;
    }
}

void qv__dead_clear_now(struct qv__dead *d, uint32_t row)
{
    if (qv__bit_test_atomic(d->live, row)) {
        qv__bit_clear_atomic(d->live, row);
        atomic_fetch_add(&d->n_dead, 1);
    }
}

static bool row_eq(uint64_t value, const void *key, void *ctx)
{
    const struct qv__dead *d = ctx;
    return d->entries[value - d->base].row == *(const uint32_t *)key;
}

bool qv__dead_lookup(const struct qv__dead *d, uint32_t row, uint64_t *lsn)
{
    uint64_t *at = qv__map_find(&d->by_row, qv__hash_u64(row), row_eq, &row, (void *)(uintptr_t)d);
    if (!at) {
        return false;
    }
    *lsn = d->entries[*at - d->base].lsn;
    return true;
}

bool qv__dead_alive(const struct qv__dead *d, uint32_t row, uint64_t lsn)
{
    uint64_t deleted = 0;
    if (!qv__bit_test_atomic(d->live, row)) {
        return false;
    }
    return !qv__dead_lookup(d, row, &deleted) || lsn < deleted;
}

void qv__dead_mark(uint64_t *words, const struct qv__dead *d, uint32_t n_rows, uint64_t lsn)
{
    for (size_t i = d->first; i < d->n && d->entries[i].lsn <= lsn; i++) {
        if (d->entries[i].row < n_rows) {
            qv__bit_clear(words, d->entries[i].row);
        }
    }
}

/* --- through the segment --- */

static qv_status reserve_locked(struct qv__dead *d, size_t n)
{
    if (d->first > 4096 && d->first > d->n / 2) {
        /* Give the front back. */
        memmove(d->entries, d->entries + d->first, (d->n - d->first) * sizeof *d->entries);
        d->base += d->first;
        d->n -= d->first;
        d->cleared -= d->first;
        d->first = 0;
    }
    size_t need;
    if (!qv__add_ok(d->n, n, &need)) {
        return QV_ENOMEM;
    }
    if (need > d->cap) {
        size_t cap = QV_MAX(d->cap * 2, QV_MAX(need, (size_t)16));
        struct qv__deletion *p = qv__realloc(d->mem, d->entries, cap * sizeof *p);
        if (!p) {
            return QV_ENOMEM;
        }
        d->entries = p;
        d->cap = cap;
    }
    return qv__map_reserve(&d->by_row, n);
}

qv_status qv__segment_reserve_deletes(struct qv__segment *s, size_t n, struct qv_err *err)
{
    qv__mutex_lock(&s->lock);
    qv_status st = reserve_locked(&s->dead, n);
    qv__mutex_unlock(&s->lock);
    return st == QV_OK ? QV_OK : qv__fail(err, st, "no memory for %zu deletions", n);
}

void qv__segment_delete(struct qv__segment *s, uint32_t row, uint64_t lsn)
{
    struct qv__dead *d = &s->dead;
    qv__mutex_lock(&s->lock);
    QV_ASSERT(d->n < d->cap && (d->n == d->first || d->entries[d->n - 1].lsn <= lsn));
    qv_status st = qv__map_add(&d->by_row, qv__hash_u64(row), d->base + d->n);
    QV_ASSERT(st == QV_OK); /* reserved */
    d->entries[d->n++] = (struct qv__deletion){.lsn = lsn, .row = row};
    atomic_fetch_add(&d->n_uncleared, 1);
    atomic_fetch_add(&d->n_dead, 1);
    qv__mutex_unlock(&s->lock);
}

void qv__segment_drain(struct qv__segment *s, uint64_t horizon, uint64_t flushed)
{
    struct qv__dead *d = &s->dead;
    uint64_t forget = QV_MIN(horizon, flushed);
    if (atomic_load_explicit(&d->n_dead, memory_order_relaxed) == 0) {
        return;
    }
    qv__mutex_lock(&s->lock);
    for (; d->cleared < d->n && d->entries[d->cleared].lsn <= horizon; d->cleared++) {
        qv__bit_clear_atomic(d->live, d->entries[d->cleared].row);
        atomic_fetch_sub(&d->n_uncleared, 1);
    }
    for (; d->first < d->cleared && d->entries[d->first].lsn <= forget; d->first++) {
        uint32_t row = d->entries[d->first].row;
        qv__map_remove(&d->by_row, qv__hash_u64(row), row_eq, &row, d, NULL);
    }
    qv__expiry_drain(s);
    qv__mutex_unlock(&s->lock);
}

uint32_t qv__segment_dead(const struct qv__segment *s)
{
    return atomic_load(&((struct qv__segment *)(uintptr_t)s)->dead.n_dead);
}

uint32_t qv__segment_dead_at(const struct qv__segment *cs, uint64_t lsn)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    struct qv__dead *d = &s->dead;
    qv__mutex_lock(&s->lock);
    uint32_t n = atomic_load(&d->n_dead);
    for (size_t i = d->n; i-- > d->first && d->entries[i].lsn > lsn;) {
        n--;
    }
    qv__mutex_unlock(&s->lock);
    return n;
}

/* --- carrying over --- */

static int by_lsn(const void *a, const void *b)
{
    const struct qv__deletion *x = a, *y = b;
    return x->lsn != y->lsn ? (x->lsn < y->lsn ? -1 : 1) : (x->row > y->row) - (x->row < y->row);
}

/* Deletions of one source in terms of the new rows: those with an LSN into `list`, the others
 * cleared at once. The new file's tombstones tell what was deleted up to the flushed LSN, but a
 * reader of an older LSN may be about to take the new view: what such a reader may still see is
 * revived here and deleted again with its LSN. */
static size_t collect(struct qv__segment *from, const uint32_t *remap, struct qv__segment *to,
                      struct qv__deletion *list)
{
    struct qv__dead *d = &from->dead;
    uint32_t n_rows = atomic_load(&from->n_rows);
    size_t n = 0;
    qv__mutex_lock(&from->lock);
    for (size_t i = d->first; i < d->n; i++) {
        uint32_t row = remap ? remap[d->entries[i].row] : d->entries[i].row;
        if (row == QV__NO_ROW) {
            continue;
        }
        uint64_t known;
        if (qv__dead_lookup(&to->dead, row, &known)) {
            continue; /* carried over before */
        }
        bool alive = qv__bit_test_atomic(to->dead.live, row);
        if (!alive && i >= d->cleared) {
            qv__bit_set_atomic(to->dead.live, row);
            atomic_fetch_sub(&to->dead.n_dead, 1);
            alive = true;
        }
        if (alive) {
            list[n++] = (struct qv__deletion){.lsn = d->entries[i].lsn, .row = row};
        }
    }
    for (uint32_t old = 0; old < n_rows; old++) {
        uint32_t row = remap ? remap[old] : old;
        uint64_t lsn;
        if (row != QV__NO_ROW && !qv__bit_test_atomic(d->live, old) &&
            !qv__dead_lookup(d, old, &lsn) && !qv__dead_lookup(&to->dead, row, &lsn)) {
            qv__dead_clear_now(&to->dead, row);
        }
    }
    qv__mutex_unlock(&from->lock);
    return n;
}

qv_status qv__segment_carry(struct qv__segment *const *sources, uint32_t *const *remaps, size_t n,
                            struct qv__segment *to, struct qv_err *err)
{
    size_t most = 0, count = 0;
    if (QV_PLANT(forget_carry)) {
        return QV_OK;
    }
    for (size_t i = 0; i < n; i++) {
        qv__mutex_lock(&sources[i]->lock);
        most += sources[i]->dead.n - sources[i]->dead.first;
        qv__mutex_unlock(&sources[i]->lock);
    }
    struct qv__deletion *list = qv__calloc(to->mem, most + 1, sizeof *list);
    if (!list) {
        return qv__fail(err, QV_ENOMEM, "no memory to carry %zu deletions over", most);
    }
    for (size_t i = 0; i < n; i++) {
        count += collect(sources[i], remaps ? remaps[i] : NULL, to, list + count);
    }
    qsort(list, count, sizeof *list, by_lsn);
    qv_status st = qv__segment_reserve_deletes(to, count, err);
    for (size_t i = 0; st == QV_OK && i < count; i++) {
        qv__segment_delete(to, list[i].row, list[i].lsn);
    }
    qv__free(list);
    return st;
}

/* --- tombstone files --- */

qv_status qv__segment_write_tombstones(struct qv__segment *s, uint64_t flushed, uint64_t gen,
                                       struct qv__tombstone_file *out, struct qv_err *err)
{
    struct qv__dead *d = &s->dead;
    uint32_t n_rows = atomic_load(&s->n_rows);
    struct qv__bitset dead = {0};
    memset(out, 0, sizeof *out);
    if (atomic_load(&d->n_dead) == 0 || QV_PLANT(drop_tombstones)) {
        return QV_OK;
    }
    if (qv__bitset_init(&dead, s->mem, n_rows) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for the tombstones of %" PRIu32 " rows", n_rows);
    }
    qv__mutex_lock(&s->lock);
    for (size_t w = 0; w < qv__bitset_words(n_rows); w++) {
        dead.words[w] = ~__atomic_load_n(&d->live[w], __ATOMIC_RELAXED);
    }
    if (n_rows & 63) {
        dead.words[n_rows >> 6] &= (UINT64_C(1) << (n_rows & 63)) - 1;
    }
    for (size_t i = d->first; i < d->n; i++) {
        if (d->entries[i].lsn <= flushed) {
            qv__bit_set(dead.words, d->entries[i].row);
        } else {
            qv__bit_clear(dead.words, d->entries[i].row);
        }
    }
    uint32_t written = s->tombs.n_dead;
    qv__mutex_unlock(&s->lock);
    qv_status st = QV_OK;
    uint32_t n_dead = (uint32_t)qv__bitset_count(&dead);
    if (n_dead != written) {
        st = qv__tombstones_write(s->env.blobs, s->mem, s->id, gen, dead.words, n_rows, err);
        if (st == QV_OK) {
            *out = (struct qv__tombstone_file){.gen = gen, .n_dead = n_dead};
        }
    }
    qv__bitset_free(&dead);
    return st;
}

uint64_t qv__segment_install_tombstones(struct qv__segment *s, const struct qv__tombstone_file *f)
{
    qv__mutex_lock(&s->lock);
    uint64_t old = s->tombs.gen;
    s->tombs = *f;
    qv__mutex_unlock(&s->lock);
    return old;
}

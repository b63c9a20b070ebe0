/* segment_cache.c: which rows matched a filter, kept per segment.
 *
 * Deletions. A set is kept with the number of deletions it knows. Bits of deletions are cleared for
 * good only when no reader is older (segment_dead.c), so while none waits to be cleared, that
 * number names one state of the live bits, and a reader that is served by the segment's own live
 * bits may use a set of the same number as it is. Otherwise the reader's visible rows are laid over
 * the set: whatever it lost, every reader of now has lost, too. */
#include "engine/segment_cache.h"

#include "engine/segment_impl.h"
#include "payload/filter_key.h"

static void retain(struct qv__kept_rows *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
}

void qv__kept_release(struct qv__kept_rows *k)
{
    if (k && atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) == 1) {
        qv__bitset_free(&k->rows);
        qv__packs_release(k->packs);
        qv__free(k);
    }
}

static uint64_t bytes_of(const struct qv__kept_rows *k)
{
    return sizeof *k + k->key_n + qv__bitset_words(k->n_rows) * 8;
}

void qv__filter_cache_free(struct qv__filter_cache *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        qv__kept_release(c->sets[i]);
    }
    qv__free(c->sets);
    *c = (struct qv__filter_cache){0};
}

/* Under the segment's lock, as all to the next rule. */
static uint32_t find(const struct qv__filter_cache *c, uint64_t hash, const struct qv__buf *key)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->sets[i]->hash == hash && c->sets[i]->key_n == key->n &&
            memcmp(c->sets[i]->key, key->p, key->n) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

struct qv__kept_rows *qv__filter_cache_take(struct qv__filter_cache *c, uint32_t i)
{
    struct qv__kept_rows *k = c->sets[i];
    c->bytes -= bytes_of(k);
    c->sets[i] = c->sets[--c->n];
    return k;
}

static uint32_t oldest(const struct qv__filter_cache *c)
{
    uint32_t at = 0;
    for (uint32_t i = 1; i < c->n; i++) {
        at = c->sets[i]->used < c->sets[at]->used ? i : at;
    }
    return at;
}

/* The number of deletions, if the segment's live bits show them all and `v` is of those bits. */
static bool state_of(const struct qv__segment *s, const struct qv__visible *v, uint64_t *n_dead)
{
    *n_dead = atomic_load(&((struct qv__segment *)(uintptr_t)s)->dead.n_dead);
    return !v->own.words &&
           atomic_load(&((struct qv__segment *)(uintptr_t)s)->dead.n_uncleared) == 0 &&
           (v->words || *n_dead == 0);
}
/* --- */

static void keep(struct qv__segment *s, struct qv__kept_rows *k)
{
    struct qv__filter_cache *c = &s->cache;
    struct qv__kept_rows *out[2] = {NULL, NULL};
    uint64_t most = (uint64_t)s->capacity * QV__CACHE_BYTES_PER_ROW;
    struct qv__buf key = {.p = k->key, .n = k->key_n};
    qv__mutex_lock(&s->lock);
    uint32_t i = find(c, k->hash, &key);
    if (i != UINT32_MAX) {
        out[0] = qv__filter_cache_take(c, i);
    }
    /* Sets of one segment are of about one size, so that one goes for one that comes. */
    if (c->n && c->bytes + bytes_of(k) > most) {
        out[1] = qv__filter_cache_take(c, oldest(c));
    }
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? 2 * c->cap : 8;
        struct qv__kept_rows **sets = qv__alloc(s->mem, cap * sizeof(struct qv__kept_rows *));
        if (sets) {
            if (c->n) {
                memcpy(sets, c->sets, c->n * sizeof(struct qv__kept_rows *));
            }
            qv__free(c->sets);
            c->sets = sets;
            c->cap = cap;
        }
    }
    if (c->n < c->cap && c->bytes + bytes_of(k) <= most) {
        retain(k);
        k->before = out[0] ? out[0]->used : 0;
        k->used = ++c->look_ups;
        c->sets[c->n++] = k;
        c->bytes += bytes_of(k);
    }
    qv__mutex_unlock(&s->lock);
    qv__kept_release(out[0]);
    qv__kept_release(out[1]);
}

/* A new set with the rows of `rows`, which it takes over; NULL: no memory, and it does not. `of`:
 * the set that these are left of, or NULL. */
static struct qv__kept_rows *make(struct qv__segment *s, uint64_t hash, const struct qv__buf *key,
                                  struct qv__bitset *rows, uint64_t count, uint64_t n_dead,
                                  const struct qv__kept_rows *of)
{
    struct qv__kept_rows *k = qv__alloc(s->mem, sizeof *k + key->n);
    if (!k) {
        return NULL;
    }
    *k = (struct qv__kept_rows){.count = count,
                                .hash = hash,
                                .n_dead = n_dead,
                                .n_rows = (uint32_t)rows->n_bits,
                                .key_n = (uint32_t)key->n};
    atomic_init(&k->refs, 1);
    k->packs = of ? qv__packs_retain(of->packs) : qv__packs_new(s->mem, s->n_columns);
    memcpy(k->key, key->p, key->n);
    k->rows = *rows;
    *rows = (struct qv__bitset){0};
    return k;
}

/* The kept set of a filter over as many rows, retained; NULL: none. */
static struct qv__kept_rows *look_up(struct qv__segment *s, const struct qv__visible *v,
                                     uint64_t hash, const struct qv__buf *key, bool *is_state,
                                     uint64_t *n_dead)
{
    struct qv__kept_rows *k = NULL, *out = NULL, *next;
    qv__mutex_lock(&s->lock);
    *is_state = state_of(s, v, n_dead);
    uint32_t i = find(&s->cache, hash, key);
    if (i != UINT32_MAX && s->cache.sets[i]->n_rows == v->n_rows) {
        k = s->cache.sets[i];
        k->before = k->used;
        k->used = ++s->cache.look_ups;
        retain(k);
        out = qv__packs_make_room(s, k);
    }
    qv__mutex_unlock(&s->lock);
    for (; out; out = next) {
        next = out->next;
        qv__kept_release(out);
    }
    return k;
}

/* Only what this reader sees stays in a set. */
static void lay_over(const struct qv__visible *v, struct qv__bitset *rows)
{
    for (size_t w = 0; v->words && w < qv__bitset_words(v->n_rows); w++) {
        rows->words[w] &= __atomic_load_n(&v->words[w], __ATOMIC_RELAXED);
    }
}

/* What is left of a kept set for this reader. */
static qv_status overlay(const struct qv__kept_rows *k, const struct qv__visible *v,
                         struct qv__mem *mem, struct qv__bitset *out, uint64_t *count,
                         struct qv_err *err)
{
    if (qv__bitset_init(out, mem, v->n_rows) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for a row set of %" PRIu32, v->n_rows);
    }
    memcpy(out->words, k->rows.words, qv__bitset_words(v->n_rows) * sizeof *out->words);
    lay_over(v, out);
    *count = qv__bitset_count(out);
    return QV_OK;
}

/* A copy, because the query's memory is not the segment's. Without memory nothing is kept. */
static void keep_copy(struct qv__segment *s, uint64_t hash, const struct qv__buf *key,
                      const struct qv__bitset *rows, uint64_t count, uint64_t n_dead,
                      const struct qv__kept_rows *of)
{
    struct qv__bitset copy = {0};
    struct qv__kept_rows *k = NULL;
    if (qv__bitset_init(&copy, s->mem, rows->n_bits) == QV_OK) {
        memcpy(copy.words, rows->words, qv__bitset_words(rows->n_bits) * sizeof *copy.words);
        k = make(s, hash, key, &copy, count, n_dead, of);
    }
    if (k) {
        keep(s, k);
        qv__kept_release(k);
    }
    qv__bitset_free(&copy);
}

qv_status qv__segment_match_kept(const struct qv__segment *cs, const struct qv__schema *schema,
                                 const struct qv__visible *v, const struct qv__filter *f,
                                 struct qv__qctx *ctx, struct qv__bitset *out,
                                 struct qv__kept_rows **kept, const uint64_t **words,
                                 uint64_t *count, struct qv_err *err)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    struct qv__buf key;
    uint64_t hash = 0, n_dead = 0;
    bool is_state = false;
    qv__buf_init(&key, ctx->mem);
    *kept = NULL;
    *out = (struct qv__bitset){0};
    bool keeps = v->n_rows >= QV__CACHE_ROWS_LEAST && qv__filter_key(f, &key);
    struct qv__kept_rows *k = NULL;
    qv_status st = QV_OK;
    if (keeps) {
        hash = qv__hash_bytes(key.p, key.n);
        k = look_up(s, v, hash, &key, &is_state, &n_dead);
    }
    if (k && is_state && k->n_dead == n_dead) {
        *kept = k;
        *count = k->count;
        ctx->stats.rows_matched += k->count;
        qv__qctx_tell(ctx, "filter", "kept from before", (double)k->count, (double)k->count);
        goto out;
    }
    if (k) {
        QV_GOTO(overlay(k, v, ctx->mem, out, count, err));
        ctx->stats.rows_matched += *count;
        qv__qctx_tell(ctx, "filter", "kept from before, less deletions", (double)k->count,
                      (double)*count);
    } else if (keeps && !is_state) { /* of all rows; this reader's are laid over it */
        const struct qv__visible all = {.lsn = v->lsn, .n_rows = v->n_rows, .count = v->n_rows};
        QV_GOTO(qv__segment_match(s, schema, &all, f, ctx, out, count, err));
        keep_copy(s, hash, &key, out, *count, 0, NULL);
        ctx->stats.rows_matched -= *count;
        lay_over(v, out);
        *count = qv__bitset_count(out);
        ctx->stats.rows_matched += *count;
    } else {
        QV_GOTO(qv__segment_match(s, schema, v, f, ctx, out, count, err));
    }
    if (keeps && is_state) {
        keep_copy(s, hash, &key, out, *count, n_dead, k);
    }
    *kept = k;
out:
    *words = out->words ? out->words : *kept ? (*kept)->rows.words : NULL;
    qv__buf_free(&key);
    if (st != QV_OK) {
        qv__kept_release(k);
        *kept = NULL;
        qv__bitset_free(out);
    }
    return st;
}

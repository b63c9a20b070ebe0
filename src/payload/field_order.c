/* field_order.c: the values of rows in order, by an index and of a row. */
#include <stdlib.h>

#include "payload/field_impl.h"
#include "payload/wire.h"

void qv__field_order(const struct qv__field_block *b, const struct qv__order *o,
                     const uint64_t *words, uint64_t *rest, qv__order_cb cb, void *ctx)
{
    uint64_t known[QV__BLOCK_WORDS];
    memset(rest, 0, sizeof known);
    qv__rowset_or(b->part[QV__SET_LOOSE], rest);
    for (uint32_t w = 0; w < QV__BLOCK_WORDS; w++) {
        rest[w] &= words[w];
        known[w] = words[w] & ~rest[w];
    }
    qv__numbers_order(b, o, known, cb, ctx);
}

/* Values of a row are few, mostly one. They are found by passes over the row, each of which takes
 * the first so many beyond the last one told. That takes no memory, and time by the square of their
 * number: after some passes the others are gathered and sorted, if there is memory for them. */
#define PASS_VALUES 256u
#define PASSES_MAX  4u
#define ROW_UNITS   64u /* steps of a row besides its bytes */

struct pass {
    const struct qv__order *o;
    int64_t keys[PASS_VALUES]; /* rising; of a descending order their complements */
    uint32_t n, max;
    bool after_last;
    int64_t last; /* told; complemented likewise */
    bool gathers; /* all there are, into `all` as far as it reaches */
    int64_t *all;
    size_t n_all, cap;
};

static void element(struct pass *p, const struct qv__value *v)
{
    struct qv__field_entry e = {0};
    if (v->tag == QV__TAG_NULL || !qv__field_entry_of(p->o->type, v, &e) ||
        !qv__numbers_started(p->o, e.key)) {
        return;
    }
    int64_t key = p->o->descending ? ~e.key : e.key;
    if (p->gathers) {
        bool more = key > p->last;
        if (more && p->n_all < p->cap) {
            p->all[p->n_all] = key;
        }
        p->n_all += more;
        return;
    }
    uint32_t lo = 0, hi = p->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->keys[mid] < key) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if ((p->after_last && key <= p->last) || lo == p->max || (lo < p->n && p->keys[lo] == key)) {
        return;
    }
    p->n += p->n < p->max;
    memmove(&p->keys[lo + 1], &p->keys[lo], (p->n - 1 - lo) * sizeof *p->keys);
    p->keys[lo] = key;
}

static bool value(void *ctx, const struct qv__value *v)
{
    struct qv__value_iter it;
    struct qv__value e;
    if (v->tag != QV__TAG_ARR) {
        element(ctx, v);
        return true;
    }
    qv__value_iter_init(&it, v);
    while (qv__value_iter_next(&it, NULL, &e)) {
        element(ctx, &e);
    }
    return true;
}

static int key_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Tell all values beyond the last one. False: there was no memory, and nothing was told. */
static bool tell_others(struct pass *p, struct qv__bytes row, const struct qv__path *path,
                        qv__order_cb cb, void *ctx, struct qv__mem *mem)
{
    p->gathers = true;
    p->cap = 0;
    for (int fill = 0; fill < 2; fill++) {
        p->n_all = 0;
        (void)qv__path_each(row, path, value, p);
        if (!fill) {
            p->cap = p->n_all;
            p->all = qv__calloc(mem, p->cap + 1, sizeof *p->all);
        }
        if (!p->all) {
            p->gathers = false;
            return false;
        }
    }
    qsort(p->all, p->cap, sizeof *p->all, key_order);
    for (size_t i = 0; i < p->cap; i++) {
        if ((i == 0 || p->all[i] != p->all[i - 1]) &&
            !cb(ctx, p->o->descending ? ~p->all[i] : p->all[i], 0)) {
            break;
        }
    }
    qv__free(p->all);
    return true;
}

void qv__row_order(struct qv__bytes row, const struct qv__path *path, const struct qv__order *o,
                   qv__order_cb cb, void *ctx, struct qv__steps *steps)
{
    struct pass p;
    p.o = o;
    p.max = o->each_value ? PASS_VALUES : 1;
    p.after_last = p.gathers = false;
    p.last = 0;
    p.all = NULL;
    uint32_t passes = 0;
    do {
        if (!qv__steps_on(steps, ROW_UNITS + row.n)) {
            return;
        }
        if (steps && passes++ == PASSES_MAX && tell_others(&p, row, path, cb, ctx, steps->q->mem)) {
            return;
        }
        p.n = 0;
        (void)qv__path_each(row, path, value, &p);
        for (uint32_t i = 0; i < p.n; i++) {
            if (!cb(ctx, o->descending ? ~p.keys[i] : p.keys[i], 0)) {
                return;
            }
        }
        p.after_last = true;
        p.last = p.n ? p.keys[p.n - 1] : 0;
    } while (p.n == p.max && o->each_value);
}

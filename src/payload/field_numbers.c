/* field_numbers.c: numbers and dates of a field index: sorted values beside their rows.
 *
 * A range is a slice of the sorted values, and its rows are set one by one; where a slice is long,
 * marks shorten it: mark k is the dense set of the rows of the first k sixteenths, so the rows
 * between two marks are two of them, one without the other, and only the ends of the slice are
 * walked. That takes each row once, so rows with several values are in a list of their own.
 *
 * Whole numbers are stored as their distance from the smallest, in 1, 2, 4 or 8 bytes. */
#include "payload/field_list.h"
#include "payload/filter_parse.h"
#include "payload/filter_value.h"

#include <stdlib.h>

#define MARKS      15u
#define MARKS_FROM 4096u /* values; fewer are walked as quickly */
#define SIGN       (UINT64_C(1) << 63)

int64_t qv__field_key_of(double v)
{
    uint64_t bits = 0;
    v = v == 0.0 ? 0.0 : v;
    memcpy(&bits, &v, sizeof bits);
    return (int64_t)(bits & SIGN ? ~bits ^ SIGN : bits);
}

double qv__field_key_double(int64_t key)
{
    uint64_t bits = key < 0 ? ~((uint64_t)key ^ SIGN) : (uint64_t)key;
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* --- writing --- */

static int entry_cmp(const void *a, const void *b)
{
    const struct qv__field_entry *x = a, *y = b;
    if (x->several != y->several) {
        return (int)x->several - (int)y->several;
    }
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return (int)x->row - (int)y->row;
}

static uint32_t width_of(uint64_t span)
{
    return span <= UINT8_MAX ? 1 : span <= UINT16_MAX ? 2 : span <= UINT32_MAX ? 4 : 8;
}

static void put_values(struct qv__buf *out, const struct qv__field_entry *e, size_t n,
                       const struct qv__field_head *h)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t v = (uint64_t)e[i].key - (uint64_t)h->base;
        qv__buf_put(out, &v, h->width); /* little endian: the low bytes */
    }
}

static void put_rows(struct qv__buf *out, const struct qv__field_entry *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        qv__buf_u16(out, e[i].row);
    }
}

static void put_marks(struct qv__buf *out, const struct qv__field_entry *e,
                      const struct qv__field_head *h)
{
    uint64_t words[QV__BLOCK_WORDS] = {0};
    uint32_t at = 0;
    for (uint32_t k = 1; k <= h->n_marks; k++) {
        for (; at < qv__mark_at(h->n_single, h->n_marks, k); at++) {
            qv__bit_set(words, e[at].row);
        }
        qv__buf_put(out, words, qv__bitset_words(h->n_rows) * sizeof *words);
    }
}

void qv__numbers_write(struct qv__field_entry *e, size_t n, size_t origin, struct qv__field_head *h,
                       struct qv__buf *out)
{
    int64_t low = 0, high = 0;
    if (n) {
        qsort(e, n, sizeof *e, entry_cmp);
    }
    for (size_t i = 0; i < n; i++) {
        low = i ? QV_MIN(low, e[i].key) : e[i].key;
        high = i ? QV_MAX(high, e[i].key) : e[i].key;
        h->n_single += !e[i].several;
    }
    h->n_multi = (uint32_t)(n - h->n_single);
    h->base = low;
    h->width = width_of((uint64_t)high - (uint64_t)low);
    h->n_marks = h->n_single >= MARKS_FROM ? MARKS : 0;
    put_values(out, e, h->n_single, h);
    qv__field_part_end(h, QV__SINGLE_VALUES, origin, out);
    put_rows(out, e, h->n_single);
    qv__field_part_end(h, QV__SINGLE_ROWS, origin, out);
    put_marks(out, e, h);
    qv__field_part_end(h, QV__MARKS, origin, out);
    if (n) {
        put_values(out, e + h->n_single, h->n_multi, h);
    }
    qv__field_part_end(h, QV__MULTI_VALUES, origin, out);
    if (n) {
        put_rows(out, e + h->n_single, h->n_multi);
    }
    qv__field_part_end(h, QV__MULTI_ROWS, origin, out);
}

/* --- reading --- */

static bool list_sorted(const struct qv__list *l, bool one_per_row)
{
    uint64_t seen[QV__BLOCK_WORDS] = {0};
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t row = qv__list_row(l, i);
        if (row >= l->b->n_rows || (one_per_row && qv__bit_test(seen, row)) ||
            (i && qv__list_key(l, i - 1) > qv__list_key(l, i))) {
            return false;
        }
        qv__bit_set(seen, row);
    }
    return true;
}

static bool marks_valid(const struct qv__field_block *b)
{
    uint64_t words[QV__BLOCK_WORDS] = {0};
    struct qv__list l = qv__list_single(b);
    size_t bytes = qv__bitset_words(b->n_rows) * sizeof *words;
    uint32_t at = 0;
    for (uint32_t k = 1; k <= b->n_marks; k++) {
        for (; at < qv__mark_at(b->n_single, b->n_marks, k); at++) {
            qv__bit_set(words, qv__list_row(&l, at));
        }
        if (memcmp(words, b->part[QV__MARKS].p + bytes * (k - 1), bytes) != 0) {
            return false;
        }
    }
    return true;
}

bool qv__numbers_open(const struct qv__field_block *b, bool verify)
{
    struct qv__list one = qv__list_single(b), more = qv__list_multi(b);
    if ((b->width != 1 && b->width != 2 && b->width != 4 && b->width != 8) || b->n_marks > MARKS ||
        b->part[QV__SINGLE_VALUES].n != (size_t)b->n_single * b->width ||
        b->part[QV__SINGLE_ROWS].n != (size_t)b->n_single * 2 ||
        b->part[QV__MARKS].n != b->n_marks * qv__bitset_words(b->n_rows) * 8 ||
        b->part[QV__MULTI_VALUES].n != (size_t)b->n_multi * b->width ||
        b->part[QV__MULTI_ROWS].n != (size_t)b->n_multi * 2) {
        return false;
    }
    return !verify || (list_sorted(&one, true) && list_sorted(&more, false) && marks_valid(b));
}

/* --- matching --- */

/* Which ends of a sorted list a condition cuts off. */
struct interval {
    bool (*above)(const struct qv__cond *c, int64_t key);
    bool (*below)(const struct qv__cond *c, int64_t key);
};

/* First entry from which on it is above / no longer below. */
static uint32_t cut(const struct qv__list *l, const struct qv__cond *c,
                    bool (*test)(const struct qv__cond *, int64_t), bool want)
{
    uint32_t lo = 0, hi = l->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (test(c, qv__list_key(l, mid)) == want) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return lo;
}

static void match_interval(const struct qv__field_block *b, const struct qv__cond *c,
                           const struct interval *in, uint64_t *words)
{
    struct qv__list one = qv__list_single(b), more = qv__list_multi(b);
    uint32_t from = cut(&one, c, in->above, true), to = cut(&one, c, in->below, false);
    if (from < to) {
        qv__list_set_slice(b, from, to, words);
    }
    qv__list_set_rows(&more, cut(&more, c, in->above, true), cut(&more, c, in->below, false),
                      words);
}

static bool int_above(const struct qv__cond *c, int64_t key)
{
    return qv__range_above(c, (double)key);
}
static bool int_below(const struct qv__cond *c, int64_t key)
{
    return qv__range_below(c, (double)key);
}
static bool float_above(const struct qv__cond *c, int64_t key)
{
    return qv__range_above(c, qv__field_key_double(key));
}
static bool float_below(const struct qv__cond *c, int64_t key)
{
    return qv__range_below(c, qv__field_key_double(key));
}

/* Entries with this very key. */
static void match_key(const struct qv__field_block *b, int64_t key, uint64_t *words)
{
    struct qv__cond c = {.irange = {.gte = key, .lte = key, .has_gte = true, .has_lte = true}};
    match_interval(b, &c, &(struct interval){qv__irange_above, qv__irange_below}, words);
}

/* The key of a value to match, if values of the index can equal it. */
static bool key_of(const struct qv__field_block *b, const struct qv__match_value *v, int64_t *key)
{
    if (v->kind != QV__MATCH_INT) {
        return false;
    }
    *key = b->type == QV__FIELD_FLOAT ? qv__field_key_of((double)v->i) : v->i;
    return true;
}

/* Of a value that is looked for. */
#define FIND_UNITS 64u

static void match_each(const struct qv__list *l, const struct qv__cond *c, uint64_t *words,
                       struct qv__steps *steps)
{
    for (uint32_t i = 0; i < l->n && qv__steps_on(steps, FIND_UNITS); i++) {
        struct qv__match_value v = {.kind = QV__MATCH_INT, .i = qv__list_key(l, i)};
        if (bsearch(&v, c->match.values, c->match.n, sizeof v, qv__match_value_cmp)) {
            qv__bit_set(words, qv__list_row(l, i));
        }
    }
}

static void match_set(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *words,
                      struct qv__steps *steps)
{
    struct qv__list one = qv__list_single(b), more = qv__list_multi(b);
    if (b->type == QV__FIELD_INTEGER && c->match.n > (size_t)b->n_single + b->n_multi) {
        match_each(&one, c, words, steps); /* fewer entries than values: ask each entry */
        match_each(&more, c, words, steps);
        return;
    }
    for (size_t i = 0; i < c->match.n && qv__steps_on(steps, FIND_UNITS); i++) {
        int64_t key = 0;
        if (key_of(b, &c->match.values[i], &key)) {
            match_key(b, key, words);
        }
    }
}

bool qv__numbers_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *words,
                       struct qv__steps *steps)
{
    switch (c->kind) {
    case QV__COND_MATCH_ANY:
    case QV__COND_MATCH_EXCEPT:
        if (b->type == QV__FIELD_DATETIME || b->type == QV__FIELD_GEO) {
            return false;
        }
        match_set(b, c, words, steps);
        return true;
    case QV__COND_RANGE:
        if (b->type == QV__FIELD_INTEGER) {
            match_interval(b, c, &(struct interval){int_above, int_below}, words);
        } else if (b->type == QV__FIELD_FLOAT) {
            match_interval(b, c, &(struct interval){float_above, float_below}, words);
        }
        return b->type == QV__FIELD_INTEGER || b->type == QV__FIELD_FLOAT;
    case QV__COND_DATETIME_RANGE:
        if (b->type == QV__FIELD_DATETIME) {
            match_interval(b, c, &(struct interval){qv__irange_above, qv__irange_below}, words);
        }
        return b->type == QV__FIELD_DATETIME;
    default:
        return false;
    }
}

/* Entries are in the order of (value, row). */
static void list_facets(const struct qv__list *l, const uint64_t *words, qv__facet_cb cb, void *ctx)
{
    for (uint32_t i = 0; i < l->n;) {
        struct qv__match_value v = {.kind = QV__MATCH_INT, .i = qv__list_key(l, i)};
        uint32_t n = 0, last = UINT32_MAX;
        for (; i < l->n && qv__list_key(l, i) == v.i; i++) {
            uint32_t row = qv__list_row(l, i);
            n += row != last && qv__bit_test(words, row);
            last = row;
        }
        if (n) {
            cb(ctx, &v, n);
        }
    }
}

void qv__numbers_facets(const struct qv__field_block *b, const uint64_t *words, qv__facet_cb cb,
                        void *ctx)
{
    struct qv__list one = qv__list_single(b), more = qv__list_multi(b);
    list_facets(&one, words, cb, ctx);
    list_facets(&more, words, cb, ctx);
}

/* --- in order --- */

/* The start as a condition on one end of the lists. */
static struct interval start_of(const struct qv__order *o, struct qv__cond *c)
{
    bool exact = o->start == QV__START_INT && o->type != QV__FIELD_FLOAT;
    double from = o->start == QV__START_INT ? (double)o->start_int : o->start_float;
    memset(c, 0, sizeof *c);
    if (o->start != QV__START_NONE && exact) {
        c->irange.has_gte = !o->descending;
        c->irange.has_lte = o->descending;
        c->irange.gte = c->irange.lte = o->start_int;
    } else if (o->start != QV__START_NONE) {
        c->range.has_gte = !o->descending;
        c->range.has_lte = o->descending;
        c->range.gte = c->range.lte = from;
    }
    return exact                        ? (struct interval){qv__irange_above, qv__irange_below}
           : o->type == QV__FIELD_FLOAT ? (struct interval){float_above, float_below}
                                        : (struct interval){int_above, int_below};
}

bool qv__numbers_started(const struct qv__order *o, int64_t key)
{
    struct qv__cond c;
    struct interval in = start_of(o, &c);
    return in.above(&c, key) && in.below(&c, key);
}

static void list_order(const struct qv__list *l, const struct qv__order *o, uint64_t *words,
                       qv__order_cb cb, void *ctx)
{
    struct qv__cond c;
    struct interval in = start_of(o, &c);
    uint32_t from = cut(l, &c, in.above, true), to = cut(l, &c, in.below, false);
    int64_t last = 0;
    uint32_t last_row = UINT32_MAX;
    for (; from < to;) {
        uint32_t i = o->descending ? --to : from++;
        uint32_t row = qv__list_row(l, i);
        int64_t key = qv__list_key(l, i);
        if (!qv__bit_test(words, row) || (row == last_row && key == last)) {
            continue;
        }
        if (!o->each_value) {
            qv__bit_clear(words, row); /* this was its first */
        }
        last = key;
        last_row = row;
        if (!cb(ctx, key, row)) {
            return;
        }
    }
}

void qv__numbers_order(const struct qv__field_block *b, const struct qv__order *o, uint64_t *words,
                       qv__order_cb cb, void *ctx)
{
    struct qv__list one = qv__list_single(b), more = qv__list_multi(b);
    list_order(&one, o, words, cb, ctx);
    list_order(&more, o, words, cb, ctx);
}

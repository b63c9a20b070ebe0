/* field_terms.c: strings and truth values of a field index: a sorted dictionary, and per term the
 * rows that hold it.
 *
 * A term is the string as it is, so whatever is asked of a string (equality, prefix, substring) is
 * asked of each distinct one once. */
#include "payload/field_impl.h"
#include "payload/filter_parse.h"
#include "payload/filter_value.h"

#include <stdlib.h>

/* --- writing --- */

/* Big endian, so that it orders as the bytes do. */
static int64_t prefix_key(const char *p, uint32_t n)
{
    uint64_t k = 0;
    for (uint32_t i = 0; i < 8; i++) {
        k = k << 8 | (i < n ? (uint8_t)p[i] : 0u);
    }
    return (int64_t)(k ^ (UINT64_C(1) << 63));
}

static int text_cmp(const struct qv__field_entry *x, const struct qv__field_entry *y)
{
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return qv__str_cmp((struct qv__str){x->p, x->n}, (struct qv__str){y->p, y->n});
}

static int entry_cmp(const void *a, const void *b)
{
    const struct qv__field_entry *x = a, *y = b;
    int order = text_cmp(x, y);
    return order ? order : (int)x->row - (int)y->row;
}

/* Distinct rows of entries [from, to), which are of one term. */
static uint32_t rows_of(const struct qv__field_entry *e, size_t from, size_t to, uint16_t *rows)
{
    uint32_t n = 0;
    for (size_t i = from; i < to; i++) {
        if (n == 0 || rows[n - 1] != e[i].row) {
            rows[n++] = e[i].row;
        }
    }
    return n;
}

static size_t term_end(const struct qv__field_entry *e, size_t n, size_t i)
{
    size_t k = i + 1;
    while (k < n && text_cmp(&e[i], &e[k]) == 0) {
        k++;
    }
    return k;
}

/* Row sets, and where each ends into the room at `ends`. */
static void write_postings(const struct qv__field_entry *e, size_t n, size_t ends,
                           struct qv__buf *out)
{
    size_t origin = out->n;
    uint16_t *rows = qv__calloc(out->mem, QV__BLOCK_ROWS, sizeof *rows);
    out->failed |= !rows;
    for (size_t i = 0, t = 0; i < n && !out->failed; t++) {
        size_t next = term_end(e, n, i);
        qv__rowset_put(out, rows, rows_of(e, i, next, rows));
        if (!out->failed) {
            qv__store_u32(out->p + ends + 4 * t, (uint32_t)(out->n - origin));
        }
        i = next;
    }
    qv__free(rows);
}

void qv__terms_write(struct qv__field_entry *e, size_t n, size_t origin, struct qv__field_head *h,
                     struct qv__buf *out)
{
    uint32_t text = 0;
    for (size_t i = 0; i < n; i++) {
        e[i].key = prefix_key(e[i].p, e[i].n);
    }
    if (n) {
        qsort(e, n, sizeof *e, entry_cmp);
    }
    for (size_t i = 0; i < n; i = term_end(e, n, i)) {
        text += e[i].n;
        qv__buf_u32(out, text);
        h->n_terms++;
    }
    qv__field_part_end(h, QV__TERM_ENDS, origin, out);
    for (size_t i = 0; i < n; i = term_end(e, n, i)) {
        qv__buf_put(out, e[i].p, e[i].n);
    }
    qv__field_part_end(h, QV__TERM_TEXT, origin, out);
    size_t ends = out->n;
    if (!qv__buf_reserve(out, (size_t)h->n_terms * 4)) {
        return;
    }
    out->n += (size_t)h->n_terms * 4;
    qv__field_part_end(h, QV__POSTING_ENDS, origin, out);
    write_postings(e, n, ends, out);
    for (uint32_t p = QV__POSTINGS; p < QV__FIELD_PARTS; p++) {
        qv__field_part_end(h, (enum qv__field_part)p, origin, out);
    }
}

/* --- reading: on any bytes, within the part --- */

static struct qv__bytes slice(struct qv__bytes ends, struct qv__bytes data, uint32_t i)
{
    size_t from = i ? qv__load_u32(ends.p + 4 * (size_t)(i - 1)) : 0;
    size_t to = qv__load_u32(ends.p + 4 * (size_t)i);
    if (from > to || to > data.n) {
        return (struct qv__bytes){data.p, 0};
    }
    return (struct qv__bytes){data.p + from, to - from};
}

static struct qv__str term(const struct qv__field_block *b, uint32_t i)
{
    struct qv__bytes t = slice(b->part[QV__TERM_ENDS], b->part[QV__TERM_TEXT], i);
    return (struct qv__str){(const char *)t.p, t.n};
}

static struct qv__bytes posting(const struct qv__field_block *b, uint32_t i)
{
    return slice(b->part[QV__POSTING_ENDS], b->part[QV__POSTINGS], i);
}

bool qv__terms_open(const struct qv__field_block *b, bool verify)
{
    size_t ends = (size_t)b->n_terms * 4;
    if (b->part[QV__TERM_ENDS].n != ends || b->part[QV__POSTING_ENDS].n != ends ||
        b->part[QV__MULTI_ROWS].n != 0) {
        return false;
    }
    size_t text = 0, rows = 0;
    for (uint32_t i = 0; verify && i < b->n_terms; i++) {
        struct qv__str t = term(b, i);
        struct qv__bytes p = posting(b, i);
        text += t.n;
        rows += p.n;
        if (p.n == 0 || !qv__rowset_valid(p, b->n_rows) ||
            (i && qv__str_cmp(term(b, i - 1), t) >= 0)) {
            return false;
        }
    }
    return !verify || (text == b->part[QV__TERM_TEXT].n && rows == b->part[QV__POSTINGS].n);
}

/* First term that is not below `s`. */
static uint32_t lower_bound(const struct qv__field_block *b, struct qv__str s)
{
    uint32_t lo = 0, hi = b->n_terms;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (qv__str_cmp(term(b, mid), s) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

bool qv__terms_find(const struct qv__field_block *b, struct qv__str s, struct qv__bytes *rows)
{
    uint32_t at = lower_bound(b, s);
    bool found = at < b->n_terms && qv__str_eq(term(b, at), s);
    if (found) {
        *rows = posting(b, at);
    }
    return found;
}

/* A value to match as a term; false if no term of this index can equal it. */
static bool term_of(const struct qv__field_block *b, const struct qv__match_value *v,
                    struct qv__str *out)
{
    if (b->type == QV__FIELD_BOOL) {
        *out =
            v->kind == QV__MATCH_BOOL && v->b ? (struct qv__str){"\1", 1} : (struct qv__str){"", 1};
        return v->kind == QV__MATCH_BOOL;
    }
    *out = v->kind == QV__MATCH_STR ? v->s : (struct qv__str){"", 0};
    return v->kind == QV__MATCH_STR;
}

/* Of a term that is looked up, or compared, before its text; its rows come to that. */
#define TERM_UNITS 64u

static void match_set(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *words,
                      struct qv__steps *steps)
{
    size_t n = c->match.n;
    if (n > b->n_terms && qv__field_is_strings(b->type)) {
        /* fewer terms than values: ask each term */
        for (uint32_t i = 0; i < b->n_terms; i++) {
            struct qv__match_value key = {.kind = QV__MATCH_STR, .s = term(b, i)};
            if (!qv__steps_on(steps, TERM_UNITS + posting(b, i).n)) {
                return;
            }
            if (bsearch(&key, c->match.values, n, sizeof key, qv__match_value_cmp)) {
                qv__rowset_or(posting(b, i), words);
            }
        }
        return;
    }
    for (size_t i = 0; i < n && qv__steps_on(steps, TERM_UNITS); i++) {
        struct qv__str s;
        struct qv__bytes rows;
        if (term_of(b, &c->match.values[i], &s) && qv__terms_find(b, s, &rows)) {
            qv__rowset_or(rows, words);
        }
    }
}

/* The rows of each term from `i` on for which the condition holds; of a prefix they are the first
 * ones. */
static void match_texts(const struct qv__field_block *b, const struct qv__cond *c, uint32_t i,
                        uint64_t *words, struct qv__steps *steps)
{
    for (; i < b->n_terms; i++) {
        struct qv__str text = term(b, i);
        struct qv__bytes rows = posting(b, i);
        if (!qv__steps_on(steps, TERM_UNITS + text.n + rows.n)) {
            return;
        }
        if (qv__match_text(c, text, steps)) {
            qv__rowset_or(rows, words);
        } else if (c->kind == QV__COND_MATCH_PREFIX) {
            return;
        }
    }
}

bool qv__terms_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *words,
                     struct qv__steps *steps)
{
    if (b->type == QV__FIELD_TEXT) { /* of words, not of values */
        return false;
    }
    if (c->kind == QV__COND_MATCH_ANY || c->kind == QV__COND_MATCH_EXCEPT) {
        match_set(b, c, words, steps);
        return true;
    }
    if (!qv__field_is_strings(b->type)) {
        return false;
    }
    switch (c->kind) {
    case QV__COND_MATCH_PREFIX:
        match_texts(b, c, lower_bound(b, c->text), words, steps);
        return true;
    case QV__COND_MATCH_TEXT:
    case QV__COND_MATCH_TEXT_ANY:
    case QV__COND_MATCH_PHRASE:
        match_texts(b, c, 0, words, steps);
        return true;
    default:
        return false;
    }
}

void qv__terms_facets(const struct qv__field_block *b, const uint64_t *words, qv__facet_cb cb,
                      void *ctx)
{
    for (uint32_t i = 0; i < b->n_terms; i++) {
        uint32_t n = qv__rowset_count_in(posting(b, i), words);
        struct qv__str t = term(b, i);
        struct qv__match_value v = {.kind = QV__MATCH_STR, .s = t};
        if (b->type == QV__FIELD_BOOL) {
            v = (struct qv__match_value){.kind = QV__MATCH_BOOL, .b = t.n == 1 && t.p[0] == 1};
        }
        if (n) {
            cb(ctx, &v, n);
        }
    }
}

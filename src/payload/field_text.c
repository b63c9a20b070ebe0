/* field_text.c: words of a field index: a sorted dictionary of them, and per word the rows that
 * have it in some string.
 *
 * Texts have many words and share most of them, so words are kept once, in a table, while a block
 * is built, and of each occurrence only its number and row. Where the words of a row stand is not
 * kept: phrases, and several words of a row with several strings, are looked at. */
#include "payload/field_text.h"

#include <stdlib.h>

/* Of one block: pairs of a word and a row, and bytes of distinct words. Rows beyond are loose. */
#define PAIRS_MAX (UINT32_C(1) << 24)
#define TEXT_MAX  ((size_t)64 << 20)

struct word {
    const char *p;
    uint32_t n, last_row, count;
    uint32_t rows; /* where its rows begin, once they are in order */
};

struct pair {
    uint32_t word;
    uint16_t row;
};

struct qv__words {
    struct qv__mem *mem;
    const struct qv__tokenizer *tokenizer;
    struct qv__arena arena; /* text of words */
    struct qv__map map;     /* hash -> number of a word */
    struct word *words;
    struct pair *pairs;
    size_t n, cap, n_pairs, pairs_cap, text;
};

struct qv__words *qv__words_create(const struct qv__tokenizer *t, struct qv__mem *mem)
{
    struct qv__words *w = qv__zalloc(mem, sizeof *w);
    if (w) {
        w->mem = mem;
        w->tokenizer = t;
        qv__arena_init(&w->arena, mem);
        qv__map_init(&w->map, mem);
    }
    return w;
}

void qv__words_free(struct qv__words *w)
{
    if (w) {
        qv__arena_free(&w->arena);
        qv__map_free(&w->map);
        qv__free(w->words);
        qv__free(w->pairs);
        qv__free(w);
    }
}

/* Room for one more element; false without memory. */
static bool room(struct qv__mem *mem, void **list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) {
        return true;
    }
    size_t more = *cap ? *cap * 2 : 1024;
    void *p = qv__realloc(mem, *list, more * size);
    if (p) {
        *list = p;
        *cap = more;
    }
    return p != NULL;
}

static bool same_word(uint64_t at, const void *key, void *ctx)
{
    const struct word *x = &((const struct word *)ctx)[at];
    const struct qv__str *s = key;
    return x->n == s->n && memcmp(x->p, s->p, s->n) == 0;
}

/* The number of a word; UINT32_MAX without memory. */
static uint32_t number_of(struct qv__words *w, struct qv__str s)
{
    uint64_t hash = qv__hash_bytes(s.p, s.n);
    uint64_t *at = qv__map_find(&w->map, hash, same_word, &s, w->words);
    if (at) {
        return (uint32_t)*at;
    }
    void *words = w->words;
    bool ok = room(w->mem, &words, w->n, &w->cap, sizeof *w->words);
    w->words = words;
    char *copy = ok ? qv__arena_strndup(&w->arena, s.p, s.n) : NULL;
    if (!copy || qv__map_add(&w->map, hash, w->n) != QV_OK) {
        return UINT32_MAX;
    }
    w->text += s.n;
    w->words[w->n] = (struct word){.p = copy, .n = (uint32_t)s.n, .last_row = UINT32_MAX};
    return (uint32_t)w->n++;
}

enum qv__words_added qv__words_add(struct qv__words *w, uint32_t row, struct qv__str text)
{
    struct qv__tokens x;
    struct qv__str s;
    qv__tokens_init(&x, w->tokenizer, QV__TEXT_DOCUMENT, text);
    while (qv__tokens_next(&x, &s)) {
        if (w->n_pairs >= PAIRS_MAX || w->text + s.n > TEXT_MAX) {
            return QV__WORDS_TOO_MANY;
        }
        uint32_t number = number_of(w, s);
        if (number == UINT32_MAX) {
            return QV__WORDS_NO_MEMORY;
        }
        struct word *word = &w->words[number];
        if (word->last_row == row) {
            continue;
        }
        void *pairs = w->pairs;
        bool ok = room(w->mem, &pairs, w->n_pairs, &w->pairs_cap, sizeof *w->pairs);
        w->pairs = pairs;
        if (!ok) {
            return QV__WORDS_NO_MEMORY;
        }
        word->last_row = row;
        word->count++;
        w->pairs[w->n_pairs++] = (struct pair){number, (uint16_t)row};
    }
    return QV__WORDS_ADDED;
}

/* --- writing --- */

static int word_order(const void *a, const void *b, void *ctx)
{
    const struct word *words = ctx;
    const struct word *x = &words[*(const uint32_t *)a], *y = &words[*(const uint32_t *)b];
    return qv__str_cmp((struct qv__str){x->p, x->n}, (struct qv__str){y->p, y->n});
}

/* Rows of all words, those of a word together and rising, as pairs came. */
static void gather(struct qv__words *w, const uint32_t *order, uint16_t *rows)
{
    uint32_t at = 0;
    for (size_t i = 0; i < w->n; i++) {
        w->words[order[i]].rows = at;
        at += w->words[order[i]].count;
    }
    for (size_t i = 0; i < w->n_pairs; i++) {
        rows[w->words[w->pairs[i].word].rows++] = w->pairs[i].row;
    }
}

static void put_rows(struct qv__words *w, const uint32_t *order, const uint16_t *rows, size_t ends,
                     struct qv__buf *out)
{
    size_t origin = out->n;
    for (size_t i = 0; i < w->n && !out->failed; i++) {
        const struct word *x = &w->words[order[i]];
        qv__rowset_put(out, rows + (x->rows - x->count), x->count);
        if (!out->failed) {
            qv__store_u32(out->p + ends + 4 * i, (uint32_t)(out->n - origin));
        }
    }
}

static void put_all(struct qv__words *w, uint32_t *order, uint16_t *rows, size_t origin,
                    struct qv__field_head *h, struct qv__buf *out)
{
    uint32_t text = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        order[i] = i;
    }
    if (w->n) {
        qsort_r(order, w->n, sizeof *order, word_order, w->words);
    }
    gather(w, order, rows);
    h->n_terms = (uint32_t)w->n;
    for (size_t i = 0; i < w->n; i++) {
        text += w->words[order[i]].n;
        qv__buf_u32(out, text);
    }
    qv__field_part_end(h, QV__TERM_ENDS, origin, out);
    for (size_t i = 0; i < w->n; i++) {
        qv__buf_put(out, w->words[order[i]].p, w->words[order[i]].n);
    }
    qv__field_part_end(h, QV__TERM_TEXT, origin, out);
    size_t ends = out->n;
    if (!qv__buf_reserve(out, w->n * 4)) {
        return;
    }
    out->n += w->n * 4;
    qv__field_part_end(h, QV__POSTING_ENDS, origin, out);
    put_rows(w, order, rows, ends, out);
    for (uint32_t p = QV__POSTINGS; p < QV__FIELD_PARTS; p++) {
        qv__field_part_end(h, (enum qv__field_part)p, origin, out);
    }
}

void qv__words_write(struct qv__words *w, size_t origin, struct qv__field_head *h,
                     struct qv__buf *out)
{
    uint32_t *order = qv__calloc(w->mem, w->n + 1, sizeof *order);
    uint16_t *rows = qv__calloc(w->mem, w->n_pairs + 1, sizeof *rows);
    h->base = (int64_t)qv__tokenizer_signature(w->tokenizer);
    if (order && rows) {
        put_all(w, order, rows, origin, h, out);
    } else {
        out->failed = true;
    }
    qv__free(order);
    qv__free(rows);
}

/* --- matching --- */

static void set_word(const struct qv__field_block *b, struct qv__str s, uint64_t *words)
{
    struct qv__bytes rows;
    if (qv__terms_find(b, s, &rows)) {
        qv__rowset_or(rows, words);
    }
}

/* Of a word, which is looked up and whose rows are put together with those of the others. */
#define WORD_UNITS (QV__BLOCK_WORDS * 8)

bool qv__words_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *lo,
                     uint64_t *up, struct qv__steps *steps)
{
    bool any = c->kind == QV__COND_MATCH_TEXT_ANY, phrase = c->kind == QV__COND_MATCH_PHRASE;
    struct qv__tokens x;
    struct qv__str s;
    uint32_t n = 0;
    if (!b->tokenizer || (!any && !phrase && c->kind != QV__COND_MATCH_TEXT)) {
        return false;
    }
    memset(up, 0, QV__BLOCK_WORDS * sizeof *up);
    qv__tokens_init(&x, b->tokenizer, phrase ? QV__TEXT_DOCUMENT : QV__TEXT_QUERY, c->text);
    for (; qv__steps_on(steps, WORD_UNITS) && qv__tokens_next(&x, &s); n++) {
        if (any || n == 0) {
            set_word(b, s, up);
            continue;
        }
        memset(lo, 0, QV__BLOCK_WORDS * sizeof *lo);
        set_word(b, s, lo);
        for (uint32_t i = 0; i < QV__BLOCK_WORDS; i++) {
            up[i] &= lo[i];
        }
    }
    memcpy(lo, up, QV__BLOCK_WORDS * sizeof *lo);
    if (!any && n > 1) { /* in which string, and where */
        if (phrase) {
            memset(lo, 0, QV__BLOCK_WORDS * sizeof *lo);
        } else {
            qv__rowset_andnot(b->part[QV__SET_MULTI], lo);
        }
    }
    return true;
}

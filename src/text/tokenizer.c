/* tokenizer.c: the iterator over words. */
#include "text/tokenizer.h"

#include <utf8proc.h>

#include "base/map.h"
#include "text/utf8.h"

/* --- characters --- */

/* Marks are part of the word they stand in: accents written apart, vowel signs, viramas. */
static bool in_word(int32_t c)
{
    if (c < 0x80) {
        return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    }
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

/* One for one; the two small sigmas of Greek are one, so that SIGMA at the end of a word meets
 * either. */
static int32_t lower(int32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    c = utf8proc_tolower(c);
    return c == 0x3c2 ? 0x3c3 : c;
}

/* The character at p and its length, at least 1; -1 where the bytes are none. */
static int32_t decode(const char *p, const char *end, size_t *n)
{
    int32_t c;
    if ((unsigned char)*p < 0x80) {
        *n = 1;
        return (unsigned char)*p;
    }
    utf8proc_ssize_t got = utf8proc_iterate((const uint8_t *)p, end - p, &c);
    *n = got > 0 ? (size_t)got : 1;
    return got > 0 ? c : -1;
}

static bool separates(const struct qv__tokenizer *t, const char *p, const char *end, int32_t c)
{
    return c < 0 || (t->kind == QV__TOKENIZE_WHITESPACE ? qv__utf8_space(p, end) > 0 : !in_word(c));
}

/* --- words --- */

/* The next word as it is compared; x->n 0: one that is too long. False at the end. */
static bool next_word(struct qv__tokens *x)
{
    size_t n = 0;
    int32_t c = -1;
    while (x->p < x->end) {
        c = decode(x->p, x->end, &n);
        if (!separates(x->t, x->p, x->end, c)) {
            break;
        }
        x->p += n;
    }
    if (x->p == x->end) {
        return false;
    }
    bool fits = true;
    x->n = x->chars = 0;
    do {
        uint8_t bytes[4];
        uint32_t len = 1;
        c = x->t->lowercase ? lower(c) : c;
        if (c < 0x80) {
            bytes[0] = (uint8_t)c;
        } else {
            len = (uint32_t)utf8proc_encode_char(c, bytes);
        }
        fits = fits && x->n + len <= QV__TOKEN_MAX;
        if (fits) {
            memcpy(x->word + x->n, bytes, len);
            x->n += len;
            x->chars++;
        }
        x->p += n;
        if (x->p == x->end) {
            break;
        }
        c = decode(x->p, x->end, &n);
    } while (!separates(x->t, x->p, x->end, c));
    x->n = fits ? x->n : 0;
    return true;
}

bool qv__token_fold(struct qv__arena *arena, struct qv__str word, bool lowercase,
                    struct qv__str *out)
{
    char *to = qv__arena_alloc(arena, 4 * word.n + 1);
    size_t n = 0, len;
    if (!to) {
        return false;
    }
    for (const char *p = word.p, *end = word.p + word.n; p < end; p += len) {
        int32_t c = decode(p, end, &len);
        if (c < 0x80) {
            to[n++] = (char)(c < 0 ? *p : lowercase ? lower(c) : c);
        } else {
            n += (size_t)utf8proc_encode_char(lowercase ? lower(c) : c, (uint8_t *)to + n);
        }
    }
    *out = (struct qv__str){to, n};
    return true;
}

static size_t char_bytes(const char *p)
{
    unsigned char a = (unsigned char)*p;
    return a < 0x80 ? 1 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
}

/* Bytes of the first so many characters of the word, from `at`, which `done` of them take. */
static uint32_t bytes_of(const struct qv__tokens *x, uint32_t at, uint32_t done, uint32_t chars)
{
    for (; done < chars && at < x->n; done++) {
        at += (uint32_t)char_bytes(x->word + at);
    }
    return at;
}

/* The next beginning of the word at hand. */
static bool next_beginning(struct qv__tokens *x, struct qv__str *out)
{
    uint32_t max = x->t->max_len ? x->t->max_len : UINT32_MAX;
    if (x->next == 0 || x->next > x->chars || x->next > max) {
        x->next = 0;
        return false;
    }
    x->at = bytes_of(x, x->at, x->at ? x->next - 1 : 0, x->next);
    x->next++;
    *out = (struct qv__str){x->word, x->at};
    return true;
}

void qv__tokens_init(struct qv__tokens *x, const struct qv__tokenizer *t, enum qv__text_side side,
                     struct qv__str text)
{
    x->t = t;
    x->p = text.n ? text.p : NULL;
    x->end = text.n ? text.p + text.n : NULL;
    x->side = side;
    x->next = x->at = 0;
}

bool qv__tokens_next(struct qv__tokens *x, struct qv__str *out)
{
    const struct qv__tokenizer *t = x->t;
    bool prefix = t->kind == QV__TOKENIZE_PREFIX;
    for (;;) {
        if (x->next && next_beginning(x, out)) {
            return true;
        }
        if (!next_word(x)) {
            return false;
        }
        if (x->n == 0 || x->chars < t->min_len ||
            (t->stop && qv__stopwords_has(t->stop, (struct qv__str){x->word, x->n}))) {
            continue;
        }
        if (prefix && x->side == QV__TEXT_DOCUMENT) {
            x->at = 0;
            x->next = t->min_len ? t->min_len : 1;
        } else if (prefix && t->max_len) {
            *out = (struct qv__str){x->word, bytes_of(x, 0, 0, t->max_len)};
            return true;
        } else if (!t->max_len || x->chars <= t->max_len) {
            *out = (struct qv__str){x->word, x->n};
            return true;
        }
    }
}

uint64_t qv__tokenizer_signature(const struct qv__tokenizer *t)
{
    uint64_t s = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    const uint32_t parts[] = {(uint32_t)t->kind, t->lowercase, t->min_len, t->max_len};
    for (size_t i = 0; i < QV_ARRAY_LEN(parts); i++) {
        for (unsigned k = 0; k < 32; k += 8) {
            s = (s ^ (parts[i] >> k & 255)) * UINT64_C(0x100000001b3);
        }
    }
    for (const char *v = utf8proc_unicode_version(); *v; v++) {
        s = (s ^ (unsigned char)*v) * UINT64_C(0x100000001b3);
    }
    if (t->stop) {
        s = (s ^ t->stop->languages ^ 0x100u) * UINT64_C(0x100000001b3);
        for (uint32_t i = 0; i < t->stop->n; i++) {
            s = (s ^ qv__hash_bytes(t->stop->words[i].p, t->stop->words[i].n)) *
                UINT64_C(0x100000001b3);
        }
    }
    return s;
}

/* --- questions --- */

/* Of a word besides its bytes: it is folded and compared. */
#define WORD_UNITS 8u

/* The next word, if steps are left; what was passed over takes some, too. */
static bool next(struct qv__tokens *x, struct qv__str *word, struct qv__steps *steps)
{
    const char *from = x->p;
    return qv__tokens_next(x, word) && qv__steps_on(steps, WORD_UNITS + (uint64_t)(x->p - from));
}

static bool has_word(const struct qv__tokenizer *t, struct qv__str text, struct qv__str word,
                     struct qv__steps *steps)
{
    struct qv__tokens x;
    struct qv__str w;
    qv__tokens_init(&x, t, QV__TEXT_DOCUMENT, text);
    while (next(&x, &w, steps)) {
        if (qv__str_eq(w, word)) {
            return true;
        }
    }
    return false;
}

/* Words of a query that were asked for, by where they stand in it: a repeated one is passed over.
 * It is exact, and knows so many; the others are asked for again. */
#define ASKED_SLOTS 2048u
#define ASKED_BYTES 64u /* shorter queries are not worth it */

struct asked {
    struct qv__str query;
    const struct qv__tokenizer *t;
    uint32_t n, at[ASKED_SLOTS]; /* 0 = free, else 1 + offset */
};

static bool stands_at(const struct asked *a, uint32_t at, struct qv__str word,
                      struct qv__steps *steps)
{
    struct qv__tokens x;
    struct qv__str w;
    qv__tokens_init(&x, a->t, QV__TEXT_QUERY, (struct qv__str){a->query.p + at, a->query.n - at});
    return next(&x, &w, steps) && qv__str_eq(w, word);
}

/* Whether the word, the first one from `at` on, was there before. */
static bool was_asked(struct asked *a, uint32_t at, struct qv__str word, struct qv__steps *steps)
{
    uint32_t i = (uint32_t)qv__hash_bytes(word.p, word.n) % ASKED_SLOTS;
    for (; a->at[i] && qv__steps_on(steps, 0); i = (i + 1) % ASKED_SLOTS) {
        if (stands_at(a, a->at[i] - 1, word, steps)) {
            return true;
        }
    }
    if (a->n < ASKED_SLOTS / 2) {
        a->n++;
        a->at[i] = at + 1;
    }
    return false;
}

static bool has(const struct qv__tokenizer *t, struct qv__str text, struct qv__str query, bool all,
                struct qv__steps *steps)
{
    struct qv__tokens q;
    struct qv__str word;
    struct asked asked;
    bool found = false, remembers = query.n > ASKED_BYTES && query.n < UINT32_MAX;
    if (remembers) {
        asked = (struct asked){.query = query, .t = t};
    }
    qv__tokens_init(&q, t, QV__TEXT_QUERY, query);
    for (const char *from = q.p; next(&q, &word, steps); from = q.p) {
        if (remembers && was_asked(&asked, (uint32_t)(from - query.p), word, steps)) {
            continue;
        }
        found = has_word(t, text, word, steps);
        if (found != all) {
            return found;
        }
    }
    return found;
}

bool qv__text_has_all(const struct qv__tokenizer *t, struct qv__str text, struct qv__str query,
                      struct qv__steps *steps)
{
    return has(t, text, query, true, steps);
}

bool qv__text_has_any(const struct qv__tokenizer *t, struct qv__str text, struct qv__str query,
                      struct qv__steps *steps)
{
    return has(t, text, query, false, steps);
}

/* Words of both from here on are equal until those of the phrase end. */
static bool goes_on(struct qv__tokens text, struct qv__tokens phrase, struct qv__steps *steps)
{
    struct qv__str a, b;
    while (next(&phrase, &b, steps)) {
        if (!next(&text, &a, steps) || !qv__str_eq(a, b)) {
            return false;
        }
    }
    return qv__steps_on(steps, 0);
}

bool qv__text_has_phrase(const struct qv__tokenizer *t, struct qv__str text, struct qv__str query,
                         struct qv__steps *steps)
{
    struct qv__tokens x, q;
    struct qv__str word, first;
    qv__tokens_init(&q, t, QV__TEXT_DOCUMENT, query);
    if (!qv__tokens_next(&q, &first)) {
        return false;
    }
    qv__tokens_init(&x, t, QV__TEXT_DOCUMENT, text);
    while (next(&x, &word, steps)) {
        if (qv__str_eq(word, first) && goes_on(x, q, steps)) {
            return true;
        }
    }
    return false;
}

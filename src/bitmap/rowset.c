/* rowset.c: the three forms of a compressed block of rows.
 *
 * Head: u16 form, u16 items - 1. Then
 *   ROWS  u16 row each, rising
 *   RUNS  u16 first, u16 last each, rising, with a gap between two
 *   BITS  u32 rows set, then u64 words, the last not zero
 * Nothing is aligned; items are loaded by memcpy. What a reader follows is bounded by the bytes
 * there are, and any u16 is a row of the block, so no content leads outside. */
#include "bitmap/rowset.h"

#include "bitmap/bitset.h"

enum form { ROWS = 1, RUNS = 2, BITS = 3 };

#define HEAD      4u
#define BITS_HEAD 8u

/* --- writing --- */

static void put_head(struct qv__buf *b, enum form form, uint32_t items)
{
    qv__buf_u16(b, (uint16_t)form);
    qv__buf_u16(b, (uint16_t)(items - 1));
}

static uint32_t lowest(uint64_t word)
{
    return (uint32_t)__builtin_ctzll(word);
}

/* First row at or after `from` whose bit is `on`, or the end of the words. */
static uint32_t seek(const uint64_t *words, uint32_t n_words, uint32_t from, bool on)
{
    uint32_t w = from >> 6;
    if (w >= n_words) {
        return n_words * 64;
    }
    uint64_t flip = on ? 0 : UINT64_MAX;
    uint64_t word = (words[w] ^ flip) & (UINT64_MAX << (from & 63));
    while (word == 0) {
        if (++w == n_words) {
            return n_words * 64;
        }
        word = words[w] ^ flip;
    }
    return w * 64 + lowest(word);
}

static uint32_t count_runs(const uint64_t *words, uint32_t n_words)
{
    uint32_t n = 0;
    uint64_t before = 0; /* the highest bit of the word before */
    for (uint32_t w = 0; w < n_words; w++) {
        n += (uint32_t)__builtin_popcountll(words[w] & ~((words[w] << 1) | before));
        before = words[w] >> 63;
    }
    return n;
}

void qv__rowset_put_words(struct qv__buf *b, const uint64_t *words, uint32_t n_words)
{
    while (n_words && words[n_words - 1] == 0) {
        n_words--;
    }
    if (n_words == 0) {
        return;
    }
    uint32_t end = n_words * 64, count = (uint32_t)qv__bits_count(words, end);
    uint32_t runs = count_runs(words, n_words);
    uint32_t least = QV_MIN(HEAD + 2 * count, HEAD + 4 * runs);
    if (BITS_HEAD + 8 * n_words < least) {
        put_head(b, BITS, n_words);
        qv__buf_u32(b, count);
        qv__buf_put(b, words, (size_t)n_words * sizeof *words);
    } else if (2 * runs < count) {
        put_head(b, RUNS, runs);
        for (uint32_t at = 0; (at = seek(words, n_words, at, true)) < end;) {
            uint32_t last = seek(words, n_words, at, false) - 1;
            qv__buf_u16(b, (uint16_t)at);
            qv__buf_u16(b, (uint16_t)last);
            at = last + 1;
        }
    } else {
        put_head(b, ROWS, count);
        for (uint32_t at = 0; (at = seek(words, n_words, at, true)) < end; at++) {
            qv__buf_u16(b, (uint16_t)at);
        }
    }
}

static bool is_one_run(const uint16_t *rows, uint32_t n)
{
    return (uint32_t)rows[n - 1] - rows[0] + 1 == n;
}

void qv__rowset_put(struct qv__buf *b, const uint16_t *rows, uint32_t n)
{
    enum { FEW = 32 }; /* the other forms gain little */
    if (n == 0) {
        return;
    }
    if (n <= FEW && !(n > 2 && is_one_run(rows, n))) {
        put_head(b, ROWS, n);
        qv__buf_put(b, rows, n * sizeof *rows);
        return;
    }
    uint64_t words[QV__BLOCK_WORDS];
    uint32_t n_words = (rows[n - 1] >> 6) + 1u;
    memset(words, 0, n_words * sizeof *words);
    for (uint32_t i = 0; i < n; i++) {
        qv__bit_set(words, rows[i]);
    }
    qv__rowset_put_words(b, words, n_words);
}

/* --- reading --- */

/* What a head promises, cut to the bytes there are. */
struct body {
    uint32_t form, items, promised;
    const uint8_t *p;
};

static struct body open_body(struct qv__bytes set)
{
    struct body o = {0};
    if (set.n < HEAD) {
        return o;
    }
    o.form = qv__load_u16(set.p);
    o.promised = qv__load_u16(set.p + 2) + 1u;
    size_t head = o.form == BITS ? BITS_HEAD : HEAD;
    size_t item = o.form == ROWS ? 2 : o.form == RUNS ? 4 : 8;
    if (o.form < ROWS || o.form > BITS || set.n < head) {
        o.form = 0;
        return o;
    }
    o.items = (uint32_t)QV_MIN((size_t)o.promised, (set.n - head) / item);
    if (o.form == BITS) {
        o.items = QV_MIN(o.items, QV__BLOCK_WORDS);
    }
    o.p = set.p + head;
    return o;
}

static bool rows_valid(const struct body *o, uint32_t n_rows)
{
    for (uint32_t i = 0; i < o->items; i++) {
        uint32_t row = qv__load_u16(o->p + 2 * i);
        if (row >= n_rows || (i && row <= qv__load_u16(o->p + 2 * (i - 1)))) {
            return false;
        }
    }
    return true;
}

static bool runs_valid(const struct body *o, uint32_t n_rows)
{
    for (uint32_t i = 0; i < o->items; i++) {
        uint32_t first = qv__load_u16(o->p + 4 * i), last = qv__load_u16(o->p + 4 * i + 2);
        if (first > last || last >= n_rows ||
            (i && first <= qv__load_u16(o->p + 4 * (i - 1) + 2) + 1u)) {
            return false;
        }
    }
    return true;
}

static bool bits_valid(const struct body *o, struct qv__bytes set, uint32_t n_rows)
{
    uint32_t count = 0;
    uint64_t word = 0;
    for (uint32_t i = 0; i < o->items; i++) {
        word = qv__load_u64(o->p + 8 * (size_t)i);
        count += (uint32_t)__builtin_popcountll(word);
    }
    uint32_t last = word ? (o->items - 1) * 64 + 63 - (uint32_t)__builtin_clzll(word) : UINT32_MAX;
    return last < n_rows && count == qv__load_u32(set.p + HEAD);
}

bool qv__rowset_valid(struct qv__bytes set, uint32_t n_rows)
{
    if (set.n == 0) {
        return true;
    }
    struct body o = open_body(set);
    if (o.form == 0 || o.items != o.promised) {
        return false;
    }
    size_t body = (size_t)o.items * (o.form == ROWS ? 2 : o.form == RUNS ? 4 : 8);
    if (o.p + body != set.p + set.n) {
        return false;
    }
    return o.form == ROWS   ? rows_valid(&o, n_rows)
           : o.form == RUNS ? runs_valid(&o, n_rows)
                            : bits_valid(&o, set, n_rows);
}

uint32_t qv__rowset_count(struct qv__bytes set)
{
    struct body o = open_body(set);
    uint32_t n = 0;
    switch (o.form) {
    case ROWS:
        return o.items;
    case BITS:
        return QV_MIN(qv__load_u32(set.p + HEAD), QV__BLOCK_ROWS);
    default:
        for (uint32_t i = 0; i < o.items; i++) {
            uint32_t first = qv__load_u16(o.p + 4 * i), last = qv__load_u16(o.p + 4 * i + 2);
            n += last >= first ? last - first + 1 : 0;
        }
        return QV_MIN(n, QV__BLOCK_ROWS);
    }
}

/* Bits [first, last] of the block to `on`. */
static void span(uint64_t *words, uint32_t first, uint32_t last, bool on)
{
    uint32_t a = first >> 6, z = last >> 6;
    uint64_t from = UINT64_MAX << (first & 63), to = UINT64_MAX >> (63 - (last & 63));
    for (uint32_t w = a; w <= z; w++) {
        uint64_t mask = (w == a ? from : UINT64_MAX) & (w == z ? to : UINT64_MAX);
        words[w] = on ? words[w] | mask : words[w] & ~mask;
    }
}

static void apply(struct qv__bytes set, uint64_t *words, bool on)
{
    struct body o = open_body(set);
    switch (o.form) {
    case ROWS:
        for (uint32_t i = 0; i < o.items; i++) {
            uint32_t row = qv__load_u16(o.p + 2 * i);
            if (on) {
                qv__bit_set(words, row);
            } else {
                qv__bit_clear(words, row);
            }
        }
        break;
    case RUNS:
        for (uint32_t i = 0; i < o.items; i++) {
            uint32_t first = qv__load_u16(o.p + 4 * i), last = qv__load_u16(o.p + 4 * i + 2);
            if (first <= last) {
                span(words, first, last, on);
            }
        }
        break;
    case BITS:
        for (uint32_t i = 0; i < o.items; i++) {
            uint64_t word = qv__load_u64(o.p + 8 * (size_t)i);
            words[i] = on ? words[i] | word : words[i] & ~word;
        }
        break;
    default:
        break;
    }
}

uint32_t qv__rowset_count_in(struct qv__bytes set, const uint64_t *words)
{
    struct body o = open_body(set);
    uint32_t n = 0;
    if (o.form == ROWS) {
        for (uint32_t i = 0; i < o.items; i++) {
            n += qv__bit_test(words, qv__load_u16(o.p + 2 * i));
        }
        return n;
    }
    uint64_t both[QV__BLOCK_WORDS] = {0};
    apply(set, both, true);
    for (uint32_t i = 0; i < QV__BLOCK_WORDS; i++) {
        both[i] &= words[i];
    }
    return (uint32_t)qv__bits_count(both, QV__BLOCK_ROWS);
}

void qv__rowset_or(struct qv__bytes set, uint64_t *words)
{
    apply(set, words, true);
}

void qv__rowset_andnot(struct qv__bytes set, uint64_t *words)
{
    apply(set, words, false);
}

/* field_block.c: opening a block of a field index, and what it says about a condition.
 *
 * What filter_match.c asks of each element is asked here of sets. A condition on values is decided
 * by the elements of the index's type; a row that (also) holds others, or some that are not held,
 * stays possible unless the condition cannot be met by those. */
#include "payload/field_text.h"
#include "payload/filter_value.h"

/* --- opening --- */

static bool sets_valid(const struct qv__field_block *b)
{
    for (uint32_t i = 0; i < QV__FIELD_SETS; i++) {
        if (!qv__rowset_valid(b->part[i], b->n_rows)) {
            return false;
        }
    }
    return true;
}

bool qv__field_block_open(struct qv__bytes bytes, enum qv__field_type type, uint32_t n_rows,
                          bool verify, struct qv__field_block *out)
{
    struct qv__field_head h;
    if (bytes.n < sizeof h) {
        return false;
    }
    memcpy(&h, bytes.p, sizeof h);
    if (h.n_rows != n_rows || n_rows == 0 || n_rows > QV__BLOCK_ROWS || h.type != (uint32_t)type ||
        h.zero != 0 || h.end[QV__FIELD_PARTS - 1] != bytes.n - sizeof h) {
        return false;
    }
    *out = (struct qv__field_block){.type = type,
                                    .n_rows = n_rows,
                                    .n_terms = h.n_terms,
                                    .n_single = h.n_single,
                                    .n_multi = h.n_multi,
                                    .width = h.width,
                                    .n_marks = h.n_marks,
                                    .base = h.base};
    uint32_t from = 0;
    for (uint32_t i = 0; i < QV__FIELD_PARTS; i++) {
        if (h.end[i] < from || h.end[i] > bytes.n - sizeof h) {
            return false;
        }
        out->part[i] = (struct qv__bytes){bytes.p + sizeof h + from, h.end[i] - from};
        from = h.end[i];
    }
    return (qv__field_is_terms(type) ? qv__terms_open(out, verify)
                                     : qv__numbers_open(out, verify)) &&
           (!verify || sets_valid(out));
}

/* --- bounds --- */

static void clear(uint64_t *words)
{
    memset(words, 0, QV__BLOCK_WORDS * sizeof *words);
}

static void fill(uint64_t *words, uint32_t n_rows)
{
    struct qv__bitset all = {words, QV__BLOCK_ROWS};
    clear(words);
    qv__bitset_fill(&all, 0, n_rows);
}

static void add(const struct qv__field_block *b, enum qv__field_part set, uint64_t *words)
{
    qv__rowset_or(b->part[set], words);
}

static void drop(const struct qv__field_block *b, enum qv__field_part set, uint64_t *words)
{
    qv__rowset_andnot(b->part[set], words);
}

/* words = all rows but those of the set */
static void all_but(const struct qv__field_block *b, enum qv__field_part set, uint64_t *words)
{
    fill(words, b->n_rows);
    drop(b, set, words);
}

/* Conditions on what the path leads to as a whole; false: it is one on values. */
static bool shape_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *words)
{
    clear(words);
    switch (c->kind) {
    case QV__COND_IS_EMPTY:
        all_but(b, QV__SET_FILLED, words);
        return true;
    case QV__COND_IS_NULL:
        add(b, QV__SET_NULL, words);
        return true;
    case QV__COND_FIELD_EMPTY:
        if (c->flag) {
            all_but(b, QV__SET_REACHED, words);
        }
        add(b, c->flag ? QV__SET_EMPTY : QV__SET_FILLED, words);
        return true;
    case QV__COND_FIELD_NULL:
        if (!c->flag) {
            all_but(b, QV__SET_REACHED, words);
        }
        add(b, c->flag ? QV__SET_HOLDS_NULL : QV__SET_LACKS_NULL, words);
        return true;
    default:
        return false;
    }
}

static void count_bounds(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *lo,
                         uint64_t *up)
{
    clear(lo);
    if (qv__in_irange(c, 0)) {
        all_but(b, QV__SET_REACHED, lo);
    }
    if (qv__in_irange(c, 1)) {
        add(b, QV__SET_SCALAR, lo);
    }
    clear(up);
    add(b, QV__SET_REACHED, up);
    drop(b, QV__SET_SCALAR, up);
    qv__words_or(up, lo);
}

/* True if elements that are not of the index's type may meet the condition too. */
static bool others_may_match(const struct qv__field_block *b, const struct qv__cond *c)
{
    bool strings = qv__field_is_strings(b->type);
    switch (c->kind) {
    case QV__COND_MATCH_ANY: {
        int kind = strings                        ? QV__MATCH_STR
                   : b->type == QV__FIELD_BOOL    ? QV__MATCH_BOOL
                   : b->type == QV__FIELD_INTEGER ? QV__MATCH_INT
                   : b->type == QV__FIELD_FLOAT   ? QV__MATCH_INT
                                                  : -1;
        /* sorted by kind */
        return c->match.n && ((int)c->match.values[0].kind != kind ||
                              (int)c->match.values[c->match.n - 1].kind != kind);
    }
    case QV__COND_GEO_BOX:
    case QV__COND_GEO_RADIUS:
    case QV__COND_GEO_POLYGON:
        return b->type != QV__FIELD_GEO;
    case QV__COND_RANGE:
        return b->type != QV__FIELD_FLOAT;
    case QV__COND_DATETIME_RANGE:
        return !strings && b->type != QV__FIELD_DATETIME;
    case QV__COND_MATCH_TEXT:
    case QV__COND_MATCH_TEXT_ANY:
    case QV__COND_MATCH_PHRASE:
    case QV__COND_MATCH_PREFIX:
        return !strings;
    default:
        return true;
    }
}

/* Some value is not in the set. Certain of a row whose only element is of the type and not in it;
 * a row with several, or with one of another type, has to be looked at. */
static void except_bounds(const struct qv__field_block *b, bool known, uint64_t *lo, uint64_t *up)
{
    for (uint32_t w = 0; w < QV__BLOCK_WORDS; w++) {
        lo[w] = ~lo[w]; /* of those in the set */
    }
    uint64_t typed[QV__BLOCK_WORDS] = {0};
    add(b, QV__SET_TYPED, typed);
    clear(up);
    if (!known || b->type == QV__FIELD_FLOAT) {
        clear(lo); /* 1 and 1.0 are one here, and not the same to match */
        qv__words_or(up, typed);
    }
    for (uint32_t w = 0; w < QV__BLOCK_WORDS; w++) {
        lo[w] &= typed[w];
    }
    drop(b, QV__SET_MULTI, lo);
    drop(b, QV__SET_LOOSE, lo);
    add(b, QV__SET_MULTI, up);
    add(b, QV__SET_OTHER, up);
    add(b, QV__SET_LOOSE, up);
    qv__words_or(up, lo);
}

static bool is_geo(const struct qv__cond *c)
{
    return c->kind == QV__COND_GEO_BOX || c->kind == QV__COND_GEO_RADIUS ||
           c->kind == QV__COND_GEO_POLYGON;
}

void qv__field_bounds(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *lo,
                      uint64_t *up, struct qv__steps *steps)
{
    if (c->kind == QV__COND_VALUES_COUNT) {
        count_bounds(b, c, lo, up);
        return;
    }
    if (shape_match(b, c, lo)) {
        memcpy(up, lo, QV__BLOCK_WORDS * sizeof *up);
        return;
    }
    if (c->kind == QV__COND_NESTED) { /* asks objects, of which nothing is known */
        clear(lo);
        clear(up);
        add(b, QV__SET_REACHED, up);
        return;
    }
    clear(lo);
    if (b->type == QV__FIELD_GEO && is_geo(c)) {
        clear(up);
        qv__geo_match(b, c, lo, up, steps);
        qv__words_or(up, lo);
        add(b, QV__SET_LOOSE, up);
        return;
    }
    if (b->type == QV__FIELD_TEXT && qv__words_match(b, c, lo, up, steps)) {
        add(b, QV__SET_LOOSE, up);
        return;
    }
    bool known = qv__field_is_terms(b->type) ? qv__terms_match(b, c, lo, steps)
                                             : qv__numbers_match(b, c, lo, steps);
    if (c->kind == QV__COND_MATCH_EXCEPT) {
        except_bounds(b, known, lo, up);
        return;
    }
    memcpy(up, lo, QV__BLOCK_WORDS * sizeof *up);
    if (!known) {
        add(b, QV__SET_TYPED, up);
    }
    if (c->kind == QV__COND_MATCH_ANY && b->type == QV__FIELD_FLOAT) {
        clear(lo); /* 1.0 does not match 1 */
    }
    if (others_may_match(b, c)) {
        add(b, QV__SET_OTHER, up);
    }
    add(b, QV__SET_LOOSE, up);
}

/* filter_bounds.c: the filter tree over sets instead of rows.
 *
 * Each node gives (lo, up). And: both are intersected; or: united; not: lo loses what may match, up
 * loses what does, so no complement is ever made. Conditions of a conjunction that cost little come
 * first, among them those that few rows met in the blocks so far, and when nothing is left the rest
 * is not asked.
 *
 * Inside a nested condition, which asks one object at a time, an index over the same values says
 * only which rows have such a value in some object: an upper bound, and nothing for what is
 * negated. */
#include "payload/filter_bounds.h"

#include "bitmap/bitset.h"

#define SLOTS_PER_LEVEL 4u
/* Conditions of conjunctions that are ordered by what they let pass; the others keep their places.
 */
#define ORDERED_MAX     16u
/* min_should counts to this by sets; a higher count leaves all rows possible. */
#define COUNT_MAX       16u

struct words {
    uint64_t w[QV__BLOCK_WORDS];
};

/* How many rows may meet a condition in the last block where it was asked. */
struct met {
    const struct qv__cond *cond;
    uint32_t rows;
};

struct qv__filter_walk {
    struct qv__mem *mem;
    const struct qv__filter *filter;
    struct met met[ORDERED_MAX];
    uint32_t n_met;
    struct words slots[]; /* SLOTS_PER_LEVEL per level of the tree */
};

/* Where a walk stands. */
struct scope {
    struct qv__filter_walk *walk;
    const struct qv__filter_block *block;
    uint32_t level;
    const struct qv__path *prefix; /* inside nested: where the objects are; else NULL */
};

struct pair {
    uint64_t *lo, *up;
};

/* --- sets --- */

static void set_none(uint64_t *w)
{
    memset(w, 0, sizeof(struct words));
}

static void set_all(const struct scope *sc, uint64_t *w)
{
    struct qv__bitset all = {w, QV__BLOCK_ROWS};
    set_none(w);
    qv__bitset_fill(&all, 0, sc->block->n_rows);
}

static void copy(uint64_t *to, const uint64_t *from)
{
    memcpy(to, from, sizeof(struct words));
}

static bool is_none(const uint64_t *w)
{
    for (uint32_t i = 0; i < QV__BLOCK_WORDS; i++) {
        if (w[i]) {
            return false;
        }
    }
    return true;
}

static void and_with(uint64_t *w, const uint64_t *x)
{
    for (uint32_t i = 0; i < QV__BLOCK_WORDS; i++) {
        w[i] &= x[i];
    }
}

static void or_with(uint64_t *w, const uint64_t *x)
{
    for (uint32_t i = 0; i < QV__BLOCK_WORDS; i++) {
        w[i] |= x[i];
    }
}

static void without(uint64_t *w, const uint64_t *x)
{
    for (uint32_t i = 0; i < QV__BLOCK_WORDS; i++) {
        w[i] &= ~x[i];
    }
}

static void all_possible(const struct scope *sc, struct pair out)
{
    set_none(out.lo);
    set_all(sc, out.up);
}

static struct pair slots(const struct scope *sc, uint32_t i)
{
    struct words *s = &sc->walk->slots[(size_t)sc->level * SLOTS_PER_LEVEL + i];
    return (struct pair){s[0].w, s[1].w};
}

/* --- steps --- */

/* Of a condition, whose sets are put together with those of the others; an index adds what it looks
 * at. */
#define COND_UNITS QV__BLOCK_WORDS
/* Of a look at which index a condition has. */
#define RANK_UNITS 64u

static bool steps_on(const struct scope *sc, uint64_t units)
{
    return qv__steps_on(sc->block->steps, units);
}

/* --- conditions --- */

/* Catalogs of earlier versions may have several indexes of one path. Where one is of text it says
 * what a condition on words means, and no other one can answer for it. */
static const struct qv__field_block *index_of(const struct scope *sc, const struct qv__cond *c)
{
    const struct qv__field_block *found = NULL;
    bool on_words = c->kind == QV__COND_MATCH_TEXT || c->kind == QV__COND_MATCH_TEXT_ANY ||
                    c->kind == QV__COND_MATCH_PHRASE;
    struct qv__path path;
    if (sc->block->n_fields == 0 || !qv__path_join(sc->prefix, &c->path, &path)) {
        return NULL;
    }
    for (size_t i = 0; i < sc->block->n_fields; i++) {
        const struct qv__field_at *f = &sc->block->fields[i];
        if ((f->block || f->is_text) && qv__path_eq(f->path, &path)) {
            if (f->is_text && on_words) {
                return f->block;
            }
            found = found ? found : f->block;
        }
    }
    return found;
}

/* Does "some object meets it" imply "some value below the objects meets it"? Not where a missing
 * value counts. */
static bool needs_a_value(const struct qv__cond *c)
{
    return c->kind != QV__COND_IS_EMPTY && c->kind != QV__COND_VALUES_COUNT &&
           c->kind != QV__COND_FIELD_EMPTY && c->kind != QV__COND_FIELD_NULL;
}

static void filter_bounds(const struct scope *sc, const struct qv__filter *f, struct pair out);

static void nested_bounds(const struct scope *sc, const struct qv__cond *c, struct pair out)
{
    struct qv__path path;
    struct scope inner = *sc;
    if (!qv__path_join(sc->prefix, &c->path, &path)) {
        all_possible(sc, out);
        return;
    }
    inner.prefix = &path;
    inner.level++;
    filter_bounds(&inner, c->filter, out);
    set_none(out.lo);
}

/* Conditions on the point itself match nothing inside a nested one. */
static void point_bounds(const struct scope *sc, const struct qv__cond *c, struct pair out)
{
    set_none(out.lo);
    if (sc->prefix) {
        set_none(out.up);
    } else if (sc->block->known && sc->block->known(sc->block->ctx, c, out.lo)) {
        copy(out.up, out.lo);
    } else {
        set_none(out.lo);
        set_all(sc, out.up);
    }
}

static void cond_bounds(const struct scope *sc, const struct qv__cond *c, struct pair out)
{
    struct scope inner = *sc;
    const struct qv__field_block *b;
    if (!steps_on(sc, COND_UNITS)) {
        all_possible(sc, out);
        return;
    }
    switch (c->kind) {
    case QV__COND_FILTER:
        inner.level++;
        filter_bounds(&inner, c->filter, out);
        return;
    case QV__COND_NESTED:
        nested_bounds(sc, c, out);
        return;
    case QV__COND_HAS_ID:
    case QV__COND_HAS_VECTOR:
    case QV__COND_SLICE:
        point_bounds(sc, c, out);
        return;
    default:
        b = sc->prefix && !needs_a_value(c) ? NULL : index_of(sc, c);
        if (!b) {
            all_possible(sc, out);
            return;
        }
        qv__field_bounds(b, c, out.lo, out.up, sc->block->steps);
        if (sc->prefix) {
            set_none(out.lo);
        }
    }
}

/* --- clauses --- */

/* Cheap and telling ones first. */
static unsigned rank_of(const struct scope *sc, const struct qv__cond *c)
{
    switch (c->kind) {
    case QV__COND_HAS_ID:
    case QV__COND_HAS_VECTOR:
        return 0;
    case QV__COND_FILTER:
    case QV__COND_NESTED:
        return 1;
    default:
        return index_of(sc, c) ? 0 : 2;
    }
}

static void remember(struct qv__filter_walk *w, const struct qv__cond *c, const uint64_t *up)
{
    uint32_t i = 0;
    while (i < w->n_met && w->met[i].cond != c) {
        i++;
    }
    if (i < ORDERED_MAX) {
        w->n_met = QV_MAX(w->n_met, i + 1);
        w->met[i] = (struct met){c, (uint32_t)qv__bits_count(up, QV__BLOCK_ROWS)};
    }
}

/* Rows by which a condition has its place: of one that was not asked yet none, so it is next. */
static uint32_t rows_met(const struct qv__filter_walk *w, const struct qv__cond *c)
{
    for (uint32_t i = 0; i < w->n_met; i++) {
        if (w->met[i].cond == c) {
            return w->met[i].rows;
        }
    }
    return 0;
}

/* Conditions of one rank, those that few rows met first; returns how many. */
static uint32_t ordered(const struct scope *sc, struct qv__clause clause, unsigned rank,
                        const struct qv__cond **out)
{
    uint32_t rows[ORDERED_MAX], n = 0;
    for (size_t i = 0; i < clause.n; i++) {
        const struct qv__cond *c = &clause.conds[i];
        if (rank_of(sc, c) != rank) {
            continue;
        }
        uint32_t of = rows_met(sc->walk, c), at = n++;
        for (; at > 0 && rows[at - 1] > of; at--) {
            rows[at] = rows[at - 1];
            out[at] = out[at - 1];
        }
        rows[at] = of;
        out[at] = c;
    }
    return n;
}

static void narrow(const struct scope *sc, const struct qv__cond *c, bool negated, struct pair acc)
{
    struct pair one = slots(sc, 0);
    cond_bounds(sc, c, one);
    if (negated) {
        without(acc.lo, one.up);
        without(acc.up, one.lo);
    } else {
        remember(sc->walk, c, one.up);
        and_with(acc.lo, one.lo);
        and_with(acc.up, one.up);
    }
}

/* acc = acc and (not) each; conditions without an index only make acc uncertain. */
static void conjunction(const struct scope *sc, struct qv__clause clause, bool negated,
                        struct pair acc)
{
    const struct qv__cond *order[ORDERED_MAX];
    for (unsigned rank = 0; rank < 2 && !is_none(acc.up); rank++) {
        if (!steps_on(sc, clause.n * RANK_UNITS)) {
            return;
        }
        if (clause.n <= ORDERED_MAX && !negated) {
            uint32_t n = ordered(sc, clause, rank, order);
            for (uint32_t i = 0; i < n && !is_none(acc.up); i++) {
                narrow(sc, order[i], negated, acc);
            }
            continue;
        }
        for (size_t i = 0; i < clause.n && !is_none(acc.up); i++) {
            if (rank_of(sc, &clause.conds[i]) == rank) {
                narrow(sc, &clause.conds[i], negated, acc);
            }
        }
    }
    for (size_t i = 0; i < clause.n && !is_none(acc.up); i++) {
        if (rank_of(sc, &clause.conds[i]) == 2) {
            set_none(acc.lo); /* however many of them there are */
            break;
        }
    }
}

static void disjunction(const struct scope *sc, struct qv__clause clause, struct pair acc)
{
    struct pair one = slots(sc, 0), any = slots(sc, 2);
    set_none(any.lo);
    set_none(any.up);
    for (size_t i = 0; i < clause.n && steps_on(sc, 0); i++) {
        cond_bounds(sc, &clause.conds[i], one);
        or_with(any.lo, one.lo);
        or_with(any.up, one.up);
    }
    and_with(acc.lo, any.lo);
    and_with(acc.up, any.up);
}

/* reached[j]: rows that meet more than j of the conditions so far. */
static void count_in(struct words *reached, uint64_t want, const uint64_t *met)
{
    for (uint64_t j = want; j-- > 0;) {
        for (uint32_t i = 0; i < QV__BLOCK_WORDS; i++) {
            reached[j].w[i] |= met[i] & (j ? reached[j - 1].w[i] : UINT64_MAX);
        }
    }
}

static void at_least(const struct scope *sc, struct qv__clause clause, uint64_t want,
                     struct pair acc)
{
    struct pair one = slots(sc, 0);
    if (want == 0) {
        return;
    }
    if (want > clause.n) {
        set_none(acc.lo);
        set_none(acc.up);
        return;
    }
    struct words *counts =
        want <= COUNT_MAX ? qv__calloc(sc->walk->mem, 2 * (size_t)want, sizeof *counts) : NULL;
    if (!counts) { /* every row possible: right, and the rows are looked at */
        set_none(acc.lo);
        return;
    }
    for (size_t i = 0; i < clause.n && steps_on(sc, 2 * want * QV__BLOCK_WORDS); i++) {
        cond_bounds(sc, &clause.conds[i], one);
        count_in(counts, want, one.lo);
        count_in(counts + want, want, one.up);
    }
    and_with(acc.lo, counts[want - 1].w);
    and_with(acc.up, counts[2 * want - 1].w);
    qv__free(counts);
}

static void filter_bounds(const struct scope *sc, const struct qv__filter *f, struct pair acc)
{
    set_all(sc, acc.lo);
    set_all(sc, acc.up);
    conjunction(sc, f->must, false, acc);
    conjunction(sc, f->must_not, true, acc);
    if (f->should.n && !is_none(acc.up)) {
        disjunction(sc, f->should, acc);
    }
    if (f->has_min_should && !is_none(acc.up)) {
        at_least(sc, f->min_should, f->min_count, acc);
    }
}

/* --- the walk --- */

static uint32_t depth_of(const struct qv__filter *f);

static uint32_t clause_depth(struct qv__clause clause)
{
    uint32_t most = 0;
    for (size_t i = 0; i < clause.n; i++) {
        const struct qv__cond *c = &clause.conds[i];
        if (c->kind == QV__COND_FILTER || c->kind == QV__COND_NESTED) {
            most = QV_MAX(most, depth_of(c->filter));
        }
    }
    return most;
}

static uint32_t depth_of(const struct qv__filter *f)
{
    return 1 + QV_MAX(QV_MAX(clause_depth(f->must), clause_depth(f->must_not)),
                      QV_MAX(clause_depth(f->should), clause_depth(f->min_should)));
}

struct qv__filter_walk *qv__filter_walk_create(const struct qv__filter *f, struct qv__mem *mem)
{
    size_t n = (size_t)depth_of(f) * SLOTS_PER_LEVEL + 2;
    struct qv__filter_walk *w = qv__alloc(mem, sizeof *w + n * sizeof(struct words));
    if (w) {
        w->mem = mem;
        w->filter = f;
        w->n_met = 0;
    }
    return w;
}

struct qv__filter_bounds qv__filter_walk_block(struct qv__filter_walk *w,
                                               const struct qv__filter_block *b)
{
    /* The first two slots are the root's; levels follow. */
    struct scope sc = {.walk = w, .block = b};
    size_t root = (size_t)depth_of(w->filter) * SLOTS_PER_LEVEL;
    struct pair out = {w->slots[root].w, w->slots[root + 1].w};
    filter_bounds(&sc, w->filter, out);
    return (struct qv__filter_bounds){out.lo, out.up};
}

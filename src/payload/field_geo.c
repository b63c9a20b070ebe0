/* field_geo.c: places of a field index: their cells, sorted.
 *
 * A shape is asked of squares of the grid, from the whole world down: one that lies inside is a
 * slice of the list, one outside is left, others are quartered until few places are left, which are
 * asked one by one. Only places in cells of 9 mm at a shape's edge stay uncertain. */
#include "payload/field_list.h"
#include "payload/filter_value.h"
#include "payload/geo_cell.h"

#define FEW  4u /* places of a square that is no longer quartered */
#define SIGN (UINT64_C(1) << 63)

int64_t qv__field_key_of_cell(uint64_t cell)
{
    return (int64_t)(cell ^ SIGN); /* keys are compared with a sign */
}

static uint64_t cell_at(const struct qv__list *l, uint32_t i)
{
    return (uint64_t)qv__list_key(l, i) ^ SIGN;
}

/* First entry in [from, to) whose cell is not below. */
static uint32_t first_from(const struct qv__list *l, uint32_t from, uint32_t to, uint64_t cell)
{
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (cell_at(l, mid) < cell) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from;
}

struct square {
    uint64_t cell;
    uint32_t level, from, to;
};

/* Three wait on each level while the fourth is looked at. */
#define SQUARES_MAX (3 * QV__CELL_LEVELS + 4)

/* A shape, and what asking a square or a place about it takes. */
struct search {
    struct qv__cell_shape shape;
    uint64_t units;
    struct qv__steps *steps;
};

/* Of any shape: some trigonometry. */
#define SHAPE_UNITS 64u

/* Where the square lies; outside, once steps have ended. */
static enum qv__cell_where where(const struct search *s, uint64_t cell, uint32_t level)
{
    return qv__steps_on(s->steps, s->units) ? qv__cell_where(&s->shape, cell, level)
                                            : QV__CELL_OUTSIDE;
}

static void ask_each(const struct search *s, const struct qv__list *l, const struct square *q,
                     uint64_t *lo, uint64_t *up)
{
    for (uint32_t i = q->from; i < q->to; i++) {
        switch (where(s, cell_at(l, i), QV__CELL_LEVELS)) {
        case QV__CELL_INSIDE:
            qv__bit_set(lo, qv__list_row(l, i));
            break;
        case QV__CELL_UNKNOWN:
            qv__bit_set(up, qv__list_row(l, i));
            break;
        case QV__CELL_OUTSIDE:
        default:
            break;
        }
    }
}

static void quarter(const struct qv__list *l, const struct square *q, struct square *stack,
                    uint32_t *n)
{
    uint32_t from = q->from;
    uint64_t size = UINT64_C(1) << (62 - 2 * q->level);
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t cell = q->cell + i * size;
        uint32_t to = i == 3 ? q->to : first_from(l, from, q->to, cell + size);
        if (from < to) {
            stack[(*n)++] = (struct square){cell, q->level + 1, from, to};
        }
        from = to;
    }
}

/* `lo` and `up`: what certainly, and what otherwise possibly, lies inside. */
static void match_list(const struct search *s, const struct qv__list *l, bool single, uint64_t *lo,
                       uint64_t *up)
{
    struct square stack[SQUARES_MAX];
    uint32_t n = 0;
    if (l->n) {
        stack[n++] = (struct square){.to = l->n};
    }
    while (n) {
        struct square q = stack[--n];
        if (q.to - q.from <= FEW || q.level == QV__CELL_LEVELS) {
            ask_each(s, l, &q, lo, up);
            continue;
        }
        switch (where(s, q.cell, q.level)) {
        case QV__CELL_INSIDE:
            if (single) {
                qv__list_set_slice(l->b, q.from, q.to, lo);
            } else {
                qv__list_set_rows(l, q.from, q.to, lo);
            }
            break;
        case QV__CELL_UNKNOWN:
            quarter(l, &q, stack, &n);
            break;
        case QV__CELL_OUTSIDE:
        default:
            break;
        }
    }
}

void qv__geo_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *lo,
                   uint64_t *up, struct qv__steps *steps)
{
    bool polygon = c->kind == QV__COND_GEO_POLYGON;
    struct search s = {.shape = qv__cell_shape_of(c),
                       .units = SHAPE_UNITS + (polygon ? qv__polygon_units(c) : 0),
                       .steps = steps};
    struct qv__list one = qv__list_single(b), more = qv__list_multi(b);
    match_list(&s, &one, true, lo, up);
    match_list(&s, &more, false, lo, up);
}

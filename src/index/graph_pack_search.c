/* graph_pack_search.c: the nearest of a packed set.
 *
 * A cell's rows are expected no nearer than their mean distance less some deviations: as many as a
 * sample of queries had between what was near them and the means of its cells, but for a share of
 * those that falls with the beam width. Cells are visited in the order of that, and the rest is
 * left out once it is farther than what was found. So the beam width says how much is risked,
 * whatever is allowed and wherever it lies; and where cells tell nothing, all are visited. What is
 * found is the nearest by estimates, a pool of them, which are then measured by codes.
 *
 * A block is estimated while the next one is asked for. */
#include "index/graph_pack.h"

#include "bitmap/bitset.h"
#include "simd/prefetch.h"

#define MISSED  1.0f /* of those near, one in so many times the beam width may lie farther */
#define FARTHER 0.2f

enum {
    POOL_LEAST = 256, /* estimates kept; */
    POOL_SHARE = 8,   /* so many times the beam */
    FIRST = 16, /* cells in the first part that is put in order; later ones are twice as many */
    CHECK_EVERY = 8, /* cells between two looks at the deadline: 2,048 rows looked at */
};

/* How many deviations nearer than the mean of its cell what is near may be, but for one in so many
 * as the beam is wide. */
static float reach_of(const struct qv__pack_reach *r, uint32_t ef)
{
    float at = (float)r->n * MISSED / (float)QV_MAX(ef, 1U);
    if (r->n == 0) {
        return __builtin_inff();
    }
    return at < 1.0f ? r->of[0] * (1.0f + FARTHER * (1.0f - at)) /* farther than any that was met */
                     : r->of[QV_MIN((uint32_t)at, r->n - 1)];
}

/* The same for a query that is so near to the nearest cell, as nodes were that were. */
static float reach_at(const struct qv__index_pack *p, uint32_t ef, float nearest)
{
    float far = p->reach[0].nearest, near = p->reach[1].nearest;
    float part = far > near ? (nearest - near) / (far - near) : 0.5f;
    part = QV_MIN(QV_MAX(part, 0.0f), 1.0f);
    return part * reach_of(&p->reach[0], ef) + (1.0f - part) * reach_of(&p->reach[1], ef);
}

/* One search under way. */
struct looking {
    struct qv__graph *g;
    struct qv__graph_scratch
        *s; /* cand: cells, then the pool, unsorted; best: the `rank` nearest */
    const struct qv__index_pack *p;
    struct qv__pack_search *x;
    uint64_t *pool, bound; /* nothing from here on belongs into it */
    uint32_t n_pool, most;
    /* A block that was asked for. */
    const uint8_t *block;
    uint32_t first;
    float own;
};

/* Keys of all cells, by how near their rows may be, to s->cand. */
static void keys_make(struct looking *l)
{
    const struct qv__index_pack *p = l->p;
    const struct qv__quant_query *to = l->x->to.codes;
    bool is_l2 = l->g->index.vectors.metric == QV__L2;
    float own[QV__GRAPH_BLOCK], nearest = __builtin_inff();
    for (uint32_t at = 0; at < p->n_cells; at += QV__GRAPH_BLOCK) {
        uint32_t n = QV_MIN(p->n_cells - at, (uint32_t)QV__GRAPH_BLOCK);
        to->run(to, qv__pack_centre(p, at), p->centre_stride, n, own, NULL);
        for (uint32_t i = 0; i < n; i++) {
            float is = qv__pack_nearness(qv__pack_spread(p, at + i, is_l2, own[i], to->norm));
            nearest = is < nearest ? is : nearest;
            l->s->cand[at + i] = qv__key(own[i], at + i);
        }
    }
    float reach = reach_at(p, l->x->ef, nearest);
    for (uint32_t i = 0; i < p->n_cells; i++) {
        float from = qv__key_dist(l->s->cand[i]);
        struct qv__pack_spread of = qv__pack_spread(p, i, is_l2, from, to->norm);
        float low = of.mean - reach * of.deviation;
        low = low == low ? low : -__builtin_inff(); /* what overflows is looked at */
        l->s->cand[i] = qv__key(low, i);
    }
    l->x->distances += p->n_cells;
}

/* Only the nearest stay in the pool. */
static void pool_split(struct looking *l)
{
    if (l->n_pool > l->most) {
        qv__keys_split(l->pool, l->n_pool, l->most);
        l->n_pool = l->most;
        l->bound = 0;
        for (uint32_t i = 0; i < l->most; i++) {
            l->bound = QV_MAX(l->bound, l->pool[i]);
        }
    }
}

/* What is allowed of a block's rows and near enough: into the pool, and among the nearest. */
static void keep(struct looking *l, const float *dists, uint32_t near)
{
    struct qv__graph_scratch *s = l->s;
    const uint32_t *ords = l->p->ords + l->first;
    for (; near; near &= near - 1) {
        uint32_t k = (uint32_t)__builtin_ctz(near), ord = ords[k];
        uint64_t key = qv__key(dists[k], ord);
        if (key < l->bound && ord < l->x->n && qv__bit_test(l->x->allow, ord)) {
            l->pool[l->n_pool++] = key;
            if (key < qv__beam_bound(s)) {
                qv__beam_offer(s, key);
            }
        }
    }
    if (l->n_pool >= 2 * l->most) {
        pool_split(l);
    }
}

/* Estimate the block that was asked for, while `next` is. */
static void look(struct looking *l, const uint8_t *next)
{
    float dists[QV__LOOKUP_CODES];
    if (!l->block) {
        return;
    }
    float most = l->bound == UINT64_MAX ? __builtin_inff() : qv__key_dist(l->bound);
    uint32_t near = qv__around_near(l->s->packed, l->block, next, l->own, most, dists);
    uint32_t n = l->p->n - l->first;
    near &= n < QV__LOOKUP_CODES ? (UINT32_C(1) << n) - 1 : UINT32_MAX;
    if (near) {
        keep(l, dists, near);
    }
    l->block = NULL;
}

static void visit(struct looking *l, uint32_t cell)
{
    float own = qv__quant_dist(l->x->to.codes, qv__pack_centre(l->p, cell));
    uint32_t first = cell * QV__PACK_CELL, end = QV_MIN(first + QV__PACK_CELL, l->p->n);
    for (; first < end; first += QV__LOOKUP_CODES) {
        const uint8_t *block = qv__pack_block(l->p, first / QV__LOOKUP_CODES);
        look(l, block);
        l->block = block;
        l->first = first;
        l->own = own;
    }
    l->x->distances += (end - cell * QV__PACK_CELL) / 4;
}

/* True if nothing from `key` on is likely to be near enough. */
static bool is_over(const struct looking *l, uint64_t key)
{
    uint64_t bound = qv__beam_bound(l->s);
    return bound != UINT64_MAX && qv__key_dist(key) > qv__key_dist(bound);
}

static qv_status visit_cells(struct looking *l)
{
    uint64_t *cells = l->s->cand;
    uint32_t at = 0, since = 0, part = FIRST, n = l->p->n_cells;
    while (at < n) {
        part = QV_MIN(part, n - at);
        qv__keys_split(cells + at, n - at, part);
        qv__keys_sort(cells + at, part);
        for (uint32_t end = at + part; at < end; at++) {
            if (is_over(l, cells[at])) {
                at = n;
                break;
            }
            visit(l, qv__key_node(cells[at]));
            if (++since % CHECK_EVERY == 0) {
                QV_TRY(qv__qctx_check(l->x->ctx));
            }
        }
        part *= 2;
    }
    look(l, NULL);
    pool_split(l);
    return QV_OK;
}

/* The pool by codes; the nearest become the beam. */
static qv_status measure(struct looking *l, uint32_t ef)
{
    struct qv__graph_scratch *s = l->s;
    uint32_t nodes[QV__GRAPH_BLOCK], n_blocks = 0;
    float dists[QV__GRAPH_BLOCK];
    for (uint32_t at = 0; at < l->n_pool; at += QV__GRAPH_BLOCK) {
        uint32_t n = QV_MIN(l->n_pool - at, (uint32_t)QV__GRAPH_BLOCK);
        for (uint32_t i = 0; i < n; i++) {
            nodes[i] = qv__key_node(l->pool[at + i]);
        }
        qv__walk_measure(l->g, &l->x->to, 0, nodes, n, dists);
        for (uint32_t i = 0; i < n; i++) {
            l->pool[at + i] = qv__key(dists[i], nodes[i]);
        }
        if (++n_blocks % 4 == 0) {
            QV_TRY(qv__qctx_check(l->x->ctx));
        }
    }
    l->x->distances += l->n_pool;
    s->n_best = QV_MIN(l->n_pool, ef);
    qv__keys_split(l->pool, l->n_pool, s->n_best);
    qv__keys_sort(l->pool, s->n_best);
    memcpy(s->best, l->pool, s->n_best * sizeof *s->best);
    s->is_linear = true; /* sorted is what a heap is not */
    return QV_OK;
}

qv_status qv__pack_search(struct qv__graph *g, struct qv__graph_scratch *s,
                          const struct qv__index_pack *p, struct qv__pack_search *x)
{
    struct looking l = {.g = g, .s = s, .p = p, .x = x, .bound = UINT64_MAX};
    uint32_t most = QV_MIN(x->n_allowed, p->n), ef = QV_MIN(QV_MAX(x->ef, x->k), most);
    uint32_t rank = QV_MIN(x->k + x->k / 2, most);
    l.most = QV_MAX(QV_MIN(ef, most / POOL_SHARE) * POOL_SHARE, (uint32_t)POOL_LEAST);
    l.most = QV_MAX(l.most, ef);
    if (!qv__pack_query(g, s) ||
        !qv__scratch_begin(g, s, x->n, QV_MAX(rank, ef), 0, rank <= QV__BEAM_LINEAR_MAX) ||
        !qv__scratch_room(g, s, p->n_cells + 2 * l.most + QV__LOOKUP_CODES)) {
        return QV_ENOMEM;
    }
    s->ef = rank;
    l.pool = s->cand + p->n_cells;
    qv__around_query_set(s->packed, g->index.vectors.datatype, x->to.vector);
    keys_make(&l);
    QV_TRY(visit_cells(&l));
    return measure(&l, ef);
}

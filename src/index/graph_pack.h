/* graph_pack.h: sets of allowed ordinals that are searched again and again, packed side by side.
 *
 * What it is: of each ordinal of a set a code of one bit an element, 32 side by side, so that a
 * filter that comes again is searched by reading what it lets pass, in order, and nothing else.
 * Every QV__PACK_CELL of them, which lie near each other where rows lie by nearness, are a cell
 * with a centre, from which the codes tell the differences (quant.h, "around a vector"). A search
 * looks at cells in the order of how near their rows can be, and ends where the rest is unlikely to
 * have anything nearer. So it depends neither on links between allowed nodes, which fall apart, nor
 * on how far from the query the allowed are.
 * A pack is made by searches of an opened graph, a few cells by each, once they lost as much time
 * for lack of it as it takes, and its owner (index.h) has room for it. A set that loses members
 * keeps its pack: what is found is asked for in the set.
 * What it is not: saved, or needed; for graphs without scalar codes in memory, or small sets.
 *
 * Threads: any; a pack is immutable once it is there. */
#ifndef QV_INDEX_GRAPH_PACK_H
#define QV_INDEX_GRAPH_PACK_H

#include "index/graph_filter.h"

enum {
    QV__PACK_CELL = 256,
    QV__PACK_BLOCKS = QV__PACK_CELL / QV__LOOKUP_CODES, /* of a cell */
    QV__PACK_ASKED = 24, /* nodes, at most, that a pack was tried with, twice, */
    QV__PACK_NEAR = 10,  /* for so many nearest */
    QV__PACK_BEAM = 32,
};

/* What is near a query is nearer than its cell's rows on average (than the centre, for squared L2
 * and radius2) by so many deviations, in descending order, as some nodes had it. A deviation is the
 * root of radius2 times four times the mean squared distance (L2) or the squared norm of the
 * centred query. */
struct qv__pack_reach {
    float
        nearest; /* mean distance of a cell over its deviation: of the nearest cells, the median */
    uint32_t n;
    float nearest_of[QV__PACK_ASKED];
    float of[QV__PACK_ASKED * QV__PACK_NEAR];
};

struct qv__index_pack {
    struct qv__mem *mem;
    uint32_t n, n_cells;
    uint32_t n_made, n_tried;    /* cells, and nodes it was tried with; while it is made */
    uint32_t n_asked;            /* nodes it is tried with */
    uint32_t *ords;              /* of the set, ascending */
    size_t block_bytes, n_bytes; /* n_bytes: all of it */
    uint8_t *blocks;
    uint32_t centre_stride; /* of codes of the kind that searches compare */
    uint8_t *centres;
    float *radius2;                 /* mean squared distance of a cell's rows to the centre */
    struct qv__pack_reach reach[2]; /* of nodes from anywhere, and of the pack's own */
    _Atomic uint64_t ns;            /* what a search with a beam of QV__PACK_BEAM takes, about */
    _Atomic uint32_t n_passed_over; /* searches that were planned otherwise */
};

/* A search: what it asks, and what came of it. */
struct qv__pack_search {
    struct qv__graph_target to;
    const uint64_t *allow;
    uint32_t n, n_allowed, ef, k;
    struct qv__qctx *ctx;
    uint64_t distances; /* out: measured by codes, and a quarter of those looked at */
};

static inline const uint8_t *qv__pack_centre(const struct qv__index_pack *p, uint32_t cell)
{
    return p->centres + (size_t)cell * p->centre_stride;
}
static inline const uint8_t *qv__pack_block(const struct qv__index_pack *p, uint32_t block)
{
    return p->blocks + block * p->block_bytes;
}

/* graph_pack.c */

/* The pack that a search with q->packed may use; NULL: there is none, or not yet, and some of it
 * was made if it is due. QV_ETIMEOUT, without a message: this search is an attempt, and it is due.
 */
qv_status qv__graph_pack(struct qv__graph *g, const struct qv__index_query *q, uint32_t n_allowed,
                         struct qv__qctx *ctx, struct qv__index_pack **out) QV_MUST_USE;
/* A search without the pack took so long. */
void qv__graph_pack_missed(const struct qv__graph *g, struct qv__index_packed *packed,
                           uint32_t n_allowed, uint64_t ns);
/* Nanoseconds that a search of a pack of n ordinals takes, about; and what one with a beam of ef
 * will take, or took, as others told. */
double qv__graph_pack_cost(const struct qv__graph *g, uint32_t n);
double qv__pack_ns(const struct qv__index_pack *p, uint32_t ef);
void qv__pack_took(struct qv__index_pack *p, uint32_t ef, uint64_t ns);

/* graph_pack_search.c */

/* A cell's mean distance and its deviation, seen from a query that is `own` from the centre and,
 * less the mean, `norm` long. */
struct qv__pack_spread {
    float mean, deviation;
};
static inline struct qv__pack_spread qv__pack_spread(const struct qv__index_pack *p, uint32_t cell,
                                                     bool is_l2, float own, float norm)
{
    float radius2 = p->radius2[cell], mean = is_l2 ? QV_MAX(own, 0.0f) + radius2 : own;
    return (struct qv__pack_spread){mean,
                                    __builtin_sqrtf(radius2 * (is_l2 ? 4.0f * mean : norm * norm))};
}
/* How near a cell is to the query, in a measure that nothing but comparing is done with. */
static inline float qv__pack_nearness(struct qv__pack_spread s)
{
    return s.deviation > 0.0f ? s.mean / s.deviation : 0.0f;
}

/* Fill the beam of `s`, sorted, with the nearest allowed nodes, measured by their codes. Errors:
 * QV_ENOMEM, QV_ETIMEOUT, QV_ECANCELLED, without a message. */
qv_status qv__pack_search(struct qv__graph *g, struct qv__graph_scratch *s,
                          const struct qv__index_pack *p, struct qv__pack_search *x) QV_MUST_USE;
/* The query of `s` for packs of this graph, made if it has none; NULL: no memory. */
struct qv__around_query *qv__pack_query(struct qv__graph *g, struct qv__graph_scratch *s);

#endif

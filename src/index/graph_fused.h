/* graph_fused.h: records that hold all that one expansion of a walk reads.
 *
 * What it is: memory for speed. A walk over codes reads the links of a node and then a code of each
 * neighbour, from anywhere in memory. A fused record has a copy of a node's links, codes of one bit
 * an element of what lies around it (quant/quant.h), and its own code: one run of lines, in order.
 * Estimates of neighbours say where to go; what is expanded is measured by its own code, and only
 * that can become a hit. What it is not: saved. Records are made from a graph when it is opened,
 * and for searches without a filter; all else walks as without them.
 *
 * A record of `stride_bytes`, on a cache line:
 *   u32[n_slots]   links, then the nearest of the neighbours' neighbours, then QV__GRAPH_EMPTY
 *   n_slots / 32   blocks of codes
 *   own_at         the node's own code, of the kind that searches walk over
 *
 * Threads: records never change once they are made; searches read them. */
#ifndef QV_INDEX_GRAPH_FUSED_H
#define QV_INDEX_GRAPH_FUSED_H

#include "index/graph_walk.h"

/* graph_fused.c */

/* Make them, if these vectors and codes can have them and there is memory; else the graph is
 * searched without. While no search runs. */
void qv__fused_make(struct qv__graph *g, const struct qv__index_env *env);
void qv__fused_free(struct qv__graph *g);

static inline const uint8_t *qv__fused_at(const struct qv__graph *g, uint32_t node)
{
    return qv__rows_at(&g->fused.rows, node);
}

/* graph_fused_walk.c */

/* True if a walk can go over records. */
bool qv__fused_serves(const struct qv__graph *g, const struct qv__graph_walk *w);
/* As qv__walk_beam on layer 0 without seeds, hidden nodes and rests: what it expanded is left in
 * the beam of `s`, sorted. Errors: as that. */
qv_status qv__fused_walk(struct qv__graph *g, struct qv__graph_scratch *s,
                         struct qv__graph_walk *w) QV_MUST_USE;

#endif

/* graph_entry.h: where a walk enters the base of a graph.
 *
 * What it is: the way down the upper layers, greedily or, where an opened graph was found to gain
 * from it, with a beam on the last of them. What it is not: part of builds and inserts, whose walks
 * go down greedily (qv__graph_descend), nor of searches with a filter.
 *
 * Threads: any; qv__entry_measure before anybody searches. */
#ifndef QV_INDEX_GRAPH_ENTRY_H
#define QV_INDEX_GRAPH_ENTRY_H

#include "index/graph_walk.h"

enum { QV__ENTRY_BEAM = 4 };

/* Base nodes, the nearest first, at least one. */
struct qv__entry {
    uint32_t n, nodes[QV__ENTRY_BEAM];
};

/* Of `w`: to, n, ctx; adds to its distances. Uses s. Errors: QV_ENOMEM, QV_ETIMEOUT, QV_ECANCELLED,
 * without a message. */
qv_status qv__entry_find(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w,
                         struct qv__entry *out) QV_MUST_USE;
/* Choose g->entry_beam of an opened graph: some milliseconds for a large one. */
void qv__entry_measure(struct qv__graph *g, const struct qv__index_env *env);

#endif

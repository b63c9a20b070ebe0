/* graph_sketch.h: sketches of all codes of a graph, for scans of what a filter allows.
 *
 * What it is: of each code the sign of every element (quant.h), in memory, made by a search of a
 * graph that was opened once scans have compared as many codes as it has, so that they cost no more
 * than the scans before. A scan looks at sketches first and measures by codes what they show to be
 * near. They are kept only if they show near what is near: a sample of the graph is asked, since
 * signs of the first elements may tell nothing (halves that are unrelated, few elements). What it
 * is not: saved, or needed: without memory for them scans compare codes.
 *
 * Threads: any; immutable once they are there. */
#ifndef QV_INDEX_GRAPH_SKETCH_H
#define QV_INDEX_GRAPH_SKETCH_H

#include "index/graph_walk.h"

struct qv__graph_sketches {
    uint32_t n, stride_bytes;
    uint8_t *rows;
};

/* *out: the sketches, for a scan that will compare n_allowed codes; NULL: there are none, or not
 * yet. QV_ETIMEOUT, without a message: this search is an attempt, and they are due. */
qv_status qv__graph_sketches(struct qv__graph *g, const struct qv__graph_target *to,
                             uint64_t n_allowed, struct qv__qctx *ctx,
                             const struct qv__graph_sketches **out) QV_MUST_USE;
void qv__graph_sketches_free(struct qv__graph *g);
static inline const uint8_t *qv__graph_sketch_at(const struct qv__graph_sketches *k, uint32_t ord)
{
    return k->rows + (size_t)ord * k->stride_bytes;
}

#endif

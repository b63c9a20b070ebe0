/* nearness.h: an order of vectors in which those that are near each other lie side by side.
 *
 * What it is: for whoever lays rows out in a file. A walk of a graph goes from a node to nodes near
 * it, so in such an order what it reads (links, codes, vectors) shares pages and their
 * translations, and now and then lines.
 * What it is not: an index, or a clustering that anything else may rely on: every order is right.
 *
 * Threads: a call uses those of its env. */
#ifndef QV_INDEX_NEARNESS_H
#define QV_INDEX_NEARNESS_H

#include "index/index.h"

/* Reorder items[0..n), numbers of vectors: rows[items[i]] is where the vector of item i lies, of
 * `kind`'s datatype and dimension, finite. The same inputs and seed give the same order on one kind
 * of processor, whatever the threads. Of env: mem, simd, pool, threads, cancel. Takes about as long
 * as comparing each vector with a hundred others. Errors: QV_ENOMEM, QV_ECANCELLED; the items are
 * all there then, too, in some order. */
qv_status qv__nearness_order(const struct qv__index_env *env, const struct qv__vectors *kind,
                             const void *const *rows, uint64_t seed, uint32_t *items, uint32_t n,
                             struct qv_err *err) QV_MUST_USE;

#endif

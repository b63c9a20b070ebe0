/* graph_check.c: is this a graph? Over bytes that may be hostile, and over our own.
 *
 * check_links proves all that a walk dereferences: every base link names another ordinal below n
 * and empties come last; every upper link names a slot in use; every slot's ordinal and its node
 * one layer down are in range and agree; no two slots of a layer stand for one node, so no layer
 * has more of them than the one below; the root stands in slot 0 of every layer. It reads each byte
 * once and needs a bit per node. validate adds a breadth-first search from the root. */
#include "base/alloc.h"
#include "bitmap/bitset.h"
#include "index/graph.h"

/* Links of one record: in [0, n_nodes), not to itself, empties at the tail. Returns the count, or
 * QV__GRAPH_EMPTY. */
static uint32_t check_record(const uint32_t *links, uint32_t cap, uint32_t self, uint32_t n_nodes)
{
    uint32_t n = 0;
    while (n < cap && links[n] != QV__GRAPH_EMPTY) {
        if (links[n] >= n_nodes || links[n] == self) {
            return QV__GRAPH_EMPTY;
        }
        n++;
    }
    for (uint32_t i = n; i < cap; i++) {
        if (links[i] != QV__GRAPH_EMPTY) {
            return QV__GRAPH_EMPTY;
        }
    }
    return n;
}

/* seen: zeroed, a bit per node of the layer below. */
static qv_status check_layer(const struct qv__graph *g, uint32_t layer, uint32_t n, uint64_t *seen,
                             struct qv_err *err)
{
    uint32_t n_slots = g->upper[layer - 1].n;
    uint32_t n_below = layer > 1 ? g->upper[layer - 2].n : n;
    for (uint32_t slot = 0; slot < n_slots; slot++) {
        const struct qv__graph_upper *u = qv__graph_upper_at(g, layer, slot);
        if (u->ord >= n || u->down >= n_below || qv__graph_ord(g, layer - 1, u->down) != u->ord ||
            (slot == 0 && u->ord != g->root)) {
            return qv__fail(err, QV_ECORRUPT,
                            "graph: layer %" PRIu32 ", slot %" PRIu32
                            " does not meet the layer below",
                            layer, slot);
        }
        if (qv__bit_test(seen, u->down)) {
            return qv__fail(err, QV_ECORRUPT,
                            "graph: layer %" PRIu32 ", slot %" PRIu32 " is node %" PRIu32
                            " a second time",
                            layer, slot, u->ord);
        }
        qv__bit_set(seen, u->down);
        if (check_record(u->links, g->m, slot, n_slots) == QV__GRAPH_EMPTY) {
            return qv__fail(err, QV_ECORRUPT,
                            "graph: layer %" PRIu32 ", slot %" PRIu32 " has a bad link", layer,
                            slot);
        }
    }
    return QV_OK;
}

qv_status qv__graph_check_links(const struct qv__graph *g, uint32_t n, uint64_t *n_links,
                                struct qv_err *err)
{
    uint32_t n_layers = qv__graph_layers(g);
    *n_links = 0;
    if ((n == 0) != (n_layers == 0) || (n && g->root >= n)) {
        return qv__fail(err, QV_ECORRUPT, "graph: no entry point among %" PRIu32 " nodes", n);
    }
    for (uint32_t ord = 0; ord < n; ord++) {
        uint32_t n_here = check_record(qv__graph_base_links(g, ord), g->cap_base, ord, n);
        if (n_here == QV__GRAPH_EMPTY) {
            return qv__fail(err, QV_ECORRUPT, "graph: node %" PRIu32 " has a bad link", ord);
        }
        *n_links += n_here;
    }
    size_t n_words = qv__bitset_words(n);
    uint64_t *seen = n_layers > 1 ? qv__calloc(g->index.mem, n_words, sizeof *seen) : NULL;
    if (n_layers > 1 && !seen) {
        return qv__fail(err, QV_ENOMEM, "graph: no memory to check %" PRIu32 " nodes", n);
    }
    qv_status st = QV_OK; /* no layer has more slots than n, once those below it have passed */
    for (uint32_t layer = 1; st == QV_OK && layer < n_layers; layer++) {
        memset(seen, 0, n_words * sizeof *seen);
        st = check_layer(g, layer, n, seen, err);
    }
    qv__free(seen);
    return st;
}

/* Count what the root reaches on the base; queue has room for n. */
static uint32_t count_reached(const struct qv__graph *g, uint32_t n, uint32_t *queue,
                              uint64_t *seen)
{
    uint32_t n_queued = 0;
    queue[n_queued++] = g->root;
    qv__bit_set(seen, g->root);
    for (uint32_t at = 0; at < n_queued; at++) {
        const uint32_t *links = qv__graph_base_links(g, queue[at]);
        for (uint32_t i = 0; i < g->cap_base && links[i] != QV__GRAPH_EMPTY; i++) {
            if (links[i] < n && !qv__bit_test(seen, links[i])) {
                qv__bit_set(seen, links[i]);
                queue[n_queued++] = links[i];
            }
        }
    }
    return n_queued;
}

qv_status qv__graph_validate(const struct qv__index *x, struct qv_err *err)
{
    const struct qv__graph *g = qv__graph_of_const(x);
    uint32_t n = qv__index_count(x);
    uint64_t n_links;
    if (n == 0) {
        return QV_OK;
    }
    QV_TRY(qv__graph_check_links(g, n, &n_links, err));
    uint32_t *queue = qv__calloc(x->mem, n, sizeof *queue);
    uint64_t *seen = qv__calloc(x->mem, qv__bitset_words(n), sizeof *seen);
    qv_status st = QV_OK;
    if (!queue || !seen) {
        st = qv__fail(err, QV_ENOMEM, "graph: no memory to validate %" PRIu32 " nodes", n);
    } else {
        uint32_t n_reached = count_reached(g, n, queue, seen);
        if (n_reached != n) {
            st = qv__fail(err, QV_ECORRUPT,
                          "graph: %" PRIu32 " of %" PRIu32
                          " nodes are out of the entry point's reach",
                          n - n_reached, n);
        }
    }
    qv__free(queue);
    qv__free(seen);
    return st;
}

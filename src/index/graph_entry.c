/* graph_entry.c: where a walk enters the base, and how many nodes that takes.
 *
 * HNSW goes down greedily, to one node. Where vectors lie in clusters that is often one of a
 * cluster beside the right one, and a narrow beam does not get out of it: of 1,000,000 vectors in
 * 4,096 clusters a beam of 16 finds 0.961 of the nearest ten, and 0.989 if the layer above the base
 * is walked with a beam of four and the base entered at what that finds. Elsewhere that finds no
 * more than a beam wider by as many comparisons, some forty. So an opened graph is asked: some of
 * its own nodes are searched for both ways (docs/internals/INDEX.md). */
#include "index/graph_entry.h"

enum {
    ROWS_LEAST = 16384, /* smaller graphs enter at one node */
    QUERIES = 200,
    EF = 16,     /* of walks entered at some nodes, */
    EF_ONE = 19, /* ... and of those entered at one: about as many vectors are compared */
    NEAREST = 10,
};
#define GAIN_LEAST 0.003 /* of the nearest; less is chance */

/* Down to the layer above the base, then along it. Errors: as of a walk. */
static qv_status down(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w,
                      uint32_t beam, struct qv__entry *out)
{
    uint32_t layer = qv__graph_layers(g) - 1, node = 0;
    for (; layer > 1; layer--) {
        node = qv__walk_greedy(g, &w->to, layer, node, w->n, &w->distances);
    }
    struct qv__graph_walk along = {
        .to = w->to, .layer = 1, .entry = node, .ef = beam, .n = w->n, .ctx = w->ctx};
    qv_status st = qv__walk_beam(g, s, &along);
    w->distances += along.distances;
    for (uint32_t i = 0; st == QV_OK && i < s->n_best; i++) {
        out->nodes[i] = qv__graph_upper_at(g, 1, qv__key_node(s->best[i]))->ord;
    }
    out->n = st == QV_OK ? s->n_best : 0;
    return st;
}

qv_status qv__entry_find(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w,
                         struct qv__entry *out)
{
    if (g->entry_beam > 1 && qv__graph_layers(g) > 1) {
        return down(g, s, w, g->entry_beam, out);
    }
    *out =
        (struct qv__entry){.n = 1, .nodes = {qv__graph_descend(g, &w->to, w->n, 0, &w->distances)}};
    return QV_OK;
}

/* --- what an opened graph is asked --- */

/* The nearest of a node that is hidden from the walk, entered at `beam` nodes; ascending keys.
 * False: no memory. */
static bool search(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t ord, uint32_t beam,
                   uint64_t nearest[NEAREST], uint32_t *n)
{
    struct qv__entry entry;
    bool is_narrow = g->narrow.quant != NULL;
    struct qv__quant_query *query = is_narrow ? s->narrow : s->pair;
    qv__quant_query_set_code(query, is_narrow ? qv__rows_at(&g->narrow.codes, ord)
                                              : qv__graph_code(g, ord));
    struct qv__graph_walk w = {.to = {.codes = query, .is_narrow = is_narrow},
                               .ef = beam > 1 ? EF : EF_ONE,
                               .n = g->n_max,
                               .has_hidden = true,
                               .hidden = ord};
    if (down(g, s, &w, beam, &entry) != QV_OK) {
        return false;
    }
    w.entry = entry.nodes[0];
    w.seeds = entry.nodes + 1;
    w.n_seeds = entry.n - 1;
    if (qv__walk_beam(g, s, &w) != QV_OK) {
        return false;
    }
    *n = 0;
    for (uint32_t i = 0; i < s->n_best && *n < NEAREST; i++) {
        if (qv__key_node(s->best[i]) != ord) { /* it may have been an entry */
            nearest[(*n)++] = s->best[i] & ~UINT64_C(1);
        }
    }
    return true;
}

/* How many of the nearest of both one found that the other did not. */
static int gain(const uint64_t *a, uint32_t n_a, const uint64_t *b, uint32_t n_b)
{
    int more = 0;
    uint32_t i = 0, k = 0;
    for (uint32_t taken = 0; taken < NEAREST && (i < n_a || k < n_b); taken++) {
        bool from_a = k == n_b || (i < n_a && a[i] <= b[k]);
        bool from_b = i == n_a || (k < n_b && b[k] <= a[i]);
        more += from_b - from_a;
        i += from_a;
        k += from_b;
    }
    return more;
}

void qv__entry_measure(struct qv__graph *g, const struct qv__index_env *env)
{
    uint32_t n = g->n_max;
    int more = 0;
    g->entry_beam = 1;
    if (n < ROWS_LEAST || !g->quant || g->index.params.on_disk || qv__graph_layers(g) < 2) {
        return;
    }
    struct qv__graph_scratch *s = qv__scratch_take(g);
    bool is_ok = s != NULL;
    for (uint32_t i = 0; is_ok && i < QUERIES; i++) {
        uint64_t one[NEAREST], some[NEAREST];
        uint32_t ord = (uint32_t)((uint64_t)n * i / QUERIES), n_one, n_some;
        is_ok = !qv__env_cancelled(env) && search(g, s, ord, 1, one, &n_one) &&
                search(g, s, ord, QV__ENTRY_BEAM, some, &n_some);
        more += is_ok ? gain(one, n_one, some, n_some) : 0;
    }
    qv__scratch_give(g, s);
    if (is_ok && (double)more >= GAIN_LEAST * QUERIES * NEAREST) {
        g->entry_beam = QV__ENTRY_BEAM;
    }
}

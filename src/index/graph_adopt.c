/* graph_adopt.c: takes a graph over into a new one, without the nodes that are dropped.
 *
 * Layer by layer, nodes are renumbered and records rewritten in parallel: each task reads the old
 * graph, which nobody changes, and writes records of its own, so the result does not depend on
 * timing. Upper slots keep their order, but the root's comes first; a layer on which nobody is left
 * falls away. If the root is dropped, the first node left on the highest layer takes its place.
 *
 * A record that lost links is mended as FreshDiskANN does it (Singh et al., arXiv 2105.09613): the
 * neighbours of each lost neighbour are candidates, taken by the rule of every selection
 * (graph_prune.c). What is ours: links that are left stay, and candidates take no more than the
 * places of those lost, the nearest of the others when the rule leaves places free, so a mending
 * costs few distances, takes no good link and thins nothing out. A node around which nearly
 * everything is dropped gives up its place, and is linked anew with what the merge adds. */
#include "index/graph_link.h"

enum { ADOPT_GRAIN = 256, CANDIDATES_PER_LINK = 2 };

/* One layer under way. */
struct adoption {
    struct qv__graph *g;
    const struct qv__graph *from;
    struct qv__graph_batch *b;
    uint32_t layer;
    const uint32_t *to; /* node there -> node here, or QV__GRAPH_EMPTY */
    _Atomic uint64_t n_links;
};

static uint32_t links_count(const uint32_t *links, uint32_t cap)
{
    uint32_t n = 0;
    while (n < cap && links[n] != QV__GRAPH_EMPTY) {
        n++;
    }
    return n;
}

/* ---- who keeps a place ---- */

struct plan {
    struct qv__graph_donor *d;
    _Atomic uint32_t n_kept;
};

/* A node stays if three quarters of its links are left, or if a mending finds so many candidates
 * behind the others (counted as often as they are met) that it loses nothing. */
static bool stays(const struct qv__graph_donor *d, uint32_t ord)
{
    const uint32_t *links = qv__graph_base_links(d->g, ord);
    uint32_t n_links = links_count(links, d->g->cap_base), n_live = 0;
    for (uint32_t i = 0; i < n_links; i++) {
        n_live += d->remap[links[i]] != UINT32_MAX;
    }
    if (d->remap[ord] == UINT32_MAX || 4 * n_live >= 3 * n_links) {
        return d->remap[ord] != UINT32_MAX;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_links && n < CANDIDATES_PER_LINK * n_links; i++) {
        const uint32_t *far = qv__graph_base_links(d->g, links[i]);
        bool is_gone = d->remap[links[i]] == UINT32_MAX;
        for (uint32_t j = 0; is_gone && j < d->g->cap_base && far[j] != QV__GRAPH_EMPTY; j++) {
            n += far[j] != ord && d->remap[far[j]] != UINT32_MAX;
        }
    }
    return n >= CANDIDATES_PER_LINK * n_links;
}

static void plan_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct plan *p = ctx;
    struct qv__graph_donor *d = p->d;
    uint32_t n_kept = 0;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        uint32_t ord = (uint32_t)i;
        bool has_place = stays(d, ord);
        d->to[ord] = has_place ? d->remap[ord] : UINT32_MAX;
        n_kept += has_place;
    }
    atomic_fetch_add_explicit(&p->n_kept, n_kept, memory_order_relaxed);
}

void qv__adopt_plan(struct qv__graph_donor *d, const struct qv__index_env *env)
{
    struct plan p = {.d = d};
    qv__parallel_for(env->pool, qv__env_threads(env), d->n, ADOPT_GRAIN, plan_task, &p);
    d->n_kept = atomic_load_explicit(&p.n_kept, memory_order_relaxed);
}

/* ---- records ---- */

/* The links of a node that are left, *n_left of them, then candidates from behind those that are
 * gone; at most n_room. Returns how many. */
static uint32_t neighbours_left(const struct adoption *a, struct qv__graph_worker *w, uint32_t node,
                                uint32_t n_room, uint32_t *out, uint32_t *n_left)
{
    uint32_t cap = qv__graph_cap(a->from, a->layer);
    const uint32_t *links = qv__graph_links(a->from, a->layer, node);
    struct qv__graph_scratch *s = w->scratch;
    uint32_t n_links = links_count(links, cap), n = 0;
    qv__scratch_epoch(s);
    s->stamps[a->to[node]] = s->epoch;
    for (uint32_t i = 0; i < n_links; i++) {
        uint32_t to = a->to[links[i]];
        /* Met once, but in a mapped file that failed since: it reads as zeros. */
        if (to != QV__GRAPH_EMPTY && s->stamps[to] != s->epoch) {
            s->stamps[to] = s->epoch;
            out[n++] = to;
        }
    }
    *n_left = n;
    if (n == n_links) {
        return n;
    }
    for (uint32_t i = 0; i < n_links; i++) {
        if (a->to[links[i]] != QV__GRAPH_EMPTY) {
            continue;
        }
        const uint32_t *far = qv__graph_links(a->from, a->layer, links[i]);
        for (uint32_t j = 0; j < cap && far[j] != QV__GRAPH_EMPTY && n < n_room; j++) {
            uint32_t to = a->to[far[j]];
            if (to != QV__GRAPH_EMPTY && s->stamps[to] != s->epoch) {
                s->stamps[to] = s->epoch;
                out[n++] = to;
            }
        }
    }
    return n;
}

static void adopt_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct adoption *a = ctx;
    struct qv__graph_worker *w = &a->b->workers[worker];
    uint32_t cap = qv__graph_cap(a->from, a->layer);
    uint64_t n_all = 0;
    if (qv__env_cancelled(a->b->env)) {
        atomic_store_explicit(&a->b->status, QV_ECANCELLED, memory_order_relaxed);
        return;
    }
    for (size_t i = begin; i < end; i++) {
        uint32_t node = (uint32_t)i, to = a->to[i], n_left;
        if (to == QV__GRAPH_EMPTY) {
            continue;
        }
        uint32_t *nodes = w->nodes;
        uint32_t n = neighbours_left(a, w, node, a->b->n_candidates, nodes, &n_left);
        uint32_t n_old = links_count(qv__graph_links(a->from, a->layer, node), cap);
        uint32_t *links = qv__graph_links(a->g, a->layer, to);
        if (n > n_left) {
            n = qv__prune_repair(a->g, w, a->layer, to, nodes, n_left, n, n_old);
            for (uint32_t j = 0; j < n; j++) {
                nodes[j] = qv__key_node(w->kept[j]);
            }
        }
        memcpy(links, nodes, n * sizeof *links);
        n_all += n;
    }
    atomic_fetch_add_explicit(&a->n_links, n_all, memory_order_relaxed);
}

static qv_status adopt_layer(struct qv__graph_donor *d, struct qv__graph_batch *b, uint32_t layer,
                             const uint32_t *to, uint32_t n, struct qv_err *err)
{
    struct adoption a = {.g = b->g, .from = d->g, .b = b, .layer = layer, .to = to};
    atomic_store_explicit(&b->status, QV_OK, memory_order_relaxed);
    qv__parallel_for(b->env->pool, b->threads, n, ADOPT_GRAIN, adopt_task, &a);
    if (layer == 0) {
        atomic_store_explicit(&b->g->n_links, atomic_load(&a.n_links), memory_order_relaxed);
    }
    qv_status st = (qv_status)atomic_load_explicit(&b->status, memory_order_relaxed);
    return st == QV_OK ? st : qv__fail(err, st, "graph: merge cancelled");
}

/* ---- slots ---- */

/* Who is the root of the new graph: the old one, or the first left on the highest layer where one
 * is left. *top: that layer. */
static uint32_t root_choose(const struct qv__graph_donor *d, uint32_t *top)
{
    for (*top = qv__graph_layers(d->g) - 1; *top > 0; --*top) {
        for (uint32_t slot = 0; slot < d->g->upper[*top - 1].n; slot++) {
            uint32_t ord = qv__graph_upper_at(d->g, *top, slot)->ord;
            if (d->to[ord] != UINT32_MAX) {
                return ord;
            }
        }
    }
    uint32_t ord = 0;
    while (d->to[ord] == UINT32_MAX) {
        ord++;
    }
    return ord;
}

/* Number the slots that stay, the root's first. Returns how many. */
static uint32_t slots_number(const struct qv__graph_donor *d, uint32_t layer, uint32_t root,
                             uint32_t *to)
{
    uint32_t n = 1;
    for (uint32_t slot = 0; slot < d->g->upper[layer - 1].n; slot++) {
        uint32_t ord = qv__graph_upper_at(d->g, layer, slot)->ord;
        to[slot] = ord == root ? 0 : d->to[ord] != QV__GRAPH_EMPTY ? n++ : QV__GRAPH_EMPTY;
    }
    return n;
}

static void slots_fill(struct qv__graph_donor *d, struct qv__graph *g, uint32_t layer,
                       const uint32_t *to, const uint32_t *below)
{
    for (uint32_t slot = 0; slot < d->g->upper[layer - 1].n; slot++) {
        if (to[slot] != QV__GRAPH_EMPTY) {
            const struct qv__graph_upper *old = qv__graph_upper_at(d->g, layer, slot);
            struct qv__graph_upper *u = qv__graph_upper_at(g, layer, to[slot]);
            uint32_t ord = d->to[old->ord], down = below[old->down];
            bool is_sane = ord != QV__GRAPH_EMPTY && down != QV__GRAPH_EMPTY;
            u->ord = is_sane ? ord : g->root; /* a mapped file that failed since reads as zeros */
            u->down = is_sane ? down : layer == 1 ? g->root : 0;
        }
    }
}

qv_status qv__adopt(struct qv__graph_donor *d, struct qv__graph_batch *b, const uint32_t *order,
                    uint32_t n, struct qv_err *err)
{
    struct qv__graph *g = b->g;
    uint32_t *to[QV__GRAPH_LAYERS_MAX] = {d->to};
    uint32_t n_left[QV__GRAPH_LAYERS_MAX] = {0}, n_at[QV__GRAPH_LAYERS_MAX] = {0};
    uint32_t top, root = root_choose(d, &top);
    bool is_ok = qv__graph_root_set(g, d->to[root]);
    for (uint32_t layer = 1; is_ok && layer <= top; layer++) {
        to[layer] = qv__calloc(g->index.mem, d->g->upper[layer - 1].n, sizeof **to);
        is_ok = to[layer] != NULL;
        if (is_ok) {
            n_left[layer] = slots_number(d, layer, root, to[layer]);
            n_at[layer] = n_left[layer] - 1; /* the root is counted with each layer */
        }
    }
    is_ok = is_ok && qv__build_layers(g, order, n, n_at);
    for (unsigned i = 0; is_ok && i < b->threads; i++) {
        is_ok = qv__scratch_begin(g, b->workers[i].scratch, g->n_max, 1, 0, true);
    }
    qv_status st =
        is_ok ? QV_OK
              : qv__fail(err, QV_ENOMEM, "graph: no memory to merge %" PRIu32 " nodes", d->n_kept);
    /* A layer on which the root is alone is not made. */
    uint32_t n_layers = QV_MIN(top + 1, qv__graph_layers(g));
    for (uint32_t layer = 1; st == QV_OK && layer < n_layers; layer++) {
        g->upper[layer - 1].n = n_left[layer];
        slots_fill(d, g, layer, to[layer], to[layer - 1]);
    }
    for (uint32_t layer = 0; st == QV_OK && layer < n_layers; layer++) {
        st = adopt_layer(d, b, layer, to[layer], layer ? d->g->upper[layer - 1].n : d->n, err);
    }
    for (uint32_t layer = 1; layer <= top; layer++) {
        qv__free(to[layer]);
    }
    return st;
}

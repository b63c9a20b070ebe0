/* graph_stitch.c: joins a whole graph to the one a merge has so far, keeping the links of both.
 *
 * A point of the other graph keeps what it was linked to there and needs only its neighbours on
 * this side. Its own neighbours know where those are: who has been joined before passes on what it
 * found, so a walk starts beside its goal and a narrow beam is enough. Points go in waves: first
 * those with upper layers, linked as a build links (one in m, spread over everything), then who has
 * a neighbour among them, then who has one among those, and at last, from the root, who has none.
 * This side stays as it was until all have found theirs; then the links back are written, each
 * record once for all points that chose it. A wave reads what earlier ones wrote, so the result is
 * the same for any number of threads.
 *
 * The links of a point are those of both sides together, pruned by the rule of every selection. */
#include "index/graph_link.h"

enum {
    /* Beam of a walk on the other side: one in so many of a build's candidates, and at least ... */
    EF_SHARE = 4,
    EF_LEAST = 24,
    REST_SHARE = 3, /* beside it, one in so many more of what was compared and did not stay in it */
    HELPERS = 4,    /* joined neighbours whose links are where a walk starts */
    GRAIN = 16,
};

struct stitch {
    struct qv__graph_batch *b;
    const struct qv__graph *from;
    const uint32_t *remap;
    uint8_t *marks; /* by ordinal: 0, the wave it was joined in, or QV__STITCH_LINKED */
    uint32_t *todo; /* ordinals there that wait */
    uint32_t n_todo;
    uint32_t ef; /* of a walk that starts near its goal */
    uint8_t now;
    bool is_last;      /* who has nowhere to start goes to the root */
    uint32_t n_linked; /* before */
    _Atomic uint64_t n_links;
};

static uint8_t mark_of(const struct stitch *s, uint32_t ord)
{
    return __atomic_load_n(&s->marks[ord], __ATOMIC_RELAXED);
}

/* The links of ordinal `ord` there, as ordinals here. */
static uint32_t own_links(const struct stitch *s, uint32_t ord, uint32_t *out)
{
    const uint32_t *links = qv__graph_base_links(s->from, ord);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->from->cap_base && links[i] != QV__GRAPH_EMPTY; i++) {
        out[n] = s->remap[links[i]];
        n += links[i] != ord; /* but in a mapped file that failed since: it reads as zeros */
    }
    return n;
}

/* Where a walk starts, at most a block: neighbours on this side, and those of neighbours. */
static uint32_t starts_of(const struct stitch *s, const uint32_t *own, uint32_t n_own,
                          uint32_t *out)
{
    const struct qv__graph *g = s->b->g;
    uint32_t n = 0, n_helpers = 0;
    for (uint32_t i = 0; i < n_own && n < QV__GRAPH_BLOCK && n_helpers < HELPERS; i++) {
        uint8_t wave = mark_of(s, own[i]);
        if (wave == QV__STITCH_LINKED) {
            out[n++] = own[i];
            n_helpers++;
        } else if (wave && wave < s->now) {
            const uint32_t *links = qv__graph_base_links(g, own[i]);
            uint32_t n_before = n;
            for (uint32_t j = 0;
                 j < g->cap_base && links[j] != QV__GRAPH_EMPTY && n < QV__GRAPH_BLOCK; j++) {
                if (mark_of(s, links[j]) == QV__STITCH_LINKED) {
                    out[n++] = links[j];
                }
            }
            n_helpers += n > n_before;
        }
    }
    return n;
}

/* The nearest on this side, into the beam of the worker's scratch; *n of them. */
static qv_status find(const struct stitch *s, struct qv__graph_worker *w,
                      const struct qv__graph_target *to, const uint32_t *starts, uint32_t n_starts,
                      uint32_t *n)
{
    struct qv__graph *g = s->b->g;
    struct qv__graph_walk walk = {.to = *to,
                                  .entry = n_starts ? starts[0] : g->root,
                                  .seeds = starts + 1,
                                  .n_seeds = n_starts ? n_starts - 1 : 0,
                                  .ef = s->ef,
                                  .n_rest = s->ef / REST_SHARE,
                                  .n = g->n_max};
    if (!n_starts) {
        walk.ef = QV_MIN(2 * s->ef, (uint32_t)QV__GRAPH_BACK_MAX);
        walk.entry = qv__graph_descend(g, to, g->n_max, 0, &walk.distances);
    }
    QV_TRY(qv__walk_beam(g, w->scratch, &walk));
    qv__beam_sort(w->scratch);
    *n = qv__beam_rest(w->scratch, walk.n_rest);
    return QV_OK;
}

/* Both sides in w->keys, ascending, each once. */
static uint32_t candidates(const struct stitch *s, struct qv__graph_worker *w,
                           const struct qv__graph_target *to, const uint32_t *own, uint32_t n_own,
                           uint32_t n_found)
{
    float dists[QV__GRAPH_BLOCK];
    uint32_t n = 0, n_all = 0;
    for (; n < n_found; n++) {
        w->keys[n] = w->scratch->best[n] & ~UINT64_C(1);
    }
    for (uint32_t i = 0; i < n_own; i += QV__GRAPH_BLOCK) {
        uint32_t n_block = QV_MIN(n_own - i, (uint32_t)QV__GRAPH_BLOCK);
        qv__walk_measure(s->b->g, to, 0, own + i, n_block, dists);
        for (uint32_t j = 0; j < n_block; j++) {
            w->keys[n++] = qv__key(dists[j], own[i + j]);
        }
    }
    qv__keys_sort(w->keys, n);
    for (uint32_t i = 0; i < n; i++) {
        if (n_all == 0 || w->keys[i] != w->keys[n_all - 1]) {
            w->keys[n_all++] = w->keys[i];
        }
    }
    return n_all;
}

static qv_status join(struct stitch *s, struct qv__graph_worker *w, uint32_t ord)
{
    struct qv__graph *g = s->b->g;
    uint32_t here = s->remap[ord], *own = w->nodes;
    uint32_t starts[QV__GRAPH_BLOCK], n_found;
    uint32_t n_own = own_links(s, ord, own);
    uint32_t n_starts = starts_of(s, own, n_own, starts);
    if (!n_starts && !s->is_last) {
        return QV_OK;
    }
    struct qv__graph_target to = qv__target_set(g, w->scratch, qv__graph_vector(g, here), true);
    QV_TRY(find(s, w, &to, starts, n_starts, &n_found));
    uint32_t n = candidates(s, w, &to, own, n_own, n_found);
    n = qv__prune_both(g, w, n);
    uint32_t *links = qv__graph_base_links(g, here);
    for (uint32_t i = 0; i < n; i++) {
        links[i] = qv__key_node(w->kept[i]);
    }
    atomic_fetch_add_explicit(&s->n_links, n, memory_order_relaxed);
    __atomic_store_n(&s->marks[here], s->now, __ATOMIC_RELAXED);
    return QV_OK;
}

static void join_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct stitch *s = ctx;
    for (size_t i = begin; i < end; i++) {
        qv_status st = qv__env_cancelled(s->b->env) ? QV_ECANCELLED
                                                    : join(s, &s->b->workers[worker], s->todo[i]);
        if (st != QV_OK) {
            atomic_store_explicit(&s->b->status, (int)st, memory_order_relaxed);
            return;
        }
    }
}

/* Put those linked from `ord` that are not in todo[0..n_todo) yet behind them. */
static uint32_t queue_links(struct stitch *s, uint32_t ord, uint32_t n_todo)
{
    const uint32_t *links = qv__graph_base_links(s->from, ord);
    for (uint32_t i = 0; i < s->from->cap_base && links[i] != QV__GRAPH_EMPTY; i++) {
        uint8_t *mark = &s->marks[s->remap[links[i]]];
        if (*mark == 0) {
            *mark = 1;
            s->todo[n_todo++] = links[i];
        }
    }
    return n_todo;
}

/* Put who is to be joined in an order that keeps neighbours together, so that walks in turn read
 * the same codes: around those linked already, around these, and so on. Returns how many. */
static uint32_t order_make(struct stitch *s, uint32_t n)
{
    uint32_t n_todo = 0;
    for (uint32_t ord = 0; ord < n; ord++) {
        if (s->marks[s->remap[ord]] == QV__STITCH_LINKED) {
            n_todo = queue_links(s, ord, n_todo);
        }
    }
    for (uint32_t at = 0; at < n_todo; at++) {
        n_todo = queue_links(s, s->todo[at], n_todo);
    }
    for (uint32_t ord = 0; ord < n; ord++) {
        uint8_t *mark = &s->marks[s->remap[ord]];
        if (*mark == 0) {
            s->todo[n_todo++] = ord;
        } else if (*mark != QV__STITCH_LINKED) {
            *mark = 0;
        }
    }
    return n_todo;
}

/* Everybody finds neighbours on this side, wave by wave. */
static qv_status join_all(struct stitch *s, struct qv_err *err)
{
    struct qv__graph_batch *b = s->b;
    uint32_t n_all = s->n_todo;
    atomic_store_explicit(&b->status, QV_OK, memory_order_relaxed);
    for (s->now = 1; s->n_todo; s->now++) {
        uint32_t n_before = s->n_todo;
        qv__parallel_for(b->env->pool, b->threads, s->n_todo, GRAIN, join_task, s);
        qv_status st = (qv_status)atomic_load_explicit(&b->status, memory_order_relaxed);
        if (st != QV_OK) {
            return qv__fail(err, st, "graph: merge stopped: %s", qv_status_text(st));
        }
        s->n_todo = 0;
        for (uint32_t i = 0; i < n_before; i++) {
            if (!s->marks[s->remap[s->todo[i]]]) {
                s->todo[s->n_todo++] = s->todo[i];
            }
        }
        if (b->env->progress) {
            b->env->progress(b->env->progress_ctx, s->n_linked + n_all - s->n_todo, b->g->n_max);
        }
        /* Nobody was near enough, or so few that waves no longer pay: the rest starts above. */
        s->is_last = s->n_todo == n_before || s->now == QV__STITCH_LINKED - 2;
    }
    return QV_OK;
}

qv_status qv__stitch(struct qv__graph_batch *b, const struct qv__graph *from, const uint32_t *remap,
                     uint8_t *marks, uint32_t *todo, uint32_t n_linked, struct qv_err *err)
{
    struct stitch s = {
        .b = b, .from = from, .remap = remap, .marks = marks, .todo = todo, .n_linked = n_linked};
    uint32_t ef_construct = b->g->index.params.ef_construct;
    s.ef = QV_MIN(QV_MAX(ef_construct / EF_SHARE, (uint32_t)EF_LEAST), ef_construct);
    uint32_t n = qv__index_count(&from->index);
    s.n_todo = order_make(&s, n);
    QV_TRY(join_all(&s, err));
    atomic_fetch_add_explicit(&b->g->n_links, atomic_load(&s.n_links), memory_order_relaxed);
    uint32_t n_joined = 0;
    for (uint32_t ord = 0; ord < n; ord++) {
        if (marks[remap[ord]] != QV__STITCH_LINKED) {
            todo[n_joined++] = remap[ord];
        }
    }
    QV_TRY(qv__batch_links_back(b, todo, n_joined, marks, err));
    for (uint32_t i = 0; i < n_joined; i++) {
        marks[todo[i]] = QV__STITCH_LINKED;
    }
    return QV_OK;
}

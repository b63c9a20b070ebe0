/* graph_filter.c: a walk that ranks allowed nodes only (after ACORN-1: Patel, Kraft, Guestrin,
 * Zaharia, 2024, "ACORN: Performant and Predicate-Agnostic Search Over Vector Embeddings and
 * Structured Data").
 *
 * The graph of allowed nodes alone falls apart when few are allowed. So an expansion also goes
 * through the links of neighbours that are not allowed, *bridges*, to the allowed nodes behind
 * them; bridges are neither compared nor ranked. What is ours:
 * (1) Bridges are taken only where less than three quarters of a node's own links are allowed,
 * until an expansion has met as many allowed nodes as an ordinary one has links (ENOUGH), and
 * bridges behind bridges where two hops are not enough. So the walk is the ordinary one where
 * nearly all is allowed around the query, and how many bridges it takes follows from what is
 * allowed there, not from the filter as a whole. (2) A bridge's record is read once in a walk: what
 * is behind it was met then. (3) Where the surroundings of the query are allowed far less than the
 * rest (a filter opposed to the query), the walk also starts from nodes out of the allowed set
 * itself, spread over it. (4) As in an ordinary walk, the second nearest node is expanded before
 * what was found from the nearest is compared, so that codes arrive meanwhile; and so do the
 * records of its bridges. (5) It knows what it costs, projects what is left after every few
 * expansions, and gives up once a scan of the allowed is the cheaper end.
 *
 * A reader may run beside one writer: see graph.h. */
#include "index/graph_filter.h"

#include "base/rng.h"
#include "bitmap/bitset.h"
#include "simd/prefetch.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    ENOUGH = 24,      /* allowed links met by an expansion, after which it takes no more bridges */
    FETCH_AHEAD = 8,  /* records of bridges asked for before they are read */
    OPEN_AHEAD = 3,   /* records of nodes that may be expanded next, */
    LOOK_AHEAD = 8,   /* among so many entries of the beam */
    SEEDS = 64,       /* starts out of the allowed set */
    SEED_TRIES = 256, /* words looked at for them */
    SEEDS_LEAST = 16, /* fewer than these, and they are looked for in order */
    RECORDS_MAX = 64, /* bridges it takes at most: two hops, and more where little is met */
    AROUND = 8,       /* neighbours whose links tell the share of allowed nodes */
    LINKS_MAX = 2 * QV__GRAPH_M_MAX,
    BRIDGES_MAX = 2 * RECORDS_MAX,      /* kept of those met: some are read before their turn */
    FOUND_MAX = 2 * LINKS_MAX + ENOUGH, /* a record is read whole, and written to once too often */
    LINES_A_PLACE = 128,                /* of the allowed set, that a place of the beam looks at */
    CHECK_HOPS = 8,                     /* expansions between two looks at the cost */
    CHECK_EVERY = 128, /* nodes compared and records read between two looks at the deadline */
};

/* New allowed nodes of one expansion, and the neighbours that may be bridges to more. */
struct expansion {
    uint32_t n_found, n_bridges;
    uint32_t n_met; /* allowed links, to nodes met before too */
    uint32_t found[FOUND_MAX];
    uint32_t bridges[BRIDGES_MAX + LINKS_MAX];
};

/* Bits, where other walks have bytes: an expansion asks for hundreds, of which few lie in the cache
 * unless all of them do. */
INLINE bool is_visited(const struct qv__graph_scratch *s, uint32_t node)
{
    return qv__bit_test(s->seen, node);
}

INLINE void visit(struct qv__graph_scratch *s, uint32_t node)
{
    qv__bit_set(s->seen, node);
}

INLINE void fetch_record(const struct qv__graph *g, uint32_t node)
{
    const uint8_t *record = (const uint8_t *)qv__graph_base_links(g, node);
    qv__prefetch(record);
    qv__prefetch(record + QV__GRAPH_ALIGN);
}

INLINE void fetch_code(const struct qv__graph *g, const struct qv__graph_target *to, uint32_t node)
{
    if (to->codes) {
        const struct qv__rows *rows = to->is_narrow ? &g->narrow.codes : &g->codes;
        qv__prefetch_span(qv__rows_at(rows, node), to->codes->code_bytes);
    } else {
        qv__prefetch(qv__graph_vector(g, node));
    }
}

/* The links of a record, in order: those that are allowed and new are found, others may be bridges.
 * Branches follow what is random here, so there are none: every link is written to both lists, and
 * stays in one or none. */
INLINE void read_links(const struct qv__graph *g, struct qv__graph_scratch *s,
                       struct qv__filtered *f, uint32_t node, struct expansion *e)
{
    const uint32_t *links = qv__graph_base_links(g, node);
    const uint64_t *allow = f->allow;
    uint32_t i = 0, n = f->n, cap = g->cap_base, n_found = e->n_found, n_bridges = e->n_bridges,
             from = n_found, n_met = 0;
    const uint64_t *seen = s->seen;
    for (; i < cap; i++) {
        uint32_t x = qv__graph_link_load(links + i);
        if (QV_UNLIKELY(x >= n)) { /* newer than this search, or the end */
            if (x == QV__GRAPH_EMPTY) {
                break;
            }
            continue;
        }
        uint32_t is_allowed = qv__bit_test(allow, x), is_new = !qv__bit_test(seen, x);
        n_met += is_allowed;
        e->found[n_found] = x;
        n_found += is_allowed & is_new;
        e->bridges[n_bridges] = x;
        n_bridges += (is_allowed ^ 1) & is_new;
    }
    f->links += i;
    f->allowed_links += n_met;
    e->n_met += n_met;
    e->n_found = n_found;
    e->n_bridges = QV_MIN(n_bridges, (uint32_t)BRIDGES_MAX);
    for (; from < n_found; from++) {
        visit(s, e->found[from]);
        fetch_code(g, &f->to, e->found[from]);
    }
}

/* New allowed nodes behind a node: first its neighbours; and if few of them are allowed, the
 * bridges among the others are asked for. */
static void expand(const struct qv__graph *g, struct qv__graph_scratch *s, struct qv__filtered *f,
                   uint32_t node, struct expansion *e)
{
    uint64_t before = f->links;
    e->n_found = e->n_bridges = e->n_met = 0;
    f->hops++;
    read_links(g, s, f, node, e);
    if (e->n_met >= ENOUGH || 4 * e->n_met >= 3 * (uint32_t)(f->links - before)) {
        e->n_bridges = 0;
        return;
    }
    for (uint32_t i = 0; i < QV_MIN(e->n_bridges, (uint32_t)FETCH_AHEAD); i++) {
        fetch_record(g, e->bridges[i]);
    }
}

/* Then, when the records had time to arrive, what is behind the bridges, nearest hop first. */
static void cross(const struct qv__graph *g, struct qv__graph_scratch *s, struct qv__filtered *f,
                  struct expansion *e)
{
    for (uint32_t i = 0; i < e->n_bridges && i < RECORDS_MAX && e->n_met < ENOUGH; i++) {
        if (i + FETCH_AHEAD < e->n_bridges) {
            fetch_record(g, e->bridges[i + FETCH_AHEAD]);
        }
        if (!is_visited(s, e->bridges[i])) { /* two bridges may have led to it */
            visit(s, e->bridges[i]);
            f->records++;
            read_links(g, s, f, e->bridges[i], e);
        }
    }
}

/* Put what is near enough into the beam; there is room for candidates where it is a heap. */
static void offer(struct qv__graph_scratch *s, const uint32_t *nodes, const float *dists,
                  uint32_t n)
{
    uint64_t keys[QV__GRAPH_BLOCK], bound = qv__beam_bound(s);
    uint32_t n_keys = 0;
    for (uint32_t i = 0; i < n; i++) {
        keys[n_keys] = qv__key(dists[i], nodes[i]);
        n_keys += keys[n_keys] < bound;
    }
    if (s->is_linear) {
        qv__beam_offer_block(s, keys, n_keys);
        s->n_best = QV_MIN(s->n_best, s->ef);
        return;
    }
    for (uint32_t i = 0; i < n_keys; i++) {
        if (keys[i] < qv__beam_bound(s)) {
            qv__beam_offer(s, keys[i]);
            qv__heap_push(s->cand, &s->n_cand, ~keys[i]);
        }
    }
}

/* Compare what was found, and rank what is near enough. False: no memory. */
static bool rank(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__filtered *f,
                 const uint32_t *nodes, uint32_t n_nodes)
{
    float dists[QV__GRAPH_BLOCK];
    for (uint32_t at = 0; at < n_nodes; at += QV__GRAPH_BLOCK) {
        uint32_t n = QV_MIN(n_nodes - at, (uint32_t)QV__GRAPH_BLOCK);
        if (!s->is_linear && !qv__scratch_room(g, s, n)) {
            return false;
        }
        qv__walk_measure(g, &f->to, 0, nodes + at, n, dists);
        offer(s, nodes + at, dists, n);
    }
    f->distances += n_nodes;
    return true;
}

/* The nearest node that is not expanded yet. */
static bool next_open(struct qv__graph_scratch *s, uint32_t *node)
{
    if (s->is_linear) {
        if (s->next_open >= s->n_best) {
            return false;
        }
        *node = qv__key_node(s->best[s->next_open]);
        s->best[s->next_open] |= 1;
        while (++s->next_open < s->n_best && s->best[s->next_open] & 1) {
        }
        return true;
    }
    if (s->n_cand == 0 || ~s->cand[0] > qv__beam_bound(s)) {
        return false;
    }
    *node = qv__key_node(~s->cand[0]);
    qv__heap_pop(s->cand, &s->n_cand);
    return true;
}

/* Ask for the records of the nodes that will probably be expanded next. */
static void fetch_next(const struct qv__graph *g, const struct qv__graph_scratch *s)
{
    if (!s->is_linear) {
        if (s->n_cand) {
            fetch_record(g, qv__key_node(~s->cand[0]));
        }
        return;
    }
    uint32_t end = QV_MIN(s->n_best, s->next_open + LOOK_AHEAD), n = 0;
    for (uint32_t i = s->next_open; i < end && n < OPEN_AHEAD; i++) {
        if (!(s->best[i] & 1)) {
            fetch_record(g, qv__key_node(s->best[i]));
            n++;
        }
    }
}

/* Allowed nodes from all over the set. */
static uint32_t pick_seeds(struct qv__graph_scratch *s, const struct qv__filtered *f,
                           uint32_t *seeds)
{
    struct qv__rng rng;
    uint32_t n = 0, n_words = (uint32_t)qv__bitset_words(f->n);
    qv__rng_seed(&rng, f->seed);
    for (uint32_t t = 0; t < SEED_TRIES && n < SEEDS; t++) {
        uint32_t w = (uint32_t)qv__rng_below(&rng, n_words),
                 shift = (uint32_t)qv__rng_below(&rng, 64);
        uint64_t word = f->allow[w];
        uint64_t from = word >> shift;
        uint32_t x = w * 64 + (from   ? shift + (uint32_t)__builtin_ctzll(from)
                               : word ? (uint32_t)__builtin_ctzll(word)
                                      : UINT32_C(0));
        if (word && x < f->n && !is_visited(s, x)) {
            visit(s, x);
            seeds[n++] = x;
        }
    }
    if (n >= SEEDS_LEAST) {
        return n;
    }
    /* Few, or all in one place: evenly through the set. */
    uint64_t seen = 0, step = QV_MAX(f->n_allowed / SEEDS, 1u), next = step / 2;
    for (uint32_t w = 0; w < n_words && n < SEEDS; w++) {
        uint64_t word = f->allow[w];
        uint32_t in_word = (uint32_t)__builtin_popcountll(word);
        for (; next < seen + in_word && n < SEEDS; next += step) {
            uint64_t left = word;
            for (uint64_t skip = next - seen; skip; skip--) {
                left &= left - 1;
            }
            uint32_t x = w * 64 + (uint32_t)__builtin_ctzll(left);
            if (x < f->n && !is_visited(s, x)) {
                visit(s, x);
                seeds[n++] = x;
            }
        }
        seen += in_word;
    }
    return n;
}

uint32_t qv__filtered_around(const struct qv__graph *g, const uint64_t *allow, uint32_t n,
                             uint32_t entry, uint32_t *looked)
{
    uint32_t nodes[AROUND + 1], n_nodes = 0, allowed = 0;
    const uint32_t *links = qv__graph_base_links(g, entry);
    nodes[n_nodes++] = entry;
    for (uint32_t i = 0; i < g->cap_base && n_nodes <= AROUND; i++) {
        uint32_t x = qv__graph_link_load(links + i);
        if (x < n) {
            fetch_record(g, x);
            nodes[n_nodes++] = x;
        } else if (x == QV__GRAPH_EMPTY) {
            break;
        }
    }
    *looked = 0;
    for (uint32_t i = 0; i < n_nodes; i++) {
        links = qv__graph_base_links(g, nodes[i]);
        for (uint32_t j = 0; j < g->cap_base; j++) {
            uint32_t x = qv__graph_link_load(links + j);
            if (x < n) {
                allowed += qv__bit_test(allow, x);
                ++*looked;
            } else if (x == QV__GRAPH_EMPTY) {
                break;
            }
        }
    }
    return allowed;
}

static double spent(const struct qv__filtered *f)
{
    return (double)f->distances * (double)f->costs.distance +
           (double)(f->records + f->hops) * (double)f->costs.record;
}

/* Is what is left of the walk dearer than the budget? A walk expands about ef nodes. */
static bool too_dear(const struct qv__filtered *f)
{
    double now = spent(f), left = (double)f->ef - (double)f->hops;
    return now > f->budget ||
           (f->hops >= 2 * CHECK_HOPS && left > 0 && now / (double)f->hops * left > f->budget);
}

/* The first nodes to rank: what is around the entry, and seeds where that is little. */
static bool begin(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__filtered *f,
                  struct expansion *e)
{
    bool is_allowed = qv__bit_test(f->allow, f->entry);
    visit(s, f->entry);
    if (is_allowed && !rank(g, s, f, &f->entry, 1)) {
        return false;
    }
    if (!is_allowed) {
        expand(g, s, f, f->entry, e);
        cross(g, s, f, e);
        if (!rank(g, s, f, e->found, e->n_found)) {
            return false;
        }
    }
    double here = ((double)f->allowed_links + 0.5) / ((double)f->links + 1.0);
    bool is_opposed = !is_allowed && 4 * here * (double)f->n < (double)f->n_allowed;
    if (!is_allowed && (is_opposed || e->n_found < SEEDS_LEAST / 4)) {
        uint32_t n = pick_seeds(s, f, e->found);
        return rank(g, s, f, e->found, n);
    }
    return true;
}

/* Ask for the whole set, if the walk will look at a good part of its lines. */
static void fetch_allow(const struct qv__filtered *f)
{
    size_t n_words = qv__bitset_words(f->n);
    if (n_words / 8 <= (size_t)f->ef * LINES_A_PLACE) {
        for (size_t w = 0; w < n_words; w += 8) {
            qv__prefetch(f->allow + w);
        }
    }
}

qv_status qv__filtered_walk(struct qv__graph *g, struct qv__graph_scratch *s,
                            struct qv__filtered *f)
{
    struct expansion e[2];
    uint32_t node;
    e[0].n_found = 0;
    if (!qv__scratch_begin(g, s, f->n, f->ef, 0, f->ef <= QV__BEAM_LINEAR_MAX) ||
        !qv__scratch_unseen(g, s, f->n)) {
        return QV_ENOMEM;
    }
    fetch_allow(f);
    if (!begin(g, s, f, &e[0])) {
        return QV_ENOMEM;
    }
    uint64_t next_check = 0;
    bool is_there = next_open(s, &node);
    if (is_there) {
        expand(g, s, f, node, &e[0]);
        cross(g, s, f, &e[0]);
    }
    for (uint32_t now = 0; is_there; now ^= 1) {
        is_there = next_open(s, &node);
        if (is_there) {
            expand(g, s, f, node, &e[now ^ 1]);
        }
        if (!rank(g, s, f, e[now].found, e[now].n_found)) {
            return QV_ENOMEM;
        }
        if (!is_there && (is_there = next_open(s, &node))) {
            expand(g, s, f, node, &e[now ^ 1]);
        }
        fetch_next(g, s);
        if (is_there) {
            cross(g, s, f, &e[now ^ 1]);
        }
        if (f->hops % CHECK_HOPS == 0 && too_dear(f)) {
            f->gave_up = true;
            return QV_OK;
        }
        if (f->distances + f->records >= next_check) {
            next_check = f->distances + f->records + CHECK_EVERY;
            QV_TRY(qv__qctx_check(f->ctx));
        }
    }
    return QV_OK;
}

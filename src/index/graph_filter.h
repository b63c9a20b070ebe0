/* graph_filter.h: searches with a filter: the ways there are, what each costs, and the choice.
 *
 * What it is: three ways to the nearest allowed nodes. A *scan* compares every allowed one. A
 * *filtered walk* ranks allowed nodes only and looks for more of them through the links of the
 * others (two hops). A *post-filter* walks as if there were no filter, with a wider beam, and keeps
 * what is allowed of it. graph_plan.c chooses by what they cost on this graph.
 * What it is not: known outside this folder; index.h names the ways. */
#ifndef QV_INDEX_GRAPH_FILTER_H
#define QV_INDEX_GRAPH_FILTER_H

#include "index/graph_walk.h"

/* What a filtered walk sees: the query, and what it may cost. */
struct qv__filtered {
    struct qv__graph_target to;
    const uint64_t *allow;
    uint32_t n;         /* ordinals from here on are not there */
    uint32_t n_allowed; /* set bits below n, at least 1 */
    uint32_t ef;
    uint32_t entry; /* a base node near the query */
    double budget;  /* the walk gives up when it has cost so much, or will; in the unit of costs */
    struct qv__graph_costs costs;
    struct qv__qctx *ctx;
    uint64_t seed;
    /* out */
    uint64_t distances, hops, records; /* records: of nodes that are not allowed, read for links */
    uint64_t links, allowed_links;     /* looked at, and of them allowed */
    bool gave_up;
};

/* graph_filter.c */

/* Fill the beam of `s` (sorted or a heap, see s->is_linear) with the nearest allowed nodes that a
 * walk finds. Errors: QV_ENOMEM, QV_ETIMEOUT, QV_ECANCELLED, without a message. */
qv_status qv__filtered_walk(struct qv__graph *g, struct qv__graph_scratch *s,
                            struct qv__filtered *f) QV_MUST_USE;
/* Share of the links around `entry` that lead to allowed nodes: of its own, and of some of its
 * neighbours'. *looked: how many links that are. */
uint32_t qv__filtered_around(const struct qv__graph *g, const uint64_t *allow, uint32_t n,
                             uint32_t entry, uint32_t *looked);

/* graph_scan.c */

/* Compare every allowed node by its code; the nearest `pool` are left in the beam of `s`. Errors as
 * above. */
qv_status qv__scan_codes(struct qv__graph *g, struct qv__graph_scratch *s,
                         const struct qv__graph_target *to, const uint64_t *allow, uint32_t n,
                         uint32_t pool, struct qv__qctx *ctx, uint64_t *distances) QV_MUST_USE;

struct qv__graph_sketches;
/* The same by sketches first, of which the `keep` nearest are then compared by their codes. Adds
 * the latter and a half of the former to *distances. */
qv_status qv__scan_sketches(struct qv__graph *g, struct qv__graph_scratch *s,
                            const struct qv__graph_target *to, const struct qv__graph_sketches *k,
                            const uint64_t *allow, uint32_t n, uint32_t keep, uint32_t pool,
                            struct qv__qctx *ctx, uint64_t *distances) QV_MUST_USE;
/* How many to keep of so many allowed ones. */
uint32_t qv__sketches_kept(uint32_t n_allowed, uint32_t pool);

/* graph_costs.c */

/* Scans have sketches from now on: measure again what a row costs. */
void qv__graph_costs_sketched(struct qv__graph *g, struct qv__qctx *ctx,
                              const struct qv__graph_sketches *k);

/* The costs of now over n ordinals; measured here by the first caller that has a clock, and again
 * when the graph has doubled. QV_ETIMEOUT, without a message: the caller is an attempt, and they
 * are to be measured. */
qv_status qv__graph_costs_get(struct qv__graph *g, struct qv__qctx *ctx, uint32_t n,
                              struct qv__graph_costs *out) QV_MUST_USE;
/* What a filtered walk costs where a share of the nodes around the query is allowed. */
double qv__graph_cost_filtered(const struct qv__graph_costs *c, double ef, double share);
/* How many times as wide the beam of a filtered walk must be there; at least 1. */
double qv__graph_wider(const struct qv__graph_costs *c, double share);
/* What a walk without a filter costs. */
double qv__graph_cost_walk(const struct qv__graph_costs *c, double ef);
double qv__graph_cost_scan(const struct qv__graph_costs *c, double n_allowed, double n);

/* graph_plan.c */

/* A search with q->allow. `ef` is the beam asked for, n_allowed > 0. */
qv_status qv__graph_search_allowed(struct qv__graph *g, const struct qv__index_query *q,
                                   uint32_t ef, uint32_t n_allowed, struct qv__qctx *ctx,
                                   struct qv__index_hit *hits, uint32_t *n_hits,
                                   struct qv_err *err) QV_MUST_USE;

#endif

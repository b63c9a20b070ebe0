/* issues.h: fields whose want of an index made queries slow.
 *
 * What it is: a list that slow queries add to and that somebody may read: which field of which
 * collection, and the types of payload index that would serve it. What it is not: a log of slow
 * queries. A field is listed once; it goes when an index serves it or its collection is gone, which
 * is looked at when the list is read. Threads: any. */
#ifndef QV_API_ISSUES_H
#define QV_API_ISSUES_H

#include "engine/query.h"

struct qv__api;
struct qv__collection;

#define QV__ISSUES_MAX    1024u                /* fields listed at once; more are not */
#define QV__SLOW_QUERY_NS UINT64_C(1200000000) /* the peer's bound */

struct qv__issue {
    struct qv__str collection, field; /* the path's text */
    uint64_t since_ms;                /* wall clock */
    const char *types[12];            /* any of these would do */
    size_t n_types;
};

/* A query took so long: list the fields of its filters that no index serves, if that is too long.
 * What there is no memory for is not listed. */
void qv__issues_query(struct qv__api *api, struct qv__collection *c, const struct qv__query *q,
                      uint64_t ns);
/* All in the arena, by collection and field. QV_ENOMEM. */
qv_status qv__issues_list(struct qv__api *api, struct qv__arena *arena,
                          const struct qv__issue **out, size_t *n) QV_MUST_USE;
void qv__issues_clear(struct qv__api *api);

#endif

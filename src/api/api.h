/* api.h: the object behind request.h; for the files of this folder only.
 *
 * What it is: the database, the dialect and the counters of requests. */
#ifndef QV_API_API_H
#define QV_API_API_H

#include <stdatomic.h>

#include "api/dialect.h"
#include "base/counters.h"

#define QV__RANK_API ((enum qv__rank)1) /* outside every lock of the engine */

/* One route and one response status. All fields are relaxed atomics. */
struct qv__api_cell {
    int http_status;
    _Atomic uint64_t n, sum_ns, min_ns, max_ns, last_ms;
    _Atomic uint64_t bucket[QV__API_BUCKETS]; /* not cumulative */
};
#define QV__API_CELLS 20u /* distinct statuses per route that are told apart */

/* Counters of one route, filled as statuses are met. */
struct qv__api_counts {
    _Atomic(struct qv__api_cell *) cell[QV__API_CELLS];
};

struct qv__api {
    struct qv__db *db;
    struct qv__mem *mem;
    const struct qv__dialect *dialect;
    struct qv__api_options options;
    struct qv__api_counts *counts; /* [n_routes + 1]: the last counts requests without a route */
    struct qv__counter lost;       /* responses not counted for lack of memory */
    struct qv__mutex patch;
    uint64_t started_ms; /* wall clock */
};

void qv__api_count(struct qv__api *api, const struct qv__route *route, int http_status,
                   uint64_t ns);

#endif

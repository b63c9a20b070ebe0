/* api.h: the object behind request.h; for the files of this folder only.
 *
 * What it is: the database, the dialect and the counters of requests. */
#ifndef QV_API_API_H
#define QV_API_API_H

#include <stdatomic.h>

#include "api/dialect.h"
#include "base/counters.h"
#include "base/map.h"

#define QV__RANK_API ((enum qv__rank)1) /* outside every lock of the engine */

/* One route and one response status. The count is the sum of the buckets. A response is put into
 * its bucket last (release) and read there first (acquire), so that what is read agrees. */
struct qv__api_cell {
    int http_status;
    _Atomic uint64_t sum_ns, min_ns, max_ns, last_ms;
    _Atomic uint64_t bucket[QV__API_BUCKETS + 1]; /* not cumulative; the last is above all bounds */
};
#define QV__API_CELLS 20u /* distinct statuses per route that are told apart */

/* Counters of one route, filled as statuses are met. */
struct qv__api_counts {
    _Atomic(struct qv__api_cell *) cell[QV__API_CELLS];
};

/* The same by collection, where a route names one: asked for rarely, so behind one lock. Cells of
 * the name "" are the rest, so that each response is in one cell. */
struct qv__api_by_collection {
    struct qv__mutex lock;
    struct qv__map map;                /* collection, route, status -> index of cells */
    struct qv__api_named_cell **cells; /* guarded by: lock */
    size_t n, cap;
    size_t n_named;  /* of names other than "" */
    uint64_t n_full; /* responses that asked for a cell when there was none left */
};
#define QV__API_NAMED_MAX  65536u /* cells of collections; what comes after is in the rest */
#define QV__API_NAMED_LOOK 4096u  /* n_full between looks for cells of collections that are gone */

struct qv__api_issues {
    struct qv__mutex lock;
    struct qv__issue_record *first; /* guarded by: lock */
    size_t n;
};

struct qv__api {
    struct qv__db *db;
    struct qv__mem *mem;
    const struct qv__dialect *dialect;
    struct qv__api_options options;
    struct qv__api_counts *counts; /* [n_routes + 1]: the last counts requests without a route */
    struct qv__api_by_collection by_collection;
    struct qv__api_issues issues;
    _Atomic uint32_t no_attempts; /* so many reads go to workers without being tried */
    struct qv__counter lost;      /* responses not counted for lack of memory or places */
    struct qv__mutex patch;
    uint64_t started_ms; /* wall clock */
};

void qv__api_count(struct qv__api *api, const struct qv__route *route, int http_status,
                   uint64_t ns);
unsigned qv__api_bucket(uint64_t ns); /* the histogram's; QV__API_BUCKETS = above all bounds */

/* --- issues.c --- */

void qv__issues_init(struct qv__api *api);
void qv__issues_free(struct qv__api *api);

/* --- metrics_collection.c --- */

void qv__api_named_init(struct qv__api *api);
void qv__api_named_free(struct qv__api *api);
/* `name`: as the request has it, of a collection, an alias, or of nothing. Takes the catalog's
 * lock. */
void qv__api_count_named(struct qv__api *api, struct qv__str name, const struct qv__route *route,
                         int http_status, uint64_t ns);

#endif

/* dialect.h: what a dialect gives to request.c: a table of routes, and what runs them.
 *
 * What it is: the seam between carrying a request (lanes, limits, metrics: request.c) and meaning
 * it (api/qdrant/ and its later siblings). A dialect finishes every request it is given exactly
 * once. What it is not: known to carriers; those see request.h only. */
#ifndef QV_API_DIALECT_H
#define QV_API_DIALECT_H

#include "api/request.h"

#define QV__ROUTE_SEGMENTS_MAX 10u
#define QV__ROUTE_PARAMS_MAX   4u

struct qv__call; /* one request under way; the dialect's own */

struct qv__route {
    enum qv__method method;
    enum qv__lane lane;
    const char *pattern; /* "/collections/{collection_name}/points": literal or {param} segments */
    uint32_t flags;      /* the dialect's */
    qv_status (*run)(struct qv__call *c); /* for the dialect */
};

struct qv__dialect {
    const struct qv__route *routes;
    size_t n_routes;
    bool (*takes_file)(const struct qv__route *route); /* see qv__api_takes_file */
    /* True if its requests are short as a rule, change nothing, and may be broken off and begun
     * anew: see qv__api_is_attempt. */
    bool (*may_be_tried)(const struct qv__route *route);
    /* Seconds that the client allows; 0 = it does not say, or not so that it can be understood. */
    uint64_t (*timeout_s)(const struct qv__route *route, struct qv__str query);
    /* On a pool worker, or the carrier's thread. Finishes the request now or later with
     * qv__api_finish. */
    void (*run)(struct qv__request *r, const struct qv__route *route, const struct qv__str *params);
    /* Write an error into r->response; the caller finishes the request. Needs no memory but the
     * body's. */
    void (*refuse)(struct qv__request *r, int http_status, const char *text);
};

extern const struct qv__dialect qv__qdrant_dialect;

/* --- router
 * ----------------------------------------------------------------------------------------- */

enum qv__routed {
    QV__ROUTED = 0,
    QV__ROUTE_UNKNOWN,   /* no route has this path */
    QV__ROUTE_METHOD,    /* one has, with other methods: see `allowed` */
    QV__ROUTE_MALFORMED, /* the path cannot be decoded: see err */
    QV__ROUTE_NO_MEMORY
};
struct qv__route_match {
    const struct qv__route *route;
    struct qv__str params[QV__ROUTE_PARAMS_MAX]; /* decoded UTF-8; may hold any character */
    unsigned allowed; /* bit (1 << method) for each method the path has a route for */
};
/* Find the first route for method and path. Empty segments (double and trailing slashes) do not
 * count;
 * "." and ".." are segments like others, so a path never climbs. Segments are decoded one by one,
 * so an encoded slash stays inside its segment. HEAD takes the route of GET. */
enum qv__routed qv__route_find(const struct qv__route *routes, size_t n_routes,
                               enum qv__method method, struct qv__str path, struct qv__arena *arena,
                               struct qv__route_match *out, struct qv_err *err);
const char *qv__method_name(enum qv__method m);

/* --- finishing
 * --------------------------------------------------------------------------------------- */

/* Count the response and hand it to the carrier. The request, its arena and all that lives there
 * are gone for the caller afterwards. */
void qv__api_finish(struct qv__request *r);
/* True while the carrier's thread tries a request. The dialect ends it with QV_ETIMEOUT at
 * r->attempt_end_ns, keeps nothing of it but what is in the arena, and calls the other, after which
 * the request is a worker's. */
static inline bool qv__api_is_attempt(const struct qv__request *r)
{
    return r->attempt_end_ns != 0;
}
void qv__api_begin_anew(struct qv__request *r);
/* Have a worker of the lane go on with it: fn gets &r->task. It may come on another thread, too,
 * once the deadline is over or the client gone, and has to look for that first. */
void qv__api_queue(struct qv__request *r, enum qv__lane lane, void (*fn)(struct qv__task *task));

/* When it is to be over if `allowed_s` (0 = no matter) count from now. */
uint64_t qv__api_deadline(const struct qv__request *r, uint64_t allowed_s);
#define QV__API_LATE "the request waited too long for a worker"
#define QV__API_GONE "the client is gone"

/* Held around a change of a collection's settings that depends on what they were. Outermost of all
 * locks. */
struct qv__mutex *qv__api_patch_lock(struct qv__api *api);

/* --- numbers
 * ----------------------------------------------------------------------------------------- */

/* How patterns of routes begin whose first parameter is a collection. */
#define QV__API_BY_COLLECTION "/collections/{collection_name}"
void qv__api_label(struct qv__buf *out, struct qv__str s); /* the value of a label, escaped */

#define QV__API_BUCKETS 11u /* bounds of the histograms: see metrics.c */
struct qv__api_figures {
    const char *method;   /* "GET" */
    const char *endpoint; /* pattern, or "unknown" */
    int http_status;
    uint64_t n, sum_ns, min_ns, max_ns, last_ms;
    uint64_t bucket[QV__API_BUCKETS]; /* not cumulative */
    struct qv__str collection;        /* "" = of all, or of the rest */
};
/* Call back for every route and status that was met, in the table's order. */
void qv__api_counts_each(struct qv__api *api,
                         void (*cb)(void *arg, const struct qv__api_figures *f), void *arg);
/* The figures of routes that name a collection, by collection, route and status, sorted, in the
 * arena. Those of a collection: all responses, errors too, sent while it was there, asked for by
 * its name or an alias. Those of collection "", which come first, are the rest: of names that are
 * no collection or none any more, and what there was no place for. Together they are all.
 * QV_ENOMEM. */
qv_status qv__api_counts_by_collection(struct qv__api *api, struct qv__arena *arena,
                                       const struct qv__api_figures **out, size_t *n) QV_MUST_USE;
uint64_t qv__api_started_ms(const struct qv__api *api); /* wall clock */

#endif

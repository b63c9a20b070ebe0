/* request.h: one request and its response, whatever carried it.
 *
 * What it is: the seam between carriers (HTTP server, qv_request, later gRPC) and dialects. A
 * carrier fills a request and submits it; a dialect's handler runs on a pool worker, or, if the
 * carrier has time for it, on the carrier's own thread for a millisecond (request.c), never blocks
 * in a sync, and finishes the request, from any thread, exactly once. What it is not: HTTP
 * parsing, sockets or TLS; those are the server's. */
#ifndef QV_API_REQUEST_H
#define QV_API_REQUEST_H

#include "base/arena.h"
#include "base/pool.h"
#include "engine/db.h"

enum qv__method { QV__GET = 0, QV__POST, QV__PUT, QV__PATCH, QV__DELETE, QV__HEAD, QV__OPTIONS };

struct qv__header {
    struct qv__str name; /* lower case */
    struct qv__str value;
};

/* Who asks. anonymous = no credential was required. */
struct qv__principal {
    struct qv__str subject;
    bool read_only;
    const struct qv__filter
        *forced_filter; /* ANDed to every read and write selection; NULL = none */
};

/* A body that is made while it is sent: more than memory may hold. */
struct qv__source {
    uint64_t bytes;
    /* Up to n bytes from `at`, at least one. Called front to back as the client takes them, by one
     * thread at a time. */
    qv_status (*read)(struct qv__source *s, uint64_t at, void *buf, size_t n, size_t *got,
                      struct qv_err *err);
    void (*close)(struct qv__source *s);
};

struct qv__response {
    int http_status;
    const char *content_type;   /* static string */
    struct qv__header extra[4]; /* e.g. Retry-After */
    unsigned n_extra;
    struct qv__buf body;       /* either the body … */
    struct qv__source *source; /* … or this, which the carrier closes once, whatever happens */
};

struct qv__api;

/* Filled by the carrier; owned by it until `done`. Everything borrowed stays valid until then. */
struct qv__request {
    struct qv__api *api;
    enum qv__method method;
    struct qv__str path;  /* percent-encoded, as received, without the query string */
    struct qv__str query; /* "a=b&c=d", percent-encoded; "" = none */
    const struct qv__header *headers;
    size_t n_headers;
    const struct qv__bytes *body; /* in chunks */
    size_t n_body;
    /* … or, for what qv__api_takes_file says, in a file of the database's io. The carrier removes
     * it after `done`, unless a handler took it over and left NULL here. */
    const char *body_file;
    uint64_t body_file_bytes;
    struct qv__principal principal;
    uint64_t deadline_ns; /* monotonic; 0 = none; submitting makes it sooner where a client asks */
    _Atomic bool cancelled; /* set by the carrier when the client went away */
    struct qv__str trace_id;
    struct qv__str idempotency_key;
    uint64_t started_ns;          /* monotonic */
    struct qv__arena arena;       /* of the request; initialised by the carrier, freed by it */
    struct qv__response response; /* body buffer initialised by the carrier */
    void (*done)(struct qv__request *r); /* called exactly once, from any thread */
    void *carrier;                       /* the carrier's own */
    /* The thread that submits may run it if it is a short read: no more than QV__ATTEMPT_NS long,
     * but for one that waits for the disk. Then `done` may have been called when submit returns,
     * and the api outlives that return. */
    bool may_run_here;
    struct qv_err *reason;   /* filled when the answer is an error; NULL = nobody asks; borrowed */
    struct qv__task task;    /* internal */
    void *handler_state;     /* internal */
    void *dialect_state;     /* the dialect's own */
    uint64_t attempt_end_ns; /* internal: the thread that submitted tries it until then; else 0 */
    bool is_second;          /* internal: it was tried before */
};

struct qv__api_options {
    size_t body_bytes_max;  /* 0 = 32 MiB */
    uint64_t slow_query_ns; /* from which on fields without an index are told; 0 = 1.2 s */
};
qv_status qv__api_create(struct qv__db *db, const struct qv__api_options *o, struct qv__api **out,
                         struct qv_err *err) QV_MUST_USE;
/* Only when no request is in flight. NULL-safe. */
void qv__api_free(struct qv__api *api);
struct qv__db *qv__api_db(struct qv__api *api);

/* True if the body of such a request may be larger than memory and is to come as a file. */
bool qv__api_takes_file(struct qv__api *api, enum qv__method method, struct qv__str path,
                        struct qv__arena *arena);
/* QV_ENOSPC unless such bodies may take so many more bytes of the disk. */
qv_status qv__api_room_for(struct qv__api *api, uint64_t bytes, struct qv_err *err) QV_MUST_USE;
#define QV__ATTEMPT_NS UINT64_C(1000000)
/* Route, and run here or on a pool worker; with a pool of no threads, the caller's qv__db_step runs
 * it. */
void qv__api_submit(struct qv__request *r);

/* Answer what waits for a worker although its time is up or its client gone. Returns the first
 * instant at which there will be more of the former; UINT64_MAX = never. Whoever submits calls it
 * then. Threads: any one that no request runs on. */
uint64_t qv__api_expire(struct qv__api *api);

/* Number of requests per route and status, and their latencies, as Prometheus text. */
struct qv__api_figures;
/* Of all collections together; or, with figures by collection, those in place of the sums of the
 * routes that they tell apart. */
void qv__api_metrics(struct qv__api *api, const struct qv__api_figures *by_collection, size_t n,
                     struct qv__buf *out);

#endif

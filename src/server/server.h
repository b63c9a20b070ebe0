/* server.h: HTTP/1.1 in front of the API.
 *
 * What it is: a carrier (api/request.h): it listens, reads requests, checks who asks, hands each
 * request to `submit`, and writes the response when the request's `done` has been called. Every
 * limit that protects the process from clients (sizes, counts, times, memory) is enforced here,
 * before a handler sees anything. What it is not: a router, a dialect, TLS, or signal handling.
 *
 * Life: create (checks, takes memory), start (binds, starts threads), stop, free. One server may be
 * started once.
 * Threads: create, start, stop and free from one thread; the others from any. */
#ifndef QV_SERVER_SERVER_H
#define QV_SERVER_SERVER_H

#include "api/request.h"
#include "server/config.h"

struct qv__server;

/* What a server stands on. All borrowed until qv__server_free. */
struct qv__server_options {
    struct qv__server_config config; /* copied */
    struct qv__api *api;             /* put into every request; may be NULL in tests */
    void (*submit)(
        struct qv__request *); /* runs a request, calls its `done` once, from any thread */
    /* Answers submitted requests whose time is up, or that are cancelled, before they have begun;
     * returns when to ask again. NULL = there is nothing that waits. */
    uint64_t (*expire)(struct qv__api *api);
    struct qv__mem *mem; /* parent of the account "server" */
    const struct qv__clock *clock;
    const struct qv__logger *logger; /* NULL = silent */
    /* Which bodies go to a file of `io`, in its directory tmp; NULL = none. */
    bool (*takes_file)(struct qv__api *api, enum qv__method method, struct qv__str path,
                       struct qv__arena *arena);
    /* QV_ENOSPC unless they may take so many more bytes. Not NULL where takes_file is not. */
    qv_status (*room_for)(struct qv__api *api, uint64_t bytes, struct qv_err *err);
    struct qv__io *io;
    uint64_t seed; /* of generated trace ids */
    uint32_t
        sweep_ms; /* look at timeouts this often, for a clock that jumps; 0 = when one is due */
};

/* The options of a server for a database: its memory, clock, logger and io, and qv__api_submit. */
void qv__server_options_init(struct qv__server_options *o, const struct qv__server_config *config,
                             struct qv__db *db, struct qv__api *api);

/* Errors: QV_EINVAL (qv__server_config_check), QV_ENOMEM. */
qv_status qv__server_create(const struct qv__server_options *o, struct qv__server **out,
                            struct qv_err *err) QV_MUST_USE;

/* Bind, listen, serve. Without any key an address that is not loopback is refused unless
 * allow_open. Errors: QV_EINVAL (address), QV_EFORBIDDEN (open address without a key), QV_ELOCKED
 * (address in use), QV_EIO, QV_ENOMEM, QV_EBUSY (no thread). Nothing runs after an error. */
qv_status qv__server_start(struct qv__server *s, struct qv_err *err) QV_MUST_USE;

/* The port that is served; 0 before start. */
uint16_t qv__server_port(const struct qv__server *s);

/* Stop accepting; answer new requests of open connections with 503; let requests in flight finish
 * for grace_ms; then cancel what still runs, wait until each of its `done` has been called (a
 * request's memory is the handler's until then), close all connections and end the threads. No-op
 * when not running. */
void qv__server_stop(struct qv__server *s, uint32_t grace_ms);

/* Stops first, with no grace. NULL-safe. */
void qv__server_free(struct qv__server *s);

struct qv__server_stats {
    uint64_t connections;         /* open now */
    uint64_t connections_total;   /* accepted since start */
    uint64_t connections_refused; /* over max_connections */
    uint64_t requests_in_flight;
    uint64_t requests_total;   /* head complete */
    uint64_t requests_refused; /* answered here: malformed, not allowed, overload … */
    uint64_t disconnects;      /* clients gone while their request ran */
    uint64_t timeouts;         /* connections closed for slowness */
};
void qv__server_stats(const struct qv__server *s, struct qv__server_stats *out);

#endif

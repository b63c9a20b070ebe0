/* server_impl.h: the objects behind server.h; for the files of this folder only.
 *
 * Threads of a server. (1) One watcher (watch.c): accepts, notices clients that hang up, closes
 * those that are too slow. (2) http_threads of libmicrohttpd: each owns the connections given to it
 * and calls handler.c for them. (3) Whoever finishes requests: calls request.done.
 *
 * A connection carries one request at a time, so the request lives inside the connection. All of it
 * belongs to the connection's own HTTP thread, except: the atomics, which the watcher reads; `gone`
 * and request.cancelled, which the watcher sets; and, between submit and done, the request, which
 * is the handler's. The connection is freed by its HTTP thread, after it has left the registry,
 * whose lock the watcher holds whenever it touches one. */
#ifndef QV_SERVER_SERVER_IMPL_H
#define QV_SERVER_SERVER_IMPL_H

#include <stdarg.h>
#include <stdatomic.h>

#include <microhttpd.h>

#include "base/counters.h"
#include "server/gate.h"
#include "server/server.h"

#define QV__POOL_BYTES        ((size_t)32 << 10) /* libmicrohttpd's buffer of a connection */
#define QV__CONN_BYTES        ((size_t)1 << 10)  /* its other objects for one, a round figure */
#define QV__CONNECTIONS_SPARE 64u                /* accepted before the count shows them */
#define QV__KEEP_BYTES        ((size_t)16 << 10) /* of buffers kept from request to request */
#define QV__RATE_BYTES        1024u              /* per second: slowest transfer allowed */
#define QV__SEND_GRACE_S      30u                /* on top of what that rate gives */
#define QV__DRAIN_BYTES_MAX   ((size_t)1 << 20)  /* read and dropped so that an answer arrives */
#define QV__RETRY_AFTER       "1"

/* What a connection is doing, for the watcher's timeouts; before RUN it is waiting for the client.
 */
enum qv__phase {
    QV__PHASE_OPEN, /* accepted, nothing read */
    QV__PHASE_IDLE, /* between requests */
    QV__PHASE_HEAD, /* request line read */
    QV__PHASE_BODY,
    QV__PHASE_RUN, /* submitted */
    QV__PHASE_SEND
};

/* How far a request has come, for its HTTP thread. */
enum qv__stage {
    QV__STAGE_FRESH,   /* head not looked at */
    QV__STAGE_REFUSED, /* `refusal` will be the answer once the request is complete */
    QV__STAGE_READING, /* body */
    QV__STAGE_RUNNING,
    QV__STAGE_ANSWERED
};

/* Who comes second of the HTTP thread and the finisher wakes the connection up. */
enum qv__handoff { QV__HANDOFF_SUBMITTED, QV__HANDOFF_SUSPENDED, QV__HANDOFF_DONE };

/* A body on its way to a file. */
struct qv__spool {
    struct qv__file *file; /* NULL = not open */
    char name[64];         /* "" = there is none */
    uint64_t bytes;
    uint64_t expected; /* that were announced and have not come */
    uint64_t look_at;  /* the room is looked at when there are so many bytes */
    bool handed_over;  /* the request has it */
};

struct qv__conn {
    struct qv__server *server; /* immutable */
    struct MHD_Connection *mhd;
    int fd;
    uint32_t slot, generation; /* in the registry; immutable */
    _Atomic uint32_t phase;    /* written after since_ns and bytes */
    _Atomic uint64_t since_ns; /* when it began */
    _Atomic uint64_t bytes;    /* of the phase: body read so far, response to send */
    _Atomic bool gone;         /* the client hung up */
    bool is_late;              /* told to close for it, and counted; the watcher's alone */
    _Atomic uint32_t handoff;

    /* of the request at hand */
    enum qv__stage stage;
    enum qv__refusal refusal;
    bool counted;           /* in server.in_flight */
    bool echo_trace;        /* the client sent x-request-id */
    const char *raw_target; /* where the library keeps it; compared, not read */
    struct qv__str target;  /* copy in the arena; p NULL = too long or no memory */
    size_t target_bytes;
    struct qv__gate gate;
    const char *method;               /* the library's, valid until the request is complete */
    struct qv__str origin;            /* header of that name, or empty */
    struct qv__str preflight_headers; /* access-control-request-headers, or empty */
    struct qv__buf body;
    struct qv__bytes body_view;
    bool to_file; /* the body goes to `spool` */
    struct qv__spool spool;
    int http_status; /* answered; 0 = not yet */
    uint64_t sent_bytes;
    struct qv__request request;
};

/* Open connections by slot. */
struct qv__registry {
    struct qv__mutex lock;
    struct qv__conn **slots; /* guarded by: lock */
    uint32_t *free_slots;    /* stack; guarded by: lock */
    uint32_t n_free;
    uint32_t capacity;
    uint32_t generation;
    _Atomic uint32_t n_open;
};

struct qv__server {
    struct qv__server_options o; /* immutable */
    struct qv__mem *mem;         /* account "server" */
    struct MHD_Daemon *daemon;
    struct qv__registry registry;
    struct qv__thread watcher;
    int listen_fd, epoll_fd, wake_fd; /* -1 = none */
    unsigned n_cpus;                  /* immutable */
    bool check_layout;                /* the library's version is one whose buffers gate.h knows */
    bool running;
    uint16_t port;
    char body_large[256];         /* the refusal, with the limits; immutable */
    _Atomic bool draining;        /* answer new requests with 503 */
    _Atomic bool closing;         /* the watcher ends */
    _Atomic uint64_t sweep_at_ns; /* when the watcher looks for connections that are late */
    _Atomic uint32_t in_flight;   /* requests from head to last byte */
    _Atomic uint32_t unfinished;  /* submitted, not done */
    _Atomic uint32_t handed_over; /* connections given to the library that it has not begun */
    _Atomic uint64_t trace_count;
    _Atomic uint64_t spool_count;
    _Atomic uint64_t spool_expected; /* bytes that all bodies on their way to files have announced */
    struct qv__counter accepted, turned_away, requests, refused, disconnects, timeouts;
};

/* conn.c */
qv_status qv__registry_init(struct qv__registry *r, struct qv__mem *mem, uint32_t capacity);
void qv__registry_fini(struct qv__registry *r);
/* Call back for every open connection, under the lock: no blocking, no opening or closing. */
void qv__registry_each(struct qv__registry *r, void (*cb)(void *arg, struct qv__conn *c),
                       void *arg);
/* The client of a slot hung up: mark its connection and cancel its request. */
void qv__registry_gone(struct qv__server *s, uint32_t slot, uint32_t generation);
void qv__conn_phase(struct qv__conn *c, enum qv__phase phase, uint64_t bytes);
void qv__conn_notify(void *cls, struct MHD_Connection *mhd, void **context,
                     enum MHD_ConnectionNotificationCode code);
void qv__conn_reset(struct qv__conn *c); /* forget the request at hand */

/* server.c: have the watcher look whether anything changed. Threads: any. */
void qv__watch_wake(struct qv__server *s);

/* watch.c: init makes epoll_fd and wake_fd, which the caller closes, also after an error. */
qv_status qv__watch_init(struct qv__server *s, struct qv_err *err) QV_MUST_USE;
void qv__watch_main(void *server);
/* The watcher shall look at the connections at that instant, if not sooner. Threads: any. */
void qv__watch_by(struct qv__server *s, uint64_t at_ns);
/* The last instant at which the connection is not late; UINT64_MAX = never late; 0 = its client
 * hung up. */
uint64_t qv__watch_late_ns(const struct qv__conn *c);

/* listen.c */
qv_status qv__listen(const char *host, uint16_t port, int *fd, uint16_t *bound_port, bool *loopback,
                     struct qv_err *err) QV_MUST_USE;

/* handler.c: callbacks of libmicrohttpd */
void *qv__on_target(void *cls, const char *target, struct MHD_Connection *mhd);
enum MHD_Result qv__on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *n_data, void **context);
void qv__on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                      enum MHD_RequestTerminationCode code);

/* begin.c: everything that is decided when a head is complete. */
enum qv__refusal qv__begin(struct qv__conn *c, const char *method, const char *version);

/* spool.c: QV__ACCEPTED, or why the body is refused. discard: safe when there is none. */
enum qv__refusal qv__spool_begin(struct qv__conn *c);
enum qv__refusal qv__spool_write(struct qv__conn *c, const void *data, size_t n);
enum qv__refusal qv__spool_end(struct qv__conn *c);
void qv__spool_discard(struct qv__conn *c);

/* respond.c */
enum MHD_Result qv__respond(struct qv__conn *c);                     /* request.response */
enum MHD_Result qv__refuse(struct qv__conn *c, enum qv__refusal id); /* of the table */
enum MHD_Result qv__refuse_bare(struct MHD_Connection *mhd, enum qv__refusal id); /* no conn */
/* Write a refusal straight to a socket whose connection is about to be closed, and drop what has
 * arrived on it. */
void qv__refuse_raw(const struct qv__server *s, int fd, enum qv__refusal id);
void qv__drain(int fd);
/* Is the origin in a list as configured? *any: the list has "*". */
bool qv__origin_allowed(const char *list, struct qv__str origin, bool *any);

#endif

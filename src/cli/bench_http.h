/* bench_http.h: the parts of `quiver bench http`; for its three files only. */
#ifndef QV_CLI_BENCH_HTTP_H
#define QV_CLI_BENCH_HTTP_H

#include <stdatomic.h>

#include "base/rng.h"
#include "base/thread.h"
#include "cli/bench.h"
#include "cli/http_client.h"
#include "cli/vector_file.h"

enum qv__load_role { QV__LOAD_UPSERT = 0, QV__LOAD_SEARCH };

/* What all connections of one role share. */
struct qv__load {
    enum qv__load_role role;
    const char *url, *api_key;
    const char *path;    /* of the request */
    const char *vectors; /* file of vectors; NULL = random ones */
    uint32_t dim;
    uint32_t batch;     /* points of one upsert */
    uint64_t limit, ef; /* of a search; ef 0 = the server's */
    uint32_t connections;
    double rate;       /* requests per second of all connections; 0 = as fast as answers come */
    uint64_t start_ns; /* when measuring begins: what is due earlier warms up */
    uint64_t end_ns;
    uint64_t seed;
    bool keeps_due;            /* when each request was due is wanted, too */
    _Atomic uint64_t *next_id; /* of the points upserted */
    const _Atomic bool *stop;
};

struct qv__load_worker {
    const struct qv__load *load;
    uint32_t number;
    struct qv__mem *mem;
    struct qv__http *http;
    struct qv__http_answer answer;
    struct qv__vector_file file;
    float *row;
    struct qv__buf body;
    struct qv__rng rng;
    struct qv__latencies latencies;
    struct qv__latencies due; /* one per latency: ns after start; empty unless kept */
    uint64_t until_ns;        /* when its last answer came */
    uint64_t refused;         /* answers other than 2xx, while measuring */
    int refused_status;
    struct qv__thread thread;
    bool started;
    qv_status st;
    struct qv_err err;
};

/* Prepare one connection; release with qv__load_worker_free, also after an error. */
qv_status qv__load_worker_init(struct qv__load_worker *w, const struct qv__load *load,
                               uint32_t number, struct qv__mem *mem,
                               struct qv_err *err) QV_MUST_USE;
void qv__load_worker_free(struct qv__load_worker *w); /* safe on a zeroed one */
/* The thread: requests until the end. */
void qv__load_worker_run(void *worker);

/* Write every request that n workers kept to a file of that name, which is made anew: a line with
 * the kind, and microseconds: due after the start of measuring, latency. */
qv_status qv__load_requests_write(const char *path, const struct qv__load_worker *workers,
                                  uint32_t n, struct qv__mem *mem, struct qv_err *err) QV_MUST_USE;

#endif

/* bench_ann.h: the parts of `quiver bench ann`; for its two files only. */
#ifndef QV_CLI_BENCH_ANN_H
#define QV_CLI_BENCH_ANN_H

#include "cli/bench.h"
#include "engine/db.h"

/* What is searched for, and how. Borrowed for the call. */
struct qv__ann_queries {
    const float *vectors;  /* [n * dim] */
    const uint32_t *truth; /* [n * k]: row numbers, nearest first; NULL = none */
    uint32_t n, dim, k;
    uint32_t threads;
    double seconds;   /* least time of the measured passes */
    float oversample; /* so many times k candidates of codes are measured; 0 = own choice */
};
struct qv__ann_figures {
    double recall, qps, seconds;
    uint64_t passes;
    struct qv__percentiles latency;
    double distances, hops, reranked; /* per query */
    double cpu_us;                    /* per query, of the searching threads */
};

/* Warm up and measure recall in one pass over all queries, then time passes on `threads` threads
 * until `seconds` have gone. */
qv_status qv__ann_measure(struct qv__collection *c, struct qv__mem *mem,
                          const struct qv__ann_queries *q, uint32_t ef, struct qv__ann_figures *out,
                          struct qv_err *err) QV_MUST_USE;
/* The exact answers by comparing everything: row numbers into out[n * k]. */
qv_status qv__ann_exact(struct qv__collection *c, struct qv__mem *mem,
                        const struct qv__ann_queries *q, uint32_t *out,
                        struct qv_err *err) QV_MUST_USE;

#endif

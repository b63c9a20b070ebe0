/* bench.h: what the benchmarks share: latencies of many threads, memory of the process.
 *
 * Percentiles are exact: every latency is kept (8 bytes each), since at the 99th percentile a
 * histogram's bucket may be wider than the difference one wants to see. */
#ifndef QV_CLI_BENCH_H
#define QV_CLI_BENCH_H

#include "base/json.h"
#include "cli/cli.h"

/* Latencies of one thread. Threads: its own. */
struct qv__latencies {
    struct qv__mem *mem;
    uint64_t *ns;
    size_t n, cap;
    uint64_t lost; /* not kept for lack of memory */
};
void qv__latencies_add(struct qv__latencies *l, uint64_t ns);
void qv__latencies_free(struct qv__latencies *l);

struct qv__percentiles {
    uint64_t n;
    double mean_us, p50_us, p95_us, p99_us, max_us;
};
/* Of n threads together; sorts. QV_ENOMEM. */
qv_status qv__latencies_sum(struct qv__mem *mem, struct qv__latencies *const *l, size_t n,
                            struct qv__percentiles *out, struct qv_err *err) QV_MUST_USE;
void qv__percentiles_json(struct qv__jw *w, const struct qv__percentiles *p);
/* A member of a JSON object, rounded to `digits` after the point. */
void qv__bench_f64(struct qv__jw *w, const char *key, double v, unsigned digits);
void qv__bench_u64(struct qv__jw *w, const char *key, uint64_t v);

struct qv__process_memory {
    uint64_t rss_bytes, rss_file_bytes, peak_bytes;
};
/* From /proc/self; zeros where there is none. */
void qv__process_memory(struct qv__mem *mem, struct qv__process_memory *out);

#endif

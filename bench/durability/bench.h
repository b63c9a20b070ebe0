/* bench.h: what the durability benchmarks share: options, a database, random points, percentiles.
 *
 * What it is: the few lines each program would repeat. A benchmark that fails says why and exits;
 * it never measures something else instead. What it is not: part of the library or of its tests. */
#ifndef QV_BENCH_DURABILITY_H
#define QV_BENCH_DURABILITY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/rng.h"
#include "engine/db.h"

#define BENCH_OK(expr)                                                                             \
    do {                                                                                           \
        struct qv_err bench_err_ = {.code = QV_OK}, *err = &bench_err_;                            \
        if ((expr) != QV_OK) {                                                                     \
            (void)fprintf(stderr, "%s: %s\n", #expr, bench_err_.message);                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The value behind --name, or `fallback`. */
static inline const char *bench_text(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) {
            return argv[i + 1];
        }
    }
    return fallback;
}

static inline uint64_t bench_number(int argc, char **argv, const char *name, uint64_t fallback)
{
    const char *text = bench_text(argc, argv, name, NULL);
    return text ? strtoull(text, NULL, 10) : fallback;
}

static inline uint64_t bench_ns(void)
{
    return qv__mono_ns(qv__clock_system());
}

/* Processor time of this process so far, all threads. */
static inline double bench_cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static inline int bench_by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts; p from 0 to 1. */
static inline double bench_percentile_us(uint64_t *ns, size_t n, double p)
{
    if (n == 0) {
        return 0;
    }
    qsort(ns, n, sizeof *ns, bench_by_size);
    return (double)ns[(size_t)((double)(n - 1) * p)] / 1e3;
}

static inline double bench_median(double *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        for (size_t k = i; k > 0 && v[k] < v[k - 1]; k--) {
            double t = v[k];
            v[k] = v[k - 1];
            v[k - 1] = t;
        }
    }
    return n ? v[n / 2] : 0;
}

/* An empty directory for a database; what a former run left there goes. */
static inline void bench_clear(const char *dir)
{
    char command[600];
    if (snprintf(command, sizeof command, "rm -rf -- '%s' && mkdir -p -- '%s'", dir, dir) >=
            (int)sizeof command ||
        strchr(dir, '\'') || system(command) != 0) {
        (void)fprintf(stderr, "%s: cannot be emptied\n", dir);
        exit(1);
    }
}

/* index_rows: 0 = the default; else fewer rows than this stay without a graph. No write waits for a
 * graph: the log is measured. */
static inline struct qv__collection *bench_collection(struct qv__db *db, uint32_t dim, bool bulk,
                                                      uint32_t index_rows)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = dim};
    struct qv__schema s = {.vectors = &def, .n_vectors = 1, .shard_number = 1};
    struct qv__collection *c = NULL;
    s.policy = (struct qv__segment_policy){
        .index_at_seal_only = bulk, .index_rows = index_rows, .tail_bytes = UINT64_MAX};
    s.durability.window_ms = QV__WINDOW_MS_MAX;
    BENCH_OK(qv__db_create_collection(db, QV__STR("bench"), &s, err));
    BENCH_OK(qv__db_collection(db, QV__STR("bench"), &c, err));
    return c;
}

static inline void bench_fill(float *v, size_t n, struct qv__rng *rng)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = (float)(qv__rng_u64(rng) >> 40) / (float)(1 << 24);
    }
}

/* Points [from, from + n) in one write; `v` has room for n vectors and keeps them. */
static inline void bench_put(struct qv__collection *c, uint64_t from, uint32_t n, uint32_t dim,
                             float *v, struct qv__rng *rng, enum qv__durability durability)
{
    struct qv__point *p = calloc(n, sizeof *p);
    struct qv__named_vector *nv = calloc(n, sizeof *nv);
    bench_fill(v, (size_t)n * dim, rng);
    for (uint32_t i = 0; i < n; i++) {
        nv[i] = (struct qv__named_vector){
            .name = QV__STR(""), .values = v + (size_t)i * dim, .dim = dim};
        p[i] = (struct qv__point){.id = qv__id_u64(from + i), .vectors = &nv[i], .n_vectors = 1};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = p, .n_points = n};
    BENCH_OK(qv__collection_write_sync_as(c, &m, 1, durability, NULL, err));
    free(nv);
    free(p);
}

/* One search for the ten nearest; returns how many it found. */
static inline uint32_t bench_search(struct qv__db *db, struct qv__collection *c, const float *v,
                                    uint32_t dim)
{
    struct qv__qctx ctx = {.clock = qv__db_clock(db), .mem = qv__db_mem(db)};
    struct qv__query q = {
        .kind = QV__QUERY_NEAREST, .target = {.values = v, .dim = dim}, .limit = 10};
    struct qv__result_set rs;
    BENCH_OK(qv__collection_query(c, &q, NULL, &ctx, &rs, err));
    uint32_t n = (uint32_t)rs.n;
    qv__result_free(&rs);
    return n;
}

#endif

/* bench_build.c: one graph over a file of vectors: how long its build takes on some numbers of
 * threads, and what searches of it find, in one run.
 *
 * The graph is built once per number of threads, then searched with each beam on each number of
 * threads. A line of a build has wall and CPU time; a line of searches has recall@10, distances and
 * time per query, and searches per second on all threads together. Without --truth the nearest are
 * found by the flat scan. The exact answers, the graph and the order of queries depend on nothing
 * but the arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/pool.h"
#include "index/index.h"

enum { K = 10, LIST_MAX = 16 };

struct args {
    const char *base, *queries, *truth;
    uint32_t n, m, ef_construct, n_queries, ms;
    uint32_t ef[LIST_MAX], threads[LIST_MAX];
    uint8_t metric;
    uint64_t seed;
};

struct rows {
    uint32_t n, dim;
    float *v;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_build: %s: %s\n", what, why);
    exit(1);
}

static void must(qv_status st, const struct qv_err *err)
{
    if (st != QV_OK) {
        die("failed", err->message);
    }
}

static void *take(size_t n_bytes)
{
    void *p = calloc(1, n_bytes ? n_bytes : 1);
    if (!p) {
        die("memory", "out");
    }
    return p;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Rows of 4-byte elements behind their number, as in .fvecs and .ivecs. */
static struct rows rows_read(const char *path, uint32_t n_max)
{
    FILE *f = fopen(path, "rb");
    int32_t dim = 0;
    if (!f || fread(&dim, 4, 1, f) != 1 || dim < 1 || fseek(f, 0, SEEK_END) != 0) {
        die(path, "no .fvecs or .ivecs file");
    }
    struct rows r = {.dim = (uint32_t)dim};
    uint64_t n_bytes = (uint64_t)ftell(f);
    r.n = (uint32_t)QV_MIN(n_bytes / (4 * ((uint64_t)r.dim + 1)), (uint64_t)n_max);
    r.v = take((size_t)r.n * r.dim * 4);
    rewind(f);
    for (uint32_t i = 0; i < r.n; i++) {
        if (fread(&dim, 4, 1, f) != 1 || fread(r.v + (size_t)i * r.dim, 4, r.dim, f) != r.dim) {
            die(path, "short");
        }
    }
    fclose(f);
    return r;
}

struct run {
    const struct args *a;
    const struct qv__simd *simd;
    struct qv__mem *mem;
    struct rows base, queries;
    struct qv__vectors vectors;
    float *kth; /* distance of the K-th nearest, by query */
};

static void truth_find(struct run *r)
{
    struct qv_err err;
    struct qv__index_hit hits[K];
    uint32_t n_hits;
    r->kth = take(r->queries.n * sizeof *r->kth);
    struct rows truth = {0};
    if (r->a->truth) {
        truth = rows_read(r->a->truth, r->queries.n);
        if (truth.n < r->queries.n || truth.dim < K || r->a->n) {
            die(r->a->truth, "too short, or not of this base");
        }
    }
    for (uint32_t i = 0; i < r->queries.n; i++) {
        const float *q = r->queries.v + (size_t)i * r->queries.dim;
        if (truth.v) {
            uint32_t ord;
            memcpy(&ord, truth.v + (size_t)i * truth.dim + K - 1, sizeof ord);
            r->kth[i] = qv__distance(r->simd, &r->vectors, q, ord);
        } else {
            struct qv__qctx ctx = {.mem = r->mem};
            struct qv__index_query query = {.vector = q, .k = K, .n = r->base.n};
            must(qv__scan(r->simd, &r->vectors, 0, &query, &ctx, hits, &n_hits, &err), &err);
            r->kth[i] = hits[n_hits - 1].dist;
        }
    }
    free(truth.v);
}

struct searcher {
    const struct run *r;
    const struct qv__index *x;
    uint32_t ef;
    struct qv__thread thread;
    uint64_t n, n_good, distances;
    double wall, cpu;
};

static void searcher_main(void *arg)
{
    struct searcher *s = arg;
    const struct run *r = s->r;
    struct qv_err err;
    struct qv__index_hit hits[K];
    uint32_t n_hits;
    double begin = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_THREAD_CPUTIME_ID), now = begin;
    do { /* whole passes */
        for (uint32_t i = 0; i < r->queries.n; i++) {
            const float *q = r->queries.v + (size_t)i * r->queries.dim;
            struct qv__qctx ctx = {.mem = r->mem};
            struct qv__index_query query = {.vector = q, .k = K, .n = r->base.n, .ef = s->ef};
            must(s->x->ops->search(s->x, &query, &ctx, hits, &n_hits, &err), &err);
            for (uint32_t j = 0; j < n_hits; j++) {
                s->n_good +=
                    hits[j].dist <= r->kth[i] + 1e-6f * (r->kth[i] < 0 ? -r->kth[i] : r->kth[i]);
            }
            s->distances += ctx.stats.distances;
        }
        s->n += r->queries.n;
        now = seconds(CLOCK_MONOTONIC);
    } while ((now - begin) * 1e3 < r->a->ms);
    s->wall = now - begin;
    s->cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
}

static void search_all(const struct run *r, const struct qv__index *x)
{
    for (const uint32_t *ef = r->a->ef; *ef; ef++) {
        double alone = 0;
        for (const uint32_t *threads = r->a->threads; *threads; threads++) {
            struct searcher *all = take(*threads * sizeof *all);
            struct qv_err err;
            double rate = 0, cpu = 0;
            for (uint32_t i = 0; i < *threads; i++) {
                all[i] = (struct searcher){.r = r, .x = x, .ef = *ef};
                must(qv__thread_start(&all[i].thread, "search", searcher_main, &all[i], &err),
                     &err);
            }
            for (uint32_t i = 0; i < *threads; i++) {
                qv__thread_join(&all[i].thread);
                rate += (double)all[i].n / all[i].wall;
                cpu += all[i].cpu / (double)all[i].n / *threads;
            }
            alone = alone > 0 ? alone : rate / *threads;
            printf(
                "ef %4u  recall %.4f  distances %6.0f  threads %u  cpu %6.1f us  %8.0f/s  %.2fx\n",
                *ef, (double)all[0].n_good / (double)all[0].n / K,
                (double)all[0].distances / (double)all[0].n, *threads, cpu * 1e6, rate,
                rate / alone);
            fflush(stdout);
            free(all);
        }
    }
}

static void run_all(struct run *r)
{
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct qv__index_params params = {.kind = QV__INDEX_GRAPH,
                                      .m = r->a->m,
                                      .ef_construct = r->a->ef_construct,
                                      .seed = r->a->seed};
    struct qv__index *x = NULL;
    double alone = 0;
    for (const uint32_t *threads = r->a->threads; *threads; threads++) {
        struct qv_err err;
        struct qv__pool *pool = NULL;
        if (*threads > 1) {
            must(qv__pool_create(r->mem, *threads - 1, &pool, &err), &err);
        }
        struct qv__index_env env = {
            .mem = r->mem, .simd = r->simd, .pool = pool, .threads = *threads};
        if (x) {
            ops->free(x);
        }
        double begin = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        must(ops->build(&params, &env, &r->vectors, r->base.n, &x, &err), &err);
        double wall = seconds(CLOCK_MONOTONIC) - begin;
        alone = alone > 0 ? alone : wall * *threads;
        printf("build  threads %u  wall %.2f s  cpu %.2f s  %.2fx\n", *threads, wall,
               seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, alone / wall);
        fflush(stdout);
        qv__pool_close(pool);
    }
    search_all(r, x);
    ops->free(x);
}

static void list_read(uint32_t *list, const char *text)
{
    uint32_t n = 0;
    memset(list, 0, LIST_MAX * sizeof *list);
    for (char *end; *text && n < LIST_MAX - 1; text = *end ? end + 1 : end) {
        list[n++] = (uint32_t)strtoul(text, &end, 10);
    }
}

static const char *usage =
    "usage: bench_build --base FILE.fvecs --queries FILE.fvecs [--truth FILE.ivecs] [--metric "
    "l2|ip]\n"
    "                   [--threads 1,2] [--ef 16,32,...] [--n N] [--nq N] [--ms MS] [--m M]\n"
    "                   [--ef-construct EF] [--seed S]\n";

static bool args_read(struct args *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *k = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (!v) {
            return false;
        }
        uint32_t u = (uint32_t)strtoul(v, NULL, 10);
        if (!strcmp(k, "--base")) {
            a->base = v;
        } else if (!strcmp(k, "--queries")) {
            a->queries = v;
        } else if (!strcmp(k, "--truth")) {
            a->truth = v;
        } else if (!strcmp(k, "--threads")) {
            list_read(a->threads, v);
        } else if (!strcmp(k, "--ef")) {
            list_read(a->ef, v);
        } else if (!strcmp(k, "--n")) {
            a->n = u;
        } else if (!strcmp(k, "--nq")) {
            a->n_queries = u;
        } else if (!strcmp(k, "--ms")) {
            a->ms = u;
        } else if (!strcmp(k, "--m")) {
            a->m = u;
        } else if (!strcmp(k, "--ef-construct")) {
            a->ef_construct = u;
        } else if (!strcmp(k, "--seed")) {
            a->seed = u;
        } else if (!strcmp(k, "--metric") && (!strcmp(v, "l2") || !strcmp(v, "ip"))) {
            a->metric = *v == 'l' ? QV__L2 : QV__DOT;
        } else {
            return false;
        }
    }
    return a->base && a->queries;
}

int main(int argc, char **argv)
{
    struct args a = {.n = 0,
                     .n_queries = UINT32_MAX,
                     .m = 16,
                     .ef_construct = 200,
                     .ms = 1,
                     .ef = {16, 32, 64, 128, 256},
                     .threads = {1, 2},
                     .metric = QV__DOT,
                     .seed = 1};
    if (!args_read(&a, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    struct run r = {.a = &a, .simd = qv__simd_best(NULL), .mem = qv__mem_root("bench", 0)};
    r.base = rows_read(a.base, a.n ? a.n : UINT32_MAX);
    r.queries = rows_read(a.queries, a.n_queries);
    if (r.base.dim != r.queries.dim || r.base.n < K) {
        die(a.queries, "not of the dimensions of the base");
    }
    const uint8_t *chunk = (const uint8_t *)r.base.v;
    r.vectors = (struct qv__vectors){.chunks = &chunk,
                                     .chunk_shift = 31,
                                     .stride_bytes = r.base.dim * 4,
                                     .dim = r.base.dim,
                                     .datatype = QV__F32,
                                     .metric = a.metric};
    truth_find(&r);
    printf("%u of %u dimensions, m %u, ef_construct %u, seed %llu\n", r.base.n, r.base.dim, a.m,
           a.ef_construct, (unsigned long long)a.seed);
    run_all(&r);
    free(r.kth);
    free(r.base.v);
    free(r.queries.v);
    qv__mem_close(r.mem);
    return 0;
}

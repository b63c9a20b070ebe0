/* bench_merge.c: merging graphs against building anew, in one run: CPU time, recall, distances.
 *
 * Vectors are a seeded clustered set, or the first of a .fvecs file; the last of them are the
 * queries. A case splits the rest into parts, each with a graph of its own, and drops a share of it
 * at random. Then the graphs are merged, a graph is built over the same vectors, and both are
 * searched with the same beams. One thread, CPU time, so that a shared machine tells something;
 * `x` is how many times faster the merge was. Exact answers come from the flat scan. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/rng.h"
#include "index/index.h"

enum { QUERIES = 500, K = 10, PARTS_MAX = 64, FAN = 4, BEAMS = 3 };
static const uint32_t beams[BEAMS] = {16, 48, 128};

struct args {
    const char *base;
    uint32_t n, dim, clusters, m, ef_construct;
    uint8_t metric;
    const char *only;
    uint64_t seed;
};

static const struct split {
    const char *name;
    uint32_t percent[PARTS_MAX]; /* of the rows, per part; 0 = no more */
    uint32_t dropped;            /* percent */
    uint32_t n_equal;            /* instead of `percent`: so many parts, merged by fours, and by
                                  * fours again, until they are one */
} cases[] = {
    {"4 equal", {25, 25, 25, 25}, 0, 0},
    {"2 equal", {50, 50}, 0, 0},
    {"90 + 10", {90, 10}, 0, 0},
    {"one, 5 % dropped", {100}, 5, 0},
    {"one, 20 % dropped", {100}, 20, 0},
    {"one, 50 % dropped", {100}, 50, 0},
    {"4 equal, 20 % dropped", {25, 25, 25, 25}, 20, 0},
    {"64 equal, by fours", {0}, 0, 64},
};

struct set {
    uint32_t n, dim; /* without the queries */
    float *rows;     /* then the queries */
};

static void *take(size_t n_bytes)
{
    void *p = calloc(1, n_bytes ? n_bytes : 1);
    if (!p) {
        fprintf(stderr, "bench_merge: out of memory\n");
        exit(1);
    }
    return p;
}

static void must(qv_status st, const struct qv_err *err)
{
    if (st != QV_OK) {
        fprintf(stderr, "bench_merge: %s\n", err->message);
        exit(1);
    }
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set_read(struct set *s, const char *path, uint32_t n)
{
    FILE *f = fopen(path, "rb");
    int32_t dim = 0;
    if (!f || fread(&dim, 4, 1, f) != 1 || dim < 1 || dim > (int32_t)QV__DIM_MAX) {
        fprintf(stderr, "bench_merge: %s: no .fvecs file\n", path);
        exit(1);
    }
    s->dim = (uint32_t)dim;
    s->rows = take((size_t)n * s->dim * 4);
    uint32_t i = 0;
    for (; i < n; i++) {
        if (fread(s->rows + (size_t)i * s->dim, 4, s->dim, f) != s->dim ||
            fread(&dim, 4, 1, f) != 1) {
            break;
        }
    }
    fclose(f);
    if (i < 4 * QUERIES) {
        fprintf(stderr, "bench_merge: %s: fewer than %d rows\n", path, 4 * QUERIES);
        exit(1);
    }
    s->n = i - QUERIES;
}

static void set_make(struct set *s, const struct args *a)
{
    struct qv__rng r;
    qv__rng_seed(&r, a->seed);
    s->dim = a->dim;
    s->n = a->n - QUERIES;
    s->rows = take((size_t)a->n * s->dim * 4);
    float *centres = take((size_t)a->clusters * s->dim * 4);
    for (size_t i = 0; i < (size_t)a->clusters * s->dim; i++) {
        centres[i] = qv__rng_gauss(&r);
    }
    for (uint32_t i = 0; i < a->n; i++) {
        const float *c = centres + qv__rng_below(&r, a->clusters) * s->dim;
        for (uint32_t j = 0; j < s->dim; j++) {
            s->rows[(size_t)i * s->dim + j] = c[j] + 0.5f * qv__rng_gauss(&r);
        }
    }
    free(centres);
}

static struct qv__vectors run_of(const uint8_t *const *at, const struct set *s, uint8_t metric)
{
    return (struct qv__vectors){.chunks = at,
                                .chunk_shift = 0,
                                .stride_bytes = s->dim * 4,
                                .dim = s->dim,
                                .datatype = QV__F32,
                                .metric = metric};
}

struct figures {
    double recall[BEAMS], distances[BEAMS];
};

static void search_all(const struct qv__index *x, const struct set *s, struct qv__mem *mem,
                       const struct qv__simd *simd, struct figures *out)
{
    struct qv_err err;
    uint32_t n = qv__index_count(x), n_hits;
    struct qv__index_hit hits[K];
    *out = (struct figures){0};
    for (uint32_t i = 0; i < QUERIES; i++) {
        struct qv__qctx ctx = {.mem = mem};
        struct qv__index_query q = {
            .vector = s->rows + (size_t)(s->n + i) * s->dim, .k = K, .n = n};
        must(qv__scan(simd, &x->vectors, 0, &q, &ctx, hits, &n_hits, &err), &err);
        float kth = hits[K - 1].dist;
        for (uint32_t b = 0; b < BEAMS; b++) {
            struct qv__qctx now = {.mem = mem};
            q.ef = beams[b];
            must(x->ops->search(x, &q, &now, hits, &n_hits, &err), &err);
            for (uint32_t j = 0; j < n_hits; j++) {
                out->recall[b] += hits[j].dist <= kth ? 1.0 / (QUERIES * K) : 0;
            }
            out->distances[b] += (double)now.stats.distances / QUERIES;
        }
    }
}

static void print_row(const char *what, double took, double against, const struct figures *f)
{
    printf("  %-8s %8.2f s", what, took);
    printf(against > 0 ? " %5.2fx" : "       ", against / took);
    for (uint32_t b = 0; b < BEAMS; b++) {
        printf("   ef %3u: %.4f %5.0f", beams[b], f->recall[b], f->distances[b]);
    }
    printf("\n");
    fflush(stdout);
}

/* Merge each FAN of n graphs to one; remaps are to the rows of the whole run, before and after.
 * Returns how many there are now. */
static uint32_t merge_fours(const struct args *a, const struct set *s,
                            const struct qv__index_env *env, const struct qv__index_params *params,
                            const uint8_t *const *at, struct qv__index **sources, uint32_t **remaps,
                            uint32_t n)
{
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct qv_err err;
    for (uint32_t i = 0; i < n; i += FAN) {
        uint32_t first = remaps[i][0], n_rows = 0;
        for (uint32_t j = i; j < i + FAN; j++) {
            uint32_t n_part = qv__index_count(sources[j]);
            for (uint32_t o = 0; o < n_part; o++) {
                remaps[j][o] = n_rows++;
            }
        }
        struct qv__vectors v = run_of(at + first, s, a->metric);
        struct qv__index *merged;
        must(ops->merge(params, env, &v, n_rows, sources + i, (const uint32_t *const *)(remaps + i),
                        FAN, &merged, &err),
             &err);
        for (uint32_t j = i; j < i + FAN; j++) {
            ops->free(sources[j]);
            free(remaps[j]);
        }
        sources[i / FAN] = merged;
        remaps[i / FAN] = take((size_t)n_rows * sizeof **remaps);
        for (uint32_t o = 0; o < n_rows; o++) {
            remaps[i / FAN][o] = first + o;
        }
    }
    return n / FAN;
}

static void run_case(const struct split *c, const struct args *a, const struct set *s,
                     struct qv__mem *mem)
{
    struct qv_err err;
    struct qv__index_env env = {.mem = mem, .simd = qv__simd_best(NULL), .threads = 1};
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = a->m, .ef_construct = a->ef_construct, .seed = a->seed};
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct qv__index *sources[PARTS_MAX], *merged, *built;
    uint32_t *remaps[PARTS_MAX], n_parts = 0, n = 0, first = 0;
    const uint8_t **at = take((size_t)s->n * sizeof *at), **parts[PARTS_MAX] = {0};
    struct qv__rng r;
    qv__rng_seed(&r, a->seed + 1);
    for (; n_parts < PARTS_MAX && (c->n_equal ? n_parts < c->n_equal : c->percent[n_parts] > 0);
         n_parts++) {
        uint32_t n_part =
            c->n_equal ? s->n / c->n_equal : (uint32_t)((uint64_t)s->n * c->percent[n_parts] / 100);
        parts[n_parts] = take((size_t)n_part * sizeof *at);
        remaps[n_parts] = take((size_t)n_part * sizeof **remaps);
        for (uint32_t i = 0; i < n_part; i++) {
            const uint8_t *row = (const uint8_t *)(s->rows + (size_t)(first + i) * s->dim);
            bool dropped = qv__rng_below(&r, 100) < c->dropped;
            parts[n_parts][i] = row;
            remaps[n_parts][i] = dropped ? UINT32_MAX : n;
            if (!dropped) {
                at[n++] = row;
            }
        }
        struct qv__vectors v = run_of(parts[n_parts], s, a->metric);
        must(ops->build(&params, &env, &v, n_part, &sources[n_parts], &err), &err);
        first += n_part;
    }
    while (n_parts > FAN) { /* their rows follow each other, part by part */
        n_parts = merge_fours(a, s, &env, &params, at, sources, remaps, n_parts);
    }
    struct qv__vectors v = run_of(at, s, a->metric);
    struct figures f;
    printf("%s: %u rows\n", c->name, n);
    double begin = cpu_s();
    must(ops->build(&params, &env, &v, n, &built, &err), &err);
    double took_build = cpu_s() - begin;
    search_all(built, s, mem, env.simd, &f);
    print_row("build", took_build, 0, &f);
    begin = cpu_s();
    must(ops->merge(&params, &env, &v, n, sources, (const uint32_t *const *)remaps, n_parts,
                    &merged, &err),
         &err);
    double took = cpu_s() - begin;
    must(ops->validate(merged, &err), &err);
    search_all(merged, s, mem, env.simd, &f);
    print_row("merge", took, took_build, &f);
    ops->free(built);
    ops->free(merged);
    for (uint32_t i = 0; i < n_parts; i++) {
        ops->free(sources[i]);
        free(remaps[i]);
    }
    for (uint32_t i = 0; i < PARTS_MAX; i++) {
        free(parts[i]);
    }
    free(at);
}

static const char *usage =
    "usage: bench_merge [--n N] [--dim D] [--clusters C] [--base FILE.fvecs] [--metric l2|ip]\n"
    "                   [--m M] [--ef-construct EF] [--seed S] [--case NAME]\n";

static bool args_read(struct args *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *k = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (!v) {
            return false;
        }
        uint32_t u = (uint32_t)strtoul(v, NULL, 10);
        if (!strcmp(k, "--n")) {
            a->n = u;
        } else if (!strcmp(k, "--dim")) {
            a->dim = u;
        } else if (!strcmp(k, "--clusters")) {
            a->clusters = u;
        } else if (!strcmp(k, "--m")) {
            a->m = u;
        } else if (!strcmp(k, "--ef-construct")) {
            a->ef_construct = u;
        } else if (!strcmp(k, "--seed")) {
            a->seed = u;
        } else if (!strcmp(k, "--base")) {
            a->base = v;
        } else if (!strcmp(k, "--case")) {
            a->only = v;
        } else if (!strcmp(k, "--metric") && (!strcmp(v, "l2") || !strcmp(v, "ip"))) {
            a->metric = *v == 'l' ? QV__L2 : QV__DOT;
        } else {
            return false;
        }
    }
    return a->n >= 4 * QUERIES && a->dim && a->clusters;
}

int main(int argc, char **argv)
{
    struct args a = {.n = 30000,
                     .dim = 128,
                     .clusters = 300,
                     .m = 16,
                     .ef_construct = 100,
                     .metric = QV__L2,
                     .seed = 1};
    if (!args_read(&a, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    struct set s;
    if (a.base) {
        set_read(&s, a.base, a.n);
    } else {
        set_make(&s, &a);
    }
    struct qv__mem *mem = qv__mem_root("bench", 0);
    printf("%u + %d queries of %u dimensions, m %u, ef_construct %u, seed %llu; CPU time of one "
           "thread; recall@10 and distances per query\n",
           s.n, QUERIES, s.dim, a.m, a.ef_construct, (unsigned long long)a.seed);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!a.only || !strcmp(a.only, cases[i].name)) {
            run_case(&cases[i], &a, &s, mem);
        }
    }
    qv__mem_close(mem);
    free(s.rows);
    return 0;
}

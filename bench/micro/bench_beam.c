/* bench_beam.c: one beam over the graphs of several parts against a whole beam for each, and
 * against one graph over all: recall@10 and distances per query at equal ef.
 *
 * Vectors are those of a .fvecs file in its order, queries those of another. A split cuts them into
 * parts as segments do, each with a graph of its own, and the largest is searched first. Exact
 * answers come from the flat scan. One thread. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/topk.h"
#include "index/index.h"

enum { K = 10, PARTS_MAX = 8, BEAMS = 5, BEAM_MAX = 256 };
static const uint32_t beams[BEAMS] = {16, 32, 64, 128, BEAM_MAX};

struct args {
    const char *base, *queries;
    uint32_t n, n_queries, m, ef_construct;
    uint8_t metric;
    bool normalises; /* cosine */
    uint64_t seed;
};

static const struct split {
    const char *name;
    uint32_t percent[PARTS_MAX]; /* of the rows, per part; 0 = the rest is in the last */
    uint32_t n;
} splits[] = {
    {"3 equal", {33, 33}, 3},
    {"60 + 30 + 10", {60, 30}, 3},
    {"8 equal", {12, 12, 12, 12, 12, 12, 12}, 8},
};

struct set {
    uint32_t n, dim;
    float *rows;
    const uint8_t *at; /* the rows as the one chunk of vectors */
};

static void *take(size_t n_bytes)
{
    void *p = calloc(1, n_bytes ? n_bytes : 1);
    if (!p) {
        fprintf(stderr, "bench_beam: out of memory\n");
        exit(1);
    }
    return p;
}

static void must(qv_status st, const struct qv_err *err)
{
    if (st != QV_OK) {
        fprintf(stderr, "bench_beam: %s\n", err->message);
        exit(1);
    }
}

static struct set set_read(const char *path, uint32_t n, bool normalises)
{
    struct set s = {.n = 0};
    FILE *f = fopen(path, "rb");
    int32_t dim = 0;
    if (!f || fread(&dim, 4, 1, f) != 1 || dim < 1 || dim > (int32_t)QV__DIM_MAX) {
        fprintf(stderr, "bench_beam: %s: no .fvecs file\n", path);
        exit(1);
    }
    s.dim = (uint32_t)dim;
    s.rows = take((size_t)n * s.dim * 4);
    while (s.n < n && fread(s.rows + (size_t)s.n * s.dim, 4, s.dim, f) == s.dim) {
        float *row = s.rows + (size_t)s.n++ * s.dim;
        double square = 0;
        for (uint32_t i = 0; i < s.dim; i++) {
            square += (double)row[i] * (double)row[i];
        }
        for (uint32_t i = 0; normalises && square > 0 && i < s.dim; i++) {
            row[i] = (float)(row[i] / sqrt(square));
        }
        if (fread(&dim, 4, 1, f) != 1) {
            break;
        }
    }
    fclose(f);
    s.at = (const uint8_t *)s.rows;
    return s;
}

static struct qv__index *build(const struct args *a, const struct qv__index_env *env,
                               const struct set *s, const uint8_t *const *at, uint32_t n)
{
    struct qv_err err;
    struct qv__index *x;
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = a->m, .ef_construct = a->ef_construct, .seed = a->seed};
    struct qv__vectors v = {.chunks = at,
                            .chunk_shift = 31,
                            .stride_bytes = s->dim * 4,
                            .dim = s->dim,
                            .datatype = QV__F32,
                            .metric = a->metric};
    must(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, env, &v, n, &x, &err), &err);
    return x;
}

/* Graphs over consecutive rows. */
struct parts {
    uint32_t n, first[PARTS_MAX + 1];
    const uint8_t *at[PARTS_MAX];
    struct qv__index *x[PARTS_MAX];
};

static void parts_free(struct parts *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        p->x[i]->ops->free(p->x[i]);
    }
}

struct figure {
    double recall, distances;
};

static struct figure search_all(const struct parts *p, const struct set *queries, const float *kth,
                                uint32_t ef, bool shares, struct qv__mem *mem)
{
    struct qv_err err;
    struct figure f = {0};
    float dists[BEAM_MAX];
    for (uint32_t i = 0; i < queries->n; i++) {
        struct qv__hit best[K];
        struct qv__topk top;
        struct qv__index_beam beam = {.dists = dists, .cap = ef};
        qv__topk_init(&top, best, K);
        for (uint32_t k = 0; k < p->n; k++) {
            struct qv__qctx ctx = {.mem = mem};
            struct qv__index_hit hits[K];
            uint32_t n_hits = 0;
            struct qv__index_query q = {.vector = queries->rows + (size_t)i * queries->dim,
                                        .k = K,
                                        .ef = ef,
                                        .n = p->first[k + 1] - p->first[k],
                                        .beam = shares ? &beam : NULL};
            must(p->x[k]->ops->search(p->x[k], &q, &ctx, hits, &n_hits, &err), &err);
            for (uint32_t j = 0; j < n_hits; j++) {
                qv__topk_push(&top, hits[j].dist, p->first[k] + hits[j].ord);
            }
            f.distances += (double)ctx.stats.distances / queries->n;
        }
        size_t n_best = qv__topk_sort(&top);
        for (size_t j = 0; j < n_best; j++) {
            f.recall += best[j].dist <= kth[i] ? 1.0 / (queries->n * (double)K) : 0;
        }
    }
    return f;
}

static void print_row(const char *what, const struct figure *f)
{
    printf("  %-22s", what);
    for (uint32_t b = 0; b < BEAMS; b++) {
        printf("  %.4f %6.0f", f[b].recall, f[b].distances);
    }
    printf("\n");
    fflush(stdout);
}

static void run(const char *name, const struct parts *p, const struct set *queries,
                const float *kth, struct qv__mem *mem)
{
    struct figure whole[BEAMS], shared[BEAMS];
    char what[64];
    for (uint32_t b = 0; b < BEAMS; b++) {
        whole[b] = search_all(p, queries, kth, beams[b], false, mem);
        shared[b] = p->n > 1 ? search_all(p, queries, kth, beams[b], true, mem) : whole[b];
    }
    (void)snprintf(what, sizeof what, p->n > 1 ? "%s, whole beams" : "%s", name);
    print_row(what, whole);
    if (p->n > 1) {
        (void)snprintf(what, sizeof what, "%s, shared", name);
        print_row(what, shared);
    }
}

static void run_split(const struct split *c, const struct args *a, const struct set *s,
                      const struct set *queries, const float *kth, const struct qv__index_env *env)
{
    struct parts p = {.n = c->n};
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t n = (uint32_t)((uint64_t)s->n * c->percent[i] / 100);
        p.first[i + 1] = i + 1 < c->n ? p.first[i] + n : s->n;
        p.at[i] = (const uint8_t *)(s->rows + (size_t)p.first[i] * s->dim);
        p.x[i] = build(a, env, s, &p.at[i], p.first[i + 1] - p.first[i]);
    }
    run(c->name, &p, queries, kth, env->mem);
    parts_free(&p);
}

/* How far each query's K-th neighbour is. */
static float *truth(const struct set *s, const struct set *queries, uint8_t metric,
                    const struct qv__index_env *env)
{
    struct qv_err err;
    float *kth = take(queries->n * sizeof *kth);
    struct qv__vectors v = {.chunks = &s->at,
                            .chunk_shift = 31,
                            .stride_bytes = s->dim * 4,
                            .dim = s->dim,
                            .datatype = QV__F32,
                            .metric = metric};
    for (uint32_t i = 0; i < queries->n; i++) {
        struct qv__qctx ctx = {.mem = env->mem};
        struct qv__index_hit hits[K];
        uint32_t n_hits;
        struct qv__index_query q = {
            .vector = queries->rows + (size_t)i * queries->dim, .k = K, .n = s->n};
        must(qv__scan(env->simd, &v, 0, &q, &ctx, hits, &n_hits, &err), &err);
        kth[i] = hits[K - 1].dist;
    }
    return kth;
}

static const char *usage =
    "usage: bench_beam --base FILE.fvecs --queries FILE.fvecs [--n N] [--n-queries N]\n"
    "                  [--metric l2|ip|cosine] [--m M] [--ef-construct EF] [--seed S]\n";

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
        } else if (!strcmp(k, "--n-queries")) {
            a->n_queries = u;
        } else if (!strcmp(k, "--m")) {
            a->m = u;
        } else if (!strcmp(k, "--ef-construct")) {
            a->ef_construct = u;
        } else if (!strcmp(k, "--seed")) {
            a->seed = u;
        } else if (!strcmp(k, "--base")) {
            a->base = v;
        } else if (!strcmp(k, "--queries")) {
            a->queries = v;
        } else if (!strcmp(k, "--metric") &&
                   (!strcmp(v, "l2") || !strcmp(v, "ip") || !strcmp(v, "cosine"))) {
            a->metric = *v == 'l' ? QV__L2 : QV__DOT;
            a->normalises = *v == 'c';
        } else {
            return false;
        }
    }
    return a->base && a->queries && a->n >= 1000 && a->n_queries;
}

int main(int argc, char **argv)
{
    struct args a = {
        .n = 100000, .n_queries = 1000, .m = 16, .ef_construct = 100, .metric = QV__L2, .seed = 1};
    if (!args_read(&a, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    struct set s = set_read(a.base, a.n, a.normalises);
    struct set queries = set_read(a.queries, a.n_queries, a.normalises);
    if (s.dim != queries.dim || s.n < 1000) {
        fprintf(stderr, "bench_beam: %u rows of %u, queries of %u\n", s.n, s.dim, queries.dim);
        return 2;
    }
    struct qv__mem *mem = qv__mem_root("bench", 0);
    struct qv__index_env env = {.mem = mem, .simd = qv__simd_best(NULL), .threads = 1};
    printf(
        "%u vectors of %u dimensions, %u queries, m %u, ef_construct %u, seed %llu; recall@%d and "
        "distances per query\n  %-22s",
        s.n, s.dim, queries.n, a.m, a.ef_construct, (unsigned long long)a.seed, K, "");
    for (uint32_t b = 0; b < BEAMS; b++) {
        printf("  ef %-10u", beams[b]);
    }
    printf("\n");
    float *kth = truth(&s, &queries, a.metric, &env);
    static const struct split one = {"one graph", {0}, 1};
    run_split(&one, &a, &s, &queries, kth, &env);
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        run_split(&splits[i], &a, &s, &queries, kth, &env);
    }
    qv__mem_close(mem);
    free(kth);
    free(s.rows);
    free(queries.rows);
    return 0;
}

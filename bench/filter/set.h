/* set.h: what make_sets.py made, in memory; and the thread's processor time.
 *
 * What it is: a reader of exactly those .npy files. A file that is not one ends the program with
 * its name. What it is not: a reader of .npy files in general. */
#ifndef QV_BENCH_FILTER_SET_H
#define QV_BENCH_FILTER_SET_H

#include "../durability/bench.h"

#include <time.h>

#define BENCH_K 10u

struct bench_set {
    const char *dir;
    uint32_t n, n_queries, dim;
    bool is_cosine;
    float *base, *queries;
    int32_t *u, *r, *place; /* place[n_queries] */
};

/* Elements of 4 bytes of the kind `descr`; *rows, *width of what is there. */
static inline void *bench_npy(const char *dir, const char *name, const char *descr, uint32_t *rows,
                              uint32_t *width)
{
    char path[1000], head[4096];
    unsigned char magic[10];
    unsigned long shape[2] = {0, 1};
    (void)snprintf(path, sizeof path, "%s/%s.npy", dir, name);
    FILE *f = fopen(path, "rb");
    size_t n = f && fread(magic, 1, sizeof magic, f) == sizeof magic
                   ? (size_t)magic[8] | (size_t)magic[9] << 8
                   : 0;
    const char *at = NULL;
    if (n > 0 && n < sizeof head && fread(head, 1, n, f) == n) {
        head[n] = '\0';
        at = strstr(head, descr) && strstr(head, "'fortran_order': False")
                 ? strstr(head, "'shape': (")
                 : NULL;
    }
    if (!at || sscanf(at, "'shape': (%lu, %lu", &shape[0], &shape[1]) < 1) {
        (void)fprintf(stderr, "%s: not what make_sets.py writes\n", path);
        exit(1);
    }
    void *p = malloc((size_t)shape[0] * shape[1] * 4);
    if (!p || fread(p, 4, (size_t)shape[0] * shape[1], f) != (size_t)shape[0] * shape[1]) {
        (void)fprintf(stderr, "%s: cut short, or no memory\n", path);
        exit(1);
    }
    (void)fclose(f);
    *rows = (uint32_t)shape[0];
    *width = (uint32_t)shape[1];
    return p;
}

static inline void bench_set_open(struct bench_set *s, const char *dir)
{
    uint32_t n, one;
    char path[1000], metric[16] = "";
    s->dir = dir;
    s->base = bench_npy(dir, "base", "<f4", &s->n, &s->dim);
    s->queries = bench_npy(dir, "queries", "<f4", &s->n_queries, &s->dim);
    s->u = bench_npy(dir, "u", "<i4", &n, &one);
    s->r = bench_npy(dir, "r", "<i4", &n, &one);
    s->place = bench_npy(dir, "place", "<i4", &n, &one);
    (void)snprintf(path, sizeof path, "%s/metric", dir);
    FILE *f = fopen(path, "r");
    s->is_cosine = f && fgets(metric, sizeof metric, f) && strncmp(metric, "cosine", 6) == 0;
    if (f) {
        (void)fclose(f);
    }
}

static inline void bench_set_free(struct bench_set *s)
{
    free(s->base);
    free(s->queries);
    free(s->u);
    free(s->r);
    free(s->place);
}

/* [n_queries][BENCH_K], -1 behind the last; to be freed. */
static inline const int32_t *bench_truth(const struct bench_set *s, const char *kind, double share)
{
    char name[64];
    uint32_t n, k;
    (void)snprintf(name, sizeof name, "truth-%s-%g", kind, share);
    return bench_npy(s->dir, name, "<i4", &n, &k);
}

/* Processor time of this thread: the measure on a machine that others use too. */
static inline uint64_t bench_thread_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

#endif

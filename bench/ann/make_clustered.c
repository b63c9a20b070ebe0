/* make_clustered.c: a seeded set of clustered vectors with exact truth, for comparisons.
 *
 * Usage: make_clustered OUT_DIR N N_QUERIES DIM N_CLUSTERS SPREAD SEED
 * Writes base.fvecs, queries.fvecs and truth.ivecs (the 100 nearest by squared distance). Centres
 * are standard normal; a vector is a centre plus SPREAD times normal noise; queries are drawn
 * alike. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRUTH 100

static uint64_t state;

static uint64_t next(void)
{
    uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static float gauss(void)
{
    double u = ((double)(next() >> 11) + 1) / 9007199254740993.0,
           v = (double)(next() >> 11) / 9007199254740992.0;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static void fill(float *out, size_t n, size_t dim, const float *centres, size_t n_centres,
                 float spread)
{
    for (size_t i = 0; i < n; i++) {
        const float *c = centres + (next() % n_centres) * dim;
        for (size_t k = 0; k < dim; k++) {
            out[i * dim + k] = c[k] + spread * gauss();
        }
    }
}

static FILE *create(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f) {
        perror(path);
        exit(1);
    }
    return f;
}

static void write_rows(const char *dir, const char *name, const void *rows, size_t n, size_t width)
{
    FILE *f = create(dir, name);
    int32_t d = (int32_t)width;
    for (size_t i = 0; i < n; i++) {
        if (fwrite(&d, 4, 1, f) != 1 ||
            fwrite((const char *)rows + i * width * 4, 4, width, f) != width) {
            perror(name);
            exit(1);
        }
    }
    if (fclose(f) != 0) {
        perror(name);
        exit(1);
    }
}

struct near {
    float dist;
    int32_t id;
};

static int by_dist(const void *a, const void *b)
{
    const struct near *x = a, *y = b;
    return x->dist != y->dist ? (x->dist < y->dist ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: make_clustered OUT_DIR N N_QUERIES DIM N_CLUSTERS SPREAD SEED\n");
        return 2;
    }
    size_t n = strtoul(argv[2], NULL, 10), nq = strtoul(argv[3], NULL, 10),
           dim = strtoul(argv[4], NULL, 10), nc = strtoul(argv[5], NULL, 10);
    float spread = strtof(argv[6], NULL);
    state = strtoull(argv[7], NULL, 10);
    if (n < TRUTH || !nq || !dim || !nc) {
        fprintf(stderr, "make_clustered: N must be at least %d, the others at least 1\n", TRUTH);
        return 2;
    }
    float *centres = malloc(nc * dim * 4), *base = malloc(n * dim * 4),
          *queries = malloc(nq * dim * 4);
    int32_t *truth = malloc(nq * TRUTH * 4);
    struct near *all = malloc(n * sizeof *all);
    if (!centres || !base || !queries || !truth || !all) {
        fprintf(stderr, "make_clustered: out of memory\n");
        return 1;
    }
    for (size_t i = 0; i < nc * dim; i++) {
        centres[i] = gauss();
    }
    fill(base, n, dim, centres, nc, spread);
    fill(queries, nq, dim, centres, nc, spread);
    for (size_t q = 0; q < nq; q++) {
        for (size_t i = 0; i < n; i++) {
            float s = 0;
            for (size_t k = 0; k < dim; k++) {
                float d = base[i * dim + k] - queries[q * dim + k];
                s += d * d;
            }
            all[i] = (struct near){s, (int32_t)i};
        }
        qsort(all, n, sizeof *all, by_dist);
        for (size_t k = 0; k < TRUTH; k++) {
            truth[q * TRUTH + k] = all[k].id;
        }
    }
    write_rows(argv[1], "base.fvecs", base, n, dim);
    write_rows(argv[1], "queries.fvecs", queries, nq, dim);
    write_rows(argv[1], "truth.ivecs", truth, nq, TRUTH);
    free(centres);
    free(base);
    free(queries);
    free(truth);
    free(all);
    return 0;
}

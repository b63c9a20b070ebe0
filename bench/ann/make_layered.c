/* make_layered.c: a seeded set that is shaped as embeddings are, with exact truth, for comparisons.
 *
 * Usage: make_layered OUT_DIR N N_QUERIES DIM CLUSTERS DIRECTIONS SEED bytes|unit
 * Writes base.fvecs, queries.fvecs and truth.ivecs (the 100 nearest by squared distance).
 *
 * Sixteen clusters share a region, clusters are of uneven size, and a cluster spreads along few
 * DIRECTIONS of its own (out of 512 that all share), less along each further one, so that its local
 * dimension is far below DIM, as it is of descriptors of images and of embeddings of text. One
 * point of twenty lies halfway between two clusters of a region. Queries are drawn alike, not from
 * the base. `bytes`: elements are whole numbers from 0 to 255, as descriptors of images are;
 * `unit`: vectors of length one. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRUTH = 100,
    BANK = 512,      /* directions that everything is made of */
    REGION = 16,     /* clusters of a region */
    OF_REGION = 24,  /* directions that place a region; */
    OF_CLUSTER = 12, /* ... and a cluster in it */
    DIRECTIONS_MAX = 256,
    TILE_Q = 16, /* of the exact search */
    TILE_ROWS = 4,
};

static size_t dim, n_clusters, n_directions;
static float *bank, *centres, *spreads;
static double *shares; /* of points in the clusters up to each */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t next(uint64_t *state)
{
    return mix(*state += UINT64_C(0x9E3779B97F4A7C15));
}

static uint64_t stream(uint64_t seed, uint64_t kind, uint64_t i)
{
    return mix(mix(mix(seed + 1) + kind * UINT64_C(0x9E3779B97F4A7C15)) + i);
}

static double uniform(uint64_t *state)
{
    return ((double)(next(state) >> 11) + 0.5) / 9007199254740992.0;
}

static float gauss(uint64_t *state)
{
    double u = uniform(state), v = uniform(state);
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static void *get(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) {
        fprintf(stderr, "make_layered: out of memory\n");
        exit(1);
    }
    return p;
}

/* x += length * a direction drawn from the bank */
static void move(float *x, uint64_t *directions, float length)
{
    const float *u = bank + (size_t)(next(directions) % BANK) * dim;
    for (size_t k = 0; k < dim; k++) {
        x[k] += length * u[k];
    }
}

static void place_clusters(uint64_t seed)
{
    double sum = 0;
    for (size_t b = 0; b < BANK; b++) {
        uint64_t s = stream(seed, 1, b);
        float norm2 = 0, *u = bank + b * dim;
        for (size_t k = 0; k < dim; k++) {
            u[k] = gauss(&s);
            norm2 += u[k] * u[k];
        }
        for (size_t k = 0; k < dim; k++) {
            u[k] /= sqrtf(norm2);
        }
    }
    for (size_t c = 0; c < n_clusters; c++) {
        uint64_t s = stream(seed, 2, c / REGION), ways = stream(seed, 3, c / REGION);
        for (int j = 0; j < OF_REGION; j++) {
            move(centres + c * dim, &ways, 0.8f * gauss(&s));
        }
        s = stream(seed, 4, c);
        ways = stream(seed, 5, c);
        for (int j = 0; j < OF_CLUSTER; j++) {
            move(centres + c * dim, &ways, 0.55f * gauss(&s));
        }
        spreads[c] = 0.45f + 0.5f * (float)uniform(&s);
        sum += pow(1.0 + (double)(next(&s) % n_clusters), -0.35);
        shares[c] = sum;
    }
}

static size_t pick(double u)
{
    size_t lo = 0, hi = n_clusters - 1;
    for (u *= shares[n_clusters - 1]; lo < hi;) {
        size_t mid = (lo + hi) / 2;
        if (shares[mid] < u) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void draw_in(size_t c, uint64_t seed, uint64_t *s, const float *lengths, float *x)
{
    uint64_t ways = stream(seed, 6, c);
    memcpy(x, centres + c * dim, dim * sizeof *x);
    for (size_t j = 0; j < n_directions; j++) {
        move(x, &ways, gauss(s) * spreads[c] * lengths[j]);
    }
    for (size_t k = 0; k < dim; k++) {
        x[k] += 0.05f * gauss(s) / sqrtf((float)dim);
    }
}

static void scale(float *x, int is_bytes)
{
    double norm2 = 0;
    for (size_t k = 0; k < dim; k++) {
        x[k] = is_bytes && x[k] < 0 ? -0.35f * x[k] : x[k];
        norm2 += (double)x[k] * x[k];
    }
    float by = (float)((is_bytes ? 512.0 : 1.0) / sqrt(norm2 > 0 ? norm2 : 1));
    for (size_t k = 0; k < dim; k++) {
        x[k] *= by;
        if (is_bytes) {
            x[k] = fminf(rintf(x[k]), 255);
        }
    }
}

/* Points of one stream: the base, or the queries. */
static float *draw(size_t n, uint64_t seed, uint64_t kind, int is_bytes)
{
    float *rows = get(n * dim, sizeof *rows), *other = get(dim, sizeof *other),
          lengths[DIRECTIONS_MAX];
    for (size_t j = 0; j < n_directions; j++) {
        lengths[j] = powf((float)(j + 1), -0.3f);
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t s = stream(seed, kind, i);
        size_t c = pick(uniform(&s));
        float *x = rows + i * dim;
        draw_in(c, seed, &s, lengths, x);
        if (uniform(&s) < 0.05) {
            size_t near = c / REGION * REGION + next(&s) % REGION;
            draw_in(near < n_clusters ? near : c, seed, &s, lengths, other);
            for (size_t k = 0; k < dim; k++) {
                x[k] = 0.5f * (x[k] + other[k]);
            }
        }
        scale(x, is_bytes);
    }
    free(other);
    return rows;
}

struct near {
    float dist;
    int32_t id;
};

static int is_before(struct near a, struct near b)
{
    return a.dist != b.dist ? a.dist < b.dist : a.id < b.id;
}

static int by_dist(const void *a, const void *b)
{
    const struct near *x = a, *y = b;
    return is_before(*y, *x) - is_before(*x, *y);
}

/* Into a heap with the farthest of at most TRUTH on top. */
static void keep(struct near *heap, size_t *n, struct near x)
{
    size_t at = 0;
    if (*n < TRUTH) {
        for (at = (*n)++; at && is_before(heap[(at - 1) / 2], x); at = (at - 1) / 2) {
            heap[at] = heap[(at - 1) / 2];
        }
    } else if (is_before(x, heap[0])) {
        for (size_t c; (c = 2 * at + 1) < TRUTH; at = c) {
            c += c + 1 < TRUTH && is_before(heap[c], heap[c + 1]);
            if (!is_before(x, heap[c])) {
                break;
            }
            heap[at] = heap[c];
        }
    } else {
        return;
    }
    heap[at] = x;
}

typedef float lanes __attribute__((vector_size(32), aligned(4)));

/* Inner products of four rows with TILE_Q queries, whose elements lie side by side. */
static void products(const float *rows, const float *side, float out[TILE_ROWS][TILE_Q])
{
    const size_t n = dim;
    lanes sum[TILE_ROWS][2] = {{{0}}};
    for (size_t k = 0; k < n; k++) {
        const lanes *q = (const lanes *)(const void *)(side + k * TILE_Q);
        for (size_t r = 0; r < TILE_ROWS; r++) {
            float x = rows[r * n + k];
            lanes all = {x, x, x, x, x, x, x, x};
            sum[r][0] += all * q[0];
            sum[r][1] += all * q[1];
        }
    }
    memcpy(out, sum, sizeof sum);
}

/* n a multiple of TILE_ROWS, n_queries of TILE_Q. */
static int32_t *search(const float *base, size_t n, const float *queries, size_t n_queries)
{
    struct near(*heaps)[TRUTH] = get(n_queries, sizeof *heaps);
    size_t *sizes = get(n_queries, sizeof *sizes);
    float *side = get(dim * TILE_Q, sizeof *side), *norms = get(n, sizeof *norms),
          p[TILE_ROWS][TILE_Q];
    int32_t *truth = get(n_queries * TRUTH, sizeof *truth);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < dim; k++) {
            norms[i] += base[i * dim + k] * base[i * dim + k];
        }
    }
    for (size_t q = 0; q < n_queries; q += TILE_Q) {
        for (size_t k = 0; k < dim * TILE_Q; k++) {
            side[k] = queries[(q + k % TILE_Q) * dim + k / TILE_Q];
        }
        for (size_t i = 0; i < n; i += TILE_ROWS) {
            products(base + i * dim, side, p);
            for (size_t r = 0; r < TILE_ROWS; r++) {
                for (size_t j = 0; j < TILE_Q; j++) {
                    keep(heaps[q + j], &sizes[q + j],
                         (struct near){norms[i + r] - 2 * p[r][j], (int32_t)(i + r)});
                }
            }
        }
    }
    for (size_t q = 0; q < n_queries; q++) {
        qsort(heaps[q], TRUTH, sizeof **heaps, by_dist);
        for (size_t k = 0; k < TRUTH; k++) {
            truth[q * TRUTH + k] = heaps[q][k].id;
        }
    }
    free(heaps);
    free(sizes);
    free(side);
    free(norms);
    return truth;
}

static void write_rows(const char *dir, const char *name, const void *rows, size_t n, size_t width)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    int32_t d = (int32_t)width;
    for (size_t i = 0; f && i < n; i++) {
        if (fwrite(&d, 4, 1, f) != 1 ||
            fwrite((const char *)rows + i * width * 4, 4, width, f) != width) {
            break;
        }
    }
    if (!f || ferror(f) || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 9 || (strcmp(argv[8], "bytes") && strcmp(argv[8], "unit"))) {
        fprintf(
            stderr,
            "usage: make_layered OUT_DIR N N_QUERIES DIM CLUSTERS DIRECTIONS SEED bytes|unit\n");
        return 2;
    }
    size_t n = strtoul(argv[2], NULL, 10), n_queries = strtoul(argv[3], NULL, 10);
    uint64_t seed = strtoull(argv[7], NULL, 10);
    int is_bytes = !strcmp(argv[8], "bytes");
    dim = strtoul(argv[4], NULL, 10);
    n_clusters = strtoul(argv[5], NULL, 10);
    n_directions = strtoul(argv[6], NULL, 10);
    if (n < TRUTH || n % TILE_ROWS || !n_queries || n_queries % TILE_Q || !dim || !n_clusters ||
        !n_directions || n_directions > DIRECTIONS_MAX) {
        fprintf(stderr,
                "make_layered: N is a multiple of %d from %d on, N_QUERIES of %d, DIRECTIONS at "
                "most %d, all positive\n",
                TILE_ROWS, TRUTH, TILE_Q, DIRECTIONS_MAX);
        return 2;
    }
    bank = get(BANK * dim, sizeof *bank);
    centres = get(n_clusters * dim, sizeof *centres);
    spreads = get(n_clusters, sizeof *spreads);
    shares = get(n_clusters, sizeof *shares);
    place_clusters(seed);
    float *base = draw(n, seed, 7, is_bytes), *queries = draw(n_queries, seed, 8, is_bytes);
    int32_t *truth = search(base, n, queries, n_queries);
    write_rows(argv[1], "base.fvecs", base, n, dim);
    write_rows(argv[1], "queries.fvecs", queries, n_queries, dim);
    write_rows(argv[1], "truth.ivecs", truth, n_queries, TRUTH);
    free(bank);
    free(centres);
    free(spreads);
    free(shares);
    free(base);
    free(queries);
    free(truth);
    return 0;
}

/* bench_dist.c: nanoseconds per distance, for every table of this machine, kernel and dimension.
 *
 * Four ways of asking, because a kernel that is fast on one may be slow on another:
 *   pair    one row after another, all in the first-level cache
 *   many    strided rows, in the second-level cache
 *   scan    strided rows, from memory: what a flat search does
 *   gather  batches of 16 rows anywhere in memory: what a graph walk does
 * Each figure is the best of --rounds, which on a shared machine is the one least disturbed. The
 * checksum keeps the compiler honest. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "simd/simd.h"

enum {
    BATCH = 16,      /* rows of one gather */
    SCAN_ROWS = 256, /* rows of one call of a scan */
    CACHED_BYTES = 256 << 10,
    SCAN_BYTES = 32 << 20, /* read per round of a scan */
    GATHERS = 512,         /* batches per round of a gather */
    DIM_MAX = 1536,
};

static const size_t dims[] = {96, 100, 128, 384, 512, 768, 1536};
static const char *const kernel_names[] = {"l2", "ip", "l1"};

struct bench {
    const struct qv__simd *s;
    qv__dist_fn pair;
    qv__dist_many_fn many;
    qv__dist_gather_fn gather;
    const float *query, *rows; /* borrowed */
    size_t rows_bytes;
    unsigned rounds;
    uint64_t random;
    double checksum;
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static double time_pair(struct bench *b, size_t dim)
{
    enum { CALLS = 4096 };
    double sum = 0.0, begin = now_ns();
    for (size_t i = 0; i < CALLS; i++) {
        sum += (double)b->pair(b->query, b->rows + i % 4 * dim, dim);
    }
    double took = now_ns() - begin;
    b->checksum += sum;
    return took / CALLS;
}

static double time_cached(struct bench *b, size_t dim)
{
    static float out[CACHED_BYTES / (96 * sizeof(float))];
    enum { CALLS = 16 };
    size_t n = CACHED_BYTES / (dim * sizeof(float));
    double begin = now_ns();
    for (size_t i = 0; i < CALLS; i++) {
        b->many(b->query, b->rows, dim * sizeof(float), n, dim, out);
        b->checksum += (double)out[i % n];
    }
    return (now_ns() - begin) / (double)(CALLS * n);
}

static double time_scan(struct bench *b, size_t dim, unsigned round)
{
    float out[SCAN_ROWS];
    size_t row_bytes = dim * sizeof(float);
    size_t calls = SCAN_BYTES / (SCAN_ROWS * row_bytes);
    size_t places = b->rows_bytes / SCAN_BYTES; /* another part each round, none of it cached */
    const float *rows = b->rows + round % places * (SCAN_BYTES / sizeof(float));
    double begin = now_ns();
    for (size_t i = 0; i < calls; i++) {
        b->many(b->query, rows + i * SCAN_ROWS * dim, row_bytes, SCAN_ROWS, dim, out);
        b->checksum += (double)out[0];
    }
    return (now_ns() - begin) / (double)(calls * SCAN_ROWS);
}

static double time_gather(struct bench *b, size_t dim)
{
    static const void *rows[GATHERS * BATCH];
    size_t n = b->rows_bytes / (dim * sizeof(float));
    float out[BATCH];
    for (size_t i = 0; i < GATHERS * BATCH; i++) {
        rows[i] = b->rows + next_random(&b->random) % n * dim;
    }
    double begin = now_ns();
    for (size_t i = 0; i < GATHERS; i++) {
        b->gather(b->query, rows + i * BATCH, BATCH, dim, out);
        b->checksum += (double)out[0];
    }
    return (now_ns() - begin) / (GATHERS * BATCH);
}

static void measure(struct bench *b, size_t dim, double best[4])
{
    for (size_t i = 0; i < 4; i++) {
        best[i] = 1e300;
    }
    for (unsigned round = 0; round < b->rounds; round++) {
        double got[4] = {time_pair(b, dim), time_cached(b, dim), time_scan(b, dim, round),
                         time_gather(b, dim)};
        for (size_t i = 0; i < 4; i++) {
            best[i] = QV_MIN(best[i], got[i]);
        }
    }
}

static void run_table(struct bench *b)
{
    for (int k = 0; k < 3; k++) {
        b->pair = k == 0 ? b->s->l2 : k == 1 ? b->s->ip : b->s->l1;
        b->many = k == 0 ? b->s->l2_many : k == 1 ? b->s->ip_many : b->s->l1_many;
        b->gather = k == 0 ? b->s->l2_gather : k == 1 ? b->s->ip_gather : b->s->l1_gather;
        for (size_t d = 0; d < QV_ARRAY_LEN(dims); d++) {
            double best[4];
            measure(b, dims[d], best);
            printf("%-7s %-3s %5zu %9.1f %9.1f %9.1f %9.1f %8.1f\n", b->s->name, kernel_names[k],
                   dims[d], best[0], best[1], best[2], best[3],
                   (double)(dims[d] * sizeof(float)) / best[2]);
            fflush(stdout);
        }
    }
}

static bool read_number(const char *text, unsigned long min, unsigned long max, unsigned long *out)
{
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && *out >= min && *out <= max;
}

int main(int argc, char **argv)
{
    unsigned long memory_mib = 512, rounds = 9;
    const char *only = NULL;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool ok = strcmp(argv[i], "--memory") == 0   ? read_number(value, 64, 65536, &memory_mib)
                  : strcmp(argv[i], "--rounds") == 0 ? read_number(value, 1, 10000, &rounds)
                  : strcmp(argv[i], "--table") == 0  ? (only = value)[0] != 0
                                                     : false;
        if (!ok) {
            fprintf(stderr, "usage: bench_dist [--memory MIB] [--rounds N] [--table NAME]\n");
            return 2;
        }
    }

    struct bench b = {.rounds = (unsigned)rounds, .random = 88172645463325252u};
    b.rows_bytes = (size_t)memory_mib << 20;
    float *rows =
        mmap(NULL, b.rows_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (rows == MAP_FAILED) {
        fprintf(stderr, "bench_dist: no memory for %lu MiB\n", memory_mib);
        return 1;
    }
    madvise(rows, b.rows_bytes, MADV_HUGEPAGE); /* as the vectors of a large collection are */
    for (size_t i = 0; i < b.rows_bytes / sizeof(float); i++) {
        rows[i] = (float)(next_random(&b.random) >> 40) * 0x1p-24f - 0.5f;
    }
    static float query[DIM_MAX];
    for (size_t i = 0; i < DIM_MAX; i++) {
        query[i] = (float)(next_random(&b.random) >> 40) * 0x1p-24f - 0.5f;
    }
    b.query = query;
    b.rows = rows;

    printf("ns per distance, best of %lu rounds, rows in %lu MiB; GB/s is the scan's\n", rounds,
           memory_mib);
    printf("%-7s %-3s %5s %9s %9s %9s %9s %8s\n", "table", "of", "dim", "pair", "many", "scan",
           "gather", "GB/s");
    bool found = false;
    for (int isa = 0; isa < QV__ISAS; isa++) {
        b.s = qv__simd_table((enum qv__isa)isa);
        if (b.s != NULL && (only == NULL || strcmp(only, b.s->name) == 0)) {
            found = true;
            run_table(&b);
        }
    }
    if (!found) {
        fprintf(stderr, "bench_dist: this machine has no table '%s'\n", only);
    }
    printf("checksum %.6g\n", b.checksum);
    munmap(rows, b.rows_bytes);
    return found ? 0 : 1;
}

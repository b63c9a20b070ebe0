/* bench_codes.c: nanoseconds per distance to a code, for every quantizer and table of this machine.
 *
 *   cached  a run of codes in the second-level cache
 *   scan    a run of codes in memory: what an exhaustive search does; with its GB/s, and how many
 *           times that is of the time in which this machine just reads as many bytes
 *   gather  batches of 32 codes anywhere in memory: what a graph walk does
 *   query, encode   preparing a query, coding a vector, in microseconds
 * Each figure is the best of --rounds. The reading of bytes for comparison is a sum of 64-bit words
 * by the same thread over the same memory, measured between the scans. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "quant/quant.h"

enum {
    BATCH = 32,
    RUN = 256, /* codes of one call of a scan */
    CACHED_BYTES = 256 << 10,
    SCAN_BYTES = 32 << 20,
    GATHERS = 256,
    DIM_MAX = 1536,
    TRAINED = 64,
};

static const uint32_t dims[] = {128, 384, 768, 1536};
static const struct qv__quant_params kinds[] = {
    {QV__QUANT_SCALAR, 8, 0, 1}, {QV__QUANT_SCALAR, 4, 0, 1}, {QV__QUANT_RABITQ, 4, 0, 1},
    {QV__QUANT_RABITQ, 3, 0, 1}, {QV__QUANT_RABITQ, 2, 0, 1}, {QV__QUANT_RABITQ, 1, 0, 1},
    {QV__QUANT_BINARY, 1, 0, 1},
};

struct bench {
    const struct qv__quant *z;
    struct qv__quant_query *q;
    struct qv__quant_encoder *e;
    const float *vectors; /* TRAINED of them */
    uint32_t dim;
    uint8_t *codes;
    size_t bytes, stride;
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

static const uint8_t *part_of(const struct bench *b, unsigned round)
{
    return b->codes + round % (b->bytes / SCAN_BYTES) * SCAN_BYTES;
}

/* ns a byte, eight sums so that no addition waits. */
static double time_read(struct bench *b, unsigned round)
{
    const uint8_t *p = part_of(b, round);
    uint64_t sum[8] = {0};
    double begin = now_ns();
    for (size_t i = 0; i < SCAN_BYTES; i += sizeof sum) {
        uint64_t w[8];
        memcpy(w, p + i, sizeof w);
        for (size_t k = 0; k < 8; k++) {
            sum[k] += w[k];
        }
    }
    double took = now_ns() - begin;
    for (size_t k = 0; k < 8; k++) {
        b->checksum += (double)(sum[k] & 0xff);
    }
    return took / SCAN_BYTES;
}

static double time_cached(struct bench *b)
{
    static float out[CACHED_BYTES / 16];
    enum { CALLS = 16 };
    size_t n = CACHED_BYTES / b->stride;
    double begin = now_ns();
    for (size_t i = 0; i < CALLS; i++) {
        b->q->run(b->q, b->codes, b->stride, n, out, NULL);
        b->checksum += (double)out[i];
    }
    return (now_ns() - begin) / (double)(CALLS * n);
}

static double time_scan(struct bench *b, unsigned round)
{
    float out[RUN];
    const uint8_t *p = part_of(b, round);
    size_t calls = SCAN_BYTES / (RUN * b->stride);
    double begin = now_ns();
    for (size_t i = 0; i < calls; i++) {
        b->q->run(b->q, p + i * RUN * b->stride, b->stride, RUN, out, NULL);
        b->checksum += (double)out[0];
    }
    return (now_ns() - begin) / (double)(calls * RUN);
}

static double time_gather(struct bench *b)
{
    static const uint8_t *at[GATHERS * BATCH];
    float out[BATCH];
    size_t n = b->bytes / b->stride;
    for (size_t i = 0; i < GATHERS * BATCH; i++) {
        at[i] = b->codes + next_random(&b->random) % n * b->stride;
    }
    double begin = now_ns();
    for (size_t i = 0; i < GATHERS; i++) {
        b->q->gather(b->q, at + i * BATCH, BATCH, out, NULL);
        b->checksum += (double)out[0];
    }
    return (now_ns() - begin) / (GATHERS * BATCH);
}

static double time_query(struct bench *b)
{
    enum { CALLS = 64 };
    double begin = now_ns();
    for (size_t i = 0; i < CALLS; i++) {
        qv__quant_query_set(b->q, b->vectors + i % TRAINED * b->dim);
    }
    return (now_ns() - begin) / CALLS;
}

static double time_encode(struct bench *b)
{
    static uint8_t code[8192];
    enum { CALLS = 32 };
    double begin = now_ns();
    for (size_t i = 0; i < CALLS; i++) {
        qv__quant_encode(b->e, b->vectors + i % TRAINED * b->dim, code, NULL);
    }
    return (now_ns() - begin) / CALLS;
}

static void measure(struct bench *b, const char *table, const struct qv__quant_info *info)
{
    double best[6];
    for (size_t i = 0; i < 6; i++) {
        best[i] = 1e300;
    }
    for (unsigned round = 0; round < b->rounds; round++) {
        double got[6] = {time_cached(b), time_read(b, 2 * round), time_scan(b, 2 * round + 1),
                         time_gather(b), time_query(b),           time_encode(b)};
        for (size_t i = 0; i < 6; i++) {
            best[i] = QV_MIN(best[i], got[i]);
        }
    }
    double bytes = (double)b->stride;
    printf("%-7s %-6s %u %5u %6zu %8.1f %8.1f %7.1f %6.2f %8.1f %8.2f %8.1f\n", table, info->kind,
           info->bits, b->dim, b->stride, best[0], best[2], bytes / best[2],
           best[2] / (best[1] * bytes), best[3], best[4] / 1000, best[5] / 1000);
    fflush(stdout);
}

static bool run_kind(struct bench *b, const struct qv__simd *simd, const struct qv__quant_params *p)
{
    struct qv__mem *mem = qv__mem_root("bench", 0);
    struct qv__quant *z = NULL;
    struct qv__quant_info info;
    const uint8_t *chunk = (const uint8_t *)b->vectors;
    struct qv__vectors rows = {&chunk, 31,      b->dim * (uint32_t)sizeof(float),
                               b->dim, QV__F32, QV__L2};
    bool ok = mem != NULL && qv__quant_train(p, &rows, TRAINED, mem, simd, &z, NULL) == QV_OK &&
              qv__quant_query_new(z, mem, &b->q, NULL) == QV_OK &&
              qv__quant_encoder_new(z, mem, &b->e, NULL) == QV_OK;
    if (ok) {
        b->z = z;
        b->stride = qv__quant_code_bytes(z);
        qv__quant_describe(z, &info);
        for (size_t i = 0; i < b->bytes / b->stride; i++) { /* real codes: no factor is a NaN */
            uint8_t *code = b->codes + i * b->stride;
            if (i < TRAINED) {
                qv__quant_encode(b->e, b->vectors + i * b->dim, code, NULL);
            } else {
                memcpy(code, b->codes + i % TRAINED * b->stride, b->stride);
            }
        }
        measure(b, qv__codes_best(simd)->name, &info);
    }
    qv__quant_query_free(b->q);
    qv__quant_encoder_free(b->e);
    b->q = NULL;
    b->e = NULL;
    qv__quant_free(z);
    qv__mem_close(mem);
    return ok;
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
            fprintf(stderr, "usage: bench_codes [--memory MIB] [--rounds N] [--table NAME]\n");
            return 2;
        }
    }
    struct bench b = {.rounds = (unsigned)rounds, .random = 88172645463325252u};
    b.bytes = (size_t)memory_mib << 20;
    void *map = mmap(NULL, b.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        fprintf(stderr, "bench_codes: no memory for %lu MiB\n", memory_mib);
        return 1;
    }
    madvise(map, b.bytes, MADV_HUGEPAGE);
    b.codes = map;
    static float vectors[TRAINED * DIM_MAX];
    for (size_t i = 0; i < TRAINED * DIM_MAX; i++) {
        vectors[i] = (float)(next_random(&b.random) >> 40) * 0x1p-24f - 0.5f;
    }
    b.vectors = vectors;
    printf("ns per distance, best of %lu rounds, codes in %lu MiB; query and encode in us\n",
           rounds, memory_mib);
    printf("%-7s %-6s %s %5s %6s %8s %8s %7s %6s %8s %8s %8s\n", "table", "kind", "b", "dim",
           "bytes", "cached", "scan", "GB/s", "x read", "gather", "query", "encode");
    bool ok = true;
    for (int isa = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *simd = qv__simd_table((enum qv__isa)isa);
        if (simd == NULL || (only != NULL && strcmp(only, simd->name) != 0)) {
            continue;
        }
        for (size_t k = 0; k < QV_ARRAY_LEN(kinds); k++) {
            for (size_t d = 0; d < QV_ARRAY_LEN(dims); d++) {
                b.dim = dims[d];
                ok = ok && run_kind(&b, simd, &kinds[k]);
            }
        }
    }
    printf("checksum %.6g\n", b.checksum);
    munmap(map, b.bytes);
    return ok ? 0 : 1;
}

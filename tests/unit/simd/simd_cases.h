/* simd_cases.h: what every table of kernels must do, independent of a test framework.
 *
 * What it is: cases over one struct qv__simd, counted in a struct report; test_simd.c runs them
 * under cmocka, neon_main.c from a plain main under an emulator.
 * What it is not: about which table is chosen; that is in test_simd.c. */
#ifndef QV_TEST_SIMD_CASES_H
#define QV_TEST_SIMD_CASES_H

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rng.h"
#include "simd/simd.h"

#define SEED 20240611u

enum {
    DIM_MAX = 1536,
    OFFSETS = 64,     /* bytes off a cache line at which vectors are placed */
    BATCH_MAX = 13,   /* three groups of four and a rest */
    PRINTED_MAX = 10, /* failures of a case that are shown */
};

struct report {
    const struct qv__simd *s;
    const char *name; /* of the case running */
    uint64_t checks, failures;
};

__attribute__((format(printf, 3, 4))) static inline void check(struct report *r, bool ok,
                                                               const char *fmt, ...)
{
    r->checks++;
    if (ok) {
        return;
    }
    if (r->failures++ < PRINTED_MAX) {
        va_list ap;
        va_start(ap, fmt);
        fprintf(stderr, "%s, %s: ", r->s->name, r->name);
        vfprintf(stderr, fmt, ap);
        fputc('\n', stderr);
        va_end(ap);
    }
}

/* Every length from 0 to 257, then those of real models. */
static const size_t long_dims[] = {384, 512, 768, 1000, 1536};
enum { DIMS = 258 + sizeof(long_dims) / sizeof(long_dims[0]) };

static inline size_t dim_at(size_t i)
{
    return i < 258 ? i : long_dims[i - 258];
}

enum kernel { L2, IP, L1, KERNELS };
static const char *const kernel_names[KERNELS] = {"l2", "ip", "l1"};

static inline qv__dist_fn pair_of(const struct qv__simd *s, int k)
{
    return k == L2 ? s->l2 : k == IP ? s->ip : s->l1;
}

static inline qv__dist_many_fn many_of(const struct qv__simd *s, int k)
{
    return k == L2 ? s->l2_many : k == IP ? s->ip_many : s->l1_many;
}

static inline qv__dist_gather_fn gather_of(const struct qv__simd *s, int k)
{
    return k == L2 ? s->l2_gather : k == IP ? s->ip_gather : s->l1_gather;
}

/* The reference: long double sums over exact terms; *size gets the sum of the terms' magnitudes,
 * which is what rounding errors are proportional to. */
static inline long double truth(int k, const float *a, const float *b, size_t dim,
                                long double *size)
{
    long double sum = 0, mag = 0;
    for (size_t i = 0; i < dim; i++) {
        float af, bf;
        memcpy(&af, a + i, sizeof(af)); /* at any address */
        memcpy(&bf, b + i, sizeof(bf));
        long double x = af, y = bf;
        long double t = k == L2 ? (x - y) * (x - y) : k == IP ? x * y : fabsl(x - y);
        sum += t;
        mag += fabsl(t);
    }
    *size = mag;
    return sum;
}

/* The error allowed: one rounding per addition of the longest chain of float sums (a sixteenth of
 * the terms with the narrowest registers, then the reduction), two for the term; and the smallest
 * number that may underflow per term. The reference table rounds once. */
static inline long double allowed(const struct qv__simd *s, long double size, size_t dim)
{
    long double roundings = s->isa == QV__ISA_SCALAR ? 1.01L : (long double)dim / 16 + 8;
    return size * roundings * 0x1p-24L + (long double)dim * 0x1p-148L;
}

static inline void check_near(struct report *r, int k, float got, const float *a, const float *b,
                              size_t dim, const char *how)
{
    long double size;
    long double want = truth(k, a, b, dim, &size);
    long double off = fabsl((long double)got - want);
    check(r, off <= allowed(r->s, size, dim), "%s%s dim %zu: %.9g, not %.9Lg", kernel_names[k], how,
          dim, (double)got, want);
}

static inline bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static inline void fill_gauss(struct qv__rng *rng, float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = qv__rng_gauss(rng);
    }
}

/* Small integers: all sums are exact in any order, so results must be equal, and a term that is
 * lost, doubled or taken from beside the vector shows at any length. */
static inline void case_integers(struct report *r)
{
    static float rows[BATCH_MAX][DIM_MAX], q[DIM_MAX];
    const void *at[BATCH_MAX];
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t d = 0; d < DIMS; d++) {
        size_t dim = dim_at(d);
        for (size_t i = 0; i < DIM_MAX; i++) {
            q[i] = (float)qv__rng_below(&rng, 17) - 8.0f;
            for (size_t j = 0; j < BATCH_MAX; j++) {
                rows[j][i] = (float)qv__rng_below(&rng, 17) - 8.0f;
            }
        }
        for (size_t j = 0; j < BATCH_MAX; j++) {
            at[j] = rows[BATCH_MAX - 1 - j];
        }
        for (int k = 0; k < KERNELS; k++) {
            float many[BATCH_MAX], gather[BATCH_MAX];
            many_of(r->s, k)(q, rows, sizeof(rows[0]), BATCH_MAX, dim, many);
            gather_of(r->s, k)(q, at, BATCH_MAX, dim, gather);
            for (size_t j = 0; j < BATCH_MAX; j++) {
                long double size;
                float want = (float)truth(k, q, rows[j], dim, &size);
                float pair = pair_of(r->s, k)(q, rows[j], dim);
                check(r, pair == want, "%s dim %zu: %g, not %g", kernel_names[k], dim, (double)pair,
                      (double)want);
                check(r, many[j] == want, "%s_many dim %zu row %zu: %g, not %g", kernel_names[k],
                      dim, j, (double)many[j], (double)want);
                float g = gather[BATCH_MAX - 1 - j];
                check(r, g == want, "%s_gather dim %zu row %zu: %g, not %g", kernel_names[k], dim,
                      j, (double)g, (double)want);
            }
        }
    }
}

/* Every length at every byte offset of a cache line, the two vectors at different ones. */
static inline void case_offsets(struct report *r)
{
    static _Alignas(64) unsigned char a_bytes[DIM_MAX * sizeof(float) + OFFSETS];
    static _Alignas(64) unsigned char b_bytes[DIM_MAX * sizeof(float) + OFFSETS];
    static float a[DIM_MAX], b[DIM_MAX];
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    fill_gauss(&rng, a, DIM_MAX);
    fill_gauss(&rng, b, DIM_MAX);
    for (size_t d = 0; d < DIMS; d++) {
        size_t dim = dim_at(d);
        for (size_t step = 0; step < 8; step++) {
            size_t ao = (d * 8 + step) % OFFSETS, bo = (d * 8 + step * 5 + 3) % OFFSETS;
            if (step % 2 == 0) { /* half of them at whole floats, as real rows are */
                ao &= ~(size_t)3;
                bo &= ~(size_t)3;
            }
            memcpy(a_bytes + ao, a, dim * sizeof(float));
            memcpy(b_bytes + bo, b, dim * sizeof(float));
            const float *pa = (const float *)(const void *)(a_bytes + ao);
            const float *pb = (const float *)(const void *)(b_bytes + bo);
            for (int k = 0; k < KERNELS; k++) {
                float got = pair_of(r->s, k)(pa, pb, dim);
                check_near(r, k, got, pa, pb, dim, "");
                float moved = pair_of(r->s, k)(a, b, dim);
                check(r, same_bits(got, moved), "%s dim %zu: alignment changed the sum",
                      kernel_names[k], dim);
            }
            float n2 = r->s->norm2(pa, dim);
            check_near(r, IP, n2, pa, pa, dim, " (norm2)");
            check(r, same_bits(n2, r->s->ip(pa, pa, dim)), "norm2 dim %zu is not ip(a, a)", dim);
        }
    }
}

/* Strided and gathered forms give what the single form gives, bit for bit, for every batch size
 * and stride; nothing is written behind out[n]. */
static inline void case_batches(struct report *r)
{
    static const size_t dims[] = {0,  1,   3,   7,   8,   15,  16,  17,  31,   33,   63,   64,  65,
                                  96, 100, 127, 128, 129, 257, 384, 768, 1000, 1024, 1030, 1536};
    static const size_t paddings[] = {0, 4, 12, 64, 2};
    static _Alignas(64) unsigned char bytes[BATCH_MAX * (DIM_MAX * sizeof(float) + 64)];
    static float q[DIM_MAX];
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    fill_gauss(&rng, q, DIM_MAX);
    for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++) {
        for (size_t p = 0; p < sizeof(paddings) / sizeof(paddings[0]); p++) {
            size_t dim = dims[d], stride = dim * sizeof(float) + paddings[p];
            const void *at[BATCH_MAX];
            for (size_t j = 0; j < BATCH_MAX; j++) {
                static float row[DIM_MAX];
                fill_gauss(&rng, row, dim);
                memcpy(bytes + j * stride, row, dim * sizeof(float));
                at[j] = (const float *)(const void *)(bytes + j * stride);
            }
            for (int k = 0; k < KERNELS; k++) {
                for (size_t n = 0; n <= BATCH_MAX; n++) {
                    float many[BATCH_MAX + 1], gather[BATCH_MAX + 1];
                    many[n] = gather[n] = 12345.0f;
                    many_of(r->s, k)(q, bytes, stride, n, dim, many);
                    gather_of(r->s, k)(q, at, n, dim, gather);
                    for (size_t j = 0; j < n; j++) {
                        float want = pair_of(r->s, k)(q, at[j], dim);
                        check(r, same_bits(many[j], want), "%s_many dim %zu n %zu row %zu",
                              kernel_names[k], dim, n, j);
                        check(r, same_bits(gather[j], want), "%s_gather dim %zu n %zu row %zu",
                              kernel_names[k], dim, n, j);
                    }
                    check(r, many[n] == 12345.0f && gather[n] == 12345.0f,
                          "%s dim %zu n %zu wrote behind its output", kernel_names[k], dim, n);
                }
            }
        }
    }
    /* A stride of nothing: one row many times. */
    float same[6];
    r->s->l2_many(q, bytes, 0, 6, 100, same);
    for (size_t j = 0; j < 6; j++) {
        check(r, same_bits(same[j], r->s->l2(q, (const float *)(const void *)bytes, 100)),
              "l2_many with stride 0");
    }
}

/* Pages with forbidden ones before and behind; reading one byte beyond kills the test. */
struct fenced {
    unsigned char *map;
    size_t map_bytes;
    unsigned char *begin, *end;
};

static inline bool fenced_open(struct fenced *f, size_t n_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = QV_ALIGN_UP(n_bytes, page);
    f->map_bytes = body + 2 * page;
    void *map = mmap(NULL, f->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect((char *)map + page, body, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    f->map = map;
    f->begin = f->map + page;
    f->end = f->begin + body;
    return true;
}

static inline void fenced_close(struct fenced *f)
{
    munmap(f->map, f->map_bytes);
}

/* Vectors that end where the page ends, and vectors that begin where it begins. */
static inline void case_page_ends(struct report *r)
{
    enum { ROWS = 9 };
    struct fenced fq, fr;
    bool open = fenced_open(&fq, DIM_MAX * sizeof(float)) &&
                fenced_open(&fr, ROWS * DIM_MAX * sizeof(float));
    check(r, open, "no memory for the pages");
    if (!open) {
        return;
    }
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t d = 0; d < DIMS; d++) {
        size_t dim = dim_at(d), bytes = dim * sizeof(float);
        for (int at_end = 0; at_end < 2; at_end++) {
            float *q = (float *)(void *)(at_end ? fq.end - bytes : fq.begin);
            float *rows = (float *)(void *)(at_end ? fr.end - ROWS * bytes : fr.begin);
            const float *edge = at_end ? rows + (ROWS - 1) * dim : rows;
            const void *at[ROWS];
            fill_gauss(&rng, q, dim);
            fill_gauss(&rng, rows, ROWS * dim);
            for (size_t j = 0; j < ROWS; j++) {
                at[j] = edge;
            }
            for (int k = 0; k < KERNELS; k++) {
                float out[ROWS];
                check_near(r, k, pair_of(r->s, k)(q, edge, dim), q, edge, dim, " at a page's end");
                for (size_t n = 1; n <= ROWS; n++) {
                    const float *first = at_end ? rows + (ROWS - n) * dim : rows;
                    many_of(r->s, k)(q, first, bytes, n, dim, out);
                    check_near(r, k, out[n - 1], q, first + (n - 1) * dim, dim, "_many at an end");
                    gather_of(r->s, k)(q, at, n, dim, out);
                    check_near(r, k, out[n - 1], q, edge, dim, "_gather at an end");
                }
            }
            r->s->scale(q, 0.5f, dim); /* neither reads nor writes beyond */
            check_near(r, IP, r->s->norm2(q, dim), q, q, dim, " (norm2) at an end");
        }
    }
    fenced_close(&fq);
    fenced_close(&fr);
}

static inline void case_scale(struct report *r)
{
    static unsigned char bytes[DIM_MAX * sizeof(float) + OFFSETS];
    static float v[DIM_MAX];
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t d = 0; d < DIMS; d++) {
        size_t dim = dim_at(d), off = (d * 7) % 32;
        float by = qv__rng_gauss(&rng);
        fill_gauss(&rng, v, dim);
        memset(bytes, 0x5a, sizeof(bytes));
        memcpy(bytes + off, v, dim * sizeof(float));
        r->s->scale((float *)(void *)(bytes + off), by, dim);
        for (size_t i = 0; i < dim; i++) {
            float got;
            memcpy(&got, bytes + off + i * sizeof(float), sizeof(got));
            check(r, same_bits(got, v[i] * by), "scale dim %zu element %zu", dim, i);
        }
        bool kept = true;
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bool inside = i >= off && i < off + dim * sizeof(float);
            kept = kept && (inside || bytes[i] == 0x5a);
        }
        check(r, kept, "scale dim %zu wrote beside the vector", dim);
    }
}

/* A NaN or an infinity anywhere comes through, in every form. */
static inline void case_not_finite(struct report *r)
{
    static const size_t dims[] = {1, 2, 3, 5, 8, 9, 16, 19, 33, 64, 77, 100, 129};
    static float a[4][129], b[129];
    for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++) {
        size_t dim = dims[d];
        for (size_t bad = 0; bad < dim; bad++) {
            for (size_t i = 0; i < dim; i++) {
                b[i] = 1.0f;
                a[0][i] = a[1][i] = a[2][i] = a[3][i] = 2.0f;
            }
            const void *at[4] = {a[0], a[1], a[2], a[3]};
            for (int k = 0; k < KERNELS; k++) {
                float out[4];
                a[2][bad] = NAN;
                check(r, isnan(pair_of(r->s, k)(a[2], b, dim)), "%s lost a NaN", kernel_names[k]);
                check(r, isnan(pair_of(r->s, k)(b, a[2], dim)), "%s lost a NaN", kernel_names[k]);
                many_of(r->s, k)(b, a, sizeof(a[0]), 4, dim, out);
                check(r, isnan(out[2]) && !isnan(out[1]) && !isnan(out[3]), "%s_many and a NaN",
                      kernel_names[k]);
                gather_of(r->s, k)(b, at, 4, dim, out);
                check(r, isnan(out[2]) && !isnan(out[1]) && !isnan(out[3]), "%s_gather and a NaN",
                      kernel_names[k]);
                a[2][bad] = -INFINITY;
                float got = pair_of(r->s, k)(a[2], b, dim);
                check(r, isinf(got) && (got > 0) == (k != IP), "%s and an infinity: %g",
                      kernel_names[k], (double)got);
            }
            check(r, isinf(r->s->norm2(a[2], dim)), "norm2 lost an infinity");
        }
    }
}

static inline void case_magnitudes(struct report *r)
{
    static float a[DIM_MAX], b[DIM_MAX], zero[DIM_MAX];
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t d = 0; d < DIMS; d++) {
        size_t dim = dim_at(d);
        for (int k = 0; k < KERNELS; k++) {
            float z = pair_of(r->s, k)(zero, zero, dim);
            check(r, same_bits(z, 0.0f), "%s of zeros dim %zu: %g", kernel_names[k], dim,
                  (double)z);
        }
        /* Subnormals are numbers: their differences are exact, their squares vanish. */
        for (size_t i = 0; i < dim; i++) {
            a[i] = (float)qv__rng_below(&rng, 1000) * FLT_TRUE_MIN;
            b[i] = -(float)qv__rng_below(&rng, 1000) * FLT_TRUE_MIN;
        }
        long double size;
        float want = (float)truth(L1, a, b, dim, &size);
        check(r, r->s->l1(a, b, dim) == want, "l1 of subnormals dim %zu", dim);
        check(r, r->s->l2(a, b, dim) == 0.0f, "l2 of subnormals dim %zu", dim);
        /* Around 1e18 squares still fit, and sums of some hundreds of them pass the largest float:
         * then l2 is infinite, and never a NaN. */
        for (size_t i = 0; i < dim; i++) {
            a[i] = qv__rng_gauss(&rng) * 1e18f;
            b[i] = qv__rng_gauss(&rng) * 1e18f;
        }
        long double l2 = truth(L2, a, b, dim, &size);
        float got = r->s->l2(a, b, dim);
        if (l2 > FLT_MAX * 1.001L) {
            check(r, isinf(got) && got > 0, "l2 dim %zu: %g, not infinity", dim, (double)got);
        } else if (l2 < FLT_MAX * 0.999L) {
            check_near(r, L2, got, a, b, dim, " of large numbers");
        }
        check_near(r, L1, r->s->l1(a, b, dim), a, b, dim, " of large numbers");
        (void)truth(IP, a, b, dim, &size);
        if (size < FLT_MAX * 0.999L) {
            check_near(r, IP, r->s->ip(a, b, dim), a, b, dim, " of large numbers");
        }
        for (size_t i = 0; i < dim; i++) {
            a[i] = 3e19f;
        }
        check(r, dim == 0 || isinf(r->s->l2(a, zero, dim)), "l2 of overflowing squares dim %zu",
              dim);
    }
}

static inline void case_normalize(struct report *r)
{
    static const float sizes[] = {1.0f, 1e-3f, 1e15f, 1e-20f, 1e-30f, 1e-38f, 1e-43f};
    static float v[DIM_MAX], was[DIM_MAX];
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t d = 1; d < DIMS; d++) {
        size_t dim = dim_at(d);
        for (size_t z = 0; z < sizeof(sizes) / sizeof(sizes[0]); z++) {
            bool nonzero = false;
            for (size_t i = 0; i < dim; i++) {
                was[i] = v[i] = qv__rng_gauss(&rng) * sizes[z];
                nonzero = nonzero || v[i] != 0.0f;
            }
            bool scaled = qv__simd_normalize(r->s, v, dim);
            long double size, n2 = truth(IP, v, v, dim, &size);
            check(r, scaled == nonzero, "normalize dim %zu size %g said %d", dim, (double)sizes[z],
                  scaled);
            check(r, !scaled || fabsl(n2 - 1) < 1e-5L, "normalize dim %zu size %g: norm2 %.9Lg",
                  dim, (double)sizes[z], n2);
            long double along = truth(IP, v, was, dim, &size);
            long double from = sqrtl(truth(IP, was, was, dim, &size));
            check(r, !scaled || fabsl(along / from - 1) < 1e-5L, "normalize dim %zu turned", dim);
        }
        memset(v, 0, dim * sizeof(float));
        check(r, !qv__simd_normalize(r->s, v, dim), "a zero vector was normalized");
        check(r, r->s->l1(v, v, dim) == 0.0f && v[0] == 0.0f, "a zero vector changed");
    }
}

/* Long sums of like terms keep their digits. */
static inline void case_long_sums(struct report *r)
{
    enum { LONG = 65536 + 3 };
    static float a[LONG], b[LONG];
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t i = 0; i < LONG; i++) {
        a[i] = 1.0f + (float)qv__rng_f64(&rng);
        b[i] = -1.0f - (float)qv__rng_f64(&rng);
    }
    for (int k = 0; k < KERNELS; k++) {
        long double size, want = truth(k, a, b, LONG, &size);
        float got = pair_of(r->s, k)(a, b, LONG);
        check(r, fabsl((long double)got - want) < 1e-4L * size, "%s of %d: %.9g, not %.9Lg",
              kernel_names[k], LONG, (double)got, want);
    }
}

static const struct {
    const char *name;
    void (*run)(struct report *);
} simd_cases[] = {
    {"integers", case_integers},     {"offsets", case_offsets},     {"batches", case_batches},
    {"page ends", case_page_ends},   {"scale", case_scale},         {"not finite", case_not_finite},
    {"magnitudes", case_magnitudes}, {"normalize", case_normalize}, {"long sums", case_long_sums},
};
enum { SIMD_CASES = sizeof(simd_cases) / sizeof(simd_cases[0]) };

/* Run one case on one table; true if it made checks and none failed. */
static inline bool simd_case_run(size_t which, const struct qv__simd *s)
{
    struct report r = {.s = s, .name = simd_cases[which].name};
    simd_cases[which].run(&r);
    if (r.failures > 0) {
        fprintf(stderr, "%s, %s: %llu of %llu checks failed (seed %u)\n", s->name, r.name,
                (unsigned long long)r.failures, (unsigned long long)r.checks, SEED);
    }
    return r.failures == 0 && r.checks > 0;
}

#endif

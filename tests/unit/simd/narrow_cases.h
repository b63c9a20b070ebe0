/* narrow_cases.h: what every table of kernels on half floats and bytes must do, independent of a
 * test framework.
 *
 * What it is: cases over one struct qv__narrow; test_narrow.c runs them under cmocka, neon_main.c
 * from a plain main under an emulator. Truths are sums of exact terms in long double; bytes must be
 * equal to them (rounded once), half floats near. What it is not: about conversions; test_narrow.c.
 */
#ifndef QV_TEST_NARROW_CASES_H
#define QV_TEST_NARROW_CASES_H

#include "simd/narrow.h"
#include "simd_cases.h"

enum { NARROW_DIM_MAX = 1536, NARROW_ROWS = 11 };

struct narrow_report {
    const struct qv__narrow *k;
    const char *name; /* of the case running */
    uint64_t checks, failures;
};

static inline void narrow_check(struct narrow_report *r, bool ok, const char *what, int type,
                                int op, size_t dim)
{
    r->checks++;
    if (!ok && r->failures++ < PRINTED_MAX) {
        fprintf(stderr, "%s, %s: %s of type %d, op %d, dim %zu\n", r->k->name, r->name, what, type,
                op, dim);
    }
}

static inline size_t narrow_bytes(int type)
{
    return type == QV__NARROW_F16 ? 2 : 1;
}

static inline long double narrow_element(int type, const uint8_t *p, size_t i)
{
    if (type != QV__NARROW_F16) {
        return type == QV__NARROW_U8 ? p[i] : (int8_t)p[i];
    }
    uint16_t h;
    memcpy(&h, p + 2 * i, sizeof(h));
    return (long double)qv__half_to_float(h);
}

/* *size: the sum of the terms' magnitudes. */
static inline long double narrow_truth(int type, int op, const uint8_t *a, const uint8_t *b,
                                       size_t dim, long double *size)
{
    long double sum = 0, aa = 0, bb = 0;
    *size = 0;
    for (size_t i = 0; i < dim; i++) {
        long double x = narrow_element(type, a, i), y = narrow_element(type, b, i), d = x - y;
        long double t = op == QV__NARROW_L2 ? d * d : op == QV__NARROW_L1 ? fabsl(d) : x * y;
        sum += t;
        *size += fabsl(t);
        aa += x * x;
        bb += y * y;
    }
    if (op == QV__NARROW_COS) {
        *size = 1;
        return aa > 0 && bb > 0 ? sum / sqrtl(aa * bb) : 0;
    }
    return sum;
}

static inline bool narrow_near(int type, int op, const uint8_t *a, const uint8_t *b, size_t dim,
                               float got)
{
    long double size, want = narrow_truth(type, op, a, b, dim, &size);
    if (type != QV__NARROW_F16 && op != QV__NARROW_COS) {
        return got == (float)want;
    }
    return fabsl((long double)got - want) <= 1e-5L * size;
}

/* `way` 0: random; 1: the largest; 2: the least; 3: zeros. */
static inline void narrow_fill(struct qv__rng *rng, int type, int way, uint8_t *p, size_t dim)
{
    for (size_t i = 0; i < dim; i++) {
        if (type == QV__NARROW_F16) {
            float f = way == 0   ? qv__rng_gauss(rng)
                      : way == 1 ? 2048.0f
                      : way == 2 ? -2048.0f
                                 : 0.0f;
            uint16_t h = qv__half_of_float(f);
            memcpy(p + 2 * i, &h, sizeof(h));
        } else {
            uint8_t most = type == QV__NARROW_U8 ? 255 : 127,
                    least = type == QV__NARROW_U8 ? 0 : 128;
            p[i] = way == 0 ? (uint8_t)qv__rng_u64(rng) : way == 1 ? most : way == 2 ? least : 0;
        }
    }
}

static inline bool narrow_same(const float *a, const float *b, size_t n)
{
    return n == 0 || memcmp(a, b, n * sizeof(*a)) == 0;
}

/* Pair against the truth; many and gather against pair, to the bit, for every n. */
static inline void narrow_forms(struct narrow_report *r, int type, int op, const uint8_t *q,
                                const uint8_t *rows, size_t stride, size_t n_rows, size_t dim)
{
    float want[NARROW_ROWS], backwards[NARROW_ROWS], out[NARROW_ROWS + 1];
    const void *at[NARROW_ROWS];
    const struct qv__dist *d = &r->k->dist[type][op];
    for (size_t j = 0; j < n_rows; j++) {
        const uint8_t *row = rows + j * stride;
        want[j] = d->one(q, row, dim);
        backwards[n_rows - 1 - j] = want[j];
        at[n_rows - 1 - j] = row;
        narrow_check(r, narrow_near(type, op, q, row, dim, want[j]), "pair", type, op, dim);
    }
    for (size_t n = 0; n <= n_rows; n++) {
        out[n] = 77.0f;
        d->many(q, rows, stride, n, dim, out);
        narrow_check(r, narrow_same(out, want, n) && out[n] == 77.0f, "many", type, op, dim);
        d->gather(q, at, n, dim, out);
        narrow_check(r, narrow_same(out, backwards, n) && out[n] == 77.0f, "gather", type, op, dim);
    }
}

/* Every length, at changing offsets, rows that differ and rows that end a page. */
static inline void case_narrow_lengths(struct narrow_report *r)
{
    enum { BYTES = NARROW_ROWS * (2 * NARROW_DIM_MAX + 16) + 64 };
    struct fenced fq, fr;
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    bool open = fenced_open(&fq, 2 * NARROW_DIM_MAX + 64) && fenced_open(&fr, BYTES);
    narrow_check(r, open, "no memory for the pages", 0, 0, 0);
    for (size_t i = 0; open && i < DIMS; i++) {
        size_t dim = dim_at(i);
        for (int type = 0; type < QV__NARROW_TYPES; type++) {
            size_t bytes = dim * narrow_bytes(type), stride = bytes + i % 5;
            size_t all = (NARROW_ROWS - 1) * stride + bytes;
            uint8_t *q = i % 2 ? fq.end - bytes : fq.begin + i % 61;
            uint8_t *rows = i % 2 ? fr.end - all : fr.begin + i % 59;
            narrow_fill(&rng, type, 0, q, dim);
            for (size_t j = 0; j < NARROW_ROWS; j++) {
                narrow_fill(&rng, type, 0, rows + j * stride, dim);
            }
            for (int op = 0; op < QV__NARROW_OPS; op++) {
                narrow_forms(r, type, op, q, rows, stride, NARROW_ROWS, dim);
            }
        }
    }
    if (open) {
        fenced_close(&fq);
        fenced_close(&fr);
    }
}

/* The ends of each type against each other, up to the longest vector. */
static inline void case_narrow_extremes(struct narrow_report *r)
{
    enum { LONGEST = 65536 };
    static uint8_t q[2 * LONGEST], row[2 * LONGEST];
    static const size_t dims[] = {1, 15, 16, 17, 31, 32, 33, 64, 100, 1000, LONGEST - 1, LONGEST};
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
        for (int type = 0; type < QV__NARROW_TYPES; type++) {
            for (int ways = 0; ways < 16; ways++) {
                bool far = ways / 4 != ways % 4 && ways / 4 < 3 && ways % 4 < 3 && ways / 4 > 0;
                if (dims[i] > 1000 && !far && ways != 5) { /* the largest sums only */
                    continue;
                }
                narrow_fill(&rng, type, ways / 4, q, dims[i]);
                narrow_fill(&rng, type, ways % 4, row, dims[i]);
                for (int op = 0; op < QV__NARROW_OPS; op++) {
                    float got = r->k->dist[type][op].one(q, row, dims[i]);
                    narrow_check(r, narrow_near(type, op, q, row, dims[i], got), "extremes", type,
                                 op, dims[i]);
                }
            }
        }
    }
}

/* Every half float; and every length up to some registers, from odd addresses, nothing past it. */
static inline void case_narrow_widen(struct narrow_report *r)
{
    enum { LONGEST = 67 };
    uint8_t bytes[2 * LONGEST + 1];
    float out[LONGEST + 1];
    for (uint32_t h = 0; h < 65536; h += LONGEST) {
        for (uint32_t i = 0; i < LONGEST; i++) {
            uint16_t half = (uint16_t)(h + i);
            memcpy(bytes + 1 + 2 * i, &half, sizeof(half));
        }
        r->k->widen_f16(bytes + 1, LONGEST, out);
        for (uint32_t i = 0; i < LONGEST; i++) {
            float want = qv__half_to_float((uint16_t)(h + i));
            bool same = isnan(want) ? isnan(out[i]) : memcmp(&out[i], &want, sizeof(want)) == 0;
            narrow_check(r, same, "widened", QV__NARROW_F16, 0, h + i);
        }
    }
    for (size_t n = 0; n <= LONGEST; n++) {
        for (size_t i = 0; i <= LONGEST; i++) {
            out[i] = 77.0f;
        }
        r->k->widen_f16(bytes + 1, n, out);
        narrow_check(r, out[n] == 77.0f, "widened too many", QV__NARROW_F16, 0, n);
    }
}

static const struct {
    const char *name;
    void (*run)(struct narrow_report *);
} narrow_cases[] = {
    {"narrow: lengths", case_narrow_lengths},
    {"narrow: extremes", case_narrow_extremes},
    {"narrow: widening", case_narrow_widen},
};
enum { NARROW_CASES = sizeof(narrow_cases) / sizeof(narrow_cases[0]) };

static inline bool narrow_case_run(size_t which, const struct qv__narrow *k)
{
    struct narrow_report r = {.k = k, .name = narrow_cases[which].name};
    narrow_cases[which].run(&r);
    return r.failures == 0 && r.checks > 0;
}

#endif

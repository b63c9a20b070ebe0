/* codes_cases.h: what every table of kernels on codes must do, independent of a test framework.
 *
 * What it is: cases over one struct qv__codes; test_codes.c runs them under cmocka, neon_main.c
 * from a plain main under an emulator. The truth is computed from unpacked integers, which are
 * packed here as codes.h says, independently of quant/. Sums are integers, so equality is exact.
 * What it is not: about which table is chosen; that is in test_codes.c. */
#ifndef QV_TEST_CODES_CASES_H
#define QV_TEST_CODES_CASES_H

#include "simd/codes.h"
#include "simd_cases.h"

enum {
    CODE_DIM_MAX = 2048,
    CODE_ROWS = 11, /* two groups of four and a rest */
};

struct code_report {
    const struct qv__codes *k;
    const char *name; /* of the case running */
    uint64_t checks, failures;
};

static inline void code_check(struct code_report *r, bool ok, const char *what, size_t a, size_t b)
{
    r->checks++;
    if (!ok && r->failures++ < PRINTED_MAX) {
        fprintf(stderr, "%s, %s: %s (%zu, %zu)\n", r->k->name, r->name, what, a, b);
    }
}

/* The place of element i: byte and bit, straight from the words of codes.h. */
static inline void place_of(int w, size_t dims, size_t i, size_t *byte, size_t *bit)
{
    size_t whole = w == QV__W4 ? 128 : 256, bits = (size_t)1 << w, parts = 8 / bits;
    if (w == QV__W8) {
        *byte = i;
        *bit = 0;
    } else if (w == QV__W1) {
        *byte = i / 8;
        *bit = i % 8;
    } else if (i < dims / whole * whole) {
        *byte = i / whole * 64 + i % 64;
        *bit = i % whole / 64 * bits;
    } else {
        size_t run = 64 / parts; /* 32 or 16 */
        *byte = i / 64 * run + i % run;
        *bit = i % 64 / run * bits;
    }
}

static inline void pack_code(int w, const uint8_t *ints, size_t dims, uint8_t *out)
{
    memset(out, 0, qv__code_plane_bytes((enum qv__code_width)w, dims));
    for (size_t i = 0; i < dims; i++) {
        size_t byte, bit;
        place_of(w, dims, i, &byte, &bit);
        out[byte] |= (uint8_t)(ints[i] << bit);
    }
}

/* Fill with `way` 0: random, 1: the largest integers and random signs, 2: the largest of both, 3:
 * the largest and the least, 4: zeros; returns the product. */
static inline int32_t fill_code(struct qv__rng *rng, int w, int way, size_t dims, int8_t *q,
                                uint8_t *ints, bool keep_query)
{
    uint32_t max = (1u << (1u << w)) - 1u;
    int32_t sum = 0;
    for (size_t i = 0; i < dims; i++) {
        if (!keep_query) {
            int random = (int)qv__rng_below(rng, 255) - 127;
            q[i] = (int8_t)(way == 0   ? random
                            : way == 1 ? (random < 0 ? -127 : 127)
                            : way == 2 ? 127
                                       : -127);
        }
        ints[i] = (uint8_t)(way == 0 ? qv__rng_below(rng, max + 1) : way == 4 ? 0 : max);
        sum += q[i] * ints[i];
    }
    return sum;
}

static inline int32_t sum_of(const int8_t *q, size_t dims)
{
    int32_t sum = 0;
    for (size_t i = 0; i < dims; i++) {
        sum += q[i];
    }
    return sum;
}

/* Every length of 8 bits up to 257, then some; every block of 64 of the others. */
static inline size_t code_dims_at(int w, size_t i)
{
    static const size_t more[] = {384, 500, 768, 1000, 1023, 1536, CODE_DIM_MAX};
    if (w != QV__W8) {
        return i < CODE_DIM_MAX / 64 ? (i + 1) * 64 : 0;
    }
    return i < 257 ? i + 1 : i - 257 < sizeof(more) / sizeof(more[0]) ? more[i - 257] : 0;
}

/* All forms of one width and length, codes `extra` bytes apart at an address `off` a cache line,
 * with and without prefetching. */
static inline void check_forms(struct code_report *r, struct qv__rng *rng, int w, int way,
                               size_t dims, size_t off, size_t extra)
{
    static _Alignas(64) int8_t q[CODE_DIM_MAX];
    static uint8_t ints[CODE_DIM_MAX];
    static _Alignas(64) uint8_t bytes[64 + CODE_ROWS * (CODE_DIM_MAX + 16)];
    size_t plane = qv__code_plane_bytes((enum qv__code_width)w, dims), stride = plane + extra;
    int32_t want[CODE_ROWS], out[CODE_ROWS + 1];
    const uint8_t *at[CODE_ROWS];
    memset(q, 0, sizeof(q));
    for (size_t j = 0; j < CODE_ROWS; j++) {
        want[j] = fill_code(rng, w, way, dims, q, ints, j > 0);
        pack_code(w, ints, dims, bytes + off + j * stride);
        at[CODE_ROWS - 1 - j] = bytes + off + j * stride;
    }
    struct qv__code_query query = {q, dims, sum_of(q, dims), 0};
    for (size_t n = 0; n <= CODE_ROWS; n++) {
        query.fetch_bytes = n % 2 ? plane : 0;
        out[n] = 77;
        r->k->many[w](&query, bytes + off, stride, n, out);
        bool ok = memcmp(out, want, n * sizeof(*out)) == 0;
        code_check(r, ok && out[n] == 77, "many: dims, n", dims, n);
        out[n] = 77;
        r->k->gather[w](&query, at, 0, n, out);
        ok = out[n] == 77;
        for (size_t j = 0; j < n; j++) {
            ok = ok && out[j] == want[CODE_ROWS - 1 - j];
        }
        code_check(r, ok, "gather: dims, n", dims, n);
        for (size_t j = 0; j < CODE_ROWS; j++) {
            at[j] -= 5;
        }
        r->k->gather[w](&query, at, 5, n, out);
        for (size_t j = 0; j < CODE_ROWS; j++) {
            ok = ok && (j >= n || out[j] == want[CODE_ROWS - 1 - j]);
            at[j] += 5;
        }
        code_check(r, ok, "gather with an offset: dims, n", dims, n);
    }
}

static inline void case_code_lengths(struct code_report *r)
{
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (int w = 0; w < QV__WIDTHS; w++) {
        for (size_t i = 0; code_dims_at(w, i) > 0; i++) {
            check_forms(r, &rng, w, 0, code_dims_at(w, i), 8 + i * 7 % 48, i % 13);
        }
    }
}

static inline void case_code_extremes(struct code_report *r)
{
    static const size_t dims[] = {1, 15, 16, 17, 63, 64, 65, 128, 192, 256, 320, 777, CODE_DIM_MAX};
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (int w = 0; w < QV__WIDTHS; w++) {
        for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
            for (int way = 1; way <= 4 && (w == QV__W8 || dims[i] % 64 == 0); way++) {
                check_forms(r, &rng, w, way, dims[i], 8, 0);
            }
        }
    }
}

/* The longest code: sums at the ends of 32 bits. */
static inline void case_code_longest(struct code_report *r)
{
    static int8_t q[QV__CODE_DIMS_MAX];
    static uint8_t code[QV__CODE_DIMS_MAX];
    const uint8_t *at = code;
    int32_t out;
    memset(code, 255, sizeof(code));
    for (int sign = -1; sign <= 1; sign += 2) {
        memset(q, sign * 127, sizeof(q));
        struct qv__code_query query = {q, sizeof(q), sign * 127 * (int32_t)sizeof(q), 0};
        for (int w = 0; w < QV__WIDTHS; w++) {
            int32_t max = (1 << (1 << w)) - 1;
            r->k->gather[w](&query, &at, 0, 1, &out);
            code_check(r, out == sign * 127 * max * (int32_t)sizeof(q), "longest", sizeof(q),
                       (size_t)w);
        }
    }
}

/* Codes that end where the page ends, and that begin where it begins. */
static inline void case_code_page_ends(struct code_report *r)
{
    static _Alignas(64) int8_t q[CODE_DIM_MAX];
    static uint8_t ints[CODE_DIM_MAX], packed[CODE_DIM_MAX];
    struct fenced f;
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    bool open = fenced_open(&f, CODE_DIM_MAX);
    code_check(r, open, "no memory for the pages", 0, 0);
    for (int w = 0; open && w < QV__WIDTHS; w++) {
        for (size_t i = 0; code_dims_at(w, i) > 0; i++) {
            size_t dims = code_dims_at(w, i);
            size_t plane = qv__code_plane_bytes((enum qv__code_width)w, dims);
            memset(q, 0, sizeof(q));
            int32_t want = fill_code(&rng, w, 0, dims, q, ints, false), out[5];
            pack_code(w, ints, dims, packed);
            struct qv__code_query query = {q, dims, sum_of(q, dims), plane};
            for (int at_end = 0; at_end < 2; at_end++) {
                uint8_t *place = at_end ? f.end - plane : f.begin;
                const uint8_t *at[5] = {place, place, place, place, place};
                memcpy(place, packed, plane);
                r->k->gather[w](&query, at, 0, 5, out);
                code_check(r, out[0] == want && out[4] == want, "gather at an end", dims,
                           (size_t)w);
                r->k->many[w](&query, place, 0, 5, out);
                code_check(r, out[3] == want && out[4] == want, "many at an end", dims, (size_t)w);
            }
        }
    }
    if (open) {
        fenced_close(&f);
    }
}

static inline void case_hamming(struct code_report *r)
{
    enum { BYTES_MAX = 300 };
    struct fenced fa, fb;
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    bool open = fenced_open(&fa, BYTES_MAX) && fenced_open(&fb, BYTES_MAX);
    code_check(r, open, "no memory for the pages", 0, 0);
    for (size_t n = 0; open && n <= BYTES_MAX; n++) {
        for (int way = 0; way < 3; way++) { /* random; all differ; none does */
            uint8_t *a = n % 2 ? fa.end - n : fa.begin, *b = fb.end - n;
            uint32_t want = 0;
            for (size_t i = 0; i < n; i++) {
                a[i] = (uint8_t)qv__rng_u64(&rng);
                b[i] = way == 0 ? (uint8_t)qv__rng_u64(&rng) : way == 1 ? (uint8_t)~a[i] : a[i];
                for (unsigned bit = 0; bit < 8; bit++) {
                    want += (unsigned)(a[i] ^ b[i]) >> bit & 1u;
                }
            }
            code_check(r, r->k->hamming(a, b, n) == want, "hamming", n, (size_t)way);
        }
    }
    if (open) {
        fenced_close(&fa);
        fenced_close(&fb);
    }
}

/* Bit vectors of every length, in all forms, at changing offsets and at the end of a page. */
static inline void case_bits(struct code_report *r)
{
    enum { BYTES_MAX = 1536 / 8, ROOM = CODE_ROWS * (BYTES_MAX + 8) + 64 };
    struct fenced fq, fr;
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    bool open = fenced_open(&fq, BYTES_MAX + 64) && fenced_open(&fr, ROOM);
    code_check(r, open, "no memory for the pages", 0, 0);
    for (size_t i = 0; open && i < DIMS; i++) {
        size_t dim = dim_at(i), bytes = (dim + 7) / 8, stride = bytes + i % 5;
        size_t all = (CODE_ROWS - 1) * stride + bytes;
        uint8_t *q = i % 2 ? fq.end - bytes : fq.begin + i % 61;
        uint8_t *rows = i % 2 ? fr.end - all : fr.begin + i % 59;
        float want[CODE_ROWS], backwards[CODE_ROWS], out[CODE_ROWS + 1];
        const void *at[CODE_ROWS];
        for (size_t j = 0; j <= CODE_ROWS; j++) {
            uint8_t *v = j < CODE_ROWS ? rows + j * stride : q;
            for (size_t k = 0; k < bytes; k++) {
                v[k] = (uint8_t)qv__rng_u64(&rng);
            }
            if (dim % 8) {
                v[bytes - 1] &= (uint8_t)(0xff00u >> dim % 8);
            }
        }
        for (size_t j = 0; j < CODE_ROWS; j++) {
            unsigned differ = 0;
            at[CODE_ROWS - 1 - j] = rows + j * stride;
            for (size_t k = 0; k < dim; k++) {
                unsigned both = (unsigned)(q[k / 8] ^ rows[j * stride + k / 8]);
                differ += both >> (7 - k % 8) & 1u;
            }
            want[j] = backwards[CODE_ROWS - 1 - j] = (float)differ;
            code_check(r, r->k->bits.one(q, rows + j * stride, dim) == want[j], "pair", dim, j);
        }
        for (size_t n = 0; n <= CODE_ROWS; n++) {
            out[n] = 77.0f;
            r->k->bits.many(q, rows, stride, n, dim, out);
            bool ok = n == 0 || memcmp(out, want, n * sizeof(*out)) == 0;
            code_check(r, ok && out[n] == 77.0f, "many", dim, n);
            r->k->bits.gather(q, at, n, dim, out);
            ok = n == 0 || memcmp(out, backwards, n * sizeof(*out)) == 0;
            code_check(r, ok && out[n] == 77.0f, "gather", dim, n);
        }
    }
    if (open) {
        fenced_close(&fq);
        fenced_close(&fr);
    }
}

/* Random entries, then the largest ones; tables and codes at the end of a page. */
static inline void case_lookup(struct code_report *r)
{
    enum { BYTES_MAX = 16 * QV__LOOKUP_GROUPS_MAX };
    struct fenced ft, fc;
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    bool open = fenced_open(&ft, BYTES_MAX) && fenced_open(&fc, BYTES_MAX);
    code_check(r, open, "no memory for the pages", 0, 0);
    for (size_t n = 0; open && n <= QV__LOOKUP_GROUPS_MAX; n += n < 256 ? 16 : 256) {
        for (int way = 0; way < 2; way++) {
            uint8_t *tables = ft.end - 16 * n, *codes = fc.end - 16 * n;
            uint16_t want[QV__LOOKUP_CODES] = {0}, out[QV__LOOKUP_CODES + 1];
            for (size_t i = 0; i < 16 * n; i++) {
                tables[i] = way ? QV__LOOKUP_MAX : (uint8_t)qv__rng_below(&rng, QV__LOOKUP_MAX + 1);
                codes[i] = (uint8_t)qv__rng_u64(&rng);
            }
            for (size_t i = 0; i < 16 * n; i++) {
                const uint8_t *table = tables + i / 16 * 16;
                want[i % 16] = (uint16_t)(want[i % 16] + table[codes[i] & 15]);
                want[i % 16 + 16] = (uint16_t)(want[i % 16 + 16] + table[codes[i] >> 4]);
            }
            out[QV__LOOKUP_CODES] = 77;
            r->k->lookup(tables, codes, n, way ? codes : NULL, out);
            code_check(r, memcmp(out, want, sizeof(want)) == 0 && out[QV__LOOKUP_CODES] == 77,
                       "lookup", n, (size_t)way);
        }
    }
    if (open) {
        fenced_close(&ft);
        fenced_close(&fc);
    }
}

/* The bits say what the distances say; these are as near as rounding lets them. */
static inline void case_near(struct code_report *r)
{
    enum { N = QV__LOOKUP_CODES, ROUNDS = 50 };
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t round = 0; round < ROUNDS; round++) {
        uint16_t sums[N];
        float add[N], scale[N], dists[N + 1];
        struct qv__code_worth w = {.step = 0.25f,
                                   .middle = (int32_t)qv__rng_below(&rng, 32768),
                                   .from = qv__rng_gauss(&rng),
                                   .most = 500 * qv__rng_gauss(&rng)};
        bool is_good = true;
        for (size_t i = 0; i < N; i++) {
            sums[i] = (uint16_t)qv__rng_u64(&rng);
            add[i] = i == 7 ? __builtin_inff() : qv__rng_gauss(&rng);
            scale[i] = 0.1f * qv__rng_gauss(&rng);
        }
        dists[N] = 77;
        uint32_t mask = r->k->near(&w, sums, add, scale, dists);
        for (size_t i = 0; i < N; i++) {
            double units = (double)w.step * ((int32_t)sums[i] - w.middle);
            double want = (double)w.from + ((double)add[i] - (double)scale[i] * units);
            double off = (double)dists[i] - want;
            is_good = is_good && (i == 7 ? dists[i] > 1e30f : off * off < 1e-4);
            is_good = is_good && (mask >> i & 1) == (dists[i] <= w.most);
        }
        code_check(r, is_good && dists[N] == 77, "near", round, 0);
    }
}

static inline void case_low_bits(struct code_report *r)
{
    enum { N = 37, BYTES = 64 };
    struct fenced f;
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    bool open = fenced_open(&f, N * BYTES);
    code_check(r, open, "no memory for the pages", 0, 0);
    for (size_t n = 0; open && n <= N; n++) {
        const uint8_t *codes[N];
        uint64_t out[N + 1], want[N];
        uint8_t *all = f.end - n * BYTES;
        for (size_t i = 0; i < n; i++) {
            want[i] = 0;
            codes[i] = all + i * BYTES;
            for (size_t k = 0; k < BYTES; k++) {
                all[i * BYTES + k] = (uint8_t)qv__rng_u64(&rng);
                want[i] |= (uint64_t)(codes[i][k] & 1) << k;
            }
        }
        out[n] = 77;
        r->k->low_bits(codes, n, out);
        code_check(r, memcmp(out, want, n * sizeof *want) == 0 && out[n] == 77, "low bits", n, 0);
    }
    if (open) {
        fenced_close(&f);
    }
}

static const struct {
    const char *name;
    void (*run)(struct code_report *);
} code_cases[] = {
    {"codes: lengths", case_code_lengths},
    {"codes: extremes", case_code_extremes},
    {"codes: longest", case_code_longest},
    {"codes: page ends", case_code_page_ends},
    {"codes: hamming", case_hamming},
    {"codes: bits", case_bits},
    {"codes: lookup", case_lookup},
    {"codes: low bits", case_low_bits},
    {"codes: near", case_near},
};
enum { CODE_CASES = sizeof(code_cases) / sizeof(code_cases[0]) };

static inline bool code_case_run(size_t which, const struct qv__codes *k)
{
    struct code_report r = {.k = k, .name = code_cases[which].name};
    code_cases[which].run(&r);
    return r.failures == 0 && r.checks > 0;
}

#endif

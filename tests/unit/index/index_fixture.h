/* index_fixture.h: data, ground truth and plumbing shared by the tests of this folder.
 *
 * Everything is seeded; a test that fails prints enough to be replayed. The truth is computed here
 * in double precision, independently of the kernels and of the flat index. */
#ifndef QV_TESTS_INDEX_FIXTURE_H
#define QV_TESTS_INDEX_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/rng.h"
#include "bitmap/bitset.h"
#include "index/index.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
/* Thread sanitizer costs ten times what address sanitizer does. */
#if defined(__SANITIZE_THREAD__)
#define SCALED(n) ((n) / 4)
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SCALED(n) ((n) / 4)
#endif
#endif
#ifndef SCALED
#define SCALED(n)       (n)
#define THREADS_CHECKED false
#else
#define THREADS_CHECKED true
#endif

#define check_ok(expr) check_ok_at((expr), &err, #expr, __FILE__, __LINE__)
static inline void check_ok_at(qv_status st, const struct qv_err *err, const char *expr,
                               const char *file, int line)
{
    if (st != QV_OK) {
        print_error("%s:%d: %s: %s: %s\n", file, line, expr, qv_status_name(st), err->message);
        fail();
    }
}

static uint64_t fixture_mono(void *ctx)
{
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static const struct qv__clock fixture_clock = {fixture_mono, fixture_mono, NULL};

/* A run of vectors in chunks of 2^shift (31 = one chunk), with room for n. */
struct data {
    uint32_t n, dim;
    float *values; /* one allocation */
    const uint8_t **chunks;
    struct qv__vectors v;
};

static inline float *data_row(const struct data *d, uint32_t i)
{
    return d->values + (size_t)i * d->dim;
}

static inline struct data data_make(uint32_t n, uint32_t dim, enum qv__metric metric,
                                    uint32_t shift)
{
    struct data d = {.n = n, .dim = dim};
    d.values = calloc((size_t)n * dim + 1, sizeof(float));
    size_t n_chunks = shift >= 31 ? 1 : ((size_t)n >> shift) + 1;
    d.chunks = calloc(n_chunks, sizeof *d.chunks);
    assert_non_null(d.values);
    assert_non_null(d.chunks);
    for (size_t i = 0; i < n_chunks; i++) {
        d.chunks[i] = (const uint8_t *)(d.values + (i << (shift >= 31 ? 0 : shift)) * dim);
    }
    d.v = (struct qv__vectors){.chunks = d.chunks,
                               .chunk_shift = shift,
                               .stride_bytes = dim * (uint32_t)sizeof(float),
                               .dim = dim,
                               .datatype = QV__F32,
                               .metric = (uint8_t)metric};
    return d;
}

static inline void data_free(struct data *d)
{
    free(d->values);
    free(d->chunks);
}

static inline void normalize(float *row, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        sum += (double)row[i] * row[i];
    }
    for (uint32_t i = 0; i < dim && sum > 0; i++) {
        row[i] = (float)(row[i] / sqrt(sum));
    }
}

static inline void fill_uniform(struct data *d, uint64_t seed)
{
    struct qv__rng r;
    qv__rng_seed(&r, seed);
    for (size_t i = 0; i < (size_t)d->n * d->dim; i++) {
        d->values[i] = (float)qv__rng_f64(&r) * 2 - 1;
    }
    for (uint32_t i = 0; d->v.metric == QV__COSINE && i < d->n; i++) {
        normalize(data_row(d, i), d->dim);
    }
}

/* Gaussian clusters; cluster_of (may be NULL) gets each row's cluster. The centres depend on
 * centre_seed alone, so that base and queries can share them. */
static inline void fill_clustered(struct data *d, uint32_t n_centres, float spread,
                                  uint64_t centre_seed, uint64_t seed, uint32_t *cluster_of)
{
    struct qv__rng r;
    qv__rng_seed(&r, centre_seed);
    float *centres = malloc((size_t)n_centres * d->dim * sizeof *centres);
    assert_non_null(centres);
    for (size_t i = 0; i < (size_t)n_centres * d->dim; i++) {
        centres[i] = qv__rng_gauss(&r);
    }
    qv__rng_seed(&r, seed);
    for (uint32_t i = 0; i < d->n; i++) {
        uint32_t c = (uint32_t)qv__rng_below(&r, n_centres);
        for (uint32_t j = 0; j < d->dim; j++) {
            data_row(d, i)[j] = centres[(size_t)c * d->dim + j] + spread * qv__rng_gauss(&r);
        }
        if (d->v.metric == QV__COSINE) {
            normalize(data_row(d, i), d->dim);
        }
        if (cluster_of) {
            cluster_of[i] = c;
        }
    }
    free(centres);
}

static inline double exact_distance(const struct data *d, const float *q, uint32_t ord)
{
    const float *row = data_row(d, ord);
    double sum = 0;
    for (uint32_t i = 0; i < d->dim; i++) {
        double a = q[i], b = row[i];
        switch (d->v.metric) {
        case QV__L2:
            sum += (a - b) * (a - b);
            break;
        case QV__L1:
            sum += fabs(a - b);
            break;
        default:
            sum -= a * b;
        }
    }
    return sum;
}

/* Distance of the k-th nearest allowed of [0, n); INFINITY if there are fewer. */
static inline double exact_kth(const struct data *d, const float *q, uint32_t n, uint32_t k,
                               const uint64_t *allow)
{
    double *best = malloc((k + 1) * sizeof *best);
    assert_non_null(best);
    uint32_t n_best = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (allow && !qv__bit_test(allow, i)) {
            continue;
        }
        double dist = exact_distance(d, q, i);
        uint32_t at = n_best < k ? n_best++ : k;
        for (; at > 0 && best[at - 1] > dist; at--) {
            best[at] = best[at - 1];
        }
        best[at] = dist;
    }
    double kth = n_best == k ? best[k - 1] : INFINITY;
    free(best);
    return kth;
}

/* A relative slack for sums in single precision. */
static inline double slack(double dist, uint32_t dim)
{
    return 1e-6 * (fabs(dist) + 1) * (double)(dim + 16);
}

static inline struct qv__qctx ctx_make(struct qv__mem *mem)
{
    return (struct qv__qctx){.clock = &fixture_clock, .mem = mem};
}

/* Hits are distinct, allowed, below n, sorted by (dist, ord), with true distances. */
static inline void check_hits(const struct data *d, const struct qv__index_query *q,
                              const struct qv__index_hit *hits, uint32_t n_hits)
{
    for (uint32_t i = 0; i < n_hits; i++) {
        assert_true(hits[i].ord < q->n);
        assert_true(!q->allow || qv__bit_test(q->allow, hits[i].ord));
        double exact = exact_distance(d, q->vector, hits[i].ord);
        assert_true(fabs(exact - hits[i].dist) <= slack(exact, d->dim));
        assert_true(hits[i].bound == 0.0f);
        if (i > 0) {
            assert_true(hits[i - 1].dist < hits[i].dist ||
                        (hits[i - 1].dist == hits[i].dist && hits[i - 1].ord < hits[i].ord));
        }
    }
}

/* Share of the k hits that are no farther than the true k-th, over all queries; every hit is
 * checked, and every query must get exactly min(k, allowed). */
static inline double recall_of(const struct qv__index *x, const struct data *d,
                               const struct data *queries, uint32_t k, uint32_t ef,
                               const uint64_t *allow, struct qv__mem *mem)
{
    struct qv_err err;
    uint32_t n = qv__index_count(x);
    uint64_t allow_count = allow ? qv__bits_count(allow, n) : 0;
    uint32_t n_want = (uint32_t)QV_MIN((uint64_t)k, allow ? allow_count : n);
    uint64_t n_good = 0, n_all = 0;
    struct qv__index_hit *hits = malloc(k * sizeof *hits);
    assert_non_null(hits);
    for (uint32_t i = 0; i < queries->n; i++) {
        struct qv__qctx ctx = ctx_make(mem);
        struct qv__index_query q = {.vector = data_row(queries, i),
                                    .k = k,
                                    .ef = ef,
                                    .allow = allow,
                                    .allow_count = allow_count,
                                    .n = n};
        uint32_t n_hits = UINT32_MAX;
        check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, n_want);
        check_hits(d, &q, hits, n_hits);
        double kth = n_want ? exact_kth(d, q.vector, n, n_want, allow) : 0;
        for (uint32_t j = 0; j < n_hits; j++) {
            n_good += hits[j].dist <= kth + slack(kth, d->dim);
        }
        n_all += n_want;
    }
    free(hits);
    return n_all ? (double)n_good / (double)n_all : 1.0;
}

/* Parts of a saved index, each in a block of exactly its size. */
struct saved {
    struct qv__index_sink sink;
    uint8_t *bytes[QV__INDEX_PARTS_MAX];
    size_t n[QV__INDEX_PARTS_MAX];
};

static qv_status saved_part(struct qv__index_sink *sink, uint32_t part, const void *bytes, size_t n,
                            struct qv_err *err)
{
    struct saved *s = (struct saved *)sink;
    (void)err;
    assert_true(part < QV__INDEX_PARTS_MAX);
    assert_null(s->bytes[part]);
    s->bytes[part] = malloc(n);
    assert_non_null(s->bytes[part]);
    memcpy(s->bytes[part], bytes, n);
    s->n[part] = n;
    return QV_OK;
}

static inline void saved_take(struct saved *s, const struct qv__index *x)
{
    struct qv_err err;
    memset(s, 0, sizeof *s);
    s->sink.part = saved_part;
    check_ok(x->ops->save(x, &s->sink, &err));
}

static inline void saved_free(struct saved *s)
{
    for (uint32_t i = 0; i < QV__INDEX_PARTS_MAX; i++) {
        free(s->bytes[i]);
    }
}

static inline struct qv__index_parts saved_parts(const struct saved *s)
{
    struct qv__index_parts parts;
    for (uint32_t i = 0; i < QV__INDEX_PARTS_MAX; i++) {
        parts.part[i] = (struct qv__bytes){s->bytes[i], s->n[i]};
    }
    return parts;
}

static inline bool saved_equal(const struct saved *a, const struct saved *b)
{
    for (uint32_t i = 0; i < QV__INDEX_PARTS_MAX; i++) {
        if (a->n[i] != b->n[i] || (a->n[i] && memcmp(a->bytes[i], b->bytes[i], a->n[i]) != 0)) {
            return false;
        }
    }
    return true;
}

static inline struct qv__index_env env_make(struct qv__mem *mem, struct qv__pool *pool,
                                            unsigned threads)
{
    return (struct qv__index_env){
        .mem = mem, .simd = qv__simd_best(NULL), .pool = pool, .threads = threads};
}

/* What the walks of a test's graphs compare: every test of graphs runs once over the vectors and
 * once over codes (where the metric has them). */
static uint32_t fixture_codes = QV__INDEX_CODES_NONE;

static inline int run_with_and_without_codes(const char *name, const struct CMUnitTest *tests,
                                             size_t n)
{
    char group[64];
    int n_failed = 0;
    /* Threads meet in the same places either way, and a thread sanitizer is slow: the default is
     * enough. */
    for (fixture_codes = THREADS_CHECKED ? QV__INDEX_CODES_INT8 : QV__INDEX_CODES_NONE;
         fixture_codes <= QV__INDEX_CODES_INT8; fixture_codes++) {
        bool codes = fixture_codes != QV__INDEX_CODES_NONE;
        snprintf(group, sizeof group, "%s, %s", name, codes ? "codes" : "vectors");
        n_failed += _cmocka_run_group_tests(group, tests, n, NULL, NULL);
    }
    return n_failed;
}

static inline uint64_t *allow_make(uint32_t n)
{
    uint64_t *words = calloc(qv__bitset_words(n) + 1, sizeof *words);
    assert_non_null(words);
    return words;
}

/* The account must be empty but for what it had before. */
#define check_no_leak(mem, used_before) assert_int_equal(qv__mem_used(mem), used_before)

#endif

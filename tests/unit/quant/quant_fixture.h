/* quant_fixture.h: vectors, truths and recalls shared by the tests of this folder.
 *
 * Everything is seeded. Exact distances are computed here in double precision, independently of the
 * kernels; the text embeddings are those of examples/sample. */
#ifndef QV_TESTS_QUANT_FIXTURE_H
#define QV_TESTS_QUANT_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "quant/quant.h"

#define SEED 20240611u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
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

/* Every setting there is. */
static const struct qv__quant_params all_params[] = {
    {QV__QUANT_SCALAR, 8, 0, 1}, {QV__QUANT_SCALAR, 4, 0, 1}, {QV__QUANT_SCALAR, 4, 4, 1},
    {QV__QUANT_RABITQ, 1, 0, 1}, {QV__QUANT_RABITQ, 2, 0, 1}, {QV__QUANT_RABITQ, 3, 0, 1},
    {QV__QUANT_RABITQ, 4, 0, 1}, {QV__QUANT_RABITQ, 5, 0, 1}, {QV__QUANT_RABITQ, 6, 0, 1},
    {QV__QUANT_RABITQ, 7, 0, 1}, {QV__QUANT_RABITQ, 8, 0, 1}, {QV__QUANT_RABITQ, 4, 4, 1},
    {QV__QUANT_BINARY, 1, 0, 1},
};
enum { ALL_PARAMS = sizeof all_params / sizeof all_params[0] };
static const uint8_t all_metrics[] = {QV__COSINE, QV__DOT, QV__L2};
static const char *const metric_names[] = {"cosine", "dot", "l2"};

/* A run of n vectors of its own memory. */
struct rows {
    float *v;
    const uint8_t *chunk;
    struct qv__vectors run;
    uint32_t n;
};

static inline float *row(const struct rows *r, uint32_t i)
{
    return r->v + (size_t)i * r->run.dim;
}

static inline void rows_make(struct rows *r, uint32_t n, uint32_t dim, uint8_t metric)
{
    r->v = calloc((size_t)n * dim + 1, sizeof *r->v);
    assert_non_null(r->v);
    r->chunk = (const uint8_t *)r->v;
    r->n = n;
    r->run =
        (struct qv__vectors){&r->chunk, 31, dim * (uint32_t)sizeof(float), dim, QV__F32, metric};
}

static inline void rows_free(struct rows *r)
{
    free(r->v);
}

static inline void rows_normalize(struct rows *r)
{
    for (uint32_t i = 0; r->run.metric == QV__COSINE && i < r->n; i++) {
        (void)qv__simd_normalize(qv__simd_best(NULL), row(r, i), r->run.dim);
    }
}

/* Clusters of clusters around a common mean, with dimensions of unequal spread: what embeddings
 * look like, and what a quantizer that believes in even spread gets wrong. */
static inline void rows_clustered(struct rows *r, uint32_t n, uint32_t dim, uint8_t metric,
                                  uint64_t seed)
{
    enum { CLUSTERS = 40 };
    static float centre[CLUSTERS][4096];
    struct qv__rng rng;
    rows_make(r, n, dim, metric);
    qv__rng_seed(&rng, SEED); /* the clusters are the same for every seed */
    for (unsigned c = 0; c < CLUSTERS; c++) {
        for (uint32_t d = 0; d < dim; d++) {
            centre[c][d] = qv__rng_gauss(&rng) + 0.5f;
        }
    }
    qv__rng_seed(&rng, seed);
    for (uint32_t i = 0; i < n; i++) {
        const float *c = centre[qv__rng_below(&rng, CLUSTERS)];
        for (uint32_t d = 0; d < dim; d++) {
            float spread = d % 16 == 0 ? 3.0f : 0.7f;
            row(r, i)[d] = spread * (c[d] + 0.6f * qv__rng_gauss(&rng));
        }
    }
    rows_normalize(r);
}

/* Rows [0, n) of a matrix of signed bytes (examples/sample). */
static inline void rows_sample(struct rows *r, const char *name, uint32_t n, uint8_t metric)
{
    enum { HEAD = 128, DIM = 384 };
    char path[512];
    static int8_t bytes[DIM];
    snprintf(path, sizeof path, "%s/examples/sample/%s", QV_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, HEAD, SEEK_SET), 0);
    rows_make(r, n, DIM, metric);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(fread(bytes, 1, DIM, f), DIM);
        for (uint32_t d = 0; d < DIM; d++) {
            row(r, i)[d] = (float)bytes[d] / 64.0f;
        }
    }
    fclose(f);
    rows_normalize(r);
}

static inline double exact(uint8_t metric, const float *a, const float *b, uint32_t dim)
{
    double l2 = 0.0, ip = 0.0;
    for (uint32_t d = 0; d < dim; d++) {
        double x = (double)a[d], y = (double)b[d];
        l2 += (x - y) * (x - y);
        ip += x * y;
    }
    return metric == QV__L2 ? l2 : -ip;
}

/* A quantizer of `rows` and their codes. */
struct coded {
    struct qv__mem *mem;
    struct qv__quant *z;
    struct qv__quant_info info;
    struct qv__quant_query *q;
    uint8_t *codes, *rests;
    size_t stride;
    uint32_t n;
};

static inline void coded_make(struct coded *c, const struct qv__quant_params *p,
                              const struct rows *r, const struct qv__simd *simd)
{
    struct qv_err err = {0};
    struct qv__quant_encoder *e;
    c->mem = qv__mem_root("test", 0);
    check_ok(qv__quant_train(p, &r->run, r->n, c->mem, simd, &c->z, &err));
    qv__quant_describe(c->z, &c->info);
    c->n = r->n;
    c->stride = c->info.code_bytes + 3; /* no alignment is asked for */
    c->codes = calloc((size_t)r->n + 1, c->stride);
    c->rests = calloc((size_t)r->n + 1, (size_t)c->info.rest_bytes + 1);
    assert_true(c->codes && c->rests);
    check_ok(qv__quant_encoder_new(c->z, c->mem, &e, &err));
    qv__quant_encode_run(e, &r->run, 0, r->n, c->codes, c->stride, c->rests, c->info.rest_bytes);
    qv__quant_encoder_free(e);
    check_ok(qv__quant_query_new(c->z, c->mem, &c->q, &err));
}

static inline const uint8_t *code_at(const struct coded *c, uint32_t i)
{
    return c->codes + i * c->stride;
}

static inline void coded_free(struct coded *c)
{
    qv__quant_query_free(c->q);
    qv__quant_free(c->z);
    qv__mem_close(c->mem);
    free(c->codes);
    free(c->rests);
}

struct hit {
    double dist;
    uint32_t ord;
};

static inline int by_dist(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    return x->dist != y->dist ? (x->dist > y->dist) - (x->dist < y->dist)
                              : (x->ord > y->ord) - (x->ord < y->ord);
}

#endif

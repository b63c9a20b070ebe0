/* typed_fixture.h: vectors of every datatype, the truth about them, and searches held against it.
 *
 * What it is: a run of stored elements beside the numbers they stand for, from which distances are
 * taken in double precision, independently of all kernels and codes. What it is not: plumbing of
 * indexes; index_fixture.h. */
#ifndef QV_TESTS_TYPED_FIXTURE_H
#define QV_TESTS_TYPED_FIXTURE_H

#include "base/elements.h"
#include "index_fixture.h"

/* Rows of one column as stored; `values` is what the elements stand for. */
struct typed {
    uint32_t n, dim;
    float *values;
    uint8_t *bytes;
    const uint8_t *chunk;
    struct qv__vectors v;
};

static inline const float *typed_row(const struct typed *t, uint32_t i)
{
    return t->values + (size_t)i * t->dim;
}

static inline struct typed typed_make(uint32_t n, uint32_t dim, uint8_t datatype,
                                      enum qv__metric metric)
{
    struct typed t = {.n = n, .dim = dim};
    uint32_t stride = qv__vector_bytes(datatype, dim);
    t.values = calloc((size_t)n * dim + 1, sizeof *t.values);
    t.bytes = calloc((size_t)n + 1, stride); /* of each its own size: a sanitizer sees the end */
    assert_non_null(t.values);
    assert_non_null(t.bytes);
    t.chunk = t.bytes;
    t.v = (struct qv__vectors){.chunk_shift = 31,
                               .stride_bytes = stride,
                               .dim = dim,
                               .datatype = datatype,
                               .metric = (uint8_t)metric};
    return t;
}

/* `chunk` is a member: a copy of the struct has another address. */
static inline const struct qv__vectors *typed_run(struct typed *t)
{
    t->v.chunks = &t->chunk;
    return &t->v;
}

static inline void typed_free(struct typed *t)
{
    free(t->values);
    free(t->bytes);
}

/* Store a row of about normal numbers as its column would: scaled into the range of bytes, the sign
 * as a bit, normalised where that is done. */
static inline void typed_put(struct typed *t, uint32_t i, const float *row)
{
    float *to = t->values + (size_t)i * t->dim;
    uint8_t datatype = t->v.datatype;
    for (uint32_t k = 0; k < t->dim; k++) {
        to[k] = datatype == QV__U8   ? 128.0f + 30.0f * row[k]
                : datatype == QV__I8 ? 30.0f * row[k]
                                     : row[k];
        to[k] = datatype == QV__BIT ? row[k] > 0 : to[k];
    }
    if (qv__normalises(t->v.metric, datatype)) {
        normalize(to, t->dim);
    }
    uint8_t *bytes = t->bytes + (size_t)i * t->v.stride_bytes;
    qv__elements_of_floats(datatype, to, t->dim, bytes);
    qv__elements_to_floats(datatype, bytes, t->dim, to);
}

/* Gaussian clusters; with `uneven` lengths differ by a factor of ten. */
static inline struct typed typed_clustered(uint32_t n, uint32_t dim, uint8_t datatype,
                                           enum qv__metric metric, uint32_t n_centres, bool uneven,
                                           uint64_t seed)
{
    struct typed t = typed_make(n, dim, datatype, metric);
    struct qv__rng r;
    qv__rng_seed(&r, 31);
    float *centres = malloc((size_t)n_centres * dim * sizeof *centres);
    float *row = malloc(dim * sizeof *row);
    assert_non_null(centres);
    assert_non_null(row);
    for (size_t i = 0; i < (size_t)n_centres * dim; i++) {
        centres[i] = qv__rng_gauss(&r);
    }
    qv__rng_seed(&r, seed);
    for (uint32_t i = 0; i < n; i++) {
        const float *centre = centres + qv__rng_below(&r, n_centres) * dim;
        float by = uneven ? 0.3f + 2.7f * (float)qv__rng_f64(&r) : 1.0f;
        for (uint32_t k = 0; k < dim; k++) {
            row[k] = by * (centre[k] + 0.7f * qv__rng_gauss(&r));
        }
        typed_put(&t, i, row);
    }
    free(centres);
    free(row);
    return t;
}

static inline double typed_distance(const struct typed *t, const float *q, uint32_t ord)
{
    const float *row = typed_row(t, ord);
    double ip = 0, aa = 0, bb = 0, l2 = 0, l1 = 0;
    for (uint32_t i = 0; i < t->dim; i++) {
        double a = (double)q[i], b = (double)row[i];
        ip += a * b;
        aa += a * a;
        bb += b * b;
        l2 += (a - b) * (a - b);
        l1 += fabs(a - b); /* of bits the number that differ */
    }
    switch (t->v.metric) {
    case QV__L2:
        return l2;
    case QV__L1:
    case QV__HAMMING:
        return l1;
    case QV__COSINE:
        if (!qv__normalises(t->v.metric, t->v.datatype)) {
            return aa > 0 && bb > 0 ? -ip / sqrt(aa * bb) : 0;
        }
        return -ip;
    default:
        return -ip;
    }
}

static inline double typed_slack(double dist, uint32_t dim)
{
    return 2e-6 * (fabs(dist) + 1) * (double)(dim + 16);
}

/* Distance of the k-th nearest allowed row; n_allowed >= k. */
static inline double typed_kth(const struct typed *t, const float *q, uint32_t k,
                               const uint64_t *allow)
{
    double *best = malloc((k + 1) * sizeof *best);
    assert_non_null(best);
    uint32_t n_best = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (allow && !qv__bit_test(allow, i)) {
            continue;
        }
        double dist = typed_distance(t, q, i);
        uint32_t at = n_best < k ? n_best++ : k;
        for (; at > 0 && best[at - 1] > dist; at--) {
            best[at] = best[at - 1];
        }
        best[at] = dist;
    }
    assert_int_equal(n_best, k);
    double kth = best[k - 1];
    free(best);
    return kth;
}

/* Share of the k nearest that are found. Every query gets min(k, allowed) hits: distinct, allowed,
 * in order, with the distances of the stored elements. `kths` may be NULL: the truth of each
 * query. */
static inline double typed_recall(const struct qv__index *x, const struct typed *t,
                                  const struct typed *queries, uint32_t k, uint32_t ef,
                                  const uint64_t *allow, const double *kths, struct qv__mem *mem)
{
    struct qv_err err;
    uint64_t allow_count = allow ? qv__bits_count(allow, t->n) : t->n;
    uint32_t n_want = (uint32_t)QV_MIN((uint64_t)k, allow_count);
    struct qv__index_hit *hits = malloc((k + 1) * sizeof *hits);
    uint64_t found = 0;
    assert_non_null(hits);
    for (uint32_t j = 0; j < queries->n; j++) {
        struct qv__qctx ctx = ctx_make(mem);
        const float *as_floats = typed_row(queries, j);
        struct qv__index_query q = {.vector = queries->bytes + (size_t)j * queries->v.stride_bytes,
                                    .k = k,
                                    .ef = ef,
                                    .allow = allow,
                                    .allow_count = allow ? allow_count : 0,
                                    .n = t->n};
        uint32_t n_hits = UINT32_MAX;
        check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, n_want);
        double kth = n_want == 0 ? 0 : kths ? kths[j] : typed_kth(t, as_floats, n_want, allow);
        for (uint32_t i = 0; i < n_hits; i++) {
            assert_true(hits[i].ord < t->n && hits[i].bound == 0.0f);
            assert_true(!allow || qv__bit_test(allow, hits[i].ord));
            double want = typed_distance(t, as_floats, hits[i].ord);
            assert_true(fabs((double)hits[i].dist - want) <= typed_slack(want, t->dim));
            assert_true(i == 0 || hits[i - 1].dist < hits[i].dist ||
                        (hits[i - 1].dist == hits[i].dist && hits[i - 1].ord < hits[i].ord));
            found += want <= kth + typed_slack(kth, t->dim);
        }
    }
    free(hits);
    return n_want ? (double)found / ((double)n_want * queries->n) : 1.0;
}

/* What may be asked for of a column: which codes, of which metric and datatype. */
static const enum qv__metric typed_metrics[] = {QV__COSINE, QV__DOT, QV__L2, QV__L1, QV__HAMMING};
static const char *const typed_metric_names[] = {"cosine", "dot", "l2", "l1", "hamming"};
static const char *const typed_codes_names[QV__INDEX_CODES_KINDS] = {"auto",  "none",  "int8",
                                                                     "1-bit", "2-bit", "4-bit"};

#endif

/* test_sparse.c: posting lists against comparing every vector with the query: the same results
 * whatever the weights' signs, the lists' lengths, the allowed ordinals and k; what is inverted is
 * what was given; hostile bytes are refused, or harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "bitmap/bitset.h"
#include "index/sparse.h"

static struct qv__mem *mem;
static struct qv_err err;

#define OK(expr)                                                                                   \
    do {                                                                                           \
        if ((expr) != QV_OK) {                                                                     \
            fail_msg("%s: %s", #expr, err.message);                                                \
        }                                                                                          \
    } while (0)

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* nnz distinct indices below `terms`, small ones far more often. */
static void *vector_of(struct qv__rng *rng, uint32_t nnz, uint32_t terms, bool negative)
{
    uint32_t index[512], n = 0;
    for (uint32_t tries = 0; n < nnz && tries < 4 * nnz; tries++) {
        uint32_t t = (uint32_t)qv__rng_below(rng, 1 + qv__rng_below(rng, terms)), i = 0;
        while (i < n && index[i] != t) {
            i++;
        }
        if (i == n) {
            index[n++] = t;
        }
    }
    qsort(index, n, sizeof *index, by_number);
    uint32_t *v = malloc(qv__sparse_bytes(n));
    v[0] = n;
    for (uint32_t i = 0; i < n; i++) {
        float w = (float)(1 + qv__rng_below(rng, 1000)) / 500.0f;
        v[1 + i] = index[i];
        ((float *)v)[1 + n + i] = negative && qv__rng_below(rng, 2) ? -w : w;
    }
    return v;
}

struct run {
    void **vectors;
    uint32_t n;
    struct qv__buf bytes;
    struct qv__postings p;
};

static struct run run_of(struct qv__rng *rng, uint32_t n, uint32_t nnz, uint32_t terms,
                         bool negative)
{
    struct run r = {.vectors = calloc(n + 1, sizeof(void *)), .n = n};
    for (uint32_t i = 0; i < n; i++) {
        r.vectors[i] = vector_of(rng, (uint32_t)qv__rng_below(rng, nnz + 1), terms, negative);
        assert_true(qv__sparse_valid(r.vectors[i], qv__sparse_bytes(*(uint32_t *)r.vectors[i])));
    }
    qv__buf_init(&r.bytes, mem);
    OK(qv__postings_build(mem, (const void *const *)r.vectors, n, NULL, &r.bytes, &err));
    OK(qv__postings_open(qv__buf_bytes(&r.bytes), n, true, &r.p, &err));
    return r;
}

static void run_free(struct run *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        free(r->vectors[i]);
    }
    free(r->vectors);
    qv__buf_free(&r->bytes);
}

static void same_hits(const struct run *r, const void *query, const uint64_t *allow, uint32_t k,
                      uint32_t first)
{
    struct qv__qctx ctx = {.mem = mem};
    struct qv__hit *a = calloc(k + 1, sizeof *a), *b = calloc(k + 1, sizeof *b);
    struct qv__topk got, want;
    bool overlap;
    qv__topk_init(&got, a, k);
    qv__topk_init(&want, b, k);
    OK(qv__sparse_search(&r->p, first, query, allow, &ctx, &got, &err));
    OK(qv__sparse_scan((const void *const *)r->vectors, r->n, first, query, allow, &ctx, &want,
                       &err));
    size_t n = qv__topk_sort(&want);
    assert_int_equal(qv__topk_sort(&got), n);
    for (size_t i = 0; i < n; i++) {
        /* Sums differ by rounding, so near equals may stand in either order. */
        assert_float_equal(a[i].dist, b[i].dist, 1e-3);
        float own = -qv__sparse_dot(query, r->vectors[a[i].key - first], &overlap);
        assert_float_equal(own, a[i].dist, 1e-3);
        assert_true(overlap && (!allow || qv__bit_test(allow, a[i].key)));
        assert_true(i == 0 || a[i].key != a[i - 1].key);
    }
    free(a);
    free(b);
}

static void same_as_comparing_all(void **state)
{
    static const uint32_t sizes[] = {0, 1, 2, 127, 128, 129, 1000, 4096, 4097, 13000};
    static const uint32_t ks[] = {1, 10, 100, 20000};
    struct qv__rng rng;
    (void)state;
    qv__rng_seed(&rng, 5);
    for (unsigned i = 0; i < QV_ARRAY_LEN(sizes) * 2; i++) {
        uint32_t n = sizes[i / 2], terms = i % 3 ? 300 : 20000;
        struct run r = run_of(&rng, n, 40, terms, i % 2);
        uint32_t first = i % 2 ? 64 : 0;
        for (unsigned q = 0; q < 12; q++) {
            void *query = vector_of(&rng, 1 + (uint32_t)qv__rng_below(&rng, 30), terms, q % 3 == 0);
            struct qv__bitset allow = {0};
            assert_int_equal(qv__bitset_init(&allow, mem, n + first), QV_OK);
            for (uint32_t o = 0; o < n; o++) {
                if (qv__rng_below(&rng, q % 5 + 1) == 0) {
                    qv__bit_set(allow.words, o + first);
                }
            }
            same_hits(&r, query, q % 2 ? allow.words : NULL, ks[q % 4], first);
            qv__bitset_free(&allow);
            free(query);
        }
        run_free(&r);
    }
}

/* Long lists of small weights beside short ones of large: what pruning is for. */
static void lists_that_are_not_read(void **state)
{
    enum { N = 20000 };
    struct qv__rng rng;
    struct qv__qctx ctx = {.mem = mem};
    struct run r = {.vectors = calloc(N, sizeof(void *)), .n = N};
    (void)state;
    qv__rng_seed(&rng, 9);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t rare = qv__rng_below(&rng, 500) == 0, n = 1 + rare, *v = malloc(4 + 8 * n);
        v[0] = n;
        v[1] = 0;
        v[2] = 1;
        ((float *)v)[1 + n] = 0.01f + (float)qv__rng_below(&rng, 100) / 1e4f;
        if (rare) {
            ((float *)v)[2 + n] = 5.0f + (float)(i % 7);
        }
        r.vectors[i] = v;
    }
    qv__buf_init(&r.bytes, mem);
    OK(qv__postings_build(mem, (const void *const *)r.vectors, N, NULL, &r.bytes, &err));
    OK(qv__postings_open(qv__buf_bytes(&r.bytes), N, true, &r.p, &err));
    uint32_t query[5] = {2, 0, 1};
    ((float *)query)[3] = ((float *)query)[4] = 1.0f;
    same_hits(&r, query, NULL, 10, 0);
    struct qv__hit heap[10];
    struct qv__topk top;
    qv__topk_init(&top, heap, 10);
    OK(qv__sparse_search(&r.p, 0, query, NULL, &ctx, &top, &err));
    assert_int_equal(top.n, 10);
    assert_true(ctx.stats.distances < N / 2); /* one window full, then the rare ones only */
    run_free(&r);
}

static void frequencies(void **state)
{
    struct qv__rng rng;
    (void)state;
    qv__rng_seed(&rng, 11);
    struct run r = run_of(&rng, 3000, 20, 50, false);
    struct qv__bitset allow = {0};
    assert_int_equal(qv__bitset_init(&allow, mem, r.n), QV_OK);
    uint64_t want[2][50] = {{0}}, got[2][50] = {{0}};
    uint32_t terms[50];
    for (uint32_t t = 0; t < 50; t++) {
        terms[t] = t;
    }
    for (uint32_t o = 0; o < r.n; o++) {
        bool in = qv__rng_below(&rng, 3) == 0;
        if (in) {
            qv__bit_set(allow.words, o);
        }
        for (uint32_t k = 0; k < qv__varvec_count(r.vectors[o]); k++) {
            want[0][qv__sparse_indices(r.vectors[o])[k]]++;
            want[1][qv__sparse_indices(r.vectors[o])[k]] += in;
        }
    }
    qv__sparse_frequencies(&r.p, 0, terms, 50, NULL, got[0]);
    qv__sparse_frequencies(&r.p, 0, terms, 50, allow.words, got[1]);
    assert_memory_equal(got, want, sizeof got);
    assert_true(qv__postings_digest(&r.p) ==
                qv__postings_digest_of((const void *const *)r.vectors, r.n, 0));
    qv__bitset_free(&allow);
    run_free(&r);
}

/* Every byte changed in some way: refused, or another index that can be searched. */
static void hostile_bytes(void **state)
{
    struct qv__rng rng;
    struct qv__qctx ctx = {.mem = mem};
    (void)state;
    qv__rng_seed(&rng, 13);
    struct run r = run_of(&rng, 300, 12, 40, true);
    void *query = vector_of(&rng, 30, 40, true);
    uint64_t digest = qv__postings_digest(&r.p);
    unsigned refused = 0, other = 0;
    for (size_t i = 0; i < r.bytes.n; i++) {
        uint8_t was = r.bytes.p[i];
        r.bytes.p[i] ^= (uint8_t)(1 + qv__rng_below(&rng, 255));
        struct qv__postings p;
        if (qv__postings_open(qv__buf_bytes(&r.bytes), r.n, true, &p, &err) != QV_OK) {
            refused++;
        } else {
            struct qv__hit heap[10];
            struct qv__topk top;
            qv__topk_init(&top, heap, 10);
            OK(qv__sparse_search(&p, 0, query, NULL, &ctx, &top, &err));
            other += qv__postings_digest(&p) != digest;
        }
        r.bytes.p[i] = was;
    }
    assert_true(refused > r.bytes.n / 4 && other > 0);
    for (size_t n = 0; n < r.bytes.n; n++) {
        struct qv__postings p;
        assert_int_not_equal(
            qv__postings_open((struct qv__bytes){r.bytes.p, n}, r.n, true, &p, &err), QV_OK);
    }
    free(query);
    run_free(&r);
}

static void without_memory(void **state)
{
    struct qv__rng rng;
    (void)state;
    qv__rng_seed(&rng, 17);
    struct run r = run_of(&rng, 500, 30, 3000, false);
    void *query = vector_of(&rng, 20, 3000, false);
    bool done = false;
    for (uint64_t at = 1; !done; at++) {
        struct qv__buf bytes;
        qv__buf_init(&bytes, mem);
        qv__mem_fail_at(mem, at, false);
        qv_status st =
            qv__postings_build(mem, (const void *const *)r.vectors, r.n, NULL, &bytes, &err);
        done = st == QV_OK;
        assert_true(done || st == QV_ENOMEM);
        qv__mem_fail_at(mem, 0, false);
        qv__buf_free(&bytes);
    }
    done = false;
    for (uint64_t at = 1; !done; at++) {
        struct qv__qctx ctx = {.mem = mem};
        struct qv__hit heap[10];
        struct qv__topk top;
        qv__topk_init(&top, heap, 10);
        qv__mem_fail_at(mem, at, false);
        qv_status st = qv__sparse_search(&r.p, 0, query, NULL, &ctx, &top, &err);
        done = st == QV_OK;
        assert_true(done || st == QV_ENOMEM);
        qv__mem_fail_at(mem, 0, false);
    }
    free(query);
    run_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_comparing_all), cmocka_unit_test(lists_that_are_not_read),
        cmocka_unit_test(frequencies),           cmocka_unit_test(hostile_bytes),
        cmocka_unit_test(without_memory),
    };
    mem = qv__mem_root("test", 0);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    qv__mem_close(mem);
    return rc;
}

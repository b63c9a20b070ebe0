/* test_graph_beam.c: several graphs searched with one beam: about as good as one graph over all of
 * their vectors, for less than a beam for each, however the vectors are split. */
#include "index_fixture.h"

#include "base/topk.h"

enum { N = 16000, DIM = 24, QUERIES = 48, K = 10, EF = 64, PARTS_MAX = 4 };

/* A run of vectors in consecutive parts, each with a graph, and one graph over all. */
struct parts {
    struct qv__mem *mem;
    struct data all, queries;
    struct qv__index *whole, *part[PARTS_MAX];
    uint32_t first[PARTS_MAX + 1], n_parts;
    const uint8_t *chunk[PARTS_MAX];
};

static struct qv__index *build(struct qv__mem *mem, const struct qv__vectors *v, uint32_t n)
{
    struct qv_err err;
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .codes = fixture_codes, .m = 16, .ef_construct = 64, .seed = 7};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, v, n, &x, &err));
    return x;
}

static void parts_build(struct parts *p, const uint32_t *sizes, uint32_t n_parts)
{
    p->n_parts = n_parts;
    for (uint32_t i = 0; i < n_parts; i++) {
        p->first[i + 1] = p->first[i] + sizes[i];
        p->chunk[i] = (const uint8_t *)data_row(&p->all, p->first[i]);
        struct qv__vectors v = p->all.v;
        v.chunks = &p->chunk[i];
        p->part[i] = build(p->mem, &v, sizes[i]);
    }
    p->whole = build(p->mem, &p->all.v, p->first[n_parts]);
}

static void parts_open(struct parts *p)
{
    *p = (struct parts){.mem = qv__mem_root("test", 0)};
    p->all = data_make(N, DIM, QV__L2, 31);
    p->queries = data_make(QUERIES, DIM, QV__L2, 31);
}

static void parts_close(struct parts *p)
{
    for (uint32_t i = 0; i < p->n_parts; i++) {
        p->part[i]->ops->free(p->part[i]);
    }
    p->whole->ops->free(p->whole);
    data_free(&p->all);
    data_free(&p->queries);
    check_no_leak(p->mem, 0);
    qv__mem_close(p->mem);
}

/* Share of the true neighbours found by searching the parts one after the other. */
static double parts_recall(struct parts *p, bool shares, const uint64_t *allow, uint64_t *distances)
{
    struct qv_err err;
    float dists[EF];
    uint32_t n_good = 0, n = p->first[p->n_parts];
    *distances = 0;
    for (uint32_t i = 0; i < QUERIES; i++) {
        struct qv__hit best[K];
        struct qv__topk top;
        struct qv__index_beam beam = {.dists = dists, .cap = EF};
        qv__topk_init(&top, best, K);
        for (uint32_t k = 0; k < p->n_parts; k++) {
            struct qv__qctx ctx = ctx_make(p->mem);
            struct qv__index_hit hits[K];
            uint32_t n_hits = 0, n_part = p->first[k + 1] - p->first[k];
            uint64_t *words = NULL, count = n_part;
            if (allow) {
                words = allow_make(n_part);
                count = 0;
                for (uint32_t o = 0; o < n_part; o++) {
                    if (qv__bit_test(allow, p->first[k] + o)) {
                        qv__bit_set(words, o);
                        count++;
                    }
                }
            }
            struct qv__index_query q = {.vector = data_row(&p->queries, i),
                                        .k = K,
                                        .ef = EF,
                                        .n = n_part,
                                        .allow = words,
                                        .allow_count = count,
                                        .beam = shares ? &beam : NULL};
            check_ok(p->part[k]->ops->search(p->part[k], &q, &ctx, hits, &n_hits, &err));
            assert_int_equal(n_hits, QV_MIN((uint64_t)K, count));
            for (uint32_t j = 0; j < n_hits; j++) {
                qv__topk_push(&top, hits[j].dist, p->first[k] + hits[j].ord);
            }
            *distances += ctx.stats.distances;
            free(words);
            for (uint32_t j = 1; j < beam.n; j++) {
                assert_true(dists[j - 1] <= dists[j]);
            }
            assert_true(beam.n <= EF);
        }
        double kth = exact_kth(&p->all, data_row(&p->queries, i), n, K, allow);
        size_t n_best = qv__topk_sort(&top);
        for (size_t j = 0; j < n_best; j++) {
            n_good += best[j].dist <= kth + slack(kth, DIM);
        }
    }
    return (double)n_good / (QUERIES * K);
}

/* With a beam shared about as good as one graph, and at most `cost` of what the parts take alone.
 */
static void check_parts(struct parts *p, double cost)
{
    uint64_t shared, alone;
    double whole = recall_of(p->whole, &p->all, &p->queries, K, EF, NULL, p->mem);
    double recall = parts_recall(p, true, NULL, &shared);
    double most = parts_recall(p, false, NULL, &alone);
    print_message("whole %.3f, shared %.3f, alone %.3f; distances %.2f of those alone\n", whole,
                  recall, most, (double)shared / (double)alone);
    if (recall < whole - 0.02 || (double)shared > cost * (double)alone) {
        print_error("whole %.3f, shared %.3f, alone %.3f; distances %.2f of those alone\n", whole,
                    recall, most, (double)shared / (double)alone);
        fail();
    }
}

static void test_equal_parts(void **state)
{
    (void)state;
    struct parts p;
    uint32_t sizes[] = {N / 4, N / 4, N / 4, N / 4};
    parts_open(&p);
    fill_uniform(&p.all, 1);
    fill_uniform(&p.queries, 2);
    parts_build(&p, sizes, 4);
    check_parts(&p, 0.9);
    parts_close(&p);
}

/* The largest first, as the engine has it. */
static void test_unequal_parts(void **state)
{
    (void)state;
    struct parts p;
    static const uint32_t sizes[] = {N / 2, N / 4, N / 8, N / 8};
    parts_open(&p);
    fill_uniform(&p.all, 3);
    fill_uniform(&p.queries, 4);
    parts_build(&p, sizes, 4);
    check_parts(&p, 0.9);
    parts_close(&p);
}

/* Each part has clusters of its own, so that nearly all neighbours of a query are in one of them,
 * wherever it comes in the order. */
static void test_parts_of_their_own_clusters(void **state)
{
    (void)state;
    struct parts p;
    uint32_t sizes[] = {N / 4, N / 4, N / 4, N / 4};
    parts_open(&p);
    for (uint32_t i = 0; i < 4; i++) {
        struct data part = data_make(N / 4, DIM, QV__L2, 31),
                    queries = data_make(QUERIES / 4, DIM, QV__L2, 31);
        fill_clustered(&part, 10, 0.5f, 100 + i, 10 + i, NULL);
        fill_clustered(&queries, 10, 0.5f, 100 + i, 20 + i, NULL);
        memcpy(data_row(&p.all, i * (N / 4)), part.values, (size_t)(N / 4) * DIM * sizeof(float));
        memcpy(data_row(&p.queries, i * (QUERIES / 4)), queries.values,
               (size_t)(QUERIES / 4) * DIM * sizeof(float));
        data_free(&part);
        data_free(&queries);
    }
    parts_build(&p, sizes, 4);
    check_parts(&p, 1.0);
    parts_close(&p);
}

static void test_filtered(void **state)
{
    (void)state;
    struct parts p;
    struct qv__rng r;
    uint64_t shared, alone;
    uint32_t sizes[] = {N / 4, N / 4, N / 4, N / 4};
    uint64_t *allow = allow_make(N);
    parts_open(&p);
    fill_uniform(&p.all, 5);
    fill_uniform(&p.queries, 6);
    parts_build(&p, sizes, 4);
    qv__rng_seed(&r, 7);
    for (uint32_t i = 0; i < N; i++) {
        if (qv__rng_below(&r, 10)) { /* as where some are deleted */
            qv__bit_set(allow, i);
        }
    }
    double whole = recall_of(p.whole, &p.all, &p.queries, K, EF, allow, p.mem);
    assert_true(parts_recall(&p, true, allow, &shared) >= whole - 0.02);
    (void)parts_recall(&p, false, allow, &alone);
    assert_true(shared <= alone);
    free(allow);
    parts_close(&p);
}

/* Alone, a walk ends when its nearest do not change any more, before its beam is expanded; what
 * it finds stays as good, and a wider beam still finds more. */
static void test_patience(void **state)
{
    (void)state;
    static const uint32_t beams[] = {12, 32, 128, 512};
    struct qv_err err;
    struct parts p;
    parts_open(&p);
    fill_clustered(&p.all, 200, 0.3f, 1, 5, NULL);
    fill_clustered(&p.queries, 200, 0.3f, 1, 6, NULL);
    p.first[1] = N;
    struct qv__index *x = build(p.mem, &p.all.v, N);
    double before = 0;
    for (size_t b = 0; b < QV_ARRAY_LEN(beams); b++) {
        uint64_t hops = 0;
        for (uint32_t i = 0; i < QUERIES; i++) {
            struct qv__qctx ctx = ctx_make(p.mem);
            struct qv__index_hit hits[K];
            uint32_t n_hits;
            struct qv__index_query q = {
                .vector = data_row(&p.queries, i), .k = K, .ef = beams[b], .n = N};
            check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
            assert_int_equal(n_hits, K);
            hops += ctx.stats.hops;
        }
        double recall = recall_of(x, &p.all, &p.queries, K, beams[b], NULL, p.mem);
        print_message("ef %u: %.1f hops, recall@10 %.4f\n", beams[b], (double)hops / QUERIES,
                      recall);
        assert_true(recall >= before - 0.005);
        before = recall;
        if (beams[b] >= 128) {
            assert_true(hops < (uint64_t)beams[b] * QUERIES * 9 / 10);
            assert_true(recall >= 0.99);
        }
    }
    x->ops->free(x);
    data_free(&p.all);
    data_free(&p.queries);
    check_no_leak(p.mem, 0);
    qv__mem_close(p.mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patience), cmocka_unit_test(test_equal_parts),
        cmocka_unit_test(test_unequal_parts), cmocka_unit_test(test_parts_of_their_own_clusters),
        cmocka_unit_test(test_filtered)};
    return run_with_and_without_codes("graph beam", tests, QV_ARRAY_LEN(tests));
}

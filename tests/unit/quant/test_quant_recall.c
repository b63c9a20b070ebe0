/* How many of the ten nearest an exhaustive scan of codes finds, alone and with a rerank of twice
 * as many; on text embeddings and on clusters, for every quantizer and metric. QUANT_TABLE=1 prints
 * the table of docs/internals/QUANT.md, over the whole sample. */
#include "quant_fixture.h"

enum { K = 10, OVERSAMPLING = 2 };

struct recall {
    double alone, reranked, refined; /* refined: by rests instead of vectors */
};

static void nearest(struct hit *hits, uint32_t n)
{
    qsort(hits, n, sizeof *hits, by_dist);
}

static double overlap(const struct hit *a, const struct hit *b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < K; i++) {
        for (unsigned j = 0; j < K; j++) {
            n += a[i].ord == b[j].ord;
        }
    }
    return (double)n / K;
}

/* truth: K hits per query. */
static struct recall measure(const struct coded *c, const struct rows *r,
                             const struct rows *queries, const struct hit *truth)
{
    struct recall sum = {0};
    float *dists = calloc(r->n, sizeof *dists);
    struct hit *hits = calloc(r->n, sizeof *hits);
    for (uint32_t j = 0; j < queries->n; j++) {
        qv__quant_query_set(c->q, row(queries, j));
        c->q->run(c->q, c->codes, c->stride, r->n, dists, NULL);
        for (uint32_t i = 0; i < r->n; i++) {
            hits[i] = (struct hit){(double)dists[i], i};
        }
        nearest(hits, r->n);
        sum.alone += overlap(hits, truth + j * K);
        struct hit again[OVERSAMPLING * K];
        for (unsigned i = 0; i < OVERSAMPLING * K; i++) {
            uint32_t ord = hits[i].ord;
            again[i] = (struct hit){
                (double)c->q->refine(c->q, code_at(c, ord),
                                     c->rests + ord * (size_t)c->info.rest_bytes, NULL),
                ord};
            hits[i].dist = exact(r->run.metric, row(queries, j), row(r, ord), r->run.dim);
        }
        nearest(hits, OVERSAMPLING * K);
        nearest(again, OVERSAMPLING * K);
        sum.reranked += overlap(hits, truth + j * K);
        sum.refined += overlap(again, truth + j * K);
    }
    free(dists);
    free(hits);
    return (struct recall){sum.alone / queries->n, sum.reranked / queries->n,
                           sum.refined / queries->n};
}

static struct hit *truth_of(const struct rows *r, const struct rows *queries)
{
    struct hit *truth = calloc((size_t)queries->n * K, sizeof *truth);
    struct hit *hits = calloc(r->n, sizeof *hits);
    for (uint32_t j = 0; j < queries->n; j++) {
        for (uint32_t i = 0; i < r->n; i++) {
            hits[i] = (struct hit){exact(r->run.metric, row(queries, j), row(r, i), r->run.dim), i};
        }
        nearest(hits, r->n);
        memcpy(truth + j * K, hits, K * sizeof *hits);
    }
    free(hits);
    return truth;
}

/* What each of all_params must find: alone, and reranked from the vectors. */
static const struct recall floors[ALL_PARAMS] = {
    {0.95, 0.99, 0.95}, {0.78, 0.97, 0.78}, {0.80, 0.97, 0.96}, {0.45, 0.74, 0.45},
    {0.70, 0.90, 0.70}, {0.80, 0.97, 0.80}, {0.88, 0.99, 0.88}, {0.92, 0.99, 0.92},
    {0.95, 0.99, 0.95}, {0.97, 0.99, 0.97}, {0.98, 0.99, 0.98}, {0.87, 0.99, 0.97},
    {0.10, 0.20, 0.10},
};

static void check_set(const char *name, const struct rows *r, const struct rows *queries)
{
    struct hit *truth = truth_of(r, queries);
    for (size_t i = 0; i < ALL_PARAMS; i++) {
        struct coded c;
        coded_make(&c, &all_params[i], r, qv__simd_best(NULL));
        struct recall got = measure(&c, r, queries, truth);
        print_message("%-9s %-6s %-6s %u+%u %5u B  alone %.3f  reranked %.3f  refined %.3f\n", name,
                      metric_names[r->run.metric], c.info.kind, c.info.bits, c.info.rest_bits,
                      c.info.code_bytes + c.info.rest_bytes, got.alone, got.reranked, got.refined);
        bool as_in_table = getenv("QUANT_TABLE") != NULL; /* more rows are harder */
        assert_true(as_in_table || got.alone >= floors[i].alone);
        assert_true(as_in_table || got.reranked >= floors[i].reranked);
        assert_true(as_in_table || got.refined >= floors[i].refined);
        coded_free(&c);
    }
    free(truth);
}

static void text_embeddings(void **state)
{
    (void)state;
    bool whole = getenv("QUANT_TABLE") != NULL;
    for (size_t m = 0; m < QV_ARRAY_LEN(all_metrics); m++) {
        struct rows r, queries;
        rows_sample(&r, "vectors.npy", whole ? 12000 : SANITIZED ? 1500 : 3000, all_metrics[m]);
        rows_sample(&queries, "queries.npy", whole ? 256 : 40, all_metrics[m]);
        check_set("text", &r, &queries);
        rows_free(&r);
        rows_free(&queries);
    }
}

static void clusters(void **state)
{
    (void)state;
    bool whole = getenv("QUANT_TABLE") != NULL;
    for (size_t m = 0; m < QV_ARRAY_LEN(all_metrics); m++) {
        struct rows r, queries;
        rows_clustered(&r, whole ? 12000 : SANITIZED ? 1500 : 3000, 128, all_metrics[m], 21);
        rows_clustered(&queries, whole ? 256 : 40, 128, all_metrics[m], 22);
        check_set("clusters", &r, &queries);
        rows_free(&r);
        rows_free(&queries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_embeddings),
        cmocka_unit_test(clusters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_sample.c: the sample data through the public interface: recall, exactness, filters, restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "qvt.h"

#define N   12000
#define DIM 384
#define NQ  256

struct sample {
    int8_t *base, *queries;
    int32_t *truth; /* [NQ][100] */
    char **payload; /* JSON of each document */
    char *text;
};

static void *read_all(const char *name, size_t *n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/examples/sample/%s", QV_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        fail_msg("%s is missing", path);
    }
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *p = malloc(*n + 1);
    assert_int_equal(fread(p, 1, *n, f), *n);
    p[*n] = 0;
    fclose(f);
    return p;
}

static void *read_npy(const char *name, size_t bytes)
{
    size_t n = 0;
    unsigned char *p = read_all(name, &n);
    size_t head = 10 + (size_t)p[8] + ((size_t)p[9] << 8);
    assert_int_equal(n - head, bytes);
    memmove(p, p + head, bytes);
    return p;
}

static void load(struct sample *s)
{
    size_t n = 0;
    s->base = read_npy("vectors.npy", (size_t)N * DIM);
    s->queries = read_npy("queries.npy", (size_t)NQ * DIM);
    s->truth = read_npy("truth.npy", (size_t)NQ * 100 * 4);
    s->text = read_all("docs.jsonl", &n);
    s->payload = calloc(N, sizeof *s->payload);
    char *line = s->text;
    for (int i = 0; i < N; i++) {
        char *end = strchr(line, '\n'), *from = strstr(line, "\"payload\"");
        assert_non_null(end);
        assert_non_null(from);
        from = strchr(from, '{');
        end[-1] = 0; /* the document's own closing brace */
        s->payload[i] = from;
        line = end + 1;
    }
}

static void to_float(const int8_t *in, float *out)
{
    for (int k = 0; k < DIM; k++) {
        out[k] = in[k];
    }
}

static void fill(qv_db *db, const struct sample *s)
{
    struct qv_err err;
    struct qv_vector_config vc = {.size = DIM, .metric = QV_COSINE};
    struct qv_collection_config cc = {.vectors = &vc, .n_vectors = 1};
    assert_int_equal(qv_create_collection(db, "words", &cc, &err), QV_OK);
    enum { BATCH = 500 };
    static float values[BATCH][DIM];
    struct qv_vector vectors[BATCH];
    struct qv_point points[BATCH];
    for (int at = 0; at < N; at += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            to_float(s->base + (size_t)(at + i) * DIM, values[i]);
            vectors[i] = (struct qv_vector){.values = values[i], .size = DIM};
            points[i] = (struct qv_point){.id = qv_id_u64((uint64_t)(at + i)),
                                          .vectors = &vectors[i],
                                          .n_vectors = 1,
                                          .payload = s->payload[at + i]};
        }
        if (qv_upsert(db, "words", points, BATCH, &err) != QV_OK) {
            fail_msg("%s", err.message);
        }
    }
}

static double recall(qv_db *db, const struct sample *s, uint32_t ef, bool exact)
{
    size_t hits = 0;
    for (int q = 0; q < NQ; q++) {
        float v[DIM];
        qv_result *r = NULL;
        struct qv_err err;
        to_float(s->queries + (size_t)q * DIM, v);
        struct qv_search search = {.vector = v, .size = DIM, .limit = 10, .ef = ef, .exact = exact};
        if (qv_search(db, "words", &search, &r, &err) != QV_OK) {
            fail_msg("%s", err.message);
        }
        assert_int_equal(qv_result_count(r), 10);
        for (size_t i = 0; i < 10; i++) {
            const struct qv_hit *h = qv_result_hit(r, i);
            if (i > 0) {
                assert_true(qv_result_hit(r, i - 1)->score >= h->score);
            }
            for (int k = 0; k < 10; k++) {
                hits += (uint64_t)s->truth[q * 100 + k] == h->id.as.u64;
            }
        }
        qv_result_free(r);
    }
    return (double)hits / (NQ * 10.0);
}

/* Nearest nouns only: as many as asked, all of them nouns, the same as an exact scan finds. */
static void filtered(qv_db *db, const struct sample *s)
{
    static const char *const filters[] = {
        "{\"must\":[{\"key\":\"pos\",\"match\":{\"value\":\"adv\"}}]}",
        "{\"must\":[{\"key\":\"section\",\"match\":{\"value\":\"noun.animal\"}}],\"must_not\":[{"
        "\"key\":\"length\",\"range\":{\"gt\":12}}]}"};
    size_t same = 0, all = 0;
    for (size_t f = 0; f < 2; f++) {
        for (int q = 0; q < 40; q++) {
            float v[DIM];
            qv_result *walk = NULL, *scan = NULL;
            to_float(s->queries + (size_t)q * DIM, v);
            struct qv_search search = {.vector = v,
                                       .size = DIM,
                                       .limit = 10,
                                       .ef = 128,
                                       .filter_json = filters[f],
                                       .with_payload = true};
            assert_int_equal(qv_search(db, "words", &search, &walk, NULL), QV_OK);
            search.exact = true;
            assert_int_equal(qv_search(db, "words", &search, &scan, NULL), QV_OK);
            assert_int_equal(qv_result_count(walk), 10);
            assert_int_equal(qv_result_count(scan), 10);
            for (size_t i = 0; i < 10; i++) {
                assert_non_null(strstr(qv_result_hit(walk, i)->payload,
                                       f == 0 ? "\"pos\":\"adv\"" : "\"section\":\"noun.animal\""));
                for (size_t k = 0; k < 10; k++) {
                    same += qv_result_hit(walk, i)->id.as.u64 == qv_result_hit(scan, k)->id.as.u64;
                }
                all++;
            }
            qv_result_free(walk);
            qv_result_free(scan);
        }
    }
    assert_true((double)same / (double)all >= 0.95);
}

static void test_sample(void **state)
{
    (void)state;
    struct sample s;
    char dir[256];
    struct qv_options o = qvt_options();
    struct qv_err err;
    qv_db *db = NULL;
    load(&s);
    qvt_temp_dir(dir);
    assert_int_equal(qv_open(dir, &o, &db, &err), QV_OK);
    fill(db, &s);
    double exact = recall(db, &s, 0, true), fresh = recall(db, &s, 128, false);
    assert_int_equal(qv_optimize(db, "words", &err), QV_OK);
    double optimized = recall(db, &s, 128, false);
    filtered(db, &s);
    assert_int_equal(qv_close(db, &err), QV_OK);
    assert_int_equal(qv_open(dir, &o, &db, &err), QV_OK);
    double reopened = recall(db, &s, 128, false);
    uint64_t n = 0;
    assert_int_equal(qv_count(db, "words", NULL, &n, &err), QV_OK);
    assert_int_equal(n, N);
    assert_int_equal(qv_close(db, &err), QV_OK);
    print_message("recall@10: exact %.4f, fresh %.4f, optimized %.4f, reopened %.4f\n", exact,
                  fresh, optimized, reopened);
    /* The truth breaks ties of the stored int8 values by row; so does nothing else. */
    assert_true(exact >= 0.999);
    assert_true(fresh >= 0.98);
    assert_true(optimized >= 0.98);
    assert_true(reopened == optimized);
    qvt_remove_dir(dir);
    free(s.base);
    free(s.queries);
    free(s.truth);
    free(s.text);
    free(s.payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sample)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

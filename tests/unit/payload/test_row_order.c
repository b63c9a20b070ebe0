/* test_row_order.c: the values of one row in order, few and very many, with memory and without. */
#include <stdlib.h>

#include "payload/field.h"
#include "payload_test.h"

enum { MOST = 20000 };

struct told {
    int64_t keys[MOST];
    size_t n, max;
};

static bool tell(void *ctx, int64_t key, uint32_t row)
{
    struct told *t = ctx;
    assert_int_equal(row, 0);
    assert_in_range(t->n, 0, MOST - 1);
    t->keys[t->n++] = key;
    return t->n < t->max;
}

static int rising(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* {"n": [...]} of n values, of which many are there twice; what an order of them is. */
static struct qv__bytes made(struct fixture *f, struct qv__rng *rng, size_t n, struct told *want)
{
    struct qv__buf text, row;
    qv__json v;
    qv__buf_init(&text, f->mem);
    qv__buf_init(&row, f->mem);
    qv__buf_putz(&text, "{\"n\":[");
    want->n = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t x = (int64_t)qv__rng_below(rng, MOST) - MOST / 2;
        want->keys[want->n++] = x;
        qv__buf_printf(&text, "%s%lld", i ? "," : "", (long long)x);
    }
    qv__buf_putz(&text, "]}");
    qsort(want->keys, want->n, sizeof *want->keys, rising);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || want->keys[kept - 1] != want->keys[i]) {
            want->keys[kept++] = want->keys[i];
        }
    }
    want->n = kept;
    assert_int_equal(qv__json_parse(&f->arena, (const char *)text.p, text.n, NULL, &v, NULL),
                     QV_OK);
    assert_int_equal(qv__payload_from_json(&row, v, NULL), QV_OK);
    qv__buf_free(&text);
    return keep(f, &row);
}

static void turn_round(struct told *t)
{
    for (size_t i = 0; i < t->n / 2; i++) {
        int64_t x = t->keys[i];
        t->keys[i] = t->keys[t->n - 1 - i];
        t->keys[t->n - 1 - i] = x;
    }
}

static void test_all_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 255, 256, 257, 1024, 1500, 5000, MOST};
    static struct told want, got;
    struct fixture *f = *state;
    struct qv__rng rng;
    struct qv__path at;
    struct qv__qctx ctx = {.mem = f->mem};
    assert_int_equal(qv__path_parse(QV__STR("n"), &at, NULL), QV_OK);
    qv__rng_seed(&rng, 5);
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
        struct qv__bytes values = made(f, &rng, sizes[i], &want);
        for (int how = 0; how < 8; how++) {
            struct qv__order o = {.type = QV__FIELD_INTEGER, .each_value = true};
            struct qv__steps steps = {.q = &ctx};
            bool bounded = how & 2, poor = how & 4;
            o.descending = how & 1;
            got.n = 0;
            got.max = MOST;
            qv__mem_fail_at(f->mem, bounded && poor, true);
            uint64_t before = qv__mem_allocations(f->mem);
            qv__row_order(values, &at, &o, tell, &got, bounded ? &steps : NULL);
            bool gathered = qv__mem_allocations(f->mem) > before;
            qv__mem_fail_at(f->mem, 0, false);
            if (o.descending) {
                turn_round(&want);
            }
            assert_int_equal(got.n, want.n);
            assert_memory_equal(got.keys, want.keys, want.n * sizeof *want.keys);
            assert_int_equal(gathered, bounded && want.n >= 1024);
            got.n = 0;
            got.max = 1100; /* as much as is wanted */
            qv__row_order(values, &at, &o, tell, &got, bounded ? &steps : NULL);
            assert_int_equal(got.n, QV_MIN(want.n, got.max));
            if (o.descending) {
                turn_round(&want);
            }
        }
    }
}

static void test_ends(void **state)
{
    static struct told want, got;
    struct fixture *f = *state;
    _Atomic bool cancel = true;
    struct qv__rng rng;
    struct qv__path at;
    struct qv__qctx ctx = {.mem = f->mem, .cancel = &cancel};
    struct qv__order o = {.type = QV__FIELD_INTEGER, .each_value = true};
    struct qv__steps steps = {.q = &ctx};
    assert_int_equal(qv__path_parse(QV__STR("n"), &at, NULL), QV_OK);
    qv__rng_seed(&rng, 6);
    struct qv__bytes values = made(f, &rng, MOST, &want);
    got.n = 0;
    got.max = MOST;
    qv__row_order(values, &at, &o, tell, &got, &steps);
    assert_int_equal(steps.status, QV_ECANCELLED);
    assert_true(got.n < want.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_sizes),
        TEST(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

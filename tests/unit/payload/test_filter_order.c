/* test_filter_order.c: conditions of a conjunction are asked the rarest first, by what the blocks
 * so far showed, and no more once nothing is left. */
#include "payload_test.h"

#include "bitmap/bitset.h"
#include "payload/filter_bounds.h"

enum { ROWS = 4096, ASKED_MAX = 64 };

/* A condition on ids is met by so many of the first rows as its first id says. */
struct asked {
    uint64_t by[ASKED_MAX];
    uint32_t n;
};

static bool known(void *ctx, const struct qv__cond *c, uint64_t *words)
{
    struct asked *a = ctx;
    assert_true(a->n < ASKED_MAX);
    a->by[a->n++] = c->has_id.ids[0].u;
    for (uint64_t i = 0; i < c->has_id.ids[0].u; i++) {
        qv__bit_set(words, i);
    }
    return true;
}

static void expect(struct fixture *f, const char *json, const uint64_t *first, size_t n_first,
                   const uint64_t *then, size_t n_then, uint64_t rows)
{
    const struct qv__filter *filter;
    struct qv_err err;
    struct asked a = {.n = 0};
    struct qv__filter_block b = {.n_rows = ROWS, .known = known, .ctx = &a};
    assert_int_equal(qv__filter_parse(&f->arena, json_n(f, json, strlen(json)), &filter, &err),
                     QV_OK);
    struct qv__filter_walk *w = qv__filter_walk_create(filter, f->mem);
    assert_non_null(w);
    for (int block = 0; block < 3; block++) {
        const uint64_t *want = block ? then : first;
        size_t n = block ? n_then : n_first;
        a.n = 0;
        struct qv__filter_bounds got = qv__filter_walk_block(w, &b);
        assert_int_equal(a.n, n);
        assert_memory_equal(a.by, want, n * sizeof *want);
        assert_int_equal(qv__bits_count(got.lo, ROWS), rows);
        assert_int_equal(qv__bits_count(got.up, ROWS), rows);
    }
    qv__free(w);
    qv__arena_free(&f->arena);
}

static void rarest_first(void **state)
{
    struct fixture *f = *state;
    static const uint64_t given[] = {900, 30, 500}, sorted[] = {30, 500, 900};
    expect(f, "{\"must\":[{\"has_id\":[900]},{\"has_id\":[30]},{\"has_id\":[500]}]}", given, 3,
           sorted, 3, 30);
    /* None of the second: it alone is asked from the second block on. */
    static const uint64_t until[] = {900, 0}, none[] = {0};
    expect(f, "{\"must\":[{\"has_id\":[900]},{\"has_id\":[0]},{\"has_id\":[500]}]}", until, 2, none,
           1, 0);
    /* What must not be keeps its place, behind what must. */
    static const uint64_t both[] = {900, 500, 30, 100}, later[] = {500, 900, 30, 100};
    expect(f,
           "{\"must_not\":[{\"has_id\":[30]},{\"has_id\":[100]}],"
           "\"must\":[{\"has_id\":[900]},{\"has_id\":[500]}]}",
           both, 4, later, 4, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rarest_first, fixture_setup, fixture_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

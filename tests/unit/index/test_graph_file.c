/* test_graph_file.c: the saved form: round trip, every truncation, random damage; and every failing
 * allocation of build, search, save and open. */
#include "index/graph.h"
#include "index_fixture.h"

static const struct qv__index_ops *graph_ops(void)
{
    return qv__index_ops_of(QV__INDEX_GRAPH);
}

static struct qv__index_params graph_params(uint32_t m)
{
    return (struct qv__index_params){
        .kind = QV__INDEX_GRAPH, .codes = fixture_codes, .m = m, .ef_construct = 24, .seed = 3};
}

static struct qv__index *graph_build(struct qv__mem *mem, const struct data *d, uint32_t m)
{
    struct qv_err err;
    struct qv__index_params params = graph_params(m);
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(graph_ops()->build(&params, &env, &d->v, d->n, &x, &err));
    return x;
}

static qv_status graph_open(struct qv__mem *mem, const struct data *d, uint32_t n,
                            const struct qv__index_parts *parts, struct qv__index **out,
                            struct qv_err *err)
{
    struct qv__index_params params = graph_params(8);
    struct qv__index_env env = env_make(mem, NULL, 1);
    return graph_ops()->open(&params, &env, &d->v, n, parts, out, err);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 200, 5000};
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    for (size_t c = 0; c < QV_ARRAY_LEN(counts); c++) {
        struct data d = data_make(counts[c], 6, QV__COSINE, 31);
        fill_uniform(&d, 1);
        struct qv__index *x = graph_build(mem, &d, 5); /* a stride with padding */
        struct saved s, again;
        saved_take(&s, x);
        struct qv__index_parts parts = saved_parts(&s);
        struct qv__index *y = NULL;
        size_t used = qv__mem_used(mem);
        check_ok(graph_open(mem, &d, d.n, &parts, &y, &err));
        /* Opened in place: tables only. */
        assert_true(qv__mem_used(mem) - used < 8192);
        check_ok(y->ops->validate(y, &err));
        struct qv__index_info a, b;
        x->ops->describe(x, &a);
        y->ops->describe(y, &b);
        assert_int_equal(a.n, b.n);
        assert_int_equal(a.levels, b.levels);
        assert_true(a.degree_avg == b.degree_avg);
        size_t n_saved = 0;
        for (uint32_t p = 0; p < QV__INDEX_PARTS_MAX; p++) {
            n_saved += s.n[p];
        }
        assert_int_equal(b.mapped_bytes, n_saved);
        assert_string_equal(b.codes, a.codes);
        assert_string_equal(a.codes,
                            d.n && fixture_codes == QV__INDEX_CODES_INT8 ? "int8" : "vectors");
        assert_int_equal(y->params.m, 5); /* the file's, not the caller's */
        for (uint32_t i = 0; i < QV_MIN(d.n, 100); i++) {
            struct qv__index_hit h[2][10];
            uint32_t n[2];
            struct qv__qctx ctx = ctx_make(mem);
            struct qv__index_query q = {.vector = data_row(&d, i), .k = 10, .ef = 16, .n = d.n};
            check_ok(x->ops->search(x, &q, &ctx, h[0], &n[0], &err));
            check_ok(y->ops->search(y, &q, &ctx, h[1], &n[1], &err));
            assert_int_equal(n[0], n[1]);
            assert_memory_equal(h[0], h[1], n[0] * sizeof h[0][0]);
        }
        saved_take(&again, y);
        assert_true(saved_equal(&s, &again));
        saved_free(&again);
        /* A view, and a built graph, have no room to insert. */
        struct qv__index_env env = env_make(mem, NULL, 1);
        check_ok(y->ops->insert(y, &env, d.n, &err));
        assert_int_equal(y->ops->insert(y, &env, d.n + 1, &err), QV_EINVAL);
        assert_int_equal(x->ops->insert(x, &env, d.n + 1, &err), QV_EINVAL);
        y->ops->free(y);
        x->ops->free(x);
        saved_free(&s);
        data_free(&d);
        assert_int_equal(qv__mem_used(mem), 0);
    }
    qv__mem_close(mem);
}

/* Parts a saved graph has. */
static int n_parts(void)
{
    return fixture_codes == QV__INDEX_CODES_INT8 ? 5 : 3;
}

static void test_wrong_vectors(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(300, 6, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_build(mem, &d, 8);
    struct saved s;
    saved_take(&s, x);
    struct qv__index_parts parts = saved_parts(&s);
    struct qv__index *y = NULL;
    assert_int_equal(graph_open(mem, &d, 299, &parts, &y, &err), QV_ECORRUPT);
    assert_int_equal(graph_open(mem, &d, 301, &parts, &y, &err), QV_ECORRUPT);
    d.v.metric = QV__DOT;
    assert_int_equal(graph_open(mem, &d, 300, &parts, &y, &err), QV_ECORRUPT);
    d.v.metric = QV__L2;
    d.v.dim = 5;
    assert_int_equal(graph_open(mem, &d, 300, &parts, &y, &err), QV_ECORRUPT);
    d.v.dim = 6;
    uint8_t version = s.bytes[0][4];
    assert_int_equal(version, n_parts() > 3 ? 2 : 1); /* without codes, what older readers know */
    s.bytes[0][4] = 3;
    assert_int_equal(graph_open(mem, &d, 300, &parts, &y, &err), QV_EVERSION);
    s.bytes[0][4] = 2; /* a feature this reader does not know */
    s.bytes[0][52] ^= 0x80;
    assert_int_equal(graph_open(mem, &d, 300, &parts, &y, &err), QV_EVERSION);
    s.bytes[0][52] ^= 0x80;
    s.bytes[0][4] = version;
    /* Absent parts, and one that is not aligned. */
    for (int p = 0; p < n_parts(); p++) {
        parts.part[p] = (struct qv__bytes){NULL, 0};
        assert_int_equal(graph_open(mem, &d, 300, &parts, &y, &err), QV_ECORRUPT);
        parts = saved_parts(&s);
    }
    uint8_t *odd = malloc(s.n[1] + 1);
    memcpy(odd + 1, s.bytes[1], s.n[1]);
    parts.part[1].p = odd + 1;
    assert_int_equal(graph_open(mem, &d, 300, &parts, &y, &err), QV_EINVAL);
    free(odd);
    parts = saved_parts(&s);
    check_ok(graph_open(mem, &d, 300, &parts, &y, &err));
    y->ops->free(y);
    x->ops->free(x);
    saved_free(&s);
    data_free(&d);
    assert_int_equal(qv__mem_used(mem), 0);
    qv__mem_close(mem);
}

static void test_truncated(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(150, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_build(mem, &d, 4);
    struct saved s;
    saved_take(&s, x);
    for (int p = 0; p < n_parts(); p++) {
        for (size_t n = 0; n < s.n[p]; n++) {
            struct qv__index_parts parts = saved_parts(&s);
            uint8_t *copy = malloc(n ? n : 1); /* so that a read past the end is seen */
            memcpy(copy, s.bytes[p], n);
            parts.part[p] = (struct qv__bytes){copy, n};
            struct qv__index *y = NULL;
            assert_int_equal(graph_open(mem, &d, 150, &parts, &y, &err), QV_ECORRUPT);
            assert_null(y);
            free(copy);
        }
        /* And one byte too many. */
        struct qv__index_parts parts = saved_parts(&s);
        uint8_t *copy = calloc(1, s.n[p] + 4);
        memcpy(copy, s.bytes[p], s.n[p]);
        parts.part[p] = (struct qv__bytes){copy, s.n[p] + 4};
        struct qv__index *y = NULL;
        assert_int_equal(graph_open(mem, &d, 150, &parts, &y, &err), QV_ECORRUPT);
        free(copy);
    }
    x->ops->free(x);
    saved_free(&s);
    data_free(&d);
    assert_int_equal(qv__mem_used(mem), 0);
    qv__mem_close(mem);
}

/* Open refuses, or everything works on what it let pass. */
static bool survive(struct qv__mem *mem, const struct data *d, const struct saved *s)
{
    struct qv_err err;
    struct qv__index_parts parts = saved_parts(s);
    struct qv__index *y = NULL;
    qv_status st = graph_open(mem, d, d->n, &parts, &y, &err);
    if (st != QV_OK) {
        assert_true(st == QV_ECORRUPT || st == QV_EVERSION);
        assert_null(y);
        return false;
    }
    uint64_t allow[8];
    memset(allow, 0x55, sizeof allow);
    for (int i = 0; i < 3; i++) {
        struct qv__index_hit hits[5];
        uint32_t n_hits;
        struct qv__qctx ctx = ctx_make(mem);
        struct qv__index_query q = {.vector = data_row(d, 100 * i),
                                    .k = 5,
                                    .ef = 5 + 2 * i,
                                    .allow = i == 2 ? allow : NULL,
                                    .allow_count = d->n / 2,
                                    .n = d->n};
        check_ok(y->ops->search(y, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, 5);
        check_hits(d, &q, hits, n_hits);
    }
    struct qv__index_info info;
    y->ops->describe(y, &info);
    (void)y->ops->validate(y, &err); /* may find unreachable nodes; must not fall over */
    y->ops->free(y);
    return true;
}

static void test_damaged(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(400, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_build(mem, &d, 4);
    struct saved s;
    saved_take(&s, x);
    assert_true(survive(mem, &d, &s));
    struct qv__rng r;
    uint64_t seed = 20260101;
    qv__rng_seed(&r, seed);
    int n_refused = 0;
    for (int round = 0; round < 10000; round++) {
        /* The small part is as often hit as the large ones; one bit, a byte, or a word. */
        uint32_t p = (uint32_t)qv__rng_below(&r, (uint64_t)n_parts());
        size_t at = (size_t)qv__rng_below(&r, s.n[p] - 3);
        uint8_t before[4];
        memcpy(before, s.bytes[p] + at, 4);
        switch (qv__rng_below(&r, 4)) {
        case 0:
            s.bytes[p][at] ^= (uint8_t)(1u << qv__rng_below(&r, 8));
            break;
        case 1:
            s.bytes[p][at] = (uint8_t)qv__rng_u64(&r);
            break;
        case 2:
            memset(s.bytes[p] + at, 0xff, 4);
            break;
        default:
            memset(s.bytes[p] + at, 0, 4);
            s.bytes[p][at] = (uint8_t)qv__rng_u64(&r);
        }
        n_refused += !survive(mem, &d, &s);
        memcpy(s.bytes[p] + at, before, 4);
    }
    print_message("seed %llu: %d of 10000 refused\n", (unsigned long long)seed, n_refused);
    /* A damaged code is a wrong turn of a walk, no more. */
    assert_true(n_refused > (n_parts() > 3 ? 3500 : 5000));
    assert_true(survive(mem, &d, &s));
    x->ops->free(x);
    saved_free(&s);
    data_free(&d);
    assert_int_equal(qv__mem_used(mem), 0);
    qv__mem_close(mem);
}

/* Damage that no range check sees: links that are all valid, but lead nowhere. */
static void test_unreachable_found(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(3000, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_build(mem, &d, 4);
    check_ok(x->ops->validate(x, &err));
    struct saved s;
    saved_take(&s, x);
    uint32_t victim = 1234;
    uint32_t root = qv__load_u32(s.bytes[0] + 28);
    assert_true(root != victim);
    /* Every link to the victim is turned to another node. */
    for (uint32_t i = 0; i < d.n; i++) {
        for (uint32_t j = 0; j < 8; j++) {
            uint8_t *link = s.bytes[1] + 64 + (size_t)i * 64 + 4 * j;
            if (qv__load_u32(link) == victim) {
                qv__store_u32(link, i == 5 ? 6 : 5);
            }
        }
    }
    struct qv__index_parts parts = saved_parts(&s);
    struct qv__index *y = NULL;
    check_ok(graph_open(mem, &d, d.n, &parts, &y, &err));
    assert_int_equal(y->ops->validate(y, &err), QV_ECORRUPT);
    assert_non_null(strstr(err.message, "1 of 3000"));
    y->ops->free(y);
    x->ops->free(x);
    saved_free(&s);
    data_free(&d);
    qv__mem_close(mem);
}

/* Slots that are sound one by one, but two of them one node: a layer may then have more of them
 * than there are nodes, and a merge no room for what it reads of it. */
static void test_node_twice_on_a_layer(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(3000, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_build(mem, &d, 4);
    struct saved s;
    saved_take(&s, x);
    struct qv__index_parts parts = saved_parts(&s);
    struct qv__index *y = NULL;
    uint8_t *slot = s.bytes[2] + 64 + qv__graph_upper_stride(4); /* the second of layer 1 */
    memcpy(slot + qv__graph_upper_stride(4), slot, 8);           /* ord and down */
    assert_int_equal(graph_open(mem, &d, d.n, &parts, &y, &err), QV_ECORRUPT);
    assert_non_null(strstr(err.message, "layer 1, slot 2 is node "));
    assert_null(y);
    x->ops->free(x);
    saved_free(&s);
    data_free(&d);
    assert_int_equal(qv__mem_used(mem), 0);
    qv__mem_close(mem);
}

/* ---- allocations ---- */

static void test_build_without_memory(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(1000, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index_params params = graph_params(4);
    struct qv__index_env env = env_make(mem, NULL, 1);
    for (int sticky = 0; sticky < 2; sticky++) {
        qv_status st = QV_ENOMEM;
        for (uint64_t nth = 1; st != QV_OK; nth++) {
            struct qv__index *x = NULL;
            qv__mem_fail_at(mem, nth, sticky);
            st = graph_ops()->build(&params, &env, &d.v, d.n, &x, &err);
            qv__mem_fail_at(mem, 0, false);
            if (st == QV_OK) {
                x->ops->free(x);
            } else {
                assert_int_equal(st, QV_ENOMEM);
                assert_null(x);
            }
            assert_int_equal(qv__mem_used(mem), 0);
        }
    }
    data_free(&d);
    qv__mem_close(mem);
}

static void test_search_without_memory(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(4000, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_build(mem, &d, 8);
    struct saved s;
    saved_take(&s, x);
    struct qv__index_parts parts = saved_parts(&s);
    uint64_t *allow = allow_make(d.n);
    memset(allow, 0x77, qv__bitset_words(d.n) * sizeof *allow);
    for (int filtered = 0; filtered < 2; filtered++) {
        qv_status st = QV_ENOMEM;
        for (uint64_t nth = 1; st != QV_OK; nth++) {
            struct qv__index *y = NULL;
            struct qv__index_hit hits[200];
            uint32_t n_hits = 9;
            struct qv__qctx ctx = ctx_make(mem);
            struct qv__index_query q = {.vector = data_row(&d, 0),
                                        .k = 200,
                                        .allow = filtered ? allow : NULL,
                                        .allow_count = 3000,
                                        .n = d.n};
            size_t used = qv__mem_used(mem);
            check_ok(graph_open(mem, &d, d.n, &parts, &y, &err)); /* a fresh one: no scratch */
            qv__mem_fail_at(mem, nth, false);
            st = y->ops->search(y, &q, &ctx, hits, &n_hits, &err);
            qv__mem_fail_at(mem, 0, false);
            if (st != QV_OK) {
                assert_int_equal(st, QV_ENOMEM);
                assert_int_equal(n_hits, 0);
            }
            check_ok(y->ops->search(y, &q, &ctx, hits, &n_hits, &err));
            assert_int_equal(n_hits, 200);
            y->ops->free(y);
            check_no_leak(mem, used);
        }
    }
    free(allow);
    saved_free(&s);
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

static qv_status drop_part(struct qv__index_sink *s, uint32_t part, const void *bytes, size_t n,
                           struct qv_err *err)
{
    (void)s;
    (void)bytes;
    (void)n;
    return part == 1 ? qv__fail(err, QV_ENOSPC, "full") : QV_OK;
}

static void test_save_and_open_without_memory(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(500, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index_params params = graph_params(4);
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(graph_ops()->create(&params, &env, &d.v, 500, &x, &err));
    check_ok(x->ops->insert(x, &env, 500, &err));
    struct qv__index_sink full = {drop_part};
    size_t used = qv__mem_used(mem);
    assert_int_equal(x->ops->save(x, &full, &err), QV_ENOSPC);
    qv_status st = QV_ENOMEM;
    struct saved s;
    for (uint64_t nth = 1; st != QV_OK; nth++) {
        memset(&s, 0, sizeof s);
        s.sink.part = saved_part;
        qv__mem_fail_at(mem, nth, false);
        st = x->ops->save(x, &s.sink, &err);
        qv__mem_fail_at(mem, 0, false);
        assert_true(st == QV_OK || st == QV_ENOMEM);
        assert_true(nth > 1 || st == QV_ENOMEM);
        check_no_leak(mem, used);
        if (st != QV_OK) {
            saved_free(&s);
        }
    }
    struct qv__index_parts parts = saved_parts(&s);
    st = QV_ENOMEM;
    for (uint64_t nth = 1; st != QV_OK; nth++) {
        struct qv__index *y = NULL;
        qv__mem_fail_at(mem, nth, false);
        st = graph_open(mem, &d, d.n, &parts, &y, &err);
        qv__mem_fail_at(mem, 0, false);
        assert_true(st == QV_OK || st == QV_ENOMEM);
        if (st == QV_OK) {
            qv__mem_fail_at(mem, 1, false);
            assert_int_equal(y->ops->validate(y, &err), QV_ENOMEM);
            qv__mem_fail_at(mem, 0, false);
            y->ops->free(y);
        }
        check_no_leak(mem, used);
    }
    saved_free(&s);
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_wrong_vectors),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_unreachable_found),
        cmocka_unit_test(test_node_twice_on_a_layer),
        cmocka_unit_test(test_build_without_memory),
        cmocka_unit_test(test_search_without_memory),
        cmocka_unit_test(test_save_and_open_without_memory),
    };
    return run_with_and_without_codes("graph_file", tests, QV_ARRAY_LEN(tests));
}

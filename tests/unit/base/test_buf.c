/* test_buf.c: the byte buffer and the reader: stored forms, limits, refused memory, foreign bytes.
 */
#include "base_test.h"

#include "base/buf.h"
#include "base/rng.h"

static struct qv__mem *root;

static int setup(void **state)
{
    (void)state;
    root = qv__mem_root("root", 0);
    return root ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    size_t used = qv__mem_used(root);
    qv__mem_close(root);
    return used == 0 ? 0 : -1;
}

static void numbers_are_little_endian(void **state)
{
    (void)state;
    struct qv__buf b;
    qv__buf_init(&b, root);
    qv__buf_u8(&b, 0x01);
    qv__buf_u16(&b, 0x0302);
    qv__buf_u32(&b, 0x07060504);
    qv__buf_u64(&b, 0x0f0e0d0c0b0a0908ull);
    qv__buf_f64(&b, 1.0);
    static const uint8_t want[] = {1,  2,  3,  4, 5, 6, 7, 8, 9, 10,   11,  12,
                                   13, 14, 15, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f};
    assert_int_equal(b.n, sizeof want);
    assert_memory_equal(b.p, want, sizeof want);
    struct qv__reader r = qv__reader_of(b.p, b.n);
    assert_int_equal(qv__read_u8(&r), 1);
    assert_int_equal(qv__read_u16(&r), 0x0302);
    assert_int_equal(qv__read_u32(&r), 0x07060504);
    assert_true(qv__read_u64(&r) == 0x0f0e0d0c0b0a0908ull);
    assert_true(qv__read_f64(&r) == 1.0);
    assert_int_equal(qv__reader_left(&r), 0);
    assert_false(r.failed);
    qv__buf_free(&b);
}

static void varints_round_trip_at_every_width(void **state)
{
    (void)state;
    struct qv__buf b;
    qv__buf_init(&b, root);
    for (unsigned bit = 0; bit <= 64; bit++) {
        uint64_t edge = bit == 64 ? UINT64_MAX : 1ull << bit;
        for (uint64_t v = edge - (edge > 0); v - (edge - 1) < 3 && v >= edge - 1; v++) {
            qv__buf_reset(&b);
            qv__buf_varint(&b, v);
            unsigned bits = v ? 64 - (unsigned)__builtin_clzll(v) : 1;
            assert_int_equal(b.n, (bits + 6) / 7);
            struct qv__reader r = qv__reader_of(b.p, b.n);
            assert_true(qv__read_varint(&r) == v);
            assert_false(r.failed);
            assert_int_equal(qv__reader_left(&r), 0);
            /* Every shorter prefix is refused. */
            for (size_t n = 0; n < b.n; n++) {
                r = qv__reader_of(b.p, n);
                assert_int_equal(qv__read_varint(&r), 0);
                assert_true(r.failed);
            }
            if (v == UINT64_MAX) {
                break;
            }
        }
    }
    qv__buf_free(&b);
}

static void malformed_varints_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t n;
    } bad[] = {
        {{0x80, 0x00}, 2},                                                  /* 0, overlong */
        {{0xff, 0x80, 0x00}, 3},                                            /* 127, overlong */
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02}, 10}, /* 2^64 */
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 10}, /* far over */
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 11}, /* 11 bytes */
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 10},       /* overlong */
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__reader r = qv__reader_of(bad[i].bytes, bad[i].n);
        assert_int_equal(qv__read_varint(&r), 0);
        assert_true(r.failed);
        assert_int_equal(qv__read_u8(&r), 0);
        assert_int_equal(qv__reader_left(&r), 0);
    }
}

static void a_reader_stops_at_its_end_and_stays_failed(void **state)
{
    (void)state;
    uint8_t *bytes = qv__alloc(root, 7); /* exact, so that a sanitizer sees any step beyond */
    memset(bytes, 0xff, 7);
    struct qv__reader r = qv__reader_of(bytes, 7);
    assert_int_equal(qv__read_u32(&r), UINT32_MAX);
    assert_int_equal(qv__read_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(qv__read_u8(&r), 0);
    assert_null(qv__read_bytes(&r, 0));
    r = qv__reader_of(bytes, 7);
    assert_ptr_equal(qv__read_bytes(&r, 7), bytes);
    assert_non_null(qv__read_bytes(&r, 0));
    assert_false(r.failed);
    assert_null(qv__read_bytes(&r, 1));
    assert_true(r.failed);
    static const size_t sizes[] = {8, SIZE_MAX, (size_t)PTRDIFF_MAX};
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
        r = qv__reader_of(bytes, 7);
        assert_null(qv__read_bytes(&r, sizes[i]));
        assert_true(r.failed);
    }
    r = qv__reader_of(bytes, 7);
    assert_true(qv__read_u64(&r) == 0 && r.failed);
    r = qv__reader_of(bytes, 1);
    assert_true(qv__read_u16(&r) == 0 && r.failed);
    r = qv__reader_of(bytes, 7);
    assert_true(qv__read_f64(&r) == 0 && r.failed);
    r = qv__reader_of(NULL, 0);
    assert_non_null(qv__read_bytes(&r, 0));
    assert_false(r.failed);
    assert_int_equal(qv__read_u8(&r), 0);
    assert_true(r.failed);
    qv__free(bytes);
}

static void strings_carry_their_length(void **state)
{
    (void)state;
    struct qv__buf b;
    qv__buf_init(&b, root);
    qv__buf_str(&b, QV__STR("hello"));
    qv__buf_str(&b, (struct qv__str){NULL, 0});
    qv__buf_str(&b, (struct qv__str){"a\0b", 3});
    struct qv__reader r = qv__reader_of(b.p, b.n);
    assert_true(qv__str_eq(qv__read_str(&r), QV__STR("hello")));
    assert_int_equal(qv__read_str(&r).n, 0);
    assert_true(qv__str_eq(qv__read_str(&r), ((struct qv__str){"a\0b", 3})));
    assert_false(r.failed);
    /* A length beyond the end. */
    static const uint8_t lying[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a'};
    r = qv__reader_of(lying, sizeof lying);
    struct qv__str s = qv__read_str(&r);
    assert_true(r.failed);
    assert_int_equal(s.n, 0);
    assert_non_null(s.p);
    qv__buf_free(&b);
}

static void text_and_padding(void **state)
{
    (void)state;
    struct qv__buf b;
    qv__buf_init(&b, root);
    qv__buf_printf(&b, "%s", "");
    assert_int_equal(b.n, 0);
    qv__buf_putz(&b, "ab");
    qv__buf_putc(&b, 'c');
    qv__buf_printf(&b, "%d-%s", 42, "x");
    assert_memory_equal(b.p, "abc42-x", 7);
    qv__buf_pad(&b, 8);
    assert_int_equal(b.n, 8);
    assert_int_equal(b.p[7], 0);
    qv__buf_pad(&b, 8);
    assert_int_equal(b.n, 8);
    qv__buf_pad(&b, 64);
    assert_int_equal(b.n, 64);
    /* Longer than what is free, and of every length around the capacity. */
    for (int n = 0; n < 300; n++) {
        qv__buf_free(&b);
        qv__buf_putz(&b, "0123456789");
        qv__buf_printf(&b, "%*d", n, 7);
        assert_int_equal(b.n, 10 + QV_MAX(n, 1));
        assert_int_equal(b.p[b.n - 1], '7');
        assert_memory_equal(b.p, "0123456789", 10);
    }
    assert_int_equal(qv__buf_status(&b, NULL), QV_OK);
    qv__buf_free(&b);
}

static void reserve_then_commit(void **state)
{
    (void)state;
    struct qv__buf b;
    qv__buf_init(&b, root);
    assert_non_null(qv__buf_reserve(&b, 0));
    uint8_t *p = qv__buf_reserve(&b, 1000);
    memset(p, 9, 1000);
    assert_int_equal(b.n, 0);
    b.n += 1000;
    qv__buf_put(&b, NULL, 0);
    qv__buf_u8(&b, 1);
    assert_int_equal(b.n, 1001);
    assert_int_equal(qv__buf_bytes(&b).p[999], 9);
    assert_null(qv__buf_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    assert_int_equal(b.n, 1001);
    qv__buf_free(&b);
}

static void growth_is_geometric(void **state)
{
    (void)state;
    struct qv__buf b;
    qv__buf_init(&b, root);
    uint64_t before = qv__mem_allocations(root);
    for (int i = 0; i < 1000000; i++) {
        qv__buf_u8(&b, (uint8_t)i);
    }
    assert_true(qv__mem_allocations(root) - before < 24);
    for (int i = 0; i < 1000000; i += 997) {
        assert_int_equal(b.p[i], (uint8_t)i);
    }
    qv__buf_free(&b);
}

static void a_limit_is_exact_and_sticky(void **state)
{
    (void)state;
    struct qv__buf b;
    struct qv_err err = {0};
    qv__buf_init(&b, root);
    b.limit = 10;
    qv__buf_putz(&b, "0123456789");
    assert_int_equal(qv__buf_status(&b, &err), QV_OK);
    qv__buf_putc(&b, 'x');
    assert_int_equal(qv__buf_status(&b, &err), QV_ETOOBIG);
    assert_int_equal(err.code, QV_ETOOBIG);
    assert_int_equal(b.n, 10);
    qv__buf_reset(&b);
    qv__buf_printf(&b, "%s", "0123456789"); /* the NUL is not counted */
    assert_int_equal(qv__buf_status(&b, NULL), QV_OK);
    assert_int_equal(b.n, 10);
    qv__buf_reset(&b);
    qv__buf_printf(&b, "%s", "0123456789a");
    assert_int_equal(qv__buf_status(&b, NULL), QV_ETOOBIG);
    qv__buf_reset(&b);
    qv__buf_putz(&b, "12345678");
    qv__buf_putz(&b, "abc");
    qv__buf_putz(&b, "d"); /* would fit, but nothing follows a gap */
    assert_int_equal(b.n, 8);
    qv__buf_reset(&b);
    qv__buf_str(&b, QV__STR("0123456789"));
    assert_true(b.failed);
    assert_int_equal(b.n, 0); /* no length without its bytes */
    qv__buf_free(&b);
}

static bool write_a_lot(struct qv__buf *b)
{
    for (int i = 0; i < 300; i++) {
        qv__buf_u64(b, (uint64_t)i);
        qv__buf_printf(b, "%d %s", i, "text");
        qv__buf_varint(b, 1ull << 40);
        qv__buf_pad(b, 4);
    }
    return !b->failed;
}

static void failed_memory_is_remembered(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct qv__buf b;
        qv__buf_init(&b, root);
        qv__mem_fail_at(root, n, true);
        bool is_complete = write_a_lot(&b);
        qv__mem_fail_at(root, 0, false);
        if (!is_complete) {
            assert_int_equal(qv__buf_status(&b, NULL), QV_ENOMEM);
            size_t used = b.n;
            assert_null(qv__buf_reserve(&b, 1));
            qv__buf_putc(&b, 'x');
            assert_int_equal(b.n, used);
            qv__buf_reset(&b);
            assert_true(write_a_lot(&b));
        }
        qv__buf_free(&b);
        assert_int_equal(qv__mem_used(root), 0);
        if (is_complete) {
            assert_true(n > 4);
            break;
        }
    }
}

static void a_tight_budget_is_used_to_the_end(void **state)
{
    (void)state;
    struct qv__mem *m = qv__mem_child(root, "m", 1000);
    struct qv__buf b;
    qv__buf_init(&b, m);
    char bytes[900] = {0};
    qv__buf_put(&b, bytes, 600);
    qv__buf_put(&b, bytes, 300); /* doubling would pass the budget, 900 does not */
    assert_int_equal(qv__buf_status(&b, NULL), QV_OK);
    qv__buf_put(&b, bytes, 300);
    assert_int_equal(qv__buf_status(&b, NULL), QV_ENOMEM);
    assert_int_equal(b.n, 900);
    qv__buf_free(&b);
    qv__mem_close(m);
}

static void random_writes_read_back(void **state)
{
    (void)state;
    struct qv__rng w, c;
    qv__rng_seed(&w, 99);
    c = w;
    struct qv__buf b;
    qv__buf_init(&b, root);
    for (int i = 0; i < 5000; i++) {
        uint64_t v = qv__rng_u64(&w) >> qv__rng_below(&w, 64);
        switch (qv__rng_below(&w, 4)) {
        case 0:
            qv__buf_varint(&b, v);
            break;
        case 1:
            qv__buf_u32(&b, (uint32_t)v);
            break;
        case 2:
            qv__buf_u64(&b, v);
            break;
        default:
            qv__buf_u8(&b, (uint8_t)v);
        }
    }
    struct qv__reader r = qv__reader_of(b.p, b.n);
    for (int i = 0; i < 5000; i++) {
        uint64_t v = qv__rng_u64(&c) >> qv__rng_below(&c, 64);
        switch (qv__rng_below(&c, 4)) {
        case 0:
            assert_true(qv__read_varint(&r) == v);
            break;
        case 1:
            assert_true(qv__read_u32(&r) == (uint32_t)v);
            break;
        case 2:
            assert_true(qv__read_u64(&r) == v);
            break;
        default:
            assert_true(qv__read_u8(&r) == (uint8_t)v);
        }
    }
    assert_false(r.failed);
    assert_int_equal(qv__reader_left(&r), 0);
    qv__buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_are_little_endian, setup, teardown),
        cmocka_unit_test_setup_teardown(varints_round_trip_at_every_width, setup, teardown),
        cmocka_unit_test(malformed_varints_are_refused),
        cmocka_unit_test_setup_teardown(a_reader_stops_at_its_end_and_stays_failed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(strings_carry_their_length, setup, teardown),
        cmocka_unit_test_setup_teardown(text_and_padding, setup, teardown),
        cmocka_unit_test_setup_teardown(reserve_then_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(growth_is_geometric, setup, teardown),
        cmocka_unit_test_setup_teardown(a_limit_is_exact_and_sticky, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_memory_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tight_budget_is_used_to_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(random_writes_read_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

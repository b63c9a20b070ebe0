/* test_value.c: the payload encoding: bytes, reading, and the check of foreign bytes. */
#include "payload_test.h"

#include <math.h>

static void golden_bytes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *json;
        size_t n;
        uint8_t bytes[48];
    } cases[] = {
        {"{}", 3, {8, 1, 0}},
        {"null", 3, {8, 1, 0}},
        {"{\"a\":null}", 6, {8, 4, 1, 1, 'a', 0}},
        {"{\"a\":false,\"b\":true}", 9, {8, 7, 2, 1, 'a', 1, 1, 'b', 2}},
        {"{\"a\":-2}", 14, {8, 12, 1, 1, 'a', 3, 0xfe, 255, 255, 255, 255, 255, 255, 255}},
        {"{\"a\":9223372036854775808}", 14, {8, 12, 1, 1, 'a', 4, 0, 0, 0, 0, 0, 0, 0, 0x80}},
        {"{\"a\":1.0}", 14, {8, 12, 1, 1, 'a', 5, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}},
        {"{\"a\":\"xy\"}", 9, {8, 7, 1, 1, 'a', 6, 2, 'x', 'y'}},
        {"{\"a\":[1,\"x\"]}", 20, {8, 18, 1, 1, 'a', 7, 13, 2, 3, 1,
                                   0, 0,  0, 0, 0,   0, 0,  6, 1, 'x'}},
        {"{\"\":[[],{}]}", 13, {8, 11, 1, 0, 7, 7, 2, 7, 1, 0, 8, 1, 0}},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv__bytes r = row(f, cases[i].json);
        assert_int_equal(r.n, cases[i].n);
        assert_memory_equal(r.p, cases[i].bytes, r.n);
    }
}

static void longer_heads(void **state)
{
    struct fixture *f = *state;
    /* Lengths and counts around the first and second varint byte. */
    static const size_t counts[] = {0,   1,    62,   63,    126,   127,  128,
                                    129, 8191, 8192, 16383, 16384, 20000};
    for (size_t i = 0; i < QV_ARRAY_LEN(counts); i++) {
        struct qv__buf b;
        qv__buf_init(&b, f->mem);
        qv__buf_putz(&b, "{\"a\":[");
        for (size_t j = 0; j < counts[i]; j++) {
            qv__buf_putz(&b, j ? ",true" : "true");
        }
        qv__buf_putz(&b, "],\"b\":5}");
        assert_false(b.failed);
        struct qv__bytes r = row_of(f, json_n(f, (const char *)b.p, b.n));
        assert_int_equal(strlen(text_of(f, r)), b.n);
        assert_memory_equal(text_of(f, r), b.p, b.n);
        qv__buf_free(&b);
        struct qv__value v;
        assert_true(qv__value_read(r.p, r.p + r.n, &v));
        assert_int_equal(v.tag, QV__TAG_OBJ);
        assert_int_equal(v.count, 2);
        assert_ptr_equal(v.end, r.p + r.n);
        struct qv__value_iter it;
        struct qv__str key;
        struct qv__value e;
        qv__value_iter_init(&it, &v);
        assert_true(qv__value_iter_next(&it, &key, &e));
        assert_true(qv__str_eq(key, QV__STR("a")));
        assert_int_equal(e.tag, QV__TAG_ARR);
        assert_int_equal(e.count, counts[i]);
        assert_int_equal(e.body.n, counts[i]);
        struct qv__value_iter in;
        size_t seen = 0;
        struct qv__value x;
        qv__value_iter_init(&in, &e);
        while (qv__value_iter_next(&in, NULL, &x)) {
            assert_int_equal(x.tag, QV__TAG_TRUE);
            seen++;
        }
        assert_int_equal(seen, counts[i]);
        assert_true(qv__value_iter_next(&it, &key, &e));
        assert_true(e.tag == QV__TAG_I64 && e.i == 5);
        assert_false(qv__value_iter_next(&it, &key, &e));
        assert_false(qv__value_iter_next(&it, &key, &e));
    }
}

static void refused_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        size_t n;
        uint8_t bytes[32];
    } cases[] = {
        {"nothing", 0, {0}},
        {"a scalar", 1, {0}},
        {"an array", 3, {7, 1, 0}},
        {"an unknown tag", 3, {9, 1, 0}},
        {"no length", 1, {8}},
        {"no count", 2, {8, 0}},
        {"a length too long", 3, {8, 2, 0}},
        {"bytes behind", 4, {8, 1, 0, 0}},
        {"bytes inside behind the last member", 4, {8, 2, 0, 0}},
        {"a count too high", 3, {8, 1, 1}},
        {"a count too low", 6, {8, 4, 0, 1, 'a', 0}},
        {"a key too long", 6, {8, 4, 1, 3, 'a', 0}},
        {"no value", 5, {8, 3, 1, 1, 'a'}},
        {"a number cut", 13, {8, 11, 1, 1, 'a', 3, 0, 0, 0, 0, 0, 0, 0}},
        {"a string cut", 8, {8, 6, 1, 1, 'a', 6, 2, 'x'}},
        {"an inner container longer than the outer", 8, {8, 6, 1, 1, 'a', 7, 3, 0}},
        {"an inner container with rest", 9, {8, 7, 1, 1, 'a', 7, 2, 0, 0}},
        {"an inner container without count", 7, {8, 5, 1, 1, 'a', 7, 0}},
        {"a length of two bytes that fits one", 4, {8, 0x81, 0, 0}},
        {"a count of two bytes that fits one", 4, {8, 2, 0x80, 0}},
        {"a length without end", 8, {8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}},
        {"a length beyond 32 bits", 7, {8, 0x80, 0x80, 0x80, 0x80, 0x10, 0}},
        {"a length beyond 32 bits that would fit if cut", 7, {8, 0x81, 0x80, 0x80, 0x80, 0x10, 0}},
        {"u64 in the range of i64", 14, {8, 12, 1, 1, 'a', 4, 0, 0, 0, 0, 0, 0, 0, 0x7f}},
        {"infinity", 14, {8, 12, 1, 1, 'a', 5, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f}},
        {"not a number", 14, {8, 12, 1, 1, 'a', 5, 1, 0, 0, 0, 0, 0, 0xf0, 0x7f}},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        /* On the heap at its exact size, so that a read past the end is seen. */
        uint8_t *p = malloc(cases[i].n ? cases[i].n : 1);
        memcpy(p, cases[i].bytes, cases[i].n);
        if (qv__payload_valid((struct qv__bytes){p, cases[i].n})) {
            fail_msg("accepted: %s", cases[i].why);
        }
        free(p);
    }
    assert_false(qv__payload_valid((struct qv__bytes){NULL, 0}));
}

static bool count_value(void *ctx, const struct qv__value *v)
{
    size_t *n = ctx;
    *n += v->tag != QV__TAG_NULL;
    return true;
}

/* Whatever the bytes are, reading stays inside them. */
static void use_bytes(struct fixture *f, struct qv__bytes r)
{
    static const char *const paths[] = {"a", "a[]", "a[].c", "b.c[0]", "s"};
    struct qv__buf b;
    struct qv__jw w;
    size_t n = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(paths); i++) {
        struct qv__path p = path(paths[i]);
        qv__path_each(r, &p, count_value, &n);
    }
    qv__buf_init(&b, f->mem);
    qv__jw_init(&w, &b);
    qv__payload_to_json(&w, r);
    qv__buf_free(&b);
}

static void damage(void **state)
{
    struct fixture *f = *state;
    struct qv__bytes r =
        row(f, "{\"a\":[1,2.5,{\"c\":[true,null]}],\"b\":{\"c\":[18446744073709551615]},"
               "\"s\":\"text\"}");
    size_t accepted = 0;
    for (size_t n = 0; n < r.n; n++) {
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, r.p, n);
        assert_false(qv__payload_valid((struct qv__bytes){cut, n}));
        use_bytes(f, (struct qv__bytes){cut, n});
        free(cut);
    }
    for (size_t bit = 0; bit < r.n * 8; bit++) {
        uint8_t *flipped = malloc(r.n);
        memcpy(flipped, r.p, r.n);
        flipped[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        struct qv__bytes bytes = {flipped, r.n};
        accepted += qv__payload_valid(bytes);
        use_bytes(f, bytes);
        free(flipped);
    }
    /* Bits of numbers and text are free; structure is not. */
    assert_true(accepted > 0 && accepted < r.n * 8);
}

static const char *nested(struct fixture *f, size_t depth, bool objects)
{
    /* depth containers: the root object and depth - 1 inside. */
    size_t n = depth * 8 + 16;
    char *z = qv__arena_alloc(&f->arena, n);
    char *p = z;
    p += sprintf(p, "{\"a\":");
    for (size_t i = 1; i < depth; i++) {
        p += sprintf(p, objects ? "{\"a\":" : "[");
    }
    p += sprintf(p, "1");
    for (size_t i = 1; i < depth; i++) {
        *p++ = objects ? '}' : ']';
    }
    *p++ = '}';
    *p = 0;
    return z;
}

static void limits(void **state)
{
    struct fixture *f = *state;
    struct qv__buf b;
    struct qv_err err;

    /* Depth: 64 pass, 65 do not; in bytes made by hand as well. */
    for (int objects = 0; objects < 2; objects++) {
        struct qv__bytes r = row(f, nested(f, 64, objects));
        assert_string_equal(text_of(f, r), nested(f, 64, objects));
        qv__buf_init(&b, f->mem);
        qv__buf_put(&b, "left", 4);
        assert_int_equal(qv__payload_from_json(&b, json(f, nested(f, 65, objects)), &err),
                         QV_ETOOBIG);
        assert_string_equal(err.message, "payload: nested deeper than 64 levels");
        assert_int_equal(b.n, 4);
        qv__buf_free(&b);
    }
    for (unsigned depth = 64; depth <= 65; depth++) {
        /* Arrays of one array around an empty one, in an object: heads from the inside out. */
        uint8_t bytes[512];
        uint8_t *p = bytes + sizeof bytes;
        *--p = 0;
        *--p = 1;
        *--p = QV__TAG_ARR;
        for (unsigned i = 0; i < depth - 2; i++) {
            size_t body = (size_t)(bytes + sizeof bytes - p) + 1;
            *--p = 1;
            if (body < 128) {
                *--p = (uint8_t)body;
            } else {
                *--p = (uint8_t)(body >> 7);
                *--p = (uint8_t)(body | 0x80);
            }
            *--p = QV__TAG_ARR;
        }
        *--p = 'a';
        *--p = 1;
        size_t body = (size_t)(bytes + sizeof bytes - p) + 1;
        *--p = 1;
        *--p = (uint8_t)(body >> 7);
        *--p = (uint8_t)(body | 0x80);
        *--p = QV__TAG_OBJ;
        struct qv__bytes r = {p, (size_t)(bytes + sizeof bytes - p)};
        assert_int_equal(qv__payload_valid(r), depth == 64);
        use_bytes(f, r);
    }

    /* Members: 10,000 pass. */
    for (unsigned n = 10000; n <= 10001; n++) {
        qv__buf_init(&b, f->mem);
        for (unsigned i = 0; i < n; i++) {
            qv__buf_printf(&b, "%s\"k%u\":%u", i ? "," : "{", i, i);
        }
        qv__buf_putz(&b, "}");
        qv__json v = json_n(f, (const char *)b.p, b.n);
        struct qv__buf out;
        qv__buf_init(&out, f->mem);
        qv_status st = qv__payload_from_json(&out, v, &err);
        if (n == 10000) {
            assert_int_equal(st, QV_OK);
            assert_true(qv__payload_valid(qv__buf_bytes(&out)));
        } else {
            assert_int_equal(st, QV_ETOOBIG);
            assert_string_equal(err.message,
                                "payload: an object has 10001 members, the limit is 10000");
            assert_int_equal(out.n, 0);
        }
        qv__buf_free(&out);
        qv__buf_free(&b);
    }

    /* Keys: 65,535 bytes pass. */
    for (unsigned n = 65535; n <= 65536; n++) {
        qv__buf_init(&b, f->mem);
        qv__buf_putz(&b, "{\"");
        for (unsigned i = 0; i < n; i++) {
            qv__buf_putz(&b, "k");
        }
        qv__buf_putz(&b, "\":1}");
        qv__json v = json_n(f, (const char *)b.p, b.n);
        struct qv__buf out;
        qv__buf_init(&out, f->mem);
        qv_status st = qv__payload_from_json(&out, v, &err);
        assert_int_equal(st, n == 65535 ? QV_OK : QV_ETOOBIG);
        if (st == QV_OK) {
            assert_true(qv__payload_valid(qv__buf_bytes(&out)));
        } else {
            assert_string_equal(err.message, "payload: a key has 65536 bytes, the limit is 65535");
        }
        qv__buf_free(&out);
        qv__buf_free(&b);
    }
}

static void scalars_are_not_iterated(void **state)
{
    struct fixture *f = *state;
    struct qv__bytes r = row(f, "{\"a\":5}");
    struct qv__value root, v;
    struct qv__value_iter it;
    assert_true(qv__value_read(r.p, r.p + r.n, &root));
    qv__value_iter_init(&it, &root);
    assert_true(qv__value_iter_next(&it, NULL, &v));
    qv__value_iter_init(&it, &v);
    assert_false(qv__value_iter_next(&it, NULL, &v));
    assert_false(qv__value_read(NULL, NULL, &v));
    assert_false(qv__value_read(r.p, r.p, &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(golden_bytes), TEST(longer_heads), TEST(refused_bytes),
        TEST(damage),       TEST(limits),       TEST(scalars_are_not_iterated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_id.c: ids: order, hash, the textual forms of a UUID, the stored form and its damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/id.h"

static struct qv__id i64(int64_t i)
{
    return (struct qv__id){.kind = QV__ID_I64, .i = i};
}

static struct qv__id str(const char *z)
{
    return (struct qv__id){.kind = QV__ID_STR, .len = (uint8_t)strlen(z), .s = z};
}

static struct qv__id uuid(const char *z)
{
    struct qv__id id;
    assert_true(qv__id_parse_uuid(qv__str_z(z), &id));
    return id;
}

#define UUID_A "550e8400-e29b-41d4-a716-446655440000"
#define UUID_B "550e8400-e29b-41d4-a716-446655440001"
#define UUID_C "fffe8400-e29b-41d4-a716-446655440000"

/* Ascending; every pair is compared both ways. */
static size_t ladder(struct qv__id *out)
{
    size_t n = 0;
    out[n++] = qv__id_u64(0);
    out[n++] = qv__id_u64(1);
    out[n++] = qv__id_u64(UINT64_C(1) << 53);
    out[n++] = qv__id_u64((UINT64_C(1) << 53) + 1);
    out[n++] = qv__id_u64(UINT64_MAX);
    out[n++] = i64(INT64_MIN);
    out[n++] = i64(-1);
    out[n++] = i64(0);
    out[n++] = i64(INT64_MAX);
    out[n++] = uuid("00000000-0000-0000-0000-000000000000");
    out[n++] = uuid(UUID_A);
    out[n++] = uuid(UUID_B);
    out[n++] = uuid(UUID_C);
    out[n++] = str("\x01");
    out[n++] = str("a");
    out[n++] = str("aa");
    out[n++] = str("ab");
    out[n++] = str("b");
    out[n++] = str("\xc3\xa9");
    return n;
}

static void order_is_total(void **state)
{
    (void)state;
    struct qv__id ids[32];
    size_t n = ladder(ids);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            int c = qv__id_cmp(&ids[i], &ids[j]);
            int want = (i > j) - (i < j);
            assert_int_equal((c > 0) - (c < 0), want);
            assert_int_equal(qv__id_eq(&ids[i], &ids[j]), i == j);
            if (i != j) {
                assert_true(qv__id_hash(&ids[i]) != qv__id_hash(&ids[j]));
            }
        }
        assert_true(qv__id_hash(&ids[i]) != 0);
    }
    /* Equal strings at different addresses are one id. */
    char copy[] = "aa";
    struct qv__id a = str("aa");
    struct qv__id b = str(copy);
    assert_true(qv__id_eq(&a, &b));
    assert_true(qv__id_hash(&a) == qv__id_hash(&b));
}

static void uuid_forms(void **state)
{
    (void)state;
    static const char *good[] = {
        UUID_A,
        "550E8400-E29B-41D4-A716-446655440000",
        "550e8400e29b41d4a716446655440000",
        "550E8400E29B41D4a716446655440000",
        "{" UUID_A "}",
        ("urn:uuid:" UUID_A),
        "urn:uuid:550E8400-E29B-41D4-A716-446655440000",
    };
    static const uint8_t want[16] = {0x55, 0x0e, 0x84, 0x00, 0xe2, 0x9b, 0x41, 0xd4,
                                     0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0x00, 0x00};
    for (size_t i = 0; i < QV_ARRAY_LEN(good); i++) {
        struct qv__id id;
        char text[37];
        assert_true(qv__id_parse_uuid(qv__str_z(good[i]), &id));
        assert_int_equal(id.kind, QV__ID_UUID);
        assert_memory_equal(id.uuid, want, 16);
        qv__id_uuid_text(&id, text);
        assert_string_equal(text, UUID_A);
    }
    static const char *bad[] = {
        "",
        "5",
        "550e8400e29b41d4a71644665544000",      /* 31 digits */
        "550e8400e29b41d4a7164466554400000",    /* 33 */
        "550e8400e29b41d4a71644665544000g",     /* not hex */
        "550e8400-e29b-41d4-a716-44665544000g", /* not hex */
        "550e8400-e29b-41d4-a7164-46655440000", /* a hyphen out of place */
        "550e8400-e29b-41d4a-716-446655440000", /* a hyphen out of place */
        "550e8400-e29b-41d4-a716--46655440000", /* a hyphen too many */
        "{550e8400e29b41d4a716446655440000}",   /* braces take the hyphenated form */
        "(" UUID_A ")",
        "{" UUID_A ")",
        "URN:UUID:" UUID_A,
        "urn:uuix:" UUID_A,
        " " UUID_A,
        UUID_A " ",
        "urn:uuid:550e8400e29b41d4a716446655440000",
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__id id = qv__id_u64(7);
        assert_false(qv__id_parse_uuid(qv__str_z(bad[i]), &id));
        assert_int_equal(id.u, 7); /* untouched */
    }
}

static void text_for_messages(void **state)
{
    (void)state;
    char out[64];
    struct qv__id id = qv__id_u64(UINT64_MAX);
    assert_string_equal(qv__id_text(&id, out, sizeof out), "18446744073709551615");
    id = i64(-5);
    assert_string_equal(qv__id_text(&id, out, sizeof out), "-5");
    id = uuid("{" UUID_A "}");
    assert_string_equal(qv__id_text(&id, out, sizeof out), UUID_A);
    id = str("doc");
    assert_string_equal(qv__id_text(&id, out, sizeof out), "\"doc\"");
    assert_string_equal(qv__id_text(&id, out, 6), "\"doc\"");
    assert_string_equal(qv__id_text(&id, out, 5), "\"doc");
    assert_string_equal(qv__id_text(&id, out, 1), "");
    id = str("a\xc3\xa9z"); /* the cut falls inside the second character */
    assert_string_equal(qv__id_text(&id, out, 4), "\"a");
    assert_string_equal(qv__id_text(&id, out, 5), "\"a\xc3\xa9");
    memset(out, 'x', sizeof out);
    qv__id_text(&id, out, 0);
    assert_int_equal(out[0], 'x');
    char big[QV__ID_STR_MAX + 1];
    char text[QV__ID_STR_MAX + 3];
    memset(big, 'k', QV__ID_STR_MAX);
    big[QV__ID_STR_MAX] = '\0';
    id = str(big);
    assert_int_equal(strlen(qv__id_text(&id, text, sizeof text)), QV__ID_STR_MAX + 2);
}

static void stored_form(void **state)
{
    struct qv__mem *mem = *state;
    struct qv__buf b;
    struct qv__id ids[32];
    size_t n = ladder(ids);

    qv__buf_init(&b, mem);
    for (size_t i = 0; i < n; i++) {
        qv__buf_reset(&b);
        qv__id_write(&b, &ids[i]);
        assert_false(b.failed);
        size_t want = ids[i].kind == QV__ID_UUID  ? 17
                      : ids[i].kind == QV__ID_STR ? 2u + ids[i].len
                                                  : 9;
        assert_int_equal(b.n, want);
        struct qv__id got;
        struct qv__reader r = qv__reader_of(b.p, b.n);
        assert_true(qv__id_read(&r, &got));
        assert_true(qv__id_eq(&got, &ids[i]));
        assert_int_equal(qv__reader_left(&r), 0);
        for (size_t cut = 0; cut < b.n; cut++) {
            r = qv__reader_of(b.p, cut);
            assert_false(qv__id_read(&r, &got));
            assert_true(r.failed);
        }
    }
    qv__buf_free(&b);

    static const uint8_t kind_4[] = {4, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t empty_str[] = {3, 0, 0};
    struct qv__id got;
    struct qv__reader r = qv__reader_of(kind_4, sizeof kind_4);
    assert_false(qv__id_read(&r, &got));
    r = qv__reader_of(empty_str, sizeof empty_str);
    assert_false(qv__id_read(&r, &got));
    static const uint8_t golden[] = {0, 0x2a, 0, 0, 0, 0, 0, 0, 0};
    r = qv__reader_of(golden, sizeof golden);
    assert_true(qv__id_read(&r, &got));
    assert_true(got.kind == QV__ID_U64 && got.u == 42);
}

static void owning(void **state)
{
    struct qv__mem *mem = *state;
    struct qv__arena a;
    char text[] = "hello";

    qv__arena_init(&a, mem);
    struct qv__id id = str(text);
    assert_int_equal(qv__id_own(&a, &id), QV_OK);
    text[0] = 'j';
    assert_memory_equal(id.s, "hello", 5);
    struct qv__id number = qv__id_u64(3);
    size_t before = a.used_bytes;
    assert_int_equal(qv__id_own(&a, &number), QV_OK);
    assert_int_equal(a.used_bytes, before);
    qv__arena_free(&a);

    /* Out of memory: the id keeps its borrowed text. */
    qv__arena_init(&a, mem);
    id = str(text);
    qv__mem_fail_at(mem, 1, true);
    assert_int_equal(qv__id_own(&a, &id), QV_ENOMEM);
    qv__mem_fail_at(mem, 0, false);
    assert_ptr_equal(id.s, text);
    qv__arena_free(&a);
}

static int setup(void **state)
{
    *state = qv__mem_root("test", 0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    int leaked = qv__mem_used(*state) != 0;
    qv__mem_close(*state);
    return leaked;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_total),
        cmocka_unit_test(uuid_forms),
        cmocka_unit_test(text_for_messages),
        cmocka_unit_test_setup_teardown(stored_form, setup, teardown),
        cmocka_unit_test_setup_teardown(owning, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

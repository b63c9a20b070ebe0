/* test_sha256.c: digests of FIPS 180-4, in one piece and in many; their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/sha256.h"

static void expect(const char *text, size_t times, const char *hex)
{
    struct qv__sha256 s;
    uint8_t digest[QV__SHA256_BYTES], back[QV__SHA256_BYTES];
    char out[QV__SHA256_HEX + 1];
    qv__sha256_init(&s);
    for (size_t i = 0; i < times; i++) {
        qv__sha256_add(&s, text, strlen(text));
    }
    qv__sha256_end(&s, digest);
    qv__sha256_hex(digest, out);
    assert_string_equal(out, hex);
    assert_true(qv__sha256_parse(qv__str_z(hex), back));
    assert_memory_equal(back, digest, sizeof back);
    for (char *p = out; *p; p++) {
        *p = *p >= 'a' ? (char)(*p - 'a' + 'A') : *p;
    }
    assert_true(qv__sha256_parse(qv__str_z(out), back));
    assert_memory_equal(back, digest, sizeof back);
}

static void test_vectors(void **state)
{
    (void)state;
    expect("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    expect("aaaaaaaaaa", 100000,
           "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_text(void **state)
{
    (void)state;
    uint8_t out[QV__SHA256_BYTES];
    char hex[66];
    memset(hex, 'a', sizeof hex);
    assert_true(qv__sha256_parse((struct qv__str){hex, 64}, out));
    assert_false(qv__sha256_parse((struct qv__str){hex, 63}, out));
    assert_false(qv__sha256_parse((struct qv__str){hex, 65}, out));
    assert_false(qv__sha256_parse((struct qv__str){hex, 0}, out));
    for (const char *bad = "g/:@G` "; *bad; bad++) {
        hex[40] = *bad;
        assert_false(qv__sha256_parse((struct qv__str){hex, 64}, out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

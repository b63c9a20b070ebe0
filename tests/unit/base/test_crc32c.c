/* test_crc32c.c: published vectors, and both versions against the definition. */
#include "base_test.h"

#include "base/crc32c.h"
#include "base/rng.h"

typedef uint32_t (*crc_fn)(uint32_t crc, const void *p, size_t n);
static const crc_fn versions[] = {qv__crc32c, qv__crc32c_portable};

static uint32_t bitwise(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        }
    }
    return ~crc;
}

/* RFC 3720, appendix B.4, and the check value of the CRC catalogue. */
static void known_vectors(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], rising[32], falling[32];
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < 32; i++) {
        rising[i] = (uint8_t)i;
        falling[i] = (uint8_t)(31 - i);
    }
    static const uint8_t scsi[48] = {0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                     0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00,
                                     0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00,
                                     0x00, 0x18, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                     0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    for (size_t v = 0; v < 2; v++) {
        assert_int_equal(versions[v](0, "123456789", 9), 0xe3069283);
        assert_int_equal(versions[v](0, zeros, 32), 0x8a9136aa);
        assert_int_equal(versions[v](0, ones, 32), 0x62a8ab43);
        assert_int_equal(versions[v](0, rising, 32), 0x46dd794e);
        assert_int_equal(versions[v](0, falling, 32), 0x113fdb5c);
        assert_int_equal(versions[v](0, scsi, 48), 0xd9963a56);
        assert_int_equal(versions[v](0, "", 0), 0);
        assert_int_equal(versions[v](0x1234, NULL, 0), 0x1234);
    }
}

enum { BYTES = 3 * 3 * 4096 + 3 * 256 + 100 };
static uint8_t bytes[BYTES + 16];

/* Every length through the short stretches and around the long ones, at every alignment. */
static void all_versions_agree_with_the_definition(void **state)
{
    (void)state;
    struct qv__rng rng;
    qv__rng_seed(&rng, 3);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)qv__rng_u64(&rng);
    }
    for (size_t n = 0; n <= 2000; n++) {
        const uint8_t *p = bytes + n % 9;
        uint32_t want = bitwise((uint32_t)n * 77, p, n);
        assert_int_equal(qv__crc32c((uint32_t)n * 77, p, n), want);
        assert_int_equal(qv__crc32c_portable((uint32_t)n * 77, p, n), want);
    }
    static const size_t lengths[] = {12287, 12288, 12289, 12288 + 767, 12288 + 768, 24576, BYTES};
    for (size_t i = 0; i < QV_ARRAY_LEN(lengths); i++) {
        for (size_t shift = 0; shift < 9; shift++) {
            uint32_t want = bitwise(7, bytes + shift, lengths[i]);
            assert_int_equal(qv__crc32c(7, bytes + shift, lengths[i]), want);
            assert_int_equal(qv__crc32c_portable(7, bytes + shift, lengths[i]), want);
        }
    }
}

static void pieces_make_the_whole(void **state)
{
    (void)state;
    struct qv__rng rng;
    qv__rng_seed(&rng, 4);
    uint32_t whole = qv__crc32c(0, bytes, BYTES);
    for (int round = 0; round < 20; round++) {
        uint32_t crc = 0;
        for (size_t at = 0; at < BYTES;) {
            size_t n = (size_t)qv__rng_below(&rng, 5000);
            n = QV_MIN(n, BYTES - at);
            crc = versions[qv__rng_below(&rng, 2)](crc, bytes + at, n);
            at += n;
        }
        assert_int_equal(crc, whole);
    }
}

static void every_flipped_bit_shows(void **state)
{
    (void)state;
    uint32_t want = qv__crc32c(0, bytes, 800);
    for (size_t bit = 0; bit < 800 * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(qv__crc32c(0, bytes, 800), want);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(all_versions_agree_with_the_definition),
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(every_flipped_bit_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

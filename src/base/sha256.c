/* sha256.c: SHA-256 by nettle, and its text. */
#include "base/sha256.h"

_Static_assert(QV__SHA256_BYTES == SHA256_DIGEST_SIZE, "the digest is nettle's");

void qv__sha256_init(struct qv__sha256 *s)
{
    sha256_init(&s->ctx);
}

void qv__sha256_add(struct qv__sha256 *s, const void *p, size_t n)
{
    if (n > 0) {
        sha256_update(&s->ctx, n, p);
    }
}

void qv__sha256_end(struct qv__sha256 *s, uint8_t out[QV__SHA256_BYTES])
{
    sha256_digest(&s->ctx, QV__SHA256_BYTES, out);
}

void qv__sha256_hex(const uint8_t digest[QV__SHA256_BYTES], char out[QV__SHA256_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < QV__SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[QV__SHA256_HEX] = '\0';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool qv__sha256_parse(struct qv__str hex, uint8_t out[QV__SHA256_BYTES])
{
    if (hex.n != QV__SHA256_HEX) {
        return false;
    }
    for (size_t i = 0; i < QV__SHA256_BYTES; i++) {
        int high = digit_of(hex.p[2 * i]), low = digit_of(hex.p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

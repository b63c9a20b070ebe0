/* text.c: percent-decoding and UTF-8, byte by byte; no state, no memory but the arena's. */
#include "api/text.h"

/* Bytes of the well-formed sequence at p, 0 if there is none. */
static size_t sequence(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    uint8_t lo = 0x80;
    uint8_t hi = 0xBF;
    size_t n;

    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        n = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        n = 3;
        lo = p[0] == 0xE0 ? 0xA0 : lo; /* shorter forms exist below */
        hi = p[0] == 0xED ? 0x9F : hi; /* surrogates above */
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        n = 4;
        lo = p[0] == 0xF0 ? 0x90 : lo;
        hi = p[0] == 0xF4 ? 0x8F : hi; /* beyond U+10FFFF */
    } else {
        return 0;
    }
    if (left < n || p[1] < lo || p[1] > hi) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return n;
}

bool qv__text_is_utf8(struct qv__str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    const uint8_t *end = s.n ? p + s.n : p;
    while (p < end) {
        size_t n = sequence(p, end);
        if (n == 0) {
            return false;
        }
        p += n;
    }
    return true;
}

void qv__text_repair(struct qv__buf *out, struct qv__str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    const uint8_t *end = s.n ? p + s.n : p;
    while (p < end) {
        size_t n = sequence(p, end);
        if (n == 0) {
            qv__buf_put(out, "\xEF\xBF\xBD", 3);
            p++;
            continue;
        }
        qv__buf_put(out, p, n);
        p += n;
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

qv_status qv__text_unescape(struct qv__arena *arena, struct qv__str in, bool is_query,
                            struct qv__str *out, struct qv_err *err)
{
    bool is_plain =
        in.n == 0 || (!memchr(in.p, '%', in.n) && !(is_query && memchr(in.p, '+', in.n)));
    struct qv__str s = in;
    if (!is_plain) {
        char *copy = qv__arena_alloc(arena, in.n);
        if (!copy) {
            return qv__fail(err, QV_ENOMEM, "no memory for a path");
        }
        size_t n = 0;
        for (size_t i = 0; i < in.n; i++) {
            char c = in.p[i];
            if (c == '%') {
                int hi = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1;
                int lo = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
                if (hi < 0 || lo < 0) {
                    return qv__fail(err, QV_EINVAL, "malformed percent-encoding at byte %zu", i);
                }
                c = (char)(hi * 16 + lo);
                i += 2;
            } else if (c == '+' && is_query) {
                c = ' ';
            }
            copy[n++] = c;
        }
        s = (struct qv__str){copy, n};
    }
    if (!qv__text_is_utf8(s)) {
        return qv__fail(err, QV_EINVAL, "text that is not UTF-8");
    }
    *out = s;
    return QV_OK;
}

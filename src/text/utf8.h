/* utf8.h: white space in UTF-8 text; what dates, text conditions and tokenizers share.
 *
 * What it is: the one property of characters that needs no tables.
 * What it is not: a validator; malformed bytes are simply no white space. */
#ifndef QV_TEXT_UTF8_H
#define QV_TEXT_UTF8_H

#include "base/base.h"

/* Bytes of the white-space character (Unicode's White_Space) at p, or 0. */
static inline size_t qv__utf8_space(const char *p, const char *end)
{
    if (p >= end) {
        return 0;
    }
    unsigned char a = (unsigned char)p[0];
    if (a < 0x80) {
        return a == ' ' || (a >= '\t' && a <= '\r');
    }
    if (a == 0xc2 && end - p >= 2) { /* U+0085, U+00A0 */
        unsigned char b = (unsigned char)p[1];
        return b == 0x85 || b == 0xa0 ? 2 : 0;
    }
    if (a < 0xe1 || a > 0xe3 || end - p < 3) {
        return 0;
    }
    unsigned c = ((unsigned)(a & 0x0f) << 12) | ((unsigned)((unsigned char)p[1] & 0x3f) << 6) |
                 ((unsigned)(unsigned char)p[2] & 0x3f);
    bool space = c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
                 c == 0x202f || c == 0x205f || c == 0x3000;
    return space ? 3 : 0;
}

#endif

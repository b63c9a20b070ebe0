/* json_scan.c: the lexical pre-scan of a JSON text.
 *
 * What it is: one pass that checks every string and measures the document, so that the parser can
 * take all its memory in one piece and refuse what yajl 2.1 would let through:
 *   1. yajl checks only the shape of UTF-8; overlong forms, encoded surrogates and code points
 *      above U+10FFFF are refused here (Unicode 15, table 3-7);
 *   2. yajl turns lone surrogates of \u escapes into '?'; they are refused here;
 *   3. yajl takes vertical tab and form feed for white space; they are refused here;
 *   4. yajl unescapes a string before anybody can ask for its length; the decoded length of every
 *      string is known here, before yajl sees it.
 * The number of nodes has a tight bound: every value and key follows the start of the text, a
 * comma, a colon or an opening bracket.
 *
 * Outside of strings the scan does not judge: in a text whose structure is wrong it may take
 * something for a string that is none. That does no harm, because the parser runs over the sound
 * part in front of it and reports the earlier error. The loop over text without quotes is written
 * so that compilers turn it into vector code; it is what keeps long arrays of numbers cheap. */
#include "base/json_internal.h"

#include <stdio.h>

#define BLOCK   64
/* Bytes to try one by one behind a string before blocks are worth their start-up; a guess. */
#define SINGLES 24

#define ONES    0x0101010101010101ULL
#define HIGHS   0x8080808080808080ULL

/* Non-zero if one of 8 bytes is a control character, a quote, a backslash, or (with `high`
 * all ones in the top bits) not ASCII. */
static inline uint64_t special8(const char *s, uint64_t high)
{
    uint64_t x, quote, back;
    memcpy(&x, s, 8);
    quote = x ^ (ONES * '"');
    back = x ^ (ONES * '\\');
    uint64_t control = (x - ONES * 0x20) & ~x;
    quote = (quote - ONES) & ~quote;
    back = (back - ONES) & ~back;
    return ((control | quote | back) & HIGHS) | (x & high);
}

size_t qv__json_plain_run(const char *s, size_t n)
{
    size_t i = 0;
    while (n - i >= 8 && !special8(s + i, 0)) {
        i += 8;
    }
    while (i < n && (unsigned char)s[i] >= 0x20 && s[i] != '"' && s[i] != '\\') {
        i++;
    }
    return i;
}

/* Length of the UTF-8 sequence at p (first byte >= 0x80), or 0 when it is not well formed. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    unsigned char lo = 0x80, hi = 0xbf; /* range of the second byte */
    size_t len;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        lo = p[0] == 0xe0 ? 0xa0 : 0x80;
        hi = p[0] == 0xed ? 0x9f : 0xbf;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        lo = p[0] == 0xf0 ? 0x90 : 0x80;
        hi = p[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (n < len || p[1] < lo || p[1] > hi) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *p, size_t n)
{
    int32_t v = 0;
    if (n < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        if (c >= '0' && c <= '9') {
            v = v * 16 + (c - '0');
        } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
            v = v * 16 + ((c | 0x20) - 'a' + 10);
        } else {
            return -1;
        }
    }
    return v;
}

/* The escape at text[i] (a backslash): returns its length in the text and adds its decoded length,
 * or returns 0 with the reason. */
static size_t escape_length(const char *text, size_t n, size_t i, size_t *decoded,
                            struct qv__json_scan *out)
{
    const char *p = text + i;
    size_t left = n - i;
    char c = left > 1 ? p[1] : '\0';
    if (c != 'u') {
        if (c && strchr("\"\\/bfnrt", c)) {
            *decoded += 1;
            return 2;
        }
        snprintf(out->reason, sizeof out->reason, "invalid escape in a string");
        return 0;
    }
    int32_t unit = hex4(p + 2, left - 2);
    if (unit < 0) {
        snprintf(out->reason, sizeof out->reason, "four hexadecimal digits must follow \\u");
        return 0;
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        *decoded += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
        return 6;
    }
    int32_t low = -1;
    if (unit < 0xdc00 && left >= 12 && p[6] == '\\' && p[7] == 'u') {
        low = hex4(p + 8, left - 8);
    }
    if (low < 0xdc00 || low > 0xdfff) {
        snprintf(out->reason, sizeof out->reason, "lone surrogate \\u%04x in a string",
                 (unsigned)unit);
        return 0;
    }
    *decoded += 4;
    return 12;
}

/* Check the string whose contents begin at text[i]. Returns the offset of its closing quote, or n
 * with reason and place in `out`. */
static size_t scan_string(const char *text, size_t n, size_t i, size_t *decoded, bool *escaped,
                          struct qv__json_scan *out)
{
    size_t bytes = 0, step = 0, first = i;
    *escaped = false;
    while (i < n) {
        while (n - i >= 8 && !special8(text + i, HIGHS)) {
            i += 8;
            bytes += 8;
        }
        if (i == n) {
            break;
        }
        unsigned char c = (unsigned char)text[i];
        if (c == '"') {
            *decoded = bytes;
            return i;
        }
        if (c == '\\') {
            step = escape_length(text, n, i, &bytes, out);
            *escaped = true;
        } else if (c < 0x20) {
            snprintf(out->reason, sizeof out->reason, "control character 0x%02x in a string", c);
            step = 0;
        } else {
            step = c < 0x80 ? 1 : utf8_length((const unsigned char *)text + i, n - i);
            bytes += step;
            if (!step) {
                snprintf(out->reason, sizeof out->reason, "invalid UTF-8 in a string");
            }
        }
        if (!step) {
            out->st = QV_EINVAL;
            out->bad = i;
            return n;
        }
        i += step;
    }
    out->st = QV_EINVAL;
    out->bad = first - 1;
    snprintf(out->reason, sizeof out->reason, "string is not closed");
    return n;
}

static inline unsigned opens_value(unsigned char c)
{
    return (unsigned)(c == ',') | (unsigned)(c == ':') | (unsigned)((c | 0x20) == '{');
}

/* Skip blocks that hold neither a quote nor a byte to refuse, and count the nodes they open. */
static size_t skip_blocks(const unsigned char *p, size_t n, size_t i, size_t *nodes)
{
    while (n - i >= BLOCK) {
        unsigned char halt = 0, opened = 0;
        for (size_t j = 0; j < BLOCK; j++) {
            unsigned char c = p[i + j];
            halt |= (unsigned char)((c == '"') | (c == '\v') | (c == '\f'));
            opened = (unsigned char)(opened + opens_value(c));
        }
        if (halt) {
            break;
        }
        *nodes += opened;
        i += BLOCK;
    }
    return i;
}

/* One string, opening quote at text[i]; returns the offset behind it, or n when out->st says why.
 */
static size_t take_string(const char *text, size_t n, size_t i, uint32_t string_max,
                          struct qv__json_scan *out)
{
    size_t decoded = 0;
    bool escaped = false;
    out->cut = i;
    size_t close = scan_string(text, n, i + 1, &decoded, &escaped, out);
    if (out->st != QV_OK) {
        return n;
    }
    if (decoded > string_max) {
        out->st = QV_ETOOBIG;
        out->bad = i;
        snprintf(out->reason, sizeof out->reason, "string longer than %u bytes", string_max);
        return n;
    }
    out->text_bytes += decoded;
    if (escaped) {
        out->decoded_max = QV_MAX(out->decoded_max, decoded);
    }
    return close + 1;
}

void qv__json_scan(const char *text, size_t n, uint32_t string_max, struct qv__json_scan *out)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0, singles = 0;
    *out = (struct qv__json_scan){.nodes = 1};
    while (i < n) {
        if (singles == SINGLES) {
            i = skip_blocks(p, n, i, &out->nodes);
            singles = 0;
            if (i == n) {
                break;
            }
        }
        unsigned char c = p[i];
        if (c == '"') {
            i = take_string(text, n, i, string_max, out);
            if (out->st != QV_OK) {
                return;
            }
            singles = 0;
            continue;
        }
        if (c == '\v' || c == '\f') {
            out->st = QV_EINVAL;
            out->cut = out->bad = i;
            snprintf(out->reason, sizeof out->reason, "byte 0x%02x is not white space", c);
            return;
        }
        out->nodes += opens_value(c);
        singles++;
        i++;
    }
    out->cut = n;
}

/* Offset behind the string whose opening quote is text[i]. The string is known to be sound. */
static size_t skip_string(const char *text, size_t n, size_t i)
{
    i++;
    while (i < n) {
        i += qv__json_plain_run(text + i, n - i);
        if (i < n && text[i] == '"') {
            return i + 1;
        }
        i += 2; /* a backslash and what it escapes */
    }
    return n;
}

size_t qv__json_scan_numbers(const char *text, size_t n, size_t pos)
{
    while (pos < n) {
        if (text[pos] == '"') {
            pos = skip_string(text, n, pos);
            continue;
        }
        if (text[pos] == '[') {
            size_t at = pos + 1;
            while (at < n && qv__json_is_space(text[at])) {
                at++;
            }
            if (at < n && (text[at] == '-' || qv__json_is_digit(text[at]))) {
                return pos;
            }
        }
        pos++;
    }
    return n;
}

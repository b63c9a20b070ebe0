/* json_shortest.c: floating point numbers to the shortest text that reads back equal.
 *
 * The numbers that read back as v are those between the midpoints to its neighbours, the midpoints
 * included when v's significand is even. v and both midpoints are scaled by a power of ten to exact
 * 128-bit integers of at least 17 (float: 9) digits before the binary point; digits are then taken
 * off both ends of the interval as long as an integer remains inside, and of the integers left the
 * one nearest to v is taken. That is the interval search of Steele and White ("How to print
 * floating-point numbers accurately", 1990) without its digit loop over big numbers.
 *
 * Differences: scaling works for 1e-10 <= |v| < 2^63 (float: from 1e-18), where 5^k fits 64 bits
 * and no table but that is needed. Numbers outside, which vectors and payloads hardly ever hold,
 * try the C library's %.*e with rising precision until the text reads back; only the digits of its
 * output are used, so no locale shows.
 *
 * A float's text may be read as a double that is then rounded to a float (we do so ourselves).
 * Rounding twice can miss in rare cases, so floats are read back that way and get 9 digits, which
 * cannot miss, when that fails.
 *
 * The layout is that of Rust's ryu, and so of serde_json: 1.0, 0.00001, 1e-6, 1e16. */
#include "base/json_internal.h"

#include <math.h>
#include <stdio.h>

/* digits * 10^exp10 */
struct decimal {
    uint64_t digits;
    int exp10;
};

/* A format: v = m * 2^e. */
struct format {
    int fraction_bits;
    int exp_min;     /* e of subnormal numbers */
    int digits_sure; /* decimal digits that every normal number keeps */
    int digits;      /* decimal digits that are always enough */
    int point_low;   /* plain notation when point_low < position of the point <= point_high */
    int point_high;
};

static const struct format format_f64 = {52, -1074, 15, 17, -5, 16};
static const struct format format_f32 = {23, -149, 6, 9, -6, 13};

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                            "34353637383940414243444546474849505152535455565758596061626364656667"
                            "6869707172737475767778798081828384858687888990919293949596979899";

size_t qv__json_format_u64(char *out, uint64_t v)
{
    char rev[20];
    size_t at = sizeof rev;
    while (v >= 100) {
        at -= 2;
        memcpy(rev + at, pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10) {
        at -= 2;
        memcpy(rev + at, pairs + v * 2, 2);
    } else {
        rev[--at] = (char)('0' + v);
    }
    memcpy(out, rev + at, sizeof rev - at);
    return sizeof rev - at;
}

/* The interval search. m > 0; false when v is outside of the range for which it is exact. */
static bool shortest(uint64_t m, int e, const struct format *f, struct decimal *out)
{
    /* 4v and the midpoints, all times 2^(e-2). At a power of two the gap below is half as wide. */
    uint64_t v4 = m * 4;
    uint64_t below = m == 1ULL << f->fraction_bits && e > f->exp_min ? 1 : 2;
    bool even = (m & 1) == 0;

    /* floor(log10(v)) or one less; 1233/4096 is a little below log10(2). */
    int log2 = e + 63 - __builtin_clzll(m);
    int log10 = log2 >= 0 ? log2 * 1233 / 4096 : -((-log2 * 1234 + 4095) / 4096);
    int k = QV_MAX(f->digits - 1 - log10, 0);
    if (log2 >= 62 || k >= QV__JSON_POW5_COUNT) {
        return false;
    }
    uint64_t pow5 = qv__json_pow5[k];
    int shift = 2 - e - k;
    qv__u128 value = (qv__u128)v4 * pow5, low = (qv__u128)(v4 - below) * pow5;
    qv__u128 high = (qv__u128)(v4 + 2) * pow5;
    qv__u128 one = 1; /* what stands for 1 behind the scaling */
    if (shift < 0) {
        value <<= -shift;
        low <<= -shift;
        high <<= -shift;
        shift = 0;
    } else {
        one <<= shift;
    }
    qv__u128 mask = one - 1;
    uint64_t lo = (uint64_t)(low >> shift) + (even ? (low & mask) != 0 : 1);
    uint64_t hi = (uint64_t)(high >> shift) - (!even && (high & mask) == 0 ? 1 : 0);
    uint64_t whole = (uint64_t)(value >> shift);
    qv__u128 rest = value & mask;

    uint64_t unit = 1;
    int dropped = 0;
    while ((lo + 9) / 10 <= hi / 10) {
        lo = (lo + 9) / 10;
        hi /= 10;
        unit *= 10;
        dropped++;
    }
    /* The integer nearest to v / unit; ties may go either way. */
    uint64_t q = whole / unit, r = whole % unit;
    if (unit == 1) {
        q += rest * 2 >= one && rest != 0;
    } else {
        q += r * 2 >= unit;
    }
    out->digits = QV_MIN(QV_MAX(q, lo), hi);
    out->exp10 = dropped - k;
    return true;
}

/* The first `digits` digits of v by the C library. */
static struct decimal rounded(double v, int digits)
{
    char text[48];
    struct decimal d = {0, 0};
    int n = snprintf(text, sizeof text, "%.*e", digits - 1, v);
    const char *p = text, *end = text + n;
    for (; p < end && *p != 'e'; p++) {
        if (qv__json_is_digit(*p)) { /* skips the radix character, whatever it is */
            d.digits = d.digits * 10 + (uint64_t)(*p - '0');
        }
    }
    d.exp10 = (p < end ? (int)strtol(p + 1, NULL, 10) : 0) - (digits - 1);
    while (d.digits && d.digits % 10 == 0) {
        d.digits /= 10;
        d.exp10++;
    }
    return d;
}

static bool reads_back(struct decimal d, double v, const struct format *f)
{
    double back = qv__json_decimal(d.digits, d.exp10);
    return f == &format_f32 ? (float)back == (float)v : back == v;
}

/* Lay out d; `out` has QV__JSON_FLOAT_CHARS. */
static size_t layout(char *out, struct decimal d, const struct format *f)
{
    char digits[20];
    size_t n = qv__json_format_u64(digits, d.digits), at = 0;
    int point = (int)n + d.exp10; /* 0.digits * 10^point */
    if (d.exp10 >= 0 && point <= f->point_high) {
        memcpy(out, digits, n);
        memset(out + n, '0', (size_t)d.exp10);
        memcpy(out + point, ".0", 2);
        return (size_t)point + 2;
    }
    if (point > 0 && point <= f->point_high) {
        memcpy(out, digits, (size_t)point);
        out[point] = '.';
        memcpy(out + point + 1, digits + point, n - (size_t)point);
        return n + 1;
    }
    if (point > f->point_low && point <= 0) {
        memcpy(out, "0.00000000", 10);
        memcpy(out + 2 - point, digits, n);
        return n + 2 + (size_t)-point;
    }
    out[at++] = digits[0];
    if (n > 1) {
        out[at++] = '.';
        memcpy(out + at, digits + 1, n - 1);
        at += n - 1;
    }
    out[at++] = 'e';
    if (point <= 0) {
        out[at++] = '-';
    }
    return at + qv__json_format_u64(out + at, (uint64_t)(point > 0 ? point - 1 : 1 - point));
}

/* v = m * 2^e > 0 */
static size_t format(char *out, double v, uint64_t m, int e, const struct format *f)
{
    struct decimal d;
    bool found = shortest(m, e, f, &d);
    if (found && (f == &format_f64 || QV_LIKELY(reads_back(d, v, f)))) {
        return layout(out, d, f);
    }
    int digits = found ? f->digits : m >> f->fraction_bits ? f->digits_sure : 1;
    do {
        d = rounded(v, digits);
    } while (!reads_back(d, v, f) && digits++ < f->digits);
    return layout(out, d, f);
}

size_t qv__json_format_f64(char *out, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    size_t sign = bits >> 63;
    uint64_t m = bits & ((1ULL << 52) - 1);
    int e = (int)(bits >> 52 & 0x7ff);
    *out = '-';
    if (e == 0 && m == 0) {
        memcpy(out + sign, "0.0", 3);
        return sign + 3;
    }
    m |= e ? 1ULL << 52 : 0;
    e = QV_MAX(e, 1) - 1075;
    return sign + format(out + sign, fabs(v), m, e, &format_f64);
}

size_t qv__json_format_f32(char *out, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    size_t sign = bits >> 31;
    uint32_t m = bits & ((1U << 23) - 1);
    int e = (int)(bits >> 23 & 0xff);
    *out = '-';
    if (e == 0 && m == 0) {
        memcpy(out + sign, "0.0", 3);
        return sign + 3;
    }
    m |= e ? 1U << 23 : 0;
    e = QV_MAX(e, 1) - 150;
    return sign + format(out + sign, (double)fabsf(v), m, e, &format_f32);
}

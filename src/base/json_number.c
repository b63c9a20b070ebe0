/* json_number.c: the text of a number to the nearest i64, u64 or double.
 *
 * What it is: one pass over the characters that keeps the first 19 significant digits in a 64-bit
 * word w and the decimal exponent e, then the cheapest exact way from w * 10^e to a double:
 *   1. w <= 2^53 and |e| <= 22: one multiplication or division of two exact doubles, which rounds
 *      once (W. Clinger, "How to read floating point numbers accurately", 1990);
 *   2. |e| <= 27: exact 128-bit integers, since 5^27 < 2^64: a product, or a quotient with its
 *      remainder, rounded by hand. Doubles printed by other programs (16 or 17 digits) end here,
 *      so this path is as hot as the first;
 *   3. anything else: the C library's strtod over the digits *without* a decimal point, which makes
 *      it independent of the locale (the radix character is the only thing a locale changes).
 * All three are correctly rounded, so it does not matter which one a text takes.
 * No memory is taken and nothing is shared. */
#include "base/json_internal.h"

#include <float.h>
#include <math.h>

_Static_assert(FLT_EVAL_METHOD == 0, "path 1 needs double arithmetic without excess precision");

/* Exponents are cut here: with at most 1,024 digits anything beyond is 0 or infinite anyway. */
#define EXPONENT_CLAMP 100000
#define DIGITS_IN_WORD 19 /* 10^19 - 1 < 2^64 */

const uint64_t qv__json_pow5[QV__JSON_POW5_COUNT] = {
    1ULL,
    5ULL,
    25ULL,
    125ULL,
    625ULL,
    3125ULL,
    15625ULL,
    78125ULL,
    390625ULL,
    1953125ULL,
    9765625ULL,
    48828125ULL,
    244140625ULL,
    1220703125ULL,
    6103515625ULL,
    30517578125ULL,
    152587890625ULL,
    762939453125ULL,
    3814697265625ULL,
    19073486328125ULL,
    95367431640625ULL,
    476837158203125ULL,
    2384185791015625ULL,
    11920928955078125ULL,
    59604644775390625ULL,
    298023223876953125ULL,
    1490116119384765625ULL,
    7450580596923828125ULL,
};

/* floor(2^(63 + b) / 5^k), k = 1 .. 27, where b is the number of bits of 5^k. */
static const uint64_t pow5_inverse[QV__JSON_POW5_COUNT] = {
    0,
    0xccccccccccccccccULL,
    0xa3d70a3d70a3d70aULL,
    0x83126e978d4fdf3bULL,
    0xd1b71758e219652bULL,
    0xa7c5ac471b478423ULL,
    0x8637bd05af6c69b5ULL,
    0xd6bf94d5e57a42bcULL,
    0xabcc77118461cefcULL,
    0x89705f4136b4a597ULL,
    0xdbe6fecebdedd5beULL,
    0xafebff0bcb24aafeULL,
    0x8cbccc096f5088cbULL,
    0xe12e13424bb40e13ULL,
    0xb424dc35095cd80fULL,
    0x901d7cf73ab0acd9ULL,
    0xe69594bec44de15bULL,
    0xb877aa3236a4b449ULL,
    0x9392ee8e921d5d07ULL,
    0xec1e4a7db69561a5ULL,
    0xbce5086492111aeaULL,
    0x971da05074da7beeULL,
    0xf1c90080baf72cb1ULL,
    0xc16d9a0095928a27ULL,
    0x9abe14cd44753b52ULL,
    0xf79687aed3eec551ULL,
    0xc612062576589ddaULL,
    0x9e74d1b791e07e48ULL,
};

static const double pow10_exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#define POW10_EXACT_MAX 22

/* Parts of a number's text that the slow path needs again. */
struct digits {
    const char *first; /* first digit */
    const char *end;   /* behind the last digit of the fraction; a '.' may lie between */
    int exp10;         /* value = all digits as one integer * 10^exp10 */
};

/* q * 2^exp2 plus something smaller than one unit of q if `sticky`, rounded to a double, ties to
 * even. q >= 2^54; the result is a normal number. */
static inline double round_to_double(uint64_t q, int exp2, bool sticky)
{
    unsigned drop = 11 - (unsigned)__builtin_clzll(q);
    uint64_t m = q >> drop;
    uint64_t rest = q & ((1ULL << drop) - 1);
    uint64_t half = 1ULL << (drop - 1);
    if (rest > half || (rest == half && (sticky || (m & 1)))) {
        m++; /* may become 2^53; the carry below moves it into the exponent */
    }
    uint64_t bits = ((uint64_t)(exp2 + (int)drop + 52 + 1023) << 52) + (m - (1ULL << 52));
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Path 2: w * 10^exp10 for w > 0 and |exp10| <= 27. */
static double decimal_128(uint64_t w, int exp10)
{
    unsigned lead = (unsigned)__builtin_clzll(w);
    if (exp10 >= 0) {
        /* 10^e = 5^e * 2^e; w with its top bit set times 5^e has at least 64 bits. */
        qv__u128 product = (qv__u128)(w << lead) * qv__json_pow5[exp10];
        uint64_t hi = (uint64_t)(product >> 64);
        unsigned shift = hi ? 64 - (unsigned)__builtin_clzll(hi) : 0;
        uint64_t q = (uint64_t)(product >> shift);
        bool sticky = (product & (((qv__u128)1 << shift) - 1)) != 0;
        return round_to_double(q, exp10 - (int)lead + (int)shift, sticky);
    }
    /* By the inverse first. It is cut off, and no power of 5 divides one of 2, so
     * hi < w * 2^(b - 1) / 5^k < hi + 2. That decides the rounding unless the bits to be dropped
     * are one below the half. */
    int k = -exp10;
    int bits = 64 - __builtin_clzll(qv__json_pow5[k]);
    uint64_t hi = (uint64_t)(((qv__u128)(w << lead) * pow5_inverse[k]) >> 64);
    unsigned drop = 11 - (unsigned)__builtin_clzll(hi);
    uint64_t rest = hi & ((1ULL << drop) - 1), half = 1ULL << (drop - 1);
    if (QV_LIKELY(rest != half - 1)) {
        return round_to_double(hi, 1 - bits - (int)lead - k, true);
    }
    /* w and 5^k with their top bits set: w * 2^63 / 5^k lies between 2^62 and 2^64. */
    unsigned lead5 = (unsigned)__builtin_clzll(qv__json_pow5[k]);
    uint64_t divisor = qv__json_pow5[k] << lead5;
    qv__u128 dividend = (qv__u128)(w << lead) << 63;
    uint64_t q = (uint64_t)(dividend / divisor);
    bool sticky = (qv__u128)q * divisor != dividend;
    return round_to_double(q, (int)lead5 - (int)lead - 63 - k, sticky);
}

/* Text of an exponent, "e-123"; returns its length (at most 8). */
static size_t put_exponent(char *out, int e)
{
    char rev[8];
    size_t n = 0, at = 0;
    unsigned u = e < 0 ? 0U - (unsigned)e : (unsigned)e;
    out[at++] = 'e';
    if (e < 0) {
        out[at++] = '-';
    }
    do {
        rev[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    while (n) {
        out[at++] = rev[--n];
    }
    return at;
}

/* Path 3; kept apart because of its kilobyte of stack. */
__attribute__((noinline)) static double decimal_text(const struct digits *d)
{
    char text[QV__JSON_NUMBER_CHARS_MAX + 16];
    size_t n = 0;
    for (const char *p = d->first; p < d->end; p++) {
        if (*p != '.') {
            text[n++] = *p;
        }
    }
    n += put_exponent(text + n, d->exp10);
    text[n] = '\0';
    return strtod(text, NULL);
}

double qv__json_decimal(uint64_t w, int exp10)
{
    if (w == 0) {
        return 0.0;
    }
    if (w <= 1ULL << 53 && exp10 >= -POW10_EXACT_MAX && exp10 <= POW10_EXACT_MAX) {
        return exp10 < 0 ? (double)w / pow10_exact[-exp10] : (double)w * pow10_exact[exp10];
    }
    if (exp10 > -QV__JSON_POW5_COUNT && exp10 < QV__JSON_POW5_COUNT) {
        return decimal_128(w, exp10);
    }
    char text[24];
    size_t n = qv__json_format_u64(text, w);
    return decimal_text(&(struct digits){text, text + n, exp10});
}

/* The digits at the start of p[0..8), at once: returns how many and appends them to *w. Random
 * lengths and a chain of multiplications by ten are what makes the simple loop slow. */
static inline unsigned take_digits(const char *p, uint64_t *w)
{
    static const uint64_t pow10[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    uint64_t x;
    memcpy(&x, p, 8);
    x ^= 0x3030303030303030ULL;
    /* The lowest marked byte is the first that is above 9; a carry can only spoil those behind. */
    uint64_t other = (x | (x + 0x7676767676767676ULL)) & 0x8080808080808080ULL;
    unsigned n = other ? (unsigned)__builtin_ctzll(other) / 8 : 8;
    if (n == 0) {
        return 0;
    }
    x <<= 64 - 8 * n; /* now eight digits with leading zeros, first digit in the lowest byte */
    x = x * 10 + (x >> 8);
    x = ((x & 0x000000ff000000ffULL) * (100 + (1000000ULL << 32)) +
         ((x >> 16) & 0x000000ff000000ffULL) * (1 + (10000ULL << 32))) >>
        32;
    *w = *w * pow10[n] + x;
    return n;
}

/* Significant digits: all but leading zeros and the point. */
static size_t significant(const struct digits *d)
{
    const char *p = d->first;
    while (p < d->end && (*p == '0' || *p == '.')) {
        p++;
    }
    size_t n = (size_t)(d->end - p);
    return n - (n && memchr(p, '.', n) ? 1 : 0);
}

/* An integer without fraction or exponent. False: it needs a double. */
static inline bool store_integer(bool neg, uint64_t w, size_t n, const char *first,
                                 struct qv__json_node *out)
{
    if (n > DIGITS_IN_WORD) {
        /* 20 digits that begin with 1 wrapped to below 10^19 if they were 2^64 or more. */
        if (neg || n != DIGITS_IN_WORD + 1 || *first != '1' || w < 10000000000000000000ULL) {
            return false;
        }
    } else if (w <= (uint64_t)INT64_MAX) {
        if (neg && w == 0) {
            return false; /* -0 is a double */
        }
        out->kind = QV__JSON_I64;
        out->i = neg ? -(int64_t)w : (int64_t)w;
        return true;
    } else if (neg) {
        out->kind = QV__JSON_I64;
        out->i = INT64_MIN;
        return w == (uint64_t)INT64_MAX + 1;
    }
    out->kind = QV__JSON_U64;
    out->u = w;
    return true;
}

static enum qv__json_number_state store_double(bool neg, uint64_t w, const struct digits *d,
                                               struct qv__json_node *out)
{
    /* The "0." of a fraction is two characters that are no significant digits. */
    ptrdiff_t chars_max = DIGITS_IN_WORD + (*d->first == '0' ? 2 : 0);
    bool exact = d->end - d->first <= chars_max || significant(d) <= DIGITS_IN_WORD;
    double v = 0.0;
    if (!exact) {
        v = decimal_text(d);
    } else if (QV_LIKELY(w <= 1ULL << 53 && d->exp10 <= 0 && d->exp10 >= -POW10_EXACT_MAX)) {
        v = (double)w / pow10_exact[-d->exp10];
    } else {
        v = qv__json_decimal(w, d->exp10);
    }
    if (isinf(v)) {
        return QV__JSON_NUMBER_RANGE;
    }
    out->kind = QV__JSON_F64;
    /* Signs are random in vectors: no branch. */
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    out->u = bits | (uint64_t)neg << 63;
    return QV__JSON_NUMBER_OK;
}

/* The exponent behind 'e'; p is moved over it. False: no digits. */
static bool scan_exponent(const char **pp, const char *end, int *exp10)
{
    const char *p = *pp + 1;
    bool neg = false;
    if (p < end && (*p == '-' || *p == '+')) {
        neg = *p++ == '-';
    }
    const char *first = p;
    int e = 0;
    for (; p < end && qv__json_is_digit(*p); p++) {
        e = e < EXPONENT_CLAMP ? e * 10 + (*p - '0') : e;
    }
    *pp = p;
    *exp10 += neg ? -e : e;
    return p > first;
}

static inline enum qv__json_number_state scan_one(const char *p, const char *end,
                                                  struct qv__json_node *out, const char **stop)
{
    const char *start = p;
    bool neg = p < end && *p == '-', sound = true, integer = true;
    uint64_t w = 0;
    struct digits d;
    p += neg;
    d.first = p;
    for (; p < end && qv__json_is_digit(*p); p++) {
        w = w * 10 + (uint64_t)(*p - '0');
    }
    d.end = p;
    d.exp10 = 0;
    sound = p > d.first && (*d.first != '0' || p == d.first + 1);
    if (sound && p < end && *p == '.') {
        const char *fraction = ++p;
        unsigned n = 8;
        while (n == 8 && end - p >= 8) {
            n = take_digits(p, &w);
            p += n;
        }
        for (; n == 8 && p < end && qv__json_is_digit(*p); p++) {
            w = w * 10 + (uint64_t)(*p - '0');
        }
        sound = p > fraction;
        integer = false;
        d.end = p;
        d.exp10 = -(int)QV_MIN(p - fraction, (ptrdiff_t)EXPONENT_CLAMP);
    }
    if (sound && p < end && (*p == 'e' || *p == 'E')) {
        sound = scan_exponent(&p, end, &d.exp10);
        integer = false;
    }
    *stop = p;
    if (QV_UNLIKELY(p - start > (ptrdiff_t)QV__JSON_NUMBER_CHARS_MAX)) {
        return QV__JSON_NUMBER_LONG;
    }
    if (QV_UNLIKELY(!sound)) {
        return QV__JSON_NUMBER_NONE;
    }
    out->len = 0;
    out->skip = 1;
    if (integer && store_integer(neg, w, (size_t)(p - d.first), d.first, out)) {
        return QV__JSON_NUMBER_OK;
    }
    return store_double(neg, w, &d, out);
}

enum qv__json_number_state qv__json_number_scan(const char *p, const char *end,
                                                struct qv__json_node *out, const char **stop)
{
    return scan_one(p, end, out, stop);
}

size_t qv__json_number(const char *p, const char *end, struct qv__json_node *out)
{
    const char *stop = p;
    struct qv__json_node v = {0};
    if (scan_one(p, end, &v, &stop) != QV__JSON_NUMBER_OK) {
        return 0;
    }
    *out = v;
    return (size_t)(stop - p);
}

static inline const char *skip_space(const char *p, const char *end)
{
    while (p < end && qv__json_is_space(*p)) {
        p++;
    }
    return p;
}

enum qv__json_number_state qv__json_number_array(const char *p, const char *end,
                                                 struct qv__json_node *nodes, size_t cap,
                                                 size_t *count, const char **stop)
{
    size_t used = 0;
    for (;;) {
        p = skip_space(p, end);
        *stop = p;
        if (QV_UNLIKELY(used == cap)) {
            return QV__JSON_NUMBER_FULL;
        }
        const char *behind;
        enum qv__json_number_state s = scan_one(p, end, &nodes[used], &behind);
        if (QV_UNLIKELY(s != QV__JSON_NUMBER_OK)) {
            return s;
        }
        used++;
        p = skip_space(behind, end);
        if (QV_UNLIKELY(p == end || (*p != ',' && *p != ']'))) {
            return QV__JSON_NUMBER_NONE;
        }
        if (*p == ']') {
            *stop = p;
            *count = used;
            return QV__JSON_NUMBER_OK;
        }
        p++;
    }
}

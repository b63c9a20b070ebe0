/* datetime.c: text to an instant in microseconds since the epoch.
 *
 * One scanner for all forms the primary peer takes; which form it was is judged at the end from
 * what was seen. The forms, which the peer tries one after the other:
 *   date ("T" / "t" / " ") time zone   RFC 3339, relaxed: blanks around the parts, "UTC" as zone
 *   date ("T" / blanks) time zone      the minutes of the zone may be missing
 *   date ("T" / blanks) time           taken as UTC; the seconds may be missing, only here
 *   date                               midnight UTC
 * Numbers need no leading zeros, a year has up to four digits or a sign and any number, a second
 * may be 60 and then counts as the next one. Digits below a microsecond are cut.
 *
 * Days are counted with the proleptic Gregorian formula of H. Hinnant (days_from_civil). */
#include <stdio.h>

#include "payload/filter.h"
#include "text/utf8.h"

#define YEAR_MIN INT64_C(-262143)
#define YEAR_MAX INT64_C(262142)

struct scanner {
    const char *p, *end;
};

/* What was found; the forms differ in what they allow. */
struct parts {
    int64_t year, month, day, hour, minute, second, micros;
    bool loose;       /* a blank before '-' or ':': RFC 3339 relaxed only */
    bool sep_rfc;     /* the separator suits RFC 3339: T, t or a space */
    bool sep_small_t; /* ... and only that */
    bool has_seconds;
    bool zone_minutes;   /* or Z */
    bool zone_named_utc; /* "UTC" */
    bool zone_hours;     /* minutes missing */
    bool blank_end;
    int64_t zone_s;
};

static size_t skip_blanks(struct scanner *s)
{
    const char *from = s->p;
    size_t n;
    while ((n = qv__utf8_space(s->p, s->end)) != 0) {
        s->p += n;
    }
    return (size_t)(s->p - from);
}

static bool is_digit(const struct scanner *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

/* One to `width` digits after optional blanks. */
static bool scan_number(struct scanner *s, unsigned width, int64_t *out)
{
    int64_t v = 0;
    unsigned n = 0;
    for (; n < width && is_digit(s); n++) {
        v = v * 10 + (*s->p++ - '0');
        if (v > INT32_MAX) {
            return false;
        }
    }
    *out = v;
    return n > 0;
}

static bool scan_field(struct scanner *s, int64_t min, int64_t max, int64_t *out)
{
    skip_blanks(s);
    return scan_number(s, 2, out) && *out >= min && *out <= max;
}

static bool scan_year(struct scanner *s, int64_t *out)
{
    skip_blanks(s);
    bool minus = s->p < s->end && *s->p == '-';
    bool sign = minus || (s->p < s->end && *s->p == '+');
    s->p += sign;
    if (!scan_number(s, sign ? UINT32_MAX : 4, out)) {
        return false;
    }
    *out = minus ? -*out : *out;
    return *out >= YEAR_MIN && *out <= YEAR_MAX;
}

/* A '-' or ':' between numbers; blanks before it are noted. */
static bool scan_mark(struct scanner *s, char c, struct parts *d)
{
    d->loose |= skip_blanks(s) > 0;
    if (s->p == s->end || *s->p != c) {
        return false;
    }
    s->p++;
    return true;
}

static bool scan_fraction(struct scanner *s, int64_t *micros)
{
    int64_t v = 0;
    unsigned n = 0;
    for (; is_digit(s); s->p++, n++) {
        if (n < 6) {
            v = v * 10 + (*s->p - '0');
        }
    }
    for (unsigned i = n; i < 6; i++) {
        v *= 10;
    }
    *micros = v;
    return n > 0;
}

static bool scan_two(struct scanner *s, int64_t max, int64_t *out)
{
    const char *from = s->p;
    return scan_number(s, 2, out) && s->p - from == 2 && *out <= max;
}

/* After the sign. */
static bool scan_zone_numbers(struct scanner *s, struct parts *d, bool minus)
{
    int64_t hours;
    int64_t minutes = 0;
    if (!scan_two(s, 23, &hours)) {
        return false;
    }
    while (s->p < s->end && (*s->p == ':' || qv__utf8_space(s->p, s->end))) {
        s->p += *s->p == ':' ? 1 : qv__utf8_space(s->p, s->end);
    }
    if (s->p == s->end) {
        d->zone_hours = true;
    } else if (scan_two(s, 59, &minutes)) {
        d->zone_minutes = true;
    } else {
        return false;
    }
    d->zone_s = (hours * 60 + minutes) * 60;
    if (minus) {
        d->zone_s = -d->zone_s;
    }
    return true;
}

static bool scan_zone(struct scanner *s, struct parts *d)
{
    size_t left = (size_t)(s->end - s->p);
    if (*s->p == 'Z' || *s->p == 'z') {
        s->p++;
        d->zone_minutes = true;
        return true;
    }
    if (left >= 3 && (s->p[0] | 32) == 'u' && (s->p[1] | 32) == 't' && (s->p[2] | 32) == 'c') {
        s->p += 3;
        d->zone_named_utc = true;
        return true;
    }
    if (*s->p == '+' || *s->p == '-') {
        bool minus = *s->p++ == '-';
        return scan_zone_numbers(s, d, minus);
    }
    if (left >= 3 && memcmp(s->p, "\xe2\x88\x92", 3) == 0) { /* U+2212, the minus sign */
        s->p += 3;
        return scan_zone_numbers(s, d, true);
    }
    return false;
}

static bool scan_date(struct scanner *s, struct parts *d)
{
    return scan_year(s, &d->year) && scan_mark(s, '-', d) && scan_field(s, 1, 12, &d->month) &&
           scan_mark(s, '-', d) && scan_field(s, 1, 31, &d->day);
}

static bool scan_separator(struct scanner *s, struct parts *d)
{
    if (*s->p == 'T' || *s->p == 't') {
        d->sep_rfc = true;
        d->sep_small_t = *s->p == 't';
        s->p++;
        return true;
    }
    d->sep_rfc = *s->p == ' ';
    /* The peer's forms with a blank there take none as well: "2024-01-0112:30". */
    return d->sep_rfc || is_digit(s) || qv__utf8_space(s->p, s->end);
}

static bool scan_time(struct scanner *s, struct parts *d)
{
    if (!scan_field(s, 0, 23, &d->hour) || !scan_mark(s, ':', d) ||
        !scan_field(s, 0, 59, &d->minute)) {
        return false;
    }
    const char *after_minute = s->p;
    if (!scan_mark(s, ':', d)) {
        s->p = after_minute; /* what follows decides: only the end will do */
        return true;
    }
    d->has_seconds = true;
    if (!scan_field(s, 0, 60, &d->second)) {
        return false;
    }
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        return scan_fraction(s, &d->micros);
    }
    return true;
}

static bool is_some_form(const struct parts *d)
{
    if (d->zone_minutes || d->zone_named_utc || d->zone_hours) {
        bool rfc = d->sep_rfc && !d->zone_hours;
        bool strptime = !d->loose && !d->sep_small_t && !d->blank_end && !d->zone_named_utc;
        return d->has_seconds && (rfc || strptime);
    }
    return !d->loose && !d->sep_small_t && !d->blank_end;
}

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int64_t days_in_month(int64_t y, int64_t m)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m == 2 && leap ? 29 : days[m - 1];
}

bool qv__datetime_parse(struct qv__str text, int64_t *us)
{
    if (text.n == 0) {
        return false;
    }
    struct scanner s = {text.p, text.p + text.n};
    struct parts d = {0};

    if (!scan_date(&s, &d)) {
        return false;
    }
    if (s.p < s.end) {
        if (!scan_separator(&s, &d) || !scan_time(&s, &d)) {
            return false;
        }
        bool blank = skip_blanks(&s) > 0;
        if (s.p < s.end) {
            if (!scan_zone(&s, &d)) {
                return false;
            }
            blank = skip_blanks(&s) > 0;
        }
        d.blank_end = blank;
    }
    if (s.p != s.end || !is_some_form(&d) || d.day > days_in_month(d.year, d.month)) {
        return false;
    }
    int64_t seconds = days_from_civil(d.year, d.month, d.day) * 86400 + d.hour * 3600 +
                      d.minute * 60 + d.second - d.zone_s;
    *us = seconds * 1000000 + d.micros;
    return true;
}

const char *qv__datetime_text(int64_t ms, char out[QV__DATETIME_TEXT_MAX])
{
    int64_t days = ms / 86400000, in_day = ms % 86400000;
    /* The inverse of days_from_civil(), for days after 1970. */
    int64_t z = days + 719468, era = z / 146097, day_of_era = z % 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t mp = (5 * day_of_year + 2) / 153, month = mp + (mp < 10 ? 3 : -9);
    int64_t year = year_of_era + era * 400 + (month <= 2);
    unsigned day = (unsigned)(day_of_year - (153 * mp + 2) / 5 + 1), t = (unsigned)in_day;
    (void)snprintf(out, QV__DATETIME_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   (unsigned)year % 10000, (unsigned)month % 100, day % 100, t / 3600000 % 100,
                   t / 60000 % 60, t / 1000 % 60, t % 1000);
    return out;
}

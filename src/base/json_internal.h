/* json_internal.h: what the files of the JSON module share; nobody else includes it.
 *
 * What it is: the lexical pre-scan, the number scan and the shortest-decimal search.
 * What it is not: an interface; use json.h. */
#ifndef QV_BASE_JSON_INTERNAL_H
#define QV_BASE_JSON_INTERNAL_H

#include "base/json.h"

#define QV__JSON_TEXT_MAX         ((size_t)1 << 30) /* bytes of one document */
#define QV__JSON_DEPTH_MAX        128U              /* what limits->depth_max is cut to */
#define QV__JSON_NODES_MAX        ((1U << 28) - 1)  /* what node.len can count */
#define QV__JSON_STRING_MAX       ((1U << 28) - 1)  /* what node.len can count */
#define QV__JSON_NUMBER_CHARS_MAX 1024U             /* text of one number */
#define QV__JSON_POW5_COUNT       28                /* 5^27 is the last power of 5 below 2^64 */

__extension__ typedef unsigned __int128 qv__u128;

extern const uint64_t qv__json_pow5[QV__JSON_POW5_COUNT];

/* --- numbers (json_number.c) --- */

enum qv__json_number_state {
    QV__JSON_NUMBER_OK = 0,
    QV__JSON_NUMBER_NONE,  /* not a number of JSON's grammar; for arrays: not only numbers */
    QV__JSON_NUMBER_LONG,  /* more than QV__JSON_NUMBER_CHARS_MAX characters */
    QV__JSON_NUMBER_RANGE, /* beyond the finite doubles */
    QV__JSON_NUMBER_FULL   /* arrays only: no room for another node */
};

/* Scan one number that begins at p. *stop is where the scan ended, whatever the answer. */
enum qv__json_number_state qv__json_number_scan(const char *p, const char *end,
                                                struct qv__json_node *out, const char **stop);

/* Scan "number, number, ... ]" that begins behind a '['. OK: *count nodes are filled and *stop is
 * the ']'. NONE: leave the array to the general parser. Others: *stop is the number at fault. */
enum qv__json_number_state qv__json_number_array(const char *p, const char *end,
                                                 struct qv__json_node *nodes, size_t cap,
                                                 size_t *count, const char **stop);

/* The double nearest to w * 10^exp10 (ties to even); infinite when out of range. */
double qv__json_decimal(uint64_t w, int exp10);

/* --- lexical pre-scan (json_scan.c) --- */

struct qv__json_scan {
    size_t cut;         /* text[0 .. cut) is lexically sound; all of it when st is QV_OK */
    size_t nodes;       /* an upper bound of the nodes in there */
    size_t text_bytes;  /* decoded bytes of all strings in there */
    size_t decoded_max; /* longest decoded string among those that hold escapes */
    qv_status st;       /* of the place where the scan stopped */
    size_t bad;         /* its offset */
    char reason[96];
};

/* Check every string of the text (UTF-8, escapes, surrogates, control characters, length) and
 * measure what the document will need. */
void qv__json_scan(const char *text, size_t n, uint32_t string_max, struct qv__json_scan *out);

/* Offset of the next '[' at or behind `pos` that opens an array beginning with a number, or n.
 * The text has passed qv__json_scan and `pos` is outside of strings. */
size_t qv__json_scan_numbers(const char *text, size_t n, size_t pos);

/* Bytes at the start of s that need no escape in a JSON string. */
size_t qv__json_plain_run(const char *s, size_t n);

static inline bool qv__json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool qv__json_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* --- shortest decimals (json_shortest.c) --- */

#define QV__JSON_FLOAT_CHARS 32 /* room for any double or float as text */

/* Write the shortest text that reads back to the same value; returns its length. v is finite. */
size_t qv__json_format_f64(char *out, double v);
size_t qv__json_format_f32(char *out, float v);
size_t qv__json_format_u64(char *out, uint64_t v);

#endif

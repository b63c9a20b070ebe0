/* json.h: JSON in and out.
 *
 * What it is: a validating parser (yajl for structure and UTF-8, our own scan for numbers) that
 * yields a flat array of nodes in document order, and a writer straight into a byte buffer.
 * What it is not: a tree of heap objects: a document is one array of nodes plus one text arena;
 * an array of 768 numbers costs 768 x 16 bytes and no calls.
 *
 * Limits are enforced while parsing, before memory is taken: depth, nodes, string length. Integers
 * beyond 2^53 survive (I64/U64 kinds); a number that does not fit an f64 is refused; lone
 * surrogates and invalid UTF-8 are refused; duplicate keys keep the last one (as serde does in the
 * peers). No recursion over input. Threads: one at a time per object. */
#ifndef QV_BASE_JSON_H
#define QV_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"

enum qv__json_kind {
    QV__JSON_NULL = 0,
    QV__JSON_BOOL,
    QV__JSON_I64, /* integer that fits i64 */
    QV__JSON_U64, /* integer above INT64_MAX that fits u64 */
    QV__JSON_F64, /* any other number */
    QV__JSON_STR,
    QV__JSON_ARR,
    QV__JSON_OBJ
};

/* One node. Containers are followed by their contents; `skip` leads past them. Object members
 * are pairs of nodes: a STR key, then the value. */
struct qv__json_node {
    uint32_t kind : 4;
    uint32_t len : 28; /* STR: bytes; ARR: elements; OBJ: members */
    uint32_t skip;     /* nodes this value takes, itself included (1 for scalars) */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
        const char *s; /* not NUL-terminated */
    };
};
_Static_assert(sizeof(struct qv__json_node) == 16, "a node is 16 bytes");

typedef const struct qv__json_node *qv__json; /* borrowed from the document; NULL = absent */

struct qv__json_limits {
    uint32_t depth_max;  /* 0 = 64; at most 128 */
    uint32_t nodes_max;  /* keys and values; 0 = 2^27; at most 2^28 - 1 */
    uint32_t string_max; /* bytes after unescaping; 0 = 2^24; at most 2^28 - 1 */
};

/* Parse one complete document of at most 1 GiB. *out points into `arena` and lives as long as it;
 * `text` is only read. After an error *out is untouched and what the arena handed out is unused.
 * Errors: QV_EINVAL with line, column and reason ("line 1 column 17: expected value, found '}'");
 * QV_ETOOBIG for a limit, also that of 1,024 characters per number; QV_ENOMEM. */
qv_status qv__json_parse(struct qv__arena *arena, const char *text, size_t n,
                         const struct qv__json_limits *limits /* NULL = defaults */, qv__json *out,
                         struct qv_err *err) QV_MUST_USE;

/* Access. All are NULL-safe and return NULL/false for a wrong kind. */
static inline qv__json qv__json_next(qv__json v)
{
    return v + v->skip;
}
static inline bool qv__json_is(qv__json v, enum qv__json_kind k)
{
    return v && v->kind == k;
}
static inline bool qv__json_is_number(qv__json v)
{
    return v && (v->kind == QV__JSON_I64 || v->kind == QV__JSON_U64 || v->kind == QV__JSON_F64);
}
/* Value of a member (the last of equal keys), or NULL. */
qv__json qv__json_get(qv__json obj, const char *key);
qv__json qv__json_get_n(qv__json obj, const char *key, size_t n);
/* First element / first key; NULL when empty. Then qv__json_next; count by ->len. */
static inline qv__json qv__json_first(qv__json v)
{
    return v && (v->kind == QV__JSON_ARR || v->kind == QV__JSON_OBJ) && v->len ? v + 1 : NULL;
}
qv__json qv__json_at(qv__json arr, size_t i); /* O(i) in general, O(1) when elements are scalars */
bool qv__json_str(qv__json v, struct qv__str *out);
bool qv__json_str_is(qv__json v, const char *z);
bool qv__json_bool(qv__json v, bool *out);
bool qv__json_f64(qv__json v, double *out);   /* any number */
bool qv__json_u64(qv__json v, uint64_t *out); /* integers >= 0 only; 1.0 is not an integer */
bool qv__json_i64(qv__json v, int64_t *out);
/* Array of numbers to floats; false if an element is no number or too large for a float. `out` has
 * room for v->len and may be written to in either case. */
bool qv__json_floats(qv__json v, float *out);

/* Parse one number from text exactly as the parser does. Returns bytes used; 0 if there is none, it
 * is malformed ("1.", "01", "-"), out of range or too long. */
size_t qv__json_number(const char *p, const char *end, struct qv__json_node *out);

/* Writer. Commas are placed by the writer: call in document order. Non-finite numbers are written
 * as null. Errors stick in the buffer. Depth is limited to 128 (asserted). */
struct qv__jw {
    struct qv__buf *b;
    uint32_t depth;
    bool comma[130];
    bool after_key;
};
void qv__jw_init(struct qv__jw *w, struct qv__buf *b);
void qv__jw_obj(struct qv__jw *w);
void qv__jw_obj_end(struct qv__jw *w);
void qv__jw_arr(struct qv__jw *w);
void qv__jw_arr_end(struct qv__jw *w);
void qv__jw_key(struct qv__jw *w, const char *z);
void qv__jw_key_n(struct qv__jw *w, struct qv__str s);
void qv__jw_str(struct qv__jw *w, const char *z);
void qv__jw_str_n(struct qv__jw *w, struct qv__str s); /* escapes; bytes must be UTF-8 */
void qv__jw_bool(struct qv__jw *w, bool v);
void qv__jw_null(struct qv__jw *w);
void qv__jw_i64(struct qv__jw *w, int64_t v);
void qv__jw_u64(struct qv__jw *w, uint64_t v);
/* Shortest text that reads back equal; integral values keep ".0" (1.0, 1e16). */
void qv__jw_f64(struct qv__jw *w, double v);
/* Shortest text that reads back to the same float, also by way of a double. */
void qv__jw_f32(struct qv__jw *w, float v);
void qv__jw_floats(struct qv__jw *w, const float *v, size_t n); /* a whole array */
void qv__jw_raw(struct qv__jw *w, const char *json, size_t n);  /* one value, already JSON */
/* Write a parsed value again (NULL as null). When it would nest deeper than 128 the buffer fails as
 * if its limit had been passed. */
void qv__jw_value(struct qv__jw *w, qv__json v);

#endif

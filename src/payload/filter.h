/* filter.h: the filter tree: parsed from JSON or built by a caller, checked, evaluated exactly.
 *
 * What it is: must / should / must_not / min_should clauses over conditions on payload paths, ids
 * and vectors. The JSON form is the primary dialect's; unknown keys in it are refused by name.
 * What it is not: a plan. Cardinalities and index use are the planner's; this file answers only
 * "does this row match".
 * Threads: a parsed filter is immutable; evaluation is pure.
 * Lifetime: everything hangs in the arena. */
#ifndef QV_PAYLOAD_FILTER_H
#define QV_PAYLOAD_FILTER_H

#include "base/id.h"
#include "base/qctx.h"
#include "payload/value.h"
#include "text/tokenizer.h"

/* What conditions ask of a value follows the primary peer's answers without an index: an array is
 * asked element by element (one level), and one element suffices. */
enum qv__cond_kind {
    QV__COND_MATCH_ANY,      /* value equals one of the set (match.value is a set of one) */
    QV__COND_MATCH_EXCEPT,   /* some value at the path, other than null, is not in the set */
    QV__COND_RANGE,          /* numbers: lt, lte, gt, gte */
    QV__COND_DATETIME_RANGE, /* date strings as instants (microseconds since the epoch) */
    QV__COND_MATCH_TEXT,     /* contains `text`; on a field with an index of text: all its words */
    QV__COND_VALUES_COUNT,   /* of an array its elements, of null and nothing 0, else 1 */
    QV__COND_IS_EMPTY,       /* all the path reaches is null or [] (nothing reached: true) */
    QV__COND_IS_NULL,        /* something the path reaches is null */
    QV__COND_HAS_ID,
    QV__COND_HAS_VECTOR,
    QV__COND_NESTED, /* some object the path (which ends in []) reaches matches the sub-filter */
    QV__COND_FILTER, /* a sub-filter */
    QV__COND_GEO_BOX,
    QV__COND_GEO_RADIUS,
    QV__COND_GEO_POLYGON,
    QV__COND_MATCH_TEXT_ANY, /* some blank-separated word of `text` is a substring; with an index of
                                text: one of its words is there */
    QV__COND_MATCH_PHRASE, /* contains `text`; with an index of text: all words one after another */
    QV__COND_MATCH_PREFIX,
    QV__COND_SLICE, /* the id's hash modulo total is index; see qv__id_slice_hash */
    /* is_empty and is_null as booleans of a field condition; `flag` is what is asked for. Unlike
     * IS_EMPTY and IS_NULL any one value decides, and a null inside an array counts. */
    QV__COND_FIELD_EMPTY,
    QV__COND_FIELD_NULL
};

/* A scalar to match: integers match integers only, bools bools, strings strings. */
struct qv__match_value {
    enum { QV__MATCH_INT, QV__MATCH_BOOL, QV__MATCH_STR } kind;
    union {
        int64_t i;
        bool b;
        struct qv__str s;
    };
};

struct qv__geo_point {
    double lon, lat;
};
struct qv__geo_ring {
    const struct qv__geo_point *points;
    size_t n;
};

struct qv__filter;

struct qv__cond {
    enum qv__cond_kind kind;
    struct qv__str key;   /* the path's text, for messages and plans */
    struct qv__path path; /* conditions on payload */
    union {
        struct { /* MATCH_ANY, MATCH_EXCEPT: sorted by (kind, value) for binary search */
            const struct qv__match_value *values;
            size_t n;
        } match;
        struct { /* RANGE */
            double lt, lte, gt, gte;
            bool has_lt, has_lte, has_gt, has_gte;
        } range;
        struct { /* DATETIME_RANGE, VALUES_COUNT */
            int64_t lt, lte, gt, gte;
            bool has_lt, has_lte, has_gt, has_gte;
        } irange;
        struct qv__str text; /* MATCH_TEXT, MATCH_TEXT_ANY, MATCH_PHRASE, MATCH_PREFIX */
        bool flag;           /* FIELD_EMPTY, FIELD_NULL */
        struct {             /* SLICE */
            uint32_t total, index;
        } slice;
        struct { /* HAS_ID: sorted */
            const struct qv__id *ids;
            size_t n;
        } has_id;
        struct qv__str vector;           /* HAS_VECTOR: name, "" = the default one */
        const struct qv__filter *filter; /* NESTED, FILTER */
        struct {
            struct qv__geo_point top_left, bottom_right;
        } box;
        struct {
            struct qv__geo_point center;
            double radius_m;
        } radius;
        struct {
            struct qv__geo_ring exterior;
            const struct qv__geo_ring *interiors;
            size_t n_interiors;
        } polygon;
    };
};

struct qv__clause {
    const struct qv__cond *conds;
    size_t n;
};

/* Matches when all of must, none of must_not, at least one of should (when should is present and
 * not empty), and at least min_count of min_should (when has_min_should) match. An empty filter
 * matches everything. */
struct qv__filter {
    struct qv__clause must, should, must_not, min_should;
    uint64_t min_count;
    bool has_min_should;
};

#define QV__FILTER_DEPTH_MAX  20u
#define QV__FILTER_CONDS_MAX  65536u /* nodes in one request */
#define QV__FILTER_VALUES_MAX 1000000u
#define QV__FILTER_WORDS_MAX  1024u  /* asked for by one match.text, .text_any or .phrase, */
#define QV__FILTER_TEXT_MAX   65536u /* and bytes of it */

/* JSON null (or absent) or an object; *out NULL for null. Accepts a clause as object or array. All
 * text is copied into the arena; on an error *out is untouched and what the arena gave stays in it.
 * Errors: QV_EINVAL naming the path in the document ("filter.must[0].range.gt: …"); QV_EVALIDATION,
 * in the same form, for well-formed values outside their range (a field condition that asks
 * nothing, min_count 0, a slice's index); QV_ETOOBIG for a limit; QV_ENOMEM. */
qv_status qv__filter_parse(struct qv__arena *arena, qv__json v, const struct qv__filter **out,
                           struct qv_err *err) QV_MUST_USE;

/* Paths with an index of text: there match.text, .text_any and .phrase ask for words, as its
 * tokenizer makes them, elsewhere for parts of strings. */
struct qv__text_field {
    struct qv__path path;
    struct qv__tokenizer tokenizer;
};
struct qv__text_fields {
    const struct qv__text_field *list;
    size_t n;
};

/* What a row offers to evaluation. */
struct qv__filter_row {
    const struct qv__id *id;
    struct qv__bytes payload;
    /* True if the point holds that vector; never called when no HAS_VECTOR occurs. */
    bool (*has_vector)(const struct qv__filter_row *row, struct qv__str name);
    const void *has_vector_ctx;
    const struct qv__text_fields *texts; /* borrowed; NULL = none */
    struct qv__steps *steps; /* what evaluation may take; where it ends the answer means nothing;
                              NULL = as much as it takes */
};
/* filter NULL matches all. Inside a nested condition has_id, has_vector and slice match nothing, as
 * in the peer. A row without bytes, or with damaged ones, is an empty object. Takes no memory. */
bool qv__filter_match(const struct qv__filter *f, const struct qv__filter_row *row);
/* True if evaluation reads the payload at all (else ids and vectors suffice). */
bool qv__filter_needs_payload(const struct qv__filter *f);
/* If the filter can only match a listed set of ids (a must has_id at the root): the smallest such
 * set, else NULL. */
const struct qv__cond *qv__filter_id_set(const struct qv__filter *f);

/* SipHash-2-4 with a zero key over the id: 8 bytes little endian for numbers, 16 for a UUID, a
 * string's bytes. Clients compute it too, so it is fixed for ever. */
uint64_t qv__id_slice_hash(const struct qv__id *id);

/* RFC 3339 and its shorter forms (date, date time with space, no zone = UTC) -> microseconds since
 * the epoch. */
bool qv__datetime_parse(struct qv__str text, int64_t *us);
/* "2026-02-03T04:05:06.789Z" of Unix milliseconds; within the years 1970 to 9999. Returns `out`. */
#define QV__DATETIME_TEXT_MAX 40u
const char *qv__datetime_text(int64_t ms, char out[QV__DATETIME_TEXT_MAX]);

#endif

/* value.h: payload as typed binary values.
 *
 * What it is: one encoding for null, bool, i64, u64, f64, string, array and object (member order
 * kept) that is read in place: every container carries its byte length, so that a path is followed
 * by skipping. Stored in rows and in the log; format 1, see docs/internals/PAYLOAD.md.
 * What it is not: JSON text; conversion both ways is here.
 *
 * Encoding: tag byte, then
 *   null, false, true   nothing
 *   i64, u64, f64       8 bytes
 *   string              varint length, bytes
 *   array               varint length of what follows, varint count, elements
 *   object              varint length of what follows, varint count, per member: varint key length,
 *                       key bytes, value
 * Depth is at most 64, keys at most 65,535 bytes, at most 10,000 members per object, no key twice.
 * Threads: any (pure functions). */
#ifndef QV_PAYLOAD_VALUE_H
#define QV_PAYLOAD_VALUE_H

#include "base/json.h"
#include "base/qctx.h"

enum qv__tag {
    QV__TAG_NULL = 0,
    QV__TAG_FALSE = 1,
    QV__TAG_TRUE = 2,
    QV__TAG_I64 = 3,
    QV__TAG_U64 = 4, /* only above INT64_MAX */
    QV__TAG_F64 = 5,
    QV__TAG_STR = 6,
    QV__TAG_ARR = 7,
    QV__TAG_OBJ = 8
};
#define QV__VALUE_DEPTH_MAX 64u

/* A decoded head of a value in place. */
struct qv__value {
    enum qv__tag tag;
    uint32_t count; /* ARR, OBJ */
    union {
        int64_t i;
        uint64_t u;
        double f;
        struct qv__str s;
        struct qv__bytes body; /* ARR, OBJ: elements / members */
    };
    const uint8_t *end; /* first byte after the value */
};

/* Read one value at p; false on malformed bytes. */
bool qv__value_read(const uint8_t *p, const uint8_t *end, struct qv__value *out);
/* Whole-structure check of untrusted bytes: exactly one object. That text is UTF-8 and that no key
 * is there twice is NOT checked. Readers are safe on any bytes; edits and evaluation take what
 * cannot be read as missing. */
bool qv__payload_valid(struct qv__bytes row);

/* Iterate a container (anything else is empty); false at the end. `key` may be NULL. */
struct qv__value_iter {
    const uint8_t *p, *end;
    uint32_t left;
    bool object;
};
void qv__value_iter_init(struct qv__value_iter *it, const struct qv__value *container);
bool qv__value_iter_next(struct qv__value_iter *it, struct qv__str *key /* objects */,
                         struct qv__value *out);

/* JSON object or null (or absent) -> row bytes, behind what is in `out`. An empty payload is an
 * empty object: 3 bytes. Of equal keys the first place and the last value count. On an error
 * nothing is added. QV_EINVAL for other kinds, QV_ETOOBIG for a limit, QV_ENOMEM. */
qv_status qv__payload_from_json(struct qv__buf *out, qv__json v, struct qv_err *err) QV_MUST_USE;
/* Any value. */
qv_status qv__value_from_json(struct qv__buf *out, qv__json v, struct qv_err *err) QV_MUST_USE;
void qv__value_to_json(struct qv__jw *w, const struct qv__value *v);
void qv__payload_to_json(struct qv__jw *w, struct qv__bytes row);

/* JSON-path of the peers: a.b, a[].b, a[0], "quoted.key". Parsed once, borrowed text. */
#define QV__PATH_STEPS_MAX 16u
struct qv__path_step {
    enum { QV__STEP_KEY, QV__STEP_ALL, QV__STEP_INDEX } kind;
    struct qv__str key;
    uint32_t index;
};
struct qv__path {
    uint32_t n;
    struct qv__path_step step[QV__PATH_STEPS_MAX];
};
/* QV_EINVAL with position and reason. */
qv_status qv__path_parse(struct qv__str text, struct qv__path *out, struct qv_err *err) QV_MUST_USE;
bool qv__path_eq(const struct qv__path *a, const struct qv__path *b);
/* Whether two texts are one path: d is "d". Those that are none are equal as texts. */
bool qv__path_same(struct qv__str a, struct qv__str b);
/* `path` behind `prefix` (NULL = nothing); false: together they have too many steps. */
bool qv__path_join(const struct qv__path *prefix, const struct qv__path *path,
                   struct qv__path *out);
/* Call back for every value the path reaches; `[]` fans out, and as in the peers a plain key step
 * into an array of objects does not. cb returns false to stop. Returns the number of calls. */
size_t qv__path_each(struct qv__bytes row, const struct qv__path *path,
                     bool (*cb)(void *ctx, const struct qv__value *v), void *ctx);

/* Row edits: the new row goes behind what is in `out`, which must not be where the old one lies;
 * the old one is untouched, and on an error nothing is added. QV_ETOOBIG for a limit, QV_ENOMEM;
 * the status of `steps` (NULL = as many as it takes) where these have ended.
 *
 * merge: members of `patch` (an object row) replace or are added to those of the row, null removes
 * the member; at the object `at` leads to (NULL = the root). A key step makes an object of whatever
 * is not one, `[]` and `[n]` an empty array; `[]` applies to each element. */
qv_status qv__payload_merge(struct qv__buf *out, struct qv__bytes row, struct qv__bytes patch,
                            const struct qv__path *at, struct qv_err *err) QV_MUST_USE;
/* Remove what each path leads to; a missing one is no error. A last `[]` empties the array, a last
 * `[n]` removes nothing (it would not be idempotent). */
qv_status qv__payload_remove(struct qv__buf *out, struct qv__bytes row,
                             const struct qv__path *paths, size_t n_paths, struct qv__steps *steps,
                             struct qv_err *err) QV_MUST_USE;

/* Edits that depend on what is there, applied one after another. A path leads to one value: keys
 * that are missing are made, `[n]` must exist, `[]` is refused. A missing value (or null) counts as
 * the empty array, or as 0.
 *   append     one element behind the array's others
 *   remove     every element that equals the value (same type, same bytes)
 *   increment  whole numbers exactly, in 64 bits with a sign; with a fraction on either side as a
 *              double
 * QV_EINVAL, naming the path: of another type, out of range, not leading to one value. */
struct qv__payload_op {
    enum { QV__OP_APPEND = 1, QV__OP_REMOVE, QV__OP_INCREMENT } kind;
    struct qv__path path;
    struct qv__str text;    /* of the path, for messages; borrowed */
    struct qv__bytes value; /* encoded; borrowed */
};
/* What can be said without a row: the path, and that an increment is a finite number. */
qv_status qv__payload_op_check(const struct qv__payload_op *op, struct qv_err *err) QV_MUST_USE;
qv_status qv__payload_modify(struct qv__buf *out, struct qv__bytes row,
                             const struct qv__payload_op *ops, size_t n_ops,
                             struct qv__steps *steps, struct qv_err *err) QV_MUST_USE;

/* with_payload: all, none (written as null), include or exclude these paths; objects and arrays
 * keep their shape. As in the peer only `[]` names the elements of an array here, `[n]` none. Once
 * `steps` (NULL = as many as it takes) have ended parts are missing. */
struct qv__payload_selector {
    enum { QV__SELECT_NONE, QV__SELECT_ALL, QV__SELECT_INCLUDE, QV__SELECT_EXCLUDE } kind;
    const struct qv__path *paths; /* borrowed */
    size_t n_paths;
};
void qv__payload_select_json(struct qv__jw *w, struct qv__bytes row,
                             const struct qv__payload_selector *sel, struct qv__steps *steps);

#endif

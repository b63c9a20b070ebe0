/* wire.h: reading the bytes of a payload value, inlined.
 *
 * What it is: the varint, the skip and the head of a value, shared by every file of this folder; a
 * filter spends most of its time here, so nothing is called out of line on the usual path.
 * What it is not: for other folders, which use value.h.
 *
 * All functions are bounds-checked and give NULL or false on malformed bytes; none reads past
 * `end`. */
#ifndef QV_PAYLOAD_WIRE_H
#define QV_PAYLOAD_WIRE_H

#include "payload/value.h"

#define QV__KEY_MAX     65535u
#define QV__MEMBERS_MAX 10000u

/* Two bytes or more; value.c. */
const uint8_t *qv__wire_varint_long(const uint8_t *p, const uint8_t *end, uint32_t *out);

/* A minimal LEB128 number below 2^32; returns what follows it, or NULL. */
static inline const uint8_t *qv__wire_varint(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    if (QV_LIKELY(p < end && *p < 0x80)) {
        *out = *p;
        return p + 1;
    }
    return qv__wire_varint_long(p, end, out);
}

/* Past one value, or NULL. Containers carry their length, so nothing inside is looked at. */
static inline const uint8_t *qv__wire_skip(const uint8_t *p, const uint8_t *end)
{
    if (QV_UNLIKELY(p >= end)) {
        return NULL;
    }
    uint8_t tag = *p++;
    uint32_t n;
    switch (tag) {
    case QV__TAG_NULL:
    case QV__TAG_FALSE:
    case QV__TAG_TRUE:
        return p;
    case QV__TAG_I64:
    case QV__TAG_U64:
    case QV__TAG_F64:
        return end - p >= 8 ? p + 8 : NULL;
    case QV__TAG_STR:
    case QV__TAG_ARR:
    case QV__TAG_OBJ:
        p = qv__wire_varint(p, end, &n);
        return p && (size_t)(end - p) >= n ? p + n : NULL;
    default:
        return NULL;
    }
}

static inline bool qv__wire_read(const uint8_t *p, const uint8_t *end, struct qv__value *out)
{
    if (QV_UNLIKELY(p >= end)) {
        return false;
    }
    uint8_t tag = *p++;
    uint32_t n;
    switch (tag) {
    case QV__TAG_NULL:
    case QV__TAG_FALSE:
    case QV__TAG_TRUE:
        out->tag = (enum qv__tag)tag;
        out->end = p;
        return true;
    case QV__TAG_I64:
    case QV__TAG_U64:
    case QV__TAG_F64:
        if (end - p < 8) {
            return false;
        }
        out->tag = (enum qv__tag)tag;
        out->u = qv__load_u64(p); /* the members of the union share their bytes */
        out->end = p + 8;
        return true;
    case QV__TAG_STR:
        p = qv__wire_varint(p, end, &n);
        if (!p || (size_t)(end - p) < n) {
            return false;
        }
        out->tag = QV__TAG_STR;
        out->s = (struct qv__str){(const char *)p, n};
        out->end = p + n;
        return true;
    case QV__TAG_ARR:
    case QV__TAG_OBJ:
        p = qv__wire_varint(p, end, &n);
        if (!p || (size_t)(end - p) < n) {
            return false;
        }
        out->tag = (enum qv__tag)tag;
        out->end = p + n;
        p = qv__wire_varint(p, out->end, &out->count);
        if (!p) {
            return false;
        }
        out->body = (struct qv__bytes){p, (size_t)(out->end - p)};
        return true;
    default:
        return false;
    }
}

/* The key of a member at p; returns where its value begins, or NULL. */
static inline const uint8_t *qv__wire_key(const uint8_t *p, const uint8_t *end, struct qv__str *key)
{
    uint32_t n;
    p = qv__wire_varint(p, end, &n);
    if (!p || (size_t)(end - p) < n) {
        return NULL;
    }
    *key = (struct qv__str){(const char *)p, n};
    return p + n;
}

/* The member of that name; false when there is none. */
static inline bool qv__wire_get(const struct qv__value *obj, struct qv__str name,
                                struct qv__value *out)
{
    const uint8_t *p = obj->body.p;
    const uint8_t *end = obj->end;
    for (uint32_t left = obj->count; left; left--) {
        struct qv__str key;
        p = qv__wire_key(p, end, &key);
        if (QV_UNLIKELY(!p)) {
            return false;
        }
        if (key.n == name.n && memcmp(key.p, name.p, key.n) == 0) {
            return qv__wire_read(p, end, out);
        }
        p = qv__wire_skip(p, end);
        if (QV_UNLIKELY(!p)) {
            return false;
        }
    }
    return false;
}

/* Element i of an array; false when there is none. */
static inline bool qv__wire_at(const struct qv__value *arr, uint32_t i, struct qv__value *out)
{
    if (i >= arr->count) {
        return false;
    }
    const uint8_t *p = arr->body.p;
    while (i--) {
        p = qv__wire_skip(p, arr->end);
        if (!p) {
            return false;
        }
    }
    return qv__wire_read(p, arr->end, out);
}

/* The root object of a row. No bytes at all, or damaged ones, read as an empty object. */
static inline struct qv__value qv__wire_root(struct qv__bytes row)
{
    struct qv__value v;
    if (row.n && qv__wire_read(row.p, row.p + row.n, &v) && v.tag == QV__TAG_OBJ) {
        return v;
    }
    return (struct qv__value){.tag = QV__TAG_OBJ};
}

/* The path below a value that is already decoded; value.h has the form for rows. */
size_t qv__path_each_in(const struct qv__value *root, const struct qv__path *path,
                        bool (*cb)(void *ctx, const struct qv__value *v), void *ctx);

#endif

/* json.c: access to a parsed document.
 *
 * A document is an array of nodes; a container is followed by its contents and `skip` leads past
 * them. Objects are searched from front to back, since requests have few members; the last of
 * equal keys wins. Nothing here takes memory or recurses. */
#include "base/json_internal.h"

#include <math.h>

qv__json qv__json_get_n(qv__json obj, const char *key, size_t n)
{
    qv__json found = NULL;
    if (!key || !qv__json_is(obj, QV__JSON_OBJ)) {
        return NULL;
    }
    qv__json k = obj + 1;
    for (uint32_t i = 0; i < obj->len; i++) {
        qv__json v = k + 1;
        if (k->len == n && memcmp(k->s, key, n) == 0) {
            found = v;
        }
        k = qv__json_next(v);
    }
    return found;
}

qv__json qv__json_get(qv__json obj, const char *key)
{
    return key ? qv__json_get_n(obj, key, strlen(key)) : NULL;
}

qv__json qv__json_at(qv__json arr, size_t i)
{
    if (!qv__json_is(arr, QV__JSON_ARR) || i >= arr->len) {
        return NULL;
    }
    qv__json v = arr + 1;
    if (arr->skip == 1U + arr->len) {
        return v + i; /* every element is one node */
    }
    while (i--) {
        v = qv__json_next(v);
    }
    return v;
}

bool qv__json_str(qv__json v, struct qv__str *out)
{
    if (!qv__json_is(v, QV__JSON_STR)) {
        return false;
    }
    *out = (struct qv__str){v->s, v->len};
    return true;
}

bool qv__json_str_is(qv__json v, const char *z)
{
    struct qv__str s;
    return z && qv__json_str(v, &s) && qv__str_eq(s, qv__str_z(z));
}

bool qv__json_bool(qv__json v, bool *out)
{
    if (!qv__json_is(v, QV__JSON_BOOL)) {
        return false;
    }
    *out = v->b;
    return true;
}

/* The value of a number; NaN for anything else. */
static inline double number(qv__json v)
{
    switch (v->kind) {
    case QV__JSON_F64:
        return v->f;
    case QV__JSON_I64:
        return (double)v->i;
    case QV__JSON_U64:
        return (double)v->u;
    default:
        return (double)NAN;
    }
}

bool qv__json_f64(qv__json v, double *out)
{
    if (!qv__json_is_number(v)) {
        return false;
    }
    *out = number(v);
    return true;
}

bool qv__json_u64(qv__json v, uint64_t *out)
{
    if (qv__json_is(v, QV__JSON_I64) && v->i >= 0) {
        *out = (uint64_t)v->i;
        return true;
    }
    if (qv__json_is(v, QV__JSON_U64)) {
        *out = v->u;
        return true;
    }
    return false;
}

bool qv__json_i64(qv__json v, int64_t *out)
{
    if (!qv__json_is(v, QV__JSON_I64)) {
        return false;
    }
    *out = v->i;
    return true;
}

bool qv__json_floats(qv__json v, float *out)
{
    if (!qv__json_is(v, QV__JSON_ARR) || v->skip != 1U + v->len) {
        return false; /* a container with contents among the elements */
    }
    qv__json e = v + 1;
    bool finite = true;
    for (uint32_t i = 0; i < v->len; i++) {
        float f = (float)number(&e[i]);
        finite &= isfinite(f) != 0;
        out[i] = f;
    }
    return finite;
}

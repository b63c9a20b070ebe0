/* vectors_in.c: vectors from a body, straight from the parsed numbers: dense ones, sparse ones, and
 * multivectors; bits as zeros and ones or, an addition, packed.
 *
 * What the peer also takes here and this version does not (texts and images to be embedded) is
 * recognised and refused by name. Dimensions are the engine's to check; what the peer validates
 * before it looks at a collection is refused here, with its text. */
#include "api/qdrant/qdrant.h"

#include <stdlib.h>

/* What stands where a vector should. */
static qv_status refuse(struct qv__call *c, qv__json v, const char *field)
{
    if (qv__json_get(v, "model") &&
        (qv__json_get(v, "text") || qv__json_get(v, "image") || qv__json_get(v, "object"))) {
        return qv__qd_unsupported(c, "inference (text, image or object to embed)");
    }
    return qv__qd_expected(c, field, "a vector (an array of numbers)", v);
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* {"bits": "0f3c"}, an addition: the elements of a bit vector. */
static bool is_packed(qv__json v, struct qv__str *text)
{
    return qv__json_is(v, QV__JSON_OBJ) && v->len == 1 &&
           qv__json_str(qv__json_get(v, "bits"), text);
}

/* Four elements a digit, the first one its highest bit. */
static qv_status hexadecimal(struct qv__call *c, struct qv__str text, const char *field,
                             struct qv__qd_value *out)
{
    if (text.n > QV__DIM_MAX / 4) {
        return qv__qd_fail(c, QV__QD_INVALID, "%s%s.bits: %zu digits invalid, must be at most %u",
                           c->place, field, text.n, QV__DIM_MAX / 4);
    }
    float *values = qv__arena_alloc(c->arena, (4 * text.n + 1) * sizeof *values);
    if (!values) {
        return qv__qd_no_memory(c);
    }
    for (size_t i = 0; i < text.n; i++) {
        int digit = digit_of(text.p[i]);
        if (digit < 0) {
            return qv__qd_fail(c, QV__QD_FORMAT,
                               "%s%s.bits: expected hexadecimal digits; character %zu is none",
                               c->place, field, i);
        }
        for (size_t k = 0; k < 4; k++) {
            values[4 * i + k] = (float)(digit >> (3 - k) & 1);
        }
    }
    *out =
        (struct qv__qd_value){.values = values, .dim = (uint32_t)(4 * text.n), .is_packed = true};
    return QV_OK;
}

qv_status qv__qd_dense(struct qv__call *c, qv__json v, const char *field, struct qv__qd_value *out)
{
    struct qv__str text;
    if (is_packed(v, &text)) {
        return hexadecimal(c, text, field, out);
    }
    if (!qv__json_is(v, QV__JSON_ARR) || qv__json_is(qv__json_first(v), QV__JSON_ARR)) {
        return refuse(c, v, field);
    }
    float *values = qv__arena_alloc(c->arena, ((size_t)v->len + 1) * sizeof *values);
    if (!values) {
        return qv__qd_no_memory(c);
    }
    if (!qv__json_floats(v, values)) {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%s%s: every element must be a number that a 32-bit float can hold",
                           c->place, field);
    }
    *out = (struct qv__qd_value){.values = values, .dim = v->len};
    return QV_OK;
}

/* --- sparse --- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static bool all_differ(struct qv__call *c, const uint32_t *indices, uint32_t n, bool *differ)
{
    bool rises = true;
    for (uint32_t i = 1; i < n; i++) {
        rises = rises && indices[i] > indices[i - 1];
    }
    *differ = rises;
    if (rises) {
        return true;
    }
    uint32_t *sorted = qv__arena_alloc(c->arena, (size_t)n * sizeof *sorted);
    if (!sorted) {
        return false;
    }
    memcpy(sorted, indices, (size_t)n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    *differ = true;
    for (uint32_t i = 1; i < n; i++) {
        *differ = *differ && sorted[i] != sorted[i - 1];
    }
    return true;
}

static qv_status sparse(struct qv__call *c, qv__json v, const char *field, const char *path,
                        struct qv__qd_value *out)
{
    qv__json list = qv__json_get(v, "indices"), e = qv__json_first(list);
    if (!qv__json_is(list, QV__JSON_ARR)) {
        return qv__qd_expected(c, "indices", "an array of unsigned integers", list);
    }
    if (!qv__json_is(qv__json_get(v, "values"), QV__JSON_ARR)) {
        return qv__qd_expected(c, "values", "an array of numbers", qv__json_get(v, "values"));
    }
    QV_TRY(qv__qd_dense(c, qv__json_get(v, "values"), field, out));
    if (list->len != out->dim) {
        return qv__qd_fail(
            c, QV__QD_INVALID,
            "%s%s%s.values: Validation error: must be the same length as indices [{}]", c->place,
            field, path);
    }
    uint32_t *indices = qv__arena_alloc(c->arena, ((size_t)list->len + 1) * sizeof *indices);
    if (!indices) {
        return qv__qd_no_memory(c);
    }
    for (uint32_t i = 0; i < list->len; i++, e = qv__json_next(e)) {
        uint64_t index;
        if (!qv__json_u64(e, &index) || index > UINT32_MAX) {
            return qv__qd_fail(c, QV__QD_FORMAT,
                               "%s%s.indices: expected integers from 0 to %" PRIu32, c->place,
                               field, UINT32_MAX);
        }
        indices[i] = (uint32_t)index;
    }
    bool differ;
    if (!all_differ(c, indices, list->len, &differ)) {
        return qv__qd_no_memory(c);
    }
    if (!differ) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%s%s%s.indices: Validation error: must be unique [{}]", c->place, field,
                           path);
    }
    out->indices = indices;
    out->kind = QV__VEC_SPARSE;
    return QV_OK;
}

/* --- multivectors --- */

static qv_status multi(struct qv__call *c, qv__json v, const char *field, const char *path,
                       struct qv__qd_value *out)
{
    qv__json row = qv__json_first(v);
    uint32_t dim = row->len;
    size_t total = 0;
    for (uint32_t i = 0; i < v->len; i++, row = qv__json_next(row)) {
        if (!qv__json_is(row, QV__JSON_ARR)) {
            return qv__qd_expected(c, field, "an array of arrays of numbers", row);
        }
        if (row->len == 0) {
            return qv__qd_fail(c, QV__QD_INVALID, "%s%s%s.data: all vectors must be non-empty",
                               c->place, field, path);
        }
        if (row->len != dim) {
            return qv__qd_fail(c, QV__QD_INVALID,
                               "%s%s%s.data: all vectors must have the same dimension, found "
                               "vector with dimension %u",
                               c->place, field, path, row->len);
        }
        total += row->len; /* no more than the body has numbers */
    }
    float *values = qv__arena_alloc(c->arena, (total + 1) * sizeof *values);
    if (!values) {
        return qv__qd_no_memory(c);
    }
    row = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, row = qv__json_next(row)) {
        if (!qv__json_floats(row, values + (size_t)i * dim)) {
            return qv__qd_fail(c, QV__QD_FORMAT,
                               "%s%s: every element must be a number that a 32-bit float can hold",
                               c->place, field);
        }
    }
    *out = (struct qv__qd_value){
        .kind = QV__VEC_MULTI, .values = values, .dim = dim, .n_rows = v->len};
    return QV_OK;
}

/* `path`: what the peer's messages put between the field and what is wrong in it. */
static qv_status value_of(struct qv__call *c, qv__json v, const char *field, const char *path,
                          struct qv__qd_value *out)
{
    memset(out, 0, sizeof *out);
    if (qv__json_is(v, QV__JSON_ARR) && qv__json_is(qv__json_first(v), QV__JSON_ARR) && v->len) {
        return multi(c, v, field, path, out);
    }
    if (qv__json_get(v, "indices") && qv__json_get(v, "values")) {
        return sparse(c, v, field, path, out);
    }
    return qv__qd_dense(c, v, field, out);
}

qv_status qv__qd_value(struct qv__call *c, qv__json v, const char *field, struct qv__qd_value *out)
{
    return value_of(c, v, field, "", out);
}

qv_status qv__qd_input(struct qv__call *c, qv__json v, const char *field,
                       struct qv__vector_input *out)
{
    struct qv__qd_value x;
    QV_TRY(qv__qd_value(c, v, field, &x));
    out->values = x.values;
    out->indices = x.indices;
    out->dim = x.dim;
    out->n_rows = x.n_rows;
    out->kind = x.kind;
    out->is_packed = x.is_packed;
    return QV_OK;
}

qv_status qv__qd_named(struct qv__call *c, struct qv__str name, qv__json v, const char *field,
                       struct qv__named_vector *out)
{
    struct qv__qd_value x;
    const char *path = name.n ? ".?" : "";
    QV_TRY(value_of(c, v, field, path, &x));
    out->name = name;
    out->values = x.values;
    out->indices = x.indices;
    out->dim = x.dim;
    out->n_rows = x.n_rows;
    out->kind = x.kind;
    out->is_packed = x.is_packed;
    out->saturates = true; /* as in the peer */
    if (x.dim == 0 && x.kind == QV__VEC_DENSE) {
        return qv__qd_fail(c, QV__QD_INVALID, "%s%s%s.vector: dense vector must not be empty",
                           c->place, field, path);
    }
    return QV_OK;
}

qv_status qv__qd_vectors(struct qv__call *c, qv__json v, const char *field,
                         struct qv__named_vector **out, uint32_t *n)
{
    bool is_map = qv__json_is(v, QV__JSON_OBJ);
    bool is_inference = is_map && qv__json_is(qv__json_get(v, "model"), QV__JSON_STR);
    struct qv__str text;
    if (is_packed(v, &text)) {
        is_map = false;
    } else if ((!is_map && !qv__json_is(v, QV__JSON_ARR)) || is_inference) {
        return refuse(c, v, field);
    }
    size_t n_max = is_map ? v->len : 1;
    struct qv__named_vector *list = qv__arena_calloc(c->arena, n_max + 1, sizeof *list);
    if (!list) {
        return qv__qd_no_memory(c);
    }
    *out = list;
    *n = 0;
    if (!is_map) {
        *n = 1;
        return qv__qd_named(c, QV__STR(""), v, field, list);
    }
    qv__json key = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, key = qv__json_next(key + 1)) {
        struct qv__str name = {key->s, key->len};
        /* Of equal names the last counts. Many names are an error anyway, which the engine tells.
         */
        if (v->len <= QV__VECTORS_MAX && qv__json_get_n(v, name.p, name.n) != key + 1) {
            continue;
        }
        QV_TRY(qv__qd_named(c, name, key + 1, field, &list[*n]));
        *n += 1;
    }
    return QV_OK;
}

qv_status qv__qd_vector_member(struct qv__call *c, qv__json obj, qv__json *out)
{
    qv__json one = qv__json_get(obj, "vector"), other = qv__json_get(obj, "vectors");
    if (one && other) {
        return qv__qd_fail(c, QV__QD_FORMAT, "duplicate field `%svector`", c->place);
    }
    *out = one ? one : other;
    return QV_OK;
}

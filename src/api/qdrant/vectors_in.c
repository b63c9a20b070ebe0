/* vectors_in.c: dense vectors from a body, straight from the parsed numbers; bits as zeros and ones
 * or, an addition, packed.
 *
 * What the peer also takes here and this version does not (sparse and multi vectors, texts and
 * images to be embedded) is recognised and refused by name. Dimensions are the engine's to check;
 * an empty vector is refused here, with the peer's text. */
#include "api/qdrant/qdrant.h"

/* What stands where a dense vector should. */
static qv_status refuse(struct qv__call *c, qv__json v, const char *field)
{
    if (qv__json_is(v, QV__JSON_ARR) && qv__json_is(qv__json_first(v), QV__JSON_ARR)) {
        return qv__qd_unsupported(c, "multivectors");
    }
    if (qv__json_get(v, "indices") && qv__json_get(v, "values")) {
        return qv__qd_unsupported(c, "sparse vectors");
    }
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
                             struct qv__qd_dense *out)
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
    *out = (struct qv__qd_dense){values, (uint32_t)(4 * text.n), true};
    return QV_OK;
}

qv_status qv__qd_dense(struct qv__call *c, qv__json v, const char *field, struct qv__qd_dense *out)
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
    *out = (struct qv__qd_dense){values, v->len, false};
    return QV_OK;
}

qv_status qv__qd_dense_input(struct qv__call *c, qv__json v, const char *field,
                             struct qv__vector_input *out)
{
    struct qv__qd_dense d;
    QV_TRY(qv__qd_dense(c, v, field, &d));
    *out = (struct qv__vector_input){.values = d.values, .dim = d.dim, .is_packed = d.is_packed};
    return QV_OK;
}

/* One named vector of a stored point. */
static qv_status add(struct qv__call *c, struct qv__str name, qv__json v, const char *field,
                     struct qv__named_vector *out)
{
    struct qv__qd_dense d;
    QV_TRY(qv__qd_dense(c, v, field, &d));
    *out = (struct qv__named_vector){
        .name = name, .values = d.values, .dim = d.dim, .is_packed = d.is_packed};
    if (d.dim == 0) {
        return qv__qd_fail(c, QV__QD_INVALID, "%s%s.%svector: dense vector must not be empty",
                           c->place, field, name.n ? "?." : "");
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
        return add(c, QV__STR(""), v, field, list);
    }
    qv__json key = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, key = qv__json_next(key + 1)) {
        struct qv__str name = {key->s, key->len};
        /* Of equal names the last counts. Many names are an error anyway, which the engine tells.
         */
        if (v->len <= QV__VECTORS_MAX && qv__json_get_n(v, name.p, name.n) != key + 1) {
            continue;
        }
        QV_TRY(add(c, name, key + 1, field, &list[*n]));
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

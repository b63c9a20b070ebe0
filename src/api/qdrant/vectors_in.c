/* vectors_in.c: dense vectors from a body, straight from the parsed numbers.
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

qv_status qv__qd_dense(struct qv__call *c, qv__json v, const char *field, const float **out,
                       uint32_t *dim)
{
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
    *out = values;
    *dim = v->len;
    return QV_OK;
}

/* One named vector of a stored point. */
static qv_status add(struct qv__call *c, struct qv__str name, qv__json v, const char *field,
                     struct qv__named_vector *out)
{
    out->name = name;
    QV_TRY(qv__qd_dense(c, v, field, &out->values, &out->dim));
    if (out->dim == 0) {
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
    if ((!is_map && !qv__json_is(v, QV__JSON_ARR)) || is_inference) {
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

/* stage_check.c: what can be said about a mutation before any lock is taken. */
#include "engine/stage.h"
#include "engine/vector.h"
#include "simd/narrow.h"

static int name_len(struct qv__str s)
{
    return (int)QV_MIN(s.n, (size_t)64);
}

static qv_status id_check(const struct qv__id *id, const char *what, size_t i, struct qv_err *err)
{
    if (id->kind > QV__ID_STR) {
        return qv__fail(err, QV_EINVAL, "%s[%zu].id: unknown kind %u", what, i, id->kind);
    }
    if (id->kind == QV__ID_STR && id->len == 0) {
        return qv__fail(err, QV_EINVAL, "%s[%zu].id: a string id takes 1 to %u bytes", what, i,
                        QV__ID_STR_MAX);
    }
    return QV_OK;
}

/* An element beyond what the column's datatype holds would be stored as another number. */
static qv_status range_check(const struct qv__vector_def *d, const float *values, uint32_t n,
                             size_t i, struct qv_err *err)
{
    struct qv__element_range range = qv__element_range(d->datatype);
    for (uint32_t k = 0; k < n; k++) {
        if (d->datatype == QV__BIT && values[k] != 0.0f && values[k] != 1.0f) {
            return qv__fail(err, QV_EINVAL,
                            "points[%zu].vector `%.*s`: element %" PRIu32 " is %g; a bit is 0 or 1",
                            i, name_len(d->name), d->name.p, k, (double)values[k]);
        }
        if (values[k] < range.min || values[k] > range.max) {
            return qv__fail(err, QV_EINVAL,
                            "points[%zu].vector `%.*s`: element %" PRIu32
                            " is %g, outside the %g..%g of its datatype",
                            i, name_len(d->name), d->name.p, k, (double)values[k],
                            (double)range.min, (double)range.max);
        }
    }
    return QV_OK;
}

static bool cut_to_range(const struct qv__vector_def *d, const struct qv__named_vector *v)
{
    return v->saturates && d->datatype == QV__U8;
}

static struct qv__given given(const struct qv__named_vector *v)
{
    return (struct qv__given){.values = v->values,
                              .indices = v->indices,
                              .dim = v->dim,
                              .n_rows = v->n_rows,
                              .kind = v->kind,
                              .is_packed = v->is_packed};
}

static qv_status vector_check(const struct qv__schema *schema, const struct qv__named_vector *v,
                              size_t i, struct qv_err *err)
{
    int c = qv__schema_vector(schema, v->name);
    if (c < 0) {
        return qv__fail(err, QV_EINVAL, "Not existing vector name error: %.*s (points[%zu])",
                        name_len(v->name), v->name.p, i);
    }
    const struct qv__vector_def *d = &schema->vectors[c];
    struct qv__given g = given(v);
    struct qv_err why = {.code = QV_OK};
    if (d->kind != QV__VEC_DENSE || v->kind != QV__VEC_DENSE) {
        if (qv__vector_check(d, &g, &why) != QV_OK) {
            return qv__fail(err, QV_EINVAL, "%s (points[%zu], vector `%.*s`)", why.message, i,
                            name_len(v->name), v->name.p);
        }
        bool checks = d->kind == QV__VEC_MULTI && !qv__normalises(d->metric, d->datatype);
        uint32_t n = v->kind == QV__VEC_MULTI ? v->n_rows * v->dim : v->dim;
        return checks && !cut_to_range(d, v) ? range_check(d, v->values, n, i, err) : QV_OK;
    }
    if (v->dim != d->dim) {
        return qv__fail(err, QV_EINVAL,
                        "Vector dimension error: expected dim: %" PRIu32 ", got %" PRIu32
                        " (points[%zu], vector `%.*s`)",
                        d->dim, v->dim, i, name_len(v->name), v->name.p);
    }
    if (v->is_packed && d->datatype != QV__BIT) {
        return qv__fail(err, QV_EINVAL,
                        "points[%zu].vector `%.*s`: packed bits are for bit vectors, not "
                        "for %s",
                        i, name_len(v->name), v->name.p, qv__datatype_name(d->datatype));
    }
    if (!qv__simd_finite(v->values, v->dim)) {
        return qv__fail(err, QV_EINVAL,
                        "points[%zu].vector `%.*s`: every element and the squared length must be "
                        "finite numbers",
                        i, name_len(v->name), v->name.p);
    }
    return qv__normalises(d->metric, d->datatype) || cut_to_range(d, v)
               ? QV_OK
               : range_check(d, v->values, d->dim, i, err);
}

/* The log holds instants: what is relative to the clock is resolved here, once. */
static int64_t default_expiry(const struct qv__schema *schema, int64_t now_ms)
{
    uint64_t ttl = schema->policy.ttl_ms;
    return ttl ? now_ms + (int64_t)ttl : INT64_MAX;
}

static qv_status point_check(const struct qv__schema *schema, const struct qv__simd *simd,
                             int64_t now_ms, struct qv__arena *arena, const struct qv__point *in,
                             size_t i, struct qv__point *out, struct qv_err *err)
{
    QV_TRY(id_check(&in->id, "points", i, err));
    *out = *in;
    if (in->n_vectors > schema->n_vectors) {
        /* Distinct known names cannot be more than the schema has: find the one that is wrong. */
        for (uint32_t k = 0; k < in->n_vectors; k++) {
            QV_TRY(vector_check(schema, &in->vectors[k], i, err));
        }
        return qv__fail(err, QV_EINVAL, "points[%zu].vector: a vector is given twice", i);
    }
    struct qv__named_vector *vectors = qv__arena_calloc(arena, in->n_vectors + 1u, sizeof *vectors);
    if (!vectors) {
        return qv__fail(err, QV_ENOMEM, "no memory for a write");
    }
    for (uint32_t k = 0; k < in->n_vectors; k++) {
        const struct qv__named_vector *v = &in->vectors[k];
        QV_TRY(vector_check(schema, v, i, err));
        for (uint32_t j = 0; j < k; j++) {
            if (qv__str_eq(in->vectors[j].name, v->name)) {
                return qv__fail(err, QV_EINVAL, "points[%zu].vector: vector `%.*s` is given twice",
                                i, name_len(v->name), v->name.p);
            }
        }
        vectors[k] = *v;
        struct qv__given g = given(v);
        vectors[k].stored =
            qv__vector_store(&schema->vectors[qv__schema_vector(schema, v->name)], simd, arena, &g);
        if (!vectors[k].stored) {
            return qv__fail(err, QV_ENOMEM, "no memory for a write");
        }
    }
    out->vectors = vectors;
    if (out->expires_ms == 0) {
        out->expires_ms = default_expiry(schema, now_ms);
    }
    if (out->payload.n == 0) {
        /* The stored form of an empty payload is an empty object. */
        static const uint8_t empty[3] = {QV__TAG_OBJ, 1, 0};
        out->payload = (struct qv__bytes){empty, sizeof empty};
    }
    return QV_OK;
}

qv_status qv__stage_check(const struct qv__schema *schema, const struct qv__simd *simd,
                          int64_t now_ms, struct qv__arena *arena, const struct qv__mutation *m,
                          struct qv__mutation *out, struct qv_err *err)
{
    *out = *m;
    if (m->n_points) {
        struct qv__point *points = qv__arena_calloc(arena, m->n_points, sizeof *points);
        if (!points) {
            return qv__fail(err, QV_ENOMEM, "no memory for a write of %zu points", m->n_points);
        }
        for (size_t i = 0; i < m->n_points; i++) {
            QV_TRY(point_check(schema, simd, now_ms, arena, &m->points[i], i, &points[i], err));
        }
        out->points = points;
    }
    for (size_t i = 0; i < m->n_ids; i++) {
        QV_TRY(id_check(&m->ids[i], "ids", i, err));
    }
    for (size_t i = 0; i < m->n_ops; i++) {
        QV_TRY(qv__payload_op_check(&m->ops[i], err));
    }
    for (size_t i = 0; i < m->n_vector_names; i++) {
        if (qv__schema_vector(schema, m->vector_names[i]) < 0) {
            return qv__fail(err, QV_EINVAL, "Not existing vector name error: %.*s",
                            name_len(m->vector_names[i]), m->vector_names[i].p);
        }
    }
    return QV_OK;
}

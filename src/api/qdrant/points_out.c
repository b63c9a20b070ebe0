/* points_out.c: points in answers, written straight into the response's buffer. */
#include "api/qdrant/qdrant.h"
#include "base/varvec.h"
#include "engine/vector.h"

#include <float.h>

/* --- what is asked for
 * -------------------------------------------------------------------------------- */

static qv_status parse_with_payload(struct qv__call *c, qv__json v, bool fallback,
                                    struct qv__payload_selector *out)
{
    static const char field[] = "with_payload";
    bool yes = fallback;
    out->kind = QV__SELECT_NONE;
    if (!qv__qd_given(v) || qv__json_bool(v, &yes)) {
        out->kind = yes ? QV__SELECT_ALL : QV__SELECT_NONE;
        return QV_OK;
    }
    if (qv__json_is(v, QV__JSON_ARR)) {
        out->kind = QV__SELECT_INCLUDE;
        return qv__qd_paths(c, v, field, &out->paths, &out->n_paths);
    }
    qv__json include = qv__json_get(v, "include"), exclude = qv__json_get(v, "exclude");
    if (!qv__json_is(v, QV__JSON_OBJ) || v->len != 1 || (!include && !exclude)) {
        return qv__qd_expected(
            c, field, "a boolean, an array of strings, or an object with an include/exclude field",
            v);
    }
    out->kind = include ? QV__SELECT_INCLUDE : QV__SELECT_EXCLUDE;
    return qv__qd_paths(c, include ? include : exclude, field, &out->paths, &out->n_paths);
}

/* Different names that are kept: one more than a collection can have, so one of them does not
 * exist, which is then said. */
#define NAMES_MAX (QV__VECTORS_MAX + 1)

static bool wanted(const struct qv__fetch *f, struct qv__str name)
{
    for (size_t i = 0; f->vectors == QV__VECTORS_NAMED && i < f->n_vector_names; i++) {
        if (qv__str_eq(f->vector_names[i], name)) {
            return true;
        }
    }
    return f->vectors == QV__VECTORS_ALL;
}

static qv_status parse_with_vector(struct qv__call *c, qv__json v, struct qv__fetch *out)
{
    static const char field[] = "with_vector";
    bool yes = false;
    out->vectors = QV__VECTORS_NONE;
    if (!qv__qd_given(v) || qv__json_bool(v, &yes)) {
        out->vectors = yes ? QV__VECTORS_ALL : QV__VECTORS_NONE;
        return QV_OK;
    }
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__qd_expected(c, field, "a boolean, or an array of strings", v);
    }
    struct qv__str *names = qv__arena_calloc(c->arena, NAMES_MAX, sizeof *names), name;
    if (!names) {
        return qv__qd_no_memory(c);
    }
    out->vectors = QV__VECTORS_NAMED;
    out->vector_names = names;
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, e = qv__json_next(e)) {
        if (!qv__json_str(e, &name)) {
            return qv__qd_expected(c, field, "a boolean, or an array of strings", e);
        }
        if (out->n_vector_names < NAMES_MAX && !wanted(out, name)) {
            names[out->n_vector_names++] = name;
        }
    }
    return QV_OK;
}

qv_status qv__qd_fetch(struct qv__call *c, qv__json obj, bool payload_default,
                       struct qv__fetch *out)
{
    qv__json one = qv__json_get(obj, "with_vector"), other = qv__json_get(obj, "with_vectors");
    memset(out, 0, sizeof *out);
    if (one && other) {
        return qv__qd_fail(c, QV__QD_FORMAT, "duplicate field `%swith_vector`", c->place);
    }
    QV_TRY(
        parse_with_payload(c, qv__json_get(obj, "with_payload"), payload_default, &out->payload));
    return parse_with_vector(c, one ? one : other, out);
}

/* --- what is written
 * ------------------------------------------------------------------------------------ */

/* Bits without a decimal point: half the length. */
static void write_elements(struct qv__jw *w, const struct qv__vector_def *def, const float *v)
{
    if (def->datatype != QV__BIT) {
        qv__jw_floats(w, v, def->dim);
        return;
    }
    qv__jw_arr(w);
    for (uint32_t i = 0; i < def->dim; i++) {
        qv__jw_u64(w, v[i] != 0.0f);
    }
    qv__jw_arr_end(w);
}

static void write_vector(struct qv__jw *w, const struct qv__vector_def *d, const void *v)
{
    if (d->kind == QV__VEC_DENSE) {
        write_elements(w, d, v);
        return;
    }
    uint32_t n = qv__varvec_count(v);
    if (d->kind == QV__VEC_MULTI) {
        qv__jw_arr(w);
        for (uint32_t i = 0; i < n; i++) {
            write_elements(w, d, (const float *)v + 1 + (size_t)i * d->dim);
        }
        qv__jw_arr_end(w);
        return;
    }
    qv__jw_obj(w);
    qv__jw_key(w, "indices");
    qv__jw_arr(w);
    for (uint32_t i = 0; i < n; i++) {
        qv__jw_u64(w, qv__sparse_indices(v)[i]);
    }
    qv__jw_arr_end(w);
    qv__jw_key(w, "values");
    qv__jw_floats(w, qv__sparse_values(v), n);
    qv__jw_obj_end(w);
}

/* The default vector alone is an array; anything else a map by name, {} when the point has none. */
static void write_vectors(struct qv__call *c, const struct qv__schema *s,
                          const struct qv__result_point *p, const struct qv__fetch *f)
{
    struct qv__jw *w = &c->w;
    uint32_t n = 0, last = 0;
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        if (p->vectors && p->vectors[i] && wanted(f, s->vectors[i].name)) {
            (void)qv__steps_on(&c->steps, qv__vector_shown_bytes(&s->vectors[i], p->vectors[i]));
            n++;
            last = i;
        }
    }
    qv__jw_key(w, "vector");
    if (n == 1 && s->vectors[last].name.n == 0) {
        write_vector(w, &s->vectors[last], p->vectors[last]);
        return;
    }
    qv__jw_obj(w);
    for (uint32_t i = 0; n && i < s->n_vectors; i++) {
        if (p->vectors[i] && wanted(f, s->vectors[i].name)) {
            qv__jw_key_n(w, s->vectors[i].name);
            write_vector(w, &s->vectors[i], p->vectors[i]);
        }
    }
    qv__jw_obj_end(w);
}

static qv_status late(struct qv__call *c)
{
    return qv__fail(&c->err, c->steps.status, "answer: %s", qv_status_text(c->steps.status));
}

/* Of a point, besides its vectors and payload. */
#define POINT_UNITS 64u

/* A distance of nothing is 0, not -0. Squares and sums beyond floats are infinite, which JSON has
 * no number for: the largest float stands for them, since clients want a number. */
void qv__qd_score_write(struct qv__jw *w, float score)
{
    qv__jw_f32(w, QV_MAX(QV_MIN(score, FLT_MAX), -FLT_MAX) + 0.0f);
}

qv_status qv__qd_point_write(struct qv__call *c, const struct qv__result_set *rs, size_t i,
                             const struct qv__fetch *f, enum qv__qd_shape shape)
{
    const struct qv__result_point *p = &rs->points[i];
    struct qv__jw *w = &c->w;
    if (!qv__steps_on(&c->steps, POINT_UNITS + p->payload.n)) {
        return late(c);
    }
    qv__jw_obj(w);
    qv__jw_key(w, "id");
    qv__qd_id_write(w, &p->id);
    if (shape == QV__QD_SCORED) {
        qv__jw_key(w, "version");
        qv__jw_u64(w, p->version);
        qv__jw_key(w, "score");
        qv__qd_score_write(w, p->score);
    }
    if (f->payload.kind != QV__SELECT_NONE) {
        qv__jw_key(w, "payload");
        if (p->payload.n) {
            qv__payload_select_json(w, p->payload, &f->payload, &c->steps);
        } else {
            qv__jw_obj(w);
            qv__jw_obj_end(w);
        }
    }
    if (f->vectors != QV__VECTORS_NONE) {
        write_vectors(c, rs->schema, p, f);
    }
    if (p->order.kind != QV__ORDER_NONE) {
        qv__jw_key(w, "order_value");
        if (p->order.kind == QV__ORDER_INT) {
            qv__jw_i64(w, p->order.i);
        } else {
            qv__jw_f64(w, p->order.f);
        }
    }
    if (p->expires_ms != INT64_MAX) {
        char text[QV__DATETIME_TEXT_MAX];
        qv__jw_key(w, "expires_at"); /* ours: only where there is one */
        qv__jw_str(w, qv__datetime_text(p->expires_ms, text));
    }
    qv__jw_obj_end(w);
    return c->steps.status == QV_OK ? QV_OK : late(c);
}

qv_status qv__qd_points_write(struct qv__call *c, const struct qv__result_set *rs,
                              const struct qv__fetch *f, enum qv__qd_shape shape)
{
    qv_status st = QV_OK;
    qv__jw_arr(&c->w);
    for (size_t i = 0; st == QV_OK && i < rs->n; i++) {
        st = qv__qd_point_write(c, rs, i, f, shape);
    }
    qv__jw_arr_end(&c->w);
    return st;
}

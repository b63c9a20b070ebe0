/* quiver_value.c: public values to internal ones, with every check that needs no schema.
 *
 * Payloads are JSON text: each is parsed in a scratch arena that is emptied after it, and its row
 * is appended to one buffer, copied into the call's arena at the end; so a large upsert holds rows,
 * not documents. */
#include "api/handle.h"
#include "api/text.h"

#include <stdio.h>

qv_status qv__handle_id(const struct qv_id *in, const char *where, size_t i, struct qv__id *out,
                        struct qv_err *err)
{
    memset(out, 0, sizeof *out);
    switch (in->kind) {
    case QV_ID_U64:
        *out = qv__id_u64(in->as.u64);
        return QV_OK;
    case QV_ID_I64:
        out->kind = QV__ID_I64;
        out->i = in->as.i64;
        return QV_OK;
    case QV_ID_UUID:
        out->kind = QV__ID_UUID;
        memcpy(out->uuid, in->as.uuid, sizeof out->uuid);
        return QV_OK;
    case QV_ID_STRING:
        if (!in->as.string.text) {
            return qv__fail(err, QV_EINVAL, "%s[%zu].id.as.string.text: must not be NULL", where,
                            i);
        }
        if (in->as.string.length < 1 || in->as.string.length > QV__ID_STR_MAX) {
            return qv__fail(err, QV_EINVAL, "%s[%zu].id.as.string.length: %zu is not from 1 to %u",
                            where, i, in->as.string.length, QV__ID_STR_MAX);
        }
        if (!qv__text_is_utf8((struct qv__str){in->as.string.text, in->as.string.length})) {
            return qv__fail(err, QV_EINVAL, "%s[%zu].id.as.string.text: not UTF-8", where, i);
        }
        out->kind = QV__ID_STR;
        out->len = (uint8_t)in->as.string.length;
        out->s = in->as.string.text;
        return QV_OK;
    default:
        return qv__fail(err, QV_EINVAL, "%s[%zu].id.kind: %d is none", where, i, (int)in->kind);
    }
}

void qv__handle_id_out(const struct qv__id *in, struct qv_id *out)
{
    memset(out, 0, sizeof *out);
    switch ((enum qv__id_kind)in->kind) {
    case QV__ID_U64:
        out->kind = QV_ID_U64;
        out->as.u64 = in->u;
        break;
    case QV__ID_I64:
        out->kind = QV_ID_I64;
        out->as.i64 = in->i;
        break;
    case QV__ID_UUID:
        out->kind = QV_ID_UUID;
        memcpy(out->as.uuid, in->uuid, sizeof out->as.uuid);
        break;
    case QV__ID_STR:
    default:
        out->kind = QV_ID_STRING;
        out->as.string.text = in->s;
        out->as.string.length = in->len;
        break;
    }
}

qv_status qv__handle_ids(struct qv__arena *a, const struct qv_id *in, size_t n, struct qv__id **out,
                         struct qv_err *err)
{
    struct qv__id *ids = n < SIZE_MAX ? qv__arena_calloc(a, n + 1, sizeof *ids) : NULL;
    if (!ids) {
        return qv__fail(err, QV_ENOMEM, "no memory for %zu ids", n);
    }
    for (size_t i = 0; i < n; i++) {
        QV_TRY(qv__handle_id(&in[i], "ids", i, &ids[i], err));
    }
    *out = ids;
    return QV_OK;
}

qv_status qv__handle_filter(struct qv__arena *a, const char *json, const struct qv__filter **out,
                            struct qv_err *err)
{
    qv__json v = NULL;
    *out = NULL;
    if (!json) {
        return QV_OK;
    }
    qv_status st = qv__json_parse(a, json, strlen(json), NULL, &v, err);
    if (st != QV_OK) {
        return qv__wrap(err, st, "filter_json");
    }
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__fail(err, QV_EINVAL, "filter_json: must be an object");
    }
    return qv__filter_parse(a, v, out, err);
}

/* --- points
 * -------------------------------------------------------------------------------------------- */

_Static_assert((int)QV_FLOAT32 == QV__F32 && (int)QV_FLOAT16 == QV__F16 &&
                   (int)QV_UINT8 == QV__U8 && (int)QV_INT8 == QV__I8 && (int)QV_BIT == QV__BIT,
               "datatypes are numbered alike");

qv_status qv__handle_elements(struct qv__arena *a, const char *what, const float *values,
                              enum qv_datatype datatype, const void *elements, uint32_t size,
                              const float **out, bool *is_packed, struct qv_err *err)
{
    *is_packed = false;
    *out = values;
    if (values && elements) {
        return qv__fail(err, QV_EINVAL, "%selements: numbers are given beside them", what);
    }
    if (values) {
        return QV_OK;
    }
    if ((unsigned)datatype > QV_BIT) {
        return qv__fail(err, QV_EINVAL, "%sdatatype: %d is none", what, (int)datatype);
    }
    if (size > QV__DIM_MAX) {
        return qv__fail(err, QV_EINVAL, "%ssize: %" PRIu32 " is not from 1 to %u", what, size,
                        QV__DIM_MAX);
    }
    uint32_t left = size % 8;
    if (datatype == QV_BIT && left && ((const uint8_t *)elements)[size / 8] & (255u >> left)) {
        return qv__fail(err, QV_EINVAL,
                        "%selements: bits behind the last one, %" PRIu32 ", must be zero", what,
                        size - 1);
    }
    float *numbers = qv__arena_alloc(a, ((size_t)size + 1) * sizeof *numbers);
    if (!numbers) {
        return qv__fail(err, QV_ENOMEM, "no memory for a vector");
    }
    qv__elements_to_floats((uint8_t)datatype, elements, size, numbers);
    *out = numbers;
    *is_packed = datatype == QV_BIT;
    return QV_OK;
}

static qv_status to_vectors(struct qv__arena *a, const struct qv_point *in, size_t i,
                            struct qv__point *out, struct qv_err *err)
{
    if (in->n_vectors && !in->vectors) {
        return qv__fail(err, QV_EINVAL, "points[%zu].vectors: must not be NULL", i);
    }
    if (in->n_vectors > QV__VECTORS_MAX) {
        return qv__fail(err, QV_EINVAL, "points[%zu].n_vectors: %zu is not from 0 to %u", i,
                        in->n_vectors, QV__VECTORS_MAX);
    }
    struct qv__named_vector *list = qv__arena_calloc(a, in->n_vectors + 1, sizeof *list);
    if (!list) {
        return qv__fail(err, QV_ENOMEM, "no memory for points");
    }
    for (size_t k = 0; k < in->n_vectors; k++) {
        const struct qv_vector *v = &in->vectors[k];
        char what[64];
        if (!v->values && !v->elements) {
            return qv__fail(err, QV_EINVAL, "points[%zu].vectors[%zu].values: must not be NULL", i,
                            k);
        }
        (void)snprintf(what, sizeof what, "points[%zu].vectors[%zu].", i, k);
        QV_TRY(qv__handle_elements(a, what, v->values, v->datatype, v->elements, v->size,
                                   &list[k].values, &list[k].is_packed, err));
        list[k].name = v->name ? qv__str_z(v->name) : QV__STR("");
        list[k].dim = v->size;
    }
    out->vectors = list;
    out->n_vectors = (uint32_t)in->n_vectors;
    return QV_OK;
}

/* Append the row of one payload. */
static qv_status to_row(struct qv__arena *scratch, const char *json, size_t i, struct qv__buf *rows,
                        struct qv_err *err)
{
    qv__json v = NULL;
    struct qv_err why = {.code = QV_OK};
    qv_status st = qv__json_parse(scratch, json, strlen(json), NULL, &v, &why);
    if (st == QV_OK && !qv__json_is(v, QV__JSON_OBJ)) {
        st = qv__fail(&why, QV_EINVAL, "must be a JSON object");
    }
    if (st == QV_OK) {
        st = qv__payload_from_json(rows, v, &why);
    }
    if (st == QV_OK) {
        st = qv__buf_status(rows, &why);
    }
    qv__arena_reset(scratch);
    return st == QV_OK ? QV_OK : qv__fail(err, st, "points[%zu].payload: %s", i, why.message);
}

static qv_status to_rows(struct qv__arena *a, const struct qv_point *in, size_t n,
                         struct qv__point *out, struct qv__arena *scratch, struct qv__buf *rows,
                         struct qv_err *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t begin = rows->n;
        if (in[i].payload) {
            QV_TRY(to_row(scratch, in[i].payload, i, rows, err));
        }
        out[i].payload.n = rows->n - begin;
    }
    uint8_t *all = qv__arena_alloc(a, rows->n);
    if (!all) {
        return qv__fail(err, QV_ENOMEM, "no memory for payloads");
    }
    if (rows->n) {
        memcpy(all, rows->p, rows->n);
    }
    for (size_t i = 0; i < n; i++) {
        out[i].payload.p = out[i].payload.n ? all : NULL;
        all += out[i].payload.n;
    }
    return QV_OK;
}

qv_status qv__handle_points(struct qv__arena *a, const struct qv_point *in, size_t n,
                            struct qv__point **out, struct qv_err *err)
{
    struct qv__point *points = n < SIZE_MAX ? qv__arena_calloc(a, n + 1, sizeof *points) : NULL;
    if (!points) {
        return qv__fail(err, QV_ENOMEM, "no memory for %zu points", n);
    }
    for (size_t i = 0; i < n; i++) {
        QV_TRY(qv__handle_id(&in[i].id, "points", i, &points[i].id, err));
        QV_TRY(to_vectors(a, &in[i], i, &points[i], err));
        if (in[i].expires_at_ms < 0) {
            return qv__fail(err, QV_EINVAL, "points[%zu].expires_at_ms: %" PRId64 " is negative", i,
                            in[i].expires_at_ms);
        }
        points[i].expires_ms = in[i].expires_at_ms;
        points[i].expected =
            (struct qv__expected){.given = in[i].has_if_version, .version = in[i].if_version};
    }
    struct qv__arena scratch;
    struct qv__buf rows;
    qv__arena_init(&scratch, a->mem);
    qv__buf_init(&rows, a->mem);
    qv_status st = to_rows(a, in, n, points, &scratch, &rows, err);
    qv__buf_free(&rows);
    qv__arena_free(&scratch);
    *out = points;
    return st;
}

/* --- payload steps --- */

static qv_status to_op(struct qv__arena *a, const struct qv_payload_op *in, size_t i,
                       struct qv__payload_op *out, struct qv_err *err)
{
    qv__json v = NULL;
    struct qv__buf b;
    if ((unsigned)in->kind < QV_APPEND || (unsigned)in->kind > QV_INCREMENT) {
        return qv__fail(err, QV_EINVAL, "ops[%zu].kind: %d is none", i, (int)in->kind);
    }
    if (!in->path || !in->value) {
        return qv__fail(err, QV_EINVAL, "ops[%zu].%s: must not be NULL", i,
                        in->path ? "value" : "path");
    }
    out->kind = in->kind == QV_APPEND   ? QV__OP_APPEND
                : in->kind == QV_REMOVE ? QV__OP_REMOVE
                                        : QV__OP_INCREMENT;
    out->text = qv__str_z(in->path);
    if (!qv__text_is_utf8(out->text)) { /* its keys become keys of JSON */
        return qv__fail(err, QV_EINVAL, "ops[%zu].path: not UTF-8", i);
    }
    qv_status st = qv__path_parse(out->text, &out->path, err);
    if (st != QV_OK) {
        return qv__wrap(err, st, "ops[%zu].path", i);
    }
    st = qv__json_parse(a, in->value, strlen(in->value), NULL, &v, err);
    if (st != QV_OK) {
        return qv__wrap(err, st, "ops[%zu].value", i);
    }
    qv__buf_init(&b, a->mem);
    st = qv__value_from_json(&b, v, err);
    st = st == QV_OK ? qv__buf_status(&b, err) : st;
    uint8_t *copy = st == QV_OK ? qv__arena_alloc(a, b.n) : NULL;
    if (copy) {
        memcpy(copy, b.p, b.n);
        out->value = (struct qv__bytes){copy, b.n};
    } else if (st == QV_OK) {
        st = qv__fail(err, QV_ENOMEM, "no memory for payload steps");
    }
    qv__buf_free(&b);
    return st;
}

qv_status qv__handle_ops(struct qv__arena *a, const struct qv_payload_op *in, size_t n,
                         struct qv__payload_op **out, struct qv_err *err)
{
    struct qv__payload_op *ops = n < SIZE_MAX ? qv__arena_calloc(a, n + 1, sizeof *ops) : NULL;
    if (!ops) {
        return qv__fail(err, QV_ENOMEM, "no memory for %zu payload steps", n);
    }
    for (size_t i = 0; i < n; i++) {
        QV_TRY(to_op(a, &in[i], i, &ops[i], err));
    }
    *out = ops;
    return QV_OK;
}

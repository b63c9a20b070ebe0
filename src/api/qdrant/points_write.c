/* points_write.c: upserts, deletions and vectors of points to mutations; starting and answering
 * writes.
 *
 * A handler only collects mutations in the call. They are handed to the engine as one request, so
 * that a batch of operations is applied whole or not at all. The engine calls back when the record
 * is durable and visible; nothing of the call may be touched after it was handed over. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

/* At most, of one update result and its comma; and of the envelope. */
#define RESULT_BYTES ((size_t)96)

/* --- starting
 * ------------------------------------------------------------------------------------------ */

struct qv__mutation *qv__qd_mutation(struct qv__call *c, enum qv__mutation_kind kind)
{
    if (c->n_mutations == c->cap_mutations) {
        size_t cap = c->cap_mutations ? c->cap_mutations * 2 : 4;
        struct qv__mutation *grown = qv__arena_calloc(c->arena, cap, sizeof *grown);
        if (!grown) {
            (void)qv__qd_no_memory(c);
            return NULL;
        }
        if (c->n_mutations) {
            memcpy(grown, c->mutations, c->n_mutations * sizeof *grown);
        }
        c->mutations = grown;
        c->cap_mutations = cap;
    }
    struct qv__mutation *m = &c->mutations[c->n_mutations++];
    m->kind = kind;
    return m;
}

void qv__qd_update_result(struct qv__jw *w, uint64_t operation_id, bool wait)
{
    qv__jw_obj(w);
    qv__jw_key(w, "operation_id");
    qv__jw_u64(w, operation_id);
    qv__jw_key(w, "status");
    qv__jw_str(w, wait ? "completed" : "acknowledged");
    qv__jw_obj_end(w);
}

static void write_done(struct qv__write *write)
{
    struct qv__call *c = write->arg;
    const struct qv__write_result *result = &write->result;
    if (result->status != QV_OK) {
        c->err = result->err;
        qv__qd_respond(c, result->status);
        return;
    }
    qv__qd_ok_begin(c);
    if (c->is_batch) {
        qv__jw_arr(&c->w);
    }
    for (size_t i = 0; i < c->n_operations; i++) {
        qv__qd_update_result(&c->w, result->operation_id, c->query.wait);
    }
    if (c->is_batch) {
        qv__jw_arr_end(&c->w);
    }
    qv__qd_respond(c, QV_OK);
}

void qv__qd_write_start(struct qv__call *c)
{
    qv_status st = qv__qctx_check(&c->ctx);
    if (st == QV_OK) {
        st = qv__qd_strict_mutations(c);
    }
    if (st != QV_OK) {
        qv__qd_respond(c, st);
        return;
    }
    if (c->n_mutations == 0) { /* an empty batch */
        qv__qd_ok_begin(c);
        qv__jw_arr(&c->w);
        qv__jw_arr_end(&c->w);
        qv__qd_respond(c, QV_OK);
        return;
    }
    /* The answer's memory comes first: a write that was applied must not be answered as failed. */
    struct qv__buf *body = &c->request->response.body;
    if (c->n_operations > SIZE_MAX / RESULT_BYTES - 1 ||
        !qv__buf_reserve(body, RESULT_BYTES * (c->n_operations + 1))) {
        st = qv__buf_status(body, &c->err);
        qv__qd_respond(c, st == QV_OK ? QV_ENOMEM : st);
        return;
    }
    c->write.done = write_done;
    c->write.arg = c;
    c->write.deadline_ns = c->ctx.deadline_ns;
    c->write.cancel = c->ctx.cancel;
    c->write.durability = c->query.durability;
    qv__collection_write(c->collection, c->mutations, c->n_mutations, &c->write);
}

/* --- selections
 * ------------------------------------------------------------------------------------------- */

static qv_status empty_request(struct qv__call *c)
{
    return qv__qd_fail(c, QV__QD_BAD_REQUEST, "Empty update request");
}

qv_status qv__qd_select_ids(struct qv__call *c, qv__json v, struct qv__mutation *m)
{
    struct qv__id *ids = NULL;
    QV_TRY(qv__qd_ids(c, v, "points", &ids, &m->n_ids));
    if (m->n_ids == 0) {
        return empty_request(c);
    }
    m->ids = ids;
    if (c->request->principal.forced_filter) {
        m->by_filter = true;
        return qv__qd_ids_filter(c, ids, m->n_ids, &m->filter);
    }
    return QV_OK;
}

qv_status qv__qd_select(struct qv__call *c, qv__json v, struct qv__mutation *m)
{
    qv__json points = qv__json_get(v, "points"), filter = qv__json_get(v, "filter");
    QV_TRY(qv__qd_no_shard_key(c, v));
    QV_TRY(qv__qd_if_version(c, v, &m->expected));
    if (qv__qd_given(points)) {
        return qv__qd_select_ids(c, points, m);
    }
    if (!qv__qd_given(filter)) {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%sEither list of point ids or filter must be provided", c->place);
    }
    m->by_filter = true;
    return qv__qd_filter(c, filter, &m->filter);
}

qv_status qv__qd_payload(struct qv__call *c, qv__json v, const char *field, struct qv__bytes *out)
{
    *out = (struct qv__bytes){NULL, 0};
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, field, "an object", v);
    }
    qv__buf_reset(&c->scratch);
    qv_status st = qv__payload_from_json(&c->scratch, v, &c->err);
    if (st == QV_OK) {
        st = qv__buf_status(&c->scratch, &c->err);
    }
    if (st != QV_OK) {
        return qv__wrap(&c->err, st, "%s%s", c->place, field);
    }
    uint8_t *row = qv__arena_alloc(c->arena, c->scratch.n);
    if (!row) {
        return qv__qd_no_memory(c);
    }
    memcpy(row, c->scratch.p, c->scratch.n);
    *out = (struct qv__bytes){row, c->scratch.n};
    return QV_OK;
}

/* --- upsert: a list of points, or columns
 * -------------------------------------------------------------------- */

struct outer {
    char place[sizeof((struct qv__call *)0)->place];
};

static struct outer place_push(struct qv__call *c, const char *list, uint32_t i)
{
    struct outer o;
    memcpy(o.place, c->place, sizeof o.place);
    size_t n = strlen(c->place);
    (void)snprintf(c->place + n, sizeof c->place - n, "%s[%u].", list, i);
    return o;
}

static void place_pop(struct qv__call *c, const struct outer *o)
{
    memcpy(c->place, o->place, sizeof c->place);
}

static qv_status point_of(struct qv__call *c, qv__json v, struct qv__point *out)
{
    qv__json vectors = NULL;
    struct qv__named_vector *list = NULL;
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "", "a point (an object)", v);
    }
    QV_TRY(qv__qd_id(c, qv__json_get(v, "id"), "id", &out->id));
    QV_TRY(qv__qd_vector_member(c, v, &vectors));
    QV_TRY(qv__qd_vectors(c, vectors, "vector", &list, &out->n_vectors));
    out->vectors = list;
    QV_TRY(qv__qd_expiry(c, v, &out->expires_ms));
    QV_TRY(qv__qd_if_version(c, v, &out->expected));
    return qv__qd_payload(c, qv__json_get(v, "payload"), "payload", &out->payload);
}

static qv_status upsert_list(struct qv__call *c, qv__json list, struct qv__mutation *m)
{
    if (!qv__json_is(list, QV__JSON_ARR)) {
        return qv__qd_expected(c, "points", "an array of points", list);
    }
    struct qv__point *points = qv__arena_calloc(c->arena, (size_t)list->len + 1, sizeof *points);
    if (!points) {
        return qv__qd_no_memory(c);
    }
    qv__json v = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++, v = qv__json_next(v)) {
        struct outer o = place_push(c, "points", i);
        QV_TRY(point_of(c, v, &points[i]));
        place_pop(c, &o);
    }
    m->points = points;
    m->n_points = list->len;
    return QV_OK;
}

static qv_status same_length(struct qv__call *c, const char *what, size_t n_ids, uint32_t n)
{
    if (n_ids != n) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%sbatch.batch: number of ids and %s must be equal (%zu != %u)",
                           c->place, what, n_ids, n);
    }
    return QV_OK;
}

/* One column of vectors into vector `at` of every point. Its length was checked. */
static qv_status column(struct qv__call *c, struct qv__str name, qv__json list,
                        struct qv__named_vector *vectors, uint32_t per_point, uint32_t at)
{
    qv__json v = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++, v = qv__json_next(v)) {
        struct qv__named_vector *out = &vectors[(size_t)i * per_point + at];
        QV_TRY(qv__qd_named(c, name, v, "batch.vectors", out));
    }
    return QV_OK;
}

static qv_status column_check(struct qv__call *c, qv__json list, size_t n)
{
    if (!qv__json_is(list, QV__JSON_ARR)) {
        return qv__qd_expected(c, "batch.vectors", "an array of vectors", list);
    }
    return same_length(c, "vectors", n, list->len);
}

/* All columns, before memory is taken for each of them per point. */
static qv_status columns_check(struct qv__call *c, qv__json v, size_t n)
{
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return column_check(c, v, n);
    }
    if (v->len > QV__VECTORS_MAX) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%sbatch.vectors: %u named vectors invalid, must be at most %u",
                           c->place, v->len, QV__VECTORS_MAX);
    }
    qv__json key = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, key = qv__json_next(key + 1)) {
        QV_TRY(column_check(c, key + 1, n));
    }
    return QV_OK;
}

static qv_status columns(struct qv__call *c, qv__json v, struct qv__point *points, size_t n)
{
    bool is_map = qv__json_is(v, QV__JSON_OBJ);
    QV_TRY(columns_check(c, v, n));
    uint32_t per_point = is_map ? v->len : 1, used = 0;
    if (per_point == 0) {
        return QV_OK; /* points without vectors */
    }
    size_t total = 0;
    struct qv__named_vector *vectors = qv__mul_ok(n + 1, per_point, &total)
                                           ? qv__arena_calloc(c->arena, total, sizeof *vectors)
                                           : NULL;
    if (!vectors) {
        return qv__qd_no_memory(c);
    }
    if (!is_map) {
        QV_TRY(column(c, QV__STR(""), v, vectors, 1, 0));
        used = 1;
    }
    qv__json key = is_map ? qv__json_first(v) : NULL;
    for (uint32_t i = 0; key && i < v->len; i++, key = qv__json_next(key + 1)) {
        if (qv__json_get_n(v, key->s, key->len) != key + 1) {
            continue; /* of equal names the last counts */
        }
        QV_TRY(column(c, (struct qv__str){key->s, key->len}, key + 1, vectors, per_point, used));
        used++;
    }
    for (size_t i = 0; i < n; i++) {
        points[i].vectors = &vectors[i * per_point];
        points[i].n_vectors = used;
    }
    return QV_OK;
}

/* Columns have no place for an expiry of each point: the body's own is that of all. */
static qv_status upsert_batch(struct qv__call *c, qv__json body, qv__json batch,
                              struct qv__mutation *m)
{
    int64_t expires_ms = 0;
    struct qv__id *ids = NULL;
    size_t n = 0;
    if (!qv__json_is(batch, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "batch", "an object", batch);
    }
    QV_TRY(qv__qd_ids(c, qv__json_get(batch, "ids"), "batch.ids", &ids, &n));
    struct qv__point *points = qv__arena_calloc(c->arena, n + 1, sizeof *points);
    if (!points) {
        return qv__qd_no_memory(c);
    }
    QV_TRY(qv__qd_expiry(c, body, &expires_ms));
    for (size_t i = 0; i < n; i++) {
        points[i].id = ids[i];
        points[i].expires_ms = expires_ms;
    }
    QV_TRY(columns(c, qv__json_get(batch, "vectors"), points, n));
    qv__json payloads = qv__json_get(batch, "payloads");
    if (qv__qd_given(payloads)) {
        if (!qv__json_is(payloads, QV__JSON_ARR)) {
            return qv__qd_expected(c, "batch.payloads", "an array of objects", payloads);
        }
        QV_TRY(same_length(c, "payloads", n, payloads->len));
        qv__json v = qv__json_first(payloads);
        for (uint32_t i = 0; i < payloads->len; i++, v = qv__json_next(v)) {
            QV_TRY(qv__qd_payload(c, v, "batch.payloads", &points[i].payload));
        }
    }
    m->points = points;
    m->n_points = n;
    return QV_OK;
}

static qv_status parse_mode(struct qv__call *c, qv__json v, struct qv__mutation *m)
{
    struct qv__str mode;
    bool given;
    QV_TRY(qv__qd_str(c, v, "update_mode", &given, &mode));
    if (!given || qv__str_eq(mode, QV__STR("upsert"))) {
        m->mode = QV__UPDATE_UPSERT;
    } else if (qv__str_eq(mode, QV__STR("insert_only"))) {
        m->mode = QV__UPDATE_INSERT_ONLY;
    } else if (qv__str_eq(mode, QV__STR("update_only"))) {
        m->mode = QV__UPDATE_UPDATE_ONLY;
    } else {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%supdate_mode: unknown variant `%.*s`, expected one of `upsert`, "
                           "`insert_only`, `update_only`",
                           c->place, (int)QV_MIN(mode.n, (size_t)64), mode.p);
    }
    return QV_OK;
}

qv_status qv__qd_upsert(struct qv__call *c, qv__json v)
{
    struct qv__mutation *m = qv__qd_mutation(c, QV__MUT_UPSERT);
    qv__json batch = qv__json_get(v, "batch"), points = qv__json_get(v, "points");
    if (!m) {
        return QV_ENOMEM;
    }
    if (!batch && !points) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%sInvalid PointInsertOperations format", c->place);
    }
    QV_TRY(qv__qd_no_shard_key(c, v));
    QV_TRY(parse_mode(c, v, m));
    QV_TRY(qv__qd_if_version(c, v, &m->expected));
    QV_TRY(qv__qd_filter(c, qv__json_get(v, "update_filter"), &m->condition));
    QV_TRY(batch ? upsert_batch(c, v, batch, m) : upsert_list(c, points, m));
    return m->n_points ? QV_OK : empty_request(c);
}

/* --- the other operations on points and vectors
 * ------------------------------------------------------------------ */

qv_status qv__qd_delete(struct qv__call *c, qv__json v)
{
    struct qv__mutation *m = qv__qd_mutation(c, QV__MUT_DELETE);
    return m ? qv__qd_select(c, v, m) : QV_ENOMEM;
}

static qv_status vectors_of(struct qv__call *c, qv__json v, struct qv__point *out)
{
    qv__json vectors = NULL;
    struct qv__named_vector *list = NULL;
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "", "a point (an object)", v);
    }
    QV_TRY(qv__qd_id(c, qv__json_get(v, "id"), "id", &out->id));
    QV_TRY(qv__qd_vector_member(c, v, &vectors));
    if (vectors && vectors->len == 0 &&
        (qv__json_is(vectors, QV__JSON_OBJ) || qv__json_is(vectors, QV__JSON_ARR))) {
        return qv__qd_fail(c, QV__QD_INVALID, "%svector: must specify vectors to update for point",
                           c->place);
    }
    QV_TRY(qv__qd_vectors(c, vectors, "vector", &list, &out->n_vectors));
    QV_TRY(qv__qd_if_version(c, v, &out->expected));
    out->vectors = list;
    return QV_OK;
}

qv_status qv__qd_update_vectors(struct qv__call *c, qv__json v)
{
    struct qv__mutation *m = qv__qd_mutation(c, QV__MUT_UPDATE_VECTORS);
    qv__json list = qv__json_get(v, "points");
    if (!m) {
        return QV_ENOMEM;
    }
    QV_TRY(qv__qd_no_shard_key(c, v));
    QV_TRY(qv__qd_if_version(c, v, &m->expected));
    QV_TRY(qv__qd_filter(c, qv__json_get(v, "update_filter"), &m->condition));
    if (!qv__json_is(list, QV__JSON_ARR)) {
        return qv__qd_expected(c, "points", "an array of points", list);
    }
    if (list->len == 0) {
        return qv__qd_fail(c, QV__QD_INVALID, "%spoints: must specify points to update", c->place);
    }
    struct qv__point *points = qv__arena_calloc(c->arena, list->len, sizeof *points);
    if (!points) {
        return qv__qd_no_memory(c);
    }
    qv__json e = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++, e = qv__json_next(e)) {
        struct outer o = place_push(c, "points", i);
        QV_TRY(vectors_of(c, e, &points[i]));
        place_pop(c, &o);
    }
    m->points = points;
    m->n_points = list->len;
    return QV_OK;
}

static qv_status vector_names(struct qv__call *c, qv__json v, struct qv__str **out, size_t *n)
{
    qv__json list = NULL;
    QV_TRY(qv__qd_vector_member(c, v, &list));
    if (!qv__json_is(list, QV__JSON_ARR)) {
        return qv__qd_expected(c, "vector", "an array of vector names", list);
    }
    if (list->len == 0) {
        return qv__qd_fail(c, QV__QD_INVALID, "%svector: must specify vector names to delete",
                           c->place);
    }
    struct qv__str *names = qv__arena_calloc(c->arena, list->len, sizeof *names);
    if (!names) {
        return qv__qd_no_memory(c);
    }
    qv__json e = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++, e = qv__json_next(e)) {
        if (!qv__json_str(e, &names[i])) {
            return qv__qd_expected(c, "vector", "an array of vector names", e);
        }
    }
    *out = names;
    *n = list->len;
    return QV_OK;
}

/* Unlike elsewhere points and a filter both count when both are given. */
qv_status qv__qd_delete_vectors(struct qv__call *c, qv__json v)
{
    qv__json points = qv__json_get(v, "points"), filter = qv__json_get(v, "filter");
    struct qv__str *names = NULL;
    size_t n = 0;
    QV_TRY(qv__qd_no_shard_key(c, v));
    QV_TRY(vector_names(c, v, &names, &n));
    if (!qv__qd_given(points) && !qv__qd_given(filter)) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST, "No filter or points provided");
    }
    for (int by_filter = 1; by_filter >= 0; by_filter--) {
        if (!qv__qd_given(by_filter ? filter : points)) {
            continue;
        }
        struct qv__mutation *m = qv__qd_mutation(c, QV__MUT_DELETE_VECTORS);
        if (!m) {
            return QV_ENOMEM;
        }
        m->vector_names = names;
        m->n_vector_names = n;
        QV_TRY(qv__qd_if_version(c, v, &m->expected));
        if (by_filter) {
            m->by_filter = true;
            QV_TRY(qv__qd_filter(c, filter, &m->filter));
        } else {
            QV_TRY(qv__qd_select_ids(c, points, m));
        }
    }
    return QV_OK;
}

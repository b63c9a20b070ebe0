/* import_shape.c: the vectors of a collection, held against the vectors of a file. */
#include "cli/import.h"

#include <stdio.h>

static qv_status add(struct qv__import_shape *shape, struct qv__str name, uint32_t dim,
                     struct qv__str metric, struct qv__str datatype, struct qv_err *err)
{
    if (shape->n == QV__VECTORS_MAX || name.n > QV__VECTOR_NAME_MAX) {
        return qv__fail(err, QV_EINVAL, "more than %u vectors, or a name longer than %u bytes",
                        QV__VECTORS_MAX, QV__VECTOR_NAME_MAX);
    }
    memcpy(shape->vectors[shape->n].name, name.n ? name.p : "", name.n);
    shape->vectors[shape->n].name[name.n] = '\0';
    shape->vectors[shape->n].dim = dim;
    snprintf(shape->vectors[shape->n].metric, sizeof shape->vectors[0].metric, "%.*s",
             (int)QV_MIN(metric.n, 31u), metric.n ? metric.p : "");
    snprintf(shape->vectors[shape->n].datatype, sizeof shape->vectors[0].datatype, "%.*s",
             (int)QV_MIN(datatype.n, 15u), datatype.n ? datatype.p : "");
    shape->n++;
    return QV_OK;
}

static int find(const struct qv__import_shape *shape, struct qv__str name)
{
    for (uint32_t i = 0; i < shape->n; i++) {
        if (qv__str_eq(qv__str_z(shape->vectors[i].name), name)) {
            return (int)i;
        }
    }
    return -1;
}

/* {"size": 384, "distance": "Cosine"}; false when it is something else. */
static bool vector_params(qv__json v, uint32_t *dim, struct qv__str *metric,
                          struct qv__str *datatype)
{
    uint64_t size = 0;
    *datatype = QV__STR("float32");
    (void)qv__json_str(qv__json_get(v, "datatype"), datatype);
    if (!qv__json_u64(qv__json_get(v, "size"), &size) || size == 0 || size > QV__DIM_MAX ||
        !qv__json_str(qv__json_get(v, "distance"), metric)) {
        return false;
    }
    *dim = (uint32_t)size;
    return true;
}

static qv_status read_params(struct qv__import_shape *shape, qv__json vectors, struct qv_err *err)
{
    uint32_t dim = 0;
    struct qv__str metric = {"", 0}, datatype;
    if (!qv__json_is(vectors, QV__JSON_OBJ)) {
        return QV_OK; /* a collection without vectors */
    }
    if (vector_params(vectors, &dim, &metric, &datatype)) {
        return add(shape, QV__STR(""), dim, metric, datatype, err);
    }
    qv__json key = qv__json_first(vectors);
    for (uint32_t i = 0; i < vectors->len; i++) {
        qv__json v = qv__json_next(key);
        if (!vector_params(v, &dim, &metric, &datatype)) {
            return qv__fail(err, QV_EIO, "the server describes vector `%.*s` in an unknown form",
                            (int)QV_MIN(key->len, 64u), key->s);
        }
        QV_TRY(add(shape, (struct qv__str){key->s, key->len}, dim, metric, datatype, err));
        key = qv__json_next(v);
    }
    return QV_OK;
}

qv_status qv__import_shape_fetch(struct qv__import_shape *shape, struct qv__target *t,
                                 const char *collection, struct qv_err *err)
{
    struct qv__arena arena;
    qv__json info = NULL;
    *shape = (struct qv__import_shape){0};
    qv__arena_init(&arena, t->cli->mem);
    qv_status st = qv__target_call(t, QV__GET, qv__target_path(&arena, collection, ""), NULL,
                                   &arena, &info, err);
    if (st == QV_OK) {
        shape->exists = true;
        qv__json params = qv__json_get(qv__json_get(info, "config"), "params");
        st = read_params(shape, qv__json_get(params, "vectors"), err);
    } else if (st == QV_ENOTFOUND) {
        st = QV_OK;
    }
    qv__arena_free(&arena);
    return st;
}

qv_status qv__import_shape_derive(struct qv__import_shape *shape, const struct qv__import_batch *b,
                                  struct qv_err *err)
{
    for (uint32_t i = 0; i < b->n; i++) {
        for (uint32_t k = 0; k < b->points[i].n_vectors; k++) {
            const struct qv__named_vector *v = &b->points[i].vectors[k];
            if (find(shape, v->name) < 0) {
                QV_TRY(add(shape, v->name, v->dim, QV__STR(""), QV__STR(""), err));
            }
        }
    }
    if (shape->n == 0) {
        return qv__fail(err, QV_EINVAL,
                        "the collection does not exist yet, and none of the first %u documents "
                        "has a vector to take its dimension from",
                        b->n);
    }
    return QV_OK;
}

qv_status qv__import_shape_create(const struct qv__import_shape *shape, struct qv__target *t,
                                  const char *collection, const char *metric, const char *datatype,
                                  struct qv_err *err)
{
    struct qv__arena arena;
    struct qv__buf body;
    struct qv__jw w;
    qv__arena_init(&arena, t->cli->mem);
    qv__buf_init(&body, t->cli->mem);
    qv__jw_init(&w, &body);
    bool named = !(shape->n == 1 && shape->vectors[0].name[0] == '\0');
    qv__jw_obj(&w);
    qv__jw_key(&w, "vectors");
    if (named) {
        qv__jw_obj(&w);
    }
    for (uint32_t i = 0; i < shape->n; i++) {
        if (named) {
            qv__jw_key(&w, shape->vectors[i].name);
        }
        qv__jw_obj(&w);
        qv__jw_key(&w, "size");
        qv__jw_u64(&w, shape->vectors[i].dim);
        qv__jw_key(&w, "distance");
        qv__jw_str(&w, metric);
        if (strcmp(datatype, "float32") != 0) {
            qv__jw_key(&w, "datatype");
            qv__jw_str(&w, datatype);
        }
        qv__jw_obj_end(&w);
    }
    if (named) {
        qv__jw_obj_end(&w);
    }
    qv__jw_obj_end(&w);
    qv_status st = qv__target_call(t, QV__PUT, qv__target_path(&arena, collection, ""), &body,
                                   &arena, NULL, err);
    qv__buf_free(&body);
    qv__arena_free(&arena);
    return st;
}

static void list_names(const struct qv__import_shape *shape, char *out, size_t n)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < shape->n && at < n; i++) {
        at +=
            (size_t)snprintf(out + at, n - at, "%s`%.60s`", i ? ", " : "", shape->vectors[i].name);
    }
}

static qv_status check_vector(const struct qv__import_shape *shape,
                              const struct qv__named_vector *v, struct qv_err *err)
{
    char names[256];
    int i = find(shape, v->name);
    if (i < 0) {
        list_names(shape, names, sizeof names);
        return qv__fail(err, QV_EINVAL, "vector `%.*s`: the collection has %s%s",
                        (int)QV_MIN(v->name.n, (size_t)60), v->name.n ? v->name.p : "",
                        shape->n ? names : "no vectors",
                        v->name.n ? "" : "; name one with --vector");
    }
    if (v->dim != shape->vectors[i].dim) {
        return qv__fail(err, QV_EINVAL, "the vector has %u elements; the collection takes %u",
                        v->dim, shape->vectors[i].dim);
    }
    return QV_OK;
}

qv_status qv__import_shape_check(const struct qv__import_shape *shape,
                                 const struct qv__import_source *s,
                                 const struct qv__import_batch *b, uint32_t *at, struct qv_err *err)
{
    for (uint32_t i = 0; i < b->n; i++) {
        *at = i;
        for (uint32_t k = 0; k < b->points[i].n_vectors; k++) {
            qv_status st = check_vector(shape, &b->points[i].vectors[k], err);
            if (st != QV_OK) {
                char where[512];
                qv__import_source_place(s, b->places[i], where, sizeof where);
                return qv__wrap(err, st, "%.300s", where);
            }
        }
    }
    return QV_OK;
}

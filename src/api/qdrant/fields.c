/* fields.c: members of a body by name and type, with messages that name place, field and what was
 * found.
 *
 * null counts as absent, and unknown members are ignored, as the peer does nearly everywhere. */
#include "api/qdrant/qdrant.h"

const char *qv__qd_kind_name(qv__json v)
{
    static const char *const names[] = {
        [QV__JSON_NULL] = "null",      [QV__JSON_BOOL] = "a boolean", [QV__JSON_I64] = "an integer",
        [QV__JSON_U64] = "an integer", [QV__JSON_F64] = "a number",   [QV__JSON_STR] = "a string",
        [QV__JSON_ARR] = "an array",   [QV__JSON_OBJ] = "an object",
    };
    if (qv__json_is(v, QV__JSON_I64) && v->i < 0) {
        return "a negative integer";
    }
    return v ? names[v->kind] : "nothing";
}

qv_status qv__qd_expected(struct qv__call *c, const char *field, const char *what, qv__json v)
{
    if (!v) {
        return qv__qd_fail(c, QV__QD_FORMAT, "missing field `%s%s`", c->place, field);
    }
    /* Without a field it is the place itself, which ends in a dot. */
    size_t n = strlen(c->place);
    n -= n && !*field;
    return qv__qd_fail(c, QV__QD_FORMAT, "%.*s%s: expected %s, not %s", (int)n, c->place, field,
                       what, qv__qd_kind_name(v));
}

qv_status qv__qd_u64(struct qv__call *c, qv__json obj, const char *key, bool *given, uint64_t *out)
{
    qv__json v = qv__json_get(obj, key);
    *given = qv__qd_given(v);
    if (*given && !qv__json_u64(v, out)) {
        return qv__qd_expected(c, key, "an unsigned integer", v);
    }
    return QV_OK;
}

qv_status qv__qd_f64(struct qv__call *c, qv__json obj, const char *key, bool *given, double *out)
{
    qv__json v = qv__json_get(obj, key);
    *given = qv__qd_given(v);
    return *given && !qv__json_f64(v, out) ? qv__qd_expected(c, key, "a number", v) : QV_OK;
}

qv_status qv__qd_bool(struct qv__call *c, qv__json obj, const char *key, bool *given, bool *out)
{
    qv__json v = qv__json_get(obj, key);
    *given = qv__qd_given(v);
    return *given && !qv__json_bool(v, out) ? qv__qd_expected(c, key, "a boolean", v) : QV_OK;
}

qv_status qv__qd_str(struct qv__call *c, qv__json obj, const char *key, bool *given,
                     struct qv__str *out)
{
    qv__json v = qv__json_get(obj, key);
    *given = qv__qd_given(v);
    return *given && !qv__json_str(v, out) ? qv__qd_expected(c, key, "a string", v) : QV_OK;
}

qv_status qv__qd_need(struct qv__call *c, qv__json obj, const char *key, enum qv__json_kind kind,
                      qv__json *out)
{
    struct qv__json_node wanted = {.kind = (uint32_t)kind & 15u};
    qv__json v = qv__json_get(obj, key);
    if (!qv__json_is(v, kind)) {
        return qv__qd_expected(c, key, qv__qd_kind_name(&wanted), v);
    }
    *out = v;
    return QV_OK;
}

qv_status qv__qd_range(struct qv__call *c, const char *field, uint64_t value, uint64_t min,
                       uint64_t max)
{
    if (value < min && !max) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%s%s: value %" PRIu64 " invalid, must be %" PRIu64 " or larger",
                           c->place, field, value, min);
    }
    if (value < min || (max && value > max)) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%s%s: value %" PRIu64 " invalid, must be from %" PRIu64 " to %" PRIu64,
                           c->place, field, value, min, max);
    }
    return QV_OK;
}

qv_status qv__qd_page(struct qv__call *c, const char *field, uint64_t *limit)
{
    struct qv__collection_size size;
    if (*limit > QV__LIMIT_MAX && c->collection) {
        QV_TRY(qv__collection_size(c->collection, &size, &c->err));
        *limit = size.points <= QV__LIMIT_MAX ? QV__LIMIT_MAX : *limit;
    }
    return qv__qd_range(c, field, *limit, 1, *limit ? QV__LIMIT_MAX : 0);
}

qv_status qv__qd_unsupported(struct qv__call *c, const char *what)
{
    c->kind = QV__QD_BY_STATUS;
    return qv__fail(&c->err, QV_EUNSUPPORTED, "%s: not supported by this version", what);
}

qv_status qv__qd_no_shard_key(struct qv__call *c, qv__json obj)
{
    return qv__qd_given(qv__json_get(obj, "shard_key"))
               ? qv__qd_unsupported(c, "shard_key (custom sharding)")
               : QV_OK;
}

qv_status qv__qd_path(struct qv__call *c, qv__json v, const char *field, struct qv__path *out)
{
    struct qv__str text;
    struct qv_err why = {.code = QV_OK};
    if (!qv__json_str(v, &text)) {
        return qv__qd_expected(c, field, "a string", v);
    }
    if (qv__path_parse(text, out, &why) != QV_OK) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: Invalid json path: '%.*s': %s", c->place, field,
                           (int)QV_MIN(text.n, (size_t)64), text.p, why.message);
    }
    return QV_OK;
}

qv_status qv__qd_paths(struct qv__call *c, qv__json v, const char *field,
                       const struct qv__path **out, size_t *n)
{
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__qd_expected(c, field, "an array of strings", v);
    }
    /* A parsed path is a hundred times its text: bounded over the whole request. */
    if (v->len > QV__QD_PATHS_MAX - c->n_paths) {
        return qv__qd_fail(c, QV__QD_INVALID, "%s%s: more than %u payload paths in one request",
                           c->place, field, QV__QD_PATHS_MAX);
    }
    c->n_paths += v->len;
    struct qv__path *paths = qv__arena_calloc(c->arena, (size_t)v->len + 1, sizeof *paths);
    if (!paths) {
        return qv__qd_no_memory(c);
    }
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, e = qv__json_next(e)) {
        QV_TRY(qv__qd_path(c, e, field, &paths[i]));
    }
    *out = paths;
    *n = v->len;
    return QV_OK;
}

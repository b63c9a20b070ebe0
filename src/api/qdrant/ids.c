/* ids.c: point ids in bodies, paths and answers: unsigned integers and UUIDs.
 *
 * The engine holds signed and string ids as well (other interfaces make them); they are written as
 * what they are, but this dialect accepts only its own two kinds. */
#include "api/qdrant/qdrant.h"

static const char valid_kinds[] = "valid values are either an unsigned integer or a UUID";

qv_status qv__qd_id(struct qv__call *c, qv__json v, const char *field, struct qv__id *out)
{
    struct qv__str text;
    uint64_t number;
    if (qv__json_u64(v, &number)) {
        *out = qv__id_u64(number);
        return QV_OK;
    }
    if (qv__json_str(v, &text)) {
        if (qv__id_parse_uuid(text, out)) {
            return QV_OK;
        }
        return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: value \"%.*s\" is not a valid point ID, %s",
                           c->place, field, (int)QV_MIN(text.n, (size_t)64), text.p, valid_kinds);
    }
    if (qv__json_is(v, QV__JSON_I64)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: value %" PRId64 " is not a valid point ID, %s",
                           c->place, field, v->i, valid_kinds);
    }
    if (!v) {
        return qv__qd_expected(c, field, "a point ID", v);
    }
    return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: %s is not a valid point ID, %s", c->place, field,
                       qv__qd_kind_name(v), valid_kinds);
}

qv_status qv__qd_ids(struct qv__call *c, qv__json v, const char *field, struct qv__id **out,
                     size_t *n)
{
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__qd_expected(c, field, "an array of point IDs", v);
    }
    struct qv__id *ids = qv__arena_calloc(c->arena, (size_t)v->len + 1, sizeof *ids);
    if (!ids) {
        return qv__qd_no_memory(c);
    }
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, e = qv__json_next(e)) {
        QV_TRY(qv__qd_id(c, e, field, &ids[i]));
    }
    *out = ids;
    *n = v->len;
    return QV_OK;
}

qv_status qv__qd_id_text(struct qv__call *c, struct qv__str text, struct qv__id *out)
{
    struct qv__json_node number;
    uint64_t u;
    /* Digits only: the number parser would take "-0" and "1e3" as well. */
    bool is_digits = text.n > 0;
    for (size_t i = 0; i < text.n && is_digits; i++) {
        is_digits = text.p[i] >= '0' && text.p[i] <= '9';
    }
    size_t zeros = 0;
    while (is_digits && zeros + 1 < text.n && text.p[zeros] == '0') {
        zeros++;
    }
    if (is_digits && qv__json_number(text.p + zeros, text.p + text.n, &number) == text.n - zeros &&
        qv__json_u64(&number, &u)) {
        *out = qv__id_u64(u);
        return QV_OK;
    }
    if (qv__id_parse_uuid(text, out)) {
        return QV_OK;
    }
    c->kind = QV__QD_BY_STATUS;
    return qv__fail(&c->err, QV_EINVAL, "Can not recognize \"%.*s\" as point id",
                    (int)QV_MIN(text.n, (size_t)64), text.p);
}

void qv__qd_id_write(struct qv__jw *w, const struct qv__id *id)
{
    char text[37];
    switch ((enum qv__id_kind)id->kind) {
    case QV__ID_U64:
        qv__jw_u64(w, id->u);
        break;
    case QV__ID_I64:
        qv__jw_i64(w, id->i);
        break;
    case QV__ID_UUID:
        qv__id_uuid_text(id, text);
        qv__jw_str(w, text);
        break;
    case QV__ID_STR:
    default:
        qv__jw_str_n(w, (struct qv__str){id->s, id->len});
        break;
    }
}

static void sift_down(struct qv__id *ids, size_t at, size_t n)
{
    struct qv__id v = ids[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && qv__id_cmp(&ids[child], &ids[child + 1]) < 0) {
            child++;
        }
        if (qv__id_cmp(&v, &ids[child]) >= 0) {
            break;
        }
        ids[at] = ids[child];
    }
    ids[at] = v;
}

/* Heapsort: a client cannot make it slow, and it needs no memory. */
size_t qv__qd_ids_sort(struct qv__id *ids, size_t n)
{
    for (size_t i = n / 2; i-- > 0;) {
        sift_down(ids, i, n);
    }
    for (size_t end = n; end > 1; end--) {
        struct qv__id last = ids[end - 1];
        ids[end - 1] = ids[0];
        ids[0] = last;
        sift_down(ids, 0, end - 1);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || !qv__id_eq(&ids[kept - 1], &ids[i])) {
            ids[kept++] = ids[i];
        }
    }
    return kept;
}

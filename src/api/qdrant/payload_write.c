/* payload_write.c: operations on payloads to mutations. */
#include <stdio.h>

#include "api/qdrant/qdrant.h"

static qv_status put_payload(struct qv__call *c, qv__json v, enum qv__mutation_kind kind)
{
    struct qv__mutation *m = qv__qd_mutation(c, kind);
    qv__json payload = NULL, key = qv__json_get(v, "key");
    if (!m) {
        return QV_ENOMEM;
    }
    QV_TRY(qv__qd_need(c, v, "payload", QV__JSON_OBJ, &payload));
    QV_TRY(qv__qd_payload(c, payload, "payload", &m->payload));
    QV_TRY(qv__qd_expiry(c, v, &m->expires_ms));
    if (qv__qd_given(key)) {
        struct qv__path *at = qv__arena_zalloc(c->arena, sizeof *at);
        if (!at) {
            return qv__qd_no_memory(c);
        }
        QV_TRY(qv__qd_path(c, key, "key", at));
        m->at = kind == QV__MUT_SET_PAYLOAD
                    ? at
                    : NULL; /* overwriting replaces the whole, as in the peer */
    }
    return qv__qd_select(c, v, m);
}

qv_status qv__qd_set_payload(struct qv__call *c, qv__json v)
{
    return put_payload(c, v, QV__MUT_SET_PAYLOAD);
}

qv_status qv__qd_overwrite_payload(struct qv__call *c, qv__json v)
{
    return put_payload(c, v, QV__MUT_OVERWRITE_PAYLOAD);
}

qv_status qv__qd_delete_payload(struct qv__call *c, qv__json v)
{
    struct qv__mutation *m = qv__qd_mutation(c, QV__MUT_DELETE_PAYLOAD);
    if (!m) {
        return QV_ENOMEM;
    }
    QV_TRY(qv__qd_paths(c, qv__json_get(v, "keys"), "keys", &m->paths, &m->n_paths));
    return qv__qd_select(c, v, m);
}

qv_status qv__qd_clear_payload(struct qv__call *c, qv__json v)
{
    struct qv__mutation *m = qv__qd_mutation(c, QV__MUT_CLEAR_PAYLOAD);
    return m ? qv__qd_select(c, v, m) : QV_ENOMEM;
}

/* --- ours: {"ops": [{"op": "increment", "key": "visits", "value": 1}], "points": [...]} --- */

static qv_status payload_op(struct qv__call *c, qv__json v, struct qv__payload_op *out)
{
    struct qv__str op;
    qv__json value = qv__json_get(v, "value"), key = qv__json_get(v, "key");
    bool given;
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "", "an object with op, key and value", v);
    }
    QV_TRY(qv__qd_str(c, v, "op", &given, &op));
    if (given && qv__str_eq(op, QV__STR("append"))) {
        out->kind = QV__OP_APPEND;
    } else if (given && qv__str_eq(op, QV__STR("remove"))) {
        out->kind = QV__OP_REMOVE;
    } else if (given && qv__str_eq(op, QV__STR("increment"))) {
        out->kind = QV__OP_INCREMENT;
    } else {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%sop: expected one of `append`, `remove`, `increment`", c->place);
    }
    QV_TRY(qv__qd_path(c, key, "key", &out->path));
    if (!value) {
        return qv__qd_expected(c, "value", "a value", value);
    }
    (void)qv__json_str(key, &out->text);
    qv__buf_reset(&c->scratch);
    QV_TRY(qv__value_from_json(&c->scratch, value, &c->err));
    QV_TRY(qv__buf_status(&c->scratch, &c->err));
    uint8_t *copy = qv__arena_alloc(c->arena, c->scratch.n);
    if (!copy) {
        return qv__qd_no_memory(c);
    }
    memcpy(copy, c->scratch.p, c->scratch.n);
    out->value = (struct qv__bytes){copy, c->scratch.n};
    return QV_OK;
}

qv_status qv__qd_modify_payload(struct qv__call *c, qv__json v)
{
    struct qv__mutation *m = qv__qd_mutation(c, QV__MUT_MODIFY_PAYLOAD);
    qv__json list = NULL;
    if (!m) {
        return QV_ENOMEM;
    }
    QV_TRY(qv__qd_need(c, v, "ops", QV__JSON_ARR, &list));
    if (list->len < 1 || list->len > QV__QD_OPS_MAX) {
        return qv__qd_fail(c, QV__QD_INVALID, "%sops: %u steps, must be from 1 to %u", c->place,
                           (unsigned)list->len, (unsigned)QV__QD_OPS_MAX);
    }
    QV_TRY(qv__qd_expiry(c, v, &m->expires_ms));
    struct qv__payload_op *ops = qv__arena_calloc(c->arena, list->len, sizeof *ops);
    if (!ops) {
        return qv__qd_no_memory(c);
    }
    qv__json e = qv__json_first(list);
    size_t n = strlen(c->place);
    for (uint32_t i = 0; i < list->len; i++, e = qv__json_next(e)) {
        (void)snprintf(c->place + n, sizeof c->place - n, "ops[%u].", i);
        QV_TRY(payload_op(c, e, &ops[i]));
        c->place[n] = 0;
    }
    m->ops = ops;
    m->n_ops = list->len;
    return qv__qd_select(c, v, m);
}

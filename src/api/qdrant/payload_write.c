/* payload_write.c: operations on payloads to mutations. */
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

/* batch_write.c: the routes that write points: each operation alone, and several as one.
 *
 * The peer applies the operations of a batch one after another and leaves the first ones applied
 * when a later one fails; here they are one write: all or nothing, visible at once. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

static const struct {
    const char *name;
    qv_status (*parse)(struct qv__call *c, qv__json v);
} operations[] = {
    {"upsert", qv__qd_upsert},
    {"delete", qv__qd_delete},
    {"set_payload", qv__qd_set_payload},
    {"overwrite_payload", qv__qd_overwrite_payload},
    {"delete_payload", qv__qd_delete_payload},
    {"clear_payload", qv__qd_clear_payload},
    {"modify_payload", qv__qd_modify_payload}, /* ours */
    {"update_vectors", qv__qd_update_vectors},
    {"delete_vectors", qv__qd_delete_vectors},
};

static qv_status single(struct qv__call *c, qv_status (*parse)(struct qv__call *c, qv__json v))
{
    c->n_operations = 1;
    return parse(c, c->body);
}

qv_status qv__qd_points_upsert(struct qv__call *c)
{
    return single(c, qv__qd_upsert);
}

qv_status qv__qd_points_delete(struct qv__call *c)
{
    return single(c, qv__qd_delete);
}

qv_status qv__qd_points_update_vectors(struct qv__call *c)
{
    return single(c, qv__qd_update_vectors);
}

qv_status qv__qd_points_delete_vectors(struct qv__call *c)
{
    return single(c, qv__qd_delete_vectors);
}

qv_status qv__qd_points_set_payload(struct qv__call *c)
{
    return single(c, qv__qd_set_payload);
}

qv_status qv__qd_points_overwrite_payload(struct qv__call *c)
{
    return single(c, qv__qd_overwrite_payload);
}

qv_status qv__qd_points_delete_payload(struct qv__call *c)
{
    return single(c, qv__qd_delete_payload);
}

qv_status qv__qd_points_clear_payload(struct qv__call *c)
{
    return single(c, qv__qd_clear_payload);
}

qv_status qv__qd_points_modify_payload(struct qv__call *c)
{
    return single(c, qv__qd_modify_payload);
}

static qv_status operation(struct qv__call *c, qv__json v, uint32_t i)
{
    for (size_t k = 0; k < QV_ARRAY_LEN(operations); k++) {
        qv__json body = qv__json_get(v, operations[k].name);
        if (!body) {
            continue;
        }
        (void)snprintf(c->place, sizeof c->place, "operations[%u].%s.", i, operations[k].name);
        if (!qv__json_is(body, QV__JSON_OBJ)) {
            return qv__qd_fail(c, QV__QD_FORMAT, "operations[%u].%s: expected an object, not %s", i,
                               operations[k].name, qv__qd_kind_name(body));
        }
        return operations[k].parse(c, body);
    }
    return qv__qd_fail(
        c, QV__QD_FORMAT,
        "operations[%u]: data did not match any variant of untagged enum UpdateOperation", i);
}

qv_status qv__qd_points_batch(struct qv__call *c)
{
    qv__json list = NULL;
    QV_TRY(qv__qd_need(c, c->body, "operations", QV__JSON_ARR, &list));
    c->is_batch = true;
    c->n_operations = list->len;
    qv__json v = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++, v = qv__json_next(v)) {
        QV_TRY(operation(c, v, i));
    }
    return QV_OK;
}

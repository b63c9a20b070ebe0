/* aliases.c: second names of collections: changed in one step, listed. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

/* A string member of one action. */
static qv_status name_of(struct qv__call *c, qv__json action, const char *key, struct qv__str *out)
{
    bool given;
    QV_TRY(qv__qd_str(c, action, key, &given, out));
    return given ? QV_OK : qv__qd_expected(c, key, "a string", NULL);
}

static qv_status parse_action(struct qv__call *c, qv__json v, uint32_t i,
                              struct qv__alias_action *out)
{
    static const char *const names[] = {[QV__ALIAS_CREATE] = "create_alias",
                                        [QV__ALIAS_DELETE] = "delete_alias",
                                        [QV__ALIAS_RENAME] = "rename_alias"};
    qv__json body = NULL;
    unsigned kind = 0;
    while (kind < QV_ARRAY_LEN(names) && !(body = qv__json_get(v, names[kind]))) {
        kind++;
    }
    (void)snprintf(c->place, sizeof c->place, "actions[%u].", i);
    if (!qv__json_is(body, QV__JSON_OBJ)) {
        return qv__qd_fail(
            c, QV__QD_FORMAT,
            "actions[%u]: data did not match any variant of untagged enum AliasOperations", i);
    }
    (void)snprintf(c->place, sizeof c->place, "actions[%u].%s.", i, names[kind]);
    switch (kind) {
    case QV__ALIAS_CREATE:
        out->kind = QV__ALIAS_CREATE;
        QV_TRY(name_of(c, body, "collection_name", &out->collection));
        return name_of(c, body, "alias_name", &out->alias);
    case QV__ALIAS_DELETE:
        out->kind = QV__ALIAS_DELETE;
        return name_of(c, body, "alias_name", &out->alias);
    default:
        out->kind = QV__ALIAS_RENAME;
        QV_TRY(name_of(c, body, "old_alias_name", &out->alias));
        return name_of(c, body, "new_alias_name", &out->new_alias);
    }
}

qv_status qv__qd_aliases_update(struct qv__call *c)
{
    qv__json list = NULL;
    QV_TRY(qv__qd_need(c, c->body, "actions", QV__JSON_ARR, &list));
    struct qv__alias_action *actions =
        qv__arena_calloc(c->arena, (size_t)list->len + 1, sizeof *actions);
    if (!actions) {
        return qv__qd_no_memory(c);
    }
    qv__json v = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++, v = qv__json_next(v)) {
        QV_TRY(parse_action(c, v, i, &actions[i]));
    }
    if (list->len) {
        QV_TRY(qv__db_update_aliases(c->db, actions, list->len, &c->err));
    }
    qv__jw_bool(&c->w, true);
    return QV_OK;
}

static void write_alias(void *arg, struct qv__str alias, struct qv__str collection)
{
    struct qv__jw *w = arg;
    qv__jw_obj(w);
    qv__jw_key(w, "alias_name");
    qv__jw_str_n(w, alias);
    qv__jw_key(w, "collection_name");
    qv__jw_str_n(w, collection);
    qv__jw_obj_end(w);
}

static qv_status list(struct qv__call *c, struct qv__str collection)
{
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "aliases");
    qv__jw_arr(&c->w);
    QV_TRY(qv__db_list_aliases(c->db, collection, write_alias, &c->w, &c->err));
    qv__jw_arr_end(&c->w);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

qv_status qv__qd_aliases_list(struct qv__call *c)
{
    return list(c, QV__STR(""));
}

qv_status qv__qd_collection_aliases(struct qv__call *c)
{
    return list(c, qv__collection_name(c->collection));
}

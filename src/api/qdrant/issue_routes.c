/* issue_routes.c: /issues: fields without an index that made queries slow, each with the requests
 * that would mend it, in the peer's form. */
#include "api/issues.h"
#include "api/qdrant/qdrant.h"

#include <stdio.h>

/* "/collections/NAME/index", the name percent-encoded. NULL without memory. */
static const char *index_uri(struct qv__arena *arena, struct qv__str name)
{
    static const char head[] = "/collections/", tail[] = "/index", hex[] = "0123456789ABCDEF";
    char *out = qv__arena_calloc(arena, sizeof head + sizeof tail + name.n * 3, 1);
    size_t n = sizeof head - 1;
    if (!out) {
        return NULL;
    }
    memcpy(out, head, n);
    for (size_t i = 0; i < name.n; i++) {
        unsigned char ch = (unsigned char)name.p[i];
        bool plain = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
                     (ch >= 'A' && ch <= 'Z') || ch == '-' || ch == '_' || ch == '.' || ch == '~';
        if (plain) {
            out[n++] = (char)ch;
        } else {
            out[n++] = '%';
            out[n++] = hex[ch >> 4];
            out[n++] = hex[ch & 15];
        }
    }
    memcpy(out + n, tail, sizeof tail);
    return out;
}

static void key_str(struct qv__jw *w, const char *key, const char *value)
{
    qv__jw_key(w, key);
    qv__jw_str(w, value);
}

static void write_solution(struct qv__jw *w, const struct qv__issue *x, const char *uri,
                           const char *type)
{
    char text[800];
    (void)snprintf(text, sizeof text, "Create an index of type %s on the field '%s' of '%s'", type,
                   x->field.p, x->collection.p);
    qv__jw_obj(w);
    key_str(w, "message", text);
    qv__jw_key(w, "action");
    qv__jw_obj(w);
    key_str(w, "method", "PUT");
    key_str(w, "uri", uri);
    qv__jw_key(w, "headers");
    qv__jw_obj(w);
    key_str(w, "content-type", "application/json");
    qv__jw_obj_end(w);
    qv__jw_key(w, "body");
    qv__jw_obj(w);
    key_str(w, "field_name", x->field.p);
    key_str(w, "field_schema", type);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
}

static void write_issue(struct qv__jw *w, const struct qv__issue *x, const char *uri)
{
    char text[800];
    qv__jw_obj(w);
    (void)snprintf(text, sizeof text, "UNINDEXED_FIELD/%s/%s", x->collection.p, x->field.p);
    key_str(w, "id", text);
    (void)snprintf(text, sizeof text,
                   "Queries of '%s' were slow, and no index serves their filter on '%s'",
                   x->collection.p, x->field.p);
    key_str(w, "description", text);
    qv__jw_key(w, "solution");
    qv__jw_obj(w);
    qv__jw_key(w, x->n_types == 1 ? "immediate" : "immediate_choice");
    if (x->n_types != 1) {
        qv__jw_arr(w);
    }
    for (size_t i = 0; i < x->n_types; i++) {
        write_solution(w, x, uri, x->types[i]);
    }
    if (x->n_types != 1) {
        qv__jw_arr_end(w);
    }
    qv__jw_obj_end(w);
    qv__jw_key(w, "timestamp");
    qv__qd_write_date(w, x->since_ms);
    key_str(w, "related_collection", x->collection.p);
    qv__jw_obj_end(w);
}

qv_status qv__qd_issues(struct qv__call *c)
{
    const struct qv__issue *list = NULL;
    size_t n = 0;
    if (qv__issues_list(c->request->api, c->arena, &list, &n) != QV_OK) {
        return qv__qd_no_memory(c);
    }
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "issues");
    qv__jw_arr(&c->w);
    for (size_t i = 0; i < n; i++) {
        const char *uri = index_uri(c->arena, list[i].collection);
        if (!uri) {
            return qv__qd_no_memory(c);
        }
        write_issue(&c->w, &list[i], uri);
    }
    qv__jw_arr_end(&c->w);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

qv_status qv__qd_issues_clear(struct qv__call *c)
{
    qv__issues_clear(c->request->api);
    qv__jw_bool(&c->w, true);
    return QV_OK;
}

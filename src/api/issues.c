/* issues.c: fields whose want of an index made queries slow. */
#include "api/issues.h"
#include "api/api.h"
#include "api/strict_fields.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIELD_MAX = 256 }; /* bytes of a path that is told whole; longer ones are not listed */

struct qv__issue_record {
    struct qv__issue_record *next;
    uint64_t collection_id;
    uint64_t since_ms;
    uint32_t uses;
    char collection[QV__COLLECTION_NAME_MAX + 1];
    char field[FIELD_MAX];
};

void qv__issues_init(struct qv__api *api)
{
    qv__mutex_init(&api->issues.lock, QV__RANK_JOBS);
}

void qv__issues_clear(struct qv__api *api)
{
    qv__mutex_lock(&api->issues.lock);
    struct qv__issue_record *r = api->issues.first;
    api->issues.first = NULL;
    api->issues.n = 0;
    qv__mutex_unlock(&api->issues.lock);
    while (r) {
        struct qv__issue_record *next = r->next;
        qv__free(r);
        r = next;
    }
}

void qv__issues_free(struct qv__api *api)
{
    qv__issues_clear(api);
    qv__mutex_destroy(&api->issues.lock);
}

/* --- listing what a query needs
 * --------------------------------------------------------------------- */

struct look {
    struct qv__api *api;
    struct qv__arena arena;
    const struct qv__schema *schema;
    struct qv__str collection;
    uint64_t id;
};

static void add(struct look *l, const char *field, uint32_t uses)
{
    struct qv__api_issues *all = &l->api->issues;
    uint64_t now = qv__wall_ms(qv__db_clock(l->api->db));
    qv__mutex_lock(&all->lock);
    struct qv__issue_record *r = all->first;
    while (r && !(r->collection_id == l->id && !strcmp(r->field, field))) {
        r = r->next;
    }
    if (r) {
        r->uses |= uses;
    } else if (all->n < QV__ISSUES_MAX && (r = qv__zalloc(l->api->mem, sizeof *r))) {
        r->collection_id = l->id;
        r->since_ms = now;
        r->uses = uses;
        snprintf(r->collection, sizeof r->collection, "%.*s", (int)l->collection.n,
                 l->collection.p);
        snprintf(r->field, sizeof r->field, "%s", field);
        r->next = all->first;
        all->first = r;
        all->n++;
    }
    qv__mutex_unlock(&all->lock);
}

static bool is_served(struct qv__arena *arena, const struct qv__schema *schema,
                      const struct qv__path *path, uint32_t uses)
{
    uint32_t at;
    const struct qv__payload_index_def *x = qv__strict_index_on(schema, path, &at);
    return x && (qv__strict_served(arena, x) & uses);
}

static bool visit(void *arg, const struct qv__path *path, uint32_t uses)
{
    struct look *l = arg;
    char text[FIELD_MAX];
    qv__strict_path_text(path, text, sizeof text);
    if (!is_served(&l->arena, l->schema, path, uses) && strlen(text) + 1 < sizeof text) {
        add(l, text, uses);
    }
    return true;
}

/* Depth is bounded by the query's. */
static void visit_stage(struct look *l, const struct qv__query *q)
{
    if (q->filter) {
        (void)qv__filter_fields(q->filter, visit, l);
    }
    for (size_t i = 0; i < q->n_prefetch; i++) {
        visit_stage(l, &q->prefetch[i]);
    }
}

void qv__issues_query(struct qv__api *api, struct qv__collection *c, const struct qv__query *q,
                      uint64_t ns)
{
    if (ns <= api->options.slow_query_ns) {
        return;
    }
    struct qv__schema *s = qv__collection_schema(c);
    struct look l = {
        .api = api, .schema = s, .collection = qv__collection_name(c), .id = qv__collection_id(c)};
    qv__arena_init(&l.arena, api->mem);
    visit_stage(&l, q);
    qv__arena_free(&l.arena);
    qv__schema_release(s);
}

/* --- reading the list
 * -------------------------------------------------------------------------------- */

/* The types by name, without uuid, as in the peer: who has UUIDs knows. */
static const struct {
    uint32_t uses;
    const char *type;
} types[] = {
    {QV__USE_KEYWORD | QV__USE_PREFIX, "keyword"},
    {QV__USE_INT_MATCH | QV__USE_INT_RANGE, "integer"},
    {QV__USE_FLOAT_RANGE, "float"},
    {QV__USE_BOOL, "bool"},
    {QV__USE_DATETIME, "datetime"},
    {QV__USE_GEO, "geo"},
    {QV__USE_TEXT | QV__USE_PHRASE, "text"},
};

/* The collection is there and no index serves the field yet. */
static bool is_open(struct qv__api *api, struct qv__arena *arena, const struct qv__issue_record *r)
{
    struct qv__collection *c = NULL;
    struct qv__path path;
    bool open = false;
    if (qv__db_collection(api->db, qv__str_z(r->collection), &c, NULL) != QV_OK) {
        return false;
    }
    struct qv__schema *s = qv__collection_schema(c);
    open = qv__collection_id(c) == r->collection_id &&
           qv__path_parse(qv__str_z(r->field), &path, NULL) == QV_OK &&
           !is_served(arena, s, &path, r->uses);
    qv__schema_release(s);
    qv__collection_release(c);
    return open;
}

static int issue_order(const void *a, const void *b)
{
    const struct qv__issue *x = a, *y = b;
    int by = qv__str_cmp(x->collection, y->collection);
    return by ? by : qv__str_cmp(x->field, y->field);
}

static void remove_record(struct qv__api_issues *all, const struct qv__issue_record *like)
{
    qv__mutex_lock(&all->lock);
    struct qv__issue_record **at = &all->first, *gone = NULL;
    while (*at &&
           !((*at)->collection_id == like->collection_id && !strcmp((*at)->field, like->field))) {
        at = &(*at)->next;
    }
    if (*at) {
        gone = *at;
        *at = gone->next;
        all->n--;
    }
    qv__mutex_unlock(&all->lock);
    qv__free(gone);
}

qv_status qv__issues_list(struct qv__api *api, struct qv__arena *arena,
                          const struct qv__issue **out, size_t *n)
{
    struct qv__api_issues *all = &api->issues;
    size_t found = 0;
    *n = 0;
    struct qv__issue_record *copies = qv__arena_calloc(arena, QV__ISSUES_MAX, sizeof *copies);
    struct qv__issue *list = qv__arena_calloc(arena, QV__ISSUES_MAX, sizeof *list);
    if (!copies || !list) {
        return QV_ENOMEM;
    }
    qv__mutex_lock(&all->lock);
    for (const struct qv__issue_record *r = all->first; r && found < QV__ISSUES_MAX; r = r->next) {
        copies[found++] = *r;
    }
    qv__mutex_unlock(&all->lock);
    for (size_t i = 0; i < found; i++) {
        const struct qv__issue_record *r = &copies[i];
        if (!is_open(api, arena, r)) {
            remove_record(all, r);
            continue;
        }
        struct qv__issue *x = &list[(*n)++];
        *x = (struct qv__issue){.collection = qv__str_z(r->collection),
                                .field = qv__str_z(r->field),
                                .since_ms = r->since_ms};
        for (size_t t = 0; t < QV_ARRAY_LEN(types); t++) {
            if (types[t].uses & r->uses) {
                x->types[x->n_types++] = types[t].type;
            }
        }
    }
    if (*n) {
        qsort(list, *n, sizeof *list, issue_order);
    }
    *out = list;
    return QV_OK;
}

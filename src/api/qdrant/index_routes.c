/* index_routes.c: payload indexes: recorded in the schema and shown there, built in the background.
 *
 * Filters do not need an index to be right. `wait` waits until it serves all segments. Settings of
 * text that are not built are refused: an index without them would answer otherwise. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

static const char *const memories[] = {"cold", "cached", "pinned", NULL};
static const char *const tokenizers[] = {"prefix", "whitespace", "word", "multilingual", NULL};

#define COMMON                                                                                     \
    {.name = "on_disk", .type = QV__QD_BOOL},                                                      \
        {.name = "memory", .type = QV__QD_ENUM, .words = memories},                                \
    {                                                                                              \
        .name = "enable_hnsw", .type = QV__QD_BOOL                                                 \
    }

static const struct qv__qd_setting keyword[] = {
    {.name = "is_tenant", .type = QV__QD_BOOL}, {.name = "prefix", .type = QV__QD_BOOL}, COMMON};
static const struct qv__qd_setting integer[] = {{.name = "lookup", .type = QV__QD_BOOL},
                                                {.name = "range", .type = QV__QD_BOOL},
                                                {.name = "is_principal", .type = QV__QD_BOOL},
                                                COMMON};
static const struct qv__qd_setting principal[] = {{.name = "is_principal", .type = QV__QD_BOOL},
                                                  COMMON};
static const struct qv__qd_setting tenant[] = {{.name = "is_tenant", .type = QV__QD_BOOL}, COMMON};
static const struct qv__qd_setting plain[] = {COMMON};
static const struct qv__qd_setting text[] = {
    {.name = "tokenizer", .type = QV__QD_ENUM, .words = tokenizers, .fallback = "\"word\""},
    {.name = "min_token_len", .type = QV__QD_UINT},
    {.name = "max_token_len", .type = QV__QD_UINT},
    {.name = "lowercase", .type = QV__QD_BOOL},
    {.name = "ascii_folding", .type = QV__QD_BOOL},
    {.name = "phrase_matching", .type = QV__QD_BOOL},
    {.name = "stopwords", .type = QV__QD_ANY},
    {.name = "stemmer", .type = QV__QD_OBJECT},
    COMMON};

static const struct qv__qd_group types[] = {
    {"keyword", keyword, QV_ARRAY_LEN(keyword)},
    {"integer", integer, QV_ARRAY_LEN(integer)},
    {"float", principal, QV_ARRAY_LEN(principal)},
    {"geo", plain, QV_ARRAY_LEN(plain)},
    {"text", text, QV_ARRAY_LEN(text)},
    {"bool", plain, QV_ARRAY_LEN(plain)},
    {"datetime", principal, QV_ARRAY_LEN(principal)},
    {"uuid", tenant, QV_ARRAY_LEN(tenant)},
};

static const struct qv__qd_group *type_of(qv__json name)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(types); i++) {
        if (qv__json_str_is(name, types[i].name)) {
            return &types[i];
        }
    }
    return NULL;
}

static qv_status check_language(struct qv__call *c, qv__json v)
{
    struct qv__str name;
    char what[96];
    if (!qv__json_str(v, &name)) {
        return qv__qd_expected(c, "field_schema.stopwords", "the name of a language", v);
    }
    if (qv__stopwords_language(name)) {
        return QV_OK;
    }
    (void)snprintf(what, sizeof what, "field_schema.stopwords: the language `%.*s`",
                   (int)QV_MIN(name.n, (size_t)32), name.p);
    return qv__qd_unsupported(c, what);
}

/* A language, or {"languages": [...], "custom": [...]}. */
static qv_status check_stopwords(struct qv__call *c, qv__json v)
{
    qv__json languages = qv__json_get(v, "languages"), custom = qv__json_get(v, "custom");
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return check_language(c, v);
    }
    if ((qv__qd_given(languages) && !qv__json_is(languages, QV__JSON_ARR)) ||
        (qv__qd_given(custom) && !qv__json_is(custom, QV__JSON_ARR))) {
        return qv__qd_expected(c, "field_schema.stopwords", "arrays of languages and of words", v);
    }
    qv__json e = qv__json_first(languages);
    for (uint32_t i = 0; e && i < languages->len; i++, e = qv__json_next(e)) {
        QV_TRY(check_language(c, e));
    }
    e = qv__json_first(custom);
    for (uint32_t i = 0; e && i < custom->len; i++, e = qv__json_next(e)) {
        if (!qv__json_is(e, QV__JSON_STR) || e->len > QV__TOKEN_MAX) {
            return qv__qd_fail(
                c, QV__QD_FORMAT,
                "field_schema.stopwords.custom: expected strings of at most %u bytes",
                QV__TOKEN_MAX);
        }
    }
    return qv__qd_range(c, "field_schema.stopwords.custom", qv__qd_given(custom) ? custom->len : 0,
                        0, QV__STOPWORDS_MAX);
}

/* Settings of an index of text that would change which words there are. */
static qv_status check_text(struct qv__call *c, qv__json v)
{
    bool fold = false;
    qv__json min = qv__json_get(v, "min_token_len"), max = qv__json_get(v, "max_token_len");
    uint64_t low = 0, high = 0;
    if (qv__json_str_is(qv__json_get(v, "tokenizer"), "multilingual")) {
        return qv__qd_unsupported(c, "field_schema.tokenizer: `multilingual`");
    }
    if (qv__qd_given(qv__json_get(v, "stemmer"))) {
        return qv__qd_unsupported(c, "field_schema.stemmer");
    }
    QV_TRY(check_stopwords(c, qv__json_get(v, "stopwords")));
    if (qv__json_bool(qv__json_get(v, "ascii_folding"), &fold) && fold) {
        return qv__qd_unsupported(c, "field_schema.ascii_folding");
    }
    if (qv__json_u64(min, &low) && qv__json_u64(max, &high) && low > high) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "field_schema.min_token_len: value %" PRIu64
                           " invalid, must not be above max_token_len, which is %" PRIu64,
                           low, high);
    }
    return QV_OK;
}

/* {"type": ..., settings}: checked and written again without what the table does not know. */
static qv_status parse_object(struct qv__call *c, qv__json v, struct qv__payload_index_def *out)
{
    const struct qv__qd_group *type = type_of(qv__json_get(v, "type"));
    struct qv__jw w;
    bool lookup = true, range = true;
    if (!type) {
        return qv__qd_fail(
            c, QV__QD_FORMAT,
            "field_schema: data did not match any variant of untagged enum PayloadFieldSchema");
    }
    QV_TRY(qv__qd_group_check(c, type, "field_schema.", v));
    if (qv__json_bool(qv__json_get(v, "lookup"), &lookup) &&
        qv__json_bool(qv__json_get(v, "range"), &range) && !lookup && !range &&
        type->settings == integer) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "field_schema.lookup: Validation error: the 'lookup' and 'range' "
                           "capabilities can't be both "
                           "disabled [{}]");
    }
    if (type->settings == text) {
        QV_TRY(check_text(c, v));
    }
    qv__buf_reset(&c->scratch);
    qv__jw_init(&w, &c->scratch);
    qv__jw_obj(&w);
    qv__jw_key(&w, "type");
    qv__jw_str(&w, type->name);
    qv__qd_group_show(&w, type, v);
    qv__jw_obj_end(&w);
    QV_TRY(qv__buf_status(&c->scratch, &c->err));
    char *copy = qv__arena_strndup(c->arena, (const char *)c->scratch.p, c->scratch.n);
    if (!copy) {
        return qv__qd_no_memory(c);
    }
    out->type = qv__str_z(type->name);
    out->params_json = (struct qv__str){copy, c->scratch.n};
    return QV_OK;
}

static qv_status parse_schema(struct qv__call *c, struct qv__payload_index_def *out)
{
    qv__json v = qv__json_get(c->body, "field_schema");
    v = v ? v : qv__json_get(c->body, "field_type");
    if (!qv__qd_given(v)) {
        return qv__qd_fail(
            c, QV__QD_BAD_REQUEST,
            "Can't auto-detect field type, please specify `field_schema` in the request");
    }
    if (qv__json_is(v, QV__JSON_OBJ)) {
        return parse_object(c, v, out);
    }
    const struct qv__qd_group *type = type_of(v);
    if (!type) {
        return qv__qd_fail(
            c, QV__QD_FORMAT,
            "field_schema: data did not match any variant of untagged enum PayloadFieldSchema");
    }
    out->type = qv__str_z(type->name);
    return QV_OK;
}

qv_status qv__qd_index_put(struct qv__call *c)
{
    struct qv__payload_index_def def = {{"", 0}, {"", 0}, {"", 0}};
    struct qv__path path;
    qv__json name = NULL;
    uint64_t operation_id = 0;
    QV_TRY(qv__qd_need(c, c->body, "field_name", QV__JSON_STR, &name));
    QV_TRY(qv__qd_path(c, name, "field_name", &path));
    (void)qv__json_str(name, &def.key);
    QV_TRY(parse_schema(c, &def));
    QV_TRY(qv__qd_strict_index(c, def.key));
    QV_TRY(qv__collection_put_index(c->collection, &def, &operation_id, &c->err));
    struct qv__pool *pool = qv__db_pool(c->db);
    c->waits = c->query.wait && qv__pool_threads(pool) > 0;
    c->operation_id = operation_id;
    if (!c->waits) {
        bool served = c->query.wait && qv__collection_wait_fields(c->collection, &c->ctx);
        qv__qd_update_result(&c->w, operation_id, served);
    }
    return QV_OK;
}

/* A look at how far the index is, then to the end of the queue: writes that came meanwhile go
 * first, and no worker is taken away from them until an index is built. */
static void wait_task(struct qv__task *task)
{
    struct qv__request *r = QV_CONTAINER_OF(task, struct qv__request, task);
    struct qv__call *c = r->dialect_state;
    bool served = false;
    if (qv__collection_fields_wait(c->collection, &c->ctx, &served)) {
        qv__api_queue(r, c->route->lane, wait_task);
        return;
    }
    qv__qd_update_result(&c->w, c->operation_id, served);
    qv__qd_respond(c, QV_OK);
}

void qv__qd_index_wait(struct qv__call *c)
{
    qv__collection_build_fields(c->collection);
    qv__api_queue(c->request, c->route->lane, wait_task);
}

qv_status qv__qd_index_delete(struct qv__call *c)
{
    uint64_t operation_id = 0;
    QV_TRY(qv__collection_drop_index(c->collection, c->params[1], &operation_id, &c->err));
    qv__qd_update_result(&c->w, operation_id, c->query.wait);
    return QV_OK;
}

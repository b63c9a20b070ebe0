/* index_spec.c: definitions of payload indexes read once.
 *
 * Dialects refuse what is not built when an index is made; a definition that is there all the same,
 * from another version, say, is recorded and no more. */
#include "engine/index_spec.h"

#include "engine/schema.h"

static bool flag(qv__json params, const char *name, bool fallback)
{
    (void)qv__json_bool(qv__json_get(params, name), &fallback);
    return fallback;
}

static uint32_t number(qv__json params, const char *name)
{
    uint64_t n = 0;
    (void)qv__json_u64(qv__json_get(params, name), &n);
    return (uint32_t)QV_MIN(n, (uint64_t)UINT32_MAX);
}

static bool given(qv__json params, const char *name)
{
    qv__json v = qv__json_get(params, name);
    return v && v->kind != QV__JSON_NULL;
}

/* False: with settings that are not built. */
static bool read_tokenizer(qv__json params, struct qv__tokenizer *out)
{
    struct qv__str name = QV__STR("word");
    (void)qv__json_str(qv__json_get(params, "tokenizer"), &name);
    *out = (struct qv__tokenizer){.kind = QV__TOKENIZE_WORD,
                                  .lowercase = flag(params, "lowercase", true),
                                  .min_len = number(params, "min_token_len"),
                                  .max_len = number(params, "max_token_len")};
    if (qv__str_eq(name, QV__STR("whitespace"))) {
        out->kind = QV__TOKENIZE_WHITESPACE;
    } else if (qv__str_eq(name, QV__STR("prefix"))) {
        out->kind = QV__TOKENIZE_PREFIX;
    } else if (!qv__str_eq(name, QV__STR("word"))) {
        return false;
    }
    return !given(params, "stopwords") && !given(params, "stemmer") &&
           !flag(params, "ascii_folding", false);
}

qv_status qv__index_spec_read(const struct qv__payload_index_def *def, struct qv__arena *scratch,
                              struct qv__index_spec *out, struct qv_err *err)
{
    qv__json params = NULL;
    memset(out, 0, sizeof *out);
    if (!qv__field_type_parse(def->type, &out->type) ||
        qv__path_parse(def->key, &out->path, NULL) != QV_OK) {
        return QV_OK;
    }
    if (def->params_json.n) {
        qv_status st =
            qv__json_parse(scratch, def->params_json.p, def->params_json.n, NULL, &params, err);
        if (st == QV_ENOMEM) {
            return st;
        }
        if (st != QV_OK) {
            return QV_OK;
        }
    }
    out->is_built = out->type != QV__FIELD_TEXT || read_tokenizer(params, &out->tokenizer);
    out->has_order = qv__field_has_order(out->type) &&
                     (out->type != QV__FIELD_INTEGER || flag(params, "range", true));
    out->is_tenant = (out->type == QV__FIELD_KEYWORD || out->type == QV__FIELD_UUID) &&
                     flag(params, "is_tenant", false);
    return QV_OK;
}

qv_status qv__index_specs_fill(struct qv__schema *s, struct qv_err *err)
{
    struct qv__arena scratch;
    qv_status st = QV_OK;
    struct qv__index_spec *specs = qv__arena_calloc(&s->arena, s->n_indexes + 1u, sizeof *specs);
    struct qv__text_field *texts = qv__arena_calloc(&s->arena, s->n_indexes + 1u, sizeof *texts);
    if (!specs || !texts) {
        return qv__fail(err, QV_ENOMEM, "no memory for a collection schema");
    }
    s->specs = specs;
    s->texts.list = texts;
    qv__arena_init(&scratch, s->arena.mem);
    for (uint32_t i = 0; st == QV_OK && i < s->n_indexes; i++) {
        st = qv__index_spec_read(&s->indexes[i], &scratch, &specs[i], err);
        if (st == QV_OK && specs[i].is_built && specs[i].type == QV__FIELD_TEXT) {
            texts[s->texts.n++] =
                (struct qv__text_field){.path = specs[i].path, .tokenizer = specs[i].tokenizer};
        }
    }
    qv__arena_free(&scratch);
    return st;
}

bool qv__index_spec_same(const struct qv__index_spec *a, const struct qv__index_spec *b)
{
    return a->is_built == b->is_built && a->type == b->type && qv__path_eq(&a->path, &b->path) &&
           (a->type != QV__FIELD_TEXT ||
            qv__tokenizer_signature(&a->tokenizer) == qv__tokenizer_signature(&b->tokenizer));
}

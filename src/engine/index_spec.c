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

/* One language, or {"languages": [...], "custom": [...]}. *out NULL: without words. False: of a
 * language that is not built, or no memory (*st). */
static bool read_stopwords(qv__json v, bool lowercase, struct qv__arena *arena,
                           const struct qv__stopwords **out, qv_status *st)
{
    qv__json languages = qv__json_is(v, QV__JSON_STR) ? v : qv__json_get(v, "languages");
    qv__json custom = qv__json_get(v, "custom"), e;
    struct qv__stopwords *set = qv__arena_zalloc(arena, sizeof *set);
    uint32_t n = qv__json_is(custom, QV__JSON_ARR) ? custom->len : 0;
    struct qv__str *words = qv__arena_calloc(arena, (size_t)n + 1, sizeof *words), name;
    if (!set || !words) {
        *st = QV_ENOMEM;
        return false;
    }
    bool listed = qv__json_is(languages, QV__JSON_ARR);
    e = listed ? qv__json_first(languages) : languages;
    for (uint32_t i = 0; e && i < (listed ? languages->len : 1); i++) {
        uint32_t language = qv__json_str(e, &name) ? qv__stopwords_language(name) : 0;
        if (!language && e->kind != QV__JSON_NULL) {
            return false;
        }
        set->languages |= language;
        e = listed ? qv__json_next(e) : NULL;
    }
    e = n ? qv__json_first(custom) : NULL;
    for (uint32_t i = 0; i < n; i++, e = qv__json_next(e)) {
        if (qv__json_str(e, &name) && name.n <= QV__TOKEN_MAX &&
            !qv__token_fold(arena, name, lowercase, &words[set->n++])) {
            *st = QV_ENOMEM;
            return false;
        }
    }
    qv__stopwords_sort(words, &set->n);
    set->words = words;
    *out = set->n || set->languages ? set : NULL;
    return true;
}

/* False: with settings that are not built, or no memory (*st). Words lie in the arena. */
static bool read_tokenizer(qv__json params, struct qv__arena *arena, struct qv__tokenizer *out,
                           qv_status *st)
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
    if (given(params, "stopwords") &&
        !read_stopwords(qv__json_get(params, "stopwords"), out->lowercase, arena, &out->stop, st)) {
        return false;
    }
    return !given(params, "stemmer") && !flag(params, "ascii_folding", false);
}

qv_status qv__index_spec_read(const struct qv__payload_index_def *def, struct qv__arena *scratch,
                              struct qv__arena *keep, struct qv__index_spec *out,
                              struct qv_err *err)
{
    qv_status failure = QV_OK;
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
    out->is_built =
        out->type != QV__FIELD_TEXT || read_tokenizer(params, keep, &out->tokenizer, &failure);
    if (failure != QV_OK) {
        return qv__fail(err, failure, "no memory for a payload index");
    }
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
        st = qv__index_spec_read(&s->indexes[i], &scratch, &s->arena, &specs[i], err);
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

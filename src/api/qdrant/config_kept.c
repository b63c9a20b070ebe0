/* config_kept.c: the configuration a collection keeps in its schema: written, read, shown.
 *
 * One JSON object per collection, in schema->config_json: "params", "hnsw_config",
 * "optimizers_config", "wal_config", "quantization_config", "strict_mode_config", "metadata",
 * "vectors" (name -> settings) and "named" (the vectors were given by name). Only what a client
 * gave is in it, so that a default may change with a version. A collection made through another
 * interface keeps none. */
#include "api/qdrant/qdrant.h"

#define METADATA_MAX 4096u /* members; merging compares each with each */

/* --- keeping
 * --------------------------------------------------------------------------------------------- */

static void keep_group(struct qv__jw *w, const struct qv__qd_group *g, qv__json old, qv__json fresh)
{
    qv__jw_key(w, g->name);
    qv__jw_obj(w);
    qv__qd_group_merge(w, g, qv__json_get(old, g->name), fresh);
    qv__jw_obj_end(w);
}

/* Replaced as a whole; "Disabled" is kept, and shown as if there were nothing. */
static void keep_quantization(struct qv__jw *w, qv__json old, qv__json fresh)
{
    qv__json v = qv__qd_given(fresh) ? fresh : qv__json_get(old, "quantization_config");
    if (qv__qd_given(v)) {
        qv__jw_key(w, "quantization_config");
        qv__jw_value(w, v);
    }
}

static const struct qv__qd_group *group_of(const struct qv__vector_def *v)
{
    return v->kind == QV__VEC_SPARSE ? &qv__qd_sparse_kept : &qv__qd_vector_kept;
}

static void keep_vector(struct qv__jw *w, const struct qv__qd_group *g, qv__json old,
                        qv__json fresh)
{
    const struct qv__qd_setting *list = g->settings;
    qv__jw_obj(w);
    for (size_t i = 0; i < g->n; i++) {
        const struct qv__qd_setting *s = &list[i];
        qv__json was = qv__qd_setting_of(s, old), now = qv__qd_setting_of(s, fresh);
        if (s->type == QV__QD_ANY) {
            keep_quantization(w, old, now);
        } else if (s->type == QV__QD_OBJECT && (was || now)) {
            bool is_unset = now && now->len == 0; /* an empty object takes it back */
            qv__jw_key(w, s->name);
            qv__jw_obj(w);
            qv__qd_group_merge(w, s->group, is_unset ? NULL : was, now);
            qv__jw_obj_end(w);
        } else if (was || now) {
            qv__jw_key(w, s->name);
            qv__jw_value(w, now ? now : was);
        }
    }
    qv__jw_obj_end(w);
}

static void keep_metadata(struct qv__jw *w, qv__json old, qv__json fresh)
{
    qv__json sides[2] = {old, fresh};
    if (!qv__qd_given(old) && !qv__qd_given(fresh)) {
        return;
    }
    qv__jw_key(w, "metadata");
    qv__jw_obj(w);
    for (unsigned side = 0; side < 2; side++) {
        qv__json k = qv__json_is(sides[side], QV__JSON_OBJ) ? qv__json_first(sides[side]) : NULL;
        for (uint32_t i = 0; k && i < sides[side]->len; i++, k = qv__json_next(k + 1)) {
            bool is_replaced = side == 0 && qv__json_get_n(fresh, k->s, k->len);
            bool is_removed = side == 1 && !qv__qd_given(k + 1);
            bool is_last = qv__json_get_n(sides[side], k->s, k->len) == k + 1;
            if (!is_replaced && !is_removed && is_last) {
                qv__jw_key_n(w, (struct qv__str){k->s, k->len});
                qv__jw_value(w, k + 1);
            }
        }
    }
    qv__jw_obj_end(w);
}

static void keep_vectors(struct qv__jw *w, const struct qv__schema *s, qv__json old,
                         const struct qv__qd_changes *ch)
{
    qv__json kept = qv__json_get(old, "vectors");
    qv__jw_key(w, "vectors");
    qv__jw_obj(w);
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        struct qv__str name = s->vectors[i].name;
        qv__json list = s->vectors[i].kind == QV__VEC_SPARSE ? ch->sparse : ch->vectors;
        bool whole = ch->vectors_of || (ch->vectors_single && list == ch->vectors);
        qv__json fresh = whole ? ch->vectors : qv__json_get_n(list, name.p, name.n);
        fresh = ch->vectors_of && !qv__str_eq(name, *ch->vectors_of) ? NULL : fresh;
        qv__jw_key_n(w, name);
        keep_vector(w, group_of(&s->vectors[i]), qv__json_get_n(kept, name.p, name.n), fresh);
    }
    qv__jw_obj_end(w);
}

qv_status qv__qd_config_keep(struct qv__call *c, const struct qv__schema *s, qv__json old,
                             const struct qv__qd_changes *ch, struct qv__str *out)
{
    struct qv__jw w;
    bool named = ch->vectors_named;
    if (ch->metadata && ch->metadata->len > METADATA_MAX) {
        return qv__qd_fail(c, QV__QD_INVALID, "metadata: %u members invalid, must be at most %u",
                           ch->metadata->len, METADATA_MAX);
    }
    (void)qv__json_bool(qv__json_get(old, "named"), &named);
    qv__buf_reset(&c->scratch);
    qv__jw_init(&w, &c->scratch);
    qv__jw_obj(&w);
    qv__jw_key(&w, "named");
    qv__jw_bool(&w, named);
    keep_vectors(&w, s, old, ch);
    keep_group(&w, &qv__qd_collection_params, old, ch->params);
    keep_group(&w, &qv__qd_hnsw, old, ch->hnsw);
    keep_group(&w, &qv__qd_optimizers, old, ch->optimizers);
    keep_group(&w, &qv__qd_wal, old, ch->wal);
    keep_group(&w, &qv__qd_strict_mode, old, ch->strict);
    keep_quantization(&w, old, ch->quantization);
    keep_metadata(&w, qv__json_get(old, "metadata"), ch->metadata);
    qv__jw_obj_end(&w);
    QV_TRY(qv__buf_status(&c->scratch, &c->err));
    if (c->scratch.n > QV__QD_CONFIG_MAX) {
        return qv__fail(&c->err, QV_ETOOBIG, "the configuration of a collection may have %zu bytes",
                        QV__QD_CONFIG_MAX);
    }
    char *copy = qv__arena_strndup(c->arena, (const char *)c->scratch.p, c->scratch.n);
    if (!copy) {
        return qv__qd_no_memory(c);
    }
    *out = (struct qv__str){copy, c->scratch.n};
    return QV_OK;
}

/* Made through another interface: only its graphs' numbers are not the defaults of this one. */
static qv_status describe(struct qv__call *c, const struct qv__schema *s, struct qv__str *out)
{
    struct qv__jw w;
    qv__buf_reset(&c->scratch);
    qv__jw_init(&w, &c->scratch);
    qv__jw_obj(&w);
    qv__jw_key(&w, "named");
    qv__jw_bool(&w, !(s->n_vectors == 1 && s->vectors[0].name.n == 0));
    qv__jw_key(&w, "vectors");
    qv__jw_obj(&w);
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        const struct qv__index_params *x = &s->vectors[i].index;
        qv__jw_key_n(&w, s->vectors[i].name);
        qv__jw_obj(&w);
        if (s->vectors[i].datatype != QV__F32) {
            qv__jw_key(&w, "datatype");
            qv__jw_str(&w, qv__datatype_name(s->vectors[i].datatype));
        }
        qv__jw_key(&w, "hnsw_config");
        qv__jw_obj(&w);
        qv__qd_key_u64(&w, "m", x->kind == QV__INDEX_GRAPH ? x->m : 0);
        qv__qd_key_u64(&w, "ef_construct", x->ef_construct);
        qv__jw_obj_end(&w);
        qv__jw_obj_end(&w);
    }
    qv__jw_obj_end(&w);
    qv__jw_obj_end(&w);
    QV_TRY(qv__buf_status(&c->scratch, &c->err));
    char *copy = qv__arena_strndup(c->arena, (const char *)c->scratch.p, c->scratch.n);
    if (!copy) {
        return qv__qd_no_memory(c);
    }
    *out = (struct qv__str){copy, c->scratch.n};
    return QV_OK;
}

qv_status qv__qd_config_read(struct qv__call *c, const struct qv__schema *s, qv__json *out)
{
    struct qv__json_limits limits = {.depth_max = 128};
    struct qv__str text = s->config_json;
    if (text.n == 0) {
        QV_TRY(describe(c, s, &text));
    }
    qv_status st = qv__json_parse(c->arena, text.p, text.n, &limits, out, &c->err);
    return st == QV_OK || st == QV_ENOMEM ? st
                                          : qv__wrap(&c->err, QV_ECORRUPT, "kept configuration");
}

/* --- acting
 * ------------------------------------------------------------------------------------------------
 */

static uint32_t graph_number(qv__json own, qv__json all, const char *key, uint32_t fallback)
{
    uint64_t v = fallback;
    if (!qv__json_u64(qv__json_get(own, key), &v)) {
        (void)qv__json_u64(qv__json_get(all, key), &v);
    }
    return (uint32_t)QV_MIN(v, (uint64_t)UINT32_MAX); /* its bounds are the engine's to check */
}

/* The peer's binary and turbo kinds are RaBitQ codes of so many bits; of the kinds that are not
 * built, it is the graph's own choice. */
static uint32_t codes_of(qv__json quantization)
{
    qv__json binary = qv__json_get(quantization, "binary");
    qv__json turbo = qv__json_get(quantization, "turbo");
    if (qv__json_str_is(quantization, "Disabled")) {
        return QV__INDEX_CODES_NONE;
    }
    if (binary) {
        qv__json encoding = qv__json_get(binary, "encoding");
        bool one = !qv__qd_given(encoding) || qv__json_str_is(encoding, "one_bit");
        return one ? QV__INDEX_CODES_BITS1 : QV__INDEX_CODES_BITS2;
    }
    if (turbo) {
        qv__json bits = qv__json_get(turbo, "bits");
        bool four = !qv__qd_given(bits) || qv__json_str_is(bits, "bits4");
        return four                             ? QV__INDEX_CODES_BITS4
               : qv__json_str_is(bits, "bits1") ? QV__INDEX_CODES_BITS1
                                                : QV__INDEX_CODES_BITS2;
    }
    return qv__json_get(quantization, "scalar") ? QV__INDEX_CODES_INT8 : QV__INDEX_CODES_AUTO;
}

/* {"memory": "cold"} or {"on_disk": true}, the first before the second; absent: as it was. */
static void read_on_disk(qv__json settings, bool *on_disk)
{
    qv__json memory = qv__json_get(settings, "memory");
    if (qv__qd_given(memory)) {
        *on_disk = qv__json_str_is(memory, "cold");
    } else {
        (void)qv__json_bool(qv__json_get(settings, "on_disk"), on_disk);
    }
}

static void read_packing(qv__json hnsw, uint32_t *packing)
{
    qv__json v = qv__json_get(hnsw, "packing");
    if (qv__qd_given(v)) {
        *packing =
            qv__json_str_is(v, "fused") ? QV__INDEX_PACKING_FUSED : QV__INDEX_PACKING_COMPACT;
    }
}

void qv__qd_vector_settings(qv__json kept, struct qv__vector_def *v)
{
    qv__json own = qv__json_get_n(qv__json_get(kept, "vectors"), v->name.p, v->name.n);
    qv__json hnsw = qv__json_get(own, "hnsw_config"), all = qv__json_get(kept, "hnsw_config");
    qv__json codes = qv__json_get(own, "quantization_config");
    v->idf = v->kind == QV__VEC_SPARSE && qv__json_str_is(qv__json_get(own, "modifier"), "idf");
    v->index.m = graph_number(hnsw, all, "m", 16);
    v->index.ef_construct = graph_number(hnsw, all, "ef_construct", 100);
    v->no_graph = v->index.m == 0;
    v->index.m = v->index.m ? v->index.m : 16;
    /* What all vectors are given goes past those that have no codes. */
    codes = codes || v->datatype == QV__BIT ? codes : qv__json_get(kept, "quantization_config");
    v->index.codes = codes_of(codes);
    read_on_disk(own, &v->on_disk);
    read_on_disk(all, &v->index.on_disk);
    read_on_disk(hnsw, &v->index.on_disk);
    read_packing(all, &v->index.packing);
    read_packing(hnsw, &v->index.packing);
}

void qv__qd_policy(qv__json kept, const struct qv__schema *s, struct qv__segment_policy *out)
{
    qv__json optimizers = qv__json_get(kept, "optimizers_config");
    uint64_t threshold_kb = 0, vacuum_rows, stride = 1;
    double deleted;
    qv__json params = qv__json_get(kept, "params"), payload = qv__json_get(params, "payload");
    bool on_disk = true;
    (void)qv__json_bool(qv__json_get(params, "on_disk_payload"), &on_disk);
    if (qv__qd_given(qv__json_get(payload, "memory"))) {
        on_disk = qv__json_str_is(qv__json_get(payload, "memory"), "cold");
    }
    out->payload_cached = !on_disk;
    if (qv__json_f64(qv__json_get(optimizers, "deleted_threshold"), &deleted)) {
        out->vacuum_percent = (uint32_t)QV_MAX(deleted * 100, 1.0);
    }
    if (qv__json_u64(qv__json_get(optimizers, "vacuum_min_vector_number"), &vacuum_rows)) {
        out->vacuum_rows = (uint32_t)QV_MIN(vacuum_rows, (uint64_t)UINT32_MAX);
    }
    (void)qv__json_u64(qv__json_get(optimizers, "tail_bytes"), &out->tail_bytes);
    if (!qv__json_u64(qv__json_get(optimizers, "indexing_threshold"), &threshold_kb)) {
        return;
    }
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        const struct qv__vector_def *v = &s->vectors[i];
        if (v->kind == QV__VEC_DENSE) {
            stride = QV_MAX(stride, qv__vector_bytes(v->datatype, v->dim));
        }
    }
    /* 0 switches indexing of fresh rows off, for bulk loads; else it is the size below which rows
     * are scanned. */
    out->index_at_seal_only = threshold_kb == 0;
    uint64_t rows = QV_MIN(threshold_kb, (uint64_t)UINT32_MAX) * 1024u / stride;
    out->index_rows =
        threshold_kb ? (uint32_t)QV_MIN(QV_MAX(rows, (uint64_t)1), (uint64_t)1 << 28) : 0;
}

qv_status qv__qd_ttl_read(struct qv__call *c, const char *place, qv__json obj, uint64_t *ttl_ms)
{
    uint64_t seconds = 0;
    QV_TRY(qv__qd_group_check(c, &qv__qd_ttl, place, obj));
    if (qv__json_u64(qv__json_get(obj, "ttl"), &seconds)) {
        *ttl_ms = seconds * 1000; /* its range was checked */
    }
    return QV_OK;
}

qv_status qv__qd_durability_read(struct qv__call *c, qv__json obj,
                                 struct qv__durability_policy *out)
{
    uint64_t window_ms = out->window_ms;
    qv__json mode = qv__json_get(obj, "mode");
    QV_TRY(qv__qd_group_check(c, &qv__qd_durability, "durability.", obj));
    if (qv__qd_given(mode)) {
        out->mode =
            qv__json_str_is(mode, "relaxed") ? QV__DURABILITY_RELAXED : QV__DURABILITY_FSYNC;
    }
    (void)qv__json_u64(qv__json_get(obj, "window_ms"), &window_ms);
    out->window_ms = (uint32_t)window_ms; /* its range was checked */
    return QV_OK;
}

/* --- showing
 * ------------------------------------------------------------------------------------------------
 */

static void show_vector(struct qv__jw *w, const struct qv__vector_def *v, qv__json kept)
{
    qv__json hnsw = qv__json_get(kept, "hnsw_config");
    qv__jw_obj(w);
    qv__jw_key(w, "size");
    qv__jw_u64(w, v->dim);
    qv__jw_key(w, "distance");
    qv__jw_str(w, qv__metric_name((enum qv__metric)v->metric));
    if (hnsw && hnsw->len) {
        qv__jw_key(w, "hnsw_config");
        qv__jw_value(w, hnsw);
    }
    for (size_t i = 1; i < qv__qd_vector_kept.n; i++) { /* after hnsw_config */
        qv__json setting = qv__qd_setting_of(&qv__qd_vector_kept.settings[i], kept);
        if (setting && !qv__json_str_is(setting, "Disabled")) {
            qv__jw_key(w, qv__qd_vector_kept.settings[i].name);
            qv__jw_value(w, setting);
        }
    }
    qv__jw_obj_end(w);
}

static void show_sparse(struct qv__jw *w, const struct qv__schema *s, qv__json vectors)
{
    qv__jw_key(w, "sparse_vectors");
    qv__jw_obj(w);
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        struct qv__str name = s->vectors[i].name;
        if (s->vectors[i].kind == QV__VEC_SPARSE) {
            qv__jw_key_n(w, name);
            qv__jw_obj(w);
            qv__qd_group_show(w, &qv__qd_sparse_kept, qv__json_get_n(vectors, name.p, name.n));
            qv__jw_obj_end(w);
        }
    }
    qv__jw_obj_end(w);
}

/* Only where points expire: in seconds; a collection made in C may have parts of one. */
static void show_ttl(struct qv__jw *w, uint64_t ttl_ms)
{
    if (ttl_ms) {
        qv__jw_key(w, "ttl");
    }
    if (ttl_ms % 1000) {
        qv__jw_f64(w, (double)ttl_ms / 1000);
    } else if (ttl_ms) {
        qv__jw_u64(w, ttl_ms / 1000);
    }
}

static void show_params(struct qv__jw *w, const struct qv__schema *s, qv__json kept)
{
    qv__json vectors = qv__json_get(kept, "vectors");
    bool named = true;
    uint32_t n_dense = 0;
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        n_dense += s->vectors[i].kind != QV__VEC_SPARSE;
    }
    (void)qv__json_bool(qv__json_get(kept, "named"), &named);
    named = named || n_dense != 1 || qv__schema_vector(s, QV__STR("")) < 0;
    qv__jw_obj(w);
    qv__jw_key(w, "vectors");
    if (named) {
        qv__jw_obj(w);
    }
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        struct qv__str name = s->vectors[i].name;
        if (s->vectors[i].kind == QV__VEC_SPARSE) {
            continue;
        }
        if (named) {
            qv__jw_key_n(w, name);
        }
        show_vector(w, &s->vectors[i], qv__json_get_n(vectors, name.p, name.n));
    }
    if (named) {
        qv__jw_obj_end(w);
    }
    if (n_dense != s->n_vectors) {
        show_sparse(w, s, vectors);
    }
    qv__jw_key(w, "shard_number");
    qv__jw_u64(w, s->shard_number);
    qv__qd_group_show(w, &qv__qd_collection_params, qv__json_get(kept, "params"));
    show_ttl(w, s->policy.ttl_ms);
    qv__jw_obj_end(w);
}

static void show_group(struct qv__jw *w, const char *key, const struct qv__qd_group *g,
                       qv__json kept)
{
    qv__jw_key(w, key);
    qv__jw_obj(w);
    qv__qd_group_show(w, g, qv__json_get(kept, g->name));
    qv__jw_obj_end(w);
}

void qv__qd_config_show(struct qv__jw *w, const struct qv__schema *s, qv__json kept)
{
    qv__json quantization = qv__json_get(kept, "quantization_config");
    qv__json strict = qv__json_get(kept, "strict_mode_config"),
             metadata = qv__json_get(kept, "metadata");
    qv__jw_obj(w);
    qv__jw_key(w, "params");
    show_params(w, s, kept);
    show_group(w, "hnsw_config", &qv__qd_hnsw, kept);
    show_group(w, "optimizer_config", &qv__qd_optimizers, kept);
    show_group(w, "wal_config", &qv__qd_wal, kept);
    qv__jw_key(w, "quantization_config");
    if (qv__json_is(quantization, QV__JSON_OBJ)) {
        qv__jw_value(w, quantization);
    } else {
        qv__jw_null(w);
    }
    if (strict && strict->len) {
        qv__jw_key(w, "strict_mode_config");
        qv__jw_value(w, strict);
    }
    if (metadata) {
        qv__jw_key(w, "metadata");
        qv__jw_value(w, metadata);
    }
    /* Ours: clients of the peer see it only where somebody asked for it. */
    if (s->durability.mode != QV__DURABILITY_FSYNC ||
        s->durability.window_ms != QV__WINDOW_MS_DEFAULT) {
        qv__jw_key(w, "durability");
        qv__jw_obj(w);
        qv__jw_key(w, "mode");
        qv__jw_str(w, s->durability.mode == QV__DURABILITY_RELAXED ? "relaxed" : "fsync");
        qv__qd_key_u64(w, "window_ms", s->durability.window_ms);
        qv__jw_obj_end(w);
    }
    qv__jw_obj_end(w);
}

/* --- warnings --- */

/* One message of a list that is begun by its first. */
static void message(struct qv__call *c, const char *list, unsigned *n, const char *text)
{
    if ((*n)++ == 0) {
        qv__jw_key(&c->w, list);
        qv__jw_arr(&c->w);
    }
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "message");
    qv__jw_str(&c->w, text);
    qv__jw_obj_end(&c->w);
}

static void end_list(struct qv__call *c, unsigned n)
{
    if (n) {
        qv__jw_arr_end(&c->w);
    }
}

/* What the settings of all vectors come to. */
struct survey {
    bool other_codes; /* somewhere a quantization that is not built */
    bool no_codes;    /* ... of vectors whose metric has none */
    bool are_bytes;   /* ... scalar, of vectors that are bytes already */
    unsigned inlined; /* vectors with inline_storage and no quantization */
};

static bool other_codes(qv__json quantization)
{
    return qv__json_get(quantization, "product") != NULL;
}

static void survey(const struct qv__schema *s, qv__json kept, struct survey *out)
{
    qv__json all = qv__json_get(kept, "hnsw_config");
    qv__json all_codes = qv__json_get(kept, "quantization_config");
    memset(out, 0, sizeof *out);
    out->other_codes = other_codes(all_codes);
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        const struct qv__vector_def *v = &s->vectors[i];
        qv__json own = qv__json_get_n(qv__json_get(kept, "vectors"), v->name.p, v->name.n);
        qv__json hnsw = qv__json_get(own, "hnsw_config");
        qv__json codes = qv__json_get(own, "quantization_config");
        bool quantized = qv__json_is(codes ? codes : all_codes, QV__JSON_OBJ);
        bool inlined = false;
        if (!qv__json_bool(qv__json_get(hnsw, "inline_storage"), &inlined)) {
            (void)qv__json_bool(qv__json_get(all, "inline_storage"), &inlined);
        }
        out->other_codes = out->other_codes || other_codes(codes);
        out->inlined += inlined && !quantized;
        bool bytes = v->datatype == QV__U8 || v->datatype == QV__I8;
        out->no_codes = out->no_codes || (quantized && v->metric == QV__L1);
        out->are_bytes = out->are_bytes || (bytes && v->metric != QV__L1 &&
                                            qv__json_get(codes ? codes : all_codes, "scalar"));
    }
}

void qv__qd_config_warn(struct qv__call *c, const struct qv__schema *s, qv__json kept)
{
    struct survey found;
    unsigned n = 0;
    survey(s, kept, &found);
    for (unsigned i = 0; i < found.inlined; i++) {
        message(c, "warnings", &n,
                "hnsw_config.inline_storage requires quantization to be enabled. This option will "
                "be ignored.");
    }
    end_list(c, n);
    /* The peer's tests want no warning of what the peer has: ours are a member of their own. */
    n = 0;
    if (found.other_codes) {
        message(c, "unapplied_settings", &n,
                "quantization_config: this version has no product codes, it searches int8");
    }
    if (found.no_codes) {
        message(c, "unapplied_settings", &n,
                "quantization_config: Manhattan distances are taken of the vectors, no codes serve "
                "them");
    }
    if (found.are_bytes) {
        message(c, "unapplied_settings", &n,
                "quantization_config.scalar: elements of uint8 and int8 vectors are bytes already, "
                "they are compared as they are");
    }
    end_list(c, n);
}

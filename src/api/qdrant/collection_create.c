/* collection_create.c: making a collection and changing its settings. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

/* --- the vectors of a new collection
 * --------------------------------------------------------------------- */

static qv_status parse_metric(struct qv__call *c, const char *place, qv__json v,
                              struct qv__vector_def *out)
{
    struct qv__str text;
    enum qv__metric metric;
    if (!v) {
        return qv__qd_fail(c, QV__QD_FORMAT, "missing field `%sdistance`", place);
    }
    if (!qv__json_str(v, &text)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%sdistance: expected a string, not %s", place,
                           qv__qd_kind_name(v));
    }
    if (!qv__metric_parse(text, &metric)) {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%sdistance: unknown variant `%.*s`, expected one of `Cosine`, "
                           "`Euclid`, `Dot`, `Manhattan`, `Hamming`",
                           place, (int)QV_MIN(text.n, (size_t)64), text.p);
    }
    out->metric = (uint8_t)metric;
    return QV_OK;
}

static qv_status parse_size(struct qv__call *c, const char *place, qv__json v,
                            struct qv__vector_def *out)
{
    uint64_t size = 0;
    if (!v) {
        return qv__qd_fail(c, QV__QD_FORMAT, "missing field `%ssize`", place);
    }
    if (!qv__json_u64(v, &size) || size == 0) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%ssize: expected an integer from 1 to %u, not %s",
                           place, QV__DIM_MAX,
                           v->kind == QV__JSON_I64 && v->i == 0 ? "0" : qv__qd_kind_name(v));
    }
    if (size > QV__DIM_MAX) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%ssize: value %" PRIu64 " invalid, must be from 1 to %u", place, size,
                           QV__DIM_MAX);
    }
    out->dim = (uint32_t)size;
    return QV_OK;
}

static qv_status check_kept(struct qv__call *c, const char *place, qv__json v, bool disable_allowed)
{
    qv__json quantization = qv__json_get(v, "quantization_config");
    QV_TRY(qv__qd_group_check(c, &qv__qd_vector_kept, place, v));
    return qv__qd_quantization_check(
        c, place, quantization ? quantization : qv__json_get(v, "quantization"), disable_allowed);
}

qv_status qv__qd_vector_parse(struct qv__call *c, const char *place, struct qv__str name,
                              qv__json v, struct qv__vector_def *out)
{
    qv__json datatype = qv__json_get(v, "datatype");
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%.*s: expected an object, not %s",
                           (int)strlen(place) - 1, place, qv__qd_kind_name(v));
    }
    out->name = name;
    QV_TRY(parse_size(c, place, qv__json_get(v, "size"), out));
    QV_TRY(parse_metric(c, place, qv__json_get(v, "distance"), out));
    QV_TRY(check_kept(c, place, v, false));
    if (qv__qd_given(qv__json_get(v, "multivector_config"))) {
        out->kind = QV__VEC_MULTI;
    }
    if (qv__json_str_is(datatype, "turbo4")) {
        return qv__qd_unsupported(c, "the vector datatype turbo4");
    }
    out->datatype = QV__F32;
    for (uint8_t d = QV__F32; d <= QV__BIT; d++) {
        out->datatype = qv__json_str_is(datatype, qv__datatype_name(d)) ? d : out->datatype;
    }
    return QV_OK;
}

qv_status qv__qd_sparse_parse(struct qv__call *c, const char *place, struct qv__str name,
                              qv__json v, struct qv__vector_def *out)
{
    qv__json index = qv__json_get(v, "index");
    if (qv__qd_given(v) && !qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%.*s: expected an object, not %s",
                           (int)strlen(place) - 1, place, qv__qd_kind_name(v));
    }
    QV_TRY(qv__qd_group_check(c, &qv__qd_sparse_kept, place, v));
    if (qv__json_str_is(qv__json_get(index, "datatype"), "turbo4")) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%sindex.datatype: sparse vectors do not support turbo4", place);
    }
    *out = (struct qv__vector_def){.name = name,
                                   .kind = QV__VEC_SPARSE,
                                   .metric = QV__DOT,
                                   .idf = qv__json_str_is(qv__json_get(v, "modifier"), "idf")};
    return QV_OK;
}

static qv_status parse_sparse(struct qv__call *c, qv__json v, struct qv__schema *schema,
                              struct qv__qd_changes *ch)
{
    qv__json key = qv__json_first(v);
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "sparse_vectors", "an object", v);
    }
    QV_TRY(qv__qd_range(c, "vectors", v->len, 0, QV__VECTORS_MAX)); /* as many look-ups, squared */
    ch->sparse = v;
    for (uint32_t i = 0; i < v->len; i++, key = qv__json_next(key + 1)) {
        char place[QV__VECTOR_NAME_MAX + 32];
        struct qv__str name = {key->s, key->len};
        if (qv__json_get_n(v, key->s, key->len) != key + 1) {
            continue; /* of equal names the last counts */
        }
        QV_TRY(qv__qd_range(c, "vectors", schema->n_vectors + 1, 0, QV__VECTORS_MAX));
        if (name.n == 0) {
            return qv__fail(&c->err, QV_EINVAL, "Sparse vector name cannot be empty");
        }
        if (qv__schema_vector(schema, name) >= 0) {
            return qv__fail(&c->err, QV_EINVAL,
                            "Dense and sparse vector names must be unique - duplicate found with "
                            "'%.*s'",
                            (int)QV_MIN(name.n, QV__VECTOR_NAME_MAX), name.p);
        }
        (void)snprintf(place, sizeof place, "sparse_vectors.%.*s.",
                       (int)QV_MIN(name.n, QV__VECTOR_NAME_MAX), name.p);
        QV_TRY(qv__qd_sparse_parse(c, place, name, key + 1, &schema->vectors[schema->n_vectors]));
        schema->n_vectors++;
    }
    return QV_OK;
}

/* {"size": ..., "distance": ...}, or such objects by name. */
static bool is_single(qv__json v)
{
    qv__json size = qv__json_get(v, "size"), distance = qv__json_get(v, "distance");
    return (size && !qv__json_is(size, QV__JSON_OBJ)) ||
           (distance && !qv__json_is(distance, QV__JSON_OBJ));
}

static qv_status parse_vectors(struct qv__call *c, qv__json v, struct qv__schema *schema,
                               struct qv__qd_changes *ch)
{
    if (v && !qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "vectors", "an object", v);
    }
    ch->vectors = v;
    ch->vectors_single = is_single(v);
    ch->vectors_named = !ch->vectors_single;
    uint32_t n = ch->vectors_single ? 1 : v ? v->len : 0;
    QV_TRY(qv__qd_range(c, "vectors", n, 0, QV__VECTORS_MAX));
    struct qv__vector_def *defs = qv__arena_calloc(c->arena, QV__VECTORS_MAX, sizeof *defs);
    if (!defs) {
        return qv__qd_no_memory(c);
    }
    schema->vectors = defs;
    if (ch->vectors_single) {
        schema->n_vectors = 1;
        return qv__qd_vector_parse(c, "vectors.", QV__STR(""), v, defs);
    }
    qv__json key = qv__json_first(v);
    for (uint32_t i = 0; i < n; i++, key = qv__json_next(key + 1)) {
        char place[QV__VECTOR_NAME_MAX + 16];
        if (qv__json_get_n(v, key->s, key->len) != key + 1) {
            continue; /* of equal names the last counts */
        }
        (void)snprintf(place, sizeof place, "vectors.%.*s.",
                       (int)QV_MIN(key->len, QV__VECTOR_NAME_MAX), key->s);
        QV_TRY(qv__qd_vector_parse(c, place, (struct qv__str){key->s, key->len}, key + 1,
                                   &defs[schema->n_vectors]));
        schema->n_vectors++;
    }
    return QV_OK;
}

/* --- what creating and patching share
 * -------------------------------------------------------------------------- */

static qv__json either(qv__json obj, const char *a, const char *b)
{
    qv__json v = qv__json_get(obj, a);
    v = v ? v : qv__json_get(obj, b);
    return qv__qd_given(v) ? v : NULL;
}

/* The groups that both bodies have under the same names. */
static qv_status parse_groups(struct qv__call *c, bool disable_allowed, struct qv__qd_changes *ch)
{
    ch->hnsw = either(c->body, "hnsw_config", "hnsw_config");
    ch->optimizers = either(c->body, "optimizers_config", "optimizer_config");
    ch->strict = either(c->body, "strict_mode_config", "strict_mode_config");
    ch->quantization = either(c->body, "quantization_config", "quantization");
    ch->metadata = either(c->body, "metadata", "metadata");
    QV_TRY(qv__qd_group_check(c, &qv__qd_hnsw, "hnsw_config.", ch->hnsw));
    QV_TRY(qv__qd_group_check(c, &qv__qd_optimizers, "optimizers_config.", ch->optimizers));
    QV_TRY(qv__qd_group_check(c, &qv__qd_strict_mode, "strict_mode_config.", ch->strict));
    QV_TRY(qv__qd_strict_check(c, ch->strict));
    QV_TRY(qv__qd_quantization_check(c, "", ch->quantization, disable_allowed));
    if (ch->metadata && !qv__json_is(ch->metadata, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "metadata", "an object", ch->metadata);
    }
    return QV_OK;
}

static qv_status parse_sharding(struct qv__call *c, struct qv__schema *schema)
{
    qv__json method = qv__json_get(c->body, "sharding_method");
    uint64_t shards = 0;
    bool given;
    QV_TRY(qv__qd_u64(c, c->body, "shard_number", &given, &shards));
    if (given && shards > UINT32_MAX) {
        return qv__qd_fail(c, QV__QD_FORMAT, "shard_number: expected an integer that fits 32 bits");
    }
    if (given) {
        QV_TRY(qv__qd_range(c, "shard_number", shards, 1, shards ? QV__SHARDS_MAX : 0));
    }
    schema->shard_number = (uint32_t)shards;
    if (qv__json_str_is(method, "custom")) {
        return qv__qd_unsupported(c, "sharding_method custom");
    }
    if (qv__qd_given(method) && !qv__json_str_is(method, "auto")) {
        return qv__qd_expected(c, "sharding_method", "`auto` or `custom`", method);
    }
    return QV_OK;
}

/* --- handlers
 * ---------------------------------------------------------------------------------------------------
 */

/* Quantization for all vectors of a collection, where none can have it. */
static qv_status quantization_serves(struct qv__call *c, const struct qv__schema *s,
                                     qv__json quantization)
{
    bool serves = s->n_vectors == 0 || !qv__json_is(quantization, QV__JSON_OBJ);
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        serves = serves || s->vectors[i].datatype != QV__BIT;
    }
    return serves ? QV_OK
                  : qv__qd_fail(c, QV__QD_INVALID,
                                "quantization_config: bit vectors have no codes, an element takes "
                                "one bit as it is");
}

qv_status qv__qd_collection_create(struct qv__call *c)
{
    struct qv__schema schema;
    struct qv__qd_changes ch = {.params = c->body};
    qv__json kept = NULL;
    memset(&schema, 0, sizeof schema);
    QV_TRY(parse_groups(c, false, &ch));
    ch.wal = either(c->body, "wal_config", "wal_config");
    QV_TRY(qv__qd_group_check(c, &qv__qd_wal, "wal_config.", ch.wal));
    QV_TRY(qv__qd_group_check(c, &qv__qd_collection_params, "", c->body));
    QV_TRY(qv__qd_ttl_read(c, "", c->body, &schema.policy.ttl_ms));
    QV_TRY(parse_sharding(c, &schema));
    QV_TRY(qv__qd_durability_read(c, qv__json_get(c->body, "durability"), &schema.durability));
    QV_TRY(parse_vectors(c, qv__json_get(c->body, "vectors"), &schema, &ch));
    QV_TRY(parse_sparse(c, qv__json_get(c->body, "sparse_vectors"), &schema, &ch));
    QV_TRY(quantization_serves(c, &schema, ch.quantization));
    QV_TRY(qv__qd_config_keep(c, &schema, NULL, &ch, &schema.config_json));
    QV_TRY(qv__qd_config_read(c, &schema, &kept));
    qv__qd_policy(kept, &schema, &schema.policy);
    for (uint32_t i = 0; i < schema.n_vectors; i++) {
        qv__qd_vector_settings(kept, &schema.vectors[i]);
    }
    QV_TRY(qv__db_create_collection(c->db, c->params[0], &schema, &c->err));
    qv__jw_bool(&c->w, true);
    return QV_OK;
}

/* name -> settings of a vector that exists. */
static qv_status check_vector_changes(struct qv__call *c, const struct qv__schema *s,
                                      const char *list, bool is_sparse, qv__json v)
{
    qv__json key = qv__json_first(v);
    if (qv__qd_given(v) && !qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, list, "an object", v);
    }
    for (uint32_t i = 0; key && i < v->len; i++, key = qv__json_next(key + 1)) {
        char place[QV__VECTOR_NAME_MAX + 32];
        struct qv__str name = {key->s, key->len};
        int at = qv__schema_vector(s, name);
        if (at < 0 || (s->vectors[at].kind == QV__VEC_SPARSE) != is_sparse) {
            return qv__fail(&c->err, QV_EINVAL, "Not existing vector name error: %.*s",
                            (int)QV_MIN(name.n, (size_t)64), name.p);
        }
        (void)snprintf(place, sizeof place, "%s.%.*s.", list, (int)name.n, name.p);
        if (!qv__json_is(key + 1, QV__JSON_OBJ)) {
            return qv__qd_fail(c, QV__QD_FORMAT, "%s.%.*s: expected an object, not %s", list,
                               (int)name.n, name.p, qv__qd_kind_name(key + 1));
        }
        if (is_sparse) {
            struct qv__vector_def ignored;
            QV_TRY(qv__qd_sparse_parse(c, place, name, key + 1, &ignored));
        } else {
            QV_TRY(check_kept(c, place, key + 1, true));
        }
    }
    return QV_OK;
}

static qv_status patch(struct qv__call *c, const struct qv__schema *s)
{
    struct qv__qd_changes ch = {0};
    struct qv__segment_policy policy = s->policy;
    struct qv__durability_policy durability = s->durability;
    struct qv__schema changed;
    qv__json old = NULL, kept = NULL;
    memset(&changed, 0, sizeof changed);
    QV_TRY(parse_groups(c, true, &ch));
    ch.params = either(c->body, "params", "params");
    ch.vectors = either(c->body, "vectors", "vectors");
    QV_TRY(qv__qd_group_check(c, &qv__qd_collection_params, "params.", ch.params));
    QV_TRY(qv__qd_ttl_read(c, "params.", ch.params, &policy.ttl_ms));
    QV_TRY(qv__qd_durability_read(c, qv__json_get(c->body, "durability"), &durability));
    ch.sparse = either(c->body, "sparse_vectors", "sparse_vectors");
    QV_TRY(check_vector_changes(c, s, "vectors", false, ch.vectors));
    QV_TRY(check_vector_changes(c, s, "sparse_vectors", true, ch.sparse));
    QV_TRY(quantization_serves(c, s, ch.quantization));
    QV_TRY(qv__qd_config_read(c, s, &old));
    QV_TRY(qv__qd_config_keep(c, s, old, &ch, &changed.config_json));
    QV_TRY(qv__qd_config_read(c, &changed, &kept));
    qv__qd_policy(kept, s, &policy);
    struct qv__vector_def defs[QV__VECTORS_MAX];
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        defs[i] = s->vectors[i];
        qv__qd_vector_settings(kept, &defs[i]);
    }
    struct qv__alter alter = {.policy = &policy,
                              .durability = &durability,
                              .config_json = &changed.config_json,
                              .set = defs,
                              .n_set = s->n_vectors};
    return qv__collection_alter(c->collection, &alter, NULL, &c->err);
}

/* What is kept is read, merged and written: one at a time, so that no change is lost to another. */
qv_status qv__qd_collection_patch(struct qv__call *c)
{
    struct qv__mutex *one = qv__api_patch_lock(c->request->api);
    qv__mutex_lock(one);
    struct qv__schema *s = qv__collection_schema(c->collection);
    qv_status st = patch(c, s);
    qv__schema_release(s);
    qv__mutex_unlock(one);
    if (st == QV_OK && qv__qd_given(qv__json_get(c->body, "strict_mode_config"))) {
        qv__qd_strict_refill(c);
    }
    if (st == QV_OK) {
        qv__jw_bool(&c->w, true);
    }
    return st;
}

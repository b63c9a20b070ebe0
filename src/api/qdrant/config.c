/* config.c: the settings a collection may be given, as tables: checked, merged, shown.
 *
 * Most of them steer machinery this engine does not have. They are checked for type and range,
 * kept, and shown again with the peer's defaults, since its clients read them back;
 * collection_info.c warns of those that a user would expect to have an effect. Members outside the
 * tables are dropped. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

#define GROUP(id, list, title) struct qv__qd_group id = {title, list, QV_ARRAY_LEN(list)}

static const char *const memories[] = {"cold", "cached", "pinned", NULL};
static const char *const packings[] = {"compact", "fused", NULL};
static const char *const memories_unpinned[] = {"cold", "cached", NULL};
/* int8 and bit are additions. */
static const char *const datatypes[] = {"float32", "uint8", "float16", "turbo4",
                                        "int8",    "bit",   NULL};

static const struct qv__qd_setting hnsw[] = {
    {.name = "m", .type = QV__QD_UINT, .fallback = "16"},
    {.name = "ef_construct", .type = QV__QD_UINT, .min = 4, .fallback = "100"},
    {.name = "full_scan_threshold",
     .alias = "full_scan_threshold_kb",
     .type = QV__QD_UINT,
     .min = 10,
     .fallback = "10000"},
    {.name = "max_indexing_threads", .type = QV__QD_UINT, .fallback = "0"},
    {.name = "on_disk", .type = QV__QD_BOOL, .fallback = "false"},
    {.name = "memory", .type = QV__QD_ENUM, .words = memories},
    {.name = "payload_m", .type = QV__QD_UINT},
    {.name = "inline_storage", .type = QV__QD_BOOL},
    {.name = "packing", .type = QV__QD_ENUM, .words = packings}, /* an addition */
};
const GROUP(qv__qd_hnsw, hnsw, "hnsw_config");

static const struct qv__qd_setting optimizers[] = {
    {.name = "deleted_threshold", .type = QV__QD_NUMBER, .max = 1, .fallback = "0.2"},
    {.name = "vacuum_min_vector_number", .type = QV__QD_UINT, .min = 100, .fallback = "1000"},
    {.name = "default_segment_number", .type = QV__QD_UINT, .fallback = "0"},
    {.name = "max_segment_size",
     .alias = "max_segment_size_kb",
     .type = QV__QD_UINT,
     .min = 1,
     .fallback = "null"},
    {.name = "memmap_threshold",
     .alias = "memmap_threshold_kb",
     .type = QV__QD_UINT,
     .fallback = "null"},
    {.name = "indexing_threshold",
     .alias = "indexing_threshold_kb",
     .type = QV__QD_UINT,
     .fallback = "10000"},
    {.name = "flush_interval_sec", .type = QV__QD_UINT, .fallback = "5"},
    {.name = "max_optimization_threads", .type = QV__QD_THREADS, .fallback = "null"},
    {.name = "prevent_unoptimized", .type = QV__QD_BOOL},
    {.name = "tail_bytes", .type = QV__QD_UINT, .min = 1}, /* an addition */
};
const GROUP(qv__qd_optimizers, optimizers, "optimizers_config");

static const struct qv__qd_setting wal[] = {
    {.name = "wal_capacity_mb", .type = QV__QD_UINT, .min = 1, .fallback = "32"},
    {.name = "wal_segments_ahead", .type = QV__QD_UINT, .fallback = "0"},
    {.name = "wal_retain_closed", .type = QV__QD_UINT, .min = 1, .fallback = "1"},
};
const GROUP(qv__qd_wal, wal, "wal_config");

static const struct qv__qd_setting payload_storage[] = {
    {.name = "memory", .type = QV__QD_ENUM, .words = memories_unpinned},
};
static const GROUP(payload_group, payload_storage, "payload");

static const struct qv__qd_setting params[] = {
    {.name = "replication_factor",
     .type = QV__QD_UINT,
     .min = 1,
     .max = UINT32_MAX,
     .fallback = "1"},
    {.name = "write_consistency_factor",
     .type = QV__QD_UINT,
     .min = 1,
     .max = UINT32_MAX,
     .fallback = "1"},
    {.name = "read_fan_out_factor", .type = QV__QD_UINT},
    {.name = "read_fan_out_delay_ms", .type = QV__QD_UINT},
    {.name = "on_disk_payload", .type = QV__QD_BOOL, .fallback = "true"},
    {.name = "payload", .type = QV__QD_OBJECT, .group = &payload_group},
};
const GROUP(qv__qd_collection_params, params, "params");

/* An extension that stands among them; kept in the schema, not in the configuration. */
static const struct qv__qd_setting ttl[] = {
    {.name = "ttl", .type = QV__QD_UINT, .max = QV__TTL_MS_MAX / 1000}, /* seconds */
};
const GROUP(qv__qd_ttl, ttl, "params");

static const struct qv__qd_setting strict[] = {
    {.name = "enabled", .type = QV__QD_BOOL},
    {.name = "max_query_limit", .type = QV__QD_UINT, .min = 1},
    {.name = "max_timeout", .type = QV__QD_UINT, .min = 1},
    {.name = "unindexed_filtering_retrieve", .type = QV__QD_BOOL},
    {.name = "unindexed_filtering_update", .type = QV__QD_BOOL},
    {.name = "search_max_hnsw_ef", .type = QV__QD_UINT},
    {.name = "search_allow_exact", .type = QV__QD_BOOL},
    {.name = "search_max_oversampling", .type = QV__QD_NUMBER},
    {.name = "upsert_max_batchsize", .type = QV__QD_UINT},
    {.name = "search_max_batchsize", .type = QV__QD_UINT},
    {.name = "max_collection_vector_size_bytes", .type = QV__QD_UINT},
    {.name = "read_rate_limit", .type = QV__QD_UINT, .min = 1},
    {.name = "write_rate_limit", .type = QV__QD_UINT, .min = 1},
    {.name = "max_collection_payload_size_bytes", .type = QV__QD_UINT},
    {.name = "max_points_count", .type = QV__QD_UINT, .min = 1},
    {.name = "filter_max_conditions", .type = QV__QD_UINT},
    {.name = "condition_max_size", .type = QV__QD_UINT},
    {.name = "multivector_config", .type = QV__QD_OBJECT},
    {.name = "sparse_config", .type = QV__QD_OBJECT},
    {.name = "max_payload_index_count", .type = QV__QD_UINT},
    {.name = "max_resident_memory_percent", .type = QV__QD_UINT, .min = 1, .max = 100},
};
const GROUP(qv__qd_strict_mode, strict, "strict_mode_config");

/* An extension; kept in the schema, not in the configuration. */
static const char *const durabilities[] = {"fsync", "relaxed", NULL};
static const struct qv__qd_setting durability[] = {
    {.name = "mode", .type = QV__QD_ENUM, .words = durabilities},
    {.name = "window_ms", .type = QV__QD_UINT, .min = 1, .max = QV__WINDOW_MS_MAX},
};
const GROUP(qv__qd_durability, durability, "durability");

static const char *const comparators[] = {"max_sim", NULL};
static const struct qv__qd_setting multivector[] = {
    {.name = "comparator", .type = QV__QD_ENUM, .words = comparators, .fallback = "\"max_sim\""},
};
static const GROUP(multivector_group, multivector, "multivector_config");

/* What is kept per sparse vector. */
static const char *const modifiers[] = {"none", "idf", NULL};
static const struct qv__qd_setting sparse_index[] = {
    {.name = "full_scan_threshold", .type = QV__QD_UINT},
    {.name = "on_disk", .type = QV__QD_BOOL},
    {.name = "memory", .type = QV__QD_ENUM, .words = memories},
    {.name = "datatype", .type = QV__QD_ENUM, .words = datatypes},
};
static const GROUP(sparse_index_group, sparse_index, "index");
static const struct qv__qd_setting sparse_kept[] = {
    {.name = "index", .type = QV__QD_OBJECT, .group = &sparse_index_group},
    {.name = "modifier", .type = QV__QD_ENUM, .words = modifiers},
};
const GROUP(qv__qd_sparse_kept, sparse_kept, "sparse_vectors");

/* What is kept per vector; quantization_config is checked apart. */
static const struct qv__qd_setting vector_kept[] = {
    {.name = "hnsw_config", .type = QV__QD_OBJECT, .group = &qv__qd_hnsw},
    {.name = "quantization_config", .alias = "quantization", .type = QV__QD_ANY},
    {.name = "on_disk", .type = QV__QD_BOOL},
    {.name = "memory", .type = QV__QD_ENUM, .words = memories_unpinned},
    {.name = "datatype", .type = QV__QD_ENUM, .words = datatypes},
    {.name = "multivector_config", .type = QV__QD_OBJECT, .group = &multivector_group},
};
const GROUP(qv__qd_vector_kept, vector_kept, "vectors");

/* --- checking
 * -------------------------------------------------------------------------------------------- */

qv__json qv__qd_setting_of(const struct qv__qd_setting *s, qv__json obj)
{
    qv__json v = qv__json_get(obj, s->name);
    if (!v && s->alias) {
        v = qv__json_get(obj, s->alias);
    }
    return qv__qd_given(v) ? v : NULL;
}

static qv_status outside(struct qv__call *c, const char *place, const struct qv__qd_setting *s,
                         double value)
{
    int digits = s->type == QV__QD_NUMBER; /* 0.5, but 100 */
    if (s->max == 0) {
        return qv__qd_fail(c, QV__QD_INVALID, "%s%s: value %g invalid, must be %.*f or larger",
                           place, s->name, value, digits, s->min);
    }
    return qv__qd_fail(c, QV__QD_INVALID, "%s%s: value %g invalid, must be from %.*f to %.*f",
                       place, s->name, value, digits, s->min, digits, s->max);
}

static bool is_word(const char *const *words, qv__json v)
{
    for (size_t i = 0; words[i]; i++) {
        if (qv__json_str_is(v, words[i])) {
            return true;
        }
    }
    return false;
}

static qv_status check_word(struct qv__call *c, const char *place, const struct qv__qd_setting *s,
                            qv__json v)
{
    struct qv__str text = {"", 0};
    if (is_word(s->words, v)) {
        return QV_OK;
    }
    if (s->words == memories_unpinned && qv__json_str_is(v, "pinned")) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%s%s: `pinned` memory placement is not supported here", place, s->name);
    }
    if (!qv__json_str(v, &text)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: expected a string, not %s", place, s->name,
                           qv__qd_kind_name(v));
    }
    return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: unknown variant `%.*s`, expected for example `%s`",
                       place, s->name, (int)QV_MIN(text.n, (size_t)64), text.p, s->words[0]);
}

static qv_status check_number(struct qv__call *c, const char *place, const struct qv__qd_setting *s,
                              qv__json v)
{
    uint64_t u = 0;
    double d = 0;
    if (s->type == QV__QD_NUMBER ? !qv__json_f64(v, &d) : !qv__json_u64(v, &u)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: expected %s, not %s", place, s->name,
                           s->type == QV__QD_NUMBER ? "a number" : "an unsigned integer",
                           qv__qd_kind_name(v));
    }
    d = s->type == QV__QD_NUMBER ? d : (double)u;
    return d < s->min || (s->max > 0 && d > s->max) ? outside(c, place, s, d) : QV_OK;
}

static qv_status check_flat(struct qv__call *c, const char *place, const struct qv__qd_setting *s,
                            qv__json v)
{
    switch (s->type) {
    case QV__QD_THREADS:
        if (qv__json_str_is(v, "auto")) {
            return QV_OK;
        }
        return check_number(c, place, s, v);
    case QV__QD_UINT:
    case QV__QD_NUMBER:
        return check_number(c, place, s, v);
    case QV__QD_ENUM:
        return check_word(c, place, s, v);
    case QV__QD_BOOL:
        if (!qv__json_is(v, QV__JSON_BOOL)) {
            return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: expected a boolean, not %s", place, s->name,
                               qv__qd_kind_name(v));
        }
        return QV_OK;
    case QV__QD_OBJECT:
    case QV__QD_ANY:
    default:
        return QV_OK; /* objects: the caller */
    }
}

static qv_status check_object(struct qv__call *c, const char *place, qv__json obj)
{
    if (qv__qd_given(obj) && !qv__json_is(obj, QV__JSON_OBJ)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%.*s: expected an object, not %s",
                           (int)QV_MAX(strlen(place), (size_t)1) - 1, place, qv__qd_kind_name(obj));
    }
    return QV_OK;
}

/* Groups nest once at most: an object's own settings are flat. */
qv_status qv__qd_group_check(struct qv__call *c, const struct qv__qd_group *g, const char *place,
                             qv__json obj)
{
    QV_TRY(check_object(c, place, obj));
    for (size_t i = 0; obj && i < g->n; i++) {
        const struct qv__qd_setting *s = &g->settings[i];
        qv__json v = qv__qd_setting_of(s, obj);
        if (!v) {
            continue;
        }
        QV_TRY(check_flat(c, place, s, v));
        if (s->type != QV__QD_OBJECT) {
            continue;
        }
        char inner[320];
        (void)snprintf(inner, sizeof inner, "%s%s.", place, s->name);
        QV_TRY(check_object(c, inner, v));
        for (size_t k = 0; s->group && k < s->group->n; k++) {
            qv__json w = qv__qd_setting_of(&s->group->settings[k], v);
            if (w) {
                QV_TRY(check_flat(c, inner, &s->group->settings[k], w));
            }
        }
    }
    return QV_OK;
}

/* --- quantization: one of four objects
 * ----------------------------------------------------------------------- */

static const char *const scalar_types[] = {"int8", NULL};
static const char *const compressions[] = {"x4", "x8", "x16", "x32", "x64", NULL};
static const char *const encodings[] = {"one_bit", "two_bits", "one_and_half_bits", NULL};
static const char *const query_encodings[] = {"default", "binary", "scalar4bits", "scalar8bits",
                                              NULL};
static const char *const turbo_bits[] = {"bits1", "bits1_5", "bits2", "bits4", NULL};

#define PLACEMENT                                                                                  \
    {.name = "always_ram", .type = QV__QD_BOOL},                                                   \
    {                                                                                              \
        .name = "memory", .type = QV__QD_ENUM, .words = memories                                   \
    }

static const struct qv__qd_setting scalar[] = {
    {.name = "type", .type = QV__QD_ENUM, .words = scalar_types},
    {.name = "quantile", .type = QV__QD_NUMBER, .min = 0.5, .max = 1},
    PLACEMENT};
static const struct qv__qd_setting product[] = {
    {.name = "compression", .type = QV__QD_ENUM, .words = compressions}, PLACEMENT};
static const struct qv__qd_setting binary[] = {
    {.name = "encoding", .type = QV__QD_ENUM, .words = encodings},
    {.name = "query_encoding", .type = QV__QD_ENUM, .words = query_encodings},
    PLACEMENT};
static const struct qv__qd_setting turbo[] = {
    {.name = "bits", .type = QV__QD_ENUM, .words = turbo_bits}, PLACEMENT};

static const struct {
    struct qv__qd_group group;
    const char *needed; /* member that must be there */
} quantizations[] = {
    {{"scalar", scalar, QV_ARRAY_LEN(scalar)}, "type"},
    {{"product", product, QV_ARRAY_LEN(product)}, "compression"},
    {{"binary", binary, QV_ARRAY_LEN(binary)}, NULL},
    {{"turbo", turbo, QV_ARRAY_LEN(turbo)}, NULL},
};

qv_status qv__qd_quantization_check(struct qv__call *c, const char *place, qv__json v,
                                    bool disable_allowed)
{
    if (!qv__qd_given(v) || (disable_allowed && qv__json_str_is(v, "Disabled"))) {
        return QV_OK;
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(quantizations); i++) {
        qv__json body = qv__json_get(v, quantizations[i].group.name);
        char inner[320];
        if (!body) {
            continue;
        }
        (void)snprintf(inner, sizeof inner, "%squantization_config.%s.", place,
                       quantizations[i].group.name);
        if (!qv__json_is(body, QV__JSON_OBJ)) {
            return qv__qd_fail(c, QV__QD_FORMAT,
                               "%squantization_config.%s: expected an object, not %s", place,
                               quantizations[i].group.name, qv__qd_kind_name(body));
        }
        if (quantizations[i].needed && !qv__qd_given(qv__json_get(body, quantizations[i].needed))) {
            return qv__qd_fail(c, QV__QD_FORMAT, "missing field `%s%s`", inner,
                               quantizations[i].needed);
        }
        return qv__qd_group_check(c, &quantizations[i].group, inner, body);
    }
    return qv__qd_fail(
        c, QV__QD_FORMAT,
        "%squantization_config: expected an object with one of scalar, product, binary, turbo",
        place);
}

/* --- merging and showing
 * ------------------------------------------------------------------------------------------ */

void qv__qd_group_merge(struct qv__jw *w, const struct qv__qd_group *g, qv__json old,
                        qv__json fresh)
{
    for (size_t i = 0; i < g->n; i++) {
        qv__json v = qv__qd_setting_of(&g->settings[i], fresh);
        if (!v) {
            v = qv__qd_setting_of(&g->settings[i], old);
        }
        if (v) {
            qv__jw_key(w, g->settings[i].name);
            qv__jw_value(w, v);
        }
    }
}

void qv__qd_group_show(struct qv__jw *w, const struct qv__qd_group *g, qv__json kept)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct qv__qd_setting *s = &g->settings[i];
        qv__json v = qv__qd_setting_of(s, kept);
        if (s->type == QV__QD_THREADS && qv__json_is(v, QV__JSON_STR)) {
            v = NULL; /* "auto" is shown as null */
        }
        if (v) {
            qv__jw_key(w, s->name);
            qv__jw_value(w, v);
        } else if (s->fallback) {
            qv__jw_key(w, s->name);
            qv__jw_raw(w, s->fallback, strlen(s->fallback));
        }
    }
}

/* schema.c: making, checking and storing collection schemas. Immutable after creation. */
#include "engine/schema.h"

#include <stdio.h>

#include "base/varvec.h"

static const char *const metric_names[] = {"Cosine", "Dot", "Euclid", "Manhattan", "Hamming"};

const char *qv__metric_name(enum qv__metric m)
{
    return (size_t)m < QV_ARRAY_LEN(metric_names) ? metric_names[m] : "unknown";
}

bool qv__metric_parse(struct qv__str text, enum qv__metric *out)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(metric_names); i++) {
        if (qv__str_eq(text, qv__str_z(metric_names[i]))) {
            *out = (enum qv__metric)i;
            return true;
        }
    }
    return false;
}

/* Bytes of one well-formed UTF-8 sequence at p, 0 if there is none (RFC 3629). */
static size_t utf8_len(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        return left >= 2 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
    }
    if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        if (left < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80) {
            return 0;
        }
        bool overlong = p[0] == 0xE0 && p[1] < 0xA0;
        bool surrogate = p[0] == 0xED && p[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        if (left < 4 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (p[3] & 0xC0) != 0x80) {
            return 0;
        }
        bool overlong = p[0] == 0xF0 && p[1] < 0x90;
        bool beyond = p[0] == 0xF4 && p[1] > 0x8F;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

static qv_status name_text_check(struct qv__str name, const char *what, const char *forbidden,
                                 size_t max, struct qv_err *err)
{
    if (name.n > max) {
        return qv__fail(err, QV_EVALIDATION, "%s: %zu bytes are more than %zu", what, name.n, max);
    }
    const uint8_t *p = (const uint8_t *)name.p, *end = p + name.n;
    while (p < end) {
        size_t n = utf8_len(p, end);
        if (n == 0) {
            return qv__fail(err, QV_EVALIDATION, "%s: not UTF-8", what);
        }
        if (p[0] < 0x20 || p[0] == 0x7F) {
            return qv__fail(err, QV_EVALIDATION, "%s: control character 0x%02x is not allowed",
                            what, p[0]);
        }
        if (n == 1 && forbidden && strchr(forbidden, p[0])) {
            return qv__fail(err, QV_EVALIDATION, "%s: character `%c` is not allowed", what, p[0]);
        }
        p += n;
    }
    return QV_OK;
}

qv_status qv__collection_name_check(struct qv__str name, struct qv_err *err)
{
    if (name.n == 0) {
        return qv__fail(err, QV_EVALIDATION, "collection_name: must not be empty");
    }
    if (qv__str_eq(name, QV__STR(".")) || qv__str_eq(name, QV__STR(".."))) {
        return qv__fail(err, QV_EVALIDATION, "collection_name: `%.*s` is not allowed", (int)name.n,
                        name.p);
    }
    return name_text_check(name, "collection_name", "/\\:*?\"<>|", QV__COLLECTION_NAME_MAX, err);
}

static void defaults_fill(struct qv__schema *s)
{
    struct qv__segment_policy *p = &s->policy;
    p->seal_rows = p->seal_rows ? p->seal_rows : 65536;
    p->seal_bytes = p->seal_bytes ? p->seal_bytes : (uint64_t)256 << 20;
    p->index_rows = p->index_rows ? p->index_rows : 1024;
    p->tail_bytes = p->tail_bytes ? p->tail_bytes : QV__TAIL_BYTES_DEFAULT;
    p->merge_fanin = p->merge_fanin ? p->merge_fanin : 4;
    p->vacuum_percent = p->vacuum_percent ? p->vacuum_percent : 20;
    p->vacuum_rows = p->vacuum_rows ? p->vacuum_rows : QV_MIN(p->seal_rows, 1000u);
    s->shard_number = s->shard_number ? s->shard_number : 1;
    struct qv__durability_policy *d = &s->durability;
    d->mode = d->mode ? d->mode : QV__DURABILITY_FSYNC;
    d->window_ms = d->window_ms ? d->window_ms : QV__WINDOW_MS_DEFAULT;
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        struct qv__index_params *x = &s->vectors[i].index;
        s->vectors[i].no_graph |= qv__vec_varies(s->vectors[i].kind);
        x->kind = s->vectors[i].no_graph ? QV__INDEX_FLAT : QV__INDEX_GRAPH;
        x->m = x->m ? x->m : 16;
        x->ef_construct = x->ef_construct ? x->ef_construct : 128;
        x->seed = x->seed ? x->seed : UINT64_C(0x51756976657231);
    }
}

static qv_status vector_check(const struct qv__schema *s, uint32_t i, struct qv_err *err)
{
    const struct qv__vector_def *v = &s->vectors[i];
    int nn = (int)QV_MIN(v->name.n, (size_t)64);
    QV_TRY(name_text_check(v->name, "vector name", NULL, QV__VECTOR_NAME_MAX, err));
    if (v->kind > QV__VEC_MULTI) {
        return qv__fail(err, QV_EUNSUPPORTED, "vectors.%.*s: kind %u is none", nn, v->name.p,
                        v->kind);
    }
    const char *dot = v->name.n ? "." : "";
    if (v->datatype > QV__BIT) {
        return qv__fail(err, QV_EUNSUPPORTED,
                        "vectors%s%.*s.datatype: number %u is not known to this version", dot, nn,
                        v->name.p, v->datatype);
    }
    if (v->metric > QV__HAMMING) {
        return qv__fail(err, QV_EUNSUPPORTED,
                        "vectors%s%.*s.distance: number %u is not known to this version", dot, nn,
                        v->name.p, v->metric);
    }
    if (!qv__metric_serves(v->metric, v->datatype)) {
        return qv__fail(err, QV_EVALIDATION,
                        "vectors%s%.*s.distance: value %s invalid for datatype %s, must be %s", dot,
                        nn, v->name.p, qv__metric_name((enum qv__metric)v->metric),
                        qv__datatype_name(v->datatype),
                        v->datatype == QV__BIT ? "Hamming"
                                               : "Cosine, Dot, Euclid or Manhattan (Hamming is of "
                                                 "bit vectors)");
    }
    if (v->datatype == QV__BIT && v->index.codes > QV__INDEX_CODES_NONE &&
        v->index.codes < QV__INDEX_CODES_KINDS) {
        return qv__fail(err, QV_EVALIDATION,
                        "vectors%s%.*s.quantization_config: bit vectors have no codes, an element "
                        "takes one bit as it is",
                        dot, nn, v->name.p);
    }
    if (v->kind == QV__VEC_SPARSE) {
        if (v->dim != 0 || v->datatype != QV__F32 || v->metric != QV__DOT) {
            return qv__fail(err, QV_EVALIDATION,
                            "sparse_vectors.%.*s: a sparse vector has no size, elements of "
                            "float32 and the inner product",
                            nn, v->name.p);
        }
    } else if (v->dim < 1 || v->dim > QV__DIM_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "vectors%s%.*s.size: value %" PRIu32 " invalid, must be from 1 to %u", dot,
                        nn, v->name.p, v->dim, QV__DIM_MAX);
    }
    for (uint32_t j = 0; j < i; j++) {
        if (qv__str_eq(v->name, s->vectors[j].name)) {
            return qv__fail(err, QV_EINVAL, "vectors.%.*s: given twice", nn, v->name.p);
        }
    }
    qv_status st = qv__index_params_check(&v->index, err);
    return st == QV_OK ? QV_OK : qv__wrap(err, st, "vectors.%.*s.hnsw_config", nn, v->name.p);
}

static qv_status schema_check(const struct qv__schema *s, struct qv_err *err)
{
    if (s->n_vectors > QV__VECTORS_MAX) {
        return qv__fail(err, QV_EVALIDATION, "vectors: %" PRIu32 " named vectors are more than %u",
                        s->n_vectors, QV__VECTORS_MAX);
    }
    if (s->shard_number < 1 || s->shard_number > QV__SHARDS_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "shard_number: value %" PRIu32 " invalid, must be from 1 to %u",
                        s->shard_number, QV__SHARDS_MAX);
    }
    if (s->n_indexes > QV__PAYLOAD_INDEXES_MAX) {
        return qv__fail(err, QV_EVALIDATION, "payload indexes: more than %u",
                        QV__PAYLOAD_INDEXES_MAX);
    }
    if (s->policy.seal_rows < QV__SEAL_ROWS_MIN || s->policy.seal_rows > QV__SEAL_ROWS_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "seal_rows: value %" PRIu32 " invalid, must be from %u to %u",
                        s->policy.seal_rows, QV__SEAL_ROWS_MIN, QV__SEAL_ROWS_MAX);
    }
    if (s->policy.merge_fanin < QV__MERGE_FANIN_MIN ||
        s->policy.merge_fanin > QV__MERGE_FANIN_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "merge_fanin: value %" PRIu32 " invalid, must be from %u to %u",
                        s->policy.merge_fanin, QV__MERGE_FANIN_MIN, QV__MERGE_FANIN_MAX);
    }
    if ((unsigned)s->durability.mode > QV__DURABILITY_RELAXED) {
        return qv__fail(err, QV_EVALIDATION, "durability.mode: %d is none",
                        (int)s->durability.mode);
    }
    if (s->durability.window_ms > QV__WINDOW_MS_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "durability.window_ms: value %" PRIu32 " invalid, must be from 1 to %u",
                        s->durability.window_ms, QV__WINDOW_MS_MAX);
    }
    if (s->policy.vacuum_percent > 100) {
        return qv__fail(err, QV_EVALIDATION,
                        "vacuum_percent: value %" PRIu32 " invalid, must be from 1 to 100",
                        s->policy.vacuum_percent);
    }
    if (s->policy.ttl_ms > QV__TTL_MS_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "ttl: value %" PRIu64 " ms invalid, must be at most %" PRIu64,
                        s->policy.ttl_ms, QV__TTL_MS_MAX);
    }
    size_t config = s->config_json.n;
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        config += s->vectors[i].config_json.n;
    }
    for (uint32_t i = 0; i < s->n_indexes; i++) {
        config += s->indexes[i].params_json.n;
    }
    if (config > QV__CONFIG_BYTES_MAX) {
        return qv__fail(err, QV_ETOOBIG,
                        "configuration and metadata of a collection: %zu bytes are more than %zu",
                        config, QV__CONFIG_BYTES_MAX);
    }
    for (uint32_t i = 0; i < s->n_indexes; i++) {
        size_t n = s->indexes[i].key.n;
        if (n == 0 || n > QV__INDEX_KEY_MAX) {
            return qv__fail(err, QV_EVALIDATION, "field_name: %zu bytes, must be from 1 to %u", n,
                            QV__INDEX_KEY_MAX);
        }
    }
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        QV_TRY(vector_check(s, i, err));
    }
    return QV_OK;
}

static bool copy_str(struct qv__arena *a, struct qv__str *s)
{
    const char *p = qv__arena_strndup(a, s->n ? s->p : "", s->n);
    if (p) {
        s->p = p;
    }
    return p != NULL;
}

static bool copy_deep(struct qv__schema *s, const struct qv__schema *from)
{
    struct qv__arena *a = &s->arena;
    s->vectors = qv__arena_calloc(a, QV_MAX(from->n_vectors, 1u), sizeof *s->vectors);
    s->indexes = qv__arena_calloc(a, QV_MAX(from->n_indexes, 1u), sizeof *s->indexes);
    if (!s->vectors || !s->indexes) {
        return false;
    }
    for (uint32_t i = 0; i < from->n_vectors; i++) {
        s->vectors[i] = from->vectors[i];
        if (!copy_str(a, &s->vectors[i].name) || !copy_str(a, &s->vectors[i].config_json)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < from->n_indexes; i++) {
        s->indexes[i] = from->indexes[i];
        if (!copy_str(a, &s->indexes[i].key) || !copy_str(a, &s->indexes[i].type) ||
            !copy_str(a, &s->indexes[i].params_json)) {
            return false;
        }
    }
    s->n_vectors = from->n_vectors;
    s->n_indexes = from->n_indexes;
    s->shard_number = from->shard_number;
    s->policy = from->policy;
    s->durability = from->durability;
    s->config_json = from->config_json;
    return copy_str(a, &s->config_json);
}

qv_status qv__schema_create(struct qv__mem *mem, const struct qv__schema *from,
                            struct qv__schema **out, struct qv_err *err)
{
    if (from->n_vectors > QV__VECTORS_MAX || from->n_indexes > QV__PAYLOAD_INDEXES_MAX) {
        return schema_check(from, err);
    }
    struct qv__schema *s = qv__zalloc(mem, sizeof *s);
    if (!s) {
        return qv__fail(err, QV_ENOMEM, "no memory for a collection schema");
    }
    atomic_init(&s->refs, 1);
    qv__arena_init(&s->arena, mem);
    qv_status st;
    if (copy_deep(s, from)) {
        defaults_fill(s);
        st = schema_check(s, err);
        st = st == QV_OK ? qv__index_specs_fill(s, err) : st;
    } else {
        st = qv__fail(err, QV_ENOMEM, "no memory for a collection schema");
    }
    if (st != QV_OK) {
        qv__schema_release(s);
        return st;
    }
    *out = s;
    return QV_OK;
}

struct qv__schema *qv__schema_retain(struct qv__schema *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void qv__schema_release(struct qv__schema *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
        qv__arena_free(&s->arena);
        qv__free(s);
    }
}

int qv__schema_vector(const struct qv__schema *s, struct qv__str name)
{
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        if (qv__str_eq(s->vectors[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

bool qv__schema_same_columns(const struct qv__schema *a, const struct qv__schema *b)
{
    bool same = a == b || a->n_vectors == b->n_vectors;
    for (uint32_t i = 0; a != b && same && i < a->n_vectors; i++) {
        same = qv__vector_same(&a->vectors[i], &b->vectors[i]);
    }
    return same;
}

void qv__schema_born(struct qv__schema *s, uint64_t lsn)
{
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        if (s->vectors[i].uid && !s->vectors[i].born_lsn) {
            s->vectors[i].born_lsn = lsn;
        }
    }
}

void qv__schema_age(struct qv__schema *s, uint64_t lsn)
{
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        struct qv__vector_def *v = &s->vectors[i];
        v->born_lsn = v->uid ? QV_MAX(QV_MIN(v->born_lsn, lsn), UINT64_C(1)) : 0;
    }
}

/* --- JSON form --- */

static void put_str(struct qv__jw *w, const char *key, struct qv__str s)
{
    qv__jw_key(w, key);
    qv__jw_str_n(w, s);
}

static void put_u64(struct qv__jw *w, const char *key, uint64_t v)
{
    qv__jw_key(w, key);
    qv__jw_u64(w, v);
}

void qv__schema_to_json(struct qv__jw *w, const struct qv__schema *s)
{
    qv__jw_obj(w);
    put_u64(w, "shards", s->shard_number);
    qv__jw_key(w, "vectors");
    qv__jw_arr(w);
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        const struct qv__vector_def *v = &s->vectors[i];
        qv__jw_obj(w);
        put_str(w, "name", v->name);
        put_u64(w, "kind", v->kind);
        put_u64(w, "datatype", v->datatype);
        put_u64(w, "metric", v->metric);
        put_u64(w, "dim", v->dim);
        if (v->uid) {
            put_u64(w, "uid", v->uid);
        }
        if (v->born_lsn) {
            put_u64(w, "born_lsn", v->born_lsn);
        }
        qv__jw_key(w, "on_disk");
        qv__jw_bool(w, v->on_disk);
        put_u64(w, "index", v->index.kind);
        put_u64(w, "m", v->index.m);
        put_u64(w, "ef_construct", v->index.ef_construct);
        put_u64(w, "seed", v->index.seed);
        if (v->index.codes) {
            put_u64(w, "codes", v->index.codes);
        }
        if (v->index.on_disk) {
            put_u64(w, "graph_on_disk", 1);
        }
        if (v->index.packing) {
            put_u64(w, "packing", v->index.packing);
        }
        if (v->idf) {
            put_u64(w, "idf", 1);
        }
        put_str(w, "config", v->config_json);
        qv__jw_obj_end(w);
    }
    qv__jw_arr_end(w);
    qv__jw_key(w, "payload_indexes");
    qv__jw_arr(w);
    for (uint32_t i = 0; i < s->n_indexes; i++) {
        qv__jw_obj(w);
        put_str(w, "key", s->indexes[i].key);
        put_str(w, "type", s->indexes[i].type);
        put_str(w, "params", s->indexes[i].params_json);
        qv__jw_obj_end(w);
    }
    qv__jw_arr_end(w);
    qv__jw_key(w, "policy");
    qv__jw_obj(w);
    put_u64(w, "seal_rows", s->policy.seal_rows);
    put_u64(w, "seal_bytes", s->policy.seal_bytes);
    put_u64(w, "index_rows", s->policy.index_rows);
    put_u64(w, "merge_fanin", s->policy.merge_fanin);
    put_u64(w, "build_threads", s->policy.build_threads);
    qv__jw_key(w, "index_at_seal_only");
    qv__jw_bool(w, s->policy.index_at_seal_only);
    put_u64(w, "vacuum_percent", s->policy.vacuum_percent);
    put_u64(w, "vacuum_rows", s->policy.vacuum_rows);
    if (s->policy.tail_bytes != QV__TAIL_BYTES_DEFAULT) {
        put_u64(w, "tail_bytes", s->policy.tail_bytes);
    }
    if (s->policy.ttl_ms) {
        put_u64(w, "ttl_ms", s->policy.ttl_ms);
    }
    if (s->policy.payload_cached) {
        qv__jw_key(w, "payload_cached");
        qv__jw_bool(w, true);
    }
    qv__jw_obj_end(w);
    qv__jw_key(w, "durability");
    qv__jw_obj(w);
    put_u64(w, "mode", s->durability.mode);
    put_u64(w, "window_ms", s->durability.window_ms);
    qv__jw_obj_end(w);
    put_str(w, "config", s->config_json);
    qv__jw_obj_end(w);
}

/* A missing or foreign member is damage: the catalog is written by us alone. */
static bool get_u64(qv__json obj, const char *key, uint64_t max, uint64_t *out)
{
    return qv__json_u64(qv__json_get(obj, key), out) && *out <= max;
}

static bool get_u32(qv__json obj, const char *key, uint32_t *out)
{
    uint64_t v;
    if (!get_u64(obj, key, UINT32_MAX, &v)) {
        return false;
    }
    *out = (uint32_t)v;
    return true;
}

static bool get_u8(qv__json obj, const char *key, uint8_t *out)
{
    uint64_t v;
    if (!get_u64(obj, key, UINT8_MAX, &v)) {
        return false;
    }
    *out = (uint8_t)v;
    return true;
}

static bool vector_from_json(qv__json o, struct qv__vector_def *v)
{
    uint64_t kind = QV__INDEX_GRAPH, on_disk = 0, idf = 0;
    bool ok = get_u64(o, "index", UINT32_MAX, &kind);
    v->no_graph = kind == QV__INDEX_FLAT;
    ok = ok && (!qv__json_get(o, "graph_on_disk") || get_u64(o, "graph_on_disk", 1, &on_disk));
    ok = ok && (!qv__json_get(o, "idf") || get_u64(o, "idf", 1, &idf));
    v->index.on_disk = on_disk;
    v->idf = idf;
    return ok && qv__json_str(qv__json_get(o, "name"), &v->name) && get_u8(o, "kind", &v->kind) &&
           get_u8(o, "datatype", &v->datatype) && get_u8(o, "metric", &v->metric) &&
           get_u32(o, "dim", &v->dim) && qv__json_bool(qv__json_get(o, "on_disk"), &v->on_disk) &&
           (!qv__json_get(o, "uid") || get_u64(o, "uid", UINT64_MAX, &v->uid)) &&
           (!qv__json_get(o, "born_lsn") || get_u64(o, "born_lsn", UINT64_MAX, &v->born_lsn)) &&
           get_u32(o, "m", &v->index.m) && get_u32(o, "ef_construct", &v->index.ef_construct) &&
           get_u64(o, "seed", UINT64_MAX, &v->index.seed) &&
           (!qv__json_get(o, "codes") || get_u32(o, "codes", &v->index.codes)) &&
           (!qv__json_get(o, "packing") || get_u32(o, "packing", &v->index.packing)) &&
           qv__json_str(qv__json_get(o, "config"), &v->config_json);
}

static bool policy_from_json(qv__json o, struct qv__segment_policy *p)
{
    return get_u32(o, "seal_rows", &p->seal_rows) &&
           get_u64(o, "seal_bytes", UINT64_MAX, &p->seal_bytes) &&
           get_u32(o, "index_rows", &p->index_rows) && get_u32(o, "merge_fanin", &p->merge_fanin) &&
           get_u32(o, "build_threads", &p->build_threads) &&
           qv__json_bool(qv__json_get(o, "index_at_seal_only"), &p->index_at_seal_only) &&
           /* Absent in catalogs of the first version: then they are the defaults. */
           (!qv__json_get(o, "vacuum_percent") ||
            get_u32(o, "vacuum_percent", &p->vacuum_percent)) &&
           (!qv__json_get(o, "vacuum_rows") || get_u32(o, "vacuum_rows", &p->vacuum_rows)) &&
           (!qv__json_get(o, "tail_bytes") ||
            get_u64(o, "tail_bytes", UINT64_MAX, &p->tail_bytes)) &&
           (!qv__json_get(o, "payload_cached") ||
            qv__json_bool(qv__json_get(o, "payload_cached"), &p->payload_cached)) &&
           (!qv__json_get(o, "ttl_ms") || get_u64(o, "ttl_ms", QV__TTL_MS_MAX, &p->ttl_ms));
}

/* Absent in catalogs of the first version: then it is the default. */
static bool durability_from_json(qv__json o, struct qv__durability_policy *d)
{
    uint64_t mode = 0;
    if (!o) {
        return true;
    }
    bool ok =
        get_u64(o, "mode", QV__DURABILITY_RELAXED, &mode) && get_u32(o, "window_ms", &d->window_ms);
    d->mode = (enum qv__durability)mode;
    return ok;
}

qv_status qv__schema_from_json(struct qv__mem *mem, qv__json v, struct qv__schema **out,
                               struct qv_err *err)
{
    struct qv__vector_def vectors[QV__VECTORS_MAX];
    struct qv__payload_index_def *indexes = NULL;
    struct qv__schema from = {.vectors = vectors};
    memset(vectors, 0, sizeof vectors);
    qv__json vs = qv__json_get(v, "vectors"), is = qv__json_get(v, "payload_indexes");
    bool ok = qv__json_is(vs, QV__JSON_ARR) && vs->len <= QV__VECTORS_MAX &&
              qv__json_is(is, QV__JSON_ARR) && is->len <= QV__PAYLOAD_INDEXES_MAX &&
              get_u32(v, "shards", &from.shard_number) &&
              policy_from_json(qv__json_get(v, "policy"), &from.policy) &&
              durability_from_json(qv__json_get(v, "durability"), &from.durability) &&
              qv__json_str(qv__json_get(v, "config"), &from.config_json);
    qv__json o = ok ? qv__json_first(vs) : NULL;
    for (uint32_t i = 0; ok && i < vs->len; i++, o = qv__json_next(o)) {
        ok = vector_from_json(o, &vectors[i]);
    }
    if (ok) {
        indexes = qv__calloc(mem, QV_MAX(is->len, 1u), sizeof *indexes);
        if (!indexes) {
            return qv__fail(err, QV_ENOMEM, "no memory for a collection schema");
        }
        o = qv__json_first(is);
        for (uint32_t i = 0; ok && i < is->len; i++, o = qv__json_next(o)) {
            ok = qv__json_str(qv__json_get(o, "key"), &indexes[i].key) &&
                 qv__json_str(qv__json_get(o, "type"), &indexes[i].type) &&
                 qv__json_str(qv__json_get(o, "params"), &indexes[i].params_json);
        }
        from.n_vectors = vs->len;
        from.n_indexes = is->len;
        from.indexes = indexes;
    }
    qv_status st = ok ? qv__schema_create(mem, &from, out, err)
                      : qv__fail(err, QV_ECORRUPT, "catalog: a collection schema is malformed");
    qv__free(indexes);
    return st;
}

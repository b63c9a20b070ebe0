/* collection_info.c: GET /collections/{c}: status, numbers, configuration, payload schema. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

/* How many points an index holds is counted where the index answers that, or while it is quick;
 * else all points are given. */
#define COUNT_ROWS_MAX 50000u

static qv_status count_indexed(struct qv__call *c, struct qv__str key,
                               const struct qv__collection_info *info,
                               const struct qv__field_info *field, uint64_t *out)
{
    struct qv__cond is_empty = {.kind = QV__COND_IS_EMPTY, .key = key};
    struct qv__filter f = {.must_not = {&is_empty, 1}};
    *out = info->n_points;
    if (info->quarantined || field->rows - field->indexed_rows > COUNT_ROWS_MAX ||
        qv__path_parse(key, &is_empty.path, NULL) != QV_OK) {
        return QV_OK;
    }
    return qv__collection_count(c->collection, &f, &c->ctx, out, &c->err);
}

/* An extension: how far the index is, and what it takes. */
static void write_field(struct qv__jw *w, const struct qv__field_info *field)
{
    qv__jw_key(w, "index");
    qv__jw_obj(w);
    qv__qd_key_u64(w, "rows", field->rows);
    qv__qd_key_u64(w, "indexed_rows", field->indexed_rows);
    qv__qd_key_u64(w, "memory_bytes", field->memory_bytes);
    qv__qd_key_u64(w, "file_bytes", field->file_bytes);
    qv__jw_obj_end(w);
}

static qv_status write_payload_schema(struct qv__call *c, const struct qv__schema *s,
                                      const struct qv__collection_info *info)
{
    qv__jw_obj(&c->w);
    for (uint32_t i = 0; i < s->n_indexes; i++) {
        const struct qv__payload_index_def *x = &s->indexes[i];
        struct qv__field_info field;
        uint64_t n = 0;
        QV_TRY(qv__collection_field(c->collection, x, &field, &c->err));
        QV_TRY(count_indexed(c, x->key, info, &field, &n));
        qv__jw_key_n(&c->w, x->key);
        qv__jw_obj(&c->w);
        qv__jw_key(&c->w, "data_type");
        qv__jw_str_n(&c->w, x->type);
        if (x->params_json.n) {
            qv__jw_key(&c->w, "params");
            qv__jw_raw(&c->w, x->params_json.p, x->params_json.n);
        }
        qv__jw_key(&c->w, "points");
        qv__jw_u64(&c->w, n);
        if (field.is_built) {
            write_field(&c->w, &field);
        }
        qv__jw_obj_end(&c->w);
    }
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

/* As in the peer: yellow works, grey would have to and does not for now. */
static const char *status_of(const struct qv__collection_info *info)
{
    if (info->quarantined) {
        return "red";
    }
    if (info->jobs_running) {
        return "yellow";
    }
    return info->unindexed_rows == 0 && info->n_outdated == 0 ? "green"
           : info->is_paused                                  ? "grey"
                                                              : "yellow";
}

/* What optimizing ended with last; snapshots are none of it. */
static const struct qv__job_info *last_upkeep(struct qv__call *c)
{
    struct qv__job_info *ended = qv__arena_calloc(c->arena, QV__JOBS_ENDED, sizeof *ended);
    size_t n = ended ? qv__db_jobs(c->db, c->collection, true, ended, QV__JOBS_ENDED) : 0;
    for (size_t i = 0; i < n; i++) {
        if (ended[i].kind < QV__JOB_SNAPSHOT) {
            return &ended[i];
        }
    }
    return NULL;
}

static void write_optimizer_status(struct qv__call *c, const struct qv__collection_info *info)
{
    const struct qv__job_info *last = info->is_paused ? last_upkeep(c) : NULL;
    char text[160];
    const char *error = NULL;
    if (info->quarantined) {
        error = info->damage;
    } else if (last && last->status != QV_OK && last->status != QV_ECANCELLED) {
        (void)snprintf(text, sizeof text, "%s (%s) of shard %" PRIu32 ": %s",
                       qv__job_kind_name(last->kind), last->reason, last->shard,
                       qv_status_text(last->status));
        error = text;
    }
    qv__jw_key(&c->w, "optimizer_status");
    if (error) {
        qv__jw_obj(&c->w);
        qv__jw_key(&c->w, "error");
        qv__jw_str(&c->w, error);
        qv__jw_obj_end(&c->w);
    } else {
        qv__jw_str(&c->w, "ok");
    }
}

static qv_status write_info(struct qv__call *c, const struct qv__schema *s)
{
    struct qv__collection_info info;
    qv__json kept = NULL;
    struct qv__jw *w = &c->w;
    QV_TRY(qv__collection_info(c->collection, &info, &c->err));
    QV_TRY(qv__qd_config_read(c, s, &kept));
    qv__jw_obj(w);
    qv__jw_key(w, "status");
    qv__jw_str(w, status_of(&info));
    write_optimizer_status(c, &info);
    qv__qd_config_warn(c, s, kept);
    qv__qd_key_u64(w, "indexed_vectors_count", info.n_indexed);
    qv__qd_key_u64(w, "points_count", info.n_points);
    qv__qd_key_u64(w, "segments_count", info.n_segments);
    qv__jw_key(w, "config");
    qv__qd_config_show(w, s, kept);
    qv__jw_key(w, "payload_schema");
    QV_TRY(write_payload_schema(c, s, &info));
    qv__jw_key(w, "update_queue");
    qv__jw_obj(w);
    qv__qd_key_u64(w, "length", 0); /* a write is applied before it is acknowledged */
    qv__qd_key_u64(w, "deferred_points", 0);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    return QV_OK;
}

qv_status qv__qd_collection_info(struct qv__call *c)
{
    struct qv__schema *s = qv__collection_schema(c->collection);
    qv_status st = write_info(c, s);
    qv__schema_release(s);
    return st;
}

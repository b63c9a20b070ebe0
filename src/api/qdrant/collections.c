/* collections.c: listing, existence, dropping, shards, and our own optimize and segments. */
#include "api/qdrant/qdrant.h"

static void write_name(void *arg, struct qv__str name)
{
    struct qv__jw *w = arg;
    qv__jw_obj(w);
    qv__jw_key(w, "name");
    qv__jw_str_n(w, name);
    qv__jw_obj_end(w);
}

qv_status qv__qd_collections_list(struct qv__call *c)
{
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "collections");
    qv__jw_arr(&c->w);
    QV_TRY(qv__db_list_collections(c->db, write_name, &c->w, &c->err));
    qv__jw_arr_end(&c->w);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

qv_status qv__qd_collection_exists(struct qv__call *c)
{
    struct qv__collection *found = NULL;
    qv_status st = qv__db_collection(c->db, c->params[0], &found, &c->err);
    if (st != QV_OK && st != QV_ENOTFOUND) {
        return st;
    }
    qv__collection_release(found);
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "exists");
    qv__jw_bool(&c->w, st == QV_OK);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

qv_status qv__qd_collection_drop(struct qv__call *c)
{
    bool existed = false;
    QV_TRY(qv__db_drop_collection(c->db, c->params[0], &existed, &c->err));
    qv__jw_bool(&c->w, existed);
    return QV_OK;
}

/* --- shards
 * ------------------------------------------------------------------------------------------------
 */

struct shard_counts {
    uint64_t *live;
    uint32_t n;
};

static void count_shard(void *arg, const struct qv__segment_info *s)
{
    struct shard_counts *counts = arg;
    if (s->shard < counts->n) {
        counts->live[s->shard] += s->rows > s->dead ? s->rows - s->dead : 0;
    }
}

qv_status qv__qd_collection_cluster(struct qv__call *c)
{
    struct qv__schema *s = qv__collection_schema(c->collection);
    struct shard_counts counts = {.n = s->shard_number};
    qv__schema_release(s);
    counts.live = qv__arena_calloc(c->arena, counts.n, sizeof *counts.live);
    if (!counts.live) {
        return qv__qd_no_memory(c);
    }
    QV_TRY(qv__collection_segments(c->collection, count_shard, &counts, &c->err));
    qv__jw_obj(&c->w);
    qv__qd_key_u64(&c->w, "peer_id", 0);
    qv__qd_key_u64(&c->w, "shard_count", counts.n);
    qv__jw_key(&c->w, "local_shards");
    qv__jw_arr(&c->w);
    for (uint32_t i = 0; i < counts.n; i++) {
        qv__jw_obj(&c->w);
        qv__qd_key_u64(&c->w, "shard_id", i);
        qv__qd_key_u64(&c->w, "points_count", counts.live[i]);
        qv__jw_key(&c->w, "state");
        qv__jw_str(&c->w, "Active");
        qv__jw_obj_end(&c->w);
    }
    qv__jw_arr_end(&c->w);
    qv__jw_key(&c->w, "remote_shards");
    qv__jw_arr(&c->w);
    qv__jw_arr_end(&c->w);
    qv__jw_key(&c->w, "shard_transfers");
    qv__jw_arr(&c->w);
    qv__jw_arr_end(&c->w);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

/* --- ours
 * -----------------------------------------------------------------------------------------------------
 */

static qv_status write_optimized(struct qv__call *c, bool wait)
{
    struct qv__collection_info info;
    QV_TRY(qv__collection_info(c->collection, &info, &c->err));
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "status");
    qv__jw_str(&c->w, wait ? "completed" : "acknowledged");
    qv__qd_key_u64(&c->w, "segments_count", info.n_segments);
    qv__qd_key_u64(&c->w, "indexed_vectors_count", info.n_indexed);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

static qv_status optimize(struct qv__call *c)
{
    const uint32_t *max_segments = c->rest_arg;
    QV_TRY(qv__collection_optimize_until(c->collection, *max_segments, &c->ctx, &c->err));
    return write_optimized(c, true);
}

qv_status qv__qd_collection_optimize(struct qv__call *c)
{
    uint64_t max_segments = 1;
    bool given, wait = true;
    QV_TRY(qv__qd_u64(c, c->body, "max_segments", &given, &max_segments));
    QV_TRY(qv__qd_range(c, "max_segments", max_segments, 1, max_segments ? 1000 : 0));
    QV_TRY(qv__qd_param_bool(c, "wait", &wait));
    if (!wait) {
        QV_TRY(qv__collection_optimize_later(c->collection, (uint32_t)max_segments, &c->err));
        return write_optimized(c, false);
    }
    uint32_t *arg = qv__arena_alloc(c->arena, sizeof *arg);
    if (!arg) {
        return qv__qd_no_memory(c);
    }
    *arg = (uint32_t)max_segments;
    c->rest = optimize;
    c->rest_arg = arg;
    return QV_OK;
}

static void write_segment(void *arg, const struct qv__segment_info *s)
{
    struct qv__jw *w = arg;
    qv__jw_obj(w);
    qv__qd_key_u64(w, "id", s->id);
    qv__qd_key_u64(w, "shard", s->shard);
    qv__jw_key(w, "kind");
    qv__jw_str(w, s->sealed ? "sealed" : "growing");
    qv__jw_key(w, "index");
    qv__jw_str(w, s->index ? s->index : "flat");
    qv__qd_key_u64(w, "rows", s->rows);
    qv__qd_key_u64(w, "dead", s->dead);
    qv__qd_key_u64(w, "indexed_vectors", s->indexed);
    qv__qd_key_u64(w, "memory_bytes", s->memory_bytes);
    qv__qd_key_u64(w, "file_bytes", s->file_bytes);
    qv__qd_key_u64(w, "reclaimable_bytes", s->reclaimable_bytes);
    qv__jw_obj_end(w);
}

qv_status qv__qd_collection_segments(struct qv__call *c)
{
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "segments");
    qv__jw_arr(&c->w);
    QV_TRY(qv__collection_segments(c->collection, write_segment, &c->w, &c->err));
    qv__jw_arr_end(&c->w);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

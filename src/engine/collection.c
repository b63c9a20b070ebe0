/* collection.c: the life of a collection and what can be asked of it as a whole. */
#include "engine/quarantine.h"
#include "engine/segment_fields.h"

#include <stdio.h>

/* After so much of dropped collections malloc is told to give pages back. */
#define TRIM_BYTES (UINT64_C(8) << 20)

static void collection_free(struct qv__collection *c)
{
    struct qv__db *db = c->db;
    bool doomed = atomic_load(&c->dropped);
    uint64_t bytes = doomed ? qv__mem_used(c->mem) : 0;
    for (uint32_t i = 0; i < c->n_shards; i++) {
        struct qv__shard *s = &c->shards[i];
        if (!s->collection) {
            continue;
        }
        if (atomic_load(&s->merge_waits)) {
            atomic_fetch_sub(&db->merges_waiting, 1);
        }
        for (uint32_t k = 0; doomed && s->view && k < s->view->n; k++) {
            if (qv__segment_sealed(s->view->segments[k])) {
                qv__segment_doom(s->view->segments[k]);
            }
        }
        if (doomed) {
            qv__quarantine_remove_held(s);
        }
        qv__free(s->held);
        qv__view_release(s->view);
        qv__pace_destroy(&s->pace);
        qv__mutex_destroy(&s->write);
        qv__mutex_destroy(&s->view_lock);
        qv__mutex_destroy(&s->merging);
        qv__mutex_destroy(&s->maintenance);
    }
    for (unsigned i = 0; i < QV__RATES; i++) {
        qv__rate_destroy(&c->rates[i]);
    }
    qv__schema_release(c->schema);
    qv__schema_release(c->write_schema);
    qv__mutex_destroy(&c->lock);
    qv__free(c->shards);
    qv__free(c->name);
    qv__mem_close(c->mem_query);
    struct qv__mem *mem = c->mem;
    qv__free(c);
    qv__mem_close(mem);
    if (bytes && atomic_fetch_add(&db->dropped_bytes, bytes) + bytes >= TRIM_BYTES) {
        atomic_store(&db->dropped_bytes, 0);
        qv__mem_trim();
    }
    atomic_fetch_sub(&db->collections_open, 1);
}

static qv_status shard_init(struct qv__collection *c, uint32_t number, struct qv_err *err)
{
    struct qv__shard *s = &c->shards[number];
    s->collection = c;
    s->number = number;
    atomic_init(&s->expiry_ms, INT64_MAX);
    atomic_init(&s->idle_ms, INT64_MAX);
    qv__pace_init(&s->pace);
    qv__mutex_init(&s->write, QV__RANK_SHARD_WRITE);
    qv__mutex_init(&s->view_lock, QV__RANK_SHARD_VIEW);
    qv__mutex_init(&s->merging, QV__RANK_MERGE);
    qv__mutex_init(&s->maintenance, QV__RANK_MAINTAIN);
    return qv__shard_roll(s, c->schema, c->schema->policy.seal_rows, err);
}

qv_status qv__collection_create(struct qv__db *db, uint64_t id, struct qv__str name,
                                struct qv__schema *schema, struct qv__collection **out,
                                struct qv_err *err)
{
    char account[48];
    snprintf(account, sizeof account, "collection %.*s", (int)QV_MIN(name.n, (size_t)32), name.p);
    struct qv__mem *mem = qv__mem_child(db->mem, account, 0);
    struct qv__collection *c = mem ? qv__zalloc(mem, sizeof *c) : NULL;
    if (!c) {
        qv__mem_close(mem);
        return qv__fail(err, QV_ENOMEM, "no memory for collection `%.*s`", (int)name.n, name.p);
    }
    atomic_init(&c->refs, 1);
    atomic_fetch_add(&db->collections_open, 1);
    c->db = db;
    c->id = id;
    c->mem = mem;
    c->env = (struct qv__segment_env){.mem = mem,
                                      .simd = db->simd,
                                      .blobs = db->blobs,
                                      .pool = db->pool,
                                      .logger = db->logger,
                                      .growing = &db->space.growing,
                                      .leftovers = &db->leftovers};
    qv__mutex_init(&c->lock, QV__RANK_COLLECTION);
    for (unsigned i = 0; i < QV__RATES; i++) {
        qv__rate_init(&c->rates[i]);
    }
    c->schema = qv__schema_retain(schema);
    c->write_schema = qv__schema_retain(schema);
    c->n_shards = schema->shard_number;
    c->mem_query = qv__mem_child(mem, "query", 0);
    c->name = qv__strndup(mem, name.p, name.n);
    c->shards = qv__calloc(mem, c->n_shards, sizeof *c->shards);
    qv_status st =
        c->mem_query && c->name && c->shards
            ? QV_OK
            : qv__fail(err, QV_ENOMEM, "no memory for collection `%.*s`", (int)name.n, name.p);
    if (!c->shards) {
        c->n_shards = 0;
    }
    for (uint32_t i = 0; st == QV_OK && i < c->n_shards; i++) {
        st = shard_init(c, i, err);
    }
    if (st != QV_OK) {
        collection_free(c);
        return st;
    }
    *out = c;
    return QV_OK;
}

void qv__collection_born(struct qv__collection *c, uint64_t lsn)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        atomic_store(&c->shards[i].flushed_lsn, lsn);
        c->shards[i].last_lsn = lsn;
    }
}

struct qv__collection *qv__collection_retain(struct qv__collection *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void qv__collection_release(struct qv__collection *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        collection_free(c);
    }
}

uint64_t qv__collection_id(const struct qv__collection *c)
{
    return c->id;
}

struct qv__str qv__collection_name(const struct qv__collection *c)
{
    return qv__str_z(c->name);
}

struct qv__schema *qv__collection_schema(struct qv__collection *c)
{
    qv__mutex_lock(&c->lock);
    struct qv__schema *s = qv__schema_retain(c->schema);
    qv__mutex_unlock(&c->lock);
    return s;
}

bool qv__collection_reads(struct qv__collection *c, const struct qv__schema *s)
{
    qv__mutex_lock(&c->lock);
    bool same = c->schema == s;
    qv__mutex_unlock(&c->lock);
    return same;
}

struct qv__schema *qv__collection_write_schema(struct qv__collection *c)
{
    qv__mutex_lock(&c->lock);
    struct qv__schema *s = qv__schema_retain(c->write_schema);
    qv__mutex_unlock(&c->lock);
    return s;
}

void qv__collection_set_write_schema(struct qv__collection *c, struct qv__schema *schema)
{
    qv__mutex_lock(&c->lock);
    struct qv__schema *old = c->write_schema;
    c->write_schema = schema;
    qv__mutex_unlock(&c->lock);
    qv__schema_release(old);
}

void qv__collection_set_schema(struct qv__collection *c, struct qv__schema *schema)
{
    qv__collection_set_write_schema(c, qv__schema_retain(schema));
    qv__mutex_lock(&c->lock);
    struct qv__schema *old = c->schema;
    c->schema = schema;
    qv__mutex_unlock(&c->lock);
    qv__schema_release(old);
}

/* --- information --- */

/* As if all rows took the same. */
static uint64_t reclaimable(const struct qv__segment *seg, uint64_t memory, uint64_t file)
{
    uint64_t rows = qv__segment_rows(seg), dead = QV_MIN((uint64_t)qv__segment_dead(seg), rows);
    uint64_t bytes = qv__segment_sealed(seg) ? file : memory;
    return rows ? (uint64_t)((double)bytes * (double)dead / (double)rows) : 0;
}

static qv_status info_segment(struct qv__read_view *v, const struct qv__segment *seg,
                              struct qv__collection_info *out, struct qv_err *err)
{
    struct qv__visible vis;
    uint64_t memory = 0, file = 0, indexed = 0;
    const char *kind = NULL;
    QV_TRY(qv__segment_visible(seg, v->ticket.lsn, v->now_ms, v->collection->mem_query, &vis, err));
    out->n_points += vis.count;
    out->n_vectors += vis.count * v->schema->n_vectors;
    qv__visible_free(&vis);
    qv__segment_describe(seg, &memory, &file, &indexed, &kind);
    out->disk_bytes += file;
    out->n_indexed += indexed;
    out->dead_rows += qv__segment_dead(seg);
    out->reclaimable_bytes += reclaimable(seg, memory, file);
    out->n_segments++;
    out->n_outdated += qv__segment_outdated(seg, v->schema, NULL);
    if (qv__segment_sealed(seg)) {
        out->n_sealed++;
    } else {
        out->n_growing++;
        out->unindexed_rows += qv__segment_unindexed(seg);
    }
    return QV_OK;
}

qv_status qv__collection_info(struct qv__collection *c, struct qv__collection_info *out,
                              struct qv_err *err)
{
    memset(out, 0, sizeof *out);
    struct qv__read_view *v = NULL;
    struct qv_err why;
    QV_TRY(qv__read_view_pin(c, NULL, &v, err));
    if (qv__quarantine_check(c, &why) != QV_OK) {
        out->quarantined = 1;
        memcpy(out->damage, why.message, sizeof out->damage);
    }
    qv_status st = QV_OK;
    for (uint32_t s = 0; st == QV_OK && s < v->n; s++) {
        for (uint32_t i = 0; st == QV_OK && i < v->views[s]->n; i++) {
            st = info_segment(v, v->views[s]->segments[i], out, err);
        }
    }
    out->jobs_running = atomic_load(&c->jobs);
    uint64_t now_ns = qv__mono_ns(c->db->clock);
    for (uint32_t s = 0; s < v->n; s++) {
        out->is_paused |= atomic_load(&c->shards[s].retry_ns) > now_ns;
    }
    out->memory_bytes = qv__mem_used(c->mem);
    out->snapshots = qv__counted(&c->snapshots);
    qv__read_view_close(v);
    return st;
}

static void add_size(const struct qv__segment *seg, struct qv__collection_size *out)
{
    uint64_t rows = qv__segment_rows(seg), dead = QV_MIN((uint64_t)qv__segment_dead(seg), rows);
    uint64_t vectors = 0, payload = 0;
    qv__segment_sizes(seg, &vectors, &payload);
    out->points += rows - dead;
    out->vector_bytes +=
        rows ? (uint64_t)((double)vectors * (double)(rows - dead) / (double)rows) : 0;
    out->payload_bytes += payload;
}

qv_status qv__collection_size(struct qv__collection *c, struct qv__collection_size *out,
                              struct qv_err *err)
{
    struct qv__read_view *v = NULL;
    memset(out, 0, sizeof *out);
    QV_TRY(qv__read_view_pin(c, NULL, &v, err));
    for (uint32_t s = 0; s < v->n; s++) {
        for (uint32_t i = 0; i < v->views[s]->n; i++) {
            add_size(v->views[s]->segments[i], out);
        }
    }
    qv__read_view_close(v);
    return QV_OK;
}

struct qv__rate *qv__collection_rate(struct qv__collection *c, enum qv__rate_kind kind)
{
    return &c->rates[kind];
}

qv_status qv__collection_segments(struct qv__collection *c,
                                  void (*cb)(void *arg, const struct qv__segment_info *), void *arg,
                                  struct qv_err *err)
{
    struct qv__read_view *v = NULL;
    QV_TRY(qv__read_view_pin(c, NULL, &v, err));
    for (uint32_t s = 0; s < v->n; s++) {
        for (uint32_t i = 0; i < v->views[s]->n; i++) {
            const struct qv__segment *seg = v->views[s]->segments[i];
            struct qv__segment_info info = {.id = qv__segment_id_number(seg),
                                            .sealed = qv__segment_sealed(seg),
                                            .shard = s,
                                            .rows = qv__segment_rows(seg),
                                            .dead = qv__segment_dead(seg),
                                            .unindexed = qv__segment_unindexed(seg),
                                            .is_outdated =
                                                qv__segment_outdated(seg, v->schema, NULL)};
            qv__segment_describe(seg, &info.memory_bytes, &info.file_bytes, &info.indexed,
                                 &info.index);
            info.reclaimable_bytes = reclaimable(seg, info.memory_bytes, info.file_bytes);
            cb(arg, &info);
        }
    }
    qv__read_view_close(v);
    return QV_OK;
}

qv_status qv__collection_field(struct qv__collection *c, const struct qv__payload_index_def *def,
                               struct qv__field_info *out, struct qv_err *err)
{
    struct qv__read_view *v = NULL;
    memset(out, 0, sizeof *out);
    struct qv__index_spec spec;
    struct qv__arena scratch;
    qv__arena_init(&scratch, c->mem_query);
    qv_status st = qv__index_spec_read(def, &scratch, &scratch, &spec, err);
    if (st == QV_OK) {
        out->is_built = spec.is_built;
        st = qv__read_view_pin(c, NULL, &v, err);
    }
    for (uint32_t s = 0; st == QV_OK && s < v->n; s++) {
        for (uint32_t i = 0; i < v->views[s]->n; i++) {
            qv__fields_describe(v->views[s]->segments[i], def->key, &spec, out);
        }
    }
    if (st == QV_OK) {
        qv__read_view_close(v);
    }
    qv__arena_free(&scratch);
    return st;
}

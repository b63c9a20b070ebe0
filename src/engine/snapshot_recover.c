/* snapshot_recover.c: a collection of a snapshot takes the place of a live one.
 *
 * The new collection is built beside the old one, with an id and files of its own, and nobody can
 * see it. One manifest names it instead of the old one; from that instant a restart finds the new
 * collection, and then readers and writers do. Records that the log holds for the old id are those
 * of a dropped collection. A write to the old collection that was acknowledged in between came
 * before the recovery, as if it had come earlier. */
#include "base/plant.h"
#include "engine/job.h"
#include "engine/snapshot_impl.h"

static qv_status restore_into(struct qv__restore *r, struct qv__collection *c,
                              const struct qv__manifest_shard *m, struct qv_err *err)
{
    struct qv__segment **list =
        qv__calloc(c->mem, m->n_segments + 1u, sizeof(struct qv__segment *));
    struct qv__manifest_segment *made = qv__calloc(c->mem, m->n_segments + 1u, sizeof *made);
    bool filled = false;
    qv_status st = list && made ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for a snapshot");
    if (st == QV_OK) {
        st = qv__restore_shard(r, &c->env, c->schema, m, list, made, err);
        filled = st == QV_OK;
    }
    if (st == QV_OK) {
        st = qv__shard_fill(&c->shards[m->shard], list, m->n_segments, r->lsn_max, err);
    }
    for (uint32_t i = 0; filled && i < m->n_segments; i++) {
        if (st != QV_OK) {
            qv__segment_doom(list[i]);
        }
        qv__segment_release(list[i]);
    }
    qv__free(made);
    qv__free(list);
    return st;
}

/* The collection with all its segments, in no list yet. */
static qv_status build(struct qv__db *db, struct qv__restore *r, struct qv__str name,
                       struct qv__collection **out, struct qv_err *err)
{
    qv__json o = qv__json_first(qv__json_get(r->catalog, "collections"));
    struct qv__schema *schema = NULL;
    struct qv__collection *c = NULL;
    qv_status st = qv__schema_from_json(db->mem_catalog, qv__json_get(o, "schema"), &schema, err);
    if (st != QV_OK) {
        return st == QV_ENOMEM
                   ? st
                   : qv__wrap(err, st == QV_EVERSION ? st : QV_ECORRUPT, "snapshot: schema");
    }
    qv__schema_age(schema, r->lsn_max);
    qv__mutex_lock(&db->catalog);
    uint64_t id = db->next_collection_id++;
    qv__mutex_unlock(&db->catalog);
    st = qv__collection_create(db, id, name, schema, &c, err);
    qv__schema_release(schema);
    QV_TRY(st);
    for (uint32_t i = 0; st == QV_OK && i < r->manifest.n_shards; i++) {
        st = restore_into(r, c, &r->manifest.shards[i], err);
    }
    if (st != QV_OK) {
        atomic_store(&c->dropped, true); /* its files go with it */
        qv__collection_release(c);
        return st;
    }
    *out = c;
    return QV_OK;
}

/* What stands where the new collection shall. Under ddl. */
static qv_status find_place(struct qv__db *db, struct qv__str name, struct qv__collection **old,
                            struct qv_err *err)
{
    qv__mutex_lock(&db->catalog);
    qv_status st = QV_OK;
    *old = qv__catalog_find(db, name);
    if (qv__catalog_alias(db, name)) {
        st = qv__fail(err, QV_EINVAL, "`%.*s` is an alias: recover into its collection",
                      (int)name.n, name.p);
    } else if (!*old) {
        st = qv__catalog_reserve(db, 1, 0, err);
    }
    qv__mutex_unlock(&db->catalog);
    return st;
}

static qv_status put_in_place(struct qv__db *db, struct qv__str name, struct qv__collection *c,
                              struct qv__collection **old, struct qv_err *err)
{
    qv__mutex_lock(&db->ddl);
    qv_status st = find_place(db, name, old, err);
    if (st == QV_OK && qv__commit_poisoned(db->commit)) {
        st = qv__fail(err, QV_EREADONLY, "the write-ahead log failed; writes are stopped");
    }
    if (st == QV_OK) {
        struct qv_err why = {.code = QV_OK};
        st = qv__checkpoint_swap(db, &(struct qv__swap){.out = *old, .in = c}, &why);
        if (st == QV_EREADONLY && !QV_PLANT(serve_in_doubt)) {
            /* A restart may find the new collection: what the old one was told since would be lost.
             */
            qv__commit_stop(db->commit, &why);
        }
        if (st != QV_OK && err) {
            *err = why;
        }
    }
    if (st == QV_OK) {
        qv__mutex_lock(&db->catalog);
        if (*old) {
            qv__catalog_replace(db, *old, c);
        } else {
            qv__catalog_insert(db, c);
        }
        qv__mutex_unlock(&db->catalog);
    }
    qv__mutex_unlock(&db->ddl);
    return st;
}

/* Queue what the new segments are due for, and note when the first of their points expires. */
static void look_at(struct qv__collection *c)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        qv__mutex_lock(&c->shards[i].write);
        qv__maintain_look(&c->shards[i]);
        qv__mutex_unlock(&c->shards[i].write);
        qv__purge_open(&c->shards[i]);
    }
}

static qv_status recover(struct qv__db *db, struct qv__str name, struct qv__restore *r,
                         struct qv_err *err)
{
    struct qv__collection *c = NULL, *old = NULL;
    if (r->from->snap.kind != QV__SNAP_COLLECTION) {
        return qv__fail(err, QV_EINVAL,
                        "this is a snapshot of a whole database: use quiver restore");
    }
    /* Beside what flushing the rows of acknowledged writes takes. */
    if (qv__space_for(db, r->from->snap.table_at, false, err) != QV_OK) {
        return qv__wrap(err, QV_ENOSPC, "recovering from the snapshot");
    }
    QV_TRY(build(db, r, name, &c, err));
    qv__collection_retain(c); /* ours, beside that of the list */
    qv_status st = put_in_place(db, name, c, &old, err);
    if (st == QV_OK) {
        if (old) {
            atomic_store(&old->dropped, true); /* no manifest names its files any more */
            qv__jobs_cancel(db, old->id);      /* what they make is for nobody */
            qv__collection_release(old);       /* the catalog's reference */
        }
        look_at(c);
    } else {
        /* With QV_EREADONLY a restart may find either manifest: the files of both must stay. */
        atomic_store(&c->dropped, st != QV_EREADONLY);
        qv__collection_release(c);
    }
    qv__collection_release(c);
    return st;
}

/* Of the collection that is to give way; 0 = there is none. */
static uint64_t id_of(struct qv__db *db, struct qv__str name)
{
    qv__mutex_lock(&db->catalog);
    const struct qv__collection *c = qv__catalog_find(db, name);
    uint64_t id = c ? c->id : 0;
    qv__mutex_unlock(&db->catalog);
    return id;
}

static qv_status recover_from(struct qv__db *db, struct qv__str name, struct qv__snap_reader *from,
                              const uint8_t *sha256, struct qv_err *err)
{
    struct qv__job job;
    struct qv__restore r = {.blobs = db->blobs,
                            .next_file_id = &db->next_file_id,
                            .lsn_max = qv__commit_settled(db->commit),
                            .cancel = &job.cancel};
    qv__job_open(&job, db, NULL, QV__JOB_RECOVER, 0, NULL, "from snapshot %" PRIu64, from->snap.id);
    qv__job_of(&job, id_of(db, name), name);
    qv_status st = qv__restore_open(&r, from, sha256, err);
    if (st == QV_OK) {
        st = recover(db, name, &r, err);
    }
    qv__restore_free(&r);
    qv__job_close(&job, st);
    if (st == QV_ECANCELLED) {
        st = atomic_load(&db->closing)
                 ? qv__fail(err, QV_ECLOSED, "the database is closing")
                 : qv__fail(err, st, "recovering from the snapshot was cancelled");
    }
    return st;
}

qv_status qv__db_snapshot_recover(struct qv__db *db, struct qv__str name,
                                  const struct qv__snapshot_from *from, struct qv_err *err)
{
    QV_TRY(qv__catalog_writable(db, err));
    QV_TRY(qv__collection_name_check(name, err));
    if (from->id) {
        struct qv__snapshot_stream *s = NULL; /* keeps its files from being removed */
        QV_TRY(qv__snapshot_stream_open(db, from->id, &s, err));
        qv_status st = recover_from(db, name, &s->reader, from->sha256, err);
        qv__snapshot_stream_close(s);
        return st;
    }
    struct qv__snap_reader reader;
    qv_status st =
        qv__snap_open_file(db->io, from->file, from->offset, from->bytes, db->mem, &reader, err);
    if (st == QV_OK) {
        st = recover_from(db, name, &reader, from->sha256, err);
    }
    qv__snap_close(&reader);
    return st;
}

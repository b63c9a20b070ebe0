/* maintain_seal.c: growing segments become sealed files.
 *
 * The active segment is frozen by starting another one (write order). F, the LSN up to which every
 * record is in frozen or sealed segments, is made durable before any file that depends on it is
 * named. Then segment and tombstone files are written without any lock; then, at one instant of the
 * write order, deletions that came meanwhile are carried over, the view is switched, the tombstone
 * files are installed and the flushed LSN moves to F; then the manifest is committed. */
#include "engine/job.h"
#include "engine/maintain.h"

#include "engine/quarantine.h"

/* Finish a graph at a flush when no more than this is missing. */
#define INDEX_TAIL_ROWS 4096u

struct flush {
    struct qv__view *view;                 /* as planned, retained */
    struct qv__segment **frozen, **sealed; /* growing ones and their sealed forms */
    uint32_t **remaps;                     /* of each; NULL = rows kept their numbers */
    size_t n;
    struct qv__tombstone_file *tombs; /* per segment of view */
    uint64_t *old_gens;
    uint64_t flushed; /* F */
};

/* Freeze the active segment if asked, list what is frozen, fix F. */
static qv_status flush_plan(struct qv__shard *s, bool all, struct flush *f, struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    struct qv__schema *schema = qv__collection_schema(c);
    qv_status st = QV_OK;
    qv__mutex_lock(&s->write);
    if (all && qv__segment_rows(s->active) > 0) {
        st = qv__shard_roll(s, schema, schema->policy.seal_rows, err);
    }
    f->flushed = qv__segment_rows(s->active) ? qv__segment_min_lsn(s->active) - 1 : s->last_lsn;
    f->view = qv__shard_view(s);
    qv__mutex_unlock(&s->write);
    qv__schema_release(schema);
    size_t n = f->view->n + 1u;
    f->frozen = qv__calloc(c->mem, n, sizeof(struct qv__segment *));
    f->sealed = qv__calloc(c->mem, n, sizeof(struct qv__segment *));
    f->remaps = qv__calloc(c->mem, n, sizeof(uint32_t *));
    f->tombs = qv__calloc(c->mem, n, sizeof *f->tombs);
    f->old_gens = qv__calloc(c->mem, n, sizeof *f->old_gens);
    if (st == QV_OK && (!f->frozen || !f->sealed || !f->remaps || !f->tombs || !f->old_gens)) {
        st = qv__fail(err, QV_ENOMEM, "no memory to seal");
    }
    for (uint32_t i = 0; st == QV_OK && i + 1 < f->view->n; i++) { /* the last one is active */
        if (!qv__segment_sealed(f->view->segments[i])) {
            f->frozen[f->n++] = f->view->segments[i];
        }
    }
    return st;
}

static void flush_free(struct flush *f)
{
    for (size_t i = 0; f->sealed && i < f->n; i++) {
        qv__segment_release(f->sealed[i]);
        qv__free(f->remaps[i]);
    }
    qv__free(f->remaps);
    qv__free(f->frozen);
    qv__free(f->sealed);
    qv__free(f->tombs);
    qv__free(f->old_gens);
    qv__view_release(f->view);
}

static uint64_t frozen_rows(const struct flush *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        n += qv__segment_rows(f->frozen[i]);
    }
    return n;
}

/* What the files will take, about; that of a row as segment_growing.c has it. */
static uint64_t flush_bytes(const struct flush *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        n += qv__segment_need(f->frozen[i]);
    }
    return n;
}

/* Write the files: sealed forms of what is frozen, tombstones of what was sealed before. */
static qv_status flush_write(struct qv__shard *s, struct flush *f, const struct qv__work *work,
                             struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    uint64_t done = 0, total = frozen_rows(f);
    for (size_t i = 0; i < f->n; i++) {
        uint32_t owed = qv__segment_unindexed(f->frozen[i]);
        if (owed && owed <= INDEX_TAIL_ROWS) {
            qv_status st =
                qv__segment_index(f->frozen[i], qv__segment_rows(f->frozen[i]), NULL, err);
            if (st != QV_OK &&
                st != QV_ENOMEM) { /* a flush gives memory back: the graph can wait */
                return st;
            }
        }
        uint64_t id = atomic_fetch_add(&c->db->next_file_id, 1);
        QV_TRY(qv__segment_seal(&c->env, f->frozen[i], id, f->flushed, &f->remaps[i], &f->sealed[i],
                                err));
        done += qv__segment_rows(f->frozen[i]);
        work->progress(work->ctx, done, total);
    }
    for (uint32_t i = 0; i < f->view->n; i++) {
        if (qv__segment_sealed(f->view->segments[i])) {
            uint64_t gen = atomic_fetch_add(&c->db->next_file_id, 1);
            QV_TRY(qv__segment_write_tombstones(f->view->segments[i], f->flushed, gen, &f->tombs[i],
                                                err));
        }
    }
    return QV_OK;
}

/* Switch to the sealed ones, install tombstones and move the flushed LSN, at one instant of the
 * write order. */
static qv_status flush_switch(struct qv__shard *s, struct flush *f, struct qv_err *err)
{
    qv__mutex_lock(&s->write);
    qv_status st = qv__quarantine_check(s->collection, err);
    for (size_t i = 0; st == QV_OK && i < f->n; i++) {
        st = qv__segment_carry(&f->frozen[i], f->remaps[i] ? &f->remaps[i] : NULL, 1, f->sealed[i],
                               err);
    }
    if (st == QV_OK && f->n) {
        st = qv__maintain_switch(s, f->frozen, f->sealed, f->n, err);
    }
    for (uint32_t i = 0; st == QV_OK && i < f->view->n; i++) {
        if (f->tombs[i].gen) {
            f->old_gens[i] = qv__segment_install_tombstones(f->view->segments[i], &f->tombs[i]);
        }
    }
    if (st == QV_OK && f->flushed > atomic_load(&s->flushed_lsn)) {
        atomic_store(&s->flushed_lsn, f->flushed);
    }
    qv__mutex_unlock(&s->write);
    return st;
}

/* Names of blobs, QV__LEFTOVER_NAME each. One for which there is no memory is removed at the next
 * open. */
static void note_old_tombstones(const struct flush *f, struct qv__buf *later)
{
    for (uint32_t i = 0; i < f->view->n; i++) {
        if (f->old_gens[i]) {
            char name[QV__LEFTOVER_NAME] = {0};
            qv__tombstones_blob_name(qv__segment_id_number(f->view->segments[i]), f->old_gens[i],
                                     name);
            qv__buf_put(later, name, sizeof name);
        }
    }
}

void qv__maintain_clear(struct qv__db *db, qv_status st, struct qv__buf *later)
{
    if (st != QV_OK) { /* under the lock, so that the next manifest is one without them */
        qv__mutex_lock(&db->ddl);
    }
    /* QV_EREADONLY: nobody knows which manifest is live; writes are over until the next open. */
    for (size_t at = 0; st != QV_EREADONLY && at < later->n; at += QV__LEFTOVER_NAME) {
        const char *name = (const char *)later->p + at;
        struct qv_err ignored;
        if (st == QV_OK) {
            (void)!qv__leftovers_remove(&db->leftovers, db->blobs, name, &ignored);
        } else {
            qv__leftovers_add(&db->leftovers, name);
        }
    }
    if (st != QV_OK) {
        qv__mutex_unlock(&db->ddl);
    }
    qv__buf_free(later);
}

/* Of a flush that failed: files that are named by no manifest. */
static void flush_undo(struct qv__db *db, struct flush *f)
{
    for (size_t i = 0; i < f->n && f->sealed[i]; i++) {
        qv__segment_doom(f->sealed[i]);
    }
    for (uint32_t i = 0; i < f->view->n; i++) {
        if (f->tombs[i].gen) {
            char name[QV__LEFTOVER_NAME];
            struct qv_err ignored;
            qv__tombstones_blob_name(qv__segment_id_number(f->view->segments[i]), f->tombs[i].gen,
                                     name);
            (void)!qv__leftovers_remove(&db->leftovers, db->blobs, name, &ignored);
        }
    }
}

qv_status qv__maintain_flush(struct qv__shard *s, bool all, struct qv__buf *later,
                             struct qv_err *err)
{
    struct qv__db *db = s->collection->db;
    struct flush f = {0};
    struct qv__job job;
    struct qv__buf now;
    qv__buf_init(&now, db->mem_catalog);
    if (atomic_load(&s->collection->quarantined)) {
        return QV_OK; /* what is unflushed stays in the log */
    }
    qv_status st = flush_plan(s, all, &f, err);
    QV_GOTO(st);
    if (f.n == 0 && f.flushed <= atomic_load(&s->flushed_lsn)) {
        goto out;
    }
    QV_GOTO(qv__commit_sync(db->commit, f.flushed, err));
    QV_GOTO(qv__space_for(db, flush_bytes(&f), true, err));
    qv__job_open(&job, db, s, QV__JOB_SEAL, frozen_rows(&f), NULL,
                 all ? "flush of what grows" : "full growing segments");
    qv__job_segments(&job, f.frozen, f.n);
    st = flush_write(s, &f, &job.work, err);
    if (st == QV_OK) {
        st = flush_switch(s, &f, err);
    }
    qv__job_close(&job, st);
    if (st != QV_OK) {
        flush_undo(db, &f);
        goto out;
    }
    note_old_tombstones(&f, later ? later : &now);
    if (!later) {
        st = qv__checkpoint_commit(db, err);
        qv__maintain_clear(db, st, &now);
    }
out:
    qv__buf_free(&now);
    flush_free(&f);
    return st;
}

bool qv__maintain_seal_due(const struct qv__view *v)
{
    uint32_t growing = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        growing += !qv__segment_sealed(v->segments[i]);
    }
    return growing > 1;
}

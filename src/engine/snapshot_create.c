/* snapshot_create.c: making a snapshot, step by step.
 *
 * The cut is a reader: it registers at the published LSN, with the catalog of that instant, and
 * from then on no merge drops what it may see. Each shard is flushed, so that all it may see is in
 * sealed files; these are linked into a directory, and what is dead at the LSN is written beside
 * them. With the last shard the reader goes; what follows, the checksums, concerns files that
 * nobody changes. The directory gets its name when all of it is durable. So shards are frozen one
 * after the other, each for the instant in which a growing segment is rolled, and are still cut at
 * one LSN. */
#include <stdio.h>

#include "engine/job.h"
#include "engine/quarantine.h"
#include "engine/snapshot_impl.h"

enum phase { CUT, SUM, NAME, DONE };

struct qv__snapshot_work {
    struct qv__db *db;
    struct qv__job job; /* without a db until the cut is fixed */
    struct qv__arena arena;
    enum phase phase;
    qv_status status; /* of the last step */
    uint64_t id;
    char dir[64];
    bool has_dir;
    struct qv__blobs *blobs; /* of that directory */
    struct qv__buf catalog;
    struct qv__collection **all; /* retained */
    uint32_t n_all;
    struct qv__reader_ticket ticket;
    bool is_reading;
    uint32_t collection, shard; /* to cut next */
    struct qv__manifest manifest;
    struct qv__snap snap;
    uint32_t file; /* to sum next */
    struct qv__sha256 whole;
    uint8_t sum[QV__SHA256_BYTES];
    uint8_t *block;
};

/* The job's flag is set for both; why, the database says. */
static qv_status check_cancel(const struct qv__snapshot_work *w, struct qv_err *err)
{
    if (atomic_load(&w->db->closing)) {
        return qv__fail(err, QV_ECLOSED, "the database is closing");
    }
    return atomic_load(&w->job.cancel)
               ? qv__fail(err, QV_ECANCELLED, "making the snapshot was cancelled")
               : QV_OK;
}

/* --- begin --- */

/* The collections, the catalog, and the LSN both are of. */
static qv_status fix(struct qv__snapshot_work *w, struct qv__str collection, struct qv_err *err)
{
    struct qv__db *db = w->db;
    qv_status st = QV_OK;
    qv__mutex_lock(&db->ddl); /* no catalog change is between log and memory */
    if (collection.n == 0) {
        st = qv__catalog_all(db, &w->all, &w->n_all, err);
        qv__catalog_write(db, NULL, &w->catalog);
    } else {
        w->all = qv__calloc(db->mem_catalog, 1, sizeof(struct qv__collection *));
        st = w->all ? qv__db_collection(db, collection, w->all, err)
                    : qv__fail(err, QV_ENOMEM, "no memory for a snapshot");
        if (st == QV_OK) {
            w->n_all = 1;
            qv__catalog_write_one(w->all[0], &w->catalog);
        }
    }
    if (st == QV_OK) {
        qv__read_begin(db->commit, &w->ticket);
        w->is_reading = true;
    }
    qv__mutex_unlock(&db->ddl);
    return st == QV_OK ? qv__buf_status(&w->catalog, err) : st;
}

static void ignore_entry(void *arg, const char *name, bool is_dir)
{
    (void)arg, (void)name, (void)is_dir;
}

/* A directory of a number that no other snapshot has: numbers given out after the last manifest are
 * given out again after a crash. */
static qv_status make_dir(struct qv__snapshot_work *w, struct qv_err *err)
{
    struct qv__db *db = w->db;
    struct qv_err why;
    char taken[64];
    for (;;) {
        w->id = atomic_fetch_add(&db->next_file_id, 1);
        qv__snapshot_dir(w->id, QV__SNAPSHOT_WHOLE, taken);
        qv_status st = qv__io_list(db->io, taken, ignore_entry, NULL, &why);
        if (st == QV_ENOTFOUND) {
            qv__snapshot_dir(w->id, QV__SNAPSHOT_NEW, w->dir);
            st = qv__io_mkdir(db->io, w->dir, &why);
            w->has_dir = st == QV_OK;
        } else if (st == QV_OK) {
            continue;
        }
        if (st != QV_EEXISTS) {
            if (st != QV_OK && err) {
                *err = why;
            }
            return st;
        }
    }
}

static qv_status begin(struct qv__snapshot_work *w, struct qv__str collection, struct qv_err *err)
{
    struct qv__db *db = w->db;
    uint32_t shards = 0;
    QV_TRY(qv__catalog_writable(db, err));
    QV_TRY(fix(w, collection, err));
    for (uint32_t i = 0; i < w->n_all; i++) {
        QV_TRY(qv__quarantine_check(w->all[i], err));
        shards += w->all[i]->n_shards;
    }
    /* What was published ahead of its sync, a snapshot must not outlive. */
    QV_TRY(qv__commit_sync(db->commit, w->ticket.lsn, err));
    w->manifest = (struct qv__manifest){
        .generation = 1, .checkpoint_lsn = w->ticket.lsn, .catalog = qv__buf_bytes(&w->catalog)};
    memcpy(w->manifest.db_uuid, db->uuid, sizeof db->uuid);
    w->manifest.shards = qv__arena_calloc(&w->arena, shards + 1u, sizeof *w->manifest.shards);
    w->block = qv__alloc(db->mem, QV__SNAP_BLOCK_BYTES);
    if (!w->manifest.shards || !w->block) {
        return qv__fail(err, QV_ENOMEM, "no memory for a snapshot");
    }
    QV_TRY(make_dir(w, err));
    QV_TRY(qv__blobs_local_open(db->io, w->dir, QV__DIR_TMP, db->mem, &w->blobs, err));
    w->snap = (struct qv__snap){.kind = collection.n ? QV__SNAP_COLLECTION : QV__SNAP_DATABASE,
                                .id = w->id,
                                .lsn = w->ticket.lsn,
                                .created_ms = qv__wall_ms(db->clock)};
    memcpy(w->snap.db_uuid, db->uuid, sizeof db->uuid);
    if (collection.n) {
        snprintf(w->snap.name, sizeof w->snap.name, "%s", w->all[0]->name);
    }
    return QV_OK;
}

qv_status qv__snapshot_begin(struct qv__db *db, struct qv__str collection,
                             struct qv__snapshot_work **out, struct qv_err *err)
{
    struct qv__snapshot_work *w = qv__zalloc(db->mem, sizeof *w);
    if (!w) {
        return qv__fail(err, QV_ENOMEM, "no memory for a snapshot");
    }
    w->db = db;
    qv__arena_init(&w->arena, db->mem);
    qv__buf_init(&w->catalog, db->mem);
    qv_status st = begin(w, collection, err);
    if (st != QV_OK) {
        qv__snapshot_end(w, NULL);
        return st;
    }
    qv__job_open(&w->job, db, NULL, QV__JOB_SNAPSHOT, 0, NULL, "snapshot %" PRIu64, w->id);
    if (collection.n) {
        qv__job_of(&w->job, w->all[0]->id, qv__str_z(w->all[0]->name));
    }
    *out = w;
    return QV_OK;
}

/* --- cutting --- */

static qv_status link_segment(struct qv__snapshot_work *w, uint64_t id, struct qv_err *err)
{
    char name[64], path[128];
    qv__segment_blob_name(id, name);
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return w->db->blobs->ops->lend(w->db->blobs, name, path, err);
}

static qv_status cut_view(struct qv__snapshot_work *w, const struct qv__view *v,
                          struct qv__manifest_shard *out, struct qv_err *err)
{
    out->segments = qv__arena_calloc(&w->arena, v->n + 1u, sizeof *out->segments);
    if (!out->segments) {
        return qv__fail(err, QV_ENOMEM, "no memory for a snapshot");
    }
    for (uint32_t i = 0; i < v->n; i++) {
        struct qv__manifest_segment *m = &out->segments[out->n_segments];
        uint64_t gen = atomic_fetch_add(&w->db->next_file_id, 1);
        QV_TRY(qv__segment_cut(v->segments[i], w->ticket.lsn, w->blobs, gen, m, err));
        if (m->n_rows) {
            QV_TRY(link_segment(w, m->segment_id, err));
            out->n_segments++;
            w->snap.n_files += m->tombstone_gen ? 2 : 1;
        }
    }
    return QV_OK;
}

static qv_status cut_shard(struct qv__snapshot_work *w, struct qv_err *err)
{
    struct qv__shard *s = &w->all[w->collection]->shards[w->shard];
    struct qv__manifest_shard *out = &w->manifest.shards[w->manifest.n_shards];
    qv__mutex_lock(&s->maintenance);
    qv_status st = qv__maintain_flush(s, true, NULL, err);
    qv__mutex_unlock(&s->maintenance);
    QV_TRY(st);
    /* Of what was quarantined since the snapshot began nothing is flushed. */
    QV_TRY(qv__quarantine_check(w->all[w->collection], err));
    *out = (struct qv__manifest_shard){.collection_id = w->all[w->collection]->id,
                                       .shard = s->number,
                                       .flushed_lsn = w->ticket.lsn};
    struct qv__view *v = qv__shard_view(s);
    st = cut_view(w, v, out, err);
    qv__view_release(v);
    QV_TRY(st);
    w->manifest.n_shards++;
    if (++w->shard == w->all[w->collection]->n_shards) {
        w->shard = 0;
        w->collection++;
    }
    return QV_OK;
}

static void stop_reading(struct qv__snapshot_work *w)
{
    if (w->is_reading) {
        qv__read_end(w->db->commit, &w->ticket);
        w->is_reading = false;
    }
    for (uint32_t i = 0; i < w->n_all; i++) {
        if (w->ticket.lsn < atomic_load(&w->all[i]->columns_lsn)) {
            qv__maintain_call(w->all[i]); /* dropped columns may leave the segments now */
        }
    }
    qv__catalog_all_free(w->all, w->n_all);
    w->all = NULL;
    w->n_all = 0;
}

/* --- the list of files --- */

static qv_status write_plain(struct qv__snapshot_work *w, const char *leaf, const void *p, size_t n,
                             struct qv_err *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", w->dir, leaf);
    return qv__io_write_file(w->db->io, path, p, n, err);
}

static int by_number(const void *a, const void *b)
{
    const struct qv__snap_file *x = a, *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

static qv_status list_files(struct qv__snapshot_work *w, uint64_t manifest_bytes,
                            struct qv_err *err)
{
    struct qv__snap *s = &w->snap;
    uint32_t n = 0;
    s->n_files++; /* the manifest */
    s->files = qv__arena_calloc(&w->arena, s->n_files, sizeof *s->files);
    if (!s->files) {
        return qv__fail(err, QV_ENOMEM, "no memory for a snapshot");
    }
    s->files[n++] = (struct qv__snap_file){.kind = QV__SNAP_MANIFEST, .bytes = manifest_bytes};
    for (uint32_t i = 0; i < w->manifest.n_shards; i++) {
        for (uint32_t k = 0; k < w->manifest.shards[i].n_segments; k++) {
            const struct qv__manifest_segment *m = &w->manifest.shards[i].segments[k];
            s->files[n++] = (struct qv__snap_file){
                .kind = QV__SNAP_SEGMENT, .id = m->segment_id, .bytes = m->file_bytes};
            if (m->tombstone_gen) {
                s->files[n++] = (struct qv__snap_file){.kind = QV__SNAP_TOMBSTONES,
                                                       .id = m->segment_id,
                                                       .gen = m->tombstone_gen,
                                                       .bytes = qv__tombstones_bytes(m->n_rows)};
            }
        }
    }
    QV_ASSERT(n == s->n_files);
    qsort(s->files, n, sizeof *s->files, by_number);
    QV_TRY(qv__snap_layout(s, w->dir, err));
    s->blocks = qv__arena_calloc(&w->arena, (size_t)s->n_blocks + 1, sizeof *s->blocks);
    return s->blocks ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for a snapshot");
}

/* All shards are cut: the manifest, and what is to be summed. */
static qv_status close_cut(struct qv__snapshot_work *w, struct qv_err *err)
{
    uint8_t head[QV__SNAP_HEAD_BYTES];
    struct qv__buf b;
    stop_reading(w);
    w->manifest.next_file_id = atomic_load(&w->db->next_file_id);
    qv__buf_init(&b, w->db->mem);
    qv_status st = qv__manifest_encode(&w->manifest, &b, err);
    if (st == QV_OK) {
        st = write_plain(w, "manifest", b.p, b.n, err);
    }
    if (st == QV_OK) {
        st = list_files(w, b.n, err);
    }
    qv__buf_free(&b);
    QV_TRY(st);
    qv__snap_head_encode(&w->snap, head);
    qv__sha256_init(&w->whole);
    qv__sha256_add(&w->whole, head, sizeof head);
    w->phase = SUM;
    return QV_OK;
}

/* --- summing --- */

static qv_status sum_blocks(struct qv__snapshot_work *w, struct qv__file *f, struct qv_err *err)
{
    struct qv__snap_file *s = &w->snap.files[w->file];
    struct qv__sha256 own;
    qv__sha256_init(&own);
    for (uint64_t k = 0; k < qv__snap_blocks(s->bytes); k++) {
        uint64_t at = k * QV__SNAP_BLOCK_BYTES;
        size_t n = (size_t)QV_MIN((uint64_t)QV__SNAP_BLOCK_BYTES, s->bytes - at);
        QV_TRY(check_cancel(w, err));
        QV_TRY(qv__io_pread(f, w->block, n, at, err));
        w->snap.blocks[s->first_block + k] = qv__snap_block_crc(w->file, k, w->block, n);
        qv__sha256_add(&own, w->block, n);
        qv__sha256_add(&w->whole, w->block, n);
        w->job.work.progress(&w->job, s->at + at + n, w->snap.total_bytes);
    }
    qv__sha256_end(&own, s->sha256);
    return QV_OK;
}

static qv_status sum_file(struct qv__snapshot_work *w, struct qv_err *err)
{
    char name[64], path[128];
    struct qv__file *f = NULL;
    uint64_t size = 0;
    qv__snap_file_name(&w->snap.files[w->file], name);
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    QV_TRY(qv__io_open(w->db->io, path, QV__OPEN_READ, &f, err));
    qv_status st = qv__io_size(f, &size, err);
    if (st == QV_OK && size != w->snap.files[w->file].bytes) {
        st = qv__fail(err, QV_ECORRUPT, "%s: has %" PRIu64 " bytes, not %" PRIu64, path, size,
                      w->snap.files[w->file].bytes);
    }
    if (st == QV_OK) {
        st = sum_blocks(w, f, err);
    }
    qv__io_file_close(f, NULL); /* nothing was written */
    QV_TRY(st);
    if (++w->file == w->snap.n_files) {
        w->phase = NAME;
    }
    return QV_OK;
}

/* --- the end --- */

static qv_status write_lists(struct qv__snapshot_work *w, struct qv_err *err)
{
    uint8_t head[QV__SNAP_HEAD_BYTES], sum[QV__SNAP_SUM_BYTES];
    struct qv__buf table;
    qv__buf_init(&table, w->db->mem);
    qv__snap_table_encode(&w->snap, &table);
    qv_status st = qv__buf_status(&table, err);
    if (st == QV_OK) {
        qv__sha256_add(&w->whole, table.p, table.n);
        qv__sha256_end(&w->whole, w->sum);
        st = write_plain(w, QV__SNAP_TABLE_NAME, table.p, table.n, err);
    }
    qv__buf_free(&table);
    QV_TRY(st);
    qv__snap_head_encode(&w->snap, head);
    qv__snap_sum_encode(w->sum, w->snap.total_bytes, sum);
    QV_TRY(write_plain(w, QV__SNAP_HEAD_NAME, head, sizeof head, err));
    return write_plain(w, QV__SNAP_SUM_NAME, sum, sizeof sum, err);
}

static qv_status give_name(struct qv__snapshot_work *w, struct qv_err *err)
{
    struct qv__db *db = w->db;
    char whole[64];
    QV_TRY(write_lists(w, err));
    QV_TRY(qv__io_sync_dir(db->io, w->dir, err));
    qv__snapshot_dir(w->id, QV__SNAPSHOT_WHOLE, whole);
    qv__mutex_lock(&db->snapshots);
    qv_status st = qv__io_rename(db->io, w->dir, whole, err);
    if (st == QV_OK) {
        st = qv__io_sync_dir(db->io, QV__DIR_SNAPSHOTS, err);
        struct qv_err ignored;
        if (st != QV_OK && qv__io_rename(db->io, whole, w->dir, &ignored) != QV_OK) {
            w->has_dir = false; /* whole, though nobody was told: taking it apart would be worse */
        }
    }
    qv__mutex_unlock(&db->snapshots);
    QV_TRY(st);
    w->has_dir = false;
    w->phase = DONE;
    return QV_OK;
}

qv_status qv__snapshot_step(struct qv__snapshot_work *w, bool *done, struct qv_err *err)
{
    qv_status st = QV_OK;
    w->status = check_cancel(w, err);
    QV_TRY(w->status);
    switch (w->phase) {
    case CUT:
        st = w->collection < w->n_all ? cut_shard(w, err) : close_cut(w, err);
        break;
    case SUM:
        st = sum_file(w, err);
        break;
    case NAME:
        st = give_name(w, err);
        break;
    case DONE:
        break;
    }
    *done = w->phase == DONE;
    w->status = st;
    return st;
}

static void count_made(struct qv__snapshot_work *w)
{
    struct qv__collection *c = NULL;
    if (w->snap.kind == QV__SNAP_COLLECTION &&
        qv__db_collection(w->db, qv__str_z(w->snap.name), &c, NULL) == QV_OK) {
        qv__count(&c->snapshots, c->id == w->job.info.collection_id);
        qv__collection_release(c);
    }
}

void qv__snapshot_end(struct qv__snapshot_work *w, struct qv__snapshot_info *out)
{
    if (!w) {
        return;
    }
    struct qv__db *db = w->db;
    stop_reading(w);
    if (w->job.db) { /* given up between steps: nobody wants it any more */
        qv__job_close(&w->job, w->status == QV_OK && w->phase != DONE ? QV_ECANCELLED : w->status);
    }
    if (w->phase == DONE) {
        count_made(w);
    }
    if (w->phase == DONE && out) {
        qv__snapshot_describe(&w->snap, w->sum, out);
    }
    if (w->blobs) {
        w->blobs->ops->close(w->blobs);
    }
    if (w->has_dir) {
        qv__snapshot_remove_dir(db->io, db->mem, w->dir);
    }
    qv__free(w->block);
    qv__buf_free(&w->catalog);
    qv__arena_free(&w->arena);
    qv__free(w);
}

qv_status qv__db_snapshot_create(struct qv__db *db, struct qv__str collection,
                                 struct qv__snapshot_info *out, struct qv_err *err)
{
    struct qv__snapshot_work *w = NULL;
    struct qv__snapshot_info info;
    bool done = false;
    QV_TRY(qv__snapshot_begin(db, collection, &w, err));
    qv_status st = QV_OK;
    while (st == QV_OK && !done) {
        st = qv__snapshot_step(w, &done, err);
    }
    qv__snapshot_end(w, st == QV_OK ? &info : NULL);
    if (st != QV_OK) {
        return st;
    }
    qv__log_line(db->logger, QV__LEVEL_INFO, "snapshot",
                 "made %s at LSN %" PRIu64 ", %" PRIu64 " bytes", info.name, info.lsn, info.bytes);
    if (out) {
        *out = info;
    }
    return QV_OK;
}

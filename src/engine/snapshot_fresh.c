/* snapshot_fresh.c: a database from a snapshot, in an empty directory.
 *
 * A marker is written first; as long as it is there and no manifest, the directory is refused by
 * everybody but the next restore. The manifest is the last thing written, and the switch: with it
 * the marker means nothing more. Rows keep the LSNs they had, and the log goes on behind them. */
#include <stdio.h>

#include "engine/snapshot_impl.h"

struct fresh {
    const struct qv__restore_options *o;
    struct qv__snap_reader reader;
    struct qv__restore r;
    struct qv__arena arena;
    struct qv__datadir datadir;
    struct qv__blobs *blobs;
    _Atomic uint64_t next_file_id;
    struct qv__manifest manifest;
    bool is_ours; /* the directory was found fresh: it may be emptied */
};

/* --- the directory --- */

static bool exists(struct qv__io *io, const char *name, qv_status *st, struct qv_err *err)
{
    struct qv__file *f = NULL;
    struct qv_err why;
    *st = qv__io_open(io, name, QV__OPEN_READ, &f, &why);
    qv__io_file_close(f, NULL);
    if (*st != QV_OK && *st != QV_ENOTFOUND && err) {
        *err = why;
    }
    bool found = *st == QV_OK;
    *st = *st == QV_ENOTFOUND ? QV_OK : *st;
    return found;
}

qv_status qv__restore_unfinished(struct qv__io *io, struct qv_err *err)
{
    qv_status st;
    if (exists(io, QV__RESTORE_MARKER, &st, err)) {
        return qv__fail(err, QV_ECORRUPT,
                        "a restore into this directory was interrupted: run it again");
    }
    return st;
}

static const char *const files[] = {"LOCK",    QV__RESTORE_MARKER, QV__RESTORE_MARKER ".tmp",
                                    "CURRENT", "CURRENT.tmp",      NULL};
static const char *const dirs[] = {QV__DIR_LOG, QV__DIR_BLOBS, QV__DIR_TMP, QV__DIR_SNAPSHOTS,
                                   NULL};

static bool is_one_of(const char *const *list, const char *name)
{
    while (*list && strcmp(*list, name) != 0) {
        list++;
    }
    return *list != NULL;
}

struct look {
    bool foreign; /* something that no restore leaves */
    bool any;
};

static void look_at_root(void *arg, const char *name, bool is_dir)
{
    struct look *l = arg;
    bool ours = is_dir ? is_one_of(dirs, name)
                       : is_one_of(files, name) || strncmp(name, "manifest-", 9) == 0;
    l->foreign |= !ours;
}

static void look_inside(void *arg, const char *name, bool is_dir)
{
    struct look *l = arg;
    (void)name, (void)is_dir;
    l->any = true;
}

/* Nothing is there, or only what an interrupted restore left. */
static qv_status check_fresh(struct qv__io *io, struct qv__mem *mem, struct qv_err *err)
{
    struct look l = {false, false};
    struct qv__arena arena;
    struct qv__manifest m;
    struct qv_err why;
    qv_status st;
    QV_TRY(qv__io_list(io, "", look_at_root, &l, err));
    qv__arena_init(&arena, mem);
    qv_status live = l.foreign ? QV_OK : qv__manifest_read(io, &arena, &m, &why);
    qv__arena_free(&arena);
    bool marked = exists(io, QV__RESTORE_MARKER, &st, err);
    QV_TRY(st);
    for (size_t i = 0; !marked && dirs[i]; i++) {
        st = qv__io_list(io, dirs[i], look_inside, &l, &why);
        l.any |= st != QV_OK && st != QV_ENOTFOUND;
    }
    if (l.foreign || live != QV_ENOTFOUND || l.any) {
        return qv__fail(err, QV_EEXISTS, "the directory is not empty");
    }
    return QV_OK;
}

static void gather_root_file(void *arg, const char *name, bool is_dir)
{
    struct qv__buf *b = arg;
    if (!is_dir && strcmp(name, QV__RESTORE_MARKER) != 0 && strcmp(name, "LOCK") != 0) {
        qv__buf_put(b, name, strlen(name) + 1);
    }
}

/* Everything but lock, marker and directories. False: something stays. */
static bool empty(struct qv__io *io, struct qv__mem *mem)
{
    struct qv__buf names;
    struct qv_err err;
    bool all = true;
    for (size_t i = 0; dirs[i]; i++) {
        all &= qv__snapshot_remove_files(io, mem, dirs[i]);
    }
    qv__buf_init(&names, mem);
    all &= qv__io_list(io, "", gather_root_file, &names, &err) == QV_OK && !names.failed;
    for (size_t at = 0; all && at < names.n; at += strlen((const char *)names.p + at) + 1) {
        all &= qv__io_unlink(io, (const char *)names.p + at, &err) == QV_OK;
    }
    qv__buf_free(&names);
    return all;
}

static qv_status claim(struct fresh *f, struct qv_err *err)
{
    struct qv__io *to = f->o->to;
    QV_TRY(check_fresh(to, f->o->mem, err));
    QV_TRY(qv__datadir_open(to, &f->datadir, err));
    QV_TRY(check_fresh(to, f->o->mem, err)); /* once more, with the lock */
    f->is_ours = true;
    QV_TRY(qv__io_write_file(to, QV__RESTORE_MARKER, "", 0, err));
    if (!empty(to, f->o->mem)) {
        return qv__fail(err, QV_EIO, "what an interrupted restore left cannot be removed");
    }
    return qv__blobs_local_open(to, QV__DIR_BLOBS, QV__DIR_TMP, f->o->mem, &f->blobs, err);
}

/* --- what is restored --- */

static qv_status check_aliases(const struct fresh *f, struct qv_err *err)
{
    qv__json aliases = qv__json_get(f->r.catalog, "aliases"), a = qv__json_first(aliases);
    for (uint32_t i = 0; i < aliases->len; i++) {
        struct qv__str name, collection;
        if (!qv__json_str(a, &name) || !qv__json_str(a + 1, &collection)) {
            return qv__fail(err, QV_ECORRUPT, "snapshot: catalog: malformed alias");
        }
        a = qv__json_next(a + 1);
    }
    return QV_OK;
}

static qv_status restore_one(struct fresh *f, const struct qv__segment_env *env,
                             struct qv__schema *schema, const struct qv__manifest_shard *from,
                             struct qv_err *err)
{
    struct qv__manifest_shard *to = &f->manifest.shards[f->manifest.n_shards];
    struct qv__segment **list =
        qv__arena_calloc(&f->arena, from->n_segments + 1u, sizeof(struct qv__segment *));
    *to = (struct qv__manifest_shard){.collection_id = from->collection_id,
                                      .shard = from->shard,
                                      .n_segments = from->n_segments,
                                      .flushed_lsn = f->r.lsn_max};
    to->segments = qv__arena_calloc(&f->arena, from->n_segments + 1u, sizeof *to->segments);
    if (!list || !to->segments) {
        return qv__fail(err, QV_ENOMEM, "no memory to restore");
    }
    QV_TRY(qv__restore_shard(&f->r, env, schema, from, list, to->segments, err));
    for (uint32_t i = 0; i < from->n_segments; i++) {
        qv__segment_release(list[i]);
    }
    f->manifest.n_shards++;
    return QV_OK;
}

/* All shards of a collection. */
static qv_status restore_collection(struct fresh *f, qv__json o, struct qv_err *err)
{
    struct qv__segment_env env = {.mem = f->o->mem, .simd = qv__simd_best(NULL), .blobs = f->blobs};
    struct qv__schema *schema = NULL;
    uint64_t id = 0;
    qv_status st = qv__schema_from_json(f->o->mem, qv__json_get(o, "schema"), &schema, err);
    if (st != QV_OK) {
        return st == QV_ENOMEM
                   ? st
                   : qv__wrap(err, st == QV_EVERSION ? st : QV_ECORRUPT, "snapshot: schema");
    }
    (void)qv__json_u64(qv__json_get(o, "id"), &id);
    const struct qv__manifest *from = &f->r.manifest; /* its shards follow the catalog's order */
    while (st == QV_OK && f->manifest.n_shards < from->n_shards &&
           from->shards[f->manifest.n_shards].collection_id == id) {
        st = restore_one(f, &env, schema, &from->shards[f->manifest.n_shards], err);
    }
    qv__schema_release(schema);
    return st;
}

/* A manifest without any log is damage, so an empty log goes before it. */
static qv_status begin_log(struct fresh *f, uint64_t next_lsn, struct qv_err *err)
{
    struct qv__log_local_options o = {.next_lsn = next_lsn};
    struct qv__log *log = NULL;
    QV_TRY(qv__log_local_open(f->o->to, QV__DIR_LOG, f->o->mem, &o, &log, err));
    return qv__log_close(log, err);
}

static qv_status restore_all(struct fresh *f, struct qv_err *err)
{
    qv__json list = qv__json_get(f->r.catalog, "collections"), o = qv__json_first(list);
    struct qv__manifest *m = &f->manifest;
    QV_TRY(check_aliases(f, err));
    QV_TRY(qv__restore_space(&f->r, f->o->to, err));
    *m = (struct qv__manifest){
        .generation = 1, .checkpoint_lsn = f->r.lsn_max, .catalog = f->r.manifest.catalog};
    QV_TRY(qv__os_entropy(m->db_uuid, sizeof m->db_uuid, err));
    m->shards = qv__arena_calloc(&f->arena, f->r.manifest.n_shards + 1u, sizeof *m->shards);
    if (!m->shards) {
        return qv__fail(err, QV_ENOMEM, "no memory to restore");
    }
    for (uint32_t i = 0; i < list->len; i++, o = qv__json_next(o)) {
        QV_TRY(restore_collection(f, o, err));
    }
    m->next_file_id = atomic_load(&f->next_file_id);
    QV_TRY(begin_log(f, m->checkpoint_lsn + 1, err));
    return qv__manifest_write(f->o->to, f->o->mem, m, err);
}

static qv_status open_source(struct fresh *f, struct qv_err *err)
{
    const struct qv__restore_options *o = f->o;
    struct qv__file *file = NULL;
    uint64_t size = 0;
    if (o->is_directory) {
        return qv__snap_open_dir(o->from, o->path, o->mem, &f->reader, err);
    }
    QV_TRY(qv__io_open(o->from, o->path, QV__OPEN_READ, &file, err));
    qv_status st = qv__io_size(file, &size, err);
    qv__io_file_close(file, NULL);
    QV_TRY(st);
    return qv__snap_open_file(o->from, o->path, 0, size, o->mem, &f->reader, err);
}

/* Leave no trace of a restore that failed, and no marker of one that did not. What cannot be
 * removed keeps its marker. */
static void tidy(struct fresh *f, bool failed)
{
    struct qv__io *to = f->o->to;
    struct qv_err ignored;
    bool clean = f->is_ours && (!failed || empty(to, f->o->mem));
    if (clean) {
        (void)!qv__io_unlink(to, QV__RESTORE_MARKER, &ignored);
    }
    for (size_t i = 0; clean && failed && dirs[i]; i++) {
        (void)!qv__io_rmdir(to, dirs[i], &ignored);
    }
    qv__datadir_close(&f->datadir);
    if (clean && failed) {
        (void)!qv__io_unlink(to, "LOCK", &ignored);
    }
    (void)!qv__io_sync_dir(to, "", &ignored);
}

qv_status qv__db_restore(const struct qv__restore_options *o, struct qv__snapshot_info *out,
                         struct qv_err *err)
{
    struct fresh f = {.o = o};
    uint8_t sum[QV__SHA256_BYTES];
    atomic_init(&f.next_file_id, 1);
    qv__arena_init(&f.arena, o->mem);
    qv_status st = open_source(&f, err);
    QV_GOTO(st);
    f.r.next_file_id = &f.next_file_id;
    f.r.lsn_max = f.reader.snap.lsn;
    f.r.cancel = o->cancel;
    QV_GOTO(qv__restore_open(&f.r, &f.reader, o->sha256, err));
    QV_GOTO(claim(&f, err));
    f.r.blobs = f.blobs;
    st = restore_all(&f, err);
    if (st == QV_OK && out) {
        memset(sum, 0, sizeof sum);
        qv__snapshot_describe(&f.reader.snap, sum, out);
    }
out:
    if (f.blobs) {
        f.blobs->ops->close(f.blobs);
    }
    if (f.datadir.lock || f.is_ours) {
        tidy(&f, st != QV_OK);
    }
    qv__restore_free(&f.r);
    qv__snap_close(&f.reader);
    qv__arena_free(&f.arena);
    return st;
}

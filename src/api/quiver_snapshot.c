/* quiver_snapshot.c: the typed C interface: snapshots, and files of them. */
#include "api/handle.h"
#include "engine/snapshot.h"

#define COPY_BYTES ((size_t)1 << 20)

typedef void each_fn(void *arg, const struct qv_snapshot *snapshot);

struct listing {
    each_fn *each;
    void *arg;
};

static void show(void *arg, const struct qv__snapshot_info *info)
{
    const struct listing *l = arg;
    struct qv_snapshot s = {.name = info->name,
                            .collection = info->collection,
                            .bytes = info->bytes,
                            .created_ms = info->created_ms,
                            .lsn = info->lsn};
    memcpy(s.sha256, info->sha256, sizeof s.sha256);
    l->each(l->arg, &s);
}

qv_status qv_snapshot_create(qv_db *db, const char *collection, each_fn *each, void *arg,
                             struct qv_err *err)
{
    struct qv__snapshot_info info;
    struct qv__str name = collection ? qv__str_z(collection) : QV__STR("");
    if (!db) {
        return qv__handle_missing(err, "db");
    }
    if (collection && !*collection) {
        return qv__fail(err, QV_EINVAL,
                        "collection: must not be empty; NULL is the whole database");
    }
    QV_TRY(qv__db_snapshot_create(db->db, name, &info, err));
    if (each) {
        show(&(struct listing){each, arg}, &info);
    }
    return QV_OK;
}

qv_status qv_snapshot_list(qv_db *db, each_fn *each, void *arg, struct qv_err *err)
{
    if (!db || !each) {
        return qv__handle_missing(err, db ? "each" : "db");
    }
    return qv__db_snapshots(db->db, show, &(struct listing){each, arg}, err);
}

/* Of a collection or of the whole database. */
static qv_status find(qv_db *db, const char *name, struct qv__snapshot_info *out,
                      struct qv_err *err)
{
    if (!db || !name) {
        return qv__handle_missing(err, db ? "name" : "db");
    }
    qv_status st = qv__db_snapshot_find(db->db, qv__str_z(name), NULL, false, out, err);
    return st == QV_ENOTFOUND ? qv__db_snapshot_find(db->db, qv__str_z(name), NULL, true, out, err)
                              : st;
}

qv_status qv_snapshot_delete(qv_db *db, const char *name, struct qv_err *err)
{
    struct qv__snapshot_info info;
    QV_TRY(find(db, name, &info, err));
    return qv__db_snapshot_delete(db->db, info.id, err);
}

/* --- files --- */

/* Where a path's directory is and what it is called there. *leaf points into `path`. */
static qv_status open_parent(struct qv__mem *mem, const char *path, struct qv__io **out,
                             const char **leaf, struct qv_err *err)
{
    const char *slash = strrchr(path, '/');
    char dir[4096] = ".";
    size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 1;
    *leaf = slash ? slash + 1 : path;
    if (n >= sizeof dir || !**leaf) {
        return qv__fail(err, QV_EINVAL, "path: `%.255s` is not that of a file", path);
    }
    memcpy(dir, slash ? path : ".", n);
    dir[n] = 0;
    return qv__io_posix_open(mem, dir, false, out, err);
}

static qv_status copy_stream(struct qv__snapshot_stream *s, struct qv__file *to, uint8_t *block,
                             struct qv_err *err)
{
    uint64_t total = qv__snapshot_stream_bytes(s);
    for (uint64_t at = 0; at < total;) {
        size_t got = 0, want = (size_t)QV_MIN((uint64_t)COPY_BYTES, total - at);
        QV_TRY(qv__snapshot_stream_read(s, at, block, want, &got, err));
        QV_TRY(qv__io_pwrite(to, block, got, at, err));
        at += got;
    }
    return qv__io_sync(to, false, err);
}

static qv_status save_to(qv_db *db, uint64_t id, struct qv__io *io, const char *leaf,
                         struct qv_err *err)
{
    struct qv__snapshot_stream *s = NULL;
    struct qv__file *f = NULL;
    struct qv_err ignored;
    QV_TRY(qv__snapshot_stream_open(db->db, id, &s, err));
    uint8_t *block = qv__alloc(qv__db_mem(db->db), COPY_BYTES);
    qv_status st = block ? qv__io_open(io, leaf, QV__OPEN_CREATE | QV__OPEN_EXCL, &f, err)
                         : qv__fail(err, QV_ENOMEM, "no memory to save a snapshot");
    bool is_made = st == QV_OK;
    if (is_made) {
        st = copy_stream(s, f, block, err);
        qv_status closed = qv__io_file_close(f, st == QV_OK ? err : &ignored);
        st = st == QV_OK ? closed : st;
    }
    if (st == QV_OK) {
        st = qv__io_sync_dir(io, "", err);
    }
    if (is_made && st != QV_OK) {
        (void)!qv__io_unlink(io, leaf, &ignored);
    }
    qv__free(block);
    qv__snapshot_stream_close(s);
    return st;
}

qv_status qv_snapshot_save(qv_db *db, const char *name, const char *path, struct qv_err *err)
{
    struct qv__snapshot_info info;
    struct qv__io *io = NULL;
    const char *leaf;
    if (!path) {
        return qv__handle_missing(err, "path");
    }
    QV_TRY(find(db, name, &info, err));
    QV_TRY(open_parent(qv__db_mem(db->db), path, &io, &leaf, err));
    qv_status st = save_to(db, info.id, io, leaf, err);
    qv__io_close(io);
    return st;
}

/* --- getting back --- */

qv_status qv_snapshot_recover(qv_db *db, const char *collection, const char *name,
                              struct qv_err *err)
{
    struct qv__snapshot_info info;
    if (!collection) {
        return qv__handle_missing(err, "collection");
    }
    QV_TRY(find(db, name, &info, err));
    struct qv__snapshot_from from = {.id = info.id};
    return qv__db_snapshot_recover(db->db, qv__str_z(collection), &from, err);
}

/* The file, mapped, into the database's own directory: a recovery reads from there. */
static qv_status take_in(qv_db *db, struct qv__io *io, const char *leaf, char name[64],
                         uint64_t *bytes, struct qv_err *err)
{
    struct qv__file *f = NULL;
    struct qv__map_view v = {0};
    struct qv_err ignored;
    QV_TRY(qv__io_open(io, leaf, QV__OPEN_READ, &f, err));
    qv_status st = qv__io_size(f, bytes, err);
    if (st == QV_OK && *bytes == 0) {
        st = qv__fail(err, QV_ECORRUPT, "`%.255s` is empty", leaf);
    }
    if (st == QV_OK) {
        st = qv__io_map(f, 0, (size_t)*bytes, &v, err);
    }
    if (st == QV_OK) {
        struct qv__bytes piece = {v.p, v.n};
        st = qv__upload_store(db->db, &piece, 1, name, bytes, err);
        if (qv__map_failed(&v)) { /* zeros were copied: the checksums say so as well */
            if (st == QV_OK) {
                qv__upload_remove(db->db, name);
            }
            st = qv__fail(err, QV_EIO, "`%.255s` cannot be read", leaf);
        }
        qv__io_unmap(io, &v);
    }
    (void)!qv__io_file_close(f, &ignored);
    return st;
}

qv_status qv_snapshot_recover_file(qv_db *db, const char *collection, const char *path,
                                   struct qv_err *err)
{
    struct qv__io *io = NULL;
    const char *leaf;
    char name[64];
    uint64_t bytes = 0;
    if (!db || !collection || !path) {
        return qv__handle_missing(err, !db ? "db" : collection ? "path" : "collection");
    }
    QV_TRY(open_parent(qv__db_mem(db->db), path, &io, &leaf, err));
    qv_status st = take_in(db, io, leaf, name, &bytes, err);
    qv__io_close(io);
    QV_TRY(st);
    struct qv__snapshot_from from = {.file = name, .bytes = bytes};
    st = qv__db_snapshot_recover(db->db, qv__str_z(collection), &from, err);
    qv__upload_remove(db->db, name);
    return st;
}

qv_status qv_restore(const char *path, const char *directory, struct qv_err *err)
{
    struct qv__io *from = NULL, *to = NULL;
    const char *leaf;
    if (!path || !directory) {
        return qv__handle_missing(err, path ? "directory" : "path");
    }
    struct qv__mem *mem = qv__mem_root("restore", 0);
    if (!mem) {
        return qv__fail(err, QV_ENOMEM, "no memory to restore");
    }
    qv_status st = open_parent(mem, path, &from, &leaf, err);
    if (st == QV_OK) {
        st = qv__io_posix_open(mem, directory, true, &to, err);
    }
    if (st == QV_OK) {
        struct qv__restore_options o = {.from = from, .path = leaf, .to = to, .mem = mem};
        st = qv__db_restore(&o, NULL, err);
    }
    qv__io_close(to);
    qv__io_close(from);
    qv__mem_close(mem);
    return st;
}

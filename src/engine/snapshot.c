/* snapshot.c: the snapshots there are: names, lists, deletion, reading one as a container. */
#include <stdio.h>
#include <time.h>

#include "engine/snapshot_impl.h"

/* --- names --- */

void qv__snapshot_dir(uint64_t id, enum qv__snapshot_state state, char out[64])
{
    static const char *const prefix[] = {
        [QV__SNAPSHOT_WHOLE] = "", [QV__SNAPSHOT_NEW] = "new-", [QV__SNAPSHOT_GONE] = "gone-"};
    snprintf(out, 64, QV__DIR_SNAPSHOTS "/%s%016" PRIx64, prefix[state], id);
}

bool qv__snapshot_dir_read(const char *name, uint64_t *id, enum qv__snapshot_state *state)
{
    char want[64];
    const char *dash = strchr(name, '-'), *digits = dash ? dash + 1 : name;
    if (sscanf(digits, "%16" SCNx64, id) != 1) {
        return false;
    }
    for (int s = QV__SNAPSHOT_WHOLE; s <= QV__SNAPSHOT_GONE; s++) {
        *state = (enum qv__snapshot_state)s;
        qv__snapshot_dir(*id, *state, want);
        if (strcmp(want + sizeof QV__DIR_SNAPSHOTS, name) == 0) {
            return true;
        }
    }
    return false;
}

void qv__snapshot_describe(const struct qv__snap *s, const uint8_t sha256[QV__SHA256_BYTES],
                           struct qv__snapshot_info *out)
{
    struct tm tm;
    time_t seconds = (time_t)(s->created_ms / 1000 % ((uint64_t)1 << 37)); /* years of 4 digits */
    char date[32] = "";
    *out = (struct qv__snapshot_info){.id = s->id,
                                      .whole_database = s->kind == QV__SNAP_DATABASE,
                                      .lsn = s->lsn,
                                      .created_ms = s->created_ms,
                                      .bytes = s->total_bytes};
    memcpy(out->sha256, sha256, QV__SHA256_BYTES);
    memcpy(out->collection, s->name, sizeof out->collection);
    if (gmtime_r(&seconds, &tm)) {
        (void)strftime(date, sizeof date, "%Y-%m-%d-%H-%M-%S", &tm);
        (void)strftime(out->created, sizeof out->created, "%Y-%m-%dT%H:%M:%S", &tm);
    }
    snprintf(out->name, sizeof out->name, "%s-%" PRIu64 "-%s.snapshot",
             out->whole_database ? "full-snapshot" : out->collection, s->id, date);
}

/* --- directories --- */

struct names {
    struct qv__buf list; /* NUL-separated */
    bool dirs;           /* which kind is asked for */
};

static void gather_name(void *arg, const char *name, bool is_dir)
{
    struct names *n = arg;
    if (is_dir == n->dirs) {
        qv__buf_put(&n->list, name, strlen(name) + 1);
    }
}

static qv_status list_names(struct qv__io *io, struct qv__mem *mem, const char *dir, bool dirs,
                            struct qv__buf *out, struct qv_err *err)
{
    struct names n = {.dirs = dirs};
    qv__buf_init(&n.list, mem);
    qv_status st = qv__io_list(io, dir, gather_name, &n, err);
    if (st == QV_OK) {
        st = qv__buf_status(&n.list, err);
    }
    if (st != QV_OK) {
        qv__buf_free(&n.list);
    }
    *out = n.list;
    return st;
}

qv_status qv__snapshot_names(struct qv__io *io, struct qv__mem *mem, struct qv__buf *out,
                             struct qv_err *err)
{
    return list_names(io, mem, QV__DIR_SNAPSHOTS, true, out, err);
}

bool qv__snapshot_remove_files(struct qv__io *io, struct qv__mem *mem, const char *dir)
{
    struct qv__buf names;
    struct qv_err err;
    bool all = true;
    qv_status st = list_names(io, mem, dir, false, &names, &err);
    if (st != QV_OK) {
        return st == QV_ENOTFOUND; /* else it stays until the next open */
    }
    for (size_t at = 0; at < names.n; at += strlen((const char *)names.p + at) + 1) {
        char path[QV__IO_NAME_MAX + 1];
        int n =
            snprintf(path, sizeof path, "%s%s%s", dir, *dir ? "/" : "", (const char *)names.p + at);
        all &= n > 0 && (size_t)n < sizeof path && qv__io_unlink(io, path, &err) == QV_OK;
    }
    qv__buf_free(&names);
    return all;
}

void qv__snapshot_remove_dir(struct qv__io *io, struct qv__mem *mem, const char *dir)
{
    struct qv_err ignored;
    (void)qv__snapshot_remove_files(io, mem, dir);
    (void)!qv__io_rmdir(io, dir, &ignored);
}

qv_status qv__snapshots_clean(struct qv__db *db, struct qv_err *err)
{
    struct qv__buf names;
    struct qv_err ignored;
    /* Names may be from a process that was killed before it synced them. Those found are told of
     * and built on from here on, so a power cut must not take them back. */
    QV_TRY(qv__io_sync_dir(db->io, QV__DIR_SNAPSHOTS, err));
    if (qv__snapshot_names(db->io, db->mem, &names, &ignored) != QV_OK) {
        return QV_OK; /* leftovers never block a start */
    }
    for (size_t at = 0; at < names.n; at += strlen((const char *)names.p + at) + 1) {
        uint64_t id;
        enum qv__snapshot_state state;
        char dir[64];
        if (qv__snapshot_dir_read((const char *)names.p + at, &id, &state) &&
            state != QV__SNAPSHOT_WHOLE) {
            qv__snapshot_dir(id, state, dir);
            qv__log_line(db->logger, QV__LEVEL_INFO, "snapshot", "removing leftover %s", dir);
            qv__snapshot_remove_dir(db->io, db->mem, dir);
        }
    }
    qv__buf_free(&names);
    return QV_OK;
}

/* --- listing --- */

static qv_status read_info(struct qv__db *db, uint64_t id, struct qv__snapshot_info *out,
                           struct qv_err *err)
{
    struct qv__snap_reader r;
    char dir[64];
    qv__snapshot_dir(id, QV__SNAPSHOT_WHOLE, dir);
    qv_status st = qv__snap_open_dir(db->io, dir, db->mem, &r, err);
    if (st == QV_OK && r.snap.id != id) {
        st = qv__fail(err, QV_ECORRUPT, "%s: is snapshot %" PRIu64, dir, r.snap.id);
    }
    if (st == QV_OK) {
        qv__snapshot_describe(&r.snap, r.sum, out);
    }
    qv__snap_close(&r);
    return st;
}

static void ignore_name(void *arg, const char *name, bool is_dir)
{
    (void)arg;
    (void)name;
    (void)is_dir;
}

static bool is_there(struct qv__db *db, uint64_t id)
{
    struct qv_err ignored;
    char dir[64];
    qv__snapshot_dir(id, QV__SNAPSHOT_WHOLE, dir);
    return qv__io_list(db->io, dir, ignore_name, NULL, &ignored) == QV_OK;
}

/* What is wrong with one, be it a sector of its head, does not take the others away. */
qv_status qv__db_snapshots(struct qv__db *db,
                           void (*cb)(void *arg, const struct qv__snapshot_info *info), void *arg,
                           struct qv_err *err)
{
    struct qv__buf names;
    QV_TRY(qv__snapshot_names(db->io, db->mem, &names, err));
    qv_status st = QV_OK;
    for (size_t at = 0; st == QV_OK && at < names.n; at += strlen((const char *)names.p + at) + 1) {
        uint64_t id;
        enum qv__snapshot_state state;
        struct qv__snapshot_info info;
        struct qv_err why = {.code = QV_OK};
        if (!qv__snapshot_dir_read((const char *)names.p + at, &id, &state) ||
            state != QV__SNAPSHOT_WHOLE) {
            continue;
        }
        qv_status one = read_info(db, id, &info, &why);
        if (one == QV_OK) {
            cb(arg, &info);
        } else if (one == QV_ENOMEM || one == QV_EBUSY) {
            st = qv__wrap(&why, one, "listing snapshots");
            if (err) {
                *err = why;
            }
        } else if (one != QV_ENOTFOUND || is_there(db, id)) { /* else it was deleted meanwhile */
            qv__log_line(db->logger, QV__LEVEL_ERROR, "snapshot", "not usable: %s", why.message);
        }
    }
    qv__buf_free(&names);
    return st;
}

struct finding {
    struct qv__str name;
    const struct qv__str *collection;
    bool whole, found;
    struct qv__snapshot_info *out;
};

static void find_one(void *arg, const struct qv__snapshot_info *info)
{
    struct finding *f = arg;
    bool fits = info->whole_database == f->whole && qv__str_eq(f->name, qv__str_z(info->name)) &&
                (!f->collection || qv__str_eq(*f->collection, qv__str_z(info->collection)));
    if (fits) {
        *f->out = *info;
        f->found = true;
    }
}

/* One that no list shows, by the name of its directory: it can be deleted. */
static bool find_damaged(struct qv__db *db, struct qv__str name, struct qv__snapshot_info *out)
{
    char text[32];
    enum qv__snapshot_state state;
    uint64_t id = 0;
    struct qv_err ignored;
    if (name.n >= sizeof text) {
        return false;
    }
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (!qv__snapshot_dir_read(text, &id, &state) || state != QV__SNAPSHOT_WHOLE ||
        read_info(db, id, out, &ignored) == QV_OK || !is_there(db, id)) {
        return false;
    }
    *out = (struct qv__snapshot_info){.id = id, .whole_database = true};
    memcpy(out->name, text, name.n + 1);
    return true;
}

qv_status qv__db_snapshot_find(struct qv__db *db, struct qv__str name,
                               const struct qv__str *collection, bool whole,
                               struct qv__snapshot_info *out, struct qv_err *err)
{
    struct finding f = {.name = name, .collection = collection, .whole = whole, .out = out};
    QV_TRY(qv__db_snapshots(db, find_one, &f, err));
    return f.found || (whole && find_damaged(db, name, out))
               ? QV_OK
               : qv__fail(err, QV_ENOTFOUND, "Snapshot %.*s not found",
                          (int)QV_MIN(name.n, (size_t)300), name.p);
}

/* --- deleting --- */

/* Readers go on under the other name; returns whether there are any. Under snapshots. */
static bool streams_follow(struct qv__db *db, uint64_t id, const char dir[64], bool gone)
{
    bool any = false;
    for (struct qv__snapshot_stream *s = db->streams; s; s = s->next) {
        if (s->id == id) {
            memcpy(s->reader.place, dir, 64);
            s->gone = gone;
            any = true;
        }
    }
    return any;
}

/* Whole -> gone, for good. When that cannot be made durable it is taken back, so that what is
 * listed is what the disk has; then a power cut decides between the two, and both are whole. Where
 * even that fails it is not listed any more, and its files are there still: a deletion that finds
 * such a one goes on with it. Under snapshots. */
static qv_status delete_name(struct qv__db *db, uint64_t id, const char from[64], const char to[64],
                             bool *is_read, struct qv_err *err)
{
    struct qv_err why = {.code = QV_OK}, ignored;
    qv_status st = qv__io_rename(db->io, from, to, err);
    if (st == QV_ENOTFOUND && qv__io_list(db->io, to, ignore_name, NULL, &ignored) == QV_OK) {
        st = QV_OK;
    }
    QV_TRY(st);
    *is_read = streams_follow(db, id, to, true);
    st = qv__io_sync_dir(db->io, QV__DIR_SNAPSHOTS, &why);
    if (st == QV_OK) {
        return QV_OK;
    }
    bool back = qv__io_rename(db->io, to, from, &ignored) == QV_OK;
    if (back) {
        (void)streams_follow(db, id, from, false);
    }
    st = qv__wrap(&why, st, "the snapshot is %s, and a power cut may %s; delete it again",
                  back ? "still there" : "gone", back ? "take it" : "bring it back");
    if (err) {
        *err = why;
    }
    return st;
}

qv_status qv__db_snapshot_delete(struct qv__db *db, uint64_t id, struct qv_err *err)
{
    char from[64], to[64];
    bool is_read = false;
    QV_TRY(qv__catalog_writable(db, err));
    qv__snapshot_dir(id, QV__SNAPSHOT_WHOLE, from);
    qv__snapshot_dir(id, QV__SNAPSHOT_GONE, to);
    qv__mutex_lock(&db->snapshots);
    qv_status st = delete_name(db, id, from, to, &is_read, err);
    qv__mutex_unlock(&db->snapshots);
    if (st == QV_OK && !is_read) { /* else the last reader does it */
        qv__snapshot_remove_dir(db->io, db->mem, to);
    }
    return st;
}

/* --- reading --- */

qv_status qv__snapshot_stream_open(struct qv__db *db, uint64_t id, struct qv__snapshot_stream **out,
                                   struct qv_err *err)
{
    char dir[64];
    struct qv__snapshot_stream *s = qv__zalloc(db->mem, sizeof *s);
    if (!s) {
        return qv__fail(err, QV_ENOMEM, "no memory to read a snapshot");
    }
    s->db = db;
    s->id = id;
    qv__snapshot_dir(id, QV__SNAPSHOT_WHOLE, dir);
    qv__mutex_lock(&db->snapshots);
    qv_status st = qv__snap_open_dir(db->io, dir, db->mem, &s->reader, err);
    if (st == QV_OK) {
        s->reader.naming = &db->snapshots;
        s->next = db->streams;
        db->streams = s;
    }
    qv__mutex_unlock(&db->snapshots);
    if (st != QV_OK) {
        qv__snap_close(&s->reader);
        qv__free(s);
        return st;
    }
    *out = s;
    return QV_OK;
}

uint64_t qv__snapshot_stream_bytes(const struct qv__snapshot_stream *s)
{
    return s->reader.snap.total_bytes;
}

qv_status qv__snapshot_stream_read(struct qv__snapshot_stream *s, uint64_t at, void *buf, size_t n,
                                   size_t *got, struct qv_err *err)
{
    return qv__snap_stream(&s->reader, at, buf, n, got, err);
}

void qv__snapshot_stream_close(struct qv__snapshot_stream *s)
{
    if (!s) {
        return;
    }
    struct qv__db *db = s->db;
    bool last = true;
    char dir[64];
    qv__mutex_lock(&db->snapshots);
    for (struct qv__snapshot_stream **at = &db->streams; *at;) {
        if (*at == s) {
            *at = s->next;
            continue;
        }
        last &= (*at)->id != s->id;
        at = &(*at)->next;
    }
    qv__mutex_unlock(&db->snapshots);
    qv__snap_close(&s->reader);
    if (s->gone && last) {
        qv__snapshot_dir(s->id, QV__SNAPSHOT_GONE, dir);
        qv__snapshot_remove_dir(db->io, db->mem, dir);
    }
    qv__free(s);
}

/* log_recover.c: from the files of a directory to a log that can go on.
 *
 * 1. Files that were being prepared are removed, whatever they hold.
 * 2. Every live file's head is checked against its name, its length and the others' uuid.
 * 3. The last file is walked to its first place without a valid record. If any valid head behind
 *    that place, or the mark on it, says that the missing record was durable once, the file is
 *    damaged (QV_ECORRUPT). Otherwise the group was torn by a crash: nobody was told that it is
 *    durable, and it is cut there. A mark that says a next file was there makes this one not the
 *    last: the next one is lost (QV_ECORRUPT).
 * 4. Cutting is zeroing the valid heads behind the end, so that none can ever be met by a later
 * walk that comes to stand on it. Records that no later word vouches for are written again with the
 *    same bytes: after a failed sync the page cache may show what the disk does not have, and only
 * a new write makes a sync save it.
 * 5. The file and the directory are synced. From here on all that replay hands out is durable.
 *
 * Each step can be repeated: a crash in recovery leaves bytes that recover to the same log.
 * Memory: one scan window and one struct per file. Runs before any other thread knows the log. */
#include "base/plant.h"
#include "store/log_scan.h"

#include "store/log_local.h"

#define COPY_BYTES ((size_t)64 * 1024)

/* --- names --- */

struct gather {
    struct qv__log_names *names;
};

static void gather_name(void *arg, const char *name, bool is_dir)
{
    struct gather *g = (struct gather *)arg;
    uint64_t v;
    if (is_dir) {
        return;
    }
    if (qv__log_name_read(name, &v)) { /* sorted by name, which is the order of LSNs */
        qv__buf_u64(&g->names->live, v);
    } else if (qv__log_next_name_read(name, &v)) {
        qv__buf_u64(&g->names->next, v);
    }
}

void qv__log_names_free(struct qv__log_names *names)
{
    qv__buf_free(&names->live);
    qv__buf_free(&names->next);
}

qv_status qv__log_names_read(struct qv__io *io, const char *dir, struct qv__mem *mem,
                             struct qv__log_names *out, struct qv_err *err)
{
    struct gather g = {out};
    qv__buf_init(&out->live, mem);
    qv__buf_init(&out->next, mem);
    qv_status st = qv__io_list(io, dir, gather_name, &g, err);
    if (st == QV_OK) {
        st = qv__buf_status(&out->live, err);
    }
    if (st == QV_OK) {
        st = qv__buf_status(&out->next, err);
    }
    if (st != QV_OK) {
        qv__log_names_free(out);
    }
    return st;
}

static qv_status make_dir(struct qv__log_local *log, struct qv_err *err)
{
    char parent[QV__LOG_DIR_MAX + 1];
    QV_TRY(qv__io_mkdir(log->io, log->dir, err));
    memcpy(parent, log->dir, sizeof parent);
    char *slash = strrchr(parent, '/');
    *(slash ? slash : parent) = 0;
    return qv__io_sync_dir(log->io, parent, err);
}

static void remove_unfinished(struct qv__log_local *log, const struct qv__buf *serials)
{
    for (size_t i = 0; i < qv__log_names_count(serials); i++) {
        char path[QV__LOG_PATH_BYTES];
        uint64_t serial = qv__log_names_at(serials, i);
        struct qv_err err;
        qv__log_next_path(log->dir, serial, path);
        if (qv__io_unlink(log->io, path, &err) != QV_OK) { /* a leftover never blocks a start */
            qv__log_line(qv__log_logger(log), QV__LEVEL_WARN, "log", "a leftover stays: %s",
                         err.message);
        }
        if (serial >= log->next_serial && serial < UINT64_MAX) {
            log->next_serial = serial + 1;
        }
    }
}

/* --- the last file --- */

static qv_status zero(struct qv__file *f, uint64_t from, uint64_t to, struct qv_err *err)
{
    static const uint8_t zeros[4096];
    while (from < to) {
        size_t n = (size_t)QV_MIN(to - from, (uint64_t)sizeof zeros);
        QV_TRY(qv__io_pwrite(f, zeros, n, from, err));
        from += n;
    }
    return QV_OK;
}

static qv_status write_again(struct qv__logscan *s, struct qv__file *f, struct qv_err *err)
{
    for (uint64_t off = s->unsure_off; off < s->off;) {
        const uint8_t *p;
        size_t n = (size_t)QV_MIN(s->off - off, (uint64_t)COPY_BYTES);
        QV_TRY(qv__logscan_read(s, off, n, &p, err));
        QV_TRY(qv__io_pwrite(f, p, n, off, err));
        off += n;
    }
    return QV_OK;
}

/* Walk to the end and judge what lies behind it. */
static qv_status find_end(struct qv__logscan *s, uint64_t reach_lsn, struct qv__logtail *tail,
                          struct qv_err *err)
{
    struct qv__log_record rec;
    for (bool got = true; got;) {
        QV_TRY(qv__logscan_next(s, &rec, &got, err));
    }
    QV_TRY(qv__logscan_tail(s, tail, err));
    if (s->is_closed) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: the next file, which begins with record %" PRIu64 ", is missing",
                        s->name, s->lsn);
    }
    if (s->lsn <= reach_lsn) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: ends with record %" PRIu64
                        ", but a checkpoint was made of those up to %" PRIu64
                        ": what is between is missing",
                        s->name, s->lsn - 1, reach_lsn);
    }
    if (tail->synced_lsn >= s->lsn && !QV_PLANT(cut_durable_tail)) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: offset %" PRIu64 ": record %" PRIu64
                        " is damaged (%s): it was durable, as a later record says",
                        s->name, s->off, s->lsn, s->stop);
    }
    return QV_OK;
}

static qv_status settle_last(struct qv__log_local *log, struct qv__log_file *f, struct qv_err *err)
{
    struct qv__logscan s;
    struct qv__logtail tail;
    QV_TRY(qv__logscan_open(log->io, log->dir, f->head.first_lsn, true, log->mem, &s, err));
    qv_status st = find_end(&s, log->reach_lsn, &tail, err);
    if (st == QV_OK) {
        st = qv__io_open(log->io, s.name, QV__OPEN_WRITE, &f->handle, err);
    }
    if (st == QV_OK && tail.end_off && !QV_PLANT(keep_torn_tail)) {
        qv__log_line(qv__log_logger(log), QV__LEVEL_WARN, "log",
                     "%s: cut after record %" PRIu64
                     ": what was written behind it was never confirmed (%s)",
                     s.name, s.lsn - 1, s.stop);
        st = zero(f->handle, s.off, tail.end_off, err);
    }
    if (st == QV_OK && !QV_PLANT(trust_page_cache)) {
        st = write_again(&s, f->handle, err);
    }
    if (st == QV_OK) {
        st = qv__io_sync(f->handle, false, err);
    }
    f->used_bytes = s.off;
    log->lsn = log->durable_lsn = s.lsn - 1;
    log->epoch = s.epoch;
    qv__logscan_close(&s);
    return st;
}

/* --- all files --- */

static qv_status load_file(struct qv__log_local *log, uint64_t first_lsn, struct qv_err *err)
{
    struct qv__logscan s;
    QV_TRY(qv__logscan_open(log->io, log->dir, first_lsn, true, log->mem, &s, err));
    qv_status st = QV_OK;
    struct qv__log_file *f = NULL;
    if (log->current && memcmp(s.head.uuid, log->uuid, sizeof log->uuid) != 0) {
        st = qv__fail(err, QV_ECORRUPT, "%s: offset 32: the file belongs to another log", s.name);
    } else if (log->current && s.head.epoch < log->current->head.epoch) {
        st = qv__fail(err, QV_ECORRUPT, "%s: offset 48: the epoch goes back", s.name);
    } else if (!(f = (struct qv__log_file *)qv__zalloc(log->mem, sizeof *f))) {
        st = qv__fail(err, QV_ENOMEM, "%s: no memory to open it", s.name);
    }
    if (f) {
        memcpy(log->uuid, s.head.uuid, sizeof log->uuid);
        f->head = s.head;
        f->seed = s.seed;
        f->used_bytes = s.size_bytes; /* the last one's is found later */
        f->is_begun = true;
        *(log->current ? &log->current->next : &log->oldest) = f;
        log->current = log->begun = f;
    }
    qv__logscan_close(&s);
    return st;
}

qv_status qv__log_recover(struct qv__log_local *log, struct qv_err *err)
{
    struct qv__log_names names;
    struct qv_err list_err = {.code = QV_OK};
    qv_status st = qv__log_names_read(log->io, log->dir, log->mem, &names, &list_err);
    if (st == QV_ENOTFOUND) {
        return make_dir(log, err);
    }
    if (st != QV_OK) {
        if (err) {
            *err = list_err;
        }
        return st;
    }
    remove_unfinished(log, &names.next);
    for (size_t i = 0; st == QV_OK && i < qv__log_names_count(&names.live); i++) {
        st = load_file(log, qv__log_names_at(&names.live, i), err);
    }
    if (st == QV_OK && log->current) {
        st = settle_last(log, log->current, err);
    }
    if (st == QV_OK && log->current) {
        /* The last file's name may be from a process that was killed before it synced it. */
        st = qv__io_sync_dir(log->io, log->dir, err);
    }
    qv__log_names_free(&names);
    return st;
}

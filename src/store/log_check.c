/* log_check.c: what is in a log directory, file by file, damage included.
 *
 * Reads as recovery and replay do, but goes on after damage and changes nothing, so that it can be
 * run on the log of a database that refuses to open. Memory: one scan. No locks. */
#include <stdio.h>

#include "store/log_local.h"
#include "store/log_scan.h"

#define CHECK_NOTE 100

static void say(struct qv__log_file_report *r, qv_status st, const char *message)
{
    r->status = st;
    snprintf(r->message, sizeof r->message, "%.*s", (int)sizeof r->message - 1, message);
}

/* The walk of one file is over: is its end what `next_lsn` (0 = last file) demands? */
static qv_status judge_end(struct qv__logscan *s, uint64_t next_lsn, struct qv__log_file_report *r,
                           struct qv_err *err)
{
    char note[CHECK_NOTE + 60];
    struct qv__logtail tail;
    if (!next_lsn && s->is_closed) {
        snprintf(note, sizeof note,
                 "the next file, which begins with record %" PRIu64 ", is missing", s->lsn);
        say(r, QV_ECORRUPT, note);
        return QV_OK;
    }
    if (next_lsn && s->lsn == next_lsn) {
        return QV_OK;
    }
    /* Behind a mark, too: it may be that of an earlier flush, over which a write was lost. */
    QV_TRY(qv__logscan_tail(s, &tail, err));
    if (next_lsn || tail.synced_lsn >= s->lsn) {
        snprintf(note, sizeof note, "offset %" PRIu64 ": record %" PRIu64 " is damaged: %.*s",
                 s->off, s->lsn, CHECK_NOTE, s->stop);
        say(r, QV_ECORRUPT, note);
    } else if (tail.end_off) {
        snprintf(note, sizeof note, "offset %" PRIu64 ": torn tail, %" PRIu64 " bytes to be cut",
                 s->off, tail.end_off - s->off);
        say(r, QV_OK, note);
    }
    return QV_OK;
}

/* Who is handed the records. */
struct visitor {
    qv__log_check_fn record;
    void *arg;
};

static qv_status walk_file(struct qv__logscan *s, uint64_t next_lsn, const struct visitor *v,
                           struct qv__log_file_report *r, struct qv_err *err)
{
    struct qv__log_record rec;
    for (bool got = true; got && (!next_lsn || s->lsn < next_lsn);) {
        r->valid_bytes = s->off;
        QV_TRY(qv__logscan_next(s, &rec, &got, err));
        if (got && v->record) {
            QV_TRY(v->record(v->arg, r, &rec, err));
        }
    }
    r->records = s->records;
    r->last_lsn = s->records ? s->lsn - 1 : 0;
    r->valid_bytes = s->off;
    return judge_end(s, next_lsn, r, err);
}

/* Only what would make the report itself wrong is an error; damage is reported. */
static bool is_finding(qv_status st)
{
    return st == QV_ECORRUPT || st == QV_EVERSION;
}

static qv_status file_bytes(struct qv__io *io, const char *path, uint64_t *out, struct qv_err *err)
{
    struct qv__file *f;
    QV_TRY(qv__io_open(io, path, QV__OPEN_READ, &f, err));
    qv_status st = qv__io_size(f, out, err);
    qv__io_file_close(f, NULL);
    return st;
}

static qv_status check_file(struct qv__io *io, const char *dir, struct qv__mem *mem,
                            uint64_t first_lsn, uint64_t next_lsn, const struct visitor *v,
                            struct qv__log_file_report *r, uint8_t uuid[16], struct qv_err *err)
{
    static const uint8_t none[16];
    struct qv__logscan s;
    struct qv_err found = {.code = QV_OK};
    char path[QV__LOG_PATH_BYTES];
    *r = (struct qv__log_file_report){.first_lsn = first_lsn, .status = QV_OK};
    qv__log_path(dir, first_lsn, path);
    const char *slash = strrchr(path, '/');
    snprintf(r->name, sizeof r->name, "%.63s", slash ? slash + 1 : path);
    QV_TRY(file_bytes(io, path, &r->file_bytes, err));

    qv_status st = qv__logscan_open(io, dir, first_lsn, false, mem, &s, &found);
    if (st != QV_OK) {
        if (!is_finding(st)) {
            if (err) {
                *err = found;
            }
            return st;
        }
        say(r, st, found.message);
        return QV_OK;
    }
    if (memcmp(uuid, none, sizeof none) != 0 && memcmp(uuid, s.head.uuid, sizeof none) != 0) {
        say(r, QV_ECORRUPT, "offset 32: the file belongs to another log");
    } else {
        memcpy(uuid, s.head.uuid, sizeof none);
        st = walk_file(&s, next_lsn, v, r, err);
    }
    qv__logscan_close(&s);
    return st;
}

qv_status qv__log_local_check(struct qv__io *io, const char *dir, struct qv__mem *mem,
                              void (*cb)(void *arg, const struct qv__log_file_report *r),
                              qv__log_check_fn record, void *arg, struct qv_err *err)
{
    const struct visitor v = {record, arg};
    struct qv__log_names names;
    struct qv__log_file_report report;
    uint8_t uuid[16] = {0};
    if (strlen(dir) > QV__LOG_DIR_MAX) {
        return qv__fail(err, QV_EINVAL, "log: the name of its directory is longer than %u bytes",
                        QV__LOG_DIR_MAX);
    }
    QV_TRY(qv__log_names_read(io, dir, mem, &names, err));
    qv_status st = QV_OK;
    size_t n = qv__log_names_count(&names.live);
    for (size_t i = 0; st == QV_OK && i < n; i++) {
        uint64_t first_lsn = qv__log_names_at(&names.live, i);
        uint64_t next_lsn = i + 1 < n ? qv__log_names_at(&names.live, i + 1) : 0;
        st = check_file(io, dir, mem, first_lsn, next_lsn, &v, &report, uuid, err);
        if (st == QV_OK) {
            cb(arg, &report);
        }
    }
    qv__log_names_free(&names);
    return st;
}

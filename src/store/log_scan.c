/* log_scan.c: the walk over one log file.
 *
 * A head is believed only after its checksum, which covers its place; only then does its length say
 * how much to read, and that is bounded by the file. The first place that holds no valid record
 * with the expected LSN ends the walk. Whether that is the end of the log, a torn group or damage
 * is decided by what lies behind: each head says up to which LSN everything was durable before it
 * was written (synced_lsn), so a head behind the end that says so of the missing record proves
 * damage, while heads of the same unsynced group prove nothing.
 *
 * Reads go through one window that grows to the largest record. No locks. */
#include "store/log_scan.h"
#include "base/plant.h"

#define WINDOW_BYTES ((size_t)256 * 1024)

qv_status qv__logscan_read(struct qv__logscan *s, uint64_t off, size_t n, const uint8_t **out,
                           struct qv_err *err)
{
    QV_ASSERT(off <= s->size_bytes && n <= s->size_bytes - off);
    if (s->buf && off >= s->at && off + n <= s->at + s->n) {
        *out = s->buf + (off - s->at);
        return QV_OK;
    }
    if (n > s->cap || !s->buf) {
        size_t cap = QV_MAX(n, (size_t)QV_MIN(s->size_bytes, (uint64_t)WINDOW_BYTES));
        /* Not realloc: the old bytes need not move. */
        qv__free(s->buf);
        s->cap = s->n = 0;
        s->buf = (uint8_t *)qv__alloc(s->mem, cap);
        if (!s->buf) {
            return qv__fail(err, QV_ENOMEM, "%s: no memory to read a record of %zu bytes", s->name,
                            n);
        }
        s->cap = cap;
    }
    size_t want = (size_t)QV_MIN((uint64_t)s->cap, s->size_bytes - off);
    s->n = 0;
    QV_TRY(qv__io_pread(s->file, s->buf, want, off, err));
    s->at = off;
    s->n = want;
    *out = s->buf;
    return QV_OK;
}

static qv_status check_head(struct qv__logscan *s, uint64_t first_lsn, bool will_write,
                            struct qv_err *err)
{
    const uint8_t *bytes;
    size_t n = (size_t)QV_MIN(s->size_bytes, (uint64_t)QV__LOGFILE_HEAD_BYTES);
    QV_TRY(qv__logscan_read(s, 0, n, &bytes, err));
    QV_TRY(qv__logfile_head_read(bytes, n, will_write, s->name, &s->head, err));
    if (s->head.first_lsn != first_lsn) {
        return qv__fail(err, QV_ECORRUPT,
                        "%s: offset 56: the file says that it begins at LSN %" PRIu64, s->name,
                        s->head.first_lsn);
    }
    if (s->head.file_bytes != s->size_bytes) {
        return qv__fail(err, QV_ECORRUPT, "%s: has %" PRIu64 " bytes, was made with %" PRIu64,
                        s->name, s->size_bytes, s->head.file_bytes);
    }
    return QV_OK;
}

qv_status qv__logscan_open(struct qv__io *io, const char *dir, uint64_t first_lsn, bool will_write,
                           struct qv__mem *mem, struct qv__logscan *s, struct qv_err *err)
{
    *s = (struct qv__logscan){.mem = mem};
    qv__log_path(dir, first_lsn, s->name);
    QV_TRY(qv__io_open(io, s->name, QV__OPEN_READ, &s->file, err));
    qv_status st = qv__io_size(s->file, &s->size_bytes, err);
    if (st == QV_OK) {
        st = check_head(s, first_lsn, will_write, err);
    }
    if (st != QV_OK) {
        qv__logscan_close(s);
        return st;
    }
    s->seed = qv__logrec_seed(&s->head);
    s->lsn = s->head.first_lsn;
    s->epoch = s->head.epoch;
    s->synced_lsn = s->head.first_lsn - 1;
    s->off = s->unsure_off = QV__LOGFILE_HEAD_BYTES;
    return QV_OK;
}

void qv__logscan_close(struct qv__logscan *s)
{
    qv__io_file_close(s->file, NULL); /* open for reading only: nothing can be lost */
    s->file = NULL;
    qv__free(s->buf);
    s->buf = NULL;
    s->cap = s->n = 0;
}

static bool room_for_head(const struct qv__logscan *s, uint64_t off)
{
    return off <= s->size_bytes && s->size_bytes - off >= QV__LOGREC_HEAD_BYTES;
}

/* Why this valid head is not the next record; NULL when it is. */
static const char *refusal(const struct qv__logscan *s, const struct qv__logrec_head *h)
{
    if (h->lsn != s->lsn) {
        return "another LSN stands here";
    }
    if (h->type == QV__LOGREC_MARK) {
        return "end of what was flushed";
    }
    if (h->epoch < s->epoch) {
        return "the epoch goes back";
    }
    if (qv__logrec_bytes(h->body_bytes) > s->size_bytes - s->off) {
        return "the record passes the end of the file";
    }
    return NULL;
}

static qv_status end_walk(struct qv__logscan *s, const char *why, bool *got)
{
    s->stop = why;
    *got = false;
    return QV_OK;
}

/* What a head that belongs at `off` says about the durability of those before it. */
static void learn_synced(struct qv__logscan *s, const struct qv__logrec_head *h)
{
    if (h->synced_lsn > s->synced_lsn) {
        s->synced_lsn = h->synced_lsn;
        if (h->synced_lsn + 1 == h->lsn) {
            s->unsure_off = s->off;
        }
    }
}

qv_status qv__logscan_next(struct qv__logscan *s, struct qv__log_record *rec, bool *got,
                           struct qv_err *err)
{
    struct qv__logrec_head h;
    const uint8_t *p = NULL;
    if (!room_for_head(s, s->off)) {
        return end_walk(s, "end of file", got);
    }
    QV_TRY(qv__logscan_read(s, s->off, QV__LOGREC_HEAD_BYTES, &p, err));
    if (!qv__logrec_head_read(p, s->seed, s->off, &h)) {
        return end_walk(s, "no valid record head", got);
    }
    const char *why = refusal(s, &h);
    if (why) {
        s->is_clean = h.lsn == s->lsn && h.type == QV__LOGREC_MARK && h.synced_lsn + 1 == h.lsn;
        s->is_closed = s->is_clean && h.body_crc == QV__LOGREC_CLOSES;
        if (s->is_clean) {
            learn_synced(s, &h);
        }
        return end_walk(s, why, got);
    }
    size_t body = h.body_bytes;
    size_t padded = (size_t)qv__logrec_bytes(body) - QV__LOGREC_HEAD_BYTES;
    QV_TRY(qv__logscan_read(s, s->off + QV__LOGREC_HEAD_BYTES, padded, &p, err));
    struct qv__bytes all = {p, padded};
    if (qv__logrec_body_crc(&all, 1, padded) != h.body_crc && !QV_PLANT(skip_body_checksum)) {
        return end_walk(s, "checksum of the body does not match", got);
    }
    learn_synced(s, &h);
    s->epoch = h.epoch;
    s->off += QV__LOGREC_HEAD_BYTES + padded;
    s->lsn++;
    s->records++;
    *rec = (struct qv__log_record){h.lsn, h.epoch, h.type, {p, body}};
    *got = true;
    return QV_OK;
}

/* Take a head found behind the end into account. Stale bytes of an earlier use cannot pass: their
 * checksum has another seed, and besides their LSNs are lower. */
static void weigh(const struct qv__logscan *s, const uint8_t *p, uint64_t off,
                  struct qv__logtail *out)
{
    struct qv__logrec_head h;
    if (!qv__logrec_head_read(p, s->seed, off, &h) || h.lsn < s->lsn) {
        return;
    }
    bool is_mark_here = off == s->off && s->is_clean;
    if (is_mark_here) {
        return; /* that is where the log ends, not something behind it */
    }
    out->synced_lsn = QV_MAX(out->synced_lsn, h.synced_lsn);
    out->end_off = off + QV__LOGREC_HEAD_BYTES;
}

qv_status qv__logscan_tail(struct qv__logscan *s, struct qv__logtail *out, struct qv_err *err)
{
    *out = (struct qv__logtail){0};
    uint64_t off = s->off;
    while (room_for_head(s, off)) {
        const uint8_t *p;
        size_t n = (size_t)QV_MIN(s->size_bytes - off, (uint64_t)WINDOW_BYTES);
        QV_TRY(qv__logscan_read(s, off, n, &p, err));
        size_t i = 0;
        for (; n - i >= QV__LOGREC_HEAD_BYTES; i += QV__LOGREC_ALIGN) {
            weigh(s, p + i, off + i, out);
        }
        off += i;
    }
    return QV_OK;
}

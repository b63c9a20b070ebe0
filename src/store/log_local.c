/* log_local.c: the log kept in local files: open, append, close, and what can be asked of it.
 *
 * Group commit with two buffers. append copies a record into the active group under the lock and
 * returns; flush (log_flush.c) makes the other group active and writes the first one without the
 * lock, so that appends go on while the disk is busy and one sync serves all who came meanwhile.
 *
 * A record's place is fixed at append: current file and offset. Files are zero-filled before they
 * are used, so whoever got an LSN has space on the disk; when neither the current file nor the next
 * one has room, append itself makes a file, and a full disk refuses the append, not a flush. The
 * heads of records are finished at flush, because only then is it known what is durable before
 * them.
 *
 * Memory: the two groups grow with need and shrink slowly (log_flush.c); one struct per live file.
 * Locks: see log_local.h. append waits only for the preparation of a file that it needs. */
#include "store/log_local.h"

#define FIRST_FILE_BYTES ((uint64_t)1 << 20)
#define FILE_BYTES_MAX   ((uint64_t)64 << 20)
#define FILE_BYTES_MIN   ((uint64_t)8192)
#define FILE_BYTES_CAP   ((uint64_t)1 << 40)
#define GROUP_BYTES_MIN  ((size_t)4096)
#define EXTENTS_MIN      ((size_t)4)

/* --- append --- */

void qv__log_poison(struct qv__log_local *log, const struct qv_err *why)
{
    if (!log->is_poisoned) {
        log->is_poisoned = true;
        log->poison = *why;
    }
}

qv_status qv__log_check_poison(const struct qv__log_local *log, struct qv_err *err)
{
    if (log->is_poisoned) {
        return qv__fail(err, QV_EREADONLY, "the log stopped taking writes: %s",
                        log->poison.message);
    }
    return QV_OK;
}

static bool has_room(const struct qv__log_file *f, uint64_t bytes)
{
    return bytes <= f->head.file_bytes - f->used_bytes;
}

/* Room for n more bytes and one more extent. */
static qv_status reserve(struct qv__log_local *log, struct qv__log_group *g, size_t n,
                         struct qv_err *err)
{
    size_t need;
    if (!qv__add_ok(g->n, n, &need)) {
        return qv__fail(err, QV_ENOMEM, "log: no memory for a record of %zu bytes", n);
    }
    if (need > g->cap) {
        size_t cap = QV_MAX(QV_MAX(need, GROUP_BYTES_MIN), g->cap + g->cap / 2);
        uint8_t *p = (uint8_t *)qv__realloc(log->mem, g->p, cap);
        if (!p && cap > need) {
            cap = need;
            p = (uint8_t *)qv__realloc(log->mem, g->p, cap);
        }
        if (!p) {
            return qv__fail(err, QV_ENOMEM, "log: no memory for a group of %zu bytes", need);
        }
        g->p = p;
        g->cap = cap;
    }
    if (g->n_extents == g->cap_extents) {
        size_t cap = QV_MAX(EXTENTS_MIN, g->cap_extents * 2);
        void *v = qv__realloc(log->mem, g->extents, cap * sizeof *g->extents);
        if (!v) {
            return qv__fail(err, QV_ENOMEM, "log: no memory for a group of %zu files", cap);
        }
        g->extents = (struct qv__log_extent *)v;
        g->cap_extents = cap;
    }
    return QV_OK;
}

/* Take the current file, which has no records, out of the list: the next one begins at the same LSN
 * and will have its name. Happens when the first record of a log is larger than its first file. */
static void drop_empty_current(struct qv__log_local *log)
{
    struct qv__log_file *f = log->current, *before = NULL;
    for (struct qv__log_file *i = log->oldest; i != f; i = i->next) {
        before = i;
    }
    QV_ASSERT(f == log->begun);
    f->is_replaced = true;
    *(before ? &before->next : &log->oldest) = NULL;
    log->current = before;
}

/* Make `f` the current file; its first record is the next one. */
static void enter_file(struct qv__log_local *log, struct qv__log_file *f)
{
    if (log->current && log->current->head.first_lsn == log->lsn + 1) {
        drop_empty_current(log);
    }
    memcpy(f->head.uuid, log->uuid, sizeof f->head.uuid);
    f->head.first_lsn = log->lsn + 1;
    f->head.epoch = log->epoch;
    f->seed = qv__logrec_seed(&f->head);
    f->used_bytes = QV__LOGFILE_HEAD_BYTES;
    f->is_begun = f->is_replaced = false;
    f->next = NULL;
    if (log->current) {
        log->current->next = f;
    } else {
        log->oldest = f;
    }
    log->current = f;
}

/* Copy the record to the end of the group; all room was reserved. */
static void put_record(struct qv__log_local *log, const struct qv__logrec_head *h,
                       const struct qv__bytes *parts, size_t n_parts)
{
    struct qv__log_group *g = &log->groups[log->active];
    struct qv__log_file *f = log->current;
    size_t bytes = (size_t)qv__logrec_bytes(h->body_bytes);
    if (g->n_extents == 0 || g->extents[g->n_extents - 1].file != f) {
        g->extents[g->n_extents++] = (struct qv__log_extent){f, f->used_bytes, g->n, h->lsn};
    }
    uint8_t *p = g->p + g->n;
    qv__logrec_head_write(h, f->seed, f->used_bytes, p);
    size_t at = QV__LOGREC_HEAD_BYTES;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].n > 0) {
            memcpy(p + at, parts[i].p, parts[i].n);
            at += parts[i].n;
        }
    }
    memset(p + at, 0, bytes - at);
    g->n += bytes;
    f->used_bytes += bytes;
}

static qv_status append_locked(struct qv__log_local *log, struct qv__logrec_head *h,
                               const struct qv__bytes *parts, size_t n_parts, struct qv_err *err)
{
    size_t bytes = (size_t)qv__logrec_bytes(h->body_bytes);
    struct qv__log_file *file = NULL;
    if (!log->is_replayed) {
        return qv__fail(err, QV_EINVAL, "log: append before replay");
    }
    while (!log->is_poisoned && log->is_preparing && !has_room(log->current, bytes)) {
        qv__cond_wait(&log->changed, &log->lock);
    }
    QV_TRY(qv__log_check_poison(log, err));
    QV_TRY(reserve(log, &log->groups[log->active], bytes, err));
    if (!has_room(log->current, bytes)) {
        QV_TRY(qv__log_take_file(log, bytes, &file, err));
        enter_file(log, file); /* nothing fails from here on */
    }
    h->lsn = ++log->lsn;
    h->epoch = log->epoch;
    h->synced_lsn = log->durable_lsn;
    put_record(log, h, parts, n_parts);
    log->stats.appended++;
    log->stats.bytes += bytes;
    return QV_OK;
}

static qv_status local_append(struct qv__log *l, uint32_t type, const struct qv__bytes *parts,
                              size_t n_parts, uint64_t *lsn, struct qv_err *err)
{
    struct qv__log_local *log = qv__log_local_of(l);
    size_t body = 0;
    if (type == QV__LOGREC_MARK) {
        return qv__fail(err, QV_EINVAL, "log: record type 0 is the log's own");
    }
    for (size_t i = 0; i < n_parts; i++) {
        if (!qv__add_ok(body, parts[i].n, &body) || body > QV__LOG_BODY_MAX) {
            return qv__fail(err, QV_ETOOBIG, "log: a record is larger than %zu bytes",
                            QV__LOG_BODY_MAX);
        }
    }
    struct qv__logrec_head h = {
        .type = type,
        .body_bytes = (uint32_t)body,
        .body_crc = qv__logrec_body_crc(parts, n_parts, body), /* the long part, without the lock */
    };
    qv__mutex_lock(&log->lock);
    qv_status st = append_locked(log, &h, parts, n_parts, err);
    qv__mutex_unlock(&log->lock);
    if (st == QV_OK && lsn) {
        *lsn = h.lsn;
    }
    return st;
}

/* --- small questions --- */

static qv_status local_lead(struct qv__log *l, uint64_t epoch, struct qv_err *err)
{
    struct qv__log_local *log = qv__log_local_of(l);
    qv__mutex_lock(&log->lock);
    qv_status st = qv__log_check_poison(log, err);
    if (st == QV_OK && epoch < log->epoch) {
        st = qv__fail(err, QV_ECONFLICT,
                      "log: epoch %" PRIu64 " is below %" PRIu64 ", which leads it", epoch,
                      log->epoch);
    }
    if (st == QV_OK) {
        log->epoch = epoch;
    }
    qv__mutex_unlock(&log->lock);
    return st;
}

static uint64_t local_tail(struct qv__log *l)
{
    struct qv__log_local *log = qv__log_local_of(l);
    qv__mutex_lock(&log->lock);
    uint64_t lsn = log->lsn;
    qv__mutex_unlock(&log->lock);
    return lsn;
}

static uint64_t local_durable(struct qv__log *l)
{
    struct qv__log_local *log = qv__log_local_of(l);
    qv__mutex_lock(&log->lock);
    uint64_t lsn = log->durable_lsn;
    qv__mutex_unlock(&log->lock);
    return lsn;
}

static size_t local_pending_bytes(struct qv__log *l)
{
    struct qv__log_local *log = qv__log_local_of(l);
    qv__mutex_lock(&log->lock);
    size_t n = log->groups[log->active].n + log->flushing_bytes;
    qv__mutex_unlock(&log->lock);
    return n;
}

static void local_stats(struct qv__log *l, struct qv__log_stats *out)
{
    struct qv__log_local *log = qv__log_local_of(l);
    qv__mutex_lock(&log->lock);
    *out = log->stats;
    out->files = 0;
    out->file_bytes = 0;
    for (const struct qv__log_file *f = log->oldest; f; f = f->next) {
        out->files++;
        out->file_bytes += f->head.file_bytes;
    }
    bool is_empty = log->lsn < log->oldest->head.first_lsn;
    out->first_lsn = is_empty ? 0 : log->oldest->head.first_lsn;
    qv__mutex_unlock(&log->lock);
}

/* --- open and close --- */

static void group_free(struct qv__log_group *g)
{
    qv__free(g->p);
    qv__free(g->extents);
    *g = (struct qv__log_group){0};
}

/* Release everything; the first failure of a close is told. */
static qv_status destroy(struct qv__log_local *log, struct qv_err *err)
{
    qv_status st = QV_OK;
    qv__log_discard_file(log, log->spare);
    if (log->begun && log->begun->is_replaced) {
        log->begun->next = log->oldest;
        log->oldest = log->begun;
    }
    while (log->oldest) {
        struct qv__log_file *f = log->oldest;
        log->oldest = f->next;
        qv_status closed = qv__io_file_close(f->handle, st == QV_OK ? err : NULL);
        st = st == QV_OK ? closed : st;
        qv__free(f);
    }
    group_free(&log->groups[0]);
    group_free(&log->groups[1]);
    qv__cond_destroy(&log->changed);
    qv__mutex_destroy(&log->lock);
    qv__free(log);
    return st;
}

static qv_status local_close(struct qv__log *l, struct qv_err *err)
{
    struct qv__log_local *log = qv__log_local_of(l);
    uint64_t durable;
    qv_status st = qv__log_local_flush(l, &durable, err);
    qv_status closed = destroy(log, st == QV_OK ? err : NULL);
    return st == QV_OK ? closed : st;
}

static const struct qv__log_ops local_ops = {
    .append = local_append,
    .flush = qv__log_local_flush,
    .replay = qv__log_local_replay,
    .trim = qv__log_local_trim,
    .lead = local_lead,
    .tail = local_tail,
    .durable = local_durable,
    .pending_bytes = local_pending_bytes,
    .stats = local_stats,
    .close = local_close,
};

static qv_status set_options(struct qv__log_local *log, const struct qv__log_local_options *o,
                             struct qv_err *err)
{
    static const struct qv__log_local_options none = {0};
    o = o ? o : &none;
    uint64_t first = o->first_file_bytes ? o->first_file_bytes : FIRST_FILE_BYTES;
    uint64_t max = o->file_bytes_max ? o->file_bytes_max : QV_MAX(FILE_BYTES_MAX, first);
    if (first < FILE_BYTES_MIN || max < first || max > FILE_BYTES_CAP) {
        return qv__fail(err, QV_EINVAL,
                        "log: files of %" PRIu64 " to %" PRIu64 " bytes; %" PRIu64 " to %" PRIu64
                        " are possible",
                        first, max, FILE_BYTES_MIN, FILE_BYTES_CAP);
    }
    if (o->next_lsn > QV__LOG_LSN_MAX) {
        return qv__fail(err, QV_EINVAL, "log: %" PRIu64 " is no LSN to begin with", o->next_lsn);
    }
    log->first_file_bytes = first;
    log->file_bytes_max = max;
    log->reach_lsn = o->reach_lsn;
    log->room = o->room;
    log->room_ctx = o->room_ctx;
    log->has_logger = o->logger != NULL;
    if (o->logger) {
        log->logger = *o->logger;
    }
    /* Where the LSNs of an empty log start; recovery replaces it when there are files. */
    log->lsn = o->next_lsn ? o->next_lsn - 1 : 0;
    return QV_OK;
}

/* The first file of a log that has none. */
static qv_status begin_log(struct qv__log_local *log, struct qv_err *err)
{
    struct qv__log_file *f;
    QV_TRY(qv__os_entropy(log->uuid, sizeof log->uuid, err));
    QV_TRY(qv__log_take_file(log, 0, &f, err));
    enter_file(log, f);
    log->durable_lsn = log->lsn;
    return qv__log_begin_file(log, f, err);
}

qv_status qv__log_local_open(struct qv__io *io, const char *dir, struct qv__mem *mem,
                             const struct qv__log_local_options *options, struct qv__log **out,
                             struct qv_err *err)
{
    if (strlen(dir) > QV__LOG_DIR_MAX) {
        return qv__fail(err, QV_EINVAL, "log: the name of its directory is longer than %u bytes",
                        QV__LOG_DIR_MAX);
    }
    struct qv__log_local *log = (struct qv__log_local *)qv__zalloc(mem, sizeof *log);
    if (!log) {
        return qv__fail(err, QV_ENOMEM, "log: no memory to open it");
    }
    log->base.ops = &local_ops;
    log->io = io;
    log->mem = mem;
    memcpy(log->dir, dir, strlen(dir) + 1);
    qv__mutex_init(&log->lock, QV__RANK_LOG);
    qv__cond_init(&log->changed);

    qv_status st = set_options(log, options, err);
    if (st == QV_OK) {
        st = qv__log_recover(log, err);
    }
    if (st == QV_OK && !log->oldest && options && options->must_exist) {
        st = qv__fail(err, QV_ECORRUPT, "log: all files of %s are missing", log->dir);
    } else if (st == QV_OK && !log->oldest) {
        st = begin_log(log, err);
    }
    if (st != QV_OK) {
        qv_status ignored = destroy(log, NULL);
        (void)ignored;
        return st;
    }
    *out = &log->base;
    return QV_OK;
}

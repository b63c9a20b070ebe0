/* space.c: see space.h. */
#include "engine/space.h"

#include "engine/collection.h"

#define RESERVE_NAME QV__DIR_TMP "/reserve"
/* The reserve takes at most one part in so many of the disk. */
#define RESERVE_PART 16u
#define MARGIN_MIN   ((uint64_t)1 << 20)
#define LOOK_NS      (UINT64_C(100) * 1000 * 1000)
#define WATCH_NS     (UINT64_C(250) * 1000 * 1000)

/* Stays free beside what is owed: for manifests, tombstones, and what is written between two looks.
 */
static uint64_t margin(const struct qv__db *db)
{
    return QV_MAX(db->space.wanted / 4, MARGIN_MIN);
}

/* UINT64_MAX when it cannot be told: then only a failed call tells. */
static uint64_t free_now(struct qv__db *db)
{
    uint64_t bytes = UINT64_MAX;
    if (qv__io_free_space(db->io, &bytes, NULL, NULL) != QV_OK) {
        bytes = UINT64_MAX;
    }
    atomic_store_explicit(&db->space.free_bytes, bytes, memory_order_relaxed);
    return bytes;
}

static uint64_t owed(const struct qv__db *db)
{
    return atomic_load_explicit(&((struct qv__db *)(uintptr_t)db)->space.growing,
                                memory_order_relaxed);
}

static bool is_short(struct qv__db *db)
{
    return atomic_load_explicit(&db->space.is_short, memory_order_relaxed);
}

uint64_t qv__space_log_room(void *ctx)
{
    struct qv__db *db = ctx;
    uint64_t kept = owed(db) + 2 * margin(db), bytes = free_now(db);
    return bytes > kept ? bytes - kept : 0;
}

/* --- the reserve --- */

/* Under lock. */
static void reserve_drop(struct qv__db *db)
{
    struct qv__space *s = &db->space;
    if (s->file) {
        qv__io_file_close(s->file, NULL);
        (void)!qv__io_unlink(db->io, RESERVE_NAME, NULL); /* else at the next open */
        s->file = NULL;
    }
    atomic_store(&s->reserve, 0);
}

/* Under lock: make it whole; false without the room for it. */
static bool reserve_make(struct qv__db *db, uint64_t bytes_free)
{
    struct qv__space *s = &db->space;
    uint64_t have = atomic_load(&s->reserve), kept = owed(db) + 2 * margin(db);
    if (have >= s->wanted) {
        return true;
    }
    if (bytes_free < kept || bytes_free - kept < s->wanted - have) {
        return false;
    }
    qv_status st = QV_OK;
    if (!s->file) {
        st = qv__io_open(db->io, RESERVE_NAME, QV__OPEN_CREATE | QV__OPEN_TRUNC, &s->file, NULL);
    }
    if (st == QV_OK) {
        st = qv__io_reserve(s->file, s->wanted, NULL);
    }
    if (st != QV_OK) {
        reserve_drop(db);
        return false;
    }
    atomic_store(&s->reserve, s->wanted);
    return true;
}

bool qv__space_give(struct qv__db *db, uint64_t bytes)
{
    struct qv__space *s = &db->space;
    qv__mutex_lock(&s->lock);
    uint64_t have = atomic_load(&s->reserve);
    uint64_t left = bytes < have ? (have - bytes) & ~(uint64_t)4095 : 0;
    if (have && (left == 0 || qv__io_truncate(s->file, left, NULL) != QV_OK)) {
        reserve_drop(db);
    } else if (have) {
        atomic_store(&s->reserve, left);
    }
    qv__mutex_unlock(&s->lock);
    (void)qv__space_ran_out(db);
    return have > 0;
}

/* --- the watch --- */

/* Ask for all that may give room back. */
static void ask(struct qv__db *db)
{
    struct qv__collection **all = NULL;
    uint32_t n = 0;
    qv__checkpoint_shorten(db);
    if (qv__catalog_all(db, &all, &n, NULL) != QV_OK) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < all[i]->n_shards; k++) {
            qv__mutex_lock(&all[i]->shards[k].write);
            qv__maintain_look(&all[i]->shards[k]);
            qv__mutex_unlock(&all[i]->shards[k].write);
        }
    }
    qv__catalog_all_free(all, n);
}

bool qv__space_look(struct qv__db *db)
{
    struct qv__space *s = &db->space;
    if (!is_short(db)) {
        return false;
    }
    uint64_t now = free_now(db);
    qv__mutex_lock(&s->lock);
    bool whole = s->is_stopping || reserve_make(db, now);
    qv__mutex_unlock(&s->lock);
    if (!whole || free_now(db) < owed(db) + 2 * margin(db)) {
        ask(db);
        return true;
    }
    atomic_store(&s->look_ns, 0);
    atomic_store(&s->is_short, false);
    qv__log_line(db->logger, QV__LEVEL_INFO, "space",
                 "the disk has room again: %" PRIu64 " bytes free, writes are taken", now);
    ask(db); /* what failed for lack of it goes on without waiting for a write */
    return false;
}

static void watch_main(void *arg)
{
    struct qv__db *db = arg;
    struct qv__space *s = &db->space;
    qv__mutex_lock(&s->lock);
    while (!s->is_stopping) {
        if (!is_short(db)) {
            qv__cond_wait(&s->changed, &s->lock);
            continue;
        }
        qv__mutex_unlock(&s->lock);
        (void)qv__space_look(db);
        qv__mutex_lock(&s->lock);
        if (!s->is_stopping && is_short(db)) {
            (void)qv__cond_timedwait(&s->changed, &s->lock, WATCH_NS);
        }
    }
    qv__mutex_unlock(&s->lock);
}

bool qv__space_ran_out(struct qv__db *db)
{
    struct qv__space *s = &db->space;
    if (atomic_exchange(&s->is_short, true)) {
        return false;
    }
    qv__log_line(db->logger, QV__LEVEL_ERROR, "space",
                 "the disk is full: %" PRIu64 " bytes free, %" PRIu64
                 " owed to what is in memory; writes that add data are refused until there is room",
                 free_now(db), owed(db));
    qv__mutex_lock(&s->lock);
    if (s->is_open && !s->is_stopping && !s->has_thread && qv__pool_threads(db->pool) > 0) {
        /* Without a thread the next write looks. */
        s->has_thread = qv__thread_start(&s->thread, "qv-space", watch_main, db, NULL) == QV_OK;
    }
    qv__cond_signal(&s->changed);
    qv__mutex_unlock(&s->lock);
    return true;
}

/* --- who may write --- */

static bool has_room(struct qv__db *db)
{
    struct qv__space *s = &db->space;
    uint64_t grown = owed(db), now = qv__mono_ns(db->clock);
    if (now < atomic_load_explicit(&s->look_ns, memory_order_relaxed) &&
        grown < atomic_load_explicit(&s->look_bytes, memory_order_relaxed)) {
        return true;
    }
    atomic_store_explicit(&s->look_ns, now + LOOK_NS, memory_order_relaxed);
    atomic_store_explicit(&s->look_bytes, grown + margin(db) / 2, memory_order_relaxed);
    uint64_t bytes = free_now(db), least = grown + margin(db);
    if (grown > margin(db) && bytes / 2 < least) {
        qv__checkpoint_shorten(db); /* before it must: a refusal is for disks that are full */
    }
    return bytes >= least;
}

qv_status qv__space_ready(struct qv__db *db, struct qv_err *err)
{
    struct qv__space *s = &db->space;
    if (QV_LIKELY(!is_short(db) && has_room(db))) {
        return QV_OK;
    }
    (void)qv__space_ran_out(db);
    if (!s->has_thread && !qv__space_look(db)) {
        return QV_OK;
    }
    uint64_t reserve = atomic_load(&s->reserve), free_bytes = atomic_load(&s->free_bytes);
    return qv__fail(err, QV_ENOSPC,
                    "the disk is full: it has %" PRIu64 " bytes of free space, writes need %" PRIu64
                    " and are taken again by themselves when they are there; reads and deletes go "
                    "on (reserve for deletes and compaction: %" PRIu64 " bytes)",
                    free_bytes, owed(db) + 2 * margin(db), reserve);
}

qv_status qv__space_admit(struct qv__db *db, struct qv_err *err)
{
    qv_status st = qv__space_ready(db, err);
    if (QV_UNLIKELY(st != QV_OK)) {
        qv__count(&db->space.refused, 1);
    }
    return st;
}

qv_status qv__space_for(struct qv__db *db, uint64_t bytes, bool frees, struct qv_err *err)
{
    uint64_t now = free_now(db), reserve = atomic_load(&db->space.reserve);
    uint64_t kept = frees ? MARGIN_MIN / 4 : owed(db) + margin(db);
    if (now >= kept && now - kept >= bytes) {
        return QV_OK;
    }
    if (frees && now + reserve >= bytes + kept && qv__space_give(db, reserve)) {
        return QV_OK;
    }
    return qv__fail(err, QV_ENOSPC,
                    "no space left for a file of about %" PRIu64 " bytes: %" PRIu64 " are free%s",
                    bytes, now, frees ? "" : " and others come first");
}

qv_status qv__db_room_for(struct qv__db *db, uint64_t bytes, struct qv_err *err)
{
    return qv__space_for(db, bytes, false, err);
}

/* --- life --- */

void qv__space_init(struct qv__space *s)
{
    qv__mutex_init(&s->lock, QV__RANK_SPACE);
    qv__cond_init(&s->changed);
}

void qv__space_open(struct qv__db *db)
{
    struct qv__space *s = &db->space;
    uint64_t now = free_now(db), total = UINT64_MAX, ignored;
    (void)!qv__io_free_space(db->io, &ignored, &total, NULL);
    qv__mutex_lock(&s->lock);
    s->is_open = true;
    s->wanted = QV_MIN(db->options.disk_reserve_bytes, total / RESERVE_PART) & ~(uint64_t)4095;
    bool whole = reserve_make(db, now);
    qv__mutex_unlock(&s->lock);
    if (!whole || now < owed(db) + margin(db)) {
        (void)qv__space_ran_out(db);
    }
}

void qv__space_close(struct qv__db *db)
{
    struct qv__space *s = &db->space;
    qv__mutex_lock(&s->lock);
    s->is_stopping = true;
    bool has_thread = s->has_thread;
    s->has_thread = false;
    qv__cond_broadcast(&s->changed);
    qv__mutex_unlock(&s->lock);
    if (has_thread) {
        qv__thread_join(&s->thread);
    }
    qv__mutex_lock(&s->lock);
    reserve_drop(db);
    qv__mutex_unlock(&s->lock);
}

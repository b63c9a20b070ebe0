/* test_log_threads.c: many threads append, flush and trim at once; ThreadSanitizer runs this too.
 */
#include "log_test.h"

#include <stdatomic.h>

#include "base/thread.h"

#define THREADS 16
#define EACH    40

struct shared {
    struct qv__log *log;
    _Atomic uint64_t seen[THREADS * EACH + 1]; /* what was appended under each LSN */
    _Atomic unsigned done;
    bool own_flush; /* appenders flush themselves */
};

struct worker {
    struct shared *s;
    unsigned number;
    struct qv__thread thread;
};

static uint64_t value_of(unsigned number, unsigned i)
{
    return qv__mix64((uint64_t)number << 32 | (i + 1));
}

static void append_all(void *arg)
{
    struct worker *w = arg;
    struct qv_err err;
    for (unsigned i = 0; i < EACH; i++) {
        uint64_t words[128], lsn, durable;
        for (unsigned k = 0; k < 128; k++) {
            words[k] = value_of(w->number, i);
        }
        struct qv__bytes part = {(const uint8_t *)words, 8 + 8 * (i * 7 % 128)};
        QV_ASSERT(qv__log_append(w->s->log, 1 + w->number, &part, 1, &lsn, &err) == QV_OK);
        QV_ASSERT(lsn >= 1 && lsn <= THREADS * EACH);
        QV_ASSERT(atomic_exchange(&w->s->seen[lsn], words[0]) == 0); /* each LSN once */
        if (w->s->own_flush) {
            QV_ASSERT(qv__log_flush(w->s->log, &durable, &err) == QV_OK);
            QV_ASSERT(durable >= lsn);
        }
    }
    atomic_fetch_add(&w->s->done, 1);
}

static void flush_all(void *arg)
{
    struct worker *w = arg;
    struct qv_err err;
    uint64_t durable = 0, last = 0;
    while (atomic_load(&w->s->done) < THREADS || durable < qv__log_tail(w->s->log)) {
        QV_ASSERT(qv__log_flush(w->s->log, &durable, &err) == QV_OK);
        QV_ASSERT(durable >= last && durable <= qv__log_tail(w->s->log));
        QV_ASSERT(qv__log_durable(w->s->log) >= durable);
        last = durable;
    }
}

static void trim_all(void *arg)
{
    struct worker *w = arg;
    struct qv_err err;
    struct qv__log_stats stats;
    while (atomic_load(&w->s->done) < THREADS) {
        uint64_t durable = qv__log_durable(w->s->log);
        QV_ASSERT(qv__log_trim(w->s->log, durable / 2, &err) == QV_OK);
        qv__log_stats(w->s->log, &stats);
        QV_ASSERT(stats.first_lsn <= durable / 2 + 1);
        QV_ASSERT(qv__log_lead(w->s->log, 0, &err) == QV_OK);
        (void)qv__log_pending_bytes(w->s->log);
    }
}

static qv_status check_record(void *arg, const struct qv__log_record *rec, struct qv_err *err)
{
    struct shared *s = arg;
    (void)err;
    uint64_t want = atomic_load(&s->seen[rec->lsn]);
    assert_true(want != 0 && rec->body.n >= 8);
    assert_int_equal(qv__load_u64(rec->body.p), want);
    assert_int_equal(qv__load_u64(rec->body.p + rec->body.n - 8), want);
    return QV_OK;
}

static void run(struct env *e, struct shared *s, const struct qv__log_local_options *o, bool trim)
{
    struct worker w[THREADS + 2];
    unsigned n = THREADS;
    assert_ok(log_open_raw(e, o, &s->log));
    assert_ok(qv__log_replay(s->log, 1, check_record, s, ERR));
    for (unsigned i = 0; i < THREADS + 2; i++) {
        w[i] = (struct worker){.s = s, .number = i};
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_ok(qv__thread_start(&w[i].thread, "append", append_all, &w[i], ERR));
    }
    if (!s->own_flush) {
        assert_ok(qv__thread_start(&w[n].thread, "flush", flush_all, &w[n], ERR));
        n++;
    }
    if (trim) {
        assert_ok(qv__thread_start(&w[n].thread, "trim", trim_all, &w[n], ERR));
        n++;
    }
    for (unsigned i = 0; i < n; i++) {
        qv__thread_join(&w[i].thread);
    }
    assert_int_equal(qv__log_tail(s->log), THREADS * EACH);
    assert_int_equal(qv__log_durable(s->log), THREADS * EACH);
}

static void finish(struct env *e, struct shared *s, const struct qv__log_local_options *o)
{
    struct qv__log_stats stats;
    qv__log_stats(s->log, &stats);
    assert_ok(qv__log_close(s->log, ERR));
    env_crash(e, QV__CRASH_DROP_ALL, NULL);
    assert_ok(log_open_raw(e, o, &s->log));
    assert_int_equal(qv__log_tail(s->log), THREADS * EACH);
    assert_ok(qv__log_replay(s->log, stats.first_lsn, check_record, s, ERR));
    assert_ok(qv__log_close(s->log, ERR));
}

/* While one sync of 1 ms runs, all others gather: far fewer syncs than records. */
static void group_commit(void **state)
{
    (void)state;
    static const struct qv__log_local_options one_file = {.first_file_bytes = 1 << 20};
    for (unsigned own = 0; own < 2; own++) {
        struct env e;
        static struct shared s;
        memset(&s, 0, sizeof s);
        s.own_flush = own;
        env_open(&e);
        qv__io_sim_sync_delay(e.io, 1000 * 1000);
        run(&e, &s, &one_file, false);
        struct qv__log_stats stats = stats_of(s.log);
        assert_int_equal(stats.appended, THREADS * EACH);
        assert_true(stats.syncs > 0);
        if (!own || stats.syncs >= stats.appended / 4) {
            print_message("%s: %u records, %u syncs\n", own ? "16 flushing threads" : "one flusher",
                          (unsigned)stats.appended, (unsigned)stats.syncs);
        }
        assert_true(stats.syncs < stats.appended / 4);
        finish(&e, &s, &one_file);
        env_close(&e);
    }
}

/* Small files: appends begin files while others flush, prepare and trim them. */
static void rotation_under_load(void **state)
{
    (void)state;
    for (unsigned own = 0; own < 2; own++) {
        struct env e;
        static struct shared s;
        memset(&s, 0, sizeof s);
        s.own_flush = own;
        env_open(&e);
        qv__io_sim_sync_delay(e.io, 50 * 1000);
        run(&e, &s, &small_files, true);
        finish(&e, &s, &small_files);
        env_close(&e);
    }
}

static void flush_once(void *arg)
{
    uint64_t durable;
    QV_ASSERT(qv__log_flush(arg, &durable, NULL) == QV_OK);
}

/* A record that was appended while the group before it was still being written says, once it is on
 * the disk, that this group was durable: so damage in that group is known for what it is. */
static void what_came_meanwhile_vouches(void **state)
{
    (void)state;
    struct env e;
    struct qv__thread t;
    struct ledger book = {.next_salt = 0};
    env_open(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 2, 100);
    uint64_t writes = qv__io_sim_calls(e.io, QV__SIM_WRITE);
    qv__io_sim_sync_delay(e.io, 100 * 1000 * 1000);
    assert_ok(qv__thread_start(&t, "flush", flush_once, log, ERR));
    while (qv__io_sim_calls(e.io, QV__SIM_WRITE) == writes) {
        /* the other thread is about to write; its sync takes long enough */
    }
    append_many(&book, log, 1, 100);
    qv__thread_join(&t);
    assert_ok(ledger_flush(&book, log));
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL); /* without the mark */
    assert_ok(qv__io_sim_flip(e.io, "log/log-0000000000000001.qvl", 4096 + 60, 0));
    assert_status(log_open_raw(&e, NULL, &log), QV_ECORRUPT);
    assert_says("record 1 is damaged");
    env_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_commit),
        cmocka_unit_test(rotation_under_load),
        cmocka_unit_test(what_came_meanwhile_vouches),
    };
    return cmocka_run_group_tests_name("log under threads", tests, NULL, NULL);
}

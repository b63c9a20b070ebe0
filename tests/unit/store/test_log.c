/* test_log.c: the local log without faults: append, flush, replay, rotation, trim, options, check.
 */
#include "log_test.h"

static struct ledger book;

static void fresh(struct env *e)
{
    memset(&book, 0, sizeof book);
    env_open(e);
}

static void round_trip(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 0);
    assert_int_equal(stats_of(log).first_lsn, 0);
    for (uint32_t n = 0; n < 40; n++) {
        assert_ok(ledger_append(&book, log, n * 7, 0));
    }
    assert_int_equal(qv__log_tail(log), 40);
    assert_int_equal(qv__log_durable(log), 0);
    assert_true(qv__log_pending_bytes(log) > 0);
    assert_ok(ledger_flush(&book, log));
    assert_int_equal(qv__log_durable(log), 40);
    assert_int_equal(qv__log_pending_bytes(log), 0);
    assert_int_equal(stats_of(log).first_lsn, 1);
    assert_int_equal(stats_of(log).appended, 40);
    assert_ok(ledger_append(&book, log, 5, 0));
    assert_ok(qv__log_close(log, ERR)); /* flushes */
    book.durable = book.appended;

    log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 41);
    assert_ok(ledger_append(&book, log, 9, 0));
    assert_ok(qv__log_close(log, ERR));
    log = log_open(&e, &book, 0);
    assert_int_equal(qv__log_tail(log), 42);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void replay_from_an_lsn(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 60, 700); /* several files */
    assert_ok(ledger_flush(&book, log));
    assert_true(stats_of(log).files > 2);
    assert_ok(qv__log_close(log, ERR));
    for (uint64_t from = 1; from <= 61; from++) {
        log = log_open(&e, &book, from);
        assert_ok(qv__log_close(log, ERR));
    }
    assert_ok(log_open_raw(&e, NULL, &log));
    struct replay_check c = {&book, 62, 0};
    assert_status(qv__log_replay(log, 62, replay_one, &c, ERR), QV_ECORRUPT);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static qv_status refuse_third(void *arg, const struct qv__log_record *rec, struct qv_err *err)
{
    unsigned *n = arg;
    (void)rec;
    return ++*n == 3 ? qv__fail(err, QV_EVALIDATION, "third") : QV_OK;
}

static void replay_stops_when_told(void **state)
{
    (void)state;
    struct env e;
    unsigned n = 0;
    uint64_t lsn;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 5, 10);
    assert_ok(qv__log_close(log, ERR));
    assert_ok(log_open_raw(&e, NULL, &log));
    assert_status(qv__log_append(log, 1, NULL, 0, &lsn, ERR), QV_EINVAL); /* before replay */
    assert_status(qv__log_replay(log, 1, refuse_third, &n, ERR), QV_EVALIDATION);
    assert_int_equal(n, 3);
    assert_status(qv__log_append(log, 1, NULL, 0, &lsn, ERR), QV_EINVAL);
    assert_ok(ledger_replay(&book, log, 1));
    assert_status(qv__log_replay(log, 1, refuse_third, &n, ERR), QV_EINVAL); /* once */
    assert_ok(qv__log_append(log, 1, NULL, 0, &lsn, ERR));
    assert_int_equal(lsn, 6);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void sizes_double_and_big_records_fit(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    uint64_t last = 0, largest = 0;
    for (unsigned i = 0; i < 150; i++) {
        assert_ok(ledger_append(&book, log, 1000, 0));
        assert_ok(ledger_flush(&book, log));
        struct qv__log_stats s = stats_of(log);
        if (s.files > last) {
            last = s.files;
            largest = s.file_bytes;
        }
    }
    /* 8 + 16 + 32 + 32 + 32 + … */
    assert_int_equal(largest, 8192 + 16384 + 32768 * (last - 2));
    assert_ok(ledger_append(&book, log, 60000, 0)); /* larger than any file */
    append_many(&book, log, 3, 100);
    assert_ok(ledger_flush(&book, log));
    assert_ok(qv__log_close(log, ERR));
    log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 154);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

/* The first record does not fit the first file, which is replaced under its name, fresh and
 * reopened. */
static void first_record_larger_than_the_file(void **state)
{
    (void)state;
    for (unsigned reopened = 0; reopened < 3; reopened++) {
        struct env e;
        fresh(&e);
        struct qv__log *log = log_open(&e, &book, 1);
        if (reopened == 2) { /* the empty file is not the first one */
            append_many(&book, log, 4, 900);
            assert_ok(ledger_flush(&book, log));
            append_many(&book, log, 1, 900);
            /* The head, the mark that closes the file before, the record. */
            qv__io_sim_fault(e.io, (struct qv__sim_fault){.call = QV__SIM_WRITE, .at = 3});
            assert_status(ledger_flush(&book, log), QV_EIO); /* begun, but nothing written */
        }
        if (reopened) {
            crash_log(&e, log, QV__CRASH_DROP_ALL, NULL);
            log = log_open(&e, &book, 1);
        }
        uint64_t had = stats_of(log).files;
        assert_int_equal(had, reopened == 2 ? 2 : 1);
        assert_ok(ledger_append(&book, log, 20000, 0));
        assert_int_equal(stats_of(log).files, had);
        assert_int_equal(stats_of(log).file_bytes, reopened == 2 ? 8192 + 32768 : 24576);
        if (reopened == 1) {
            assert_ok(ledger_flush(&book, log));
        }
        assert_ok(qv__log_close(log, ERR));
        book.durable = book.appended;
        env_crash(&e, QV__CRASH_DROP_ALL, NULL);
        log = log_open(&e, &book, 1);
        assert_int_equal(dir_look(e.io, "log").n, had);
        append_many(&book, log, 20, 900);
        assert_ok(ledger_flush(&book, log));
        assert_ok(qv__log_trim(log, 1, ERR));
        assert_ok(qv__log_close(log, ERR));
        log = log_open(&e, &book, 0);
        assert_ok(qv__log_close(log, ERR));
        env_close(&e);
    }
}

static void one_group_over_many_files(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 200, 900);
    assert_int_equal(stats_of(log).flushes, 0);
    assert_ok(ledger_flush(&book, log));
    assert_int_equal(stats_of(log).flushes, 1);
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL);
    log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 200);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void trim_and_recycle(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    uint64_t most = 0;
    for (unsigned round = 0; round < 60; round++) {
        append_many(&book, log, 20, 600);
        assert_ok(ledger_flush(&book, log));
        uint64_t upto = book.durable - QV_MIN(book.durable, (uint64_t)30);
        assert_ok(qv__log_trim(log, upto, ERR));
        struct qv__log_stats s = stats_of(log);
        assert_true(s.first_lsn <= upto + 1);
        most = QV_MAX(most, s.files);
        /* Live files, and at most one that is ready to be next. */
        assert_true(dir_look(e.io, "log").n <= s.files + 1);
        if (round % 7 == 6) {
            assert_ok(qv__log_close(log, ERR));
            log = log_open(&e, &book, s.first_lsn); /* stale records of reused files never appear */
            assert_int_equal(stats_of(log).first_lsn, s.first_lsn);
        }
    }
    assert_true(most <= 4);
    uint64_t tail = qv__log_tail(log);
    assert_ok(qv__log_trim(log, UINT64_MAX, ERR)); /* never the current file */
    assert_int_equal(stats_of(log).files, 1);
    assert_ok(qv__log_close(log, ERR));
    assert_ok(log_open_raw(&e, NULL, &log));
    assert_int_equal(qv__log_tail(log), tail);
    struct replay_check c = {&book, 1, 0};
    assert_status(qv__log_replay(log, 1, replay_one, &c, ERR), QV_ECORRUPT); /* they are gone */
    assert_says("oldest file begins");
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void unflushed_files_are_not_trimmed(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 100, 900);
    uint64_t files = stats_of(log).files;
    assert_true(files > 3);
    assert_ok(qv__log_trim(log, UINT64_MAX, ERR));
    assert_int_equal(stats_of(log).files, files);
    assert_ok(ledger_flush(&book, log));
    assert_ok(qv__log_close(log, ERR));
    log = log_open(&e, &book, 1);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void empty_log_starts_where_told(void **state)
{
    (void)state;
    struct env e;
    struct qv__log *log;
    fresh(&e);
    const struct qv__log_local_options o = {.first_file_bytes = 8192, .next_lsn = 501};
    assert_ok(log_open_raw(&e, &o, &log));
    assert_int_equal(qv__log_tail(log), 500);
    assert_int_equal(qv__log_durable(log), 500);
    book.appended = book.durable = 500;
    assert_ok(ledger_replay(&book, log, 501));
    append_many(&book, log, 3, 50);
    assert_ok(qv__log_close(log, ERR));
    assert_ok(log_open_raw(&e, NULL, &log)); /* next_lsn matters for an empty log only */
    assert_int_equal(qv__log_tail(log), 503);
    struct replay_check c = {&book, 400, 0};
    assert_status(qv__log_replay(log, 400, replay_one, &c, ERR), QV_ECORRUPT);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

/* A last file put back from an earlier day is whole by itself: only the checkpoint knows better. */
static void log_reaches_the_checkpoint(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 3, 50);
    assert_ok(qv__log_close(log, ERR));
    struct qv__log_local_options o = {.must_exist = true, .reach_lsn = 4};
    assert_status(log_open_raw(&e, &o, &log), QV_ECORRUPT);
    assert_non_null(strstr(ERR->message, "ends with record 3"));
    o.reach_lsn = 3;
    assert_ok(log_open_raw(&e, &o, &log));
    assert_int_equal(qv__log_tail(log), 3);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void epochs(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    assert_ok(ledger_append(&book, log, 10, 0));
    assert_ok(qv__log_lead(log, 7, ERR));
    assert_ok(qv__log_lead(log, 7, ERR));
    for (unsigned i = 0; i < 30; i++) {
        assert_ok(ledger_append(&book, log, 700, 7));
    }
    assert_status(qv__log_lead(log, 6, ERR), QV_ECONFLICT);
    assert_ok(qv__log_lead(log, 9, ERR));
    assert_ok(ledger_append(&book, log, 10, 9));
    assert_ok(qv__log_close(log, ERR));
    log = log_open(&e, &book, 1);
    assert_status(qv__log_lead(log, 8, ERR), QV_ECONFLICT);
    assert_ok(ledger_append(&book, log, 10, 9));
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void refused_appends_and_options(void **state)
{
    (void)state;
    struct env e;
    uint64_t lsn = 0, durable;
    struct qv__log *log;
    fresh(&e);
    const struct qv__log_local_options bad[] = {{.first_file_bytes = 4096},
                                                {.first_file_bytes = 65536, .file_bytes_max = 8192},
                                                {.file_bytes_max = UINT64_MAX}};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        assert_status(log_open_raw(&e, &bad[i], &log), QV_EINVAL);
    }
    char dir[200];
    memset(dir, 'd', sizeof dir);
    dir[sizeof dir - 1] = 0;
    assert_status(qv__log_local_open(e.io, dir, e.mem, NULL, &log, ERR), QV_EINVAL);

    log = log_open(&e, &book, 1);
    uint8_t b = 0;
    struct qv__bytes huge[2] = {{&b, (size_t)1 << 30}, {&b, 1}};
    struct qv__bytes wrap[2] = {{&b, SIZE_MAX}, {&b, 2}};
    assert_status(qv__log_append(log, 1, huge, 2, &lsn, ERR), QV_ETOOBIG);
    assert_status(qv__log_append(log, 1, wrap, 2, &lsn, ERR), QV_ETOOBIG);
    assert_status(qv__log_append(log, 0, NULL, 0, &lsn, ERR), QV_EINVAL);
    assert_int_equal(lsn, 0);
    assert_int_equal(qv__log_tail(log), 0);
    uint64_t syncs = stats_of(log).syncs;
    assert_ok(qv__log_flush(log, &durable, ERR)); /* nothing pending: no sync */
    assert_int_equal(durable, 0);
    assert_int_equal(stats_of(log).syncs, syncs);
    assert_ok(qv__log_close(log, ERR));
    assert_ok(qv__log_close(NULL, ERR));
    env_close(&e);
}

/* The root as directory, a nested one, and files that are none of the log's business. */
static void directories_and_strangers(void **state)
{
    (void)state;
    static const char *const dirs[] = {"", "a/b"};
    static const char *const names[] = {"log-000000000000000g.qvl", "log-0.qvl", "readme",
                                        "log-00000000000000AA.qvl", "log-next-1.qvl"};
    for (size_t i = 0; i < QV_ARRAY_LEN(dirs); i++) {
        struct env e;
        struct qv__log *log;
        fresh(&e);
        if (*dirs[i]) {
            assert_ok(qv__io_mkdir(e.io, "a", ERR));
        }
        for (size_t j = 0; i == 0 && j < QV_ARRAY_LEN(names); j++) {
            write_whole(e.io, names[j], "x", 1);
        }
        write_whole(e.io, "log-next-0000000000000005.qvl", "left over", 9);
        for (unsigned k = 0; k < 2; k++) {
            assert_ok(qv__log_local_open(e.io, dirs[i], e.mem, &small_files, &log, ERR));
            assert_ok(ledger_replay(&book, log, 1));
            append_many(&book, log, 20, 800);
            assert_ok(ledger_flush(&book, log));
            assert_ok(qv__log_close(log, ERR));
        }
        struct qv__file *f;
        for (size_t j = 0; i == 0 && j < QV_ARRAY_LEN(names); j++) {
            assert_ok(qv__io_open(e.io, names[j], QV__OPEN_READ, &f, ERR));
            assert_ok(qv__io_file_close(f, ERR));
        }
        qv_status st = qv__io_open(e.io, "log-next-0000000000000005.qvl", QV__OPEN_READ, &f, ERR);
        assert_status(st, i == 0 ? QV_ENOTFOUND : QV_OK);
        if (st == QV_OK) {
            assert_ok(qv__io_file_close(f, ERR));
        }
        env_close(&e);
    }
}

static void foreign_files_are_refused(void **state)
{
    (void)state;
    struct env e;
    struct qv__log *log;
    fresh(&e);
    log = log_open(&e, &book, 1);
    append_many(&book, log, 30, 900);
    assert_ok(qv__log_close(log, ERR));
    struct dir_look look = dir_look(e.io, "log");
    assert_true(look.n > 2);
    /* The last file of another log with the same history. */
    char from[300], to[300];
    struct ledger other = {.next_salt = 77};
    struct qv__log *log2;
    assert_ok(qv__log_local_open(e.io, "other", e.mem, &small_files, &log2, ERR));
    assert_ok(ledger_replay(&other, log2, 1));
    append_many(&other, log2, 30, 900);
    assert_ok(qv__log_close(log2, ERR));
    snprintf(from, sizeof from, "other/%s", look.last);
    snprintf(to, sizeof to, "log/%s", look.last);
    assert_ok(qv__io_rename(e.io, from, to, ERR));
    assert_status(log_open_raw(&e, NULL, &log), QV_ECORRUPT);
    assert_says(look.last);
    assert_says("another log");
    env_close(&e);
}

struct reports {
    unsigned n;
    struct qv__log_file_report r[32];
};
static void keep_report(void *arg, const struct qv__log_file_report *r)
{
    struct reports *all = arg;
    assert_true(all->n < 32);
    all->r[all->n++] = *r;
}

static void check_reports(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 40, 900);
    assert_ok(qv__log_close(log, ERR));
    struct reports all = {0};
    assert_ok(qv__log_local_check(e.io, "log", e.mem, keep_report, NULL, &all, ERR));
    assert_true(all.n >= 3);
    uint64_t next = 1, records = 0;
    for (unsigned i = 0; i < all.n; i++) {
        assert_int_equal(all.r[i].status, QV_OK);
        assert_int_equal(all.r[i].first_lsn, next);
        next = all.r[i].last_lsn + 1;
        records += all.r[i].records;
        assert_string_equal(all.r[i].message, "");
        assert_true(all.r[i].valid_bytes <= all.r[i].file_bytes);
    }
    assert_int_equal(records, 40);
    /* A damaged record in the first file, a damaged head of the second: the rest is still told. */
    char name[128];
    snprintf(name, sizeof name, "log/%s", all.r[0].name);
    assert_ok(qv__io_sim_flip(e.io, name, 4096 + 960, 3)); /* in the second record */
    snprintf(name, sizeof name, "log/%s", all.r[1].name);
    assert_ok(qv__io_sim_flip(e.io, name, 100, 0));
    uint64_t writes = qv__io_sim_calls(e.io, QV__SIM_WRITE);
    struct reports damaged = {0};
    assert_ok(qv__log_local_check(e.io, "log", e.mem, keep_report, NULL, &damaged, ERR));
    assert_int_equal(damaged.n, all.n);
    assert_int_equal(damaged.r[0].status, QV_ECORRUPT);
    assert_int_equal(damaged.r[0].records, 1);
    assert_non_null(strstr(damaged.r[0].message, "record 2"));
    assert_int_equal(damaged.r[1].status, QV_ECORRUPT);
    assert_int_equal(damaged.r[2].status, QV_OK);
    assert_int_equal(qv__io_sim_calls(e.io, QV__SIM_WRITE), writes);
    env_close(&e);
}

/* What check says of a torn tail, a damaged end, a hole, a stranger's file, and a failing disk. */
static void check_of_sick_logs(void **state)
{
    (void)state;
    static const char *const says[] = {"torn tail", "record 22 is damaged", "record 5 is damaged",
                                       "another log", "has 8192 bytes"};
    for (unsigned how = 0; how < 5; how++) {
        struct env e;
        struct qv__file *f;
        struct qv__log *log, *log2;
        struct ledger other = {.next_salt = 9};
        static const uint8_t zeros[400];
        fresh(&e);
        log = log_open(&e, &book, 1);
        append_many(&book, log, 20, 900);
        assert_ok(ledger_flush(&book, log));
        append_many(&book, log, 3, 100);
        assert_ok(qv__log_close(log, ERR));
        const char *last = "log/log-0000000000000011.qvl", *second = "log/log-0000000000000005.qvl";
        if (how == 0) { /* the group of 21 to 23 without its first record and without the mark */
            assert_ok(qv__io_open(e.io, last, QV__OPEN_WRITE, &f, ERR));
            assert_ok(qv__io_pwrite(f, zeros, 100, 4096 + 4 * 952, ERR));
            assert_ok(qv__io_pwrite(f, zeros, 48, 4096 + 4 * 952 + 3 * 152, ERR));
            assert_ok(qv__io_file_close(f, ERR));
        } else if (how == 1) {
            assert_ok(qv__io_sim_flip(e.io, last, 4096 + 4 * 952 + 152 + 70, 1));
        } else if (how == 2) {
            assert_ok(qv__io_unlink(e.io, second, ERR));
        } else if (how == 3) {
            assert_ok(qv__log_local_open(e.io, "other", e.mem, &small_files, &log2, ERR));
            assert_ok(ledger_replay(&other, log2, 1));
            append_many(&other, log2, 20, 900);
            assert_ok(qv__log_close(log2, ERR));
            assert_ok(qv__io_rename(e.io, "other/log-0000000000000005.qvl", second, ERR));
        } else {
            assert_ok(qv__io_open(e.io, second, QV__OPEN_WRITE, &f, ERR));
            assert_ok(qv__io_truncate(f, 8192, ERR));
            assert_ok(qv__io_file_close(f, ERR));
        }
        struct reports all = {0};
        assert_ok(qv__log_local_check(e.io, "log", e.mem, keep_report, NULL, &all, ERR));
        unsigned at = how < 2 ? all.n - 1 : how == 2 ? 0 : 1, sick = 0;
        assert_non_null(strstr(all.r[at].message, says[how]));
        for (unsigned i = 0; i < all.n; i++) {
            sick += all.r[i].status != QV_OK;
        }
        assert_int_equal(sick, how > 0);
        /* Failures of the disk or of memory are no findings. */
        qv_status st = QV_EIO;
        for (uint64_t n = 1; st != QV_OK; n++) {
            struct reports some = {0};
            qv__io_sim_fault(e.io, (struct qv__sim_fault){.at = n});
            st = qv__log_local_check(e.io, "log", e.mem, keep_report, NULL, &some, ERR);
            no_fault(e.io);
            assert_true(st == QV_OK ? some.n == all.n : st == QV_EIO && some.n < all.n);
        }
        for (uint64_t n = 1; n == 1 || st != QV_OK; n++) {
            struct reports some = {0};
            qv__mem_fail_at(e.mem, n, true);
            st = qv__log_local_check(e.io, "log", e.mem, keep_report, NULL, &some, ERR);
            qv__mem_fail_at(e.mem, 0, false);
            assert_true(st == QV_OK || st == QV_ENOMEM);
        }
        env_close(&e);
    }
    struct env e;
    char dir[200];
    struct reports none = {0};
    fresh(&e);
    memset(dir, 'd', sizeof dir);
    dir[sizeof dir - 1] = 0;
    assert_status(qv__log_local_check(e.io, dir, e.mem, keep_report, NULL, &none, ERR), QV_EINVAL);
    assert_status(qv__log_local_check(e.io, "log", e.mem, keep_report, NULL, &none, ERR),
                  QV_ENOTFOUND);
    assert_int_equal(none.n, 0);
    env_close(&e);
}

static qv_status count_only(void *arg, const struct qv__log_record *rec, struct qv_err *err)
{
    (void)rec, (void)err;
    ++*(unsigned *)arg;
    return QV_OK;
}

/* A group buffer that had to grow is given back. */
static void buffers_shrink(void **state)
{
    (void)state;
    struct env e;
    uint64_t lsn, durable;
    struct qv__log *log;
    unsigned n = 0;
    fresh(&e);
    assert_ok(qv__log_local_open(e.io, "log", e.mem, NULL, &log, ERR));
    assert_ok(qv__log_replay(log, 1, count_only, &n, ERR));
    size_t before = qv__mem_used(e.mem);
    size_t big = (size_t)6 << 20;
    uint8_t *p = qv__zalloc(e.disk, big);
    struct qv__bytes part = {p, big};
    assert_ok(qv__log_append(log, 1, &part, 1, &lsn, ERR));
    assert_ok(qv__log_flush(log, &durable, ERR));
    assert_true(qv__mem_used(e.mem) > before + big - 1);
    part.n = 100;
    for (unsigned i = 0; i < 20; i++) {
        assert_ok(qv__log_append(log, 1, &part, 1, &lsn, ERR));
        assert_ok(qv__log_flush(log, &durable, ERR));
    }
    assert_true(qv__mem_used(e.mem) < before + ((size_t)3 << 20));
    assert_ok(qv__log_close(log, ERR));
    qv__free(p);
    env_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(replay_from_an_lsn),
        cmocka_unit_test(replay_stops_when_told),
        cmocka_unit_test(sizes_double_and_big_records_fit),
        cmocka_unit_test(first_record_larger_than_the_file),
        cmocka_unit_test(one_group_over_many_files),
        cmocka_unit_test(trim_and_recycle),
        cmocka_unit_test(unflushed_files_are_not_trimmed),
        cmocka_unit_test(empty_log_starts_where_told),
        cmocka_unit_test(log_reaches_the_checkpoint),
        cmocka_unit_test(epochs),
        cmocka_unit_test(refused_appends_and_options),
        cmocka_unit_test(directories_and_strangers),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(check_reports),
        cmocka_unit_test(check_of_sick_logs),
        cmocka_unit_test(buffers_shrink),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}

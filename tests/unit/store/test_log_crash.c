/* test_log_crash.c: the local log under crashes, damage, and failures of disk and memory.
 *
 * The oracle is the ledger of log_test.h: what a flush confirmed must be replayed, what was never
 * appended must not, and the rest is a prefix. */
#include "log_test.h"

static struct ledger book;

static void fresh(struct env *e)
{
    memset(&book, 0, sizeof book);
    env_open(e);
}

/* Two accounts and a copy of the disk, so that an open may change what it finds. */
static void env_copy(const struct env *from, struct env *to)
{
    to->mem = from->mem;
    to->disk = from->disk;
    assert_ok(qv__io_sim_crash(from->io, QV__CRASH_KEEP_ALL, NULL, &to->io, ERR));
}

/* --- torn tails --- */

/* The last record is cut at every byte; what is behind the cut is zero or rubbish. */
static void torn_at_every_byte(void **state)
{
    (void)state;
    static const uint8_t fillers[] = {0x00, 0xa5};
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 3, 100);
    assert_ok(ledger_flush(&book, log));
    assert_ok(ledger_append(&book, log, 61, 0));
    assert_ok(ledger_flush(&book, log));
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL); /* drops the mark as well */
    const uint64_t off = 4096 + 3 * (48 + 104), bytes = 48 + 64;
    const struct ledger whole = book;
    for (size_t f = 0; f < QV_ARRAY_LEN(fillers); f++) {
        for (uint64_t keep = 0; keep <= bytes; keep++) {
            struct env c;
            struct qv__file *file;
            uint8_t junk[128];
            env_copy(&e, &c);
            memset(junk, fillers[f], sizeof junk);
            assert_ok(
                qv__io_open(c.io, "log/log-0000000000000001.qvl", QV__OPEN_WRITE, &file, ERR));
            if (keep < bytes) {
                assert_ok(qv__io_pwrite(file, junk, bytes - keep, off + keep, ERR));
            }
            assert_ok(qv__io_file_close(file, ERR));
            book = whole;
            book.durable = 3; /* the fourth is the one that was being written */
            log = log_open(&c, &book, 1);
            uint64_t padding = 3; /* zeros are what padding holds */
            bool is_whole = keep == bytes || (f == 0 && keep >= bytes - padding);
            bool may_be_whole = is_whole || keep > bytes - padding - 1;
            uint64_t tail = qv__log_tail(log);
            assert_true(tail == 3 || tail == 4);
            assert_true(tail == 4 ? may_be_whole : !is_whole);
            /* The log goes on behind the cut, with other bytes of other lengths. */
            append_many(&book, log, 2, 61 - (uint32_t)(keep % 60));
            assert_ok(ledger_flush(&book, log));
            assert_ok(qv__log_close(log, ERR));
            log = log_open(&c, &book, 1);
            assert_int_equal(qv__log_tail(log), tail + 2);
            assert_ok(qv__log_close(log, ERR));
            qv__io_close(c.io);
        }
    }
    env_close(&e);
}

/* A group of which the first record is lost and later ones are not is torn, not damaged; the later
 * ones must not come back when new records end where they begin. */
static void torn_group_is_cut_for_good(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 2, 464); /* 512 bytes each */
    assert_ok(ledger_flush(&book, log));
    append_many(&book, log, 4, 464);
    assert_ok(ledger_flush(&book, log));
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL);
    uint8_t zeros[512] = {0};
    struct qv__file *file;
    assert_ok(qv__io_open(e.io, "log/log-0000000000000001.qvl", QV__OPEN_WRITE, &file, ERR));
    assert_ok(qv__io_pwrite(file, zeros, sizeof zeros, 4096 + 2 * 512, ERR)); /* record 3 */
    assert_ok(qv__io_file_close(file, ERR));
    book.durable = 2;
    log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 2);
    /* The new record 3 has the old one's size: the old record 4 would follow it. */
    append_many(&book, log, 1, 464);
    assert_ok(ledger_flush(&book, log));
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL);
    log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 3);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

/* After kill -9 replayed records become durable before anybody builds on them. */
static void replayed_records_are_durable(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 3, 300);
    assert_ok(ledger_flush(&book, log));
    append_many(&book, log, 3, 300);
    /* The sync fails: bytes are in the page cache, and no later sync saves them. */
    qv__io_sim_fault(e.io, (struct qv__sim_fault){.call = QV__SIM_SYNC, .at = 1});
    assert_status(ledger_flush(&book, log), QV_EIO);
    crash_log(&e, log, QV__CRASH_KEEP_ALL, NULL);
    log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 6);
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL);
    log = log_open(&e, &book, 1); /* asserts that 6 are there */
    assert_int_equal(qv__log_tail(log), 6);
    append_many(&book, log, 2, 300);
    assert_ok(ledger_flush(&book, log));
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL);
    log = log_open(&e, &book, 1);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

/* --- damage --- */

static void damaged_middle_is_refused(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    for (unsigned i = 0; i < 12; i++) {
        assert_ok(ledger_append(&book, log, 900, 0));
        assert_ok(ledger_flush(&book, log));
    }
    assert_ok(qv__log_close(log, ERR));
    /* In the first file (8 KiB: 4 records of 952 bytes), the second one, and the last record. */
    static const struct {
        const char *file;
        uint64_t off, lsn;
    } where[] = {{"log/log-0000000000000001.qvl", 4096 + 952 + 500, 2},
                 {"log/log-0000000000000005.qvl", 4096 + 20, 5},
                 {"log/log-0000000000000005.qvl", 4096 + 7 * 952 + 100, 12}};
    for (size_t i = 0; i < QV_ARRAY_LEN(where); i++) {
        struct env c;
        char text[64];
        env_copy(&e, &c);
        assert_ok(qv__io_sim_flip(c.io, where[i].file, where[i].off, 5));
        qv_status st = log_open_raw(&c, NULL, &log);
        if (st == QV_OK) {
            struct replay_check r = {&book, 1, 0};
            st = qv__log_replay(log, 1, replay_one, &r, ERR);
            uint64_t lsn;
            assert_status(qv__log_append(log, 1, NULL, 0, &lsn, NULL), QV_EINVAL);
            assert_int_equal(r.next, where[i].lsn);
            assert_ok(qv__log_close(log, NULL));
        }
        assert_status(st, QV_ECORRUPT);
        assert_says(where[i].file);
        snprintf(text, sizeof text, "record %u is damaged", (unsigned)where[i].lsn);
        assert_says(text);
        assert_says("offset");
        qv__io_close(c.io);
    }
    env_close(&e);
}

/* A missing file in the middle, a file cut short, an emptied one. */
static void missing_and_cut_files_are_refused(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 60, 900);
    assert_ok(qv__log_close(log, ERR));
    for (unsigned how = 0; how < 4; how++) {
        struct env c;
        struct qv__file *f;
        const char *name = "log/log-0000000000000005.qvl";
        env_copy(&e, &c);
        if (how == 0) {
            assert_ok(qv__io_unlink(c.io, name, ERR));
        } else {
            static const uint64_t sizes[] = {0, 0, 4000, 12288};
            assert_ok(qv__io_open(c.io, name, QV__OPEN_WRITE, &f, ERR));
            assert_ok(qv__io_truncate(f, sizes[how], ERR));
            assert_ok(qv__io_file_close(f, ERR));
        }
        qv_status st = log_open_raw(&c, NULL, &log);
        if (st == QV_OK) {
            struct replay_check r = {&book, 1, 0};
            st = qv__log_replay(log, 1, replay_one, &r, ERR);
            assert_ok(qv__log_close(log, NULL));
        }
        assert_status(st, QV_ECORRUPT);
        qv__io_close(c.io);
    }
    env_close(&e);
}

static void last_name(void *arg, const char *name, bool is_dir)
{
    if (!is_dir && strncmp(name, "log-0", 5) == 0) {
        snprintf((char *)arg, 96, "log/%s", name);
    }
}

/* The last file's loss is told by the mark that closes the one before; the loss of all by whoever
 * knows that there was a log. */
static void a_lost_last_file_is_missed(void **state)
{
    (void)state;
    struct env e;
    char name[96] = "";
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 60, 900);
    assert_ok(ledger_flush(&book, log));
    append_many(&book, log, 60, 900);
    assert_ok(ledger_flush(&book, log));
    assert_ok(qv__log_close(log, ERR));
    assert_ok(qv__io_list(e.io, "log", last_name, name, ERR));
    assert_ok(qv__io_unlink(e.io, name, ERR));
    assert_status(log_open_raw(&e, NULL, &log), QV_ECORRUPT);
    assert_non_null(strstr(test_err.message, "is missing"));
    do {
        (void)!qv__io_unlink(e.io, name, ERR); /* the first time it is gone already */
        name[0] = 0;
        assert_ok(qv__io_list(e.io, "log", last_name, name, ERR));
    } while (name[0]);
    struct qv__log_local_options o = {.must_exist = true};
    assert_status(qv__log_local_open(e.io, "log", e.mem, &o, &log, ERR), QV_ECORRUPT);
    o.must_exist = false;
    assert_ok(qv__log_local_open(e.io, "log", e.mem, &o, &log, ERR));
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

/* A file under another LSN's name, cut or grown where nothing is stored. */
static void names_and_lengths_are_checked(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        struct env e;
        struct qv__file *f;
        const char *name = "log/log-0000000000000001.qvl";
        fresh(&e);
        struct qv__log *log = log_open(&e, &book, 1);
        append_many(&book, log, 2, 100);
        assert_ok(qv__log_close(log, ERR));
        if (how == 0) {
            assert_ok(qv__io_rename(e.io, name, "log/log-0000000000000002.qvl", ERR));
        } else {
            assert_ok(qv__io_open(e.io, name, QV__OPEN_WRITE, &f, ERR));
            assert_ok(qv__io_truncate(f, how == 1 ? 8191 : 8193, ERR));
            assert_ok(qv__io_file_close(f, ERR));
        }
        assert_status(log_open_raw(&e, NULL, &log), QV_ECORRUPT);
        env_close(&e);
    }
}

static void read_at(struct env *e, const char *name, uint64_t off, void *p, size_t n)
{
    struct qv__file *f;
    assert_ok(qv__io_open(e->io, name, QV__OPEN_READ, &f, ERR));
    assert_ok(qv__io_pread(f, p, n, off, ERR));
    assert_ok(qv__io_file_close(f, ERR));
}

static void write_at(struct env *e, const char *name, uint64_t off, const void *p, size_t n)
{
    struct qv__file *f;
    assert_ok(qv__io_open(e->io, name, QV__OPEN_WRITE, &f, ERR));
    assert_ok(qv__io_pwrite(f, p, n, off, ERR));
    assert_ok(qv__io_sync(f, true, ERR));
    assert_ok(qv__io_file_close(f, ERR));
}

/* A torn record whose body holds a record, head and all, of a possible future of this very file: it
 * does not lie where it was written, so it proves nothing. */
static void a_record_in_a_body_proves_nothing(void **state)
{
    (void)state;
    struct env e, future;
    const char *name = "log/log-0000000000000001.qvl";
    uint8_t record[96], zeros[48] = {0};
    uint64_t lsn, durable;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 2, 48);
    assert_ok(qv__log_close(log, ERR));
    env_copy(&e, &future);
    const struct ledger before = book;
    log = log_open(&future, &book, 1);
    for (unsigned i = 0; i < 3; i++) {
        append_many(&book, log, 1, 48);
        assert_ok(ledger_flush(&book, log));
    }
    assert_ok(qv__log_close(log, ERR));
    read_at(&future, name, 4096 + 4 * 96, record, sizeof record); /* record 5: "4 was durable" */
    qv__io_close(future.io);

    book = before;
    log = log_open(&e, &book, 1);
    struct qv__bytes part = {record, sizeof record};
    assert_ok(qv__log_append(log, 1, &part, 1, &lsn, ERR));
    assert_int_equal(lsn, 3);
    assert_ok(qv__log_flush(log, &durable, ERR));
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL);
    write_at(&e, name, 4096 + 2 * 96, zeros, sizeof zeros); /* its head did not reach the disk */
    log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 2);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

/* Records of another log at the same place with the same LSNs. */
static void records_of_another_log_are_not_taken(void **state)
{
    (void)state;
    struct env e, other;
    const char *name = "log/log-0000000000000001.qvl";
    static uint8_t bytes[4096];
    for (unsigned i = 0; i < 2; i++) {
        fresh(i ? &e : &other);
        struct qv__log *log = log_open(i ? &e : &other, &book, 1);
        append_many(&book, log, 3, 48);
        assert_ok(qv__log_close(log, ERR));
    }
    read_at(&other, name, 4096, bytes, sizeof bytes);
    write_at(&e, name, 4096, bytes, sizeof bytes);
    struct qv__log *log;
    assert_ok(log_open_raw(&e, NULL, &log));
    assert_int_equal(qv__log_tail(log), 0); /* all of its own are gone: only the caller can know */
    struct replay_check c = {&book, 4, 0};
    assert_status(qv__log_replay(log, 4, replay_one, &c, ERR), QV_ECORRUPT);
    assert_ok(qv__log_close(log, ERR));
    env_close(&other);
    env_close(&e);
}

/* Files removed by trim may come back after a crash, but never with a hole behind them. */
static void trim_leaves_no_hole(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct env e;
        struct qv__rng r;
        fresh(&e);
        qv__rng_seed(&r, seed);
        struct qv__log *log = log_open(&e, &book, 1);
        append_many(&book, log, 200, 900);
        assert_ok(ledger_flush(&book, log));
        qv__io_sim_fault(e.io, (struct qv__sim_fault){
                                   .call = QV__SIM_META, .at = 1 + seed % 12, .sticky = true});
        book.trimmed = 190;
        (void)qv__log_trim(log, book.trimmed, ERR);
        crash_log(&e, log, QV__CRASH_RANDOM, &r);
        log = log_open(&e, &book, 0); /* from the oldest file that is there */
        assert_ok(qv__log_close(log, ERR));
        env_close(&e);
    }
}

/* Every bit of a small log: refused, or the last group cut, or a byte that nothing uses. */
static void every_bit_flip(void **state)
{
    (void)state;
    for (unsigned marked = 0; marked < 2; marked++) {
        struct env e;
        fresh(&e);
        struct qv__log *log = log_open(&e, &book, 1);
        append_many(&book, log, 3, 21);
        assert_ok(ledger_flush(&book, log));
        append_many(&book, log, 2, 40);
        assert_ok(ledger_flush(&book, log));
        /* After kill -9 the mark of the last flush is there; after a power cut it is not. */
        crash_log(&e, log, marked ? QV__CRASH_KEEP_ALL : QV__CRASH_DROP_ALL, NULL);
        const uint64_t group2 = 4096 + 3 * (48 + 24), end = group2 + 2 * (48 + 40);
        const struct ledger whole = book;
        unsigned cut = 0, refused = 0, unused = 0;
        for (uint64_t byte = 0; byte < 8192; byte++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                struct env c;
                if (byte > end + 100 && bit > 0) {
                    break; /* zeros behind the end: one bit of each byte will do */
                }
                env_copy(&e, &c);
                assert_ok(qv__io_sim_flip(c.io, "log/log-0000000000000001.qvl", byte, bit));
                book = whole;
                book.durable = marked ? 5 : 3;
                qv_status st = log_open_raw(&c, NULL, &log);
                if (st == QV_OK) {
                    assert_ok(ledger_replay(&book, log, 1));
                    if (qv__log_tail(log) == 5) {
                        assert_true(byte >= end);
                        unused++;
                    } else {
                        assert_true(!marked && byte >= group2 && byte < end);
                        assert_int_equal(qv__log_tail(log), byte < group2 + 88 ? 3 : 4);
                        cut++;
                    }
                    assert_ok(qv__log_close(log, ERR));
                } else {
                    assert_status(st, QV_ECORRUPT);
                    assert_says("log/log-0000000000000001.qvl");
                    assert_true(byte < (marked ? end : group2));
                    refused++;
                }
                qv__io_close(c.io);
            }
        }
        assert_int_equal(refused, 8 * (marked ? end : group2));
        assert_int_equal(cut, marked ? 0 : 8 * (end - group2));
        assert_true(unused > 0);
        env_close(&e);
    }
}

/* --- failures of the disk --- */

static void full_disk_refuses_appends_only(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    qv__io_sim_space(e.io, 8192); /* what the first file has */
    qv_status st;
    while ((st = ledger_append(&book, log, 500, 0)) == QV_OK) {
    }
    assert_status(st, QV_ENOSPC);
    uint64_t tail = qv__log_tail(log);
    size_t pending = qv__log_pending_bytes(log);
    struct qv__log_stats before = stats_of(log);
    assert_true(tail > 3);
    for (unsigned i = 0; i < 5; i++) {
        assert_status(ledger_append(&book, log, 500, 0), QV_ENOSPC);
    }
    assert_int_equal(qv__log_tail(log), tail);
    assert_int_equal(qv__log_pending_bytes(log), pending);
    assert_int_equal(stats_of(log).files, before.files);
    assert_int_equal(stats_of(log).appended, before.appended);
    assert_int_equal(dir_look(e.io, "log").n, 1);
    assert_ok(ledger_flush(&book, log)); /* never a flush */
    assert_status(ledger_append(&book, log, 500, 0), QV_ENOSPC);
    /* A little room: a smaller file than wanted, but the record fits. */
    qv__io_sim_space(e.io, 8192 + 9000);
    assert_ok(ledger_append(&book, log, 500, 0));
    assert_ok(ledger_flush(&book, log));
    qv__io_sim_space(e.io, 0);
    append_many(&book, log, 40, 500);
    assert_ok(ledger_flush(&book, log));
    assert_ok(qv__log_close(log, ERR));
    log = log_open(&e, &book, 1);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void count_line(void *ctx, enum qv__level level, const char *component, const char *message)
{
    (void)level;
    (void)component;
    *(unsigned *)ctx += strstr(message, "not ready") != NULL;
}

static void full_disk_is_told_once(void **state)
{
    (void)state;
    struct env e;
    unsigned lines = 0;
    struct qv__logger logger = {count_line, &lines, QV__LEVEL_DEBUG};
    struct qv__log_local_options options = small_files;
    struct qv__log *log;
    options.logger = &logger;
    fresh(&e);
    assert_ok(log_open_raw(&e, &options, &log));
    assert_ok(ledger_replay(&book, log, 1));
    qv__io_sim_space(e.io, 8192); /* what the first file has */
    for (unsigned i = 0; i < 4; i++) {
        append_many(&book, log, 1, 300);
        assert_ok(ledger_flush(&book, log));
        assert_int_equal(lines, 1);
    }
    qv__io_sim_space(e.io, 0);
    append_many(&book, log, 1, 300);
    assert_ok(ledger_flush(&book, log));
    assert_int_equal(lines, 1);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

static void failed_sync_poisons(void **state)
{
    (void)state;
    struct env e;
    uint64_t durable;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 2, 100);
    assert_ok(ledger_flush(&book, log));
    append_many(&book, log, 2, 100);
    qv__io_sim_fault(e.io, (struct qv__sim_fault){.call = QV__SIM_SYNC, .at = 1});
    assert_status(ledger_flush(&book, log), QV_EIO);
    uint64_t syncs = qv__io_sim_calls(e.io, QV__SIM_SYNC);
    assert_status(qv__log_flush(log, &durable, ERR), QV_EREADONLY);
    assert_says("injected fault"); /* the first reason */
    assert_int_equal(durable, 2);
    assert_int_equal(qv__log_durable(log), 2);
    assert_status(ledger_append(&book, log, 10, 0), QV_EREADONLY);
    assert_status(qv__log_lead(log, 5, ERR), QV_EREADONLY);
    assert_int_equal(qv__io_sim_calls(e.io, QV__SIM_SYNC), syncs); /* never tried again */
    crash_log(&e, log, QV__CRASH_DROP_ALL, NULL);
    log = log_open(&e, &book, 1);
    assert_int_equal(qv__log_tail(log), 2);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

/* Open, replay, append over several files, flush, trim, close. Stops at the first failure of what
 * must not fail silently; a failed append or trim is tried past. */
static void run_script(struct env *e, struct ledger *b)
{
    struct qv__log *log = NULL;
    for (unsigned life = 0; life < 2; life++) {
        if (log_open_raw(e, NULL, &log) != QV_OK) {
            return;
        }
        struct replay_check c = {b, b->trimmed + 1, 0};
        if (qv__log_replay(log, b->trimmed + 1, replay_one, &c, ERR) == QV_OK) {
            assert_true(qv__log_tail(log) >= b->durable);
            b->appended = b->durable = qv__log_tail(log);
            for (unsigned i = 0; i < 12; i++) {
                for (unsigned k = 0; k < 3; k++) {
                    (void)ledger_append(b, log, 300 + 200 * k, 0);
                }
                (void)ledger_flush(b, log);
                if (i % 4 == 3) {
                    uint64_t upto = b->durable > 4 ? b->durable - 4 : 0;
                    b->trimmed = upto;
                    (void)qv__log_trim(log, upto, ERR);
                }
            }
        }
        if (qv__log_close(log, ERR) == QV_OK) {
            b->durable = b->appended;
        } else {
            return;
        }
    }
}

static void check_after(struct env *e, struct ledger *b, enum qv__sim_crash how,
                        struct qv__rng *rng)
{
    const struct ledger before = *b;
    env_crash(e, how, rng);
    for (unsigned again = 0; again < 2; again++) { /* a second recovery finds the same */
        struct qv__log *log = log_open(e, b, b->trimmed + 1);
        uint64_t tail = qv__log_tail(log);
        assert_true(tail >= before.durable && tail <= before.appended);
        assert_ok(qv__log_close(log, ERR));
    }
    struct qv__log *log = log_open(e, b, b->trimmed + 1);
    assert_ok(ledger_append(b, log, 333, 0));
    assert_ok(ledger_flush(b, log));
    assert_ok(qv__log_close(log, ERR));
    log = log_open(e, b, b->trimmed + 1);
    assert_ok(qv__log_close(log, ERR));
}

static void every_io_failure(void **state)
{
    (void)state;
    unsigned tried = 0;
    for (unsigned how = 0; how < 8; how++) {
        bool done = false;
        for (uint64_t at = 1; !done; at++) {
            struct env e;
            struct qv__rng rng;
            fresh(&e);
            qv__rng_seed(&rng, at);
            struct qv__sim_fault fault = {
                .at = at,
                .sticky = how & 1,
                .partial = how & 2,
                .status = how & 4 ? QV_ENOSPC : QV_EIO,
            };
            qv__io_sim_fault(e.io, fault);
            run_script(&e, &book);
            done = qv__io_sim_calls(e.io, QV__SIM_ANY) < at;
            no_fault(e.io);
            check_after(&e, &book, at % 3 == 0 ? QV__CRASH_RANDOM : QV__CRASH_DROP_ALL, &rng);
            env_close(&e);
            tried++;
        }
    }
    print_message("%u runs with a failing call\n", tried);
    assert_true(tried > 8 * 50);
}

static void every_memory_failure(void **state)
{
    (void)state;
    unsigned tried = 0;
    for (unsigned sticky = 0; sticky < 2; sticky++) {
        bool done = false;
        for (uint64_t at = 1; !done; at++) {
            struct env e;
            fresh(&e);
            uint64_t before = qv__mem_allocations(e.mem);
            qv__mem_fail_at(e.mem, at, sticky);
            run_script(&e, &book);
            done = qv__mem_allocations(e.mem) - before < at;
            qv__mem_fail_at(e.mem, 0, false);
            if (!done) {
                /* Lack of memory never poisons: at worst an open or an append was refused. */
                struct qv__log *log = log_open(&e, &book, book.trimmed + 1);
                assert_ok(qv__log_close(log, ERR));
            }
            check_after(&e, &book, QV__CRASH_DROP_ALL, NULL);
            env_close(&e);
            tried++;
        }
    }
    print_message("%u runs with a failing allocation\n", tried);
    assert_true(tried > 20);
}

static void append_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct env e;
    fresh(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    append_many(&book, log, 3, 900);
    for (uint64_t at = 1;; at++) {
        struct qv__log_stats before = stats_of(log), after;
        size_t pending = qv__log_pending_bytes(log);
        qv__mem_fail_at(e.mem, at, true);
        qv_status st = ledger_append(&book, log, 20000, 0); /* needs a larger buffer and a file */
        qv__mem_fail_at(e.mem, 0, false);
        if (st == QV_OK) {
            assert_true(at > 1);
            break;
        }
        assert_status(st, QV_ENOMEM);
        after = stats_of(log);
        assert_memory_equal(&before, &after, sizeof before);
        assert_int_equal(qv__log_pending_bytes(log), pending);
    }
    assert_ok(ledger_flush(&book, log));
    assert_ok(qv__log_close(log, ERR));
    log = log_open(&e, &book, 1);
    assert_ok(qv__log_close(log, ERR));
    env_close(&e);
}

/* --- random crashes --- */

#define SEEDS 2000u

static void random_work(struct qv__rng *r, struct ledger *b, struct qv__log *log, uint64_t *epoch)
{
    unsigned n = (unsigned)qv__rng_below(r, 40);
    for (unsigned i = 0; i < n; i++) {
        uint64_t what = qv__rng_below(r, 20);
        if (what < 13) {
            uint32_t bytes = (uint32_t)qv__rng_below(r, what == 0 ? 12000 : 900);
            (void)ledger_append(b, log, bytes, *epoch);
        } else if (what < 18) {
            (void)ledger_flush(b, log);
        } else if (what == 18) {
            uint64_t upto = b->trimmed + qv__rng_below(r, b->durable - b->trimmed + 1);
            b->trimmed = upto;
            (void)qv__log_trim(log, upto, ERR);
        } else if (qv__log_lead(log, *epoch + 1, ERR) == QV_OK) {
            ++*epoch;
        }
    }
}

static void one_life(struct env *e, struct qv__rng *r, struct ledger *b)
{
    struct qv__log *log;
    uint64_t epoch;
    if (qv__rng_below(r, 4) == 0) {
        /* Compound: recovery itself is cut short, then the machine goes down again. */
        qv__io_sim_fault(e->io,
                         (struct qv__sim_fault){.at = 1 + qv__rng_below(r, 40), .sticky = true});
        if (log_open_raw(e, NULL, &log) == QV_OK) {
            no_fault(e->io);
            crash_log(e, log, QV__CRASH_RANDOM, r);
        } else {
            env_crash(e, QV__CRASH_RANDOM, r);
        }
    }
    log = log_open(e, b, b->trimmed + 1);
    epoch = b->appended ? b->epoch[b->appended] : 0;
    while (qv__log_lead(log, epoch, ERR) != QV_OK) {
        epoch++; /* a lead without a record after it may or may not be stored in a file's head */
    }
    if (qv__rng_below(r, 5) > 0) {
        qv__io_sim_fault(e->io, (struct qv__sim_fault){.at = 1 + qv__rng_below(r, 60),
                                                       .sticky = qv__rng_below(r, 2) == 0,
                                                       .partial = qv__rng_below(r, 2) == 0});
    }
    random_work(r, b, log, &epoch);
    enum qv__sim_crash how = qv__rng_below(r, 6) == 0 ? QV__CRASH_KEEP_ALL : QV__CRASH_RANDOM;
    crash_log(e, log, how, r);
}

static void random_crashes(void **state)
{
    (void)state;
    uint64_t replayed = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct env e;
        struct qv__rng r;
        fresh(&e);
        qv__rng_seed(&r, seed);
        test_err.message[0] = 0;
        for (unsigned life = 0; life < 5; life++) {
            one_life(&e, &r, &book);
        }
        struct qv__log *log = log_open(&e, &book, book.trimmed + 1);
        replayed += qv__log_tail(log);
        assert_ok(qv__log_close(log, ERR));
        env_close(&e);
    }
    print_message("seeds 1 to %u: %llu records survived\n", SEEDS, (unsigned long long)replayed);
    assert_true(replayed > SEEDS * 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torn_at_every_byte),
        cmocka_unit_test(torn_group_is_cut_for_good),
        cmocka_unit_test(replayed_records_are_durable),
        cmocka_unit_test(damaged_middle_is_refused),
        cmocka_unit_test(missing_and_cut_files_are_refused),
        cmocka_unit_test(a_lost_last_file_is_missed),
        cmocka_unit_test(names_and_lengths_are_checked),
        cmocka_unit_test(a_record_in_a_body_proves_nothing),
        cmocka_unit_test(records_of_another_log_are_not_taken),
        cmocka_unit_test(trim_leaves_no_hole),
        cmocka_unit_test(every_bit_flip),
        cmocka_unit_test(full_disk_refuses_appends_only),
        cmocka_unit_test(full_disk_is_told_once),
        cmocka_unit_test(failed_sync_poisons),
        cmocka_unit_test(every_io_failure),
        cmocka_unit_test(every_memory_failure),
        cmocka_unit_test(append_without_memory_changes_nothing),
        cmocka_unit_test(random_crashes),
    };
    return cmocka_run_group_tests_name("log under failure", tests, NULL, NULL);
}

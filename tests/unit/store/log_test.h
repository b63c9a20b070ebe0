/* log_test.h: a log under test whose records tell what they should hold.
 *
 * The body of a record is a function of its LSN and of a salt that is kept per LSN, so a replay can
 * be compared with what was appended last under each number, after a cut too. */
#ifndef QV_TESTS_LOG_TEST_H
#define QV_TESTS_LOG_TEST_H

#include "store/log.h"
#include "store_test.h"

#define LSN_MAX  4096u
#define BODY_MAX 65536u

struct ledger {
    uint64_t salt[LSN_MAX];
    uint32_t bytes[LSN_MAX];
    uint64_t epoch[LSN_MAX];
    uint64_t appended; /* last LSN that append gave */
    uint64_t durable;  /* last LSN that a flush confirmed */
    uint64_t trimmed;  /* last LSN given to trim */
    uint64_t next_salt;
};

static uint8_t test_body[BODY_MAX];

static inline void fill_body(uint64_t lsn, uint64_t salt, size_t n)
{
    struct qv__rng r;
    qv__rng_seed(&r, salt * 0x9e3779b97f4a7c15u + lsn);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = qv__rng_u64(&r);
        memcpy(test_body + i, &v, QV_MIN(n - i, (size_t)8));
    }
}

static inline uint32_t type_of(uint64_t salt)
{
    return (uint32_t)(salt % 5) + 1;
}

/* Append one record in up to three parts. */
static inline qv_status ledger_append(struct ledger *b, struct qv__log *log, uint32_t bytes,
                                      uint64_t epoch)
{
    uint64_t lsn = b->appended + 1, salt = ++b->next_salt, got = 0;
    assert_true(lsn < LSN_MAX && bytes <= BODY_MAX);
    fill_body(lsn, salt, bytes);
    struct qv__bytes parts[3] = {
        {test_body, bytes / 3}, {NULL, 0}, {test_body + bytes / 3, bytes - bytes / 3}};
    qv_status st = qv__log_append(log, type_of(salt), parts, 3, &got, ERR);
    if (st == QV_OK) {
        assert_int_equal(got, lsn);
        b->appended = lsn;
        b->salt[lsn] = salt;
        b->bytes[lsn] = bytes;
        b->epoch[lsn] = epoch;
    }
    return st;
}

static inline qv_status ledger_flush(struct ledger *b, struct qv__log *log)
{
    uint64_t durable = 0;
    qv_status st = qv__log_flush(log, &durable, ERR);
    if (st == QV_OK) {
        assert_int_equal(durable, b->appended);
        b->durable = durable;
    }
    return st;
}

struct replay_check {
    const struct ledger *ledger;
    uint64_t next;
    uint64_t n;
};

static inline qv_status replay_one(void *arg, const struct qv__log_record *rec, struct qv_err *err)
{
    struct replay_check *c = arg;
    const struct ledger *b = c->ledger;
    (void)err;
    assert_int_equal(rec->lsn, c->next);
    assert_true(rec->lsn <= b->appended); /* nothing that was never appended */
    assert_int_equal(rec->type, type_of(b->salt[rec->lsn]));
    assert_int_equal(rec->epoch, b->epoch[rec->lsn]);
    assert_int_equal(rec->body.n, b->bytes[rec->lsn]);
    fill_body(rec->lsn, b->salt[rec->lsn], b->bytes[rec->lsn]);
    if (rec->body.n) {
        assert_memory_equal(rec->body.p, test_body, rec->body.n);
    }
    c->next++;
    c->n++;
    return QV_OK;
}

static const struct qv__log_local_options small_files = {.first_file_bytes = 8192,
                                                         .file_bytes_max = 32768};

static inline qv_status log_open_raw(struct env *e, const struct qv__log_local_options *o,
                                     struct qv__log **out)
{
    return qv__log_local_open(e->io, "log", e->mem, o ? o : &small_files, out, ERR);
}

static inline struct qv__log_stats stats_of(struct qv__log *log)
{
    struct qv__log_stats s;
    qv__log_stats(log, &s);
    return s;
}

/* Replay all from `from`, compare, and learn from the log how far it goes. */
static inline qv_status ledger_replay(struct ledger *b, struct qv__log *log, uint64_t from)
{
    struct replay_check c = {b, from ? from : stats_of(log).first_lsn, 0};
    QV_TRY(qv__log_replay(log, from, replay_one, &c, ERR));
    assert_int_equal(c.next, qv__log_tail(log) + 1); /* a prefix without a hole */
    assert_int_equal(qv__log_durable(log), qv__log_tail(log));
    assert_true(qv__log_tail(log) >= b->durable); /* everything confirmed is there */
    b->appended = b->durable = qv__log_tail(log);
    return QV_OK;
}

static inline struct qv__log *log_open(struct env *e, struct ledger *b, uint64_t from)
{
    struct qv__log *log;
    assert_ok(log_open_raw(e, NULL, &log));
    assert_ok(ledger_replay(b, log, from));
    return log;
}

/* A crash under an open log: the log object dies with the old disk. */
static inline void crash_log(struct env *e, struct qv__log *log, enum qv__sim_crash how,
                             struct qv__rng *rng)
{
    struct qv__io *after;
    assert_ok(qv__io_sim_crash(e->io, how, rng, &after, ERR));
    qv_status ignored = qv__log_close(log, NULL);
    (void)ignored;
    qv__io_close(e->io);
    e->io = after;
}

static inline void append_many(struct ledger *b, struct qv__log *log, unsigned n, uint32_t bytes)
{
    for (unsigned i = 0; i < n; i++) {
        assert_ok(ledger_append(b, log, bytes, 0));
    }
}

#endif

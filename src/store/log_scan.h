/* log_scan.h: reading one file of the local log, record by record.
 *
 * What it is: the walk that recovery, replay and check share, and the search for what lies behind
 * the place where a walk ended. Never changes a byte.
 * What it is not: the judgement on a whole log; see log_recover.c and log_replay.c.
 * Threads: one at a time per scan. */
#ifndef QV_STORE_LOG_SCAN_H
#define QV_STORE_LOG_SCAN_H

#include "store/log.h"
#include "store/log_format.h"

struct qv__logscan {
    struct qv__mem *mem;
    struct qv__file *file; /* owned */
    char name[QV__LOG_PATH_BYTES];
    struct qv__logfile_head head;
    uint32_t seed;
    uint64_t size_bytes;
    /* Where the walk stands; at its end, where the first place without a valid record is. */
    uint64_t off;
    uint64_t lsn;   /* expected at `off` */
    uint64_t epoch; /* of the last record */
    /* Every LSN up to here was durable, by the word of what was read. */
    uint64_t synced_lsn;
    /* First record beyond synced_lsn; = off when there is none. */
    uint64_t unsure_off;
    uint64_t records;
    const char *stop; /* why the walk ended; NULL before */
    bool is_clean;    /* it ended at the mark of a finished flush */
    bool is_closed;   /* ... which says that the next file was begun */
    /* Window of the file. */
    uint8_t *buf;
    size_t cap, n;
    uint64_t at;
};

/* Open the file that is named after `first_lsn` and validate its head against name and length.
 * will_write refuses what this build may only read. Nothing is held after a failure.
 * Errors: QV_ECORRUPT, QV_EVERSION, QV_EIO, QV_ENOMEM. */
qv_status qv__logscan_open(struct qv__io *io, const char *dir, uint64_t first_lsn, bool will_write,
                           struct qv__mem *mem, struct qv__logscan *out,
                           struct qv_err *err) QV_MUST_USE;
void qv__logscan_close(struct qv__logscan *s);

/* The next record, its body borrowed until the next call; *got false at the end of the walk.
 * Errors: QV_EIO, QV_ENOMEM; a damaged record is not an error here but an end. */
qv_status qv__logscan_next(struct qv__logscan *s, struct qv__log_record *rec, bool *got,
                           struct qv_err *err) QV_MUST_USE;

/* What a look at the rest of the file found, beyond the end of the walk. */
struct qv__logtail {
    uint64_t synced_lsn; /* highest LSN that a valid head there says was durable; 0 = none */
    uint64_t end_off;    /* end of the last valid head there; 0 = none */
};
qv_status qv__logscan_tail(struct qv__logscan *s, struct qv__logtail *out,
                           struct qv_err *err) QV_MUST_USE;

/* Read n bytes at `off` into the window; they lie inside the file. *out is borrowed until the next
 * call on this scan. */
qv_status qv__logscan_read(struct qv__logscan *s, uint64_t off, size_t n, const uint8_t **out,
                           struct qv_err *err) QV_MUST_USE;

#endif

/* fuzz_log.c: the local log against arbitrary bytes of its files.
 *
 * The input edits a sound log of two files on the simulated disk: the first byte says whether
 * checksums are repaired afterwards (so that fuzzing passes them) or the rest is one file as it is;
 * else edits follow: {which file and what (1), offset (2), length (1), bytes}. Then the log is
 * checked, opened, replayed, written to and opened again. It may refuse; it may not crash, hang,
 * hand out records out of order, or refuse later what it took before. */
#include <stdio.h>

#include "os/io_sim.h"
#include "store/log.h"
#include "store/log_format.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_log: %s does not hold (line %d)\n", #cond, __LINE__);            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODE_REPAIR = 1, MODE_RAW = 2 };
enum { EDIT_WRITE = 0, EDIT_CUT = 1, EDIT_ZERO = 2, EDIT_COPY = 3 };

#define FILES      2
#define FILE_BYTES 8192u

struct image {
    uint8_t bytes[FILES][FILE_BYTES];
    size_t n[FILES];
};

static const uint64_t first_lsns[FILES] = {1, 4};

static void put_record(uint8_t *file, uint32_t seed, uint64_t *off, uint64_t lsn, size_t body)
{
    uint8_t *p = file + *off;
    for (size_t i = 0; i < body; i++) {
        p[QV__LOGREC_HEAD_BYTES + i] = (uint8_t)(lsn * 31 + i);
    }
    struct qv__bytes part = {p + QV__LOGREC_HEAD_BYTES, body};
    struct qv__logrec_head h = {.type = 1 + (uint32_t)lsn % 3,
                                .body_bytes = (uint32_t)body,
                                .epoch = lsn > 4,
                                .lsn = lsn,
                                .synced_lsn = lsn - 1,
                                .body_crc = qv__logrec_body_crc(&part, 1, body)};
    qv__logrec_head_write(&h, seed, *off, p);
    *off += qv__logrec_bytes(body);
}

static void make_image(struct image *im)
{
    memset(im, 0, sizeof *im);
    for (int f = 0; f < FILES; f++) {
        struct qv__logfile_head h = {.first_lsn = first_lsns[f], .file_bytes = FILE_BYTES};
        memcpy(h.uuid, "sixteen bytes id", 16);
        qv__logfile_head_write(&h, im->bytes[f]);
        uint64_t off = QV__LOGFILE_HEAD_BYTES;
        for (uint64_t lsn = h.first_lsn; lsn < h.first_lsn + 3; lsn++) {
            put_record(im->bytes[f], qv__logrec_seed(&h), &off, lsn, 40 + lsn * 3);
        }
        im->n[f] = FILE_BYTES;
    }
}

static void edit(struct image *im, struct qv__reader *r)
{
    while (qv__reader_left(r) >= 4) {
        uint8_t what = qv__read_u8(r);
        int f = what >> 2 & 1;
        size_t off = qv__read_u16(r) % FILE_BYTES, n = qv__read_u8(r);
        n = QV_MIN(n, FILE_BYTES - off);
        if ((what & 3) == EDIT_WRITE) {
            n = QV_MIN(n, qv__reader_left(r));
            const uint8_t *p = qv__read_bytes(r, n);
            memcpy(im->bytes[f] + off, p, n);
        } else if ((what & 3) == EDIT_CUT) {
            im->n[f] = off;
        } else if ((what & 3) == EDIT_ZERO) {
            memset(im->bytes[f] + off, 0, n);
        } else {
            size_t from = QV__LOGFILE_HEAD_BYTES + n * 8 % 2048;
            memmove(im->bytes[f] + off, im->bytes[f] + from, n);
        }
    }
}

/* Make every checksum right that a reader could come to. */
static void repair(uint8_t *p, size_t n)
{
    struct qv__logfile_head h = {0};
    if (n < QV__LOGFILE_HEAD_BYTES) {
        return;
    }
    memcpy(h.uuid, p + 32, 16);
    h.epoch = qv__load_u64(p + 48);
    h.first_lsn = qv__load_u64(p + 56);
    h.file_bytes = n;
    qv__logfile_head_write(&h, p);
    uint32_t seed = qv__logrec_seed(&h);
    for (uint64_t off = QV__LOGFILE_HEAD_BYTES; off + QV__LOGREC_HEAD_BYTES <= n;) {
        struct qv__logrec_head rec = {
            .type = qv__load_u32(p + off + 8),
            .body_bytes = qv__load_u32(p + off + 12),
            .epoch = qv__load_u64(p + off + 16),
            .lsn = qv__load_u64(p + off + 24),
            .synced_lsn = qv__load_u64(p + off + 32),
        };
        uint64_t bytes = qv__logrec_bytes(rec.body_bytes);
        bool fits = bytes <= n - off;
        if (memcmp(p + off, "QREC", 4) != 0) {
            off += QV__LOGREC_ALIGN;
            continue;
        }
        if (fits) {
            struct qv__bytes part = {p + off + QV__LOGREC_HEAD_BYTES,
                                     (size_t)bytes - QV__LOGREC_HEAD_BYTES};
            rec.body_crc = qv__logrec_body_crc(&part, 1, part.n);
        }
        qv__logrec_head_write(&rec, seed, off, p + off);
        off += fits ? bytes : QV__LOGREC_ALIGN;
    }
}

static void store(struct qv__io *io, uint64_t first_lsn, const uint8_t *p, size_t n)
{
    char path[QV__LOG_PATH_BYTES];
    struct qv__file *f;
    qv__log_path("", first_lsn, path);
    CHECK(qv__io_open(io, path, QV__OPEN_CREATE | QV__OPEN_TRUNC, &f, NULL) == QV_OK);
    CHECK(qv__io_pwrite(f, p, n, 0, NULL) == QV_OK);
    CHECK(qv__io_file_close(f, NULL) == QV_OK);
}

struct replay {
    uint64_t next;
    uint64_t n;
    uint32_t sum;
};

static qv_status replay_one(void *arg, const struct qv__log_record *rec, struct qv_err *err)
{
    struct replay *r = (struct replay *)arg;
    (void)err;
    CHECK(r->next == 0 || rec->lsn == r->next);
    CHECK(rec->type != 0);
    for (size_t i = 0; i < rec->body.n; i++) {
        r->sum += rec->body.p[i];
    }
    r->next = rec->lsn + 1;
    r->n++;
    return QV_OK;
}

/* Open and replay everything; NULL when it was refused. */
static struct qv__log *open_log(struct qv__io *io, struct qv__mem *mem, struct replay *r)
{
    static const struct qv__log_local_options options = {.first_file_bytes = 8192,
                                                         .file_bytes_max = 16384};
    struct qv__log *log = NULL;
    struct qv_err err;
    *r = (struct replay){0};
    qv_status st = qv__log_local_open(io, "", mem, &options, &log, &err);
    if (st == QV_OK) {
        st = qv__log_replay(log, 0, replay_one, r, &err);
    }
    CHECK(st == QV_OK || st == QV_ECORRUPT || st == QV_EVERSION);
    if (st != QV_OK) {
        CHECK(memchr(err.message, 0, sizeof err.message));
        CHECK(qv__log_close(log, NULL) == QV_OK);
        return NULL;
    }
    CHECK(r->n == 0 || r->next == qv__log_tail(log) + 1);
    return log;
}

static void count_report(void *arg, const struct qv__log_file_report *r)
{
    ++*(unsigned *)arg;
    CHECK(memchr(r->message, 0, sizeof r->message) && memchr(r->name, 0, sizeof r->name));
    CHECK(r->valid_bytes <= r->file_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", 0);
    struct qv__io *io;
    struct qv__reader r = qv__reader_of(data, size);
    struct replay first, second;
    static struct image im;
    unsigned reports = 0;
    CHECK(mem && qv__io_sim_open(mem, &io, NULL) == QV_OK);
    uint8_t mode = qv__read_u8(&r);
    if (mode & MODE_RAW) {
        store(io, 1, r.p, qv__reader_left(&r));
    } else {
        make_image(&im);
        edit(&im, &r);
        for (int f = 0; f < FILES; f++) {
            if (mode & MODE_REPAIR) {
                repair(im.bytes[f], im.n[f]);
            }
            store(io, first_lsns[f], im.bytes[f], im.n[f]);
        }
    }
    CHECK(qv__log_local_check(io, "", mem, count_report, NULL, &reports, NULL) == QV_OK);
    CHECK(reports == (mode & MODE_RAW ? 1 : FILES));

    struct qv__log *log = open_log(io, mem, &first);
    if (log) {
        uint64_t lsn = 0, durable = 0;
        struct qv__bytes part = {data, size};
        CHECK(qv__log_append(log, 1, &part, 1, &lsn, NULL) == QV_OK);
        CHECK(qv__log_flush(log, &durable, NULL) == QV_OK && durable == lsn);
        CHECK(first.n == 0 || lsn == first.next);
        CHECK(qv__log_close(log, NULL) == QV_OK);
        log = open_log(io, mem, &second);
        CHECK(log && second.n == first.n + 1 && second.next == lsn + 1);
        CHECK(qv__log_close(log, NULL) == QV_OK);
    }
    qv__io_close(io);
    qv__mem_close(mem);
    return 0;
}

/* test_log_bound.c: the log stays bounded whatever checkpoints meet: an idle collection that holds
 * the flushed LSN back, a disk on which they fail, a merge that takes long.
 *
 * The table of calls of the simulated disk is replaced by one that looks at names: files of
 * segments can be refused while the log's are not, and the test can act at the moment one is made.
 */
#include "engine_fixture.h"

#define DIM        16384u /* a point is 64 KiB: few writes fill a log */
#define MIB        (UINT64_C(1) << 20)
#define LOG_BYTES  (4 * MIB)
#define LOG_MAX    (12 * MIB)
#define FILE_BYTES MIB

/* In front of the simulated disk. Files are its own, so only calls by name pass through here. */
static struct disk {
    struct qv__io base;
    struct qv__io *real;
    bool refuse; /* new files outside the log */
    void (*at_create)(void *arg);
    void *arg;
} disk;

static struct time {
    uint64_t mono_ns;
} now;

static uint64_t mono_of(void *ctx)
{
    return ((struct time *)ctx)->mono_ns;
}
static uint64_t wall_of(void *ctx)
{
    (void)ctx;
    return 0;
}
static const struct qv__clock test_clock = {mono_of, wall_of, &now};

static qv_status disk_open(struct qv__io *io, const char *name, int flags, struct qv__file **out,
                           struct qv_err *err)
{
    (void)io;
    bool makes = (flags & QV__OPEN_CREATE) && strncmp(name, "tmp/", 4) == 0;
    if (makes && disk.refuse) {
        return qv__fail(err, QV_EIO, "open %s: refused by the test", name);
    }
    if (makes && disk.at_create) {
        void (*act)(void *) = disk.at_create;
        disk.at_create = NULL; /* once */
        act(disk.arg);
    }
    return disk.real->ops->open(disk.real, name, flags, out, err);
}

static void disk_unmap(struct qv__io *io, struct qv__map_view *v)
{
    (void)io;
    disk.real->ops->unmap(disk.real, v);
}
static void disk_advise(struct qv__io *io, const struct qv__map_view *v, size_t off, size_t n,
                        enum qv__advice a)
{
    (void)io;
    disk.real->ops->advise(disk.real, v, off, n, a);
}
static qv_status disk_list(struct qv__io *io, const char *dir,
                           void (*cb)(void *, const char *name, bool is_dir), void *arg,
                           struct qv_err *err)
{
    (void)io;
    return disk.real->ops->list(disk.real, dir, cb, arg, err);
}
static qv_status disk_space(struct qv__io *io, uint64_t *bytes, uint64_t *total, struct qv_err *err)
{
    (void)io;
    return disk.real->ops->free_space(disk.real, bytes, total, err);
}

#define ONE_NAME(call)                                                                             \
    static qv_status disk_##call(struct qv__io *io, const char *name, struct qv_err *err)          \
    {                                                                                              \
        (void)io;                                                                                  \
        return disk.real->ops->call(disk.real, name, err);                                         \
    }
#define TWO_NAMES(call)                                                                            \
    static qv_status disk_##call(struct qv__io *io, const char *a, const char *b,                  \
                                 struct qv_err *err)                                               \
    {                                                                                              \
        (void)io;                                                                                  \
        return disk.real->ops->call(disk.real, a, b, err);                                         \
    }
ONE_NAME(unlink)
ONE_NAME(mkdir)
ONE_NAME(rmdir)
ONE_NAME(sync_dir)
TWO_NAMES(rename)
TWO_NAMES(link)

static const struct qv__io_ops disk_ops = {.open = disk_open,
                                           .unmap = disk_unmap,
                                           .advise = disk_advise,
                                           .rename = disk_rename,
                                           .link = disk_link,
                                           .unlink = disk_unlink,
                                           .mkdir = disk_mkdir,
                                           .rmdir = disk_rmdir,
                                           .list = disk_list,
                                           .sync_dir = disk_sync_dir,
                                           .free_space = disk_space};

static void power_off(struct fix *f)
{
    fix_crash(f, QV__CRASH_DROP_ALL, NULL); /* goes on with the bare disk */
}

static void open_small(struct fix *f)
{
    memset(&disk, 0, sizeof disk);
    now.mono_ns = 1000;
    fix_open(f, -1);
    OK(qv__db_close(f->db, &f->err));
    disk.base = (struct qv__io){.ops = &disk_ops, .mem = f->io->mem};
    disk.real = f->io;
    f->options.io = &disk.base;
    f->options.clock = &test_clock;
    f->options.log_file_bytes = FILE_BYTES;
    f->options.checkpoint_log_bytes = LOG_BYTES;
    f->options.log_bytes_max = LOG_MAX;
    OK(qv__db_open(&f->options, &f->db, &f->err));
}

static struct qv__collection *make(struct fix *f, const char *name, uint32_t dim)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = dim};
    struct qv__schema s = fix_schema(&def, 1, 1);
    s.policy = (struct qv__segment_policy){.seal_rows = 100000, .index_rows = 100000};
    OK(qv__db_create_collection(f->db, qv__str_z(name), &s, &f->err));
    return fix_collection(f, name);
}

static qv_status put(struct fix *f, struct qv__collection *c, uint64_t id, uint32_t dim)
{
    static float v[DIM];
    v[0] = (float)id;
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = dim};
    struct qv__point p = {.id = qv__id_u64(id), .vectors = &nv, .n_vectors = 1};
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1};
    struct qv__write_result r;
    return qv__collection_write_sync(c, &m, 1, &r, &f->err);
}

static void drop(struct fix *f, struct qv__collection *c, uint64_t id)
{
    struct qv__id x = qv__id_u64(id);
    struct qv__mutation m = {.kind = QV__MUT_DELETE, .ids = &x, .n_ids = 1};
    fix_write(f, c, &m, 1);
}

static void drain(struct fix *f)
{
    while (qv__db_step(f->db)) {
    }
}

static uint64_t log_bytes(struct fix *f)
{
    struct qv__db_info info;
    qv__db_info(f->db, &info);
    return info.log_file_bytes;
}

static uint64_t count(struct fix *f, struct qv__collection *c)
{
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    OK(qv__collection_count(c, NULL, &ctx, &n, &f->err));
    return n;
}

static void idle_collection_does_not_hold_the_log(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    open_small(f);
    struct qv__collection *idle = make(f, "idle", 4), *busy = make(f, "busy", DIM);
    OK(put(f, idle, 1, 4));
    for (uint64_t i = 0; i < 400; i++) { /* 25 MiB over the same few points */
        OK(put(f, busy, i % 8, DIM));
        drain(f);
        assert_true(log_bytes(f) <= LOG_BYTES + FILE_BYTES);
    }
    qv__collection_release(idle);
    qv__collection_release(busy);
    power_off(f);
    idle = fix_collection(f, "idle");
    busy = fix_collection(f, "busy");
    assert_int_equal(count(f, idle), 1);
    assert_int_equal(count(f, busy), 8);
    qv__collection_release(idle);
    qv__collection_release(busy);
    fix_close(f);
}

/* A shard that cannot be flushed does not keep the others from it. */
static void failing_checkpoints_stop_writes_in_time(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    uint64_t n = 0;
    open_small(f);
    struct qv__collection *c = make(f, "c", DIM);
    disk.refuse = true;
    qv_status st = QV_OK;
    for (; st == QV_OK && n < 1000; n += st == QV_OK) {
        st = put(f, c, n, DIM);
        drain(f);
        now.mono_ns += 300u * 1000u * 1000u;
        assert_true(log_bytes(f) <= LOG_MAX + FILE_BYTES);
    }
    assert_int_equal(st, QV_EBUSY);
    assert_non_null(strstr(f->err.message, "the last checkpoint failed"));
    assert_non_null(strstr(f->err.message, "refused by the test"));
    assert_true(n > LOG_BYTES / (DIM * 4));
    struct qv__db_info info;
    qv__db_info(f->db, &info);
    assert_true(info.checkpoint_failures > 1 && info.checkpoint_failures < n);
    assert_int_equal(qv__db_ready(f->db, &f->err), QV_EBUSY);
    assert_int_equal(count(f, c), n); /* reads go on */
    /* The disk is well again: the next attempt goes through, and so do writes, without a restart.
     */
    disk.refuse = false;
    now.mono_ns += 2000u * 1000u * 1000u;
    assert_int_equal(put(f, c, n, DIM), QV_EBUSY);
    drain(f);
    OK(put(f, c, n, DIM));
    OK(qv__db_ready(f->db, &f->err));
    assert_true(log_bytes(f) <= 2 * FILE_BYTES);
    qv__collection_release(c);
    power_off(f);
    c = fix_collection(f, "c");
    assert_int_equal(count(f, c), n + 1);
    qv__collection_release(c);
    fix_close(f);
}

/* --- a merge beside a flush --- */

struct beside {
    struct fix *f;
    struct qv__collection *c;
    bool did;
};

/* While the merge writes its file: deletions, then a flush that makes replay forget them, then more
 * deletions. */
static void delete_and_flush(void *arg)
{
    struct beside *b = arg;
    struct fix *f = b->f;
    struct qv__shard *s = &b->c->shards[0];
    for (uint64_t id = 0; id < 5; id++) {
        drop(f, b->c, id);
    }
    qv__mutex_lock(&s->maintenance);
    OK(qv__maintain_flush(s, true, NULL, &f->err));
    qv__mutex_unlock(&s->maintenance);
    for (uint64_t id = 5; id < 8; id++) {
        drop(f, b->c, id);
    }
    b->did = true;
}

static void merge_does_not_hold_up_a_flush(void **state)
{
    (void)state;
    for (int drained = 0; drained < 2; drained++) {
        struct fix fx, *f = &fx;
        open_small(f);
        struct qv__collection *c = make(f, "c", 4);
        for (uint64_t id = 0; id < 40; id++) {
            OK(put(f, c, id, 4));
            if (id % 20 == 19) {
                OK(qv__db_checkpoint(f->db, &f->err));
            }
        }
        drop(f, c, 39);
        if (drained) {
            OK(qv__db_checkpoint(f->db, &f->err));
            drop(f, c, 38); /* looks at the shard: forgets what is flushed */
        }
        struct beside b = {f, c, false};
        disk.arg = &b;
        disk.at_create = delete_and_flush;
        qv__mutex_lock(&c->shards[0].merging);
        OK(qv__maintain_merge_to(&c->shards[0], 1, &f->err));
        qv__mutex_unlock(&c->shards[0].merging);
        assert_true(b.did);
        uint64_t left = drained ? 30 : 31;
        assert_int_equal(count(f, c), left);
        qv__collection_release(c);
        power_off(f);
        c = fix_collection(f, "c");
        assert_int_equal(count(f, c), left);
        qv__collection_release(c);
        fix_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_collection_does_not_hold_the_log),
        cmocka_unit_test(failing_checkpoints_stop_writes_in_time),
        cmocka_unit_test(merge_does_not_hold_up_a_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

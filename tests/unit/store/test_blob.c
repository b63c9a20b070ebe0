/* test_blob.c: local blobs: put if absent, map, head, list, remove, durability, failures. */
#include "blob_test.h"

static void stage(struct env *e, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "tmp/%s", name);
    write_whole(e->io, path, text, strlen(text));
}

static void check_text(struct qv__blobs *b, const char *name, const char *text)
{
    struct qv__map_view v = {0};
    uint64_t size;
    assert_ok(b->ops->map(b, name, &v, ERR));
    assert_int_equal(v.n, strlen(text));
    assert_memory_equal(v.p, text, v.n);
    b->ops->unmap(b, &v);
    assert_ok(b->ops->head(b, name, &size, ERR));
    assert_int_equal(size, strlen(text));
}

struct names {
    size_t n;
    char all[256];
};
static void add_name(void *arg, const char *name)
{
    struct names *l = arg;
    l->n++;
    strncat(l->all, name, sizeof l->all - strlen(l->all) - 1);
    strncat(l->all, ";", sizeof l->all - strlen(l->all) - 1);
}

static void life_of_blobs(void **state)
{
    (void)state;
    struct env e;
    struct qv__map_view v = {0};
    uint64_t size;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    assert_string_equal(b->staging_dir, "tmp");
    stage(&e, "a", "first");
    assert_ok(b->ops->adopt(b, "tmp/a", "one", ERR));
    assert_int_equal(dir_look(e.io, "tmp").n, 0);
    stage(&e, "a", "second");
    assert_status(b->ops->adopt(b, "tmp/a", "one", ERR), QV_EEXISTS); /* never replaced */
    check_text(b, "one", "first");
    assert_ok(b->ops->adopt(b, "tmp/a", "two", ERR));
    assert_ok(qv__io_mkdir(e.io, "blobs/dir", ERR));  /* not a blob */
    b = crash_blobs(&e, b, QV__CRASH_DROP_ALL, NULL); /* durable on return */
    assert_ok(qv__io_mkdir(e.io, "blobs/dir", ERR)); /* not a blob */
    check_text(b, "one", "first");
    check_text(b, "two", "second");
    struct names l = {0};
    assert_ok(b->ops->list(b, add_name, &l, ERR));
    assert_string_equal(l.all, "one;two;");
    assert_ok(b->ops->remove(b, "one", ERR));
    assert_ok(b->ops->remove(b, "one", ERR));
    assert_status(b->ops->head(b, "one", &size, ERR), QV_ENOTFOUND);
    assert_status(b->ops->map(b, "one", &v, ERR), QV_ENOTFOUND);
    assert_status(b->ops->adopt(b, "tmp/none", "three", ERR), QV_ENOTFOUND);
    static const char *const bad[] = {"", "a/b", "/a", ".."};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        assert_status(b->ops->head(b, bad[i], &size, ERR), QV_EINVAL);
        assert_status(b->ops->adopt(b, "tmp/a", bad[i], ERR), QV_EINVAL);
    }
    char longest[300];
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_status(b->ops->head(b, longest, &size, ERR), QV_EINVAL);
    assert_status(b->ops->remove(b, "dir", ERR), QV_EIO);
    b->ops->close(b);
    env_close(&e);
}

/* A view outlives the removal of its blob. */
static void views_stay(void **state)
{
    (void)state;
    struct env e;
    struct qv__map_view v = {0};
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    stage(&e, "a", "text");
    assert_ok(b->ops->adopt(b, "tmp/a", "one", ERR));
    assert_ok(b->ops->map(b, "one", &v, ERR));
    assert_ok(b->ops->remove(b, "one", ERR));
    assert_memory_equal(v.p, "text", 4);
    b->ops->unmap(b, &v);
    b->ops->close(b);
    env_close(&e);
}

/* A file system that cannot link: a look and a rename, and still never over another blob. */
static void without_links(void **state)
{
    (void)state;
    struct env e;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    const struct qv__sim_fault no_link = {.call = QV__SIM_META, .at = 1};
    stage(&e, "a", "first");
    qv__io_sim_fault(e.io, no_link);
    assert_ok(b->ops->adopt(b, "tmp/a", "one", ERR));
    stage(&e, "a", "second");
    qv__io_sim_fault(e.io, no_link);
    assert_status(b->ops->adopt(b, "tmp/a", "one", ERR), QV_EEXISTS);
    b = crash_blobs(&e, b, QV__CRASH_DROP_ALL, NULL);
    check_text(b, "one", "first");
    b->ops->close(b);
    env_close(&e);
}

/* A second name outside the directory: a link, or a copy that lives on its own. */
static void lent(void **state)
{
    (void)state;
    for (unsigned copied = 0; copied < 2; copied++) {
        struct env e;
        void *p = NULL;
        size_t n = 0;
        env_open(&e);
        make_dirs(&e);
        struct qv__blobs *b = open_blobs(&e);
        stage(&e, "a", "first");
        assert_ok(b->ops->adopt(b, "tmp/a", "one", ERR));
        if (copied) {
            qv__io_sim_fault(e.io, (struct qv__sim_fault){.call = QV__SIM_META, .at = 1});
        }
        assert_ok(b->ops->lend(b, "one", "lent", ERR));
        no_fault(e.io);
        assert_status(b->ops->lend(b, "one", "lent", ERR), QV_EEXISTS);
        assert_status(b->ops->lend(b, "two", "other", ERR), QV_ENOTFOUND);
        assert_ok(b->ops->remove(b, "one", ERR));
        assert_ok(qv__io_sync_dir(e.io, "", ERR));
        b = crash_blobs(&e, b, QV__CRASH_DROP_ALL, NULL);
        assert_ok(qv__io_read_file(e.io, "lent", 100, e.mem, &p, &n, ERR));
        assert_int_equal(n, 5);
        assert_memory_equal(p, "first", n);
        qv__free(p);
        b->ops->close(b);
        env_close(&e);
    }
}

/* Each call of an adoption fails: afterwards the blob is there whole, or not at all, and an OK is
 * durable. */
static void every_io_failure(void **state)
{
    (void)state;
    for (unsigned sticky = 0; sticky < 2; sticky++) {
        bool done = false;
        for (uint64_t at = 1; !done; at++) {
            struct env e;
            struct qv__rng rng;
            uint64_t size;
            env_open(&e);
            make_dirs(&e);
            struct qv__blobs *b = open_blobs(&e);
            stage(&e, "a", "text");
            uint64_t before = qv__io_sim_calls(e.io, QV__SIM_ANY);
            qv__io_sim_fault(e.io, (struct qv__sim_fault){.at = at, .sticky = sticky});
            qv_status st = b->ops->adopt(b, "tmp/a", "one", ERR);
            done = qv__io_sim_calls(e.io, QV__SIM_ANY) - before < at;
            no_fault(e.io);
            if (st != QV_OK && !sticky) {
                assert_status(b->ops->head(b, "one", &size, ERR), QV_ENOTFOUND);
            }
            qv__rng_seed(&rng, at);
            b = crash_blobs(&e, b, at % 2 ? QV__CRASH_DROP_ALL : QV__CRASH_RANDOM, &rng);
            if (st == QV_OK || b->ops->head(b, "one", &size, ERR) == QV_OK) {
                check_text(b, "one", "text");
            }
            b->ops->close(b);
            env_close(&e);
        }
    }
}

static void open_without_memory(void **state)
{
    (void)state;
    struct env e;
    struct qv__blobs *b = NULL;
    env_open(&e);
    uint64_t at = 0;
    qv_status st;
    do {
        assert_null(b);
        qv__mem_fail_at(e.mem, ++at, true);
        st = qv__blobs_local_open(e.io, "blobs", "tmp", e.mem, &b, ERR);
        qv__mem_fail_at(e.mem, 0, false);
        assert_true(st == QV_OK || st == QV_ENOMEM);
    } while (st != QV_OK);
    assert_true(at > 1);
    b->ops->close(b);
    env_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(life_of_blobs),       cmocka_unit_test(views_stay),
        cmocka_unit_test(without_links),       cmocka_unit_test(lent),
        cmocka_unit_test(every_io_failure),    cmocka_unit_test(open_without_memory),
    };
    return cmocka_run_group_tests_name("blobs", tests, NULL, NULL);
}

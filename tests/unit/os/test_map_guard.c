/* test_map_guard.c: faults in mapped files, ours and those of others. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io_test.h"
#include "os/map_guard.h"

static char dir[256];
static sigjmp_buf escape;
static volatile sig_atomic_t seen;

static void embedders(int signo)
{
    (void)signo;
    seen++;
    siglongjmp(escape, 1);
}

static void quiet(int signo)
{
    (void)signo;
    seen++;
}

static void set_handler(void (*handler)(int), struct sigaction *before)
{
    struct sigaction a = {.sa_handler = handler};
    sigemptyset(&a.sa_mask);
    assert_int_equal(sigaction(SIGBUS, &a, before), 0);
}

static void (*now(void))(int)
{
    struct sigaction a;
    assert_int_equal(sigaction(SIGBUS, NULL, &a), 0);
    return a.sa_handler;
}

/* A file of n bytes of 7, mapped through the posix backend. */
static struct qv__io *make(struct qv__mem *mem, size_t n, struct qv__map_view *v)
{
    struct qv__io *io = NULL;
    struct qv__file *f = NULL;
    struct qv_err err = {.code = QV_OK};
    uint8_t *bytes = malloc(n);
    memset(bytes, 7, n);
    assert_int_equal(qv__io_posix_open(mem, dir, false, &io, &err), QV_OK);
    assert_int_equal(qv__io_open(io, "f", QV__OPEN_CREATE | QV__OPEN_TRUNC, &f, &err), QV_OK);
    assert_int_equal(qv__io_pwrite(f, bytes, n, 0, &err), QV_OK);
    assert_int_equal(qv__io_map(f, 0, n, v, &err), QV_OK);
    qv__io_file_close(f, NULL);
    free(bytes);
    return io;
}

static void cut(off_t n)
{
    char path[300];
    snprintf(path, sizeof path, "%s/f", dir);
    assert_int_equal(truncate(path, n), 0);
}

static void a_cut_file_is_a_flag(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__map_view v;
    struct qv__io *io = make(mem, 100000, &v);
    const volatile uint8_t *p = v.p;
    assert_int_equal(p[99999], 7);
    assert_false(qv__map_failed(&v));
    cut(5000);
    assert_int_equal(p[4999], 7); /* still there, and nobody has met the hole */
    assert_int_equal(p[50000], 0);
    assert_true(qv__map_failed(&v));
    assert_int_equal(p[0], 0); /* all of it is zeros now: no second fault */
    assert_int_equal(p[99999], 0);
    qv__io_unmap(io, &v);
    assert_false(qv__map_failed(&v));
    qv__io_close(io);
    qv__mem_close(mem);
}

/* The handler comes with the first mapping and goes with the last; what is not ours reaches the
 * one that was there before. */
static void others_get_theirs(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct sigaction before;
    struct qv__map_view v, w;
    set_handler(embedders, &before);
    struct qv__io *io = make(mem, 100000, &v);
    struct qv__io *io2 = make(mem, 100000, &w);
    assert_true(now() != embedders);
    char path[300];
    snprintf(path, sizeof path, "%s/f", dir);
    int fd = open(path, O_RDONLY);
    volatile uint8_t *theirs = mmap(NULL, 100000, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(theirs != MAP_FAILED);
    close(fd);
    cut(0);
    seen = 0;
    if (sigsetjmp(escape, 1) == 0) {
        (void)theirs[50000];
        fail_msg("a fault passed unnoticed");
    }
    assert_int_equal(seen, 1);
    if (sigsetjmp(escape, 1) == 0) {
        raise(SIGBUS);
        fail_msg("a signal was lost");
    }
    assert_int_equal(seen, 2);
    assert_int_equal(*(const volatile uint8_t *)(v.p + 60000), 0);
    assert_true(qv__map_failed(&v));
    assert_false(qv__map_failed(&w));
    assert_int_equal(seen, 2);
    qv__io_unmap(io, &v);
    assert_true(now() != embedders);
    qv__io_unmap(io2, &w);
    assert_true(now() == embedders);
    munmap((void *)(uintptr_t)theirs, 100000);
    sigaction(SIGBUS, &before, NULL);
    qv__io_close(io);
    qv__io_close(io2);
    qv__mem_close(mem);
}

static struct sigaction under;

static void chained(int signo, siginfo_t *info, void *context)
{
    seen++;
    under.sa_sigaction(signo, info, context);
}

/* A handler set above ours that calls it: ours still works, and is not pulled from under it. */
static void a_later_handler_stays(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct sigaction before;
    struct qv__map_view v;
    set_handler(quiet, &before);
    struct qv__io *io = make(mem, 100000, &v);
    struct sigaction above = {.sa_sigaction = chained, .sa_flags = SA_SIGINFO};
    sigemptyset(&above.sa_mask);
    assert_int_equal(sigaction(SIGBUS, &above, &under), 0);
    seen = 0;
    cut(0);
    assert_int_equal(*(const volatile uint8_t *)(v.p + 60000), 0);
    assert_true(qv__map_failed(&v));
    assert_int_equal(seen, 1);
    qv__io_unmap(io, &v);
    raise(SIGBUS); /* above, ours, quiet */
    assert_int_equal(seen, 3);
    qv__io_close(io);
    io = make(mem, 100000, &v); /* and it is used again, not set twice */
    cut(0);
    assert_int_equal(*(const volatile uint8_t *)(v.p + 60000), 0);
    assert_true(qv__map_failed(&v));
    assert_int_equal(seen, 4);
    qv__io_unmap(io, &v);
    qv__io_close(io);
    assert_int_equal(sigaction(SIGBUS, &under, NULL), 0); /* ours on top again: it may go */
    io = make(mem, 100000, &v);
    qv__io_unmap(io, &v);
    assert_true(now() == quiet);
    sigaction(SIGBUS, &before, NULL);
    qv__io_close(io);
    qv__mem_close(mem);
}

/* Without a handler before ours, a foreign fault ends the process as it would without us. */
static void the_default_is_the_end(void **state)
{
    (void)state;
    for (int sent = 0; sent < 2; sent++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct sigaction plain = {.sa_handler = SIG_DFL};
            sigaction(SIGBUS, &plain, NULL);
            struct qv__mem *mem = qv__mem_root("test", 0);
            struct qv__map_view v;
            make(mem, 100000, &v);
            char path[300];
            snprintf(path, sizeof path, "%s/f", dir);
            int fd = open(path, O_RDONLY);
            volatile uint8_t *theirs = mmap(NULL, 100000, PROT_READ, MAP_SHARED, fd, 0);
            cut(0);
            if (sent) {
                raise(SIGBUS);
            } else {
                (void)theirs[50000];
            }
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_file_is_a_flag),
        cmocka_unit_test(others_get_theirs),
        cmocka_unit_test(a_later_handler_stays),
        cmocka_unit_test(the_default_is_the_end),
    };
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/quiver-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        return 1;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    char path[300];
    snprintf(path, sizeof path, "%s/f", dir);
    unlink(path);
    rmdir(dir);
    return rc;
}

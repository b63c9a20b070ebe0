/* base_test.h: what the tests of this folder share. */
#ifndef QV_TEST_BASE_TEST_H
#define QV_TEST_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"

/* Wait status of a child process that runs fn(arg) and then exits with 0. */
static QV_UNUSED int status_of(void (*fn)(void *), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fn(arg);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* True if fn(arg), run in a child process, ends in abort(). */
static QV_UNUSED bool aborts(void (*fn)(void *), void *arg)
{
    int status = status_of(fn, arg);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* True if it does not come to its end, by a signal or, as sanitizers do, by an exit code. */
static QV_UNUSED bool aborts_or_exits(void (*fn)(void *), void *arg)
{
    return status_of(fn, arg) != 0;
}

#endif

/* interrupt.c: a thread that waits for signals, see interrupt.h.
 *
 * The thread is ended by a signal sent to it alone, after a flag that tells it whose it is. */
#include "cli/interrupt.h"

#include <stdio.h>

void qv__interrupt_block(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

void qv__interrupt_release(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void qv__interrupt_die(int signo)
{
    signal(signo, SIG_DFL);
    qv__interrupt_release();
    raise(signo);
}

static void watch(void *arg)
{
    struct qv__interrupt *in = arg;
    sigset_t set;
    qv__interrupt_block(&set);
    for (;;) {
        int signo = 0;
        if (sigwait(&set, &signo) != 0) {
            continue;
        }
        if (atomic_load(&in->ended)) {
            return;
        }
        if (atomic_load(&in->at_once) || atomic_exchange(&in->stop, true)) {
            if (in->cleanup) {
                in->cleanup(in->arg);
            }
            qv__interrupt_die(signo);
        }
        fprintf(stderr, "\nquiver: stopping; once more to leave at once\n");
    }
}

qv_status qv__interrupt_start(struct qv__interrupt *i, struct qv_err *err)
{
    sigset_t set;
    atomic_init(&i->stop, false);
    atomic_init(&i->ended, false);
    qv__interrupt_block(&set);
    qv_status st = qv__thread_start(&i->thread, "qv-signals", watch, i, err);
    if (st != QV_OK) {
        qv__interrupt_release();
    }
    i->started = st == QV_OK;
    return st;
}

void qv__interrupt_stop(struct qv__interrupt *i)
{
    if (!i->started) {
        return;
    }
    atomic_store(&i->ended, true);
    pthread_kill(i->thread.t, SIGTERM);
    qv__thread_join(&i->thread);
    qv__interrupt_release();
    i->started = false;
}

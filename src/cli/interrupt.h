/* interrupt.h: Ctrl-C during a long command.
 *
 * What it is: one thread that waits for SIGINT, SIGTERM and SIGHUP, so that no code runs inside a
 * signal handler. The first signal asks the command to stop; the second, or the first when the
 * command cannot stop half-way, runs a clean-up and ends the process by that signal.
 * What it is not: the server's stop, which the main thread of `serve` waits for by itself.
 *
 * Start it before any other thread, so that all of them inherit the blocked signals. */
#ifndef QV_CLI_INTERRUPT_H
#define QV_CLI_INTERRUPT_H

#include <signal.h>
#include <stdatomic.h>

#include "base/thread.h"

struct qv__interrupt {
    _Atomic bool stop;          /* the command looks at this */
    _Atomic bool at_once;       /* do not wait for the command; may be set on the way */
    void (*cleanup)(void *arg); /* on the watching thread, before leaving; may be NULL */
    void *arg;
    _Atomic bool ended; /* the command is over: the next signal is ours */
    struct qv__thread thread;
    bool started;
};

/* Block the signals in the calling thread, and so in those it starts. */
void qv__interrupt_block(sigset_t *set);
/* Give them their usual meaning back, in the calling thread: the next one ends the process. */
void qv__interrupt_release(void);
/* End the process by the signal, as if it had never been blocked. Only returns if it is ignored. */
void qv__interrupt_die(int signo);

/* Fill at_once, cleanup and arg before. Errors: QV_EBUSY, QV_ENOMEM: Ctrl-C then works as ever. */
qv_status qv__interrupt_start(struct qv__interrupt *i, struct qv_err *err) QV_MUST_USE;
/* Give the signals their usual meaning back. Safe on one that was never started. */
void qv__interrupt_stop(struct qv__interrupt *i);

static inline bool qv__interrupted(const struct qv__interrupt *i)
{
    return atomic_load_explicit(&i->stop, memory_order_relaxed);
}

#endif

/* map_guard.c: the handler and its list.
 *
 * The handler takes no lock. It walks a list that only holders of `lock` change, and counts itself
 * in while it walks; whoever takes a region out waits, after unlinking it, until nobody walks, and
 * only then unmaps. So a range that the handler covers with zeros is still mapped, and still ours.
 *
 * Covering is one mmap over the whole mapping: a reader that goes on faults no second time. The
 * flag is raised first; a reader that met a zero page has passed the kernel's own barriers since,
 * and looks at the flag after a fence (qv__map_failed), so it cannot miss it. */
#include "os/map_guard.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct qv__map_region *_Atomic head; /* changed under: lock */
static _Atomic unsigned walking;            /* handlers on the list */
static bool is_installed;                   /* guarded by: lock */
static struct sigaction previous; /* written under lock while the handler is not installed */

static struct qv__map_region *find(uintptr_t at)
{
    for (struct qv__map_region *r = atomic_load(&head); r; r = atomic_load(&r->next)) {
        if (at - (uintptr_t)r->base < r->n) {
            return r;
        }
    }
    return NULL;
}

/* True when the fault lay in one of our mappings and is dealt with. */
static bool cover(const void *address)
{
    atomic_fetch_add(&walking, 1);
    struct qv__map_region *r = find((uintptr_t)address);
    bool is_covered = false;
    if (r) {
        atomic_store(&r->failed, true);
        /* The call itself, not the library's function: that one a sanitizer may have replaced. */
        is_covered = syscall(SYS_mmap, r->base, r->n, PROT_READ,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != -1;
    }
    atomic_fetch_sub(&walking, 1);
    return is_covered;
}

/* As if this library were not there. */
static void pass_on(int signo, siginfo_t *info, void *context)
{
    bool was_sent = info->si_code <= 0;
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signo, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signo);
    } else if (previous.sa_handler == SIG_DFL || !was_sent) {
        /* A fault comes again when the instruction is repeated; what was sent must be sent again.
         * It is delivered when this handler returns. */
        struct sigaction plain = {.sa_handler = SIG_DFL};
        sigaction(signo, &plain, NULL);
        if (was_sent) {
            raise(signo);
        }
    }
}

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code <= 0 || !cover(info->si_addr)) {
        pass_on(signo, info, context);
    }
    errno = saved;
}

/* Under lock. */
static void install(void)
{
    struct sigaction ours = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    if (!is_installed && sigaction(SIGBUS, NULL, &previous) == 0) {
        is_installed = sigaction(SIGBUS, &ours, NULL) == 0;
    }
}

/* Under lock. When another handler was set above ours it may call it: then ours has to stay. */
static void uninstall(void)
{
    struct sigaction now;
    if (is_installed && sigaction(SIGBUS, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
        now.sa_sigaction == on_sigbus) {
        is_installed = sigaction(SIGBUS, &previous, NULL) != 0;
    }
}

static void enter(void)
{
    int rc = pthread_mutex_lock(&lock);
    QV_ASSERT(rc == 0);
}

static void leave(void)
{
    int rc = pthread_mutex_unlock(&lock);
    QV_ASSERT(rc == 0);
}

void qv__map_guard_add(struct qv__map_region *r, void *base, size_t n)
{
    r->base = base;
    r->n = n;
    atomic_init(&r->failed, false);
    enter();
    install();
    atomic_store(&r->next, atomic_load(&head));
    atomic_store(&head, r);
    leave();
}

void qv__map_guard_remove(struct qv__map_region *r)
{
    enter();
    struct qv__map_region *_Atomic *at = &head;
    while (atomic_load(at) != r) {
        at = &atomic_load(at)->next;
    }
    atomic_store(at, atomic_load(&r->next));
    while (atomic_load(&walking) != 0) { /* a handler lasts as long as one mmap */
        sched_yield();
    }
    if (!atomic_load(&head)) {
        uninstall();
    }
    leave();
}

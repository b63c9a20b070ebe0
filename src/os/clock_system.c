/* clock_system.c: the clock, the entropy and the process number of this machine.
 *
 * Monotonic time is CLOCK_MONOTONIC (never set back, does not count suspend, which suits timeouts);
 * wall time is CLOCK_REALTIME. Entropy is getrandom(2) without flags: it blocks only while the
 * kernel has none yet, early at boot, and never gives weak bytes. No state, no locks, no memory. */
#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "os/io.h"

static uint64_t system_mono_ns(void *ctx)
{
    (void)ctx;
    struct timespec t = {0};
    /* Cannot fail: the clock exists on every Linux and the address is ours. */
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t system_wall_ms(void *ctx)
{
    (void)ctx;
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (t.tv_sec < 0) {
        return 0; /* a machine set to before 1970 */
    }
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

const struct qv__clock *qv__clock_system(void)
{
    static const struct qv__clock clock = {system_mono_ns, system_wall_ms, NULL};
    return &clock;
}

uint64_t qv__os_process(void)
{
    return (uint64_t)getpid();
}

qv_status qv__os_entropy(void *buf, size_t n, struct qv_err *err)
{
    uint8_t *p = (uint8_t *)buf;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return qv__fail_os(err, QV_EIO, got < 0 ? errno : EIO, "entropy: getrandom");
        }
        p += got;
        n -= (size_t)got;
    }
    return QV_OK;
}

/* clock.h: time as an interface, so that tests can hold it, jump it and replay it.
 *
 * What it is: two readings. Monotonic time serves timeouts and durations; wall time is only shown
 * and stored, never used for ordering or durability. The real one is made in os/. */
#ifndef QV_BASE_CLOCK_H
#define QV_BASE_CLOCK_H

#include "base/base.h"

struct qv__clock {
    uint64_t (*mono_ns)(void *ctx);
    uint64_t (*wall_ms)(void *ctx); /* Unix time in milliseconds */
    void *ctx;
};

static inline uint64_t qv__mono_ns(const struct qv__clock *c)
{
    return c->mono_ns(c->ctx);
}
static inline uint64_t qv__wall_ms(const struct qv__clock *c)
{
    return c->wall_ms(c->ctx);
}

#endif

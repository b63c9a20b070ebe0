/* rate.h: how much may be done per minute: a bucket of tokens that fills steadily.
 *
 * What it is: a bucket that holds one minute's tokens, full at first, so that a burst passes and
 * the average holds. What it is not: a queue; who finds too few tokens is told how long to wait.
 * Threads: any; a lock of its own. */
#ifndef QV_BASE_RATE_H
#define QV_BASE_RATE_H

#include "base/thread.h"

struct qv__rate {
    struct qv__mutex lock;
    double per_minute; /* 0 = not in use, full at the next take; guarded by: lock, as all below */
    double tokens;
    uint64_t filled_ns; /* monotonic */
};

void qv__rate_init(struct qv__rate *r);
void qv__rate_destroy(struct qv__rate *r);
/* Full at the next take. */
void qv__rate_reset(struct qv__rate *r);
/* Take `tokens` of a bucket of `per_minute`; of another size than before it starts full. False:
 * nothing is taken, *left is what there is, and *wait_s the seconds until there will be enough;
 * INFINITY when the bucket can never hold so many. */
bool qv__rate_take(struct qv__rate *r, double per_minute, double tokens, uint64_t now_ns,
                   double *left, double *wait_s) QV_MUST_USE;

#endif

#include "base/rate.h"

#include <math.h>

void qv__rate_init(struct qv__rate *r)
{
    memset(r, 0, sizeof *r);
    qv__mutex_init(&r->lock, QV__RANK_LEAF);
}

void qv__rate_destroy(struct qv__rate *r)
{
    qv__mutex_destroy(&r->lock);
}

void qv__rate_reset(struct qv__rate *r)
{
    qv__mutex_lock(&r->lock);
    r->per_minute = 0;
    qv__mutex_unlock(&r->lock);
}

bool qv__rate_take(struct qv__rate *r, double per_minute, double tokens, uint64_t now_ns,
                   double *left, double *wait_s)
{
    qv__mutex_lock(&r->lock);
    if (r->per_minute != per_minute) {
        r->per_minute = per_minute;
        r->tokens = per_minute;
        r->filled_ns = now_ns;
    }
    if (now_ns > r->filled_ns) {
        double minutes = (double)(now_ns - r->filled_ns) / 60e9;
        r->tokens = QV_MIN(r->tokens + minutes * per_minute, per_minute);
        r->filled_ns = now_ns;
    }
    bool enough = tokens <= r->tokens;
    r->tokens -= enough ? tokens : 0;
    *left = r->tokens;
    *wait_s = tokens > per_minute ? INFINITY : enough ? 0 : (tokens - r->tokens) / per_minute * 60;
    qv__mutex_unlock(&r->lock);
    return enough;
}

/* logger.h: structured log lines through a callback.
 *
 * What it is: one line = level, component, message, built on the stack and handed to a sink. The
 * library prints nothing by itself: with no sink, lines are dropped.
 * Threads: any; the sink must be thread-safe. */
#ifndef QV_BASE_LOGGER_H
#define QV_BASE_LOGGER_H

#include "base/base.h"

enum qv__level { QV__LEVEL_DEBUG = 0, QV__LEVEL_INFO, QV__LEVEL_WARN, QV__LEVEL_ERROR };

struct qv__logger {
    void (*sink)(void *ctx, enum qv__level level, const char *component, const char *message);
    void *ctx;
    enum qv__level min_level;
};

/* logger may be NULL. Messages are cut at 1,023 bytes. */
void qv__log_line(const struct qv__logger *logger, enum qv__level level, const char *component,
                  const char *fmt, ...) QV_PRINTF(4, 5);
const char *qv__level_name(enum qv__level level);

#endif

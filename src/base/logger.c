/* logger.c: one log line, built on the stack.
 *
 * A message may carry bytes of a client, so control characters become spaces: one call stays one
 * line, and nobody can forge another. A cut never splits a UTF-8 sequence. No memory, no locks. */
#include "base/logger.h"

#include <stdarg.h>
#include <stdio.h>

#define MESSAGE_BYTES 1024 /* NUL included */

/* Length without an incomplete UTF-8 sequence at the end. */
static size_t whole_characters(const char *s, size_t n)
{
    size_t at = n;
    while (at > 0 && n - at < 3 && ((uint8_t)s[at - 1] & 0xc0) == 0x80) {
        at--;
    }
    if (at == 0) {
        return n;
    }
    uint8_t lead = (uint8_t)s[at - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return n - (at - 1) < want ? at - 1 : n;
}

void qv__log_line(const struct qv__logger *logger, enum qv__level level, const char *component,
                  const char *fmt, ...)
{
    if (!logger || !logger->sink || level < logger->min_level) {
        return;
    }
    char text[MESSAGE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int length = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = length < 0 ? 0 : (size_t)length;
    if (n >= sizeof text) {
        n = whole_characters(text, sizeof text - 1);
    }
    text[n] = 0;
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = ' ';
        }
    }
    logger->sink(logger->ctx, level, component, text);
}

const char *qv__level_name(enum qv__level level)
{
    switch (level) {
    case QV__LEVEL_DEBUG:
        return "debug";
    case QV__LEVEL_INFO:
        return "info";
    case QV__LEVEL_WARN:
        return "warn";
    case QV__LEVEL_ERROR:
        return "error";
    }
    return "unknown";
}

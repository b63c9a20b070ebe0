/* base.c: the end of a failed assertion, and the filling of struct qv_err.
 *
 * The error functions never allocate and never fail: a message that does not fit is cut, so they
 * work when memory is out. No state, no locks. */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

_Noreturn void qv__assert_failed(const char *cond, const char *file, int line)
{
    /* The one place that prints: the process is about to die and has no other way to say why. */
    fprintf(stderr, "quiver: internal error: assertion '%s' failed at %s:%d\n", cond, file, line);
    fflush(stderr);
    abort();
}

QV_PRINTF(4, 0)
static void put_message(struct qv_err *err, qv_status code, int os_errno, const char *fmt,
                        va_list ap)
{
    /* Formatted aside first: an argument may point into err->message itself. */
    char text[sizeof err->message];
    if (vsnprintf(text, sizeof text, fmt, ap) < 0) {
        text[0] = 0;
    }
    err->code = code;
    err->os_errno = os_errno;
    memcpy(err->message, text, sizeof text);
}

qv_status qv__fail(struct qv_err *err, qv_status code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        put_message(err, code, 0, fmt, ap);
        va_end(ap);
    }
    return code;
}

static qv_status code_of_errno(qv_status code, int os_errno)
{
    switch (os_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return QV_ENOSPC;
    case ENOMEM:
        return QV_ENOMEM;
    default:
        return code;
    }
}

qv_status qv__fail_os(struct qv_err *err, qv_status code, int os_errno, const char *fmt, ...)
{
    code = code_of_errno(code, os_errno);
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        put_message(err, code, os_errno, fmt, ap);
        va_end(ap);
        char scratch[128];
        const char *text = strerror_r(os_errno, scratch, sizeof scratch);
        size_t n = strlen(err->message);
        (void)snprintf(err->message + n, sizeof err->message - n, ": %s", text);
    }
    return code;
}

qv_status qv__wrap(struct qv_err *err, qv_status code, const char *fmt, ...)
{
    if (!err) {
        return code;
    }
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    inner[sizeof inner - 1] = 0;
    /* A callee without detail (QV_ENOMEM, mostly) still gets a readable message. */
    const char *tail = err->code == QV_OK || !inner[0] ? qv_status_text(code) : inner;
    va_list ap;
    va_start(ap, fmt);
    put_message(err, code, err->code == QV_OK ? 0 : err->os_errno, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->message);
    (void)snprintf(err->message + n, sizeof err->message - n, ": %s", tail);
    return code;
}

/* status.h: the one table of Quiver's error codes.
 *
 * What it is: every code the library can return, with its text, the HTTP status and the gRPC code a
 * server answers with, and whether the same call may succeed when it is repeated.
 * What it is not: error detail. Detail travels in a caller-owned struct qv_err.
 *
 * Values are pinned for ever: new codes are appended, none is renumbered. */
#ifndef QUIVER_STATUS_H
#define QUIVER_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__)
#define QV_API               __attribute__((visibility("default")))
#define QV_MUST_USE          __attribute__((warn_unused_result))
#define QV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define QV_API
#define QV_MUST_USE
#define QV_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, text, http, grpc, retryable) */
#define QV_STATUS_TABLE(X)                                                                         \
    X(OK, 0, "ok", 200, 0, false)                                                                  \
    X(EINVAL, 1, "bad request", 400, 3, false)                                                     \
    X(EVALIDATION, 2, "value outside its limits", 422, 3, false)                                   \
    X(ENOTFOUND, 3, "not found", 404, 5, false)                                                    \
    X(EEXISTS, 4, "already exists", 409, 6, false)                                                 \
    X(EUNAUTH, 5, "authentication required", 401, 16, false)                                       \
    X(EFORBIDDEN, 6, "forbidden", 403, 7, false)                                                   \
    X(ETOOBIG, 7, "larger than the limit", 413, 8, false)                                          \
    X(EUNSUPPORTED, 8, "not supported", 501, 12, false)                                            \
    X(ETIMEOUT, 9, "deadline exceeded", 408, 4, true)                                              \
    X(ECANCELLED, 10, "cancelled", 499, 1, true)                                                   \
    X(EBUSY, 11, "temporarily unavailable", 503, 14, true)                                         \
    X(ERATE, 12, "too many requests", 429, 8, true)                                                \
    X(ENOMEM, 13, "out of memory budget", 503, 8, true)                                            \
    X(ENOSPC, 14, "no space left on the device", 507, 8, true)                                     \
    X(EIO, 15, "input/output error", 500, 13, false)                                               \
    X(ECORRUPT, 16, "stored data is damaged", 500, 15, false)                                      \
    X(EREADONLY, 17, "writes are stopped until restart", 503, 14, false)                           \
    X(ELOCKED, 18, "in use by another process", 503, 9, false)                                     \
    X(ECLOSED, 19, "shutting down", 503, 14, true)                                                 \
    X(EVERSION, 20, "format of a newer version", 500, 9, false)                                    \
    X(EINTERNAL, 21, "internal error", 500, 13, false)                                             \
    X(ECONFLICT, 22, "precondition failed", 409, 10, true)                                         \
    X(EQUARANTINED, 23, "the collection is quarantined", 503, 15, false)

enum qv_status {
#define QV_STATUS_ENUM(name, value, text, http, grpc, retryable) QV_##name = value,
    QV_STATUS_TABLE(QV_STATUS_ENUM)
#undef QV_STATUS_ENUM
};
typedef enum qv_status qv_status;

/* Detail of one failure. Owned by the caller, never allocates, so it works when memory is out.
 * Every function that takes a `struct qv_err *` accepts NULL. Untouched on success. */
struct qv_err {
    qv_status code;
    int os_errno;      /* errno of the failing system call, or 0 */
    char message[504]; /* NUL-terminated; names the field, the value and the limit */
};

/* Text of a code ("not found"); "unknown status" for a value outside the table. Threads: any. */
QV_API const char *qv_status_text(qv_status code);

/* Symbolic name of a code ("QV_ENOTFOUND"). Threads: any. */
QV_API const char *qv_status_name(qv_status code);

/* HTTP status and gRPC code a server answers with. Threads: any. */
QV_API int qv_status_http(qv_status code);
QV_API int qv_status_grpc(qv_status code);

/* True if the same call may succeed when it is repeated later. Threads: any. */
QV_API bool qv_status_retryable(qv_status code);

#ifdef __cplusplus
}
#endif
#endif

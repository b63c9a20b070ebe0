/* text.h: text from outside: percent-encoding and UTF-8.
 *
 * What it is: what every dialect needs before a client's bytes may be compared, stored or echoed.
 * What it is not: a URL parser; carriers cut path and query. Threads: any (pure functions). */
#ifndef QV_API_TEXT_H
#define QV_API_TEXT_H

#include "base/arena.h"
#include "base/buf.h"

/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates). NUL is a character like others.
 */
bool qv__text_is_utf8(struct qv__str s);

/* Append `s` with every malformed byte replaced by U+FFFD, so that any message may become JSON. */
void qv__text_repair(struct qv__buf *out, struct qv__str s);

/* Undo percent-encoding; in a query string '+' is a space. *out is borrowed from `in` when nothing
 * was encoded, else it lives in the arena. Errors: QV_EINVAL (a '%' without two hex digits, or
 * bytes that are no UTF-8), QV_ENOMEM. */
qv_status qv__text_unescape(struct qv__arena *arena, struct qv__str in, bool is_query,
                            struct qv__str *out, struct qv_err *err) QV_MUST_USE;

#endif

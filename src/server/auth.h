/* auth.h: who asks.
 *
 * What it is: API keys, checked when a request's head is complete and before a byte of its body is
 * read. Default deny: with any key configured, every path but the four of QV__OPEN_PATHS needs one.
 * What it is not: a decision about single operations; a principal that may only read is refused its
 * writes by the dialect, which knows them. Threads: any. Memory: none. */
#ifndef QV_SERVER_AUTH_H
#define QV_SERVER_AUTH_H

#include "server/config.h"
#include "server/gate.h"

/* *out gets static strings. QV__ACCEPTED, QV__REFUSE_NO_KEY, QV__REFUSE_BAD_KEY,
 * QV__REFUSE_CREDENTIALS_TWICE. */
enum qv__refusal qv__auth_check(const struct qv__server_config *config, const struct qv__head *head,
                                const struct qv__gate *gate, struct qv__principal *out);

/* Equal, in a time that depends on neither's contents. `key` is zero-padded to its end; an empty
 * key equals nothing. */
bool qv__key_equal(const char key[QV__CONFIG_KEY_MAX + 1], struct qv__str given);

#endif

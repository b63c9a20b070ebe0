/* refusal.h: the answers that the carrier gives by itself.
 *
 * What it is: one table of every request that no handler will see: status, body, and whether the
 * connection may live on. Bodies are static (that of 413 is the server's, with its limits), so
 * refusing needs no memory of ours, and none repeats bytes of the client.
 * What it is not: the errors of a dialect. */
#ifndef QV_SERVER_REFUSAL_H
#define QV_SERVER_REFUSAL_H

#include "base/base.h"

enum qv__refusal {
    QV__ACCEPTED = 0, /* no refusal */
    /* framing: nothing after it on the connection can be trusted */
    QV__REFUSE_FRAMING,
    QV__REFUSE_HEADER_NAME,
    QV__REFUSE_HEADER_VALUE,
    QV__REFUSE_HOST,
    QV__REFUSE_LENGTH,
    QV__REFUSE_ENCODING,
    QV__REFUSE_TARGET,
    QV__REFUSE_VERSION,
    QV__REFUSE_TARGET_LONG,
    QV__REFUSE_HEAD_LARGE,
    QV__REFUSE_BODY_LARGE,
    QV__REFUSE_EXPECT,
    /* understood and turned down */
    QV__REFUSE_METHOD,
    QV__REFUSE_CONTENT_ENCODING,
    QV__REFUSE_CREDENTIALS_TWICE,
    QV__REFUSE_NO_KEY,
    QV__REFUSE_BAD_KEY,
    QV__REFUSE_CROSS_SITE,
    QV__REFUSE_READ_ONLY, /* an upload of those who may only read */
    QV__REFUSE_BUSY,
    QV__REFUSE_MEMORY,
    QV__REFUSE_STOPPING,
    QV__REFUSE_SPACE,     /* the disk has no room for a body that goes to a file */
    QV__REFUSE_STORE,     /* ... or fails */
    QV__REFUSE_RESPONSE,  /* a handler's response that cannot be sent */
    QV__REFUSE_OPTIONS,   /* the answer to OPTIONS */
    QV__REFUSE_PREFLIGHT, /* the answer to a browser's preflight */
    QV__REFUSALS
};

struct qv__refusal_row {
    int http_status;
    bool closes;      /* the connection, after the response */
    const char *body; /* JSON, "" = none */
};

const struct qv__refusal_row *qv__refusal_row(enum qv__refusal id);

#endif

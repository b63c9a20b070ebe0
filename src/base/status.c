/* status.c: the lookups over the table of status.h.
 *
 * Each is one switch made from QV_STATUS_TABLE, so a code cannot be added without its text, HTTP
 * status, gRPC code and retry rule. Values outside the table (a newer peer's, a damaged one) get
 * the answers of an internal error. No state, no locks. */
#include "quiver/status.h"

#define QV__STATUS_SWITCH(code, RETURN, otherwise)                                                 \
    switch ((int)(code)) {                                                                         \
        QV_STATUS_TABLE(RETURN)                                                                    \
    default:                                                                                       \
        return otherwise;                                                                          \
    }

#define RETURN_TEXT(name, value, text, http, grpc, retryable)                                      \
    case value:                                                                                    \
        return text;
#define RETURN_NAME(name, value, text, http, grpc, retryable)                                      \
    case value:                                                                                    \
        return "QV_" #name;
#define RETURN_HTTP(name, value, text, http, grpc, retryable)                                      \
    case value:                                                                                    \
        return http;
#define RETURN_GRPC(name, value, text, http, grpc, retryable)                                      \
    case value:                                                                                    \
        return grpc;
#define RETURN_RETRYABLE(name, value, text, http, grpc, retryable)                                 \
    case value:                                                                                    \
        return retryable;

const char *qv_status_text(qv_status code)
{
    QV__STATUS_SWITCH(code, RETURN_TEXT, "unknown status")
}

const char *qv_status_name(qv_status code)
{
    QV__STATUS_SWITCH(code, RETURN_NAME, "QV_UNKNOWN")
}

int qv_status_http(qv_status code)
{
    QV__STATUS_SWITCH(code, RETURN_HTTP, 500)
}

int qv_status_grpc(qv_status code)
{
    QV__STATUS_SWITCH(code, RETURN_GRPC, 13)
}

bool qv_status_retryable(qv_status code)
{
    QV__STATUS_SWITCH(code, RETURN_RETRYABLE, false)
}

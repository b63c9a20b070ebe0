/* refusal.c: the table of the carrier's own answers.
 *
 * Bodies have the form of the primary dialect's errors, so that its clients show the text. */
#include "server/refusal.h"

#define BODY(text) "{\"status\":{\"error\":\"" text "\"},\"time\":0.0}"

static const struct qv__refusal_row rows[QV__REFUSALS] = {
    [QV__ACCEPTED] = {200, false, ""},
    [QV__REFUSE_FRAMING] = {400, true,
                            BODY("Bad request: the head is malformed (bare line feed, folded line, "
                                 "NUL byte or stray space)")},
    [QV__REFUSE_HEADER_NAME] = {400, true,
                                BODY("Bad request: a header name has a character that is not "
                                     "allowed")},
    [QV__REFUSE_HEADER_VALUE] = {400, true,
                                 BODY("Bad request: a header value has a control character")},
    [QV__REFUSE_HOST] = {400, true, BODY("Bad request: the host header is repeated or malformed")},
    [QV__REFUSE_LENGTH] = {400, true,
                           BODY("Bad request: content-length is repeated or no plain number")},
    [QV__REFUSE_ENCODING] = {400, true,
                             BODY("Bad request: transfer-encoding must be exactly chunked, once, "
                                  "without content-length, in HTTP/1.1")},
    [QV__REFUSE_TARGET] = {400, true,
                           BODY("Bad request: the target is no path, or has a character that must "
                                "be percent-encoded")},
    [QV__REFUSE_VERSION] = {505, true, BODY("HTTP/1.1 and HTTP/1.0 are supported")},
    [QV__REFUSE_TARGET_LONG] = {414, true, BODY("The target is longer than 8192 bytes")},
    [QV__REFUSE_HEAD_LARGE] = {431, true,
                               BODY("The head is larger than 16384 bytes or has more than 100 "
                                    "headers")},
    [QV__REFUSE_BODY_LARGE] = {413, true,
                               BODY("Payload error: the body is larger than this server allows")},
    [QV__REFUSE_EXPECT] = {417, true, BODY("The only expectation supported is 100-continue")},
    [QV__REFUSE_METHOD] = {405, false, BODY("Method not allowed")},
    [QV__REFUSE_CONTENT_ENCODING] = {415, false,
                                     BODY("Content-encoding of request bodies is not supported")},
    [QV__REFUSE_CREDENTIALS_TWICE] = {400, true,
                                      BODY("Bad request: more than one api-key or authorization "
                                           "header")},
    [QV__REFUSE_NO_KEY] = {401, false,
                           BODY("Must provide an API key or an Authorization bearer token")},
    [QV__REFUSE_BAD_KEY] = {401, false, BODY("Invalid API key")},
    [QV__REFUSE_CROSS_SITE] = {403, false,
                               BODY("Forbidden: a web page of another site may not write; see the "
                                    "setting cors")},
    /* The dialect's text for a principal that may only read. */
    [QV__REFUSE_READ_ONLY] = {403, true, BODY("Forbidden: these credentials allow reading only")},
    [QV__REFUSE_BUSY] = {503, false, BODY("Service unavailable: too many requests in flight")},
    [QV__REFUSE_MEMORY] = {503, false, BODY("Service unavailable: no memory for a request")},
    [QV__REFUSE_STOPPING] = {503, true, BODY("Service unavailable: shutting down")},
    [QV__REFUSE_SPACE] =
        {507, true, BODY("Insufficient storage: no room for the upload beside what writes need")},
    [QV__REFUSE_STORE] = {500, true, BODY("Service internal error: the upload cannot be stored")},
    [QV__REFUSE_RESPONSE] = {500, false, BODY("Service internal error: the response is broken")},
    [QV__REFUSE_OPTIONS] = {204, false, ""},
    [QV__REFUSE_PREFLIGHT] = {204, false, ""},
};

const struct qv__refusal_row *qv__refusal_row(enum qv__refusal id)
{
    return &rows[id];
}

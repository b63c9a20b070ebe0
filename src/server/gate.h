/* gate.h: what a request's head must be before anything else looks at it.
 *
 * What it is: pure checks, stricter than the HTTP library's: whatever two parsers could read in two
 * ways (and so smuggle a request past a proxy) is refused.
 * What it is not: authentication (auth.h) or anything about meaning. Threads: any. Memory: none. */
#ifndef QV_SERVER_GATE_H
#define QV_SERVER_GATE_H

#include "api/request.h"
#include "server/refusal.h"

#define QV__HEADERS_MAX      100u
#define QV__HEAD_BYTES_MAX   ((size_t)16 << 10)
#define QV__TARGET_BYTES_MAX ((size_t)8 << 10)

/* A head as received. Names and values borrowed, names in any case, values without surrounding
 * blanks. */
struct qv__head {
    struct qv__str method;
    struct qv__str target;
    struct qv__str version;
    const struct qv__header *headers;
    size_t n_headers;
};

/* What the checks found out. Strings borrowed from the head. */
struct qv__gate {
    enum qv__method method;
    bool is_head;        /* HEAD: method is GET, the response goes without its body */
    struct qv__str path; /* starts with '/', or is "*" (OPTIONS) */
    struct qv__str query;
    bool has_body; /* bytes of a body will follow */
    bool chunked;
    uint64_t content_length; /* 0 when chunked */
    bool preflight;          /* OPTIONS with the headers of a browser's preflight */
};

/* *out is complete only with QV__ACCEPTED; has_body is right in every case (true when in doubt). */
enum qv__refusal qv__gate_check(const struct qv__head *head, uint64_t body_bytes_max,
                                struct qv__gate *out);

/* The one header of that lower-case name: NULL if there is none; *n_found says how many there are.
 */
const struct qv__header *qv__head_find(const struct qv__header *headers, size_t n, const char *name,
                                       size_t *n_found);

/* Equal but for the case of ASCII letters. */
bool qv__str_is_nocase(struct qv__str s, const char *z);

/* Where the library's parser (libmicrohttpd 0.9.7x) left the pieces of a head in its buffer. It
 * ends the pieces with NUL bytes in place, and tolerates, without a trace in what it reports, bare
 * line feeds, folded lines, NUL bytes in values and extra spaces; but a plain head has its pieces
 * side by side, and none of those has. Only the blanks before a value are looked at; all else is
 * addresses. */
struct qv__head_layout {
    const char *method;
    size_t method_bytes;
    const char *target;
    size_t target_bytes;
    const char *version;
    size_t version_bytes;
    size_t head_bytes; /* from the method to the end of the blank line */
    const char *at;    /* internal: where the next header must start */
};
/* Begin with everything but `at` filled; then each header in order, as reported, blanks included;
 * then the end. False: the head is not plain. */
bool qv__layout_begin(struct qv__head_layout *l);
bool qv__layout_header(struct qv__head_layout *l, const char *name, size_t name_bytes,
                       const char *value, size_t value_bytes);
bool qv__layout_end(const struct qv__head_layout *l);

#endif

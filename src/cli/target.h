/* target.h: the database a command works on: a directory of this machine, or a running server.
 *
 * What it is: one way to make requests of the REST dialect, whichever it is. A directory is opened
 * in this process and its requests run without a socket; a server gets the same bytes over HTTP. So
 * both give the same answers and the same errors. What it is not: the only way in; loading and
 * benchmarks use the engine's typed calls on `db`.
 *
 * Threads: one at a time per object. */
#ifndef QV_CLI_TARGET_H
#define QV_CLI_TARGET_H

#include "api/request.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/http_client.h"

/* What the command line says; the fields every such command has. */
struct qv__target_args {
    const char *data, *url, *api_key_file;
};

/* Rows of an option table whose struct has a member `target`. */
#define QV__TARGET_OPTIONS(type)                                                                   \
    {"data",                                                                                       \
     "DIR",                                                                                        \
     QV__OPT_TEXT,                                                                                 \
     offsetof(type, target.data),                                                                  \
     0,                                                                                            \
     0,                                                                                            \
     "open this data directory (default: $QUIVER_DATA, else quiver-data)"},                        \
        {"url",                                                                                    \
         "URL",                                                                                    \
         QV__OPT_TEXT,                                                                             \
         offsetof(type, target.url),                                                               \
         0,                                                                                        \
         0,                                                                                        \
         "ask this running server instead, such as http://127.0.0.1:6333"},                        \
    {                                                                                              \
        "api-key-file", "FILE", QV__OPT_TEXT, offsetof(type, target.api_key_file), 0, 0,           \
            "file with the server's API key (default: $QUIVER_API_KEY)"                            \
    }

struct qv__target {
    struct qv__cli *cli;
    const char *data; /* borrowed; NULL with a url */
    const char *url;
    struct qv__logger logger;
    struct qv__db *db; /* NULL with a url */
    struct qv__api *api;
    struct qv__http *http;
    struct qv__http_answer answer;
    qv__json told; /* "explain" or "profile" of the last answer of qv__target_call, in its arena; or
                      NULL */
};

struct qv__target_needs {
    bool write;          /* else a directory is opened read-only */
    bool create;         /* one that holds no database becomes one; else it must hold one */
    uint64_t timeout_ms; /* of a server's answer; 0 = 60 s */
};

/* Says on standard error what went wrong and returns an exit code; 0 = open. Release with
 * qv__target_close, also after an error. */
int qv__target_open(struct qv__target *t, struct qv__cli *cli, const struct qv__target_args *args,
                    const struct qv__target_needs *needs);
/* Closing a directory writes a checkpoint, which may fail. Safe on a zeroed one, and twice. */
qv_status qv__target_close(struct qv__target *t, struct qv_err *err);

/* One request. *result: the member "result" of the answer, in the arena. An answer other than 2xx
 * is the status that belongs to it, with the answer's message. body NULL = none. */
qv_status qv__target_call(struct qv__target *t, enum qv__method method, const char *path,
                          const struct qv__buf *body, struct qv__arena *arena, qv__json *result,
                          struct qv_err *err) QV_MUST_USE;
/* The answer that a call by t->http has left: QV_OK, or the status that belongs to it. */
qv_status qv__target_check(struct qv__target *t, struct qv__arena *arena,
                           struct qv_err *err) QV_MUST_USE;
/* The same, of which only the raw body matters (text such as /metrics): in t->answer.body. */
qv_status qv__target_get(struct qv__target *t, const char *path, struct qv_err *err) QV_MUST_USE;
/* "/collections/NAME" + rest in the arena, percent-encoded; NULL when memory is out. */
const char *qv__target_path(struct qv__arena *arena, const char *collection, const char *rest);
/* What helps against an error here. */
const char *qv__target_hint(const struct qv__target *t, const struct qv_err *err);
/* Where it is, for messages. */
const char *qv__target_name(const struct qv__target *t);

/* The key for a server: of the file, else of the environment, into key[256]; "" = none. Prints what
 * went wrong. */
int qv__target_api_key(struct qv__cli *cli, const char *file, char key[256]);

#endif

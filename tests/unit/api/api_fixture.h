/* api_fixture.h: the request interface over a database on the simulated file system, stepped by the
 * test: a request is submitted, the database stepped until it is done, and the answer kept as text.
 */
#ifndef API_FIXTURE_H
#define API_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/request.h"
#include "os/io_sim.h"

struct fix {
    struct qv__mem *mem; /* of the file system and of answers */
    struct qv__io *io;
    struct qv__db_options options;
    struct qv__db *db;
    struct qv__api *api;
    struct qv_err err;
    struct qv__principal principal; /* of every request */
    struct qv__header header;       /* the only one, if it has a name */
    struct qv__request *request;    /* under way */
    uint64_t deadline_ns;
    bool cancelled;
    /* the last answer */
    int status;
    int done; /* calls of `done` */
    char text[65536];
    char extra[256]; /* "name: value\n" of the extra headers */
    const char *type;
};

#define OK(expr)                                                                                   \
    do {                                                                                           \
        f->err.message[0] = 0;                                                                     \
        qv_status ok_st_ = (expr);                                                                 \
        if (ok_st_ != QV_OK) {                                                                     \
            fail_msg("%s: %s: %s", #expr, qv_status_name(ok_st_), f->err.message);                 \
        }                                                                                          \
    } while (0)

static inline void fix_open(struct fix *f)
{
    memset(f, 0, sizeof *f);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options =
        (struct qv__db_options){.io = f->io, .threads = -1, .seed = 7, .log_file_bytes = 1 << 20};
    OK(qv__db_open(&f->options, &f->db, &f->err));
    OK(qv__api_create(f->db, NULL, &f->api, &f->err));
}

static inline void fix_close(struct fix *f)
{
    qv__api_free(f->api);
    OK(qv__db_close(f->db, &f->err));
    qv__io_close(f->io);
    qv__mem_close(f->mem);
}

static inline void fix_reopen(struct fix *f)
{
    qv__api_free(f->api);
    OK(qv__db_close(f->db, &f->err));
    OK(qv__db_open(&f->options, &f->db, &f->err));
    OK(qv__api_create(f->db, NULL, &f->api, &f->err));
}

static inline void fix_done(struct qv__request *r)
{
    struct fix *f = r->carrier;
    f->done++;
    f->status = r->response.http_status;
    f->type = r->response.content_type;
    size_t n = QV_MIN(r->response.body.n, sizeof f->text - 1);
    if (n) {
        memcpy(f->text, r->response.body.p, n);
    }
    f->text[n] = 0;
    f->extra[0] = 0;
    for (unsigned i = 0; i < r->response.n_extra; i++) {
        size_t at = strlen(f->extra);
        snprintf(f->extra + at, sizeof f->extra - at, "%.*s: %.*s\n",
                 (int)r->response.extra[i].name.n, r->response.extra[i].name.p,
                 (int)r->response.extra[i].value.n, r->response.extra[i].value.p);
    }
}

/* Submit with the body in `n_chunks` chunks, and step until done. */
static inline int fix_ask_chunks(struct fix *f, enum qv__method method, const char *path,
                                 const void *body, size_t n, size_t n_chunks)
{
    struct qv__bytes chunks[64];
    struct qv__request r;
    const char *mark = strchr(path, '?');
    memset(&r, 0, sizeof r);
    assert_true(n_chunks <= 64);
    for (size_t i = 0; i < n_chunks; i++) {
        size_t from = n * i / n_chunks, to = n * (i + 1) / n_chunks;
        chunks[i] = (struct qv__bytes){(const uint8_t *)body + from, to - from};
    }
    r.api = f->api;
    r.method = method;
    r.path = (struct qv__str){path, mark ? (size_t)(mark - path) : strlen(path)};
    r.query = mark ? qv__str_z(mark + 1) : QV__STR("");
    r.body = chunks;
    r.n_body = n_chunks;
    r.principal = f->principal;
    f->request = &r;
    r.headers = &f->header;
    r.n_headers = f->header.name.n ? 1 : 0;
    r.deadline_ns = f->deadline_ns;
    atomic_init(&r.cancelled, f->cancelled);
    r.started_ns = qv__mono_ns(qv__db_clock(f->db));
    qv__arena_init(&r.arena, qv__db_mem(f->db));
    qv__buf_init(&r.response.body, qv__db_mem(f->db));
    r.done = fix_done;
    r.carrier = f;
    f->done = 0;
    f->status = 0;
    qv__api_submit(&r);
    while (!f->done && qv__db_step(f->db)) {
    }
    assert_int_equal(f->done, 1);
    qv__arena_free(&r.arena);
    qv__buf_free(&r.response.body);
    return f->status;
}

static inline int fix_ask(struct fix *f, enum qv__method method, const char *path, const char *body)
{
    return fix_ask_chunks(f, method, path, body, body ? strlen(body) : 0, body ? 1 : 0);
}

/* The answer has this status and contains this text. */
#define ANSWER(method, path, body, want_status, want_text)                                         \
    do {                                                                                           \
        int answer_status_ = fix_ask(f, method, path, body);                                       \
        if (answer_status_ != (want_status) || !strstr(f->text, want_text)) {                      \
            fail_msg("%s: %d %s\n   wanted %d with %s", path, answer_status_, f->text,             \
                     want_status, want_text);                                                      \
        }                                                                                          \
    } while (0)

/* A collection "c" of four points: 1..3 with a vector, 4 without; `group` is a, a, b, b. */
static inline void fix_points(struct fix *f)
{
    ANSWER(QV__PUT, "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200,
           "\"result\":true");
    ANSWER(QV__PUT, "/collections/c/points?wait=true",
           "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"group\":\"a\",\"n\":1}},"
           "{\"id\":2,\"vector\":[0,1],\"payload\":{\"group\":\"a\",\"n\":2}},"
           "{\"id\":3,\"vector\":[1,1],\"payload\":{\"group\":\"b\",\"n\":3}},"
           "{\"id\":4,\"vector\":{},\"payload\":{\"group\":\"b\"}}]}",
           200, "\"status\":\"completed\"");
}

#endif

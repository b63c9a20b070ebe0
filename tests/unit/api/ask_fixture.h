/* ask_fixture.h: the request interface over a database with workers: a request is submitted, and
 * its answer waited for. */
#ifndef ASK_FIXTURE_H
#define ASK_FIXTURE_H

#include "api_fixture.h"

#include "api/api.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

/* One request and its answer. */
struct ask {
    struct qv__request r;
    struct qv__bytes body;
    pthread_t by; /* who called done */
    sem_t done;
};

static inline void ask_done(struct qv__request *r)
{
    struct ask *a = r->carrier;
    a->by = pthread_self();
    sem_post(&a->done);
}

static inline void ask_submit(struct fix *f, struct ask *a, enum qv__method method,
                              const char *path, const char *body, bool may_run_here)
{
    struct qv__request *r = &a->r;
    const char *mark = strchr(path, '?');
    memset(a, 0, sizeof *a);
    a->body = (struct qv__bytes){(const uint8_t *)body, strlen(body)};
    r->api = f->api;
    r->method = method;
    r->path = (struct qv__str){path, mark ? (size_t)(mark - path) : strlen(path)};
    r->query = mark ? qv__str_z(mark + 1) : QV__STR("");
    r->body = &a->body;
    r->n_body = 1;
    r->may_run_here = may_run_here;
    r->deadline_ns = f->deadline_ns;
    r->started_ns = qv__mono_ns(qv__db_clock(f->db));
    qv__arena_init(&r->arena, qv__db_mem(f->db));
    qv__buf_init(&r->response.body, qv__db_mem(f->db));
    r->done = ask_done;
    r->carrier = a;
    assert_int_equal(sem_init(&a->done, 0, 0), 0);
    qv__api_submit(r);
}

/* Within so many seconds; the answer's text is ended by a NUL then. */
static inline bool ask_is_answered(struct ask *a, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    int rc;
    while ((rc = sem_timedwait(&a->done, &until)) != 0 && errno == EINTR) {
    }
    if (rc == 0) {
        qv__buf_put(&a->r.response.body, "", 1);
    }
    return rc == 0;
}

static inline const char *ask_text(const struct ask *a)
{
    return (const char *)a->r.response.body.p;
}

static inline void ask_forget(struct ask *a)
{
    sem_destroy(&a->done);
    qv__arena_free(&a->r.arena);
    qv__buf_free(&a->r.response.body);
}

/* With two workers a lane; NULL: the system's clock. */
static inline void ask_open(struct fix *f, const struct qv__clock *clock)
{
    memset(f, 0, sizeof *f);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){.io = f->io,
                                         .clock = clock ? clock : qv__clock_system(),
                                         .threads = 2,
                                         .seed = 7,
                                         .log_file_bytes = 1 << 20};
    OK(qv__db_open(&f->options, &f->db, &f->err));
    OK(qv__api_create(f->db, NULL, &f->api, &f->err));
}

#endif

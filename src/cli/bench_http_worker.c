/* bench_http_worker.c: one connection of `quiver bench http`.
 *
 * Without a rate a request follows the answer to the last one (a closed loop). With a rate every
 * request has a time at which it is due, and its latency counts from then, however late it could be
 * sent: a server that stalls is charged for all requests that waited (no coordinated omission).
 * Random vectors are whole numbers from -1000 to 1000, so that making them costs the client little
 * of the machine that it shares with the server. */
#include <errno.h>
#include <time.h>

#include "cli/bench_http.h"
#include "os/io.h"

qv_status qv__load_worker_init(struct qv__load_worker *w, const struct qv__load *load,
                               uint32_t number, struct qv__mem *mem, struct qv_err *err)
{
    memset(w, 0, sizeof *w);
    w->load = load;
    w->number = number;
    w->mem = mem;
    w->latencies.mem = mem;
    w->due.mem = mem;
    qv__buf_init(&w->body, mem);
    qv__buf_init(&w->answer.body, mem);
    qv__rng_seed(&w->rng, load->seed * 1000003u + number);
    if (load->vectors) {
        QV_TRY(qv__vector_file_open(&w->file, mem, load->vectors, err));
        if (w->file.dim != load->dim || w->file.rows == 0) {
            return qv__fail(err, QV_EINVAL, "%s: %" PRIu64 " rows of %u; the collection takes %u",
                            load->vectors, w->file.rows, w->file.dim, load->dim);
        }
        w->row = qv__calloc(mem, load->dim, sizeof *w->row);
        if (!w->row) {
            return qv__fail(err, QV_ENOMEM, "no memory for a vector");
        }
    }
    struct qv__http_options o = {.api_key = load->api_key};
    return qv__http_open(mem, load->url, &o, &w->http, err);
}

void qv__load_worker_free(struct qv__load_worker *w)
{
    if (!w->mem) {
        return;
    }
    qv__http_close(w->http);
    qv__vector_file_close(&w->file);
    qv__free(w->row);
    qv__buf_free(&w->body);
    qv__buf_free(&w->answer.body);
    qv__latencies_free(&w->latencies);
    qv__latencies_free(&w->due);
    w->mem = NULL;
}

/* --- bodies
 * ------------------------------------------------------------------------------------------ */

static char *put_small(char *p, int v)
{
    if (v < 0) {
        *p++ = '-';
        v = -v;
    }
    if (v >= 1000) {
        *p++ = (char)('0' + v / 1000);
    }
    if (v >= 100) {
        *p++ = (char)('0' + v / 100 % 10);
    }
    if (v >= 10) {
        *p++ = (char)('0' + v / 10 % 10);
    }
    *p++ = (char)('0' + v % 10);
    return p;
}

static void put_random(struct qv__load_worker *w)
{
    uint32_t dim = w->load->dim;
    char *p = (char *)qv__buf_reserve(&w->body, (size_t)dim * 6 + 2), *from = p;
    uint64_t bits = 0;
    if (!p) {
        return;
    }
    *p++ = '[';
    for (uint32_t i = 0; i < dim; i++) {
        bits = i % 4 ? bits >> 16 : qv__rng_u64(&w->rng);
        p = put_small(p, (int)((bits & 0xffff) * 2001 >> 16) - 1000);
        *p++ = i + 1 < dim ? ',' : ']';
    }
    w->body.n += (size_t)(p - from);
}

static qv_status put_vector(struct qv__load_worker *w, uint64_t row)
{
    if (!w->row) {
        put_random(w);
        return QV_OK;
    }
    struct qv__jw jw;
    QV_TRY(qv__vector_file_row(&w->file, row % w->file.rows, w->row, &w->err));
    qv__jw_init(&jw, &w->body);
    qv__jw_floats(&jw, w->row, w->load->dim);
    return QV_OK;
}

static qv_status build_upsert(struct qv__load_worker *w)
{
    const struct qv__load *l = w->load;
    uint64_t id = atomic_fetch_add_explicit(l->next_id, l->batch, memory_order_relaxed);
    qv__buf_putz(&w->body, "{\"points\":[");
    for (uint32_t i = 0; i < l->batch; i++) {
        qv__buf_printf(&w->body, "%s{\"id\":%" PRIu64 ",\"vector\":", i ? "," : "", id + i);
        QV_TRY(put_vector(w, id + i));
        qv__buf_printf(&w->body, ",\"payload\":{\"group\":%u}}", (unsigned)((id + i) % 1000));
    }
    qv__buf_putz(&w->body, "]}");
    return qv__buf_status(&w->body, &w->err);
}

static qv_status build_search(struct qv__load_worker *w)
{
    const struct qv__load *l = w->load;
    qv__buf_putz(&w->body, "{\"query\":");
    QV_TRY(put_vector(w, qv__rng_u64(&w->rng) >> 1));
    qv__buf_printf(&w->body, ",\"limit\":%" PRIu64, l->limit);
    if (l->ef) {
        qv__buf_printf(&w->body, ",\"params\":{\"hnsw_ef\":%" PRIu64 "}", l->ef);
    }
    qv__buf_putz(&w->body, "}");
    return qv__buf_status(&w->body, &w->err);
}

/* --- the loop
 * ---------------------------------------------------------------------------------------- */

static void wait_until(uint64_t due_ns)
{
    uint64_t now = qv__mono_ns(qv__clock_system());
    if (now < due_ns) {
        uint64_t left = due_ns - now;
        struct timespec t = {.tv_sec = (time_t)(left / 1000000000u),
                             .tv_nsec = (long)(left % 1000000000u)};
        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
        }
    }
}

static void one_request(struct qv__load_worker *w, uint64_t due_ns)
{
    const struct qv__load *l = w->load;
    bool upsert = l->role == QV__LOAD_UPSERT;
    qv__buf_reset(&w->body);
    w->st = upsert ? build_upsert(w) : build_search(w);
    if (w->st != QV_OK) {
        return;
    }
    wait_until(due_ns);
    uint64_t from = due_ns ? due_ns : qv__mono_ns(qv__clock_system());
    w->st = qv__http_do(w->http, upsert ? "PUT" : "POST", l->path, w->body.p, w->body.n, &w->answer,
                        &w->err);
    uint64_t now = qv__mono_ns(qv__clock_system());
    w->until_ns = now;
    if (w->st != QV_OK || from < l->start_ns) {
        return;
    }
    if (w->answer.status < 200 || w->answer.status > 299) {
        w->refused++;
        w->refused_status = w->answer.status;
    } else {
        qv__latencies_add(&w->latencies, now - from);
        if (l->keeps_due) {
            qv__latencies_add(&w->due, from - l->start_ns);
        }
    }
}

void qv__load_worker_run(void *worker)
{
    struct qv__load_worker *w = worker;
    const struct qv__load *l = w->load;
    uint64_t begin = qv__mono_ns(qv__clock_system());
    qv__thread_slices(l->role == QV__LOAD_SEARCH ? QV__SLICES_SHORTEST : QV__SLICES_DEFAULT);
    for (uint64_t i = w->number; w->st == QV_OK && !atomic_load(l->stop); i += l->connections) {
        uint64_t due = l->rate > 0 ? begin + (uint64_t)((double)i / l->rate * 1e9) : 0;
        if ((due ? due : qv__mono_ns(qv__clock_system())) >= l->end_ns) {
            break;
        }
        one_request(w, due);
    }
}

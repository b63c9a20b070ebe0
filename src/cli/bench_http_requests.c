/* bench_http_requests.c: the requests of a run as a file, for curves over time. */
#include "cli/bench_http.h"
#include "os/io.h"

static qv_status write_file(const char *path, struct qv__mem *mem, const struct qv__buf *text,
                            struct qv_err *err)
{
    const char *slash = strrchr(path, '/');
    struct qv__io *io = NULL;
    struct qv__file *f = NULL;
    char dir[4200];
    int n = slash ? snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path)
                  : snprintf(dir, sizeof dir, ".");
    if (n < 0 || (size_t)n >= sizeof dir) {
        return qv__fail(err, QV_EINVAL, "%.64s...: the name is too long", path);
    }
    QV_TRY(qv__io_posix_open(mem, dir, false, &io, err));
    qv_status st =
        qv__io_open(io, slash ? slash + 1 : path, QV__OPEN_CREATE | QV__OPEN_TRUNC, &f, err);
    QV_GOTO(st);
    QV_GOTO(qv__io_pwrite(f, text->p, text->n, 0, err));
    st = qv__io_file_close(f, err);
    f = NULL;
out:
    qv__io_file_close(f, NULL);
    qv__io_close(io);
    return st;
}

qv_status qv__load_requests_write(const char *path, const struct qv__load_worker *workers,
                                  uint32_t n, struct qv__mem *mem, struct qv_err *err)
{
    struct qv__buf text;
    qv__buf_init(&text, mem);
    qv__buf_putz(&text, "request,due_us,latency_us\n");
    for (uint32_t i = 0; i < n; i++) {
        const struct qv__load_worker *w = &workers[i];
        const char *kind = w->load->role == QV__LOAD_UPSERT ? "upsert" : "search";
        for (size_t k = 0; k < QV_MIN(w->latencies.n, w->due.n); k++) {
            qv__buf_printf(&text, "%s,%" PRIu64 ",%" PRIu64 "\n", kind, w->due.ns[k] / 1000,
                           w->latencies.ns[k] / 1000);
        }
    }
    qv_status st = qv__buf_status(&text, err);
    if (st == QV_OK) {
        st = write_file(path, mem, &text, err);
    }
    qv__buf_free(&text);
    return st;
}

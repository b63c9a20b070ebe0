/* bench.c: latencies and memory, see bench.h. */
#include "cli/bench.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/io.h"

void qv__latencies_add(struct qv__latencies *l, uint64_t ns)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4096;
        uint64_t *grown = qv__realloc(l->mem, l->ns, cap * sizeof *grown);
        if (!grown) {
            l->lost++;
            return;
        }
        l->ns = grown;
        l->cap = cap;
    }
    l->ns[l->n++] = ns;
}

void qv__latencies_free(struct qv__latencies *l)
{
    qv__free(l->ns);
    l->ns = NULL;
    l->n = l->cap = 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double at(const uint64_t *ns, size_t n, double q)
{
    size_t i = (size_t)(q * (double)n);
    return (double)ns[i < n ? i : n - 1] / 1e3;
}

qv_status qv__latencies_sum(struct qv__mem *mem, struct qv__latencies *const *l, size_t n,
                            struct qv__percentiles *out, struct qv_err *err)
{
    size_t total = 0, k = 0;
    double sum = 0;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        total += l[i]->n;
        if (l[i]->lost) {
            return qv__fail(err, QV_ENOMEM, "no memory for the latencies");
        }
    }
    if (total == 0) {
        return QV_OK;
    }
    uint64_t *all = qv__calloc(mem, total, sizeof *all);
    if (!all) {
        return qv__fail(err, QV_ENOMEM, "no memory for the latencies");
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < l[i]->n; j++) {
            all[k++] = l[i]->ns[j];
            sum += (double)l[i]->ns[j];
        }
    }
    qsort(all, total, sizeof *all, by_value);
    *out = (struct qv__percentiles){.n = total,
                                    .mean_us = sum / (double)total / 1e3,
                                    .p50_us = at(all, total, 0.50),
                                    .p95_us = at(all, total, 0.95),
                                    .p99_us = at(all, total, 0.99),
                                    .max_us = (double)all[total - 1] / 1e3};
    qv__free(all);
    return QV_OK;
}

void qv__bench_u64(struct qv__jw *w, const char *key, uint64_t v)
{
    qv__jw_key(w, key);
    qv__jw_u64(w, v);
}

void qv__bench_f64(struct qv__jw *w, const char *key, double v, unsigned digits)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%.*f", (int)digits, v);
    qv__jw_key(w, key);
    qv__jw_raw(w, text, (size_t)n);
}

void qv__percentiles_json(struct qv__jw *w, const struct qv__percentiles *p)
{
    qv__bench_f64(w, "mean_us", p->mean_us, 1);
    qv__bench_f64(w, "p50_us", p->p50_us, 1);
    qv__bench_f64(w, "p95_us", p->p95_us, 1);
    qv__bench_f64(w, "p99_us", p->p99_us, 1);
    qv__bench_f64(w, "max_us", p->max_us, 1);
}

/* /proc files do not know their size and os/ reads whole ranges: byte by byte, up to the line feed.
 */
static bool read_statm(struct qv__mem *mem, char text[128])
{
    struct qv__io *io = NULL;
    struct qv__file *f = NULL;
    size_t n = 0;
    if (qv__io_posix_open(mem, "/proc/self", false, &io, NULL) != QV_OK) {
        return false;
    }
    if (qv__io_open(io, "statm", QV__OPEN_READ, &f, NULL) == QV_OK) {
        while (n < 127 && qv__io_pread(f, text + n, 1, n, NULL) == QV_OK && text[n] != '\n') {
            n++;
        }
        qv__io_file_close(f, NULL);
    }
    qv__io_close(io);
    text[n] = '\0';
    return n > 0;
}

void qv__process_memory(struct qv__mem *mem, struct qv__process_memory *out)
{
    char text[128];
    uint64_t resident = 0, shared = 0;
    struct rusage usage;
    memset(out, 0, sizeof *out);
    if (read_statm(mem, text) &&
        sscanf(text, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) == 2) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        out->rss_bytes = resident * page;
        out->rss_file_bytes = shared * page;
    }
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        out->peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
    }
}

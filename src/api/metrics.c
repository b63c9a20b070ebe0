/* metrics.c: how many requests ended how, and how long they took.
 *
 * One cell per route and status, made when that pair is first met and kept for the life of the api;
 * all counting is atomic, without a lock. Bucket bounds are those of the primary peer, so that its
 * dashboards fit. When memory for a cell is refused the response is counted as lost, never delayed.
 */
#include "api/api.h"

#include <stdio.h>

static const uint64_t bounds_us[QV__API_BUCKETS] = {
    1000, 5000, 10000, 20000, 50000, 100000, 500000, 1000000, 5000000, 10000000, 50000000};
static const char *const bounds_text[QV__API_BUCKETS] = {
    "0.001", "0.005", "0.01", "0.02", "0.05", "0.1", "0.5", "1", "5", "10", "50"};

static struct qv__api_cell *cell_new(struct qv__api *api, int http_status)
{
    struct qv__api_cell *c = qv__zalloc(api->mem, sizeof *c);
    if (c) {
        c->http_status = http_status;
        atomic_init(&c->min_ns, UINT64_MAX);
    }
    return c;
}

/* The cell of a status, or NULL when memory or the places are out. */
static struct qv__api_cell *cell_of(struct qv__api *api, struct qv__api_counts *counts,
                                    int http_status)
{
    for (unsigned i = 0; i < QV__API_CELLS; i++) {
        struct qv__api_cell *c = atomic_load_explicit(&counts->cell[i], memory_order_acquire);
        if (!c) {
            struct qv__api_cell *fresh = cell_new(api, http_status);
            if (!fresh) {
                return NULL;
            }
            if (atomic_compare_exchange_strong_explicit(
                    &counts->cell[i], &c, fresh, memory_order_acq_rel, memory_order_acquire)) {
                return fresh;
            }
            qv__free(fresh); /* another thread took the place: c is what it put there */
        }
        if (c->http_status == http_status) {
            return c;
        }
    }
    return NULL;
}

static void raise_to(_Atomic uint64_t *at, uint64_t v)
{
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    while (old < v && !atomic_compare_exchange_weak_explicit(at, &old, v, memory_order_relaxed,
                                                             memory_order_relaxed)) {
    }
}

static void lower_to(_Atomic uint64_t *at, uint64_t v)
{
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    while (old > v && !atomic_compare_exchange_weak_explicit(at, &old, v, memory_order_relaxed,
                                                             memory_order_relaxed)) {
    }
}

unsigned qv__api_bucket(uint64_t ns)
{
    unsigned i = 0;
    while (i < QV__API_BUCKETS && ns > bounds_us[i] * 1000) {
        i++;
    }
    return i;
}

void qv__api_count(struct qv__api *api, const struct qv__route *route, int http_status, uint64_t ns)
{
    size_t at = route ? (size_t)(route - api->dialect->routes) : api->dialect->n_routes;
    struct qv__api_cell *c = cell_of(api, &api->counts[at], http_status);
    if (!c) {
        qv__count(&api->lost, 1);
        return;
    }
    atomic_fetch_add_explicit(&c->sum_ns, ns, memory_order_relaxed);
    raise_to(&c->max_ns, ns);
    lower_to(&c->min_ns, ns);
    raise_to(&c->last_ms, qv__wall_ms(qv__db_clock(api->db)));
    /* Last: who reads it there reads it in all of the above as well. */
    atomic_fetch_add_explicit(&c->bucket[qv__api_bucket(ns)], 1, memory_order_release);
}

/* The buckets first, and their sum as the count: then nothing read later lacks what is counted. */
static void read_cell(struct qv__api_cell *c, struct qv__api_figures *f)
{
    f->http_status = c->http_status;
    for (unsigned b = 0; b <= QV__API_BUCKETS; b++) {
        uint64_t n = atomic_load_explicit(&c->bucket[b], memory_order_acquire);
        f->n += n;
        if (b < QV__API_BUCKETS) {
            f->bucket[b] = n;
        }
    }
    f->sum_ns = atomic_load_explicit(&c->sum_ns, memory_order_relaxed);
    f->min_ns = atomic_load_explicit(&c->min_ns, memory_order_relaxed);
    f->max_ns = atomic_load_explicit(&c->max_ns, memory_order_relaxed);
    f->last_ms = atomic_load_explicit(&c->last_ms, memory_order_relaxed);
}

void qv__api_counts_each(struct qv__api *api,
                         void (*cb)(void *arg, const struct qv__api_figures *f), void *arg)
{
    const struct qv__dialect *d = api->dialect;
    for (size_t r = 0; r <= d->n_routes; r++) {
        for (unsigned i = 0; i < QV__API_CELLS; i++) {
            struct qv__api_cell *c =
                atomic_load_explicit(&api->counts[r].cell[i], memory_order_acquire);
            if (!c) {
                break;
            }
            struct qv__api_figures f = {
                .method = r < d->n_routes ? qv__method_name(d->routes[r].method) : "ANY",
                .endpoint = r < d->n_routes ? d->routes[r].pattern : "unknown",
            };
            read_cell(c, &f);
            if (f.n) {
                cb(arg, &f);
            }
        }
    }
}

/* --- Prometheus text
 * --------------------------------------------------------------------------------- */

enum family_kind { TOTAL, AVG, MIN, MAX, HISTOGRAM };
struct family {
    struct qv__buf *out;
    enum family_kind what;
    bool but_collections; /* whose figures, and the rest of them, are told one by one */
};

void qv__api_label(struct qv__buf *out, struct qv__str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' || s.p[i] == '"') {
            qv__buf_putc(out, '\\');
        }
        if (s.p[i] == '\n') {
            qv__buf_putz(out, "\\n");
        } else {
            qv__buf_putc(out, s.p[i]);
        }
    }
}

static void labels(struct qv__buf *out, const char *name, const struct qv__api_figures *f)
{
    qv__buf_printf(out, "%s{method=\"%s\",endpoint=\"%s\",status=\"%d\"", name, f->method,
                   f->endpoint, f->http_status);
    if (f->collection.n) {
        qv__buf_putz(out, ",collection=\"");
        qv__api_label(out, f->collection);
        qv__buf_putc(out, '"');
    }
}

static void histogram(struct qv__buf *out, const struct qv__api_figures *f)
{
    uint64_t sum = 0;
    for (unsigned b = 0; b < QV__API_BUCKETS; b++) {
        sum += f->bucket[b];
        labels(out, "rest_responses_duration_seconds_bucket", f);
        qv__buf_printf(out, ",le=\"%s\"} %" PRIu64 "\n", bounds_text[b], sum);
    }
    labels(out, "rest_responses_duration_seconds_bucket", f);
    qv__buf_printf(out, ",le=\"+Inf\"} %" PRIu64 "\n", f->n);
    labels(out, "rest_responses_duration_seconds_sum", f);
    qv__buf_printf(out, "} %.9f\n", (double)f->sum_ns / 1e9);
    labels(out, "rest_responses_duration_seconds_count", f);
    qv__buf_printf(out, "} %" PRIu64 "\n", f->n);
}

static void sample(void *arg, const struct qv__api_figures *f)
{
    static const char *const names[] = {[TOTAL] = "rest_responses_total",
                                        [AVG] = "rest_responses_avg_duration_seconds",
                                        [MIN] = "rest_responses_min_duration_seconds",
                                        [MAX] = "rest_responses_max_duration_seconds"};
    struct family *fam = arg;
    if (fam->but_collections &&
        !strncmp(f->endpoint, QV__API_BY_COLLECTION, strlen(QV__API_BY_COLLECTION))) {
        return;
    }
    if (fam->what == HISTOGRAM) {
        histogram(fam->out, f);
        return;
    }
    labels(fam->out, names[fam->what], f);
    if (fam->what == TOTAL) {
        qv__buf_printf(fam->out, "} %" PRIu64 "\n", f->n);
        return;
    }
    uint64_t ns = fam->what == MIN ? f->min_ns : fam->what == MAX ? f->max_ns : f->sum_ns / f->n;
    qv__buf_printf(fam->out, "} %.9f\n", (double)ns / 1e9);
}

void qv__api_metrics(struct qv__api *api, const struct qv__api_figures *by_collection, size_t n,
                     struct qv__buf *out)
{
    static const struct {
        const char *name, *help, *type;
    } families[] = {
        [TOTAL] = {"rest_responses_total", "total number of responses", "counter"},
        [AVG] = {"rest_responses_avg_duration_seconds", "average response duration", "gauge"},
        [MIN] = {"rest_responses_min_duration_seconds", "minimum response duration", "gauge"},
        [MAX] = {"rest_responses_max_duration_seconds", "maximum response duration", "gauge"},
        [HISTOGRAM] = {"rest_responses_duration_seconds", "response duration histogram",
                       "histogram"},
    };
    for (int i = TOTAL; i <= HISTOGRAM; i++) {
        struct family fam = {
            .out = out, .what = (enum family_kind)i, .but_collections = by_collection};
        qv__buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", families[i].name, families[i].help,
                       families[i].name, families[i].type);
        qv__api_counts_each(api, sample, &fam);
        fam.but_collections = false;
        for (size_t k = 0; k < n; k++) {
            sample(&fam, &by_collection[k]);
        }
    }
    qv__buf_printf(
        out,
        "# HELP quiver_responses_uncounted_total responses not counted above, for lack of memory "
        "or places\n"
        "# TYPE quiver_responses_uncounted_total counter\nquiver_responses_uncounted_total %" PRIu64
        "\n",
        qv__counted(&api->lost));
}

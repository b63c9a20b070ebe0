/* checkpoint.c: what a checkpoint, or a snapshot, costs the searches that run beside it.
 *
 * The load is open: searches are due at fixed times, at a share of what the machine can answer, and
 * a latency counts from the time a search was due, so a stall is charged to every search that had
 * to wait for it. Each round writes fresh points, measures a quiet stretch, then the stretch in
 * which the operation runs, again and again until the stretch is over. */
#include "api/handle.h"
#include "base/thread.h"
#include "bench.h"

#define DIM_MAX     4096u
#define WORKERS_MAX 64u
#define ROUNDS_MAX  64u
#define LOAD_BATCH  1000u
#define SLOTS       3u /* writes, and runs of what is beside, in a stretch */

struct args {
    const char *dir, *with;
    uint64_t rows, fresh, stretch_ms, rounds, percent;
    uint32_t dim, workers;
};

struct setting {
    struct args a;
    qv_db *handle;
    struct qv__collection *c;
    struct qv__rng rng;
    float *batch;
};

static void put(struct setting *x, uint64_t from, uint64_t n)
{
    for (uint64_t end = from + n; from < end; from += LOAD_BATCH) {
        bench_put(x->c, from, LOAD_BATCH, x->a.dim, x->batch, &x->rng, QV__DURABILITY_RELAXED);
    }
}

/* The same points again and again: what is searched stays as large as it is. */
static void put_fresh(struct setting *x)
{
    put(x, x->a.rows, x->a.fresh);
}

/* --- searches --- */

struct worker {
    struct qv__thread thread;
    struct setting *x;
    uint64_t start_ns, step_ns, end_ns; /* step 0: as fast as answers come */
    uint64_t *ns;
    size_t n, n_max;
    uint64_t seed;
};

static void wait_until(uint64_t at)
{
    uint64_t now = bench_ns();
    if (now < at) {
        struct timespec t = {(time_t)((at - now) / 1000000000u), (long)((at - now) % 1000000000u)};
        (void)nanosleep(&t, NULL);
    }
}

static void search_loop(void *arg)
{
    struct worker *w = arg;
    struct qv__rng rng;
    float v[DIM_MAX];
    qv__rng_seed(&rng, w->seed);
    for (uint64_t due = w->start_ns; due < w->end_ns && w->n < w->n_max;) {
        bench_fill(v, w->x->a.dim, &rng);
        if (w->step_ns) {
            wait_until(due);
        } else {
            due = bench_ns();
        }
        (void)bench_search(w->x->handle->db, w->x->c, v, w->x->a.dim);
        w->ns[w->n++] = bench_ns() - due;
        due = w->step_ns ? due + w->step_ns : bench_ns();
    }
}

/* Searches for stretch_ms at `rate` per second (0 = closed loop), with fresh points and `beside`
 * now and then (NULL = neither); latencies are appended to `ns` (NULL = not kept). Returns searches
 * per second. */
static double stretch(struct setting *x, double rate, void (*beside)(struct setting *),
                      uint64_t *ns, size_t *n, size_t n_max)
{
    struct worker w[WORKERS_MAX];
    size_t share = n_max / x->a.workers, total = 0;
    uint64_t start = bench_ns() + 1000000u, end = start + x->a.stretch_ms * 1000000u;
    for (uint32_t i = 0; i < x->a.workers; i++) {
        uint64_t step = rate > 0 ? (uint64_t)(1e9 * x->a.workers / rate) : 0;
        w[i] = (struct worker){.x = x,
                               .start_ns = start + step * i / x->a.workers,
                               .step_ns = step,
                               .end_ns = end,
                               .ns = calloc(share, sizeof *ns),
                               .n_max = share,
                               .seed = start + i};
        BENCH_OK(qv__thread_start(&w[i].thread, "search", search_loop, &w[i], err));
    }
    for (unsigned k = 0; beside && k < SLOTS; k++) {
        wait_until(start + x->a.stretch_ms * 1000000u * k / SLOTS);
        put_fresh(x);
        beside(x);
    }
    for (uint32_t i = 0; i < x->a.workers; i++) {
        qv__thread_join(&w[i].thread);
        for (size_t k = 0; k < w[i].n && ns; k++) {
            ns[(*n)++] = w[i].ns[k];
        }
        total += w[i].n;
        free(w[i].ns);
    }
    return (double)total / ((double)(bench_ns() - start) / 1e9);
}

/* --- what runs beside --- */

static void checkpoint(struct setting *x)
{
    BENCH_OK(qv__db_checkpoint(x->handle->db, err));
}

/* Only the writing of fresh points, which the other two do as well. */
static void nothing(struct setting *x)
{
    (void)x;
}

static void snapshot(struct setting *x)
{
    struct qv_response r = {0};
    BENCH_OK(qv_request(x->handle, "POST", "/collections/bench/snapshots", NULL, 0, &r, err));
    if (r.status != 200) {
        (void)fprintf(stderr, "snapshot: status %d: %s\n", r.status, r.body ? r.body : "");
        exit(1);
    }
    qv_response_free(&r);
}

static void run(struct setting *x, void (*beside)(struct setting *))
{
    enum { QUIET, WRITES, BESIDE, KINDS };
    static const char *const names[] = {"quiet", "writes", NULL};
    void (*const acts[])(struct setting *) = {NULL, nothing, beside};
    double p50[KINDS][ROUNDS_MAX], p99[KINDS][ROUNDS_MAX];
    double quiet[KINDS][ROUNDS_MAX], writes[ROUNDS_MAX];
    size_t most = 4000000;
    uint64_t *ns = calloc(most, sizeof *ns);
    put_fresh(x);
    checkpoint(x);
    double capacity = stretch(x, 0, NULL, NULL, NULL, most);
    double rate = capacity * (double)x->a.percent / 100;
    for (uint64_t r = 0; r < x->a.rounds; r++) {
        for (int k = QUIET; k < KINDS; k++) {
            size_t n = 0;
            put_fresh(x);
            (void)stretch(x, rate, acts[k], ns, &n, most);
            p50[k][r] = bench_percentile_us(ns, n, 0.50);
            p99[k][r] = bench_percentile_us(ns, n, 0.99);
            quiet[k][r] = p99[k][r] / p99[QUIET][r];
            checkpoint(x); /* the next stretch begins like this one */
        }
        writes[r] = p99[BESIDE][r] / p99[WRITES][r];
    }
    (void)printf("%.0f searches/s at most, measured at %.0f/s\n", capacity, rate);
    (void)printf("%-12s %10s %10s %10s %10s\n", "beside", "p50 us", "p99 us", "x quiet",
                 "x writes");
    for (int k = QUIET; k < KINDS; k++) {
        (void)printf("%-12s %10.1f %10.1f %10.2f", names[k] ? names[k] : x->a.with,
                     bench_median(p50[k], x->a.rounds), bench_median(p99[k], x->a.rounds),
                     bench_median(quiet[k], x->a.rounds));
        (void)printf(k == BESIDE ? " %10.2f\n" : "\n", bench_median(writes, x->a.rounds));
    }
    free(ns);
}

int main(int argc, char **argv)
{
    struct setting x = {
        .a = {.dir = bench_text(argc, argv, "dir", "/tmp/bench-checkpoint"),
              .with = bench_text(argc, argv, "with", "checkpoint"),
              .rows = bench_number(argc, argv, "rows", 200000),
              .fresh = bench_number(argc, argv, "fresh", 5000),
              .stretch_ms = bench_number(argc, argv, "stretch-ms", 3000),
              .rounds = QV_MIN(QV_MAX(bench_number(argc, argv, "rounds", 5), 1u), ROUNDS_MAX),
              .percent = bench_number(argc, argv, "percent", 30),
              .dim = (uint32_t)QV_MIN(bench_number(argc, argv, "dim", 128), DIM_MAX),
              .workers = (uint32_t)QV_MIN(QV_MAX(bench_number(argc, argv, "workers", 2), 1u),
                                          WORKERS_MAX)}};
    struct qv_options o = QV_OPTIONS_INIT;
    bench_clear(x.a.dir);
    BENCH_OK(qv_open(x.a.dir, &o, &x.handle, err));
    x.c = bench_collection(x.handle->db, x.a.dim, true, (uint32_t)x.a.rows / 2);
    x.batch = calloc((size_t)LOAD_BATCH * x.a.dim, sizeof *x.batch);
    qv__rng_seed(&x.rng, 1);
    put(&x, 0, x.a.rows);
    BENCH_OK(qv__collection_optimize(x.c, 1, err));
    run(&x, strcmp(x.a.with, "snapshot") == 0 ? snapshot : checkpoint);
    free(x.batch);
    qv__collection_release(x.c);
    BENCH_OK(qv_close(x.handle, err));
    return 0;
}

/* recovery.c: how long a database takes from a kill to its first answer.
 *
 * A child process makes the state and ends with _exit, closing nothing:
 *   log     all points are in the log only: no background work ever ran
 *   sealed  the points are in indexed segments, one twentieth more in the log
 * The parent opens the directory and searches. Files are in the page cache, as after a kill. "cpu
 * s" tells, on a machine that is busy otherwise, what "open s" would be. */
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define BATCH 1000u
#define SYNC_ROWS                                                                                  \
    20000u /* a sync steps the log alone; a write that waited would step the rest too */

struct args {
    const char *dir;
    uint64_t rows;
    uint32_t dim;
    bool sealed;
};

static void load(struct qv__db *db, struct qv__collection *c, uint64_t from, uint64_t to,
                 uint32_t dim)
{
    struct qv__rng rng;
    float *v = calloc((size_t)BATCH * dim, sizeof *v);
    qv__rng_seed(&rng, from + 1);
    for (; from < to; from += BATCH) {
        bench_put(c, from, (uint32_t)QV_MIN(to - from, (uint64_t)BATCH), dim, v, &rng,
                  QV__DURABILITY_RELAXED);
        if (from % SYNC_ROWS == 0) {
            BENCH_OK(qv__db_sync(db, err));
        }
    }
    free(v);
}

static void make_state(const struct args *a)
{
    /* Stepped, and only the log is stepped: nothing is sealed. */
    struct qv__db_options o = {.path = a->dir,
                               .seed = 1,
                               .threads = a->sealed ? 0 : -1,
                               .checkpoint_log_bytes = UINT64_C(1) << 40};
    struct qv__db *db = NULL;
    BENCH_OK(qv__db_open(&o, &db, err));
    struct qv__collection *c = bench_collection(db, a->dim, a->sealed, 0);
    load(db, c, 0, a->rows, a->dim);
    if (a->sealed) {
        BENCH_OK(qv__collection_optimize(c, 1, err));
        load(db, c, a->rows, a->rows + a->rows / 20, a->dim);
    }
    BENCH_OK(qv__db_sync(db, err));
    _exit(0); /* as a kill: no checkpoint */
}

static void measure(const struct args *a)
{
    struct qv__db_options o = {
        .path = a->dir, .seed = 1, .checkpoint_log_bytes = UINT64_C(1) << 40};
    struct qv__db *db = NULL;
    struct qv__collection *c = NULL;
    struct qv__db_info info;
    float *v = calloc(a->dim, sizeof *v);
    double cpu = bench_cpu_s();
    uint64_t start = bench_ns();
    BENCH_OK(qv__db_open(&o, &db, err));
    double open_s = (double)(bench_ns() - start) / 1e9, open_cpu_s = bench_cpu_s() - cpu;
    BENCH_OK(qv__db_collection(db, QV__STR("bench"), &c, err));
    if (bench_search(db, c, v, a->dim) != 10) {
        (void)fprintf(stderr, "the first search found too little\n");
        exit(1);
    }
    double serve_s = (double)(bench_ns() - start) / 1e9;
    qv__db_info(db, &info);
    double mb = (double)info.replayed_bytes / 1e6;
    (void)printf("%-8s %10s %10s %10s %10s %10s %12s\n", "state", "points", "log MB", "open s",
                 "cpu s", "MB/s", "1st answer s");
    (void)printf("%-8s %10llu %10.1f %10.2f %10.2f %10.0f %12.2f\n", a->sealed ? "sealed" : "log",
                 (unsigned long long)a->rows, mb, open_s, open_cpu_s, mb / open_s, serve_s);
    (void)fflush(stdout);
    free(v);
    _exit(0); /* leaves the state as it was, for another look */
}

int main(int argc, char **argv)
{
    struct args a = {.dir = bench_text(argc, argv, "dir", "/tmp/bench-recovery"),
                     .rows = bench_number(argc, argv, "rows", 1000000),
                     .dim = (uint32_t)bench_number(argc, argv, "dim", 128),
                     .sealed = strcmp(bench_text(argc, argv, "state", "log"), "sealed") == 0};
    if (!bench_number(argc, argv, "keep", 0)) {
        bench_clear(a.dir);
        pid_t child = fork();
        int status = 0;
        if (child == 0) {
            make_state(&a);
        }
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) {
            (void)fprintf(stderr, "the state could not be made\n");
            return 1;
        }
    }
    measure(&a);
    return 0;
}

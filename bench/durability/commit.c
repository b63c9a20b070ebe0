/* commit.c: what a durable write costs against the disk's own sync.
 *
 * In short turns, many rounds in one run: the floor (one thread, 4 KiB pwrite + fdatasync into a
 * zero-filled file), the engine with one writer, the floor again, the engine with four, and so on.
 * A writer is a thread that upserts one point and waits for its acknowledgement. Printed are
 * medians over the rounds; disks change their mind by the second, so "x floor" compares each turn
 * with the floor right before and after it.
 *
 * "group us" is wall time per group commit: what to compare with the floor's time per sync. "p50"
 * and "p99" are from the call to the acknowledgement: a write that arrives while a group is being
 * synced waits for that sync and for its own. "cpu us" is processor time per acknowledgement. */
#include <fcntl.h>
#include <unistd.h>

#include "base/thread.h"
#include "bench.h"

#define ROUNDS_MAX  64u
#define WRITERS_MAX 64u
#define FLOOR_BYTES ((size_t)4096)
#define FLOOR_FILE  ((size_t)64 << 20)
#define SAMPLES_MAX 400000u

struct figures {
    double per_s, group_us, ratio, acks_per_group, p50_us, p99_us, cpu_us;
};

/* --- the floor --- */

static int floor_file(const char *dir)
{
    char path[600];
    static uint8_t zeros[1 << 20];
    (void)snprintf(path, sizeof path, "%s/floor", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t at = 0; fd >= 0 && at < FLOOR_FILE; at += sizeof zeros) {
        if (pwrite(fd, zeros, sizeof zeros, (off_t)at) != (ssize_t)sizeof zeros) {
            fd = -1;
        }
    }
    if (fd < 0 || fsync(fd) != 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

static void run_floor(int fd, uint64_t turn_ms, uint64_t *samples, struct figures *out)
{
    static uint8_t block[FLOOR_BYTES];
    size_t n = 0, at = 0;
    double cpu = bench_cpu_s();
    uint64_t start = bench_ns(), now = start, end = start + turn_ms * 1000000u;
    memset(block, 0x5a, sizeof block);
    while (now < end && n < SAMPLES_MAX) {
        if (pwrite(fd, block, sizeof block, (off_t)at) != (ssize_t)sizeof block ||
            fdatasync(fd) != 0) {
            perror("floor");
            exit(1);
        }
        at = (at + FLOOR_BYTES) % FLOOR_FILE;
        uint64_t then = now;
        now = bench_ns();
        samples[n++] = now - then;
    }
    double s = (double)(now - start) / 1e9;
    cpu = bench_cpu_s() - cpu;
    *out = (struct figures){.per_s = (double)n / s,
                            .cpu_us = cpu * 1e6 / (double)n,
                            .group_us = s * 1e6 / (double)n,
                            .ratio = 1,
                            .acks_per_group = 1,
                            .p50_us = bench_percentile_us(samples, n, 0.5),
                            .p99_us = bench_percentile_us(samples, n, 0.99)};
}

/* --- the engine --- */

struct writer {
    struct qv__thread thread;
    struct qv__collection *c;
    uint32_t dim, number;
    uint64_t end_ns, *samples;
    size_t n, n_max;
};

static void write_loop(void *arg)
{
    struct writer *w = arg;
    struct qv__rng rng;
    float *v = calloc(w->dim, sizeof *v);
    qv__rng_seed(&rng, w->number + 1);
    for (uint64_t now = bench_ns(); now < w->end_ns && w->n < w->n_max;) {
        /* The same few points again and again: the log is measured, not a growing database. */
        bench_put(w->c, w->number * 1000u + w->n % 1000u, 1, w->dim, v, &rng, QV__DURABILITY_FSYNC);
        uint64_t then = now;
        now = bench_ns();
        w->samples[w->n++] = now - then;
    }
    free(v);
}

static void run_engine(struct qv__db *db, struct qv__collection *c, uint32_t dim, uint32_t writers,
                       uint64_t turn_ms, uint64_t *samples, struct figures *out)
{
    struct writer w[WRITERS_MAX];
    struct qv__db_info before, after;
    size_t n = 0, share = SAMPLES_MAX / writers;
    qv__db_info(db, &before);
    double cpu = bench_cpu_s();
    uint64_t start = bench_ns();
    for (uint32_t i = 0; i < writers; i++) {
        w[i] = (struct writer){.c = c,
                               .dim = dim,
                               .number = i,
                               .end_ns = start + turn_ms * 1000000u,
                               .samples = samples + i * share,
                               .n_max = share};
        BENCH_OK(qv__thread_start(&w[i].thread, "writer", write_loop, &w[i], err));
    }
    for (uint32_t i = 0; i < writers; i++) {
        qv__thread_join(&w[i].thread);
        memmove(samples + n, w[i].samples, w[i].n * sizeof *samples);
        n += w[i].n;
    }
    double s = (double)(bench_ns() - start) / 1e9;
    cpu = bench_cpu_s() - cpu;
    qv__db_info(db, &after);
    double groups = (double)(after.log_flushes - before.log_flushes);
    *out = (struct figures){.per_s = (double)n / s,
                            .group_us = s * 1e6 / groups,
                            .acks_per_group = (double)n / groups,
                            .cpu_us = cpu * 1e6 / (double)n,
                            .p50_us = bench_percentile_us(samples, n, 0.5),
                            .p99_us = bench_percentile_us(samples, n, 0.99)};
}

static double median_of(const struct figures *f, size_t n, size_t offset)
{
    double v[ROUNDS_MAX];
    for (size_t i = 0; i < n; i++) {
        memcpy(&v[i], (const char *)&f[i] + offset, sizeof v[i]);
    }
    return bench_median(v, n);
}
#define MEDIAN(f, n, member) median_of(f, n, offsetof(struct figures, member))

int main(int argc, char **argv)
{
    static const uint32_t writers[] = {1, 4, 16};
    static uint64_t samples[SAMPLES_MAX];
    static struct figures f[1 + QV_ARRAY_LEN(writers)][ROUNDS_MAX];
    const char *dir = bench_text(argc, argv, "dir", "/tmp/bench-commit");
    uint64_t turn_ms = bench_number(argc, argv, "turn-ms", 300);
    uint32_t dim = (uint32_t)bench_number(argc, argv, "dim", 128);
    size_t rounds = QV_MIN(QV_MAX(bench_number(argc, argv, "rounds", 12), 1u), ROUNDS_MAX);
    bench_clear(dir);
    int fd = floor_file(dir);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/db", dir);
    struct qv__db_options o = {.path = path, .seed = 1};
    struct qv__db *db = NULL;
    BENCH_OK(qv__db_open(&o, &db, err));
    struct qv__collection *c = bench_collection(db, dim, true, UINT32_MAX); /* no graph: the log is measured */
    for (size_t r = 0; r < rounds; r++) {
        double floor_us[QV_ARRAY_LEN(writers) + 1];
        for (size_t i = 0; i <= QV_ARRAY_LEN(writers); i++) {
            run_floor(fd, turn_ms, samples, &f[0][r]);
            floor_us[i] = f[0][r].group_us;
            if (i < QV_ARRAY_LEN(writers)) {
                run_engine(db, c, dim, writers[i], turn_ms, samples, &f[1 + i][r]);
            }
        }
        for (size_t i = 0; i < QV_ARRAY_LEN(writers); i++) {
            f[1 + i][r].ratio = f[1 + i][r].group_us / ((floor_us[i] + floor_us[i + 1]) / 2);
        }
    }
    (void)printf("%-10s %10s %10s %8s %10s %10s %10s %10s\n", "", "acks/s", "group us", "x floor",
                 "acks/group", "p50 us", "p99 us", "cpu us");
    for (size_t i = 0; i <= QV_ARRAY_LEN(writers); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, i ? "%u writers" : "sync floor", i ? writers[i - 1] : 0);
        (void)printf("%-10s %10.0f %10.1f %8.2f %10.1f %10.1f %10.1f %10.1f\n", name,
                     MEDIAN(f[i], rounds, per_s), MEDIAN(f[i], rounds, group_us),
                     MEDIAN(f[i], rounds, ratio), MEDIAN(f[i], rounds, acks_per_group),
                     MEDIAN(f[i], rounds, p50_us), MEDIAN(f[i], rounds, p99_us),
                     MEDIAN(f[i], rounds, cpu_us));
    }
    qv__collection_release(c);
    BENCH_OK(qv__db_close(db, err));
    close(fd);
    return 0;
}

/* test_durability_threads.c: fsync and relaxed writers at once, with the committer on its thread.
 *
 * After a power cut under the open database every fsync write that was acknowledged is there, and
 * what is there is a prefix of the log: no write without all that have a lower LSN. */
#include <dirent.h>
#include <unistd.h>

#include "engine_fixture.h"

#define WRITERS 4u
#define WRITES  150u
#define DIM     2

struct writer {
    struct qv__thread thread;
    struct qv__collection *c;
    uint32_t number;
    uint64_t lsn[WRITES];
    bool strict[WRITES];
    bool seen[WRITES]; /* by its writer, right after the acknowledgement */
};

static bool is_there(struct qv__collection *c, uint64_t id)
{
    struct qv__result_set rs;
    struct qv_err err;
    struct qv__id x = qv__id_u64(id);
    struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = c->mem};
    assert_int_equal(qv__collection_get(c, &x, 1, NULL, &ctx, &rs, &err), QV_OK);
    bool found = rs.n == 1;
    qv__result_free(&rs);
    return found;
}

static uint64_t id_of(uint32_t writer, uint32_t i)
{
    return (uint64_t)writer * 1000 + i;
}

static void write_all(void *arg)
{
    struct writer *w = arg;
    struct qv__rng rng;
    float v[DIM] = {1, 2};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    qv__rng_seed(&rng, w->number + 1);
    for (uint32_t i = 0; i < WRITES; i++) {
        struct qv__point p = {
            .id = qv__id_u64(id_of(w->number, i)), .vectors = &nv, .n_vectors = 1};
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1};
        struct qv__write_result r;
        struct qv_err err;
        w->strict[i] = qv__rng_u64(&rng) % 3 == 0;
        enum qv__durability d = w->strict[i] ? QV__DURABILITY_FSYNC : QV__DURABILITY_RELAXED;
        qv_status st = qv__collection_write_sync_as(w->c, &m, 1, d, &r, &err);
        w->lsn[i] = st == QV_OK ? r.operation_id : 0;
        w->seen[i] = is_there(w->c, id_of(w->number, i));
    }
}

static void check_prefix(struct fix *f, const struct writer *w)
{
    struct qv__collection *c = fix_collection(f, "c");
    uint64_t last_there = 0, first_missing = UINT64_MAX;
    for (uint32_t k = 0; k < WRITERS; k++) {
        for (uint32_t i = 0; i < WRITES; i++) {
            bool there = is_there(c, id_of(k, i));
            assert_true(w[k].lsn[i] > 0 && w[k].seen[i]);
            assert_true(there || !w[k].strict[i]);
            last_there = there ? QV_MAX(last_there, w[k].lsn[i]) : last_there;
            first_missing = there ? first_missing : QV_MIN(first_missing, w[k].lsn[i]);
        }
    }
    assert_true(last_there < first_missing);
    qv__collection_release(c);
}

static void fsync_and_relaxed_at_once(void **state)
{
    (void)state;
    for (uint32_t window_ms = 1; window_ms <= 10000; window_ms *= 100) {
        struct fix fx, *f = &fx;
        static struct writer w[WRITERS];
        fix_open(f, 2);
        qv__io_sim_sync_delay(f->io, 200u * 1000u);
        struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
        struct qv__schema s = fix_schema(&def, 1, 2);
        s.durability.window_ms = window_ms;
        OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
        struct qv__collection *c = fix_collection(f, "c");
        for (uint32_t k = 0; k < WRITERS; k++) {
            w[k] = (struct writer){.c = c, .number = k};
            OK(qv__thread_start(&w[k].thread, "writer", write_all, &w[k], &f->err));
        }
        for (uint32_t k = 0; k < WRITERS; k++) {
            qv__thread_join(&w[k].thread);
        }
        qv__collection_release(c);
        fix_crash(f, QV__CRASH_DROP_ALL, NULL);
        check_prefix(f, w);
        fix_close(f);
    }
}

/* How often the committer's thread has gone to sleep so far. */
static long committer_sleeps(void)
{
    long n = -1;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *e; tasks && (e = readdir(tasks));) {
        char path[300], line[128];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
        FILE *file = fopen(path, "r");
        bool is_it = false;
        while (file && fgets(line, sizeof line, file)) {
            is_it |= strcmp(line, "Name:\tqv-commit\n") == 0;
            if (is_it && sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1) {
                break;
            }
        }
        if (file) {
            fclose(file);
        }
    }
    if (tasks) {
        closedir(tasks);
    }
    return n;
}

/* Without relaxed writes that wait for their sync there is no timer. */
static void idle_database_does_not_wake_up(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, 2);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 1);
    s.durability = (struct qv__durability_policy){QV__DURABILITY_RELAXED, 1};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    struct writer w = {.c = fix_collection(f, "c")};
    write_all(&w);
    OK(qv__db_sync(f->db, &f->err));
    long before = committer_sleeps();
    usleep(100 * 1000); /* a hundred windows */
    long after = committer_sleeps();
    if (before >= 0) {
        assert_in_range(after - before, 0, 3); /* it may not have gone to sleep yet */
    }
    qv__collection_release(w.c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fsync_and_relaxed_at_once),
        cmocka_unit_test(idle_database_does_not_wake_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

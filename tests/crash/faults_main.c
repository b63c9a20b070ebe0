/* faults_main.c: the command crash_faults: the n-th allocation or the n-th call of the disk fails,
 * for every n until a workload runs through.
 *
 * A run is a workload with one fault. Whatever fails must fail cleanly: with an error of its kind,
 * the database as before (it is read back at once, with the fault put aside), nothing of it done
 * later. What was acknowledged must be there at the end; then the disk crashes in one of three
 * ways, the database must start on it, hold a state between acknowledged and sent, take another
 * request, and give back all memory. A start that fails is tried again on a crashed disk without
 * the fault.
 *
 * Recovery itself is tried more often: the workload runs once, its disk is put aside after every
 * few steps, and each is opened with the n-th call failing, crashed again, and opened. */
#include <getopt.h>
#include <stdio.h>

#include "engine/collection.h"
#include "world.h"

enum { DISKS = 6 };

/* Which calls fail, and how. */
struct fault {
    const char *name;
    bool memory;
    enum qv__sim_call call;
    qv_status status;
    bool partial;
};

static const struct fault faults[] = {
    {"memory", true, QV__SIM_ANY, QV_ENOMEM, false},
    {"any-eio", false, QV__SIM_ANY, QV_EIO, false},
    {"open-eio", false, QV__SIM_OPEN, QV_EIO, false},
    {"read-eio", false, QV__SIM_READ, QV_EIO, false},
    {"write-eio", false, QV__SIM_WRITE, QV_EIO, false},
    {"write-short", false, QV__SIM_WRITE, QV_ENOSPC, true},
    {"sync-eio", false, QV__SIM_SYNC, QV_EIO, false},
    {"meta-eio", false, QV__SIM_META, QV_EIO, false},
    {"meta-enospc", false, QV__SIM_META, QV_ENOSPC, false},
    {"open-enospc", false, QV__SIM_OPEN, QV_ENOSPC, false},
};

struct settings {
    const char *program;
    const struct workload *only_workload;
    const struct fault *only_fault;
    uint64_t seed, points, only_at;
    int only_sticky; /* -1 = both */
    bool in_recovery_only, workload_only;
};

struct run {
    struct world w;
    const struct fault *fault;
    bool sticky;
    uint64_t at;
    bool armed;
    struct qv__io *disks[DISKS];
    uint32_t acked[DISKS], sent[DISKS];
    unsigned n_disks, pauses, every;
    char again[256];
};

/* --- the fault --- */

static void arm(struct run *r, uint64_t at)
{
    r->armed = true;
    if (r->fault->memory) {
        qv__mem_fail_at(r->w.mem, at, r->sticky);
    } else {
        qv__io_sim_fault(r->w.io, (struct qv__sim_fault){.call = r->fault->call,
                                                         .at = at,
                                                         .sticky = r->sticky,
                                                         .status = r->fault->status,
                                                         .partial = r->fault->partial});
    }
}

static void disarm(struct run *r)
{
    qv__mem_fail_at(r->w.mem, 0, false);
    qv__io_sim_fault(r->w.io, (struct qv__sim_fault){0});
}

static uint64_t calls(const struct run *r)
{
    return r->fault->memory ? qv__mem_allocations(r->w.mem)
                            : qv__io_sim_calls(r->w.io, r->fault->call);
}

/* An error that such a fault may show as. */
static bool is_clean(const struct run *r, qv_status st)
{
    return st == r->fault->status || st == QV_EREADONLY || st == QV_ENOMEM ||
           (!r->fault->memory && (st == QV_EIO || st == QV_ENOSPC || st == QV_EQUARANTINED));
}

static struct qv__io *crashed(struct run *r, struct qv__io *io, uint64_t how)
{
    static const enum qv__sim_crash hows[] = {QV__CRASH_DROP_ALL, QV__CRASH_RANDOM,
                                              QV__CRASH_KEEP_ALL};
    struct qv_err err;
    struct qv__io *after = NULL;
    if (qv__io_sim_crash(io, hows[how % QV_ARRAY_LEN(hows)], &r->w.rng, &after, &err) != QV_OK) {
        world_die(&r->w, "%s", err.message);
    }
    return after;
}

/* --- what is looked at --- */

/* A step failed: nothing of it may be seen. */
static void on_failed(struct world *w, const char *what, qv_status st, const struct qv_err *err)
{
    struct run *r = w->harness;
    struct check_found found;
    char why[CHECK_WHY];
    if (!is_clean(r, st)) {
        world_die(w, "%s fails with %s: %s", what, qv_status_name(st), err->message);
    }
    disarm(r);
    if (!w->db) { /* a start, or an end, that failed */
        if (qv__mem_used(w->mem) != 0) {
            world_die(w, "%s failed and kept %zu bytes", what, qv__mem_used(w->mem));
        }
        if (strcmp(what, "open") == 0) {
            struct qv__io *after = crashed(r, w->io, r->at);
            qv__io_close(w->io);
            w->io = after;
            world_open(w);
        }
        return;
    }
    if (!world_is_lost(w)) {
        if (check_read(w->db, w->mem_test, &found, why) != QV_OK ||
            oracle_match(&w->oracle, &found.state, why, sizeof why) < 0) {
            world_die(w, "after %s failed (%s): %s", what, err->message, why);
        }
        if (r->sticky) {
            arm(r, 1);
        }
    }
}

/* Everything works again. */
static void check_end(struct run *r)
{
    struct world *w = &r->w;
    char why[CHECK_WHY];
    disarm(r);
    w->may_fail = false;
    if (!world_is_lost(w)) {
        world_drain(w);
        if (r->at % 2) { /* else after the crash */
            world_forget_doubtful(w);
        }
        world_read(w);
    }
    static const enum qv__sim_crash hows[] = {QV__CRASH_DROP_ALL, QV__CRASH_RANDOM,
                                              QV__CRASH_KEEP_ALL};
    world_crash(w, hows[r->at % QV_ARRAY_LEN(hows)]);
    if (!check_reads(w->db, w->mem_test, oracle_newest(&w->oracle), false, r->at, why)) {
        world_die(w, "%s", why);
    }
    world_forget_doubtful(w);
    for (unsigned i = 0; i < ORACLE_COLLECTIONS; i++) {
        const char *name = oracle_newest(&w->oracle)->c[i].name;
        if (name[0]) {
            world_upsert(w, name, (uint32_t)r->at % 50, 4);
        }
    }
    world_drain(w);
    world_read(w);
    world_end(w);
}

/* --- runs --- */

static void run_begin(struct run *r, const struct settings *s, const struct workload *what,
                      const char *where)
{
    snprintf(r->again, sizeof r->again,
             "%s --workload %s --seed %llu --fault %s --at %llu --%s --%s", s->program, what->name,
             (unsigned long long)s->seed, r->fault->name, (unsigned long long)r->at,
             r->sticky ? "sticky" : "once", where);
    r->w.harness = r;
    r->w.again = r->again;
}

/* Of a whole workload; at 0: without the fault. Returns the calls made. */
static uint64_t run_workload(const struct settings *s, const struct workload *what,
                             const struct fault *fault, bool sticky, uint64_t at)
{
    static struct run r;
    memset(&r, 0, sizeof r);
    r.fault = fault;
    r.sticky = sticky;
    r.at = at;
    run_begin(&r, s, what, "in-workload");
    world_begin(&r.w, what->name, s->seed);
    uint64_t before = calls(&r);
    if (at > 0) {
        r.w.may_fail = true;
        r.w.failed = on_failed;
        arm(&r, at);
    }
    what->run(&r.w);
    uint64_t made = calls(&r) - before;
    check_end(&r);
    return made;
}

static void put_aside(struct world *w)
{
    struct run *r = w->harness;
    if (r->pauses++ % r->every == r->every - 1 && r->n_disks < DISKS) {
        struct qv_err err;
        if (qv__io_sim_crash(w->io, QV__CRASH_KEEP_ALL, NULL, &r->disks[r->n_disks], &err) !=
            QV_OK) {
            world_die(w, "%s", err.message);
        }
        r->acked[r->n_disks] = w->oracle.acked;
        r->sent[r->n_disks] = w->oracle.n_sent;
        r->n_disks++;
    }
}

/* Open disk i with a fault, crash, open: what is found must be explained. Returns the calls. */
static uint64_t recover_with_fault(struct run *r, unsigned i, bool sticky, uint64_t at)
{
    struct world *w = &r->w;
    struct qv_err err;
    struct check_found found;
    char why[CHECK_WHY];
    struct oracle range = w->oracle;
    range.acked = r->acked[i];
    range.n_sent = r->sent[i];
    r->sticky = sticky;
    r->at = at;
    struct qv__io *live = w->io;
    w->io = crashed(r, r->disks[i], at);
    w->options.io = w->io;
    uint64_t before = calls(r);
    if (at > 0) {
        arm(r, at);
    }
    struct qv__db *db = NULL;
    qv_status st = qv__db_open(&w->options, &db, &err);
    if (st == QV_OK) {
        bool struck = calls(r) - before >= at;
        disarm(r);
        st = check_read(db, w->mem_test, &found, why); /* what could not be read is quarantined */
        if (st == QV_OK ? oracle_match(&range, &found.state, why, sizeof why) < 0
                        : st != QV_EQUARANTINED || !is_clean(r, st)) {
            world_die(w, "started nevertheless: %s", why);
        }
        if (at > 0 && (sticky || !struck)) {
            arm(r, struck ? 1 : at - (calls(r) - before));
        }
        while (qv__db_step(db)) {
        }
        (void)!qv__db_close(db, &err); /* with a checkpoint, which may fail */
    } else if (!is_clean(r, st)) {
        world_die(w, "start fails with %s: %s", qv_status_name(st), err.message);
    }
    uint64_t made = calls(r) - before;
    disarm(r);
    if (qv__mem_used(w->mem) != 0) {
        world_die(w, "%zu bytes were not given back", qv__mem_used(w->mem));
    }
    struct qv__io *after = crashed(r, w->io, at / 3);
    qv__io_close(w->io);
    w->io = after;
    w->options.io = after;
    st = qv__db_open(&w->options, &db, &err);
    if (st != QV_OK) {
        world_die(w, "start after a crash fails with %s: %s", qv_status_name(st), err.message);
    }
    if (check_read(db, w->mem_test, &found, why) != QV_OK ||
        oracle_match(&range, &found.state, why, sizeof why) < 0 ||
        !check_reads(db, w->mem_test, &found.state, false, at, why)) {
        world_die(w, "%s", why);
    }
    world_abandon(db);
    qv__io_close(w->io);
    w->io = live;
    return made;
}

/* --- loops --- */

struct totals {
    uint64_t runs, recoveries;
};

/* Points from 1 to n: all, or so many, spread. */
static uint64_t step_of(const struct settings *s, uint64_t n)
{
    return s->points && n > s->points ? n / s->points : 1;
}

static bool wanted(const struct settings *s, const struct fault *fault, int sticky)
{
    return (!s->only_fault || s->only_fault == fault) &&
           (s->only_sticky < 0 || s->only_sticky == sticky);
}

static void loop_workload(const struct settings *s, const struct workload *what,
                          struct totals *totals)
{
    for (size_t k = 0; k < QV_ARRAY_LEN(faults); k++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            if (!wanted(s, &faults[k], sticky)) {
                continue;
            }
            if (s->only_at) {
                run_workload(s, what, &faults[k], sticky, s->only_at);
                totals->runs++;
                continue;
            }
            uint64_t n = run_workload(s, what, &faults[k], sticky, 0), step = step_of(s, n);
            for (uint64_t at = 1 + s->seed % step; at <= n + step; at += step) {
                run_workload(s, what, &faults[k], sticky, at);
                totals->runs++;
            }
        }
    }
}

static void loop_recovery(const struct settings *s, const struct workload *what,
                          struct totals *totals)
{
    static struct run r;
    memset(&r, 0, sizeof r);
    r.fault = &faults[0];
    r.every = UINT32_MAX;
    r.w.harness = &r;
    r.w.pause = put_aside;
    world_begin(&r.w, what->name, s->seed); /* once to count, once to put aside */
    what->run(&r.w);
    unsigned pauses = r.pauses;
    world_end(&r.w);
    memset(&r, 0, sizeof r);
    r.fault = &faults[0];
    r.every = QV_MAX(pauses / DISKS, 1u);
    r.w.harness = &r;
    r.w.pause = put_aside;
    world_begin(&r.w, what->name, s->seed);
    what->run(&r.w);
    r.w.pause = NULL;
    world_abandon(r.w.db);
    r.w.db = NULL;
    for (size_t k = 0; k < QV_ARRAY_LEN(faults); k++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            r.fault = &faults[k];
            for (unsigned i = 0; wanted(s, r.fault, sticky) && i < r.n_disks; i++) {
                r.at = 0;
                uint64_t n = recover_with_fault(&r, i, sticky, 0), step = step_of(s, n);
                for (uint64_t at = 1 + s->seed % step; at <= n; at += step) {
                    if (s->only_at && s->only_at != at) {
                        continue;
                    }
                    r.at = at;
                    r.sticky = sticky;
                    run_begin(&r, s, what, "in-recovery");
                    recover_with_fault(&r, i, sticky, at);
                    totals->recoveries++;
                }
            }
        }
    }
    for (unsigned i = 0; i < r.n_disks; i++) {
        qv__io_close(r.disks[i]);
    }
    world_end(&r.w);
}

/* --- the command --- */

static void usage(FILE *to)
{
    fputs("usage: crash_faults [--workload NAME] [--seed N] [--points N | --all]\n"
          "                    [--fault NAME] [--at N] [--once | --sticky]\n"
          "                    [--in-workload | --in-recovery] [--list]\n"
          "The n-th allocation or call of the disk fails, for n from 1 until nothing fails.\n"
          "  --points  so many n for each kind of fault, spread (20); --all: every n\n",
          to);
}

static void list(void)
{
    for (unsigned i = 0; i < n_workloads; i++) {
        printf("workload %-10s %s\n", workloads[i].name, workloads[i].what);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(faults); i++) {
        printf("fault    %s\n", faults[i].name);
    }
}

static void take(struct settings *s, int option, const char *value)
{
    switch (option) {
    case 'w':
        s->only_workload = workload_find(value);
        if (!s->only_workload) {
            fprintf(stderr, "crash_faults: no workload %s\n", value);
            exit(2);
        }
        break;
    case 'f':
        for (size_t i = 0; i < QV_ARRAY_LEN(faults); i++) {
            s->only_fault = strcmp(faults[i].name, value) == 0 ? &faults[i] : s->only_fault;
        }
        break;
    case 's':
        s->seed = strtoull(value, NULL, 10);
        break;
    case 'p':
        s->points = strtoull(value, NULL, 10);
        break;
    case 'a':
        s->only_at = strtoull(value, NULL, 10);
        break;
    case 'A':
        s->points = 0;
        break;
    case '0':
    case '1':
        s->only_sticky = option - '0';
        break;
    case 'W':
        s->workload_only = true;
        break;
    case 'R':
        s->in_recovery_only = true;
        break;
    case 'l':
        list();
        exit(0);
    default:
        usage(option == 'h' ? stdout : stderr);
        exit(option == 'h' ? 0 : 2);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"workload", required_argument, NULL, 'w'},
                                            {"fault", required_argument, NULL, 'f'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"points", required_argument, NULL, 'p'},
                                            {"at", required_argument, NULL, 'a'},
                                            {"all", no_argument, NULL, 'A'},
                                            {"once", no_argument, NULL, '0'},
                                            {"sticky", no_argument, NULL, '1'},
                                            {"in-workload", no_argument, NULL, 'W'},
                                            {"in-recovery", no_argument, NULL, 'R'},
                                            {"list", no_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct settings s = {.program = argv[0], .seed = 1, .points = 20, .only_sticky = -1};
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        take(&s, option, optarg);
    }
    struct totals all = {0};
    for (unsigned i = 0; i < n_workloads; i++) {
        if (s.only_workload && s.only_workload != &workloads[i]) {
            continue;
        }
        struct totals t = {0};
        if (!s.in_recovery_only) {
            loop_workload(&s, &workloads[i], &t);
        }
        if (!s.workload_only) {
            loop_recovery(&s, &workloads[i], &t);
        }
        printf("%-10s seed %llu: %llu runs, %llu recoveries\n", workloads[i].name,
               (unsigned long long)s.seed, (unsigned long long)t.runs,
               (unsigned long long)t.recoveries);
        fflush(stdout);
        all.runs += t.runs;
        all.recoveries += t.recoveries;
    }
    printf("%llu runs and %llu recoveries with a fault: all clean\n", (unsigned long long)all.runs,
           (unsigned long long)all.recoveries);
    return 0;
}

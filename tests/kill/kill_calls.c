/* kill_calls.c: a process that works on a real directory dies at its n-th system call that changes
 * files, or that call fails, for every n until the work is done; then the directory must hold what
 * was acknowledged.
 *
 *   kill_calls [--quick] [--script NAME] [--mode NAME] [--at N] [--dir DIR]
 *
 * The parent forks a child per n. The child tells the ledger through a pipe what it sends and what
 * is acknowledged, so that the parent knows both sides whenever the child ends. See README.md. The
 * last line is "N passed, N failed": one per system call that was hit. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "script.h"

enum saying { SENT = 1, ACKED, REFUSED, UNKNOWN, CAME_BACK, GONE, COUNTED };

/* What a child says: `number` is a request's, or a count. */
struct said {
    uint32_t what, number;
};

struct mode {
    const char *name, *what;
    bool always; /* at every call, with --quick too */
    bool kill_recovery;
    struct calls_plan plan; /* without `at` */
};
static const struct mode modes[] = {
    {"kill", "killed before each call", true, false, {CALLS_KILL, .kinds = CALLS_ANY}},
    {"tear",
     "killed in the middle of each write",
     false,
     false,
     {CALLS_TEAR, .kinds = CALLS_WRITE | CALLS_ZERO}},
    {"recovery",
     "killed before each call, and again at one of recovery's",
     false,
     true,
     {CALLS_KILL, .kinds = CALLS_ANY}},
    {"eio",
     "EIO from each call, once",
     false,
     false,
     {CALLS_FAIL, .kinds = CALLS_ANY, .error = EIO}},
    {"eio-burst",
     "EIO from each call and from the 5 after it",
     false,
     false,
     {CALLS_FAIL, .kinds = CALLS_ANY, .error = EIO, .lasting = 6}},
    {"eio-sync",
     "EIO from each sync on, for ever",
     false,
     false,
     {CALLS_FAIL, .kinds = CALLS_SYNC | CALLS_DATASYNC, .error = EIO, .lasting = UINT32_MAX}},
    {"enospc",
     "ENOSPC from each call that needs space, once",
     false,
     false,
     {CALLS_FAIL, .kinds = CALLS_SPACE, .error = ENOSPC}},
    {"enospc-log",
     "ENOSPC from each call that lengthens a log file, once",
     true,
     false,
     {CALLS_FAIL, .kinds = CALLS_ZERO | CALLS_ALLOCATE, .error = ENOSPC}},
    {"full",
     "ENOSPC from each call that needs space and from the 30 after it",
     false,
     false,
     {CALLS_FAIL, .kinds = CALLS_SPACE, .error = ENOSPC, .lasting = 31}},
};

struct job {
    const struct script *script;
    const struct mode *mode;
    struct calls_plan plan;
    char dir[512];
};

/* --- the child --- */

struct child {
    struct job *job;
    struct script_run run;
    int out;
    struct script_state sure;  /* all that was acknowledged */
    struct script_state maybe; /* with the one request whose fate is unknown */
    bool has_maybe;
    bool is_fenced; /* the log failed: no change may be acknowledged before a restart */
};

static void say(struct child *c, enum saying what, uint32_t number)
{
    struct said s = {what, number};
    if (write(c->out, &s, sizeof s) != (ssize_t)sizeof s) {
        _exit(3);
    }
}

__attribute__((format(printf, 2, 3))) _Noreturn static void violation(struct child *c,
                                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s, %s at call %llu: ", c->job->script->name, c->job->mode->name,
            (unsigned long long)c->job->plan.at);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    _exit(2);
}

static unsigned count_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) {
        n++;
    }
    if (d) {
        closedir(d);
    }
    return n;
}

/* The database was closed and opened: the request of unknown fate, if any, is there or not. */
static void resolve(struct child *c, uint32_t n)
{
    char text[1024];
    bool is_there = false;
    if (script_differs(&c->run, &c->sure, text, sizeof text)) {
        is_there = c->has_maybe && !script_differs(&c->run, &c->maybe, text, sizeof text);
        if (!is_there) {
            violation(c, "request %u: after opening again: %s", n, text);
        }
        c->sure = c->maybe;
    }
    c->has_maybe = c->is_fenced = false;
    say(c, is_there ? CAME_BACK : GONE, n);
}

static void acknowledge(struct child *c, uint32_t n)
{
    (void)script_apply(c->job->script, n, &c->sure);
    if (c->has_maybe) {
        (void)script_apply(c->job->script, n, &c->maybe);
    }
    say(c, ACKED, n);
}

static void on_answer(struct child *c, uint32_t n, qv_status st)
{
    char text[1024];
    struct script_state after = c->sure;
    bool accepted = script_apply(c->job->script, n, &after);
    bool changes = accepted && memcmp(&after, &c->sure, sizeof after) != 0;
    if (st == QV_OK) {
        if (!accepted) {
            violation(c, "request %u was to be refused", n);
        }
        if (changes && c->is_fenced && script_kind(c->job->script, n) == SCRIPT_WRITE) {
            violation(c, "request %u was acknowledged after the log had failed", n);
        }
        acknowledge(c, n);
        return;
    }
    if (accepted && calls_failed() == 0) {
        violation(c, "request %u was refused: %s", n, c->run.err.message);
    }
    enum script_kind kind = script_kind(c->job->script, n);
    bool fences = st == QV_EREADONLY && !c->is_fenced && kind == SCRIPT_WRITE;
    c->is_fenced |= fences;
    if (kind == SCRIPT_FILES && !fences && script_differs(&c->run, &c->sure, text, sizeof text) &&
        !script_differs(&c->run, &after, text, sizeof text)) {
        acknowledge(c, n); /* its last step failed, but it can be seen; so will it after a kill */
        return;
    }
    if (fences && changes) {
        c->maybe = after;
        c->has_maybe = true;
        say(c, UNKNOWN, n);
    } else {
        say(c, REFUSED, n);
    }
    /* Reading goes on, and shows nothing of it. */
    const char *wrong = script_differs(&c->run, &c->sure, text, sizeof text);
    if (wrong) {
        violation(c, "request %u was refused (%s), and then: %s", n, qv_status_name(st), wrong);
    }
}

/* Without the trouble: a healthy log takes writes at once, a failed one only after a restart. */
static void after_trouble(struct child *c)
{
    struct calls_plan none = {0};
    calls_arm(&none);
    qv_status st = script_probe(&c->run);
    if (c->is_fenced && st != QV_EREADONLY) {
        violation(c, "the log failed, and a later write got %s", qv_status_name(st));
    }
    if (!c->is_fenced && st != QV_OK && st != QV_EREADONLY) {
        violation(c, "writes do not resume: %s", c->run.err.message);
    }
}

_Noreturn static void work(struct job *job, int out)
{
    struct child c = {.job = job, .out = out, .run = {.script = job->script, .dir = job->dir}};
    unsigned fds = count_fds();
    calls_arm(&job->plan);
    qv_status st = script_open(&c.run);
    for (uint32_t n = 1; st == QV_OK && n <= job->script->n_requests; n++) {
        say(&c, SENT, n);
        qv_status answer = script_do(&c.run, n);
        if (n == 1 && answer == QV_ENOSPC) { /* all others need what it makes: once more */
            answer = script_do(&c.run, n);
        }
        if (script_kind(job->script, n) == SCRIPT_REOPEN) {
            st = answer;
            if (st == QV_OK) {
                resolve(&c, n);
            }
        } else {
            on_answer(&c, n, answer);
        }
    }
    if (st != QV_OK && calls_failed() == 0) {
        violation(&c, "opening: %s", c.run.err.message);
    }
    uint64_t hits = calls_seen();
    for (unsigned i = 0; i < CALLS_KINDS; i++) {
        say(&c, COUNTED, (uint32_t)calls_of(i));
    }
    if (c.run.db) {
        if (job->plan.deed == CALLS_FAIL) {
            after_trouble(&c);
        }
        st = script_close(&c.run);
        if (st != QV_OK && calls_failed() == 0 && !c.is_fenced) {
            violation(&c, "closing: %s", c.run.err.message);
        }
    }
    if (count_fds() != fds) {
        violation(&c, "%u files were open, now %u", fds, count_fds());
    }
    _exit(hits < job->plan.at ? 0 : 4); /* 4: the plan was met, and the child lived */
}

/* --- the parent --- */

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        perror(path);
        exit(2);
    }
}

struct ledger {
    struct script_state sure, maybe;
    bool has_maybe, is_unknown; /* unknown: it was answered so, and stays so until a restart */
    uint32_t last_sent;
    uint32_t counts[CALLS_KINDS];
    unsigned n_counts;
};

static void learn(struct ledger *l, const struct script *script, const struct said *s)
{
    switch ((enum saying)s->what) {
    case SENT:
        l->last_sent = s->number;
        if (!l->is_unknown) {
            l->maybe = l->sure;
            l->has_maybe = script_apply(script, s->number, &l->maybe);
        }
        break;
    case ACKED:
        (void)script_apply(script, s->number, &l->sure);
        if (l->is_unknown) {
            (void)script_apply(script, s->number, &l->maybe);
        }
        l->has_maybe = l->is_unknown;
        break;
    case REFUSED:
        l->has_maybe = l->is_unknown;
        break;
    case UNKNOWN:
        l->is_unknown = true;
        break;
    case CAME_BACK:
        l->sure = l->maybe;
        l->has_maybe = l->is_unknown = false;
        break;
    case GONE:
        l->has_maybe = l->is_unknown = false;
        break;
    case COUNTED:
        l->counts[l->n_counts++ % CALLS_KINDS] = s->number;
        break;
    default:
        break;
    }
}

/* Run a child and learn what it said; its exit status. */
static int run_child(struct job *job, struct ledger *l)
{
    int fds[2], status = 0;
    struct said s;
    fflush(NULL);
    if (pipe(fds) != 0) {
        perror("pipe");
        exit(2);
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        work(job, fds[1]);
    }
    close(fds[1]);
    while (pid > 0 && read(fds[0], &s, sizeof s) == (ssize_t)sizeof s) {
        learn(l, job->script, &s);
    }
    close(fds[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("fork");
        exit(2);
    }
    return status;
}

/* Start again, and die at the n-th call of the start. */
static void kill_recovery(const struct job *job, uint64_t n)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct script_run run = {.script = job->script, .dir = job->dir};
        struct calls_plan plan = {.deed = CALLS_KILL, .kinds = CALLS_ANY, .at = n};
        calls_arm(&plan);
        (void)!script_open(&run);
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
}

static void find_damage(void *arg, const struct qv__check_finding *f)
{
    if (f->damaged) {
        snprintf(arg, 1024, "%s: %s", f->file, f->message);
    }
}

/* The offline check: a crash leaves nothing that it calls damage. */
static bool files_are_whole(const struct job *job, char *text)
{
    struct qv_err err;
    struct qv__io *io = NULL;
    char path[560];
    snprintf(path, sizeof path, "%s/CURRENT", job->dir);
    if (access(path, F_OK) != 0) {
        return true; /* nothing was begun */
    }
    struct qv__mem *mem = qv__mem_root("check", 0);
    qv_status st = qv__io_posix_open(mem, job->dir, false, &io, &err);
    if (st == QV_OK) {
        st = qv__db_check(io, mem, find_damage, text, &err);
    }
    qv__io_close(io);
    qv__mem_close(mem);
    return st == QV_OK;
}

/* Open what is there and compare; twice, because opening again must change nothing. */
static bool verify(struct job *job, struct ledger *l, char *text, size_t n)
{
    struct script_run run = {.script = job->script, .dir = job->dir};
    if (!files_are_whole(job, text)) {
        return false;
    }
    for (int round = 0; round < 2; round++) {
        if (script_open(&run) != QV_OK) {
            snprintf(text, n, "opening: %s", run.err.message);
            return false;
        }
        bool is_wrong = script_differs(&run, &l->sure, text, n) != NULL;
        if (is_wrong && l->has_maybe && !script_differs(&run, &l->maybe, text, n)) {
            is_wrong = false;
            l->sure = l->maybe;
        }
        l->has_maybe = false;
        if (script_close(&run) != QV_OK) {
            snprintf(text, n, "closing: %s", run.err.message);
            return false;
        }
        if (is_wrong) {
            return false;
        }
    }
    return true;
}

/* One child, at call `at`. *met false: the work was done before that call. */
static bool run_at(struct job *job, uint64_t at, bool *met, struct ledger *l)
{
    char text[1024] = "";
    remove_tree(job->dir);
    *l = (struct ledger){0};
    job->plan = job->mode->plan;
    job->plan.at = at;
    int status = run_child(job, l);
    bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool ended = WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 4);
    *met = was_killed || (WIFEXITED(status) && WEXITSTATUS(status) == 4);
    if (job->mode->kill_recovery && was_killed) {
        kill_recovery(job, 1 + at % 13);
    }
    bool ok = (was_killed || ended) && verify(job, l, text, sizeof text);
    if (!ok) {
        printf("%s, %s at call %llu, in request %u: child status %#x: %s\n", job->script->name,
               job->mode->name, (unsigned long long)at, l->last_sent, (unsigned)status, text);
    }
    return ok;
}

/* --quick: every call kills; of the other troubles most meet every so many. */
#define QUICK_STEP 7

struct options {
    const char *script, *mode, *dir, *self;
    uint64_t at;
    bool is_quick;
};

static void run_mode(struct job *job, const struct options *o, unsigned *passed, unsigned *failed)
{
    struct ledger l;
    unsigned before = *passed;
    bool met = true;
    uint64_t step = o->is_quick && !job->mode->always ? QUICK_STEP : 1;
    for (uint64_t at = o->at ? o->at : 1; met; at += step) {
        if (run_at(job, at, &met, &l)) {
            *passed += met;
        } else {
            ++*failed;
            printf("again: %s --script %s --mode %s --at %llu\nthe files: %s\n", o->self,
                   job->script->name, job->mode->name, (unsigned long long)at, job->dir);
            return;
        }
        if (o->at) {
            break;
        }
    }
    printf("%-9s %-10s %5u %s\n", job->script->name, job->mode->name, *passed - before,
           job->mode->what);
    fflush(stdout);
}

/* How many calls of each kind the whole work makes, with nothing going wrong. */
static bool tell_calls(struct job *job)
{
    static const struct mode none = {.name = "count", .plan = {.kinds = CALLS_ANY}};
    struct ledger l;
    bool met;
    job->mode = &none;
    if (!run_at(job, UINT64_MAX, &met, &l)) {
        return false;
    }
    printf("%s: %s:", job->script->name, job->script->what);
    for (unsigned i = 0; i < CALLS_KINDS; i++) {
        if (l.counts[i]) {
            printf(" %u %s", l.counts[i], calls_name(i));
        }
    }
    printf("\n");
    return true;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    *o = (struct options){.self = argv[0], .script = "", .mode = ""};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--quick") == 0) {
            o->is_quick = true;
            continue;
        }
        if (!value) {
            return false;
        }
        if (strcmp(argv[i], "--script") == 0) {
            o->script = value;
        } else if (strcmp(argv[i], "--mode") == 0) {
            o->mode = value;
        } else if (strcmp(argv[i], "--dir") == 0) {
            o->dir = value;
        } else if (strcmp(argv[i], "--at") == 0) {
            o->at = strtoull(value, NULL, 10);
        } else {
            return false;
        }
        i++;
    }
    const char *tmp = getenv("TMPDIR");
    /* A process that dies loses nothing that its calls left in the page cache: memory will do. */
    o->dir = o->dir ? o->dir : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : tmp ? tmp : "/tmp";
    return true;
}

int main(int argc, char **argv)
{
    struct options o;
    unsigned passed = 0, failed = 0;
    if (!read_options(argc, argv, &o)) {
        fprintf(stderr, "usage: %s [--quick] [--script NAME] [--mode NAME] [--at N] [--dir DIR]\n",
                argv[0]);
        return 2;
    }
    struct job job = {0};
    snprintf(job.dir, sizeof job.dir, "%s/quiver-calls-%ld", o.dir, (long)getpid());
    for (unsigned s = 0; s < n_scripts && !failed; s++) {
        if (*o.script && strcmp(o.script, scripts[s].name) != 0) {
            continue;
        }
        job.script = &scripts[s];
        failed += !tell_calls(&job);
        for (unsigned m = 0; m < QV_ARRAY_LEN(modes) && !failed; m++) {
            if (!*o.mode || strcmp(o.mode, modes[m].name) == 0) {
                job.mode = &modes[m];
                run_mode(&job, &o, &passed, &failed);
            }
        }
    }
    if (!failed) {
        remove_tree(job.dir);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}

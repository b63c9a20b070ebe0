/* image.c: making the image and judging what comes of a damaged copy; see corruption.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "corruption.h"
#include "store/log_scan.h"

#define MUST(expr)                                                                                 \
    do {                                                                                           \
        struct qv_err err = {.code = QV_OK};                                                       \
        qv_status must_st_ = (expr);                                                               \
        if (must_st_ != QV_OK) {                                                                   \
            fail_msg("%s: %s: %s", #expr, qv_status_name(must_st_), err.message);                  \
        }                                                                                          \
    } while (0)

uint64_t number_of(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

/* --- state --- */

static uint64_t hash_of(const struct qv__buf *b)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < b->n; i++) {
        h = (h ^ b->p[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

struct gather {
    struct content *c;
    struct state *to;
};

static void gather_one(void *arg, struct qv__str name)
{
    struct gather *g = arg;
    struct state *s = g->to;
    struct qv__buf b;
    if (s->n == NAMES_MAX) {
        return;
    }
    unsigned i = s->n++;
    snprintf(s->c[i].name, sizeof s->c[i].name, "%.*s", (int)name.n, name.p);
    qv__buf_init(&b, g->c->mem);
    qv_status st = content_collection(g->c, name, &b);
    s->c[i].hash = st == QV_OK ? hash_of(&b) : 0;
    s->c[i].quarantined = st == QV_EQUARANTINED;
    if (st != QV_OK) {
        snprintf(s->c[i].why, sizeof s->c[i].why, "%s", g->c->err.message);
    }
    qv__buf_free(&b);
}

static void state_read(struct qv__db *db, struct qv__mem *mem, struct state *out)
{
    struct content c = {.db = db, .mem = mem};
    struct gather g = {&c, out};
    struct qv__buf b;
    memset(out, 0, sizeof *out);
    qv__buf_init(&b, mem);
    if (content_names(&c, &b) == QV_OK) {
        out->names = hash_of(&b);
    }
    qv__buf_free(&b);
    (void)!qv__db_list_collections(db, gather_one, &g, &c.err);
}

/* --- image --- */

static struct qv__db_options options_of(const struct image *im, struct qv__io *io, bool read_only)
{
    return (struct qv__db_options){.io = io,
                                   .threads = -1,
                                   .seed = 7,
                                   .log_file_bytes = im->log_file_bytes,
                                   .read_only = read_only};
}

struct making {
    struct image *im;
    struct qv__io *io;
    struct qv__db *db;
};

/* The state after one more request, as a start would find it. */
static void after_request(void *arg)
{
    struct making *m = arg;
    struct image *im = m->im;
    struct qv__db_info info;
    if (im->n_steps == 9) {
        MUST(qv__io_sim_crash(m->io, QV__CRASH_KEEP_ALL, NULL, &im->early[2], &err));
    }
    assert_true(im->n_steps < STEPS_MAX);
    qv__db_info(m->db, &info);
    im->steps[im->n_steps].lsn = info.published_lsn;
    state_read(m->db, im->mem, &im->steps[im->n_steps++].state);
}

/* An early state from between the two checkpoints, where CURRENT and the log are of another age. */
static void base_request(void *arg)
{
    struct making *m = arg;
    struct qv__db_info info;
    qv__db_info(m->db, &info);
    if (info.checkpoint_lsn > 0 && info.published_lsn >= info.checkpoint_lsn + 3 &&
        !m->im->early[0]) {
        MUST(qv__io_sim_crash(m->io, QV__CRASH_KEEP_ALL, NULL, &m->im->early[0], &err));
    }
}

static void add_file(void *arg, const char *name, uint64_t bytes)
{
    struct image *im = arg;
    assert_true(im->n_files < FILES_MAX);
    struct image_file *f = &im->files[im->n_files++];
    snprintf(f->name, sizeof f->name, "%s", name);
    f->bytes = bytes;
}

/* Where the records lie, and the mark behind the last of them. */
static void find_places(struct image *im)
{
    for (unsigned i = 0; i < im->n_files; i++) {
        uint64_t first = 0;
        char name[96], dir[] = "log";
        struct qv__logscan s;
        struct qv__log_record rec;
        snprintf(name, sizeof name, "%s", im->files[i].name);
        if (strncmp(name, "log/", 4) != 0 || !qv__log_name_read(name + 4, &first)) {
            continue;
        }
        MUST(qv__logscan_open(im->io, dir, first, false, im->mem, &s, &err));
        for (bool got = true; got;) {
            uint64_t off = s.off, lsn = s.lsn;
            MUST(qv__logscan_next(&s, &rec, &got, &err));
            assert_true(im->n_places < STEPS_MAX);
            struct place *p = &im->places[im->n_places];
            /* A mark speaks for the record before it. */
            *p = (struct place){
                .lsn = got ? lsn : lsn - 1, .off = off, .end = got ? s.off : off + 48};
            memcpy(p->file, name, sizeof name);
            im->n_places += got || s.is_clean;
        }
        qv__logscan_close(&s);
    }
}

static qv_status said(qv_status st, const struct content *c, struct qv_err *err)
{
    *err = c->err;
    return st;
}

void image_make(struct image *im, unsigned n, uint64_t log_file_bytes)
{
    struct making m = {.im = im};
    memset(im, 0, sizeof *im);
    im->mem = qv__mem_root("corruption", 0);
    im->log_file_bytes = log_file_bytes;
    MUST(qv__io_sim_open(im->mem, &m.io, &err));
    struct qv__db_options o = options_of(im, m.io, false);
    MUST(qv__db_open(&o, &m.db, &err));
    struct content c = {.db = m.db, .mem = im->mem, .n = n, .arg = &m};
    c.after = base_request;
    MUST(said(content_base(&c), &c, &err));
    c.after = NULL;
    MUST(qv__io_sim_crash(m.io, QV__CRASH_KEEP_ALL, NULL, &im->early[1], &err));
    after_request(&m);
    c.after = after_request;
    MUST(said(content_tail(&c), &c, &err));
    while (qv__db_step(m.db)) {
    }
    MUST(qv__io_sim_crash(m.io, QV__CRASH_KEEP_ALL, NULL, &im->io, &err));
    qv__db_close(m.db, NULL);
    qv__io_close(m.io);
    im->state = im->steps[im->n_steps - 1].state;
    MUST(qv__io_sim_list(im->io, add_file, im, &err));
    qv__arena_init(&im->arena, im->mem);
    MUST(qv__manifest_read(im->io, &im->arena, &im->manifest, &err));
    find_places(im);
    char why[600] = "";
    struct qv__io *copy = image_copy(im);
    enum verdict v = judge(im, copy, NULL, 0, true, why);
    if (v != HARMLESS) {
        fail_msg("the undamaged image: %s", why);
    }
    qv__io_close(copy);
}

void image_free(struct image *im)
{
    qv__arena_free(&im->arena);
    qv__io_close(im->io);
    for (size_t i = 0; i < QV_ARRAY_LEN(im->early); i++) {
        qv__io_close(im->early[i]);
    }
    qv__mem_close(im->mem);
}

struct qv__io *image_copy(const struct image *im)
{
    struct qv__io *copy = NULL;
    MUST(qv__io_sim_crash(im->io, QV__CRASH_KEEP_ALL, NULL, &copy, &err));
    return copy;
}

bool image_is_live(const struct image *im, const char *name)
{
    char live[64];
    snprintf(live, sizeof live, "manifest-%016" PRIx64, im->manifest.generation);
    return strncmp(name, "manifest-", 9) != 0 || strcmp(name, live) == 0;
}

/* --- verdicts --- */

static const char *base_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

static bool names_one(const char *message, const struct damage *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* Of a lost log file nobody knows the name, but that records are missing. */
        bool is_log = strncmp(d[i].file, "log/", 4) == 0 &&
                      (strncmp(message, "log: ", 5) == 0 || strstr(message, "is missing") != NULL);
        if (is_log || strstr(message, base_of(d[i].file))) {
            return true;
        }
    }
    return false;
}

/* True when damage takes a byte of the place, or its file is gone. */
static bool is_hit(const struct place *p, const struct damage *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(d[i].file, p->file) == 0 && d[i].from < p->end && d[i].to > p->off) {
            return true;
        }
    }
    return false;
}

/* The same state, but for collections that are quarantined and name a damaged file. */
static bool matches(const struct state *s, const struct state *want, const struct damage *d,
                    size_t n)
{
    bool is_same = s->names == want->names && s->n == want->n;
    for (unsigned i = 0; is_same && i < s->n; i++) {
        is_same =
            s->c[i].quarantined ? names_one(s->c[i].why, d, n) : s->c[i].hash == want->c[i].hash;
    }
    return is_same;
}

/* The state of a shorter log, when nothing behind the cut was left whole. */
static bool is_cut(const struct image *im, const struct state *s, const struct damage *d, size_t n)
{
    for (unsigned k = 0; k < im->n_steps; k++) {
        bool all = matches(s, &im->steps[k].state, d, n);
        for (unsigned i = 0; all && i < im->n_places; i++) {
            all = im->places[i].lsn <= im->steps[k].lsn || is_hit(&im->places[i], d, n);
        }
        if (all) {
            return true;
        }
    }
    return false;
}

static enum verdict judge_state(const struct image *im, const struct state *s,
                                const struct damage *d, size_t n, char why[600])
{
    bool detected = false;
    for (unsigned i = 0; i < s->n; i++) {
        detected |= s->c[i].quarantined;
    }
    if (matches(s, &im->state, d, n)) {
        return detected ? DETECTED : HARMLESS;
    }
    if (is_cut(im, s, d, n)) {
        return CUT;
    }
    snprintf(why, 600, "collections or aliases differ");
    for (unsigned i = 0; s->names == im->state.names && i < s->n; i++) {
        if (s->c[i].quarantined || s->c[i].hash != im->state.c[i].hash) {
            snprintf(why, 600, "collection %s differs: %.500s", s->c[i].name, s->c[i].why);
        }
    }
    return WRONG;
}

static enum verdict judge_open(const struct image *im, struct qv__io *io, const struct damage *d,
                               size_t n, bool read_only, char why[600])
{
    struct qv__db *db = NULL;
    struct qv_err err = {.code = QV_OK};
    struct qv__db_options o = options_of(im, io, read_only);
    qv_status st = qv__db_open(&o, &db, &err);
    if (st != QV_OK) {
        snprintf(why, 600, "%s: %s", qv_status_name(st), err.message);
        bool is_said = st == QV_ECORRUPT || st == QV_EVERSION;
        return is_said && names_one(err.message, d, n) ? DETECTED : WRONG;
    }
    struct state s;
    state_read(db, im->mem, &s);
    enum verdict v = judge_state(im, &s, d, n, why);
    st = qv__db_close(db, &err);
    if (st != QV_OK) {
        snprintf(why, 600, "close: %s: %s", qv_status_name(st), err.message);
        return WRONG;
    }
    return v;
}

enum verdict judge(const struct image *im, struct qv__io *io, const struct damage *d, size_t n,
                   bool write, char why[600])
{
    enum verdict v = judge_open(im, io, d, n, !write, why);
    if (!write || v == WRONG) {
        return v;
    }
    enum verdict again = judge_open(im, io, d, n, true, why);
    if (again != v && !(v == CUT && again == CUT)) {
        char first[600];
        memcpy(first, why, sizeof first);
        snprintf(why, 600, "verdict %d became %d after a restart: %.500s", (int)v, (int)again,
                 first);
        return WRONG;
    }
    return v;
}

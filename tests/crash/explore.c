/* explore.c: putting disks aside at every sync, making all their futures, judging each. */
#include "explore.h"

#include "engine/snapshot.h"

#include <stdio.h>
#include <time.h>

/* --- sets of hashes --- */

struct set {
    uint64_t *v; /* 0 = free */
    size_t cap, n;
};

static void set_grow(struct set *s)
{
    struct set old = *s;
    s->cap = QV_MAX(old.cap * 2, (size_t)4096);
    s->v = calloc(s->cap, sizeof *s->v);
    QV_ASSERT(s->v);
    for (size_t i = 0; i < old.cap; i++) {
        size_t at = (size_t)old.v[i] & (s->cap - 1);
        while (old.v[i] && s->v[at]) {
            at = (at + 1) & (s->cap - 1);
        }
        s->v[at] = old.v[i] ? old.v[i] : s->v[at];
    }
    free(old.v);
}

/* True when it was not there. */
static bool set_add(struct set *s, uint64_t h)
{
    h += h == 0;
    if (s->n * 2 >= s->cap) {
        set_grow(s);
    }
    size_t at = (size_t)h & (s->cap - 1);
    while (s->v[at] && s->v[at] != h) {
        at = (at + 1) & (s->cap - 1);
    }
    bool is_new = s->v[at] == 0;
    s->v[at] = h;
    s->n += is_new;
    return is_new;
}

/* --- what was put aside --- */

/* A disk as it was before a sync, and what the oracle knew then. */
struct moment {
    struct moment *next;
    struct qv__io *disk; /* with all that is unsynced */
    uint32_t acked, sent;
};

struct explorer;

/* Moments of one run: of the workload, or of one recovery. */
struct frame {
    struct explorer *x;
    struct qv__io *io;     /* watched */
    const uint32_t *acked; /* read when a moment is put aside */
    const uint32_t *sent;
    struct moment *first, **last;
};

struct explorer {
    const struct explore_options *o;
    struct explore_totals *totals;
    struct world *w;
    struct frame workload;
    struct set outer, inner;
    /* Of each depth, so that what is tried outside does not hang on whether one looked inside. */
    struct qv__rng rngs[2];
    uint64_t made[2]; /* disks */
    uint64_t number;  /* of the outer state that is judged */
    unsigned depth;   /* 0: after the workload's crash, 1: after one in recovery */
    char command[200], again[256];
};

/* What is being tried, for messages. */
struct trial {
    const struct moment *moment;
    const struct qv__sim_unit *units;
    const struct qv__sim_fate *fates; /* NULL: a kill, nothing is lost */
    size_t n;
};

static void frame_begin(struct frame *f, struct explorer *x, struct qv__io *io,
                        const uint32_t *acked, const uint32_t *sent)
{
    *f = (struct frame){.x = x, .io = io, .acked = acked, .sent = sent};
    f->last = &f->first;
}

static void put_aside(struct frame *f, uint32_t acked, uint32_t sent)
{
    struct qv_err err;
    if (qv__io_sim_units(f->io, NULL, 0) == 0) {
        return;
    }
    struct moment *m = calloc(1, sizeof *m);
    QV_ASSERT(m);
    if (qv__io_sim_crash(f->io, QV__CRASH_KEEP_ALL, NULL, &m->disk, &err) != QV_OK) {
        world_die(f->x->w, "%s", err.message);
    }
    m->acked = acked;
    m->sent = sent;
    *f->last = m;
    f->last = &m->next;
}

static void before_sync(void *arg)
{
    struct frame *f = arg;
    put_aside(f, *f->acked, *f->sent);
}

static struct moment *take_first(struct frame *f)
{
    struct moment *m = f->first;
    if (m) {
        f->first = m->next;
        f->last = f->first ? f->last : &f->first;
    }
    return m;
}

static void moment_free(struct moment *m)
{
    qv__io_close(m->disk);
    free(m);
}

/* --- judging --- */

_Noreturn static void violation(struct explorer *x, const struct trial *t, const char *why)
{
    static const char *const kinds[] = {"write", "truncate", "allocate", "new name", "gone name"};
    const struct moment *m = t->moment;
    fprintf(stderr,
            "VIOLATION: %s\n  %s, seed %llu, state %llu%s; requests: %u acknowledged, %u sent\n",
            why, x->w->workload, (unsigned long long)x->w->seed, (unsigned long long)x->number,
            x->depth ? ", after a crash in its recovery" : "", m->acked, m->sent);
    for (size_t i = 0; t->fates && i < t->n; i++) {
        const struct qv__sim_fate *f = &t->fates[i];
        if (f->kind == QV__FATE_DROPPED) {
            fprintf(stderr, "  of %zu unsynced changes, %zu (%s) is lost\n", t->n, i,
                    kinds[t->units[i].kind]);
        } else if (f->kind == QV__FATE_TORN) {
            fprintf(stderr, "  of %zu unsynced changes, %zu (%s) is torn: sectors %#llx of %llu\n",
                    t->n, i, kinds[t->units[i].kind], (unsigned long long)f->sectors,
                    (unsigned long long)t->units[i].sectors);
        }
    }
    fprintf(stderr, "again: %s\n", x->again);
    exit(1);
}

static struct qv__io *make_disk(struct explorer *x, const struct trial *t)
{
    struct qv_err err;
    struct qv__io *disk = NULL;
    qv_status st = t->fates
                       ? qv__io_sim_crash_as(t->moment->disk, t->fates, &disk, &err)
                       : qv__io_sim_crash(t->moment->disk, QV__CRASH_KEEP_ALL, NULL, &disk, &err);
    if (st != QV_OK) {
        world_die(x->w, "%s", err.message);
    }
    return disk;
}

static struct qv__db *open_disk(struct explorer *x, const struct trial *t, struct qv__io *disk)
{
    struct qv_err err;
    struct qv__db *db = NULL;
    struct qv__db_options options = x->w->options;
    char why[CHECK_WHY + 100];
    options.io = disk;
    qv_status st = qv__db_open(&options, &db, &err);
    if (st != QV_OK) {
        snprintf(why, sizeof why, "V11: the start fails though no byte is damaged: %s: %.300s",
                 qv_status_name(st), err.message);
        violation(x, t, why);
    }
    return db;
}

static void read_db(struct explorer *x, const struct trial *t, struct qv__db *db,
                    struct check_found *found)
{
    char why[CHECK_WHY];
    if (check_read(db, x->w->mem_test, found, why) != QV_OK) {
        violation(x, t, why);
    }
}

/* Another database must hold the same, versions included. */
static void same(struct explorer *x, const struct trial *t, struct qv__db *db,
                 const struct check_found *expected, const char *what)
{
    static struct check_found found;
    char why[CHECK_WHY + 100], difference[CHECK_WHY] = "versions";
    read_db(x, t, db, &found);
    if (oracle_difference(&found.state, &expected->state, difference, sizeof difference) ||
        memcmp(found.versions, expected->versions, sizeof found.versions) != 0) {
        snprintf(why, sizeof why, "V10: %s: %s", what, difference);
        violation(x, t, why);
    }
}

static struct qv__io *power_cut(struct explorer *x, struct qv__io *io)
{
    struct qv_err err;
    struct qv__io *after = NULL;
    if (qv__io_sim_crash(io, QV__CRASH_DROP_ALL, NULL, &after, &err) != QV_OK) {
        world_die(x->w, "%s", err.message);
    }
    return after;
}

/* Put the snapshots that are listed, and whose content the workload knows, back as "back". */
static void restore_one(void *arg, const struct qv__snapshot_info *info)
{
    struct world *v = arg;
    for (unsigned i = 0; i < WORLD_SNAPSHOTS; i++) {
        if (info->id == v->snapshots[i].id) {
            world_restore(v, i, "back");
        }
    }
}

/* The database goes on: requests, background work, a crash. It and its disk are consumed. */
static void go_on(struct explorer *x, const struct check_found *found, struct qv__db *db,
                  struct qv__io *disk, uint64_t seed)
{
    struct world v = *x->w;
    v.io = disk;
    v.db = db;
    v.pause = NULL;
    v.disk_changed = NULL;
    v.again = x->again;
    memset(v.pending, 0, sizeof v.pending);
    qv__rng_seed(&v.rng, seed);
    oracle_init(&v.oracle);
    *v.oracle.states[0] = found->state;
    for (unsigned i = 0; i < ORACLE_COLLECTIONS; i++) {
        const char *name = v.oracle.states[0]->c[i].name;
        for (uint32_t p = 0; p < ORACLE_POINTS; p++) {
            v.oracle.states[0]->c[i].p[p].request = 0;
        }
        if (name[0]) {
            world_upsert(&v, name, (uint32_t)qv__rng_below(&v.rng, 60), 5);
            world_delete(&v, name, (uint32_t)qv__rng_below(&v.rng, 60), 3);
        }
    }
    if (found->state.n_snapshots == 0) {
        world_create(&v, "new", 1);
        world_upsert(&v, "new", 3, 4);
    } else if (qv__db_snapshots(db, restore_one, &v, NULL) != QV_OK) {
        world_die(&v, "the snapshots cannot be listed");
    }
    world_drain(&v);
    world_crash(&v, qv__rng_below(&v.rng, 2) ? QV__CRASH_DROP_ALL : QV__CRASH_RANDOM);
    world_read(&v);
    world_abandon(v.db);
    qv__io_close(v.io);
    oracle_free(&v.oracle);
}

static void explore_frame(struct explorer *x, struct frame *f, uint64_t budget);

/* What a second recovery finds, in one of several ways. The database and the disk are consumed. */
static void again(struct explorer *x, const struct trial *t, uint64_t number, struct qv__db *db,
                  struct qv__io *disk, const struct check_found *found)
{
    struct qv_err err;
    struct qv__io *other = NULL;
    switch (number % 8) {
    case 1:
        if (qv__db_close(db, &err) != QV_OK) {
            violation(x, t, err.message);
        }
        db = open_disk(x, t, disk);
        same(x, t, db, found, "after a clean end and another start");
        break;
    case 3:
        other = power_cut(x, disk);
        break;
    case 5:
        other = make_disk(x, t);
        break;
    case 7:
        if (!oracle_collection((struct oracle_state *)&found->state, "")) {
            break; /* no room for one more collection */
        }
        go_on(x, found, db, disk, number);
        return;
    default:
        break;
    }
    world_abandon(db);
    qv__io_close(disk);
    if (other) {
        db = open_disk(x, t, other);
        same(x, t, db, found,
             number % 8 == 3 ? "after a power cut that followed the start"
                             : "the same bytes recovered twice");
        world_abandon(db);
        qv__io_close(other);
    }
}

/* Recover a disk (consumed) and look whether the oracle can explain it. */
static void judge(struct explorer *x, const struct trial *t, struct qv__io *disk, uint64_t number,
                  bool look_inside)
{
    static struct check_found found;
    const struct moment *m = t->moment;
    struct oracle *o = &x->w->oracle;
    char why[CHECK_WHY];
    struct frame inside;
    struct oracle range = *o;
    size_t used = qv__mem_used(x->w->mem);
    range.acked = m->acked;
    range.n_sent = m->sent;
    if (look_inside) {
        frame_begin(&inside, x, disk, &m->acked, &m->sent);
        qv__io_sim_watch(disk, before_sync, &inside);
    }
    struct qv__db *db = open_disk(x, t, disk);
    read_db(x, t, db, &found);
    int64_t k = oracle_match(&range, &found.state, why, sizeof why);
    if (k < 0) {
        char text[CHECK_WHY + 100];
        snprintf(text, sizeof text, "V1 to V4: no state between acknowledged and sent: %s", why);
        violation(x, t, text);
    }
    if (!check_versions(o, o->states[k], &found, why) ||
        !check_reads(db, x->w->mem_test, &found.state, number % 16 == 0, number, why)) {
        violation(x, t, why);
    }
    if (look_inside) {
        qv__io_sim_watch(disk, NULL, NULL);
        put_aside(&inside, (uint32_t)k, (uint32_t)k); /* somebody may have seen it */
    }
    again(x, t, number, db, disk, &found);
    if (qv__mem_used(x->w->mem) != used) {
        violation(x, t, "memory was not given back");
    }
    if (look_inside) {
        x->depth++;
        qv__rng_seed(&x->rngs[1], number);
        explore_frame(x, &inside, x->o->inner);
        x->depth--;
    }
}

/* One disk: judged unless it was seen before. */
static void visit(struct explorer *x, const struct trial *t)
{
    struct qv__io *disk = make_disk(x, t);
    /* Equal bytes are asked more of when more was acknowledged. */
    uint64_t key = qv__mix64(qv__io_sim_hash(disk) + qv__mix64(t->moment->acked) + !t->fates);
    x->totals->disks++;
    x->made[x->depth]++;
    struct set *set = x->depth == 0 ? &x->outer : &x->inner;
    if (!set_add(set, key)) {
        qv__io_close(disk);
        return;
    }
    if (x->depth > 0) {
        x->totals->states++;
        x->totals->inner_states++;
        judge(x, t, disk, set->n, false);
        return;
    }
    x->number++;
    if (x->o->only && x->o->only != x->number) {
        qv__io_close(disk);
        return;
    }
    x->totals->states++;
    snprintf(x->again, sizeof x->again, "%s --only %llu", x->command,
             (unsigned long long)x->number);
    bool look_inside = x->o->only || (x->o->inner_of && x->number % x->o->inner_of == 0);
    judge(x, t, disk, x->number, look_inside);
}

/* --- enumerating --- */

static void set_all(const struct trial *t, enum qv__sim_fate_kind kind)
{
    struct qv__sim_fate *fates = (struct qv__sim_fate *)t->fates;
    for (size_t i = 0; i < t->n; i++) {
        fates[i] = (struct qv__sim_fate){.kind = kind};
    }
}

/* Ways to tear one unit; false when there is no such way. */
static bool tear(const struct qv__sim_unit *u, unsigned way, struct qv__sim_fate *out)
{
    *out = (struct qv__sim_fate){.kind = QV__FATE_TORN};
    if (u->kind == QV__UNIT_ALLOCATE) {
        out->sectors = u->sectors * (way + 1) / 4;
        return way < 3 && u->sectors > 4;
    }
    if (u->kind != QV__UNIT_WRITE || (u->sectors < 2 && way > 0)) {
        return false;
    }
    uint64_t last = QV_MIN(u->sectors, UINT64_C(64)) - 1;
    uint64_t all = last == 63 ? UINT64_MAX : (UINT64_C(2) << last) - 1;
    const uint64_t masks[] = {0,
                              1,
                              all ^ 1,
                              UINT64_C(1) << last,
                              all ^ UINT64_C(1) << last,
                              all & UINT64_C(0x5555555555555555)};
    out->grown = way == 0; /* nothing but the new size */
    out->sectors = way < QV_ARRAY_LEN(masks) ? masks[way] : 0;
    return way < QV_ARRAY_LEN(masks);
}

/* All prefixes; then, the newest first and as many as may be, each unit alone: lost, torn, kept. */
static void enumerate_single(struct explorer *x, struct trial *t, uint64_t until)
{
    struct qv__sim_fate *fates = (struct qv__sim_fate *)t->fates;
    set_all(t, QV__FATE_DROPPED);
    visit(x, t);
    for (size_t i = 0; i < t->n; i++) {
        fates[i].kind = QV__FATE_KEPT;
        visit(x, t);
    }
    for (size_t i = t->n; i-- > 0 && x->made[x->depth] < until;) {
        fates[i].kind = QV__FATE_DROPPED;
        visit(x, t);
        for (unsigned way = 0; tear(&t->units[i], way, &fates[i]); way++) {
            visit(x, t);
        }
        fates[i] = (struct qv__sim_fate){.kind = QV__FATE_KEPT};
    }
    set_all(t, QV__FATE_DROPPED);
    for (size_t i = t->n; i-- > 0 && x->made[x->depth] < until;) {
        fates[i].kind = QV__FATE_KEPT;
        visit(x, t);
        fates[i].kind = QV__FATE_DROPPED;
    }
}

/* All pairs, lost or torn; all triples, lost. */
static void enumerate_pairs(struct explorer *x, struct trial *t)
{
    struct qv__sim_fate *fates = (struct qv__sim_fate *)t->fates;
    const struct qv__sim_fate kept = {.kind = QV__FATE_KEPT}, lost = {.kind = QV__FATE_DROPPED};
    set_all(t, QV__FATE_KEPT);
    for (size_t i = 0; i < t->n; i++) {
        for (size_t j = i + 1; j < t->n; j++) {
            fates[i] = fates[j] = lost;
            visit(x, t);
            for (unsigned way = 0; tear(&t->units[i], way, &fates[i]); way++) {
                visit(x, t);
            }
            fates[i] = lost;
            for (unsigned way = 0; tear(&t->units[j], way, &fates[j]); way++) {
                visit(x, t);
            }
            fates[j] = lost;
            for (size_t k = j + 1; k < t->n; k++) {
                fates[k] = lost;
                visit(x, t);
                fates[k] = kept;
            }
            fates[i] = fates[j] = kept;
        }
    }
}

/* A unit; the newer the likelier. */
static size_t pick(struct explorer *x, size_t n)
{
    double r = qv__rng_f64(&x->rngs[x->depth]);
    return n - 1 - (size_t)((double)n * r * r);
}

static void lose(struct explorer *x, struct trial *t, size_t i)
{
    struct qv__sim_fate *fate = (struct qv__sim_fate *)&t->fates[i];
    if (qv__rng_below(&x->rngs[x->depth], 3) == 0 ||
        !tear(&t->units[i], (unsigned)qv__rng_below(&x->rngs[x->depth], 6), fate)) {
        *fate = (struct qv__sim_fate){.kind = QV__FATE_DROPPED};
    }
}

/* Up to three lost or torn, of all or of a prefix; or up to three kept alone; or a coin for each.
 */
static void enumerate_by_chance(struct explorer *x, struct trial *t)
{
    struct qv__sim_fate *fates = (struct qv__sim_fate *)t->fates;
    uint64_t mood = qv__rng_below(&x->rngs[x->depth], 20),
             few = 1 + qv__rng_below(&x->rngs[x->depth], 3);
    set_all(t, mood < 15 ? QV__FATE_KEPT : QV__FATE_DROPPED);
    if (mood < 15) {
        size_t end = mood < 10 ? t->n : 1 + pick(x, t->n);
        for (size_t i = end; i < t->n; i++) {
            fates[i].kind = QV__FATE_DROPPED;
        }
        for (; few > 0; few--) {
            lose(x, t, pick(x, end));
        }
    } else if (mood < 18) {
        for (; few > 0; few--) {
            fates[pick(x, t->n)].kind = QV__FATE_KEPT;
        }
    } else {
        for (size_t i = 0; i < t->n; i++) {
            if (qv__rng_below(&x->rngs[x->depth], 2)) {
                fates[i].kind = QV__FATE_KEPT;
            } else {
                lose(x, t, i);
            }
        }
    }
    visit(x, t);
}

static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void explore_moment(struct explorer *x, const struct moment *m, uint64_t budget)
{
    struct trial t = {.moment = m};
    uint64_t until = x->made[x->depth] + budget;
    t.n = qv__io_sim_units(m->disk, NULL, 0);
    struct qv__sim_unit *units = calloc(t.n + 1, sizeof *units);
    struct qv__sim_fate *fates = calloc(t.n + 1, sizeof *fates);
    QV_ASSERT(units && fates && t.n > 0);
    qv__io_sim_units(m->disk, units, t.n);
    t.units = units;
    if (x->depth == 0) {
        x->totals->syncs++;
        x->totals->units_max = QV_MAX(x->totals->units_max, t.n);
    }
    visit(x, &t); /* a kill: nothing is lost, nothing is synced */
    t.fates = fates;
    if (x->depth == 0 || t.n < budget) {
        enumerate_single(x, &t, until);
    }
    uint64_t n = t.n, pairs = n * (n - 1) / 2 * 4, triples = n * (n - 1) * (n > 2 ? n - 2 : 0) / 6;
    if (x->made[x->depth] + pairs + triples <= until) {
        enumerate_pairs(x, &t);
    }
    while (x->made[x->depth] < until && n > 1) {
        enumerate_by_chance(x, &t);
    }
    free(units);
    free(fates);
}

static void explore_frame(struct explorer *x, struct frame *f, uint64_t budget)
{
    struct moment *m;
    while ((m = take_first(f))) {
        if (x->o->until <= 0 || cpu_seconds() < x->o->until) {
            explore_moment(x, m, budget);
        }
        moment_free(m);
    }
}

/* --- the workload --- */

static void at_pause(struct world *w)
{
    struct explorer *x = w->harness;
    explore_frame(x, &x->workload, x->o->budget);
}

static void at_disk_changed(struct world *w)
{
    struct explorer *x = w->harness;
    frame_begin(&x->workload, x, w->io, &w->oracle.acked, &w->oracle.n_sent);
    qv__io_sim_watch(w->io, before_sync, &x->workload);
}

void explore(const struct workload *what, uint64_t seed, const struct explore_options *o,
             struct explore_totals *totals)
{
    static struct world w;
    static struct explorer x;
    memset(&w, 0, sizeof w);
    x = (struct explorer){.o = o, .totals = totals, .w = &w};
    snprintf(x.command, sizeof x.command,
             "%s --workload %s --seed %llu --budget %llu --inner %llu --inner-of %llu", o->program,
             what->name, (unsigned long long)seed, (unsigned long long)o->budget,
             (unsigned long long)o->inner, (unsigned long long)o->inner_of);
    qv__rng_seed(&x.rngs[0], seed ^ 0x9e37);
    w.harness = &x;
    w.again = x.again;
    w.pause = at_pause;
    w.disk_changed = at_disk_changed;
    world_begin(&w, what->name, seed);
    what->run(&w);
    qv__io_sim_watch(w.io, NULL, NULL);
    put_aside(&x.workload, w.oracle.acked, w.oracle.n_sent); /* what the end left unsynced */
    at_pause(&w);
    w.pause = NULL;
    world_end(&w);
    free(x.outer.v);
    free(x.inner.v);
}

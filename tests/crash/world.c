/* world.c: requests on a database and its oracle at once. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/collection.h"

_Noreturn void world_die(const struct world *w, const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "%s, seed %llu: ", w->workload, (unsigned long long)w->seed);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n%s%s\n", w->again ? "again: " : "", w->again ? w->again : "");
    exit(1);
}

void world_pause(struct world *w)
{
    if (w->pause) {
        w->pause(w);
    }
}

bool world_is_lost(const struct world *w)
{
    return !w->db || qv__commit_poisoned(w->db->commit);
}

void world_failed(struct world *w, const char *what, qv_status st, const struct qv_err *err)
{
    if (!w->may_fail) {
        world_die(w, "%s: %s: %s", what, qv_status_name(st), err->message);
    }
    w->failures++;
    if (w->failed) {
        w->failed(w, what, st, err);
    }
}

/* --- life --- */

static uint64_t standing_ns(void *ctx)
{
    return *(const uint64_t *)ctx;
}

static uint64_t standing_ms(void *ctx)
{
    return *(const uint64_t *)ctx / 1000000u + UINT64_C(1700000000000);
}

void world_open(struct world *w)
{
    struct qv_err err;
    w->options.io = w->io;
    qv_status st = qv__db_open(&w->options, &w->db, &err);
    if (st != QV_OK) {
        w->db = NULL;
        world_failed(w, "open", st, &err);
    }
}

void world_begin(struct world *w, const char *workload, uint64_t seed)
{
    struct qv_err err;
    w->workload = workload;
    w->seed = seed;
    w->now_ns = 1;
    qv__rng_seed(&w->rng, seed);
    w->clock = (struct qv__clock){standing_ns, standing_ms, &w->now_ns};
    w->mem_disk = qv__mem_root("disk", 0);
    w->mem = qv__mem_root("world", 0);
    w->mem_test = qv__mem_root("test", 0);
    oracle_init(&w->oracle);
    if (qv__io_sim_open(w->mem_disk, &w->io, &err) != QV_OK) {
        world_die(w, "%s", err.message);
    }
    w->options = (struct qv__db_options){.mem = w->mem,
                                         .clock = &w->clock,
                                         .threads = -1,
                                         .seed = seed,
                                         .log_file_bytes = 8192,
                                         .checkpoint_log_bytes = 40960};
    if (w->disk_changed) {
        w->disk_changed(w);
    }
    world_open(w);
    world_pause(w);
}

void world_abandon(struct qv__db *db)
{
    if (db) {
        db->read_only = true; /* no last checkpoint */
        (void)!qv__db_close(db, NULL);
    }
}

void world_end(struct world *w)
{
    world_abandon(w->db);
    qv__io_close(w->io);
    oracle_free(&w->oracle);
    if (qv__mem_used(w->mem) != 0) {
        world_die(w, "%zu bytes were not given back", qv__mem_used(w->mem));
    }
    qv__mem_close(w->mem);
    qv__mem_close(w->mem_disk);
    qv__mem_close(w->mem_test);
}

/* What is found after a restart is what happened; the harness decides whether it may be so. */
static void settle(struct world *w)
{
    struct check_found found;
    char why[CHECK_WHY];
    if (!w->db) {
        return;
    }
    qv_status st = check_read(w->db, w->mem_test, &found, why);
    if (st != QV_OK && st != QV_ECORRUPT && w->may_fail) { /* as good as no start */
        struct qv_err err = {.code = st};
        snprintf(err.message, sizeof err.message, "%s", why);
        world_abandon(w->db);
        w->db = NULL;
        world_failed(w, "open", st, &err);
        st = w->db ? check_read(w->db, w->mem_test, &found, why) : QV_EIO;
    }
    if (st != QV_OK) {
        world_die(w, "after a restart: %s", why);
    }
    int64_t k = oracle_match(&w->oracle, &found.state, why, sizeof why);
    if (k < 0) {
        world_die(w, "after a restart: %s", why);
    }
    oracle_found(&w->oracle, (uint32_t)k);
}

static void forget_pending(struct world *w)
{
    for (unsigned i = 0; i < WORLD_PENDING; i++) {
        w->pending[i].is_open = false;
    }
}

void world_reopen(struct world *w)
{
    struct qv_err err;
    world_drain(w);
    qv_status st = qv__db_close(w->db, &err);
    w->db = NULL;
    forget_pending(w);
    if (st != QV_OK) {
        world_failed(w, "close", st, &err);
    }
    world_pause(w);
    world_open(w);
    settle(w);
    world_pause(w);
}

void world_crash(struct world *w, enum qv__sim_crash how)
{
    struct qv_err err;
    struct qv__io *after = NULL;
    if (qv__io_sim_crash(w->io, how, &w->rng, &after, &err) != QV_OK) {
        world_die(w, "%s", err.message);
    }
    qv__io_sim_watch(w->io, NULL, NULL);
    qv__io_sim_fault(w->io, (struct qv__sim_fault){0});
    struct qv__db *old = w->db;
    w->db = NULL;
    uint32_t acked = w->oracle.acked; /* what the dying one still syncs is lost with it */
    world_abandon(old);
    w->oracle.acked = acked;
    forget_pending(w);
    qv__io_close(w->io);
    w->io = after;
    if (w->disk_changed) {
        w->disk_changed(w);
    }
    world_open(w);
    settle(w);
    world_pause(w);
}

/* --- catalog --- */

void world_answered(struct world *w, const char *what, bool was_lost, qv_status st,
                    const struct qv_err *err)
{
    if (st == QV_OK) {
        oracle_acked(&w->oracle, w->oracle.n_sent, 0);
    } else {
        if (was_lost || !world_is_lost(w)) {
            oracle_refused(&w->oracle); /* else nobody knows */
        }
        world_failed(w, what, st, err);
    }
    world_pause(w);
}

void world_create(struct world *w, const char *collection, uint32_t shards)
{
    struct qv_err err;
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = ORACLE_DIM};
    struct qv__schema schema = {
        .vectors = &def,
        .n_vectors = 1,
        .shard_number = shards,
        .policy = {.seal_rows = 16, .index_rows = 8, .merge_fanin = 2},
    };
    if (world_is_lost(w) || !oracle_collection(oracle_newest(&w->oracle), "")) {
        return;
    }
    if (w->may_fail && oracle_collection(oracle_newest(&w->oracle), collection)) {
        return; /* the drop before was refused */
    }
    struct oracle_collection *c = oracle_collection(oracle_send(&w->oracle), "");
    *c = (struct oracle_collection){.shards = shards, .m = 16};
    snprintf(c->name, sizeof c->name, "%s", collection);
    bool was_lost = world_is_lost(w);
    qv_status st = qv__db_create_collection(w->db, qv__str_z(collection), &schema, &err);
    world_answered(w, "create", was_lost, st, &err);
}

/* NULL: a request that failed before was to make it. */
static struct oracle_collection *model_of(struct world *w, const char *name)
{
    struct oracle_collection *c = oracle_collection(oracle_newest(&w->oracle), name);
    if (!c && !w->may_fail) {
        world_die(w, "the workload names %s, which is not there", name);
    }
    return w->db ? c : NULL;
}

void world_drop(struct world *w, const char *collection)
{
    struct qv_err err;
    bool existed;
    if (!model_of(w, collection) || world_is_lost(w)) {
        return;
    }
    struct oracle_state *s = oracle_send(&w->oracle);
    memset(oracle_collection(s, collection), 0, sizeof s->c[0]);
    for (unsigned i = 0; i < ORACLE_ALIASES; i++) {
        if (strcmp(s->a[i].collection, collection) == 0) {
            memset(&s->a[i], 0, sizeof s->a[i]);
        }
    }
    bool was_lost = world_is_lost(w);
    qv_status st = qv__db_drop_collection(w->db, qv__str_z(collection), &existed, &err);
    world_answered(w, "drop", was_lost, st, &err);
}

void world_alias(struct world *w, const char *alias, const char *collection)
{
    struct qv_err err;
    if (!model_of(w, collection) || world_is_lost(w)) {
        return;
    }
    struct oracle_state *s = oracle_send(&w->oracle);
    unsigned at = 0;
    for (unsigned i = ORACLE_ALIASES; i-- > 0;) {
        if (!s->a[i].name[0]) {
            at = i;
        }
    }
    for (unsigned i = 0; i < ORACLE_ALIASES; i++) {
        at = strcmp(s->a[i].name, alias) == 0 ? i : at;
    }
    snprintf(s->a[at].name, ORACLE_NAME, "%s", alias);
    snprintf(s->a[at].collection, ORACLE_NAME, "%s", collection);
    struct qv__alias_action action = {
        .kind = QV__ALIAS_CREATE, .alias = qv__str_z(alias), .collection = qv__str_z(collection)};
    bool was_lost = world_is_lost(w);
    qv_status st = qv__db_update_aliases(w->db, &action, 1, &err);
    world_answered(w, "alias", was_lost, st, &err);
}

void world_index(struct world *w, const char *collection)
{
    struct qv_err err;
    char key[16];
    if (!model_of(w, collection) || world_is_lost(w)) {
        return;
    }
    struct oracle_collection *c = oracle_collection(oracle_send(&w->oracle), collection);
    snprintf(key, sizeof key, "f%u", c->n_indexes++);
    struct qv__payload_index_def def = {.key = qv__str_z(key), .type = QV__STR("integer")};
    uint64_t lsn;
    bool was_lost = world_is_lost(w);
    qv_status st = qv__db_put_payload_index(w->db, qv__str_z(collection), &def, &lsn, &err);
    world_answered(w, "index", was_lost, st, &err);
}

static void alter(struct world *w, const char *collection, const struct qv__alter *a)
{
    struct qv_err err;
    bool was_lost = world_is_lost(w);
    qv_status st = qv__db_alter(w->db, qv__str_z(collection), a, NULL, &err);
    world_answered(w, "alter", was_lost, st, &err);
}

void world_set_x(struct world *w, const char *collection, uint32_t dim)
{
    struct qv__str name = QV__STR("x");
    struct qv__vector_def def = {.name = name, .metric = QV__L2, .dim = dim};
    const struct oracle_collection *c = model_of(w, collection);
    if (!c || world_is_lost(w)) {
        return;
    }
    if (c->x_dim) {
        oracle_set_x(oracle_collection(oracle_send(&w->oracle), collection), 0);
        alter(w, collection, &(struct qv__alter){.drop = &name});
        c = model_of(w, collection);
    }
    if (dim && c && !c->x_dim && !world_is_lost(w)) {
        oracle_set_x(oracle_collection(oracle_send(&w->oracle), collection), dim);
        alter(w, collection, &(struct qv__alter){.add = &def});
    }
}

void world_set_m(struct world *w, const char *collection, uint32_t m)
{
    struct qv__vector_def def = {.name = QV__STR(""), .index = {.m = m}};
    if (!model_of(w, collection) || world_is_lost(w)) {
        return;
    }
    oracle_collection(oracle_send(&w->oracle), collection)->m = m;
    alter(w, collection, &(struct qv__alter){.set = &def, .n_set = 1});
}

/* --- points --- */

static void write_done(struct qv__write *write)
{
    struct world_write *p = write->arg;
    struct world *w = p->world;
    p->is_open = false;
    if (write->result.status == QV_OK) {
        if (write->durability == QV__DURABILITY_FSYNC) {
            oracle_acked(&w->oracle, p->number, write->result.operation_id);
        } else {
            w->oracle.versions[p->number] = write->result.operation_id;
        }
        return;
    }
    /* Refused before the log, or its fate is unknown. */
    if (p->is_vain || !world_is_lost(w)) {
        if (p->number != w->oracle.n_sent) {
            world_die(w, "a write that had been taken failed: %s", write->result.err.message);
        }
        oracle_refused(&w->oracle);
    }
    world_failed(w, "write", write->result.status, &write->result.err);
}

/* Send one mutation for the newest request of the oracle; returns its slot, NULL when the
 * collection is not there. */
static struct world_write *send_one(struct world *w, const char *collection,
                                    const struct qv__mutation *m, bool relaxed)
{
    struct qv__collection *c = NULL;
    struct qv_err err;
    struct world_write *p = w->pending;
    while (p->is_open) {
        p++;
        QV_ASSERT(p < w->pending + WORLD_PENDING);
    }
    qv_status st = qv__db_collection(w->db, qv__str_z(collection), &c, &err);
    if (st != QV_OK && !world_is_lost(w)) {
        world_die(w, "%s", err.message);
    }
    if (st != QV_OK) { /* nobody knows whether it was made */
        oracle_refused(&w->oracle);
        return NULL;
    }
    *p = (struct world_write){
        .world = w, .number = w->oracle.n_sent, .is_open = true, .is_vain = world_is_lost(w)};
    p->write.done = write_done;
    p->write.arg = p;
    p->write.durability = relaxed ? QV__DURABILITY_RELAXED : QV__DURABILITY_FSYNC;
    qv__collection_write(c, m, 1, &p->write);
    qv__collection_release(c);
    return p;
}

static void send_and_wait(struct world *w, const char *collection, const struct qv__mutation *m)
{
    struct world_write *p = send_one(w, collection, m, false);
    while (p && p->is_open && qv__db_step(w->db)) {
        world_pause(w);
    }
    if (p && p->is_open) {
        world_die(w, "a write was never answered");
    }
    world_pause(w);
}

static struct qv__bytes payload_of(struct world *w, struct qv__arena *a,
                                   const struct oracle_point *p, bool n_only)
{
    char text[64];
    qv__json doc = NULL;
    struct qv__buf b;
    struct qv_err err;
    if (p->tag < 0 || n_only) {
        snprintf(text, sizeof text, "{\"n\":%d}", p->n);
    } else {
        snprintf(text, sizeof text, "{\"n\":%d,\"tag\":\"t%d\"}", p->n, p->tag);
    }
    qv__buf_init(&b, a->mem);
    if (qv__json_parse(a, text, strlen(text), NULL, &doc, &err) != QV_OK ||
        qv__payload_from_json(&b, doc, &err) != QV_OK) {
        world_die(w, "%s", err.message);
    }
    uint8_t *copy = qv__arena_alloc(a, b.n);
    memcpy(copy, b.p, b.n);
    struct qv__bytes row = {copy, b.n};
    qv__buf_free(&b);
    return row;
}

struct batch {
    struct qv__arena arena;
    struct qv__point points[ORACLE_POINTS];
    struct qv__named_vector vectors[ORACLE_POINTS][2];
    struct qv__id ids[ORACLE_POINTS];
    char texts[ORACLE_POINTS][8];
    struct qv__mutation mutation;
};

static void batch_upsert(struct world *w, struct batch *b, const char *collection, uint32_t from,
                         uint32_t n)
{
    struct oracle_state *s = oracle_send(&w->oracle);
    struct oracle_collection *c = oracle_collection(s, collection);
    qv__arena_init(&b->arena, w->mem_test);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = (from + i) % ORACLE_POINTS;
        oracle_put(c, number, w->oracle.n_sent);
        b->vectors[i][0] = (struct qv__named_vector){
            .name = QV__STR(""), .values = c->p[number].v, .dim = ORACLE_DIM};
        b->vectors[i][1] = (struct qv__named_vector){
            .name = QV__STR("x"), .values = c->p[number].x, .dim = c->x_dim};
        b->points[i] =
            (struct qv__point){.id = check_id(number, b->texts[i]),
                               .vectors = b->vectors[i],
                               .n_vectors = c->p[number].has_x ? 2 : 1,
                               .payload = payload_of(w, &b->arena, &c->p[number], false)};
    }
    b->mutation = (struct qv__mutation){.kind = QV__MUT_UPSERT, .points = b->points, .n_points = n};
}

void world_upsert(struct world *w, const char *collection, uint32_t from, uint32_t n)
{
    struct batch b;
    if (!model_of(w, collection)) {
        return;
    }
    batch_upsert(w, &b, collection, from, n);
    send_and_wait(w, collection, &b.mutation);
    qv__arena_free(&b.arena);
}

void world_send(struct world *w, const char *collection, uint32_t from, uint32_t n, bool relaxed)
{
    struct batch b;
    if (!model_of(w, collection)) {
        return;
    }
    batch_upsert(w, &b, collection, from, n);
    send_one(w, collection, &b.mutation, relaxed);
    qv__arena_free(&b.arena);
    world_pause(w);
}

void world_delete(struct world *w, const char *collection, uint32_t from, uint32_t n)
{
    struct batch b;
    struct oracle_collection *c = model_of(w, collection);
    bool any = false;
    for (uint32_t i = 0; c && i < n; i++) {
        any |= c->p[(from + i) % ORACLE_POINTS].exists;
    }
    if (!any) {
        return; /* it would change nothing and have no record */
    }
    struct oracle_state *s = oracle_send(&w->oracle);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = (from + i) % ORACLE_POINTS;
        oracle_delete(oracle_collection(s, collection), number, w->oracle.n_sent);
        b.ids[i] = check_id(number, b.texts[i]);
    }
    b.mutation = (struct qv__mutation){.kind = QV__MUT_DELETE, .ids = b.ids, .n_ids = n};
    send_and_wait(w, collection, &b.mutation);
}

static const struct qv__filter *filter_of(struct world *w, struct qv__arena *a, const char *text)
{
    qv__json doc = NULL;
    const struct qv__filter *f = NULL;
    struct qv_err err;
    if (qv__json_parse(a, text, strlen(text), NULL, &doc, &err) != QV_OK ||
        qv__filter_parse(a, doc, &f, &err) != QV_OK) {
        world_die(w, "%s", err.message);
    }
    return f;
}

void world_delete_where(struct world *w, const char *collection, int32_t from, int32_t to)
{
    struct batch b;
    char text[128];
    if (!model_of(w, collection)) {
        return;
    }
    struct oracle_collection *c = oracle_collection(oracle_send(&w->oracle), collection);
    if (oracle_delete_where(c, from, to, w->oracle.n_sent) == 0) {
        oracle_refused(&w->oracle); /* nothing to log */
        return;
    }
    qv__arena_init(&b.arena, w->mem_test);
    snprintf(text, sizeof text, "{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":%d,\"lt\":%d}}]}",
             from, to);
    b.mutation = (struct qv__mutation){
        .kind = QV__MUT_DELETE, .by_filter = true, .filter = filter_of(w, &b.arena, text)};
    send_and_wait(w, collection, &b.mutation);
    qv__arena_free(&b.arena);
}

void world_set_where(struct world *w, const char *collection, int32_t tag, int32_t n)
{
    struct batch b;
    char text[128];
    if (!model_of(w, collection)) {
        return;
    }
    struct oracle_collection *c = oracle_collection(oracle_send(&w->oracle), collection);
    if (oracle_set_n_where(c, tag, n, w->oracle.n_sent) == 0) {
        oracle_refused(&w->oracle);
        return;
    }
    qv__arena_init(&b.arena, w->mem_test);
    snprintf(text, sizeof text, "{\"must\":[{\"key\":\"tag\",\"match\":{\"value\":\"t%d\"}}]}",
             tag);
    struct oracle_point p = {.n = n};
    b.mutation = (struct qv__mutation){.kind = QV__MUT_SET_PAYLOAD,
                                       .by_filter = true,
                                       .filter = filter_of(w, &b.arena, text),
                                       .payload = payload_of(w, &b.arena, &p, true)};
    send_and_wait(w, collection, &b.mutation);
    qv__arena_free(&b.arena);
}

/* --- background and reads --- */

void world_step(struct world *w, unsigned n)
{
    while (w->db && n-- > 0 && qv__db_step(w->db)) {
        world_pause(w);
    }
}

void world_drain(struct world *w)
{
    w->now_ns += UINT64_C(2000000000); /* what failed may be tried again */
    while (w->db && qv__db_step(w->db)) {
        world_pause(w);
    }
}

void world_checkpoint(struct world *w)
{
    struct qv_err err;
    qv_status st = w->db ? qv__db_checkpoint(w->db, &err) : QV_OK;
    if (st != QV_OK) {
        world_failed(w, "checkpoint", st, &err);
    }
    world_pause(w);
}

void world_optimize(struct world *w, const char *collection)
{
    struct qv_err err;
    struct qv__collection *c = NULL;
    if (!model_of(w, collection) || world_is_lost(w)) {
        return;
    }
    qv_status st = qv__db_collection(w->db, qv__str_z(collection), &c, &err);
    if (st == QV_OK) {
        st = qv__collection_optimize(c, 1, &err);
        qv__collection_release(c);
    }
    if (st != QV_OK) {
        world_failed(w, "optimize", st, &err);
    }
    world_pause(w);
}

/* Searches while something may fail: right or refused. */
static void search_some(struct world *w)
{
    const struct oracle_state *s = oracle_newest(&w->oracle);
    for (unsigned i = 0; i < 2 * ORACLE_COLLECTIONS; i++) {
        const struct oracle_collection *c = &s->c[i / 2];
        struct qv__collection *at = NULL;
        struct qv__result_set rs;
        struct qv_err err;
        struct qv__qctx ctx = {.clock = &w->clock, .mem = w->mem};
        struct qv__query q = {.kind = QV__QUERY_NEAREST,
                              .target = {.values = c->p[0].v, .dim = ORACLE_DIM},
                              .limit = 5,
                              .params = {.exact = i % 2}};
        uint64_t live = 0;
        if (!c->name[0]) {
            continue;
        }
        for (uint32_t p = 0; p < ORACLE_POINTS; p++) {
            live += c->p[p].exists;
        }
        qv_status st = qv__db_collection(w->db, qv__str_z(c->name), &at, &err);
        if (st == QV_OK) {
            st = qv__collection_query(at, &q, NULL, &ctx, &rs, &err);
            if (st == QV_OK && rs.n != QV_MIN(live, UINT64_C(5))) {
                world_die(w, "a search gives %zu points", rs.n);
            }
            qv__result_free(&rs);
            qv__collection_release(at);
        }
        if (st != QV_OK) {
            world_failed(w, "search", st, &err);
        }
    }
}

void world_read(struct world *w)
{
    struct check_found found;
    char why[CHECK_WHY];
    if (world_is_lost(w)) {
        return;
    }
    qv_status st = check_read(w->db, w->may_fail ? w->mem : w->mem_test, &found, why);
    if (st != QV_OK) {
        struct qv_err err = {.code = st};
        snprintf(err.message, sizeof err.message, "%s", why);
        world_failed(w, "read", st, &err);
    } else if (oracle_difference(&found.state, oracle_newest(&w->oracle), why, sizeof why)) {
        world_die(w, "%s", why);
    }
    if (w->may_fail) {
        search_some(w);
    } else if (!check_versions(&w->oracle, oracle_newest(&w->oracle), &found, why) ||
               !check_reads(w->db, w->mem_test, oracle_newest(&w->oracle), true, w->seed, why)) {
        world_die(w, "%s", why);
    }
    world_pause(w);
}

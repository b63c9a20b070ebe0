/* script.c: drawing requests, sending them, and what they do to the model. */
#include "script.h"

#include <stdio.h>

#include "base/rng.h"
#include "engine/snapshot.h"
#include "payload/filter.h"

#define BATCH_MOST 8

const struct script scripts[] = {
    {.name = "upserts",
     .what = "one shard, segments of 16 rows: sealing and merging",
     .seed = 11,
     .n_requests = 40,
     .shards = 1,
     .seal_rows = 16,
     .log_bytes = 1 << 18,
     .upsert = 8,
     .remove = 2,
     .payload = 2,
     .vectors = 1,
     .step = 3},
    {.name = "shards",
     .what = "three shards: requests that touch all of them",
     .seed = 12,
     .n_requests = 36,
     .shards = 3,
     .seal_rows = 16,
     .log_bytes = 1 << 18,
     .upsert = 5,
     .remove = 2,
     .remove_where = 2,
     .payload = 3,
     .vectors = 1,
     .batch = 3,
     .step = 2},
    {.name = "catalog",
     .what = "collections, aliases, checkpoints",
     .seed = 13,
     .n_requests = 44,
     .shards = 2,
     .seal_rows = 64,
     .log_bytes = 1 << 18,
     .upsert = 2,
     .catalog = 9,
     .checkpoint = 1,
     .step = 1},
    {.name = "optimize",
     .what = "optimize and checkpoints between deletions",
     .seed = 14,
     .n_requests = 36,
     .shards = 2,
     .seal_rows = 32,
     .log_bytes = 1 << 18,
     .upsert = 5,
     .remove = 3,
     .remove_where = 1,
     .payload = 1,
     .optimize = 3,
     .checkpoint = 2,
     .step = 2},
    {.name = "restarts",
     .what = "closing and opening: recovery's own calls",
     .seed = 15,
     .n_requests = 36,
     .shards = 2,
     .seal_rows = 16,
     .log_bytes = 1 << 18,
     .upsert = 4,
     .remove = 2,
     .payload = 1,
     .batch = 1,
     .checkpoint = 1,
     .step = 2,
     .reopen = 3},
    {.name = "log",
     .what = "payloads of 3 KB, log files of 64 KiB: begun, given back, used again",
     .seed = 16,
     .n_requests = 44,
     .shards = 2,
     .seal_rows = 64,
     .log_bytes = 1 << 16,
     .pad_bytes = 3000,
     .upsert = 8,
     .remove = 1,
     .payload = 1,
     .checkpoint = 1,
     .step = 1},
    {.name = "changes",
     .what = "graphs are to be others, a vector comes and goes with other sizes",
     .seed = 18,
     .n_requests = 36,
     .shards = 2,
     .seal_rows = 16,
     .log_bytes = 1 << 18,
     .upsert = 6,
     .remove = 1,
     .payload = 2,
     .batch = 1,
     .checkpoint = 1,
     .step = 3,
     .reopen = 1,
     .alter = 4},
    {.name = "snapshots",
     .what = "snapshots made, removed, and recovered from",
     .seed = 17,
     .n_requests = 34,
     .shards = 2,
     .seal_rows = 16,
     .log_bytes = 1 << 18,
     .upsert = 6,
     .remove = 2,
     .payload = 1,
     .snapshot = 4,
     .recover = 2,
     .step = 2},
};
const unsigned n_scripts = QV_ARRAY_LEN(scripts);

/* --- requests --- */

enum kind {
    CREATE_MAIN,
    UPSERT,
    REMOVE,
    REMOVE_WHERE,
    PAYLOAD,
    VECTORS,
    BATCH,
    CATALOG,
    SNAPSHOT,
    RECOVER,
    OPTIMIZE,
    CHECKPOINT,
    STEP,
    REOPEN,
    ALTER
};

struct request {
    enum kind kind;
    uint32_t number, tag;
    uint32_t ids[BATCH_MOST];
    size_t n_ids;
    unsigned side, second; /* CATALOG */
    unsigned deed;         /* CATALOG: 0 create, 1 drop, 2 aliases to both, 3 aliases away */
};

static enum kind draw_kind(const struct script *s, struct qv__rng *rng)
{
    const unsigned weights[] = {s->upsert,     s->remove,  s->remove_where, s->payload, s->vectors,
                                s->batch,      s->catalog, s->snapshot,     s->recover, s->optimize,
                                s->checkpoint, s->step,    s->reopen,       s->alter};
    uint64_t sum = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(weights); i++) {
        sum += weights[i];
    }
    uint64_t at = qv__rng_below(rng, sum);
    unsigned i = 0;
    while (at >= weights[i]) {
        at -= weights[i++];
    }
    return (enum kind)(UPSERT + i);
}

static struct request draw(const struct script *s, uint32_t number)
{
    struct qv__rng rng;
    struct request r = {.number = number};
    qv__rng_seed(&rng, s->seed * 1000003u + number);
    r.kind = number == 1 ? CREATE_MAIN : draw_kind(s, &rng);
    r.tag = (uint32_t)qv__rng_below(&rng, SCRIPT_TAGS);
    size_t most = r.kind == UPSERT || r.kind == BATCH ? BATCH_MOST : 3;
    uint32_t first = (uint32_t)qv__rng_below(&rng, SCRIPT_POINTS);
    r.n_ids = 1 + (size_t)qv__rng_below(&rng, most);
    for (size_t i = 0; i < r.n_ids; i++) { /* 7 and 40 have no common divisor: each id once */
        r.ids[i] = (first + 7 * (uint32_t)i) % SCRIPT_POINTS;
    }
    r.side = (unsigned)qv__rng_below(&rng, SCRIPT_COLLECTIONS);
    r.second = (unsigned)qv__rng_below(&rng, SCRIPT_COLLECTIONS);
    r.deed = (unsigned)qv__rng_below(&rng, 4);
    return r;
}

enum script_kind script_kind(const struct script *script, uint32_t n)
{
    enum kind kind = draw(script, n).kind;
    if (kind == REOPEN) {
        return SCRIPT_REOPEN;
    }
    if (kind == SNAPSHOT) {
        return SCRIPT_FILES;
    }
    return kind == OPTIMIZE || kind == CHECKPOINT || kind == STEP ? SCRIPT_UPKEEP : SCRIPT_WRITE;
}

/* --- the model --- */

static void put(const struct request *r, struct script_state *s)
{
    for (size_t i = 0; i < r->n_ids; i++) {
        s->points[r->ids[i]] = (struct script_point){.exists = true,
                                                     .x_by = s->x_dim ? r->number : 0,
                                                     .vector_by = r->number,
                                                     .payload_by = r->number,
                                                     .n = r->number,
                                                     .tag = r->tag};
    }
}

/* Points with the tag: gone, or with a new n. */
static void each_tagged(const struct request *r, struct script_state *s, bool remove)
{
    for (size_t i = 0; i < SCRIPT_POINTS; i++) {
        struct script_point *p = &s->points[i];
        if (p->exists && p->tag == r->tag) {
            p->n = r->number;
            p->exists = !remove;
        }
    }
}

static bool update_vectors(const struct request *r, struct script_state *s)
{
    for (size_t i = 0; i < r->n_ids; i++) {
        if (!s->points[r->ids[i]].exists) {
            return false;
        }
    }
    for (size_t i = 0; i < r->n_ids; i++) {
        s->points[r->ids[i]].vector_by = r->number;
    }
    return true;
}

static bool change_catalog(const struct request *r, struct script_state *s)
{
    switch (r->deed) {
    case 0:
        if (s->has_side[r->side]) {
            return false;
        }
        s->has_side[r->side] = true;
        return true;
    case 1:
        for (unsigned a = 0; a < SCRIPT_ALIASES; a++) {
            s->alias_to[a] = s->alias_to[a] == r->side + 1 ? 0 : s->alias_to[a];
        }
        s->has_side[r->side] = false;
        return true;
    case 2:
        if (!s->has_side[r->side] || !s->has_side[r->second]) {
            return false;
        }
        s->alias_to[0] = r->side + 1;
        s->alias_to[1] = r->second + 1;
        return true;
    default:
        s->alias_to[0] = s->alias_to[1] = 0;
        return true;
    }
}

static bool alters_x(const struct request *r)
{
    return r->deed > 0;
}

/* Graphs are nothing that is compared; the vector x comes, or goes and with it all of it. */
static void change_columns(const struct request *r, struct script_state *s)
{
    if (alters_x(r)) {
        s->x_dim = s->x_dim ? 0 : 1 + r->tag;
        for (size_t i = 0; i < SCRIPT_POINTS; i++) {
            s->points[i].x_by = 0;
        }
    }
}

/* Make one, or remove the oldest when there are enough. */
static void change_snapshots(struct script_state *s)
{
    if (s->n_snapshots == SCRIPT_SNAPSHOTS) {
        memmove(s->snapshots[0], s->snapshots[1], (SCRIPT_SNAPSHOTS - 1) * sizeof s->snapshots[0]);
        s->n_snapshots--;
    } else {
        memcpy(s->snapshots[s->n_snapshots++], s->points, sizeof s->points);
    }
}

static bool recover_newest(struct script_state *s)
{
    if (s->n_snapshots == 0) {
        return false;
    }
    memcpy(s->points, s->snapshots[s->n_snapshots - 1], sizeof s->points);
    return true;
}

bool script_apply(const struct script *script, uint32_t n, struct script_state *s)
{
    struct request r = draw(script, n);
    switch (r.kind) {
    case CREATE_MAIN:
        s->has_main = true;
        return true;
    case UPSERT:
        put(&r, s);
        return true;
    case REMOVE:
        for (size_t i = 0; i < r.n_ids; i++) {
            s->points[r.ids[i]].exists = false;
        }
        return true;
    case REMOVE_WHERE:
        each_tagged(&r, s, true);
        return true;
    case PAYLOAD:
        each_tagged(&r, s, false);
        return true;
    case VECTORS:
        return update_vectors(&r, s);
    case BATCH:
        each_tagged(&r, s, true);
        put(&r, s);
        each_tagged(&r, s, false);
        return true;
    case CATALOG:
        return change_catalog(&r, s);
    case SNAPSHOT:
        change_snapshots(s);
        return true;
    case RECOVER:
        return recover_newest(s);
    case ALTER:
        change_columns(&r, s);
        return true;
    case OPTIMIZE:
    case CHECKPOINT:
    case STEP:
    case REOPEN:
    default:
        return true;
    }
}

/* --- the database --- */

qv_status script_open(struct script_run *run)
{
    struct qv__db_options o = {.path = run->dir,
                               .threads = -1,
                               .seed = 7,
                               .log_file_bytes = run->script->log_bytes,
                               .checkpoint_log_bytes = 4 * (uint64_t)run->script->log_bytes};
    run->db = NULL;
    return qv__db_open(&o, &run->db, &run->err);
}

qv_status script_close(struct script_run *run)
{
    qv_status st = qv__db_close(run->db, &run->err);
    run->db = NULL;
    return st;
}

static qv_status create(struct script_run *run, const char *name, uint32_t shards)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = SCRIPT_DIM};
    struct qv__schema schema = {.vectors = &def, .n_vectors = 1, .shard_number = shards};
    schema.policy = (struct qv__segment_policy){
        .seal_rows = run->script->seal_rows, .index_rows = 8, .merge_fanin = 2};
    return qv__db_create_collection(run->db, qv__str_z(name), &schema, &run->err);
}

const char *script_side_name(unsigned i)
{
    static const char *const side[SCRIPT_COLLECTIONS] = {"side-0", "side-1", "side-2"};
    return side[i];
}

const char *script_alias_name(unsigned i)
{
    static const char *const alias[SCRIPT_ALIASES] = {"alias-0", "alias-1"};
    return alias[i];
}

void script_vector(uint32_t id, uint32_t request, float out[SCRIPT_DIM])
{
    for (uint64_t i = 0; i < SCRIPT_DIM; i++) {
        uint64_t bits = qv__mix64((uint64_t)request << 32 | id << 3 | i);
        out[i] = (float)(bits & 0xFFFF) / 64.0f - 512.0f;
    }
}

static qv_status payload_of(struct qv__arena *a, const char *json, struct qv__bytes *out,
                            struct qv_err *err)
{
    qv__json v = NULL;
    struct qv__buf b;
    QV_TRY(qv__json_parse(a, json, strlen(json), NULL, &v, err));
    qv__buf_init(&b, a->mem);
    qv_status st = qv__payload_from_json(&b, v, err);
    uint8_t *copy = st == QV_OK ? qv__arena_alloc(a, b.n) : NULL;
    if (copy) {
        memcpy(copy, b.p, b.n);
        *out = (struct qv__bytes){copy, b.n};
    }
    qv__buf_free(&b);
    return st == QV_OK && !copy ? qv__fail(err, QV_ENOMEM, "script: no memory") : st;
}

qv_status script_tagged(struct qv__arena *a, uint32_t tag, const struct qv__filter **out,
                        struct qv_err *err)
{
    char json[96];
    qv__json v = NULL;
    snprintf(json, sizeof json, "{\"must\":[{\"key\":\"tag\",\"match\":{\"value\":%u}}]}", tag);
    QV_TRY(qv__json_parse(a, json, strlen(json), NULL, &v, err));
    return qv__filter_parse(a, v, out, err);
}

char *script_payload(const struct script *s, struct qv__arena *a, uint32_t by, uint32_t n,
                     uint32_t tag)
{
    size_t room = s->pad_bytes + 64;
    char *text = qv__arena_alloc(a, room);
    if (text) {
        int at = snprintf(text, room, "{\"pad\":\"");
        memset(text + at, 'a' + (int)(by % 26), s->pad_bytes);
        snprintf(text + at + s->pad_bytes, 56, "\",\"n\":%u,\"tag\":%u}", n, tag);
    }
    return text;
}

/* The points of a request, with vectors and payload. */
static qv_status make_points(const struct script *s, const struct request *r, uint32_t x_dim,
                             struct qv__arena *a, struct qv__point *points,
                             struct qv__named_vector (*named)[2], float (*values)[SCRIPT_DIM],
                             struct qv_err *err)
{
    struct qv__bytes payload = {NULL, 0};
    if (r->kind != VECTORS) {
        char *text = script_payload(s, a, r->number, r->number, r->tag);
        if (!text) {
            return qv__fail(err, QV_ENOMEM, "script: no memory");
        }
        QV_TRY(payload_of(a, text, &payload, err));
    }
    for (size_t i = 0; i < r->n_ids; i++) {
        script_vector(r->ids[i], r->number, values[i]);
        named[i][0] =
            (struct qv__named_vector){.name = QV__STR(""), .values = values[i], .dim = SCRIPT_DIM};
        named[i][1] =
            (struct qv__named_vector){.name = QV__STR("x"), .values = values[i], .dim = x_dim};
        points[i] = (struct qv__point){.id = qv__id_u64(r->ids[i]),
                                       .vectors = named[i],
                                       .n_vectors = x_dim && r->kind != VECTORS ? 2 : 1,
                                       .payload = payload};
    }
    return QV_OK;
}

/* Elements of the vectors x; 0 = there are none. */
static uint32_t x_dim_of(struct qv__collection *c)
{
    struct qv__schema *s = qv__collection_schema(c);
    int at = qv__schema_vector(s, QV__STR("x"));
    uint32_t dim = at < 0 ? 0 : s->vectors[at].dim;
    qv__schema_release(s);
    return dim;
}

static qv_status send_alter(struct script_run *run, const struct request *r,
                            struct qv__collection *c)
{
    struct qv__str x = QV__STR("x");
    struct qv__vector_def def = {.name = x, .metric = QV__L2, .dim = 1 + r->tag};
    struct qv__alter a = {.add = &def};
    if (!alters_x(r)) {
        def = (struct qv__vector_def){.name = QV__STR(""), .index = {.m = 8 + r->tag}};
        a = (struct qv__alter){.set = &def, .n_set = 1};
    } else if (x_dim_of(c)) {
        a = (struct qv__alter){.drop = &x};
    }
    return qv__db_alter(run->db, QV__STR(SCRIPT_MAIN), &a, NULL, &run->err);
}

static qv_status write_points(struct script_run *run, const struct request *r, struct qv__arena *a,
                              struct qv__collection *c)
{
    struct qv_err *err = &run->err;
    struct qv__point points[BATCH_MOST];
    struct qv__named_vector named[BATCH_MOST][2];
    float values[BATCH_MOST][SCRIPT_DIM];
    struct qv__id ids[BATCH_MOST];
    char json[32];
    struct qv__mutation remove = {.kind = QV__MUT_DELETE, .by_filter = true};
    struct qv__mutation set = {.kind = QV__MUT_SET_PAYLOAD, .by_filter = true};
    struct qv__mutation upsert = {.kind = QV__MUT_UPSERT, .points = points, .n_points = r->n_ids};
    QV_TRY(make_points(run->script, r, x_dim_of(c), a, points, named, values, err));
    QV_TRY(script_tagged(a, r->tag, &remove.filter, err));
    snprintf(json, sizeof json, "{\"n\":%u}", r->number);
    QV_TRY(payload_of(a, json, &set.payload, err));
    set.filter = remove.filter;
    if (r->kind == REMOVE) {
        for (size_t i = 0; i < r->n_ids; i++) {
            ids[i] = points[i].id;
        }
        remove.by_filter = false;
        remove.ids = ids;
        remove.n_ids = r->n_ids;
    }
    if (r->kind == VECTORS) {
        upsert.kind = QV__MUT_UPDATE_VECTORS;
    }
    struct qv__mutation all[3] = {remove, upsert, set};
    bool is_remove = r->kind == REMOVE || r->kind == REMOVE_WHERE;
    size_t at = r->kind == BATCH || is_remove ? 0 : r->kind == PAYLOAD ? 2 : 1;
    return qv__collection_write_sync(c, all + at, r->kind == BATCH ? 3 : 1, NULL, err);
}

static qv_status send_catalog(struct script_run *run, const struct request *r)
{
    struct qv__alias_action actions[SCRIPT_ALIASES];
    bool existed;
    if (r->deed == 0) {
        return create(run, script_side_name(r->side), 1);
    }
    if (r->deed == 1) {
        return qv__db_drop_collection(run->db, qv__str_z(script_side_name(r->side)), &existed,
                                      &run->err);
    }
    for (unsigned a = 0; a < SCRIPT_ALIASES; a++) {
        actions[a] = (struct qv__alias_action){
            .kind = r->deed == 2 ? QV__ALIAS_CREATE : QV__ALIAS_DELETE,
            .alias = qv__str_z(script_alias_name(a)),
            .collection = qv__str_z(script_side_name(a == 0 ? r->side : r->second))};
    }
    return qv__db_update_aliases(run->db, actions, SCRIPT_ALIASES, &run->err);
}

struct snapshot_ids {
    uint64_t oldest, newest;
    unsigned n;
};

static void see_snapshot(void *arg, const struct qv__snapshot_info *info)
{
    struct snapshot_ids *ids = arg;
    ids->oldest = ids->n ? ids->oldest : info->id;
    ids->newest = info->id;
    ids->n++;
}

static qv_status send_snapshot(struct script_run *run, const struct request *r)
{
    struct snapshot_ids ids = {0};
    QV_TRY(qv__db_snapshots(run->db, see_snapshot, &ids, &run->err));
    if (r->kind == RECOVER && ids.n == 0) {
        return qv__fail(&run->err, QV_ENOTFOUND, "script: no snapshot");
    }
    if (r->kind == RECOVER) {
        struct qv__snapshot_from from = {.id = ids.newest};
        return qv__db_snapshot_recover(run->db, QV__STR(SCRIPT_MAIN), &from, &run->err);
    }
    return ids.n == SCRIPT_SNAPSHOTS
               ? qv__db_snapshot_delete(run->db, ids.oldest, &run->err)
               : qv__db_snapshot_create(run->db, QV__STR(SCRIPT_MAIN), NULL, &run->err);
}

static qv_status on_main(struct script_run *run, const struct request *r)
{
    struct qv__arena a;
    struct qv__collection *c = NULL;
    QV_TRY(qv__db_collection(run->db, QV__STR(SCRIPT_MAIN), &c, &run->err));
    qv__arena_init(&a, qv__db_mem(run->db));
    qv_status st = r->kind == OPTIMIZE ? qv__collection_optimize(c, 1, &run->err)
                   : r->kind == ALTER  ? send_alter(run, r, c)
                                       : write_points(run, r, &a, c);
    qv__arena_free(&a);
    qv__collection_release(c);
    return st;
}

qv_status script_do(struct script_run *run, uint32_t n)
{
    struct request r = draw(run->script, n);
    switch (r.kind) {
    case CREATE_MAIN:
        return create(run, SCRIPT_MAIN, run->script->shards);
    case CATALOG:
        return send_catalog(run, &r);
    case SNAPSHOT:
    case RECOVER:
        return send_snapshot(run, &r);
    case CHECKPOINT:
        return qv__db_checkpoint(run->db, &run->err);
    case STEP:
        while (qv__db_step(run->db)) {
        }
        return QV_OK;
    case REOPEN:
        (void)!script_close(run); /* the handle is gone, whatever it answers */
        return script_open(run);
    case UPSERT:
    case REMOVE:
    case REMOVE_WHERE:
    case PAYLOAD:
    case VECTORS:
    case BATCH:
    case OPTIMIZE:
    case ALTER:
    default:
        return on_main(run, &r);
    }
}

qv_status script_probe(struct script_run *run)
{
    bool existed;
    QV_TRY(create(run, "probe", 1));
    return qv__db_drop_collection(run->db, QV__STR("probe"), &existed, &run->err);
}

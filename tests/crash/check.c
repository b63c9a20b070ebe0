/* check.c: from a database to an oracle state, and the questions that need the engine. */
#include "check.h"

#include "base/rng.h"
#include "engine/snapshot.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define TOP 10u

static bool fail(char why[CHECK_WHY], const char *fmt, ...) QV_PRINTF(2, 3);
static bool fail(char why[CHECK_WHY], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, CHECK_WHY, fmt, args);
    va_end(args);
    return false;
}

/* --- ids --- */

struct qv__id check_id(uint32_t number, char text[8])
{
    struct qv__id id = qv__id_u64(number);
    if (number % 3 == 1) {
        id.kind = QV__ID_UUID;
        memset(id.uuid, 0, 16);
        id.uuid[3] = (uint8_t)(number * 37);
        id.uuid[15] = (uint8_t)number;
    } else if (number % 7 == 2) {
        snprintf(text, 8, "p%03u", number % 1000);
        id.kind = QV__ID_STR;
        id.len = 4;
        id.s = text;
    }
    return id;
}

/* ORACLE_POINTS: no point has that id. */
static uint32_t number_of(const struct qv__id *id)
{
    char text[8];
    uint64_t number = ORACLE_POINTS;
    if (id->kind == QV__ID_U64) {
        number = id->u;
    } else if (id->kind == QV__ID_UUID) {
        number = id->uuid[15];
    } else if (id->kind == QV__ID_STR && id->len == 4) {
        number = (uint64_t)(id->s[1] - '0') * 100 + (uint64_t)(id->s[2] - '0') * 10 +
                 (uint64_t)(id->s[3] - '0');
    }
    if (number >= ORACLE_POINTS) {
        return ORACLE_POINTS;
    }
    struct qv__id same = check_id((uint32_t)number, text);
    return qv__id_eq(&same, id) ? (uint32_t)number : ORACLE_POINTS;
}

/* --- reading back --- */

static bool read_payload(struct qv__bytes row, struct oracle_point *p)
{
    struct qv__value root, v;
    struct qv__value_iter it;
    struct qv__str key;
    bool has_n = false;
    p->tag = -1;
    if (!qv__value_read(row.p, row.p + row.n, &root) || root.tag != QV__TAG_OBJ) {
        return false;
    }
    qv__value_iter_init(&it, &root);
    while (qv__value_iter_next(&it, &key, &v)) {
        if (qv__str_eq(key, QV__STR("n")) && v.tag == QV__TAG_I64) {
            p->n = (int32_t)v.i;
            has_n = true;
        } else if (qv__str_eq(key, QV__STR("tag")) && v.tag == QV__TAG_STR && v.s.n == 2) {
            p->tag = v.s.p[1] - '0';
        } else {
            return false;
        }
    }
    return has_n;
}

static bool read_points(const struct qv__result_set *rs, struct oracle_collection *c,
                        uint64_t *versions, char why[CHECK_WHY])
{
    char text[64];
    for (size_t i = 0; i < rs->n; i++) {
        const struct qv__result_point *r = &rs->points[i];
        uint32_t number = number_of(&r->id);
        if (number == ORACLE_POINTS) {
            return fail(why, "V2: %s: a point %s was never sent", c->name,
                        qv__id_text(&r->id, text, sizeof text));
        }
        if (i > 0 && qv__id_cmp(&rs->points[i - 1].id, &r->id) >= 0) {
            return fail(why, "V5: %s: a scroll gives ids twice or out of order", c->name);
        }
        struct oracle_point *p = &c->p[number];
        if (!read_payload(r->payload, p) || !r->vectors || !r->vectors[0]) {
            return fail(why, "V4: %s: point %u is not whole", c->name, number);
        }
        p->exists = true;
        memcpy(p->v, r->vectors[0], sizeof p->v);
        p->has_x = c->x_dim && r->vectors[1];
        if (p->has_x) {
            memcpy(p->x, r->vectors[1], c->x_dim * sizeof *p->x);
        }
        versions[number] = r->version;
    }
    return true;
}

static qv_status read_collection(struct qv__db *db, struct qv__mem *mem,
                                 struct oracle_collection *c, uint64_t *versions,
                                 char why[CHECK_WHY])
{
    struct qv__collection *at = NULL;
    struct qv_err err;
    struct qv__result_set rs;
    struct qv__qctx ctx = {.clock = qv__db_clock(db), .mem = mem};
    struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}, .vectors = QV__VECTORS_ALL};
    qv_status st = qv__db_collection(db, qv__str_z(c->name), &at, &err);
    if (st != QV_OK) {
        fail(why, "V2: a listed collection is not found: %s", err.message);
        return QV_ECORRUPT;
    }
    struct qv__schema *schema = qv__collection_schema(at);
    c->shards = schema->shard_number;
    c->n_indexes = schema->n_indexes;
    c->x_dim = schema->n_vectors > 1 ? schema->vectors[1].dim : 0;
    c->m = schema->vectors[0].index.m;
    qv__schema_release(schema);
    st = qv__collection_scroll(at, NULL, ORACLE_POINTS + 1, NULL, &fetch, &ctx, &rs, &err);
    if (st != QV_OK) {
        fail(why, "scroll of %s: %s", c->name, err.message);
    } else if (!read_points(&rs, c, versions, why)) {
        st = QV_ECORRUPT;
    }
    qv__result_free(&rs);
    qv__collection_release(at);
    return st;
}

struct listing {
    struct oracle_state *state;
    unsigned n;
    bool is_too_long;
};

static void list_name(void *arg, struct qv__str name)
{
    struct listing *l = arg;
    if (l->n == ORACLE_COLLECTIONS || name.n >= ORACLE_NAME) {
        l->is_too_long = true;
        return;
    }
    memcpy(l->state->c[l->n++].name, name.p, name.n);
}

static void list_alias(void *arg, struct qv__str alias, struct qv__str collection)
{
    struct listing *l = arg;
    if (l->n == ORACLE_ALIASES || alias.n >= ORACLE_NAME || collection.n >= ORACLE_NAME) {
        l->is_too_long = true;
        return;
    }
    memcpy(l->state->a[l->n].name, alias.p, alias.n);
    memcpy(l->state->a[l->n++].collection, collection.p, collection.n);
}

static void count_snapshot(void *arg, const struct qv__snapshot_info *info)
{
    (void)info;
    ++*(uint32_t *)arg;
}

qv_status check_read(struct qv__db *db, struct qv__mem *mem, struct check_found *out,
                     char why[CHECK_WHY])
{
    memset(out, 0, sizeof *out);
    struct listing names = {.state = &out->state}, aliases = {.state = &out->state};
    struct qv_err err;
    qv_status st = qv__db_list_collections(db, list_name, &names, &err);
    if (st == QV_OK) {
        st = qv__db_list_aliases(db, QV__STR(""), list_alias, &aliases, &err);
    }
    if (st == QV_OK) {
        st = qv__db_snapshots(db, count_snapshot, &out->state.n_snapshots, &err);
    }
    if (st != QV_OK) {
        fail(why, "listing: %s", err.message);
        return st;
    }
    if (names.is_too_long || aliases.is_too_long) {
        fail(why, "V2: there are collections or aliases that were never made");
        return QV_ECORRUPT;
    }
    for (unsigned i = 0; st == QV_OK && i < names.n; i++) {
        st = read_collection(db, mem, &out->state.c[i], out->versions[i], why);
    }
    return st;
}

bool check_versions(const struct oracle *o, const struct oracle_state *expected,
                    const struct check_found *found, char why[CHECK_WHY])
{
    for (unsigned i = 0; i < ORACLE_COLLECTIONS; i++) {
        const struct oracle_collection *f = &found->state.c[i];
        if (!f->name[0]) {
            continue;
        }
        for (unsigned k = 0; k < ORACLE_COLLECTIONS; k++) {
            const struct oracle_collection *e = &expected->c[k];
            for (uint32_t p = 0; strcmp(e->name, f->name) == 0 && p < ORACLE_POINTS; p++) {
                uint64_t want = e->p[p].exists ? o->versions[e->p[p].request] : 0;
                if (want && want != found->versions[i][p]) {
                    return fail(why, "V1: %s: point %u has version %llu, its request got %llu",
                                f->name, p, (unsigned long long)found->versions[i][p],
                                (unsigned long long)want);
                }
            }
        }
    }
    return true;
}

/* --- V5: counts and scrolls with filters --- */

/* n >= from and (tag < 0 or tag == "t<tag>"), as the engine's tree. */
struct condition {
    struct qv__cond conds[2];
    struct qv__match_value value;
    struct qv__filter filter;
    char tag_text[4];
    int32_t from, tag;
};

static void condition_make(struct condition *c, int32_t from, int32_t tag)
{
    memset(c, 0, sizeof *c);
    c->from = from;
    c->tag = tag;
    c->conds[0].kind = QV__COND_RANGE;
    c->conds[0].key = QV__STR("n");
    (void)!qv__path_parse(c->conds[0].key, &c->conds[0].path, NULL);
    c->conds[0].range.gte = from;
    c->conds[0].range.has_gte = true;
    if (tag >= 0) {
        c->tag_text[0] = 't';
        c->tag_text[1] = (char)('0' + tag);
        c->value.kind = QV__MATCH_STR;
        c->value.s = (struct qv__str){c->tag_text, 2};
        c->conds[1].kind = QV__COND_MATCH_ANY;
        c->conds[1].key = QV__STR("tag");
        (void)!qv__path_parse(c->conds[1].key, &c->conds[1].path, NULL);
        c->conds[1].match.values = &c->value;
        c->conds[1].match.n = 1;
    }
    c->filter.must.conds = c->conds;
    c->filter.must.n = tag >= 0 ? 2 : 1;
}

static bool matches(const struct condition *c, const struct oracle_point *p)
{
    return p->exists && p->n >= c->from && (c->tag < 0 || c->tag == p->tag);
}

static bool check_filter(struct qv__collection *at, const struct oracle_collection *c,
                         const struct condition *cond, struct qv__qctx *ctx, char why[CHECK_WHY])
{
    uint64_t expected = 0, counted = 0;
    for (uint32_t i = 0; i < ORACLE_POINTS; i++) {
        expected += matches(cond, &c->p[i]);
    }
    struct qv_err err;
    if (qv__collection_count(at, &cond->filter, ctx, &counted, &err) != QV_OK) {
        return fail(why, "V5: count of %s: %s", c->name, err.message);
    }
    struct qv__result_set rs;
    if (qv__collection_scroll(at, NULL, ORACLE_POINTS + 1, &cond->filter, NULL, ctx, &rs, &err) !=
        QV_OK) {
        return fail(why, "V5: scroll of %s: %s", c->name, err.message);
    }
    bool ok = counted == expected && rs.n == expected;
    for (size_t i = 0; ok && i < rs.n; i++) {
        uint32_t number = number_of(&rs.points[i].id);
        ok = number < ORACLE_POINTS && matches(cond, &c->p[number]);
    }
    size_t n = rs.n;
    qv__result_free(&rs);
    return ok ||
           fail(why, "V5: %s where n >= %d, tag %d: counted %llu, scrolled %zu, expected %llu",
                c->name, cond->from, cond->tag, (unsigned long long)counted, n,
                (unsigned long long)expected);
}

/* --- V6 to V9: searches --- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static qv_status search(struct qv__collection *at, const float *q, bool exact, uint64_t limit,
                        struct qv__qctx *ctx, struct qv__result_set *rs, struct qv_err *err)
{
    struct qv__query query = {.kind = QV__QUERY_NEAREST,
                              .target = {.values = q, .dim = ORACLE_DIM},
                              .limit = limit,
                              .params = {.exact = exact}};
    return qv__collection_query(at, &query, NULL, ctx, rs, err);
}

/* The TOP nearest have the distances that a plain scan finds. The walk over so few points must find
 * all of them too: that is what the recall was before. */
static bool check_nearest(struct qv__collection *at, const struct oracle_collection *c,
                          const float *q, bool exact, struct qv__qctx *ctx, char why[CHECK_WHY])
{
    double want[ORACLE_POINTS];
    size_t n = 0;
    for (uint32_t i = 0; i < ORACLE_POINTS; i++) {
        if (c->p[i].exists) {
            want[n++] = sqrt(oracle_distance(q, c->p[i].v));
        }
    }
    qsort(want, n, sizeof *want, by_value);
    n = QV_MIN(n, (size_t)TOP);
    struct qv__result_set rs;
    struct qv_err err;
    if (search(at, q, exact, TOP, ctx, &rs, &err) != QV_OK) {
        return fail(why, "V7: search in %s: %s", c->name, err.message);
    }
    bool ok = rs.n == n;
    for (size_t i = 0; ok && i < n; i++) {
        double score = (double)rs.points[i].score;
        ok = isfinite(score) && fabs(score - want[i]) < 1e-4 * (1 + want[i]);
    }
    size_t got = rs.n;
    qv__result_free(&rs);
    return ok || fail(why, "%s: %s: a search for the nearest %zu gives %zu others",
                      exact ? "V7" : "V8", c->name, n, got);
}

static bool check_reachable(struct qv__collection *at, const struct oracle_collection *c,
                            uint32_t number, struct qv__qctx *ctx, char why[CHECK_WHY])
{
    struct qv__result_set rs;
    struct qv_err err;
    if (search(at, c->p[number].v, false, 1, ctx, &rs, &err) != QV_OK) {
        return fail(why, "V6: search in %s: %s", c->name, err.message);
    }
    bool ok = rs.n == 1 && isfinite(rs.points[0].score) && rs.points[0].score < 1e-3f;
    qv__result_free(&rs);
    return ok || fail(why, "V6: %s: point %u is not found by its own vector", c->name, number);
}

static bool check_collection(struct qv__collection *at, const struct oracle_collection *c,
                             struct qv__qctx *ctx, bool every, struct qv__rng *rng,
                             char why[CHECK_WHY])
{
    struct condition cond;
    float q[ORACLE_DIM];
    condition_make(&cond, (int32_t)qv__rng_below(rng, 100), -1);
    if (!check_filter(at, c, &cond, ctx, why)) {
        return false;
    }
    condition_make(&cond, 0, (int32_t)qv__rng_below(rng, ORACLE_TAGS));
    if (!check_filter(at, c, &cond, ctx, why)) {
        return false;
    }
    for (unsigned i = 0; i < ORACLE_DIM; i++) {
        q[i] = 5 * qv__rng_gauss(rng);
    }
    if (!check_nearest(at, c, q, true, ctx, why) || !check_nearest(at, c, q, false, ctx, why)) {
        return false;
    }
    uint32_t start = (uint32_t)qv__rng_below(rng, ORACLE_POINTS), some = 2;
    for (uint32_t i = 0; i < ORACLE_POINTS && (every || some > 0); i++) {
        uint32_t number = (start + i) % ORACLE_POINTS;
        if (c->p[number].exists) {
            some--;
            if (!check_reachable(at, c, number, ctx, why)) {
                return false;
            }
        }
    }
    return true;
}

bool check_reads(struct qv__db *db, struct qv__mem *mem, const struct oracle_state *expected,
                 bool every, uint64_t seed, char why[CHECK_WHY])
{
    struct qv__qctx ctx = {.clock = qv__db_clock(db), .mem = mem};
    struct qv__rng rng;
    qv__rng_seed(&rng, seed);
    for (unsigned i = 0; i < ORACLE_COLLECTIONS; i++) {
        const struct oracle_collection *c = &expected->c[i];
        struct qv__collection *at = NULL;
        struct qv_err err;
        if (!c->name[0]) {
            continue;
        }
        if (qv__db_collection(db, qv__str_z(c->name), &at, &err) != QV_OK) {
            return fail(why, "V5: %s", err.message);
        }
        bool ok = check_collection(at, c, &ctx, every, &rng, why);
        qv__collection_release(at);
        if (!ok) {
            return false;
        }
    }
    return true;
}

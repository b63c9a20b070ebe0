/* script_check.c: a whole database against a state of the model, and against itself. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/snapshot.h"
#include "script.h"

struct differing {
    struct script_run *run;
    const struct script_state *want;
    struct qv__collection *c;
    struct qv__arena arena;
    char *text;
    size_t n;
    unsigned n_collections, n_aliases; /* as expected, each */
    bool is_wrong;
};

__attribute__((format(printf, 2, 3))) static void wrong(struct differing *d, const char *format,
                                                        ...)
{
    if (!d->is_wrong) {
        va_list args;
        va_start(args, format);
        vsnprintf(d->text, d->n, format, args);
        va_end(args);
        d->is_wrong = true;
    }
}

/* False, and told, when a call of the database failed. */
static bool worked(struct differing *d, const char *call, qv_status st)
{
    if (st != QV_OK) {
        wrong(d, "%s: %s: %s", call, qv_status_name(st), d->run->err.message);
    }
    return st == QV_OK;
}

static void see_collection(void *arg, struct qv__str name)
{
    struct differing *d = arg;
    bool is_known = qv__str_eq(name, QV__STR(SCRIPT_MAIN)) && d->want->has_main;
    for (unsigned i = 0; i < SCRIPT_COLLECTIONS; i++) {
        is_known |= d->want->has_side[i] && qv__str_eq(name, qv__str_z(script_side_name(i)));
    }
    if (!is_known) {
        wrong(d, "collection %.*s should not be there", (int)name.n, name.p);
    }
    d->n_collections++;
}

static void see_alias(void *arg, struct qv__str alias, struct qv__str collection)
{
    struct differing *d = arg;
    bool is_known = false;
    for (unsigned i = 0; i < SCRIPT_ALIASES; i++) {
        is_known |= d->want->alias_to[i] && qv__str_eq(alias, qv__str_z(script_alias_name(i))) &&
                    qv__str_eq(collection, qv__str_z(script_side_name(d->want->alias_to[i] - 1)));
    }
    if (!is_known) {
        wrong(d, "alias %.*s to %.*s should not be there", (int)alias.n, alias.p, (int)collection.n,
              collection.p);
    }
    d->n_aliases++;
}

static void count_snapshot(void *arg, const struct qv__snapshot_info *info)
{
    (void)info;
    ++*(unsigned *)arg;
}

static void compare_catalog(struct differing *d)
{
    unsigned collections = d->want->has_main, aliases = 0;
    for (unsigned i = 0; i < SCRIPT_COLLECTIONS; i++) {
        collections += d->want->has_side[i];
    }
    for (unsigned i = 0; i < SCRIPT_ALIASES; i++) {
        aliases += d->want->alias_to[i] != 0;
    }
    struct qv_err *err = &d->run->err;
    struct qv__db *db = d->run->db;
    unsigned snapshots = 0;
    if (worked(d, "list snapshots", qv__db_snapshots(db, count_snapshot, &snapshots, err)) &&
        snapshots != d->want->n_snapshots) {
        wrong(d, "%u snapshots; expected %u", snapshots, d->want->n_snapshots);
    }
    if (worked(d, "list", qv__db_list_collections(db, see_collection, d, err)) &&
        worked(d, "list aliases", qv__db_list_aliases(db, QV__STR(""), see_alias, d, err)) &&
        (d->n_collections != collections || d->n_aliases != aliases)) {
        wrong(d, "%u collections and %u aliases; expected %u and %u", d->n_collections,
              d->n_aliases, collections, aliases);
    }
}

static void compare_point(struct differing *d, const struct qv__result_point *got, uint32_t id)
{
    const struct script_point *p = &d->want->points[id];
    float v[SCRIPT_DIM];
    struct qv__buf json;
    struct qv__jw w;
    const char *text = script_payload(d->run->script, &d->arena, p->payload_by, p->n, p->tag);
    script_vector(id, p->vector_by, v);
    qv__buf_init(&json, d->arena.mem);
    qv__jw_init(&w, &json);
    qv__payload_to_json(&w, got->payload);
    qv__buf_putc(&json, 0);
    if (!text || json.failed) {
        wrong(d, "no memory to compare");
    } else if (strcmp((const char *)json.p, text) != 0) {
        wrong(d, "point %u: payload %.99s; expected %.99s", id, (const char *)json.p, text);
    } else if (!got->vectors[0] || memcmp(got->vectors[0], v, sizeof v) != 0) {
        wrong(d, "point %u: not the vector of request %u", id, p->vector_by);
    } else if (d->want->x_dim) {
        script_vector(id, p->x_by, v);
        const float *x = got->vectors[1];
        if (p->x_by ? !x || memcmp(x, v, d->want->x_dim * sizeof *v) != 0 : x != NULL) {
            wrong(d, "point %u: not the vector x of request %u", id, p->x_by);
        }
    }
    qv__buf_free(&json);
}

static struct qv__qctx context(const struct differing *d)
{
    return (struct qv__qctx){.clock = qv__db_clock(d->run->db), .mem = qv__db_mem(d->run->db)};
}

static void compare_points(struct differing *d)
{
    struct qv__id ids[SCRIPT_POINTS];
    struct qv__schema *schema = qv__collection_schema(d->c);
    uint32_t x_dim = schema->n_vectors > 1 ? schema->vectors[1].dim : 0;
    qv__schema_release(schema);
    if (x_dim != d->want->x_dim) {
        wrong(d, "vectors x have %u elements; expected %u", x_dim, d->want->x_dim);
        return;
    }
    struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}, .vectors = QV__VECTORS_ALL};
    struct qv__qctx ctx = context(d);
    struct qv__result_set rs = {0};
    for (uint32_t i = 0; i < SCRIPT_POINTS; i++) {
        ids[i] = qv__id_u64(i);
    }
    if (worked(d, "get",
               qv__collection_get(d->c, ids, SCRIPT_POINTS, &fetch, &ctx, &rs, &d->run->err))) {
        size_t at = 0;
        for (uint32_t i = 0; i < SCRIPT_POINTS; i++) {
            bool is_there = at < rs.n && qv__id_eq(&rs.points[at].id, &ids[i]);
            if (is_there != d->want->points[i].exists) {
                wrong(d, "point %u is %sthere", i, is_there ? "" : "not ");
            } else if (is_there) {
                compare_point(d, &rs.points[at], i);
            }
            at += is_there;
        }
    }
    qv__result_free(&rs);
}

/* count(filter) = scroll(filter) = brute force, for each tag and for all. */
static void compare_counts(struct differing *d)
{
    for (uint32_t tag = 0; tag <= SCRIPT_TAGS; tag++) {
        const struct qv__filter *filter = NULL;
        struct qv__qctx ctx = context(d);
        struct qv__result_set rs = {0};
        struct qv_err *err = &d->run->err;
        uint64_t counted = 0, expected = 0;
        for (uint32_t i = 0; i < SCRIPT_POINTS; i++) {
            const struct script_point *p = &d->want->points[i];
            expected += p->exists && (tag == SCRIPT_TAGS || p->tag == tag);
        }
        if (tag < SCRIPT_TAGS &&
            !worked(d, "filter", script_tagged(&d->arena, tag, &filter, err))) {
            return;
        }
        if (worked(d, "count", qv__collection_count(d->c, filter, &ctx, &counted, err)) &&
            worked(d, "scroll",
                   qv__collection_scroll(d->c, NULL, 1000, filter, NULL, &ctx, &rs, err)) &&
            (counted != expected || rs.n != expected)) {
            wrong(d, "tag %u: counted %" PRIu64 ", scrolled %zu, expected %" PRIu64, tag, counted,
                  rs.n, expected);
        }
        qv__result_free(&rs);
    }
}

/* The vector of each point finds it. */
static void compare_searches(struct differing *d)
{
    for (uint32_t i = 0; i < SCRIPT_POINTS && !d->is_wrong; i++) {
        float v[SCRIPT_DIM];
        struct qv__qctx ctx = context(d);
        struct qv__result_set rs = {0};
        if (!d->want->points[i].exists) {
            continue;
        }
        script_vector(i, d->want->points[i].vector_by, v);
        struct qv__query q = {.kind = QV__QUERY_NEAREST,
                              .target = {.values = v, .dim = SCRIPT_DIM},
                              .limit = 3,
                              .params = {.exact = i % 2, .ef = 128}};
        struct qv__id id = qv__id_u64(i);
        if (worked(d, "search", qv__collection_query(d->c, &q, NULL, &ctx, &rs, &d->run->err))) {
            if (rs.n == 0 || !qv__id_eq(&rs.points[0].id, &id) || rs.points[0].score != 0.0f) {
                wrong(d, "point %u: its own vector does not find it", i);
            }
            for (size_t k = 0; k < rs.n; k++) {
                if (!__builtin_isfinite(rs.points[k].score)) {
                    wrong(d, "point %u: a score is not finite", i);
                }
            }
        }
        qv__result_free(&rs);
    }
}

const char *script_differs(struct script_run *run, const struct script_state *state, char *text,
                           size_t n)
{
    struct differing d = {.run = run, .want = state, .text = text, .n = n};
    qv__arena_init(&d.arena, qv__db_mem(run->db));
    compare_catalog(&d);
    if (!d.is_wrong && state->has_main &&
        worked(&d, "open", qv__db_collection(run->db, QV__STR(SCRIPT_MAIN), &d.c, &run->err))) {
        compare_points(&d);
        compare_counts(&d);
        compare_searches(&d);
        qv__collection_release(d.c);
    }
    qv__arena_free(&d.arena);
    return d.is_wrong ? text : NULL;
}

/* query_in.c: bodies of queries to the typed query tree: the universal form, a tree of stages, and
 * the legacy ones.
 *
 * What a stage asks for is parsed by query_kinds.c. Members that only tune what this version does
 * not have (acorn) are checked and otherwise without effect, since results do not depend
 * on them. All that is parsed lives in the request's arena. */
#include "api/qdrant/qdrant.h"

#include <math.h>
#include <stdio.h>

/* --- pieces shared by all forms
 * ------------------------------------------------------------------------ */

/* What walks compare and how many candidates are measured. Scores are measured by the vectors in
 * any case: without rescore, those of the hits alone. */
static qv_status parse_quantization(struct qv__call *c, qv__json v, struct qv__search_params *out)
{
    bool given, rescore = true;
    double oversampling = 1;
    QV_TRY(qv__qd_bool(c, v, "ignore", &given, &out->no_codes));
    QV_TRY(qv__qd_bool(c, v, "rescore", &given, &rescore));
    QV_TRY(qv__qd_f64(c, v, "oversampling", &given, &oversampling));
    if (oversampling < 1) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%soversampling: value %g invalid, must be 1.0 or larger", c->place,
                           oversampling);
    }
    if (given || !rescore) {
        out->oversample = rescore ? (float)QV_MIN(oversampling, (double)QV__LIMIT_MAX) : 1.0f;
    }
    return QV_OK;
}

/* Ours: the share of the true hits that the answer shall have. */
static qv_status parse_recall(struct qv__call *c, qv__json v, struct qv__search_params *out)
{
    bool given;
    double recall = 0;
    QV_TRY(qv__qd_f64(c, v, "recall", &given, &recall));
    if (given && !(recall > 0 && recall < 1)) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%srecall: value %g invalid, must be above 0.0 and below 1.0", c->place,
                           recall);
    }
    out->recall = (float)recall;
    return QV_OK;
}

/* Ours: how graphs are searched under a filter, instead of the planner's choice. */
static qv_status parse_strategy(struct qv__call *c, qv__json v, struct qv__search_params *out)
{
    static const char *const names[] = {"auto", "scan", "filtered", "post_filter", "packed"};
    struct qv__str text = {NULL, 0};
    bool given;
    QV_TRY(qv__qd_str(c, v, "strategy", &given, &text));
    for (uint32_t i = 0; given && i < QV_ARRAY_LEN(names); i++) {
        if (qv__str_eq(text, qv__str_z(names[i]))) {
            out->strategy = i;
            return QV_OK;
        }
    }
    return !given ? QV_OK
                  : qv__qd_fail(c, QV__QD_INVALID,
                                "%sstrategy: value `%.*s` invalid, must be one of auto, scan, "
                                "filtered, post_filter, packed",
                                c->place, (int)QV_MIN(text.n, (size_t)32), text.p);
}

/* "global", or {"corpus": a filter}. */
static qv_status parse_idf(struct qv__call *c, qv__json v, struct qv__search_params *out)
{
    qv__json corpus = qv__json_get(v, "corpus");
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    out->has_idf = true;
    if (qv__json_str_is(v, "global")) {
        return QV_OK;
    }
    if (!qv__qd_given(corpus)) {
        return qv__qd_expected(c, "idf", "`global` or an object with a corpus", v);
    }
    return qv__qd_filter(c, corpus, &out->corpus);
}

static qv_status parse_acorn(struct qv__call *c, qv__json v, struct qv__search_params *out)
{
    bool given, flag;
    double selectivity = 0;
    (void)out;
    QV_TRY(qv__qd_bool(c, v, "enable", &given, &flag));
    QV_TRY(qv__qd_f64(c, v, "max_selectivity", &given, &selectivity));
    if (selectivity < 0 || selectivity > 1) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%smax_selectivity: value %g invalid, must be from 0.0 to 1.0", c->place,
                           selectivity);
    }
    return QV_OK;
}

/* The object `member`, when it is there; messages name what is in it by its whole path. */
static qv_status parse_group(struct qv__call *c, qv__json obj, const char *member,
                             qv_status (*parse)(struct qv__call *c, qv__json v,
                                                struct qv__search_params *out),
                             struct qv__search_params *out)
{
    qv__json v = qv__json_get(obj, member);
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, member, "an object", v);
    }
    size_t n = strlen(c->place);
    (void)snprintf(c->place + n, sizeof c->place - n, "%s.", member);
    qv_status st = parse(c, v, out);
    c->place[n] = 0;
    return st;
}

static qv_status parse_params(struct qv__call *c, qv__json v, struct qv__search_params *out)
{
    uint64_t ef = 0;
    bool given;
    QV_TRY(qv__qd_u64(c, v, "hnsw_ef", &given, &ef));
    if (given) {
        QV_TRY(qv__qd_range(c, "hnsw_ef", ef, 1, ef ? QV__LIMIT_MAX : 0));
        out->ef = (uint32_t)ef;
    }
    QV_TRY(qv__qd_bool(c, v, "exact", &given, &out->exact));
    QV_TRY(qv__qd_bool(c, v, "indexed_only", &given, &out->indexed_only));
    QV_TRY(parse_recall(c, v, out));
    QV_TRY(parse_strategy(c, v, out));
    QV_TRY(parse_idf(c, qv__json_get(v, "idf"), out));
    QV_TRY(parse_group(c, v, "quantization", parse_quantization, out));
    return parse_group(c, v, "acorn", parse_acorn, out);
}

static qv_status parse_threshold(struct qv__call *c, qv__json obj, struct qv__query *q)
{
    double threshold = 0;
    QV_TRY(qv__qd_f64(c, obj, "score_threshold", &q->has_threshold, &threshold));
    q->score_threshold = (float)threshold;
    if (q->has_threshold && !isfinite(q->score_threshold)) {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%sscore_threshold: out of the range of a 32-bit float", c->place);
    }
    return QV_OK;
}

/* limit, under either name. */
static qv_status parse_limit(struct qv__call *c, qv__json obj, bool legacy, uint64_t *out)
{
    bool given;
    const char *key = legacy && !qv__json_get(obj, "limit") ? "top" : "limit";
    if (legacy && !qv__qd_given(qv__json_get(obj, key))) {
        return qv__qd_expected(c, "limit", "an unsigned integer", NULL);
    }
    *out = 10;
    QV_TRY(qv__qd_u64(c, obj, key, &given, out));
    return qv__qd_page(c, "limit", out);
}

/* What every stage may have but its query: filter, params, threshold, limit. */
static qv_status parse_stage(struct qv__call *c, qv__json obj, bool legacy, struct qv__query *q)
{
    QV_TRY(parse_threshold(c, obj, q));
    QV_TRY(parse_group(c, obj, "params", parse_params, &q->params));
    QV_TRY(parse_limit(c, obj, legacy, &q->limit));
    return qv__qd_filter(c, qv__json_get(obj, "filter"), &q->filter);
}

/* What a request has beside its stage. */
static qv_status parse_request(struct qv__call *c, qv__json obj, bool legacy,
                               struct qv__qd_query *out)
{
    struct qv__query *q = &out->query;
    bool given;
    QV_TRY(qv__qd_no_shard_key(c, obj));
    QV_TRY(qv__qd_fetch(c, obj, false, &out->fetch));
    QV_TRY(qv__qd_u64(c, obj, "offset", &given, &q->offset));
    QV_TRY(parse_stage(c, obj, legacy, q));
    if (q->limit == QV__LIMIT_MAX && q->offset < QV__LIMIT_MAX) {
        q->limit -= q->offset; /* of all points those behind the offset are no more */
    }
    return qv__qd_range(c, "offset", q->offset, 0,
                        QV__LIMIT_MAX - q->limit ? QV__LIMIT_MAX - q->limit : 1);
}

/* using, lookup_from. */
static qv_status parse_names(struct qv__call *c, qv__json obj, struct qv__query *q)
{
    qv__json v = qv__json_get(obj, "lookup_from");
    bool given;
    QV_TRY(qv__qd_str(c, obj, "using", &given, &q->using_vector));
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "lookup_from", "an object", v);
    }
    QV_TRY(qv__qd_no_shard_key(c, v));
    QV_TRY(qv__qd_str(c, v, "collection", &given, &q->lookup_collection));
    if (!given || q->lookup_collection.n == 0) {
        return qv__qd_expected(c, "lookup_from.collection", "a string", NULL);
    }
    return qv__qd_str(c, v, "vector", &given, &q->lookup_vector);
}

/* --- the universal form
 * ------------------------------------------------------------------------------------ */

static qv_status parse_tree(struct qv__call *c, qv__json obj, struct qv__query *q);

/* One prefetch stage; messages name what is in it by its whole path. */
static qv_status parse_prefetch_stage(struct qv__call *c, qv__json v, uint32_t at, bool listed,
                                      struct qv__query *q)
{
    size_t n = strlen(c->place);
    char index[16] = "";
    if (++c->n_stages > QV__STAGES_MAX) {
        return qv__qd_fail(c, QV__QD_INVALID, "%sprefetch: more than %u stages in one query",
                           c->place, QV__STAGES_MAX);
    }
    if (listed) {
        (void)snprintf(index, sizeof index, "[%" PRIu32 "]", at);
    }
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "%sprefetch%s: expected an object, not %s", c->place,
                           index, qv__qd_kind_name(v));
    }
    (void)snprintf(c->place + n, sizeof c->place - n, "prefetch%s.", index);
    qv_status st = parse_stage(c, v, false, q);
    if (st == QV_OK) {
        st = parse_tree(c, v, q);
    }
    c->place[n] = 0;
    return st;
}

/* An object, or an array of them. The JSON's depth bounds the recursion. */
static qv_status parse_prefetch(struct qv__call *c, qv__json v, struct qv__query *q)
{
    bool listed = qv__json_is(v, QV__JSON_ARR);
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (!listed && !qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "prefetch", "an object or an array of objects", v);
    }
    uint32_t n = listed ? v->len : 1;
    if (n > QV__STAGES_MAX) {
        return qv__qd_fail(c, QV__QD_INVALID, "%sprefetch: more than %u stages in one query",
                           c->place, QV__STAGES_MAX);
    }
    struct qv__query *stages = qv__arena_calloc(c->arena, (size_t)n + 1, sizeof *stages);
    if (!stages) {
        return qv__qd_no_memory(c);
    }
    qv__json e = listed ? qv__json_first(v) : v;
    for (uint32_t i = 0; i < n; i++) {
        QV_TRY(parse_prefetch_stage(c, e, i, listed, &stages[i]));
        e = listed ? qv__json_next(e) : e;
    }
    q->prefetch = stages;
    q->n_prefetch = n;
    return QV_OK;
}

/* using, lookup_from, prefetch, query. */
static qv_status parse_tree(struct qv__call *c, qv__json obj, struct qv__query *q)
{
    qv__json query = qv__json_get(obj, "query");
    QV_TRY(parse_names(c, obj, q));
    QV_TRY(parse_prefetch(c, qv__json_get(obj, "prefetch"), q));
    if (q->n_prefetch && !qv__qd_given(query)) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                           "A query is needed to merge the prefetches. Can't have prefetches "
                           "without defining a query.");
    }
    if (qv__qd_given(query)) {
        return qv__qd_kind(c, query, q);
    }
    if (q->has_threshold) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                           "A query is needed to use the score_threshold. Can't have "
                           "score_threshold without defining a query.");
    }
    q->kind = QV__QUERY_IDS;
    return QV_OK;
}

qv_status qv__qd_query(struct qv__call *c, qv__json obj, struct qv__qd_query *out)
{
    memset(out, 0, sizeof *out);
    c->n_stages = 1;
    QV_TRY(parse_request(c, obj, false, out));
    return parse_tree(c, obj, &out->query);
}

/* --- the legacy forms
 * ---------------------------------------------------------------------------------------- */

qv_status qv__qd_search(struct qv__call *c, qv__json obj, struct qv__qd_query *out)
{
    struct qv__query *q = &out->query;
    qv__json v = qv__json_get(obj, "vector");
    memset(out, 0, sizeof *out);
    QV_TRY(parse_request(c, obj, true, out));
    q->kind = QV__QUERY_NEAREST;
    if (qv__json_is(v, QV__JSON_OBJ) && !qv__json_get(v, "bits")) {
        bool given;
        QV_TRY(qv__qd_str(c, v, "name", &given, &q->using_vector));
        if (!given) {
            return qv__qd_expected(c, "vector.name", "a string", NULL);
        }
        v = qv__json_get(v, "vector");
    }
    return qv__qd_input(c, v, "vector", &q->target);
}

qv_status qv__qd_recommend(struct qv__call *c, qv__json obj, struct qv__qd_query *out)
{
    memset(out, 0, sizeof *out);
    QV_TRY(parse_request(c, obj, true, out));
    QV_TRY(parse_names(c, obj, &out->query));
    return qv__qd_examples(c, obj, "", &out->query);
}

qv_status qv__qd_discover(struct qv__call *c, qv__json obj, struct qv__qd_query *out)
{
    memset(out, 0, sizeof *out);
    QV_TRY(parse_request(c, obj, true, out));
    QV_TRY(parse_names(c, obj, &out->query));
    return qv__qd_target(c, obj, &out->query);
}

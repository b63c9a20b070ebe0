/* query_in.c: bodies of queries to the typed query: the universal form and the two legacy ones.
 *
 * A query is a vector, a point's id, or an object that names its kind; kinds that the engine does
 * not execute are refused by name. Members that only tune what this version does not have
 * (acorn, idf) are checked and otherwise without effect, since results do not depend
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
    return qv__qd_range(c, "limit", *out, 1, *out ? QV__LIMIT_MAX : 0);
}

static qv_status parse_common(struct qv__call *c, qv__json obj, bool legacy,
                              struct qv__qd_query *out)
{
    struct qv__query *q = &out->query;
    bool given;
    QV_TRY(qv__qd_no_shard_key(c, obj));
    QV_TRY(qv__qd_fetch(c, obj, false, &out->fetch));
    QV_TRY(parse_threshold(c, obj, q));
    QV_TRY(qv__qd_u64(c, obj, "offset", &given, &q->offset));
    QV_TRY(parse_group(c, obj, "params", parse_params, &q->params));
    QV_TRY(parse_limit(c, obj, legacy, &q->limit));
    QV_TRY(qv__qd_range(c, "offset", q->offset, 0,
                        QV__LIMIT_MAX - q->limit ? QV__LIMIT_MAX - q->limit : 1));
    return qv__qd_filter(c, qv__json_get(obj, "filter"), &q->filter);
}

static qv_status parse_lookup(struct qv__call *c, qv__json obj, struct qv__query *q)
{
    qv__json v = qv__json_get(obj, "lookup_from");
    bool given;
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

/* A vector or a point's id. */
static qv_status parse_input(struct qv__call *c, qv__json v, const char *field,
                             struct qv__vector_input *out)
{
    if (qv__json_is_number(v) || qv__json_is(v, QV__JSON_STR)) {
        out->by_id = true;
        return qv__qd_id(c, v, field, &out->id);
    }
    return qv__qd_dense(c, v, field, &out->values, &out->dim);
}

static qv_status parse_inputs(struct qv__call *c, qv__json v, const char *field,
                              const struct qv__vector_input **out, size_t *n)
{
    *n = 0;
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__qd_expected(c, field, "an array of vectors or point IDs", v);
    }
    struct qv__vector_input *list = qv__arena_calloc(c->arena, (size_t)v->len + 1, sizeof *list);
    if (!list) {
        return qv__qd_no_memory(c);
    }
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, e = qv__json_next(e)) {
        QV_TRY(parse_input(c, e, field, &list[i]));
    }
    *out = list;
    *n = v->len;
    return QV_OK;
}

/* {positive, negative, strategy} of both forms. */
static qv_status parse_examples(struct qv__call *c, qv__json v, const char *place,
                                struct qv__query *q)
{
    struct qv__str strategy;
    bool given;
    q->kind = QV__QUERY_RECOMMEND;
    QV_TRY(parse_inputs(c, qv__json_get(v, "positive"), "positive", &q->positive, &q->n_positive));
    QV_TRY(parse_inputs(c, qv__json_get(v, "negative"), "negative", &q->negative, &q->n_negative));
    QV_TRY(qv__qd_str(c, v, "strategy", &given, &strategy));
    bool is_average = !given || qv__str_eq(strategy, QV__STR("average_vector"));
    if (!is_average && !qv__str_eq(strategy, QV__STR("best_score")) &&
        !qv__str_eq(strategy, QV__STR("sum_scores"))) {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%sstrategy: unknown variant `%.*s`, expected one of `average_vector`, "
                           "`best_score`, `sum_scores`",
                           c->place, (int)QV_MIN(strategy.n, (size_t)64), strategy.p);
    }
    if (q->n_positive + q->n_negative == 0) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%s%spositives, negatives: Validation error: At least one positive or "
                           "negative vector/id must "
                           "be provided [{}]",
                           c->place, place);
    }
    if (!is_average) {
        return qv__qd_unsupported(c, "recommend strategies other than average_vector");
    }
    return QV_OK;
}

/* --- the universal form
 * ------------------------------------------------------------------------------------ */

static qv_status parse_kind(struct qv__call *c, qv__json v, struct qv__query *q)
{
    static const char *const later[] = {"discover", "context", "order_by", "fusion",
                                        "rrf",      "formula", "sample",   "relevance_feedback"};
    if (qv__json_get(v, "nearest")) {
        if (qv__qd_given(qv__json_get(v, "mmr"))) {
            return qv__qd_unsupported(c, "query.mmr");
        }
        q->kind = QV__QUERY_NEAREST;
        return parse_input(c, qv__json_get(v, "nearest"), "query.nearest", &q->target);
    }
    qv__json recommend = qv__json_get(v, "recommend");
    if (recommend) {
        if (!qv__json_is(recommend, QV__JSON_OBJ)) {
            return qv__qd_expected(c, "query.recommend", "an object", recommend);
        }
        return parse_examples(c, recommend, "query.recommend.", q);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(later); i++) {
        if (qv__json_get(v, later[i])) {
            char what[40];
            if (strcmp(later[i], "order_by") == 0 && q->has_threshold) {
                return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                                   "Can't use score_threshold with an order_by query.");
            }
            (void)snprintf(what, sizeof what, "query.%s", later[i]);
            return qv__qd_unsupported(c, what);
        }
    }
    if (qv__json_get(v, "indices") || qv__json_get(v, "model")) {
        return parse_input(c, v, "query", &q->target); /* refused there by name */
    }
    return qv__qd_fail(c, QV__QD_FORMAT,
                       "%squery: Expected some form of vector, id, or a type of query", c->place);
}

qv_status qv__qd_query(struct qv__call *c, qv__json obj, struct qv__qd_query *out)
{
    struct qv__query *q = &out->query;
    qv__json query = qv__json_get(obj, "query"), prefetch = qv__json_get(obj, "prefetch");
    bool given;
    memset(out, 0, sizeof *out);
    QV_TRY(parse_common(c, obj, false, out));
    QV_TRY(qv__qd_str(c, obj, "using", &given, &q->using_vector));
    QV_TRY(parse_lookup(c, obj, q));
    bool has_prefetch =
        qv__qd_given(prefetch) && !(qv__json_is(prefetch, QV__JSON_ARR) && prefetch->len == 0);
    if (has_prefetch && !qv__json_is(prefetch, QV__JSON_ARR) &&
        !qv__json_is(prefetch, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "prefetch", "an object or an array of objects", prefetch);
    }
    if (has_prefetch && !qv__qd_given(query)) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                           "A query is needed to merge the prefetches. Can't have prefetches "
                           "without defining a query.");
    }
    if (has_prefetch) {
        return qv__qd_unsupported(c, "prefetch");
    }
    if (!qv__qd_given(query)) {
        if (q->has_threshold) {
            return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                               "A query is needed to use the score_threshold. Can't have "
                               "score_threshold without defining a query.");
        }
        q->kind = QV__QUERY_IDS;
        return QV_OK;
    }
    if (qv__json_is(query, QV__JSON_OBJ)) {
        return parse_kind(c, query, q);
    }
    q->kind = QV__QUERY_NEAREST;
    return parse_input(c, query, "query", &q->target);
}

/* --- the legacy forms
 * ---------------------------------------------------------------------------------------- */

qv_status qv__qd_search(struct qv__call *c, qv__json obj, struct qv__qd_query *out)
{
    struct qv__query *q = &out->query;
    qv__json v = qv__json_get(obj, "vector");
    memset(out, 0, sizeof *out);
    QV_TRY(parse_common(c, obj, true, out));
    q->kind = QV__QUERY_NEAREST;
    if (qv__json_is(v, QV__JSON_OBJ)) {
        bool given;
        QV_TRY(qv__qd_str(c, v, "name", &given, &q->using_vector));
        if (!given) {
            return qv__qd_expected(c, "vector.name", "a string", NULL);
        }
        v = qv__json_get(v, "vector");
    }
    return qv__qd_dense(c, v, "vector", &q->target.values, &q->target.dim);
}

qv_status qv__qd_recommend(struct qv__call *c, qv__json obj, struct qv__qd_query *out)
{
    bool given;
    memset(out, 0, sizeof *out);
    QV_TRY(parse_common(c, obj, true, out));
    QV_TRY(qv__qd_str(c, obj, "using", &given, &out->query.using_vector));
    QV_TRY(parse_lookup(c, obj, &out->query));
    return parse_examples(c, obj, "", &out->query);
}

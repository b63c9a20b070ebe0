/* query_kinds.c: what one stage of a query asks for: a vector, a point's id, or an object that
 * names its kind and has what belongs to it.
 *
 * Kinds that the engine does not execute are refused by name. */
#include "api/qdrant/qdrant.h"

#include <math.h>
#include <stdio.h>

/* --- examples
 * ------------------------------------------------------------------------------------------ */

/* A vector or a point's id. */
static qv_status parse_input(struct qv__call *c, qv__json v, const char *field,
                             struct qv__vector_input *out)
{
    if (qv__json_is_number(v) || qv__json_is(v, QV__JSON_STR)) {
        out->by_id = true;
        return qv__qd_id(c, v, field, &out->id);
    }
    return qv__qd_input(c, v, field, out);
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
qv_status qv__qd_examples(struct qv__call *c, qv__json v, const char *place, struct qv__query *q)
{
    struct qv__str strategy;
    bool given;
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
    q->kind = is_average                                    ? QV__QUERY_RECOMMEND
              : qv__str_eq(strategy, QV__STR("best_score")) ? QV__QUERY_RECOMMEND_BEST
                                                            : QV__QUERY_RECOMMEND_SUM;
    return QV_OK;
}

/* {"positive", "negative"}: pair `at` of q's examples. */
static qv_status parse_pair(struct qv__call *c, qv__json v, struct qv__vector_input *positive,
                            struct qv__vector_input *negative)
{
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "context", "an object or an array of objects", v);
    }
    QV_TRY(parse_input(c, qv__json_get(v, "positive"), "context.positive", positive));
    return parse_input(c, qv__json_get(v, "negative"), "context.negative", negative);
}

/* One pair, an array of them, or null. */
static qv_status parse_context(struct qv__call *c, qv__json v, struct qv__query *q)
{
    bool listed = qv__json_is(v, QV__JSON_ARR);
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    uint32_t n = listed ? v->len : 1;
    struct qv__vector_input *positive = qv__arena_calloc(c->arena, (size_t)n + 1, sizeof *positive);
    struct qv__vector_input *negative = qv__arena_calloc(c->arena, (size_t)n + 1, sizeof *negative);
    if (!positive || !negative) {
        return qv__qd_no_memory(c);
    }
    qv__json e = listed ? qv__json_first(v) : v;
    for (uint32_t i = 0; i < n; i++) {
        QV_TRY(parse_pair(c, e, &positive[i], &negative[i]));
        e = listed ? qv__json_next(e) : e;
    }
    q->positive = positive;
    q->negative = negative;
    q->n_positive = q->n_negative = n;
    return QV_OK;
}

/* --- kinds: each gets the value of the member that names it
 * -------------------------------------------- */

static qv_status parse_mmr(struct qv__call *c, qv__json v, struct qv__query *q)
{
    double diversity = 0.5;
    uint64_t candidates = QV_MIN(q->limit, (uint64_t)QV__MMR_CANDIDATES_MAX);
    bool given;
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "query.mmr", "an object", v);
    }
    QV_TRY(qv__qd_f64(c, v, "diversity", &given, &diversity));
    if (!(diversity >= 0 && diversity <= 1)) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%squery.mmr.diversity: value %g invalid, must be from 0.0 to 1.0",
                           c->place, diversity);
    }
    QV_TRY(qv__qd_u64(c, v, "candidates_limit", &given, &candidates));
    QV_TRY(qv__qd_range(c, "query.mmr.candidates_limit", candidates, 0, QV__MMR_CANDIDATES_MAX));
    q->mmr = (struct qv__mmr){
        .on = true, .diversity = (float)diversity, .candidates = (uint32_t)candidates};
    return QV_OK;
}

static qv_status kind_nearest(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    qv__json mmr = qv__json_get(obj, "mmr");
    q->kind = QV__QUERY_NEAREST;
    QV_TRY(parse_input(c, v, "query.nearest", &q->target));
    return qv__qd_given(mmr) ? parse_mmr(c, mmr, q) : QV_OK;
}

static qv_status kind_recommend(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    (void)obj;
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "query.recommend", "an object", v);
    }
    return qv__qd_examples(c, v, "query.recommend.", q);
}

static qv_status kind_discover(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    (void)obj;
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "query.discover", "an object", v);
    }
    q->kind = QV__QUERY_DISCOVER;
    QV_TRY(parse_input(c, qv__json_get(v, "target"), "query.discover.target", &q->target));
    return parse_context(c, qv__json_get(v, "context"), q);
}

qv_status qv__qd_target(struct qv__call *c, qv__json v, struct qv__query *q)
{
    qv__json target = qv__json_get(v, "target"), context = qv__json_get(v, "context");
    if (!qv__qd_given(target) && !qv__qd_given(context)) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST, "No target or context given");
    }
    q->kind = qv__qd_given(target) ? QV__QUERY_DISCOVER : QV__QUERY_CONTEXT;
    if (qv__qd_given(target)) {
        QV_TRY(parse_input(c, target, "target", &q->target));
    }
    return parse_context(c, context, q);
}

static qv_status kind_context(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    (void)obj;
    q->kind = QV__QUERY_CONTEXT;
    return parse_context(c, v, q);
}

static qv_status kind_fusion(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    struct qv__str name = {0};
    (void)obj;
    bool known = qv__json_str(v, &name);
    q->rrf.k = QV__RRF_K;
    q->kind = qv__str_eq(name, QV__STR("dbsf")) ? QV__QUERY_DBSF : QV__QUERY_RRF;
    if (!known || (q->kind == QV__QUERY_RRF && !qv__str_eq(name, QV__STR("rrf")))) {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%squery.fusion: unknown variant `%.*s`, expected `rrf` or `dbsf`",
                           c->place, (int)QV_MIN(name.n, (size_t)64), name.n ? name.p : "");
    }
    return QV_OK;
}

static qv_status kind_rrf(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    qv__json weights = qv__json_get(v, "weights");
    uint64_t k = QV__RRF_K;
    bool given;
    (void)obj;
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "query.rrf", "an object", v);
    }
    q->kind = QV__QUERY_RRF;
    QV_TRY(qv__qd_u64(c, v, "k", &given, &k));
    QV_TRY(qv__qd_range(c, "query.rrf.k", k, 1, k ? UINT32_MAX : 0));
    q->rrf.k = (uint32_t)k;
    if (qv__qd_given(weights)) {
        struct qv__qd_value d;
        if (!qv__json_is(weights, QV__JSON_ARR)) {
            return qv__qd_expected(c, "query.rrf.weights", "an array of numbers", weights);
        }
        QV_TRY(qv__qd_dense(c, weights, "query.rrf.weights", &d));
        q->rrf.weights = d.values;
        q->rrf.n_weights = d.dim;
    }
    return QV_OK;
}

static qv_status kind_order_by(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    (void)obj;
    if (q->has_threshold) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                           "Can't use score_threshold with an order_by query.");
    }
    q->kind = QV__QUERY_ORDER_BY;
    return qv__qd_order_by(c, v, "query.order_by", &q->order_by);
}

static qv_status kind_sample(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    (void)obj;
    q->kind = QV__QUERY_SAMPLE;
    return qv__json_str_is(v, "random")
               ? QV_OK
               : qv__qd_expected(c, "query.sample", "the string \"random\"", v);
}

static qv_status kind_formula(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    q->kind = QV__QUERY_FORMULA;
    qv_status st =
        qv__formula_parse(c->arena, v, qv__json_get(obj, "defaults"), &q->formula, &c->err);
    if (st == QV_EINVAL) {
        c->kind = QV__QD_FORMAT;
    } else if (st == QV_EVALIDATION) {
        st = c->err.code = QV_EINVAL; /* well formed and without sense: wrong input to the peer */
    }
    return st;
}

/* [{"example", "score"}] into q's positives and their scores. */
static qv_status parse_feedback(struct qv__call *c, qv__json v, struct qv__query *q)
{
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__qd_expected(c, "query.relevance_feedback.feedback", "an array of objects", v);
    }
    if (v->len == 0) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "%squery.relevance_feedback.feedback: feedback elements must be "
                           "non-empty",
                           c->place);
    }
    struct qv__vector_input *examples =
        qv__arena_calloc(c->arena, (size_t)v->len + 1, sizeof *examples);
    float *scores = qv__arena_calloc(c->arena, (size_t)v->len + 1, sizeof *scores);
    if (!examples || !scores) {
        return qv__qd_no_memory(c);
    }
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, e = qv__json_next(e)) {
        double score = 0;
        bool given;
        if (!qv__json_is(e, QV__JSON_OBJ)) {
            return qv__qd_expected(c, "query.relevance_feedback.feedback", "an array of objects",
                                   e);
        }
        QV_TRY(parse_input(c, qv__json_get(e, "example"), "feedback.example", &examples[i]));
        QV_TRY(qv__qd_f64(c, e, "score", &given, &score));
        if (!given || !isfinite((float)score)) {
            return qv__qd_expected(c, "feedback.score", "a number that a 32-bit float can hold",
                                   qv__json_get(e, "score"));
        }
        scores[i] = (float)score;
    }
    q->positive = examples;
    q->n_positive = v->len;
    q->feedback.scores = scores;
    return QV_OK;
}

static qv_status coefficient(struct qv__call *c, qv__json v, const char *name, float *out)
{
    double d = 0;
    bool given;
    QV_TRY(qv__qd_f64(c, v, name, &given, &d));
    if (!given || !isfinite((float)d)) {
        return qv__qd_expected(c, name, "a number that a 32-bit float can hold",
                               qv__json_get(v, name));
    }
    *out = (float)d;
    return QV_OK;
}

static qv_status kind_feedback(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q)
{
    qv__json naive = qv__json_get(qv__json_get(v, "strategy"), "naive");
    (void)obj;
    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "query.relevance_feedback", "an object", v);
    }
    if (!qv__json_is(naive, QV__JSON_OBJ)) {
        return qv__qd_expected(c, "query.relevance_feedback.strategy.naive", "an object", naive);
    }
    q->kind = QV__QUERY_FEEDBACK;
    QV_TRY(
        parse_input(c, qv__json_get(v, "target"), "query.relevance_feedback.target", &q->target));
    QV_TRY(parse_feedback(c, qv__json_get(v, "feedback"), q));
    QV_TRY(coefficient(c, naive, "a", &q->feedback.a));
    QV_TRY(coefficient(c, naive, "b", &q->feedback.b));
    QV_TRY(coefficient(c, naive, "c", &q->feedback.c));
    if (q->feedback.b < 0) {
        return qv__qd_fail(
            c, QV__QD_INVALID,
            "%squery.relevance_feedback.strategy.naive.b: value %.*f invalid, must be "
            "0.0 or larger",
            c->place, q->feedback.b == floorf(q->feedback.b) ? 1 : 6, (double)q->feedback.b);
    }
    return QV_OK;
}

struct kind {
    const char *name;
    /* obj: the whole query, v: the member of this name */
    qv_status (*parse)(struct qv__call *c, qv__json obj, qv__json v, struct qv__query *q);
};
static const struct kind kinds[] = {
    {"nearest", kind_nearest},   {"recommend", kind_recommend},
    {"discover", kind_discover}, {"context", kind_context},
    {"order_by", kind_order_by}, {"fusion", kind_fusion},
    {"rrf", kind_rrf},           {"formula", kind_formula},
    {"sample", kind_sample},     {"relevance_feedback", kind_feedback},
};

qv_status qv__qd_kind(struct qv__call *c, qv__json query, struct qv__query *q)
{
    if (!qv__json_is(query, QV__JSON_OBJ) || qv__json_get(query, "bits")) {
        q->kind = QV__QUERY_NEAREST;
        return parse_input(c, query, "query", &q->target);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(kinds); i++) {
        qv__json v = qv__json_get(query, kinds[i].name);
        if (v) {
            return kinds[i].parse(c, query, v, q);
        }
    }
    if (qv__json_get(query, "indices") || qv__json_get(query, "model")) {
        q->kind = QV__QUERY_NEAREST;
        return parse_input(c, query, "query", &q->target);
    }
    return qv__qd_fail(c, QV__QD_FORMAT,
                       "%squery: Expected some form of vector, id, or a type of query", c->place);
}

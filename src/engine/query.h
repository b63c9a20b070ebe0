/* query.h: typed reads: the query tree every dialect translates into, and its results.
 *
 * What it is: a tree of stages. A stage takes candidates from its prefetch stages, or from the
 * whole collection when it has none, scores them by its kind, orders them and cuts. Filters apply
 * where points are taken from the collection: a stage's filter is merged, clause by clause, with
 * those of the stages around it. No stage returns a point that is an example somewhere in the tree.
 * What it is not: parsed from anything; all pointers are borrowed for the call. */
#ifndef QV_ENGINE_QUERY_H
#define QV_ENGINE_QUERY_H

#include "base/id.h"
#include "base/qctx.h"
#include "payload/field.h"
#include "payload/formula.h"

/* "Similarity" below is larger for the nearer: the inner product, or minus the (squared) distance.
 * Scores of all kinds but NEAREST and RECOMMEND are better when larger, whatever the metric. */
enum qv__query_kind {
    QV__QUERY_IDS = 0,        /* no scoring: points in id order, each scored 1; a leaf only */
    QV__QUERY_NEAREST,        /* to `target` */
    QV__QUERY_RECOMMEND,      /* nearest to avg(positive) + avg(positive) - avg(negative) */
    QV__QUERY_RECOMMEND_BEST, /* similarity to the best positive, or minus that to a better negative
                               */
    QV__QUERY_RECOMMEND_SUM,  /* similarities to positives less those to negatives */
    QV__QUERY_DISCOVER,       /* context pairs won less pairs lost, then similarity to `target` */
    QV__QUERY_FEEDBACK, /* similarity to `target`, drawn to examples by how they were judged */
    QV__QUERY_CONTEXT,  /* 0 where every pair is won, less the further a pair is lost */
    QV__QUERY_ORDER_BY, /* by the values of an indexed field, each scored 1 */
    QV__QUERY_SAMPLE,   /* at random, each scored 1 */
    QV__QUERY_RRF,  /* fuses prefetch stages by rank: sum of 1 / ((rank + 1) / weight + k - 1) */
    QV__QUERY_DBSF, /* ... by score: each list's mean - 3 sigma becomes 0, mean + 3 sigma 1; sum */
    QV__QUERY_FORMULA, /* rescores what prefetch stages found */
    QV__QUERY_TEXT
};

/* A vector given, or that of a stored point. */
struct qv__vector_input {
    bool by_id;
    struct qv__id id;
    const float *values; /* as in mutation.h */
    uint32_t dim;
    bool is_packed; /* given as packed bits, which only a bit column takes */
    uint8_t kind;   /* enum qv__vec_kind */
    uint32_t n_rows;
    const uint32_t *indices;
};

struct qv__search_params {
    uint32_t ef; /* 0 = the index's */
    bool exact;
    bool indexed_only;
    float recall;      /* 0 = not asked; with ef 0 */
    float oversample;  /* of limit: so many candidates of a walk over codes are measured; 0 = own
                          choice */
    bool no_codes;     /* walk over the vectors although there are codes */
    uint32_t strategy; /* enum qv__index_strategy: how graphs are searched under a filter */
    /* Of a sparse vector with the modifier idf: over which points rarity is counted. */
    bool has_idf;                    /* asked for: refused of other vectors */
    const struct qv__filter *corpus; /* NULL = all */
};

struct qv__rrf {
    uint32_t k;           /* >= 1 */
    const float *weights; /* one for each prefetch stage; NULL = 1 each */
    size_t n_weights;
};
#define QV__RRF_K 2u /* when nothing else is said */

/* Of NEAREST: chosen among the nearest `candidates` so that they are not all alike. */
struct qv__mmr {
    bool on;
    float diversity;     /* 0 = only near to the target, 1 = only far from each other */
    uint32_t candidates; /* at most QV__MMR_CANDIDATES_MAX */
};
#define QV__MMR_CANDIDATES_MAX 16384u

/* Of FEEDBACK: a * similarity to the target, and for each two examples, the one judged better by
 * `confidence`, confidence^b * c * (similarity to the better - similarity to the other). */
struct qv__feedback {
    const float *scores; /* how positive[i] was judged */
    float a, b, c;       /* b >= 0 */
};

/* Of ORDER_BY. The collection needs an index with order on the path; its type is filled in by the
 * plan. A point with several values comes once for each of them where it is the root that orders,
 * else once. Equal values stand in the order of ids. */
struct qv__order_by {
    struct qv__str key; /* the path's text */
    struct qv__path path;
    struct qv__order order; /* descending, start */
};

struct qv__query {
    enum qv__query_kind kind;
    struct qv__str using_vector;    /* "" = the default vector */
    struct qv__vector_input target; /* NEAREST, DISCOVER, FEEDBACK */
    const struct qv__vector_input
        *positive;     /* RECOMMEND*, FEEDBACK; of DISCOVER and CONTEXT pair i is */
    size_t n_positive; /* (positive[i], negative[i]) */
    const struct qv__vector_input *negative;
    size_t n_negative;
    struct qv__rrf rrf;
    struct qv__mmr mmr;
    struct qv__feedback feedback;
    const struct qv__order_by *order_by;
    const struct qv__formula *formula;
    const struct qv__filter *filter;
    struct qv__search_params params;
    bool has_threshold;
    float score_threshold;
    uint64_t limit;                   /* 1..QV__LIMIT_MAX */
    uint64_t offset;                  /* of the root; 0 elsewhere */
    const struct qv__query *prefetch; /* stages that feed this one */
    size_t n_prefetch;
    struct qv__str lookup_collection; /* where by_id inputs are looked up; "" = here */
    struct qv__str lookup_vector;     /* .p NULL = using_vector */
};

#define QV__LIMIT_MAX       1000000u /* limit + offset of one stage */
#define QV__STAGE_DEPTH_MAX 64u      /* of prefetch in prefetch */
#define QV__STAGES_MAX      1024u    /* in one tree */
#define QV__EXAMPLES_MAX    65536u   /* of one stage, positive and negative ones together */

enum qv__vector_selector { QV__VECTORS_NONE = 0, QV__VECTORS_ALL, QV__VECTORS_NAMED };

/* What a result carries. */
struct qv__fetch {
    struct qv__payload_selector payload;
    enum qv__vector_selector vectors;
    const struct qv__str *vector_names;
    size_t n_vector_names;
};

/* By what a point stands where it does: whole numbers, dates in microseconds since 1970; floats. */
struct qv__order_value {
    enum { QV__ORDER_NONE = 0, QV__ORDER_INT, QV__ORDER_FLOAT } kind;
    union {
        int64_t i;
        double f;
    };
};

/* One result. Payload and vectors are borrowed from the segments a result set holds. */
struct qv__result_point {
    struct qv__id id;
    uint64_t version;
    int64_t expires_ms; /* INT64_MAX = never */
    float score;
    struct qv__order_value order; /* of ORDER_BY */
    struct qv__bytes payload;     /* whole row; selection is applied by the writer */
    /* [schema->n_vectors], NULL = absent or not asked; NULL array = not asked. Floats of a dense
     * vector; the stored form of others (base/varvec.h), rows of multivectors as floats. */
    const float *const *vectors;
};

struct qv__read_view; /* pins schema and segments; opaque here */
struct qv__schema;

struct qv__result_set {
    struct qv__read_view *view;      /* owned: release with qv__result_free */
    const struct qv__schema *schema; /* borrowed from view */
    struct qv__arena arena;
    struct qv__result_point *points;
    size_t n;
    struct qv__id next_offset; /* scroll: first id of the next page */
    bool has_next;
    struct qv__qstats stats;
};

#endif

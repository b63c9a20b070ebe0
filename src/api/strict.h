/* strict.h: limits that a collection sets to the requests on it ("strict mode").
 *
 * What it is: the one place where typed queries and mutations are held against a collection's
 * limits, before anything is executed, whichever dialect they came from; with the texts of the
 * primary peer, whose clients match them. What it is not: the limits' own form, which is the
 * dialect's to read, or a protection of the process, whose budgets are the engine's.
 *
 * Every check answers QV_OK, or QV_EINVAL with what is exceeded and what helps. Rates answer
 * QV_ERATE. Threads: one at a time per call. */
#ifndef QV_API_STRICT_H
#define QV_API_STRICT_H

#include "engine/db.h"
#include "engine/query_group.h"

enum qv__strict_knob {
    QV__STRICT_QUERY_LIMIT = 0, /* points that one stage asks for */
    QV__STRICT_TIMEOUT,         /* seconds */
    QV__STRICT_EF,
    QV__STRICT_OVERSAMPLING,
    QV__STRICT_UPSERT_BATCH, /* points of one operation */
    QV__STRICT_SEARCH_BATCH, /* searches of one request */
    QV__STRICT_CONDITIONS,   /* of one filter */
    QV__STRICT_CONDITION,    /* values of one condition */
    QV__STRICT_POINTS, /* of the collection; as the two below it is looked at before a write */
    QV__STRICT_VECTOR_BYTES,
    QV__STRICT_PAYLOAD_BYTES,
    QV__STRICT_INDEXES,    /* payload indexes */
    QV__STRICT_READ_RATE,  /* per minute */
    QV__STRICT_WRITE_RATE, /* per minute */
    QV__STRICT_MEMORY,     /* percent of the process's budget in use */
    QV__STRICT_KNOBS
};

/* What one vector may hold: rows of a multivector, indices of a sparse one. */
struct qv__strict_vector {
    struct qv__str name;
    uint8_t kind; /* enum qv__vec_kind: MULTI or SPARSE */
    uint64_t max;
};

/* Which graphs the settings of a vector ask for; sparse vectors need none. */
struct qv__strict_graph {
    bool of_all, of_tenants;
};

struct qv__strict {
    double limit[QV__STRICT_KNOBS]; /* negative = none */
    bool no_exact;                  /* neither asked for, nor for want of a graph */
    bool indexed_reads;             /* filters of reads by indexed fields only */
    bool indexed_updates;
    const struct qv__strict_vector *vectors;
    size_t n_vectors;
    const struct qv__strict_graph *graphs; /* [n_vectors of the schema]; with no_exact */
};

/* One request under its collection's limits. */
struct qv__strict_call {
    const struct qv__strict *strict;
    struct qv__collection *collection;
    const struct qv__schema *schema;
    struct qv__arena *arena;
    struct qv__qctx *ctx;
    struct qv_err *err;
    double cost;          /* tokens that reads came to so far */
    bool is_paid;         /* what the read took, when it was tried before */
    double retry_after_s; /* of QV_ERATE; 0 = there is no use in trying again */
};

/* A number of the request against the limit of its name. */
qv_status qv__strict_limit(struct qv__strict_call *s, enum qv__strict_knob knob,
                           double value) QV_MUST_USE;
/* A whole query tree, which asks for `limit` points; `by` NULL = not in groups. */
qv_status qv__strict_query(struct qv__strict_call *s, const struct qv__query *q, double limit,
                           const struct qv__group_by *by) QV_MUST_USE;
/* A read by filter alone. */
qv_status qv__strict_filter(struct qv__strict_call *s, const struct qv__filter *f) QV_MUST_USE;
/* Answering without an index was asked for. */
qv_status qv__strict_exact(struct qv__strict_call *s) QV_MUST_USE;
/* A request's mutations, and their rate. */
qv_status qv__strict_write(struct qv__strict_call *s, const struct qv__mutation *m,
                           size_t n) QV_MUST_USE;
/* An index on a field, and its rate. */
qv_status qv__strict_index(struct qv__strict_call *s, struct qv__str key) QV_MUST_USE;
/* Last of a read's checks: take s->cost tokens. */
qv_status qv__strict_read_rate(struct qv__strict_call *s) QV_MUST_USE;

#endif

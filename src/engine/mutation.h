/* mutation.h: typed writes: what every dialect and the C API translate into.
 *
 * What it is: a list of mutations is one request: it is resolved in order to effects (final rows
 * and deletions, never predicates), logged as one record, applied as one, visible as one. What it
 * is not: parsed from anything; all pointers are borrowed for the call. */
#ifndef QV_ENGINE_MUTATION_H
#define QV_ENGINE_MUTATION_H

#include "base/id.h"
#include "payload/filter.h"

/* A condition on the version a point had before the request (0 = there was none). If it does not
 * hold, the whole request fails with QV_ECONFLICT. */
struct qv__expected {
    bool given;
    uint64_t version;
};

struct qv__named_vector {
    struct qv__str name; /* "" = the default vector */
    const float *values; /* as given; of a multivector all rows back to back */
    uint32_t dim;        /* of one row; of a sparse vector how many values */
    bool is_packed;      /* given as packed bits, which only a bit column takes */
    bool saturates;      /* what is beyond the range of uint8 becomes its end; else it is refused */
    const void *stored;  /* set by qv__stage_check: what the column keeps of the values */
    uint8_t kind;        /* enum qv__vec_kind */
    uint32_t n_rows;     /* of a multivector */
    const uint32_t *indices; /* of a sparse vector, in any order */
};

struct qv__point {
    struct qv__id id;
    const struct qv__named_vector *vectors;
    uint32_t n_vectors;
    struct qv__bytes payload; /* row encoding; {NULL, 0} = empty */
    int64_t expires_ms;       /* Unix milliseconds; 0 = as the collection says, INT64_MAX = never */
    struct qv__expected expected;
};

enum qv__mutation_kind {
    QV__MUT_UPSERT = 1,        /* points: replace whole points */
    QV__MUT_DELETE,            /* select */
    QV__MUT_SET_PAYLOAD,       /* select, payload, at: merge */
    QV__MUT_OVERWRITE_PAYLOAD, /* select, payload */
    QV__MUT_DELETE_PAYLOAD,    /* select, paths */
    QV__MUT_CLEAR_PAYLOAD,     /* select */
    QV__MUT_UPDATE_VECTORS, /* points: replace only the vectors named; points that do not exist are
                               an error */
    QV__MUT_DELETE_VECTORS, /* select, vector_names */
    QV__MUT_MODIFY_PAYLOAD, /* select, ops: append, remove, increment */
    QV__MUT_EXPIRE          /* ids, expires_ms: delete those that expired by then (the purge) */
};

enum qv__update_mode { QV__UPDATE_UPSERT = 0, QV__UPDATE_INSERT_ONLY, QV__UPDATE_UPDATE_ONLY };

struct qv__mutation {
    enum qv__mutation_kind kind;
    enum qv__update_mode mode; /* UPSERT */
    const struct qv__filter
        *condition; /* UPSERT: existing points are replaced only if they match; NULL = always */
    const struct qv__point *points;
    size_t n_points;
    /* select: ids when n_ids > 0 or filter is NULL; else the filter */
    const struct qv__id *ids;
    size_t n_ids;
    const struct qv__filter *filter;
    bool by_filter;
    struct qv__bytes payload;
    int64_t expires_ms;           /* *_PAYLOAD: the new expiry, INT64_MAX = never, 0 = as it was */
    struct qv__expected expected; /* of every point selected, or of points that say nothing */
    const struct qv__payload_op *ops;
    size_t n_ops;
    const struct qv__path *at; /* NULL = root */
    const struct qv__path *paths;
    size_t n_paths;
    const struct qv__str *vector_names;
    size_t n_vector_names;
};

/* When a write is acknowledged: on disk, or up to a window before (engine/commit.h). Values are
 * stored in schemas: never renumbered. */
enum qv__durability {
    QV__DURABILITY_DEFAULT = 0, /* as the collection has it; of a collection: fsync */
    QV__DURABILITY_FSYNC = 1,
    QV__DURABILITY_RELAXED = 2
};

struct qv__write_result {
    qv_status status;
    struct qv_err err;
    uint64_t operation_id; /* the record's LSN */
    uint64_t n_affected;   /* points whose state changed */
};

#endif

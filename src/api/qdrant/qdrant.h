/* qdrant.h: the primary dialect: Qdrant's REST interface, version 1.19; for the files of this
 * folder.
 *
 * What it is: one struct per request under way, and the helpers by topic that its handlers share.
 * What it is not: an engine; every handler translates JSON to typed queries and mutations, calls
 * engine/db.h, and writes the answer. Texts of errors are those of the peer where clients match
 * them.
 *
 * A handler runs on a pool worker and returns a status. On QV_OK it has written the value of
 * "result" into call->w (or, for a route with MUTATES, left its mutations); on an error the reason
 * is in call->err, and whatever was written is dropped. Threads: one at a time per call. */
#ifndef QV_API_QDRANT_QDRANT_H
#define QV_API_QDRANT_QDRANT_H

#include "api/dialect.h"
#include "base/json.h"
#include "base/qctx.h"
#include "engine/db.h"

#define QV__QDRANT_VERSION "1.19.0" /* what clients compare themselves with */
#define QV__QDRANT_TITLE   "qdrant - vector search engine"
#define QV__QDRANT_COMMIT  "0000000000000000000000000000000000000000" /* of no commit of theirs */

#define QV__QD_BATCH_MAX   10000u  /* searches in one batch */
#define QV__QD_PATHS_MAX   100000u /* payload paths in one request */
#define QV__QD_OPS_MAX     1000u   /* steps of one payload modification */
#define QV__QD_DEPTH_MAX   100u    /* of a request body; the answer may nest it four deeper */
#define QV__QD_CONFIG_MAX  ((size_t)1 << 20) /* bytes of a collection's kept configuration */

/* Flags of a route. */
enum {
    QV__QD_COLLECTION = 1u << 0,    /* the first parameter names a collection: check it */
    QV__QD_PIN = 1u << 1,           /* ... and pin it into call->collection */
    QV__QD_BODY = 1u << 2,          /* a JSON object must come */
    QV__QD_BODY_OPTIONAL = 1u << 3, /* may come */
    QV__QD_READ = 1u << 4,          /* consistency, timeout */
    QV__QD_UPDATE = 1u << 5,        /* wait, ordering, timeout, durability */
    QV__QD_TIMEOUT = 1u << 6,       /* timeout alone */
    QV__QD_WRITES = 1u << 7,        /* refused to read-only principals */
    QV__QD_ADMIN = 1u << 8,         /* refused to principals that see only some points */
    QV__QD_MUTATES = 1u << 9,       /* the handler leaves mutations; points_write.c runs them */
    QV__QD_STRICT_NAME =
        1u << 10,           /* the name of something to be created: the engine's rules at once */
    QV__QD_WAIT = 1u << 11, /* wait alone, true unless given */
    QV__QD_FILE = 1u << 12  /* the body may come as a file */
};

/* How an error is told, where the status alone does not say it. */
enum qv__qd_kind {
    QV__QD_BY_STATUS = 0,
    QV__QD_FORMAT,        /* 400 Format error in JSON body: ... */
    QV__QD_INVALID,       /* 422 Validation error in JSON body: [...] */
    QV__QD_QUERY_FORMAT,  /* 400 Deserialize error in query parameters: ... */
    QV__QD_QUERY_INVALID, /* 422 Validation error in query parameters: [...] */
    QV__QD_PATH_INVALID,  /* 422 Validation error in path parameters: [...] */
    QV__QD_BAD_REQUEST,   /* 400 Bad request: ... */
    QV__QD_STANDALONE,    /* 405, the text alone */
    QV__QD_CHECKSUM       /* 400 Checksum mismatch: ... */
};

struct qv__qd_params {
    bool wait;
    enum qv__durability durability; /* an extension; DEFAULT = as the collection has it */
    uint64_t timeout_s;             /* 0 = none */
};

struct qv__call {
    struct qv__request *request;
    const struct qv__route *route;
    const struct qv__str *params; /* of the path, decoded */
    struct qv__db *db;
    struct qv__arena *arena; /* the request's */
    struct qv__qd_params query;
    qv__json body; /* NULL when none came */
    struct qv__collection *collection;
    struct qv__qctx ctx;
    struct qv__steps steps;           /* of writing the answer */
    uint64_t deadline_ns;             /* the client's; that of ctx may be an attempt's end */
    struct qv__qd_profile *profile;   /* NULL = not asked for */
    struct qv__strict_call *strict;   /* NULL = the collection's strict mode is off */
    struct qv__schema *strict_schema; /* retained while it is not */
    struct qv__jw w;
    struct qv_err err;
    enum qv__qd_kind kind;
    bool raw;       /* the handler wrote the whole body, not a result */
    char place[96]; /* prefix of field names in messages: "searches[3].internal." */
    struct qv__buf scratch;
    uint32_t n_paths;  /* payload paths parsed so far */
    uint32_t n_stages; /* of the query that is being parsed */
    /* of a route with MUTATES */
    struct qv__mutation *mutations;
    size_t n_mutations, cap_mutations;
    size_t n_operations;
    bool is_batch; /* the result is an array, one entry per operation */
    struct qv__write write;
    /* What is left when the handler has returned, if it took too long where that runs. */
    qv_status (*rest)(struct qv__call *c); /* on the lane of jobs; NULL = nothing */
    void *rest_arg;
    bool waits; /* for indexes (index_routes.c) */
    uint64_t operation_id;
};

/* --- call.c
 * ------------------------------------------------------------------------------------------- */

/* The dialect's entry: see struct qv__dialect. */
void qv__qd_run(struct qv__request *r, const struct qv__route *route, const struct qv__str *params);
/* End the call: the envelope after the result, or the error's. The call is gone afterwards. */
void qv__qd_respond(struct qv__call *c, qv_status st);

/* --- profile.c
 * ------------------------------------------------------------------------------------------ */

/* Have the engine tell its steps, when the body asks for it. */
qv_status qv__qd_profile_begin(struct qv__call *c) QV_MUST_USE;
/* The member "profile" of the answer; nothing when it was not asked for. */
void qv__qd_profile_write(struct qv__call *c);

/* --- strict_mode.c: limits of the collection, checked before anything is executed; nothing happens
 * while they are off --- */

struct qv__qd_query;
struct qv__query;
struct qv__group_by;
/* What the settings' table cannot say of a strict_mode_config that is given. */
qv_status qv__qd_strict_check(struct qv__call *c, qv__json v) QV_MUST_USE;
/* Read the limits of the collection; the timeout is held against them. */
qv_status qv__qd_strict_begin(struct qv__call *c) QV_MUST_USE;
void qv__qd_strict_end(struct qv__call *c);
/* How strict mode's refusals are told. */
qv_status qv__qd_strict(struct qv__call *c, qv_status st);
qv_status qv__qd_strict_queries(struct qv__call *c, const struct qv__qd_query *list,
                                size_t n) QV_MUST_USE;
qv_status qv__qd_strict_groups(struct qv__call *c, const struct qv__query *q,
                               const struct qv__group_by *by) QV_MUST_USE;
/* Points by filter; limit 0 = not a page. */
qv_status qv__qd_strict_filtered(struct qv__call *c, const struct qv__filter *f, uint64_t limit,
                                 bool exact) QV_MUST_USE;
qv_status qv__qd_strict_ids(struct qv__call *c, size_t n) QV_MUST_USE;
qv_status qv__qd_strict_mutations(struct qv__call *c) QV_MUST_USE;
qv_status qv__qd_strict_index(struct qv__call *c, struct qv__str key) QV_MUST_USE;
/* Its rates start afresh. */
void qv__qd_strict_refill(struct qv__call *c);

/* --- envelope.c
 * ----------------------------------------------------------------------------------------- */

void qv__qd_ok_begin(struct qv__call *c);
void qv__qd_ok_end(struct qv__call *c);
/* The handler writes the whole body itself, into call->request->response.body. */
void qv__qd_raw(struct qv__call *c, const char *content_type);
/* 202 {"status": "accepted"}: it will be done. */
void qv__qd_accepted(struct qv__call *c);
/* Replace whatever was written by an error envelope. */
void qv__qd_error(struct qv__call *c, qv_status st);
void qv__qd_refuse(struct qv__request *r, int http_status, const char *text);
/* Fill call->err and the kind; returns the status that belongs to the kind. */
qv_status qv__qd_fail(struct qv__call *c, enum qv__qd_kind kind, const char *fmt, ...)
    QV_PRINTF(3, 4);
qv_status qv__qd_no_memory(struct qv__call *c);

/* --- params.c
 * ------------------------------------------------------------------------------------------- */

/* The query string, as far as the route's flags give its parameters a meaning. */
qv_status qv__qd_params(struct qv__call *c) QV_MUST_USE;
/* See struct qv__dialect. */
uint64_t qv__qd_timeout_s(const struct qv__route *route, struct qv__str query);
/* One parameter, decoded; absent = *given false. */
qv_status qv__qd_param(struct qv__call *c, const char *name, bool *given,
                       struct qv__str *out) QV_MUST_USE;
/* "true" or "false"; *out stays when it is not given. */
qv_status qv__qd_param_bool(struct qv__call *c, const char *name, bool *out) QV_MUST_USE;
qv_status qv__qd_collection_name(struct qv__call *c, struct qv__str name) QV_MUST_USE;

/* --- fields.c
 * ------------------------------------------------------------------------------------------- */

/* Absent and null are the same: not given. */
static inline bool qv__qd_given(qv__json v)
{
    return v && v->kind != QV__JSON_NULL;
}
const char *qv__qd_kind_name(qv__json v);
static inline void qv__qd_key_u64(struct qv__jw *w, const char *key, uint64_t v)
{
    qv__jw_key(w, key);
    qv__jw_u64(w, v);
}
/* "FIELD: expected WHAT, not a string" as a format error. */
qv_status qv__qd_expected(struct qv__call *c, const char *field, const char *what, qv__json v);
/* Optional members: *given says whether; *out is untouched when not. */
qv_status qv__qd_u64(struct qv__call *c, qv__json obj, const char *key, bool *given,
                     uint64_t *out) QV_MUST_USE;
qv_status qv__qd_f64(struct qv__call *c, qv__json obj, const char *key, bool *given,
                     double *out) QV_MUST_USE;
qv_status qv__qd_bool(struct qv__call *c, qv__json obj, const char *key, bool *given,
                      bool *out) QV_MUST_USE;
qv_status qv__qd_str(struct qv__call *c, qv__json obj, const char *key, bool *given,
                     struct qv__str *out) QV_MUST_USE;
/* A member that must be there and of a kind. */
qv_status qv__qd_need(struct qv__call *c, qv__json obj, const char *key, enum qv__json_kind kind,
                      qv__json *out) QV_MUST_USE;
/* 422 when value is outside [min, max]; max 0 = open. */
qv_status qv__qd_range(struct qv__call *c, const char *field, uint64_t value, uint64_t min,
                       uint64_t max) QV_MUST_USE;
/* How many points are wanted, 1 to QV__LIMIT_MAX; more is as good as that while there are no more.
 */
qv_status qv__qd_page(struct qv__call *c, const char *field, uint64_t *limit) QV_MUST_USE;
/* A payload path; a list of them. */
qv_status qv__qd_path(struct qv__call *c, qv__json v, const char *field,
                      struct qv__path *out) QV_MUST_USE;
qv_status qv__qd_paths(struct qv__call *c, qv__json v, const char *field,
                       const struct qv__path **out, size_t *n) QV_MUST_USE;
qv_status qv__qd_unsupported(struct qv__call *c, const char *what);
/* shard_key: only its absence is supported. */
qv_status qv__qd_no_shard_key(struct qv__call *c, qv__json obj) QV_MUST_USE;

/* --- ids.c
 * ---------------------------------------------------------------------------------------------- */

/* An unsigned integer or a UUID in any textual form. `field` is for the message. */
qv_status qv__qd_id(struct qv__call *c, qv__json v, const char *field,
                    struct qv__id *out) QV_MUST_USE;
/* An array of them. */
qv_status qv__qd_ids(struct qv__call *c, qv__json v, const char *field, struct qv__id **out,
                     size_t *n) QV_MUST_USE;
/* The same from a path segment. */
qv_status qv__qd_id_text(struct qv__call *c, struct qv__str text, struct qv__id *out) QV_MUST_USE;
void qv__qd_id_write(struct qv__jw *w, const struct qv__id *id);
/* Sort in place without memory, drop doubles; returns what is left. */
size_t qv__qd_ids_sort(struct qv__id *ids, size_t n);

/* --- filters.c
 * ------------------------------------------------------------------------------------------- */

/* A filter of the body ANDed with the principal's; NULL when both are absent. */
qv_status qv__qd_filter(struct qv__call *c, qv__json v, const struct qv__filter **out) QV_MUST_USE;
/* "These ids" and the principal's filter. `ids` is sorted in place. */
qv_status qv__qd_ids_filter(struct qv__call *c, struct qv__id *ids, size_t n,
                            const struct qv__filter **out) QV_MUST_USE;
/* Points by id, in the order asked, as far as the principal may see them. */
qv_status qv__qd_get(struct qv__call *c, struct qv__collection *from, const struct qv__id *ids,
                     size_t n, const struct qv__fetch *f, struct qv__result_set *out) QV_MUST_USE;

/* --- vectors_in.c
 * ---------------------------------------------------------------------------------------- */

/* A vector of any kind: see struct qv__named_vector for what the members mean. */
struct qv__qd_value {
    const float *values;
    const uint32_t *indices;
    uint32_t dim, n_rows;
    uint8_t kind;
    bool is_packed; /* they were packed bits */
};
qv_status qv__qd_value(struct qv__call *c, qv__json v, const char *field,
                       struct qv__qd_value *out) QV_MUST_USE;
/* The same of a query; the same of a stored point, which is not empty. */
qv_status qv__qd_input(struct qv__call *c, qv__json v, const char *field,
                       struct qv__vector_input *out) QV_MUST_USE;
qv_status qv__qd_named(struct qv__call *c, struct qv__str name, qv__json v, const char *field,
                       struct qv__named_vector *out) QV_MUST_USE;
/* A dense one alone. What is to be embedded is QV_EUNSUPPORTED by name, anything else a format
 * error. */
qv_status qv__qd_dense(struct qv__call *c, qv__json v, const char *field,
                       struct qv__qd_value *out) QV_MUST_USE;
/* The vectors of one point: a list is the default vector, a map gives them by name. */
qv_status qv__qd_vectors(struct qv__call *c, qv__json v, const char *field,
                         struct qv__named_vector **out, uint32_t *n) QV_MUST_USE;
/* `vector` or its other spelling `vectors`; QV_OK and NULL when neither is there. */
qv_status qv__qd_vector_member(struct qv__call *c, qv__json obj, qv__json *out) QV_MUST_USE;

/* --- points_out.c
 * ---------------------------------------------------------------------------------------- */

/* with_payload, with_vector(s). */
qv_status qv__qd_fetch(struct qv__call *c, qv__json obj, bool payload_default,
                       struct qv__fetch *out) QV_MUST_USE;
/* A number, whatever the score is. */
void qv__qd_score_write(struct qv__jw *w, float score);
enum qv__qd_shape { QV__QD_RECORD, QV__QD_SCORED };
/* Into the answer; QV_ETIMEOUT or QV_ECANCELLED where it is not finished in time. */
qv_status qv__qd_point_write(struct qv__call *c, const struct qv__result_set *rs, size_t i,
                             const struct qv__fetch *f, enum qv__qd_shape shape) QV_MUST_USE;
/* An array of all. */
qv_status qv__qd_points_write(struct qv__call *c, const struct qv__result_set *rs,
                              const struct qv__fetch *f, enum qv__qd_shape shape) QV_MUST_USE;

/* --- query_in.c
 * ------------------------------------------------------------------------------------------- */

struct qv__qd_query {
    struct qv__query query;
    struct qv__fetch fetch;
};
qv_status qv__qd_query(struct qv__call *c, qv__json obj, struct qv__qd_query *out) QV_MUST_USE;
qv_status qv__qd_search(struct qv__call *c, qv__json obj,
                        struct qv__qd_query *out) QV_MUST_USE; /* legacy */
qv_status qv__qd_recommend(struct qv__call *c, qv__json obj,
                           struct qv__qd_query *out) QV_MUST_USE; /* legacy */
qv_status qv__qd_discover(struct qv__call *c, qv__json obj,
                          struct qv__qd_query *out) QV_MUST_USE; /* legacy */

/* --- query_routes.c
 * --------------------------------------------------------------------------------------- */

/* Examples of the whole tree must exist where they are looked up, and be such as the principal may
 * see. */
qv_status qv__qd_check_examples(struct qv__call *c, const struct qv__query *q) QV_MUST_USE;
/* Another collection that a query names, retained; the peer's text when there is none. */
qv_status qv__qd_lookup_open(struct qv__call *c, struct qv__str name,
                             struct qv__collection **out) QV_MUST_USE;

/* --- query_kinds.c
 * ---------------------------------------------------------------------------------------- */

/* The member "query" of a stage, into the stage whose other members are parsed. */
qv_status qv__qd_kind(struct qv__call *c, qv__json query, struct qv__query *q) QV_MUST_USE;
/* order_by.c: a key, or an object with key, direction and start_from; `place` for messages. */
qv_status qv__qd_order_by(struct qv__call *c, qv__json v, const char *place,
                          const struct qv__order_by **out) QV_MUST_USE;
/* {positive, negative, strategy}; `place` names where they stand. */
qv_status qv__qd_examples(struct qv__call *c, qv__json v, const char *place,
                          struct qv__query *q) QV_MUST_USE;
/* {target, context}: discover, or context without a target. */
qv_status qv__qd_target(struct qv__call *c, qv__json v, struct qv__query *q) QV_MUST_USE;

/* --- config.c, config_kept.c: settings of collections
 * ------------------------------------------------------ */

enum qv__qd_type {
    QV__QD_UINT,
    QV__QD_NUMBER,
    QV__QD_BOOL,
    QV__QD_ENUM,
    QV__QD_OBJECT,
    QV__QD_ANY,
    QV__QD_THREADS
};
struct qv__qd_setting {
    const char *name;
    const char *alias; /* NULL = none */
    enum qv__qd_type type;
    double min, max;                  /* 422 outside; max 0 = open */
    const char *const *words;         /* ENUM: NULL-terminated */
    const struct qv__qd_group *group; /* OBJECT: checked as one; NULL = any object */
    const char *fallback;             /* JSON shown when not given; NULL = left out */
};
struct qv__qd_group {
    const char *name;
    const struct qv__qd_setting *settings;
    size_t n;
};
extern const struct qv__qd_group qv__qd_hnsw, qv__qd_optimizers, qv__qd_wal, qv__qd_strict_mode,
    qv__qd_collection_params, qv__qd_vector_kept, qv__qd_sparse_kept, qv__qd_ttl, qv__qd_durability;
/* Types (400) and ranges (422). obj NULL or null is fine. */
qv_status qv__qd_group_check(struct qv__call *c, const struct qv__qd_group *g, const char *place,
                             qv__json obj) QV_MUST_USE;
/* {"scalar": {...}} and its siblings; "Disabled" when allowed. */
qv_status qv__qd_quantization_check(struct qv__call *c, const char *place, qv__json v,
                                    bool disable_allowed) QV_MUST_USE;
/* The member of a setting, under either name; NULL when absent or null. */
qv__json qv__qd_setting_of(const struct qv__qd_setting *s, qv__json obj);
/* Members of `fresh` over those of `old` (either may be NULL), as members of the open object. */
void qv__qd_group_merge(struct qv__jw *w, const struct qv__qd_group *g, qv__json old,
                        qv__json fresh);
/* The same object as it is shown: with fallbacks. */
void qv__qd_group_show(struct qv__jw *w, const struct qv__qd_group *g, qv__json kept);

/* What a request changes; members NULL when not given. */
struct qv__qd_changes {
    qv__json params, hnsw, optimizers, wal, quantization, strict, metadata;
    qv__json vectors; /* what is kept per vector, by name; or that of the default vector itself: */
    bool vectors_single;
    const struct qv__str *vectors_of; /* `vectors` is what is kept of the vector of this name */
    bool vectors_named;               /* of a new collection: its vectors were given by name */
    qv__json sparse;                  /* `sparse_vectors`: by name */
};
/* Write the configuration to keep for the vectors of `s`: `old` (parsed, may be NULL) with the
 * changes. Lives in the arena. QV_ETOOBIG when there is too much to keep. */
qv_status qv__qd_config_keep(struct qv__call *c, const struct qv__schema *s, qv__json old,
                             const struct qv__qd_changes *ch, struct qv__str *out) QV_MUST_USE;
/* Parse what a schema keeps; what another interface made is described by what it is. */
qv_status qv__qd_config_read(struct qv__call *c, const struct qv__schema *s,
                             qv__json *out) QV_MUST_USE;
/* The object of one dense vector, `place` telling where it stands ("vectors.a."). */
/* One of `sparse_vectors`. */
qv_status qv__qd_sparse_parse(struct qv__call *c, const char *place, struct qv__str name,
                              qv__json v, struct qv__vector_def *out) QV_MUST_USE;
qv_status qv__qd_vector_parse(struct qv__call *c, const char *place, struct qv__str name,
                              qv__json v, struct qv__vector_def *out) QV_MUST_USE;
/* What the kept settings ask for of the vector's index and placement: its own, the collection's,
 * the default. The name is read, the rest of *v is left alone. */
void qv__qd_vector_settings(qv__json kept, struct qv__vector_def *v);
/* The object "durability", ours: checked, and its members over those of *out. obj NULL is fine. */
qv_status qv__qd_durability_read(struct qv__call *c, qv__json obj,
                                 struct qv__durability_policy *out) QV_MUST_USE;
/* The member "ttl" of obj, ours: checked, and where it is given *ttl_ms; `place` as in
 * qv__qd_group_check. */
qv_status qv__qd_ttl_read(struct qv__call *c, const char *place, qv__json obj,
                          uint64_t *ttl_ms) QV_MUST_USE;
/* Segment policy that follows from the optimizers' settings. */
void qv__qd_policy(qv__json kept, const struct qv__schema *s, struct qv__segment_policy *out);
/* The object "config" of a collection. */
void qv__qd_config_show(struct qv__jw *w, const struct qv__schema *s, qv__json kept);
/* The arrays "warnings" (the peer's) and "unapplied_settings" (ours: kept without effect); an empty
 * one is left out. */
void qv__qd_config_warn(struct qv__call *c, const struct qv__schema *s, qv__json kept);

/* --- writes
 * ------------------------------------------------------------------------------------------------
 */

/* Room for one more mutation, zeroed; NULL and call->err when memory is out. */
struct qv__mutation *qv__qd_mutation(struct qv__call *c, enum qv__mutation_kind kind);
/* Parsers of one operation's body; each adds its mutations. `c->place` tells where. */
qv_status qv__qd_upsert(struct qv__call *c, qv__json v) QV_MUST_USE;
qv_status qv__qd_delete(struct qv__call *c, qv__json v) QV_MUST_USE;
qv_status qv__qd_update_vectors(struct qv__call *c, qv__json v) QV_MUST_USE;
qv_status qv__qd_delete_vectors(struct qv__call *c, qv__json v) QV_MUST_USE;
qv_status qv__qd_set_payload(struct qv__call *c, qv__json v) QV_MUST_USE;
qv_status qv__qd_overwrite_payload(struct qv__call *c, qv__json v) QV_MUST_USE;
qv_status qv__qd_delete_payload(struct qv__call *c, qv__json v) QV_MUST_USE;
qv_status qv__qd_clear_payload(struct qv__call *c, qv__json v) QV_MUST_USE;
/* {"points": [...]} or {"filter": ...} into the mutation's selection. Points come first when both
 * are there. */
qv_status qv__qd_select(struct qv__call *c, qv__json v, struct qv__mutation *m) QV_MUST_USE;
qv_status qv__qd_select_ids(struct qv__call *c, qv__json ids, struct qv__mutation *m) QV_MUST_USE;
/* JSON payload (object or null) to a row in the arena. */
qv_status qv__qd_payload(struct qv__call *c, qv__json v, const char *field,
                         struct qv__bytes *out) QV_MUST_USE;
qv_status qv__qd_modify_payload(struct qv__call *c, qv__json v) QV_MUST_USE;
/* --- write_extras.c: members of ours --- */
/* `expires_at` or `ttl`: the instant in Unix milliseconds; INT64_MAX = "never", 0 = not given. */
qv_status qv__qd_expiry(struct qv__call *c, qv__json obj, int64_t *out) QV_MUST_USE;
/* `if_version`. */
qv_status qv__qd_if_version(struct qv__call *c, qv__json obj, struct qv__expected *out) QV_MUST_USE;
/* Start the mutations of the call; it responds when they are durable. */
void qv__qd_write_start(struct qv__call *c);
/* {"operation_id": N, "status": "..."} */
void qv__qd_update_result(struct qv__jw *w, uint64_t operation_id, bool wait);

/* --- handlers, by file
 * ---------------------------------------------------------------------------------------- */

qv_status qv__qd_root(struct qv__call *c); /* service.c */
qv_status qv__qd_healthz(struct qv__call *c);
qv_status qv__qd_readyz(struct qv__call *c);
qv_status qv__qd_metrics(struct qv__call *c);               /* metrics_text.c */
void qv__qd_write_date(struct qv__jw *w, uint64_t wall_ms); /* RFC 3339, in UTC */
qv_status qv__qd_telemetry(struct qv__call *c);
qv_status qv__qd_openapi(struct qv__call *c); /* openapi.c */
size_t qv__qd_openapi_strays(void); /* rows of its table that belong to no route; for tests */
qv_status qv__qd_issues(struct qv__call *c); /* issue_routes.c */
qv_status qv__qd_issues_clear(struct qv__call *c);
qv_status qv__qd_cluster(struct qv__call *c);
qv_status
qv__qd_not_supported(struct qv__call *c); /* a route of the peer that this version does not have */
qv_status qv__qd_standalone(struct qv__call *c);       /* ... that only a cluster has */
qv_status qv__qd_collections_list(struct qv__call *c); /* collections.c */
qv_status qv__qd_collection_exists(struct qv__call *c);
qv_status qv__qd_collection_drop(struct qv__call *c);
qv_status qv__qd_collection_cluster(struct qv__call *c);
qv_status qv__qd_collection_optimize(struct qv__call *c);
qv_status qv__qd_collection_segments(struct qv__call *c);
qv_status qv__qd_collection_info(struct qv__call *c);   /* collection_info.c */
qv_status qv__qd_collection_create(struct qv__call *c); /* collection_create.c */
qv_status qv__qd_collection_patch(struct qv__call *c);
qv_status qv__qd_optimizations(struct qv__call *c); /* optimizations.c */
qv_status qv__qd_optimization_cancel(struct qv__call *c);
qv_status qv__qd_aliases_update(struct qv__call *c); /* aliases.c */
qv_status qv__qd_aliases_list(struct qv__call *c);
qv_status qv__qd_collection_aliases(struct qv__call *c);
qv_status qv__qd_index_put(struct qv__call *c); /* index_routes.c */
/* Answer once the indexes serve all, or time is up. */
void qv__qd_index_wait(struct qv__call *c);
qv_status qv__qd_index_delete(struct qv__call *c);
qv_status qv__qd_vector_put(struct qv__call *c); /* vector_routes.c */
qv_status qv__qd_vector_delete(struct qv__call *c);
qv_status qv__qd_point_get(struct qv__call *c); /* points_read.c */
qv_status qv__qd_points_get(struct qv__call *c);
qv_status qv__qd_points_scroll(struct qv__call *c);
qv_status qv__qd_points_count(struct qv__call *c);
qv_status qv__qd_points_facet(struct qv__call *c);
qv_status qv__qd_points_query(struct qv__call *c); /* query_routes.c */
qv_status qv__qd_points_query_batch(struct qv__call *c);
qv_status qv__qd_points_search(struct qv__call *c);
qv_status qv__qd_points_search_batch(struct qv__call *c);
qv_status qv__qd_points_recommend(struct qv__call *c);
qv_status qv__qd_points_recommend_batch(struct qv__call *c);
qv_status qv__qd_points_discover(struct qv__call *c);
qv_status qv__qd_points_discover_batch(struct qv__call *c);
qv_status qv__qd_points_query_groups(struct qv__call *c);
qv_status qv__qd_points_search_groups(struct qv__call *c);
qv_status qv__qd_points_recommend_groups(struct qv__call *c);
qv_status qv__qd_points_matrix_pairs(struct qv__call *c);
qv_status qv__qd_points_matrix_offsets(struct qv__call *c);
qv_status qv__qd_points_upsert(struct qv__call *c); /* points_write.c */
qv_status qv__qd_points_delete(struct qv__call *c);
qv_status qv__qd_points_update_vectors(struct qv__call *c);
qv_status qv__qd_points_delete_vectors(struct qv__call *c);
qv_status qv__qd_points_set_payload(struct qv__call *c);
qv_status qv__qd_points_overwrite_payload(struct qv__call *c);
qv_status qv__qd_points_delete_payload(struct qv__call *c);
qv_status qv__qd_points_clear_payload(struct qv__call *c);
qv_status qv__qd_points_modify_payload(struct qv__call *c);
qv_status qv__qd_points_batch(struct qv__call *c);
qv_status qv__qd_snapshot_create(struct qv__call *c); /* snapshots.c */
qv_status qv__qd_snapshot_delete(struct qv__call *c);
qv_status qv__qd_snapshots_list(struct qv__call *c);
qv_status qv__qd_snapshot_download(struct qv__call *c);
qv_status qv__qd_full_snapshot_create(struct qv__call *c);
qv_status qv__qd_full_snapshot_delete(struct qv__call *c);
qv_status qv__qd_full_snapshots_list(struct qv__call *c);
qv_status qv__qd_full_snapshot_download(struct qv__call *c);
qv_status qv__qd_shard_stream(struct qv__call *c);
qv_status qv__qd_snapshot_recover(struct qv__call *c); /* snapshots_recover.c */
qv_status qv__qd_snapshot_upload(struct qv__call *c);

#endif

/* schema.h: what a collection is: its vectors, payload indexes, shards and settings.
 *
 * What it is: an immutable, reference-counted description; a change makes a new one. It has one
 * JSON form, used by the catalog (log records and manifest). What it is not: any dialect's
 * configuration document. What a dialect wants echoed and the engine does not act on travels in
 * config_json untouched. Threads: any (immutable; the count is atomic). */
#ifndef QV_ENGINE_SCHEMA_H
#define QV_ENGINE_SCHEMA_H

#include <stdatomic.h>

#include "base/json.h"
#include "base/vec.h"
#include "engine/index_spec.h"
#include "engine/mutation.h"
#include "index/index.h"

#define QV__COLLECTION_NAME_MAX 255u /* bytes */
#define QV__VECTOR_NAME_MAX     200u /* bytes */
#define QV__VECTORS_MAX         16u  /* named vectors per collection */
#define QV__SHARDS_MAX          256u
#define QV__PAYLOAD_INDEXES_MAX 256u
#define QV__CONFIG_BYTES_MAX    ((size_t)1 << 20) /* dialect settings of a collection */
#define QV__INDEX_KEY_MAX       1024u             /* bytes of a payload index's path */

struct qv__vector_def {
    struct qv__str name; /* "" = the default vector */
    uint8_t kind;        /* enum qv__vec_kind */
    uint8_t datatype;    /* enum qv__datatype */
    uint8_t metric;      /* enum qv__metric */
    bool on_disk;        /* pages of vectors in files are not kept in memory on purpose */
    bool no_graph;       /* searched by a scan, however many vectors there are */
    bool idf;            /* sparse: what is compared is weighed by how rare its indices are */
    uint32_t dim;        /* of one vector, or one row of a multivector; 0 of sparse ones */
    /* Which column this is, beyond its name: 0 for those a collection is made with, else a number
     * that no other column ever had. A name that is dropped and added again is another column. */
    uint64_t uid;
    /* LSN of the record that added it; 0 = the collection's own. Vectors of this name in earlier
     * records are of another column. */
    uint64_t born_lsn;
    struct qv__index_params index;
    struct qv__str config_json; /* dialect's per-vector settings to echo, "" = none */
};

struct qv__payload_index_def {
    struct qv__str key;         /* path text */
    struct qv__str type;        /* "keyword", "integer", … */
    struct qv__str params_json; /* as given; "" = none */
};

/* How segments live. 0 = the default named beside it. */
struct qv__segment_policy {
    uint32_t seal_rows;     /* 65,536: a growing segment is sealed at this many rows */
    uint64_t seal_bytes;    /* 256 MiB of vectors and payload */
    uint32_t index_rows;    /* 1,024: fewer rows than this are scanned, not indexed */
    uint32_t merge_fanin;   /* 4: so many segments of one size class are merged into one */
    uint32_t build_threads; /* all of the pool */
    /* 512 KiB: while fresh vectors that are due for a graph and not in one take more than this,
     * writes that add to them are acknowledged at the pace of the graph (pace.h). A search scans
     * these bytes. */
    uint64_t tail_bytes;
    bool index_at_seal_only; /* bulk loading: a growing segment gets no graph until it is sealed */
    /* A sealed segment of at least so many rows, of which more than this percentage are deleted, is
     * written anew without them. 20 %; 1,000 rows, or seal_rows when that is less. */
    uint32_t vacuum_percent, vacuum_rows;
    uint64_t ttl_ms;     /* points that name no expiry live this long; 0 = for ever */
    bool payload_cached; /* payload of files is read into memory when they are opened */
};

/* When writes that do not say it themselves are acknowledged. */
struct qv__durability_policy {
    enum qv__durability mode; /* DEFAULT becomes FSYNC */
    uint32_t window_ms;       /* of relaxed writes: 0 = 200; 1 to 60,000 */
};
#define QV__SEAL_ROWS_MIN      16u
#define QV__SEAL_ROWS_MAX      (1u << 22)
#define QV__MERGE_FANIN_MIN    2u
#define QV__MERGE_FANIN_MAX    64u
#define QV__TAIL_BYTES_DEFAULT (UINT64_C(512) << 10)
#define QV__WINDOW_MS_DEFAULT  200u
#define QV__WINDOW_MS_MAX      60000u
#define QV__TTL_MS_MAX         UINT64_C(3155760000000) /* a hundred years */

struct qv__schema {
    _Atomic uint32_t refs;
    struct qv__arena arena; /* owns everything below */
    struct qv__vector_def *vectors;
    uint32_t n_vectors; /* 0 is allowed: payload only */
    struct qv__payload_index_def *indexes;
    uint32_t n_indexes;
    /* what is made of them; filled in by qv__schema_create, never copied from another */
    const struct qv__index_spec *specs; /* [n_indexes] */
    struct qv__text_fields texts;
    uint32_t shard_number; /* >= 1 */
    struct qv__segment_policy policy;
    struct qv__durability_policy durability;
    struct qv__str config_json;
};

/* A new schema with one reference, deep-copied from `from` (whose own arena and count are ignored),
 * with defaults filled in and checked. Errors: QV_EVALIDATION / QV_EINVAL naming field, value,
 * limit; QV_EUNSUPPORTED for kinds and datatypes the engine does not hold yet. */
qv_status qv__schema_create(struct qv__mem *mem, const struct qv__schema *from,
                            struct qv__schema **out, struct qv_err *err) QV_MUST_USE;
/* What a changed copy starts from: all of `s` but its arena and count, borrowed. */
static inline struct qv__schema qv__schema_parts(const struct qv__schema *s)
{
    return (struct qv__schema){.vectors = s->vectors,
                               .n_vectors = s->n_vectors,
                               .indexes = s->indexes,
                               .n_indexes = s->n_indexes,
                               .shard_number = s->shard_number,
                               .policy = s->policy,
                               .durability = s->durability,
                               .config_json = s->config_json};
}
struct qv__schema *qv__schema_retain(struct qv__schema *s);
void qv__schema_release(struct qv__schema *s); /* NULL-safe */
/* Column number of a vector name, or -1. */
int qv__schema_vector(const struct qv__schema *s, struct qv__str name);
/* True if both are descriptions of one column, whatever its settings. */
static inline bool qv__vector_same(const struct qv__vector_def *a, const struct qv__vector_def *b)
{
    return a->uid == b->uid && qv__str_eq(a->name, b->name);
}
/* True if both have the same columns in the same order. */
bool qv__schema_same_columns(const struct qv__schema *a, const struct qv__schema *b);
/* Its record has this LSN: columns that it adds get it. Before the schema is shared. */
void qv__schema_born(struct qv__schema *s, uint64_t lsn);
/* Taken from another database: no column is younger than `lsn`. Before the schema is shared. */
void qv__schema_age(struct qv__schema *s, uint64_t lsn);
void qv__schema_to_json(struct qv__jw *w, const struct qv__schema *s);
qv_status qv__schema_from_json(struct qv__mem *mem, qv__json v, struct qv__schema **out,
                               struct qv_err *err) QV_MUST_USE;
/* 1..255 bytes of UTF-8 without control characters and without / \ : * ? " < > | ; not "." or "..".
 */
qv_status qv__collection_name_check(struct qv__str name, struct qv_err *err) QV_MUST_USE;

const char *
qv__metric_name(enum qv__metric m); /* "Cosine", "Dot", "Euclid", "Manhattan", "Hamming" */
bool qv__metric_parse(struct qv__str text, enum qv__metric *out);

#endif

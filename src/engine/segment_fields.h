/* segment_fields.h: the field indexes of one segment.
 *
 * What it is: for each payload index of the schema, blocks over consecutive rows (payload/field.h):
 * of a sealed segment read from its file, or built in memory when the file is older than the index;
 * of a growing one built as its rows become enough for a block. Rows that no block covers yet are
 * looked at one by one, so answers never depend on how far this is.
 * What it is not: durable by itself. The schema says which indexes there are; a file's blocks are
 * taken when their path and type are asked for.
 *
 * Threads: a set is immutable and read by reference; an index of it only gains blocks. One thread
 * at a time syncs and builds (the shard's fields task). */
#ifndef QV_ENGINE_SEGMENT_FIELDS_H
#define QV_ENGINE_SEGMENT_FIELDS_H

#include "engine/db.h"
#include "engine/segment.h"
#include "payload/filter_bounds.h"
#include "store/segfile.h"

struct qv__field {
    _Atomic uint32_t refs;
    struct qv__mem *mem;
    struct qv__index_spec spec; /* its path is of `key`, its stop words are `stop` */
    struct qv__stopwords *stop; /* NULL = none */
    char *key;                  /* owned */
    size_t key_n;
    uint32_t n_max;                 /* blocks of a full segment */
    _Atomic uint32_t n;             /* blocks that are there: release after one is complete */
    _Atomic uint64_t memory;        /* bytes of owned blocks */
    uint64_t mapped;                /* bytes of blocks in the file */
    struct qv__field_block *blocks; /* [n_max] */
    uint8_t **owned;                /* [n_max]: bytes of blocks in memory, else NULL */
};

struct qv__field_set {
    _Atomic uint32_t refs;
    struct qv__schema *schema; /* what it was made for; retained */
    uint32_t n;
    struct qv__field *fields[]; /* each retained */
};

/* Make the set that the schema asks for: indexes that are there are kept, others come from the
 * segment's file where it has them, or begin empty. Without `verify` the file's are trusted.
 * QV_ECORRUPT naming the file, QV_EVERSION, QV_ENOMEM: the set is as before. */
qv_status qv__fields_sync(struct qv__segment *s, struct qv__schema *schema, bool verify,
                          struct qv_err *err) QV_MUST_USE;
/* True if the set is not what the schema asks for, or some block can be built. */
bool qv__fields_due(const struct qv__segment *s, const struct qv__schema *schema);
/* The second half alone, in a few instructions. */
bool qv__fields_block_due(const struct qv__segment *s);
/* Rows of blocks that can be built by now, all indexes together. */
uint64_t qv__fields_owed(const struct qv__segment *s);
/* Add what the index of a definition has here. */
void qv__fields_describe(const struct qv__segment *s, struct qv__str key,
                         const struct qv__index_spec *spec, struct qv__field_info *out);
/* Build them. */
qv_status qv__fields_build(struct qv__segment *s, const struct qv__work *work,
                           struct qv_err *err) QV_MUST_USE;
/* The set of now, retained. */
struct qv__field_set *qv__segment_fields(const struct qv__segment *s);
void qv__field_set_release(struct qv__field_set *set); /* NULL-safe */
/* Rows of one block: a multiple of 64. */
uint32_t qv__fields_block_rows(const struct qv__segment *s);

/* --- segment_fields_file.c --- */

/* Write the blocks of all rows of a new file as its section, for the indexes of a schema. */
struct qv__segment_build;
qv_status qv__fields_write(const struct qv__segment_build *b, const struct qv__schema *schema,
                           struct qv__segw *w, struct qv_err *err) QV_MUST_USE;
/* The blocks that a file has for an index, opened into f->blocks; none: f->n stays 0. QV_ECORRUPT,
 * QV_EVERSION: without the file's name. */
qv_status qv__fields_read(struct qv__bytes section, uint32_t n_rows, bool verify,
                          struct qv__field *f, struct qv_err *err) QV_MUST_USE;

/* --- segment_filter.c --- */

/* Bounds of a filter over the rows of `v`, each a new set of v->n_rows bits: what certainly matches
 * and what possibly does; both visible. *served false: there is no index to ask, and neither set is
 * made. */
qv_status qv__segment_bounds(const struct qv__segment *s, const struct qv__schema *schema,
                             const struct qv__visible *v, const struct qv__filter *f,
                             struct qv__qctx *ctx, struct qv__bitset *lo, struct qv__bitset *up,
                             bool *served, struct qv_err *err) QV_MUST_USE;

#endif

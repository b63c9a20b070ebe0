/* import.h: the parts of `quiver import`: where points come from, what shape they must have, where
 * they go; for the import_*.c files only.
 *
 * A source turns files into batches of typed points; the shape (the collection's vectors) is held
 * against every batch, so that an error can name file and line; a sink stores batches. */
#ifndef QV_CLI_IMPORT_H
#define QV_CLI_IMPORT_H

#include "cli/line_file.h"
#include "cli/target.h"
#include "cli/vector_file.h"
#include "engine/mutation.h"
#include "engine/schema.h"

/* --- batch ---------------------------------------------------------------------------------------
 */

struct qv__import_batch {
    struct qv__arena arena;   /* owns what the points refer to */
    struct qv__point *points; /* [max], allocated once */
    uint64_t *places;         /* [max]: line or row of each point */
    uint32_t n, max;
    size_t bytes; /* about what a request with these points takes */
};
qv_status qv__import_batch_init(struct qv__import_batch *b, struct qv__mem *mem, uint32_t max,
                                struct qv_err *err) QV_MUST_USE;
void qv__import_batch_free(struct qv__import_batch *b); /* safe on a zeroed one */

/* --- import_source.c -----------------------------------------------------------------------------
 */

struct qv__import_source {
    struct qv__mem *mem;
    const char *id_field;    /* "id" */
    const char *vector_name; /* of arrays without a name; "" = the default vector */
    bool numbered;           /* documents without id are numbered */
    uint64_t first_id;
    struct qv__line_file lines;
    struct qv__vector_file vectors;
    bool has_lines, has_vectors;
    uint64_t done;            /* documents, or rows without documents */
    struct qv__arena scratch; /* one parsed line */
};

/* One file, or documents and vectors. Release with qv__import_source_close, also after an error. */
qv_status qv__import_source_open(struct qv__import_source *s, struct qv__mem *mem,
                                 const char *const *files, size_t n_files,
                                 struct qv_err *err) QV_MUST_USE;
void qv__import_source_close(struct qv__import_source *s);
/* Replace the batch by the next points; n = 0 at the end. Errors name file, line or row, reason;
 * what came before the bad line is in the batch. */
qv_status qv__import_source_next(struct qv__import_source *s, struct qv__import_batch *b,
                                 struct qv_err *err) QV_MUST_USE;
/* How much of the input is read, 0..1; below 0 = not known. */
double qv__import_source_share(const struct qv__import_source *s);
/* "docs.jsonl line" or "base.fvecs row": what a place counts. */
void qv__import_source_place(const struct qv__import_source *s, uint64_t place, char *out,
                             size_t n);

/* --- import_shape.c ------------------------------------------------------------------------------
 */

struct qv__import_shape {
    bool exists; /* the collection does */
    uint32_t n;
    struct {
        char name[QV__VECTOR_NAME_MAX + 1];
        uint32_t dim;
        char metric[32];   /* as the dialect calls it; "" = not known */
        char datatype[16]; /* likewise */
    } vectors[QV__VECTORS_MAX];
};
/* Ask for the collection; exists stays false when there is none. */
qv_status qv__import_shape_fetch(struct qv__import_shape *shape, struct qv__target *t,
                                 const char *collection, struct qv_err *err) QV_MUST_USE;
/* Take names and dimensions from the points of a batch. QV_EINVAL when none has a vector. */
qv_status qv__import_shape_derive(struct qv__import_shape *shape, const struct qv__import_batch *b,
                                  struct qv_err *err) QV_MUST_USE;
/* Make a collection of this shape; `metric` and `datatype` in the dialect's words. */
qv_status qv__import_shape_create(const struct qv__import_shape *shape, struct qv__target *t,
                                  const char *collection, const char *metric, const char *datatype,
                                  struct qv_err *err) QV_MUST_USE;
/* Every vector of the batch has a name and a dimension of the shape. On an error *at is the first
 * point that does not fit, and the points before it may be stored. */
qv_status qv__import_shape_check(const struct qv__import_shape *shape,
                                 const struct qv__import_source *s,
                                 const struct qv__import_batch *b, uint32_t *at,
                                 struct qv_err *err) QV_MUST_USE;

/* --- import_sink.c -------------------------------------------------------------------------------
 */

#define QV__IMPORT_WRITES 4u /* in flight, so that parsing goes on while a sync runs */

struct qv__import_write {
    struct qv__write write;
    struct qv__import_sink *sink;
    uint32_t n;
    bool running; /* guarded by: lock */
};
struct qv__import_sink {
    struct qv__target *target;
    const char *collection;
    struct qv__collection *pinned; /* NULL for a server */
    struct qv__mutex lock;
    struct qv__condvar cond;
    struct qv__import_write writes[QV__IMPORT_WRITES];
    unsigned next;
    uint64_t stored;   /* acknowledged points; guarded by: lock */
    struct qv_err err; /* the first failure; guarded by: lock */
    struct qv__buf body;
    struct qv__arena arena;
};
/* Release with qv__import_sink_close, also after an error. */
qv_status qv__import_sink_open(struct qv__import_sink *s, struct qv__target *t,
                               const char *collection, struct qv_err *err) QV_MUST_USE;
/* Store a batch; may return before it is durable. Reports the failure of this or an earlier one. */
qv_status qv__import_sink_put(struct qv__import_sink *s, const struct qv__import_batch *b,
                              struct qv_err *err) QV_MUST_USE;
/* Wait until everything put is durable, or failed. */
qv_status qv__import_sink_flush(struct qv__import_sink *s, struct qv_err *err) QV_MUST_USE;
uint64_t qv__import_sink_stored(struct qv__import_sink *s);
void qv__import_sink_close(struct qv__import_sink *s); /* flushes; safe on a zeroed one */

#endif

/* handle.h: what stands behind a qv_db, and conversions between public and internal values; for the
 * quiver*.c files only.
 *
 * What it is: the strict side of the library: every argument is checked here and named in the
 * error. */
#ifndef QV_API_HANDLE_H
#define QV_API_HANDLE_H

#include "api/request.h"
#include "base/elements.h"
#include "engine/db.h"
#include "quiver/quiver.h"

/* What the header promises of vectors that name none. */
enum { M_DEFAULT = 16, EF_CONSTRUCT_DEFAULT = 128 };

struct qv_db {
    struct qv__mem *mem; /* of the handle itself */
    struct qv__db *db;
    struct qv__api *api;
    struct qv__logger logger;
    void (*log)(void *ctx, int level, const char *component, const char *message);
    void *log_ctx;
};

/* "NAME: must not be NULL". */
qv_status qv__handle_missing(struct qv_err *err, const char *name) QV_MUST_USE;
/* Check the handle and the name, and pin the collection. */
qv_status qv__handle_collection(qv_db *db, const char *name, struct qv__collection **out,
                                struct qv_err *err) QV_MUST_USE;

/* `where` and `i` are for messages: "points[3].id: ...". */
qv_status qv__handle_id(const struct qv_id *in, const char *where, size_t i, struct qv__id *out,
                        struct qv_err *err) QV_MUST_USE;
/* Copies in the arena; strings stay the caller's. */
qv_status qv__handle_ids(struct qv__arena *a, const struct qv_id *in, size_t n, struct qv__id **out,
                         struct qv_err *err) QV_MUST_USE;
/* *out->as.string.text is borrowed. */
void qv__handle_id_out(const struct qv__id *in, struct qv_id *out);
/* `size` numbers, from `values` or from `elements` of a datatype, whichever is given; `what` names
 * them: "points[3].vectors[0].". *is_packed: they are bits. */
qv_status qv__handle_elements(struct qv__arena *a, const char *what, const float *values,
                              enum qv_datatype datatype, const void *elements, uint32_t size,
                              const float **out, bool *is_packed, struct qv_err *err) QV_MUST_USE;
qv_status qv__handle_points(struct qv__arena *a, const struct qv_point *in, size_t n,
                            struct qv__point **out, struct qv_err *err) QV_MUST_USE;
qv_status qv__handle_ops(struct qv__arena *a, const struct qv_payload_op *in, size_t n,
                         struct qv__payload_op **out, struct qv_err *err) QV_MUST_USE;
/* A request of the REST dialect whose answer does not matter; an error is the dialect's. */
qv_status qv__handle_request(qv_db *db, enum qv__method method, struct qv__str path,
                             struct qv__bytes body, struct qv_err *err) QV_MUST_USE;
/* NULL text = no filter. */
qv_status qv__handle_filter(struct qv__arena *a, const char *json, const struct qv__filter **out,
                            struct qv_err *err) QV_MUST_USE;

#endif

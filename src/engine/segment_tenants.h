/* segment_tenants.h: rows of one tenant side by side in a sealed file, and where each tenant's are.
 *
 * What it is: where the schema has an index with `is_tenant` (the first such counts), the rows of a
 * new file are in the order of the one string that they hold at its path; rows with several strings
 * there follow, then rows with none. So what a query of one tenant reads lies in a few runs of
 * pages, and the section TENANTS finds them without looking anywhere else. What it is not: a
 * condition of any answer. Rows in any order are right; a file without the section is searched
 * as if nobody had asked for one. The bytes: docs/internals/INDEXES.md.
 *
 * Threads: an open one is immutable. */
#ifndef QV_ENGINE_SEGMENT_TENANTS_H
#define QV_ENGINE_SEGMENT_TENANTS_H

#include "base/topk.h"
#include "engine/segment.h"

/* Rows [0, n_single) hold one string, those up to n_loose several. All borrowed from the file. */
struct qv__tenants {
    bool is_there;
    struct qv__str key;
    struct qv__path path;
    uint32_t n_runs, n_single, n_loose;
    const uint64_t *hashes; /* [n_runs], of the strings; never falling */
    const uint32_t *firsts; /* [n_runs + 1]: the first row of each run, and n_single */
};

struct qv__row_span {
    uint32_t first, n;
};
#define QV__TENANT_VALUES_MAX 16u

/* What a filter leaves of the rows of a segment, as far as its tenants tell. */
struct qv__tenant_rows {
    struct qv__row_span spans[QV__TENANT_VALUES_MAX + 1];
    uint32_t n_spans;
    uint32_t n_rows; /* of all spans */
    bool is_all;     /* every one of these rows matches: the filter asks nothing else */
};

/* The index whose values are the tenants; NULL = there is none. *key is that of its definition. */
const struct qv__index_spec *qv__tenants_of(const struct qv__schema *schema, struct qv__str *key);

struct qv__row_ref;
/* Put rows of the sources in the order of tenants. *moved: they were in another one. Errors:
 * QV_ENOMEM. */
qv_status qv__tenants_order(struct qv__mem *mem, const struct qv__index_spec *spec,
                            struct qv__segment *const *sources, struct qv__row_ref *rows,
                            uint32_t n_rows, bool *moved, struct qv_err *err) QV_MUST_USE;

struct qv__segment_build;
/* The section of a file with rows in that order, by the indexes of `schema`; none without tenants.
 */
qv_status qv__tenants_write(const struct qv__segment_build *b, const struct qv__schema *schema,
                            struct qv__segw *w, struct qv_err *err) QV_MUST_USE;
/* A file may have no such section. Errors, without the file's name: QV_ECORRUPT, QV_EVERSION. */
qv_status qv__tenants_open(struct qv__bytes section, uint32_t n_rows, struct qv__tenants *out,
                           struct qv_err *err) QV_MUST_USE;
/* Does a rewrite by this schema put rows in another order? */
bool qv__tenants_differ(const struct qv__segment *s, const struct qv__schema *schema,
                        struct qv__str *key);

/* False: the filter names no tenant that this segment tells of, so nothing is known. */
bool qv__segment_tenant_rows(const struct qv__segment *s, const struct qv__filter *f,
                             struct qv__tenant_rows *out);
/* Compare those of the rows that are allowed and match the filter (NULL = all match), and offer
 * them to `top` as key + row. Of `q` only schema, column, vector, allow and n_rows count; the
 * column is a dense one. */
qv_status qv__segment_search_tenant(const struct qv__segment *s, const struct qv__segment_search *q,
                                    const struct qv__filter *f, const struct qv__tenant_rows *rows,
                                    uint64_t key, struct qv__qctx *ctx, struct qv__topk *top,
                                    struct qv_err *err) QV_MUST_USE;

#endif

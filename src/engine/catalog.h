/* catalog.h: what the catalog's files share. Not visible outside engine/.
 *
 * Locks: the lists are guarded by db->catalog; only a holder of db->ddl changes them, so under ddl
 * they may be read without it. */
#ifndef QV_ENGINE_CATALOG_H
#define QV_ENGINE_CATALOG_H

#include "engine/collection.h"

#define QV__CATALOG_BYTES_MAX ((size_t)256 << 20)

/* Lookup by exact name; NULL if absent. Under catalog. */
struct qv__collection *qv__catalog_find(const struct qv__db *db, struct qv__str name);
struct qv__alias *qv__catalog_alias(const struct qv__db *db, struct qv__str alias);
/* Room for so many more of each, so that inserting cannot fail after the record is durable. Under
 * catalog. */
qv_status qv__catalog_reserve(struct qv__db *db, uint32_t collections, uint32_t aliases,
                              struct qv_err *err) QV_MUST_USE;
/* Under catalog, room reserved. The list takes over the caller's reference. */
void qv__catalog_insert(struct qv__db *db, struct qv__collection *c);
/* Take a collection and its aliases out of the lists; the caller gets the list's reference. Under
 * catalog. */
void qv__catalog_remove(struct qv__db *db, struct qv__collection *c);
/* QV_ENOTFOUND if it was dropped, whatever has its name now. Under ddl. */
qv_status qv__catalog_has(struct qv__db *db, const struct qv__collection *c,
                          struct qv_err *err) QV_MUST_USE;
/* Put `in` where `out` is, with its aliases; the caller gets the list's reference to `out`. Under
 * catalog. */
void qv__catalog_replace(struct qv__db *db, const struct qv__collection *out,
                         struct qv__collection *in);
void qv__catalog_alias_remove(struct qv__db *db, uint32_t i);
/* name and collection are consumed; room was reserved. Under catalog. */
void qv__catalog_alias_put(struct qv__db *db, char *name, char *collection);

/* QV_EREADONLY unless changes are allowed. */
qv_status qv__catalog_writable(const struct qv__db *db, struct qv_err *err) QV_MUST_USE;
/* Begin a record: {"op": op, … */
void qv__catalog_op(struct qv__jw *w, struct qv__buf *b, const char *op);
void qv__catalog_u64(struct qv__jw *w, const char *key, uint64_t v);
/* Log and install a changed schema; `changed` is consumed. Writes go by it from the record on,
 * readers once it is durable; then maintenance looks at all shards. *lsn may be NULL. Under ddl. */
qv_status qv__catalog_change_schema(struct qv__db *db, struct qv__collection *c,
                                    struct qv__schema *changed, uint64_t *lsn,
                                    struct qv_err *err) QV_MUST_USE;
/* QV_EBUSY, QV_ETOOBIG when this change may not be logged now. Under ddl, before other locks. */
qv_status qv__catalog_admit(struct qv__db *db, const struct qv__buf *json,
                            struct qv_err *err) QV_MUST_USE;
/* Append a change that was admitted: *lsn is its place, durable later. Under ddl. */
qv_status qv__catalog_append(struct qv__db *db, const struct qv__buf *json, uint64_t *lsn,
                             struct qv_err *err) QV_MUST_USE;
/* Append a change and wait until it is durable. *lsn may be NULL. Under ddl. */
qv_status qv__catalog_log(struct qv__db *db, const struct qv__buf *json, uint64_t *lsn,
                          struct qv_err *err) QV_MUST_USE;

/* Replace the whole alias list by {alias: collection} of a record or manifest. Takes catalog. */
qv_status qv__alias_install(struct qv__db *db, qv__json map, struct qv_err *err) QV_MUST_USE;

#endif

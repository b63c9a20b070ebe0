/* content.h: a database that has one of everything, and all of it read out as text.
 *
 * What it is: the content of the corruption tests and of the golden directories: collections of one
 * and of three shards, a graph, named vectors and points that lack them, every kind of id, every
 * kind of payload value, deletions before and after a flush, aliases, payload indexes; and a tail
 * of requests of every kind that stays in the log. Always the same, so that the state after each
 * request is known. The read-out holds every answer the database can give about it, as canonical
 * JSON. What it is not: random; see test_model for that.
 *
 * Threads: one; the database may be stepped (threads = -1). */
#ifndef QVT_CONTENT_H
#define QVT_CONTENT_H

#include "base/buf.h"
#include "engine/db.h"

struct content {
    struct qv__db *db;
    struct qv__mem *mem; /* for what the requests need */
    unsigned n;          /* points per collection, at least 24 */
    bool is_altered;     /* the columns of "early" are those of after the change */
    struct qv_err err;   /* of the first request that failed */
    /* Called after each request of the tail, when set; the request is durable. */
    void (*after)(void *arg);
    void *arg;
};

/* Fill a new database; what is written is flushed to segment and tombstone files. */
qv_status content_base(struct content *c) QV_MUST_USE;
/* Requests that stay in the log. */
qv_status content_tail(struct content *c) QV_MUST_USE;
/* A request more, for a database that was reopened: changes a point of every collection. */
qv_status content_more(struct content *c) QV_MUST_USE;

/* What came after the first golden directory, in collections of its own: a graph walked over codes,
 * float16 and uint8, points that expire; flushed, and some that stay in the log. */
qv_status content_newer(struct content *c) QV_MUST_USE;
qv_status content_newer_more(struct content *c) QV_MUST_USE;

/* What came after the second one: a column that was dropped and added again with another size, in
 * segments and in the log, and a graph walked over codes of one bit. */
qv_status content_altered(struct content *c) QV_MUST_USE;
qv_status content_altered_more(struct content *c) QV_MUST_USE;

/* What came after the third one: int8 and bits, graphs walked over codes of half floats and of
 * bytes; flushed, and some that stay in the log. */
qv_status content_packed(struct content *c) QV_MUST_USE;
qv_status content_packed_more(struct content *c) QV_MUST_USE;

/* What came after the fourth one: a graph of long vectors with codes of 4 bits beside those of 8;
 * flushed, and some points that stay in the log. */
qv_status content_narrow(struct content *c) QV_MUST_USE;
qv_status content_narrow_more(struct content *c) QV_MUST_USE;

/* What came after the fifth one: sparse vectors, with and without inverse document frequencies, and
 * multivectors; flushed, and some that stay in the log. */
qv_status content_varied(struct content *c) QV_MUST_USE;
qv_status content_varied_more(struct content *c) QV_MUST_USE;

/* What came after the sixth one: codes of a byte an element with their factors in them; flushed,
 * and some points that stay in the log. */
qv_status content_tucked(struct content *c) QV_MUST_USE;
qv_status content_tucked_more(struct content *c) QV_MUST_USE;

/* Everything about one collection as one JSON document: schema, points with ids, versions, vectors
 * and payloads, counts, searches. */
qv_status content_collection(struct content *c, struct qv__str name,
                             struct qv__buf *out) QV_MUST_USE;
/* Names of collections and aliases. */
qv_status content_names(struct content *c, struct qv__buf *out) QV_MUST_USE;
/* Both for all collections, in one document that later builds give too: of the schemas only what
 * every build knows. */
qv_status content_read_out(struct content *c, struct qv__buf *out) QV_MUST_USE;

#endif

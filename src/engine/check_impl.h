/* check_impl.h: what the check*.c files share. Not visible outside engine/.
 *
 * What it is: the state of one offline check, and how a finding is told. What it is not: a
 * database; nothing is opened for writing, and what is damaged is passed over, not mended. */
#ifndef QV_ENGINE_CHECK_IMPL_H
#define QV_ENGINE_CHECK_IMPL_H

#include "engine/collection.h"

/* A collection as replay would know it at the record under way. */
struct qv__check_known {
    struct qv__check_known *next;
    uint64_t id;
    struct qv__schema *schema;
    char name[QV__COLLECTION_NAME_MAX + 1];
};

struct qv__check {
    struct qv__io *io;
    struct qv__mem *mem;
    struct qv__blobs *blobs;
    struct qv__manifest manifest;
    bool has_manifest, is_fresh; /* neither: it is damaged, and what is live is not known */
    char manifest_file[64];
    qv__json catalog; /* of the manifest; NULL = none, or damaged */
    uint64_t n_log_files, log_first;
    uint64_t log_end;                   /* the last record that is there, or was before the log */
    bool log_is_damaged;                /* one of its files was reported */
    bool log_is_broken;                 /* what comes now follows on records that were not read */
    uint64_t flushed_lsn;               /* a replay begins behind it */
    struct qv__check_known *known;      /* at first those of the manifest */
    const struct qv__check_known *last; /* of them: asked for last; NULL = none */
    struct qv__arena arena;
    bool damaged;
    void (*cb)(void *arg, const struct qv__check_finding *f);
    void *arg;
};

#define QV__REMEDY_SEGMENT                                                                         \
    "put the file of the same name from a backup in its place, or delete the collection"
#define QV__REMEDY_WHOLE "restore the whole directory from a backup"

/* The common parts of a finding are in `f`; the message is formatted here. */
void qv__check_report_full(struct qv__check *c, struct qv__check_finding f, const char *fmt, ...)
    QV_PRINTF(3, 4);
/* One of the whole database. */
void qv__check_report(struct qv__check *c, bool damaged, const char *file, const char *fmt, ...)
    QV_PRINTF(4, 5);
/* The collection of this id in a catalog; NULL if it is not there. */
qv__json qv__check_collection(qv__json doc, uint64_t id);

/* --- check_log.c --- */

/* Make a collection of a catalog, or of its own record, known. What is wrong with it otherwise. */
qv_status qv__check_learn(struct qv__check *c, qv__json o, struct qv_err *err) QV_MUST_USE;
void qv__check_forget_all(struct qv__check *c);
/* Are these {alias: collection}? */
qv_status qv__check_aliases(qv__json map, struct qv_err *err) QV_MUST_USE;

/* --- check_log.c, check_snapshots.c: findings are no errors --- */

qv_status qv__check_log(struct qv__check *c, struct qv_err *err) QV_MUST_USE;
qv_status qv__check_snapshots(struct qv__check *c, struct qv_err *err) QV_MUST_USE;

#endif

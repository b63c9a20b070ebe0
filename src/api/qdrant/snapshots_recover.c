/* snapshots_recover.c: recovering a collection from a snapshot: one of ours, or an uploaded one.
 *
 * A location is the name of a snapshot, or a file: URL that ends in one. It is looked up in the
 * list of snapshots and never opened as a path; nothing is fetched from anywhere. priority is what
 * tells replicas apart and has no effect here. */
#include "api/qdrant/snapshots.h"

#include <stdio.h>

#include "api/text.h"

/* "before LOCATION after", cut where a message would be too long. */
static qv_status bad_location(struct qv__call *c, const char *before, struct qv__str s,
                              const char *after)
{
    return qv__qd_fail(c, QV__QD_BAD_REQUEST, "%s%.*s%s", before, (int)QV_MIN(s.n, (size_t)300),
                       s.p, after);
}

static bool has_prefix(struct qv__str s, const char *z)
{
    size_t n = strlen(z);
    return s.n >= n && strncasecmp(s.p, z, n) == 0;
}

/* The name a file: URL ends in. */
static qv_status name_of_url(struct qv__call *c, struct qv__str url, struct qv__str *out)
{
    struct qv__str rest = {url.p + 7, url.n - 7}, path;
    if (has_prefix(rest, "localhost/")) {
        rest = (struct qv__str){rest.p + 9, rest.n - 9};
    }
    if (rest.n == 0 || rest.p[0] != '/') {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                           "Invalid snapshot URI, file path must be absolute or on localhost");
    }
    qv_status st = qv__text_unescape(c->arena, rest, false, &path, &c->err);
    if (st != QV_OK) {
        return st == QV_ENOMEM ? st : bad_location(c, "Invalid snapshot URI ", url, "");
    }
    size_t name = path.n;
    while (name > 0 && path.p[name - 1] != '/') {
        name--;
    }
    *out = (struct qv__str){path.p + name, path.n - name};
    bool is_inside = memmem(path.p, name, "/snapshots/", 11) != NULL;
    bool is_snapshot = out->n > 9 && memcmp(out->p + out->n - 9, ".snapshot", 9) == 0;
    if (is_inside) {
        return QV_OK;
    }
    return is_snapshot ? bad_location(c, "Snapshot file \"", path, "\" does not exist")
                       : qv__fail(&c->err, QV_EFORBIDDEN,
                                  "Snapshot file path must be inside the snapshots directory: %.*s",
                                  (int)QV_MIN(path.n, (size_t)200), path.p);
}

static qv_status find_location(struct qv__call *c, struct qv__str location, uint64_t *id)
{
    struct qv__str name = location;
    struct qv__snapshot_info info;
    if (has_prefix(location, "http://") || has_prefix(location, "https://")) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                           "Snapshots are not fetched from a URL: upload the snapshot, or name one "
                           "of this server");
    }
    if (has_prefix(location, "file://")) {
        QV_TRY(name_of_url(c, location, &name));
    } else if (memmem(location.p, location.n, "://", 3)) {
        return bad_location(c, "URL ", location, " has a scheme that is not supported");
    }
    qv_status st = qv__db_snapshot_find(c->db, name, NULL, false, &info, &c->err);
    if (st == QV_ENOTFOUND) {
        return bad_location(c, "Snapshot file \"", location, "\" does not exist");
    }
    *id = info.id;
    return st;
}

static qv_status checksum(struct qv__call *c, enum qv__qd_kind kind, struct qv__str text,
                          struct qv__qd_job *job)
{
    if (!qv__sha256_parse(text, job->sha256)) {
        return qv__qd_fail(c, kind,
                           "checksum: Validation error: invalid_sha256_hash: value \"%.*s\" "
                           "invalid, must be a SHA-256 of 64 hex digits",
                           (int)QV_MIN(text.n, (size_t)80), text.p);
    }
    job->has_sha256 = true;
    return QV_OK;
}

static bool is_priority(struct qv__str s)
{
    return qv__str_eq(s, QV__STR("no_sync")) || qv__str_eq(s, QV__STR("snapshot")) ||
           qv__str_eq(s, QV__STR("replica"));
}

static qv_status check_priority(struct qv__call *c, enum qv__qd_kind kind, struct qv__str s)
{
    return is_priority(s) ? QV_OK
                          : qv__qd_fail(c, kind,
                                        "priority: unknown variant `%.*s`, expected one of "
                                        "`no_sync`, `snapshot`, `replica`",
                                        (int)QV_MIN(s.n, (size_t)64), s.p);
}

/* On a route of a shard the collection must be there; else it may be made. */
static qv_status target(struct qv__call *c, struct qv__qd_job *job)
{
    struct qv__str name = c->params[0];
    qv_status st = qv__qd_snapshot_collection(c, true, &name);
    bool may_be_made = !strstr(c->route->pattern, "/{shard_id}/");
    if (st == QV_ENOTFOUND && may_be_made) {
        st = qv__collection_name_check(name, &c->err);
        c->kind = st == QV_OK ? QV__QD_BY_STATUS : QV__QD_PATH_INVALID;
    }
    if (st == QV_OK) {
        memcpy(job->collection, name.p, name.n);
    }
    return st;
}

qv_status qv__qd_snapshot_recover(struct qv__call *c)
{
    struct qv__qd_job job = {.kind = QV__QD_RECOVER};
    struct qv__str text, location;
    bool given;
    qv__json v = NULL;
    QV_TRY(qv__qd_need(c, c->body, "location", QV__JSON_STR, &v));
    (void)qv__json_str(v, &location);
    QV_TRY(qv__qd_str(c, c->body, "priority", &given, &text));
    if (given) {
        QV_TRY(check_priority(c, QV__QD_FORMAT, text));
    }
    QV_TRY(qv__qd_str(c, c->body, "checksum", &given, &text));
    if (given) {
        QV_TRY(checksum(c, QV__QD_INVALID, text, &job));
    }
    QV_TRY(target(c, &job));
    QV_TRY(find_location(c, location, &job.id));
    return qv__qd_job_run(c, &job);
}

/* --- uploads --- */

/* The body in a file of ours: where the carrier put it, or written there from memory. */
static qv_status take_body(struct qv__call *c, struct qv__qd_job *job, uint64_t *bytes)
{
    struct qv__request *r = c->request;
    if (!r->body_file) {
        return qv__upload_store(c->db, r->body, r->n_body, job->file, bytes, &c->err);
    }
    if (strlen(r->body_file) >= sizeof job->file) {
        return qv__fail(&c->err, QV_EINTERNAL, "the name of an upload is too long");
    }
    memcpy(job->file, r->body_file, strlen(r->body_file) + 1);
    *bytes = r->body_file_bytes;
    r->body_file = NULL; /* ours now */
    return QV_OK;
}

qv_status qv__qd_snapshot_upload(struct qv__call *c)
{
    struct qv__qd_job job = {.kind = QV__QD_RECOVER};
    struct qv__str text;
    bool given;
    uint64_t bytes = 0;
    QV_TRY(qv__qd_param(c, "priority", &given, &text));
    if (given) {
        QV_TRY(check_priority(c, QV__QD_QUERY_FORMAT, text));
    }
    QV_TRY(qv__qd_param(c, "checksum", &given, &text));
    if (given) {
        QV_TRY(checksum(c, QV__QD_QUERY_INVALID, text, &job));
    }
    QV_TRY(target(c, &job));
    QV_TRY(take_body(c, &job, &bytes));
    qv_status st = qv__qd_multipart_field(c, job.file, bytes, "snapshot", &job.offset, &job.bytes);
    if (st != QV_OK) {
        qv__upload_remove(c->db, job.file);
        return st;
    }
    return qv__qd_job_run(c, &job);
}

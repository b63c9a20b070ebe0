/* spool.c: request bodies that go to a file instead of memory.
 *
 * Only bodies of routes that ask for it, and that may be larger than memory. A piece is written as
 * it arrives; it goes to the page cache, so the HTTP thread waits only when the disk is far behind.
 * What acknowledged writes need of the disk stays theirs: the room is looked at before the first
 * byte, for what was announced here and is still to come of others, and every LOOK_BYTES, as writes
 * go on meanwhile and a chunked body announces nothing.
 * The file is named by us, in the directory that an open of the database empties, and removed with
 * the request unless the handler took it. */
#include <stdio.h>

#include "server/server_impl.h"

#define SPOOL_DIR  "tmp"
#define LOOK_BYTES (UINT64_C(1) << 20)

static enum qv__refusal refusal_of(struct qv__conn *c, qv_status st, const struct qv_err *err)
{
    qv__log_line(c->server->o.logger, QV__LEVEL_ERROR, "server", "a body cannot be stored: %s",
                 err->message);
    return st == QV_ENOSPC   ? QV__REFUSE_SPACE
           : st == QV_ENOMEM ? QV__REFUSE_MEMORY
                             : QV__REFUSE_STORE;
}

/* Of what was announced, so much has come, or will not. */
static void arrived(struct qv__conn *c, uint64_t bytes)
{
    struct qv__spool *p = &c->spool;
    bytes = QV_MIN(bytes, p->expected);
    p->expected -= bytes;
    atomic_fetch_sub(&c->server->spool_expected, bytes);
}

enum qv__refusal qv__spool_begin(struct qv__conn *c)
{
    struct qv__server *s = c->server;
    struct qv__spool *p = &c->spool;
    struct qv_err err = {.code = QV_OK};
    p->expected = c->gate.chunked ? 0 : c->gate.content_length;
    uint64_t all = atomic_fetch_add(&s->spool_expected, p->expected) + p->expected;
    qv_status st = s->o.room_for(s->o.api, all, &err);
    if (st == QV_OK) {
        p->look_at = LOOK_BYTES;
        (void)snprintf(p->name, sizeof p->name, SPOOL_DIR "/body-%016" PRIx64,
                       atomic_fetch_add(&s->spool_count, 1));
        st = qv__io_open(s->o.io, p->name, QV__OPEN_CREATE | QV__OPEN_TRUNC, &p->file, &err);
    }
    if (st != QV_OK) {
        p->name[0] = '\0';
        arrived(c, p->expected);
        return refusal_of(c, st, &err);
    }
    return QV__ACCEPTED;
}

enum qv__refusal qv__spool_write(struct qv__conn *c, const void *data, size_t n)
{
    struct qv__spool *p = &c->spool;
    struct qv_err err = {.code = QV_OK};
    if (n > c->server->o.config.upload_bytes_max - p->bytes) {
        return QV__REFUSE_BODY_LARGE;
    }
    qv_status st = QV_OK;
    if (p->bytes + n >= p->look_at) {
        p->look_at = p->bytes + n + LOOK_BYTES;
        uint64_t all = atomic_load(&c->server->spool_expected);
        st = c->server->o.room_for(c->server->o.api, all + (p->expected ? 0 : n), &err);
    }
    if (st == QV_OK) {
        st = qv__io_pwrite(p->file, data, n, p->bytes, &err);
    }
    if (st != QV_OK) {
        return refusal_of(c, st, &err);
    }
    p->bytes += n;
    arrived(c, n);
    return QV__ACCEPTED;
}

enum qv__refusal qv__spool_end(struct qv__conn *c)
{
    struct qv__spool *p = &c->spool;
    struct qv_err err = {.code = QV_OK};
    qv_status st = qv__io_file_close(p->file, &err);
    p->file = NULL;
    if (st != QV_OK) {
        return refusal_of(c, st, &err);
    }
    c->request.body_file = p->name;
    c->request.body_file_bytes = p->bytes;
    p->handed_over = true;
    return QV__ACCEPTED;
}

void qv__spool_discard(struct qv__conn *c)
{
    struct qv__spool *p = &c->spool;
    struct qv_err err;
    if (p->file) {
        (void)qv__io_file_close(p->file, NULL);
    }
    arrived(c, p->expected);
    bool is_ours = p->name[0] && (!p->handed_over || c->request.body_file);
    if (is_ours && qv__io_unlink(c->server->o.io, p->name, &err) != QV_OK) {
        qv__log_line(c->server->o.logger, QV__LEVEL_WARN, "server",
                     "%s stays until the next open: %s", p->name, err.message);
    }
    memset(p, 0, sizeof *p);
    c->request.body_file = NULL;
    c->request.body_file_bytes = 0;
}

/* target.c: a directory or a server behind one kind of request, see target.h.
 *
 * A request to the directory is carried as the server would carry it (api/request.h): it runs on a
 * worker of the database's pool, and the caller waits for its `done`. */
#include "cli/target.h"

#include <errno.h>
#include <sys/stat.h>

#include "cli/input.h"

#define DATA_DEFAULT "quiver-data" /* the server's default too */

/* --- opening -------------------------------------------------------------------------------------
 */

static void log_sink(void *ctx, enum qv__level level, const char *component, const char *message)
{
    (void)level;
    qv__cli_warn(ctx, "%s: %s", component, message);
}

int qv__target_api_key(struct qv__cli *cli, const char *file, char key[256])
{
    const char *from = getenv("QUIVER_API_KEY");
    key[0] = '\0';
    if (!file) {
        size_t n = from ? strlen(from) : 0;
        if (n > 255) {
            return qv__cli_failf(cli, NULL, "QUIVER_API_KEY is longer than 255 bytes");
        }
        memcpy(key, from ? from : "", n + 1);
        return QV__EXIT_OK;
    }
    struct qv__input in;
    struct qv_err err = {.code = QV_OK};
    char text[512];
    size_t n = 0;
    qv_status st = qv__input_open(&in, cli->mem, file, &err);
    if (st == QV_OK) {
        n = (size_t)QV_MIN(in.size, (uint64_t)sizeof text);
        st = qv__input_read(&in, text, n, 0, &err);
    }
    qv__input_close(&in);
    if (st != QV_OK) {
        return qv__cli_fail(cli, &err, NULL);
    }
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' ')) {
        n--;
    }
    if (n == 0 || n > 255) {
        return qv__cli_failf(cli, NULL, "--api-key-file %s: it must hold a key of 1 to 255 bytes",
                             file);
    }
    memcpy(key, text, n);
    key[n] = '\0';
    explicit_bzero(text, sizeof text);
    return QV__EXIT_OK;
}

static int open_server(struct qv__target *t, const struct qv__target_args *args,
                       const struct qv__target_needs *needs)
{
    char key[256];
    struct qv_err err = {.code = QV_OK};
    struct qv__url url;
    int rc = qv__target_api_key(t->cli, args->api_key_file, key);
    if (rc != QV__EXIT_OK) {
        return rc;
    }
    if (qv__url_parse(t->url, &url, &err) != QV_OK) {
        return qv__cli_usage(t->cli, "--url: %s", err.message);
    }
    if (key[0] && !qv__url_is_loopback(&url)) {
        qv__cli_warn(t->cli, "the API key goes to %s unencrypted", url.host);
    }
    struct qv__http_options o = {.api_key = key, .timeout_ms = needs->timeout_ms};
    qv_status st = qv__http_open(t->cli->mem, t->url, &o, &t->http, &err);
    explicit_bzero(key, sizeof key);
    return st == QV_OK ? QV__EXIT_OK : qv__cli_fail(t->cli, &err, NULL);
}

/* A mistyped directory must not become an empty database. */
static bool holds_database(const char *dir)
{
    char lock[4200];
    struct stat s;
    int n = snprintf(lock, sizeof lock, "%s/LOCK", dir);
    return n > 0 && (size_t)n < sizeof lock && stat(lock, &s) == 0;
}

static int open_directory(struct qv__target *t, const struct qv__target_needs *needs)
{
    struct qv_err err = {.code = QV_OK};
    if (!needs->create && !holds_database(t->data)) {
        return qv__cli_failf(t->cli,
                             "name another directory with --data, or a running server with --url",
                             "there is no database in %s", t->data);
    }
    struct qv__db_options o = {.path = t->data, .logger = &t->logger, .read_only = !needs->write};
    if (qv__db_open(&o, &t->db, &err) != QV_OK) {
        qv_status code = err.code;
        (void)qv__wrap(&err, code, "cannot open %s", t->data);
        return qv__cli_fail(t->cli, &err, qv__cli_hint(&err));
    }
    if (qv__api_create(t->db, &(struct qv__api_options){.body_bytes_max = 0}, &t->api, &err) !=
        QV_OK) {
        return qv__cli_fail(t->cli, &err, qv__cli_hint(&err));
    }
    return QV__EXIT_OK;
}

int qv__target_open(struct qv__target *t, struct qv__cli *cli, const struct qv__target_args *args,
                    const struct qv__target_needs *needs)
{
    *t = (struct qv__target){.cli = cli, .data = args->data, .url = args->url};
    t->logger = (struct qv__logger){.sink = log_sink, .ctx = cli, .min_level = QV__LEVEL_WARN};
    qv__buf_init(&t->answer.body, cli->mem);
    if (args->data && args->url) {
        return qv__cli_usage(cli, "--data and --url exclude each other");
    }
    if (args->api_key_file && !args->url) {
        return qv__cli_usage(cli, "--api-key-file is of use with --url only");
    }
    if (t->url) {
        return open_server(t, args, needs);
    }
    if (!t->data) {
        const char *from = getenv("QUIVER_DATA");
        t->data = from && *from ? from : DATA_DEFAULT;
    }
    return open_directory(t, needs);
}

qv_status qv__target_close(struct qv__target *t, struct qv_err *err)
{
    if (!t->cli) {
        return QV_OK;
    }
    qv__http_close(t->http);
    qv__api_free(t->api);
    qv_status st = qv__db_close(t->db, err);
    qv__buf_free(&t->answer.body);
    t->http = NULL;
    t->api = NULL;
    t->db = NULL;
    t->cli = NULL;
    return st;
}

const char *qv__target_name(const struct qv__target *t)
{
    return t->url ? t->url : t->data;
}

const char *qv__target_hint(const struct qv__target *t, const struct qv_err *err)
{
    if (t->url && err->code == QV_EBUSY && err->os_errno == ECONNREFUSED) {
        return "no server listens there; start one with: quiver serve --data DIR";
    }
    return qv__cli_hint(err);
}

/* --- requests ------------------------------------------------------------------------------------
 */

struct waiting {
    struct qv__mutex lock;
    struct qv__condvar cond;
    bool done; /* guarded by: lock */
};

static void request_done(struct qv__request *r)
{
    struct waiting *w = r->carrier;
    qv__mutex_lock(&w->lock);
    w->done = true;
    qv__cond_signal(&w->cond);
    qv__mutex_unlock(&w->lock);
}

static void run_request(struct qv__target *t, struct qv__request *r)
{
    struct waiting w = {.done = false};
    qv__mutex_init(&w.lock, QV__RANK_LEAF);
    qv__cond_init(&w.cond);
    r->carrier = &w;
    r->done = request_done;
    (void)t;
    qv__api_submit(r);
    qv__mutex_lock(&w.lock);
    while (!w.done) {
        qv__cond_wait(&w.cond, &w.lock);
    }
    qv__mutex_unlock(&w.lock);
    qv__cond_destroy(&w.cond);
    qv__mutex_destroy(&w.lock);
}

static qv_status do_local(struct qv__target *t, enum qv__method method, const char *path,
                          const struct qv__buf *body, struct qv_err *err)
{
    const char *question = strchr(path, '?');
    struct qv__bytes bytes = body ? qv__buf_bytes(body) : (struct qv__bytes){NULL, 0};
    struct qv__request r = {
        .api = t->api, .method = method, .body = &bytes, .n_body = body != NULL};
    r.path = (struct qv__str){path, question ? (size_t)(question - path) : strlen(path)};
    r.query = question ? qv__str_z(question + 1) : (struct qv__str){"", 0};
    r.started_ns = qv__mono_ns(qv__clock_system());
    atomic_init(&r.cancelled, false);
    qv__arena_init(&r.arena, t->cli->mem);
    qv__buf_init(&r.response.body, t->cli->mem);
    run_request(t, &r);
    t->answer.status = r.response.http_status;
    qv__buf_reset(&t->answer.body);
    qv__buf_put(&t->answer.body, r.response.body.n ? (const void *)r.response.body.p : "",
                r.response.body.n);
    t->answer.body.failed |= r.response.body.failed;
    qv__buf_free(&r.response.body);
    qv__arena_free(&r.arena);
    return qv__buf_status(&t->answer.body, err);
}

static qv_status send_request(struct qv__target *t, enum qv__method method, const char *path,
                              const struct qv__buf *body, struct qv_err *err)
{
    static const char *const names[] = {
        [QV__GET] = "GET",        [QV__POST] = "POST",     [QV__PUT] = "PUT",
        [QV__PATCH] = "PATCH",    [QV__DELETE] = "DELETE", [QV__HEAD] = "HEAD",
        [QV__OPTIONS] = "OPTIONS"};
    if (t->http) {
        return qv__http_do(t->http, names[method], path, body ? body->p : NULL, body ? body->n : 0,
                           &t->answer, err);
    }
    return do_local(t, method, path, body, err);
}

static qv_status status_of_http(int http)
{
    switch (http) {
    case 413:
        return QV_ETOOBIG;
    case 503:
        return QV_EBUSY;
    case 500:
        return QV_EINTERNAL;
    default:
        break;
    }
#define QV_OF_HTTP(name, value, text, code, grpc, retryable)                                       \
    if ((code) == http) {                                                                          \
        return QV_##name;                                                                          \
    }
    QV_STATUS_TABLE(QV_OF_HTTP)
#undef QV_OF_HTTP
    return http >= 400 && http < 500 ? QV_EINVAL : QV_EINTERNAL;
}

/* The message of an error answer: {"status":{"error":"…"}}, or plain text. */
static qv_status refused(struct qv__target *t, struct qv__arena *arena, struct qv_err *err)
{
    const struct qv__buf *b = &t->answer.body;
    qv_status st = status_of_http(t->answer.status);
    qv__json doc = NULL;
    struct qv__str text = {(const char *)b->p, QV_MIN(b->n, (size_t)300)};
    if (b->n && qv__json_parse(arena, (const char *)b->p, b->n, NULL, &doc, NULL) == QV_OK) {
        (void)qv__json_str(qv__json_get(qv__json_get(doc, "status"), "error"), &text);
    }
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) {
        text.n--;
    }
    if (text.n == 0) {
        text = qv__str_z(qv_status_text(st));
    }
    if (!t->url) {
        return qv__fail(err, st, "%.*s", (int)QV_MIN(text.n, (size_t)450), text.p);
    }
    return qv__fail(err, st, "%.*s (status %d)", (int)QV_MIN(text.n, (size_t)450), text.p,
                    t->answer.status);
}

qv_status qv__target_check(struct qv__target *t, struct qv__arena *arena, struct qv_err *err)
{
    return t->answer.status < 200 || t->answer.status > 299 ? refused(t, arena, err) : QV_OK;
}

qv_status qv__target_call(struct qv__target *t, enum qv__method method, const char *path,
                          const struct qv__buf *body, struct qv__arena *arena, qv__json *result,
                          struct qv_err *err)
{
    if (!path) {
        return qv__fail(err, QV_ENOMEM, "no memory for a request");
    }
    if (body) {
        QV_TRY(qv__buf_status(body, err));
    }
    QV_TRY(send_request(t, method, path, body, err));
    QV_TRY(qv__target_check(t, arena, err));
    qv__json doc = NULL;
    struct qv_err detail = {.code = QV_OK};
    const struct qv__buf *b = &t->answer.body;
    qv_status st = qv__json_parse(arena, b->n ? (const char *)b->p : "", b->n, NULL, &doc, &detail);
    if (st == QV_ENOMEM) {
        return qv__fail(err, st, "no memory for the answer");
    }
    qv__json found = st == QV_OK ? qv__json_get(doc, "result") : NULL;
    if (!found) {
        return qv__fail(err, QV_EIO, "%s did not answer as a Quiver server does%s%s",
                        qv__target_name(t), st == QV_OK ? "" : ": ", detail.message);
    }
    if (result) {
        *result = found;
    }
    t->told = qv__json_get(doc, "explain");
    t->told = t->told ? t->told : qv__json_get(doc, "profile");
    return QV_OK;
}

qv_status qv__target_get(struct qv__target *t, const char *path, struct qv_err *err)
{
    QV_TRY(send_request(t, QV__GET, path, NULL, err));
    if (t->answer.status != 200) {
        return qv__fail(err, status_of_http(t->answer.status), "%s: status %d", path,
                        t->answer.status);
    }
    return QV_OK;
}

const char *qv__target_path(struct qv__arena *arena, const char *collection, const char *rest)
{
    struct qv__buf b;
    qv__buf_init(&b, arena->mem);
    qv__buf_putz(&b, "/collections/");
    qv__url_put_segment(&b, qv__str_z(collection));
    qv__buf_putz(&b, rest);
    char *out = b.failed ? NULL : qv__arena_strndup(arena, (const char *)b.p, b.n);
    qv__buf_free(&b);
    return out;
}

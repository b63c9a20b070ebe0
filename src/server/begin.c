/* begin.c: everything that is decided when the head of a request is complete.
 *
 * In this order, each before the next has any effect: the layout and the checks of gate.h, whose
 * page a browser asks for, credentials, whether they allow an upload, the number of requests in
 * flight, a server that is stopping. Only then is anything of the request kept: the headers (names
 * lower-cased in the arena, values where the library has them, which is valid until the request is
 * complete), trace id and idempotency key. The two headers that hold credentials are not passed on.
 */
#include "server/auth.h"
#include "server/server_impl.h"

#define TRACE_BYTES_MAX       128u
#define IDEMPOTENCY_BYTES_MAX 256u
#define TRACEPARENT_BYTES     55u /* 00-(32)-(16)-(2) */

/* Headers while they are told. One more than allowed is kept, so that the check sees the excess. */
struct gathering {
    struct qv__header list[QV__HEADERS_MAX + 1];
    size_t n;
    struct qv__head_layout layout;
    bool check_layout, plain;
};

static struct qv__str without_blanks(const char *p, size_t n)
{
    while (n && (p[0] == ' ' || p[0] == '\t')) {
        p++;
        n--;
    }
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t')) {
        n--;
    }
    return (struct qv__str){p, n};
}

static enum MHD_Result gather(void *cls, enum MHD_ValueKind kind, const char *name,
                              size_t name_bytes, const char *value, size_t value_bytes)
{
    struct gathering *g = cls;
    (void)kind;
    if (g->check_layout && g->plain) {
        g->plain = qv__layout_header(&g->layout, name, name_bytes, value, value_bytes);
    }
    if (g->n == QV_ARRAY_LEN(g->list)) {
        return MHD_NO;
    }
    g->list[g->n++] = (struct qv__header){{name, name_bytes}, without_blanks(value, value_bytes)};
    return MHD_YES;
}

static bool gather_all(struct qv__conn *c, const char *method, const char *version,
                       struct gathering *g)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    g->n = 0;
    g->check_layout = c->server->check_layout;
    g->plain = true;
    g->layout = (struct qv__head_layout){
        .method = method,
        .method_bytes = strlen(method),
        .target = c->raw_target,
        .target_bytes = c->target_bytes,
        .version = version,
        .version_bytes = strlen(version),
        .head_bytes = info ? info->header_size : 0,
    };
    if (g->check_layout) {
        g->plain = qv__layout_begin(&g->layout);
    }
    MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, gather, g);
    /* The end is not where it should be when there are more headers than were looked at. */
    return !g->check_layout || g->n > QV__HEADERS_MAX || (g->plain && qv__layout_end(&g->layout));
}

static bool is_secret(struct qv__str name)
{
    return qv__str_is_nocase(name, "authorization") || qv__str_is_nocase(name, "api-key");
}

static bool keep_headers(struct qv__conn *c, const struct gathering *g)
{
    struct qv__request *r = &c->request;
    struct qv__header *kept = qv__arena_calloc(&r->arena, QV_MAX(g->n, 1u), sizeof *kept);
    if (!kept) {
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++) {
        struct qv__str name = g->list[i].name;
        if (is_secret(name)) {
            continue;
        }
        char *lower = qv__arena_strndup(&r->arena, name.p, name.n);
        if (!lower) {
            return false;
        }
        for (size_t k = 0; k < name.n; k++) {
            lower[k] = lower[k] >= 'A' && lower[k] <= 'Z' ? (char)(lower[k] - 'A' + 'a') : lower[k];
        }
        kept[n++] = (struct qv__header){{lower, name.n}, g->list[i].value};
    }
    r->headers = kept;
    r->n_headers = n;
    return true;
}

/* What may stand in a log line and a response header as it is. */
static bool is_plain_id(struct qv__str s, size_t bytes_max)
{
    if (s.n == 0 || s.n > bytes_max) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        bool good = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                    (ch >= '0' && ch <= '9') || (ch && strchr("-_.:/+=@", ch) != NULL);
        if (!good) {
            return false;
        }
    }
    return true;
}

/* The trace id of a W3C traceparent, or empty. */
static struct qv__str traceparent_id(struct qv__str v)
{
    if (v.n < TRACEPARENT_BYTES || v.p[2] != '-' || v.p[35] != '-') {
        return (struct qv__str){v.p, 0};
    }
    for (size_t i = 3; i < 35; i++) {
        bool hex = (v.p[i] >= '0' && v.p[i] <= '9') || (v.p[i] >= 'a' && v.p[i] <= 'f');
        if (!hex) {
            return (struct qv__str){v.p, 0};
        }
    }
    return (struct qv__str){v.p + 3, 32};
}

/* 16 hex digits, different for every request of a server (the mix is a bijection: splitmix64). */
static struct qv__str new_trace_id(struct qv__conn *c)
{
    uint64_t x = c->server->o.seed +
                 atomic_fetch_add_explicit(&c->server->trace_count, 1, memory_order_relaxed) *
                     UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    char *text = qv__arena_alloc(&c->request.arena, 16);
    for (size_t i = 0; text && i < 16; i++) {
        text[i] = "0123456789abcdef"[(x >> (60 - 4 * i)) & 15];
    }
    return (struct qv__str){text, text ? 16 : 0};
}

static void find_ids(struct qv__conn *c, const struct gathering *g)
{
    struct qv__request *r = &c->request;
    const struct qv__header *id = qv__head_find(g->list, g->n, "x-request-id", NULL);
    const struct qv__header *parent = qv__head_find(g->list, g->n, "traceparent", NULL);
    const struct qv__header *key = qv__head_find(g->list, g->n, "idempotency-key", NULL);
    if (id && is_plain_id(id->value, TRACE_BYTES_MAX)) {
        r->trace_id = id->value;
        c->echo_trace = true;
    } else if (parent) {
        r->trace_id = traceparent_id(parent->value);
    }
    if (r->trace_id.n == 0) {
        r->trace_id = new_trace_id(c);
    }
    if (key && is_plain_id(key->value, IDEMPOTENCY_BYTES_MAX)) {
        r->idempotency_key = key->value;
    }
}

/* What respond.c needs for browsers. */
static void find_origin(struct qv__conn *c, const struct gathering *g)
{
    const struct qv__header *origin = qv__head_find(g->list, g->n, "origin", NULL);
    const struct qv__header *headers =
        qv__head_find(g->list, g->n, "access-control-request-headers", NULL);
    c->origin = origin ? origin->value : c->origin;
    c->preflight_headers = headers ? headers->value : c->preflight_headers;
}

/* Without a key, what keeps a page of any web site from writing to a server on the reader's own
 * machine? Not the same-origin policy, which hides answers but sends simple requests. Browsers say
 * whose page it was. */
static bool is_cross_site(const struct qv__conn *c, const struct gathering *g)
{
    const struct qv__header *site = qv__head_find(g->list, g->n, "sec-fetch-site", NULL);
    bool any;
    return site && qv__str_is_nocase(site->value, "cross-site") &&
           !qv__origin_allowed(c->server->o.config.cors, c->origin, &any);
}

static enum qv__refusal admit(struct qv__conn *c)
{
    struct qv__server *s = c->server;
    c->counted = true;
    if (atomic_fetch_add(&s->in_flight, 1) >= s->o.config.max_requests) {
        return QV__REFUSE_BUSY;
    }
    return atomic_load(&s->draining) ? QV__REFUSE_STOPPING : QV__ACCEPTED;
}

enum qv__refusal qv__begin(struct qv__conn *c, const char *method, const char *version)
{
    struct qv__server *s = c->server;
    struct qv__request *r = &c->request;
    struct gathering g;
    r->started_ns = qv__mono_ns(s->o.clock);
    c->method = method;
    c->gate.has_body = true;
    qv__count(&s->requests, 1);
    bool plain = gather_all(c, method, version, &g);
    find_ids(c, &g);
    if (!plain) {
        return QV__REFUSE_FRAMING;
    }
    if (!c->target.p) {
        return c->target_bytes > QV__TARGET_BYTES_MAX ? QV__REFUSE_TARGET_LONG : QV__REFUSE_MEMORY;
    }
    struct qv__head head = {qv__str_z(method), c->target, qv__str_z(version), g.list, g.n};
    bool may_spool = s->o.io && s->o.takes_file;
    uint64_t body_max = s->o.config.body_bytes_max;
    uint64_t most = may_spool ? QV_MAX(body_max, s->o.config.upload_bytes_max) : body_max;
    enum qv__refusal no = qv__gate_check(&head, most, &c->gate);
    r->method = c->gate.method;
    r->path = c->gate.path;
    r->query = c->gate.query;
    if (no != QV__ACCEPTED) {
        return no;
    }
    c->to_file =
        may_spool && c->gate.has_body && s->o.takes_file(s->o.api, r->method, r->path, &r->arena);
    if (c->gate.content_length > (c->to_file ? s->o.config.upload_bytes_max : body_max)) {
        return QV__REFUSE_BODY_LARGE;
    }
    find_origin(c, &g);
    if (c->gate.preflight && s->o.config.cors[0]) {
        return QV__REFUSE_PREFLIGHT; /* browsers send it without credentials */
    }
    bool is_foreign = is_cross_site(c, &g);
    if (is_foreign && r->method != QV__GET && r->method != QV__OPTIONS) {
        return QV__REFUSE_CROSS_SITE;
    }
    no = qv__auth_check(&s->o.config, &head, &c->gate, &r->principal);
    if (no != QV__ACCEPTED) {
        return no;
    }
    r->principal.read_only |= is_foreign; /* a GET may write too: a snapshot that is made for it */
    /* The dialect would refuse it too, but only when all of the body is on the disk. */
    if (c->to_file && r->principal.read_only) {
        return QV__REFUSE_READ_ONLY;
    }
    if (r->method == QV__OPTIONS) {
        return QV__REFUSE_OPTIONS;
    }
    no = admit(c);
    if (no != QV__ACCEPTED) {
        return no;
    }
    if (!keep_headers(c, &g)) {
        return QV__REFUSE_MEMORY;
    }
    return c->to_file ? qv__spool_begin(c) : QV__ACCEPTED;
}

/* params.c: the query string and the collection's name in the path.
 *
 * Only parameters that the route knows are looked at, as in the peer; of those a value that cannot
 * be understood is refused, and so is one given twice. ordering and consistency are checked and
 * then have no effect: with one copy of the data every write and every read is the strongest there
 * is. */
#include "api/qdrant/qdrant.h"
#include "api/text.h"

static int shown(struct qv__str s)
{
    return (int)QV_MIN(s.n, (size_t)64);
}

/* Next "key=value" of a query string; false at the end. */
static bool next_pair(struct qv__str *rest, struct qv__str *key, struct qv__str *value)
{
    while (rest->n) {
        const char *amp = memchr(rest->p, '&', rest->n);
        size_t n = amp ? (size_t)(amp - rest->p) : rest->n;
        struct qv__str pair = {rest->p, n};
        rest->p += amp ? n + 1 : n;
        rest->n -= amp ? n + 1 : n;
        if (n == 0) {
            continue;
        }
        const char *eq = memchr(pair.p, '=', pair.n);
        size_t k = eq ? (size_t)(eq - pair.p) : pair.n;
        *key = (struct qv__str){pair.p, k};
        *value =
            eq ? (struct qv__str){eq + 1, pair.n - k - 1} : (struct qv__str){pair.p + pair.n, 0};
        return true;
    }
    return false;
}

qv_status qv__qd_param(struct qv__call *c, const char *name, bool *given, struct qv__str *out)
{
    struct qv__str rest = c->request->query, key, value;
    *given = false;
    while (next_pair(&rest, &key, &value)) {
        struct qv_err why = {.code = QV_OK};
        qv_status st = qv__text_unescape(c->arena, key, true, &key, &why);
        if (st == QV_OK && !qv__str_eq(key, qv__str_z(name))) {
            continue;
        }
        if (st == QV_OK && *given) {
            return qv__qd_fail(c, QV__QD_QUERY_FORMAT, "duplicate field `%s`", name);
        }
        if (st == QV_OK) {
            st = qv__text_unescape(c->arena, value, true, out, &why);
        }
        if (st == QV_ENOMEM) {
            return qv__qd_no_memory(c);
        }
        if (st != QV_OK) {
            return qv__qd_fail(c, QV__QD_QUERY_FORMAT, "%s", why.message);
        }
        *given = true;
    }
    return QV_OK;
}

qv_status qv__qd_param_bool(struct qv__call *c, const char *name, bool *out)
{
    struct qv__str v;
    bool given;
    QV_TRY(qv__qd_param(c, name, &given, &v));
    if (!given) {
        return QV_OK;
    }
    if (!qv__str_eq(v, QV__STR("true")) && !qv__str_eq(v, QV__STR("false"))) {
        return qv__qd_fail(c, QV__QD_QUERY_FORMAT,
                           "%s: provided string `%.*s` was not `true` or `false`", name, shown(v),
                           v.p);
    }
    *out = v.n == 4;
    return QV_OK;
}

static bool parse_u64(struct qv__str s, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9 || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)d, &v)) {
            return false;
        }
    }
    *out = v;
    return s.n > 0;
}

static qv_status param_timeout(struct qv__call *c)
{
    struct qv__str v;
    bool given;
    uint64_t seconds = 0;
    QV_TRY(qv__qd_param(c, "timeout", &given, &v));
    if (!given) {
        return QV_OK;
    }
    if (!parse_u64(v, &seconds)) {
        return qv__qd_fail(c, QV__QD_QUERY_FORMAT, "timeout: `%.*s` is no number of seconds",
                           shown(v), v.p);
    }
    if (seconds == 0) {
        return qv__qd_fail(c, QV__QD_QUERY_INVALID,
                           "timeout: value 0 invalid, must be 1 or larger");
    }
    c->query.timeout_s = seconds;
    return QV_OK;
}

uint64_t qv__qd_timeout_s(const struct qv__route *route, struct qv__str query)
{
    struct qv__str key, value;
    uint64_t seconds = 0;
    while ((route->flags & (QV__QD_UPDATE | QV__QD_READ | QV__QD_TIMEOUT)) &&
           next_pair(&query, &key, &value)) {
        if (qv__str_eq(key, QV__STR("timeout"))) {
            return parse_u64(value, &seconds) ? seconds : 0;
        }
    }
    return 0;
}

static qv_status param_word(struct qv__call *c, const char *name, const char *const *words,
                            size_t n, size_t *out)
{
    struct qv__str v;
    bool given;
    char list[96];
    size_t len = 0;
    QV_TRY(qv__qd_param(c, name, &given, &v));
    if (!given) {
        return QV_OK;
    }
    for (size_t i = 0; i < n; i++) {
        if (qv__str_eq(v, qv__str_z(words[i]))) {
            *out = i;
            return QV_OK;
        }
    }
    for (size_t i = 0; i < n; i++) { /* the words are short and few */
        size_t k = strlen(words[i]);
        QV_ASSERT(len + k + 5 < sizeof list);
        memcpy(list + len, i ? ", `" : "`", i ? 3 : 1);
        len += i ? 3 : 1;
        memcpy(list + len, words[i], k);
        len += k;
        list[len++] = '`';
    }
    return qv__qd_fail(c, QV__QD_QUERY_FORMAT, "%s: unknown variant `%.*s`, expected one of %.*s",
                       name, shown(v), v.p, (int)len, list);
}

static qv_status param_consistency(struct qv__call *c)
{
    struct qv__str v;
    bool given;
    uint64_t factor = 0;
    QV_TRY(qv__qd_param(c, "consistency", &given, &v));
    bool is_fine = !given || v.n == 0 || qv__str_eq(v, QV__STR("majority")) ||
                   qv__str_eq(v, QV__STR("quorum")) || qv__str_eq(v, QV__STR("all")) ||
                   (parse_u64(v, &factor) && factor > 0);
    if (!is_fine) {
        return qv__qd_fail(c, QV__QD_QUERY_FORMAT,
                           "failed to deserialize read consistency query parameter value '%.*s'",
                           shown(v), v.p);
    }
    return QV_OK;
}

qv_status qv__qd_params(struct qv__call *c)
{
    static const char *const orderings[] = {"weak", "medium", "strong"};
    static const char *const durabilities[] = {"fsync", "relaxed"};
    uint32_t flags = c->route->flags;
    struct qv__str durability;
    size_t ordering = 0, word = 0;
    bool given = false;
    if (flags & QV__QD_UPDATE) {
        QV_TRY(qv__qd_param_bool(c, "wait", &c->query.wait));
        QV_TRY(param_word(c, "ordering", orderings, QV_ARRAY_LEN(orderings), &ordering));
        QV_TRY(param_word(c, "durability", durabilities, QV_ARRAY_LEN(durabilities), &word));
        QV_TRY(qv__qd_param(c, "durability", &given, &durability));
        if (given && durability.n) {
            c->query.durability = word ? QV__DURABILITY_RELAXED : QV__DURABILITY_FSYNC;
        }
    }
    if (flags & QV__QD_WAIT) {
        c->query.wait = true;
        QV_TRY(qv__qd_param_bool(c, "wait", &c->query.wait));
    }
    if (flags & QV__QD_READ) {
        QV_TRY(param_consistency(c));
    }
    if (flags & (QV__QD_UPDATE | QV__QD_READ | QV__QD_TIMEOUT)) {
        QV_TRY(param_timeout(c));
    }
    return QV_OK;
}

qv_status qv__qd_collection_name(struct qv__call *c, struct qv__str name)
{
    if (name.n > QV__COLLECTION_NAME_MAX) {
        return qv__qd_fail(
            c, QV__QD_PATH_INVALID,
            "collection_name: value of %zu bytes invalid, must be from 1 to %u characters", name.n,
            QV__COLLECTION_NAME_MAX);
    }
    if (name.n && (memchr(name.p, '/', name.n) || memchr(name.p, '\0', name.n))) {
        return qv__qd_fail(c, QV__QD_PATH_INVALID,
                           "collection_name: collection name cannot contain \"%s\" char",
                           memchr(name.p, '/', name.n) ? "/" : "\\0");
    }
    if (c->route->flags & QV__QD_STRICT_NAME) {
        qv_status st = qv__collection_name_check(name, &c->err);
        if (st != QV_OK) {
            c->kind = QV__QD_PATH_INVALID;
            return st;
        }
    }
    return QV_OK;
}

/* router.c: paths to routes.
 *
 * A path is cut at slashes, its segments are decoded, and the table is walked from the top; the
 * first route whose segments agree and whose method is right wins, so literal routes stand before
 * those with parameters. Some seventy routes of a handful of segments are compared faster than a
 * request is parsed; a tree would not pay. No memory but decoded segments; no recursion. */
#include "api/dialect.h"
#include "api/text.h"

const char *qv__method_name(enum qv__method m)
{
    static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"};
    return (size_t)m < QV_ARRAY_LEN(names) ? names[m] : "?";
}

struct segments {
    struct qv__str at[QV__ROUTE_SEGMENTS_MAX];
    unsigned n;
};

/* False when there are more segments than any route has. */
static bool split(struct qv__str path, struct segments *out)
{
    size_t begin = 0;
    out->n = 0;
    for (size_t i = 0; i <= path.n; i++) {
        if (i < path.n && path.p[i] != '/') {
            continue;
        }
        if (i > begin) {
            if (out->n == QV__ROUTE_SEGMENTS_MAX) {
                return false;
            }
            out->at[out->n++] = (struct qv__str){path.p + begin, i - begin};
        }
        begin = i + 1;
    }
    return true;
}

static bool agree(const char *pattern, const struct segments *s, struct qv__str *params)
{
    unsigned n_params = 0;
    for (unsigned i = 0; i < s->n; i++) {
        if (*pattern != '/' || !pattern[1]) {
            return false;
        }
        pattern++;
        size_t n = strcspn(pattern, "/");
        if (pattern[0] == '{') {
            QV_ASSERT(n_params < QV__ROUTE_PARAMS_MAX);
            params[n_params++] = s->at[i];
        } else if (!qv__str_eq((struct qv__str){pattern, n}, s->at[i])) {
            return false;
        }
        pattern += n;
    }
    return !*pattern || (s->n == 0 && !pattern[1]);
}

enum qv__routed qv__route_find(const struct qv__route *routes, size_t n_routes,
                               enum qv__method method, struct qv__str path, struct qv__arena *arena,
                               struct qv__route_match *out, struct qv_err *err)
{
    struct segments s;
    memset(out, 0, sizeof *out);
    if (!split(path, &s)) {
        return QV__ROUTE_UNKNOWN;
    }
    for (unsigned i = 0; i < s.n; i++) {
        qv_status st = qv__text_unescape(arena, s.at[i], false, &s.at[i], err);
        if (st != QV_OK) {
            return st == QV_ENOMEM ? QV__ROUTE_NO_MEMORY : QV__ROUTE_MALFORMED;
        }
    }
    enum qv__method wanted = method == QV__HEAD ? QV__GET : method;
    for (size_t i = 0; i < n_routes; i++) {
        struct qv__str params[QV__ROUTE_PARAMS_MAX] = {{NULL, 0}};
        if (!agree(routes[i].pattern, &s, params)) {
            continue;
        }
        if (routes[i].method == wanted) {
            out->route = &routes[i];
            memcpy(out->params, params, sizeof params);
            return QV__ROUTED;
        }
        out->allowed |= 1u << routes[i].method;
    }
    return out->allowed ? QV__ROUTE_METHOD : QV__ROUTE_UNKNOWN;
}

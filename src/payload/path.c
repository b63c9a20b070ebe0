/* path.c: JSON paths: the text form and the walk.
 *
 * Grammar, that of the primary peer:
 *   path  = key *( "." key / "[" digits "]" / "[]" )
 *   key   = 1*( letter / digit / "_" / "-" ) / DQUOTE *( any but DQUOTE and "\" ) DQUOTE
 * Differences: (1) any character outside ASCII counts as a letter here, so no Unicode tables are
 * needed and every path the peer takes is taken; (2) at most QV__PATH_STEPS_MAX steps.
 *
 * The walk keeps one open array per `[]` step, so it needs neither recursion nor memory. */
#include "payload/wire.h"

struct scanner {
    const char *begin, *p, *end;
    struct qv_err *err;
};

static qv_status fail_at(const struct scanner *s, const char *reason)
{
    return qv__fail(s->err, QV_EINVAL, "invalid path at byte %zu: %s", (size_t)(s->p - s->begin),
                    reason);
}

static bool is_key_char(char c)
{
    unsigned char u = (unsigned char)c;
    return (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || (u >= '0' && u <= '9') || u == '_' ||
           u == '-' || u >= 0x80;
}

static qv_status scan_quoted(struct scanner *s, struct qv__str *out)
{
    const char *from = ++s->p;
    while (s->p < s->end && *s->p != '"' && *s->p != '\\') {
        s->p++;
    }
    if (s->p == s->end) {
        return fail_at(s, "the quote is not closed");
    }
    if (*s->p == '\\') {
        return fail_at(s, "a quoted key cannot hold a backslash");
    }
    *out = (struct qv__str){from, (size_t)(s->p - from)};
    s->p++;
    return QV_OK;
}

static qv_status scan_key(struct scanner *s, struct qv__path_step *step)
{
    step->kind = QV__STEP_KEY;
    if (s->p < s->end && *s->p == '"') {
        return scan_quoted(s, &step->key);
    }
    const char *from = s->p;
    while (s->p < s->end && is_key_char(*s->p)) {
        s->p++;
    }
    if (s->p == from) {
        return fail_at(s, s->p == s->end
                              ? "a key is missing"
                              : "expected a key of letters, digits, '_' and '-'; quote others");
    }
    step->key = (struct qv__str){from, (size_t)(s->p - from)};
    return QV_OK;
}

/* "[]" or "[digits]"; the scanner stands on the bracket. */
static qv_status scan_index(struct scanner *s, struct qv__path_step *step)
{
    s->p++;
    if (s->p < s->end && *s->p == ']') {
        s->p++;
        step->kind = QV__STEP_ALL;
        return QV_OK;
    }
    const char *from = s->p;
    uint64_t index = 0;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        uint64_t digit = (uint64_t)(*s->p - '0');
        if (index > (UINT64_MAX - digit) / 10) {
            return fail_at(s, "the index is too large");
        }
        index = index * 10 + digit;
        s->p++;
    }
    if (s->p == from) {
        return fail_at(s, "expected an index or ']'");
    }
    if (s->p == s->end || *s->p != ']') {
        return fail_at(s, "expected ']'");
    }
    s->p++;
    step->kind = QV__STEP_INDEX;
    /* No array is so long that the largest index would exist. */
    step->index = index > UINT32_MAX ? UINT32_MAX : (uint32_t)index;
    return QV_OK;
}

qv_status qv__path_parse(struct qv__str text, struct qv__path *out, struct qv_err *err)
{
    struct scanner s = {text.p, text.p, text.n ? text.p + text.n : text.p, err};
    struct qv__path path = {.n = 1};

    QV_TRY(scan_key(&s, &path.step[0]));
    while (s.p < s.end) {
        if (*s.p != '.' && *s.p != '[') {
            return fail_at(&s, "expected '.' or '['");
        }
        if (path.n == QV__PATH_STEPS_MAX) {
            return fail_at(&s, "more than 16 steps");
        }
        struct qv__path_step *step = &path.step[path.n++];
        if (*s.p == '.') {
            s.p++;
            QV_TRY(scan_key(&s, step));
        } else {
            QV_TRY(scan_index(&s, step));
        }
    }
    *out = path;
    return QV_OK;
}
_Static_assert(QV__PATH_STEPS_MAX == 16, "the message above names the limit");

/* An array being fanned out over. */
struct fan {
    struct qv__value_iter it;
    uint32_t step; /* where each element goes on */
};

size_t qv__path_each_in(const struct qv__value *root, const struct qv__path *path,
                        bool (*cb)(void *ctx, const struct qv__value *v), void *ctx)
{
    struct fan fans[QV__PATH_STEPS_MAX];
    unsigned n_fans = 0;
    size_t calls = 0;
    struct qv__value v = *root;
    uint32_t at = 0;

    for (;;) {
        bool reached = true;
        while (reached && at < path->n) {
            const struct qv__path_step *step = &path->step[at++];
            struct qv__value inner;
            switch (step->kind) {
            case QV__STEP_KEY:
                reached = v.tag == QV__TAG_OBJ && qv__wire_get(&v, step->key, &inner);
                break;
            case QV__STEP_INDEX:
                reached = v.tag == QV__TAG_ARR && qv__wire_at(&v, step->index, &inner);
                break;
            case QV__STEP_ALL:
            default:
                reached = false;
                if (v.tag == QV__TAG_ARR) {
                    qv__value_iter_init(&fans[n_fans].it, &v);
                    fans[n_fans++].step = at;
                }
                break;
            }
            if (reached) {
                v = inner;
            }
        }
        if (reached) {
            calls++;
            if (!cb(ctx, &v)) {
                return calls;
            }
        }
        while (n_fans && !qv__value_iter_next(&fans[n_fans - 1].it, NULL, &v)) {
            n_fans--;
        }
        if (n_fans == 0) {
            return calls;
        }
        at = fans[n_fans - 1].step;
    }
}

size_t qv__path_each(struct qv__bytes row, const struct qv__path *path,
                     bool (*cb)(void *ctx, const struct qv__value *v), void *ctx)
{
    struct qv__value root = qv__wire_root(row);
    return qv__path_each_in(&root, path, cb, ctx);
}

bool qv__path_eq(const struct qv__path *a, const struct qv__path *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (uint32_t i = a->n; i-- > 0;) {
        const struct qv__path_step *x = &a->step[i], *y = &b->step[i];
        if (x->kind != y->kind || (x->kind == QV__STEP_KEY && !qv__str_eq(x->key, y->key)) ||
            (x->kind == QV__STEP_INDEX && x->index != y->index)) {
            return false;
        }
    }
    return true;
}

bool qv__path_same(struct qv__str a, struct qv__str b)
{
    struct qv__path x, y;
    return qv__str_eq(a, b) || (qv__path_parse(a, &x, NULL) == QV_OK &&
                                qv__path_parse(b, &y, NULL) == QV_OK && qv__path_eq(&x, &y));
}

bool qv__path_join(const struct qv__path *prefix, const struct qv__path *path, struct qv__path *out)
{
    *out = *path;
    if (prefix) {
        if (prefix->n + path->n > QV__PATH_STEPS_MAX) {
            return false;
        }
        *out = *prefix;
        memcpy(&out->step[prefix->n], path->step, path->n * sizeof *path->step);
        out->n = prefix->n + path->n;
    }
    return true;
}

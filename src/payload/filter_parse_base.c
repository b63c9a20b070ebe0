/* filter_parse_base.c: messages with their place, members by name, and sorted lists.
 *
 * A place is a chain of small structs on the parser's stack, written out only when something is
 * wrong. Lists are sorted with a bottom-up merge sort (stable n log n, no worst case for a client
 * to find); its scratch is charged to the arena's account and given back at once. */
#include <stdarg.h>
#include <stdio.h>

#include "payload/filter_parse.h"

#define PLACES_MAX      128u /* 20 filters, at most 4 places each, and a condition's own */
#define PLACE_TEXT_MAX  1024u
#define PLACE_SHOWN_MAX 256u /* with the NUL */
#define PLACE_HEAD      100u
#define PLACE_TAIL      140u
#define QUOTE_MAX       64u

static const char *kind_name(qv__json v)
{
    if (!v) {
        return "missing";
    }
    switch ((enum qv__json_kind)v->kind) {
    case QV__JSON_NULL:
        return "null";
    case QV__JSON_BOOL:
        return "a boolean";
    case QV__JSON_I64:
    case QV__JSON_U64:
        return "an integer";
    case QV__JSON_F64:
        return "a number";
    case QV__JSON_STR:
        return "a string";
    case QV__JSON_ARR:
        return "an array";
    case QV__JSON_OBJ:
    default:
        return "an object";
    }
}

struct qv__fp_quote qv__fp_quote(struct qv__str s)
{
    struct qv__fp_quote q;
    size_t n = s.n;
    if (n > QUOTE_MAX) {
        n = QUOTE_MAX;
        while (n && ((unsigned char)s.p[n] & 0xc0u) == 0x80u) {
            n--;
        }
    }
    (void)snprintf(q.z, sizeof q.z, "\"%.*s%s\"", (int)n, s.p, n < s.n ? "…" : "");
    return q;
}

/* "filter.must[0].range"; a long one loses its middle. */
static void write_place(const struct qv__fp_at *at, char out[PLACE_SHOWN_MAX])
{
    const struct qv__fp_at *chain[PLACES_MAX];
    size_t n = 0;
    size_t len = 0;
    char text[PLACE_TEXT_MAX];

    for (; at && n < PLACES_MAX; at = at->up) {
        chain[n++] = at;
    }
    text[0] = '\0';
    for (size_t i = n; i-- > 0 && len < sizeof text;) {
        const struct qv__fp_at *a = chain[i];
        int wrote = a->key ? snprintf(text + len, sizeof text - len, "%s%s", len ? "." : "", a->key)
                           : snprintf(text + len, sizeof text - len, "[%zu]", a->index);
        len += wrote > 0 ? (size_t)wrote : 0;
    }
    len = QV_MIN(len, sizeof text - 1);
    size_t head = len < PLACE_SHOWN_MAX ? len : PLACE_HEAD;
    size_t tail = len < PLACE_SHOWN_MAX ? 0 : PLACE_TAIL;
    memcpy(out, text, head);
    if (tail) {
        memcpy(out + head, "...", 3);
        memcpy(out + head + 3, text + len - tail, tail);
        head += 3 + tail;
    }
    out[head] = '\0';
}

qv_status qv__fp_fail(struct qv__fp *fp, const struct qv__fp_at *at, qv_status code,
                      const char *fmt, ...)
{
    char place[PLACE_SHOWN_MAX];
    char message[400];
    if (!fp->err) {
        return code;
    }
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    write_place(at, place);
    return qv__fail(fp->err, code, "%s: %s", place, message);
}

qv_status qv__fp_expected(struct qv__fp *fp, const struct qv__fp_at *at, const char *what,
                          qv__json v)
{
    if (!v) {
        return qv__fp_fail(fp, at, QV_EINVAL, "missing; expected %s", what);
    }
    return qv__fp_fail(fp, at, QV_EINVAL, "expected %s, not %s", what, kind_name(v));
}

qv_status qv__fp_no_memory(struct qv__fp *fp)
{
    return qv__fail(fp->err, QV_ENOMEM, "filter: no memory to hold it");
}

/* "a, b, c" for messages. */
static void list_names(const char *const *names, size_t n, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && len < size; i++) {
        int wrote = snprintf(out + len, size - len, "%s%s", i ? ", " : "", names[i]);
        len += wrote > 0 ? (size_t)wrote : 0;
    }
}

qv_status qv__fp_members(struct qv__fp *fp, const struct qv__fp_at *at, qv__json obj,
                         const char *const *names, size_t n, qv__json *slots)
{
    if (!qv__json_is(obj, QV__JSON_OBJ)) {
        return qv__fp_expected(fp, at, "an object", obj);
    }
    for (size_t i = 0; i < n; i++) {
        slots[i] = NULL;
    }
    qv__json key = qv__json_first(obj);
    for (uint32_t m = 0; m < obj->len; m++) {
        size_t i = 0;
        while (i < n && !qv__json_str_is(key, names[i])) {
            i++;
        }
        if (i == n) {
            char known[256];
            list_names(names, n, known, sizeof known);
            return qv__fp_fail(fp, at, QV_EINVAL, "unknown key %s; expected one of %s",
                               qv__fp_quote((struct qv__str){key->s, key->len}).z, known);
        }
        slots[i] = key + 1;
        key = qv__json_next(key + 1);
    }
    return QV_OK;
}

qv_status qv__fp_take_values(struct qv__fp *fp, const struct qv__fp_at *at, size_t n)
{
    if (n > QV__FILTER_VALUES_MAX - fp->values) {
        return qv__fp_fail(fp, at, QV_ETOOBIG, "more than %u values in one filter",
                           QV__FILTER_VALUES_MAX);
    }
    fp->values += (uint32_t)n;
    return QV_OK;
}

qv_status qv__fp_text(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                      struct qv__str *out)
{
    if (!qv__json_is(v, QV__JSON_STR)) {
        return qv__fp_expected(fp, at, "a string", v);
    }
    const char *copy = qv__arena_strndup(fp->arena, v->s, v->len);
    if (!copy) {
        return qv__fp_no_memory(fp);
    }
    *out = (struct qv__str){copy, v->len};
    return QV_OK;
}

qv_status qv__fp_path(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                      struct qv__cond *cond)
{
    struct qv_err why = {.code = QV_OK};
    QV_TRY(qv__fp_text(fp, at, v, &cond->key));
    qv_status st = qv__path_parse(cond->key, &cond->path, &why);
    if (st != QV_OK) {
        return qv__fp_fail(fp, at, st, "%s in %s", why.message, qv__fp_quote(cond->key).z);
    }
    return QV_OK;
}

/* One pass: merge neighbouring runs of `run` elements from `src` into `dst`. */
static void merge_runs(const uint8_t *src, uint8_t *dst, size_t n, size_t size, size_t run,
                       int (*cmp)(const void *a, const void *b))
{
    for (size_t start = 0; start < n; start += 2 * run) {
        size_t i = start;
        size_t mid = QV_MIN(start + run, n);
        size_t j = mid;
        size_t end = QV_MIN(start + 2 * run, n);
        for (size_t k = start; k < end; k++) {
            bool left = i < mid && (j == end || cmp(src + i * size, src + j * size) <= 0);
            memcpy(dst + k * size, src + (left ? i++ : j++) * size, size);
        }
    }
}

static bool is_sorted(const uint8_t *p, size_t n, size_t size,
                      int (*cmp)(const void *a, const void *b))
{
    for (size_t i = 1; i < n; i++) {
        if (cmp(p + (i - 1) * size, p + i * size) > 0) {
            return false;
        }
    }
    return true;
}

size_t qv__fp_sort_unique(struct qv__fp *fp, void *base, size_t n, size_t size,
                          int (*cmp)(const void *a, const void *b))
{
    uint8_t *p = base;
    if (!is_sorted(p, n, size, cmp)) {
        uint8_t *scratch = qv__calloc(fp->arena->mem, n, size);
        if (!scratch) {
            return SIZE_MAX;
        }
        uint8_t *src = p;
        uint8_t *dst = scratch;
        for (size_t run = 1; run < n; run *= 2) {
            merge_runs(src, dst, n, size, run, cmp);
            uint8_t *swap = src;
            src = dst;
            dst = swap;
        }
        if (src != p) {
            memcpy(p, src, n * size);
        }
        qv__free(scratch);
    }
    size_t kept = n ? 1 : 0;
    for (size_t i = 1; i < n; i++) {
        if (cmp(p + (kept - 1) * size, p + i * size) != 0) {
            memmove(p + kept++ * size, p + i * size, size);
        }
    }
    return kept;
}

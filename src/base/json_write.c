/* json_write.c: the writer, straight into a byte buffer.
 *
 * Keeps one bit of state per level (does the next value need a comma?). Text goes out in runs of
 * characters that need no escape; numbers come from json_shortest.c. Errors stick in the buffer, so
 * nothing here returns one. No memory but the buffer's; no recursion, also not over a parsed value.
 */
#include "base/json_internal.h"

#include <math.h>

#define DEPTH_MAX      128U
#define FLOATS_AT_ONCE 64

void qv__jw_init(struct qv__jw *w, struct qv__buf *b)
{
    memset(w, 0, sizeof *w);
    w->b = b;
}

/* Before every value: a comma unless it is the first of its container or follows a key. */
static inline void before(struct qv__jw *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->comma[w->depth]) {
        QV_DEBUG_ASSERT(w->depth > 0); /* one document per writer */
        qv__buf_putc(w->b, ',');
    }
    w->comma[w->depth] = true;
}

static void open_container(struct qv__jw *w, char c)
{
    QV_ASSERT(w->depth < DEPTH_MAX);
    before(w);
    qv__buf_putc(w->b, c);
    w->comma[++w->depth] = false;
}

static void close_container(struct qv__jw *w, char c)
{
    QV_ASSERT(w->depth > 0 && !w->after_key);
    w->depth--;
    qv__buf_putc(w->b, c);
}

void qv__jw_obj(struct qv__jw *w)
{
    open_container(w, '{');
}

void qv__jw_obj_end(struct qv__jw *w)
{
    close_container(w, '}');
}

void qv__jw_arr(struct qv__jw *w)
{
    open_container(w, '[');
}

void qv__jw_arr_end(struct qv__jw *w)
{
    close_container(w, ']');
}

static void put_escape(struct qv__buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char named[] = "btn?fr"; /* 0x08 .. 0x0d; there is none for 0x0b */
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    size_t n = 6;
    if (c == '"' || c == '\\') {
        text[1] = (char)c;
        n = 2;
    } else if (c >= '\b' && c <= '\r' && c != '\v') {
        text[1] = named[c - '\b'];
        n = 2;
    }
    qv__buf_put(b, text, n);
}

static void put_quoted(struct qv__buf *b, struct qv__str s)
{
    size_t i = 0;
    qv__buf_putc(b, '"');
    while (i < s.n) {
        size_t run = qv__json_plain_run(s.p + i, s.n - i);
        qv__buf_put(b, s.p + i, run);
        i += run;
        if (i < s.n) {
            put_escape(b, (unsigned char)s.p[i++]);
        }
    }
    qv__buf_putc(b, '"');
}

void qv__jw_key_n(struct qv__jw *w, struct qv__str s)
{
    QV_ASSERT(w->depth > 0 && !w->after_key);
    before(w);
    put_quoted(w->b, s);
    qv__buf_putc(w->b, ':');
    w->after_key = true;
}

void qv__jw_key(struct qv__jw *w, const char *z)
{
    qv__jw_key_n(w, qv__str_z(z));
}

void qv__jw_str_n(struct qv__jw *w, struct qv__str s)
{
    before(w);
    put_quoted(w->b, s);
}

void qv__jw_str(struct qv__jw *w, const char *z)
{
    qv__jw_str_n(w, qv__str_z(z));
}

void qv__jw_bool(struct qv__jw *w, bool v)
{
    before(w);
    qv__buf_put(w->b, v ? "true" : "false", v ? 4 : 5);
}

void qv__jw_null(struct qv__jw *w)
{
    before(w);
    qv__buf_put(w->b, "null", 4);
}

void qv__jw_u64(struct qv__jw *w, uint64_t v)
{
    char text[24];
    before(w);
    qv__buf_put(w->b, text, qv__json_format_u64(text, v));
}

void qv__jw_i64(struct qv__jw *w, int64_t v)
{
    char text[24] = {'-'};
    size_t sign = v < 0;
    uint64_t u = sign ? 0U - (uint64_t)v : (uint64_t)v;
    before(w);
    qv__buf_put(w->b, text, sign + qv__json_format_u64(text + sign, u));
}

/* Like the format functions, but with null for what JSON cannot say. */
static size_t format_f32(char *out, float v)
{
    if (!isfinite(v)) {
        memcpy(out, "null", 4);
        return 4;
    }
    return qv__json_format_f32(out, v);
}

void qv__jw_f64(struct qv__jw *w, double v)
{
    char text[QV__JSON_FLOAT_CHARS];
    if (!isfinite(v)) {
        qv__jw_null(w);
        return;
    }
    before(w);
    qv__buf_put(w->b, text, qv__json_format_f64(text, v));
}

void qv__jw_f32(struct qv__jw *w, float v)
{
    char text[QV__JSON_FLOAT_CHARS];
    before(w);
    qv__buf_put(w->b, text, format_f32(text, v));
}

void qv__jw_floats(struct qv__jw *w, const float *v, size_t n)
{
    char text[FLOATS_AT_ONCE * (QV__JSON_FLOAT_CHARS + 1)];
    size_t used = 0;
    before(w);
    qv__buf_putc(w->b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i) {
            text[used++] = ',';
        }
        used += format_f32(text + used, v[i]);
        if (sizeof text - used < QV__JSON_FLOAT_CHARS + 1) {
            qv__buf_put(w->b, text, used);
            used = 0;
        }
    }
    qv__buf_put(w->b, text, used);
    qv__buf_putc(w->b, ']');
}

void qv__jw_raw(struct qv__jw *w, const char *json, size_t n)
{
    before(w);
    qv__buf_put(w->b, json, n);
}

static void write_scalar(struct qv__jw *w, qv__json v)
{
    switch (v->kind) {
    case QV__JSON_BOOL:
        qv__jw_bool(w, v->b);
        break;
    case QV__JSON_I64:
        qv__jw_i64(w, v->i);
        break;
    case QV__JSON_U64:
        qv__jw_u64(w, v->u);
        break;
    case QV__JSON_F64:
        qv__jw_f64(w, v->f);
        break;
    case QV__JSON_STR:
        qv__jw_str_n(w, (struct qv__str){v->s, v->len});
        break;
    default:
        qv__jw_null(w);
        break;
    }
}

void qv__jw_value(struct qv__jw *w, qv__json v)
{
    qv__json open[DEPTH_MAX]; /* containers that are not closed yet */
    uint32_t depth = 0;
    uint32_t seen[DEPTH_MAX]; /* of objects: keys and values so far; even: a key is next */
    if (!v) {
        qv__jw_null(w);
        return;
    }
    qv__json end = qv__json_next(v);
    while (v < end || depth) {
        if (depth && v == qv__json_next(open[depth - 1])) {
            depth--;
            close_container(w, open[depth]->kind == QV__JSON_ARR ? ']' : '}');
            continue;
        }
        if (depth && open[depth - 1]->kind == QV__JSON_OBJ && seen[depth - 1]++ % 2 == 0) {
            qv__jw_key_n(w, (struct qv__str){v->s, v->len});
            v++;
            continue;
        }
        if (v->kind != QV__JSON_ARR && v->kind != QV__JSON_OBJ) {
            write_scalar(w, v);
            v++;
            continue;
        }
        if (w->depth >= DEPTH_MAX) {
            w->b->failed = w->b->too_big = true; /* deep text inside a deep envelope */
            return;
        }
        open_container(w, v->kind == QV__JSON_ARR ? '[' : '{');
        seen[depth] = 0;
        open[depth++] = v++;
    }
}

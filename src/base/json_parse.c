/* json_parse.c: the parser: yajl for structure, our own scans for strings and numbers.
 *
 * A parse has three steps:
 *   1. qv__json_scan checks all strings and measures the document, so that nodes and text are two
 *      allocations of the right size;
 *   2. yajl is fed the text and its callbacks append nodes. An array that begins with a number is
 *      read by our own loop while yajl sees just "[" and "]": one callback per number would be most
 *      of the time of a request that carries vectors;
 *   3. on an error the place and the reason are worked out from the text behind the last event, so
 *      messages do not depend on yajl's words.
 * Errors come in the order of the text: when step 1 stops at a bad string, step 2 still runs over
 * what lies in front of it, and its error wins.
 *
 * yajl never checks an allocation. It gets a block on our stack for its small objects and one block
 * from the account for unescaped strings, whose size step 1 has worked out; so none of its requests
 * can fail, and there is nothing it could leak (as it did in CVE-2023-33460). What it asks for:
 * handle, lexer, two buffer heads, the state stack (128 bytes, then 256), two buffers of 2 KiB, of
 * which the one for unescaped strings doubles until it is longer than the string. The other holds
 * a token that crosses two calls of yajl_parse: the first behind a '[' at which we looked for
 * numbers, or the last of the text; both are numbers or literals, and numbers above 1,024
 * characters are refused before yajl sees them. The text is at most 1 GiB, well below the sizes of
 * CVE-2022-24795.
 *
 * An open container keeps the index of its parent in `skip` until it is closed, so nesting needs no
 * stack. Memory: the result lives in the caller's arena, everything else is gone on return. */
#include "base/json_internal.h"

#include <stdio.h>
#include <yajl/yajl_parse.h>
#include <yajl/yajl_version.h>

_Static_assert(YAJL_MAJOR == 2, "the memory promised to yajl was worked out for version 2");

#define DEPTH_DEFAULT  64U
#define NODES_DEFAULT  (1U << 27)
#define STRING_DEFAULT (1U << 24)

#define NO_PARENT      UINT32_MAX
#define YAJL_BUF       2048 /* first size of yajl's buffers */
#define POOL_BYTES     (8 << 10)
#define WORD_MAX       20 /* characters of the text that a message repeats */

/* What the last callback told; with the text behind it this says what had to follow. */
enum event { EVENT_START = 0, EVENT_OPEN, EVENT_KEY, EVENT_VALUE };

/* Memory for yajl; each block is led by its size in 16 bytes. */
struct pool {
    unsigned char *big; /* for the unescaped strings; NULL if 2 KiB are enough */
    size_t big_size;
    size_t used;
    _Alignas(16) unsigned char small[POOL_BYTES];
};

struct parse {
    const char *text;
    size_t n;
    struct qv__json_node *nodes;
    size_t used, cap;
    uint32_t nodes_max;
    char *str, *str_end; /* where the next string goes */
    uint32_t open;       /* innermost open container */
    uint32_t depth, depth_max;
    yajl_handle yajl;
    size_t base;     /* offset of the chunk that yajl works on */
    size_t last_end; /* offset behind the last event */
    enum event last;
    qv_status st; /* of a refusal of ours */
    size_t bad;
    char reason[128];
    struct pool pool;
};

/* --- memory for yajl --- */

static void *pool_malloc(void *ctx, size_t n)
{
    struct pool *p = ctx;
    size_t step = 16 + QV_ALIGN_UP(n, 16);
    QV_ASSERT(step <= sizeof p->small - p->used);
    unsigned char *block = p->small + p->used;
    memcpy(block, &n, sizeof n);
    p->used += step;
    return block + 16;
}

static void *pool_realloc(void *ctx, void *old, size_t n)
{
    struct pool *p = ctx;
    size_t old_n;
    void *block;
    if (!old) {
        return pool_malloc(ctx, n);
    }
    if (old == p->big) {
        QV_ASSERT(n <= p->big_size);
        return old;
    }
    memcpy(&old_n, (unsigned char *)old - 16, sizeof old_n);
    if (n <= YAJL_BUF) {
        block = pool_malloc(ctx, n);
    } else {
        QV_ASSERT(n <= p->big_size);
        block = p->big;
    }
    memcpy(block, old, QV_MIN(n, old_n));
    return block;
}

static void pool_free(void *ctx, void *block)
{
    (void)ctx; /* everything goes at once, with the parse */
    (void)block;
}

/* --- callbacks --- */

static size_t here(const struct parse *c)
{
    return c->base + yajl_get_bytes_consumed(c->yajl);
}

/* Refuse; always 0, which makes yajl stop. */
static int refuse(struct parse *c, qv_status st, size_t bad, const char *reason)
{
    c->st = st;
    c->bad = bad;
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    return 0;
}

static int refuse_limit(struct parse *c, size_t bad, const char *what, uint32_t limit)
{
    refuse(c, QV_ETOOBIG, bad, "");
    snprintf(c->reason, sizeof c->reason, "%s %u", what, limit);
    return 0;
}

static int refuse_number(struct parse *c, size_t bad, enum qv__json_number_state s)
{
    switch (s) {
    case QV__JSON_NUMBER_LONG:
        return refuse_limit(c, bad, "number with more characters than", QV__JSON_NUMBER_CHARS_MAX);
    case QV__JSON_NUMBER_FULL:
        return refuse_limit(c, bad, "more values than", c->nodes_max);
    case QV__JSON_NUMBER_RANGE:
        return refuse(c, QV_EINVAL, bad, "number out of range");
    default:
        return refuse(c, QV_EINVAL, bad, "malformed number");
    }
}

/* A fresh node, counted by its container; NULL after a refusal. */
static struct qv__json_node *add(struct parse *c, enum qv__json_kind kind, enum event event)
{
    if (QV_UNLIKELY(c->used == c->cap)) {
        refuse_number(c, here(c) - (here(c) > 0), QV__JSON_NUMBER_FULL);
        return NULL;
    }
    struct qv__json_node *v = &c->nodes[c->used++];
    v->kind = (unsigned char)kind & 15U;
    v->len = 0;
    v->skip = 1;
    v->u = 0;
    if (c->open != NO_PARENT) {
        struct qv__json_node *parent = &c->nodes[c->open];
        if (parent->kind == QV__JSON_ARR || event == EVENT_KEY) {
            parent->len = (parent->len + 1) & QV__JSON_NODES_MAX;
        }
    }
    c->last = event;
    c->last_end = here(c);
    return v;
}

static int on_null(void *ctx)
{
    return add(ctx, QV__JSON_NULL, EVENT_VALUE) != NULL;
}

static int on_bool(void *ctx, int b)
{
    struct qv__json_node *v = add(ctx, QV__JSON_BOOL, EVENT_VALUE);
    if (v) {
        v->b = b != 0;
    }
    return v != NULL;
}

static int on_number(void *ctx, const char *p, size_t n)
{
    struct parse *c = ctx;
    struct qv__json_node *v = add(c, QV__JSON_I64, EVENT_VALUE);
    if (!v) {
        return 0;
    }
    const char *stop;
    enum qv__json_number_state s = qv__json_number_scan(p, p + n, v, &stop);
    if (s == QV__JSON_NUMBER_OK && stop != p + n) {
        s = QV__JSON_NUMBER_NONE;
    }
    return s == QV__JSON_NUMBER_OK ? 1 : refuse_number(c, here(c) - n, s);
}

static int add_text(struct parse *c, const unsigned char *p, size_t n, enum event event)
{
    struct qv__json_node *v = add(c, QV__JSON_STR, event);
    if (!v) {
        return 0;
    }
    if (n > (size_t)(c->str_end - c->str)) {
        return refuse(c, QV_EINTERNAL, here(c), "strings are longer than was measured");
    }
    if (n) {
        memcpy(c->str, p, n);
    }
    v->s = c->str;
    v->len = (unsigned)n & QV__JSON_STRING_MAX;
    c->str += n;
    return 1;
}

static int on_string(void *ctx, const unsigned char *p, size_t n)
{
    return add_text(ctx, p, n, EVENT_VALUE);
}

static int on_key(void *ctx, const unsigned char *p, size_t n)
{
    return add_text(ctx, p, n, EVENT_KEY);
}

static int begin(struct parse *c, enum qv__json_kind kind)
{
    if (c->depth == c->depth_max) {
        return refuse_limit(c, here(c) - 1, "nested deeper than", c->depth_max);
    }
    struct qv__json_node *v = add(c, kind, EVENT_OPEN);
    if (!v) {
        return 0;
    }
    v->skip = c->open;
    c->open = (uint32_t)(v - c->nodes);
    c->depth++;
    return 1;
}

static int on_begin_array(void *ctx)
{
    return begin(ctx, QV__JSON_ARR);
}

static int on_begin_object(void *ctx)
{
    return begin(ctx, QV__JSON_OBJ);
}

static int on_end(void *ctx)
{
    struct parse *c = ctx;
    struct qv__json_node *v = &c->nodes[c->open];
    uint32_t parent = v->skip;
    v->skip = (uint32_t)(c->used - c->open);
    c->open = parent;
    c->depth--;
    c->last = EVENT_VALUE;
    c->last_end = here(c);
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_begin_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_begin_array,
    .yajl_end_array = on_end,
};

/* --- messages --- */

static size_t skip_space(const struct parse *c, size_t i)
{
    while (i < c->n && qv__json_is_space(c->text[i])) {
        i++;
    }
    return i;
}

static bool is_word(char c)
{
    return qv__json_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
           c == '+' || c == '.' || c == '_';
}

/* Say what stands at offset i. */
static void describe(const struct parse *c, size_t i, char *out, size_t room)
{
    size_t left = c->n - QV_MIN(i, c->n), word = 0;
    const char *p = c->text + (c->n - left);
    while (word < left && word < WORD_MAX && is_word(p[word])) {
        word++;
    }
    if (left == 0) {
        snprintf(out, room, "end of text");
    } else if (left >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        snprintf(out, room, "a byte order mark");
    } else if (*p == '"') {
        snprintf(out, room, "a string");
    } else if (left >= 2 && *p == '/' && (p[1] == '/' || p[1] == '*')) {
        snprintf(out, room, "a comment");
    } else if (word) {
        snprintf(out, room, "'%.*s'", (int)word, p);
    } else if (*p > 0x20 && *p < 0x7f) {
        snprintf(out, room, "'%c'", *p);
    } else {
        snprintf(out, room, "byte 0x%02x", (unsigned char)*p);
    }
}

/* yajl has refused the text: the first token behind the last event, or the one behind its comma or
 * colon, is at fault. */
static void explain(struct parse *c)
{
    char found[WORD_MAX + 16];
    const char *expected = "value";
    size_t at = skip_space(c, c->last_end);
    char next = at < c->n ? c->text[at] : '\0';
    const struct qv__json_node *parent = c->open == NO_PARENT ? NULL : &c->nodes[c->open];
    bool in_array = parent && parent->kind == QV__JSON_ARR;
    switch (c->last) {
    case EVENT_START:
        break;
    case EVENT_OPEN:
        expected = in_array ? "value or ']'" : "string or '}'";
        break;
    case EVENT_KEY:
        if (next == ':') {
            at = skip_space(c, at + 1);
        } else {
            expected = "':'";
        }
        break;
    case EVENT_VALUE:
        if (parent && next == ',') {
            at = skip_space(c, at + 1);
            expected = in_array ? "value" : "string";
        } else if (parent) {
            expected = in_array ? "',' or ']'" : "',' or '}'";
        } else {
            expected = "end of text";
        }
        break;
    }
    describe(c, at, found, sizeof found);
    c->st = QV_EINVAL;
    c->bad = at;
    if (at > 0 && at == c->last_end && c->text[at - 1] == '0' && qv__json_is_digit(next)) {
        snprintf(c->reason, sizeof c->reason, "number with a leading zero");
    } else {
        snprintf(c->reason, sizeof c->reason, "expected %s, found %s", expected, found);
    }
}

/* Lines end at line feeds; a column is one code point. */
static qv_status report(const struct parse *c, struct qv_err *err)
{
    size_t line = 1, column = 1, bad = QV_MIN(c->bad, c->n);
    for (size_t i = 0; i < bad; i++) {
        if (c->text[i] == '\n') {
            line++;
            column = 1;
        } else {
            column += ((unsigned char)c->text[i] & 0xc0) != 0x80;
        }
    }
    return qv__fail(err, c->st, "line %zu column %zu: %s", line, column, c->reason);
}

/* --- the run --- */

/* Give yajl text[from .. to). False: c->st, bad and reason say why. */
static bool feed(struct parse *c, size_t from, size_t to)
{
    c->base = from;
    if (yajl_parse(c->yajl, (const unsigned char *)c->text + from, to - from) == yajl_status_ok) {
        return true;
    }
    if (c->st == QV_OK) {
        explain(c);
    }
    return false;
}

/* yajl has just taken the '[' in front of *pos: read the array's numbers if it has nothing else and
 * move *pos to its ']'. */
static bool take_numbers(struct parse *c, size_t *pos, size_t end)
{
    const char *stop = NULL;
    size_t count = 0;
    if (c->last != EVENT_OPEN || c->last_end != *pos) {
        return true;
    }
    enum qv__json_number_state s = qv__json_number_array(
        c->text + *pos, c->text + end, c->nodes + c->used, c->cap - c->used, &count, &stop);
    if (s == QV__JSON_NUMBER_OK) {
        c->nodes[c->open].len = (unsigned)count & QV__JSON_NODES_MAX;
        c->used += count;
        *pos = (size_t)(stop - c->text);
        return true;
    }
    return s == QV__JSON_NUMBER_NONE ? true : refuse_number(c, (size_t)(stop - c->text), s) != 0;
}

static bool is_number_char(char c)
{
    return qv__json_is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* Numbers at the very end would be copied by yajl: cut one that is too long. */
static void cut_tail(const struct parse *c, struct qv__json_scan *scan)
{
    size_t at = scan->cut;
    while (at > 0 && is_number_char(c->text[at - 1])) {
        at--;
    }
    if (scan->cut - at > QV__JSON_NUMBER_CHARS_MAX) {
        scan->cut = scan->bad = at;
        scan->st = QV_ETOOBIG;
        snprintf(scan->reason, sizeof scan->reason, "number with more characters than %u",
                 QV__JSON_NUMBER_CHARS_MAX);
    }
}

static bool run(struct parse *c, const struct qv__json_scan *scan)
{
    size_t pos = 0;
    while (pos < scan->cut) {
        size_t numbers = qv__json_scan_numbers(c->text, scan->cut, pos);
        size_t to = numbers < scan->cut ? numbers + 1 : scan->cut;
        if (!feed(c, pos, to)) {
            return false;
        }
        pos = to;
        if (numbers < scan->cut && !take_numbers(c, &pos, scan->cut)) {
            return false;
        }
    }
    if (scan->st != QV_OK) {
        refuse(c, scan->st, scan->bad, scan->reason);
        return false;
    }
    c->base = c->n;
    if (yajl_complete_parse(c->yajl) != yajl_status_ok && c->st == QV_OK) {
        explain(c);
    }
    return c->st == QV_OK;
}

/* Take the memory that the scan has found necessary. */
static bool prepare(struct parse *c, struct qv__arena *arena, const struct qv__json_scan *scan)
{
    c->cap = QV_MIN(scan->nodes, c->nodes_max);
    c->nodes = qv__arena_alloc(arena, c->cap * sizeof *c->nodes);
    c->str = qv__arena_alloc(arena, scan->text_bytes + 1);
    if (!c->nodes || !c->str) {
        return false;
    }
    c->str_end = c->str + scan->text_bytes;
    if (scan->decoded_max >= YAJL_BUF) {
        c->pool.big_size = YAJL_BUF;
        while (c->pool.big_size <= scan->decoded_max) {
            c->pool.big_size *= 2;
        }
        c->pool.big = qv__alloc(arena->mem, c->pool.big_size);
        return c->pool.big != NULL;
    }
    return true;
}

qv_status qv__json_parse(struct qv__arena *arena, const char *text, size_t n,
                         const struct qv__json_limits *limits, qv__json *out, struct qv_err *err)
{
    struct parse c; /* not cleared as a whole: the pool is 8 KiB */
    struct qv__json_scan scan;
    uint32_t depth_max = limits && limits->depth_max ? limits->depth_max : DEPTH_DEFAULT;
    uint32_t nodes_max = limits && limits->nodes_max ? limits->nodes_max : NODES_DEFAULT;
    uint32_t string_max = limits && limits->string_max ? limits->string_max : STRING_DEFAULT;

    if (n > QV__JSON_TEXT_MAX) {
        return qv__fail(err, QV_ETOOBIG, "JSON text of %zu bytes is over the limit of %zu", n,
                        QV__JSON_TEXT_MAX);
    }
    memset(&c, 0, offsetof(struct parse, pool) + offsetof(struct pool, small));
    c.text = text ? text : "";
    c.n = text ? n : 0;
    c.depth_max = QV_MIN(depth_max, QV__JSON_DEPTH_MAX);
    c.nodes_max = QV_MIN(nodes_max, QV__JSON_NODES_MAX);
    c.open = NO_PARENT;

    qv__json_scan(c.text, c.n, QV_MIN(string_max, QV__JSON_STRING_MAX), &scan);
    cut_tail(&c, &scan);
    if (!prepare(&c, arena, &scan)) {
        qv__free(c.pool.big);
        return qv__fail(err, QV_ENOMEM, "no memory for a JSON text of %zu bytes", n);
    }
    yajl_alloc_funcs funcs = {pool_malloc, pool_realloc, pool_free, &c.pool};
    c.yajl = yajl_alloc(&callbacks, &funcs, &c);
    bool ok = run(&c, &scan);
    yajl_free(c.yajl);
    qv__free(c.pool.big);
    if (!ok) {
        return report(&c, err);
    }
    *out = c.nodes;
    return QV_OK;
}

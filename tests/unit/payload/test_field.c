/* Blocks of field indexes against evaluation row by row: bounds hold for every filter, are one set
 * where an index serves, and hostile bytes do no harm. */
#include "filter_gen.h"

#include "bitmap/bitset.h"
#include "payload/field.h"
#include "payload/filter_bounds.h"

#define MOST_ROWS   300u
#define MOST_FIELDS 5u

static const enum qv__field_type types[] = {QV__FIELD_KEYWORD, QV__FIELD_INTEGER,  QV__FIELD_FLOAT,
                                            QV__FIELD_BOOL,    QV__FIELD_DATETIME, QV__FIELD_UUID,
                                            QV__FIELD_GEO,     QV__FIELD_TEXT};

/* Of every index of text here. */
static struct qv__tokenizer tokenizer = {.kind = QV__TOKENIZE_WORD, .lowercase = true};

struct rows {
    const struct qv__bytes *payload;
    uint32_t n;
};

static struct qv__bytes row_at(void *ctx, uint32_t i)
{
    return ((struct rows *)ctx)->payload[i];
}

static struct qv__buf build(struct fixture *f, enum qv__field_type type,
                            const struct qv__path *path, struct rows *rows)
{
    struct qv__field_source src = {
        .row = row_at, .ctx = rows, .n_rows = rows->n, .tokenizer = &tokenizer};
    struct qv__buf b;
    struct qv_err err = {.code = QV_OK};
    qv__buf_init(&b, f->mem);
    assert_int_equal(qv__field_build(type, path, &src, f->mem, &b, &err), QV_OK);
    return b;
}

/* --- every filter --- */

struct indexes {
    struct qv__path path[MOST_FIELDS];
    struct qv__buf bytes[MOST_FIELDS];
    struct qv__field_block block[MOST_FIELDS];
    struct qv__field_at at[MOST_FIELDS];
    size_t n;
    struct qv__text_field texts[MOST_FIELDS];
    struct qv__text_fields fields;
};

static void text_fields(struct indexes *x);

static void index_some(struct fixture *f, struct gen *g, struct rows *rows, struct indexes *x)
{
    x->n = below(g, MOST_FIELDS + 1);
    for (size_t i = 0; i < x->n; i++) {
        struct qv__str key;
        enum qv__field_type type = types[below(g, QV_ARRAY_LEN(types))];
        qv__buf_init(&g->b, f->mem);
        text(g, "{");
        put_key(g);
        text(g, "}");
        qv__json v = json_n(f, (const char *)g->b.p, g->b.n);
        qv__buf_free(&g->b);
        assert_true(qv__json_str(qv__json_get(v, "key"), &key));
        assert_int_equal(qv__path_parse(key, &x->path[i], NULL), QV_OK);
        x->bytes[i] = build(f, type, &x->path[i], rows);
        assert_true(
            qv__field_block_open(qv__buf_bytes(&x->bytes[i]), type, rows->n, true, &x->block[i]));
        x->at[i] = (struct qv__field_at){&x->path[i], &x->block[i], type == QV__FIELD_TEXT};
    }
    text_fields(x);
}

/* As with a collection: a path has one index at most. */
static void text_fields(struct indexes *x)
{
    x->fields = (struct qv__text_fields){x->texts, 0};
    for (size_t i = 0; i < x->n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (qv__path_eq(&x->path[i], &x->path[k])) {
                x->at[i].block = NULL;
            }
        }
        if (x->at[i].block && x->block[i].type == QV__FIELD_TEXT) {
            x->block[i].tokenizer = &tokenizer;
            x->texts[x->fields.n++] =
                (struct qv__text_field){.path = x->path[i], .tokenizer = tokenizer};
        }
    }
}

static bool image(const struct qv__filter_row *r, struct qv__str name)
{
    (void)r;
    return qv__str_eq(name, QV__STR("image"));
}

/* Vectors are known to the caller, ids are not here. */
static bool known(void *ctx, const struct qv__cond *c, uint64_t *words)
{
    struct qv__bitset all = {words, QV__BLOCK_ROWS};
    if (c->kind == QV__COND_HAS_VECTOR && qv__str_eq(c->vector, QV__STR("image"))) {
        qv__bitset_fill(&all, 0, *(uint32_t *)ctx);
    }
    return c->kind == QV__COND_HAS_VECTOR;
}

static size_t check_filter(struct fixture *f, qv__json doc, struct rows *rows, struct indexes *x)
{
    const struct qv__filter *filter;
    struct qv_err err = {.code = QV_OK};
    size_t open = 0;
    assert_int_equal(qv__filter_parse(&f->arena, doc, &filter, &err), QV_OK);
    if (!filter) {
        return 0;
    }
    struct qv__filter_walk *w = qv__filter_walk_create(filter, f->mem);
    struct qv__filter_block b = {
        .fields = x->at, .n_fields = x->n, .n_rows = rows->n, .known = known, .ctx = &rows->n};
    struct qv__filter_bounds got = qv__filter_walk_block(w, &b);
    for (uint32_t i = 0; i < rows->n; i++) {
        struct qv__id id = qv__id_u64(i);
        struct qv__filter_row r = {.id = &id,
                                   .payload = rows->payload[i],
                                   .has_vector = image,
                                   .texts = x->fields.n ? &x->fields : NULL};
        bool lo = qv__bit_test(got.lo, i), up = qv__bit_test(got.up, i);
        bool want = qv__filter_match(filter, &r);
        if ((lo && !want) || (want && !up) || (lo && !up)) {
            fail_msg("%s\nrow %u: %d, bounds %d %d", show(f, doc), i, want, lo, up);
        }
        open += lo != up;
    }
    for (uint32_t i = rows->n; i < QV__BLOCK_ROWS; i++) {
        assert_false(qv__bit_test(got.up, i) || qv__bit_test(got.lo, i));
    }
    qv__free(w);
    return open;
}

static void bounds_hold(void **state)
{
    struct fixture *f = *state;
    struct gen g;
    size_t open = 0, asked = 0;
    qv__rng_seed(&g.rng, 23);
    for (unsigned round = 0; round < 150; round++) {
        struct qv__bytes payload[MOST_ROWS];
        struct rows rows = {payload, 1 + (uint32_t)below(&g, MOST_ROWS)};
        struct indexes x;
        for (uint32_t i = 0; i < rows.n; i++) {
            payload[i] = row_of(f, generate(f, &g, put_payload));
        }
        tokenizer = (struct qv__tokenizer){.kind = (int)(1 + round % 3), .lowercase = round % 2};
        index_some(f, &g, &rows, &x);
        for (unsigned i = 0; i < 30; i++) {
            open += check_filter(f, generate(f, &g, i % 3 ? put_single : put_root), &rows, &x);
            asked += rows.n;
        }
        for (size_t i = 0; i < x.n; i++) {
            qv__buf_free(&x.bytes[i]);
        }
        qv__arena_reset(&f->arena);
    }
    printf("%zu of %zu rows stay open\n", open, asked);
    assert_true(open < asked); /* most keys of the filters have no index */
}

/* --- what an index serves is exact --- */

struct served {
    const char *type, *filter;
};

/* Rows of every kind under "v": none, null, [], numbers, strings, dates, arrays of them. */
static struct rows mixed_rows(struct fixture *f, uint32_t n)
{
    struct qv__bytes *payload = qv__arena_calloc(&f->arena, n, sizeof *payload);
    for (uint32_t i = 0; i < n; i++) {
        char z[80] = "{}";
        unsigned v = i / 8 % 50;
        switch (i % 8) {
        case 0:
            break;
        case 1:
            strcpy(z, "{\"v\":null}");
            break;
        case 2:
            strcpy(z, "{\"v\":[]}");
            break;
        case 3:
            snprintf(z, sizeof z, "{\"v\":%u}", v);
            break;
        case 4:
            snprintf(z, sizeof z, "{\"v\":\"w%u\"}", v);
            break;
        case 5:
            snprintf(z, sizeof z, "{\"v\":\"2024-01-01T00:00:%02uZ\"}", v);
            break;
        case 6:
            snprintf(z, sizeof z, v % 2 ? "{\"v\":true}" : "{\"v\":{\"lon\":%u,\"lat\":-%u.5}}", v,
                     v);
            break;
        default:
            strcpy(z, "{\"v\":[null,\"w3\"]}");
            break;
        }
        payload[i] = row_of(f, json(f, z));
    }
    return (struct rows){payload, n};
}

static void exact_where_served(void **state)
{
    static const struct served all[] = {
        {"keyword", "{\"must\":{\"key\":\"v\",\"match\":{\"value\":\"w3\"}}}"},
        {"keyword", "{\"must\":{\"key\":\"v\",\"match\":{\"any\":[\"w3\",\"w7\",\"no\"]}}}"},
        {"keyword", "{\"must\":{\"key\":\"v\",\"match\":{\"prefix\":\"w1\"}}}"},
        {"keyword", "{\"must\":{\"key\":\"v\",\"match\":{\"text\":\"1\"}}}"},
        {"uuid", "{\"must_not\":{\"key\":\"v\",\"match\":{\"value\":\"w3\"}}}"},
        {"integer", "{\"must\":{\"key\":\"v\",\"match\":{\"value\":3}}}"},
        {"integer", "{\"must\":{\"key\":\"v\",\"match\":{\"any\":[3,4,-1]}}}"},
        {"float", "{\"must\":{\"key\":\"v\",\"range\":{\"gt\":3,\"lte\":17.5}}}"},
        {"bool", "{\"must\":{\"key\":\"v\",\"match\":{\"value\":true}}}"},
        {"datetime", "{\"must\":{\"key\":\"v\",\"range\":{\"gte\":\"2024-01-01T00:00:05Z\"}}}"},
        {"geo",
         "{\"must\":{\"key\":\"v\",\"geo_bounding_box\":{\"top_left\":{\"lon\":2.5,\"lat\":0},"
         "\"bottom_right\":{\"lon\":20.5,\"lat\":-33}}}}"},
        {"geo", "{\"must_not\":{\"key\":\"v\",\"geo_radius\":{\"center\":{\"lon\":7,\"lat\":-8},"
                "\"radius\":987654}}}"},
        {"float", "{\"must\":{\"is_empty\":{\"key\":\"v\"}}}"},
        {"bool", "{\"must_not\":{\"is_null\":{\"key\":\"v\"}}}"},
        {"keyword", "{\"must\":{\"key\":\"v\",\"is_null\":true}}"},
        {"keyword", "{\"must\":{\"key\":\"v\",\"is_empty\":false}}"},
        {"keyword", "{\"min_should\":{\"min_count\":2,\"conditions\":["
                    "{\"key\":\"v\",\"match\":{\"prefix\":\"w\"}},"
                    "{\"key\":\"v\",\"match\":{\"text\":\"3\"}},"
                    "{\"is_null\":{\"key\":\"v\"}}]}}"},
    };
    struct fixture *f = *state;
    struct rows rows = mixed_rows(f, 2000);
    tokenizer = (struct qv__tokenizer){.kind = QV__TOKENIZE_WORD, .lowercase = true};
    for (size_t i = 0; i < QV_ARRAY_LEN(all); i++) {
        struct indexes x = {.n = 1};
        enum qv__field_type type;
        assert_true(qv__field_type_parse(qv__str_z(all[i].type), &type));
        assert_int_equal(qv__path_parse(QV__STR("v"), &x.path[0], NULL), QV_OK);
        x.bytes[0] = build(f, type, &x.path[0], &rows);
        assert_true(
            qv__field_block_open(qv__buf_bytes(&x.bytes[0]), type, rows.n, true, &x.block[0]));
        x.at[0] = (struct qv__field_at){&x.path[0], &x.block[0], false};
        text_fields(&x);
        if (check_filter(f, json(f, all[i].filter), &rows, &x) != 0) {
            fail_msg("%s: %s is not exact", all[i].type, all[i].filter);
        }
        qv__buf_free(&x.bytes[0]);
    }
}

/* A full block of numbers, where slices go by marks: every kind of slice. */
static void long_slices(void **state)
{
    struct fixture *f = *state;
    struct qv__rng rng;
    qv__rng_seed(&rng, 5);
    struct qv__bytes *payload = qv__arena_calloc(&f->arena, QV__BLOCK_ROWS, sizeof *payload);
    int64_t *value = qv__arena_calloc(&f->arena, QV__BLOCK_ROWS, sizeof *value);
    for (uint32_t i = 0; i < QV__BLOCK_ROWS; i++) {
        char z[64];
        value[i] = (int64_t)qv__rng_below(&rng, 50000) - 25000;
        if (i % 9) {
            snprintf(z, sizeof z, "{\"v\":%d}", (int)value[i]);
        } else {
            snprintf(z, sizeof z, "{\"v\":[%d]}", (int)value[i]);
        }
        payload[i] = row_of(f, json(f, z));
    }
    struct rows rows = {payload, QV__BLOCK_ROWS};
    for (int t = 0; t < 2; t++) {
        enum qv__field_type type = t ? QV__FIELD_FLOAT : QV__FIELD_INTEGER;
        struct qv__path path;
        struct qv__field_block b;
        assert_int_equal(qv__path_parse(QV__STR("v"), &path, NULL), QV_OK);
        struct qv__buf bytes = build(f, type, &path, &rows);
        assert_true(qv__field_block_open(qv__buf_bytes(&bytes), type, rows.n, true, &b));
        assert_true(b.n_marks > 0);
        for (int i = 0; i < 60; i++) {
            uint64_t lo[QV__BLOCK_WORDS], up[QV__BLOCK_WORDS];
            double from = (double)qv__rng_below(&rng, 60000) - 30000;
            double to = from + (double)qv__rng_below(&rng, i % 2 ? 60000 : 3000);
            struct qv__cond c = {.kind = QV__COND_RANGE,
                                 .range = {.gte = from, .lt = to, .has_gte = true, .has_lt = true}};
            qv__field_bounds(&b, &c, lo, up, NULL);
            for (uint32_t row = 0; row < rows.n; row++) {
                bool want = value[row] >= from && value[row] < to;
                assert_int_equal(qv__bit_test(lo, row), want);
                assert_int_equal(qv__bit_test(up, row), want);
            }
        }
        qv__buf_free(&bytes);
    }
}

/* Strings and rows beyond what is held are looked at, not lost. */
static void too_much_is_loose(void **state)
{
    struct fixture *f = *state;
    struct qv__buf text;
    qv__buf_init(&text, f->mem);
    qv__buf_putz(&text, "{\"v\":[");
    for (unsigned i = 0; i < QV__FIELD_ROW_VALUES_MAX + 10; i++) {
        qv__buf_printf(&text, "%s\"t%u\"", i ? "," : "", i);
    }
    qv__buf_putz(&text, "]}");
    struct qv__bytes payload[3];
    payload[0] = row_of(f, json_n(f, (const char *)text.p, text.n));
    qv__buf_reset(&text);
    qv__buf_putz(&text, "{\"v\":\"");
    for (unsigned i = 0; i < QV__FIELD_TERM_MAX + 1; i++) {
        qv__buf_putc(&text, 'x');
    }
    qv__buf_putz(&text, "\"}");
    payload[1] = row_of(f, json_n(f, (const char *)text.p, text.n));
    qv__buf_free(&text);
    payload[2] = row_of(f, json(f, "{\"v\":\"t1\"}"));
    struct rows rows = {payload, 3};
    struct indexes x = {.n = 1};
    assert_int_equal(qv__path_parse(QV__STR("v"), &x.path[0], NULL), QV_OK);
    x.bytes[0] = build(f, QV__FIELD_KEYWORD, &x.path[0], &rows);
    assert_true(
        qv__field_block_open(qv__buf_bytes(&x.bytes[0]), QV__FIELD_KEYWORD, 3, true, &x.block[0]));
    x.at[0] = (struct qv__field_at){&x.path[0], &x.block[0], false};
    assert_int_equal(
        check_filter(f, json(f, "{\"must\":{\"key\":\"v\",\"match\":{\"value\":\"t1030\"}}}"),
                     &rows, &x),
        2);
    (void)check_filter(f, json(f, "{\"must_not\":{\"key\":\"v\",\"match\":{\"prefix\":\"xx\"}}}"),
                       &rows, &x);
    (void)check_filter(f, json(f, "{\"must\":{\"key\":\"v\",\"match\":{\"except\":[\"t1\"]}}}"),
                       &rows, &x);
    qv__buf_free(&x.bytes[0]);
}

static void survives_lack_of_memory(void **state)
{
    struct fixture *f = *state;
    struct rows rows = mixed_rows(f, 3000);
    struct qv__path path;
    assert_int_equal(qv__path_parse(QV__STR("v"), &path, NULL), QV_OK);
    for (size_t t = 0; t < QV_ARRAY_LEN(types); t++) {
        uint64_t n = 1;
        for (qv_status st = QV_ENOMEM; st != QV_OK; n++) {
            struct qv__field_source src = {
                .row = row_at, .ctx = &rows, .n_rows = rows.n, .tokenizer = &tokenizer};
            struct qv__buf b;
            struct qv_err err;
            qv__buf_init(&b, f->mem);
            qv__mem_fail_at(f->mem, n, false);
            st = qv__field_build(types[t], &path, &src, f->mem, &b, &err);
            qv__mem_fail_at(f->mem, 0, false);
            assert_true(st == QV_OK || st == QV_ENOMEM);
            assert_true(st == QV_OK || b.n == 0);
            qv__buf_free(&b);
        }
        assert_true(n > 3);
    }
}

static const struct qv__geo_point triangle[] = {{0, 0}, {30, -40}, {-30, -40}, {0, 0}};

static void hostile_bytes(void **state)
{
    struct fixture *f = *state;
    struct rows rows = mixed_rows(f, 1000);
    struct qv__path path;
    struct qv__rng rng;
    size_t refused = 0, tried = 0;
    qv__rng_seed(&rng, 3);
    assert_int_equal(qv__path_parse(QV__STR("v"), &path, NULL), QV_OK);
    for (size_t t = 0; t < QV_ARRAY_LEN(types); t++) {
        struct qv__buf good = build(f, types[t], &path, &rows);
        for (size_t i = 0; i < 4000; i++) {
            size_t n = i % 8 ? good.n : qv__rng_below(&rng, good.n);
            uint8_t *copy = qv__alloc(f->mem, n + 1);
            struct qv__field_block b;
            memcpy(copy, good.p, n);
            if (n && i % 8) {
                copy[i < 300 ? i % n : qv__rng_below(&rng, n)] ^=
                    (uint8_t)(1u << qv__rng_below(&rng, 8));
            }
            struct qv__bytes bytes = {copy, n};
            tried++;
            refused += !qv__field_block_open(bytes, types[t], rows.n, true, &b);
            if (qv__field_block_open(bytes, types[t], rows.n, false, &b)) {
                b.tokenizer = &tokenizer;
                struct qv__match_value v[2] = {{.kind = QV__MATCH_INT, .i = 3},
                                               {.kind = QV__MATCH_STR, .s = QV__STR("w3")}};
                struct qv__cond c = {.kind = QV__COND_MATCH_ANY, .match = {v, 2}};
                uint64_t lo[QV__BLOCK_WORDS], up[QV__BLOCK_WORDS];
                for (int kind = 0; kind <= QV__COND_FIELD_NULL; kind++) {
                    c.kind = (enum qv__cond_kind)kind;
                    if (kind >= QV__COND_RANGE) {
                        c.text = QV__STR("w");
                    }
                    if (kind == QV__COND_RANGE) {
                        c.range = (typeof(c.range)){.gt = 2, .has_gt = true};
                    }
                    if (kind == QV__COND_DATETIME_RANGE || kind == QV__COND_VALUES_COUNT) {
                        c.irange = (typeof(c.irange)){.gt = 2, .has_gt = true};
                    }
                    if (kind >= QV__COND_FIELD_EMPTY) {
                        c.flag = true;
                    }
                    if (kind == QV__COND_GEO_BOX) {
                        c.box = (typeof(c.box)){{-9, 9}, {20, -20}};
                    }
                    if (kind == QV__COND_GEO_RADIUS) {
                        c.radius = (typeof(c.radius)){{5, -5}, 2e6};
                    }
                    if (kind == QV__COND_GEO_POLYGON) {
                        c.polygon = (typeof(c.polygon)){.exterior = {triangle, 4}};
                    }
                    qv__field_bounds(&b, &c, lo, up, NULL);
                }
            }
            qv__free(copy);
        }
        qv__buf_free(&good);
    }
    printf("%zu of %zu refused\n", refused, tried);
    assert_true(refused > tried / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bounds_hold),       TEST(exact_where_served),      TEST(long_slices),
        TEST(too_much_is_loose), TEST(survives_lack_of_memory), TEST(hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

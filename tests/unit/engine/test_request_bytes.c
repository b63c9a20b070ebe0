/* test_request_bytes.c: requests that would write far more than they are: what is counted, and what
 * is refused before anything is taken for it. */
#include "engine/stage.h"
#include "engine_fixture.h"

enum { DIM = 64 };

static struct qv__collection *start(struct fix *f, uint32_t dim)
{
    fix_open(f, 0);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = dim};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    return fix_collection(f, "c");
}

static void put(struct fix *f, struct qv__collection *c, struct qv__arena *a, const char *payload)
{
    float v[DIM] = {1};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    struct qv__point p = {
        .id = qv__id_u64(1), .vectors = &nv, .n_vectors = 1, .payload = fix_payload(f, a, payload)};
    fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1}, 1);
}

static const struct qv__id one = {.kind = QV__ID_U64, .u = 1};

/* Apply to a stage that has `left` bytes to go; what it counts. */
static qv_status apply(struct fix *f, struct qv__collection *c, const struct qv__mutation *m,
                       uint64_t left, uint64_t *counted)
{
    struct qv__stage st;
    struct qv__arena a;
    struct qv__mutation checked;
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__schema *schema = qv__collection_schema(c);
    ctx.now_ms = 1;
    qv__arena_init(&a, f->mem);
    qv__stage_init(&st, c, schema, &a, &ctx);
    st.bytes = QV__REQUEST_BYTES_MAX - left;
    OK(qv__stage_check(schema, c->db->simd, ctx.now_ms, &a, m, &checked, &f->err));
    qv_status got = qv__stage_apply(&st, &checked, &f->err);
    *counted = st.bytes - (QV__REQUEST_BYTES_MAX - left);
    qv__stage_free(&st);
    qv__arena_free(&a);
    qv__schema_release(schema);
    return got;
}

static void refused(struct fix *f, struct qv__collection *c, const struct qv__mutation *m,
                    uint64_t left)
{
    uint64_t n;
    assert_int_equal(apply(f, c, m, left, &n), QV_ETOOBIG);
    assert_string_equal(f->err.message,
                        "the request writes more than 268435456 bytes: select fewer points");
}

/* A key that leads to every element of an array writes the patch as many times. */
static void test_patches(void **state)
{
    struct fix f0, *f = &f0;
    struct qv__arena a;
    struct qv__path path;
    uint64_t n;
    (void)state;
    struct qv__collection *c = start(f, DIM);
    qv__arena_init(&a, f->mem);
    put(f, c, &a, "{\"a\":[{},{},{},{},{},{},{},{}]}");
    OK(qv__path_parse(QV__STR("a[]"), &path, &f->err));
    struct qv__mutation m = {.kind = QV__MUT_SET_PAYLOAD, .ids = &one, .n_ids = 1, .at = &path};
    m.payload = fix_payload(f, &a, "{\"text\":\"0123456789012345678901234567890123456789\"}");
    assert_int_equal(apply(f, c, &m, 1000, &n), QV_OK);
    assert_true(n > 8 * m.payload.n);
    refused(f, c, &m, 2 * m.payload.n);
    refused(f, c, &m, n - 1);
    assert_int_equal(apply(f, c, &m, n, &n), QV_OK);
    qv__arena_free(&a);
    qv__collection_release(c);
    fix_close(f);
}

static void append_all(struct fix *f, struct qv__arena *a, struct qv__payload_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ops[i] = (struct qv__payload_op){.kind = QV__OP_APPEND, .text = QV__STR("b")};
        OK(qv__path_parse(ops[i].text, &ops[i].path, &f->err));
        uint8_t *value = qv__arena_alloc(a, 1);
        *value = QV__TAG_TRUE;
        ops[i].value = (struct qv__bytes){value, 1};
    }
}

/* What an edit leaves as it was is written again with the rest. */
static void test_rewritten(void **state)
{
    struct fix f0, *f = &f0;
    struct qv__arena a;
    struct qv__payload_op ops[3];
    struct qv__path path;
    struct qv__str name = QV__STR("");
    const size_t text = 40, vector = DIM * sizeof(float);
    uint64_t n;
    (void)state;
    struct qv__collection *c = start(f, DIM);
    qv__arena_init(&a, f->mem);
    put(f, c, &a, "{\"text\":\"0123456789012345678901234567890123456789\",\"x\":1}");
    struct qv__mutation m = {.kind = QV__MUT_SET_PAYLOAD, .ids = &one, .n_ids = 1};
    m.payload = fix_payload(f, &a, "{\"k\":1}");
    assert_int_equal(apply(f, c, &m, 1000, &n), QV_OK);
    assert_in_range(n, text, 2 * text);
    refused(f, c, &m, text);
    m.expires_ms = INT64_MAX - 1; /* all of it, vectors too */
    assert_int_equal(apply(f, c, &m, 1000, &n), QV_OK);
    assert_in_range(n, text + vector, 2 * text + vector);
    refused(f, c, &m, vector);

    m = (struct qv__mutation){.kind = QV__MUT_DELETE_PAYLOAD, .ids = &one, .n_ids = 1};
    OK(qv__path_parse(QV__STR("x"), &path, &f->err));
    m.paths = &path;
    m.n_paths = 1;
    refused(f, c, &m, text);

    m = (struct qv__mutation){.kind = QV__MUT_MODIFY_PAYLOAD, .ids = &one, .n_ids = 1};
    append_all(f, &a, ops, 3);
    m.ops = ops;
    for (m.n_ops = 1; m.n_ops <= 3; m.n_ops++) {
        refused(f, c, &m, text);
    }

    m = (struct qv__mutation){.kind = QV__MUT_DELETE_VECTORS, .ids = &one, .n_ids = 1};
    m.vector_names = &name;
    m.n_vector_names = 1;
    assert_int_equal(apply(f, c, &m, 1000, &n), QV_OK);
    assert_in_range(n, text, 2 * text);

    float v[DIM] = {2};
    struct qv__named_vector nv = {.name = name, .values = v, .dim = DIM};
    struct qv__point p = {.id = one, .vectors = &nv, .n_vectors = 1};
    m = (struct qv__mutation){.kind = QV__MUT_UPDATE_VECTORS, .points = &p, .n_points = 1};
    assert_int_equal(apply(f, c, &m, 1000, &n), QV_OK);
    assert_in_range(n, text, 2 * text); /* not what came with the request */
    p.n_vectors = 0;
    assert_int_equal(apply(f, c, &m, 1000, &n), QV_OK);
    assert_in_range(n, text + vector, 2 * text + vector);

    m = (struct qv__mutation){.kind = QV__MUT_DELETE, .ids = &one, .n_ids = 1};
    assert_int_equal(apply(f, c, &m, 0, &n), QV_OK);
    qv__arena_free(&a);
    qv__collection_release(c);
    fix_close(f);
}

/* More than a record holds: nothing is reserved for it. */
static void test_record(void **state)
{
    enum { MANY = 4200 };
    struct fix f0, *f = &f0;
    struct qv__write_result r;
    (void)state;
    struct qv__collection *c = start(f, QV__DIM_MAX);
    float *v = calloc(QV__DIM_MAX, sizeof *v);
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = QV__DIM_MAX};
    struct qv__point *p = calloc(MANY, sizeof *p);
    for (uint64_t i = 0; i < MANY; i++) {
        p[i] = (struct qv__point){.id = qv__id_u64(i), .vectors = &nv, .n_vectors = 1};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = p, .n_points = 1};
    fix_write(f, c, &m, 1);
    m.n_points = MANY;
    assert_true((uint64_t)MANY * QV__DIM_MAX * sizeof *v > QV__LOG_BODY_MAX);
    size_t used = qv__mem_used(qv__db_mem(f->db));
    assert_int_equal(qv__collection_write_sync(c, &m, 1, &r, &f->err), QV_ETOOBIG);
    assert_non_null(strstr(f->err.message, "one record of the log takes 1073741824"));
    assert_true(qv__mem_used(qv__db_mem(f->db)) <= used);
    free(p);
    free(v);
    qv__collection_release(c);
    fix_close(f);
}

/* However many times a selection names an id, it is edited once. */
static void test_repeated_ids(void **state)
{
    struct fix f0, *f = &f0;
    struct qv__arena a;
    struct qv__payload_op ops[1];
    struct qv__id ids[3] = {one, one, one};
    struct qv__write_result r;
    (void)state;
    struct qv__collection *c = start(f, DIM);
    qv__arena_init(&a, f->mem);
    put(f, c, &a, "{}");
    append_all(f, &a, ops, 1);
    struct qv__mutation m[2] = {{.kind = QV__MUT_MODIFY_PAYLOAD, .ids = ids, .n_ids = 3}};
    m[0].ops = ops;
    m[0].n_ops = 1;
    m[1] = m[0]; /* another selection is another edit */
    OK(qv__collection_write_sync(c, m, 2, &r, &f->err));
    assert_int_equal(r.n_affected, 1);
    uint64_t n;
    struct qv__qctx ctx = fix_ctx(f);
    const struct qv__filter *two =
        fix_filter(f, &a, "{\"must\":[{\"key\":\"b\",\"values_count\":{\"gte\":2,\"lte\":2}}]}");
    OK(qv__collection_count(c, two, &ctx, &n, &f->err));
    assert_int_equal(n, 1);
    qv__arena_free(&a);
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_repeated_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

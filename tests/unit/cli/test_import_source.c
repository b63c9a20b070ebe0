/* Documents to points: every kind of document, every kind of mistake, batches, lack of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/import.h"

static char path[64];

static void write_text(const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

struct fixture {
    struct qv__mem *mem;
    struct qv__import_source source;
    struct qv__import_batch batch;
    struct qv_err err;
};

static qv_status begin(struct fixture *f, const char *text, size_t n, uint32_t max)
{
    write_text(text, n);
    const char *files[] = {path};
    memset(&f->source, 0, sizeof f->source);
    memset(&f->batch, 0, sizeof f->batch);
    f->err = (struct qv_err){.code = QV_OK};
    QV_TRY(qv__import_source_open(&f->source, f->mem, files, 1, &f->err));
    f->source.id_field = "id";
    f->source.vector_name = "";
    QV_TRY(qv__import_batch_init(&f->batch, f->mem, max, &f->err));
    return qv__import_source_next(&f->source, &f->batch, &f->err);
}

static void end(struct fixture *f)
{
    qv__import_batch_free(&f->batch);
    qv__import_source_close(&f->source);
    assert_int_equal(qv__mem_used(f->mem), 0);
}

static void payload_is(struct fixture *f, uint32_t i, const char *expected)
{
    struct qv__buf b;
    struct qv__jw w;
    qv__buf_init(&b, f->mem);
    qv__jw_init(&w, &b);
    qv__payload_to_json(&w, f->batch.points[i].payload);
    qv__buf_putc(&b, '\0');
    assert_string_equal((const char *)b.p, expected);
    qv__buf_free(&b);
}

static void test_good(void **state)
{
    struct fixture *f = *state;
    static const char text[] =
        "\xef\xbb\xbf{\"id\":1,\"vector\":[1,2.5],\"payload\":{\"a\":[1,\"x\"]}}\r\n"
        "\n"
        "{\"id\":\"00000000-0000-0000-0000-0000000000ff\",\"vector\":{\"x\":[1],\"y\":[2,3]}}\n"
        "  \t\n"
        "{\"word\":\"cobbler\",\"id\":18446744073709551615,\"n\":9007199254740993}\n"
        "{\"id\":4,\"payload\":null,\"vector\":null}";
    assert_int_equal(begin(f, text, sizeof text - 1, 10), QV_OK);
    assert_int_equal(f->batch.n, 4);
    const struct qv__point *p = f->batch.points;
    assert_int_equal(p[0].id.u, 1);
    assert_int_equal(p[0].vectors[0].dim, 2);
    assert_true(p[0].vectors[0].values[1] == 2.5f);
    payload_is(f, 0, "{\"a\":[1,\"x\"]}");
    assert_int_equal(p[1].id.kind, QV__ID_UUID);
    assert_int_equal(p[1].n_vectors, 2);
    assert_true(qv__str_eq(p[1].vectors[1].name, QV__STR("y")));
    assert_true(p[2].id.u == UINT64_MAX);
    payload_is(f, 2, "{\"word\":\"cobbler\",\"n\":9007199254740993}");
    payload_is(f, 3, "{}");
    assert_int_equal(p[3].n_vectors, 0);
    assert_int_equal(f->batch.places[0], 1);
    assert_int_equal(f->batch.places[1], 3);
    assert_int_equal(f->batch.places[2], 5);
    assert_int_equal(f->batch.places[3], 6);
    assert_int_equal(qv__import_source_next(&f->source, &f->batch, &f->err), QV_OK);
    assert_int_equal(f->batch.n, 0);
    end(f);
}

static void test_bad(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *line, *said;
    } bad[] = {
        {"{", "column"},
        {"[1]", "must be a JSON object"},
        {"{\"id\":1} {\"id\":2}", "column"},
        {"{\"id\":-1}", "`id` is neither"},
        {"{\"id\":1.5}", "`id` is neither"},
        {"{\"id\":\"abc\"}", "`id` is neither"},
        {"{\"payload\":{}}", "--id-field"},
        {"{\"id\":1,\"vector\":[]}", "`vector` is no array"},
        {"{\"id\":1,\"vector\":[1,\"2\"]}", "no number"},
        {"{\"id\":1,\"vector\":[1,1e39]}", "no number, or too large"},
        {"{\"id\":1,\"vector\":7}", "`vector` is no array"},
        {"{\"id\":1,\"vector\":{\"a\":{}}}", "`a` is no array"},
        {"{\"id\":1,\"payload\":5}", "payload"},
        {"{\"id\":1,\"payload\":{},\"word\":\"x\"}", "unexpected member `word`"},
        {"{\"id\":1,\"a\":\"\xff\"}", "column"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        char text[256];
        int n = snprintf(text, sizeof text, "{\"id\":7}\n%s\n{\"id\":8}\n", bad[i].line);
        if (begin(f, text, (size_t)n, 10) == QV_OK || !strstr(f->err.message, bad[i].said) ||
            !strstr(f->err.message, "line 2")) {
            fail_msg("%s: %s", bad[i].line, f->err.message);
        }
        assert_int_equal(f->batch.n, 1); /* what came before */
        assert_int_equal(f->batch.points[0].id.u, 7);
        end(f);
    }
}

static void test_batches(void **state)
{
    struct fixture *f = *state;
    char text[4096];
    size_t n = 0;
    for (int i = 0; i < 100; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"id\":%d}\n", i);
    }
    assert_int_equal(begin(f, text, n, 32), QV_OK);
    uint64_t next = 0;
    static const uint32_t sizes[] = {32, 32, 32, 4, 0};
    for (size_t k = 0; k < QV_ARRAY_LEN(sizes); k++) {
        assert_int_equal(f->batch.n, sizes[k]);
        for (uint32_t i = 0; i < f->batch.n; i++) {
            assert_int_equal(f->batch.points[i].id.u, next++);
        }
        assert_int_equal(qv__import_source_next(&f->source, &f->batch, &f->err), QV_OK);
    }
    end(f);
}

static void test_numbered(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "{\"a\":1}\n{\"id\":77,\"a\":2}\n{\"a\":3}\n";
    assert_int_not_equal(begin(f, text, sizeof text - 1, 10), QV_OK);
    end(f);
    write_text(text, sizeof text - 1);
    const char *files[] = {path};
    memset(&f->source, 0, sizeof f->source);
    assert_int_equal(qv__import_source_open(&f->source, f->mem, files, 1, &f->err), QV_OK);
    f->source.id_field = "id";
    f->source.vector_name = "";
    f->source.numbered = true;
    f->source.first_id = 10;
    assert_int_equal(qv__import_batch_init(&f->batch, f->mem, 10, &f->err), QV_OK);
    assert_int_equal(qv__import_source_next(&f->source, &f->batch, &f->err), QV_OK);
    assert_int_equal(f->batch.points[0].id.u, 10);
    assert_int_equal(f->batch.points[1].id.u, 77);
    assert_int_equal(f->batch.points[2].id.u, 12);
    end(f);
}

/* A line longer than the limit is refused by its number, not taken into memory for ever. */
static void test_long_line(void **state)
{
    struct fixture *f = *state;
    size_t n = QV__LINE_BYTES_MAX + ((size_t)2 << 20);
    struct qv__buf b;
    qv__buf_init(&b, f->mem);
    uint8_t *p = qv__buf_reserve(&b, n);
    assert_non_null(p);
    memset(p, 'x', n);
    memcpy(p, "{\"id\":1}\n", 9);
    b.n = n;
    write_text((const char *)b.p, b.n);
    qv__buf_free(&b);
    const char *files[] = {path};
    memset(&f->source, 0, sizeof f->source);
    assert_int_equal(qv__import_source_open(&f->source, f->mem, files, 1, &f->err), QV_OK);
    f->source.id_field = "id";
    f->source.vector_name = "";
    assert_int_equal(qv__import_batch_init(&f->batch, f->mem, 10, &f->err), QV_OK);
    assert_int_equal(qv__import_source_next(&f->source, &f->batch, &f->err), QV_ETOOBIG);
    assert_non_null(strstr(f->err.message, "line 2"));
    assert_int_equal(f->batch.n, 1);
    end(f);
}

/* The n-th allocation fails, until none does. */
static void test_no_memory(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "{\"id\":1,\"vector\":[1,2.5],\"payload\":{\"a\":[1,\"x\"]}}\n"
                               "{\"id\":2,\"vector\":{\"x\":[1]},\"b\":{\"c\":null}}\n";
    qv_status st = QV_ENOMEM;
    uint64_t n = 1;
    for (; st != QV_OK; n++) {
        assert_true(n < 500);
        qv__mem_fail_at(f->mem, n, false);
        st = begin(f, text, sizeof text - 1, 10);
        qv__mem_fail_at(f->mem, 0, false);
        assert_true(st == QV_OK || st == QV_ENOMEM);
        assert_true(st == QV_OK || f->err.message[0]);
        end(f);
    }
    assert_true(n > 5); /* it did fail, and not only once */
}

static int setup(void **state)
{
    static struct fixture f;
    f.mem = qv__mem_root("test", 0);
    snprintf(path, sizeof path, "/tmp/qv-test-XXXXXX");
    int fd = mkstemp(path);
    if (fd >= 0) {
        close(fd);
    }
    *state = &f;
    return f.mem && fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)unlink(path);
    qv__mem_close(f->mem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* payload_test.h: what the tests of this folder share: an arena, JSON text to nodes, rows, text
 * again. All of it dies with the fixture. */
#ifndef QV_TEST_PAYLOAD_H
#define QV_TEST_PAYLOAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "payload/filter.h"

struct fixture {
    struct qv__mem *mem;
    struct qv__arena arena;
};

QV_UNUSED static int fixture_setup(void **state)
{
    static struct fixture f;
    f.mem = qv__mem_root("test", 0);
    if (!f.mem) {
        return -1;
    }
    qv__arena_init(&f.arena, f.mem);
    *state = &f;
    return 0;
}

QV_UNUSED static int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    qv__arena_free(&f->arena);
    int leaked = qv__mem_used(f->mem) != 0;
    qv__mem_close(f->mem);
    return leaked ? -1 : 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

QV_UNUSED static qv__json json_n(struct fixture *f, const char *text, size_t n)
{
    static const struct qv__json_limits deep = {.depth_max = 128};
    struct qv_err err = {.code = QV_OK};
    qv__json v = NULL;
    if (qv__json_parse(&f->arena, text, n, &deep, &v, &err) != QV_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    return v;
}

QV_UNUSED static qv__json json(struct fixture *f, const char *text)
{
    return json_n(f, text, strlen(text));
}

/* Bytes of a finished buffer, moved into the arena. */
QV_UNUSED static struct qv__bytes keep(struct fixture *f, struct qv__buf *b)
{
    uint8_t *p = qv__arena_alloc(&f->arena, b->n + 1);
    assert_non_null(p);
    memcpy(p, b->p, b->n);
    p[b->n] = 0;
    struct qv__bytes out = {p, b->n};
    qv__buf_free(b);
    return out;
}

QV_UNUSED static struct qv__bytes row_of(struct fixture *f, qv__json v)
{
    struct qv__buf b;
    struct qv_err err = {.code = QV_OK};
    qv__buf_init(&b, f->mem);
    if (qv__payload_from_json(&b, v, &err) != QV_OK) {
        fail_msg("%s", err.message);
    }
    struct qv__bytes row = keep(f, &b);
    assert_true(qv__payload_valid(row));
    return row;
}

QV_UNUSED static struct qv__bytes row(struct fixture *f, const char *text)
{
    return row_of(f, json(f, text));
}

/* NUL-terminated JSON of a row. */
QV_UNUSED static const char *text_of(struct fixture *f, struct qv__bytes r)
{
    struct qv__buf b;
    struct qv__jw w;
    qv__buf_init(&b, f->mem);
    qv__jw_init(&w, &b);
    qv__payload_to_json(&w, r);
    assert_false(b.failed);
    return (const char *)keep(f, &b).p;
}

QV_UNUSED static struct qv__path path(const char *text)
{
    struct qv__path p;
    struct qv_err err = {.code = QV_OK};
    if (qv__path_parse(qv__str_z(text), &p, &err) != QV_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    return p;
}

/* A monotonic clock that counts how often it is looked at; its time is that number. */
QV_UNUSED static uint64_t looks_ns(void *looks)
{
    return ++*(uint64_t *)looks;
}

QV_UNUSED static uint64_t seed_of(uint64_t fixed)
{
    const char *z = getenv("QV_TEST_SEED");
    uint64_t seed = z ? strtoull(z, NULL, 0) : fixed;
    printf("seed %llu\n", (unsigned long long)seed);
    return seed;
}

#endif

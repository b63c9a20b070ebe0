/* test_payload_edit.c: merging into rows and removing from them. */
#include "payload_test.h"

static void check(struct fixture *f, const char *what, struct qv__bytes r, const char *want)
{
    assert_true(qv__payload_valid(r));
    const char *got = text_of(f, r);
    if (strcmp(got, want) != 0) {
        fail_msg("%s: got %s, want %s", what, got, want);
    }
}

static struct qv__bytes merge(struct fixture *f, const char *doc, const char *patch, const char *at)
{
    struct qv__buf b;
    struct qv_err err = {.code = QV_OK};
    struct qv__path p;
    if (at) {
        p = path(at);
    }
    qv__buf_init(&b, f->mem);
    qv__buf_put(&b, "old", 3);
    if (qv__payload_merge(&b, row(f, doc), row(f, patch), at ? &p : NULL, &err) != QV_OK) {
        fail_msg("%s", err.message);
    }
    assert_memory_equal(b.p, "old", 3);
    struct qv__bytes r = keep(f, &b);
    return (struct qv__bytes){r.p + 3, r.n - 3};
}

static void merging(void **state)
{
    struct fixture *f = *state;
    static const char list[] = "{\"a\":{\"b\":[{\"c\":1},{\"c\":2},{\"d\":{\"e\":3}}]},\"f\":3}";
    static const struct {
        const char *doc, *patch, *at, *want;
    } cases[] = {
        {"{}", "{}", NULL, "{}"},
        {"{\"a\":1}", "{}", NULL, "{\"a\":1}"},
        {"{}", "{\"c\":1}", NULL, "{\"c\":1}"},
        {"{\"a\":1,\"b\":2}", "{\"c\":3}", NULL, "{\"a\":1,\"b\":2,\"c\":3}"},
        /* a replaced member keeps its place; new ones follow in the patch's order */
        {"{\"a\":1,\"b\":2,\"c\":3}", "{\"z\":0,\"b\":[4],\"y\":1}", NULL,
         "{\"a\":1,\"b\":[4],\"c\":3,\"z\":0,\"y\":1}"},
        /* objects are replaced, not merged, below the place */
        {"{\"a\":{\"x\":1}}", "{\"a\":{\"y\":2}}", NULL, "{\"a\":{\"y\":2}}"},
        /* null removes, but only as a member of the patch itself */
        {"{\"a\":1,\"b\":2}", "{\"a\":null,\"q\":null}", NULL, "{\"b\":2}"},
        {"{\"a\":1}", "{\"a\":{\"n\":null}}", NULL, "{\"a\":{\"n\":null}}"},
        {"{\"a\":{\"x\":1,\"y\":2}}", "{\"x\":null,\"z\":3}", "a", "{\"a\":{\"y\":2,\"z\":3}}"},
        {"{}", "{\"x\":null,\"z\":3}", "a", "{\"a\":{\"z\":3}}"},
        /* at a key */
        {list, "{\"b\":5}", "a", "{\"a\":{\"b\":5},\"f\":3}"},
        {list, "{\"g\":5}", "a",
         "{\"a\":{\"b\":[{\"c\":1},{\"c\":2},{\"d\":{\"e\":3}}],\"g\":5},\"f\":3}"},
        {"{}", "{\"c\":1}", "k1.k2", "{\"k1\":{\"k2\":{\"c\":1}}}"},
        {"{\"k1\":{\"z\":1}}", "{\"c\":1}", "k1.k2", "{\"k1\":{\"z\":1,\"k2\":{\"c\":1}}}"},
        {"{\"a\":10}", "{\"x\":1}", "a.b.c", "{\"a\":{\"b\":{\"c\":{\"x\":1}}}}"},
        {"{\"a\":[1]}", "{\"x\":1}", "a", "{\"a\":{\"x\":1}}"},
        {"{\"a\":null,\"b\":1}", "{\"x\":1}", "a", "{\"a\":{\"x\":1},\"b\":1}"},
        {"{\"a.b\":{\"x\":0}}", "{\"x\":1}", "\"a.b\"", "{\"a.b\":{\"x\":1}}"},
        {"{\"a\":1}", "{}", "b", "{\"a\":1,\"b\":{}}"},
        /* at an index */
        {list, "{\"c\":5}", "a.b[1]",
         "{\"a\":{\"b\":[{\"c\":1},{\"c\":5},{\"d\":{\"e\":3}}]},\"f\":3}"},
        {list, "{}", "a.b[1]", list},
        {list, "{\"c\":5}", "a.b[7]", list},
        {"{}", "{\"c\":1}", "k1.k2[3]", "{\"k1\":{\"k2\":[]}}"},
        {"{}", "{\"c\":1}", "k1.k2[0]", "{\"k1\":{\"k2\":[]}}"},
        {"{\"a\":{\"x\":1}}", "{\"c\":1}", "a[0]", "{\"a\":[]}"},
        {"{\"a\":[1,2]}", "{\"c\":1}", "a[1]", "{\"a\":[1,{\"c\":1}]}"},
        {"{\"a\":[[1],[2,3]]}", "{\"c\":1}", "a[1][0].d", "{\"a\":[[1],[{\"d\":{\"c\":1}},3]]}"},
        /* every element */
        {list, "{\"c\":5}", "a.b[]",
         "{\"a\":{\"b\":[{\"c\":5},{\"c\":5},{\"d\":{\"e\":3},\"c\":5}]},\"f\":3}"},
        {list, "{\"n\":null,\"c\":null}", "a.b[]",
         "{\"a\":{\"b\":[{},{},{\"d\":{\"e\":3}}]},\"f\":3}"},
        {list, "{\"e\":5}", "a.b[].d",
         "{\"a\":{\"b\":[{\"c\":1,\"d\":{\"e\":5}},{\"c\":2,\"d\":{\"e\":5}},{\"d\":{\"e\":5}}]},"
         "\"f\":3}"},
        {"{\"a\":[1,\"x\",null]}", "{\"c\":1}", "a[]", "{\"a\":[{\"c\":1},{\"c\":1},{\"c\":1}]}"},
        {"{}", "{\"c\":1}", "k1.k2[].k3", "{\"k1\":{\"k2\":[]}}"},
        {"{\"k1\":5}", "{\"c\":1}", "k1[]", "{\"k1\":[]}"},
        {"{\"a\":[]}", "{\"c\":1}", "a[]", "{\"a\":[]}"},
        {"{\"a\":[[],[1]]}", "{\"c\":1}", "a[][]", "{\"a\":[[],[{\"c\":1}]]}"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        char what[160];
        snprintf(what, sizeof what, "%.50s + %.40s at %s", cases[i].doc, cases[i].patch,
                 cases[i].at ? cases[i].at : "the root");
        check(f, what, merge(f, cases[i].doc, cases[i].patch, cases[i].at), cases[i].want);
    }
    /* A row without bytes is an empty object. */
    struct qv__buf b;
    struct qv_err err;
    qv__buf_init(&b, f->mem);
    assert_int_equal(
        qv__payload_merge(&b, (struct qv__bytes){NULL, 0}, row(f, "{\"a\":1}"), NULL, &err), QV_OK);
    check(f, "no bytes", keep(f, &b), "{\"a\":1}");
}

/* Patches around the size where an index takes over. */
static void wide_patches(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 6; n < 80; n += n < 12 ? 1 : 22) {
        struct qv__buf doc, patch, want;
        qv__buf_init(&doc, f->mem);
        qv__buf_init(&patch, f->mem);
        qv__buf_init(&want, f->mem);
        /* old: 0..2n-1; patch: the even ones replaced, those of 3k removed, n new ones. */
        for (unsigned i = 0; i < 2 * n; i++) {
            qv__buf_printf(&doc, "%s\"k%u\":%u", i ? "," : "{\"l\":[{", i, i);
        }
        qv__buf_putz(&doc, "},{}]}");
        for (unsigned i = 0; i < 3 * n; i += 2) {
            qv__buf_printf(&patch, "%s\"k%u\":", i ? "," : "{", i);
            qv__buf_putz(&patch, i % 3 == 0 ? "null" : "\"new\"");
        }
        qv__buf_putz(&patch, "}");
        bool first = true;
        qv__buf_putz(&want, "{\"l\":[{");
        for (unsigned i = 0; i < 3 * n; i++) {
            bool patched = i % 2 == 0;
            if ((patched && i % 3 == 0) || (!patched && i >= 2 * n)) {
                continue;
            }
            qv__buf_printf(&want, "%s\"k%u\":", first ? "" : ",", i);
            if (patched) {
                qv__buf_putz(&want, "\"new\"");
            } else {
                qv__buf_printf(&want, "%u", i);
            }
            first = false;
        }
        qv__buf_putz(&want, "},{");
        first = true;
        for (unsigned i = 0; i < 3 * n; i += 2) {
            if (i % 3) {
                qv__buf_printf(&want, "%s\"k%u\":\"new\"", first ? "" : ",", i);
                first = false;
            }
        }
        qv__buf_putz(&want, "}]}");
        qv__buf_u8(&doc, 0);
        qv__buf_u8(&patch, 0);
        qv__buf_u8(&want, 0);
        check(f, "wide", merge(f, (char *)doc.p, (char *)patch.p, "l[]"), (char *)want.p);
        qv__buf_free(&doc);
        qv__buf_free(&patch);
        qv__buf_free(&want);
    }
}

static const char *deep(struct fixture *f, unsigned depth)
{
    char *z = qv__arena_alloc(&f->arena, depth * 8 + 8);
    char *p = z;
    for (unsigned i = 0; i < depth; i++) {
        p += sprintf(p, i == depth - 1 ? "{" : "{\"a\":");
    }
    for (unsigned i = 0; i < depth; i++) {
        *p++ = '}';
    }
    *p = 0;
    return z;
}

static void merge_limits(void **state)
{
    struct fixture *f = *state;
    struct qv_err err;
    struct qv__buf b;
    struct qv__path p = path("x.y[].z");

    /* x, y, the element and z put four containers around... the patch lands at depth five. */
    for (unsigned depth = 59; depth <= 61; depth++) {
        qv__buf_init(&b, f->mem);
        qv__buf_put(&b, "old", 3);
        qv_status st =
            qv__payload_merge(&b, row(f, "{\"x\":{\"y\":[{}]}}"), row(f, deep(f, depth)), &p, &err);
        if (depth <= 60) {
            assert_int_equal(st, QV_OK);
            assert_true(qv__payload_valid((struct qv__bytes){b.p + 3, b.n - 3}));
        } else {
            assert_int_equal(st, QV_ETOOBIG);
            assert_string_equal(err.message, "payload: would be nested deeper than 64 levels");
            assert_int_equal(b.n, 3);
        }
        qv__buf_free(&b);
    }
    qv__buf_init(&b, f->mem);
    assert_int_equal(qv__payload_merge(&b, row(f, "{}"), row(f, deep(f, 64)), NULL, &err), QV_OK);
    qv__buf_free(&b);

    struct qv__buf doc;
    qv__buf_init(&doc, f->mem);
    for (unsigned i = 0; i < 10000; i++) {
        qv__buf_printf(&doc, "%s\"k%u\":%u", i ? "," : "{", i, i);
    }
    qv__buf_putz(&doc, "}");
    struct qv__bytes full = row_of(f, json_n(f, (char *)doc.p, doc.n));
    qv__buf_free(&doc);
    qv__buf_init(&b, f->mem);
    assert_int_equal(qv__payload_merge(&b, full, row(f, "{\"k5\":1}"), NULL, &err), QV_OK);
    qv__buf_reset(&b);
    assert_int_equal(qv__payload_merge(&b, full, row(f, "{\"new\":1,\"k5\":null}"), NULL, &err),
                     QV_OK);
    qv__buf_reset(&b);
    assert_int_equal(qv__payload_merge(&b, full, row(f, "{\"new\":1}"), NULL, &err), QV_ETOOBIG);
    assert_string_equal(err.message, "payload: an object would have more than 10000 members");
    assert_int_equal(b.n, 0);
    p = path("new.x");
    assert_int_equal(qv__payload_merge(&b, full, row(f, "{\"a\":1}"), &p, &err), QV_ETOOBIG);
    qv__buf_free(&b);
}

static void removing(void **state)
{
    struct fixture *f = *state;
    static const char doc[] =
        "{\"a\":1,\"b\":{\"c\":123,\"e\":{\"f\":[1,2,3],\"g\":7,\"i\":[{\"j\":1,\"k\":2},"
        "{\"j\":3,\"k\":4}]}},\"\":{\"a.b\":5}}";
    static const struct {
        const char *paths[4];
        const char *want;
    } cases[] = {
        {{NULL}, doc},
        {{"k"}, doc},
        {{"b.k"}, doc},
        {{"a.b"}, doc},
        {{"a[]"}, doc},
        {{"b[]"}, doc},
        {{"b.c.d"}, doc},
        {{"b.e.f[0]"}, doc}, /* removing by index is not done: it is not idempotent */
        {{"b.e.i[0]"}, doc},
        {{"b.e.i[5].j"}, doc},
        {{"b.e.i.j"}, doc},
        {{"a"},
         "{\"b\":{\"c\":123,\"e\":{\"f\":[1,2,3],\"g\":7,\"i\":[{\"j\":1,\"k\":2},"
         "{\"j\":3,\"k\":4}]}},\"\":{\"a.b\":5}}"},
        {{"b"}, "{\"a\":1,\"\":{\"a.b\":5}}"},
        {{"b.e"}, "{\"a\":1,\"b\":{\"c\":123},\"\":{\"a.b\":5}}"},
        {{"\"\".\"a.b\"", "b"}, "{\"a\":1,\"\":{}}"},
        {{"a", "b", "\"\""}, "{}"},
        {{"b.c", "b.e.i[0].j"},
         "{\"a\":1,\"b\":{\"e\":{\"f\":[1,2,3],\"g\":7,\"i\":[{\"k\":2},"
         "{\"j\":3,\"k\":4}]}},\"\":{\"a.b\":5}}"},
        {{"b.e.i[].k", "b.e.f", "b.c"},
         "{\"a\":1,\"b\":{\"e\":{\"g\":7,\"i\":[{\"j\":1},{\"j\":3}]}},\"\":{\"a.b\":5}}"},
        {{"b.e.i[]"},
         "{\"a\":1,\"b\":{\"c\":123,\"e\":{\"f\":[1,2,3],\"g\":7,\"i\":[]}},\"\":{\"a.b\":5}}"},
        {{"b.e.f[]", "b.e.i[]", "b.e.i[].k"},
         "{\"a\":1,\"b\":{\"c\":123,\"e\":{\"f\":[],\"g\":7,\"i\":[]}},\"\":{\"a.b\":5}}"},
        {{"b.e.i[0].j", "b.e.i[1].k", "b.e.i[].x"},
         "{\"a\":1,\"b\":{\"c\":123,\"e\":{\"f\":[1,2,3],\"g\":7,\"i\":[{\"k\":2},{\"j\":3}]}},"
         "\"\":{\"a.b\":5}}"},
        {{"b", "b.e.g"}, "{\"a\":1,\"\":{\"a.b\":5}}"},
        {{"b.e.g", "b"}, "{\"a\":1,\"\":{\"a.b\":5}}"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv__path paths[4];
        struct qv__buf b;
        struct qv_err err;
        size_t n = 0;
        while (n < 4 && cases[i].paths[n]) {
            paths[n] = path(cases[i].paths[n]);
            n++;
        }
        qv__buf_init(&b, f->mem);
        assert_int_equal(qv__payload_remove(&b, row(f, doc), paths, n, NULL, &err), QV_OK);
        check(f, n ? cases[i].paths[0] : "nothing", keep(f, &b), cases[i].want);
    }
    struct qv__buf b;
    struct qv_err err;
    struct qv__path p = path("a");
    qv__buf_init(&b, f->mem);
    assert_int_equal(qv__payload_remove(&b, (struct qv__bytes){NULL, 0}, &p, 1, NULL, &err), QV_OK);
    check(f, "no bytes", keep(f, &b), "{}");
    /* A path of sixteen steps. */
    p = path("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a");
    qv__buf_init(&b, f->mem);
    assert_int_equal(qv__payload_remove(&b, row(f, deep(f, 40)), &p, 1, NULL, &err), QV_OK);
    check(f, "sixteen", keep(f, &b), deep(f, 16));
}

/* All paths are compared at each member; where their time ends nothing is written. */
static void removing_many(void **state)
{
    enum { MEMBERS = 200, PATHS = 5000 };
    struct fixture *f = *state;
    struct qv__path *paths = qv__arena_calloc(&f->arena, PATHS, sizeof *paths);
    struct qv__buf b;
    qv__buf_init(&b, f->mem);
    for (int i = 0; i < MEMBERS; i++) {
        qv__buf_printf(&b, "%s\"k%d\":1", i ? "," : "{", i);
    }
    qv__buf_putc(&b, '}');
    struct qv__bytes old = row_of(f, json_n(f, (const char *)b.p, b.n));
    for (int i = 0; i < PATHS; i++) {
        paths[i] = path("other");
    }
    for (uint64_t deadline = 1; deadline <= MEMBERS; deadline += 66) {
        uint64_t looks = 0;
        struct qv__clock clock = {.mono_ns = looks_ns, .ctx = &looks};
        struct qv__qctx ctx = {.clock = &clock, .deadline_ns = deadline};
        struct qv__steps steps = {.q = &ctx};
        qv__buf_reset(&b);
        qv_status st = qv__payload_remove(&b, old, paths, PATHS, &steps, NULL);
        assert_true(looks > MEMBERS / 2 || st == QV_ETIMEOUT);
        assert_int_equal(st, looks > deadline ? QV_ETIMEOUT : QV_OK);
        assert_true(looks <= deadline + 1);
        assert_int_equal(b.n, st == QV_OK ? old.n : 0);
    }
    qv__buf_free(&b);
}

static void out_of_memory(void **state)
{
    struct fixture *f = *state;
    struct qv__buf doc;
    qv__buf_init(&doc, f->mem);
    for (unsigned i = 0; i < 60; i++) {
        qv__buf_printf(&doc, "%s\"k%u\":{\"x\":\"%040u\",\"y\":[{\"z\":1}]}", i ? "," : "{", i, i);
    }
    qv__buf_putz(&doc, "}");
    struct qv__bytes r = row_of(f, json_n(f, (char *)doc.p, doc.n));
    qv__buf_free(&doc);
    struct qv__path at = path("k7.y[]");
    struct qv__path gone = path("k7.y[].z");
    size_t before = qv__mem_used(f->mem);
    for (int op = 0; op < 2; op++) {
        bool done = false;
        unsigned failures = 0;
        for (uint64_t n = 1; !done; n++) {
            struct qv__buf b;
            struct qv_err err = {.code = QV_OK};
            qv__buf_init(&b, f->mem);
            qv__buf_put(&b, "old", 3);
            qv__mem_fail_at(f->mem, n, true);
            qv_status st = op ? qv__payload_remove(&b, r, &gone, 1, NULL, &err)
                              : qv__payload_merge(&b, r, r, &at, &err);
            qv__mem_fail_at(f->mem, 0, false);
            done = st == QV_OK;
            if (!done) {
                failures++;
                assert_int_equal(st, QV_ENOMEM);
                assert_int_equal(err.code, QV_ENOMEM);
                assert_int_equal(b.n, 3);
            }
            assert_memory_equal(b.p, "old", 3);
            qv__buf_free(&b);
            assert_int_equal(qv__mem_used(f->mem), before);
        }
        assert_true(failures >= (op ? 1 : 3));
    }
}

/* ---- against a simple model ---- */

/* Random small documents over a few keys, so that paths hit. */
static void put_random(struct qv__buf *b, struct qv__rng *rng, unsigned depth)
{
    uint64_t kind = qv__rng_below(rng, depth < 4 ? 8 : 4);
    if (kind >= 6 || depth == 0) {
        uint64_t n = qv__rng_below(rng, 5);
        bool first = true;
        qv__buf_putz(b, "{");
        for (uint64_t i = 0; i < n; i++) {
            if (qv__rng_below(rng, 2)) {
                qv__buf_printf(b, "%s\"%c\":", first ? "" : ",", (int)('a' + i));
                put_random(b, rng, depth + 1);
                first = false;
            }
        }
        qv__buf_putz(b, "}");
    } else if (kind >= 4) {
        uint64_t n = qv__rng_below(rng, 4);
        qv__buf_putz(b, "[");
        for (uint64_t i = 0; i < n; i++) {
            qv__buf_putz(b, i ? "," : "");
            put_random(b, rng, depth + 1);
        }
        qv__buf_putz(b, "]");
    } else if (kind == 3) {
        qv__buf_putz(b, "null");
    } else {
        qv__buf_printf(b, "%u", (unsigned)qv__rng_below(rng, 100));
    }
}

static qv__json random_doc(struct fixture *f, struct qv__rng *rng)
{
    struct qv__buf b;
    qv__buf_init(&b, f->mem);
    put_random(&b, rng, 0);
    qv__json v = json_n(f, (char *)b.p, b.n);
    qv__buf_free(&b);
    return v;
}

static struct qv__path random_path(struct qv__rng *rng)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    struct qv__path p = {.n = 1 + (uint32_t)qv__rng_below(rng, 4)};
    for (uint32_t i = 0; i < p.n; i++) {
        uint64_t kind = i ? qv__rng_below(rng, 5) : 0;
        if (kind <= 2) {
            p.step[i].kind = QV__STEP_KEY;
            p.step[i].key = qv__str_z(keys[qv__rng_below(rng, 5)]);
        } else if (kind == 3) {
            p.step[i].kind = QV__STEP_ALL;
        } else {
            p.step[i].kind = QV__STEP_INDEX;
            p.step[i].index = (uint32_t)qv__rng_below(rng, 3);
        }
    }
    return p;
}

/* Models write JSON text recursively from JSON nodes: nothing shared with the code under test. */
static void model_merge(struct qv__jw *w, qv__json old, qv__json patch, const struct qv__path *p,
                        uint32_t step)
{
    if (step == p->n) {
        bool obj = qv__json_is(old, QV__JSON_OBJ);
        qv__jw_obj(w);
        qv__json k = obj ? qv__json_first(old) : NULL;
        for (uint32_t i = 0; k && i < old->len; i++, k = qv__json_next(k + 1)) {
            qv__json with = qv__json_get_n(patch, k->s, k->len);
            if (!with || with->kind != QV__JSON_NULL) {
                qv__jw_key_n(w, (struct qv__str){k->s, k->len});
                qv__jw_value(w, with ? with : k + 1);
            }
        }
        k = qv__json_first(patch);
        for (uint32_t i = 0; k && i < patch->len; i++, k = qv__json_next(k + 1)) {
            bool had = obj && qv__json_get_n(old, k->s, k->len);
            if (!had && k[1].kind != QV__JSON_NULL) {
                qv__jw_key_n(w, (struct qv__str){k->s, k->len});
                qv__jw_value(w, k + 1);
            }
        }
        qv__jw_obj_end(w);
        return;
    }
    const struct qv__path_step *s = &p->step[step];
    if (s->kind == QV__STEP_KEY) {
        bool met = false;
        qv__jw_obj(w);
        qv__json k = qv__json_is(old, QV__JSON_OBJ) ? qv__json_first(old) : NULL;
        for (uint32_t i = 0; k && i < old->len; i++, k = qv__json_next(k + 1)) {
            qv__jw_key_n(w, (struct qv__str){k->s, k->len});
            if (k->len == s->key.n && memcmp(k->s, s->key.p, k->len) == 0) {
                met = true;
                model_merge(w, k + 1, patch, p, step + 1);
            } else {
                qv__jw_value(w, k + 1);
            }
        }
        if (!met) {
            qv__jw_key_n(w, s->key);
            model_merge(w, NULL, patch, p, step + 1);
        }
        qv__jw_obj_end(w);
        return;
    }
    qv__jw_arr(w);
    qv__json e = qv__json_is(old, QV__JSON_ARR) ? qv__json_first(old) : NULL;
    for (uint32_t i = 0; e && i < old->len; i++, e = qv__json_next(e)) {
        if (s->kind == QV__STEP_ALL || s->index == i) {
            model_merge(w, e, patch, p, step + 1);
        } else {
            qv__jw_value(w, e);
        }
    }
    qv__jw_arr_end(w);
}

/* One path; a list of them is applied one after the other. */
static void model_remove(struct qv__jw *w, qv__json v, const struct qv__path *p, uint32_t step)
{
    const struct qv__path_step *s = step < p->n ? &p->step[step] : NULL;
    if (s && s->kind == QV__STEP_KEY && v->kind == QV__JSON_OBJ) {
        qv__jw_obj(w);
        qv__json k = qv__json_first(v);
        for (uint32_t i = 0; k && i < v->len; i++, k = qv__json_next(k + 1)) {
            bool hit = k->len == s->key.n && memcmp(k->s, s->key.p, k->len) == 0;
            if (hit && step + 1 == p->n) {
                continue;
            }
            qv__jw_key_n(w, (struct qv__str){k->s, k->len});
            if (hit) {
                model_remove(w, k + 1, p, step + 1);
            } else {
                qv__jw_value(w, k + 1);
            }
        }
        qv__jw_obj_end(w);
    } else if (s && s->kind == QV__STEP_ALL && v->kind == QV__JSON_ARR && step + 1 == p->n) {
        qv__jw_arr(w);
        qv__jw_arr_end(w);
    } else if (s && s->kind != QV__STEP_KEY && v->kind == QV__JSON_ARR && step + 1 < p->n) {
        qv__jw_arr(w);
        qv__json e = qv__json_first(v);
        for (uint32_t i = 0; e && i < v->len; i++, e = qv__json_next(e)) {
            if (s->kind == QV__STEP_ALL || s->index == i) {
                model_remove(w, e, p, step + 1);
            } else {
                qv__jw_value(w, e);
            }
        }
        qv__jw_arr_end(w);
    } else {
        qv__jw_value(w, v);
    }
}

static void random_edits(void **state)
{
    struct fixture *f = *state;
    struct qv__rng rng;
    qv__rng_seed(&rng, seed_of(20));
    for (unsigned round = 0; round < 4000; round++) {
        qv__json doc = random_doc(f, &rng);
        struct qv__buf got, want;
        struct qv__jw w;
        struct qv_err err;
        qv__buf_init(&got, f->mem);
        if (round % 2) {
            qv__json patch = random_doc(f, &rng);
            struct qv__path p = random_path(&rng);
            bool root = qv__rng_below(&rng, 8) == 0;
            p.n = root ? 0 : p.n;
            assert_int_equal(
                qv__payload_merge(&got, row_of(f, doc), row_of(f, patch), root ? NULL : &p, &err),
                QV_OK);
            qv__buf_init(&want, f->mem);
            qv__jw_init(&w, &want);
            model_merge(&w, doc, patch, &p, 0);
        } else {
            struct qv__path paths[3];
            size_t n = qv__rng_below(&rng, 4);
            qv__json step = doc;
            for (size_t i = 0; i < n; i++) {
                paths[i] = random_path(&rng);
                qv__buf_init(&want, f->mem);
                qv__jw_init(&w, &want);
                model_remove(&w, step, &paths[i], 0);
                step = json_n(f, (char *)want.p, want.n);
                qv__buf_free(&want);
            }
            qv__buf_init(&want, f->mem);
            qv__jw_init(&w, &want);
            qv__jw_value(&w, step);
            assert_int_equal(qv__payload_remove(&got, row_of(f, doc), paths, n, NULL, &err), QV_OK);
        }
        check(f, "random edit", keep(f, &got), (const char *)keep(f, &want).p);
        qv__arena_reset(&f->arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(merging),       TEST(wide_patches),  TEST(merge_limits), TEST(removing),
        TEST(removing_many), TEST(out_of_memory), TEST(random_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

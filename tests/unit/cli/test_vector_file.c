/* Files of vectors: headers good and bad, mutations, cut files, element types. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/vec.h"
#include "cli/vector_file.h"

static char dir[64];

/* A version 1 header around a dictionary. */
static size_t make_npy(uint8_t out[4096], const char *dictionary)
{
    size_t n = strlen(dictionary);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (uint8_t)n;
    out[9] = (uint8_t)(n >> 8);
    memcpy(out + 10, dictionary, n);
    return 10 + n;
}

static qv_status parse(const char *dictionary, struct qv__npy *out)
{
    uint8_t bytes[4096];
    struct qv_err err;
    size_t n = make_npy(bytes, dictionary);
    return qv__npy_parse(bytes, n, out, &err);
}

static void test_headers(void **state)
{
    (void)state;
    struct qv__npy h;
    assert_int_equal(
        parse("{'descr': '<f4', 'fortran_order': False, 'shape': (12000, 384), }  \n", &h), QV_OK);
    assert_int_equal(h.rows, 12000);
    assert_int_equal(h.columns, 384);
    assert_int_equal(h.elem, QV__ELEM_F32);
    assert_int_equal(parse("{\"shape\":(3L,1L),\"descr\":\"|i1\",\"fortran_order\":False}", &h),
                     QV_OK);
    assert_int_equal(h.elem, QV__ELEM_I8);
    assert_int_equal(parse("{'descr':'<f2','shape':(0,5),'fortran_order':False}", &h), QV_OK);
    assert_int_equal(h.rows, 0);
}

static void test_bad_headers(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary;
        qv_status st;
    } bad[] = {
        {"", QV_EINVAL},
        {"{}", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False}", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)} x", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), 'descr': '<f4'}", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), 'extra': 1}", QV_EINVAL},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (1, 2)}", QV_EINVAL},
        {"{'descr': <f4, 'fortran_order': False, 'shape': (1, 2)}", QV_EINVAL},
        {"{'descr': '<f4, 'fortran_order': False, 'shape': (1, 2)}", QV_EUNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1, 2)}", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2)}", QV_EUNSUPPORTED},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2)}", QV_EUNSUPPORTED},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1, 2)}", QV_EUNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 2)}", QV_EUNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", QV_EUNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (5,)}", QV_EUNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)}", QV_EUNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0)}", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 65537)}", QV_EINVAL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 2)}",
         QV_EINVAL},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__npy h;
        if (parse(bad[i].dictionary, &h) != bad[i].st) {
            fail_msg("%s", bad[i].dictionary);
        }
    }
    struct qv_err err;
    struct qv__npy h;
    uint8_t bytes[4096];
    size_t n = make_npy(bytes, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}");
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(qv__npy_parse(bytes, cut, &h, &err), QV_EINVAL);
    }
    bytes[6] = 4;
    assert_int_equal(qv__npy_parse(bytes, n, &h, &err), QV_EUNSUPPORTED);
    bytes[6] = 2; /* now the length has 32 bits, two of them of the text */
    assert_int_equal(qv__npy_parse(bytes, n, &h, &err), QV_EINVAL);
}

/* Any byte changed: a status, never a fault. */
static void test_mutations(void **state)
{
    (void)state;
    const uint64_t seed = 20261121;
    struct qv__rng rng;
    qv__rng_seed(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    uint8_t good[4096], bytes[4096];
    size_t n = make_npy(good, "{'descr': '<f4', 'fortran_order': False, 'shape': (12000, 384), }");
    for (int i = 0; i < 200000; i++) {
        memcpy(bytes, good, n);
        for (uint64_t k = qv__rng_below(&rng, 4) + 1; k > 0; k--) {
            bytes[qv__rng_below(&rng, n)] = (uint8_t)qv__rng_u64(&rng);
        }
        struct qv__npy h;
        struct qv_err err;
        if (qv__npy_parse(bytes, n, &h, &err) == QV_OK) {
            assert_true(h.columns > 0 && h.columns <= QV__DIM_MAX && h.data_at <= n);
        }
    }
}

/* --- files
 * ---------------------------------------------------------------------------------------- */

static const char *write_file(const char *name, const void *p, size_t n)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

static qv_status open_file(struct qv__mem *mem, const char *path, struct qv__vector_file *f)
{
    struct qv_err err = {.code = QV_OK};
    qv_status st = qv__vector_file_open(f, mem, path, &err);
    if (st != QV_OK) {
        assert_non_null(strstr(err.message, path));
        qv__vector_file_close(f);
    }
    return st;
}

static void check_rows(struct qv__mem *mem, const char *descr, const void *data, size_t bytes,
                       const float expected[4])
{
    uint8_t file[4096];
    char dictionary[256];
    struct qv__vector_file f;
    struct qv_err err;
    float row[2];
    snprintf(dictionary, sizeof dictionary,
             "{'descr': '%s', 'fortran_order': False, 'shape': (2, 2)}", descr);
    size_t n = make_npy(file, dictionary);
    memcpy(file + n, data, bytes);
    assert_int_equal(open_file(mem, write_file("t.npy", file, n + bytes), &f), QV_OK);
    for (int r = 1; r >= 0; r--) { /* any order */
        assert_int_equal(qv__vector_file_row(&f, (uint64_t)r, row, &err), QV_OK);
        assert_memory_equal(row, expected + 2 * r, sizeof row);
    }
    assert_int_equal(qv__vector_file_row(&f, 2, row, &err), QV_EINVAL);
    qv__vector_file_close(&f);
    qv__vector_file_close(&f);
    /* One byte less, one byte more. */
    assert_int_equal(open_file(mem, write_file("t.npy", file, n + bytes - 1), &f), QV_EINVAL);
    file[n + bytes] = 0;
    assert_int_equal(open_file(mem, write_file("t.npy", file, n + bytes + 1), &f), QV_EINVAL);
}

static void test_types(void **state)
{
    struct qv__mem *mem = *state;
    const float f32[4] = {1.5f, -2, 0, 3e38f};
    check_rows(mem, "<f4", f32, sizeof f32, f32);
    const double f64[4] = {1.5, -2, 0, 3e38};
    check_rows(mem, "<f8", f64, sizeof f64, f32);
    const int8_t i8[4] = {-128, 127, 0, -1};
    check_rows(mem, "|i1", i8, sizeof i8, (const float[4]){-128, 127, 0, -1});
    const uint8_t u8[4] = {0, 255, 1, 128};
    check_rows(mem, "|u1", u8, sizeof u8, (const float[4]){0, 255, 1, 128});
    const uint16_t f16[4] = {0x3c00, 0xc000, 0x0001, 0x7bff}; /* 1, -2, least, most */
    check_rows(mem, "<f2", f16, sizeof f16, (const float[4]){1, -2, 0x1p-24f, 65504});
    const int32_t i32[4] = {-5, 0, 7, 16777216};
    check_rows(mem, "<i4", i32, sizeof i32, (const float[4]){-5, 0, 7, 16777216});
}

static void test_not_finite(void **state)
{
    struct qv__mem *mem = *state;
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 1e39, -1e300};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        uint8_t file[4096];
        struct qv__vector_file f;
        struct qv_err err;
        float row[2];
        const double rows[4] = {1, 2, 3, bad[i]};
        size_t n = make_npy(file, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2)}");
        memcpy(file + n, rows, sizeof rows);
        assert_int_equal(open_file(mem, write_file("t.npy", file, n + sizeof rows), &f), QV_OK);
        assert_int_equal(qv__vector_file_row(&f, 0, row, &err), QV_OK);
        assert_int_equal(qv__vector_file_row(&f, 1, row, &err), QV_EINVAL);
        assert_non_null(strstr(err.message, "row 1: element 1"));
        qv__vector_file_close(&f);
    }
}

static void test_vecs(void **state)
{
    struct qv__mem *mem = *state;
    struct {
        uint32_t dim;
        float v[3];
    } rows[2] = {{3, {1, 2, 3}}, {3, {4, 5, 6}}};
    struct qv__vector_file f;
    struct qv_err err;
    float row[3];
    assert_int_equal(open_file(mem, write_file("t.fvecs", rows, sizeof rows), &f), QV_OK);
    assert_int_equal(f.rows, 2);
    assert_int_equal(qv__vector_file_row(&f, 1, row, &err), QV_OK);
    assert_memory_equal(row, rows[1].v, sizeof row);
    qv__vector_file_close(&f);
    for (size_t cut = 0; cut < sizeof rows; cut++) {
        qv_status st = open_file(mem, write_file("t.fvecs", rows, cut), &f);
        assert_int_equal(st, cut == sizeof rows[0] ? QV_OK : QV_EINVAL);
        qv__vector_file_close(&f);
    }
    rows[1].dim = 2; /* the second row claims another dimension */
    assert_int_equal(open_file(mem, write_file("t.fvecs", rows, sizeof rows), &f), QV_OK);
    assert_int_equal(qv__vector_file_row(&f, 0, row, &err), QV_OK);
    assert_int_equal(qv__vector_file_row(&f, 1, row, &err), QV_EINVAL);
    qv__vector_file_close(&f);
    rows[0].dim = 0x7fffffff; /* nothing is allocated by it */
    assert_int_equal(open_file(mem, write_file("t.fvecs", rows, sizeof rows), &f), QV_EINVAL);
    rows[0].dim = 0;
    assert_int_equal(open_file(mem, write_file("t.fvecs", rows, sizeof rows), &f), QV_EINVAL);
    assert_true(qv__mem_peak(mem) < 1 << 20);
}

static void test_numbers(void **state)
{
    struct qv__mem *mem = *state;
    const int32_t rows[2][3] = {{2, 7, 0}, {2, -1, 5}};
    struct qv__vector_file f;
    struct qv_err err;
    uint32_t out[2];
    assert_int_equal(open_file(mem, write_file("t.ivecs", rows, sizeof rows), &f), QV_OK);
    assert_int_equal(qv__vector_file_numbers(&f, 0, out, &err), QV_OK);
    assert_int_equal(out[0], 7);
    assert_int_equal(qv__vector_file_numbers(&f, 1, out, &err), QV_EINVAL);
    qv__vector_file_close(&f);
    assert_int_equal(open_file(mem, write_file("t.fvecs", rows, sizeof rows), &f), QV_OK);
    assert_int_equal(qv__vector_file_numbers(&f, 0, out, &err), QV_EINVAL);
    qv__vector_file_close(&f);
}

static void test_not_files(void **state)
{
    struct qv__mem *mem = *state;
    struct qv__vector_file f;
    char path[128];
    snprintf(path, sizeof path, "%s/none.npy", dir);
    assert_int_equal(open_file(mem, path, &f), QV_ENOTFOUND);
    assert_int_equal(open_file(mem, dir, &f), QV_EIO);
    assert_int_equal(open_file(mem, write_file("t.txt", "x", 1), &f), QV_EUNSUPPORTED);
    assert_int_equal(open_file(mem, write_file("empty.npy", "", 0), &f), QV_EINVAL);
    snprintf(path, sizeof path, "%s/loop.npy", dir);
    assert_int_equal(symlink("loop.npy", path), 0);
    assert_int_equal(open_file(mem, path, &f), QV_EIO);
    assert_int_equal(unlink(path), 0);
}

/* The n-th allocation fails, until none does. */
static void test_no_memory(void **state)
{
    struct qv__mem *mem = *state;
    const float rows[3] = {0, 1, 2};
    uint32_t one = 1;
    uint8_t bytes[8];
    memcpy(bytes, &one, 4);
    memcpy(bytes + 4, rows, 4);
    const char *path = write_file("m.fvecs", bytes, sizeof bytes);
    qv_status st = QV_ENOMEM;
    for (uint64_t n = 1; st != QV_OK; n++) {
        struct qv__vector_file f;
        assert_true(n < 50);
        qv__mem_fail_at(mem, n, false);
        st = open_file(mem, path, &f);
        qv__mem_fail_at(mem, 0, false);
        assert_true(st == QV_OK || st == QV_ENOMEM);
        qv__vector_file_close(&f);
        assert_int_equal(qv__mem_used(mem), 0);
    }
}

static int setup(void **state)
{
    *state = qv__mem_root("test", 0);
    snprintf(dir, sizeof dir, "/tmp/qv-test-XXXXXX");
    return *state && mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"t.npy", "t.fvecs",   "t.ivecs",
                                        "t.txt", "empty.npy", "m.fvecs"};
    char path[128];
    for (size_t i = 0; i < QV_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(qv__mem_used(*state), 0);
    qv__mem_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test_setup_teardown(test_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_finite, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vecs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

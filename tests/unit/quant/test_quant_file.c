/* Saved quantizers: round trips, every byte damaged, every length, settings of another column. */
#include "base/crc32c.h"
#include "quant_fixture.h"

static void save(const struct coded *c, struct qv__buf *b)
{
    struct qv_err err = {0};
    qv__buf_init(b, c->mem);
    check_ok(qv__quant_save(c->z, b, &err));
}

static qv_status open_bytes(const struct coded *c, const struct rows *r, const uint8_t *p, size_t n,
                            struct qv__quant **z, struct qv_err *err)
{
    return qv__quant_open((struct qv__bytes){p, n}, r->run.dim, r->run.metric, c->mem,
                          qv__simd_best(NULL), z, err);
}

/* What was opened codes and compares as what was saved. */
static void round_trips(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL_PARAMS; i++) {
        struct rows r;
        struct coded c;
        struct qv__buf b, again;
        struct qv__quant *z;
        struct qv__quant_encoder *e;
        struct qv__quant_info info;
        struct qv_err err = {0};
        rows_clustered(&r, 60, 75, all_metrics[i % 3], 17);
        coded_make(&c, &all_params[i], &r, qv__simd_best(NULL));
        save(&c, &b);
        check_ok(open_bytes(&c, &r, b.p, b.n, &z, &err));
        qv__quant_describe(z, &info);
        assert_string_equal(info.kind, c.info.kind);
        assert_true(info.bits == c.info.bits && info.rest_bits == c.info.rest_bits);
        assert_true(info.code_bytes == c.info.code_bytes && info.rest_bytes == c.info.rest_bytes);
        check_ok(qv__quant_encoder_new(z, c.mem, &e, &err));
        uint8_t *code = calloc(1, info.code_bytes), *rest = calloc(1, info.rest_bytes + 1);
        for (uint32_t k = 0; k < r.n; k++) {
            qv__quant_encode(e, row(&r, k), code, rest);
            assert_memory_equal(code, code_at(&c, k), info.code_bytes);
            assert_memory_equal(rest, c.rests + k * (size_t)info.rest_bytes, info.rest_bytes);
        }
        free(code);
        free(rest);
        qv__buf_init(&again, c.mem);
        check_ok(qv__quant_save(z, &again, &err));
        assert_int_equal(again.n, b.n);
        assert_memory_equal(again.p, b.p, b.n);
        qv__buf_free(&again);
        qv__buf_free(&b);
        qv__quant_encoder_free(e);
        qv__quant_free(z);
        coded_free(&c);
        rows_free(&r);
    }
}

/* Tucked codes have a version of their own; codes of before are read on as they are. */
static void tucked_and_not(void **state)
{
    (void)state;
    struct rows r;
    struct coded c;
    struct qv__buf b;
    struct qv__quant *z;
    struct qv__quant_info info;
    struct qv__quant_encoder *e;
    struct qv__quant_query *q;
    struct qv_err err = {0};
    rows_clustered(&r, 300, 128, QV__L2, 19);
    coded_make(&c, &all_params[0], &r, qv__simd_best(NULL));
    save(&c, &b);
    assert_int_equal(qv__load_u32(b.p + 4), 2);
    assert_int_equal(c.info.code_bytes, 128);
    assert_false(c.info.has_bound);
    qv__store_u32(b.p + 4, 1);
    qv__store_u32(b.p + b.n - 4, qv__crc32c(0, b.p, b.n - 4));
    check_ok(open_bytes(&c, &r, b.p, b.n, &z, &err));
    qv__quant_describe(z, &info);
    assert_int_equal(info.code_bytes, 128 + 12);
    assert_true(info.has_bound);
    check_ok(qv__quant_encoder_new(z, c.mem, &e, &err));
    check_ok(qv__quant_query_new(z, c.mem, &q, &err));
    qv__quant_query_set(q, row(&r, 0));
    qv__quant_query_set(c.q, row(&r, 0));
    double spread = 0, off = 0, off_tucked = 0;
    for (uint32_t i = 1; i < r.n; i++) {
        uint8_t code[128 + 12];
        double want = exact(QV__L2, row(&r, 0), row(&r, i), 128);
        qv__quant_encode(e, row(&r, i), code, NULL);
        spread += want * want;
        off += pow((double)qv__quant_dist(q, code) - want, 2);
        off_tucked += pow((double)qv__quant_dist(c.q, code_at(&c, i)) - want, 2);
    }
    print_message("off by %.5f, tucked by %.5f\n", sqrt(off / spread), sqrt(off_tucked / spread));
    assert_true(off_tucked < 4 * off && off_tucked < 2e-5 * spread);
    qv__quant_query_free(q);
    qv__quant_encoder_free(e);
    qv__quant_free(z);
    qv__buf_free(&b);
    coded_free(&c);
    rows_free(&r);
    /* Where nothing is tucked, it cannot be. */
    rows_clustered(&r, 10, 100, QV__L2, 19);
    coded_make(&c, &all_params[0], &r, qv__simd_best(NULL));
    save(&c, &b);
    assert_int_equal(qv__load_u32(b.p + 4), 1);
    qv__store_u32(b.p + 4, 2);
    qv__store_u32(b.p + b.n - 4, qv__crc32c(0, b.p, b.n - 4));
    assert_int_equal(open_bytes(&c, &r, b.p, b.n, &z, &err), QV_ECORRUPT);
    qv__store_u32(b.p + 4, 3);
    assert_int_equal(open_bytes(&c, &r, b.p, b.n, &z, &err), QV_EVERSION);
    qv__buf_free(&b);
    coded_free(&c);
    rows_free(&r);
}

static void damage_is_found(void **state)
{
    (void)state;
    struct rows r;
    struct coded c;
    struct qv__buf b;
    struct qv__quant *z;
    struct qv_err err = {0};
    rows_clustered(&r, 10, 33, QV__L2, 19);
    coded_make(&c, &all_params[6], &r, qv__simd_best(NULL));
    save(&c, &b);
    for (size_t i = 0; i < b.n; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            b.p[i] ^= (uint8_t)(1u << bit);
            qv_status st = open_bytes(&c, &r, b.p, b.n, &z, &err);
            assert_true(st == QV_ECORRUPT || (st == QV_EVERSION && i >= 4 && i < 8));
            b.p[i] ^= (uint8_t)(1u << bit);
        }
    }
    for (size_t n = 0; n < b.n; n++) {
        assert_int_equal(open_bytes(&c, &r, b.p, n, &z, &err), QV_ECORRUPT);
    }
    qv__buf_u8(&b, 0);
    assert_int_equal(open_bytes(&c, &r, b.p, b.n, &z, &err), QV_ECORRUPT);
    r.run.dim++;
    assert_int_equal(open_bytes(&c, &r, b.p, b.n - 1, &z, &err), QV_ECORRUPT);
    assert_non_null(strstr(err.message, "dim 33"));
    r.run.dim--;
    r.run.metric = QV__DOT;
    assert_int_equal(open_bytes(&c, &r, b.p, b.n - 1, &z, &err), QV_ECORRUPT);
    qv__buf_free(&b);
    coded_free(&c);
    rows_free(&r);
}

/* Bytes with a sound checksum and senseless contents. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
    } bad[] = {
        {8, 0},           {8, 9},           {12, 9},          {12, 4u << 16 | 8},
        {32, 0x7f800000}, {36, 0x7fc00000}, {40, 0x7f7fffff},
    };
    struct rows r;
    struct coded c;
    struct qv__buf b;
    struct qv__quant *z;
    struct qv_err err = {0};
    rows_clustered(&r, 10, 8, QV__L2, 19);
    coded_make(&c, &all_params[0], &r, qv__simd_best(NULL));
    save(&c, &b);
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        uint32_t was = qv__load_u32(b.p + bad[i].at);
        qv__store_u32(b.p + bad[i].at, bad[i].value);
        qv__store_u32(b.p + b.n - 4, qv__crc32c(0, b.p, b.n - 4));
        assert_int_equal(open_bytes(&c, &r, b.p, b.n, &z, &err), QV_ECORRUPT);
        assert_non_null(strstr(err.message, "quantizer"));
        qv__store_u32(b.p + bad[i].at, was);
    }
    qv__buf_free(&b);
    coded_free(&c);
    rows_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(tucked_and_not),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

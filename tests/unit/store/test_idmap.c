/* test_idmap.c: ids of sealed rows against a sorted oracle, in both forms, and their damage. */
#include "blob_test.h"
#include "store/idmap.h"

struct ids {
    struct qv__id v[10000];
    char text[10000][24];
    uint32_t n;
};
static struct ids all;

static struct qv__id get_id(void *ctx, uint32_t row)
{
    struct ids *ids = ctx;
    static char shared[24];
    struct qv__id id = ids->v[row];
    if (id.kind == QV__ID_STR) { /* borrowed until the next call, no longer */
        memset(shared, '!', sizeof shared);
        memcpy(shared, id.s, id.len);
        id.s = shared;
    }
    return id;
}

static void make_id(struct ids *ids, uint32_t row, struct qv__rng *r, bool mixed, uint64_t range)
{
    uint64_t u = qv__rng_below(r, range);
    struct qv__id id = qv__id_u64(u);
    switch (mixed ? qv__rng_below(r, 5) : 0) {
    case 1:
        id = (struct qv__id){.kind = QV__ID_I64, .i = (int64_t)u - (int64_t)(range / 2)};
        break;
    case 2:
        id = (struct qv__id){.kind = QV__ID_UUID};
        qv__store_u64(id.uuid + 4, qv__mix64(u));
        break;
    case 3:
    case 4: {
        int n = snprintf(ids->text[row], sizeof ids->text[row], "%.*s%u", (int)(u % 9),
                         "abcabcabcabc", (unsigned)(u % 50));
        id = (struct qv__id){.kind = QV__ID_STR, .len = (uint8_t)n, .s = ids->text[row]};
        break;
    }
    default:
        break;
    }
    ids->v[row] = id;
}

static int by_id_then_row(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int c = qv__id_cmp(&all.v[x], &all.v[y]);
    return c ? c : (x > y) - (x < y);
}

static struct qv__segfile *write_and_open(struct env *e, struct qv__blobs *b, const char *name)
{
    struct qv__segw *w;
    struct qv__segfile *f;
    uint64_t bytes;
    assert_ok(qv__segw_create(b, e->mem, 1, &w, ERR));
    assert_ok(qv__idmap_write(w, e->mem, all.n, get_id, &all, ERR));
    assert_ok(qv__segw_finish(w, name, &bytes, ERR));
    assert_ok(qv__segfile_open(b, name, e->mem, 1, bytes, true, &f, ERR));
    return f;
}

static void check_lookups(const struct qv__idmap *m, const uint32_t *sorted,
                          const struct qv__id *key)
{
    uint32_t low = 0, row = 0;
    while (low < all.n && qv__id_cmp(&all.v[sorted[low]], key) < 0) {
        low++;
    }
    uint32_t high = low;
    while (high < all.n && qv__id_eq(&all.v[sorted[high]], key)) {
        high++;
    }
    assert_int_equal(qv__idmap_lower_bound(m, key), low);
    assert_int_equal(qv__idmap_find(m, key, &row), high > low);
    if (high > low) {
        assert_int_equal(row, sorted[high - 1]); /* the newest of several */
    }
}

static void against_oracle(struct env *e, struct qv__blobs *b, const char *name, struct qv__rng *r,
                           bool mixed, uint64_t range)
{
    static uint32_t sorted[10000];
    struct qv__idmap m;
    struct qv__segfile *f = write_and_open(e, b, name);
    bool has_other = false;
    for (uint32_t i = 0; i < all.n; i++) {
        sorted[i] = i;
        has_other = has_other || all.v[i].kind != QV__ID_U64;
    }
    qsort(sorted, all.n, sizeof *sorted, by_id_then_row);
    assert_ok(qv__idmap_open(f, all.n, e->mem, &m, ERR));
    assert_int_equal(m.n, all.n);
    assert_int_equal(m.offsets.n == 0, !has_other);
    for (uint32_t i = 0; i < all.n; i++) {
        struct qv__id id = qv__idmap_get(&m, i);
        assert_true(qv__id_eq(&id, &all.v[i]));
        assert_int_equal(m.order[i], sorted[i]);
    }
    for (unsigned k = 0; k < 300; k++) {
        struct qv__id key;
        if (k % 2 && all.n) {
            key = all.v[qv__rng_below(r, all.n)];
        } else {
            struct ids *probe = qv__zalloc(e->disk, sizeof *probe);
            make_id(probe, 0, r, mixed, range + 7);
            key = probe->v[0];
            check_lookups(&m, sorted, &key);
            qv__free(probe);
            continue;
        }
        check_lookups(&m, sorted, &key);
    }
    qv__segfile_close(f);
}

static void random_ids(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 3, 63, 64, 65, 1000, 10000};
    static const uint64_t ranges[] = {3, 5000, UINT64_MAX / 4};
    struct env e;
    struct qv__rng r;
    char name[64];
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    qv__rng_seed(&r, 42);
    for (unsigned mixed = 0; mixed < 2; mixed++) {
        for (size_t c = 0; c < QV_ARRAY_LEN(counts); c++) {
            for (size_t k = 0; k < QV_ARRAY_LEN(ranges); k++) {
                all.n = counts[c];
                for (uint32_t row = 0; row < all.n; row++) {
                    make_id(&all, row, &r, mixed, ranges[k]);
                }
                snprintf(name, sizeof name, "m%u-%zu-%zu", mixed, c, k);
                against_oracle(&e, b, name, &r, mixed, ranges[k]);
            }
        }
    }
    b->ops->close(b);
    env_close(&e);
}

/* Sorted rows, equal rows, falling rows, one string among numbers, the longest strings. */
static void special_ids(void **state)
{
    (void)state;
    struct env e;
    struct qv__rng r;
    char name[64];
    static char longest[256];
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    qv__rng_seed(&r, 43);
    memset(longest, 'z', 255);
    for (unsigned how = 0; how < 6; how++) {
        all.n = 500;
        for (uint32_t i = 0; i < all.n; i++) {
            all.v[i] = qv__id_u64(how == 0 ? i : how == 1 ? 7 : (uint64_t)(500 - i) << 40);
            if (how == 3 && i == 499) {
                all.v[i] = (struct qv__id){.kind = QV__ID_STR, .len = 1, .s = "x"};
            }
            if (how == 4) {
                all.v[i] = (struct qv__id){.kind = QV__ID_I64, .i = (int64_t)i * 3 - 600};
            }
            if (how == 5 && i % 100 == 0) {
                all.v[i] = (struct qv__id){.kind = QV__ID_U64, .u = UINT64_MAX - i};
            }
        }
        snprintf(name, sizeof name, "s%u", how);
        against_oracle(&e, b, name, &r, true, 1000);
    }
    b->ops->close(b);

    /* 255 bytes */
    struct qv__segw *w;
    struct qv__segfile *f;
    struct qv__idmap m;
    uint64_t bytes;
    b = open_blobs(&e);
    struct qv__segw **pw = &w;
    assert_ok(qv__segw_create(b, e.mem, 1, pw, ERR));
    all.n = 1;
    all.v[0] = (struct qv__id){.kind = QV__ID_STR, .len = 255, .s = longest};
    struct qv__buf data, offsets;
    qv__buf_init(&data, e.mem);
    qv__buf_init(&offsets, e.mem);
    qv__buf_u32(&offsets, 0);
    qv__id_write(&data, &all.v[0]);
    qv__buf_u32(&offsets, (uint32_t)data.n);
    uint32_t order = 0;
    assert_ok(qv__segw_put(w, QV__SEC_ID_OFFSETS, 0, offsets.p, offsets.n, ERR));
    assert_ok(qv__segw_put(w, QV__SEC_ID_DATA, 0, data.p, data.n, ERR));
    assert_ok(qv__segw_put(w, QV__SEC_ID_ORDER, 0, &order, 4, ERR));
    assert_ok(qv__segw_finish(w, "long", &bytes, ERR));
    assert_ok(qv__segfile_open(b, "long", e.mem, 1, bytes, true, &f, ERR));
    assert_ok(qv__idmap_open(f, 1, e.mem, &m, ERR));
    struct qv__id id = qv__idmap_get(&m, 0);
    assert_true(qv__id_eq(&id, &all.v[0]));
    qv__segfile_close(f);
    qv__buf_free(&data);
    qv__buf_free(&offsets);
    b->ops->close(b);
    env_close(&e);
}

/* Sections whose checksums are right and whose content is not. */
static void wrong_sections(void **state)
{
    (void)state;
    static const uint32_t sorted[3] = {0, 1, 2}, twice[3] = {0, 1, 1}, outside[3] = {0, 1, 3},
                          falling[3] = {2, 1, 0};
    static const uint64_t numbers[3] = {5, 6, 7}, equal[3] = {5, 5, 7};
    static const uint32_t equal_falling[3] = {1, 0, 2};
    static const uint8_t ids[] = {QV__ID_STR, 1, 'a', QV__ID_STR, 2, 'b', 'c', QV__ID_STR, 1, 'd'};
    static const uint8_t bad_ids[] = {QV__ID_STR, 1,   'a',        QV__ID_STR, 0,
                                      'b',        'c', QV__ID_STR, 1,          'd'};
    static const uint8_t kind_ids[] = {9, 1, 'a', QV__ID_STR, 2, 'b', 'c', QV__ID_STR, 1, 'd'};
    static const uint32_t offsets[4] = {0, 3, 7, 10}, off_back[4] = {0, 7, 3, 10},
                          off_far[4] = {0, 3, 4000000000u, 10}, off_end[4] = {0, 3, 7, 9},
                          off_start[4] = {1, 3, 7, 10};
    static const struct {
        const void *offsets, *data, *order;
        size_t offsets_n, data_n, order_n;
        uint32_t n;
        bool good;
    } cases[] = {
        {NULL, numbers, sorted, 0, 24, 12, 3, true},
        {offsets, ids, sorted, 16, 10, 12, 3, true},
        {NULL, equal, sorted, 0, 24, 12, 3, true},
        {NULL, equal, equal_falling, 0, 24, 12, 3, false},
        {NULL, numbers, twice, 0, 24, 12, 3, false},
        {NULL, numbers, outside, 0, 24, 12, 3, false},
        {NULL, numbers, falling, 0, 24, 12, 3, false},
        {NULL, numbers, sorted, 0, 24, 8, 3, false},
        {NULL, numbers, sorted, 0, 23, 12, 3, false},
        {NULL, numbers, sorted, 0, 24, 12, 2, false},
        {NULL, numbers, sorted, 0, 24, 12, UINT32_MAX, false},
        {offsets, ids, sorted, 12, 10, 12, 3, false},
        {off_back, ids, sorted, 16, 10, 12, 3, false},
        {off_far, ids, sorted, 16, 10, 12, 3, false},
        {off_end, ids, sorted, 16, 10, 12, 3, false},
        {off_start, ids, sorted, 16, 10, 12, 3, false},
        {offsets, bad_ids, sorted, 16, 10, 12, 3, false},
        {offsets, kind_ids, sorted, 16, 10, 12, 3, false},
        {offsets, ids, falling, 16, 10, 12, 3, false},
    };
    struct env e;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv__segw *w;
        struct qv__segfile *f;
        struct qv__idmap m;
        uint64_t bytes;
        char name[32];
        snprintf(name, sizeof name, "case%zu", i);
        assert_ok(qv__segw_create(b, e.mem, 1, &w, ERR));
        if (cases[i].offsets) {
            assert_ok(
                qv__segw_put(w, QV__SEC_ID_OFFSETS, 0, cases[i].offsets, cases[i].offsets_n, ERR));
        }
        assert_ok(qv__segw_put(w, QV__SEC_ID_DATA, 0, cases[i].data, cases[i].data_n, ERR));
        assert_ok(qv__segw_put(w, QV__SEC_ID_ORDER, 0, cases[i].order, cases[i].order_n, ERR));
        assert_ok(qv__segw_finish(w, name, &bytes, ERR));
        assert_ok(qv__segfile_open(b, name, e.mem, 1, bytes, true, &f, ERR));
        qv_status st = qv__idmap_open(f, cases[i].n, e.mem, &m, ERR);
        if (st != (cases[i].good ? QV_OK : QV_ECORRUPT)) {
            fail_msg("case %zu: %s", i, qv_status_name(st));
        }
        qv__segfile_close(f);
    }
    b->ops->close(b);
    env_close(&e);
}

static void every_memory_failure(void **state)
{
    (void)state;
    struct env e;
    struct qv__rng r;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    for (unsigned mixed = 0; mixed < 2; mixed++) {
        qv__rng_seed(&r, 44);
        all.n = 300;
        for (uint32_t row = 0; row < all.n; row++) {
            make_id(&all, row, &r, mixed, 1000);
        }
        qv_status st;
        uint64_t at = 0;
        do {
            struct qv__segw *w;
            assert_ok(qv__segw_create(b, e.mem, 1, &w, ERR));
            at++;
            qv__mem_fail_at(e.mem, at, true);
            st = qv__idmap_write(w, e.mem, all.n, get_id, &all, ERR);
            qv__mem_fail_at(e.mem, 0, false);
            assert_true(st == QV_OK || st == QV_ENOMEM);
            qv__segw_abort(w);
        } while (st != QV_OK);
        assert_true(at > 2);
        struct qv__idmap m;
        struct qv__segfile *f = write_and_open(&e, b, mixed ? "a" : "b");
        qv__mem_fail_at(e.mem, 1, false);
        assert_status(qv__idmap_open(f, all.n, e.mem, &m, ERR), QV_ENOMEM);
        qv__mem_fail_at(e.mem, 0, false);
        qv__segfile_close(f);
    }
    b->ops->close(b);
    env_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_ids),
        cmocka_unit_test(special_ids),
        cmocka_unit_test(wrong_sections),
        cmocka_unit_test(every_memory_failure),
    };
    return cmocka_run_group_tests_name("id map", tests, NULL, NULL);
}

/* test_growing.c: the memory of growing segments: what a small one takes, and that it may be read
 * while it grows. */
#include <pthread.h>
#include <stdatomic.h>

#include "engine_fixture.h"

#define DIM    768
#define POINTS 200 /* more than a chunk of vectors holds */

static void put(struct fix *f, struct qv__collection *c, uint64_t first, size_t n, uint32_t dim)
{
    static float v[DIM];
    struct qv__point p[8];
    struct qv__named_vector nv[8];
    assert_true(n <= QV_ARRAY_LEN(p));
    for (size_t i = 0; i < n; i++) {
        for (uint32_t d = 0; d < dim; d++) {
            v[d] = (float)first;
        }
        nv[i] = (struct qv__named_vector){.name = QV__STR(""), .values = v, .dim = dim};
        p[i] = (struct qv__point){.id = qv__id_u64(first + i), .vectors = &nv[i], .n_vectors = 1};
    }
    fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = p, .n_points = n}, 1);
}

static struct qv__collection *create(struct fix *f, const char *name, uint32_t dim)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = dim};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    OK(qv__db_create_collection(f->db, qv__str_z(name), &schema, &f->err));
    return fix_collection(f, name);
}

/* Five points take their own vectors and tens of KiB, not a chunk of 256 KiB. */
static void test_small(void **state)
{
    (void)state;
    enum { COLLECTIONS = 20, EACH = 5 };
    static const uint32_t dims[] = {8, DIM};
    for (size_t k = 0; k < QV_ARRAY_LEN(dims); k++) {
        struct fix fx, *f = &fx;
        fix_open(f, -1);
        size_t before = qv__mem_used(f->mem);
        for (int i = 0; i < COLLECTIONS; i++) {
            char name[16];
            snprintf(name, sizeof name, "c%d", i);
            struct qv__collection *c = create(f, name, dims[k]);
            put(f, c, 0, EACH, dims[k]);
            qv__collection_release(c);
        }
        size_t each = (qv__mem_used(f->mem) - before) / COLLECTIONS;
        assert_in_range(each, 1, (48 << 10) + 2 * EACH * dims[k] * sizeof(float));
        fix_close(f);
    }
}

struct reading {
    struct fix *f;
    struct qv__collection *c;
    _Atomic bool over;
    _Atomic uint64_t rows; /* read */
};

/* Every visible row holds its own number in all elements. */
static uint32_t read_all(struct reading *r, uint64_t lsn)
{
    struct qv_err err; /* of this thread */
    struct qv__view *v = qv__shard_view(&r->c->shards[0]);
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        struct qv__visible vis;
        assert_int_equal(
            qv__segment_visible(v->segments[i], lsn, QV__ALWAYS, r->f->mem, &vis, &err), QV_OK);
        for (uint32_t row = 0; row < vis.n_rows; row++) {
            if (vis.words && !qv__bit_test_atomic(vis.words, row)) {
                continue;
            }
            const struct qv__schema *s = qv__segment_schema(v->segments[i]);
            const float *own = qv__segment_row_vector(v->segments[i], s, 0, row);
            uint64_t id = qv__segment_row_id(v->segments[i], row).u;
            for (uint32_t d = 0; d < DIM; d++) {
                assert_true(own[d] == (float)id);
            }
            n++;
        }
        qv__visible_free(&vis);
    }
    qv__view_release(v);
    return n;
}

static void *read_on(void *arg)
{
    struct reading *r = arg;
    while (!atomic_load(&r->over)) {
        struct qv__reader_ticket t;
        qv__read_begin(r->f->db->commit, &t);
        atomic_fetch_add(&r->rows, read_all(r, t.lsn));
        qv__read_end(r->f->db->commit, &t);
    }
    return NULL;
}

static void test_read_while_it_grows(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, 2);
    struct reading r = {.f = f, .c = create(f, "c", DIM)};
    pthread_t t[2];
    for (size_t i = 0; i < QV_ARRAY_LEN(t); i++) {
        assert_int_equal(pthread_create(&t[i], NULL, read_on, &r), 0);
    }
    for (uint64_t id = 0; id < POINTS; id++) {
        put(f, r.c, id, 1, DIM);
    }
    atomic_store(&r.over, true);
    for (size_t i = 0; i < QV_ARRAY_LEN(t); i++) {
        pthread_join(t[i], NULL);
    }
    assert_int_equal(read_all(&r, qv__commit_published(f->db->commit)), POINTS);
    qv__collection_release(r.c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_read_while_it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

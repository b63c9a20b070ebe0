/* test_old_reader.c: a reader whose instant is older than a seal or a merge.
 *
 * A reader fixes its LSN first and takes the segments after. Between the two a writer may replace a
 * point and maintenance may seal, flush and merge: the reader must still find the old version. */
#include "engine_fixture.h"

#define DIM 2
#define N   40

static void put(struct fix *f, struct qv__collection *c, float value)
{
    struct qv__point p[N];
    float v[DIM] = {value, 1};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    for (uint64_t i = 0; i < N; i++) {
        p[i] = (struct qv__point){.id = qv__id_u64(i), .vectors = &nv, .n_vectors = 1};
    }
    fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = p, .n_points = N}, 1);
}

/* Points that a reader of `lsn` finds in the shard's segments of now; all must hold `value`. */
static unsigned seen(struct fix *f, struct qv__collection *c, uint64_t lsn, float value)
{
    struct qv__view *v = qv__shard_view(&c->shards[0]);
    unsigned n = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        struct qv__visible vis;
        OK(qv__segment_visible(v->segments[i], lsn, QV__ALWAYS, f->mem, &vis, &f->err));
        for (uint32_t row = 0; row < vis.n_rows; row++) {
            if (!vis.words || qv__bit_test_atomic(vis.words, row)) {
                const struct qv__schema *s = qv__segment_schema(v->segments[i]);
                const float *own = qv__segment_row_vector(v->segments[i], s, 0, row);
                assert_true(own[0] == value);
                n++;
            }
        }
        qv__visible_free(&vis);
    }
    for (uint64_t id = 0; id < N; id++) {
        unsigned found = 0;
        for (uint32_t i = 0; i < v->n; i++) {
            uint32_t row;
            struct qv__id at = qv__id_u64(id);
            found += qv__segment_find(v->segments[i], &at, lsn, &row);
        }
        assert_int_equal(found, 1);
    }
    qv__view_release(v);
    return n;
}

static struct qv__collection *start(struct fix *f)
{
    fix_open(f, -1);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    return fix_collection(f, "c");
}

static void flush(struct fix *f, struct qv__collection *c)
{
    struct qv__shard *s = &c->shards[0];
    qv__mutex_lock(&s->maintenance);
    OK(qv__maintain_flush(s, true, NULL, &f->err));
    qv__mutex_unlock(&s->maintenance);
}

static void test_across_a_seal(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f);
    struct qv__reader_ticket t;
    put(f, c, 1);
    qv__read_begin(f->db->commit, &t);
    put(f, c, 2);
    flush(f, c);
    assert_int_equal(seen(f, c, t.lsn, 1), N);
    assert_int_equal(seen(f, c, qv__commit_published(f->db->commit), 2), N);
    qv__read_end(f->db->commit, &t);
    qv__collection_release(c);
    fix_close(f);
}

static void test_across_a_merge(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f);
    struct qv__reader_ticket t;
    put(f, c, 1);
    flush(f, c);
    qv__read_begin(f->db->commit, &t);
    put(f, c, 2);
    flush(f, c);
    OK(qv__collection_optimize(c, 1, &f->err));
    assert_int_equal(seen(f, c, t.lsn, 1), N);
    qv__read_end(f->db->commit, &t);
    /* With the reader gone the old rows go too, from memory at once and from the file by a merge.
     */
    put(f, c, 3);
    OK(qv__collection_optimize(c, 1, &f->err));
    assert_int_equal(seen(f, c, qv__commit_published(f->db->commit), 3), N);
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_across_a_seal),
        cmocka_unit_test(test_across_a_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

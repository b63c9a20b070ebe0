/* test_concurrent.c: writers, readers and background work at the same time.
 *
 * Isolation: every write sets the same number on all points of a group; a reader must find the
 * number equal on all of them, and every point present, at every moment, while segments seal and
 * merge underneath. Group commit: with 16 writers and a slow sync (1 ms), one sync must serve
 * many requests. */
#include <pthread.h>
#include <stdatomic.h>

#include "engine_fixture.h"

#define GROUPS 8
#define GROUP  6
#define DIM    4

#if defined(__SANITIZE_THREAD__)
#define ROUNDS        150
#define SYNC_DELAY_NS (8u * 1000 * 1000) /* everything else is slower too */
#else
#define ROUNDS        500
#define SYNC_DELAY_NS (1u * 1000 * 1000)
#endif

struct shared {
    struct fix *f;
    struct qv__collection *c;
    _Atomic bool stop;
    _Atomic unsigned errors;
    _Atomic unsigned reads;
    unsigned rounds;
};

struct worker {
    struct shared *s;
    unsigned n;
    pthread_t t;
};

static struct qv__bytes number(struct qv__arena *a, uint64_t n)
{
    struct qv__buf b;
    char json[40];
    qv__json v = NULL;
    snprintf(json, sizeof json, "{\"n\":%llu}", (unsigned long long)n);
    qv__buf_init(&b, a->mem);
    if (qv__json_parse(a, json, strlen(json), NULL, &v, NULL) != QV_OK ||
        qv__payload_from_json(&b, v, NULL) != QV_OK) {
        abort();
    }
    uint8_t *p = qv__arena_alloc(a, b.n);
    memcpy(p, b.p, b.n);
    struct qv__bytes out = {p, b.n};
    qv__buf_free(&b);
    return out;
}

static void *write_group(void *arg)
{
    struct worker *w = arg;
    struct shared *s = w->s;
    struct qv__mem *mem = qv__mem_root("writer", 0);
    float zero[DIM] = {1, 0, 0, 0};
    for (unsigned i = 1; i <= s->rounds; i++) {
        struct qv__arena a;
        struct qv__point p[GROUP];
        struct qv__id ids[GROUP];
        struct qv__write_result r;
        qv__arena_init(&a, mem);
        struct qv__bytes payload = number(&a, i);
        struct qv__named_vector v = {.name = QV__STR(""), .values = zero, .dim = DIM};
        for (unsigned k = 0; k < GROUP; k++) {
            ids[k] = qv__id_u64(w->n * GROUP + k);
            p[k] =
                (struct qv__point){.id = ids[k], .vectors = &v, .n_vectors = 1, .payload = payload};
        }
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = p, .n_points = GROUP};
        if (i % 3 == 0) {
            m = (struct qv__mutation){
                .kind = QV__MUT_SET_PAYLOAD, .ids = ids, .n_ids = GROUP, .payload = payload};
        }
        if (qv__collection_write_sync(s->c, &m, 1, &r, NULL) != QV_OK) {
            atomic_fetch_add(&s->errors, 1);
        }
        qv__arena_free(&a);
    }
    qv__mem_close(mem);
    return NULL;
}

static int64_t number_of(struct qv__bytes payload)
{
    struct qv__value v, member;
    struct qv__value_iter it;
    struct qv__str key;
    if (!qv__value_read(payload.p, payload.p + payload.n, &v)) {
        return -1;
    }
    qv__value_iter_init(&it, &v);
    return qv__value_iter_next(&it, &key, &member) && member.tag == QV__TAG_I64 ? member.i : -1;
}

static void check_groups(struct shared *s, const struct qv__result_set *rs)
{
    int64_t at[GROUPS];
    unsigned n[GROUPS] = {0};
    for (size_t i = 0; i < rs->n; i++) {
        unsigned g = (unsigned)rs->points[i].id.u / GROUP;
        int64_t v = number_of(rs->points[i].payload);
        if (n[g]++ == 0) {
            at[g] = v;
        } else if (at[g] != v) {
            atomic_fetch_add(&s->errors, 1);
        }
    }
    for (unsigned g = 0; g < GROUPS; g++) {
        if (n[g] != GROUP) {
            atomic_fetch_add(&s->errors, 1);
        }
    }
}

static void *read_all(void *arg)
{
    struct worker *w = arg;
    struct shared *s = w->s;
    struct qv__mem *mem = qv__mem_root("reader", 0);
    struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}};
    float q[DIM] = {1, 0.5f, 0, 0};
    while (!atomic_load(&s->stop)) {
        struct qv__qctx ctx = {.clock = qv__db_clock(s->f->db), .mem = mem};
        struct qv__result_set rs;
        qv_status st;
        if (w->n % 3 == 0) {
            st = qv__collection_scroll(s->c, NULL, 1000, NULL, &fetch, &ctx, &rs, NULL);
        } else if (w->n % 3 == 1) {
            struct qv__id ids[GROUPS * GROUP];
            for (unsigned i = 0; i < GROUPS * GROUP; i++) {
                ids[i] = qv__id_u64(i);
            }
            st = qv__collection_get(s->c, ids, GROUPS * GROUP, &fetch, &ctx, &rs, NULL);
        } else {
            struct qv__query query = {
                .kind = QV__QUERY_NEAREST, .target = {.values = q, .dim = DIM}, .limit = 1000};
            st = qv__collection_query(s->c, &query, &fetch, &ctx, &rs, NULL);
        }
        if (st != QV_OK) {
            atomic_fetch_add(&s->errors, 1);
        } else {
            check_groups(s, &rs);
        }
        qv__result_free(&rs);
        atomic_fetch_add(&s->reads, 1);
    }
    qv__mem_close(mem);
    return NULL;
}

static void isolation(uint32_t shards)
{
    struct fix fx, *f = &fx;
    struct shared s = {.f = f, .rounds = ROUNDS};
    struct worker writers[GROUPS], readers[3];
    fix_open(f, 2);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__COSINE, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, shards);
    schema.policy =
        (struct qv__segment_policy){.seal_rows = 64, .index_rows = 32, .merge_fanin = 2};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    s.c = fix_collection(f, "c");
    /* One round first, so that readers always find everyone. */
    s.rounds = 1;
    for (unsigned i = 0; i < GROUPS; i++) {
        writers[i] = (struct worker){.s = &s, .n = i};
        write_group(&writers[i]);
    }
    s.rounds = ROUNDS;
    for (unsigned i = 0; i < 3; i++) {
        readers[i] = (struct worker){.s = &s, .n = i};
        assert_int_equal(pthread_create(&readers[i].t, NULL, read_all, &readers[i]), 0);
    }
    for (unsigned i = 0; i < GROUPS; i++) {
        assert_int_equal(pthread_create(&writers[i].t, NULL, write_group, &writers[i]), 0);
    }
    for (unsigned i = 0; i < GROUPS; i++) {
        pthread_join(writers[i].t, NULL);
    }
    atomic_store(&s.stop, true);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(readers[i].t, NULL);
    }
    assert_int_equal(atomic_load(&s.errors), 0);
    assert_true(atomic_load(&s.reads) > 0);
    qv__collection_release(s.c);
    fix_close(f);
}

static void test_isolation_one_shard(void **state)
{
    (void)state;
    isolation(1);
}

static void test_isolation_three_shards(void **state)
{
    (void)state;
    isolation(3);
}

/* --- group commit --- */

static void run_writers(struct shared *s, unsigned n, unsigned rounds)
{
    struct worker w[16];
    s->rounds = rounds;
    for (unsigned i = 0; i < n; i++) {
        w[i] = (struct worker){.s = s, .n = i};
        assert_int_equal(pthread_create(&w[i].t, NULL, write_group, &w[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(w[i].t, NULL);
    }
}

static void test_group_commit(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct shared s = {.f = f};
    struct qv__db_info before, after;
    fix_open(f, 2);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__DOT, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    s.c = fix_collection(f, "c");
    qv__io_sim_sync_delay(f->io, SYNC_DELAY_NS);
    qv__db_info(f->db, &before);
    run_writers(&s, 16, 40);
    qv__db_info(f->db, &after);
    uint64_t acks = after.acknowledged - before.acknowledged,
             syncs = after.log_syncs - before.log_syncs;
    print_message("group commit: %llu acknowledged, %llu syncs\n", (unsigned long long)acks,
                  (unsigned long long)syncs);
    assert_int_equal(acks, 16 * 40);
    assert_true(syncs * 4 < acks);
    assert_int_equal(atomic_load(&s.errors), 0);
    /* One writer waits for each of its syncs: what 16 writers share, it pays alone. */
    qv__db_info(f->db, &before);
    run_writers(&s, 1, 40);
    qv__db_info(f->db, &after);
    assert_true(after.log_syncs - before.log_syncs >= 40);
    qv__collection_release(s.c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isolation_one_shard),
        cmocka_unit_test(test_isolation_three_shards),
        cmocka_unit_test(test_group_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

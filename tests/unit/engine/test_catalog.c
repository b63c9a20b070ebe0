/* test_catalog.c: collections, aliases and their records across restarts and crashes. */
#include "engine_fixture.h"

static void create(struct fix *f, const char *name)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = 2};
    struct qv__schema s = fix_schema(&def, 1, 1);
    OK(qv__db_create_collection(f->db, qv__str_z(name), &s, &f->err));
}

static void put(struct fix *f, const char *name, uint64_t id)
{
    struct qv__collection *c = fix_collection(f, name);
    float v[2] = {1, 2};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = 2};
    struct qv__point p = {.id = qv__id_u64(id), .vectors = &nv, .n_vectors = 1};
    fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1}, 1);
    qv__collection_release(c);
}

static uint64_t points(struct fix *f, const char *name)
{
    struct qv__collection *c = fix_collection(f, name);
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    OK(qv__collection_count(c, NULL, &ctx, &n, &f->err));
    qv__collection_release(c);
    return n;
}

static void join(void *arg, struct qv__str name)
{
    char *out = arg;
    size_t n = strlen(out);
    snprintf(out + n, 256 - n, "%.*s ", (int)name.n, name.p);
}

static void join_alias(void *arg, struct qv__str alias, struct qv__str collection)
{
    char *out = arg;
    size_t n = strlen(out);
    snprintf(out + n, 256 - n, "%.*s>%.*s ", (int)alias.n, alias.p, (int)collection.n,
             collection.p);
}

static void expect_list(struct fix *f, const char *collections, const char *aliases)
{
    char got[256] = "";
    OK(qv__db_list_collections(f->db, join, got, &f->err));
    assert_string_equal(got, collections);
    got[0] = 0;
    OK(qv__db_list_aliases(f->db, QV__STR(""), join_alias, got, &f->err));
    assert_string_equal(got, aliases);
}

static struct qv__alias_action make(const char *alias, const char *to)
{
    return (struct qv__alias_action){
        .kind = QV__ALIAS_CREATE, .alias = qv__str_z(alias), .collection = qv__str_z(to)};
}

static void test_life(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__rng rng;
    bool existed = false;
    qv__rng_seed(&rng, 5);
    fix_open(f, -1);
    create(f, "b");
    create(f, "a");
    put(f, "a", 1);
    put(f, "b", 1);
    put(f, "b", 2);
    struct qv__schema s = {.n_vectors = 0};
    assert_int_equal(qv__db_create_collection(f->db, QV__STR("a"), &s, &f->err), QV_EEXISTS);
    struct qv__alias_action two[2] = {make("x", "a"), make("y", "b")};
    OK(qv__db_update_aliases(f->db, two, 2, &f->err));
    assert_int_equal(qv__db_create_collection(f->db, QV__STR("x"), &s, &f->err), QV_EINVAL);
    expect_list(f, "a b ", "x>a y>b ");
    assert_int_equal(points(f, "y"), 2);

    /* All or nothing: the second action fails, the first must not stay. */
    struct qv__alias_action bad[2] = {make("z", "a"), make("w", "none")};
    assert_int_equal(qv__db_update_aliases(f->db, bad, 2, &f->err), QV_ENOTFOUND);
    expect_list(f, "a b ", "x>a y>b ");

    /* A switch in one step; a rename. */
    struct qv__alias_action change[2] = {
        make("x", "b"),
        {.kind = QV__ALIAS_RENAME, .alias = QV__STR("y"), .new_alias = QV__STR("q")}};
    OK(qv__db_update_aliases(f->db, change, 2, &f->err));
    expect_list(f, "a b ", "q>b x>b ");
    for (int how = 0; how < 3; how++) {
        fix_crash(f, (enum qv__sim_crash)how, &rng);
        expect_list(f, "a b ", "q>b x>b ");
        assert_int_equal(points(f, "b"), 2);
        fix_reopen(f);
        expect_list(f, "a b ", "q>b x>b ");
    }
    OK(qv__db_drop_collection(f->db, QV__STR("b"), &existed, &f->err));
    assert_true(existed);
    OK(qv__db_drop_collection(f->db, QV__STR("b"), &existed, &f->err));
    assert_false(existed);
    expect_list(f, "a ", "");
    create(f, "b");
    assert_int_equal(points(f, "b"), 0);
    put(f, "b", 9);
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    expect_list(f, "a b ", "");
    assert_int_equal(points(f, "b"), 1);
    assert_int_equal(points(f, "a"), 1);
    fix_close(f);
}

static void count_file(void *arg, const char *name, bool is_dir)
{
    (void)is_dir;
    (void)name;
    ++*(unsigned *)arg;
}

/* Dropping a collection gives its files back, now and not at some later start. */
static void test_drop_frees_files(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    bool existed = false;
    unsigned files = 0;
    fix_open(f, 2);
    create(f, "a");
    for (uint64_t i = 0; i < 50; i++) {
        put(f, "a", i);
    }
    OK(qv__db_checkpoint(f->db, &f->err));
    OK(qv__io_list(f->io, QV__DIR_BLOBS, count_file, &files, &f->err));
    assert_true(files > 0);
    struct qv__collection *c = fix_collection(f, "a");
    OK(qv__collection_settle(c, 0, &f->err));
    qv__collection_release(c);
    OK(qv__db_drop_collection(f->db, QV__STR("a"), &existed, &f->err));
    files = 0;
    OK(qv__io_list(f->io, QV__DIR_BLOBS, count_file, &files, &f->err));
    assert_int_equal(files, 0);
    fix_close(f);
}

/* Who holds a collection that was dropped changes nothing of the next one of its name. */
static void test_changes_of_a_dropped_one(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    bool existed = false;
    fix_open(f, -1);
    create(f, "a");
    struct qv__collection *old = fix_collection(f, "a");
    OK(qv__db_drop_collection(f->db, QV__STR("a"), &existed, &f->err));
    for (int i = 0; i < 2; i++) { /* without and with another one */
        struct qv__payload_index_def def = {
            .key = QV__STR("city"), .type = QV__STR("keyword"), .params_json = QV__STR("")};
        struct qv__str config = QV__STR("{\"k\":1}");
        struct qv__alter a = {.config_json = &config};
        assert_int_equal(qv__collection_alter(old, &a, NULL, &f->err), QV_ENOTFOUND);
        assert_int_equal(qv__collection_put_index(old, &def, NULL, &f->err), QV_ENOTFOUND);
        assert_int_equal(qv__collection_drop_index(old, def.key, NULL, &f->err), QV_ENOTFOUND);
        if (i == 0) {
            create(f, "a");
        }
    }
    struct qv__collection *c = fix_collection(f, "a");
    struct qv__schema *s = qv__collection_schema(c);
    assert_ptr_not_equal(c, old);
    assert_int_equal(s->n_indexes, 0);
    assert_int_equal(s->config_json.n, 0);
    qv__schema_release(s);
    qv__collection_release(c);
    qv__collection_release(old);
    fix_close(f);
}

/* Payload indexes and configuration are recorded with the schema. */
static void test_schema_changes(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__rng rng;
    uint64_t op = 0;
    qv__rng_seed(&rng, 6);
    fix_open(f, -1);
    create(f, "a");
    struct qv__payload_index_def def = {
        .key = QV__STR("city"), .type = QV__STR("keyword"), .params_json = QV__STR("")};
    OK(qv__db_put_payload_index(f->db, QV__STR("a"), &def, &op, &f->err));
    assert_true(op > 0);
    struct qv__str config = QV__STR("{\"k\":1}");
    OK(qv__db_alter(f->db, QV__STR("a"), &(struct qv__alter){.config_json = &config}, NULL,
                    &f->err));
    for (int i = 0; i < 2; i++) {
        fix_crash(f, QV__CRASH_DROP_ALL, &rng);
        struct qv__collection *c = fix_collection(f, "a");
        struct qv__schema *s = qv__collection_schema(c);
        assert_int_equal(s->n_indexes, 1);
        assert_true(qv__str_eq(s->indexes[0].key, QV__STR("city")));
        assert_true(qv__str_eq(s->config_json, QV__STR("{\"k\":1}")));
        qv__schema_release(s);
        qv__collection_release(c);
        fix_reopen(f);
    }
    OK(qv__db_drop_payload_index(f->db, QV__STR("a"), QV__STR("city"), &op, &f->err));
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    struct qv__collection *c = fix_collection(f, "a");
    struct qv__schema *s = qv__collection_schema(c);
    assert_int_equal(s->n_indexes, 0);
    qv__schema_release(s);
    qv__collection_release(c);
    fix_close(f);
}

/* Two handles on one directory: the second is refused, the first goes on. */
static void test_second_handle(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__db *second = NULL;
    fix_open(f, -1);
    assert_int_equal(qv__db_open(&f->options, &second, &f->err), QV_ELOCKED);
    create(f, "a");
    put(f, "a", 1);
    assert_int_equal(points(f, "a"), 1);
    fix_close(f);
}

static void found(void *arg, const struct qv__check_finding *finding)
{
    *(bool *)arg |= finding->damaged;
}

/* The offline check passes a good directory and names a damaged one; its collection is refused. */
static void test_check(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    bool damaged = false;
    fix_open(f, -1);
    create(f, "a");
    for (uint64_t i = 0; i < 30; i++) {
        put(f, "a", i);
    }
    OK(qv__db_close(f->db, &f->err));
    OK(qv__db_check(f->io, f->mem, found, &damaged, &f->err));
    assert_false(damaged);
    OK(qv__io_sim_flip(f->io, "blobs/seg-0000000000000003", 4500, 3));
    assert_int_equal(qv__db_check(f->io, f->mem, found, &damaged, &f->err), QV_ECORRUPT);
    assert_true(damaged);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__collection *c = fix_collection(f, "a");
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    assert_int_equal(qv__collection_count(c, NULL, &ctx, &n, &f->err), QV_EQUARANTINED);
    assert_non_null(strstr(f->err.message, "seg-0000000000000003"));
    qv__collection_release(c);
    OK(qv__db_close(f->db, &f->err));
    OK(qv__io_sim_flip(f->io, "blobs/seg-0000000000000003", 4500, 3));
    OK(qv__db_open(&f->options, &f->db, &f->err));
    assert_int_equal(points(f, "a"), 30);
    fix_close(f);
}

/* A change of aliases that fails for lack of memory is not in the log: memory and restart agree. */
static void test_aliases_without_memory(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        fix_open(f, -1);
        create(f, "a");
        struct qv__alias_action first = make("x", "a"),
                                second[2] = {make("y", "a"), make("z", "a")};
        OK(qv__db_update_aliases(f->db, &first, 1, &f->err));
        uint64_t before = qv__mem_allocations(qv__db_mem(f->db));
        qv__mem_fail_at(qv__db_mem(f->db), n, false);
        qv_status st = qv__db_update_aliases(f->db, second, 2, &f->err);
        reached = qv__mem_allocations(qv__db_mem(f->db)) - before >= n;
        qv__mem_fail_at(qv__db_mem(f->db), 0, false);
        bool failed = st != QV_OK;
        assert_true(st == QV_OK || st == QV_ENOMEM);
        expect_list(f, "a ", failed ? "x>a " : "x>a y>a z>a ");
        fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
        expect_list(f, "a ", failed ? "x>a " : "x>a y>a z>a ");
        fix_close(f);
        assert_true(n < 1000);
    }
}

/* Two collections with one number would have each other's points: such a catalog is refused, by an
 * open and by a check. */
static void test_one_number_twice(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__io *after = NULL;
    struct qv__db *db = NULL;
    fix_open(f, -1);
    create(f, "a");
    f->db->next_collection_id--;
    create(f, "b");
    OK(qv__io_sim_crash(f->io, QV__CRASH_KEEP_ALL, NULL, &after, &f->err));
    (void)!qv__db_close(f->db, NULL);
    qv__io_close(f->io);
    assert_int_equal(qv__db_check(after, f->mem, NULL, NULL, NULL), QV_ECORRUPT);
    f->options.io = after;
    assert_int_equal(qv__db_open(&f->options, &db, &f->err), QV_ECORRUPT);
    assert_non_null(strstr(f->err.message, "collections `a` and `b` have one id"));
    qv__io_close(after);
    qv__mem_close(f->mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_drop_frees_files),
        cmocka_unit_test(test_schema_changes),
        cmocka_unit_test(test_changes_of_a_dropped_one),
        cmocka_unit_test(test_second_handle),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_aliases_without_memory),
        cmocka_unit_test(test_one_number_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_map_fault.c: segment files are cut short under searching threads.
 *
 * A round copies a directory of two collections, opens it, lets threads read both, and cuts a
 * segment file of one at a random place, inside a page too. Until the damage is met every answer
 * must be the right one; from then on the collection says which file failed; the other one must
 * never notice. 50 rounds, or as many as QVT_ROUNDS says: QVT_ROUNDS=1000 is the long form. */
#include "engine_fixture.h"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#define DIM     8u
#define ROWS    600u
#define READERS 3u
#define TOP     5u

static char root[256];

static void shell(const char *what)
{
    char command[600];
    snprintf(command, sizeof command, "cd '%s' && %s", root, what);
    assert_int_equal(system(command), 0);
}

static void vector_of(uint64_t i, float v[DIM])
{
    struct qv__rng rng;
    qv__rng_seed(&rng, i + 1);
    for (unsigned k = 0; k < DIM; k++) {
        v[k] = (float)(qv__rng_u64(&rng) % 1000) / 100.0f;
    }
}

static void fill(struct fix *f, const char *name)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 1);
    s.policy = (struct qv__segment_policy){.seal_rows = 100000, .index_rows = 64, .merge_fanin = 8};
    OK(qv__db_create_collection(f->db, qv__str_z(name), &s, &f->err));
    struct qv__collection *c = fix_collection(f, name);
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    for (uint64_t i = 0; i < ROWS; i++) {
        char json[64];
        float v[DIM];
        vector_of(i, v);
        snprintf(json, sizeof json, "{\"n\": %llu, \"text\": \"row\"}", (unsigned long long)i);
        struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
        struct qv__point p = {
            .id = i % 3 ? qv__id_u64(i)
                        : ((struct qv__id){.kind = QV__ID_I64, .u = (uint64_t) - (int64_t)i}),
            .vectors = &nv,
            .n_vectors = 1,
            .payload = fix_payload(f, &a, json)};
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1},
                  1);
    }
    qv__arena_free(&a);
    OK(qv__collection_optimize(c, 1, &f->err));
    qv__collection_release(c);
}

static void open_at(struct fix *f, const char *sub, int threads)
{
    char path[300];
    memset(f, 0, sizeof *f);
    snprintf(path, sizeof path, "%s/%s", root, sub);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_posix_open(f->mem, path, true, &f->io, &f->err));
    f->options = (struct qv__db_options){
        .io = f->io, .threads = threads, .seed = 7, .log_file_bytes = 64 << 10};
    OK(qv__db_open(&f->options, &f->db, &f->err));
}

/* --- what readers ask, and the right answers --- */

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

static uint64_t mix_results(uint64_t h, const struct qv__result_set *rs)
{
    for (size_t i = 0; i < rs->n; i++) {
        const struct qv__result_point *p = &rs->points[i];
        h = mix(h, &p->id.u, sizeof p->id.u);
        h = mix(h, &p->score, sizeof p->score);
        h = mix(h, &p->version, sizeof p->version);
        h = mix(h, p->payload.p, p->payload.n);
        if (p->vectors && p->vectors[0]) {
            h = mix(h, p->vectors[0], DIM * sizeof(float));
        }
    }
    return h;
}

static qv_status ask(struct qv__collection *c, struct qv__mem *mem, unsigned question, uint64_t *h,
                     struct qv_err *err)
{
    struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = mem};
    struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}, .vectors = QV__VECTORS_ALL};
    struct qv__result_set rs = {0};
    struct qv__id id = qv__id_u64(7 + question);
    qv_status st;
    *h = question;
    if (question % 4 == 0) {
        st = qv__collection_get(c, &id, 1, &fetch, &ctx, &rs, err);
    } else if (question % 4 == 1) {
        st = qv__collection_scroll(c, &id, 10, NULL, &fetch, &ctx, &rs, err);
    } else {
        float v[DIM];
        vector_of(question * 31, v);
        struct qv__query q = {.kind = QV__QUERY_NEAREST,
                              .target = {.values = v, .dim = DIM},
                              .limit = TOP,
                              .params = {.exact = question % 4 == 2}};
        st = qv__collection_query(c, &q, &fetch, &ctx, &rs, err);
    }
    *h = st == QV_OK ? mix_results(*h, &rs) : 0;
    qv__result_free(&rs);
    return st;
}

#define QUESTIONS 40u
static uint64_t right[QUESTIONS]; /* both collections hold the same points but for their LSNs */
static uint64_t right_other[QUESTIONS];

struct reader {
    struct fix *f;
    struct qv__collection *bad, *good;
    unsigned first;
    struct qv__thread thread;
    const char *wrong; /* what went wrong; NULL = nothing */
    qv_status ended;   /* how the bad collection refused at last */
    char said[504];
    _Atomic unsigned passes;
};

static void read_on(void *arg)
{
    struct reader *r = arg;
    struct qv_err err = {.code = QV_OK};
    for (unsigned q = r->first;; q = (q + 1) % QUESTIONS) {
        uint64_t h = 0;
        if (ask(r->good, r->f->mem, q, &h, &err) != QV_OK || h != right_other[q]) {
            r->wrong = "the sound collection answered wrongly";
            return;
        }
        qv_status st = ask(r->bad, r->f->mem, q, &h, &err);
        if (st == QV_OK && h != right[q]) {
            r->wrong = "the cut collection answered wrongly";
            return;
        }
        if (st != QV_OK) {
            r->ended = st;
            snprintf(r->said, sizeof r->said, "%s", err.message);
            return;
        }
        atomic_fetch_add(&r->passes, 1);
    }
}

/* --- rounds --- */

static void segment_of(const char *sub, char path[600])
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/%s/blobs", root, sub);
    DIR *d = opendir(dir);
    assert_non_null(d);
    path[0] = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) { /* the lowest number is of `bad` */
        char at[600];
        snprintf(at, sizeof at, "%s/%.200s", dir, e->d_name);
        if (strncmp(e->d_name, "seg-", 4) == 0 && (!path[0] || strcmp(at, path) < 0)) {
            memcpy(path, at, sizeof at);
        }
    }
    closedir(d);
    assert_true(path[0] != 0);
}

static off_t size_of(const char *path)
{
    FILE *fp = fopen(path, "rb");
    assert_non_null(fp);
    fseek(fp, 0, SEEK_END);
    off_t n = ftell(fp);
    fclose(fp);
    return n;
}

static void round_of(struct qv__rng *rng)
{
    struct fix fx, *f = &fx;
    struct reader readers[READERS] = {0};
    char segment[600];
    shell("rm -rf round && cp -r base round");
    segment_of("round", segment);
    open_at(f, "round", 2);
    struct qv__collection *bad = fix_collection(f, "bad"), *good = fix_collection(f, "good");
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.f = f, .bad = bad, .good = good, .first = i * 13};
        OK(qv__thread_start(&readers[i].thread, "reader", read_on, &readers[i], &f->err));
    }
    while (atomic_load(&readers[0].passes) < 3) {
        sched_yield();
    }
    off_t n = size_of(segment);
    off_t at = (off_t)(qv__rng_u64(rng) % (uint64_t)n);
    switch (qv__rng_u64(rng) % 4) {
    case 0:
        at = 0;
        break;
    case 1:
        at = n - 1 - at % 64; /* in the last page: no fault, but not the file that was */
        break;
    case 2:
        at = at / 4096 * 4096;
        break;
    default:
        break;
    }
    assert_int_equal(truncate(segment, at), 0);
    for (unsigned i = 0; i < READERS; i++) {
        qv__thread_join(&readers[i].thread);
        if (readers[i].wrong) {
            fail_msg("cut at %lld of %lld: %s", (long long)at, (long long)n, readers[i].wrong);
        }
        assert_true(readers[i].ended == QV_EIO || readers[i].ended == QV_EQUARANTINED);
        assert_non_null(strstr(readers[i].said, strrchr(segment, '/') + 1));
    }
    struct qv__collection_info info;
    OK(qv__collection_info(bad, &info, &f->err));
    assert_int_equal(info.quarantined, 1);
    struct qv__id id = qv__id_u64(1);
    struct qv__mutation del = {.kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1};
    struct qv__write_result r;
    assert_int_equal(qv__collection_write_sync(bad, &del, 1, &r, &f->err), QV_EQUARANTINED);
    OK(qv__collection_write_sync(good, &del, 1, &r, &f->err));
    qv__collection_release(bad);
    qv__collection_release(good);
    OK(qv__db_close(f->db, &f->err));
    OK(qv__db_open(&f->options, &f->db, &f->err)); /* and a start finds it as it is */
    bad = fix_collection(f, "bad");
    OK(qv__collection_info(bad, &info, &f->err));
    assert_int_equal(info.quarantined, 1);
    qv__collection_release(bad);
    fix_close(f);
}

static void make_base(void)
{
    struct fix fx, *f = &fx;
    open_at(f, "base", 2);
    fill(f, "bad");
    fill(f, "good");
    OK(qv__db_close(f->db, &f->err));
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__collection *bad = fix_collection(f, "bad"), *good = fix_collection(f, "good");
    for (unsigned q = 0; q < QUESTIONS; q++) {
        OK(ask(bad, f->mem, q, &right[q], &f->err));
        OK(ask(good, f->mem, q, &right_other[q], &f->err));
    }
    qv__collection_release(bad);
    qv__collection_release(good);
    fix_close(f);
}

static void cut_under_readers(void **state)
{
    (void)state;
    const char *text = getenv("QVT_ROUNDS"), *seed = getenv("QVT_SEED");
    unsigned long rounds = text ? strtoul(text, NULL, 10) : 50;
    struct qv__rng rng;
    qv__rng_seed(&rng, seed ? strtoull(seed, NULL, 10) : 1);
    for (unsigned long i = 0; i < rounds; i++) {
        round_of(&rng);
    }
    print_message("%lu files cut under %u readers\n", rounds, READERS);
}

/* Sources of a merge that fail while it reads make no segment. */
static void cut_under_a_merge(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    char segment[600];
    shell("rm -rf round && cp -r base round");
    segment_of("round", segment);
    open_at(f, "round", -1);
    struct qv__collection *bad = fix_collection(f, "bad");
    struct qv__write_result r;
    float v[DIM] = {1};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    struct qv__point p = {.id = qv__id_u64(5000), .vectors = &nv, .n_vectors = 1};
    struct qv__mutation put = {.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1};
    OK(qv__collection_write_sync(bad, &put, 1, &r, &f->err));
    off_t n = size_of(segment);
    assert_int_equal(truncate(segment, n / 2), 0);
    assert_int_equal(qv__collection_optimize(bad, 1, &f->err), QV_EIO);
    assert_non_null(strstr(f->err.message, strrchr(segment, '/') + 1));
    assert_int_equal(qv__collection_optimize(bad, 1, &f->err), QV_EQUARANTINED);
    struct qv__collection_info info;
    OK(qv__collection_info(bad, &info, &f->err));
    assert_int_equal(info.quarantined, 1);
    qv__collection_release(bad);
    fix_close(f);
}

/* A write that would be resolved against rows that cannot be read is refused, not logged. */
static void cut_under_a_write(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__arena a;
    char segment[600];
    shell("rm -rf round && cp -r base round");
    segment_of("round", segment);
    open_at(f, "round", -1);
    qv__arena_init(&a, f->mem);
    struct qv__collection *bad = fix_collection(f, "bad");
    struct qv__write_result r;
    struct qv__db_info before, after;
    qv__db_info(f->db, &before);
    assert_int_equal(truncate(segment, 0), 0);
    struct qv__mutation set = {.kind = QV__MUT_SET_PAYLOAD,
                               .by_filter = true,
                               .filter = fix_filter(f, &a, "{}"),
                               .payload = fix_payload(f, &a, "{\"x\": 1}")};
    assert_int_equal(qv__collection_write_sync(bad, &set, 1, &r, &f->err), QV_EIO);
    qv__db_info(f->db, &after);
    assert_int_equal(before.published_lsn, after.published_lsn);
    qv__arena_free(&a);
    qv__collection_release(bad);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_under_readers),
        cmocka_unit_test(cut_under_a_merge),
        cmocka_unit_test(cut_under_a_write),
    };
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/quiver-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(root)) {
        return 1;
    }
    make_base();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    shell("rm -rf base round && rmdir \"$PWD\"");
    return rc;
}

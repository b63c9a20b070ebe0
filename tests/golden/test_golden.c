/* test_golden.c: data directories that older builds wrote stay readable.
 *
 * For each tests/golden/v*: a copy passes the offline check, opens, and reads out exactly as it did
 * for the build that wrote it; then it is written to, closed, opened again, and holds both. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "golden.h"

static char root[256];

static void shell(const char *what)
{
    assert_int_equal(system(what), 0);
}

static char *text_of(const char *path)
{
    FILE *fp = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (!fp || !text) {
        fail_msg("cannot read %s", path);
    }
    size_t n = fread(text, 1, (1 << 20) - 1, fp);
    fclose(fp);
    while (n && text[n - 1] == '\n') {
        text[--n] = 0;
    }
    return text;
}

static void must(qv_status st, const struct qv_err *err, const char *what)
{
    if (st != QV_OK) {
        fail_msg("%s: %s: %s", what, qv_status_name(st), err->message);
    }
}

static void finding(void *arg, const struct qv__check_finding *f)
{
    if (f->damaged) {
        fail_msg("%s: %s", f->file, f->message);
    }
    ++*(unsigned *)arg;
}

static char *read_out(struct content *c)
{
    struct qv__buf b;
    qv__buf_init(&b, c->mem);
    must(content_read_out(c, &b), &c->err, "read out");
    char *text = calloc(1, b.n + 1);
    memcpy(text, b.p, b.n);
    qv__buf_free(&b);
    return text;
}

/* Says where two long texts part. */
static void same_text(const char *got, const char *want, const char *what)
{
    size_t i = 0;
    while (got[i] && got[i] == want[i]) {
        i++;
    }
    if (got[i] != want[i]) {
        size_t from = i > 80 ? i - 80 : 0;
        fail_msg("%s: at %zu\n  got  ...%.200s\n  want ...%.200s", what, i, got + from,
                 want + from);
    }
}

static void one_version(const char *name)
{
    char path[600], command[1400];
    struct qv_err err = {.code = QV_OK};
    struct qv__io *io = NULL;
    unsigned findings = 0;
    snprintf(
        command, sizeof command,
        "rm -rf '%s/data' && cp -r '%s/tests/golden/%s/data' '%s/data' && mkdir -p '%s/data/tmp'",
        root, QV_SOURCE_DIR, name, root, root);
    shell(command);
    snprintf(path, sizeof path, "%s/tests/golden/%s/expected.json", QV_SOURCE_DIR, name);
    char *want = text_of(path);
    struct qv__mem *mem = qv__mem_root("golden", 0);
    snprintf(path, sizeof path, "%s/data", root);
    must(qv__io_posix_open(mem, path, false, &io, &err), &err, "directory");
    must(qv__db_check(io, mem, finding, &findings, &err), &err, "check");
    assert_true(findings > 5);

    struct content c = {.mem = mem, .n = GOLDEN_POINTS};
    struct qv__db_options o = golden_options(io);
    must(qv__db_open(&o, &c.db, &err), &err, name);
    char *got = read_out(&c);
    same_text(got, want, name);
    free(got);
    free(want);

    qv_status more = strcmp(name, "v1") == 0   ? content_more(&c)
                     : strcmp(name, "v2") == 0 ? content_newer_more(&c)
                     : strcmp(name, "v3") == 0 ? content_altered_more(&c)
                     : strcmp(name, "v4") == 0 ? content_packed_more(&c)
                     : strcmp(name, "v5") == 0 ? content_narrow_more(&c)
                     : strcmp(name, "v6") == 0 ? content_varied_more(&c)
                                               : content_tucked_more(&c);
    must(more, &c.err, "write");
    want = read_out(&c);
    must(qv__db_close(c.db, &err), &err, "close");
    must(qv__db_open(&o, &c.db, &err), &err, "open again");
    got = read_out(&c);
    same_text(got, want, "after a restart");
    free(got);
    free(want);
    must(qv__db_close(c.db, &err), &err, "close");
    must(qv__db_check(io, mem, finding, &findings, &err), &err, "check again");
    qv__io_close(io);
    qv__mem_close(mem);
}

static void every_version(void **state)
{
    (void)state;
    unsigned n = 0;
    DIR *d = opendir(QV_SOURCE_DIR "/tests/golden");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == 'v' && strspn(e->d_name + 1, "0123456789") > 0) {
            print_message("%s\n", e->d_name);
            one_version(e->d_name);
            n++;
        }
    }
    closedir(d);
    assert_true(n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_version)};
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/quiver-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(root)) {
        return 1;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    shell(command);
    return rc;
}

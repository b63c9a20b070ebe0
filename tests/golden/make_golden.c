/* make_golden.c: writes a golden data directory with the build at hand.
 *
 *   make_golden DIRECTORY   makes DIRECTORY/data as kill -9 leaves it, and DIRECTORY/expected.json
 *
 * Run once per version of the formats, by tests/golden/README.md; what it wrote is never written
 * again. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "golden.h"

static void must(qv_status st, const struct qv_err *err)
{
    if (st != QV_OK) {
        fprintf(stderr, "make_golden: %s: %s\n", qv_status_name(st), err->message);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    char path[1024];
    struct qv_err err = {.code = QV_OK};
    struct qv__io *io = NULL;
    struct qv__buf out;
    if (argc != 2) {
        fprintf(stderr, "usage: make_golden DIRECTORY\n");
        return 2;
    }
    struct qv__mem *mem = qv__mem_root("golden", 0);
    struct content c = {.mem = mem, .n = GOLDEN_POINTS};
    snprintf(path, sizeof path, "%s/data", argv[1]);
    must(qv__io_posix_open(mem, path, true, &io, &err), &err);
    struct qv__db_options o = golden_options(io);
    must(qv__db_open(&o, &c.db, &err), &err);
    /* v1: content_base, content_tail; v2: content_newer; v3: content_altered; v4: content_packed;
     * v5: content_narrow; v6: content_varied */
    must(content_tucked(&c), &c.err);
    while (qv__db_step(c.db)) {
    }
    qv__buf_init(&out, mem);
    must(content_read_out(&c, &out), &c.err);
    snprintf(path, sizeof path, "%s/expected.json", argv[1]);
    FILE *fp = fopen(path, "wb");
    if (!fp || fwrite(out.p, 1, out.n, fp) != out.n || fputc('\n', fp) == EOF || fclose(fp) != 0) {
        perror(path);
        return 1;
    }
    _exit(0); /* closing would flush the log away */
}

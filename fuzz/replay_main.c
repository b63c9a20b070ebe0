/* replay_main.c: runs a fuzz target without a fuzzer: every file of its corpus, and mutations of
 * it.
 *
 *   fuzz_NAME_replay [-m MUTATIONS] [-s SEED] FILE-OR-FOLDER...
 *
 * What it is: main() for LLVMFuzzerTestOneInput with any compiler, so that what was once found
 * stays found. Each file is given whole, then MUTATIONS times (default 300) changed: cut short,
 * bytes flipped, replaced, doubled or dropped, or with a piece of the file before spliced in. The
 * changes follow from SEED and the file's place in the list alone, so a run can be repeated. What
 * it is not: guided by coverage; for that see CMakeLists.txt.
 *
 * A target that finds something stops the process; which input it was is in the line before, which
 * also says how to repeat it. The last line is "N passed, 0 failed" over the files. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX ((size_t)1 << 20)
#define FILES_MAX       10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    char *path;
    uint8_t *bytes;
    size_t n;
};

static struct input *inputs;
static size_t n_inputs;

static void die(const char *what, const char *path)
{
    fprintf(stderr, "%s: %s: %s\n", path, what, strerror(errno));
    exit(2);
}

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void add_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_BYTES_MAX);
    if (!f || !bytes || n_inputs == FILES_MAX) {
        die("cannot read", path);
    }
    size_t n = fread(bytes, 1, INPUT_BYTES_MAX, f);
    if (ferror(f)) {
        die("cannot read", path);
    }
    fclose(f);
    inputs[n_inputs].path = strdup(path);
    uint8_t *fitting = realloc(bytes, n ? n : 1);
    inputs[n_inputs].bytes = fitting ? fitting : bytes;
    inputs[n_inputs++].n = n;
}

static int is_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void add_path(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0) {
        die("cannot read", path);
    }
    if (!S_ISDIR(s.st_mode)) {
        add_file(path);
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, is_visible, alphasort);
    if (n < 0) {
        die("cannot list", path);
    }
    for (int i = 0; i < n; i++) {
        char full[4096];
        snprintf(full, sizeof full, "%s/%s", path, names[i]->d_name);
        add_file(full);
        free(names[i]);
    }
    free(names);
}

/* One exact block, so that a sanitizer sees the first byte beyond. */
static void run(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact) {
        die("no memory", "replay");
    }
    if (n > 0) {
        memcpy(exact, bytes, n);
    }
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

/* Apply one change to b[n] (room for INPUT_BYTES_MAX); returns the new length. */
static size_t change(uint8_t *b, size_t n, const struct input *other, uint64_t *rng)
{
    static const uint8_t telling[] = {0,   1,   0x7F, 0x80, 0xFF, '"', '\\', '{', '}',
                                      '[', ']', ',',  ':',  '-',  '0', '9',  'e', ' '};
    size_t at = n ? (size_t)(next(rng) % n) : 0;
    size_t len = n ? (size_t)(next(rng) % (n - at < 32 ? n - at : 32)) + 1 : 0;
    switch (next(rng) % 6) {
    case 0: /* cut short */
        return at;
    case 1: /* flip a bit */
        if (n) {
            b[at] ^= (uint8_t)(1u << (next(rng) & 7));
        }
        return n;
    case 2: /* a byte that means something to many formats */
        if (n) {
            b[at] = telling[next(rng) % sizeof telling];
        }
        return n;
    case 3: /* drop a piece */
        memmove(b + at, b + at + len, n - at - len);
        return n - len;
    case 4: /* double a piece */
        if (n + len > INPUT_BYTES_MAX) {
            return n;
        }
        memmove(b + at + len, b + at, n - at);
        return n + len;
    default: /* a piece of another file */
        if (other->n == 0) {
            return n;
        }
        len = (size_t)(next(rng) % (other->n < 64 ? other->n : 64)) + 1;
        if (n + len > INPUT_BYTES_MAX) {
            return n;
        }
        memmove(b + at + len, b + at, n - at);
        memcpy(b + at, other->bytes + next(rng) % (other->n - len + 1), len);
        return n + len;
    }
}

int main(int argc, char **argv)
{
    unsigned long mutations = 300, seed = 1;
    int i = 1;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        *(argv[i][1] == 'm' ? &mutations : &seed) = strtoul(argv[i + 1], NULL, 10);
    }
    inputs = calloc(FILES_MAX, sizeof *inputs);
    uint8_t *work = malloc(INPUT_BYTES_MAX);
    if (!inputs || !work) {
        die("no memory", "replay");
    }
    for (; i < argc; i++) {
        add_path(argv[i]);
    }
    if (n_inputs == 0) {
        printf("no corpus\n0 passed, 1 failed\n");
        return 1;
    }
    run(NULL, 0);
    for (size_t k = 0; k < n_inputs; k++) {
        const struct input *in = &inputs[k];
        uint64_t rng = seed * 1000003u + k;
        printf("%s (%zu bytes, -m %lu -s %lu)\n", in->path, in->n, mutations, seed);
        fflush(stdout);
        run(in->bytes, in->n);
        for (unsigned long m = 0; m < mutations; m++) {
            size_t n = in->n;
            memcpy(work, in->bytes, n);
            for (uint64_t c = next(&rng) % 4 + 1; c > 0; c--) {
                n = change(work, n, &inputs[next(&rng) % n_inputs], &rng);
            }
            run(work, n);
        }
    }
    printf("%zu passed, 0 failed\n", n_inputs);
    for (size_t k = 0; k < n_inputs; k++) {
        free(inputs[k].path);
        free(inputs[k].bytes);
    }
    free(inputs);
    free(work);
    return 0;
}

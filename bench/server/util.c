/* util.c: errors, time, text, files of vectors. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench_server: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void *need(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) {
        die("no memory for %zu bytes", bytes);
    }
    return p;
}

static void reserve(struct text *b, size_t more)
{
    if (b->n + more > b->room) {
        b->room = 2 * (b->n + more);
        b->p = realloc(b->p, b->room);
        if (!b->p) {
            die("no memory for %zu bytes", b->room);
        }
    }
}

void put(struct text *b, const void *p, size_t n)
{
    reserve(b, n + 1);
    memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void putf(struct text *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    reserve(b, (size_t)n + 1);
    vsnprintf(b->p + b->n, (size_t)n + 1, format, again);
    b->n += (size_t)n;
    va_end(again);
    va_end(args);
}

void put_vector(struct text *b, const float *v, size_t dim)
{
    for (size_t i = 0; i < dim; i++) {
        putf(b, "%c%.9g", i ? ',' : '[', (double)v[i]);
    }
    put(b, "]", 1);
}

/* Rows of 4-byte values, each behind its count of them. */
static void *read_vecs(const char *path, size_t *rows, size_t *columns)
{
    FILE *f = fopen(path, "rb");
    int32_t width = 0;
    if (!f || fread(&width, 4, 1, f) != 1 || width < 1 || fseek(f, 0, SEEK_END)) {
        die("%s: cannot be read", path);
    }
    size_t line = 4 * ((size_t)width + 1), bytes = (size_t)ftell(f);
    if (bytes % line) {
        die("%s: %zu bytes are no whole rows of %d", path, bytes, width);
    }
    *rows = bytes / line;
    *columns = (size_t)width;
    char *out = need(*rows * (size_t)width * 4);
    rewind(f);
    for (size_t i = 0; i < *rows; i++) {
        int32_t w;
        if (fread(&w, 4, 1, f) != 1 || w != width ||
            fread(out + i * (line - 4), line - 4, 1, f) != 1) {
            die("%s: row %zu cannot be read", path, i);
        }
    }
    fclose(f);
    return out;
}

struct vectors read_fvecs(const char *path)
{
    struct vectors out = {0};
    out.v = read_vecs(path, &out.n, &out.dim);
    return out;
}

int32_t *read_ivecs(const char *path, size_t *rows, size_t *columns)
{
    return read_vecs(path, rows, columns);
}

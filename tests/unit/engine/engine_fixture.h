/* engine_fixture.h: a database on the simulated file system, and short forms of its calls. */
#ifndef ENGINE_FIXTURE_H
#define ENGINE_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/collection.h"
#include "os/io_sim.h"

struct fix {
    struct qv__mem *mem;
    struct qv__io *io;
    struct qv__db *db;
    struct qv__db_options options;
    struct qv_err err;
};

#define OK(expr)                                                                                   \
    do {                                                                                           \
        f->err.message[0] = 0;                                                                     \
        qv_status ok_st_ = (expr);                                                                 \
        if (ok_st_ != QV_OK) {                                                                     \
            fail_msg("%s: %s: %s", #expr, qv_status_name(ok_st_), f->err.message);                 \
        }                                                                                          \
    } while (0)

static inline void fix_open(struct fix *f, int threads)
{
    memset(f, 0, sizeof *f);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){
        .io = f->io, .threads = threads, .seed = 7, .log_file_bytes = 1 << 20};
    OK(qv__db_open(&f->options, &f->db, &f->err));
}

static inline void fix_reopen(struct fix *f)
{
    OK(qv__db_close(f->db, &f->err));
    f->db = NULL;
    OK(qv__db_open(&f->options, &f->db, &f->err));
}

/* As after kill -9 or a power cut: the old handle is closed on the old, abandoned file system. */
static inline void fix_crash(struct fix *f, enum qv__sim_crash how, struct qv__rng *rng)
{
    struct qv__io *after = NULL;
    OK(qv__io_sim_crash(f->io, how, rng, &after, &f->err));
    qv__db_close(f->db, NULL);
    qv__io_close(f->io);
    f->io = after;
    f->options.io = after;
    OK(qv__db_open(&f->options, &f->db, &f->err));
}

static inline void fix_close(struct fix *f)
{
    OK(qv__db_close(f->db, &f->err));
    qv__io_close(f->io);
    qv__mem_close(f->mem);
}

static inline struct qv__schema fix_schema(struct qv__vector_def *defs, uint32_t n, uint32_t shards)
{
    return (struct qv__schema){.vectors = defs, .n_vectors = n, .shard_number = shards};
}

static inline struct qv__collection *fix_collection(struct fix *f, const char *name)
{
    struct qv__collection *c = NULL;
    OK(qv__db_collection(f->db, qv__str_z(name), &c, &f->err));
    return c;
}

static inline struct qv__qctx fix_ctx(struct fix *f)
{
    return (struct qv__qctx){.clock = qv__db_clock(f->db), .mem = qv__db_mem(f->db)};
}

/* Payload row bytes of a JSON text, in the arena. */
static inline struct qv__bytes fix_payload(struct fix *f, struct qv__arena *a, const char *json)
{
    qv__json v = NULL;
    struct qv__buf b;
    OK(qv__json_parse(a, json, strlen(json), NULL, &v, &f->err));
    qv__buf_init(&b, a->mem);
    OK(qv__payload_from_json(&b, v, &f->err));
    uint8_t *copy = qv__arena_alloc(a, b.n);
    memcpy(copy, b.p, b.n);
    struct qv__bytes out = {copy, b.n};
    qv__buf_free(&b);
    return out;
}

static inline const struct qv__filter *fix_filter(struct fix *f, struct qv__arena *a,
                                                  const char *json)
{
    qv__json v = NULL;
    const struct qv__filter *out = NULL;
    OK(qv__json_parse(a, json, strlen(json), NULL, &v, &f->err));
    OK(qv__filter_parse(a, v, &out, &f->err));
    return out;
}

static inline void fix_write(struct fix *f, struct qv__collection *c, const struct qv__mutation *m,
                             size_t n)
{
    struct qv__write_result r;
    OK(qv__collection_write_sync(c, m, n, &r, &f->err));
}

#endif

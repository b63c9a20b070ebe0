/* dump_impl.h: what dump.c and dump_log.c share. */
#ifndef QV_ENGINE_DUMP_IMPL_H
#define QV_ENGINE_DUMP_IMPL_H

#include "base/arena.h"
#include "base/json.h"
#include "engine/dump.h"

struct qv__dump {
    struct qv__io *io;
    struct qv__mem *mem;
    const struct qv__dump_options *options;
    void (*item)(void *arg, struct qv__str json);
    void *arg;
    struct qv__buf out;
    struct qv__jw w;
    struct qv__arena arena; /* names of collections */
    bool in_use;            /* files come and go under the dump: none is called missing */
    uint64_t live;          /* generation that CURRENT names; 0 = none yet */
    struct qv__buf named;   /* u64: segments of the live manifest */
    struct {
        uint64_t id;
        struct qv__str name;
    } * names; /* by id, as far as a catalog or a record tells */
    size_t n_names, cap_names;
};

/* One item: begin, members, end. */
void qv__dump_begin(struct qv__dump *d, const char *item, const char *file);
void qv__dump_text(struct qv__dump *d, const char *key, const char *text);
void qv__dump_u64(struct qv__dump *d, const char *key, uint64_t v);
void qv__dump_hex(struct qv__dump *d, const char *key, const uint8_t *p, size_t n);
void qv__dump_end(struct qv__dump *d);
/* A file, or the rest of it, that cannot be read. */
void qv__dump_damage(struct qv__dump *d, const char *file, const struct qv_err *err);
/* What must be there and is not, or breaks off; in words of the caller. */
void qv__dump_lost(struct qv__dump *d, const char *file, const char *fmt, ...) QV_PRINTF(3, 4);

void qv__dump_name_add(struct qv__dump *d, uint64_t id, struct qv__str name);
/* "" when it is not known. */
struct qv__str qv__dump_name(const struct qv__dump *d, uint64_t id);

/* dump_log.c: all files of the log. */
qv_status qv__dump_log(struct qv__dump *d, struct qv_err *err) QV_MUST_USE;

#endif

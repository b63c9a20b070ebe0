/* manifest.c: writing, reading and clearing away manifests, and the switch between them.
 *
 * A manifest is written under its own name, synced, and then CURRENT, which names one generation
 * with length and checksum, is replaced by a rename. Both files are small and complete, so a crash
 * leaves the old CURRENT with the old manifest or the new ones.
 *
 * Differences to the usual scheme: (1) a directory without CURRENT but with a manifest is damaged,
 * not new; therefore the first write puts a CURRENT of generation 0, "no manifest yet", before the
 * first manifest. (2) When replacing CURRENT fails after the rename (the directory's sync did), the
 * old one is put back, so that "an error leaves the old one live" holds in the files as well; if
 * that fails too, nobody knows which one a restart will find, and QV_EREADONLY says so.
 *
 * Memory: writing takes one block of the manifest's size; reading puts everything into the caller's
 * arena, after the length was compared with the file's. No locks; one thread at a time. */
#include "store/manifest.h"
#include "base/plant.h"

#include <stdio.h>

#include "base/crc32c.h"
#include "store/format.h"

#define CURRENT_NAME       "CURRENT"
#define CURRENT_BYTES      64u
#define HEAD_BYTES         128u
#define SHARD_BYTES        32u
#define SEGMENT_BYTES      48u
#define MANIFEST_BYTES_MAX ((uint64_t)1 << 32)
#define CLEAN_BATCH        32

static const struct qv__format current_format = {
    .magic = "QVCUR\r\n\x1a",
    .noun = "CURRENT file",
    .major = 1,
    .head_bytes = CURRENT_BYTES,
};
static const struct qv__format manifest_format = {
    .magic = "QVMAN\r\n\x1a",
    .noun = "manifest",
    .major = 1,
    .head_bytes = HEAD_BYTES,
};

/* What CURRENT says. */
struct current {
    uint64_t generation; /* 0 = no manifest yet */
    uint64_t file_bytes;
    uint32_t crc;
};

static void manifest_name(uint64_t generation, char out[64])
{
    snprintf(out, 64, "manifest-%016" PRIx64, generation);
}

/* True for the name of a manifest, or of one that was being written. */
static bool manifest_name_read(const char *name, uint64_t *generation)
{
    static const char prefix[] = "manifest-";
    const size_t n = sizeof prefix - 1;
    uint64_t v = 0;
    if (strncmp(name, prefix, n) != 0) {
        return false;
    }
    for (size_t i = 0; i < 16; i++) {
        char c = name[n + i];
        if (c >= '0' && c <= '9') {
            v = v << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *generation = v;
    return name[n + 16] == 0;
}

/* --- CURRENT --- */

static void current_encode(const struct current *c, uint8_t out[CURRENT_BYTES])
{
    qv__format_begin(&current_format, out);
    qv__store_u64(out + 32, c->generation);
    qv__store_u64(out + 40, c->file_bytes);
    qv__store_u32(out + 48, c->crc);
    qv__format_seal(&current_format, out);
}

struct seen {
    uint64_t generation; /* highest below `below` */
    uint64_t below;
    bool any;
};

static void see_manifest(void *arg, const char *name, bool is_dir)
{
    struct seen *s = (struct seen *)arg;
    uint64_t generation;
    if (!is_dir && manifest_name_read(name, &generation) && generation < s->below) {
        s->any = true;
        s->generation = QV_MAX(s->generation, generation);
    }
}

static qv_status find_below(struct qv__io *io, uint64_t below, struct seen *out, struct qv_err *err)
{
    *out = (struct seen){.below = below};
    return qv__io_list(io, "", see_manifest, out, err);
}

/* QV_ENOTFOUND when there is no CURRENT and no manifest. */
static qv_status current_read(struct qv__io *io, struct qv__mem *mem, struct current *out,
                              struct qv_err *err)
{
    void *p;
    size_t n;
    struct qv_err why;
    qv_status st = qv__io_read_file(io, CURRENT_NAME, 4096, mem, &p, &n, &why);
    if (st == QV_ENOTFOUND) {
        struct seen seen;
        QV_TRY(find_below(io, UINT64_MAX, &seen, err));
        if (seen.any) {
            return qv__fail(err, QV_ECORRUPT,
                            CURRENT_NAME " is missing, but manifests up to generation %" PRIu64
                                         " are there",
                            seen.generation);
        }
        return qv__fail(err, QV_ENOTFOUND, "no manifest: the directory is new");
    }
    if (st == QV_ETOOBIG) {
        return qv__fail(err, QV_ECORRUPT, CURRENT_NAME ": is too long");
    }
    if (st != QV_OK) {
        if (err) {
            *err = why;
        }
        return st;
    }
    const uint8_t *b = (const uint8_t *)p;
    st = qv__format_check(&current_format, b, n, true, CURRENT_NAME, err);
    if (st == QV_OK && n != CURRENT_BYTES) {
        st = qv__fail(err, QV_ECORRUPT, CURRENT_NAME ": has %zu bytes", n);
    }
    if (st == QV_OK) {
        *out = (struct current){qv__load_u64(b + 32), qv__load_u64(b + 40), qv__load_u32(b + 48)};
    }
    qv__free(p);
    return st;
}

/* --- writing --- */

static void put_segment(struct qv__buf *b, const struct qv__manifest_segment *s)
{
    qv__buf_u64(b, s->segment_id);
    qv__buf_u64(b, s->file_bytes);
    qv__buf_u32(b, s->n_rows);
    qv__buf_u32(b, s->n_dead);
    qv__buf_u64(b, s->tombstone_gen);
    qv__buf_u64(b, s->min_lsn);
    qv__buf_u64(b, s->max_lsn);
}

qv_status qv__manifest_encode(const struct qv__manifest *m, struct qv__buf *b, struct qv_err *err)
{
    uint8_t *head = qv__buf_reserve(b, HEAD_BYTES);
    if (!head) {
        return qv__buf_status(b, err);
    }
    b->n += HEAD_BYTES; /* filled below, when the length is known */
    uint64_t n_segments = 0;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        const struct qv__manifest_shard *s = &m->shards[i];
        qv__buf_u64(b, s->collection_id);
        qv__buf_u32(b, s->shard);
        qv__buf_u32(b, s->n_segments);
        qv__buf_u64(b, s->flushed_lsn);
        qv__buf_u64(b, 0);
        n_segments += s->n_segments;
    }
    for (uint32_t i = 0; i < m->n_shards; i++) {
        for (uint32_t j = 0; j < m->shards[i].n_segments; j++) {
            put_segment(b, &m->shards[i].segments[j]);
        }
    }
    qv__buf_put(b, m->catalog.p, m->catalog.n);
    QV_TRY(qv__buf_status(b, err));
    uint64_t total = b->n + 4;
    if (n_segments > UINT32_MAX || total > MANIFEST_BYTES_MAX) {
        return qv__fail(err, QV_ETOOBIG, "manifest: %" PRIu64 " segments in %" PRIu64 " bytes",
                        n_segments, total);
    }
    head = b->p;
    qv__format_begin(&manifest_format, head);
    qv__store_u64(head + 32, total);
    qv__store_u64(head + 40, m->generation);
    qv__store_u64(head + 48, m->checkpoint_lsn);
    qv__store_u64(head + 56, m->next_file_id);
    qv__store_u64(head + 64, m->epoch);
    memcpy(head + 72, m->db_uuid, sizeof m->db_uuid);
    qv__store_u64(head + 88, m->catalog.n);
    qv__store_u32(head + 96, m->n_shards);
    qv__store_u32(head + 100, (uint32_t)n_segments);
    qv__format_seal(&manifest_format, head);
    qv__buf_u32(b, qv__crc32c(0, b->p, b->n));
    return qv__buf_status(b, err);
}

/* Replace CURRENT's bytes; on an error they are `old` as before, or QV_EREADONLY. */
static qv_status switch_current(struct qv__io *io, struct qv__mem *mem, const struct current *old,
                                const struct current *new, struct qv_err *err)
{
    uint8_t bytes[CURRENT_BYTES];
    struct qv_err why, undo;
    struct current now;
    current_encode(new, bytes);
    qv_status st = qv__io_write_file(io, CURRENT_NAME, bytes, sizeof bytes, &why);
    if (st == QV_OK) {
        return QV_OK;
    }
    if (err) {
        *err = why;
    }
    qv_status look = current_read(io, mem, &now, &undo);
    if (look == QV_ENOTFOUND || (look == QV_OK && now.generation == old->generation)) {
        return st; /* the rename did not happen */
    }
    current_encode(old, bytes);
    if (look == QV_OK) {
        look = qv__io_write_file(io, CURRENT_NAME, bytes, sizeof bytes, &undo);
    }
    if (look == QV_OK) {
        return st;
    }
    return qv__fail(err, QV_EREADONLY,
                    CURRENT_NAME ": replacing it failed (%.180s), and putting it back too (%.180s)",
                    why.message, undo.message);
}

qv_status qv__manifest_write(struct qv__io *io, struct qv__mem *mem, const struct qv__manifest *m,
                             struct qv_err *err)
{
    static const struct current nothing = {0};
    struct current old = nothing, new = {.generation = m->generation};
    struct qv_err why;
    char name[64];
    qv_status st = current_read(io, mem, &old, &why);
    if (st == QV_ENOTFOUND) {
        st = switch_current(io, mem, &nothing, &nothing, &why);
    }
    if (st != QV_OK) {
        if (err) {
            *err = why;
        }
        return st;
    }
    if (m->generation <= old.generation) {
        return qv__fail(err, QV_EINVAL, "manifest: generation %" PRIu64 " does not follow %" PRIu64,
                        m->generation, old.generation);
    }
    struct qv__buf b;
    qv__buf_init(&b, mem);
    manifest_name(m->generation, name);
    st = qv__manifest_encode(m, &b, err);
    if (st == QV_OK) {
        st = qv__io_write_file(io, name, b.p, b.n, err);
        if (st == QV_OK) {
            new.file_bytes = b.n;
            new.crc = qv__crc32c(0, b.p, b.n);
            st = switch_current(io, mem, &old, &new, err);
        }
        if (st != QV_OK && st != QV_EREADONLY) {
            qv_status ignored = qv__io_unlink(io, name, NULL); /* CURRENT does not name it */
            (void)ignored;
        }
    }
    qv__buf_free(&b);
    return st;
}

/* --- reading --- */

static qv_status damaged(struct qv_err *err, const char *name, const char *what)
{
    return qv__fail(err, QV_ECORRUPT, "%s: %s", name, what);
}

/* The whole file in the arena, as CURRENT describes it. */
static qv_status load(struct qv__io *io, struct qv__arena *arena, const char *name,
                      const struct current *c, uint8_t **out, struct qv_err *err)
{
    struct qv__file *f;
    uint64_t size;
    struct qv_err why;
    qv_status st = qv__io_open(io, name, QV__OPEN_READ, &f, &why);
    if (st == QV_ENOTFOUND) {
        return damaged(err, name, "is missing, but " CURRENT_NAME " names it");
    }
    if (st != QV_OK) {
        if (err) {
            *err = why;
        }
        return st;
    }
    uint8_t *p = NULL;
    st = qv__io_size(f, &size, err);
    if (st == QV_OK && (size != c->file_bytes || size > MANIFEST_BYTES_MAX)) {
        st = qv__fail(err, QV_ECORRUPT, "%s: has %" PRIu64 " bytes, was written with %" PRIu64,
                      name, size, c->file_bytes);
    }
    if (st == QV_OK) {
        p = (uint8_t *)qv__arena_alloc(arena, (size_t)size);
        st = p ? qv__io_pread(f, p, (size_t)size, 0, err)
               : qv__fail(err, QV_ENOMEM, "%s: no memory for %" PRIu64 " bytes", name, size);
    }
    qv__io_file_close(f, NULL); /* nothing was written */
    if (st == QV_OK && qv__crc32c(0, p, (size_t)size) != c->crc &&
        !QV_PLANT(skip_manifest_checksum)) {
        st = damaged(err, name, "checksum in " CURRENT_NAME " does not match");
    }
    *out = p;
    return st;
}

static void take_shard(struct qv__reader *r, struct qv__manifest_shard *s)
{
    s->collection_id = qv__read_u64(r);
    s->shard = qv__read_u32(r);
    s->n_segments = qv__read_u32(r);
    s->flushed_lsn = qv__read_u64(r);
    (void)qv__read_u64(r);
}

static void take_segment(struct qv__reader *r, struct qv__manifest_segment *s)
{
    s->segment_id = qv__read_u64(r);
    s->file_bytes = qv__read_u64(r);
    s->n_rows = qv__read_u32(r);
    s->n_dead = qv__read_u32(r);
    s->tombstone_gen = qv__read_u64(r);
    s->min_lsn = qv__read_u64(r);
    s->max_lsn = qv__read_u64(r);
}

/* The arrays; their bytes are known to be there. */
static qv_status take_shards(struct qv__reader *r, struct qv__arena *arena, uint32_t n_segments,
                             const char *name, struct qv__manifest *m, struct qv_err *err)
{
    struct qv__manifest_segment *segments;
    m->shards =
        (struct qv__manifest_shard *)qv__arena_calloc(arena, m->n_shards, sizeof *m->shards);
    segments = (struct qv__manifest_segment *)qv__arena_calloc(arena, n_segments, sizeof *segments);
    if (!m->shards || !segments) {
        return qv__fail(err, QV_ENOMEM, "%s: no memory for its segments", name);
    }
    uint64_t used = 0;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        struct qv__manifest_shard *s = &m->shards[i];
        take_shard(r, s);
        if (s->n_segments > n_segments - used) {
            return damaged(err, name, "offset 100: shards have more segments than there are");
        }
        s->segments = segments + used;
        used += s->n_segments;
    }
    if (used != n_segments) {
        return damaged(err, name, "offset 100: segments without a shard");
    }
    for (uint32_t i = 0; i < n_segments; i++) {
        take_segment(r, &segments[i]);
        if (segments[i].n_dead > segments[i].n_rows) {
            return damaged(err, name, "a segment has more dead rows than rows");
        }
    }
    return QV_OK;
}

qv_status qv__manifest_decode(const uint8_t *p, size_t n, const char *name, uint64_t generation,
                              struct qv__arena *arena, struct qv__manifest *out, struct qv_err *err)
{
    QV_TRY(qv__format_check(&manifest_format, p, n, true, name, err));
    struct qv__manifest m = {
        .generation = qv__load_u64(p + 40),
        .checkpoint_lsn = qv__load_u64(p + 48),
        .next_file_id = qv__load_u64(p + 56),
        .epoch = qv__load_u64(p + 64),
        .n_shards = qv__load_u32(p + 96),
    };
    memcpy(m.db_uuid, p + 72, sizeof m.db_uuid);
    uint64_t catalog_bytes = qv__load_u64(p + 88);
    uint32_t n_segments = qv__load_u32(p + 100);
    uint64_t arrays = (uint64_t)m.n_shards * SHARD_BYTES + (uint64_t)n_segments * SEGMENT_BYTES;
    if (m.generation != generation || qv__load_u64(p + 32) != n) {
        return damaged(err, name, "offset 32: of another length or generation");
    }
    if (n < HEAD_BYTES + 4 || arrays > n - HEAD_BYTES - 4 ||
        catalog_bytes != n - HEAD_BYTES - 4 - arrays) {
        return damaged(err, name, "offset 88: its parts do not fit its length");
    }
    if (qv__crc32c(0, p, n - 4) != qv__load_u32(p + n - 4) && !QV_PLANT(skip_manifest_checksum)) {
        return damaged(err, name, "checksum does not match");
    }
    struct qv__reader r = qv__reader_of(p + HEAD_BYTES, n - HEAD_BYTES - 4);
    QV_TRY(take_shards(&r, arena, n_segments, name, &m, err));
    m.catalog = (struct qv__bytes){r.p, (size_t)catalog_bytes};
    *out = m;
    return QV_OK;
}

qv_status qv__manifest_read(struct qv__io *io, struct qv__arena *arena, struct qv__manifest *out,
                            struct qv_err *err)
{
    struct current c;
    char name[64];
    uint8_t *p = NULL;
    QV_TRY(current_read(io, arena->mem, &c, err));
    if (c.generation == 0) {
        return qv__fail(err, QV_ENOTFOUND, "no manifest yet: the directory is new");
    }
    manifest_name(c.generation, name);
    QV_TRY(load(io, arena, name, &c, &p, err));
    return qv__manifest_decode(p, (size_t)c.file_bytes, name, c.generation, arena, out, err);
}

qv_status qv__manifest_current(struct qv__io *io, struct qv__mem *mem, uint64_t *generation,
                               struct qv_err *err)
{
    struct current c = {0};
    qv_status st = current_read(io, mem, &c, err);
    *generation = c.generation;
    return st;
}

qv_status qv__manifest_read_generation(struct qv__io *io, struct qv__arena *arena,
                                       uint64_t generation, struct qv__manifest *out,
                                       struct qv_err *err)
{
    char name[64];
    void *p = NULL;
    size_t n = 0;
    manifest_name(generation, name);
    QV_TRY(qv__io_read_file(io, name, MANIFEST_BYTES_MAX, arena->mem, &p, &n, err));
    uint8_t *copy = (uint8_t *)qv__arena_alloc(arena, n + 1);
    qv_status st = copy ? QV_OK : qv__fail(err, QV_ENOMEM, "%s: no memory for %zu bytes", name, n);
    if (st == QV_OK) {
        memcpy(copy, p, n);
        st = qv__manifest_decode(copy, n, name, generation, arena, out, err);
    }
    qv__free(p);
    return st;
}

/* --- clearing away --- */

struct doomed {
    uint64_t keep[2];
    uint64_t v[CLEAN_BATCH];
    size_t n;
};

static void doom(void *arg, const char *name, bool is_dir)
{
    struct doomed *d = (struct doomed *)arg;
    uint64_t generation;
    if (!is_dir && d->n < CLEAN_BATCH && manifest_name_read(name, &generation) &&
        generation != d->keep[0] && generation != d->keep[1]) {
        d->v[d->n++] = generation;
    }
}

qv_status qv__manifest_clean(struct qv__io *io, uint64_t live_generation, struct qv_err *err)
{
    struct seen before;
    QV_TRY(find_below(io, live_generation, &before, err));
    for (;;) {
        struct doomed d = {
            .keep = {live_generation, before.any ? before.generation : live_generation}};
        QV_TRY(qv__io_list(io, "", doom, &d, err));
        if (d.n == 0) {
            return QV_OK;
        }
        for (size_t i = 0; i < d.n; i++) {
            char name[64];
            manifest_name(d.v[i], name);
            QV_TRY(qv__io_unlink(io, name, err));
        }
    }
}

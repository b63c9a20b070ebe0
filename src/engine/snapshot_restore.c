/* snapshot_restore.c: from a snapshot to segments of this directory.
 *
 * A snapshot is foreign: its bytes are compared with every checksum, its manifest and catalog with
 * its table, and only then is anything written. Each segment gets a number of this database, since
 * its own may be taken here (by the very same file), and since a block's checksum is bound to the
 * number; so it is copied block by block. On the way the LSNs of its rows are lowered to one that
 * is past in this database: a row of the future would not be seen. Each copy is then opened with
 * all checks of a start, and the ids of a shard's segments are held against each other. */
#include <stdio.h>

#include "engine/segment_impl.h"
#include "engine/snapshot_impl.h"
#include "store/segfile_copy.h"

#define COLLECTION_MANIFEST_MAX ((uint64_t)64 << 20)
#define DATABASE_MANIFEST_MAX   ((uint64_t)512 << 20)

static qv_status damaged(struct qv_err *err, const char *what)
{
    return qv__fail(err, QV_ECORRUPT, "snapshot: %s", what);
}

/* --- what there is --- */

static qv_status read_manifest(struct qv__restore *r, struct qv_err *err)
{
    const struct qv__snap *s = &r->from->snap;
    uint64_t n = s->files[0].bytes;
    uint64_t most =
        s->kind == QV__SNAP_COLLECTION ? COLLECTION_MANIFEST_MAX : DATABASE_MANIFEST_MAX;
    if (s->files[0].kind != QV__SNAP_MANIFEST || n > most) {
        return damaged(err, "it has no manifest, or one that is too large");
    }
    uint8_t *p = qv__arena_alloc(&r->arena, (size_t)n);
    if (!p) {
        return qv__fail(err, QV_ENOMEM, "no memory for the manifest of a snapshot");
    }
    QV_TRY(qv__snap_read(r->from, 0, 0, p, (size_t)n, err));
    QV_TRY(
        qv__manifest_decode(p, (size_t)n, "snapshot: manifest", 1, &r->arena, &r->manifest, err));
    if (r->manifest.checkpoint_lsn != s->lsn) {
        return damaged(err, "its manifest is of another LSN");
    }
    return QV_OK;
}

static int order(const struct qv__snap_file *f, uint16_t kind, uint64_t id, uint64_t gen)
{
    if (f->kind != kind) {
        return f->kind < kind ? -1 : 1;
    }
    if (f->id != id) {
        return f->id < id ? -1 : 1;
    }
    return (f->gen > gen) - (f->gen < gen);
}

/* Number of a file in the table; n_files if it is not there. */
static uint32_t file_of(const struct qv__snap *s, uint16_t kind, uint64_t id, uint64_t gen)
{
    uint32_t lo = 0, hi = s->n_files;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = order(&s->files[mid], kind, id, gen);
        if (c == 0) {
            return mid;
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return s->n_files;
}

/* The table lists what the manifest names, each once, with its length, and nothing else. */
static qv_status check_files(struct qv__restore *r, struct qv_err *err)
{
    const struct qv__snap *s = &r->from->snap;
    uint32_t named = 1;
    bool *used = qv__arena_calloc(&r->arena, s->n_files + 1u, sizeof *used);
    if (!used) {
        return qv__fail(err, QV_ENOMEM, "no memory to check a snapshot");
    }
    for (uint32_t i = 0; i < r->manifest.n_shards; i++) {
        for (uint32_t k = 0; k < r->manifest.shards[i].n_segments; k++) {
            const struct qv__manifest_segment *m = &r->manifest.shards[i].segments[k];
            uint32_t seg = file_of(s, QV__SNAP_SEGMENT, m->segment_id, 0);
            if (seg == s->n_files || used[seg] || s->files[seg].bytes != m->file_bytes) {
                return damaged(err, "a segment of its manifest is not in its table");
            }
            used[seg] = true;
            named++;
            if (m->tombstone_gen) {
                uint32_t t = file_of(s, QV__SNAP_TOMBSTONES, m->segment_id, m->tombstone_gen);
                if (t == s->n_files || s->files[t].bytes != qv__tombstones_bytes(m->n_rows)) {
                    return damaged(err, "tombstones of its manifest are not in its table");
                }
                named++;
            }
        }
    }
    return named == s->n_files ? QV_OK : damaged(err, "its table has files that nothing names");
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Collections by rising name, each name and each id once; ids go to ids[list->len]. */
static qv_status check_collections(qv__json list, uint64_t *ids, struct qv_err *err)
{
    struct qv__str last = {"", 0};
    qv__json o = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++, o = qv__json_next(o)) {
        struct qv__str name;
        if (!qv__json_str(qv__json_get(o, "name"), &name) ||
            !qv__json_u64(qv__json_get(o, "id"), &ids[i]) || qv__str_cmp(last, name) >= 0) {
            return damaged(err, "a collection of its catalog is malformed or out of order");
        }
        if (qv__collection_name_check(name, err) != QV_OK) {
            return qv__wrap(err, QV_ECORRUPT, "snapshot: catalog");
        }
        last = name;
    }
    return QV_OK;
}

/* Shards follow the order of their collections, and rise within each. */
static qv_status check_shards(const struct qv__manifest *m, const uint64_t *ids, uint32_t n,
                              struct qv_err *err)
{
    uint32_t c = 0;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        const struct qv__manifest_shard *s = &m->shards[i];
        bool same = i > 0 && s->collection_id == m->shards[i - 1].collection_id;
        while (!same && c < n && ids[c] != s->collection_id) {
            c++;
        }
        if (c == n || (same && s->shard <= m->shards[i - 1].shard)) {
            return damaged(err,
                           "a shard belongs to no collection of its catalog, or is there twice");
        }
    }
    return QV_OK;
}

static qv_status check_order(struct qv__restore *r, qv__json list, struct qv_err *err)
{
    uint64_t *ids = qv__arena_calloc(&r->arena, (size_t)list->len + 1, sizeof *ids);
    if (!ids) {
        return qv__fail(err, QV_ENOMEM, "no memory to check a snapshot");
    }
    QV_TRY(check_collections(list, ids, err));
    QV_TRY(check_shards(&r->manifest, ids, list->len, err));
    qsort(ids, list->len, sizeof *ids, by_value);
    for (uint32_t i = 1; i < list->len; i++) {
        if (ids[i] == ids[i - 1]) {
            return damaged(err, "two collections of its catalog have one id");
        }
    }
    return QV_OK;
}

static qv_status check_catalog(struct qv__restore *r, struct qv_err *err)
{
    struct qv__bytes text = r->manifest.catalog;
    const struct qv__snap *s = &r->from->snap;
    struct qv__str name;
    uint64_t format = 0;
    qv_status st = qv__json_parse(&r->arena, (const char *)text.p, text.n, NULL, &r->catalog, err);
    if (st != QV_OK) {
        return st == QV_ENOMEM ? st : qv__wrap(err, QV_ECORRUPT, "snapshot: catalog");
    }
    if (!qv__json_u64(qv__json_get(r->catalog, "format"), &format) || format != 1) {
        return qv__fail(err, QV_EVERSION,
                        "snapshot: catalog: format %" PRIu64 " is not known to this version",
                        format);
    }
    qv__json list = qv__json_get(r->catalog, "collections");
    if (!qv__json_is(list, QV__JSON_ARR) ||
        !qv__json_is(qv__json_get(r->catalog, "aliases"), QV__JSON_OBJ)) {
        return damaged(err, "its catalog is malformed");
    }
    QV_TRY(check_order(r, list, err));
    if (s->kind == QV__SNAP_COLLECTION &&
        (list->len != 1 || !qv__json_str(qv__json_get(qv__json_first(list), "name"), &name) ||
         !qv__str_eq(name, qv__str_z(s->name)))) {
        return damaged(err, "its catalog is not that of its collection");
    }
    return QV_OK;
}

qv_status qv__restore_open(struct qv__restore *r, struct qv__snap_reader *from,
                           const uint8_t *sha256, struct qv_err *err)
{
    uint8_t sum[QV__SHA256_BYTES];
    char want[QV__SHA256_HEX + 1], have[QV__SHA256_HEX + 1];
    r->from = from;
    qv__arena_init(&r->arena, from->arena.mem);
    QV_TRY(qv__snap_verify(from, r->cancel, sum, err));
    if (sha256 && memcmp(sum, sha256, sizeof sum) != 0) {
        qv__sha256_hex(sha256, want);
        qv__sha256_hex(sum, have);
        return qv__fail(err, QV_ECONFLICT, "expected: %s, actual: %s", want, have);
    }
    QV_TRY(read_manifest(r, err));
    QV_TRY(check_files(r, err));
    return check_catalog(r, err);
}

void qv__restore_free(struct qv__restore *r)
{
    if (r->from) {
        qv__arena_free(&r->arena);
        r->from = NULL;
    }
}

qv_status qv__restore_space(const struct qv__restore *r, struct qv__io *io, struct qv_err *err)
{
    uint64_t room = 0, need = r->from->snap.table_at; /* what is no larger than all its files */
    QV_TRY(qv__io_free_space(io, &room, NULL, err));
    return need <= room ? QV_OK
                        : qv__fail(err, QV_ENOSPC,
                                   "the snapshot needs %" PRIu64 " bytes, the disk has %" PRIu64,
                                   need, room);
}

/* --- one segment --- */

struct segment_copy {
    struct qv__restore *r;
    uint32_t file;
};

static bool is_cancelled(const struct qv__restore *r)
{
    return r->cancel && atomic_load(r->cancel);
}

static qv_status cancelled(struct qv_err *err)
{
    return qv__fail(err, QV_ECANCELLED, "restoring was cancelled");
}

static qv_status read_part(void *ctx, uint64_t at, void *buf, size_t n, struct qv_err *err)
{
    const struct segment_copy *c = ctx;
    if (is_cancelled(c->r)) {
        return cancelled(err);
    }
    return qv__snap_read(c->r->from, c->file, at, buf, n, err);
}

/* Lower the LSNs of rows, and what META says of them. */
static void lower_lsns(void *ctx, uint16_t kind, uint16_t column, uint64_t at, uint8_t *p, size_t n)
{
    const struct segment_copy *c = ctx;
    size_t from = 0, to = 0;
    if (kind == QV__SEC_INSERT_LSN && column == 0) {
        to = n - n % 8;
    } else if (kind == QV__SEC_META && column == 0 && at == 0 &&
               n >= sizeof(struct qv__segment_meta)) {
        from = offsetof(struct qv__segment_meta, min_lsn);
        to = offsetof(struct qv__segment_meta, max_lsn) + 8;
    }
    for (size_t i = from; i < to; i += 8) {
        qv__store_u64(p + i, QV_MIN(qv__load_u64(p + i), c->r->lsn_max));
    }
}

static qv_status copy_tombstones(struct qv__restore *r, const struct qv__manifest_segment *from,
                                 struct qv__manifest_segment *made, struct qv__mem *mem,
                                 struct qv_err *err)
{
    uint32_t file =
        file_of(&r->from->snap, QV__SNAP_TOMBSTONES, from->segment_id, from->tombstone_gen);
    size_t n = (size_t)r->from->snap.files[file].bytes;
    uint8_t *p = qv__alloc(mem, n);
    uint64_t *words = qv__calloc(mem, from->n_rows / 64 + 1u, sizeof *words);
    qv_status st =
        p && words ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for tombstones of a snapshot");
    if (st == QV_OK) {
        st = qv__snap_read(r->from, file, 0, p, n, err);
    }
    if (st == QV_OK) {
        st = qv__tombstones_decode((struct qv__bytes){p, n}, "snapshot: tombstones",
                                   from->segment_id, from->tombstone_gen, words, from->n_rows, err);
    }
    if (st == QV_OK) {
        uint64_t gen = atomic_fetch_add(r->next_file_id, 1);
        st = qv__tombstones_write(r->blobs, mem, made->segment_id, gen, words, from->n_rows, err);
        made->tombstone_gen = st == QV_OK ? gen : 0;
    }
    qv__free(words);
    qv__free(p);
    return st;
}

static void remove_copy(struct qv__restore *r, const struct qv__manifest_segment *made)
{
    char name[64];
    struct qv_err ignored; /* what stays is removed at the next open */
    if (made->tombstone_gen) {
        qv__tombstones_blob_name(made->segment_id, made->tombstone_gen, name);
        (void)!r->blobs->ops->remove(r->blobs, name, &ignored);
    }
    qv__segment_blob_name(made->segment_id, name);
    (void)!r->blobs->ops->remove(r->blobs, name, &ignored);
}

static qv_status restore_segment(struct qv__restore *r, const struct qv__segment_env *env,
                                 struct qv__schema *schema, const struct qv__manifest_segment *from,
                                 struct qv__manifest_segment *made, struct qv__segment **out,
                                 struct qv_err *err)
{
    char as[64], was[96];
    struct segment_copy c = {
        .r = r, .file = file_of(&r->from->snap, QV__SNAP_SEGMENT, from->segment_id, 0)};
    *made = *from;
    made->segment_id = atomic_fetch_add(r->next_file_id, 1);
    made->tombstone_gen = 0;
    made->min_lsn = QV_MIN(from->min_lsn, r->lsn_max);
    made->max_lsn = QV_MIN(from->max_lsn, r->lsn_max);
    snprintf(was, sizeof was, "snapshot: segment %" PRIu64, from->segment_id);
    struct qv__segcopy copy = {.read = read_part,
                               .edit = lower_lsns,
                               .ctx = &c,
                               .file_id = from->segment_id,
                               .file_bytes = from->file_bytes,
                               .name = was};
    qv__segment_blob_name(made->segment_id, as);
    QV_TRY(qv__segfile_copy(&copy, r->blobs, env->mem, made->segment_id, as, err));
    qv_status st = from->tombstone_gen ? copy_tombstones(r, from, made, env->mem, err) : QV_OK;
    if (st == QV_OK) {
        st = qv__segment_open(env, schema, made, out, err);
        st = st == QV_OK ? st : qv__wrap(err, st, "snapshot: segment %" PRIu64, from->segment_id);
    }
    if (st != QV_OK) {
        remove_copy(r, made);
    }
    return st;
}

/* --- a shard --- */

/* Each point is there once, in the shard where it is looked for. That takes a search in each
 * segment for each row: minutes, where there are many of both. */
static qv_status check_ids(const struct qv__restore *r, struct qv__segment *const *list, uint32_t n,
                           uint32_t shard, uint32_t n_shards, struct qv_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t row = 0; row < qv__segment_rows(list[i]); row++) {
            uint32_t at = 0;
            if (is_cancelled(r)) {
                return cancelled(err);
            }
            if (!qv__segment_row_visible(list[i], row, QV__LSN_MAX)) {
                continue;
            }
            struct qv__id id = qv__segment_row_id(list[i], row);
            if (qv__shard_of(n_shards, &id) != shard) {
                return damaged(err, "a point lies in a shard that is not its own");
            }
            bool once = qv__segment_find(list[i], &id, QV__LSN_MAX, &at) && at == row;
            for (uint32_t k = 0; once && k < i; k++) {
                once = !qv__segment_find(list[k], &id, QV__LSN_MAX, &at);
            }
            if (!once) {
                return damaged(err, "a point is there twice");
            }
        }
    }
    return QV_OK;
}

qv_status qv__restore_shard(struct qv__restore *r, const struct qv__segment_env *env,
                            struct qv__schema *schema, const struct qv__manifest_shard *from,
                            struct qv__segment **list, struct qv__manifest_segment *made,
                            struct qv_err *err)
{
    uint32_t n = 0;
    qv_status st = from->shard < schema->shard_number
                       ? QV_OK
                       : damaged(err, "a shard has a number that its collection has not");
    while (st == QV_OK && n < from->n_segments) {
        st = restore_segment(r, env, schema, &from->segments[n], &made[n], &list[n], err);
        n += st == QV_OK;
    }
    if (st == QV_OK) {
        st = check_ids(r, list, n, from->shard, schema->shard_number, err);
    }
    for (uint32_t i = 0; st != QV_OK && i < n; i++) {
        qv__segment_doom(list[i]);
        qv__segment_release(list[i]);
    }
    return st;
}

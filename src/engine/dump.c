/* dump.c: the directory, CURRENT, manifests with their catalog, segment files. */
#include "engine/dump.h"

#include <stdio.h>

#include "engine/collection.h"
#include "engine/dump_impl.h"
#include "engine/segment_impl.h"
#include "store/segfile_format.h"

/* --- items --- */

void qv__dump_begin(struct qv__dump *d, const char *item, const char *file)
{
    qv__buf_reset(&d->out);
    qv__jw_init(&d->w, &d->out);
    qv__jw_obj(&d->w);
    qv__dump_text(d, "item", item);
    if (file) {
        qv__dump_text(d, "file", file);
    }
}

void qv__dump_text(struct qv__dump *d, const char *key, const char *text)
{
    qv__jw_key(&d->w, key);
    qv__jw_str(&d->w, text);
}

void qv__dump_u64(struct qv__dump *d, const char *key, uint64_t v)
{
    qv__jw_key(&d->w, key);
    qv__jw_u64(&d->w, v);
}

void qv__dump_hex(struct qv__dump *d, const char *key, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char text[65];
    n = QV_MIN(n, (size_t)32);
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = digits[p[i] >> 4];
        text[2 * i + 1] = digits[p[i] & 15];
    }
    text[2 * n] = 0;
    qv__dump_text(d, key, text);
}

void qv__dump_end(struct qv__dump *d)
{
    qv__jw_obj_end(&d->w);
    if (!d->out.failed) {
        d->item(d->arg, (struct qv__str){(const char *)d->out.p, d->out.n});
    }
}

void qv__dump_damage(struct qv__dump *d, const char *file, const struct qv_err *err)
{
    qv__dump_begin(d, "damage", file);
    qv__dump_text(d, "code", qv_status_name(err->code));
    qv__dump_text(d, "message", err->message);
    qv__dump_end(d);
}

void qv__dump_lost(struct qv__dump *d, const char *file, const char *fmt, ...)
{
    struct qv_err err = {.code = QV_ECORRUPT};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err.message, sizeof err.message, fmt, ap);
    va_end(ap);
    qv__dump_damage(d, file, &err);
}

/* --- names of collections --- */

void qv__dump_name_add(struct qv__dump *d, uint64_t id, struct qv__str name)
{
    if (qv__dump_name(d, id).n) {
        return;
    }
    if (d->n_names == d->cap_names) {
        size_t cap = d->cap_names ? 2 * d->cap_names : 16;
        void *grown = qv__arena_calloc(&d->arena, cap, sizeof *d->names);
        if (!grown) {
            return; /* the number has to do */
        }
        if (d->n_names) {
            memcpy(grown, d->names, d->n_names * sizeof *d->names);
        }
        d->names = grown;
        d->cap_names = cap;
    }
    const char *copy = qv__arena_strndup(&d->arena, name.p, name.n);
    if (copy) {
        d->names[d->n_names].id = id;
        d->names[d->n_names++].name = (struct qv__str){copy, name.n};
    }
}

struct qv__str qv__dump_name(const struct qv__dump *d, uint64_t id)
{
    for (size_t i = 0; i < d->n_names; i++) {
        if (d->names[i].id == id) {
            return d->names[i].name;
        }
    }
    return (struct qv__str){"", 0};
}

static void learn_names(struct qv__dump *d, qv__json catalog)
{
    qv__json list = qv__json_get(catalog, "collections"), o = qv__json_first(list);
    for (uint32_t i = 0; o && i < list->len; i++, o = qv__json_next(o)) {
        uint64_t id = 0;
        struct qv__str name;
        if (qv__json_u64(qv__json_get(o, "id"), &id) &&
            qv__json_str(qv__json_get(o, "name"), &name)) {
            qv__dump_name_add(d, id, name);
        }
    }
}

/* --- manifests --- */

static void dump_catalog(struct qv__dump *d, const char *file, const struct qv__manifest *m,
                         bool show)
{
    struct qv__arena arena;
    struct qv_err err = {.code = QV_OK};
    qv__json doc = NULL;
    qv__arena_init(&arena, d->mem);
    if (qv__json_parse(&arena, (const char *)m->catalog.p, m->catalog.n, NULL, &doc, &err) !=
        QV_OK) {
        qv__dump_damage(d, file, &err);
    } else {
        learn_names(d, doc);
        if (show) {
            qv__dump_begin(d, "catalog", file);
            qv__jw_key(&d->w, "catalog");
            qv__jw_value(&d->w, doc);
            qv__dump_end(d);
        }
    }
    qv__arena_free(&arena);
}

static void dump_shard(struct qv__dump *d, const char *file, const struct qv__manifest_shard *s)
{
    qv__dump_begin(d, "shard", file);
    qv__dump_u64(d, "collection_id", s->collection_id);
    qv__jw_key(&d->w, "collection");
    qv__jw_str_n(&d->w, qv__dump_name(d, s->collection_id));
    qv__dump_u64(d, "shard", s->shard);
    qv__dump_u64(d, "flushed_lsn", s->flushed_lsn);
    qv__jw_key(&d->w, "segments");
    qv__jw_arr(&d->w);
    for (uint32_t i = 0; i < s->n_segments; i++) {
        const struct qv__manifest_segment *m = &s->segments[i];
        qv__jw_obj(&d->w);
        qv__dump_u64(d, "segment_id", m->segment_id);
        qv__dump_u64(d, "bytes", m->file_bytes);
        qv__dump_u64(d, "rows", m->n_rows);
        qv__dump_u64(d, "dead", m->n_dead);
        qv__dump_u64(d, "tombstones", m->tombstone_gen);
        qv__dump_u64(d, "min_lsn", m->min_lsn);
        qv__dump_u64(d, "max_lsn", m->max_lsn);
        qv__jw_obj_end(&d->w);
    }
    qv__jw_arr_end(&d->w);
    qv__dump_end(d);
}

static void remember_segments(struct qv__dump *d, const struct qv__manifest_shard *s)
{
    for (uint32_t i = 0; i < s->n_segments; i++) {
        qv__buf_u64(&d->named, s->segments[i].segment_id);
    }
}

static void dump_manifest(struct qv__dump *d, uint64_t generation, bool show)
{
    struct qv__arena arena;
    struct qv__manifest m = {0};
    struct qv_err err = {.code = QV_OK};
    char file[64];
    snprintf(file, sizeof file, "manifest-%016" PRIx64, generation);
    qv__arena_init(&arena, d->mem);
    if (qv__manifest_read_generation(d->io, &arena, generation, &m, &err) != QV_OK) {
        if (show) {
            qv__dump_damage(d, file, &err);
        }
        qv__arena_free(&arena);
        return;
    }
    if (show) {
        qv__dump_begin(d, "manifest", file);
        qv__jw_key(&d->w, "live");
        qv__jw_bool(&d->w, generation == d->live);
        qv__dump_u64(d, "generation", m.generation);
        qv__dump_u64(d, "checkpoint_lsn", m.checkpoint_lsn);
        qv__dump_u64(d, "next_file_id", m.next_file_id);
        qv__dump_u64(d, "epoch", m.epoch);
        qv__dump_hex(d, "uuid", m.db_uuid, sizeof m.db_uuid);
        qv__dump_u64(d, "shards", m.n_shards);
        qv__dump_u64(d, "catalog_bytes", m.catalog.n);
        qv__dump_end(d);
    }
    dump_catalog(d, file, &m, show);
    for (uint32_t i = 0; i < m.n_shards; i++) {
        if (generation == d->live) {
            remember_segments(d, &m.shards[i]);
        }
        if (show) {
            dump_shard(d, file, &m.shards[i]);
        }
    }
    qv__arena_free(&arena);
}

struct generations {
    uint64_t v[16];
    size_t n;
};

static void gather_generation(void *arg, const char *name, bool is_dir)
{
    struct generations *g = arg;
    uint64_t generation = 0;
    char again[64];
    if (is_dir || sscanf(name, "manifest-%16" SCNx64, &generation) != 1) {
        return;
    }
    snprintf(again, sizeof again, "manifest-%016" PRIx64, generation);
    if (strcmp(again, name) == 0 && g->n < QV_ARRAY_LEN(g->v)) {
        g->v[g->n++] = generation;
    }
}

/* Also without `show`: the names of collections come from here. */
static qv_status dump_manifests(struct qv__dump *d, bool show, struct qv_err *err)
{
    struct generations g = {.n = 0};
    struct qv_err why = {.code = QV_OK};
    bool found = false;
    qv_status st = qv__manifest_current(d->io, d->mem, &d->live, &why);
    d->live = st == QV_OK ? d->live : 0;
    if (show && st == QV_OK) {
        qv__dump_begin(d, "current", "CURRENT");
        qv__dump_u64(d, "generation", d->live);
        qv__dump_end(d);
    } else if (show && st != QV_ENOTFOUND) { /* a database without a checkpoint has none */
        qv__dump_damage(d, "CURRENT", &why);
    }
    QV_TRY(qv__io_list(d->io, "", gather_generation, &g, err));
    for (size_t i = g.n; i-- > 0;) { /* the newest first: its names count */
        dump_manifest(d, g.v[i], show);
        found |= g.v[i] == d->live;
    }
    if (show && d->live && !found && !d->in_use) {
        char file[64];
        snprintf(file, sizeof file, "manifest-%016" PRIx64, d->live);
        qv__dump_lost(d, file, "is missing, but CURRENT names it");
    }
    return QV_OK;
}

/* --- segments --- */

static const char *section_name(uint16_t kind)
{
    switch (kind) {
    case QV__SEC_META:
        return "meta";
    case QV__SEC_ID_OFFSETS:
        return "id offsets";
    case QV__SEC_ID_DATA:
        return "ids";
    case QV__SEC_ID_ORDER:
        return "id order";
    case QV__SEC_INSERT_LSN:
        return "insert LSNs";
    case QV__SEC_EXPIRES:
        return "expiry";
    case QV__SEC_PAYLOAD_OFFSETS:
        return "payload offsets";
    case QV__SEC_PAYLOAD_DATA:
        return "payloads";
    case QV__SEC_TOMBSTONES:
        return "tombstones";
    case QV__SEC_FIELDS:
        return "payload indexes";
    case QV__SEC_TENANTS:
        return "tenants";
    case QV__SEC_VEC_META:
        return "vector meta";
    case QV__SEC_VEC_ORD_TO_ROW:
        return "ordinals to rows";
    case QV__SEC_VEC_ROW_TO_ORD:
        return "rows to ordinals";
    case QV__SEC_VEC_DATA:
        return "vectors";
    default:
        return kind >= QV__SEC_INDEX_PART ? "index part" : "unknown";
    }
}

static void dump_sections(struct qv__dump *d, const char *file, const struct qv__segfile *f)
{
    struct qv__seg_entry e;
    for (uint32_t i = 0; qv__segfile_entry(f, i, &e); i++) {
        qv__dump_begin(d, "section", file);
        qv__dump_text(d, "name", section_name(e.kind));
        qv__dump_u64(d, "kind", e.kind);
        qv__dump_u64(d, "column", e.column);
        qv__dump_u64(d, "offset", e.off);
        qv__dump_u64(d, "bytes", e.bytes);
        qv__dump_end(d);
    }
}

static void dump_columns(struct qv__dump *d, const char *file, const struct qv__segfile *f,
                         uint32_t n_columns)
{
    for (uint32_t i = 0; i < QV_MIN(n_columns, QV__VECTORS_MAX); i++) {
        struct qv__bytes b = qv__segfile_section(f, QV__SEC_VEC_META, (uint16_t)i);
        struct qv__column_meta m;
        if (b.n < sizeof m) {
            continue;
        }
        memcpy(&m, b.p, sizeof m);
        qv__dump_begin(d, "column", file);
        qv__dump_u64(d, "column", i);
        qv__jw_key(&d->w, "name");
        qv__jw_str_n(&d->w, (struct qv__str){(const char *)b.p + sizeof m, b.n - sizeof m});
        qv__dump_u64(d, "version", m.version);
        qv__dump_u64(d, "dim", m.dim);
        qv__dump_u64(d, "vectors", m.n_ords);
        qv__dump_u64(d, "kind", m.kind);
        qv__dump_u64(d, "datatype", m.datatype);
        qv__dump_u64(d, "metric", m.metric);
        qv__dump_u64(d, "index", m.index_kind);
        qv__dump_u64(d, "m", m.m);
        qv__dump_u64(d, "ef_construct", m.ef_construct);
        qv__dump_u64(d, "seed", m.seed);
        if (m.version >= 2) {
            qv__dump_u64(d, "uid", m.uid);
        }
        qv__dump_end(d);
    }
}

static void dump_segment(struct qv__dump *d, struct qv__blobs *blobs, const char *name, uint64_t id)
{
    struct qv__segfile *f = NULL;
    struct qv_err err = {.code = QV_OK};
    char file[96];
    snprintf(file, sizeof file, "%s/%s", QV__DIR_BLOBS, name);
    if (qv__segfile_open(blobs, name, d->mem, id, 0, false, &f, &err) != QV_OK) {
        qv__dump_damage(d, file, &err);
        return;
    }
    struct qv__bytes mb = qv__segfile_section(f, QV__SEC_META, 0);
    struct qv__segment_meta m = {0};
    if (mb.n == sizeof m) {
        memcpy(&m, mb.p, sizeof m);
    }
    qv__dump_begin(d, "segment", file);
    qv__dump_u64(d, "segment_id", id);
    qv__dump_u64(d, "bytes", qv__segfile_bytes(f));
    qv__dump_u64(d, "version", m.version);
    qv__dump_u64(d, "rows", m.n_rows);
    qv__dump_u64(d, "columns", m.n_columns);
    qv__dump_u64(d, "min_lsn", m.min_lsn);
    qv__dump_u64(d, "max_lsn", m.max_lsn);
    qv__dump_end(d);
    dump_sections(d, file, f);
    dump_columns(d, file, f, m.n_columns);
    if (qv__segfile_verify(f, &err) != QV_OK || !qv__segfile_sound(f)) {
        if (err.code == QV_OK) {
            qv__fail(&err, QV_EIO, "%s: it cannot be read", name);
        }
        qv__dump_damage(d, file, &err);
    }
    qv__segfile_close(f);
}

struct segment_list {
    struct qv__dump *d;
    struct qv__buf ids;
};

static void gather_segment(void *arg, const char *name)
{
    struct segment_list *l = arg;
    uint64_t id = 0;
    char again[64];
    if (sscanf(name, "seg-%16" SCNx64, &id) == 1) {
        qv__segment_blob_name(id, again);
        if (strcmp(again, name) == 0) {
            qv__buf_u64(&l->ids, id);
        }
    }
}

static bool is_listed(const struct qv__buf *ids, uint64_t id)
{
    for (size_t i = 0; i < ids->n; i += 8) {
        if (qv__load_u64(ids->p + i) == id) {
            return true;
        }
    }
    return false;
}

static void dump_missing(struct qv__dump *d, const struct qv__buf *there)
{
    for (size_t i = 0; i < d->named.n && !there->failed; i += 8) {
        uint64_t id = qv__load_u64(d->named.p + i);
        char name[64], file[96];
        if (!is_listed(there, id)) {
            qv__segment_blob_name(id, name);
            snprintf(file, sizeof file, "%s/%s", QV__DIR_BLOBS, name);
            qv__dump_lost(d, file, "is missing, but the manifest names it");
        }
    }
}

static qv_status dump_segments(struct qv__dump *d, struct qv_err *err)
{
    struct qv__blobs *blobs = NULL;
    struct segment_list l = {.d = d};
    bool found = false;
    QV_TRY(qv__blobs_local_open(d->io, QV__DIR_BLOBS, QV__DIR_TMP, d->mem, &blobs, err));
    qv__buf_init(&l.ids, d->mem);
    qv_status st = blobs->ops->list(blobs, gather_segment, &l, err);
    for (size_t i = 0; st == QV_OK && i < l.ids.n; i += 8) {
        uint64_t id = qv__load_u64(l.ids.p + i);
        char name[64];
        if (!d->options->segment_id || d->options->segment_id == id) {
            qv__segment_blob_name(id, name);
            dump_segment(d, blobs, name, id);
            found = true;
        }
    }
    if (st == QV_OK && !found && d->options->segment_id) {
        st = qv__fail(err, QV_ENOTFOUND, "there is no segment %" PRIu64, d->options->segment_id);
    }
    if (st == QV_OK && !d->options->segment_id && !d->in_use) {
        dump_missing(d, &l.ids);
    }
    qv__buf_free(&l.ids);
    blobs->ops->close(blobs);
    return st;
}

/* --- all of it --- */

/* Nobody is kept waiting: the lock is given back at once. */
static bool in_use(struct qv__dump *d)
{
    struct qv__file *lock = NULL;
    struct qv_err ignored;
    if (qv__io_open(d->io, "LOCK", QV__OPEN_WRITE, &lock, &ignored) != QV_OK) {
        return false;
    }
    bool held = qv__io_lock(lock, &ignored) == QV_ELOCKED;
    qv__io_file_close(lock, NULL);
    return held;
}

qv_status qv__db_dump(struct qv__io *io, struct qv__mem *mem, const struct qv__dump_options *o,
                      void (*item)(void *arg, struct qv__str json), void *arg, struct qv_err *err)
{
    struct qv__dump d = {.io = io, .mem = mem, .options = o, .item = item, .arg = arg};
    bool all = !o->log && !o->manifest && !o->segments;
    qv__buf_init(&d.out, mem);
    qv__buf_init(&d.named, mem);
    qv__arena_init(&d.arena, mem);
    d.in_use = in_use(&d);
    qv__dump_begin(&d, "directory", NULL);
    qv__jw_key(&d.w, "in_use");
    qv__jw_bool(&d.w, d.in_use);
    qv__dump_end(&d);
    qv_status st = dump_manifests(&d, all || o->manifest, err);
    if (st == QV_OK && (all || o->segments)) {
        st = dump_segments(&d, err);
    }
    if (st == QV_OK && (all || o->log)) {
        st = qv__dump_log(&d, err);
    }
    if (st == QV_OK) {
        st = qv__buf_status(&d.out, err);
    }
    if (st == QV_OK) {
        st = qv__buf_status(&d.named, err);
    }
    qv__buf_free(&d.named);
    qv__arena_free(&d.arena);
    qv__buf_free(&d.out);
    return st;
}

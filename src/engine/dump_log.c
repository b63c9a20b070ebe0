/* dump_log.c: the files and records of the log as JSON.
 *
 * A data record is shown without its collection's schema, since the schema of that time may be
 * gone: vectors by name, kind, datatype and length. */
#include <stdio.h>

#include "engine/collection.h"
#include "engine/dump_impl.h"
#include "store/log_local.h"
#include "store/log_scan.h"

/* --- data records --- */

static bool write_vectors(struct qv__dump *d, struct qv__reader *r)
{
    uint64_t n = qv__read_varint(r);
    qv__jw_key(&d->w, "vectors");
    qv__jw_arr(&d->w);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        struct qv__str name = qv__read_str(r);
        uint8_t kind = qv__read_u8(r), datatype = qv__read_u8(r);
        uint64_t bytes = qv__read_varint(r);
        if (r->failed || bytes > qv__reader_left(r) || !qv__read_bytes(r, (size_t)bytes)) {
            break;
        }
        qv__jw_obj(&d->w);
        qv__jw_key(&d->w, "name");
        qv__jw_str_n(&d->w, name);
        qv__dump_u64(d, "kind", kind);
        qv__dump_u64(d, "datatype", datatype);
        qv__dump_u64(d, "bytes", bytes);
        qv__jw_obj_end(&d->w);
    }
    qv__jw_arr_end(&d->w);
    return !r->failed;
}

static void write_id(struct qv__dump *d, const struct qv__id *id)
{
    static const char *const kinds[] = {"u64", "i64", "uuid", "string"};
    char text[300];
    qv__dump_text(d, "id", qv__id_text(id, text, sizeof text));
    qv__dump_text(d, "id_kind", kinds[id->kind & 3]);
}

/* False when the rest of the record cannot be read. */
static bool write_effect(struct qv__dump *d, struct qv__reader *r)
{
    static const char *const kinds[] = {
        [QV__EFFECT_PUT] = "put", [QV__EFFECT_PAYLOAD] = "payload", [QV__EFFECT_DELETE] = "delete"};
    uint8_t kind = qv__read_u8(r);
    struct qv__id id;
    if (kind < QV__EFFECT_PUT || kind > QV__EFFECT_DELETE || !qv__id_read(r, &id)) {
        return false;
    }
    bool ok = true;
    qv__jw_obj(&d->w);
    qv__dump_text(d, "kind", kinds[kind]);
    write_id(d, &id);
    if (kind == QV__EFFECT_PUT) {
        uint8_t flags = qv__read_u8(r);
        if (flags & 1) {
            qv__dump_u64(d, "expires_ms", qv__read_u64(r));
        }
        ok = (flags & ~1) == 0 && write_vectors(d, r);
    }
    if (ok && kind != QV__EFFECT_DELETE) {
        struct qv__str row = qv__read_str(r);
        struct qv__bytes payload = {(const uint8_t *)row.p, row.n};
        ok = !r->failed && qv__payload_valid(payload);
        if (ok) {
            qv__jw_key(&d->w, "payload");
            qv__payload_to_json(&d->w, payload);
        }
    }
    qv__jw_obj_end(&d->w);
    return ok && !r->failed;
}

static void write_data(struct qv__dump *d, struct qv__bytes body)
{
    struct qv__reader r = qv__reader_of(body.p, body.n);
    uint64_t id = qv__read_u64(&r), parts = qv__read_varint(&r);
    bool ok = !r.failed;
    qv__dump_u64(d, "collection_id", id);
    qv__jw_key(&d->w, "collection");
    qv__jw_str_n(&d->w, qv__dump_name(d, id));
    qv__jw_key(&d->w, "parts");
    qv__jw_arr(&d->w);
    for (uint64_t i = 0; ok && i < parts; i++) {
        uint64_t shard = qv__read_varint(&r), effects = qv__read_varint(&r);
        ok = !r.failed;
        qv__jw_obj(&d->w);
        qv__dump_u64(d, "shard", shard);
        qv__jw_key(&d->w, "effects");
        qv__jw_arr(&d->w);
        for (uint64_t k = 0; ok && k < effects; k++) {
            ok = write_effect(d, &r);
        }
        qv__jw_arr_end(&d->w);
        qv__jw_obj_end(&d->w);
    }
    qv__jw_arr_end(&d->w);
    if (!ok || qv__reader_left(&r)) {
        qv__dump_text(d, "malformed", "the rest of the record cannot be read");
    }
}

static void write_catalog(struct qv__dump *d, struct qv__bytes body)
{
    struct qv__arena arena;
    qv__json doc = NULL;
    struct qv_err err;
    uint64_t id = 0;
    struct qv__str name;
    qv__arena_init(&arena, d->mem);
    if (qv__json_parse(&arena, (const char *)body.p, body.n, NULL, &doc, &err) == QV_OK) {
        if (qv__json_u64(qv__json_get(doc, "id"), &id) &&
            qv__json_str(qv__json_get(doc, "name"), &name)) {
            qv__dump_name_add(d, id, name);
        }
        qv__jw_key(&d->w, "change");
        qv__jw_value(&d->w, doc);
    } else {
        qv__dump_text(d, "malformed", err.message);
    }
    qv__arena_free(&arena);
}

static void dump_record(struct qv__dump *d, const char *file, uint64_t off,
                        const struct qv__log_record *rec)
{
    qv__dump_begin(d, "record", file);
    qv__dump_u64(d, "offset", off);
    qv__dump_u64(d, "lsn", rec->lsn);
    qv__dump_u64(d, "epoch", rec->epoch);
    qv__dump_u64(d, "bytes", rec->body.n);
    if (rec->type == QV__REC_DATA) {
        qv__dump_text(d, "type", "data");
        write_data(d, rec->body);
    } else if (rec->type == QV__REC_CATALOG) {
        qv__dump_text(d, "type", "catalog");
        write_catalog(d, rec->body);
    } else {
        qv__dump_u64(d, "type", rec->type);
    }
    qv__dump_end(d);
}

/* --- files --- */

/* Does the walk end before what must have been there? `next_lsn` is 0 for the last file. */
static void judge_end(struct qv__dump *d, const char *file, const struct qv__logscan *s,
                      const struct qv__logtail *tail, uint64_t next_lsn)
{
    if (!next_lsn && s->is_closed) {
        qv__dump_lost(d, file, "the next file, which begins with record %" PRIu64 ", is missing",
                      s->lsn);
    } else if (next_lsn ? s->lsn < next_lsn : tail->synced_lsn >= s->lsn) {
        qv__dump_lost(d, file, "offset %" PRIu64 ": record %" PRIu64 " is damaged: %s", s->off,
                      s->lsn, s->stop ? s->stop : "");
    }
}

static void dump_end(struct qv__dump *d, const char *file, struct qv__logscan *s, uint64_t next_lsn)
{
    struct qv__logtail tail = {0};
    struct qv_err err = {.code = QV_OK};
    if (qv__logscan_tail(s, &tail, &err) != QV_OK) {
        qv__dump_damage(d, file, &err);
    }
    qv__dump_begin(d, "log_end", file);
    qv__dump_u64(d, "offset", s->off);
    qv__dump_u64(d, "next_lsn", s->lsn);
    qv__dump_text(d, "reason", s->stop ? s->stop : "");
    qv__jw_key(&d->w, "clean");
    qv__jw_bool(&d->w, s->is_clean);
    qv__jw_key(&d->w, "closed");
    qv__jw_bool(&d->w, s->is_closed);
    if (tail.end_off) {
        qv__dump_u64(d, "found_behind_up_to", tail.end_off);
        qv__dump_u64(d, "durable_by_what_is_behind", tail.synced_lsn);
    }
    qv__dump_end(d);
    if (!d->in_use) {
        judge_end(d, file, s, &tail, next_lsn);
    }
}

static void dump_file(struct qv__dump *d, uint64_t first_lsn, uint64_t next_lsn, uint64_t *left)
{
    struct qv__logscan s;
    struct qv__log_record rec;
    struct qv_err err = {.code = QV_OK};
    char file[QV__LOG_PATH_BYTES];
    qv__log_path(QV__DIR_LOG, first_lsn, file);
    qv_status st = qv__logscan_open(d->io, QV__DIR_LOG, first_lsn, false, d->mem, &s, &err);
    if (st != QV_OK) {
        qv__dump_damage(d, file, &err);
        return;
    }
    qv__dump_begin(d, "log_file", file);
    qv__dump_u64(d, "first_lsn", s.head.first_lsn);
    qv__dump_u64(d, "epoch", s.head.epoch);
    qv__dump_u64(d, "bytes", s.head.file_bytes);
    qv__dump_hex(d, "uuid", s.head.uuid, sizeof s.head.uuid);
    qv__dump_end(d);
    bool got = true;
    while (got && st == QV_OK && *left) {
        uint64_t off = s.off;
        st = qv__logscan_next(&s, &rec, &got, &err);
        if (st == QV_OK && got && rec.lsn >= d->options->from_lsn) {
            dump_record(d, file, off, &rec);
            (*left)--;
        }
    }
    if (st != QV_OK) {
        qv__dump_damage(d, file, &err);
    } else if (!got) {
        dump_end(d, file, &s, next_lsn);
    }
    qv__logscan_close(&s);
}

qv_status qv__dump_log(struct qv__dump *d, struct qv_err *err)
{
    struct qv__log_names names;
    uint64_t left = d->options->limit ? d->options->limit : UINT64_MAX;
    QV_TRY(qv__log_names_read(d->io, QV__DIR_LOG, d->mem, &names, err));
    size_t n = qv__log_names_count(&names.live);
    for (size_t i = 0; i < n && left; i++) {
        uint64_t next = i + 1 < n ? qv__log_names_at(&names.live, i + 1) : 0;
        if (!next || next > d->options->from_lsn) {
            dump_file(d, qv__log_names_at(&names.live, i), next, &left);
        }
    }
    if (n == 0 && d->live && !d->in_use) {
        qv__dump_lost(d, QV__DIR_LOG, "all log files are missing");
    }
    qv__log_names_free(&names);
    return QV_OK;
}

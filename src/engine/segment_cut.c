/* segment_cut.c: a segment as a snapshot sees it.
 *
 * Which rows are dead at an LSN is what a reader at that LSN does not see: rows deleted by then,
 * and rows that were written later, since a segment goes on growing until it is sealed. So the file
 * itself may be of any later moment. */
#include "engine/segment_impl.h"
#include "engine/snapshot_impl.h"

static qv_status write_dead(struct qv__segment *s, const struct qv__visible *v,
                            struct qv__blobs *to, uint64_t gen, struct qv_err *err)
{
    struct qv__bitset dead = {0};
    if (qv__bitset_init(&dead, s->mem, v->n_rows) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for tombstones");
    }
    for (size_t w = 0; v->words && w < qv__bitset_words(v->n_rows); w++) {
        dead.words[w] = ~__atomic_load_n(&v->words[w], __ATOMIC_RELAXED);
    }
    qv_status st = qv__tombstones_write(to, s->mem, s->id, gen, dead.words, v->n_rows, err);
    qv__bitset_free(&dead);
    return st;
}

qv_status qv__segment_cut(struct qv__segment *s, uint64_t lsn, struct qv__blobs *to, uint64_t gen,
                          struct qv__manifest_segment *out, struct qv_err *err)
{
    struct qv__visible v;
    memset(out, 0, sizeof *out);
    QV_TRY(qv__segment_visible(s, lsn, QV__ALWAYS, s->mem, &v, err));
    qv_status st = QV_OK;
    if (v.count > 0 && !s->sealed) { /* quarantined a moment ago, see cut_shard */
        st = qv__fail(err, QV_EQUARANTINED, "segment %" PRIu64 " could not be flushed", s->id);
    } else if (v.count > 0) {
        *out = (struct qv__manifest_segment){.segment_id = s->id,
                                             .file_bytes = s->file_bytes,
                                             .n_rows = v.n_rows,
                                             .n_dead = v.n_rows - (uint32_t)v.count,
                                             .min_lsn = s->min_lsn,
                                             .max_lsn = qv__segment_max_lsn(s)};
        /* A file with tombstones of its own needs others beside it even when nothing is dead yet.
         */
        if (out->n_dead || qv__segfile_section(s->file, QV__SEC_TOMBSTONES, 0).n) {
            out->tombstone_gen = gen;
            st = write_dead(s, &v, to, gen, err);
        }
    }
    qv__visible_free(&v);
    return st;
}

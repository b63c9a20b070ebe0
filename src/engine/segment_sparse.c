/* segment_sparse.c: the inverted index of a sparse column, and searching one.
 *
 * A growing segment inverts its vectors in runs of a fixed number, each made once and never
 * changed, so readers need no lock; what no run covers yet is compared one by one. A file has one
 * run over all of its vectors. */
#include "engine/segment_impl.h"

qv_status qv__sparse_runs_init(struct qv__segment *s, struct qv__column *c)
{
    if (c->def->kind != QV__VEC_SPARSE) {
        return QV_OK;
    }
    c->runs = qv__calloc(s->mem, s->capacity / QV__SPARSE_RUN + 1, sizeof *c->runs);
    return c->runs ? QV_OK : QV_ENOMEM;
}

void qv__sparse_runs_free(struct qv__column *c)
{
    for (uint32_t i = 0; c->runs && i < atomic_load(&c->n_runs); i++) {
        qv__buf_free(&c->runs[i].bytes);
    }
    qv__free(c->runs);
}

uint32_t qv__sparse_runs_owed(const struct qv__column *c, uint32_t n)
{
    if (!c->runs) {
        return 0;
    }
    uint32_t have =
        atomic_load_explicit(&((struct qv__column *)(uintptr_t)c)->n_runs, memory_order_relaxed);
    return (n / QV__SPARSE_RUN - QV_MIN(have, n / QV__SPARSE_RUN)) * QV__SPARSE_RUN;
}

static qv_status make_run(struct qv__segment *s, struct qv__column *c, uint32_t at,
                          const struct qv__work *work, struct qv_err *err)
{
    struct qv__sparse_run *run = &c->runs[at];
    const void **vectors = qv__calloc(s->mem, QV__SPARSE_RUN, sizeof(const void *));
    if (!vectors) {
        return qv__fail(err, QV_ENOMEM, "no memory for an inverted index");
    }
    run->first = at * QV__SPARSE_RUN;
    qv__buf_init(&run->bytes, s->mem);
    for (uint32_t i = 0; i < QV__SPARSE_RUN; i++) {
        vectors[i] = qv__column_vector(c, run->first + i);
    }
    qv_status st = qv__postings_build(s->mem, vectors, QV__SPARSE_RUN, qv__work_cancel(work),
                                      &run->bytes, err);
    qv__free(vectors);
    if (st == QV_OK) {
        st = qv__postings_open(qv__buf_bytes(&run->bytes), QV__SPARSE_RUN, false, &run->p, err);
    }
    if (st != QV_OK) {
        qv__buf_free(&run->bytes);
    }
    return st;
}

qv_status qv__sparse_runs_make(struct qv__segment *s, struct qv__column *c, uint32_t n,
                               struct qv__part *part, struct qv_err *err)
{
    uint32_t first = atomic_load(&c->n_runs);
    for (uint32_t at = first; at < n / QV__SPARSE_RUN; at++) {
        QV_TRY(make_run(s, c, at, part->work, err));
        atomic_store_explicit(&c->n_runs, at + 1, memory_order_release);
        qv__part_progress(part, (uint64_t)(at + 1 - first) * QV__SPARSE_RUN, 0);
    }
    return QV_OK;
}

/* With verify it must also be the index of the vectors that lie beside it. */
qv_status qv__sparse_run_open(struct qv__segment *s, struct qv__column *c, uint16_t column,
                              uint32_t n, bool verify, struct qv_err *err)
{
    struct qv__bytes bytes = qv__segfile_section(s->file, QV__SEC_INDEX_PART, column);
    c->runs = qv__calloc(s->mem, 1, sizeof *c->runs);
    if (!c->runs) {
        return qv__fail(err, QV_ENOMEM, "no memory for a segment");
    }
    qv_status st = qv__postings_open(bytes, n, verify, &c->runs->p, err);
    if (st != QV_OK) {
        return qv__wrap(err, st, "segment %" PRIu64, s->id);
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; verify && i < n; i++) {
        const void *v = qv__column_vector(c, i);
        sum += qv__postings_digest_of(&v, 1, i);
    }
    if (verify && sum != qv__postings_digest(&c->runs->p)) {
        return qv__fail(err, QV_ECORRUPT,
                        "segment %" PRIu64 ": an inverted index is not that of its vectors", s->id);
    }
    atomic_store_explicit(&c->n_runs, 1, memory_order_release);
    return QV_OK;
}

/* --- searching --- */

static qv_status scan(const struct qv__column *c, uint32_t from, uint32_t to,
                      const struct qv__segment_search *q, const uint64_t *allow,
                      struct qv__qctx *ctx, struct qv__topk *top, struct qv_err *err)
{
    const void *block[256];
    for (uint32_t at = from; at < to; at += QV_ARRAY_LEN(block)) {
        uint32_t n = QV_MIN(to - at, (uint32_t)QV_ARRAY_LEN(block));
        for (uint32_t i = 0; i < n; i++) {
            block[i] = qv__column_vector(c, at + i);
        }
        QV_TRY(qv__sparse_scan(block, n, at, q->vector, allow, ctx, top, err));
    }
    return QV_OK;
}

/* Postings are read by the hundred million a second, vectors apart by the million: an index pays
 * unless the filter leaves few of them. */
#define POSTINGS_PER_VECTOR 32u

qv_status qv__sparse_column_search(const struct qv__segment *s, uint32_t column,
                                   const struct qv__segment_search *q, const uint64_t *allow,
                                   uint64_t allow_count, uint32_t n_ords, struct qv__qctx *ctx,
                                   struct qv__topk *top, struct qv_err *err)
{
    struct qv__column *c = &s->columns[column];
    uint32_t n_runs = q->exact ? 0 : atomic_load_explicit(&c->n_runs, memory_order_acquire),
             done = 0;
    for (uint32_t i = 0; i < n_runs && c->runs[i].first < n_ords; i++) {
        const struct qv__sparse_run *run = &c->runs[i];
        uint32_t end = run->first + run->p.n_ords;
        uint64_t cost = qv__sparse_cost(&run->p, q->vector);
        uint64_t apart = !allow ? n_ords : QV_MIN(allow_count, (uint64_t)run->p.n_ords);
        /* A run that reaches past what the reader sees is as good as none. */
        if (end > n_ords || (allow && apart * POSTINGS_PER_VECTOR < cost)) {
            QV_TRY(scan(c, run->first, QV_MIN(end, n_ords), q, allow, ctx, top, err));
        } else {
            QV_TRY(qv__sparse_search(&run->p, run->first, q->vector, allow, ctx, top, err));
            qv__qctx_tell(ctx, "postings", "inverted index", (double)cost,
                          (double)ctx->stats.distances);
        }
        done = QV_MIN(end, n_ords);
    }
    return scan(c, done, n_ords, q, allow, ctx, top, err);
}

/* --- how often indices are there --- */

static void count_apart(const struct qv__column *c, uint32_t from, uint32_t to,
                        const uint64_t *allow, const void *sparse, uint64_t *df)
{
    uint32_t n = qv__varvec_count(sparse);
    const uint32_t *terms = qv__sparse_indices(sparse);
    for (uint32_t ord = from; ord < to; ord++) {
        if (allow && !qv__bit_test_atomic(allow, ord)) {
            continue;
        }
        const void *v = qv__column_vector(c, ord);
        uint32_t nv = qv__varvec_count(v), i = 0, j = 0;
        const uint32_t *index = qv__sparse_indices(v);
        while (i < n && j < nv) {
            uint32_t x = terms[i], y = index[j];
            df[i] += x == y;
            i += x <= y;
            j += y <= x;
        }
    }
}

qv_status qv__segment_frequencies(const struct qv__segment *s, const struct qv__schema *schema,
                                  uint32_t column, const uint64_t *words, uint32_t n_rows,
                                  uint64_t matched, const void *sparse, struct qv__qctx *ctx,
                                  uint64_t *df, uint64_t *n_vectors, struct qv_err *err)
{
    uint32_t own = qv__segment_column(s, schema, column);
    struct qv__column *c = own == QV__NO_ROW ? NULL : &s->columns[own];
    uint32_t n_ords = c && c->def ? qv__segment_ords_at(s, own, n_rows) : 0, done = 0;
    struct qv__bitset ords = {0};
    uint64_t count = words ? matched : n_ords;
    qv_status st = qv__qctx_check(ctx);
    if (st != QV_OK) {
        return qv__fail(err, st, "query: %s", qv_status_text(st));
    }
    if (words && n_ords && n_ords != n_rows) {
        QV_TRY(qv__segment_allow_ords(s, words, own, n_ords, ctx->mem, &ords, &count, err));
        words = ords.words;
    }
    uint32_t n_runs = n_ords ? atomic_load_explicit(&c->n_runs, memory_order_acquire) : 0;
    for (uint32_t i = 0; i < n_runs && c->runs[i].first + c->runs[i].p.n_ords <= n_ords; i++) {
        qv__sparse_frequencies(&c->runs[i].p, c->runs[i].first, qv__sparse_indices(sparse),
                               qv__varvec_count(sparse), words, df);
        done = c->runs[i].first + c->runs[i].p.n_ords;
    }
    if (n_ords) {
        *n_vectors += count;
        count_apart(c, done, n_ords, words, sparse, df);
    }
    qv__bitset_free(&ords);
    return QV_OK;
}

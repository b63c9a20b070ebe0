/* query_matrix.c: the nearest ones of each point of a random sample, within the sample. Every pair
 * is compared exactly. */
#include "base/topk.h"
#include "engine/query_exec.h"
#include "engine/query_group.h"

static qv_status check(const struct qv__matrix_request *m, struct qv_err *err)
{
    if (m->sample < 2 || m->sample > QV__MATRIX_SAMPLE_MAX) {
        return qv__fail(err, QV_EVALIDATION,
                        "sample: value %" PRIu64 " invalid, must be from 2 to %u", m->sample,
                        QV__MATRIX_SAMPLE_MAX);
    }
    if (m->limit == 0 || m->limit > QV__LIMIT_MAX / m->sample) {
        return qv__fail(err, QV_EVALIDATION,
                        "limit: value %" PRIu64 " with sample %" PRIu64
                        " invalid, must be from 1 to %u multiplied",
                        m->limit, m->sample, QV__LIMIT_MAX);
    }
    return QV_OK;
}

/* A sample of the points that match and have the vector, in id order. */
static qv_status draw(struct qv__run *r, const struct qv__matrix_request *m,
                      struct qv__ranking *out, struct qv_err *err)
{
    struct qv__cond has = {.kind = QV__COND_HAS_VECTOR, .vector = m->using_vector};
    struct qv__filter with = {.must = {&has, 1}};
    struct qv__query q = {.kind = QV__QUERY_SAMPLE, .limit = m->sample};
    struct qv__stage *root = NULL;
    QV_TRY(qv__filter_merge(&r->rs->arena, m->filter, &with, &q.filter, err));
    QV_TRY(qv__plan(r, &q, &root, err));
    QV_TRY(qv__stage_run(r, root, out, err));
    qv__ranking_sort(r, out, true); /* all scored 1 */
    return QV_OK;
}

static qv_status measure(struct qv__run *r, const struct qv__matrix_request *m,
                         const struct qv__stage *s, const struct qv__ranking *sample,
                         struct qv__matrix *out, struct qv_err *err)
{
    struct qv__arena *a = &r->rs->arena;
    size_t n = sample->n, k = (size_t)QV_MIN(m->limit, (uint64_t)n - 1);
    const void **rows = qv__arena_calloc(a, n, sizeof *rows);
    float *dist = qv__arena_calloc(a, n, sizeof *dist);
    struct qv__hit *heap = qv__arena_calloc(a, k + 1, sizeof *heap);
    out->hits = qv__arena_calloc(a, n * k + 1, sizeof *out->hits);
    if (!rows || !dist || !heap || !out->hits) {
        return qv__fail(err, QV_ENOMEM, "no memory for a matrix of %zu points", n);
    }
    for (size_t i = 0; i < n; i++) {
        rows[i] = qv__run_vector(r, s, sample->items[i].key);
    }
    for (size_t i = 0; i < n; i++) {
        struct qv__topk top;
        qv_status st = qv__qctx_check(r->ctx);
        if (st != QV_OK) {
            return qv__fail(err, st, "matrix: %s", qv_status_text(st));
        }
        qv__vector_distances(r->c->db->simd, s->def, rows[i], rows, n, dist);
        r->ctx->stats.distances += n;
        qv__topk_init(&top, heap, k);
        for (size_t j = 0; j < n; j++) {
            if (j != i) {
                qv__topk_push(&top, dist[j], j); /* equal ones by id: the sample is in order */
            }
        }
        size_t found = qv__topk_sort(&top);
        for (size_t j = 0; j < found; j++) {
            out->hits[out->n++] = (struct qv__matrix_hit){
                (uint32_t)i, (uint32_t)heap[j].key,
                qv__metric_score((enum qv__metric)s->def->metric, heap[j].dist)};
        }
    }
    return QV_OK;
}

qv_status qv__collection_matrix(struct qv__collection *c, const struct qv__matrix_request *m,
                                struct qv__qctx *ctx, struct qv__matrix *out, struct qv_err *err)
{
    struct qv__run r = {.c = c, .ctx = ctx, .rs = &out->points};
    struct qv__query named = {.using_vector = m->using_vector};
    struct qv__stage s = {.q = &named};
    struct qv__ranking sample = {0};
    memset(out, 0, sizeof *out);
    qv__count(&c->db->searches, 1);
    QV_TRY(check(m, err));
    qv_status st = QV_OK;
    QV_GOTO(qv__run_open(&r, err));
    QV_GOTO(qv__stage_column(&r, &s, err));
    QV_GOTO(draw(&r, m, &sample, err));
    if (sample.n >= 2) {
        QV_GOTO(measure(&r, m, &s, &sample, out, err));
        QV_GOTO(qv__result_reserve(r.rs, sample.n, err));
        for (size_t i = 0; i < sample.n; i++) {
            uint64_t key = sample.items[i].key;
            QV_GOTO(qv__result_add(r.rs, r.segments[QV__KEY_SEGMENT(key)], QV__KEY_ROW(key), 0.0f,
                                   NULL, err));
        }
    }
    out->points.stats = ctx->stats;
out:
    st = qv__read_view_settle(out->points.view, st, err);
    if (st != QV_OK) {
        qv__result_free(&out->points);
    }
    return st;
}

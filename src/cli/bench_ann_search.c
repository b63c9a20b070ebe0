/* bench_ann_search.c: searching and timing for `quiver bench ann`.
 *
 * Threads take queries from one counter. The pass that is under way when the time is up is
 * finished, so that every query weighs the same. A query is timed from the call to the release of
 * its result; queries per second are counted over the wall time of all passes together. */
#include "cli/bench_ann.h"

#include "os/io.h"

struct run {
    struct qv__collection *c;
    const struct qv__ann_queries *q;
    uint32_t ef;
    bool exact;
    uint64_t start_ns, least_ns; /* least_ns 0 = one pass */
    _Atomic uint64_t next;       /* query to take */
    _Atomic uint64_t end;        /* of the pass under way */
    _Atomic bool is_over;        /* no further pass */
    _Atomic bool is_failed;
    uint32_t *found; /* [n * k]: row numbers of the hits; NULL = not asked */
};

struct searcher {
    struct run *run;
    struct qv__mem *mem; /* account of its queries */
    struct qv__latencies latencies;
    struct qv__qstats stats; /* of all its queries */
    uint64_t cpu_ns;
    qv_status st;
    struct qv_err err;
};

static qv_status search_one(struct searcher *s, uint64_t i)
{
    const struct run *r = s->run;
    const struct qv__ann_queries *q = r->q;
    const struct qv__clock *clock = qv__clock_system();
    struct qv__query query = {
        .kind = QV__QUERY_NEAREST,
        .target = {.values = q->vectors + (size_t)i * q->dim, .dim = q->dim},
        .params = {.ef = r->ef, .exact = r->exact, .oversample = q->oversample},
        .limit = q->k};
    struct qv__fetch fetch = {.vectors = QV__VECTORS_NONE};
    struct qv__qctx ctx = {.clock = clock, .mem = s->mem};
    struct qv__result_set rs;
    memset(&rs, 0, sizeof rs);
    uint64_t start = qv__mono_ns(clock);
    qv_status st = qv__collection_query(r->c, &query, &fetch, &ctx, &rs, &s->err);
    for (size_t k = 0; st == QV_OK && r->found && k < q->k; k++) {
        uint64_t id = k < rs.n ? rs.points[k].id.u : UINT32_MAX;
        r->found[(size_t)i * q->k + k] = (uint32_t)id;
    }
    s->stats.distances += rs.stats.distances;
    s->stats.hops += rs.stats.hops;
    s->stats.reranked += rs.stats.reranked;
    qv__result_free(&rs);
    qv__latencies_add(&s->latencies, qv__mono_ns(clock) - start);
    return st;
}

/* True if query i is to be run. Whoever takes the first query of a pass decides for all whether
 * there is time for it; the others wait the few instructions until that is known. */
static bool take(struct run *r, uint64_t i)
{
    while (i >= atomic_load(&r->end)) {
        if (atomic_load(&r->is_over)) {
            return false;
        }
        if (i == atomic_load(&r->end)) {
            if (i > 0 &&
                (!r->least_ns || qv__mono_ns(qv__clock_system()) - r->start_ns >= r->least_ns)) {
                atomic_store(&r->is_over, true);
                return false;
            }
            atomic_store(&r->end, i + r->q->n);
        }
    }
    return true;
}

static void search_all(void *arg)
{
    struct searcher *s = arg;
    struct run *r = s->run;
    uint64_t start = qv__thread_cpu_ns();
    while (s->st == QV_OK && !atomic_load(&r->is_failed)) {
        uint64_t i = atomic_fetch_add(&r->next, 1);
        if (!take(r, i)) {
            break;
        }
        s->st = search_one(s, i % r->q->n);
    }
    s->cpu_ns = qv__thread_cpu_ns() - start;
    if (s->st != QV_OK) {
        atomic_store(&r->is_failed, true); /* the others need not go on */
        atomic_store(&r->is_over, true);
    }
}

struct crew {
    struct searcher *searchers;
    struct qv__thread *threads;
    uint32_t n;
};

static void crew_free(struct crew *crew)
{
    for (uint32_t i = 0; crew->searchers && i < crew->n; i++) {
        qv__latencies_free(&crew->searchers[i].latencies);
        qv__mem_close(crew->searchers[i].mem);
    }
    qv__free(crew->searchers);
    qv__free(crew->threads);
}

static qv_status crew_make(struct crew *crew, struct qv__mem *mem, struct run *run, uint32_t n,
                           struct qv_err *err)
{
    crew->n = n;
    crew->searchers = qv__calloc(mem, n, sizeof *crew->searchers);
    crew->threads = qv__calloc(mem, n, sizeof *crew->threads);
    bool ok = crew->searchers && crew->threads;
    for (uint32_t i = 0; ok && i < n; i++) {
        struct searcher *s = &crew->searchers[i];
        s->run = run;
        s->mem = qv__mem_child(mem, "searcher", 0);
        s->latencies.mem = mem;
        ok = s->mem != NULL;
    }
    return ok ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for %u searching threads", n);
}

/* Run the crew to its end; the first failure. */
static qv_status crew_run(struct crew *crew, struct qv_err *err)
{
    uint32_t started = 0;
    qv_status st = QV_OK;
    for (; started + 1 < crew->n && st == QV_OK; started++) {
        st = qv__thread_start(&crew->threads[started], "qv-bench", search_all,
                              &crew->searchers[started + 1], err);
        if (st != QV_OK) {
            break;
        }
    }
    if (st == QV_OK) {
        search_all(&crew->searchers[0]);
    } else {
        atomic_store(&crew->searchers[0].run->is_failed, true);
        atomic_store(&crew->searchers[0].run->is_over, true);
    }
    for (uint32_t i = 0; i < started; i++) {
        qv__thread_join(&crew->threads[i]);
    }
    for (uint32_t i = 0; i < crew->n && st == QV_OK; i++) {
        if (crew->searchers[i].st != QV_OK) {
            st = crew->searchers[i].st;
            *err = crew->searchers[i].err;
        }
    }
    return st;
}

static qv_status crew_sum(const struct crew *crew, struct qv__mem *mem, struct qv__ann_figures *out,
                          struct qv_err *err)
{
    struct qv__latencies **all = qv__calloc(mem, crew->n, sizeof *all);
    struct qv__qstats sum = {0};
    uint64_t cpu_ns = 0;
    if (!all) {
        return qv__fail(err, QV_ENOMEM, "no memory for the latencies");
    }
    for (uint32_t i = 0; i < crew->n; i++) {
        all[i] = &crew->searchers[i].latencies;
        sum.distances += crew->searchers[i].stats.distances;
        sum.hops += crew->searchers[i].stats.hops;
        sum.reranked += crew->searchers[i].stats.reranked;
        cpu_ns += crew->searchers[i].cpu_ns;
    }
    qv_status st = qv__latencies_sum(mem, all, crew->n, &out->latency, err);
    double per_query = out->latency.n ? 1 / (double)out->latency.n : 0;
    out->distances = (double)sum.distances * per_query;
    out->hops = (double)sum.hops * per_query;
    out->reranked = (double)sum.reranked * per_query;
    out->cpu_us = (double)cpu_ns / 1e3 * per_query;
    qv__free(all);
    return st;
}

static qv_status pass(struct run *run, struct qv__mem *mem, struct qv__ann_figures *out,
                      struct qv_err *err)
{
    struct crew crew = {.n = 0};
    atomic_init(&run->next, 0);
    atomic_init(&run->end, 0);
    atomic_init(&run->is_over, false);
    atomic_init(&run->is_failed, false);
    qv_status st = crew_make(&crew, mem, run, run->q->threads, err);
    if (st == QV_OK) {
        run->start_ns = qv__mono_ns(qv__clock_system());
        st = crew_run(&crew, err);
        out->seconds = (double)(qv__mono_ns(qv__clock_system()) - run->start_ns) / 1e9;
    }
    if (st == QV_OK) {
        st = crew_sum(&crew, mem, out, err);
    }
    crew_free(&crew);
    return st;
}

static double recall(const struct qv__ann_queries *q, const uint32_t *found)
{
    uint64_t hits = 0;
    for (size_t i = 0; i < q->n; i++) {
        const uint32_t *f = found + i * q->k, *t = q->truth + i * q->k;
        for (uint32_t a = 0; a < q->k; a++) {
            for (uint32_t b = 0; b < q->k; b++) {
                if (f[a] == t[b]) {
                    hits++;
                    break;
                }
            }
        }
    }
    return (double)hits / ((double)q->n * q->k);
}

qv_status qv__ann_measure(struct qv__collection *c, struct qv__mem *mem,
                          const struct qv__ann_queries *q, uint32_t ef, struct qv__ann_figures *out,
                          struct qv_err *err)
{
    struct run run = {.c = c, .q = q, .ef = ef};
    memset(out, 0, sizeof *out);
    run.found = qv__calloc(mem, (size_t)q->n * q->k, sizeof *run.found);
    if (!run.found) {
        return qv__fail(err, QV_ENOMEM, "no memory for the results");
    }
    qv_status st = pass(&run, mem, out, err);
    double share = st == QV_OK && q->truth ? recall(q, run.found) : 0;
    qv__free(run.found);
    if (st != QV_OK) {
        return st;
    }
    run.found = NULL;
    run.least_ns = (uint64_t)(q->seconds * 1e9) + 1;
    QV_TRY(pass(&run, mem, out, err));
    out->recall = share;
    out->passes = out->latency.n / q->n;
    out->qps = out->seconds > 0 ? (double)out->latency.n / out->seconds : 0;
    return QV_OK;
}

qv_status qv__ann_exact(struct qv__collection *c, struct qv__mem *mem,
                        const struct qv__ann_queries *q, uint32_t *out, struct qv_err *err)
{
    struct run run = {.c = c, .q = q, .exact = true, .found = out};
    struct qv__ann_figures ignored;
    return pass(&run, mem, &ignored, err);
}

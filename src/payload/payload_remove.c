/* payload_remove.c: a row without what some paths lead to.
 *
 * One walk for all paths: at each place they are compared with where the walk stands; a subtree
 * that no path enters is copied as bytes. The walk therefore never goes deeper than a path is long.
 * As in the primary peer a last step `[]` empties the array, and a last step `[n]` removes nothing:
 * it would not be idempotent. The order of the paths does not matter, since removal moves no
 * element. */
#include "payload/path_set.h"
#include "payload/value_write.h"

enum verdict {
    KEEP,  /* no path enters: copy */
    ENTER, /* some path goes on inside */
    CLEAR, /* an array to empty */
    DROP
};

struct removal {
    struct qv__buf *out;
    const struct qv__path *paths;
    size_t n_paths;
    struct qv__place at;
    struct qv__steps *steps;
    struct qv_err *err;
};

static enum verdict judge(const struct removal *r, const struct qv__value *v)
{
    enum verdict verdict = KEEP;
    const struct qv__place *at = &r->at;
    for (size_t i = 0; i < r->n_paths && verdict != DROP; i++) {
        const struct qv__path *path = &r->paths[i];
        enum verdict says = KEEP;
        if (qv__place_common(at, path, QV__MATCH_ELEMENTS) != at->n || path->n < at->n) {
            continue;
        }
        if (path->n == at->n) {
            says = path->step[path->n - 1].kind == QV__STEP_KEY ? DROP : KEEP;
        } else if (path->n == at->n + 1 && path->step[at->n].kind == QV__STEP_ALL &&
                   v->tag == QV__TAG_ARR) {
            says = CLEAR;
        } else {
            says = ENTER;
        }
        verdict = QV_MAX(verdict, says);
    }
    return verdict;
}

static qv_status remove_inside(struct removal *r, const struct qv__value *v);

/* Write one child, whose encoding starts at `start`; *written says whether it is still there. */
static qv_status write_child(struct removal *r, const struct qv__str *key, const uint8_t *start,
                             const struct qv__value *v, bool *written)
{
    uint64_t units = (uint64_t)r->n_paths * QV__PATH_UNITS + (uint64_t)(v->end - start);
    if (!qv__steps_on(r->steps, units)) {
        return qv__fail(r->err, r->steps->status, "payload: %s", qv_status_text(r->steps->status));
    }
    enum verdict verdict = judge(r, v);
    bool container = v->tag == QV__TAG_OBJ || v->tag == QV__TAG_ARR;
    *written = verdict != DROP;
    if (verdict == DROP) {
        return QV_OK;
    }
    if (key) {
        qv__buf_str(r->out, *key);
    }
    if (verdict == KEEP || !container) {
        qv__buf_put(r->out, start, (size_t)(v->end - start));
        return QV_OK;
    }
    if (verdict == CLEAR) {
        static const uint8_t empty[] = {QV__TAG_ARR, 1, 0};
        qv__buf_put(r->out, empty, sizeof empty);
        return QV_OK;
    }
    return remove_inside(r, v);
}

/* Some path goes on inside v, so the place is not yet as long as a path. */
static qv_status remove_inside(struct removal *r, const struct qv__value *v)
{
    struct qv__value_iter it;
    struct qv__value child;
    struct qv__str key;
    uint32_t count = 0;
    size_t mark = qv__vw_begin(r->out, v->tag);
    struct qv__path_step *step = &r->at.step[r->at.n++];
    qv_status st = QV_OK;

    *step = (struct qv__path_step){.kind = v->tag == QV__TAG_OBJ ? QV__STEP_KEY : QV__STEP_INDEX};
    qv__value_iter_init(&it, v);
    for (const uint8_t *start = it.p; st == QV_OK && qv__value_iter_next(&it, &key, &child);
         start = it.p) {
        bool written = false;
        if (it.object) {
            step->key = key;
            start = (const uint8_t *)key.p + key.n;
        }
        st = write_child(r, it.object ? &key : NULL, start, &child, &written);
        count += written;
        step->index++;
    }
    r->at.n--;
    QV_TRY(st);
    if (!qv__vw_end(r->out, mark, count)) {
        return qv__fail(r->err, QV_ETOOBIG, "payload: larger than 4 GiB");
    }
    return qv__buf_status(r->out, r->err);
}

qv_status qv__payload_remove(struct qv__buf *out, struct qv__bytes row,
                             const struct qv__path *paths, size_t n_paths, struct qv__steps *steps,
                             struct qv_err *err)
{
    struct removal r = {.out = out, .paths = paths, .n_paths = n_paths, .steps = steps, .err = err};
    struct qv__value root = qv__wire_root(row);
    size_t start = out->n;
    qv_status st = remove_inside(&r, &root);
    if (st != QV_OK) {
        out->n = QV_MIN(out->n, start);
    }
    return st;
}

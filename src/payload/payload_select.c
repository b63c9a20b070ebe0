/* payload_select.c: the part of a row that a request asks for, as JSON.
 *
 * One walk that compares every path with where it stands. Including keeps what lies on the way to a
 * path's end and all below it; excluding drops what a path leads to. Two habits of the primary peer
 * are kept: only `[]` names the elements of an array (`[n]` selects none of them), and a scalar
 * that stands where an included path would go on is kept. The walk goes no deeper than a path is
 * long. */
#include "payload/path_set.h"

enum verdict {
    DROP,
    WHOLE, /* all below is wanted */
    ENTER  /* some of it */
};

struct selection {
    struct qv__jw *w;
    struct qv__steps *steps;
    const struct qv__payload_selector *sel;
    struct qv__place at;
};

static enum verdict judge_include(const struct selection *s)
{
    enum verdict verdict = DROP;
    for (size_t i = 0; i < s->sel->n_paths; i++) {
        const struct qv__path *path = &s->sel->paths[i];
        uint32_t common = qv__place_common(&s->at, path, QV__MATCH_ALL_ONLY);
        if (common == path->n) {
            return WHOLE;
        }
        if (common == s->at.n) {
            verdict = ENTER;
        }
    }
    return verdict;
}

static enum verdict judge_exclude(const struct selection *s)
{
    enum verdict verdict = WHOLE;
    for (size_t i = 0; i < s->sel->n_paths; i++) {
        const struct qv__path *path = &s->sel->paths[i];
        uint32_t common = qv__place_common(&s->at, path, QV__MATCH_ALL_ONLY);
        if (common == path->n) {
            return DROP;
        }
        if (common == s->at.n) {
            verdict = ENTER;
        }
    }
    return verdict;
}

static void write_part(struct selection *s, const struct qv__value *v)
{
    struct qv__value_iter it;
    struct qv__value child;
    struct qv__str key;
    struct qv__path_step *step = &s->at.step[s->at.n++];
    bool object = v->tag == QV__TAG_OBJ;

    if (object) {
        qv__jw_obj(s->w);
    } else {
        qv__jw_arr(s->w);
    }
    *step = (struct qv__path_step){.kind = object ? QV__STEP_KEY : QV__STEP_INDEX};
    qv__value_iter_init(&it, v);
    while (qv__steps_on(s->steps, (uint64_t)s->sel->n_paths * QV__PATH_UNITS) &&
           qv__value_iter_next(&it, &key, &child)) {
        if (object) {
            step->key = key;
        }
        enum verdict verdict =
            s->sel->kind == QV__SELECT_INCLUDE ? judge_include(s) : judge_exclude(s);
        step->index++;
        if (verdict == DROP) {
            continue;
        }
        if (object) {
            qv__jw_key_n(s->w, key);
        }
        if (verdict == ENTER && (child.tag == QV__TAG_OBJ || child.tag == QV__TAG_ARR)) {
            write_part(s, &child);
        } else {
            qv__value_to_json(s->w, &child);
        }
    }
    s->at.n--;
    if (object) {
        qv__jw_obj_end(s->w);
    } else {
        qv__jw_arr_end(s->w);
    }
}

void qv__payload_select_json(struct qv__jw *w, struct qv__bytes row,
                             const struct qv__payload_selector *sel, struct qv__steps *steps)
{
    struct qv__value root = qv__wire_root(row);
    struct selection s = {.w = w, .steps = steps, .sel = sel};
    switch (sel->kind) {
    case QV__SELECT_NONE:
        qv__jw_null(w);
        break;
    case QV__SELECT_ALL:
        qv__value_to_json(w, &root);
        break;
    case QV__SELECT_INCLUDE:
    case QV__SELECT_EXCLUDE:
    default:
        write_part(&s, &root);
        break;
    }
}

/* payload_merge.c: set members of a payload, at the root or where a path leads.
 *
 * The new row is written front to back: what the path does not touch is copied as bytes. Recursion
 * follows the path's steps (at most QV__PATH_STEPS_MAX), never the data. The primary peer's rules:
 *   a member of the patch replaces the one of the same name in its place, or is added at the end;
 *   null in the patch removes the member;
 *   a key step makes an object of whatever else stands there, `[n]` and `[]` an empty array;
 *   `[]` goes on in every element, `[n]` in one; an element that does not exist is not made.
 * The patch is decoded once; larger patches get a hash index, so that a merge costs the sum of both
 * objects and not their product, however many elements `[]` fans out to. */
#include "base/map.h"
#include "payload/value_write.h"

#define LINEAR_MAX 8u

struct patch_member {
    struct qv__str key;
    struct qv__bytes value; /* encoded */
    uint64_t seen;          /* number of the last merge that met this key in the old object */
    bool remove;
};

struct merge {
    struct qv__buf *out;
    const struct qv__path *at;
    struct patch_member *members; /* owned */
    uint32_t n;
    struct qv__map index; /* of members, when there are more than LINEAR_MAX */
    uint32_t patch_depth; /* containers inside each other in the patch, itself included */
    uint64_t merges;
    struct qv_err *err;
};

static bool same_key(uint64_t value, const void *key, void *ctx)
{
    const struct patch_member *members = ctx;
    const struct qv__str *name = key;
    return qv__str_eq(members[value].key, *name);
}

static struct patch_member *find_member(struct merge *m, struct qv__str key)
{
    if (m->n > LINEAR_MAX) {
        const uint64_t *at =
            qv__map_find(&m->index, qv__hash_bytes(key.p, key.n), same_key, &key, m->members);
        return at ? &m->members[*at] : NULL;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        if (qv__str_eq(m->members[i].key, key)) {
            return &m->members[i];
        }
    }
    return NULL;
}

/* Containers inside each other in v. */
static uint32_t depth_of(const struct qv__value *v)
{
    struct qv__value_iter open[QV__VALUE_DEPTH_MAX];
    uint32_t depth = 0;
    uint32_t deepest = 0;
    struct qv__value at = *v;
    for (;;) {
        if (at.tag == QV__TAG_OBJ || at.tag == QV__TAG_ARR) {
            if (depth == QV__VALUE_DEPTH_MAX) {
                return QV__VALUE_DEPTH_MAX + 1;
            }
            qv__value_iter_init(&open[depth++], &at);
            deepest = QV_MAX(deepest, depth);
        }
        while (depth && !qv__value_iter_next(&open[depth - 1], NULL, &at)) {
            depth--;
        }
        if (depth == 0) {
            return deepest;
        }
    }
}

static qv_status decode_patch(struct merge *m, const struct qv__value *patch)
{
    struct qv__value_iter it;
    struct qv__value v;
    struct qv__str key;
    /* A member takes two bytes at least: a damaged count asks for no memory. */
    size_t room = QV_MIN(patch->count, patch->body.n / 2);
    m->patch_depth = depth_of(patch);
    m->members = qv__calloc(m->out->mem, room, sizeof *m->members);
    if (!m->members) {
        return QV_ENOMEM;
    }
    qv__value_iter_init(&it, patch);
    for (m->n = 0; m->n < room && qv__value_iter_next(&it, &key, &v); m->n++) {
        const uint8_t *start = (const uint8_t *)key.p + key.n;
        m->members[m->n] = (struct patch_member){
            .key = key,
            .value = {start, (size_t)(v.end - start)},
            .remove = v.tag == QV__TAG_NULL,
        };
    }
    if (m->n <= LINEAR_MAX) {
        return QV_OK;
    }
    QV_TRY(qv__map_reserve(&m->index, m->n));
    for (uint32_t i = 0; i < m->n; i++) {
        struct qv__str name = m->members[i].key;
        QV_TRY(qv__map_add(&m->index, qv__hash_bytes(name.p, name.n), i));
    }
    return QV_OK;
}

static void put_member(struct qv__buf *out, struct qv__str key, const uint8_t *value, size_t n)
{
    qv__buf_str(out, key);
    qv__buf_put(out, value, n);
}

static qv_status end_container(struct merge *m, size_t mark, uint32_t count, bool object)
{
    if (object && count > QV__MEMBERS_MAX) {
        return qv__fail(m->err, QV_ETOOBIG, "payload: an object would have more than %u members",
                        QV__MEMBERS_MAX);
    }
    if (!qv__vw_end(m->out, mark, count)) {
        return qv__fail(m->err, QV_ETOOBIG, "payload: larger than 4 GiB");
    }
    return QV_OK;
}

/* The old object (NULL = none) with the patch over it. `depth` counts the containers around it. */
static qv_status merge_object(struct merge *m, const struct qv__value *old, uint32_t depth)
{
    uint32_t count = 0;
    if (depth + m->patch_depth > QV__VALUE_DEPTH_MAX) {
        return qv__fail(m->err, QV_ETOOBIG, "payload: would be nested deeper than %u levels",
                        QV__VALUE_DEPTH_MAX);
    }
    m->merges++;
    size_t mark = qv__vw_begin(m->out, QV__TAG_OBJ);
    if (old) {
        struct qv__value_iter it;
        struct qv__value v;
        struct qv__str key;
        qv__value_iter_init(&it, old);
        while (qv__value_iter_next(&it, &key, &v)) {
            const uint8_t *start = (const uint8_t *)key.p + key.n;
            struct qv__bytes value = {start, (size_t)(v.end - start)};
            struct patch_member *with = find_member(m, key);
            if (with) {
                with->seen = m->merges;
                if (with->remove) {
                    continue;
                }
                value = with->value;
            }
            put_member(m->out, key, value.p, value.n);
            count++;
        }
    }
    for (uint32_t i = 0; i < m->n; i++) {
        const struct patch_member *p = &m->members[i];
        if (p->seen != m->merges && !p->remove) {
            put_member(m->out, p->key, p->value.p, p->value.n);
            count++;
        }
    }
    return end_container(m, mark, count, true);
}

static qv_status merge_at(struct merge *m, uint32_t step, const struct qv__value *old,
                          uint32_t depth);

static qv_status merge_below_key(struct merge *m, uint32_t step, const struct qv__value *old,
                                 uint32_t depth)
{
    struct qv__str name = m->at->step[step].key;
    uint32_t count = 0;
    bool met = false;
    size_t mark = qv__vw_begin(m->out, QV__TAG_OBJ);
    struct qv__value_iter it = {0};
    struct qv__value v;
    struct qv__str key;
    if (old && old->tag == QV__TAG_OBJ) {
        qv__value_iter_init(&it, old);
    }
    while (qv__value_iter_next(&it, &key, &v)) {
        count++;
        if (!met && qv__str_eq(key, name)) {
            met = true;
            qv__buf_str(m->out, key);
            QV_TRY(merge_at(m, step + 1, &v, depth + 1));
        } else {
            const uint8_t *start = (const uint8_t *)key.p + key.n;
            put_member(m->out, key, start, (size_t)(v.end - start));
        }
    }
    if (!met) {
        count++;
        qv__buf_str(m->out, name);
        QV_TRY(merge_at(m, step + 1, NULL, depth + 1));
    }
    return end_container(m, mark, count, true);
}

static qv_status merge_below_index(struct merge *m, uint32_t step, const struct qv__value *old,
                                   uint32_t depth)
{
    const struct qv__path_step *s = &m->at->step[step];
    uint32_t i = 0;
    size_t mark = qv__vw_begin(m->out, QV__TAG_ARR);
    struct qv__value_iter it = {0};
    struct qv__value v;
    if (old && old->tag == QV__TAG_ARR) {
        qv__value_iter_init(&it, old);
    }
    for (const uint8_t *start = it.p; qv__value_iter_next(&it, NULL, &v); start = it.p, i++) {
        if (s->kind == QV__STEP_ALL || s->index == i) {
            QV_TRY(merge_at(m, step + 1, &v, depth + 1));
        } else {
            qv__buf_put(m->out, start, (size_t)(v.end - start));
        }
    }
    return end_container(m, mark, i, false);
}

/* Write what becomes of `old` (NULL = there is nothing) from this step on. */
static qv_status merge_at(struct merge *m, uint32_t step, const struct qv__value *old,
                          uint32_t depth)
{
    if (m->out->failed) {
        return qv__buf_status(m->out, m->err);
    }
    if (!m->at || step == m->at->n) {
        return merge_object(m, old && old->tag == QV__TAG_OBJ ? old : NULL, depth);
    }
    return m->at->step[step].kind == QV__STEP_KEY ? merge_below_key(m, step, old, depth)
                                                  : merge_below_index(m, step, old, depth);
}

qv_status qv__payload_merge(struct qv__buf *out, struct qv__bytes row, struct qv__bytes patch,
                            const struct qv__path *at, struct qv_err *err)
{
    struct merge m = {.out = out, .at = at, .err = err};
    struct qv__value root = qv__wire_root(row);
    struct qv__value patch_root = qv__wire_root(patch);
    size_t start = out->n;

    qv__map_init(&m.index, out->mem);
    qv_status st = decode_patch(&m, &patch_root);
    if (st != QV_OK) {
        st = qv__fail(err, QV_ENOMEM, "payload: no memory to merge %u members",
                      (unsigned)patch_root.count);
    } else {
        st = merge_at(&m, 0, &root, 0);
    }
    if (st == QV_OK) {
        st = qv__buf_status(out, err);
    }
    if (st != QV_OK) {
        out->n = QV_MIN(out->n, start);
    }
    qv__map_free(&m.index);
    qv__free(m.members);
    return st;
}

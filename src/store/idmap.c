/* idmap.c: writing and reading the ids of a sealed segment.
 *
 * Two forms. When every id is a u64, the data section is 8 bytes per row and there are no offsets;
 * else ids are in their stored form (id.h) one after another, with n + 1 offsets. The order section
 * is the rows sorted by (id, row).
 *
 * Sorting is our own, since qsort may take memory that no account sees: a radix sort over the bytes
 * that differ for numbers (least significant first, stable), a bottom-up merge sort for the rest;
 * both start from row order and are stable, so equal ids end up by row. Rows that come sorted, as
 * bulk loads do, are not sorted again.
 *
 * Opening checks everything that reading relies on, and that the order is an order: a lookup in a
 * segment of damaged ids says so at open and never reads outside of its sections. Memory while
 * writing: the three sections and one more order; while opening: a bit per row. No locks. */
#include "store/idmap.h"

#define ID_U64_BYTES 8u

/* --- reading --- */

static struct qv__id id_at(const uint8_t *data, const uint8_t *offsets, uint32_t row)
{
    struct qv__id id = {0};
    if (!offsets) {
        return qv__id_u64(qv__load_u64(data + (size_t)row * ID_U64_BYTES));
    }
    const uint8_t *p = data + qv__load_u32(offsets + (size_t)row * 4);
    id.kind = p[0];
    switch ((enum qv__id_kind)id.kind) {
    case QV__ID_U64:
    case QV__ID_I64:
        id.u = qv__load_u64(p + 1);
        break;
    case QV__ID_UUID:
        memcpy(id.uuid, p + 1, sizeof id.uuid);
        break;
    case QV__ID_STR:
    default:
        id.len = p[1];
        id.s = (const char *)(p + 2);
        break;
    }
    return id;
}

struct qv__id qv__idmap_get(const struct qv__idmap *m, uint32_t row)
{
    QV_DEBUG_ASSERT(row < m->n);
    return id_at(m->data.p, m->offsets.p, row);
}

/* First position whose id is >= key (after = false) or > key. */
static uint32_t bound(const struct qv__idmap *m, const struct qv__id *key, bool after)
{
    uint32_t low = 0, high = m->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        struct qv__id id = qv__idmap_get(m, m->order[mid]);
        int c = qv__id_cmp(&id, key);
        if (c < 0 || (after && c == 0)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

uint32_t qv__idmap_lower_bound(const struct qv__idmap *m, const struct qv__id *key)
{
    return bound(m, key, false);
}

bool qv__idmap_find(const struct qv__idmap *m, const struct qv__id *key, uint32_t *row)
{
    uint32_t at = bound(m, key, true);
    if (at == 0) {
        return false;
    }
    struct qv__id id = qv__idmap_get(m, m->order[at - 1]);
    if (!qv__id_eq(&id, key)) {
        return false;
    }
    *row = m->order[at - 1];
    return true;
}

/* --- opening --- */

static qv_status corrupt(struct qv_err *err, const char *what, uint64_t row)
{
    return qv__fail(err, QV_ECORRUPT, "ids of the segment: %s at row %" PRIu64, what, row);
}

/* Every id decodes to exactly its bytes. */
static qv_status check_ids(const struct qv__idmap *m, struct qv_err *err)
{
    uint32_t from = qv__load_u32(m->offsets.p);
    if (from != 0 || qv__load_u32(m->offsets.p + (size_t)m->n * 4) != m->data.n) {
        return corrupt(err, "offsets do not span the data", 0);
    }
    for (uint32_t row = 0; row < m->n; row++) {
        uint32_t to = qv__load_u32(m->offsets.p + ((size_t)row + 1) * 4);
        if (to < from || to > m->data.n) {
            return corrupt(err, "an offset goes astray", row);
        }
        struct qv__reader r = qv__reader_of(m->data.p + from, to - from);
        struct qv__id id;
        if (!qv__id_read(&r, &id) || qv__reader_left(&r) != 0) {
            return corrupt(err, "an id does not decode", row);
        }
        from = to;
    }
    return QV_OK;
}

static qv_status check_order(const struct qv__idmap *m, uint64_t *seen, struct qv_err *err)
{
    struct qv__id last = {0};
    uint32_t last_row = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t row = m->order[i];
        if (row >= m->n || (seen[row / 64] >> (row % 64) & 1)) {
            return corrupt(err, "the order names a row twice or none", row);
        }
        seen[row / 64] |= (uint64_t)1 << (row % 64);
        struct qv__id id = qv__idmap_get(m, row);
        int c = i == 0 ? -1 : qv__id_cmp(&last, &id);
        if (c > 0 || (c == 0 && last_row >= row)) {
            return corrupt(err, "the order is not sorted", row);
        }
        last = id;
        last_row = row;
    }
    return QV_OK;
}

qv_status qv__idmap_open(const struct qv__segfile *f, uint32_t n, struct qv__mem *mem,
                         struct qv__idmap *out, struct qv_err *err)
{
    struct qv__bytes order = qv__segfile_section(f, QV__SEC_ID_ORDER, 0);
    struct qv__idmap m = {
        .n = n,
        .offsets = qv__segfile_section(f, QV__SEC_ID_OFFSETS, 0),
        .data = qv__segfile_section(f, QV__SEC_ID_DATA, 0),
        .order = (const uint32_t *)(const void *)order.p, /* sections are aligned to 64 bytes */
    };
    if (m.offsets.n == 0) {
        m.offsets.p = NULL;
    }
    uint64_t offsets_bytes = m.offsets.p ? ((uint64_t)n + 1) * 4 : 0;
    if (order.n != (uint64_t)n * 4 || m.offsets.n != offsets_bytes ||
        (!m.offsets.p && m.data.n != (uint64_t)n * ID_U64_BYTES)) {
        return corrupt(err, "sections of another number of rows than", n);
    }
    if (m.offsets.p) {
        QV_TRY(check_ids(&m, err));
    }
    uint64_t *seen = (uint64_t *)qv__calloc(mem, ((size_t)n + 63) / 64, sizeof *seen);
    if (!seen) {
        return qv__fail(err, QV_ENOMEM, "ids of the segment: no memory to check %" PRIu32 " rows",
                        n);
    }
    qv_status st = check_order(&m, seen, err);
    qv__free(seen);
    if (st == QV_OK) {
        *out = m;
    }
    return st;
}

/* --- sorting --- */

struct sorting {
    const uint8_t *data, *offsets;
    uint32_t *order, *other; /* the result is in `order` */
    uint32_t n;
};

static int cmp_rows(const struct sorting *s, uint32_t a, uint32_t b)
{
    struct qv__id x = id_at(s->data, s->offsets, a), y = id_at(s->data, s->offsets, b);
    return qv__id_cmp(&x, &y);
}

static void swap_orders(struct sorting *s)
{
    uint32_t *t = s->order;
    s->order = s->other;
    s->other = t;
}

static bool is_sorted(const struct sorting *s)
{
    for (uint32_t i = 1; i < s->n; i++) {
        if (cmp_rows(s, i - 1, i) > 0) {
            return false;
        }
    }
    return true;
}

/* One pass per byte of the numbers in which they differ. */
static void radix_sort(struct sorting *s)
{
    uint64_t all_or = 0, all_and = UINT64_MAX;
    for (uint32_t row = 0; row < s->n; row++) {
        uint64_t v = qv__load_u64(s->data + (size_t)row * ID_U64_BYTES);
        all_or |= v;
        all_and &= v;
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        uint32_t at[257] = {0};
        if (((all_or ^ all_and) >> shift & 0xff) == 0) {
            continue;
        }
        for (uint32_t row = 0; row < s->n; row++) {
            uint64_t v = qv__load_u64(s->data + (size_t)row * ID_U64_BYTES);
            at[(v >> shift & 0xff) + 1]++;
        }
        for (unsigned i = 1; i < 257; i++) {
            at[i] += at[i - 1];
        }
        for (uint32_t i = 0; i < s->n; i++) {
            uint32_t row = s->order[i];
            uint64_t v = qv__load_u64(s->data + (size_t)row * ID_U64_BYTES);
            s->other[at[v >> shift & 0xff]++] = row;
        }
        swap_orders(s);
    }
}

static void merge_runs(struct sorting *s, uint32_t from, uint32_t mid, uint32_t to)
{
    uint32_t i = from, j = mid;
    for (uint32_t k = from; k < to; k++) {
        bool left = j == to || (i < mid && cmp_rows(s, s->order[i], s->order[j]) <= 0);
        s->other[k] = left ? s->order[i++] : s->order[j++];
    }
}

static void merge_sort(struct sorting *s)
{
    for (uint64_t width = 1; width < s->n; width *= 2) {
        for (uint64_t from = 0; from < s->n; from += 2 * width) {
            uint64_t mid = QV_MIN(from + width, (uint64_t)s->n);
            uint64_t to = QV_MIN(mid + width, (uint64_t)s->n);
            merge_runs(s, (uint32_t)from, (uint32_t)mid, (uint32_t)to);
        }
        swap_orders(s);
    }
}

/* --- writing --- */

struct building {
    struct qv__buf data, offsets;
    uint32_t *orders; /* two of n rows each */
};

static qv_status gather_ids(struct building *b, uint32_t n,
                            struct qv__id (*get)(void *ctx, uint32_t row), void *ctx,
                            struct qv_err *err)
{
    bool is_all_u64 = true;
    for (uint32_t row = 0; row < n && is_all_u64; row++) {
        is_all_u64 = get(ctx, row).kind == QV__ID_U64;
    }
    for (uint32_t row = 0; row < n; row++) {
        struct qv__id id = get(ctx, row);
        if (is_all_u64) {
            qv__buf_u64(&b->data, id.u);
            continue;
        }
        qv__buf_u32(&b->offsets, (uint32_t)b->data.n);
        qv__id_write(&b->data, &id);
        if (b->data.n > UINT32_MAX) {
            return qv__fail(err, QV_ETOOBIG, "ids of the segment: more than 4 GiB of them");
        }
    }
    if (!is_all_u64) {
        qv__buf_u32(&b->offsets, (uint32_t)b->data.n);
    }
    QV_TRY(qv__buf_status(&b->data, err));
    return qv__buf_status(&b->offsets, err);
}

static qv_status sort_rows(struct building *b, uint32_t n, const uint32_t **order,
                           struct qv__mem *mem, struct qv_err *err)
{
    b->orders = (uint32_t *)qv__calloc(mem, (size_t)n * 2 + 1, sizeof *b->orders);
    if (!b->orders) {
        return qv__fail(err, QV_ENOMEM, "ids of the segment: no memory to sort %" PRIu32 " rows",
                        n);
    }
    bool is_all_u64 = b->offsets.n == 0;
    struct sorting s = {
        .data = b->data.p,
        .offsets = is_all_u64 ? NULL : b->offsets.p,
        .order = b->orders,
        .other = b->orders + n,
        .n = n,
    };
    for (uint32_t row = 0; row < n; row++) {
        s.order[row] = row;
    }
    if (!is_sorted(&s)) {
        if (is_all_u64) {
            radix_sort(&s);
        } else {
            merge_sort(&s);
        }
    }
    *order = s.order;
    return QV_OK;
}

qv_status qv__idmap_write(struct qv__segw *w, struct qv__mem *mem, uint32_t n,
                          struct qv__id (*get)(void *ctx, uint32_t row), void *ctx,
                          struct qv_err *err)
{
    struct building b = {.orders = NULL};
    const uint32_t *order = NULL;
    qv__buf_init(&b.data, mem);
    qv__buf_init(&b.offsets, mem);
    qv_status st;
    QV_GOTO(gather_ids(&b, n, get, ctx, err));
    QV_GOTO(sort_rows(&b, n, &order, mem, err));
    if (b.offsets.n > 0) {
        QV_GOTO(qv__segw_put(w, QV__SEC_ID_OFFSETS, 0, b.offsets.p, b.offsets.n, err));
    }
    QV_GOTO(qv__segw_put(w, QV__SEC_ID_DATA, 0, b.data.p, b.data.n, err));
    QV_GOTO(qv__segw_put(w, QV__SEC_ID_ORDER, 0, order, (size_t)n * 4, err));
out:
    qv__buf_free(&b.data);
    qv__buf_free(&b.offsets);
    qv__free(b.orders);
    return st;
}

/* metrics_collection.c: how many requests ended how, for each collection.
 *
 * A cell is made for the name of a collection that is there when the response goes out, so that
 * names nobody has made take no room, whatever is answered to them; these are counted in cells of
 * the name "". Cells of collections that are gone are added to those when figures are asked for, or
 * places run out. */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>

struct qv__api_named_cell {
    struct qv__str name; /* behind the cell */
    const struct qv__route *route;
    struct qv__api_figures f;
};

void qv__api_named_init(struct qv__api *api)
{
    qv__mutex_init(&api->by_collection.lock, QV__RANK_JOBS);
    qv__map_init(&api->by_collection.map, api->mem);
}

void qv__api_named_free(struct qv__api *api)
{
    struct qv__api_by_collection *b = &api->by_collection;
    for (size_t i = 0; i < b->n; i++) {
        qv__free(b->cells[i]);
    }
    qv__free(b->cells);
    qv__map_free(&b->map);
    qv__mutex_destroy(&b->lock);
}

struct key {
    struct qv__str name;
    const struct qv__route *route;
    int http_status;
};

static uint64_t key_hash(const struct key *k)
{
    return qv__hash_u64(qv__hash_bytes(k->name.p, k->name.n) ^ (uint64_t)(uintptr_t)k->route ^
                        (uint64_t)k->http_status);
}

static bool same_key(uint64_t at, const void *key, void *ctx)
{
    const struct qv__api_named_cell *c = ((struct qv__api_named_cell **)ctx)[at];
    const struct key *k = key;
    return c->route == k->route && c->f.http_status == k->http_status &&
           qv__str_eq(c->name, k->name);
}

/* Under the lock. */
static struct qv__api_named_cell *find_cell(struct qv__api_by_collection *b, const struct key *k)
{
    const uint64_t *at = qv__map_find(&b->map, key_hash(k), same_key, k, b->cells);
    return at ? b->cells[*at] : NULL;
}

/* Under the lock. */
static struct qv__api_named_cell *add_cell(struct qv__api *api, const struct key *k)
{
    struct qv__api_by_collection *b = &api->by_collection;
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        struct qv__api_named_cell **more = qv__calloc(api->mem, cap, sizeof(*more));
        if (!more) {
            return NULL;
        }
        if (b->n) {
            memcpy(more, b->cells, b->n * sizeof(*more));
        }
        qv__free(b->cells);
        b->cells = more;
        b->cap = cap;
    }
    struct qv__api_named_cell *c = qv__zalloc(api->mem, sizeof *c + k->name.n + 1);
    if (!c || qv__map_add(&b->map, key_hash(k), b->n) != QV_OK) {
        qv__free(c);
        return NULL;
    }
    memcpy(c + 1, k->name.p, k->name.n);
    c->name = (struct qv__str){(const char *)(c + 1), k->name.n};
    c->route = k->route;
    c->f.method = qv__method_name(k->route->method);
    c->f.endpoint = k->route->pattern;
    c->f.http_status = k->http_status;
    c->f.min_ns = UINT64_MAX;
    b->cells[b->n++] = c;
    b->n_named += c->name.n != 0;
    return c;
}

static void add_figures(struct qv__api_figures *f, const struct qv__api_figures *more)
{
    f->n += more->n;
    f->sum_ns += more->sum_ns;
    f->min_ns = QV_MIN(f->min_ns, more->min_ns);
    f->max_ns = QV_MAX(f->max_ns, more->max_ns);
    f->last_ms = QV_MAX(f->last_ms, more->last_ms);
    for (unsigned b = 0; b < QV__API_BUCKETS; b++) {
        f->bucket[b] += more->bucket[b];
    }
}

/* --- names
 * ---------------------------------------------------------------------------------------------- */

static int name_order(const void *a, const void *b)
{
    return qv__str_cmp(*(const struct qv__str *)a, *(const struct qv__str *)b);
}

struct names {
    struct qv__arena *arena;
    struct qv__str *list;
    size_t n, cap;
    bool failed;
};

static void add_name(void *arg, struct qv__str name)
{
    struct names *x = arg;
    if (x->n == x->cap) {
        size_t cap = x->cap * 2 + 16;
        struct qv__str *more = qv__arena_calloc(x->arena, cap, sizeof *more);
        if (!more) {
            x->failed = true;
            return;
        }
        if (x->n) {
            memcpy(more, x->list, x->n * sizeof *more);
        }
        x->list = more;
        x->cap = cap;
    }
    char *copy = qv__arena_strndup(x->arena, name.p, name.n);
    x->failed = x->failed || !copy;
    x->list[x->n++] = (struct qv__str){copy, name.n};
}

/* Names of all collections, sorted, in names->arena. */
static qv_status list_names(struct qv__api *api, struct names *names)
{
    QV_TRY(qv__db_list_collections(api->db, add_name, names, NULL));
    if (names->n && !names->failed) {
        qsort(names->list, names->n, sizeof *names->list, name_order);
    }
    return names->failed ? QV_ENOMEM : QV_OK;
}

/* Under the lock: cells of names that are not listed become, or are added to, those of the rest.
 * Fails before anything was changed. */
static qv_status forget(struct qv__api *api, const struct names *names)
{
    struct qv__api_by_collection *b = &api->by_collection;
    struct qv__map map;
    size_t kept = 0;
    qv__map_init(&map, api->mem);
    if (qv__map_reserve(&map, b->n) != QV_OK) {
        return QV_ENOMEM;
    }
    b->n_named = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct qv__api_named_cell *c = b->cells[i];
        if (!names->n ||
            !bsearch(&c->name, names->list, names->n, sizeof *names->list, name_order)) {
            c->name.n = 0;
        }
        struct key k = {c->name, c->route, c->f.http_status};
        uint64_t hash = key_hash(&k);
        const uint64_t *at = c->name.n ? NULL : qv__map_find(&map, hash, same_key, &k, b->cells);
        if (at) {
            add_figures(&b->cells[*at]->f, &c->f);
            qv__free(c);
        } else if (qv__map_add(&map, hash, kept) == QV_OK) { /* room is reserved */
            b->cells[kept++] = c;
            b->n_named += c->name.n != 0;
        }
    }
    b->n = kept;
    qv__map_free(&b->map);
    b->map = map;
    return QV_OK;
}

/* --- counting
 * ------------------------------------------------------------------------------------------- */

static void make_room(struct qv__api *api)
{
    struct qv__arena arena;
    struct names names = {.arena = &arena};
    qv__arena_init(&arena, api->mem);
    if (list_names(api, &names) == QV_OK) {
        qv__mutex_lock(&api->by_collection.lock);
        (void)forget(api, &names); /* without memory for it there is no room, that is all */
        qv__mutex_unlock(&api->by_collection.lock);
    }
    qv__arena_free(&arena);
}

/* Under the lock: a collection's cell, or the rest's where places are out; NULL: no memory. */
static struct qv__api_named_cell *cell_for(struct qv__api *api, struct key k)
{
    struct qv__api_by_collection *b = &api->by_collection;
    struct qv__api_named_cell *c = find_cell(b, &k);
    if (!c && k.name.n && b->n_named >= QV__API_NAMED_MAX) {
        k.name.n = 0;
        c = find_cell(b, &k);
    }
    return c ? c : add_cell(api, &k);
}

void qv__api_count_named(struct qv__api *api, struct qv__str name, const struct qv__route *route,
                         int http_status, uint64_t ns)
{
    struct qv__api_by_collection *b = &api->by_collection;
    struct qv__collection *found = NULL;
    struct key k = {name, route, http_status};
    uint64_t now_ms = qv__wall_ms(qv__db_clock(api->db));
    struct qv__api_figures one = {
        .n = 1, .sum_ns = ns, .min_ns = ns, .max_ns = ns, .last_ms = now_ms};
    unsigned bucket = qv__api_bucket(ns);
    if (bucket < QV__API_BUCKETS) {
        one.bucket[bucket] = 1;
    }
    qv__mutex_lock(&b->lock);
    struct qv__api_named_cell *c = find_cell(b, &k);
    if (!c) {
        bool look = b->n_named >= QV__API_NAMED_MAX && b->n_full++ % QV__API_NAMED_LOOK == 0;
        qv__mutex_unlock(&b->lock); /* the catalog's lock comes before this one */
        bool is_there = qv__db_collection(api->db, name, &found, NULL) == QV_OK;
        k.name = is_there ? qv__collection_name(found) : QV__STR("");
        if (look) {
            make_room(api);
        }
        qv__mutex_lock(&b->lock);
        c = cell_for(api, k);
    }
    if (c) {
        add_figures(&c->f, &one);
    }
    qv__mutex_unlock(&b->lock);
    qv__collection_release(found);
    if (!c) {
        qv__count(&api->lost, 1);
    }
}

/* --- telling
 * -------------------------------------------------------------------------------------------- */

static int figures_order(const void *a, const void *b)
{
    const struct qv__api_figures *x = a, *y = b;
    int by = qv__str_cmp(x->collection, y->collection);
    by = by ? by : strcmp(x->endpoint, y->endpoint);
    by = by ? by : strcmp(x->method, y->method);
    return by ? by : x->http_status - y->http_status;
}

qv_status qv__api_counts_by_collection(struct qv__api *api, struct qv__arena *arena,
                                       const struct qv__api_figures **out, size_t *n)
{
    struct qv__api_by_collection *b = &api->by_collection;
    struct names names = {.arena = arena};
    struct qv__api_figures *list = NULL;
    QV_TRY(list_names(api, &names));
    *n = 0;
    qv__mutex_lock(&b->lock);
    qv_status st = forget(api, &names);
    if (st == QV_OK) {
        list = qv__arena_calloc(arena, b->n + 1, sizeof *list);
        st = list ? QV_OK : QV_ENOMEM;
    }
    for (size_t i = 0; st == QV_OK && i < b->n; i++) {
        const struct qv__api_named_cell *c = b->cells[i];
        char *copy = qv__arena_strndup(arena, c->name.p, c->name.n);
        if (!copy) {
            st = QV_ENOMEM;
            break;
        }
        list[*n] = c->f;
        list[(*n)++].collection = (struct qv__str){copy, c->name.n};
    }
    qv__mutex_unlock(&b->lock);
    if (*n) {
        qsort(list, *n, sizeof *list, figures_order);
    }
    *out = list;
    return st;
}

/* oracle.c: the model and its ledger. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "oracle: no memory\n");
        abort();
    }
    return p;
}

void oracle_init(struct oracle *o)
{
    memset(o, 0, sizeof *o);
    o->cap = 16;
    o->states = must(calloc(o->cap, sizeof *o->states));
    o->versions = must(calloc(o->cap, sizeof *o->versions));
    o->states[0] = must(calloc(1, sizeof **o->states));
}

void oracle_free(struct oracle *o)
{
    for (uint32_t i = 0; i <= o->n_sent; i++) {
        free(o->states[i]);
    }
    free(o->states);
    free(o->versions);
    memset(o, 0, sizeof *o);
}

struct oracle_state *oracle_newest(const struct oracle *o)
{
    return o->states[o->n_sent];
}

struct oracle_state *oracle_send(struct oracle *o)
{
    if (o->n_sent + 1 == o->cap) {
        o->cap *= 2;
        o->states = must(realloc(o->states, o->cap * sizeof *o->states));
        o->versions = must(realloc(o->versions, o->cap * sizeof *o->versions));
    }
    struct oracle_state *s = must(malloc(sizeof *s));
    *s = *oracle_newest(o);
    o->n_sent++;
    o->states[o->n_sent] = s;
    o->versions[o->n_sent] = 0;
    return s;
}

void oracle_acked(struct oracle *o, uint32_t number, uint64_t version)
{
    if (number > o->acked) {
        o->acked = number;
    }
    o->versions[number] = version;
}

void oracle_refused(struct oracle *o)
{
    free(o->states[o->n_sent]);
    o->n_sent--;
}

void oracle_found(struct oracle *o, uint32_t number)
{
    while (o->n_sent > number) {
        oracle_refused(o);
    }
    o->acked = number;
}

struct oracle_collection *oracle_collection(struct oracle_state *s, const char *name)
{
    for (unsigned i = 0; i < ORACLE_COLLECTIONS; i++) {
        if (strcmp(s->c[i].name, name) == 0) {
            return &s->c[i];
        }
    }
    return NULL;
}

/* --- requests --- */

/* A mix of two numbers (Murmur3's finisher over their concatenation); our own, as the model is. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t h = a * 0x9e3779b97f4a7c15u ^ (b + 0x632be59bd9b4e019u);
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

void oracle_put(struct oracle_collection *c, uint32_t number, uint32_t request)
{
    struct oracle_point *p = &c->p[number];
    uint64_t h = mix(number, request);
    *p = (struct oracle_point){.exists = true, .request = request};
    p->n = (int32_t)(h % 100);
    p->tag = (int32_t)(h / 100 % (ORACLE_TAGS + 1)) - 1;
    for (unsigned i = 0; i < ORACLE_DIM; i++) { /* no two points of one request are at one place */
        p->v[i] = (float)(int32_t)(mix(h, i) % 2001) / 100.0f - 10.0f;
    }
    p->v[0] += (float)number / 4096.0f;
    p->has_x = c->x_dim && h % 3 > 0;
    for (unsigned i = 0; p->has_x && i < c->x_dim; i++) {
        p->x[i] = (float)(int32_t)(mix(h, 99 + i) % 2001) / 100.0f - 10.0f;
    }
}

void oracle_delete(struct oracle_collection *c, uint32_t number, uint32_t request)
{
    c->p[number] = (struct oracle_point){.request = request};
}

void oracle_set_x(struct oracle_collection *c, uint32_t dim)
{
    c->x_dim = dim;
    for (uint32_t i = 0; i < ORACLE_POINTS; i++) {
        c->p[i].has_x = false;
        memset(c->p[i].x, 0, sizeof c->p[i].x);
    }
}

uint32_t oracle_delete_where(struct oracle_collection *c, int32_t from, int32_t to,
                             uint32_t request)
{
    uint32_t hit = 0;
    for (uint32_t i = 0; i < ORACLE_POINTS; i++) {
        if (c->p[i].exists && c->p[i].n >= from && c->p[i].n < to) {
            oracle_delete(c, i, request);
            hit++;
        }
    }
    return hit;
}

uint32_t oracle_set_n_where(struct oracle_collection *c, int32_t tag, int32_t n, uint32_t request)
{
    uint32_t hit = 0;
    for (uint32_t i = 0; i < ORACLE_POINTS; i++) {
        if (c->p[i].exists && c->p[i].tag == tag) {
            c->p[i].n = n;
            c->p[i].request = request;
            hit++;
        }
    }
    return hit;
}

/* --- comparison --- */

static const char *point_difference(const struct oracle_collection *c, uint32_t number,
                                    const struct oracle_point *a, const struct oracle_point *b,
                                    char *text, unsigned n)
{
    const char *what = NULL;
    if (a->exists != b->exists) {
        what = a->exists ? "is there" : "is not there";
    } else if (a->exists && memcmp(a->v, b->v, sizeof a->v) != 0) {
        what = "has another vector";
    } else if (a->exists && (a->has_x != b->has_x || memcmp(a->x, b->x, sizeof a->x) != 0)) {
        what = a->has_x ? "has another vector x" : "has no vector x";
    } else if (a->exists && (a->n != b->n || a->tag != b->tag)) {
        what = "has another payload";
    }
    if (!what) {
        return NULL;
    }
    snprintf(text, n, "%s: point %u %s (found n %d tag %d, expected n %d tag %d of request %u)",
             c->name, number, what, a->n, a->tag, b->n, b->tag, b->request);
    return text;
}

static const char *collection_difference(const struct oracle_collection *a,
                                         const struct oracle_collection *b, char *text, unsigned n)
{
    if (a->shards != b->shards || a->n_indexes != b->n_indexes || a->x_dim != b->x_dim ||
        a->m != b->m) {
        snprintf(text, n, "%s: %u shards, %u indexes, x of %u, m %u; expected %u, %u, of %u, %u",
                 a->name, a->shards, a->n_indexes, a->x_dim, a->m, b->shards, b->n_indexes,
                 b->x_dim, b->m);
        return text;
    }
    for (uint32_t i = 0; i < ORACLE_POINTS; i++) {
        const char *d = point_difference(a, i, &a->p[i], &b->p[i], text, n);
        if (d) {
            return d;
        }
    }
    return NULL;
}

static const struct oracle_collection *find(const struct oracle_state *s, const char *name)
{
    for (unsigned i = 0; i < ORACLE_COLLECTIONS; i++) {
        if (strcmp(s->c[i].name, name) == 0) {
            return &s->c[i];
        }
    }
    return NULL;
}

static const char *alias_of(const struct oracle_state *s, const char *name)
{
    for (unsigned i = 0; i < ORACLE_ALIASES; i++) {
        if (strcmp(s->a[i].name, name) == 0) {
            return s->a[i].collection;
        }
    }
    return "";
}

/* Names of `a` that `b` lacks or has otherwise. */
static const char *names_difference(const struct oracle_state *a, const struct oracle_state *b,
                                    const char *verb, char *text, unsigned n)
{
    for (unsigned i = 0; i < ORACLE_COLLECTIONS; i++) {
        if (a->c[i].name[0] && !find(b, a->c[i].name)) {
            snprintf(text, n, "collection %s %s", a->c[i].name, verb);
            return text;
        }
    }
    for (unsigned i = 0; i < ORACLE_ALIASES; i++) {
        if (a->a[i].name[0] && strcmp(alias_of(b, a->a[i].name), a->a[i].collection) != 0) {
            snprintf(text, n, "alias %s of %s %s", a->a[i].name, a->a[i].collection, verb);
            return text;
        }
    }
    return NULL;
}

/* a: what was found; b: what is expected. */
const char *oracle_difference(const struct oracle_state *a, const struct oracle_state *b,
                              char *text, unsigned n)
{
    if (a->n_snapshots < b->n_snapshots || a->n_snapshots - b->n_snapshots > b->n_doubtful) {
        snprintf(text, n, "%u snapshots, expected %u and perhaps %u more", a->n_snapshots,
                 b->n_snapshots, b->n_doubtful);
        return text;
    }
    const char *d = names_difference(a, b, "should not be there", text, n);
    d = d ? d : names_difference(b, a, "is missing", text, n);
    for (unsigned i = 0; !d && i < ORACLE_COLLECTIONS; i++) {
        if (a->c[i].name[0]) {
            d = collection_difference(&a->c[i], find(b, a->c[i].name), text, n);
        }
    }
    return d;
}

int64_t oracle_match(const struct oracle *o, const struct oracle_state *found, char *text,
                     unsigned n)
{
    for (uint32_t k = o->n_sent + 1; k-- > o->acked;) {
        if (!oracle_difference(found, o->states[k], text, n)) {
            return k;
        }
    }
    oracle_difference(found, o->states[o->acked], text, n);
    return -1;
}

double oracle_distance(const float *a, const float *b)
{
    double s = 0;
    for (unsigned i = 0; i < ORACLE_DIM; i++) {
        double d = (double)a[i] - (double)b[i];
        s += d * d;
    }
    return s;
}

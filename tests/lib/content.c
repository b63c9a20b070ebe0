/* content.c: filling and reading out; see content.h. */
#include "content.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/rng.h"
#include "base/varvec.h"
#include "engine/schema.h"

#define DIM_MAX    32  /* of a vector */
#define DIM_NARROW 256 /* ... whose complete graphs get codes of 4 bits beside those of 8 */
#define DIM_TUCKED 64  /* ... that fill lines, so that codes keep their factors in them */

/* --- writing --- */

struct content_point {
    struct qv__id id;
    const char *payload; /* JSON; NULL = none */
    unsigned seed;       /* of the vectors */
    unsigned without;    /* bit v: the point lacks vector v */
    int64_t expires_ms;  /* 0 = never */
};

static const struct qv__vector_def alpha_vectors[] = {
    {.name = QV__STR(""),
     .metric = QV__L2,
     .dim = 4,
     .index = {.m = 4, .ef_construct = 16, .seed = 11}},
    {.name = QV__STR("img"), .metric = QV__COSINE, .dim = 3},
};
static const struct qv__vector_def beta_vectors[] = {
    {.name = QV__STR("v"), .metric = QV__DOT, .dim = 2},
};

/* What came after the first golden directory: walks over codes, datatypes, points that expire. */
static const struct qv__vector_def codes_vectors[] = {
    {.name = QV__STR(""),
     .metric = QV__L2,
     .dim = DIM_MAX,
     .index = {.m = 4, .ef_construct = 16, .seed = 12}},
};
static const struct qv__vector_def types_vectors[] = {
    {.name = QV__STR("half"), .metric = QV__COSINE, .datatype = QV__F16, .dim = 6},
    {.name = QV__STR("byte"), .metric = QV__L2, .datatype = QV__U8, .dim = 5},
};
#define EXPIRES_MS INT64_C(4102444800000) /* 2100-01-01 */

/* After the second: the column that was `gone` and is another one. */
static const struct qv__vector_def early_vectors[2][2] = {
    {{.name = QV__STR("kept"), .metric = QV__L2, .dim = 3},
     {.name = QV__STR("gone"), .metric = QV__DOT, .dim = 2}},
    {{.name = QV__STR("kept"), .metric = QV__L2, .dim = 3},
     {.name = QV__STR("gone"),
      .metric = QV__COSINE,
      .dim = DIM_MAX,
      .index = {.m = 4, .ef_construct = 16, .codes = QV__INDEX_CODES_BITS1, .seed = 13}}},
};

/* After the third: int8 and bits, codes of half floats and of bytes. */
static const struct qv__vector_def packed_vectors[] = {
    {.name = QV__STR("signed"), .metric = QV__COSINE, .datatype = QV__I8, .dim = 6},
    {.name = QV__STR("bits"),
     .metric = QV__HAMMING,
     .datatype = QV__BIT,
     .dim = 20,
     .index = {.m = 4, .ef_construct = 16, .seed = 14}},
    {.name = QV__STR("half"),
     .metric = QV__DOT,
     .datatype = QV__F16,
     .dim = DIM_MAX,
     .index = {.m = 4, .ef_construct = 16, .codes = QV__INDEX_CODES_INT8, .seed = 15}},
    {.name = QV__STR("byte"),
     .metric = QV__COSINE,
     .datatype = QV__U8,
     .dim = DIM_MAX,
     .index = {.m = 4, .ef_construct = 16, .codes = QV__INDEX_CODES_BITS4, .seed = 16}},
};
/* After the fifth: sparse vectors and multivectors, beside a dense one. */
static const struct qv__vector_def varied_vectors[] = {
    {.name = QV__STR("words"), .kind = QV__VEC_SPARSE, .metric = QV__DOT},
    {.name = QV__STR("rare"), .kind = QV__VEC_SPARSE, .metric = QV__DOT, .idf = true},
    {.name = QV__STR("rows"), .kind = QV__VEC_MULTI, .metric = QV__COSINE, .dim = 3},
    {.name = QV__STR("small"),
     .kind = QV__VEC_MULTI,
     .metric = QV__L2,
     .datatype = QV__U8,
     .dim = 5},
};
enum { VECTORS_MAX = 4, ROWS_MAX = 3, WORDS_MAX = 8 }; /* of a point, of its vectors here */

/* After the fourth. */
static const struct qv__vector_def narrow_vectors[] = {
    {.name = QV__STR(""),
     .metric = QV__DOT,
     .dim = DIM_NARROW,
     .index = {.m = 4, .ef_construct = 16, .seed = 17}},
};

static const struct qv__vector_def tucked_vectors[] = {
    {.name = QV__STR(""),
     .metric = QV__L2,
     .dim = DIM_TUCKED,
     .index = {.m = 4, .ef_construct = 16, .seed = 19}},
};

static const struct qv__vector_def *vectors_of(const struct content *c, const char *name,
                                               unsigned *n)
{
    if (*name == 'e') {
        *n = 2;
        return early_vectors[c->is_altered];
    }
    if (*name == 'p' || *name == 'v') {
        *n = VECTORS_MAX;
        return *name == 'p' ? packed_vectors : varied_vectors;
    }
    *n = *name == 'a' || *name == 'g' || *name == 'd' || *name == 't' ? 2 : 1;
    return *name == 'b'   ? beta_vectors
           : *name == 'c' ? codes_vectors
           : *name == 't' ? types_vectors
           : *name == 'n' ? narrow_vectors
           : *name == 'w' ? tucked_vectors
                          : alpha_vectors;
}

static const char *const payloads[] = {
    "{\"name\": \"arrow\", \"price\": 3.25, \"stock\": 12, \"rare\": false, \"tags\": [\"wood\", "
    "\"iron\"]}",
    "{\"name\": \"\\u00fcbergr\\u00f6\\u00dfe\", \"nested\": {\"deep\": [1, [2, [3, null]], "
    "{\"k\": \"v\"}]}}",
    "{\"big\": 18446744073709551615, \"small\": -9223372036854775808, \"e\": 1e300, \"z\": 0.0}",
    "{\"where\": {\"lon\": 13.4, \"lat\": 52.5}, \"when\": \"2024-02-29T12:00:00Z\"}",
    "{}",
    NULL,
    "{\"empty\": \"\", \"list\": [], \"object\": {}, \"nothing\": null, \"stock\": 7}",
};

static void vector_of(unsigned seed, unsigned which, float *out, const struct qv__vector_def *def)
{
    struct qv__rng rng;
    qv__rng_seed(&rng, seed * 31u + which);
    for (uint32_t i = 0; i < def->dim; i++) {
        int v = (int)qv__rng_below(&rng, 1001);
        out[i] = def->datatype == QV__U8    ? (float)(v % 256)
                 : def->datatype == QV__I8  ? (float)(v % 256 - 128)
                 : def->datatype == QV__BIT ? (float)(v % 2)
                                            : (float)(v - 500) / 64.0f;
    }
}

/* Room for one vector of any kind, and what is in it. */
struct content_vector {
    float values[DIM_NARROW];
    uint32_t indices[WORDS_MAX];
    uint32_t dim, n_rows; /* as of struct qv__named_vector */
};

static void varied_of(unsigned seed, unsigned which, struct content_vector *out,
                      const struct qv__vector_def *def)
{
    struct qv__vector_def row = *def;
    out->dim = def->dim;
    out->n_rows = 0;
    if (def->kind == QV__VEC_SPARSE) {
        row.dim = out->dim = 1 + seed % WORDS_MAX;
        vector_of(seed, which, out->values, &row);
        for (uint32_t i = 0; i < out->dim; i++) {
            out->indices[i] = i * 7 + (seed + i) % 7;
        }
    } else if (def->kind == QV__VEC_MULTI) {
        out->n_rows = 1 + seed % ROWS_MAX;
        row.dim = def->dim * out->n_rows;
        vector_of(seed, which, out->values, &row);
    } else {
        vector_of(seed, which, out->values, def);
    }
}

static struct qv__id mixed_id(unsigned i)
{
    static const char *const words[] = {"quiver", "bow", "nock", "fletching", "\xc3\xa4rrow"};
    struct qv__id id = {.kind = (uint8_t)(i % 4)};
    switch (i % 4) {
    case QV__ID_U64:
        id.u = UINT64_MAX - i;
        break;
    case QV__ID_I64:
        id.u = (uint64_t)(-(int64_t)i * 1000003);
        break;
    case QV__ID_UUID:
        for (unsigned k = 0; k < sizeof id.uuid; k++) {
            id.uuid[k] = (uint8_t)(i * 37 + k * 11);
        }
        break;
    default:
        id.s = words[i / 4 % 5];
        id.len = (uint8_t)strlen(id.s);
        break;
    }
    return id;
}

static qv_status parse_payload(struct content *c, struct qv__arena *a, const char *json,
                               struct qv__bytes *out)
{
    qv__json v = NULL;
    struct qv__buf b;
    *out = (struct qv__bytes){NULL, 0};
    if (!json) {
        return QV_OK;
    }
    QV_TRY(qv__json_parse(a, json, strlen(json), NULL, &v, &c->err));
    qv__buf_init(&b, a->mem);
    qv_status st = qv__payload_from_json(&b, v, &c->err);
    uint8_t *copy = st == QV_OK ? qv__arena_alloc(a, b.n) : NULL;
    if (copy) {
        memcpy(copy, b.p, b.n);
        *out = (struct qv__bytes){copy, b.n};
    }
    qv__buf_free(&b);
    return st == QV_OK && !copy ? QV_ENOMEM : st;
}

static qv_status send(struct content *c, const char *name, const struct qv__mutation *m, size_t n)
{
    struct qv__collection *to = NULL;
    struct qv__write_result r;
    QV_TRY(qv__db_collection(c->db, qv__str_z(name), &to, &c->err));
    qv_status st = qv__collection_write_sync(to, m, n, &r, &c->err);
    qv__collection_release(to);
    if (st == QV_OK && c->after) {
        c->after(c->arg);
    }
    return st;
}

static qv_status put(struct content *c, const char *name, const struct content_point *points,
                     size_t n, enum qv__mutation_kind kind)
{
    unsigned n_defs = 0;
    const struct qv__vector_def *defs = vectors_of(c, name, &n_defs);
    struct qv__arena a;
    qv_status st = QV_OK;
    qv__arena_init(&a, c->mem);
    struct qv__point *p = qv__arena_calloc(&a, n, sizeof *p);
    for (size_t i = 0; p && st == QV_OK && i < n; i++) {
        struct qv__named_vector *v = qv__arena_calloc(&a, VECTORS_MAX, sizeof *v);
        p[i] = (struct qv__point){
            .id = points[i].id, .vectors = v, .expires_ms = points[i].expires_ms};
        for (unsigned k = 0; v && k < n_defs; k++) {
            struct content_vector *x = qv__arena_alloc(&a, sizeof *x);
            if (x && !(points[i].without & 1u << k)) {
                varied_of(points[i].seed, k, x, &defs[k]);
                v[p[i].n_vectors++] = (struct qv__named_vector){.name = defs[k].name,
                                                                .values = x->values,
                                                                .indices = x->indices,
                                                                .kind = defs[k].kind,
                                                                .n_rows = x->n_rows,
                                                                .dim = x->dim};
            }
        }
        st = parse_payload(c, &a, points[i].payload, &p[i].payload);
    }
    if (st == QV_OK) {
        st = send(c, name, &(struct qv__mutation){.kind = kind, .points = p, .n_points = n}, 1);
    }
    qv__arena_free(&a);
    return st;
}

static qv_status edit(struct content *c, const char *name, enum qv__mutation_kind kind,
                      struct qv__id id, const char *payload)
{
    static const struct qv__str img = QV__STR("img");
    struct qv__arena a;
    struct qv__mutation m = {.kind = kind, .ids = &id, .n_ids = 1};
    if (kind == QV__MUT_DELETE_VECTORS) {
        m.vector_names = &img;
        m.n_vector_names = 1;
    }
    qv__arena_init(&a, c->mem);
    qv_status st = parse_payload(c, &a, payload, &m.payload);
    if (st == QV_OK) {
        st = send(c, name, &m, 1);
    }
    qv__arena_free(&a);
    return st;
}

static qv_status create(struct content *c, const char *name, const struct qv__vector_def *defs,
                        uint32_t n_defs, uint32_t shards)
{
    struct qv__payload_index_def index = {.key = QV__STR("name"), .type = QV__STR("keyword")};
    struct qv__schema s = {
        .vectors = (struct qv__vector_def *)(uintptr_t)defs,
        .n_vectors = n_defs,
        .shard_number = shards,
        .indexes = &index,
        .n_indexes = 1,
        .config_json = QV__STR("{\"made\":\"by content.c\"}"),
        .policy = {.seal_rows = 1u << 20, .index_rows = c->n / 3, .merge_fanin = 64}};
    QV_TRY(qv__db_create_collection(c->db, qv__str_z(name), &s, &c->err));
    if (c->after) {
        c->after(c->arg);
    }
    return QV_OK;
}

static qv_status alias(struct content *c, const char *name, const char *to)
{
    struct qv__alias_action a = {
        .kind = QV__ALIAS_CREATE, .alias = qv__str_z(name), .collection = qv__str_z(to)};
    QV_TRY(qv__db_update_aliases(c->db, &a, 1, &c->err));
    if (c->after) {
        c->after(c->arg);
    }
    return QV_OK;
}

static struct content_point point(const char *name, unsigned i, unsigned seed)
{
    bool is_beta = *name == 'b';
    return (struct content_point){.id = is_beta ? mixed_id(i % 20) : qv__id_u64(i),
                                  .payload = payloads[seed % QV_ARRAY_LEN(payloads)],
                                  .seed = seed,
                                  .expires_ms =
                                      *name == 't' && i % 2 == 1 ? EXPIRES_MS + (int)i : 0,
                                  .without = *name == 'c' || *name == 'n' ? 0
                                             : is_beta                    ? (seed % 5 == 4)
                                             : i % 7 == 3                 ? 1
                                             : i % 3 == 1                 ? 2
                                                                          : 0};
}

static qv_status put_range(struct content *c, const char *name, unsigned from, unsigned to,
                           unsigned seed)
{
    qv_status st = QV_OK;
    for (unsigned i = from; st == QV_OK && i < to; i += 8) {
        struct content_point p[8];
        unsigned n = 0;
        for (; n < 8 && i + n < to; n++) {
            p[n] = point(name, i + n, seed + i + n);
        }
        st = put(c, name, p, n, QV__MUT_UPSERT);
    }
    return st;
}

qv_status content_base(struct content *c)
{
    unsigned n = c->n, n_beta = QV_MIN(n, 20u);
    QV_TRY(create(c, "alpha", alpha_vectors, 2, 1));
    QV_TRY(create(c, "beta", beta_vectors, 1, 3));
    QV_TRY(create(c, "gamma", alpha_vectors, 2, 1));
    QV_TRY(alias(c, "first", "alpha"));
    QV_TRY(put_range(c, "alpha", 0, n, 0));
    QV_TRY(put_range(c, "beta", 0, n_beta, 500));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    for (unsigned i = 0; i < n; i += 6) {
        QV_TRY(edit(c, "alpha", QV__MUT_DELETE, qv__id_u64(i), NULL));
    }
    QV_TRY(edit(c, "beta", QV__MUT_DELETE, mixed_id(3), NULL));
    QV_TRY(put_range(c, "alpha", n, n + n / 3, 1000));
    return qv__db_checkpoint(c->db, &c->err);
}

qv_status content_tail(struct content *c)
{
    unsigned n = c->n;
    struct content_point changed = point("alpha", 1, 2000);
    QV_TRY(put_range(c, "alpha", 2 * n, 2 * n + 3, 3000));
    QV_TRY(put(c, "alpha", &changed, 1, QV__MUT_UPSERT));
    QV_TRY(edit(c, "alpha", QV__MUT_SET_PAYLOAD, qv__id_u64(2), "{\"set\": [1, 2, 3]}"));
    QV_TRY(edit(c, "alpha", QV__MUT_OVERWRITE_PAYLOAD, qv__id_u64(4), "{\"over\": \"written\"}"));
    QV_TRY(edit(c, "alpha", QV__MUT_CLEAR_PAYLOAD, qv__id_u64(5), NULL));
    changed = (struct content_point){.id = qv__id_u64(8), .seed = 4000, .without = 2};
    QV_TRY(put(c, "alpha", &changed, 1, QV__MUT_UPDATE_VECTORS));
    QV_TRY(edit(c, "alpha", QV__MUT_DELETE_VECTORS, qv__id_u64(9), NULL));
    QV_TRY(edit(c, "alpha", QV__MUT_DELETE, qv__id_u64(10), NULL));
    QV_TRY(put_range(c, "beta", 0, 8, 5000));
    QV_TRY(edit(c, "beta", QV__MUT_DELETE, mixed_id(9), NULL));
    QV_TRY(create(c, "delta", alpha_vectors, 2, 1));
    QV_TRY(put_range(c, "delta", 0, 5, 6000));
    QV_TRY(alias(c, "second", "delta"));
    QV_TRY(alias(c, "first", "beta"));
    struct qv__payload_index_def index = {.key = QV__STR("stock"), .type = QV__STR("integer")};
    uint64_t ignored;
    QV_TRY(qv__db_put_payload_index(c->db, QV__STR("beta"), &index, &ignored, &c->err));
    if (c->after) {
        c->after(c->arg);
    }
    return put_range(c, "alpha", 2 * n + 3, 2 * n + 5, 7000);
}

qv_status content_more(struct content *c)
{
    QV_TRY(put_range(c, "alpha", 1, 3, 8000));
    QV_TRY(edit(c, "alpha", QV__MUT_DELETE, qv__id_u64(11), NULL));
    QV_TRY(put_range(c, "beta", 1, 3, 8100));
    return put_range(c, "gamma", 0, 3, 8200);
}

qv_status content_newer(struct content *c)
{
    QV_TRY(create(c, "codes", codes_vectors, 1, 1));
    QV_TRY(create(c, "types", types_vectors, 2, 1));
    QV_TRY(put_range(c, "codes", 0, 2 * c->n, 0));
    QV_TRY(put_range(c, "types", 0, c->n, 100));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    QV_TRY(edit(c, "codes", QV__MUT_DELETE, qv__id_u64(4), NULL));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    QV_TRY(put_range(c, "codes", 2 * c->n, 2 * c->n + 3, 200)); /* these stay in the log */
    return put_range(c, "types", 1, 6, 300);
}

qv_status content_newer_more(struct content *c)
{
    QV_TRY(put_range(c, "codes", 1, 3, 400));
    return put_range(c, "types", 1, 3, 500);
}

static qv_status alter(struct content *c, const struct qv__alter *a)
{
    QV_TRY(qv__db_alter(c->db, QV__STR("early"), a, NULL, &c->err));
    if (c->after) {
        c->after(c->arg);
    }
    return QV_OK;
}

qv_status content_altered(struct content *c)
{
    struct qv__str gone = QV__STR("gone");
    struct qv__vector_def links = {.name = QV__STR("kept"), .index = {.m = 5, .ef_construct = 20}};
    QV_TRY(create(c, "early", early_vectors[0], 2, 3));
    QV_TRY(put_range(c, "early", 0, c->n, 0));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    QV_TRY(alter(c, &(struct qv__alter){.drop = &gone}));
    c->is_altered = true;
    QV_TRY(alter(c, &(struct qv__alter){.add = &early_vectors[1][1]}));
    QV_TRY(put_range(c, "early", c->n, 3 * c->n, 100));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    QV_TRY(put_range(c, "early", 1, 4, 200)); /* these stay in the log */
    QV_TRY(alter(c, &(struct qv__alter){.set = &links, .n_set = 1}));
    return put_range(c, "early", 3 * c->n, 3 * c->n + 3, 300);
}

qv_status content_altered_more(struct content *c)
{
    c->is_altered = true;
    return put_range(c, "early", 1, 3, 400);
}

qv_status content_packed(struct content *c)
{
    QV_TRY(create(c, "packed", packed_vectors, VECTORS_MAX, 2));
    QV_TRY(put_range(c, "packed", 0, 2 * c->n, 0));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    QV_TRY(edit(c, "packed", QV__MUT_DELETE, qv__id_u64(4), NULL));
    QV_TRY(put_range(c, "packed", 2 * c->n, 3 * c->n, 200));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    return put_range(c, "packed", 3 * c->n, 3 * c->n + 3, 300); /* these stay in the log */
}

qv_status content_packed_more(struct content *c)
{
    return put_range(c, "packed", 1, 3, 400);
}

qv_status content_narrow(struct content *c)
{
    QV_TRY(create(c, "narrow", narrow_vectors, 1, 1));
    QV_TRY(put_range(c, "narrow", 0, c->n, 0));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    QV_TRY(edit(c, "narrow", QV__MUT_DELETE, qv__id_u64(4), NULL));
    QV_TRY(put_range(c, "narrow", c->n, c->n + c->n / 2, 200));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    return put_range(c, "narrow", 2 * c->n, 2 * c->n + 3, 300); /* these stay in the log */
}

qv_status content_narrow_more(struct content *c)
{
    return put_range(c, "narrow", 1, 3, 400);
}

qv_status content_tucked(struct content *c)
{
    QV_TRY(create(c, "whole", tucked_vectors, 1, 1));
    QV_TRY(put_range(c, "whole", 0, c->n, 0));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    QV_TRY(edit(c, "whole", QV__MUT_DELETE, qv__id_u64(4), NULL));
    QV_TRY(put_range(c, "whole", c->n, c->n + c->n / 2, 200));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    return put_range(c, "whole", 2 * c->n, 2 * c->n + 3, 300); /* these stay in the log */
}

qv_status content_tucked_more(struct content *c)
{
    return put_range(c, "whole", 1, 3, 400);
}

qv_status content_varied(struct content *c)
{
    QV_TRY(create(c, "varied", varied_vectors, VECTORS_MAX, 2));
    QV_TRY(put_range(c, "varied", 0, 2 * c->n, 0));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    QV_TRY(edit(c, "varied", QV__MUT_DELETE, qv__id_u64(4), NULL));
    QV_TRY(put_range(c, "varied", 2 * c->n, 3 * c->n, 200));
    QV_TRY(qv__db_checkpoint(c->db, &c->err));
    return put_range(c, "varied", 3 * c->n, 3 * c->n + 3, 300); /* these stay in the log */
}

qv_status content_varied_more(struct content *c)
{
    return put_range(c, "varied", 1, 3, 400);
}

/* --- reading --- */

static void write_vector(struct qv__jw *w, const struct qv__vector_def *d, const void *v)
{
    uint32_t n = d->kind == QV__VEC_DENSE ? 0 : qv__varvec_count(v);
    if (d->kind == QV__VEC_SPARSE) {
        qv__jw_arr(w);
        for (uint32_t i = 0; i < n; i++) {
            qv__jw_u64(w, qv__sparse_indices(v)[i]);
        }
        qv__jw_floats(w, qv__sparse_values(v), n);
        qv__jw_arr_end(w);
    } else if (d->kind == QV__VEC_MULTI) {
        qv__jw_arr(w);
        for (uint32_t i = 0; i < n; i++) {
            qv__jw_floats(w, (const float *)v + 1 + (size_t)i * d->dim, d->dim);
        }
        qv__jw_arr_end(w);
    } else {
        qv__jw_floats(w, v, d->dim);
    }
}

static void write_vectors(struct qv__jw *w, const struct qv__schema *s,
                          const struct qv__result_point *p)
{
    qv__jw_key(w, "vectors");
    qv__jw_obj(w);
    for (uint32_t v = 0; v < s->n_vectors; v++) {
        if (!p->vectors || !p->vectors[v]) {
            continue;
        }
        qv__jw_key_n(w, s->vectors[v].name);
        write_vector(w, &s->vectors[v], p->vectors[v]);
    }
    qv__jw_obj_end(w);
}

static void write_point(struct qv__jw *w, const struct qv__schema *s,
                        const struct qv__result_point *p)
{
    char id[300];
    qv__jw_obj(w);
    qv__jw_key(w, "kind");
    qv__jw_u64(w, p->id.kind);
    qv__jw_key(w, "id");
    qv__jw_str(w, qv__id_text(&p->id, id, sizeof id));
    qv__jw_key(w, "version");
    qv__jw_u64(w, p->version);
    if (p->payload.n) {
        qv__jw_key(w, "payload");
        qv__payload_to_json(w, p->payload);
    }
    write_vectors(w, s, p);
    qv__jw_obj_end(w);
}

static qv_status write_points(struct content *c, struct qv__collection *from,
                              const struct qv__schema *s, struct qv__jw *w)
{
    struct qv__fetch f = {.payload = {.kind = QV__SELECT_ALL}, .vectors = QV__VECTORS_ALL};
    struct qv__id next = {0};
    bool more = true, first = true;
    qv__jw_key(w, "points");
    qv__jw_arr(w);
    char kept[256];
    while (more) {
        struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = c->mem};
        struct qv__result_set rs;
        qv_status st =
            qv__collection_scroll(from, first ? NULL : &next, 64, NULL, &f, &ctx, &rs, &c->err);
        for (size_t i = 0; st == QV_OK && i < rs.n; i++) {
            write_point(w, s, &rs.points[i]);
        }
        more = st == QV_OK && rs.has_next;
        if (more) {
            next = rs.next_offset;
            if (next.kind == QV__ID_STR) {
                memcpy(kept, next.s, next.len);
                next.s = kept;
            }
        }
        qv__result_free(&rs);
        QV_TRY(st);
        first = false;
    }
    qv__jw_arr_end(w);
    return QV_OK;
}

/* Ids and scores of some searches per vector, by the graph and exact. */
static qv_status write_searches(struct content *c, struct qv__collection *from,
                                const struct qv__schema *s, struct qv__jw *w)
{
    qv__jw_key(w, "searches");
    qv__jw_arr(w);
    for (unsigned k = 0; k < 4 * s->n_vectors; k++) {
        const struct qv__vector_def *def = &s->vectors[k / 4];
        struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = c->mem};
        struct qv__result_set rs;
        struct content_vector q;
        varied_of(9000 + k, 0, &q, def);
        struct qv__query query = {.kind = QV__QUERY_NEAREST,
                                  .using_vector = def->name,
                                  .target = {.values = q.values,
                                             .indices = q.indices,
                                             .kind = def->kind,
                                             .n_rows = q.n_rows,
                                             .dim = q.dim},
                                  .limit = 5,
                                  .params = {.exact = k % 2, .ef = 64}};
        QV_TRY(qv__collection_query(from, &query, NULL, &ctx, &rs, &c->err));
        qv__jw_arr(w);
        for (size_t i = 0; i < rs.n; i++) {
            char text[340], id[300];
            snprintf(text, sizeof text, "%s %.5g", qv__id_text(&rs.points[i].id, id, sizeof id),
                     (double)rs.points[i].score);
            qv__jw_str(w, text);
        }
        qv__jw_arr_end(w);
        qv__result_free(&rs);
    }
    qv__jw_arr_end(w);
    return QV_OK;
}

/* What every build knows of a schema; the whole of it changes with the builds. */
static void write_core(struct qv__jw *w, const struct qv__schema *s)
{
    qv__jw_obj(w);
    qv__jw_key(w, "shards");
    qv__jw_u64(w, s->shard_number);
    qv__jw_key(w, "vectors");
    qv__jw_arr(w);
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        const struct qv__vector_def *v = &s->vectors[i];
        char text[300];
        snprintf(text, sizeof text, "%.*s: kind %d, datatype %d, metric %d, dim %" PRIu32,
                 (int)v->name.n, v->name.p, v->kind, v->datatype, v->metric, v->dim);
        qv__jw_str(w, text);
    }
    qv__jw_arr_end(w);
    qv__jw_key(w, "indexes");
    qv__jw_arr(w);
    for (uint32_t i = 0; i < s->n_indexes; i++) {
        qv__jw_str_n(w, s->indexes[i].key);
        qv__jw_str_n(w, s->indexes[i].type);
    }
    qv__jw_arr_end(w);
    qv__jw_key(w, "config");
    qv__jw_str_n(w, s->config_json);
    qv__jw_obj_end(w);
}

static qv_status write_collection(struct content *c, struct qv__collection *from, bool core,
                                  struct qv__jw *w)
{
    struct qv__schema *s = qv__collection_schema(from);
    struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = c->mem};
    uint64_t n = 0;
    qv__jw_obj(w);
    qv__jw_key(w, "name");
    qv__jw_str_n(w, qv__collection_name(from));
    qv__jw_key(w, "schema");
    if (core) {
        write_core(w, s);
    } else {
        qv__schema_to_json(w, s);
    }
    qv_status st = qv__collection_count(from, NULL, &ctx, &n, &c->err);
    qv__jw_key(w, "count");
    qv__jw_u64(w, n);
    if (st == QV_OK) {
        st = write_points(c, from, s, w);
    }
    if (st == QV_OK) {
        st = write_searches(c, from, s, w);
    }
    qv__jw_obj_end(w);
    qv__schema_release(s);
    return st;
}

qv_status content_collection(struct content *c, struct qv__str name, struct qv__buf *out)
{
    struct qv__collection *from = NULL;
    struct qv__jw w;
    QV_TRY(qv__db_collection(c->db, name, &from, &c->err));
    qv__jw_init(&w, out);
    qv_status st = write_collection(c, from, false, &w);
    qv__collection_release(from);
    return st == QV_OK ? qv__buf_status(out, &c->err) : st;
}

static void add_alias(void *arg, struct qv__str name, struct qv__str collection)
{
    struct qv__jw *w = arg;
    qv__jw_key_n(w, name);
    qv__jw_str_n(w, collection);
}

static void add_name(void *arg, struct qv__str name)
{
    struct qv__jw *w = arg;
    qv__jw_str_n(w, name);
}

static qv_status write_names(struct content *c, struct qv__jw *w)
{
    qv__jw_obj(w);
    qv__jw_key(w, "collections");
    qv__jw_arr(w);
    QV_TRY(qv__db_list_collections(c->db, add_name, w, &c->err));
    qv__jw_arr_end(w);
    qv__jw_key(w, "aliases");
    qv__jw_obj(w);
    QV_TRY(qv__db_list_aliases(c->db, QV__STR(""), add_alias, w, &c->err));
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    return QV_OK;
}

qv_status content_names(struct content *c, struct qv__buf *out)
{
    struct qv__jw w;
    qv__jw_init(&w, out);
    QV_TRY(write_names(c, &w));
    return qv__buf_status(out, &c->err);
}

struct every {
    struct content *c;
    struct qv__jw *w;
    qv_status st;
};

static void read_one(void *arg, struct qv__str name)
{
    struct every *e = arg;
    struct qv__collection *from = NULL;
    if (e->st == QV_OK) {
        e->st = qv__db_collection(e->c->db, name, &from, &e->c->err);
    }
    if (e->st == QV_OK) {
        e->st = write_collection(e->c, from, true, e->w);
    }
    qv__collection_release(from);
}

qv_status content_read_out(struct content *c, struct qv__buf *out)
{
    struct qv__jw w;
    struct every e = {c, &w, QV_OK};
    qv__jw_init(&w, out);
    qv__jw_obj(&w);
    qv__jw_key(&w, "names");
    QV_TRY(write_names(c, &w));
    qv__jw_key(&w, "state");
    qv__jw_arr(&w);
    QV_TRY(qv__db_list_collections(c->db, read_one, &e, &c->err));
    QV_TRY(e.st);
    qv__jw_arr_end(&w);
    qv__jw_obj_end(&w);
    return qv__buf_status(out, &c->err);
}

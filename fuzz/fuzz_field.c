/* fuzz_field.c: field indexes: any bytes as a row set and as a block; and a payload that is
 * indexed, whose block is opened, asked, damaged and opened again.
 *
 * Input: a byte that chooses the type, eight that damage, then the text of a payload.
 * Finds: reads outside the bytes given, valid or not; an own block that is refused; a bound that a
 * row breaks. */
#include "bitmap/bitset.h"
#include "payload/field.h"

enum { DAMAGES = 4, HEAD = 1 + 2 * DAMAGES };

static const char *const paths[] = {"a", "a[]", "a.b", "a[].b", "b"};

/* Conditions of every kind that a field index may be asked. */
static size_t conditions(struct qv__cond *c)
{
    static const struct qv__match_value set[] = {{.kind = QV__MATCH_INT, .i = 1},
                                                 {.kind = QV__MATCH_BOOL, .b = true},
                                                 {.kind = QV__MATCH_STR, .s = {"x", 1}}};
    size_t n = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(set); i++) {
        c[n++] = (struct qv__cond){.kind = QV__COND_MATCH_ANY, .match = {&set[i], 1}};
        c[n++] = (struct qv__cond){.kind = QV__COND_MATCH_EXCEPT, .match = {&set[i], 1}};
    }
    c[n++] = (struct qv__cond){.kind = QV__COND_MATCH_ANY, .match = {set, QV_ARRAY_LEN(set)}};
    c[n++] = (struct qv__cond){.kind = QV__COND_RANGE,
                               .range = {.gt = -3, .lte = 7.5, .has_gt = true, .has_lte = true}};
    c[n++] =
        (struct qv__cond){.kind = QV__COND_DATETIME_RANGE, .irange = {.gte = 0, .has_gte = true}};
    c[n++] = (struct qv__cond){.kind = QV__COND_VALUES_COUNT, .irange = {.gt = 0, .has_gt = true}};
    c[n++] = (struct qv__cond){.kind = QV__COND_MATCH_TEXT, .text = QV__STR("x")};
    c[n++] = (struct qv__cond){.kind = QV__COND_MATCH_PREFIX, .text = QV__STR("x")};
    c[n++] = (struct qv__cond){.kind = QV__COND_IS_EMPTY};
    c[n++] = (struct qv__cond){.kind = QV__COND_IS_NULL};
    for (int flag = 0; flag < 2; flag++) {
        c[n++] = (struct qv__cond){.kind = QV__COND_FIELD_EMPTY, .flag = flag};
        c[n++] = (struct qv__cond){.kind = QV__COND_FIELD_NULL, .flag = flag};
    }
    return n;
}

static struct qv__bytes row_at(void *ctx, uint32_t i)
{
    struct qv__bytes row = *(struct qv__bytes *)ctx;
    return i % 2 ? (struct qv__bytes){row.p, 0} : row;
}

static void ask(const struct qv__field_block *b, const struct qv__path *path, struct qv__bytes row,
                bool sound)
{
    struct qv__cond c[32];
    uint64_t lo[QV__BLOCK_WORDS], up[QV__BLOCK_WORDS];
    size_t n = conditions(c);
    for (size_t i = 0; i < n; i++) {
        c[i].path = *path;
        qv__field_bounds(b, &c[i], lo, up, NULL);
        struct qv__filter f = {.must = {&c[i], 1}};
        for (uint32_t k = 0; sound && k < 2; k++) {
            struct qv__filter_row r = {.payload = row_at(&row, k)};
            bool match = qv__filter_match(&f, &r);
            QV_ASSERT(!qv__bit_test(lo, k) || match);
            QV_ASSERT(qv__bit_test(up, k) || !match);
        }
    }
}

static void index_row(struct qv__mem *mem, const uint8_t *head, struct qv__bytes row)
{
    enum qv__field_type type = (enum qv__field_type)(1 + head[0] % QV__FIELD_UUID);
    for (size_t p = 0; p < QV_ARRAY_LEN(paths); p++) {
        struct qv__field_source src = {.row = row_at, .ctx = &row, .n_rows = 2};
        struct qv__path path;
        struct qv__field_block b;
        struct qv__buf bytes;
        qv__buf_init(&bytes, mem);
        QV_ASSERT(qv__path_parse(qv__str_z(paths[p]), &path, NULL) == QV_OK);
        QV_ASSERT(qv__field_build(type, &path, &src, mem, &bytes, NULL) == QV_OK);
        QV_ASSERT(qv__field_block_open(qv__buf_bytes(&bytes), type, 2, true, &b));
        ask(&b, &path, row, true);
        for (size_t i = 0; i < DAMAGES; i++) {
            size_t at = (head[1 + 2 * i] * (size_t)257 + head[2 + 2 * i]) % bytes.n;
            bytes.p[at] ^= (uint8_t)(1u << (head[1 + 2 * i] & 7));
            for (int verify = 0; verify < 2; verify++) {
                if (qv__field_block_open(qv__buf_bytes(&bytes), type, 2, verify, &b)) {
                    ask(&b, &path, row, false);
                }
            }
        }
        qv__buf_free(&bytes);
    }
}

static void open_any(struct qv__bytes bytes)
{
    uint64_t words[QV__BLOCK_WORDS] = {0};
    struct qv__field_block b;
    bool valid = qv__rowset_valid(bytes, 5000);
    qv__rowset_or(bytes, words);
    QV_ASSERT(!valid || qv__bits_count(words, 5000) == qv__rowset_count(bytes));
    qv__rowset_andnot(bytes, words);
    QV_ASSERT(qv__bits_count(words, QV__BLOCK_ROWS) == 0);
    for (int t = QV__FIELD_KEYWORD; bytes.n >= 4 && t <= QV__FIELD_UUID; t++) {
        (void)qv__field_block_open(bytes, (enum qv__field_type)t, qv__load_u32(bytes.p), true, &b);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", (size_t)1 << 30);
    struct qv__arena arena;
    struct qv__buf row;
    qv__json v;
    if (!mem) {
        return 0;
    }
    open_any((struct qv__bytes){data, size});
    qv__arena_init(&arena, mem);
    qv__buf_init(&row, mem);
    if (size > HEAD &&
        qv__json_parse(&arena, (const char *)data + HEAD, size - HEAD, NULL, &v, NULL) == QV_OK &&
        qv__payload_from_json(&row, v, NULL) == QV_OK) {
        index_row(mem, data, qv__buf_bytes(&row));
    }
    qv__buf_free(&row);
    qv__arena_free(&arena);
    QV_ASSERT(qv__mem_used(mem) == 0);
    qv__mem_close(mem);
    return 0;
}

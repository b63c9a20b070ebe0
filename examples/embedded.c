/* embedded.c: the typed C interface: a collection, points with payload, a filtered search.
 * Usage: embedded [directory]; the directory is made when it does not exist. */
#include <quiver/quiver.h>
#include <stdio.h>

#define DIM 4

static int fail(const char *what, const struct qv_err *err)
{
    fprintf(stderr, "%s: %s (%s)\n", what, err->message, qv_status_name(err->code));
    return 1;
}

static qv_status insert(qv_db *db, struct qv_err *err)
{
    static const float values[3][DIM] = {{1, 0, 0, 0}, {0.9f, 0.1f, 0, 0}, {0, 0, 1, 0}};
    static const char *const payloads[3] = {"{\"city\": \"Oslo\", \"floor\": 3}",
                                            "{\"city\": \"Rome\", \"floor\": 1}",
                                            "{\"city\": \"Rome\", \"floor\": 7}"};
    struct qv_vector vectors[3];
    struct qv_point points[3];
    for (size_t i = 0; i < 3; i++) {
        vectors[i] = (struct qv_vector){.values = values[i], .size = DIM};
        points[i] = (struct qv_point){
            .id = qv_id_u64(i + 1), .vectors = &vectors[i], .n_vectors = 1, .payload = payloads[i]};
    }
    return qv_upsert(db, "rooms", points, 3, err);
}

static qv_status search(qv_db *db, struct qv_err *err)
{
    const float wanted[DIM] = {1, 0, 0, 0};
    const struct qv_search query = {
        .vector = wanted,
        .size = DIM,
        .limit = 10,
        .filter_json = "{\"must\": [{\"key\": \"city\", \"match\": {\"value\": \"Rome\"}}]}",
        .with_payload = true,
    };
    qv_result *result = NULL;
    qv_status st = qv_search(db, "rooms", &query, &result, err);
    if (st != QV_OK) {
        return st;
    }
    for (size_t i = 0; i < qv_result_count(result); i++) {
        const struct qv_hit *hit = qv_result_hit(result, i);
        printf("%llu  %.3f  %s\n", (unsigned long long)hit->id.as.u64, (double)hit->score,
               hit->payload);
    }
    qv_result_free(result);
    return QV_OK;
}

int main(int argc, char **argv)
{
    struct qv_err err;
    qv_db *db = NULL;
    const struct qv_vector_config vector = {.size = DIM, .metric = QV_COSINE};
    const struct qv_collection_config config = {.vectors = &vector, .n_vectors = 1};
    if (qv_open(argc > 1 ? argv[1] : "embedded-data", NULL, &db, &err) != QV_OK) {
        return fail("open", &err);
    }
    qv_status st = qv_create_collection(db, "rooms", &config, &err);
    if (st == QV_OK || st == QV_EEXISTS) {
        st = insert(db, &err);
    }
    if (st == QV_OK) {
        st = search(db, &err);
    }
    int rc = st == QV_OK ? 0 : fail("rooms", &err);
    if (qv_close(db, &err) != QV_OK) {
        rc = fail("close", &err);
    }
    return rc;
}

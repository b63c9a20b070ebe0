/* request.c: the REST interface without a socket: the same requests, the same bytes.
 * Usage: request [directory]; the directory is made when it does not exist. */
#include <quiver/quiver.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *method, *path, *body;
} steps[] = {
    {"DELETE", "/collections/books", ""},
    {"PUT", "/collections/books", "{\"vectors\": {\"size\": 3, \"distance\": \"Dot\"}}"},
    {"PUT", "/collections/books/points?wait=true",
     "{\"points\": [{\"id\": 1, \"vector\": [1, 0, 0], \"payload\": {\"year\": 1605}},"
     "             {\"id\": 2, \"vector\": [0, 1, 0], \"payload\": {\"year\": 1851}},"
     "             {\"id\": 3, \"vector\": [1, 1, 0], \"payload\": {\"year\": 1922}}]}"},
    {"POST", "/collections/books/points/query",
     "{\"query\": [1, 0.5, 0], \"limit\": 2, \"with_payload\": true,"
     " \"filter\": {\"must\": [{\"key\": \"year\", \"range\": {\"gte\": 1700}}]}}"},
    {"POST", "/collections/books/points/count", "{}"},
};

/* One request; its answer is printed. 0 when it was a good one. */
static int ask(qv_db *db, size_t i)
{
    struct qv_err err;
    struct qv_response response;
    if (qv_request(db, steps[i].method, steps[i].path, steps[i].body, strlen(steps[i].body),
                   &response, &err) != QV_OK) {
        fprintf(stderr, "%s %s: %s\n", steps[i].method, steps[i].path, err.message);
        return 1;
    }
    printf("%s %s -> %d\n%s\n\n", steps[i].method, steps[i].path, response.status, response.body);
    int rc = response.status == 200 ? 0 : 1;
    qv_response_free(&response);
    return rc;
}

int main(int argc, char **argv)
{
    struct qv_err err;
    qv_db *db = NULL;
    int rc = 0;
    if (qv_open(argc > 1 ? argv[1] : "request-data", NULL, &db, &err) != QV_OK) {
        fprintf(stderr, "open: %s\n", err.message);
        return 1;
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && rc == 0; i++) {
        rc = ask(db, i);
    }
    if (qv_close(db, &err) != QV_OK) {
        fprintf(stderr, "close: %s\n", err.message);
        rc = 1;
    }
    return rc;
}

/* test_rest.h: a database in a fresh directory, asked through qv_request; for test_rest_*.c.
 *
 * Answers are compared as text: what stands between {"result": and ,"status":"ok" on success, the
 * text of the error else; only the time is left out. */
#ifndef TEST_REST_H
#define TEST_REST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <quiver/quiver.h>

#include "qvt.h"

struct rest {
    char dir[64];
    qv_db *db;
    struct qv_response r; /* the last answer */
};

static inline void rest_open(struct rest *t)
{
    struct qv_err err;
    struct qv_options o = qvt_options();
    o.threads = 2;
    if (qv_open(t->dir, &o, &t->db, &err) != QV_OK) {
        fail_msg("open: %s", err.message);
    }
}

static inline int rest_setup(void **state)
{
    struct rest *t = calloc(1, sizeof *t);
    strcpy(t->dir, "/tmp/quiver-rest-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    rest_open(t);
    *state = t;
    return 0;
}

static inline void rest_reopen(struct rest *t)
{
    struct qv_err err;
    qv_response_free(&t->r); /* its memory is the database's */
    if (qv_close(t->db, &err) != QV_OK) {
        fail_msg("close: %s", err.message);
    }
    rest_open(t);
}

static inline int rest_teardown(void **state)
{
    struct rest *t = *state;
    struct qv_err err;
    char command[128];
    qv_response_free(&t->r);
    assert_int_equal(qv_close(t->db, &err), QV_OK);
    snprintf(command, sizeof command, "rm -rf '%s'", t->dir);
    assert_int_equal(system(command), 0);
    free(t);
    return 0;
}

static inline int ask_n(struct rest *t, const char *method, const char *path, const void *body,
                        size_t n)
{
    struct qv_err err;
    qv_response_free(&t->r);
    if (qv_request(t->db, method, path, body, n, &t->r, &err) != QV_OK) {
        fail_msg("%s %s: %s", method, path, err.message);
    }
    assert_int_equal(strlen(t->r.body), t->r.length);
    return t->r.status;
}

static inline int ask(struct rest *t, const char *method, const char *path, const char *body)
{
    return ask_n(t, method, path, body, body ? strlen(body) : 0);
}

/* The answer is 200 and its result is exactly this JSON text. */
static inline void good_at(struct rest *t, const char *method, const char *path, const char *body,
                           const char *result, int line)
{
    static const char head[] = "{\"result\":", tail[] = ",\"status\":\"ok\",\"time\":";
    int status = ask(t, method, path, body);
    size_t n = strlen(result);
    if (status != 200 || strncmp(t->r.body, head, strlen(head)) != 0 ||
        strncmp(t->r.body + strlen(head), result, n) != 0 ||
        strncmp(t->r.body + strlen(head) + n, tail, strlen(tail)) != 0) {
        fail_msg("line %d: %s %s: %d\n%s\nwanted\n%s", line, method, path, status, t->r.body,
                 result);
    }
    assert_string_equal(t->r.content_type, "application/json");
}
#define good(t, method, path, body, result) good_at(t, method, path, body, result, __LINE__)

/* The answer has this status and exactly this error. */
static inline void bad_at(struct rest *t, const char *method, const char *path, const char *body,
                          int want, const char *error, int line)
{
    static const char head[] = "{\"status\":{\"error\":\"", tail[] = "\"},\"time\":";
    int status = ask(t, method, path, body);
    size_t n = strlen(error);
    if (status != want || strncmp(t->r.body, head, strlen(head)) != 0 ||
        strncmp(t->r.body + strlen(head), error, n) != 0 ||
        strncmp(t->r.body + strlen(head) + n, tail, strlen(tail)) != 0) {
        fail_msg("line %d: %s %s %.200s: %d\n%s\nwanted %d\n%s", line, method, path,
                 body ? body : "", status, t->r.body, want, error);
    }
}
#define bad(t, method, path, body, want, error) bad_at(t, method, path, body, want, error, __LINE__)

/* The answer has this status and the text occurs in it. */
static inline void has_at(struct rest *t, const char *method, const char *path, const char *body,
                          int want, const char *text, int line)
{
    int status = ask(t, method, path, body);
    if (status != want || !strstr(t->r.body, text)) {
        fail_msg("line %d: %s %s: %d\n%s\nwanted %d with\n%s", line, method, path, status,
                 t->r.body, want, text);
    }
}
#define has(t, method, path, body, want, text) has_at(t, method, path, body, want, text, __LINE__)

#endif

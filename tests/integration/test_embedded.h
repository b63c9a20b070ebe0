/* test_embedded.h: short forms of calls of the typed interface, for test_embedded*.c. */
#ifndef TEST_EMBEDDED_H
#define TEST_EMBEDDED_H

#include "test_rest.h"

#define OK(expr)                                                                                   \
    do {                                                                                           \
        struct qv_err ok_err_ = {.code = QV_OK};                                                   \
        struct qv_err *e_ = &ok_err_;                                                              \
        qv_status ok_st_ = (expr);                                                                 \
        if (ok_st_ != QV_OK) {                                                                     \
            fail_msg("%s: %s: %s", #expr, qv_status_name(ok_st_), e_->message);                    \
        }                                                                                          \
    } while (0)

/* The call fails with this code, and its message contains this text; NULL for err is fine too. */
#define REFUSED(want, text, expr)                                                                  \
    do {                                                                                           \
        struct qv_err no_err_ = {.code = QV_OK};                                                   \
        struct qv_err *e_ = &no_err_;                                                              \
        qv_status no_st_ = (expr);                                                                 \
        if (no_st_ != (want) || no_err_.code != (want) || !strstr(no_err_.message, text)) {        \
            fail_msg("%s: %s, %s: %s", #expr, qv_status_name(no_st_),                              \
                     qv_status_name(no_err_.code), no_err_.message);                               \
        }                                                                                          \
        e_ = NULL;                                                                                 \
        assert_int_equal((expr), want);                                                            \
    } while (0)

static const struct qv_vector_config two = {.size = 2, .metric = QV_DOT};
static const struct qv_collection_config plain = {.vectors = &two, .n_vectors = 1};

#endif

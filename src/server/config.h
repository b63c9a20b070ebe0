/* config.h: the settings of a server, from one table.
 *
 * What it is: a plain struct of values, and the one table (config.c) that knows for each of them
 * its name, kind, default, limits and help text. Command line flags (`--body-max 64MiB`),
 * environment variables (`QUIVER_BODY_MAX`) and lines of a file (`body_max = 64MiB`) all pass
 * through it, so that the three can never disagree. A flag beats the environment, which beats the
 * file, which beats the default, in whatever order they are read. What it is not: command line
 * parsing, or anything that changes while the server runs.
 *
 * The file: one `name = value` per line, at most 64 KiB. Blank lines and lines whose first
 * character is '#' are skipped; a '#' later in a line belongs to the value. Spaces around name and
 * value are dropped; nothing is quoted. Unknown names and names set twice are errors. Values:
 * switches take true/false, yes/no, on/off, 1/0; sizes take bytes or a number with K, M, G, T (also
 * KB, KiB; all powers of 1,024); durations are whole numbers in the unit that ends the name.
 *
 * Threads: a config is a value of its owner; one at a time. */
#ifndef QV_SERVER_CONFIG_H
#define QV_SERVER_CONFIG_H

#include "base/alloc.h"
#include "base/logger.h"

/* Where a value came from, weakest first. */
enum qv__config_source { QV__FROM_DEFAULT = 0, QV__FROM_FILE, QV__FROM_ENV, QV__FROM_FLAG };

enum qv__log_format { QV__LOG_TEXT = 0, QV__LOG_JSON };

#define QV__CONFIG_FIELDS_MAX 32
#define QV__CONFIG_KEY_MAX    255 /* bytes of an API key */

/* Strings are inside, NUL-terminated, so that a config can be copied and outlives what set it. */
struct qv__server_config {
    char data[4096];       /* data directory */
    char listen_host[256]; /* address or name, without brackets */
    uint16_t listen_port;  /* 0 = any free one */
    bool allow_open;       /* serve a non-loopback address without a key */
    char api_key[256];     /* "" = none; zero-padded to the end */
    char read_only_api_key[256];
    bool read_only;
    uint64_t memory_bytes;       /* 0 = no budget */
    uint64_t disk_reserve_bytes; /* 0 = none */
    uint32_t idle_merge_s;       /* 0 = never */
    uint32_t threads;            /* of the database; 0 = one per CPU */
    uint32_t http_threads;       /* 0 = min(16, CPUs) */
    uint64_t body_bytes_max;
    uint64_t upload_bytes_max; /* of a body that goes to a file */
    uint32_t max_connections;
    uint32_t max_connections_per_address; /* 0 = no limit of its own */
    uint32_t max_requests;                /* in flight */
    uint32_t header_timeout_s;
    uint32_t idle_timeout_s;
    uint32_t request_timeout_ms; /* 0 = none */
    uint32_t stop_grace_ms;
    char cors[1024]; /* "" = off, "*" = any origin, else origins separated by commas */
    enum qv__level log_level;
    enum qv__log_format log_format;
    bool access_log; /* every request at info; otherwise only failed ones, the rest at debug */
    uint8_t source[QV__CONFIG_FIELDS_MAX]; /* enum qv__config_source, in the table's order */
};

/* All defaults. */
void qv__server_config_init(struct qv__server_config *c);

/* Set one value by name; '-' and '_' are the same in names. A value from a weaker source than the
 * one already there is checked and then ignored. Errors: QV_EINVAL naming the source ("--body-max",
 * "QUIVER_BODY_MAX", "body_max"), the value and the limit; keys are never repeated. *c unchanged.
 */
qv_status qv__server_config_set(struct qv__server_config *c, const char *name, const char *value,
                                enum qv__config_source source, struct qv_err *err) QV_MUST_USE;

/* Settings from the text of a file; `name` is for messages. Errors: QV_EINVAL "name line 3: …";
 * lines before the bad one have been applied. */
qv_status qv__server_config_load_text(struct qv__server_config *c, const char *name,
                                      const char *text, size_t n, struct qv_err *err) QV_MUST_USE;

/* The same from a file, read through os/; symbolic links are followed. Errors: also QV_ENOTFOUND,
 * QV_EIO, QV_ETOOBIG, QV_ENOMEM. */
qv_status qv__server_config_load_file(struct qv__server_config *c, struct qv__mem *mem,
                                      const char *path, struct qv_err *err) QV_MUST_USE;

/* Settings from environment strings ("QUIVER_LISTEN=…"; NULL ends the list). Variables that the
 * table does not have are ignored, since container platforms add some of their own (QUIVER_PORT,
 * for a service of that name). */
qv_status qv__server_config_load_env(struct qv__server_config *c, const char *const *environment,
                                     struct qv_err *err) QV_MUST_USE;

/* Rules between settings; qv__server_create asks too. Errors: QV_EINVAL. */
qv_status qv__server_config_check(const struct qv__server_config *c,
                                  struct qv_err *err) QV_MUST_USE;

/* One row of the table, for --help and for printing what is in force. Borrowed for the call. */
struct qv__config_field {
    const char *name;          /* "body_max" */
    const char *flag;          /* "--body-max" */
    const char *env;           /* "QUIVER_BODY_MAX" */
    const char *argument;      /* "SIZE"; NULL: a switch, whose flag may stand alone for "true" */
    const char *default_value; /* "" = none */
    const char *help;
    const char *value; /* in force; keys are shown as "(set)" */
    enum qv__config_source source;
};
void qv__server_config_each(const struct qv__server_config *c,
                            void (*cb)(void *arg, const struct qv__config_field *field), void *arg);

/* "flag", "environment", "file", "default". */
const char *qv__config_source_name(enum qv__config_source source);

#endif

/* test_config.c: settings from flags, environment and files, through the one table. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config.h"

static struct qv_err err;

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        qv_status st_ = (expr);                                                                    \
        if (st_ != QV_OK) {                                                                        \
            fail_msg("%s: %s: %s", #expr, qv_status_name(st_), err.message);                       \
        }                                                                                          \
    } while (0)

/* Fails with `want`, and the message holds `text`. */
#define assert_fails(expr, want, text)                                                             \
    do {                                                                                           \
        err.message[0] = 0;                                                                        \
        qv_status st_ = (expr), want_ = (want);                                                    \
        if (st_ != want_) {                                                                        \
            fail_msg("%s: got %s, want %s", #expr, qv_status_name(st_), qv_status_name(want_));    \
        }                                                                                          \
        if (!strstr(err.message, text)) {                                                          \
            fail_msg("%s: \"%s\" does not say \"%s\"", #expr, err.message, text);                  \
        }                                                                                          \
    } while (0)

static struct qv__server_config fresh(void)
{
    struct qv__server_config c;
    memset(&c, 0xa5, sizeof c);
    qv__server_config_init(&c);
    return c;
}

static qv_status set(struct qv__server_config *c, const char *name, const char *value)
{
    return qv__server_config_set(c, name, value, QV__FROM_FLAG, &err);
}

static qv_status load(struct qv__server_config *c, const char *text)
{
    return qv__server_config_load_text(c, "quiver.conf", text, strlen(text), &err);
}

static void test_defaults(void **state)
{
    (void)state;
    struct qv__server_config c = fresh();
    assert_string_equal(c.data, "quiver-data");
    assert_string_equal(c.listen_host, "127.0.0.1");
    assert_int_equal(c.listen_port, 6333);
    assert_false(c.allow_open);
    assert_false(c.read_only);
    assert_false(c.access_log);
    assert_string_equal(c.api_key, "");
    assert_string_equal(c.read_only_api_key, "");
    assert_int_equal(c.memory_bytes, 0);
    assert_int_equal(c.threads, 0);
    assert_int_equal(c.http_threads, 0);
    assert_int_equal(c.body_bytes_max, 32 << 20);
    assert_int_equal(c.max_connections, 4096);
    assert_int_equal(c.max_connections_per_address, 0);
    assert_int_equal(c.max_requests, 4096);
    assert_int_equal(c.header_timeout_s, 10);
    assert_int_equal(c.idle_merge_s, 10);
    assert_int_equal(c.idle_timeout_s, 60);
    assert_int_equal(c.request_timeout_ms, 60000);
    assert_int_equal(c.stop_grace_ms, 10000);
    assert_string_equal(c.cors, "");
    assert_int_equal(c.log_level, QV__LEVEL_INFO);
    assert_int_equal(c.log_format, QV__LOG_TEXT);
    assert_ok(qv__server_config_check(&c, &err));
}

struct seen {
    unsigned n;
    unsigned switches;
};

static void look(void *arg, const struct qv__config_field *f)
{
    struct seen *seen = arg;
    char flag[64] = "--", env[64] = "QUIVER_";
    for (size_t i = 0; f->name[i]; i++) {
        flag[i + 2] = f->name[i] == '_' ? '-' : f->name[i];
        env[i + 7] = f->name[i] == '_' ? '_' : (char)(f->name[i] - 'a' + 'A');
    }
    assert_string_equal(f->flag, flag);
    assert_string_equal(f->env, env);
    assert_true(f->help[0] != 0);
    assert_string_equal(f->value, f->default_value); /* shown as it is written */
    assert_int_equal(f->source, QV__FROM_DEFAULT);
    seen->n++;
    seen->switches += f->argument == NULL;
}

static void look_changed(void *arg, const struct qv__config_field *f)
{
    unsigned *n = arg;
    if (strcmp(f->name, "api_key") == 0) {
        assert_string_equal(f->value, "(set)");
        assert_int_equal(f->source, QV__FROM_ENV);
        ++*n;
    } else if (strcmp(f->name, "listen") == 0) {
        assert_string_equal(f->value, "[::1]:80");
        assert_int_equal(f->source, QV__FROM_FLAG);
        ++*n;
    } else if (strcmp(f->name, "memory") == 0) {
        assert_string_equal(f->value, "1536MiB");
        assert_int_equal(f->source, QV__FROM_FILE);
        ++*n;
    } else if (strcmp(f->name, "log_format") == 0) {
        assert_string_equal(f->value, "json");
        ++*n;
    } else if (strcmp(f->name, "read_only") == 0) {
        assert_string_equal(f->value, "true");
        ++*n;
    }
}

static void test_each(void **state)
{
    (void)state;
    struct qv__server_config c = fresh();
    struct seen seen = {0};
    qv__server_config_each(&c, look, &seen);
    assert_int_equal(seen.n, 24);
    assert_int_equal(seen.switches, 3);

    unsigned n = 0;
    assert_ok(qv__server_config_set(&c, "api_key", "sesame", QV__FROM_ENV, &err));
    assert_ok(qv__server_config_set(&c, "memory", "1536M", QV__FROM_FILE, &err));
    assert_ok(set(&c, "listen", "[::1]:80"));
    assert_ok(set(&c, "log-format", "json"));
    assert_ok(set(&c, "read_only", "on"));
    qv__server_config_each(&c, look_changed, &n);
    assert_int_equal(n, 5);
    assert_string_equal(qv__config_source_name(QV__FROM_ENV), "environment");
}

/* Every order in which the three sources can speak: the strongest that spoke wins. */
static void test_precedence(void **state)
{
    (void)state;
    static const int orders[6][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
                                     {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
    for (unsigned o = 0; o < 6; o++) {
        for (unsigned speak = 0; speak < 8; speak++) {
            struct qv__server_config c = fresh();
            unsigned want = 0;
            for (unsigned k = 0; k < 3; k++) {
                int source = orders[o][k];
                char value[16];
                if (!(speak & (1u << (source - 1)))) {
                    continue;
                }
                snprintf(value, sizeof value, "%d", source * 10);
                assert_ok(qv__server_config_set(&c, "threads", value,
                                                (enum qv__config_source)source, &err));
            }
            for (unsigned source = 1; source <= 3; source++) {
                want = speak & (1u << (source - 1)) ? source * 10 : want;
            }
            assert_int_equal(c.threads, want);
        }
    }
    /* A value nobody will use must still be right. */
    struct qv__server_config c = fresh();
    assert_ok(set(&c, "threads", "3"));
    assert_fails(qv__server_config_set(&c, "threads", "x", QV__FROM_ENV, &err), QV_EINVAL,
                 "QUIVER_THREADS: `x` is not a whole number");
    assert_int_equal(c.threads, 3);
    /* The same source may speak again. */
    assert_ok(set(&c, "threads", "4"));
    assert_int_equal(c.threads, 4);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"1024", 1024},         {"2048B", 2048},        {"2k", 2048},
        {"2K", 2048},           {"2KB", 2048},          {"2KiB", 2048},
        {"512M", 512ull << 20}, {"512m", 512ull << 20}, {"512MB", 512ull << 20},
        {"1GiB", 1ull << 30},   {"1g", 1ull << 30},     {"1073741824", 1ull << 30},
    };
    static const char *const bad[] = {"",     " ",   "1 K", "K",     "-1",    "+1",  "1.5M",
                                      "0x10", "1Ki", "1KK", "1KiBs", "1 KiB", "1e3", "ten"};
    for (size_t i = 0; i < QV_ARRAY_LEN(good); i++) {
        struct qv__server_config c = fresh();
        assert_ok(set(&c, "body-max", good[i].text));
        assert_int_equal(c.body_bytes_max, good[i].bytes);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__server_config c = fresh(), before = c;
        assert_fails(set(&c, "body-max", bad[i]), QV_EINVAL, "is not a size");
        assert_memory_equal(&c, &before, sizeof c);
    }
    struct qv__server_config c = fresh();
    assert_fails(set(&c, "body-max", "2GiB"), QV_EINVAL,
                 "--body-max: `2GiB` is over the limit of 1GiB");
    assert_fails(set(&c, "body-max", "1023"), QV_EINVAL, "under the least value of 1KiB");
    assert_fails(set(&c, "body-max", "0"), QV_EINVAL, "under the least value of 1KiB");
    assert_fails(set(&c, "memory", "18446744073709551616"), QV_EINVAL, "over the limit of 1024TiB");
    assert_fails(set(&c, "memory", "99999999999T"), QV_EINVAL, "over the limit of 1024TiB");
    assert_fails(set(&c, "memory", "1M"), QV_EINVAL,
                 "under the least value of 64MiB (0 stands for none)");
    assert_ok(set(&c, "memory", "4GiB"));
    assert_int_equal(c.memory_bytes, 4ull << 30);
    assert_ok(set(&c, "memory", "0"));
    assert_int_equal(c.memory_bytes, 0);
    assert_ok(set(&c, "memory", "1024TiB"));
}

static void test_numbers(void **state)
{
    (void)state;
    struct qv__server_config c = fresh();
    assert_ok(set(&c, "max-connections", "1"));
    assert_ok(set(&c, "max-connections", "1000000"));
    assert_int_equal(c.max_connections, 1000000);
    assert_fails(set(&c, "max-connections", "0"), QV_EINVAL, "under the least value of 1");
    assert_fails(set(&c, "max-connections", "1000001"), QV_EINVAL, "over the limit of 1000000");
    assert_fails(set(&c, "max-connections", "4294967297"), QV_EINVAL, "over the limit");
    assert_fails(set(&c, "max-connections", "1K"), QV_EINVAL, "is not a whole number");
    assert_fails(set(&c, "max-connections", "-1"), QV_EINVAL, "is not a whole number");
    assert_fails(set(&c, "max-connections", ""), QV_EINVAL, "is not a whole number");
    assert_fails(set(&c, "max-connections", " 5"), QV_EINVAL, "is not a whole number");
    assert_int_equal(c.max_connections, 1000000);
    assert_ok(set(&c, "request-timeout-ms", "0"));
    assert_int_equal(c.request_timeout_ms, 0);
    assert_ok(set(&c, "http_threads", "64"));
    assert_fails(set(&c, "http_threads", "65"), QV_EINVAL, "over the limit of 64");
    assert_fails(set(&c, "no-such-thing", "1"), QV_EINVAL, "there is no setting `no-such-thing`");
    assert_fails(set(&c, "", "1"), QV_EINVAL, "there is no setting ``");
    assert_fails(set(&c, "threadsx", "1"), QV_EINVAL, "there is no setting");
    assert_fails(set(&c, "thread", "1"), QV_EINVAL, "there is no setting");
    assert_fails(set(&c, "THREADS", "1"), QV_EINVAL, "there is no setting");
}

static void test_switches_and_words(void **state)
{
    (void)state;
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    struct qv__server_config c = fresh();
    for (size_t i = 0; i < 4; i++) {
        assert_ok(set(&c, "allow-open", yes[i]));
        assert_true(c.allow_open);
        assert_ok(set(&c, "allow-open", no[i]));
        assert_false(c.allow_open);
    }
    assert_fails(set(&c, "allow-open", ""), QV_EINVAL, "neither true nor false");
    assert_fails(set(&c, "allow-open", "TRUE"), QV_EINVAL, "`TRUE` is neither");
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    for (unsigned i = 0; i < 4; i++) {
        assert_ok(set(&c, "log-level", levels[i]));
        assert_int_equal(c.log_level, i);
        assert_string_equal(qv__level_name(c.log_level), levels[i]);
    }
    assert_fails(set(&c, "log-level", "loud"), QV_EINVAL,
                 "--log-level: `loud` is none of debug, info, warn, error");
    assert_fails(set(&c, "log-format", "xml"), QV_EINVAL, "`xml` is none of text, json");
    assert_int_equal(c.log_level, QV__LEVEL_ERROR);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        unsigned port;
    } good[] = {
        {"127.0.0.1:6333", "127.0.0.1", 6333}, {"0.0.0.0:0", "0.0.0.0", 0},
        {"[::1]:65535", "::1", 65535},         {"localhost:80", "localhost", 80},
        {"[fe80::1:2]:1", "fe80::1:2", 1},
    };
    static const char *const bad[] = {
        "",           "6333",   ":6333", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",  "::1:1",
        "[::1]",      "[::1]:", "[]:1",  "[::1:1",    "host:1 ",    " h:1",         "h:1:2",
        "http://h:1", "h:-1",   "h:+1",  "h:1x",      "a b:1",      "fe80::1%lo:1", "h:0x10"};
    for (size_t i = 0; i < QV_ARRAY_LEN(good); i++) {
        struct qv__server_config c = fresh();
        assert_ok(set(&c, "listen", good[i].text));
        assert_string_equal(c.listen_host, good[i].host);
        assert_int_equal(c.listen_port, good[i].port);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__server_config c = fresh(), before = c;
        assert_fails(set(&c, "listen", bad[i]), QV_EINVAL, "is not HOST:PORT");
        assert_memory_equal(&c, &before, sizeof c);
    }
    struct qv__server_config c = fresh();
    assert_fails(set(&c, "listen", "h:65536"), QV_EINVAL, "port 65536 is over the limit of 65535");
    assert_fails(set(&c, "listen", "h:99999999999999999999999"), QV_EINVAL, "--listen: ");
    char longest[300];
    memset(longest, 'h', sizeof longest);
    memcpy(longest + 255, ":1", 3);
    assert_ok(set(&c, "listen", longest));
    memcpy(longest + 256, ":1", 3);
    longest[255] = 'h';
    assert_fails(set(&c, "listen", longest), QV_EINVAL, "over the limit of 255");
}

static void test_keys(void **state)
{
    (void)state;
    struct qv__server_config c = fresh();
    char key[300];
    assert_fails(set(&c, "api-key", ""), QV_EINVAL, "the key is empty");
    assert_fails(set(&c, "api-key", "se same"), QV_EINVAL, "byte 3 of the key");
    assert_fails(set(&c, "api-key", "ses\xc3\xa4me"), QV_EINVAL, "byte 4 of the key");
    memset(key, 'k', sizeof key);
    key[256] = 0;
    assert_fails(set(&c, "api-key", key), QV_EINVAL, "256 bytes are over the limit of 255");
    assert_null(strstr(err.message, "kkk")); /* never repeated */
    key[255] = 0;
    assert_ok(set(&c, "api-key", key));
    assert_string_equal(c.api_key, key);
    /* A shorter one leaves nothing of the longer: comparisons look at every byte. */
    assert_ok(set(&c, "api-key", "short"));
    for (size_t i = 5; i < sizeof c.api_key; i++) {
        assert_int_equal(c.api_key[i], 0);
    }
    assert_ok(set(&c, "read-only-api-key", "short"));
    assert_fails(qv__server_config_check(&c, &err), QV_EINVAL, "are the same");
    assert_ok(set(&c, "read-only-api-key", "shorter"));
    assert_ok(qv__server_config_check(&c, &err));
}

static void test_texts(void **state)
{
    (void)state;
    struct qv__server_config c = fresh();
    char path[5000];
    assert_fails(set(&c, "data", ""), QV_EINVAL, "--data: the value is empty");
    memset(path, 'p', sizeof path);
    path[4096] = 0;
    assert_fails(set(&c, "data", path), QV_EINVAL, "4096 bytes are over the limit of 4095");
    path[4095] = 0;
    assert_ok(set(&c, "data", path));
    assert_fails(set(&c, "data", "a\nb"), QV_EINVAL, "byte 2 of the value is a control character");
    assert_ok(set(&c, "data", "/srv/qu iver/\xc3\xa4"));
    assert_string_equal(c.data, "/srv/qu iver/\xc3\xa4");
    assert_ok(set(&c, "cors", "https://a.example, https://b.example"));
    assert_ok(set(&c, "cors", ""));
}

static void test_rules_between(void **state)
{
    (void)state;
    struct qv__server_config c = fresh();
    assert_ok(set(&c, "memory", "64M"));
    assert_ok(set(&c, "body-max", "32M"));
    assert_ok(qv__server_config_check(&c, &err));
    assert_ok(set(&c, "body-max", "33M"));
    assert_fails(qv__server_config_check(&c, &err), QV_EINVAL,
                 "33MiB is over half of the memory budget of 64MiB");
}

static void test_file_text(void **state)
{
    (void)state;
    struct qv__server_config c = fresh();
    assert_ok(load(&c, "# a comment = 1\n\n  \t\n"
                       "data = /srv/quiver data # not a comment\n"
                       "  body-max=64MiB\r\n"
                       "\tapi_key\t=\tabc=def#1\t\n"
                       "   # another\n"
                       "listen = [::1]:7000"));
    assert_string_equal(c.data, "/srv/quiver data # not a comment");
    assert_int_equal(c.body_bytes_max, 64 << 20);
    assert_string_equal(c.api_key, "abc=def#1");
    assert_string_equal(c.listen_host, "::1");
    assert_int_equal(c.listen_port, 7000);

    assert_ok(load(&c, ""));
    c = fresh();
    assert_fails(load(&c, "data = x\n\nbody_max = 99GiB\n"), QV_EINVAL,
                 "quiver.conf line 3: body_max: `99GiB` is over the limit of 1GiB");
    assert_fails(load(&c, "listen\n"), QV_EINVAL, "line 1: `listen` is not `name = value`");
    assert_fails(load(&c, "= 5\n"), QV_EINVAL, "line 1: there is no setting ``");
    assert_fails(load(&c, "\nthreds = 5\n"), QV_EINVAL, "line 2: there is no setting `threds`");
    assert_fails(load(&c, "threads = 5\nx = 1"), QV_EINVAL, "line 2: there is no setting `x`");
    assert_fails(load(&c, "http_threads = 5\n\nhttp-threads = 5\n"), QV_EINVAL,
                 "line 3: http-threads: set before, on line 1");
    assert_fails(load(&c, "api_key =\n"), QV_EINVAL, "line 1: api_key: the key is empty");
    static const char nul[] = "threads = 4\0 5\n";
    assert_fails(qv__server_config_load_text(&c, "f", nul, sizeof nul - 1, &err), QV_EINVAL,
                 "f line 1: the line holds a NUL byte");
    char text[10000] = "data = ";
    memset(text + 7, 'x', 8192);
    assert_fails(qv__server_config_load_text(&c, "f", text, 7 + 8192, &err), QV_EINVAL,
                 "data: 8192 bytes are over the limit of 8191");
    memset(text, 'n', 70);
    memcpy(text + 70, "= 1", 3);
    assert_fails(qv__server_config_load_text(&c, "f", text, 73, &err), QV_EINVAL,
                 "there is no setting `nnn");
}

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *ftw)
{
    (void)sb, (void)kind, (void)ftw;
    return remove(path);
}

static void write_file(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/qv-config-XXXXXX", path[128], link[128], big[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/quiver.conf", dir);
    snprintf(link, sizeof link, "%s/link.conf", dir);
    snprintf(big, sizeof big, "%s/big.conf", dir);
    static const char text[] = "threads = 7\ncors = *\n";
    write_file(path, text, sizeof text - 1);
    assert_int_equal(symlink(path, link), 0); /* as mounted configuration is */
    struct qv__mem *mem = qv__mem_root("test", 0);
    assert_non_null(mem);
    size_t used = qv__mem_used(mem);

    struct qv__server_config c = fresh();
    assert_ok(qv__server_config_load_file(&c, mem, path, &err));
    assert_int_equal(c.threads, 7);
    c = fresh();
    assert_ok(qv__server_config_load_file(&c, mem, link, &err));
    assert_int_equal(c.threads, 7);
    assert_string_equal(c.cors, "*");

    char none[128];
    snprintf(none, sizeof none, "%s/none.conf", dir);
    assert_fails(qv__server_config_load_file(&c, mem, none, &err), QV_ENOTFOUND, none);
    assert_fails(qv__server_config_load_file(&c, mem, "", &err), QV_ENOTFOUND, "");
    assert_int_not_equal(qv__server_config_load_file(&c, mem, dir, &err), QV_OK);
    char *blank = calloc(1, 70000);
    memset(blank, '\n', 70000);
    write_file(big, blank, 65536);
    assert_ok(qv__server_config_load_file(&c, mem, big, &err));
    write_file(big, blank, 65537);
    assert_fails(qv__server_config_load_file(&c, mem, big, &err), QV_ETOOBIG, big);
    free(blank);
    write_file(big, "x = 1\n", 6);
    assert_fails(qv__server_config_load_file(&c, mem, big, &err), QV_EINVAL, "line 1: there is no");

    /* Every allocation fails once. */
    unsigned n = 0;
    for (;; n++) {
        struct qv__server_config before = c = fresh();
        qv__mem_fail_at(mem, n + 1, false);
        qv_status st = qv__server_config_load_file(&c, mem, path, &err);
        qv__mem_fail_at(mem, 0, false);
        assert_int_equal(qv__mem_used(mem), used);
        if (st == QV_OK) {
            break;
        }
        assert_int_equal(st, QV_ENOMEM);
        assert_memory_equal(&c, &before, sizeof c);
    }
    assert_true(n >= 2);
    qv__mem_close(mem);
    assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void test_environment(void **state)
{
    (void)state;
    struct qv__server_config c = fresh();
    const char *const list[] = {"PATH=/bin",
                                "QUIVER_LISTEN=0.0.0.0:1",
                                "QUIVER_PORT=tcp://10.0.0.1:6333", /* container platforms */
                                "QUIVER_SERVICE_HOST=10.0.0.1",
                                "QUIVER_=1",
                                "QUIVER_THREADS",
                                "quiver_threads=9",
                                "XQUIVER_THREADS=9",
                                "QUIVER_THREADSX=9",
                                "QUIVER_API_KEY=a=b",
                                "QUIVER_MAX_CONNECTIONS_PER_ADDRESS=8",
                                NULL};
    assert_ok(qv__server_config_load_env(&c, list, &err));
    assert_string_equal(c.listen_host, "0.0.0.0");
    assert_string_equal(c.api_key, "a=b");
    assert_int_equal(c.max_connections_per_address, 8);
    assert_int_equal(c.threads, 0);
    const char *const bad[] = {"QUIVER_BODY_MAX=much", NULL};
    assert_fails(qv__server_config_load_env(&c, bad, &err), QV_EINVAL,
                 "QUIVER_BODY_MAX: `much` is not a size");
    const char *const empty_key[] = {"QUIVER_READ_ONLY_API_KEY=", NULL};
    assert_fails(qv__server_config_load_env(&c, empty_key, &err), QV_EINVAL,
                 "QUIVER_READ_ONLY_API_KEY: the key is empty");
}

/* Any bytes are an error or a setting, and never more than that. */
static void test_random_files(void **state)
{
    (void)state;
    uint64_t x = 20261121;
    print_message("seed %llu\n", (unsigned long long)x);
    static const char *const words[] = {"threads", "listen", "=",    "= ",     "\n",   "#",
                                        "memory",  "5",      "1GiB", "[::1]:", "\r\n", "api_key",
                                        "cors",    "*",      "\xff", "true",   " ",    "body-max"};
    unsigned fine = 0, refused = 0;
    for (unsigned i = 0; i < 20000; i++) {
        char text[256];
        size_t n = 0;
        while (n < 200) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            unsigned pick = (unsigned)(x >> 33) % 24;
            if (pick < QV_ARRAY_LEN(words)) {
                memcpy(text + n, words[pick], strlen(words[pick]));
                n += strlen(words[pick]);
            } else if (pick == 23) {
                break;
            } else {
                text[n++] = (char)(x >> 40);
            }
        }
        struct qv__server_config c = fresh();
        qv_status st = qv__server_config_load_text(&c, "random", text, n, &err);
        assert_true(st == QV_OK || st == QV_EINVAL);
        *(st == QV_OK ? &fine : &refused) += 1;
    }
    assert_true(fine > 100 && refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_each),
        cmocka_unit_test(test_precedence),  cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_switches_and_words),
        cmocka_unit_test(test_addresses),   cmocka_unit_test(test_keys),
        cmocka_unit_test(test_texts),       cmocka_unit_test(test_rules_between),
        cmocka_unit_test(test_file_text),   cmocka_unit_test(test_file),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_random_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

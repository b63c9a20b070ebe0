/* config.c: the table of settings, and how one value is read, checked, stored and shown.
 *
 * One row per setting: name, kind, place in the struct, default, limits, help. Everything that
 * reads or prints settings walks this table; a default goes through the same parser as a value of a
 * user, so a wrong default cannot pass a test. Values are parsed into a scratch copy of the
 * struct's field and stored only when they are good and no stronger source has spoken. No memory,
 * no locks. Errors name the source, the value and the limit; a secret is never repeated. */
#include "server/config.h"

#include <stdio.h>

enum kind { KIND_TEXT, KIND_SECRET, KIND_ADDRESS, KIND_BOOL, KIND_INT, KIND_SIZE, KIND_ENUM };

struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t bytes; /* of the field */
    const char *default_value;
    uint64_t min, max;    /* INT, SIZE */
    bool zero_too;        /* 0 is allowed below min */
    const char *argument; /* for --help */
    const char *help;
};

#define FIELD(member)                                                                              \
    offsetof(struct qv__server_config, member), sizeof(((struct qv__server_config *)NULL)->member)

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

static const struct row rows[] = {
    {"data", KIND_TEXT, FIELD(data), "quiver-data", 1, 0, false, "DIR", "directory of the data"},
    {"listen", KIND_ADDRESS, FIELD(listen_host), "127.0.0.1:6333", 0, 0, false, "HOST:PORT",
     "address to serve; [::1]:6333 for IPv6; port 0 takes a free one"},
    {"api_key", KIND_SECRET, FIELD(api_key), "", 0, 0, false, "KEY",
     "key that clients must send (header api-key, or Authorization: Bearer)"},
    {"read_only_api_key", KIND_SECRET, FIELD(read_only_api_key), "", 0, 0, false, "KEY",
     "key that may read but not write"},
    {"allow_open", KIND_BOOL, FIELD(allow_open), "false", 0, 0, false, NULL,
     "serve a non-loopback address without any key"},
    {"read_only", KIND_BOOL, FIELD(read_only), "false", 0, 0, false, NULL, "refuse every write"},
    {"memory", KIND_SIZE, FIELD(memory_bytes), "0", 64 * MIB, 1024 * TIB, true, "SIZE",
     "memory budget of the process; 0 = none"},
    {"disk_reserve", KIND_SIZE, FIELD(disk_reserve_bytes), "64MiB", MIB, TIB, true, "SIZE",
     "room on the disk held for deletes and compaction, at most a 16th of the disk; 0 = none"},
    {"idle_merge_s", KIND_INT, FIELD(idle_merge_s), "10", 1, 86400, true, "SECONDS",
     "time without writes after which a collection is merged into one segment; 0 = never"},
    {"threads", KIND_INT, FIELD(threads), "0", 1, 1024, true, "N",
     "worker threads; 0 = one per CPU"},
    {"http_threads", KIND_INT, FIELD(http_threads), "0", 1, 64, true, "N",
     "threads that read and write sockets; 0 = one per CPU, at most 16"},
    {"body_max", KIND_SIZE, FIELD(body_bytes_max), "32MiB", KIB, GIB, false, "SIZE",
     "largest request body"},
    {"upload_max", KIND_SIZE, FIELD(upload_bytes_max), "64GiB", MIB, 1024 * TIB, false, "SIZE",
     "largest upload of a snapshot, which goes to a file of the data directory"},
    {"max_connections", KIND_INT, FIELD(max_connections), "4096", 1, 1000000, false, "N",
     "open connections; more are turned away"},
    {"max_connections_per_address", KIND_INT, FIELD(max_connections_per_address), "0", 1, 1000000,
     true, "N", "open connections of one client address; 0 = no such limit"},
    {"max_requests", KIND_INT, FIELD(max_requests), "4096", 1, 1000000, false, "N",
     "requests in flight; more are answered 503"},
    {"header_timeout_s", KIND_INT, FIELD(header_timeout_s), "10", 1, 3600, false, "SECONDS",
     "time a client has to send the head of a request"},
    {"idle_timeout_s", KIND_INT, FIELD(idle_timeout_s), "60", 1, 86400, false, "SECONDS",
     "time after which a silent connection is closed"},
    {"request_timeout_ms", KIND_INT, FIELD(request_timeout_ms), "60000", 1, 86400000, true,
     "MILLISECONDS", "time a request may take; 0 = no limit"},
    {"stop_grace_ms", KIND_INT, FIELD(stop_grace_ms), "10000", 1, 600000, true, "MILLISECONDS",
     "time running requests have to finish when the server stops"},
    {"cors", KIND_TEXT, FIELD(cors), "", 0, 0, false, "ORIGINS",
     "web origins that browsers may call from, separated by commas; * = any"},
    {"log_level", KIND_ENUM, FIELD(log_level), "info", 0, 0, false, "LEVEL",
     "least level logged: debug, info, warn or error"},
    {"log_format", KIND_ENUM, FIELD(log_format), "text", 0, 0, false, "FORMAT",
     "form of log lines: text or json"},
    {"access_log", KIND_BOOL, FIELD(access_log), "false", 0, 0, false, NULL,
     "log every request, not only failed ones"},
};
_Static_assert(QV_ARRAY_LEN(rows) <= QV__CONFIG_FIELDS_MAX, "source[] has a place for every row");
_Static_assert(sizeof(enum qv__level) == sizeof(enum qv__log_format), "enums are stored alike");

#define NAME_MAX_BYTES 64

/* Names of a setting in the three sources. */
struct names {
    char flag[NAME_MAX_BYTES];
    char env[NAME_MAX_BYTES];
};

static void make_names(const char *name, struct names *out)
{
    snprintf(out->flag, sizeof out->flag, "--%s", name);
    snprintf(out->env, sizeof out->env, "QUIVER_%s", name);
    for (char *p = out->flag; *p; p++) {
        *p = *p == '_' ? '-' : *p;
    }
    for (char *p = out->env; *p; p++) {
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    }
}

static bool name_is(const char *name, const char *asked)
{
    for (; *name && *asked; name++, asked++) {
        if (*name != (*asked == '-' ? '_' : *asked)) {
            return false;
        }
    }
    return *name == *asked;
}

static const struct row *find_row(const char *name)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(rows); i++) {
        if (name_is(rows[i].name, name)) {
            return &rows[i];
        }
    }
    return NULL;
}

static size_t index_of(const struct row *r)
{
    return (size_t)(r - rows);
}

/* ---- one kind after the other: text to a field ---- */

static qv_status parse_bool(const char *v, bool *out, struct qv_err *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < QV_ARRAY_LEN(yes); i++) {
        if (strcmp(v, yes[i]) == 0) {
            *out = true;
            return QV_OK;
        }
        if (strcmp(v, no[i]) == 0) {
            *out = false;
            return QV_OK;
        }
    }
    return qv__fail(err, QV_EINVAL, "`%.64s` is neither true nor false", v);
}

/* Decimal digits to a number; what follows them is left in *rest. False: no digit, or too large. */
static bool parse_digits(const char *v, uint64_t *out, const char **rest)
{
    uint64_t n = 0;
    const char *p = v;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n)) {
            return false;
        }
    }
    *out = n;
    *rest = p;
    return p > v;
}

/* The factor of a size's suffix, or 0. */
static uint64_t size_factor(const char *suffix)
{
    static const char letters[] = "KMGT";
    if (suffix[0] == 0 || strcmp(suffix, "B") == 0) {
        return 1;
    }
    char letter = suffix[0] >= 'a' && suffix[0] <= 'z' ? (char)(suffix[0] - 'a' + 'A') : suffix[0];
    const char *at = strchr(letters, letter);
    const char *tail = suffix + 1;
    if (!at || (tail[0] != 0 && strcmp(tail, "B") != 0 && strcmp(tail, "iB") != 0)) {
        return 0;
    }
    return (uint64_t)1 << (10 * (at - letters + 1));
}

static void format_size(uint64_t v, char *out, size_t n)
{
    static const char *const unit[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t u = 0;
    while (v && v % 1024 == 0 && u + 1 < QV_ARRAY_LEN(unit)) {
        v /= 1024;
        u++;
    }
    snprintf(out, n, "%" PRIu64 "%s", v, unit[u]);
}

static void format_number(const struct row *r, uint64_t v, char *out, size_t n)
{
    if (r->kind == KIND_SIZE) {
        format_size(v, out, n);
    } else {
        snprintf(out, n, "%" PRIu64, v);
    }
}

static qv_status parse_number(const struct row *r, const char *v, uint64_t *out, struct qv_err *err)
{
    const char *rest;
    uint64_t n = 0;
    bool huge = false;
    if (v[0] < '0' || v[0] > '9') {
        rest = "?";
    } else if (!parse_digits(v, &n, &rest)) {
        huge = true;
    }
    if (!huge) {
        uint64_t factor = r->kind == KIND_SIZE ? size_factor(rest) : (rest[0] == 0);
        if (factor == 0) {
            return qv__fail(err, QV_EINVAL, "`%.64s` is not %s", v,
                            r->kind == KIND_SIZE ? "a size (like 512M or 4GiB)" : "a whole number");
        }
        huge = __builtin_mul_overflow(n, factor, &n);
    }
    if (!huge && n == 0 && r->zero_too) {
        *out = 0;
        return QV_OK;
    }
    char limit[32];
    if (huge || n > r->max) {
        format_number(r, r->max, limit, sizeof limit);
        return qv__fail(err, QV_EINVAL, "`%.64s` is over the limit of %s", v, limit);
    }
    if (n < r->min) {
        format_number(r, r->min, limit, sizeof limit);
        return qv__fail(err, QV_EINVAL, "`%.64s` is under the least value of %s%s", v, limit,
                        r->zero_too ? " (0 stands for none)" : "");
    }
    *out = n;
    return QV_OK;
}

static qv_status parse_text(const struct row *r, const char *v, char *out, struct qv_err *err)
{
    size_t n = strlen(v);
    if (n < r->min) {
        return qv__fail(err, QV_EINVAL, "the value is empty");
    }
    if (n >= r->bytes) {
        return qv__fail(err, QV_EINVAL, "%zu bytes are over the limit of %zu", n, r->bytes - 1);
    }
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)v[i] < 0x20 || v[i] == 0x7f) {
            return qv__fail(err, QV_EINVAL, "byte %zu of the value is a control character", i + 1);
        }
    }
    memset(out, 0, r->bytes);
    memcpy(out, v, n);
    return QV_OK;
}

/* An empty key would match an empty header, so it is never taken for "no key" either. */
static qv_status parse_secret(const struct row *r, const char *v, char *out, struct qv_err *err)
{
    size_t n = strlen(v);
    if (n == 0) {
        return qv__fail(err, QV_EINVAL, "the key is empty; leave the setting out for no key");
    }
    if (n > QV__CONFIG_KEY_MAX) {
        return qv__fail(err, QV_EINVAL, "the key's %zu bytes are over the limit of %d", n,
                        QV__CONFIG_KEY_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)v[i] <= 0x20 || (uint8_t)v[i] >= 0x7f) {
            return qv__fail(err, QV_EINVAL, "byte %zu of the key is not a visible ASCII character",
                            i + 1);
        }
    }
    memset(out, 0, r->bytes);
    memcpy(out, v, n);
    return QV_OK;
}

static qv_status parse_address(const char *v, struct qv__server_config *c, struct qv_err *err)
{
    const char *host = v, *host_end, *port;
    if (v[0] == '[') {
        host = v + 1;
        host_end = strchr(host, ']');
        port = host_end && host_end[1] == ':' ? host_end + 2 : NULL;
    } else {
        host_end = strchr(v, ':');
        port = host_end ? host_end + 1 : NULL;
    }
    const char *rest = "";
    uint64_t n = 0;
    bool good = port && host_end > host && port[0] && parse_digits(port, &n, &rest) && !rest[0] &&
                strcspn(v, " \t/@?#%") == strlen(v);
    if (!good) {
        return qv__fail(err, QV_EINVAL,
                        "`%.64s` is not HOST:PORT (like 127.0.0.1:6333 or [::1]:6333)", v);
    }
    if (n > UINT16_MAX) {
        return qv__fail(err, QV_EINVAL, "port %.32s is over the limit of %d", port, UINT16_MAX);
    }
    size_t host_bytes = (size_t)(host_end - host);
    if (host_bytes >= sizeof c->listen_host) {
        return qv__fail(err, QV_EINVAL, "the host's %zu bytes are over the limit of %zu",
                        host_bytes, sizeof c->listen_host - 1);
    }
    memset(c->listen_host, 0, sizeof c->listen_host);
    memcpy(c->listen_host, host, host_bytes);
    c->listen_port = (uint16_t)n;
    return QV_OK;
}

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const format_names[] = {"text", "json"};

static const char *const *enum_names(const struct row *r, size_t *n)
{
    bool level = r->offset == offsetof(struct qv__server_config, log_level);
    *n = level ? QV_ARRAY_LEN(level_names) : QV_ARRAY_LEN(format_names);
    return level ? level_names : format_names;
}

static qv_status parse_enum(const struct row *r, const char *v, void *field, struct qv_err *err)
{
    size_t n;
    const char *const *names = enum_names(r, &n);
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(v, names[i]) == 0) {
            memcpy(field, &i, sizeof i);
            return QV_OK;
        }
    }
    return qv__fail(err, QV_EINVAL, "`%.64s` is none of %s", v,
                    n == 2 ? "text, json" : "debug, info, warn, error");
}

/* Parse `v` into the field of *c; *c unchanged on error. */
static qv_status parse_into(struct qv__server_config *c, const struct row *r, const char *v,
                            struct qv_err *err)
{
    void *field = (char *)c + r->offset;
    uint64_t number = 0;
    switch (r->kind) {
    case KIND_TEXT:
        return parse_text(r, v, field, err);
    case KIND_SECRET:
        return parse_secret(r, v, field, err);
    case KIND_ADDRESS:
        return parse_address(v, c, err);
    case KIND_BOOL:
        return parse_bool(v, field, err);
    case KIND_ENUM:
        return parse_enum(r, v, field, err);
    case KIND_INT:
        QV_TRY(parse_number(r, v, &number, err));
        memcpy(field, &(uint32_t){(uint32_t)number}, sizeof(uint32_t));
        return QV_OK;
    case KIND_SIZE:
        QV_TRY(parse_number(r, v, &number, err));
        memcpy(field, &number, sizeof number);
        return QV_OK;
    }
    return QV_EINTERNAL;
}

/* ---- the interface ---- */

void qv__server_config_init(struct qv__server_config *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < QV_ARRAY_LEN(rows); i++) {
        if (rows[i].kind == KIND_SECRET) {
            continue; /* none */
        }
        qv_status st = parse_into(c, &rows[i], rows[i].default_value, NULL);
        QV_ASSERT(st == QV_OK);
    }
}

qv_status qv__server_config_set(struct qv__server_config *c, const char *name, const char *value,
                                enum qv__config_source source, struct qv_err *err)
{
    const struct row *r = find_row(name);
    if (!r) {
        return qv__fail(err, QV_EINVAL, "there is no setting `%.64s`", name);
    }
    size_t at = index_of(r);
    struct qv__server_config scratch; /* a weaker source is checked, but not heard */
    struct qv__server_config *into = (uint8_t)source < c->source[at] ? &scratch : c;
    qv_status st = parse_into(into, r, value, err);
    if (st != QV_OK) {
        struct names names;
        make_names(r->name, &names);
        return qv__wrap(err, st, "%s",
                        source == QV__FROM_FLAG  ? names.flag
                        : source == QV__FROM_ENV ? names.env
                                                 : r->name);
    }
    if (into == c) {
        c->source[at] = (uint8_t)source;
    }
    return QV_OK;
}

qv_status qv__server_config_check(const struct qv__server_config *c, struct qv_err *err)
{
    if (c->api_key[0] && memcmp(c->api_key, c->read_only_api_key, sizeof c->api_key) == 0) {
        return qv__fail(err, QV_EINVAL, "api_key and read_only_api_key are the same");
    }
    if (c->memory_bytes && c->body_bytes_max > c->memory_bytes / 2) {
        char body[32], memory[32];
        format_size(c->body_bytes_max, body, sizeof body);
        format_size(c->memory_bytes, memory, sizeof memory);
        return qv__fail(err, QV_EINVAL, "body_max: %s is over half of the memory budget of %s",
                        body, memory);
    }
    return QV_OK;
}

static void show_value(const struct qv__server_config *c, const struct row *r, char *out, size_t n)
{
    const void *field = (const char *)c + r->offset;
    uint64_t size;
    uint32_t number;
    size_t n_names;
    switch (r->kind) {
    case KIND_TEXT:
        snprintf(out, n, "%s", (const char *)field);
        break;
    case KIND_SECRET:
        snprintf(out, n, "%s", *(const char *)field ? "(set)" : "");
        break;
    case KIND_ADDRESS:
        snprintf(out, n, strchr(c->listen_host, ':') ? "[%s]:%u" : "%s:%u", c->listen_host,
                 c->listen_port);
        break;
    case KIND_BOOL:
        snprintf(out, n, "%s", *(const bool *)field ? "true" : "false");
        break;
    case KIND_ENUM:
        memcpy(&number, field, sizeof number);
        snprintf(out, n, "%s", enum_names(r, &n_names)[number]);
        break;
    case KIND_INT:
        memcpy(&number, field, sizeof number);
        snprintf(out, n, "%" PRIu32, number);
        break;
    case KIND_SIZE:
        memcpy(&size, field, sizeof size);
        format_size(size, out, n);
        break;
    }
}

void qv__server_config_each(const struct qv__server_config *c,
                            void (*cb)(void *arg, const struct qv__config_field *field), void *arg)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(rows); i++) {
        struct names names;
        char value[sizeof c->data];
        make_names(rows[i].name, &names);
        show_value(c, &rows[i], value, sizeof value);
        struct qv__config_field f = {
            .name = rows[i].name,
            .flag = names.flag,
            .env = names.env,
            .argument = rows[i].argument,
            .default_value = rows[i].default_value,
            .help = rows[i].help,
            .value = value,
            .source = (enum qv__config_source)c->source[i],
        };
        cb(arg, &f);
    }
}

const char *qv__config_source_name(enum qv__config_source source)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};
    return names[source];
}

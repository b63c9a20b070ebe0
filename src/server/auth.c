/* auth.c: API keys (see auth.h).
 *
 * A given key is copied into a zeroed block of fixed size and all bytes of it are compared with
 * both configured keys, whatever the first difference; so the time tells the length of what was
 * given, which its sender knows, and nothing about the keys. */
#include "server/auth.h"

bool qv__key_equal(const char key[QV__CONFIG_KEY_MAX + 1], struct qv__str given)
{
    uint8_t padded[QV__CONFIG_KEY_MAX + 1] = {0};
    if (given.n == 0 || given.n > QV__CONFIG_KEY_MAX) {
        return false;
    }
    memcpy(padded, given.p, given.n);
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < sizeof padded; i++) {
        difference = (uint8_t)(difference | (padded[i] ^ (uint8_t)key[i]));
    }
    return difference == 0 && key[0] != 0;
}

/* Open without a key, so that probes need no secret: exact bytes, GET and HEAD only. */
static bool is_open_path(const struct qv__gate *gate)
{
    static const char *const paths[] = {"/", "/healthz", "/livez", "/readyz"};
    if (gate->method != QV__GET) {
        return false;
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(paths); i++) {
        if (qv__str_eq(gate->path, qv__str_z(paths[i]))) {
            return true;
        }
    }
    return false;
}

/* The key of "Bearer KEY"; empty when it is no such credential. */
static struct qv__str bearer(struct qv__str v)
{
    static const char scheme[] = "bearer ";
    size_t n = sizeof scheme - 1;
    if (v.n <= n || !qv__str_is_nocase((struct qv__str){v.p, n}, scheme)) {
        return (struct qv__str){v.p, 0};
    }
    v.p += n;
    v.n -= n;
    while (v.n && v.p[0] == ' ') {
        v.p++;
        v.n--;
    }
    return v;
}

enum qv__refusal qv__auth_check(const struct qv__server_config *config, const struct qv__head *head,
                                const struct qv__gate *gate, struct qv__principal *out)
{
    *out = (struct qv__principal){.subject = QV__STR("anonymous"), .read_only = config->read_only};
    if (!config->api_key[0] && !config->read_only_api_key[0]) {
        return QV__ACCEPTED;
    }
    size_t n_key, n_authorization;
    const struct qv__header *key = qv__head_find(head->headers, head->n_headers, "api-key", &n_key);
    const struct qv__header *authorization =
        qv__head_find(head->headers, head->n_headers, "authorization", &n_authorization);
    if (n_key > 1 || n_authorization > 1) {
        return QV__REFUSE_CREDENTIALS_TWICE;
    }
    if (is_open_path(gate)) {
        out->read_only = true;
        return QV__ACCEPTED;
    }
    if (!key && !authorization) {
        return QV__REFUSE_NO_KEY;
    }
    struct qv__str given = key ? key->value : bearer(authorization->value);
    bool full = qv__key_equal(config->api_key, given);
    bool reader = qv__key_equal(config->read_only_api_key, given);
    if (!full && !reader) {
        return QV__REFUSE_BAD_KEY;
    }
    out->subject = full ? QV__STR("api_key") : QV__STR("read_only_api_key");
    out->read_only = config->read_only || !full;
    return QV__ACCEPTED;
}

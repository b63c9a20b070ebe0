/* service.c: who answers, whether it is well, and what this version does not have. */
#include "api/qdrant/qdrant.h"

qv_status qv__qd_root(struct qv__call *c)
{
    qv__qd_raw(c, "application/json");
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "title");
    qv__jw_str(&c->w, QV__QDRANT_TITLE);
    qv__jw_key(&c->w, "version");
    qv__jw_str(&c->w, QV__QDRANT_VERSION);
    qv__jw_key(&c->w, "commit");
    qv__jw_str(&c->w, QV__QDRANT_COMMIT);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

static qv_status plain(struct qv__call *c, const char *text)
{
    qv__qd_raw(c, "text/plain; charset=utf-8");
    qv__buf_putz(&c->request->response.body, text);
    return QV_OK;
}

qv_status qv__qd_healthz(struct qv__call *c)
{
    return plain(c, "healthz check passed");
}

/* A database answers requests only after recovery, so whoever asks is answered by a ready one,
 * unless the log failed since: then only reads are served, and a restart is due. A quarantined
 * collection does not take the others out of service: the text names it, not the code.
 */
qv_status qv__qd_readyz(struct qv__call *c)
{
    struct qv__db_info info;
    QV_TRY(qv__db_ready(c->db, &c->err));
    qv__db_info(c->db, &info);
    if (info.n_quarantined) {
        qv__qd_raw(c, "text/plain; charset=utf-8");
        qv__buf_printf(&c->request->response.body,
                       "ready; %" PRIu64 " of %" PRIu64
                       " collections are quarantined: stored data are damaged",
                       info.n_quarantined, info.n_collections);
        return QV_OK;
    }
    return plain(c, "all shards are ready");
}

qv_status qv__qd_cluster(struct qv__call *c)
{
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "status");
    qv__jw_str(&c->w, "disabled");
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

qv_status qv__qd_not_supported(struct qv__call *c)
{
    return qv__fail(&c->err, QV_EUNSUPPORTED, "%s %s is not supported by this version",
                    qv__method_name(c->route->method), c->route->pattern);
}

qv_status qv__qd_standalone(struct qv__call *c)
{
    return qv__qd_fail(c, QV__QD_STANDALONE, "Qdrant is running in standalone mode");
}

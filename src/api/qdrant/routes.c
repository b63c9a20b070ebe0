/* routes.c: every route of the dialect, literal ones before those with parameters.
 *
 * Lanes: searches and lookups on the read lane (or tried where they arrive, see request.c), writes
 * and catalog changes on the write lane (they wait for one sync at most). What takes as long as the
 * data is large begins there too, so that who does not want to wait for it is answered at once; it
 * goes on on the lane of jobs (call.c), where uploads, which have to be read first, begin. Routes
 * of the peer that are not built answer by name, so that a client learns it from the text and not
 * from a 404. Patterns are the peer's own: its clients match them in telemetry. */
#include "api/qdrant/qdrant.h"

#define READ       QV__LANE_READ
#define WRITE      QV__LANE_WRITE
#define JOBS       QV__LANE_JOB

#define COLLECTION "/collections/{collection_name}"
#define POINTS     COLLECTION "/points"
#define SHARD      COLLECTION "/shards/{shard_id}"

#define PIN        (QV__QD_COLLECTION | QV__QD_PIN)
#define READS      (PIN | QV__QD_READ)
#define QUERIES    (READS | QV__QD_BODY)
#define MUTATES    (PIN | QV__QD_UPDATE | QV__QD_BODY | QV__QD_WRITES | QV__QD_MUTATES)
#define ADMIN      (QV__QD_WRITES | QV__QD_ADMIN)
#define JOB        (ADMIN | QV__QD_WAIT)

static const struct qv__route routes[] = {
    /* service */
    {QV__GET, READ, "/", 0, qv__qd_root},
    {QV__GET, READ, "/healthz", 0, qv__qd_healthz},
    {QV__GET, READ, "/livez", 0, qv__qd_healthz},
    {QV__GET, READ, "/readyz", 0, qv__qd_readyz},
    {QV__GET, READ, "/metrics", QV__QD_TIMEOUT, qv__qd_metrics},
    {QV__GET, READ, "/telemetry", QV__QD_TIMEOUT, qv__qd_telemetry},
    {QV__GET, READ, "/openapi.json", 0, qv__qd_openapi},
    {QV__GET, READ, "/issues", 0, qv__qd_issues},
    {QV__DELETE, READ, "/issues", ADMIN, qv__qd_issues_clear},
    {QV__GET, READ, "/cluster", 0, qv__qd_cluster},
    {QV__GET, READ, "/cluster/telemetry", 0, qv__qd_standalone},
    {QV__POST, READ, "/cluster/recover", ADMIN, qv__qd_standalone},
    {QV__DELETE, READ, "/cluster/peer/{peer_id}", ADMIN, qv__qd_standalone},
    {QV__GET, READ, "/quotas", 0, qv__qd_not_supported},
    {QV__PUT, READ, "/quotas", ADMIN, qv__qd_not_supported},

    /* collections */
    {QV__GET, READ, "/collections", 0, qv__qd_collections_list},
    {QV__GET, READ, "/aliases", 0, qv__qd_aliases_list},
    {QV__POST, WRITE, "/collections/aliases", QV__QD_BODY | QV__QD_TIMEOUT | ADMIN,
     qv__qd_aliases_update},
    {QV__GET, READ, COLLECTION, PIN, qv__qd_collection_info},
    {QV__PUT, WRITE, COLLECTION,
     QV__QD_COLLECTION | QV__QD_STRICT_NAME | QV__QD_BODY | QV__QD_TIMEOUT | ADMIN,
     qv__qd_collection_create},
    {QV__PATCH, WRITE, COLLECTION, PIN | QV__QD_BODY | QV__QD_TIMEOUT | ADMIN,
     qv__qd_collection_patch},
    {QV__DELETE, WRITE, COLLECTION, QV__QD_COLLECTION | QV__QD_TIMEOUT | ADMIN,
     qv__qd_collection_drop},
    {QV__GET, READ, COLLECTION "/exists", QV__QD_COLLECTION, qv__qd_collection_exists},
    {QV__GET, READ, COLLECTION "/aliases", PIN, qv__qd_collection_aliases},
    {QV__GET, READ, COLLECTION "/cluster", PIN, qv__qd_collection_cluster},
    {QV__POST, READ, COLLECTION "/cluster", PIN | QV__QD_TIMEOUT | ADMIN, qv__qd_standalone},
    {QV__GET, READ, COLLECTION "/optimizations", PIN, qv__qd_optimizations},
    {QV__PUT, WRITE, COLLECTION "/index", PIN | QV__QD_BODY | QV__QD_UPDATE | ADMIN,
     qv__qd_index_put},
    {QV__DELETE, WRITE, COLLECTION "/index/{field_name}", PIN | QV__QD_UPDATE | ADMIN,
     qv__qd_index_delete},
    {QV__PUT, WRITE, COLLECTION "/vectors/{vector_name}", PIN | QV__QD_BODY | QV__QD_UPDATE | ADMIN,
     qv__qd_vector_put},
    {QV__DELETE, WRITE, COLLECTION "/vectors/{vector_name}", PIN | QV__QD_UPDATE | ADMIN,
     qv__qd_vector_delete},
    {QV__GET, READ, COLLECTION "/shards", PIN, qv__qd_not_supported},
    {QV__PUT, READ, COLLECTION "/shards", PIN | ADMIN, qv__qd_standalone},
    {QV__POST, READ, COLLECTION "/shards/delete", PIN | ADMIN, qv__qd_standalone},

    /* ours */
    {QV__POST, WRITE, COLLECTION "/optimize", PIN | QV__QD_BODY_OPTIONAL | QV__QD_TIMEOUT | ADMIN,
     qv__qd_collection_optimize},
    {QV__DELETE, READ, COLLECTION "/optimizations/{id}", PIN | ADMIN, qv__qd_optimization_cancel},
    {QV__GET, READ, COLLECTION "/segments", PIN, qv__qd_collection_segments},

    /* writing points */
    {QV__PUT, WRITE, POINTS, MUTATES, qv__qd_points_upsert},
    {QV__POST, WRITE, POINTS "/delete", MUTATES, qv__qd_points_delete},
    {QV__PUT, WRITE, POINTS "/vectors", MUTATES, qv__qd_points_update_vectors},
    {QV__POST, WRITE, POINTS "/vectors/delete", MUTATES, qv__qd_points_delete_vectors},
    {QV__POST, WRITE, POINTS "/payload", MUTATES, qv__qd_points_set_payload},
    {QV__PUT, WRITE, POINTS "/payload", MUTATES, qv__qd_points_overwrite_payload},
    {QV__POST, WRITE, POINTS "/payload/delete", MUTATES, qv__qd_points_delete_payload},
    {QV__POST, WRITE, POINTS "/payload/clear", MUTATES, qv__qd_points_clear_payload},
    {QV__POST, WRITE, POINTS "/payload/modify", MUTATES, qv__qd_points_modify_payload}, /* ours */
    {QV__POST, WRITE, POINTS "/batch", MUTATES, qv__qd_points_batch},

    /* reading points */
    {QV__POST, READ, POINTS, QUERIES, qv__qd_points_get},
    {QV__POST, READ, POINTS "/scroll", QUERIES, qv__qd_points_scroll},
    {QV__POST, READ, POINTS "/count", QUERIES, qv__qd_points_count},
    {QV__POST, READ, POINTS "/query", QUERIES, qv__qd_points_query},
    {QV__POST, READ, POINTS "/query/batch", QUERIES, qv__qd_points_query_batch},
    {QV__POST, READ, POINTS "/query/groups", QUERIES, qv__qd_points_query_groups},
    {QV__POST, READ, POINTS "/search", QUERIES, qv__qd_points_search},
    {QV__POST, READ, POINTS "/search/batch", QUERIES, qv__qd_points_search_batch},
    {QV__POST, READ, POINTS "/search/groups", QUERIES, qv__qd_points_search_groups},
    {QV__POST, READ, POINTS "/search/matrix/pairs", QUERIES, qv__qd_points_matrix_pairs},
    {QV__POST, READ, POINTS "/search/matrix/offsets", QUERIES, qv__qd_points_matrix_offsets},
    {QV__POST, READ, POINTS "/recommend", QUERIES, qv__qd_points_recommend},
    {QV__POST, READ, POINTS "/recommend/batch", QUERIES, qv__qd_points_recommend_batch},
    {QV__POST, READ, POINTS "/recommend/groups", QUERIES, qv__qd_points_recommend_groups},
    {QV__POST, READ, POINTS "/discover", QUERIES, qv__qd_points_discover},
    {QV__POST, READ, POINTS "/discover/batch", QUERIES, qv__qd_points_discover_batch},
    {QV__POST, READ, COLLECTION "/facet", QUERIES, qv__qd_points_facet},
    {QV__GET, READ, POINTS "/{id}", READS, qv__qd_point_get},

    /* snapshots */
    {QV__GET, READ, "/snapshots", QV__QD_ADMIN, qv__qd_full_snapshots_list},
    {QV__POST, WRITE, "/snapshots", JOB, qv__qd_full_snapshot_create},
    {QV__GET, READ, "/snapshots/{snapshot_name}", QV__QD_ADMIN, qv__qd_full_snapshot_download},
    {QV__DELETE, WRITE, "/snapshots/{snapshot_name}", JOB, qv__qd_full_snapshot_delete},
    {QV__GET, READ, COLLECTION "/snapshots", QV__QD_COLLECTION | QV__QD_ADMIN,
     qv__qd_snapshots_list},
    {QV__POST, WRITE, COLLECTION "/snapshots", QV__QD_COLLECTION | JOB, qv__qd_snapshot_create},
    {QV__POST, JOBS, COLLECTION "/snapshots/upload", QV__QD_COLLECTION | QV__QD_FILE | JOB,
     qv__qd_snapshot_upload},
    {QV__PUT, WRITE, COLLECTION "/snapshots/recover", QV__QD_COLLECTION | QV__QD_BODY | JOB,
     qv__qd_snapshot_recover},
    {QV__GET, READ, COLLECTION "/snapshots/{snapshot_name}", QV__QD_COLLECTION | QV__QD_ADMIN,
     qv__qd_snapshot_download},
    {QV__DELETE, WRITE, COLLECTION "/snapshots/{snapshot_name}", QV__QD_COLLECTION | JOB,
     qv__qd_snapshot_delete},
    {QV__GET, JOBS, SHARD "/snapshot", QV__QD_COLLECTION | ADMIN, qv__qd_shard_stream},
    {QV__GET, READ, SHARD "/snapshots", QV__QD_COLLECTION | QV__QD_ADMIN, qv__qd_snapshots_list},
    {QV__POST, WRITE, SHARD "/snapshots", QV__QD_COLLECTION | JOB, qv__qd_snapshot_create},
    {QV__POST, JOBS, SHARD "/snapshots/upload", QV__QD_COLLECTION | QV__QD_FILE | JOB,
     qv__qd_snapshot_upload},
    {QV__PUT, WRITE, SHARD "/snapshots/recover", QV__QD_COLLECTION | QV__QD_BODY | JOB,
     qv__qd_snapshot_recover},
    {QV__GET, READ, SHARD "/snapshots/{snapshot_name}", QV__QD_COLLECTION | QV__QD_ADMIN,
     qv__qd_snapshot_download},
    {QV__DELETE, WRITE, SHARD "/snapshots/{snapshot_name}", QV__QD_COLLECTION | JOB,
     qv__qd_snapshot_delete},
};

static bool takes_file(const struct qv__route *route)
{
    return (route->flags & QV__QD_FILE) != 0;
}

static bool may_be_tried(const struct qv__route *route)
{
    return route->lane == QV__LANE_READ && (route->flags & QV__QD_READ);
}

const struct qv__dialect qv__qdrant_dialect = {
    .routes = routes,
    .n_routes = QV_ARRAY_LEN(routes),
    .takes_file = takes_file,
    .may_be_tried = may_be_tried,
    .timeout_s = qv__qd_timeout_s,
    .run = qv__qd_run,
    .refuse = qv__qd_refuse,
};

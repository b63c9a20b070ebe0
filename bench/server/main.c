/* main.c: the command line of bench_server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static const char USAGE[] =
    "usage: bench_server load|search --protocol NAME --set DIR [options]\n"
    "  load     make the collection and add base.fvecs of DIR: points a second, durable and "
    "indexed\n"
    "  search   queries.fvecs of DIR in turn, recall by truth.ivecs: a line for each beam\n"
    "  --protocol NAME     quiver (REST, as Qdrant), chroma (REST), redis (RESP), pgvector (libpq, "
    "where built with it)\n"
    "  --variant NAME      redis: q8, noquant, bin; pgvector: vector, halfvec\n"
    "  --host A, --port N  the server (127.0.0.1, 6333)\n"
    "  --user TEXT         pgvector: more of the connection string\n"
    "  --metric NAME       ip, l2, cosine (ip)\n"
    "  --k N, --ef N,N,…   hits (10) and beams (64) of a search\n"
    "  --connections N     (1)\n"
    "  --seconds N         of each beam (3), after half a second of warming up\n"
    "  --rate N            requests a second of all connections; without, as fast as answers "
    "come\n";

static const struct protocol *const PROTOCOLS[] = {
    &quiver_protocol,
    &chroma_protocol,
    &redis_protocol,
#ifdef HAVE_LIBPQ
    &pgvector_protocol,
#endif
};

enum option_key {
    O_PROTOCOL = 1,
    O_VARIANT,
    O_SET,
    O_HOST,
    O_PORT,
    O_USER,
    O_METRIC,
    O_K,
    O_EF,
    O_CONNECTIONS,
    O_SECONDS,
    O_RATE,
    O_HELP
};

static const struct option OPTIONS[] = {
    {"protocol", 1, NULL, O_PROTOCOL},
    {"variant", 1, NULL, O_VARIANT},
    {"set", 1, NULL, O_SET},
    {"host", 1, NULL, O_HOST},
    {"port", 1, NULL, O_PORT},
    {"user", 1, NULL, O_USER},
    {"metric", 1, NULL, O_METRIC},
    {"k", 1, NULL, O_K},
    {"ef", 1, NULL, O_EF},
    {"connections", 1, NULL, O_CONNECTIONS},
    {"seconds", 1, NULL, O_SECONDS},
    {"rate", 1, NULL, O_RATE},
    {"help", 0, NULL, O_HELP},
    {NULL, 0, NULL, 0},
};

static double positive(const char *name, const char *text)
{
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end || !(x > 0)) {
        die("--%s: %s is no number above 0", name, text);
    }
    return x;
}

static const struct protocol *protocol_of(const char *name)
{
    for (size_t i = 0; i < sizeof PROTOCOLS / sizeof *PROTOCOLS; i++) {
        if (!strcmp(PROTOCOLS[i]->name, name)) {
            return PROTOCOLS[i];
        }
    }
    die("--protocol: %s is not built in", name);
}

static char *file_of(const char *dir, const char *name)
{
    struct text b = {0};
    putf(&b, "%s/%s", dir, name);
    return b.p;
}

int main(int argc, char **argv)
{
    struct target t = {.host = "127.0.0.1", .port = 6333, .metric = "ip", .variant = "", .k = 10};
    struct load l = {.target = &t, .connections = 1, .seconds = 3};
    const char *set = NULL;
    char *beams = strdup("64");
    for (int o; (o = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        switch (o) {
        case O_PROTOCOL:
            l.protocol = protocol_of(optarg);
            break;
        case O_VARIANT:
            t.variant = optarg;
            break;
        case O_SET:
            set = optarg;
            break;
        case O_HOST:
            t.host = optarg;
            break;
        case O_PORT:
            t.port = (int)positive("port", optarg);
            break;
        case O_USER:
            t.user = optarg;
            break;
        case O_METRIC:
            t.metric = optarg;
            break;
        case O_K:
            t.k = (unsigned)positive("k", optarg);
            break;
        case O_EF:
            beams = optarg;
            break;
        case O_CONNECTIONS:
            l.connections = (unsigned)positive("connections", optarg);
            break;
        case O_SECONDS:
            l.seconds = positive("seconds", optarg);
            break;
        case O_RATE:
            l.rate = positive("rate", optarg);
            break;
        case O_HELP:
            fputs(USAGE, stdout);
            return 0;
        default:
            fputs(USAGE, stderr);
            return 2;
        }
    }
    if (!l.protocol || !set || optind + 1 != argc || t.k > K_MAX) {
        fputs(USAGE, stderr);
        return 2;
    }
    if (!strcmp(argv[optind], "load")) {
        t.base = read_fvecs(file_of(set, "base.fvecs"));
        measure_ingest(&l);
        return 0;
    }
    if (strcmp(argv[optind], "search")) {
        fputs(USAGE, stderr);
        return 2;
    }
    size_t rows;
    t.queries = read_fvecs(file_of(set, "queries.fvecs"));
    l.truth = read_ivecs(file_of(set, "truth.ivecs"), &rows, &l.truth_k);
    if (rows < t.queries.n || l.truth_k < t.k) {
        die("truth.ivecs: %zu rows of %zu are too few for %zu queries of k %u", rows, l.truth_k,
            t.queries.n, t.k);
    }
    for (char *s = strtok(beams, ","); s; s = strtok(NULL, ",")) {
        t.ef = (unsigned)positive("ef", s);
        measure_search(&l);
    }
    return 0;
}

// peer_hnswlib.cpp: hnswlib on the same files, with the same output as `quiver bench ann --json`.
//
// Usage: peer_hnswlib BASE.fvecs QUERIES.fvecs TRUTH.ivecs l2|ip|cosine K M EF_CONSTRUCT BUILD_THREADS EF[,EF…]
// Search runs on one thread, after a warm-up pass, over repeated passes of at least one second.
#include <hnswlib/hnswlib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

template <class T> static std::vector<T> read_vecs(const char *path, size_t &dim)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    std::vector<T> out;
    int32_t d;
    while (fread(&d, 4, 1, f) == 1) {
        dim = (size_t)d;
        size_t at = out.size();
        out.resize(at + dim);
        if (fread(out.data() + at, sizeof(T), dim, f) != dim) {
            fprintf(stderr, "%s: truncated\n", path);
            exit(1);
        }
    }
    fclose(f);
    return out;
}

static double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static void normalize(std::vector<float> &v, size_t dim)
{
    for (size_t i = 0; i < v.size(); i += dim) {
        double s = 0;
        for (size_t k = 0; k < dim; k++)
            s += (double)v[i + k] * v[i + k];
        float by = s > 0 ? (float)(1 / std::sqrt(s)) : 0;
        for (size_t k = 0; k < dim; k++)
            v[i + k] *= by;
    }
}

int main(int argc, char **argv)
{
    if (argc != 10) {
        fprintf(stderr, "usage: peer_hnswlib BASE QUERIES TRUTH METRIC K M EF_CONSTRUCT BUILD_THREADS EF[,EF…]\n");
        return 2;
    }
    size_t dim = 0, qdim = 0, tdim = 0;
    auto base = read_vecs<float>(argv[1], dim);
    auto queries = read_vecs<float>(argv[2], qdim);
    auto truth = read_vecs<int32_t>(argv[3], tdim);
    std::string metric = argv[4];
    size_t k = atoi(argv[5]), m = atoi(argv[6]), efc = atoi(argv[7]), threads = atoi(argv[8]);
    size_t n = base.size() / dim, nq = queries.size() / qdim;
    if (metric == "cosine") {
        normalize(base, dim);
        normalize(queries, dim);
    }
    hnswlib::L2Space l2(dim);
    hnswlib::InnerProductSpace ip(dim);
    hnswlib::SpaceInterface<float> *space = metric == "l2" ? (hnswlib::SpaceInterface<float> *)&l2 : &ip;
    hnswlib::HierarchicalNSW<float> index(space, n, m, efc);
    double t = now();
    std::vector<std::thread> pool;
    for (size_t w = 0; w < threads; w++)
        pool.emplace_back([&, w] {
            for (size_t i = w; i < n; i += threads)
                index.addPoint(base.data() + i * dim, i);
        });
    for (auto &p : pool)
        p.join();
    printf("{\"engine\":\"hnswlib\",\"points\":%zu,\"dim\":%zu,\"build_s\":%.3f,\"build_threads\":%zu,\"memory_bytes\":%zu}\n", n, dim, now() - t, threads,
           (size_t)index.indexFileSize());
    for (char *e = strtok(argv[9], ","); e; e = strtok(nullptr, ",")) {
        index.setEf(std::max((size_t)atoi(e), k));
        size_t hits = 0, done = 0;
        std::vector<double> us;
        for (int pass = 0;; pass++) {
            double start = now();
            for (size_t q = 0; q < nq; q++) {
                double at = now();
                auto r = index.searchKnn(queries.data() + q * dim, k);
                if (pass > 0)
                    us.push_back((now() - at) * 1e6);
                if (pass == 0) {
                    std::unordered_set<int32_t> want(truth.data() + q * tdim, truth.data() + q * tdim + k);
                    for (; !r.empty(); r.pop())
                        hits += want.count((int32_t)r.top().second);
                }
            }
            (void)start;
            done = us.size();
            double spent = 0;
            for (double x : us)
                spent += x;
            if (pass > 0 && spent >= 1e6)
                break;
        }
        double sum = 0;
        for (double x : us)
            sum += x;
        std::sort(us.begin(), us.end());
        printf("{\"engine\":\"hnswlib\",\"ef\":%s,\"recall\":%.4f,\"qps\":%.1f,\"p50_us\":%.1f,\"p95_us\":%.1f,\"p99_us\":%.1f}\n", e,
               (double)hits / (double)(nq * k), (double)done * 1e6 / sum, us[done / 2], us[done * 95 / 100], us[done * 99 / 100]);
    }
    return 0;
}

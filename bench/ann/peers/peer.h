// peer.h: what the C++ drivers of compare.sh share: reading sets, timing searches, lines of JSON.
//
// A driver is called as: DRIVER SET_DIR METRIC CACHE_DIR THREADS MILLISECONDS EF[,EF…] [VARIANT]
// SET_DIR holds base.fvecs, queries.fvecs and truth.ivecs. An index is built once, with THREADS threads, and kept in CACHE_DIR
// with what its build took; later calls load it. Searches run on one thread: a pass over all queries warms up and counts
// recall@10, then whole passes are timed for at least MILLISECONDS. "us" is wall time a query, "cpu_us" the thread's CPU time,
// which other programs on the machine disturb least.
#pragma once
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace peer {

constexpr size_t K = 10;

template <class T> struct Matrix {
    size_t rows = 0, dim = 0;
    std::vector<T> values;
    const T *row(size_t i) const { return values.data() + i * dim; }
};

template <class T> Matrix<T> read_vecs(const std::string &path)
{
    Matrix<T> m;
    FILE *f = fopen(path.c_str(), "rb");
    int32_t d = 0;
    struct stat st;
    if (!f || fstat(fileno(f), &st) || fread(&d, 4, 1, f) != 1 || d <= 0) {
        perror(path.c_str());
        exit(1);
    }
    m.dim = (size_t)d;
    m.rows = (size_t)st.st_size / (4 * (m.dim + 1));
    m.values.resize(m.rows * m.dim);
    rewind(f);
    for (size_t i = 0; i < m.rows; i++) {
        if (fread(&d, 4, 1, f) != 1 || fread(m.values.data() + i * m.dim, 4, m.dim, f) != m.dim) {
            fprintf(stderr, "%s: truncated\n", path.c_str());
            exit(1);
        }
    }
    fclose(f);
    return m;
}

inline double clock_s(clockid_t id)
{
    timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct Args {
    std::string set, metric, cache, variant;
    size_t threads, milliseconds;
    std::vector<size_t> ef;
    bool is_l2() const { return metric == "l2"; }
    std::string file(const std::string &name) const { return cache + "/" + name; }
};

inline Args parse(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "usage: %s SET_DIR l2|ip|cosine CACHE_DIR THREADS MILLISECONDS EF[,EF...] [VARIANT]\n", argv[0]);
        exit(2);
    }
    Args a{argv[1], argv[2], argv[3], argc > 7 ? argv[7] : "", (size_t)atoi(argv[4]), (size_t)atoi(argv[5]), {}};
    for (char *e = strtok(argv[6], ","); e; e = strtok(nullptr, ","))
        a.ef.push_back((size_t)atoi(e));
    return a;
}

struct Set {
    Matrix<float> base, queries;
    Matrix<int32_t> truth;
};

// Without the base where a loaded index has all it needs, so that the driver's memory is that of the index.
inline Set read_set(const Args &a, bool with_base = true)
{
    Set s{{}, read_vecs<float>(a.set + "/queries.fvecs"), read_vecs<int32_t>(a.set + "/truth.ivecs")};
    if (with_base)
        s.base = read_vecs<float>(a.set + "/base.fvecs");
    if (a.metric == "cosine") {
        for (auto *m : {&s.base, &s.queries})
            for (size_t i = 0; i < m->rows; i++) {
                double n = 0;
                float *v = m->values.data() + i * m->dim;
                for (size_t k = 0; k < m->dim; k++)
                    n += (double)v[k] * v[k];
                for (size_t k = 0; k < m->dim && n > 0; k++)
                    v[k] *= (float)(1 / std::sqrt(n));
            }
    }
    return s;
}

inline bool is_file(const std::string &path)
{
    struct stat st;
    return stat(path.c_str(), &st) == 0;
}

inline size_t file_bytes(const std::string &path)
{
    struct stat st;
    return stat(path.c_str(), &st) ? 0 : (size_t)st.st_size;
}

// Rows of an index built by several threads.
template <class F> void parallel(size_t n, size_t threads, F &&f)
{
    std::atomic<size_t> next{0};
    std::vector<std::thread> pool;
    for (size_t t = 0; t < threads; t++)
        pool.emplace_back([&] {
            for (size_t i; (i = next++) < n;)
                f(i);
        });
    for (auto &t : pool)
        t.join();
}

// Run `make`, and keep what it took beside the index.
inline void timed_build(const Args &a, const std::string &index, const std::function<void()> &make)
{
    double wall = clock_s(CLOCK_MONOTONIC), cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    make();
    FILE *f = fopen((index + ".took").c_str(), "w");
    if (f) {
        fprintf(f, "%.3f %.3f %zu\n", clock_s(CLOCK_MONOTONIC) - wall, clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu, a.threads);
        fclose(f);
    }
}

inline void print_index(const char *engine, const Set &s, size_t points, const std::string &index, size_t memory_bytes)
{
    double wall = 0, cpu = 0;
    size_t threads = 0;
    FILE *f = fopen((index + ".took").c_str(), "r");
    if (f) {
        if (fscanf(f, "%lf %lf %zu", &wall, &cpu, &threads) != 3)
            wall = cpu = 0;
        fclose(f);
    }
    printf("{\"engine\":\"%s\",\"points\":%zu,\"dim\":%zu,\"build_s\":%.3f,\"build_cpu_s\":%.3f,\"build_threads\":%zu,\"memory_bytes\":%zu}\n", engine,
           points, s.queries.dim, wall, cpu, threads, memory_bytes);
}

// `search` fills K row numbers and returns how many there are.
template <class F> void measure(const char *engine, const Args &a, const Set &s, size_t ef, F &&search)
{
    size_t hits = 0, n = s.queries.rows, done = 0;
    int32_t out[K];
    for (size_t q = 0; q < n; q++) {
        size_t found = search(s.queries.row(q), out);
        const int32_t *truth = s.truth.row(q);
        for (size_t i = 0; i < found; i++)
            hits += (size_t)std::count(truth, truth + K, out[i]);
    }
    double wall = clock_s(CLOCK_MONOTONIC), cpu = clock_s(CLOCK_THREAD_CPUTIME_ID), spent;
    do {
        for (size_t q = 0; q < n; q++)
            search(s.queries.row(q), out);
        done += n;
        spent = clock_s(CLOCK_MONOTONIC) - wall;
    } while (spent * 1e3 < (double)a.milliseconds);
    cpu = clock_s(CLOCK_THREAD_CPUTIME_ID) - cpu;
    printf("{\"engine\":\"%s\",\"ef\":%zu,\"recall\":%.5f,\"us\":%.2f,\"cpu_us\":%.2f}\n", engine, ef, (double)hits / (double)(n * K),
           spent * 1e6 / (double)done, cpu * 1e6 / (double)done);
    fflush(stdout);
}

} // namespace peer

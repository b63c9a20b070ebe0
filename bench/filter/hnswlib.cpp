// hnswlib.cpp: hnswlib behind a few C functions for peers.py, with its own filter: a functor, here
// over a bit per row, so that no call leaves C++. Compiled by peers.py:
// c++ -std=c++17 -O3 -march=native -shared -fPIC -I HNSWLIB -o hnswlib.so hnswlib.cpp
#include <hnswlib/hnswlib.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace {
struct Bits : hnswlib::BaseFilterFunctor {
    const uint64_t *words;
    bool operator()(hnswlib::labeltype id) override { return words[id / 64] >> (id % 64) & 1; }
};
struct Index {
    std::unique_ptr<hnswlib::SpaceInterface<float>> space;
    std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph;
};
std::unique_ptr<hnswlib::SpaceInterface<float>> space_of(size_t dim, int is_l2)
{
    if (is_l2)
        return std::make_unique<hnswlib::L2Space>(dim);
    return std::make_unique<hnswlib::InnerProductSpace>(dim);
}
}

extern "C" void build(const float *base, size_t rows, size_t dim, int is_l2, size_t m, size_t efc, unsigned threads,
                      const char *path)
{
    auto space = space_of(dim, is_l2);
    hnswlib::HierarchicalNSW<float> graph(space.get(), rows, m, efc);
    std::vector<std::thread> team;
    for (unsigned t = 0; t < threads; t++)
        team.emplace_back([&, t] {
            for (size_t i = t; i < rows; i += threads)
                graph.addPoint(base + i * dim, i);
        });
    for (auto &t : team)
        t.join();
    graph.saveIndex(path);
}

extern "C" Index *load(const char *path, size_t dim, int is_l2)
{
    auto *x = new Index;
    x->space = space_of(dim, is_l2);
    x->graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(x->space.get(), path);
    return x;
}

// words NULL: no filter. Returns how many were found.
extern "C" int search(Index *x, const float *query, int k, int ef, const uint64_t *words, int64_t *out)
{
    Bits bits;
    bits.words = words;
    x->graph->setEf(ef);
    auto r = x->graph->searchKnn(query, k, words ? &bits : nullptr);
    int n = 0;
    for (; !r.empty(); r.pop())
        out[n++] = (int64_t)r.top().second;
    return n;
}

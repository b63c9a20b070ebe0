// hnswlib.cpp: hnswlib on the same files, with the same output as the other drivers; see peer.h. M 16, ef_construction 200 unless
// the variant is M:EF_CONSTRUCTION.
#include <hnswlib/hnswlib.h>

#include <memory>

#include "peer.h"

int main(int argc, char **argv)
{
    auto a = peer::parse(argc, argv);
    size_t m = 16, efc = 200;
    if (!a.variant.empty() && sscanf(a.variant.c_str(), "%zu:%zu", &m, &efc) != 2) {
        fprintf(stderr, "hnswlib: a variant is M:EF_CONSTRUCTION, not %s\n", a.variant.c_str());
        return 2;
    }
    std::string engine = "hnswlib 0.8.0" + (a.variant.empty() ? "" : " " + a.variant);
    std::string path = a.file("hnswlib-" + std::to_string(m) + "-" + std::to_string(efc));
    bool is_built = peer::is_file(path + ".took");
    auto s = peer::read_set(a, !is_built);
    std::unique_ptr<hnswlib::SpaceInterface<float>> space;
    if (a.is_l2())
        space = std::make_unique<hnswlib::L2Space>(s.queries.dim);
    else
        space = std::make_unique<hnswlib::InnerProductSpace>(s.queries.dim);
    if (!is_built) {
        hnswlib::HierarchicalNSW<float> index(space.get(), s.base.rows, m, efc);
        peer::timed_build(a, path, [&] { peer::parallel(s.base.rows, a.threads, [&](size_t i) { index.addPoint(s.base.row(i), i); }); });
        index.saveIndex(path);
    }
    hnswlib::HierarchicalNSW<float> index(space.get(), path);
    peer::print_index(engine.c_str(), s, index.getCurrentElementCount(), path, index.indexFileSize());
    for (size_t ef : a.ef) {
        index.setEf(std::max(ef, peer::K));
        peer::measure(engine.c_str(), a, s, ef, [&](const float *q, int32_t *out) {
            auto r = index.searchKnn(q, peer::K);
            size_t n = 0;
            for (; !r.empty(); r.pop())
                out[n++] = (int32_t)r.top().second;
            return n;
        });
    }
    return 0;
}

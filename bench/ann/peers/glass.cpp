// glass.cpp: Glass 2.1 (pyglass) on the same files, with the same output as the other drivers; see peer.h. The graph is HNSW with
// R 32 (links of the base layer, hnswlib's M 16) and L 200, built over FP16. The variant is SEARCH:REFINE, what is walked over and
// what orders the hits: SQ8U:FP16 unless said. Glass tunes its prefetches for each index; that is done once and kept.
#include "glass/hnsw/hnsw.hpp"
#include "glass/searcher/graph_searcher.hpp"

#include "peer.h"

using namespace glass;

template <Metric M, template <Metric> class Refined> static SearcherBase *inner_of(SearcherBase *s)
{
    auto *r = dynamic_cast<Refiner<Refined<M>> *>(s);
    return r ? r->inner.get() : nullptr;
}

template <Metric M> using Fp16 = FP16Quantizer<M>;
template <Metric M> using Fp32 = FP32Quantizer<M>;

template <class Quant> static bool with_prefetch(SearcherBase *s, const std::string &path)
{
    auto *g = dynamic_cast<GraphSearcher<Quant> *>(s);
    if (!g)
        return false;
    if (FILE *f = fopen(path.c_str(), "r")) {
        bool ok = fscanf(f, "%zu %zu", &g->prefetch_params.po, &g->prefetch_params.pl) == 2;
        fclose(f);
        if (ok)
            return true;
    }
    s->Optimize(1);
    if (FILE *f = fopen(path.c_str(), "w")) {
        fprintf(f, "%zu %zu\n", g->prefetch_params.po, g->prefetch_params.pl);
        fclose(f);
    }
    return true;
}

template <Metric M> static bool tune(SearcherBase *s, const std::string &path)
{
    SearcherBase *in = inner_of<M, Fp16>(s);
    if (!in)
        in = inner_of<M, Fp32>(s);
    if (!in)
        in = s;
    return with_prefetch<SQ8QuantizerUniform<M>>(in, path) || with_prefetch<SQ4QuantizerUniform<M>>(in, path) ||
           with_prefetch<SQ8Quantizer<M>>(in, path) || with_prefetch<FP16Quantizer<M>>(in, path);
}

int main(int argc, char **argv)
{
    auto a = peer::parse(argc, argv);
    auto s = peer::read_set(a);
    std::string variant = a.variant.empty() ? "SQ8U:FP16" : a.variant, engine = "glass 2.1 " + variant;
    std::string search = variant.substr(0, variant.find(':')), refine = variant.substr(variant.find(':') + 1);
    const char *metric = a.is_l2() ? "L2" : "IP";
    std::string path = a.file("glass");
    // Glass prints; its lines are not ours.
    FILE *out = fdopen(dup(1), "w");
    if (!out || !freopen("/dev/null", "w", stdout))
        return 1;
    omp_set_num_threads((int)a.threads);
    if (!peer::is_file(path + ".took")) {
        auto b = create_hnsw(metric, "FP16", 32, 200);
        Graph<int32_t> g;
        peer::timed_build(a, path, [&] { g = b->Build(s.base.values.data(), (int32_t)s.base.rows, (int32_t)s.base.dim); });
        g.save(path);
    }
    Graph<int32_t> g;
    g.load(path);
    auto searcher = create_searcher(std::move(g), metric, search, refine);
    searcher->SetData(s.base.values.data(), (int32_t)s.base.rows, (int32_t)s.base.dim);
    omp_set_num_threads(1);
    if (!(a.is_l2() ? tune<Metric::L2>(searcher.get(), path + "." + search) : tune<Metric::IP>(searcher.get(), path + "." + search))) {
        fprintf(stderr, "glass: no such search: %s\n", variant.c_str());
        return 2;
    }
    stdout = out;
    double per_element = search == "SQ4U" ? 0.5 : search == "FP16" ? 2 : 1;
    size_t codes = (size_t)((per_element + (refine == "FP32" ? 4 : 2)) * (double)(s.base.rows * s.base.dim));
    peer::print_index(engine.c_str(), s, s.base.rows, path, peer::file_bytes(path) + codes);
    for (size_t ef : a.ef) {
        searcher->SetEf((int32_t)ef);
        peer::measure(engine.c_str(), a, s, ef, [&](const float *q, int32_t *hits) {
            searcher->Search(q, (int32_t)peer::K, hits);
            return peer::K;
        });
    }
    return 0;
}

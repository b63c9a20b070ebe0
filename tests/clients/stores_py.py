"""stores_py.py: the Qdrant stores of LangChain and LlamaIndex ingest and retrieve.

    python stores_py.py http://127.0.0.1:6333

Texts are embedded by counting letters, dense as 26 numbers, sparse as the letters that occur, so that
nothing is downloaded and the nearest text of a text is itself. The last line is "N passed, N failed".
"""

import sys
import traceback

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore as LangChainStore
from langchain_qdrant import RetrievalMode
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaStore
from qdrant_client import QdrantClient, models

TEXTS = ["quiver of arrows", "a directed graph", "vector spaces", "zinc and copper", "an apple a day"]

passed = failed = 0


def test(what, body):
    global passed, failed
    try:
        body()
        passed += 1
        print(f"ok      stores: {what}")
    except Exception:
        failed += 1
        print(f"not ok  stores: {what}: {traceback.format_exc()}")


def letters(text):
    counts = [0.0] * 26
    for c in text:
        if "a" <= c <= "z":
            counts[ord(c) - ord("a")] += 1.0
    length = sum(n * n for n in counts) ** 0.5
    return [n / length for n in counts]


class Dense(Embeddings):
    def embed_documents(self, texts):
        return [letters(t) for t in texts]

    def embed_query(self, text):
        return letters(text)


class Sparse(SparseEmbeddings):
    def embed_documents(self, texts):
        return [self.embed_query(t) for t in texts]

    def embed_query(self, text):
        counts = [(i, v) for i, v in enumerate(letters(text)) if v]
        return SparseVector(indices=[i for i, _ in counts], values=[v for _, v in counts])


def langchain(url, mode):
    documents = [Document(page_content=t, metadata={"n": i}) for i, t in enumerate(TEXTS)]
    store = LangChainStore.from_documents(
        documents,
        embedding=Dense(),
        sparse_embedding=Sparse(),
        retrieval_mode=mode,
        url=url,
        prefer_grpc=False,
        collection_name=f"langchain_{mode.value}",
        force_recreate=True,
    )
    found = store.similarity_search_with_score("vector spaces", k=2)
    assert len(found) == 2 and found[0][0].page_content == "vector spaces", found
    only = models.Filter(
        must=[models.FieldCondition(key="metadata.n", match=models.MatchValue(value=3))]
    )
    found = store.similarity_search("vector spaces", k=2, filter=only)
    assert [d.metadata["n"] for d in found] == [3], found
    ids = store.add_texts(["a late one"], metadatas=[{"n": 9}])
    assert store.similarity_search("a late one", k=1)[0].metadata["n"] == 9
    assert store.delete(ids)
    assert store.similarity_search("a late one", k=1)[0].metadata["n"] != 9
    if mode == RetrievalMode.DENSE:
        found = store.max_marginal_relevance_search("vector spaces", k=3, fetch_k=5)
        assert found[0].page_content == "vector spaces" and len(found) == 3
        again = LangChainStore.from_existing_collection(
            collection_name=f"langchain_{mode.value}", embedding=Dense(), url=url
        )
        assert again.similarity_search("zinc and copper", k=1)[0].metadata["n"] == 3


def node(i, text):
    made = TextNode(text=text, id_=f"00000000-0000-0000-0000-{i:012d}", metadata={"n": i})
    made.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc{i}")
    made.embedding = letters(text)
    return made


def llama(url, hybrid):
    client = QdrantClient(url=url)
    counts = Sparse()

    def sparse(texts):
        made = counts.embed_documents(texts)
        return [v.indices for v in made], [v.values for v in made]

    more = (
        {"enable_hybrid": True, "sparse_doc_fn": sparse, "sparse_query_fn": sparse} if hybrid else {}
    )
    store = LlamaStore(collection_name=f"llama_{int(hybrid)}", client=client, **more)
    store.add([node(i, t) for i, t in enumerate(TEXTS)])

    def ask(text, **what):
        mode = {"mode": "hybrid", "query_str": text, "sparse_top_k": 3} if hybrid else {}
        query = VectorStoreQuery(
            query_embedding=letters(text), similarity_top_k=2, **mode, **what
        )
        return [n.metadata["n"] for n in store.query(query).nodes]

    assert ask("vector spaces")[0] == 2
    above = MetadataFilters(
        filters=[MetadataFilter(key="n", value=2, operator=FilterOperator.GT)]
    )
    assert all(n > 2 for n in ask("vector spaces", filters=above))
    store.delete("doc2")
    assert 2 not in ask("vector spaces")
    store.clear()


def main():
    url = sys.argv[1]
    for mode in (RetrievalMode.DENSE, RetrievalMode.SPARSE, RetrievalMode.HYBRID):
        test(f"LangChain, {mode.value}", lambda: langchain(url, mode))
    for hybrid in (False, True):
        test(f"LlamaIndex, {'hybrid' if hybrid else 'dense'}", lambda: llama(url, hybrid))
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())

"""A pytest plugin: clients that ask for gRPC, which this server does not speak yet, get REST.

    PYTHONPATH=tests/compat pytest -p rest_only ...

The suites of qdrant-client compare its local mode with a REST client and a gRPC client in turn; with
this the third is a second REST client, so that what such a case says of REST is not lost. The files of
the suite stay as they are.
"""

import qdrant_client
import qdrant_client.async_qdrant_client


def over_rest(cls):
    made = cls.__init__

    def init(self, *args, **kwargs):
        kwargs["prefer_grpc"] = False
        made(self, *args, **kwargs)

    cls.__init__ = init


over_rest(qdrant_client.QdrantClient)
over_rest(qdrant_client.AsyncQdrantClient)

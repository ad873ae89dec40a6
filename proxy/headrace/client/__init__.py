"""The client of a proxy: typed calls over opensearch-py's transport.

`Client` and `AsyncClient` do what docs/reference/rest-api.md describes.
The package imports nothing of the server.
"""

from headrace.client.asynchronous import AsyncClient
from headrace.client.blocking import Client
from headrace.client.errors import ClientError, UnreachableError
from headrace.client.target import Target

__all__ = ["AsyncClient", "Client", "ClientError", "Target", "UnreachableError"]

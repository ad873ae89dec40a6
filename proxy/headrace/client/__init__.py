"""The client of a proxy: typed calls over opensearch-py's transport.

`Client` and `AsyncClient` do what docs/reference/rest-api.md describes.
The package imports nothing of the server, and opensearch-py when a client is first asked for: what reads targets alone
starts quickly.
"""

import importlib
from typing import TYPE_CHECKING, Any

from headrace.client.target import Target

if TYPE_CHECKING:
    from headrace.client.asynchronous import AsyncClient
    from headrace.client.blocking import Client
    from headrace.client.errors import ClientError, UnreachableError

__all__ = ["AsyncClient", "Client", "ClientError", "Target", "UnreachableError"]
_MODULES = {
    "AsyncClient": "asynchronous",
    "Client": "blocking",
    "ClientError": "errors",
    "UnreachableError": "errors",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for. Raises AttributeError for another name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

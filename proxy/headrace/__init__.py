"""The server and the command line of Headrace.

The packages, each above those that it may import:

- `cli`: commands; `app`: the composition root, and the outermost frame of every request;
- `handlers`: one handler for each REST surface, the table of routes, and the bypass rules;
- `execution`: from a request to pipeline runs, and the review of searches over protected indexes;
- `security`: rights, audit log, guard of the registry index;
- `server`: the client side: connections, the fast path, requests, responses;
- `ops`: metrics, logging, workers, threads, memory budget of bodies;
- `registry`: the hidden index; `upstream`: the node side;
- `http1`: mechanics of both sides; `protocol`: formats of OpenSearch; `settings`.

A request that no pipeline can concern goes from `server.fast_path` to a node. Every other request goes through
`app`, its route and its handler.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.client import AsyncClient, Client, ClientError, UnreachableError

__all__ = ["AsyncClient", "Client", "ClientError", "UnreachableError"]


def __getattr__(name: str) -> object:
    """Imports the client when it is used: the server and the help of the command line do not need it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headrace import client

    return getattr(client, name)

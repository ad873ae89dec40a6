"""Plain requests, from the client's bytes to the node's in one callback and back in another.

A task, a request object and several futures for each request cost more than everything else that a small one needs
(docs/decisions/041-front-door.md). Here a request is sent at once if it is here whole, a connection to a node is open,
and its route passes (`routes`), or its pipelines are known and run on the event loop or one thread. Whatever is not as
plain as that goes, or goes on, the way of all requests: a [`ForwardedRequest`] is handed over with its response
pending, or with what is to be sent, so that nothing is sent twice and every error has one shape.
"""

from headrace.server.fast_path.forwarded import CLIENT_GONE, ForwardedRequest
from headrace.server.fast_path.forwarder import FastForwarder
from headrace.server.fast_path.routes import BypassDecider, BypassRoute, InlinePipelines, InlineRun

__all__ = [
    "CLIENT_GONE",
    "BypassDecider",
    "BypassRoute",
    "FastForwarder",
    "ForwardedRequest",
    "InlinePipelines",
    "InlineRun",
]

"""The composition root: the only place that wires concrete classes, and the outermost frame of every request."""

from headrace.app.proxy import Proxy

__all__ = ["Proxy"]

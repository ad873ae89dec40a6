"""Elasticsearch's media types: its clients since 8 call JSON `application/vnd.elasticsearch+json;compatible-with=N`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multidict import CIMultiDict

PRODUCT = ("X-Elastic-Product", "Elasticsearch")
"""The header that clients since 7.14 want to see."""
_VENDOR = re.compile(
    r"application/vnd\.elasticsearch\+(x-ndjson|json|cbor|smile|yaml)\s*(?:;\s*compatible-with=\d+)?", re.IGNORECASE
)


def plain_media(headers: CIMultiDict[str]) -> None:
    """Elasticsearch's media types in a request's headers as the plain ones behind them."""
    for name in ("Content-Type", "Accept"):
        if (value := headers.get(name)) is not None:
            headers[name] = _VENDOR.sub(lambda match: f"application/{match.group(1).lower()}", value)


def vendor_media(accept: str) -> str:
    """The media type of its own that a client asks JSON in; empty for none."""
    match = _VENDOR.search(accept)
    return match.group(0) if match and match.group(1).lower() == "json" else ""

"""The cluster's media types, JSON, YAML, CBOR and SMILE: which one a request means, and bodies from one to another.

As the cluster reads them (measured on 3.8.0): names in any case, parameters passed by; an `Accept` of several types, or
of one that is none of these, means nothing.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from headrace_pipelines import json_from, json_to
from headrace_pipelines.errors import MediaTypeError, TooLargeError, UnparsableError

if TYPE_CHECKING:
    from headrace.protocol.target import Target


class Media(Enum):
    """A media type, with the name that answers have."""

    JSON = "application/json; charset=UTF-8"
    YAML = "application/yaml"
    CBOR = "application/cbor"
    SMILE = "application/smile"


_NAMES = {
    "application/json": Media.JSON,
    "application/x-ndjson": Media.JSON,
    "application/*": Media.JSON,
    "application/yaml": Media.YAML,
    "application/cbor": Media.CBOR,
    "application/smile": Media.SMILE,
}
_FORMATS = {media.name.lower(): media for media in Media}
_VENDOR = re.compile(r"application/vnd\.(opensearch|elasticsearch)\+(x-ndjson|json|yaml|cbor|smile)")
_SEQUENCES = frozenset({"_bulk", "_msearch"})
"""Segments of the surfaces whose bodies are several values."""


def named(text: str, *, elasticsearch: bool = False) -> Media | None:
    """The media type that a header names; `elasticsearch`: its own names count, too."""
    name = text.partition(";")[0].strip().lower()
    if (media := _NAMES.get(name)) is not None or not name.startswith("application/vnd."):
        return media
    vendor = _VENDOR.fullmatch(name)
    if vendor is None or (vendor[1] == "elasticsearch" and not elasticsearch):
        return None
    return _NAMES[f"application/{vendor[2]}"]


def asked_for(target: Target, accept: str | None, sent: str | None, *, elasticsearch: bool = False) -> Media:
    """The media type of an answer: by `format`, else `Accept`, else that of the request, else JSON."""
    if (text := target.get("format")) is not None and (media := _FORMATS.get(text.lower())) is not None:
        return media
    for header in (accept, sent):
        if header and (media := named(header, elasticsearch=elasticsearch)) is not None:
            return media
    return Media.JSON


def is_sequence(target: Target) -> bool:
    """Whether a body there is several values."""
    return not _SEQUENCES.isdisjoint(target.segments)


def as_json(media: Media, body: bytes, limit: int, *, strict: bool, sequence: bool) -> bytes:
    """A body as JSON, of several values a line for each. `strict`: what readers may take differently is refused.

    Raises UnparsableError, TooLargeError over the limit, MediaTypeError for several values of a type without them.
    """
    if not body:
        return body
    if sequence and media is not Media.SMILE:
        raise MediaTypeError(f"Content-Type [{media.name}] does not support stream parsing. Use JSON or SMILE instead")
    try:
        return json_from(media.name.lower(), body, limit, strict=strict, parts=sequence)
    except ValueError as error:
        beside = "; send what every reader takes for the same, or JSON" if strict else ""
        raise UnparsableError(f"the request body cannot be read as {media.name}: {error}{beside}") from None
    except OverflowError:
        raise TooLargeError(f"the body as JSON has more than {limit} bytes; send smaller requests") from None


def from_json(media: Media, text: bytes) -> bytes:
    """A JSON text in another media type. Raises ValueError for one that is none."""
    return text if media is Media.JSON else json_to(media.name.lower(), text)

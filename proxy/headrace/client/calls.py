"""The calls of docs/reference/rest-api.md as requests, for both clients."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from headrace.client.transport import Request, parameters
from headrace_pipelines import units


def path(*segments: str) -> str:
    """A path of quoted segments."""
    return "/" + "/".join(quote(segment, safe="*,-_.") for segment in segments)


def read(*segments: str, **params: Any) -> Request:
    """A GET."""
    return Request("GET", path(*segments), parameters(params))


def post(*segments: str, body: Any = None, **params: Any) -> Request:
    """A POST."""
    return Request("POST", path(*segments), parameters(params), body)


def store(*segments: str, body: Any = None, **params: Any) -> Request:
    """A PUT."""
    return Request("PUT", path(*segments), parameters(params), body)


def remove(*segments: str, **params: Any) -> Request:
    """A DELETE."""
    return Request("DELETE", path(*segments), parameters(params))


def store_udf(name: str, code: bytes | dict[str, Any], media_type: str, **params: Any) -> Request:
    """Uploads the code of a UDF, or its manifest where `code` is a dict."""
    if isinstance(code, dict):
        return store("_udf", name, body=code, **params)
    return Request("PUT", path("_udf", name), parameters(params), code, media_type)


def run(name: str | None, body: dict[str, Any], **params: Any) -> Request:
    """A trial run of a stored pipeline, or of the one in the body."""
    return post("_pipeline", *([name] if name else []), "_execute", body=body, **params)


FOLLOWED_SECONDS = 600.0
"""Seconds for which a proxy sends the lines of a UDF."""


def tap(selection: dict[str, Any]) -> tuple[Request, float]:
    """A tap, and the seconds that it lasts. Raises InvalidError for a duration that is none."""
    chosen = {name: value for name, value in selection.items() if value is not None}
    return post("_proxy", "tap", body=chosen), units.seconds(str(chosen.get("duration", "60s")), "duration")


def udf_lines(name: str, count: int) -> tuple[Request, float]:
    """The lines of a UDF that have been and that come, and the seconds for which they come."""
    return read("_udf", name, "_logs", lines=count, follow=True), FOLLOWED_SECONDS

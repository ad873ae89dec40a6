"""Bodies of the cluster's media types for tests; YAML is written and read by PyYAML, which is not the proxy's."""

from __future__ import annotations

import json
from typing import Any

import yaml

from headrace_pipelines import json_from, json_to

TYPES = ("json", "yaml", "cbor", "smile")
LIMIT = 1 << 26


def encoded(value: Any, kind: str) -> bytes:
    """A value as a body."""
    if kind == "json":
        return json.dumps(value).encode()
    if kind == "yaml":
        text = yaml.safe_dump(
            value, default_style='"' if isinstance(value, str) else None, allow_unicode=True, width=1000
        )
        return b"---\n" + text.encode()
    return json_to(kind, json.dumps(value).encode())


def several(values: list[Any], kind: str) -> bytes:
    """The body of a `_bulk` or `_msearch`: lines, or SMILE with end marks."""
    end = b"\xff" if kind == "smile" else b"\n"
    return b"".join(encoded(value, kind) + end for value in values)


def decoded(body: bytes, content_type: str) -> Any:
    """The value of an answer's body, by its `Content-Type`."""
    kind = content_type.partition(";")[0].removeprefix("application/")
    if kind == "yaml":
        return json.loads(json_from("yaml", body, LIMIT, strict=False))
    return json.loads(json_from(kind, body, LIMIT, strict=True) if kind in ("cbor", "smile") else body)


def headers(kind: str, accept: str | None = None) -> dict[str, str]:
    """The headers of a request of a type, whose answer is asked for in another."""
    said = {"Content-Type": f"application/{kind}"}
    return said if accept is None else said | {"Accept": f"application/{accept}"}

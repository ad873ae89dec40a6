"""Search requests: URL parameters folded into the body, so that a query stage sees the whole request.

OpenSearch lets the URL beat the body (`RestSearchAction.parseSearchSource`; measured for `size` and `q`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.protocol.target import Target

QUERY_STRING = ("q", "df", "analyzer", "analyze_wildcard", "default_operator", "lenient")
_NUMBERS = ("from", "size", "terminate_after")
_BOOLEANS = ("explain", "version", "seq_no_primary_term", "track_scores")
_WITH_VALUE = frozenset({"explain", "version", "seq_no_primary_term"})
"""Boolean parameters that are ignored without a value (measured on 3.8.0); the others are on then."""
_LISTS = ("stored_fields", "docvalue_fields")
_SOURCE = ("_source", "_source_includes", "_source_excludes")
_OTHERS = ("sort", "track_total_hits", "timeout", "stats")
FOLDED = (*QUERY_STRING, *_NUMBERS, *_BOOLEANS, *_LISTS, *_SOURCE, *_OTHERS)
"""Parameters that leave the URL when the body takes them over."""
ADDED = frozenset({"sort", "docvalue_fields"})
"""Parameters that are appended to the body's list (measured on 3.8.0); all others replace the body's value."""


def folded(target: Target) -> dict[str, Any]:
    """The members that URL parameters give to the body; they replace those of the body."""
    out: dict[str, Any] = {}
    if not target.has_any(FOLDED):
        return out
    if (query := folded_query(target)) is not None:
        out["query"] = query
    out.update(_source(target))
    for name, read in _READERS.items():
        value = target.get(name)
        if value is not None and (value or name not in _WITH_VALUE):
            out[name] = read(name, value)
    return out


def _tracked(_name: str, value: str) -> int | bool:
    """Whether hits are counted, or so many exactly. Raises InvalidError."""
    if value in ("true", "false"):
        return value == "true"
    number = _number("track_total_hits", value)
    if number < -1:
        raise InvalidError(f"[track_total_hits] parameter must be positive or equals to -1, got {number}")
    return number


def _boolean(_name: str, value: str) -> bool:
    """As `Booleans.parseBoolean` of OpenSearch. Raises InvalidError."""
    if value not in ("", "true", "false"):
        raise InvalidError(f"Failed to parse value [{value[:200]}] as only [true] or [false] are allowed.")
    return value != "false"


def folded_query(target: Target) -> dict[str, Any] | None:
    """The query that `q` is, with its parameters; `None` without one."""
    return {"query_string": _query_string(target)} if target.get("q") is not None else None


def _query_string(target: Target) -> dict[str, Any]:
    query: dict[str, Any] = {"query": target.get("q")}
    names = {"df": "default_field", "analyzer": "analyzer", "default_operator": "default_operator"}
    for name, key in names.items():
        if (value := target.get(name)) is not None:
            query[key] = value
    for name in ("analyze_wildcard", "lenient"):
        if (value := target.get(name)) is not None:
            query[name] = value != "false"
    return query


def _source(target: Target) -> dict[str, Any]:
    given, includes, excludes = (target.get(name) for name in _SOURCE)
    if given is None and includes is None and excludes is None:
        return {}
    if given == "false" or (given == "true" and includes is None and excludes is None):
        return {"_source": given == "true"}
    listed = includes if includes is not None else given if given not in (None, "true", "false") else None
    source: dict[str, Any] = {}
    if listed:
        source["includes"] = listed.split(",")
    if excludes:
        source["excludes"] = excludes.split(",")
    return {"_source": source}


def _sort(part: str) -> Any:
    field, colon, order = part.rpartition(":")
    return {field: {"order": order}} if colon and order in ("asc", "desc") else part


def _number(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidError(f"Failed to parse int parameter [{name}] with value [{value}]") from None


def _listed(_name: str, value: str) -> list[str]:
    return value.split(",")


_READERS: dict[str, Callable[[str, str], Any]] = {
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_BOOLEANS, _boolean),
    **dict.fromkeys((*_LISTS, "stats"), _listed),
    "sort": lambda _, value: [_sort(part) for part in value.split(",")],
    "track_total_hits": _tracked,
    "timeout": lambda _, value: value,
}
"""The converter of each parameter to its value in the body, by name."""


def msearch_items(body: bytes) -> list[tuple[bytes, bytes]]:
    """The searches of an `_msearch` body, each a header line (which may be empty) and a body line.

    Read as OpenSearch reads it (`MultiSearchRequest.readMultiLineFormat`): an empty first line does not count, a header
    without a body is left out. Raises InvalidError, in its words, for a body that does not end with a newline.
    """
    if body and not body.endswith(b"\n"):
        raise InvalidError("The msearch request must be terminated by a newline [\n]")
    lines = body.removeprefix(b"\n").split(b"\n")[:-1]
    return list(zip(lines[::2], lines[1::2], strict=False))


def source_parameter(target: Target) -> bytes | None:
    """The body that a `source=` parameter carries; JSON is assumed where `source_content_type` is missing."""
    source = target.get("source")
    return None if source is None else source.encode()

"""Configurations of the INFINI gateway: the filters of its flows that change the body of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.project.source import Source
from headrace.project.tools.migration.compiled import refusal
from headrace.project.tools.migration.model import (
    BY_HAND,
    CANNOT,
    CONVERTED,
    Comment,
    Conversion,
    Finding,
    Item,
    MigrationError,
    Unsupported,
    native,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_FILTERS = 2000
"""Maximum of filters of a configuration: each is compiled alone."""
_REPLACED = {
    "javascript": "write a UDF in JavaScript",
    "basic_auth": "the users are those of the cluster",
    "ldap_auth": "the users are those of the cluster",
    "bulk_request_mutate": "write document pipelines, attached to the indexes",
    "elasticsearch": "the cluster is the setting upstream",
}


def convert(text: str) -> Conversion:
    """A query pipeline of the filters of all flows. Raises MigrationError, and ProjectError for no YAML."""
    source = Source.parse(text, "gateway.yaml")
    flows = source.value.get("flow") if isinstance(source.value, dict) else None
    if not isinstance(flows, list) or not all(isinstance(flow, dict) for flow in flows):
        raise MigrationError("the configuration has no list [flow]")
    conversion, items = Conversion(), list[Item]()
    for section in sorted(set(source.value) - {"flow"}):
        finding = Finding(
            line=source.locate(section, key=True).line, part=section, status=CANNOT, reason="has no counterpart"
        )
        conversion.findings.append(finding)
    for i, flow in enumerate(flows):
        filters = flow.get("filter") or []
        if not isinstance(filters, list):
            raise MigrationError("[filter] must be a list", source.locate(f"flow[{i}].filter").line)
        if len(conversion.findings) + len(filters) > _MOST_FILTERS:
            raise MigrationError(f"the configuration has more than {_MOST_FILTERS} filters")
        for j, body in enumerate(filters):
            items += _filter(body, source.locate(f"flow[{i}].filter[{j}]").line, conversion, sole=len(flows) == 1)
    conversion.pipelines.append(({"type": "query"}, items))
    return conversion


def _filter(body: Any, line: int, conversion: Conversion, *, sole: bool) -> list[Item]:
    name = next(iter(body), "") if isinstance(body, dict) else str(body)
    try:
        if not isinstance(body, dict) or len(body) != 1:
            raise Unsupported("the filter must be a table with one name")
        if name not in _FILTERS:
            reason = _REPLACED.get(name)
            raise Unsupported(reason or "there is no built-in", BY_HAND if reason else CANNOT)
        if not sole:
            raise Unsupported("a flow of several: convert a file for each")
        items = _FILTERS[name](body[name] or {})
        if reason := refusal(items, "query"):
            raise Unsupported(f"the built-in refuses it: {reason}")
    except Unsupported as error:
        finding = Finding(line=line, part=name, status=error.status, reason=error.reason)
        conversion.findings.append(finding)
        return [Comment(f"line {line}: {error.status}: {name}: {error.reason}")]
    note = "it changes the body of searches; the gateway changes every request"
    conversion.findings.append(Finding(line=line, part=name, status=CONVERTED, reason=note))
    return items


def _paths(options: Any, name: str) -> list[str]:
    if not isinstance(options, dict) or set(options) - {"path", "ignore_missing"}:
        raise Unsupported(f"{name} has an option without a counterpart")
    paths = options.get("path")
    if not isinstance(paths, list) or not paths or any(not isinstance(path, str) for path in paths):
        raise Unsupported("[path] must be a list of texts")
    return paths


def _missing(options: dict[str, Any]) -> bool:
    return options.get("ignore_missing") is True


def _delete(options: Any) -> list[Item]:
    paths = _paths(options, "request_body_json_del")
    return [native("remove", field=paths, ignore_missing=_missing(options))]


def _set(options: Any) -> list[Item]:
    items: list[Item] = []
    for path in _paths(options, "request_body_json_set"):
        field, arrow, value = path.partition(" -> ")
        if not arrow or "{{" in value or "$[[" in value:
            raise Unsupported("[path] must hold entries of the form field -> value")
        items.append(native("set", field=field.strip(), value=_value(value.strip())))
    return items


def _value(text: str) -> Any:
    """A text between quotes, a number or a boolean. Raises Unsupported for another text."""
    if text in ("true", "false"):
        return text == "true"
    if text.isascii() and text.isdigit() and len(text) < 18:
        return int(text)
    if len(text) > 1 and text[0] == text[-1] == '"' and "\\" not in text and '"' not in text[1:-1]:
        return text[1:-1]
    raise Unsupported(f"the value [{text}] is no number, no boolean and no text between quotes")


_FILTERS: dict[str, Callable[[Any], list[Item]]] = {
    "request_body_json_del": _delete,
    "request_body_json_set": _set,
}

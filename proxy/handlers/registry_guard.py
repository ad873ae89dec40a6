"""The registry index is refused by name, in paths and in the bodies that name indexes (design: wire.md, rule 5).

Defence in depth only: whoever can reach a node directly needs to be kept out by the cluster's own security.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.errors import InvalidError, RefusedError
from proxy.protocol.search import msearch_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.handlers.call import Call
    from proxy.protocol.target import Target

_BODIES = frozenset({"_mget", "_msearch", "_mtermvectors", "_reindex", "_aliases"})


def refuse_in_path(call: Call) -> None:
    """Raises RefusedError for a path that names the registry index, or a wildcard that would expand to it."""
    if call.target.segments:
        _refuse(call, call.target.segments[0])


def might_name(target: Target, registry: str) -> bool:
    """Whether a request might be refused here; one that is certainly not needs no more than its target for that."""
    first = target.segments[0] if target.segments else ""
    return _reaches(target, first, registry) or not _BODIES.isdisjoint(target.segments)


async def refuse_in_body(call: Call) -> None:
    """The same for the bodies of surfaces that name indexes there; one that is not JSON is left to the cluster."""
    if _BODIES.isdisjoint(call.target.segments):
        return
    surface = next(part for part in call.target.segments if part in _BODIES)
    if not call.request.body_exists or not call.speaks_json:
        return
    body = await call.text()
    registry = call.parts.settings.registry_index.encode()
    # An escape or date math may hide the name, a wildcard may reach it.
    if registry not in body and not any(sign in body for sign in (b"\\", b"*", b"<")):
        return
    try:
        names = list(_named(surface, body))
    except (msgspec.DecodeError, InvalidError):
        return
    for name in names:
        _refuse(call, name)


def _refuse(call: Call, expression: str) -> None:
    registry = call.parts.settings.registry_index
    if _reaches(call.target, expression, registry):
        raise RefusedError(f"the index [{registry}] is Headrace's own; use /_pipeline and /_udf")


def _reaches(target: Target, expression: str, registry: str) -> bool:
    """Whether an expression names the registry index, or has a wildcard that would expand to it."""
    if "*" not in expression and "<" not in expression and registry not in expression:
        return False
    hidden = target.get("expand_wildcards") or ""
    for name in expression.split(","):
        wild = "*" in name and (name.startswith(".") or "hidden" in hidden or "all" in hidden)
        if means(name, registry) or (wild and fnmatchcase(registry, name)):
            return True
    return False


def means(name: str, registry: str) -> bool:
    """Whether a name is that of the registry index, also as date math, which can spell it: `<.head{now{'race'}}>`."""
    if not name.startswith("<"):
        return name == registry
    static, dated, rest = name[1:].removesuffix(">").replace("\\", "").partition("{")
    return registry.startswith(static) and (bool(static) or "'" in rest) if dated else static == registry


def _named(surface: str, body: bytes) -> Iterator[str]:
    """The index expressions that a body names. Raises DecodeError, InvalidError for one that the cluster refuses."""
    if surface == "_msearch":
        for header, _ in msearch_items(body):
            if header.strip():
                yield from _of(msgspec.json.decode(header), "index", "indices")
        return
    request = msgspec.json.decode(body)
    if not isinstance(request, dict):
        return
    for name in ("source", "dest"):
        yield from _of(request.get(name), "index")
    for each in _list(request.get("docs")):
        yield from _of(each, "_index")
    for action in _list(request.get("actions")):
        for change in action.values() if isinstance(action, dict) else ():
            yield from _of(change, "index", "indices", "alias", "aliases")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _of(value: Any, *members: str) -> Iterator[str]:
    """The texts of members, which may be lists of them."""
    if isinstance(value, dict):
        for member in members:
            found = value.get(member)
            yield from (str(each) for each in (found if isinstance(found, list) else [found]) if each is not None)

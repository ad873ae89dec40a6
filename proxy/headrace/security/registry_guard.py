"""The registry index is refused by name, in paths, parameters and bodies, and left out of wildcards that reach it.

Entries of the registry are signed, so that what is written past this guard is ignored. The guard keeps requests from
breaking the index, and says so to whoever names it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.protocol import endpoints
from headrace.protocol.headers.encoding import canonical
from headrace.protocol.search import msearch_items
from headrace_pipelines.errors import InvalidError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.protocol.target import Target
    from headrace.server.request import RequestContext

_INDEXED = frozenset(
    {
        *(
            "_search",
            "_count",
            "_validate",
            "_rank_eval",
            "_field_caps",
            "_settings",
            "_mapping",
            "_mappings",
            "_close",
        ),
        *("_open", "_refresh", "_flush", "_forcemerge", "_cache", "_msearch", "_mget"),
    }
)
"""Endpoints that are about all indexes where their path names none."""
_BODIES = frozenset({"_mget", "_msearch", "_mtermvectors", "_reindex", "_aliases", "_alias", "_restore"})
"""Segments of the surfaces whose bodies name indexes."""


async def keep_out(context: RequestContext) -> None:
    """Raises RefusedError for a target that names the registry index; a wildcard that reaches it passes it by."""
    target = context.target
    if not may_reach_registry(target, context.components.settings.registry_index):
        return
    for expression in _expressions(target, reads=context.method in endpoints.READS):
        _refuse(context, expression)
    first = target.segments[0] if target.segments else ""
    if first and _reaches(target, first, context.components.settings.registry_index):
        registry = context.components.settings.registry_index
        view = await context.components.resolver.view([registry])
        if view.knows(registry):
            # The node takes [_all] beside other names for the name of an index.
            expression = ",".join("*" if part == "_all" else part for part in first.split(","))
            context.target = target.at_indexes(f"{expression},-{registry}", instead=True)
    if (
        first in _INDEXED
        and target.get("index") is None
        and _reaches(target, "_all", context.components.settings.registry_index)
    ):
        registry = context.components.settings.registry_index
        if (await context.components.resolver.view([registry])).knows(registry):
            context.target = target.at_indexes(f"*,-{registry}", instead=False)
    if (given := target.get("index")) and _reaches(target, given, context.components.settings.registry_index):
        raise _refusal(context.components.settings.registry_index)


def may_reach_registry(target: Target, registry: str) -> bool:
    """Whether a request might name the registry; one that certainly does not needs no more than its target for that."""
    if not _BODIES.isdisjoint(target.segments):
        return True
    texts = (*target.segments, *target.values.values())
    return any(registry in text or "<" in text for text in texts) or any(
        _reaches(target, "_all" if text in _INDEXED else text, registry)
        for text in (*target.segments[:1], target.get("index") or "")
        if text
    )


def _expressions(target: Target, *, reads: bool) -> Iterator[str]:
    """The texts of a target that may name an index; of one that only reads its expression alone."""
    yield from target.segments[:1]
    if (index := target.get("index")) is not None:
        yield index
    if not reads:
        yield from target.segments[1:]
        yield from target.values.values()


async def refuse_in_body(context: RequestContext) -> None:
    """The same for the bodies of surfaces that name indexes there. Raises UnparsableError, MediaTypeError.

    While the registry is empty, a body that cannot be read is left to the cluster.
    """
    if _BODIES.isdisjoint(context.target.segments) or not context.has_body:
        return
    surface = next(part for part in context.target.segments if part in _BODIES)
    strict = context.components.registry.holds
    if strict:
        context.require_json()
    elif not context.readable:
        return
    try:
        body = await context.text()
    except InvalidError:
        if strict:
            raise
        return
    registry = context.components.settings.registry_index.encode()
    # An escape or date math may hide the name, a wildcard may reach it.
    if registry not in body and not any(sign in body for sign in (b"\\", b"*", b"<", b"_all", b"\0", b"/")):
        return
    try:
        names = list(_named(surface, body))
    except InvalidError:
        if strict:
            raise
        return
    for name in names:
        _refuse(context, name)
        if _reaches(context.target, name, context.components.settings.registry_index):
            raise _refusal(context.components.settings.registry_index)


def _refuse(context: RequestContext, expression: str) -> None:
    registry = context.components.settings.registry_index
    if any(names_registry(name, registry) for name in expression.split(",")):
        raise _refusal(registry)


def _refusal(registry: str) -> RefusedError:
    return RefusedError(f"the index [{registry}] is Headrace's own; use /_pipeline and /_udf")


def _reaches(target: Target, expression: str, registry: str) -> bool:
    """Whether an expression has a wildcard that would expand to the registry index, which is hidden."""
    if "*" not in expression and expression != "_all":
        return False
    states = target.get("expand_wildcards") or ""
    hidden = "hidden" in states or "all" in states
    for name in expression.split(","):
        pattern = "*" if name == "_all" else name
        if "*" in pattern and (pattern.startswith(".") or hidden) and fnmatchcase(registry, pattern):
            return True
    return False


def spellings(registry: str) -> tuple[bytes, ...]:
    """Byte strings; every JSON bulk that names the registry index contains one: its name, date math, or an escape."""
    return registry.encode(), b'"<', b"\\u00"


def names_registry(name: str, registry: str) -> bool:
    """Whether a name is that of the registry index, also as date math, which can spell it: `<.head{now{'race'}}>`."""
    if not name.startswith("<"):
        return name == registry
    static, dated, rest = name[1:].removesuffix(">").replace("\\", "").partition("{")
    return registry.startswith(static) and (bool(static) or "'" in rest) if dated else static == registry


def _named(surface: str, body: bytes) -> Iterator[str]:
    """The index expressions that a body names. Raises UnparsableError, InvalidError for one that cannot be read."""
    if surface == "_msearch":
        for header, _ in msearch_items(body):
            if header.strip():
                yield from _of(msgspec.json.decode(canonical(header)), "index", "indices")
        return
    request = msgspec.json.decode(canonical(body)) if body.strip() else None
    if not isinstance(request, dict):
        return
    yield from _of(request, "index", "indices", "_index")
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

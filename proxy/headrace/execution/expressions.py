"""What a request reads: its index expression resolved once, judged, and sent on as it was judged.

Names of indexes take the place of wildcards, exclusions and plain aliases, so that the cluster searches exactly what
the pipelines were chosen for, also where an index is made in the meantime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.protocol.indices.expressions import NOTHING
from headrace.protocol.indices.options import PARAMETERS, READ, IndicesOptions
from headrace_pipelines.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.protocol.indices.view import Reading
    from headrace.server.request import Call

MAX_EXPRESSION = 2048
"""Maximum length in characters of names in a target: a node takes request lines of 4 KiB, escapes included."""


def options_of(call: Call, defaults: IndicesOptions = READ) -> IndicesOptions:
    """How the request's parameters have its expression expanded. Raises InvalidError."""
    return expansion(call.target.values, defaults)


def expansion(given: Mapping[str, object], defaults: IndicesOptions = READ) -> IndicesOptions:
    """The same for parameters or the members of a header line. Raises InvalidError."""
    return defaults if not given or given.keys().isdisjoint(PARAMETERS | _CAMEL) else defaults.with_parameters(given)


_CAMEL = {"expandWildcards", "ignoreUnavailable", "allowNoIndices"}


async def read_by(call: Call, expression: str, options: IndicesOptions = READ) -> Reading:
    """What the request reads. Raises MissingIndexError; RefusedError for what cannot be judged."""
    resolver = call.parts.resolver
    reading = resolver.current(expression, options) or await resolver.reading(expression, options)
    if reading.registry:
        registry = call.parts.settings.registry_index
        raise RefusedError(f"the index [{registry}] is Headrace's own; use /_pipeline and /_udf")
    if reading.remote and call.snapshot.protects:
        raise RefusedError(
            f"[{reading.remote}] is of a remote cluster: what it holds cannot be judged here, and there are final "
            "pipelines; search that cluster by a proxy of its own"
        )
    return reading


def forwardable(reading: Reading) -> str | None:
    """The names to send on; `None` where names cannot say what was judged, or are too long for a target."""
    expression = reading.expression
    return expression if expression is not None and len(expression) <= MAX_EXPRESSION else None


def narrow(call: Call, reading: Reading) -> bool:
    """Puts the names that were judged into the request's path; false where that does not say what was judged."""
    expression = forwardable(reading)
    if expression is None:
        return False
    if reading.resolution.forwarded == NOTHING:
        call.target = call.target.without("expand_wildcards")
    given = call.params.get("index")
    if "index" in call.target.values:
        # The plugin of asynchronous searches takes the indexes as a parameter.
        call.target = call.target.with_parameter("index", expression)
    elif expression != given:
        call.target = call.target.at_indexes(expression, instead=given is not None)
        call.narrowed = True
    return not reading.resolution.aliased

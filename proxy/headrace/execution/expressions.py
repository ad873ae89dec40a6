"""The index expression of a request: resolved once, judged, and forwarded as it was judged.

Names of indexes take the place of wildcards, exclusions and plain aliases, so that the cluster searches exactly what
the pipelines were chosen for, also where an index is made in the meantime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.protocol.indices.expressions import NOTHING
from headrace.protocol.indices.options import READ, IndicesOptions, expansion
from headrace_pipelines.errors import RefusedError

if TYPE_CHECKING:
    from headrace.protocol.indices.view import Reading
    from headrace.server.request import RequestContext

MAX_EXPRESSION = 2048
"""Maximum length in characters of names in a target: a node takes request lines of 4 KiB, escapes included."""


def options_of(context: RequestContext, defaults: IndicesOptions = READ) -> IndicesOptions:
    """The expansion options in the request's parameters. Raises InvalidError."""
    return expansion(context.target.values, defaults)


async def read_by(context: RequestContext, expression: str, options: IndicesOptions = READ) -> Reading:
    """The indexes that the request reads. Raises MissingIndexError; RefusedError for what cannot be judged."""
    resolver = context.components.resolver
    reading = resolver.current(expression, options) or await resolver.reading(expression, options)
    if reading.registry:
        registry = context.components.settings.registry_index
        raise RefusedError(f"the index [{registry}] is Headrace's own; use /_pipeline and /_udf")
    if reading.remote and context.snapshot.protects:
        raise RefusedError(
            f"[{reading.remote}] is of a remote cluster: what it holds cannot be judged here, and there are final "
            "pipelines; search that cluster by a proxy of its own"
        )
    return reading


def forwardable(reading: Reading) -> str | None:
    """The names to send on; `None` where names cannot say what was judged, or are too long for a target."""
    expression = reading.expression
    return expression if expression is not None and len(expression) <= MAX_EXPRESSION else None


def narrow(context: RequestContext, reading: Reading) -> bool:
    """Puts the names that were judged into the request's path; false where that does not say what was judged."""
    expression = forwardable(reading)
    if expression is None:
        return False
    if reading.resolution.forwarded == NOTHING:
        context.target = context.target.without("expand_wildcards")
    given = context.params.get("index")
    if "index" in context.target.values:
        # The plugin of asynchronous searches takes the indexes as a parameter.
        context.target = context.target.with_parameter("index", expression)
    elif expression != given:
        context.target = context.target.at_indexes(expression, instead=given is not None)
        context.narrowed = True
    return not reading.resolution.aliased

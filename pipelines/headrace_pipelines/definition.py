"""Definitions of pipelines and stages, as frozen structs that refuse unknown fields.

[`parse`] turns a request body into a [`PipelineDefinition`], or raises InvalidError whose `field` is the path of the
first fault (`stages[1].config.udf_name`).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Literal, TypeVar

import msgspec

from headrace_pipelines import units
from headrace_pipelines.engine import plain_json
from headrace_pipelines.errors import InvalidError, NestedError, UnparsableError
from headrace_pipelines.errors.validation import explained

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
LATEST = "latest"
"""In place of a version: the latest UDF, or the active version of a pipeline, at every moment anew."""
DEEPEST_COMPOSITE = 10
"""Maximum nesting of composites, failure handlers and referenced pipelines: it bounds recursion and work."""
STREAM = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
"""A name of a stream of dead letters: never a hidden index, such as the registry."""
DEAD_LETTERS = "headrace-dead-letters"
"""The stream of dead letters where none is named."""
MOST_ATTEMPTS = 100
"""Maximum of `max_attempts`: it bounds the time of a stage."""
T = TypeVar("T")
EMPTY = msgspec.Raw(b"{}")


class PipelineType(Enum):
    """Where a pipeline runs: before indexing, before a search, after a search."""

    DOCUMENT = "document"
    QUERY = "query"
    RESULT = "result"

    # Enum's own is written in Python, and every request asks for a few; a member equals itself only.
    __hash__ = object.__hash__


SCOPES: dict[PipelineType, tuple[str, ...]] = {
    PipelineType.DOCUMENT: ("document",),
    PipelineType.QUERY: ("request",),
    PipelineType.RESULT: ("response", "hit"),
}
"""Scopes of a UDF stage by the type of its pipeline; the first is the default."""


class FailurePolicy(Enum):
    """The policy for a document, query or response on which a stage failed."""

    ABORT = "abort"
    CONTINUE = "continue"
    RETRY = "retry"


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of definitions: immutable, and an unknown field is an error."""


RetryableError = Literal["timeout", "trap", "out_of_memory", "error"]
RETRYABLE: tuple[RetryableError, ...] = ("timeout", "trap", "out_of_memory", "error")


class RetryConfig(Strict, frozen=True, kw_only=True):
    """Retries of a failed document; delays grow from `initial_delay` by `multiplier` up to `max_delay`.

    `max_attempts` counts the first one; `retryable_errors` are classes of failures, other failures are not tried again.
    """

    max_attempts: int = 3
    initial_delay: str = "10ms"
    max_delay: str = "1s"
    multiplier: float = 2.0
    retryable_errors: tuple[RetryableError, ...] = RETRYABLE


class UdfConfig(Strict, frozen=True, kw_only=True):
    """A UDF by name; `parameters` is a JSON object; `merge` writes an answer over the input, not in its place.

    `udf_version`: left out, it the latest version at the time of storing (`registry.pins`).

    `scope`: the whole body, or in result pipelines `hit`: once for each hit; with `protect` also for those of inner
    hits and `top_hits`. `view`: a response comes without OpenSearch's nesting (`flat`).
    """

    udf_name: str | None = None
    udf_version: str | None = None
    code: str | None = None
    parameters: msgspec.Raw = EMPTY
    scope: Literal["request", "response", "document", "hit"] | None = None
    protect: bool = False
    view: Literal["flat"] | None = None
    target_field: str | None = None
    merge: bool = False


class NativeConfig(Strict, frozen=True, kw_only=True):
    """A built-in by the name of its function; `parameters` are those of OpenSearch's processor of that name."""

    function: str
    parameters: msgspec.Raw = EMPTY


class CompositeConfig(Strict, frozen=True, kw_only=True):
    """Nested stages, or another pipeline of the same type."""

    stages: list[StageDefinition] | None = None
    pipeline: str | None = None
    version: str | None = None


class _Stage(Strict, frozen=True, kw_only=True, tag_field="type"):
    name: str
    description: str = ""
    enabled: bool = True
    condition: str | None = msgspec.field(name="if", default=None)
    on_failure: FailurePolicy | list[StageDefinition] | None = None
    retry: RetryConfig | None = None
    timeout: str | None = None


class UdfStage(_Stage, frozen=True, kw_only=True, tag="python"):
    """A UDF in a sandbox, whatever language it was written in."""

    config: UdfConfig


class WasmStage(UdfStage, frozen=True, kw_only=True, tag="wasm"):
    """The same under its other name."""


class JavaScriptStage(UdfStage, frozen=True, kw_only=True, tag="javascript"):
    """The same, and its own `code` is JavaScript."""


class NativeStage(_Stage, frozen=True, kw_only=True, tag="native"):
    """A built-in function."""

    config: NativeConfig


class CompositeStage(_Stage, frozen=True, kw_only=True, tag="composite"):
    """A list of stages as one."""

    config: CompositeConfig


StageDefinition = UdfStage | WasmStage | JavaScriptStage | NativeStage | CompositeStage


DeadLetterCause = Literal["pipeline", "mapping"]
CAUSES: tuple[DeadLetterCause, ...] = ("pipeline", "mapping")


class DeadLetters(Strict, frozen=True, kw_only=True):
    """The stream for documents that end as errors, which are written to it before the client has its answer.

    `on`: failures of stages (`pipeline`), and documents that the cluster refuses for good (`mapping`); an empty list
    switches dead letters off. `answer`: such a document is still an `error`, or `accepted` like one that is indexed.
    """

    stream: str = DEAD_LETTERS
    on: tuple[DeadLetterCause, ...] = CAUSES
    answer: Literal["error", "accepted"] = "error"


class PipelineDefinition(Strict, frozen=True, kw_only=True):
    """A pipeline. `version` may be absent in a request; the registry then counts on."""

    name: str
    type: PipelineType
    stages: list[StageDefinition]
    version: str = ""
    description: str = ""
    enabled: bool = True
    on_failure: FailurePolicy | list[StageDefinition] | None = None
    retry: RetryConfig | None = None
    timeout: str | None = None
    dead_letters: DeadLetters | None = None
    metadata: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """`name@version`, as headers and errors show it."""
        return f"{self.name}@{self.version}"


def parse(body: bytes, name: str) -> PipelineDefinition:
    """The definition in a request body for the pipeline `name` of the path. Raises InvalidError."""
    fields = members_of(body)
    given = fields.setdefault("name", msgspec.Raw(msgspec.json.encode(name)))
    if (sent := msgspec.json.decode(given)) != name:
        raise InvalidError(f"is [{sent}], but the path names [{name}]", "name")
    definition = decode(msgspec.json.encode(fields))
    validate(definition)
    return definition


def members_of(body: bytes) -> dict[str, msgspec.Raw]:
    """The members of the JSON object in `body`, each value's text as it was written. Raises UnparsableError."""
    return _decoded(body, dict[str, msgspec.Raw])


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises UnparsableError."""
    return _decoded(body, dict[str, Any])


def _decoded(body: bytes, what: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=what)
    except msgspec.ValidationError:
        raise UnparsableError("the request body must be a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if (plain := plain_json(body)) is not None:
            return _decoded(plain, what)
        raise UnparsableError(f"the request body is not JSON: {error}") from None
    except RecursionError:
        raise NestedError from None


def decode(body: bytes) -> PipelineDefinition:
    """A stored or sent definition, its types checked. Raises InvalidError."""
    try:
        return msgspec.json.decode(body, type=PipelineDefinition)
    except msgspec.ValidationError as error:
        raise explained(error, PipelineDefinition, body) from None
    except RecursionError:
        raise NestedError from None


def encode(definition: PipelineDefinition) -> bytes:
    """The definition as JSON text."""
    return msgspec.json.encode(definition)


def validate(definition: PipelineDefinition) -> None:
    """Checks what types cannot say: names, versions, durations, unique stage names. Raises InvalidError."""
    check_name(definition.name)
    if definition.version and not VERSION.fullmatch(definition.version):
        raise InvalidError(f"[{definition.version}] does not match {VERSION.pattern}", "version")
    check_version(definition.version)
    if definition.timeout is not None:
        units.seconds(definition.timeout, "timeout")
    if definition.dead_letters is not None:
        if definition.type is not PipelineType.DOCUMENT:
            raise InvalidError("belongs to document pipelines", "dead_letters")
        check_dead_letters(definition.dead_letters)
    if not definition.stages:
        raise InvalidError("a pipeline needs at least one stage", "stages")
    _check_stages(definition.stages, "stages", definition.type, depth=1)
    _check_policy(definition.on_failure, definition.retry, "", definition.type, depth=1)


def check_name(name: str) -> None:
    """Raises InvalidError unless `name` is one that a pipeline or a UDF may have."""
    if not NAME.fullmatch(name):
        raise InvalidError(f"[{name}] does not match {NAME.pattern}", "name")


def check_dead_letters(dead_letters: DeadLetters) -> None:
    """Raises InvalidError unless the stream has a name that a data stream may have."""
    if not STREAM.fullmatch(dead_letters.stream):
        raise InvalidError(f"[{dead_letters.stream}] does not match {STREAM.pattern}", "dead_letters.stream")


def check_version(version: str) -> None:
    """Raises InvalidError for the word that stands for a version where one is named."""
    if version == LATEST:
        raise InvalidError(f"[{LATEST}] is no version: where one is named, it stands for the latest", "version")


def _check_stages(stages: list[StageDefinition], path: str, kind: PipelineType, depth: int) -> None:
    seen: set[str] = set()
    for i, stage in enumerate(stages):
        here = f"{path}[{i}]"
        if not stage.name:
            raise InvalidError("must not be empty", f"{here}.name")
        if stage.name in seen:
            raise InvalidError(f"stage name [{stage.name}] is used twice", f"{here}.name")
        seen.add(stage.name)
        if stage.timeout is not None:
            units.seconds(stage.timeout, f"{here}.timeout")
        _check_policy(stage.on_failure, stage.retry, f"{here}.", kind, depth)
        match stage:
            case UdfStage(config=config):
                _check_udf(config, f"{here}.config", kind)
            case CompositeStage(config=config):
                _check_composite(config, f"{here}.config", kind, depth)


def _check_policy(
    on_failure: FailurePolicy | list[StageDefinition] | None,
    retry: RetryConfig | None,
    path: str,
    kind: PipelineType,
    depth: int,
) -> None:
    if isinstance(on_failure, list):
        if not on_failure:
            raise InvalidError("a list of stages must not be empty; leave it out for the default", f"{path}on_failure")
        if depth >= DEEPEST_COMPOSITE:
            raise InvalidError(f"nested deeper than {DEEPEST_COMPOSITE}", f"{path}on_failure")
        _check_stages(on_failure, f"{path}on_failure", kind, depth + 1)
    if retry is None:
        return
    if not 1 <= retry.max_attempts <= MOST_ATTEMPTS:
        raise InvalidError(f"must be between 1 and {MOST_ATTEMPTS}", f"{path}retry.max_attempts")
    if not 1.0 <= retry.multiplier <= 100.0:
        raise InvalidError("must be between 1 and 100", f"{path}retry.multiplier")
    units.seconds(retry.initial_delay, f"{path}retry.initial_delay")
    units.seconds(retry.max_delay, f"{path}retry.max_delay")


def _check_udf(config: UdfConfig, path: str, kind: PipelineType) -> None:
    if config.code is not None and (config.udf_name or config.udf_version):
        raise InvalidError("is the stage's own code; leave udf_name and udf_version out", f"{path}.code")
    if config.code is None and not config.udf_name:
        raise InvalidError("required: the name of an uploaded UDF, or its code in [code]", f"{path}.udf_name")
    if config.scope not in (None, *SCOPES[kind]):
        raise InvalidError(
            f"[{config.scope}] is not a scope of {kind.value} pipelines; there are {', '.join(SCOPES[kind])}",
            f"{path}.scope",
        )
    if config.view is not None and (kind is not PipelineType.RESULT or config.scope == "hit"):
        raise InvalidError("belongs to the whole responses of result pipelines", f"{path}.view")
    if config.protect and config.scope != "hit":
        raise InvalidError("belongs to the scope [hit]", f"{path}.protect")


def _check_composite(config: CompositeConfig, path: str, kind: PipelineType, depth: int) -> None:
    if (config.stages is None) == (config.pipeline is None):
        raise InvalidError("exactly one of stages and pipeline is required", path)
    if depth >= DEEPEST_COMPOSITE:
        raise InvalidError(f"nested deeper than {DEEPEST_COMPOSITE}", path)
    if config.stages is not None:
        if not config.stages:
            raise InvalidError("a composite needs at least one stage", f"{path}.stages")
        _check_stages(config.stages, f"{path}.stages", kind, depth + 1)

"""`Client`: calls that block.

Every method raises ClientError for an answer that is an error, and UnreachableError where there is no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from opensearchpy.exceptions import OpenSearchException

from headrace.client import calls, streams, transport
from headrace.client import target as targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from headrace.client.answers import (
        AssociationStored,
        DeadLetterGroups,
        PipelineList,
        PipelineStored,
        RunResult,
        SetChanged,
        UdfList,
        UdfStored,
        VersionList,
    )

Call = Callable[[transport.Request], Any]


class Pipelines:
    """`/_pipeline`: definitions, versions, trial runs and statistics."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def list(self, *, type: str | None = None, enabled: bool | None = None) -> PipelineList:  # noqa: A002 - the parameter's name
        """All pipelines, or those of a type."""
        return self._call(calls.read("_pipeline", type=type, enabled=enabled))

    def get(self, name: str, *, version: str | None = None, type: str | None = None) -> dict[str, Any]:  # noqa: A002
        """The definition of a pipeline."""
        return self._call(calls.read("_pipeline", name, version=version, type=type))

    def put(self, name: str, definition: Mapping[str, Any], **params: Any) -> PipelineStored:
        """Stores a version and makes it active."""
        return self._call(calls.store("_pipeline", name, body=definition, **params))

    def delete(
        self,
        name: str,
        *,
        version: str | None = None,
        type: str | None = None,  # noqa: A002
        **params: Any,
    ) -> dict[str, Any]:
        """Deletes a pipeline, or one version of it."""
        return self._call(calls.remove("_pipeline", name, version=version, type=type, **params))

    def versions(self, name: str, *, type: str | None = None) -> VersionList:  # noqa: A002
        """The versions of a pipeline."""
        return self._call(calls.read("_pipeline", name, "_versions", type=type))

    def activate(self, name: str, version: str, *, type: str | None = None, **params: Any) -> PipelineStored:  # noqa: A002
        """Makes a version active."""
        return self._call(calls.post("_pipeline", name, "_activate", version=version, type=type, **params))

    def start_rollout(self, name: str, body: Mapping[str, Any], *, type: str | None = None) -> dict[str, Any]:  # noqa: A002
        """Starts a rollout of a stored version beside the active one."""
        return self._call(calls.store("_pipeline", name, "_rollout", body=dict(body), type=type))

    def rollout(self, name: str, *, type: str | None = None) -> dict[str, Any]:  # noqa: A002
        """The newest rollout of a pipeline."""
        return self._call(calls.read("_pipeline", name, "_rollout", type=type))

    def change_rollout(self, name: str, action: str, *, type: str | None = None, **params: Any) -> dict[str, Any]:  # noqa: A002
        """Changes a rollout; `action` is `promote`, `abort`, `pause` or `resume`."""
        return self._call(calls.post("_pipeline", name, f"_{action}", type=type, **params))

    def execute(self, name: str | None, body: dict[str, Any], **params: Any) -> RunResult:
        """Runs a stored pipeline, or that of the body where `name` is None, on `input` or `docs` of the body."""
        return self._call(calls.run(name, body, **params))

    def convert(self, body: dict[str, Any]) -> dict[str, Any]:
        """Converts a pipeline of the cluster: `{"ingest" | "search": NAME, "name": …}`."""
        return self._call(calls.post("_pipeline", "_import", body=body))

    def stats(self, name: str | None = None) -> dict[str, Any]:
        """Statistics of a pipeline, or of all."""
        return self._call(calls.read("_pipeline", *([name] if name else []), "_stats"))


class Udfs:
    """`/_udf`: code, versions, trial runs and statistics."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def list(self, **filters: str | None) -> UdfList:
        """The manifests of all UDFs, or of those with `category`, `author`, `tag` or `language`."""
        return self._call(calls.read("_udf", **filters))

    def get(self, name: str, *, version: str | None = None) -> dict[str, Any]:
        """The manifest of a UDF."""
        return self._call(calls.read("_udf", name, version=version))

    def put(
        self, name: str, code: bytes | dict[str, Any], *, media_type: str = "text/x-python", **params: Any
    ) -> UdfStored:
        """Uploads bare code of `media_type`, or a manifest where `code` is a dict."""
        return self._call(calls.store_udf(name, code, media_type, **params))

    def delete(self, name: str, *, version: str | None = None, **params: Any) -> dict[str, Any]:
        """Deletes a UDF, or one version of it."""
        return self._call(calls.remove("_udf", name, version=version, **params))

    def versions(self, name: str) -> VersionList:
        """The versions of a UDF."""
        return self._call(calls.read("_udf", name, "_versions"))

    def source(self, name: str, *, version: str | None = None) -> dict[str, Any]:
        """The code: `{"language", "digest", "source"}`, or `wasm` in base64 in place of `source`."""
        return self._call(calls.read("_udf", name, "_source", version=version, format="json"))

    def test(self, name: str, body: dict[str, Any], **params: Any) -> RunResult:
        """Runs a UDF on `input` of the body."""
        return self._call(calls.post("_udf", name, "_test", body=body, **params))

    def stats(self, name: str, *, version: str | None = None) -> dict[str, Any]:
        """Statistics of a UDF."""
        return self._call(calls.read("_udf", name, "_stats", version=version))

    def logs(self, name: str, *, lines: int | None = None) -> dict[str, Any]:
        """The last lines that a UDF has logged, at most 200."""
        return self._call(calls.read("_udf", name, "_logs", lines=lines))


class Associations:
    """`/_pipeline/_association`, and what runs on an index."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def list(self) -> dict[str, Any]:
        """All associations."""
        return self._call(calls.read("_pipeline", "_association"))

    def get(self, pattern: str) -> dict[str, Any]:
        """What is attached to a pattern."""
        return self._call(calls.read("_pipeline", "_association", pattern))

    def put(self, pattern: str, association: Mapping[str, Any], **params: Any) -> AssociationStored:
        """Attaches pipelines to a pattern. It replaces what is attached."""
        return self._call(calls.store("_pipeline", "_association", pattern, body=association, **params))

    def delete(self, pattern: str, **params: Any) -> dict[str, Any]:
        """Removes what is attached to a pattern."""
        return self._call(calls.remove("_pipeline", "_association", pattern, **params))

    def resolve(self, index: str) -> dict[str, Any]:
        """The pipelines that run on the indexes of an expression, with the reason of each."""
        return self._call(calls.read(index, "_pipeline", "_resolve"))


class Registry:
    """`/_registry`: sets of pipelines, UDFs and associations that are in force as a whole."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def diff(self, body: Mapping[str, Any]) -> SetChanged:
        """What applying a set would change."""
        return self._call(calls.post("_registry", "_diff", body=body))

    def apply(self, body: Mapping[str, Any]) -> SetChanged:
        """Brings a set in force as a whole, or nothing of it."""
        return self._call(calls.post("_registry", "_apply", body=body))

    def export(self, set: str | None = None) -> dict[str, Any]:  # noqa: A002 - the parameter's name
        """A set in the form in which it is applied, or what no set has."""
        return self._call(calls.read("_registry", "_export", set=set))

    def revisions(self, set: str | None = None) -> dict[str, Any]:  # noqa: A002
        """The kept revisions of a set, newest first, and what each worker has in force; or all sets."""
        return self._call(calls.read("_registry", "_revisions", set=set))

    def rollback(self, set: str, revision: int, body: Mapping[str, Any] | None = None) -> SetChanged:  # noqa: A002
        """Brings an earlier revision in force again, as a new one; `body` may have `source` and `expected`."""
        return self._call(calls.post("_registry", "_rollback", body=body or {}, set=set, revision=revision))


class DeadLetters:
    """`/_dead_letters`: documents that ended as errors; `stream` is the data stream of their records."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def list(self, **filters: str | None) -> DeadLetterGroups:
        """The groups of records that failed alike, with `index`, `pipeline`, `since` or `stream`."""
        return self._call(calls.read("_dead_letters", **filters))

    def get(self, name: str, *, size: int | None = None, stream: str | None = None) -> dict[str, Any]:
        """A record by its id, or the oldest records of a group."""
        return self._call(calls.read("_dead_letters", name, size=size, stream=stream))

    def redrive(self, body: Mapping[str, Any], *, stream: str | None = None) -> dict[str, Any]:
        """Sends documents again: the task, or with `dry_run` what would become of them."""
        return self._call(calls.post("_dead_letters", "_redrive", body=body, stream=stream))

    def task(self, task: str, *, stream: str | None = None) -> dict[str, Any]:
        """How far a redrive is."""
        return self._call(calls.read("_dead_letters", "_redrive", task, stream=stream))

    def delete(self, group: str, *, stream: str | None = None) -> dict[str, Any]:
        """Deletes the records of a group."""
        return self._call(calls.remove("_dead_letters", group=group, stream=stream))


class Client:
    """A client that blocks.

    Without arguments it calls the target of `HEADRACE_TARGET` or `HEADRACE_URL`, else `http://127.0.0.1:9280`.
    Raises InvalidError for a target that does not exist.
    """

    def __init__(self, url: str = "", *, target: targets.Target | str = "") -> None:
        self.target = target if isinstance(target, targets.Target) else targets.load(target, url)
        self._client = transport.connect(self.target)
        self.pipelines = Pipelines(self._run)
        self.udfs = Udfs(self._run)
        self.associations = Associations(self._run)
        self.registry = Registry(self._run)
        self.dead_letters = DeadLetters(self._run)

    def _run(self, request: transport.Request) -> Any:
        try:
            return self._client.transport.perform_request(
                request.method,
                request.path,
                params=request.params,
                body=request.payload(),
                headers=request.headers(),
            )
        except OpenSearchException as error:
            raise transport.raised(error, self.target.url) from None

    def request(self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """Any other call; returns the decoded answer. `path` is quoted as it is to go."""
        request = transport.Request(method, path, transport.parameters(params or {}), body)
        return self._run(request)

    def tap(self, selection: Mapping[str, Any] | None = None, **members: Any) -> Iterator[dict[str, Any]]:
        """Documents, queries and results as they change, live; the last one has the counts, and `end`.

        `selection` and `members` are those of `POST /_proxy/tap`. Raises InvalidError for a `duration` that is none.
        """
        request, seconds = calls.tap({**(selection or {}), **members})
        return streams.lines(self.target, request, seconds)

    def udf_lines(self, name: str, count: int) -> Iterator[dict[str, Any]]:
        """The last lines that a UDF has logged, and those of the next ten minutes."""
        request, seconds = calls.udf_lines(name, count)
        return streams.lines(self.target, request, seconds)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

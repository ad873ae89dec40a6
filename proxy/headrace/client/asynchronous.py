"""`AsyncClient`: the calls of `Client` for an event loop.

Every method raises ClientError for an answer that is an error, and UnreachableError where there is no answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from opensearchpy.exceptions import OpenSearchException

from headrace.client import calls, streams, transport
from headrace.client import target as targets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
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

Call = Callable[[transport.Request], Awaitable[Any]]


class AsyncPipelines:
    """`/_pipeline`: definitions, versions, trial runs and statistics."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self, *, type: str | None = None, enabled: bool | None = None) -> PipelineList:  # noqa: A002 - the parameter's name
        """All pipelines, or those of a type."""
        return await self._call(calls.read("_pipeline", type=type, enabled=enabled))

    async def get(self, name: str, *, version: str | None = None, type: str | None = None) -> dict[str, Any]:  # noqa: A002
        """The definition of a pipeline."""
        return await self._call(calls.read("_pipeline", name, version=version, type=type))

    async def put(self, name: str, definition: Mapping[str, Any], **params: Any) -> PipelineStored:
        """Stores a version and makes it active."""
        return await self._call(calls.store("_pipeline", name, body=definition, **params))

    async def delete(
        self,
        name: str,
        *,
        version: str | None = None,
        type: str | None = None,  # noqa: A002
        **params: Any,
    ) -> dict[str, Any]:
        """Deletes a pipeline, or one version of it."""
        return await self._call(calls.remove("_pipeline", name, version=version, type=type, **params))

    async def versions(self, name: str, *, type: str | None = None) -> VersionList:  # noqa: A002
        """The versions of a pipeline."""
        return await self._call(calls.read("_pipeline", name, "_versions", type=type))

    async def activate(self, name: str, version: str, *, type: str | None = None, **params: Any) -> PipelineStored:  # noqa: A002
        """Makes a version active."""
        return await self._call(calls.post("_pipeline", name, "_activate", version=version, type=type, **params))

    async def start_rollout(self, name: str, body: Mapping[str, Any], *, type: str | None = None) -> dict[str, Any]:  # noqa: A002
        """Starts a rollout of a stored version beside the active one."""
        return await self._call(calls.store("_pipeline", name, "_rollout", body=dict(body), type=type))

    async def rollout(self, name: str, *, type: str | None = None) -> dict[str, Any]:  # noqa: A002
        """The newest rollout of a pipeline."""
        return await self._call(calls.read("_pipeline", name, "_rollout", type=type))

    async def change_rollout(self, name: str, action: str, *, type: str | None = None, **params: Any) -> dict[str, Any]:  # noqa: A002
        """Changes a rollout; `action` is `promote`, `abort`, `pause` or `resume`."""
        return await self._call(calls.post("_pipeline", name, f"_{action}", type=type, **params))

    async def execute(self, name: str | None, body: dict[str, Any], **params: Any) -> RunResult:
        """Runs a stored pipeline, or that of the body where `name` is None, on `input` or `docs` of the body."""
        return await self._call(calls.run(name, body, **params))

    async def convert(self, body: dict[str, Any]) -> dict[str, Any]:
        """Converts a pipeline of the cluster: `{"ingest" | "search": NAME, "name": …}`."""
        return await self._call(calls.post("_pipeline", "_import", body=body))

    async def stats(self, name: str | None = None) -> dict[str, Any]:
        """Statistics of a pipeline, or of all."""
        return await self._call(calls.read("_pipeline", *([name] if name else []), "_stats"))


class AsyncUdfs:
    """`/_udf`: code, versions, trial runs and statistics."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self, **filters: str | None) -> UdfList:
        """The manifests of all UDFs, or of those with `category`, `author`, `tag` or `language`."""
        return await self._call(calls.read("_udf", **filters))

    async def get(self, name: str, *, version: str | None = None) -> dict[str, Any]:
        """The manifest of a UDF."""
        return await self._call(calls.read("_udf", name, version=version))

    async def put(
        self, name: str, code: bytes | dict[str, Any], *, media_type: str = "text/x-python", **params: Any
    ) -> UdfStored:
        """Uploads bare code of `media_type`, or a manifest where `code` is a dict."""
        return await self._call(calls.store_udf(name, code, media_type, **params))

    async def delete(self, name: str, *, version: str | None = None, **params: Any) -> dict[str, Any]:
        """Deletes a UDF, or one version of it."""
        return await self._call(calls.remove("_udf", name, version=version, **params))

    async def versions(self, name: str) -> VersionList:
        """The versions of a UDF."""
        return await self._call(calls.read("_udf", name, "_versions"))

    async def source(self, name: str, *, version: str | None = None) -> dict[str, Any]:
        """The code: `{"language", "digest", "source"}`, or `wasm` in base64 in place of `source`."""
        return await self._call(calls.read("_udf", name, "_source", version=version, format="json"))

    async def test(self, name: str, body: dict[str, Any], **params: Any) -> RunResult:
        """Runs a UDF on `input` of the body."""
        return await self._call(calls.post("_udf", name, "_test", body=body, **params))

    async def stats(self, name: str, *, version: str | None = None) -> dict[str, Any]:
        """Statistics of a UDF."""
        return await self._call(calls.read("_udf", name, "_stats", version=version))

    async def logs(self, name: str, *, lines: int | None = None) -> dict[str, Any]:
        """The last lines that a UDF has logged, at most 200."""
        return await self._call(calls.read("_udf", name, "_logs", lines=lines))


class AsyncAssociations:
    """`/_pipeline/_association`, and what runs on an index."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self) -> dict[str, Any]:
        """All associations."""
        return await self._call(calls.read("_pipeline", "_association"))

    async def get(self, pattern: str) -> dict[str, Any]:
        """What is attached to a pattern."""
        return await self._call(calls.read("_pipeline", "_association", pattern))

    async def put(self, pattern: str, association: Mapping[str, Any], **params: Any) -> AssociationStored:
        """Attaches pipelines to a pattern. It replaces what is attached."""
        return await self._call(calls.store("_pipeline", "_association", pattern, body=association, **params))

    async def delete(self, pattern: str, **params: Any) -> dict[str, Any]:
        """Removes what is attached to a pattern."""
        return await self._call(calls.remove("_pipeline", "_association", pattern, **params))

    async def resolve(self, index: str) -> dict[str, Any]:
        """The pipelines that run on the indexes of an expression, with the reason of each."""
        return await self._call(calls.read(index, "_pipeline", "_resolve"))


class Registry:
    """`/_registry`: sets of pipelines, UDFs and associations that are in force as a whole."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def diff(self, body: Mapping[str, Any]) -> SetChanged:
        """What applying a set would change."""
        return await self._call(calls.post("_registry", "_diff", body=body))

    async def apply(self, body: Mapping[str, Any]) -> SetChanged:
        """Brings a set in force as a whole, or nothing of it."""
        return await self._call(calls.post("_registry", "_apply", body=body))

    async def export(self, set: str | None = None) -> dict[str, Any]:  # noqa: A002 - the parameter's name
        """A set in the form in which it is applied, or what no set has."""
        return await self._call(calls.read("_registry", "_export", set=set))

    async def revisions(self, set: str | None = None) -> dict[str, Any]:  # noqa: A002
        """The kept revisions of a set, newest first, and what each worker has in force; or all sets."""
        return await self._call(calls.read("_registry", "_revisions", set=set))

    async def rollback(self, set: str, revision: int, body: Mapping[str, Any] | None = None) -> SetChanged:  # noqa: A002
        """Brings an earlier revision in force again, as a new one; `body` may have `source` and `expected`."""
        return await self._call(calls.post("_registry", "_rollback", body=body or {}, set=set, revision=revision))


class AsyncDeadLetters:
    """`/_dead_letters`: documents that ended as errors; `stream` is the data stream of their records."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self, **filters: str | None) -> DeadLetterGroups:
        """The groups of records that failed alike, with `index`, `pipeline`, `since` or `stream`."""
        return await self._call(calls.read("_dead_letters", **filters))

    async def get(self, name: str, *, size: int | None = None, stream: str | None = None) -> dict[str, Any]:
        """A record by its id, or the oldest records of a group."""
        return await self._call(calls.read("_dead_letters", name, size=size, stream=stream))

    async def redrive(self, body: Mapping[str, Any], *, stream: str | None = None) -> dict[str, Any]:
        """Sends documents again: the task, or with `dry_run` what would become of them."""
        return await self._call(calls.post("_dead_letters", "_redrive", body=body, stream=stream))

    async def task(self, task: str, *, stream: str | None = None) -> dict[str, Any]:
        """How far a redrive is."""
        return await self._call(calls.read("_dead_letters", "_redrive", task, stream=stream))

    async def delete(self, group: str, *, stream: str | None = None) -> dict[str, Any]:
        """Deletes the records of a group."""
        return await self._call(calls.remove("_dead_letters", group=group, stream=stream))


class AsyncClient:
    """A client for an event loop.

    Without arguments it calls the target of `HEADRACE_TARGET` or `HEADRACE_URL`, else `http://127.0.0.1:9280`.
    Raises InvalidError for a target that does not exist.
    """

    def __init__(self, url: str = "", *, target: targets.Target | str = "") -> None:
        self.target = target if isinstance(target, targets.Target) else targets.load(target, url)
        self._client = transport.connect_async(self.target)
        self.pipelines = AsyncPipelines(self._run)
        self.udfs = AsyncUdfs(self._run)
        self.associations = AsyncAssociations(self._run)
        self.registry = Registry(self._run)
        self.dead_letters = AsyncDeadLetters(self._run)

    async def _run(self, request: transport.Request) -> Any:
        try:
            return await self._client.transport.perform_request(
                request.method,
                request.path,
                params=request.params,
                body=request.payload(),
                headers=request.headers(),
            )
        except OpenSearchException as error:
            raise transport.raised(error, self.target.url) from None

    async def request(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        """Any other call; returns the decoded answer. `path` is quoted as it is to go."""
        request = transport.Request(method, path, transport.parameters(params or {}), body)
        return await self._run(request)

    def tap(self, selection: Mapping[str, Any] | None = None, **members: Any) -> AsyncIterator[dict[str, Any]]:
        """Documents, queries and results as they change, live; the last one has the counts, and `end`.

        `selection` and `members` are those of `POST /_proxy/tap`. Raises InvalidError for a `duration` that is none.
        """
        request, seconds = calls.tap({**(selection or {}), **members})
        return streams.async_lines(self.target, request, seconds)

    def udf_lines(self, name: str, count: int) -> AsyncIterator[dict[str, Any]]:
        """The last lines that a UDF has logged, and those of the next ten minutes."""
        request, seconds = calls.udf_lines(name, count)
        return streams.async_lines(self.target, request, seconds)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

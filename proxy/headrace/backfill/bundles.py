"""The code of a job: a pipeline with all that it refers to, from a proxy or from the set of a project directory."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

import msgspec

from headrace.backfill.spec import BackfillError
from headrace.client.errors import ClientError
from headrace.client.exchange import Exchange, decoded
from headrace_pipelines import Bundle, PipelineType
from headrace_pipelines.definition import LATEST, PipelineDefinition, members_of, parse
from headrace_pipelines.registry.references import references, udf_configs
from headrace_pipelines.udf import archives
from headrace_pipelines.udf import manifest as manifests
from headrace_pipelines.udf.catalog import digest as digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.client import Target

DEFINITION = frozenset(PipelineDefinition.__struct_fields__)
"""Members of a definition; an answer of the API has more."""
WASM = b"\0asm"
"""The first bytes of a compiled module."""
MANIFEST = frozenset(manifests.Manifest.__struct_fields__)


class Origin(Protocol):
    """Where definitions and code come from. Raises what says that something is missing."""

    def pipeline(self, name: str, version: str | None) -> PipelineDefinition:
        """A document pipeline, in the active version where none is named."""
        ...

    def udf(self, name: str, version: str | None) -> tuple[str, bytes]:
        """The version of a UDF, and the body that would upload it."""
        ...


class Chosen(NamedTuple):
    """A pipeline by its label, `name@version`, and its bundle; `stream`: of its dead letters, or empty."""

    label: str
    bundle: Bundle
    stream: str


def bundle_of(origin: Origin, name: str) -> Chosen:
    """The pipeline `name` or `name@version` with the pipelines and UDFs that it refers to, directly or not.

    Raises BackfillError for a pipeline that is switched off, ClientError and InvalidError for what is missing.
    """
    plain, _, version = name.partition("@")
    root = origin.pipeline(plain, version or None)
    if not root.enabled:
        raise BackfillError(f"the pipeline [{root.label}] is disabled: it would change nothing", "pipeline")
    found: dict[tuple[str, str], tuple[bool, PipelineDefinition]] = {(root.name, root.version): (False, root)}
    udfs: dict[tuple[str, str], bytes] = {}
    waiting = [root]
    while waiting:
        definition = waiting.pop()
        for config in udf_configs(definition):
            udf = config.udf_name or ""
            number, body = origin.udf(udf, _fixed(config.udf_version))
            udfs[udf, number] = uniform(udf, body)
        for referred, wanted, optional in references(definition):
            inner = _referred(origin, referred, wanted, optional=optional)
            if inner is None:
                continue
            floats = _fixed(wanted) is None
            if (inner.name, inner.version) not in found:
                waiting.append(inner)
            before = found.get((inner.name, inner.version), (False, inner))
            found[inner.name, inner.version] = (before[0] or floats, inner)
    # Of several versions of a pipeline the last one is active.
    ordered = sorted(found.values(), key=lambda each: (each[0], each[1].label))
    pipelines = tuple((each.name, msgspec.json.encode(each)) for _, each in ordered)
    bundle = Bundle(pipelines, tuple((udf, body) for (udf, _), body in sorted(udfs.items())))
    return Chosen(root.label, bundle, root.dead_letters.stream if root.dead_letters is not None else "")


def uniform(name: str, body: bytes) -> bytes:
    """The upload of a UDF in its one form, so that equal code has one digest wherever it comes from.

    Raises InvalidError.
    """
    manifest, code, _ = manifests.parse(body, name)
    return upload_of(manifest, code)


def upload_of(manifest: manifests.Manifest, code: bytes) -> bytes:
    """The body that uploads a UDF, from its manifest and its stored code."""
    fields: dict[str, Any] = msgspec.to_builtins(manifest)
    if manifest.language == manifests.PYTHON:
        source, packages = archives.unpacked(code)
        fields |= {"source": source, **({"packages": [packages]} if packages else {})}
    elif manifest.language in manifests.FROM_SOURCE and not code.startswith(WASM):
        fields["source"] = code.decode()
    else:
        fields["wasm"] = base64.b64encode(code).decode()
    return msgspec.json.encode(fields)


def _fixed(version: str | None) -> str | None:
    return None if version in (None, "", LATEST) else version


def _referred(origin: Origin, name: str, version: str | None, *, optional: bool) -> PipelineDefinition | None:
    try:
        return origin.pipeline(name, _fixed(version))
    except (ClientError, BackfillError) as error:
        # What cannot be asked is not missing.
        if optional and (isinstance(error, BackfillError) or error.status == HTTPStatus.NOT_FOUND):
            return None
        raise


class Proxy:
    """A proxy, by its REST API."""

    def __init__(self, target: Target) -> None:
        self._exchange = Exchange(target)

    def pipeline(self, name: str, version: str | None) -> PipelineDefinition:
        """A document pipeline. Raises ClientError."""
        fields = self._members(f"/_pipeline/{quote(name, safe='')}", version, type="document")
        kept = {key: value for key, value in fields.items() if key in DEFINITION}
        return parse(msgspec.json.encode(kept), name)

    def udf(self, name: str, version: str | None) -> tuple[str, bytes]:
        """A version of a UDF with its code. Raises ClientError, BackfillError for code that the API does not show."""
        path = f"/_udf/{quote(name, safe='')}"
        fields = self._members(path, version)
        number = msgspec.json.decode(fields["version"], type=str)
        code = self._members(f"{path}/_source", number, format="json")
        body = {key: value for key, value in fields.items() if key in MANIFEST}
        body |= {key: code[key] for key in ("source", "wasm", "packages") if key in code}
        text = msgspec.json.encode(body)
        if digest_of(manifests.parse(text, name)[1]) != msgspec.json.decode(fields["digest"]):
            raise BackfillError(
                f"the API does not show the UDF [{name}@{number}] as it was uploaded: name its directory with --dir",
                "pipeline",
            )
        return number, text

    def _members(self, path: str, version: str | None, **params: str) -> dict[str, msgspec.Raw]:
        answer = self._exchange.request("GET", path, params | ({"version": version} if version else {}))
        if answer.status != 200:
            decoded(answer)
        return members_of(answer.body)

    def close(self) -> None:
        """Closes the connection."""
        self._exchange.close()


class Directory:
    """The set of a project directory, in the form in which it is applied."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._pipelines = {each["name"]: each for each in body["pipelines"] if each.get("type") == "document"}
        self._udfs = {each["name"]: each for each in body["udfs"]}

    def pipeline(self, name: str, version: str | None) -> PipelineDefinition:
        """A document pipeline; one without a version in its file has every version. Raises BackfillError."""
        fields = self._pipelines.get(name)
        if fields is None:
            raise BackfillError(f"the directory has no document pipeline [{name}]", "pipeline")
        definition = parse(msgspec.json.encode(fields), name)
        if definition.version and version not in (None, definition.version):
            raise BackfillError(f"the directory has [{definition.label}], not version [{version}]", "pipeline")
        number = definition.version or version or "1"
        return msgspec.structs.replace(definition, version=number, type=PipelineType.DOCUMENT)

    def udf(self, name: str, version: str | None) -> tuple[str, bytes]:
        """A UDF; one without a version in its manifest has every version. Raises BackfillError."""
        fields = self._udfs.get(name)
        if fields is None:
            raise BackfillError(f"the directory has no UDF [{name}]", "pipeline")
        manifest, _, _ = manifests.parse(msgspec.json.encode(fields), name)
        if manifest.version and version not in (None, manifest.version):
            raise BackfillError(f"the directory has the UDF [{manifest.label}], not version [{version}]", "pipeline")
        number = manifest.version or version or "1"
        return number, msgspec.json.encode({**fields, "version": number})

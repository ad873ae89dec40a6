"""The records of the registry as documents of its index, and back."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines.definition import decode, encode
from headrace_pipelines.errors import InvalidError, RegistryError
from headrace_pipelines.registry import PipelineRecord, Records, UdfRecord, key
from headrace_pipelines.registry.association import Association, Pattern, Template
from headrace_pipelines.registry.records import Head, Revision
from headrace_pipelines.registry.rollouts.record import Rollout
from headrace_pipelines.registry.sets import merged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

log = logging.getLogger("headrace.registry")

SETS, REVISION = "sets", "revision"
"""Kinds of the document that says which revisions of sets are in force, and of a revision."""
ROLLOUT = "rollout"
"""Kind of the document of a rollout: one for each pipeline that has or had one."""
KINDS = ("pipeline", "udf", "association", "pattern", "template", "active", SETS, REVISION, ROLLOUT)
"""Kinds of documents; chunks of code are documents of their own."""


class Document(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The content of a document; `body` is JSON text, so that definitions keep their exact text."""

    kind: str
    name: str
    body: str

    @cached_property
    def pipeline(self) -> PipelineRecord:
        """The version of a pipeline in the body. Raises msgspec.MsgspecError, InvalidError and KeyError.

        Each reading of the registry asks for those of all documents, most of which are the ones of before.
        """
        return _pipeline_record(self.body)


def now() -> str:
    """The time of a change as records have it, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def text_of(value: object) -> str:
    """A value as JSON text."""
    return msgspec.json.encode(value).decode()


def pipeline_document(record: PipelineRecord) -> Document:
    """A version as it is stored."""
    name = key(record.definition.type, record.definition.name)
    body: dict[str, object] = {"created": record.created, "definition": msgspec.Raw(encode(record.definition))}
    body |= {field: value for field in _OF_SETS if (value := getattr(record, field))}
    return Document(kind="pipeline", name=name, body=text_of(body))


def udf_document(record: UdfRecord) -> Document:
    """A UDF's manifest as it is stored."""
    return Document(kind="udf", name=record.manifest.name, body=text_of(record))


def revision_document(revision: Revision) -> Document:
    """A revision as it is stored."""
    return Document(kind=REVISION, name=revision.set, body=text_of(revision))


def rollout_document(rollout: Rollout) -> Document:
    """A rollout as it is stored."""
    return Document(kind=ROLLOUT, name=rollout.key, body=text_of(rollout))


def heads_document(heads: dict[str, Head]) -> Document:
    """The document that puts revisions in force."""
    return Document(kind=SETS, name=SETS, body=text_of(heads))


_OF_SETS: dict[str, type[Any]] = {"set": str, "staged": int, "tag": str}
"""Members of a stored version that only those of sets have."""
Holder = Association | Pattern | Template
"""A record with attached pipelines."""
HOLDERS: dict[type[Holder], str] = {Association: "association", Pattern: "pattern", Template: "template"}


def holder_documents(records: Records) -> list[Document]:
    """Associations as they are stored."""
    named: list[tuple[str, Holder]] = [(a.index, a) for a in records.associations]
    named += [(p.pattern, p) for p in records.patterns]
    named += [(t.key, t) for t in records.templates]
    return [Document(kind=HOLDERS[type(holder)], name=name, body=text_of(holder)) for name, holder in named]


def records_of(documents: Iterable[Document]) -> Records:
    """The registry behind the documents of the index: what is in force.

    An entry that cannot be read (a newer Headrace wrote it, or somebody by hand) is left out and logged; what depends
    on it fails, the rest of the registry works. Raises RegistryError for a set whose revision cannot be read.
    """
    documents = list(documents)
    stored = stored_records(documents)
    revisions = revisions_of(documents, {head.id for head in stored.heads.values()})
    return merged(stored, {name: revisions[head.id] for name, head in stored.heads.items()})


def revisions_of(documents: Iterable[Document], ids: Collection[str]) -> dict[str, Revision]:
    """The revisions with these ids; another one may be unreadable. Raises RegistryError unless all can be read."""
    found: dict[str, Revision] = {}
    faults: list[str] = []
    wanted = {None, *ids}
    for document in documents if ids else ():
        if document.kind == REVISION and getattr(document, "id", None) in wanted:
            try:
                revision = msgspec.json.decode(document.body, type=Revision)
            except msgspec.MsgspecError as error:
                faults.append(f"a revision of the set [{document.name}] cannot be read: {error}")
            else:
                found[revision.id] = revision
    if missing := set(ids) - found.keys():
        raise RegistryError("; ".join([f"the registry lacks revisions of sets: {', '.join(sorted(missing))}", *faults]))
    return {id_: found[id_] for id_ in ids}


def stored_records(documents: Iterable[Document]) -> Records:
    """Everything that is stored, as if there were no sets: also versions that are not visible."""
    pipelines: list[PipelineRecord] = []
    udfs: list[UdfRecord] = []
    holders: dict[str, list[Any]] = {kind: [] for kind in HOLDERS.values()}
    active: dict[str, str] = {}
    heads: dict[str, Head] = {}
    rollouts: list[Rollout] = []
    types = {kind: holder for holder, kind in HOLDERS.items()}
    for document in documents:
        try:
            match document.kind:
                case "pipeline":
                    pipelines.append(document.pipeline)
                case "udf":
                    udfs.append(msgspec.json.decode(document.body, type=UdfRecord))
                case "association" | "pattern" | "template":
                    holders[document.kind].append(msgspec.json.decode(document.body, type=types[document.kind]))
                case "active":
                    active[document.name] = msgspec.json.decode(document.body, type=str)
                case "rollout":
                    rollouts.append(msgspec.json.decode(document.body, type=Rollout))
                case "sets":
                    heads = _heads(document.body)
        except (msgspec.MsgspecError, InvalidError, KeyError) as error:
            log.error("the %s [%s] in the registry cannot be read: %s", document.kind, document.name, error)
    return Records(
        pipelines=pipelines,
        active=active,
        udfs=udfs,
        associations=holders["association"],
        patterns=holders["pattern"],
        templates=holders["template"],
        rollouts=rollouts,
        heads=heads,
    )


def _heads(body: str) -> dict[str, Head]:
    """Raises RegistryError: without it nothing is known of any set, and protection might be lost."""
    try:
        return msgspec.json.decode(body, type=dict[str, Head])
    except msgspec.MsgspecError as error:
        raise RegistryError(f"the document that puts sets in force cannot be read: {error}") from None


def _pipeline_record(body: str) -> PipelineRecord:
    stored = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    of_set = {
        field: msgspec.json.decode(stored[field], type=type_) for field, type_ in _OF_SETS.items() if field in stored
    }
    return PipelineRecord(
        definition=decode(bytes(stored["definition"])), created=msgspec.json.decode(stored["created"]), **of_set
    )

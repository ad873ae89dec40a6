"""The records of the registry as documents of its index, and back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace_pipelines.definition import decode, encode
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import PipelineRecord, Records, UdfRecord, key
from headrace_pipelines.registry.association import Association, Pattern, Template

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("headrace.registry")

KINDS = ("pipeline", "udf", "association", "pattern", "template", "active")
"""Kinds of documents; chunks of code are documents of their own."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a document; `body` is JSON text, so that definitions keep their exact text."""

    kind: str
    name: str
    body: str


class Readable(Protocol):
    """A document, signed or not."""

    @property
    def kind(self) -> str:
        """One of [`KINDS`], or something that is left out."""
        ...

    @property
    def name(self) -> str:
        """The name of the record."""
        ...

    @property
    def body(self) -> str:
        """JSON text."""
        ...


def text_of(value: object) -> str:
    """A value as JSON text."""
    return msgspec.json.encode(value).decode()


def pipeline_document(record: PipelineRecord) -> Document:
    """A version as it is stored."""
    name = key(record.definition.type, record.definition.name)
    body = {"created": record.created, "definition": msgspec.Raw(encode(record.definition))}
    return Document(kind="pipeline", name=name, body=text_of(body))


def udf_document(record: UdfRecord) -> Document:
    """A UDF's manifest as it is stored."""
    return Document(kind="udf", name=record.manifest.name, body=text_of(record))


Holder = Association | Pattern | Template
"""A record with attached pipelines."""
HOLDERS: dict[type[Holder], str] = {Association: "association", Pattern: "pattern", Template: "template"}


def holder_documents(records: Records) -> list[Document]:
    """Associations as they are stored."""
    named: list[tuple[str, Holder]] = [(a.index, a) for a in records.associations]
    named += [(p.pattern, p) for p in records.patterns]
    named += [(t.key, t) for t in records.templates]
    return [Document(kind=HOLDERS[type(holder)], name=name, body=text_of(holder)) for name, holder in named]


def records_of(documents: Iterable[Readable]) -> Records:
    """The registry behind the documents of the index.

    An entry that cannot be read (a newer Headrace wrote it, or somebody by hand) is left out and logged; what depends
    on it fails, the rest of the registry works.
    """
    pipelines: list[PipelineRecord] = []
    udfs: list[UdfRecord] = []
    associations: list[Association] = []
    patterns: list[Pattern] = []
    templates: list[Template] = []
    active: dict[str, str] = {}
    for document in documents:
        try:
            match document.kind:
                case "pipeline":
                    pipelines.append(_pipeline_record(document.body))
                case "udf":
                    udfs.append(msgspec.json.decode(document.body, type=UdfRecord))
                case "association":
                    associations.append(msgspec.json.decode(document.body, type=Association))
                case "pattern":
                    patterns.append(msgspec.json.decode(document.body, type=Pattern))
                case "template":
                    templates.append(msgspec.json.decode(document.body, type=Template))
                case "active":
                    active[document.name] = msgspec.json.decode(document.body, type=str)
        except (msgspec.MsgspecError, InvalidError, KeyError) as error:
            log.error("the %s [%s] in the registry cannot be read: %s", document.kind, document.name, error)
    return Records(
        pipelines=pipelines,
        active=active,
        udfs=udfs,
        associations=associations,
        patterns=patterns,
        templates=templates,
    )


def _pipeline_record(body: str) -> PipelineRecord:
    stored = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return PipelineRecord(
        definition=decode(bytes(stored["definition"])), created=msgspec.json.decode(stored["created"])
    )


def documents_of(records: Records) -> list[Document]:
    """The opposite of [`records_of`]."""
    return [
        *map(pipeline_document, records.pipelines),
        *map(udf_document, records.udfs),
        *holder_documents(records),
        *(Document(kind="active", name=name, body=text_of(version)) for name, version in records.active.items()),
    ]

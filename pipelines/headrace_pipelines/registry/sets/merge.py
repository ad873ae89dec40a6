"""Sets: objects of the registry that are applied together, from a directory under version control.

A set is in force by its revision, and the revisions of all sets by one document of the registry. Objects of a
revision go before those stored by hand: so the write of that document changes everything of a set at once, for every
reader. Versions that a set has stored are visible while its revision in force lists them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

import msgspec

from headrace_pipelines.definition import encode
from headrace_pipelines.registry.records import PipelineRecord, Records, Revision, UdfRecord, version_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headrace_pipelines.definition import PipelineDefinition
    from headrace_pipelines.udf.manifest import Manifest

V = TypeVar("V", PipelineRecord, UdfRecord)
TAG = 16
"""Characters of the SHA-256 in the id of a version: 64 bits tell the few versions of one name and number apart."""


def merged(stored: Records, sets: Mapping[str, Revision]) -> Records:
    """The records in force: what is stored by hand, under what `sets` have."""
    visible = {id_ for revision in sets.values() for id_ in revision.versions}
    active, current = dict(stored.active), dict[str, str]()
    patterns = {pattern.pattern: pattern for pattern in stored.patterns}
    for revision in sets.values():
        active |= {name: version_in(id_) for name, id_ in revision.pipelines.items()}
        current |= {name: version_in(id_) for name, id_ in revision.udfs.items()}
        patterns |= {pattern.pattern: pattern for pattern in revision.patterns}
    ids = {record.id for record in [*stored.pipelines, *stored.udfs]}
    return msgspec.structs.replace(
        stored,
        pipelines=_visible(stored.pipelines, visible),
        udfs=_visible(stored.udfs, visible),
        active=active,
        current=current,
        patterns=list(patterns.values()),
        sets=dict(sets),
        missing=sorted(visible - ids),
    )


def _visible(records: Iterable[V], visible: set[str]) -> list[V]:
    """The records that count; of two with one name and version the one that a set lists."""
    found: dict[tuple[str, str], V] = {}
    for record in records:
        listed = record.id in visible
        if listed or (not record.set and (record.name, record.version) not in found):
            found[record.name, record.version] = record
    return list(found.values())


def pipeline_tag(definition: PipelineDefinition) -> str:
    """The end of the id of a version that a set stores."""
    return f"#{hashlib.sha256(encode(definition)).hexdigest()[:TAG]}"


def udf_tag(manifest: Manifest, digest: str) -> str:
    """The same for a UDF with the SHA-256 of its code."""
    return f"#{hashlib.sha256(msgspec.json.encode([manifest, digest])).hexdigest()[:TAG]}"

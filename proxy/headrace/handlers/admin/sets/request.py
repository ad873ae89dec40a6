"""The bodies of `_registry/_diff` and `_registry/_apply`: objects of a set, and all that is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from headrace.handlers.admin.trials.simulate import decode_body
from headrace_pipelines.definition import PipelineDefinition, check_name, members_of, object_of, parse
from headrace_pipelines.errors import HeadraceError, InvalidError, TooLargeError
from headrace_pipelines.registry import key
from headrace_pipelines.registry.association import pattern_of
from headrace_pipelines.registry.records import Source
from headrace_pipelines.registry.sets import Content, Fault, Upload
from headrace_pipelines.udf import manifest as manifests

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

T = TypeVar("T")
MOST_OBJECTS = 1000
"""Maximum number of objects of a set: all of them are compiled, and their names stand in every revision."""
MOST_BYTES = 64 << 20
"""Maximum bytes of a body: it is held in memory as text, and its code a second time."""
LONGEST_SOURCE_FIELD = 256
"""Maximum characters of a commit, an address or a name in `source`: each revision has them, and errors quote them."""
NAME_FIELD = "name"
_PIPELINE = tuple(field.encode_name for field in msgspec.structs.fields(PipelineDefinition))


class SetRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A body as it was sent. `expected`: the revision that the sender has seen; 0: there is no such set yet."""

    set: str
    source: Source = Source()
    expected: int | None = None
    prune: bool = False
    udfs: list[msgspec.Raw] = []
    pipelines: list[msgspec.Raw] = []
    associations: dict[str, msgspec.Raw] = {}


def read_request(body: bytes) -> tuple[SetRequest, Content]:
    """A body, and its objects with what is wrong with them. Raises InvalidError, TooLargeError."""
    if len(body) > MOST_BYTES:
        raise TooLargeError(f"a set may have {MOST_BYTES >> 20} MiB; divide it into several sets")
    members = members_of(body)
    if "tables" in members:
        raise InvalidError("are not supported by this version; leave them out", "tables")
    _check_members(members, SetRequest.__struct_fields__, "")
    request = decode_body(body, SetRequest)
    check_set(request.set)
    check_source(request.source)
    count = len(request.udfs) + len(request.pipelines) + len(request.associations)
    if count > MOST_OBJECTS:
        raise TooLargeError(f"a set may have {MOST_OBJECTS} objects, not {count}; divide it into several sets")
    return request, _content(request)


def check_set(name: str) -> None:
    """Raises InvalidError unless `name` is one that a set may have."""
    try:
        check_name(name)
    except InvalidError as error:
        raise InvalidError(error.reason.removeprefix("[name] "), "set") from None


def check_source(source: Source) -> None:
    """Raises InvalidError for a text that is too long."""
    for field in Source.__struct_fields__:
        length = len(getattr(source, field))
        if length > LONGEST_SOURCE_FIELD:
            reason = f"has {length} characters; at most {LONGEST_SOURCE_FIELD} are stored: shorten it"
            raise InvalidError(reason, f"source.{field}")


def _content(request: SetRequest) -> Content:
    faults: list[Fault] = []

    udfs = _objects("udf", request.udfs, _upload, manifests.MEMBERS, faults)
    pipelines = _objects("pipeline", request.pipelines, parse, _PIPELINE, faults)
    patterns = []
    for pattern, text in request.associations.items():
        try:
            patterns.append(pattern_of(pattern, object_of(bytes(text))))
        except HeadraceError as error:
            faults.append(Fault.of("association", pattern, error))
    faults += _twice("udf", [each.manifest.name for each in udfs])
    faults += _twice("pipeline", [key(each.type, each.name) for each in pipelines])
    return Content(udfs=udfs, pipelines=pipelines, patterns=patterns, faults=faults)


def _objects(
    kind: str,
    texts: Iterable[msgspec.Raw],
    reader: Callable[[bytes, str], T],
    members: Collection[str],
    faults: list[Fault],
) -> list[T]:
    """The objects that can be read; of others a fault is added."""
    found: list[T] = []
    for i, text in enumerate(texts):
        name = f"{kind}s[{i}]"
        try:
            fields = members_of(bytes(text))
            name = _name_in(fields, name)
            _check_members(fields, members, "")
            found.append(reader(bytes(text), name))
        except HeadraceError as error:
            faults.append(Fault.of(kind, name, error))
    return found


def _name_in(fields: dict[str, msgspec.Raw], position: str) -> str:
    """The name of an object. Raises InvalidError that names the object by its position."""
    try:
        return msgspec.json.decode(fields.get(NAME_FIELD, b"null"), type=str)
    except msgspec.ValidationError:
        raise InvalidError(f"{position} needs a name, a text", NAME_FIELD) from None


def _check_members(members: Collection[str], allowed: Collection[str], where: str) -> None:
    """Raises InvalidError for a member that there is not, and says which there are."""
    for name in members:
        if name not in allowed:
            raise InvalidError(f"unknown member; there are {', '.join(sorted(allowed))}", f"{where}{name}")


def _upload(body: bytes, name: str) -> Upload:
    manifest, code, abi = manifests.parse(body, name)
    return Upload(manifest=manifest, code=code, abi=abi)


def _twice(kind: str, names: list[str]) -> list[Fault]:
    """Faults for objects of one kind that have one name."""
    double = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    return [Fault(kind=kind, name=name, field=NAME_FIELD, reason="is there twice") for name in sorted(double)]

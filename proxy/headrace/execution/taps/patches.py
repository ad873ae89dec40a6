"""JSON patches (RFC 6902) between two texts, made from the texts of their members: numbers keep their digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 100
"""Objects and lists within each other that are compared part by part; deeper ones are replaced as a whole."""
_SPACE = b" \t\n\r"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder(msgspec.Raw)


class Operation(msgspec.Struct, omit_defaults=True):
    """An operation of a patch; `value` is the text of a JSON value."""

    op: str
    path: str
    value: msgspec.Raw = msgspec.Raw()


def patch(before: bytes, after: bytes) -> list[Operation]:
    """The operations that make `after` of `before`. A member that stands twice counts as its last one.

    Raises msgspec.DecodeError or UnicodeDecodeError for a text that is no JSON.
    """
    return list(_differences(text_of(before), text_of(after), "", 0))


def text_of(text: bytes) -> bytes:
    """A JSON text on one line, without space around it.

    Raises msgspec.DecodeError for what is no JSON, UnicodeDecodeError for what is not UTF-8.
    """
    stripped = text.strip(_SPACE)
    stripped.decode()
    _ANY.decode(stripped)
    return msgspec.json.format(stripped, indent=-1) if b"\n" in stripped or b"\r" in stripped else stripped


def members(text: bytes) -> dict[str, bytes]:
    """The members of an object, by the texts of their values."""
    return {name: bytes(value).strip(_SPACE) for name, value in _OBJECT.decode(text).items()}


def elements(text: bytes) -> list[bytes]:
    """The elements of a list, as texts."""
    return [bytes(value).strip(_SPACE) for value in _LIST.decode(text)]


def same(before: bytes, after: bytes) -> bool:
    """Whether two texts have the same value; numbers are compared by their digits."""
    return before == after or next(_differences(before, after, "", 0), None) is None


def _differences(before: bytes, after: bytes, path: str, depth: int) -> Iterator[Operation]:
    if before == after:
        return
    kind = before[:1]
    if kind == after[:1] and depth < MAX_DEPTH:
        if kind == b"{":
            yield from _of_objects(before, after, path, depth + 1)
            return
        if kind == b"[":
            yield from _of_lists(elements(before), elements(after), path, depth + 1)
            return
        if kind == b'"' and msgspec.json.decode(before) == msgspec.json.decode(after):
            return
    yield Operation("replace", path, msgspec.Raw(after))


def _of_objects(before: bytes, after: bytes, path: str, depth: int) -> Iterator[Operation]:
    old, new = members(before), members(after)
    for name in old:
        if name not in new:
            yield Operation("remove", _below(path, name))
    for name, value in new.items():
        if name not in old:
            yield Operation("add", _below(path, name), msgspec.Raw(value))
        else:
            yield from _differences(old[name], value, _below(path, name), depth)


def _of_lists(old: list[bytes], new: list[bytes], path: str, depth: int) -> Iterator[Operation]:
    """Equal elements at both ends stay; those between are compared one by one.

    Ends are compared as texts: each level reads a text once, however deep it is.
    """
    ours, theirs = [_compact(each) for each in old], [_compact(each) for each in new]
    start = 0
    while start < min(len(old), len(new)) and ours[start] == theirs[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and ours[-1 - end] == theirs[-1 - end]:
        end += 1
    removed, added = old[start : len(old) - end], new[start : len(new) - end]
    shared = min(len(removed), len(added))
    for at in range(shared):
        yield from _differences(removed[at], added[at], f"{path}/{start + at}", depth)
    for at in range(len(removed) - 1, shared - 1, -1):
        yield Operation("remove", f"{path}/{start + at}")
    for at in range(shared, len(added)):
        yield Operation("add", f"{path}/{start + at}", msgspec.Raw(added[at]))


def _compact(text: bytes) -> bytes:
    return msgspec.json.format(text, indent=-1) if text[:1] in (b"{", b"[") else text


def _below(path: str, name: str) -> str:
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"

"""Shadows of rollouts for tests: two versions of a pipeline, and what the comparison of them has counted."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Http


async def two_versions(
    http: Http, name: str, kind: str, stable: list[dict[str, Any]], candidate: list[dict[str, Any]]
) -> None:
    """Version 1, which is active, and version 2."""
    await http.pipeline(name, kind, *stable)
    await http.pipeline(name, kind, *candidate)
    answer = await http.post(f"/_pipeline/{name}/_activate?version=1&type={kind}")
    assert answer.status == 200, answer.body


async def begin(http: Http, name: str, kind: str = "document", **spec: Any) -> None:
    """Starts a shadow of version 2, in place of one that runs."""
    await http.post(f"/_pipeline/{name}/_abort?type={kind}")
    body = {"candidate": "2", "mode": "shadow", **spec}
    answer = await http.put(f"/_pipeline/{name}/_rollout?type={kind}", body)
    assert answer.status in (200, 201), answer.body
    while (await rollout(http, name, kind))["percent"] < 100:
        await asyncio.sleep(0.05)


async def rollout(http: Http, name: str, kind: str = "document") -> dict[str, Any]:
    """The rollout as the proxy tells it."""
    answer = await http.get(f"/_pipeline/{name}/_rollout?type={kind}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


async def settled(http: Http, name: str, seen: int, kind: str = "document") -> dict[str, Any]:
    """The counts once so many inputs have been seen, and none of them waits."""
    deadline = time.monotonic() + 30
    while True:
        found: dict[str, Any] = (await rollout(http, name, kind))["shadow"]
        if found["seen"] >= seen and not found["waiting"] and _compared(found) + found["missed"] == found["seen"]:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


def _compared(found: dict[str, Any]) -> int:
    names = ("same", "different", "unstable")
    only = [name for name in found if name.startswith("only_")]
    return sum(found[name] for name in (*names, *only))


class Number(str):
    """A number with a fraction or an exponent, by its text."""

    __slots__ = ()


def parsed(text: bytes) -> Any:
    """A JSON value, in which numbers with a fraction or an exponent are told from integers."""
    return json.loads(text, parse_float=Number)


def paths(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The paths at which two values differ, each with its kind: written apart from what it checks."""
    names = {dict: "object", list: "array", str: "string", int: "integer", Number: "number", bool: "boolean"}
    ours, theirs = names.get(type(old), "null"), names.get(type(new), "null")
    if ours != theirs:
        yield path, "type"
    elif ours == "object":
        for name in {**old, **new}:
            below = f"{path}.{name}" if path else name
            if name not in new:
                yield below, "removed"
            elif name not in old:
                yield below, "added"
            else:
                yield from paths(old[name], new[name], below)
    elif ours == "array":
        while old and new and not list(paths(old[0], new[0])):
            old, new = old[1:], new[1:]
        while old and new and not list(paths(old[-1], new[-1])):
            old, new = old[:-1], new[:-1]
        for left, right in zip(old, new, strict=False):
            yield from paths(left, right, f"{path}[]")
        if len(old) != len(new):
            yield f"{path}[]", "removed" if len(old) > len(new) else "added"
    elif ours == "number":
        if Decimal(old) != Decimal(new):
            yield path, "changed"
    elif old != new:
        yield path, "changed"

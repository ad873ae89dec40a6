"""JSON whose numbers keep the text that they were read from, and the numbers that lost theirs on a way that leaves them alone."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any

LARGEST = sys.float_info.max


class Whole(int):
    """An integer with its text."""

    text: str

    def __new__(cls, text: str) -> Whole:
        made = super().__new__(cls, text)
        made.text = text
        return made


class Real(float):
    """A float with its text; one beyond a double is the largest there is."""

    text: str

    def __new__(cls, text: str) -> Real:
        made = super().__new__(cls, max(-LARGEST, min(LARGEST, float(text))))
        made.text = text
        return made


def read(text: str | bytes) -> Any:
    """The value of a text, each number an object of its own."""
    return json.loads(text, parse_int=Whole, parse_float=Real)


def nearest(value: float) -> float:
    """The double of a number, the largest for one beyond them."""
    try:
        return float(value)
    except OverflowError:
        return LARGEST if value > 0 else -LARGEST


class Source:
    """A document before a UDF: where its numbers stood, by its lists and objects."""

    def __init__(self, document: Any, counted: str | None = None) -> None:
        """`counted`: the text of one for JavaScript, whose numbers have no identity.

        There a place in a list says nothing once elements may be missing, nor of one of several numbers that are the same
        double, unless the whole list is as it was.
        """
        self.counted = counted is not None
        # The numbers of each double.
        self.doubles: dict[float, set[Decimal]] = {}
        if counted is not None:
            json.loads(counted, parse_int=self._seen, parse_float=self._seen)
        # With the value itself: no other one can have its address then.
        self.copies: dict[int, tuple[Any, Any]] = {}
        self.root = self._copied(document)

    def _seen(self, text: str) -> None:
        self.doubles.setdefault(Real(text), set()).add(Decimal(text))

    def _copied(self, value: Any) -> Any:
        if isinstance(value, dict):
            copy: Any = {key: self._copied(item) for key, item in value.items()}
        elif isinstance(value, list):
            copy = [self._copied(item) for item in value]
        else:
            return value
        self.copies[id(value)] = (value, copy)
        return copy

    def lost(self, found: Any, made: Any) -> list[tuple[str, str]]:
        """Numbers of `made`, the document after the UDF, whose digits are others in `found`, the text of it.

        One is left alone if it is the same object under the same key of its list or object, or of what stands in the
        place of that. Lists and objects are themselves wherever they stand. One that is not left alone is rounded.
        """
        return list(self._lost(found, made, self.root, placed=False))

    def _lost(self, found: Any, made: Any, source: Any, *, placed: bool) -> Any:
        """`placed`: only a place in a list says what it was, or what it is in."""
        known = id(made) in self.copies
        source = self.copies.get(id(made), (made, source))[1]
        if isinstance(made, dict):
            members = source if isinstance(source, dict) else {}
            for key, item in made.items():
                yield from self._lost(found[key], item, members.get(key), placed=placed and not known)
        elif isinstance(made, list):
            was = source if isinstance(source, list) else []
            items, whole = self._partners(made, was), self.counted and self._is_whole(made, was)
            for at, item in enumerate(made):
                if whole and at < len(was) and isinstance(item, (Whole, Real)):
                    if found[at].text != was[at].text:
                        yield was[at].text, found[at].text
                    continue
                yield from self._lost(found[at], item, items[at] if at < len(items) else None, placed=self.counted)
        elif isinstance(made, (Whole, Real)):
            several = placed and len(self.doubles[nearest(made)]) > 1
            lost = made is source and not several and found.text != made.text
            if lost or (placed and Decimal(found.text) not in (Decimal(made.text), Decimal(repr(nearest(made))))):
                yield made.text, found.text

    def _is_whole(self, made: list[Any], was: list[Any]) -> bool:
        """Whether all that was read stands in a list as it was, as far as JavaScript tells."""

        def same(item: Any, before: Any) -> bool:
            if isinstance(item, (Whole, Real)):
                return isinstance(before, (Whole, Real)) and nearest(item) == nearest(before)
            return self.copies.get(id(item), (item, item))[1] is before

        return len(made) >= len(was) and all(map(same, made, was))

    def _partners(self, made: list[Any], items: list[Any]) -> list[Any]:
        """Those of `items` that certainly stand where they stood."""
        if not self.counted or len(made) == len(items):
            return items
        same = [self.copies.get(id(item), (item, item))[1] is was for item, was in zip(made, items, strict=False)]
        return items[: (*same, False).index(False)] if len(made) > len(items) else []

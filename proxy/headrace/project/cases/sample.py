"""Documents of an index as a case file, on request with other values of the same form."""

from __future__ import annotations

import datetime as dates
import hashlib
import random
import re
import secrets
import string
from typing import TYPE_CHECKING, Any

from headrace.project.source import dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.client import Client

_DATE = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:(?P<between>[T ])(?P<time>[0-9]{2}:[0-9]{2})(?P<seconds>:[0-9]{2})?(?P<fraction>\.[0-9]{1,9})?"
    r"(?P<zone>Z|[+-][01][0-9]:?[0-5][0-9])?)?"
)
"""A whole date, or a date with a time: a text with anything else in it is no date."""
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_HEXADECIMAL = re.compile(r"[0-9a-f]{8,}(?:-[0-9a-f]{4,})*")
DAYS = 300
"""Maximum of days by which a date is moved: it stays in a year or two of the same length."""
MOST_DOCUMENTS = 10_000
"""Maximum of documents of a sample: the window of a search."""


def fetch(client: Client, index: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Documents of an index, drawn at random by the cluster, as the caller may see them; `_id` and `_source`."""
    scored = {"functions": [{"random_score": {"seed": seed, "field": "_seq_no"}}], "query": {"match_all": {}}}
    body = {"size": min(count, MOST_DOCUMENTS), "query": {"function_score": scored}}
    answer = client.request("POST", f"/{index}/_search", body=body)
    return [hit.get("_source", {}) for hit in answer["hits"]["hits"]]


def case_file(index: str, documents: Sequence[Any]) -> str:
    """The text of a case file: a case for each document, without what it expects."""
    cases = [{"name": f"document {i}", "docs": document} for i, document in enumerate(documents, 1)]
    body = dump({"index": index, "cases": cases})
    return f"# {len(documents)} documents of {index}; `headrace test --update` writes what they become.\n{body}\n"


class Anonymiser:
    """Replaces values by others of the same form: length, letters and digits, dates, addresses, numbers.

    The same value becomes the same other one, so that values stay equal; names of fields stay. It is no encryption:
    lengths and equality stay visible.
    """

    def __init__(self, seed: int) -> None:
        """`seed`: the same values each time; 0: a key that nobody keeps."""
        self._key = seed.to_bytes(16, "big") if seed else secrets.token_bytes(16)

    def value(self, value: Any) -> Any:
        """A JSON value with other values in it."""
        if isinstance(value, dict):
            return {name: self.value(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bool) or value is None:
            return value
        return self._number(value)

    def _draw(self, value: object) -> random.Random:
        digest = hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), key=self._key).digest()
        return random.Random(digest)  # noqa: S311 - drawn from a keyed hash

    def _number(self, value: float) -> float:
        shown = repr(value)
        draw = self._draw(value)
        digits = re.sub(r"\d", lambda match: _digit(draw, match), shown.split("e")[0])
        kind = type(value)
        return kind(digits + shown[len(digits) :])

    def _text(self, value: str) -> str:
        draw = self._draw(value)
        if (date := _DATE.fullmatch(value)) is not None:
            try:
                day = dates.date.fromisoformat(date["date"]) + dates.timedelta(days=draw.randint(-DAYS, DAYS))
            except (ValueError, OverflowError):
                return _replaced(value, draw)
            return day.isoformat() + (_time(date, draw) if date["time"] else "")
        if _ADDRESS.fullmatch(value):
            return ".".join(str(draw.randint(*_SPANS[len(part)])) for part in value.split("."))
        if _HEXADECIMAL.fullmatch(value):
            return re.sub(r"[0-9a-f]", lambda _: draw.choice("0123456789abcdef"), value)
        return _replaced(value, draw)


_KEPT = frozenset(string.punctuation + string.whitespace)
_SPANS = {1: (0, 9), 2: (10, 99), 3: (100, 255)}
"""Octets of an address by their number of digits."""


def _time(match: re.Match[str], draw: random.Random) -> str:
    """Another time of the day, to the same digits and in the same zone."""
    shown = f"{match['between']}{draw.randint(0, 23):02}:{draw.randint(0, 59):02}"
    if match["seconds"]:
        shown += f":{draw.randint(0, 59):02}"
    return shown + _replaced(match["fraction"] or "", draw) + (match["zone"] or "")


def _digit(draw: random.Random, match: re.Match[str]) -> str:
    """Another digit; the first of a number is none of leading zeros, and zero stays zero there."""
    leading = match.start() == 0 or not match.string[match.start() - 1].isdigit()
    if leading and match[0] == "0":
        return "0"
    return str(draw.randint(1 if leading else 0, 9))


def _replaced(value: str, draw: random.Random) -> str:
    return "".join(_character(each, draw) for each in value)


def _character(each: str, draw: random.Random) -> str:
    """Another character. Only ASCII punctuation and white space stay: vowel signs and symbols are content."""
    if each in _KEPT:
        return each
    if each.isdigit():
        return str(draw.randint(0, 9))
    return draw.choice(string.ascii_uppercase if each.isupper() else string.ascii_lowercase)

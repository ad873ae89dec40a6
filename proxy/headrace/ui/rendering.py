"""Templates: every value that they show is text, and never markup."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

BASE = "/_proxy/ui"
"""The path of the page."""

ABSENT = "\u2013"
"""A dash where there is no value."""
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}
"""Media types of static files by how their names end."""


@dataclass(frozen=True)
class StaticFile:
    """A file of the page: its bytes, the same compressed, its media type, and a digest that changes with it."""

    content: bytes
    compressed: bytes
    media: str
    digest: str


@cache
def static_files() -> dict[str, StaticFile]:
    """All static files by name. They are read once."""
    found = {}
    for entry in files("headrace.ui").joinpath("static").iterdir():
        kind = entry.name.rpartition(".")[2]
        if kind in TYPES:
            content = entry.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            found[entry.name] = StaticFile(content, gzip.compress(content, 9, mtime=0), TYPES[kind], digest)
    return found


@cache
def environment() -> Environment:
    """The templates. A name that a page forgets to give is an error."""
    templates = Environment(
        loader=PackageLoader("headrace.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters |= {"segment": segment, "count": count, "rate": rate, "ms": ms, "when": when, "pretty": pretty}
    templates.globals["static"] = static_url
    return templates


def rendered(template: str, facts: dict[str, Any]) -> bytes:
    """A page as bytes. Call it from a thread: a long table takes milliseconds."""
    return environment().get_template(template).render(facts).encode("utf-8", "replace")


def static_url(name: str) -> str:
    """The address of a static file, which is another one once its content is."""
    return f"{BASE}/static/{name}?{static_files()[name].digest}"


def segment(text: object) -> str:
    """A text as one segment of a path."""
    return quote(str(text), safe="")


def count(number: float | str | None) -> str:
    """A count, with a thin space between thousands."""
    if number is None or number == "":
        return ABSENT
    return f"{int(number):,}".replace(",", "\u202f")


def rate(number: float | None) -> str:
    """A rate with as many digits as say something."""
    if number is None:
        return ABSENT
    if number == 0:
        return "0"
    if number < 0.1:
        return f"{number:.3f}"
    return f"{number:.1f}" if number < 100 else count(round(number))


def ms(number: float | None) -> str:
    """A duration in milliseconds."""
    if number is None:
        return ABSENT
    return f"{number:.2f}" if number < 10 else f"{number:.0f}" if number >= 100 else f"{number:.1f}"


def when(text: str | None) -> str:
    """A time in ISO 8601 without fractions of a second, in UTC."""
    if not text:
        return ABSENT
    return f"{text[:10]} {text[11:19]}" if len(text) >= 19 and text[10] == "T" else text


def pretty(value: object) -> str:
    """A value as JSON with indentation."""
    return json.dumps(value, indent=2, ensure_ascii=False)

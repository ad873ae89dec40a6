"""Documents of many services together: members come and go in any order, nested, with Unicode and escapes.

Every document follows from the seed and its number. About six in ten are log lines of twelve services (300 bytes to 2
kB), two in ten orders with line items, one in ten metrics, and the rest articles of 20 kB, places, and vectors of 768
floats. All have `level`, which is DEBUG in one of ten: the transform of the table is about it.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from benches.load.traffic import http

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 33
WORDS = (
    "order",
    "café",
    "naïve",
    "東京",
    "Straße",
    "🙂",
    "timeout",
    'quote"d',
    "back\\slash",
    "tab\there",
    "line\nend",
    "user",
)
LEVELS = ("INFO", "WARN", "ERROR", "Info", "warning")
PIPELINES = ("native", "shape", "compiled", "idle", "python", "javascript")
"""The pipelines that are attached to the indexes with their names."""
INDEXES = 20
"""Indexes of each pipeline."""


def text(rng: random.Random, words: int) -> str:
    """Words with Unicode, and characters that JSON escapes."""
    return " ".join(rng.choice(WORDS) for _ in range(words))


def log_line(rng: random.Random) -> dict[str, Any]:
    """A log line of one of twelve services, each with members of its own."""
    service = rng.randrange(12)
    found: dict[str, Any] = {"@timestamp": f"2026-11-{rng.randrange(1, 29):02}T05:00:{rng.randrange(60):02}Z"}
    found["message"] = text(rng, rng.randrange(4, 40))
    found["service"] = {"name": f"service-{service}", "version": f"{rng.randrange(9)}.{rng.randrange(99)}"}
    for n in range(rng.randrange(2, 14)):
        name = f"field_{service}_{rng.randrange(30)}"
        kind = (service + n) % 6
        found[name] = (
            rng.randrange(-(10**6), 10**12),
            rng.random() * 1000,
            rng.random() < 0.5,
            None,
            text(rng, 3),
            {"a": [rng.randrange(100) for _ in range(rng.randrange(5))], "b": {"c": text(rng, 1)}},
        )[kind]
    return found


def order(rng: random.Random) -> dict[str, Any]:
    """An order with line items."""
    items = [
        {
            "sku": f"{rng.getrandbits(40):010x}",
            "name": text(rng, 3),
            "price": rng.randrange(100, 99999) / 100,
            "n": n + 1,
        }
        for n in range(rng.randrange(1, 9))
    ]
    address = {"street": text(rng, 2), "city": text(rng, 1), "zip": f"{rng.randrange(10**5):05}"}
    return {"order_id": f"{rng.getrandbits(64):016x}", "items": items, "ship_to": address, "note": text(rng, 6)}


def metric(rng: random.Random) -> dict[str, Any]:
    """A set of values of one host."""
    values = {f"m{rng.randrange(200)}": rng.random() * 10**6 for _ in range(rng.randrange(5, 25))}
    return {"host": f"node-{rng.randrange(500)}", "values": values, "interval": rng.choice((10, 30, 60))}


def article(rng: random.Random) -> dict[str, Any]:
    """A text of some 20 kB."""
    return {"title": text(rng, 6), "body": text(rng, 2600), "tags": [text(rng, 1) for _ in range(4)]}


def place(rng: random.Random) -> dict[str, Any]:
    """A point and an outline."""
    outline = [[rng.uniform(-180, 180), rng.uniform(-90, 90)] for _ in range(12)]
    point = {"lat": rng.uniform(-90, 90), "lon": rng.uniform(-180, 180)}
    return {"name": text(rng, 2), "location": point, "outline": {"type": "Polygon", "coordinates": [outline]}}


def vector(rng: random.Random) -> dict[str, Any]:
    """A passage with its embedding."""
    return {"passage": text(rng, 60), "embedding": [round(rng.uniform(-1, 1), 6) for _ in range(768)]}


KINDS: tuple[tuple[int, Callable[[random.Random], dict[str, Any]]], ...] = (
    (600, log_line),
    (800, order),
    (900, metric),
    (905, article),
    (980, place),
    (1000, vector),
)
"""Makers, each up to its share of a thousand."""


def document(number: int, seed: int = SEED) -> bytes:
    """The JSON text of a document, its members in any order."""
    rng = random.Random(f"{seed}-{number}")  # noqa: S311
    draw = rng.randrange(1000)
    found = next(make for share, make in KINDS if draw < share)(rng)
    found["level"] = "DEBUG" if rng.randrange(10) == 0 else rng.choice(LEVELS)
    members = list(found.items())
    rng.shuffle(members)
    compact = rng.random() < 0.7
    return json.dumps(
        dict(members), ensure_ascii=rng.random() < 0.3, separators=(",", ":") if compact else None
    ).encode()


def bulks(pipeline: str, count: int, bodies: int) -> list[bytes]:
    """Bulks to the indexes of a pipeline, by the names in their action lines; each document has an id of its own."""
    found = []
    for body in range(bodies):
        lines: list[bytes] = []
        for number in range(body * count, (body + 1) * count):
            action = b'{"index":{"_index":"%b-%d","_id":"%016x"}}'
            lines += [action % (pipeline.encode(), number % INDEXES, number * 2654435761), document(number)]
        found.append(http("POST", "/_bulk", b"\n".join([*lines, b""]), "application/x-ndjson"))
    return found


def singles(pipeline: str, count: int = 400) -> list[bytes]:
    """Single documents to the indexes of a pipeline."""
    return [http("POST", f"/{pipeline}-{n % INDEXES}/_doc", document(n)) for n in range(count)]

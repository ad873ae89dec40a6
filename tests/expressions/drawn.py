"""Draws regular expressions of either language, and texts for them: most are taken, some are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

PIECES = json.loads((Path(__file__).parent / "pieces.json").read_text())


def expression(random: Random, language: str, depth: int = 0) -> str:
    """An expression of `java` or `ruby`; a group `n` is there at most once in Java's."""
    atoms, bad, plain = PIECES[language], PIECES[f"{language}_bad"], PIECES["plain"]
    parts = []
    for _ in range(random.choice([1, 1, 2, 2, 3, 4])):
        if random.random() < 0.62 or depth > 2:
            whole = plain if random.random() < 0.4 else atoms
            part = random.choice(bad if random.random() < 0.02 else whole)
        elif random.random() < 0.2:
            part = random.choice(["(?<=", "(?<!"]) + random.choice(plain) + random.choice(atoms[:12]) + ")"
        else:
            part = (
                random.choice(PIECES["opened"])
                + expression(random, language, depth + 1)
                + ")" * (random.random() < 0.99)
            )
        parts.append(part + random.choice(PIECES["counts"]))
    made = "".join(parts)
    return made + "|" + random.choice(plain) if random.random() < 0.2 else made


def text(random: Random) -> str:
    """A short text out of what expressions are made of."""
    pieces = PIECES["pieces"][: 9 if random.random() < 0.5 else None]
    return "".join(random.choice(pieces) for _ in range(random.randint(0, 8)))

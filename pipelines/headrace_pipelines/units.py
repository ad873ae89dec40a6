"""OpenSearch's units: time (`250ms`) and size (`64mb`), as `TimeValue.parseTimeValue` and `ByteSizeValue` read them."""

from __future__ import annotations

import re

from headrace_pipelines.errors import InvalidError

_TIME = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = {"b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def seconds(text: str, field: str, *, zero: bool = False) -> float:
    """A duration in seconds; `text` is a number with a unit. Raises InvalidError that names `field`.

    `zero`: it may be none at all.
    """
    return _read(text, field, _TIME, "time value", zero=zero)


def size(text: str, field: str) -> int:
    """A size in bytes; `text` is a number with a unit. Raises InvalidError that names `field`."""
    return int(_read(text, field, _SIZE, "size"))


def _read(text: str, field: str, units: dict[str, float] | dict[str, int], what: str, *, zero: bool = False) -> float:
    match = _FORM.fullmatch(text)
    unit = match.group(2).lower() if match else ""
    if match is None or unit not in units:
        raise InvalidError(
            f"failed to parse [{text}] as a {what}: unit is missing or unrecognized, use one of {', '.join(units)}",
            field,
        )
    value = float(match.group(1)) * units[unit]
    if value <= 0 and not (zero and value == 0):
        raise InvalidError(f"[{text}] must be more than zero", field)
    return value

"""Small charts as SVG, drawn by the server: a line of values with a text that says the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 240, 36
"""Units of the drawing; the style sheet says how large it is shown."""
_MARGIN = 2
FEWEST = 3
"""Number of values from which a chart has a line."""


@dataclass(frozen=True)
class Sparkline:
    """A chart: points of its line, of the area below it, and its text. `dots`: the path of a dot for each value.

    One or two values have dots alone: a line between two would show a slope that nobody has measured.
    """

    line: str
    area: str
    text: str
    dots: str = ""
    width: int = WIDTH
    height: int = HEIGHT


def sparkline(values: Sequence[float], unit: str, minutes: int) -> Sparkline:
    """The chart of a value for each minute. The highest value is the upper edge, zero the lower one."""
    highest = max(values, default=0.0)
    step = WIDTH / max(len(values) - 1, 1)
    usable = HEIGHT - 2 * _MARGIN
    points = [
        f"{i * step:.1f},{HEIGHT - _MARGIN - (value / highest * usable if highest else 0):.1f}"
        for i, value in enumerate(values)
    ]
    if len(points) == 1:
        points = [f"{WIDTH},{points[0].partition(',')[2]}"]
    line = " ".join(points)
    latest = values[-1] if values else 0.0
    text = f"{unit} in the last {minutes} minutes: now {_shown(latest)}, at most {_shown(highest)}"
    dots = " ".join(f"M{point}h0" for point in points) if len(points) < FEWEST else ""
    return Sparkline(line, f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}", text, dots)


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 0.1 or value == 0 else f"{value:.3f}"

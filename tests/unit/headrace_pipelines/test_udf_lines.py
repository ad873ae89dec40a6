"""The lines of a UDF: how many are kept, and who hears of them."""

from __future__ import annotations

from headrace_pipelines.udf.lines import MAX_CHARACTERS, MAX_LINES, MAX_TEXT, Line, UdfLines


def added(lines: UdfLines, *texts: str, level: int = 2) -> None:
    lines.add("u@1", "p", "s", [(at, level, text) for at, text in enumerate(texts)])


class Hearer:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, lines: list[Line]) -> None:
        self.heard += [line.text for line in lines]


def test_the_last_lines_are_kept():
    lines = UdfLines()
    added(lines, *map(str, range(MAX_LINES + 50)))
    assert [line.text for line in lines.last(3)] == ["247", "248", "249"]
    assert len(lines.last(1000)) == MAX_LINES
    assert lines.last(0) == []


def test_characters_are_bounded():
    lines = UdfLines()
    added(lines, *["é" * (MAX_TEXT + 5)] * 100)
    kept = lines.last(MAX_LINES)
    assert {len(line.text) for line in kept} == {MAX_TEXT}
    assert len(kept) == MAX_CHARACTERS // MAX_TEXT


def test_a_listener_hears_what_comes_until_it_is_forgotten():
    lines, first, second = UdfLines(), Hearer(), Hearer()
    added(lines, "before")
    lines.listen(first.hear)
    lines.listen(second.hear)
    added(lines, "a", "b")
    # Each access makes another bound method.
    lines.forget(first.hear)
    added(lines, "c")
    assert (first.heard, second.heard) == (["a", "b"], ["a", "b", "c"])
    lines.forget(second.hear)
    assert lines._listeners == ()


def test_a_level_that_is_none_is_info():
    lines = UdfLines()
    added(lines, "x", level=9)
    added(lines, "y", level=4)
    assert [line.level for line in lines.last(2)] == ["info", "error"]

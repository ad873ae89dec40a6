"""Limits of the server that the client and the commands repeat, because they import nothing of it."""

from __future__ import annotations

from typing import Any, get_args

import click
import pytest

from headrace.cli.commands import udf
from headrace.cli.commands.watch import tail
from headrace.client import calls
from headrace.execution.taps import selection
from headrace.execution.taps.selection import Selection
from headrace.handlers.system.udf_logs import MAX_LINES as LINES_OF_ANSWER
from headrace.handlers.system.udf_logs import _count
from headrace_pipelines import units
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf.lines import MAX_LINES


def option(command: click.Command, name: str) -> Any:
    (found,) = [param for param in command.params if param.name == name]
    return found


def test_what_tail_offers_is_what_a_tap_takes():
    assert option(tail.tail, "outcome").type.choices == get_args(selection.Outcome) == tail.OUTCOMES
    assert option(tail.tail, "stages").type.choices == get_args(selection.Stages)
    rate = option(tail.tail, "per_second").type
    assert (rate.min, rate.max) == (1, selection.MAX_RATE)
    assert units.seconds(option(tail.tail, "duration").default, "") == selection.MAX_SECONDS
    offered = {param.name for param in tail.tail.params}
    assert set(Selection.__struct_fields__) <= offered


def test_the_client_waits_as_long_as_a_stream_lasts():
    assert calls.FOLLOWED_SECONDS == selection.MAX_SECONDS
    _, seconds = calls.tap({})
    assert seconds == Selection().seconds


def test_as_many_lines_can_be_asked_for_as_are_kept():
    lines = option(udf.logs, "lines")
    assert (lines.type.min, lines.type.max, lines.default) == (0, MAX_LINES, MAX_LINES)
    assert LINES_OF_ANSWER == MAX_LINES


@pytest.mark.parametrize("text", ["", "-1", "201", "0" * 9 + "999", "0" * 5000, "1" * 5000, "٣", "²", "1.0"])
def test_a_number_of_lines_that_is_none(text: str):
    with pytest.raises(InvalidError):
        _count(text)


def test_a_number_of_lines():
    assert [_count(text) for text in (None, "0", "7", "007", "200")] == [200, 0, 7, 7, 200]
